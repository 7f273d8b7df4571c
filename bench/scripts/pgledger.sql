\set a random(1000, 999 + :accounts)
\set b random(1000, 998 + :accounts)
\set b CASE WHEN :b >= :a THEN :b + 1 ELSE :b END
SELECT * FROM pgledger_create_transfer(
	'pgla_' || lpad(:a::text, 26, '0'), 'pgla_' || lpad(:b::text, 26, '0'), 1.00);
