-- post: rows and index entries that are written in bulk.
\pset format unaligned
\pset tuples_only on
-- What a statement raises, without ids.
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate || ': ' || regexp_replace(sqlerrm,
		'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g');
END
$$;
-- A batch of that many items among the accounts 2 to 51, item i of i cents;
-- each third one with metadata.
CREATE FUNCTION pg_temp.batch(items integer, mode text DEFAULT 'atomic', at timestamptz DEFAULT NULL)
RETURNS TABLE (ordinal integer, id uuid, batch_id uuid, status text, amount numeric) LANGUAGE sql AS $$
	SELECT p.ordinal, p.id, p.batch_id, p.status, p.amount
	FROM (SELECT array_agg(2 + i * 7 % 50 ORDER BY i) AS debits, array_agg(2 + (i * 7 + 1 + i % 49) % 50 ORDER BY i) AS credits,
			array_agg(i / 100.0 ORDER BY i) AS amounts,
			array_agg(CASE WHEN i % 3 = 0 THEN jsonb_build_object('item', i, 'kind', 'c' || i % 5) END ORDER BY i) AS metadata
		FROM generate_series(1, items) AS i) AS a,
		teller.post(411, a.debits, a.credits, a.amounts, mode => batch.mode, metadata => a.metadata,
			effective_at => at) AS p
$$;
-- Every row of the ledger by its place, and every account.
CREATE FUNCTION pg_temp.books() RETURNS text LANGUAGE sql AS $$
	SELECT md5(concat((SELECT string_agg(concat(j.ctid, j.xmin, j), '|' ORDER BY j.ctid) FROM teller.journal AS j WHERE ledger_id = 411),
		(SELECT string_agg(concat(a.ctid, a.xmin, a), '|' ORDER BY a.ctid) FROM teller.account AS a WHERE ledger_id = 411)))
$$;
-- The rows of the ledger that each index of the journal leads to, of those
-- that should be in it.
CREATE FUNCTION pg_temp.indexed() RETURNS TABLE (index_name name, says text) LANGUAGE plpgsql AS $$
DECLARE
	predicate text;
	expected bigint;
	found bigint;
BEGIN
	FOR index_name, predicate IN
		SELECT c.relname, coalesce(pg_get_expr(i.indpred, i.indrelid), 'true')
		FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS a ON a.oid = c.relam
		WHERE i.indrelid = 'teller.journal'::regclass AND a.amname = 'btree'
		ORDER BY c.relname LOOP
		SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_indexonlyscan = off;
		SET LOCAL enable_seqscan = on;
		EXECUTE format('SELECT count(*) FROM teller.journal WHERE ledger_id = 411 AND (%s)', predicate) INTO expected;
		-- All others out of the way, so that the plan has no choice.
		UPDATE pg_index SET indisvalid = indexrelid = ('teller.' || quote_ident(index_name))::regclass
		WHERE indrelid = 'teller.journal'::regclass;
		SET LOCAL enable_indexscan = on; SET LOCAL enable_seqscan = off;
		EXECUTE format('SELECT count(*) FROM teller.journal WHERE ledger_id = 411 AND (%s)', predicate) INTO found;
		says := format('%s of %s', found, expected);
		RETURN NEXT;
	END LOOP;
	UPDATE pg_index SET indisvalid = true WHERE indrelid = 'teller.journal'::regclass;
	RESET enable_seqscan; RESET enable_indexscan; RESET enable_bitmapscan; RESET enable_indexonlyscan;
END
$$;
SELECT teller.create_ledger(411);
SELECT teller.create_asset('USD', 2);
SELECT count(teller.open_account(411, i, 'USD', 'account ' || i, min_balance => NULL)) FROM generate_series(1, 60) AS i;

-- Few items and many: each posted, in the order given, ids ascending.
SELECT items, count(*), bool_and(status = 'posted'), sum(amount), bool_and(ordinal = place)
FROM unnest(ARRAY[1, 7, 8, 9, 1000, 1001, 2500]) AS items,
	LATERAL (SELECT *, row_number() OVER (ORDER BY id) AS place FROM pg_temp.batch(items)) AS b
GROUP BY items ORDER BY items;
-- The same in independent mode, and with a time of their own.
SELECT count(*), sum(amount) FROM pg_temp.batch(100, 'independent');
SELECT count(*), sum(amount) FROM pg_temp.batch(100, at => '2024-02-29 12:00Z');
-- A refused item in the middle leaves no row.
SELECT teller.open_account(411, 70, 'USD', 'poor', min_balance => 0);
SELECT p.status, count(*) FROM teller.post(411, ARRAY[2, 3, 4, 5, 70, 6, 7, 8, 9, 10], ARRAY[3, 4, 5, 6, 2, 7, 8, 9, 10, 11],
	array_fill(1, ARRAY[10]), mode => 'independent') AS p GROUP BY p.status ORDER BY p.status;
-- The largest batch.
SELECT count(*), sum(amount) FROM pg_temp.batch(10000);
SELECT count(*) AS rows, count(DISTINCT id) AS ids, sum(amount) FROM teller.journal WHERE ledger_id = 411;
SELECT * FROM teller.verify(411);
-- Each index has them all.
BEGIN;
SELECT * FROM pg_temp.indexed()
WHERE index_name ~ '^regress|^journal_(pkey|feed|debit|credit)$|_dated$' OR says !~ '^(\d+) of \1$';
ROLLBACK;

-- Metadata that goes out of line.
BEGIN;
CREATE TEMP TABLE large AS
SELECT i, jsonb_build_object('text', string_agg(md5(i * 1000 + n || ''), '')) AS metadata
FROM generate_series(1, 30) AS i, generate_series(1, 500) AS n GROUP BY i;
CREATE TEMP TABLE answer AS
SELECT p.ordinal, p.id FROM (SELECT array_agg(i + 1 ORDER BY i) AS debits, array_agg(i + 2 ORDER BY i) AS credits,
		array_agg(1.0 ORDER BY i) AS amounts, array_agg(metadata ORDER BY i) AS metadata FROM large) AS a,
	teller.post(411, a.debits, a.credits, a.amounts, metadata => a.metadata) AS p;
SELECT count(*), min(pg_column_size(j.metadata)) > 8000 AS out_of_line, bool_and(j.metadata = l.metadata) AS same
FROM answer AS a JOIN teller.journal AS j ON j.ledger_id = 411 AND j.id = a.id JOIN large AS l ON l.i = a.ordinal;
ROLLBACK;

-- Indexes that an administrator adds are kept: over columns, descending, with
-- columns that are only included, partial, over expressions, of other kinds.
BEGIN;
CREATE INDEX regress_amount ON teller.journal (amount DESC NULLS LAST, kind) INCLUDE (metadata);
CREATE INDEX regress_dated ON teller.journal (ledger_id, effective_at DESC) WHERE effective_at < '2030-01-01';
CREATE INDEX regress_hold ON teller.journal (hold_id NULLS FIRST, debit_account DESC);
CREATE INDEX regress_cents ON teller.journal (ledger_id, (amount * 100)) WHERE amount < 50;
CREATE INDEX regress_kind ON teller.journal (ledger_id, (metadata ->> 'kind'));
CREATE INDEX regress_metadata ON teller.journal USING gin (metadata) WHERE metadata IS NOT NULL;
CREATE INDEX regress_when ON teller.journal USING brin (recorded_at);
CREATE INDEX regress_batch ON teller.journal USING hash (batch_id);
CREATE INDEX regress_posted ON teller.account (ledger_id, posted) WHERE posted < 0;
SELECT count(*) FROM pg_temp.batch(3000);
SELECT count(*) FROM pg_temp.batch(500, at => '2024-02-29 12:00Z');
SELECT * FROM pg_temp.indexed()
WHERE index_name ~ '^regress|^journal_(pkey|feed|debit|credit)$|_dated$' OR says !~ '^(\d+) of \1$';
SET LOCAL enable_seqscan = off;
SELECT count(*) FROM teller.journal WHERE metadata @> '{"item": 2997}';
SELECT count(*) FROM teller.journal WHERE metadata @> '{"kind": "c3"}' AND ledger_id = 411;
SELECT count(*) FROM teller.journal WHERE ledger_id = 411 AND metadata ->> 'kind' = 'c3';
SELECT batch_id AS batch FROM pg_temp.batch(99) LIMIT 1 \gset
SELECT count(*) FROM teller.journal WHERE batch_id = :'batch';
SELECT * FROM teller.verify(411);
ROLLBACK;
-- One that cannot be used for rows yet is passed over, like one that is made
-- CONCURRENTLY and has just begun.
BEGIN;
CREATE INDEX regress_unready ON teller.journal (ledger_id, amount);
CREATE INDEX regress_unready_odd ON teller.journal (ledger_id, (amount + 1));
UPDATE pg_index SET indisready = false, indisvalid = false
WHERE indexrelid IN ('teller.regress_unready'::regclass, 'teller.regress_unready_odd'::regclass);
SELECT pg_relation_size('teller.regress_unready') AS before \gset
SELECT count(*) FROM pg_temp.batch(3000);
SELECT pg_relation_size('teller.regress_unready') = :before AS unchanged;
ROLLBACK;

-- What is refused leaves nothing: a CHECK, of the journal and of the accounts.
BEGIN;
ALTER TABLE teller.journal ADD CONSTRAINT regress_not_9 CHECK (ledger_id <> 411 OR amount <> 9) NOT VALID;
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says('SELECT count(*) FROM pg_temp.batch(900)');
SELECT pg_temp.says('SELECT count(*) FROM pg_temp.batch(1000)');
SELECT pg_temp.books() = :'before' AS unchanged;
SELECT pg_temp.says('SELECT count(*) FROM pg_temp.batch(899)');
ROLLBACK;
BEGIN;
ALTER TABLE teller.account ADD CONSTRAINT regress_poor CHECK (ledger_id <> 411 OR account_id <> 5 OR posted < 1000);
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says('SELECT teller.post(411, array_fill(1, ARRAY[10]), ARRAY[2, 3, 4, 5, 6, 7, 8, 9, 10, 11], array_fill(100000, ARRAY[10]))');
SELECT pg_temp.books() = :'before' AS unchanged;
ROLLBACK;
-- A constraint that the rows there need not satisfy is tested with each
-- change of them, whatever it changes; so is one that is not a matter of the
-- columns alone.
BEGIN;
ALTER TABLE teller.account ADD CONSTRAINT regress_named CHECK (ledger_id <> 411 OR account_id <> 5 OR name = 'five') NOT VALID;
SELECT pg_temp.says('SELECT teller.transfer(411, 2, 3, 1)');
SELECT pg_temp.says('SELECT teller.transfer(411, 2, 5, 1)');
SELECT pg_temp.says('SELECT count(*) FROM pg_temp.batch(60)');
ROLLBACK;
BEGIN;
ALTER TABLE teller.account ADD CONSTRAINT regress_guc CHECK (name <> current_setting('regress.forbidden', true));
SET LOCAL regress.forbidden = 'account 6';
SELECT pg_temp.says('SELECT teller.transfer(411, 2, 3, 1)');
SELECT pg_temp.says('SELECT teller.transfer(411, 2, 6, 1)');
ROLLBACK;
BEGIN;
ALTER TABLE teller.account ADD CONSTRAINT regress_whole CHECK (ledger_id <> 411 OR account_id <> 6 OR length((account.*)::text) < 20) NOT VALID;
SELECT pg_temp.says('SELECT teller.transfer(411, 2, 6, 1)');
ROLLBACK;
-- A unique index, over columns and over an expression.
BEGIN;
CREATE UNIQUE INDEX regress_once ON teller.journal (ledger_id, amount, debit_account) WHERE metadata ? 'once';
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says(format('SELECT teller.post(411, ARRAY[2, 3, 4, 5, 6, 7, 8, 9, 2], ARRAY[3, 4, 5, 6, 7, 8, 9, 10, 11],
	array_fill(1, ARRAY[9]), metadata => array_fill(%L::jsonb, ARRAY[9]))', '{"once": true}'));
SELECT pg_temp.books() = :'before' AS unchanged;
SELECT pg_temp.says(format('SELECT teller.post(411, ARRAY[2, 3, 4, 5, 6, 7, 8, 9, 10], ARRAY[3, 4, 5, 6, 7, 8, 9, 10, 11],
	array_fill(1, ARRAY[9]), metadata => array_fill(%L::jsonb, ARRAY[9]))', '{"once": true}'));
ROLLBACK;
BEGIN;
CREATE UNIQUE INDEX regress_item ON teller.journal (ledger_id, (metadata ->> 'order')) WHERE metadata ? 'order';
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says(format('SELECT teller.post(411, ARRAY[2, 3, 4, 5, 6, 7, 8, 9], ARRAY[3, 4, 5, 6, 7, 8, 9, 10],
	array_fill(1, ARRAY[8]), metadata => array_fill(%L::jsonb, ARRAY[8]))', '{"order": "A17"}'));
SELECT pg_temp.books() = :'before' AS unchanged;
ROLLBACK;

-- In a subtransaction that is rolled back, and after it.
BEGIN;
SELECT pg_temp.books() AS before \gset
SAVEPOINT s;
SELECT count(*) FROM pg_temp.batch(2000);
ROLLBACK TO s;
SELECT pg_temp.books() = :'before' AS unchanged;
SELECT count(*) FROM pg_temp.batch(2000);
COMMIT;
-- Several in one statement meet what the ones before did.
SELECT n, count(*), min(version), max(version) FROM generate_series(1, 3) AS n,
	LATERAL (SELECT credit_version AS version FROM teller.post(411, array_fill(1, ARRAY[20]), array_fill(60, ARRAY[20]),
		array_fill(n, ARRAY[20]))) AS p
GROUP BY n ORDER BY n;
SELECT posted, version FROM teller.account WHERE ledger_id = 411 AND account_id = 60;
-- At SERIALIZABLE and REPEATABLE READ.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM pg_temp.batch(2000);
SELECT count(*) FROM pg_temp.batch(20);
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM pg_temp.batch(2000);
COMMIT;
SELECT * FROM teller.verify();
