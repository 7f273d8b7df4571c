-- Limits and status of accounts.

CREATE FUNCTION teller.set_limits(ledger bigint, account bigint,
	min_balance numeric, max_balance numeric, force boolean DEFAULT false) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_set_limits' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.set_limits(bigint, bigint, numeric, numeric, boolean) IS
$$Set both limits of an account, in units of its asset; NULL: no limit. min_balance: what the available balance may not fall below; max_balance: what posted plus pending credits may not exceed. Holds that are due count as released.
An account that is in breach of the new limits is refused (55000) unless force is true. A forced limit refuses the movements that lead further away and accepts those that lead back. What is set already is a no-op. Each change is a row of teller.limit_change.
Errors: TL009, 22003, 22004, 22023 (min_balance above max_balance, NaN, too many decimals), 25006, 55000 (in breach; a minimum on a settlement account), 42501, 40001.
Locks: other changes of this account, then the account. Where a maximum is set and there was none, also the table of holds, before the account: the call waits until every transaction that has placed or ended a hold, on any ledger, is over, and until its own transaction ends no hold can be placed, captured, released or swept. So let it be a short transaction, and set lock_timeout if others are long. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.freeze_account(ledger bigint, account bigint, direction text DEFAULT 'both') RETURNS void
	AS 'MODULE_PATHNAME', 'teller_freeze_account' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.freeze_account(bigint, bigint, text) IS
$$Freeze an account against debits, credits or both (direction: debit, credit, both): transfers, holds and captures in that direction are refused (TL005). Directions add up: debit, then credit, is both.
Releases, expiry and the settlement of operations that were submitted before go on. A hold in favour of the account that is placed at the same moment counts as placed before. What is frozen already is a no-op. Each change is a row of teller.limit_change.
Errors: TL009, 22004, 22023, 25006, 55000 (closed), 42501, 40001. Locks: other changes of this account, then the account. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.unfreeze_account(ledger bigint, account bigint, direction text DEFAULT 'both') RETURNS void
	AS 'MODULE_PATHNAME', 'teller_unfreeze_account' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.unfreeze_account(bigint, bigint, text) IS
$$Undo a freeze in one direction or both (direction: debit, credit, both). What is not frozen is a no-op. Each change is a row of teller.limit_change.
Errors: TL009, 22004, 22023, 25006, 55000 (closed), 42501, 40001. Locks: other changes of this account, then the account. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.close_account(ledger bigint, account bigint) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_close_account' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.close_account(bigint, bigint) IS
$$Close an account: nothing can be posted on it and no hold placed on it or in its favour (TL005) until it is reopened. Its history stays. A freeze ends with it. A closed account is a no-op. Each change is a row of teller.limit_change.
Refused (55000) while its balance is not zero, while a hold or an operation on either side of it is open (a hold that is due must be swept first: teller.expire_due()), and while it is the settlement account of a server.
Errors: TL009, 22004, 25006, 55000, 42501, 40001.
Locks: other changes of this account, the table of holds, the account. The call waits until every transaction that has placed or ended a hold, on any ledger, is over, and until its own transaction ends no hold can be placed, captured, released or swept. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.reopen_account(ledger bigint, account bigint) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_reopen_account' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.reopen_account(bigint, bigint) IS
$$Open a closed account again, with the limits it had. An open account is a no-op. Each change is a row of teller.limit_change.
Errors: TL009, 22004, 25006, 55000 (frozen, not closed), 42501, 40001. Locks: other changes of this account, then the account. Right: the owner of pg_teller.$$;

CREATE VIEW teller.limit_change WITH (security_barrier) AS
	SELECT ledger_id, account_id, id, version, old_min_balance, old_max_balance,
		old_status, min_balance, max_balance, status, forced, changed_by, changed_at
	FROM teller.limit_change_data
	WHERE teller.may_read(ledger_id);
COMMENT ON VIEW teller.limit_change IS 'every change of limits or status, on the ledgers that the current user may read';
COMMENT ON COLUMN teller.limit_change.version IS 'the account''s version when it was changed; a change makes no version';
COMMENT ON COLUMN teller.limit_change.forced IS 'the account was in breach of the new limits, and force was given';
COMMENT ON COLUMN teller.limit_change.changed_by IS 'the name, then, of the role that changed it';
COMMENT ON COLUMN teller.limit_change.changed_at IS 'later than everything on the account that was decided before it, not later than what was decided after it';

-- For teller.verify() ---------------------------------------------------

-- The versions of an account above after_version came about under these
-- limits, up to that of the next era.  Era 0 is that of the limits it was
-- opened with; after that each change begins one.
CREATE VIEW teller.verify_era AS
	SELECT a.ledger_id, a.account_id, 0::bigint AS era,
		'-9223372036854775808'::bigint AS after_version,
		CASE WHEN c.id IS NULL THEN a.min_balance ELSE c.old_min_balance END AS min_balance,
		CASE WHEN c.id IS NULL THEN a.max_balance ELSE c.old_max_balance END AS max_balance,
		CASE WHEN c.id IS NULL THEN a.status ELSE c.old_status END AS status,
		0::numeric AS pending_credit
	FROM teller.account a
	LEFT JOIN (SELECT DISTINCT ON (f.ledger_id, f.account_id) f.*
			FROM teller.limit_change_data f
			ORDER BY f.ledger_id, f.account_id, f.version, f.changed_at, f.id) c
		ON c.ledger_id = a.ledger_id AND c.account_id = a.account_id
	UNION ALL
	SELECT l.ledger_id, l.account_id, row_number() OVER w,
		l.version,
		l.min_balance, l.max_balance, l.status, l.pending_credit
	FROM teller.limit_change_data l
	WINDOW w AS (PARTITION BY l.ledger_id, l.account_id ORDER BY l.version, l.changed_at, l.id);
COMMENT ON VIEW teller.verify_era IS 'the limits and status of each account by its versions, and the pending credits that an era began with; for teller.verify()';

-- Once a hold is due nothing changes it but its expiry, so this is what it was
-- at any time from its deadline on until it was swept.
CREATE VIEW teller.verify_due AS
	SELECT h.ledger_id, h.debit_account, h.credit_account, h.expires_at,
		h.amount - h.captured - h.released AS rest,
		NULL::bigint AS debit_version, NULL::bigint AS credit_version,
		NULL::timestamptz AS swept_at
	FROM teller.hold h
	WHERE h.state = 'open' AND h.expires_at IS NOT NULL
	UNION ALL
	SELECT j.ledger_id, j.debit_account, j.credit_account, h.expires_at, j.amount,
		j.debit_version, j.credit_version, j.recorded_at
	FROM teller.journal j
	CROSS JOIN LATERAL (SELECT n.expires_at FROM teller.hold n
		WHERE n.ledger_id = j.ledger_id AND n.hold_id = j.hold_id OFFSET 0) h
	WHERE j.kind = 'expire';
COMMENT ON VIEW teller.verify_due IS 'holds that have or had a deadline to be swept at, and the versions that the sweep made; for teller.verify()';
