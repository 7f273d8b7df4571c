\set a random(1000, 999 + :accounts)
SELECT * FROM teller.transfer(1, 3, :a, 1.00);
