-- request_time: keys that are forgotten, and never run again.
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
			' FROM teller.%I AS t WHERE ledger_id = 331', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(whole);
END
$$;
-- Sets teller.key_retention for the server, and goes on when it is in force
-- here.
CREATE FUNCTION pg_temp.retain(value text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT 'LOAD ''pg_teller'''
	UNION ALL SELECT format('ALTER SYSTEM SET teller.key_retention = %L', value)
	UNION ALL SELECT 'SELECT pg_reload_conf()'
	UNION ALL SELECT format('SELECT pg_sleep(0.01) WHERE current_setting(''teller.key_retention'') <> %L', value)
		FROM generate_series(1, 2000)
$$;
SELECT teller.create_ledger(331), teller.create_ledger(334);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(331, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(331, 2, 'USD', 'alice'),
	teller.open_account(331, 3, 'USD', 'poor'),
	teller.open_account(334, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(334, 2, 'USD', 'alice');
SHOW teller.key_retention;

-- ---- as long as nothing is forgotten ------------------------------------------

-- request_time is part of the request, and is kept beside the key.
SELECT id AS old, replayed FROM teller.transfer(331, 1, 2, 1, key => 'old', request_time => '2020-01-01 12:00Z') \gset
SELECT :'replayed';
SELECT id = :'old', replayed FROM teller.transfer(331, 1, 2, 1, key => 'old', request_time => '2020-01-01 14:00+02');
SELECT pg_temp.says($$SELECT teller.transfer(331, 1, 2, 1, key => 'old')$$);
SELECT pg_temp.says($$SELECT teller.transfer(331, 1, 2, 1, key => 'old', request_time => '2020-01-01 12:00:00.000001Z')$$);
SELECT request_time = '2020-01-01 12:00Z', arguments ? 'request_time' FROM teller.key WHERE ledger_id = 331 AND key = 'old';
SELECT pg_temp.says($$SELECT teller.transfer(331, 1, 2, 1, key => 'k', request_time => 'infinity')$$);
SELECT pg_temp.says($$SELECT teller.transfer(331, 1, 2, 1, key => 'k', request_time => '-infinity')$$);
-- Every keyed call takes it.
SELECT replayed FROM teller.transfer(331, 1, 2, 1, key => 'plain');
SELECT replayed FROM teller.transfer_up_to(331, 1, 2, 1, key => 'up', request_time => '2020-01-02 00:00Z');
SELECT id AS h, replayed FROM teller.hold(331, 1, 2, 10, '1 hour', key => 'hold', request_time => '2020-01-02 00:00Z') \gset
SELECT replayed FROM teller.extend_hold(331, :'h', '2 hours', key => 'extend', request_time => '2020-01-02 00:00Z');
SELECT replayed FROM teller.adjust_hold(331, :'h', 11, key => 'adjust', request_time => '2020-01-02 00:00Z');
SELECT replayed FROM teller.capture(331, :'h', 1, false, key => 'capture', request_time => '2020-01-02 00:00Z');
SELECT replayed FROM teller.release(331, :'h', key => 'release', request_time => '2020-01-02 00:00Z');
SELECT replayed FROM teller.reverse(331, :'old', key => 'reverse', request_time => '2020-01-02 00:00Z');
SELECT batch_id AS batch, replayed FROM teller.post(331, '{1}', '{2}', '{1}', key => 'batch', request_time => '2020-01-02 00:00Z') \gset
SELECT replayed FROM teller.post(331, '{1,1}', '{2,2}', '{1,1}', keys => '{i1,i2}', request_time => '2020-01-03 00:00Z');
SELECT replayed FROM teller.reverse_batch(331, :'batch', key => 'undo', request_time => '2020-01-02 00:00Z');
SELECT status FROM teller.transfer(331, 3, 1, 5, key => 'denied', on_denial => 'record', request_time => '2020-01-02 00:00Z');
SELECT replayed FROM teller.transfer(331, 1, 2, 1, key => 'new', request_time => now());
SELECT replayed FROM teller.transfer(331, 1, 2, 1, key => 'future', request_time => '2999-01-01 00:00Z');
SELECT replayed FROM teller.transfer(334, 1, 2, 1, key => 'old', request_time => '2020-01-01 12:00Z');
-- An item with a time is the transfer with that time.
SELECT replayed FROM teller.transfer(331, 1, 2, 1, key => 'i1', request_time => '2020-01-03 00:00Z');
SELECT pg_temp.says($$SELECT teller.post(331, '{1}', '{2}', '{1}', keys => '{i2}')$$);
-- With retention 0 nothing is forgotten, and nothing is too old.
SELECT pg_temp.books() AS before \gset
SELECT teller.prune_keys();
SELECT teller.prune_keys(1000000);
SELECT pg_temp.books() = :'before';
SELECT arguments || E'\n\t' || pg_temp.says(format('SELECT teller.prune_keys(%s)', arguments))
FROM unnest(ARRAY['0', '-1', '1000001', 'NULL']) AS arguments;

-- ---- retention of a day ----------------------------------------------------------

\set ECHO none
\o /dev/null
SELECT pg_temp.retain('1d') \gexec
\o
\set ECHO all
SHOW teller.key_retention;
-- What is not forgotten yet is answered.
SELECT id = :'old', replayed FROM teller.transfer(331, 1, 2, 1, key => 'old', request_time => '2020-01-01 12:00Z');
-- A new request that is too old does not run: it may have been forgotten.
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says($$SELECT teller.transfer(331, 1, 2, 1, key => 'too old', request_time => '2020-01-01 12:00Z')$$);
SELECT pg_temp.says($$SELECT teller.transfer(331, 1, 2, 1, key => 'too old', request_time => now() - interval '1 day')$$);
SELECT pg_temp.says($$SELECT teller.transfer(331, 3, 2, 1, key => 'too old', request_time => '2020-01-01 12:00Z', on_denial => 'record')$$);
SELECT pg_temp.says($$SELECT teller.post(331, '{1,1}', '{2,2}', '{1,1}', keys => '{o1,o2}', request_time => '2020-01-01 12:00Z')$$);
SELECT pg_temp.says($$SELECT teller.post(331, '{1,1}', '{2,2}', '{1,1}', keys => '{o1,o2}', mode => 'independent', request_time => '2020-01-01 12:00Z')$$);
SELECT pg_temp.says($$SELECT teller.post(331, '{1,1}', '{2,2}', '{1,1}', key => 'o', request_time => '2020-01-01 12:00Z')$$);
SELECT pg_temp.says($$SELECT teller.hold(331, 1, 2, 1, key => 'o', request_time => '2020-01-01 12:00Z')$$);
SELECT pg_temp.says($$SELECT teller.transfer_up_to(331, 1, 2, 1, key => 'o', request_time => '2020-01-01 12:00Z')$$);
SELECT pg_temp.says(format($$SELECT teller.reverse(331, (SELECT id FROM teller.key WHERE ledger_id = 331 AND key = 'plain'), key => 'o', request_time => '2020-01-01 12:00Z')$$));
SELECT pg_temp.books() = :'before';
-- Known and unknown items in one batch: the unknown ones do not run.
SELECT pg_temp.says($$SELECT teller.post(331, '{1,1}', '{2,2}', '{1,1}', keys => '{i1,i9}', request_time => '2020-01-03 00:00Z')$$);
-- A younger one runs, and so does one without a time or without a key.
SELECT replayed FROM teller.transfer(331, 1, 2, 1, key => 'young', request_time => now() - interval '23 hours');
SELECT replayed FROM teller.transfer(331, 1, 2, 1, key => 'timeless');
SELECT replayed FROM teller.transfer(331, 1, 2, 1, request_time => '2020-01-01 12:00Z');
-- One that would be refused is not: it may have been done, when there was
-- money.
SELECT pg_temp.says($$SELECT teller.transfer(331, 3, 2, 1, key => 'too old', request_time => '2020-01-01 12:00Z')$$);
SELECT pg_temp.says($$SELECT teller.transfer(331, 3, 2, 1, key => 'too old', request_time => '2020-01-01 12:00Z', on_denial => 'return')$$);
SELECT pg_temp.says($$SELECT teller.transfer_up_to(331, 3, 2, 1, key => 'too old', request_time => '2020-01-01 12:00Z')$$);
SELECT pg_temp.says(format($$SELECT teller.capture(331, %L, key => 'too old', request_time => '2020-01-01 12:00Z')$$, :'h'));
SELECT pg_temp.says($$SELECT teller.post(331, '{1,3}', '{2,2}', '{1,1}', key => 'too old', request_time => '2020-01-01 12:00Z')$$);
SELECT pg_temp.says($$SELECT teller.post(331, '{1,3}', '{2,2}', '{1,1}', keys => '{NULL,too old}', request_time => '2020-01-01 12:00Z')$$);
SELECT pg_temp.says($$SELECT teller.post(331, '{1,3}', '{2,2}', '{1,1}', keys => '{NULL,too old}', mode => 'independent', request_time => '2020-01-01 12:00Z')$$);
-- A young one is refused as it is, and so is one without a key.
SELECT status, reason FROM teller.transfer(331, 3, 2, 1, key => 'too poor', request_time => now(), on_denial => 'return');
SELECT status, reason FROM teller.transfer(331, 3, 2, 1, request_time => '2020-01-01 12:00Z', on_denial => 'return');

-- Forgotten: what has a time, and that is older than a day.
SELECT count(*) FROM teller.key WHERE ledger_id IN (331, 334) AND request_time < '2021-01-01 00:00Z';
DO $$
BEGIN
	WHILE teller.prune_keys(5) > 0 LOOP
	END LOOP;
END
$$;
SELECT key FROM teller.key WHERE ledger_id IN (331, 334) ORDER BY key COLLATE "C";
SELECT ledger_id, pruned_until AT TIME ZONE 'UTC' FROM teller.key_horizon WHERE ledger_id IN (331, 334) ORDER BY 1;
SELECT count(*) FROM teller.find(331, 'old');
-- The rows of the books are as they were.
SELECT count(*) FROM teller.journal WHERE ledger_id = 331 AND id = :'old';
-- None of them ever runs again.
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says($$SELECT teller.transfer(331, 1, 2, 1, key => 'old', request_time => '2020-01-01 12:00Z')$$);
SELECT pg_temp.says($$SELECT teller.post(331, '{1}', '{2}', '{1}', key => 'batch', request_time => '2020-01-02 00:00Z')$$);
SELECT pg_temp.says(format($$SELECT teller.reverse(331, %L, key => 'reverse', request_time => '2020-01-02 00:00Z')$$, :'old'));
SELECT pg_temp.says(format($$SELECT teller.capture(331, %L, 1, false, key => 'capture', request_time => '2020-01-02 00:00Z')$$, :'h'));
SELECT pg_temp.says(format($$SELECT teller.release(331, %L, key => 'release', request_time => '2020-01-02 00:00Z')$$, :'h'));
SELECT pg_temp.says(format($$SELECT teller.extend_hold(331, %L, '2 hours', key => 'extend', request_time => '2020-01-02 00:00Z')$$, :'h'));
SELECT pg_temp.says(format($$SELECT teller.adjust_hold(331, %L, 11, key => 'adjust', request_time => '2020-01-02 00:00Z')$$, :'h'));
SELECT pg_temp.says(format($$SELECT teller.reverse_batch(331, %L, key => 'undo', request_time => '2020-01-02 00:00Z')$$, :'batch'));
SELECT pg_temp.says($$SELECT teller.transfer(331, 3, 1, 5, key => 'denied', on_denial => 'record', request_time => '2020-01-02 00:00Z')$$);
SELECT pg_temp.books() = :'before';

-- ---- retention is raised, or taken away: what was forgotten stays too old ---------

\set ECHO none
\o /dev/null
SELECT pg_temp.retain('24855d') \gexec
\o
\set ECHO all
SHOW teller.key_retention;
SELECT pg_temp.says($$SELECT teller.transfer(331, 1, 2, 1, key => 'old', request_time => '2020-01-01 12:00Z')$$);
SELECT pg_temp.says($$SELECT teller.transfer(331, 1, 2, 1, key => 'i1', request_time => '2020-01-03 00:00Z')$$);
SELECT replayed FROM teller.transfer(331, 1, 2, 1, key => 'past the horizon', request_time => '2020-01-03 00:00:00.000001Z');
-- Each ledger has a horizon of its own.
SELECT pg_temp.says($$SELECT teller.transfer(334, 1, 2, 1, key => 'old', request_time => '2020-01-01 12:00Z')$$);
SELECT replayed FROM teller.transfer(334, 1, 2, 1, key => 'other', request_time => '2020-01-02 00:00Z');
\set ECHO none
\o /dev/null
SELECT pg_temp.retain('0') \gexec
\o
\set ECHO all
SHOW teller.key_retention;
SELECT pg_temp.says($$SELECT teller.transfer(331, 1, 2, 1, key => 'old', request_time => '2020-01-01 12:00Z')$$);
SELECT replayed FROM teller.transfer(331, 1, 2, 1, key => 'past the horizon', request_time => '2020-01-03 00:00:00.000001Z');
SELECT teller.prune_keys();
-- The horizon never falls.
\set ECHO none
\o /dev/null
SELECT pg_temp.retain('1d') \gexec
\o
\set ECHO all
SELECT count(*) FROM (SELECT teller.prune_keys()) AS pruned;
SELECT ledger_id, pruned_until AT TIME ZONE 'UTC' FROM teller.key_horizon WHERE ledger_id IN (331, 334) ORDER BY 1;

-- A role that may do nothing else may prune; it forgets only what is due.
CREATE ROLE regress_key_retention;
GRANT USAGE ON SCHEMA teller TO regress_key_retention;
SET ROLE regress_key_retention;
SELECT teller.prune_keys();
RESET ROLE;
REVOKE USAGE ON SCHEMA teller FROM regress_key_retention;
DROP ROLE regress_key_retention;
BEGIN READ ONLY;
SELECT pg_temp.says('SELECT teller.prune_keys()');
ROLLBACK;
SELECT key FROM teller.key WHERE ledger_id IN (331, 334) ORDER BY key COLLATE "C";

\set ECHO none
\o /dev/null
SELECT pg_temp.retain('0') \gexec
\o
\set ECHO all
ALTER SYSTEM RESET teller.key_retention;
SELECT pg_reload_conf();
SHOW teller.key_retention;

SELECT * FROM teller.verify();
