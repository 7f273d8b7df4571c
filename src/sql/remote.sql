-- This database as the remote ledger of another.  The names, arguments and
-- columns are a contract between databases: they do not change.

CREATE FUNCTION teller_remote.capabilities() RETURNS jsonb
	AS 'MODULE_PATHNAME', 'teller_remote_capabilities' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller_remote.capabilities() IS
$$What this remote can do, and what the calling role has here: product, version, contract (1), directions, can_lookup, can_fence, honours_memo, memo_retention (null: for ever), writable (false on a standby and in a read-only transaction), server_now, and grants: an array with ledger, asset, scale, posted and available (the balance of the caller's account, in units of the asset), and deposit (whether there is a mandate for any account).
Errors: none. Locks: none. Right: any role.$$;

CREATE FUNCTION teller_remote.execute(
	memo bytea, origin uuid, ledger bigint, direction text, account text,
	amount numeric, asset text, nonce text, not_after timestamptz,
	payload jsonb,
	OUT memo bytea, OUT status text, OUT reference text, OUT reason text,
	OUT amount numeric, OUT asset text, OUT executed_at timestamptz,
	OUT replayed boolean, OUT server_now timestamptz) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_remote_execute' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller_remote.execute(bytea, uuid, bigint, text, text, numeric, text, text, timestamptz, jsonb) IS
$$Execute a request of another ledger, once for each memo, or answer what became of it.
Call it as SELECT * FROM teller_remote.execute(...), once in each transaction.
Arguments: memo (32 bytes) names the request; origin: the instance that asks; ledger: a ledger here; direction: withdraw (the caller's account pays the named one) or deposit (the named account pays the caller's, which takes a mandate); account: a name on that ledger; amount in units of the asset; nonce: the asker's, kept in the journal; not_after: from then on, by the clock here, it is not executed; payload: kept with the answer. All but payload are required.
Result: memo; status; reference: the id of the journal row; reason; amount and asset as executed, else as asked; executed_at: when it was executed or refused; replayed: true if this was stored before; server_now: the clock here.
status executed, rejected and expired are stored under the memo, together with their effect, and stay. reason of rejected: not_found (the named account), not_permitted (no mandate), same_account, asset_mismatch, invalid_amount (more decimals than the asset, or out of range), insufficient_funds, limit_exceeded, account_not_active. cancelled: a fence came first. conflict: the memo was used with another request; reason names the first argument that differs, and nothing is stored. Another not_after is no other request.
Errors, after which nothing is stored: 22004, 22023 (memo, direction, amount not above zero, not_after), 22003 (a balance leaves 38 digits), 54000 (larger than teller.max_request_bytes), 25006 (standby, read-only transaction), 42501 (no account here, or a memo of another role), 40001, 40P01, 55P03, 57014.
Locks: waits for a transaction that holds the same memo; both accounts FOR NO KEY UPDATE by account_id until the transaction ends. Exact at READ COMMITTED; above it a stale caller gets 40001. Raises synchronous_commit to on. Right: teller_remote.grant_remote to the calling role itself.$$;

CREATE FUNCTION teller_remote.execute_many(
	memos bytea[], origin uuid, ledger bigint, directions text[],
	accounts text[], amounts numeric[], assets text[], nonces text[],
	not_after timestamptz[], payloads jsonb[],
	OUT memo bytea, OUT status text, OUT reference text, OUT reason text,
	OUT amount numeric, OUT asset text, OUT executed_at timestamptz,
	OUT replayed boolean, OUT server_now timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_remote_execute_many' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller_remote.execute_many(bytea[], uuid, bigint, text[], text[], numeric[], text[], text[], timestamptz[], jsonb[]) IS
$$Execute many requests of one origin on one ledger together. Each gets the answer that execute would give it, in the order given; a refused one does not stop the others.
Call it as SELECT * FROM teller_remote.execute_many(...), once in each transaction.
Arguments: those of execute; all but origin and ledger as arrays of the same length, of at most 1000 elements, one for each request. Only elements of payloads may be null.
Result: a row for each request, in the order of the arrays, in the columns of execute.
Errors, after which nothing is stored for any of them: those of execute; 22023 (arrays of different lengths, the same memo twice), 54000 (more than 1000), 40001 (another transaction has just answered one of the memos), 55P03 (a lock was not got within 100 ms, or lock_timeout if that is less). After an error call execute for each.
Locks: waits for transactions that hold one of the memos; then the caller's account and all named ones FOR NO KEY UPDATE by account_id until the transaction ends. Raises synchronous_commit to on. Right: teller_remote.grant_remote to the calling role itself.$$;

CREATE FUNCTION teller_remote.lookup(
	memo bytea,
	OUT memo bytea, OUT status text, OUT reference text, OUT reason text,
	OUT amount numeric, OUT asset text, OUT executed_at timestamptz,
	OUT replayed boolean, OUT server_now timestamptz) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_remote_lookup' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller_remote.lookup(bytea) IS
$$The answer that is stored under a memo now, in the columns of execute, or status not_found. not_found proves nothing: the request may be on its way, or be executed by a transaction that has not committed. Only fence makes sure. It is also what a role sees of the memos of others.
Arguments: memo, 32 bytes. Errors: 22004, 22023, 25006 (standby). Locks: none; does not wait. Sees what is committed now, at every isolation level. Right: any role, its own memos.$$;

CREATE FUNCTION teller_remote.fence(
	memo bytea, origin uuid, reason text,
	OUT memo bytea, OUT status text, OUT reference text, OUT reason text,
	OUT amount numeric, OUT asset text, OUT executed_at timestamptz,
	OUT replayed boolean, OUT server_now timestamptz) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_remote_fence' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller_remote.fence(bytea, uuid, text) IS
$$See to it that a request is never executed, or learn that it was: the answer stored under the memo (executed, rejected, expired, cancelled), or, if there is none, status cancelled, which is stored now and stays. Columns as of execute.
Arguments: memo, 32 bytes; origin: the instance that asks; reason: 1 to 255 bytes or NULL, kept with the answer.
Errors: 22004, 22023, 25006 (standby, read-only transaction), 42501 (no account here on any ledger, or a memo of another role), 40001, 55P03, 57014.
Locks: waits for a transaction that holds the same memo. Raises synchronous_commit to on. Right: teller_remote.grant_remote to the calling role itself, on any ledger.$$;

CREATE FUNCTION teller_remote.list_since(
	origin uuid, after timestamptz, max_rows integer,
	OUT memo bytea, OUT status text, OUT reference text, OUT reason text,
	OUT amount numeric, OUT asset text, OUT executed_at timestamptz,
	OUT replayed boolean, OUT server_now timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_remote_list_since' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller_remote.list_since(uuid, timestamptz, integer) IS
$$For reconciliation: the answers stored for the calling role and this origin with executed_at later than after, by (executed_at, memo), at most max_rows (1 to 10000). Start with -infinity and go on from the last executed_at. Columns as of execute; replayed is true.
It can skip rows: executed_at is read before the commit, so a transaction that commits late appears behind one that was read already; and rows of the same microsecond may be cut apart at the end of a page. So let each call begin some minutes before the last executed_at, longer than any transaction here lasts, and leave out what is known. A memo that is not listed is not proven absent: ask fence.
Errors: 22004, 22023, 25006 (standby). Locks: none. Right: any role, its own memos.$$;

CREATE FUNCTION teller_remote.grant_remote(grantee regrole, ledger bigint, account bigint) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_remote_grant_remote' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller_remote.grant_remote(regrole, bigint, bigint) IS
$$Let a role call teller_remote, and say which account on the ledger is its own: withdrawals take from it, deposits pay into it. The grant is to this role and not to its members. It does not give USAGE on schema teller_remote, which the role needs too: GRANT USAGE ON SCHEMA teller_remote TO ...
The same again is a no-op; another account is TL003 until revoke_remote. Errors: TL003, TL009 (account), 22004, 42704 (role), 42501. Locks: none. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller_remote.revoke_remote(grantee regrole, ledger bigint) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_remote_revoke_remote' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller_remote.revoke_remote(regrole, bigint) IS
$$Take back what grant_remote gave; nothing happens if it was not given. The role's memos keep their answers, and the role can still ask for them.
Errors: 22004, 42501. Locks: none. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller_remote.grant_debit(grantee regrole, ledger bigint, from_account bigint) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_remote_grant_debit' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller_remote.grant_debit(regrole, bigint, bigint) IS
$$The mandate: let a role take money from from_account by deposits into its own account, as far as the limits of from_account go. It takes grant_remote on the same ledger too.
The same again is a no-op. Errors: TL009 (account), 22004, 42704 (role), 42501. Locks: none. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller_remote.revoke_debit(grantee regrole, ledger bigint, from_account bigint) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_remote_revoke_debit' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller_remote.revoke_debit(regrole, bigint, bigint) IS
$$Take the mandate back; nothing happens if it was not given. Errors: 22004, 42501. Locks: none. Right: the owner of pg_teller.$$;
