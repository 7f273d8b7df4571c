/*-------------------------------------------------------------------------
 *
 * key_prune.c
 *	  How long idempotency keys are kept.
 *
 * A key is forgotten only if its call said when the request was made
 * (request_time), and then not before teller.key_retention has passed.  What
 * carries no time is kept for ever.
 *
 * A call whose key was pruned never runs again.  Pruning raises, in the same
 * transaction, the horizon of the ledger to the latest request_time pruned,
 * and the horizon never falls.  A call with a time stores its key first and
 * reads the horizon after that, with a new snapshot at every isolation level.
 * If its key was pruned, the insert succeeded only after the transaction that
 * pruned it had committed, so the horizon is seen, and the insert is undone
 * with TL012.  Nothing in this depends on a clock or on the present value of
 * the setting: retention may be raised and the clock set back.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "guc.h"
#include "input.h"
#include "key.h"
#include "rel.h"

/* The columns of teller.key_horizon. */
enum
{
	HORIZON_LEDGER,
	HORIZON_PRUNED_UNTIL
};

/* What is of this time or older may be pruned.  Retention is not 0. */
static TimestampTz
age_limit(TimestampTz now)
{
	return now - (int64) teller_key_retention_s * USECS_PER_SEC;
}

/* DT_NOBEGIN if no key of the ledger was ever pruned. */
static TimestampTz
read_horizon(int64 ledger)
{
	Rel		   *rel = rel_open(REL_KEY_HORIZON, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	latest = RegisterSnapshot(GetLatestSnapshot());
	Datum		key = Int64GetDatum(ledger);
	TimestampTz until = DT_NOBEGIN;
	bool		isnull;

	if (rel_fetch(rel, latest, 1, &key, slot))
		until = DatumGetTimestampTz(slot_getattr(slot, HORIZON_PRUNED_UNTIL + 1,
												 &isnull));
	rel_forget_snapshot(latest);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return until;
}

void
key_check_age(int64 ledger, const text *key, TimestampTz request_time)
{
	TimestampTz limit = read_horizon(ledger);
	TimestampTz now = clock_read();

	if (teller_key_retention_s > 0)
		limit = Max(limit, age_limit(now));
	if (request_time <= limit)
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_REQUEST_TOO_OLD),
				 errmsg("the request with key \"%s\" of ledger %lld is too old",
						text_to_cstring(key), (long long) ledger),
				 errdetail("It was made at %s; those made until %s may have been answered and forgotten.",
						   pstrdup(timestamptz_to_str(request_time)),
						   pstrdup(timestamptz_to_str(limit))),
				 errhint("Find out by other means whether it has happened. If it has not, make a new request.")));
}

/* ---- pruning ---------------------------------------------------------- */

/*
 * Keys that somebody has locked are left for the next time.  Horizons are
 * raised in the order of ledgers, so that two of these cannot deadlock.
 */
static const char prune_sql[] =
"WITH due AS MATERIALIZED ("
" SELECT old.place FROM teller.ledger AS l CROSS JOIN LATERAL ("
" SELECT k.ctid AS place FROM teller.key AS k"
" WHERE k.ledger_id = l.ledger_id AND k.request_time <= $1"
" ORDER BY k.request_time LIMIT $2 FOR UPDATE SKIP LOCKED) AS old"
" ORDER BY l.ledger_id LIMIT $2),"
" gone AS (DELETE FROM teller.key AS k USING due"
" WHERE k.ctid = due.place RETURNING k.ledger_id, k.request_time),"
" raised AS (INSERT INTO teller.key_horizon"
" SELECT ledger_id, max(request_time) FROM gone GROUP BY ledger_id ORDER BY ledger_id"
" ON CONFLICT (ledger_id) DO UPDATE SET pruned_until ="
" greatest(key_horizon.pruned_until, excluded.pruned_until))"
" SELECT count(*) FROM gone";

int
key_prune(int max_keys)
{
	OwnerScope	scope;
	Datum		values[2];
	bool		isnull;
	int			pruned;

	if (teller_key_retention_s == 0)
		return 0;
	values[0] = TimestampTzGetDatum(age_limit(clock_read()));
	values[1] = Int64GetDatum(max_keys);
	owner_begin(&scope);
	(void) owner_execute(prune_sql, "zi", values, NULL, false);
	pruned = (int) DatumGetInt64(owner_value(1, &isnull));
	owner_end(&scope);
	return pruned;
}

PG_FUNCTION_INFO_V1(teller_prune_keys);

/*
 * teller.prune_keys(max_keys integer) -> integer: see its COMMENT.  Anyone
 * may call it: it forgets only what the administrator wants forgotten.
 */
Datum
teller_prune_keys(PG_FUNCTION_ARGS)
{
	int			max_keys;

	input_require(fcinfo, 0, "max_keys");
	max_keys = PG_GETARG_INT32(0);
	if (max_keys < 1 || max_keys > 1000000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_keys must be between 1 and 1000000")));
	PG_RETURN_INT32(key_prune(max_keys));
}
