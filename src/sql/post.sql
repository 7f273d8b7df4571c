-- Batches, movements of what there is, reversals.

CREATE FUNCTION teller.transfer_up_to(
	ledger bigint, debit_account bigint, credit_account bigint, max_amount numeric,
	min_amount numeric DEFAULT 0, key text DEFAULT NULL, metadata jsonb DEFAULT NULL,
	on_denial text DEFAULT 'return', request_time timestamptz DEFAULT NULL,
	OUT id uuid, OUT status text, OUT reason text, OUT amount numeric,
	OUT debit_balance numeric, OUT debit_version bigint,
	OUT credit_balance numeric, OUT credit_version bigint,
	OUT replayed boolean) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_transfer_up_to' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.transfer_up_to(bigint, bigint, bigint, numeric, numeric, text, jsonb, text, timestamptz) IS
$$Move as much as debit_account can give and credit_account can take, at most max_amount.
Call it as SELECT * FROM teller.transfer_up_to(...).
Arguments: max_amount above zero and min_amount, 0 or more, in units of the asset; the others as in teller.transfer.
Result: as teller.transfer; amount is what was moved. With less than min_amount, or nothing, to move: status denied, amount 0, no row; on_denial => 'raise' makes that an error.
Errors: TL001, TL003, TL004, TL005 (only with on_denial => 'raise'), TL007, TL009, TL012, 22003, 22004, 22023, 54000, 42501, 40001.
Locks: both accounts FOR NO KEY UPDATE by account_id until the transaction ends. Right: post.$$;

CREATE FUNCTION teller.post(
	ledger bigint, debit_accounts bigint[], credit_accounts bigint[], amounts numeric[],
	keys text[] DEFAULT NULL, mode text DEFAULT 'atomic', metadata jsonb[] DEFAULT NULL,
	key text DEFAULT NULL, effective_at timestamptz DEFAULT NULL,
	expected_versions bigint[] DEFAULT NULL, request_time timestamptz DEFAULT NULL,
	OUT ordinal integer, OUT batch_id uuid,
	OUT id uuid, OUT status text, OUT reason text, OUT amount numeric,
	OUT debit_balance numeric, OUT debit_version bigint,
	OUT credit_balance numeric, OUT credit_version bigint,
	OUT replayed boolean) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_post' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.post(bigint, bigint[], bigint[], numeric[], text[], text, jsonb[], text, timestamptz, bigint[], timestamptz) IS
$$Post many transfers of one ledger at once; each account is locked once and written once.
Arguments: arrays of one length, at most 10000 items: debit_accounts, credit_accounts and amounts as in teller.transfer; keys, metadata and expected_versions may have nulls. mode atomic: all or nothing, limits are tested on what each account loses or gains in all, so the order of the items does not matter, and expected_versions are those before the batch; independent: in order, each item is tested where its turn comes and answers for itself. key names a whole atomic batch, and excludes keys; an item under a key of its own is the transfer it describes and replays as such. effective_at and request_time hold for all items.
Result: a row for each item in the order given: its ordinal from 1, the batch, and the columns of teller.transfer; balances and versions are those after the item.
Errors: TL001, TL002, TL004, TL005 (atomic mode; in independent mode they are the item's reason), TL003, TL007, TL009, TL012, 22003, 22004, 22023, 54000, 55000 (closed period), 42501, 40001. An error about one item says which in its CONTEXT: item 3 of the batch.
Locks: all accounts FOR NO KEY UPDATE by account_id until the transaction ends. Exact at READ COMMITTED; above it a stale caller gets 40001. Right: post.$$;

CREATE FUNCTION teller.transfer_from(
	ledger bigint, debit_accounts bigint[], credit_account bigint, amount numeric,
	key text DEFAULT NULL, effective_at timestamptz DEFAULT NULL,
	metadata jsonb DEFAULT NULL, on_denial text DEFAULT 'raise',
	request_time timestamptz DEFAULT NULL,
	OUT ordinal integer, OUT batch_id uuid,
	OUT id uuid, OUT status text, OUT reason text, OUT amount numeric,
	OUT debit_balance numeric, OUT debit_version bigint,
	OUT credit_balance numeric, OUT credit_version bigint,
	OUT replayed boolean) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_transfer_from' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.transfer_from(bigint, bigint[], bigint, numeric, text, timestamptz, jsonb, text, timestamptz) IS
$$Move one amount to credit_account out of several accounts, in the order given: each gives what is available above its min_balance until the amount is reached; all or nothing. An account without a minimum gives all that is still to be paid.
Arguments: debit_accounts: 1 to 10000 accounts, each once; amount in units of the asset, above zero; key, effective_at, metadata (of every row), on_denial and request_time as in teller.transfer.
Result: as teller.post, a row for each account that pays something, in their order; teller.reverse_batch() undoes them. A denial that is returned or recorded is one row: ordinal 1, status denied, the reason, amount 0, the rest null.
Errors: TL001 (together they have not enough; the DETAIL has the sum), TL003, TL004, TL005 (an account is frozen or closed when its turn comes, whatever it has), TL007, TL009, TL012, 22003, 22004, 22023 (no account, one that is given twice or is credit_account too), 54000, 55000 (closed period), 42501, 40001.
Locks: all accounts, those that pay nothing too, FOR NO KEY UPDATE by account_id until the transaction ends. Exact at READ COMMITTED; above it a stale caller gets 40001. Right: post.$$;

CREATE FUNCTION teller.reverse(
	ledger bigint, id uuid, amount numeric DEFAULT NULL, key text DEFAULT NULL,
	on_denial text DEFAULT 'raise', request_time timestamptz DEFAULT NULL,
	OUT id uuid, OUT status text, OUT reason text, OUT amount numeric,
	OUT debit_balance numeric, OUT debit_version bigint,
	OUT credit_balance numeric, OUT credit_version bigint,
	OUT replayed boolean) RETURNS record
	AS 'MODULE_PATHNAME', 'teller_reverse' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.reverse(bigint, uuid, numeric, text, text, timestamptz) IS
$$Undo a transfer or a capture, in whole or in part, by a movement the other way. The journal keeps both rows.
Call it as SELECT * FROM teller.reverse(...).
Arguments: id of the journal row; amount in units of the asset, default all that is not reversed yet; key, on_denial, request_time as in teller.transfer.
Result: as teller.transfer, of the reversal.
Errors: TL001, TL003, TL004, TL005, TL009, TL012, 22003, 22023 (more than remains), 55000 (a hold event, a reversal, or an operation's row), 42501, 40001.
Locks: both accounts FOR NO KEY UPDATE by account_id until the transaction ends. Right: post.$$;

CREATE FUNCTION teller.reverse_batch(
	ledger bigint, batch_id uuid, key text DEFAULT NULL,
	request_time timestamptz DEFAULT NULL,
	OUT ordinal integer, OUT batch_id uuid,
	OUT id uuid, OUT status text, OUT reason text, OUT amount numeric,
	OUT debit_balance numeric, OUT debit_version bigint,
	OUT credit_balance numeric, OUT credit_version bigint,
	OUT replayed boolean) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_reverse_batch' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.reverse_batch(bigint, uuid, text, timestamptz) IS
$$Undo every row of a batch, all or nothing; rows that are reversed in part give what remains.
Result: as teller.post, of the reversals.
Errors: TL001, TL003, TL004, TL005, TL009, TL012, 22023 (reversed already), 55000, 42501, 40001. The item in their CONTEXT is that of the batch to be undone.
Locks: all accounts of the batch FOR NO KEY UPDATE by account_id until the transaction ends. Right: post.$$;

CREATE FUNCTION teller.import_journal(
	ledger bigint, debit_accounts bigint[], credit_accounts bigint[], amounts numeric[],
	effective_at timestamptz[], keys text[], metadata jsonb[] DEFAULT NULL,
	OUT ordinal integer, OUT batch_id uuid,
	OUT id uuid, OUT status text, OUT reason text, OUT amount numeric,
	OUT debit_balance numeric, OUT debit_version bigint,
	OUT credit_balance numeric, OUT credit_version bigint,
	OUT replayed boolean) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_import_journal' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.import_journal(bigint, bigint[], bigint[], numeric[], timestamptz[], text[], jsonb[]) IS
$$Bring in history from another system: an atomic batch of at most 10000 transfers, each with its original time as effective_at and a key of its own. An import that broke off is repeated as it was: what is in is not brought in twice.
Arguments: arrays of one length, as in teller.post; effective_at and keys are required and have no nulls. Limits are tested on what each account loses or gains in all: open the accounts without limits, import, then teller.set_limits().
Result: as teller.post.
Errors: TL001, TL003, TL004, TL005, TL007, TL009, 22003, 22004, 22023, 54000, 55000 (closed period), 42501, 40001.
Locks: the ledger's row FOR KEY SHARE, all accounts FOR NO KEY UPDATE by account_id. Right: the owner of pg_teller.$$;
