/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The one process that gives each database its worker.
 *
 * The launcher is connected to no database, so it stands in nobody's way.  It
 * reads pg_database and starts a worker in each database that accepts
 * connections and is no template.  Only from inside a database can it be told
 * whether it has the extension: a worker that does not find it says so and
 * ends at once, and the launcher leaves that database alone until it hears of
 * a CREATE EXTENSION there (wake.c).
 *
 * It looks at pg_database again when a command changed it, before it starts
 * anything, and once a minute.
 *
 * Workers are never restarted by the postmaster, which could not be stopped
 * from going back into a database that is being dropped.  The launcher
 * supervises them.  There is at most one worker in a database: each start has
 * a number of its own on the board, and only the process with the number of
 * the last start may attach (worker.c).
 *
 * The launcher itself ends with status 1, at which the postmaster starts it
 * again.  What it knew is then learned anew; workers run on meanwhile.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "clock.h"
#include "compat.h"
#include "launcher.h"
#include "shmem.h"
#include "waitpoint.h"
#include "wake.h"

#define SCAN_EVERY_MS		60000
#define FRESH_SCAN_MS		1000	/* fresh enough to start a worker by */
#define RESTART_AFTER_S		5	/* the launcher, by the postmaster */

/*
 * Workers on their way in or out at once: more than one, so that a stuck one
 * does not block all, and few, to leave slots to others.
 */
#define MAX_PASSING			4

/* A worker that was terminated comes back, but not in a tight loop. */
#define TERMINATED_PAUSE_MS	100

/* After a failure: doubled each time, forgotten after a good run. */
#define FIRST_PAUSE_MS		1000
#define LONGEST_PAUSE_MS	60000
#define GOOD_RUN_MS			60000

#define NO_SLOT				"no free background worker slot"
#define NO_SLOT_FIRST_MS	250
#define NO_SLOT_LONGEST_MS	30000
#define NO_SLOT_PATIENCE	4	/* times before it is worth a warning */
#define NO_SLOT_WARN_MS		(10 * 60 * 1000)

typedef struct Database
{
	Oid			oid;			/* hash key */
	uint32		scan;			/* the last scan that saw it */
	bool		absent;			/* has no pg_teller, as far as we know */
	bool		told;			/* something happened there: look (again) */
	int			failures;		/* in a row */
	TimestampTz next_start;
	BackgroundWorkerHandle *handle; /* our last start, until it has ended */
} Database;

static HTAB *databases;
static uint32 scan_number = 0;
static TimestampTz last_scan = 0;

/* No free worker slot, as when parallel queries have them all for a moment. */
static int	no_slot_times = 0;	/* in a row */
static TimestampTz no_start_before = DT_NOBEGIN;
static TimestampTz no_warning_before = DT_NOBEGIN;

void
launcher_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_AFTER_S;
	strlcpy(worker.bgw_library_name, "pg_teller",
			sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "teller_launcher_main",
			sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "pg_teller launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "pg_teller launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* ---- which databases there are ---------------------------------------- */

/* A worker may connect here.  Templates must stay free to be copied. */
static bool
is_candidate(Form_pg_database form)
{
	return form->datallowconn && !form->datistemplate &&
		!database_is_invalid_form(form);
}

static void
note_database(Oid oid)
{
	bool		found;
	Database   *db = hash_search(databases, &oid, HASH_ENTER, &found);

	if (!found)
	{
		memset(db, 0, sizeof(Database));
		db->oid = oid;
		db->next_start = DT_NOBEGIN;
	}
	db->scan = scan_number;
}

/* Databases that no scan sees any more; a worker in one has to leave. */
static void
forget_databases(void)
{
	HASH_SEQ_STATUS all;
	Database   *db;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	hash_seq_init(&all, databases);
	while ((db = hash_seq_search(&all)) != NULL)
	{
		BoardEntry *entry = board_find(db->oid);

		if (entry != NULL)
			entry->unwanted = db->scan != scan_number;
		if (db->scan == scan_number)
			continue;
		if (entry != NULL && entry->pid != 0)
			board_set_latch(&entry->procno);
		else if (db->handle == NULL)
			hash_search(databases, &db->oid, HASH_REMOVE, NULL);
	}
	LWLockRelease(board->lock);
}

static void
scan_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	/* Before the scan: what changes during it asks for another one. */
	pg_atomic_write_u32(&board->rescan, 0);
	pg_memory_barrier();

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	scan_number++;
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (is_candidate(form))
			note_database(form->oid);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	pgstat_report_stat(true);

	forget_databases();
	last_scan = GetCurrentTimestamp();
}

/* The extension came or went somewhere: whatever we know, look again. */
static void
take_messages(void)
{
	Oid			told[BOARD_MAX_TOLD];
	int			ntold;
	bool		told_all;
	HASH_SEQ_STATUS all;
	Database   *db;

	SpinLockAcquire(&board->mutex);
	ntold = board->ntold;
	memcpy(told, board->told, sizeof(told));
	told_all = board->told_all;
	board->ntold = 0;
	board->told_all = false;
	SpinLockRelease(&board->mutex);

	if (ntold == 0)
		return;
	scan_databases();			/* the database may be new to us too */
	hash_seq_init(&all, databases);
	while ((db = hash_seq_search(&all)) != NULL)
	{
		for (int i = 0; i < ntold; i++)
			if (told[i] == db->oid)
				db->told = true;
		db->told |= told_all;
	}
}

/* ---- one database ----------------------------------------------------- */

static TimestampTz
after(int pause_ms)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pause_ms);
}

/* The last start failed.  The worker's last error stays, if it left one. */
static void
back_off(Database *db, BoardEntry *entry)
{
	int			pause_ms;

	if (entry->last_active_at - entry->started_at >
		GOOD_RUN_MS * INT64CONST(1000))
		db->failures = 0;
	pause_ms = FIRST_PAUSE_MS << Min(db->failures, 10);
	db->next_start = after(Min(pause_ms, LONGEST_PAUSE_MS));
	db->failures++;
	entry->state = WORKER_BACKING_OFF;
	if (entry->last_error_at < entry->started_at)
	{
		strlcpy(entry->last_error, "ended; the server log says why",
				BOARD_ERROR_LEN);
		entry->last_error_at = GetCurrentTimestamp();
	}
}

/* The worker of our last start has ended, or never came. */
static void
judge_end(Database *db, BoardEntry *entry)
{
	entry->generation = 0;
	switch (entry->end)
	{
		case END_ABSENT:
			db->absent = true;
			db->failures = 0;
			break;
		case END_LEFT:
		case END_RENEWED:
			db->failures = 0;
			db->next_start = DT_NOBEGIN;
			break;
		case END_TERMINATED:
			db->failures = 0;
			db->next_start = after(TERMINATED_PAUSE_MS);
			break;
		case END_FAILED:
			back_off(db, entry);
			break;
	}
}

/* True while a worker that was started is on its way, at work or ending. */
static bool
is_under_way(Database *db)
{
	pid_t		pid;
	BoardEntry *entry;
	bool		alive;

	if (db->handle != NULL)
	{
		switch (GetBackgroundWorkerPid(db->handle, &pid))
		{
			case BGWH_STARTED:
			case BGWH_NOT_YET_STARTED:
				return true;
			case BGWH_POSTMASTER_DIED:
				proc_exit(1);
			case BGWH_STOPPED:
				break;
		}
		pfree(db->handle);
		db->handle = NULL;
	}

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	entry = board_find(db->oid);
	alive = entry != NULL && entry->pid != 0;
	if (entry != NULL && !alive && entry->generation != 0)
		judge_end(db, entry);
	LWLockRelease(board->lock);
	return alive;
}

static void
note_no_slot(void)
{
	TimestampTz now = GetCurrentTimestamp();
	int			pause_ms = NO_SLOT_FIRST_MS << Min(no_slot_times, 10);

	no_start_before =
		TimestampTzPlusMilliseconds(now, Min(pause_ms, NO_SLOT_LONGEST_MS));
	no_slot_times++;
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	strlcpy(board->launcher_error, NO_SLOT, BOARD_ERROR_LEN);
	board->launcher_error_at = now;
	LWLockRelease(board->lock);
	if (no_slot_times < NO_SLOT_PATIENCE || now < no_warning_before)
		return;
	no_warning_before = TimestampTzPlusMilliseconds(now, NO_SLOT_WARN_MS);
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg(NO_SLOT " for pg_teller"),
			 errdetail("Holds expire and operations are sent only in databases that have a worker."),
			 errhint("You might need to increase max_worker_processes.")));
}

/*
 * Nobody goes into a database that a command needs for itself, nor by a list
 * of databases that such a command has made old.  A command that has ended
 * asked for a scan before it took its request back (wake.c).
 */
static bool
must_not_start(BoardEntry *entry)
{
	if (pg_atomic_read_u32(&entry->leave_requests) > 0)
		return true;
	pg_read_barrier();
	return pg_atomic_read_u32(&board->rescan) != 0;
}

/* A number for the start and a place on the board. */
static bool
prepare_start(Database *db, WorkerStart *start)
{
	BoardEntry *entry;
	bool		prepared = false;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	entry = board_make(db->oid);
	if (entry != NULL && !must_not_start(entry))
	{
		Assert(entry->pid == 0);
		entry->generation = ++board->last_generation;
		entry->end = END_FAILED;
		entry->state = WORKER_STARTING;
		entry->unwanted = false;
		start->dboid = db->oid;
		start->entry = entry - board->entries;
		start->generation = entry->generation;
		prepared = true;
	}
	LWLockRelease(board->lock);
	if (entry == NULL)
		note_no_slot();
	return prepared;
}

static void
undo_start(Database *db, const WorkerStart *start)
{
	BoardEntry *entry = &board->entries[start->entry];

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	Assert(entry->dboid == db->oid);
	entry->generation = 0;
	entry->state = db->told || entry->starts > 0 ?
		WORKER_BACKING_OFF : WORKER_NONE;
	LWLockRelease(board->lock);
	if (entry->state == WORKER_BACKING_OFF)
		board_note_error(entry, NO_SLOT);
}

static void
start_worker(Database *db)
{
	BackgroundWorker worker = {0};
	WorkerStart start;
	MemoryContext old;
	bool		registered;

	StaticAssertStmt(sizeof(start) <= BGW_EXTRALEN, "WorkerStart is too big");

	if (!prepare_start(db, &start))
		return;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "pg_teller",
			sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "teller_worker_main",
			sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, BGW_MAXLEN, "pg_teller worker for database %u",
			 db->oid);
	strlcpy(worker.bgw_type, "pg_teller worker", BGW_MAXLEN);
	memcpy(worker.bgw_extra, &start, sizeof(start));
	worker.bgw_notify_pid = MyProcPid;

	old = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &db->handle);
	MemoryContextSwitchTo(old);

	if (registered)
	{
		no_slot_times = 0;
		db->told = false;
		return;
	}
	db->handle = NULL;
	undo_start(db, &start);
	note_no_slot();
}

/* ---- all of them ------------------------------------------------------ */

/*
 * Workers that we started and that are not yet, or no longer, at their work.
 * Each has a slot until the postmaster has seen its end.
 */
static int
count_passing(void)
{
	int			n = 0;
	HASH_SEQ_STATUS all;
	Database   *db;

	LWLockAcquire(board->lock, LW_SHARED);
	hash_seq_init(&all, databases);
	while ((db = hash_seq_search(&all)) != NULL)
	{
		BoardEntry *entry = board_find(db->oid);

		if (db->handle != NULL && (entry == NULL || entry->pid == 0 ||
								   entry->state == WORKER_STARTING))
			n++;
	}
	LWLockRelease(board->lock);
	return n;
}

static bool
must_stay_away(Oid dboid)
{
	BoardEntry *entry;
	bool		away;

	LWLockAcquire(board->lock, LW_SHARED);
	entry = board_find(dboid);
	away = entry != NULL && pg_atomic_read_u32(&entry->leave_requests) > 0;
	LWLockRelease(board->lock);
	return away;
}

/* When this database may get a worker; DT_NOEND: not by itself. */
static TimestampTz
start_due(Database *db)
{
	if (is_under_way(db))
		return DT_NOEND;
	if (db->told)
	{
		db->absent = false;
		db->failures = 0;
		db->next_start = DT_NOBEGIN;
	}
	if (db->absent || db->scan != scan_number || must_stay_away(db->oid))
		return DT_NOEND;
	return Max(db->next_start, no_start_before);
}

/*
 * The earliest time at which a worker is due somewhere, those left out whose
 * turn comes with an event: the end of a worker, a message, and the end of a
 * leave request all set the latch.
 */
static TimestampTz
next_start(void)
{
	TimestampTz next = DT_NOEND;
	HASH_SEQ_STATUS all;
	Database   *db;

	hash_seq_init(&all, databases);
	while ((db = hash_seq_search(&all)) != NULL)
		next = clock_earlier(next, start_due(db));
	return count_passing() < MAX_PASSING ? next : DT_NOEND;
}

static void
start_workers(void)
{
	TimestampTz now = GetCurrentTimestamp();
	int			passing = count_passing();
	HASH_SEQ_STATUS all;
	Database   *db;

	hash_seq_init(&all, databases);
	while ((db = hash_seq_search(&all)) != NULL)
	{
		if (passing >= MAX_PASSING || start_due(db) > now)
			continue;
		start_worker(db);
		passing++;
	}
}

/* Give back what nobody needs any more. */
static void
tidy_board(void)
{
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	for (int i = 0; i < board->nentries; i++)
	{
		BoardEntry *entry = &board->entries[i];
		Database   *db;

		if (!OidIsValid(entry->dboid) || entry->pid != 0 ||
			pg_atomic_read_u32(&entry->leave_requests) > 0)
			continue;
		db = hash_search(databases, &entry->dboid, HASH_FIND, NULL);
		if (db == NULL ||
			(entry->generation == 0 &&
			 (db->absent ||
			  (entry->starts == 0 && entry->state == WORKER_NONE))))
			board_free(entry);
	}
	LWLockRelease(board->lock);
}

/* ---- the process ------------------------------------------------------- */

static void
launcher_detach(int code, Datum arg)
{
	pg_atomic_write_u32(&board->launcher_procno, 0);
}

static void
launcher_start(void)
{
	HASHCTL		ctl = {0};

	/* For the time from here on the latch tells us everything. */
	pg_atomic_write_u32(&board->launcher_procno, teller_my_procno + 1);
	on_shmem_exit(launcher_detach, (Datum) 0);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_activity(STATE_IDLE, NULL);

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(Database);
	databases = hash_create("pg_teller databases", 64, &ctl,
							HASH_ELEM | HASH_BLOBS);
	WAIT_POINT("launcher_started");
}

/* A clock that was set back must not keep us from looking. */
static bool
scanned_within(int ms)
{
	TimestampTz now = GetCurrentTimestamp();

	return now >= last_scan && !TimestampDifferenceExceeds(last_scan, now, ms);
}

/* One look at everything; returns how long to wait for news at most. */
static long
launcher_look(void)
{
	take_messages();
	if (pg_atomic_read_u32(&board->rescan) != 0 ||
		!scanned_within(SCAN_EVERY_MS))
		scan_databases();
	if (next_start() <= GetCurrentTimestamp())
	{
		/* A change made by hand in pg_database sends no message. */
		if (!scanned_within(FRESH_SCAN_MS))
			scan_databases();
		start_workers();
	}
	tidy_board();
	return wake_ms_until(next_start(), SCAN_EVERY_MS);
}

void
teller_launcher_main(Datum arg)
{
	launcher_start();
	for (;;)
	{
		long		timeout_ms;

		ResetLatch(MyLatch);
		if (ProcDiePending)
			proc_exit(1);		/* the postmaster starts us again */
		QueryCancelPending = false; /* there is no statement to cancel */
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		timeout_ms = launcher_look();

		Assert(!IsTransactionState());
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 timeout_ms, PG_WAIT_EXTENSION);
	}
}
