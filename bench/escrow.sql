-- The same, as a hot account.
SELECT teller.open_account(1, 3, 'USD', 'hot', hot => true);
SELECT * FROM teller.transfer(1, 1, 3, 1000000000);
