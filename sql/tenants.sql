-- A hundred ledgers as tenants, each with a role of its own: by no function and
-- no view does a role learn anything of another ledger (I22).  Functions and
-- views are taken from the catalogue, so that a new one cannot be forgotten: a
-- new function either takes a ledger, and is called here, or shows up in the
-- list of those that do not.
\pset format unaligned
\pset tuples_only on
SELECT teller.create_asset('USD', 2);
CREATE SERVER regress_tenant_bank FOREIGN DATA WRAPPER teller_postgres OPTIONS (dbname 'nowhere');
CREATE FUNCTION pg_temp.on_board(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	book bigint := 345000 + n;
	who text := 'regress_tenant_' || n;
	stamp uuid := ('01a1fa6b-0000-7000-8000-' || lpad(book::text, 12, '0'))::uuid;
	paid uuid;
	put uuid;
BEGIN
	EXECUTE format('CREATE ROLE %I', who);
	EXECUTE format('GRANT USAGE ON SCHEMA teller, teller_remote TO %I', who);
	EXECUTE format('GRANT USAGE ON FOREIGN SERVER regress_tenant_bank TO %I', who);
	PERFORM teller.create_ledger(book, 'ledger of ' || who);
	PERFORM teller.open_account(book, 1, 'USD', 'world', min_balance => NULL),
		teller.open_account(book, 2, 'USD', 'secret of ' || book, metadata => jsonb_build_object('secret', book)),
		teller.open_account(book, 9, 'USD', 'at bank', min_balance => NULL);
	PERFORM teller.grant_ledger(book, who::regrole, 'operate');
	PERFORM teller.set_settlement_account(book, 'regress_tenant_bank', 9);
	SELECT id INTO paid FROM teller.transfer(book, 1, 2, 1000 + n, key => 'secret of ' || book);
	PERFORM teller.reverse(book, paid, 1);
	PERFORM count(*) FROM teller.post(book, '{1,1}', '{2,2}', '{1,2}', key => 'batch of ' || book);
	SELECT id INTO put FROM teller.hold(book, 2, 1, 10, '1 day');
	PERFORM teller.close_period(book, '2020-01-01 00:00Z');
	PERFORM teller.mark_verified(book);
	INSERT INTO teller.key_horizon VALUES (book, '2020-01-01 00:00Z');
	-- An operation that ended long ago, as the worker leaves one.
	SELECT id INTO put FROM teller.hold(book, 2, 9, 5, '1 day');
	PERFORM teller.capture(book, put);
	UPDATE teller.hold SET operation_id = stamp, expires_at = NULL WHERE ledger_id = book AND hold_id = put;
	UPDATE teller.journal SET operation_id = stamp WHERE ledger_id = book AND hold_id = put;
	INSERT INTO teller.operation_data (ledger_id, id, account_id, settlement_account,
		direction, server, nonce, memo, amount, asset, counterparty, payload, request,
		arguments, fingerprint, submitter, reentrancy, ticket, hold_id, state, dirty, attempts,
		sends, rechecks, last_attempt, cancel_requested, found_nothing, not_after,
		expires_at, created_at, ended_at)
	SELECT book, stamp, 2, 9, 'withdraw', 'regress_tenant_bank', 'secret of ' || book, m.memo, 5.00, 'USD', 'bob', NULL,
		json_build_object('memo', encode(m.memo, 'hex'), 'origin', stamp, 'ledger', book::text,
			'direction', 'withdraw', 'account', 'bob', 'amount', '5.00', 'asset', 'USD',
			'nonce', 'secret of ' || book, 'not_after', '2026-01-01 00:00:00+00'::timestamptz),
		'{"amount": 5}', sha256(convert_to('withdraw {"amount": 5}', getdatabaseencoding())),
		who::regrole, 'allow', 1, put, 'settled', false, 1, 1, 0, 1, false, false,
		'2026-01-01 00:00:00+00', '2026-01-01 00:01:00+00', h.created_at, h.ended_at
	FROM teller.hold AS h, teller.operation_memo(stamp, 'withdraw', book, 2, 'secret of ' || book, 5.00,
		'USD', 'regress_tenant_bank', 'bob', NULL) AS m (memo)
	WHERE h.ledger_id = book AND h.hold_id = put;
	INSERT INTO teller.attempt_data
	SELECT ledger_id, id, 1, 'execute', memo, stamp, created_at, ended_at, 'executed'
	FROM teller.operation_data WHERE ledger_id = book;
	UPDATE teller.operation_data SET on_complete = 'public.secret(teller.operation_result)' WHERE ledger_id = book;
	INSERT INTO teller.continuation_data VALUES (book, stamp, 1, 'on_complete', 'done', 1, 0, NULL, NULL, 'secret', '2026-01-01 00:00Z', '2026-01-01 00:00Z');
	INSERT INTO teller.finding_data VALUES (book, stamp, stamp, 'resolved', 'secret', who::regrole, '2026-01-01 00:00Z');
	-- As a remote: what the tenant had executed here.
	INSERT INTO teller.memo (memo, origin, caller, ledger_id, request, status, reference, amount, asset, executed_at)
	SELECT memo, id, who::regrole, ledger_id, request::jsonb, 'executed', 'secret', amount, asset, ended_at
	FROM teller.operation_data WHERE ledger_id = book;
END
$$;
SELECT count(pg_temp.on_board(n)) FROM generate_series(0, 99) AS n;
-- The one that will ask may call this database as a remote, too.
SELECT teller_remote.grant_remote('regress_tenant_1', 345001, 2);

-- Each of them sees its own ledger in each view, and no other.  The views
-- without ledger_id are those listed.
CREATE TEMP VIEW ledger_view AS
	SELECT c.oid::regclass AS name FROM pg_class AS c
	WHERE c.relnamespace = 'teller'::regnamespace AND c.relkind IN ('v', 'm')
		AND has_table_privilege('regress_tenant_1', c.oid, 'SELECT')
		AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'ledger_id');
SELECT oid::regclass FROM pg_class
WHERE relnamespace IN ('teller'::regnamespace, 'teller_remote'::regnamespace) AND relkind IN ('v', 'm', 'f')
	AND has_table_privilege('regress_tenant_1', oid, 'SELECT') AND oid NOT IN (SELECT name FROM ledger_view)
ORDER BY relname COLLATE "C";
SELECT oid::regclass FROM pg_class
WHERE relnamespace IN ('teller'::regnamespace, 'teller_remote'::regnamespace) AND relkind NOT IN ('v', 'm', 'i')
	AND has_table_privilege('regress_tenant_1', oid, 'SELECT');
CREATE FUNCTION pg_temp.seen() RETURNS TABLE (view regclass, ledgers bigint[]) LANGUAGE plpgsql AS $$
BEGIN
	FOR view IN SELECT name FROM pg_temp.ledger_view LOOP
		EXECUTE format('SELECT array_agg(DISTINCT ledger_id) FROM %s', view) INTO ledgers;
		RETURN NEXT;
	END LOOP;
END
$$;
GRANT SELECT ON ledger_view TO PUBLIC;
CREATE FUNCTION pg_temp.strays(n int) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL ROLE regress_tenant_%s', n);
	RETURN QUERY SELECT format('tenant %s sees %s in %s', n, coalesce(s.ledgers::text, 'nothing'), s.view)
		FROM pg_temp.seen() AS s
		-- limits change only where somebody changes them, and nothing is in doubt
		WHERE s.ledgers IS DISTINCT FROM ARRAY[345000 + n]::bigint[]
			AND NOT (s.view::text IN ('teller.limit_change', 'teller.in_doubt') AND s.ledgers IS NULL);
	RESET ROLE;
END
$$;
SELECT count(*) >= 7 FROM ledger_view;
SELECT pg_temp.strays(n) FROM generate_series(0, 99) AS n;

-- What there is to ask for.  Of ledger 345002: what is there, and what is not; a
-- ledger that is not there; and on the own ledger, 345001, the other's ids, keys
-- and names, and some that nobody has.
CREATE TEMP TABLE thing (variant text, ledger bigint, account bigint, hold uuid, journal uuid, batch uuid,
	operation uuid, label text, memo text);
INSERT INTO thing
SELECT 'there', 345002, 2, h.hold_id, t.id, b.batch_id, o.id, 'secret of 345002', o.memo::text
FROM (SELECT hold_id FROM teller.hold WHERE ledger_id = 345002 AND state = 'open') AS h,
	(SELECT id FROM teller.journal WHERE ledger_id = 345002 AND kind = 'transfer' AND batch_id IS NULL) AS t,
	(SELECT DISTINCT batch_id FROM teller.journal WHERE ledger_id = 345002 AND batch_id IS NOT NULL) AS b,
	(SELECT id, memo FROM teller.operation_data WHERE ledger_id = 345002) AS o;
INSERT INTO thing VALUES ('not there', 345002, 77, '01a1fa6b-0000-7000-8000-0000000000a1',
	'01a1fa6b-0000-7000-8000-0000000000a2', '01a1fa6b-0000-7000-8000-000000000000',
	'01a1fa6b-0000-7000-8000-0000000000a4', 'secret of nobody', sha256('nothing')::text);
INSERT INTO thing SELECT 'no ledger', 345999, account, hold, journal, batch, operation, label, memo
FROM thing WHERE variant = 'there';
INSERT INTO thing SELECT 'own ledger, ' || variant, 345001, 2, hold, journal, batch, operation, label, memo
FROM thing WHERE ledger = 345002;
INSERT INTO thing SELECT 'own ledger, as it is', 345001, 2, h.hold_id, t.id, b.batch_id, o.id, 'secret of 345001', o.memo::text
FROM (SELECT hold_id FROM teller.hold WHERE ledger_id = 345001 AND state = 'open') AS h,
	(SELECT id FROM teller.journal WHERE ledger_id = 345001 AND kind = 'transfer' AND batch_id IS NULL) AS t,
	(SELECT DISTINCT batch_id FROM teller.journal WHERE ledger_id = 345001 AND batch_id IS NOT NULL) AS b,
	(SELECT id, memo FROM teller.operation_data WHERE ledger_id = 345001) AS o;
SELECT variant FROM thing ORDER BY variant COLLATE "C";

-- An argument, from its name and type.
CREATE FUNCTION pg_temp.argument(name text, type regtype, t pg_temp.thing) RETURNS text LANGUAGE sql AS $$
	SELECT CASE
		WHEN name = 'ledger' OR (name IS NULL AND type = 'bigint'::regtype) THEN t.ledger::text
		WHEN name IN ('debit_account', 'account', 'from_account') AND type = 'bigint'::regtype THEN t.account::text
		WHEN name = 'credit_account' THEN '1'
		WHEN name = 'memos' THEN format('ARRAY[%L::bytea]', t.memo)
		WHEN name = 'nonces' THEN format('ARRAY[%L]', t.label)
		WHEN name = 'not_after' AND type = 'timestamptz[]'::regtype THEN 'ARRAY[''2030-01-01 00:00Z''::timestamptz]'
		WHEN name = 'assets' THEN 'ARRAY[''USD'']'
		WHEN type = 'text[]'::regtype AND name IN ('directions', 'accounts') THEN 'ARRAY[''withdraw'']'
		WHEN type = 'jsonb[]'::regtype THEN 'ARRAY[NULL]::jsonb[]'
		WHEN name IN ('debit_accounts', 'accounts') THEN format('ARRAY[%s]', t.account)
		WHEN name = 'credit_accounts' THEN 'ARRAY[1]'
		WHEN name = 'hold' THEN quote_literal(t.hold)
		WHEN name IN ('operation', 'origin') THEN quote_literal(t.operation)
		WHEN name = 'operations' THEN format('ARRAY[%L]::uuid[]', t.operation)
		WHEN name = 'batch_id' THEN quote_literal(t.batch)
		WHEN name = 'memo' THEN quote_literal(t.memo) || '::bytea'
		WHEN name IN ('key', 'name', 'nonce') THEN quote_literal(t.label)
		WHEN name = 'keys' THEN format('ARRAY[%L]', t.label)
		WHEN name = 'asset' THEN quote_literal('USD')
		WHEN name = 'level' THEN quote_literal('read')
		WHEN name = 'outcome' THEN quote_literal('executed')
		WHEN name = 'cursor' THEN 'NULL'
		WHEN type = 'uuid'::regtype THEN quote_literal(t.journal)
		WHEN type = 'bigint'::regtype THEN '1'
		WHEN type = 'integer'::regtype THEN '10'
		WHEN type = 'numeric'::regtype THEN '1'
		WHEN type = 'numeric[]'::regtype THEN 'ARRAY[1]'
		WHEN type = 'boolean'::regtype THEN 'true'
		WHEN type = 'jsonb'::regtype THEN 'NULL::jsonb'
		WHEN type = 'interval'::regtype THEN quote_literal('1 day')
		WHEN type = 'timestamptz'::regtype THEN quote_literal('2030-01-01 00:00Z')
		WHEN type = 'timestamptz[]'::regtype THEN 'ARRAY[''2025-01-01 00:00Z''::timestamptz]'
		WHEN type = 'regrole'::regtype THEN quote_literal('regress_tenant_1')
		WHEN type = 'name'::regtype THEN quote_literal('regress_tenant_bank')
		WHEN type = 'text'::regtype THEN quote_literal('withdraw')
	END
$$;
-- A call with what has no default, and the key, which has.
CREATE FUNCTION pg_temp.call(function oid, t pg_temp.thing) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT string_agg(r::text, '' '') FROM %s(%s) AS r', function::regproc,
		string_agg(coalesce(a.name || ' => ', '') || pg_temp.argument(a.name, a.type, t), ', ' ORDER BY a.place))
	FROM pg_proc AS p, LATERAL (SELECT i AS place, nullif(p.proargnames[i], '') AS name, p.proargtypes[i - 1]::regtype AS type
		FROM generate_series(1, p.pronargs) AS i) AS a
	WHERE p.oid = function AND (a.place <= p.pronargs - p.pronargdefaults OR a.name IN ('ledger', 'key', 'keys')
			AND NOT (a.name = 'keys' AND 'key' = ANY (p.proargnames)))
$$;
CREATE TEMP TABLE called AS
	SELECT p.oid AS function FROM pg_proc AS p
	WHERE p.pronamespace IN ('teller'::regnamespace, 'teller_remote'::regnamespace) AND p.prokind = 'f'
		AND ('ledger' = ANY (p.proargnames) OR 'memo' = ANY (p.proargnames)
			OR (p.proargnames IS NULL OR p.proargnames[1] IN ('', 'invariant')) AND p.proargtypes[0] = 'bigint'::regtype);
SELECT count(*) >= 50 FROM called;
-- A procedure cannot be asked from inside a function; sql/transfer_early.sql does.
SELECT p.oid::regproc FROM pg_proc AS p
WHERE p.pronamespace IN ('teller'::regnamespace, 'teller_remote'::regnamespace) AND p.prokind = 'p';
-- These take no ledger, and tell of none.
SELECT p.oid::regprocedure::text COLLATE "C" AS function FROM pg_proc AS p
WHERE p.pronamespace IN ('teller'::regnamespace, 'teller_remote'::regnamespace) AND p.prokind = 'f'
	AND p.oid NOT IN (SELECT function FROM called)
ORDER BY 1;

-- What a call answers or raises, without what was asked for; taken back.
CREATE FUNCTION pg_temp.answer(query text, t pg_temp.thing) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	says text;
	detail text;
	hint text;
BEGIN
	BEGIN
		EXECUTE query INTO says;
		RAISE EXCEPTION USING ERRCODE = 'UNDO0';
	EXCEPTION
		WHEN SQLSTATE 'UNDO0' THEN
			says := 'answers ' || coalesce(says, 'nothing');
		WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			says := concat_ws(' ', sqlstate, sqlerrm, detail, hint);
	END;
	says := replace(replace(says, t.label, '<label>'), t.ledger::text, '<ledger>');
	says := regexp_replace(says, '(\\*x)?[0-9a-f]{64}', '<memo>', 'g');
	says := regexp_replace(says, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[-+0-9:]+|\w{3} \w{3} \d+ [0-9:.]+ \d{4} \w+', '<time>', 'g');
	RETURN regexp_replace(says, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g');
END
$$;
CREATE TEMP TABLE asked (function oid, variant text, query text, t pg_temp.thing, answer text);
INSERT INTO asked
SELECT c.function, t.variant, pg_temp.call(c.function, t), t
FROM called AS c, thing AS t;
-- Every argument has a value.
SELECT DISTINCT function::regprocedure FROM asked WHERE query IS NULL OR query LIKE '%(%, , %' OR query LIKE '%=> )%';
-- Where the own ledger is asked, only what differs is of interest.
DELETE FROM asked AS a WHERE a.variant LIKE 'own ledger%'
	AND NOT EXISTS (SELECT FROM asked AS b WHERE b.function = a.function AND b.variant LIKE 'own ledger%'
		AND b.query <> a.query);
GRANT SELECT, UPDATE ON asked TO PUBLIC;
SET ROLE regress_tenant_1;
UPDATE asked SET answer = pg_temp.answer(query, t);
RESET ROLE;

-- Whose memo it is that somebody else uses cannot be hidden from one who knows
-- it; but it is 256 bits that only its maker knows.
CREATE TEMP VIEW by_memo AS SELECT function FROM called
WHERE function::regproc::text IN ('teller_remote.execute', 'teller_remote.execute_many', 'teller_remote.fence');
SELECT DISTINCT answer FROM asked
WHERE function IN (SELECT function FROM by_memo) AND variant IN ('there', 'own ledger, there');
-- Another's ledger: the same whether or not what is asked for is there, and
-- whether or not the ledger is.
SELECT a.function::regprocedure, a.variant, a.answer, b.variant, b.answer
FROM asked AS a JOIN asked AS b ON b.function = a.function AND b.variant IN ('not there', 'no ledger')
WHERE a.variant = 'there' AND a.answer IS DISTINCT FROM b.answer
	AND a.function NOT IN (SELECT function FROM by_memo);
-- That is a refusal, or of some an answer that says nothing.
SELECT DISTINCT function::regprocedure::text COLLATE "C" AS function, answer FROM asked
WHERE variant = 'there' AND answer NOT LIKE '42501 permission denied for %' ORDER BY 1;
-- The own ledger: what belongs to another is what belongs to nobody.
SELECT a.function::regprocedure, a.answer, b.answer
FROM asked AS a JOIN asked AS b ON b.function = a.function AND b.variant = 'own ledger, not there'
WHERE a.variant = 'own ledger, there' AND a.answer IS DISTINCT FROM b.answer
	AND a.function NOT IN (SELECT function FROM by_memo);
-- The comparison would show a difference: these tell what is there from what is
-- not, on the own ledger.
SELECT count(*) >= 15
FROM asked AS a JOIN asked AS b ON b.function = a.function AND b.variant = 'own ledger, not there'
WHERE a.variant = 'own ledger, as it is' AND a.answer IS DISTINCT FROM b.answer;

-- A role with lower rights, or none, is told no more.
CREATE ROLE regress_tenant_nobody;
GRANT USAGE ON SCHEMA teller, teller_remote TO regress_tenant_nobody;
UPDATE asked SET answer = NULL;
SET ROLE regress_tenant_nobody;
UPDATE asked SET answer = pg_temp.answer(query, t) WHERE variant IN ('there', 'not there', 'no ledger');
RESET ROLE;
SELECT a.function::regprocedure, b.variant, a.answer, b.answer
FROM asked AS a JOIN asked AS b ON b.function = a.function AND b.variant IN ('not there', 'no ledger')
WHERE a.variant = 'there' AND a.answer IS DISTINCT FROM b.answer;
SET ROLE regress_tenant_nobody;
SELECT view, ledgers FROM pg_temp.seen() WHERE ledgers IS NOT NULL;
RESET ROLE;

-- The functions without a ledger act for all, and say no more than how much
-- there was to do.
SET ROLE regress_tenant_1;
SELECT teller.expire_due(), teller.prune_keys();
RESET ROLE;

-- Everything of all tenants is as it was.
SELECT * FROM teller.verify();
SELECT count(*) FROM teller.account WHERE ledger_id BETWEEN 345000 AND 345099 AND version <> CASE account_id WHEN 1 THEN 4 WHEN 2 THEN 7 ELSE 1 END;
SELECT count(*) FROM teller.ledger_grant WHERE ledger_id BETWEEN 345000 AND 345099;

-- Tidy up.
SELECT teller_remote.revoke_remote('regress_tenant_1', 345001);
DELETE FROM teller.settlement WHERE server = 'regress_tenant_bank';
DROP SERVER regress_tenant_bank;
DO $$
BEGIN
	FOR n IN 0..99 LOOP
		PERFORM teller.revoke_ledger(345000 + n, ('regress_tenant_' || n)::regrole);
		EXECUTE format('REVOKE ALL ON SCHEMA teller, teller_remote FROM regress_tenant_%s', n);
	END LOOP;
	FOR n IN 0..99 LOOP
		EXECUTE format('DROP ROLE regress_tenant_%s', n);
	END LOOP;
END
$$;
REVOKE ALL ON SCHEMA teller, teller_remote FROM regress_tenant_nobody;
DROP ROLE regress_tenant_nobody;
