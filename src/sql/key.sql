-- Idempotency.

CREATE FUNCTION teller.find(ledger bigint, key text,
	OUT function text, OUT id uuid, OUT status text, OUT reason text,
	OUT result jsonb, OUT created_at timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_find' LANGUAGE C STABLE ROWS 1 PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.find(bigint, text) IS
$$What became of the call with this key: its function, the id it made, status, reason, the whole answer, and when. No row: nothing is committed under that key, or it was pruned.
Errors: TL009 (ledger), 22004, 22023, 42501. Locks: none. Right: read.$$;

CREATE FUNCTION teller.prune_keys(max_keys integer DEFAULT 1000) RETURNS integer
	AS 'MODULE_PATHNAME', 'teller_prune_keys' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.prune_keys(integer) IS
$$Forget up to max_keys (1 to 1000000) keys whose request_time is older than teller.key_retention; the worker does the same by itself. Returns how many. With key_retention 0 nothing is forgotten, nor is a key without request_time ever.
A request that was forgotten never runs again: it is TL012. Anyone may call it.
Errors: 22004, 22023. Locks: the keys, then the ledgers' horizons.$$;
