/*-------------------------------------------------------------------------
 *
 * hot_tail.h
 *	  What the journal has of a hot account and its row has not.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_HOT_TAIL_H
#define TELLER_HOT_TAIL_H

#include "datatype/timestamp.h"
#include "utils/snapshot.h"

#include "hot_entry.h"
#include "rel.h"

/* The account's row, as far as it matters here. */
typedef struct HotRow
{
	int64		ledger;
	int64		account;
	bool		hot;
	bool		own;			/* this transaction wrote it */
	bool		has_max;
	int			scale;
	Amount		posted;
	Amount		pending[HOT_SIDES];
	TimestampTz last_at;
	int64		folded;			/* rows of later epochs are not in it */
	int			nopen;			/* and of these, which are not later */
	int64		open[HOT_EPOCHS];
} HotRow;

/* Which epochs: those above `after` and not above `through`, except some. */
typedef struct HotRange
{
	int64		after;
	int64		through;
	const int64 *except;
	int			nexcept;
	const int64 *also;			/* of those up to `after` */
	int			nalso;
	bool		is_timed;		/* only the rows recorded by `until` */
	TimestampTz until;
} HotRange;

/* What the rows of some epochs come to; see hot_sum. */
typedef struct HotTail
{
	int64		nrows;
	Amount		posted;
	Amount		pending[HOT_SIDES];
	int64		last_epoch;		/* the highest, 0 if there are no rows */
	TimestampTz last_at;		/* the latest recorded_at */
} HotTail;

/*
 * Parts of a sum may be out of range where the whole is not; wrapped around,
 * they still add up to it.
 */
static inline Amount
hot_sum(Amount a, Amount b)
{
	return (Amount) ((uint128) a + (uint128) b);
}

/* From a slot of teller.account. */
extern void hot_row_read(HotRow *row, TupleTableSlot *slot);

/* All the row does not have yet. */
extern void hot_range_rest(HotRange *range, const HotRow *row);

/*
 * hot_tail_read: add up the rows of a range that the snapshot sees.  Reads as
 * many rows as there are.
 */
extern void hot_tail_read(const HotRow *row, const HotRange *range,
						  Snapshot snapshot, HotTail *tail);

/* True if the snapshot sees any row that is not in the account's. */
extern bool hot_tail_exists(const HotRow *row, Snapshot snapshot);

#endif							/* TELLER_HOT_TAIL_H */
