-- row_update: columns of one row of a table of the user's own change if nobody
-- has changed the row since its version was read, or an error says why not.
\pset format unaligned
\pset tuples_only on
\pset null NULL
-- What a query answers, or what it raises.
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
	detail text;
	hint text;
BEGIN
	EXECUTE query INTO answer;
	RETURN coalesce(answer, 'NULL');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n\t\t', sqlstate || ': ' || sqlerrm, nullif(detail, ''), nullif(hint, ''));
END
$$;
CREATE FUNCTION pg_temp.ask(arguments text) RETURNS text LANGUAGE sql AS $$
	SELECT arguments || E'\n\t' || pg_temp.says('SELECT teller.row_update(' || arguments || ')')
$$;
SELECT pg_backend_pid() AS pid \gset
CREATE SCHEMA regress_row_update;
SET search_path = regress_row_update, public;
CREATE TABLE note (
	id bigint PRIMARY KEY,
	title text NOT NULL DEFAULT 'untitled',
	body text,
	stars integer DEFAULT 0,
	version bigint NOT NULL DEFAULT 0);
INSERT INTO note (id) SELECT generate_series(1, 9);
-- Every row of a table with its place on disk.
CREATE FUNCTION pg_temp.rows_of(relation regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE format('SELECT md5(string_agg(concat_ws(''|'', t.tableoid, t.ctid, t.xmin, t), ''/'' ORDER BY t.tableoid, t.ctid)) FROM %s AS t', relation)
		INTO answer;
	RETURN answer;
END
$$;

-- It answers the new version, one more than the one expected; the columns that
-- changes does not name stay.
SELECT teller.row_update('note', 1, 0, '{"title": "first"}');
SELECT teller.row_update('note', 1::bigint, 1, '{"body": "text", "stars": 5}', 'version');
SELECT teller.row_update('note', '1', 2, '{"stars": null}');
SELECT teller.row_update('note', '1'::text, 3, '{"title": "fourth", "body": null, "stars": 1}');
SELECT teller.row_update(rel => 'note', id => 1, expected_version => 4, changes => jsonb_build_object('stars', 2));
PREPARE change(text, bigint, jsonb) AS SELECT teller.row_update('note', $1, $2, $3);
EXECUTE change('1', 5, '{"stars": 3}');
SELECT * FROM note WHERE id < 3 ORDER BY id;
SELECT pg_get_function_arguments(oid), prorettype::regtype, provolatile, proparallel, prosecdef, proisstrict, proconfig
FROM pg_proc WHERE pronamespace = 'teller'::regnamespace AND proname = 'row_update'
ORDER BY pg_get_function_arguments(oid) COLLATE "C";

-- Another version: both are told, and nothing changes.  A row that is not there
-- is another answer.
SELECT pg_temp.rows_of('note') AS before \gset
SELECT pg_temp.ask(arguments) FROM unnest(ARRAY[
	'''note'', 1, 5, ''{"stars": 9}''', '''note'', 1, 7, ''{"stars": 9}''', '''note'', 1, 0, ''{"stars": 9}''',
	'''note'', 1, 9223372036854775806, ''{"stars": 9}''', '''note'', 1, 9223372036854775807, ''{"stars": 9}''',
	'''note'', ''1'', 5, ''{"stars": 9}''', '''note'', 2, 1, ''{"stars": 9}''',
	'''note'', 77, 0, ''{"stars": 9}''', '''note'', ''77'', 0, ''{"stars": 9}''',
	'''note'', 77, 9223372036854775807, ''{"stars": 9}''', '''note'', -1, 0, ''{"stars": 9}''']) AS arguments;
SELECT pg_temp.rows_of('note') = :'before';

-- NULL for an argument, each alone: 22004, and it is named.
SELECT pg_temp.ask(arguments) FROM unnest(ARRAY[
	'NULL, 1, 6, ''{"stars": 9}''', '''note'', NULL::bigint, 6, ''{"stars": 9}''', '''note'', NULL::text, 6, ''{"stars": 9}''',
	'''note'', NULL, 6, ''{"stars": 9}''', '''note'', 1, NULL, ''{"stars": 9}''', '''note'', 1, 6, NULL',
	'''note'', 1, 6, ''{"stars": 9}'', NULL']) AS arguments;
SELECT pg_temp.ask(arguments) FROM unnest(ARRAY[
	'''note'', 1, -1, ''{"stars": 9}''', '''note'', 1, -9223372036854775808, ''{"stars": 9}''',
	'''note'', ''one'', 6, ''{"stars": 9}''', '''note'', '''', 6, ''{"stars": 9}''', '''note'', 1.5, 6, ''{"stars": 9}''',
	'''note'', true, 6, ''{"stars": 9}''', '''note'', 99999999999999999999, 6, ''{"stars": 9}''',
	'''note'', ''99999999999999999999'', 6, ''{"stars": 9}''', '''note'', ARRAY[1], 6, ''{"stars": 9}''',
	'''note'', ROW(1), 6, ''{"stars": 9}''']) AS arguments;

-- Changes that are none, or of what may not be changed.
ALTER TABLE note ADD gone int, ADD twice int GENERATED ALWAYS AS (stars * 2) STORED,
	ADD always int GENERATED ALWAYS AS IDENTITY;
ALTER TABLE note DROP gone;
SELECT pg_temp.rows_of('note') AS before \gset
SELECT pg_temp.ask('''note'', 1, 6, ' || changes) FROM unnest(ARRAY[
	'''{}''', '''[]''', '''[{"stars": 9}]''', '''"stars"''', '''9''', '''true''', '''null''', '''{"stars": 9''', '''''',
	'''{"id": 1}''', '''{"id": 2, "stars": 9}''', '''{"version": 7}''', '''{"stars": 9, "version": 6}''',
	'''{"moon": 1}''', '''{"stars": 9, "moon": null}''', '''{"": 1}''', '''{"Stars": 9}''', '''{" stars": 9}''', '''{"note": {"stars": 9}}''',
	'''{"gone": 1}''', '''{"........pg.dropped.6........": 1}''', '''{"twice": 1}''', '''{"twice": null}''', '''{"always": 1}''',
	'''{"ctid": "(0,1)"}''', '''{"xmin": 1}''', '''{"tableoid": 1}''', '''{"oid": 1}''', '''{"stars, title": 9}''',
	'''{"stars = 9 --": 9}''', 'jsonb_build_object(repeat(''x'', 64), 1)']) AS changes;
SELECT length(pg_temp.says($$SELECT teller.row_update('note', 1, 6, jsonb_build_object(repeat('ä', 1000000), 1))$$));
-- A version column that is none.
SELECT pg_temp.ask('''note'', 1, 6, ''{"stars": 9}'', ' || version_col) FROM unnest(ARRAY[
	'''id''', '''title''', '''gone''', '''moon''', '''''', '''twice''', '''xmin''', '''ctid''', '''stars''', '''Version''',
	'''version ''', 'repeat(''x'', 100)']) AS version_col;
SELECT pg_temp.rows_of('note') = :'before';
-- Of two members with one name JSON keeps the last.
SELECT teller.row_update('note', 1, 6, '{"stars": 9, "title": "a", "stars": 10}');
SELECT id, title, body, stars, version, twice FROM note WHERE id = 1;

-- Any key with an order: as its own type, as another that casts to it, as a text,
-- and untyped.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN code AS text CHECK (VALUE ~ '^[a-z]+$');
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE TYPE pair AS (a int, b text);
CREATE COLLATION backwards (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE FUNCTION pg_temp.key_type(type text, good text, other text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	call text;
BEGIN
	EXECUTE format('CREATE TABLE keyed (k %s PRIMARY KEY, v text, version int NOT NULL DEFAULT 0)', type);
	EXECUTE format('INSERT INTO keyed VALUES (%L), (%L)', good, other);
	FOREACH call IN ARRAY ARRAY[
		format('%L::%s, 0', good, split_part(type, ' COLLATE', 1)), format('%L::text, 1', good), format('%L::varchar, 2', good), format('%L, 3', good),
		format('%L, 0', good)] LOOP
		RETURN NEXT type || ' ' || call || ': '
			|| pg_temp.says(format($q$SELECT teller.row_update('keyed', %s, '{"v": "x"}')$q$, call));
	END LOOP;
	RETURN QUERY EXECUTE 'SELECT k::text || '' '' || coalesce(v, '''') || version FROM keyed ORDER BY version';
	DROP TABLE keyed;
END
$$;
SELECT pg_temp.key_type(type, good, other) FROM (VALUES
	('smallint', '7', '8'), ('integer', '-7', '8'), ('bigint', '9223372036854775807', '8'),
	('numeric', '1.50', '1.51'), ('numeric(20,0)', '99999999999999999999', '1'), ('float8', '0.1', '0.2'),
	('text', 'ä b', 'ä  b'), ('text COLLATE "C"', 'a', 'A'), ('text COLLATE backwards', 'a', 'b'), ('varchar(5)', 'abcde', 'abcd'),
	('char(3)', 'a', 'b'), ('name', 'n', 'm'),
	('uuid', '01234567-89ab-7def-8123-456789abcdef', '01234567-89ab-7def-8123-456789abcdee'), ('bytea', '\x00ff', '\x00fe'),
	('date', '2026-02-28', '2026-03-01'), ('timestamptz', '2026-02-28 12:00:00.000001+00', '2026-02-28 12:00:00.000002+00'),
	('interval', '1 day', '2 days'), ('boolean', 't', 'f'), ('inet', '10.0.0.1/8', '10.0.0.1/9'), ('oid', '4294967295', '1'),
	('mood', 'sad', 'happy'), ('code', 'abc', 'abd'), ('small', '9', '10'), ('int[]', '{1,2}', '{1}'), ('pair', '(1,a)', '(1,b)'),
	('int4range', '[1,5)', '[1,6)'), ('jsonb', '{"a": 1}', '{"a": 2}'))
	AS t (type, good, other);
-- What casts to the key's type implicitly, and what does not.
SELECT pg_temp.ask('''note'', ' || id || ', 0, ''{"stars": 4}''') FROM unnest(ARRAY['2::smallint', '3::int', '4::small',
	'5::numeric', '5::float8', '''5''::name', '''5''::bpchar', '''5''::bytea', '''5''::jsonb', 'current_date']) AS id;
-- The numeric key is the number, however it is written; a key of the domain is
-- compared as what is under it, so one that the domain forbids is not there.
CREATE TABLE coin (k numeric PRIMARY KEY, v int, version smallint NOT NULL DEFAULT 0);
INSERT INTO coin VALUES (1.50);
CREATE TABLE coded (k code PRIMARY KEY, v int, version int NOT NULL DEFAULT 0);
INSERT INTO coded VALUES ('abc');
SELECT pg_temp.ask(arguments) FROM unnest(ARRAY['''coin'', 1.5, 0, ''{"v": 1}''', '''coin'', ''15e-1'', 1, ''{"v": 1}''', '''coin'', ''NaN'', 0, ''{"v": 1}''',
	'''coded'', ''abc'', 0, ''{"v": 1}''', '''coded'', ''ABC'', 0, ''{"v": 1}''']) AS arguments;
DROP TABLE coin, coded;

-- Columns of many types, read as json_populate_record reads them.
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN given AS text NOT NULL CHECK (VALUE <> '');
CREATE DOMAIN ordered AS pair CHECK ((VALUE).a >= 0);
CREATE TABLE many (
	id int PRIMARY KEY, i int, s smallint, n numeric(10,2), t text, v varchar(5), c char(4), b boolean, ts timestamptz, d date, iv interval,
	u uuid, j jsonb, js json, a int[], m text[][], p pair, ps pair[], e mood, pos positive, must given, o ordered,
	bits bit(3), f float8, by bytea, ip inet, r int4range, nn int NOT NULL, ck int CHECK (ck % 2 = 0), un int UNIQUE,
	version int NOT NULL DEFAULT 0);
INSERT INTO many (id, must, nn, un) VALUES (1, 'x', 1, 1), (2, 'x', 1, 2);
SET timezone = 'UTC';
CREATE FUNCTION pg_temp.set(changes jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text := pg_temp.says(format('SELECT teller.row_update(''many'', 1, (SELECT version FROM many WHERE id = 1), %L)', changes));
BEGIN
	IF said ~ '^\d+$' THEN
		SELECT string_agg(key || ' is ' || value, ', ' ORDER BY key COLLATE "C") INTO said
		FROM many, json_each_text(row_to_json(many)) WHERE many.id = 1 AND changes ? key;
	END IF;
	RETURN changes::text || E'\n\t' || coalesce(said, 'NULL');
END
$$;
SELECT pg_temp.set(changes::jsonb) FROM unnest(ARRAY[
	'{"i": 5}', '{"i": "6"}', '{"i": -2147483648}', '{"i": 5.0}', '{"i": 1e2}', '{"i": true}', '{"i": "x"}', '{"i": 2147483648}', '{"i": [5]}', '{"i": {"a": 5}}',
	'{"s": 32767}', '{"s": 32768}',
	'{"n": 12345678.90}', '{"n": 1.005}', '{"n": "1.5"}', '{"n": 123456789}', '{"n": "NaN"}', '{"n": 1e-100}', '{"n": "Infinity"}',
	'{"t": "text"}', '{"t": ""}', '{"t": "null"}', '{"t": 5}', '{"t": true}', '{"t": [1, {"a": null}]}', '{"t": "''; DROP TABLE many; --"}', '{"t": "\u00e4\\ \" \t"}',
	'{"v": "abcde"}', '{"v": "abcdef"}', '{"v": "abcde   "}', '{"v": 12345}', '{"v": 123456}', '{"c": "ab"}', '{"c": "abcde"}',
	'{"b": true}', '{"b": "no"}', '{"b": 1}', '{"b": 2}', '{"b": "maybe"}',
	'{"ts": "2026-02-28T12:00:00+02:00"}', '{"ts": "infinity"}', '{"ts": 5}', '{"d": "2026-02-29"}', '{"d": "2028-02-29"}', '{"iv": "1 day 01:00"}',
	'{"u": "01234567-89ab-7def-8123-456789abcdef"}', '{"u": "0123"}',
	'{"j": {"a": [1, {"b": null}], "c": "x"}}', '{"j": [1, 2]}', '{"j": "text"}', '{"j": 1.50}', '{"j": true}', '{"j": {}}',
	'{"js": {"a": [1, null]}}', '{"js": "text"}',
	'{"a": [1, 2, null]}', '{"a": []}', '{"a": "{3,4}"}', '{"a": [[1, 2], [3, 4]]}', '{"a": [1, [2]]}', '{"a": 5}', '{"a": {"b": 1}}', '{"a": ["x"]}',
	'{"m": [["a", "b"], ["c", null]]}',
	'{"p": {"a": 1, "b": "x"}}', '{"p": {"b": "y"}}', '{"p": "(5,z)"}', '{"p": {"a": "x"}}', '{"p": [1, "x"]}', '{"p": {"c": 1}}',
	'{"ps": [{"a": 1, "b": "x"}, null, {"a": 2}]}', '{"e": "happy"}', '{"e": "angry"}', '{"e": 1}',
	'{"pos": 1}', '{"pos": 0}', '{"must": "y"}', '{"must": ""}', '{"must": null}', '{"o": {"a": 0, "b": "x"}}', '{"o": {"a": -1, "b": "x"}}',
	'{"bits": "101"}', '{"bits": "1011"}', '{"f": 1e308}', '{"f": 1e309}', '{"f": "-Infinity"}', '{"by": "\\x00ff"}', '{"ip": "10.0.0.1"}', '{"r": "[1,5]"}',
	'{"nn": 2}', '{"nn": null}', '{"ck": 2}', '{"ck": 3}', '{"un": 3}', '{"un": 2}',
	'{"i": 1, "n": 2, "t": "three", "j": {"four": 4}, "a": [5], "p": {"a": 6, "b": "six"}, "nn": 7}',
	'{"i": null, "s": null, "n": null, "t": null, "v": null, "c": null, "b": null, "ts": null, "d": null, "iv": null, "u": null, "j": null, "js": null, "a": null, "m": null, "p": null, "ps": null, "e": null, "pos": null, "o": null, "bits": null, "f": null, "by": null, "ip": null, "r": null, "ck": null, "un": null}'
	]) AS changes;
SELECT id, must, nn, version, num_nulls(i, s, n, t, v, c, b, ts, d, iv, u, j, js, a, m, p, ps, e, pos, o, bits, f, by, ip, r, ck, un) FROM many ORDER BY id;
-- It tells which of the values it could not read.
SELECT teller.row_update('many', 1, 63, '{"s": 1, "i": "x", "t": "y"}');
SELECT teller.row_update('many', 1, 63, '{"s": 1, "p": [1, 2], "t": "y"}');
-- A large value, stored out of line, is one like any other.
SELECT teller.row_update('many', 2, 0, jsonb_build_object('t', repeat('0123456789', 100000), 'j', jsonb_build_object('x', repeat('y', 10000))));
SELECT length(t), length(j ->> 'x'), version FROM many WHERE id = 2;
-- All columns at once is the same as one after the other.
CREATE TABLE wide (id int PRIMARY KEY, version int NOT NULL DEFAULT 0);
DO $$ BEGIN
	EXECUTE (SELECT format('ALTER TABLE wide %s', string_agg(format('ADD "c %s" int', n), ', ')) FROM generate_series(1, 400) AS n);
END $$;
INSERT INTO wide VALUES (1);
SELECT teller.row_update('wide', 1, 0, (SELECT jsonb_object_agg('c ' || n, n) FROM generate_series(1, 400) AS n));
SELECT count(*) FROM wide, json_each_text(row_to_json(wide)) WHERE key = 'c ' || value;
-- More sets of columns than are kept as plans.
SELECT max(teller.row_update('wide', 1, n, jsonb_build_object('c ' || n, -n, 'c ' || n + 1, 0))) FROM generate_series(1, 150) AS n;
SELECT count(*) FROM wide, json_each_text(row_to_json(wide)) WHERE key = 'c ' || -value::int;
DROP TABLE wide;

-- The version column: any integer type, or a domain over one; its end; no number.
CREATE DOMAIN ver AS integer CHECK (VALUE < 3);
CREATE TABLE counted (id int PRIMARY KEY, v int, s smallint, i integer, b bigint, d ver, n numeric, t text, f float8, a int[]);
INSERT INTO counted VALUES (1, 0, 32766, 2147483646, 9223372036854775806, 1, 0, '0', 0, '{0}'),
	(2, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (3, 0, -5, -5, -5, -5, -5, '-5', -5, NULL);
SELECT pg_temp.ask(arguments) FROM unnest(ARRAY[
	'''counted'', 1, 32766, ''{"v": 1}'', ''s''', '''counted'', 1, 32767, ''{"v": 2}'', ''s''', '''counted'', 1, 32768, ''{"v": 2}'', ''s''',
	'''counted'', 1, 2147483646, ''{"v": 3}'', ''i''', '''counted'', 1, 2147483647, ''{"v": 4}'', ''i''', '''counted'', 1, 2147483648, ''{"v": 4}'', ''i''',
	'''counted'', 1, 9223372036854775806, ''{"v": 5}'', ''b''', '''counted'', 1, 9223372036854775807, ''{"v": 6}'', ''b''',
	'''counted'', 1, 1, ''{"v": 7}'', ''d''', '''counted'', 1, 2, ''{"v": 8}'', ''d''',
	'''counted'', 1, 0, ''{"v": 9}'', ''n''', '''counted'', 1, 0, ''{"v": 9}'', ''t''', '''counted'', 1, 0, ''{"v": 9}'', ''f''', '''counted'', 1, 0, ''{"v": 9}'', ''a''',
	'''counted'', 1, 0, ''{"v": 9}''',
	'''counted'', 2, 0, ''{"v": 9}'', ''s''', '''counted'', 2, 0, ''{"v": 9}'', ''i''', '''counted'', 2, 9223372036854775807, ''{"v": 9}'', ''b''',
	'''counted'', 3, 0, ''{"v": 9}'', ''s''', '''counted'', 3, 0, ''{"v": 9}'', ''b''']) AS arguments;
-- One column may be the version of a call and changed by another.
SELECT teller.row_update('counted', 1, 7, '{"i": 8}', 'v'), teller.row_update('counted', 1, 8, '{"v": 80}', 'i');
SELECT id, v, s, i, b, d FROM counted ORDER BY id;
DROP TABLE counted;

-- Names that have to be quoted.
CREATE SCHEMA "a""b; drop schema x--";
CREATE TABLE "a""b; drop schema x--"."select" (
	"SELECT" int PRIMARY KEY, "a""b; drop table x--" int, "$1" int, "é%s%d" int, "order" int, "Version" bigint NOT NULL DEFAULT 0);
SELECT format('ALTER TABLE "a""b; drop schema x--"."select" ADD %I int, ADD %I int', repeat('é', 31) || 'x', repeat('x', 63)) \gexec
INSERT INTO "a""b; drop schema x--"."select" VALUES (1);
SELECT teller.row_update('"a""b; drop schema x--"."select"', 1, 0, jsonb_build_object('a"b; drop table x--', 1, '$1', 2, 'é%s%d', 3, 'order', 4,
	repeat('é', 31) || 'x', 5, repeat('x', 63), 6), 'Version');
SELECT pg_temp.ask(arguments) FROM unnest(ARRAY['''"a""b; drop schema x--"."select"'', 1, 0, ''{"$1": 1}'', ''Version''',
	'''"a""b; drop schema x--"."select"'', 2, 0, ''{"$1": 1}'', ''Version''', '''"a""b; drop schema x--"."select"'', 1, 0, ''{"$1": 1}''',
	'''"a""b; drop schema x--"."select"'', 1, 0, ''{"SELECT": 1}'', ''Version''']) AS arguments;
SELECT * FROM "a""b; drop schema x--"."select";
DROP SCHEMA "a""b; drop schema x--" CASCADE;

-- What is not a table with a key to find a row by.
CREATE VIEW glass AS SELECT * FROM note;
CREATE TABLE keyless (id int, v int, version int);
CREATE TABLE twokeys (id int, k int, v int, version int, PRIMARY KEY (id, k));
CREATE TABLE later (id int PRIMARY KEY DEFERRABLE, v int, version int);
SELECT pg_temp.ask(relation || ', 1, 0, ''{"v": 1}''') FROM unnest(ARRAY['''glass''', '''note_pkey''', '''keyless''', '''twokeys''', '''later''',
	'''pg_class''', '''teller.account''', '0::regclass', '''nowhere''']) AS relation;
DROP VIEW glass;
DROP TABLE keyless, twokeys, later;

-- As the caller: the privileges are those of the statement written by hand.
CREATE ROLE regress_row_update_one;
CREATE ROLE regress_row_update_two;
GRANT USAGE ON SCHEMA teller, regress_row_update TO regress_row_update_one, regress_row_update_two;
CREATE FUNCTION pg_temp.as_role(role name, arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', role);
	said := pg_temp.ask(arguments);
	RESET ROLE;
	RETURN role || ': ' || said;
END
$$;
SELECT nspname AS temp FROM pg_namespace WHERE oid = pg_my_temp_schema() \gset
GRANT USAGE ON SCHEMA :temp TO regress_row_update_one, regress_row_update_two;
CREATE TABLE guarded (id int PRIMARY KEY, v int, secret int, version int NOT NULL DEFAULT 0);
INSERT INTO guarded SELECT generate_series(1, 3);
CREATE FUNCTION pg_temp.try(VARIADIC columns text[]) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT pg_temp.as_role('regress_row_update_one', format('''guarded'', 1, %s, %L', (SELECT version FROM guarded WHERE id = 1),
		(SELECT jsonb_object_agg(name, 1) FROM unnest(columns) AS name)))
$$;
SELECT pg_temp.try('v');
GRANT SELECT ON guarded TO regress_row_update_one;
SELECT pg_temp.try('v');
GRANT UPDATE (v) ON guarded TO regress_row_update_one;
SELECT pg_temp.try('v');
GRANT UPDATE (version) ON guarded TO regress_row_update_one;
SELECT pg_temp.try('v');
SELECT pg_temp.try('secret');
SELECT pg_temp.try('v', 'secret');
-- SELECT on the key and the version is enough; the other columns stay unseen.
REVOKE SELECT ON guarded FROM regress_row_update_one;
GRANT SELECT (id) ON guarded TO regress_row_update_one;
SELECT pg_temp.try('v');
GRANT SELECT (version) ON guarded TO regress_row_update_one;
SELECT pg_temp.try('v');
SELECT pg_temp.as_role('regress_row_update_one', '''guarded'', 1, 0, ''{"v": 1}''');
-- Taken away again, with the plans still there.
REVOKE UPDATE (v) ON guarded FROM regress_row_update_one;
SELECT pg_temp.try('v');
REVOKE ALL ON guarded FROM regress_row_update_one;
GRANT UPDATE ON guarded TO regress_row_update_one;
SELECT pg_temp.try('v');
REVOKE USAGE ON SCHEMA regress_row_update FROM regress_row_update_one;
GRANT SELECT ON guarded TO regress_row_update_one;
SELECT replace(pg_temp.as_role('regress_row_update_one', format('%s, 1, 2, ''{"v": 1}''', 'guarded'::regclass::oid)), 'guarded'::regclass::oid::text, '<oid>');
SELECT * FROM guarded ORDER BY id;
GRANT USAGE ON SCHEMA regress_row_update TO regress_row_update_one;
DROP TABLE guarded;

-- Row security: a row that the policies hide is not there, one that a policy
-- forbids to make is refused; each role has its own, in any order.
CREATE TABLE owned (id int PRIMARY KEY, owner name, v int, version int NOT NULL DEFAULT 0);
INSERT INTO owned VALUES (1, 'regress_row_update_one'), (2, 'regress_row_update_two'), (3, 'both');
GRANT SELECT, UPDATE ON owned TO regress_row_update_one, regress_row_update_two;
SELECT pg_temp.as_role(role, '''owned'', 1, 0, ''{"v": 0}''') FROM unnest(ARRAY['regress_row_update_one', 'regress_row_update_two']) AS role;
UPDATE owned SET version = 0;
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
SELECT pg_temp.as_role('regress_row_update_one', '''owned'', 1, 0, ''{"v": 1}''');
CREATE POLICY own ON owned USING (owner IN (current_user, 'both'));
CREATE POLICY read ON owned FOR SELECT TO regress_row_update_two USING (true);
SELECT pg_temp.as_role(role, format('''owned'', %s, 0, ''{"v": 1}''', id))
FROM generate_series(1, 3) AS id, unnest(ARRAY['regress_row_update_one', 'regress_row_update_two']) AS role;
SELECT pg_temp.ask('''owned'', 3, 1, ''{"v": 2}''');
SELECT pg_temp.as_role(role, '''owned'', 3, 2, ''{"v": 3}''') FROM unnest(ARRAY['regress_row_update_two', 'regress_row_update_one']) AS role;
SELECT pg_temp.as_role('regress_row_update_one', '''owned'', 3, 3, ''{"owner": "nobody"}''');
SELECT pg_temp.as_role('regress_row_update_one', '''owned'', 2, 0, ''{"v": 9}''');
DROP POLICY own ON owned;
SELECT pg_temp.as_role('regress_row_update_two', '''owned'', 3, 3, ''{"v": 9}''');
ALTER TABLE owned DISABLE ROW LEVEL SECURITY;
SELECT pg_temp.as_role('regress_row_update_two', '''owned'', 3, 3, ''{"v": 9}''');
SELECT * FROM owned ORDER BY id;
DROP TABLE owned;

-- Partitions: the row is found where it is, whatever the order of columns there.
CREATE TABLE parted (id int PRIMARY KEY, v int, note text, version bigint NOT NULL DEFAULT 0) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_high (junk int, version bigint NOT NULL DEFAULT 0, note text, id int NOT NULL, v int);
ALTER TABLE parted_high DROP junk;
ALTER TABLE parted ATTACH PARTITION parted_high FOR VALUES FROM (10) TO (20);
INSERT INTO parted SELECT n FROM unnest(ARRAY[1, 11]) AS n;
SELECT pg_temp.ask(arguments) FROM unnest(ARRAY['''parted'', 1, 0, ''{"v": 1, "note": "low"}''', '''parted'', 11, 0, ''{"v": 11, "note": "high"}''',
	'''parted'', 11, 0, ''{"v": 12}''', '''parted'', 5, 0, ''{"v": 1}''', '''parted'', 99, 0, ''{"v": 1}''',
	'''parted_high'', 11, 1, ''{"v": 13}''', '''parted_low'', 11, 1, ''{"v": 13}''']) AS arguments;
SELECT tableoid::regclass, id, v, note, version FROM parted ORDER BY id;
DROP TABLE parted;
-- A partition of a table without such a key may have one, and its rows stay in it.
CREATE TABLE place (id int, area text, v int, version int NOT NULL DEFAULT 0) PARTITION BY LIST (area);
CREATE TABLE place_a PARTITION OF place FOR VALUES IN ('a');
CREATE TABLE place_b PARTITION OF place FOR VALUES IN ('b');
ALTER TABLE place_a ADD PRIMARY KEY (id);
INSERT INTO place VALUES (1, 'a');
SELECT pg_temp.ask(arguments) FROM unnest(ARRAY['''place'', 1, 0, ''{"v": 1}''', '''place_a'', 1, 0, ''{"v": 1}''', '''place_a'', 1, 1, ''{"area": "b"}''']) AS arguments;
SELECT tableoid::regclass, * FROM place;
DROP TABLE place;

-- Inheritance: rows of children too, as with an UPDATE by hand.
CREATE TABLE parent (id int PRIMARY KEY, v int, version int NOT NULL DEFAULT 0);
CREATE TABLE child (extra int) INHERITS (parent);
INSERT INTO parent VALUES (1), (3);
INSERT INTO child VALUES (2), (3);
SELECT pg_temp.ask(arguments) FROM unnest(ARRAY['''parent'', 1, 0, ''{"v": 1}''', '''parent'', 2, 0, ''{"v": 2}''', '''parent'', 2, 0, ''{"v": 3}''',
	'''parent'', 3, 0, ''{"v": 4}''', '''parent'', 3, 5, ''{"v": 4}''', '''parent'', 1, 1, ''{"extra": 1}''', '''child'', 2, 1, ''{"v": 1}''']) AS arguments;
SELECT tableoid::regclass, id, v, version FROM parent ORDER BY id, 1;
DROP TABLE parent CASCADE;

-- Triggers see an update like any other, change it, or suppress it.
CREATE TABLE watched (id int PRIMARY KEY, v int, w int, version int NOT NULL DEFAULT 0);
INSERT INTO watched SELECT generate_series(1, 3);
CREATE TABLE seen (place serial, what text);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO seen (what) VALUES (concat_ws(' ', TG_WHEN, TG_LEVEL, TG_OP, OLD, NEW));
	IF TG_WHEN = 'BEFORE' AND NEW.v = 0 THEN
		RETURN NULL;
	ELSIF TG_WHEN = 'BEFORE' AND NEW.v = 10 THEN
		NEW.v := 11;
	ELSIF TG_WHEN = 'BEFORE' AND NEW.v = 20 THEN
		NEW.version := NEW.version + 5;
	ELSIF TG_WHEN = 'AFTER' AND NEW.v = 30 THEN
		RAISE EXCEPTION 'no thirty';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER one BEFORE UPDATE OF v ON watched FOR EACH ROW EXECUTE FUNCTION watch();
CREATE TRIGGER two AFTER UPDATE ON watched FOR EACH ROW WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION watch();
SELECT pg_temp.ask(arguments) FROM unnest(ARRAY['''watched'', 1, 0, ''{"v": 1}''', '''watched'', 1, 1, ''{"w": 1}''', '''watched'', 1, 2, ''{"v": 10}''',
	'''watched'', 1, 3, ''{"v": 20}''', '''watched'', 1, 9, ''{"v": 0}''', '''watched'', 1, 9, ''{"v": 30}''', '''watched'', 1, 8, ''{"v": 0}''']) AS arguments;
SELECT what FROM seen ORDER BY place;
SELECT * FROM watched ORDER BY id;
DROP TRIGGER one ON watched;
DROP TRIGGER two ON watched;
-- A trigger that takes the version away.
CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.version := NULL; RETURN NEW; END $$;
ALTER TABLE watched ALTER version DROP NOT NULL;
CREATE TRIGGER one BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION forget();
SELECT pg_temp.ask('''watched'', 1, 9, ''{"v": 1}''');
DROP TRIGGER one ON watched;
-- A trigger that calls row_update on other rows of the same table, in the same
-- shape, in another one, and until there are no more.
CREATE FUNCTION chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id < 3 THEN
		PERFORM teller.row_update(TG_RELID, NEW.id + 1, (SELECT version FROM watched WHERE id = NEW.id + 1),
			CASE WHEN NEW.id = 1 THEN jsonb_build_object('v', NEW.v + 1) ELSE '{"w": 100}' END);
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER one AFTER UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION chain();
SELECT pg_temp.ask(arguments) FROM unnest(ARRAY['''watched'', 1, 9, ''{"v": 40}''', '''watched'', 1, 10, ''{"v": 50}''', '''watched'', 2, 2, ''{"v": 60}''']) AS arguments;
SELECT * FROM watched ORDER BY id;
DROP TRIGGER one ON watched;
CREATE TRIGGER one BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION chain();
SELECT pg_temp.ask('''watched'', 1, 11, ''{"v": 70}''');
SELECT * FROM watched ORDER BY id;
-- A change of the table within its own update is refused, and the backend lives.
CREATE FUNCTION alter_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE watched ADD late int; RETURN NEW; END $$;
CREATE TRIGGER two BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION alter_it();
SELECT pg_temp.ask('''watched'', 1, 12, ''{"v": 80}''');
DROP TRIGGER one ON watched;
DROP TRIGGER two ON watched;
-- A constraint of a domain can run anything too, while the values are read.
CREATE FUNCTION meddle(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
	PERFORM teller.row_update('watched', 2, (SELECT version FROM watched WHERE id = 2), '{"w": 7}');
	IF $1 = 13 THEN ALTER TABLE watched RENAME w TO x; END IF;
	RETURN true;
END $$;
CREATE DOMAIN meddling AS int CHECK (meddle(VALUE));
ALTER TABLE watched ADD m meddling;
SELECT pg_temp.ask(arguments) FROM unnest(ARRAY['''watched'', 1, 12, ''{"m": 1}''', '''watched'', 1, 13, ''{"m": 13}''', '''watched'', 2, 0, ''{"m": 1}''']) AS arguments;
SELECT * FROM watched ORDER BY id;
-- Rules.
CREATE RULE also AS ON UPDATE TO watched DO ALSO INSERT INTO seen (what) VALUES ('rule ' || OLD.id);
SELECT pg_temp.ask('''watched'', 3, (SELECT version FROM watched WHERE id = 3), ''{"v": 90}''');
SELECT count(*) FROM seen WHERE what = 'rule 3';
CREATE RULE other AS ON UPDATE TO watched DO INSTEAD NOTHING;
SELECT pg_temp.ask('''watched'', 3, 99, ''{"v": 90}''');
DROP RULE other ON watched;
CREATE RULE sometimes AS ON UPDATE TO watched WHERE NEW.v = 5 DO INSTEAD NOTHING;
SELECT pg_temp.ask('''watched'', 3, 99, ''{"v": 90}''');
DROP TABLE watched, seen;
DROP DOMAIN meddling;

-- The table changes between calls of one session, all with the same plans.
CREATE SCHEMA regress_row_update_other;
CREATE TABLE changing (id int PRIMARY KEY, a int, b int, version int NOT NULL DEFAULT 0);
INSERT INTO changing VALUES (1);
SELECT teller.row_update('changing', 1, 0, '{"a": 1, "b": 1}');
ALTER TABLE changing RENAME a TO c;
SELECT pg_temp.ask('''changing'', 1, 1, ''{"a": 2, "b": 2}''');
SELECT teller.row_update('changing', 1, 1, '{"c": 2, "b": 2}');
ALTER TABLE changing RENAME b TO a;
ALTER TABLE changing RENAME c TO b;
SELECT teller.row_update('changing', 1, 2, '{"a": 3, "b": 33}');
SELECT * FROM changing;
ALTER TABLE changing ADD c text DEFAULT 'new';
SELECT teller.row_update('changing', 1, 3, '{"c": "old"}');
ALTER TABLE changing DROP c;
SELECT pg_temp.ask('''changing'', 1, 4, ''{"c": "x"}''');
ALTER TABLE changing ADD c int[];
SELECT teller.row_update('changing', 1, 4, '{"c": [1, 2]}');
ALTER TABLE changing ALTER a TYPE numeric(4,1);
SELECT teller.row_update('changing', 1, 5, '{"a": 1.25}');
ALTER TABLE changing ALTER a TYPE varchar(3);
SELECT teller.row_update('changing', 1, 6, '{"a": "abc"}');
SELECT pg_temp.ask('''changing'', 1, 7, ''{"a": "abcd"}''');
ALTER TABLE changing ALTER a TYPE varchar(4);
SELECT teller.row_update('changing', 1, 7, '{"a": "abcd"}');
ALTER TABLE changing ALTER version TYPE bigint;
SELECT teller.row_update('changing', 1, 8, '{"a": "x"}');
ALTER TABLE changing RENAME version TO "Vers";
SELECT pg_temp.ask('''changing'', 1, 9, ''{"a": "y"}''');
SELECT teller.row_update('changing', 1, 9, '{"a": "y"}', 'Vers');
ALTER TABLE changing RENAME "Vers" TO version;
ALTER TABLE changing ALTER id TYPE text;
SELECT teller.row_update('changing', '1', 10, '{"a": "z"}');
ALTER TABLE changing RENAME id TO ident;
SELECT teller.row_update('changing', '1', 11, '{"a": "w"}');
ALTER TABLE changing RENAME TO changed;
SELECT teller.row_update('changed', '1', 12, '{"a": "v"}');
CREATE TABLE changing (id int PRIMARY KEY, a int, version int NOT NULL DEFAULT 0);
INSERT INTO changing VALUES (1);
SELECT teller.row_update('changing', 1, 0, '{"a": 1}'), teller.row_update('changed', '1', 13, '{"a": "u"}');
ALTER TABLE changed SET SCHEMA regress_row_update_other;
SELECT teller.row_update('regress_row_update_other.changed', '1', 14, '{"a": "t"}');
ALTER SCHEMA regress_row_update_other RENAME TO regress_row_update_third;
SELECT teller.row_update('regress_row_update_third.changed', '1', 15, '{"a": "s"}');
-- The name of the schema is given to another one with the like of it in it.
CREATE SCHEMA regress_row_update_other;
CREATE TABLE regress_row_update_other.changed AS TABLE regress_row_update_third.changed;
ALTER TABLE regress_row_update_other.changed ADD PRIMARY KEY (ident);
SELECT teller.row_update('regress_row_update_third.changed', '1', 16, '{"a": "r"}');
SELECT * FROM regress_row_update_third.changed UNION ALL SELECT * FROM regress_row_update_other.changed ORDER BY version;
ALTER TABLE regress_row_update_third.changed DROP CONSTRAINT changing_pkey;
SELECT pg_temp.ask('''regress_row_update_third.changed'', ''1'', 17, ''{"a": "q"}''');
ALTER TABLE regress_row_update_third.changed ADD UNIQUE (version), ADD PRIMARY KEY (version);
SELECT pg_temp.ask('''regress_row_update_third.changed'', 17, 17, ''{"a": "q"}''');
DROP SCHEMA regress_row_update_other, regress_row_update_third CASCADE;
DROP TABLE changing;
CREATE TABLE changing (id int PRIMARY KEY, a int, version int NOT NULL DEFAULT 0);
INSERT INTO changing VALUES (1);
SELECT teller.row_update('changing', 1, 0, '{"a": 1}');
DROP TABLE changing;
-- A row type and a domain of a column change: the values follow at once.
CREATE TABLE shaped (id int PRIMARY KEY, p pair, ps pair[], pos positive, e mood, version int NOT NULL DEFAULT 0);
INSERT INTO shaped VALUES (1);
SELECT teller.row_update('shaped', 1, 0, '{"p": {"a": 1, "b": "x", "c": 7}, "ps": [{"a": 1, "c": 7}], "pos": 1}');
ALTER TYPE pair ADD ATTRIBUTE c int;
SELECT teller.row_update('shaped', 1, 1, '{"p": {"a": 1, "b": "x", "c": 7}, "ps": [{"a": 1, "c": 7}], "pos": 2}');
SELECT * FROM shaped;
ALTER TYPE pair RENAME ATTRIBUTE c TO d;
SELECT teller.row_update('shaped', 1, 2, '{"p": {"a": 1, "b": "x", "c": 7, "d": 8}, "ps": [{"a": 1, "d": 8}], "pos": 3}');
SELECT * FROM shaped;
ALTER TYPE pair DROP ATTRIBUTE b;
SELECT teller.row_update('shaped', 1, 3, '{"p": {"a": 1, "b": "x", "d": 9}, "ps": [{"a": 1, "b": "x", "d": 9}], "pos": 4}');
SELECT * FROM shaped;
SELECT teller.row_update('shaped', 1, 4, '{"p": {"a": 1, "d": 10}}');
ALTER TYPE pair RENAME ATTRIBUTE d TO c;
SELECT teller.row_update('shaped', 1, 5, '{"p": {"a": 1, "c": 11}}');
ALTER TYPE pair ADD ATTRIBUTE b text;
SELECT teller.row_update('shaped', 1, 6, '{"p": {"a": 1, "b": "y", "c": 12}}');
SELECT * FROM shaped;
ALTER DOMAIN positive ADD CHECK (VALUE < 5);
SELECT pg_temp.ask('''shaped'', 1, 7, ''{"p": {"d": 9}, "ps": [], "pos": 5}''');
ALTER TYPE mood ADD VALUE 'glad';
SELECT teller.row_update('shaped', 1, 7, '{"e": "glad"}');
ALTER TYPE mood RENAME VALUE 'glad' TO 'merry';
SELECT teller.row_update('shaped', 1, 8, '{"e": "merry"}');
SELECT * FROM shaped;
DROP TABLE shaped;

-- In an exception block what the call did goes with the rest, and the next call
-- starts from what is left.
DO $$
DECLARE
	reached bigint;
BEGIN
	BEGIN
		reached := teller.row_update('note', 6, 0, '{"title": "lost"}');
		RAISE EXCEPTION 'at version %', reached;
	EXCEPTION WHEN raise_exception THEN
		RAISE NOTICE '%', sqlerrm;
	END;
	BEGIN
		PERFORM teller.row_update('note', 6, 1, '{"title": "stale"}');
	EXCEPTION WHEN SQLSTATE 'TL002' THEN
		RAISE NOTICE '%', sqlerrm;
	END;
	RAISE NOTICE 'kept at version %', teller.row_update('note', 6, 0, '{"title": "kept"}');
END
$$;
BEGIN;
SAVEPOINT a;
SELECT teller.row_update('note', 7, 0, '{"title": "one"}');
ROLLBACK TO a;
SELECT teller.row_update('note', 7, 0, '{"title": "two"}');
SAVEPOINT b;
SELECT teller.row_update('note', 7, 1, '{"moon": 1}');
ROLLBACK TO b;
SELECT teller.row_update('note', 7, 1, '{"title": "three"}');
ROLLBACK;
SELECT id, title, version FROM note WHERE id IN (6, 7) ORDER BY id;
-- Many rows by one statement, and one row many times.
SELECT sum(teller.row_update('note', id, version, jsonb_build_object('body', 'all'))) FROM (SELECT id, version FROM note WHERE id IN (8, 9) ORDER BY id) AS n;
SELECT string_agg(teller.row_update('note', 9, n, '{"stars": 1}')::text, ' ') FROM generate_series(1, 5) AS n;

-- Operators, casts and functions planted in the search path are not used.
CREATE SCHEMA regress_row_update_evil;
CREATE FUNCTION regress_row_update_evil.no(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT 1/0 = 1';
CREATE FUNCTION regress_row_update_evil.add(bigint, int) RETURNS bigint LANGUAGE sql AS 'SELECT 1/0::bigint';
CREATE OPERATOR regress_row_update_evil.= (leftarg = bigint, rightarg = bigint, function = regress_row_update_evil.no);
CREATE OPERATOR regress_row_update_evil.+ (leftarg = bigint, rightarg = int, function = regress_row_update_evil.add);
CREATE FUNCTION regress_row_update_evil.jsonb_populate_record(anyelement, jsonb) RETURNS anyelement LANGUAGE sql AS 'SELECT $1';
CREATE DOMAIN regress_row_update_evil.int8 AS text CHECK (VALUE = 'no');
CREATE TEMP TABLE note (id bigint PRIMARY KEY, stars int, version bigint);
SET search_path = regress_row_update_evil, pg_catalog;
SELECT teller.row_update('regress_row_update.note', 9, 6, '{"stars": 2, "body": "path"}');
SELECT 1 FROM pg_temp.note;
DROP TABLE pg_temp.note;
SET search_path = '';
SELECT teller.row_update('regress_row_update.note', 9, 7, '{"stars": 3, "body": "no path"}');
SET search_path = regress_row_update, public;
SELECT id, stars, body, version FROM note WHERE id = 9;

-- A temporary table is one too; so is one that this transaction made.
CREATE TEMP TABLE fleeting (id int PRIMARY KEY, v int, version int DEFAULT 0);
INSERT INTO fleeting VALUES (1);
SELECT teller.row_update('fleeting', 1, 0, '{"v": 1}');
BEGIN;
CREATE TABLE fresh (id int PRIMARY KEY, v int, version int DEFAULT 0);
INSERT INTO fresh VALUES (1);
SELECT teller.row_update('fresh', 1, 0, '{"v": 1}');
ROLLBACK;
-- READ ONLY, and a failed transaction.
BEGIN READ ONLY;
SELECT teller.row_update('fleeting', 1, 1, '{"v": 1}');
SELECT pg_temp.ask(arguments) FROM unnest(ARRAY['''note'', 9, 8, ''{"v": 1}''', '''note'', 9, 8, ''{"stars": 1}''', '''note'', 9, 9223372036854775807, ''{"stars": 1}''']) AS arguments;
COMMIT;
BEGIN;
SELECT 1/0;
SELECT teller.row_update('note', 9, 8, '{"stars": 1}');
ROLLBACK;

-- The same backend, and the books are sound.
SELECT pg_backend_pid() = :pid;
SELECT * FROM teller.verify();
RESET search_path;
SET client_min_messages = warning;
REVOKE ALL ON SCHEMA teller, :temp FROM regress_row_update_one, regress_row_update_two;
DROP SCHEMA regress_row_update, regress_row_update_evil CASCADE;
DROP ROLE regress_row_update_one, regress_row_update_two;
