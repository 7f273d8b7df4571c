-- Continuations: functions that run when an operation has ended or has come
-- into doubt.

CREATE TYPE teller.operation_result AS (
	ledger_id		bigint,
	id				uuid,
	account_id		bigint,
	direction		text,
	server			name,
	nonce			text,
	memo			bytea,
	amount			numeric,
	asset			text,
	counterparty	text,
	payload			jsonb,
	state			text,
	reason			text,
	reference		text,
	response		jsonb,
	attempts		integer,
	last_error		text,
	created_at		timestamptz,
	ended_at		timestamptz
);
COMMENT ON TYPE teller.operation_result IS 'what on_complete and on_doubt are told: the operation as it is when the function runs';
COMMENT ON COLUMN teller.operation_result.counterparty IS 'destination or source';
COMMENT ON COLUMN teller.operation_result.state IS 'settled or refunded for on_complete; for on_doubt in_doubt, fencing or conflict, or what has become of it since';
COMMENT ON COLUMN teller.operation_result.reason IS 'of refunded: rejected, cancelled or expired';

CREATE VIEW teller.continuation WITH (security_barrier) AS
	SELECT c.ledger_id, c.operation_id, c.event, c.kind,
		CASE c.kind WHEN 'on_complete' THEN o.on_complete ELSE o.on_doubt END AS function,
		o.submitter AS role, c.state, c.attempts, c.running_since,
		c.next_try_at, c.last_error, c.created_at, c.ended_at
	FROM teller.continuation_data c
	JOIN teller.operation_data o ON o.ledger_id OPERATOR(pg_catalog.=) c.ledger_id
		AND o.id OPERATOR(pg_catalog.=) c.operation_id
	WHERE teller.may_read(c.ledger_id);
COMMENT ON VIEW teller.continuation IS 'what is to be run, or was, because an operation ended or came into doubt';
COMMENT ON COLUMN teller.continuation.event IS '1, 2, ...: the events of this operation';
COMMENT ON COLUMN teller.continuation.kind IS 'on_complete: it ended; on_doubt: it entered in_doubt or conflict';
COMMENT ON COLUMN teller.continuation.role IS 'who submitted the operation, and as whom the function runs';
COMMENT ON COLUMN teller.continuation.state IS 'waiting: to be run, at next_try_at; done: it ran, and what it did is committed; parked: given up, see last_error and teller.retry_continuation()';
COMMENT ON COLUMN teller.continuation.attempts IS 'runs begun; at teller.callback_max_attempts it is parked';
COMMENT ON COLUMN teller.continuation.running_since IS 'when the run began that has not come back yet';
COMMENT ON COLUMN teller.continuation.last_error IS 'why the last run that failed did so';
COMMENT ON COLUMN teller.continuation.ended_at IS 'when the run began that succeeded, or when it was parked';

CREATE FUNCTION teller.retry_continuation(ledger bigint, operation uuid, kind text) RETURNS integer
	AS 'MODULE_PATHNAME', 'teller_retry_continuation' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.retry_continuation(bigint, uuid, text) IS
$$Run the parked continuations of an operation again, with all their attempts before them.
Arguments: kind: 'on_complete' or 'on_doubt'.
Result: how many were parked and wait now.
Errors: 55000 (none is parked), TL009, 22004, 22023, 42501, 40001. Locks: the rows of teller.continuation_data; waits for one that is just running.
Right: operate, and membership in the role that submitted the operation; or the owner of pg_teller.$$;

CREATE FUNCTION teller.run_continuations(ledger bigint, max_continuations integer DEFAULT 100) RETURNS integer
	AS 'MODULE_PATHNAME', 'teller_run_continuations' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.run_continuations(bigint, integer) IS
$$Run the continuations of a ledger that are due, as the worker does; for where there is no worker, as without shared_preload_libraries. Each runs as the role that submitted its operation, in a subtransaction of its own. What they did is committed with the present transaction.
Arguments: max_continuations: 1 to 10000. Those that others are just running are passed over.
Result: how many succeeded. One that fails is noted in teller.continuation and tried again later.
Errors: 22004, 22023, 25001 (at REPEATABLE READ and above), 55000 (called by a continuation), 57014, TL010, 42501. Locks: the rows of teller.continuation_data, and what the functions lock. Right: the owner of pg_teller.$$;
