/*-------------------------------------------------------------------------
 *
 * claim.h
 *	  Find what is due, and claim it for a call.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_CLAIM_H
#define TELLER_CLAIM_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

/*
 * claim_run: one transaction.  Claims what is due, as far as caps, circuits
 * and switches allow, and starts the calls, which leave at the next
 * call_wait.  Deadlines and lost attempts go to outcome.c.  worker names this
 * run of the worker in the attempt rows.  Returns when something is next due.
 */
extern TimestampTz claim_run(const pg_uuid_t *worker);

#endif							/* TELLER_CLAIM_H */
