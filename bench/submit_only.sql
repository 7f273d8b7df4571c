-- Withdrawals that nobody sends: their server is one of a pull worker's.
CREATE SERVER bank FOREIGN DATA WRAPPER teller_pull;
SELECT teller.set_settlement_account(1, 'bank', 2);
