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

/* What ExecConstraints would do. */
static void
rel_check_row(Rel *rel, TupleTableSlot *slot)
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
		if (!ExecCheck(plan->checks[i], econtext))
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

/* An index that an administrator added: the long way, nothing kept. */
static void
rel_insert_odd(Rel *rel, Relation index, TupleTableSlot *slot)
{
	EState	   *estate = CreateExecutorState();
	IndexInfo  *info = BuildIndexInfo(index);
	ExprContext *econtext = GetPerTupleExprContext(estate);
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	econtext->ecxt_scantuple = slot;
	if (info->ii_ReadyForInserts &&
		(info->ii_Predicate == NIL ||
		 ExecQual(ExecPrepareQual(info->ii_Predicate, estate), econtext)))
	{
		FormIndexDatum(info, slot, estate, values, nulls);
		index_insert(index, values, nulls, &slot->tts_tid, rel->heap,
					 info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false, info);
		teller_index_insert_cleanup(index, info);
	}
	FreeExecutorState(estate);
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
		Relation	irel = rel_index(rel, i);
		IndexUniqueCheck check = UNIQUE_CHECK_NO;
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		if (only_summarizing && !teller_index_is_summarizing(irel))
			continue;
		if (index->odd)
		{
			rel_insert_odd(rel, irel, slot);
			continue;
		}
		if (!index->info->ii_ReadyForInserts ||
			(index->predicate != NULL && !ExecQual(index->predicate, econtext)))
			continue;
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

static TupleTableSlot *
rel_fill_slot(Rel *rel, Datum *values, bool *nulls)
{
	TupleDesc	desc = RelationGetDescr(rel->heap);
	TupleTableSlot *slot;

	if (rel->slot == NULL)
		rel->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	slot = ExecClearTuple(rel->slot);
	memcpy(slot->tts_values, values, desc->natts * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, desc->natts * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(rel->heap);
	rel_check_row(rel, slot);
	return slot;
}

void
rel_insert(Rel *rel, Datum *values, bool *nulls)
{
	TupleTableSlot *slot = rel_fill_slot(rel, values, nulls);

	table_tuple_insert(rel->heap, slot, GetCurrentCommandId(true), 0, NULL);
	rel_insert_entries(rel, slot, NULL, false, false);
	ResetPerTupleExprContext(rel->plan->estate);
}

bool
rel_insert_if_absent(Rel *rel, Datum *values, bool *nulls)
{
	TupleTableSlot *slot = rel_fill_slot(rel, values, nulls);
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
	slot = rel_fill_slot(rel, values, nulls);
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
