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
 * of the fraction of the millisecond, 62 random bits.  palloc'd.
 */
extern pg_uuid_t *clock_new_id(void);
extern char *clock_id_text(const pg_uuid_t *id);

#endif							/* TELLER_CLOCK_H */
