-- A shop that pays out through a provider of card payments: run it in an empty
-- database as a superuser.
CREATE EXTENSION pg_teller;
SELECT teller.create_ledger(1, 'shop'), teller.create_asset('USD', 2);
SELECT teller.open_account(1, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(1, 2, 'USD', 'alice'),
	teller.open_account(1, 9, 'USD', 'at the provider', min_balance => NULL);
SELECT status FROM teller.transfer(1, 1, 2, 1000.00, key => 'opening');

-- The provider remembers an Idempotency-Key for 24 hours, can be asked what
-- became of one, and cannot be told never to execute one.
CREATE SERVER card FOREIGN DATA WRAPPER teller_pull
	OPTIONS (can_lookup 'on', can_fence 'off', memo_retention '24 h');
SELECT teller.set_settlement_account(1, 'card', 9);

-- The worker's role: it may operate on the ledger and use the server.
CREATE ROLE payout_worker LOGIN;
GRANT USAGE ON SCHEMA teller TO payout_worker;
GRANT USAGE ON FOREIGN SERVER card TO payout_worker;
SELECT teller.grant_ledger(1, 'payout_worker', 'operate');
