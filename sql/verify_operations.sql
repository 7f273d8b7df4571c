-- verify() finds each thing that can be wrong with an operation.  The rows are
-- made by hand and broken one by one, in a transaction that is rolled back.
\pset format unaligned
\pset tuples_only on
CREATE FUNCTION pg_temp.finds(breakage text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	found text[];
BEGIN
	BEGIN
		EXECUTE breakage;
		SELECT array_agg(DISTINCT regexp_replace(concat_ws(' ', invariant, object, detail),
			'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g') COLLATE "C")
		INTO found FROM teller.verify(163) WHERE invariant IN ('I12', 'I15', 'I16');
		RAISE EXCEPTION 'undo';
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
	RETURN QUERY SELECT unnest(coalesce(found, ARRAY['nothing']));
END
$$;
BEGIN;
SELECT teller.create_ledger(163), teller.create_asset('USD', 2);
SELECT teller.open_account(163, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(163, 2, 'USD', 'alice'),
	teller.open_account(163, 9, 'USD', 'at bank', min_balance => NULL);
SELECT status FROM teller.transfer(163, 1, 2, 100);
SELECT id AS hold FROM teller.hold(163, 2, 9, 70, '1 day') \gset
\set op '01a1fa6b-0000-7000-8000-000000000001'
UPDATE teller.hold SET operation_id = :'op', expires_at = NULL WHERE ledger_id = 163;
INSERT INTO teller.operation_data (ledger_id, id, account_id, settlement_account,
	direction, server, nonce, memo, amount, asset, counterparty, payload, request,
	arguments, fingerprint, submitter, reentrancy, ticket, hold_id, state, dirty, attempts,
	sends, rechecks, last_attempt, cancel_requested, found_nothing, not_after,
	expires_at, created_at)
SELECT 163, :'op', 2, 9, 'withdraw', 'bank', 'n', memo, 70.00, 'USD', 'bob', '"x"',
	json_build_object('memo', encode(memo, 'hex'), 'origin', origin, 'ledger', '163',
		'direction', 'withdraw', 'account', 'bob', 'amount', '70.00', 'asset', 'USD',
		'nonce', 'n', 'not_after', '2026-01-01 00:00:00+00'::timestamptz, 'payload', 'x'),
	'{"amount": 70}', sha256(convert_to('withdraw {"amount": 70}', getdatabaseencoding())),
	current_user::regrole, 'allow', 1, :'hold', 'in_flight', false, 1, 1, 0, 1, false, false,
	'2026-01-01 00:00:00+00', '2026-01-01 00:01:00+00', '2025-12-31 00:00:00+00'
FROM (SELECT origin, teller.operation_memo(origin, 'withdraw', 163, 2, 'n', 70.00, 'USD', 'bank', 'bob', '"x"') AS memo
	FROM (SELECT '01a1fa6b-0000-7000-8000-00000000000a'::uuid AS origin) AS o) AS m;
INSERT INTO teller.attempt_data
SELECT ledger_id, id, 1, 'execute', memo, :'op', '2025-12-31 00:00:01+00'
FROM teller.operation_data WHERE ledger_id = 163;

-- Sound as it is.
SELECT pg_temp.finds('SELECT 1');
-- I12: the hold.
SELECT pg_temp.finds('DELETE FROM teller.hold WHERE ledger_id = 163');
SELECT pg_temp.finds('UPDATE teller.hold SET operation_id = NULL WHERE ledger_id = 163');
SELECT pg_temp.finds('UPDATE teller.hold SET operation_id = gen_random_uuid() WHERE ledger_id = 163');
SELECT pg_temp.finds('UPDATE teller.hold SET amount = 69 WHERE ledger_id = 163');
SELECT pg_temp.finds('UPDATE teller.hold SET captured = 1 WHERE ledger_id = 163');
SELECT pg_temp.finds('UPDATE teller.hold SET credit_account = 1 WHERE ledger_id = 163');
SELECT pg_temp.finds($$UPDATE teller.hold SET state = 'released', released = amount, ended_at = created_at WHERE ledger_id = 163$$);
SELECT pg_temp.finds($$UPDATE teller.operation_data SET state = 'settled', ended_at = created_at WHERE ledger_id = 163$$);
SELECT pg_temp.finds($$UPDATE teller.operation_data SET state = 'refunded', reason = 'expired', ended_at = created_at WHERE ledger_id = 163$$);
-- I15: memo, request, arguments, attempts.
SELECT pg_temp.finds($$UPDATE teller.operation_data SET memo = sha256('other') WHERE ledger_id = 163$$);
SELECT pg_temp.finds('UPDATE teller.operation_data SET amount = 71.00 WHERE ledger_id = 163');
SELECT pg_temp.finds($$UPDATE teller.operation_data SET payload = '"y"' WHERE ledger_id = 163$$);
SELECT pg_temp.finds('UPDATE teller.operation_data SET payload = NULL WHERE ledger_id = 163');
SELECT pg_temp.finds('UPDATE teller.operation_data SET not_after = expires_at WHERE ledger_id = 163');
SELECT pg_temp.finds($$UPDATE teller.operation_data SET arguments = '{"amount": 71}' WHERE ledger_id = 163$$);
SELECT pg_temp.finds('DELETE FROM teller.attempt_data WHERE ledger_id = 163');
SELECT pg_temp.finds($$UPDATE teller.attempt_data SET memo = sha256('other') WHERE ledger_id = 163$$);
SELECT pg_temp.finds('UPDATE teller.attempt_data SET attempt = 2 WHERE ledger_id = 163');
SELECT pg_temp.finds('UPDATE teller.attempt_data SET operation_id = gen_random_uuid() WHERE ledger_id = 163');
SELECT pg_temp.finds('UPDATE teller.operation_data SET last_attempt = 0 WHERE ledger_id = 163');
-- I16, this side: money was taken for an operation that is not settled.
SELECT pg_temp.finds($$UPDATE teller.journal SET kind = 'capture' WHERE ledger_id = 163 AND kind = 'hold'$$);
ROLLBACK;
