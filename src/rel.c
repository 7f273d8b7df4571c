/*-------------------------------------------------------------------------
 *
 * rel.c
 *	  Direct access to the tables of schema teller.
 *
 * What a backend remembers of a table is its plan: OID, primary key, and for
 * each index how its entries are formed, with the predicates and CHECK
 * constraints compiled.  A relcache invalidation marks plans stale; a stale
 * plan is rebuilt when the table is opened next.
 *
 * What rel_write.c cannot honour (triggers, rules, row security, partitions,
 * exclusion constraints) is refused when the plan is built.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/relscan.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "rel_private.h"
#include "version.h"

struct RelScan
{
	IndexScanDesc scan;
};

static const struct
{
	const char *name;
	int			natts;
}			rel_tables[REL_COUNT] =
{
	[REL_LEDGER] = {"ledger", 2},
	[REL_ASSET] = {"asset", 2},
	[REL_LEDGER_GRANT] = {"ledger_grant", 3},
	[REL_ACCOUNT] = {"account", 17},
	[REL_JOURNAL] = {"journal", 23},
	[REL_PERIOD] = {"period", 3},
	[REL_HOLD] = {"hold", 13},
	[REL_KEY] = {"key", 11},
	[REL_KEY_HORIZON] = {"key_horizon", 2},
	[REL_INSTANCE] = {"instance", 7},
	[REL_SETTLEMENT] = {"settlement", 3},
	[REL_OPERATION] = {"operation_data", 40},
	[REL_ATTEMPT] = {"attempt_data", 10},
	[REL_FINDING] = {"finding_data", 7},
	[REL_CONTINUATION] = {"continuation_data", 12},
	[REL_MEMO] = {"memo", 11},
	[REL_REMOTE_GRANT] = {"remote_grant", 3},
	[REL_REMOTE_MANDATE] = {"remote_mandate", 3},
	[REL_REQUEST] = {"request", 10},
	[REL_REQUEST_HORIZON] = {"request_horizon", 2},
	[REL_FEED_EPOCH] = {"feed_epoch", 5},
	[REL_SEAL] = {"seal", 14},
};

static RelPlan *rel_plans[REL_COUNT];

/* ---- plans ------------------------------------------------------------ */

static void
rel_invalidate(Datum arg, Oid relid)
{
	for (int i = 0; i < REL_COUNT; i++)
	{
		RelPlan    *plan = rel_plans[i];

		if (plan == NULL)
			continue;
		if (relid == InvalidOid || relid == plan->oid)
			plan->stale = true;
		for (int j = 0; j < plan->nindexes; j++)
			if (plan->indexes[j].oid == relid)
				plan->stale = true;
	}
}

static Oid
rel_find(RelId id)
{
	Oid			oid = get_relname_relid(rel_tables[id].name,
										get_namespace_oid("teller", true));

	if (!OidIsValid(oid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table teller.%s is missing", rel_tables[id].name),
				 errhint("Run CREATE EXTENSION pg_teller.")));
	return oid;
}

/*
 * A user's foreign key to one of our tables hangs triggers on it that look at
 * changes of the key alone.  Keys never change here, so they may be passed
 * over; any other trigger may not.
 */
static bool
has_triggers(Relation heap)
{
	TriggerDesc *triggers = heap->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (RI_FKey_trigger_type(triggers->triggers[i].tgfoid) != RI_TRIGGER_PK)
			return true;
	return false;
}

/* Only what direct access honours in full may be opened. */
static void
rel_check_plain(RelId id, Relation heap)
{
	const char *trouble = NULL;

	if (heap->rd_rel->relkind != RELKIND_RELATION)
		trouble = "it is not an ordinary table";
	else if (heap->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		trouble = "it is not a permanent, logged table";
	else if (has_triggers(heap))
		trouble = "it has triggers";
	else if (heap->rd_rel->relhasrules)
		trouble = "it has rules";
	else if (heap->rd_rel->relrowsecurity)
		trouble = "it has row security";
	else if (heap->rd_rel->relispartition || heap->rd_rel->relhassubclass)
		trouble = "it is part of an inheritance tree";
	else if (RelationGetNumberOfAttributes(heap) != rel_tables[id].natts)
		trouble = "its columns are not those of this library";
	if (trouble != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table teller.%s cannot be used: %s",
						rel_tables[id].name, trouble),
				 errhint("pg_teller writes its tables directly; undo what was changed on this one.")));
}

static void
rel_plan_lookup(RelIndex *index, Relation rel)
{
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(rel);

	for (int i = 0; i < Min(nkeys, REL_MAX_KEYS); i++)
	{
		Oid			type = rel->rd_opcintype[i];
		Oid			op = get_opfamily_member(rel->rd_opfamily[i], type, type,
											 BTEqualStrategyNumber);

		index->equal[i] = get_opcode(op);
	}
}

static void
rel_plan_index(RelPlan *plan, RelIndex *index, Oid oid)
{
	Relation	rel = index_open(oid, AccessShareLock);
	IndexInfo  *info = BuildIndexInfo(rel);

	if (info->ii_ExclusionOps != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("exclusion constraint \"%s\" cannot be honoured",
						RelationGetRelationName(rel))));
	index->oid = oid;
	index->name = pstrdup(RelationGetRelationName(rel));
	index->odd = rel->rd_rel->relam != BTREE_AM_OID ||
		info->ii_Expressions != NIL;
	if (index->odd)
	{
		/* Entries that have to be computed are prepared for anew each time. */
		if (info->ii_Expressions == NIL && info->ii_Predicate == NIL &&
			!info->ii_Unique)
			index->info = info;
	}
	else
	{
		index->info = info;
		if (info->ii_Predicate != NIL)
			index->predicate = ExecPrepareQual(info->ii_Predicate,
											   plan->estate);
		rel_plan_lookup(index, rel);
	}
	if (rel->rd_index->indisprimary)
		plan->primary = index - plan->indexes;
	index_close(rel, NoLock);
}

/*
 * The columns that a constraint tests; attribute numbers.  NULL if it says
 * more than that, or if the rows there are may not satisfy it: then no change
 * of a row may pass it over.
 */
static Bitmapset *
rel_check_columns(const ConstrCheck *check, Expr *expr)
{
	Bitmapset  *raw = NULL;
	Bitmapset  *columns = NULL;

	if (!check->ccvalid || contain_mutable_functions((Node *) expr))
		return NULL;
	pull_varattnos((Node *) expr, 1, &raw);
	for (int i = -1; (i = bms_next_member(raw, i)) >= 0;)
	{
		int			attribute = i + FirstLowInvalidHeapAttributeNumber;

		if (attribute <= 0)
			return NULL;
		columns = bms_add_member(columns, attribute);
	}
	return columns;
}

static void
rel_plan_checks(RelPlan *plan, Relation heap)
{
	TupleConstr *constr = RelationGetDescr(heap)->constr;

	if (constr == NULL)
		return;
	plan->checks = palloc0(sizeof(ExprState *) * Max(constr->num_check, 1));
	plan->check_names = palloc0(sizeof(char *) * Max(constr->num_check, 1));
	plan->check_columns = palloc0(sizeof(Bitmapset *) *
								  Max(constr->num_check, 1));
	for (int i = 0; i < constr->num_check; i++)
	{
		Expr	   *expr = stringToNode(constr->check[i].ccbin);

		plan->checks[i] = ExecPrepareExpr(expr, plan->estate);
		plan->check_names[i] = pstrdup(constr->check[i].ccname);
		plan->check_columns[i] = rel_check_columns(&constr->check[i], expr);
	}
	plan->nchecks = constr->num_check;
}

static RelPlan *
rel_build_plan(RelId id, Relation heap)
{
	MemoryContext context,
				old;
	RelPlan    *plan;
	List	   *oids;
	ListCell   *lc;

	rel_check_plain(id, heap);

	/* Under the caller's context until it is whole: an error frees it. */
	context = AllocSetContextCreate(CurrentMemoryContext, "teller plan",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	plan = palloc0(sizeof(RelPlan));
	plan->context = context;
	plan->oid = RelationGetRelid(heap);
	plan->primary = -1;
	plan->desc = CreateTupleDescCopyConstr(RelationGetDescr(heap));
	plan->estate = CreateExecutorState();
	oids = RelationGetIndexList(heap);
	plan->indexes = palloc0(sizeof(RelIndex) * Max(list_length(oids), 1));
	foreach(lc, oids)
		rel_plan_index(plan, &plan->indexes[plan->nindexes++], lfirst_oid(lc));
	if (plan->primary < 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table teller.%s has lost its primary key",
						rel_tables[id].name)));
	rel_plan_checks(plan, heap);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, CacheMemoryContext);
	return plan;
}

/*
 * The plan for an open table.  A stale one may still be in use by a call
 * further up the stack, so it goes only when the transaction ends.
 */
static RelPlan *
rel_current_plan(RelId id, Relation heap)
{
	static bool registered = false;
	RelPlan    *plan = rel_plans[id];

	if (!registered)
	{
		CacheRegisterRelcacheCallback(rel_invalidate, (Datum) 0);
		registered = true;
	}
	if (plan != NULL && !plan->stale && plan->oid == RelationGetRelid(heap))
		return plan;
	if (plan != NULL)
	{
		rel_plans[id] = NULL;
		MemoryContextSetParent(plan->context, TopTransactionContext);
	}
	rel_plans[id] = rel_build_plan(id, heap);
	return rel_plans[id];
}

/* ---- open and close --------------------------------------------------- */

Oid
rel_oid(RelId id)
{
	if (rel_plans[id] != NULL && !rel_plans[id]->stale)
		return rel_plans[id]->oid;
	return rel_find(id);
}

Rel *
rel_open(RelId id, LOCKMODE lockmode)
{
	Rel		   *rel = palloc0(sizeof(Rel));

	rel->writes = lockmode >= RowExclusiveLock;
	if (rel->writes)
	{
		PreventCommandIfReadOnly("a call of pg_teller that writes");
		PreventCommandIfParallelMode("a call of pg_teller that writes");
	}
	rel->heap = table_open(rel_oid(id), lockmode);
	version_require();
	rel->plan = rel_current_plan(id, rel->heap);
	rel->indexes = palloc0(sizeof(Relation) * rel->plan->nindexes);
	return rel;
}

void
rel_close(Rel *rel)
{
	for (int i = 0; i < rel->plan->nindexes; i++)
		if (rel->indexes[i] != NULL)
			index_close(rel->indexes[i], NoLock);
	if (rel->slot != NULL)
		ExecDropSingleTupleTableSlot(rel->slot);
	table_close(rel->heap, NoLock);
	pfree(rel->indexes);
	pfree(rel);
}

TupleTableSlot *
rel_make_slot(Rel *rel)
{
	/* A call may have thousands: the relation's own would be counted. */
	return MakeSingleTupleTableSlot(rel->plan->desc,
									table_slot_callbacks(rel->heap));
}

Relation
rel_index(Rel *rel, int i)
{
	if (rel->indexes[i] == NULL)
		rel->indexes[i] = index_open(rel->plan->indexes[i].oid,
									 rel->writes ? RowExclusiveLock : AccessShareLock);
	return rel->indexes[i];
}

/* ---- reading ---------------------------------------------------------- */

Snapshot
rel_newest_snapshot(void)
{
	return RegisterSnapshot(IsolationUsesXactSnapshot() ?
							GetTransactionSnapshot() : GetLatestSnapshot());
}

void
rel_forget_snapshot(Snapshot snapshot)
{
	UnregisterSnapshot(snapshot);
}

void
rel_index_rescan(Rel *rel, int which, IndexScanDesc scan, int nkeys,
				 const Datum *keys)
{
	Relation	index = rel_index(rel, which);
	ScanKeyData entries[REL_MAX_KEYS];

	Assert(nkeys <= REL_MAX_KEYS);
	for (int i = 0; i < nkeys; i++)
		ScanKeyEntryInitialize(&entries[i], 0, i + 1, BTEqualStrategyNumber,
							   InvalidOid, index->rd_indcollation[i],
							   rel->plan->indexes[which].equal[i], keys[i]);
	index_rescan(scan, entries, nkeys, NULL, 0);
}

IndexScanDesc
rel_begin_index_scan(Rel *rel, int which, Snapshot snapshot, int nkeys,
					 const Datum *keys)
{
	IndexScanDesc scan = teller_index_beginscan(rel->heap,
												rel_index(rel, which),
												snapshot, nkeys);

	rel_index_rescan(rel, which, scan, nkeys, keys);
	return scan;
}

/*
 * The heap would prune a page as soon as less of it is free than the table's
 * fillfactor leaves, which is at nearly every look at an account, for the one
 * version that the last change has left, and at the price of the change.  Here
 * a page is pruned when it is nearly full, as in a table without fillfactor,
 * and is rid of many versions at once.  The heap prunes a page only as it comes
 * to it, so the page is brought to it beforehand.
 */
static void
rel_visit_page(IndexScanDesc scan)
{
	IndexFetchHeapData *visit = (IndexFetchHeapData *) scan->xs_heapfetch;
	Buffer		last = visit->xs_cbuf;
	Page		page;

	visit->xs_cbuf = ReleaseAndReadBuffer(last, scan->heapRelation,
										  ItemPointerGetBlockNumber(&scan->xs_heaptid));
	if (visit->xs_cbuf == last)
		return;

	/* Without a lock, as heap_page_prune_opt looks; it looks again with one. */
	page = BufferGetPage(visit->xs_cbuf);
	if (PageIsFull(page) || PageGetHeapFreeSpace(page) < BLCKSZ / 10)
		heap_page_prune_opt(scan->heapRelation, visit->xs_cbuf);
}

bool
rel_next_version(IndexScanDesc scan, TupleTableSlot *slot)
{
	if (scan->heapRelation->rd_tableam != GetHeapamTableAmRoutine())
		return index_getnext_slot(scan, ForwardScanDirection, slot);
	for (;;)
	{
		if (!scan->xs_heap_continue)
		{
			if (index_getnext_tid(scan, ForwardScanDirection) == NULL)
				return false;
			rel_visit_page(scan);
		}
		if (index_fetch_heap(scan, slot))
			return true;
	}
}

bool
rel_fetch(Rel *rel, Snapshot snapshot, int nkeys, const Datum *keys,
		  TupleTableSlot *slot)
{
	IndexScanDesc scan = rel_begin_index_scan(rel, rel->plan->primary,
											  snapshot, nkeys, keys);
	bool		found = rel_next_version(scan, slot);

	index_endscan(scan);
	return found;
}

void
rel_raise_stale(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update"),
			 errhint("Repeat the transaction.")));
}

bool
rel_lock_version(Rel *rel, Snapshot snapshot, LockTupleMode mode,
				 TupleTableSlot *slot, bool *changed)
{
	TM_FailureData failure = {0};
	ItemPointerData tid = slot->tts_tid;
	uint8		flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;

	if (!IsolationUsesXactSnapshot())
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	switch (table_tuple_lock(rel->heap, &tid, snapshot, slot,
							 GetCurrentCommandId(false), mode, LockWaitBlock,
							 flags, &failure))
	{
		case TM_Ok:
			*changed = failure.traversed;
			return true;
		case TM_Updated:
			rel_raise_stale();
			break;
		case TM_Deleted:
			if (IsolationUsesXactSnapshot())
				rel_raise_stale();
			break;
		case TM_Invisible:
		case TM_SelfModified:
		case TM_BeingModified:
		case TM_WouldBlock:
			elog(ERROR, "row of %s cannot be locked",
				 RelationGetRelationName(rel->heap));
	}
	*changed = true;
	return false;
}

bool
rel_lock_row(Rel *rel, int nkeys, const Datum *keys, LockTupleMode mode,
			 TupleTableSlot *slot)
{
	Snapshot	snapshot = rel_newest_snapshot();
	bool		found = rel_fetch(rel, snapshot, nkeys, keys, slot);
	bool		changed;

	if (found)
		found = rel_lock_version(rel, snapshot, mode, slot, &changed);
	else if (IsolationUsesXactSnapshot())
	{
		Snapshot	latest = RegisterSnapshot(GetLatestSnapshot());

		if (rel_fetch(rel, latest, nkeys, keys, slot))
			rel_raise_stale();
		UnregisterSnapshot(latest);
	}
	rel_forget_snapshot(snapshot);
	return found;
}

/* Lock the row version in the slot if that needs no waiting. */
bool
rel_lock_if_free(Rel *rel, TupleTableSlot *slot, LockTupleMode mode)
{
	Snapshot	snapshot = rel_newest_snapshot();
	ItemPointerData tid = slot->tts_tid;
	TM_FailureData failure;
	TM_Result	result;

	result = table_tuple_lock(rel->heap, &tid, snapshot, slot,
							  GetCurrentCommandId(false), mode, LockWaitSkip,
							  TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS,
							  &failure);
	rel_forget_snapshot(snapshot);
	return result == TM_Ok;
}

/*
 * One look with a dirty snapshot.  *entries: the index has entries of that
 * key, of rows that are seen or of others.
 */
static bool
rel_look_dirty(Rel *rel, int which, int nkeys, const Datum *keys,
			   TupleTableSlot *slot, SnapshotData *dirty, bool *entries)
{
	IndexScanDesc scan;
	bool		found = false;

	InitDirtySnapshot(*dirty);
	scan = rel_begin_index_scan(rel, which, dirty, nkeys, keys);
	*entries = false;
	while (!found && (scan->xs_heap_continue ||
					  index_getnext_tid(scan, ForwardScanDirection) != NULL))
	{
		*entries = true;
		found = index_fetch_heap(scan, slot);
	}
	index_endscan(scan);
	return found;
}

/*
 * A dirty scan reads a page of the index, then looks at the rows one by one.
 * If the row is deleted and inserted anew in between, it sees neither; where
 * the index had no entry of the key there was no row, and none was missed.  A
 * snapshot that is taken after such a scan does see it.  What this command
 * did counts, as it does in a dirty scan.
 */
static bool
rel_was_missed(Rel *rel, int which, int nkeys, const Datum *keys,
			   TupleTableSlot *slot)
{
	Snapshot	latest = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan;
	bool		found;

	latest->curcid = GetCurrentCommandId(false) + 1;
	scan = rel_begin_index_scan(rel, which, latest, nkeys, keys);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	index_endscan(scan);
	ExecClearTuple(slot);
	UnregisterSnapshot(latest);
	return found;
}

static bool
rel_await_in(Rel *rel, int which, int nkeys, const Datum *keys,
			 TupleTableSlot *slot)
{
	SnapshotData dirty;

	for (;;)
	{
		TransactionId holder;
		bool		entries;

		CHECK_FOR_INTERRUPTS();
		if (!rel_look_dirty(rel, which, nkeys, keys, slot, &dirty, &entries))
		{
			if (entries && rel_was_missed(rel, which, nkeys, keys, slot))
				continue;
			return false;
		}
		holder = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
		if (TransactionIdIsValid(holder))
		{
			ItemPointerData tid = slot->tts_tid;

			ExecClearTuple(slot);
			if (dirty.speculativeToken)
				SpeculativeInsertionWait(dirty.xmin, dirty.speculativeToken);
			else
				XactLockTableWait(holder, rel->heap, &tid, XLTW_InsertIndexUnique);
			continue;
		}
		if (IsolationUsesXactSnapshot() &&
			!table_tuple_satisfies_snapshot(rel->heap, slot,
											GetTransactionSnapshot()))
			rel_raise_stale();
		return true;
	}
}

static int
rel_index_named(Rel *rel, const char *name)
{
	for (int i = 0; i < rel->plan->nindexes; i++)
		if (strcmp(rel->plan->indexes[i].name, name) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table teller.%s has lost its index \"%s\"",
					RelationGetRelationName(rel->heap), name)));
	return -1;
}

bool
rel_await_row(Rel *rel, int nkeys, const Datum *keys, TupleTableSlot *slot)
{
	return rel_await_in(rel, rel->plan->primary, nkeys, keys, slot);
}

bool
rel_await_row_by(Rel *rel, const char *index_name, int nkeys,
				 const Datum *keys, TupleTableSlot *slot)
{
	return rel_await_in(rel, rel_index_named(rel, index_name), nkeys, keys,
						slot);
}

RelScan *
rel_scan_begin(Rel *rel, const char *index_name, Snapshot snapshot, int nkeys,
			   const Datum *keys)
{
	RelScan    *scan = palloc0(sizeof(RelScan));

	scan->scan = rel_begin_index_scan(rel, rel_index_named(rel, index_name),
									  snapshot, nkeys, keys);
	return scan;
}

RelScan *
rel_scan_past(Rel *rel, const char *index_name, Snapshot snapshot, int nkeys,
			  const Datum *keys, Datum bound)
{
	RelScan    *scan = palloc0(sizeof(RelScan));
	int			which = rel_index_named(rel, index_name);
	Relation	index = rel_index(rel, which);
	Oid			type = index->rd_opcintype[nkeys];
	ScanKeyData entries[REL_MAX_KEYS];

	Assert(nkeys < REL_MAX_KEYS);
	for (int i = 0; i < nkeys; i++)
		ScanKeyEntryInitialize(&entries[i], 0, i + 1, BTEqualStrategyNumber,
							   InvalidOid, index->rd_indcollation[i],
							   rel->plan->indexes[which].equal[i], keys[i]);
	ScanKeyEntryInitialize(&entries[nkeys], 0, nkeys + 1,
						   BTGreaterStrategyNumber, InvalidOid,
						   index->rd_indcollation[nkeys],
						   get_opcode(get_opfamily_member(index->rd_opfamily[nkeys],
														  type, type,
														  BTGreaterStrategyNumber)),
						   bound);
	scan->scan = teller_index_beginscan(rel->heap, index, snapshot, nkeys + 1);
	index_rescan(scan->scan, entries, nkeys + 1, NULL, 0);
	return scan;
}

RelScan *
rel_scan_after(Rel *rel, const char *index_name, Snapshot snapshot, int64 key)
{
	return rel_scan_past(rel, index_name, snapshot, 0, NULL,
						 Int64GetDatum(key));
}

RelScan *
rel_scan_from(Rel *rel, const char *index_name, Snapshot snapshot, int nkeys,
			  const Datum *keys, TimestampTz from)
{
	RelScan    *scan = palloc0(sizeof(RelScan));
	int			which = rel_index_named(rel, index_name);
	Relation	index = rel_index(rel, which);
	ScanKeyData entries[REL_MAX_KEYS];

	Assert(nkeys < REL_MAX_KEYS);
	for (int i = 0; i < nkeys; i++)
		ScanKeyEntryInitialize(&entries[i], 0, i + 1, BTEqualStrategyNumber,
							   InvalidOid, index->rd_indcollation[i],
							   rel->plan->indexes[which].equal[i], keys[i]);
	ScanKeyInit(&entries[nkeys], nkeys + 1, BTGreaterEqualStrategyNumber,
				F_TIMESTAMPTZ_GE, TimestampTzGetDatum(from));
	scan->scan = teller_index_beginscan(rel->heap, index, snapshot, nkeys + 1);
	index_rescan(scan->scan, entries, nkeys + 1, NULL, 0);
	return scan;
}

bool
rel_scan_next(RelScan *scan, TupleTableSlot *slot)
{
	return rel_next_version(scan->scan, slot);
}

void
rel_scan_end(RelScan *scan)
{
	index_endscan(scan->scan);
	pfree(scan);
}
