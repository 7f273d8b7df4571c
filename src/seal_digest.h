/*-------------------------------------------------------------------------
 *
 * seal_digest.h
 *	  The bytes that seals are made of, and their SHA-256.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_SEAL_DIGEST_H
#define TELLER_SEAL_DIGEST_H

#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "utils/uuid.h"

#define SEAL_FORMAT 1
#define DIGEST_LEN 32

struct pg_cryptohash_ctx;

/*
 * Fields are gathered, then hashed.  A field is its length in four bytes, the
 * high one first, and its text in UTF-8; NULL is the length 2^32 - 1 alone.
 */
typedef struct Digester
{
	struct pg_cryptohash_ctx *hash;
	StringInfoData fields;
	MemoryContext context;		/* of the texts of one row */
} Digester;

extern void digester_begin(Digester *digester);
extern void digester_end(Digester *digester);

/*
 * digest_text, _bigint, _uuid, _time: the next field; text NULL is NULL, a
 * time is microseconds since 1970-01-01 00:00 UTC.
 * digest_row: a row of the journal, all of its columns in their order.
 */
extern void digest_text(Digester *digester, const char *text);
extern void digest_bigint(Digester *digester, int64 value);
extern void digest_uuid(Digester *digester, const pg_uuid_t *id);
extern void digest_time(Digester *digester, int64 time);
extern void digest_row(Digester *digester, TupleTableSlot *slot);

/*
 * digest_chain: digest becomes the SHA-256 of itself and the fields that were
 * gathered, which are forgotten.
 * digest_start: what the chain of a ledger begins with.
 */
extern void digest_chain(Digester *digester, uint8 *digest);
extern void digest_start(Digester *digester, int64 ledger, uint8 *digest);

#endif							/* TELLER_SEAL_DIGEST_H */
