-- The invariants of limits and states, in the form of verify.sql: $1 is the
-- ledger, NULL for all; a row is a violation.

CREATE FUNCTION teller.verify_limits(bigint)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- each version with both pending amounts after it, the limits it came about
	-- under, and what its call did to the amounts that limits are tested on
	WITH gap AS MATERIALIZED (
		SELECT g.* FROM teller.verify_gap($1) g),
	chain AS MATERIALIZED (
		SELECT v.ledger_id, v.account_id, v.version, v.kind, v.is_debit, v.posted,
			v.recorded_at, v.operation_id, v.era,
			v.era_min AS min_balance, v.era_max AS max_balance, v.era_status AS status,
			coalesce(sum(v.reserved) FILTER (WHERE v.is_debit) OVER w, 0)
				+ coalesce(sum(g.reserved_debit) OVER w, 0) AS pending_debit,
			-- which of its hot rows counted is not told by versions
			CASE WHEN count(g.after_version) OVER w = 0
				THEN v.era_pending + coalesce(sum(v.reserved) FILTER (WHERE NOT v.is_debit) OVER of_era, 0)
				WHEN NOT v.is_debit THEN v.pending END AS pending_credit,
			count(g.after_version) OVER w AS gaps,
			sum(v.moved - CASE WHEN v.is_debit THEN v.reserved ELSE 0 END) OVER call AS freed,
			sum(v.moved + CASE WHEN v.is_debit THEN 0 ELSE v.reserved END) OVER call AS taken,
			v.version = max(v.version) OVER call AS is_last,
			lead(v.version) OVER w IS NULL AS is_end
		FROM teller.verify_step v
		LEFT JOIN gap g ON g.ledger_id = v.ledger_id AND g.account_id = v.account_id
			AND g.after_version = v.version - 1
		WHERE $1 IS NULL OR v.ledger_id = $1
		WINDOW w AS (PARTITION BY v.ledger_id, v.account_id ORDER BY v.version, v.id),
			of_era AS (PARTITION BY v.ledger_id, v.account_id, v.era ORDER BY v.version, v.id),
			call AS (PARTITION BY v.ledger_id, v.account_id, coalesce(v.batch_id, v.id))),
	-- each change with the one before it and the balances at its time, NULL
	-- where the account was hot at that version
	change AS MATERIALIZED (
		SELECT l.*, CASE WHEN g.after_version IS NULL THEN coalesce(c.posted, 0) END AS posted,
			CASE WHEN g.after_version IS NULL THEN coalesce(c.posted, 0) - coalesce(c.pending_debit, 0) END AS available,
			CASE WHEN g.after_version IS NOT NULL OR c.gaps > 0 THEN NULL
				WHEN l.version_before = l.version THEN l.pending_before
				ELSE coalesce(c.pending_credit, l.pending_before) END AS pending_then,
			c.recorded_at
		FROM (SELECT n.*, row_number() OVER w = 1 AS is_first,
				lag(n.version) OVER w AS version_before,
				lag(n.min_balance) OVER w AS min_before,
				lag(n.max_balance) OVER w AS max_before,
				coalesce(lag(n.status) OVER w, 'open') AS status_before,
				coalesce(lag(n.pending_credit) OVER w, 0) AS pending_before,
				lag(n.changed_at) OVER w AS changed_before
			FROM teller.limit_change_data n
			WHERE $1 IS NULL OR n.ledger_id = $1
			WINDOW w AS (PARTITION BY n.ledger_id, n.account_id
				ORDER BY n.version, n.changed_at, n.id)) l
		LEFT JOIN chain c ON c.ledger_id = l.ledger_id AND c.account_id = l.account_id
			AND c.version = l.version
		LEFT JOIN gap g ON g.ledger_id = l.ledger_id AND g.account_id = l.account_id
			AND g.after_version = l.version),
	last_era AS MATERIALIZED (
		SELECT DISTINCT ON (e.ledger_id, e.account_id) e.*
		FROM teller.verify_era e
		WHERE $1 IS NULL OR e.ledger_id = $1
		ORDER BY e.ledger_id, e.account_id, e.era DESC)
	-- I4: finite, in range, in the asset's scale
	SELECT 'I4', l.ledger_id, 'account ' || l.account_id,
		format('limits changed at version %s from %s and %s to %s and %s, pending_credit %s', l.version,
			l.old_min_balance, l.old_max_balance, l.min_balance, l.max_balance, l.pending_credit)
	FROM change l
	JOIN teller.account a ON a.ledger_id = l.ledger_id AND a.account_id = l.account_id
	JOIN teller.asset s ON s.asset = a.asset
	WHERE NOT (teller.verify_amount(l.old_min_balance, s.scale)
		AND teller.verify_amount(l.old_max_balance, s.scale)
		AND teller.verify_amount(l.min_balance, s.scale)
		AND teller.verify_amount(l.max_balance, s.scale)
		AND teller.verify_amount(l.pending_credit, s.scale) AND l.pending_credit >= 0)
	UNION ALL
	-- I5: pending credits go on from change to change, begin with a maximum and
	-- end with it
	SELECT 'I5', l.ledger_id, 'account ' || l.account_id,
		format('pending_credit %s after the change of limits at version %s, but %s before',
			l.pending_credit, l.version, l.pending_then)
	FROM change l
	WHERE l.pending_credit <> CASE WHEN l.max_balance IS NULL THEN 0
		WHEN l.old_max_balance IS NULL THEN l.pending_credit ELSE l.pending_then END
	UNION ALL
	SELECT 'I5', a.ledger_id, 'account ' || a.account_id,
		format('the row has pending_credit %s, the journal ends with %s', a.pending_credit,
			coalesce(c.pending_credit, e.pending_credit))
	FROM teller.account a
	JOIN last_era e ON e.ledger_id = a.ledger_id AND e.account_id = a.account_id
	LEFT JOIN chain c ON c.ledger_id = a.ledger_id AND c.account_id = a.account_id
		AND c.is_end AND c.era = e.era
	WHERE a.max_balance IS NOT NULL
		AND a.pending_credit <> coalesce(c.pending_credit, e.pending_credit)
		AND NOT EXISTS (SELECT FROM gap g
			WHERE g.ledger_id = a.ledger_id AND g.account_id = a.account_id)
	UNION ALL
	-- I6: a change is later than all before it
	SELECT 'I6', l.ledger_id, 'account ' || l.account_id,
		format('limits were changed at version %s at %s, the change before at %s, the version at %s',
			l.version, l.changed_at, l.changed_before, l.recorded_at)
	FROM change l
	WHERE l.changed_at <= l.changed_before OR l.changed_at <= l.recorded_at
	UNION ALL
	-- I7: no call takes more than the limits leave; in breach of a limit only
	-- what leads towards it is accepted
	SELECT 'I7', c.ledger_id, 'account ' || c.account_id,
		format('version %s: available %s after %s, minimum %s', c.version,
			c.posted - c.pending_debit, c.freed, c.min_balance)
	FROM chain c
	WHERE c.is_last AND c.freed < 0 AND c.posted - c.pending_debit < c.min_balance
		AND c.posted - c.pending_debit < c.min_balance -
			(SELECT coalesce(sum(d.rest), 0) FROM teller.verify_due d
				WHERE d.ledger_id = c.ledger_id AND d.debit_account = c.account_id
					AND d.expires_at <= c.recorded_at
					AND (d.swept_at IS NULL OR d.debit_version > c.version))
	UNION ALL
	SELECT 'I7', c.ledger_id, 'account ' || c.account_id,
		format('version %s: posted and pending credits %s after %s, maximum %s', c.version,
			c.posted + c.pending_credit, c.taken, c.max_balance)
	FROM chain c
	WHERE c.is_last AND c.taken > 0 AND c.posted + c.pending_credit > c.max_balance
		AND c.posted + c.pending_credit > c.max_balance +
			(SELECT coalesce(sum(d.rest), 0) FROM teller.verify_due d
				WHERE d.ledger_id = c.ledger_id AND d.credit_account = c.account_id
					AND d.expires_at <= c.recorded_at
					AND (d.swept_at IS NULL OR d.credit_version > c.version
						OR (d.credit_version IS NULL AND d.swept_at > c.recorded_at)))
	UNION ALL
	-- a limit that the account was in breach of when it was set, was forced
	SELECT 'I7', l.ledger_id, 'account ' || l.account_id,
		format('limits %s and %s were set at version %s, not forced: available %s, posted and pending credits %s',
			coalesce(l.min_balance::text, 'none'), coalesce(l.max_balance::text, 'none'),
			l.version, l.available, l.posted + l.pending_credit)
	FROM change l
	WHERE l.status = l.old_status AND NOT l.forced
		AND (l.available < l.min_balance OR l.posted + l.pending_credit > l.max_balance)
		AND (l.available < l.min_balance -
			(SELECT coalesce(sum(d.rest), 0) FROM teller.verify_due d
				WHERE d.ledger_id = l.ledger_id AND d.debit_account = l.account_id
					AND d.expires_at <= l.changed_at
					AND (d.swept_at IS NULL OR d.debit_version > l.version))
			OR l.posted + l.pending_credit > l.max_balance +
			(SELECT coalesce(sum(d.rest), 0) FROM teller.verify_due d
				WHERE d.ledger_id = l.ledger_id AND d.credit_account = l.account_id
					AND d.expires_at <= l.changed_at
					AND (d.swept_at IS NULL OR d.credit_version > l.version
						OR (d.credit_version IS NULL AND d.swept_at > l.changed_at))))
	UNION ALL
	-- limits and status change by what is on record, and by nothing else
	SELECT 'I7', a.ledger_id, 'account ' || a.account_id,
		format('its limits are %s and %s, the last change says %s and %s',
			coalesce(a.min_balance::text, 'none'), coalesce(a.max_balance::text, 'none'),
			coalesce(e.min_balance::text, 'none'), coalesce(e.max_balance::text, 'none'))
	FROM teller.account a
	JOIN last_era e ON e.ledger_id = a.ledger_id AND e.account_id = a.account_id
	WHERE a.min_balance IS DISTINCT FROM e.min_balance
		OR a.max_balance IS DISTINCT FROM e.max_balance
	UNION ALL
	SELECT 'I7', l.ledger_id, 'account ' || l.account_id,
		format('at version %s limits changed from %s and %s, but they were %s and %s', l.version,
			coalesce(l.old_min_balance::text, 'none'), coalesce(l.old_max_balance::text, 'none'),
			coalesce(l.min_before::text, 'none'), coalesce(l.max_before::text, 'none'))
	FROM change l
	WHERE NOT l.is_first AND (l.old_min_balance IS DISTINCT FROM l.min_before
		OR l.old_max_balance IS DISTINCT FROM l.max_before)
	UNION ALL
	SELECT 'I7', l.ledger_id, 'account ' || l.account_id,
		format('limits were changed at version %s, %s', l.version,
			CASE WHEN a.version IS NULL THEN 'but there is no such account'
				ELSE 'but it has had ' || a.version END)
	FROM change l
	LEFT JOIN teller.account a ON a.ledger_id = l.ledger_id AND a.account_id = l.account_id
	WHERE a.version IS NULL OR l.version > a.version
	UNION ALL
	SELECT 'I8', a.ledger_id, 'account ' || a.account_id,
		format('its status is %s, the last change says %s', a.status, e.status)
	FROM teller.account a
	JOIN (SELECT n.ledger_id, n.account_id, CASE WHEN n.era = 0 THEN 'open' ELSE n.status END AS status
			FROM last_era n) e
		ON e.ledger_id = a.ledger_id AND e.account_id = a.account_id
	WHERE a.status <> e.status
	UNION ALL
	SELECT 'I8', l.ledger_id, 'account ' || l.account_id,
		format('at version %s its status changed from %s, but it was %s', l.version,
			l.old_status, l.status_before)
	FROM change l
	WHERE l.old_status <> l.status_before
	UNION ALL
	-- I8: nothing is posted against a freeze but what an operation, which held
	-- its money before, ends with; on a closed account nothing at all
	SELECT 'I8', c.ledger_id, 'account ' || c.account_id,
		format('version %s: a %s %s while it was %s', c.version, c.kind,
			CASE WHEN c.is_debit THEN 'debited it' ELSE 'credited it' END, c.status)
	FROM chain c
	WHERE c.status = 'closed'
		OR (c.status IN ('frozen', CASE WHEN c.is_debit THEN 'frozen_debit' ELSE 'frozen_credit' END)
			AND (c.kind IN ('transfer', 'reversal', 'hold')
				OR (c.kind = 'capture' AND c.operation_id IS NULL)))
	UNION ALL
	SELECT 'I8', l.ledger_id, 'account ' || l.account_id,
		format('it was closed at version %s with %s', l.version, l.posted)
	FROM change l
	WHERE l.status = 'closed' AND l.old_status <> 'closed' AND (l.posted <> 0 OR l.available <> 0)
	UNION ALL
	-- a closed account is empty
	SELECT 'I8', a.ledger_id, 'account ' || a.account_id,
		format('it is closed with posted %s, pending %s and %s, %s open holds, %s open operations',
			a.posted, a.pending_debit, a.pending_credit, coalesce(b.holds, 0), coalesce(b.operations, 0))
	FROM teller.verify_present a
	LEFT JOIN (SELECT s.ledger_id, s.account_id, sum(s.holds) AS holds, sum(s.operations) AS operations
			FROM (SELECT h.ledger_id, h.debit_account AS account_id, 1 AS holds, 0 AS operations
					FROM teller.hold h WHERE h.state = 'open'
				UNION ALL
				SELECT h.ledger_id, h.credit_account, 1, 0
					FROM teller.hold h WHERE h.state = 'open'
				UNION ALL
				SELECT o.ledger_id, o.account_id, 0, 1
					FROM teller.operation_data o WHERE o.state NOT IN ('settled', 'refunded')
				UNION ALL
				SELECT o.ledger_id, o.settlement_account, 0, 1
					FROM teller.operation_data o WHERE o.state NOT IN ('settled', 'refunded')) s
			GROUP BY s.ledger_id, s.account_id) b
		ON b.ledger_id = a.ledger_id AND b.account_id = a.account_id
	WHERE ($1 IS NULL OR a.ledger_id = $1) AND a.status = 'closed'
		AND (a.posted <> 0 OR a.pending_debit <> 0 OR a.pending_credit <> 0
			OR b.holds > 0 OR b.operations > 0);
END;
COMMENT ON FUNCTION teller.verify_limits(bigint) IS 'Invariants I7 and I8 (limits and states), and what changes of limits mean for I4 to I6; called by teller.verify().';
