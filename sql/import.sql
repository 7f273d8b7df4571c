-- import_journal: history from another system.
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
			' FROM teller.%I AS t WHERE ledger_id = 332', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(whole);
END
$$;
SELECT teller.create_ledger(332);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(332, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(332, 2, 'USD', 'alice', min_balance => NULL),
	teller.open_account(332, 3, 'USD', 'bob', min_balance => NULL),
	teller.open_account(332, 4, 'USD', 'limited'),
	teller.open_account(332, 5, 'JPY', 'yuki', min_balance => NULL),
	teller.open_account(332, 6, 'JPY', 'yen world', min_balance => NULL);

-- Each row at its own time, under its own key.
CREATE TEMP TABLE imported AS SELECT * FROM teller.import_journal(332, '{1,2,1}', '{2,3,3}', '{100,30.5,7}',
	'{2019-05-01 00:00Z,2019-06-01 00:00Z,2018-01-01 00:00Z}', '{old-1,old-2,old-3}',
	metadata => ARRAY['{"from": "excel"}', NULL, '[1]']::jsonb[]);
SELECT ordinal, status, reason, amount, debit_balance, debit_version, credit_balance, credit_version, replayed
FROM imported ORDER BY ordinal;
SELECT i.ordinal, j.kind, j.amount, j.effective_at AT TIME ZONE 'UTC', j.recorded_at > now() - interval '1 minute',
	j.metadata, j.batch_id = i.batch_id, substr(j.id::text, 29)
FROM imported AS i JOIN teller.journal AS j ON j.ledger_id = 332 AND j.id = i.id ORDER BY 1;
SELECT by, teller.balance_at(332, 3, '2018-06-01 00:00Z', by), teller.balance_at(332, 3, '2020-01-01 00:00Z', by)
FROM unnest(ARRAY['recorded', 'effective']) AS by;

-- An import that broke off is repeated as it was, and goes on.
SELECT pg_temp.books() AS before \gset
SELECT count(*), bool_and(a.replayed), bool_and(a.id = i.id)
FROM teller.import_journal(332, '{1,2,1}', '{2,3,3}', '{100,30.5,7}',
	'{2019-05-01 00:00Z,2019-06-01 00:00Z,2018-01-01 00:00Z}', '{old-1,old-2,old-3}',
	metadata => ARRAY['{"from": "excel"}', NULL, '[1]']::jsonb[]) AS a JOIN imported AS i USING (ordinal);
SELECT pg_temp.books() = :'before';
SELECT ordinal, replayed FROM teller.import_journal(332, '{2,1}', '{3,3}', '{30.5,8}',
	'{2019-06-01 02:00+02,2018-01-02 00:00Z}', '{old-2,old-4}');
-- With anything else under a known key it stops, and nothing is brought in.
SELECT pg_temp.books() AS before \gset
SELECT arguments || E'\n\t' || pg_temp.says(format('SELECT teller.import_journal(332, %s)', arguments))
FROM unnest(ARRAY[
	$$'{1,2}', '{2,3}', '{1,30.51}', '{2019-06-01 00:00Z,2019-06-01 00:00Z}', '{n,old-2}'$$,
	$$'{1,2}', '{2,3}', '{1,30.5}', '{2019-06-01 00:00Z,2019-06-02 00:00Z}', '{n,old-2}'$$,
	$$'{1,3}', '{2,2}', '{1,30.5}', '{2019-06-01 00:00Z,2019-06-01 00:00Z}', '{n,old-2}'$$,
	$$'{1,2}', '{2,3}', '{1,30.5}', '{2019-06-01 00:00Z,2019-06-01 00:00Z}', '{n,old-2}', metadata => '{NULL,"{}"}'$$]) AS arguments;
SELECT pg_temp.books() = :'before';
-- The same key twice in one import: once, or TL003.
SELECT ordinal, replayed FROM teller.import_journal(332, '{1,1}', '{2,2}', '{1,1}', '{2019-01-01 00:00Z,2019-01-01 00:00Z}', '{twice,twice}');
SELECT pg_temp.says($$SELECT teller.import_journal(332, '{1,1}', '{2,2}', '{1,1}', '{2019-01-01 00:00Z,2019-01-02 00:00Z}', '{twice 2,twice 2}')$$);
-- A row is the transfer it describes.
SELECT replayed FROM teller.transfer(332, 1, 3, 8, key => 'old-4', effective_at => '2018-01-02 00:00Z');
SELECT replayed FROM teller.post(332, '{1}', '{3}', '{8}', keys => '{old-4}', effective_at => '2018-01-02 00:00Z');
SELECT function, status FROM teller.find(332, 'old-4');
-- It can be reversed, row by row or as a whole.
SELECT batch_id AS batch, min(id::text) FILTER (WHERE ordinal = 3) AS third FROM imported GROUP BY 1 \gset
SELECT amount FROM teller.reverse(332, :'third', 2);
SELECT ordinal, amount FROM teller.reverse_batch(332, :'batch');

-- All or nothing; limits on what each account loses or gains in all.
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says($$SELECT teller.import_journal(332, '{1,4}', '{2,3}', '{10,0.01}', '{2019-01-01 00:00Z,2019-01-01 00:00Z}', '{l1,l2}')$$);
SELECT pg_temp.books() = :'before';
SELECT ordinal, debit_balance FROM teller.import_journal(332, '{4,1}', '{3,4}', '{10,10}', '{2019-01-01 00:00Z,2019-01-02 00:00Z}', '{l1,l2}');
-- Two assets in one import.
SELECT ordinal, amount, credit_balance FROM teller.import_journal(332, '{1,6}', '{2,5}', '{10,1500}', '{2019-01-01 00:00Z,2019-01-01 00:00Z}', '{x1,x2}');
-- In the future too, and at any time that is one.
SELECT status FROM teller.import_journal(332, '{1,1}', '{2,2}', '{1,1}', '{2999-01-01 00:00Z,0044-03-15 00:00Z BC}', '{f1,f2}');

-- Arrays as those of post; times and keys are required.
SELECT * FROM teller.import_journal(332, '{}', '{}', '{}', '{}', '{}');
SELECT ordinal, amount FROM teller.import_journal(332, '[5:6]={1,1}', '[0:1]={2,3}', '[2:3]={1,2}',
	'[7:8]={2019-01-01 00:00Z,2019-01-01 00:00Z}', '[-1:0]={b1,b2}');
SELECT arguments || E'\n\t' || pg_temp.says(format('SELECT teller.import_journal(%s)', arguments))
FROM unnest(ARRAY[
	$$NULL, '{1}', '{2}', '{1}', '{2019-01-01 00:00Z}', '{k}'$$,
	$$332, NULL, '{2}', '{1}', '{2019-01-01 00:00Z}', '{k}'$$,
	$$332, '{1}', NULL, '{1}', '{2019-01-01 00:00Z}', '{k}'$$,
	$$332, '{1}', '{2}', NULL, '{2019-01-01 00:00Z}', '{k}'$$,
	$$332, '{1}', '{2}', '{1}', NULL, '{k}'$$,
	$$332, '{1}', '{2}', '{1}', '{2019-01-01 00:00Z}', NULL$$,
	$$332, '{1,NULL}', '{2,2}', '{1,1}', '{2019-01-01 00:00Z,2019-01-01 00:00Z}', '{k,l}'$$,
	$$332, '{1,1}', '{2,NULL}', '{1,1}', '{2019-01-01 00:00Z,2019-01-01 00:00Z}', '{k,l}'$$,
	$$332, '{1,1}', '{2,2}', '{NULL,1}', '{2019-01-01 00:00Z,2019-01-01 00:00Z}', '{k,l}'$$,
	$$332, '{1,1}', '{2,2}', '{1,1}', '{2019-01-01 00:00Z,NULL}', '{k,l}'$$,
	$$332, '{1,1}', '{2,2}', '{1,1}', '{2019-01-01 00:00Z,2019-01-01 00:00Z}', '{k,NULL}'$$,
	$$332, '{1,1}', '{2,2}', '{1,1}', '{2019-01-01 00:00Z}', '{k,l}'$$,
	$$332, '{1,1}', '{2,2}', '{1,1}', '{2019-01-01 00:00Z,2019-01-01 00:00Z}', '{k}'$$,
	$$332, '{1,1}', '{2}', '{1,1}', '{2019-01-01 00:00Z,2019-01-01 00:00Z}', '{k,l}'$$,
	$$332, '{1}', '{2}', '{1}', '{{2019-01-01 00:00Z}}', '{k}'$$,
	$$332, '{1}', '{2}', '{1}', '{2019-01-01 00:00Z}', '{{k}}'$$,
	$$332, '{1}', '{2}', '{1}', '{2019-01-01 00:00Z}', '{""}'$$,
	$$332, '{1}', '{2}', '{1}', '{infinity}', '{k}'$$,
	$$332, '{1}', '{2}', '{1}', '{-infinity}', '{k}'$$,
	$$332, '{1}', '{2}', '{0}', '{2019-01-01 00:00Z}', '{k}'$$,
	$$332, '{1}', '{2}', '{1.005}', '{2019-01-01 00:00Z}', '{k}'$$,
	$$332, '{1}', '{1}', '{1}', '{2019-01-01 00:00Z}', '{k}'$$,
	$$332, '{1}', '{5}', '{1}', '{2019-01-01 00:00Z}', '{k}'$$,
	$$332, '{1}', '{77}', '{1}', '{2019-01-01 00:00Z}', '{k}'$$,
	$$329, '{1}', '{2}', '{1}', '{2019-01-01 00:00Z}', '{k}'$$,
	$$332, '{1}', '{2}', '{1}', '{2019-01-01 00:00Z}', '{k}', metadata => '{"1"}'$$]) AS arguments;
SELECT pg_temp.says($$SELECT teller.import_journal(332, array_fill(1, ARRAY[10001])::bigint[], array_fill(2, ARRAY[10001])::bigint[],
	array_fill(1, ARRAY[10001])::numeric[], array_fill(now(), ARRAY[10001]), array_fill('k'::text, ARRAY[10001]))$$);
BEGIN;
UPDATE teller.account SET status = 'frozen_credit' WHERE ledger_id = 332 AND account_id = 2;
SELECT pg_temp.says($$SELECT teller.import_journal(332, '{1}', '{2}', '{1}', '{2019-01-01 00:00Z}', '{k}')$$);
ROLLBACK;
-- As many as may be, and all their keys.
SELECT count(*), count(DISTINCT id) FROM teller.import_journal(332, array_fill(1, ARRAY[10000])::bigint[],
	array_fill(2, ARRAY[10000])::bigint[], array_fill(0.01, ARRAY[10000])::numeric[],
	(SELECT array_agg(timestamptz '2010-01-01 00:00Z' + i * interval '1 hour') FROM generate_series(1, 10000) AS i),
	(SELECT array_agg('many ' || i) FROM generate_series(1, 10000) AS i));
SELECT teller.balance_at(332, 2, '2010-01-05 04:00Z', 'effective'), teller.balance_at(332, 2, '2010-01-05 03:59:59Z', 'effective');
SELECT count(*) FROM teller.key WHERE ledger_id = 332 AND key LIKE 'many %';
BEGIN READ ONLY;
SELECT pg_temp.says($$SELECT teller.import_journal(332, '{1}', '{2}', '{1}', '{2019-01-01 00:00Z}', '{k}')$$);
ROLLBACK;

-- It is for the owner of pg_teller.
CREATE ROLE regress_import;
GRANT USAGE ON SCHEMA teller TO regress_import;
SELECT teller.grant_ledger(332, 'regress_import', 'operate');
SET ROLE regress_import;
SELECT pg_temp.says($$SELECT teller.import_journal(332, '{1}', '{2}', '{1}', '{2019-01-01 00:00Z}', '{k}')$$);
SELECT pg_temp.says($$SELECT teller.import_journal(329, '{}', '{}', '{}', '{}', '{}')$$);
RESET ROLE;
SELECT teller.revoke_ledger(332, 'regress_import');
REVOKE USAGE ON SCHEMA teller FROM regress_import;
DROP ROLE regress_import;

SELECT * FROM teller.verify();
