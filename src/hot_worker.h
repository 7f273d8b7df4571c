/*-------------------------------------------------------------------------
 *
 * hot_worker.h
 *	  The worker's part of hot accounts: fold them in time.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_HOT_WORKER_H
#define TELLER_HOT_WORKER_H

#include "datatype/timestamp.h"

/*
 * hot_worker_run: folds each account with something to fold, in a transaction
 * of its own, once in teller.fold_interval; one whose row is locked waits for
 * the next time.  Returns when it is next due.
 */
extern TimestampTz hot_worker_run(void);

#endif							/* TELLER_HOT_WORKER_H */
