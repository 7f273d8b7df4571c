\set shop random(-10, -1)
\set after random(0, :versions - 50)
SELECT * FROM teller.statement(1, :shop, :after, 50);
