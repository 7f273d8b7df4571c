-- Frozen and closed accounts: freeze, unfreeze, close, reopen, what they
-- refuse and what goes on, and what verify() makes of it.
--
-- Holds that are due are asked about in the transaction that made them, which
-- the worker, where there is one, cannot see.
\pset format unaligned
\pset tuples_only on
-- What a statement raises, without ids.
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT;
	RETURN regexp_replace(concat_ws(E'\n', sqlstate || ': ' || sqlerrm,
		'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, '')),
		'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g');
END
$$;
-- Everything that a refused or idle call must leave alone.
CREATE FUNCTION pg_temp.books() RETURNS text LANGUAGE sql AS $$
	SELECT md5(concat(
		(SELECT string_agg(a::text, '|' ORDER BY ledger_id, account_id) FROM teller.account a),
		(SELECT string_agg(l::text, '|' ORDER BY id) FROM teller.limit_change_data l),
		(SELECT string_agg(h::text, '|' ORDER BY hold_id) FROM teller.hold h),
		(SELECT count(*) FROM teller.journal)))
$$;
CREATE FUNCTION pg_temp.status(ledger bigint, account bigint) RETURNS text LANGUAGE sql AS $$
	SELECT status FROM teller.account_balance WHERE ledger_id = $1 AND account_id = $2
$$;
CREATE FUNCTION pg_temp.wait_until_due() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WHILE EXISTS (SELECT FROM teller.hold WHERE ledger_id IN (305, 306, 307)
		AND state = 'open' AND expires_at > clock_timestamp()
		AND expires_at < clock_timestamp() + interval '1 minute') LOOP
		NULL;
	END LOOP;
END
$$;
SELECT teller.create_ledger(305), teller.create_ledger(306), teller.create_ledger(307);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(305, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(305, 2, 'USD', 'alice'),
	teller.open_account(305, 3, 'USD', 'bob'),
	teller.open_account(305, 4, 'USD', 'capped', max_balance => 100);
SELECT status FROM teller.transfer(305, 1, 2, 100, key => 'fund');

-- Each status, and each step: directions add up and are taken away.
SELECT step || E'\n\t' || pg_temp.says('SELECT teller.' || step) || ', ' || pg_temp.status(305, 2)
FROM unnest(ARRAY['freeze_account(305, 2, ''debit'')', 'freeze_account(305, 2, ''debit'')',
	'freeze_account(305, 2, ''credit'')', 'freeze_account(305, 2)', 'unfreeze_account(305, 2, ''debit'')',
	'freeze_account(305, 2, ''credit'')', 'unfreeze_account(305, 2, ''debit'')', 'freeze_account(305, 2, ''debit'')',
	'unfreeze_account(305, 2, ''credit'')', 'unfreeze_account(305, 2)', 'unfreeze_account(305, 2)',
	'unfreeze_account(305, 2, ''credit'')', 'freeze_account(305, 2, ''both'')', 'unfreeze_account(305, 2, ''both'')',
	'reopen_account(305, 2)', 'freeze_account(305, 2, ''credit'')', 'reopen_account(305, 2)',
	'unfreeze_account(305, 2)']) AS step;
-- Each change is on record, each idle call is not; the version stays.
SELECT version, old_status, status, forced, old_min_balance = min_balance, changed_by = current_user
FROM teller.limit_change WHERE ledger_id = 305 AND account_id = 2 ORDER BY changed_at;
SELECT posted, version FROM teller.balance(305, 2);
SELECT * FROM teller.verify(305);

-- What they refuse.
SELECT pg_temp.books() AS before \gset
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.' || call)
FROM unnest(ARRAY['freeze_account(NULL, 2)', 'freeze_account(305, NULL)', 'freeze_account(305, 2, NULL)',
	'unfreeze_account(NULL, 2)', 'unfreeze_account(305, NULL)', 'unfreeze_account(305, 2, NULL)',
	'close_account(NULL, 2)', 'close_account(305, NULL)', 'reopen_account(NULL, 2)', 'reopen_account(305, NULL)',
	'freeze_account(305, 2, ''Debit'')', 'unfreeze_account(305, 2, '''')',
	'freeze_account(305, 77)', 'unfreeze_account(305, 77)', 'close_account(305, 77)', 'reopen_account(305, 77)',
	'close_account(309999, 1)', 'close_account(305, 2)', 'close_account(305, 1)']) AS call;
BEGIN READ ONLY;
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.' || call)
FROM unnest(ARRAY['freeze_account(305, 2)', 'unfreeze_account(305, 2)', 'close_account(305, 3)', 'reopen_account(305, 2)']) AS call;
ROLLBACK;
CREATE ROLE regress_teller_freezer;
GRANT USAGE ON SCHEMA teller TO regress_teller_freezer;
SELECT teller.grant_ledger(305, 'regress_teller_freezer', 'operate');
SET ROLE regress_teller_freezer;
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.' || call)
FROM unnest(ARRAY['freeze_account(305, 2)', 'unfreeze_account(305, 2)', 'close_account(305, 3)', 'reopen_account(309999, 2)']) AS call;
RESET ROLE;
SELECT teller.revoke_ledger(305, 'regress_teller_freezer');
REVOKE USAGE ON SCHEMA teller FROM regress_teller_freezer;
DROP ROLE regress_teller_freezer;
SELECT pg_temp.books() = :'before';

-- Frozen for debits: no transfer, hold or capture from it; credits, releases
-- and expiry go on.
BEGIN;
SELECT id AS h1 FROM teller.hold(305, 2, 3, 10, '1 day') \gset
SELECT id AS h2 FROM teller.hold(305, 2, 3, 20, '1 day') \gset
SELECT id AS h3 FROM teller.hold(305, 2, 4, 30, '1 ms') \gset
SELECT teller.freeze_account(305, 2, 'debit');
SELECT pg_temp.says('SELECT teller.transfer(305, 2, 3, 1)');
SELECT pg_temp.says('SELECT teller.hold(305, 2, 3, 1)');
SELECT pg_temp.says(format('SELECT teller.capture(305, %L)', :'h1'));
SELECT status, reason FROM teller.transfer(305, 2, 3, 1, on_denial => 'return');
SELECT credit_balance FROM teller.transfer(305, 1, 2, 1);
SELECT status FROM teller.hold(305, 1, 2, 1);
SELECT status FROM teller.release(305, :'h2');
SELECT pg_temp.wait_until_due();
SELECT teller.expire_due() >= 1;
COMMIT;
SELECT * FROM teller.verify(305);
-- A known key is answered as it was.
SELECT status, replayed FROM teller.transfer(305, 1, 2, 100, key => 'fund');
-- Limits can be set meanwhile; the freeze stays.
SELECT teller.set_limits(305, 2, -5, NULL);
SELECT pg_temp.says('SELECT teller.transfer(305, 2, 3, 1)');
SELECT teller.unfreeze_account(305, 2);
SELECT amount FROM teller.capture(305, :'h1');
SELECT debit_balance FROM teller.transfer(305, 2, 3, 1);
SELECT * FROM teller.verify(305);

-- Frozen for credits: no transfer, hold or capture in its favour, with a
-- maximum or without; debits, releases and expiry go on.
SELECT status FROM teller.transfer(305, 2, 4, 20);
BEGIN;
SELECT id AS h1 FROM teller.hold(305, 2, 3, 1, '1 day') \gset
SELECT id AS h2 FROM teller.hold(305, 2, 4, 2, '1 day') \gset
SELECT id AS h3 FROM teller.hold(305, 2, 4, 3, '1 ms') \gset
SELECT teller.freeze_account(305, account, 'credit') FROM unnest(ARRAY[3, 4]) AS account;
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.' || call)
FROM unnest(ARRAY['transfer(305, 2, 3, 1)', 'transfer(305, 2, 4, 1)', 'hold(305, 2, 3, 1)', 'hold(305, 2, 4, 1)']) AS call;
SELECT pg_temp.says(format('SELECT teller.capture(305, %L)', hold)) FROM unnest(ARRAY[:'h1', :'h2']) AS hold;
SELECT debit_balance FROM teller.transfer(305, 4, 1, 1);
SELECT id AS h4 FROM teller.hold(305, 3, 1, 1) \gset
SELECT status FROM teller.release(305, :'h4');
SELECT pg_temp.wait_until_due();
SELECT teller.expire_due() >= 1;
SELECT status FROM teller.release(305, :'h1');
SELECT status FROM teller.release(305, :'h2');
COMMIT;
SELECT * FROM teller.verify(305);
SELECT teller.unfreeze_account(305, account) FROM unnest(ARRAY[3, 4]) AS account;
SELECT status FROM teller.transfer(305, 2, 4, 1);

-- The hold of an operation (planted) is left to the operation, and is in the
-- way of closing.  test/t/024_frozen_operation.pl settles one under a freeze.
BEGIN;
SELECT id AS h FROM teller.hold(305, 2, 3, 5, '1 day') \gset
UPDATE teller.hold SET expires_at = NULL, operation_id = '00000000-0000-7000-8000-000000000305'
WHERE ledger_id = 305 AND hold_id = :'h';
SELECT teller.freeze_account(305, 3);
SELECT pg_temp.says(format('SELECT teller.release(305, %L)', :'h'));
SELECT pg_temp.says('SELECT teller.close_account(305, 3)');
ROLLBACK;

-- Closing names what is in the way: a balance, a hold on either side, open or
-- due and not swept.
SELECT teller.open_account(306, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(306, 2, 'USD', 'alice'),
	teller.open_account(306, 3, 'USD', 'bob'),
	teller.open_account(306, 4, 'USD', 'debtor', min_balance => NULL);
SELECT status FROM teller.transfer(306, 1, 2, 10);
SELECT status FROM teller.transfer(306, 4, 1, 10);
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says('SELECT teller.close_account(306, 2)');
SELECT pg_temp.says('SELECT teller.close_account(306, 4)');
SELECT pg_temp.books() = :'before';
SELECT id AS h FROM teller.hold(306, 2, 3, 4, '1 day') \gset
SELECT status FROM teller.transfer(306, 2, 1, 6);
SELECT pg_temp.says('SELECT teller.close_account(306, 2)');
SELECT pg_temp.says('SELECT teller.close_account(306, 3)');
SELECT status FROM teller.release(306, :'h');
SELECT status FROM teller.transfer(306, 2, 1, 4);
BEGIN;
SELECT status FROM teller.hold(306, 1, 3, 4, '1 ms');
SELECT pg_temp.wait_until_due();
SELECT pg_temp.says('SELECT teller.close_account(306, 3)');
SELECT teller.expire_due() >= 1;
SELECT teller.close_account(306, 3), teller.close_account(306, 2);
COMMIT;
-- Again is a no-op.
SELECT pg_temp.books() AS before \gset
SELECT teller.close_account(306, 3);
SELECT pg_temp.books() = :'before';
SELECT account_id, old_status, status FROM teller.limit_change WHERE ledger_id = 306 ORDER BY changed_at;
SELECT * FROM teller.verify(306);

-- Nothing goes on a closed account, in either direction.
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.' || call)
FROM unnest(ARRAY['transfer(306, 1, 3, 1)', 'transfer(306, 3, 1, 1)', 'hold(306, 1, 3, 1)', 'hold(306, 3, 1, 1)',
	'freeze_account(306, 3)', 'unfreeze_account(306, 3)']) AS call;
-- Its history, its name and its limits stay, and the latter may be changed.
SELECT count(*) FROM teller.posting WHERE ledger_id = 306 AND account_id = 2;
SELECT teller.account_id(306, 'bob');
SELECT teller.set_limits(306, 3, 0, 50);
SELECT pg_temp.says('SELECT teller.set_limits(306, 3, 1, 50)');
-- Reopened it is as it was.
SELECT teller.reopen_account(306, 3);
SELECT teller.reopen_account(306, 3);
SELECT status, max_balance FROM teller.account_balance WHERE ledger_id = 306 AND account_id = 3;
SELECT pg_temp.says('SELECT teller.transfer(306, 1, 3, 51)');
SELECT status FROM teller.transfer(306, 1, 3, 50);
-- An account that was never used can be closed; a freeze ends with it.
SELECT teller.open_account(306, 5, 'USD', 'unused');
SELECT teller.freeze_account(306, 5, 'credit');
SELECT teller.close_account(306, 5);
SELECT teller.reopen_account(306, 5);
SELECT pg_temp.status(306, 5);
SELECT * FROM teller.verify(306);

-- The settlement account of a server is not closed, gets no minimum, and a
-- closed account becomes none.
SELECT teller.open_account(307, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(307, 9, 'USD', 'at bank', min_balance => NULL),
	teller.open_account(307, 10, 'USD', 'at bank now', min_balance => NULL);
CREATE SERVER regress_status_bank FOREIGN DATA WRAPPER teller_postgres OPTIONS (dbname 'nowhere');
SELECT teller.set_settlement_account(307, 'regress_status_bank', 9);
SELECT pg_temp.says('SELECT teller.close_account(307, 9)');
SELECT pg_temp.says('SELECT teller.set_limits(307, 9, 0, NULL)');
SELECT pg_temp.says('SELECT teller.set_limits(307, 9, -100, NULL, true)');
SELECT teller.set_limits(307, 9, NULL, 100);
SELECT teller.close_account(307, 10);
SELECT pg_temp.says($$SELECT teller.set_settlement_account(307, 'regress_status_bank', 10)$$);
SELECT teller.reopen_account(307, 10);
SELECT teller.set_settlement_account(307, 'regress_status_bank', 10);
SELECT teller.close_account(307, 9);
-- Of a server that is gone it is none.
SELECT pg_temp.says('SELECT teller.close_account(307, 10)');
DROP SERVER regress_status_bank;
SELECT teller.close_account(307, 10);
SELECT * FROM teller.verify(307);

-- verify() finds what is planted.  A corruption is told, and taken back.
CREATE FUNCTION pg_temp.plant(corruption text, only_invariant text DEFAULT '%')
RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	report text[];
BEGIN
	BEGIN
		EXECUTE corruption;
		report := ARRAY(SELECT concat(v.invariant, ' ', v.object, ': ', v.detail)
			FROM teller.verify(306) AS v WHERE v.invariant LIKE only_invariant);
		RAISE EXCEPTION USING ERRCODE = 'UNDO0';
	EXCEPTION
		WHEN SQLSTATE 'UNDO0' THEN
			NULL;
		WHEN OTHERS THEN
			report := ARRAY[sqlstate || ': ' || sqlerrm];
	END;
	RETURN QUERY SELECT line FROM unnest(report) AS line ORDER BY line COLLATE "C";
END
$$;
-- I8: a posting against a freeze, in each direction.  Planted is the freeze,
-- before the posting.
CREATE FUNCTION pg_temp.was(account bigint, after bigint, status text) RETURNS text LANGUAGE sql AS $$
	SELECT format('INSERT INTO teller.limit_change_data SELECT ledger_id, account_id, gen_random_uuid(), %1$s,'
		' min_balance, max_balance, ''open'', min_balance, max_balance, %2$L, false, 0.00, ''nobody'','
		' (SELECT recorded_at + interval ''1 us'' FROM teller.posting AS p'
		' WHERE p.ledger_id = 306 AND p.account_id = %3$s AND p.version = %1$s)'
		' FROM teller.account WHERE ledger_id = 306 AND account_id = %3$s;'
		' UPDATE teller.account SET status = %2$L WHERE ledger_id = 306 AND account_id = %3$s', after, status, account)
$$;
SELECT status FROM teller.transfer(306, 1, 4, 1);
SELECT status FROM teller.transfer(306, 4, 1, 1);
SELECT id AS h FROM teller.hold(306, 4, 1, 5, '1 day') \gset
SELECT amount FROM teller.capture(306, :'h', 2);
SELECT version, kind, side FROM teller.posting WHERE ledger_id = 306 AND account_id = 4 ORDER BY version;
SELECT pg_temp.plant(pg_temp.was(4, 1, 'frozen'));
SELECT pg_temp.plant(pg_temp.was(4, 1, 'frozen_debit'));
SELECT pg_temp.plant(pg_temp.was(4, 1, 'frozen_credit'));
SELECT pg_temp.plant(pg_temp.was(4, 1, 'closed'));
-- I8: after the hold, the capture is what a freeze refuses; the release goes
-- on, and so does the capture of an operation.
SELECT pg_temp.plant(pg_temp.was(4, 4, 'frozen_debit'));
SELECT pg_temp.plant(pg_temp.was(4, 4, 'frozen') ||
	$$; UPDATE teller.journal SET operation_id = gen_random_uuid() WHERE ledger_id = 306 AND debit_account = 4 AND kind IN ('capture', 'release')$$, 'I8');
-- I8: a status that nothing on record explains.
SELECT pg_temp.plant($$UPDATE teller.account SET status = 'frozen' WHERE ledger_id = 306 AND account_id = 2$$);
SELECT pg_temp.plant($$UPDATE teller.account SET status = 'closed' WHERE ledger_id = 306 AND account_id = 3$$);
SELECT pg_temp.plant($$UPDATE teller.account SET status = 'frozen_credit' WHERE ledger_id = 306 AND account_id = 4$$);
SELECT pg_temp.plant($$
	UPDATE teller.limit_change_data SET old_status = 'frozen' WHERE ledger_id = 306 AND account_id = 3 AND old_status = 'open'$$);
SELECT pg_temp.plant($$
	UPDATE teller.limit_change_data SET old_status = 'frozen' WHERE ledger_id = 306 AND account_id = 3 AND old_status <> status AND status = 'open'$$);
SELECT pg_temp.plant($$DELETE FROM teller.limit_change_data WHERE ledger_id = 306 AND account_id = 2$$);
-- I8: a closed account has a balance, a hold on either side, an operation.
SELECT pg_temp.plant($$UPDATE teller.account SET posted = 1.00 WHERE ledger_id = 306 AND account_id = 2$$, 'I8');
SELECT pg_temp.plant($$UPDATE teller.account SET pending_debit = 1.00 WHERE ledger_id = 306 AND account_id = 2$$, 'I8');
SELECT pg_temp.plant($$UPDATE teller.account SET pending_credit = 1.00 WHERE ledger_id = 306 AND account_id = 2$$, 'I8');
SELECT pg_temp.plant(format($$INSERT INTO teller.hold VALUES (306, gen_random_uuid(), %s, %s, 1.00, 0.00, 0.00, NULL, 'open',
	NULL, now(), NULL, NULL)$$, debit, credit), 'I8') FROM (VALUES (1, 2), (2, 1)) AS side (debit, credit);
SELECT pg_temp.plant($$INSERT INTO teller.operation_data VALUES (306, gen_random_uuid(), 2, 1, 'withdraw', 'nowhere', 'n',
	sha256('n'), 1.00, 'USD', 'bob', NULL, '{}', '{}', sha256('n'), 'pg_monitor', 'allow', 1, gen_random_uuid(), 'held', NULL,
	false, 0, 0, 0, 0, false, false, NULL, NULL, NULL, now(), now(), now(), NULL, NULL, NULL, NULL)$$, 'I8');
-- I8: one that was closed with a balance and opened since.
SELECT pg_temp.plant($$
	UPDATE teller.limit_change_data SET version = 1 WHERE ledger_id = 306 AND account_id = 3$$, 'I8');
-- Everything was taken back.
SELECT count(*) FROM teller.verify();

SELECT * FROM teller.verify();
