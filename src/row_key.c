/*-------------------------------------------------------------------------
 *
 * row_key.c
 *	  Ids: from what callers pass to the type of a table's primary key.
 *
 * A domain's values are compared as those of the type under it, so an id that
 * the domain would not allow is simply not found.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "input.h"
#include "row_table.h"

#define KEY_TEXT_MAX 128		/* bytes of a key in a message */

static bool
row_key_is_text(Oid type)
{
	return type == TEXTOID || type == VARCHAROID || type == NAMEOID;
}

pg_noreturn static void
row_key_refuse(RowTable *table, Oid type)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("an id of type %s does not fit the primary key of table %s",
					format_type_be(type), table->name),
			 errdetail("The key %s is of type %s.", table->key_name,
					   format_type_be(table->key_type)),
			 row_key_is_text(table->key_type) ?
			 errhint("Pass the id as text.") :
			 errhint("Pass the id as %s or as text.",
					 format_type_be(table->key_type))));
}

/* Find out how a value of this type is to be read. */
static void
row_key_choose(RowTable *table, RowReader *reader, Oid type)
{
	Oid			base = getBaseType(type);
	Oid			function;
	CoercionPathType path;

	if (base == table->key_type || IsBinaryCoercible(base, table->key_type))
	{
		reader->how = ROW_READ_AS_IS;
		return;
	}
	if (row_key_is_text(base))
	{
		reader->how = ROW_READ_INPUT;
		getTypeInputInfo(table->key_type, &function, &reader->ioparam);
		fmgr_info_cxt(function, &reader->function, table->context);
		return;
	}
	path = find_coercion_pathway(table->key_type, base, COERCION_IMPLICIT,
								 &function);
	if (path == COERCION_PATH_RELABELTYPE)
		reader->how = ROW_READ_AS_IS;
	else if (path == COERCION_PATH_FUNC && get_func_nargs(function) == 1)
	{
		reader->how = ROW_READ_CAST;
		fmgr_info_cxt(function, &reader->function, table->context);
	}
	else
		row_key_refuse(table, type);
}

static char *
row_key_cstring(Oid type, Datum id)
{
	if (type == NAMEOID)
		return pstrdup(NameStr(*DatumGetName(id)));
	return TextDatumGetCString(id);
}

/* As an expression would call it; the cast may be somebody's own. */
static Datum
row_key_cast(FmgrInfo *function, Datum id)
{
	LOCAL_FCINFO(call, 1);
	AclResult	result = teller_proc_aclcheck(function->fn_oid, GetUserId(),
											  ACL_EXECUTE);
	Datum		key;

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION,
					   get_func_name(function->fn_oid));
	InitFunctionCallInfoData(*call, function, 1, InvalidOid, NULL, NULL);
	call->args[0].value = id;
	call->args[0].isnull = false;
	key = FunctionCallInvoke(call);
	if (call->isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("id must not be null")));
	return key;
}

Datum
row_key_read(RowTable *table, Oid type, Datum id)
{
	RowReader  *reader = &table->key_reader;

	if (type == table->key_type)
		return id;
	if (reader->type != type)
	{
		reader->type = InvalidOid;
		row_key_choose(table, reader, type);
		reader->type = type;
	}
	switch (reader->how)
	{
		case ROW_READ_AS_IS:
			break;
		case ROW_READ_CAST:
			return row_key_cast(&reader->function, id);
		case ROW_READ_INPUT:
			return InputFunctionCall(&reader->function,
									 row_key_cstring(getBaseType(type), id),
									 reader->ioparam, -1);
	}
	return id;
}

Datum
row_key_argument(FunctionCallInfo fcinfo, int arg, RowTable *table)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, arg);

	input_require(fcinfo, arg, "id");
	if (!OidIsValid(type))
		elog(ERROR, "the type of argument %d is not known", arg + 1);
	return row_key_read(table, type, PG_GETARG_DATUM(arg));
}

char *
row_key_text(RowTable *table, Datum key)
{
	char	   *text = OutputFunctionCall(&table->key_output, key);
	int			length = strlen(text);

	if (length <= KEY_TEXT_MAX)
		return text;
	text[pg_mbcliplen(text, length, KEY_TEXT_MAX)] = '\0';
	return psprintf("%s...", text);
}

int
row_key_compare(RowTable *table, Datum a, Datum b)
{
	return DatumGetInt32(FunctionCall2Coll(&table->key_compare,
										   table->key_collation, a, b));
}
