\set a random(1000, 999 + :accounts)
\set b random(1000, 998 + :accounts)
\set b CASE WHEN :b >= :a THEN :b + 1 ELSE :b END
SELECT id FROM teller.hold(1, :a, :b, 1.00) \gset
SELECT * FROM teller.capture(1, :id::uuid);
