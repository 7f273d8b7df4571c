/*-------------------------------------------------------------------------
 *
 * transfer_early.c
 *	  A transfer that gives its locks back before it is on disk.
 *
 * The locks of a transaction go when it has committed, and a commit waits for
 * the disk first: an account that everybody uses does one movement for each
 * flush.  Here the commit does not wait, so the locks go at once; the caller
 * waits afterwards, without them, and many callers share one flush.  This is
 * early lock release (DeWitt et al., SIGMOD 1984; Johnson et al., VLDB 2010),
 * made of PostgreSQL's asynchronous commit.
 *
 * Others may see a movement before it is durable.  Nobody is told that it was
 * made before it is:
 *
 *	- The caller's row is sent after the wait.  If the session ends before,
 *	  the movement may be there or not, as when the answer to a COMMIT is
 *	  lost; with a key the call can be repeated.
 *	- Who builds on it commits later.  A transaction sees it only after its
 *	  commit record was inserted, so its own commit record lies behind, and
 *	  the log is flushed, and replicated, in order.  A crash that loses the
 *	  first loses the second.
 *	- A repeat under the key writes nothing, and so does teller.find: they
 *	  wait for the commit of the key's row (durable_await_row).
 *	- A denial may be due to a movement that is not durable.  This call has
 *	  locked the accounts, hence written records behind that movement's
 *	  commit, and waits for its own last record also where it answers with a
 *	  denial or raises one; before it raises one it rolls back, so that here
 *	  too nobody waits for the locks.
 *	- teller.journal_since flushes what it shows.
 *
 * Other readers are as with synchronous_commit off: what they see may be gone
 * after a crash.
 *
 * The row is made before the commit, in the memory of the caller, which
 * outlives the transaction.  Interrupts are held from the commit to the end
 * of the wait, so a cancel that comes too late is not taken for a rollback.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "durable.h"
#include "input.h"
#include "keyed.h"
#include "transfer.h"
#include "waitpoint.h"

/* A second statement before Sync would commit what the first one did. */
static void
check_top_level(FunctionCallInfo fcinfo)
{
	CallContext *context = (CallContext *) fcinfo->context;

	if (context == NULL || !IsA(context, CallContext) || context->atomic ||
		IsSubTransaction() || (MyXactFlags & XACT_FLAGS_PIPELINING) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("transfer_early cannot run inside a transaction"),
				 errdetail("It commits the movement itself."),
				 errhint("CALL it as a statement of its own, in autocommit mode; inside a transaction or a function use teller.transfer.")));
}

/* The columns of transfer without the amount. */
static Datum
make_row(FunctionCallInfo fcinfo, KeyedAnswer *answer)
{
	int			after = TRANSFER_AMOUNT + 1;
	int			rest = TRANSFER_COLUMNS - after;

	memmove(&answer->values[TRANSFER_AMOUNT], &answer->values[after],
			sizeof(Datum) * rest);
	memmove(&answer->nulls[TRANSFER_AMOUNT], &answer->nulls[after],
			sizeof(bool) * rest);
	return input_result(fcinfo, answer->values, answer->nulls);
}

/*
 * Commit, or roll back what is to be raised, so that the locks go; then wait.
 * What was set for the transaction alone ends with it, but the wait is the
 * one that was asked for when the call came.
 */
static void
end_and_wait(bool commit)
{
	int			asked = synchronous_commit;
	const char *asked_name;
	XLogRecPtr	last = XactLastRecEnd;

	asked_name = GetConfigOption("synchronous_commit", false, false);

	HOLD_INTERRUPTS();
	if (commit)
	{
		if (asked != SYNCHRONOUS_COMMIT_OFF)
			durable_commit_mode("off");
		SPI_commit();
		if (last != InvalidXLogRecPtr)
			last = XactLastCommitEnd;
	}
	else
	{
		/* What a hot account has was told without a record of ours. */
		if (last == InvalidXLogRecPtr)
			last = durable_log_end();
		SPI_rollback();
	}
	WAIT_POINT("transfer early committed");
	if (synchronous_commit != asked)
		durable_commit_mode(asked_name);
	durable_await(last, commit);
	RESUME_INTERRUPTS();
}

PG_FUNCTION_INFO_V1(teller_transfer_early);

/* teller.transfer_early: see its COMMENT.  Locks as teller.transfer. */
Datum
teller_transfer_early(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	TransferRequest request;
	KeyedMovement keyed;
	KeyedAnswer answer = {0};
	Datum		row = (Datum) 0;

	check_top_level(fcinfo);
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(caller);
	PushActiveSnapshot(GetTransactionSnapshot());
	transfer_read(fcinfo, &request, &keyed);
	answer.desc = transfer_desc();
	keyed_answer(&keyed, &answer);
	if (answer.raise == NULL)
		row = make_row(fcinfo, &answer);
	PopActiveSnapshot();
	end_and_wait(answer.raise == NULL);
	SPI_finish();
	if (answer.raise != NULL)
		denial_raise(answer.raise);
	return row;
}
