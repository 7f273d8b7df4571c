\set a random(1000, 999 + :accounts)
\set b 1000 + (:a - 999) % :accounts
SELECT id FROM teller.hold(1, :a, :b, 1.00);
