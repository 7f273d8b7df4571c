/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Commands that must not meet the worker or lose the money.
 *
 * DROP DATABASE, ALTER DATABASE RENAME and SET TABLESPACE, and CREATE
 * DATABASE with a TEMPLATE fail while anybody is connected to the database.
 * A hook asks the worker to leave before the command runs and keeps it out
 * until the transaction has ended, so that it comes back after a failure.  It
 * works in every database of the server, whether or not that one has the
 * extension.
 *
 * DROP EXTENSION is refused while there are accounts, by an event trigger
 * that is a member of the extension.  It needs no preload.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/event_trigger.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "guard.h"
#include "guc.h"
#include "shmem.h"
#include "version.h"
#include "wake.h"

/*
 * How long a command waits for the worker to leave.  After that it goes on,
 * and fails by its own rule if the worker is still there.
 */
#define LEAVE_WAIT_MS 10000

static ProcessUtility_hook_type previous_utility_hook = NULL;

/* ---- commands that need a database for themselves ---------------------- */

static bool
worker_is_in(Oid dboid, ConditionVariable **gone)
{
	BoardEntry *entry;
	bool		in;

	LWLockAcquire(board->lock, LW_SHARED);
	entry = board_find(dboid);
	in = entry != NULL && entry->pid != 0;
	*gone = in ? &entry->gone : NULL;
	LWLockRelease(board->lock);
	return in;
}

static void
wait_until_left(Oid dboid)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   LEAVE_WAIT_MS);
	ConditionVariable *gone;

	/*
	 * The first sleep on a condition variable only prepares; the loop then
	 * looks again, so that a worker that left in between is not waited for.
	 */
	while (worker_is_in(dboid, &gone))
	{
		long		left = wake_ms_until(deadline, LEAVE_WAIT_MS);

		if (left <= 0)
		{
			ereport(DEBUG1,
					(errmsg_internal("pg_teller worker did not leave database %u in time",
									 dboid)));
			break;
		}
		ConditionVariableTimedSleep(gone, left, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

/*
 * Who may not run the command does not disturb the worker; the command itself
 * then says why not.
 */
static void
take_database(const char *dbname)
{
	Oid			dboid = get_database_oid(dbname, true);

	if (!OidIsValid(dboid) ||
		!teller_database_ownercheck(dboid, GetUserId()))
		return;
	if (wake_leave(dboid))
		wait_until_left(dboid);
}

static DefElem *
find_option(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0)
			return option;
	}
	return NULL;
}

static void
before_command(Node *stmt)
{
	if (IsA(stmt, DropdbStmt))
	{
		take_database(((DropdbStmt *) stmt)->dbname);
		wake_rescan_at_commit();
	}
	else if (IsA(stmt, RenameStmt))
	{
		RenameStmt *rename = (RenameStmt *) stmt;

		if (rename->renameType == OBJECT_DATABASE)
			take_database(rename->subname);
	}
	else if (IsA(stmt, AlterDatabaseStmt))
	{
		AlterDatabaseStmt *alter = (AlterDatabaseStmt *) stmt;

		if (find_option(alter->options, "tablespace") != NULL)
			take_database(alter->dbname);
		wake_rescan_at_commit();
	}
	else if (IsA(stmt, CreatedbStmt))
	{
		DefElem    *option = find_option(((CreatedbStmt *) stmt)->options,
										 "template");

		if (option != NULL && option->arg != NULL)
			take_database(defGetString(option));
		wake_rescan_at_commit();
	}
}

static void
guard_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
			  ProcessUtilityContext context, ParamListInfo params,
			  QueryEnvironment *queryEnv, DestReceiver *dest,
			  QueryCompletion *qc)
{
	before_command(pstmt->utilityStmt);
	if (previous_utility_hook)
		previous_utility_hook(pstmt, queryString, readOnlyTree, context,
							  params, queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context,
								params, queryEnv, dest, qc);
}

void
guard_install(void)
{
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = guard_utility;
}

/* ---- DROP EXTENSION --------------------------------------------------- */

static bool
names_one_of(List *objects, const char *first, const char *second)
{
	ListCell   *cell;

	foreach(cell, objects)
	{
		const char *name = strVal(lfirst(cell));

		if (strcmp(name, first) == 0 || strcmp(name, second) == 0)
			return true;
	}
	return false;
}

static bool
names_role(List *roles, Oid role)
{
	ListCell   *cell;

	foreach(cell, roles)
		if (get_rolespec_oid(lfirst_node(RoleSpec, cell), true) == role)
			return true;
	return false;
}

static bool
names_owner_of_schema(List *roles, const char *schema)
{
	Oid			oid = get_namespace_oid(schema, true);
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(oid));
	bool		named;

	if (!HeapTupleIsValid(tuple))
		return false;
	named = names_role(roles,
					   ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner);
	ReleaseSysCache(tuple);
	return named;
}

/* Would this command drop pg_teller, if it is allowed to? */
static bool
drops_extension(Node *stmt, const ExtensionInfo *info)
{
	if (IsA(stmt, DropStmt))
	{
		DropStmt   *drop = (DropStmt *) stmt;

		if (drop->removeType == OBJECT_EXTENSION)
			return names_one_of(drop->objects, "pg_teller", "pg_teller");
		if (drop->removeType == OBJECT_SCHEMA)
			return names_one_of(drop->objects, "teller", "teller_remote");
		return false;
	}
	if (IsA(stmt, DropOwnedStmt))
	{
		List	   *roles = ((DropOwnedStmt *) stmt)->roles;

		return names_role(roles, info->owner) ||
			names_owner_of_schema(roles, "teller") ||
			names_owner_of_schema(roles, "teller_remote");
	}
	return false;
}

/*
 * Is there an account?  The lock keeps it that way until the DROP has ended.
 * The table is read without asking for rights: the answer only guards it.
 */
static bool
any_account(void)
{
	Oid			schema = get_namespace_oid("teller", true);
	Oid			relid = InvalidOid;
	Relation	rel;
	Snapshot	snapshot;
	TupleTableSlot *slot;
	TableScanDesc scan;
	bool		found;

	if (OidIsValid(schema))
		relid = get_relname_relid("account", schema);
	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_RELATION)
		return false;

	rel = table_open(relid, ShareRowExclusiveLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	slot = table_slot_create(rel, NULL);
	scan = table_beginscan(rel, snapshot, 0, NULL);
	found = table_scan_getnextslot(scan, ForwardScanDirection, slot);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	return found;
}

PG_FUNCTION_INFO_V1(teller_guard_drop);

/*
 * teller.guard_drop(), event trigger on ddl_command_start: 55000 if the
 * command would drop pg_teller while there are accounts, unless
 * teller.allow_drop is on.  Locks, only if it would: the extension as DROP
 * EXTENSION does, then the accounts against writing.  In this order, because
 * the worker too locks the extension before any table.
 */
Datum
teller_guard_drop(PG_FUNCTION_ARGS)
{
	EventTriggerData *data;
	ExtensionInfo info;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function teller.guard_drop must be called as an event trigger")));
	data = (EventTriggerData *) fcinfo->context;

	if (!extension_lookup(&info) ||
		!drops_extension(data->parsetree, &info))
		PG_RETURN_NULL();

	/* Who may not drop it gets no lock; the command itself says why not. */
	if (!has_privs_of_role(GetUserId(), info.owner))
		PG_RETURN_NULL();

	if (!teller_allow_drop)
	{
		LockDatabaseObject(ExtensionRelationId, info.oid, 0,
						   AccessExclusiveLock);
		if (any_account())
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("cannot drop extension pg_teller while there are accounts"),
					 errdetail("All ledgers of database \"%s\" would be lost.",
							   get_database_name(MyDatabaseId)),
					 errhint("Set teller.allow_drop to on to drop them all the same.")));
	}
	wake_at_commit(DT_NOBEGIN);
	wake_launcher_at_commit();
	PG_RETURN_NULL();
}
