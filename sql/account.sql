-- Accounts: open_account, account_id, balance, lock_accounts.
\pset format unaligned
\pset tuples_only on
-- What a statement raises, without what differs from run to run.
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
		'account \d{8,}', 'account <made>', 'g');
END
$$;
SELECT teller.create_ledger(111), teller.create_ledger(112);
SELECT teller.create_asset('USD', 2), teller.create_asset('ACCOUNT_3', 3);

-- open_account returns the id; the defaults are those of the contract.
SELECT teller.open_account(111, 1, 'USD');
SELECT ledger_id, account_id, asset, name, posted, pending_debit, pending_credit,
	version, min_balance, max_balance, reentrancy, hot, status, metadata
FROM teller.account WHERE ledger_id = 111;

-- A new account has version 0 and balances in the asset's scale.
SELECT * FROM teller.balance(111, 1);
SELECT teller.open_account(111, 2, 'ACCOUNT_3');
SELECT * FROM teller.balance(111, 2);

-- The same again is a no-op; limits are compared as numbers.
SELECT teller.open_account(111, 3, 'USD', 'three', min_balance => -10,
	max_balance => 100.5, metadata => '{"a": 1, "b": [2]}');
SELECT teller.open_account(111, 3, 'USD', 'three', min_balance => -10.000,
	max_balance => 100.50, metadata => '{"b": [2], "a": 1}');
SELECT min_balance, max_balance FROM teller.account
WHERE ledger_id = 111 AND account_id = 3;

-- Each other attribute is TL003 and named; nothing is changed.
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.open_account' || call)
FROM unnest(ARRAY[
	'(111, 3, ''ACCOUNT_3'', ''three'', -10, 100.5, metadata => ''{"a": 1, "b": [2]}'')',
	'(111, 3, ''USD'', ''tree'', -10, 100.5, metadata => ''{"a": 1, "b": [2]}'')',
	'(111, 3, ''USD'', NULL, -10, 100.5, metadata => ''{"a": 1, "b": [2]}'')',
	'(111, 3, ''USD'', ''three'', -10.01, 100.5, metadata => ''{"a": 1, "b": [2]}'')',
	'(111, 3, ''USD'', ''three'', NULL, 100.5, metadata => ''{"a": 1, "b": [2]}'')',
	'(111, 3, ''USD'', ''three'', -10, 100.51, metadata => ''{"a": 1, "b": [2]}'')',
	'(111, 3, ''USD'', ''three'', -10, NULL, metadata => ''{"a": 1, "b": [2]}'')',
	'(111, 3, ''USD'', ''three'', -10, 100.5, metadata => ''{"a": 1}'')',
	'(111, 3, ''USD'', ''three'', -10, 100.5)']) AS call;
SELECT asset, name, min_balance, max_balance, metadata FROM teller.account
WHERE ledger_id = 111 AND account_id = 3;

-- A no-op on an account with money changes nothing of it.
SELECT teller.open_account(111, 4, 'USD', 'world', min_balance => NULL);
SELECT status FROM teller.transfer(111, 4, 3, 50);
SELECT teller.open_account(111, 3, 'USD', 'three', -10, 100.5,
	metadata => '{"a": 1, "b": [2]}');
SELECT * FROM teller.balance(111, 3);

-- Without an id one is made: above 0, below 2^53, and found by its name.
SELECT teller.open_account(111, NULL, 'USD', 'made') AS made \gset
SELECT :made > 0, :made < 2::numeric ^ 53,
	teller.account_id(111, 'made') = :made;
-- The name again gives the same id.
SELECT teller.open_account(111, NULL, 'USD', 'made') = :made;
SELECT teller.open_account(111, :made, 'USD', 'made') = :made;
SELECT count(*) FROM teller.account WHERE ledger_id = 111 AND name = 'made';
-- With other attributes it is TL003.
SELECT pg_temp.says($$SELECT teller.open_account(111, NULL, 'USD', 'made', 1)$$);
SELECT pg_temp.says($$SELECT teller.open_account(111, NULL, 'ACCOUNT_3', 'made')$$);
-- Without name or id it could not be found again.
SELECT pg_temp.says($$SELECT teller.open_account(111, NULL, 'USD')$$);

-- Two hundred made ids differ.
SELECT count(DISTINCT teller.open_account(112, NULL, 'USD', 'n' || i))
FROM generate_series(1, 200) AS i;

-- A name is unique in its ledger, and free in another.
SELECT pg_temp.says($$SELECT teller.open_account(111, 5, 'USD', 'three')$$);
SELECT teller.open_account(112, 5, 'USD', 'three');
SELECT teller.account_id(111, 'three'), teller.account_id(112, 'three');

-- Where the id and the name belong to two accounts, the id is looked at.
SELECT pg_temp.says($$SELECT teller.open_account(111, 4, 'USD', 'three')$$);

-- Names that differ by case or by a trailing blank are two names.
SELECT teller.open_account(111, 6, 'USD', 'Three'),
	teller.open_account(111, 7, 'USD', 'three ');
SELECT teller.account_id(111, 'three'), teller.account_id(111, 'Three'),
	teller.account_id(111, 'three ');

-- Many accounts without a name are fine, and every bigint is an account id.
SELECT teller.open_account(111, 0, 'USD'),
	teller.open_account(111, -1, 'USD', 'negative'),
	teller.open_account(111, 9223372036854775807, 'USD'),
	teller.open_account(111, -9223372036854775808, 'USD');
SELECT status, debit_balance, credit_balance
FROM teller.transfer(111, 4, 9223372036854775807, 1);
SELECT status FROM teller.transfer(111, 9223372036854775807, -9223372036854775808, 1);
SELECT posted FROM teller.balance(111, -9223372036854775808);

-- An account is found by its name; a missing one is TL009.
SELECT teller.account_id(111, 'negative');
SELECT pg_temp.says($$SELECT teller.account_id(111, 'nobody')$$);
SELECT pg_temp.says($$SELECT teller.account_id(111, '')$$);
SELECT provolatile FROM pg_proc WHERE oid = 'teller.account_id(bigint, text)'::regprocedure;

-- A ledger or an asset that is not there is TL009; the hint says what to do.
SELECT pg_temp.says($$SELECT teller.open_account(119, 1, 'USD')$$);
SELECT pg_temp.says($$SELECT teller.open_account(111, 8, 'ACCOUNT_O''X')$$);
SELECT pg_temp.says($$SELECT teller.balance(111, 8)$$);
SELECT pg_temp.says($$SELECT teller.balance(119, 1)$$);

-- A minimum above the maximum is refused; they may be equal.
SELECT pg_temp.says($$SELECT teller.open_account(111, 8, 'USD', NULL, 10.01, 10)$$);
SELECT teller.open_account(111, 8, 'USD', NULL, 10, 10);

-- Limits obey the asset's scale and range, and are finite.
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.open_account' || call)
FROM unnest(ARRAY[
	'(111, 9, ''USD'', min_balance => 0.001)',
	'(111, 9, ''USD'', max_balance => 1.005)',
	'(111, 9, ''USD'', max_balance => 1e36)',
	'(111, 9, ''USD'', min_balance => -1e36)',
	'(111, 9, ''USD'', min_balance => -1e1000)',
	'(111, 9, ''USD'', min_balance => ''NaN'')',
	'(111, 9, ''USD'', max_balance => ''NaN'')',
	'(111, 9, ''USD'', max_balance => ''Infinity'')',
	'(111, 9, ''USD'', min_balance => ''-Infinity'')']) AS call;
-- The largest ones work.
SELECT teller.open_account(111, 9, 'USD',
	min_balance => -999999999999999999999999999999999999.99,
	max_balance => 999999999999999999999999999999999999.99);

-- Reentrancy is one of four words; sql/reentrancy.sql has what they mean.
SELECT mode || E'\n\t' || pg_temp.says(format(
	'SELECT teller.open_account(111, 10, ''USD'', reentrancy => %L)', mode))
FROM unnest(ARRAY['ALLOW', '', 'allow ']) AS mode;

-- A hot account needs the preload (55000).
SELECT pg_temp.says($$SELECT teller.open_account(111, 10, 'USD', hot => true)$$)
	LIKE CASE WHEN current_setting('shared_preload_libraries') LIKE '%pg_teller%'
		THEN 'no error'
		ELSE '55000: a hot account needs pg_teller to be preloaded%shared_preload_libraries = ''pg_teller''%' END;

-- balance() is of the statement's snapshot and counts what the transaction did.
BEGIN;
SELECT posted, version FROM teller.balance(111, 3);
SELECT status FROM teller.transfer(111, 3, 4, 20);
SELECT posted, version FROM teller.balance(111, 3);
ROLLBACK;
SELECT posted, version FROM teller.balance(111, 3);
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT posted, version FROM teller.balance(111, 3);
COMMIT;

-- lock_accounts takes any order, doubles, one element, none, any lower bound.
BEGIN;
SELECT teller.lock_accounts(111, ARRAY[4, 1, 3, 1, 4, 3]);
SELECT teller.lock_accounts(111, ARRAY[1]);
SELECT teller.lock_accounts(111, '{}');
SELECT teller.lock_accounts(111, '[5:6]={3,1}');
SELECT status FROM teller.transfer(111, 3, 1, 1);
COMMIT;
-- It locks the rows FOR NO KEY UPDATE: in this transaction each carries xmax.
BEGIN;
SELECT teller.lock_accounts(111, ARRAY[2, 6]);
SELECT account_id FROM teller.account
WHERE ledger_id = 111 AND xmax::text = pg_current_xact_id()::text
ORDER BY account_id;
ROLLBACK;
-- It changes nothing.
SELECT version FROM teller.balance(111, 6);
-- What it cannot lock, it names.
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.lock_accounts' || call)
FROM unnest(ARRAY['(NULL, ARRAY[1])', '(111, NULL)', '(111, ARRAY[1, NULL])',
	'(111, ARRAY[[1, 2], [3, 4]])', '(111, ARRAY[1, 77])',
	'(111, array_fill(1::bigint, ARRAY[10001]))']) AS call;
SELECT teller.lock_accounts(111, array_fill(1::bigint, ARRAY[10000]));

SELECT * FROM teller.verify();
