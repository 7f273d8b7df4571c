/*-------------------------------------------------------------------------
 *
 * durable.h
 *	  What is told is on disk first, and on the synchronous standby.
 *
 * A commit that did not wait for the disk is visible before it is durable.
 * Whoever builds on it commits later, so its own flush takes it along; but an
 * answer that only repeats what was read has no commit of its own.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_DURABLE_H
#define TELLER_DURABLE_H

#include "access/xlogdefs.h"
#include "executor/tuptable.h"

/*
 * durable_await: wait until the log up to lsn is on disk, and on the
 * synchronous standby, as far as the session's synchronous_commit asks for
 * it; off: not at all.  is_commit: lsn is the end of a commit record.  The
 * wait for the standby ends at a cancel with PostgreSQL's WARNING, never with
 * an ERROR.
 *
 * durable_await_row: the same for the commit of a row that was just read from
 * the heap and is committed, or the transaction's own.
 */
extern void durable_await(XLogRecPtr lsn, bool is_commit);
extern void durable_await_row(TupleTableSlot *slot);

/*
 * durable_log_end: what has been written to the log so far, by anybody; not
 * on a standby.
 *
 * durable_commit_mode: synchronous_commit for the rest of this transaction.
 */
extern XLogRecPtr durable_log_end(void);
extern void durable_commit_mode(const char *value);

#endif							/* TELLER_DURABLE_H */
