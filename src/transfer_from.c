/*-------------------------------------------------------------------------
 *
 * transfer_from.c
 *	  One amount out of several accounts, in the order given.
 *
 * Each account gives what it can, until the amount is reached.  It is an
 * atomic batch whose amounts are known only when the accounts are locked.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"

#include "access.h"
#include "batch.h"
#include "compat.h"
#include "errcodes.h"
#include "input.h"

enum
{
	ARG_LEDGER,
	ARG_DEBIT_ACCOUNTS,
	ARG_CREDIT_ACCOUNT,
	ARG_AMOUNT,
	ARG_KEY,
	ARG_EFFECTIVE_AT,
	ARG_METADATA,
	ARG_ON_DENIAL,
	ARG_REQUEST_TIME
};

/* What is asked; the debit_account of common is none of them yet. */
typedef struct FromRequest
{
	TransferRequest common;
	int			count;
	int64	   *debit_accounts;
} FromRequest;

/* ---- what was passed -------------------------------------------------- */

static int
compare_accounts(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* An account has one turn. */
static void
check_doubles(const FromRequest *request)
{
	int64	   *sorted = palloc(sizeof(int64) * request->count);

	memcpy(sorted, request->debit_accounts, sizeof(int64) * request->count);
	qsort(sorted, request->count, sizeof(int64), compare_accounts);
	for (int i = 1; i < request->count; i++)
		if (sorted[i] == sorted[i - 1])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("debit_accounts has account %lld more than once",
							(long long) sorted[i])));
	pfree(sorted);
}

static void
read_accounts(FunctionCallInfo fcinfo, FromRequest *request)
{
	InputArray	array;

	input_require(fcinfo, ARG_DEBIT_ACCOUNTS, "debit_accounts");
	input_array(fcinfo, ARG_DEBIT_ACCOUNTS, "debit_accounts", POST_MAX_ITEMS,
				&array);
	input_require_elements(&array);
	if (array.count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("debit_accounts is empty")));
	request->count = array.count;
	request->debit_accounts = palloc(sizeof(int64) * array.count);
	for (int i = 0; i < array.count; i++)
		request->debit_accounts[i] = DatumGetInt64(array.values[i]);
}

static void
read_request(FunctionCallInfo fcinfo, FromRequest *request)
{
	TransferRequest *common = &request->common;

	memset(request, 0, sizeof(FromRequest));
	input_require(fcinfo, ARG_LEDGER, "ledger");
	read_accounts(fcinfo, request);
	input_require(fcinfo, ARG_CREDIT_ACCOUNT, "credit_account");
	input_require(fcinfo, ARG_AMOUNT, "amount");
	common->ledger = PG_GETARG_INT64(ARG_LEDGER);
	common->credit_account = PG_GETARG_INT64(ARG_CREDIT_ACCOUNT);
	common->amount = PG_GETARG_NUMERIC(ARG_AMOUNT);
	common->has_effective_at = !PG_ARGISNULL(ARG_EFFECTIVE_AT);
	common->effective_at = input_time(fcinfo, ARG_EFFECTIVE_AT,
									  "effective_at", 0);
	common->metadata = input_metadata(fcinfo, ARG_METADATA);
}

/* An item for each account; what it gives is known when it is locked. */
static void
make_items(const FromRequest *request, PostBatch *post)
{
	post->count = request->count;
	post->items = palloc0(sizeof(PostItem) * request->count);
	for (int i = 0; i < request->count; i++)
	{
		PostItem   *item = &post->items[i];

		item->first = item->twin = -1;
		item->request = request->common;
		item->request.debit_account = request->debit_accounts[i];
		account_check_pair(item->request.debit_account,
						   item->request.credit_account);
	}
}

static KeyCall *
describe(FunctionCallInfo fcinfo, const FromRequest *request)
{
	const TransferRequest *common = &request->common;
	KeyCall    *call = palloc0(sizeof(KeyCall));
	JsonbParseState *state = NULL;
	JsonbValue *accounts;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < request->count; i++)
	{
		JsonbValue	account = {.type = jbvNumeric};

		account.val.numeric = int64_to_numeric(request->debit_accounts[i]);
		pushJsonbValue(&state, WJB_ELEM, &account);
	}
	accounts = pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	call->function = "transfer_from";
	key_add_jsonb(call, "debit_accounts", JsonbValueToJsonb(accounts));
	key_add_bigint(call, "credit_account", false, common->credit_account);
	key_add_numeric(call, "amount", false, NumericGetDatum(common->amount));
	key_add_time(call, "effective_at", !common->has_effective_at,
				 common->effective_at);
	key_add_jsonb(call, "metadata", common->metadata);
	key_add_request_time(fcinfo, ARG_REQUEST_TIME, call);
	return call;
}

/* ---- who pays what ---------------------------------------------------- */

static void
check_assets(AccountSet *set, const FromRequest *request)
{
	Account    *credit = account_in_set(set, request->common.credit_account);

	for (int i = 0; i < request->count; i++)
		account_check_assets(account_in_set(set, request->debit_accounts[i]),
							 credit);
}

static Denial *
deny_sum(const FromRequest *request, const Account *credit, Amount asked,
		 Amount missing)
{
	char	   *who = request->count == 1 ?
		psprintf("account %lld", (long long) request->debit_accounts[0]) :
		psprintf("%d accounts", request->count);

	return denial_make(ERRCODE_TELLER_INSUFFICIENT_FUNDS,
					   psprintf("insufficient funds on %s of ledger %lld", who,
								(long long) request->common.ledger),
					   psprintf("Available above the minimum in all %s %s, asked %s.",
								amount_to_text(asked - missing, credit->scale),
								credit->asset,
								amount_to_text(asked, credit->scale)),
					   NULL);
}

/*
 * Leaves the items of those who pay.  Whether the credit account can take it
 * is tested with the batch.
 */
static Denial *
prepare(Batch *batch)
{
	const FromRequest *request = batch->request;
	AccountSet *set = batch->post.movement.set;
	Account    *credit = account_in_set(set, request->common.credit_account);
	PostItem   *payers = palloc0(sizeof(PostItem) * request->count);
	int			kept = 0;
	Amount		asked;
	Amount		rest;

	check_assets(set, request);
	batch->post.movement.scale = credit->scale;
	asked = rest = amount_to_move(request->common.amount, credit->scale,
								  "amount");
	for (int i = 0; i < request->count && rest > 0; i++)
	{
		Account    *debit = account_in_set(set, request->debit_accounts[i]);
		Denial	   *denial = account_test_active(debit, true);
		Amount		part;

		/* In its turn it is asked; those behind would pay in its place. */
		if (denial != NULL)
			return denial;
		part = account_room(set, debit, true);
		part = Min(part, rest);

		/* A forced limit may have left it below its minimum. */
		if (part <= 0)
			continue;
		payers[kept] = batch->post.items[i];
		payers[kept++].request.amount = amount_to_numeric(part, debit->scale);
		rest -= part;
	}
	if (rest > 0)
		return deny_sum(request, credit, asked, rest);
	batch->post.items = payers;
	batch->post.count = kept;
	return NULL;
}

PG_FUNCTION_INFO_V1(teller_transfer_from);

/*
 * teller.transfer_from: see its COMMENT.  Looks up the key, then locks all
 * accounts by account_id.
 */
Datum
teller_transfer_from(PG_FUNCTION_ARGS)
{
	FromRequest request;
	Batch		batch = {0};

	read_request(fcinfo, &request);
	batch.post.ledger = request.common.ledger;
	batch.post.atomic = batch.post.exact = true;
	batch.key = input_label(fcinfo, ARG_KEY, "key");
	batch.on_denial = input_on_denial(fcinfo, ARG_ON_DENIAL);
	access_require(request.common.ledger, ACCESS_POST);
	check_doubles(&request);
	make_items(&request, &batch.post);
	amount_check(request.common.amount, "amount");
	if (batch.key != NULL)
		batch.call = describe(fcinfo, &request);
	batch.prepare = prepare;
	batch.request = &request;
	return batch_run(fcinfo, &batch);
}
