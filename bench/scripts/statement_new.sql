\set shop random(-10, -1)
\set after :versions - 50 - random(0, least(:versions - 50, 100))
SELECT * FROM teller.statement(1, :shop, :after, 50);
