/*-------------------------------------------------------------------------
 *
 * request_prune.c
 *	  How long requests are remembered.
 *
 * A request is forgotten only if its maker said when it was made
 * (request_time), and then not before teller.key_retention has passed.  What
 * carries no time is kept for ever.
 *
 * A request that was pruned never runs again.  Pruning raises, in the same
 * transaction, the horizon of the scope to the latest request_time pruned, and
 * the horizon never falls.  A begin_request with a time inserts its row first
 * and reads the horizon after that, with a new snapshot at every isolation
 * level.  Suppose a row of time t is pruned and somebody inserts that request
 * again.  The insert succeeds only after the transaction that pruned it has
 * committed: until then the old row stands in the unique index and the insert
 * waits.  So the snapshot, taken later still, shows a horizon of at least t,
 * and the insert is undone with TL012.  Nothing in this depends on a clock or
 * on the present value of the setting: retention may be raised and the clock
 * set back.
 *
 * The horizon refuses nobody else: it is at most the age limit at the time of
 * the pruning, and what is older than that is refused anyway, because it may
 * have been pruned.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "fmgr.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "guc.h"
#include "input.h"
#include "request.h"

/* The columns of teller.request_horizon. */
enum
{
	HORIZON_SCOPE,
	HORIZON_PRUNED_UNTIL
};

/* What is of this time or older may be pruned.  Retention is not 0. */
static TimestampTz
age_limit(TimestampTz now)
{
	return now - (int64) teller_key_retention_s * USECS_PER_SEC;
}

/* ---- too old? --------------------------------------------------------- */

/* DT_NOBEGIN if nothing of the scope was ever pruned. */
static TimestampTz
read_horizon(const text *scope)
{
	Rel		   *rel = rel_open(REL_REQUEST_HORIZON, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	latest = RegisterSnapshot(GetLatestSnapshot());
	Datum		keys[1] = {PointerGetDatum(scope)};
	TimestampTz until = DT_NOBEGIN;

	if (rel_fetch(rel, latest, 1, keys, slot))
	{
		slot_getallattrs(slot);
		until = DatumGetTimestampTz(slot->tts_values[HORIZON_PRUNED_UNTIL]);
	}
	UnregisterSnapshot(latest);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return until;
}

void
request_check_age(const Request *request, TimestampTz time, TimestampTz now)
{
	TimestampTz limit = read_horizon(request->scope);

	if (teller_key_retention_s > 0)
		limit = Max(limit, age_limit(now));
	if (time <= limit)
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_REQUEST_TOO_OLD),
				 errmsg("%s is too old", request_name(request)),
				 errdetail("It was made at %s; of its scope those made until %s may have been answered and forgotten.",
						   pstrdup(timestamptz_to_str(time)),
						   pstrdup(timestamptz_to_str(limit))),
				 errhint("Find out by other means whether it has happened. If it has not, make a new request.")));
}

/* ---- pruning ---------------------------------------------------------- */

/*
 * In SQL, so that a foreign key to the table is asked.  Rows that somebody
 * has locked are left for the next time.  Horizons are raised in the order of
 * scopes, so that two of these cannot deadlock.
 */
static const char prune_sql[] =
"WITH due AS MATERIALIZED ("
" SELECT ctid AS place FROM teller.request"
" WHERE request_time <= $1"
" AND (finished_at IS NOT NULL OR lease_until <= $1)"
" ORDER BY request_time LIMIT $2 FOR UPDATE SKIP LOCKED),"
" gone AS (DELETE FROM teller.request AS r USING due"
" WHERE r.ctid = due.place RETURNING r.scope, r.request_time),"
" raised AS (INSERT INTO teller.request_horizon"
" SELECT scope, max(request_time) FROM gone GROUP BY scope ORDER BY scope"
" ON CONFLICT (scope) DO UPDATE SET pruned_until ="
" greatest(request_horizon.pruned_until, excluded.pruned_until))"
" SELECT count(*) FROM gone";

int
request_prune(int max_rows)
{
	OwnerScope	scope;
	Datum		values[2];
	bool		isnull;
	int			pruned;

	if (teller_key_retention_s == 0)
		return 0;
	values[0] = TimestampTzGetDatum(age_limit(clock_read()));
	values[1] = Int64GetDatum(max_rows);
	owner_begin(&scope);
	(void) owner_execute(prune_sql, "zi", values, NULL, false);
	pruned = (int) DatumGetInt64(owner_value(1, &isnull));
	owner_end(&scope);
	CommandCounterIncrement();
	return pruned;
}

PG_FUNCTION_INFO_V1(teller_prune_requests);

/*
 * teller.prune_requests(max_rows integer) -> integer: see its COMMENT.  Anyone
 * may call it: it forgets only what the administrator wants forgotten.
 */
Datum
teller_prune_requests(PG_FUNCTION_ARGS)
{
	int			max_rows;

	input_require(fcinfo, 0, "max_rows");
	max_rows = PG_GETARG_INT32(0);
	if (max_rows < 1 || max_rows > 1000000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must be between 1 and 1000000")));
	PG_RETURN_INT32(request_prune(max_rows));
}
