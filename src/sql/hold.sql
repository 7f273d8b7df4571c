-- Holds: two-phase transfers.

CREATE FUNCTION teller.hold(
	ledger bigint, debit_account bigint, credit_account bigint, amount numeric,
	ttl interval DEFAULT NULL, key text DEFAULT NULL,
	expected_version bigint DEFAULT NULL, metadata jsonb DEFAULT NULL,
	on_denial text DEFAULT 'raise', request_time timestamptz DEFAULT NULL,
	OUT id uuid, OUT status text, OUT reason text, OUT expires_at timestamptz,
	OUT available numeric, OUT debit_version bigint, OUT replayed boolean) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_hold' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.hold(bigint, bigint, bigint, numeric, interval, text, bigint, jsonb, text, timestamptz) IS
$$Set money of debit_account aside in favour of credit_account until it is captured, released, or ttl has passed.
Call it as SELECT * FROM teller.hold(...).
Arguments: amount in units of the asset; ttl above zero and at most a hundred years, default teller.hold_ttl; key, expected_version, metadata, on_denial, request_time as in teller.transfer.
Result: id of the hold, status open or denied, reason, expires_at, what is available on the debit account after it, its version, replayed.
Errors: TL001, TL002, TL003, TL004, TL005, TL007, TL009, TL012, 22003, 22004, 22023, 54000, 42501, 40001.
Locks: the debit account; the credit account only if it has a max_balance. Right: post.$$;

CREATE FUNCTION teller.capture(
	ledger bigint, hold uuid, amount numeric DEFAULT NULL,
	final boolean DEFAULT true, key text DEFAULT NULL,
	on_denial text DEFAULT 'raise', request_time timestamptz DEFAULT NULL,
	OUT id uuid, OUT status text, OUT reason text, OUT amount numeric,
	OUT debit_balance numeric, OUT debit_version bigint,
	OUT credit_balance numeric, OUT credit_version bigint,
	OUT replayed boolean) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_capture' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.capture(bigint, uuid, numeric, boolean, text, text, timestamptz) IS
$$Turn a hold, or part of it, into a movement.
Arguments: amount in units of the asset, default all that remains; final: release what is left after this capture; key, on_denial, request_time as in teller.transfer.
Result: as teller.transfer; id is the capture's journal row, balances and versions are those after the last row.
Errors: TL003, TL005, TL006 (captured, released or expired before, or due), TL009, TL012, 22003, 22023 (more than remains), 55000 (hold of an operation), 42501, 40001.
Locks: both accounts by account_id, then the hold. Right: post.$$;

CREATE FUNCTION teller.release(
	ledger bigint, hold uuid, key text DEFAULT NULL,
	request_time timestamptz DEFAULT NULL,
	OUT id uuid, OUT status text, OUT reason text, OUT expires_at timestamptz,
	OUT available numeric, OUT debit_version bigint, OUT replayed boolean) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_release' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.release(bigint, uuid, text, timestamptz) IS
$$Give back what remains of a hold.
Result: as teller.hold, status released.
Errors: TL003, TL006, TL009, TL012, 55000 (hold of an operation), 42501, 40001.
Locks: the debit account (the credit account too if it has a max_balance), then the hold. Right: post.$$;

CREATE FUNCTION teller.extend_hold(
	ledger bigint, hold uuid, ttl interval, key text DEFAULT NULL,
	request_time timestamptz DEFAULT NULL,
	OUT id uuid, OUT status text, OUT reason text, OUT expires_at timestamptz,
	OUT available numeric, OUT debit_version bigint, OUT replayed boolean) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_extend_hold' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.extend_hold(bigint, uuid, interval, text, timestamptz) IS
$$Give an open hold a later deadline: ttl from now. The journal records the old and the new one.
Arguments: ttl above zero and at most a hundred years; key, request_time as in teller.transfer.
Result: as teller.hold.
Errors: TL003, TL006 (not open, or due), TL009, TL012, 22004, 22023 (not later than the present deadline), 55000 (hold of an operation), 42501, 40001.
Locks: the debit account (the credit account too if it has a max_balance), then the hold. Right: post.$$;

CREATE FUNCTION teller.adjust_hold(
	ledger bigint, hold uuid, amount numeric, key text DEFAULT NULL,
	on_denial text DEFAULT 'raise', request_time timestamptz DEFAULT NULL,
	OUT id uuid, OUT status text, OUT reason text, OUT expires_at timestamptz,
	OUT available numeric, OUT debit_version bigint, OUT replayed boolean) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_adjust_hold' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.adjust_hold(bigint, uuid, numeric, text, text, timestamptz) IS
$$Make an open hold larger or smaller: amount is its new total, at least what is captured already. The journal records the old and the new one; the same amount again changes nothing. A hold of which nothing remains ends.
Arguments: amount in units of the asset, above zero; key, on_denial, request_time as in teller.transfer.
Result: as teller.hold.
Errors: TL001, TL003, TL004, TL005 (a larger hold), TL006 (not open, or due), TL009, TL012, 22003, 22004, 22023, 55000 (hold of an operation), 42501, 40001.
Locks: the debit account (the credit account too if it has a max_balance), then the hold. Right: post.$$;

CREATE FUNCTION teller.expire_due(max_holds integer DEFAULT 1000) RETURNS integer
	AS 'MODULE_PATHNAME', 'teller_expire_due' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.expire_due(integer) IS
$$Expire up to max_holds (1 to 1000000) holds that are due, of all ledgers; the worker does the same by itself. Returns how many it expired.
A due hold binds no money with or without this. Anyone may call it.
Errors: 22004, 22023, 40001. Locks: accounts by (ledger, account), then the holds.$$;
