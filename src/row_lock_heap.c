/*-------------------------------------------------------------------------
 *
 * row_lock_heap.c
 *	  Lock a row of a table of the user's own, straight in the table.
 *
 * The row is looked up in the primary key's index with a snapshot, and that
 * version of it is locked, at first without waiting.  While nothing is in the
 * way the next row is looked up by the same scan with the same snapshot.
 *
 * Whatever is in the way makes the snapshot old: somebody has the row, or has
 * changed or deleted it.  So the scan and the snapshot go before anything is
 * waited for, and the row is looked up again by its key after it.  Thus at
 * READ COMMITTED a row that was deleted and inserted again is found, and one
 * that was given another key is not locked at all.  FOR UPDATE would lock it,
 * though it leaves it out of its answer: out of order, so that even sorted
 * calls could deadlock.
 *
 * Key share alone is compatible with an update that is going on.  The versions
 * that such an update has made are locked, too.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/itemptr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "row_lock.h"

struct RowLockHeap
{
	Relation	heap;
	Relation	index;			/* of the primary key */
	LockTupleMode strength;
	ScanKeyData key;
	TupleTableSlot *slot;
	Snapshot	snapshot;		/* registered, or NULL: take a fresh one */
	IndexScanDesc scan;			/* with that snapshot, or NULL */
};

RowLockHeap *
row_lock_heap_begin(RowTable *table, Relation rel, LockTupleMode strength)
{
	RowLockHeap *way = palloc0(sizeof(RowLockHeap));
	Oid			type;
	Oid			equals;

	way->heap = rel;
	way->index = index_open(table->key_index, RowShareLock);
	way->strength = strength;
	way->slot = table_slot_create(rel, NULL);
	type = way->index->rd_opcintype[0];
	equals = get_opfamily_member(way->index->rd_opfamily[0], type, type,
								 BTEqualStrategyNumber);
	ScanKeyEntryInitialize(&way->key, 0, 1, BTEqualStrategyNumber, InvalidOid,
						   way->index->rd_indcollation[0], get_opcode(equals),
						   (Datum) 0);
	return way;
}

/* Let go of what the last look has pinned. */
static void
row_lock_heap_unpin(RowLockHeap *way)
{
	ExecClearTuple(way->slot);
	if (way->scan != NULL)
		index_endscan(way->scan);
	way->scan = NULL;
}

/* The next look is to see what has been committed by then. */
static void
row_lock_heap_refresh(RowLockHeap *way)
{
	row_lock_heap_unpin(way);
	if (way->snapshot != NULL)
		UnregisterSnapshot(way->snapshot);
	way->snapshot = NULL;
}

void
row_lock_heap_end(RowLockHeap *way)
{
	row_lock_heap_refresh(way);
	ExecDropSingleTupleTableSlot(way->slot);
	index_close(way->index, NoLock);
	pfree(way);
}

/* Put the row with this key into the slot, if the snapshot sees it. */
static bool
row_lock_heap_look(RowLockHeap *way, Datum key)
{
	if (way->snapshot == NULL)
		way->snapshot = RegisterSnapshot(IsolationUsesXactSnapshot() ?
										 GetTransactionSnapshot() :
										 GetLatestSnapshot());
	if (way->scan == NULL)
		way->scan = teller_index_beginscan(way->heap, way->index,
										   way->snapshot, 1);
	way->key.sk_argument = key;
	index_rescan(way->scan, &way->key, 1, NULL, 0);
	return index_getnext_slot(way->scan, ForwardScanDirection, way->slot);
}

/*
 * Lock the version in the slot.  Nothing is kept pinned during a wait, and
 * versions that come after it are not locked then: what they are is not known.
 */
static TM_Result
row_lock_heap_try(RowLockHeap *way, LockWaitPolicy policy,
				  TM_FailureData *failure)
{
	ItemPointerData tid = way->slot->tts_tid;
	uint8		flags = 0;

	if (policy == LockWaitBlock)
		row_lock_heap_unpin(way);
	else if (way->strength == LockTupleKeyShare)
		flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
	return table_tuple_lock(way->heap, &tid, way->snapshot, way->slot,
							GetCurrentCommandId(false), way->strength, policy,
							flags, failure);
}

/* The version that the snapshot saw is not the last one any more. */
static void
row_lock_heap_check_stale(const TM_FailureData *failure)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
	if (ItemPointerIndicatesMovedPartitions(&failure->ctid))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("tuple to be locked was already moved to another partition due to concurrent update")));
}

RowLockAnswer
row_lock_heap_row(RowLockHeap *way, Datum key, bool wait)
{
	LockWaitPolicy policy = LockWaitSkip;
	TM_FailureData failure;
	TM_Result	result;

	while (row_lock_heap_look(way, key))
	{
		result = row_lock_heap_try(way, policy, &failure);
		if (result == TM_Ok && policy == LockWaitSkip)
			return ROW_LOCKED;
		row_lock_heap_refresh(way);
		switch (result)
		{
			case TM_Ok:
				if (way->strength != LockTupleKeyShare)
					return ROW_LOCKED;
				policy = LockWaitSkip;	/* later versions, too */
				break;
			case TM_WouldBlock:
				if (!wait)
					return ROW_TAKEN;
				policy = LockWaitBlock;
				break;
			case TM_Updated:
			case TM_Deleted:
				row_lock_heap_check_stale(&failure);
				break;
			case TM_Invisible:
			case TM_SelfModified:
			case TM_BeingModified:
				elog(ERROR, "row of table \"%s\" cannot be locked (%d)",
					 RelationGetRelationName(way->heap), (int) result);
		}
		CHECK_FOR_INTERRUPTS();
	}
	return ROW_MISSING;
}
