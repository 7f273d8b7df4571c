/*-------------------------------------------------------------------------
 *
 * memo.h
 *	  The memo: 32 bytes that name an operation to the outside, the same on
 *	  every retry; and the request that is sent under it.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_MEMO_H
#define TELLER_MEMO_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#define MEMO_BYTES 32

/* What an operation is, as the outside sees it.  Texts in canonical form. */
typedef struct MemoParts
{
	const pg_uuid_t *origin;	/* the instance that asks */
	const char *direction;		/* withdraw or deposit */
	int64		ledger;
	int64		account;
	const char *nonce;
	const char *amount;			/* with exactly the asset's decimals */
	const char *asset;
	const char *server;
	const char *counterparty;	/* destination or source */
	const char *payload;		/* as jsonb writes it; NULL if there is none */
} MemoParts;

/* memo_compute: SHA-256 of the parts.  22021 if one is not valid text. */
extern void memo_compute(const MemoParts *parts, uint8 memo[MEMO_BYTES]);

/*
 * memo_request: the request as JSON text, to be stored and sent as it is.
 * Numbers are strings, so that no reader of JSON rounds them.  There is no
 * member payload if there is no payload.
 */
extern char *memo_request(const MemoParts *parts,
						  const uint8 memo[MEMO_BYTES],
						  TimestampTz not_after);

/* 64 hexadecimal digits, palloc'd. */
extern char *memo_hex(const uint8 memo[MEMO_BYTES]);

#endif							/* TELLER_MEMO_H */
