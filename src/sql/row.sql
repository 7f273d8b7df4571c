-- Any table: the user's own, with the caller's own rights.
--
-- Each function has a twin that takes the id as text, which the key type's
-- input function reads: so an untyped literal or driver parameter works.

CREATE FUNCTION teller.row_debit(
	rel regclass, id anyelement, amount numeric, col name DEFAULT 'balance',
	floor numeric DEFAULT 0) RETURNS numeric
	AS 'MODULE_PATHNAME', 'teller_row_debit' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.row_debit(regclass, anyelement, numeric, name, numeric) IS
$$Subtract amount from a column of one row of your own table, if at least floor remains: one atomic step.
Arguments: rel: an ordinary or partitioned table with a primary key of one column; id: the key's value, of its type, of one that casts to it implicitly, or text; amount above zero, with no more decimals than the column holds; col: an integer or numeric column; floor: the least that must remain, NULL for none.
Result: the column's new value.
Errors: TL001 not enough, TL009 no such row (or hidden by row security), 22003, 22004, 22023, 22P02, 42501, 42703, 42804, 42809, 428C9, 42P01, 0A000, 55000, 25006, 40001, and what constraints and triggers of the table raise.
Locks: the row, as an UPDATE does, until the transaction ends. Exact at READ COMMITTED; above it a stale caller gets 40001. Runs as the caller: privileges, row security, triggers and constraints apply.$$;

CREATE FUNCTION teller.row_debit(
	rel regclass, id text, amount numeric, col name DEFAULT 'balance',
	floor numeric DEFAULT 0) RETURNS numeric
	AS 'MODULE_PATHNAME', 'teller_row_debit' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.row_debit(regclass, text, numeric, name, numeric) IS
'The same with the id as text, which the key type''s input function reads. Errors: the same.';

CREATE FUNCTION teller.row_credit(
	rel regclass, id anyelement, amount numeric, col name DEFAULT 'balance',
	ceiling numeric DEFAULT NULL) RETURNS numeric
	AS 'MODULE_PATHNAME', 'teller_row_credit' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.row_credit(regclass, anyelement, numeric, name, numeric) IS
$$Add amount to a column of one row of your own table, if the sum is at most ceiling: one atomic step.
Arguments: as for row_debit; ceiling: the most that may result, NULL for none.
Result: the column's new value.
Errors: TL004 above the ceiling, else those of row_debit.
Locks: the row, as an UPDATE does, until the transaction ends. Exact at READ COMMITTED; above it a stale caller gets 40001. Runs as the caller.$$;

CREATE FUNCTION teller.row_credit(
	rel regclass, id text, amount numeric, col name DEFAULT 'balance',
	ceiling numeric DEFAULT NULL) RETURNS numeric
	AS 'MODULE_PATHNAME', 'teller_row_credit' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.row_credit(regclass, text, numeric, name, numeric) IS
'The same with the id as text, which the key type''s input function reads. Errors: the same.';

CREATE FUNCTION teller.row_update(
	rel regclass, id anyelement, expected_version bigint, changes jsonb,
	version_col name DEFAULT 'version') RETURNS bigint
	AS 'MODULE_PATHNAME', 'teller_row_update' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.row_update(regclass, anyelement, bigint, jsonb, name) IS
$$Change columns of one row of your own table, if nobody has changed it since expected_version was read: no write is lost.
Arguments: rel and id as for row_debit; expected_version, 0 or more; changes: a JSON object of column and value, each read as json_populate_record reads it, null for NULL; version_col: an integer column, which grows by one.
Result: the new version.
Errors: TL002 another version (DETAIL: both), TL009 no such row, 22003, 22004, 22023, 42501, 42703, 42804, 42809, 428C9, 42P01, 0A000, 55000, 25006, 40001, those of reading the values, and what constraints and triggers of the table raise.
Locks: the row, as an UPDATE does, until the transaction ends. Exact at READ COMMITTED; above it a stale caller gets 40001. Runs as the caller.$$;

CREATE FUNCTION teller.row_update(
	rel regclass, id text, expected_version bigint, changes jsonb,
	version_col name DEFAULT 'version') RETURNS bigint
	AS 'MODULE_PATHNAME', 'teller_row_update' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.row_update(regclass, text, bigint, jsonb, name) IS
'The same with the id as text, which the key type''s input function reads. Errors: the same.';

CREATE FUNCTION teller.lock_rows(
	rel regclass, ids anyarray, wait text DEFAULT 'block',
	strength text DEFAULT 'no key update', missing text DEFAULT 'error')
	RETURNS SETOF anyelement
	AS 'MODULE_PATHNAME', 'teller_lock_rows' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.lock_rows(regclass, anyarray, text, text, text) IS
$$Lock rows of your own table in the order of their keys, whatever order they are given in: transactions that make one such call each never deadlock.
Arguments: rel as for row_debit; ids: at most 10000 keys, duplicates are locked once; wait: block, nowait, skip (leave out the rows that others have), or at most an interval such as 250 ms, at the longest 24 hours, trying again at jittered times, where others that wait may overtake it; strength: update, no key update, share or key share; missing: error, or skip.
Result: the ids locked, as given, in lock order.
Errors: TL009 lists the first ten that do not exist, before anything is returned; 55P03 a row is taken (nowait), or the interval or lock_timeout ran out; 22003, 22004, 22023, 22P02, 42501, 42804, 42809, 42P01, 0A000, 54000, 55000, 25006, 40001.
Locks: the rows, in the given strength, until the transaction ends. Runs as the caller, who needs SELECT on the key and UPDATE on a column.$$;

CREATE FUNCTION teller.lock_rows(
	rel regclass, ids text, wait text DEFAULT 'block',
	strength text DEFAULT 'no key update', missing text DEFAULT 'error')
	RETURNS SETOF text
	AS 'MODULE_PATHNAME', 'teller_lock_rows' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.lock_rows(regclass, text, text, text, text) IS
'The same with the ids as an array literal, whose elements the key type''s input function reads. Errors: the same.';

CREATE FUNCTION teller.guard_version() RETURNS trigger
	AS 'MODULE_PATHNAME', 'teller_guard_version' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.guard_version() IS
$$Trigger for BEFORE UPDATE ... FOR EACH ROW: adds one to the version column on every update, and refuses an update that carries a stale version.
Argument of the trigger: the name of the version column, an integer; default version. An update that does not set the column is counted; one that sets it must set the version it read (the row's present one) or that plus one. Set the version that was read: one that was counted up from a stale read and is stale by exactly one is not noticed, unless WHERE tests it.
Errors: TL002 (DETAIL: both versions), 22003 at the column's maximum, 42703, 42804, 55000 NULL in the row, 39P01 not such a trigger.
Locks: none of its own.$$;
