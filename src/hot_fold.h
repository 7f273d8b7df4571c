/*-------------------------------------------------------------------------
 *
 * hot_fold.h
 *	  The rows of the journal that moved a hot account go into its row.
 *
 * A row of the journal carries the epoch in which its transaction began to
 * use the account.  A fold begins a new epoch and adds up those that ended
 * and that no transaction in flight writes in: of them all is known.  What
 * the row has is folded_epoch, the last epoch that had ended, and
 * open_epochs, those up to it that are not in the row yet.  So a transaction
 * that stays open for long holds up its own epoch, and no other.
 *
 * The balance of a hot account in any snapshot is what that snapshot sees of
 * its row, and of the journal's rows that are not in it.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_HOT_FOLD_H
#define TELLER_HOT_FOLD_H

#include "rel.h"

/*
 * hot_fold_all: the account's row is locked, in slot, and no transaction in
 * flight uses the account: fold all there is.  True if that changed the row,
 * which is then to be locked anew in a later command.
 */
extern bool hot_fold_all(Rel *rel, TupleTableSlot *slot);

/*
 * hot_fold_account: the worker's step, in its transaction.  Folds the epochs
 * that have ended; nothing if the row is locked by somebody.
 */
extern void hot_fold_account(int64 ledger, int64 account);

#endif							/* TELLER_HOT_FOLD_H */
