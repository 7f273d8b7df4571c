-- Ledgers and assets: create_ledger, create_asset, and the guard on
-- DROP EXTENSION.
\pset format unaligned
\pset tuples_only on
-- What a statement raises, without what differs from run to run.
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

-- A ledger is created once; the same again is a no-op.
SELECT teller.create_ledger(171, 'main book');
SELECT teller.create_ledger(171, 'main book');
SELECT * FROM teller.ledger WHERE ledger_id = 171;

-- Another name, and no name, are other attributes.
SELECT pg_temp.says($$SELECT teller.create_ledger(171, 'side book')$$);
SELECT pg_temp.says($$SELECT teller.create_ledger(171)$$);

-- A ledger without a name stays without one.
SELECT teller.create_ledger(172), teller.create_ledger(172);
SELECT pg_temp.says($$SELECT teller.create_ledger(172, 'late')$$);
SELECT count(*) FROM teller.ledger WHERE ledger_id IN (171, 172);

-- Every bigint is a ledger id.
SELECT teller.create_ledger(0), teller.create_ledger(-171),
	teller.create_ledger(9223372036854775807),
	teller.create_ledger(-9223372036854775808);
SELECT count(*) FROM teller.ledger
WHERE ledger_id IN (0, -171, 9223372036854775807, -9223372036854775808);

-- A name has 1 to 255 bytes and no control character.
SELECT octet_length(name) || E' bytes\n\t' || pg_temp.says(format(
	'SELECT teller.create_ledger(173, %L)', name))
FROM unnest(ARRAY['', repeat('n', 256), repeat('ü', 128), E'two\nlines',
	E'tab\there', E'del\x7f']) AS name;
SELECT teller.create_ledger(173, repeat('ü', 127) || 'x');
SELECT octet_length(name) FROM teller.ledger WHERE ledger_id = 173;

-- A ledger without id is refused.
SELECT pg_temp.says($$SELECT teller.create_ledger(NULL)$$);

-- A name may look like SQL.
SELECT teller.create_ledger(174, 'x''); DROP TABLE teller.ledger; --');
SELECT name FROM teller.ledger WHERE ledger_id = 174;

-- An asset is created once; the same again is a no-op.
SELECT teller.create_asset('LEDGER_A', 2);
SELECT teller.create_asset('LEDGER_A', 2);
SELECT * FROM teller.asset WHERE asset = 'LEDGER_A';

-- Another scale is TL003, and 55000 once an account uses the asset.
SELECT pg_temp.says($$SELECT teller.create_asset('LEDGER_A', 3)$$);
SELECT teller.open_account(171, 1, 'LEDGER_A', 'first');
SELECT pg_temp.says($$SELECT teller.create_asset('LEDGER_A', 3)$$);
SELECT teller.create_asset('LEDGER_A', 2);
SELECT * FROM teller.asset WHERE asset = 'LEDGER_A';

-- The scale is 0 to 30.
SELECT scale || E'\n\t' || pg_temp.says(format(
	'SELECT teller.create_asset(%L, %s)', 'LEDGER_S' || scale, scale))
FROM unnest(ARRAY[-1, 0, 30, 31, 2147483647, -2147483648]) AS scale;
SELECT * FROM teller.asset WHERE asset LIKE 'LEDGER\_S%' ORDER BY 1;

-- A symbol has 1 to 255 bytes and no control character; neither argument may
-- be null.
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.create_asset' || call)
FROM unnest(ARRAY['(NULL, 2)', '(''LEDGER_N'', NULL)', '('''', 2)',
	'(repeat(''a'', 256), 2)', '(E''a\nb'', 2)']) AS call;

-- Symbols that differ by case or by a trailing blank are two assets.
SELECT teller.create_asset('LEDGER_a', 5), teller.create_asset('LEDGER_A ', 7);
SELECT asset || '.', scale FROM teller.asset
WHERE asset ILIKE 'LEDGER\_A%' ORDER BY scale;

-- A creation that is rolled back was none.
BEGIN;
SELECT teller.create_ledger(175, 'gone');
ROLLBACK;
SELECT teller.create_ledger(175, 'stays');
SELECT name FROM teller.ledger WHERE ledger_id = 175;

-- Nothing is created in a read-only transaction.
BEGIN READ ONLY;
SELECT pg_temp.says($$SELECT teller.create_ledger(176)$$);
SELECT pg_temp.says($$SELECT teller.create_asset('LEDGER_R', 2)$$);
ROLLBACK;

-- Who is not the owner may create neither.
CREATE ROLE regress_teller_ledger;
GRANT USAGE ON SCHEMA teller TO regress_teller_ledger;
SET ROLE regress_teller_ledger;
SELECT pg_temp.says($$SELECT teller.create_ledger(176)$$);
SELECT pg_temp.says($$SELECT teller.create_asset('LEDGER_R', 2)$$);
RESET ROLE;
REVOKE USAGE ON SCHEMA teller FROM regress_teller_ledger;
DROP ROLE regress_teller_ledger;

-- While there are accounts the extension cannot be dropped, in no way.
BEGIN;
SELECT command || E'\n\t' || split_part(pg_temp.says(command), E'\n', 1)
FROM unnest(ARRAY['DROP EXTENSION pg_teller', 'DROP EXTENSION pg_teller CASCADE',
	'DROP SCHEMA teller CASCADE', 'DROP SCHEMA teller_remote CASCADE',
	'DROP OWNED BY CURRENT_USER CASCADE']) AS command;
ROLLBACK;
-- Nor with triggers switched off.
BEGIN;
SET LOCAL session_replication_role = replica;
SELECT split_part(pg_temp.says('DROP EXTENSION pg_teller'), E'\n', 1);
ROLLBACK;
-- Other schemas can be dropped.
CREATE SCHEMA regress_teller_other;
DROP SCHEMA regress_teller_other;
-- With teller.allow_drop it can be dropped, and leaves nothing.
BEGIN;
SET LOCAL teller.allow_drop = on;
SET LOCAL client_min_messages = warning;
DROP EXTENSION pg_teller CASCADE;
SELECT count(*) FROM pg_namespace WHERE nspname IN ('teller', 'teller_remote');
SELECT count(*) FROM pg_event_trigger WHERE evtname LIKE '%teller%';
SELECT count(*) FROM pg_foreign_data_wrapper WHERE fdwname LIKE 'teller%';
ROLLBACK;
SELECT name FROM teller.ledger WHERE ledger_id = 171;
-- Only a superuser may set that.
CREATE ROLE regress_teller_ledger;
SET ROLE regress_teller_ledger;
SELECT pg_temp.says('SET teller.allow_drop = on');
RESET ROLE;
DROP ROLE regress_teller_ledger;

SELECT * FROM teller.verify();
