\set shop random(-10, -1)
\set at :began + :seconds * (1 - random(0, 10000) / 1000000.0)
SELECT teller.balance_at(1, :shop, to_timestamp(:at));
