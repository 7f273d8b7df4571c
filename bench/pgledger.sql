-- pgledger's own SQL, which the user brings, and as many accounts as ours, that
-- have as much and may not be overdrawn either.  Their ids are as long as the
-- ones that it makes, but can be told from a number.
\if :{?pgledger}
\i :pgledger
INSERT INTO pgledger_accounts (id, name, currency, allow_negative_balance,
		allow_positive_balance, created_at, updated_at)
	VALUES ('pgla_world', 'world', 'USD', true, true, now(), now());
INSERT INTO pgledger_accounts (id, name, currency, allow_negative_balance,
		allow_positive_balance, created_at, updated_at)
	SELECT 'pgla_' || lpad(i::text, 26, '0'), 'account ' || i, 'USD', false, true,
		now(), now()
	FROM generate_series(1000, 999 + :accounts) i;
-- One transaction each: in one they would wade through the dead versions of
-- the world's row.
SELECT format('SELECT count(*) FROM pgledger_create_transfer(''pgla_world'', ''pgla_%s'', 1000000);',
		lpad(i::text, 26, '0'))
	FROM generate_series(1000, 999 + :accounts) i \gexec
VACUUM ANALYZE;
CHECKPOINT;
\endif
