-- Pull servers: an application claims operations, carries them out and tells
-- what came of them.  All of it without a worker; the files under
-- test/isolation with pull in their names have the races, test/t/054_pull.pl
-- the leases that run out.
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
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT;
	RETURN regexp_replace(concat_ws(E'\n', sqlstate || ': ' || sqlerrm,
		'DETAIL: ' || nullif(detail, ''), 'HINT: ' || left(nullif(hint, ''), 100)),
		'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g');
END
$$;
SELECT teller.create_ledger(381), teller.create_ledger(382), teller.create_ledger(383);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(l, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(l, 9, 'USD', 'at provider', min_balance => NULL),
	teller.open_account(l, 2, 'USD', 'alice'),
	(SELECT status FROM teller.transfer(l, 1, 2, 1000))
FROM generate_series(381, 383) AS l;
CREATE ROLE regress_pull_worker;
GRANT USAGE ON SCHEMA teller TO regress_pull_worker;

-- The wrapper knows policy and nothing of a network.
SELECT pg_temp.says($$CREATE SERVER regress_pull FOREIGN DATA WRAPPER teller_pull OPTIONS (host 'localhost')$$);
SELECT pg_temp.says($$CREATE SERVER regress_pull FOREIGN DATA WRAPPER teller_pull OPTIONS (url 'https://x')$$);
SELECT pg_temp.says($$CREATE SERVER regress_pull FOREIGN DATA WRAPPER teller_pull OPTIONS (max_in_flight '0')$$);
SELECT pg_temp.says($$CREATE SERVER regress_pull FOREIGN DATA WRAPPER teller_pull OPTIONS (password 'x')$$);
CREATE SERVER regress_pull FOREIGN DATA WRAPPER teller_pull
	OPTIONS (ledger '7', max_in_flight '4', timeout '3 s', can_fence 'on', can_lookup 'on', honours_memo 'on', memo_retention '1 d');
SELECT pg_temp.says($$CREATE USER MAPPING FOR PUBLIC SERVER regress_pull OPTIONS (user 'x')$$);
CREATE SERVER regress_pull_bank FOREIGN DATA WRAPPER teller_postgres OPTIONS (dbname 'nowhere');
SELECT teller.set_settlement_account(l, 'regress_pull', 9) FROM generate_series(381, 383) AS l;
SELECT * FROM teller.check_server(381, 'regress_pull');

-- What the calls refuse.
SELECT pg_temp.says($$SELECT teller.claim(NULL, 1, '1 min')$$);
SELECT pg_temp.says($$SELECT teller.claim('regress_pull', NULL, '1 min')$$);
SELECT pg_temp.says($$SELECT teller.claim('regress_pull', 1, NULL)$$);
SELECT pg_temp.says(format($$SELECT teller.claim('regress_pull', %s, '1 min')$$, n)) FROM unnest(ARRAY[0, 1001, -1]) AS n;
SELECT pg_temp.says(format($$SELECT teller.claim('regress_pull', 1, %L)$$, n)) FROM unnest(ARRAY['0.9 s', '61 min', '-1 s', '1 month']) AS n;
SELECT pg_temp.says($$SELECT teller.claim('regress_nowhere', 1, '1 min')$$);
SELECT pg_temp.says($$SELECT teller.claim('regress_pull_bank', 1, '1 min')$$);
BEGIN READ ONLY;
SELECT pg_temp.says($$SELECT teller.claim('regress_pull', 1, '1 min')$$);
ROLLBACK;
SET ROLE regress_pull_worker;
SELECT pg_temp.says($$SELECT teller.claim('regress_pull', 1, '1 min')$$);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER regress_pull TO regress_pull_worker;

-- Submitted without a worker.  One is claimed, and no longer due.
SELECT state FROM teller.withdraw(381, 2, 'regress_pull', 70, 'bob', 'one', '{"invoice": 1}', expires_in => '1 day');
SELECT id AS one FROM teller.operation WHERE ledger_id = 381 AND nonce = 'one' \gset
SELECT ledger_id, id = :'one' AS same, token, lease_until > clock_timestamp() AS leased,
	lease_until < clock_timestamp() + '1 min' AS no_longer, request - 'memo' - 'origin' - 'not_after' AS request,
	request ->> 'memo' = encode(memo, 'hex') AS memo
FROM teller.claim('regress_pull', 10, '1 min');
SELECT count(*) FROM teller.claim('regress_pull', 10, '1 min');
SELECT state, attempts, dirty FROM teller.operation WHERE id = :'one';
SELECT attempt, verb, outcome FROM teller.attempt WHERE operation_id = :'one';

-- The worker's words about it.  What is wrong about a call changes nothing.
SELECT memo AS memo FROM teller.operation WHERE id = :'one' \gset
SELECT pg_temp.says(format($$SELECT teller.complete(%s, %L, %s, %s, %s)$$, l, o, t, m, s))
FROM (VALUES ('NULL', :'one', '1', quote_literal(:'memo'), '''executed'''),
	('381', NULL, '1', quote_literal(:'memo'), '''executed'''),
	('381', :'one', 'NULL', quote_literal(:'memo'), '''executed'''),
	('381', :'one', '1', 'NULL', '''executed'''),
	('381', :'one', '1', quote_literal(:'memo'), 'NULL'),
	('381', :'one', '1', quote_literal(:'memo'), '''done'''),
	('381', :'one', '1', '''\x01''', '''executed'''),
	('381', :'one', '0', quote_literal(:'memo'), '''executed'''),
	('381', :'one', '2', quote_literal(:'memo'), '''executed'''),
	('381', :'one', '99999999999', quote_literal(:'memo'), '''executed'''),
	('381', '00000000-0000-0000-0000-000000000000', '1', quote_literal(:'memo'), '''executed'''),
	('382', :'one', '1', quote_literal(:'memo'), '''executed''')) AS v (l, o, t, m, s);
SELECT pg_temp.says(format($$SELECT teller.complete(381, %L, 1, %L, 'rejected', reason => repeat('x', 300000))$$, :'one', :'memo'));
SELECT pg_temp.says(format($$SELECT teller.release_claim(381, %L, 1, NULL)$$, :'one'));
SELECT pg_temp.says(format($$SELECT teller.extend_lease(381, %L, 1, '2 h')$$, :'one'));
SELECT pg_temp.says(format($$SELECT teller.extend_lease(381, %L, 2, '1 min')$$, :'one'));
SET ROLE regress_pull_worker;
SELECT pg_temp.says(format($$SELECT teller.complete(381, %L, 1, %L, 'executed')$$, :'one', :'memo'));
SELECT pg_temp.says(format($$SELECT teller.complete(179, %L, 1, %L, 'executed')$$, :'one', :'memo'));
SELECT pg_temp.says(format($$SELECT teller.release_claim(381, %L, 1, true)$$, :'one'));
SELECT pg_temp.says(format($$SELECT teller.extend_lease(381, %L, 1, '1 min')$$, :'one'));
RESET ROLE;
SELECT teller.extend_lease(381, :'one', 1, '30 min');
SELECT next_try_at > clock_timestamp() + '29 min' AS extended FROM teller.operation WHERE id = :'one';
SELECT teller.extend_lease(381, :'one', 1, '1 s');
SELECT next_try_at > clock_timestamp() + '29 min' AS still FROM teller.operation WHERE id = :'one';

-- Executed; told twice; told otherwise afterwards; released afterwards.
SELECT teller.complete(381, :'one', 1, :'memo', 'executed', 'ch_1', amount => 70, asset => 'USD');
SELECT teller.complete(381, :'one', 1, :'memo', 'executed', 'ch_1', amount => 70, asset => 'USD');
SELECT teller.complete(381, :'one', 1, :'memo', 'rejected', reason => 'too late');
SELECT teller.release_claim(381, :'one', 1, false);
SELECT pg_temp.says(format($$SELECT teller.extend_lease(381, %L, 1, '1 min')$$, :'one'));
SELECT state, reason, reference, response - 'memo' FROM teller.operation WHERE id = :'one';
SELECT attempt, outcome, detail FROM teller.attempt WHERE operation_id = :'one';

-- Rejected, cancelled and expired give the money back.
SELECT state FROM generate_series(1, 3) AS n, teller.withdraw(381, 2, 'regress_pull', 1, 'bob', 'r' || n);
SELECT teller.complete(ledger_id, id, token, memo, status, reason => 'so it is')
FROM teller.claim('regress_pull', 3, '1 min') WITH ORDINALITY AS c (ledger_id, id, memo, token, request, lease_until, n)
	JOIN (VALUES (1, 'rejected'), (2, 'cancelled'), (3, 'expired')) AS s (n, status) USING (n);
SELECT state, reason, last_error FROM teller.operation WHERE nonce LIKE 'r_' AND ledger_id = 381 ORDER BY reason;

-- in_doubt and busy: the same memo again.  not_found is no answer to an
-- execute either.
CREATE FUNCTION pg_temp.try(status text, nonce text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	-- what is to be tried again need not be waited for
	UPDATE teller.operation_data o SET next_try_at = clock_timestamp()
	WHERE o.nonce = try.nonce AND state IN ('retry_wait', 'in_doubt');
	SELECT * INTO c FROM teller.claim('regress_pull', 1, '1 min');
	IF NOT FOUND THEN
		RETURN 'nothing';
	END IF;
	RETURN concat_ws(' ', c.token, c.request ->> 'verb', c.request ->> 'reason', '->',
		teller.complete(c.ledger_id, c.id, c.token, c.memo, status));
END
$$;
SELECT state FROM teller.withdraw(381, 2, 'regress_pull', 5, 'bob', 'doubt');
SELECT pg_temp.try(s, 'doubt') FROM unnest(ARRAY['in_doubt', 'busy', 'not_found', 'executed']) AS s;
SELECT state, dirty, attempts FROM teller.operation WHERE nonce = 'doubt';

-- No retry is left: in doubt, looked up, and fenced when nothing is found.
CREATE FUNCTION pg_temp.last_chance(nonce text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM teller.withdraw(381, 2, 'regress_pull', 5, 'bob', last_chance.nonce);
	UPDATE teller.operation_data o SET attempts = current_setting('teller.max_attempts')::int - 1
	WHERE o.nonce = last_chance.nonce;
	RETURN pg_temp.try('in_doubt', last_chance.nonce);
END
$$;
SELECT pg_temp.last_chance('fenced');
SELECT pg_temp.try(s, 'fenced') FROM unnest(ARRAY['busy', 'in_doubt', 'not_found', 'in_doubt', 'cancelled']) AS s;
SELECT state, reason FROM teller.operation WHERE nonce = 'fenced';
SELECT attempt, verb, outcome FROM teller.attempt JOIN teller.operation ON id = operation_id
WHERE nonce = 'fenced' ORDER BY 1;
-- found by a lookup
SELECT pg_temp.last_chance('found');
SELECT pg_temp.try('executed', 'found');
-- A lookup whose answer never comes: the next claim has the next token, and the
-- old one may still say what it found.
SELECT pg_temp.last_chance('lookup lost');
UPDATE teller.operation_data SET next_try_at = clock_timestamp() WHERE nonce = 'lookup lost';
SELECT id AS lost, memo, token, request ->> 'verb' AS verb FROM teller.claim('regress_pull', 1, '1 h') \gset
SELECT :'verb', next_try_at < clock_timestamp() + '301 s' AS five_minutes FROM teller.operation WHERE id = :'lost';
SELECT teller.extend_lease(381, :'lost', :token, '1 h');
SELECT next_try_at < clock_timestamp() + '301 s' AS five_minutes FROM teller.operation WHERE id = :'lost';
UPDATE teller.operation_data SET next_try_at = clock_timestamp() WHERE nonce = 'lookup lost';
SELECT pg_temp.says(format($$SELECT teller.extend_lease(381, %L, %s, '1 min')$$, :'lost', :token));
SELECT token, request ->> 'verb' FROM teller.claim('regress_pull', 1, '1 min');
SELECT attempt, verb, outcome FROM teller.attempt WHERE operation_id = :'lost' ORDER BY 1;
SELECT teller.complete(381, :'lost', :token, :'memo', 'rejected');
SELECT state, reason FROM teller.operation WHERE id = :'lost';
-- Neither lookup nor fence: nothing to claim, a person decides.
ALTER SERVER regress_pull OPTIONS (SET can_lookup 'off', SET can_fence 'off');
SELECT pg_temp.last_chance('dark');
SELECT pg_temp.try('executed', 'dark');
SELECT teller.resolve(381, id, 'not_executed', NULL, 'asked the provider') FROM teller.operation WHERE nonce = 'dark';
ALTER SERVER regress_pull OPTIONS (SET can_lookup 'on', SET can_fence 'on');

-- Released unsent it is clean, and not dirty; cancelled meanwhile it is over.
SELECT state FROM teller.withdraw(381, 2, 'regress_pull', 5, 'bob', 'released');
SELECT teller.release_claim(ledger_id, id, token, false) FROM teller.claim('regress_pull', 1, '1 min');
SELECT state, dirty, attempts, last_error FROM teller.operation WHERE nonce = 'released';
UPDATE teller.operation_data SET next_try_at = clock_timestamp() WHERE nonce = 'released';
SELECT id AS released, token FROM teller.claim('regress_pull', 1, '1 min') \gset
SELECT teller.cancel(381, :'released');
SELECT teller.release_claim(381, :'released', :token, false);
SELECT state, reason FROM teller.operation WHERE id = :'released';
-- Released after it was sent: who cancels it, gets a fence.
SELECT state FROM teller.withdraw(381, 2, 'regress_pull', 5, 'bob', 'released sent');
SELECT teller.release_claim(ledger_id, id, token, true) FROM teller.claim('regress_pull', 1, '1 min');
SELECT state, dirty FROM teller.operation WHERE nonce = 'released sent';
SELECT teller.cancel(381, id) FROM teller.operation WHERE nonce = 'released sent';
SELECT pg_temp.try('in_doubt', 'released sent');
SELECT state FROM teller.operation WHERE nonce = 'released sent';
SELECT pg_temp.try('cancelled', 'released sent');
SELECT state, reason FROM teller.operation WHERE nonce = 'released sent';

-- The lease runs out.  Nobody has looked, and it can no longer be extended; who
-- claims next gets the next token, and the old one is worth nothing, but for
-- the truth.
SELECT state FROM teller.withdraw(381, 2, 'regress_pull', 5, 'bob', 'slow');
SELECT id AS slow, memo FROM teller.claim('regress_pull', 1, '1 min') \gset
SELECT state FROM teller.withdraw(381, 2, 'regress_pull', 5, 'bob', 'quick');
SELECT id AS quick FROM teller.claim('regress_pull', 1, '1 min') \gset
ALTER SERVER regress_pull OPTIONS (SET max_in_flight '1');
UPDATE teller.operation_data SET next_try_at = clock_timestamp() WHERE id = :'slow';
SELECT split_part(pg_temp.says(format($$SELECT teller.extend_lease(381, %L, 1, '1 min')$$, :'slow')), E'\n', 1);
SELECT count(*) FROM teller.claim('regress_pull', 1, '1 min');
SELECT state, dirty FROM teller.operation WHERE id = :'slow';
SELECT attempt, outcome, detail FROM teller.attempt WHERE operation_id = :'slow';
ALTER SERVER regress_pull OPTIONS (SET max_in_flight '4');
UPDATE teller.operation_data SET next_try_at = clock_timestamp() WHERE id = :'slow';
SELECT token, request ->> 'verb' FROM teller.claim('regress_pull', 1, '1 min');
SELECT teller.release_claim(381, :'quick', 1, false);
SELECT teller.cancel(381, :'quick');
SELECT state, dirty, attempts, last_error FROM teller.operation WHERE id = :'slow';
SELECT pg_temp.says(format($$SELECT teller.complete(381, %L, 1, %L, %L)$$, :'slow', :'memo', s))
FROM unnest(ARRAY['rejected', 'busy', 'not_found', 'in_doubt', 'expired']) AS s;
SELECT pg_temp.says(format($$SELECT teller.release_claim(381, %L, 1, %L)$$, :'slow', s)) FROM unnest(ARRAY[true, false]) AS s;
SELECT pg_temp.says(format($$SELECT teller.extend_lease(381, %L, 1, '1 min')$$, :'slow'));
SELECT teller.complete(381, :'slow', 1, :'memo', 'executed', 'ch_slow');
-- the second holder learns of it
SELECT teller.complete(381, :'slow', 2, :'memo', 'rejected');
SELECT attempt, outcome, detail FROM teller.attempt WHERE operation_id = :'slow' ORDER BY 1;

-- Executed after a refund: money at both ends, and a finding.
SELECT state FROM teller.withdraw(381, 2, 'regress_pull', 5, 'bob', 'both');
SELECT id AS both, memo FROM teller.claim('regress_pull', 1, '1 min') \gset
SELECT teller.complete(381, :'both', 1, :'memo', 'rejected');
SELECT teller.complete(381, :'both', 1, :'memo', 'executed', 'ch_both');
SELECT kind, detail FROM teller.finding WHERE operation_id = :'both';

-- Another memo, amount or asset: conflict, whatever the status.
SELECT state FROM generate_series(1, 4) AS n, teller.withdraw(381, 2, 'regress_pull', 3, 'bob', 'c' || n);
SELECT nonce, state
FROM (SELECT o.nonce, teller.complete(c.ledger_id, c.id, c.token,
		CASE WHEN o.nonce = 'c1' THEN sha256('other') ELSE c.memo END,
		CASE WHEN o.nonce = 'c4' THEN 'conflict' ELSE 'executed' END, 'ch',
		amount => CASE WHEN o.nonce = 'c2' THEN 3.01 ELSE 3 END,
		asset => CASE WHEN o.nonce = 'c3' THEN 'EUR' ELSE 'USD' END) AS state
	FROM teller.claim('regress_pull', 4, '1 min') AS c JOIN teller.operation o USING (ledger_id, id)) AS s
ORDER BY nonce;
SELECT o.nonce, f.kind, f.detail FROM teller.finding f JOIN teller.operation o ON o.id = f.operation_id
WHERE o.nonce LIKE 'c_' ORDER BY 1;
SELECT teller.resolve(381, id, 'not_executed', NULL, 'a mistake of the worker')
FROM teller.operation WHERE nonce LIKE 'c_' AND ledger_id = 381;

-- Past not_after: what was never sent is refunded by whoever claims, what may
-- have been sent is in doubt, and nothing is sent again.
SELECT state FROM teller.withdraw(381, 2, 'regress_pull', 3, 'bob', 'maybe sent');
SELECT id AS sent, memo FROM teller.claim('regress_pull', 1, '1 min') \gset
SELECT state FROM teller.withdraw(381, 2, 'regress_pull', 3, 'bob', 'never sent');
UPDATE teller.operation_data SET not_after = now(), request = jsonb_set(request::jsonb, '{not_after}', to_jsonb(now()))::json
WHERE nonce IN ('maybe sent', 'never sent') AND ledger_id = 381;
UPDATE teller.operation_data SET next_try_at = clock_timestamp() WHERE id = :'sent';
ALTER SERVER regress_pull OPTIONS (SET can_lookup 'off', SET can_fence 'off');
SELECT count(*) FROM teller.claim('regress_pull', 4, '1 min');
ALTER SERVER regress_pull OPTIONS (SET can_lookup 'on', SET can_fence 'on');
SELECT nonce, state, reason, dirty FROM teller.operation WHERE nonce IN ('maybe sent', 'never sent') ORDER BY nonce;
SELECT pg_temp.try('executed', 'maybe sent');

-- The cap is the server's, for all ledgers together; shares are equal; a ledger
-- on which the worker may not operate is passed over.
SELECT count(*) FROM generate_series(381, 383) AS l, generate_series(1, 8) AS n,
	LATERAL teller.withdraw(l, 2, 'regress_pull', 1, 'bob', 'fair' || n);
SELECT teller.grant_ledger(381, 'regress_pull_worker', 'operate'), teller.grant_ledger(382, 'regress_pull_worker', 'operate'),
	teller.grant_ledger(383, 'regress_pull_worker', 'post');
SET ROLE regress_pull_worker;
CREATE TEMP TABLE mine AS SELECT * FROM teller.claim('regress_pull', 1000, '1 min');
SELECT ledger_id, count(*) FROM mine GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM teller.claim('regress_pull', 1000, '1 min');
RESET ROLE;
SELECT count(*) FROM teller.claim('regress_pull', 1000, '1 min');
SET ROLE regress_pull_worker;
-- Memos of one are not those of another.
SELECT teller.complete(a.ledger_id, a.id, a.token, a.memo, 'executed', 'x' || a.id) FROM (SELECT * FROM mine ORDER BY id LIMIT 1) AS a;
CREATE TEMP TABLE more AS SELECT * FROM teller.claim('regress_pull', 1000, '1 min');
SELECT count(*) FROM more;
RESET ROLE;
BEGIN;
ALTER SERVER regress_pull OPTIONS (SET max_in_flight '16');
SELECT ledger_id, count(*) FROM teller.claim('regress_pull', 7, '1 min') GROUP BY 1 HAVING count(*) NOT BETWEEN 2 AND 3;
ROLLBACK;
SELECT teller.complete(ledger_id, id, token, memo, 'executed', 'x') FROM (SELECT * FROM mine UNION ALL SELECT * FROM more) AS c
WHERE id IN (SELECT id FROM teller.operation WHERE state = 'in_flight') ORDER BY ledger_id, id;

-- A copy that was not adopted gives nothing out.
BEGIN;
UPDATE teller.instance SET system_identifier = 1;
SELECT pg_temp.says($$SELECT teller.claim('regress_pull', 1, '1 min')$$);
ROLLBACK;

-- Savepoints: what is rolled back was never claimed.
BEGIN;
SAVEPOINT s;
SELECT count(*) FROM teller.claim('regress_pull', 1, '1 min');
ROLLBACK TO s;
SELECT count(DISTINCT token) FROM teller.claim('regress_pull', 1, '1 min');
ROLLBACK;

-- A server with honours_memo off is asked once.
CREATE SERVER regress_pull_once FOREIGN DATA WRAPPER teller_pull OPTIONS (honours_memo 'off', can_fence 'off', can_lookup 'off');
SELECT teller.set_settlement_account(381, 'regress_pull_once', 9);
SELECT state FROM teller.withdraw(381, 2, 'regress_pull_once', 1, 'bob', 'once');
SELECT id AS once, memo FROM teller.claim('regress_pull_once', 1, '1 min') \gset
SELECT teller.complete(381, :'once', 1, :'memo', 'in_doubt');
SELECT count(*) FROM teller.claim('regress_pull_once', 1, '1 min');
SELECT teller.resolve(381, :'once', 'executed', 'r', 'it is on their page');

SELECT sum(posted), sum(pending_debit) FROM teller.account_balance WHERE ledger_id BETWEEN 381 AND 383 AND account_id = 9;
SELECT teller.cancel(ledger_id, id) FROM teller.operation WHERE server LIKE 'regress_pull%' AND state = 'held' ORDER BY ledger_id, id;
DROP TABLE mine, more;
SELECT state, count(*) FROM teller.operation WHERE server LIKE 'regress_pull%' AND state NOT IN ('settled', 'refunded') GROUP BY 1;
REVOKE USAGE ON FOREIGN SERVER regress_pull FROM regress_pull_worker;
SELECT teller.revoke_ledger(l, 'regress_pull_worker') FROM generate_series(381, 383) AS l;
REVOKE USAGE ON SCHEMA teller FROM regress_pull_worker;
DROP ROLE regress_pull_worker;
DROP SERVER regress_pull;
DROP SERVER regress_pull_once;
DROP SERVER regress_pull_bank;
SELECT * FROM teller.verify();
