/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  What the worker has before it: for each ledger and server the
 *	  operations that are to be sent.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_QUEUE_H
#define TELLER_QUEUE_H

#include "nodes/pg_list.h"

#include "rel.h"

/* What one ledger has for one server. */
typedef struct Queue
{
	int64		ledger;
	NameData	server;
	TimestampTz from;			/* nothing to do is due before this */
} Queue;

/*
 * queue_look: the queues in which something is due by now, in the current
 * memory context; valid until the next look.  Gives what is past its deadline
 * to outcome.c.  *next is lowered to when to look again.  rel: operations.
 */
extern List *queue_look(Rel *rel, TupleTableSlot *slot, TimestampTz now,
						TimestampTz *next);

/* The operations of a queue by the time when they are due. */
extern RelScan *queue_scan(Rel *rel, const Queue *queue, Snapshot snapshot);

/* When the operation in the slot is due, DT_NOEND if never. */
extern TimestampTz queue_due_at(TupleTableSlot *slot);

#endif							/* TELLER_QUEUE_H */
