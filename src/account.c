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

#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "account.h"
#include "clock.h"
#include "errcodes.h"
#include "hold_row.h"
#include "ledger.h"

/* The columns of teller.account. */
enum
{
	COL_LEDGER,
	COL_ID,
	COL_ASSET,
	COL_NAME,
	COL_POSTED,
	COL_PENDING_DEBIT,
	COL_PENDING_CREDIT,
	COL_VERSION,
	COL_MIN,
	COL_MAX,
	COL_REENTRANCY,
	COL_HOT,
	COL_STATUS,
	COL_LAST_AT,
	COL_METADATA,
	COL_COUNT
};

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
	return amount_stored(DatumGetNumeric(slot->tts_values[column]), scale);
}

static void
account_read(Account *account, TupleTableSlot *slot)
{
	int			ignored;

	slot_getallattrs(slot);
	account->slot = slot;
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

static int
compare_ids(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Sort and drop doubles; returns how many are left. */
static int
sort_ids(int64 *ids, int count)
{
	int			kept = 0;

	qsort(ids, count, sizeof(int64), compare_ids);
	for (int i = 0; i < count; i++)
		if (kept == 0 || ids[kept - 1] != ids[i])
			ids[kept++] = ids[i];
	return kept;
}

AccountSet *
account_set_lock(int64 ledger, const int64 *ids, int count)
{
	AccountSet *set = palloc0(sizeof(AccountSet));
	int64	   *sorted = palloc(sizeof(int64) * Max(count, 1));

	memcpy(sorted, ids, sizeof(int64) * count);
	set->ledger = ledger;
	set->rel = rel_open(REL_ACCOUNT, RowExclusiveLock);
	set->count = sort_ids(sorted, count);
	set->accounts = palloc0(sizeof(Account) * Max(set->count, 1));
	for (int i = 0; i < set->count; i++)
	{
		Datum		keys[2] = {Int64GetDatum(ledger), Int64GetDatum(sorted[i])};
		TupleTableSlot *slot = rel_make_slot(set->rel);

		if (!rel_lock_row(set->rel, 2, keys, LockTupleNoKeyExclusive, slot))
			account_raise_missing(ledger, sorted[i]);
		account_read(&set->accounts[i], slot);

		/* A copy: a large set must not pin as many buffers. */
		ExecMaterializeSlot(slot);
	}

	/* One reading for the whole call, never behind what an account has seen. */
	set->now = clock_read();
	for (int i = 0; i < set->count; i++)
		set->now = Max(set->now, set->accounts[i].last_at);
	pfree(sorted);
	return set;
}

void
account_set_close(AccountSet *set)
{
	for (int i = 0; i < set->count; i++)
		ExecDropSingleTupleTableSlot(set->accounts[i].slot);
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

		if (set->accounts[middle].id == id)
			return &set->accounts[middle];
		if (set->accounts[middle].id < id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

void
account_step(Account *account)
{
	if (account->version == PG_INT64_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("account %lld of ledger %lld has no further version",
						(long long) account->id,
						(long long) account->ledger)));
	account->version++;
	account->changed = true;
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
		if (set->accounts[i].changed)
			account_write(set, &set->accounts[i]);
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

Account *
account_peek(int64 ledger, int64 id, Snapshot snapshot)
{
	Rel		   *rel = rel_open(REL_ACCOUNT, AccessShareLock);
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

/* ---- tests ------------------------------------------------------------ */

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
 * What the holds that are due give back.  Looked up once for a call: its
 * reading of the clock does not change, and the account is locked.
 */
static Amount
account_due(AccountSet *set, const Account *account, bool debit_side)
{
	Account    *mine = account_in_set(set, account->id);

	if (mine == NULL)
		return hold_due_sum(account->ledger, account->id, debit_side, set->now,
							NULL);
	if (!mine->due_known[debit_side])
		mine->due[debit_side] = hold_due_sum(account->ledger, account->id,
											 debit_side, set->now, NULL);
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

static Denial *
deny_funds(const Account *account, Amount available, Amount amount)
{
	bool		unfunded = account->version == 0;

	return denial_make(ERRCODE_TELLER_INSUFFICIENT_FUNDS,
					   psprintf("insufficient funds on account %lld of ledger %lld",
								(long long) account->id,
								(long long) account->ledger),
					   psprintf("Available %s %s, minimum %s, asked %s; version %lld.",
								amount_to_text(available, account->scale),
								account->asset,
								amount_to_text(account->min, account->scale),
								amount_to_text(amount, account->scale),
								(long long) account->version),
					   unfunded ? pstrdup("Nothing was ever paid into this account. Fund it from an account opened with min_balance => NULL.") : NULL);
}

Denial *
account_test_minimum(AccountSet *set, const Account *account, Amount amount)
{
	Amount		available;

	if (!account->has_min)
		return NULL;
	available = amount_subtract(account->posted, account->pending_debit);
	if (amount_subtract(available, amount) >= account->min)
		return NULL;
	available = account_available(set, account);
	if (amount_subtract(available, amount) >= account->min)
		return NULL;
	return deny_funds(account, available, amount);
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

	if (!account->has_max)
		return NULL;
	reserved = amount_add(account->posted, account->pending_credit);
	if (amount_add(reserved, amount) <= account->max)
		return NULL;
	reserved = account_reserved(set, account);
	if (amount_add(reserved, amount) <= account->max)
		return NULL;
	return denial_make(ERRCODE_TELLER_LIMIT_EXCEEDED,
					   psprintf("account %lld of ledger %lld would exceed its maximum",
								(long long) account->id,
								(long long) account->ledger),
					   psprintf("Posted and pending credits %s %s, maximum %s, asked %s; version %lld.",
								amount_to_text(reserved, account->scale),
								account->asset,
								amount_to_text(account->max, account->scale),
								amount_to_text(amount, account->scale),
								(long long) account->version),
					   NULL);
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
