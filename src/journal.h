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
	const pg_uuid_t *operation_id;	/* NULL if no operation did it */
	TimestampTz effective_at;
	TimestampTz recorded_at;
	Jsonb	   *metadata;
	bool		ends_hold;
} JournalRow;

extern void journal_write(const JournalRow *row);

#endif							/* TELLER_JOURNAL_H */
