/*-------------------------------------------------------------------------
 *
 * feed.h
 *	  The journal of a ledger in an order in which nothing comes late.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_FEED_H
#define TELLER_FEED_H

#include "utils/uuid.h"

#include "rel.h"

/* A place in the feed: just after the row with this tx and id. */
typedef struct FeedPlace
{
	int64		tx;				/* 0: before the first row */
	pg_uuid_t	id;
} FeedPlace;

typedef struct FeedScan
{
	Rel		   *rel;
	Snapshot	snapshot;
	int64		ledger;
	int64		horizon;		/* rows from this tx on are not shown */
	FeedPlace	place;			/* the last row that was shown */
	bool		within;			/* the scan is over the rest of place.tx */
	RelScan    *scan;
} FeedScan;

/*
 * feed_begin: the rows of a ledger after a place, by (tx, id), as far as the
 * snapshot knows all that can come before them.  The snapshot outlasts the
 * scan.  Locks: AccessShareLock on the journal.
 * feed_next: the next row into the slot, which fits the journal; false at the
 * end.  feed_end: must be called unless an error ends the call.
 */
extern void feed_begin(FeedScan *feed, int64 ledger, const FeedPlace *after,
					   Snapshot snapshot);
extern bool feed_next(FeedScan *feed, TupleTableSlot *slot);
extern void feed_end(FeedScan *feed);

#endif							/* TELLER_FEED_H */
