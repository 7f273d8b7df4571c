\set a random(1000, 999 + :accounts)
\set k random(1, 9000000000000000000)
SELECT h.submit(:a, 1.00, :k::text);
