-- Continuations against their operations, in the form of verify.sql: $1 is the
-- ledger, NULL for all; a row is a violation.

CREATE FUNCTION teller.verify_continuations(bigint)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- an operation that has ended has its one on_complete, and no other has one
	SELECT 'continuation', o.ledger_id, 'operation ' || o.id,
		format('%s %s on_complete, but has %s rows of it', o.state,
			CASE WHEN o.on_complete IS NULL THEN 'without' ELSE 'with' END,
			count(c.event))
	FROM teller.operation_data o
	LEFT JOIN teller.continuation_data c ON c.ledger_id = o.ledger_id
		AND c.operation_id = o.id AND c.kind = 'on_complete'
	WHERE $1 IS NULL OR o.ledger_id = $1
	GROUP BY o.ledger_id, o.id, o.state, o.on_complete
	HAVING count(c.event) <> CASE WHEN o.on_complete IS NOT NULL
		AND o.state IN ('settled', 'refunded') THEN 1 ELSE 0 END
	UNION ALL
	-- what is in doubt was told
	SELECT 'continuation', o.ledger_id, 'operation ' || o.id,
		o.state || ' with on_doubt, but has no row of it'
	FROM teller.operation_data o
	WHERE ($1 IS NULL OR o.ledger_id = $1)
		AND o.on_doubt IS NOT NULL AND o.state IN ('in_doubt', 'fencing', 'conflict')
		AND NOT EXISTS (SELECT FROM teller.continuation_data c
			WHERE c.ledger_id = o.ledger_id AND c.operation_id = o.id AND c.kind = 'on_doubt')
	UNION ALL
	-- each row belongs to an operation that asked for it
	SELECT 'continuation', c.ledger_id, format('continuation %s of operation %s', c.event, c.operation_id),
		CASE WHEN o.id IS NULL THEN 'it belongs to no operation'
			ELSE format('the operation has no %s', c.kind) END
	FROM teller.continuation_data c
	LEFT JOIN teller.operation_data o ON o.ledger_id = c.ledger_id AND o.id = c.operation_id
	WHERE ($1 IS NULL OR c.ledger_id = $1)
		AND CASE c.kind WHEN 'on_complete' THEN o.on_complete ELSE o.on_doubt END IS NULL
	UNION ALL
	-- the events are numbered without a gap, and the end is the last
	SELECT 'continuation', c.ledger_id, 'operation ' || c.operation_id,
		format('%s events, numbered up to %s', count(*), max(c.event))
		|| CASE WHEN max(c.event) FILTER (WHERE c.kind = 'on_complete') < max(c.event)
			THEN format(', its end is number %s', max(c.event) FILTER (WHERE c.kind = 'on_complete')) ELSE '' END
	FROM teller.continuation_data c
	WHERE $1 IS NULL OR c.ledger_id = $1
	GROUP BY c.ledger_id, c.operation_id
	HAVING count(*) <> max(c.event) OR max(c.event) FILTER (WHERE c.kind = 'on_complete') < max(c.event);
END;
COMMENT ON FUNCTION teller.verify_continuations(bigint) IS 'continuations against their operations; for teller.verify()';
