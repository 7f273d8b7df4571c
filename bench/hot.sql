-- One account that everybody pays out of and into: with a row lock, and with
-- teller.transfer_early.
SELECT teller.open_account(1, 4, 'USD', 'row locked');
SELECT teller.open_account(1, 5, 'USD', 'early');
SELECT * FROM teller.transfer(1, 1, 4, 1000000000);
SELECT * FROM teller.transfer(1, 1, 5, 1000000000);
