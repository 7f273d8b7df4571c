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

/*
 * Walk the open holds with a deadline, ledger by ledger, each in the order of
 * deadlines.  visit returns false to go on with the next ledger.
 */
static void
walk_deadlines(bool (*visit) (TupleTableSlot *slot, TimestampTz deadline, void *arg),
			   void *arg)
{
	Rel		   *rel = rel_open(REL_HOLD, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	int64		ledger = PG_INT64_MIN;
	bool		first = true;

	for (;;)
	{
		RelScan    *next = first ?
			rel_scan_begin(rel, "hold_due", snapshot, 0, NULL) :
			rel_scan_after(rel, "hold_due", snapshot, ledger);
		bool		found = false;

		while (rel_scan_next(next, slot))
		{
			bool		isnull;
			int64		at = get_bigint(slot, COL_LEDGER);

			/* Into the next ledger: start there with a scan of its own. */
			if (found && at != ledger)
				break;
			ledger = at;
			found = true;
			first = false;
			if (!visit(slot, DatumGetTimestampTz(slot_getattr(slot,
															  COL_EXPIRES_AT,
															  &isnull)), arg))
				break;
		}
		rel_scan_end(next);
		if (!found)
			break;
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

static bool
visit_due(TupleTableSlot *slot, TimestampTz deadline, void *arg)
{
	DueList    *list = arg;
	DueHold    *due = &list->holds[list->count];
	bool		isnull;

	if (deadline > list->now || list->count == list->max)
		return false;
	due->ledger = get_bigint(slot, COL_LEDGER);
	due->id = *DatumGetUUIDP(slot_getattr(slot, COL_ID, &isnull));
	due->debit_account = get_bigint(slot, COL_DEBIT_ACCOUNT);
	due->credit_account = get_bigint(slot, COL_CREDIT_ACCOUNT);
	list->count++;
	return true;
}

DueHold *
expire_list(int max_holds, int *count)
{
	DueList		list = {0};

	list.now = clock_read();
	list.max = max_holds;
	list.holds = palloc(sizeof(DueHold) * ((Size) max_holds + 1));
	walk_deadlines(visit_due, &list);
	*count = list.count;
	return list.holds;
}

static bool
visit_first(TupleTableSlot *slot, TimestampTz deadline, void *arg)
{
	TimestampTz *earliest = arg;

	*earliest = Min(*earliest, deadline);
	return false;
}

TimestampTz
expire_next_deadline(void)
{
	TimestampTz earliest = DT_NOEND;

	walk_deadlines(visit_first, &earliest);
	return earliest;
}

/* ---- expiring --------------------------------------------------------- */

/* Every debit account, and the credit accounts that keep a sum of holds. */
static AccountSet *
lock_accounts_of(int64 ledger, const DueHold *due, int count)
{
	int64	   *accounts = palloc(sizeof(int64) * 2 * count);
	int			n = 0;

	for (int i = 0; i < count; i++)
	{
		Account    *credit = account_peek(ledger, due[i].credit_account,
											  NULL);

		accounts[n++] = due[i].debit_account;
		if (credit == NULL)
			account_raise_missing(ledger, due[i].credit_account);
		if (credit->has_max)
			accounts[n++] = due[i].credit_account;
	}
	return account_set_lock(ledger, accounts, n);
}

/* One hold of a set of locked accounts; false if it is over already. */
static bool
expire_one(AccountSet *set, const DueHold *due)
{
	Movement	movement;
	Account		untouched = {0};
	bool		expired = false;

	movement_init(&movement, set, 1);
	movement.hold = hold_lock(due->ledger, &due->id);
	movement.scale = movement.hold->scale;
	movement.debit = account_in_set(set, due->debit_account);
	movement.credit = account_in_set(set, due->credit_account);
	if (movement.credit == NULL)
	{
		untouched.id = due->credit_account;
		movement.credit = &untouched;
	}
	if (movement.hold->state == HOLD_OPEN &&
		hold_is_due(movement.hold, set->now))
	{
		hold_expire_locked(&movement);
		hold_write(movement.hold);
		journal_write(movement.rows, movement.nrows);
		expired = true;
	}
	hold_close(movement.hold);
	return expired;
}

static int
expire_in_ledger(int64 ledger, const DueHold *due, int count)
{
	AccountSet *set = lock_accounts_of(ledger, due, count);
	int			expired = 0;

	for (int i = 0; i < count; i++)
		if (expire_one(set, &due[i]))
			expired++;
	account_set_write(set);
	account_set_close(set);
	CommandCounterIncrement();
	return expired;
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
	due = expire_list(max_holds, &count);
	PG_RETURN_INT32(expire_holds(due, count));
}
