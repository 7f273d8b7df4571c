\set n random(1, 10000)
SELECT ids FROM basket WHERE n = :n \gset
SELECT id FROM wallet WHERE id = ANY (:ids::bigint[])
	ORDER BY id FOR NO KEY UPDATE;
