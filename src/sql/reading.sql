-- What a role may read of its ledgers.

CREATE VIEW teller.movement WITH (security_barrier) AS
	SELECT ledger_id, id, kind, debit_account, credit_account, amount,
		debit_version, debit_posted, debit_pending,
		credit_version, credit_posted, credit_pending,
		hold_id, reverses, batch_id, operation_id, effective_at, recorded_at, metadata
	FROM teller.journal
	WHERE teller.may_read(ledger_id);
COMMENT ON VIEW teller.movement IS 'the journal: every movement and hold event of the ledgers that the current user may read. A side that was a hot account has no version and no balances after the row; nor has a credit side that a hold event did not touch';

-- The planner pulls the arms of a UNION ALL up out of a view without regard to
-- its barrier, so each arm needs one: this.
CREATE VIEW teller.posting_row WITH (security_barrier) AS
	SELECT ledger_id, id, kind, debit_account, credit_account, amount,
		debit_version, debit_posted, debit_pending, debit_epoch,
		credit_version, credit_posted, credit_pending, credit_epoch,
		hold_id, effective_at, recorded_at, metadata
	FROM teller.journal
	WHERE teller.may_read(ledger_id);
COMMENT ON VIEW teller.posting_row IS 'what teller.posting is made of: the journal of the ledgers that the current user may read';

CREATE VIEW teller.posting WITH (security_barrier) AS
	SELECT ledger_id, debit_account AS account_id, debit_version AS version,
		id AS journal_id, kind, 'debit'::text AS side, amount,
		debit_posted AS posted, debit_pending AS pending,
		credit_account AS other_account, hold_id, effective_at, recorded_at, metadata
	FROM teller.posting_row
	WHERE debit_version IS NOT NULL OR debit_epoch IS NOT NULL
	UNION ALL
	SELECT ledger_id, credit_account, credit_version,
		id, kind, 'credit', amount,
		credit_posted, credit_pending,
		debit_account, hold_id, effective_at, recorded_at, metadata
	FROM teller.posting_row
	WHERE credit_version IS NOT NULL OR credit_epoch IS NOT NULL;
COMMENT ON VIEW teller.posting IS 'one side of a journal row as its account sees it; pending is pending_debit on the debit side, pending_credit on the credit side; version, posted and pending are NULL where the account was hot';

CREATE VIEW teller.account_balance WITH (security_barrier) AS
	SELECT a.ledger_id, a.account_id, a.asset, a.name,
		b.posted, b.pending_debit, b.pending_credit, b.available, b.version,
		a.min_balance, a.max_balance, a.status, a.last_at, a.metadata
	FROM teller.account a
	CROSS JOIN LATERAL teller.balance(a.ledger_id, a.account_id) b
	WHERE teller.may_read(a.ledger_id);
COMMENT ON VIEW teller.account_balance IS 'the balances of each account, as teller.balance() tells them';

CREATE VIEW teller.open_hold WITH (security_barrier) AS
	SELECT h.ledger_id, h.hold_id, h.debit_account, h.credit_account, h.amount,
		h.captured, h.released, h.expires_at, h.state, h.operation_id,
		h.created_at, h.metadata,
		h.amount - h.captured - h.released AS remaining,
		coalesce(h.expires_at <= clock_timestamp(), false) AS due
	FROM teller.hold h
	WHERE h.state = 'open' AND teller.may_read(h.ledger_id);
COMMENT ON VIEW teller.open_hold IS 'every hold in state open, due ones too: they bind no money and wait for the sweep';

CREATE FUNCTION teller.statement(
	ledger bigint, account bigint, after_version bigint DEFAULT 0,
	max_rows integer DEFAULT 1000, after_id uuid DEFAULT NULL) RETURNS SETOF teller.posting
	AS 'MODULE_PATHNAME', 'teller_statement' LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.statement(bigint, bigint, bigint, integer, uuid) IS
$$A page of an account's postings in the order of its versions: those after after_version (0 or more), at most max_rows (1 to 10000). The next page begins after the last version of this one. after_id: instead, the journal_id of the last row of the page before; where that has no version, because the account was hot, it is the only way on. While an account is hot a transaction that began earlier may still add rows before that place; once it is not, its history is in an order that stays.
Result: rows of teller.posting.
Errors: TL009 (account, after_id), 22004, 22023 (after_version and after_id both given, too), 42501. Locks: none. Right: read.$$;

CREATE FUNCTION teller.balance_at(
	ledger bigint, account bigint, at timestamptz, by text DEFAULT 'recorded') RETURNS numeric
	AS 'MODULE_PATHNAME', 'teller_balance_at' LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.balance_at(bigint, bigint, timestamptz, text) IS
$$The posted balance of an account as it was at a moment, in units of its asset: by recorded, what the book said then; by effective, what it says today of that moment, with the rows that were recorded later but effective by then.
Errors: TL009, 22004, 22023, 42501. Locks: none. Right: read.$$;
