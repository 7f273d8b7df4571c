\set a random(1000, 999 + :accounts)
\set k random(1, 9000000000000000000)
SELECT id FROM teller.withdraw(1, :a, 'bank', 1.00, 'savings', :k::text);
