/*-------------------------------------------------------------------------
 *
 * hold_change.c
 *	  Holds that are changed while they are open: a later deadline, another
 *	  amount.
 *
 * Each change is a row of the journal, whose metadata say what was and what
 * is.  Its amount is the difference for an adjustment, and what remains for
 * an extension, which moves nothing.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "hold.h"
#include "key.h"

/* ---- extend ----------------------------------------------------------- */

/*
 * A denial, so that the key is looked at once more: the twin that gave the
 * hold its deadline may have been this very call.  It is raised in any case.
 */
static Denial *
test_later(const Hold *hold, TimestampTz deadline)
{
	Denial	   *denial;

	if (deadline > hold->expires_at)
		return NULL;
	denial = denial_make(ERRCODE_INVALID_PARAMETER_VALUE,
						 psprintf("the new deadline of hold %s is not later than the present one",
								  clock_id_text(&hold->id)),
						 psprintf("It would be %s, it is %s.",
								  pstrdup(timestamptz_to_str(deadline)),
								  pstrdup(timestamptz_to_str(hold->expires_at))),
						 NULL);
	denial->always_raised = true;
	return denial;
}

Movement *
hold_decide_extend(int64 ledger, const pg_uuid_t *id, const Interval *ttl)
{
	Movement   *movement = hold_lock_open(ledger, id, NULL);
	Hold	   *hold = movement->hold;
	KeyCall		change = {0};
	TimestampTz deadline;
	JournalRow *row;

	if (movement->denial == NULL)
		hold_claim(movement);
	if (movement->denial != NULL)
		return movement;
	deadline = hold_deadline(movement->set->now, ttl);
	movement->denial = test_later(hold, deadline);
	if (movement->denial != NULL)
		return movement;
	key_add_time(&change, "old_expires_at", false, hold->expires_at);
	key_add_time(&change, "new_expires_at", false, deadline);
	hold->expires_at = deadline;
	hold->extended = true;
	movement->amount = hold_remaining(hold);
	row = movement_add(movement, "extend", movement->amount, false);
	row->hold_id = &hold->id;
	row->metadata = key_arguments(&change);
	return movement;
}

/* ---- adjust ----------------------------------------------------------- */

/* Always raised: what is asked is impossible, not merely too much. */
static Denial *
test_total(const Hold *hold, Amount total)
{
	Amount		used = amount_add(hold->captured, hold->released);
	Denial	   *denial;

	if (total >= used)
		return NULL;
	denial = denial_make(ERRCODE_INVALID_PARAMETER_VALUE,
						 psprintf("amount is less than what is captured of hold %s",
								  clock_id_text(&hold->id)),
						 psprintf("%s is captured or released, asked %s.",
								  amount_to_text(used, hold->scale),
								  amount_to_text(total, hold->scale)),
						 NULL);
	denial->always_raised = true;
	return denial;
}

static Denial *
test_more(Movement *movement, Amount more)
{
	if (more <= 0)
		return NULL;
	return account_test_pair(movement->set, movement->debit,
							 movement->credit, more);
}

static void
adjust(Movement *movement, Amount total)
{
	Hold	   *hold = movement->hold;
	Amount		more = total - hold->amount;
	KeyCall		change = {0};
	JournalRow *row;

	key_add_amount(&change, "old_amount",
				   AmountGetDatum(hold->amount, hold->scale));
	key_add_amount(&change, "new_amount",
				   AmountGetDatum(total, hold->scale));
	movement->debit->pending_debit = amount_add(movement->debit->pending_debit,
												more);
	if (hold_counts_credit(movement))
		movement->credit->pending_credit =
			amount_add(movement->credit->pending_credit, more);
	hold->amount = total;
	hold->adjusted = true;
	movement->amount = more < 0 ? -more : more;
	row = movement_add(movement, "adjust", movement->amount,
					   hold_counts_credit(movement));
	row->hold_id = &hold->id;
	row->metadata = key_arguments(&change);
	if (hold_remaining(hold) == 0)
		hold_end(movement, hold->captured > 0 ? HOLD_CAPTURED : HOLD_RELEASED,
				 row);
}

Movement *
hold_decide_adjust(int64 ledger, const pg_uuid_t *id, Numeric amount)
{
	Movement   *movement = hold_lock_open(ledger, id, NULL);
	Hold	   *hold = movement->hold;
	Amount		total;

	if (movement->denial != NULL)
		return movement;
	total = amount_to_move(amount, hold->scale, "amount");
	movement->denial = test_total(hold, total);
	if (movement->denial == NULL)
		movement->denial = test_more(movement, total - hold->amount);
	if (movement->denial == NULL && total != hold->amount)
		adjust(movement, total);
	return movement;
}
