/*-------------------------------------------------------------------------
 *
 * hold_row.h
 *	  Rows of teller.hold: read, lock, write, add up.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_HOLD_ROW_H
#define TELLER_HOLD_ROW_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "amount.h"
#include "rel.h"

typedef enum HoldState
{
	HOLD_OPEN,
	HOLD_CAPTURED,
	HOLD_RELEASED,
	HOLD_EXPIRED
} HoldState;

/* A hold's row in memory. */
typedef struct Hold
{
	int64		ledger;
	pg_uuid_t	id;
	int64		debit_account;
	int64		credit_account;
	Amount		amount;
	Amount		captured;
	Amount		released;
	int			scale;
	bool		has_deadline;	/* false: the hold of an operation */
	TimestampTz expires_at;
	HoldState	state;
	bool		has_operation;
	pg_uuid_t	operation_id;
	TimestampTz created_at;
	TimestampTz ended_at;
	Jsonb	   *metadata;
	bool		is_new;
	bool		adjusted;		/* the amount is another */
	bool		extended;		/* the deadline is another */
	Rel		   *rel;
	TupleTableSlot *slot;		/* the locked row; NULL if new */
	Snapshot	seen;			/* in which it was peeked at, until it is
								 * locked */
} Hold;

extern Amount hold_remaining(const Hold *hold);
extern bool hold_is_due(const Hold *hold, TimestampTz now);
extern const char *hold_state_name(HoldState state);

/*
 * hold_enter: the table's lock, for whatever will place or end a hold.  It is
 * taken before the first account is locked, and before an account is peeked
 * at for a maximum or its status.
 * hold_keep_out: wait until every transaction that has entered is over, and
 * let no other enter until this one is: for a change of an account that holds
 * in its favour must not miss.
 */
extern void hold_enter(void);
extern void hold_keep_out(void);

/*
 * hold_peek: the row without a lock: its accounts never change.  Enters.
 * hold_lock: lock the row that was peeked at, and read it anew; its accounts
 * must be locked already.  Returns the same hold.
 */
extern Hold *hold_peek(int64 ledger, const pg_uuid_t *id);
extern Hold *hold_lock(Hold *hold);

/*
 * To lock holds one after another, each to be written, if at all, before the
 * next one is locked.  What hold_lock_next gives is pfree'd by the caller, not
 * closed.
 */
typedef struct HoldLocker HoldLocker;

extern HoldLocker *hold_lock_begin(void);
extern Hold *hold_lock_next(HoldLocker *locker, int64 ledger,
							const pg_uuid_t *id);
extern void hold_lock_end(HoldLocker *locker);

/* Insert the row, or update the one that was locked. */
extern void hold_write(Hold *hold);
extern void hold_close(Hold *hold);

/*
 * hold_due_sum: what remains of the open holds of an account whose deadline
 * is not after now, on its debit side or its credit side.
 * hold_open_sum: the same for all open holds that are not due.  A NULL
 * snapshot is the newest.
 */
extern Amount hold_due_sum(int64 ledger, int64 account, bool debit_side,
						   TimestampTz now, Snapshot snapshot);
extern Amount hold_open_sum(int64 ledger, int64 account, bool debit_side,
							TimestampTz now, Snapshot snapshot);

/*
 * hold_pending_credit: the open holds in favour of an account that are not
 * due, as numeric.  Holds in favour of an account without a maximum are not
 * counted as they are placed, so their sum may be beyond any Amount.
 */
extern Datum hold_pending_credit(int64 ledger, int64 account, int scale,
								 TimestampTz now, Snapshot snapshot);

/* The open hold of one side of an account that ends first; NULL if none. */
extern Hold *hold_first_open(int64 ledger, int64 account, bool debit_side,
							 Snapshot snapshot);

#endif							/* TELLER_HOLD_ROW_H */
