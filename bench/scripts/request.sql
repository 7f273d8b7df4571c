\set k random(1, 9000000000000000000)
BEGIN;
SELECT * FROM teller.begin_request('orders', :k::text, :order);
SELECT teller.finish_request('orders', :k::text, :answer);
COMMIT;
