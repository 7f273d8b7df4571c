-- External operations: withdrawals to and deposits from other ledgers.

CREATE FUNCTION teller.postgres_validator(options text[], catalog oid) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_postgres_validator' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.postgres_validator(text[], oid) IS
'Tests the options of servers and user mappings of wrapper teller_postgres. Errors: 22023 for an unknown, misplaced or invalid option, 42501 for one that only superusers may set. Locks: none.';

CREATE FOREIGN DATA WRAPPER teller_postgres
	NO HANDLER VALIDATOR teller.postgres_validator;
COMMENT ON FOREIGN DATA WRAPPER teller_postgres IS
'ledgers in other PostgreSQL databases with pg_teller, reached by its worker';

CREATE FUNCTION teller.http_validator(options text[], catalog oid) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_http_validator' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.http_validator(text[], oid) IS
'Tests the options of servers and user mappings of wrapper teller_http. Errors: 22023 for an unknown, misplaced or invalid option and for options that do not go together, 42501 for one that only superusers, or only members of the owner of pg_teller, may set. Locks: none.';

CREATE FOREIGN DATA WRAPPER teller_http
	NO HANDLER VALIDATOR teller.http_validator;
COMMENT ON FOREIGN DATA WRAPPER teller_http IS
'ledgers that are HTTP services, reached by the worker of pg_teller through libcurl';

-- Configuration ---------------------------------------------------------

CREATE FUNCTION teller.set_settlement_account(ledger bigint, server name, account bigint) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_set_settlement_account' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.set_settlement_account(bigint, name, bigint) IS
$$Say which account of the ledger mirrors the money that we have at a server: withdrawals credit it, deposits debit it.
Arguments: account: an account without min_balance, of the asset in which the server is used. Naming another account later is for new operations only; those that are open keep theirs.
Errors: TL009 (server, account), TL007 (another asset than the account before), TL010, 55000 (the account has a minimum or is closed), 42809 and 22023 (a server that cannot be used), 22004, 42501.
Locks: the account, then the row of this server and ledger. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.set_reentrancy(ledger bigint, account bigint, reentrancy text) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_set_reentrancy' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.set_reentrancy(bigint, bigint, text) IS
$$Say what a new operation of an account does while another one of it is open: allow: it goes beside it; queue: it waits (state stashed) until every operation of the account that was submitted before has ended; reject: TL008; off: the account takes no operations at all (55000). Movements and holds of the account go on in any case.
Each operation keeps the mode that counted when it was submitted, so those that are open are not touched. What is set already is a no-op.
Errors: TL009, 22004, 22023, 25006, 42501, 40001. Locks: the account, which waits for submissions and ends in progress. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.check_server(ledger bigint, server name,
	OUT check_name text, OUT ok boolean, OUT says text, OUT mend text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_check_server' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.check_server(bigint, name) IS
$$Is everything there that an operation of the current user through this server needs? One row for each check, in the order in which they build on each other: server, usage, settlement_account, instance, worker, dispatch, connection, contract, grant. A failing check may leave out those after it.
For a server of wrapper teller_pull there is no worker, connection, contract and grant to look at.
The last three ask the remote: the worker connects with the current user's user mapping (or PUBLIC's) and reads its capabilities; it needs a server that is committed.
Result: check_name; ok; says: what was found; mend: what to do, NULL if it is ok.
Errors: 22004, 42501. Waits for the worker, at most the timeouts of the server and five seconds. Locks: none. Right: operate.$$;

-- Submitting ------------------------------------------------------------

CREATE FUNCTION teller.withdraw(
	ledger bigint, account bigint, server name, amount numeric,
	destination text, nonce text, payload jsonb DEFAULT NULL,
	expires_in interval DEFAULT NULL, attempt_timeout interval DEFAULT NULL,
	reentrancy text DEFAULT NULL, on_complete regprocedure DEFAULT NULL,
	on_doubt regprocedure DEFAULT NULL, on_denial text DEFAULT 'raise',
	OUT id uuid, OUT nonce text, OUT memo bytea, OUT state text,
	OUT reason text, OUT replayed boolean) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_withdraw' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.withdraw(bigint, bigint, name, numeric, text, text, jsonb, interval, interval, text, regprocedure, regprocedure, text) IS
$$Pay money of an account out through a server. The money is held now; after the commit the worker sends the request, and captures the hold if the remote executes it, or releases it if it is proven that it did not.
Call it as SELECT * FROM teller.withdraw(...).
Arguments: amount in units of the asset; destination: who is paid, in the words of the remote (for teller_postgres the name of an account there), 1 to 255 bytes; nonce: your payout id, 1 to 255 bytes, unique for the account; payload: goes along; expires_in (1 second to 365 days, default teller.operation_expiry): later than that the remote does not execute it; attempt_timeout (100 milliseconds to 1 hour, default the server's, else teller.attempt_timeout): of one call; reentrancy: 'reject', 'allow' or 'queue', default the account's; it may be stricter or laxer, but an account that is off stays so; on_complete, on_doubt: a FUNCTION f(teller.operation_result) RETURNS void, which the worker runs as the current user when the operation has ended, or each time it enters in_doubt or conflict (see teller.continuation); on_denial: 'raise' or 'return'.
The same nonce again with the same arguments answers the operation as it is now, with replayed = true; with others it is TL003.
Result: id, nonce, memo (32 bytes that name the operation at the remote), state (held at first, stashed while it waits in the account's queue; denied with on_denial => 'return'), reason, replayed.
Errors: TL001, TL003, TL004, TL005, TL007, TL008 (reentrancy reject, and another operation of the account is open), TL009 (account, server), TL010, TL011 (too many open operations), 22003, 22004, 22023, 42501 (ledger, server, function), 42809 and 42883 (function), 54000 (request larger than teller.max_request_bytes), 55000 (no settlement account, reentrancy off, no worker), 0A000, 40001.
Locks: the account; the settlement account only if it has a max_balance. The commit is flushed to disk whatever synchronous_commit says. Exact at READ COMMITTED; above it a stale caller gets 40001. Right: operate, and USAGE on the server.$$;

CREATE FUNCTION teller.deposit(
	ledger bigint, account bigint, server name, amount numeric,
	source text, nonce text, payload jsonb DEFAULT NULL,
	expires_in interval DEFAULT NULL, attempt_timeout interval DEFAULT NULL,
	reentrancy text DEFAULT NULL, on_complete regprocedure DEFAULT NULL,
	on_doubt regprocedure DEFAULT NULL, on_denial text DEFAULT 'raise',
	OUT id uuid, OUT nonce text, OUT memo bytea, OUT state text,
	OUT reason text, OUT replayed boolean) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_deposit' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.deposit(bigint, bigint, name, numeric, text, text, jsonb, interval, interval, text, regprocedure, regprocedure, text) IS
$$Take money in through a server. Room under the account's max_balance is reserved now; after the commit the worker sends the request, and the account is credited if the remote executes it.
Call it as SELECT * FROM teller.deposit(...).
Arguments: source: who pays, in the words of the remote, which must have given a mandate for it; all others, the result, errors and rights as in teller.withdraw.
Locks: the account and the settlement account, by account_id.$$;

-- Waiting and deciding --------------------------------------------------

CREATE FUNCTION teller.await(ledger bigint, operation uuid, timeout interval DEFAULT '30 s') RETURNS text
	AS 'MODULE_PATHNAME', 'teller_await' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.await(bigint, uuid, interval) IS
$$Wait until an operation is settled or refunded. Returns its state then, or the state that it has when the timeout is over.
Arguments: timeout: not negative; more than an hour counts as an hour. A terminal state is told only once it is on disk.
Errors: TL009, 22004, 22023, 25001 (at REPEATABLE READ and above it would not see the end), 55000 (an operation that this transaction made or changed: commit first), 42501.
Locks: none. The statement's snapshot lasts as long as the wait. Right: operate.$$;

CREATE FUNCTION teller.await_all(ledger bigint, operations uuid[], timeout interval DEFAULT '30 s',
	OUT operation uuid, OUT state text, OUT reason text, OUT reference text,
	OUT response jsonb) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_await_all' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.await_all(bigint, uuid[], interval) IS
$$Wait until all of these operations are settled or refunded, or the timeout is over: it is one for all of them. One row for each, in the order given.
Arguments: operations: at most 10000; an empty array gives no rows. Errors, locks and right as in teller.await; 54000 for more.$$;

CREATE FUNCTION teller.cancel(ledger bigint, operation uuid) RETURNS text
	AS 'MODULE_PATHNAME', 'teller_cancel' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.cancel(bigint, uuid) IS
$$Ask for an operation not to be executed.
Result: refunded: it was never sent, or is proven not to have run, and the money is free again (also if it was refunded before); cancel_requested: it may have been executed, so only a flag is set; it is then fenced at the remote rather than sent again, and ends either way; settled: too late.
Errors: TL009, 22004, 42501, 40001. Locks: account and settlement account by account_id, the operation, its hold. The commit is flushed. Right: operate.$$;

CREATE FUNCTION teller.resolve(ledger bigint, operation uuid, outcome text, reference text, note text) RETURNS text
	AS 'MODULE_PATHNAME', 'teller_resolve' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.resolve(bigint, uuid, text, text, text) IS
$$A person's word on an operation that is in_doubt or conflict, when the remote cannot be asked: executed captures the hold, not_executed releases it. Who said so and why is kept in teller.finding.
Arguments: outcome: 'executed' or 'not_executed'; reference: what the remote calls it, required for executed; note: what proves it, required.
Result: the state, settled or refunded.
Errors: TL009, 22004, 22023, 55000 (in another state), 42501, 40001. Locks: as teller.cancel. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.adopt_instance() RETURNS bigint
	AS 'MODULE_PATHNAME', 'teller_adopt_instance' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.adopt_instance() IS
$$Say that this database carries on after a restore, a promotion, an upgrade or a move, and that no other one does. Until then a copy sends nothing and refunds nothing that may have been sent (TL010).
Every operation that has not ended becomes in_doubt: it is looked up or fenced by its memo, and settled or refunded on proof. To be called after a restore that did not show as one, too. A promoted standby does it by itself if it streamed from its primary, teller.dispatch is on, and each server honours memos and can look them up.
Result: the number of operations put in doubt.
Errors: 42501, 40001. Locks: the accounts of those operations by (ledger, account), then the operations. Right: the owner of pg_teller.$$;

-- Reading ---------------------------------------------------------------

CREATE VIEW teller.operation WITH (security_barrier) AS
	SELECT ledger_id, id, account_id, direction, server, nonce, memo, amount,
		asset, state, reason, reference, response, dirty, attempts,
		last_error, next_try_at, not_after, expires_at, cancel_requested,
		created_at, ended_at, reentrancy, ticket
	FROM teller.operation_data
	WHERE teller.may_read(ledger_id);
COMMENT ON VIEW teller.operation IS 'the operations of the ledgers that the current user may read';
COMMENT ON COLUMN teller.operation.state IS
'stashed: waits for the earlier operations of its account, its money is held; held: ready, not sent; in_flight: a call is out; retry_wait: will be sent again; in_doubt: it may have run, and is asked about; fencing: a fence is out; conflict: the remote told of something else, see teller.finding; settled: executed; refunded: it never ran';
COMMENT ON COLUMN teller.operation.reentrancy IS 'the mode that counted when it was submitted';
COMMENT ON COLUMN teller.operation.ticket IS 'the order in which the open operations of an account were submitted; a number without further meaning';
COMMENT ON COLUMN teller.operation.reason IS 'of refunded: rejected, cancelled or expired';
COMMENT ON COLUMN teller.operation.dirty IS 'an attempt may have reached the remote and nothing proves that it did not run';
COMMENT ON COLUMN teller.operation.attempts IS 'executes that count towards teller.max_attempts';
COMMENT ON COLUMN teller.operation.last_error IS 'what the last call said that did not execute it';
COMMENT ON COLUMN teller.operation.next_try_at IS 'when it is looked at next; NULL: only an event can move it';
COMMENT ON COLUMN teller.operation.not_after IS 'later than this the remote does not execute it';
COMMENT ON COLUMN teller.operation.expires_at IS 'not_after and the margin teller.not_after_margin: from then on it is fenced if in doubt';

CREATE VIEW teller.attempt WITH (security_barrier) AS
	SELECT ledger_id, operation_id, attempt, verb, memo, worker, started_at,
		ended_at, outcome, detail
	FROM teller.attempt_data
	WHERE teller.may_read(ledger_id);
COMMENT ON VIEW teller.attempt IS 'every call to a remote for an operation; its row was on disk before the first byte left';
COMMENT ON COLUMN teller.attempt.outcome IS
'executed, rejected, cancelled, expired, conflict, busy, not_found: what the remote answered; not_sent, not_executed, misconfigured: proven not to have run; ambiguous: it may have run; lost: the worker that sent it is gone, or the lease of its claim ran out; NULL: still out';

CREATE VIEW teller.finding WITH (security_barrier) AS
	SELECT ledger_id, id, operation_id, kind, detail, role, found_at
	FROM teller.finding_data
	WHERE teller.may_read(ledger_id);
COMMENT ON VIEW teller.finding IS 'what a person should look at, and what a person decided';
COMMENT ON COLUMN teller.finding.kind IS
'conflict: the remote told of another memo, amount or asset; executed_after_refund, executed_unsent: the remote executed what counted as not run; unknown_here, differs: see teller.reconcile; resolved: by role';

-- For teller.verify() ---------------------------------------------------

CREATE FUNCTION teller.operation_memo(
	origin uuid, direction text, ledger bigint, account bigint, nonce text,
	amount numeric, asset text, server name, counterparty text, payload jsonb) RETURNS bytea
	AS 'MODULE_PATHNAME', 'teller_operation_memo' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION teller.operation_memo(uuid, text, bigint, bigint, text, numeric, text, name, text, jsonb) IS
'The memo of an operation with these parts: SHA-256 over their length-prefixed encoding. For teller.verify(). NULL if anything but payload is NULL. Locks: none.';
REVOKE ALL ON FUNCTION teller.operation_memo(uuid, text, bigint, bigint, text, numeric, text, name, text, jsonb) FROM PUBLIC;
