/*-------------------------------------------------------------------------
 *
 * wake.c
 *	  What a commit tells the worker and the launcher.
 *
 * No wake-up is lost between a commit and the worker going to sleep:
 *
 *	session						worker
 *	commit becomes visible		next_wake := now + longest sleep
 *	barrier						barrier
 *	read next_wake				look for work with a new snapshot
 *	deadline before it?			next_wake := earliest deadline seen
 *	then set the latch			wait on the latch until next_wake
 *
 * Whichever barrier comes second, either the worker sees the row or the
 * session sees a next_wake that is late enough to set the latch.  The worker
 * resets its latch before it looks.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "shmem.h"
#include "wake.h"

/* What the present transaction has to tell once it has committed. */
static struct
{
	bool		worker;
	TimestampTz deadline;
	bool		waiters;		/* any of the next */
	bool		outcomes[BOARD_OUTCOMES];
	bool		launcher;
	bool		rescan;
	List	   *leaving;		/* BoardEntry; in TopTransactionContext */
}			pending;

bool
teller_is_preloaded(void)
{
	return board != NULL;
}

static void
wake_worker(TimestampTz deadline)
{
	static BoardEntry *mine = NULL;

	if (mine == NULL || mine->dboid != MyDatabaseId)
		mine = board_peek(MyDatabaseId);

	/* A worker that is not there yet looks at everything when it starts. */
	if (mine == NULL)
		return;
	pg_memory_barrier();
	if (deadline < (TimestampTz) pg_atomic_read_u64(&mine->next_wake))
		board_set_latch(&mine->procno);
}

/*
 * The databases that this transaction needed for itself are free again.  The
 * entries are still there: a leave request keeps them.
 */
static void
end_leaving(void)
{
	ListCell   *cell;

	if (pending.leaving == NIL)
		return;
	foreach(cell, pending.leaving)
	{
		BoardEntry *entry = lfirst(cell);

		pg_atomic_sub_fetch_u32(&entry->leave_requests, 1);
	}
	board_tell_rescan();
}

/* A broadcast takes spinlocks and sets latches, and no more. */
static void
wake_waiters(void)
{
	for (int i = 0; i < BOARD_OUTCOMES; i++)
		if (pending.outcomes[i])
			ConditionVariableBroadcast(&board->outcomes[i]);
}

static void
tell_after_commit(void)
{
	if (pending.waiters)
		wake_waiters();
	if (pending.worker)
		wake_worker(pending.deadline);
	if (pending.launcher)
		board_tell(MyDatabaseId);
	if (pending.rescan)
		board_tell_rescan();
}

/*
 * Runs after the commit is durable, where an error would be a PANIC: nothing
 * here allocates, waits or raises.
 */
static void
wake_at_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			tell_after_commit();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			break;
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			return;
	}
	end_leaving();
	memset(&pending, 0, sizeof(pending));
}

static void
ensure_registered(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(wake_at_end, NULL);
	registered = true;
}

void
wake_at_commit(TimestampTz deadline)
{
	if (!teller_is_preloaded())
		return;
	ensure_registered();
	if (!pending.worker || deadline < pending.deadline)
		pending.deadline = deadline;
	pending.worker = true;
}

void
wake_waiters_at_commit(int place)
{
	if (!teller_is_preloaded())
		return;
	ensure_registered();
	pending.waiters = pending.outcomes[place] = true;
}

void
wake_launcher_at_commit(void)
{
	if (!teller_is_preloaded())
		return;
	ensure_registered();
	pending.launcher = true;
}

void
wake_rescan_at_commit(void)
{
	if (!teller_is_preloaded())
		return;
	ensure_registered();
	pending.rescan = true;
}

/* Room in the list first: after the count is raised nothing may fail. */
bool
wake_leave(Oid dboid)
{
	MemoryContext old;
	BoardEntry *entry;

	Assert(teller_is_preloaded());

	ensure_registered();
	old = MemoryContextSwitchTo(TopTransactionContext);
	pending.leaving = lappend(pending.leaving, NULL);
	MemoryContextSwitchTo(old);

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	entry = board_make(dboid);
	if (entry != NULL)
	{
		pg_atomic_add_fetch_u32(&entry->leave_requests, 1);
		llast(pending.leaving) = entry;
		board_call_off(entry);
		board_set_latch(&entry->procno);
	}
	LWLockRelease(board->lock);

	if (entry == NULL)
		pending.leaving = list_delete_last(pending.leaving);
	return entry != NULL;
}

long
wake_ms_until(TimestampTz when, long longest_ms)
{
	TimestampTz now = GetCurrentTimestamp();

	if (when <= now)
		return 0;
	if (when - now >= longest_ms * INT64CONST(1000))
		return longest_ms;
	return (long) ((when - now + 999) / 1000);
}

/* ---- SQL functions ---------------------------------------------------- */

PG_FUNCTION_INFO_V1(teller_wake);

/*
 * teller.wake() -> void: at commit the launcher looks at this database anew
 * and its worker looks for work.  Locks: none.
 */
Datum
teller_wake(PG_FUNCTION_ARGS)
{
	wake_launcher_at_commit();
	wake_at_commit(DT_NOBEGIN);
	PG_RETURN_VOID();
}
