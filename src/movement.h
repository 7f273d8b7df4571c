/*-------------------------------------------------------------------------
 *
 * movement.h
 *	  A movement: decided on locked accounts, then written.
 *
 * Every call that moves or reserves money has two halves.  A *_decide
 * function locks the accounts (and the hold), reads the clock, tests, and
 * leaves the new balances in memory; nothing is written.  movement_write
 * writes hold, accounts and journal rows.  In between the caller stores what
 * makes the call idempotent: a key, an operation, a memo.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_MOVEMENT_H
#define TELLER_MOVEMENT_H

#include "journal.h"

struct Hold;

typedef struct Movement
{
	AccountSet *set;
	Denial	   *denial;			/* not NULL: refused, nothing to write */
	Account    *debit;			/* in the set */
	Account    *credit;			/* in the set, or as peeked without a lock */
	Amount		amount;
	int			scale;
	int			nrows;
	int			max_rows;
	JournalRow *rows;
	JournalRow	few[2];			/* a final capture with a rest makes two */
	const pg_uuid_t *batch_id;	/* of all rows, or NULL */
	struct Hold *hold;			/* NULL unless a hold is made or changed */
} Movement;

/*
 * movement_begin: an empty movement over accounts that are locked now.
 * movement_begin_alone: the same for a call that goes by exact balances; hot
 * accounts too are locked against all others.
 * movement_init: the same over a set that is locked already.  max_rows: how
 * many journal rows it may get.
 */
extern Movement *movement_begin(int64 ledger, const int64 *accounts, int count);
extern Movement *movement_begin_alone(int64 ledger, const int64 *accounts,
									  int count);
extern void movement_init(Movement *movement, AccountSet *set, int max_rows);

/*
 * movement_add: the next journal row, of this amount.  The debit side and,
 * if it is touched, the credit side step to their next version; their
 * balances in memory must be those after the row.
 * movement_post: change both posted balances in memory, and add that row.
 */
extern JournalRow *movement_add(Movement *movement, const char *kind,
								Amount amount, bool touch_credit);

extern JournalRow *movement_post(Movement *movement, const char *kind,
								 Amount amount);

/* Write it all, and let later commands of this transaction see it. */
extern void movement_write(Movement *movement);

/* Give back what it holds in memory; the locks stay. */
extern void movement_close(Movement *movement);

/*
 * movement_await_others: wait for every transaction that may have read the
 * clock for a movement before now: it did so with a lock on the table of
 * accounts.  Those that come later read a later clock.
 */
extern void movement_await_others(void);

#endif							/* TELLER_MOVEMENT_H */
