/*-------------------------------------------------------------------------
 *
 * access.c
 *	  Who may do what on a ledger, and work done as the extension's owner.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "access.h"
#include "compat.h"
#include "errcodes.h"
#include "rel.h"
#include "version.h"

enum
{
	GRANT_LEDGER,
	GRANT_GRANTEE,
	GRANT_LEVEL
};

Oid
access_owner(void)
{
	Oid			nsp = get_namespace_oid("teller", true);
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(nsp));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension pg_teller is not installed in this database"),
				 errhint("Run CREATE EXTENSION pg_teller.")));
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return owner;
}

bool
access_is_owner(void)
{
	return has_privs_of_role(GetUserId(), access_owner());
}

static AccessLevel
level_from_text(const char *level)
{
	if (strcmp(level, "operate") == 0)
		return ACCESS_OPERATE;
	if (strcmp(level, "post") == 0)
		return ACCESS_POST;
	return ACCESS_READ;
}

static bool
granted(int64 ledger, AccessLevel level)
{
	Rel		   *rel = rel_open(REL_LEDGER_GRANT, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	Datum		keys[1] = {Int64GetDatum(ledger)};
	RelScan    *scan = rel_scan_begin(rel, "ledger_grant_pkey", snapshot, 1,
									  keys);
	bool		found = false;

	while (!found && rel_scan_next(scan, slot))
	{
		slot_getallattrs(slot);
		found = level_from_text(TextDatumGetCString(slot->tts_values[GRANT_LEVEL])) >= level &&
			has_privs_of_role(GetUserId(),
							  DatumGetObjectId(slot->tts_values[GRANT_GRANTEE]));
	}
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return found;
}

bool
access_allowed(int64 ledger, AccessLevel level)
{
	return access_is_owner() || granted(ledger, level);
}

void
access_require(int64 ledger, AccessLevel level)
{
	static const char *const names[] = {
		[ACCESS_READ] = "read",
		[ACCESS_POST] = "post",
		[ACCESS_OPERATE] = "operate"
	};

	if (!access_allowed(ledger, level))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for ledger %lld",
						(long long) ledger),
				 errhint("The owner of pg_teller can run teller.grant_ledger(%lld, '%s', '%s').",
						 (long long) ledger,
						 GetUserNameFromId(GetUserId(), false), names[level])));
}

void
access_require_owner(const char *what)
{
	if (!access_is_owner())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for %s", what),
				 errdetail("Only members of the role that owns pg_teller may do this.")));
}

/* ---- SQL as the owner ------------------------------------------------- */

void
owner_begin(OwnerScope *scope)
{
	version_require();
	GetUserIdAndSecContext(&scope->user, &scope->context);
	scope->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	SetUserIdAndSecContext(access_owner(),
						   scope->context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
owner_end(OwnerScope *scope)
{
	SPI_finish();
	AtEOXact_GUC(true, scope->guc_level);
	SetUserIdAndSecContext(scope->user, scope->context);
}

static Oid
type_of_letter(char letter)
{
	static const struct
	{
		char		letter;
		Oid			type;
	}			types[] =
	{
		{'i', INT8OID}, {'4', INT4OID}, {'t', TEXTOID}, {'n', NUMERICOID},
		{'b', BOOLOID}, {'u', UUIDOID}, {'y', BYTEAOID}, {'j', JSONBOID},
		{'J', JSONOID}, {'z', TIMESTAMPTZOID}, {'v', INTERVALOID},
		{'o', OIDOID}, {'N', NAMEOID}, {'r', REGROLEOID}
	};

	for (int i = 0; i < lengthof(types); i++)
		if (types[i].letter == letter)
			return types[i].type;
	elog(ERROR, "unknown argument letter %c", letter);
	return InvalidOid;
}

uint64
owner_execute(const char *sql, const char *types, const Datum *values,
			  const char *nulls, bool read_only)
{
	int			nargs = strlen(types);
	Oid			oids[FUNC_MAX_ARGS];
	int			result;

	for (int i = 0; i < nargs; i++)
		oids[i] = type_of_letter(types[i]);
	result = SPI_execute_with_args(sql, nargs, oids, (Datum *) values, nulls,
								   read_only, 0);
	if (result < 0)
		elog(ERROR, "%s: %s", SPI_result_code_string(result), sql);
	return SPI_processed;
}

Datum
owner_value(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column,
						 isnull);
}

/* ---- SQL functions ---------------------------------------------------- */

PG_FUNCTION_INFO_V1(teller_may_read);

/*
 * teller.may_read(ledger bigint) -> boolean: the filter of the views.  The
 * answer for the last ledger is kept for the length of one query.
 */
Datum
teller_may_read(PG_FUNCTION_ARGS)
{
	typedef struct Memory
	{
		int64		ledger;
		Oid			user;
		bool		allowed;
	}			Memory;
	Memory	   *memory = fcinfo->flinfo->fn_extra;
	int64		ledger = PG_GETARG_INT64(0);

	if (memory == NULL)
		memory = fcinfo->flinfo->fn_extra =
			MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Memory));
	if (memory->user != GetUserId() || memory->ledger != ledger)
	{
		memory->allowed = access_allowed(ledger, ACCESS_READ);
		memory->ledger = ledger;
		memory->user = GetUserId();
	}
	PG_RETURN_BOOL(memory->allowed);
}
