-- The sides of the journal's rows, as teller.verify() reads them, and what the
-- rows of hot accounts come to.

-- What a row of the journal or of the keys says, NULL where it says nothing
-- that can be read: what cannot be read is reported, and must not end verify().
CREATE FUNCTION teller.verify_number(said jsonb, name text) RETURNS numeric
	LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
	SELECT CASE WHEN jsonb_typeof(said -> name) = 'number' THEN (said ->> name)::numeric END;
END;
COMMENT ON FUNCTION teller.verify_number(jsonb, text) IS 'A number that is said under a name, else NULL; for teller.verify()';

CREATE FUNCTION teller.verify_time(said jsonb, name text) RETURNS timestamptz
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- days as hours, because a cast would refuse the 31st of February
	SELECT (m[1] || '-' || m[2] || '-01T00:00:00+00:00' || coalesce(m[9], ''))::timestamptz
		+ make_interval(hours => 24 * (m[3]::integer - 1) + m[4]::integer,
			mins => m[5]::integer, secs => m[6]::double precision)
		- make_interval(hours => m[7]::integer, mins => (left(m[7], 1) || m[8])::integer)
	FROM regexp_match(said ->> name,
		'^(\d{4,6})-(0[1-9]|1[0-2])-(\d\d)T(\d\d):(\d\d):(\d\d(?:\.\d{1,6})?)([+-]\d\d):(\d\d)( BC)?$') AS m
	WHERE m[1]::integer BETWEEN 1 AND CASE WHEN m[9] IS NULL THEN 294276 ELSE 4712 END;
END;
COMMENT ON FUNCTION teller.verify_time(jsonb, text) IS 'A time that is said under a name in the form that JSON has it, else NULL; for teller.verify()';

CREATE FUNCTION teller.verify_amount(amount numeric, asset_scale integer) RETURNS boolean
	LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
	SELECT amount IS NULL OR coalesce(
		amount NOT IN ('NaN', 'Infinity', '-Infinity') AND scale(amount) = asset_scale
		AND abs(amount) * 10::numeric ^ asset_scale < 1e38, false);
END;
COMMENT ON FUNCTION teller.verify_amount(numeric, integer) IS 'True if a stored amount is finite, in range, and has exactly its asset''s decimals.';

-- Journal kinds that move posted money, and what a kind does to the pending
-- amount of its debit side.
CREATE VIEW teller.verify_part AS
	SELECT ledger_id, debit_account AS account_id, id, kind, true AS is_debit, amount,
		debit_version AS version, debit_posted AS posted, debit_pending AS pending, debit_epoch AS epoch,
		recorded_at, batch_id, operation_id,
		CASE WHEN kind IN ('transfer', 'capture', 'reversal') THEN -amount ELSE 0 END AS moved,
		CASE kind WHEN 'hold' THEN amount
			WHEN 'adjust' THEN teller.verify_number(metadata, 'new_amount') - teller.verify_number(metadata, 'old_amount')
			WHEN 'capture' THEN -amount WHEN 'release' THEN -amount
			WHEN 'expire' THEN -amount ELSE 0 END AS reserved
	FROM teller.journal
	UNION ALL
	SELECT ledger_id, credit_account, id, kind, false, amount,
		credit_version, credit_posted, credit_pending, credit_epoch,
		recorded_at, batch_id, operation_id,
		CASE WHEN kind IN ('transfer', 'capture', 'reversal') THEN amount ELSE 0 END,
		CASE kind WHEN 'hold' THEN amount
			WHEN 'adjust' THEN teller.verify_number(metadata, 'new_amount') - teller.verify_number(metadata, 'old_amount')
			WHEN 'capture' THEN -amount WHEN 'release' THEN -amount
			WHEN 'expire' THEN -amount ELSE 0 END
	FROM teller.journal;
COMMENT ON VIEW teller.verify_part IS 'one side of a journal row, touched or not, with what it did to posted and to the pending amount; for teller.verify()';

CREATE VIEW teller.verify_side AS
	SELECT * FROM teller.verify_part WHERE version IS NOT NULL;
COMMENT ON VIEW teller.verify_side IS 'the sides that have a version; for teller.verify()';

CREATE VIEW teller.verify_hot AS
	SELECT ledger_id, account_id, id, kind, is_debit, amount, epoch, recorded_at, moved, reserved
	FROM teller.verify_part WHERE version IS NULL AND epoch IS NOT NULL;
COMMENT ON VIEW teller.verify_hot IS 'the sides that were a hot account; for teller.verify()';

-- What a hot account's row has not.  OFFSET 0: by index, account by account.
CREATE VIEW teller.verify_tail AS
	SELECT a.ledger_id, a.account_id, sum(t.moved) AS moved,
		coalesce(sum(t.reserved) FILTER (WHERE t.is_debit), 0) AS reserved_debit,
		coalesce(sum(t.reserved) FILTER (WHERE NOT t.is_debit), 0) AS reserved_credit,
		bool_and(t.reserved IS NOT NULL AND t.kind IN ('transfer', 'hold', 'extend', 'adjust', 'capture',
			'release', 'expire', 'reversal') AND teller.verify_amount(t.amount, s.scale)) AS readable
	FROM teller.account a
	LEFT JOIN teller.asset s ON s.asset = a.asset
	CROSS JOIN LATERAL (
		SELECT h.kind, h.is_debit, h.amount, h.moved, h.reserved
		FROM teller.verify_hot h
		WHERE h.ledger_id = a.ledger_id AND h.account_id = a.account_id AND h.epoch > coalesce(a.folded_epoch, 0)
		UNION ALL
		SELECT h.kind, h.is_debit, h.amount, h.moved, h.reserved
		FROM unnest(a.open_epochs) AS o (epoch)
		CROSS JOIN LATERAL (SELECT n.* FROM teller.verify_hot n
			WHERE n.ledger_id = a.ledger_id AND n.account_id = a.account_id AND n.epoch = o.epoch
			OFFSET 0) h
		OFFSET 0) t
	WHERE a.hot
	GROUP BY a.ledger_id, a.account_id;
COMMENT ON VIEW teller.verify_tail IS 'what the journal has of a hot account and its row has not; for teller.verify()';

CREATE VIEW teller.verify_present AS
	SELECT a.ledger_id, a.account_id, a.asset, a.hot, a.version, a.min_balance, a.max_balance,
		a.reentrancy, a.status, a.last_at, a.folded_epoch, a.open_epochs,
		a.posted + coalesce(t.moved, 0) AS posted,
		a.pending_debit + coalesce(t.reserved_debit, 0) AS pending_debit,
		a.pending_credit + CASE WHEN a.max_balance IS NULL THEN 0 ELSE coalesce(t.reserved_credit, 0) END AS pending_credit,
		coalesce(t.readable, true) AS readable
	FROM teller.account a
	LEFT JOIN teller.verify_tail t ON t.ledger_id = a.ledger_id AND t.account_id = a.account_id;
COMMENT ON VIEW teller.verify_present IS 'the accounts with the balances that their rows and the journal make up; for teller.verify()';

-- Where an account was hot: what it did between a version and the next, in the
-- order of epochs.
CREATE FUNCTION teller.verify_gap(bigint)
	RETURNS TABLE (ledger_id bigint, account_id bigint, after_version bigint, moved numeric,
		reserved_debit numeric, first_at timestamptz, last_at timestamptz)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH hot AS MATERIALIZED (
		SELECT h.ledger_id, h.account_id, h.epoch, sum(h.moved) AS moved,
			coalesce(sum(h.reserved) FILTER (WHERE h.is_debit), 0) AS reserved_debit,
			min(h.recorded_at) AS first_at, max(h.recorded_at) AS last_at
		FROM teller.verify_hot h
		WHERE $1 IS NULL OR h.ledger_id = $1
		GROUP BY h.ledger_id, h.account_id, h.epoch)
	SELECT p.ledger_id, p.account_id, p.after_version, sum(p.moved), sum(p.reserved_debit),
		min(p.first_at), max(p.last_at)
	FROM (SELECT o.*, coalesce(max(o.version) OVER (PARTITION BY o.ledger_id, o.account_id
				ORDER BY o.epoch, o.version NULLS FIRST), 0) AS after_version
		FROM (SELECT h.*, NULL::bigint AS version FROM hot h
			UNION ALL
			SELECT v.ledger_id, v.account_id, coalesce(v.epoch, 0), NULL, NULL, NULL, NULL, max(v.version)
			FROM teller.verify_side v
			WHERE ($1 IS NULL OR v.ledger_id = $1)
				AND (v.ledger_id, v.account_id) IN (SELECT h.ledger_id, h.account_id FROM hot h)
			GROUP BY v.ledger_id, v.account_id, coalesce(v.epoch, 0)) o) p
	WHERE p.version IS NULL
	GROUP BY p.ledger_id, p.account_id, p.after_version;
END;
COMMENT ON FUNCTION teller.verify_gap(bigint) IS 'What hot accounts did between their versions; for teller.verify()';

CREATE FUNCTION teller.verify_folds(bigint)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- I5: an account that was never hot has nothing of it; open epochs are of
	-- those that have ended, and only a hot account has any
	SELECT 'I5', a.ledger_id, 'account ' || a.account_id,
		format('folded up to epoch %s but %s', coalesce(a.folded_epoch::text, 'none'), a.open_epochs)
	FROM teller.account a
	WHERE ($1 IS NULL OR a.ledger_id = $1) AND a.open_epochs IS NOT NULL
		AND NOT coalesce(a.hot AND array_ndims(a.open_epochs) = 1 AND array_lower(a.open_epochs, 1) = 1
			AND cardinality(a.open_epochs) = (SELECT count(DISTINCT e) FROM unnest(a.open_epochs) e
				WHERE e BETWEEN 1 AND a.folded_epoch), false)
	UNION ALL
	-- what is in its row was recorded when it was used last at the latest; what
	-- is not hot has everything in its row
	SELECT 'I5', a.ledger_id, 'account ' || a.account_id,
		CASE WHEN h.lost > 0 THEN format('it is not hot, but %s rows are of epochs that are not folded', h.lost)
			WHEN h.first_epoch < 1 THEN format('a row of it has epoch %s', h.first_epoch)
			ELSE format('it was used last at %s, but a row that is folded was recorded at %s', a.last_at, h.last_at) END
	FROM teller.account a
	JOIN (SELECT n.ledger_id, n.account_id, min(n.epoch) AS first_epoch,
			count(*) FILTER (WHERE NOT b.hot AND (n.epoch > coalesce(b.folded_epoch, 0)
				OR n.epoch = ANY (b.open_epochs))) AS lost,
			max(n.recorded_at) FILTER (WHERE n.epoch <= b.folded_epoch
				AND NOT coalesce(n.epoch = ANY (b.open_epochs), false)) AS last_at
		FROM teller.verify_hot n
		JOIN teller.account b ON b.ledger_id = n.ledger_id AND b.account_id = n.account_id
		WHERE $1 IS NULL OR n.ledger_id = $1
		GROUP BY n.ledger_id, n.account_id) h ON h.ledger_id = a.ledger_id AND h.account_id = a.account_id
	WHERE h.lost > 0 OR h.first_epoch < 1 OR a.last_at < h.last_at
	UNION ALL
	-- I7: a hot account, whose rows have no place among the changes of limits,
	-- is within its limits now, unless it was forced to be outside
	SELECT 'I7', p.ledger_id, 'account ' || p.account_id,
		format('it is hot with available %s and posted and pending credits %s, limits %s and %s',
			p.posted - p.pending_debit, p.posted + p.pending_credit,
			coalesce(p.min_balance::text, 'none'), coalesce(p.max_balance::text, 'none'))
	FROM teller.verify_present p
	-- it begins with nothing: below a minimum above that it is refused debits
	CROSS JOIN LATERAL (SELECT
		CASE WHEN p.min_balance > 0 AND NOT EXISTS (SELECT FROM teller.journal j
				WHERE j.ledger_id = p.ledger_id AND j.debit_account = p.account_id
					AND j.debit_version IS NULL AND j.debit_epoch IS NOT NULL)
			THEN 0 ELSE p.min_balance END AS lowest,
		CASE WHEN p.max_balance < 0 AND NOT EXISTS (SELECT FROM teller.journal j
				WHERE j.ledger_id = p.ledger_id AND j.credit_account = p.account_id
					AND j.credit_version IS NULL AND j.credit_epoch IS NOT NULL)
			THEN 0 ELSE p.max_balance END AS highest) AS b
	WHERE ($1 IS NULL OR p.ledger_id = $1) AND p.hot
		AND (p.posted - p.pending_debit < b.lowest OR p.posted + p.pending_credit > b.highest)
		AND (p.posted - p.pending_debit < b.lowest -
			(SELECT coalesce(sum(d.amount - d.captured - d.released), 0) FROM teller.hold d
				WHERE d.ledger_id = p.ledger_id AND d.debit_account = p.account_id
					AND d.state = 'open' AND d.expires_at <= clock_timestamp())
			OR p.posted + p.pending_credit > b.highest +
			(SELECT coalesce(sum(d.amount - d.captured - d.released), 0) FROM teller.hold d
				WHERE d.ledger_id = p.ledger_id AND d.credit_account = p.account_id
					AND d.state = 'open' AND d.expires_at <= clock_timestamp()))
		AND NOT EXISTS (SELECT FROM teller.limit_change_data l
			WHERE l.ledger_id = p.ledger_id AND l.account_id = p.account_id AND l.forced)
	UNION ALL
	-- I8: as in verify_limits(), by time: a change of status is later than all
	-- before it, and nothing after it is earlier
	SELECT 'I8', h.ledger_id, 'account ' || h.account_id,
		format('journal %s: a %s %s while it was %s', h.id, h.kind,
			CASE WHEN h.is_debit THEN 'debited it' ELSE 'credited it' END, c.status)
	FROM (SELECT l.ledger_id, l.account_id, l.status, l.changed_at,
			lead(l.changed_at) OVER (PARTITION BY l.ledger_id, l.account_id ORDER BY l.changed_at, l.id) AS until
		FROM teller.limit_change_data l
		WHERE $1 IS NULL OR l.ledger_id = $1) c
	JOIN teller.verify_hot h ON h.ledger_id = c.ledger_id AND h.account_id = c.account_id
		AND c.status <> 'open' AND h.recorded_at >= c.changed_at AND h.recorded_at < coalesce(c.until, 'infinity')
	LEFT JOIN teller.journal j ON h.kind = 'capture' AND j.ledger_id = h.ledger_id AND j.id = h.id
	WHERE c.status = 'closed'
		OR (c.status IN ('frozen', CASE WHEN h.is_debit THEN 'frozen_debit' ELSE 'frozen_credit' END)
			AND (h.kind IN ('transfer', 'reversal', 'hold')
				OR (h.kind = 'capture' AND j.operation_id IS NULL)));
END;
COMMENT ON FUNCTION teller.verify_folds(bigint) IS 'What I5, I7 and I8 ask of accounts that are or were hot; called by teller.verify().';
