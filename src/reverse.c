/*-------------------------------------------------------------------------
 *
 * reverse.c
 *	  Undo a movement, in whole or in part, by a movement the other way.
 *
 * The journal is never changed: a reversal is a row of its own that names
 * the one it reverses.  Whoever reverses a row locks its accounts first, so
 * the reversals of a row come one after the other and their sum, read then,
 * is all there is.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access.h"
#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "keyed.h"
#include "reverse.h"
#include "transfer.h"

enum
{
	ARG_LEDGER,
	ARG_ID,
	ARG_AMOUNT,
	ARG_KEY,
	ARG_ON_DENIAL,
	ARG_REQUEST_TIME
};

typedef struct ReverseRequest
{
	int64		ledger;
	pg_uuid_t  *id;
	Numeric		amount;			/* NULL: all that remains */
} ReverseRequest;

void
reverse_check(const JournalRow *row)
{
	bool		moved = strcmp(row->kind, "transfer") == 0 ||
		strcmp(row->kind, "capture") == 0;

	if (!moved || row->operation_id != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("journal row %s of ledger %lld cannot be reversed",
						clock_id_text(&row->id), (long long) row->ledger),
				 moved ?
				 errdetail("It belongs to operation %s, which moved money at another ledger.",
						   clock_id_text(row->operation_id)) :
				 errdetail("Its kind is %s; only transfers and captures can be reversed.",
						   row->kind)));
}

Amount
reverse_remaining(const JournalRow *row)
{
	return row->amount - journal_reversed(row->ledger, &row->id);
}

static JournalRow *
find_row(const ReverseRequest *request)
{
	JournalRow *row = journal_find(request->ledger, request->id);

	if (row == NULL)
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
				 errmsg("journal row %s of ledger %lld does not exist",
						clock_id_text(request->id),
						(long long) request->ledger)));
	reverse_check(row);
	return row;
}

/*
 * A denial, so that the key is looked at once more: the twin that reversed
 * the rest may have been this very call.  It is raised in any case.
 */
static Denial *
test_remains(const JournalRow *row, Amount amount, Amount remaining)
{
	Denial	   *denial;

	if (amount > 0 && amount <= remaining)
		return NULL;
	denial = denial_make(ERRCODE_INVALID_PARAMETER_VALUE,
						 remaining == 0 ?
						 psprintf("journal row %s is reversed already",
								  clock_id_text(&row->id)) :
						 psprintf("amount is more than remains of journal row %s",
								  clock_id_text(&row->id)),
						 psprintf("%s of %s remains.",
								  amount_to_text(remaining, row->scale),
								  amount_to_text(row->amount, row->scale)),
						 NULL);
	denial->always_raised = true;
	return denial;
}

static Movement *
decide(const void *arg)
{
	const ReverseRequest *request = arg;
	JournalRow *original = find_row(request);
	int64		accounts[2] = {original->debit.account, original->credit.account};
	Movement   *movement = movement_begin_alone(request->ledger, accounts,
													2);
	Amount		remaining;

	/* The other way round. */
	movement->debit = account_in_set(movement->set, original->credit.account);
	movement->credit = account_in_set(movement->set, original->debit.account);
	movement->scale = original->scale;
	remaining = reverse_remaining(original);
	movement->amount = request->amount == NULL ? remaining :
		amount_to_move(request->amount, movement->scale, "amount");
	movement->denial = test_remains(original, movement->amount, remaining);
	if (movement->denial == NULL)
		movement->denial = account_test_pair(movement->set, movement->debit,
											 movement->credit,
											 movement->amount);
	if (movement->denial == NULL)
		movement_post(movement, "reversal", movement->amount)->reverses =
			request->id;
	return movement;
}

PG_FUNCTION_INFO_V1(teller_reverse);

/*
 * teller.reverse: see its COMMENT.  Locks both accounts of the row by
 * account_id.
 */
Datum
teller_reverse(PG_FUNCTION_ARGS)
{
	ReverseRequest request = {0};
	KeyedMovement keyed = {0};

	input_require(fcinfo, ARG_LEDGER, "ledger");
	input_require(fcinfo, ARG_ID, "id");
	request.ledger = PG_GETARG_INT64(ARG_LEDGER);
	request.id = PG_GETARG_UUID_P(ARG_ID);
	if (!PG_ARGISNULL(ARG_AMOUNT))
		request.amount = PG_GETARG_NUMERIC(ARG_AMOUNT);
	keyed.ledger = request.ledger;
	keyed.key = input_label(fcinfo, ARG_KEY, "key");
	keyed.on_denial = input_on_denial(fcinfo, ARG_ON_DENIAL);
	keyed.request = &request;
	keyed.decide = decide;
	keyed.result = transfer_result;
	access_require(request.ledger, ACCESS_POST);
	if (request.amount != NULL)
		amount_check(request.amount, "amount");
	if (keyed.key != NULL)
	{
		keyed.call.function = "reverse";
		key_add_uuid(&keyed.call, "id", request.id);
		key_add_numeric(&keyed.call, "amount", request.amount == NULL,
						NumericGetDatum(request.amount));
		key_add_request_time(fcinfo, ARG_REQUEST_TIME, &keyed.call);
	}
	return keyed_run(fcinfo, &keyed);
}
