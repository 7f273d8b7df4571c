-- mark_verified() and verify() at level quick: what is read since a mark, and
-- what a mark does when the book does not stand still behind it.
\pset format unaligned
\pset tuples_only on
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', sqlstate || ': ' || sqlerrm,
		'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, ''));
END
$$;
-- What each level finds of a corruption, which is taken back.
CREATE FUNCTION pg_temp.levels(corruption text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	told text[];
BEGIN
	BEGIN
		EXECUTE corruption;
		told := ARRAY(SELECT concat_ws(' ', l, v.invariant, v.object)
			FROM unnest(ARRAY['full', 'quick']) AS l, teller.ledger AS b, teller.verify(b.ledger_id, l) AS v
			WHERE b.ledger_id IN (343, 344));
		RAISE EXCEPTION USING ERRCODE = 'UNDO0';
	EXCEPTION WHEN SQLSTATE 'UNDO0' THEN
		NULL;
	END;
	RETURN QUERY SELECT DISTINCT regexp_replace(t, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>') COLLATE "C" AS line
		FROM unnest(told) AS t ORDER BY line;
END
$$;
SELECT teller.create_ledger(343), teller.create_ledger(344);
SELECT teller.create_asset('USD', 2);
SELECT count(teller.open_account(l, a, 'USD', min_balance => CASE WHEN a > 1 THEN 0 END))
FROM unnest(ARRAY[343, 344]) AS l, generate_series(1, 4) AS a;
SELECT id AS old FROM teller.transfer(343, 1, 2, 100, key => 'old') \gset
SELECT id AS hold FROM teller.hold(343, 2, 3, 10, '1 day') \gset
SELECT status FROM teller.transfer(344, 1, 2, 7);

-- Without a mark quick is full.
SELECT * FROM teller.verify(343, 'quick');
SELECT teller.verify_marked(343);
SELECT pg_temp.levels(format('DELETE FROM teller.journal WHERE id = %L', :'old'));

-- A mark is until when the book was sound, and when it was read in full.
SELECT teller.mark_verified(343);
SELECT ledger_id, verified_at < clock_timestamp(), full_at = verified_at,
	verified_at > (SELECT max(last_at) FROM teller.account AS a WHERE a.ledger_id = 343)
FROM teller.verified WHERE ledger_id = 343;
SELECT verified_at = teller.verify_marked(343) FROM teller.verified WHERE ledger_id = 343;
-- The level quick carries it on, and leaves full_at where it was; the level
-- full does not.
SELECT teller.mark_verified(343, 'quick');
SELECT full_at < verified_at FROM teller.verified WHERE ledger_id = 343;
SELECT teller.mark_verified(343);
SELECT full_at = verified_at FROM teller.verified WHERE ledger_id = 343;
-- Quick without a mark is full, and noted as such.
SELECT teller.mark_verified(344, 'quick');
SELECT full_at = verified_at FROM teller.verified WHERE ledger_id = 344;

-- What happens after the mark does not unsettle it: movements, holds that were
-- placed before, accounts opened since and used.
SELECT id AS new FROM teller.transfer(343, 2, 3, 5, key => 'new') \gset
SELECT amount FROM teller.capture(343, :'hold', 4, false);
SELECT status FROM teller.extend_hold(343, :'hold', '2 days');
SELECT status FROM teller.adjust_hold(343, :'hold', 12);
SELECT amount FROM teller.capture(343, :'hold', 2);
SELECT teller.open_account(343, 5, 'USD');
SELECT status FROM teller.transfer(343, 1, 5, 9);
SELECT count(*) FROM teller.post(343, '{1,1}', '{2,3}', '{1,1}');
SELECT status FROM teller.reverse(343, :'old', 1);
SELECT * FROM teller.verify(343, 'quick');
SELECT teller.verify_marked(343) IS NOT NULL;

-- What was written since the mark is found by quick.
SELECT pg_temp.levels(format('DELETE FROM teller.journal WHERE id = %L', :'new'));
SELECT pg_temp.levels(format('UPDATE teller.journal SET amount = 6.00 WHERE id = %L', :'new'));
SELECT pg_temp.levels('UPDATE teller.account SET posted = posted + 1 WHERE ledger_id = 343 AND account_id = 5');
SELECT pg_temp.levels(format('UPDATE teller.hold SET captured = 5.00, released = 7.00 WHERE hold_id = %L', :'hold'));
SELECT pg_temp.levels($$UPDATE teller.key SET fingerprint = sha256('other') WHERE ledger_id = 343 AND key = 'new'$$);
SELECT pg_temp.levels(format('UPDATE teller.journal SET amount = 101.00 WHERE ledger_id = 343 AND reverses = %L', :'old'));

-- A change of an account that was not used since is not passed over: it does not
-- stand where it stood, and quick becomes full.
SELECT pg_temp.levels('UPDATE teller.account SET posted = posted + CASE account_id WHEN 2 THEN 1 ELSE -1 END
	WHERE ledger_id = 344 AND account_id IN (1, 2)');
BEGIN;
UPDATE teller.account SET posted = posted + CASE account_id WHEN 2 THEN 1 ELSE -1 END
WHERE ledger_id = 344 AND account_id IN (1, 2);
SELECT teller.verify_marked(344);
SELECT DISTINCT invariant, object FROM teller.verify(344, 'quick') ORDER BY 1, 2;
ROLLBACK;
-- The same for accounts that were never used.
SELECT pg_temp.levels('UPDATE teller.account SET posted = posted + CASE account_id WHEN 3 THEN 1 ELSE -1 END
	WHERE ledger_id = 344 AND account_id IN (3, 4)');
-- The same if the clock is set back: what is recorded before the mark after it
-- was set.  (The mark is moved on here.)
BEGIN;
UPDATE teller.verified SET verified_at = clock_timestamp() + interval '1 day' WHERE ledger_id = 344;
SELECT teller.verify_marked(344) IS NOT NULL;
SELECT status FROM teller.transfer(344, 2, 3, 1);
SELECT teller.verify_marked(344);
SELECT * FROM teller.verify(344, 'quick');
ROLLBACK;
-- Rows that are older than the mark are left to full.
SELECT pg_temp.levels($$UPDATE teller.key SET fingerprint = sha256('other') WHERE ledger_id = 343 AND key = 'old'$$);

-- An unsound book is not marked, and an older mark stays.
BEGIN;
SELECT verified_at AS before FROM teller.verified WHERE ledger_id = 343 \gset
UPDATE teller.account SET posted = posted + 1 WHERE ledger_id = 343 AND account_id = 4;
SELECT pg_temp.says('SELECT teller.mark_verified(343)');
SELECT pg_temp.says($$SELECT teller.mark_verified(343, 'quick')$$);
SELECT verified_at = :'before' FROM teller.verified WHERE ledger_id = 343;
ROLLBACK;

-- All ledgers: each from its own mark, those without one in full.
SELECT * FROM teller.verify(NULL, 'quick');
BEGIN;
UPDATE teller.account SET posted = posted + 1 WHERE account_id = 4 AND ledger_id IN (343, 344);
DELETE FROM teller.verified WHERE ledger_id = 344;
SELECT DISTINCT ledger_id, invariant, object FROM teller.verify(NULL, 'quick') ORDER BY 1, 2, 3;
ROLLBACK;

-- What it reads is what changed: a few rows of the journal, by index.
SELECT count(*) FROM (SELECT teller.transfer(344, 1, 2, 1, key => 'k' || n) FROM generate_series(1, 3000) AS n) AS t;
VACUUM ANALYZE teller.journal, teller.key, teller.account, teller.hold;
SELECT teller.mark_verified(344);
SELECT status FROM teller.transfer(344, 1, 3, 1, key => 'last');
BEGIN;
SELECT sum(seq_tup_read) AS scanned, sum(coalesce(idx_tup_fetch, 0)) AS fetched FROM pg_stat_xact_user_tables
WHERE relid = 'teller.journal'::regclass \gset
SELECT * FROM teller.verify(344, 'quick');
SELECT sum(seq_tup_read) - :scanned, sum(coalesce(idx_tup_fetch, 0)) - :fetched BETWEEN 1 AND 500 FROM pg_stat_xact_user_tables
WHERE relid = 'teller.journal'::regclass;
COMMIT;

-- It works read-only, at any isolation level, and locks nothing beyond reading;
-- mark_verified() writes, and must see those that it waits for.
BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY;
SELECT * FROM teller.verify(343, 'quick');
SELECT pg_temp.says('SELECT teller.mark_verified(343)');
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_temp.says('SELECT teller.mark_verified(343)');
COMMIT;
BEGIN;
SELECT * FROM teller.verify(343, 'quick');
SELECT DISTINCT mode FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype IN ('relation', 'tuple') AND relation > 16383;
SELECT pg_current_xact_id_if_assigned() IS NULL;
COMMIT;
-- A transaction marks what it has written itself.
BEGIN;
SELECT status FROM teller.transfer(343, 1, 2, 1);
SELECT teller.mark_verified(343);
SELECT status FROM teller.transfer(343, 1, 2, 1);
SELECT * FROM teller.verify(343, 'quick');
SELECT teller.verify_marked(343) IS NOT NULL;
ROLLBACK;

-- Arguments and rights.
SELECT pg_temp.says('SELECT teller.mark_verified(NULL)');
SELECT pg_temp.says('SELECT teller.mark_verified(343, NULL)');
SELECT pg_temp.says($$SELECT teller.mark_verified(343, 'slow')$$);
SELECT pg_temp.says('SELECT teller.mark_verified(349)');
SELECT pg_temp.says($$SELECT teller.verify(349, 'quick')$$);
CREATE ROLE regress_teller_quick;
GRANT USAGE ON SCHEMA teller TO regress_teller_quick;
SELECT teller.grant_ledger(343, 'regress_teller_quick', 'operate');
SET ROLE regress_teller_quick;
SELECT * FROM teller.verify(343, 'quick');
SELECT split_part(pg_temp.says($$SELECT teller.verify(344, 'quick')$$), E'\n', 1);
SELECT split_part(pg_temp.says($$SELECT teller.verify(NULL, 'quick')$$), E'\n', 1);
SELECT split_part(pg_temp.says('SELECT teller.mark_verified(343)'), E'\n', 1);
SELECT split_part(pg_temp.says('SELECT * FROM teller.verified'), E'\n', 1);
RESET ROLE;
SELECT teller.revoke_ledger(343, 'regress_teller_quick');
REVOKE USAGE ON SCHEMA teller FROM regress_teller_quick;
DROP ROLE regress_teller_quick;

SELECT * FROM teller.verify();
