-- A test of your own code against a ledger.  The output is stable because it
-- leaves out ids and times, gives accounts their ids, and orders its rows.
SET client_min_messages = warning;
CREATE EXTENSION tip_jar CASCADE;
RESET client_min_messages;

SELECT teller.create_ledger(7, 'restaurant');
SELECT teller.create_asset('EUR', 2);
SELECT teller.open_account(7, 1, 'EUR', 'world', min_balance => NULL);
SELECT teller.open_account(7, 2, 'EUR', 'guest');
SELECT teller.open_account(7, 3, 'EUR', 'waiter');
SELECT status, credit_balance
	FROM teller.transfer(7, 1, 2, 20.00, key => 'guest pays in');

-- a tip
SELECT * FROM tip_jar.tip('slip-1', 'guest', 'waiter', 5.00, 'good soup');

-- the same slip again is answered, not paid
SELECT * FROM tip_jar.tip('slip-1', 'guest', 'waiter', 5.00, 'good soup');

-- more than the guest has: no row, no money
\set VERBOSITY terse
SELECT * FROM tip_jar.tip('slip-2', 'guest', 'waiter', 15.01);
SELECT * FROM tip_jar.tip('slip-3', 'guest', 'nobody', 1.00);
SELECT slip, guest, waiter FROM tip_jar.tip ORDER BY slip;

-- what the ledger says
SELECT account_id, posted, available, version
	FROM teller.account_balance WHERE ledger_id = 7 ORDER BY account_id;
SELECT kind, debit_account, credit_account, amount, debit_posted, credit_posted
	FROM teller.movement WHERE ledger_id = 7 ORDER BY debit_account;
SELECT function, status FROM teller.find(7, 'slip-1');

-- every test of yours can end like this
SELECT * FROM teller.verify(7);
