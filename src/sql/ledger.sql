-- Ledgers, assets, accounts, rights.

CREATE FUNCTION teller.create_ledger(ledger bigint, name text DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_create_ledger' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.create_ledger(bigint, text) IS
$$Create a ledger: a book that balances by itself. name: 1 to 255 bytes or NULL.
The same again is a no-op; another name is TL003. Errors: TL003, 22004, 22023, 42501. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.create_asset(asset text, scale integer) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_create_asset' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.create_asset(text, integer) IS
$$Create an asset with scale decimals (0 to 30): create_asset('USD', 2).
The same again is a no-op; another scale is TL003, or 55000 once an account uses the asset. Errors: TL003, 22004, 22023, 55000, 42501. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.open_account(
	ledger bigint, account bigint, asset text, name text DEFAULT NULL,
	min_balance numeric DEFAULT 0, max_balance numeric DEFAULT NULL,
	reentrancy text DEFAULT 'allow', hot boolean DEFAULT false,
	metadata jsonb DEFAULT NULL) RETURNS bigint
	AS 'MODULE_PATHNAME', 'teller_open_account' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.open_account(bigint, bigint, text, text, numeric, numeric, text, boolean, jsonb) IS
$$Open an account and return its id. account NULL: an id below 2^53 is made (name required); an existing name with the same attributes returns its id.
min_balance: what the available balance may not fall below, NULL for no limit; max_balance: what posted plus pending credits may not exceed, NULL for no limit; both in units of the asset. reentrancy: whether operations may be open at the same time: allow; queue: one after the other; reject: a second one is TL008; off: none at all. See teller.set_reentrancy. hot => true: movements neither lock nor write its row, so that many go on at the same time; it has no version (see teller.set_hot).
The same again is a no-op; other attributes are TL003. Limits and metadata are compared as they are now, after teller.set_limits() and teller.set_metadata(). Errors: TL003, TL009 (ledger, asset), 22003, 22004, 22023, 0A000, 54000, 55000, 42501. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.set_metadata(ledger bigint, account bigint, metadata jsonb) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_set_metadata' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.set_metadata(bigint, bigint, jsonb) IS
$$Replace the metadata of an account, frozen and closed ones too. metadata: a JSON object or array, at most 64 kB and 64 levels; NULL: none. What it was before is not kept, and the version of the account stays. Metadata of journal rows and holds cannot be changed.
Errors: TL009, 22004, 22023 (a scalar), 25006, 54000, 42501, 40001. Locks: the account FOR NO KEY UPDATE until the transaction ends. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.set_hot(ledger bigint, account bigint, hot boolean) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_set_hot' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.set_hot(bigint, bigint, boolean) IS
$$Make an account hot, or no longer. hot => true: from the next movement on its row is neither locked nor written by movements, and they have no version on its side; hot => false: everything is folded into its row, and versions go on where they were. To the present state it is a no-op. Waits for the transactions in flight that use the account, and those that come wait for it, so call it in a short transaction of its own.
Errors: TL009, 22004, 25006, 40001, 42501, 53400 (more than teller.max_hot_accounts), 55000 (not preloaded; a hot account that this transaction has used already). Locks: the account, against all others, until the transaction ends. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.account_id(ledger bigint, name text) RETURNS bigint
	AS 'MODULE_PATHNAME', 'teller_account_id' LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.account_id(bigint, text) IS
$$The id of the account with this name. Errors: TL009, 22004, 42501. Locks: none. Right: read.$$;

CREATE FUNCTION teller.balance(ledger bigint, account bigint,
	OUT posted numeric, OUT pending_debit numeric, OUT pending_credit numeric,
	OUT available numeric, OUT version bigint) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_balance' LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.balance(bigint, bigint) IS
$$The balances of an account in the statement's snapshot, in units of its asset. pending_debit and pending_credit are the sums of its open holds; a hold that is due counts as released. available = posted - pending_debit.
Errors: TL009, 22004, 42501. Locks: none. Right: read.$$;

CREATE FUNCTION teller.lock_accounts(ledger bigint, accounts bigint[]) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_lock_accounts' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.lock_accounts(bigint, bigint[]) IS
$$Lock accounts (at most 10000) by ascending id until the transaction ends, so that several calls that follow cannot deadlock with another such transaction.
Errors: TL009, 22004, 22023, 54000, 42501, 40001. Locks: the table of holds against set_limits and close_account, so that holds may follow; the accounts FOR NO KEY UPDATE. Right: post.$$;

CREATE FUNCTION teller.grant_ledger(ledger bigint, grantee regrole, level text) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_grant_ledger' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.grant_ledger(bigint, regrole, text) IS
$$Let a role (and its members) use a ledger: level read (balances, history), post (also movements and holds) or operate (also external operations). A second grant replaces the first. The role also needs USAGE on schema teller.
Errors: TL009, 22004, 22023, 42501. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.revoke_ledger(ledger bigint, grantee regrole) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_revoke_ledger' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.revoke_ledger(bigint, regrole) IS
$$Take a role's right on a ledger back; nothing happens if it has none. Errors: TL009, 22004, 42501. Right: the owner of pg_teller.$$;

CREATE FUNCTION teller.close_period(ledger bigint, until timestamptz) RETURNS void
	AS 'MODULE_PATHNAME', 'teller_close_period' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.close_period(bigint, timestamptz) IS
$$Close the periods of a ledger: nothing becomes effective before until any more (55000). until: not in the future, and not before a period that is closed; the same again is a no-op.
Errors: TL009, 22004, 22023, 42501. Locks: the ledger's row until the transaction ends, which stops movements that are given an effective_at; waits for the movements of all ledgers that are in progress. Right: the owner of pg_teller.$$;
