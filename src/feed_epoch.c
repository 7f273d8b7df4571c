/*-------------------------------------------------------------------------
 *
 * feed_epoch.c
 *	  The numbers by which the rows of the journal are ordered in the feed.
 *
 * A row carries the number of its transaction: epoch * 2^48 + the full
 * (64-bit) id of the top-level transaction.  Transaction ids begin anew where
 * a dump is restored, and a promoted standby may give out again those that
 * its primary had given out last.  So each server, and each timeline of it,
 * is an epoch of its own, one higher than the last that the table feed_epoch
 * knows.
 *
 * The row of an epoch is made by the first transaction that writes in it, and
 * by each other one that does not see such a row yet: all of them derive the
 * same number from the same older rows, so nobody waits for anybody, and
 * whoever rolls back takes only a row of its own along.  A committed journal
 * row of an epoch therefore never stands without a row of the epoch.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "feed_epoch.h"
#include "rel.h"

#define XID_BITS 48
#define XID_MASK ((UINT64CONST(1) << XID_BITS) - 1)
#define EPOCH_MAX 32766			/* one more still fits into 63 bits */

/* The columns of teller.feed_epoch. */
enum
{
	COL_NUMBER,
	COL_TX,
	COL_SYSTEM_IDENTIFIER,
	COL_TIMELINE,
	COL_MADE_AT,
	COL_COUNT
};

typedef struct Epoch
{
	int64		number;
	uint64		first_xid;		/* the lowest that made a row of it */
	int64		system;			/* 0: rows of more than one server */
	int32		timeline;
	bool		committed;		/* a row of it is not our own */
} Epoch;

typedef struct EpochList
{
	int			count;
	Epoch	   *epochs;			/* by number */
} EpochList;

/* The epoch that this backend writes in, once a row of it is committed. */
static int64 known_number = 0;
static Oid	known_table = InvalidOid;

/* ---- the table -------------------------------------------------------- */

static int64
epoch_base(int64 number)
{
	return (int64) ((uint64) number << XID_BITS);
}

/* The rows of one epoch follow each other; the first has the lowest xid. */
static void
add_row(EpochList *list, TupleTableSlot *slot)
{
	FullTransactionId own = GetTopFullTransactionIdIfAny();
	uint64		xid;
	int64		number;
	int64		system;
	Epoch	   *epoch;

	slot_getallattrs(slot);
	number = DatumGetInt64(slot->tts_values[COL_NUMBER]);
	xid = (uint64) DatumGetInt64(slot->tts_values[COL_TX]) & XID_MASK;
	system = DatumGetInt64(slot->tts_values[COL_SYSTEM_IDENTIFIER]);
	epoch = &list->epochs[Max(list->count - 1, 0)];
	if (list->count == 0 || epoch->number != number)
	{
		list->epochs = list->count == 0 ? palloc(sizeof(Epoch)) :
			repalloc(list->epochs, sizeof(Epoch) * (list->count + 1));
		epoch = &list->epochs[list->count++];
		memset(epoch, 0, sizeof(Epoch));
		epoch->number = number;
		epoch->first_xid = xid;
		epoch->system = system;
		epoch->timeline = DatumGetInt32(slot->tts_values[COL_TIMELINE]);
	}
	if (epoch->system != system ||
		epoch->timeline != DatumGetInt32(slot->tts_values[COL_TIMELINE]))
		epoch->system = 0;
	if (!FullTransactionIdIsValid(own) || xid != U64FromFullTransactionId(own))
		epoch->committed = true;
}

static void
read_epochs(Rel *rel, Snapshot snapshot, EpochList *list)
{
	TupleTableSlot *slot = rel_make_slot(rel);
	RelScan    *scan = rel_scan_begin(rel, "feed_epoch_pkey", snapshot, 0,
									  NULL);

	memset(list, 0, sizeof(EpochList));
	while (rel_scan_next(scan, slot))
		add_row(list, slot);
	rel_scan_end(scan);
	ExecDropSingleTupleTableSlot(slot);
}

static bool
is_of_this_server(const Epoch *epoch)
{
	return epoch->system == (int64) GetSystemIdentifier();
}

/* ---- writing ---------------------------------------------------------- */

static void
forget(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == known_table)
		known_number = 0;
}

static void
make_epoch(Rel *rel, int64 number, uint64 xid)
{
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};

	if (number > EPOCH_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("table teller.feed_epoch has no number left"),
				 errdetail("Each server and each timeline takes one of %d.",
						   EPOCH_MAX)));
	values[COL_NUMBER] = Int64GetDatum(number);
	values[COL_TX] = Int64GetDatum(epoch_base(number) + (int64) xid);
	values[COL_SYSTEM_IDENTIFIER] =
		Int64GetDatum((int64) GetSystemIdentifier());
	values[COL_TIMELINE] = Int32GetDatum((int32) GetWALInsertionTimeLine());
	values[COL_MADE_AT] = TimestampTzGetDatum(clock_read());
	rel_insert(rel, values, nulls);
	CommandCounterIncrement();
}

/*
 * The epoch to write in.  What is remembered was committed by somebody else,
 * so a rollback of ours does not take it away.  A background worker looks
 * anew each time: it may be at work while a dump is being restored.
 */
static int64
writing_epoch(uint64 xid)
{
	static bool registered = false;
	Rel		   *rel = rel_open(REL_FEED_EPOCH, RowExclusiveLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	EpochList	list;
	const Epoch *last;
	int64		number;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
		registered = true;
	}
	read_epochs(rel, snapshot, &list);
	rel_forget_snapshot(snapshot);
	last = list.count > 0 ? &list.epochs[list.count - 1] : NULL;
	number = last != NULL ? last->number : 0;
	if (last == NULL || !is_of_this_server(last) ||
		last->timeline != (int32) GetWALInsertionTimeLine())
		make_epoch(rel, ++number, xid);
	else if (last->committed && MyBgworkerEntry == NULL)
	{
		known_table = RelationGetRelid(rel->heap);
		known_number = number;
	}
	rel_close(rel);
	return number;
}

int64
feed_epoch_tx(void)
{
	uint64		xid = U64FromFullTransactionId(GetTopFullTransactionId());
	int64		number = known_number;

	if (xid > XID_MASK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("transaction ids beyond 2^%d cannot be recorded",
						XID_BITS)));
	if (number == 0)
		number = writing_epoch(xid);
	return epoch_base(number) + (int64) xid;
}

/* ---- reading ---------------------------------------------------------- */

/* The oldest transaction that the snapshot takes for running. */
static uint64
snapshot_xmin(Snapshot snapshot)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32		era = EpochFromFullTransactionId(next);

	if (snapshot->xmin > XidFromFullTransactionId(next))
		era--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(era,
																	 snapshot->xmin));
}

int64
feed_epoch_horizon(Snapshot snapshot)
{
	Rel		   *rel = rel_open(REL_FEED_EPOCH, AccessShareLock);
	uint64		xmin = snapshot_xmin(snapshot);
	EpochList	list;
	int			i;

	read_epochs(rel, snapshot, &list);
	rel_close(rel);
	if (list.count == 0)
		return 0;
	i = list.count - 1;

	/* Of another server: restored, and all of it is decided. */
	if (!is_of_this_server(&list.epochs[i]))
		return epoch_base(list.epochs[i].number + 1);

	/*
	 * A transaction that was prepared on an older timeline is still open in
	 * its own epoch: nothing of a later one is shown before it has ended.
	 */
	while (i > 0 && list.epochs[i].first_xid > xmin &&
		   is_of_this_server(&list.epochs[i - 1]))
		i--;
	return epoch_base(list.epochs[i].number) + (int64) xmin;
}
