/*-------------------------------------------------------------------------
 *
 * continuation_check.c
 *	  The functions that on_complete and on_doubt name, and their argument.
 *
 * A function is kept by its schema-qualified signature, because pg_upgrade
 * refuses stored regprocedure columns.  It is looked up and tested again each
 * time it is run, as the role that submitted the operation: it may have been
 * dropped, replaced or revoked since.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "continuation.h"

#define ARGUMENT_TYPE "operation_result"

/* The columns of an operation's row that are told, in the type's order. */
static const int told[] = {
	OPERATION_LEDGER, OPERATION_ID, OPERATION_ACCOUNT, OPERATION_DIRECTION,
	OPERATION_SERVER, OPERATION_NONCE, OPERATION_MEMO, OPERATION_AMOUNT,
	OPERATION_ASSET, OPERATION_COUNTERPARTY, OPERATION_PAYLOAD,
	OPERATION_STATE, OPERATION_REASON, OPERATION_REFERENCE,
	OPERATION_RESPONSE, OPERATION_ATTEMPTS, OPERATION_LAST_ERROR,
	OPERATION_CREATED_AT, OPERATION_ENDED_AT
};

Oid
continuation_argument_type(void)
{
	Oid			nsp = get_namespace_oid("teller", true);
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
									   CStringGetDatum(ARGUMENT_TYPE),
									   ObjectIdGetDatum(nsp));

	if (!OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("type teller.%s is missing", ARGUMENT_TYPE),
				 errhint("Run ALTER EXTENSION pg_teller UPDATE.")));
	return type;
}

Datum
continuation_argument(TupleTableSlot *operation)
{
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(continuation_argument_type(),
												   -1);
	Datum		values[lengthof(told)];
	bool		nulls[lengthof(told)];

	if (desc->natts != lengthof(told))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("type teller.%s is not that of this library",
						ARGUMENT_TYPE),
				 errhint("Run ALTER EXTENSION pg_teller UPDATE.")));
	slot_getallattrs(operation);
	for (int i = 0; i < lengthof(told); i++)
	{
		values[i] = operation->tts_values[told[i]];
		nulls[i] = operation->tts_isnull[told[i]];
	}
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/* ---- functions -------------------------------------------------------- */

char *
continuation_signature(Oid function, const char *argument)
{
	char	   *signature =
		format_procedure_extended(function, FORMAT_PROC_INVALID_AS_NULL |
								  FORMAT_PROC_FORCE_QUALIFY);

	if (signature == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("the function of %s does not exist", argument),
				 errdetail("There is none with OID %u.", function)));
	return signature;
}

/* What is wrong with it, or NULL. */
static const char *
find_fault(Form_pg_proc proc)
{
	if (proc->prokind != PROKIND_FUNCTION)
		return "It is a procedure, an aggregate or a window function.";
	if (proc->proretset)
		return "It returns a set.";
	if (proc->prorettype != VOIDOID)
		return "It does not return void.";
	if (proc->pronargs != 1 ||
		proc->proargtypes.values[0] != continuation_argument_type())
		return "It does not take exactly one teller.operation_result.";
	if (isAnyTempNamespace(proc->pronamespace))
		return "It is temporary, and the worker does not see it.";
	return NULL;
}

static void
check_rights(Oid function, Oid nsp, const char *signature)
{
	AclResult	result = teller_namespace_aclcheck(nsp, GetUserId(),
												   ACL_USAGE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_SCHEMA, get_namespace_name(nsp));
	result = teller_proc_aclcheck(function, GetUserId(), ACL_EXECUTE);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, signature);
}

void
continuation_check(Oid function, const char *argument)
{
	char	   *signature = continuation_signature(function, argument);
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	const char *fault;
	Oid			nsp;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s does not exist", signature)));
	fault = find_fault((Form_pg_proc) GETSTRUCT(tuple));
	nsp = ((Form_pg_proc) GETSTRUCT(tuple))->pronamespace;
	ReleaseSysCache(tuple);
	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("function %s cannot be used for %s", signature,
						argument),
				 errdetail_internal("%s", fault),
				 errhint("Create it as FUNCTION ...(teller.operation_result) RETURNS void.")));
	check_rights(function, nsp, signature);
}

Oid
continuation_resolve(const char *signature, const char *argument)
{
	Datum		found = DirectFunctionCall1(regprocedurein,
											CStringGetDatum(signature));

	continuation_check(DatumGetObjectId(found), argument);
	return DatumGetObjectId(found);
}
