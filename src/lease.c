/*-------------------------------------------------------------------------
 *
 * lease.c
 *	  Operations that an application has claimed, and for how long.
 *
 * A claim (pull.c) is an operation that is in_flight or fencing, with the
 * lease in next_try.  Whoever has it may be in the middle of a call when the
 * lease ends, so it is then as if a worker had died: the attempt counts as
 * lost, the operation is dirty, and the next attempt goes under the same memo
 * and with a higher token.  Money never moves here.
 *
 * Whoever calls teller.claim() looks for leases of that server that ran out,
 * and the worker, where there is one, for all of them.  A lease that has run
 * out while nobody has looked binds nobody: operation_extend() refuses.
 *
 * A lookup leaves its operation in_doubt.  Such a claim needs no look: the
 * operation is due again when the lease ends, and the next claim ends the
 * attempt (operation_claim).
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "instance.h"
#include "lease.h"
#include "queue.h"
#include "worker.h"

/* The worker looks no more often than this, ... */
#define SHORTEST_REST_MS 250
#define REST_FACTOR		20		/* ... or times what a look took */
#define BUSY_RETRY_MS	50
#define ERROR_RETRY_MS	1000

bool
lease_is_kept(const NameData *server)
{
	Oid			oid = get_foreign_server_oid(NameStr(*server), true);
	const char *problem = NULL;
	Server	   *found = OidIsValid(oid) ? server_try(oid, &problem) : NULL;

	return found != NULL && found->kind == SERVER_PULL;
}

void
lease_lapse(Rel *rel, TupleTableSlot *slot, int64 ledger,
			const NameData *server, TimestampTz now)
{
	Snapshot	snapshot = rel_newest_snapshot();
	Datum		keys[2] = {Int64GetDatum(ledger), NameGetDatum(server)};
	RelScan    *scan = rel_scan_begin(rel, "operation_out", snapshot, 2, keys);

	while (rel_scan_next(scan, slot) && queue_due_at(slot) <= now)
		(void) operation_lapse(rel, slot);
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
}

/* ---- the worker ------------------------------------------------------- */

/* One look of the worker. */
typedef struct Look
{
	Rel		   *rel;
	TupleTableSlot *slot;
	TimestampTz now;
	TimestampTz next;			/* when the next lease ends */
	NameData	server;			/* of the last row */
	bool		kept;			/* what lease_is_kept() said of it */
	bool		known;
} Look;

static void
look_at_row(Look *look)
{
	TimestampTz ends = queue_due_at(look->slot);
	Name		server =
		DatumGetName(look->slot->tts_values[OPERATION_SERVER]);

	if (!look->known ||
		strcmp(NameStr(look->server), NameStr(*server)) != 0)
	{
		look->server = *server;
		look->kept = lease_is_kept(&look->server);
		look->known = true;
	}
	if (!look->kept)
		return;
	if (ends > look->now)
		look->next = Min(look->next, ends);
	else if (!operation_lapse(look->rel, look->slot))
		look->next =
			Min(look->next, TimestampTzPlusMilliseconds(look->now,
														BUSY_RETRY_MS));
}

/* All that is out: the index has no more entries than that. */
static void
look_at_all(Look *look)
{
	Snapshot	snapshot = rel_newest_snapshot();
	RelScan    *scan;

	look->rel = rel_open(REL_OPERATION, RowExclusiveLock);
	look->slot = rel_make_slot(look->rel);
	scan = rel_scan_begin(look->rel, "operation_out", snapshot, 0, NULL);
	while (rel_scan_next(scan, look->slot))
	{
		CHECK_FOR_INTERRUPTS();
		look_at_row(look);
	}
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(look->slot);
	rel_close(look->rel);
}

static TimestampTz
run(TimestampTz now)
{
	Look		look = {.now = now,.next = DT_NOEND};

	if (!worker_transaction_begin())
		return DT_NOEND;
	if (instance_state() == INSTANCE_OURS)
		look_at_all(&look);
	worker_transaction_end();
	return look.next;
}

/*
 * The look at the queues rests in the same way.  Each asks to be called again
 * at the end of its own rest, so a rest that is nearly over is over; or they
 * would call each other for ever.
 */
static bool
is_resting(TimestampTz now, TimestampTz rest_until)
{
	return TimestampTzPlusMilliseconds(now, SHORTEST_REST_MS / 5) < rest_until;
}

/*
 * A claim wakes the worker if its lease ends before the worker would look.
 * If that is so soon after the last look that this one is put off, the next
 * one makes up for it.
 */
TimestampTz
lease_run(void)
{
	static TimestampTz last = 0;
	static TimestampTz rest_until = DT_NOBEGIN;
	TimestampTz now = clock_read();
	volatile TimestampTz next = DT_NOEND;
	long		took_ms;

	/* A rest that began later than now: a clock set back. */
	if (now >= last && is_resting(now, rest_until))
		return rest_until;
	PG_TRY();
	{
		next = run(now);
	}
	PG_CATCH();
	{
		worker_report_error();
		next = TimestampTzPlusMilliseconds(clock_read(), ERROR_RETRY_MS);
	}
	PG_END_TRY();
	last = now;
	took_ms = TimestampDifferenceMilliseconds(now, clock_read());
	rest_until = TimestampTzPlusMilliseconds(clock_read(),
											 Max(SHORTEST_REST_MS,
												 took_ms * REST_FACTOR));
	return next;
}
