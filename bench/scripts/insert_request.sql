\set k random(1, 9000000000000000000)
BEGIN;
INSERT INTO request (scope, key, request) VALUES ('orders', :k::text, :order)
	ON CONFLICT DO NOTHING RETURNING true;
UPDATE request SET response = :answer, finished_at = clock_timestamp()
	WHERE scope = 'orders' AND key = :k::text;
COMMIT;
