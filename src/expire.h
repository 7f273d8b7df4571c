/*-------------------------------------------------------------------------
 *
 * expire.h
 *	  The sweep: holds that are due give their money back.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_EXPIRE_H
#define TELLER_EXPIRE_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* A hold that is due, and where it is. */
typedef struct DueHold
{
	int64		ledger;
	pg_uuid_t	id;
	int64		debit_account;
	int64		credit_account;
	TimestampTz expires_at;
} DueHold;

/*
 * Up to max_holds due holds of all ledgers, by ledger and deadline.  from:
 * where to begin, NULL for the first one.  Where much is due, who begins each
 * list where the one before it ended does not pass again by the index entries
 * of what was expired since.
 */
extern DueHold *expire_list(int max_holds, const DueHold *from, int *count);

/*
 * expire_holds: expire those of them that are still open and due, in the
 * current transaction.  Locks accounts in (ledger, account) order, then the
 * holds.  Returns how many it expired.
 */
extern int	expire_holds(const DueHold *due, int count);

/* The earliest deadline of an open hold, DT_NOEND if there is none. */
extern TimestampTz expire_next_deadline(void);

#endif							/* TELLER_EXPIRE_H */
