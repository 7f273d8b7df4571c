\set sku 1000000000000 + random(1, :accounts)
UPDATE stock SET units = units - 1
	WHERE sku = :sku::text AND units - 1 >= 0 RETURNING units;
