/*-------------------------------------------------------------------------
 *
 * expire.c
 *	  The sweep: holds that are due give their money back.
 *
 * A due hold binds nobody already (see hold.h), so the sweep may come late;
 * it only writes down what every call has been reckoning with.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "clock.h"
#include "compat.h"
#include "expire.h"
#include "hold.h"
#include "input.h"

/* The columns of teller.hold that the sweep reads by itself. */
enum
{
	COL_LEDGER = 1,
	COL_ID = 2,
	COL_DEBIT_ACCOUNT = 3,
	COL_CREDIT_ACCOUNT = 4,
	COL_EXPIRES_AT = 8
};

static int64
get_bigint(TupleTableSlot *slot, int column)
{
	bool		isnull;

	return DatumGetInt64(slot_getattr(slot, column, &isnull));
}

/* Where a walk goes on. */
typedef enum Walk
{
	WALK_ON,
	WALK_NEXT_LEDGER,
	WALK_END
} Walk;

/* All open holds with a deadline, or those of a ledger from one of them on. */
static RelScan *
begin_walk(Rel *rel, Snapshot snapshot, const DueHold *from)
{
	Datum		ledger;

	if (from == NULL)
		return rel_scan_begin(rel, "hold_due", snapshot, 0, NULL);
	ledger = Int64GetDatum(from->ledger);
	return rel_scan_from(rel, "hold_due", snapshot, 1, &ledger,
						 from->expires_at);
}

/*
 * Walk the open holds with a deadline, ledger by ledger, each in the order of
 * deadlines; from: see expire_list.
 */
static void
walk_deadlines(const DueHold *from,
			   Walk (*visit) (TupleTableSlot *slot, TimestampTz deadline, void *arg),
			   void *arg)
{
	Rel		   *rel = rel_open(REL_HOLD, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	RelScan    *scan = begin_walk(rel, snapshot, from);
	int64		ledger = from == NULL ? PG_INT64_MIN : from->ledger;
	bool		in_ledger = from != NULL;

	for (;;)
	{
		Walk		walk = WALK_ON;

		while (walk == WALK_ON && rel_scan_next(scan, slot))
		{
			bool		isnull;
			int64		at = get_bigint(slot, COL_LEDGER);

			/* Into the next ledger: start there with a scan of its own. */
			if (in_ledger && at != ledger)
				break;
			ledger = at;
			in_ledger = true;
			walk = visit(slot, DatumGetTimestampTz(slot_getattr(slot,
																COL_EXPIRES_AT,
																&isnull)), arg);
		}
		rel_scan_end(scan);
		if (!in_ledger || walk == WALK_END)
			break;
		scan = rel_scan_after(rel, "hold_due", snapshot, ledger);
		in_ledger = false;
	}
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
}

/* ---- what is due ------------------------------------------------------ */

typedef struct DueList
{
	TimestampTz now;
	int			count;
	int			max;
	DueHold    *holds;
} DueList;

static Walk
visit_due(TupleTableSlot *slot, TimestampTz deadline, void *arg)
{
	DueList    *list = arg;
	DueHold    *due = &list->holds[list->count];
	bool		isnull;

	if (deadline > list->now)
		return WALK_NEXT_LEDGER;
	due->ledger = get_bigint(slot, COL_LEDGER);
	due->id = *DatumGetUUIDP(slot_getattr(slot, COL_ID, &isnull));
	due->debit_account = get_bigint(slot, COL_DEBIT_ACCOUNT);
	due->credit_account = get_bigint(slot, COL_CREDIT_ACCOUNT);
	due->expires_at = deadline;
	return ++list->count < list->max ? WALK_ON : WALK_END;
}

DueHold *
expire_list(int max_holds, const DueHold *from, int *count)
{
	DueList		list = {0};

	list.now = clock_read();
	list.max = max_holds;
	list.holds = palloc(sizeof(DueHold) * (Size) max_holds);
	walk_deadlines(from, visit_due, &list);
	*count = list.count;
	return list.holds;
}

static Walk
visit_first(TupleTableSlot *slot, TimestampTz deadline, void *arg)
{
	TimestampTz *earliest = arg;

	*earliest = Min(*earliest, deadline);
	return WALK_NEXT_LEDGER;
}

TimestampTz
expire_next_deadline(void)
{
	TimestampTz earliest = DT_NOEND;

	walk_deadlines(NULL, visit_first, &earliest);
	return earliest;
}

/* ---- expiring --------------------------------------------------------- */

static int
compare_ids(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/*
 * Every debit account, and the credit accounts that keep a sum of holds: each
 * of these is looked at once, as many holds favour a few accounts.
 */
static AccountSet *
lock_accounts_of(int64 ledger, const DueHold *due, int count)
{
	int64	   *accounts = palloc(sizeof(int64) * 2 * count);
	int64	   *credits = palloc(sizeof(int64) * count);
	int			n = count;

	for (int i = 0; i < count; i++)
	{
		accounts[i] = due[i].debit_account;
		credits[i] = due[i].credit_account;
	}
	qsort(credits, count, sizeof(int64), compare_ids);
	for (int i = 0; i < count; i++)
	{
		Account    *credit;

		if (i > 0 && credits[i] == credits[i - 1])
			continue;
		credit = account_peek(ledger, credits[i], NULL);
		if (credit == NULL)
			account_raise_missing(ledger, credits[i]);
		if (credit->has_max)
			accounts[n++] = credits[i];
	}
	return account_set_lock(ledger, accounts, n);
}

/*
 * One hold of a set of locked accounts, unless it is over already.  Its
 * journal row is left in the movement.
 */
static void
expire_one(Movement *movement, HoldLocker *locker, const DueHold *due)
{
	AccountSet *set = movement->set;
	Account		untouched = {0};

	movement->hold = hold_lock_next(locker, due->ledger, &due->id);
	movement->scale = movement->hold->scale;
	movement->debit = account_in_set(set, due->debit_account);
	movement->credit = account_in_set(set, due->credit_account);
	if (movement->credit == NULL)
	{
		untouched.id = due->credit_account;
		movement->credit = &untouched;
	}
	if (movement->hold->state == HOLD_OPEN &&
		hold_is_due(movement->hold, set->now))
	{
		hold_expire_locked(movement);
		movement->rows[movement->nrows - 1].hold_id = &due->id;
		hold_write(movement->hold);
	}
	pfree(movement->hold);
	movement->hold = NULL;
}

static int
expire_in_ledger(int64 ledger, const DueHold *due, int count)
{
	AccountSet *set = lock_accounts_of(ledger, due, count);
	HoldLocker *locker = hold_lock_begin();
	Movement	movement;

	movement_init(&movement, set, count);
	for (int i = 0; i < count; i++)
		expire_one(&movement, locker, &due[i]);
	hold_lock_end(locker);
	account_set_write(set);
	journal_write(movement.rows, movement.nrows);
	account_set_close(set);
	CommandCounterIncrement();
	return movement.nrows;
}

int
expire_holds(const DueHold *due, int count)
{
	int			expired = 0;

	hold_enter();
	for (int from = 0, to; from < count; from = to)
	{
		for (to = from; to < count && due[to].ledger == due[from].ledger;)
			to++;
		expired += expire_in_ledger(due[from].ledger, due + from, to - from);
	}
	return expired;
}

PG_FUNCTION_INFO_V1(teller_expire_due);

/*
 * teller.expire_due(max_holds integer) -> integer: see its COMMENT.  Anyone
 * may call it: it changes nothing that is not already so.
 */
Datum
teller_expire_due(PG_FUNCTION_ARGS)
{
	int			max_holds;
	int			count;
	DueHold    *due;

	input_require(fcinfo, 0, "max_holds");
	max_holds = PG_GETARG_INT32(0);
	if (max_holds < 1 || max_holds > 1000000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_holds must be between 1 and 1000000")));
	due = expire_list(max_holds, NULL, &count);
	PG_RETURN_INT32(expire_holds(due, count));
}
