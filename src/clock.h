/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  The one clock, and the identifiers that carry its time.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_CLOCK_H
#define TELLER_CLOCK_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* clock_read: the wall clock now, never the transaction's start. */
extern TimestampTz clock_read(void);

/*
 * clock_new_id: a version 7 UUID (RFC 9562): 48 bits of milliseconds, 12 bits
 * of the fraction of the millisecond, 62 random bits.  Those of one session
 * ascend.  palloc'd.
 */
extern pg_uuid_t *clock_new_id(void);
extern char *clock_id_text(const pg_uuid_t *id);

/*
 * The ids of a batch follow each other: its own, whose last 32 bits are zero
 * and stay so, then those of its rows, 1 to 2^32 - 1.  So a batch is found by
 * its id, and its rows come in order (RFC 9562, section 6.2: a counter in the
 * random part).
 */
extern void clock_new_batch_id(pg_uuid_t *batch);
extern void clock_batch_member(pg_uuid_t *id, const pg_uuid_t *batch,
							   uint32 ordinal);

/*
 * The earlier of two moments.  Min() calls a function in its arguments twice,
 * which is wrong for one that does something.
 */
static inline TimestampTz
clock_earlier(TimestampTz a, TimestampTz b)
{
	return Min(a, b);
}

#endif							/* TELLER_CLOCK_H */
