-- More of what must always hold, in the form of verify.sql: how the rows of
-- the journal stand to each other, to their holds and to their keys.  $1 is
-- the ledger, NULL for all; $2 is the mark of level quick, NULL for full; a row
-- is a violation.

-- Where each account stood at a time: its last version recorded before it.
-- Times do not go back along versions, so an account that was not used since
-- stands there still, and the versions of the others are walked back from the
-- last.
-- The rows of hot accounts are in no order of time.  What is noted of such an
-- account with a mark (teller.verified.folds) is which epochs were in its row;
-- the rows of the others are those since, and where it stood is where its row
-- stands now without what was added to it since.
CREATE FUNCTION teller.verify_hot_since(ledger bigint, mark timestamptz)
	RETURNS TABLE (account_id bigint, id uuid, is_debit boolean, epoch bigint, recorded_at timestamptz,
		moved numeric, reserved numeric, in_row boolean)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT a.account_id, t.id, t.is_debit, t.epoch, t.recorded_at, t.moved, t.reserved,
		t.epoch <= coalesce(a.folded_epoch, 0) AND NOT coalesce(t.epoch = ANY (a.open_epochs), false)
	FROM teller.account a
	LEFT JOIN teller.verified m ON m.ledger_id = a.ledger_id AND m.verified_at = mark
	CROSS JOIN LATERAL (SELECT
		CASE WHEN m.ledger_id IS NULL THEN coalesce(a.folded_epoch, 0)
			ELSE coalesce((m.folds -> a.account_id::text ->> 0)::bigint, 0) END AS folded,
		CASE WHEN m.ledger_id IS NULL THEN a.open_epochs
			ELSE ARRAY(SELECT e.number::bigint
				FROM jsonb_array_elements_text(m.folds -> a.account_id::text) WITH ORDINALITY AS e (number, place)
				WHERE e.place > 1) END AS open
		OFFSET 0) f
	CROSS JOIN LATERAL (
		SELECT h.* FROM teller.verify_hot h
		WHERE h.ledger_id = a.ledger_id AND h.account_id = a.account_id AND h.epoch > f.folded
		UNION ALL
		SELECT h.* FROM unnest(f.open) AS o (epoch)
		CROSS JOIN LATERAL (SELECT n.* FROM teller.verify_hot n
			WHERE n.ledger_id = a.ledger_id AND n.account_id = a.account_id AND n.epoch = o.epoch
			OFFSET 0) h
		OFFSET 0) t
	WHERE a.ledger_id = ledger AND (a.hot OR a.folded_epoch IS NOT NULL);
END;
COMMENT ON FUNCTION teller.verify_hot_since(bigint, timestamptz) IS 'The rows of hot accounts that were not in the accounts'' rows at a mark; for teller.verify()';

CREATE FUNCTION teller.verify_base(ledger bigint, mark timestamptz)
	RETURNS TABLE (account_id bigint, changed boolean, version bigint, posted numeric, pending_debit numeric)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT a.account_id, a.last_at >= mark OR h.account_id IS NOT NULL,
		CASE WHEN a.last_at >= mark THEN greatest(d.version, c.version, 0) ELSE a.version END,
		CASE WHEN a.hot OR a.folded_epoch IS NOT NULL
			THEN a.posted - coalesce(h.moved, 0) - coalesce(v.moved, 0)
			WHEN a.last_at < mark THEN a.posted
			WHEN c.version > coalesce(d.version, 0) THEN c.posted
			ELSE coalesce(d.posted, 0) END,
		CASE WHEN a.hot OR a.folded_epoch IS NOT NULL
			THEN a.pending_debit - coalesce(h.reserved, 0) - coalesce(v.reserved, 0)
			WHEN a.last_at < mark THEN a.pending_debit ELSE coalesce(d.pending, 0) END
	FROM teller.account a
	LEFT JOIN (SELECT n.account_id, sum(n.moved) FILTER (WHERE n.in_row) AS moved,
			sum(n.reserved) FILTER (WHERE n.in_row AND n.is_debit) AS reserved
		FROM teller.verify_hot_since(ledger, mark) n
		GROUP BY n.account_id) h ON h.account_id = a.account_id
	LEFT JOIN LATERAL (
		SELECT j.debit_version AS version, j.debit_posted AS posted, j.debit_pending AS pending
		FROM teller.journal j
		WHERE a.last_at >= mark AND j.ledger_id = a.ledger_id AND j.debit_account = a.account_id
			AND j.debit_version IS NOT NULL AND j.recorded_at < mark
		ORDER BY j.debit_version DESC LIMIT 1) d ON true
	LEFT JOIN LATERAL (
		SELECT j.credit_version AS version, j.credit_posted AS posted
		FROM teller.journal j
		WHERE a.last_at >= mark AND j.ledger_id = a.ledger_id AND j.credit_account = a.account_id
			AND j.credit_version IS NOT NULL AND j.recorded_at < mark
		ORDER BY j.credit_version DESC LIMIT 1) c ON true
	LEFT JOIN LATERAL (
		SELECT sum(n.moved) AS moved, sum(n.reserved) FILTER (WHERE n.is_debit) AS reserved
		FROM teller.verify_side n
		WHERE (a.hot OR a.folded_epoch IS NOT NULL) AND a.last_at >= mark
			AND n.ledger_id = a.ledger_id AND n.account_id = a.account_id
			AND n.version > greatest(d.version, c.version, 0)) v ON true
	WHERE a.ledger_id = ledger;
END;
COMMENT ON FUNCTION teller.verify_base(bigint, timestamptz) IS 'Where each account of a ledger stood at a time, and whether it changed since; for teller.verify()';

-- The rows to be read: all, or those after the versions at the mark, and those
-- of accounts that were hot.  Every row has a debit side.  OFFSET 0 here and below: look them up one by one, whatever
-- the planner takes the number of changed accounts for.
CREATE FUNCTION teller.verify_row(ledger bigint, mark timestamptz) RETURNS SETOF teller.journal
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT j.* FROM teller.journal j
	WHERE mark IS NULL AND (ledger IS NULL OR j.ledger_id = ledger)
	UNION ALL
	SELECT r.*
	FROM teller.verify_base(ledger, mark) b
	CROSS JOIN LATERAL (SELECT n.* FROM teller.journal n
		WHERE n.ledger_id = ledger AND n.debit_account = b.account_id AND n.debit_version > b.version
		OFFSET 0) r
	WHERE mark IS NOT NULL AND b.changed
	UNION ALL
	SELECT r.*
	FROM teller.verify_hot_since(ledger, mark) h
	CROSS JOIN LATERAL (SELECT n.* FROM teller.journal n
		WHERE n.ledger_id = ledger AND n.id = h.id
		OFFSET 0) r
	WHERE mark IS NOT NULL AND h.is_debit AND h.recorded_at >= mark;
END;
COMMENT ON FUNCTION teller.verify_row(bigint, timestamptz) IS 'The journal rows of a ledger since a mark, or all of them; for teller.verify()';

CREATE FUNCTION teller.verify_rows(bigint, timestamptz)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH batch AS (
		SELECT j.ledger_id, j.batch_id, count(*) AS found,
			max(('x' || right(j.id::text, 8))::bit(32)::bigint) AS last_place,
			bool_and(left(j.id::text, 28) || '00000000' = j.batch_id::text) AS of_its_ids,
			count(DISTINCT j.recorded_at) AS times,
			bool_and(j.kind = 'transfer') OR bool_and(j.kind = 'reversal') AS of_one_kind
		FROM teller.verify_row($1, $2) j
		WHERE j.batch_id IS NOT NULL
		GROUP BY j.ledger_id, j.batch_id)
	-- I2: an account belongs to a ledger
	SELECT 'I2', a.ledger_id, 'account ' || a.account_id, 'its ledger does not exist'
	FROM teller.account a
	LEFT JOIN teller.ledger l ON l.ledger_id = a.ledger_id
	WHERE ($1 IS NULL OR a.ledger_id = $1) AND l.ledger_id IS NULL
	UNION ALL
	-- I4: what every account and every row must say
	SELECT 'I4', a.ledger_id, 'account ' || a.account_id, 'it has no balance, version, status or time'
	FROM teller.account a
	WHERE ($1 IS NULL OR a.ledger_id = $1)
		AND NOT coalesce(num_nulls(a.posted, a.pending_debit, a.pending_credit, a.version, a.hot) = 0
			AND a.status IN ('open', 'frozen_debit', 'frozen_credit', 'frozen', 'closed')
			AND a.reentrancy IN ('off', 'reject', 'allow', 'queue')
			AND isfinite(a.last_at), false)
	UNION ALL
	SELECT 'I4', j.ledger_id, 'journal ' || j.id, 'it has no kind, amount or time'
	FROM teller.verify_row($1, $2) j
	WHERE num_nulls(j.kind, j.amount, j.effective_at, j.recorded_at, j.ends_hold) > 0
	UNION ALL
	-- I5: version and balances of a side go together, and a hot account has an
	-- epoch instead; a row leaves its credit account alone only if it moves
	-- nothing, its debit account never
	SELECT 'I5', j.ledger_id, 'journal ' || j.id,
		format('%s with versions %s and %s, posted %s and %s, pending %s and %s', j.kind,
			coalesce(j.debit_version::text, 'none'), coalesce(j.credit_version::text, 'none'),
			coalesce(j.debit_posted::text, 'none'), coalesce(j.credit_posted::text, 'none'),
			coalesce(j.debit_pending::text, 'none'), coalesce(j.credit_pending::text, 'none'))
	FROM teller.verify_row($1, $2) j
	WHERE ((num_nulls(j.debit_version, j.debit_posted, j.debit_pending) > 0
				AND NOT (num_nulls(j.debit_version, j.debit_posted, j.debit_pending) = 3
					AND j.debit_epoch IS NOT NULL))
			OR (num_nulls(j.credit_version, j.credit_posted, j.credit_pending) > 0
				AND NOT (num_nulls(j.credit_version, j.credit_posted, j.credit_pending) = 3
					AND (j.kind IN ('hold', 'extend', 'adjust', 'release', 'expire')
						OR j.credit_epoch IS NOT NULL))))
	UNION ALL
	-- there is one row of an account
	SELECT 'I5', a.ledger_id, 'account ' || a.account_id, format('there are %s rows of it', count(*))
	FROM teller.account a
	WHERE $1 IS NULL OR a.ledger_id = $1
	GROUP BY a.ledger_id, a.account_id
	HAVING count(*) > 1
	UNION ALL
	-- the last time on an account is not before its last row
	SELECT 'I6', a.ledger_id, 'account ' || a.account_id,
		format('the row says that it was used last at %s, the journal at %s', a.last_at, v.recorded_at)
	FROM teller.account a
	CROSS JOIN LATERAL (SELECT n.recorded_at FROM teller.verify_side n
		WHERE n.ledger_id = a.ledger_id AND n.account_id = a.account_id AND n.version = a.version
		OFFSET 0) v
	WHERE ($1 IS NULL OR a.ledger_id = $1) AND a.last_at < v.recorded_at
		AND ($2 IS NULL OR a.last_at >= $2)
	UNION ALL
	-- I5: the rows of a batch were written at once, under ids that follow each
	-- other from 1
	SELECT 'I5', b.ledger_id, 'batch ' || b.batch_id,
		CASE WHEN NOT b.of_its_ids THEN 'a row of it has an id of something else'
			WHEN b.found <> b.last_place THEN format('%s rows up to number %s', b.found, b.last_place)
			WHEN b.times <> 1 THEN format('its rows were recorded at %s times', b.times)
			WHEN NOT b.of_one_kind THEN 'its rows are of several kinds'
			ELSE format('row %s does not say that it belongs to it', b.found + 1) END
	FROM batch b
	WHERE NOT b.of_its_ids OR b.found <> b.last_place OR b.times <> 1 OR NOT b.of_one_kind
		OR (SELECT count(*) FROM teller.journal n WHERE n.ledger_id = b.ledger_id
			AND n.id = (left(b.batch_id::text, 28) || lpad(to_hex(b.last_place + 1), 8, '0'))::uuid) > 0
	UNION ALL
	-- I6: nothing became effective in a closed period after it was closed
	SELECT 'I6', j.ledger_id, 'journal ' || j.id,
		format('effective at %s and recorded at %s, but periods until %s were closed at %s',
			j.effective_at, j.recorded_at, p.closed_until, p.closed_at)
	FROM teller.period p
	JOIN teller.verify_row($1, $2) j ON j.ledger_id = p.ledger_id
	WHERE ($1 IS NULL OR p.ledger_id = $1)
		AND j.effective_at < p.closed_until AND j.recorded_at > p.closed_at
	UNION ALL
	SELECT 'I6', p.ledger_id, 'period',
		CASE WHEN l.ledger_id IS NULL THEN 'its ledger does not exist'
			ELSE format('closed until %s, but it was closed at %s', coalesce(p.closed_until::text, 'none'),
				coalesce(p.closed_at::text, 'none')) END
	FROM teller.period p
	LEFT JOIN teller.ledger l ON l.ledger_id = p.ledger_id
	WHERE ($1 IS NULL OR p.ledger_id = $1)
		AND (l.ledger_id IS NULL OR NOT coalesce(p.closed_until <= p.closed_at
			AND isfinite(p.closed_until) AND isfinite(p.closed_at), false));
END;
COMMENT ON FUNCTION teller.verify_rows(bigint, timestamptz) IS 'What I2 and I4 to I6 ask of single rows, of batches and of closed periods; called by teller.verify().';

-- Of holds placed before the mark too little is known here: see verify_recent().
CREATE FUNCTION teller.verify_hold_events(bigint, timestamptz)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- The rows of each hold in their order, which is that of its debit
	-- account's versions, and of time from when that was hot, with the amount
	-- and the deadline in force.  Deadlines
	-- only grow: the next extension says what was until then.
	WITH event AS (
		SELECT j.ledger_id, j.hold_id, j.id, j.kind, j.amount, j.debit_account, j.credit_account,
			j.debit_version, j.operation_id, j.recorded_at, j.ends_hold,
			CASE WHEN j.debit_epoch IS NOT NULL THEN j.recorded_at END AS hot_at,
			CASE j.kind WHEN 'adjust' THEN teller.verify_number(j.metadata, 'old_amount') END AS old_amount,
			CASE j.kind WHEN 'adjust' THEN teller.verify_number(j.metadata, 'new_amount') END AS new_amount,
			CASE j.kind WHEN 'extend' THEN teller.verify_time(j.metadata, 'old_expires_at') END AS old_deadline,
			CASE j.kind WHEN 'extend' THEN teller.verify_time(j.metadata, 'new_expires_at') END AS new_deadline
		FROM teller.verify_row($1, $2) j
		WHERE j.hold_id IS NOT NULL),
	line AS (
		SELECT e.*, row_number() OVER w AS place, lead(e.id) OVER w IS NULL AS is_last,
			coalesce(sum(CASE e.kind WHEN 'hold' THEN e.amount
				WHEN 'adjust' THEN e.new_amount - e.old_amount END) OVER before, 0) AS total,
			coalesce(sum(e.amount) FILTER (WHERE e.kind IN ('capture', 'release', 'expire')) OVER before, 0) AS used,
			coalesce(sum(e.amount) FILTER (WHERE e.kind = 'capture') OVER w, 0) AS captured,
			lag(e.kind) OVER w AS kind_before,
			lag(e.recorded_at) OVER w AS recorded_before,
			max(e.new_deadline) OVER before AS deadline_before,
			min(e.old_deadline) OVER (w ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next_old,
			max(e.new_deadline) OVER (PARTITION BY e.ledger_id, e.hold_id) AS last_deadline
		FROM event e
		WINDOW w AS (PARTITION BY e.ledger_id, e.hold_id ORDER BY e.hot_at NULLS FIRST, e.debit_version, e.id),
			before AS (PARTITION BY e.ledger_id, e.hold_id ORDER BY e.hot_at NULLS FIRST, e.debit_version, e.id
				ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
	step AS (
		SELECT l.*, h.state, h.created_at, h.ended_at, h.expires_at,
			coalesce(l.next_old, h.expires_at) AS deadline,
			(h.debit_account, h.credit_account) IS NOT DISTINCT FROM (l.debit_account, l.credit_account) AS of_its_accounts,
			h.operation_id IS NOT DISTINCT FROM l.operation_id AS of_its_operation
		FROM line l
		CROSS JOIN LATERAL (SELECT n.* FROM teller.hold n
			WHERE n.ledger_id = l.ledger_id AND n.hold_id = l.hold_id OFFSET 0) h
		WHERE $2 IS NULL OR h.created_at >= $2)
	-- I9: a row belongs to a hold if and only if it is of the kinds that do
	SELECT 'I9', j.ledger_id, 'journal ' || j.id,
		format('of kind %s with hold %s', j.kind, coalesce(j.hold_id::text, 'none'))
	FROM teller.verify_row($1, $2) j
	WHERE (j.hold_id IS NULL) <> (j.kind IN ('transfer', 'reversal'))
		OR (j.hold_id IS NULL AND j.ends_hold)
	UNION ALL
	-- its own hold: the same accounts, and the operation that the hold has
	SELECT 'I9', s.ledger_id, 'hold ' || s.hold_id,
		format('version %s: %s between accounts %s and %s, of operation %s', coalesce(s.debit_version::text, 'none'),
			s.kind, s.debit_account, s.credit_account, coalesce(s.operation_id::text, 'none'))
	FROM step s
	WHERE NOT s.of_its_accounts OR NOT s.of_its_operation
	UNION ALL
	-- placed once, at first; ended once, at last; then, and as the row says
	SELECT 'I9', s.ledger_id, 'hold ' || s.hold_id,
		format('version %s: row %s of it, of kind %s%s', coalesce(s.debit_version::text, 'none'), s.place, s.kind,
			CASE WHEN s.ends_hold THEN ' that ends it' END)
	FROM step s
	WHERE (s.kind = 'hold') <> (s.place = 1)
		OR (s.ends_hold AND NOT s.is_last)
		OR (s.kind IN ('release', 'expire') AND NOT s.ends_hold)
		OR (s.kind IN ('hold', 'extend') AND s.ends_hold)
	UNION ALL
	SELECT 'I9', s.ledger_id, 'hold ' || s.hold_id,
		format('%s, placed at %s, ended at %s, but the journal has %s at %s', s.state, s.created_at,
			coalesce(s.ended_at::text, 'none'), s.kind, s.recorded_at)
	FROM step s
	WHERE (s.kind = 'hold' AND s.created_at IS DISTINCT FROM s.recorded_at)
		OR (s.ends_hold AND s.state <> 'open' AND NOT coalesce(s.ended_at = s.recorded_at
			AND s.state = CASE s.kind WHEN 'expire' THEN 'expired' WHEN 'capture' THEN 'captured'
				WHEN 'adjust' THEN CASE WHEN s.captured > 0 THEN 'captured' ELSE 'released' END
				-- a final capture releases the rest at the same moment
				ELSE CASE WHEN s.state = 'captured' AND s.kind_before = 'capture'
					AND s.recorded_before = s.recorded_at THEN 'captured' ELSE 'released' END END, false))
	UNION ALL
	-- each row says what it did to the hold as it was
	SELECT 'I9', s.ledger_id, 'hold ' || s.hold_id,
		format('version %s: %s of %s where %s of %s remained%s', coalesce(s.debit_version::text, 'none'), s.kind, s.amount,
			s.total - s.used, s.total,
			CASE s.kind WHEN 'adjust' THEN format(', from %s to %s', coalesce(s.old_amount::text, 'none'),
				coalesce(s.new_amount::text, 'none')) END)
	FROM step s
	WHERE NOT coalesce(CASE s.kind
		WHEN 'adjust' THEN s.old_amount = s.total AND s.new_amount >= s.used
			AND abs(s.new_amount - s.old_amount) = s.amount
			AND s.ends_hold = (s.new_amount = s.used)
		WHEN 'capture' THEN s.amount <= s.total - s.used
		WHEN 'hold' THEN true
		ELSE s.amount = s.total - s.used END, false)
	UNION ALL
	-- I10: each extension starts from the deadline before it and makes it
	-- later; the last one is the hold's
	SELECT 'I10', s.ledger_id, 'hold ' || s.hold_id,
		format('version %s: the deadline was extended from %s to %s, where it was %s and has become %s',
			coalesce(s.debit_version::text, 'none'), coalesce(s.old_deadline::text, 'none'), coalesce(s.new_deadline::text, 'none'),
			coalesce(s.deadline_before::text, 'none before'), coalesce(s.expires_at::text, 'none'))
	FROM step s
	WHERE s.kind = 'extend' AND NOT coalesce(s.new_deadline > s.old_deadline
		AND s.old_deadline = coalesce(s.deadline_before, s.old_deadline)
		AND s.last_deadline = s.expires_at, false)
	UNION ALL
	-- a hold has a deadline, or an operation that ends it
	SELECT 'I10', h.ledger_id, 'hold ' || h.hold_id,
		format('deadline %s, operation %s', coalesce(h.expires_at::text, 'none'), coalesce(h.operation_id::text, 'none'))
	FROM teller.hold h
	WHERE ($1 IS NULL OR h.ledger_id = $1) AND ($2 IS NULL OR h.state = 'open')
		AND (h.operation_id IS NULL) <> coalesce(isfinite(h.expires_at), false)
	UNION ALL
	-- nothing is decided on a hold from the deadline on that was in force but its
	-- expiry, and that not before; the final deadline is verify_holds()'s
	SELECT 'I10', s.ledger_id, 'hold ' || s.hold_id,
		format('version %s: %s at %s, the deadline then was %s', coalesce(s.debit_version::text, 'none'), s.kind,
			s.recorded_at, coalesce(s.deadline::text, 'none'))
	FROM step s
	WHERE CASE s.kind WHEN 'expire' THEN s.recorded_at < s.deadline AND s.deadline <> s.expires_at
		WHEN 'capture' THEN s.recorded_at >= s.deadline AND s.recorded_at < s.expires_at
		WHEN 'hold' THEN false
		ELSE s.recorded_at >= s.deadline END;
END;
COMMENT ON FUNCTION teller.verify_hold_events(bigint, timestamptz) IS 'What I9 and I10 ask of each event of a hold; called by teller.verify().';

CREATE FUNCTION teller.verify_reversals(bigint, timestamptz)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- I21: a reversal names a movement that was there before it, and goes the
	-- other way round
	SELECT 'I21', r.ledger_id, 'journal ' || r.id,
		CASE WHEN r.kind <> 'reversal' THEN format('of kind %s, but it reverses %s', r.kind, r.reverses)
			WHEN r.reverses IS NULL THEN 'a reversal of nothing'
			WHEN o.id IS NULL THEN format('it reverses %s, which does not exist', r.reverses)
			ELSE format('it reverses %s, %s of %s from account %s to %s%s', o.id, o.kind, o.amount,
				o.debit_account, o.credit_account,
				CASE WHEN o.operation_id IS NOT NULL THEN ', of operation ' || o.operation_id END) END
	FROM teller.verify_row($1, $2) r
	LEFT JOIN LATERAL (SELECT n.* FROM teller.journal n
		WHERE n.ledger_id = r.ledger_id AND n.id = r.reverses OFFSET 0) o ON true
	WHERE (r.kind = 'reversal' OR r.reverses IS NOT NULL)
		AND NOT coalesce(r.kind = 'reversal' AND o.kind IN ('transfer', 'capture')
			AND o.operation_id IS NULL
			AND o.debit_account = r.credit_account AND o.credit_account = r.debit_account
			AND coalesce(o.debit_version < r.credit_version, true)
			AND coalesce(o.credit_version < r.debit_version, true), false)
	UNION ALL
	-- all reversals of a movement come to what it moved at most
	SELECT 'I21', o.ledger_id, 'journal ' || o.id,
		format('%s of its %s are reversed', r.total, o.amount)
	FROM (SELECT DISTINCT n.ledger_id, n.reverses FROM teller.verify_row($1, $2) n
			WHERE n.reverses IS NOT NULL) d
	CROSS JOIN LATERAL (SELECT n.* FROM teller.journal n
		WHERE n.ledger_id = d.ledger_id AND n.id = d.reverses OFFSET 0) o
	CROSS JOIN LATERAL (SELECT sum(n.amount) AS total FROM teller.journal n
		WHERE n.ledger_id = d.ledger_id AND n.reverses = d.reverses) r
	WHERE r.total > o.amount;
END;
COMMENT ON FUNCTION teller.verify_reversals(bigint, timestamptz) IS 'Invariant I21 (reversals); called by teller.verify().';

CREATE FUNCTION teller.verify_effects(bigint, timestamptz)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- I13: the answer under a key is the one that the effect gave
	SELECT 'I13', k.ledger_id, 'key ' || quote_literal(k.key), 'its answer does not say what its row says'
	FROM teller.key k
	WHERE ($1 IS NULL OR k.ledger_id = $1) AND ($2 IS NULL OR k.created_at >= $2)
		AND (k.status IS DISTINCT FROM coalesce(k.result ->> 'status', 'posted')
			OR k.reason IS DISTINCT FROM k.result ->> 'reason'
			OR (k.status = 'denied') <> (k.reason IS NOT NULL)
			OR k.request_time IS DISTINCT FROM teller.verify_time(k.arguments, 'request_time')
			OR k.id::text IS DISTINCT FROM coalesce(k.result ->> 'id', k.result ->> 'batch_id'))
	UNION ALL
	SELECT 'I13', k.ledger_id, 'key ' || quote_literal(k.key),
		format('%s %s is not what was asked for or answered under it', k.function, k.id)
	FROM teller.key k
	JOIN teller.journal j ON j.ledger_id = k.ledger_id AND j.id = k.id
	WHERE ($1 IS NULL OR k.ledger_id = $1) AND ($2 IS NULL OR k.created_at >= $2) AND k.status <> 'denied'
		AND k.function IN ('transfer', 'transfer_up_to', 'reverse', 'capture')
		AND NOT coalesce(j.recorded_at = k.created_at
			AND CASE k.function WHEN 'reverse' THEN j.reverses::text = k.arguments ->> 'id'
				WHEN 'capture' THEN j.kind = 'capture' AND j.hold_id::text = k.arguments ->> 'hold'
				ELSE j.kind = 'transfer'
					AND j.debit_account = teller.verify_number(k.arguments, 'debit_account')
					AND j.credit_account = teller.verify_number(k.arguments, 'credit_account')
					AND j.metadata IS NOT DISTINCT FROM k.arguments -> 'metadata'
					AND j.effective_at = CASE WHEN k.arguments ? 'effective_at'
						THEN teller.verify_time(k.arguments, 'effective_at') ELSE j.recorded_at END END
			AND CASE k.function
				WHEN 'transfer_up_to' THEN j.amount <= teller.verify_number(k.arguments, 'max_amount')
					AND j.amount >= teller.verify_number(k.arguments, 'min_amount')
				ELSE j.amount = coalesce(teller.verify_number(k.arguments, 'amount'), j.amount) END
			-- a final capture answers with what was after the release of the rest
			-- and a hot account without a version
			AND CASE WHEN j.debit_version IS NULL THEN j.debit_epoch IS NOT NULL
					AND (teller.verify_number(k.result, 'debit_balance') IS NULL) = (j.batch_id IS NOT NULL)
					AND teller.verify_number(k.result, 'debit_version') IS NULL
				ELSE j.debit_posted = teller.verify_number(k.result, 'debit_balance')
					AND teller.verify_number(k.result, 'debit_version') - j.debit_version
						BETWEEN 0 AND CASE k.function WHEN 'capture' THEN 1 ELSE 0 END END
			AND CASE WHEN j.credit_version IS NULL THEN j.credit_epoch IS NOT NULL
					AND (teller.verify_number(k.result, 'credit_balance') IS NULL) = (j.batch_id IS NOT NULL)
					AND teller.verify_number(k.result, 'credit_version') IS NULL
				ELSE j.credit_posted = teller.verify_number(k.result, 'credit_balance')
					AND teller.verify_number(k.result, 'credit_version') - j.credit_version
						BETWEEN 0 AND CASE k.function WHEN 'capture' THEN 1 ELSE 0 END END, false)
	UNION ALL
	-- accounts that paid one amount paid it in the order asked, each once
	SELECT 'I13', k.ledger_id, 'key ' || quote_literal(k.key),
		format('the rows of batch %s are not what was asked for under it', k.id)
	FROM teller.key k
	CROSS JOIN LATERAL (
		SELECT sum(j.amount) AS amount, array_agg(a.place ORDER BY j.id) AS places,
			bool_and(coalesce(j.kind = 'transfer' AND a.place IS NOT NULL
				AND j.credit_account = teller.verify_number(k.arguments, 'credit_account')
				AND j.metadata IS NOT DISTINCT FROM k.arguments -> 'metadata'
				AND j.effective_at = CASE WHEN k.arguments ? 'effective_at'
					THEN teller.verify_time(k.arguments, 'effective_at') ELSE j.recorded_at END, false)) AS alike
		FROM teller.journal j
		LEFT JOIN LATERAL jsonb_array_elements_text(CASE jsonb_typeof(k.arguments -> 'debit_accounts')
				WHEN 'array' THEN k.arguments -> 'debit_accounts' ELSE '[]' END) WITH ORDINALITY AS a (account, place)
			ON a.account = j.debit_account::text
		WHERE j.ledger_id = k.ledger_id AND j.batch_id = k.id AND j.id > k.id
			AND j.id <= (left(k.id::text, 28) || 'ffffffff')::uuid) paid
	WHERE ($1 IS NULL OR k.ledger_id = $1) AND ($2 IS NULL OR k.created_at >= $2) AND k.status <> 'denied'
		AND k.function = 'transfer_from'
		AND NOT coalesce(paid.alike AND paid.amount = teller.verify_number(k.arguments, 'amount')
			AND paid.places = (SELECT array_agg(DISTINCT p.place ORDER BY p.place)
				FROM unnest(paid.places) AS p (place)), false)
	UNION ALL
	-- of hold events the answer has the version; an adjustment that changed
	-- nothing has the account's, which may be of a row that credited it.  Where
	-- the account was hot the event is known by its time.
	SELECT 'I13', k.ledger_id, 'key ' || quote_literal(k.key),
		format('%s of hold %s made no version %s', k.function, k.id,
			coalesce(k.result ->> 'debit_version', 'none'))
	FROM teller.key k
	JOIN teller.hold h ON h.ledger_id = k.ledger_id AND h.hold_id = k.id
	LEFT JOIN teller.journal v ON v.ledger_id = h.ledger_id AND v.debit_account = h.debit_account
		AND v.debit_version = teller.verify_number(k.result, 'debit_version')::bigint
	LEFT JOIN (SELECT r.* FROM teller.verify_row($1, $2) r
			WHERE r.hold_id IS NOT NULL AND r.debit_version IS NULL AND r.debit_epoch IS NOT NULL) e
		ON e.ledger_id = h.ledger_id AND e.hold_id = h.hold_id AND e.recorded_at = k.created_at
		AND teller.verify_number(k.result, 'debit_version') IS NULL
	CROSS JOIN LATERAL (SELECT coalesce(v.id, e.id) AS id, coalesce(v.kind, e.kind) AS kind,
		coalesce(v.debit_account, e.debit_account) AS debit_account,
		coalesce(v.credit_account, e.credit_account) AS credit_account,
		coalesce(v.amount, e.amount) AS amount, coalesce(v.metadata, e.metadata) AS metadata,
		coalesce(v.hold_id, e.hold_id) AS hold_id, coalesce(v.recorded_at, e.recorded_at) AS recorded_at) j
	WHERE ($1 IS NULL OR k.ledger_id = $1) AND ($2 IS NULL OR k.created_at >= $2) AND k.status <> 'denied'
		AND k.function IN ('hold', 'release', 'extend_hold', 'adjust_hold')
		AND NOT coalesce(CASE k.function
			WHEN 'hold' THEN j.kind = 'hold'
				AND j.debit_account = teller.verify_number(k.arguments, 'debit_account')
				AND j.credit_account = teller.verify_number(k.arguments, 'credit_account')
				AND j.amount = teller.verify_number(k.arguments, 'amount')
			ELSE k.arguments ->> 'hold' = h.hold_id::text AND CASE k.function
				WHEN 'release' THEN j.kind = 'release'
				WHEN 'extend_hold' THEN j.kind = 'extend'
					AND j.metadata -> 'new_expires_at' = k.result -> 'expires_at'
				ELSE j.id IS NULL OR j.kind <> 'adjust' OR j.hold_id <> h.hold_id OR j.recorded_at <> k.created_at
					OR teller.verify_number(j.metadata, 'new_amount') = teller.verify_number(k.arguments, 'amount') END END
			AND (k.function = 'adjust_hold' OR (j.hold_id = h.hold_id AND j.recorded_at = k.created_at)), false)
	UNION ALL
	-- one row of a key
	SELECT 'I13', k.ledger_id, 'key ' || quote_literal(k.key), format('there are %s rows of it', count(*))
	FROM teller.key k
	WHERE ($1 IS NULL OR k.ledger_id = $1) AND ($2 IS NULL OR k.created_at >= $2)
	GROUP BY k.ledger_id, k.key
	HAVING count(*) > 1
	UNION ALL
	-- what was pruned: of a ledger that exists, and in the past
	SELECT 'I13', z.ledger_id, 'key horizon',
		CASE WHEN l.ledger_id IS NULL THEN 'its ledger does not exist'
			ELSE format('keys are pruned until %s, which is not in the past', coalesce(z.pruned_until::text, 'none')) END
	FROM teller.key_horizon z
	LEFT JOIN teller.ledger l ON l.ledger_id = z.ledger_id
	WHERE ($1 IS NULL OR z.ledger_id = $1)
		AND (l.ledger_id IS NULL OR NOT coalesce(z.pruned_until <= clock_timestamp(), false));
END;
COMMENT ON FUNCTION teller.verify_effects(bigint, timestamptz) IS 'What I13 asks of the answers under keys, and of pruned keys; called by teller.verify().';
