-- The journal as a feed.

CREATE FUNCTION teller.journal_since(ledger bigint, cursor text DEFAULT NULL, max_rows integer DEFAULT 1000,
	OUT ledger_id bigint, OUT id uuid, OUT kind text, OUT debit_account bigint, OUT credit_account bigint,
	OUT amount numeric, OUT debit_version bigint, OUT debit_posted numeric, OUT debit_pending numeric,
	OUT credit_version bigint, OUT credit_posted numeric, OUT credit_pending numeric,
	OUT hold_id uuid, OUT reverses uuid, OUT batch_id uuid, OUT operation_id uuid,
	OUT effective_at timestamptz, OUT recorded_at timestamptz, OUT metadata jsonb,
	OUT cursor text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_journal_since' LANGUAGE C STABLE PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION teller.journal_since(bigint, text, integer) IS
$$The next rows of the journal, as of the view movement, after the row whose cursor is passed; NULL or '' starts at the first. Each row brings its own cursor. max_rows: 1 to 10000. Every committed row comes exactly once, whatever the order of commits: rows come by transaction and stop before the oldest transaction that is still running in the statement's snapshot. No rows: nothing new yet.
Works on a standby too. On a primary what is shown is flushed to disk first. Errors: TL009, 22004, 22023 (max_rows; no cursor, or one of another ledger), 42501. Locks: none. Right: read.$$;
