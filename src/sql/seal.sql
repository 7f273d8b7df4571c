-- Seals over the journal.

CREATE FUNCTION teller.seal(ledger bigint, OUT sealed bigint, OUT digest bytea) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_seal' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.seal(bigint) IS
$$Seal the rows of the journal that are committed and that nothing can come before any more, those of teller.journal_since(), from where the last seal ended. sealed: the rows sealed in all. digest: the head of the chain (SHA-256, 32 bytes); keep it where this database's superusers cannot reach it. Nothing new: the same answer again. The commit is flushed, also with synchronous_commit off.
Errors: TL009, 22004, 25006, 42501, 40001. Locks: the ledger's row FOR NO KEY UPDATE, so that one seals at a time; movements do not wait. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.verify_seal(ledger bigint, digest bytea DEFAULT NULL,
	OUT seal bigint, OUT journal_id uuid, OUT detail text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_verify_seal' LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.verify_seal(bigint, bytea) IS
$$Hash the journal again and compare with its seals: for each seal what was changed in itself, and the first row of the journal that was changed, removed or inserted. No rows: untouched. digest: one that teller.seal() returned earlier and that was kept elsewhere; a row says so if it is no longer part of the chain, which a superuser could have made anew. Works on a standby too.
Errors: TL009, 22004, 22023 (digest is not 32 bytes), 42501. Locks: none. Right: read.$$;
