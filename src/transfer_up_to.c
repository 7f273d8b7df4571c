/*-------------------------------------------------------------------------
 *
 * transfer_up_to.c
 *	  Move as much as there is, up to a maximum.
 *
 * As TigerBeetle's balancing transfers: what the debit account can give and
 * the credit account can take, but no more than was asked.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access.h"
#include "compat.h"
#include "input.h"
#include "keyed.h"
#include "transfer.h"

enum
{
	ARG_LEDGER,
	ARG_DEBIT_ACCOUNT,
	ARG_CREDIT_ACCOUNT,
	ARG_MAX_AMOUNT,
	ARG_MIN_AMOUNT,
	ARG_KEY,
	ARG_METADATA,
	ARG_ON_DENIAL,
	ARG_REQUEST_TIME
};

typedef struct UpToRequest
{
	int64		ledger;
	int64		debit_account;
	int64		credit_account;
	Numeric		max_amount;
	Numeric		min_amount;
	Jsonb	   *metadata;
} UpToRequest;

/* The least that would do: one unit, where nothing else was said. */
static Amount
least_amount(const UpToRequest *request, int scale, Amount most)
{
	Amount		least = amount_from_numeric(request->min_amount, scale,
											"min_amount");

	if (least < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("min_amount must not be negative")));
	if (least > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("min_amount is above max_amount")));
	return Max(least, 1);
}

static Movement *
lock_accounts(const UpToRequest *request)
{
	int64		accounts[2] = {request->debit_account, request->credit_account};
	Movement   *movement = movement_begin_alone(request->ledger, accounts,
													2);

	movement->debit = account_in_set(movement->set, accounts[0]);
	movement->credit = account_in_set(movement->set, accounts[1]);
	account_check_assets(movement->debit, movement->credit);
	movement->scale = movement->debit->scale;
	return movement;
}

static Movement *
decide(const void *arg)
{
	const UpToRequest *request = arg;
	Movement   *movement = lock_accounts(request);
	Amount		amount = amount_to_move(request->max_amount, movement->scale,
										"max_amount");
	Amount		least = least_amount(request, movement->scale, amount);
	JournalRow *row;
	Amount		room;

	/* What a transfer of the least would be refused for, this is too. */
	movement->denial = account_test_debit(movement->set, movement->debit,
										  least);
	if (movement->denial == NULL)
		movement->denial = account_test_credit(movement->set,
											   movement->credit, least);
	if (movement->denial != NULL)
		return movement;
	room = account_room(movement->set, movement->debit, true);
	amount = Min(amount, room);
	room = account_room(movement->set, movement->credit, false);
	amount = Min(amount, room);
	movement->amount = amount;
	row = movement_post(movement, "transfer", amount);
	row->metadata = request->metadata;
	return movement;
}

static void
read_request(FunctionCallInfo fcinfo, UpToRequest *request)
{
	input_require(fcinfo, ARG_LEDGER, "ledger");
	input_require(fcinfo, ARG_DEBIT_ACCOUNT, "debit_account");
	input_require(fcinfo, ARG_CREDIT_ACCOUNT, "credit_account");
	input_require(fcinfo, ARG_MAX_AMOUNT, "max_amount");
	input_require(fcinfo, ARG_MIN_AMOUNT, "min_amount");
	memset(request, 0, sizeof(UpToRequest));
	request->ledger = PG_GETARG_INT64(ARG_LEDGER);
	request->debit_account = PG_GETARG_INT64(ARG_DEBIT_ACCOUNT);
	request->credit_account = PG_GETARG_INT64(ARG_CREDIT_ACCOUNT);
	request->max_amount = PG_GETARG_NUMERIC(ARG_MAX_AMOUNT);
	request->min_amount = PG_GETARG_NUMERIC(ARG_MIN_AMOUNT);
	request->metadata = input_metadata(fcinfo, ARG_METADATA);
}

static void
describe(const UpToRequest *request, KeyCall *call)
{
	call->function = "transfer_up_to";
	key_add_bigint(call, "debit_account", false, request->debit_account);
	key_add_bigint(call, "credit_account", false, request->credit_account);
	key_add_numeric(call, "max_amount", false,
					NumericGetDatum(request->max_amount));
	key_add_numeric(call, "min_amount", false,
					NumericGetDatum(request->min_amount));
	key_add_jsonb(call, "metadata", request->metadata);
}

PG_FUNCTION_INFO_V1(teller_transfer_up_to);

/* teller.transfer_up_to: see its COMMENT.  Locks as teller.transfer. */
Datum
teller_transfer_up_to(PG_FUNCTION_ARGS)
{
	UpToRequest request;
	KeyedMovement keyed = {0};

	read_request(fcinfo, &request);
	keyed.ledger = request.ledger;
	keyed.key = input_label(fcinfo, ARG_KEY, "key");
	keyed.on_denial = input_on_denial(fcinfo, ARG_ON_DENIAL);
	keyed.request = &request;
	keyed.decide = decide;
	keyed.result = transfer_result;
	access_require(request.ledger, ACCESS_POST);
	account_check_pair(request.debit_account, request.credit_account);
	amount_check(request.max_amount, "max_amount");
	if (keyed.key != NULL)
	{
		describe(&request, &keyed.call);
		key_add_request_time(fcinfo, ARG_REQUEST_TIME, &keyed.call);
	}
	return keyed_run(fcinfo, &keyed);
}
