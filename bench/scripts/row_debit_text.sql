\set sku 1000000000000 + random(1, :accounts)
SELECT teller.row_debit('stock', :sku::text, 1, 'units');
