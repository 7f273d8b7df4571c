-- The invariants of operations, in the form of verify.sql: $1 is the ledger,
-- NULL for all; a row is a violation.

CREATE FUNCTION teller.verify_operations(bigint)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- I12: an operation that is not terminal has its one open hold, of its
	-- amount and without a deadline
	SELECT 'I12', o.ledger_id, 'operation ' || o.id,
		format('%s over %s, but its hold %s is %s with %s left, between accounts %s and %s, of operation %s%s',
			o.state, o.amount, o.hold_id, coalesce(h.state, 'missing'),
			coalesce(h.amount - h.captured - h.released, 0),
			coalesce(h.debit_account::text, 'none'),
			coalesce(h.credit_account::text, 'none'),
			coalesce(h.operation_id::text, 'none'),
			CASE WHEN h.expires_at IS NOT NULL THEN ', with a deadline' END)
	FROM teller.operation_data o
	LEFT JOIN teller.hold h ON h.ledger_id = o.ledger_id AND h.hold_id = o.hold_id
	WHERE ($1 IS NULL OR o.ledger_id = $1)
		AND o.state NOT IN ('settled', 'refunded')
		AND (h.state IS DISTINCT FROM 'open'
			OR h.operation_id IS DISTINCT FROM o.id
			OR h.amount <> o.amount OR h.captured <> 0 OR h.released <> 0
			OR h.expires_at IS NOT NULL
			OR h.debit_account <> CASE o.direction WHEN 'withdraw'
				THEN o.account_id ELSE o.settlement_account END
			OR h.credit_account <> CASE o.direction WHEN 'withdraw'
				THEN o.settlement_account ELSE o.account_id END)
	UNION ALL
	-- a settled one captured all of its hold, a refunded one nothing
	SELECT 'I12', o.ledger_id, 'operation ' || o.id,
		format('%s, but its hold %s is %s: captured %s, released %s of %s',
			o.state, o.hold_id, coalesce(h.state, 'missing'), h.captured,
			h.released, o.amount)
	FROM teller.operation_data o
	LEFT JOIN teller.hold h ON h.ledger_id = o.ledger_id AND h.hold_id = o.hold_id
	WHERE ($1 IS NULL OR o.ledger_id = $1)
		AND o.state IN ('settled', 'refunded')
		AND (h.operation_id IS DISTINCT FROM o.id
			OR h.captured <> CASE o.state WHEN 'settled' THEN o.amount ELSE 0 END
			OR h.released <> CASE o.state WHEN 'refunded' THEN o.amount ELSE 0 END)
	UNION ALL
	-- no hold of an operation without its operation
	SELECT 'I12', h.ledger_id, 'hold ' || h.hold_id,
		format('belongs to operation %s, which does not exist', h.operation_id)
	FROM teller.hold h
	LEFT JOIN teller.operation_data o ON o.ledger_id = h.ledger_id
		AND o.id = h.operation_id AND o.hold_id = h.hold_id
	WHERE ($1 IS NULL OR h.ledger_id = $1)
		AND h.operation_id IS NOT NULL AND o.id IS NULL
	UNION ALL
	-- I15: the memo is the hash of what is stored
	SELECT 'I15', o.ledger_id, 'operation ' || o.id,
		'its memo is not the hash of what is stored'
	FROM teller.operation_data o
	WHERE ($1 IS NULL OR o.ledger_id = $1)
		AND o.memo IS DISTINCT FROM teller.operation_memo(
			CASE WHEN o.request ->> 'origin' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
				THEN (o.request ->> 'origin')::uuid END, o.direction, o.ledger_id,
			o.account_id, o.nonce, o.amount, o.asset, o.server,
			o.counterparty, o.payload)
	UNION ALL
	-- and the request says the same
	SELECT 'I15', o.ledger_id, 'operation ' || o.id,
		'its request is not what is stored beside it'
	FROM teller.operation_data o
	WHERE ($1 IS NULL OR o.ledger_id = $1)
		AND (o.request ->> 'memo' IS DISTINCT FROM encode(o.memo, 'hex')
			OR o.request ->> 'ledger' IS DISTINCT FROM o.ledger_id::text
			OR o.request ->> 'direction' IS DISTINCT FROM o.direction
			OR o.request ->> 'account' IS DISTINCT FROM o.counterparty
			OR o.request ->> 'amount' IS DISTINCT FROM o.amount::text
			OR o.request ->> 'asset' IS DISTINCT FROM o.asset
			OR o.request ->> 'nonce' IS DISTINCT FROM o.nonce
			OR teller.verify_time(o.request::jsonb, 'not_after') IS DISTINCT FROM o.not_after
			OR (o.request -> 'payload')::jsonb IS DISTINCT FROM o.payload)
	UNION ALL
	-- the fingerprint is that of the stored arguments (as I13 for keys)
	SELECT 'I15', o.ledger_id, 'operation ' || o.id,
		'its fingerprint is not that of its arguments'
	FROM teller.operation_data o
	WHERE ($1 IS NULL OR o.ledger_id = $1)
		AND o.fingerprint <> sha256(convert_to(o.direction || ' ' || o.arguments::text, getdatabaseencoding()))
	UNION ALL
	-- an attempt belongs to an operation, carries its memo, and its number
	-- is not beyond the last
	SELECT 'I15', a.ledger_id, format('operation %s attempt %s', a.operation_id, a.attempt),
		CASE WHEN o.id IS NULL THEN 'it belongs to no operation'
			WHEN a.memo <> o.memo THEN 'it was sent under another memo'
			ELSE format('the operation knows of %s attempts', o.last_attempt) END
	FROM teller.attempt_data a
	LEFT JOIN teller.operation_data o ON o.ledger_id = a.ledger_id AND o.id = a.operation_id
	WHERE ($1 IS NULL OR a.ledger_id = $1)
		AND (o.id IS NULL OR a.memo <> o.memo OR a.attempt > o.last_attempt)
	UNION ALL
	-- what was sent has its attempts, one to last_attempt
	SELECT 'I15', o.ledger_id, 'operation ' || o.id,
		format('%s attempts, of which %s are on record', o.last_attempt, count(a.attempt))
	FROM teller.operation_data o
	LEFT JOIN teller.attempt_data a ON a.ledger_id = o.ledger_id AND a.operation_id = o.id
	WHERE $1 IS NULL OR o.ledger_id = $1
	GROUP BY o.ledger_id, o.id, o.last_attempt, o.state
	HAVING count(a.attempt) <> o.last_attempt
		OR (o.last_attempt = 0 AND o.state IN ('in_flight', 'fencing'))
	UNION ALL
	-- I16, this side: settled has exactly one posting, refunded none
	SELECT 'I16', o.ledger_id, 'operation ' || o.id,
		format('%s with %s captures', o.state, count(j.id))
	FROM teller.operation_data o
	LEFT JOIN teller.journal j ON j.ledger_id = o.ledger_id
		AND j.hold_id = o.hold_id AND j.kind = 'capture'
	WHERE $1 IS NULL OR o.ledger_id = $1
	GROUP BY o.ledger_id, o.id, o.state
	HAVING count(j.id) <> CASE o.state WHEN 'settled' THEN 1 ELSE 0 END
	UNION ALL
	-- I18: what is open of an account, in the order of the tickets.  A queued
	-- one is stashed or in doubt while an earlier one is open, and is stashed
	-- only then; one that is rejected beside others has none before it.
	SELECT 'I18', q.ledger_id, 'operation ' || q.id,
		CASE WHEN q.ticket = q.previous_ticket
			THEN format('has the ticket of operation %s of account %s', q.previous, q.account_id)
			WHEN q.state = 'stashed' AND q.reentrancy <> 'queue'
			THEN format('stashed, but its reentrancy is %s', q.reentrancy)
			WHEN q.state = 'stashed'
			THEN format('stashed, but no earlier operation of account %s is open', q.account_id)
			ELSE format('%s with reentrancy %s, but operation %s of account %s was submitted before and is open',
				q.state, q.reentrancy, q.previous, q.account_id) END
	FROM (SELECT o.ledger_id, o.account_id, o.id, o.state, o.reentrancy, o.ticket,
			lag(o.id) OVER w AS previous, lag(o.ticket) OVER w AS previous_ticket
		FROM teller.operation_data o
		WHERE ($1 IS NULL OR o.ledger_id = $1) AND o.state NOT IN ('settled', 'refunded')
		WINDOW w AS (PARTITION BY o.ledger_id, o.account_id ORDER BY o.ticket, o.id)) q
	WHERE q.ticket = q.previous_ticket
		OR (q.state = 'stashed' AND (q.previous IS NULL OR q.reentrancy <> 'queue'))
		OR (q.previous IS NOT NULL AND (q.reentrancy = 'reject'
			OR (q.reentrancy = 'queue' AND q.state IN ('held', 'in_flight', 'retry_wait'))));
END;
COMMENT ON FUNCTION teller.verify_operations(bigint) IS 'I12, I15, the local half of I16, and I18; for teller.verify()';
