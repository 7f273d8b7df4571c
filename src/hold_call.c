/*-------------------------------------------------------------------------
 *
 * hold_call.c
 *	  teller.hold, capture, release, extend_hold and adjust_hold as SQL calls
 *	  them.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access.h"
#include "compat.h"
#include "guc.h"
#include "hold.h"
#include "input.h"
#include "keyed.h"
#include "transfer.h"

/* The result columns of hold and release. */
enum
{
	RESULT_ID,
	RESULT_STATUS,
	RESULT_REASON,
	RESULT_EXPIRES_AT,
	RESULT_AVAILABLE,
	RESULT_DEBIT_VERSION,
	RESULT_REPLAYED,
	RESULT_COUNT
};

/* id: the hold's, NULL if it was denied before there was one. */
static void
hold_result(const Movement *movement, Datum *values, bool *nulls)
{
	const Hold *hold = movement->hold;
	bool		denied = movement->denial != NULL;

	memset(nulls, false, RESULT_COUNT);
	nulls[RESULT_ID] = hold == NULL;
	nulls[RESULT_EXPIRES_AT] = hold == NULL || !hold->has_deadline;
	if (hold != NULL)
	{
		values[RESULT_ID] = UUIDPGetDatum(&hold->id);
		values[RESULT_EXPIRES_AT] = TimestampTzGetDatum(hold->expires_at);
	}
	values[RESULT_STATUS] = CStringGetTextDatum(denied ? "denied" :
												hold_state_name(hold->state));
	nulls[RESULT_REASON] = !denied;
	if (denied)
		values[RESULT_REASON] = CStringGetTextDatum(denial_reason(movement->denial));
	values[RESULT_AVAILABLE] = AmountGetDatum(account_available(movement->set,
																movement->debit),
											  movement->scale);
	nulls[RESULT_DEBIT_VERSION] = movement->debit->hot;
	values[RESULT_DEBIT_VERSION] = Int64GetDatum(movement->debit->version);
	values[RESULT_REPLAYED] = BoolGetDatum(false);
}

/* ---- teller.hold ------------------------------------------------------ */

enum
{
	HOLD_LEDGER,
	HOLD_DEBIT_ACCOUNT,
	HOLD_CREDIT_ACCOUNT,
	HOLD_AMOUNT,
	HOLD_TTL,
	HOLD_KEY,
	HOLD_EXPECTED_VERSION,
	HOLD_METADATA,
	HOLD_ON_DENIAL,
	HOLD_REQUEST_TIME
};

static Movement *
decide_place(const void *request)
{
	return hold_decide_place(request);
}

static Interval *
setting_ttl(void)
{
	Interval   *ttl = palloc0(sizeof(Interval));

	ttl->time = (int64) teller_hold_ttl_s * USECS_PER_SEC;
	return ttl;
}

static void
read_place(FunctionCallInfo fcinfo, HoldRequest *request)
{
	input_require(fcinfo, HOLD_LEDGER, "ledger");
	input_require(fcinfo, HOLD_DEBIT_ACCOUNT, "debit_account");
	input_require(fcinfo, HOLD_CREDIT_ACCOUNT, "credit_account");
	input_require(fcinfo, HOLD_AMOUNT, "amount");
	memset(request, 0, sizeof(HoldRequest));
	request->ledger = PG_GETARG_INT64(HOLD_LEDGER);
	request->debit_account = PG_GETARG_INT64(HOLD_DEBIT_ACCOUNT);
	request->credit_account = PG_GETARG_INT64(HOLD_CREDIT_ACCOUNT);
	request->amount = PG_GETARG_NUMERIC(HOLD_AMOUNT);
	request->has_expected_version = !PG_ARGISNULL(HOLD_EXPECTED_VERSION);
	if (request->has_expected_version)
		request->expected_version = input_version(fcinfo, HOLD_EXPECTED_VERSION);
	request->ttl = PG_ARGISNULL(HOLD_TTL) ? setting_ttl() :
		PG_GETARG_INTERVAL_P(HOLD_TTL);
	(void) hold_deadline(GetCurrentTimestamp(), request->ttl);
	request->metadata = input_metadata(fcinfo, HOLD_METADATA);
}

/* The arguments as given: a default ttl is none. */
static void
describe_place(const HoldRequest *request, bool default_ttl, KeyCall *call)
{
	call->function = "hold";
	key_add_bigint(call, "debit_account", false, request->debit_account);
	key_add_bigint(call, "credit_account", false, request->credit_account);
	key_add_numeric(call, "amount", false, NumericGetDatum(request->amount));
	key_add_interval(call, "ttl", default_ttl, PointerGetDatum(request->ttl));
	key_add_bigint(call, "expected_version", !request->has_expected_version,
				   request->expected_version);
	key_add_jsonb(call, "metadata", request->metadata);
}

PG_FUNCTION_INFO_V1(teller_hold);

/* teller.hold: see its COMMENT. */
Datum
teller_hold(PG_FUNCTION_ARGS)
{
	HoldRequest request;
	KeyedMovement keyed = {0};

	read_place(fcinfo, &request);
	keyed.ledger = request.ledger;
	keyed.key = input_label(fcinfo, HOLD_KEY, "key");
	keyed.on_denial = input_on_denial(fcinfo, HOLD_ON_DENIAL);
	keyed.request = &request;
	keyed.decide = decide_place;
	keyed.result = hold_result;
	access_require(request.ledger, ACCESS_POST);
	amount_check(request.amount, "amount");

	if (keyed.key != NULL)
	{
		describe_place(&request, PG_ARGISNULL(HOLD_TTL), &keyed.call);
		key_add_request_time(fcinfo, HOLD_REQUEST_TIME, &keyed.call);
	}
	return keyed_run(fcinfo, &keyed);
}

/* ---- what is done with a hold ----------------------------------------- */

typedef struct HoldCall
{
	int64		ledger;
	pg_uuid_t  *hold;
	Numeric		amount;			/* capture: NULL for all that remains */
	bool		final;
	Interval   *ttl;
} HoldCall;

static Movement *
decide_capture(const void *arg)
{
	const HoldCall *request = arg;

	return hold_decide_capture(request->ledger, request->hold,
							   request->amount, request->final, NULL);
}

static Movement *
decide_release(const void *arg)
{
	const HoldCall *request = arg;

	return hold_decide_release(request->ledger, request->hold, NULL);
}

static Movement *
decide_extend(const void *arg)
{
	const HoldCall *request = arg;

	return hold_decide_extend(request->ledger, request->hold, request->ttl);
}

static Movement *
decide_adjust(const void *arg)
{
	const HoldCall *request = arg;

	return hold_decide_adjust(request->ledger, request->hold, request->amount);
}

static void
read_call(FunctionCallInfo fcinfo, HoldCall *request)
{
	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "hold");
	memset(request, 0, sizeof(HoldCall));
	request->ledger = PG_GETARG_INT64(0);
	request->hold = PG_GETARG_UUID_P(1);
}

PG_FUNCTION_INFO_V1(teller_capture);

/* teller.capture(ledger, hold, amount, final, key, on_denial, request_time) */
Datum
teller_capture(PG_FUNCTION_ARGS)
{
	HoldCall	request;
	KeyedMovement keyed = {0};

	read_call(fcinfo, &request);
	if (!PG_ARGISNULL(2))
		request.amount = PG_GETARG_NUMERIC(2);
	input_require(fcinfo, 3, "final");
	request.final = PG_GETARG_BOOL(3);
	keyed.ledger = request.ledger;
	keyed.key = input_label(fcinfo, 4, "key");
	keyed.on_denial = input_on_denial(fcinfo, 5);
	keyed.request = &request;
	keyed.decide = decide_capture;
	keyed.result = transfer_result;
	access_require(request.ledger, ACCESS_POST);
	if (request.amount != NULL)
		amount_check(request.amount, "amount");

	if (keyed.key != NULL)
	{
		keyed.call.function = "capture";
		key_add_uuid(&keyed.call, "hold", request.hold);
		key_add_numeric(&keyed.call, "amount", request.amount == NULL,
						NumericGetDatum(request.amount));
		key_add_bool(&keyed.call, "final", request.final);
		key_add_request_time(fcinfo, 6, &keyed.call);
	}
	return keyed_run(fcinfo, &keyed);
}

PG_FUNCTION_INFO_V1(teller_release);

/* teller.release(ledger, hold, key, request_time) */
Datum
teller_release(PG_FUNCTION_ARGS)
{
	HoldCall	request;
	KeyedMovement keyed = {0};

	read_call(fcinfo, &request);
	keyed.ledger = request.ledger;
	keyed.key = input_label(fcinfo, 2, "key");
	keyed.request = &request;
	keyed.decide = decide_release;
	keyed.result = hold_result;
	access_require(request.ledger, ACCESS_POST);

	if (keyed.key != NULL)
	{
		keyed.call.function = "release";
		key_add_uuid(&keyed.call, "hold", request.hold);
		key_add_request_time(fcinfo, 3, &keyed.call);
	}
	return keyed_run(fcinfo, &keyed);
}

PG_FUNCTION_INFO_V1(teller_extend_hold);

/* teller.extend_hold(ledger, hold, ttl, key, request_time) */
Datum
teller_extend_hold(PG_FUNCTION_ARGS)
{
	HoldCall	request;
	KeyedMovement keyed = {0};

	read_call(fcinfo, &request);
	input_require(fcinfo, 2, "ttl");
	request.ttl = PG_GETARG_INTERVAL_P(2);
	(void) hold_deadline(GetCurrentTimestamp(), request.ttl);
	keyed.ledger = request.ledger;
	keyed.key = input_label(fcinfo, 3, "key");
	keyed.request = &request;
	keyed.decide = decide_extend;
	keyed.result = hold_result;
	access_require(request.ledger, ACCESS_POST);

	if (keyed.key != NULL)
	{
		keyed.call.function = "extend_hold";
		key_add_uuid(&keyed.call, "hold", request.hold);
		key_add_interval(&keyed.call, "ttl", false,
						 PointerGetDatum(request.ttl));
		key_add_request_time(fcinfo, 4, &keyed.call);
	}
	return keyed_run(fcinfo, &keyed);
}

PG_FUNCTION_INFO_V1(teller_adjust_hold);

/* teller.adjust_hold(ledger, hold, amount, key, on_denial, request_time) */
Datum
teller_adjust_hold(PG_FUNCTION_ARGS)
{
	HoldCall	request;
	KeyedMovement keyed = {0};

	read_call(fcinfo, &request);
	input_require(fcinfo, 2, "amount");
	request.amount = PG_GETARG_NUMERIC(2);
	keyed.ledger = request.ledger;
	keyed.key = input_label(fcinfo, 3, "key");
	keyed.on_denial = input_on_denial(fcinfo, 4);
	keyed.request = &request;
	keyed.decide = decide_adjust;
	keyed.result = hold_result;
	access_require(request.ledger, ACCESS_POST);
	amount_check(request.amount, "amount");

	if (keyed.key != NULL)
	{
		keyed.call.function = "adjust_hold";
		key_add_uuid(&keyed.call, "hold", request.hold);
		key_add_numeric(&keyed.call, "amount", false,
						NumericGetDatum(request.amount));
		key_add_request_time(fcinfo, 5, &keyed.call);
	}
	return keyed_run(fcinfo, &keyed);
}
