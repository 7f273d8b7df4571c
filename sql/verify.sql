-- verify(): each invariant is reported when it is broken.
--
-- The superuser plants a corruption, and it is taken back.  What a constraint
-- would stop is planted after dropping the constraint.
\pset format unaligned
\pset tuples_only on
-- What a statement raises.
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate || ': ' || sqlerrm;
END
$$;
-- Plant a corruption, tell what verify() reports on ledger 221 without ids and
-- times, and take it back.
CREATE FUNCTION pg_temp.plant(corruption text, only_invariant text DEFAULT '%')
RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	report text[];
BEGIN
	BEGIN
		EXECUTE corruption;
		report := ARRAY(SELECT concat(v.invariant, ' ', v.object, ': ', v.detail)
			FROM teller.verify(221) AS v WHERE v.invariant LIKE only_invariant);
		RAISE EXCEPTION USING ERRCODE = 'UNDO0';
	EXCEPTION
		WHEN SQLSTATE 'UNDO0' THEN
			NULL;
		WHEN OTHERS THEN
			report := ARRAY[sqlstate || ': ' || sqlerrm];
	END;
	RETURN QUERY SELECT line FROM (SELECT regexp_replace(regexp_replace(told,
			'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
			'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[-+0-9:]+', '<time>', 'g') AS line
		FROM unnest(report) AS told) AS lines
	ORDER BY line COLLATE "C";
END
$$;
-- Drop the CHECK constraints of a table.
CREATE FUNCTION pg_temp.unguard(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	guard name;
BEGIN
	FOR guard IN SELECT conname FROM pg_constraint
		WHERE conrelid = relation AND contype = 'c' LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', relation, guard);
	END LOOP;
END
$$;
SET DateStyle = 'ISO';
SELECT teller.create_ledger(221), teller.create_ledger(222);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(221, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(221, 2, 'USD', 'alice', min_balance => -10),
	teller.open_account(221, 3, 'USD', 'capped', max_balance => 500),
	teller.open_account(221, 4, 'USD', 'shop'),
	teller.open_account(221, 5, 'JPY', 'yuki'),
	teller.open_account(222, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(222, 2, 'USD', 'alice');
SELECT status FROM teller.transfer(222, 1, 2, 5);
SELECT id AS t1 FROM teller.transfer(221, 1, 2, 100, key => 'fund') \gset
SELECT id AS t2 FROM teller.transfer(221, 2, 4, 10, key => 'pay') \gset
SELECT id AS open FROM teller.hold(221, 2, 4, 20, '1 day', key => 'open hold') \gset
SELECT id AS open2 FROM teller.hold(221, 2, 3, 7, '1 day') \gset
SELECT id AS c1 FROM teller.capture(221, :'open2', 3, final => false, key => 'part') \gset
SELECT id AS done FROM teller.hold(221, 2, 3, 8, '1 day') \gset
SELECT id AS c2 FROM teller.capture(221, :'done', 5, key => 'capture') \gset
SELECT id AS back FROM teller.hold(221, 2, 4, 1, '1 day') \gset
SELECT status FROM teller.release(221, :'back', key => 'release');
SELECT id AS late FROM teller.hold(221, 2, 4, 2, '1 us') \gset
DO $$
BEGIN
	WHILE (SELECT state FROM teller.hold WHERE ledger_id = 221 AND amount = 2) = 'open' LOOP
		PERFORM teller.expire_due();
	END LOOP;
END
$$;
SELECT posted, pending_debit, pending_credit, version FROM teller.account
WHERE ledger_id = 221 ORDER BY account_id;

-- The book is sound; a row would be a violation.
SELECT count(*) FROM teller.verify(221);
SELECT count(*) FROM teller.verify();
SELECT count(*) FROM teller.verify(NULL, 'full');

-- I1: the posted balances of an asset sum to zero.
SELECT pg_temp.plant($$
	UPDATE teller.account SET posted = posted + 1 WHERE ledger_id = 221 AND account_id = 2$$);
-- I1: pending debits of an asset equal its pending credits.
SELECT pg_temp.plant(format($$
	UPDATE teller.hold SET credit_account = 5 WHERE ledger_id = 221 AND hold_id = %L$$, :'open'), 'I1');

-- I2: a journal row has two accounts.
SELECT pg_temp.plant(format($$
	SELECT pg_temp.unguard('teller.journal');
	UPDATE teller.journal SET credit_account = debit_account WHERE ledger_id = 221 AND id = %L$$, :'t2'), 'I2');
-- I2: its amount is above zero.
SELECT pg_temp.plant(format($$
	SELECT pg_temp.unguard('teller.journal');
	UPDATE teller.journal SET amount = 0.00 WHERE ledger_id = 221 AND id = %L$$, :'t2'), 'I2');
SELECT pg_temp.plant(format($$
	SELECT pg_temp.unguard('teller.journal');
	UPDATE teller.journal SET amount = -10.00 WHERE ledger_id = 221 AND id = %L$$, :'t2'), 'I2');
-- I2: its accounts have one asset.
SELECT pg_temp.plant(format($$
	UPDATE teller.journal SET credit_account = 5 WHERE ledger_id = 221 AND id = %L$$, :'t2'), 'I2');
-- I2: its accounts are there, on its own ledger.
SELECT pg_temp.plant(format($$
	UPDATE teller.journal SET credit_account = 77 WHERE ledger_id = 221 AND id = %L$$, :'t2'), 'I2');
SELECT pg_temp.plant(format($$
	UPDATE teller.journal SET debit_account = 77 WHERE ledger_id = 221 AND id = %L$$, :'t2'), 'I2');

-- I3: an account's posted balance is the sum of its postings, even where the
-- book as a whole balances.
SELECT pg_temp.plant($$
	UPDATE teller.account SET posted = posted + CASE account_id WHEN 2 THEN 1 ELSE -1 END
	WHERE ledger_id = 221 AND account_id IN (2, 4)$$, 'I3');
-- I3: its pending amounts are the sums of its open holds.
SELECT pg_temp.plant($$
	UPDATE teller.account SET pending_debit = pending_debit + 1
	WHERE ledger_id = 221 AND account_id = 2$$, 'I3');
SELECT pg_temp.plant($$
	UPDATE teller.account SET pending_credit = pending_credit + 1
	WHERE ledger_id = 221 AND account_id = 3$$, 'I3');
-- I3: without a maximum no pending credit is kept.
SELECT pg_temp.plant($$
	UPDATE teller.account SET pending_credit = 20.00 WHERE ledger_id = 221 AND account_id = 4$$);
-- I3: a hold that nobody placed, and one that moved to another account.
SELECT pg_temp.plant(format($$
	INSERT INTO teller.hold SELECT ledger_id, gen_random_uuid(), debit_account, credit_account,
		amount, captured, released, expires_at, state, NULL, created_at, NULL, NULL
	FROM teller.hold WHERE ledger_id = 221 AND hold_id = %L$$, :'open'), 'I3');
SELECT pg_temp.plant(format($$
	UPDATE teller.hold SET debit_account = 1 WHERE ledger_id = 221 AND hold_id = %L$$, :'open'), 'I3');

-- I4: an account holds no NaN, no infinity, nothing in another scale or out of
-- range, in no column; verify() itself survives it.
SELECT planted.col || ' ' || planted.value || E'\n\t' || (
	SELECT string_agg(DISTINCT split_part(line, ':', 1), ', ') FROM pg_temp.plant(format($$
		SELECT pg_temp.unguard('teller.account');
		UPDATE teller.account SET %I = %L WHERE ledger_id = 221 AND account_id = 2$$,
		planted.col, planted.value), 'I4') AS line)
FROM (SELECT col, value
	FROM unnest(ARRAY['posted', 'pending_debit', 'pending_credit', 'min_balance', 'max_balance'])
		WITH ORDINALITY AS c (col, col_place),
	unnest(ARRAY['NaN', 'Infinity', '-Infinity', '1.005', '1', '1e36', '1e1000'])
		WITH ORDINALITY AS v (value, value_place)
	ORDER BY col_place, value_place) AS planted;
-- I4: pending amounts are never negative.
SELECT pg_temp.plant($$
	SELECT pg_temp.unguard('teller.account');
	UPDATE teller.account SET pending_debit = -1.00 WHERE ledger_id = 221 AND account_id = 4$$, 'I4');
SELECT pg_temp.plant($$
	SELECT pg_temp.unguard('teller.account');
	UPDATE teller.account SET pending_credit = -1.00 WHERE ledger_id = 221 AND account_id = 3$$, 'I4');
-- I4: the same for the journal.
SELECT planted.col || ' ' || planted.value || E'\n\t' || (
	SELECT string_agg(DISTINCT split_part(line, ':', 1), ', ') FROM pg_temp.plant(format($$
		SELECT pg_temp.unguard('teller.journal');
		UPDATE teller.journal SET %I = %L WHERE ledger_id = 221 AND id = %L$$,
		planted.col, planted.value, :'c1'), 'I4') AS line)
FROM (SELECT col, value
	FROM unnest(ARRAY['amount', 'debit_posted', 'debit_pending', 'credit_posted', 'credit_pending'])
		WITH ORDINALITY AS c (col, col_place),
	unnest(ARRAY['NaN', 'Infinity', '-Infinity', '1.005', '1', '1e36'])
		WITH ORDINALITY AS v (value, value_place)
	ORDER BY col_place, value_place) AS planted;
-- I4: and for holds, open ones and others.
SELECT planted.col || ' ' || planted.value || E'\n\t' || (
	SELECT string_agg(DISTINCT split_part(line, ':', 1), ', ') FROM pg_temp.plant(format($$
		SELECT pg_temp.unguard('teller.hold');
		UPDATE teller.hold SET %I = %L WHERE ledger_id = 221 AND hold_id IN (%L, %L)$$,
		planted.col, planted.value, :'open', :'done'), 'I4') AS line)
FROM (SELECT col, value
	FROM unnest(ARRAY['amount', 'captured', 'released'])
		WITH ORDINALITY AS c (col, col_place),
	unnest(ARRAY['NaN', 'Infinity', '1.005', '1', '1e36'])
		WITH ORDINALITY AS v (value, value_place)
	ORDER BY col_place, value_place) AS planted;

-- I5: versions run without a gap: a posting that is gone.
SELECT pg_temp.plant(format($$
	DELETE FROM teller.journal WHERE ledger_id = 221 AND id = %L$$, :'t2'), 'I5');
-- I5: and without a double.
SELECT pg_temp.plant(format($$
	UPDATE teller.journal SET credit_version = credit_version - 1 WHERE ledger_id = 221 AND id = %L$$, :'c2'), 'I5')
	LIKE 'I5 account 3:%';
-- I5: they begin at 1.
SELECT pg_temp.plant($$
	UPDATE teller.journal SET credit_version = 0 WHERE ledger_id = 221 AND credit_account = 4 AND credit_version = 1$$, 'I5');
-- I5: the balances before, plus the posting, give those after.
SELECT pg_temp.plant(format($$
	UPDATE teller.journal SET debit_posted = debit_posted + 1 WHERE ledger_id = 221 AND id = %L$$, :'t2'));
SELECT pg_temp.plant(format($$
	UPDATE teller.journal SET credit_posted = credit_posted + 1 WHERE ledger_id = 221 AND id = %L$$, :'c1'));
-- I5: the pending amounts too, on both sides.
SELECT pg_temp.plant(format($$
	UPDATE teller.journal SET debit_pending = debit_pending + 1 WHERE ledger_id = 221 AND id = %L$$, :'c1'));
SELECT count(*) > 0, min(split_part(line, ':', 1)) FROM pg_temp.plant(format($$
	UPDATE teller.journal SET credit_pending = credit_pending + 1 WHERE ledger_id = 221 AND id = %L$$, :'c1')) AS line;
-- I5: an amount that was changed afterwards.
SELECT pg_temp.plant(format($$
	UPDATE teller.journal SET amount = 11.00 WHERE ledger_id = 221 AND id = %L$$, :'t2'));
-- I5: the last ones are those of the account's row.
SELECT pg_temp.plant($$
	UPDATE teller.account SET version = version + 1 WHERE ledger_id = 221 AND account_id = 2$$);
SELECT pg_temp.plant($$
	UPDATE teller.account SET version = 1 WHERE ledger_id = 221 AND account_id = 5$$);
SELECT pg_temp.plant($$
	UPDATE teller.account SET pending_debit = 0.00 WHERE ledger_id = 221 AND account_id = 2$$, 'I5');

-- I6: recorded times do not go back along an account's versions.
SELECT pg_temp.plant(format($$
	UPDATE teller.journal SET recorded_at = recorded_at - interval '1 day'
	WHERE ledger_id = 221 AND id = %L$$, :'c1'));
-- They may stand still.
SELECT pg_temp.plant($$
	UPDATE teller.account SET last_at = (SELECT max(last_at) FROM teller.account WHERE ledger_id = 221)
	WHERE ledger_id = 221;
	UPDATE teller.journal SET recorded_at = (SELECT max(recorded_at) FROM teller.journal WHERE ledger_id = 221)
	WHERE ledger_id = 221$$, 'I6');

-- I9: the parts make the whole, and are those of the journal.
SELECT pg_temp.plant(format($$
	UPDATE teller.hold SET amount = amount + 1 WHERE ledger_id = 221 AND hold_id = %L$$, :'open'), 'I9');
SELECT pg_temp.plant(format($$
	UPDATE teller.hold SET captured = captured + 1 WHERE ledger_id = 221 AND hold_id = %L$$, :'open2'), 'I9');
SELECT pg_temp.plant(format($$
	UPDATE teller.hold SET captured = captured + 1, released = released - 1
	WHERE ledger_id = 221 AND hold_id = %L$$, :'done'));
SELECT pg_temp.plant(format($$
	SELECT pg_temp.unguard('teller.hold');
	UPDATE teller.hold SET captured = -1.00, released = amount + 1
	WHERE ledger_id = 221 AND hold_id = %L$$, :'back'), 'I9');
-- I9: a hold that is gone, and one whose journal rows are gone.
SELECT pg_temp.plant(format($$
	DELETE FROM teller.hold WHERE ledger_id = 221 AND hold_id = %L$$, :'done'), 'I9');
SELECT pg_temp.plant(format($$
	DELETE FROM teller.journal WHERE ledger_id = 221 AND hold_id = %L$$, :'done'), 'I9');
-- I9: open with nothing left, over with something left.
SELECT pg_temp.plant(format($$
	SELECT pg_temp.unguard('teller.hold');
	UPDATE teller.hold SET state = 'open' WHERE ledger_id = 221 AND hold_id = %L$$, :'done'), 'I9');
SELECT pg_temp.plant(format($$
	SELECT pg_temp.unguard('teller.hold');
	UPDATE teller.hold SET state = 'released' WHERE ledger_id = 221 AND hold_id = %L$$, :'open'), 'I9');
-- I9: no terminal record, a second one, one of a hold that is open.
SELECT pg_temp.plant(format($$
	UPDATE teller.journal SET ends_hold = false WHERE ledger_id = 221 AND hold_id = %L$$, :'done'));
SELECT pg_temp.plant(format($$
	DROP INDEX teller.journal_hold_end;
	UPDATE teller.journal SET ends_hold = true WHERE ledger_id = 221 AND hold_id = %L$$, :'done'));
SELECT pg_temp.plant(format($$
	UPDATE teller.journal SET ends_hold = true WHERE ledger_id = 221 AND id = %L$$, :'c1'));
-- I10: no capture at or after the deadline.
SELECT pg_temp.plant(format($$
	UPDATE teller.hold SET expires_at = (SELECT recorded_at FROM teller.journal
		WHERE ledger_id = 221 AND id = %L) WHERE ledger_id = 221 AND hold_id = %L$$, :'c1', :'open2'));
SELECT pg_temp.plant(format($$
	UPDATE teller.hold SET expires_at = (SELECT recorded_at + interval '1 us' FROM teller.journal
		WHERE ledger_id = 221 AND id = %L) WHERE ledger_id = 221 AND hold_id = %L$$, :'c1', :'open2'));
-- I10: no expiry before it.
SELECT pg_temp.plant(format($$
	UPDATE teller.hold SET expires_at = ended_at + interval '1 us'
	WHERE ledger_id = 221 AND hold_id = %L$$, :'late'));
-- I10: what has no deadline does not expire.
SELECT pg_temp.plant(format($$
	UPDATE teller.hold SET expires_at = NULL WHERE ledger_id = 221 AND hold_id = %L$$, :'late'));

-- I11: a hold that is due binds nothing.  Planted is a balance() that has
-- forgotten so.
SELECT pg_temp.plant(format($$
	UPDATE teller.hold SET expires_at = created_at + interval '1 us' WHERE ledger_id = 221 AND hold_id = %L;
	CREATE OR REPLACE FUNCTION teller.balance(ledger bigint, account bigint,
		OUT posted numeric, OUT pending_debit numeric, OUT pending_credit numeric,
		OUT available numeric, OUT version bigint) RETURNS record LANGUAGE sql STABLE AS
		'SELECT posted, pending_debit, pending_credit, posted - pending_debit, version
		FROM teller.account WHERE ledger_id = $1 AND account_id = $2'$$, :'open'), 'I11');

-- I13: the arguments hash to the fingerprint.
SELECT pg_temp.plant($$
	UPDATE teller.key SET arguments = jsonb_set(arguments, '{amount}', '101')
	WHERE ledger_id = 221 AND key = 'fund'$$);
SELECT pg_temp.plant($$
	UPDATE teller.key SET fingerprint = sha256('other') WHERE ledger_id = 221 AND key = 'release'$$);
SELECT pg_temp.plant($$
	UPDATE teller.key SET function = 'hold' WHERE ledger_id = 221 AND key = 'fund'$$);
-- I13: the result exists.
SELECT pg_temp.plant($$
	UPDATE teller.key SET id = '00000000-0000-7000-8000-000000000221' WHERE ledger_id = 221 AND key = 'fund'$$);
SELECT pg_temp.plant($$
	UPDATE teller.key SET id = '00000000-0000-7000-8000-000000000221' WHERE ledger_id = 221 AND key = 'open hold'$$);
SELECT pg_temp.plant($$
	UPDATE teller.key SET id = NULL WHERE ledger_id = 221 AND key = 'capture'$$);
-- I13: it is the answer that was given.
SELECT pg_temp.plant($$
	UPDATE teller.key SET result = jsonb_set(result, '{amount}', '99.00') WHERE ledger_id = 221 AND key = 'fund'$$);
SELECT pg_temp.plant($$
	UPDATE teller.key SET result = result - 'id' WHERE ledger_id = 221 AND key = 'fund'$$);
-- I13: one effect for each key, one key for each effect.
SELECT pg_temp.plant($$
	INSERT INTO teller.key SELECT ledger_id, key || ' again', function, arguments, fingerprint, id,
		status, reason, result, created_at
	FROM teller.key WHERE ledger_id = 221 AND key = 'fund'$$);

-- A corruption is told of the ledger that it is in, and of all.
BEGIN;
UPDATE teller.account SET posted = posted + 1 WHERE ledger_id = 221 AND account_id = 2;
SELECT count(*) FROM teller.verify(222);
SELECT DISTINCT invariant, ledger_id FROM teller.verify(221) ORDER BY invariant;
SELECT DISTINCT invariant, ledger_id FROM teller.verify() ORDER BY invariant;
-- In both, if both are.
UPDATE teller.account SET posted = posted + 1 WHERE ledger_id = 222 AND account_id = 2;
SELECT ledger_id, count(*) FROM teller.verify() GROUP BY ledger_id ORDER BY ledger_id;
ROLLBACK;

-- Everything was taken back.
SELECT count(*) FROM teller.verify();

-- It locks nothing beyond reading, works in a read-only transaction and at any
-- isolation level.
BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY;
SELECT count(*) FROM teller.verify(221);
COMMIT;
BEGIN;
SELECT count(*) FROM teller.verify();
SELECT DISTINCT mode FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype IN ('relation', 'tuple') AND relation > 16383;
SELECT pg_current_xact_id_if_assigned() IS NULL;
COMMIT;

-- Who may read the ledger may verify it; all of them the owner alone.
CREATE ROLE regress_teller_auditor;
GRANT USAGE ON SCHEMA teller TO regress_teller_auditor;
SELECT teller.grant_ledger(221, 'regress_teller_auditor', 'read');
SET ROLE regress_teller_auditor;
SELECT count(*) FROM teller.verify(221);
SELECT pg_temp.says('SELECT teller.verify(222)');
SELECT pg_temp.says('SELECT teller.verify()');
RESET ROLE;
SELECT teller.revoke_ledger(221, 'regress_teller_auditor');
REVOKE USAGE ON SCHEMA teller FROM regress_teller_auditor;
DROP ROLE regress_teller_auditor;

-- The arguments.
SELECT pg_temp.says('SELECT teller.verify(229)');
SELECT pg_temp.says($$SELECT teller.verify(221, 'quick')$$);
SELECT pg_temp.says($$SELECT teller.verify(221, 'slow')$$);
SELECT pg_temp.says('SELECT teller.verify(221, NULL)');

SELECT * FROM teller.verify();
