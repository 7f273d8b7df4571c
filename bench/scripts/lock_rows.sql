\set n random(1, 10000)
SELECT ids FROM basket WHERE n = :n \gset
SELECT * FROM teller.lock_rows('wallet', :ids::bigint[]);
