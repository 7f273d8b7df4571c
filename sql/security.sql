-- Security: what application roles cannot reach, hostile search paths, and the
-- catalogue of the extension.
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
CREATE ROLE regress_teller_app;
CREATE ROLE regress_teller_outside;
GRANT USAGE ON SCHEMA teller TO regress_teller_app;
SELECT teller.create_ledger(201), teller.create_ledger(202);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(201, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(201, 2, 'USD', 'alice'),
	teller.open_account(202, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(202, 2, 'USD', 'secret name', metadata => '{"secret": 1}');
SELECT status FROM teller.transfer(201, 1, 2, 100, key => 'known');
SELECT status FROM teller.transfer(202, 1, 2, 77, key => 'secret key');
SELECT id AS h FROM teller.hold(202, 2, 1, 7, '1 day') \gset
SELECT teller.grant_ledger(201, 'regress_teller_app', 'operate');

-- EXECUTE is with PUBLIC (but for a function that verify() alone calls), USAGE on
-- the schemas with nobody, and PUBLIC has no right on any table but SELECT on the
-- views.
SELECT oid::regprocedure FROM pg_proc
WHERE pronamespace IN ('teller'::regnamespace, 'teller_remote'::regnamespace)
	AND NOT has_function_privilege('regress_teller_outside', oid, 'EXECUTE')
	AND proname <> 'operation_memo';
SELECT nspname, has_schema_privilege('regress_teller_outside', oid, 'USAGE'),
	has_schema_privilege('regress_teller_outside', oid, 'CREATE')
FROM pg_namespace WHERE nspname IN ('teller', 'teller_remote') ORDER BY nspname COLLATE "C";
SELECT oid::regclass, p AS privilege
FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
WHERE relnamespace IN ('teller'::regnamespace, 'teller_remote'::regnamespace)
	AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
	AND NOT (relkind = 'v' AND p = 'SELECT')
	AND has_table_privilege('regress_teller_app', oid, p);
SELECT relname FROM pg_class
WHERE relnamespace = 'teller'::regnamespace AND relkind = 'v'
	AND relname IN ('movement', 'posting', 'account_balance', 'open_hold')
	AND has_table_privilege('regress_teller_outside', oid, 'SELECT')
ORDER BY relname COLLATE "C";

-- Without USAGE no function and no view can be named.
SET ROLE regress_teller_outside;
SELECT pg_temp.says('SELECT teller.balance(201, 1)');
SELECT pg_temp.says('SELECT teller.transfer(201, 1, 2, 1)');
SELECT pg_temp.says('SELECT teller.expire_due()');
SELECT pg_temp.says('SELECT teller.begin_request(''s'', ''k'', ''{}'')');
SELECT pg_temp.says('SELECT teller.prune_requests()');
SELECT pg_temp.says('SELECT * FROM teller.movement');
SELECT pg_temp.says('SELECT teller_remote.capabilities()');
RESET ROLE;

-- An application role, with the highest grant, can do nothing to a table.
GRANT pg_read_server_files, pg_write_server_files TO regress_teller_app;
SET ROLE regress_teller_app;
SELECT command, array_agg(DISTINCT left(pg_temp.says(format(command, oid::regclass)), 5))
FROM pg_class,
	unnest(ARRAY['SELECT FROM %s', 'INSERT INTO %s DEFAULT VALUES', 'DELETE FROM %s', 'TRUNCATE %s',
		'LOCK TABLE %s', 'COPY %s FROM ''/dev/null''', 'COPY %s TO ''/dev/null''', 'CREATE INDEX ON %s ((1))',
		'ALTER TABLE %s ADD COLUMN x int', 'DROP TABLE %s']) WITH ORDINALITY AS c (command, place)
WHERE relnamespace = 'teller'::regnamespace AND relkind = 'r'
GROUP BY command, place ORDER BY place;
SELECT attname, left(pg_temp.says(format('UPDATE teller.account SET %I = NULL', attname)), 5)
FROM pg_attribute WHERE attrelid = 'teller.account'::regclass AND attnum > 0 ORDER BY attnum;
-- Nor create anything in our schemas.
SELECT pg_temp.says('CREATE TABLE teller.mine (x int)');
SELECT pg_temp.says('CREATE FUNCTION teller.mine() RETURNS int LANGUAGE sql AS ''SELECT 1''');
-- Nor call what verify() calls.
SELECT DISTINCT left(pg_temp.says(format('SELECT * FROM %s(201)', oid::regproc)), 5)
FROM pg_proc WHERE pronamespace = 'teller'::regnamespace AND proname LIKE 'verify\_%'
	AND proretset AND pronargs = 1;
SELECT pg_temp.says('SELECT * FROM teller.verify_side');
RESET ROLE;
REVOKE pg_read_server_files, pg_write_server_files FROM regress_teller_app;

-- The journal has no UPDATE or DELETE path: no function of ours does either, no
-- trigger, no rule.
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'teller.journal'::regclass;
SELECT count(*) FROM pg_rewrite WHERE ev_class = 'teller.journal'::regclass;

-- A view shows nothing of another ledger to a function that the planner would
-- like to run first.
CREATE FUNCTION public.regress_teller_leak(ledger bigint) RETURNS boolean
	COST 0.0000001 LANGUAGE plpgsql AS $$
BEGIN
	IF ledger <> 201 THEN
		RAISE EXCEPTION 'saw ledger %', ledger;
	END IF;
	RETURN true;
END
$$;
SET ROLE regress_teller_app;
SELECT count(*) FROM teller.movement WHERE public.regress_teller_leak(ledger_id);
SELECT count(*) FROM teller.posting WHERE public.regress_teller_leak(ledger_id);
SELECT count(*) FROM teller.account_balance WHERE public.regress_teller_leak(ledger_id);
SELECT count(*) FROM teller.open_hold WHERE public.regress_teller_leak(ledger_id);
SELECT count(*) FROM teller.movement WHERE 1 / (amount - 77) IS NOT NULL;
SELECT count(*) FROM teller.account_balance WHERE 1 / (posted - 77) IS NOT NULL;
RESET ROLE;
DROP FUNCTION public.regress_teller_leak;
-- Neither do the statistics.
ANALYZE teller.account, teller.journal, teller.key, teller.hold, teller.request;
SET ROLE regress_teller_app;
SELECT count(*) FROM pg_stats WHERE schemaname = 'teller';
RESET ROLE;

-- Nothing of ledger 202 shows to a role of ledger 201: not its accounts, names,
-- keys or holds, nor whether they exist, nor whether the ledger does.
SET ROLE regress_teller_app;
SELECT call || E'\n\t' || (SELECT string_agg(DISTINCT replace(pg_temp.says(format('SELECT teller.' || call, ledger)),
		ledger::text, '...'), ' or ')
	FROM unnest(ARRAY[202, 209]) AS ledger)
FROM unnest(ARRAY['balance(%s, 2)', 'balance(%s, 99)', 'account_id(%s, ''secret name'')',
	'account_id(%s, ''no such name'')', 'find(%s, ''secret key'')', 'find(%s, ''no such key'')',
	'lock_accounts(%s, ARRAY[2])', 'lock_accounts(%s, ARRAY[99])', 'transfer(%s, 1, 2, 1)',
	'transfer(%s, 1, 2, 78, key => ''secret key'')', 'transfer(%s, 98, 99, 1)', 'hold(%s, 1, 2, 1)',
	'transfer_from(%s, ''{1}'', 2, 78, key => ''secret key'')', 'set_metadata(%s, 2, NULL)',
	'verify(%s)', 'create_ledger(%s)', 'open_account(%s, 2, ''USD'')',
	'grant_ledger(%s, ''regress_teller_app'', ''read'')', 'revoke_ledger(%s, ''regress_teller_app'')']) AS call;
-- A hold of 202 is on 201 what no hold at all is; the key of 202 is free there.
SELECT replace(pg_temp.says(format('SELECT teller.capture(201, %L)', :'h')), :'h', '...'),
	replace(pg_temp.says(format('SELECT teller.capture(201, %L)', id)), id, '...')
FROM (VALUES ('00000000-0000-7000-8000-000000000201')) AS none (id);
SELECT status, replayed FROM teller.transfer(201, 1, 2, 1, key => 'secret key');
SELECT count(*) FROM teller.account_balance WHERE name LIKE 'secret%' OR metadata ? 'secret';
RESET ROLE;

-- Functions run as the caller and set nothing.
SELECT oid::regprocedure, prosecdef, proconfig FROM pg_proc
WHERE pronamespace IN ('teller'::regnamespace, 'teller_remote'::regnamespace)
	AND (prosecdef OR proconfig IS NOT NULL);
-- None that writes is run by a parallel worker.
SELECT oid::regprocedure FROM pg_proc
WHERE pronamespace IN ('teller'::regnamespace, 'teller_remote'::regnamespace)
	AND provolatile = 'v' AND proparallel = 's';
-- What PUBLIC may read is a view with security_barrier.
SELECT oid::regclass FROM pg_class
WHERE relnamespace = 'teller'::regnamespace AND has_table_privilege('regress_teller_outside', oid, 'SELECT')
	AND (relkind <> 'v' OR reloptions IS NULL
		OR NOT reloptions && ARRAY['security_barrier=true', 'security_barrier=on', 'security_barrier=1'])
	AND relname <> 'worker_status';

-- A hostile schema first in the path: operators, functions, types and casts
-- planted there, all of which raise.
CREATE SCHEMA regress_teller_evil;
CREATE FUNCTION regress_teller_evil.boom() RETURNS void LANGUAGE plpgsql AS
	'BEGIN RAISE EXCEPTION ''planted code was run''; END';
DO $$
DECLARE
	type name;
	operator text;
	planted text;
BEGIN
	FOREACH type IN ARRAY ARRAY['bigint', 'integer', 'numeric', 'text', 'uuid', 'timestamptz',
			'boolean', 'jsonb', 'bytea', 'name', 'oid', 'regrole', 'interval', 'smallint'] LOOP
		EXECUTE format('CREATE FUNCTION regress_teller_evil.op(%1$s, %1$s) RETURNS boolean'
			' LANGUAGE sql AS ''SELECT regress_teller_evil.boom() IS NULL''', type);
		FOREACH operator IN ARRAY ARRAY['=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '||', '->>', '^'] LOOP
			EXECUTE format('CREATE OPERATOR regress_teller_evil.%1$s (LEFTARG = %2$s, RIGHTARG = %2$s,'
				' FUNCTION = regress_teller_evil.op)', operator, type);
		END LOOP;
	END LOOP;
	FOREACH planted IN ARRAY ARRAY['abs(numeric)', 'scale(numeric)', 'octet_length(text)', 'octet_length(bytea)',
			'isfinite(timestamptz)', 'sha256(bytea)', 'convert_to(text, name)', 'getdatabaseencoding()',
			'quote_literal(text)', 'clock_timestamp()', 'statement_timestamp()', 'format(text, text)',
			'format(text, numeric)', 'current_setting(text)', 'may_read(bigint)', 'balance(bigint, bigint)',
			'verify_amount(numeric, integer)', 'round(numeric)', 'encode(bytea, text)', 'set_config(text, text, boolean)'] LOOP
		EXECUTE format('CREATE FUNCTION regress_teller_evil.%s RETURNS text'
			' LANGUAGE sql AS ''SELECT regress_teller_evil.boom()::text''', planted);
	END LOOP;
	EXECUTE 'CREATE TYPE regress_teller_evil.coin AS (x int)';
	EXECUTE 'CREATE FUNCTION regress_teller_evil.to_coin(bigint) RETURNS regress_teller_evil.coin'
		' LANGUAGE sql AS ''SELECT NULL::regress_teller_evil.coin FROM regress_teller_evil.boom()''';
	EXECUTE 'CREATE CAST (bigint AS regress_teller_evil.coin)'
		' WITH FUNCTION regress_teller_evil.to_coin(bigint) AS IMPLICIT';
	EXECUTE 'CREATE DOMAIN regress_teller_evil.regrole AS text CHECK (false)';
	EXECUTE 'CREATE DOMAIN regress_teller_evil.jsonb AS text CHECK (false)';
END
$$;
CREATE TABLE regress_teller_evil.account (ledger_id text);
CREATE TABLE regress_teller_evil.pg_class (relname text);
GRANT USAGE ON SCHEMA regress_teller_evil TO PUBLIC;
-- The traps work.
\set VERBOSITY terse
SELECT 1::bigint OPERATOR(regress_teller_evil.=) 1::bigint;
-- In pg_temp: tables named as ours.
CREATE TEMP TABLE ledger (ledger_id bigint, name text);
CREATE TEMP TABLE asset (asset text, scale smallint);
CREATE TEMP TABLE account (LIKE teller.account);
CREATE TEMP TABLE journal (LIKE teller.journal);
CREATE TEMP TABLE hold (LIKE teller.hold);
CREATE TEMP TABLE key (LIKE teller.key);
CREATE TEMP TABLE ledger_grant (ledger_id bigint, grantee regrole, level text);
CREATE TEMP TABLE pg_namespace (oid oid, nspname name);
CREATE TEMP TABLE request (LIKE teller.request);
CREATE TEMP TABLE request_horizon (LIKE teller.request_horizon);
INSERT INTO request_horizon VALUES ('evil', 'now');
INSERT INTO ledger_grant VALUES (202, 'regress_teller_app', 'operate');
INSERT INTO ledger VALUES (209, 'planted');
GRANT ALL ON ledger, asset, account, journal, hold, key, ledger_grant, pg_namespace, request,
	request_horizon TO PUBLIC;
SET search_path = pg_temp, regress_teller_evil, teller, pg_catalog, public;
SELECT teller.create_ledger(203, 'evil');
SELECT teller.create_asset('SECURITY', 3);
SELECT teller.open_account(203, 1, 'SECURITY', 'world', min_balance => NULL, metadata => '{}');
SELECT teller.open_account(203, NULL, 'SECURITY', 'made', 0, 100) > 0;
SELECT teller.open_account(203, NULL, 'SECURITY', 'made', 0, 100) > 0;
SELECT teller.open_account(203, 2, 'SECURITY', 'alice');
SELECT teller.account_id(203, 'alice');
SELECT teller.grant_ledger(203, 'regress_teller_app', 'post');
SELECT teller.lock_accounts(203, '{1,2}');
SELECT status FROM teller.transfer(203, 1, 2, 10, key => 'k', expected_version => 0,
	effective_at => '2020-01-01 00:00Z', metadata => '{"a": 1}');
SELECT replayed FROM teller.transfer(203, 1, 2, 10, key => 'k', expected_version => 0,
	effective_at => '2020-01-01 00:00Z', metadata => '{"a": 1}');
SELECT id AS h FROM teller.hold(203, 2, 1, 5, '1 day', key => 'h') \gset
SELECT replayed FROM teller.hold(203, 2, 1, 5, '1 day', key => 'h');
SELECT amount FROM teller.capture(203, :'h', 1, final => false);
SELECT status FROM teller.release(203, :'h', key => 'r');
SELECT status FROM teller.hold(203, 2, 1, 5, '1 us');
SELECT posted, available FROM teller.balance(203, 2);
SELECT status FROM teller.find(203, 'k');
DO 'BEGIN WHILE EXISTS (SELECT FROM teller.open_hold WHERE ledger_id OPERATOR(pg_catalog.=) 203) LOOP PERFORM teller.expire_due(); END LOOP; END';
SELECT fresh FROM teller.begin_request('evil', 'k', '{"a": 1}', '1 day', '2020-01-01 00:00Z');
SELECT state FROM teller.begin_request('evil', 'k', '{"a": 1.0}', '1 day', '2020-01-01 00:00Z');
SELECT teller.finish_request('evil', 'k', '{}', 1);
SELECT teller.prune_requests();
SELECT pg_catalog.count(*) FROM teller.movement WHERE ledger_id OPERATOR(pg_catalog.=) 203;
SELECT pg_catalog.count(*) FROM teller.posting WHERE ledger_id OPERATOR(pg_catalog.=) 203;
SELECT pg_catalog.count(*) FROM teller.account_balance WHERE ledger_id OPERATOR(pg_catalog.=) 203;
SELECT pg_catalog.count(*) FROM teller.open_hold WHERE ledger_id OPERATOR(pg_catalog.=) 203;
SELECT * FROM teller.verify(203);
SELECT * FROM teller.verify();
-- Errors are ours too.
SELECT teller.transfer(203, 2, 1, 1000);
SELECT teller.open_account(203, 2, 'SECURITY', 'bob');
SELECT teller.open_account(209, 2, 'SECURITY');
SELECT teller.create_asset('SECURITY', 4);
-- The path is as it was.
SHOW search_path;
-- The same as an application role, which plants in its own temporary schema.
SET ROLE regress_teller_app;
SELECT status FROM teller.transfer(203, 1, 2, 10, key => 'k2');
SELECT posted FROM teller.balance(203, 2);
SELECT * FROM teller.verify(203);
SELECT teller.begin_request('evil', 'k', '{"a": 1}', request_time => '2020-01-01 00:00Z');
SELECT fresh FROM teller.begin_request('evil', 'k2', '{"a": 1}', '1 day', '2020-01-01 00:00Z');
SELECT teller.balance(202, 2);
SELECT teller.transfer(202, 1, 2, 1);
SELECT teller.verify(202);
SELECT pg_catalog.count(*) FROM teller.movement WHERE ledger_id OPERATOR(pg_catalog.=) 202;
SHOW search_path;
RESET ROLE;
RESET search_path;
-- Nothing was written to the tables in pg_temp.
SELECT (SELECT count(*) FROM pg_temp.ledger), (SELECT count(*) FROM pg_temp.asset),
	(SELECT count(*) FROM pg_temp.account), (SELECT count(*) FROM pg_temp.journal),
	(SELECT count(*) FROM pg_temp.hold), (SELECT count(*) FROM pg_temp.key),
	(SELECT count(*) FROM pg_temp.ledger_grant), (SELECT count(*) FROM pg_temp.request),
	(SELECT count(*) FROM pg_temp.request_horizon);
SELECT revoked.* FROM (SELECT DISTINCT ledger_id FROM teller.ledger_grant
	WHERE ledger_id BETWEEN 201 AND 203) AS g,
	LATERAL (SELECT teller.revoke_ledger(g.ledger_id, 'regress_teller_app')::text) AS revoked;
DROP TABLE pg_temp.ledger, pg_temp.asset, pg_temp.account, pg_temp.journal, pg_temp.hold, pg_temp.key,
	pg_temp.ledger_grant, pg_temp.pg_namespace, pg_temp.request, pg_temp.request_horizon;
SET client_min_messages = warning;
DROP SCHEMA regress_teller_evil CASCADE;
RESET client_min_messages;
\set VERBOSITY default

-- The catalogue.  Each query lists offenders.
CREATE VIEW pg_temp.member AS
	SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS name
	FROM pg_depend AS d JOIN pg_extension AS e ON d.refobjid = e.oid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'pg_teller';
-- Every object of the extension has a comment.
SELECT name FROM pg_temp.member
WHERE obj_description(objid, (SELECT relname FROM pg_class WHERE oid = classid)) IS NULL
ORDER BY name COLLATE "C";
-- The comment of a function that takes arguments says which errors it raises, or
-- which other one it is like.
SELECT name FROM pg_temp.member
WHERE classid = 'pg_proc'::regclass
	AND (SELECT provolatile = 'v' AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
		AND pronargs > 0 FROM pg_proc WHERE oid = objid)
	AND obj_description(objid, 'pg_proc') !~ '(Errors|as in teller\.withdraw|as of withdraw|as teller\.withdraw)'
ORDER BY name COLLATE "C";
-- It owns nothing outside its schemas.
SELECT name FROM pg_temp.member
WHERE classid = 'pg_proc'::regclass AND (SELECT pronamespace FROM pg_proc WHERE oid = objid)
		NOT IN ('teller'::regnamespace, 'teller_remote'::regnamespace)
	OR classid = 'pg_class'::regclass AND (SELECT relnamespace FROM pg_class WHERE oid = objid)
		NOT IN ('teller'::regnamespace, 'teller_remote'::regnamespace)
	OR classid = 'pg_type'::regclass AND (SELECT typnamespace FROM pg_type WHERE oid = objid)
		NOT IN ('teller'::regnamespace, 'teller_remote'::regnamespace);
-- And everything in its schemas is its own.
SELECT oid::regclass FROM pg_class
WHERE relnamespace IN ('teller'::regnamespace, 'teller_remote'::regnamespace)
	AND relkind IN ('r', 'v', 'm', 'f', 'S', 'p')
	AND oid NOT IN (SELECT objid FROM pg_temp.member WHERE classid = 'pg_class'::regclass);
SELECT oid::regprocedure FROM pg_proc
WHERE pronamespace IN ('teller'::regnamespace, 'teller_remote'::regnamespace)
	AND oid NOT IN (SELECT objid FROM pg_temp.member WHERE classid = 'pg_proc'::regclass);
-- Every index leads with ledger_id, but for those of tables that belong to no
-- ledger.
SELECT i.indexrelid::regclass FROM pg_index AS i
JOIN pg_temp.member AS m ON m.objid = i.indrelid AND m.classid = 'pg_class'::regclass
WHERE pg_get_indexdef(i.indexrelid, 1, false) <> 'ledger_id'
ORDER BY i.indexrelid::regclass::text COLLATE "C";
-- Every table has a primary key.
SELECT name FROM pg_temp.member JOIN pg_class AS c ON c.oid = objid
WHERE classid = 'pg_class'::regclass AND relkind = 'r'
	AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = objid AND indisprimary);
-- Every table is registered with pg_dump, whole, and none holds a row of the
-- install script.
SELECT name FROM pg_temp.member JOIN pg_class AS c ON c.oid = objid
WHERE classid = 'pg_class'::regclass AND relkind = 'r'
	AND objid NOT IN (SELECT unnest(extconfig) FROM pg_extension WHERE extname = 'pg_teller');
SELECT condition FROM pg_extension, unnest(extcondition) AS condition
WHERE extname = 'pg_teller' AND condition <> '';
-- No sequence, identity or default, no trigger, no foreign key, no rule, no row
-- security, no inheritance.
SELECT name FROM pg_temp.member JOIN pg_class AS c ON c.oid = objid
WHERE classid = 'pg_class'::regclass
	AND (relkind NOT IN ('r', 'v') OR relhastriggers OR relrowsecurity OR relhassubclass OR relispartition
		OR relkind = 'r' AND (relhasrules OR relpersistence <> 'p'));
SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_temp.member ON objid = attrelid
WHERE classid = 'pg_class'::regclass AND attnum > 0 AND (atthasdef OR attidentity <> '' OR attgenerated <> '');
SELECT conname FROM pg_constraint JOIN pg_temp.member ON objid = conrelid
WHERE classid = 'pg_class'::regclass AND contype NOT IN ('p', 'c', 'u', 'n');
-- No column of a type that pg_upgrade refuses.
SELECT attrelid::regclass, attname, atttypid::regtype FROM pg_attribute JOIN pg_temp.member ON objid = attrelid
WHERE classid = 'pg_class'::regclass AND attnum > 0
	AND atttypid IN ('regproc'::regtype, 'regprocedure'::regtype, 'regoper'::regtype, 'regoperator'::regtype,
		'regconfig'::regtype, 'regdictionary'::regtype, 'regnamespace'::regtype, 'regcollation'::regtype);
-- No function is written in a language that is not C or SQL; those in SQL are
-- bound to what they name when they are made.
SELECT p.oid::regprocedure, lanname FROM pg_proc AS p JOIN pg_language AS l ON l.oid = prolang
WHERE pronamespace IN ('teller'::regnamespace, 'teller_remote'::regnamespace)
	AND (lanname NOT IN ('c', 'sql') OR lanname = 'sql' AND prosqlbody IS NULL);
-- The event trigger is on, whatever the replication role.
SELECT evtname, evtenabled FROM pg_event_trigger WHERE evtname LIKE 'teller%' AND evtenabled <> 'A';
-- The extension is for superusers to install, cannot be moved, and its objects
-- have one owner.
SELECT superuser, trusted, relocatable FROM pg_available_extension_versions
WHERE name = 'pg_teller' AND installed;
SELECT count(DISTINCT owner) FROM (
	SELECT nspowner AS owner FROM pg_namespace WHERE nspname IN ('teller', 'teller_remote')
	UNION SELECT relowner FROM pg_class WHERE relnamespace = 'teller'::regnamespace
	UNION SELECT proowner FROM pg_proc WHERE pronamespace = 'teller'::regnamespace
	UNION SELECT extowner FROM pg_extension WHERE extname = 'pg_teller') AS owners;

DELETE FROM teller.request WHERE scope = 'evil';
REVOKE USAGE ON SCHEMA teller FROM regress_teller_app;
SELECT * FROM teller.verify();

-- CREATE EXTENSION refuses a schema of somebody else, and a role that is no
-- superuser; and what is planted in public does not reach its script.
SELECT current_database() AS home \gset
CREATE DATABASE regress_teller_security TEMPLATE template0;
ALTER DATABASE regress_teller_security OWNER TO regress_teller_app;
\connect regress_teller_security
\set VERBOSITY sqlstate
SET ROLE regress_teller_app;
CREATE EXTENSION pg_teller;
CREATE SCHEMA teller;
RESET ROLE;
CREATE EXTENSION pg_teller;
DROP SCHEMA teller;
CREATE SCHEMA teller_remote;
CREATE EXTENSION pg_teller;
DROP SCHEMA teller_remote;
\set VERBOSITY default
CREATE FUNCTION public.planted(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS
	'BEGIN RAISE EXCEPTION ''planted code was run''; END';
CREATE OPERATOR public.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = public.planted);
CREATE FUNCTION public.abs(numeric) RETURNS numeric LANGUAGE sql AS 'SELECT 1/0::numeric';
SET search_path = public, pg_catalog;
CREATE EXTENSION pg_teller;
SELECT teller.create_ledger(1);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(1, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(1, 2, 'USD', 'alice');
SELECT credit_balance FROM teller.transfer(1, 1, 2, 10, key => 'k');
SELECT pg_catalog.count(*) FROM teller.account_balance;
SELECT * FROM teller.verify();
\connect :home
DROP DATABASE regress_teller_security;
DROP ROLE regress_teller_app, regress_teller_outside;

SELECT * FROM teller.verify();
