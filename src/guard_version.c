/*-------------------------------------------------------------------------
 *
 * guard_version.c
 *	  teller.guard_version: the trigger that counts every update of a row,
 *	  whoever makes it.
 *
 * For tables where some writers do not use teller.row_update.  The trigger
 * sees the row as it is when it is updated, under its lock:
 *
 *	  the UPDATE does not set the version	it becomes the present one + 1
 *	  it sets the present version			the same: nobody was faster
 *	  it sets the present version + 1		kept: it counted by itself
 *	  it sets anything else					TL002
 *
 * What it cannot see: a writer that read version 5 and sets 6 without testing
 * the version in its WHERE, while another has brought the row to 6.  It looks
 * like one that read 6.  So a writer that sets the version should set the one
 * it read, or test it in WHERE.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "commands/trigger.h"
#include "nodes/bitmapset.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "errcodes.h"
#include "version_column.h"

#define DEFAULT_COLUMN "version"

/* An update of a row that the trigger is to judge. */
typedef struct GuardedUpdate
{
	Relation	rel;
	HeapTuple	old;
	VersionColumn version;
	int64		present;		/* of the old row */
	int64		set;			/* by the UPDATE; not if set_null */
	bool		set_null;
} GuardedUpdate;

/* ---- messages --------------------------------------------------------- */

/*
 * The primary key as (name)=(value), or NULL: there is none, or the caller may
 * not see it.
 */
static char *
key_text(const GuardedUpdate *update)
{
	Relation	index;
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	char	   *text;

	/* finds the primary key, too */
	list_free(RelationGetIndexList(update->rel));
	if (!OidIsValid(update->rel->rd_pkindex))
		return NULL;
	index = index_open(update->rel->rd_pkindex, AccessShareLock);
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		values[i] = heap_getattr(update->old,
								 index->rd_index->indkey.values[i],
								 RelationGetDescr(update->rel), &nulls[i]);
	text = BuildIndexValueDescription(index, values, nulls);
	index_close(index, AccessShareLock);
	return text;
}

static char *
row_name(const GuardedUpdate *update)
{
	char	   *key = key_text(update);
	char	   *schema = get_namespace_name(RelationGetNamespace(update->rel));
	char	   *table = RelationGetRelationName(update->rel);

	return psprintf("row %s%sof table %s", key ? key : "", key ? " " : "",
					quote_qualified_identifier(schema, table));
}

pg_noreturn static void
raise_stale(const GuardedUpdate *update)
{
	char	   *set = update->set_null ? pstrdup("null") :
		psprintf("%lld", (long long) update->set);

	ereport(ERROR,
			(teller_errcode(ERRCODE_TELLER_VERSION_CONFLICT),
			 errmsg("%s has changed", row_name(update)),
			 errdetail("Its version is %lld, the update carries %s.",
					   (long long) update->present, set),
			 errhint("Read the row again and decide anew. Set \"%s\" to the version that was read, or leave it out.",
					 update->version.name)));
}

/* ---- the trigger ------------------------------------------------------ */

static void
check_protocol(FunctionCallInfo fcinfo)
{
	TriggerData *trigger;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function teller.guard_version was not called by a trigger")));
	trigger = (TriggerData *) fcinfo->context;
	if (!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" must be BEFORE UPDATE FOR EACH ROW",
						trigger->tg_trigger->tgname)));
	if (trigger->tg_trigger->tgnargs > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" must have one argument, the version column",
						trigger->tg_trigger->tgname)));
}

/*
 * Read the present version, and the one that the UPDATE sets, from rows of
 * the relation that the trigger fires on: in a partition or an inheritance
 * child the column has another place.
 */
static void
read_update(const TriggerData *trigger, GuardedUpdate *update)
{
	const Trigger *definition = trigger->tg_trigger;
	const char *name = definition->tgnargs > 0 ?
		definition->tgargs[0] : DEFAULT_COLUMN;
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Datum		value;
	bool		isnull;

	update->rel = trigger->tg_relation;
	update->old = trigger->tg_trigtuple;
	version_column_find(update->rel, name, &update->version);
	value = heap_getattr(update->old, update->version.number, desc, &isnull);
	if (isnull)
		version_column_raise_null(&update->version, row_name(update));
	update->present = version_column_read(&update->version, value);
	value = heap_getattr(trigger->tg_newtuple, update->version.number, desc,
						 &update->set_null);
	if (!update->set_null)
		update->set = version_column_read(&update->version, value);
}

/* Does the UPDATE set a version that is neither the present nor the next? */
static bool
is_stale(const TriggerData *trigger, const GuardedUpdate *update)
{
	int			column = update->version.number;

	if (!bms_is_member(column - FirstLowInvalidHeapAttributeNumber,
					   trigger->tg_updatedcols))
		return false;
	if (update->set_null)
		return true;
	if (update->set == update->present)
		return false;
	return update->set < update->present || update->set - 1 != update->present;
}

PG_FUNCTION_INFO_V1(teller_guard_version);

/* teller.guard_version(): trigger */
Datum
teller_guard_version(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	GuardedUpdate update;
	HeapTuple	tuple;
	int			column;
	Datum		next;
	bool		isnull = false;

	check_protocol(fcinfo);
	read_update(trigger, &update);
	column = update.version.number;
	if (is_stale(trigger, &update))
		raise_stale(&update);
	if (update.present == version_column_maximum(&update.version))
		version_column_raise_maximum(&update.version, row_name(&update));

	next = version_column_make(&update.version, update.present + 1);
	tuple = heap_modify_tuple_by_cols(trigger->tg_newtuple,
									  RelationGetDescr(update.rel),
									  1, &column, &next, &isnull);
	return PointerGetDatum(tuple);
}
