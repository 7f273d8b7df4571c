/*-------------------------------------------------------------------------
 *
 * request_commit.c
 *	  What was begun without a lease is finished when it commits.
 *
 * A request without a lease that committed unfinished would be in progress
 * for ever: nobody could overtake it.  So the transaction remembers each one
 * and looks at its row again just before it commits or is prepared, when
 * deferred triggers have had their turn.
 *
 * It looks at the row and keeps no account of its own, so savepoints need no
 * care: where begin was rolled back there is no row of ours, where finish was
 * rolled back the row is unfinished again.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "request.h"

/* One begun without a lease. */
typedef struct Begun
{
	Oid			relid;			/* of the table, which may be dropped */
	text	   *scope;
	text	   *key;
} Begun;

/* Those of the present transaction; in TopTransactionContext. */
static List *begun = NIL;

/*
 * SnapshotSelf sees all that this transaction has written, the last command
 * included, at every isolation level, and leaves no predicate lock.
 */
static bool
is_unfinished(Request *request, const Begun *one)
{
	request->scope = one->scope;
	request->key = one->key;
	return request_look(request, SnapshotSelf) && !request->finished &&
		!request->has_lease;
}

static void
check_all_finished(void)
{
	Request		request;
	ListCell   *cell;
	Oid			relid = ((Begun *) llast(begun))->relid;

	/* DROP EXTENSION in the same transaction took the requests with it. */
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return;
	request_open(&request, NULL, NULL, AccessShareLock);
	foreach(cell, begun)
	{
		Begun	   *one = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (one->relid == relid && is_unfinished(&request, one))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%s is not finished", request_name(&request)),
					 errdetail("This transaction began it without a lease and cannot commit before it has a response."),
					 errhint("Call teller.finish_request() before COMMIT, or pass a lease to teller.begin_request().")));
	}
	request_close(&request);
}

/* The list is in memory that goes with the transaction. */
static void
watch_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (begun != NIL)
				check_all_finished();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			begun = NIL;
			break;
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			break;
	}
}

static text *
copy_text(const text *value)
{
	return (text *) DatumGetPointer(datumCopy(PointerGetDatum(value), false,
											  -1));
}

void
request_must_finish(const Request *request)
{
	static bool registered = false;
	MemoryContext old;
	Begun	   *one;

	if (!registered)
	{
		RegisterXactCallback(watch_end, NULL);
		registered = true;
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	one = palloc(sizeof(Begun));
	one->relid = RelationGetRelid(request->rel->heap);
	one->scope = copy_text(request->scope);
	one->key = copy_text(request->key);
	begun = lappend(begun, one);
	MemoryContextSwitchTo(old);
}
