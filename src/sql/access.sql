-- Rights on ledgers.

CREATE FUNCTION teller.may_read(ledger bigint) RETURNS boolean
	AS 'MODULE_PATHNAME', 'teller_may_read' LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.may_read(bigint) IS
'True if the current user may read the ledger. The views filter by it. Locks: none.';
