-- Reentrancy: what a new operation may do while others of its account are
-- open.  One session and one transaction, so that no worker sees any of it;
-- test/isolation and test/t/050_queue.pl have the rest.
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
		'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, '')),
		'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g');
END
$$;
-- Submit under a nonce, cancel by it, and what is open of an account.
CREATE FUNCTION pg_temp.pay(account bigint, nonce text, amount numeric DEFAULT 1, mode text DEFAULT NULL) RETURNS text LANGUAGE sql AS
	$$SELECT concat_ws(' ', w.state, w.reason) FROM teller.withdraw(361, account, 'regress_pull', amount, 'bob', nonce, reentrancy => mode, on_denial => 'return') AS w$$;
CREATE FUNCTION pg_temp.take(account bigint, nonce text, mode text DEFAULT NULL) RETURNS text LANGUAGE sql AS
	$$SELECT d.state FROM teller.deposit(361, account, 'regress_pull', 1, 'bob', nonce, reentrancy => mode) AS d$$;
CREATE FUNCTION pg_temp.cancel(nonce text) RETURNS text LANGUAGE sql AS
	$$SELECT teller.cancel(361, o.id) FROM teller.operation AS o WHERE o.ledger_id = 361 AND o.nonce = $1$$;
CREATE FUNCTION pg_temp.open(account bigint) RETURNS text LANGUAGE sql AS
	$$SELECT string_agg(concat(o.nonce, ' ', o.reentrancy, ' ', o.state), ', ' ORDER BY o.ticket)
	FROM teller.operation AS o WHERE o.ledger_id = 361 AND o.account_id = account AND o.ended_at IS NULL$$;

-- Modes of an account.
SELECT teller.create_ledger(361), teller.create_asset('USD', 2);
SELECT teller.open_account(361, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(361, 2, 'USD', 'free'),
	teller.open_account(361, 3, 'USD', 'alone', reentrancy => 'reject'),
	teller.open_account(361, 4, 'USD', 'in line', reentrancy => 'queue'),
	teller.open_account(361, 5, 'USD', 'shut', reentrancy => 'off'),
	teller.open_account(361, 6, 'USD', 'receives', reentrancy => 'queue'),
	teller.open_account(361, 7, 'USD', 'receives at most', max_balance => 500, reentrancy => 'queue'),
	teller.open_account(361, 9, 'USD', 'at the bank', min_balance => NULL);
SELECT teller.open_account(361, 4, 'USD', 'in line', reentrancy => 'queue');
SELECT pg_temp.says($$SELECT teller.open_account(361, 4, 'USD', 'in line', reentrancy => 'reject')$$);
SELECT pg_temp.says($$SELECT teller.open_account(361, 8, 'USD', reentrancy => 'Queue')$$);
SELECT pg_temp.says(format('SELECT teller.set_reentrancy(%s)', arguments))
FROM (VALUES (1, 'NULL, 2, ''queue'''), (2, '361, NULL, ''queue'''), (3, '361, 2, NULL'), (4, '361, 2, ''fifo'''), (5, '361, 77, ''queue'''),
	(6, '369999, 2, ''queue''')) AS v(i, arguments) ORDER BY i;
CREATE ROLE regress_reentrancy_user;
GRANT USAGE ON SCHEMA teller TO regress_reentrancy_user;
SELECT teller.grant_ledger(361, 'regress_reentrancy_user', 'operate');
SET ROLE regress_reentrancy_user;
SELECT pg_temp.says($$SELECT teller.set_reentrancy(361, 2, 'queue')$$);
RESET ROLE;
BEGIN READ ONLY;
SELECT pg_temp.says($$SELECT teller.set_reentrancy(361, 2, 'queue')$$);
ROLLBACK;
SELECT teller.set_reentrancy(361, 2, 'queue');
SELECT teller.set_reentrancy(361, 2, 'queue');
SELECT reentrancy, version FROM teller.account WHERE ledger_id = 361 AND account_id = 2;
SELECT teller.set_reentrancy(361, 2, 'allow');
SELECT count(teller.transfer(361, 1, a, 100)) FROM unnest(ARRAY[2, 3, 4, 5]) AS a;

BEGIN;
CREATE SERVER regress_pull FOREIGN DATA WRAPPER teller_pull;
SELECT teller.set_settlement_account(361, 'regress_pull', 9);

-- off: neither way, whatever the call says; all else works.
SELECT pg_temp.says($$SELECT pg_temp.pay(5, 'n')$$);
SELECT pg_temp.says($$SELECT pg_temp.pay(5, 'n', mode => 'allow')$$);
SELECT pg_temp.says($$SELECT pg_temp.take(5, 'n')$$);
SELECT status FROM teller.transfer(361, 5, 2, 1);
SELECT status FROM teller.hold(361, 5, 2, 1);

-- A mode that no call can have.
SELECT pg_temp.says($$SELECT pg_temp.pay(2, 'n', mode => 'off')$$);
SELECT pg_temp.says($$SELECT pg_temp.pay(2, 'n', mode => '')$$);

-- reject: one at a time; the refusal names the one that is open, and comes
-- before the money that it holds is missed.
SELECT pg_temp.pay(3, 'r1', 90);
SELECT pg_temp.says($$SELECT teller.withdraw(361, 3, 'regress_pull', 90, 'bob', 'r2')$$);
SELECT pg_temp.says($$SELECT teller.deposit(361, 3, 'regress_pull', 1, 'bob', 'r2')$$);
SELECT pg_temp.pay(3, 'r2', 90);
SELECT state, replayed FROM teller.withdraw(361, 3, 'regress_pull', 90, 'bob', 'r1');
SELECT status FROM teller.transfer(361, 3, 2, 1);
SELECT pg_temp.cancel('r1');
SELECT pg_temp.pay(3, 'r2', 90);
-- The call may be laxer, or wait.
SELECT pg_temp.pay(3, 'r3', mode => 'allow');
SELECT pg_temp.pay(3, 'r4', mode => 'queue');
SELECT pg_temp.open(3);
SELECT pg_temp.cancel('r2');
SELECT pg_temp.pay(3, 'r5');
SELECT pg_temp.cancel('r3');
SELECT pg_temp.open(3);
SELECT pg_temp.cancel('r4');
SELECT pg_temp.pay(3, 'r5');
SELECT pg_temp.cancel('r5');

-- allow: any number; the call may be stricter.
SELECT pg_temp.pay(2, 'a1'), pg_temp.pay(2, 'a2'), pg_temp.take(2, 'a3');
SELECT pg_temp.pay(2, 'a4', mode => 'reject');
SELECT pg_temp.pay(2, 'a4', mode => 'queue');
SELECT pg_temp.says($$SELECT pg_temp.pay(2, 'a4', mode => 'allow')$$);
-- What comes later does not wait for it, nor it for what comes later.
SELECT pg_temp.pay(2, 'a5');
SELECT pg_temp.cancel('a2'), pg_temp.cancel('a3');
SELECT pg_temp.open(2);
SELECT pg_temp.cancel('a1');
SELECT pg_temp.open(2);
SELECT pg_temp.cancel('a4'), pg_temp.cancel('a5');

-- queue: one by one, in the order of submission; what waits holds its money.
SELECT pg_temp.pay(4, 'q1', 10), pg_temp.pay(4, 'q2', 20), pg_temp.pay(4, 'q3', 30), pg_temp.pay(4, 'q4', 40);
SELECT pg_temp.open(4);
SELECT available FROM teller.balance(361, 4);
SELECT pg_temp.pay(4, 'q5');
SELECT state, replayed FROM teller.withdraw(361, 4, 'regress_pull', 20, 'bob', 'q2');
-- Other accounts with the same server go on.
SELECT pg_temp.pay(2, 'b1', mode => 'queue');
SELECT pg_temp.cancel('b1');
-- One in the middle ends: nothing moves.  The head ends: the next.
SELECT pg_temp.cancel('q2');
SELECT pg_temp.open(4);
SAVEPOINT s;
SELECT pg_temp.cancel('q1');
SELECT pg_temp.open(4);
ROLLBACK TO s;
SELECT pg_temp.open(4);
SELECT pg_temp.cancel('q1');
SELECT pg_temp.open(4);
-- A head in doubt keeps the others waiting until somebody decides.
UPDATE teller.operation_data SET state = 'in_doubt', dirty = true WHERE ledger_id = 361 AND nonce = 'q3';
SELECT pg_temp.pay(4, 'q6');
SELECT pg_temp.cancel('q3');
SELECT pg_temp.open(4);
SELECT teller.resolve(361, id, 'executed', 'ref', 'seen at the bank') FROM teller.operation WHERE ledger_id = 361 AND nonce = 'q3';
SELECT pg_temp.open(4);
-- One that does not wait, and those that wait for it too.
SELECT pg_temp.pay(4, 'q7', mode => 'allow'), pg_temp.pay(4, 'q8');
SELECT pg_temp.cancel('q4'), pg_temp.cancel('q6');
SELECT pg_temp.open(4);
SELECT pg_temp.cancel('q7');
SELECT pg_temp.open(4);
-- Rolled back, it was never in the queue.
SAVEPOINT s;
SELECT pg_temp.pay(4, 'q9');
ROLLBACK TO s;
SELECT pg_temp.pay(4, 'q10');
SELECT pg_temp.open(4);

-- The mode changes: those that are there stay as they are.
SELECT teller.set_reentrancy(361, 4, 'allow');
SELECT pg_temp.pay(4, 'q11');
SELECT teller.set_reentrancy(361, 4, 'reject');
SELECT pg_temp.pay(4, 'q12');
SELECT teller.set_reentrancy(361, 4, 'off');
SELECT pg_temp.says($$SELECT pg_temp.pay(4, 'q12')$$);
SELECT pg_temp.pay(4, 'q11');
SELECT pg_temp.open(4);
SELECT pg_temp.cancel('q8');
SELECT pg_temp.open(4);

-- Deposits: the operation is of the account that receives, not of the
-- settlement account, whose mode is of no account.
SELECT teller.set_reentrancy(361, 9, 'off');
SELECT pg_temp.take(6, 'd1'), pg_temp.take(6, 'd2'), pg_temp.take(6, 'd3'), pg_temp.pay(2, 'd0');
SELECT pg_temp.take(7, 'm1'), pg_temp.take(7, 'm2');
SELECT pg_temp.open(6);
SELECT pg_temp.cancel('d1'), pg_temp.cancel('m1');
SELECT pg_temp.open(6);
SELECT pg_temp.open(7);

-- The clock was set back: tickets still rise.
UPDATE teller.operation_data SET ticket = ticket + 1000000000000 WHERE ledger_id = 361 AND nonce = 'd3';
SELECT pg_temp.take(6, 'd4'), pg_temp.take(6, 'd5', 'allow');
SELECT pg_temp.open(6);

SELECT * FROM teller.verify(361);
ROLLBACK;

SELECT * FROM teller.verify(361);
SELECT teller.revoke_ledger(361, 'regress_reentrancy_user');
REVOKE USAGE ON SCHEMA teller FROM regress_reentrancy_user;
DROP ROLE regress_reentrancy_user;
