/*-------------------------------------------------------------------------
 *
 * row_lock.h
 *	  Two ways to lock one row of a table of the user's own by its key.
 *
 * row_lock_heap.c goes through the primary key's index to the table itself;
 * it is for tables whose rows are all in their own heap and of whose rows
 * row security hides none from the caller.  row_lock_plan.c runs saved
 * statements and does for every table.  Both give the same answers; the
 * caller has checked privileges.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_ROW_LOCK_H
#define TELLER_ROW_LOCK_H

#include "nodes/lockoptions.h"
#include "utils/relcache.h"

#include "row_table.h"

typedef enum RowLockAnswer
{
	ROW_LOCKED,
	ROW_TAKEN,					/* another transaction has it */
	ROW_MISSING					/* or hidden by row security */
} RowLockAnswer;

typedef struct RowLockHeap RowLockHeap;
typedef struct RowLockPlan RowLockPlan;

/* rel stays open until row_lock_heap_end. */
extern RowLockHeap *row_lock_heap_begin(RowTable *table, Relation rel,
										LockTupleMode strength);
extern void row_lock_heap_end(RowLockHeap *way);

/*
 * row_lock_plan_begin: within SPI_connect, like row_lock_plan_row.  hides:
 * row security is enforced on the caller.
 */
extern RowLockPlan *row_lock_plan_begin(RowTable *table,
										LockTupleMode strength, bool hides);

/*
 * Lock the row with this key until the transaction ends.  If another
 * transaction has it: wait, or answer ROW_TAKEN.  At READ COMMITTED the row
 * that is locked is the one that has the key when the lock is got, also if it
 * was changed, or deleted and inserted again, while it was waited for.
 * Errors: 40001 at REPEATABLE READ and above, for a row changed since the
 * snapshot; 40P01, 55P03 by lock_timeout and 57014 while waiting.
 */
extern RowLockAnswer row_lock_heap_row(RowLockHeap *way, Datum key, bool wait);
extern RowLockAnswer row_lock_plan_row(RowLockPlan *way, Datum key, bool wait);

#endif							/* TELLER_ROW_LOCK_H */
