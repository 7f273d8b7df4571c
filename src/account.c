/*-------------------------------------------------------------------------
 *
 * account.c
 *	  Accounts: lock them in order, read them, test limits, write them.
 *
 * Every call that moves money locks all its accounts here, by ascending
 * account_id, before it reads a balance.  So calls cannot deadlock, and what
 * they decide on cannot change under them.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "account.h"
#include "account_hot.h"
#include "account_row.h"
#include "clock.h"
#include "errcodes.h"
#include "hold_row.h"
#include "hot_fold.h"
#include "ledger.h"
#include "waitpoint.h"

static const char *const status_names[] = {
	[ACCOUNT_OPEN] = "open",
	[ACCOUNT_FROZEN_DEBIT] = "frozen_debit",
	[ACCOUNT_FROZEN_CREDIT] = "frozen_credit",
	[ACCOUNT_FROZEN] = "frozen",
	[ACCOUNT_CLOSED] = "closed"
};

const char *
account_status_name(AccountStatus status)
{
	return status_names[status];
}

void
account_check_reentrancy(const char *mode)
{
	static const char *const modes[] = {"off", "reject", "allow", "queue"};

	for (int i = 0; i < lengthof(modes); i++)
		if (strcmp(mode, modes[i]) == 0)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("reentrancy must be 'off', 'reject', 'allow' or 'queue', not \"%s\"",
					mode)));
}

static AccountStatus
status_from_datum(Datum value)
{
	char	   *name = TextDatumGetCString(value);

	for (int i = 0; i < lengthof(status_names); i++)
		if (strcmp(name, status_names[i]) == 0)
			return (AccountStatus) i;
	elog(ERROR, "unknown account status \"%s\"", name);
	return ACCOUNT_CLOSED;
}

static Amount
stored(TupleTableSlot *slot, int column, int *scale)
{
	return amount_stored(slot->tts_values[column], scale);
}

static void
account_read(Account *account, TupleTableSlot *slot)
{
	int			ignored;

	slot_getallattrs(slot);
	account->slot = slot;
	account->use = -1;
	account->ledger = DatumGetInt64(slot->tts_values[COL_LEDGER]);
	account->id = DatumGetInt64(slot->tts_values[COL_ID]);
	account->asset = TextDatumGetCString(slot->tts_values[COL_ASSET]);
	account->posted = stored(slot, COL_POSTED, &account->scale);
	account->pending_debit = stored(slot, COL_PENDING_DEBIT, &ignored);
	account->pending_credit = stored(slot, COL_PENDING_CREDIT, &ignored);
	account->version = DatumGetInt64(slot->tts_values[COL_VERSION]);
	account->has_min = !slot->tts_isnull[COL_MIN];
	if (account->has_min)
		account->min = stored(slot, COL_MIN, &ignored);
	account->has_max = !slot->tts_isnull[COL_MAX];
	if (account->has_max)
		account->max = stored(slot, COL_MAX, &ignored);
	account->reentrancy = TextDatumGetCString(slot->tts_values[COL_REENTRANCY]);
	account->hot = DatumGetBool(slot->tts_values[COL_HOT]);
	account->status = status_from_datum(slot->tts_values[COL_STATUS]);
	account->last_at = DatumGetTimestampTz(slot->tts_values[COL_LAST_AT]);
	account->has_epoch = !slot->tts_isnull[COL_FOLDED_EPOCH];
	account->epoch = DatumGetInt64(slot->tts_values[COL_FOLDED_EPOCH]);

	/* It has no open holds, so none that are due; a hot one's row lags. */
	account->due_known[true] = account->pending_debit == 0 && !account->hot;
	account->due[true] = 0;
}

void
account_raise_missing(int64 ledger, int64 id)
{
	ledger_check(ledger);
	ereport(ERROR,
			(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
			 errmsg("account %lld of ledger %lld does not exist",
					(long long) id, (long long) ledger),
			 errhint("Open it with teller.open_account().")));
}

#define ST_SORT qsort_ids
#define ST_ELEMENT_TYPE int64
#define ST_COMPARE(a, b) (*(a) < *(b) ? -1 : *(a) > *(b) ? 1 : 0)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* Sort and drop doubles; returns how many are left. */
static int
sort_ids(int64 *ids, int count)
{
	int			kept = 0;

	qsort_ids(ids, count);
	for (int i = 0; i < count; i++)
		if (kept == 0 || ids[kept - 1] != ids[i])
			ids[kept++] = ids[i];
	return kept;
}

static bool
is_any(TupleTableSlot *slot)
{
	return true;
}

static bool
is_not_hot(TupleTableSlot *slot)
{
	bool		isnull;

	return !DatumGetBool(slot_getattr(slot, COL_HOT + 1, &isnull));
}

/* Calls that go by the order of operations take the account for themselves. */
static bool
needs_order(const Account *account)
{
	return strcmp(account->reentrancy, "reject") == 0 ||
		strcmp(account->reentrancy, "queue") == 0;
}

/* The row of an account that was hot when it was looked at. */
static void
read_hot(AccountSet *set, Account *account, const Datum *keys)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = rel_make_slot(set->rel);

	if (!rel_fetch(set->rel, snapshot, 2, keys, slot))
		account_raise_missing(set->ledger, DatumGetInt64(keys[1]));
	ExecMaterializeSlot(slot);
	rel_forget_snapshot(snapshot);
	account_read(account, slot);
	ExecDropSingleTupleTableSlot(slot);
	account->slot = NULL;
}

/*
 * False if the account is no longer hot.  What was read holds once it is
 * locked: whoever changes it needs the account for himself.
 */
static bool
lock_hot(AccountSet *set, Account *account, const Datum *keys)
{
	int64		id = DatumGetInt64(keys[1]);
	uint64		turn;

	do
	{
		turn = hot_look(set->ledger, id);
		read_hot(set, account, keys);
		account->alone = set->how == ACCOUNT_ALONE || needs_order(account);
		WAIT_POINT("hot_looked");
	} while (account->hot &&
			 !hot_lock(set->ledger, id, account->alone, turn));
	return account->hot;
}

/*
 * The locked row of a hot account gets all that the journal has of it.  The
 * row comes first, as it does for a call that meets an account which is just
 * becoming hot (REL_UNWANTED).
 */
static void
lock_hot_row(AccountSet *set, Account *account, const Datum *keys)
{
	TupleTableSlot *slot = account->slot;
	uint64		turn;

	if (hot_is_used(set->ledger, account->id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account %lld of ledger %lld is hot and was used in this transaction",
						(long long) account->id, (long long) set->ledger),
				 errhint("Change a hot account in a transaction of its own.")));
	do
	{
		turn = hot_look(set->ledger, account->id);
	} while (!hot_lock(set->ledger, account->id, true, turn));
	if (hot_fold_all(set->rel, slot))
	{
		CommandCounterIncrement();
		if (!rel_lock_row(set->rel, 2, keys, LockTupleNoKeyExclusive, slot))
			account_raise_missing(set->ledger, account->id);
	}
	ExecMaterializeSlot(slot);
	account_read(account, slot);
	account->alone = true;
	hot_note_fold(set->ledger, account->id);
}

/*
 * Lock one account.  Whether it is hot is seen in its row, and once more when
 * it is locked: it may have been switched meanwhile.
 */
static void
lock_account(AccountSet *set, RelLocker *locker, Account *account, int64 id)
{
	Datum		keys[2] = {Int64GetDatum(set->ledger), Int64GetDatum(id)};

	for (;;)
	{
		TupleTableSlot *slot = rel_make_slot(set->rel);

		switch (rel_lock_next(locker, 2, keys, slot))
		{
			case REL_ABSENT:
				account_raise_missing(set->ledger, id);
				break;
			case REL_LOCKED:
				/* A copy: a large set must not pin as many buffers. */
				ExecMaterializeSlot(slot);
				account_read(account, slot);
				if (account->hot)
					lock_hot_row(set, account, keys);
				return;
			case REL_UNWANTED:
				break;
		}
		ExecDropSingleTupleTableSlot(slot);
		if (!lock_hot(set, account, keys))
		{
			/* An old snapshot would show it hot for ever. */
			if (IsolationUsesXactSnapshot())
				rel_raise_stale();
			continue;
		}
		account_hot_begin(account);
		return;
	}
}

AccountSet *
account_set_lock(int64 ledger, const int64 *ids, int count)
{
	return account_set_lock_as(ledger, ids, count, ACCOUNT_SHARED);
}

AccountSet *
account_set_lock_as(int64 ledger, const int64 *ids, int count, AccountHow how)
{
	AccountSet *set = palloc0(sizeof(AccountSet));
	int64	   *sorted = palloc(sizeof(int64) * Max(count, 1));
	RelLocker  *locker;

	memcpy(sorted, ids, sizeof(int64) * count);
	set->ledger = ledger;
	set->how = how;
	set->rel = rel_open(REL_ACCOUNT, RowExclusiveLock);
	set->count = sort_ids(sorted, count);
	set->accounts = palloc0(sizeof(Account) * Max(set->count, 1));
	locker = rel_lock_begin(set->rel, LockTupleNoKeyExclusive,
							how == ACCOUNT_ROW ? is_any : is_not_hot);
	for (int i = 0; i < set->count; i++)
		lock_account(set, locker, &set->accounts[i], sorted[i]);
	rel_lock_end(locker);

	/* One reading for the whole call, never behind what an account has seen. */
	set->now = clock_read();
	for (int i = 0; i < set->count; i++)
		set->now = Max(set->now, set->accounts[i].last_at);
	set->ids = sorted;
	return set;
}

void
account_set_close(AccountSet *set)
{
	for (int i = 0; i < set->count; i++)
	{
		Account    *account = &set->accounts[i];

		if (account->use >= 0)
			account_hot_end(account);
		if (account->slot != NULL)
			ExecDropSingleTupleTableSlot(account->slot);
	}
	rel_close(set->rel);
}

Account *
account_in_set(AccountSet *set, int64 id)
{
	int			low = 0,
				high = set->count - 1;

	while (low <= high)
	{
		int			middle = low + (high - low) / 2;

		if (set->ids[middle] == id)
			return &set->accounts[middle];
		if (set->ids[middle] < id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

void
account_step(Account *account)
{
	account->changed = true;
	if (account->use >= 0)
		return;
	if (account->version == PG_INT64_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("account %lld of ledger %lld has no further version",
						(long long) account->id,
						(long long) account->ledger)));
	account->version++;
}

static void
account_write(AccountSet *set, Account *account)
{
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};
	bool		replace[COL_COUNT] = {0};

	account->last_at = set->now;
	values[COL_POSTED] = AmountGetDatum(account->posted, account->scale);
	values[COL_PENDING_DEBIT] = AmountGetDatum(account->pending_debit,
											   account->scale);
	values[COL_PENDING_CREDIT] = AmountGetDatum(account->pending_credit,
												account->scale);
	values[COL_VERSION] = Int64GetDatum(account->version);
	values[COL_LAST_AT] = TimestampTzGetDatum(account->last_at);
	replace[COL_POSTED] = replace[COL_PENDING_DEBIT] =
		replace[COL_PENDING_CREDIT] = replace[COL_VERSION] =
		replace[COL_LAST_AT] = true;
	rel_update(set->rel, account->slot, values, nulls, replace);
	account->changed = false;
}

void
account_set_write(AccountSet *set)
{
	for (int i = 0; i < set->count; i++)
	{
		Account    *account = &set->accounts[i];

		if (account->changed && account->use >= 0)
			account_hot_write(account);
		else if (account->changed)
			account_write(set, account);
	}
}

void
account_write_limits(AccountSet *set, Account *account)
{
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};
	bool		replace[COL_COUNT] = {0};

	account->last_at = set->now;
	nulls[COL_MIN] = !account->has_min;
	if (account->has_min)
		values[COL_MIN] = AmountGetDatum(account->min, account->scale);
	nulls[COL_MAX] = !account->has_max;
	if (account->has_max)
		values[COL_MAX] = AmountGetDatum(account->max, account->scale);
	values[COL_PENDING_CREDIT] = AmountGetDatum(account->pending_credit,
												account->scale);
	values[COL_STATUS] = CStringGetTextDatum(status_names[account->status]);
	values[COL_LAST_AT] = TimestampTzGetDatum(account->last_at);
	replace[COL_MIN] = replace[COL_MAX] = replace[COL_PENDING_CREDIT] =
		replace[COL_STATUS] = replace[COL_LAST_AT] = true;
	rel_update(set->rel, account->slot, values, nulls, replace);
}

void
account_write_hot(AccountSet *set, const Account *account, bool hot)
{
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};
	bool		replace[COL_COUNT] = {0};

	values[COL_HOT] = BoolGetDatum(hot);
	replace[COL_HOT] = true;
	rel_update(set->rel, account->slot, values, nulls, replace);
}

void
account_write_metadata(AccountSet *set, const Account *account,
					   const Jsonb *metadata)
{
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};
	bool		replace[COL_COUNT] = {0};

	nulls[COL_METADATA] = metadata == NULL;
	values[COL_METADATA] = JsonbPGetDatum(metadata);
	replace[COL_METADATA] = true;
	rel_update(set->rel, account->slot, values, nulls, replace);
}

static Account *
peek(int64 ledger, int64 id, Snapshot snapshot, LOCKMODE lockmode)
{
	Rel		   *rel = rel_open(REL_ACCOUNT, lockmode);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	newest = snapshot == NULL ?
		RegisterSnapshot(GetLatestSnapshot()) : NULL;
	Datum		keys[2] = {Int64GetDatum(ledger), Int64GetDatum(id)};
	Account    *account = NULL;

	if (rel_fetch(rel, newest ? newest : snapshot, 2, keys, slot))
	{
		account = palloc0(sizeof(Account));
		account_read(account, slot);
		account->slot = NULL;
	}
	if (newest != NULL)
		rel_forget_snapshot(newest);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return account;
}

Account *
account_peek(int64 ledger, int64 id, Snapshot snapshot)
{
	return peek(ledger, id, snapshot, AccessShareLock);
}

Account *
account_peek_first(int64 ledger, int64 id)
{
	return peek(ledger, id, NULL, RowExclusiveLock);
}

/* ---- tests ------------------------------------------------------------ */

/* Others may use it at the same time. */
static bool
is_shared(const Account *account)
{
	return account->use >= 0 && !account->alone;
}

Denial *
account_test_active(const Account *account, bool debit_side)
{
	AccountStatus half = debit_side ? ACCOUNT_FROZEN_DEBIT : ACCOUNT_FROZEN_CREDIT;

	if (account->status != half && account->status != ACCOUNT_FROZEN &&
		account->status != ACCOUNT_CLOSED)
		return NULL;
	return denial_make(ERRCODE_TELLER_ACCOUNT_NOT_ACTIVE,
					   psprintf("account %lld of ledger %lld is %s",
								(long long) account->id,
								(long long) account->ledger,
								account->status == ACCOUNT_CLOSED ? "closed" : "frozen"),
					   psprintf("Its status is %s.",
								status_names[account->status]),
					   NULL);
}

/*
 * Above READ COMMITTED an old snapshot is no danger where the row is locked,
 * which is then known to be as old; a hot account is as it is now.
 */
static Amount
read_due(AccountSet *set, const Account *account, bool debit_side)
{
	Snapshot	snapshot = account->use < 0 ? NULL :
		RegisterSnapshot(GetLatestSnapshot());
	Amount		due = hold_due_sum(account->ledger, account->id, debit_side,
								   set->now, snapshot);

	if (snapshot != NULL)
		rel_forget_snapshot(snapshot);
	return due;
}

/*
 * What the holds that are due give back.  Looked up once for a call: its
 * reading of the clock does not change, and the account is locked.
 */
static Amount
account_due(AccountSet *set, const Account *account, bool debit_side)
{
	Account    *mine = account_in_set(set, account->id);

	if (mine == NULL)
		return read_due(set, account, debit_side);
	if (!mine->due_known[debit_side])
		mine->due[debit_side] = read_due(set, account, debit_side);
	mine->due_known[debit_side] = true;
	return mine->due[debit_side];
}

Amount
account_available(AccountSet *set, const Account *account)
{
	Amount		due = 0;

	if (account->pending_debit > 0)
		due = account_due(set, account, true);
	return amount_add(amount_subtract(account->posted, account->pending_debit),
					  due);
}

char *
account_version_text(const Account *account)
{
	if (account->hot)
		return pstrdup("");
	return psprintf("; version %lld", (long long) account->version);
}

Denial *
account_deny_funds(const Account *account, Amount available, Amount amount)
{
	bool		unfunded = account->version == 0 && account->use < 0;

	return denial_make(ERRCODE_TELLER_INSUFFICIENT_FUNDS,
					   psprintf("insufficient funds on account %lld of ledger %lld",
								(long long) account->id,
								(long long) account->ledger),
					   psprintf("Available %s %s, minimum %s, asked %s%s.",
								amount_to_text(available, account->scale),
								account->asset,
								amount_to_text(account->min, account->scale),
								amount_to_text(amount, account->scale),
								account_version_text(account)),
					   unfunded ? pstrdup("Nothing was ever paid into this account. Fund it from an account opened with min_balance => NULL.") : NULL);
}

Denial *
account_test_minimum(AccountSet *set, const Account *account, Amount amount)
{
	Amount		available;

	if (is_shared(account))
		return account_hot_take(set, account, HOT_DEBIT, amount);
	if (!account->has_min)
		return NULL;
	available = amount_subtract(account->posted, account->pending_debit);
	if (amount_subtract(available, amount) >= account->min)
		return NULL;
	available = account_available(set, account);
	if (amount_subtract(available, amount) >= account->min)
		return NULL;
	return account_deny_funds(account, available, amount);
}

Denial *
account_deny_limit(const Account *account, Amount reserved, Amount amount)
{
	return denial_make(ERRCODE_TELLER_LIMIT_EXCEEDED,
					   psprintf("account %lld of ledger %lld would exceed its maximum",
								(long long) account->id,
								(long long) account->ledger),
					   psprintf("Posted and pending credits %s %s, maximum %s, asked %s%s.",
								amount_to_text(reserved, account->scale),
								account->asset,
								amount_to_text(account->max, account->scale),
								amount_to_text(amount, account->scale),
								account_version_text(account)),
					   NULL);
}

/* What counts against the maximum, without the holds that are due. */
static Amount
account_reserved(AccountSet *set, const Account *account)
{
	return amount_subtract(amount_add(account->posted, account->pending_credit),
						   account_due(set, account, false));
}

Denial *
account_test_maximum(AccountSet *set, const Account *account, Amount amount)
{
	Amount		reserved;

	if (is_shared(account))
		return account_hot_take(set, account, HOT_CREDIT, amount);
	if (!account->has_max)
		return NULL;
	reserved = amount_add(account->posted, account->pending_credit);
	if (amount_add(reserved, amount) <= account->max)
		return NULL;
	reserved = account_reserved(set, account);
	if (amount_add(reserved, amount) <= account->max)
		return NULL;
	return account_deny_limit(account, reserved, amount);
}

Denial *
account_test_debit(AccountSet *set, const Account *account, Amount amount)
{
	Denial	   *denial = account_test_active(account, true);

	return denial ? denial : account_test_minimum(set, account, amount);
}

Denial *
account_test_credit(AccountSet *set, const Account *account, Amount amount)
{
	Denial	   *denial = account_test_active(account, false);

	return denial ? denial : account_test_maximum(set, account, amount);
}

/*
 * A test of a hot account takes from it, and may wait for others who have
 * taken.  That cannot be a deadlock while all take in one order, that of the
 * accounts.
 */
Denial *
account_test_pair(AccountSet *set, const Account *debit,
				  const Account *credit, Amount amount)
{
	Denial	   *denial;

	if (is_shared(debit) && is_shared(credit) && credit->id < debit->id)
	{
		denial = account_test_credit(set, credit, amount);
		return denial ? denial : account_test_debit(set, debit, amount);
	}
	denial = account_test_debit(set, debit, amount);
	return denial ? denial : account_test_credit(set, credit, amount);
}

Amount
account_room(AccountSet *set, const Account *account, bool debit_side)
{
	if (debit_side && account->has_min)
		return amount_between(account->min, account_available(set, account));
	if (!debit_side && account->has_max)
		return amount_between(account_reserved(set, account), account->max);
	return amount_largest();
}

Denial *
account_test_version(const Account *account, int64 expected_version)
{
	if (account->hot)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("account %lld of ledger %lld is hot and has no version",
						(long long) account->id, (long long) account->ledger),
				 errhint("Leave expected_version out.")));
	if (account->version == expected_version)
		return NULL;
	return denial_make(ERRCODE_TELLER_VERSION_CONFLICT,
					   psprintf("account %lld of ledger %lld has changed",
								(long long) account->id,
								(long long) account->ledger),
					   psprintf("Its version is %lld, %lld was expected.",
								(long long) account->version,
								(long long) expected_version),
					   pstrdup("Read the account again and decide anew."));
}

void
account_check_pair(int64 debit, int64 credit)
{
	if (debit == credit)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("debit_account and credit_account are the same: %lld",
						(long long) debit)));
}

void
account_check_assets(const Account *debit, const Account *credit)
{
	if (strcmp(debit->asset, credit->asset) != 0)
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_ASSET_MISMATCH),
				 errmsg("accounts %lld and %lld of ledger %lld have different assets",
						(long long) debit->id, (long long) credit->id,
						(long long) debit->ledger),
				 errdetail("One holds %s, the other %s.", debit->asset,
						   credit->asset)));
}
