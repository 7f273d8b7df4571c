-- What row_debit, row_credit, row_update and lock_rows find out about a table of
-- the user's own: which tables, columns and keys will do, whose rights count,
-- and that a change of the table is noticed.  Shown by row_debit and row_credit.
\pset format unaligned
\pset tuples_only on
\pset null NULL
-- What a query answers, or what it raises, without numbers of objects.
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
	detail text;
	hint text;
BEGIN
	EXECUTE query INTO answer;
	RETURN answer;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN regexp_replace(regexp_replace(concat_ws(E'\n\t\t', sqlstate || ': ' || sqlerrm, nullif(detail, ''), nullif(hint, '')),
		'(pg_toast|pg_temp)_\d+', '\1_<number>', 'g'), 'OID \d+', 'OID <oid>', 'g');
END
$$;
CREATE FUNCTION pg_temp.ask(call text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(call, '(pg_toast|pg_temp)_\d+', '\1_<number>') || E'\n\t' || pg_temp.says('SELECT teller.' || call)
$$;
CREATE SCHEMA regress_row_table;
SET search_path = regress_row_table, public;
CREATE TABLE wallet (id bigint PRIMARY KEY, balance numeric(12,2) NOT NULL DEFAULT 100, note text);
INSERT INTO wallet SELECT generate_series(1, 9);

--
-- rel
--
CREATE VIEW a_view AS SELECT * FROM wallet;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM wallet;
CREATE SEQUENCE a_sequence;
CREATE FOREIGN DATA WRAPPER regress_row_table_wrapper;
CREATE SERVER regress_row_table_server FOREIGN DATA WRAPPER regress_row_table_wrapper;
CREATE FOREIGN TABLE a_foreign (id bigint, balance numeric) SERVER regress_row_table_server;
CREATE TYPE a_composite AS (id bigint, balance numeric);
CREATE TABLE a_partitioned (id bigint PRIMARY KEY, balance int) PARTITION BY RANGE (id);
SELECT reltoastrelid::regclass AS toast FROM pg_class WHERE oid = 'wallet'::regclass \gset
SELECT pg_temp.ask(format('row_debit(%L, 1, 1)', name)) FROM unnest(ARRAY['a_view', 'a_matview', 'a_sequence', 'a_foreign',
	'a_composite', 'wallet_pkey', 'a_partitioned_pkey', :'toast']) AS name;
SELECT pg_temp.ask(format('row_credit(%L, 1, 1)', name)) FROM unnest(ARRAY['a_view', 'wallet_pkey']) AS name;
-- System catalogs, what information_schema has, and pg_teller's own tables and
-- views; a superuser is refused too.
SELECT pg_temp.ask(format('row_debit(%L, 1, 1, ''relpages'')', name)) FROM unnest(ARRAY['pg_catalog.pg_class',
	'pg_authid', 'pg_database', 'pg_largeobject_metadata', 'pg_statistic', 'information_schema.sql_features',
	'teller.account', 'teller.ledger', 'teller.journal', 'teller.instance']) AS name;
SELECT relkind, left(pg_temp.says(format('SELECT teller.row_debit(%s, 1, 1)', c.oid)), 5) AS code, count(*) > 0
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast', 'teller', 'teller_remote')
GROUP BY 1, 2 ORDER BY 1, 2;
SET allow_system_table_mods = on;
SELECT pg_temp.ask('row_debit(''pg_class'', 1, 1)');
RESET allow_system_table_mods;
-- No such table.
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(0, 1, 1)', 'row_debit(0::oid::regclass, ''1'', 1)',
	'row_debit(4294967295::oid, 1, 1)', 'row_debit(''no_such_table'', 1, 1)', 'row_debit(''no_such_schema.wallet'', 1, 1)',
	'row_debit('''', 1, 1)']) AS call;
CREATE TABLE dropped (id int PRIMARY KEY, balance int);
INSERT INTO dropped VALUES (1, 10);
SELECT 'dropped'::regclass::oid AS dropped \gset
SELECT teller.row_debit('dropped', 1, 1);
DROP TABLE dropped;
SELECT pg_temp.ask(format('row_debit(%s::oid, %s, 1)', :'dropped', id)) LIKE '%42P01: %' FROM unnest(ARRAY['1', '''1''']) AS id;
SELECT pg_temp.says(format('SELECT teller.row_debit(%s::oid, 1, 1)', :'dropped'));
-- NULL for what is required, each alone.
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(NULL, 1, 1)', 'row_debit(NULL, ''1'', 1)',
	'row_debit(''wallet'', NULL, 1)', 'row_debit(''wallet'', NULL::bigint, 1)', 'row_debit(''wallet'', NULL::text, 1)',
	'row_debit(''wallet'', 1, NULL)', 'row_debit(''wallet'', ''1'', NULL)',
	'row_debit(''wallet'', 1, 1, NULL)', 'row_debit(''wallet'', ''1'', 1, NULL)',
	'row_credit(NULL, 1, 1)', 'row_credit(NULL, ''1'', 1)', 'row_credit(''wallet'', NULL, 1)', 'row_credit(''wallet'', NULL::bigint, 1)',
	'row_credit(''wallet'', 1, NULL)', 'row_credit(''wallet'', ''1'', NULL)', 'row_credit(''wallet'', 1, 1, NULL)',
	'row_debit(NULL, NULL, NULL, NULL, NULL)']) AS call;
-- A table that has only its key; one that has no column at all, or no key.
CREATE TABLE bare ();
CREATE TABLE only_key (id int PRIMARY KEY);
CREATE TABLE no_key (id int, balance int);
CREATE TABLE unique_key (id int NOT NULL UNIQUE, balance int);
CREATE TABLE two_columns (a int, b int, balance int, PRIMARY KEY (a, b));
CREATE TABLE late (id int PRIMARY KEY DEFERRABLE, balance int);
CREATE TABLE later (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, balance int);
CREATE TABLE wide (id int, balance int, note text, PRIMARY KEY (id) INCLUDE (note, balance));
CREATE TABLE invalid (id int NOT NULL, balance int) PARTITION BY RANGE (id);
CREATE TABLE invalid_1 PARTITION OF invalid FOR VALUES FROM (0) TO (10);
ALTER TABLE ONLY invalid ADD PRIMARY KEY (id);
INSERT INTO wide VALUES (1, 10, 'x');
INSERT INTO invalid VALUES (1, 10);
SELECT pg_temp.ask(format('row_debit(%L, 1, 1)', name)) FROM unnest(ARRAY['bare', 'only_key', 'no_key', 'unique_key',
	'two_columns', 'late', 'later', 'invalid', 'invalid_1', 'wide']) AS name;
-- The key itself stays as it is.
INSERT INTO only_key VALUES (10), (12);
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''only_key'', 10, 3, ''id'')', 'row_credit(''only_key'', 10, 5, ''id'')']) AS call;

--
-- col
--
CREATE TABLE columns (id int PRIMARY KEY, gone int, made int GENERATED ALWAYS AS (1) STORED, t text, f4 real, f8 double precision,
	m money, o oid, bit bit(8), iv interval, ok boolean, j jsonb, many int[], d date, ranged int4range, ch "char",
	dt a_composite, always int GENERATED ALWAYS AS IDENTITY, by_default int GENERATED BY DEFAULT AS IDENTITY, "Seats" int DEFAULT 10);
ALTER TABLE columns DROP COLUMN gone;
INSERT INTO columns (id) VALUES (1);
SELECT pg_temp.ask(format('row_debit(''columns'', 1, 1, %L)', name)) FROM unnest(ARRAY['missing', 'balance', '', 'gone',
	'........pg.dropped.2........', 'made', 'ctid', 'xmin', 'tableoid', 'cmax', 't', 'f4', 'f8', 'm', 'o', 'bit', 'iv', 'ok', 'j',
	'many', 'd', 'ranged', 'ch', 'dt', 'dt.balance', 'many[1]', 'always', 'by_default', 'seats', 'Seats', '"Seats"', 'columns.Seats', '*',
	' Seats', 'Seats = 0; --']) AS name;
-- A name is cut where PostgreSQL cuts it.
ALTER TABLE columns RENAME t TO a23456789b23456789c23456789d23456789e23456789f23456789g23456789;
SELECT pg_temp.ask(format('row_debit(''columns'', 1, 1, %L)', name)) FROM unnest(ARRAY[
	'a23456789b23456789c23456789d23456789e23456789f23456789g23456789', 'a23456789b23456789c23456789d23456789e23456789f23456789g23456789_']) AS name;

--
-- Names that have to be quoted.
--
CREATE SCHEMA "regress_row_table a.b""c";
SELECT format('CREATE TABLE "regress_row_table a.b""c".%1$I (%1$I int PRIMARY KEY, %2$I int)', name, reverse(name)) FROM unnest(ARRAY[
	'a"b; drop table x--', 'SELECT', 'user', '$1', '%s', 'o''', 'o\', E'a\nb', 'x' || repeat('é', 31), repeat('𝄞', 15) || 'abc', 'x ', 'Ünï']) AS name \gexec
SELECT format('INSERT INTO %s VALUES (1, 10)', oid::regclass) FROM pg_class
WHERE relnamespace = '"regress_row_table a.b""c"'::regnamespace AND relkind = 'r' ORDER BY relname COLLATE "C" \gexec
SELECT octet_length(relname), relname, teller.row_debit(c.oid, 1, 1, reverse(relname)::name), teller.row_credit(c.oid, '1', 5, reverse(relname)::name, 100),
	pg_temp.says(format('SELECT teller.row_debit(%s, 1, 100, %L)', c.oid, reverse(relname))),
	pg_temp.says(format('SELECT teller.row_debit(%s, 7, 100, %L)', c.oid, reverse(relname)))
FROM pg_class AS c
WHERE relnamespace = '"regress_row_table a.b""c"'::regnamespace AND relkind = 'r' ORDER BY relname COLLATE "C";

--
-- Types of keys: typed, as text, untyped, as a parameter.
--
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN more AS positive CHECK (VALUE > 1);
CREATE DOMAIN code AS text CHECK (VALUE ~ '^[A-Z]+$');
CREATE DOMAIN label AS varchar(10);
CREATE TYPE pair AS (a int, b text);
-- A table whose key is of that type, with the rows 'one' and 'other'; asked for
-- 'one' in every way, then for what is not there.
CREATE FUNCTION pg_temp.of_type(type text, one text, other text, missing text, bad text DEFAULT NULL)
	RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
	name text := 'column''s name';
BEGIN
	EXECUTE format('CREATE TABLE keyed (id %s PRIMARY KEY, balance int)', type);
	EXECUTE format('INSERT INTO keyed VALUES (%L, 100), (%L, 100)', one, other);
	SELECT format_type(atttypid, NULL) INTO name FROM pg_attribute WHERE attrelid = 'keyed'::regclass AND attname = 'id';
	EXECUTE format('SELECT teller.row_debit(''keyed'', %L::%s, 1)', one, name) INTO answer;
	EXECUTE format('SELECT concat_ws('' '', $1, teller.row_debit(''keyed'', %L, 1))', one) INTO answer USING answer;
	EXECUTE format('SELECT concat_ws('' '', $1, teller.row_debit(''keyed'', %L::text, 1))', one) INTO answer USING answer;
	EXECUTE format('SELECT concat_ws('' '', $1, teller.row_debit(''keyed'', %L::varchar, 1))', one) INTO answer USING answer;
	EXECUTE format('SELECT concat_ws('' '', $1, teller.row_debit(''keyed'', %L::name, 1))', one) INTO answer USING answer;
	EXECUTE 'SELECT concat_ws('' '', $1, teller.row_debit(''keyed'', $2, 1))' INTO answer USING answer, one;
	EXECUTE 'SELECT concat_ws('' '', $1, (SELECT teller.row_debit(''keyed'', id, 1) FROM keyed ORDER BY balance LIMIT 1))' INTO answer USING answer;
	EXECUTE format('PREPARE by_key AS SELECT teller.row_debit(''keyed'', $1::%s, 1)', name);
	EXECUTE format('EXECUTE by_key(%L)', one);
	DEALLOCATE by_key;
	EXECUTE 'PREPARE by_key AS SELECT teller.row_debit(''keyed'', $1, 1)';
	EXECUTE format('EXECUTE by_key(%L)', one);
	DEALLOCATE by_key;
	RETURN NEXT type || ': ' || answer || ', ' || (SELECT string_agg(balance::text, ' ' ORDER BY balance) FROM keyed);
	RETURN NEXT E'\t' || pg_temp.says(format('SELECT teller.row_debit(''keyed'', %L, 1)', missing));
	RETURN NEXT E'\t' || pg_temp.says(format('SELECT teller.row_debit(''keyed'', %L::%s, 1000)', other, name));
	IF bad IS NOT NULL THEN
		RETURN NEXT E'\t' || pg_temp.says(format('SELECT teller.row_debit(''keyed'', %L, 1)', bad));
		RETURN NEXT E'\t' || pg_temp.says(format('SELECT teller.row_debit(''keyed'', %L::text, 1)', bad));
	END IF;
	DROP TABLE keyed;
END
$$;
SELECT pg_temp.of_type('smallint', '1', '2', '3', '32768');
SELECT pg_temp.of_type('integer', '1', '-2', '3', 'x');
SELECT pg_temp.of_type('bigint', '1', '9223372036854775807', '3', '9223372036854775808');
SELECT pg_temp.of_type('text', 'it''s', 'IT''S', 'It''s');
SELECT pg_temp.of_type('text', '', ' ', '  ');
SELECT pg_temp.of_type('varchar', 'a', 'A', 'a ');
SELECT pg_temp.of_type('varchar(3)', 'a', 'abc', 'abcd');
SELECT pg_temp.of_type('char(5)', 'a', 'b', 'c');
SELECT pg_temp.of_type('name', 'a', 'b', 'c');
SELECT pg_temp.of_type('uuid', '00000000-0000-0000-0000-000000000001', '{A0EEBC999C0B4EF8BB6D6BB9BD380A11}',
	'00000000-0000-0000-0000-000000000003', '0000');
SELECT pg_temp.of_type('numeric', '1.50', '2', '3', '1,5');
SELECT pg_temp.of_type('numeric(4,1)', '1.5', '2', '3', 'one');
SELECT pg_temp.of_type('double precision', '1.5', 'NaN', '3', '1,5');
SELECT pg_temp.of_type('real', '0.1', '2', '3', 'x');
SELECT pg_temp.of_type('date', '2026-02-28', 'infinity', '2026-03-01', '2026-02-29');
SELECT pg_temp.of_type('time', '12:00', '13:00', '14:00', '25:00');
SELECT pg_temp.of_type('timestamptz', '2026-01-01 00:00+01', '2026-01-01 00:00Z', '2026-01-02 00:00Z', 'yesteryear');
SELECT pg_temp.of_type('timestamp', '2026-01-01 00:00', '2026-01-02', '2026-01-03', 'x');
SELECT pg_temp.of_type('interval', '1 day', '25 hours', '3 days', 'x');
SELECT pg_temp.of_type('boolean', 'true', 'false', 'perhaps', 'maybe');
SELECT pg_temp.of_type('bytea', '\x00ff', 'abc', '\x03', '\x0');
SELECT pg_temp.of_type('inet', '10.0.0.1', '10.0.0.0/8', '::1', 'x');
SELECT pg_temp.of_type('oid', '1', '4294967295', '3', 'x');
SELECT pg_temp.of_type('bit varying', '101', '111', '000', '2');
SELECT pg_temp.of_type('pg_lsn', '0/1', '0/2', '0/3', 'x');
SELECT pg_temp.of_type('colour', 'red', 'blue', 'green', 'mauve');
SELECT pg_temp.of_type('positive', '1', '2', '3', 'x');
SELECT pg_temp.of_type('more', '2', '3', '4', 'x');
SELECT pg_temp.of_type('code', 'A', 'B', 'C');
SELECT pg_temp.of_type('label', 'a', 'b', 'c');
SELECT pg_temp.of_type('int4range', '[1,3)', 'empty', '[3,4]', '[2,1]');
SELECT pg_temp.of_type('int[]', '{1,2}', '{}', '{2,1}', '{x}');
SELECT pg_temp.of_type('text[]', '{"a,b",NULL}', '{}', '{a}', 'a');
SELECT pg_temp.of_type('pair', '(1,"a b")', '(,)', '(2,b)', '(1)');
SELECT pg_temp.of_type('regclass', 'pg_class', 'pg_proc', 'pg_type', 'no_such_table');
-- Collations: the primary key's own equality.
SELECT pg_temp.of_type('text COLLATE "C"', 'a', 'A', 'ä');
SELECT pg_temp.of_type('code COLLATE "POSIX"', 'A', 'B', 'C');
DO $$
DECLARE
	answer text;
BEGIN
	-- Under an ICU collation that is not deterministic, if there is ICU.
	BEGIN
		CREATE COLLATION unsharp (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		CREATE TABLE keyed (id text COLLATE unsharp PRIMARY KEY, balance int);
		INSERT INTO keyed VALUES ('Anna', 10), ('anne', 10);
		SELECT concat_ws(' ', teller.row_debit('keyed', 'ANNA', 1), teller.row_debit('keyed', 'anna'::text, 1),
			teller.row_debit('keyed', 'aNNA'::varchar, 1), teller.row_debit('keyed', 'ANNE', 2)) INTO answer;
		DROP TABLE keyed;
	EXCEPTION WHEN feature_not_supported THEN
		answer := '9 8 7 8';
	END;
	RAISE NOTICE '%', answer;
END
$$;
-- Types that cast implicitly to the key's, and those that do not.
CREATE TABLE k_int (id int PRIMARY KEY, balance int);
CREATE TABLE k_big (id bigint PRIMARY KEY, balance int);
CREATE TABLE k_small (id smallint PRIMARY KEY, balance int);
CREATE TABLE k_num (id numeric PRIMARY KEY, balance int);
CREATE TABLE k_float (id double precision PRIMARY KEY, balance int);
CREATE TABLE k_date (id date PRIMARY KEY, balance int);
CREATE TABLE k_time (id timestamptz PRIMARY KEY, balance int);
CREATE TABLE k_text (id text PRIMARY KEY, balance int);
CREATE TABLE k_uuid (id uuid PRIMARY KEY, balance int);
CREATE TABLE k_enum (id colour PRIMARY KEY, balance int);
CREATE TABLE k_positive (id positive PRIMARY KEY, balance int);
CREATE TABLE k_class (id regclass PRIMARY KEY, balance int);
INSERT INTO k_int VALUES (1, 100), (2, 100);
INSERT INTO k_big VALUES (1, 100), (2, 100);
INSERT INTO k_small VALUES (1, 100);
INSERT INTO k_num VALUES (1, 100), (1.5, 100);
INSERT INTO k_float VALUES (1, 100);
INSERT INTO k_date VALUES ('2026-01-01', 100);
INSERT INTO k_time VALUES ('2026-01-01 00:00', 100);
INSERT INTO k_text VALUES ('1', 100), ('a', 100), ('true', 100);
INSERT INTO k_uuid VALUES ('00000000-0000-0000-0000-000000000001', 100);
INSERT INTO k_enum VALUES ('red', 100);
INSERT INTO k_positive VALUES (1, 100);
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'row_debit(''k_int'', 1::smallint, 1)', 'row_debit(''k_int'', 1::bigint, 1)', 'row_debit(''k_int'', 1.0, 1)', 'row_debit(''k_int'', 1::oid, 1)',
	'row_debit(''k_int'', 1::positive, 1)', 'row_debit(''k_int'', true, 1)', 'row_debit(''k_int'', ARRAY[1], 1)', 'row_debit(''k_int'', ''1''::code, 1)',
	'row_debit(''k_int'', ''1''::label, 1)', 'row_debit(''k_int'', ''1''::char(3), 1)', 'row_debit(''k_int'', '' 1 '', 1)', 'row_debit(''k_int'', ''1.0'', 1)',
	'row_debit(''k_int'', '''', 1)', 'row_debit(''k_int'', ''99999999999'', 1)', 'row_debit(''k_int'', ''1 OR true'', 1)', 'row_debit(''k_int'', ROW(1), 1)',
	'row_debit(''k_int'', ''a''::colour, 1)', 'row_debit(''k_int'', ''red''::colour, 1)',
	'row_debit(''k_big'', 1, 1)', 'row_debit(''k_big'', 1::smallint, 1)', 'row_debit(''k_big'', 1.0, 1)', 'row_debit(''k_big'', 1::positive, 1)',
	'row_debit(''k_small'', 1, 1)', 'row_debit(''k_small'', 1::smallint, 1)', 'row_debit(''k_small'', ''1'', 1)', 'row_debit(''k_small'', 100000, 1)',
	'row_debit(''k_num'', 1, 1)', 'row_debit(''k_num'', 1.5, 1)', 'row_debit(''k_num'', 1::bigint, 1)', 'row_debit(''k_num'', 1.500, 1)',
	'row_debit(''k_num'', 1::float8, 1)', 'row_debit(''k_num'', ''1.50'', 1)',
	'row_debit(''k_float'', 1, 1)', 'row_debit(''k_float'', 1.0, 1)', 'row_debit(''k_float'', 1::real, 1)',
	'row_debit(''k_date'', DATE ''2026-01-01'', 1)', 'row_debit(''k_date'', TIMESTAMP ''2026-01-01'', 1)', 'row_debit(''k_date'', ''1 January 2026'', 1)',
	'row_debit(''k_time'', DATE ''2026-01-01'', 1)', 'row_debit(''k_time'', TIMESTAMP ''2026-01-01'', 1)',
	'row_debit(''k_text'', 1, 1)', 'row_debit(''k_text'', ''1'', 1)', 'row_debit(''k_text'', true, 1)', 'row_debit(''k_text'', ''a''::char(3), 1)',
	'row_debit(''k_text'', ''a''::name, 1)', 'row_debit(''k_text'', ''a''::label, 1)', 'row_debit(''k_text'', ''red''::colour, 1)',
	'row_debit(''k_uuid'', 1, 1)', 'row_debit(''k_uuid'', ''x'', 1)',
	'row_debit(''k_enum'', 1, 1)', 'row_debit(''k_enum'', ''red'', 1)', 'row_debit(''k_enum'', ''RED'', 1)', 'row_debit(''k_enum'', ''red''::text, 1)',
	'row_debit(''k_positive'', 1, 1)', 'row_debit(''k_positive'', 1::smallint, 1)', 'row_debit(''k_positive'', 1::positive, 1)', 'row_debit(''k_positive'', ''1'', 1)',
	'row_debit(''k_positive'', 2::more, 1)', 'row_debit(''k_positive'', -1, 1)', 'row_debit(''k_positive'', ''-1'', 1)', 'row_debit(''k_positive'', 1::bigint, 1)']) AS call;
-- One table, asked in turn with ids of several types, and NULL of each.
SELECT teller.row_debit('k_big', 1, 1), teller.row_debit('k_big', 1::smallint, 1), teller.row_debit('k_big', 1::bigint, 1),
	teller.row_debit('k_big', '1', 1), teller.row_debit('k_big', 1, 1), teller.row_debit('k_big', '1'::varchar, 1), teller.row_debit('k_big', 1::smallint, 1);
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''k_big'', 1, 1)', 'row_debit(''k_big'', 1.0, 1)', 'row_debit(''k_big'', 1, 1)',
	'row_debit(''k_big'', NULL::int, 1)', 'row_debit(''k_big'', NULL::numeric, 1)', 'row_debit(''k_big'', NULL::varchar, 1)', 'row_debit(''k_big'', 1::smallint, 1)',
	'row_debit(''k_big'', ''x'', 1)', 'row_debit(''k_big'', ''1'', 1)']) AS call;
-- A cast that a user made: taken, and not taken once it is gone, or replaced.
CREATE TYPE ticket AS (n int);
CREATE FUNCTION ticket_number(ticket) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1.n; END';
CREATE CAST (ticket AS int) WITH FUNCTION ticket_number(ticket) AS IMPLICIT;
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''k_int'', ROW(1)::ticket, 1)', 'row_debit(''k_int'', NULL::ticket, 1)',
	'row_debit(''k_int'', ROW(NULL)::ticket, 1)', 'row_debit(''k_big'', ROW(1)::ticket, 1)', 'row_debit(''k_int'', ROW(1)::ticket, 1)']) AS call;
DROP CAST (ticket AS int);
SELECT pg_temp.ask('row_debit(''k_int'', ROW(1)::ticket, 1)');
CREATE CAST (ticket AS int) WITH FUNCTION ticket_number(ticket) AS IMPLICIT;
SELECT pg_temp.ask('row_debit(''k_int'', ROW(1)::ticket, 1)');
CREATE ROLE regress_row_cast;
GRANT USAGE ON SCHEMA teller, regress_row_table TO regress_row_cast;
GRANT SELECT, UPDATE ON k_int TO regress_row_cast;
REVOKE EXECUTE ON FUNCTION ticket_number FROM PUBLIC;
SET ROLE regress_row_cast;
SELECT pg_temp.ask('row_debit(''k_int'', ROW(1)::ticket, 1)');
SELECT pg_temp.ask('row_debit(''k_int'', 1, 1)');
RESET ROLE;
SELECT pg_temp.ask('row_debit(''k_int'', ROW(1)::ticket, 1)');
SET client_min_messages = warning;
DROP FUNCTION ticket_number CASCADE;
RESET client_min_messages;
SELECT pg_temp.ask('row_debit(''k_int'', ROW(1)::ticket, 1)');
CREATE FUNCTION always_two(ticket) RETURNS int LANGUAGE sql AS 'SELECT 2';
CREATE CAST (ticket AS int) WITH FUNCTION always_two(ticket) AS IMPLICIT;
SELECT pg_temp.ask('row_debit(''k_int'', ROW(1)::ticket, 1)');
SELECT * FROM k_int ORDER BY id;

--
-- Rights: those of the caller, column by column, at every call.
--
CREATE ROLE regress_row_none;
CREATE ROLE regress_row_select;
CREATE ROLE regress_row_other;
CREATE ROLE regress_row_blind;
CREATE ROLE regress_row_just;
CREATE ROLE regress_row_all;
GRANT USAGE ON SCHEMA regress_row_table TO regress_row_none, regress_row_select, regress_row_other, regress_row_blind, regress_row_just, regress_row_all;
GRANT USAGE ON SCHEMA teller TO regress_row_none, regress_row_select, regress_row_other, regress_row_blind, regress_row_just, regress_row_all;
GRANT SELECT ON wallet TO regress_row_select, regress_row_other;
GRANT UPDATE (note) ON wallet TO regress_row_other;
GRANT UPDATE (balance), SELECT (balance) ON wallet TO regress_row_blind;
GRANT UPDATE (balance), SELECT (id, balance) ON wallet TO regress_row_just;
GRANT ALL ON wallet TO regress_row_all;
CREATE FUNCTION pg_temp.as_role(role name, call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', role);
	answer := pg_temp.says('SELECT teller.' || call);
	RESET ROLE;
	RETURN role || ' ' || call || E'\n\t' || answer;
END
$$;
SELECT pg_temp.as_role(role, format(call, id)) FROM unnest(ARRAY['row_debit(''wallet'', %s, 1)', 'row_credit(''wallet'', %s, 1)'])
	WITH ORDINALITY AS c (call, c), unnest(ARRAY['1', '''1''', '77']) WITH ORDINALITY AS i (id, i),
	unnest(ARRAY['none', 'select', 'other', 'blind', 'just', 'all']) WITH ORDINALITY AS r (short, r), LATERAL (SELECT 'regress_row_' || short) AS n (role)
WHERE call LIKE '%debit%' OR id = '1'
ORDER BY c, i, r;
-- In turn, on a plan that is already there; once more after a grant was taken.
SELECT pg_temp.as_role(role, 'row_debit(''wallet'', 2, 1)') FROM unnest(ARRAY['regress_row_just', 'regress_row_none', 'regress_row_all', 'regress_row_none']) AS role;
REVOKE UPDATE (balance) ON wallet FROM regress_row_just;
SELECT pg_temp.as_role(role, 'row_debit(''wallet'', 2, 1)') FROM unnest(ARRAY['regress_row_just', 'regress_row_all']) AS role;
GRANT UPDATE (balance) ON wallet TO regress_row_just;
SELECT pg_temp.as_role('regress_row_just', 'row_debit(''wallet'', 2, 1)');
-- USAGE on the table's schema is needed too, as for the statement itself.
SELECT 'wallet'::regclass::oid AS wallet \gset
REVOKE USAGE ON SCHEMA regress_row_table FROM regress_row_just;
SELECT replace(pg_temp.as_role(role, format('row_debit(%s::oid, 2, 1)', :'wallet')), :'wallet', '<oid>') FROM unnest(ARRAY['regress_row_all', 'regress_row_just']) AS role;
-- Also where another role of the session has been there before, and the path
-- does not lead there.
SET search_path = public;
SELECT teller.row_debit(:wallet::oid, 2, 1);
SELECT replace(pg_temp.as_role('regress_row_just', format('row_debit(%s::oid, 2, 1)', :'wallet')), :'wallet', '<oid>');
SELECT teller.row_debit(:wallet::oid, 2, 1);
SET search_path = regress_row_table, public;
GRANT USAGE ON SCHEMA regress_row_table TO regress_row_just;
-- What is wrong with the table shows to those who may not read it as well as
-- its name does; but nothing of its rows does.
SELECT pg_temp.as_role('regress_row_none', call) FROM unnest(ARRAY['row_debit(''wallet'', 1, 1, ''note'')', 'row_debit(''wallet'', 1, 0.001)',
	'row_debit(''wallet'', ''1'', 1000)', 'row_debit(''no_key'', 1, 1)']) AS call;
-- A function of another role's, SECURITY DEFINER, works with that role's rights,
-- in the same statement as the caller with his.
CREATE FUNCTION as_owner(bigint) RETURNS numeric LANGUAGE sql SECURITY DEFINER SET search_path = regress_row_table AS 'SELECT teller.row_debit(''wallet'', $1, 1)';
SET ROLE regress_row_none;
SELECT as_owner(2), as_owner(2);
SELECT pg_temp.says('SELECT as_owner(2) + teller.row_debit(''wallet'', 2, 1)');
SELECT as_owner(2);
RESET ROLE;

--
-- Row security.
--
CREATE TABLE secret (id int PRIMARY KEY, owner name NOT NULL, balance int NOT NULL DEFAULT 100, frozen boolean NOT NULL DEFAULT false);
INSERT INTO secret VALUES (1, 'regress_row_select'), (2, 'regress_row_other'), (3, 'regress_row_select');
GRANT SELECT, UPDATE ON secret TO regress_row_select, regress_row_other;
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
SELECT pg_temp.as_role(role, call) FROM unnest(ARRAY['regress_row_select', 'regress_row_other']) AS role,
	unnest(ARRAY['row_debit(''secret'', 1, 1)']) AS call;
CREATE POLICY mine ON secret USING (owner = current_user) WITH CHECK (balance <> 13);
-- Each sees its own; what is hidden is as if absent, whatever is asked.
SELECT pg_temp.as_role(role, call) FROM unnest(ARRAY['row_debit(''secret'', 1, 1)', 'row_debit(''secret'', 2, 1)', 'row_debit(''secret'', 2, 1000)',
	'row_debit(''secret'', 9, 1)', 'row_credit(''secret'', 1, 1, ceiling => 5)', 'row_debit(''secret'', 1, 1000)']) WITH ORDINALITY AS c (call, c),
	unnest(ARRAY['regress_row_select', 'regress_row_other', 'regress_row_select']) WITH ORDINALITY AS r (role, r) ORDER BY c, r;
-- What would break WITH CHECK.
SELECT pg_temp.as_role('regress_row_select', 'row_debit(''secret'', 1, balance - 13) FROM regress_row_table.secret WHERE id = 1');
SELECT pg_temp.as_role('regress_row_select', 'row_credit(''secret'', 3, 1)');
-- By SET ROLE in one session, in one transaction; and the owner, and a superuser,
-- whom nothing is hidden from.
BEGIN;
SET LOCAL ROLE regress_row_select;
SELECT teller.row_debit('secret', 3, 1);
SET LOCAL ROLE regress_row_other;
SELECT teller.row_debit('secret', 2, 1);
SELECT pg_temp.ask('row_debit(''secret'', 3, 1)');
SET LOCAL ROLE regress_row_select;
SELECT pg_temp.ask('row_debit(''secret'', 2, 1)');
SELECT teller.row_debit('secret', 3, 1);
RESET ROLE;
SELECT teller.row_debit('secret', 1, 1), teller.row_debit('secret', 2, 1), teller.row_debit('secret', 3, 1);
SET LOCAL ROLE regress_row_other;
SELECT pg_temp.ask('row_debit(''secret'', 3, 1)');
COMMIT;
-- In one statement: the caller, a function of the owner's, the caller again.
CREATE FUNCTION owner_secret(int) RETURNS numeric LANGUAGE sql SECURITY DEFINER SET search_path = regress_row_table AS 'SELECT teller.row_debit(''secret'', $1, 1)';
SET ROLE regress_row_other;
SELECT teller.row_debit('secret', 2, 1), owner_secret(1), teller.row_debit('secret', 2, 1), owner_secret(3);
SELECT pg_temp.says('SELECT owner_secret(1) + teller.row_debit(''secret'', 1, 1)');
SET row_security = off;
SELECT pg_temp.ask('row_debit(''secret'', 2, 1)');
RESET row_security;
SELECT pg_temp.ask('row_debit(''secret'', 2, 1)');
RESET ROLE;
-- FORCE: the owner too.
ALTER TABLE secret OWNER TO regress_row_all;
SELECT pg_temp.as_role('regress_row_all', 'row_debit(''secret'', 1, 1)');
ALTER TABLE secret FORCE ROW LEVEL SECURITY;
SELECT pg_temp.as_role('regress_row_all', 'row_debit(''secret'', 1, 1)');
ALTER TABLE secret NO FORCE ROW LEVEL SECURITY;
SELECT pg_temp.as_role('regress_row_all', 'row_debit(''secret'', 1, 1)');
-- BYPASSRLS, given and taken: the table has not changed, the role has.
SELECT pg_temp.as_role('regress_row_other', 'row_debit(''secret'', 1, 1)');
ALTER ROLE regress_row_other BYPASSRLS;
SELECT pg_temp.as_role('regress_row_other', 'row_debit(''secret'', 1, 1)');
ALTER ROLE regress_row_other NOBYPASSRLS;
SELECT pg_temp.as_role('regress_row_other', 'row_debit(''secret'', 1, 1)');
-- A member of a role that a policy names.
CREATE POLICY clerks ON secret TO regress_row_just USING (true);
SELECT pg_temp.as_role('regress_row_other', 'row_debit(''secret'', 1, 1)');
GRANT regress_row_just TO regress_row_other;
SELECT pg_temp.as_role('regress_row_other', 'row_debit(''secret'', 1, 1)');
REVOKE regress_row_just FROM regress_row_other;
SELECT pg_temp.as_role('regress_row_other', 'row_debit(''secret'', 1, 1)');
DROP POLICY clerks ON secret;
-- A policy that changes between calls; one that asks a setting; rows that may be
-- seen but not changed; switched off and on.
ALTER POLICY mine ON secret USING (owner <> current_user);
SELECT pg_temp.as_role('regress_row_other', format('row_debit(''secret'', %s, 1)', id)) FROM generate_series(1, 2) AS id;
ALTER POLICY mine ON secret USING (id = current_setting('regress.me', true)::int);
SET regress.me = 1;
SELECT pg_temp.as_role('regress_row_other', format('row_debit(''secret'', %s, 1)', id)) FROM generate_series(1, 2) AS id;
SET regress.me = 2;
SELECT pg_temp.as_role('regress_row_other', format('row_debit(''secret'', %s, 1)', id)) FROM generate_series(1, 2) AS id;
DROP POLICY mine ON secret;
CREATE POLICY read ON secret FOR SELECT USING (true);
CREATE POLICY write ON secret FOR UPDATE USING (NOT frozen) WITH CHECK (true);
UPDATE secret SET frozen = true WHERE id = 3;
SELECT pg_temp.as_role('regress_row_other', format('row_debit(''secret'', %s, %s)', id, amount)) FROM generate_series(2, 3) AS id,
	unnest(ARRAY[1, 1000]) AS amount;
ALTER TABLE secret DISABLE ROW LEVEL SECURITY;
SELECT pg_temp.as_role('regress_row_other', 'row_debit(''secret'', 3, 1)');
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
SELECT pg_temp.as_role('regress_row_other', 'row_debit(''secret'', 3, 1)');
-- A policy that reads another table, which the caller may not.
CREATE TABLE members (who name);
CREATE POLICY listed ON secret AS RESTRICTIVE USING (current_user IN (SELECT who FROM regress_row_table.members));
SELECT pg_temp.as_role('regress_row_other', 'row_debit(''secret'', 2, 1)');
GRANT SELECT ON members TO regress_row_other;
SELECT pg_temp.as_role('regress_row_other', 'row_debit(''secret'', 2, 1)');
INSERT INTO members VALUES ('regress_row_other');
SELECT pg_temp.as_role('regress_row_other', 'row_debit(''secret'', 2, 1)');
SELECT * FROM secret ORDER BY id;

--
-- Triggers, constraints and rules of the table.
--
CREATE TABLE guarded (id int PRIMARY KEY, balance numeric(10,2) NOT NULL DEFAULT 100, changes int NOT NULL DEFAULT 0,
	CONSTRAINT not_13 CHECK (balance <> 13));
CREATE TABLE seen (at serial, id int, old numeric, new numeric);
INSERT INTO guarded SELECT generate_series(1, 4);
CREATE FUNCTION before_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF new.id = 2 THEN
		RETURN NULL;
	END IF;
	new.changes := old.changes + 1;
	IF new.id = 3 THEN
		new.balance := round(new.balance);
	ELSIF new.id = 4 THEN
		RAISE EXCEPTION 'row % is closed', new.id;
	END IF;
	RETURN new;
END
$$;
CREATE FUNCTION after_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO regress_row_table.seen (id, old, new) VALUES (new.id, old.balance, new.balance);
	RETURN NULL;
END
$$;
CREATE TRIGGER before_change BEFORE UPDATE ON guarded FOR EACH ROW EXECUTE FUNCTION before_change();
CREATE TRIGGER after_change AFTER UPDATE OF balance ON guarded FOR EACH ROW EXECUTE FUNCTION after_change();
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''guarded'', 1, 1)', 'row_debit(''guarded'', 1, 86)', 'row_debit(''guarded'', 1, 1000)',
	'row_debit(''guarded'', 2, 1)', 'row_debit(''guarded'', 2, 1000)', 'row_credit(''guarded'', 2, 1)', 'row_credit(''guarded'', 2, 1, ceiling => 1)',
	'row_debit(''guarded'', 3, 1.7)', 'row_debit(''guarded'', 3, 0.3)', 'row_debit(''guarded'', 4, 1)']) AS call;
SELECT * FROM guarded ORDER BY id;
SELECT * FROM seen ORDER BY at;
ALTER TABLE guarded DISABLE TRIGGER before_change;
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''guarded'', 2, 1)', 'row_debit(''guarded'', 4, 1)']) AS call;
DROP TRIGGER before_change ON guarded;
-- A trigger that takes the value below the floor: what it stores is the table's
-- own affair, and what is answered.
CREATE FUNCTION fee() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.balance := new.balance - 50; RETURN new; END';
CREATE TRIGGER fee BEFORE UPDATE ON guarded FOR EACH ROW EXECUTE FUNCTION fee();
SELECT teller.row_debit('guarded', 2, 70);
DROP TRIGGER fee ON guarded;
CREATE TABLE erased (id int PRIMARY KEY, balance int);
INSERT INTO erased VALUES (1, 10), (2, 10);
CREATE FUNCTION erase() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF new.id = 1 THEN
		new.balance := NULL;
		RETURN new;
	END IF;
	DELETE FROM regress_row_table.erased WHERE id = new.id;
	RETURN NULL;
END
$$;
CREATE TRIGGER erase BEFORE UPDATE ON erased FOR EACH ROW EXECUTE FUNCTION erase();
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''erased'', 1, 1)', 'row_debit(''erased'', 2, 1)', 'row_debit(''erased'', 1, 1)']) AS call;
SELECT * FROM erased ORDER BY id;
-- Statement triggers with transition tables.
DROP TRIGGER after_change ON guarded;
CREATE FUNCTION on_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO regress_row_table.seen (id, old, new) SELECT n.id, o.balance, n.balance FROM before AS o JOIN after AS n USING (id);
	RETURN NULL;
END
$$;
CREATE TRIGGER on_statement AFTER UPDATE ON guarded REFERENCING OLD TABLE AS before NEW TABLE AS after
	FOR EACH STATEMENT EXECUTE FUNCTION on_statement();
TRUNCATE seen RESTART IDENTITY;
SELECT teller.row_debit('guarded', 3, 1);
SELECT * FROM seen ORDER BY at;
DROP TRIGGER on_statement ON guarded;
-- A constraint trigger that waits for the commit.
CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF (SELECT sum(balance) FROM regress_row_table.guarded WHERE id IN (3, 4)) <> 196 THEN
		RAISE check_violation USING MESSAGE = 'the sum is not 196';
	END IF;
	RETURN NULL;
END
$$;
SELECT sum(balance) FROM guarded WHERE id IN (3, 4);
CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON guarded DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit();
BEGIN;
SELECT teller.row_debit('guarded', 3, 10);
SELECT teller.row_credit('guarded', 4, 10);
COMMIT;
BEGIN;
SELECT teller.row_debit('guarded', 3, 10);
COMMIT;
SELECT id, balance FROM guarded ORDER BY id;
DROP TRIGGER at_commit ON guarded;
-- Triggers that call row_debit on the same table: each row pays its successor's
-- share, then rounds are closed by the table itself.
CREATE TABLE chain (id int PRIMARY KEY, balance int NOT NULL, next int);
INSERT INTO chain VALUES (1, 10, 2), (2, 10, 3), (3, 10, NULL);
CREATE FUNCTION pass_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF new.next IS NOT NULL THEN
		PERFORM teller.row_debit('regress_row_table.chain', new.next, 2);
	END IF;
	RETURN new;
END
$$;
CREATE TRIGGER pass_on BEFORE UPDATE ON chain FOR EACH ROW EXECUTE FUNCTION pass_on();
SELECT teller.row_debit('chain', 1, 1);
SELECT * FROM chain ORDER BY id;
DROP TRIGGER pass_on ON chain;
CREATE TRIGGER pass_on AFTER UPDATE ON chain FOR EACH ROW EXECUTE FUNCTION pass_on();
SELECT teller.row_debit('chain', 1, 1);
SELECT * FROM chain ORDER BY id;
UPDATE chain SET balance = 1 WHERE id = 3;
SELECT pg_temp.ask('row_debit(''chain'', 1, 1)');
SELECT * FROM chain ORDER BY id;
DROP TRIGGER pass_on ON chain;
-- The row that is being changed changes itself: PostgreSQL refuses that.
UPDATE chain SET next = id, balance = 10;
CREATE TRIGGER pass_on BEFORE UPDATE ON chain FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION pass_on();
SELECT pg_temp.ask('row_debit(''chain'', 1, 1)');
DROP TRIGGER pass_on ON chain;
-- A trigger that makes the session forget the table in the middle of a call, and
-- calls again.
CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF new.id < 3 THEN
		GRANT SELECT ON regress_row_table.chain TO regress_row_none;
		REVOKE SELECT ON regress_row_table.chain FROM regress_row_none;
		PERFORM teller.row_debit('regress_row_table.chain', new.id + 1, 1);
		GRANT SELECT ON regress_row_table.chain TO regress_row_none;
		PERFORM teller.row_debit('regress_row_table.chain', (new.id + 1)::text, 1);
		COMMENT ON TABLE regress_row_table.chain IS 'changed';
		REVOKE SELECT ON regress_row_table.chain FROM regress_row_none;
	END IF;
	RETURN new;
END
$$;
CREATE TRIGGER forget BEFORE UPDATE ON chain FOR EACH ROW EXECUTE FUNCTION forget();
SELECT teller.row_debit('chain', 1, 1), teller.row_debit('chain', 1, 1);
SELECT id, balance FROM chain ORDER BY id;
SELECT pg_temp.ask('row_debit(''chain'', 1, 10)');
DROP TRIGGER forget ON chain;
UPDATE chain SET balance = 20;
CREATE TRIGGER forget AFTER UPDATE ON chain FOR EACH ROW EXECUTE FUNCTION forget();
SELECT teller.row_debit('chain', 1, 1, floor => NULL), teller.row_debit('chain', '2', 1, floor => NULL);
SELECT id, balance FROM chain ORDER BY id;
-- Changes are made with the trigger's transaction undone in part.
CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		GRANT SELECT ON regress_row_table.chain TO regress_row_none;
		PERFORM teller.row_debit('regress_row_table.chain', 3, 1, floor => NULL);
		RAISE EXCEPTION 'undo';
	EXCEPTION WHEN raise_exception THEN
		PERFORM teller.row_debit('regress_row_table.wallet', 9, 1);
	END;
	RETURN new;
END
$$;
DROP TRIGGER forget ON chain;
CREATE TRIGGER undo BEFORE UPDATE ON chain FOR EACH ROW WHEN (new.id = 1) EXECUTE FUNCTION undo();
UPDATE chain SET balance = 10;
SELECT teller.row_debit('chain', 1, 1), teller.row_debit('chain', 1, 1);
SELECT id, balance FROM chain ORDER BY id;
DROP TRIGGER undo ON chain;
-- A trigger may not alter the table that the call is at.
CREATE FUNCTION alter_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN ALTER TABLE regress_row_table.chain ADD COLUMN more int; RETURN new; END';
CREATE TRIGGER alter_it BEFORE UPDATE ON chain FOR EACH ROW EXECUTE FUNCTION alter_it();
SELECT pg_temp.ask('row_debit(''chain'', 1, 1)');
DROP TRIGGER alter_it ON chain;

-- Rules: one that does something instead, whatever it does, is refused; one that
-- does something also, works.
CREATE TABLE ruled (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO ruled VALUES (1, 100), (2, 100);
SELECT teller.row_debit('ruled', 1, 1);
CREATE RULE instead AS ON UPDATE TO ruled DO INSTEAD NOTHING;
SELECT pg_temp.ask('row_debit(''ruled'', 1, 1)');
DROP RULE instead ON ruled;
SELECT teller.row_debit('ruled', 1, 1);
CREATE RULE instead AS ON UPDATE TO ruled WHERE old.id = 2 DO INSTEAD NOTHING;
SELECT pg_temp.ask('row_debit(''ruled'', 1, 1)');
ALTER TABLE ruled DISABLE RULE instead;
SELECT pg_temp.ask('row_debit(''ruled'', 1, 1)');
ALTER TABLE ruled ENABLE REPLICA RULE instead;
SELECT pg_temp.ask('row_debit(''ruled'', 1, 1)');
DROP RULE instead ON ruled;
CREATE RULE instead AS ON UPDATE TO ruled DO INSTEAD INSERT INTO seen (id, old, new) VALUES (old.id, old.balance, new.balance) RETURNING seen.id, 1;
SELECT pg_temp.ask('row_credit(''ruled'', 1, 1)');
DROP RULE instead ON ruled;
CREATE RULE other AS ON DELETE TO ruled DO INSTEAD NOTHING;
CREATE RULE also AS ON UPDATE TO ruled DO ALSO INSERT INTO seen (id, old, new) VALUES (old.id, old.balance, new.balance);
TRUNCATE seen RESTART IDENTITY;
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''ruled'', 1, 10)', 'row_debit(''ruled'', 1, 1000)', 'row_debit(''ruled'', 9, 1)', 'row_credit(''ruled'', 2, 1)']) AS call;
SELECT * FROM seen ORDER BY at;
CREATE RULE also_two AS ON UPDATE TO ruled DO ALSO (DELETE FROM seen WHERE at = 1; SELECT 7);
SELECT pg_temp.ask('row_debit(''ruled'', 1, 10)');
SELECT id, old, new FROM seen ORDER BY at;
SELECT * FROM ruled ORDER BY id;

--
-- Partitions, inheritance, temporary and unlogged tables.
--
CREATE TABLE parted (id int PRIMARY KEY, balance numeric(10,2) NOT NULL DEFAULT 100) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (10) TO (100) PARTITION BY LIST (id);
CREATE TABLE parted_high_10 PARTITION OF parted_high FOR VALUES IN (10, 11);
CREATE TABLE parted_high_rest (note text, balance numeric(10,2) NOT NULL DEFAULT 100, gone int, id int NOT NULL);
ALTER TABLE parted_high_rest DROP COLUMN gone, DROP COLUMN note;
ALTER TABLE parted_high ATTACH PARTITION parted_high_rest DEFAULT;
INSERT INTO parted VALUES (1), (10), (20);
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''parted'', 1, 1)', 'row_debit(''parted'', 10, 1)', 'row_debit(''parted'', ''20'', 1)',
	'row_debit(''parted'', 500, 1)', 'row_debit(''parted'', 20, 1000)', 'row_credit(''parted'', 20, 1, ceiling => 10)', 'row_debit(''parted'', 20, 0.001)',
	'row_debit(''parted_low'', 1, 1)', 'row_debit(''parted_low'', 10, 1)', 'row_debit(''parted_high'', 20, 1)', 'row_debit(''parted_high_rest'', 20, 1)']) AS call;
CREATE TABLE parted_more PARTITION OF parted FOR VALUES FROM (100) TO (1000);
INSERT INTO parted VALUES (500);
SELECT teller.row_debit('parted', 500, 1);
ALTER TABLE parted DETACH PARTITION parted_low;
SELECT pg_temp.ask('row_debit(''parted'', 1, 1)');
SELECT teller.row_debit('parted_low', 1, 1);
ALTER TABLE parted ATTACH PARTITION parted_low FOR VALUES FROM (0) TO (10);
SELECT teller.row_debit('parted', 1, 1);
SELECT tableoid::regclass, * FROM parted ORDER BY id, balance;
-- By hash of a text.
CREATE TABLE hashed (id text PRIMARY KEY, balance int) PARTITION BY HASH (id);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashed SELECT 'k' || n, 100 FROM generate_series(1, 10) AS n;
SELECT count(*) FROM (SELECT teller.row_debit('hashed', id, 1) FROM hashed) AS d;
SELECT count(*) FROM hashed WHERE balance = 99;

-- Inheritance: the row may be in a child, whose keys nobody compares with the
-- parent's.
CREATE TABLE parent (id int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE child (more text, PRIMARY KEY (id)) INHERITS (parent);
CREATE TABLE keyless () INHERITS (parent);
INSERT INTO parent VALUES (1, 100), (5, 100);
INSERT INTO child VALUES (2, 100), (5, 100);
INSERT INTO keyless VALUES (3, 100), (3, 100), (4, 100);
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''parent'', 1, 1)', 'row_debit(''parent'', 2, 1)', 'row_debit(''parent'', 2, 1000)',
	'row_credit(''parent'', 4, 1)', 'row_debit(''parent'', 9, 1)', 'row_debit(''child'', 2, 1)', 'row_debit(''child'', 1, 1)', 'row_debit(''keyless'', 4, 1)',
	'row_debit(''parent'', 5, 1)', 'row_credit(''parent'', 5, 1)', 'row_debit(''parent'', 3, 1)', 'row_debit(''parent'', 5, 1000)',
	'row_debit(''child'', 5, 1)', 'row_debit(''parent'', 5, 100)', 'row_debit(''parent'', 5, 100)']) AS call;
SELECT tableoid::regclass, * FROM parent ORDER BY 1, 2, 3;
ALTER TABLE child NO INHERIT parent;
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''parent'', 2, 1)', 'row_debit(''parent'', 5, 1)']) AS call;
ALTER TABLE child INHERIT parent;
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''parent'', 2, 1)']) AS call;

CREATE TEMP TABLE scratch (id int PRIMARY KEY, balance int);
CREATE TEMP TABLE brief (id int PRIMARY KEY, balance int) ON COMMIT DELETE ROWS;
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY, balance int);
INSERT INTO scratch VALUES (1, 10);
INSERT INTO unlogged VALUES (1, 10);
SELECT teller.row_debit('scratch', 1, 1), teller.row_debit('pg_temp.scratch', '1', 1), teller.row_credit('unlogged', 1, 1);
BEGIN;
INSERT INTO brief VALUES (1, 10);
SELECT teller.row_debit('brief', 1, 1);
COMMIT;
SELECT pg_temp.ask('row_debit(''brief'', 1, 1)');
BEGIN;
CREATE TEMP TABLE passing (id int PRIMARY KEY, balance int) ON COMMIT DROP;
INSERT INTO passing VALUES (1, 10);
SELECT teller.row_debit('passing', 1, 1);
SAVEPOINT one;
CREATE TABLE fleeting (id int PRIMARY KEY, balance int);
INSERT INTO fleeting VALUES (1, 10);
SELECT teller.row_debit('fleeting', 1, 1);
ROLLBACK TO SAVEPOINT one;
SELECT teller.row_debit('passing', 1, 1);
CREATE TABLE fleeting (id text PRIMARY KEY, balance numeric);
INSERT INTO fleeting VALUES ('a', 10);
SELECT teller.row_debit('fleeting', 'a', 0.5);
COMMIT;
SELECT pg_temp.ask('row_debit(''passing'', 1, 1)');
SELECT teller.row_debit('fleeting', 'a', 0.5);

--
-- Changes of the table in one session: the next call sees them.
--
CREATE TABLE moving (id int PRIMARY KEY, balance int NOT NULL, other int NOT NULL);
INSERT INTO moving VALUES (1, 100, 50), (2, 200, 60);
SELECT 'moving'::regclass::oid AS moving \gset
SELECT teller.row_debit('moving', 1, 1), teller.row_debit('moving', 1, 1, 'other'), teller.row_debit(:moving::oid, '1', 1);
ALTER TABLE moving RENAME TO moved;
SELECT teller.row_debit('moved', 1, 1), teller.row_debit(:moving::oid, 1, 1);
SELECT pg_temp.ask('row_debit(''moving'', 1, 1)');
SELECT pg_temp.ask('row_debit(''moved'', 9, 1)');
ALTER TABLE moved RENAME TO moving;
ALTER TABLE moving RENAME balance TO amount;
SELECT pg_temp.ask('row_debit(''moving'', 1, 1)');
SELECT teller.row_debit('moving', 1, 1, 'amount');
ALTER TABLE moving RENAME other TO balance;
SELECT teller.row_debit('moving', 1, 1);
ALTER TABLE moving RENAME balance TO other;
ALTER TABLE moving RENAME amount TO balance;
SELECT teller.row_debit('moving', 1, 1), teller.row_debit('moving', 1, 1, 'other');
ALTER TABLE moving RENAME id TO "Key";
SELECT teller.row_debit('moving', 1, 1), teller.row_debit('moving', '1', 1);
ALTER TABLE moving RENAME "Key" TO id;
-- The type of the column, and of the key.
ALTER TABLE moving ALTER balance TYPE bigint;
SELECT teller.row_credit('moving', 1, 3000000000), teller.row_debit('moving', 1, 3000000000);
ALTER TABLE moving ALTER balance TYPE numeric(12,2);
SELECT teller.row_debit('moving', 1, 0.25);
SELECT pg_temp.ask('row_debit(''moving'', 1, 0.125)');
ALTER TABLE moving ALTER balance TYPE numeric(12,3);
SELECT teller.row_debit('moving', 1, 0.125);
ALTER TABLE moving ALTER balance TYPE numeric;
SELECT teller.row_debit('moving', 1, 0.0000001);
ALTER TABLE moving ALTER balance TYPE text;
SELECT pg_temp.ask('row_debit(''moving'', 1, 1)');
ALTER TABLE moving ALTER balance TYPE integer USING round(balance::numeric);
SELECT pg_temp.ask('row_debit(''moving'', 1, 0.5)');
SELECT teller.row_debit('moving', 1, 1);
ALTER TABLE moving ALTER id TYPE bigint;
SELECT teller.row_debit('moving', 1, 1), teller.row_debit('moving', 1::bigint, 1), teller.row_debit('moving', '1', 1);
ALTER TABLE moving ALTER id TYPE text;
SELECT pg_temp.ask('row_debit(''moving'', 1, 1)');
SELECT teller.row_debit('moving', '1', 1);
ALTER TABLE moving ALTER id TYPE smallint USING id::smallint;
SELECT pg_temp.ask('row_debit(''moving'', 1, 1)');
SELECT teller.row_debit('moving', '1', 1), teller.row_debit('moving', 1::smallint, 1);
ALTER TABLE moving ALTER id TYPE int;
-- The column goes and comes back, in another place.
ALTER TABLE moving DROP COLUMN balance;
SELECT pg_temp.ask('row_debit(''moving'', 1, 1)');
ALTER TABLE moving ADD COLUMN balance smallint NOT NULL DEFAULT 5;
SELECT teller.row_debit('moving', 1, 1);
ALTER TABLE moving DROP COLUMN balance, ADD COLUMN balance int GENERATED ALWAYS AS (other) STORED;
SELECT pg_temp.ask('row_debit(''moving'', 1, 1)');
ALTER TABLE moving ALTER balance DROP EXPRESSION;
SELECT teller.row_debit('moving', 1, 1);
-- The primary key: away, on another column, of two columns, back.
ALTER TABLE moving DROP CONSTRAINT moving_pkey;
SELECT pg_temp.ask('row_debit(''moving'', 1, 1)');
ALTER TABLE moving ADD PRIMARY KEY (other);
SELECT pg_temp.ask('row_debit(''moving'', 1, 1)');
SELECT teller.row_debit('moving', 60, 1);
ALTER TABLE moving DROP CONSTRAINT moving_pkey, ADD PRIMARY KEY (id, other);
SELECT pg_temp.ask('row_debit(''moving'', 60, 1)');
ALTER TABLE moving DROP CONSTRAINT moving_pkey, ADD PRIMARY KEY (id) DEFERRABLE;
SELECT pg_temp.ask('row_debit(''moving'', 1, 1)');
ALTER TABLE moving DROP CONSTRAINT moving_pkey, ADD PRIMARY KEY (id);
SELECT teller.row_debit('moving', 1, 1);
REINDEX TABLE moving;
CLUSTER moving USING moving_pkey;
VACUUM FULL moving;
SELECT teller.row_debit('moving', 1, 1);
TRUNCATE moving;
SELECT pg_temp.ask('row_debit(''moving'', 1, 1)');
INSERT INTO moving (id, other, balance) VALUES (1, 1, 100);
SELECT teller.row_debit('moving', 1, 1);
-- Dropped and made anew under its name, with other columns in other places.
DROP TABLE moving;
CREATE TABLE moving (balance numeric(8,4), x text, id uuid PRIMARY KEY);
INSERT INTO moving VALUES (10, 'x', '00000000-0000-0000-0000-000000000001');
SELECT pg_temp.ask('row_debit(''moving'', 1, 1)');
SELECT teller.row_debit('moving', '00000000-0000-0000-0000-000000000001', 0.0001);
-- In a transaction that rolls its change back.
BEGIN;
ALTER TABLE moving ALTER balance TYPE int;
SELECT teller.row_debit('moving', '00000000-0000-0000-0000-000000000001', 1);
SELECT pg_temp.ask('row_debit(''moving'', ''00000000-0000-0000-0000-000000000001'', 0.5)');
ALTER TABLE moving RENAME balance TO amount;
ALTER TABLE moving RENAME TO moved;
SELECT teller.row_debit('moved', '00000000-0000-0000-0000-000000000001', 1, 'amount');
ROLLBACK;
SELECT teller.row_debit('moving', '00000000-0000-0000-0000-000000000001', 0.0001);
BEGIN;
SAVEPOINT one;
DROP TABLE moving;
CREATE TABLE moving (id int PRIMARY KEY, balance int);
INSERT INTO moving VALUES (1, 7);
SELECT teller.row_debit('moving', 1, 1);
ROLLBACK TO SAVEPOINT one;
SELECT teller.row_debit('moving', '00000000-0000-0000-0000-000000000001', 0.0001);
COMMIT;
-- More tables than a session remembers.
DO $$
DECLARE
	total numeric := 0;
BEGIN
	FOR n IN 1..260 LOOP
		EXECUTE format('CREATE TEMP TABLE many_%s (id int PRIMARY KEY, balance int) ON COMMIT DROP', n);
		EXECUTE format('INSERT INTO many_%s VALUES (1, %s)', n, n);
	END LOOP;
	FOR again IN 1..2 LOOP
		FOR n IN 1..260 LOOP
			total := total + teller.row_debit(format('many_%s', n)::regclass, 1, 1, floor => NULL);
		END LOOP;
	END LOOP;
	RAISE NOTICE '%', total = 2 * 260 * 261 / 2 - 260 - 520;
END
$$;
SELECT teller.row_debit('wallet', 4, 1);
-- Two tables change names, in one transaction.
CREATE TABLE left_one (id int PRIMARY KEY, balance int);
CREATE TABLE right_one (id int PRIMARY KEY, balance int);
INSERT INTO left_one VALUES (1, 100);
INSERT INTO right_one VALUES (1, 200);
SELECT 'left_one'::regclass::oid AS left_one \gset
SELECT teller.row_debit('left_one', 1, 1), teller.row_debit('right_one', 1, 1), teller.row_debit(:left_one::oid, 1, 1);
BEGIN;
ALTER TABLE left_one RENAME TO swap;
ALTER TABLE right_one RENAME TO left_one;
ALTER TABLE swap RENAME TO right_one;
SELECT teller.row_debit('left_one', 1, 1), teller.row_debit('right_one', 1, 1), teller.row_debit(:left_one::oid, 1, 1);
COMMIT;
SELECT teller.row_debit('left_one', 1, 1), teller.row_debit('right_one', 1, 1), teller.row_debit(:left_one::oid, 1, 1);

-- Another schema; a schema that is renamed, and one that takes its old name with
-- a table of the same name: a call by the number of the table stays with it.
CREATE SCHEMA regress_row_first;
CREATE TABLE regress_row_first.stock (id int PRIMARY KEY, balance int);
INSERT INTO regress_row_first.stock VALUES (1, 100);
SELECT 'regress_row_first.stock'::regclass::oid AS stock \gset
SELECT teller.row_debit(:stock::oid, 1, 1);
ALTER SCHEMA regress_row_first RENAME TO regress_row_second;
SELECT teller.row_debit(:stock::oid, 1, 1), teller.row_debit('regress_row_second.stock', 1, 1);
SELECT pg_temp.ask('row_debit(''regress_row_first.stock'', 1, 1)');
SELECT replace(pg_temp.ask(format('row_debit(%s, 9, 1)', :'stock')), :'stock', '<oid>');
CREATE SCHEMA regress_row_first;
CREATE TABLE regress_row_first.stock (id int PRIMARY KEY, balance int);
INSERT INTO regress_row_first.stock VALUES (1, 500);
SELECT teller.row_debit(:stock::oid, 1, 1), teller.row_debit('regress_row_second.stock', 1, 1), teller.row_debit('regress_row_first.stock', 1, 1);
-- The same in one transaction, where nothing is called between.
BEGIN;
ALTER SCHEMA regress_row_first RENAME TO regress_row_third;
ALTER SCHEMA regress_row_second RENAME TO regress_row_first;
ALTER SCHEMA regress_row_third RENAME TO regress_row_second;
SELECT teller.row_debit(:stock::oid, 1, 1), teller.row_debit('regress_row_first.stock', 1, 1), teller.row_debit('regress_row_second.stock', 1, 1);
ROLLBACK;
SELECT teller.row_debit(:stock::oid, 1, 1), teller.row_debit('regress_row_first.stock', 1, 1), teller.row_debit('regress_row_second.stock', 1, 1);
BEGIN;
ALTER SCHEMA regress_row_first RENAME TO regress_row_third;
ALTER SCHEMA regress_row_second RENAME TO regress_row_first;
SELECT teller.row_debit(:stock::oid, 1, 1);
COMMIT;
SELECT teller.row_debit(:stock::oid, 1, 1);
ALTER TABLE regress_row_first.stock SET SCHEMA regress_row_table;
SELECT teller.row_debit(:stock::oid, 1, 1), teller.row_debit('stock', 1, 1), teller.row_debit('regress_row_third.stock', 1, 1);
SELECT id, balance FROM stock;
SELECT id, balance FROM regress_row_third.stock;

--
-- A read-only transaction, and one that failed.
--
BEGIN READ ONLY;
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''wallet'', 1, 1)', 'row_credit(''wallet'', ''1'', 1)', 'row_debit(''wallet'', 77, 1)']) AS call;
ROLLBACK;
-- Temporary tables are changed there too.
BEGIN READ ONLY;
SELECT teller.row_debit('scratch', 1, 1);
ROLLBACK;
BEGIN;
SELECT teller.row_debit('wallet', 3, 1);
SET TRANSACTION READ ONLY;
SELECT pg_temp.ask('row_debit(''wallet'', 3, 1)');
ROLLBACK;
BEGIN;
\set VERBOSITY sqlstate
SELECT teller.row_debit('wallet', 3, 1000);
SELECT teller.row_debit('wallet', 3, 1);
\set VERBOSITY default
ROLLBACK;
SELECT teller.row_debit('wallet', 3, 1);

--
-- A hostile schema first in the path: operators, functions, types and casts are
-- planted there, all of which raise; tables in pg_temp have the names of ours.
--
CREATE SCHEMA regress_row_evil;
CREATE FUNCTION regress_row_evil.boom() RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''planted code was run''; END';
DO $$
DECLARE
	type text;
	other text;
	operator text;
BEGIN
	FOREACH type IN ARRAY ARRAY['bigint', 'integer', 'smallint', 'numeric', 'text', 'varchar', 'name', 'uuid', 'boolean', 'regress_row_table.colour',
			'regress_row_table.positive', 'oid', 'anyelement', 'anyenum', 'float8'] LOOP
		EXECUTE format('CREATE FUNCTION regress_row_evil.op(%1$s, %1$s) RETURNS boolean LANGUAGE plpgsql AS ''BEGIN PERFORM regress_row_evil.boom(); RETURN false; END''', type);
		FOREACH operator IN ARRAY ARRAY['=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '||', '%'] LOOP
			EXECUTE format('CREATE OPERATOR regress_row_evil.%1$s (LEFTARG = %2$s, RIGHTARG = %2$s, FUNCTION = regress_row_evil.op)', operator, type);
		END LOOP;
	END LOOP;
	FOREACH type IN ARRAY ARRAY['bigint', 'integer', 'smallint'] LOOP
		FOREACH other IN ARRAY ARRAY['bigint', 'integer', 'smallint', 'numeric'] LOOP
			IF type <> other THEN
				EXECUTE format('CREATE FUNCTION regress_row_evil.op(%1$s, %2$s) RETURNS boolean LANGUAGE plpgsql AS ''BEGIN PERFORM regress_row_evil.boom(); RETURN false; END''', type, other);
				FOREACH operator IN ARRAY ARRAY['=', '<>', '<', '>', '<=', '>=', '+', '-'] LOOP
					EXECUTE format('CREATE OPERATOR regress_row_evil.%1$s (LEFTARG = %2$s, RIGHTARG = %3$s, FUNCTION = regress_row_evil.op)', operator, type, other);
				END LOOP;
			END IF;
		END LOOP;
	END LOOP;
	FOREACH type IN ARRAY ARRAY['numeric', 'int2', 'int4', 'int8', 'text', 'name', 'bool', 'regclass'] LOOP
		EXECUTE format('CREATE DOMAIN regress_row_evil.%I AS pg_catalog.text CHECK (false)', type);
	END LOOP;
	FOREACH type IN ARRAY ARRAY['numeric(pg_catalog.int4)', 'numeric(pg_catalog.numeric, pg_catalog.int4)', 'int4(pg_catalog.numeric)', 'int2(pg_catalog.numeric)',
			'int8(pg_catalog.numeric)', 'scale(pg_catalog.numeric)', 'numeric_sub(pg_catalog.numeric, pg_catalog.numeric)', 'row_debit(pg_catalog.regclass, pg_catalog.int4, pg_catalog.numeric)'] LOOP
		EXECUTE format('CREATE FUNCTION regress_row_evil.%s RETURNS pg_catalog.text LANGUAGE sql AS ''SELECT regress_row_evil.boom()::pg_catalog.text''', type);
	END LOOP;
END
$$;
CREATE TABLE regress_row_evil.wallet (LIKE wallet INCLUDING ALL);
CREATE TEMP TABLE wallet (LIKE wallet INCLUDING ALL);
CREATE TEMP TABLE guarded (LIKE guarded INCLUDING ALL);
INSERT INTO regress_row_evil.wallet SELECT generate_series(1, 9);
INSERT INTO pg_temp.wallet SELECT generate_series(1, 9);
GRANT USAGE ON SCHEMA regress_row_evil TO PUBLIC;
-- The traps work.
\set VERBOSITY terse
SELECT 1 OPERATOR(regress_row_evil.=) 1;
\set VERBOSITY default
UPDATE regress_row_table.wallet SET balance = 100;
CREATE FUNCTION pg_temp.calmly(call pg_catalog.text) RETURNS pg_catalog.text LANGUAGE plpgsql AS $$
DECLARE
	answer pg_catalog.text;
BEGIN
	EXECUTE pg_catalog.format('SELECT teller.%s', call) INTO answer;
	RETURN pg_catalog.concat(call, E'\n\t', answer);
EXCEPTION WHEN OTHERS THEN
	RETURN pg_catalog.concat(call, E'\n\t', sqlstate, ': ', sqlerrm);
END
$$;
-- With plans made before the path was hostile, and with new ones.
SET search_path = pg_temp, regress_row_evil, pg_catalog;
SELECT teller.row_debit('regress_row_table.wallet', 1, 0.5), teller.row_debit('regress_row_table.wallet', '1', 0.5),
	teller.row_credit('regress_row_table.wallet', 1::pg_catalog.int8, 0.5, ceiling => 100);
DISCARD PLANS;
SELECT teller.row_debit(rel => 'regress_row_table.wallet', id => 1, amount => 0.5), teller.row_debit('regress_row_table.wallet', '1', 0.5, floor => 1),
	teller.row_credit('regress_row_table.wallet', 1::pg_catalog.int8, 0.5, ceiling => 100);
CREATE TABLE regress_row_table.fresh (LIKE regress_row_table.wallet INCLUDING ALL);
INSERT INTO regress_row_table.fresh VALUES (1);
SELECT teller.row_debit('regress_row_table.fresh', 1, 1), teller.row_credit('regress_row_table.fresh', '1', 1, ceiling => 1000);
SELECT pg_temp.calmly(call) FROM pg_catalog.unnest(ARRAY['row_debit(''regress_row_table.fresh'', 1, 1000)', 'row_debit(''regress_row_table.fresh'', 77, 1)',
	'row_credit(''regress_row_table.fresh'', 1, 1, ceiling => 1)', 'row_debit(''regress_row_table.guarded'', 1, 0.5)',
	'row_debit(''regress_row_table.k_int'', 1, 1)', 'row_debit(''regress_row_table.k_small'', ''1'', 1)', 'row_debit(''regress_row_table.k_num'', 1, 1)',
	'row_debit(''regress_row_table.k_enum'', ''red'', 1)', 'row_debit(''regress_row_table.k_positive'', 1, 1)', 'row_debit(''regress_row_table.k_text'', ''a'', 1)',
	'row_debit(''regress_row_table.k_uuid'', ''00000000-0000-0000-0000-000000000001'', 1)', 'row_debit(''regress_row_table.parted'', 20, 1)',
	'row_debit(''wallet'', 1, 1)']) AS call;
SHOW search_path;
RESET search_path;
SET search_path = regress_row_table, public;
SELECT sum(balance) FROM regress_row_evil.wallet;
SELECT sum(balance) FROM pg_temp.wallet;
SELECT sum(balance) FROM regress_row_table.wallet;
-- Without any path.
SET search_path = '';
SELECT teller.row_debit('regress_row_table.wallet', 2, 1), teller.row_debit('regress_row_table.k_enum', 'red', 1);
RESET search_path;

SET client_min_messages = warning;
DROP SCHEMA regress_row_evil, regress_row_table, "regress_row_table a.b""c", regress_row_third, regress_row_first CASCADE;
DROP SERVER regress_row_table_server;
DROP FOREIGN DATA WRAPPER regress_row_table_wrapper;
RESET client_min_messages;
REVOKE USAGE ON SCHEMA teller FROM regress_row_cast, regress_row_none, regress_row_select, regress_row_other, regress_row_blind, regress_row_just, regress_row_all;
DROP ROLE regress_row_cast, regress_row_none, regress_row_select, regress_row_other, regress_row_blind, regress_row_just, regress_row_all;

SELECT * FROM teller.verify();
