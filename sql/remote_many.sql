-- teller_remote.execute_many: many requests of one origin in one transaction.
CREATE ROLE regress_many_shop;
CREATE ROLE regress_many_mall;
CREATE ROLE regress_many_stranger;
GRANT USAGE ON SCHEMA teller_remote
	TO regress_many_shop, regress_many_mall, regress_many_stranger;
SELECT teller.create_ledger(461);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(461, 1, 'USD', 'vault', min_balance => NULL);
SELECT teller.open_account(461, 10, 'USD', 'shop'),
	teller.open_account(461, 11, 'USD', 'mall'),
	teller.open_account(461, 20, 'USD', 'carol'),
	teller.open_account(461, 21, 'USD', 'dave', max_balance => 50),
	teller.open_account(461, 22, 'JPY', 'yuki'),
	teller.open_account(461, 23, 'USD', 'erin');
SELECT status FROM teller.transfer(461, 1, 10, 100);
SELECT status FROM teller.transfer(461, 1, 23, 30);
SELECT teller_remote.grant_remote('regress_many_shop', 461, 10);
SELECT teller_remote.grant_remote('regress_many_mall', 461, 11);
SELECT teller_remote.grant_debit('regress_many_shop', 461, 23);

-- A request is named by its nonce.
CREATE FUNCTION pg_temp.many(nonces text[], amounts numeric[],
	accounts text[] DEFAULT NULL, directions text[] DEFAULT NULL,
	assets text[] DEFAULT NULL, not_after timestamptz[] DEFAULT NULL,
	payloads jsonb[] DEFAULT NULL)
RETURNS TABLE (nonce text, status text, reason text, amount numeric,
	asset text, replayed boolean, sound boolean)
LANGUAGE sql AS $$
	SELECT n.nonce, r.status, r.reason, r.amount, r.asset, r.replayed,
		r.memo = sha256(('many ' || n.nonce)::bytea)
		AND (r.reference IS NOT NULL) = (r.status = 'executed')
	FROM ROWS FROM (unnest(nonces), teller_remote.execute_many(
		ARRAY(SELECT sha256(('many ' || u)::bytea) FROM unnest(nonces) WITH ORDINALITY AS t(u, i) ORDER BY i),
		'00000000-0000-0000-0000-00000000000a', 461,
		coalesce(directions, array_fill('withdraw'::text, ARRAY[cardinality(nonces)])),
		coalesce(accounts, array_fill('carol'::text, ARRAY[cardinality(nonces)])),
		amounts,
		coalesce(assets, array_fill('USD'::text, ARRAY[cardinality(nonces)])),
		nonces,
		coalesce(not_after, array_fill('2999-01-01 00:00Z'::timestamptz, ARRAY[cardinality(nonces)])),
		coalesce(payloads, array_fill(NULL::jsonb, ARRAY[cardinality(nonces)]))))
		AS r(nonce, memo, status, reference, reason, amount, asset, executed_at, replayed, server_now),
		LATERAL (SELECT r.nonce) AS n
$$;
CREATE FUNCTION pg_temp.error_of(query text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	context text;
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL,
		context = PG_EXCEPTION_CONTEXT;
	RETURN sqlstate || ': ' || sqlerrm
		|| CASE WHEN detail <> '' THEN ' (' || detail || ')' ELSE '' END
		|| coalesce(' [' || substring(context FROM 'item \d+ of the batch') || ']', '');
END
$$;
CREATE FUNCTION pg_temp.book() RETURNS TABLE (account bigint, posted numeric, version bigint)
LANGUAGE sql AS $$
	SELECT account_id, posted, version FROM teller.account
	WHERE ledger_id = 461 ORDER BY account_id
$$;

-- each gets the answer of execute, on top of what those before it moved; a
-- refused one stops no other
SET SESSION AUTHORIZATION regress_many_shop;
SELECT * FROM pg_temp.many(
	ARRAY['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8', 'a9', 'a10'],
	ARRAY[60, 60, 51, 50, 1, 1, 1, 0.001, 20, 1],
	ARRAY['carol', 'carol', 'dave', 'carol', 'nobody', 'shop', 'yuki', 'carol', 'erin', 'carol'],
	ARRAY['withdraw', 'withdraw', 'withdraw', 'withdraw', 'withdraw', 'withdraw', 'withdraw', 'withdraw', 'deposit', 'withdraw'],
	not_after => ARRAY['2999-01-01 00:00Z', '2999-01-01 00:00Z', '2999-01-01 00:00Z',
		'2999-01-01 00:00Z', '2999-01-01 00:00Z', '2999-01-01 00:00Z', '2999-01-01 00:00Z',
		'2999-01-01 00:00Z', '2999-01-01 00:00Z', '2001-01-01 00:00Z']::timestamptz[]);
-- the same again: every answer is repeated, one of another request is a
-- conflict, and what is new beside them is executed
SELECT * FROM pg_temp.many(ARRAY['a1', 'a2', 'a5', 'b1'], ARRAY[60, 60, 2, 5],
	ARRAY['carol', 'carol', 'nobody', 'carol']);
-- execute and execute_many know each other's memos
SELECT status, amount, replayed FROM teller_remote.execute(sha256('many b1'),
	'00000000-0000-0000-0000-00000000000a', 461, 'withdraw', 'carol', 5, 'USD',
	'b1', '2999-01-01 00:00Z', NULL);
-- a fence that came first
SELECT status FROM teller_remote.fence(sha256('many c1'),
	'00000000-0000-0000-0000-00000000000a', 'gave up');
SELECT * FROM pg_temp.many(ARRAY['c1', 'c2'], ARRAY[1, 1]);
-- nothing at all is nothing
SELECT * FROM pg_temp.many('{}', '{}');
-- payloads are kept, and are part of the request
SELECT * FROM pg_temp.many(ARRAY['p1', 'p2'], ARRAY[1, 1],
	payloads => ARRAY['{"order": 1}', NULL]::jsonb[]);
SELECT * FROM pg_temp.many(ARRAY['p1', 'p2'], ARRAY[1, 1],
	payloads => ARRAY['{"order": 1}', '{"order": 2}']::jsonb[]);
RESET SESSION AUTHORIZATION;
SELECT * FROM pg_temp.book();
-- each has a journal row of its own; those of one call are one transaction
SELECT metadata->>'nonce' AS nonce, amount, debit_version, credit_version,
	dense_rank() OVER (ORDER BY tx) AS tx, batch_id
FROM teller.journal WHERE ledger_id = 461 AND metadata ? 'memo'
ORDER BY tx, greatest(debit_version, 0);
SELECT request->>'nonce' AS nonce, status, reason, request->'payload' AS payload
FROM teller.memo WHERE ledger_id = 461 ORDER BY request->>'nonce' COLLATE "C";

-- an error stores nothing for any of them
SET SESSION AUTHORIZATION regress_many_shop;
SELECT pg_temp.error_of($$SELECT * FROM pg_temp.many(ARRAY['e1', 'e2'], ARRAY[1, 0])$$);
SELECT pg_temp.error_of($$SELECT * FROM pg_temp.many(ARRAY['e1', 'e2'], ARRAY[1, NULL])$$);
SELECT pg_temp.error_of($$SELECT * FROM pg_temp.many(ARRAY['e1', 'e1'], ARRAY[1, 1])$$);
SELECT pg_temp.error_of($$SELECT * FROM pg_temp.many(ARRAY['e1', 'e2'], ARRAY[1])$$);
SELECT pg_temp.error_of($$SELECT * FROM pg_temp.many(ARRAY['e1', 'e2'], NULL)$$);
SELECT pg_temp.error_of($$SELECT * FROM pg_temp.many(ARRAY['e1', 'e2'], ARRAY[1, 1],
	directions => ARRAY['withdraw', 'sideways'])$$);
SELECT pg_temp.error_of($$SELECT * FROM pg_temp.many(ARRAY['e1', 'e2'], ARRAY[1, 1],
	not_after => ARRAY['2999-01-01 00:00Z', 'infinity']::timestamptz[])$$);
SELECT pg_temp.error_of($$SELECT * FROM pg_temp.many(ARRAY['e1', 'e2'], ARRAY[1, 1],
	payloads => ARRAY[NULL, to_jsonb(repeat('x', 70000))])$$);
SELECT pg_temp.error_of($$SELECT * FROM pg_temp.many(
	(SELECT array_agg(i::text) FROM generate_series(1, 1001) AS i), array_fill(1::numeric, ARRAY[1001]))$$);
SELECT pg_temp.error_of($$SELECT * FROM teller_remote.execute_many(ARRAY['\x00'::bytea],
	'00000000-0000-0000-0000-00000000000a', 461, '{withdraw}', '{carol}', '{1}', '{USD}', '{e1}', '{2999-01-01}', '{null}')$$);
SELECT pg_temp.error_of($$SELECT * FROM teller_remote.execute_many('{}', NULL, 461, '{}', '{}', '{}', '{}', '{}', '{}', '{}')$$);
BEGIN READ ONLY;
SELECT pg_temp.error_of($$SELECT * FROM pg_temp.many(ARRAY['e1'], ARRAY[1])$$);
ROLLBACK;
RESET SESSION AUTHORIZATION;
-- a memo of another role, and a role without an account
SET SESSION AUTHORIZATION regress_many_mall;
SELECT pg_temp.error_of($$SELECT * FROM pg_temp.many(ARRAY['m1', 'a1'], ARRAY[1, 60])$$)
	~ '^42501: permission denied for memo' AS refused;
SET SESSION AUTHORIZATION regress_many_stranger;
SELECT pg_temp.error_of($$SELECT * FROM pg_temp.many(ARRAY['s1', 's2'], ARRAY[1, 1])$$);
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM teller.memo WHERE ledger_id = 461
	AND request->>'nonce' ~ '^[ems]';
SELECT * FROM pg_temp.book();
-- the setting of the session is as before
SHOW lock_timeout;

SELECT * FROM teller.verify();
SELECT teller_remote.revoke_remote('regress_many_shop', 461),
	teller_remote.revoke_remote('regress_many_mall', 461),
	teller_remote.revoke_debit('regress_many_shop', 461, 23);
REVOKE USAGE ON SCHEMA teller_remote
	FROM regress_many_shop, regress_many_mall, regress_many_stranger;
DROP ROLE regress_many_shop, regress_many_mall, regress_many_stranger;
