/*-------------------------------------------------------------------------
 *
 * account_hot.h
 *	  Hot accounts in a set of locked accounts.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_ACCOUNT_HOT_H
#define TELLER_ACCOUNT_HOT_H

#include "account.h"
#include "hot.h"

/*
 * account_hot_begin: its balances in memory become those by commits and by
 * this transaction; others may be at work on it (see Account.alone).
 * account_hot_write: note what the call changed.
 * account_hot_end: give back what the call took and did not write.
 */
extern void account_hot_begin(Account *account);
extern void account_hot_write(Account *account);
extern void account_hot_end(Account *account);

/*
 * account_hot_refresh: what was read of the hot accounts of a set may be older
 * than what the call goes by: others have committed meanwhile, and most of all
 * while it waited.  It has changed nothing yet, but keeps it if it has.
 */
extern void account_hot_refresh(AccountSet *set);

/*
 * account_hot_complete: to an account that was peeked at in this snapshot add
 * what the snapshot sees in the journal and not in its row.
 */
extern void account_hot_complete(Account *account, Snapshot snapshot);

/*
 * account_hot_take: take an amount from one side, or say why not.  Where that
 * depends on transactions in flight, waits for them; meanwhile what this call
 * took from hot accounts is given back, so that such waits cannot be a
 * deadlock.  40001 instead of a wait at REPEATABLE READ and above.
 */
extern Denial *account_hot_take(AccountSet *set, const Account *account,
								HotSide side, Amount amount);

/*
 * account_claim_hold: before a hold with this deadline is tested for being
 * open, on each hot account of the set: the set's reading of the clock is not
 * before one by which the hold was already found to be due.
 */
extern void account_claim_hold(AccountSet *set, Account *account,
							   HotSide side, TimestampTz deadline);

#endif							/* TELLER_ACCOUNT_HOT_H */
