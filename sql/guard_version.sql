-- guard_version: the trigger counts every update of a row, whoever makes it, and
-- refuses one that carries a version other than the row's.
\pset format unaligned
\pset tuples_only on
\pset null NULL
-- How many rows a statement changes, or what it raises.
CREATE FUNCTION pg_temp.says(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	changed bigint;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	GET DIAGNOSTICS changed = ROW_COUNT;
	RETURN statement || E'\n\t' || changed;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN statement || E'\n\t' || concat_ws(E'\n\t\t', sqlstate || ': ' || sqlerrm, nullif(detail, ''), nullif(hint, ''));
END
$$;
SELECT pg_backend_pid() AS pid \gset
CREATE SCHEMA regress_guard_version;
SET search_path = regress_guard_version, public;
CREATE TABLE note (id int PRIMARY KEY, title text, stars int NOT NULL DEFAULT 0, version bigint NOT NULL DEFAULT 5);
CREATE TRIGGER guard BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION teller.guard_version();
INSERT INTO note (id) SELECT generate_series(1, 3);

-- An update that does not set the version is counted, even if it changes nothing.
UPDATE note SET title = 'a' WHERE id = 1 RETURNING version;
UPDATE note SET title = title WHERE id = 1 RETURNING version;
WITH changed AS (UPDATE note SET stars = stars + 1 RETURNING id, version) SELECT * FROM changed ORDER BY id;
-- One that sets it sets the version it read, or that plus one; nothing else.
SELECT pg_temp.says(format('UPDATE note SET stars = 9, version = %s WHERE id = 1', version))
FROM unnest(ARRAY['8', '10', '10', '9', '12', '0', '-1', 'NULL', '9223372036854775807', 'DEFAULT', 'version', 'version + 1', 'version + 2',
	'version - 1', '(SELECT version FROM note WHERE id = 2)', '13', '14', '15 - 1']) WITH ORDINALITY AS t (version, n) ORDER BY n;
SELECT * FROM note WHERE id = 1;
UPDATE note SET (version, title) = (15, 'b') WHERE id = 1 AND version = 15 RETURNING version;
UPDATE note SET title = 'c', version = version + 1 WHERE id = 1 AND version = 15 RETURNING version;
-- Of several rows one stale is enough, and nothing is changed.
SELECT id, version FROM note ORDER BY id;
SELECT pg_temp.says('UPDATE note SET version = 6');
SELECT pg_temp.says('UPDATE note SET version = 6 WHERE id > 1');
SELECT id, version FROM note ORDER BY id;

-- With row_update the version grows by one, and the stale one is told.
SELECT teller.row_update('note', 1, 16, '{"title": "d"}');
SELECT teller.row_update('note', '1', 17, '{"title": "e", "stars": 3}');
SELECT pg_temp.says($$SELECT teller.row_update('note', 1, 17, '{"title": "f"}')$$);
SELECT teller.row_debit('note', 1, 1, 'stars'), teller.row_credit('note', 1, 5, 'stars');
SELECT * FROM note WHERE id = 1;

-- The way it goes in other statements: joins, ON CONFLICT, MERGE, views, CTEs.
WITH changed AS (UPDATE note SET title = 'joined' FROM (VALUES (2), (3)) AS v (id) WHERE note.id = v.id RETURNING note.id, version)
	SELECT * FROM changed ORDER BY id;
INSERT INTO note (id, title, version) VALUES (2, 'conflict', 77) ON CONFLICT (id) DO UPDATE SET title = excluded.title RETURNING version;
SELECT pg_temp.says($$INSERT INTO note (id, version) VALUES (2, 77) ON CONFLICT (id) DO UPDATE SET version = excluded.version$$);
INSERT INTO note (id, version) VALUES (2, 9) ON CONFLICT (id) DO UPDATE SET version = excluded.version RETURNING version;
MERGE INTO note USING (VALUES (2, 1), (3, 8)) AS v (id, version) ON note.id = v.id
	WHEN MATCHED AND v.id = 2 THEN UPDATE SET title = 'merged'
	WHEN MATCHED THEN UPDATE SET version = v.version;
SELECT pg_temp.says($$MERGE INTO note USING (VALUES (3, 8)) AS v (id, version) ON note.id = v.id WHEN MATCHED THEN UPDATE SET version = v.version, title = 'stale'$$);
CREATE VIEW glass AS SELECT version AS v, title AS t, id FROM note;
UPDATE glass SET t = 'through' WHERE id = 3 RETURNING v;
UPDATE glass SET t = 'through', v = 10 WHERE id = 3 RETURNING v;
SELECT pg_temp.says('UPDATE glass SET v = 10 WHERE id = 3');
WITH changed AS (UPDATE note SET title = 'cte' WHERE id = 3 RETURNING version) SELECT version FROM changed;
SELECT * FROM note ORDER BY id;
DROP VIEW glass;

-- Other triggers: what one set before it does not count, unless the UPDATE sets
-- the version; what one sets after it is that trigger's own affair.
CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.version := NEW.version + 100; RETURN NEW; END $$;
CREATE TRIGGER a_first BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION spoil();
SELECT pg_temp.says('UPDATE note SET title = ''g'' WHERE id = 3');
SELECT pg_temp.says('UPDATE note SET version = version WHERE id = 3');
DROP TRIGGER a_first ON note;
CREATE TRIGGER z_last BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION spoil();
UPDATE note SET title = 'h' WHERE id = 3 RETURNING version;
DROP TRIGGER z_last ON note;
-- A row that another trigger has put together.
CREATE FUNCTION remake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN (NEW.id, 'remade', NEW.stars, NULL)::note; END $$;
CREATE TRIGGER a_first BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION remake();
UPDATE note SET title = 'i' WHERE id = 3 RETURNING *;
DROP TRIGGER a_first ON note;
-- Twice the same trigger: the second sees what the first made of it.
CREATE TRIGGER guard_again BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION teller.guard_version('version');
UPDATE note SET title = 'j' WHERE id = 3 RETURNING version;
UPDATE note SET title = 'k', version = version WHERE id = 3 RETURNING version;
SELECT teller.row_update('note', 3, version, '{"title": "l"}') - version FROM note WHERE id = 3;
DROP TRIGGER guard_again ON note;
-- Only where its condition holds, or for some columns.
DROP TRIGGER guard ON note;
CREATE TRIGGER guard BEFORE UPDATE OF title ON note FOR EACH ROW WHEN (NEW.title IS DISTINCT FROM OLD.title) EXECUTE FUNCTION teller.guard_version();
SELECT version AS reached FROM note WHERE id = 3 \gset
UPDATE note SET stars = 1 WHERE id = 3 RETURNING version - :reached;
UPDATE note SET title = title WHERE id = 3 RETURNING version - :reached;
UPDATE note SET title = 'm' WHERE id = 3 RETURNING version - :reached;
DROP TABLE note;

-- The column: any integer type, or a domain over one; its name as the argument.
CREATE DOMAIN ver AS integer CHECK (VALUE < 8);
CREATE TABLE counted (id int PRIMARY KEY, v int, s smallint DEFAULT 6, i integer DEFAULT 6, b bigint DEFAULT 6, d ver DEFAULT 6, n numeric DEFAULT 6,
	t text DEFAULT '6', g int GENERATED ALWAYS AS (v) STORED, "Ver ""sion" int DEFAULT 6, gone int, version xid8);
ALTER TABLE counted DROP gone;
INSERT INTO counted (id) VALUES (1);
CREATE FUNCTION pg_temp.guard(arguments text, VARIADIC statements text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	statement text;
BEGIN
	EXECUTE format('CREATE OR REPLACE TRIGGER guard BEFORE UPDATE ON counted FOR EACH ROW EXECUTE FUNCTION teller.guard_version(%s)', arguments);
	FOREACH statement IN ARRAY statements LOOP
		RETURN NEXT pg_temp.says(statement);
	END LOOP;
END
$$;
SELECT pg_temp.guard('''s''', 'UPDATE counted SET v = 1', 'UPDATE counted SET s = 7', 'UPDATE counted SET s = 9', 'UPDATE counted SET s = 8');
SELECT pg_temp.guard('i', 'UPDATE counted SET v = 1', 'UPDATE counted SET i = 7', 'UPDATE counted SET i = 9', 'UPDATE counted SET i = 8');
SELECT pg_temp.guard('''b''', 'UPDATE counted SET v = 1', 'UPDATE counted SET b = 7', 'UPDATE counted SET b = 9', 'UPDATE counted SET b = 8');
SELECT pg_temp.guard('''d''', 'UPDATE counted SET v = 1', 'UPDATE counted SET v = 2', 'UPDATE counted SET d = 7');
SELECT pg_temp.guard('''Ver "sion''', 'UPDATE counted SET v = 1', 'UPDATE counted SET "Ver ""sion" = 7', 'UPDATE counted SET "Ver ""sion" = 7');
SELECT s, i, b, d, "Ver ""sion" FROM counted;
SELECT pg_temp.guard(argument, 'UPDATE counted SET v = 1') FROM unnest(ARRAY['''n''', '''t''', '''g''', '''gone''', '''moon''', '''xmin''', '''ctid''',
	'''''', '''S''', '''Ver \"sion''', '', '''s'', ''i''']) AS argument;
-- The key may be guarded too, which is of little use: a row's version is its key.
SELECT pg_temp.guard('id', 'UPDATE counted SET v = 1', 'UPDATE counted SET id = 2', 'UPDATE counted SET id = 4');
-- At the end of its range, and without a number.
DROP TRIGGER guard ON counted;
UPDATE counted SET id = 1, s = 32766, i = 2147483646, b = 9223372036854775806;
SELECT pg_temp.guard('''s''', 'UPDATE counted SET v = 1', 'UPDATE counted SET v = 2', 'UPDATE counted SET s = 32767', 'UPDATE counted SET s = 0');
SELECT pg_temp.guard('''i''', 'UPDATE counted SET v = 1', 'UPDATE counted SET v = 2', 'UPDATE counted SET i = 2147483647');
SELECT pg_temp.guard('''b''', 'UPDATE counted SET v = 1', 'UPDATE counted SET v = 2', 'UPDATE counted SET b = 9223372036854775807', 'UPDATE counted SET b = -1',
	'UPDATE counted SET b = -9223372036854775808');
DROP TRIGGER guard ON counted;
UPDATE counted SET s = NULL, i = -2147483648, b = -2;
SELECT pg_temp.guard('''s''', 'UPDATE counted SET v = 1', 'UPDATE counted SET s = 0', 'UPDATE counted SET s = NULL');
SELECT pg_temp.guard('''i''', 'UPDATE counted SET v = 1', 'UPDATE counted SET i = -2147483647', 'UPDATE counted SET i = -2147483648');
SELECT pg_temp.guard('''b''', 'UPDATE counted SET v = 1', 'UPDATE counted SET v = 1', 'UPDATE counted SET v = 1');
SELECT s, i, b FROM counted;
-- As the hint says.
ALTER TABLE counted DISABLE TRIGGER guard;
UPDATE counted SET s = 0;
ALTER TABLE counted ENABLE TRIGGER guard;
SELECT pg_temp.guard('''s''', 'UPDATE counted SET v = 1');
DROP TABLE counted;

-- Not a BEFORE UPDATE trigger for each row: 39P01.
CREATE TABLE odd (id int PRIMARY KEY, v int, version int DEFAULT 0);
INSERT INTO odd VALUES (1);
CREATE VIEW odder AS SELECT * FROM odd;
CREATE FUNCTION pg_temp.odd(definition text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text;
BEGIN
	EXECUTE format('CREATE TRIGGER odd %s EXECUTE FUNCTION teller.guard_version()', definition);
	said := definition || E'\n' || pg_temp.says(statement);
	EXECUTE format('DROP TRIGGER odd ON %s', substring(definition FROM ' ON (\w+)'));
	RETURN said;
END
$$;
SELECT pg_temp.odd(definition, statement) FROM (VALUES
	('AFTER UPDATE ON odd FOR EACH ROW', 'UPDATE odd SET v = 1'), ('BEFORE UPDATE ON odd FOR EACH STATEMENT', 'UPDATE odd SET v = 1'),
	('AFTER UPDATE ON odd FOR EACH STATEMENT', 'UPDATE odd SET v = 1'),
	('BEFORE INSERT ON odd FOR EACH ROW', 'INSERT INTO odd VALUES (2)'), ('BEFORE DELETE ON odd FOR EACH ROW', 'DELETE FROM odd'),
	('BEFORE TRUNCATE ON odd FOR EACH STATEMENT', 'TRUNCATE odd'), ('INSTEAD OF UPDATE ON odder FOR EACH ROW', 'UPDATE odder SET v = 1'),
	('BEFORE INSERT OR UPDATE ON odd FOR EACH ROW', 'INSERT INTO odd VALUES (2)'),
	('BEFORE INSERT OR UPDATE ON odd FOR EACH ROW', 'UPDATE odd SET v = 1')) AS t (definition, statement);
SELECT pg_temp.says('SELECT teller.guard_version()');
SELECT * FROM odd;
DROP TABLE odd CASCADE;

-- Partitions and inheritance: the column is where it is in that table, and the
-- trigger is there for rows that come later.
CREATE TABLE parted (id int PRIMARY KEY, v int, note text, version bigint NOT NULL DEFAULT 0) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TRIGGER guard BEFORE UPDATE ON parted FOR EACH ROW EXECUTE FUNCTION teller.guard_version();
CREATE TABLE parted_high (junk int, version bigint NOT NULL DEFAULT 0, note text, id int NOT NULL, v int);
ALTER TABLE parted_high DROP junk;
ALTER TABLE parted ATTACH PARTITION parted_high FOR VALUES FROM (10) TO (20);
INSERT INTO parted SELECT n, n, repeat('x', n) FROM unnest(ARRAY[1, 11]) AS n;
SELECT pg_temp.says(statement) FROM unnest(ARRAY['UPDATE parted SET v = v + 1', 'UPDATE parted SET note = ''y'', version = 1',
	'UPDATE parted SET v = 3, version = 1 WHERE id = 11', 'UPDATE parted SET v = 4, version = 1 WHERE id = 1',
	'UPDATE parted_high SET version = 2', 'UPDATE parted_high SET version = 2', 'UPDATE parted_low SET v = 5',
	'SELECT teller.row_update(''parted'', 11, 3, ''{"v": 6}'')', 'SELECT teller.row_update(''parted_high'', 11, 4, ''{"v": 7}'')',
	'SELECT teller.row_update(''parted'', 11, 4, ''{"v": 8}'')']) AS statement;
-- A row that moves is counted once.
UPDATE parted SET id = 12 WHERE id = 1 RETURNING tableoid::regclass, *;
SELECT pg_temp.says('UPDATE parted SET id = 2, version = 3 WHERE id = 12');
UPDATE parted SET id = 2, version = 4 WHERE id = 12 RETURNING tableoid::regclass, *;
SELECT tableoid::regclass, * FROM parted ORDER BY id;
DROP TABLE parted;
CREATE TABLE parent (id int PRIMARY KEY, version int NOT NULL DEFAULT 0, v int);
CREATE TABLE child (extra text, v int, id int, version int);
ALTER TABLE child ALTER id SET NOT NULL, ALTER version SET NOT NULL, INHERIT parent;
CREATE TRIGGER guard BEFORE UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION teller.guard_version();
CREATE TRIGGER guard BEFORE UPDATE ON child FOR EACH ROW EXECUTE FUNCTION teller.guard_version();
INSERT INTO parent VALUES (1, 0, 0);
INSERT INTO child VALUES ('x', 0, 2, 0);
UPDATE parent SET v = 1;
UPDATE parent SET v = 2, version = 1;
SELECT pg_temp.says('UPDATE parent SET v = 3, version = 1 WHERE id = 2');
SELECT * FROM child;
SELECT * FROM ONLY parent;
DROP TABLE parent CASCADE;

-- What else is in the row stays: values out of line, dropped and added columns,
-- NULLs; generated columns and constraints see the new version.
CREATE TABLE rich (id int PRIMARY KEY, gone text, big text, a int[], empty text, version int NOT NULL DEFAULT 0 CHECK (version < 5), g int GENERATED ALWAYS AS (version * 10) STORED);
CREATE TRIGGER guard BEFORE UPDATE ON rich FOR EACH ROW EXECUTE FUNCTION teller.guard_version();
ALTER TABLE rich ALTER big SET STORAGE EXTERNAL;
INSERT INTO rich VALUES (1, 'gone', repeat('big', 10000), '{1,2}', NULL);
ALTER TABLE rich DROP gone, ADD late text DEFAULT 'late';
UPDATE rich SET a = a || 3;
UPDATE rich SET late = NULL RETURNING g;
SELECT id, md5(big) = md5(repeat('big', 10000)), a, empty, version, g, late FROM rich;
-- The table changes under the trigger.
ALTER TABLE rich DROP g;
ALTER TABLE rich ALTER version TYPE smallint;
SELECT pg_temp.says('UPDATE rich SET empty = ''3''');
ALTER TABLE rich RENAME version TO vers;
SELECT pg_temp.says('UPDATE rich SET empty = ''4''');
ALTER TABLE rich RENAME vers TO version;
ALTER TABLE rich RENAME TO richer;
SELECT pg_temp.says('UPDATE richer SET empty = ''5''');
SELECT pg_temp.says('UPDATE richer SET empty = ''6''');
ALTER TABLE richer DROP version;
SELECT pg_temp.says('UPDATE richer SET empty = ''7''');
ALTER TABLE richer ADD version bigint NOT NULL DEFAULT 40;
SELECT pg_temp.says('UPDATE richer SET version = 40');
SELECT pg_temp.says('UPDATE richer SET version = 40');
SELECT id, empty, late, version FROM richer;
DROP TABLE richer;

-- Cascades of foreign keys are updates like others.
CREATE TABLE owner (id int PRIMARY KEY);
CREATE TABLE owned (id int PRIMARY KEY, owner int REFERENCES owner ON UPDATE CASCADE ON DELETE SET NULL, version int NOT NULL DEFAULT 0);
CREATE TRIGGER guard BEFORE UPDATE ON owned FOR EACH ROW EXECUTE FUNCTION teller.guard_version();
INSERT INTO owner VALUES (1);
INSERT INTO owned VALUES (1, 1);
UPDATE owner SET id = 2;
DELETE FROM owner;
SELECT * FROM owned;
DROP TABLE owned, owner;

-- Who updates needs no right on the version; a key that he may not read is not in
-- the message; and a table may have none, or one of several columns.
CREATE ROLE regress_guard_version;
GRANT USAGE ON SCHEMA regress_guard_version TO regress_guard_version;
CREATE TABLE hidden (id int, part text, v int, version int NOT NULL DEFAULT 0, PRIMARY KEY (part, id));
CREATE TRIGGER guard BEFORE UPDATE ON hidden FOR EACH ROW EXECUTE FUNCTION teller.guard_version();
INSERT INTO hidden VALUES (1, 'a');
GRANT UPDATE (v) ON hidden TO regress_guard_version;
GRANT UPDATE (version) ON hidden TO regress_guard_version;
SELECT pg_temp.says('UPDATE hidden SET version = 4');
SET ROLE regress_guard_version;
UPDATE hidden SET v = 1;
UPDATE hidden SET version = 4;
RESET ROLE;
GRANT SELECT (id) ON hidden TO regress_guard_version;
SET ROLE regress_guard_version;
UPDATE hidden SET version = 4;
RESET ROLE;
GRANT SELECT (part) ON hidden TO regress_guard_version;
SET ROLE regress_guard_version;
UPDATE hidden SET version = 4;
RESET ROLE;
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
CREATE POLICY everything ON hidden USING (true);
SET ROLE regress_guard_version;
UPDATE hidden SET version = 4;
UPDATE hidden SET v = 2;
RESET ROLE;
SELECT * FROM hidden;
ALTER TABLE hidden DROP CONSTRAINT hidden_pkey;
SELECT pg_temp.says('UPDATE hidden SET version = 4');
ALTER TABLE hidden ADD PRIMARY KEY (id) INCLUDE (part);
SELECT pg_temp.says('UPDATE hidden SET version = 4');
DROP TABLE hidden;
-- Names that have to be quoted.
CREATE TABLE "a""b; drop table x--" ("SELECT" int PRIMARY KEY, "%s" int DEFAULT 0);
CREATE TRIGGER guard BEFORE UPDATE ON "a""b; drop table x--" FOR EACH ROW EXECUTE FUNCTION teller.guard_version('%s');
INSERT INTO "a""b; drop table x--" VALUES (1);
SELECT pg_temp.says('UPDATE "a""b; drop table x--" SET "%s" = 5');
DROP TABLE "a""b; drop table x--";

-- A temporary table, and one changed by a trigger of its own update.
CREATE TEMP TABLE fleeting (id int PRIMARY KEY, v int, version int DEFAULT 0);
CREATE TRIGGER guard BEFORE UPDATE ON fleeting FOR EACH ROW EXECUTE FUNCTION teller.guard_version();
CREATE FUNCTION pg_temp.chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE fleeting SET v = NEW.v WHERE id = NEW.id + 1;
	RETURN NULL;
END
$$;
CREATE TRIGGER chain AFTER UPDATE ON fleeting FOR EACH ROW EXECUTE FUNCTION pg_temp.chain();
INSERT INTO fleeting SELECT generate_series(1, 4);
UPDATE fleeting SET v = 1 WHERE id = 2;
UPDATE fleeting SET v = 2 WHERE id = 1;
SELECT * FROM fleeting ORDER BY id;
-- Rolled back, the version is back; COPY and INSERT are not counted.
BEGIN;
UPDATE fleeting SET v = 3 WHERE id = 4;
SAVEPOINT a;
UPDATE fleeting SET v = 4 WHERE id = 4;
ROLLBACK TO a;
SELECT pg_temp.says('UPDATE fleeting SET v = 5, version = 3 WHERE id = 4');
COMMIT;
COPY fleeting FROM STDIN;
5	5	5
\.
INSERT INTO fleeting VALUES (6, 6, 6);
SELECT * FROM fleeting WHERE id > 3 ORDER BY id;

-- Operators planted in the search path are not used.
DROP TRIGGER chain ON fleeting;
CREATE SCHEMA regress_guard_version_evil;
CREATE FUNCTION regress_guard_version_evil.no(int, int) RETURNS int LANGUAGE sql AS 'SELECT 1/0';
CREATE OPERATOR regress_guard_version_evil.+ (leftarg = int, rightarg = int, function = regress_guard_version_evil.no);
SET search_path = regress_guard_version_evil, pg_catalog;
UPDATE pg_temp.fleeting SET v = 7 WHERE id = 6 RETURNING version;
RESET search_path;

-- The same backend, and the books are sound.
SELECT pg_backend_pid() = :pid;
SELECT * FROM teller.verify();
SET client_min_messages = warning;
DROP SCHEMA regress_guard_version, regress_guard_version_evil CASCADE;
DROP ROLE regress_guard_version;
