-- Hot accounts.  Without preload there are none: then the file ends soon
-- (hot_1.out).
\pset format unaligned
\pset tuples_only on
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
SELECT current_setting('shared_preload_libraries') LIKE '%pg_teller%' AS preloaded \gset
\if :preloaded
\else
SELECT teller.create_ledger(431), teller.create_asset('USD', 2);
SELECT pg_temp.says($$SELECT teller.open_account(431, 2, 'USD', hot => true)$$);
SELECT teller.open_account(431, 3, 'USD');
SELECT pg_temp.says($$SELECT teller.set_hot(431, 3, true)$$);
\quit
\endif

SELECT teller.create_ledger(431), teller.create_asset('USD', 2);
SELECT teller.open_account(431, 1, 'USD', 'world', min_balance => NULL);
SELECT teller.open_account(431, 2, 'USD', 'till', hot => true);
SELECT teller.open_account(431, 3, 'USD', 'bob');
SELECT teller.open_account(431, 4, 'USD', 'purse', max_balance => 100, hot => true);
SELECT teller.open_account(431, 5, 'USD', 'float', min_balance => NULL, hot => true);

-- It has no version; its balance after is what was committed, and this.
SELECT status, amount, debit_balance, debit_version, credit_balance, credit_version, replayed
FROM teller.transfer(431, 1, 2, 100, key => 'in');
SELECT status, amount, debit_balance, debit_version, credit_balance, credit_version, replayed
FROM teller.transfer(431, 2, 3, 30, key => 'out');
SELECT * FROM teller.balance(431, 2);
SELECT debit_version, credit_version FROM teller.journal WHERE ledger_id = 431 ORDER BY id;

-- A key replays what was answered; another call under it is refused.
SELECT status, amount, debit_balance, debit_version, credit_balance, credit_version, replayed
FROM teller.transfer(431, 2, 3, 30, key => 'out');
SELECT pg_temp.says($$SELECT teller.transfer(431, 2, 3, 31, key => 'out')$$);

-- Denials.
SELECT pg_temp.says($$SELECT teller.transfer(431, 2, 3, 70.01)$$);
SELECT status, reason, debit_version FROM teller.transfer(431, 2, 3, 70.01, on_denial => 'return');
SELECT pg_temp.says($$SELECT teller.transfer(431, 1, 4, 100.01)$$);
SELECT status FROM teller.transfer(431, 1, 4, 100);
SELECT pg_temp.says($$SELECT teller.transfer(431, 1, 4, 0.01)$$);
SELECT pg_temp.says($$SELECT teller.transfer(431, 2, 3, 1, expected_version => 0)$$);
SELECT pg_temp.says($$SELECT teller.post(431, ARRAY[2], ARRAY[3], ARRAY[1], expected_versions => ARRAY[0])$$);

-- Without a minimum it is bounded by what an amount can be.
SELECT status, debit_balance FROM teller.transfer(431, 5, 3, 1000);
SELECT pg_temp.says($$SELECT teller.transfer(431, 5, 1, repeat('9', 36)::numeric)$$);
SELECT posted FROM teller.balance(431, 5);

-- A batch: atomic by what each loses in all, independent in order.
SELECT ordinal, status, debit_balance, debit_version, credit_balance, credit_version
FROM teller.post(431, ARRAY[2, 1], ARRAY[3, 2], ARRAY[170, 100]);
SELECT ordinal, status, reason FROM teller.post(431, ARRAY[2, 1, 2], ARRAY[3, 2, 3],
	ARRAY[10, 100, 90], mode => 'independent');
SELECT posted FROM teller.balance(431, 2);
SELECT status, amount, debit_balance FROM teller.transfer_up_to(431, 2, 3, 500);
SELECT status, amount FROM teller.transfer_up_to(431, 2, 3, 500);

-- Holds.
SELECT status FROM teller.transfer(431, 1, 2, 100);
SELECT id AS hold, status, available FROM teller.hold(431, 2, 3, 60, ttl => '1 day') \gset h_
\echo :h_status :h_available
SELECT pg_temp.says($$SELECT teller.transfer(431, 2, 3, 40.01)$$);
SELECT status, available FROM teller.adjust_hold(431, :'h_hold', 80);
SELECT pg_temp.says(format('SELECT teller.adjust_hold(431, %L, 100.01)', :'h_hold'));
SELECT status, amount, debit_balance FROM teller.capture(431, :'h_hold', 50, final => false);
SELECT * FROM teller.balance(431, 2);
SELECT status, available FROM teller.release(431, :'h_hold');
SELECT * FROM teller.balance(431, 2);

-- What one transaction opens it can use, and nothing stays of a rollback.
BEGIN;
SELECT teller.open_account(431, 6, 'USD', hot => true);
SELECT status FROM teller.transfer(431, 1, 6, 5);
SELECT status, debit_balance FROM teller.transfer(431, 6, 3, 5);
ROLLBACK;
BEGIN;
SELECT teller.open_account(431, 6, 'USD', hot => true);
SAVEPOINT one;
SELECT status FROM teller.transfer(431, 1, 6, 5);
ROLLBACK TO one;
SELECT status, reason FROM teller.transfer(431, 6, 3, 5, on_denial => 'return');
SELECT status FROM teller.transfer(431, 1, 6, 7);
COMMIT;
SELECT status, reason FROM teller.transfer(431, 6, 3, 7.01, on_denial => 'return');
SELECT status FROM teller.transfer(431, 6, 3, 7);

-- Changes of a hot account: not in a transaction that has used it.
BEGIN;
SELECT status FROM teller.transfer(431, 2, 3, 1);
SELECT teller.set_hot(431, 2, false);
ROLLBACK;
BEGIN;
SELECT status FROM teller.transfer(431, 2, 3, 1);
SELECT teller.set_limits(431, 2, 10, NULL);
ROLLBACK;
SELECT teller.set_limits(431, 2, 10, NULL);
SELECT status, reason FROM teller.transfer(431, 2, 3, 40.01, on_denial => 'return');
SELECT status FROM teller.transfer(431, 2, 3, 40);
SELECT teller.freeze_account(431, 2);
SELECT pg_temp.says($$SELECT teller.transfer(431, 1, 2, 1)$$);
SELECT teller.unfreeze_account(431, 2);

-- No longer hot, versions go on where they were; and hot again.
SELECT teller.set_hot(431, 2, false);
SELECT hot, posted, version FROM teller.account WHERE ledger_id = 431 AND account_id = 2;
SELECT status, credit_balance, credit_version FROM teller.transfer(431, 1, 2, 20);
SELECT teller.set_hot(431, 2, true), teller.set_hot(431, 2, true);
SELECT status, reason FROM teller.transfer(431, 2, 3, 20.01, on_denial => 'return');
SELECT status FROM teller.transfer(431, 2, 3, 20);
SELECT * FROM teller.balance(431, 2);

-- transfer_early moves it too, with no version on its side.
CALL teller.transfer_early(431, 1, 2, 15, key => 'early in') \gset
\echo :status :{?debit_version} :credit_balance :{?credit_version} :replayed
CALL teller.transfer_early(431, 2, 5, 10, key => 'early out') \gset first_
\echo :first_status :first_debit_balance :{?first_debit_version} :first_credit_balance :{?first_credit_version}
SELECT debit_version, credit_version, debit_epoch IS NULL, credit_epoch IS NULL
FROM teller.journal WHERE ledger_id = 431 AND id = :'first_id';
CALL teller.transfer_early(431, 2, 5, 10, key => 'early out') \gset
SELECT :'id' = :'first_id', :'replayed', replayed FROM teller.transfer(431, 2, 5, 10, key => 'early out');
CALL teller.transfer_early(431, 2, 3, 5.01);
CALL teller.transfer_early(431, 2, 3, 5.01, on_denial => 'return') \gset
\echo :status :reason
CALL teller.transfer_early(431, 1, 4, 0.01);
CALL teller.transfer_early(431, 2, 3, 1, expected_version => 0);
CALL teller.transfer_early(431, 2, 3, 1, min_after => 14.01);
BEGIN;
CALL teller.transfer_early(431, 2, 3, 1);
ROLLBACK;
CALL teller.transfer_early(431, 2, 3, 5, min_after => 10) \gset
\echo :status :debit_balance :{?debit_version}
SELECT * FROM teller.balance(431, 2);

-- Nor is a version told where it is changed.
SELECT pg_temp.says($$SELECT teller.set_limits(431, 2, 10.01, NULL)$$);
SELECT pg_temp.says($$SELECT teller.close_account(431, 2)$$);

-- Only the owner's.
CREATE ROLE regress_hot;
GRANT USAGE ON SCHEMA teller TO regress_hot;
SELECT teller.grant_ledger(431, 'regress_hot', 'operate');
SET ROLE regress_hot;
SELECT pg_temp.says($$SELECT teller.set_hot(431, 2, false)$$);
SELECT status FROM teller.transfer(431, 1, 2, 1);
RESET ROLE;
SELECT teller.revoke_ledger(431, 'regress_hot');
REVOKE USAGE ON SCHEMA teller FROM regress_hot;
DROP ROLE regress_hot;
SELECT pg_temp.says($$SELECT teller.set_hot(431, 99, true)$$);
SELECT pg_temp.says($$SELECT teller.set_hot(431, 2, NULL)$$);

-- Operations that go by order need the account's own mode for it.
CREATE SERVER regress_hot_bank FOREIGN DATA WRAPPER teller_postgres OPTIONS (dbname 'nowhere');
SELECT teller.open_account(431, 9, 'USD', 'mirror', min_balance => NULL);
SELECT teller.set_settlement_account(431, 'regress_hot_bank', 9);
SELECT pg_temp.says($$SELECT teller.withdraw(431, 2, 'regress_hot_bank', 1, 'x', 'n1', reentrancy => 'reject')$$);
SELECT pg_temp.says($$SELECT teller.withdraw(431, 2, 'regress_hot_bank', 1, 'x', 'n1', reentrancy => 'queue')$$);
SELECT posted FROM teller.balance(431, 2);
DROP SERVER regress_hot_bank;

SELECT * FROM teller.verify();
