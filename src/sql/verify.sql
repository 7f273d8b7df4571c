-- The invariants, as queries.  teller.verify() runs them all in one snapshot
-- as the owner of the extension; a row is a violation.  $1 is the ledger,
-- NULL for all.

-- The beginning of each era (verify_era) stands in line with the versions, so
-- that no join by ranges is needed, which an account whose limits changed often
-- would make slow.
CREATE VIEW teller.verify_step AS
	SELECT p.ledger_id, p.account_id, p.id, p.kind, p.is_debit, p.version, p.posted, p.pending, p.epoch,
		p.recorded_at, p.batch_id, p.operation_id, p.moved, p.reserved, p.era,
		p.era_min, p.era_max, p.era_status, p.era_pending
	FROM (SELECT n.*,
			max(n.min_balance) OVER of_era AS era_min,
			max(n.max_balance) OVER of_era AS era_max,
			max(n.status) OVER of_era AS era_status,
			max(n.pending_credit) OVER of_era AS era_pending
		FROM (SELECT s.*, coalesce(s.begins, count(s.begins) OVER
					(PARTITION BY s.ledger_id, s.account_id ORDER BY s.version, s.begins IS NOT NULL) - 1) AS era
				FROM (SELECT v.ledger_id, v.account_id, v.id, v.kind, v.is_debit, v.version,
						v.posted, v.pending, v.epoch, v.recorded_at, v.batch_id, v.operation_id,
						v.moved, v.reserved, NULL::bigint AS begins, NULL::numeric AS min_balance,
						NULL::numeric AS max_balance, NULL::text AS status, NULL::numeric AS pending_credit
					FROM teller.verify_side v
					UNION ALL
					SELECT e.ledger_id, e.account_id, NULL, NULL, NULL, e.after_version,
						NULL, NULL, NULL, NULL, NULL, NULL,
						NULL, NULL, e.era, e.min_balance, e.max_balance, e.status, e.pending_credit
					FROM teller.verify_era e) s) n
		WINDOW of_era AS (PARTITION BY n.ledger_id, n.account_id, n.era)) p
	WHERE p.begins IS NULL;
COMMENT ON VIEW teller.verify_step IS 'verify_side with the era that each version belongs to: the limits and status it came about under, and the pending credits that the era began with; for teller.verify()';

CREATE FUNCTION teller.verify_sums(bigint)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- I1: the book balances
	SELECT 'I1', a.ledger_id, 'asset ' || a.asset,
		format('posted balances sum to %s', sum(a.posted))
	FROM teller.verify_present a
	WHERE $1 IS NULL OR a.ledger_id = $1
	GROUP BY a.ledger_id, a.asset
	HAVING sum(a.posted) <> 0
	UNION ALL
	SELECT 'I1', d.ledger_id, 'asset ' || d.asset,
		format('pending debits %s, pending credits %s', d.total, coalesce(c.total, 0))
	FROM (SELECT a.ledger_id, a.asset, sum(a.pending_debit) AS total
			FROM teller.verify_present a GROUP BY a.ledger_id, a.asset) d
	LEFT JOIN (SELECT a.ledger_id, a.asset, sum(h.amount - h.captured - h.released) AS total
			FROM teller.hold h
			JOIN teller.account a ON a.ledger_id = h.ledger_id AND a.account_id = h.credit_account
			WHERE h.state = 'open'
			GROUP BY a.ledger_id, a.asset) c
		ON c.ledger_id = d.ledger_id AND c.asset = d.asset
	WHERE ($1 IS NULL OR d.ledger_id = $1) AND d.total <> coalesce(c.total, 0)
	UNION ALL
	-- I2: two accounts of one ledger and asset, an amount above zero
	SELECT 'I2', j.ledger_id, 'journal ' || j.id,
		format('%s from account %s to %s', j.amount, j.debit_account, j.credit_account)
	FROM teller.journal j
	LEFT JOIN teller.account d ON d.ledger_id = j.ledger_id AND d.account_id = j.debit_account
	LEFT JOIN teller.account c ON c.ledger_id = j.ledger_id AND c.account_id = j.credit_account
	WHERE ($1 IS NULL OR j.ledger_id = $1)
		AND (j.debit_account = j.credit_account OR j.amount <= 0
			OR d.asset IS DISTINCT FROM c.asset OR d.asset IS NULL)
	UNION ALL
	-- I3: balances are the sums of their parts
	SELECT 'I3', a.ledger_id, 'account ' || a.account_id,
		format('posted %s, its postings sum to %s', a.posted, coalesce(s.moved, 0))
	FROM teller.verify_present a
	LEFT JOIN (SELECT v.ledger_id, v.account_id, sum(v.moved) AS moved
			FROM teller.verify_part v
			WHERE v.version IS NOT NULL OR v.epoch IS NOT NULL
			GROUP BY v.ledger_id, v.account_id) s
		ON s.ledger_id = a.ledger_id AND s.account_id = a.account_id
	WHERE ($1 IS NULL OR a.ledger_id = $1) AND a.posted <> coalesce(s.moved, 0)
	UNION ALL
	SELECT 'I3', a.ledger_id, 'account ' || a.account_id,
		format('pending_debit %s, its open holds sum to %s', a.pending_debit, coalesce(h.rest, 0))
	FROM teller.verify_present a
	LEFT JOIN (SELECT o.ledger_id, o.debit_account, sum(o.amount - o.captured - o.released) AS rest
			FROM teller.hold o WHERE o.state = 'open'
			GROUP BY o.ledger_id, o.debit_account) h
		ON h.ledger_id = a.ledger_id AND h.debit_account = a.account_id
	WHERE ($1 IS NULL OR a.ledger_id = $1) AND a.pending_debit <> coalesce(h.rest, 0)
	UNION ALL
	SELECT 'I3', a.ledger_id, 'account ' || a.account_id,
		format('pending_credit %s, its open holds sum to %s', a.pending_credit,
			CASE WHEN a.max_balance IS NULL THEN 0 ELSE coalesce(h.rest, 0) END)
	FROM teller.verify_present a
	LEFT JOIN (SELECT o.ledger_id, o.credit_account, sum(o.amount - o.captured - o.released) AS rest
			FROM teller.hold o WHERE o.state = 'open'
			GROUP BY o.ledger_id, o.credit_account) h
		ON h.ledger_id = a.ledger_id AND h.credit_account = a.account_id
	WHERE ($1 IS NULL OR a.ledger_id = $1)
		AND a.pending_credit <> CASE WHEN a.max_balance IS NULL THEN 0 ELSE coalesce(h.rest, 0) END;
END;
COMMENT ON FUNCTION teller.verify_sums(bigint) IS 'Invariants I1 to I3 (conservation); called by teller.verify().';

CREATE FUNCTION teller.verify_amounts(bigint)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- I4: finite, in range, in the asset's scale; pending never negative
	SELECT 'I4', a.ledger_id, 'account ' || a.account_id,
		format('posted %s, pending %s and %s, limits %s and %s', a.posted,
			a.pending_debit, a.pending_credit, a.min_balance, a.max_balance)
	FROM teller.verify_present a
	LEFT JOIN teller.asset s ON s.asset = a.asset
	WHERE ($1 IS NULL OR a.ledger_id = $1)
		AND NOT (s.scale IS NOT NULL
			AND teller.verify_amount(a.posted, s.scale)
			AND teller.verify_amount(a.pending_debit, s.scale) AND a.pending_debit >= 0
			AND teller.verify_amount(a.pending_credit, s.scale) AND a.pending_credit >= 0
			AND teller.verify_amount(a.min_balance, s.scale)
			AND teller.verify_amount(a.max_balance, s.scale))
	UNION ALL
	SELECT 'I4', j.ledger_id, 'journal ' || j.id,
		format('amount %s, posted %s and %s, pending %s and %s', j.amount,
			j.debit_posted, j.credit_posted, j.debit_pending, j.credit_pending)
	FROM teller.journal j
	JOIN teller.account a ON a.ledger_id = j.ledger_id AND a.account_id = j.debit_account
	JOIN teller.asset s ON s.asset = a.asset
	WHERE ($1 IS NULL OR j.ledger_id = $1)
		AND NOT (teller.verify_amount(j.amount, s.scale)
			AND teller.verify_amount(j.debit_posted, s.scale)
			AND teller.verify_amount(j.credit_posted, s.scale)
			AND teller.verify_amount(j.debit_pending, s.scale) AND coalesce(j.debit_pending >= 0, true)
			AND teller.verify_amount(j.credit_pending, s.scale) AND coalesce(j.credit_pending >= 0, true))
	UNION ALL
	SELECT 'I4', h.ledger_id, 'hold ' || h.hold_id,
		format('amount %s, captured %s, released %s', h.amount, h.captured, h.released)
	FROM teller.hold h
	JOIN teller.account a ON a.ledger_id = h.ledger_id AND a.account_id = h.debit_account
	JOIN teller.asset s ON s.asset = a.asset
	WHERE ($1 IS NULL OR h.ledger_id = $1)
		AND NOT (teller.verify_amount(h.amount, s.scale)
			AND teller.verify_amount(h.captured, s.scale)
			AND teller.verify_amount(h.released, s.scale));
END;
COMMENT ON FUNCTION teller.verify_amounts(bigint) IS 'Invariant I4 (amounts); called by teller.verify().';

CREATE FUNCTION teller.verify_sequence(bigint)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- I5: versions run 1..n, balances follow from those before
	-- I6: time does not go back
	-- what a hot account did between two versions counts with the second
	WITH gap AS MATERIALIZED (
		SELECT g.* FROM teller.verify_gap($1) g),
	line AS (
		SELECT v.*, coalesce(g.moved, 0) AS moved_hot, g.last_at AS hot_at,
			coalesce(sum(g.reserved_debit) OVER w, 0) AS reserved_hot,
			count(g.after_version) OVER w AS gaps
		FROM teller.verify_step v
		LEFT JOIN gap g ON g.ledger_id = v.ledger_id AND g.account_id = v.account_id
			AND g.after_version = v.version - 1
		WHERE $1 IS NULL OR v.ledger_id = $1
		WINDOW w AS (PARTITION BY v.ledger_id, v.account_id ORDER BY v.version, v.id)),
	chain AS (
		SELECT v.*,
			row_number() OVER w AS place,
			coalesce(lag(v.posted) OVER w, 0) + v.moved_hot AS posted_before,
			coalesce(lag(v.pending) OVER side, CASE WHEN v.is_debit THEN 0 ELSE v.era_pending END, 0)
				+ CASE WHEN v.is_debit THEN v.reserved_hot - coalesce(lag(v.reserved_hot) OVER side, 0) ELSE 0 END
				AS pending_before,
			v.gaps - coalesce(lag(v.gaps) OVER side, 0) AS gaps_between,
			greatest(lag(v.recorded_at) OVER w, v.hot_at) AS recorded_before,
			coalesce(lag(v.epoch) OVER w, 0) AS epoch_before,
			lead(v.version) OVER w IS NULL AS is_last,
			v.is_debit AND lead(v.version) OVER side IS NULL AS is_last_debit
		FROM line v
		-- a change of limits begins a new chain of pending credits
		WINDOW w AS (PARTITION BY v.ledger_id, v.account_id ORDER BY v.version, v.id),
			side AS (PARTITION BY v.ledger_id, v.account_id, v.is_debit,
				CASE WHEN v.is_debit THEN 0 ELSE v.era END ORDER BY v.version, v.id))
	SELECT 'I5', c.ledger_id, 'account ' || c.account_id,
		format('version %s stands at place %s of its history', c.version, c.place)
	FROM chain c WHERE c.version <> c.place
	UNION ALL
	SELECT 'I5', c.ledger_id, 'account ' || c.account_id,
		format('version %s: posted %s, but %s before and %s moved', c.version, c.posted,
			c.posted_before, c.moved)
	FROM chain c WHERE c.posted <> c.posted_before + c.moved
	UNION ALL
	SELECT 'I5', c.ledger_id, 'account ' || c.account_id,
		format('version %s: pending_debit %s, but %s before and %s reserved', c.version,
			c.pending, c.pending_before, c.reserved)
	FROM chain c WHERE c.is_debit AND c.pending <> c.pending_before + c.reserved
	UNION ALL
	-- pending credits are kept only while there is a maximum; where that was
	-- changed while the account was hot is not told by versions
	SELECT 'I5', c.ledger_id, 'account ' || c.account_id,
		format('version %s: pending_credit %s, but %s before and %s reserved', c.version,
			c.pending, c.pending_before, c.reserved)
	FROM chain c
	WHERE NOT c.is_debit AND c.gaps_between = 0 AND c.pending <>
		CASE WHEN c.era_max IS NULL THEN 0 ELSE c.pending_before + c.reserved END
	UNION ALL
	SELECT 'I5', a.ledger_id, 'account ' || a.account_id,
		format('the row has version %s and posted %s, the journal ends with %s and %s',
			a.version, a.posted, coalesce(c.version, 0), coalesce(c.posted, 0) + coalesce(g.moved, 0))
	FROM teller.verify_present a
	LEFT JOIN chain c ON c.ledger_id = a.ledger_id AND c.account_id = a.account_id AND c.is_last
	LEFT JOIN gap g ON g.ledger_id = a.ledger_id AND g.account_id = a.account_id
		AND g.after_version = coalesce(c.version, 0)
	WHERE ($1 IS NULL OR a.ledger_id = $1)
		AND (a.version <> coalesce(c.version, 0) OR a.posted <> coalesce(c.posted, 0) + coalesce(g.moved, 0))
	UNION ALL
	SELECT 'I5', a.ledger_id, 'account ' || a.account_id,
		format('the row has pending_debit %s, the journal ends with %s', a.pending_debit,
			coalesce(c.pending, 0) + coalesce(g.reserved_debit, 0) - coalesce(c.reserved_hot, 0))
	FROM teller.verify_present a
	LEFT JOIN chain c ON c.ledger_id = a.ledger_id AND c.account_id = a.account_id AND c.is_last_debit
	LEFT JOIN (SELECT n.ledger_id, n.account_id, sum(n.reserved_debit) AS reserved_debit
			FROM gap n GROUP BY n.ledger_id, n.account_id) g
		ON g.ledger_id = a.ledger_id AND g.account_id = a.account_id
	WHERE ($1 IS NULL OR a.ledger_id = $1)
		AND a.pending_debit <> coalesce(c.pending, 0) + coalesce(g.reserved_debit, 0) - coalesce(c.reserved_hot, 0)
	UNION ALL
	-- epochs do not go back along versions, and end with the account's row
	SELECT 'I5', c.ledger_id, 'account ' || c.account_id,
		format('version %s belongs to epoch %s, the one before to %s', c.version,
			coalesce(c.epoch, 0), c.epoch_before)
	FROM chain c WHERE coalesce(c.epoch, 0) < c.epoch_before
	UNION ALL
	SELECT 'I5', c.ledger_id, 'account ' || c.account_id,
		format('version %s belongs to epoch %s, but epochs are folded up to %s', c.version,
			c.epoch, coalesce(a.folded_epoch::text, 'none'))
	FROM chain c
	JOIN teller.account a ON a.ledger_id = c.ledger_id AND a.account_id = c.account_id
	WHERE c.is_last AND c.epoch > coalesce(a.folded_epoch, 0)
	UNION ALL
	SELECT 'I6', c.ledger_id, 'account ' || c.account_id,
		format('version %s was recorded at %s, a row of it when it was hot after that at %s', c.version,
			c.recorded_at, g.first_at)
	FROM chain c
	JOIN gap g ON g.ledger_id = c.ledger_id AND g.account_id = c.account_id AND g.after_version = c.version
	WHERE g.first_at < c.recorded_at
	UNION ALL
	SELECT 'I6', c.ledger_id, 'account ' || c.account_id,
		format('version %s was recorded at %s, the one before at %s', c.version,
			c.recorded_at, c.recorded_before)
	FROM chain c WHERE c.recorded_at < c.recorded_before;
END;
COMMENT ON FUNCTION teller.verify_sequence(bigint) IS 'Invariants I5 and I6 (sequence); called by teller.verify().';

CREATE FUNCTION teller.verify_holds(bigint)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH events AS (
		SELECT j.ledger_id, j.hold_id,
			sum(CASE j.kind WHEN 'hold' THEN j.amount
				WHEN 'adjust' THEN teller.verify_number(j.metadata, 'new_amount')
					- teller.verify_number(j.metadata, 'old_amount') END) AS placed,
			coalesce(sum(j.amount) FILTER (WHERE j.kind = 'capture'), 0) AS captured,
			coalesce(sum(j.amount) FILTER (WHERE j.kind IN ('release', 'expire')), 0) AS released,
			count(*) FILTER (WHERE j.ends_hold) AS ends,
			max(j.recorded_at) FILTER (WHERE j.kind = 'capture') AS last_capture,
			min(j.recorded_at) FILTER (WHERE j.kind = 'expire') AS expiry
		FROM teller.journal j
		WHERE j.hold_id IS NOT NULL AND ($1 IS NULL OR j.ledger_id = $1)
		GROUP BY j.ledger_id, j.hold_id),
	-- what I4 reports cannot be read by teller.balance()
	unsound AS (
		SELECT h.ledger_id, h.debit_account, h.credit_account
		FROM teller.hold h
		JOIN teller.account a ON a.ledger_id = h.ledger_id AND a.account_id = h.debit_account
		JOIN teller.asset s ON s.asset = a.asset
		WHERE h.state = 'open' AND ($1 IS NULL OR h.ledger_id = $1)
			AND NOT (num_nulls(h.amount, h.captured, h.released, h.created_at) = 0
				AND teller.verify_amount(h.amount, s.scale)
				AND teller.verify_amount(h.captured, s.scale)
				AND teller.verify_amount(h.released, s.scale))),
	readable AS MATERIALIZED (
		SELECT a.ledger_id, a.account_id, a.posted
		FROM teller.verify_present a
		JOIN teller.asset s ON s.asset = a.asset
		WHERE ($1 IS NULL OR a.ledger_id = $1) AND a.pending_debit <> 0 AND a.readable
			AND NOT coalesce(a.hot AND a.open_epochs IS NOT NULL AND (cardinality(a.open_epochs) > 64
				OR (SELECT bool_or(e IS NULL) FROM unnest(a.open_epochs) e)), false)
			AND num_nulls(a.posted, a.pending_credit, a.version, a.hot, a.last_at) = 0
			AND a.status IN ('open', 'frozen_debit', 'frozen_credit', 'frozen', 'closed')
			AND a.reentrancy IN ('off', 'reject', 'allow', 'queue')
			AND teller.verify_amount(a.posted, s.scale)
			AND teller.verify_amount(a.pending_debit, s.scale)
			AND teller.verify_amount(a.pending_credit, s.scale)
			AND teller.verify_amount(a.min_balance, s.scale)
			AND teller.verify_amount(a.max_balance, s.scale)
			AND NOT EXISTS (SELECT FROM unsound u
				WHERE u.ledger_id = a.ledger_id AND u.debit_account = a.account_id)
			AND NOT EXISTS (SELECT FROM unsound u
				WHERE u.ledger_id = a.ledger_id AND u.credit_account = a.account_id))
	-- I9: the parts make the whole; one end at most
	SELECT 'I9', coalesce(h.ledger_id, e.ledger_id), 'hold ' || coalesce(h.hold_id, e.hold_id),
		format('%s: amount %s, captured %s, released %s; the journal has %s, %s, %s and %s ends',
			h.state, h.amount, h.captured, h.released, e.placed, e.captured, e.released, e.ends)
	FROM (SELECT * FROM teller.hold o WHERE $1 IS NULL OR o.ledger_id = $1) h
	FULL JOIN events e ON e.ledger_id = h.ledger_id AND e.hold_id = h.hold_id
	WHERE NOT coalesce(
		h.captured >= 0 AND h.released >= 0 AND h.captured + h.released <= h.amount
		AND h.amount = e.placed AND h.captured = e.captured AND h.released = e.released
		AND (h.state = 'open') = (h.captured + h.released < h.amount)
		AND e.ends = CASE WHEN h.state = 'open' THEN 0 ELSE 1 END, false)
	UNION ALL
	-- I10: no capture from the deadline on, no expiry before it
	SELECT 'I10', h.ledger_id, 'hold ' || h.hold_id,
		format('deadline %s, last capture %s, expiry %s', h.expires_at, e.last_capture, e.expiry)
	FROM teller.hold h
	JOIN events e ON e.ledger_id = h.ledger_id AND e.hold_id = h.hold_id
	WHERE e.last_capture >= h.expires_at OR e.expiry < h.expires_at
		OR (e.expiry IS NOT NULL AND h.expires_at IS NULL)
	UNION ALL
	-- I11: a hold that is due binds no money
	SELECT 'I11', a.ledger_id, 'account ' || a.account_id,
		format('available %s, but only %s of posted %s is held by holds that are not due',
			b.available, bound.rest, a.posted)
	FROM readable a
	CROSS JOIN LATERAL teller.balance(a.ledger_id, a.account_id) b
	CROSS JOIN LATERAL (SELECT coalesce(sum(h.amount - h.captured - h.released), 0) AS rest
		FROM teller.hold h
		WHERE h.ledger_id = a.ledger_id AND h.debit_account = a.account_id AND h.state = 'open'
			AND (h.expires_at IS NULL OR h.expires_at > statement_timestamp())) bound
	WHERE b.available < a.posted - bound.rest;
END;
COMMENT ON FUNCTION teller.verify_holds(bigint) IS 'Invariants I9 to I11 (holds); called by teller.verify().';

-- $2: only the keys stored from then on, NULL for all.
CREATE FUNCTION teller.verify_keys(bigint, timestamptz)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- I13: the arguments hash to the fingerprint, the result exists, one key each
	SELECT 'I13', k.ledger_id, 'key ' || quote_literal(k.key),
		'its arguments do not hash to its fingerprint'
	FROM teller.key k
	WHERE ($1 IS NULL OR k.ledger_id = $1) AND ($2 IS NULL OR k.created_at >= $2)
		AND k.fingerprint IS DISTINCT FROM sha256(convert_to(k.function || ' ' || k.arguments::text,
			getdatabaseencoding()))
	UNION ALL
	SELECT 'I13', k.ledger_id, 'key ' || quote_literal(k.key),
		format('the result of %s, %s, is not there', k.function, k.id)
	FROM teller.key k
	LEFT JOIN teller.journal j ON j.ledger_id = k.ledger_id AND j.id = k.id
	LEFT JOIN teller.hold h ON h.ledger_id = k.ledger_id AND h.hold_id = k.id
	WHERE ($1 IS NULL OR k.ledger_id = $1) AND ($2 IS NULL OR k.created_at >= $2) AND k.status <> 'denied'
		AND NOT CASE WHEN k.function IN ('hold', 'release', 'extend_hold', 'adjust_hold')
				THEN h.hold_id IS NOT NULL
			WHEN k.function IN ('post', 'transfer_from', 'reverse_batch')
				THEN coalesce(teller.verify_number(k.result, 'count') = (SELECT count(*) FROM teller.journal b
					WHERE b.ledger_id = k.ledger_id AND b.batch_id = k.id AND b.id > k.id
						AND b.recorded_at = k.created_at
						AND b.id <= (left(k.id::text, 28) || 'ffffffff')::uuid)
					AND k.result ->> 'batch_id' = k.id::text, false)
			ELSE coalesce(j.amount = teller.verify_number(k.result, 'amount')
				AND k.result ->> 'id' = k.id::text, false) END
	UNION ALL
	SELECT 'I13', k.ledger_id, 'keys ' || string_agg(quote_literal(k.key), ', ' ORDER BY k.key),
		format('%s is the effect of %s keys', k.id, count(*))
	FROM teller.key k
	WHERE ($1 IS NULL OR k.ledger_id = $1) AND ($2 IS NULL OR k.created_at >= $2) AND k.status <> 'denied'
		AND k.function NOT IN ('release', 'extend_hold', 'adjust_hold')
	GROUP BY k.ledger_id, k.id
	HAVING count(*) > 1;
END;
COMMENT ON FUNCTION teller.verify_keys(bigint, timestamptz) IS 'Invariant I13 (idempotency); called by teller.verify().';

CREATE FUNCTION teller.verify(ledger bigint DEFAULT NULL, level text DEFAULT 'full',
	OUT invariant text, OUT ledger_id bigint, OUT object text, OUT detail text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_verify' LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.verify(bigint, text) IS
$$Test the books against their invariants in one snapshot: a row for each violation, no rows if all is sound. ledger: NULL for all of them.
level: full, everything; quick, what changed since teller.mark_verified() and the sums of the book. quick reads the accounts, the open holds and operations, and the journal rows and keys since the mark; limits, states and older rows are left to full. A ledger without a mark, or one that has not stood still behind its mark, is tested in full.
Works on a standby too. Errors: 22004, 22023, TL009, 42501. Locks: none. Right: read on the ledger; all ledgers: the owner of pg_teller.$$;

CREATE FUNCTION teller.mark_verified(ledger bigint, level text DEFAULT 'full') RETURNS void
	AS 'MODULE_PATHNAME', 'teller_mark_verified' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.mark_verified(bigint, text) IS
$$Verify a ledger, and note in teller.verified that it was sound up to now: teller.verify(ledger, 'quick') begins there. level: full; or quick, to carry an older mark on by what has changed since.
Errors: TL009, 22004, 22023, 25001 (at REPEATABLE READ or above), 25006, 55000 (not sound; the DETAIL is the first violation, and nothing is noted), 42501.
Locks: the ledger's row in teller.verified; waits for the movements of all ledgers that are in progress. Right: the owner of pg_teller.$$;
