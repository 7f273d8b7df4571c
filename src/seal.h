/*-------------------------------------------------------------------------
 *
 * seal.h
 *	  Seals: a chain of hashes over the journal, in the order of the feed.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_SEAL_H
#define TELLER_SEAL_H

#include "datatype/timestamp.h"

#include "feed.h"
#include "seal_digest.h"

#define SEAL_MAX_ROWS 10000

/* The columns of teller.seal. */
enum
{
	SEAL_LEDGER,
	SEAL_NUMBER,
	SEAL_ROWS,
	SEAL_TOTAL,
	SEAL_FIRST_TX,
	SEAL_FIRST_ID,
	SEAL_LAST_TX,
	SEAL_LAST_ID,
	SEAL_BELOW,
	SEAL_SEALED_AT,
	SEAL_PREVIOUS,
	SEAL_HEAD,
	SEAL_IDS,
	SEAL_DIGESTS,
	SEAL_COLUMNS
};

/* A seal as it is stored. */
typedef struct Seal
{
	int64		ledger;
	int64		number;			/* from 1 */
	int32		nrows;
	int64		total;			/* rows in this and all before it */
	FeedPlace	first;
	FeedPlace	last;
	int64		below;			/* each row with a lower tx is sealed */
	TimestampTz sealed_at;
	uint8		previous[DIGEST_LEN];	/* the head before it */
	uint8		head[DIGEST_LEN];
	int			ids_length;
	pg_uuid_t  *ids;			/* of its rows */
	int			digests_length;
	uint8		(*digests)[DIGEST_LEN]; /* after each of its rows */
} Seal;

/*
 * seal_read: from a row of the table; with_rows: also ids and digests, which
 * are palloc'd.
 * seal_head: what head must be, from all else.
 */
extern void seal_read(Seal *seal, TupleTableSlot *slot, bool with_rows);
extern void seal_head(Digester *digester, const Seal *seal, uint8 *head);

#endif							/* TELLER_SEAL_H */
