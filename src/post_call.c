/*-------------------------------------------------------------------------
 *
 * post_call.c
 *	  teller.post as SQL calls it: arrays in, a row for each item out.
 *
 * What happens to the batch is in batch.c and post.c.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "access.h"
#include "batch.h"
#include "compat.h"
#include "errcodes.h"
#include "input.h"

enum
{
	ARG_LEDGER,
	ARG_DEBIT_ACCOUNTS,
	ARG_CREDIT_ACCOUNTS,
	ARG_AMOUNTS,
	ARG_KEYS,
	ARG_MODE,
	ARG_METADATA,
	ARG_KEY,
	ARG_EFFECTIVE_AT,
	ARG_EXPECTED_VERSIONS,
	ARG_REQUEST_TIME
};

/* The arrays, beside the items that are made of them. */
typedef struct PostArrays
{
	InputArray	debit_accounts;
	InputArray	credit_accounts;
	InputArray	amounts;
	InputArray	keys;
	InputArray	metadata;
	InputArray	expected_versions;
} PostArrays;

/* ---- what was passed -------------------------------------------------- */

static bool
read_mode(FunctionCallInfo fcinfo)
{
	char	   *mode;

	input_require(fcinfo, ARG_MODE, "mode");
	mode = text_to_cstring(PG_GETARG_TEXT_PP(ARG_MODE));
	if (strcmp(mode, "atomic") == 0)
		return true;
	if (strcmp(mode, "independent") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mode must be 'atomic' or 'independent', not \"%s\"",
						mode)));
	return false;
}

static void
check_length(const InputArray *array, const InputArray *first)
{
	if (array->count >= 0 && array->count != first->count)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s and %s have different lengths", first->name,
						array->name),
				 errdetail("One has %d elements, the other %d.",
						   first->count, array->count)));
}

static void
read_arrays(FunctionCallInfo fcinfo, PostArrays *arrays)
{
	input_require(fcinfo, ARG_DEBIT_ACCOUNTS, "debit_accounts");
	input_require(fcinfo, ARG_CREDIT_ACCOUNTS, "credit_accounts");
	input_require(fcinfo, ARG_AMOUNTS, "amounts");
	input_array(fcinfo, ARG_DEBIT_ACCOUNTS, "debit_accounts", POST_MAX_ITEMS,
				&arrays->debit_accounts);
	input_array(fcinfo, ARG_CREDIT_ACCOUNTS, "credit_accounts",
				POST_MAX_ITEMS, &arrays->credit_accounts);
	input_array(fcinfo, ARG_AMOUNTS, "amounts", POST_MAX_ITEMS,
				&arrays->amounts);
	input_array(fcinfo, ARG_KEYS, "keys", POST_MAX_ITEMS, &arrays->keys);
	input_array(fcinfo, ARG_METADATA, "metadata", POST_MAX_ITEMS,
				&arrays->metadata);
	input_array(fcinfo, ARG_EXPECTED_VERSIONS, "expected_versions",
				POST_MAX_ITEMS, &arrays->expected_versions);
	check_length(&arrays->credit_accounts, &arrays->debit_accounts);
	check_length(&arrays->amounts, &arrays->debit_accounts);
	check_length(&arrays->keys, &arrays->debit_accounts);
	check_length(&arrays->metadata, &arrays->debit_accounts);
	check_length(&arrays->expected_versions, &arrays->debit_accounts);
	input_require_elements(&arrays->debit_accounts);
	input_require_elements(&arrays->credit_accounts);
	input_require_elements(&arrays->amounts);
}

static bool
has_element(const InputArray *array, int i)
{
	return array->count > i && !array->nulls[i];
}

static void
read_item(FunctionCallInfo fcinfo, const PostArrays *arrays, int i,
		  PostItem *item)
{
	TransferRequest *request = &item->request;

	item->first = item->twin = -1;
	request->ledger = PG_GETARG_INT64(ARG_LEDGER);
	request->debit_account = DatumGetInt64(arrays->debit_accounts.values[i]);
	request->credit_account = DatumGetInt64(arrays->credit_accounts.values[i]);
	account_check_pair(request->debit_account, request->credit_account);
	request->amount = DatumGetNumeric(arrays->amounts.values[i]);
	amount_check(request->amount, "amount");
	request->has_expected_version = has_element(&arrays->expected_versions, i);
	if (request->has_expected_version)
		request->expected_version =
			input_version_value(arrays->expected_versions.values[i]);
	request->has_effective_at = !PG_ARGISNULL(ARG_EFFECTIVE_AT);
	request->effective_at = input_time(fcinfo, ARG_EFFECTIVE_AT,
									   "effective_at", 0);
	if (has_element(&arrays->metadata, i))
		request->metadata = input_metadata_value(arrays->metadata.values[i]);
	if (!has_element(&arrays->keys, i))
		return;
	item->key = input_label_value(arrays->keys.values[i], "key");
	item->call = palloc0(sizeof(KeyCall));
	transfer_describe(request, item->call);
	key_add_request_time(fcinfo, ARG_REQUEST_TIME, item->call);
}

/* ---- the batch's own key ---------------------------------------------- */

static JsonbValue
element_to_json(Oid type, Datum value, bool isnull)
{
	JsonbValue	v = {.type = jbvNull};

	if (isnull)
		return v;
	switch (type)
	{
		case INT8OID:
			v.type = jbvNumeric;
			v.val.numeric = int64_to_numeric(DatumGetInt64(value));
			break;
		case NUMERICOID:
			v.type = jbvNumeric;
			v.val.numeric =
				DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, value));
			break;
		case JSONBOID:
			v.type = jbvBinary;
			v.val.binary.data = &DatumGetJsonbP(value)->root;
			v.val.binary.len = VARSIZE(DatumGetJsonbP(value)) - VARHDRSZ;
			break;
		default:
			elog(ERROR, "elements of type %u cannot be stored", type);
	}
	return v;
}

static void
add_array(KeyCall *call, const InputArray *array, Oid type)
{
	JsonbParseState *state = NULL;
	JsonbValue *value;

	if (array->count < 0)
	{
		key_add_jsonb(call, array->name, NULL);
		return;
	}
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < array->count; i++)
	{
		JsonbValue	element = element_to_json(type, array->values[i],
											  array->nulls[i]);

		pushJsonbValue(&state, WJB_ELEM, &element);
	}
	value = pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	key_add_jsonb(call, array->name, JsonbValueToJsonb(value));
}

static KeyCall *
describe_batch(FunctionCallInfo fcinfo, const PostArrays *arrays)
{
	KeyCall    *call = palloc0(sizeof(KeyCall));

	call->function = "post";
	add_array(call, &arrays->debit_accounts, INT8OID);
	add_array(call, &arrays->credit_accounts, INT8OID);
	add_array(call, &arrays->amounts, NUMERICOID);
	add_array(call, &arrays->metadata, JSONBOID);
	key_add_time(call, "effective_at", PG_ARGISNULL(ARG_EFFECTIVE_AT),
				 input_time(fcinfo, ARG_EFFECTIVE_AT, "effective_at", 0));
	add_array(call, &arrays->expected_versions, INT8OID);
	key_add_request_time(fcinfo, ARG_REQUEST_TIME, call);
	return call;
}

static void
read_key(FunctionCallInfo fcinfo, const PostArrays *arrays, Batch *batch)
{
	batch->key = input_label(fcinfo, ARG_KEY, "key");
	if (batch->key == NULL)
		return;
	if (arrays->keys.count >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key and keys exclude each other")));
	if (!batch->post.atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key names an atomic batch"),
				 errhint("Pass keys, one for each item, in independent mode.")));
	batch->call = describe_batch(fcinfo, arrays);
}

PG_FUNCTION_INFO_V1(teller_post);

/*
 * teller.post: see its COMMENT.  Looks up the keys in their order, then locks
 * all accounts by account_id.
 */
Datum
teller_post(PG_FUNCTION_ARGS)
{
	PostArrays	arrays;
	Batch		batch = {0};

	input_require(fcinfo, ARG_LEDGER, "ledger");
	batch.post.ledger = PG_GETARG_INT64(ARG_LEDGER);
	batch.post.atomic = read_mode(fcinfo);
	read_arrays(fcinfo, &arrays);
	access_require(batch.post.ledger, ACCESS_POST);
	batch.post.count = arrays.debit_accounts.count;
	batch.post.items = palloc0(sizeof(PostItem) * Max(batch.post.count, 1));
	for (int i = 0; i < batch.post.count; i++)
		read_item(fcinfo, &arrays, i, &batch.post.items[i]);
	read_key(fcinfo, &arrays, &batch);
	return batch_run(fcinfo, &batch);
}
