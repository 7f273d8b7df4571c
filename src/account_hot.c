/*-------------------------------------------------------------------------
 *
 * account_hot.c
 *	  Hot accounts in a set of locked accounts.
 *
 * A call tests and takes at once (account_hot_take), because between a test
 * and the writing others may take too.
 *
 * Holds that are due count as given back, as for any account.  Their sum is
 * read from the table, and is good only if no hold of the account has ended
 * between that and the taking; and while somebody changes a hold that he
 * found not to be due, it is not certain (hot_claim).
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"

#include "account_hot.h"
#include "hold_row.h"
#include "hot_tail.h"

/* The places of found[]. */
enum
{
	FOUND_POSTED,
	FOUND_PENDING_DEBIT,
	FOUND_PENDING_CREDIT
};

void
account_hot_begin(Account *account)
{
	HotBalance	balance;

	account->use = hot_use(account->ledger, account->id);
	hot_balance(account->use, &balance);
	account->posted = account->found[FOUND_POSTED] = balance.posted;
	account->pending_debit = account->found[FOUND_PENDING_DEBIT] =
		balance.pending[HOT_DEBIT];
	account->pending_credit = account->found[FOUND_PENDING_CREDIT] =
		balance.pending[HOT_CREDIT];
	account->has_epoch = true;
	account->epoch = balance.epoch;
}

void
account_hot_complete(Account *account, Snapshot snapshot)
{
	Rel		   *rel = rel_open(REL_ACCOUNT, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[2] = {Int64GetDatum(account->ledger),
	Int64GetDatum(account->id)};
	HotRow		row;
	HotRange	range;
	HotTail		tail;

	if (!rel_fetch(rel, snapshot, 2, keys, slot))
		account_raise_missing(account->ledger, account->id);
	hot_row_read(&row, slot);
	hot_range_rest(&range, &row);
	hot_tail_read(&row, &range, snapshot, &tail);
	account->posted = amount_add(hot_sum(row.posted, tail.posted), 0);
	account->pending_debit =
		amount_add(hot_sum(row.pending[HOT_DEBIT], tail.pending[HOT_DEBIT]), 0);
	account->pending_credit =
		amount_add(hot_sum(row.pending[HOT_CREDIT], tail.pending[HOT_CREDIT]),
				   0);
	account->last_at = Max(account->last_at, tail.last_at);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
}

void
account_hot_refresh(AccountSet *set)
{
	for (int i = 0; i < set->count; i++)
	{
		Account    *account = &set->accounts[i];
		HotBalance	balance;

		if (account->use < 0)
			continue;
		hot_balance(account->use, &balance);
		account->posted += balance.posted - account->found[FOUND_POSTED];
		account->pending_debit += balance.pending[HOT_DEBIT] -
			account->found[FOUND_PENDING_DEBIT];
		account->pending_credit += balance.pending[HOT_CREDIT] -
			account->found[FOUND_PENDING_CREDIT];
		account->found[FOUND_POSTED] = balance.posted;
		account->found[FOUND_PENDING_DEBIT] = balance.pending[HOT_DEBIT];
		account->found[FOUND_PENDING_CREDIT] = balance.pending[HOT_CREDIT];
	}
}

/* ---- what the call changed -------------------------------------------- */

/*
 * More room on a side is given when the transaction commits.  Less has been
 * taken by the test; what was not tested is taken now.
 */
static void
note_room(HotChange *change, HotSide side, Amount more, Amount taken)
{
	if (more > 0)
		change->given[side] = more;
	else if (taken < -more)
		change->taken[side] = -more - taken;
}

void
account_hot_write(Account *account)
{
	HotChange	change = {0};
	Amount		debit;
	Amount		credit;

	change.posted = account->posted - account->found[FOUND_POSTED];
	debit = account->pending_debit - account->found[FOUND_PENDING_DEBIT];
	credit = account->pending_credit - account->found[FOUND_PENDING_CREDIT];
	change.pending[HOT_DEBIT] = debit;
	change.pending[HOT_CREDIT] = credit;
	change.holds[HOT_DEBIT] = debit != 0;
	change.holds[HOT_CREDIT] = credit != 0;
	note_room(&change, HOT_DEBIT, change.posted - debit,
			  account->taken[HOT_DEBIT]);
	note_room(&change, HOT_CREDIT, -change.posted - credit,
			  account->taken[HOT_CREDIT]);
	hot_note(account->use, &change);
	account->found[FOUND_POSTED] = account->posted;
	account->found[FOUND_PENDING_DEBIT] = account->pending_debit;
	account->found[FOUND_PENDING_CREDIT] = account->pending_credit;
	account->taken[HOT_DEBIT] = account->taken[HOT_CREDIT] = 0;
	account->changed = false;
}

void
account_hot_end(Account *account)
{
	for (HotSide side = HOT_DEBIT; side < HOT_SIDES; side++)
	{
		if (account->taken[side] != 0)
			hot_give_back(account->use, side, account->taken[side]);
		account->taken[side] = 0;
	}
}

/* ---- take ------------------------------------------------------------- */

/* Without a limit of its own an account is bounded by what an amount can be. */
static Amount
limit_of(const Account *account, HotSide side)
{
	if (side == HOT_DEBIT)
		return account->has_min ? account->min : -amount_largest();
	return account->has_max ? account->max : amount_largest();
}

static HotAnswer
take(AccountSet *set, const Account *account, HotSide side, Amount amount,
	 HotAsk *ask)
{
	HotAnswer	answer;

	memset(ask, 0, sizeof(HotAsk));
	ask->use = account->use;
	ask->side = side;
	ask->amount = amount;
	ask->limit = limit_of(account, side);
	ask->now = set->now;
	answer = hot_take(ask);
	if (answer == HOT_YES || !ask->has_pending)
		return answer;
	do
	{
		Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

		CHECK_FOR_INTERRUPTS();
		ask->due_settled = ask->settled;
		ask->due = hold_due_sum(account->ledger, account->id,
								side == HOT_DEBIT, set->now, snapshot);
		rel_forget_snapshot(snapshot);
		if (ask->due == 0)
			return answer;
		answer = hot_take(ask);
	} while (answer == HOT_AGAIN);
	return answer;
}

static void
give_all_back(AccountSet *set)
{
	for (int i = 0; i < set->count; i++)
		for (HotSide side = HOT_DEBIT; side < HOT_SIDES; side++)
			if (set->accounts[i].taken[side] != 0)
				hot_give_back(set->accounts[i].use, side,
							  set->accounts[i].taken[side]);
}

/*
 * Nothing of this call's is taken now.  The holder is chosen only here: so who
 * waits holds nothing from before he chose, nobody who comes later waits for
 * him, and calls cannot wait in a circle.
 */
static void
wait_for(const HotAsk *ask)
{
	TransactionId holder;

	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("What a hot account has depends on transactions in flight."),
				 errhint("Repeat the transaction.")));
	CHECK_FOR_INTERRUPTS();
	holder = hot_holder(ask->use);
	if (TransactionIdIsValid(holder))
		XactLockTableWait(holder, NULL, NULL, XLTW_None);
}

static Denial *
deny(const Account *account, const HotAsk *ask)
{
	if (ask->side == HOT_DEBIT && account->has_min)
		return account_deny_funds(account,
								  amount_add(ask->limit, ask->room),
								  ask->amount);
	if (ask->side == HOT_CREDIT && account->has_max)
		return account_deny_limit(account,
								  amount_subtract(ask->limit, ask->room),
								  ask->amount);

	/* Raises 22003: no balance can be so large. */
	(void) amount_add(amount_largest(), ask->amount);
	return NULL;
}

/*
 * Take again what was given back for a wait, on all accounts or on none.  The
 * first that has to be waited for is in *ask.
 */
static HotAnswer
take_all(AccountSet *set, HotAsk *ask, const Account **refused)
{
	for (int i = 0; i < set->count * HOT_SIDES; i++)
	{
		Account    *account = &set->accounts[i / HOT_SIDES];
		HotSide		side = i % HOT_SIDES;
		HotAnswer	answer = HOT_YES;

		if (account->taken[side] != 0)
			answer = take(set, account, side, account->taken[side], ask);
		if (answer == HOT_YES)
			continue;
		while (--i >= 0)
			if (set->accounts[i / HOT_SIDES].taken[i % HOT_SIDES] != 0)
				hot_give_back(set->accounts[i / HOT_SIDES].use, i % HOT_SIDES,
							  set->accounts[i / HOT_SIDES].taken[i % HOT_SIDES]);
		*refused = account;
		return answer;
	}
	return HOT_YES;
}

static void
forget_all(AccountSet *set)
{
	for (int i = 0; i < set->count; i++)
		set->accounts[i].taken[HOT_DEBIT] =
			set->accounts[i].taken[HOT_CREDIT] = 0;
}

Denial *
account_hot_take(AccountSet *set, const Account *account, HotSide side,
				 Amount amount)
{
	Account    *mine = account_in_set(set, account->id);
	HotAsk		ask;
	HotAnswer	answer = take(set, account, side, amount, &ask);

	if (answer == HOT_NO)
		return deny(account, &ask);
	if (answer == HOT_WAIT)
		give_all_back(set);
	mine->taken[side] += amount;
	while (answer == HOT_WAIT)
	{
		wait_for(&ask);
		answer = take_all(set, &ask, &account);
	}
	if (answer == HOT_YES)
	{
		account_hot_refresh(set);
		return NULL;
	}
	forget_all(set);
	return deny(account, &ask);
}

/* ---- holds ------------------------------------------------------------ */

void
account_claim_hold(AccountSet *set, Account *account, HotSide side,
				   TimestampTz deadline)
{
	if (account->use >= 0)
		set->now = hot_claim(account->use, side, deadline, set->now);
}
