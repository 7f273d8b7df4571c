/*-------------------------------------------------------------------------
 *
 * journal.h
 *	  The append-only record of every movement and hold event.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_JOURNAL_H
#define TELLER_JOURNAL_H

#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "account.h"

/* One side of a row: the account as it is after the row. */
typedef struct JournalSide
{
	int64		account;
	bool		touched;		/* false: only the id is recorded */
	bool		hot;			/* no version and no balances after it */
	bool		has_epoch;		/* see hot_fold.h */
	int64		epoch;
	int64		version;
	Amount		posted;
	Amount		pending;
} JournalSide;

typedef struct JournalRow
{
	int64		ledger;
	pg_uuid_t	id;
	const char *kind;
	JournalSide debit;
	JournalSide credit;
	Amount		amount;
	int			scale;
	const pg_uuid_t *hold_id;	/* NULL if it is no hold event */
	const pg_uuid_t *reverses;	/* NULL if it is no reversal */
	const pg_uuid_t *batch_id;	/* NULL if it is of no batch */
	const pg_uuid_t *operation_id;	/* NULL if no operation did it */
	TimestampTz effective_at;
	TimestampTz recorded_at;
	Jsonb	   *metadata;
	bool		ends_hold;
} JournalRow;

/*
 * journal_find: the row without a lock, which is for ever as it is; NULL if
 * there is none.  Looked for in the newest snapshot.  Its pointers are into
 * the same piece of memory; no metadata.
 * journal_batch: the rows of a batch in their order.
 * journal_reversed: what the reversals of a row come to so far.
 */
extern JournalRow *journal_find(int64 ledger, const pg_uuid_t *id);
extern JournalRow *journal_batch(int64 ledger, const pg_uuid_t *batch,
								 int *count);
extern Amount journal_reversed(int64 ledger, const pg_uuid_t *id);

/* Write rows, in this order. */
extern void journal_write(const JournalRow *rows, int count);

#endif							/* TELLER_JOURNAL_H */
