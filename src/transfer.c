/*-------------------------------------------------------------------------
 *
 * transfer.c
 *	  Money from one account to another, now.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "access.h"
#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "keyed.h"
#include "period.h"
#include "transfer.h"

/* The arguments of teller.transfer. */
enum
{
	ARG_LEDGER,
	ARG_DEBIT_ACCOUNT,
	ARG_CREDIT_ACCOUNT,
	ARG_AMOUNT,
	ARG_KEY,
	ARG_EXPECTED_VERSION,
	ARG_EFFECTIVE_AT,
	ARG_METADATA,
	ARG_ON_DENIAL,
	ARG_MIN_AFTER,
	ARG_MAX_AFTER,
	ARG_REQUEST_TIME
};

static Denial *
deny_after(const Movement *movement, bool too_little, Amount available,
		   Amount bound)
{
	const Account *account = movement->debit;

	return denial_make(too_little ? ERRCODE_TELLER_INSUFFICIENT_FUNDS :
					   ERRCODE_TELLER_LIMIT_EXCEEDED,
					   psprintf("account %lld of ledger %lld would have too %s after the movement",
								(long long) account->id,
								(long long) account->ledger,
								too_little ? "little" : "much"),
					   psprintf("Available would be %s %s, %s is %s%s.",
								amount_to_text(available, account->scale),
								account->asset,
								too_little ? "min_after" : "max_after",
								amount_to_text(bound, account->scale),
								account_version_text(account)),
					   NULL);
}

/* The conditions on what is available after the movement. */
static Denial *
transfer_test_after(Movement *movement, const TransferRequest *request)
{
	Amount		available;
	Amount		bound;

	if (request->min_after == NULL && request->max_after == NULL)
		return NULL;
	available = amount_subtract(account_available(movement->set,
												  movement->debit),
								movement->amount);
	if (request->min_after != NULL)
	{
		bound = amount_from_numeric(request->min_after, movement->scale,
									"min_after");
		if (available < bound)
			return deny_after(movement, true, available, bound);
	}
	if (request->max_after != NULL)
	{
		bound = amount_from_numeric(request->max_after, movement->scale,
									"max_after");
		if (available > bound)
			return deny_after(movement, false, available, bound);
	}
	return NULL;
}

static Denial *
transfer_test(Movement *movement, const TransferRequest *request)
{
	Denial	   *denial = NULL;

	if (request->has_expected_version)
		denial = account_test_version(movement->debit,
									  request->expected_version);
	if (denial == NULL)
		denial = account_test_pair(movement->set, movement->debit,
								   movement->credit, movement->amount);
	if (denial == NULL)
		denial = transfer_test_after(movement, request);
	return denial;
}

Movement *
transfer_decide(const TransferRequest *request)
{
	int64		accounts[2] = {request->debit_account, request->credit_account};
	Movement   *movement;
	JournalRow *row;

	amount_check(request->amount, "amount");
	account_check_pair(request->debit_account, request->credit_account);
	if (request->has_effective_at)
		period_check(request->ledger, request->effective_at);
	movement = request->min_after != NULL || request->max_after != NULL ?
		movement_begin_alone(request->ledger, accounts, 2) :
		movement_begin(request->ledger, accounts, 2);
	movement->debit = account_in_set(movement->set, request->debit_account);
	movement->credit = account_in_set(movement->set, request->credit_account);
	account_check_assets(movement->debit, movement->credit);
	movement->scale = movement->debit->scale;
	movement->amount = amount_to_move(request->amount, movement->scale,
									  "amount");
	movement->denial = transfer_test(movement, request);
	if (movement->denial != NULL)
		return movement;

	row = movement_post(movement, "transfer", movement->amount);
	row->metadata = request->metadata;
	if (request->has_effective_at)
		row->effective_at = request->effective_at;
	return movement;
}

void
transfer_result(const Movement *movement, Datum *values, bool *nulls)
{
	bool		denied = movement->denial != NULL;

	memset(nulls, false, TRANSFER_COLUMNS);
	nulls[TRANSFER_ID] = denied;
	values[TRANSFER_ID] = UUIDPGetDatum(&movement->rows[0].id);
	values[TRANSFER_STATUS] = CStringGetTextDatum(denied ? "denied" : "posted");
	nulls[TRANSFER_REASON] = !denied;
	if (denied)
		values[TRANSFER_REASON] = CStringGetTextDatum(denial_reason(movement->denial));
	values[TRANSFER_AMOUNT] = AmountGetDatum(denied ? 0 : movement->amount,
										   movement->scale);
	values[TRANSFER_DEBIT_BALANCE] = AmountGetDatum(movement->debit->posted,
												  movement->scale);
	nulls[TRANSFER_DEBIT_VERSION] = movement->debit->hot;
	nulls[TRANSFER_CREDIT_VERSION] = movement->credit->hot;
	values[TRANSFER_DEBIT_VERSION] = Int64GetDatum(movement->debit->version);
	values[TRANSFER_CREDIT_BALANCE] = AmountGetDatum(movement->credit->posted,
												   movement->scale);
	values[TRANSFER_CREDIT_VERSION] = Int64GetDatum(movement->credit->version);
	values[TRANSFER_REPLAYED] = BoolGetDatum(false);
}

TupleDesc
transfer_desc(void)
{
	static TupleDesc desc = NULL;
	static const struct
	{
		const char *name;
		Oid			type;
	}			columns[TRANSFER_COLUMNS] =
	{
		[TRANSFER_ID] = {"id", UUIDOID},
		[TRANSFER_STATUS] = {"status", TEXTOID},
		[TRANSFER_REASON] = {"reason", TEXTOID},
		[TRANSFER_AMOUNT] = {"amount", NUMERICOID},
		[TRANSFER_DEBIT_BALANCE] = {"debit_balance", NUMERICOID},
		[TRANSFER_DEBIT_VERSION] = {"debit_version", INT8OID},
		[TRANSFER_CREDIT_BALANCE] = {"credit_balance", NUMERICOID},
		[TRANSFER_CREDIT_VERSION] = {"credit_version", INT8OID},
		[TRANSFER_REPLAYED] = {"replayed", BOOLOID}
	};
	MemoryContext old;
	TupleDesc	made;

	if (desc != NULL)
		return desc;
	old = MemoryContextSwitchTo(TopMemoryContext);
	made = CreateTemplateTupleDesc(TRANSFER_COLUMNS);
	for (int i = 0; i < TRANSFER_COLUMNS; i++)
		TupleDescInitEntry(made, i + 1, columns[i].name, columns[i].type, -1, 0);
	MemoryContextSwitchTo(old);
	desc = made;
	return desc;
}

/* ---- teller.transfer -------------------------------------------------- */

static void
read_request(FunctionCallInfo fcinfo, TransferRequest *request)
{
	input_require(fcinfo, ARG_LEDGER, "ledger");
	input_require(fcinfo, ARG_DEBIT_ACCOUNT, "debit_account");
	input_require(fcinfo, ARG_CREDIT_ACCOUNT, "credit_account");
	input_require(fcinfo, ARG_AMOUNT, "amount");
	memset(request, 0, sizeof(TransferRequest));
	request->ledger = PG_GETARG_INT64(ARG_LEDGER);
	request->debit_account = PG_GETARG_INT64(ARG_DEBIT_ACCOUNT);
	request->credit_account = PG_GETARG_INT64(ARG_CREDIT_ACCOUNT);
	request->amount = PG_GETARG_NUMERIC(ARG_AMOUNT);
	request->has_expected_version = !PG_ARGISNULL(ARG_EXPECTED_VERSION);
	if (request->has_expected_version)
		request->expected_version = input_version(fcinfo, ARG_EXPECTED_VERSION);
	request->has_effective_at = !PG_ARGISNULL(ARG_EFFECTIVE_AT);
	request->effective_at = input_time(fcinfo, ARG_EFFECTIVE_AT,
									   "effective_at", 0);
	request->metadata = input_metadata(fcinfo, ARG_METADATA);
	if (!PG_ARGISNULL(ARG_MIN_AFTER))
		request->min_after = PG_GETARG_NUMERIC(ARG_MIN_AFTER);
	if (!PG_ARGISNULL(ARG_MAX_AFTER))
		request->max_after = PG_GETARG_NUMERIC(ARG_MAX_AFTER);
}

void
transfer_describe(const TransferRequest *request, KeyCall *call)
{
	call->function = "transfer";
	key_add_bigint(call, "debit_account", false, request->debit_account);
	key_add_bigint(call, "credit_account", false, request->credit_account);
	key_add_numeric(call, "amount", false, NumericGetDatum(request->amount));
	key_add_bigint(call, "expected_version", !request->has_expected_version,
				   request->expected_version);
	key_add_time(call, "effective_at", !request->has_effective_at,
				 request->effective_at);
	key_add_jsonb(call, "metadata", request->metadata);
	key_add_numeric(call, "min_after", request->min_after == NULL,
					NumericGetDatum(request->min_after));
	key_add_numeric(call, "max_after", request->max_after == NULL,
					NumericGetDatum(request->max_after));
}

static Movement *
decide(const void *request)
{
	return transfer_decide(request);
}

void
transfer_read(FunctionCallInfo fcinfo, TransferRequest *request,
			  KeyedMovement *keyed)
{
	read_request(fcinfo, request);
	memset(keyed, 0, sizeof(KeyedMovement));
	keyed->ledger = request->ledger;
	keyed->key = input_label(fcinfo, ARG_KEY, "key");
	keyed->on_denial = input_on_denial(fcinfo, ARG_ON_DENIAL);
	keyed->request = request;
	keyed->decide = decide;
	keyed->result = transfer_result;
	access_require(request->ledger, ACCESS_POST);
	amount_check(request->amount, "amount");
	if (keyed->key != NULL)
	{
		transfer_describe(request, &keyed->call);
		key_add_request_time(fcinfo, ARG_REQUEST_TIME, &keyed->call);
	}
}

PG_FUNCTION_INFO_V1(teller_transfer);

/*
 * teller.transfer: see its COMMENT.  Locks the key's row if it exists, then
 * both accounts by account_id.
 */
Datum
teller_transfer(PG_FUNCTION_ARGS)
{
	TransferRequest request;
	KeyedMovement keyed;

	transfer_read(fcinfo, &request, &keyed);
	return keyed_run(fcinfo, &keyed);
}
