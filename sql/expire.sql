-- Expiry: a hold that is due binds nothing, swept or not.
--
-- Where the server has the worker, it may expire a hold as soon as it is due
-- and committed.  So what is asked about a hold that is due and not swept is
-- asked in the transaction that made it, which the worker cannot see.
\pset format unaligned
\pset tuples_only on
-- What a statement raises, without ids and times.
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
	RETURN regexp_replace(regexp_replace(concat_ws(E'\n', sqlstate || ': ' || sqlerrm,
		'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, '')),
		'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
		'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[-+0-9:]+', '<time>', 'g');
END
$$;
-- Wait until every open hold of the ledgers of this file that lives for less
-- than a minute is due.
CREATE FUNCTION pg_temp.wait_until_due() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz;
BEGIN
	SELECT max(expires_at) INTO deadline FROM teller.hold
	WHERE ledger_id BETWEEN 141 AND 143 AND state = 'open'
		AND expires_at - created_at < interval '1 minute';
	WHILE clock_timestamp() <= deadline LOOP
	END LOOP;
END
$$;
SELECT teller.create_ledger(141), teller.create_ledger(142), teller.create_ledger(143);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(141, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(141, 2, 'USD', 'alice'),
	teller.open_account(141, 3, 'USD', 'shop'),
	teller.open_account(141, 4, 'USD', 'capped', max_balance => 50);
SELECT status FROM teller.transfer(141, 1, 2, 100);

-- A due hold denies no debit: its money is available, in balance() and to
-- transfer and hold, before anybody swept it.
BEGIN;
SELECT id AS h FROM teller.hold(141, 2, 3, 100, '1 ms') \gset
SELECT pg_temp.wait_until_due();
SELECT state FROM teller.hold WHERE ledger_id = 141 AND hold_id = :'h';
SELECT pending_debit FROM teller.account WHERE ledger_id = 141 AND account_id = 2;
SELECT posted, pending_debit, available FROM teller.balance(141, 2);
SELECT pending_credit FROM teller.balance(141, 3);
SELECT hold_id = :'h', remaining, due FROM teller.open_hold WHERE ledger_id = 141;
SELECT status, available FROM teller.hold(141, 2, 3, 60, '1 hour');
SELECT debit_balance FROM teller.transfer(141, 2, 3, 40);
SELECT pg_temp.says('SELECT teller.transfer(141, 2, 3, 0.01)');
SELECT posted, pending_debit, available FROM teller.balance(141, 2);
SELECT posted, pending_debit, version FROM teller.account WHERE ledger_id = 141 AND account_id = 2;
SELECT * FROM teller.verify(141);
-- The sweep only writes it down.
SELECT teller.expire_due();
SELECT state, captured, released, ended_at >= expires_at
FROM teller.hold WHERE ledger_id = 141 AND hold_id = :'h';
SELECT posted, pending_debit, available FROM teller.balance(141, 2);
SELECT kind, amount, debit_posted, debit_pending, credit_version, ends_hold
FROM teller.journal WHERE ledger_id = 141 AND hold_id = :'h' ORDER BY debit_version;
SELECT count(*) FROM teller.open_hold WHERE ledger_id = 141;
SELECT teller.expire_due();
SELECT * FROM teller.verify(141);
ROLLBACK;

-- A due hold denies no credit where there is a maximum.
BEGIN;
SELECT id AS h FROM teller.hold(141, 1, 4, 50, '1 ms') \gset
SELECT pg_temp.wait_until_due();
SELECT pending_credit FROM teller.account WHERE ledger_id = 141 AND account_id = 4;
SELECT pending_credit FROM teller.balance(141, 4);
SELECT status FROM teller.hold(141, 1, 4, 30, '1 hour');
SELECT credit_balance FROM teller.transfer(141, 1, 4, 20);
SELECT pg_temp.says('SELECT teller.transfer(141, 1, 4, 0.01)');
SELECT * FROM teller.verify(141);
SELECT teller.expire_due();
SELECT pending_credit, posted, version FROM teller.account WHERE ledger_id = 141 AND account_id = 4;
SELECT kind, amount, credit_version, credit_posted, credit_pending
FROM teller.journal WHERE ledger_id = 141 AND credit_account = 4 ORDER BY credit_version;
SELECT * FROM teller.verify(141);
ROLLBACK;

-- A due hold can be neither captured nor released, swept or not; both say that
-- it expired, and when.
BEGIN;
SELECT id AS h FROM teller.hold(141, 2, 3, 10, '1 ms') \gset
SELECT pg_temp.wait_until_due();
SELECT pg_temp.says(format('SELECT teller.capture(141, %L)', :'h'));
SELECT pg_temp.says(format('SELECT teller.release(141, %L)', :'h'));
SELECT status, reason FROM teller.capture(141, :'h', on_denial => 'return');
SELECT teller.expire_due();
SELECT pg_temp.says(format('SELECT teller.capture(141, %L)', :'h'));
SELECT pg_temp.says(format('SELECT teller.release(141, %L)', :'h'));
ROLLBACK;

-- At the very instant of the deadline the hold is over; a microsecond before
-- it is not.  The clock reading is the account's last_at where that is later.
BEGIN;
SELECT id AS h FROM teller.hold(141, 2, 3, 10, '1 day') \gset
SAVEPOINT s;
UPDATE teller.account SET last_at = (SELECT expires_at - interval '1 us' FROM teller.hold
	WHERE ledger_id = 141 AND hold_id = :'h') WHERE ledger_id = 141 AND account_id = 2;
SELECT available FROM teller.balance(141, 2);
SELECT pg_temp.says('SELECT teller.transfer(141, 2, 3, 100)');
SELECT amount FROM teller.capture(141, :'h');
SELECT * FROM teller.verify(141);
ROLLBACK TO s;
UPDATE teller.account SET last_at = (SELECT expires_at FROM teller.hold
	WHERE ledger_id = 141 AND hold_id = :'h') WHERE ledger_id = 141 AND account_id = 2;
SELECT available FROM teller.balance(141, 2);
SELECT pg_temp.says(format('SELECT teller.capture(141, %L)', :'h'));
SELECT pg_temp.says(format('SELECT teller.release(141, %L)', :'h'));
SELECT debit_balance FROM teller.transfer(141, 2, 3, 100);
SELECT * FROM teller.verify(141);
ROLLBACK;

-- A part that was captured in time stays; the rest expires.
BEGIN;
SELECT id AS h FROM teller.hold(141, 2, 3, 10, '1 day') \gset
SELECT amount FROM teller.capture(141, :'h', 4, final => false);
UPDATE teller.hold SET expires_at = clock_timestamp() WHERE ledger_id = 141 AND hold_id = :'h';
SELECT available FROM teller.balance(141, 2);
SELECT teller.expire_due();
SELECT state, amount, captured, released FROM teller.hold
WHERE ledger_id = 141 AND hold_id = :'h';
SELECT kind, amount, debit_posted, debit_pending, ends_hold
FROM teller.journal WHERE ledger_id = 141 AND hold_id = :'h' ORDER BY debit_version;
SELECT * FROM teller.verify(141);
ROLLBACK;

-- A hold that is not due is left alone, and so is one without a deadline.
BEGIN;
SELECT id AS h FROM teller.hold(141, 2, 3, 10, '1 hour') \gset
SELECT teller.expire_due();
UPDATE teller.hold SET expires_at = NULL, operation_id = '00000000-0000-7000-8000-000000000141'
WHERE ledger_id = 141 AND hold_id = :'h';
SELECT teller.expire_due();
SELECT remaining, due FROM teller.open_hold WHERE ledger_id = 141;
ROLLBACK;

-- Frozen accounts do not stop it; a closed one has no holds.
BEGIN;
SELECT count(*) FROM (VALUES (2, 3), (1, 4)) AS pair (debit, credit),
	LATERAL teller.hold(141, debit, credit, 1, '1 ms');
SELECT count(teller.freeze_account(141, account)) FROM generate_series(1, 4) AS account;
SELECT pg_temp.wait_until_due();
SELECT teller.expire_due();
SELECT * FROM teller.verify(141);
ROLLBACK;

-- It goes through all ledgers, at most as many holds as it is told, the
-- earliest of a ledger first.
SELECT teller.open_account(142, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(142, 2, 'USD', 'alice', max_balance => 1000),
	teller.open_account(143, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(143, 2, 'USD', 'alice');
BEGIN;
SELECT count(*) FROM generate_series(1, 5) AS i, unnest(ARRAY[143, 141, 142]) AS book,
	LATERAL teller.hold(book, 1, 2, i, make_interval(secs => 0.001 * i));
SELECT pg_temp.wait_until_due();
SELECT teller.expire_due(7);
SELECT ledger_id, array_agg(amount ORDER BY amount) FROM teller.open_hold
WHERE ledger_id BETWEEN 141 AND 143 GROUP BY ledger_id ORDER BY ledger_id;
SELECT teller.expire_due(1);
SELECT teller.expire_due(1000000);
SELECT count(*) FROM teller.open_hold WHERE ledger_id BETWEEN 141 AND 143;
SELECT ledger_id, account_id, pending_debit, pending_credit, version FROM teller.account
WHERE ledger_id BETWEEN 141 AND 143 AND version > 0 ORDER BY ledger_id, account_id;
SELECT * FROM teller.verify();
ROLLBACK;

-- Several due holds of one account in one sweep: each is a version.
BEGIN;
SELECT count(*) FROM generate_series(1, 20) AS i,
	LATERAL teller.hold(141, 2, 4, i * 0.1, '1 ms');
SELECT pg_temp.wait_until_due();
SELECT teller.expire_due();
SELECT account_id, version, pending_debit, pending_credit FROM teller.account
WHERE ledger_id = 141 AND account_id IN (2, 4) ORDER BY account_id;
SELECT * FROM teller.verify(141);
ROLLBACK;

-- What is committed is expired by whoever comes first, once.
SELECT count(*) FROM generate_series(1, 30) AS i,
	LATERAL teller.hold(141, 2, 3, 1 + 0 * i, '1 ms');
DO $$
BEGIN
	WHILE EXISTS (SELECT FROM teller.hold WHERE ledger_id = 141 AND state = 'open') LOOP
		PERFORM teller.expire_due();
	END LOOP;
END
$$;
SELECT * FROM teller.balance(141, 2);
SELECT count(*), count(DISTINCT hold_id) FROM teller.journal
WHERE ledger_id = 141 AND kind = 'expire';
SELECT state, count(*), sum(released) FROM teller.hold WHERE ledger_id = 141 GROUP BY state;

-- The argument: 1 to a million.
SELECT max_holds || E'\n\t' || pg_temp.says(format('SELECT teller.expire_due(%s)', max_holds))
FROM unnest(ARRAY['NULL', '0', '-1', '1000001', '2147483647']) AS max_holds;

-- Anyone may call it who has USAGE on the schema; he learns nothing but how
-- many.
CREATE ROLE regress_teller_expire;
GRANT USAGE ON SCHEMA teller TO regress_teller_expire;
BEGIN;
SELECT id AS h FROM teller.hold(141, 2, 3, 1, '1 ms') \gset
SELECT pg_temp.wait_until_due();
SET ROLE regress_teller_expire;
SELECT teller.expire_due();
SELECT count(*) FROM teller.open_hold;
RESET ROLE;
SELECT state FROM teller.hold WHERE ledger_id = 141 AND hold_id = :'h';
ROLLBACK;
REVOKE USAGE ON SCHEMA teller FROM regress_teller_expire;
DROP ROLE regress_teller_expire;

-- Not in a read-only transaction, if there is something to do.
BEGIN;
SELECT id AS h FROM teller.hold(141, 2, 3, 1, '1 ms') \gset
SELECT pg_temp.wait_until_due();
SET TRANSACTION READ ONLY;
SELECT pg_temp.says('SELECT teller.expire_due()');
ROLLBACK;

SELECT * FROM teller.verify();
