/*-------------------------------------------------------------------------
 *
 * hold.c
 *	  Holds: money set aside, then captured, released or expired.
 *
 * Lock order: accounts, then the hold.  Its accounts never change, so they
 * are read before either is locked.
 *
 * One predicate says that a hold is over: its deadline is not after the
 * call's clock reading (hold_is_due).
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "account_hot.h"
#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "hold.h"

#define MAX_TTL_DAYS 36525		/* a hundred years */

/* ---- place ------------------------------------------------------------ */

static void
raise_ttl(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("ttl must be above zero and at most a hundred years")));
}

TimestampTz
hold_deadline(TimestampTz now, const Interval *ttl)
{
	TimestampTz deadline;
	int64		days;

	if (teller_interval_not_finite(ttl))
		raise_ttl();
	days = (int64) ttl->month * 31 + ttl->day + ttl->time / USECS_PER_DAY;
	if (days > MAX_TTL_DAYS + MAX_TTL_DAYS / 50 || days < 0)
		raise_ttl();
	deadline = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													   TimestampTzGetDatum(now),
													   PointerGetDatum(ttl)));
	if (deadline <= now || deadline > now + MAX_TTL_DAYS * USECS_PER_DAY)
		raise_ttl();
	return deadline;
}

static Hold *
new_hold(const HoldRequest *request, Movement *movement)
{
	Hold	   *hold = palloc0(sizeof(Hold));

	hold->is_new = true;
	hold->ledger = request->ledger;
	hold->id = *clock_new_id();
	hold->debit_account = request->debit_account;
	hold->credit_account = request->credit_account;
	hold->amount = movement->amount;
	hold->scale = movement->scale;
	hold->has_operation = request->operation_id != NULL;
	if (hold->has_operation)
		hold->operation_id = *request->operation_id;
	hold->has_deadline = request->ttl != NULL;
	if (hold->has_deadline)
		hold->expires_at = hold_deadline(movement->set->now, request->ttl);
	hold->created_at = movement->set->now;
	hold->metadata = request->metadata;
	return hold;
}

/*
 * Lock the debit account, and the credit account only if it has a maximum:
 * else nobody queues there.
 */
Movement *
hold_lock_sides(int64 ledger, int64 debit, int64 credit)
{
	int64		accounts[2] = {debit, credit};
	Account    *peeked;
	Movement   *movement;

	/* From here on nobody gives the credit account a maximum or closes it. */
	hold_enter();
	peeked = account_peek_first(ledger, credit);
	if (peeked == NULL)
		account_raise_missing(ledger, credit);
	movement = movement_begin(ledger, accounts, peeked->has_max ? 2 : 1);
	movement->debit = account_in_set(movement->set, debit);
	movement->credit = account_in_set(movement->set, credit);
	if (movement->credit == NULL)
		movement->credit = peeked;
	movement->scale = movement->debit->scale;
	return movement;
}

/* True if the credit account's row keeps a sum of its holds. */
bool
hold_counts_credit(const Movement *movement)
{
	return account_is_locked(movement->credit) && movement->credit->has_max;
}

static Denial *
place_test(Movement *movement, const HoldRequest *request)
{
	Denial	   *denial = NULL;

	if (request->has_expected_version)
		denial = account_test_version(movement->debit,
									  request->expected_version);
	if (denial == NULL)
		denial = account_test_pair(movement->set, movement->debit,
								   movement->credit, movement->amount);
	return denial;
}

Movement *
hold_decide_place(const HoldRequest *request)
{
	Movement   *movement;
	Hold	   *hold;
	JournalRow *row;

	amount_check(request->amount, "amount");
	account_check_pair(request->debit_account, request->credit_account);
	movement = hold_lock_sides(request->ledger, request->debit_account,
							   request->credit_account);
	account_check_assets(movement->debit, movement->credit);
	movement->amount = amount_to_move(request->amount, movement->scale,
									  "amount");
	hold = new_hold(request, movement);
	movement->denial = place_test(movement, request);
	if (movement->denial != NULL)
		return movement;

	movement->hold = hold;
	movement->debit->pending_debit = amount_add(movement->debit->pending_debit,
												movement->amount);
	if (hold_counts_credit(movement))
		movement->credit->pending_credit =
			amount_add(movement->credit->pending_credit, movement->amount);
	row = movement_add(movement, "hold", movement->amount,
					   hold_counts_credit(movement));
	row->hold_id = &hold->id;
	row->operation_id = request->operation_id;
	row->metadata = request->metadata;
	return movement;
}

/* ---- capture and release ---------------------------------------------- */

/* TL006 with what ended it, and when. */
static Denial *
test_open(const Hold *hold, TimestampTz now)
{
	HoldState	state = hold->state;
	TimestampTz ended_at = hold->ended_at;

	if (state == HOLD_OPEN && !hold_is_due(hold, now))
		return NULL;
	if (state == HOLD_OPEN)
	{
		state = HOLD_EXPIRED;
		ended_at = hold->expires_at;
	}
	return denial_make(ERRCODE_TELLER_HOLD_NOT_OPEN,
					   psprintf("hold %s of ledger %lld is not open",
								clock_id_text(&hold->id),
								(long long) hold->ledger),
					   psprintf("It was %s at %s.", hold_state_name(state),
								timestamptz_to_str(ended_at)),
					   NULL);
}

/* A user's call must keep its hands off the hold of an operation. */
static void
check_operation(const Hold *hold, const pg_uuid_t *operation)
{
	if (operation == NULL && hold->has_operation)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("hold %s of ledger %lld belongs to operation %s",
						clock_id_text(&hold->id), (long long) hold->ledger,
						clock_id_text(&hold->operation_id)),
				 errhint("Only the end of the operation ends it; see teller.cancel().")));
	if (operation != NULL &&
		(!hold->has_operation ||
		 memcmp(&hold->operation_id, operation, sizeof(pg_uuid_t)) != 0))
		elog(ERROR, "hold %s does not belong to operation %s",
			 clock_id_text(&hold->id), clock_id_text(operation));
}

/* The rest goes back: pending falls on both sides, and the hold ends. */
static JournalRow *
give_back(Movement *movement, Amount rest, const char *kind)
{
	Hold	   *hold = movement->hold;
	JournalRow *row;

	movement->debit->pending_debit =
		amount_subtract(movement->debit->pending_debit, rest);
	if (hold_counts_credit(movement))
		movement->credit->pending_credit =
			amount_subtract(movement->credit->pending_credit, rest);
	hold->released = amount_add(hold->released, rest);
	row = movement_add(movement, kind, rest, hold_counts_credit(movement));
	row->hold_id = &hold->id;
	return row;
}

void
hold_end(Movement *movement, HoldState state, JournalRow *row)
{
	movement->hold->state = state;
	movement->hold->ended_at = movement->set->now;
	row->ends_hold = true;
}

static Amount
capture_amount(const Hold *hold, Numeric asked)
{
	if (asked == NULL)
		return hold_remaining(hold);
	return amount_to_move(asked, hold->scale, "amount");
}

/*
 * A denial, so that the key is looked at once more: the twin that took the
 * rest may have been this very call.  It is raised whatever on_denial says.
 */
static Denial *
test_remains(const Hold *hold, Amount amount)
{
	Denial	   *denial;

	if (amount <= hold_remaining(hold))
		return NULL;
	denial = denial_make(ERRCODE_INVALID_PARAMETER_VALUE,
						 psprintf("amount is more than remains of hold %s",
								  clock_id_text(&hold->id)),
						 psprintf("%s remains, asked %s.",
								  amount_to_text(hold_remaining(hold), hold->scale),
								  amount_to_text(amount, hold->scale)),
						 NULL);
	denial->always_raised = true;
	return denial;
}

static void
capture_apply(Movement *movement, bool final, const pg_uuid_t *operation)
{
	Account    *debit = movement->debit,
			   *credit = movement->credit;
	Hold	   *hold = movement->hold;
	JournalRow *row;

	debit->posted = amount_subtract(debit->posted, movement->amount);
	debit->pending_debit = amount_subtract(debit->pending_debit,
										   movement->amount);
	credit->posted = amount_add(credit->posted, movement->amount);
	if (credit->has_max)
		credit->pending_credit = amount_subtract(credit->pending_credit,
												 movement->amount);
	hold->captured = amount_add(hold->captured, movement->amount);
	row = movement_add(movement, "capture", movement->amount, true);
	row->hold_id = &hold->id;
	row->operation_id = operation;
	if (final && hold_remaining(hold) > 0)
	{
		row = give_back(movement, hold_remaining(hold), "release");
		row->operation_id = operation;
	}
	if (hold_remaining(hold) == 0)
		hold_end(movement, HOLD_CAPTURED, row);
}

/*
 * A hot account is not locked, so whether the hold is due is settled with
 * those who count what is due as theirs.  Only who takes from the hold, or
 * makes it last longer, has to: what a release gives back is the same money.
 */
void
hold_claim(Movement *movement)
{
	const Hold *hold = movement->hold;

	if (hold->state != HOLD_OPEN || !hold->has_deadline)
		return;
	account_claim_hold(movement->set, movement->debit, HOT_DEBIT,
					   hold->expires_at);
	if (hold_counts_credit(movement))
		account_claim_hold(movement->set, movement->credit, HOT_CREDIT,
						   hold->expires_at);
	movement->denial = test_open(hold, movement->set->now);
}

/*
 * A hot account keeps nobody off the hold until the hold is locked: what was
 * done to it meanwhile is not to be later than this, and its money has moved.
 */
static void
read_again(Movement *movement)
{
	if (movement->debit->use < 0)
		return;
	movement->set->now = Max(movement->set->now, clock_read());
	account_hot_refresh(movement->set);
}

Movement *
hold_decide_capture(int64 ledger, const pg_uuid_t *id, Numeric amount,
					bool final, const pg_uuid_t *operation)
{
	Hold	   *peeked = hold_peek(ledger, id);
	int64		accounts[2] = {peeked->debit_account, peeked->credit_account};
	Movement   *movement;

	if (amount != NULL)
		amount_check(amount, "amount");
	movement = movement_begin(ledger, accounts, 2);
	movement->debit = account_in_set(movement->set, accounts[0]);
	movement->credit = account_in_set(movement->set, accounts[1]);
	movement->hold = hold_lock(peeked);
	read_again(movement);
	movement->scale = movement->hold->scale;
	check_operation(movement->hold, operation);
	movement->denial = test_open(movement->hold, movement->set->now);
	if (movement->denial == NULL)
		hold_claim(movement);
	if (movement->denial == NULL && operation == NULL)
		movement->denial = account_test_active(movement->debit, true);
	if (movement->denial == NULL && operation == NULL)
		movement->denial = account_test_active(movement->credit, false);
	if (movement->denial != NULL)
		return movement;
	movement->amount = capture_amount(movement->hold, amount);
	movement->denial = test_remains(movement->hold, movement->amount);
	if (movement->denial != NULL)
		return movement;
	capture_apply(movement, final, operation);
	return movement;
}

Movement *
hold_lock_open(int64 ledger, const pg_uuid_t *id, const pg_uuid_t *operation)
{
	Hold	   *peeked = hold_peek(ledger, id);
	Movement   *movement = hold_lock_sides(ledger, peeked->debit_account,
										   peeked->credit_account);

	movement->hold = hold_lock(peeked);
	read_again(movement);
	check_operation(movement->hold, operation);
	movement->denial = test_open(movement->hold, movement->set->now);
	return movement;
}

Movement *
hold_decide_release(int64 ledger, const pg_uuid_t *id,
					const pg_uuid_t *operation)
{
	Movement   *movement = hold_lock_open(ledger, id, operation);
	JournalRow *row;

	if (movement->denial != NULL)
		return movement;
	movement->amount = hold_remaining(movement->hold);
	row = give_back(movement, movement->amount, "release");
	row->operation_id = operation;
	hold_end(movement, HOLD_RELEASED, row);
	return movement;
}

/* For the sweep: the hold is due, and its accounts are in the set. */
void
hold_expire_locked(Movement *movement)
{
	hold_end(movement, HOLD_EXPIRED,
			 give_back(movement, hold_remaining(movement->hold), "expire"));
}
