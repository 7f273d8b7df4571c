-- Idempotency.

CREATE FUNCTION teller.find(ledger bigint, key text,
	OUT function text, OUT id uuid, OUT status text, OUT reason text,
	OUT result jsonb, OUT created_at timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_find' LANGUAGE C STABLE ROWS 1 PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.find(bigint, text) IS
$$What became of the call with this key: its function, the id it made, status, reason, the whole answer, and when. No row: it never happened.
Errors: TL009 (ledger), 22004, 22023, 42501. Locks: none. Right: read.$$;
