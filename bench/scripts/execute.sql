\set k random(1, 9000000000000000000)
SELECT * FROM teller_remote.execute(sha256(:k::text::bytea),
	'00000000-0000-4000-8000-000000000001', 1, 'withdraw', 'savings', 1.00,
	'USD', :k::text, clock_timestamp() + interval '15 min', NULL);
