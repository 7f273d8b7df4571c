-- post: many transfers as one movement.
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
			' FROM teller.%I AS t WHERE ledger_id = 321', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(whole);
END
$$;
-- What a batch answers, without ids.
CREATE FUNCTION pg_temp.post(debits bigint[], credits bigint[], amounts numeric[],
	mode text DEFAULT 'atomic', versions bigint[] DEFAULT NULL)
RETURNS TABLE (ordinal integer, status text, reason text, amount numeric,
	debit_balance numeric, debit_version bigint,
	credit_balance numeric, credit_version bigint, replayed boolean)
LANGUAGE sql AS $$
	SELECT p.ordinal, p.status, p.reason, p.amount, p.debit_balance, p.debit_version,
		p.credit_balance, p.credit_version, p.replayed
	FROM teller.post(321, debits, credits, amounts, mode => mode, expected_versions => versions) AS p
$$;
SELECT teller.create_ledger(321);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(321, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(321, 2, 'USD', 'alice'),
	teller.open_account(321, 3, 'USD', 'bob'),
	teller.open_account(321, 4, 'USD', 'purse', max_balance => 50),
	teller.open_account(321, 5, 'USD', 'overdraft', min_balance => -25),
	teller.open_account(321, 6, 'JPY', 'yen world', min_balance => NULL),
	teller.open_account(321, 7, 'JPY', 'yuki'),
	teller.open_account(321, 8, 'USD', 'through'),
	teller.open_account(321, 9, 'USD', 'reserve', min_balance => 10);

-- A row for each item in the order given; balances and versions are those
-- after the item.
SELECT * FROM pg_temp.post('{1,2,2}', '{2,3,3}', '{100,10.5,0.01}');
SELECT account_id, posted, version FROM teller.account WHERE ledger_id = 321 AND version > 0 ORDER BY 1;
-- The journal has one row for each item.  Ids of a batch's rows follow the
-- batch's; both are version-7 UUIDs, in the order of time.
CREATE TEMP TABLE batch AS SELECT * FROM teller.post(321, '{2,1,3}', '{1,2,1}', '{1,2,3}');
SELECT count(DISTINCT batch_id), count(DISTINCT id),
	bool_and(substr(batch_id::text, 1, 28) = substr(id::text, 1, 28)),
	bool_and(substr(id::text, 29) = lpad(to_hex(ordinal), 8, '0')),
	bool_and(substr(batch_id::text, 29) = '00000000'),
	bool_and(substr(id::text, 15, 1) = '7' AND substr(id::text, 20, 1) IN ('8', '9', 'a', 'b'))
FROM batch;
SELECT j.kind, j.debit_account, j.credit_account, j.amount, j.debit_version, j.debit_posted,
	j.debit_pending, j.credit_version, j.credit_posted, j.credit_pending,
	j.hold_id, j.reverses, j.operation_id, j.effective_at = j.recorded_at, j.metadata, j.ends_hold,
	j.debit_posted = b.debit_balance AND j.debit_version = b.debit_version
		AND j.credit_posted = b.credit_balance AND j.credit_version = b.credit_version
FROM batch AS b JOIN teller.journal AS j ON j.ledger_id = 321 AND j.id = b.id AND j.batch_id = b.batch_id
ORDER BY b.ordinal;
-- All rows of a batch are recorded at one moment.
SELECT count(DISTINCT recorded_at) FROM teller.journal
WHERE ledger_id = 321 AND batch_id IN (SELECT batch_id FROM batch);
-- A later batch has a later id.
SELECT (SELECT min(batch_id::text) FROM teller.post(321, '{1}', '{2}', '{1}')) > (SELECT min(batch_id::text) FROM batch);

-- No items: no rows, and nothing is written.
SELECT pg_temp.books() AS before \gset
SELECT * FROM teller.post(321, '{}', '{}', '{}');
SELECT * FROM teller.post(321, '{}', '{}', '{}', mode => 'independent');
SELECT * FROM teller.post(321, '{}', '{}', '{}', keys => '{}', metadata => '{}', expected_versions => '{}');
SELECT pg_temp.books() = :'before';

-- An account that is debited or credited often is written once.
BEGIN;
SELECT pg_stat_get_xact_tuples_updated('teller.account'::regclass);
SELECT count(*), min(credit_version), max(credit_version), max(credit_balance)
FROM teller.post(321, array_fill(1, ARRAY[1000])::bigint[], array_fill(2, ARRAY[1000])::bigint[],
	array_fill(0.01, ARRAY[1000])::numeric[]);
SELECT pg_stat_get_xact_tuples_updated('teller.account'::regclass);
COMMIT;
SELECT count(*) FROM teller.journal WHERE ledger_id = 321 AND debit_account = 1 AND amount = 0.01;
SELECT * FROM teller.balance(321, 2);

-- ---- limits: on what each account loses or gains in all ----------------

-- More than there is: TL001 with what is asked in all, and nothing happens.
SELECT posted AS alice FROM teller.account WHERE ledger_id = 321 AND account_id = 2 \gset
SELECT :alice;
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says(format('SELECT teller.post(321, ''{2,2}'', ''{3,1}'', ''{60,%s}'')', :alice - 60 + 0.01));
SELECT pg_temp.says('SELECT teller.post(321, ''{1,2}'', ''{2,3}'', ''{1,1000}'')');
SELECT pg_temp.books() = :'before';
-- Exactly what there is.
BEGIN;
SELECT status, debit_balance FROM teller.post(321, '{2,2}', '{3,1}', ARRAY[60, :alice - 60]);
ROLLBACK;

-- The order of the items does not matter: what comes in later counts.
BEGIN;
SELECT * FROM pg_temp.post('{8,1}', '{3,8}', '{500,500}');
ROLLBACK;
BEGIN;
SELECT * FROM pg_temp.post('{1,8}', '{8,3}', '{500,500}');
ROLLBACK;
SELECT pg_temp.says('SELECT teller.post(321, ''{8,1}'', ''{3,8}'', ''{500,499.99}'')');
SELECT pg_temp.says('SELECT teller.post(321, ''{1,8}'', ''{8,3}'', ''{499.99,500}'')');
-- All orders of four items come to the same balances, or are all refused.
CREATE FUNCTION pg_temp.orders(debits bigint[], credits bigint[], amounts numeric[])
RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	o integer[];
	answer text;
BEGIN
	FOR o IN SELECT ARRAY[a, b, c, d] FROM generate_series(1, 4) AS a, generate_series(1, 4) AS b,
			generate_series(1, 4) AS c, generate_series(1, 4) AS d
		WHERE (SELECT count(DISTINCT x) FROM unnest(ARRAY[a, b, c, d]) AS x) = 4 LOOP
		BEGIN
			PERFORM FROM teller.post(321, ARRAY[debits[o[1]], debits[o[2]], debits[o[3]], debits[o[4]]],
				ARRAY[credits[o[1]], credits[o[2]], credits[o[3]], credits[o[4]]],
				ARRAY[amounts[o[1]], amounts[o[2]], amounts[o[3]], amounts[o[4]]]);
			SELECT string_agg(account_id || ': ' || posted, ', ' ORDER BY account_id) INTO answer
			FROM teller.account WHERE ledger_id = 321 AND account_id IN (3, 4, 5, 8, 9);
			RAISE SQLSTATE 'REGRS';
		EXCEPTION
			WHEN SQLSTATE 'REGRS' THEN NULL;
			WHEN OTHERS THEN answer := sqlstate || ': ' || sqlerrm;
		END;
		RETURN NEXT answer;
	END LOOP;
END
$$;
SELECT answer, count(*) FROM pg_temp.orders('{1,8,4,5}', '{8,4,5,3}', '{50,50,49,74}') AS answer GROUP BY 1;
SELECT answer, count(*) FROM pg_temp.orders('{1,8,4,5}', '{8,4,5,3}', '{50,50,49,74.01}') AS answer GROUP BY 1;
SELECT answer, count(*) FROM pg_temp.orders('{1,8,4,5}', '{8,4,5,3}', '{200,200,149.99,74}') AS answer GROUP BY 1;
SELECT answer, count(*) FROM pg_temp.orders('{1,8,4,5}', '{8,4,5,3}', '{200,200,150,74}') AS answer GROUP BY 1;
-- Money may go round.
BEGIN;
SELECT * FROM pg_temp.post('{2,3,8}', '{3,8,2}', '{1000,1000,1000}');
SELECT * FROM teller.verify(321);
ROLLBACK;

-- Minimum, overdraft and maximum, each to the cent.
SELECT status, debit_balance, credit_balance FROM teller.post(321, '{9,1}', '{1,9}', '{20,30}');
SELECT pg_temp.says('SELECT teller.post(321, ''{9,1,9}'', ''{1,9,1}'', ''{100,100,0.01}'')');
SELECT pg_temp.says('SELECT teller.post(321, ''{5,5}'', ''{1,2}'', ''{25,0.01}'')');
SELECT pg_temp.says('SELECT teller.post(321, ''{1,1}'', ''{4,4}'', ''{25,25.01}'')');
BEGIN;
SELECT * FROM pg_temp.post('{1,5,5,1,1}', '{9,1,2,4,4}', '{10,24,1,25,25}');
SELECT pg_temp.says('SELECT teller.post(321, ''{1}'', ''{4}'', ''{0.01}'')');
-- Through a full purse, and through an empty account, money passes.
SELECT status, debit_balance, credit_balance FROM teller.post(321, '{1,4}', '{4,3}', '{1000,1000}');
SELECT status, debit_balance, credit_balance FROM teller.post(321, '{5,1}', '{3,5}', '{1000,1000}');
ROLLBACK;

-- What is held cannot be spent; a hold that is due binds nothing.
BEGIN;
SELECT status FROM teller.post(321, '{1,1}', '{8,4}', '{100,20}');
SELECT id AS h1 FROM teller.hold(321, 8, 3, 60, '1 hour') \gset
SELECT id AS h2 FROM teller.hold(321, 1, 4, 30, '1 hour') \gset
SELECT pg_temp.says('SELECT teller.post(321, ''{8,8}'', ''{1,3}'', ''{20,20.01}'')');
SELECT pg_temp.says('SELECT teller.post(321, ''{1,3}'', ''{4,1}'', ''{0.01,1}'')');
SELECT status FROM teller.post(321, '{8,8}', '{1,3}', '{20,20}');
UPDATE teller.hold SET expires_at = clock_timestamp() - interval '1 second'
WHERE ledger_id = 321 AND hold_id IN (:'h1', :'h2');
SELECT status, debit_balance, credit_balance FROM teller.post(321, '{8,1}', '{1,4}', '{60,30}');
SELECT * FROM teller.verify(321);
ROLLBACK;

-- ---- mode independent ---------------------------------------------------

-- In order, each item its own answer: the order counts.
BEGIN;
SELECT * FROM pg_temp.post('{8,1,8}', '{3,8,3}', '{500,500,500}', 'independent');
SELECT * FROM teller.verify(321);
ROLLBACK;
-- Each business denial is an answer with the present balances; the batch id
-- is there all the same, and the rows of what is posted follow it.
BEGIN;
SELECT teller.freeze_account(321, 9);
CREATE TEMP TABLE answer ON COMMIT DROP AS
SELECT * FROM teller.post(321, '{1,8,1,2,1,9,1}', '{8,1,4,3,9,1,3}', '{5,5.01,51,1,1,1,2}',
	mode => 'independent', expected_versions => '{NULL,NULL,NULL,0,NULL,NULL,NULL}');
SELECT ordinal, status, reason, amount, debit_balance, credit_balance, credit_version, id IS NULL FROM answer ORDER BY ordinal;
SELECT count(DISTINCT batch_id), count(batch_id) FROM answer;
SELECT ordinal, substr(id::text, 29) FROM answer WHERE id IS NOT NULL ORDER BY ordinal;
SELECT * FROM teller.verify(321);
ROLLBACK;
-- All denied: nothing is written.
SELECT pg_temp.books() AS before \gset
SELECT * FROM pg_temp.post('{8,8}', '{3,1}', '{1,2}', 'independent');
SELECT pg_temp.books() = :'before';
-- A wrong item is an error for the whole batch, in both modes, though other
-- items are denied.
SELECT mode || ', ' || amounts || E'\n\t' || pg_temp.says(format(
	'SELECT teller.post(321, ''{8,1}'', ''{3,2}'', %L, mode => %L)', amounts, mode))
FROM unnest(ARRAY['{1,0}', '{1,-1}', '{1,1.005}', '{1,NaN}', '{1,Infinity}', '{1,-Infinity}',
	'{1,1e36}', '{1,1e1000}', '{1,1e-100}', '{1,-0.00}']) AS amounts,
	unnest(ARRAY['atomic', 'independent']) AS mode;
SELECT mode || ', ' || debits || E'\n\t' || pg_temp.says(format(
	'SELECT teller.post(321, %L, ''{3,2}'', ''{1,1}'', mode => %L)', debits, mode))
FROM unnest(ARRAY['{8,2}', '{8,6}', '{8,77}']) AS debits, unnest(ARRAY['atomic', 'independent']) AS mode;
SELECT pg_temp.says('SELECT teller.post(329, ''{1}'', ''{2}'', ''{1}'')');
SELECT pg_temp.says('SELECT teller.post(329, ''{}'', ''{}'', ''{}'')');
SELECT pg_temp.books() = :'before';

-- ---- accounts that are frozen or closed --------------------------------

BEGIN;
UPDATE teller.account SET status = 'frozen_debit' WHERE ledger_id = 321 AND account_id = 2;
SELECT pg_temp.says('SELECT teller.post(321, ''{1,2}'', ''{2,3}'', ''{1,1}'')');
SELECT status, reason FROM teller.post(321, '{1,2}', '{2,3}', '{1,1}', mode => 'independent');
UPDATE teller.account SET status = 'frozen_credit' WHERE ledger_id = 321 AND account_id = 2;
SELECT pg_temp.says('SELECT teller.post(321, ''{2,1}'', ''{3,2}'', ''{1,1}'')');
SELECT status, reason FROM teller.post(321, '{2,1}', '{3,2}', '{1,1}', mode => 'independent');
UPDATE teller.account SET status = 'closed' WHERE ledger_id = 321 AND account_id = 2;
SELECT pg_temp.says('SELECT teller.post(321, ''{1,2}'', ''{2,1}'', ''{1,1}'')');
SELECT status, reason FROM teller.post(321, '{2,1}', '{3,2}', '{1,1}', mode => 'independent');
-- A freeze is told before the want of money, whatever the order.
SELECT pg_temp.says('SELECT teller.post(321, ''{8,1}'', ''{1,2}'', ''{1000,1}'')');
ROLLBACK;

-- ---- expected_versions --------------------------------------------------

-- The debit accounts' versions: before the batch in atomic mode, at their turn
-- in independent mode.
SELECT teller.open_account(321, 10, 'USD', 'versioned', min_balance => NULL);
SELECT * FROM pg_temp.post('{10,10}', '{1,1}', '{1,2}', versions => '{0,0}');
SELECT * FROM pg_temp.post('{10,10}', '{1,1}', '{1,2}', versions => '{NULL,2}');
SELECT pg_temp.says('SELECT teller.post(321, ''{10,10}'', ''{1,1}'', ''{1,2}'', expected_versions => ''{4,5}'')');
SELECT pg_temp.says('SELECT teller.post(321, ''{10,10}'', ''{1,1}'', ''{1,2}'', expected_versions => ''{3,4}'')');
SELECT ordinal, status, reason, debit_version
FROM pg_temp.post('{10,10,10,10}', '{1,1,1,1}', '{1,2,3,4}', 'independent', '{4,4,5,6}');
SELECT pg_temp.says('SELECT teller.post(321, ''{10}'', ''{1}'', ''{1}'', expected_versions => ''{-1}'')');
SELECT pg_temp.says('SELECT teller.post(321, ''{10}'', ''{1}'', ''{1}'', expected_versions => ''{9223372036854775807}'')');
-- It is told before the want of money.
SELECT pg_temp.says('SELECT teller.post(321, ''{8}'', ''{1}'', ''{1000}'', expected_versions => ''{7}'')');

-- ---- metadata and effective_at -------------------------------------------

SELECT batch_id AS batch FROM teller.post(321, '{1,1,1}', '{2,3,2}', '{1,1,1}',
	metadata => ARRAY['{"leg": 1}', NULL, '[3]']::jsonb[], effective_at => '2021-03-04 05:06Z') LIMIT 1 \gset
SELECT metadata, effective_at AT TIME ZONE 'UTC', recorded_at > now() - interval '1 minute'
FROM teller.journal WHERE ledger_id = 321 AND batch_id = :'batch' ORDER BY id;
SELECT what || E'\n\t' || pg_temp.says(format(
	'SELECT teller.post(321, ''{1,1}'', ''{2,3}'', ''{1,1}'', metadata => %s)', value))
FROM (VALUES ('a string', $$ARRAY['{}', '"x"']::jsonb[]$$), ('a JSON null', $$ARRAY['{}', 'null']::jsonb[]$$),
	('over 64 kB', $$ARRAY[NULL, jsonb_build_object('x', repeat('x', 70000))]$$),
	('65 levels', $$ARRAY[NULL, (repeat('[', 65) || repeat(']', 65))::jsonb]$$)) AS bad (what, value);
SELECT pg_temp.says($$SELECT teller.post(321, '{1}', '{2}', '{1}', effective_at => 'infinity')$$);
SELECT pg_temp.says($$SELECT teller.post(321, '{1}', '{2}', '{1}', effective_at => '-infinity')$$);

-- ---- arrays ----------------------------------------------------------------

-- Any lower bound works.
SELECT * FROM pg_temp.post('[5:6]={1,1}', '[-1:0]={2,3}', '[7:8]={1,2}');
SELECT ordinal, amount FROM teller.post(321, '[5:6]={1,1}', '{2,3}', '{1,2}', keys => '[0:1]={lower 1,lower 2}',
	metadata => '[9:10]={NULL,"{}"}', expected_versions => '[2:3]={NULL,NULL}');
-- NULL for an array or for one of its elements: 22004 names both.
SELECT arguments || E'\n\t' || pg_temp.says('SELECT teller.post(' || arguments || ')')
FROM unnest(ARRAY['NULL, ''{1}'', ''{2}'', ''{1}''', '321, NULL, ''{2}'', ''{1}''', '321, ''{1}'', NULL, ''{1}''',
	'321, ''{1}'', ''{2}'', NULL', '321, ''{1}'', ''{2}'', ''{1}'', mode => NULL',
	'321, ''{1,NULL}'', ''{2,2}'', ''{1,1}''', '321, ''{1,1}'', ''{NULL,2}'', ''{1,1}''',
	'321, ''{1,1,1}'', ''{2,2,2}'', ''{1,1,NULL}''', '321, ''[5:6]={1,NULL}'', ''{2,2}'', ''{1,1}''']) AS arguments;
-- Of one length, and of one dimension.
SELECT arguments || E'\n\t' || pg_temp.says('SELECT teller.post(321, ' || arguments || ')')
FROM unnest(ARRAY['''{1,1}'', ''{2}'', ''{1,1}''', '''{1,1}'', ''{2,2}'', ''{1,1,1}''', '''{}'', ''{2}'', ''{1}''',
	'''{1}'', ''{}'', ''{1}''', '''{1,1}'', ''{2,2}'', ''{1,1}'', keys => ''{a}''',
	'''{1,1}'', ''{2,2}'', ''{1,1}'', keys => ''{}''',
	'''{1,1}'', ''{2,2}'', ''{1,1}'', metadata => ''{}''',
	'''{1,1}'', ''{2,2}'', ''{1,1}'', expected_versions => ''{0,0,0}''',
	'''{{1,1}}'', ''{2,2}'', ''{1,1}''', '''{1,1}'', ''{{2,2}}'', ''{1,1}''', '''{1,1}'', ''{2,2}'', ''{{1},{1}}''',
	'''{1,1}'', ''{2,2}'', ''{1,1}'', keys => ''{{a,b}}''',
	'''{1,1}'', ''{2,2}'', ''{1,1}'', metadata => ''{{NULL,NULL}}''',
	'''{1,1}'', ''{2,2}'', ''{1,1}'', expected_versions => ''{{0,0}}''']) AS arguments;
SELECT pg_temp.says($$SELECT teller.post(321, '{1}', '{2}', '{1}', mode => 'both')$$);
SELECT pg_temp.says($$SELECT teller.post(321, '{1}', '{2}', '{1}', mode => '')$$);
SELECT pg_temp.says($$SELECT teller.post(321, '{1}', '{2}', '{1}', mode => 'Atomic')$$);

-- ---- size ------------------------------------------------------------------

-- 10000 items, and not one more.
SELECT pg_temp.says($$SELECT teller.post(321, array_fill(1, ARRAY[10001])::bigint[],
	array_fill(2, ARRAY[10001])::bigint[], array_fill(1, ARRAY[10001])::numeric[])$$);
SELECT pg_temp.says($$SELECT teller.post(321, '{1}', array_fill(2, ARRAY[10001])::bigint[], '{1}')$$);
BEGIN;
SELECT count(teller.open_account(321, a, 'USD')) FROM generate_series(1001, 2000) AS a;
SELECT count(*), count(DISTINCT id), bool_and(status = 'posted'), max(ordinal), max(substr(id::text, 29))
FROM teller.post(321, array_fill(1, ARRAY[10000])::bigint[],
	(SELECT array_agg(1001 + i % 1000) FROM generate_series(0, 9999) AS i),
	(SELECT array_agg(1 + i % 1000) FROM generate_series(0, 9999) AS i));
SELECT count(*) FROM teller.account WHERE ledger_id = 321 AND account_id > 1000
	AND posted = (account_id - 1000) * 10 AND version = 10;
SELECT * FROM teller.verify(321);
ROLLBACK;

-- ---- sums that leave the range -----------------------------------------------

BEGIN;
SELECT teller.open_account(321, 11, 'USD', 'rich', min_balance => NULL),
	teller.open_account(321, 12, 'USD', 'richer', min_balance => NULL);
SELECT status FROM teller.post(321, '{11}', '{12}', '{999999999999999999999999999999999999.99}');
SELECT pg_temp.says('SELECT teller.post(321, ''{1}'', ''{12}'', ''{0.01}'')');
SELECT pg_temp.says('SELECT teller.post(321, ''{1,1}'', ''{2,2}'', ''{999999999999999999999999999999999999,1}'')');
SELECT pg_temp.says('SELECT teller.post(321, ''{1}'', ''{12}'', ''{0.01}'', mode => ''independent'')');
SELECT posted FROM teller.balance(321, 12);
ROLLBACK;

-- ---- two assets ----------------------------------------------------------------

-- 100 USD of alice's become 15000 JPY of yuki's, through an account of each
-- asset that gives and takes: each asset balances by itself.
SELECT teller.open_account(321, 20, 'USD', 'liquidity usd', min_balance => NULL),
	teller.open_account(321, 21, 'JPY', 'liquidity jpy', min_balance => NULL);
SELECT * FROM pg_temp.post('{2,21}', '{20,7}', '{100,15000}');
SELECT asset, sum(posted) FROM teller.account WHERE ledger_id = 321 GROUP BY asset ORDER BY asset;
-- All or nothing, though the asset that is short comes last.
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says('SELECT teller.post(321, ''{1,7,21}'', ''{20,21,6}'', ''{100,15001,1}'')');
SELECT pg_temp.says('SELECT teller.post(321, ''{21,2}'', ''{7,20}'', ''{15000,100}'')');
SELECT pg_temp.says('SELECT teller.post(321, ''{2,20}'', ''{20,7}'', ''{1,150}'')');
SELECT pg_temp.says('SELECT teller.post(321, ''{21}'', ''{7}'', ''{0.5}'')');
SELECT pg_temp.books() = :'before';

-- ---- around it ------------------------------------------------------------------

-- In one statement each batch sees those before it.
SELECT count(*), count(DISTINCT batch_id), max(credit_balance) - min(credit_balance)
FROM generate_series(1, 10) AS i, LATERAL teller.post(321, '{1,1}', '{3,3}', ARRAY[i, i]);
-- What a savepoint takes back leaves no gap.
BEGIN;
SELECT max(debit_version) AS version FROM teller.post(321, '{3,3}', '{1,2}', '{1,1}') \gset
SAVEPOINT s;
SELECT debit_version - :version FROM teller.post(321, '{3,3}', '{1,2}', '{1,1}');
ROLLBACK TO s;
SELECT debit_version - :version FROM teller.post(321, '{3,3}', '{1,2}', '{1,1}');
COMMIT;
-- Every isolation level; a prepared statement; a cursor; only some of the rows.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT status FROM teller.post(321, '{1,2}', '{2,3}', '{1,1}');
SELECT status FROM teller.post(321, '{1,2}', '{2,3}', '{1,1}');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT status FROM teller.post(321, '{1,2}', '{2,3}', '{1,1}');
COMMIT;
PREPARE pay(bigint[], bigint[], numeric[]) AS SELECT ordinal, status, amount FROM teller.post(321, $1, $2, $3);
EXECUTE pay('{1,1}', '{2,3}', '{1,2}');
EXECUTE pay('{1}', '{2}', '{3}');
DEALLOCATE pay;
BEGIN;
DECLARE c CURSOR FOR SELECT ordinal, status FROM teller.post(321, '{1,1,1}', '{2,3,2}', '{1,2,3}');
FETCH 1 FROM c;
FETCH ALL FROM c;
COMMIT;
SELECT version AS version FROM teller.balance(321, 1) \gset
SELECT ordinal FROM teller.post(321, '{1,1,1}', '{2,3,2}', '{1,2,3}') LIMIT 1;
SELECT version - :version FROM teller.balance(321, 1);
-- Nothing in a read-only transaction.
BEGIN READ ONLY;
SELECT pg_temp.says('SELECT teller.post(321, ''{1}'', ''{2}'', ''{1}'')');
ROLLBACK;

-- The clock does not go back: the latest last_at of all accounts counts for
-- every row, and for every account.
BEGIN;
UPDATE teller.account SET last_at = '2100-01-01 00:00Z' WHERE ledger_id = 321 AND account_id = 3;
SELECT batch_id AS batch FROM teller.post(321, '{1,2}', '{2,3}', '{1,1}') LIMIT 1 \gset
SELECT count(*), bool_and(recorded_at = '2100-01-01 00:00Z'), bool_and(effective_at = '2100-01-01 00:00Z')
FROM teller.journal WHERE ledger_id = 321 AND batch_id = :'batch';
SELECT bool_and(last_at = '2100-01-01 00:00Z') FROM teller.account WHERE ledger_id = 321 AND account_id IN (1, 2, 3);
SELECT * FROM teller.verify(321);
ROLLBACK;

-- ---- rights -----------------------------------------------------------------------

CREATE ROLE regress_post_none;
CREATE ROLE regress_post_read;
CREATE ROLE regress_post_post;
GRANT USAGE ON SCHEMA teller TO regress_post_none, regress_post_read, regress_post_post;
SELECT teller.grant_ledger(321, 'regress_post_read', 'read'), teller.grant_ledger(321, 'regress_post_post', 'post');
SET ROLE regress_post_none;
SELECT pg_temp.says('SELECT teller.post(321, ''{1}'', ''{2}'', ''{1}'')');
SELECT pg_temp.says('SELECT teller.post(329, ''{1}'', ''{2}'', ''{1}'')');
SELECT pg_temp.says('SELECT teller.post(321, ''{}'', ''{}'', ''{}'')');
SET ROLE regress_post_read;
SELECT pg_temp.says('SELECT teller.post(321, ''{1}'', ''{2}'', ''{1}'')');
SET ROLE regress_post_post;
SELECT status FROM teller.post(321, '{1,1}', '{2,3}', '{1,1}');
SELECT pg_temp.says('SELECT teller.post(329, ''{1}'', ''{2}'', ''{1}'')');
RESET ROLE;
SELECT teller.revoke_ledger(321, 'regress_post_read'), teller.revoke_ledger(321, 'regress_post_post');
REVOKE USAGE ON SCHEMA teller FROM regress_post_none, regress_post_read, regress_post_post;
DROP ROLE regress_post_none, regress_post_read, regress_post_post;

SELECT * FROM teller.verify();
