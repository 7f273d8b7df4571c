-- close_period: nothing becomes effective in the past any more.
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
		'\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?[-+0-9:]+', '<time>', 'g');
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
			' FROM teller.%I AS t WHERE ledger_id = 330', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(whole);
END
$$;
SELECT teller.create_ledger(330), teller.create_ledger(333);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(330, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(330, 2, 'USD', 'alice'),
	teller.open_account(330, 3, 'USD', 'shop'),
	teller.open_account(333, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(333, 2, 'USD', 'alice');
SELECT status FROM teller.transfer(330, 1, 2, 100, effective_at => '2020-01-15 00:00Z', key => 'january');
SELECT status FROM teller.post(330, '{1,2}', '{2,3}', '{5,5}', effective_at => '2020-01-16 00:00Z', key => 'batch');
SELECT status FROM teller.post(330, '{1,2}', '{2,3}', '{6,6}', effective_at => '2020-01-16 00:00Z', keys => '{i1,i2}');
SELECT id AS paid FROM teller.transfer(330, 1, 2, 50, effective_at => '2020-01-17 00:00Z') \gset
SELECT teller.balance_at(330, 2, '2020-02-01 00:00Z', 'effective');

SELECT teller.close_period(330, '2020-02-01 00:00Z');
SELECT closed_until = '2020-02-01 00:00Z', closed_at BETWEEN now() - interval '1 minute' AND clock_timestamp()
FROM teller.period WHERE ledger_id = 330;
-- Before it: 55000, with both times; from the very instant on: it works.
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says($$SELECT teller.transfer(330, 1, 2, 1, effective_at => '2020-01-31 23:59:59.999999Z')$$);
SELECT pg_temp.says($$SELECT teller.transfer(330, 1, 2, 1, effective_at => '0001-01-01 00:00Z BC')$$);
SELECT pg_temp.says($$SELECT teller.transfer(330, 1, 2, 1, effective_at => '2020-01-01 00:00Z', on_denial => 'return')$$);
SELECT pg_temp.says($$SELECT teller.transfer(330, 1, 2, 1, effective_at => '2020-01-01 00:00Z', key => 'late', on_denial => 'record')$$);
SELECT pg_temp.says($$SELECT teller.post(330, '{1,2}', '{2,3}', '{1,1}', effective_at => '2020-01-01 00:00Z')$$);
SELECT pg_temp.says($$SELECT teller.post(330, '{1,2}', '{2,3}', '{1,1}', effective_at => '2020-01-01 00:00Z', mode => 'independent')$$);
SELECT pg_temp.says($$SELECT teller.post(330, '{1,2}', '{2,3}', '{1,1}', effective_at => '2020-01-01 00:00Z', key => 'late')$$);
SELECT pg_temp.says($$SELECT teller.import_journal(330, '{1,1}', '{2,2}', '{1,1}', '{2020-02-02 00:00Z,2020-01-31 00:00Z}', '{a,b}')$$);
SELECT pg_temp.books() = :'before';
SELECT status FROM teller.transfer(330, 1, 2, 1, effective_at => '2020-02-01 00:00Z');
SELECT status FROM teller.post(330, '{1,2}', '{2,3}', '{1,1}', effective_at => '2020-02-01 00:00Z');
-- Without a time, and in the future, all goes on; so do holds and reversals,
-- which are effective now.
SELECT status FROM teller.transfer(330, 1, 2, 1);
SELECT status FROM teller.transfer(330, 1, 2, 1, effective_at => '2999-01-01 00:00Z');
SELECT id AS h FROM teller.hold(330, 2, 3, 5, '1 hour') \gset
SELECT amount FROM teller.capture(330, :'h');
SELECT amount FROM teller.reverse(330, :'paid');
-- What was done under a key before is still answered.
SELECT status, replayed FROM teller.transfer(330, 1, 2, 100, effective_at => '2020-01-15 00:00Z', key => 'january');
SELECT status, replayed FROM teller.post(330, '{1,2}', '{2,3}', '{5,5}', effective_at => '2020-01-16 00:00Z', key => 'batch');
SELECT status, replayed FROM teller.post(330, '{1,2}', '{2,3}', '{6,6}', effective_at => '2020-01-16 00:00Z', keys => '{i1,i2}');
SELECT pg_temp.says($$SELECT teller.transfer(330, 1, 2, 101, effective_at => '2020-01-15 00:00Z', key => 'january')$$);
SELECT pg_temp.says($$SELECT teller.post(330, '{1,1}', '{2,2}', '{6,7}', effective_at => '2020-01-16 00:00Z', keys => '{i1,new}')$$);
-- The balance of a closed period stays.
SELECT teller.balance_at(330, 2, '2020-01-31 23:59:59.999999Z', 'effective');
-- Another ledger is another book.
SELECT status FROM teller.transfer(333, 1, 2, 1, effective_at => '2020-01-01 00:00Z');

-- The same again is a no-op; later closes more; earlier is refused.
SELECT pg_temp.books() AS before \gset
SELECT teller.close_period(330, '2020-02-01 00:00Z');
SELECT teller.close_period(330, '2020-02-01 01:00+01');
SELECT pg_temp.books() = :'before';
SELECT teller.close_period(330, '2020-03-01 00:00Z');
SELECT pg_temp.says($$SELECT teller.transfer(330, 1, 2, 1, effective_at => '2020-02-29 00:00Z')$$);
SELECT pg_temp.says($$SELECT teller.close_period(330, '2020-02-29 23:59:59.999999Z')$$);
SELECT status FROM teller.transfer(330, 1, 2, 1, effective_at => '2020-03-01 00:00Z');
-- Up to now, not into the future.
SELECT pg_temp.says($$SELECT teller.close_period(330, '2999-01-01 00:00Z')$$);
SELECT pg_temp.says($$SELECT teller.close_period(330, clock_timestamp() + interval '1 hour')$$);
SELECT pg_temp.says($$SELECT teller.close_period(330, 'infinity')$$);
SELECT pg_temp.says($$SELECT teller.close_period(330, '-infinity')$$);
SELECT pg_temp.says($$SELECT teller.close_period(330, NULL)$$);
SELECT pg_temp.says($$SELECT teller.close_period(NULL, '2020-01-01 00:00Z')$$);
SELECT pg_temp.says($$SELECT teller.close_period(329, '2020-01-01 00:00Z')$$);
SELECT clock_timestamp() AS present \gset
SELECT teller.close_period(330, :'present');
SELECT pg_temp.says(format($$SELECT teller.transfer(330, 1, 2, 1, effective_at => %L::timestamptz - interval '1 microsecond')$$, :'present'));
SELECT status FROM teller.transfer(330, 1, 2, 1, effective_at => :'present');
SELECT status FROM teller.transfer(330, 1, 2, 1);
SELECT count(*) FROM teller.journal WHERE ledger_id = 330 AND recorded_at > :'present' AND effective_at < :'present';
-- A wrong transfer is told as it is.
SELECT pg_temp.says($$SELECT teller.transfer(330, 1, 1, 1, effective_at => '2020-01-01 00:00Z')$$);
SELECT pg_temp.says($$SELECT teller.transfer(329, 1, 2, 1, effective_at => '2020-01-01 00:00Z')$$);

-- What is rolled back was not closed.
BEGIN;
SELECT teller.close_period(333, '2020-02-01 00:00Z');
SAVEPOINT s;
SELECT pg_temp.says($$SELECT teller.transfer(333, 1, 2, 1, effective_at => '2020-01-01 00:00Z')$$);
ROLLBACK TO s;
ROLLBACK;
SELECT status FROM teller.transfer(333, 1, 2, 1, effective_at => '2020-01-01 00:00Z');
-- In a transaction that moved money itself it does not wait for itself.
BEGIN;
SELECT status FROM teller.transfer(333, 1, 2, 1, effective_at => '2020-01-01 00:00Z');
SELECT status FROM teller.transfer(333, 1, 2, 1);
SELECT teller.close_period(333, '2020-02-01 00:00Z');
SELECT pg_temp.says($$SELECT teller.transfer(333, 1, 2, 1, effective_at => '2020-01-01 00:00Z')$$);
SELECT status FROM teller.transfer(333, 1, 2, 1);
COMMIT;
SELECT pg_temp.says($$SELECT teller.transfer(333, 1, 2, 1, effective_at => '2020-01-01 00:00Z')$$);
-- At REPEATABLE READ a period that is closed is seen too.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM teller.journal WHERE ledger_id = 333;
SELECT teller.close_period(333, '2020-03-01 00:00Z');
SELECT pg_temp.says($$SELECT teller.transfer(333, 1, 2, 1, effective_at => '2020-02-15 00:00Z')$$);
COMMIT;
BEGIN READ ONLY;
SELECT pg_temp.says($$SELECT teller.close_period(333, '2020-04-01 00:00Z')$$);
ROLLBACK;

-- It is for the owner of pg_teller.
CREATE ROLE regress_period;
GRANT USAGE ON SCHEMA teller TO regress_period;
SELECT teller.grant_ledger(330, 'regress_period', 'operate');
SET ROLE regress_period;
SELECT pg_temp.says($$SELECT teller.close_period(330, '2020-01-01 00:00Z')$$);
SELECT pg_temp.says($$SELECT teller.close_period(329, '2020-01-01 00:00Z')$$);
SELECT pg_temp.says($$SELECT teller.transfer(330, 1, 2, 1, effective_at => '2020-01-01 00:00Z')$$);
SELECT pg_temp.says($$SELECT * FROM teller.period$$);
RESET ROLE;
SELECT teller.revoke_ledger(330, 'regress_period');
REVOKE USAGE ON SCHEMA teller FROM regress_period;
DROP ROLE regress_period;

SELECT * FROM teller.verify();
