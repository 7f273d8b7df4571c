/*-------------------------------------------------------------------------
 *
 * input.c
 *	  Tests of what callers pass, and the row that a function returns.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "input.h"

/* The row types of the functions this backend has called. */
#define RESULT_DESCS 16
static struct
{
	Oid			function;
	uint32		hash;			/* of the function in the syscache */
	TupleDesc	desc;
}			result_descs[RESULT_DESCS];

void
input_require(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

text *
input_label(FunctionCallInfo fcinfo, int arg, const char *name)
{
	return PG_ARGISNULL(arg) ? NULL :
		input_label_value(PG_GETARG_DATUM(arg), name);
}

text *
input_label_value(Datum datum, const char *name)
{
	text	   *value;
	int			length = toast_raw_datum_size(datum) - VARHDRSZ;

	if (length < 1 || length > INPUT_LABEL_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have 1 to %d bytes", name, INPUT_LABEL_MAX),
				 errdetail("It has %d.", length)));
	value = DatumGetTextPP(datum);
	for (int i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) VARDATA_ANY(value)[i];

		if (c < 0x20 || c == 0x7f)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s must not contain control characters", name),
					 errdetail("Byte %d has the code %d.", i + 1, c)));
	}
	return value;
}

static int
jsonb_depth(Jsonb *value)
{
	JsonbIterator *it = JsonbIteratorInit(&value->root);
	JsonbValue	v;
	JsonbIteratorToken token;
	int			depth = 0,
				deepest = 0;

	while ((token = JsonbIteratorNext(&it, &v, false)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT)
		{
			depth++;
			deepest = Max(deepest, depth);
		}
		else if (token == WJB_END_ARRAY || token == WJB_END_OBJECT)
			depth--;
	}
	return deepest;
}

Jsonb *
input_metadata(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? NULL :
		input_metadata_value(PG_GETARG_DATUM(arg));
}

Jsonb *
input_metadata_value(Datum datum)
{
	Jsonb	   *value;

	if (toast_raw_datum_size(datum) > INPUT_METADATA_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("metadata is larger than %d bytes", INPUT_METADATA_MAX)));
	value = DatumGetJsonbP(datum);
	if (JB_ROOT_IS_SCALAR(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("metadata must be a JSON object or array")));
	if (jsonb_depth(value) > INPUT_METADATA_DEPTH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("metadata is nested deeper than %d levels",
						INPUT_METADATA_DEPTH)));
	return value;
}

void
input_array(FunctionCallInfo fcinfo, int arg, const char *name, int max,
			InputArray *array)
{
	ArrayType  *value;
	int16		length;
	bool		by_value;
	char		align;

	memset(array, 0, sizeof(InputArray));
	array->name = name;
	array->count = -1;
	if (PG_ARGISNULL(arg))
		return;
	value = PG_GETARG_ARRAYTYPE_P(arg);
	if (ARR_NDIM(value) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have one dimension", name)));
	array->count = ArrayGetNItems(ARR_NDIM(value), ARR_DIMS(value));
	if (array->count > max)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s has more than %d elements", name, max),
				 errdetail("It has %d.", array->count)));
	get_typlenbyvalalign(ARR_ELEMTYPE(value), &length, &by_value, &align);
	deconstruct_array(value, ARR_ELEMTYPE(value), length, by_value, align,
					  &array->values, &array->nulls, &array->count);
}

void
input_require_elements(const InputArray *array)
{
	for (int i = 0; i < array->count; i++)
		if (array->nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("element %d of %s is null", i + 1, array->name)));
}

TimestampTz
input_time(FunctionCallInfo fcinfo, int arg, const char *name,
		   TimestampTz otherwise)
{
	return PG_ARGISNULL(arg) ? otherwise :
		input_time_value(PG_GETARG_DATUM(arg), name);
}

TimestampTz
input_time_value(Datum datum, const char *name)
{
	TimestampTz value = DatumGetTimestampTz(datum);

	if (TIMESTAMP_NOT_FINITE(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be finite", name)));
	return value;
}

int64
input_version(FunctionCallInfo fcinfo, int arg)
{
	return input_version_value(PG_GETARG_DATUM(arg));
}

int64
input_version_value(Datum value)
{
	int64		version = DatumGetInt64(value);

	if (version < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("expected_version must not be negative"),
				 errdetail("It is %lld.", (long long) version)));
	return version;
}

OnDenial
input_on_denial(FunctionCallInfo fcinfo, int arg)
{
	char	   *word;

	input_require(fcinfo, arg, "on_denial");
	word = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	if (strcmp(word, "raise") == 0)
		return DENIAL_RAISE;
	if (strcmp(word, "return") == 0)
		return DENIAL_RETURN;
	if (strcmp(word, "record") == 0)
		return DENIAL_RECORD;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("on_denial must be 'raise', 'return' or 'record', not \"%s\"",
					word)));
	return DENIAL_RAISE;
}

/* ---- results ---------------------------------------------------------- */

static void
forget_result_descs(Datum arg, int cacheid, uint32 hash)
{
	/*
	 * A call further up the stack may be using the descriptor, so it is not
	 * freed.  Our functions change with an upgrade, not more often.
	 */
	for (int i = 0; i < RESULT_DESCS; i++)
		if (hash == 0 || hash == result_descs[i].hash)
			result_descs[i].function = InvalidOid;
}

static TupleDesc
make_result_desc(FunctionCallInfo fcinfo)
{
	TupleDesc	desc;
	MemoryContext old;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "function %u does not return a row",
			 fcinfo->flinfo->fn_oid);
	old = MemoryContextSwitchTo(TopMemoryContext);
	desc = CreateTupleDescCopy(desc);
	MemoryContextSwitchTo(old);
	return BlessTupleDesc(desc);
}

TupleDesc
input_result_desc(FunctionCallInfo fcinfo)
{
	static bool registered = false;
	Oid			function = fcinfo->flinfo->fn_oid;
	int			place = function % RESULT_DESCS;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, forget_result_descs, (Datum) 0);
		registered = true;
	}
	if (result_descs[place].function != function)
	{
		result_descs[place].desc = make_result_desc(fcinfo);
		result_descs[place].hash = GetSysCacheHashValue1(PROCOID,
														 ObjectIdGetDatum(function));
		result_descs[place].function = function;
	}
	return result_descs[place].desc;
}

Datum
input_result(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	return HeapTupleGetDatum(heap_form_tuple(input_result_desc(fcinfo), values,
											 nulls));
}
