-- The feed: journal_since visits every committed row once, in an order in which
-- nothing comes late.
\pset format unaligned
\pset tuples_only on
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate || ': ' || sqlerrm;
END
$$;
-- Wait until every transaction that runs now has ended: somebody else's may
-- keep the feed back (autovacuum's, for example).
CREATE PROCEDURE pg_temp.settle() LANGUAGE plpgsql AS $$
DECLARE
	until xid8 := pg_snapshot_xmax(pg_current_snapshot());
BEGIN
	WHILE pg_snapshot_xmin(pg_current_snapshot()) < until LOOP
		COMMIT;
	END LOOP;
END
$$;
-- Page through a ledger: the number of pages, of rows, and whether they are in
-- the order of their transactions.
CREATE FUNCTION pg_temp.walk(ledger bigint, page integer,
	OUT pages integer, OUT rows_seen bigint, OUT distinct_seen bigint, OUT in_order boolean) LANGUAGE plpgsql AS $$
DECLARE
	place text;
	batch record;
	seen uuid[] := '{}';
BEGIN
	pages := 0;
	LOOP
		SELECT array_agg(f.id) AS ids, (array_agg(f.cursor))[count(*)] AS last INTO batch
		FROM teller.journal_since(ledger, place, page) AS f;
		EXIT WHEN batch.ids IS NULL;
		seen := seen || batch.ids;
		place := batch.last;
		pages := pages + 1;
	END LOOP;
	SELECT count(*), count(DISTINCT s.id) INTO rows_seen, distinct_seen FROM unnest(seen) AS s (id);
	SELECT coalesce(bool_and(place_before IS NULL OR place_before < (tx, id)), true) INTO in_order
	FROM (SELECT j.tx, j.id, lag(ROW(j.tx, j.id)) OVER (ORDER BY s.ordinal) AS place_before
		FROM unnest(seen) WITH ORDINALITY AS s (id, ordinal)
		JOIN teller.journal AS j ON j.ledger_id = walk.ledger AND j.id = s.id) AS places;
END
$$;
SELECT teller.create_ledger(311), teller.create_ledger(312), teller.create_ledger(313);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(311, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(311, 2, 'USD', 'alice'), teller.open_account(311, 3, 'USD', 'capped', max_balance => 500),
	teller.open_account(312, 1, 'USD', 'world', min_balance => NULL), teller.open_account(312, 2, 'USD', 'bob');

-- Nothing happened yet.
SELECT count(*) FROM teller.journal_since(311, NULL, 10);

-- The columns are those of the view movement, and cursor.
SELECT (SELECT string_agg(attname || ' ' || atttypid::regtype, ', ' ORDER BY attnum) || ', cursor text'
		FROM pg_attribute WHERE attrelid = 'teller.movement'::regclass AND attnum > 0)
	= (SELECT string_agg(name || ' ' || type::regtype, ', ' ORDER BY place) FROM pg_proc,
		unnest(proargnames, proallargtypes, proargmodes) WITH ORDINALITY AS a (name, type, mode, place)
		WHERE oid = 'teller.journal_since'::regproc AND mode = 'o');

SELECT status FROM teller.transfer(311, 1, 2, 100, metadata => '{"note": "first"}');
SELECT id AS h FROM teller.hold(311, 2, 3, 30, '1 day') \gset
SELECT status FROM teller.transfer(312, 1, 2, 7);
SELECT status FROM teller.capture(311, :'h', 10);
SELECT count(*) FROM teller.post(311, '{1,1,1}', '{2,3,2}', '{1,2,3}');
CALL pg_temp.settle();
SELECT ledger_id, kind, debit_account, credit_account, amount, debit_version, debit_posted, debit_pending,
	credit_version, credit_posted, credit_pending, hold_id IS NOT NULL, metadata
FROM teller.journal_since(311, NULL, 100);
-- Row for row what the view shows.
SELECT count(*) FROM teller.journal_since(311, '', 100) AS f
FULL JOIN (SELECT * FROM teller.movement WHERE ledger_id = 311) AS m USING (ledger_id, id)
WHERE (f.kind, f.debit_account, f.credit_account, f.amount, f.hold_id, f.reverses, f.batch_id, f.operation_id,
		f.effective_at, f.recorded_at, f.metadata)
	IS DISTINCT FROM (m.kind, m.debit_account, m.credit_account, m.amount, m.hold_id, m.reverses, m.batch_id,
		m.operation_id, m.effective_at, m.recorded_at, m.metadata);

-- Pages of any size show every row once, within a transaction too.
SELECT page, pg_temp.walk(311, page) FROM unnest('{1,2,3,7,10000}'::integer[]) AS page;
-- A cursor goes on after its row, as often as it is used, and at the end finds
-- nothing.
SELECT f.place, (SELECT count(*) FROM teller.journal_since(311, f.cursor, 100)),
	(SELECT count(*) FROM teller.journal_since(311, f.cursor, 1))
FROM teller.journal_since(311, NULL, 100) WITH ORDINALITY AS f (ledger_id, id, kind, debit_account, credit_account,
	amount, debit_version, debit_posted, debit_pending, credit_version, credit_posted, credit_pending, hold_id,
	reverses, batch_id, operation_id, effective_at, recorded_at, metadata, cursor, place);

-- A transaction does not see its own rows in the feed before it has committed,
-- at any isolation level; nor what it did in a subtransaction.
BEGIN;
SELECT status FROM teller.transfer(311, 1, 2, 1);
SAVEPOINT s;
SELECT status FROM teller.transfer(311, 1, 2, 2);
RELEASE s;
SAVEPOINT s;
SELECT status FROM teller.transfer(311, 1, 2, 3);
ROLLBACK TO s;
SELECT status FROM teller.transfer(311, 1, 2, 4);
SELECT count(*) FROM teller.movement WHERE ledger_id = 311;
SELECT count(*) FROM teller.journal_since(311);
COMMIT;
CALL pg_temp.settle();
SELECT string_agg(amount::text, ' ' ORDER BY place) FROM teller.journal_since(311) WITH ORDINALITY AS f (ledger_id, id,
	kind, debit_account, credit_account, amount, debit_version, debit_posted, debit_pending, credit_version,
	credit_posted, credit_pending, hold_id, reverses, batch_id, operation_id, effective_at, recorded_at, metadata,
	cursor, place);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM teller.journal_since(311);
SELECT status FROM teller.transfer(311, 1, 2, 5);
SELECT count(*) FROM teller.journal_since(311);
COMMIT;
CALL pg_temp.settle();
SELECT count(*) FROM teller.journal_since(311);
-- What was rolled back never comes.
BEGIN;
SELECT status FROM teller.transfer(311, 1, 2, 6);
ROLLBACK;
SELECT status FROM teller.transfer(311, 1, 2, 7);
CALL pg_temp.settle();
SELECT pg_temp.walk(311, 3);

-- All rows of a transaction have one number, also those of its subtransactions;
-- it is made of the epoch and the transaction's id.
SELECT count(*), count(DISTINCT j.tx) FROM teller.journal AS j
WHERE j.ledger_id = 311 AND j.amount IN (1, 2, 4) AND j.batch_id IS NULL;
BEGIN;
SELECT pg_current_xact_id() AS xid \gset
SAVEPOINT s;
SELECT id AS t FROM teller.transfer(311, 1, 2, 8) \gset
COMMIT;
SELECT j.tx - (e.number << 48) = :'xid'::xid8::text::bigint
FROM teller.journal AS j, (SELECT max(number) AS number FROM teller.feed_epoch) AS e
WHERE j.ledger_id = 311 AND j.id = :'t';

-- The ledger of another server, restored here: all of it is decided, however
-- far its transaction ids are ahead.  (A superuser plays pg_restore.)
BEGIN;
UPDATE teller.journal SET tx = tx + (1::bigint << 40) WHERE ledger_id = 312;
SELECT count(*) FROM teller.journal_since(312);
INSERT INTO teller.feed_epoch SELECT max(number) + 1, ((max(number) + 1) << 48) + 5, 1, 1, now() FROM teller.feed_epoch;
SELECT count(*) FROM teller.journal_since(312);
SELECT count(*) FROM teller.verify(312);
ROLLBACK;

-- Rights and arguments.
CREATE ROLE regress_teller_feed;
GRANT USAGE ON SCHEMA teller TO regress_teller_feed;
SELECT teller.grant_ledger(311, 'regress_teller_feed', 'read');
SELECT cursor AS c FROM teller.journal_since(311, NULL, 1) \gset
SET ROLE regress_teller_feed;
SELECT count(*) > 0 FROM teller.journal_since(311);
SELECT pg_temp.says('SELECT teller.journal_since(312)');
SELECT pg_temp.says('SELECT teller.journal_since(319)');
SELECT pg_temp.says('SELECT * FROM teller.feed_epoch');
RESET ROLE;
SELECT teller.revoke_ledger(311, 'regress_teller_feed');
REVOKE USAGE ON SCHEMA teller FROM regress_teller_feed;
DROP ROLE regress_teller_feed;
SELECT pg_temp.says('SELECT teller.journal_since(319)');
SELECT pg_temp.says('SELECT teller.journal_since(NULL)');
SELECT rows, pg_temp.says(format('SELECT teller.journal_since(311, NULL, %s)', rows))
FROM unnest(ARRAY['NULL', '0', '-1', '10001', '2147483647', '10000', '1']) AS rows;
SELECT replace(pg_temp.says(format('SELECT teller.journal_since(312, %L)', :'c')), :'c', '...');
SELECT pg_temp.says(format('SELECT teller.journal_since(311, %L)', bad))
FROM unnest(ARRAY['x', ' ', '1', repeat('0', 65), upper(:'c'), :'c' || '0', left(:'c', 64), '2' || substr(:'c', 2),
	'1' || repeat('g', 64), '1' || repeat('f', 64), repeat('1', 1000000)]) AS bad;

-- It reads without a transaction id, in a read-only transaction, and locks no row.
BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY;
SELECT count(*) > 0 FROM teller.journal_since(311);
COMMIT;
BEGIN;
SELECT count(*) > 0 FROM teller.journal_since(311);
SELECT DISTINCT mode FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype IN ('relation', 'tuple') AND relation > 16383;
SELECT pg_current_xact_id_if_assigned() IS NULL;
COMMIT;

-- verify() sees rows that no transaction here can have written.
BEGIN;
UPDATE teller.journal SET tx = tx + (1::bigint << 40) WHERE ledger_id = 312;
SELECT invariant, ledger_id, regexp_replace(detail, '\d+', 'N', 'g') FROM teller.verify(312);
ROLLBACK;
BEGIN;
UPDATE teller.journal SET tx = tx & ((1::bigint << 48) - 1) WHERE ledger_id = 312;
SELECT invariant, ledger_id, regexp_replace(detail, '\d+', 'N', 'g') FROM teller.verify(312);
ROLLBACK;

SELECT * FROM teller.verify();
