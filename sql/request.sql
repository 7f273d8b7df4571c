-- Requests of the application: one session does the work, all get its answer.
\pset format unaligned
\pset tuples_only on
\pset null -
-- What a statement raises.
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
	RETURN regexp_replace(concat_ws(E'\n', sqlstate || ': ' || sqlerrm,
		'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, '')),
		'\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?[-+0-9:]+', '<time>', 'g');
END
$$;
-- Let the lease of a request run out.
CREATE FUNCTION pg_temp.run_out(the_key text) RETURNS void LANGUAGE sql AS $$
	UPDATE teller.request SET lease_until = clock_timestamp() - interval '1 second'
	WHERE scope = 'shop' AND key = the_key
$$;

-- In one transaction: begin, work, finish.
BEGIN;
SELECT * FROM teller.begin_request('shop', 'order 1', '{"item": "tea", "count": 2}');
SELECT teller.finish_request('shop', 'order 1', '{"total": 7.50}');
COMMIT;
-- Every repeat gets the answer, whatever it may be.
SELECT * FROM teller.begin_request('shop', 'order 1', '{"count": 2, "item": "tea"}');
SELECT * FROM teller.begin_request('shop', 'order 1', '{"count": 2.00, "item": "tea"}', '1 hour');
SELECT * FROM teller.begin_request('shop', 'null', '{}', '1 hour');
SELECT teller.finish_request('shop', 'null', 'null', 1);
SELECT *, jsonb_typeof(response) FROM teller.begin_request('shop', 'null', '{}');
-- begin and finish in one statement.
WITH b AS MATERIALIZED (SELECT * FROM teller.begin_request('shop', 'one statement', '[]'))
SELECT b.fresh, b.state, teller.finish_request('shop', 'one statement', '"done"', b.token) FROM b;
SELECT fresh, response FROM teller.begin_request('shop', 'one statement', '[]');
SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE state = 'in_progress')
FROM generate_series(1, 5) AS i, LATERAL teller.begin_request('shop', 'five times', to_jsonb(0 * i), '1 hour');

-- With a lease the claim may be committed.  Others are told at once.
SELECT * FROM teller.begin_request('shop', 'payout 1', '{"amount": 5}', '1 hour');
SELECT * FROM teller.begin_request('shop', 'payout 1', '{"amount": 5}', '1 hour');
SELECT * FROM teller.begin_request('shop', 'payout 1', '{"amount": 5}');
SELECT lease_until BETWEEN clock_timestamp() + interval '50 min' AND clock_timestamp() + interval '1 hour',
	finished_at, response FROM teller.request WHERE scope = 'shop' AND key = 'payout 1';
SELECT teller.finish_request('shop', 'payout 1', '{"reference": "X1"}', 1);
SELECT * FROM teller.begin_request('shop', 'payout 1', '{"amount": 5}');

-- After the lease one gets it again, with a new token.
SELECT * FROM teller.begin_request('shop', 'payout 2', '{"amount": 5}', '1 us') \gset first_
SELECT pg_temp.run_out('payout 2');
SELECT * FROM teller.begin_request('shop', 'payout 2', '{"amount": 5}', '1 hour');
SELECT * FROM teller.begin_request('shop', 'payout 2', '{"amount": 5}', '1 hour');
-- The first holder comes too late; the second does not.
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'payout 2', '"first"', 1)$$);
SELECT teller.finish_request('shop', 'payout 2', '"second"', 2);
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'payout 2', '"first"', 1)$$);
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'payout 2', '"second"', 1)$$);
SELECT * FROM teller.begin_request('shop', 'payout 2', '{"amount": 5}');
-- A finish after the lease is good while nobody has begun it again.
SELECT token FROM teller.begin_request('shop', 'late', '{}', '1 hour');
SELECT pg_temp.run_out('late');
SELECT teller.finish_request('shop', 'late', '"in time"', 1);
SELECT pg_temp.run_out('late');
SELECT * FROM teller.begin_request('shop', 'late', '{}', '1 hour');
-- It may be taken over without a lease, if it is finished at once.
SELECT token FROM teller.begin_request('shop', 'over', '{}', '1 hour');
SELECT pg_temp.run_out('over');
SELECT * FROM teller.begin_request('shop', 'over', '{}');
SELECT token, finished_at IS NULL, lease_until < clock_timestamp() FROM teller.request WHERE scope = 'shop' AND key = 'over';
BEGIN;
SELECT * FROM teller.begin_request('shop', 'over', '{}');
SELECT * FROM teller.begin_request('shop', 'over', '{}');
SELECT teller.finish_request('shop', 'over', '"over"');
COMMIT;
SELECT * FROM teller.begin_request('shop', 'over', '{}');

-- finish: what it refuses.
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'never', '{}')$$);
SELECT pg_temp.says($$SELECT teller.finish_request('nowhere', 'order 1', '{}')$$);
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'order 1', '{"total": 8}')$$);
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'order 1', '{"total": 7.5}')$$);
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'order 1', '{"total": 7.5}', 1)$$);
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'order 1', '{"total": 7.5}', 2)$$);
SELECT token FROM teller.begin_request('shop', 'held', '{}', '1 hour');
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'held', '{}')$$);
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'held', '{}', 2)$$);
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'held', '{}', 0)$$);
SELECT teller.finish_request('shop', 'held', '{}', 1);
SELECT teller.finish_request('shop', 'held', '{}');
BEGIN;
SELECT token FROM teller.begin_request('shop', 'wrong token', '{}');
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'wrong token', '{}', 2)$$);
ROLLBACK;

-- Another request under the key.
SELECT request || E'\n\t' || pg_temp.says(format('SELECT teller.begin_request(''shop'', ''order 1'', %L)', request))
FROM unnest(ARRAY['{"item": "tea", "count": 3}', '{"item": "tea"}', '{"item": "tea", "count": 2, "note": null}',
	'{}', '{"item": ["tea"], "count": 2}', '{"item": "tea", "count": "2"}', '[]', '"tea"', 'null',
	'{"item": "tea", "count": 2, "a\"b\nc": 1}']) AS request;
SELECT pg_temp.says(format('SELECT teller.begin_request(''shop'', ''order 1'', %L)',
	jsonb_build_object('item', 'tea', 'count', 2, repeat('ü', 100), 1)));
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'one statement', '[1]')$$);
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'five times', '0.00')$$);
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'five times', '1')$$);
-- Also while it is in progress, and when its lease has run out.
SELECT pg_temp.run_out('five times');
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'five times', '1')$$);

-- The time of a request is part of it: as a time, not as it is written.
SET TimeZone = 'UTC';
SELECT fresh, token FROM teller.begin_request('shop', 'dated', '{}', '1 hour', '2020-06-01 12:00+02');
SET TimeZone = 'Asia/Tokyo';
SELECT fresh, state FROM teller.begin_request('shop', 'dated', '{}', '1 hour', '2020-06-01 10:00Z');
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'dated', '{}', '1 hour', '2020-06-01 10:00:00.000001Z')$$);
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'dated', '{}')$$);
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'payout 1', '{"amount": 5}', request_time => now())$$);
RESET TimeZone;

-- Names: case and blanks count, quotes are part of them, scopes are apart.
SELECT count(*) FILTER (WHERE fresh) FROM unnest(ARRAY['Order 1', 'order 1 ', ' order 1', '''; DROP TABLE teller.request; --',
	repeat('k', 255)]) AS k, LATERAL teller.begin_request('shop', k, '{}', '1 hour');
SELECT fresh FROM teller.begin_request('Shop', 'order 1', '{}', '1 hour');
SELECT fresh FROM teller.begin_request(repeat('s', 255), repeat('k', 255), '{}', '1 hour');
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.' || call)
FROM unnest(ARRAY[
	'begin_request(NULL, ''k'', ''{}'')', 'begin_request(''s'', NULL, ''{}'')', 'begin_request(''s'', ''k'', NULL)',
	'finish_request(NULL, ''k'', ''{}'')', 'finish_request(''s'', NULL, ''{}'')', 'finish_request(''s'', ''k'', NULL)',
	'begin_request('''', ''k'', ''{}'')', 'begin_request(''s'', '''', ''{}'')',
	'begin_request(repeat(''s'', 256), ''k'', ''{}'')', 'begin_request(''s'', repeat(''k'', 10000000), ''{}'')',
	'begin_request(''s'', E''two\nlines'', ''{}'')', 'finish_request(''s'', E''\x7f'', ''{}'')',
	'finish_request('''', ''k'', ''{}'')',
	'prune_requests(NULL)', 'prune_requests(0)', 'prune_requests(1000001)']) AS call;

-- Leases and times.
SELECT lease || E'\n\t' || pg_temp.says(format('SELECT teller.begin_request(''shop'', ''lease '' || %L, ''{}'', %L)', lease, lease))
FROM unnest(ARRAY['0', '-1 us', '-1 year', '1 us', '1 day -1 hour', '1 mon -31 days', '1 year', '366 days', '368 days',
	'2 years', '178000000 years', '-178000000 years']) AS lease;
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'time', '{}', '1 hour', 'infinity')$$);
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'time', '{}', '1 hour', '-infinity')$$);
-- They are looked at before a replay too.
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'payout 1', '{"amount": 5}', '-1 hour')$$);

-- Sizes: 1 MB as jsonb, in and out of line.
BEGIN;
SELECT pg_column_size(doc) AS bytes, pg_temp.says(format('SELECT teller.begin_request(''shop'', ''large'', %L)', doc))
FROM (SELECT to_jsonb(repeat('x', 1024 * 1024 - 12))) AS d (doc);
SELECT pg_column_size(doc) AS bytes, pg_temp.says(format('SELECT teller.begin_request(''shop'', ''larger'', %L)', doc))
FROM (SELECT to_jsonb(repeat('x', 1024 * 1024 - 11))) AS d (doc);
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'large', to_jsonb(repeat('x', 1024 * 1024 - 11)))$$);
SELECT teller.finish_request('shop', 'large', to_jsonb(repeat('y', 1024 * 1024 - 12)));
COMMIT;
SELECT state, length(response #>> '{}') FROM teller.begin_request('shop', 'large', to_jsonb(repeat('x', 1024 * 1024 - 12)));
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'large', to_jsonb(repeat('x', 1024 * 1024 - 13)))$$);
-- A value that lies in another table, and one that does not compress.
CREATE TEMP TABLE document AS SELECT jsonb_agg(md5(i::text)) AS doc FROM generate_series(1, 20000) AS i;
SELECT fresh FROM document, LATERAL teller.begin_request('shop', 'random', doc, '1 hour');
SELECT teller.finish_request('shop', 'random', doc, 1) FROM document;
SELECT fresh, response = doc FROM document, LATERAL teller.begin_request('shop', 'random', doc);
-- Nested deeply.
SELECT fresh, state FROM teller.begin_request('shop', 'deep', (repeat('[', 2000) || repeat(']', 2000))::jsonb, '1 hour');
SELECT fresh, state FROM teller.begin_request('shop', 'deep', (repeat('[', 2000) || repeat(']', 2000))::jsonb, '1 hour');

-- Begun without a lease, it must be finished at COMMIT.
SELECT teller.begin_request('shop', 'left', '{}');
BEGIN;
SELECT fresh FROM teller.begin_request('shop', 'left', '{}');
COMMIT;
BEGIN;
SELECT fresh FROM teller.begin_request('shop', 'left', '{}');
PREPARE TRANSACTION 'regress_teller_left';
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT fresh FROM teller.begin_request('shop', 'left', '{}');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT fresh FROM teller.begin_request('shop', 'left', '{}');
COMMIT AND CHAIN;
ROLLBACK;
-- One of several.
BEGIN;
SELECT count(*) FROM generate_series(1, 20) AS i, LATERAL teller.begin_request('shop', 'left ' || i, '{}');
SELECT count(teller.finish_request('shop', 'left ' || i, '{}')) FROM generate_series(1, 20) AS i WHERE i <> 13;
COMMIT;
-- Nothing of it is there; a later transaction is not touched.
SELECT count(*) FROM teller.request WHERE key LIKE 'left%';
BEGIN;
SELECT fresh FROM teller.begin_request('shop', 'left', '{}');
ROLLBACK;
BEGIN READ WRITE;
SELECT fresh FROM teller.begin_request('shop', 'then read', '{}');
SELECT teller.finish_request('shop', 'then read', '{}');
SET TRANSACTION READ ONLY;
COMMIT;

-- Savepoints: what counts is what is there at the end.
BEGIN;
SAVEPOINT s;
SELECT fresh FROM teller.begin_request('shop', 'begin rolled back', '{}');
ROLLBACK TO s;
COMMIT;
BEGIN;
SELECT fresh FROM teller.begin_request('shop', 'finish rolled back', '{}');
SAVEPOINT s;
SELECT teller.finish_request('shop', 'finish rolled back', '{}');
ROLLBACK TO s;
SELECT state FROM teller.begin_request('shop', 'finish rolled back', '{}');
COMMIT;
BEGIN;
SELECT fresh FROM teller.begin_request('shop', 'finish released', '{}');
SAVEPOINT s;
SELECT teller.finish_request('shop', 'finish released', '{}');
RELEASE s;
COMMIT;
BEGIN;
SAVEPOINT s;
SELECT fresh FROM teller.begin_request('shop', 'twice', '{}');
ROLLBACK TO s;
SELECT fresh FROM teller.begin_request('shop', 'twice', '{}');
SELECT teller.finish_request('shop', 'twice', '{}');
COMMIT;
BEGIN;
SAVEPOINT s;
SELECT fresh FROM teller.begin_request('shop', 'then leased', '{}');
ROLLBACK TO s;
SELECT fresh FROM teller.begin_request('shop', 'then leased', '{}', '1 hour');
COMMIT;
-- Taken over in a savepoint that is rolled back: the old token again.
SELECT token FROM teller.begin_request('shop', 'over and back', '{}', '1 hour');
SELECT pg_temp.run_out('over and back');
BEGIN;
SAVEPOINT s;
SELECT token FROM teller.begin_request('shop', 'over and back', '{}');
ROLLBACK TO s;
COMMIT;
SELECT teller.finish_request('shop', 'over and back', '{}', 1);
SELECT key, token, finished_at IS NOT NULL AS finished FROM teller.request
WHERE key IN ('begin rolled back', 'finish rolled back', 'finish released', 'twice', 'then leased', 'over and back', 'then read')
ORDER BY key;

-- Exception blocks.
DO $$
BEGIN
	BEGIN
		PERFORM teller.begin_request('shop', 'raised', '{}');
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
END
$$;
DO $$
BEGIN
	PERFORM teller.begin_request('shop', 'finish raised', '{}');
	BEGIN
		PERFORM teller.finish_request('shop', 'finish raised', '{}');
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
END
$$;
-- COMMIT inside a procedure.
CREATE PROCEDURE regress_teller_step(finish boolean) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM teller.begin_request('shop', 'procedure', '{}');
	IF finish THEN
		PERFORM teller.finish_request('shop', 'procedure', '{}');
	END IF;
	COMMIT;
END
$$;
CALL regress_teller_step(false);
CALL regress_teller_step(true);
DROP PROCEDURE regress_teller_step;
SELECT key, finished_at IS NOT NULL AS finished FROM teller.request WHERE key IN ('raised', 'finish raised', 'procedure');

-- Deferred triggers run before the check, and may begin and finish.
CREATE TABLE regress_teller_order (id text, begins boolean, finishes boolean);
CREATE FUNCTION regress_teller_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF new.begins THEN
		PERFORM teller.begin_request('shop', new.id, '{}');
	END IF;
	IF new.finishes THEN
		PERFORM teller.finish_request('shop', new.id, '"by the trigger"');
	END IF;
	RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON regress_teller_order
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION regress_teller_order();
INSERT INTO regress_teller_order VALUES ('deferred begin', true, false);
INSERT INTO regress_teller_order VALUES ('deferred both', true, true);
BEGIN;
SELECT fresh FROM teller.begin_request('shop', 'deferred finish', '{}');
INSERT INTO regress_teller_order VALUES ('deferred finish', false, true);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT fresh FROM teller.begin_request('shop', 'deferred finish, SSI', '{}');
INSERT INTO regress_teller_order VALUES ('deferred finish, SSI', false, true);
COMMIT;
SELECT key, response FROM teller.request WHERE key LIKE 'deferred%' ORDER BY key;
SELECT id FROM regress_teller_order ORDER BY id;
DROP TABLE regress_teller_order;
DROP FUNCTION regress_teller_order;

-- A request belongs to the role that began it.
CREATE ROLE regress_teller_web;
CREATE ROLE regress_teller_batch;
CREATE ROLE regress_teller_chief IN ROLE regress_teller_web;
GRANT USAGE ON SCHEMA teller TO PUBLIC;
SET ROLE regress_teller_web;
SELECT fresh FROM teller.begin_request('web', 'k', '{"secret": 1}', '1 hour');
SELECT pg_temp.says('SELECT * FROM teller.request');
SELECT pg_temp.says('SELECT * FROM teller.request_horizon');
SET ROLE regress_teller_batch;
SELECT pg_temp.says($$SELECT teller.begin_request('web', 'k', '{"secret": 1}')$$);
-- The same answer, whatever it asks, and also when it is finished.
SELECT pg_temp.says($$SELECT teller.begin_request('web', 'k', '{"secret": 2}', request_time => now())$$);
SELECT pg_temp.says($$SELECT teller.finish_request('web', 'k', '{}', 1)$$);
SELECT pg_temp.says($$SELECT teller.finish_request('web', 'k', '{}')$$);
SELECT pg_temp.says($$SELECT teller.finish_request('web', 'other', '{}')$$);
SELECT fresh FROM teller.begin_request('batch', 'k', '{}', '1 hour');
SET ROLE regress_teller_chief;
SELECT fresh, state FROM teller.begin_request('web', 'k', '{"secret": 1}');
SELECT teller.finish_request('web', 'k', '"chief"', 1);
SELECT pg_temp.says($$SELECT teller.begin_request('batch', 'k', '{}')$$);
SET ROLE regress_teller_batch;
SELECT pg_temp.says($$SELECT teller.begin_request('web', 'k', '{"secret": 1}')$$);
SELECT pg_temp.says($$SELECT teller.finish_request('web', 'k', '"chief"')$$);
SET ROLE regress_teller_web;
SELECT response FROM teller.begin_request('web', 'k', '{"secret": 1}');
RESET ROLE;
SELECT response FROM teller.begin_request('web', 'k', '{"secret": 1}');
-- Taken over by a member, it stays the first role's.
SET ROLE regress_teller_web;
SELECT token FROM teller.begin_request('shop', 'of the web', '{}', '1 hour');
RESET ROLE;
SELECT pg_temp.run_out('of the web');
SET ROLE regress_teller_chief;
SELECT token FROM teller.begin_request('shop', 'of the web', '{}', '1 hour');
SET ROLE regress_teller_web;
SELECT teller.finish_request('shop', 'of the web', '{}', 2);
RESET ROLE;
-- In a SECURITY DEFINER function it is the function's owner that counts.
CREATE FUNCTION regress_teller_serve(k text, OUT fresh boolean, OUT state text) LANGUAGE sql SECURITY DEFINER AS $$
	SELECT fresh, state FROM teller.begin_request('served', k, '{}', '1 hour')
$$;
ALTER FUNCTION regress_teller_serve OWNER TO regress_teller_web;
SET ROLE regress_teller_batch;
SELECT * FROM regress_teller_serve('k');
SELECT pg_temp.says($$SELECT teller.begin_request('served', 'k', '{}')$$);
SET ROLE regress_teller_web;
SELECT state FROM teller.begin_request('served', 'k', '{}');
RESET ROLE;
DROP FUNCTION regress_teller_serve;

-- What was pruned never runs again: the horizon of a scope refuses all that is
-- as old, and nothing else.
SELECT teller.prune_requests();
INSERT INTO teller.request_horizon VALUES ('shop', '2020-06-01 10:00Z');
SET TimeZone = 'UTC';
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'old', '{}', '1 hour', '2020-06-01 10:00Z')$$);
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'old', '{}', '1 hour', '0001-01-01 BC')$$);
RESET TimeZone;
SELECT count(*) FROM teller.request WHERE key = 'old';
SELECT fresh FROM teller.begin_request('shop', 'old', '{}', '1 hour', '2020-06-01 10:00:00.000001Z');
SELECT fresh FROM teller.begin_request('shop', 'without a time', '{}', '1 hour');
SELECT fresh FROM teller.begin_request('other shop', 'old', '{}', '1 hour', '2019-01-01');
-- One that is still there is replayed, however old.
SELECT fresh, state FROM teller.begin_request('shop', 'dated', '{}', '1 hour', '2020-06-01 10:00Z');

-- Nothing is written in a read-only transaction, nor in a failed one.
BEGIN READ ONLY;
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'read only', '{}', '1 hour')$$);
SELECT pg_temp.says($$SELECT teller.finish_request('shop', 'order 1', '{"total": 7.5}')$$);
COMMIT;
BEGIN;
SELECT 1 / 0;
SELECT teller.begin_request('shop', 'failed', '{}', '1 hour');
COMMIT;

-- What an administrator adds to the table is honoured or refused.
ALTER TABLE teller.request ADD CONSTRAINT regress_no_z CHECK (key <> 'z');
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'z', '{}', '1 hour')$$);
ALTER TABLE teller.request DROP CONSTRAINT regress_no_z;
ALTER TABLE teller.request ENABLE ROW LEVEL SECURITY;
SELECT pg_temp.says($$SELECT teller.begin_request('shop', 'y', '{}', '1 hour')$$);
ALTER TABLE teller.request DISABLE ROW LEVEL SECURITY;

-- (f()).* calls f once for each column: only the first is told that it is fresh.
SELECT (teller.begin_request('shop', 'star', '{}', '1 hour')).*;

REVOKE USAGE ON SCHEMA teller FROM PUBLIC;
DROP ROLE regress_teller_web, regress_teller_batch, regress_teller_chief;
-- Requests of a role that is gone are the superuser's.
SELECT response FROM teller.begin_request('web', 'k', '{"secret": 1}');
DELETE FROM teller.request;
DELETE FROM teller.request_horizon;
SELECT * FROM teller.verify();
