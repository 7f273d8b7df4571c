/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  What the worker has before it: for each ledger and server the
 *	  operations that are to be sent.
 *
 * All of it is in the rows and in two indexes, and a look goes through them:
 * ledger by ledger, first for deadlines, then for what is due.  That costs
 * next to nothing, unless something keeps an old snapshot: then the entries
 * of all operations that ended since are still in the indexes, before and
 * among those that matter, and each look would pass over all of them.  So a
 * look measures itself.  One that took long is followed by short ones for a
 * while, which visit only the queues that are known, and these only from
 * where the last look found something, less a few seconds for transactions
 * that commit late.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "operation.h"
#include "outcome.h"
#include "queue.h"
#include "settlement.h"

#define MAX_TICKS		256		/* deadlines taken up in one look */
#define AGAIN_MS		50		/* when there were more */

/* A look that takes longer than this is made less often. */
#define LONG_LOOK_US	2000
#define REST_FACTOR		20		/* times what it took */
#define SHORTEST_REST_MS 250
#define LATE_COMMIT_MS	2000

/* What the last long look found, in a context of its own. */
static MemoryContext context = NULL;
static List *queues = NIL;		/* of Queue */
static TimestampTz long_look_at = DT_NOEND; /* when the next is due */

/* One look. */
typedef struct Look
{
	Rel		   *rel;
	TupleTableSlot *slot;
	Snapshot	snapshot;
	TimestampTz now;
	TimestampTz next;
	int			ticks;
	List	   *due;
} Look;

/* ---- one queue -------------------------------------------------------- */

RelScan *
queue_scan(Rel *rel, const Queue *queue, Snapshot snapshot)
{
	Datum		keys[2] = {Int64GetDatum(queue->ledger),
	NameGetDatum(&queue->server)};

	return rel_scan_from(rel, "operation_due", snapshot, 2, keys, queue->from);
}

TimestampTz
queue_due_at(TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	return slot->tts_isnull[OPERATION_NEXT_TRY_AT] ? DT_NOEND :
		DatumGetTimestampTz(slot->tts_values[OPERATION_NEXT_TRY_AT]);
}

static void
look_at_queue(Look *look, Queue *queue)
{
	RelScan    *scan = queue_scan(look->rel, queue, look->snapshot);
	TimestampTz due = DT_NOEND;

	if (rel_scan_next(scan, look->slot))
		due = queue_due_at(look->slot);
	rel_scan_end(scan);
	queue->from = Min(due, TimestampTzPlusMilliseconds(look->now,
													   -LATE_COMMIT_MS));
	if (due <= look->now)
		look->due = lappend(look->due, queue);
	else
		look->next = Min(look->next, due);
}

/* ---- one ledger ------------------------------------------------------- */

/* What waits past its not_after: refunded if it never ran, else in doubt. */
static void
look_for_deadlines(Look *look, int64 ledger)
{
	Datum		keys[1] = {Int64GetDatum(ledger)};
	RelScan    *scan = rel_scan_begin(look->rel, "operation_deadline",
									  look->snapshot, 1, keys);
	TupleTableSlot *slot = look->slot;

	while (look->ticks < MAX_TICKS && rel_scan_next(scan, slot))
	{
		TimestampTz not_after;

		slot_getallattrs(slot);
		not_after = DatumGetTimestampTz(slot->tts_values[OPERATION_NOT_AFTER]);
		if (not_after > look->now)
		{
			look->next = Min(look->next, not_after);
			break;
		}
		outcome_add_tick(ledger, DatumGetUUIDP(slot->tts_values[OPERATION_ID]));
		look->ticks++;
	}
	rel_scan_end(scan);
	if (look->ticks == MAX_TICKS)
		look->next = Min(look->next,
						 TimestampTzPlusMilliseconds(look->now, AGAIN_MS));
}

static void
look_at_ledger(Look *look, int64 ledger)
{
	ListCell   *cell;

	look_for_deadlines(look, ledger);
	foreach(cell, settlement_servers(ledger))
	{
		Queue	   *queue = MemoryContextAllocZero(context, sizeof(Queue));
		MemoryContext old = MemoryContextSwitchTo(context);

		queue->ledger = ledger;
		namestrcpy(&queue->server, lfirst(cell));
		queue->from = DT_NOBEGIN;
		queues = lappend(queues, queue);
		MemoryContextSwitchTo(old);
		look_at_queue(look, queue);
	}
}

/* ---- looks ------------------------------------------------------------ */

/* The next ledger with something open; the first if *ledger is not set. */
static bool
next_ledger(Look *look, int64 *ledger, bool *is_set)
{
	RelScan    *scan = *is_set ?
		rel_scan_after(look->rel, "operation_open", look->snapshot, *ledger) :
		rel_scan_begin(look->rel, "operation_open", look->snapshot, 0, NULL);
	bool		found = rel_scan_next(scan, look->slot);

	if (found)
	{
		slot_getallattrs(look->slot);
		*ledger = DatumGetInt64(look->slot->tts_values[OPERATION_LEDGER]);
		*is_set = true;
	}
	rel_scan_end(scan);
	return found;
}

static void
long_look(Look *look)
{
	int64		ledger = 0;
	bool		is_set = false;
	instr_time	start;
	instr_time	took;
	int64		took_us;
	int64		rest_ms = 0;

	INSTR_TIME_SET_CURRENT(start);
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "pg_teller queues",
										ALLOCSET_DEFAULT_SIZES);

	/* Should it fail half-way, the next one is long too. */
	long_look_at = DT_NOEND;
	queues = NIL;
	MemoryContextReset(context);
	while (next_ledger(look, &ledger, &is_set))
	{
		CHECK_FOR_INTERRUPTS();
		look_at_ledger(look, ledger);
	}
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, start);
	took_us = (int64) INSTR_TIME_GET_MICROSEC(took);
	if (took_us > LONG_LOOK_US)
		rest_ms = Max(SHORTEST_REST_MS, took_us * REST_FACTOR / 1000);
	long_look_at = TimestampTzPlusMilliseconds(look->now, rest_ms);
}

static void
short_look(Look *look)
{
	ListCell   *cell;

	foreach(cell, queues)
		look_at_queue(look, lfirst(cell));
	look->next = Min(look->next, long_look_at);
}

List *
queue_look(Rel *rel, TupleTableSlot *slot, TimestampTz now, TimestampTz *next)
{
	static TimestampTz last = 0;
	Look		look = {.rel = rel,.slot = slot,.now = now,.next = *next};

	look.snapshot = rel_newest_snapshot();

	/* Not known yet, due, or the clock was set back. */
	if (long_look_at == DT_NOEND || now >= long_look_at || now < last)
		long_look(&look);
	else
		short_look(&look);
	last = now;
	rel_forget_snapshot(look.snapshot);
	*next = look.next;
	return look.due;
}
