-- Movements.

CREATE FUNCTION teller.transfer(
	ledger bigint, debit_account bigint, credit_account bigint, amount numeric,
	key text DEFAULT NULL, expected_version bigint DEFAULT NULL,
	effective_at timestamptz DEFAULT NULL, metadata jsonb DEFAULT NULL,
	on_denial text DEFAULT 'raise', min_after numeric DEFAULT NULL,
	max_after numeric DEFAULT NULL, request_time timestamptz DEFAULT NULL,
	OUT id uuid, OUT status text, OUT reason text, OUT amount numeric,
	OUT debit_balance numeric, OUT debit_version bigint,
	OUT credit_balance numeric, OUT credit_version bigint,
	OUT replayed boolean) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_transfer' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.transfer(bigint, bigint, bigint, numeric, text, bigint, timestamptz, jsonb, text, numeric, numeric, timestamptz) IS
$$Move money from debit_account (where it comes from) to credit_account, now.
Call it as SELECT * FROM teller.transfer(...).
Arguments: amount in units of the asset, above zero, at most the asset's decimals; key (1 to 255 bytes): the same call again is answered and not repeated; expected_version: the debit account's version, 0 or more; effective_at: business time, default the clock reading; metadata: a JSON object or array, at most 64 kB; on_denial: raise; return (a row with status denied and the reason; the key stays free); record (such a row, stored under the key, which it needs, and replayed for ever); min_after, max_after: what must be available on the debit account after the movement, at least (else TL001) and at most (else TL004); request_time: when the application made the request; a key with one may be pruned when it is older than teller.key_retention, and is then refused (TL012), without one it is kept for ever.
Result: id of the journal row, status posted or denied, reason, amount, both posted balances and versions after it, replayed.
Errors: TL001, TL002, TL003, TL004, TL005, TL007, TL009, TL012, 22003, 22004, 22023, 54000, 55000 (closed period), 42501, 40001.
Locks: both accounts FOR NO KEY UPDATE by account_id until the transaction ends. Exact at READ COMMITTED; above it a stale caller gets 40001. Right: post.$$;

-- A procedure, because it commits; with a SET clause or SECURITY DEFINER it
-- could not.
CREATE PROCEDURE teller.transfer_early(
	ledger bigint, debit_account bigint, credit_account bigint, amount numeric,
	key text DEFAULT NULL, expected_version bigint DEFAULT NULL,
	effective_at timestamptz DEFAULT NULL, metadata jsonb DEFAULT NULL,
	on_denial text DEFAULT 'raise', min_after numeric DEFAULT NULL,
	max_after numeric DEFAULT NULL, request_time timestamptz DEFAULT NULL,
	INOUT id uuid DEFAULT NULL, INOUT status text DEFAULT NULL,
	INOUT reason text DEFAULT NULL, INOUT debit_balance numeric DEFAULT NULL,
	INOUT debit_version bigint DEFAULT NULL,
	INOUT credit_balance numeric DEFAULT NULL,
	INOUT credit_version bigint DEFAULT NULL,
	INOUT replayed boolean DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'teller_transfer_early' LANGUAGE C;
COMMENT ON PROCEDURE teller.transfer_early(bigint, bigint, bigint, numeric, text, bigint, timestamptz, jsonb, text, numeric, numeric, timestamptz, uuid, text, text, numeric, bigint, numeric, bigint, boolean) IS
$$teller.transfer that commits by itself and gives its locks back before the commit is on disk: for an account that many clients use at once.
Call it as CALL teller.transfer_early(...), a statement of its own: not in a transaction block, a function, a block with EXCEPTION or a pipeline after another statement (25001). Called by another procedure or a DO block it commits, or for a denial that is raised rolls back, what these did before, too.
Arguments: those of teller.transfer, with the same meaning; then the parameters of the result, which nothing is passed for (in PL/pgSQL a variable for each). A key is shared with teller.transfer: a call to one is answered, and not repeated, by the other.
Result: id of the journal row, status posted or denied, reason, both posted balances and versions after it, replayed. It comes when the commit is on disk and on the synchronous standby, as far as the session's synchronous_commit asks for it. Others may see the movement before that; what they commit on top of it is durable only with it, and teller.find and a call under the same key wait until it is. A session that ends before the result came does not know whether the movement was made: repeat the call with its key.
Errors: 25001; those of teller.transfer; nothing is committed then.
Locks: both accounts FOR NO KEY UPDATE by account_id until its commit, not until the result. Exact at READ COMMITTED; above it a stale caller gets 40001. Right: post.$$;
