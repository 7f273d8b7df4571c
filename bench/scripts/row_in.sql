\set a random(1000, 999 + :accounts)
SELECT * FROM teller.transfer(1, :a, 4, 1.00);
