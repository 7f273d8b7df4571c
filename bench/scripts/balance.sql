\set a random(1000, 999 + :accounts)
SELECT * FROM teller.balance(1, :a);
