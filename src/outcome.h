/*-------------------------------------------------------------------------
 *
 * outcome.h
 *	  What is to be recorded: answers, failures, lost attempts, deadlines.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_OUTCOME_H
#define TELLER_OUTCOME_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* Take over the calls that ended.  True if there was one. */
extern bool outcome_collect(void);

/*
 * An attempt whose worker is gone; an operation whose time has come.  Nothing
 * happens if the operation has an outcome waiting already.
 */
extern void outcome_add_lost(int64 ledger, const pg_uuid_t *operation,
							 int attempt);
extern void outcome_add_tick(int64 ledger, const pg_uuid_t *operation);

/*
 * outcome_record: record what is there, each in a transaction of its own.
 * What fails is kept and tried again later; returns when, DT_NOEND if nothing
 * is left.
 */
extern TimestampTz outcome_record(void);

/* Outcomes of calls that are not yet recorded. */
extern int	outcome_count(void);

/* Whether anything is not recorded yet, brought by a call or not. */
extern bool outcome_waits(void);

#endif							/* TELLER_OUTCOME_H */
