/*-------------------------------------------------------------------------
 *
 * hold_row.c
 *	  Rows of teller.hold: read, lock, write, add up.
 *
 * A hold's row changes only while its debit account is locked, so the sums
 * of open holds that the account row keeps cannot go wrong.
 *
 * The credit account is locked too only if it has a maximum, and whether it
 * has one is read without a lock.  So that no hold is missed when a maximum is
 * introduced or the account is closed, the table's lock stands between them:
 * hold_enter on this side, hold_keep_out on the other.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "hold_row.h"
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
	return amount_stored(slot->tts_values[column], scale);
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
			(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
			 errmsg("hold %s of ledger %lld does not exist",
					clock_id_text(id), (long long) ledger)));
}

/* rel_close leaves the table's lock to the transaction. */
void
hold_enter(void)
{
	rel_close(rel_open(REL_HOLD, RowExclusiveLock));
}

void
hold_keep_out(void)
{
	rel_close(rel_open(REL_HOLD, ShareLock));
}

/*
 * The hold without a lock; its accounts never change.  Looked for
 * in the newest snapshot: above READ COMMITTED a hold that is younger than the
 * transaction's is not unknown, its account is stale (40001).
 */
Hold *
hold_peek(int64 ledger, const pg_uuid_t *id)
{
	Datum		keys[2] = {Int64GetDatum(ledger), UUIDPGetDatum(id)};
	Hold	   *hold = palloc0(sizeof(Hold));

	hold->rel = rel_open(REL_HOLD, RowExclusiveLock);
	hold->slot = rel_make_slot(hold->rel);
	hold->seen = RegisterSnapshot(GetLatestSnapshot());
	if (!rel_fetch(hold->rel, hold->seen, 2, keys, hold->slot))
		raise_missing(ledger, id);
	hold_read(hold, hold->slot);

	/* No page stays pinned while its accounts are waited for. */
	ExecMaterializeSlot(hold->slot);
	return hold;
}

struct HoldLocker
{
	Rel		   *rel;
	RelLocker  *rows;
	TupleTableSlot *slot;
};

/* One that is over is locked too: who locks it looks at its state. */
static bool
is_any(TupleTableSlot *slot)
{
	return true;
}

HoldLocker *
hold_lock_begin(void)
{
	HoldLocker *locker = palloc(sizeof(HoldLocker));

	locker->rel = rel_open(REL_HOLD, RowExclusiveLock);
	locker->rows = rel_lock_begin(locker->rel, LockTupleNoKeyExclusive,
								  is_any);
	locker->slot = rel_make_slot(locker->rel);
	return locker;
}

Hold *
hold_lock_next(HoldLocker *locker, int64 ledger, const pg_uuid_t *id)
{
	Datum		keys[2] = {Int64GetDatum(ledger), UUIDPGetDatum(id)};
	Hold	   *hold = palloc0(sizeof(Hold));

	hold->rel = locker->rel;
	hold->slot = locker->slot;
	if (rel_lock_next(locker->rows, 2, keys, hold->slot) == REL_ABSENT)
		raise_missing(ledger, id);
	hold_read(hold, hold->slot);
	return hold;
}

void
hold_lock_end(HoldLocker *locker)
{
	rel_lock_end(locker->rows);
	ExecDropSingleTupleTableSlot(locker->slot);
	rel_close(locker->rel);
	pfree(locker);
}

/*
 * The version that was peeked at leads to the newest one, without a second
 * look at the index.  Above READ COMMITTED it must be the one that the
 * transaction's own snapshot has.
 */
Hold *
hold_lock(Hold *hold)
{
	int64		ledger = hold->ledger;
	pg_uuid_t	id = hold->id;
	Datum		keys[2] = {Int64GetDatum(ledger), UUIDPGetDatum(&id)};
	bool		changed;
	bool		found;

	if (IsolationUsesXactSnapshot())
		found = rel_lock_row(hold->rel, 2, keys, LockTupleNoKeyExclusive,
							 hold->slot);
	else
		found = rel_lock_version(hold->rel, hold->seen,
								 LockTupleNoKeyExclusive, hold->slot,
								 &changed);
	if (!found)
		raise_missing(ledger, &id);
	rel_forget_snapshot(hold->seen);
	hold->seen = NULL;
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

	if (hold->extended)
		wake_at_commit(hold->expires_at);
	if (hold->is_new)
	{
		hold_insert(hold);
		return;
	}
	values[COL_AMOUNT] = AmountGetDatum(hold->amount, hold->scale);
	values[COL_CAPTURED] = AmountGetDatum(hold->captured, hold->scale);
	values[COL_RELEASED] = AmountGetDatum(hold->released, hold->scale);
	values[COL_EXPIRES_AT] = TimestampTzGetDatum(hold->expires_at);
	values[COL_STATE] = CStringGetTextDatum(state_names[hold->state]);
	values[COL_ENDED_AT] = TimestampTzGetDatum(hold->ended_at);
	nulls[COL_ENDED_AT] = hold->state == HOLD_OPEN;
	replace[COL_CAPTURED] = replace[COL_RELEASED] = replace[COL_STATE] =
		replace[COL_ENDED_AT] = true;
	replace[COL_AMOUNT] = hold->adjusted;
	replace[COL_EXPIRES_AT] = hold->extended;
	rel_update(hold->rel, hold->slot, values, nulls, replace);
}

/* ---- sums ------------------------------------------------------------- */

/* Open holds of one side of an account: those due by now, or the others. */
typedef struct HoldSide
{
	int64		ledger;
	int64		account;
	bool		debit_side;
	bool		due;
	TimestampTz now;
	Snapshot	snapshot;		/* NULL: the newest */
} HoldSide;

static void
visit_holds(const HoldSide *side, void (*visit) (void *sum, const Hold *hold),
			void *sum)
{
	Rel		   *rel = rel_open(REL_HOLD, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	newest = side->snapshot == NULL ? rel_newest_snapshot() : NULL;
	Datum		keys[2] = {Int64GetDatum(side->ledger),
	Int64GetDatum(side->account)};
	RelScan    *scan = rel_scan_begin(rel, side->debit_side ?
									  "hold_debit" : "hold_credit",
									  newest ? newest : side->snapshot, 2,
									  keys);

	/* By deadline, those without one last: the due ones come first. */
	while (rel_scan_next(scan, slot))
	{
		Hold		hold;

		hold_read(&hold, slot);
		if (hold_is_due(&hold, side->now) == side->due)
			visit(sum, &hold);
		else if (side->due)
			break;
	}
	rel_scan_end(scan);
	if (newest != NULL)
		rel_forget_snapshot(newest);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
}

static void
add_amount(void *sum, const Hold *hold)
{
	*(Amount *) sum = amount_add(*(Amount *) sum, hold_remaining(hold));
}

static void
add_numeric(void *sum, const Hold *hold)
{
	*(Datum *) sum = DirectFunctionCall2(numeric_add, *(Datum *) sum,
										 AmountGetDatum(hold_remaining(hold),
														hold->scale));
}

Amount
hold_due_sum(int64 ledger, int64 account, bool debit_side, TimestampTz now,
			 Snapshot snapshot)
{
	HoldSide	side = {ledger, account, debit_side, true, now, snapshot};
	Amount		sum = 0;

	visit_holds(&side, add_amount, &sum);
	return sum;
}

Amount
hold_open_sum(int64 ledger, int64 account, bool debit_side, TimestampTz now,
			  Snapshot snapshot)
{
	HoldSide	side = {ledger, account, debit_side, false, now, snapshot};
	Amount		sum = 0;

	visit_holds(&side, add_amount, &sum);
	return sum;
}

Datum
hold_pending_credit(int64 ledger, int64 account, int scale, TimestampTz now,
					Snapshot snapshot)
{
	HoldSide	side = {ledger, account, false, false, now, snapshot};
	Datum		sum = AmountGetDatum(0, scale);

	visit_holds(&side, add_numeric, &sum);
	return sum;
}

Hold *
hold_first_open(int64 ledger, int64 account, bool debit_side, Snapshot snapshot)
{
	Rel		   *rel = rel_open(REL_HOLD, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[2] = {Int64GetDatum(ledger), Int64GetDatum(account)};
	RelScan    *scan = rel_scan_begin(rel, debit_side ? "hold_debit" : "hold_credit",
									  snapshot, 2, keys);
	Hold	   *hold = NULL;

	if (rel_scan_next(scan, slot))
	{
		hold = palloc0(sizeof(Hold));
		hold_read(hold, slot);
	}
	rel_scan_end(scan);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return hold;
}
