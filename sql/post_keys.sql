-- post under keys: one for a batch, or one for each item.
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
			' FROM teller.%I AS t WHERE ledger_id = 322', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(whole);
END
$$;
SELECT teller.create_ledger(322), teller.create_ledger(323);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(322, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(322, 2, 'USD', 'alice'),
	teller.open_account(322, 3, 'USD', 'bob'),
	teller.open_account(322, 4, 'USD', 'poor'),
	teller.open_account(323, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(323, 2, 'USD', 'alice');
SELECT status FROM teller.transfer(322, 1, 2, 1000);

-- ---- one key for the batch ------------------------------------------------

CREATE TEMP TABLE first AS SELECT * FROM teller.post(322, '{1,2,2}', '{3,3,1}', '{10,20,30}', key => 'batch',
	metadata => ARRAY['{"b": 1, "a": [2]}', NULL, '{}']::jsonb[]);
SELECT ordinal, status, amount, debit_balance, debit_version, credit_balance, credit_version, replayed
FROM first ORDER BY ordinal;
-- Retried as a whole: the original rows, and nothing is written, though the
-- accounts have changed since.
SELECT count(*) FROM teller.post(322, '{1,2}', '{2,3}', '{5,5}');
SELECT pg_temp.books() AS before \gset
CREATE TEMP TABLE again AS SELECT * FROM teller.post(322, '{1,2,2}', '{3,3,1}', '{10.00,2e1,30}', key => 'batch',
	metadata => ARRAY['{"a": [2], "b": 1}', NULL, '{}']::jsonb[]);
SELECT bool_and(replayed) FROM again;
SELECT count(*) FROM first AS f JOIN again AS a ON to_jsonb(f) - 'replayed' = to_jsonb(a) - 'replayed';
SELECT pg_temp.books() = :'before';
-- It is the answer of then, also when the accounts are closed and empty.
BEGIN;
UPDATE teller.account SET status = 'closed' WHERE ledger_id = 322;
SELECT ordinal, status, amount, replayed FROM teller.post(322, '{1,2,2}', '{3,3,1}', '{10,20,30}', key => 'batch',
	metadata => ARRAY['{"b": 1, "a": [2]}', NULL, '{}']::jsonb[]);
ROLLBACK;
-- Any other argument is TL003 and named; so are fewer items and another order.
SELECT arguments || E'\n\t' || pg_temp.says(format('SELECT teller.post(322, %s)', arguments))
FROM unnest(ARRAY[
	$$'{1,3,2}', '{3,2,1}', '{10,20,30}', key => 'batch'$$,
	$$'{1,2,2}', '{3,3,4}', '{10,20,30}', key => 'batch'$$,
	$$'{1,2,2}', '{3,3,1}', '{10,20,30.01}', key => 'batch'$$,
	$$'{1,2}', '{3,3}', '{10,20}', key => 'batch'$$,
	$$'{2,1,2}', '{3,3,1}', '{20,10,30}', key => 'batch'$$,
	$$'{}', '{}', '{}', key => 'batch'$$,
	$$'{1,2,2}', '{3,3,1}', '{10,20,30}', key => 'batch'$$,
	$$'{1,2,2}', '{3,3,1}', '{10,20,30}', key => 'batch', metadata => ARRAY['{"a": [2], "b": 1}', NULL, NULL]::jsonb[]$$,
	$$'{1,2,2}', '{3,3,1}', '{10,20,30}', key => 'batch', metadata => ARRAY['{"a": [2], "b": 1}', NULL, '{}']::jsonb[],
		effective_at => '2020-01-01 00:00Z'$$,
	$$'{1,2,2}', '{3,3,1}', '{10,20,30}', key => 'batch', metadata => ARRAY['{"a": [2], "b": 1}', NULL, '{}']::jsonb[],
		expected_versions => '{0,0,0}'$$,
	$$'{1,2,2}', '{3,3,1}', '{10,20,30}', key => 'batch', metadata => ARRAY['{"a": [2], "b": 1}', NULL, '{}']::jsonb[],
		expected_versions => '{NULL,NULL,NULL}'$$,
	$$'{1,2,2}', '{3,3,1}', '{10,20,30}', key => 'batch', metadata => ARRAY['{"a": [2], "b": 1}', NULL, '{}']::jsonb[],
		request_time => '2020-01-01 00:00Z'$$]) AS arguments;
SELECT pg_temp.says($$SELECT teller.transfer(322, 1, 3, 10, key => 'batch')$$);
SELECT pg_temp.says(format($$SELECT teller.reverse_batch(322, %L, key => 'batch')$$, (SELECT batch_id FROM first LIMIT 1)));
SELECT pg_temp.says($$SELECT teller.post(322, '{1}', '{2}', '{1}', keys => '{batch}')$$);
SELECT pg_temp.books() = :'before';
-- The other way round.
SELECT status FROM teller.transfer(322, 1, 2, 1, key => 'single');
SELECT pg_temp.says($$SELECT teller.post(322, '{1}', '{2}', '{1}', key => 'single')$$);

-- What find knows of it, and what is stored.
SELECT function, id = (SELECT batch_id FROM first LIMIT 1), status, reason, result - 'batch_id',
	(result ->> 'batch_id')::uuid = (SELECT batch_id FROM first LIMIT 1)
FROM teller.find(322, 'batch');
SELECT arguments FROM teller.key WHERE ledger_id = 322 AND key = 'batch';

-- A batch that raised, or that was rolled back, leaves the key free.
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says($$SELECT teller.post(322, '{1,4}', '{3,3}', '{10,0.01}', key => 'free')$$);
BEGIN;
SELECT status FROM teller.post(322, '{1,2}', '{3,3}', '{10,1}', key => 'free');
ROLLBACK;
SELECT count(*) FROM teller.find(322, 'free');
SELECT pg_temp.books() = :'before';
SELECT status, replayed FROM teller.post(322, '{1}', '{3}', '{10}', key => 'free');
SELECT status, replayed FROM teller.post(322, '{1}', '{3}', '{10}', key => 'free');
-- Twice in one transaction and in one statement: one effect.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT replayed FROM teller.post(322, '{1,1}', '{2,3}', '{1,2}', key => 'twice');
SELECT replayed FROM teller.post(322, '{1,1}', '{2,3}', '{1,2}', key => 'twice');
COMMIT;
SELECT count(*), count(*) FILTER (WHERE replayed), count(DISTINCT id), count(DISTINCT batch_id)
FROM generate_series(1, 5) AS i, LATERAL teller.post(322, '{1,1}', '{2,3}', ARRAY[1, 2 + 0 * i], key => 'five times');
-- (f()).* is one call per column: with a key it is one effect.
SELECT version FROM teller.balance(322, 2);
SELECT ordinal, amount, replayed FROM (SELECT (teller.post(322, '{1,1}', '{2,2}', '{5,6}', key => 'star')).*) AS expanded;
SELECT version FROM teller.balance(322, 2);
-- An empty batch has no effect, under a key too.
SELECT pg_temp.books() AS before \gset
SELECT * FROM teller.post(322, '{}', '{}', '{}', key => 'empty');
SELECT * FROM teller.post(322, '{}', '{}', '{}', key => 'empty');
SELECT pg_temp.books() = :'before';
-- A batch as large as may be replays in full.
SELECT count(*), count(DISTINCT id) FROM teller.post(322, array_fill(1, ARRAY[10000])::bigint[],
	array_fill(2, ARRAY[10000])::bigint[], array_fill(0.01, ARRAY[10000])::numeric[], key => 'large');
SELECT count(*), count(DISTINCT id), bool_and(replayed), max(ordinal), sum(amount)
FROM teller.post(322, array_fill(1, ARRAY[10000])::bigint[],
	array_fill(2, ARRAY[10000])::bigint[], array_fill(0.01, ARRAY[10000])::numeric[], key => 'large');

-- A key is for an atomic batch without keys; 1 to 255 bytes.
SELECT pg_temp.says($$SELECT teller.post(322, '{1}', '{2}', '{1}', key => 'k', keys => '{a}')$$);
SELECT pg_temp.says($$SELECT teller.post(322, '{1}', '{2}', '{1}', key => 'k', keys => '{NULL}')$$);
SELECT pg_temp.says($$SELECT teller.post(322, '{1}', '{2}', '{1}', key => 'k', mode => 'independent')$$);
SELECT what || E'\n\t' || pg_temp.says(format('SELECT teller.post(322, ''{1}'', ''{2}'', ''{1}'', key => %s)', key))
FROM (VALUES ('empty', ''''''), ('256 bytes', 'repeat(''k'', 256)'),
	('a newline', 'E''two\nlines'''), ('NUL', 'E''a\x00b''')) AS bad (what, key);
SELECT what || E'\n\t' || pg_temp.says(format('SELECT teller.post(322, ''{1,1}'', ''{2,2}'', ''{1,1}'', keys => ARRAY[''a'', %s])', key))
FROM (VALUES ('empty', ''''''), ('256 bytes', 'repeat(''k'', 256)'),
	('10 MB', 'repeat(''k'', 10000000)'), ('a newline', 'E''two\nlines''')) AS bad (what, key);

-- ---- a key for each item ------------------------------------------------------

CREATE TEMP TABLE items AS SELECT * FROM teller.post(322, '{1,2,2,1}', '{3,3,1,2}', '{10,20,30,40}', keys => '{i1,i2,NULL,i4}');
SELECT ordinal, status, amount, debit_balance, credit_balance, replayed FROM items ORDER BY ordinal;
SELECT function, id = (SELECT i.id FROM items AS i WHERE i.ordinal = 2), status, result - ARRAY['id', 'batch_id']
FROM teller.find(322, 'i2');
-- Retried as a whole: what has a key replays, with its first batch; what has
-- none is done again, in a batch of its own.
SELECT a.ordinal, a.replayed, a.batch_id = i.batch_id, a.id = i.id, a.amount, a.debit_balance = i.debit_balance
FROM teller.post(322, '{1,2,2,1}', '{3,3,1,2}', '{10,20,30,40}', keys => '{i1,i2,NULL,i4}') AS a
JOIN items AS i USING (ordinal) ORDER BY 1;
-- Retried in part, in another order, beside something new: the new rows' ids
-- follow each other.
SELECT a.ordinal, a.replayed, i.ordinal, substr(a.id::text, 29)
FROM teller.post(322, '{1,1,2,1}', '{2,2,3,3}', '{40,1,20,2}', keys => '{i4,n1,i2,n2}') AS a
LEFT JOIN items AS i ON i.id = a.id ORDER BY 1;
-- All keys known: nothing is written.
SELECT pg_temp.books() AS before \gset
SELECT ordinal, replayed FROM teller.post(322, '{1,2,1}', '{3,3,2}', '{10,20,40}', keys => '{i1,i2,i4}');
SELECT ordinal, replayed FROM teller.post(322, '{1,2,1}', '{3,3,2}', '{10,20,40}', keys => '{i1,i2,i4}', mode => 'independent');
-- Another amount under a known key: TL003, and nothing of the rest.
SELECT pg_temp.says($$SELECT teller.post(322, '{1,1}', '{3,3}', '{1,10.01}', keys => '{new,i1}')$$);
SELECT pg_temp.says($$SELECT teller.post(322, '{1,1}', '{3,3}', '{1,10.01}', keys => '{new,i1}', mode => 'independent')$$);
SELECT pg_temp.says($$SELECT teller.post(322, '{1}', '{3}', '{10}', keys => '{i1}', metadata => '{"{}"}')$$);
SELECT pg_temp.says($$SELECT teller.post(322, '{1}', '{3}', '{10}', keys => '{i1}', effective_at => '2020-01-01 00:00Z')$$);
SELECT pg_temp.says($$SELECT teller.post(322, '{1}', '{3}', '{10}', keys => '{i1}', expected_versions => '{0}')$$);
-- A wrong item is found before a key is looked at.
SELECT pg_temp.says($$SELECT teller.post(322, '{1,1}', '{3,3}', '{0,10}', keys => '{i1,i2}')$$);
SELECT pg_temp.books() = :'before';

-- An item is the transfer it describes: a single transfer replays it.
SELECT t.id = i.id, t.amount, t.debit_balance = i.debit_balance, t.debit_version = i.debit_version, t.replayed
FROM teller.transfer(322, 2, 3, 20, key => 'i2') AS t, items AS i WHERE i.ordinal = 2;
SELECT pg_temp.says($$SELECT teller.transfer(322, 2, 3, 20.01, key => 'i2')$$);
SELECT pg_temp.says($$SELECT teller.transfer(322, 2, 3, 20, key => 'i2', min_after => 0)$$);
SELECT pg_temp.says($$SELECT teller.hold(322, 2, 3, 20, key => 'i2')$$);
-- And an item replays a single transfer, which belongs to no batch.
SELECT id AS single, debit_version AS version FROM teller.transfer(322, 1, 2, 7, key => 's1', metadata => '{"x": 1}') \gset
SELECT id AS other FROM teller.transfer(322, 1, 2, 8, key => 's2', effective_at => '2020-01-01 00:00Z') \gset
SELECT ordinal, batch_id IS NULL, id = :'single', debit_version - :version, replayed
FROM teller.post(322, '{1,1}', '{2,3}', '{7,1}', keys => '{s1,n3}', metadata => '{"{\"x\": 1}",NULL}');
SELECT id = :'other', replayed FROM teller.post(322, '{1}', '{2}', '{8}', keys => '{s2}', effective_at => '2020-01-01 00:00Z');
SELECT pg_temp.says($$SELECT teller.post(322, '{1}', '{2}', '{7}', keys => '{s1}')$$);
SELECT status FROM teller.transfer(322, 1, 2, 9, key => 's3', min_after => -1000000);
SELECT pg_temp.says($$SELECT teller.post(322, '{1}', '{2}', '{9}', keys => '{s3}')$$);
SELECT status FROM teller.hold(322, 1, 2, 9, key => 'h1');
SELECT pg_temp.says($$SELECT teller.post(322, '{1}', '{2}', '{9}', keys => '{h1}')$$);
-- A denial that was recorded for a transfer is an item's answer in independent
-- mode.
SELECT status, reason FROM teller.transfer(322, 4, 1, 100, key => 'recorded', on_denial => 'record');
SELECT status FROM teller.transfer(322, 1, 4, 100);
SELECT ordinal, id IS NULL, status, reason, amount, debit_balance, replayed
FROM teller.post(322, '{4,4}', '{1,1}', '{100,1}', keys => '{recorded,n4}', mode => 'independent');
-- It refuses an atomic batch as a whole, which writes nothing.
SELECT pg_temp.says($$SELECT teller.post(322, '{1,4}', '{2,1}', '{1,100}', keys => '{a9,recorded}')$$);
SELECT pg_temp.says($$SELECT teller.post(322, '{4}', '{1}', '{100}', keys => '{recorded}')$$);
SELECT * FROM teller.find(322, 'a9');

-- ---- the same key twice in one batch ----------------------------------------------

-- The second replays the first; later ones too.
SELECT ordinal, status, amount, debit_balance = min(debit_balance) OVER (), replayed, id = min(id::text) OVER ()::uuid, batch_id IS NOT NULL
FROM teller.post(322, '{1,1,1}', '{2,2,2}', '{3,3.00,3}', keys => '{d1,d1,d1}');
SELECT count(*) FROM teller.journal WHERE ledger_id = 322 AND amount = 3;
SELECT ordinal, replayed FROM teller.post(322, '{1,1,1}', '{2,2,2}', '{3,3,3}', keys => '{d1,d1,d1}');
-- It counts once against the limit.
SELECT posted FROM teller.balance(322, 4);
SELECT ordinal, status, debit_balance, replayed FROM teller.post(322, '{4,4}', '{1,1}', '{60,60}', keys => '{d2,d2}');
-- With another parameter: TL003.
SELECT pg_temp.says($$SELECT teller.post(322, '{1,1}', '{2,2}', '{3,4}', keys => '{d3,d3}')$$);
SELECT pg_temp.says($$SELECT teller.post(322, '{1,1,1,1}', '{2,2,3,2}', '{3,3,3,3}', keys => '{d3,NULL,d3,d3}', mode => 'independent')$$);
SELECT pg_temp.says($$SELECT teller.post(322, '{1,1}', '{2,2}', '{3,3}', keys => '{d3,d3}', metadata => '{"{}",NULL}')$$);
-- Two that differ by case or by a blank are two.
SELECT ordinal, replayed FROM teller.post(322, '{1,1,1}', '{2,2,2}', '{3,3,3}', keys => '{d4,D4,"d4 "}');
-- Independent: a denial leaves the key free, so the next item with it is tried
-- in its turn; what answers it answers those that follow.
SELECT posted FROM teller.balance(322, 4);
SELECT ordinal, status, reason, amount, debit_balance, replayed
FROM teller.post(322, '{4,4,1,4,4}', '{1,1,4,1,1}', '{90,90,60,90,90}', keys => '{t1,t1,NULL,t1,t1}', mode => 'independent');
SELECT count(*), min(amount) FROM teller.journal AS j JOIN teller.key AS k ON k.ledger_id = j.ledger_id AND k.id = j.id
WHERE k.ledger_id = 322 AND k.key = 't1';
SELECT replayed, amount FROM teller.transfer(322, 4, 1, 90, key => 't1');
-- Denied each time: none replays, and the key stays free.
SELECT ordinal, status, reason, replayed
FROM teller.post(322, '{4,4,4}', '{1,1,1}', '{90,90,90}', keys => '{t2,t2,t2}', mode => 'independent');
SELECT count(*) FROM teller.find(322, 't2');
SELECT status, replayed FROM teller.hold(322, 1, 2, 1, key => 't2');
-- Several keys, each of them twice, interleaved.
SELECT posted FROM teller.balance(322, 4);
SELECT ordinal, status, amount, debit_balance, replayed
FROM teller.post(322, '{4,4,1,4,4,1,4,4}', '{1,1,4,1,1,4,1,1}', '{50,60,50,60,50,55,60,50}',
	keys => '{u50,u60,v1,u60,u50,v2,u60,u50}', mode => 'independent');

-- ---- modes and keys ---------------------------------------------------------------------

-- Independent: posted items are stored, denied ones are free.
SELECT posted FROM teller.balance(322, 4);
SELECT ordinal, status, reason, replayed FROM teller.post(322, '{1,4,1}', '{2,2,2}', '{1,500,1}', keys => '{m1,m2,m3}', mode => 'independent');
SELECT key, status FROM teller.key WHERE ledger_id = 322 AND key IN ('m1', 'm2', 'm3') ORDER BY key COLLATE "C";
SELECT status FROM teller.transfer(322, 1, 4, 500);
SELECT ordinal, status, reason, replayed FROM teller.post(322, '{1,4,1}', '{2,2,2}', '{1,500,1}', keys => '{m1,m2,m3}', mode => 'independent');
-- Atomic: a refusal leaves all keys free.
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says($$SELECT teller.post(322, '{1,4,1}', '{2,2,2}', '{1,500,1}', keys => '{a1,a2,a3}')$$);
SELECT pg_temp.books() = :'before';
SELECT count(*) FROM teller.key WHERE ledger_id = 322 AND key IN ('a1', 'a2', 'a3');
-- A known item neither gives nor takes again: the others must do without it.
SELECT status FROM teller.transfer(322, 1, 4, 500, key => 'income');
SELECT status FROM teller.transfer(322, 4, 1, 500);
SELECT pg_temp.says($$SELECT teller.post(322, '{1,4}', '{4,2}', '{500,500}', keys => '{income,NULL}')$$);

-- Keys are the ledger's own.
SELECT replayed FROM teller.post(323, '{1}', '{2}', '{1}', key => 'batch');
SELECT ordinal, replayed FROM teller.post(323, '{1,1}', '{2,2}', '{1,2}', keys => '{i1,i2}');

-- Versions are not looked at for what is known.
SELECT debit_version AS version FROM teller.transfer(322, 2, 1, 1) \gset
SELECT ordinal, replayed FROM teller.post(322, '{2}', '{1}', '{1}', keys => '{e1}', expected_versions => ARRAY[:version]);
SELECT ordinal, replayed FROM teller.post(322, '{2}', '{1}', '{1}', keys => '{e1}', expected_versions => ARRAY[:version]);
SELECT replayed FROM teller.transfer(322, 2, 1, 1, key => 'e1', expected_version => :version);
SELECT pg_temp.says(format($$SELECT teller.post(322, '{2}', '{1}', '{1}', key => 'e2', expected_versions => ARRAY[%s])$$, :version));
SELECT ordinal, replayed FROM teller.post(322, '{2}', '{1}', '{1}', key => 'e2', expected_versions => ARRAY[:version + 1]);
SELECT ordinal, replayed FROM teller.post(322, '{2}', '{1}', '{1}', key => 'e2', expected_versions => ARRAY[:version + 1]);

-- A replay works in no read-only transaction; a savepoint takes keys back.
BEGIN READ ONLY;
SELECT pg_temp.says($$SELECT teller.post(322, '{1}', '{3}', '{10}', key => 'free')$$);
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT replayed FROM teller.post(322, '{1,1}', '{2,2}', '{1,1}', keys => '{p1,p2}');
ROLLBACK TO s;
SELECT replayed FROM teller.post(322, '{1,1}', '{2,2}', '{1,2}', keys => '{p1,p2}');
COMMIT;

SELECT * FROM teller.verify();
