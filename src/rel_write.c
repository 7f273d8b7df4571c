/*-------------------------------------------------------------------------
 *
 * rel_write.c
 *	  Rows written to the tables of schema teller; see rel.h.
 *
 * Everything written here goes where a hand-written statement would go:
 * heap, every index, every CHECK constraint, predicate locks of SERIALIZABLE.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "compat.h"
#include "rel_private.h"

/* True if no column that the constraint tests is new. */
static bool
rel_check_unaffected(const RelPlan *plan, int check, const bool *replace)
{
	const Bitmapset *columns = plan->check_columns[check];

	if (replace == NULL || columns == NULL)
		return false;
	for (int i = -1; (i = bms_next_member(columns, i)) >= 0;)
		if (replace[i - 1])
			return false;
	return true;
}

/* What ExecConstraints would do, but for what an update cannot break. */
static void
rel_check_row(Rel *rel, TupleTableSlot *slot, const bool *replace)
{
	TupleDesc	desc = RelationGetDescr(rel->heap);
	RelPlan    *plan = rel->plan;
	ExprContext *econtext = GetPerTupleExprContext(plan->estate);

	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attnotnull && slot->tts_isnull[i])
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("null value in column \"%s\" of table teller.%s",
							NameStr(TupleDescAttr(desc, i)->attname),
							RelationGetRelationName(rel->heap))));
	econtext->ecxt_scantuple = slot;
	for (int i = 0; i < plan->nchecks; i++)
		if (!rel_check_unaffected(plan, i, replace) &&
			!ExecCheck(plan->checks[i], econtext))
			ereport(ERROR,
					(errcode(ERRCODE_CHECK_VIOLATION),
					 errmsg("row for table teller.%s violates check constraint \"%s\"",
							RelationGetRelationName(rel->heap),
							plan->check_names[i]),
					 errtableconstraint(rel->heap, plan->check_names[i])));
}

/* True if an update left every column of the index alone. */
static bool
rel_index_unchanged(const RelIndex *index, const bool *replace)
{
	if (replace == NULL)
		return false;
	for (int i = 0; i < index->info->ii_NumIndexAttrs; i++)
		if (replace[index->info->ii_IndexAttrNumbers[i] - 1])
			return false;
	return true;
}

/* Entries in an index with expressions or a predicate: the long way. */
static void
rel_insert_computed(Rel *rel, Relation index, TupleTableSlot **slots,
					int count)
{
	EState	   *estate = CreateExecutorState();
	IndexInfo  *info = BuildIndexInfo(index);
	ExprState  *predicate = info->ii_Predicate == NIL ? NULL :
		ExecPrepareQual(info->ii_Predicate, estate);
	ExprContext *econtext = GetPerTupleExprContext(estate);

	for (int i = 0; i < count && info->ii_ReadyForInserts; i++)
	{
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		ResetExprContext(econtext);
		econtext->ecxt_scantuple = slots[i];
		if (predicate != NULL && !ExecQual(predicate, econtext))
			continue;
		FormIndexDatum(info, slots[i], estate, values, nulls);
		index_insert(index, values, nulls, &slots[i]->tts_tid, rel->heap,
					 info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false, info);
	}
	teller_index_insert_cleanup(index, info);
	FreeExecutorState(estate);
}

/* What the access method remembers in info is of this call alone. */
static void
rel_insert_columns(Rel *rel, Relation index, IndexInfo *info,
				   TupleTableSlot **slots, int count)
{
	info->ii_Context = CurrentMemoryContext;
	info->ii_AmCache = NULL;
	for (int i = 0; i < count && info->ii_ReadyForInserts; i++)
	{
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		FormIndexDatum(info, slots[i], rel->plan->estate, values, nulls);
		index_insert(index, values, nulls, &slots[i]->tts_tid, rel->heap,
					 UNIQUE_CHECK_NO, false, info);
	}
	teller_index_insert_cleanup(index, info);
	info->ii_AmCache = NULL;
}

void
rel_insert_odd(Rel *rel, int which, TupleTableSlot **slots, int count)
{
	IndexInfo  *info = rel->plan->indexes[which].info;

	if (info != NULL)
		rel_insert_columns(rel, rel_index(rel, which), info, slots, count);
	else
		rel_insert_computed(rel, rel_index(rel, which), slots, count);
}

/* True if the row in the context's slot gets no entry in this B-tree. */
static bool
rel_index_passed_over(const RelIndex *index, ExprContext *econtext,
					  bool only_summarizing)
{
	return only_summarizing || !index->info->ii_ReadyForInserts ||
		(index->predicate != NULL && !ExecQual(index->predicate, econtext));
}

/*
 * Index entries for the row in slot.  With partial uniqueness a conflict is
 * reported (true) and not raised.  replace is NULL for a new row.
 */
static bool
rel_insert_entries(Rel *rel, TupleTableSlot *slot, const bool *replace,
				   bool only_summarizing, bool partial)
{
	ExprContext *econtext = GetPerTupleExprContext(rel->plan->estate);
	bool		conflict = false;

	econtext->ecxt_scantuple = slot;
	for (int i = 0; i < rel->plan->nindexes; i++)
	{
		RelIndex   *index = &rel->plan->indexes[i];
		Relation	irel;
		IndexUniqueCheck check = UNIQUE_CHECK_NO;
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		/* One that gets no entry is not even opened. */
		if (!index->odd && rel_index_passed_over(index, econtext,
												 only_summarizing))
			continue;
		irel = rel_index(rel, i);
		if (only_summarizing && !teller_index_is_summarizing(irel))
			continue;
		if (index->odd)
		{
			rel_insert_odd(rel, i, &slot, 1);
			continue;
		}
		if (index->info->ii_Unique)
			check = partial ? UNIQUE_CHECK_PARTIAL : UNIQUE_CHECK_YES;
		FormIndexDatum(index->info, slot, rel->plan->estate, values, nulls);
		if (!index_insert(irel, values, nulls, &slot->tts_tid, rel->heap,
						  check, rel_index_unchanged(index, replace),
						  index->info) && partial && index->info->ii_Unique)
			conflict = true;
	}
	return conflict;
}

void
rel_store_row(Rel *rel, TupleTableSlot *slot, const Datum *values,
			  const bool *nulls, const bool *replace)
{
	int			natts = rel->plan->desc->natts;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, natts * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(rel->heap);
	rel_check_row(rel, slot, replace);
}

static TupleTableSlot *
rel_fill_slot(Rel *rel, Datum *values, bool *nulls, const bool *replace)
{
	if (rel->slot == NULL)
		rel->slot = MakeSingleTupleTableSlot(rel->plan->desc, &TTSOpsVirtual);
	rel_store_row(rel, rel->slot, values, nulls, replace);
	return rel->slot;
}

void
rel_insert(Rel *rel, Datum *values, bool *nulls)
{
	TupleTableSlot *slot = rel_fill_slot(rel, values, nulls, NULL);

	table_tuple_insert(rel->heap, slot, GetCurrentCommandId(true), 0, NULL);
	rel_insert_entries(rel, slot, NULL, false, false);
	ResetPerTupleExprContext(rel->plan->estate);
}

bool
rel_insert_if_absent(Rel *rel, Datum *values, bool *nulls)
{
	TupleTableSlot *slot = rel_fill_slot(rel, values, nulls, NULL);
	TransactionId xid = GetCurrentTransactionId();
	uint32		token = SpeculativeInsertionLockAcquire(xid);
	bool		conflict;

	table_tuple_insert_speculative(rel->heap, slot, GetCurrentCommandId(true),
								   0, NULL, token);
	conflict = rel_insert_entries(rel, slot, NULL, false, true);
	table_tuple_complete_speculative(rel->heap, slot, token, !conflict);
	SpeculativeInsertionLockRelease(xid);
	ResetPerTupleExprContext(rel->plan->estate);
	return !conflict;
}

void
rel_update(Rel *rel, TupleTableSlot *old, Datum *values, bool *nulls,
		   bool *replace)
{
	int			natts = RelationGetDescr(rel->heap)->natts;
	ItemPointerData tid = old->tts_tid;
	TU_UpdateIndexes indexes;
	TM_FailureData failure;
	LockTupleMode mode;
	TupleTableSlot *slot;
	TM_Result	result;

	slot_getallattrs(old);
	for (int i = 0; i < natts; i++)
		if (!replace[i])
		{
			values[i] = old->tts_values[i];
			nulls[i] = old->tts_isnull[i];
		}
	slot = rel_fill_slot(rel, values, nulls, replace);
	result = table_tuple_update(rel->heap, &tid, slot,
								GetCurrentCommandId(true), InvalidSnapshot,
								InvalidSnapshot, true, &failure, &mode,
								&indexes);
	if (result != TM_Ok)
		elog(ERROR, "locked row of %s changed (%d)",
			 RelationGetRelationName(rel->heap), (int) result);
	if (indexes != TU_None)
		rel_insert_entries(rel, slot, replace,
						   teller_only_summarizing(indexes), false);
	ResetPerTupleExprContext(rel->plan->estate);
}

void
rel_delete(Rel *rel, TupleTableSlot *slot)
{
	TM_FailureData failure;
	TM_Result	result;

	result = table_tuple_delete(rel->heap, &slot->tts_tid,
								GetCurrentCommandId(true), InvalidSnapshot,
								InvalidSnapshot, true, &failure, false);
	if (result != TM_Ok)
		elog(ERROR, "locked row of %s changed (%d)",
			 RelationGetRelationName(rel->heap), (int) result);
}
