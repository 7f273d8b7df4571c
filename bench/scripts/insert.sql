\set a random(1000, 999 + :accounts)
\set b random(1000, 998 + :accounts)
\set b CASE WHEN :b >= :a THEN :b + 1 ELSE :b END
INSERT INTO h.bare (ledger_id, id, kind, debit_account, credit_account,
		amount, debit_version, debit_posted, debit_pending, credit_version,
		credit_posted, credit_pending, effective_at, recorded_at, ends_hold)
	VALUES (1, gen_random_uuid(), 'transfer', :a, :b, 1.00, 17, 1000000.00, 0.00,
		18, 1000000.00, 0.00, clock_timestamp(), clock_timestamp(), false);
