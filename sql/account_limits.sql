-- Limits that change: set_limits, force, the way back from a breach, a maximum
-- introduced over open holds, limit_change, and what verify() makes of it.
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
CREATE FUNCTION pg_temp.wait_until_due() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WHILE EXISTS (SELECT FROM teller.hold WHERE ledger_id IN (301, 302, 303)
		AND state = 'open' AND expires_at > clock_timestamp()
		AND expires_at < clock_timestamp() + interval '1 minute') LOOP
		NULL;
	END LOOP;
END
$$;
SELECT teller.create_ledger(301), teller.create_ledger(302), teller.create_ledger(303);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(301, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(301, 2, 'USD', 'alice'),
	teller.open_account(301, 3, 'USD', 'purse');
SELECT status FROM teller.transfer(301, 1, 2, 100);

-- It sets both limits, in the asset's scale; the version stays.
SELECT teller.set_limits(301, 2, 10, 500.5);
SELECT posted, min_balance, max_balance, version, status FROM teller.account
WHERE ledger_id = 301 AND account_id = 2;
-- They count from then on.
SELECT pg_temp.says('SELECT teller.transfer(301, 2, 1, 90.01)');
SELECT pg_temp.says('SELECT teller.transfer(301, 1, 2, 400.51)');
SELECT debit_balance FROM teller.transfer(301, 2, 1, 90);
SELECT credit_balance FROM teller.transfer(301, 1, 2, 490.5);
-- NULL is no limit.
SELECT teller.set_limits(301, 2, NULL, NULL);
SELECT debit_balance FROM teller.transfer(301, 2, 1, 600);
SELECT credit_balance FROM teller.transfer(301, 1, 2, 1200);
SELECT min_balance IS NULL, max_balance IS NULL FROM teller.account
WHERE ledger_id = 301 AND account_id = 2;

-- What is set already is a no-op that writes nothing, force or not.
SELECT teller.set_limits(301, 2, 0, 10000);
SELECT pg_temp.books() AS before \gset
SELECT teller.set_limits(301, 2, 0.00, 10000.000);
SELECT teller.set_limits(301, 2, 0, 10000, force => true);
SELECT pg_temp.books() = :'before';
-- Nor does it lock the account.
BEGIN;
SELECT teller.set_limits(301, 2, 0, 10000);
SELECT count(*) FROM teller.account WHERE ledger_id = 301 AND xmax::text = pg_current_xact_id()::text;
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'teller.hold'::regclass AND mode = 'ShareLock';
ROLLBACK;

-- Each change is on record, with who, when, and what it was before.
SELECT version, old_min_balance, old_max_balance, old_status, min_balance, max_balance,
	status, forced, changed_by = current_user, changed_at <= clock_timestamp()
FROM teller.limit_change WHERE ledger_id = 301 ORDER BY changed_at;
-- Its time is later than what was before and not later than what came after.
SELECT teller.set_limits(301, 2, -1, 10000);
SELECT l.changed_at > max(p.recorded_at), a.last_at = l.changed_at
FROM teller.account AS a
JOIN (SELECT * FROM teller.limit_change WHERE ledger_id = 301 ORDER BY changed_at DESC LIMIT 1) AS l
	ON l.account_id = a.account_id
JOIN teller.posting AS p ON p.ledger_id = a.ledger_id AND p.account_id = a.account_id
WHERE a.ledger_id = 301 GROUP BY l.changed_at, a.last_at;
SELECT status FROM teller.transfer(301, 1, 2, 1);
SELECT p.recorded_at >= l.changed_at FROM teller.posting AS p, teller.limit_change AS l
WHERE p.ledger_id = 301 AND p.account_id = 2 AND p.version = 6 AND l.ledger_id = 301 AND l.version = 5
ORDER BY l.changed_at DESC LIMIT 1;
-- Also when the clock has gone back: two changes and a movement in the future.
BEGIN;
UPDATE teller.account SET last_at = '2100-01-01' WHERE ledger_id = 301 AND account_id = 2;
SELECT teller.set_limits(301, 2, -2, 10000);
SELECT teller.set_limits(301, 2, -3, 10000);
SELECT status FROM teller.transfer(301, 1, 2, 1);
SELECT teller.set_limits(301, 2, -4, 10000);
SELECT min_balance, changed_at - '2100-01-01' FROM teller.limit_change
WHERE ledger_id = 301 AND changed_at > '2100-01-01' ORDER BY changed_at;
SELECT * FROM teller.verify(301);
ROLLBACK;

-- What it refuses.
SELECT pg_temp.books() AS before \gset
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.set_limits' || call)
FROM unnest(ARRAY['(NULL, 2, 0, 1)', '(301, NULL, 0, 1)', '(301, 2, 0, 1, NULL)',
	'(301, 77, 0, 1)', '(309999, 2, 0, 1)',
	'(301, 2, 10.01, 10)', '(301, 2, 10.01, 10, true)',
	'(301, 2, 0.001, NULL)', '(301, 2, NULL, 1.005)', '(301, 2, ''NaN'', NULL)', '(301, 2, NULL, ''NaN'')',
	'(301, 2, ''-Infinity'', NULL)', '(301, 2, NULL, ''Infinity'')', '(301, 2, -1e36, NULL)', '(301, 2, NULL, 1e1000)',
	'(301, 2, 2000, NULL)', '(301, 2, NULL, 500)', '(301, 3, 0.01, NULL)', '(301, 1, NULL, -10000)']) AS call;
BEGIN READ ONLY;
SELECT pg_temp.says('SELECT teller.set_limits(301, 2, 1, 2)');
SELECT pg_temp.says('SELECT teller.set_limits(301, 2, -1, 10000)');
ROLLBACK;
SELECT pg_temp.books() = :'before';
-- The bounds themselves are allowed: the balance may be equal to either.
BEGIN;
SELECT posted FROM teller.balance(301, 2);
SELECT teller.set_limits(301, 2, 1101.50, 1101.50);
SELECT pg_temp.says('SELECT teller.transfer(301, 2, 1, 0.01)');
SELECT pg_temp.says('SELECT teller.transfer(301, 1, 2, 0.01)');
SELECT * FROM teller.verify(301);
ROLLBACK;

-- Only members of the owner of pg_teller may, whatever they have on the ledger.
CREATE ROLE regress_teller_limiter;
GRANT USAGE ON SCHEMA teller TO regress_teller_limiter;
SELECT teller.grant_ledger(301, 'regress_teller_limiter', 'operate');
SET ROLE regress_teller_limiter;
SELECT pg_temp.says('SELECT teller.set_limits(301, 2, 1, 2)');
SELECT pg_temp.says('SELECT teller.set_limits(309999, 2, 1, 2)');
SELECT pg_temp.says('SELECT * FROM teller.limit_change_data');
-- Who may read the ledger may read limit_change; nobody else's.
SELECT count(*) > 0 FROM teller.limit_change WHERE ledger_id = 301;
RESET ROLE;
SELECT teller.revoke_ledger(301, 'regress_teller_limiter');
SET ROLE regress_teller_limiter;
SELECT count(*) FROM teller.limit_change;
RESET ROLE;
-- The name stays on record when the role is gone.
DO $$ BEGIN EXECUTE format('GRANT %I TO regress_teller_limiter',
	(SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'teller')); END $$;
SET ROLE regress_teller_limiter;
SELECT teller.set_limits(301, 2, -1, 9999);
RESET ROLE;
REVOKE USAGE ON SCHEMA teller FROM regress_teller_limiter;
DROP ROLE regress_teller_limiter;
SELECT changed_by FROM teller.limit_change WHERE ledger_id = 301 AND max_balance = 9999;

-- Force: in breach of a minimum, credits go on, debits do not.
SELECT teller.open_account(302, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(302, 2, 'USD', 'low'),
	teller.open_account(302, 3, 'USD', 'high'),
	teller.open_account(302, 4, 'USD', 'other');
SELECT status FROM teller.transfer(302, 1, 2, 200);
SELECT status FROM teller.transfer(302, 1, 4, 1000);
SELECT id AS small FROM teller.hold(302, 2, 4, 20, '1 day') \gset
SELECT id AS large FROM teller.hold(302, 2, 4, 30, '1 day') \gset
SELECT pg_temp.says('SELECT teller.set_limits(302, 2, 300, NULL)');
SELECT teller.set_limits(302, 2, 300, NULL, force => true);
SELECT forced, version FROM teller.limit_change WHERE ledger_id = 302;
SELECT posted, available FROM teller.balance(302, 2);
SELECT pg_temp.says('SELECT teller.transfer(302, 2, 1, 0.01)');
SELECT pg_temp.says('SELECT teller.hold(302, 2, 1, 0.01)');
-- A capture takes what is held already; a release leads back.
SELECT amount, debit_balance FROM teller.capture(302, :'small', 5, final => false);
SELECT available FROM teller.release(302, :'large');
SELECT credit_balance FROM teller.transfer(302, 1, 2, 50);
SELECT pg_temp.says('SELECT teller.transfer(302, 2, 1, 0.01)');
-- As does its final capture, which gives back the rest.
SELECT amount FROM teller.capture(302, :'small', 5);
SELECT available FROM teller.balance(302, 2);
-- Within the limit again, it is a limit like any other.
SELECT credit_balance FROM teller.transfer(302, 1, 2, 61);
SELECT debit_balance FROM teller.transfer(302, 2, 1, 1);
SELECT pg_temp.says('SELECT teller.transfer(302, 2, 1, 0.01)');
SELECT * FROM teller.verify(302);
SELECT teller.set_limits(302, 2, 299, NULL);

-- Force: in breach of a maximum, debits go on, credits do not.
SELECT credit_balance FROM teller.transfer(302, 1, 3, 200);
SELECT id AS small FROM teller.hold(302, 4, 3, 20, '1 day') \gset
SELECT id AS large FROM teller.hold(302, 4, 3, 30, '1 day') \gset
SELECT pg_temp.says('SELECT teller.set_limits(302, 3, 0, 240)');
SELECT teller.set_limits(302, 3, 0, 100, force => true);
SELECT pg_temp.says('SELECT teller.transfer(302, 1, 3, 0.01)');
SELECT pg_temp.says('SELECT teller.hold(302, 4, 3, 0.01)');
SELECT amount, credit_balance, credit_version FROM teller.capture(302, :'small', 5, final => false);
SELECT status FROM teller.release(302, :'large');
SELECT debit_balance FROM teller.transfer(302, 3, 1, 100);
SELECT id AS out FROM teller.hold(302, 3, 1, 2) \gset
SELECT amount FROM teller.capture(302, :'out');
SELECT pg_temp.says('SELECT teller.transfer(302, 1, 3, 0.01)');
SELECT amount FROM teller.capture(302, :'small', 5);
SELECT debit_balance FROM teller.transfer(302, 3, 1, 10);
SELECT credit_balance FROM teller.transfer(302, 1, 3, 2);
SELECT pg_temp.says('SELECT teller.transfer(302, 1, 3, 0.01)');
SELECT * FROM teller.verify(302);

-- A limit that the account keeps does not become free by force on the other.
SELECT teller.set_limits(302, 3, 150, 200, force => true);
SELECT pg_temp.says('SELECT teller.transfer(302, 3, 1, 0.01)');
SELECT credit_balance FROM teller.transfer(302, 1, 3, 100);
SELECT pg_temp.says('SELECT teller.transfer(302, 1, 3, 0.01)');
-- Force that was not needed is not on record as forced.
SELECT teller.set_limits(302, 3, 200, 200, force => true);
SELECT forced FROM teller.limit_change WHERE ledger_id = 302 AND account_id = 3 ORDER BY changed_at;

-- Holds that are due count as free on both sides, swept or not.
BEGIN;
SELECT a.status, b.status FROM teller.hold(302, 4, 2, 100, '1 ms') AS a, teller.hold(302, 2, 4, 0.5, '1 ms') AS b;
SELECT pg_temp.wait_until_due();
SELECT posted, pending_debit FROM teller.account WHERE ledger_id = 302 AND account_id = 2;
SELECT posted FROM teller.balance(302, 2) \gset
SELECT teller.set_limits(302, 2, :posted, :posted);
SELECT pending_credit FROM teller.account WHERE ledger_id = 302 AND account_id = 2;
SELECT * FROM teller.verify(302);
SELECT teller.expire_due() >= 2;
SELECT pending_credit FROM teller.account WHERE ledger_id = 302 AND account_id = 2;
COMMIT;
SELECT * FROM teller.verify(302);

-- A maximum introduced over open holds: the row takes up their sum, and every
-- end of theirs is taken from it.
SELECT teller.open_account(303, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(303, 2, 'USD', 'payer'),
	teller.open_account(303, 3, 'USD', 'payee');
SELECT status FROM teller.transfer(303, 1, 2, 1000);
BEGIN;
SELECT id AS h1 FROM teller.hold(303, 2, 3, 10, '1 day') \gset
SELECT id AS h2 FROM teller.hold(303, 2, 3, 20, '1 day') \gset
SELECT id AS h3 FROM teller.hold(303, 2, 3, 30, '50 ms') \gset
SELECT id AS h4 FROM teller.hold(303, 2, 3, 40, '1 day') \gset
SELECT amount FROM teller.capture(303, :'h4', 4, final => false);
SELECT pending_credit, version FROM teller.account WHERE ledger_id = 303 AND account_id = 3;
SELECT pg_temp.wait_until_due();
SELECT pg_temp.says('SELECT teller.set_limits(303, 3, 0, 69.99)');
SELECT teller.set_limits(303, 3, 0, 200);
SELECT pending_credit, version FROM teller.account WHERE ledger_id = 303 AND account_id = 3;
SELECT pending_credit FROM teller.balance(303, 3);
SELECT * FROM teller.verify(303);
SELECT amount, credit_version FROM teller.capture(303, :'h1', 6);
SELECT status FROM teller.release(303, :'h2');
SELECT teller.expire_due() >= 1;
COMMIT;
SELECT id AS h5 FROM teller.hold(303, 2, 3, 50, '1 day') \gset
SELECT kind, amount, credit_version, credit_pending FROM teller.movement
WHERE ledger_id = 303 AND credit_account = 3 ORDER BY id;
SELECT posted, pending_credit FROM teller.account WHERE ledger_id = 303 AND account_id = 3;
SELECT pg_temp.says('SELECT teller.transfer(303, 1, 3, 104.01)');
SELECT * FROM teller.verify(303);
-- Another maximum keeps the sum; none forgets it; a new one finds it again.
SELECT teller.set_limits(303, 3, 0, 150);
SELECT pending_credit FROM teller.account WHERE ledger_id = 303 AND account_id = 3;
SELECT teller.set_limits(303, 3, 0, NULL);
SELECT pending_credit FROM teller.account WHERE ledger_id = 303 AND account_id = 3;
SELECT pending_credit FROM teller.balance(303, 3);
SELECT * FROM teller.verify(303);
SELECT amount FROM teller.capture(303, :'h5', 1, final => false);
SELECT id AS h6 FROM teller.hold(303, 2, 3, 5, '1 day') \gset
SELECT status FROM teller.release(303, :'h4');
SELECT * FROM teller.verify(303);
SELECT teller.set_limits(303, 3, 0, 150), teller.set_limits(303, 3, 1, 150), teller.set_limits(303, 3, 1, NULL),
	teller.set_limits(303, 3, 1, 140);
SELECT pending_credit FROM teller.account WHERE ledger_id = 303 AND account_id = 3;
SELECT amount FROM teller.capture(303, :'h6');
SELECT amount FROM teller.capture(303, :'h5');
SELECT pending_credit FROM teller.account WHERE ledger_id = 303 AND account_id = 3;
SELECT * FROM teller.verify(303);
-- Also in one transaction with the holds, at any isolation level.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT teller.set_limits(303, 3, 0, NULL);
SELECT id AS h7 FROM teller.hold(303, 2, 3, 3, '1 day') \gset
SELECT teller.set_limits(303, 3, 0, 500);
SELECT pending_credit FROM teller.account WHERE ledger_id = 303 AND account_id = 3;
SELECT amount FROM teller.capture(303, :'h7', 1);
SELECT pending_credit FROM teller.account WHERE ledger_id = 303 AND account_id = 3;
SELECT * FROM teller.verify(303);
COMMIT;

-- An account may be opened with a minimum above zero: it is in breach until it
-- is funded.
SELECT teller.open_account(303, 4, 'USD', 'deposit', min_balance => 100);
SELECT credit_balance FROM teller.transfer(303, 1, 4, 60);
SELECT pg_temp.says('SELECT teller.transfer(303, 4, 1, 1)');
SELECT * FROM teller.verify(303);

-- open_account compares with the limits as they are now.
SELECT pg_temp.says('SELECT teller.open_account(303, 3, ''USD'', ''payee'')');
SELECT teller.open_account(303, 3, 'USD', 'payee', 0, 500);

-- verify() finds what is planted.  A corruption is told, and taken back.
CREATE FUNCTION pg_temp.plant(corruption text, only_invariant text DEFAULT '%')
RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	report text[];
BEGIN
	BEGIN
		EXECUTE corruption;
		report := ARRAY(SELECT concat(v.invariant, ' ', v.object, ': ', v.detail)
			FROM teller.verify(303) AS v WHERE v.invariant LIKE only_invariant);
		RAISE EXCEPTION USING ERRCODE = 'UNDO0';
	EXCEPTION
		WHEN SQLSTATE 'UNDO0' THEN
			NULL;
		WHEN OTHERS THEN
			report := ARRAY[sqlstate || ': ' || sqlerrm];
	END;
	RETURN QUERY SELECT line FROM (SELECT regexp_replace(told,
			'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[-+0-9:]+', '<time>', 'g') AS line
		FROM unnest(report) AS told) AS lines
	ORDER BY line COLLATE "C";
END
$$;
SET DateStyle = 'ISO';
-- I7: a minimum that a debit did not respect: planted is a later limit.
SELECT pg_temp.plant($$UPDATE teller.account SET min_balance = 950 WHERE ledger_id = 303 AND account_id = 2$$);
-- I7: a debit that leads away from a forced minimum.  Planted is a record that
-- says it was set before.
SELECT pg_temp.plant($$
	UPDATE teller.account SET min_balance = 950 WHERE ledger_id = 303 AND account_id = 2;
	INSERT INTO teller.limit_change_data SELECT ledger_id, account_id, gen_random_uuid(), 2, 0, NULL, 'open', 950, NULL, 'open',
		true, 0, 'nobody', (SELECT recorded_at + interval '1 us' FROM teller.posting
			WHERE ledger_id = 303 AND account_id = 2 AND version = 2)
	FROM teller.account WHERE ledger_id = 303 AND account_id = 2$$);
-- I7: a credit, and a hold, beyond the maximum.
SELECT pg_temp.plant($$
	UPDATE teller.limit_change_data SET max_balance = 90 WHERE ledger_id = 303 AND account_id = 3 AND max_balance = 200;
	UPDATE teller.limit_change_data SET old_max_balance = 90 WHERE ledger_id = 303 AND account_id = 3 AND old_max_balance = 200$$);
-- I7: a limit in breach that was not forced.
SELECT pg_temp.plant($$
	UPDATE teller.limit_change_data SET min_balance = 30 WHERE ledger_id = 303 AND account_id = 3 AND max_balance = 200;
	UPDATE teller.limit_change_data SET old_min_balance = 30 WHERE ledger_id = 303 AND account_id = 3 AND old_max_balance = 200$$);
SELECT pg_temp.plant($$
	UPDATE teller.limit_change_data SET min_balance = 30, forced = true
	WHERE ledger_id = 303 AND account_id = 3 AND max_balance = 200;
	UPDATE teller.limit_change_data SET old_min_balance = 30 WHERE ledger_id = 303 AND account_id = 3 AND old_max_balance = 200$$);
-- I7: limits that changed without a record, on the row and in the past.
SELECT pg_temp.plant($$UPDATE teller.account SET max_balance = 1000 WHERE ledger_id = 303 AND account_id = 3$$);
SELECT pg_temp.plant($$UPDATE teller.account SET max_balance = NULL WHERE ledger_id = 303 AND account_id = 3$$);
SELECT pg_temp.plant($$
	UPDATE teller.limit_change_data SET old_max_balance = 151 WHERE ledger_id = 303 AND account_id = 3 AND old_max_balance = 150 AND max_balance = 150$$);
SELECT pg_temp.plant($$DELETE FROM teller.limit_change_data WHERE ledger_id = 303 AND account_id = 3 AND max_balance = 140$$, 'I7');
-- I7: a record of a version or an account that is not there.
SELECT pg_temp.plant($$
	UPDATE teller.limit_change_data SET version = 100 WHERE ledger_id = 303 AND account_id = 3 AND max_balance = 500$$, 'I7');
SELECT pg_temp.plant($$
	UPDATE teller.limit_change_data SET account_id = 77 WHERE ledger_id = 303 AND account_id = 3$$, 'I7');
-- I5: pending credits that do not go on over a change, do not begin with the
-- maximum, do not end with it.
SELECT pg_temp.plant($$
	UPDATE teller.limit_change_data SET pending_credit = pending_credit + 1
	WHERE ledger_id = 303 AND account_id = 3 AND max_balance = 200$$, 'I5');
SELECT pg_temp.plant($$
	UPDATE teller.limit_change_data SET pending_credit = 49.00
	WHERE ledger_id = 303 AND account_id = 3 AND old_max_balance = 200$$);
SELECT pg_temp.plant($$
	UPDATE teller.limit_change_data SET pending_credit = 1.00
	WHERE ledger_id = 303 AND account_id = 3 AND old_max_balance IS NOT NULL AND max_balance IS NULL$$);
SELECT pg_temp.plant($$
	UPDATE teller.account SET pending_credit = 1.00 WHERE ledger_id = 303 AND account_id = 3$$);
-- I5: pending credits of a journal row while there was no maximum.
SELECT pg_temp.plant($$
	UPDATE teller.journal SET credit_pending = 1.00 WHERE ledger_id = 303 AND credit_account = 3 AND credit_version = 1$$);
-- I6: a change that is not later than what was before it.
SELECT pg_temp.plant($$
	UPDATE teller.limit_change_data SET changed_at = changed_at - interval '1 day'
	WHERE ledger_id = 303 AND account_id = 3 AND max_balance = 500$$);
-- I4: no record holds what is no amount of the asset.
SELECT planted.col || ' ' || planted.value || E'\n\t' || (
	SELECT string_agg(DISTINCT split_part(line, ':', 1), ', ') FROM pg_temp.plant(format($$
		ALTER TABLE teller.limit_change_data DROP CONSTRAINT limit_change_data_%1$s_check;
		ALTER TABLE teller.limit_change_data DROP CONSTRAINT limit_change_data_check;
		UPDATE teller.limit_change_data SET %1$I = %2$L WHERE ledger_id = 303 AND account_id = 3 AND max_balance = 500$$,
		planted.col, planted.value), 'I4') AS line)
FROM (SELECT col, value
	FROM unnest(ARRAY['old_min_balance', 'old_max_balance', 'min_balance', 'max_balance', 'pending_credit'])
		WITH ORDINALITY AS c (col, col_place),
	unnest(ARRAY['NaN', 'Infinity', '-Infinity', '1.005', '1', '1e36'])
		WITH ORDINALITY AS v (value, value_place)
	ORDER BY col_place, value_place) AS planted;
-- Everything was taken back.
SELECT count(*) FROM teller.verify();

SELECT * FROM teller.verify();
