-- statement and balance_at: what an account was.
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
			' FROM teller.%I AS t WHERE ledger_id = 327', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(whole);
END
$$;
SELECT teller.create_ledger(327), teller.create_ledger(328);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(327, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(327, 2, 'USD', 'alice'),
	teller.open_account(327, 3, 'USD', 'bob', max_balance => 100000),
	teller.open_account(327, 4, 'USD', 'nobody'),
	teller.open_account(327, 5, 'JPY', 'yuki', min_balance => NULL),
	teller.open_account(327, 6, 'JPY', 'yen world', min_balance => NULL),
	teller.open_account(328, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(328, 2, 'USD', 'alice');
SELECT status FROM teller.transfer(328, 1, 2, 77);

-- ---- statement -----------------------------------------------------------------

SELECT id AS first FROM teller.transfer(327, 1, 2, 100, metadata => '{"n": 1}', effective_at => '2020-01-01 00:00Z') \gset
SELECT id AS h FROM teller.hold(327, 2, 3, 40, '1 hour') \gset
SELECT status FROM teller.extend_hold(327, :'h', '2 hours');
SELECT status FROM teller.adjust_hold(327, :'h', 30);
SELECT amount FROM teller.capture(327, :'h', 10);
SELECT amount FROM teller.reverse(327, :'first', 5);
SELECT status FROM teller.post(327, '{1,2}', '{2,3}', '{7,3}');
-- Every posting of the account by its versions: the rows of the view posting.
SELECT version, kind, side, amount, posted, pending, other_account, hold_id = :'h', metadata - ARRAY['old_expires_at', 'new_expires_at']
FROM teller.statement(327, 2);
SELECT version, kind, side, amount, posted, pending, other_account FROM teller.statement(327, 3);
SELECT count(*) FROM teller.statement(327, 4);
SELECT count(*) FROM (SELECT * FROM teller.statement(327, 2) EXCEPT ALL
	SELECT * FROM teller.posting WHERE ledger_id = 327 AND account_id = 2) AS more;
SELECT count(*) FROM (SELECT * FROM teller.posting WHERE ledger_id = 327 AND account_id = 2 EXCEPT ALL
	SELECT * FROM teller.statement(327, 2)) AS less;
SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
FROM pg_attribute WHERE attrelid = 'teller.posting'::regclass AND attnum > 0;

-- Page by page to the end: no gap, no double.
SELECT count(*) FROM generate_series(1, 120) AS i, LATERAL teller.transfer(327, 1 + i % 2, 2 - i % 2, 1);
CREATE FUNCTION pg_temp.pages(account bigint, size integer)
RETURNS TABLE (pages bigint, rows bigint, distinct_versions bigint, first bigint, last bigint, in_order boolean)
LANGUAGE plpgsql AS $$
DECLARE
	seen bigint := 0;
	page bigint[];
	all_versions bigint[] := '{}';
	n bigint := 0;
BEGIN
	LOOP
		SELECT array_agg(s.version) INTO page FROM teller.statement(327, account, seen, size) AS s;
		EXIT WHEN page IS NULL;
		n := n + 1;
		all_versions := all_versions || page;
		seen := page[cardinality(page)];
	END LOOP;
	RETURN QUERY SELECT n, count(*), count(DISTINCT v), min(v), max(v), bool_and(v = place)
	FROM unnest(all_versions) WITH ORDINALITY AS u (v, place);
END
$$;
SELECT size, p.* FROM unnest(ARRAY[1, 7, 129, 130, 131, 10000]) AS size, LATERAL pg_temp.pages(2, size) AS p;
SELECT version FROM teller.balance(327, 2);
SELECT size, p.* FROM unnest(ARRAY[2, 3]) AS size, LATERAL pg_temp.pages(3, size) AS p;
SELECT min(version), max(version), count(*) FROM teller.statement(327, 2, 10, 5);
SELECT count(*) FROM teller.statement(327, 2, 1000000);
SELECT count(*) FROM teller.statement(327, 2, 9223372036854775807);
SELECT version FROM teller.statement(327, 2, max_rows => 1);
-- 1000 rows, unless more or less is asked.
SELECT count(*) FROM generate_series(1, 3) AS i, LATERAL teller.post(327, array_fill(6, ARRAY[400])::bigint[],
	array_fill(5, ARRAY[400])::bigint[], array_fill(i, ARRAY[400])::numeric[]);
SELECT count(*), max(version), max(posted) FROM teller.statement(327, 5);
SELECT count(*), max(version) FROM teller.statement(327, 5, max_rows => 10000);
SELECT count(*), min(version) FROM teller.statement(327, 5, 1000);
-- The balance follows from the one before.
SELECT count(*) FROM (SELECT posted - lag(posted, 1, 0) OVER (ORDER BY version) AS step,
	CASE WHEN kind NOT IN ('transfer', 'capture', 'reversal') THEN 0 WHEN side = 'debit' THEN -amount ELSE amount END AS moved
	FROM teller.statement(327, 2)) AS s WHERE step <> moved;

SELECT arguments || E'\n\t' || pg_temp.says(format('SELECT * FROM teller.statement(%s)', arguments))
FROM unnest(ARRAY['NULL, 2', '327, NULL', '327, 2, NULL', '327, 2, 0, NULL', '327, 2, -1', '327, 2, 0, 0',
	'327, 2, 0, -1', '327, 2, 0, 10001', '327, 77', '329, 2']) AS arguments;
BEGIN READ ONLY;
SELECT count(*) FROM teller.statement(327, 3);
SELECT teller.balance_at(327, 3, clock_timestamp());
COMMIT;

-- ---- balance_at -------------------------------------------------------------------

-- Before the first row, at the very instant, and now.
SELECT recorded_at AS t FROM teller.journal WHERE ledger_id = 327 AND id = :'first' \gset
SELECT teller.balance_at(327, 2, :'t'::timestamptz - interval '1 microsecond'), teller.balance_at(327, 2, :'t'),
	teller.balance_at(327, 2, clock_timestamp()) = (SELECT posted FROM teller.balance(327, 2));
SELECT teller.balance_at(327, 2, '-infinity'), teller.balance_at(327, 2, 'infinity') = (SELECT posted FROM teller.balance(327, 2)),
	teller.balance_at(327, 2, '-infinity', 'effective');
SELECT teller.balance_at(327, 4, clock_timestamp()), teller.balance_at(327, 4, clock_timestamp(), 'effective');
-- By effective time the first row counts from 2020 on.
SELECT teller.balance_at(327, 2, '2019-12-31 23:59:59.999999Z', 'effective'), teller.balance_at(327, 2, '2020-01-01 00:00Z', 'effective'),
	teller.balance_at(327, 2, '2020-01-01 00:00Z'), teller.balance_at(327, 2, '2020-01-01 00:00Z', by => 'recorded');

-- Many rows, dated before and after; then many moments against a sum.
SELECT setseed(0.327);
CREATE TEMP TABLE wish AS SELECT i, 1 + floor(random() * 3)::int AS a, 1 + floor(random() * 3)::int AS b,
	(1 + floor(random() * 500))::numeric / 100 AS amount,
	CASE floor(random() * 3) WHEN 0 THEN NULL WHEN 1 THEN timestamptz '2021-01-01 00:00Z' + random() * interval '700 days'
		ELSE timestamptz '2100-01-01 00:00Z' + random() * interval '700 days' END AS at
FROM generate_series(1, 400) AS i;
SELECT count(*) FROM teller.transfer(327, 1, 2, 10000) AS a, teller.transfer(327, 1, 3, 10000) AS b;
SELECT count(*) > 200, bool_and(status = 'posted') FROM wish,
	LATERAL teller.transfer(327, a, b, amount, effective_at => at) WHERE a <> b;
-- Holds do not count; what is captured of them does, and what is reversed.
SELECT id AS h FROM teller.hold(327, 2, 3, 40, '1 hour') \gset
SELECT amount FROM teller.capture(327, :'h', 13);
CREATE TEMP TABLE moment AS
SELECT recorded_at + d AS at FROM teller.journal, unnest(ARRAY[interval '0', '-1 us', '1 us']) AS d WHERE ledger_id = 327 AND random() < 0.3
UNION SELECT effective_at + d FROM teller.journal, unnest(ARRAY[interval '0', '-1 us', '1 us']) AS d WHERE ledger_id = 327 AND random() < 0.3
UNION SELECT timestamptz '2020-12-01 00:00Z' + random() * interval '90 years' FROM generate_series(1, 100);
SELECT count(*) > 300 FROM moment;
SELECT account, by, count(*) FILTER (WHERE teller.balance_at(327, account, at, by) IS DISTINCT FROM
	(SELECT coalesce(sum(CASE WHEN p.side = 'credit' THEN p.amount ELSE -p.amount END), 0) FROM teller.posting AS p
	WHERE p.ledger_id = 327 AND p.account_id = account AND p.kind IN ('transfer', 'capture', 'reversal')
		AND CASE by WHEN 'recorded' THEN p.recorded_at ELSE p.effective_at END <= at)) AS wrong
FROM moment, unnest(ARRAY[1, 2, 3]::bigint[]) AS account, unnest(ARRAY['recorded', 'effective']) AS by
GROUP BY 1, 2 ORDER BY 1, 2;
-- By either clock the ledger balances at every moment.
SELECT by, count(*) FROM moment, unnest(ARRAY['recorded', 'effective']) AS by
WHERE teller.balance_at(327, 1, at, by) + teller.balance_at(327, 2, at, by) + teller.balance_at(327, 3, at, by) <> 0
GROUP BY 1;
-- With the asset's decimals.
SELECT teller.balance_at(327, 5, clock_timestamp()), teller.balance_at(327, 4, clock_timestamp());
-- Rows of one moment: the last of them counts.
BEGIN;
UPDATE teller.account SET last_at = '2100-06-01 00:00Z' WHERE ledger_id = 327 AND account_id = 4;
SELECT credit_balance FROM teller.transfer(327, 1, 4, 10);
SELECT credit_balance FROM teller.transfer(327, 1, 4, 20);
SELECT debit_balance FROM teller.transfer(327, 4, 1, 5);
SELECT teller.balance_at(327, 4, '2100-06-01 00:00Z'), teller.balance_at(327, 4, '2100-05-31 23:59:59.999999Z'),
	teller.balance_at(327, 4, clock_timestamp()), teller.balance_at(327, 4, '2100-06-01 00:00Z', 'effective');
ROLLBACK;

SELECT arguments || E'\n\t' || pg_temp.says(format('SELECT teller.balance_at(%s)', arguments))
FROM unnest(ARRAY['NULL, 2, now()', '327, NULL, now()', '327, 2, NULL', '327, 2, now(), NULL', '327, 2, now(), ''posted''',
	'327, 2, now(), ''''', '327, 77, now()', '329, 2, now()']) AS arguments;

-- The right is read, on this ledger alone.
CREATE ROLE regress_history;
GRANT USAGE ON SCHEMA teller TO regress_history;
SET ROLE regress_history;
SELECT pg_temp.says('SELECT teller.statement(327, 2)');
SELECT pg_temp.says('SELECT teller.balance_at(327, 2, now())');
SELECT pg_temp.says('SELECT teller.balance_at(329, 2, now())');
RESET ROLE;
SELECT teller.grant_ledger(328, 'regress_history', 'read');
SET ROLE regress_history;
SELECT pg_temp.says('SELECT teller.statement(327, 2)');
SELECT pg_temp.says('SELECT teller.statement(327, 77)');
SELECT pg_temp.says('SELECT teller.balance_at(327, 77, now())');
SELECT version, posted FROM teller.statement(328, 2);
SELECT teller.balance_at(328, 2, clock_timestamp());
RESET ROLE;
SELECT teller.revoke_ledger(328, 'regress_history');
REVOKE USAGE ON SCHEMA teller FROM regress_history;
DROP ROLE regress_history;

-- A balance at a moment is found by halving, not by reading the history.
SELECT count(*) FROM generate_series(1, 5) AS i, LATERAL teller.post(327, array_fill(6, ARRAY[2000])::bigint[],
	array_fill(5, ARRAY[2000])::bigint[], array_fill(i, ARRAY[2000])::numeric[]);
CREATE FUNCTION pg_temp.looked_at() RETURNS bigint LANGUAGE sql AS $$
	SELECT sum(pg_stat_get_xact_tuples_fetched(r) + pg_stat_get_xact_tuples_returned(r))::bigint
	FROM (SELECT 'teller.journal'::regclass UNION SELECT indexrelid FROM pg_index
		WHERE indrelid = 'teller.journal'::regclass) AS relations (r)
$$;
BEGIN;
SELECT pg_temp.looked_at() AS before \gset
SELECT teller.balance_at(327, 5, clock_timestamp() - interval '1 hour'), teller.balance_at(327, 5, clock_timestamp()),
	teller.balance_at(327, 5, clock_timestamp(), 'effective');
SELECT pg_temp.looked_at() - :before BETWEEN 1 AND 200;
-- So is a page of a statement.
SELECT pg_temp.looked_at() AS before \gset
SELECT max(version) FROM teller.statement(327, 5, 9000, 10);
SELECT pg_temp.looked_at() - :before BETWEEN 10 AND 100;
COMMIT;

SELECT * FROM teller.verify();
