/*-------------------------------------------------------------------------
 *
 * post_call.c
 *	  teller.post and teller.import_journal as SQL calls them: arrays in, a
 *	  row for each item out.
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

/* Which argument is where; -1: the function has none such. */
typedef struct PostArguments
{
	int			debit_accounts;
	int			credit_accounts;
	int			amounts;
	int			keys;
	int			metadata;
	int			expected_versions;
	int			effective_at;	/* one for all items */
	int			effective_ats;	/* one for each */
	int			request_time;
} PostArguments;

static const PostArguments post_arguments = {1, 2, 3, 4, 6, 9, 8, -1, 10};
static const PostArguments import_arguments = {1, 2, 3, 5, 6, -1, -1, 4, -1};

#define POST_MODE 5
#define POST_KEY 7

/* The arrays, beside the items that are made of them. */
typedef struct PostArrays
{
	InputArray	debit_accounts;
	InputArray	credit_accounts;
	InputArray	amounts;
	InputArray	keys;
	InputArray	metadata;
	InputArray	expected_versions;
	InputArray	effective_ats;
} PostArrays;

/* ---- what was passed -------------------------------------------------- */

static bool
read_mode(FunctionCallInfo fcinfo)
{
	char	   *mode;

	input_require(fcinfo, POST_MODE, "mode");
	mode = text_to_cstring(PG_GETARG_TEXT_PP(POST_MODE));
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

/* An array beside the first one; count is -1 where there is none. */
static void
read_array(FunctionCallInfo fcinfo, int arg, const char *name,
		   InputArray *array, const InputArray *first)
{
	array->name = name;
	array->count = -1;
	if (arg < 0)
		return;
	input_array(fcinfo, arg, name, POST_MAX_ITEMS, array);
	if (first != NULL)
		check_length(array, first);
}

/* The same for an array that must be there, without nulls. */
static void
read_full_array(FunctionCallInfo fcinfo, int arg, const char *name,
				InputArray *array, const InputArray *first)
{
	input_require(fcinfo, arg, name);
	read_array(fcinfo, arg, name, array, first);
	input_require_elements(array);
}

static void
read_arrays(FunctionCallInfo fcinfo, const PostArguments *args,
			PostArrays *arrays)
{
	InputArray *first = &arrays->debit_accounts;

	read_full_array(fcinfo, args->debit_accounts, "debit_accounts", first,
					NULL);
	read_full_array(fcinfo, args->credit_accounts, "credit_accounts",
					&arrays->credit_accounts, first);
	read_full_array(fcinfo, args->amounts, "amounts", &arrays->amounts, first);
	read_array(fcinfo, args->keys, "keys", &arrays->keys, first);
	read_array(fcinfo, args->metadata, "metadata", &arrays->metadata, first);
	read_array(fcinfo, args->expected_versions, "expected_versions",
			   &arrays->expected_versions, first);
	read_array(fcinfo, args->effective_ats, "effective_at",
			   &arrays->effective_ats, first);
}

static bool
has_element(const InputArray *array, int i)
{
	return array->count > i && !array->nulls[i];
}

/* What all items have in common. */
static void
read_common(FunctionCallInfo fcinfo, const PostArguments *args,
			const PostArrays *arrays, TransferRequest *common)
{
	memset(common, 0, sizeof(TransferRequest));
	common->ledger = PG_GETARG_INT64(0);
	if (args->effective_at >= 0)
	{
		common->has_effective_at = !PG_ARGISNULL(args->effective_at);
		common->effective_at = input_time(fcinfo, args->effective_at,
										  "effective_at", 0);
	}

	/* It goes to each key, but if it is wrong that is no item's fault. */
	if (args->request_time >= 0 && arrays->keys.count > 0)
		(void) input_time(fcinfo, args->request_time, "request_time", 0);
}

static void
read_item(FunctionCallInfo fcinfo, const PostArguments *args,
		  const PostArrays *arrays, int i, PostItem *item)
{
	TransferRequest *request = &item->request;

	item->ordinal = i + 1;
	item->first = item->twin = -1;
	request->debit_account = DatumGetInt64(arrays->debit_accounts.values[i]);
	request->credit_account = DatumGetInt64(arrays->credit_accounts.values[i]);
	account_check_pair(request->debit_account, request->credit_account);
	request->amount = DatumGetNumeric(arrays->amounts.values[i]);
	amount_check(request->amount, "amount");
	request->has_expected_version = has_element(&arrays->expected_versions, i);
	if (request->has_expected_version)
		request->expected_version =
			input_version_value(arrays->expected_versions.values[i]);
	if (has_element(&arrays->effective_ats, i))
	{
		request->has_effective_at = true;
		request->effective_at =
			input_time_value(arrays->effective_ats.values[i], "effective_at");
	}
	if (has_element(&arrays->metadata, i))
		request->metadata = input_metadata_value(arrays->metadata.values[i]);
	if (!has_element(&arrays->keys, i))
		return;
	item->key = input_label_value(arrays->keys.values[i], "key");
	item->call = palloc0(sizeof(KeyCall));
	transfer_describe(request, item->call);
	if (args->request_time >= 0)
		key_add_request_time(fcinfo, args->request_time, item->call);
}

static void
read_items(FunctionCallInfo fcinfo, const PostArguments *args,
		   const PostArrays *arrays, PostBatch *batch)
{
	TransferRequest common;
	PostContext context;

	batch->own_times = args->effective_ats >= 0;
	batch->count = arrays->debit_accounts.count;
	batch->items = palloc0(sizeof(PostItem) * Max(batch->count, 1));
	read_common(fcinfo, args, arrays, &common);
	post_context_begin(&context);
	for (int i = 0; i < batch->count; i++)
	{
		context.ordinal = i + 1;
		batch->items[i].request = common;
		read_item(fcinfo, args, arrays, i, &batch->items[i]);
	}
	post_context_end(&context);
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
	key_add_time(call, "effective_at",
				 PG_ARGISNULL(post_arguments.effective_at),
				 input_time(fcinfo, post_arguments.effective_at,
							"effective_at", 0));
	add_array(call, &arrays->expected_versions, INT8OID);
	key_add_request_time(fcinfo, post_arguments.request_time, call);
	return call;
}

static void
read_key(FunctionCallInfo fcinfo, const PostArrays *arrays, Batch *batch)
{
	batch->key = input_label(fcinfo, POST_KEY, "key");
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

	input_require(fcinfo, 0, "ledger");
	batch.post.ledger = PG_GETARG_INT64(0);
	batch.post.atomic = read_mode(fcinfo);
	read_arrays(fcinfo, &post_arguments, &arrays);
	access_require(batch.post.ledger, ACCESS_POST);
	read_items(fcinfo, &post_arguments, &arrays, &batch.post);
	read_key(fcinfo, &arrays, &batch);
	return batch_run(fcinfo, &batch);
}

PG_FUNCTION_INFO_V1(teller_import_journal);

/*
 * teller.import_journal: see its COMMENT.  An atomic batch whose items have
 * their own effective times, each under a key, so that an import that broke
 * off can be repeated.
 */
Datum
teller_import_journal(PG_FUNCTION_ARGS)
{
	PostArrays	arrays;
	Batch		batch = {0};

	input_require(fcinfo, 0, "ledger");
	batch.post.ledger = PG_GETARG_INT64(0);
	batch.post.atomic = true;
	input_require(fcinfo, import_arguments.effective_ats, "effective_at");
	input_require(fcinfo, import_arguments.keys, "keys");
	read_arrays(fcinfo, &import_arguments, &arrays);
	input_require_elements(&arrays.effective_ats);
	input_require_elements(&arrays.keys);
	access_require_owner("teller.import_journal()");
	read_items(fcinfo, &import_arguments, &arrays, &batch.post);
	return batch_run(fcinfo, &batch);
}
