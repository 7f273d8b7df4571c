/*-------------------------------------------------------------------------
 *
 * continuation_run.c
 *	  Continuations are run: by a phase of the worker, or by
 *	  teller.run_continuations where there is no worker.
 *
 * A continuation is code of the user's in a process of ours, which is a
 * superuser's.  It runs as the role that submitted the operation, in a
 * security-restricted operation: no SET ROLE or SET SESSION AUTHORIZATION,
 * also not RESET, no temporary tables, no cursors that outlive it, and no
 * deferred triggers, which would fire at commit as somebody else.  What it
 * sets is set back, what it locks for the session is unlocked.  It cannot
 * commit.
 *
 * In the worker an attempt is counted in one transaction, then made in
 * another, in which the row says "done": that and what the function did
 * commit together, or not at all.  A failure is noted in a third one.
 *
 * Time.  A timer cancels the function when teller.callback_timeout is over,
 * and again ten times a second, because it may catch that.  If it does so for
 * KILL_AFTER times, the worker ends itself, which cannot be caught; the
 * launcher starts another, and the attempt counts as lost.  The same timer
 * sees that somebody wants the database for himself.
 *
 * The worker does one thing at a time, so a round of it runs functions for
 * BUDGET_MS, or one that takes longer, and after such a one runs none for as
 * long as it took.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "access.h"
#include "compat.h"
#include "continuation.h"
#include "durable.h"
#include "guc.h"
#include "input.h"
#include "instance.h"
#include "waitpoint.h"
#include "worker.h"

#define TICK_MS			100
#define KILL_AFTER		20		/* cancels that were not heeded */

#define BUDGET_MS		20
#define LIST_MAX		64
#define BUSY_PAUSE_MS	250		/* what is due is locked by somebody */

/* A look that takes longer than this is made less often. */
#define LONG_LOOK_MS	2
#define REST_FACTOR		20		/* times what it took */

/* How long a claim is flushed by itself; see claim_next. */
#define YOUNG_MS		60000

#define MAX_PER_CALL	10000

/* The worker's own; nobody else runs continuation_run. */
static bool in_worker = false;

/* A function is running in this process. */
static bool running = false;

/* ---- the timer -------------------------------------------------------- */

static TimeoutId ticker = MAX_TIMEOUTS; /* not registered */
static TimestampTz deadline;
static volatile sig_atomic_t overdue;	/* times it was cancelled for time */

/* In a signal handler: as the handler of statement_timeout does it. */
static void
tick(void)
{
	int			signal = 0;

	if (GetCurrentTimestamp() >= deadline)
	{
		overdue++;
		signal = in_worker && overdue > KILL_AFTER ? SIGTERM : SIGINT;
	}
	else if (in_worker && worker_is_asked_to_leave())
		signal = SIGINT;
	if (signal != 0)
		kill(MyProcPid, signal);
}

static void
timer_start(void)
{
	TimestampTz now = GetCurrentTimestamp();
	int			first_ms = Min(TICK_MS, teller_callback_timeout_ms);

	if (ticker == MAX_TIMEOUTS)
		ticker = RegisterTimeout(USER_TIMEOUT, tick);
	overdue = 0;
	deadline = TimestampTzPlusMilliseconds(now, teller_callback_timeout_ms);
	enable_timeout_every(ticker, TimestampTzPlusMilliseconds(now, first_ms),
						 TICK_MS);
}

/* A cancel of ours that came too late to be seen is forgotten. */
static void
timer_stop(void)
{
	if (ticker != MAX_TIMEOUTS)
		disable_timeout(ticker, false);
	if (overdue > 0)
		QueryCancelPending = false;
}

/* ---- one function ----------------------------------------------------- */

/* Raises, and says that it is for good, if nobody can run it. */
static void
check_role(const Operation *operation, volatile bool *park)
{
	if (SearchSysCacheExists1(AUTHOID,
							  ObjectIdGetDatum(operation->submitter)))
		return;
	*park = true;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("the role that submitted the operation does not exist any more"),
			 errdetail("Its OID was %u.", operation->submitter)));
}

static void
call_function(Oid function, Datum argument)
{
	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo	flinfo;
	PgStat_FunctionCallUsage usage;

	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = argument;
	fcinfo->args[0].isnull = false;
	pgstat_init_function_usage(fcinfo, &usage);
	(void) FunctionCallInvoke(fcinfo);
	pgstat_end_function_usage(&usage, true);
	CommandCounterIncrement();
}

/*
 * As the submitter.  After an error the end of the transaction, or of the
 * subtransaction, sets back the user and the settings.
 */
static void
call_as_submitter(const Operation *operation, const char *kind,
				  Datum argument)
{
	const char *signature = strcmp(kind, "on_complete") == 0 ?
		operation->on_complete : operation->on_doubt;
	int			level = NewGUCNestLevel();
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	SetUserIdAndSecContext(operation->submitter,
						   context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	timer_start();
	call_function(continuation_resolve(signature, kind), argument);
	timer_stop();

	/* It caught the cancel and went on. */
	if (overdue > 0)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("the function did not end in time")));
	AtEOXact_GUC(false, level);
	SetUserIdAndSecContext(user, context);
}

/* What the row names, in the present (sub)transaction. */
static void
run(const Continuation *c, volatile bool *park)
{
	Rel		   *rel = rel_open(REL_OPERATION, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Operation	operation;
	Datum		argument;

	if (!operation_peek(rel, c->key.ledger, &c->key.operation, slot,
						&operation))
		operation_raise_missing(c->key.ledger, &c->key.operation);
	argument = continuation_argument(slot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	check_role(&operation, park);
	running = true;
	call_as_submitter(&operation, c->kind, argument);
	running = false;
	WAIT_POINT("continuation_ran");
}

/* After an error, before anything else. */
static void
stop_running(void)
{
	timer_stop();
	running = false;
}

static const char *
error_text(const ErrorData *error)
{
	if (overdue > 0)
		return psprintf("it took longer than teller.callback_timeout (%d ms)",
						teller_callback_timeout_ms);
	return psprintf("%s (SQLSTATE %s)", error->message,
					unpack_sql_state(error->sqlerrcode));
}

/* ---- the worker's phase ----------------------------------------------- */

/* What the last look found. */
static struct
{
	ContinuationKey keys[LIST_MAX];
	int			count;
	int			at;				/* the next to be run */
	int			claimed;		/* of those before it */
	TimestampTz next;			/* when others are due */
	TimestampTz rest_until;		/* of looks, or of everything */
}			list;

/* A copy of a database tells nobody of what the other one did. */
static bool
look(void)
{
	TimestampTz start = GetCurrentTimestamp();
	long		took_ms;

	list.count = list.at = list.claimed = 0;
	list.next = DT_NOEND;
	if (!worker_transaction_begin())
		return false;
	if (instance_state() != INSTANCE_FOREIGN)
		list.count = continuation_look(NULL, list.keys, LIST_MAX, &list.next);
	worker_transaction_end();
	took_ms = TimestampDifferenceMilliseconds(start, GetCurrentTimestamp());
	if (list.count == 0 && took_ms > LONG_LOOK_MS)
		list.rest_until = TimestampTzPlusMilliseconds(start,
													  took_ms * REST_FACTOR);
	return list.count > 0;
}

/*
 * Count the attempt.  That need not be on disk before it is made, because
 * its commit flushes this too.  But a function that crashes the server must
 * not do so for ever: whenever there was a failure before, or this process
 * has not been there for long, the count is flushed first.
 */
static bool
claim_next(Continuation *c)
{
	static TimestampTz began = 0;
	bool		claimed;

	if (began == 0)
		began = GetCurrentTimestamp();
	if (!worker_transaction_begin())
		return false;
	durable_commit_mode("off");
	claimed = continuation_claim(&list.keys[list.at - 1], c);
	worker_transaction_end();
	if (claimed && (c->attempts > 1 ||
					!TimestampDifferenceExceeds(began, GetCurrentTimestamp(),
												YOUNG_MS)))
		XLogFlush(XactLastCommitEnd);
	return claimed;
}

/* A failover that loses this commit loses "done" with it. */
static void
run_claimed(const Continuation *claimed, volatile bool *park)
{
	Continuation c;

	if (!worker_transaction_begin())
		return;
	if (continuation_done(&claimed->key, claimed->attempts, &c))
		run(&c, park);
	durable_commit_mode("local");
	worker_transaction_end();
}

static void
note_failure(const Continuation *c, const ContinuationFailure *failure)
{
	if (!worker_transaction_begin())
		return;
	durable_commit_mode("off");
	continuation_failed(c, failure);
	worker_transaction_end();
}

static void
run_next(void)
{
	ContinuationFailure failure = {0};
	volatile bool park = false;
	Continuation c;

	list.at++;
	if (!claim_next(&c))
		return;
	list.claimed++;
	WAIT_POINT("continuation_claimed");
	PG_TRY();
	{
		run_claimed(&c, &park);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		stop_running();
		error = worker_recover();
		failure.error = error_text(error);
		failure.park = park;
		failure.counts = overdue > 0 || !worker_must_yield();
	}
	PG_END_TRY();
	LockReleaseAll(USER_LOCKMETHOD, true);
	WAIT_POINT("continuation_committed");
	if (failure.error != NULL)
		note_failure(&c, &failure);
}

/* Clamped, should the clock have been set back. */
static bool
is_resting(TimestampTz now)
{
	long		longest_ms = Max(teller_callback_timeout_ms * 2L, 60000);

	return list.rest_until > now &&
		!TimestampDifferenceExceeds(now, list.rest_until, longest_ms);
}

TimestampTz
continuation_run(void)
{
	TimestampTz start = GetCurrentTimestamp();

	in_worker = true;
	if (is_resting(start))
		return list.rest_until;
	while (!worker_must_yield())
	{
		TimestampTz before = GetCurrentTimestamp();
		TimestampTz now;

		if (list.at == list.count)
		{
			if (list.count > 0 && list.claimed == 0)
			{
				list.count = list.at = 0;
				return TimestampTzPlusMilliseconds(before, BUSY_PAUSE_MS);
			}
			if (!look())
				return Max(list.next, list.rest_until);
		}
		run_next();
		now = GetCurrentTimestamp();
		if (TimestampDifferenceExceeds(before, now, BUDGET_MS))
			return list.rest_until = now + (now - before);
		if (TimestampDifferenceExceeds(start, now, BUDGET_MS))
			return DT_NOBEGIN;
	}
	return DT_NOBEGIN;
}

/* ---- teller.run_continuations ----------------------------------------- */

/*
 * A cancel that is not the timer's, and a statement_timeout, are the caller's
 * business.
 */
static bool
is_callers(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && overdue == 0;
}

/* In a subtransaction.  True if it was run and came to its end. */
static bool
run_here(const ContinuationKey *key)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ContinuationFailure failure = {.counts = true};
	volatile bool park = false;
	volatile bool done = false;
	Continuation c = {.key = *key};

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		done = continuation_done(key, 0, &c);
		if (done)
			run(&c, &park);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		stop_running();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (is_callers(error))
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		failure.error = error_text(error);
		done = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	failure.park = park;
	if (failure.error != NULL)
		continuation_failed(&c, &failure);
	return done;
}

static void
require_room(void)
{
	if (running)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("teller.run_continuations cannot be called by a continuation")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("teller.run_continuations cannot be called at isolation level REPEATABLE READ or SERIALIZABLE"),
				 errhint("Call it in a transaction of its own at READ COMMITTED.")));
}

static int
read_max(FunctionCallInfo fcinfo, int arg)
{
	int			max;

	input_require(fcinfo, arg, "max_continuations");
	max = PG_GETARG_INT32(arg);
	if (max < 1 || max > MAX_PER_CALL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_continuations must be between 1 and %d",
						MAX_PER_CALL)));
	return max;
}

PG_FUNCTION_INFO_V1(teller_run_continuations);

/* teller.run_continuations: see its COMMENT. */
Datum
teller_run_continuations(PG_FUNCTION_ARGS)
{
	ContinuationKey keys[LIST_MAX];
	TimestampTz next;
	int64		ledger;
	int			max;
	int			count;
	int			tried = 0;
	int			done = 0;

	input_require(fcinfo, 0, "ledger");
	ledger = PG_GETARG_INT64(0);
	access_require_owner("teller.run_continuations");
	max = read_max(fcinfo, 1);
	require_room();
	(void) instance_require();
	do
	{
		int			before = done;

		count = continuation_look(&ledger, keys, Min(LIST_MAX, max - tried),
								  &next);
		for (int i = 0; i < count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (run_here(&keys[i]))
				done++;
		}
		tried += count;
		if (done == before)
			break;
	} while (count > 0 && tried < max);
	PG_RETURN_INT32(done);
}
