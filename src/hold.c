/*-------------------------------------------------------------------------
 *
 * hold.c
 *	  Holds: money set aside, then captured, released or expired.
 *
 * A hold's row changes only while its debit account is locked, so the sums
 * of open holds that the account row keeps cannot go wrong.  Lock order:
 * accounts, then the hold.  Its accounts never change, so they are read
 * before either is locked.
 *
 * One predicate says that a hold is over: its deadline is not after the
 * call's clock reading (hold_is_due).
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "guc.h"
#include "hold.h"
#include "wake.h"

/* The columns of teller.hold. */
enum
{
	COL_LEDGER,
	COL_ID,
	COL_DEBIT_ACCOUNT,
	COL_CREDIT_ACCOUNT,
	COL_AMOUNT,
	COL_CAPTURED,
	COL_RELEASED,
	COL_EXPIRES_AT,
	COL_STATE,
	COL_OPERATION_ID,
	COL_CREATED_AT,
	COL_ENDED_AT,
	COL_METADATA,
	COL_COUNT
};

#define MAX_TTL_DAYS 36525		/* a hundred years */

static const char *const state_names[] = {
	[HOLD_OPEN] = "open",
	[HOLD_CAPTURED] = "captured",
	[HOLD_RELEASED] = "released",
	[HOLD_EXPIRED] = "expired"
};

const char *
hold_state_name(HoldState state)
{
	return state_names[state];
}

static HoldState
state_from_datum(Datum value)
{
	char	   *name = TextDatumGetCString(value);

	for (int i = 0; i < lengthof(state_names); i++)
		if (strcmp(name, state_names[i]) == 0)
			return (HoldState) i;
	elog(ERROR, "unknown hold state \"%s\"", name);
	return HOLD_EXPIRED;
}

Amount
hold_remaining(const Hold *hold)
{
	return hold->amount - hold->captured - hold->released;
}

bool
hold_is_due(const Hold *hold, TimestampTz now)
{
	return hold->has_deadline && hold->expires_at <= now;
}

/* ---- rows ------------------------------------------------------------- */

static Amount
stored(TupleTableSlot *slot, int column, int *scale)
{
	return amount_stored(DatumGetNumeric(slot->tts_values[column]), scale);
}

static void
hold_read(Hold *hold, TupleTableSlot *slot)
{
	int			ignored;

	slot_getallattrs(slot);
	hold->ledger = DatumGetInt64(slot->tts_values[COL_LEDGER]);
	hold->id = *DatumGetUUIDP(slot->tts_values[COL_ID]);
	hold->debit_account = DatumGetInt64(slot->tts_values[COL_DEBIT_ACCOUNT]);
	hold->credit_account = DatumGetInt64(slot->tts_values[COL_CREDIT_ACCOUNT]);
	hold->amount = stored(slot, COL_AMOUNT, &hold->scale);
	hold->captured = stored(slot, COL_CAPTURED, &ignored);
	hold->released = stored(slot, COL_RELEASED, &ignored);
	hold->has_deadline = !slot->tts_isnull[COL_EXPIRES_AT];
	hold->expires_at = DatumGetTimestampTz(slot->tts_values[COL_EXPIRES_AT]);
	hold->state = state_from_datum(slot->tts_values[COL_STATE]);
	hold->has_operation = !slot->tts_isnull[COL_OPERATION_ID];
	if (hold->has_operation)
		hold->operation_id = *DatumGetUUIDP(slot->tts_values[COL_OPERATION_ID]);
	hold->created_at = DatumGetTimestampTz(slot->tts_values[COL_CREATED_AT]);
	hold->ended_at = DatumGetTimestampTz(slot->tts_values[COL_ENDED_AT]);
}

static void
raise_missing(int64 ledger, const pg_uuid_t *id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TELLER_NOT_FOUND),
			 errmsg("hold %s of ledger %lld does not exist",
					clock_id_text(id), (long long) ledger)));
}

/*
 * The hold without a lock; its accounts and amount never change.  Looked for
 * in the newest snapshot: above READ COMMITTED a hold that is younger than the
 * transaction's is not unknown, its account is stale (40001).
 */
static Hold *
hold_peek(int64 ledger, const pg_uuid_t *id)
{
	Rel		   *rel = rel_open(REL_HOLD, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Datum		keys[2] = {Int64GetDatum(ledger), UUIDPGetDatum(id)};
	Hold	   *hold = palloc0(sizeof(Hold));

	if (!rel_fetch(rel, snapshot, 2, keys, slot))
		raise_missing(ledger, id);
	hold_read(hold, slot);
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return hold;
}

Hold *
hold_lock(int64 ledger, const pg_uuid_t *id)
{
	Datum		keys[2] = {Int64GetDatum(ledger), UUIDPGetDatum(id)};
	Hold	   *hold = palloc0(sizeof(Hold));

	hold->rel = rel_open(REL_HOLD, RowExclusiveLock);
	hold->slot = rel_make_slot(hold->rel);
	if (!rel_lock_row(hold->rel, 2, keys, LockTupleNoKeyExclusive, hold->slot))
		raise_missing(ledger, id);
	hold_read(hold, hold->slot);
	return hold;
}

void
hold_close(Hold *hold)
{
	if (hold->slot != NULL)
		ExecDropSingleTupleTableSlot(hold->slot);
	if (hold->rel != NULL)
		rel_close(hold->rel);
	hold->slot = NULL;
	hold->rel = NULL;
}

static void
hold_insert(Hold *hold)
{
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};

	hold->rel = rel_open(REL_HOLD, RowExclusiveLock);
	values[COL_LEDGER] = Int64GetDatum(hold->ledger);
	values[COL_ID] = UUIDPGetDatum(&hold->id);
	values[COL_DEBIT_ACCOUNT] = Int64GetDatum(hold->debit_account);
	values[COL_CREDIT_ACCOUNT] = Int64GetDatum(hold->credit_account);
	values[COL_AMOUNT] = AmountGetDatum(hold->amount, hold->scale);
	values[COL_CAPTURED] = AmountGetDatum(0, hold->scale);
	values[COL_RELEASED] = AmountGetDatum(0, hold->scale);
	values[COL_EXPIRES_AT] = TimestampTzGetDatum(hold->expires_at);
	nulls[COL_EXPIRES_AT] = !hold->has_deadline;
	values[COL_STATE] = CStringGetTextDatum(state_names[HOLD_OPEN]);
	values[COL_OPERATION_ID] = UUIDPGetDatum(&hold->operation_id);
	nulls[COL_OPERATION_ID] = !hold->has_operation;
	values[COL_CREATED_AT] = TimestampTzGetDatum(hold->created_at);
	nulls[COL_ENDED_AT] = true;
	values[COL_METADATA] = JsonbPGetDatum(hold->metadata);
	nulls[COL_METADATA] = hold->metadata == NULL;
	rel_insert(hold->rel, values, nulls);
	if (hold->has_deadline)
		wake_at_commit(hold->expires_at);
}

void
hold_write(Hold *hold)
{
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};
	bool		replace[COL_COUNT] = {0};

	if (hold->is_new)
	{
		hold_insert(hold);
		return;
	}
	values[COL_CAPTURED] = AmountGetDatum(hold->captured, hold->scale);
	values[COL_RELEASED] = AmountGetDatum(hold->released, hold->scale);
	values[COL_STATE] = CStringGetTextDatum(state_names[hold->state]);
	values[COL_ENDED_AT] = TimestampTzGetDatum(hold->ended_at);
	nulls[COL_ENDED_AT] = hold->state == HOLD_OPEN;
	replace[COL_CAPTURED] = replace[COL_RELEASED] = replace[COL_STATE] =
		replace[COL_ENDED_AT] = true;
	rel_update(hold->rel, hold->slot, values, nulls, replace);
}

/* ---- sums ------------------------------------------------------------- */

/* Open holds of one side of an account: those due by now, or the others. */
static Amount
sum_holds(int64 ledger, int64 account, bool debit_side, TimestampTz now,
		  bool due, Snapshot snapshot)
{
	Rel		   *rel = rel_open(REL_HOLD, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	newest = snapshot == NULL ? rel_newest_snapshot() : NULL;
	Datum		keys[2] = {Int64GetDatum(ledger), Int64GetDatum(account)};
	RelScan    *scan = rel_scan_begin(rel, debit_side ? "hold_debit" : "hold_credit",
									  newest ? newest : snapshot, 2, keys);
	Amount		sum = 0;

	/* By deadline, those without one last: the due ones come first. */
	while (rel_scan_next(scan, slot))
	{
		Hold		hold;

		hold_read(&hold, slot);
		if (hold_is_due(&hold, now) == due)
			sum = amount_add(sum, hold_remaining(&hold));
		else if (due)
			break;
	}
	rel_scan_end(scan);
	if (newest != NULL)
		rel_forget_snapshot(newest);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return sum;
}

Amount
hold_due_sum(int64 ledger, int64 account, bool debit_side, TimestampTz now,
			 Snapshot snapshot)
{
	return sum_holds(ledger, account, debit_side, now, true, snapshot);
}

Amount
hold_open_sum(int64 ledger, int64 account, bool debit_side, TimestampTz now,
			  Snapshot snapshot)
{
	return sum_holds(ledger, account, debit_side, now, false, snapshot);
}

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
static Movement *
lock_sides(int64 ledger, int64 debit, int64 credit)
{
	int64		accounts[2] = {debit, credit};
	Account    *peeked = account_peek(ledger, credit, NULL);
	Movement   *movement;

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
static bool
counts_credit(const Movement *movement)
{
	return movement->credit->slot != NULL && movement->credit->has_max;
}

static Denial *
place_test(Movement *movement, const HoldRequest *request)
{
	Denial	   *denial = NULL;

	if (request->has_expected_version)
		denial = account_test_version(movement->debit,
									  request->expected_version);
	if (denial == NULL)
		denial = account_test_debit(movement->set, movement->debit,
									movement->amount);
	if (denial == NULL)
		denial = account_test_credit(movement->set, movement->credit,
									 movement->amount);
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
	movement = lock_sides(request->ledger, request->debit_account,
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
	if (counts_credit(movement))
		movement->credit->pending_credit =
			amount_add(movement->credit->pending_credit, movement->amount);
	row = movement_add(movement, "hold", movement->amount,
					   counts_credit(movement));
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
					   psprintf("It was %s at %s.", state_names[state],
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
	if (counts_credit(movement))
		movement->credit->pending_credit =
			amount_subtract(movement->credit->pending_credit, rest);
	hold->released = amount_add(hold->released, rest);
	row = movement_add(movement, kind, rest, counts_credit(movement));
	row->hold_id = &hold->id;
	return row;
}

static void
end_hold(Movement *movement, HoldState state, JournalRow *row)
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
		end_hold(movement, HOLD_CAPTURED, row);
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
	movement->hold = hold_lock(ledger, id);
	movement->scale = movement->hold->scale;
	check_operation(movement->hold, operation);
	movement->denial = test_open(movement->hold, movement->set->now);
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
hold_decide_release(int64 ledger, const pg_uuid_t *id,
					const pg_uuid_t *operation)
{
	Hold	   *peeked = hold_peek(ledger, id);
	Movement   *movement = lock_sides(ledger, peeked->debit_account,
									  peeked->credit_account);
	JournalRow *row;

	movement->hold = hold_lock(ledger, id);
	check_operation(movement->hold, operation);
	movement->denial = test_open(movement->hold, movement->set->now);
	if (movement->denial != NULL)
		return movement;
	movement->amount = hold_remaining(movement->hold);
	row = give_back(movement, movement->amount, "release");
	row->operation_id = operation;
	end_hold(movement, HOLD_RELEASED, row);
	return movement;
}

/* For the sweep: the hold is due, and its accounts are in the set. */
void
hold_expire_locked(Movement *movement)
{
	end_hold(movement, HOLD_EXPIRED,
			 give_back(movement, hold_remaining(movement->hold), "expire"));
}
