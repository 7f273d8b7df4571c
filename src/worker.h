/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The worker of one database, as those who work in it see it.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_WORKER_H
#define TELLER_WORKER_H

#include "postmaster/bgworker.h"

#include "compat.h"

extern PGDLLEXPORT void teller_worker_main(Datum arg);

/*
 * worker_transaction_begin: start one short transaction of the worker, with a
 * snapshot and a fresh now().  Holds a share lock on the extension, so that
 * DROP EXTENSION waits for the end of this transaction.  False, with no
 * transaction open, when the extension is gone, was created anew or has a
 * version that this library does not know: return to the main loop.  Raises
 * 55P03 while a DROP EXTENSION is still undecided.
 *
 * worker_transaction_end: commit it.  After an error nothing has to be done:
 * the main loop aborts.
 */
extern bool worker_transaction_begin(void);
extern void worker_transaction_end(void);

/*
 * worker_report_error: in a PG_CATCH around one item of work.  Logs the error
 * (the same one once a minute; a lock not got in time not at all), shows it
 * in worker_status, aborts the transaction and forgets the error, so that the
 * next item can go on.  Also right where no transaction is open.
 *
 * Between transactions the current memory context is one that the main loop
 * empties each time round.
 */
extern void worker_report_error(void);

/*
 * worker_recover: what worker_report_error does, without telling anybody: for
 * errors that are not the worker's own.  The error is good until the main
 * loop comes round.
 */
extern ErrorData *worker_recover(void);

/* worker_override_settings: once, when the database is connected. */
extern void worker_override_settings(void);

/* The main loop wants to stop or look elsewhere: start nothing long. */
extern bool worker_must_yield(void);

/* Somebody wants the database for himself.  Also right in a signal handler. */
extern bool worker_is_asked_to_leave(void);

/* For teller.worker_status; none of these raises. */
extern void worker_note_error(const char *message);
extern void worker_note_swept(int holds);
extern void worker_note_settled(int operations);
extern void worker_note_adopted(bool adopted);

/*
 * The same for the wait points of test builds: a state shown in place of
 * the usual one; NULL takes it away.  Nothing in other processes.
 */
extern void worker_note_waiting(const char *where);

#endif							/* TELLER_WORKER_H */
