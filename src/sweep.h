/*-------------------------------------------------------------------------
 *
 * sweep.h
 *	  The worker's sweep: expire the holds that are due, and forget requests
 *	  and keys that are old enough.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_SWEEP_H
#define TELLER_SWEEP_H

#include "datatype/timestamp.h"

/*
 * sweep_run: expire one batch of due holds, and once a minute prune requests
 * and keys, in short transactions of its own.
 * Returns when it is next due: the earliest deadline, or at once if there may
 * be more.
 */
extern TimestampTz sweep_run(void);

#endif							/* TELLER_SWEEP_H */
