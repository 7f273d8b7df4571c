-- Operations, as far as no worker is needed: what is refused, the memo, the
-- foreign-data wrapper, the views.  test/t/020_operations.pl has the rest.
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
SELECT teller.create_ledger(161), teller.create_ledger(162);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(161, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(161, 2, 'USD', 'alice'),
	teller.open_account(161, 3, 'USD', 'shut', reentrancy => 'off'),
	teller.open_account(161, 4, 'USD', 'one by one', reentrancy => 'queue'),
	teller.open_account(161, 5, 'JPY', 'yuki'),
	teller.open_account(161, 6, 'JPY', 'yen world', min_balance => NULL),
	teller.open_account(161, 9, 'USD', 'at bank', min_balance => NULL);
CREATE ROLE regress_operation_user;
GRANT USAGE ON SCHEMA teller TO regress_operation_user;
CREATE SERVER regress_bank FOREIGN DATA WRAPPER teller_postgres OPTIONS (dbname 'nowhere');
CREATE FOREIGN DATA WRAPPER regress_other;
CREATE SERVER regress_foreign FOREIGN DATA WRAPPER regress_other;

-- The settlement account.
SELECT pg_temp.says($$SELECT teller.set_settlement_account(NULL, 'regress_bank', 9)$$);
SELECT pg_temp.says($$SELECT teller.set_settlement_account(161, NULL, 9)$$);
SELECT pg_temp.says($$SELECT teller.set_settlement_account(161, 'regress_bank', NULL)$$);
SELECT pg_temp.says($$SELECT teller.set_settlement_account(161, 'regress_nobody', 9)$$);
SELECT pg_temp.says($$SELECT teller.set_settlement_account(161, 'regress_foreign', 9)$$);
SELECT pg_temp.says($$SELECT teller.set_settlement_account(161, 'regress_bank', 77)$$);
SELECT pg_temp.says($$SELECT teller.set_settlement_account(161, 'regress_bank', 2)$$);
SET ROLE regress_operation_user;
SELECT pg_temp.says($$SELECT teller.set_settlement_account(161, 'regress_bank', 9)$$);
RESET ROLE;
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n')$$);
SELECT teller.set_settlement_account(161, 'regress_bank', 9);
SELECT teller.set_settlement_account(161, 'regress_bank', 9);
SELECT teller.set_settlement_account(161, 'regress_bank', 1);
SELECT pg_temp.says($$SELECT teller.set_settlement_account(161, 'regress_bank', 6)$$);
SELECT teller.set_settlement_account(161, 'regress_bank', 9);

-- What withdraw refuses.  Each argument missing, then each one wrong.
SELECT pg_temp.says($$SELECT teller.withdraw(NULL, 2, 'regress_bank', 1, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, NULL, 'regress_bank', 1, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, NULL, 1, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', NULL, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, NULL, 'n')$$);
SELECT pg_temp.says($$SELECT teller.deposit(161, 2, 'regress_bank', 1, NULL, 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', NULL)$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n', on_denial => NULL)$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, '', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, E'bob\n', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', '')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', repeat('n', 256))$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 0, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 'NaN', 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1e39, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1.005, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n', to_jsonb(repeat('x', 200000)))$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n', expires_in => '-1 s')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n', expires_in => '10 years')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n', attempt_timeout => '1 ms')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n', reentrancy => 'off')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n', reentrancy => 'sometimes')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n', on_complete => 'pg_catalog.now()')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n', on_doubt => 'pg_catalog.now()')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n', on_denial => 'record')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_nobody', 1, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_foreign', 1, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 77, 'regress_bank', 1, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 9, 'regress_bank', 1, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 3, 'regress_bank', 1, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(161, 3, 'regress_bank', 1, 'bob', 'n', reentrancy => 'allow')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(162, 2, 'regress_bank', 1, 'bob', 'n')$$);

-- Rights: a level on the ledger, and USAGE on the server.
SET ROLE regress_operation_user;
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(999, 2, 'regress_bank', 1, 'bob', 'n')$$);
RESET ROLE;
SELECT teller.grant_ledger(161, 'regress_operation_user', 'post');
SET ROLE regress_operation_user;
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.cancel(161, '00000000-0000-0000-0000-000000000000')$$);
SELECT pg_temp.says($$SELECT teller.await(161, '00000000-0000-0000-0000-000000000000')$$);
RESET ROLE;
SELECT teller.grant_ledger(161, 'regress_operation_user', 'operate');
SET ROLE regress_operation_user;
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n')$$);
SELECT pg_temp.says($$SELECT teller.resolve(161, '00000000-0000-0000-0000-000000000000', 'executed', 'r', 'n')$$);
SELECT pg_temp.says($$SELECT teller.operation_memo(NULL, 'withdraw', 1, 2, 'n', 1, 'USD', 'b', 'c', NULL)$$);
SELECT pg_temp.says($$SELECT state FROM teller.operation_data$$);
SELECT count(*) FROM teller.operation;
SELECT count(*) FROM teller.attempt;
SELECT count(*) FROM teller.finding;
RESET ROLE;

-- An operation that is not there; arguments of those that look for one.
SELECT pg_temp.says($$SELECT teller.cancel(161, '00000000-0000-0000-0000-000000000000')$$);
SELECT pg_temp.says($$SELECT teller.cancel(161, NULL)$$);
SELECT pg_temp.says($$SELECT teller.resolve(161, '00000000-0000-0000-0000-000000000000', 'executed', 'r', 'n')$$);
SELECT pg_temp.says($$SELECT teller.resolve(161, '00000000-0000-0000-0000-000000000000', 'perhaps', 'r', 'n')$$);
SELECT pg_temp.says($$SELECT teller.resolve(161, '00000000-0000-0000-0000-000000000000', 'executed', NULL, 'n')$$);
SELECT pg_temp.says($$SELECT teller.resolve(161, '00000000-0000-0000-0000-000000000000', 'executed', 'r', '')$$);
SELECT pg_temp.says($$SELECT teller.resolve(161, '00000000-0000-0000-0000-000000000000', 'not_executed', NULL, NULL)$$);
SELECT pg_temp.says($$SELECT teller.await(161, '00000000-0000-0000-0000-000000000000')$$);
SELECT pg_temp.says($$SELECT teller.await(161, '00000000-0000-0000-0000-000000000000', '-1 s')$$);
SELECT pg_temp.says($$SELECT teller.await(161, '00000000-0000-0000-0000-000000000000', NULL)$$);
SELECT pg_temp.says($$SELECT teller.await_all(161, ARRAY['00000000-0000-0000-0000-000000000000', NULL]::uuid[])$$);
SELECT pg_temp.says($$SELECT teller.await_all(161, ARRAY[ARRAY['00000000-0000-0000-0000-000000000000']]::uuid[])$$);
SELECT count(*) FROM teller.await_all(161, '{}');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_temp.says($$SELECT teller.await(161, '00000000-0000-0000-0000-000000000000')$$);
ROLLBACK;
BEGIN READ ONLY;
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n')$$);
ROLLBACK;

-- What is wrong with a server, in the order in which it has to be mended.
SELECT check_name, ok, says, mend FROM teller.check_server(161, 'regress_nobody');
SELECT check_name, ok, says, mend FROM teller.check_server(162, 'regress_bank') WHERE check_name IN ('server', 'usage', 'settlement_account');
SET ROLE regress_operation_user;
SELECT check_name, ok, says, mend FROM teller.check_server(161, 'regress_bank') WHERE check_name IN ('server', 'usage', 'settlement_account', 'instance');
SELECT pg_temp.says($$SELECT teller.check_server(162, 'regress_bank')$$);
RESET ROLE;
SELECT pg_temp.says($$SELECT teller.check_server(161, NULL)$$);

-- A copy of a database takes no operations.
BEGIN;
UPDATE teller.instance SET system_identifier = system_identifier + 1;
SELECT pg_temp.says($$SELECT teller.withdraw(161, 2, 'regress_bank', 1, 'bob', 'n')$$);
SELECT check_name, ok, says FROM teller.check_server(161, 'regress_bank') WHERE check_name = 'instance';
ROLLBACK;

-- The memo, computed by another program from the description in memo.c.
SELECT encode(teller.operation_memo('00000000-0000-7000-8000-000000000001',
	'withdraw', 1, 2, 'payout-1', 70.00, 'USD', 'bank', 'bob', '{"a": 1}'), 'hex');
SELECT encode(teller.operation_memo('00000000-0000-7000-8000-000000000001',
	'deposit', -1, 4611686018427387904, 'n', 1, 'BTC', 'b', 'c', NULL), 'hex');
-- A part that is missing is not an empty part, and no two parts run together.
SELECT count(DISTINCT teller.operation_memo('00000000-0000-7000-8000-000000000001',
	'withdraw', 1, 2, nonce, 1, asset, 'bank', 'bob', payload))
FROM (VALUES ('ab', 'c', NULL::jsonb), ('a', 'bc', NULL), ('ab', 'c', 'null'), ('ab', 'c', '""')) AS v(nonce, asset, payload);
SELECT teller.operation_memo('00000000-0000-7000-8000-000000000001',
	'withdraw', 1, 2, NULL, 1, 'USD', 'bank', 'bob', NULL) IS NULL;

-- Nothing of all this left a trace.
SELECT count(*) FROM teller.operation_data WHERE ledger_id IN (161, 162);
SELECT count(*) FROM teller.hold WHERE ledger_id IN (161, 162);
SELECT * FROM teller.verify(161);
SELECT * FROM teller.verify_operations(161);

DROP SERVER regress_foreign;
DROP FOREIGN DATA WRAPPER regress_other;
DROP SERVER regress_bank;
SELECT teller.revoke_ledger(161, 'regress_operation_user');
REVOKE USAGE ON SCHEMA teller FROM regress_operation_user;
DROP ROLE regress_operation_user;
