/*-------------------------------------------------------------------------
 *
 * rel_bulk.c
 *	  Many rows at once; see rel.h.
 *
 * Rows are locked one after another, in the caller's order, through one index
 * scan and one snapshot: to begin and end both for each row costs more than
 * to find it.
 *
 * Rows are inserted as COPY does it, many to a page and to a record of the
 * WAL, but with their index entries at the end: index by index, in the order
 * of the keys, so that entries that are neighbours meet the same pages while
 * those are in the CPU's caches.  Until then only the columns that are indexed
 * are kept of a row.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_index.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/sortsupport.h"

#include "compat.h"
#include "rel_private.h"

/* How many rows the table access method gets at a time. */
#define BULK_CHUNK 256

/* What they need, as a rule; kept from one chunk to the next. */
#define BULK_CHUNK_BYTES (256 * 1024)

/* ---- locks ------------------------------------------------------------ */

struct RelLocker
{
	Rel		   *rel;
	LockTupleMode mode;
	bool		(*wanted) (TupleTableSlot *slot);
	Snapshot	snapshot;		/* NULL until the first row is looked for */
	IndexScanDesc scan;			/* by the primary key, in the snapshot */
};

RelLocker *
rel_lock_begin(Rel *rel, LockTupleMode mode,
			   bool (*wanted) (TupleTableSlot *slot))
{
	RelLocker  *locker = palloc0(sizeof(RelLocker));

	locker->rel = rel;
	locker->mode = mode;
	locker->wanted = wanted;
	return locker;
}

static void
locker_forget_scan(RelLocker *locker)
{
	if (locker->snapshot == NULL)
		return;
	index_endscan(locker->scan);
	rel_forget_snapshot(locker->snapshot);
	locker->snapshot = NULL;
}

static bool
locker_find(RelLocker *locker, int nkeys, const Datum *keys,
			TupleTableSlot *slot)
{
	Rel		   *rel = locker->rel;

	if (locker->snapshot != NULL)
		rel_index_rescan(rel, rel->plan->primary, locker->scan, nkeys, keys);
	else
	{
		locker->snapshot = rel_newest_snapshot();
		locker->scan = rel_begin_index_scan(rel, rel->plan->primary,
											locker->snapshot, nkeys, keys);
	}
	return rel_next_version(locker->scan, slot);
}

RelLocked
rel_lock_next(RelLocker *locker, int nkeys, const Datum *keys,
			  TupleTableSlot *slot)
{
	bool		changed;
	bool		locked;

	CHECK_FOR_INTERRUPTS();

	/* It may have come after the snapshot, which no later one would miss. */
	if (!locker_find(locker, nkeys, keys, slot))
	{
		if (!rel_lock_row(locker->rel, nkeys, keys, locker->mode, slot))
			return REL_ABSENT;
		return locker->wanted(slot) ? REL_LOCKED : REL_UNWANTED;
	}
	if (!locker->wanted(slot))
	{
		/* Look anew next time: it may be wanted then. */
		locker_forget_scan(locker);
		return REL_UNWANTED;
	}
	locked = rel_lock_version(locker->rel, locker->snapshot, locker->mode,
							  slot, &changed);

	/* Others are at work here: a new snapshot finds their rows at once. */
	if (changed)
		locker_forget_scan(locker);
	if (!locked)
		return REL_ABSENT;
	return locker->wanted(slot) ? REL_LOCKED : REL_UNWANTED;
}

void
rel_lock_end(RelLocker *locker)
{
	locker_forget_scan(locker);
	pfree(locker);
}

/* ---- rows ------------------------------------------------------------- */

/* The entries that an index gets in the end. */
typedef struct BulkIndex
{
	int			count;
	int			natts;
	Datum	   *values;			/* natts for each entry */
	bool	   *nulls;
	ItemPointerData *rows;
} BulkIndex;

struct RelBulk
{
	Rel		   *rel;
	MemoryContext context;		/* holds all of it */
	MemoryContext chunk;		/* what the rows of a chunk need */
	int			max;
	int			written;		/* rows in the table */
	int			pending;		/* rows in slots */
	TupleTableSlot *slots[BULK_CHUNK];
	BulkIndex  *indexes;
};

RelBulk *
rel_bulk_begin(Rel *rel, int max)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "teller bulk",
												  ALLOCSET_DEFAULT_SIZES);
	RelBulk    *bulk = MemoryContextAllocZero(context, sizeof(RelBulk));

	bulk->rel = rel;
	bulk->context = context;
	bulk->chunk = AllocSetContextCreate(context, "teller bulk chunk",
										BULK_CHUNK_BYTES, BULK_CHUNK_BYTES,
										ALLOCSET_DEFAULT_MAXSIZE);
	bulk->max = max;
	bulk->indexes = MemoryContextAllocZero(context, sizeof(BulkIndex) *
										   Max(rel->plan->nindexes, 1));
	return bulk;
}

MemoryContext
rel_bulk_memory(RelBulk *bulk)
{
	return bulk->chunk;
}

static void
bulk_index_begin(RelBulk *bulk, BulkIndex *entries, const IndexInfo *info)
{
	MemoryContext old = MemoryContextSwitchTo(bulk->context);

	entries->natts = info->ii_NumIndexAttrs;
	entries->values = palloc(sizeof(Datum) * entries->natts * bulk->max);
	entries->nulls = palloc(sizeof(bool) * entries->natts * bulk->max);
	entries->rows = palloc(sizeof(ItemPointerData) * bulk->max);
	MemoryContextSwitchTo(old);
}

/* As FormIndexDatum would: no expressions, and a virtual slot. */
static void
bulk_add_entry(RelBulk *bulk, BulkIndex *entries, const IndexInfo *info,
			   const TupleTableSlot *slot)
{
	TupleDesc	desc = bulk->rel->plan->desc;
	int			at = entries->count * entries->natts;

	for (int k = 0; k < entries->natts; k++)
	{
		int			column = info->ii_IndexAttrNumbers[k] - 1;
		Form_pg_attribute attribute = TupleDescAttr(desc, column);

		entries->nulls[at + k] = slot->tts_isnull[column];
		if (attribute->attbyval || slot->tts_isnull[column])
			entries->values[at + k] = slot->tts_values[column];
		else
			entries->values[at + k] = datumCopy(slot->tts_values[column],
												false, attribute->attlen);
	}
	entries->rows[entries->count++] = slot->tts_tid;
}

/* Remember the entries of the rows in the slots. */
static void
bulk_collect(RelBulk *bulk, const RelIndex *index, BulkIndex *entries)
{
	ExprContext *econtext = GetPerTupleExprContext(bulk->rel->plan->estate);
	MemoryContext old = MemoryContextSwitchTo(bulk->context);

	for (int i = 0; i < bulk->pending; i++)
	{
		if (index->predicate != NULL)
		{
			bool		taken;

			econtext->ecxt_scantuple = bulk->slots[i];
			taken = ExecQual(index->predicate, econtext);
			ResetExprContext(econtext);
			if (!taken)
				continue;
		}
		if (entries->values == NULL)
			bulk_index_begin(bulk, entries, index->info);
		bulk_add_entry(bulk, entries, index->info, bulk->slots[i]);
	}
	MemoryContextSwitchTo(old);
}

/* Write the rows in the slots; each slot gets the place of its row. */
static void
bulk_write_chunk(RelBulk *bulk)
{
	Rel		   *rel = bulk->rel;
	MemoryContext old = MemoryContextSwitchTo(bulk->chunk);

	CHECK_FOR_INTERRUPTS();
	table_multi_insert(rel->heap, bulk->slots, bulk->pending,
					   GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < rel->plan->nindexes; i++)
	{
		RelIndex   *index = &rel->plan->indexes[i];

		if (index->odd)
			rel_insert_odd(rel, i, bulk->slots, bulk->pending);
		else if (index->info->ii_ReadyForInserts)
			bulk_collect(bulk, index, &bulk->indexes[i]);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(bulk->chunk);
	bulk->written += bulk->pending;
	bulk->pending = 0;
}

void
rel_bulk_add(RelBulk *bulk, const Datum *values, const bool *nulls)
{
	TupleTableSlot **slot = &bulk->slots[bulk->pending];

	if (bulk->written + bulk->pending >= bulk->max)
		elog(ERROR, "more than %d rows for table %s", bulk->max,
			 RelationGetRelationName(bulk->rel->heap));
	if (*slot == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(bulk->context);

		*slot = MakeSingleTupleTableSlot(bulk->rel->plan->desc,
										 &TTSOpsVirtual);
		MemoryContextSwitchTo(old);
	}
	rel_store_row(bulk->rel, *slot, values, nulls, NULL);
	ResetPerTupleExprContext(bulk->rel->plan->estate);
	if (++bulk->pending == BULK_CHUNK)
		bulk_write_chunk(bulk);
}

/* ---- index entries ---------------------------------------------------- */

/* What an entry is sorted by, and which one it is. */
typedef struct BulkEntry
{
	Datum		key;
	bool		isnull;
	int			number;
} BulkEntry;

/* Where keys are equal the order of the rows stays. */
static inline int
compare_entries(const BulkEntry *a, const BulkEntry *b, SortSupport order)
{
	int			c = ApplySortComparator(a->key, a->isnull, b->key, b->isnull,
										order);

	return c != 0 ? c : a->number - b->number;
}

#define ST_SORT sort_entries
#define ST_ELEMENT_TYPE BulkEntry
#define ST_COMPARE_ARG_TYPE SortSupportData
#define ST_COMPARE(a, b, order) compare_entries(a, b, order)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* The order of a column of the index. */
static void
bulk_order(SortSupport order, Relation index, int column)
{
	int16		option = index->rd_indoption[column];

	memset(order, 0, sizeof(SortSupportData));
	order->ssup_cxt = CurrentMemoryContext;
	order->ssup_collation = index->rd_indcollation[column];
	order->ssup_nulls_first = (option & INDOPTION_NULLS_FIRST) != 0;
	order->ssup_attno = column + 1;
	teller_index_sort_support(index, (option & INDOPTION_DESC) != 0, order);
}

/*
 * By the first column in which they differ.  Entries of the journal that do
 * not differ in it are in the right order already; elsewhere an order by more
 * columns would gain next to nothing.
 */
static BulkEntry *
bulk_sort(const BulkIndex *entries, Relation index)
{
	BulkEntry  *sorted = palloc(sizeof(BulkEntry) * entries->count);
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	bool		differ = false;

	for (int i = 0; i < entries->count; i++)
		sorted[i].number = i;
	for (int k = 0; k < nkeys && !differ; k++)
	{
		SortSupportData order;

		bulk_order(&order, index, k);
		for (int i = 0; i < entries->count; i++)
		{
			sorted[i].key = entries->values[i * entries->natts + k];
			sorted[i].isnull = entries->nulls[i * entries->natts + k];
			if (!differ)
				differ = ApplySortComparator(sorted[i].key, sorted[i].isnull,
											 sorted[0].key, sorted[0].isnull,
											 &order) != 0;
		}
		if (differ)
			sort_entries(sorted, entries->count, &order);
	}
	return sorted;
}

static void
bulk_insert_entries(RelBulk *bulk, const BulkIndex *entries, IndexInfo *info,
					Relation index)
{
	BulkEntry  *sorted = bulk_sort(entries, index);

	for (int i = 0; i < entries->count; i++)
	{
		int			number = sorted[i].number;

		CHECK_FOR_INTERRUPTS();
		index_insert(index, entries->values + number * entries->natts,
					 entries->nulls + number * entries->natts,
					 &entries->rows[number], bulk->rel->heap,
					 info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false, info);
	}
	pfree(sorted);
}

void
rel_bulk_end(RelBulk *bulk)
{
	Rel		   *rel = bulk->rel;

	if (bulk->pending > 0)
		bulk_write_chunk(bulk);
	for (int i = 0; i < rel->plan->nindexes; i++)
		if (bulk->indexes[i].count > 0)
			bulk_insert_entries(bulk, &bulk->indexes[i],
								rel->plan->indexes[i].info, rel_index(rel, i));
	for (int i = 0; i < BULK_CHUNK && bulk->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(bulk->slots[i]);
	MemoryContextDelete(bulk->context);
}
