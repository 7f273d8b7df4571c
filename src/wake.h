/*-------------------------------------------------------------------------
 *
 * wake.h
 *	  What a commit tells the worker and the launcher.
 *
 * A session that makes work calls one of these inside its transaction.  The
 * wake-up happens after the commit and only then; a rollback forgets it.
 * Without shared_preload_libraries there is nobody to wake and the calls do
 * nothing.
 *
 * Two ways of committing wake nobody: COMMIT PREPARED and the apply of a
 * logical subscription.  The worker looks by itself every ten seconds.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_WAKE_H
#define TELLER_WAKE_H

#include "datatype/timestamp.h"

/* pg_teller is in shared_preload_libraries: there is a launcher. */
extern bool teller_is_preloaded(void);

/*
 * wake_at_commit: this transaction made work that is due at deadline (for
 * "now" any time in the past, DT_NOBEGIN included).  Once it has committed,
 * the worker of this database is woken, unless it will wake by itself before
 * that.  Cheap: may be called for every row.  A rollback to a savepoint may
 * leave a wake-up for nothing; none is ever lost.
 */
extern void wake_at_commit(TimestampTz deadline);

/*
 * wake_waiters_at_commit: an operation ended in this transaction.  Once it has
 * committed, those who wait at this place of board->outcomes look (await.c).
 */
extern void wake_waiters_at_commit(int place);

/*
 * wake_launcher_at_commit: the extension came or went in this database.  Once
 * the transaction has committed, the launcher looks again.
 */
extern void wake_launcher_at_commit(void);

/* The same for a change of pg_database itself. */
extern void wake_rescan_at_commit(void);

/*
 * wake_leave: ask the worker of a database to leave it and keep every worker
 * out until this transaction ends, either way.  Does not wait.  False if the
 * board has no room for the request.
 */
extern bool wake_leave(Oid dboid);

/*
 * wake_ms_until: how long to sleep until then, 0 if it has come, at most
 * longest_ms.  Unlike PostgreSQL 15's own function, right for the infinities.
 */
extern long wake_ms_until(TimestampTz when, long longest_ms);

#endif							/* TELLER_WAKE_H */
