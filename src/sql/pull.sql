-- Servers without an address: an application claims their operations, makes
-- the calls by itself, and tells what came of them.

CREATE FUNCTION teller.pull_validator(options text[], catalog oid) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_pull_validator' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.pull_validator(text[], oid) IS
'Tests the options of servers of wrapper teller_pull: ledger, max_in_flight, timeout, can_fence, can_lookup, honours_memo, memo_retention. User mappings have none. Errors: 22023 for an unknown, misplaced or invalid option. Locks: none.';

CREATE FOREIGN DATA WRAPPER teller_pull
	NO HANDLER VALIDATOR teller.pull_validator;
COMMENT ON FOREIGN DATA WRAPPER teller_pull IS
'ledgers that an application''s own worker talks to: it calls teller.claim';

CREATE FUNCTION teller.claim(
	server name, max_operations integer, lease interval,
	OUT ledger_id bigint, OUT id uuid, OUT memo bytea, OUT token bigint,
	OUT request jsonb, OUT lease_until timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_claim' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.claim(name, integer, interval) IS
$$Take operations of a teller_pull server that are due, to carry them out. COMMIT before you send anything: the commit is flushed to disk whatever synchronous_commit says, and what is rolled back was never claimed. Until lease_until nobody else gets the same operation.
Arguments: max_operations: 1 to 1000, no more than the server's max_in_flight (default teller.max_in_flight_per_server) leaves, in which executes and fences that are out count, not lookups; lease: 1 second to 1 hour, how long you may be silent; for lookups and fences at most 5 minutes are given.
Result: ledger_id, id, memo (32 bytes, the same at every claim: your idempotency key); token: the number of the attempt, higher at each claim; request: verb (execute, lookup or fence), memo in hexadecimal, origin, ledger, direction, account, amount and ledger as text, asset, nonce, not_after (execute nothing later than that), payload if there is one, reason (fence: cancelled or expired), timeout_ms (how long the call should take at most); lease_until. No rows: nothing is due, the cap is reached, or teller.dispatch is off.
Operations that somebody has locked are passed over. Ledgers get equal shares; those on which the caller has not the level operate get nothing. Circuits do not apply. Attempts whose lease ran out count as lost, and operations that are past not_after end, before anything is given out.
Errors: TL009 (server), TL010, 22004, 22023, 25006, 42501 (server), 42809 (not a teller_pull server).
Locks: the accounts of operations past not_after by (ledger, account) and those operations; the operations given out, for which it does not wait. At REPEATABLE READ and above what changed since the snapshot is passed over, or is 40001 if it is past not_after. Right: USAGE on the server, and operate.$$;

CREATE FUNCTION teller.complete(
	ledger bigint, operation uuid, token bigint, memo bytea, status text,
	reference text DEFAULT NULL, reason text DEFAULT NULL,
	amount numeric DEFAULT NULL, asset text DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'teller_complete' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.complete(bigint, uuid, bigint, bytea, text, text, text, numeric, text) IS
$$Tell what came of a claimed operation.
Arguments: token and memo (32 bytes): of the claim, or as the provider returned it; status: executed; rejected: refused, for good and under this memo; cancelled: it will never be executed (a fence); expired: refused because of not_after; busy: in progress there; not_found: a lookup found nothing; conflict: the provider knows the memo with another request; in_doubt: nobody knows, such as after a timeout. reference: what the provider calls it; reason: why it failed; both up to teller.max_response_bytes; amount, asset: as executed, NULL if the provider does not say.
A memo, amount or asset other than the operation's makes it conflict. After in_doubt and busy the operation is claimed again under the same memo, or is in doubt if no further attempt is allowed.
Result: the state of the operation now. Repeating a call is safe. executed is taken with any token, however late; of an operation that has ended the state is told, and other news are noted on the attempt.
Errors: TL009 (operation, server), 22004, 22023 (no such token or status, memo not of 32 bytes), 42501, 42809 (not a teller_pull server), 54000, 55000 (the claim was overtaken: the lease ran out, or it was told of before), 40001.
Locks: account and settlement account by account_id, the operation, its hold. The commit is flushed. Call it in a transaction of its own. Right: USAGE on the server, and operate.$$;

CREATE FUNCTION teller.extend_lease(ledger bigint, operation uuid, token bigint, lease interval) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_extend_lease' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.extend_lease(bigint, uuid, bigint, interval) IS
$$Keep a claimed operation for longer: its lease ends lease from now, or when it would have ended if that is later. For lookups and fences at most 5 minutes from now.
Arguments: token: of the claim; lease: 1 second to 1 hour.
Errors: TL009 (operation, server), 22004, 22023, 42501, 42809, 55000 (the lease has run out, whether or not somebody has noticed, or the claim is over), 40001.
Locks: the operation. The commit is flushed. Right: USAGE on the server, and operate.$$;

CREATE FUNCTION teller.release_claim(ledger bigint, operation uuid, token bigint, sent boolean) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_release_claim' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.release_claim(bigint, uuid, bigint, boolean) IS
$$Give a claimed operation back before the lease ends.
Arguments: token: of the claim; sent: false only if it is certain that this attempt did not and will not run: not a byte of the request left, or the provider says so without having stored it (as 401 or 429). Then it is claimed again after a while, and refunded when no attempt is left or it was cancelled. true: as teller.complete with status in_doubt.
Errors: as teller.complete. Locks: as teller.complete. Right: USAGE on the server, and operate.$$;
