-- teller_remote: this database as the remote ledger of another.
--
-- shop and mall are two calling ledgers.  On ledger 700 both have an account,
-- and carol and dave are customers of this bank; mall is on ledger 701 too.
CREATE ROLE regress_remote_shop;
CREATE ROLE regress_remote_mall;
CREATE ROLE regress_remote_stranger;
GRANT USAGE ON SCHEMA teller_remote
	TO regress_remote_shop, regress_remote_mall, regress_remote_stranger;

SELECT teller.create_ledger(700), teller.create_ledger(701);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(700, 1, 'USD', 'vault', min_balance => NULL);
SELECT teller.open_account(700, 10, 'USD', 'shop'),
	teller.open_account(700, 11, 'USD', 'mall'),
	teller.open_account(700, 20, 'USD', 'carol'),
	teller.open_account(700, 21, 'USD', 'dave', max_balance => 50),
	teller.open_account(700, 22, 'JPY', 'yuki');
SELECT teller.open_account(701, 10, 'USD', 'mall'),
	teller.open_account(701, 20, 'USD', 'erin');
SELECT status FROM teller.transfer(700, 1, 10, 100);
SELECT status FROM teller.transfer(700, 1, 20, 30);

-- What a call returns, without what differs from run to run.
CREATE FUNCTION pg_temp.ask(request text, amount numeric,
	account text DEFAULT 'carol', direction text DEFAULT 'withdraw',
	ledger bigint DEFAULT 700, asset text DEFAULT 'USD',
	nonce text DEFAULT NULL, not_after timestamptz DEFAULT '2999-01-01 00:00Z',
	payload jsonb DEFAULT NULL,
	origin uuid DEFAULT '00000000-0000-0000-0000-00000000000a')
RETURNS TABLE (status text, reason text, amount numeric, asset text,
	replayed boolean, sound boolean)
LANGUAGE sql AS $$
	SELECT r.status, r.reason, r.amount, r.asset, r.replayed,
		r.memo = sha256(request::bytea)
		AND r.server_now BETWEEN clock_timestamp() - interval '1 minute'
			AND clock_timestamp()
		AND (r.reference IS NOT NULL) = (r.status = 'executed')
		AND (r.executed_at IS NULL) = (r.status = 'conflict')
	FROM teller_remote.execute(sha256(request::bytea), origin, ledger, direction,
		account, amount, asset, coalesce(nonce, request), not_after, payload) AS r
$$;
CREATE FUNCTION pg_temp.lookup(request text)
RETURNS TABLE (status text, reason text, amount numeric, asset text,
	replayed boolean)
LANGUAGE sql AS $$
	SELECT r.status, r.reason, r.amount, r.asset, r.replayed
	FROM teller_remote.lookup(sha256(request::bytea)) AS r
$$;
CREATE FUNCTION pg_temp.fence(request text, reason text DEFAULT 'gave up')
RETURNS TABLE (status text, reason text, amount numeric, asset text,
	replayed boolean)
LANGUAGE sql AS $$
	SELECT r.status, r.reason, r.amount, r.asset, r.replayed
	FROM teller_remote.fence(sha256(request::bytea),
		'00000000-0000-0000-0000-00000000000a', reason) AS r
$$;
CREATE FUNCTION pg_temp.error_of(query text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN sqlstate || ': ' || sqlerrm
		|| CASE WHEN detail <> '' THEN ' (' || detail || ')' ELSE '' END;
END
$$;
CREATE FUNCTION pg_temp.book() RETURNS TABLE (account bigint, posted numeric, version bigint)
LANGUAGE sql AS $$
	SELECT account_id, posted, version FROM teller.account
	WHERE ledger_id = 700 ORDER BY account_id
$$;
-- Everything a call could leave behind.
CREATE FUNCTION pg_temp.everything() RETURNS text LANGUAGE sql AS $$
	SELECT md5(concat(
		(SELECT string_agg(m::text, '|' ORDER BY memo) FROM teller.memo AS m),
		(SELECT string_agg(j::text, '|' ORDER BY ledger_id, id)
			FROM teller.journal AS j WHERE ledger_id BETWEEN 700 AND 799),
		(SELECT string_agg(a::text, '|' ORDER BY ledger_id, account_id)
			FROM teller.account AS a WHERE ledger_id BETWEEN 700 AND 799),
		(SELECT string_agg(g::text, '|' ORDER BY ledger_id, grantee)
			FROM teller.remote_grant AS g WHERE ledger_id BETWEEN 700 AND 799),
		(SELECT string_agg(d::text, '|' ORDER BY ledger_id, grantee, account_id)
			FROM teller.remote_mandate AS d WHERE ledger_id BETWEEN 700 AND 799)))
$$;

-- Grants: the same again is a no-op, another account is not.
SELECT teller_remote.grant_remote('regress_remote_shop', 700, 10);
SELECT teller_remote.grant_remote('regress_remote_shop', 700, 10);
SELECT teller_remote.grant_remote('regress_remote_mall', 700, 11);
SELECT teller_remote.grant_remote('regress_remote_mall', 701, 10);
SELECT teller_remote.grant_remote('regress_remote_shop', 700, 11);
SELECT teller_remote.grant_remote('regress_remote_shop', 700, 99);
SELECT teller_remote.grant_debit('regress_remote_shop', 799, 20);
SELECT pg_temp.error_of(format('SELECT teller_remote.%s', call)) AS error
FROM unnest(ARRAY[
	'grant_remote(NULL, 700, 10)', 'grant_remote(''regress_remote_shop'', NULL, 10)',
	'grant_remote(''regress_remote_shop'', 700, NULL)',
	'grant_debit(NULL, 700, 10)', 'grant_debit(''regress_remote_shop'', NULL, 10)',
	'grant_debit(''regress_remote_shop'', 700, NULL)',
	'revoke_remote(NULL, 700)', 'revoke_remote(''regress_remote_shop'', NULL)',
	'revoke_debit(NULL, 700, 10)', 'revoke_debit(''regress_remote_shop'', NULL, 10)',
	'revoke_debit(''regress_remote_shop'', 700, NULL)',
	'grant_remote(0, 700, 10)']) AS call;

-- What a role sees of itself.
SET ROLE regress_remote_shop;
SELECT c - 'version' - 'server_now' AS capabilities
FROM teller_remote.capabilities() AS c;
SET ROLE regress_remote_stranger;
SELECT teller_remote.capabilities() -> 'grants' AS grants;

-- A withdrawal moves money from the caller's account to the named one, once.
SET ROLE regress_remote_shop;
SELECT * FROM pg_temp.ask('w1', 40);
SELECT * FROM pg_temp.ask('w1', 40);
SELECT * FROM pg_temp.ask('w1', 40.00, payload => NULL);
RESET ROLE;
SELECT * FROM pg_temp.book();
SELECT kind, debit_account, credit_account, amount,
	metadata = jsonb_build_object('memo', encode(sha256('w1'), 'hex'),
		'origin', '00000000-0000-0000-0000-00000000000a', 'nonce', 'w1') AS metadata
FROM teller.journal AS j
WHERE ledger_id = 700
	AND id::text = (SELECT reference FROM teller.memo WHERE memo = sha256('w1'));

-- The memo comes before any rule: the money is gone, the answer is not.
SET ROLE regress_remote_shop;
SELECT * FROM pg_temp.ask('w2', 60);
SELECT * FROM pg_temp.ask('w3', 0.01);
SELECT * FROM pg_temp.ask('w2', 60);

-- And a refusal stays a refusal when the money is there again.
RESET ROLE;
SELECT status FROM teller.transfer(700, 1, 10, 100);
SET ROLE regress_remote_shop;
SELECT * FROM pg_temp.ask('w3', 0.01);

-- Refusals: each is stored, none moves money.
SELECT * FROM pg_temp.ask('r1', 1, account => 'nobody');
SELECT * FROM pg_temp.ask('r2', 1, account => '');
SELECT * FROM pg_temp.ask('r3', 1, account => repeat('x', 300));
SELECT * FROM pg_temp.ask('r4', 1, account => 'shop');
SELECT * FROM pg_temp.ask('r5', 1, asset => 'JPY');
SELECT * FROM pg_temp.ask('r6', 1, account => 'yuki');
SELECT * FROM pg_temp.ask('r7', 1.005);
SELECT * FROM pg_temp.ask('r8', 1e36);
SELECT * FROM pg_temp.ask('r9', 999999999999999999999999999999999999.99);
SELECT * FROM pg_temp.ask('r10', 50.01, account => 'dave');
SELECT * FROM pg_temp.ask('r11', 1, not_after => '2000-01-01 00:00Z');
SELECT reason, reason IS NOT DISTINCT FROM 'invalid_amount' AS refused
FROM pg_temp.ask('r12', 1e1000);
SELECT * FROM pg_temp.ask('r1', 1, account => 'nobody');
SELECT * FROM pg_temp.ask('r11', 1, not_after => '2000-01-01 00:00Z');

-- Money of others takes a mandate.
SELECT * FROM pg_temp.ask('d1', 5, direction => 'deposit');
RESET ROLE;
SELECT teller_remote.grant_debit('regress_remote_shop', 700, 20);
SELECT teller_remote.grant_debit('regress_remote_shop', 700, 20);
SET ROLE regress_remote_shop;
SELECT * FROM pg_temp.ask('d1', 5, direction => 'deposit');
SELECT * FROM pg_temp.ask('d2', 5, direction => 'deposit');
SELECT * FROM pg_temp.ask('d3', 1, direction => 'deposit', account => 'dave');
SELECT * FROM pg_temp.ask('d4', 1000, direction => 'deposit');
SELECT teller_remote.capabilities() -> 'grants' AS grants;
RESET ROLE;
SELECT * FROM pg_temp.book();

-- The same memo with another request: nothing is done, nothing is stored.
SELECT pg_temp.everything() AS before \gset
SET ROLE regress_remote_shop;
SELECT * FROM pg_temp.ask('w1', 41);
SELECT * FROM pg_temp.ask('w1', 40, account => 'dave');
SELECT * FROM pg_temp.ask('w1', 40, direction => 'deposit');
SELECT * FROM pg_temp.ask('w1', 40, asset => 'JPY');
SELECT * FROM pg_temp.ask('w1', 40, ledger => 701);
SELECT * FROM pg_temp.ask('w1', 40, nonce => 'w2');
SELECT * FROM pg_temp.ask('w1', 40, payload => '{"a": 1}');
SELECT * FROM pg_temp.ask('w1', 40, origin => '00000000-0000-0000-0000-00000000000b');
-- But a repeat with another not_after is a repeat.
SELECT * FROM pg_temp.ask('w1', 40, not_after => '2999-01-01 00:00:00.000001Z');
RESET ROLE;
SELECT pg_temp.everything() = :'before' AS unchanged;

-- The payload is part of the request; how its JSON was written is not.
SET ROLE regress_remote_shop;
SELECT * FROM pg_temp.ask('p1', 1, payload => '{"a": 1.0, "b": [null]}');
SELECT * FROM pg_temp.ask('p1', 1, payload => '{"b":[null],"a":1.00}');
SELECT * FROM pg_temp.ask('p1', 1, payload => '{"a": 1.0}');

-- lookup tells what is stored.
SELECT * FROM pg_temp.lookup('w1');
SELECT * FROM pg_temp.lookup('w3');
SELECT * FROM pg_temp.lookup('r11');
SELECT * FROM pg_temp.lookup('unheard of');

-- fence answers what is stored, or sees to it that nothing ever will be.
SELECT * FROM pg_temp.fence('w1');
SELECT * FROM pg_temp.fence('w3');
SELECT * FROM pg_temp.fence('r11');
SELECT * FROM pg_temp.fence('f1');
SELECT * FROM pg_temp.fence('f1', 'another reason');
SELECT * FROM pg_temp.fence('f2', NULL);
SELECT * FROM pg_temp.ask('f1', 1);
SELECT * FROM pg_temp.ask('f1', 2, account => 'nobody');
SELECT * FROM pg_temp.lookup('f1');

-- In one transaction too.
BEGIN;
SELECT * FROM pg_temp.ask('t1', 1);
SELECT * FROM pg_temp.ask('t1', 1);
SELECT * FROM pg_temp.fence('t1');
SELECT * FROM pg_temp.fence('t2');
SELECT * FROM pg_temp.ask('t2', 1);
COMMIT;
BEGIN;
SELECT * FROM pg_temp.ask('t3', 1);
ROLLBACK;
SELECT * FROM pg_temp.lookup('t3');

-- The memos of another role: not seen, not used, not cancelled.
SET ROLE regress_remote_mall;
SELECT * FROM pg_temp.lookup('w1');
SELECT * FROM pg_temp.ask('w1', 40);
SELECT * FROM pg_temp.fence('w1');
SELECT * FROM pg_temp.fence('f1');
SELECT count(*) FROM teller_remote.list_since(
	'00000000-0000-0000-0000-00000000000a', '-infinity', 10000);
-- Nor by a role that has no account at all, which is told nothing: the same
-- for a memo that is there and one that is not, a ledger that exists or not.
SET ROLE regress_remote_stranger;
SELECT * FROM pg_temp.lookup('w1');
SELECT * FROM pg_temp.ask('w1', 40);
SELECT * FROM pg_temp.ask('w99', 40);
SELECT * FROM pg_temp.ask('w1', 40, ledger => 799);
SELECT * FROM pg_temp.fence('w1');
SELECT * FROM pg_temp.fence('w99');
-- An account on one ledger is none on another.
SET ROLE regress_remote_shop;
SELECT * FROM pg_temp.ask('x1', 1, account => 'erin', ledger => 701);
SELECT * FROM pg_temp.ask('x1', 1, account => 'erin', ledger => 799);
-- Membership is not the role itself.
RESET ROLE;
GRANT regress_remote_shop TO regress_remote_stranger;
SET ROLE regress_remote_stranger;
SELECT * FROM pg_temp.ask('x2', 1);
SELECT teller_remote.grant_remote('regress_remote_stranger', 700, 10);
SELECT teller_remote.grant_debit('regress_remote_stranger', 700, 10);
SELECT teller_remote.revoke_remote('regress_remote_shop', 700);
SELECT teller_remote.revoke_debit('regress_remote_shop', 700, 20);
RESET ROLE;
REVOKE regress_remote_shop FROM regress_remote_stranger;

-- What is not a request raises, and leaves nothing behind.
SELECT pg_temp.everything() AS before \gset
SET ROLE regress_remote_shop;
SELECT pg_temp.error_of(format('SELECT teller_remote.execute(%s)', arguments)) AS error
FROM unnest(ARRAY[
	$$NULL, gen_random_uuid(), 700, 'withdraw', 'carol', 1, 'USD', 'n', '2999-01-01', NULL$$,
	$$sha256('e'), NULL, 700, 'withdraw', 'carol', 1, 'USD', 'n', '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), NULL, 'withdraw', 'carol', 1, 'USD', 'n', '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, NULL, 'carol', 1, 'USD', 'n', '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'withdraw', NULL, 1, 'USD', 'n', '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'withdraw', 'carol', NULL, 'USD', 'n', '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'withdraw', 'carol', 1, NULL, 'n', '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'withdraw', 'carol', 1, 'USD', NULL, '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'withdraw', 'carol', 1, 'USD', 'n', NULL, NULL$$,
	$$'\x00', gen_random_uuid(), 700, 'withdraw', 'carol', 1, 'USD', 'n', '2999-01-01', NULL$$,
	$$sha512('e'), gen_random_uuid(), 700, 'withdraw', 'carol', 1, 'USD', 'n', '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'Withdraw', 'carol', 1, 'USD', 'n', '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'withdraw', 'carol', 0, 'USD', 'n', '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'withdraw', 'carol', -1, 'USD', 'n', '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'withdraw', 'carol', 'NaN', 'USD', 'n', '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'withdraw', 'carol', 'Infinity', 'USD', 'n', '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'withdraw', 'carol', '-Infinity', 'USD', 'n', '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'withdraw', 'carol', 1, 'USD', 'n', 'infinity', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'withdraw', 'carol', 1, 'USD', repeat('n', 70000), '2999-01-01', NULL$$,
	$$sha256('e'), gen_random_uuid(), 700, 'withdraw', 'carol', 1, 'USD', 'n', '2999-01-01', to_jsonb(repeat('p', 70000))$$
	]) AS arguments;
SELECT pg_temp.error_of(format('SELECT teller_remote.%s', call)) AS error
FROM unnest(ARRAY[
	$$lookup(NULL)$$, $$lookup('')$$,
	$$fence(NULL, gen_random_uuid(), 'r')$$, $$fence('\x01', gen_random_uuid(), 'r')$$,
	$$fence(sha256('e'), NULL, 'r')$$, $$fence(sha256('e'), gen_random_uuid(), '')$$,
	$$fence(sha256('e'), gen_random_uuid(), repeat('r', 256))$$,
	$$list_since(NULL, now(), 1)$$, $$list_since(gen_random_uuid(), NULL, 1)$$,
	$$list_since(gen_random_uuid(), now(), NULL)$$, $$list_since(gen_random_uuid(), now(), 0)$$,
	$$list_since(gen_random_uuid(), now(), 10001)$$]) AS call;
BEGIN READ ONLY;
SELECT * FROM pg_temp.lookup('w1');
SELECT teller_remote.capabilities() -> 'writable' AS writable;
SAVEPOINT s;
SELECT * FROM pg_temp.ask('w1', 40);
ROLLBACK TO s;
SELECT * FROM pg_temp.fence('w1');
ROLLBACK;
RESET ROLE;
SELECT pg_temp.everything() = :'before' AS unchanged;

-- list_since: by time, then memo; in pages; of one origin.
SET ROLE regress_remote_shop;
SELECT status, count(*), bool_and(replayed) AS replayed
FROM teller_remote.list_since('00000000-0000-0000-0000-00000000000a', '-infinity', 10000)
GROUP BY status ORDER BY status;
SELECT count(*) FROM teller_remote.list_since(
	'00000000-0000-0000-0000-00000000000b', '-infinity', 10000);
WITH RECURSIVE page AS (
	SELECT memo, executed_at FROM teller_remote.list_since(
		'00000000-0000-0000-0000-00000000000a', '-infinity', 1)
	UNION ALL
	SELECT n.memo, n.executed_at FROM page, teller_remote.list_since(
		'00000000-0000-0000-0000-00000000000a', page.executed_at, 1) AS n)
SELECT count(*), count(*) = (SELECT count(DISTINCT executed_at)
	FROM teller_remote.list_since('00000000-0000-0000-0000-00000000000a', '-infinity', 10000)) AS all_seen
FROM page;
SELECT array_agg(memo) = array_agg(memo ORDER BY executed_at, memo) AS in_order
FROM teller_remote.list_since('00000000-0000-0000-0000-00000000000a', '-infinity', 10000);

-- An answer is durable whatever the session says.
SET synchronous_commit = off;
BEGIN;
SELECT status FROM pg_temp.ask('s1', 1);
SHOW synchronous_commit;
COMMIT;
SHOW synchronous_commit;
RESET synchronous_commit;

-- Without the grant there is nothing new, but the answers remain.
RESET ROLE;
SELECT teller_remote.revoke_debit('regress_remote_shop', 700, 20);
SELECT teller_remote.revoke_debit('regress_remote_shop', 700, 20);
SET ROLE regress_remote_shop;
SELECT * FROM pg_temp.ask('d5', 5, direction => 'deposit');
RESET ROLE;
SELECT teller_remote.revoke_remote('regress_remote_shop', 700);
SELECT teller_remote.revoke_remote('regress_remote_shop', 700);
SET ROLE regress_remote_shop;
SELECT * FROM pg_temp.ask('z1', 1);
SELECT * FROM pg_temp.fence('z1');
SELECT * FROM pg_temp.ask('w1', 40);
SELECT * FROM pg_temp.ask('w1', 41);
SELECT * FROM pg_temp.lookup('w1');
SELECT * FROM pg_temp.fence('w1');
RESET ROLE;

-- Nothing in the path of names stands in the way.
CREATE SCHEMA regress_remote_path;
CREATE FUNCTION regress_remote_path.coalesce_eq(bigint, bigint) RETURNS boolean
	LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR regress_remote_path.= (LEFTARG = bigint, RIGHTARG = bigint,
	FUNCTION = regress_remote_path.coalesce_eq);
CREATE TEMP TABLE memo (memo bytea);
CREATE TEMP TABLE remote_grant (LIKE teller.remote_grant);
SET search_path = regress_remote_path, pg_temp, pg_catalog;
SELECT teller_remote.grant_remote('regress_remote_shop', 700, 11);
GRANT USAGE ON SCHEMA regress_remote_path TO regress_remote_shop;
SET ROLE regress_remote_shop;
SELECT jsonb_array_length(teller_remote.capabilities() -> 'grants') AS grants;
SELECT count(*) > 20 AS listed FROM teller_remote.list_since(
	'00000000-0000-0000-0000-00000000000a', '-infinity', 10000);
RESET ROLE;
RESET search_path;
DROP SCHEMA regress_remote_path CASCADE;

SELECT * FROM pg_temp.book();
SELECT status, count(*) FROM teller.memo
WHERE origin = '00000000-0000-0000-0000-00000000000a'
GROUP BY status ORDER BY status;
-- One effect for each executed memo, none for the others.
SELECT count(*) AS executed, count(j.id) AS in_journal
FROM teller.memo AS m
LEFT JOIN teller.journal AS j
	ON j.ledger_id = m.ledger_id AND j.id::text = m.reference
		AND j.metadata ->> 'memo' = encode(m.memo, 'hex') AND j.amount = m.amount
WHERE m.status = 'executed' AND m.ledger_id = 700;
SELECT * FROM teller.verify(700);

SELECT teller_remote.revoke_remote('regress_remote_shop', 700),
	teller_remote.revoke_remote('regress_remote_mall', 700),
	teller_remote.revoke_remote('regress_remote_mall', 701);
DROP OWNED BY regress_remote_shop, regress_remote_mall, regress_remote_stranger;
DROP ROLE regress_remote_shop, regress_remote_mall, regress_remote_stranger;
