/*-------------------------------------------------------------------------
 *
 * reentrancy.h
 *	  Whether an operation may come beside the others of its account, and
 *	  whose turn it is.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_REENTRANCY_H
#define TELLER_REENTRANCY_H

#include "account.h"
#include "operation.h"

/* How a new operation stands to the open ones of its account. */
typedef struct ReentrancyTurn
{
	const char *mode;			/* the one that counts for it */
	int64		ticket;			/* above those of all open ones */
	bool		waits;			/* queue, and another one is open */
	Denial	   *denial;			/* NULL: it may come */
} ReentrancyTurn;

/* 22023 for a mode that no operation can have. */
extern void reentrancy_check_override(const char *mode);

/*
 * reentrancy_take_turn: the account's lock is held.  override: the mode that
 * the call gave, or NULL for the account's; off cannot be overridden.  none: it
 * is known that the account has no open operation.  The denial is 0A000 (an
 * override that needs an order that a hot account does not keep), 55000 (off)
 * or TL008, naming the first open operation.
 */
extern void reentrancy_take_turn(const Account *account, const char *override,
								 TimestampTz now, bool none,
								 ReentrancyTurn *turn);

/* Has it to wait for an earlier one?  The account's lock is held. */
extern bool reentrancy_waits(Rel *rel, const Operation *operation);

/*
 * reentrancy_advance: this operation has ended.  If the first open one of its
 * account is stashed now, it becomes held, and the worker is woken at commit.
 * The account's lock is held.  A stashed operation that waits for nothing, as
 * no call leaves it, is mended in the same way.  rel: operations.  40001 at
 * REPEATABLE READ and above if the successor is newer than the snapshot.
 */
extern void reentrancy_advance(Rel *rel, const Operation *operation,
							   TimestampTz now);

#endif							/* TELLER_REENTRANCY_H */
