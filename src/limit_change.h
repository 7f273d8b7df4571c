/*-------------------------------------------------------------------------
 *
 * limit_change.h
 *	  One change of an account's limits or status, and its record.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_LIMIT_CHANGE_H
#define TELLER_LIMIT_CHANGE_H

#include "account.h"

/*
 * limit_change_begin fills ledger and before, limit_change_lock the rest.
 * The caller then changes *account in memory.
 */
typedef struct LimitChange
{
	int64		ledger;
	Account		before;			/* limits and status as they are */
	AccountSet *set;			/* the one account, locked */
	Account    *account;		/* in the set: what it shall be */
	bool		forced;			/* it is in breach of the new limits */
} LimitChange;

/*
 * limit_change_begin: wait for other changes of the same account, keep them
 * out until the transaction ends, and tell its limits and status, which are
 * stable from then on.  Takes no lock on the row.  TL009.
 */
extern void limit_change_begin(LimitChange *change, int64 ledger, int64 id);

/* limit_change_lock: lock the row and read the clock. */
extern void limit_change_lock(LimitChange *change);

/*
 * limit_change_write: write the account and the row of limit_change, let
 * later commands see them, and close the set; the locks stay.
 */
extern void limit_change_write(LimitChange *change);

/* The server that a locked account is the settlement account of, or NULL. */
extern char *limit_change_settles(const LimitChange *change);

#endif							/* TELLER_LIMIT_CHANGE_H */
