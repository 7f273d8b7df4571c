/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The worker of one database.
 *
 * A loop around phases: dispatch operations, expire the holds that are due,
 * fold hot accounts, run continuations.
 * Each phase works in short transactions of its own and says when it is next
 * due.  In between the worker sleeps, with no transaction and no lock, until
 * the earliest of these times, a commit that made work (wake.c), a socket, an
 * order or ten seconds, because a COMMIT PREPARED wakes nobody.
 *
 * An error pauses one phase for a second and shows in worker_status; the
 * other phases go on.  The same error again is logged once a minute.
 *
 * Orders.  SIGTERM: start nothing, collect replies for shutdown_grace, end.
 * A leave request on the board (guard.c): end at once; operations in flight
 * stay in_flight in their rows, which is safe.  The extension gone or created
 * anew: end, the launcher looks again.  In each case the process ends with
 * status 0, quietly; the reason stands on the board.  But a SIGTERM that comes
 * while it connects, or within a transaction, ends it at the next check for
 * interrupts, with a FATAL and without a look at replies.  That is as safe as a
 * crash: the next worker asks what became of the calls.
 *
 * Attaching to the board comes before connecting to the database, and the
 * entry is given back after the process has left the array of those that
 * DROP DATABASE counts.  So whoever sees no pid there, and has a leave request
 * on the entry, has no worker in the database.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "clock.h"
#include "compat.h"
#include "continuation.h"
#include "dispatch.h"
#include "guc.h"
#include "hot_worker.h"
#include "launcher.h"
#include "shmem.h"
#include "sweep.h"
#include "version.h"
#include "waitpoint.h"
#include "wake.h"
#include "worker.h"

#define LONGEST_SLEEP_MS	10000
#define ERROR_PAUSE_MS		1000
#define CONTINUATION_DELAY_MS 20
#define LOG_PERIOD_MS		60000
#define LOG_MAX				10

/* One kind of work. */
typedef struct Phase
{
	const char *name;			/* for pg_stat_activity and the log */
	TimestampTz (*run) (void);	/* returns when it is next due */
	TimestampTz next;
	TimestampTz pause;			/* not before, after an error */
	char		logged[BOARD_ERROR_LEN];	/* the last error in the log */
	TimestampTz logged_since;	/* start of the present minute of the log */
	int			nlogged;		/* errors logged in it */
	int			unlogged;		/* errors left out since the last in the log */
} Phase;

static TimestampTz dispatch_phase_run(void);

enum
{
	PHASE_SWEEP,
	PHASE_FOLD,
	PHASE_DISPATCH,
	PHASE_CONTINUATION
};

static Phase phases[] = {
	[PHASE_SWEEP] = {.name = "expire holds",.run = sweep_run},
	[PHASE_FOLD] = {.name = "fold hot accounts",.run = hot_worker_run},
	[PHASE_DISPATCH] = {.name = "dispatch operations",.run = dispatch_phase_run},
	[PHASE_CONTINUATION] = {.name = "run continuations",.run = continuation_run}
};

/* Of this process; nothing here is anybody else's business. */
static struct
{
	BoardEntry *entry;			/* NULL: not attached */
	Oid			dboid;
	Oid			extension;		/* as found at the start */
	bool		mismatch;		/* a version that is not ours */
	bool		over;			/* end has been decided */
	WorkerEnd	end;
	bool		dispatching;	/* dispatch_start was called */
	bool		dispatch_ready; /* and came back */
	MemoryContext context;		/* emptied each time round */
	Phase	   *phase;			/* the present, or last, one */
	long		timeout_ms;
}			me;

/* ProcDiePending is cleared on the way out; this is not. */
static volatile sig_atomic_t sigterm_came = false;

/* ---- the board -------------------------------------------------------- */

static void
detach(int code, Datum arg)
{
	BoardEntry *entry = me.entry;

	if (entry == NULL)
		return;
	me.entry = NULL;
	if (me.end == END_FAILED && sigterm_came)
		me.end = END_TERMINATED;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	entry->pid = 0;
	entry->end = me.end;
	entry->state = WORKER_NONE;
	entry->in_flight = 0;
	entry->dispatching = false;
	entry->waiting[0] = '\0';
	pg_atomic_write_u32(&entry->procno, 0);
	LWLockRelease(board->lock);

	ConditionVariableBroadcast(&entry->gone);
	board_set_latch(&board->launcher_procno);
}

/* False: another start has taken our place, or this one was called off. */
static bool
attach(const WorkerStart *start)
{
	BoardEntry *entry = &board->entries[start->entry];
	bool		ours;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	ours = entry->dboid == start->dboid &&
		entry->generation == start->generation && entry->pid == 0;
	if (ours)
	{
		entry->pid = MyProcPid;
		entry->started_at = entry->last_active_at = GetCurrentTimestamp();
		entry->starts++;
		entry->adopted = true;
		memset(entry->circuits, 0, sizeof(entry->circuits));
		pg_atomic_write_u64(&entry->next_wake, (uint64) DT_NOEND);
		pg_atomic_write_u32(&entry->procno, teller_my_procno + 1);
	}
	LWLockRelease(board->lock);

	if (ours)
	{
		me.entry = entry;
		me.dboid = start->dboid;
		on_shmem_exit(detach, (Datum) 0);
	}
	return ours;
}

/* For sessions first (see wake.c), then for worker_status. */
static void
publish(WorkerState state, TimestampTz next_wake)
{
	BoardEntry *entry = me.entry;
	int			in_flight = me.dispatch_ready ? dispatch_in_flight() : 0;
	bool		starting;

	pg_atomic_write_u64(&entry->next_wake, (uint64) next_wake);
	pg_memory_barrier();

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	starting = entry->state == WORKER_STARTING;
	entry->state = state;
	if (state == WORKER_RUNNING)
		entry->last_active_at = GetCurrentTimestamp();
	entry->in_flight = in_flight;
	entry->dispatching = me.dispatch_ready && teller_dispatch && !me.mismatch;
	LWLockRelease(board->lock);

	/* The launcher starts only so many at once. */
	if (starting)
		board_set_latch(&board->launcher_procno);
}

static bool
asked_to_leave(void)
{
	bool		asked;

	LWLockAcquire(board->lock, LW_SHARED);
	asked = me.entry->unwanted ||
		pg_atomic_read_u32(&me.entry->leave_requests) > 0;
	LWLockRelease(board->lock);
	return asked;
}

/* Without the lock, which a signal handler cannot take. */
bool
worker_is_asked_to_leave(void)
{
	return me.entry != NULL && (me.entry->unwanted ||
								pg_atomic_read_u32(&me.entry->leave_requests) > 0);
}

void
worker_note_error(const char *message)
{
	char		text[BOARD_ERROR_LEN];
	int			len = strlen(message);

	if (me.entry == NULL)
		return;
	len = pg_mbcliplen(message, len, BOARD_ERROR_LEN - 1);
	memcpy(text, message, len);
	text[len] = '\0';
	board_note_error(me.entry, text);
}

void
worker_note_swept(int holds)
{
	if (me.entry == NULL)
		return;
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	me.entry->swept += holds;
	LWLockRelease(board->lock);
}

void
worker_note_settled(int operations)
{
	if (me.entry == NULL)
		return;
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	me.entry->settled += operations;
	LWLockRelease(board->lock);
}

void
worker_note_adopted(bool adopted)
{
	if (me.entry == NULL)
		return;
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	me.entry->adopted = adopted;
	LWLockRelease(board->lock);
}

void
worker_note_waiting(const char *where)
{
	if (me.entry == NULL)
		return;
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	strlcpy(me.entry->waiting, where ? where : "", BOARD_WAITING_LEN);
	LWLockRelease(board->lock);
}

/* ---- transactions ------------------------------------------------------ */

static void
finish(WorkerEnd end)
{
	me.over = true;
	me.end = end;
}

static void
note_mismatch(const char *version)
{
	char		text[BOARD_ERROR_LEN];

	if (me.mismatch)
		return;
	me.mismatch = true;
	snprintf(text, sizeof(text),
			 "extension pg_teller has version %s, the library is %s",
			 version, teller_library_version);
	worker_note_error(text);
	ereport(LOG,
			(errmsg("pg_teller worker is idle: %s", text),
			 errhint("%s", version_hint(version))));
}

/*
 * Lock the extension and see whether it is the one we know.  The lock comes
 * before the look, so that one look is enough.  It is not waited for: a wait
 * could not be interrupted while replies are collected.
 */
static bool
extension_is_ours(void)
{
	ExtensionInfo info;

	if (!OidIsValid(me.extension) && extension_lookup(&info))
		me.extension = info.oid;
	if (OidIsValid(me.extension) &&
		!ConditionalLockDatabaseObject(ExtensionRelationId, me.extension, 0,
									   AccessShareLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("extension pg_teller is locked by another command")));
	if (!extension_lookup(&info))
	{
		finish(END_ABSENT);
		return false;
	}
	if (info.oid != me.extension)
	{
		finish(END_RENEWED);
		return false;
	}
	if (!version_is_known(info.version))
	{
		note_mismatch(info.version);
		return false;
	}
	me.mismatch = false;
	return true;
}

bool
worker_transaction_begin(void)
{
	Assert(!IsTransactionState());

	if (me.over)
		return false;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (!extension_is_ours())
	{
		CommitTransactionCommand();
		MemoryContextSwitchTo(me.context);
		return false;
	}

	/* Whatever the database says, what we record has to be durable. */
	if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		(void) set_config_option("synchronous_commit", "local", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, me.phase->name);
	return true;
}

void
worker_transaction_end(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(me.context);
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

bool
worker_must_yield(void)
{
	return me.over || ProcDiePending || ConfigReloadPending ||
		asked_to_leave();
}

/* ---- phases ------------------------------------------------------------ */

static TimestampTz
in_ms(int ms)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

/* The same error once a minute, and only so many different ones. */
static bool
may_log(Phase *phase, const char *text)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now < phase->logged_since ||
		TimestampDifferenceExceeds(phase->logged_since, now, LOG_PERIOD_MS))
	{
		phase->logged_since = now;
		phase->nlogged = 0;
		phase->logged[0] = '\0';
	}
	if (phase->nlogged >= LOG_MAX || strcmp(phase->logged, text) == 0)
		return false;
	phase->nlogged++;
	return true;
}

static void
log_error(Phase *phase, const char *message)
{
	char		text[BOARD_ERROR_LEN];

	strlcpy(text, message, sizeof(text));
	if (!may_log(phase, text))
	{
		phase->unlogged++;
		return;
	}
	EmitErrorReport();
	if (phase->unlogged > 0)
		ereport(LOG,
				(errmsg("pg_teller worker left %d errors out of the log before this one",
						phase->unlogged)));
	strlcpy(phase->logged, text, sizeof(phase->logged));
	phase->unlogged = 0;
}

/* Somebody has the row; the next try will do. */
static bool
is_busy(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
		error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE;
}

/* Interrupts are held. */
static void
forget_error(void)
{
	LWLockReleaseAll();
	ConditionVariableCancelSleep();
	pgstat_report_wait_end();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(me.context);
	FlushErrorState();
	pgstat_report_activity(STATE_IDLE, NULL);
}

void
worker_report_error(void)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(me.context);
	error = CopyErrorData();
	worker_note_error(error->message);
	if (!is_busy(error))
		log_error(me.phase, error->message);
	forget_error();
	RESUME_INTERRUPTS();
}

ErrorData *
worker_recover(void)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(me.context);
	error = CopyErrorData();
	forget_error();
	RESUME_INTERRUPTS();
	return error;
}

static void
phase_context(void *arg)
{
	errcontext("pg_teller worker: %s", ((Phase *) arg)->name);
}

static void
phase_run(Phase *phase)
{
	ErrorContextCallback callback = {.callback = phase_context,.arg = phase};

	callback.previous = error_context_stack;
	error_context_stack = &callback;
	me.phase = phase;
	PG_TRY();
	{
		phase->next = clock_earlier(phase->run(), in_ms(LONGEST_SLEEP_MS));
	}
	PG_CATCH();
	{
		worker_report_error();
		phase->pause = in_ms(ERROR_PAUSE_MS);
		phase->next = DT_NOBEGIN;
	}
	PG_END_TRY();
	error_context_stack = callback.previous;
}

static TimestampTz
dispatch_phase_run(void)
{
	WAIT_POINT("worker_dispatch");
	me.dispatching = true;
	if (!me.dispatch_ready)
	{
		dispatch_start();
		me.dispatch_ready = true;
	}
	return dispatch_run();
}

static bool
is_paused(const Phase *phase)
{
	TimestampTz now = GetCurrentTimestamp();

	/* A pause that seems longer than it can be: the clock was set back. */
	return phase->pause > now &&
		!TimestampDifferenceExceeds(now, phase->pause, ERROR_PAUSE_MS + 1);
}

static bool
is_due(const Phase *phase)
{
	TimestampTz now = GetCurrentTimestamp();

	return phase->next <= now ||
		TimestampDifferenceExceeds(now, phase->next, LONGEST_SLEEP_MS + 1);
}

/* ---- orders ------------------------------------------------------------ */

static void
stop_dispatch(int code, Datum arg)
{
	if (!me.dispatching)
		return;
	me.dispatching = me.dispatch_ready = false;
	dispatch_stop();
}

/* With a SIGTERM pending, any message from in here would be the end. */
static void
end_process(void)
{
	HOLD_INTERRUPTS();
	stop_dispatch(0, (Datum) 0);
	proc_exit(0);
}

/*
 * SIGTERM.  Interrupts are held, or the first message to the log would be the
 * end, and what has arrived would not be recorded.
 */
static void
drain(void)
{
	me.end = END_TERMINATED;
	me.phase = &phases[PHASE_DISPATCH];
	if (me.dispatch_ready && dispatch_in_flight() > 0)
	{
		publish(WORKER_DRAINING, DT_NOEND);
		HOLD_INTERRUPTS();
		PG_TRY();
		{
			dispatch_drain(teller_shutdown_grace_ms);
		}
		PG_CATCH();
		{
			worker_report_error();
		}
		PG_END_TRY();
	}
	end_process();
}

static void
serve_orders(void)
{
	if (ProcDiePending)
		drain();

	/* There is no statement here that could be cancelled. */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();

	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (asked_to_leave())
		finish(END_LEFT);
	if (me.over)
		end_process();
}

/* ---- the process ------------------------------------------------------- */

static void
handle_sigterm(SIGNAL_ARGS)
{
	sigterm_came = true;
	die(postgres_signal_arg);
}

static void
connect_database(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, handle_sigterm);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(me.dboid, InvalidOid, 0);
	worker_override_settings();
	before_shmem_exit(stop_dispatch, (Datum) 0);
	me.context = AllocSetContextCreate(TopMemoryContext, "pg_teller worker",
									   ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(me.context);
	WAIT_POINT("worker_started");
}

static TimestampTz
look_run(void)
{
	if (worker_transaction_begin())
		worker_transaction_end();
	return DT_NOEND;
}

/* Is there an extension that this library knows? */
static bool
may_work(void)
{
	static Phase look = {.name = "look for the extension",.run = look_run};

	if (OidIsValid(me.extension) && !me.mismatch)
		return true;
	if (!is_paused(&look))
		phase_run(&look);
	return OidIsValid(me.extension) && !me.mismatch && !me.over;
}

static void
work(bool woken)
{
	Phase	   *sweep = &phases[PHASE_SWEEP];
	Phase	   *fold = &phases[PHASE_FOLD];
	Phase	   *dispatch = &phases[PHASE_DISPATCH];
	Phase	   *continuation = &phases[PHASE_CONTINUATION];

	if (!may_work())
		return;

	/*
	 * Not only when it is due: a socket may have news.  First, because others
	 * wait for what is sent.
	 */
	if (!is_paused(dispatch))
		phase_run(dispatch);
	if (!me.over && (woken || is_due(sweep)) && !is_paused(sweep))
		phase_run(sweep);
	if (!me.over && (woken || is_due(fold)) && !is_paused(fold))
		phase_run(fold);

	/*
	 * After it, so that what has just ended is told at once.  What others
	 * ended may wait a little, so that not each wake-up costs a look.
	 */
	if (woken)
		continuation->next = Min(continuation->next,
								 in_ms(CONTINUATION_DELAY_MS));
	if (!me.over && !is_paused(continuation) &&
		(continuation_is_due() || is_due(continuation)))
		phase_run(continuation);
}

/*
 * What sessions are told: a hold that is due before this has to wake us.  The
 * other phases may be due earlier, but they look at no hold.
 */
static TimestampTz
next_sweep(void)
{
	Phase	   *sweep = &phases[PHASE_SWEEP];

	return Min(is_paused(sweep) ? sweep->pause : sweep->next,
			   in_ms(LONGEST_SLEEP_MS));
}

static TimestampTz
next_due(void)
{
	TimestampTz next = in_ms(LONGEST_SLEEP_MS);

	if (!OidIsValid(me.extension) || me.mismatch)
		return Min(next, in_ms(ERROR_PAUSE_MS));
	for (int i = 0; i < lengthof(phases); i++)
		next = Min(next, is_paused(&phases[i]) ? phases[i].pause :
				   phases[i].next);
	return next;
}

static TimestampTz
wait_run(void)
{
	dispatch_wait(me.timeout_ms);
	return DT_NOEND;
}

/*
 * The only place where the worker waits for something to do.  While dispatch
 * is paused its sockets are left alone: they might be ready all the time.
 */
static void
rest(TimestampTz until)
{
	static Phase wait = {.name = "wait",.run = wait_run};

	if (is_paused(&wait))
		until = Min(until, wait.pause);
	me.timeout_ms = wake_ms_until(until, LONGEST_SLEEP_MS);
	if (me.timeout_ms >= 1000)
		pgstat_report_stat(true);

	Assert(!IsTransactionState());
	if (me.dispatch_ready && !me.mismatch && !is_paused(&wait) &&
		!is_paused(&phases[PHASE_DISPATCH]))
		phase_run(&wait);
	else
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 me.timeout_ms, PG_WAIT_EXTENSION);
}

void
teller_worker_main(Datum arg)
{
	WorkerStart start;

	memcpy(&start, MyBgworkerEntry->bgw_extra, sizeof(start));
	if (!attach(&start))
		proc_exit(0);
	connect_database();

	for (;;)
	{
		bool		woken = MyLatch->is_set;
		TimestampTz until;

		/* First of all: what comes from here on is seen, or sets it again. */
		ResetLatch(MyLatch);
		serve_orders();
		MemoryContextReset(me.context);
		publish(me.mismatch ? WORKER_VERSION_MISMATCH : WORKER_RUNNING,
				in_ms(LONGEST_SLEEP_MS));
		work(woken);
		if (me.over)
			continue;
		until = next_due();
		publish(me.mismatch ? WORKER_VERSION_MISMATCH : WORKER_IDLE,
				next_sweep());
		rest(until);
	}
}
