\set a random(1000, 999 + :accounts)
\set b random(1000, 998 + :accounts)
\set b CASE WHEN :b >= :a THEN :b + 1 ELSE :b END
WITH locked AS MATERIALIZED (
	SELECT * FROM h.account
	WHERE ledger_id = 1 AND account_id IN (:a, :b)
	ORDER BY account_id FOR NO KEY UPDATE
), can AS MATERIALIZED (
	SELECT greatest(clock_timestamp(), d.last_at, c.last_at) AS at
	FROM locked d, locked c
	WHERE d.account_id = :a AND c.account_id = :b AND d.asset = c.asset
	  AND d.status = 'open' AND c.status = 'open'
	  AND (d.min_balance IS NULL OR d.posted - d.pending_debit - 1.00 >= d.min_balance)
	  AND (c.max_balance IS NULL OR c.posted + c.pending_credit + 1.00 <= c.max_balance)
), d AS (
	UPDATE h.account t SET posted = t.posted - 1.00, version = t.version + 1,
			last_at = can.at
	FROM can WHERE t.ledger_id = 1 AND t.account_id = :a
	RETURNING t.posted, t.version, t.pending_debit, t.last_at
), c AS (
	UPDATE h.account t SET posted = t.posted + 1.00, version = t.version + 1,
			last_at = can.at
	FROM can WHERE t.ledger_id = 1 AND t.account_id = :b
	RETURNING t.posted, t.version, t.pending_credit
)
INSERT INTO h.journal (ledger_id, id, kind, debit_account, credit_account,
		amount, debit_version, debit_posted, debit_pending, credit_version,
		credit_posted, credit_pending, effective_at, recorded_at, ends_hold)
	SELECT 1, gen_random_uuid(), 'transfer', :a, :b, 1.00, d.version, d.posted,
		d.pending_debit, c.version, c.posted, c.pending_credit, d.last_at,
		d.last_at, false
	FROM d, c
	RETURNING id, debit_posted, debit_version, credit_posted, credit_version;
