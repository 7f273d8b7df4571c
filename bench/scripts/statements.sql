\set a random(1000, 999 + :accounts)
\set b random(1000, 998 + :accounts)
\set b CASE WHEN :b >= :a THEN :b + 1 ELSE :b END
BEGIN;
SELECT account_id, asset, status, posted, pending_debit, min_balance
	FROM h.account WHERE ledger_id = 1 AND account_id IN (:a, :b)
	ORDER BY account_id FOR NO KEY UPDATE;
UPDATE h.account SET posted = posted - 1.00, version = version + 1,
		last_at = greatest(clock_timestamp(), last_at)
	WHERE ledger_id = 1 AND account_id = :a AND status = 'open'
	  AND (min_balance IS NULL OR posted - pending_debit - 1.00 >= min_balance)
	RETURNING posted, version, pending_debit \gset d_
UPDATE h.account SET posted = posted + 1.00, version = version + 1,
		last_at = greatest(clock_timestamp(), last_at)
	WHERE ledger_id = 1 AND account_id = :b AND status = 'open'
	  AND (max_balance IS NULL OR posted + pending_credit + 1.00 <= max_balance)
	RETURNING posted, version, pending_credit, last_at \gset c_
INSERT INTO h.journal (ledger_id, id, kind, debit_account, credit_account,
		amount, debit_version, debit_posted, debit_pending, credit_version,
		credit_posted, credit_pending, effective_at, recorded_at, ends_hold)
	VALUES (1, gen_random_uuid(), 'transfer', :a, :b, 1.00, :d_version,
		:d_posted, :d_pending_debit, :c_version, :c_posted, :c_pending_credit,
		:c_last_at::timestamptz, :c_last_at::timestamptz, false)
	RETURNING id;
COMMIT;
