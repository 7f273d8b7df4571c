/*-------------------------------------------------------------------------
 *
 * rel.h
 *	  Direct access to the tables of schema teller.
 *
 * The money moves through the table access method, not through SPI: find a
 * row by its primary key, lock it, write its new version, insert rows with
 * their index entries.  Indexes, partial indexes and CHECK constraints that
 * an administrator added are honoured; triggers, rules and row security are
 * refused, because they would be passed over.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_REL_H
#define TELLER_REL_H

#include "access/htup.h"
#include "executor/tuptable.h"
#include "nodes/lockoptions.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* The tables, by the names in schema.sql. */
typedef enum RelId
{
	REL_LEDGER,
	REL_ASSET,
	REL_LEDGER_GRANT,
	REL_ACCOUNT,
	REL_JOURNAL,
	REL_PERIOD,
	REL_HOLD,
	REL_KEY,
	REL_KEY_HORIZON,
	REL_INSTANCE,
	REL_SETTLEMENT,
	REL_OPERATION,
	REL_ATTEMPT,
	REL_FINDING,
	REL_CONTINUATION,
	REL_MEMO,
	REL_REMOTE_GRANT,
	REL_REMOTE_MANDATE,
	REL_REQUEST,
	REL_REQUEST_HORIZON,
	REL_FEED_EPOCH,
	REL_SEAL
} RelId;

#define REL_COUNT (REL_SEAL + 1)

struct RelPlan;

/* A table opened for the length of one call. */
typedef struct Rel
{
	Relation	heap;
	bool		writes;
	struct RelPlan *plan;		/* what this backend remembers of the table */
	Relation   *indexes;		/* those opened so far, else NULL */
	TupleTableSlot *slot;		/* for the rows that are written */
} Rel;

/*
 * rel_open: open a table with RowExclusiveLock (to write) or
 * AccessShareLock (to read).  55000 if the extension's tables are not there,
 * are not ordinary local tables, or are of a version that this library does
 * not know.  The lock stays until the transaction ends; the relation must be
 * closed by rel_close unless an error ends the call.
 */
extern Rel *rel_open(RelId id, LOCKMODE lockmode);
extern void rel_close(Rel *rel);
extern Oid	rel_oid(RelId id);

/* A slot that fits the table; dropped by the caller. */
extern TupleTableSlot *rel_make_slot(Rel *rel);

/*
 * rel_fetch: the row with this primary key that the snapshot sees, into slot.
 * keys: as many as the primary key has columns, or a prefix of them.
 */
extern bool rel_fetch(Rel *rel, Snapshot snapshot, int nkeys,
					  const Datum *keys, TupleTableSlot *slot);

/*
 * rel_lock_row: find the newest version of the row with this primary key,
 * lock it in the given mode until the transaction ends, waiting as long as
 * need be, and return that version.  False if there is no such row.  At
 * REPEATABLE READ and above a row changed since the transaction's snapshot
 * is 40001.
 */
extern bool rel_lock_row(Rel *rel, int nkeys, const Datum *keys,
						 LockTupleMode mode, TupleTableSlot *slot);

/*
 * rel_lock_version: lock the row version in the slot, which the snapshot sees,
 * or the one that it has become; *changed tells whether it was another.
 * False if the row is deleted.
 */
extern bool rel_lock_version(Rel *rel, Snapshot snapshot, LockTupleMode mode,
							 TupleTableSlot *slot, bool *changed);

/* 40001: what is seen in the transaction's snapshot is no longer so. */
extern void rel_raise_stale(void);

/*
 * To lock many rows one after another: as rel_lock_row, for less.
 * rel_lock_begin: in this mode, those that are wanted, as they are found and
 * as they are when they are locked.  rel_lock_next: the next one, by the same
 * number of keys each time.  An unwanted one is in the slot, not locked or (it
 * changed meanwhile) locked for nothing.  rel_lock_end gives back the memory,
 * the locks stay.
 */
typedef struct RelLocker RelLocker;

typedef enum RelLocked
{
	REL_ABSENT,
	REL_LOCKED,
	REL_UNWANTED
} RelLocked;

extern RelLocker *rel_lock_begin(Rel *rel, LockTupleMode mode,
								 bool (*wanted) (TupleTableSlot *slot));
extern RelLocked rel_lock_next(RelLocker *locker, int nkeys, const Datum *keys,
						  TupleTableSlot *slot);
extern void rel_lock_end(RelLocker *locker);

/*
 * rel_lock_if_free: lock the row that a scan put into the slot.  False, and
 * the slot is not to be used, if that would have to wait or if the row has
 * changed since the scan's snapshot.
 */
extern bool rel_lock_if_free(Rel *rel, TupleTableSlot *slot,
							 LockTupleMode mode);

/*
 * rel_await_row: the committed row (or the transaction's own) with this
 * primary key.  Waits for a transaction that is inserting or deleting one.
 * At REPEATABLE READ and above a row newer than the snapshot is 40001.
 */
extern bool rel_await_row(Rel *rel, int nkeys, const Datum *keys,
						  TupleTableSlot *slot);

/* The same, by the first columns of another unique index. */
extern bool rel_await_row_by(Rel *rel, const char *index_name, int nkeys,
							 const Datum *keys, TupleTableSlot *slot);

/* Write a row and its index entries. */
extern void rel_insert(Rel *rel, Datum *values, bool *nulls);

/*
 * To write many rows at once, at most max: rel_bulk_add tests the constraints
 * of a row and writes it, then or later, and rel_bulk_end writes what is left
 * and the index entries.  rel_bulk_memory is for what values[] points to: it
 * is given back when the row is written.
 */
typedef struct RelBulk RelBulk;

extern RelBulk *rel_bulk_begin(Rel *rel, int max);
extern MemoryContext rel_bulk_memory(RelBulk *bulk);
extern void rel_bulk_add(RelBulk *bulk, const Datum *values,
						 const bool *nulls);
extern void rel_bulk_end(RelBulk *bulk);

/*
 * rel_insert_if_absent: as rel_insert, but answers false, having written nothing,
 * when a unique index has the key already or another transaction is just
 * inserting it.  The caller then waits with rel_await_row.
 */
extern bool rel_insert_if_absent(Rel *rel, Datum *values, bool *nulls);

/*
 * rel_update: write a new version of a row that rel_lock_row locked.
 * replace[] tells which columns get values[]/nulls[]; the others stay.
 */
extern void rel_update(Rel *rel, TupleTableSlot *old, Datum *values,
					   bool *nulls, bool *replace);

/* Delete a row that rel_lock_row locked. */
extern void rel_delete(Rel *rel, TupleTableSlot *slot);

/* A scan over an index by a prefix of its columns; see rel_scan_next. */
typedef struct RelScan RelScan;

extern RelScan *rel_scan_begin(Rel *rel, const char *index_name,
							   Snapshot snapshot, int nkeys,
							   const Datum *keys);

/*
 * rel_scan_after: the rows whose first column, a bigint, is above key, in the
 * order of the index: to skip from ledger to ledger.
 */
extern RelScan *rel_scan_after(Rel *rel, const char *index_name,
							   Snapshot snapshot, int64 key);

/*
 * rel_scan_past: those of rel_scan_begin whose next column is above bound, in
 * the order of the index.
 */
extern RelScan *rel_scan_past(Rel *rel, const char *index_name,
							  Snapshot snapshot, int nkeys, const Datum *keys,
							  Datum bound);

/*
 * rel_scan_from: those of rel_scan_begin whose next column, a timestamptz, is
 * at least from.
 */
extern RelScan *rel_scan_from(Rel *rel, const char *index_name,
							  Snapshot snapshot, int nkeys, const Datum *keys,
							  TimestampTz from);
extern bool rel_scan_next(RelScan *scan, TupleTableSlot *slot);
extern void rel_scan_end(RelScan *scan);

/*
 * The snapshot in which a call looks for rows: the newest at READ COMMITTED,
 * the transaction's own above it.  Registered; rel_forget_snapshot ends it.
 */
extern Snapshot rel_newest_snapshot(void);
extern void rel_forget_snapshot(Snapshot snapshot);

#endif							/* TELLER_REL_H */
