-- row_debit and row_credit: one row of a table of the user's own gets less or
-- more, by exactly the amount, or an error says why not.
\pset format unaligned
\pset tuples_only on
\pset null NULL
-- What a query answers, or what it raises, without rows of zeros; of 22003, which
-- pg_teller raises for an amount and PostgreSQL for a result, no more than that.
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
	detail text;
	hint text;
BEGIN
	EXECUTE query INTO answer;
	RETURN answer;
EXCEPTION WHEN numeric_value_out_of_range THEN
	RETURN sqlstate;
WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN regexp_replace(concat_ws(E'\n\t\t', sqlstate || ': ' || sqlerrm, nullif(detail, ''), nullif(hint, '')),
		'0{30,}', '<zeros>', 'g');
END
$$;
CREATE FUNCTION pg_temp.ask(call text) RETURNS text LANGUAGE sql AS $$
	SELECT call || E'\n\t' || pg_temp.says('SELECT teller.' || call)
$$;
CREATE SCHEMA regress_row_debit;
SET search_path = regress_row_debit, public;
CREATE TABLE wallet (
	id bigint PRIMARY KEY,
	balance numeric(12,2) NOT NULL DEFAULT 100,
	seats integer NOT NULL DEFAULT 10,
	owner text NOT NULL DEFAULT 'x');
INSERT INTO wallet SELECT generate_series(1, 5);

-- It answers the new value, which is the one stored, in the column's scale.
SELECT teller.row_debit('wallet', 1, 30);
SELECT teller.row_debit('wallet', '1', 0.5);
SELECT teller.row_debit('wallet', 1::bigint, 0.05, 'balance', 0);
SELECT teller.row_credit('wallet', 1, 12.34);
SELECT teller.row_credit('wallet', '1', 1, col => 'seats', ceiling => 11);
SELECT teller.row_debit('wallet', 1, 2, floor => 9, col => 'seats');
SELECT teller.row_debit(rel => 'wallet', id => 1, amount => 1);
SELECT * FROM wallet ORDER BY id;
SELECT proname, pg_get_function_arguments(oid), prorettype::regtype, provolatile, proparallel, prosecdef, proisstrict
FROM pg_proc WHERE pronamespace = 'teller'::regnamespace AND proname IN ('row_debit', 'row_credit')
ORDER BY proname COLLATE "C", pg_get_function_arguments(oid) COLLATE "C";

-- Amounts: zero and minus, no numbers, finer than the column, larger than it.
SELECT pg_temp.ask(format('%s(''wallet'', 2, %L%s)', function, amount, more))
FROM unnest(ARRAY['row_debit', 'row_credit']) WITH ORDINALITY AS f (function, f),
	unnest(ARRAY['', ', ''seats''']) WITH ORDINALITY AS m (more, m),
	unnest(ARRAY['0', '0.00', '-0', '-1', 'NaN', 'Infinity', '-Infinity', '1.005', '1e-100', '1e-16383',
		'0.5', '1e39', '1e1000', '1e131071']) WITH ORDINALITY AS a (amount, a)
WHERE (function, amount, more) NOT IN (('row_debit', '0.5', ''), ('row_credit', '0.5', ''))
ORDER BY f, m, a;
-- Zeros behind the last decimal that counts are no decimals.
SELECT pg_temp.ask(format('row_debit(''wallet'', 2, %s)', amount))
FROM unnest(ARRAY['1.5000', '2.000', '0.01', '1e1']) AS amount;
SELECT pg_temp.ask(format('row_debit(''wallet'', 2, %s, ''seats'')', amount))
FROM unnest(ARRAY['1.000', '2.0', '1e0']) AS amount;
-- A number of decimals is a matter of the amount alone: it is refused before
-- anything is looked up in the table.
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''wallet'', 77, 0)', 'row_credit(''wallet'', 77, 1.005)',
	'row_debit(''wallet'', 2, 1.005, floor => 1000)']) AS call;

-- Not enough, with the numbers; and no such row is another answer.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'row_debit(''wallet'', 3, 100.01)', 'row_debit(''wallet'', 3, 11, ''seats'')',
	'row_debit(''wallet'', 3, 60, floor => 40.01)', 'row_debit(''wallet'', 3, 1, floor => 1000)',
	'row_debit(''wallet'', 77, 1)', 'row_debit(''wallet'', ''77'', 1)', 'row_credit(''wallet'', 77, 1)',
	'row_debit(''wallet'', -9223372036854775808, 1)',
	'row_credit(''wallet'', 3, 0.01, ceiling => 100)', 'row_credit(''wallet'', 3, 1, ceiling => 99)',
	'row_credit(''wallet'', 3, 1, ''seats'', 10)']) AS call;
SELECT balance, seats FROM wallet WHERE id = 3;

-- Exactly the last unit; then nothing is left; floor and ceiling are reached,
-- not passed.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'row_debit(''wallet'', 3, 60, floor => 40)', 'row_debit(''wallet'', 3, 0.01, floor => 40)',
	'row_debit(''wallet'', 3, 40)', 'row_debit(''wallet'', 3, 0.01)',
	'row_credit(''wallet'', 3, 50, ceiling => 50)', 'row_credit(''wallet'', 3, 0.01, ceiling => 50)',
	'row_credit(''wallet'', 3, 50)']) AS call;
-- Floors below zero and none; ceilings of zero and below; a floor that the
-- column itself could not hold.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'row_debit(''wallet'', 4, 150, floor => -50)', 'row_debit(''wallet'', 4, 0.01, floor => -50)',
	'row_debit(''wallet'', 4, 50, floor => NULL)',
	'row_credit(''wallet'', 4, 99.99, ceiling => 0)', 'row_credit(''wallet'', 4, 0.01, ceiling => -0.01)',
	'row_credit(''wallet'', 4, 0.01, ceiling => 0)', 'row_credit(''wallet'', 4, 1, ceiling => NULL)',
	'row_debit(''wallet'', 4, 1, floor => 0.001)', 'row_debit(''wallet'', 4, 0.9, floor => 0.099)',
	'row_debit(''wallet'', 4, 0.01, floor => 1e50)', 'row_debit(''wallet'', 4, 0.01, floor => -1e50)',
	'row_credit(''wallet'', 4, 0.01, ceiling => 1e50)', 'row_credit(''wallet'', 4, 0.01, ceiling => -1e50)',
	'row_debit(''wallet'', 4, 1, ''seats'', 9.5)', 'row_debit(''wallet'', 4, 1, ''seats'', 8.5)',
	'row_credit(''wallet'', 4, 1, ''seats'', 9.5)', 'row_credit(''wallet'', 4, 1, ''seats'', 10.5)',
	'row_debit(''wallet'', 4, 1, ''seats'', 1e50)', 'row_debit(''wallet'', 4, 1, ''seats'', -1e50)',
	'row_credit(''wallet'', 4, 1, ''seats'', -1e50)', 'row_credit(''wallet'', 4, 1, ''seats'', 1e50)']) AS call;
SELECT pg_temp.ask(format(call, what)) FROM unnest(ARRAY['row_debit(''wallet'', 4, 1, floor => %L)',
	'row_credit(''wallet'', 4, 1, ceiling => %L)', 'row_debit(''wallet'', 4, 1, ''seats'', %L)',
	'row_credit(''wallet'', 4, 1, ''seats'', %L)']) WITH ORDINALITY AS c (call, c),
	unnest(ARRAY['NaN', 'Infinity', '-Infinity']) WITH ORDINALITY AS w (what, w) ORDER BY c, w;

-- Every integer type: its whole range, and not one beyond.
CREATE TABLE whole (id int PRIMARY KEY, s smallint, i integer, b bigint);
INSERT INTO whole VALUES (1, 32767, 2147483647, 9223372036854775807),
	(2, -32768, -2147483648, -9223372036854775808), (3, 0, 0, 0);
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'row_credit(''whole'', 1, 1, ''s'')', 'row_credit(''whole'', 1, 1, ''i'')', 'row_credit(''whole'', 1, 1, ''b'')',
	'row_debit(''whole'', 2, 1, ''s'', NULL)', 'row_debit(''whole'', 2, 1, ''i'', NULL)', 'row_debit(''whole'', 2, 1, ''b'', NULL)',
	'row_debit(''whole'', 3, 32769, ''s'', NULL)', 'row_credit(''whole'', 3, 32768, ''s'')',
	'row_debit(''whole'', 3, 2147483649, ''i'', NULL)', 'row_credit(''whole'', 3, 2147483648, ''i'')',
	'row_debit(''whole'', 3, 9223372036854775809, ''b'', NULL)', 'row_credit(''whole'', 3, 9223372036854775808, ''b'')',
	'row_debit(''whole'', 3, 1e30, ''b'', NULL)', 'row_credit(''whole'', 3, 1e30, ''b'')']) AS call;
-- What floor or ceiling forbids is not enough, or too much, rather than out of
-- range.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'row_debit(''whole'', 2, 1, ''s'')', 'row_debit(''whole'', 2, 32767, ''s'')', 'row_debit(''whole'', 2, 1, ''i'')',
	'row_debit(''whole'', 2, 1, ''b'')',
	'row_credit(''whole'', 1, 1, ''s'', 100)', 'row_credit(''whole'', 1, 32767, ''s'', 32767)',
	'row_credit(''whole'', 1, 1, ''i'', 100)', 'row_credit(''whole'', 1, 9223372036854775807, ''b'', 9223372036854775807)']) AS call;
-- Up to the ends and back.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'row_debit(''whole'', 1, 32767, ''s'')', 'row_debit(''whole'', 1, 2147483647, ''i'')',
	'row_debit(''whole'', 1, 9223372036854775807, ''b'')',
	'row_credit(''whole'', 1, 32767, ''s'')', 'row_credit(''whole'', 1, 2147483647, ''i'', 2147483647)',
	'row_credit(''whole'', 1, 9223372036854775807, ''b'', 9223372036854775807)',
	'row_debit(''whole'', 3, 32767, ''s'', -32768)', 'row_debit(''whole'', 3, 1, ''s'', -32768)',
	'row_debit(''whole'', 3, 1, ''s'', -32768)', 'row_debit(''whole'', 3, 1, ''s'', -40000)']) AS call;
SELECT * FROM whole ORDER BY id;

-- Every numeric type: with and without a scale, with more decimals than digits,
-- rounded to hundreds.
CREATE DOMAIN cents AS numeric(10,2);
CREATE DOMAIN price AS cents CHECK (VALUE <> 13);
CREATE DOMAIN stock AS integer CHECK (VALUE >= 0);
CREATE DOMAIN crate AS stock NOT NULL;
CREATE TABLE fine (id int PRIMARY KEY, free numeric, plain numeric(5), two numeric(5,2), tiny numeric(2,4),
	hundreds numeric(3,-2), huge numeric(1000,500), cents cents, price price, stock stock, crate crate,
	balance numeric CHECK (balance <= 50));
INSERT INTO fine VALUES (1, 10, 10, 10, 0.0050, 1000, 10, 10, 10, 10, 10, 10);
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'row_debit(''fine'', 1, 0.000000000000000000000000000001, ''free'')', 'row_credit(''fine'', 1, 0.1, ''free'')',
	'row_credit(''fine'', 1, 1e-16383, ''free'') > 10', 'row_credit(''fine'', 1, 1e130000, ''free'') > 1e130000',
	'row_debit(''fine'', 1, 1e130000, ''free'') = 10.1 - 1e-30 + 1e-16383',
	'row_debit(''fine'', 1, 1, ''plain'')', 'row_debit(''fine'', 1, 0.5, ''plain'')',
	'row_credit(''fine'', 1, 99990, ''plain'')', 'row_credit(''fine'', 1, 99991, ''plain'')', 'row_credit(''fine'', 1, 100000, ''plain'')',
	'row_credit(''fine'', 1, 989.99, ''two'')', 'row_credit(''fine'', 1, 0.01, ''two'')', 'row_credit(''fine'', 1, 1000, ''two'')',
	'row_debit(''fine'', 1, 999.99, ''two'')', 'row_debit(''fine'', 1, 999.99, ''two'', NULL)', 'row_debit(''fine'', 1, 0.01, ''two'', NULL)',
	'row_debit(''fine'', 1, 0.0001, ''tiny'')', 'row_debit(''fine'', 1, 0.00001, ''tiny'')', 'row_credit(''fine'', 1, 0.0050, ''tiny'')',
	'row_credit(''fine'', 1, 0.0001, ''tiny'')', 'row_credit(''fine'', 1, 0.01, ''tiny'')',
	'row_debit(''fine'', 1, 100, ''hundreds'')', 'row_debit(''fine'', 1, 150, ''hundreds'')', 'row_debit(''fine'', 1, 1, ''hundreds'')',
	'row_credit(''fine'', 1, 99000, ''hundreds'')', 'row_credit(''fine'', 1, 100, ''hundreds'')', 'row_credit(''fine'', 1, 1e5, ''hundreds'')',
	'row_debit(''fine'', 1, 1e-500, ''huge'') = 10 - 1e-500', 'row_debit(''fine'', 1, 1e-501, ''huge'')',
	'row_debit(''fine'', 1, 0.01, ''cents'')', 'row_debit(''fine'', 1, 0.001, ''cents'')', 'row_credit(''fine'', 1, 1e8, ''cents'')',
	'row_debit(''fine'', 1, 0.001, ''price'')', 'row_credit(''fine'', 1, 3, ''price'')', 'row_credit(''fine'', 1, 3.01, ''price'')',
	'row_debit(''fine'', 1, 11, ''stock'')', 'row_debit(''fine'', 1, 11, ''stock'', NULL)', 'row_debit(''fine'', 1, 10, ''stock'')',
	'row_debit(''fine'', 1, 0.5, ''stock'')', 'row_credit(''fine'', 1, 2147483648, ''stock'')', 'row_credit(''fine'', 1, 2147483647, ''stock'')',
	'row_credit(''fine'', 1, 1, ''stock'')',
	'row_debit(''fine'', 1, 11, ''crate'', -5)', 'row_debit(''fine'', 1, 3, ''crate'')',
	'row_credit(''fine'', 1, 41)', 'row_credit(''fine'', 1, 40)']) AS call;
SELECT plain, two, tiny, hundreds, cents, price, stock, crate, balance FROM fine;

-- An amount of many digits does not fill the log.
SELECT left(said, 5), length(said) < 2000 FROM pg_temp.says('SELECT teller.row_debit(''fine'', 1, repeat(''9'', 100000)::numeric, ''free'')') AS said;

-- A row that holds no number, in every kind of column.
CREATE TABLE odd (id int PRIMARY KEY, balance numeric, n numeric(12,2), i integer);
INSERT INTO odd VALUES (1, NULL, NULL, NULL), (2, 'NaN', 'NaN', 0), (3, 'Infinity', 0, 0), (4, '-Infinity', 0, 0);
SELECT pg_temp.ask(format(call, col)) FROM unnest(ARRAY['row_debit(''odd'', 1, 1, %L)', 'row_credit(''odd'', 1, 1, %L)',
	'row_debit(''odd'', 1, 1, %L, NULL)', 'row_credit(''odd'', 1, 1, %L, 5)']) WITH ORDINALITY AS c (call, c),
	unnest(ARRAY['balance', 'n', 'i']) WITH ORDINALITY AS o (col, o) ORDER BY c, o;
SELECT pg_temp.ask(format(call, id)) FROM unnest(ARRAY['row_debit(''odd'', %s, 1)', 'row_debit(''odd'', %s, 1, floor => NULL)',
	'row_credit(''odd'', %s, 1)', 'row_credit(''odd'', %s, 1, ceiling => 5)']) WITH ORDINALITY AS c (call, c),
	generate_series(2, 4) AS id ORDER BY c, id;
SELECT pg_temp.ask(call) FROM unnest(ARRAY['row_debit(''odd'', 2, 1, ''n'')', 'row_debit(''odd'', 2, 1, ''n'', NULL)',
	'row_credit(''odd'', 2, 1, ''n'')', 'row_credit(''odd'', 2, 1, ''n'', 5)']) AS call;
SELECT * FROM odd ORDER BY id;

-- Once for each row of a query, in whatever order, with expressions.
CREATE TABLE coin (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO coin SELECT id, 100 FROM generate_series(1, 1000) AS id;
SELECT count(*), count(DISTINCT id), sum(left_over) FROM (SELECT id, teller.row_debit('coin', id, id % 7 + 1) AS left_over FROM coin) AS d;
SELECT count(*) FROM coin WHERE balance <> 100 - (id % 7 + 1);
SELECT sum(teller.row_credit('coin', id, id % 7 + 1)) FROM coin;
SELECT count(*) FROM coin WHERE balance <> 100;
-- Several times on one row in one query: each sees what the ones before did.
SELECT teller.row_debit('coin', 1, 10), teller.row_debit('coin', 1, 10), teller.row_credit('coin', 1, 5);
SELECT teller.row_debit('coin', 1, n) FROM generate_series(1, 5) AS n;
SELECT teller.row_debit('coin', 1, teller.row_debit('coin', 1, 35));
SELECT balance FROM coin WHERE id = 1;
-- The query itself still reads what was there when it began.
SELECT id, balance, teller.row_debit('coin', id, 1), balance FROM coin WHERE id IN (2, 3) ORDER BY id;
-- A query that fails at its last row leaves nothing of the ones before.
SELECT teller.row_debit('coin', id, 95) FROM (SELECT id FROM coin WHERE id < 5 ORDER BY id DESC) AS four;
SELECT id, balance FROM coin WHERE id < 5 ORDER BY id;

-- In a CTE, in INSERT ... SELECT, in RETURNING, in the expression of an UPDATE of
-- another table, in a DEFAULT, in a cursor.
WITH paid AS (SELECT teller.row_debit('coin', 4, 9) AS rest) SELECT rest, (SELECT balance FROM coin WHERE id = 4) FROM paid;
WITH paid AS MATERIALIZED (SELECT teller.row_debit('coin', 4, 1) AS rest), got AS (SELECT teller.row_credit('coin', 5, 1) AS rest)
SELECT paid.rest, got.rest FROM paid, got;
CREATE TABLE log (at serial, what text, rest numeric DEFAULT teller.row_debit('regress_row_debit.coin', 7, 1));
INSERT INTO log (what, rest) SELECT 'paid ' || id, teller.row_debit('coin', id, 1) FROM coin WHERE id BETWEEN 5 AND 6 ORDER BY id;
INSERT INTO log (what) VALUES ('by default') RETURNING rest, teller.row_debit('coin', 7, 1);
UPDATE log SET rest = teller.row_debit('coin', 8, at) RETURNING at, what, rest;
SELECT balance FROM coin WHERE id BETWEEN 4 AND 8 ORDER BY id;
BEGIN;
DECLARE c CURSOR FOR SELECT id, teller.row_debit('coin', id, 50) FROM coin WHERE id BETWEEN 10 AND 12 ORDER BY id;
FETCH 2 FROM c;
SELECT id, balance FROM coin WHERE id BETWEEN 10 AND 12 ORDER BY id;
ROLLBACK;
-- In the expression of an UPDATE of the same row: PostgreSQL refuses that.
SELECT pg_temp.says('UPDATE coin SET balance = teller.row_debit(''coin'', id, 1) WHERE id = 9');
SELECT pg_temp.says('DELETE FROM coin WHERE id = 9 AND teller.row_debit(''coin'', id, 1) > 0');
SELECT balance FROM coin WHERE id = 9;

-- Rolled back with its savepoint, its exception block, its transaction.
DO $$
DECLARE
	rest numeric;
BEGIN
	PERFORM teller.row_debit('coin', 20, 10);
	BEGIN
		PERFORM teller.row_debit('coin', 20, 10);
		PERFORM teller.row_debit('coin', 20, 1000);
	EXCEPTION WHEN SQLSTATE 'TL001' THEN
		rest := teller.row_debit('coin', 20, 5);
		RAISE NOTICE 'after the exception: %', rest;
	END;
	BEGIN
		PERFORM teller.row_debit('coin', 20, 10);
		RAISE EXCEPTION 'no';
	EXCEPTION WHEN raise_exception THEN
		RAISE NOTICE 'after another: %', (SELECT balance FROM coin WHERE id = 20);
	END;
	rest := teller.row_debit('coin', 20, 1);
	RAISE NOTICE 'in the end: %', rest;
END
$$;
SELECT balance FROM coin WHERE id = 20;
BEGIN;
SELECT teller.row_debit('coin', 21, 10);
SAVEPOINT one;
SELECT teller.row_debit('coin', 21, 10);
ROLLBACK TO SAVEPOINT one;
SELECT teller.row_debit('coin', 21, 10);
SAVEPOINT two;
SELECT teller.row_debit('coin', 21, 81);
ROLLBACK TO SAVEPOINT two;
SELECT teller.row_debit('coin', 21, 80);
COMMIT;
SELECT balance FROM coin WHERE id = 21;
BEGIN;
SELECT teller.row_credit('coin', 22, 10);
ROLLBACK;
SELECT balance FROM coin WHERE id = 22;
-- A row of this transaction, also one that was changed, or deleted, by it.
BEGIN;
INSERT INTO coin VALUES (2001, 10);
SELECT teller.row_debit('coin', 2001, 4);
UPDATE coin SET balance = 20 WHERE id = 2001;
SELECT teller.row_debit('coin', 2001, 4);
DELETE FROM coin WHERE id = 2001;
SELECT pg_temp.ask('row_debit(''coin'', 2001, 4)');
INSERT INTO coin VALUES (2001, 7);
SELECT teller.row_debit('coin', 2001, 4);
ROLLBACK;
-- In a procedure that commits between.
CREATE PROCEDURE spend() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..3 LOOP
		PERFORM teller.row_debit('coin', 23, 10);
		COMMIT;
		PERFORM teller.row_debit('coin', 23, 10);
		ROLLBACK;
	END LOOP;
END
$$;
CALL spend();
SELECT balance FROM coin WHERE id = 23;
-- At every isolation level, with generic and custom plans, without index scans.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT teller.row_debit('coin', 24, 1), teller.row_debit('coin', 24, 1);
SELECT pg_temp.ask('row_debit(''coin'', 24, 1000)');
SELECT pg_temp.ask('row_debit(''coin'', 2024, 1)');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT teller.row_debit('coin', 24, 1), teller.row_debit('coin', 24, 1);
SELECT pg_temp.ask('row_debit(''coin'', 24, 1000)');
SELECT pg_temp.ask('row_debit(''coin'', 2024, 1)');
COMMIT;
SET plan_cache_mode = force_custom_plan;
SELECT teller.row_debit('coin', 24, 1), teller.row_debit('wallet', 5, 0.01);
SET plan_cache_mode = force_generic_plan;
SELECT teller.row_debit('coin', 24, 1), teller.row_debit('wallet', 5, 0.01);
RESET plan_cache_mode;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
DISCARD PLANS;
SELECT teller.row_debit('coin', 24, 1), teller.row_debit('wallet', 5, 0.01);
RESET enable_indexscan;
RESET enable_bitmapscan;
-- In functions, also in those that say they change nothing.
CREATE FUNCTION in_sql(bigint) RETURNS numeric LANGUAGE sql AS 'SELECT teller.row_debit(''coin'', $1::int, 1)';
CREATE FUNCTION in_plpgsql(bigint) RETURNS numeric LANGUAGE plpgsql AS 'BEGIN RETURN teller.row_debit(''coin'', $1::int, 1); END';
CREATE FUNCTION in_stable(bigint) RETURNS numeric LANGUAGE sql STABLE AS 'SELECT teller.row_debit(''coin'', $1::int, 1)';
CREATE FUNCTION in_stable_plpgsql(bigint) RETURNS numeric LANGUAGE plpgsql STABLE AS 'BEGIN RETURN teller.row_debit(''coin'', $1::int, 1); END';
SELECT in_sql(25), in_plpgsql(25), in_sql(25), in_stable(25), in_stable_plpgsql(25);
SELECT balance FROM coin WHERE id = 25;
-- The row keeps its other columns, and its place in what refers to it.
CREATE TABLE seat (wallet bigint REFERENCES wallet ON UPDATE CASCADE, place int);
INSERT INTO seat VALUES (5, 1);
SELECT teller.row_debit('wallet', 5, 1);
SELECT * FROM wallet WHERE id = 5;
-- Generated columns, indexes on the column, and unique ones.
CREATE TABLE derived (id int PRIMARY KEY, balance int UNIQUE, double int GENERATED ALWAYS AS (balance * 2) STORED);
INSERT INTO derived VALUES (1, 10), (2, 8);
SELECT teller.row_debit('derived', 1, 1);
SELECT pg_temp.ask('row_debit(''derived'', 1, 1)');
SELECT teller.row_debit('derived', 1, 2);
SELECT * FROM derived ORDER BY id;
-- After everything the session had is thrown away.
DISCARD ALL;
SET search_path = regress_row_debit, public;
SELECT teller.row_debit('coin', 26, 1), teller.row_debit('wallet', 5, 0.01);

SET client_min_messages = warning;
DROP SCHEMA regress_row_debit CASCADE;
RESET client_min_messages;
RESET search_path;

SELECT * FROM teller.verify();
