-- lock_rows: rows of any table, locked in the order of their keys.
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
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
	RETURN concat_ws(E'\n', sqlstate || ': ' || sqlerrm,
		'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, ''));
END
$$;
-- The ids of the rows that somebody of this transaction has locked.
CREATE FUNCTION pg_temp.held(rel regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	ids text;
BEGIN
	EXECUTE format('SELECT string_agg(id::text, '' '' ORDER BY id) FROM %s WHERE pg_current_xact_id()::xid = xmax', rel)
		INTO ids;
	RETURN ids;
END
$$;
CREATE SCHEMA regress_rows;
SET search_path = regress_rows, public;
CREATE TABLE seat (id int PRIMARY KEY, taken_by text);
INSERT INTO seat SELECT n FROM generate_series(1, 20) AS n;

-- Locked, each once, in the order of the key and not of the array; the ids come
-- back in lock order, of the array's element type.
BEGIN;
SELECT id, pg_typeof(id) FROM teller.lock_rows('seat', ARRAY[9, 2, 11, 2, 9]) AS id;
SELECT pg_temp.held('seat');
COMMIT;
-- As text: an array literal, a parameter without a type, an array of text.
BEGIN;
SELECT id, pg_typeof(id) FROM teller.lock_rows('seat', '{9, 2, "11", 2}') AS id;
SELECT id, pg_typeof(id) FROM teller.lock_rows('seat', ARRAY['09', ' 9', '10']) AS id;
SELECT id, pg_typeof(id) FROM teller.lock_rows('seat', ARRAY['9', '10']::varchar[]) AS id;
SELECT id, pg_typeof(id) FROM teller.lock_rows('seat', ARRAY['9', '10']::name[]) AS id;
SELECT id, pg_typeof(id) FROM teller.lock_rows('seat', ARRAY[9, 10]::smallint[]) AS id;
PREPARE untyped AS SELECT id FROM teller.lock_rows('seat', $1) AS id;
EXECUTE untyped('{4, 3}');
SELECT pg_temp.held('seat');
COMMIT;
-- In the select list, under LIMIT, for each of several rows, in a cursor.
BEGIN;
SELECT teller.lock_rows('seat', ARRAY[3, 1]);
SELECT teller.lock_rows('seat', ARRAY[7, 5, 6]) LIMIT 1;
SELECT id FROM teller.lock_rows('seat', ARRAY[10, 8, 9]) AS id LIMIT 1;
SELECT pg_temp.held('seat');
ROLLBACK;
BEGIN;
SELECT n, teller.lock_rows('seat', ARRAY[n + 1, n]) FROM generate_series(1, 3) AS n;
SELECT n, id FROM generate_series(4, 6) AS n, teller.lock_rows('seat', ARRAY[n + 1, n]) WITH ORDINALITY AS l (id, place)
WHERE place = 2;
SELECT pg_temp.held('seat');
ROLLBACK;
BEGIN;
DECLARE locks CURSOR FOR SELECT id FROM teller.lock_rows('seat', ARRAY[3, 2, 1]) AS id;
FETCH 1 FROM locks;
SELECT pg_temp.held('seat');
FETCH 2 FROM locks;
CLOSE locks;
COMMIT;
CREATE FUNCTION pg_temp.take(ids int[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	taken int;
	list text := '';
BEGIN
	FOR taken IN SELECT id FROM teller.lock_rows('seat', ids) AS id LOOP
		UPDATE seat SET taken_by = 'us' WHERE id = taken;
		list := list || taken || ' ';
	END LOOP;
	PERFORM teller.lock_rows('seat', ids);
	ids := ids || 4;
	RETURN list || array_to_string(ARRAY(SELECT teller.lock_rows('seat', ids)), ',');
END
$$;
SELECT pg_temp.take(ARRAY[3, 1]);
SELECT pg_temp.take(ARRAY[2, 1]);

-- Every wait and every strength.
SELECT w, s, array_agg(id)
FROM unnest(ARRAY['block', 'nowait', 'skip', '1 hour', '0', '24 hours', 'PT1.5S']) AS w,
	unnest(ARRAY['update', 'no key update', 'share', 'key share']) AS s,
	teller.lock_rows('seat', ARRAY[2, 1], wait => w, strength => s) AS id
GROUP BY w, s ORDER BY w COLLATE "C", s COLLATE "C";

-- What the transaction did before, also in the same statement, is seen.
BEGIN;
INSERT INTO seat VALUES (21);
UPDATE seat SET taken_by = 'me' WHERE id = 1;
UPDATE seat SET id = 32 WHERE id = 2;
DELETE FROM seat WHERE id = 3;
SELECT id FROM teller.lock_rows('seat', ARRAY[32, 21, 1, 3, 2], missing => 'skip') AS id;
SAVEPOINT back;
DELETE FROM seat WHERE id = 1;
SELECT id FROM teller.lock_rows('seat', ARRAY[1, 4], missing => 'skip', strength => 'update') AS id;
ROLLBACK TO back;
SELECT id FROM teller.lock_rows('seat', ARRAY[1, 4], strength => 'update') AS id;
WITH changed AS (UPDATE seat SET taken_by = 'you' WHERE id IN (5, 6) RETURNING id),
	made AS (INSERT INTO seat VALUES (22) RETURNING id)
SELECT id, teller.lock_rows('seat', ARRAY[id]) FROM (TABLE changed UNION ALL TABLE made) AS both_of_them;
UPDATE seat SET taken_by = 'them' WHERE id IN (SELECT teller.lock_rows('seat', ARRAY[7, 8])) RETURNING id;
-- ... by a function that changes rows while the query that calls it runs
CREATE FUNCTION pg_temp.lock_and_change(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM teller.lock_rows('seat', ARRAY[n, 9]);
	UPDATE seat SET taken_by = concat(taken_by, n) WHERE id IN (n, 9);
	RETURN (SELECT taken_by FROM seat WHERE id = 9);
END
$$;
SELECT pg_temp.lock_and_change(n) FROM generate_series(10, 12) AS n;
-- ... and by one that says it changes nothing
CREATE FUNCTION pg_temp.stable(n int) RETURNS SETOF int STABLE LANGUAGE sql AS
	'SELECT teller.lock_rows(''regress_rows.seat'', ARRAY[n, 9])';
SELECT pg_temp.stable(13);
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE seat SET taken_by = 'me' WHERE id = 1;
SELECT id FROM teller.lock_rows('seat', ARRAY[2, 1]) AS id;
UPDATE seat SET taken_by = 'you' WHERE id = 2;
SELECT id FROM teller.lock_rows('seat', ARRAY[2, 1]) AS id;
ROLLBACK;

-- NULL, for each argument and in the array.
SELECT pg_temp.says('SELECT teller.lock_rows(NULL, ARRAY[1])');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', NULL::int[])');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', NULL)');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[1], NULL)');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[1], strength => NULL)');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[1], missing => NULL)');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[1, 2, NULL])');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ''{1, null}'')');
-- The shape of the array.
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[[1, 2], [3, 4]])');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ''{{1}, {2}}'')');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ''1, 2'')');
SELECT id FROM teller.lock_rows('seat', '[5:7]={3,1,2}'::int[]) AS id;
SELECT id FROM teller.lock_rows('seat', '[5:6]={3,1}') AS id;
SELECT count(*) FROM teller.lock_rows('seat', ARRAY[]::int[]);
SELECT count(*) FROM teller.lock_rows('seat', '{}');
-- 10,000 ids and no more, duplicates counted.
SELECT count(*) FROM teller.lock_rows('seat', array_fill(7, ARRAY[10000]));
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', array_fill(7, ARRAY[10001]))');
CREATE TABLE many (id bigint PRIMARY KEY);
INSERT INTO many SELECT n FROM generate_series(1, 10000) AS n;
SELECT count(*), bool_and(id = place)
FROM teller.lock_rows('many', ARRAY(SELECT id FROM many ORDER BY id DESC)) WITH ORDINALITY AS l (id, place);
-- The words.
SELECT pg_temp.says(format('SELECT teller.lock_rows(''seat'', ARRAY[1], %L)', wait))
FROM unnest(ARRAY['', 'BLOCK', 'wait', 'no wait', '5 parsecs', '-1 ms', '1 day -25 hours', '24:00:00.001',
	'1 month', '300000000 years', 'infinity', '-infinity', 'P', repeat('x', 100), repeat('€', 100)]) AS wait;
SELECT pg_temp.says(format('SELECT teller.lock_rows(''seat'', ARRAY[1], strength => %L)', strength))
FROM unnest(ARRAY['', 'UPDATE', 'for update', 'exclusive']) AS strength;
SELECT pg_temp.says(format('SELECT teller.lock_rows(''seat'', ARRAY[1], missing => %L)', missing))
FROM unnest(ARRAY['', 'ERROR', 'ignore']) AS missing;
-- Ids that the key's type cannot take.
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[1.5])');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[1::bigint])');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[true])');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[''1'', ''one''])');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ''{1, 1.5}'')');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ''{99999999999}'')');

-- Rows that do not exist: the first ten of them, in the key's order.
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[1, 77])');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[78, 1, 77])');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY(SELECT generate_series(30, 11, -1)))');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY(SELECT generate_series(31, 11, -1)))');
SELECT id FROM teller.lock_rows('seat', ARRAY[78, 19, 77, 1], missing => 'skip') AS id;
SELECT count(*) FROM teller.lock_rows('seat', ARRAY[78], missing => 'skip');

-- Each key type in its own order.
CREATE TABLE k_bigint (id bigint PRIMARY KEY);
INSERT INTO k_bigint VALUES (-9223372036854775808), (-1), (0), (9223372036854775807);
SELECT id FROM teller.lock_rows('k_bigint', ARRAY(SELECT id FROM k_bigint ORDER BY id DESC)) AS id;
SELECT id, pg_typeof(id) FROM teller.lock_rows('k_bigint', ARRAY[0, -1]) AS id;
CREATE TABLE k_smallint (id smallint PRIMARY KEY);
INSERT INTO k_smallint VALUES (-32768), (3), (32767);
SELECT id FROM teller.lock_rows('k_smallint', '{32767, 3, -32768}') AS id;
CREATE TABLE k_uuid (id uuid PRIMARY KEY);
INSERT INTO k_uuid VALUES ('ffffffff-0000-0000-0000-000000000000'), ('0fffffff-0000-0000-0000-000000000000');
SELECT id FROM teller.lock_rows('k_uuid', ARRAY(SELECT id FROM k_uuid ORDER BY id DESC)) AS id;
SELECT id FROM teller.lock_rows('k_uuid', '{FFFFFFFF000000000000000000000000, "{0fffffff-0000-0000-0000-000000000000}"}') AS id;
SELECT id FROM teller.lock_rows('k_uuid', ARRAY['FFFFFFFF000000000000000000000000', '{0fffffff-0000-0000-0000-000000000000}']) AS id;
SELECT pg_temp.says('SELECT teller.lock_rows(''k_uuid'', ''{7}'')');
CREATE TABLE k_numeric (id numeric PRIMARY KEY);
INSERT INTO k_numeric VALUES (-1.50), (2), (10), ('NaN'), (1e30);
SELECT id FROM teller.lock_rows('k_numeric', ARRAY['NaN', 1e30, 10.0, 2.000, 2, -1.5]) AS id;
SELECT id FROM teller.lock_rows('k_numeric', ARRAY[10, 2]) AS id;
CREATE TABLE k_float (id float8 PRIMARY KEY);
INSERT INTO k_float VALUES (0), ('NaN'), ('-Infinity');
SELECT id FROM teller.lock_rows('k_float', ARRAY['NaN', '-0', '0', '-Infinity']::float8[]) AS id;
CREATE TABLE k_date (id date PRIMARY KEY);
INSERT INTO k_date VALUES ('2026-01-09'), ('2025-12-31');
SELECT id FROM teller.lock_rows('k_date', ARRAY['20260109', '2025-12-31']) AS id;
CREATE TYPE size AS ENUM ('small', 'medium', 'large');
CREATE TABLE k_enum (id size PRIMARY KEY);
INSERT INTO k_enum VALUES ('large'), ('medium'), ('small');
SELECT id FROM teller.lock_rows('k_enum', '{large, medium, small}'::size[]) AS id;
SELECT id FROM teller.lock_rows('k_enum', '{large, medium}') AS id;
ALTER TYPE size ADD VALUE 'tiny' BEFORE 'small';
INSERT INTO k_enum VALUES ('tiny');
SELECT id FROM teller.lock_rows('k_enum', '{large, tiny}') AS id;
SELECT pg_temp.says('SELECT teller.lock_rows(''k_enum'', ''{huge}'')');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE k_domain (id positive PRIMARY KEY);
INSERT INTO k_domain VALUES (2), (10);
SELECT id, pg_typeof(id) FROM teller.lock_rows('k_domain', ARRAY[10, 2]) AS id;
SELECT id FROM teller.lock_rows('k_domain', '{10, 2}') AS id;
SELECT id, pg_typeof(id) FROM teller.lock_rows('k_domain', ARRAY[10, 2]::positive[]) AS id;
SELECT pg_temp.says('SELECT teller.lock_rows(''k_domain'', ARRAY[-1, 2])');
-- Text under the collation of the column: C, ICU, ICU that ignores case.
CREATE COLLATION regress_teller_icu (provider = icu, locale = 'en');
CREATE COLLATION regress_teller_nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE k_text (id text COLLATE "C" PRIMARY KEY);
CREATE TABLE k_icu (id text COLLATE regress_teller_icu PRIMARY KEY);
CREATE TABLE k_nocase (id text COLLATE regress_teller_nocase PRIMARY KEY);
INSERT INTO k_text VALUES ('a'), ('B'), ('c'), ('é'), ('');
INSERT INTO k_icu TABLE k_text;
INSERT INTO k_nocase TABLE k_text;
SELECT string_agg(quote_literal(id), ' ') FROM teller.lock_rows('k_text', ARRAY['c', 'B', 'é', 'a', '']) AS id;
SELECT string_agg(quote_literal(id), ' ') FROM teller.lock_rows('k_icu', ARRAY['c', 'B', 'é', 'a', '']) AS id;
SELECT string_agg(quote_literal(id), ' ') FROM teller.lock_rows('k_nocase', ARRAY['C', 'B', 'b', 'é', 'c', 'A', '']) AS id;
SELECT string_agg(quote_literal(id), ' ') FROM teller.lock_rows('k_icu', '{c, B, é, a, ""}') AS id;
SELECT string_agg(quote_literal(id), ' ') FROM teller.lock_rows('k_icu', ARRAY['c', 'B']::name[]) AS id;
SELECT pg_temp.says('SELECT teller.lock_rows(''k_icu'', ARRAY[''A''])');
CREATE TABLE k_varchar (id varchar(5) PRIMARY KEY);
CREATE TABLE k_char (id char(5) PRIMARY KEY);
CREATE TABLE k_name (id name PRIMARY KEY);
INSERT INTO k_varchar VALUES ('b'), ('a '), ('a');
INSERT INTO k_char VALUES ('b'), ('a');
INSERT INTO k_name VALUES ('b'), ('a');
SELECT string_agg(quote_literal(id), ' ') FROM teller.lock_rows('k_varchar', ARRAY['b', 'a ', 'a']) AS id;
SELECT string_agg(quote_literal(id), ' ') FROM teller.lock_rows('k_varchar', ARRAY['b', 'a ', 'a']::varchar[]) AS id;
SELECT string_agg(quote_literal(id), ' ') FROM teller.lock_rows('k_char', ARRAY['b', 'a ', 'a']) AS id;
SELECT string_agg(quote_literal(id), ' ') FROM teller.lock_rows('k_char', ARRAY['b', 'a ', 'a']::char(5)[]) AS id;
SELECT string_agg(quote_literal(id), ' ') FROM teller.lock_rows('k_name', ARRAY['b', 'a']) AS id;
SELECT string_agg(quote_literal(id), ' ') FROM teller.lock_rows('k_name', ARRAY['b', 'a']::name[]) AS id;
-- A long key is cut in a message; values from a toast table compare as usual.
SELECT pg_temp.says('SELECT teller.lock_rows(''k_text'', ARRAY[repeat(''€'', 1000)])');
CREATE TABLE k_long (id text PRIMARY KEY, also text);
INSERT INTO k_long SELECT repeat(md5(n::text), 60), repeat('x', 100000) FROM generate_series(1, 3) AS n;
SELECT count(*) FROM teller.lock_rows('k_long', ARRAY(SELECT id FROM k_long));
CREATE TABLE k_array (id int[] PRIMARY KEY);
INSERT INTO k_array VALUES ('{2}'), ('{1, 5}');
SELECT id FROM teller.lock_rows('k_array', '{"{2}", "{1,5}"}') AS id;

-- What is not a table with a primary key of one column.
CREATE VIEW a_view AS SELECT * FROM seat;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM seat;
CREATE SEQUENCE a_sequence;
CREATE FOREIGN DATA WRAPPER regress_teller_wrapper;
CREATE SERVER regress_teller_server FOREIGN DATA WRAPPER regress_teller_wrapper;
CREATE FOREIGN TABLE a_foreign (id int) SERVER regress_teller_server;
CREATE TABLE no_key (id int);
CREATE TABLE unique_only (id int NOT NULL UNIQUE);
CREATE TABLE two_columns (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE late_key (id int PRIMARY KEY DEFERRABLE);
CREATE TABLE wide_key (id int, also int, PRIMARY KEY (id) INCLUDE (also));
SELECT split_part(pg_temp.says(format('SELECT teller.lock_rows(%L, ARRAY[1])', rel)), ' with OID', 1)
FROM unnest(ARRAY['a_view', 'a_matview', 'a_sequence', 'a_foreign', 'seat_pkey', 'size', 'pg_class', 'pg_catalog.pg_toast_2619',
	'pg_toast.pg_toast_2619', 'pg_locks', 'information_schema.sql_features', 'teller.asset', 'teller.account', '0', '4294967295',
	'no_key', 'unique_only', 'two_columns', 'late_key']) AS rel;
SELECT pg_temp.says('SELECT teller.lock_rows(''a_view'', ARRAY[]::int[])');
INSERT INTO wide_key VALUES (2, 1), (1, 2);
SELECT id FROM teller.lock_rows('wide_key', ARRAY[2, 1]) AS id;
CREATE TABLE dropped (id int PRIMARY KEY);
SELECT 'dropped'::regclass::oid AS dropped \gset
SELECT count(*) FROM teller.lock_rows('dropped', '{}');
DROP TABLE dropped;
SELECT replace(pg_temp.says(format('SELECT teller.lock_rows(%s, ARRAY[1])', :dropped)), :'dropped', '<oid>');
-- Names that need quotes.
CREATE TABLE "a""b; drop table x--" ("SELECT" int PRIMARY KEY) PARTITION BY LIST ("SELECT");
CREATE TABLE "SELECT" PARTITION OF "a""b; drop table x--" DEFAULT;
CREATE TABLE "äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäx" ("äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäx" int PRIMARY KEY);
INSERT INTO "a""b; drop table x--" VALUES (1), (2);
INSERT INTO "äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäx" VALUES (1), (2);
SELECT id FROM teller.lock_rows('"a""b; drop table x--"', ARRAY[2, 1]) AS id;
SELECT id FROM teller.lock_rows('"SELECT"', ARRAY[2, 1]) AS id;
SELECT id FROM teller.lock_rows('"äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäx"', ARRAY[2, 1]) AS id;
SELECT pg_temp.says('SELECT teller.lock_rows(''"a""b; drop table x--"'', ARRAY[3])');
-- The table changes between two calls.
CREATE TABLE changing (id int PRIMARY KEY, other text);
INSERT INTO changing VALUES (1, 'b'), (2, 'a');
SELECT id FROM teller.lock_rows('changing', '{2, 1}') AS id;
ALTER TABLE changing ALTER id TYPE text;
SELECT id FROM teller.lock_rows('changing', '{2, 1}') AS id;
ALTER TABLE changing DROP CONSTRAINT changing_pkey, ADD PRIMARY KEY (other);
SELECT id FROM teller.lock_rows('changing', '{b, a}') AS id;
ALTER TABLE changing RENAME TO changed;
SELECT id FROM teller.lock_rows('changed', '{b, a}') AS id;
SELECT pg_temp.says('SELECT teller.lock_rows(''changed'', ''{1}'')');
TRUNCATE changed;
SELECT pg_temp.says('SELECT teller.lock_rows(''changed'', ''{a}'')');

-- Partitions and inheritance: the same answers.
CREATE TABLE part (id int PRIMARY KEY, x int) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (100);
INSERT INTO part SELECT n FROM generate_series(1, 20) AS n;
BEGIN;
SELECT id FROM teller.lock_rows('part', ARRAY[12, 3, 12, 9]) AS id;
SELECT pg_temp.held('part');
SELECT id FROM teller.lock_rows('part_1', ARRAY[4, 2], 'nowait') AS id;
SELECT pg_temp.held('part');
COMMIT;
SELECT w, s, array_agg(id)
FROM unnest(ARRAY['block', 'nowait', 'skip', '1 hour']) AS w,
	unnest(ARRAY['update', 'no key update', 'share', 'key share']) AS s,
	teller.lock_rows('part', ARRAY[12, 1], wait => w, strength => s) AS id
GROUP BY w, s ORDER BY w COLLATE "C", s COLLATE "C";
SELECT pg_temp.says(format('SELECT teller.lock_rows(''part'', ARRAY[12, 55, 1, 54], %L)', wait))
FROM unnest(ARRAY['block', 'nowait', 'skip', '1 hour']) AS wait;
SELECT id FROM teller.lock_rows('part', ARRAY[55, 12, 1], missing => 'skip') AS id;
SELECT pg_temp.says('SELECT teller.lock_rows(''part_1'', ARRAY[12])');
SELECT count(*) FROM teller.lock_rows('part', ARRAY[]::int[]);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
INSERT INTO parent VALUES (1), (2);
INSERT INTO child VALUES (2), (3);
BEGIN;
SELECT id FROM teller.lock_rows('parent', ARRAY[3, 2, 1]) AS id;
SELECT tableoid::regclass, id FROM parent WHERE xmax = pg_current_xact_id()::xid ORDER BY 1, 2;
ROLLBACK;
SELECT id FROM teller.lock_rows('parent', '{3, 2, 1}') AS id;
SELECT pg_temp.says('SELECT teller.lock_rows(''child'', ARRAY[1])');

-- Privileges: SELECT on the key, UPDATE on the table or on any column of it.
CREATE ROLE regress_teller_clerk;
GRANT USAGE ON SCHEMA teller TO regress_teller_clerk;
CREATE FUNCTION pg_temp.as_clerk(VARIADIC grants text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	step text;
	answer text := '';
	rel regclass;
BEGIN
	FOREACH rel IN ARRAY ARRAY['regress_rows.seat', 'regress_rows.part']::regclass[] LOOP
		FOREACH step IN ARRAY grants LOOP
			EXECUTE format('GRANT %s', replace(step, 'REL', rel::text));
		END LOOP;
		SET LOCAL ROLE regress_teller_clerk;
		answer := answer || pg_temp.says(format('SELECT teller.lock_rows(%s, ARRAY[1, 2])', rel::oid)) || E'\n';
		RESET ROLE;
		EXECUTE format('REVOKE ALL ON %s FROM regress_teller_clerk', rel);
		REVOKE ALL ON SCHEMA regress_rows FROM regress_teller_clerk;
	END LOOP;
	RETURN rtrim(answer, E'\n');
END
$$;
SELECT pg_temp.as_clerk('SELECT, UPDATE ON REL TO regress_teller_clerk');
SELECT pg_temp.as_clerk('USAGE ON SCHEMA regress_rows TO regress_teller_clerk');
SELECT pg_temp.as_clerk('USAGE ON SCHEMA regress_rows TO regress_teller_clerk',
	'SELECT, INSERT, DELETE, REFERENCES ON REL TO regress_teller_clerk');
SELECT pg_temp.as_clerk('USAGE ON SCHEMA regress_rows TO regress_teller_clerk', 'UPDATE ON REL TO regress_teller_clerk');
SELECT pg_temp.as_clerk('USAGE ON SCHEMA regress_rows TO regress_teller_clerk', 'SELECT, UPDATE ON REL TO regress_teller_clerk');
SELECT pg_temp.as_clerk('USAGE ON SCHEMA regress_rows TO regress_teller_clerk', 'SELECT (id), UPDATE (id) ON REL TO regress_teller_clerk');
ALTER TABLE seat ADD x int;
SELECT pg_temp.as_clerk('USAGE ON SCHEMA regress_rows TO regress_teller_clerk', 'SELECT (id), UPDATE (x) ON REL TO regress_teller_clerk');
SELECT pg_temp.as_clerk('USAGE ON SCHEMA regress_rows TO regress_teller_clerk', 'SELECT (x), UPDATE ON REL TO regress_teller_clerk');
-- No rows: no difference.
GRANT USAGE ON SCHEMA regress_rows TO regress_teller_clerk;
SET ROLE regress_teller_clerk;
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[]::int[])');
SELECT pg_temp.says('SELECT teller.lock_rows(''part'', ARRAY[]::int[])');
RESET ROLE;

-- Row security: what is hidden, or may be read only, counts as missing.
CREATE TABLE note (id int PRIMARY KEY, owner name, shared boolean);
INSERT INTO note VALUES (1, 'regress_teller_clerk', false), (2, 'boss', false), (3, 'boss', true), (4, 'regress_teller_clerk', false);
ALTER TABLE note ENABLE ROW LEVEL SECURITY;
CREATE POLICY see ON note FOR SELECT USING (owner = current_user OR shared);
CREATE POLICY change ON note FOR UPDATE USING (owner = current_user);
GRANT SELECT, UPDATE ON note TO regress_teller_clerk;
SELECT id FROM teller.lock_rows('note', ARRAY[4, 3, 2, 1]) AS id;
SET ROLE regress_teller_clerk;
SELECT id FROM teller.lock_rows('note', ARRAY[4, 3, 2, 1], missing => 'skip') AS id;
SELECT pg_temp.says(format('SELECT teller.lock_rows(''note'', ARRAY[4, 3, 2, 1], %L)', wait))
FROM unnest(ARRAY['block', 'nowait', 'skip', '1 hour']) AS wait;
SELECT pg_temp.says('SELECT teller.lock_rows(''note'', ''{2}'')');
SELECT id FROM teller.lock_rows('note', ARRAY[4, 1], strength => 'key share') AS id;
SET row_security = off;
SELECT pg_temp.says('SELECT teller.lock_rows(''note'', ARRAY[1])');
RESET row_security;
RESET ROLE;
SELECT id FROM teller.lock_rows('note', ARRAY[4, 3, 2, 1]) AS id;
ALTER ROLE regress_teller_clerk BYPASSRLS;
SET ROLE regress_teller_clerk;
SELECT id FROM teller.lock_rows('note', ARRAY[4, 3, 2, 1]) AS id;
RESET ROLE;
-- ... on its owner only if it is forced
ALTER ROLE regress_teller_clerk NOBYPASSRLS;
ALTER TABLE note OWNER TO regress_teller_clerk;
SET ROLE regress_teller_clerk;
SELECT id FROM teller.lock_rows('note', ARRAY[4, 3, 2, 1]) AS id;
ALTER TABLE note FORCE ROW LEVEL SECURITY;
SELECT id FROM teller.lock_rows('note', ARRAY[4, 3, 2, 1], missing => 'skip') AS id;
RESET ROLE;

-- A read-only transaction; a temporary table is excepted.
CREATE TEMP TABLE mine (id int PRIMARY KEY);
INSERT INTO mine VALUES (1), (2);
BEGIN READ ONLY;
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[1])');
SELECT pg_temp.says('SELECT teller.lock_rows(''seat'', ARRAY[]::int[])');
SELECT pg_temp.says('SELECT teller.lock_rows(''part'', ARRAY[1])');
SELECT id FROM teller.lock_rows('mine', ARRAY[2, 1]) AS id;
COMMIT;
-- A failed transaction.
BEGIN;
SELECT 1 / 0;
SELECT teller.lock_rows('seat', ARRAY[1]);
ROLLBACK;
SELECT proparallel, provolatile FROM pg_proc WHERE proname = 'lock_rows';

-- A hostile search_path.
CREATE SCHEMA regress_evil;
CREATE FUNCTION regress_evil.never(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR regress_evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = regress_evil.never);
CREATE TABLE regress_evil.part (id int PRIMARY KEY);
CREATE TEMP TABLE part (id int PRIMARY KEY);
SET search_path = regress_evil, pg_catalog, pg_temp;
SELECT id FROM teller.lock_rows('regress_rows.part', ARRAY[12, 3]) AS id;
SELECT id FROM teller.lock_rows('regress_rows.seat', '{12, 3}') AS id;
SET search_path = '';
SELECT id FROM teller.lock_rows('regress_rows.part', ARRAY[12, 3]) AS id;
SET search_path = regress_rows, public;

SET client_min_messages = error;
DROP SCHEMA regress_evil CASCADE;
DROP SCHEMA regress_rows CASCADE;
DROP FOREIGN DATA WRAPPER regress_teller_wrapper CASCADE;
DROP OWNED BY regress_teller_clerk;
DROP ROLE regress_teller_clerk;
SELECT * FROM teller.verify();
