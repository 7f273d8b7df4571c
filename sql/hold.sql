-- Holds: place, capture, release.
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
-- A hash of every row of the ledger in every table, with its place on disk.
CREATE FUNCTION pg_temp.books() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	relation name;
	part text;
	whole text := '';
BEGIN
	FOR relation IN SELECT table_name FROM information_schema.columns
		JOIN information_schema.tables USING (table_schema, table_name)
		WHERE table_schema = 'teller' AND table_type = 'BASE TABLE'
			AND column_name = 'ledger_id'
		ORDER BY table_name LOOP
		EXECUTE format('SELECT md5(string_agg(concat(t.ctid, t.xmin, t), ''|'' ORDER BY t.ctid))'
			' FROM teller.%I AS t WHERE ledger_id = 151', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(whole);
END
$$;
SELECT teller.create_ledger(151);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(151, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(151, 2, 'USD', 'alice'),
	teller.open_account(151, 3, 'USD', 'shop'),
	teller.open_account(151, 4, 'USD', 'capped', max_balance => 50),
	teller.open_account(151, 5, 'JPY', 'yuki');
SELECT status FROM teller.transfer(151, 1, 2, 100);

-- A hold takes from what is available, not from what is posted.
SELECT id AS h, expires_at FROM teller.hold(151, 2, 3, 40, '1 hour', metadata => '{"cart": 1}') \gset
SELECT * FROM teller.balance(151, 2);
-- The credit account has no maximum: its row is left alone, its pending credit
-- is the sum of its holds.
SELECT * FROM teller.balance(151, 3);
SELECT pending_credit, version FROM teller.account WHERE ledger_id = 151 AND account_id = 3;
SELECT debit_account, credit_account, amount, captured, released, state,
	expires_at = :'expires_at', expires_at - created_at, operation_id, ended_at, metadata
FROM teller.hold WHERE ledger_id = 151 AND hold_id = :'h';
SELECT kind, debit_account, credit_account, amount, debit_version, debit_posted,
	debit_pending, credit_version, credit_posted, credit_pending, metadata, ends_hold
FROM teller.journal WHERE ledger_id = 151 AND hold_id = :'h';

-- The row that comes back.
SELECT id IS NOT NULL, status, reason, expires_at > clock_timestamp(), available,
	debit_version, replayed
FROM teller.hold(151, 2, 3, 10, '1 hour');
SELECT status, available FROM teller.hold(151, 2, 3, 50, '1 hour');

-- What is held cannot be spent or held again.
SELECT pg_temp.says('SELECT teller.hold(151, 2, 3, 0.01)');
SELECT pg_temp.says('SELECT teller.transfer(151, 2, 3, 0.01)');
SELECT id, status, reason, expires_at, available, debit_version, replayed
FROM teller.hold(151, 2, 3, 0.01, on_denial => 'return');

-- Captures may repeat until nothing remains.
SELECT id IS NOT NULL, status, reason, amount, debit_balance, debit_version,
	credit_balance, credit_version, replayed
FROM teller.capture(151, :'h', 15, final => false);
SELECT amount, captured, released, state FROM teller.hold
WHERE ledger_id = 151 AND hold_id = :'h';
SELECT * FROM teller.balance(151, 2);
SELECT * FROM teller.balance(151, 3);
SELECT amount, debit_balance FROM teller.capture(151, :'h', 20, final => false);
-- More than remains: 22023 with the remainder.
SELECT pg_temp.says(format('SELECT teller.capture(151, %L, 5.01)', :'h'));
-- The rest; then the hold is captured, though no capture was final.
SELECT amount FROM teller.capture(151, :'h', 5, final => false);
SELECT amount, captured, released, state, ended_at IS NOT NULL FROM teller.hold
WHERE ledger_id = 151 AND hold_id = :'h';
-- Then capture and release say what ended it, and when.
SELECT pg_temp.says(format('SELECT teller.capture(151, %L)', :'h'));
SELECT pg_temp.says(format('SELECT teller.release(151, %L)', :'h'));
SELECT status, reason, amount, id FROM teller.capture(151, :'h', on_denial => 'return');
SELECT kind, amount, debit_version, debit_posted, debit_pending, credit_version,
	credit_posted, credit_pending, ends_hold
FROM teller.journal WHERE ledger_id = 151 AND hold_id = :'h' ORDER BY debit_version;

-- A final capture of a part gives the rest back: a capture row, then a release
-- row; the id is the capture's, the versions are those after the last row.
SELECT hold_id AS h FROM teller.hold WHERE ledger_id = 151 AND amount = 50 \gset
SELECT id AS captured, amount, debit_balance, debit_version, credit_balance, credit_version
FROM teller.capture(151, :'h', 20) \gset
SELECT :amount, :debit_balance, :debit_version, :credit_balance, :credit_version;
SELECT kind, amount, id = :'captured', debit_version, debit_posted, debit_pending,
	credit_version, credit_posted, ends_hold
FROM teller.journal WHERE ledger_id = 151 AND hold_id = :'h' ORDER BY debit_version;
SELECT amount, captured, released, state FROM teller.hold
WHERE ledger_id = 151 AND hold_id = :'h';
SELECT * FROM teller.balance(151, 2);

-- Without an amount all that remains is captured.
SELECT hold_id AS h FROM teller.hold WHERE ledger_id = 151 AND amount = 10 \gset
SELECT amount FROM teller.capture(151, :'h');
SELECT count(*) FROM teller.journal WHERE ledger_id = 151 AND hold_id = :'h';

-- Release gives all back.
SELECT id AS h FROM teller.hold(151, 2, 3, 25, '1 hour') \gset
SELECT amount FROM teller.capture(151, :'h', 5, final => false);
SELECT id = :'h', status, reason, expires_at IS NOT NULL, available, debit_version, replayed
FROM teller.release(151, :'h');
SELECT amount, captured, released, state FROM teller.hold
WHERE ledger_id = 151 AND hold_id = :'h';
SELECT pg_temp.says(format('SELECT teller.release(151, %L)', :'h'));
SELECT pg_temp.says(format('SELECT teller.capture(151, %L, 1)', :'h'));

-- Where the credit account has a maximum, its pending credit is kept in its
-- row, counts against the maximum, and its version steps.
SELECT id AS h, status FROM teller.hold(151, 1, 4, 30, '1 hour') \gset
SELECT pending_credit, version FROM teller.account WHERE ledger_id = 151 AND account_id = 4;
SELECT pg_temp.says('SELECT teller.transfer(151, 1, 4, 20.01)');
SELECT pg_temp.says('SELECT teller.hold(151, 1, 4, 20.01)');
SELECT status, reason FROM teller.hold(151, 1, 4, 20.01, on_denial => 'return');
SELECT credit_balance FROM teller.transfer(151, 1, 4, 20);
-- So a capture cannot meet the maximum.
SELECT credit_balance, credit_version FROM teller.capture(151, :'h', 29);
SELECT * FROM teller.balance(151, 4);
SELECT kind, amount, credit_version, credit_posted, credit_pending
FROM teller.journal WHERE ledger_id = 151 AND credit_account = 4 ORDER BY credit_version;
SELECT id AS h FROM teller.hold(151, 1, 4, 1, '1 hour') \gset
SELECT status FROM teller.release(151, :'h');
SELECT posted, pending_credit, version FROM teller.account WHERE ledger_id = 151 AND account_id = 4;

-- Between the captures the debit account's minimum is not tested again: what
-- was held is there.
SELECT posted, available FROM teller.balance(151, 2);
SELECT id AS h FROM teller.hold(151, 2, 3, 25, '1 hour') \gset
SELECT available FROM teller.balance(151, 2);
SELECT debit_balance FROM teller.capture(151, :'h');

-- expected_version is the debit account's, tested before the funds.
SELECT version FROM teller.balance(151, 2) \gset
SELECT pg_temp.says('SELECT teller.hold(151, 2, 3, 1000, expected_version => 1)')
	LIKE E'TL002: account 2 of ledger 151 has changed\nDETAIL: Its version is %, 1 was expected.%';
SELECT status FROM teller.transfer(151, 1, 2, 100, expected_version => NULL);
SELECT debit_version - :version FROM teller.hold(151, 2, 3, 1, expected_version => :version + 1);

-- Wrong calls.
SELECT pg_temp.says('SELECT teller.hold(151, 2, 2, 1)');
SELECT pg_temp.says('SELECT teller.hold(151, 2, 5, 1)');
SELECT pg_temp.says('SELECT teller.hold(151, 2, 77, 1)');
SELECT pg_temp.says('SELECT teller.hold(151, 77, 2, 1)');
SELECT pg_temp.says('SELECT teller.hold(159, 1, 2, 1)');
SELECT pg_temp.says($$SELECT teller.capture(151, '00000000-0000-7000-8000-000000000000')$$);
SELECT pg_temp.says($$SELECT teller.release(151, '00000000-0000-7000-8000-000000000000')$$);
SELECT id AS h FROM teller.hold(151, 2, 3, 10, '1 hour') \gset
SELECT amount || E'\n\t' || pg_temp.says(format(
	'SELECT teller.capture(151, %L, %L)', :'h', amount))
FROM unnest(ARRAY['0', '-1', 'NaN', 'Infinity', '1.005', '10.01', '1e36', '1e1000']) AS amount;
SELECT pg_temp.says(format('SELECT teller.capture(152, %L)', :'h'));

-- A frozen or closed account: no hold and no capture; release goes on.
BEGIN;
UPDATE teller.account SET status = 'frozen_debit' WHERE ledger_id = 151 AND account_id = 2;
SELECT pg_temp.says('SELECT teller.hold(151, 2, 3, 1)');
SELECT pg_temp.says(format('SELECT teller.capture(151, %L)', :'h'));
SELECT status, reason FROM teller.capture(151, :'h', on_denial => 'return');
SELECT status FROM teller.release(151, :'h');
ROLLBACK;
BEGIN;
UPDATE teller.account SET status = 'frozen_credit' WHERE ledger_id = 151 AND account_id = 3;
SELECT pg_temp.says('SELECT teller.hold(151, 2, 3, 1)');
SELECT pg_temp.says(format('SELECT teller.capture(151, %L)', :'h'));
SELECT status FROM teller.release(151, :'h');
ROLLBACK;
BEGIN;
UPDATE teller.account SET status = 'closed' WHERE ledger_id = 151 AND account_id IN (2, 3);
SELECT pg_temp.says('SELECT teller.hold(151, 2, 3, 1)');
SELECT pg_temp.says(format('SELECT teller.capture(151, %L)', :'h'));
SELECT status FROM teller.release(151, :'h');
ROLLBACK;
-- The other direction is free.
BEGIN;
UPDATE teller.account SET status = 'frozen_credit' WHERE ledger_id = 151 AND account_id = 2;
UPDATE teller.account SET status = 'frozen_debit' WHERE ledger_id = 151 AND account_id = 3;
SELECT status FROM teller.hold(151, 2, 3, 1);
SELECT status FROM teller.capture(151, :'h');
ROLLBACK;

-- The hold of an operation is ended by the operation alone.
BEGIN;
UPDATE teller.hold SET expires_at = NULL, operation_id = '00000000-0000-7000-8000-000000000151'
WHERE ledger_id = 151 AND hold_id = :'h';
SELECT pg_temp.says(format('SELECT teller.capture(151, %L)', :'h'));
SELECT pg_temp.says(format('SELECT teller.release(151, %L)', :'h'));
SELECT available FROM teller.balance(151, 2);
ROLLBACK;

-- A call that was denied or failed changed nothing.
SELECT pg_temp.books() AS before \gset
SELECT status, reason FROM teller.hold(151, 2, 3, 1000, on_denial => 'return', key => 'no');
SELECT pg_temp.says(format('SELECT teller.capture(151, %L, 11)', :'h'));
SELECT pg_temp.says('SELECT teller.hold(151, 2, 3, 1000)');
BEGIN;
SELECT status FROM teller.hold(151, 2, 3, 1, key => 'taken back');
SELECT status FROM teller.capture(151, :'h', 3, final => false);
ROLLBACK;
SELECT pg_temp.books() = :'before';

-- Place, capture and release in one transaction; what a savepoint takes back
-- was not.
BEGIN;
SELECT id AS h2 FROM teller.hold(151, 2, 3, 5, '1 hour') \gset
SAVEPOINT s;
SELECT amount FROM teller.capture(151, :'h2');
ROLLBACK TO s;
SELECT amount FROM teller.capture(151, :'h2', 1, final => false);
SELECT status FROM teller.release(151, :'h2');
COMMIT;
SELECT captured, released, state FROM teller.hold WHERE ledger_id = 151 AND hold_id = :'h2';

-- The default life is teller.hold_ttl.
SELECT id AS h2 FROM teller.hold(151, 2, 3, 1) \gset
SELECT expires_at - created_at = interval '7 days' FROM teller.hold
WHERE ledger_id = 151 AND hold_id = :'h2';
SET teller.hold_ttl = '90s';
SELECT id AS h3 FROM teller.hold(151, 2, 3, 1) \gset
SELECT extract(epoch FROM expires_at - created_at) FROM teller.hold
WHERE ledger_id = 151 AND hold_id = :'h3';
RESET teller.hold_ttl;
SELECT status FROM unnest(ARRAY[:'h2', :'h3']::uuid[]) AS h, LATERAL teller.release(151, h);

-- A life of 0, below 0, without end, or over a hundred years is refused; months
-- count as the calendar does.
SELECT ttl || E'\n\t' || pg_temp.says(format(
	'SELECT teller.hold(151, 2, 3, 1, %L)', ttl))
FROM unnest(ARRAY['0', '-1 second', '1 day -48 hours', '1000 years', '101 years',
	'36526 days', '-178000000 years', '178000000 years',
	'2147483647 days', '2147483647 months 2147483647 days']) AS ttl;
BEGIN;
SELECT id AS h2 FROM teller.hold(151, 2, 3, 1, '99 years 11 months') \gset
SELECT expires_at = created_at + interval '99 years 11 months' FROM teller.hold
WHERE ledger_id = 151 AND hold_id = :'h2';
SELECT status FROM teller.hold(151, 2, 3, 1, '1 microsecond');
ROLLBACK;
-- Where the interval type knows infinity, it is refused; elsewhere it is no
-- interval.
DO $$
BEGIN
	PERFORM FROM teller.hold(151, 2, 3, 1, CAST('infinity' AS text)::interval);
	RAISE WARNING 'an infinite hold';
EXCEPTION
	WHEN invalid_parameter_value OR invalid_datetime_format THEN NULL;
END
$$;

-- Nothing is written in a read-only transaction.
BEGIN READ ONLY;
SELECT pg_temp.says('SELECT teller.hold(151, 2, 3, 1)');
SELECT pg_temp.says(format('SELECT teller.capture(151, %L)', :'h'));
SELECT pg_temp.says(format('SELECT teller.release(151, %L)', :'h'));
ROLLBACK;

-- It works at REPEATABLE READ and SERIALIZABLE.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT id AS h2 FROM teller.hold(151, 2, 3, 1, '1 hour') \gset
SELECT amount FROM teller.capture(151, :'h2');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT id AS h2 FROM teller.hold(151, 2, 3, 1, '1 hour') \gset
SELECT status FROM teller.release(151, :'h2');
COMMIT;

-- Many holds of one account.
SELECT count(*), min(available) FROM generate_series(1, 50) AS i,
	LATERAL teller.hold(151, 2, 3, 1 + 0 * i, '1 hour');
SELECT pending_debit, available FROM teller.balance(151, 2);
SELECT count(*) FROM teller.hold AS o, LATERAL teller.capture(151, o.hold_id)
WHERE o.ledger_id = 151 AND o.state = 'open' AND o.amount = 1;
SELECT posted, pending_debit, available FROM teller.balance(151, 2);

SELECT * FROM teller.verify();
