/*-------------------------------------------------------------------------
 *
 * durable.c
 *	  What is told is on disk first, and on the synchronous standby.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "utils/guc.h"

#include "durable.h"

XLogRecPtr
durable_log_end(void)
{
	XLogRecPtr	end = GetXLogInsertRecPtr();

	/* At the start of a page it points behind a header not yet there. */
	if (end % XLOG_BLCKSZ == SizeOfXLogShortPHD ||
		XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD)
		end -= end % XLOG_BLCKSZ;
	return end;
}

void
durable_commit_mode(const char *value)
{
	(void) set_config_option("synchronous_commit", value, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

void
durable_await(XLogRecPtr lsn, bool is_commit)
{
	if (XLogRecPtrIsInvalid(lsn) || synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		return;
	XLogFlush(lsn);

	/* As at a commit: a cancel ends the wait, and takes nothing back. */
	HOLD_INTERRUPTS();
	SyncRepWaitForLSN(lsn, is_commit);
	RESUME_INTERRUPTS();
}

/*
 * The commit log remembers, for the ids of 32 transactions together, up to
 * where the log must be flushed before their commits may be relied on.  It
 * remembers nothing for commits that waited, so this costs them a look.  It
 * forgets when the page of the commit log is written out, which flushes the
 * log first.  Only a wait for the standby could then be missed: it would have
 * to last while so many other transactions commit that the page is evicted,
 * and they wait for the same standby.
 */
void
durable_await_row(TupleTableSlot *slot)
{
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, NULL);
	TransactionId xid = HeapTupleHeaderGetXmin(tuple->t_data);

	if (RecoveryInProgress())
		return;
	if (TransactionIdIsNormal(xid) && !TransactionIdIsCurrentTransactionId(xid))
		durable_await(TransactionIdGetCommitLSN(xid), true);
}
