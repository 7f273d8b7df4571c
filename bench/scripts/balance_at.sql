\set shop random(-10, -1)
\set at :began + :seconds * random(0, 1000000) / 1000000.0
SELECT teller.balance_at(1, :shop, to_timestamp(:at));
