/*-------------------------------------------------------------------------
 *
 * key.c
 *	  Idempotency: one effect per key, and the same answer to every repeat.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "compat.h"
#include "durable.h"
#include "errcodes.h"
#include "input.h"
#include "key.h"
#include "ledger.h"
#include "rel.h"

/* The columns of teller.key. */
enum
{
	COL_LEDGER,
	COL_KEY,
	COL_FUNCTION,
	COL_ARGUMENTS,
	COL_FINGERPRINT,
	COL_ID,
	COL_STATUS,
	COL_REASON,
	COL_RESULT,
	COL_CREATED_AT,
	COL_REQUEST_TIME,
	COL_COUNT
};

/* ---- arguments -------------------------------------------------------- */

static JsonbValue *
add_argument(KeyCall *call, const char *name)
{
	if (call->count == KEY_MAX_ARGUMENTS)
		elog(ERROR, "too many arguments for a key");
	call->names[call->count] = name;
	call->values[call->count].type = jbvNull;
	return &call->values[call->count++];
}

static void
set_string(JsonbValue *value, char *string, int length)
{
	value->type = jbvString;
	value->val.string.val = string;
	value->val.string.len = length;
}

static void
set_numeric(JsonbValue *value, Datum numeric)
{
	value->type = jbvNumeric;
	value->val.numeric = DatumGetNumeric(numeric);
}

void
key_add_bigint(KeyCall *call, const char *name, bool isnull, int64 value)
{
	JsonbValue *v = add_argument(call, name);

	if (!isnull)
		set_numeric(v, NumericGetDatum(int64_to_numeric(value)));
}

/* Canonical: 10 and 10.00 are the same argument. */
void
key_add_numeric(KeyCall *call, const char *name, bool isnull, Datum value)
{
	JsonbValue *v = add_argument(call, name);

	if (!isnull)
		set_numeric(v, DirectFunctionCall1(numeric_trim_scale, value));
}

/* As it is, with its decimals: for what is kept, not compared. */
void
key_add_amount(KeyCall *call, const char *name, Datum value)
{
	set_numeric(add_argument(call, name), value);
}

void
key_add_string(KeyCall *call, const char *name, const char *value)
{
	JsonbValue *v = add_argument(call, name);

	if (value != NULL)
		set_string(v, pstrdup(value), strlen(value));
}

void
key_add_text(KeyCall *call, const char *name, const text *value)
{
	key_add_string(call, name, value ? text_to_cstring(value) : NULL);
}

void
key_add_bool(KeyCall *call, const char *name, bool value)
{
	JsonbValue *v = add_argument(call, name);

	v->type = jbvBool;
	v->val.boolean = value;
}

void
key_add_uuid(KeyCall *call, const char *name, const pg_uuid_t *value)
{
	key_add_string(call, name, value == NULL ? NULL :
				   DatumGetCString(DirectFunctionCall1(uuid_out,
													   UUIDPGetDatum(value))));
}

/* In UTC, so that the session's time zone does not matter. */
static char *
time_to_string(TimestampTz value)
{
	char	   *buffer = palloc(MAXDATELEN + 1);
	int			utc = 0;

	return JsonEncodeDateTime(buffer, TimestampTzGetDatum(value),
							  TIMESTAMPTZOID, &utc);
}

void
key_add_time(KeyCall *call, const char *name, bool isnull, TimestampTz value)
{
	key_add_string(call, name, isnull ? NULL : time_to_string(value));
}

/* Months, days and microseconds: free of IntervalStyle. */
void
key_add_interval(KeyCall *call, const char *name, bool isnull, Datum value)
{
	Interval   *span = DatumGetIntervalP(value);

	key_add_string(call, name, isnull ? NULL :
				   psprintf("%d mons %d days %lld us", span->month, span->day,
							(long long) span->time));
}

void
key_add_jsonb(KeyCall *call, const char *name, const Jsonb *value)
{
	JsonbValue *v = add_argument(call, name);

	if (value != NULL)
	{
		v->type = jbvBinary;
		v->val.binary.data = (JsonbContainer *) &value->root;
		v->val.binary.len = VARSIZE(value) - VARHDRSZ;
	}
}

void
key_add_request_time(FunctionCallInfo fcinfo, int arg, KeyCall *call)
{
	call->has_request_time = !PG_ARGISNULL(arg);
	call->request_time = input_time(fcinfo, arg, "request_time", 0);
	key_add_time(call, "request_time", !call->has_request_time,
				 call->request_time);
}

/* The order of names in a stored object: the shorter ones first. */
static bool
is_before(const JsonbValue *a, const JsonbValue *b)
{
	if (a->val.string.len != b->val.string.len)
		return a->val.string.len < b->val.string.len;
	return memcmp(a->val.string.val, b->val.string.val, a->val.string.len) < 0;
}

/*
 * The object of these pairs, whose names all differ.  Scalars, which is what
 * nearly all calls have, go in at their place; the parser's stack unpacks the
 * rest.
 */
static Jsonb *
object_of(JsonbPair *pairs, int count)
{
	JsonbParseState *state = NULL;
	JsonbValue	object = {.type = jbvObject};
	bool		scalars = true;

	for (int i = 0; i < count; i++)
	{
		JsonbPair	pair = pairs[i];
		int			place = i;

		for (; place > 0 && is_before(&pair.key, &pairs[place - 1].key); place--)
			pairs[place] = pairs[place - 1];
		pairs[place] = pair;
		scalars = scalars && IsAJsonbScalar(&pair.value);
	}
	object.val.object.nPairs = count;
	object.val.object.pairs = pairs;
	if (scalars)
		return JsonbValueToJsonb(&object);

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < count; i++)
	{
		pushJsonbValue(&state, WJB_KEY, &pairs[i].key);
		pushJsonbValue(&state, WJB_VALUE, &pairs[i].value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

Jsonb *
key_arguments(const KeyCall *call)
{
	JsonbPair	pairs[KEY_MAX_ARGUMENTS] = {0};
	int			count = 0;

	for (int i = 0; i < call->count; i++)
	{
		/* So an argument that a later version adds changes no fingerprint. */
		if (call->values[i].type == jbvNull)
			continue;
		set_string(&pairs[count].key, (char *) call->names[i],
				   strlen(call->names[i]));
		pairs[count++].value = call->values[i];
	}
	return object_of(pairs, count);
}

bytea *
key_fingerprint(const char *function, const Jsonb *arguments)
{
	StringInfoData text;
	bytea	   *input;

	initStringInfo(&text);
	appendStringInfo(&text, "%s ", function);
	(void) JsonbToCString(&text, (JsonbContainer *) &arguments->root,
						  VARSIZE(arguments));
	input = cstring_to_text_with_len(text.data, text.len);
	return DatumGetByteaPP(DirectFunctionCall1(sha256_bytea,
											   PointerGetDatum(input)));
}

#define ARGUMENT_SHOWN 200		/* bytes of an argument in a message */

static char *
clip(char *text)
{
	int			length = strlen(text);

	if (length <= ARGUMENT_SHOWN)
		return text;
	return psprintf("%.*s...", pg_mbcliplen(text, length, ARGUMENT_SHOWN), text);
}

/* One argument as text, for comparison. */
static char *
argument_text(const JsonbValue *value)
{
	if (value == NULL)
		return pstrdup("null");
	return JsonbToCString(NULL, &JsonbValueToJsonb((JsonbValue *) value)->root, 0);
}

void
key_compare(const KeyCall *call, const char *function, const Jsonb *stored,
			const char *what)
{
	if (strcmp(call->function, function) != 0)
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_IDEMPOTENCY_MISMATCH),
				 errmsg("%s was used by another function", what),
				 errdetail("It was used by %s, now it is %s.", function,
						   call->function)));
	for (int i = 0; i < call->count; i++)
	{
		JsonbValue	buffer;
		JsonbValue *old = getKeyJsonValueFromContainer((JsonbContainer *) &stored->root,
													   call->names[i],
													   strlen(call->names[i]),
													   &buffer);
		char	   *before = argument_text(old);
		char	   *now = argument_text(&call->values[i]);

		if (strcmp(before, now) != 0)
			ereport(ERROR,
					(teller_errcode(ERRCODE_TELLER_IDEMPOTENCY_MISMATCH),
					 errmsg("%s was used with another %s", what,
							call->names[i]),
					 errdetail("It was used with %s %s, now it is %s.",
							   call->names[i], clip(before), clip(now)),
					 errhint("Use a new key for a new request, or repeat the first one unchanged.")));
	}
}

/* ---- results ---------------------------------------------------------- */

static JsonbValue
column_to_json(Oid type, Datum value)
{
	JsonbValue	v;
	char	   *string;

	switch (type)
	{
		case INT8OID:
			set_numeric(&v, NumericGetDatum(int64_to_numeric(DatumGetInt64(value))));
			return v;
		case NUMERICOID:
			set_numeric(&v, value);
			return v;
		case BOOLOID:
			v.type = jbvBool;
			v.val.boolean = DatumGetBool(value);
			return v;
		case UUIDOID:
			string = DatumGetCString(DirectFunctionCall1(uuid_out, value));
			break;
		case TIMESTAMPTZOID:
			string = time_to_string(DatumGetTimestampTz(value));
			break;
		case TEXTOID:
			string = TextDatumGetCString(value);
			break;
		default:
			elog(ERROR, "type %u cannot be stored in a result", type);
	}
	set_string(&v, string, strlen(string));
	return v;
}

static Datum
column_from_json(Oid type, const JsonbValue *v)
{
	char	   *string = NULL;

	if (v->type == jbvString)
		string = pnstrdup(v->val.string.val, v->val.string.len);
	switch (type)
	{
		case INT8OID:
			return DirectFunctionCall1(numeric_int8,
									   NumericGetDatum(v->val.numeric));
		case NUMERICOID:
			return NumericGetDatum(v->val.numeric);
		case BOOLOID:
			return BoolGetDatum(v->val.boolean);
		case UUIDOID:
			return DirectFunctionCall1(uuid_in, CStringGetDatum(string));
		case TIMESTAMPTZOID:
			return DirectFunctionCall3(timestamptz_in, CStringGetDatum(string),
									   ObjectIdGetDatum(InvalidOid),
									   Int32GetDatum(-1));
		case TEXTOID:
			return CStringGetTextDatum(string);
		default:
			elog(ERROR, "type %u cannot be stored in a result", type);
	}
	return (Datum) 0;
}

Jsonb *
key_row_to_json(TupleDesc desc, const Datum *values, const bool *nulls)
{
	JsonbPair  *pairs = palloc0(sizeof(JsonbPair) * desc->natts);
	int			count = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (nulls[i] || strcmp(NameStr(att->attname), "replayed") == 0)
			continue;
		set_string(&pairs[count].key, NameStr(att->attname),
				   strlen(NameStr(att->attname)));
		pairs[count++].value = column_to_json(att->atttypid, values[i]);
	}
	return object_of(pairs, count);
}

void
key_row_from_json(TupleDesc desc, Jsonb *stored, Datum *values, bool *nulls)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		JsonbValue	buffer;
		JsonbValue *v = getKeyJsonValueFromContainer(&stored->root,
													 NameStr(att->attname),
													 strlen(NameStr(att->attname)),
													 &buffer);

		nulls[i] = v == NULL;
		if (strcmp(NameStr(att->attname), "replayed") == 0)
		{
			nulls[i] = false;
			values[i] = BoolGetDatum(true);
		}
		else if (v != NULL)
			values[i] = column_from_json(att->atttypid, v);
	}
}

/* ---- keys ------------------------------------------------------------- */

Jsonb *
key_find(int64 ledger, const text *key, const KeyCall *call)
{
	Rel		   *rel = rel_open(REL_KEY, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[2] = {Int64GetDatum(ledger), PointerGetDatum(key)};
	Jsonb	   *result = NULL;

	if (rel_await_row(rel, 2, keys, slot))
	{
		durable_await_row(slot);
		slot_getallattrs(slot);
		key_compare(call, TextDatumGetCString(slot->tts_values[COL_FUNCTION]),
					DatumGetJsonbP(slot->tts_values[COL_ARGUMENTS]),
					psprintf("key \"%s\" of ledger %lld", text_to_cstring(key),
							 (long long) ledger));
		result = DatumGetJsonbPCopy(slot->tts_values[COL_RESULT]);
	}
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return result;
}

bool
key_replay(int64 ledger, const text *key, const KeyCall *call, TupleDesc desc,
		   Datum *values, bool *nulls)
{
	Jsonb	   *result = key_find(ledger, key, call);

	if (result != NULL)
	{
		key_row_from_json(desc, result, values, nulls);
		stats_note_replay();
	}
	return result != NULL;
}

bool
key_store(int64 ledger, const text *key, const KeyCall *call,
		  const KeyAnswer *answer, TimestampTz now)
{
	Rel		   *rel = rel_open(REL_KEY, RowExclusiveLock);
	Jsonb	   *arguments = key_arguments(call);
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};
	bool		stored;

	values[COL_LEDGER] = Int64GetDatum(ledger);
	values[COL_KEY] = PointerGetDatum(key);
	values[COL_FUNCTION] = CStringGetTextDatum(call->function);
	values[COL_ARGUMENTS] = JsonbPGetDatum(arguments);
	values[COL_FINGERPRINT] = PointerGetDatum(key_fingerprint(call->function,
															  arguments));
	nulls[COL_ID] = answer->id == NULL;
	values[COL_ID] = UUIDPGetDatum(answer->id);
	values[COL_STATUS] = CStringGetTextDatum(answer->status);
	nulls[COL_REASON] = answer->reason == NULL;
	if (answer->reason != NULL)
		values[COL_REASON] = CStringGetTextDatum(answer->reason);
	values[COL_RESULT] = JsonbPGetDatum(answer->result);
	values[COL_CREATED_AT] = TimestampTzGetDatum(now);
	nulls[COL_REQUEST_TIME] = !call->has_request_time;
	values[COL_REQUEST_TIME] = TimestampTzGetDatum(call->request_time);
	stored = rel_insert_if_absent(rel, values, nulls);
	rel_close(rel);
	if (stored && call->has_request_time)
		key_check_age(ledger, key, call->request_time);
	return stored;
}

/* A column of the row by its name; false if it is null or not there. */
static bool
row_column(TupleDesc desc, const char *name, const Datum *values,
		   const bool *nulls, Datum *value)
{
	for (int i = 0; i < desc->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
		{
			*value = values[i];
			return !nulls[i];
		}
	return false;
}

bool
key_store_row(int64 ledger, const text *key, const KeyCall *call,
			  TupleDesc desc, const Datum *values, const bool *nulls,
			  TimestampTz now)
{
	KeyAnswer	answer = {0};
	Datum		value;

	if (row_column(desc, "id", values, nulls, &value))
		answer.id = DatumGetUUIDP(value);
	if (row_column(desc, "status", values, nulls, &value))
		answer.status = TextDatumGetCString(value);
	if (row_column(desc, "reason", values, nulls, &value))
		answer.reason = TextDatumGetCString(value);
	answer.result = key_row_to_json(desc, values, nulls);
	return key_store(ledger, key, call, &answer, now);
}

void
key_unstore(int64 ledger, const text *key)
{
	Rel		   *rel = rel_open(REL_KEY, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[2] = {Int64GetDatum(ledger), PointerGetDatum(key)};

	if (!rel_lock_row(rel, 2, keys, LockTupleExclusive, slot))
		elog(ERROR, "key \"%s\" is not stored", text_to_cstring(key));
	rel_delete(rel, slot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
}

PG_FUNCTION_INFO_V1(teller_find);

/* teller.find(ledger, key): a row if the key was used, else none. */
Datum
teller_find(PG_FUNCTION_ARGS)
{
	static const int columns[] = {
		COL_FUNCTION, COL_ID, COL_STATUS, COL_REASON, COL_RESULT, COL_CREATED_AT
	};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		keys[2];
	Datum		values[lengthof(columns)];
	bool		nulls[lengthof(columns)];
	Rel		   *rel;
	TupleTableSlot *slot;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "key");
	keys[0] = PG_GETARG_DATUM(0);
	keys[1] = PointerGetDatum(input_label(fcinfo, 1, "key"));
	access_require(PG_GETARG_INT64(0), ACCESS_READ);
	InitMaterializedSRF(fcinfo, 0);

	rel = rel_open(REL_KEY, AccessShareLock);
	slot = rel_make_slot(rel);
	if (rel_fetch(rel, GetActiveSnapshot(), 2, keys, slot))
	{
		durable_await_row(slot);
		slot_getallattrs(slot);
		for (int i = 0; i < lengthof(columns); i++)
		{
			values[i] = slot->tts_values[columns[i]];
			nulls[i] = slot->tts_isnull[columns[i]];
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	else
		ledger_check(PG_GETARG_INT64(0));
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return (Datum) 0;
}
