-- Continuations, as far as no worker is needed: what may be named, who runs, how
-- they fail, what verify() says.  test/t/050_continuation.pl has the rest.
\pset format unaligned
\pset tuples_only on
-- What a statement raises, without ids.
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS OR query_canceled THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN regexp_replace(concat_ws(E'\n', sqlstate || ': ' || sqlerrm,
		'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, '')),
		'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g');
END
$$;
SELECT teller.create_ledger(165), teller.create_asset('USD', 2);
SELECT teller.open_account(165, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(165, 2, 'USD', 'alice'),
	teller.open_account(165, 9, 'USD', 'at bank', min_balance => NULL);
SELECT status FROM teller.transfer(165, 1, 2, 1000);
CREATE ROLE regress_continuation_app;
CREATE ROLE regress_continuation_other;
GRANT USAGE ON SCHEMA teller TO regress_continuation_app, regress_continuation_other;
SELECT teller.grant_ledger(165, 'regress_continuation_app', 'operate'),
	teller.grant_ledger(165, 'regress_continuation_other', 'operate');
CREATE SERVER regress_continuation_bank FOREIGN DATA WRAPPER teller_postgres OPTIONS (dbname 'nowhere');
GRANT USAGE ON FOREIGN SERVER regress_continuation_bank TO regress_continuation_app, regress_continuation_other;
SELECT teller.set_settlement_account(165, 'regress_continuation_bank', 9);
CREATE SCHEMA regress_continuation AUTHORIZATION regress_continuation_app;
SET ROLE regress_continuation_app;
SET search_path = regress_continuation;
CREATE TABLE seen (nonce text, says text);
CREATE FUNCTION good(r teller.operation_result) RETURNS void LANGUAGE sql AS $$
	INSERT INTO regress_continuation.seen VALUES ((r).nonce, concat_ws(' ', (r).ledger_id, (r).account_id, (r).direction,
		(r).server, (r).amount, (r).asset, (r).counterparty, (r).payload, (r).state, (r).reason, (r).attempts,
		octet_length((r).memo), current_user, session_user = current_user, current_setting('search_path')))
$$;
CREATE FUNCTION bad(r teller.operation_result) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO regress_continuation.seen VALUES (r.nonce, 'never');
	RAISE EXCEPTION 'it would not' USING ERRCODE = 'P4711';
END $$;
CREATE FUNCTION slow(r teller.operation_result) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(600)';
CREATE PROCEDURE proc(r teller.operation_result) LANGUAGE sql AS '';
CREATE FUNCTION many(r teller.operation_result) RETURNS SETOF void LANGUAGE sql AS '';
CREATE FUNCTION answers(r teller.operation_result) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION none() RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION two(r teller.operation_result, more int DEFAULT 1) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION other(r text) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION pg_temp.passing(r teller.operation_result) RETURNS void LANGUAGE sql AS '';
RESET search_path;
RESET ROLE;

-- What may be named: a function of one teller.operation_result that returns void.
SET ROLE regress_continuation_app;
SELECT pg_temp.says(format('SELECT teller.withdraw(165, 2, ''regress_continuation_bank'', 1, ''bob'', ''n'', on_complete => %L)', f))
FROM unnest(ARRAY['regress_continuation.proc(teller.operation_result)', 'regress_continuation.many(teller.operation_result)',
	'regress_continuation.answers(teller.operation_result)', 'regress_continuation.none()',
	'regress_continuation.two(teller.operation_result,int)', 'regress_continuation.other(text)',
	'pg_catalog.max(int)', 'regress_continuation.nothing(teller.operation_result)', '1']) AS f;
SELECT left(pg_temp.says('SELECT teller.withdraw(165, 2, ''regress_continuation_bank'', 1, ''bob'', ''n'', on_doubt => ''pg_temp.passing(teller.operation_result)'')'), 5);
-- The submitter may call it.
RESET ROLE;
SET ROLE regress_continuation_other;
SELECT left(pg_temp.says('SELECT teller.withdraw(165, 2, ''regress_continuation_bank'', 1, ''bob'', ''n'', on_complete => ''regress_continuation.good(teller.operation_result)'')'), 5);
RESET ROLE;
SELECT 'regress_continuation.good'::regproc::oid AS good \gset
SET ROLE regress_continuation_other;
SELECT pg_temp.says('SELECT teller.withdraw(165, 2, ''regress_continuation_bank'', 1, ''bob'', ''n'', on_complete => ' || :good || '::regprocedure)');
RESET ROLE;
GRANT USAGE ON SCHEMA regress_continuation TO regress_continuation_other;
REVOKE EXECUTE ON FUNCTION regress_continuation.good(teller.operation_result) FROM PUBLIC;
SET ROLE regress_continuation_other;
SELECT pg_temp.says('SELECT teller.withdraw(165, 2, ''regress_continuation_bank'', 1, ''bob'', ''n'', on_complete => ''regress_continuation.good(teller.operation_result)'')');
RESET ROLE;

-- Operations made by hand, in a transaction that no worker sees.  cancel ends
-- those that are held, resolve those in doubt.
CREATE FUNCTION pg_temp.plant(nr int, state text, who regrole, complete text, doubt text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	op uuid := format('01a1fa6b-0000-7000-8000-%s', lpad(nr::text, 12, '0'));
	put uuid;
BEGIN
	SELECT id INTO put FROM teller.hold(165, 2, 9, 7, '1 day');
	UPDATE teller.hold SET operation_id = op, expires_at = NULL WHERE ledger_id = 165 AND hold_id = put;
	UPDATE teller.journal SET operation_id = op WHERE ledger_id = 165 AND hold_id = put;
	INSERT INTO teller.operation_data (ledger_id, id, account_id, settlement_account, direction, server, nonce, memo,
		amount, asset, counterparty, payload, request, arguments, fingerprint, submitter, reentrancy, ticket, hold_id, state,
		dirty, attempts, sends, rechecks, last_attempt, cancel_requested, found_nothing, not_after, expires_at,
		created_at, next_try_at, on_complete, on_doubt)
	SELECT 165, op, 2, 9, 'withdraw', 'regress_continuation_bank', 'n' || nr, memo, 7.00, 'USD', 'bob', '"x"',
		json_build_object('memo', encode(memo, 'hex'), 'origin', op, 'ledger', '165',
			'direction', 'withdraw', 'account', 'bob', 'amount', '7.00', 'asset', 'USD',
			'nonce', 'n' || nr, 'not_after', '2100-01-01 00:00:00+00'::timestamptz, 'payload', 'x'),
		'{}', sha256(convert_to('withdraw {}', getdatabaseencoding())), who, 'allow', nr, put, plant.state,
		plant.state <> 'held', 0, 0, 0, 0, false, false, '2100-01-01 00:00:00+00', '2100-01-01 00:01:00+00', now(), now(),
		'regress_continuation.' || complete || '(teller.operation_result)', 'regress_continuation.' || doubt || '(teller.operation_result)'
	FROM teller.operation_memo(op, 'withdraw', 165, 2, 'n' || nr, 7.00, 'USD', 'regress_continuation_bank', 'bob', '"x"') AS memo;
END
$$;
CREATE FUNCTION pg_temp.op(nr int) RETURNS uuid LANGUAGE sql AS $$
	SELECT format('01a1fa6b-0000-7000-8000-%s', lpad(nr::text, 12, '0'))::uuid
$$;
CREATE VIEW pg_temp.shown AS
	SELECT right(operation_id::text, 3)::int AS op, event, kind, function, role, state, attempts, running_since IS NOT NULL AS running,
		next_try_at IS NOT NULL AS waits, last_error, ended_at IS NOT NULL AS ended
	FROM teller.continuation WHERE ledger_id = 165 ORDER BY 1, 2;

-- The row comes with the end, and only if it was asked for.
BEGIN;
SELECT pg_temp.plant(1, 'held', 'regress_continuation_app', 'good', NULL),
	pg_temp.plant(2, 'held', 'regress_continuation_app', NULL, NULL),
	pg_temp.plant(3, 'in_doubt', 'regress_continuation_app', 'good', NULL);
SELECT * FROM pg_temp.shown;
SELECT teller.cancel(165, pg_temp.op(n)) FROM generate_series(1, 2) AS n;
SELECT * FROM pg_temp.shown;
SELECT teller.resolve(165, pg_temp.op(3), 'executed', 'ref', 'seen');
SELECT * FROM pg_temp.shown;
SELECT * FROM teller.verify(165);
-- They run once, as the submitter.
SELECT teller.run_continuations(165);
SELECT * FROM pg_temp.shown;
SELECT * FROM regress_continuation.seen ORDER BY nonce;
SELECT teller.run_continuations(165), current_user = session_user, current_setting('search_path');
SELECT count(*) FROM regress_continuation.seen;
SELECT * FROM teller.verify(165);
ROLLBACK;
SELECT count(*) FROM regress_continuation.seen;

-- What fails is undone, noted, tried again and parked; the others run.
BEGIN;
SELECT pg_temp.plant(1, 'held', 'regress_continuation_app', 'bad', NULL),
	pg_temp.plant(2, 'held', 'regress_continuation_app', 'good', NULL);
SELECT teller.cancel(165, pg_temp.op(n)) FROM generate_series(1, 2) AS n;
SELECT teller.run_continuations(165);
SELECT * FROM pg_temp.shown;
SELECT nonce FROM regress_continuation.seen;
-- A back-off of at most half a second is before it.
SELECT max(next_try_at - now()) < '1 minute', teller.run_continuations(165) FROM teller.continuation WHERE ledger_id = 165;
DO $$
BEGIN
	FOR i IN 1..20 LOOP
		UPDATE teller.continuation_data SET next_try_at = now() WHERE ledger_id = 165 AND state = 'waiting';
		PERFORM teller.run_continuations(165);
	END LOOP;
END $$;
SELECT * FROM pg_temp.shown;
SELECT state, reason FROM teller.operation WHERE ledger_id = 165 ORDER BY id;
SELECT * FROM teller.verify(165);
-- By the submitter's members or the owner it is put back.
SET ROLE regress_continuation_other;
SELECT pg_temp.says('SELECT teller.retry_continuation(165, pg_temp.op(1), ''on_complete'')');
RESET ROLE;
SET ROLE regress_continuation_app;
SELECT pg_temp.says('SELECT teller.retry_continuation(165, pg_temp.op(1), ''on_doubt'')');
SELECT pg_temp.says('SELECT teller.retry_continuation(165, pg_temp.op(2), ''on_complete'')');
SELECT pg_temp.says('SELECT teller.retry_continuation(165, pg_temp.op(7), ''on_complete'')');
SELECT pg_temp.says('SELECT teller.retry_continuation(166, pg_temp.op(1), ''on_complete'')');
SELECT pg_temp.says('SELECT teller.retry_continuation(165, pg_temp.op(1), ''sometimes'')');
SELECT pg_temp.says('SELECT teller.retry_continuation(165, pg_temp.op(1), NULL)');
SELECT pg_temp.says('SELECT teller.retry_continuation(165, NULL, ''on_complete'')');
SELECT pg_temp.says('SELECT teller.retry_continuation(NULL, pg_temp.op(1), ''on_complete'')');
SELECT teller.retry_continuation(165, pg_temp.op(1), 'on_complete');
SELECT pg_temp.says('SELECT teller.retry_continuation(165, pg_temp.op(1), ''on_complete'')');
RESET ROLE;
SELECT * FROM pg_temp.shown;
CREATE OR REPLACE FUNCTION regress_continuation.bad(r teller.operation_result) RETURNS void LANGUAGE sql AS '';
SELECT teller.run_continuations(165);
SELECT * FROM pg_temp.shown;
ROLLBACK;

-- The function is looked up, and the right to it tested, when it runs.  Without
-- its role it is given up at once.
BEGIN;
SELECT pg_temp.plant(1, 'held', 'regress_continuation_app', 'gone', NULL),
	pg_temp.plant(2, 'held', 'regress_continuation_other', 'good', NULL),
	pg_temp.plant(3, 'held', 'regress_continuation_app', 'answers', NULL),
	pg_temp.plant(4, 'held', 'regress_continuation_other', 'slow', NULL);
SELECT teller.cancel(165, pg_temp.op(n)) FROM generate_series(1, 3) AS n;
SELECT teller.run_continuations(165);
SELECT * FROM pg_temp.shown;
SELECT teller.cancel(165, pg_temp.op(4));
SELECT teller.revoke_ledger(165, 'regress_continuation_other');
DROP OWNED BY regress_continuation_other;
DROP ROLE regress_continuation_other;
SELECT teller.run_continuations(165);
SELECT state, attempts, regexp_replace(last_error, '\d{5,}', 'N') FROM teller.continuation
WHERE ledger_id = 165 AND operation_id = pg_temp.op(4);
ROLLBACK;

-- A cancel of the caller's own is his.
BEGIN;
SELECT pg_temp.plant(1, 'held', 'regress_continuation_app', 'slow', NULL);
SELECT teller.cancel(165, pg_temp.op(1));
SET LOCAL statement_timeout = '100ms';
SELECT pg_temp.says('SELECT teller.run_continuations(165)');
RESET statement_timeout;
SELECT * FROM pg_temp.shown;
ROLLBACK;

-- Who may run them by hand, and where.
SET ROLE regress_continuation_app;
SELECT pg_temp.says('SELECT teller.run_continuations(165)');
RESET ROLE;
SELECT pg_temp.says('SELECT teller.run_continuations(NULL)');
SELECT pg_temp.says('SELECT teller.run_continuations(165, NULL)');
SELECT pg_temp.says('SELECT teller.run_continuations(165, 0)');
SELECT pg_temp.says('SELECT teller.run_continuations(165, 10001)');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_temp.says('SELECT teller.run_continuations(165)');
ROLLBACK;
BEGIN;
UPDATE teller.instance SET system_identifier = system_identifier + 1;
SELECT pg_temp.says('SELECT teller.run_continuations(165)');
ROLLBACK;
-- Not by one of them.
BEGIN;
SELECT pg_temp.plant(1, 'held', current_user::regrole, 'again', NULL);
CREATE FUNCTION regress_continuation.again(r teller.operation_result) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM teller.run_continuations(165);
END $$;
SELECT teller.cancel(165, pg_temp.op(1));
SELECT teller.run_continuations(165);
SELECT last_error FROM pg_temp.shown;
ROLLBACK;

-- verify() compares the rows with their operations.
CREATE FUNCTION pg_temp.finds(breakage text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	found text[];
BEGIN
	BEGIN
		EXECUTE breakage;
		SELECT array_agg(DISTINCT regexp_replace(concat_ws(' ', invariant, object, detail),
			'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{9}', '', 'g') COLLATE "C")
		INTO found FROM teller.verify(165) WHERE invariant = 'continuation';
		RAISE EXCEPTION 'undo';
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
	RETURN QUERY SELECT unnest(coalesce(found, ARRAY['nothing']));
END
$$;
BEGIN;
SELECT pg_temp.plant(1, 'held', 'regress_continuation_app', 'good', 'good'),
	pg_temp.plant(2, 'in_doubt', 'regress_continuation_app', 'good', 'good'),
	pg_temp.plant(3, 'held', 'regress_continuation_app', NULL, NULL);
INSERT INTO teller.continuation_data VALUES (165, pg_temp.op(2), 1, 'on_doubt', 'waiting', 0, 0, NULL, now(), NULL, now(), NULL);
SELECT teller.cancel(165, pg_temp.op(1)), teller.cancel(165, pg_temp.op(3));
SELECT pg_temp.finds('SELECT 1');
SELECT pg_temp.finds('DELETE FROM teller.continuation_data WHERE ledger_id = 165 AND kind = ''on_complete''');
SELECT pg_temp.finds('DELETE FROM teller.continuation_data WHERE ledger_id = 165 AND kind = ''on_doubt''');
SELECT pg_temp.finds('UPDATE teller.continuation_data SET event = 2 WHERE ledger_id = 165');
SELECT pg_temp.finds('UPDATE teller.continuation_data SET kind = ''on_complete'' WHERE ledger_id = 165 AND kind = ''on_doubt''');
SELECT pg_temp.finds('UPDATE teller.continuation_data SET operation_id = pg_temp.op(4) WHERE ledger_id = 165 AND kind = ''on_complete''');
SELECT pg_temp.finds('UPDATE teller.operation_data SET on_complete = NULL WHERE ledger_id = 165');
SELECT pg_temp.finds('UPDATE teller.operation_data SET on_complete = ''x'' WHERE ledger_id = 165');
SELECT pg_temp.finds($$INSERT INTO teller.continuation_data VALUES (165, pg_temp.op(1), 2, 'on_doubt', 'done', 1, 0, NULL, NULL, NULL, now(), now())$$);
SELECT pg_temp.finds($$INSERT INTO teller.continuation_data VALUES (165, pg_temp.op(1), 2, 'on_complete', 'done', 1, 0, NULL, NULL, NULL, now(), now())$$);
ROLLBACK;

-- Nothing of all this left a trace.
SELECT count(*) FROM teller.continuation_data WHERE ledger_id = 165;
SELECT * FROM teller.verify(165);
DROP SCHEMA regress_continuation CASCADE;
DROP FUNCTION pg_temp.passing;
DROP SERVER regress_continuation_bank;
SELECT teller.revoke_ledger(165, 'regress_continuation_app'), teller.revoke_ledger(165, 'regress_continuation_other');
DROP OWNED BY regress_continuation_app, regress_continuation_other;
DROP ROLE regress_continuation_app, regress_continuation_other;
