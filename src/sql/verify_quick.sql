-- teller.verify() at level quick: what changed since the mark that
-- teller.mark_verified() set.  The cost is that of reading the accounts, the
-- open holds, the open operations, and what was written since.

-- An account that was never used before the mark adds nothing, so accounts
-- opened since do not matter.
CREATE FUNCTION teller.verify_digest(ledger bigint, mark timestamptz) RETURNS numeric
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT coalesce(sum(('x' || left(encode(sha256(convert_to(
			concat_ws(' ', b.account_id, b.version, trim_scale(b.posted), trim_scale(b.pending_debit)),
			'UTF8')), 'hex'), 16))::bit(64)::bigint), 0)
	FROM teller.verify_base(ledger, mark) b
	WHERE b.version > 0 OR b.posted <> 0 OR b.pending_debit <> 0;
END;
COMMENT ON FUNCTION teller.verify_digest(bigint, timestamptz) IS 'Digest of where the accounts of a ledger stood at a time: the sum of 64 bits of SHA-256 of each; for teller.verify()';

-- What is to be known of accounts that are or were hot; see verify_hot_since().
CREATE FUNCTION teller.verify_noted(ledger bigint) RETURNS jsonb
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT jsonb_object_agg(a.account_id, array_prepend(coalesce(a.folded_epoch, 0), coalesce(a.open_epochs, '{}')))
	FROM teller.account a
	WHERE a.ledger_id = ledger AND (a.hot OR a.folded_epoch IS NOT NULL);
END;
COMMENT ON FUNCTION teller.verify_noted(bigint) IS 'Of each account of a ledger that is or was hot: folded_epoch, and its open epochs; NULL if there is none; for teller.verify()';

-- If it is not what it was, an account was changed that does not look it, a
-- row is gone, or the clock was set back: then quick will not do.
CREATE FUNCTION teller.verify_marked(ledger bigint) RETURNS timestamptz
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT v.verified_at FROM teller.verified v
	WHERE v.ledger_id = ledger AND v.balances = teller.verify_digest(ledger, v.verified_at);
END;
COMMENT ON FUNCTION teller.verify_marked(bigint) IS 'The mark from which a ledger may be verified quickly, NULL if there is none that holds; for teller.verify()';

-- $1 is the ledger, $2 its mark.
CREATE FUNCTION teller.verify_recent(bigint, timestamptz)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH base AS MATERIALIZED (
		SELECT b.* FROM teller.verify_base($1, $2) b WHERE b.changed),
	side AS MATERIALIZED (
		SELECT s.*, b.version AS version_then, b.posted AS posted_then, b.pending_debit AS pending_then
		FROM base b
		CROSS JOIN LATERAL (SELECT v.account_id, v.is_debit, v.id, v.version, v.posted, v.pending,
				v.recorded_at, v.moved, v.reserved, v.epoch
			FROM teller.verify_side v
			WHERE v.ledger_id = $1 AND v.account_id = b.account_id AND v.version > b.version
			OFFSET 0) s),
	-- as in verify_gap(): what hot accounts did between the versions since
	gap AS MATERIALIZED (
		SELECT p.account_id, p.after_version, sum(p.moved) AS moved, sum(p.reserved_debit) AS reserved_debit,
			max(p.last_at) AS last_at
		FROM (SELECT o.*, coalesce(max(o.version) OVER (PARTITION BY o.account_id
					ORDER BY o.epoch, o.version NULLS FIRST), b.version) AS after_version
			FROM (SELECT h.account_id, h.epoch, NULL::bigint AS version, sum(h.moved) AS moved,
					coalesce(sum(h.reserved) FILTER (WHERE h.is_debit), 0) AS reserved_debit,
					max(h.recorded_at) AS last_at
				FROM teller.verify_hot_since($1, $2) h
				GROUP BY h.account_id, h.epoch
				UNION ALL
				SELECT s.account_id, coalesce(s.epoch, 0), max(s.version), NULL, NULL, NULL
				FROM side s
				GROUP BY s.account_id, coalesce(s.epoch, 0)) o
			JOIN base b ON b.account_id = o.account_id) p
		WHERE p.version IS NULL
		GROUP BY p.account_id, p.after_version),
	line AS (
		SELECT v.*, coalesce(g.moved, 0) AS moved_hot, g.last_at AS hot_at,
			coalesce(sum(g.reserved_debit) OVER w, 0) AS reserved_hot
		FROM side v
		LEFT JOIN gap g ON g.account_id = v.account_id AND g.after_version = v.version - 1
		WINDOW w AS (PARTITION BY v.account_id ORDER BY v.version, v.id)),
	chain AS (
		SELECT v.*,
			v.version_then + row_number() OVER w AS place,
			coalesce(lag(v.posted) OVER w, v.posted_then) + v.moved_hot AS posted_before,
			coalesce(lag(v.pending) OVER of_side, v.pending_then)
				+ v.reserved_hot - coalesce(lag(v.reserved_hot) OVER of_side, 0) AS pending_before,
			greatest(lag(v.recorded_at) OVER w, v.hot_at) AS recorded_before
		FROM line v
		WINDOW w AS (PARTITION BY v.account_id ORDER BY v.version, v.id),
			of_side AS (PARTITION BY v.account_id, v.is_debit ORDER BY v.version, v.id)),
	row AS MATERIALIZED (SELECT r.* FROM teller.verify_row($1, $2) r),
	scaled AS MATERIALIZED (
		SELECT a.*, s.scale FROM teller.verify_present a
		LEFT JOIN teller.asset s ON s.asset = a.asset
		WHERE a.ledger_id = $1),
	open_hold AS MATERIALIZED (
		SELECT h.debit_account, h.credit_account, h.amount - h.captured - h.released AS rest
		FROM teller.hold h
		WHERE h.ledger_id = $1 AND h.state = 'open'),
	-- what the rows since the mark did to each hold they belong to
	touched AS MATERIALIZED (
		SELECT t.hold_id AS id, t.placed, t.captured, t.released, t.ends, t.is_new, t.last_capture, t.expiry,
			h.ledger_id, h.amount, h.captured AS all_captured, h.released AS all_released, h.state, h.expires_at,
			coalesce(h.operation_id, t.operation_id) AS operation_id
		FROM (SELECT r.hold_id, (array_agg(r.operation_id))[1] AS operation_id,
				sum(CASE r.kind WHEN 'hold' THEN r.amount
					WHEN 'adjust' THEN teller.verify_number(r.metadata, 'new_amount')
						- teller.verify_number(r.metadata, 'old_amount') END) AS placed,
				coalesce(sum(r.amount) FILTER (WHERE r.kind = 'capture'), 0) AS captured,
				coalesce(sum(r.amount) FILTER (WHERE r.kind IN ('release', 'expire')), 0) AS released,
				count(*) FILTER (WHERE r.ends_hold) AS ends,
				bool_or(r.kind = 'hold') AS is_new,
				max(r.recorded_at) FILTER (WHERE r.kind = 'capture') AS last_capture,
				max(r.recorded_at) FILTER (WHERE r.kind = 'expire') AS expiry
			FROM row r
			WHERE r.hold_id IS NOT NULL
			GROUP BY r.hold_id) t
		LEFT JOIN LATERAL (SELECT n.* FROM teller.hold n
			WHERE n.ledger_id = $1 AND n.hold_id = t.hold_id OFFSET 0) h ON true),
	operation AS MATERIALIZED (
		SELECT o.* FROM teller.operation_data o
		WHERE o.ledger_id = $1 AND o.state NOT IN ('settled', 'refunded')
		UNION ALL
		SELECT o.*
		FROM (SELECT DISTINCT r.operation_id FROM row r WHERE r.operation_id IS NOT NULL) r
		CROSS JOIN LATERAL (SELECT n.* FROM teller.operation_data n
			WHERE n.ledger_id = $1 AND n.id = r.operation_id OFFSET 0) o
		WHERE o.state IN ('settled', 'refunded'))
	SELECT 'I1', $1, 'asset ' || a.asset, format('posted balances sum to %s', sum(a.posted))
	FROM scaled a GROUP BY a.asset HAVING sum(a.posted) <> 0
	UNION ALL
	SELECT 'I1', $1, 'asset ' || d.asset,
		format('pending debits %s, pending credits %s', d.total, coalesce(c.total, 0))
	FROM (SELECT a.asset, sum(a.pending_debit) AS total FROM scaled a GROUP BY a.asset) d
	LEFT JOIN (SELECT a.asset, sum(h.rest) AS total
			FROM open_hold h JOIN scaled a ON a.account_id = h.credit_account
			GROUP BY a.asset) c ON c.asset = d.asset
	WHERE d.total <> coalesce(c.total, 0)
	UNION ALL
	SELECT 'I2', $1, 'journal ' || r.id,
		format('%s from account %s to %s', r.amount, r.debit_account, r.credit_account)
	FROM row r
	LEFT JOIN scaled d ON d.account_id = r.debit_account
	LEFT JOIN scaled c ON c.account_id = r.credit_account
	WHERE r.debit_account = r.credit_account OR r.amount <= 0
		OR d.asset IS DISTINCT FROM c.asset OR d.asset IS NULL
	UNION ALL
	SELECT 'I3', $1, 'account ' || a.account_id,
		format('pending_debit %s, its open holds sum to %s', a.pending_debit, coalesce(h.rest, 0))
	FROM scaled a
	LEFT JOIN (SELECT o.debit_account, sum(o.rest) AS rest FROM open_hold o GROUP BY o.debit_account) h
		ON h.debit_account = a.account_id
	WHERE a.pending_debit <> coalesce(h.rest, 0)
	UNION ALL
	SELECT 'I3', $1, 'account ' || a.account_id,
		format('pending_credit %s, its open holds sum to %s', a.pending_credit,
			CASE WHEN a.max_balance IS NULL THEN 0 ELSE coalesce(h.rest, 0) END)
	FROM scaled a
	LEFT JOIN (SELECT o.credit_account, sum(o.rest) AS rest FROM open_hold o GROUP BY o.credit_account) h
		ON h.credit_account = a.account_id
	WHERE a.pending_credit <> CASE WHEN a.max_balance IS NULL THEN 0 ELSE coalesce(h.rest, 0) END
	UNION ALL
	SELECT 'I4', $1, 'account ' || a.account_id,
		format('posted %s, pending %s and %s, limits %s and %s', a.posted,
			a.pending_debit, a.pending_credit, a.min_balance, a.max_balance)
	FROM scaled a
	WHERE NOT (a.scale IS NOT NULL
		AND teller.verify_amount(a.posted, a.scale)
		AND teller.verify_amount(a.pending_debit, a.scale) AND a.pending_debit >= 0
		AND teller.verify_amount(a.pending_credit, a.scale) AND a.pending_credit >= 0
		AND teller.verify_amount(a.min_balance, a.scale)
		AND teller.verify_amount(a.max_balance, a.scale))
	UNION ALL
	SELECT 'I4', $1, 'journal ' || r.id,
		format('amount %s, posted %s and %s, pending %s and %s', r.amount,
			r.debit_posted, r.credit_posted, r.debit_pending, r.credit_pending)
	FROM row r
	JOIN scaled a ON a.account_id = r.debit_account
	WHERE NOT (teller.verify_amount(r.amount, a.scale)
		AND teller.verify_amount(r.debit_posted, a.scale)
		AND teller.verify_amount(r.credit_posted, a.scale)
		AND teller.verify_amount(r.debit_pending, a.scale) AND coalesce(r.debit_pending >= 0, true)
		AND teller.verify_amount(r.credit_pending, a.scale) AND coalesce(r.credit_pending >= 0, true))
	UNION ALL
	SELECT 'I5', $1, 'account ' || c.account_id,
		format('version %s stands at place %s of its history', c.version, c.place)
	FROM chain c WHERE c.version <> c.place
	UNION ALL
	SELECT 'I5', $1, 'account ' || c.account_id,
		format('version %s: posted %s, but %s before and %s moved', c.version, c.posted,
			c.posted_before, c.moved)
	FROM chain c WHERE c.posted IS DISTINCT FROM c.posted_before + c.moved
	UNION ALL
	SELECT 'I5', $1, 'account ' || c.account_id,
		format('version %s: pending_debit %s, but %s before and %s reserved', c.version,
			c.pending, c.pending_before, c.reserved)
	FROM chain c WHERE c.is_debit AND c.pending IS DISTINCT FROM c.pending_before + c.reserved
	UNION ALL
	SELECT 'I5', $1, 'account ' || a.account_id,
		format('the row has version %s and posted %s, the journal ends with %s and %s',
			a.version, a.posted, coalesce(c.version, b.version),
			coalesce(c.posted, b.posted) + coalesce(g.moved, 0))
	FROM scaled a
	JOIN base b ON b.account_id = a.account_id
	LEFT JOIN (SELECT DISTINCT ON (s.account_id) s.account_id, s.version, s.posted
			FROM side s ORDER BY s.account_id, s.version DESC) c ON c.account_id = a.account_id
	LEFT JOIN gap g ON g.account_id = a.account_id AND g.after_version = coalesce(c.version, b.version)
	WHERE a.version <> coalesce(c.version, b.version)
		OR a.posted <> coalesce(c.posted, b.posted) + coalesce(g.moved, 0)
	UNION ALL
	SELECT 'I5', $1, 'account ' || a.account_id,
		format('the row has pending_debit %s, the journal ends with %s', a.pending_debit,
			coalesce(c.pending, b.pending_debit) + coalesce(g.reserved_debit, 0) - coalesce(c.reserved_hot, 0))
	FROM scaled a
	JOIN base b ON b.account_id = a.account_id
	LEFT JOIN (SELECT DISTINCT ON (s.account_id) s.account_id, s.pending, s.reserved_hot
			FROM line s WHERE s.is_debit ORDER BY s.account_id, s.version DESC) c
		ON c.account_id = a.account_id
	LEFT JOIN (SELECT n.account_id, sum(n.reserved_debit) AS reserved_debit
			FROM gap n GROUP BY n.account_id) g ON g.account_id = a.account_id
	WHERE a.pending_debit <> coalesce(c.pending, b.pending_debit) + coalesce(g.reserved_debit, 0) - coalesce(c.reserved_hot, 0)
	UNION ALL
	SELECT 'I6', $1, 'account ' || c.account_id,
		format('version %s was recorded at %s, the one before at %s', c.version,
			c.recorded_at, c.recorded_before)
	FROM chain c WHERE c.recorded_at < c.recorded_before
	UNION ALL
	-- of an older hold only what was added to it is known here
	SELECT 'I9', $1, 'hold ' || t.id,
		format('%s: amount %s, captured %s, released %s; the journal since %s has %s, %s, %s and %s ends',
			t.state, t.amount, t.all_captured, t.all_released, $2, t.placed, t.captured, t.released, t.ends)
	FROM touched t
	WHERE NOT coalesce(
		t.all_captured >= t.captured AND t.released >= 0 AND t.all_released >= t.released
		AND t.all_captured + t.all_released <= t.amount
		AND (t.state = 'open') = (t.all_captured + t.all_released < t.amount)
		AND (NOT t.is_new OR (t.amount = t.placed AND t.all_captured = t.captured AND t.all_released = t.released))
		AND t.ends = CASE WHEN t.state = 'open' THEN 0 ELSE 1 END, false)
	UNION ALL
	SELECT 'I10', $1, 'hold ' || t.id,
		format('deadline %s, last capture %s, expiry %s', t.expires_at, t.last_capture, t.expiry)
	FROM touched t
	WHERE t.last_capture >= t.expires_at OR t.expiry < t.expires_at
		OR (t.expiry IS NOT NULL AND t.expires_at IS NULL)
	UNION ALL
	SELECT 'I12', $1, 'operation ' || o.id,
		format('%s over %s, but its hold %s is %s with %s left', o.state, o.amount, o.hold_id,
			coalesce(h.state, 'missing'), coalesce(h.amount - h.captured - h.released, 0))
	FROM operation o
	LEFT JOIN LATERAL (SELECT n.* FROM teller.hold n
		WHERE n.ledger_id = $1 AND n.hold_id = o.hold_id OFFSET 0) h ON true
	WHERE NOT coalesce(h.operation_id = o.id AND h.expires_at IS NULL AND h.amount = o.amount
		AND h.captured = CASE o.state WHEN 'settled' THEN o.amount ELSE 0 END
		AND h.released = CASE o.state WHEN 'refunded' THEN o.amount ELSE 0 END
		AND h.debit_account = CASE o.direction WHEN 'withdraw' THEN o.account_id ELSE o.settlement_account END
		AND h.credit_account = CASE o.direction WHEN 'withdraw' THEN o.settlement_account ELSE o.account_id END,
		false)
	UNION ALL
	SELECT 'I12', $1, 'hold ' || t.id,
		format('belongs to operation %s, which does not exist', t.operation_id)
	FROM touched t
	WHERE t.operation_id IS NOT NULL AND NOT EXISTS (SELECT FROM operation o WHERE o.id = t.operation_id)
	UNION ALL
	SELECT 'I15', $1, 'operation ' || o.id, 'its memo is not the hash of what is stored'
	FROM operation o
	WHERE o.memo IS DISTINCT FROM teller.operation_memo(
		CASE WHEN o.request ->> 'origin' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
			THEN (o.request ->> 'origin')::uuid END, o.direction, o.ledger_id,
		o.account_id, o.nonce, o.amount, o.asset, o.server, o.counterparty, o.payload);
END;
COMMENT ON FUNCTION teller.verify_recent(bigint, timestamptz) IS 'What was written since a mark, and the sums of the whole ledger; called by teller.verify() at level quick.';
