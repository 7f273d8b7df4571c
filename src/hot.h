/*-------------------------------------------------------------------------
 *
 * hot.h
 *	  Hot accounts: what this transaction takes from them and gives to them.
 *
 * The escrow method (P. O'Neil, ACM TODS 11(4), 1986).  A movement of a hot
 * account neither locks nor writes the account's row.  It takes its amount
 * out of what is surely there, in shared memory, and writes its row of the
 * journal; what it took is settled when the transaction ends.  The worker
 * folds such rows into the account's row later (hot_fold.h).
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_HOT_H
#define TELLER_HOT_H

#include "hot_entry.h"

/*
 * hot_require_preload: 55000 with the line for postgresql.conf, unless hot
 * accounts can be used.
 */
extern void hot_require_preload(void);

/*
 * hot_look, hot_lock: stay clear of whoever needs the account for itself, or
 * (alone) be the one; until the transaction ends (hot_gate.h).  In the order
 * of account ids, as accounts are locked.  The row is read between the two,
 * and stays as it is then; false if it may have changed: begin again.  53400
 * if there is no place.
 */
extern uint64 hot_look(int64 ledger, int64 account);
extern bool hot_lock(int64 ledger, int64 account, bool alone, uint64 turn);

/*
 * hot_use: begin to use the account, which is hot, in this transaction; the
 * answer names it in the calls that follow.  hot_lock comes before.
 * hot_is_used: true if this transaction does so already.
 */
extern int	hot_use(int64 ledger, int64 account);
extern bool hot_is_used(int64 ledger, int64 account);

/* What it has by commits, and by this transaction; and where rows belong. */
typedef struct HotBalance
{
	Amount		posted;
	Amount		pending[HOT_SIDES];
	int64		epoch;
} HotBalance;

extern void hot_balance(int use, HotBalance *balance);

/* A request to take from one side of an account. */
typedef struct HotAsk
{
	int			use;
	HotSide		side;
	Amount		amount;
	Amount		limit;			/* the minimum, or the maximum */
	Amount		due;			/* of its holds, is over: counts as given back */
	uint64		due_settled;	/* `settled` before that was read */
	TimestampTz now;			/* the reading of the clock for it */
	/* The answer: */
	Amount		room;			/* surely there for us, or above NO if it is
								 * certain that there is not more */
	bool		has_pending;	/* there are holds on this side */
	uint64		settled;		/* commits that changed them */
} HotAsk;

typedef enum HotAnswer
{
	HOT_YES,					/* it is taken */
	HOT_NO,						/* whatever becomes of those in flight */
	HOT_WAIT,					/* as others in flight end */
	HOT_AGAIN					/* due is too old: read it once more */
} HotAnswer;

extern HotAnswer hot_take(HotAsk *ask);

/* Another transaction in flight that may yet make room, or 0. */
extern TransactionId hot_holder(int use);

/* Give back what this call took and will not need. */
extern void hot_give_back(int use, HotSide side, Amount amount);

/*
 * hot_note: the movement as it is written: changes of the balances, given and
 * still to be taken.
 */
typedef struct HotChange
{
	Amount		posted;
	Amount		pending[HOT_SIDES];
	Amount		taken[HOT_SIDES];
	Amount		given[HOT_SIDES];
	int			claims[HOT_SIDES];
	int			holds[HOT_SIDES];	/* calls that changed pending */
} HotChange;

extern void hot_note(int use, const HotChange *change);

/*
 * hot_claim: a hold on this side with that deadline is going to be changed, at
 * the reading `now`, as one that is not due.  Returns the reading from which
 * others already take it for due, if that is not before the deadline; then
 * nothing is claimed.  Else now.
 */
extern TimestampTz hot_claim(int use, HotSide side, TimestampTz deadline,
							 TimestampTz now);

/*
 * hot_note_fold: we have the account alone, and its locked row has got all of
 * it (hot_fold_all).  What was known of it is forgotten; that something is to
 * be folded, only when this transaction commits.
 */
extern void hot_note_fold(int64 ledger, int64 account);

/*
 * hot_close_epoch: for a fold, which has the row locked.  Ends the epoch that
 * is written in and returns it; open[] (HOT_EPOCHS places) are those up to it
 * that transactions in flight still write in.  0 if that cannot be now.  The
 * commit of this transaction says that what was settled is in the row.
 */
extern int64 hot_close_epoch(int64 ledger, int64 account, int64 *open,
							 int *nopen);

#endif							/* TELLER_HOT_H */
