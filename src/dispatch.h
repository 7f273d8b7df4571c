/*-------------------------------------------------------------------------
 *
 * dispatch.h
 *	  The worker's dispatch: send what is due, record what comes back.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_DISPATCH_H
#define TELLER_DISPATCH_H

#include "datatype/timestamp.h"

/*
 * dispatch_start: once after the worker has connected, outside transactions.
 * What an earlier worker left open counts as lost.  May raise, and may then
 * be called again.
 */
extern void dispatch_start(void);

/*
 * dispatch_run: record the calls that ended, then claim what is due.  Outside
 * transactions; opens short ones.  Returns when something is next due.
 */
extern TimestampTz dispatch_run(void);

/* dispatch_wait: let bytes travel, for at most so long or until the latch. */
extern void dispatch_wait(long timeout_ms);

/*
 * dispatch_drain: claim nothing more, but record what still comes back within
 * the grace.
 */
extern void dispatch_drain(long grace_ms);

/* dispatch_stop: close everything; raises nothing. */
extern void dispatch_stop(void);

/* Calls under way and outcomes not yet recorded. */
extern int	dispatch_in_flight(void);

#endif							/* TELLER_DISPATCH_H */
