-- What every database of the bench begins with: a ledger, an asset, and an
-- account from which the others get their money.
CREATE EXTENSION pg_teller;
SELECT teller.create_ledger(1, 'bench');
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(1, 1, 'USD', 'world', min_balance => NULL);
SELECT teller.open_account(1, 2, 'USD', 'counterpart', min_balance => NULL);
