/*-------------------------------------------------------------------------
 *
 * period.c
 *	  Closed periods: nothing becomes effective in them any more.
 *
 * Two kinds of writers could still come too late.  One that was given a time
 * locks the ledger's row FOR KEY SHARE and looks; teller.close_period locks
 * it FOR UPDATE.  One that takes the time from the clock does so after it has
 * locked its accounts, hence with a lock on their table; a period may only be
 * closed up to the present, and close_period waits for every transaction that
 * holds such a lock by then.  Those that come later read a later clock.
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
#include "input.h"
#include "ledger.h"
#include "movement.h"
#include "period.h"
#include "rel.h"

/* The columns of teller.period. */
enum
{
	COL_LEDGER,
	COL_CLOSED_UNTIL,
	COL_CLOSED_AT,
	COL_COUNT
};

static void
lock_ledger(int64 ledger, LockTupleMode mode)
{
	Rel		   *rel = rel_open(REL_LEDGER, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		key = Int64GetDatum(ledger);

	if (!rel_lock_row(rel, 1, &key, mode, slot))
		ledger_check(ledger);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
}

/* The end of the last closed period; the beginning of time if there is none. */
static TimestampTz
closed_until(int64 ledger)
{
	Rel		   *rel = rel_open(REL_PERIOD, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Datum		key = Int64GetDatum(ledger);
	TimestampTz until = DT_NOBEGIN;
	bool		isnull;

	if (rel_fetch(rel, snapshot, 1, &key, slot))
		until = DatumGetTimestampTz(slot_getattr(slot, COL_CLOSED_UNTIL + 1,
												 &isnull));
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return until;
}

void
period_check(int64 ledger, TimestampTz effective_at)
{
	TimestampTz until;

	lock_ledger(ledger, LockTupleKeyShare);
	until = closed_until(ledger);
	if (effective_at < until)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("effective_at is in a closed period of ledger %lld",
						(long long) ledger),
				 errdetail("It is %s; periods are closed until %s.",
						   pstrdup(timestamptz_to_str(effective_at)),
						   pstrdup(timestamptz_to_str(until)))));
}

/*
 * It was closed after all that is recorded, even if the clock has been set
 * back since: teller.verify() looks for what came later.
 */
static void
write_period(int64 ledger, TimestampTz until)
{
	static const char sql[] =
		"INSERT INTO teller.period SELECT $1, $2, greatest($3, max(last_at))"
		" FROM teller.account WHERE ledger_id = $1"
		" ON CONFLICT (ledger_id) DO UPDATE"
		" SET closed_until = excluded.closed_until, closed_at = excluded.closed_at";
	Datum		values[COL_COUNT] = {Int64GetDatum(ledger),
	TimestampTzGetDatum(until), TimestampTzGetDatum(clock_read())};
	OwnerScope	scope;

	owner_begin(&scope);
	owner_execute(sql, "izz", values, NULL, false);
	owner_end(&scope);
}

PG_FUNCTION_INFO_V1(teller_close_period);

/* teller.close_period(ledger, until): see its COMMENT. */
Datum
teller_close_period(PG_FUNCTION_ARGS)
{
	int64		ledger;
	TimestampTz until;
	TimestampTz before;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "until");
	ledger = PG_GETARG_INT64(0);
	until = input_time(fcinfo, 1, "until", 0);
	access_require_owner("teller.close_period()");
	if (until > clock_read())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("until is in the future")));
	lock_ledger(ledger, LockTupleExclusive);
	before = closed_until(ledger);
	if (until < before)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a closed period is not opened again"),
				 errdetail("Periods of ledger %lld are closed until %s.",
						   (long long) ledger, timestamptz_to_str(before))));
	if (until == before)
		PG_RETURN_VOID();
	write_period(ledger, until);
	movement_await_others();
	PG_RETURN_VOID();
}
