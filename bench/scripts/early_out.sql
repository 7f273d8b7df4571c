\set a random(1000, 999 + :accounts)
CALL teller.transfer_early(1, 5, :a, 1.00);
