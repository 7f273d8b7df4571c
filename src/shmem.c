/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  The board: what launcher, workers and sessions know of each other.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "hot_entry.h"
#include "shmem.h"
#include "version.h"

/*
 * Beside a worker per background worker slot: databases that are being
 * dropped, renamed or copied, and those whose worker waits for another try.
 */
#define BOARD_SPARE_ENTRIES 64

Board	   *board = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static int
board_entries(void)
{
	return max_worker_processes + BOARD_SPARE_ENTRIES;
}

static Size
board_size(void)
{
	return add_size(offsetof(Board, entries),
					mul_size(board_entries(), sizeof(BoardEntry)));
}

static void
board_request(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(add_size(board_size(), hot_shmem_size()));
	RequestNamedLWLockTranche("pg_teller", 1);
}

static void
board_init(void)
{
	memset(board, 0, board_size());
	board->lock = &GetNamedLWLockTranche("pg_teller")->lock;
	SpinLockInit(&board->mutex);
	pg_atomic_init_u32(&board->rescan, 0);
	pg_atomic_init_u32(&board->launcher_procno, 0);
	for (int i = 0; i < BOARD_OUTCOMES; i++)
		ConditionVariableInit(&board->outcomes[i]);
	ConditionVariableInit(&board->ask.changed);
	board->nentries = board_entries();
	for (int i = 0; i < board->nentries; i++)
	{
		BoardEntry *entry = &board->entries[i];

		pg_atomic_init_u32(&entry->leave_requests, 0);
		pg_atomic_init_u32(&entry->procno, 0);
		pg_atomic_init_u64(&entry->next_wake, (uint64) DT_NOEND);
		pg_atomic_init_u64(&entry->open_operations, 0);
		for (int stat = 0; stat < STAT_COUNT; stat++)
			pg_atomic_init_u64(&entry->stats[stat], 0);
		ConditionVariableInit(&entry->gone);
	}
}

static void
board_startup(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	board = ShmemInitStruct("pg_teller", board_size(), &found);
	if (!found)
		board_init();
	hot_shmem_init();
	LWLockRelease(AddinShmemInitLock);
}

void
shmem_install(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = board_request;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = board_startup;
}

/* ---- entries ---------------------------------------------------------- */

BoardEntry *
board_peek(Oid dboid)
{
	for (int i = 0; i < board->nentries; i++)
		if (board->entries[i].dboid == dboid)
			return &board->entries[i];
	return NULL;
}

BoardEntry *
board_find(Oid dboid)
{
	Assert(LWLockHeldByMe(board->lock));
	Assert(OidIsValid(dboid));

	return board_peek(dboid);
}

BoardEntry *
board_make(Oid dboid)
{
	BoardEntry *entry = board_find(dboid);

	Assert(LWLockHeldByMeInMode(board->lock, LW_EXCLUSIVE));

	if (entry != NULL)
		return entry;
	entry = board_peek(InvalidOid);
	if (entry == NULL)
		return NULL;

	Assert(entry->pid == 0);
	Assert(pg_atomic_read_u32(&entry->leave_requests) == 0);
	entry->state = WORKER_NONE;
	entry->end = END_FAILED;
	entry->unwanted = false;
	entry->started_at = entry->last_active_at = entry->last_error_at = 0;
	entry->starts = entry->in_flight = 0;
	entry->swept = entry->settled = 0;
	entry->adopted = true;
	entry->dispatching = false;
	entry->last_error[0] = entry->waiting[0] = '\0';
	pg_atomic_write_u64(&entry->next_wake, (uint64) DT_NOEND);
	pg_atomic_write_u64(&entry->open_operations, 0);
	for (int i = 0; i < STAT_COUNT; i++)
		pg_atomic_write_u64(&entry->stats[i], 0);
	memset(entry->circuits, 0, sizeof(entry->circuits));
	pg_write_barrier();
	entry->dboid = dboid;
	return entry;
}

void
board_call_off(BoardEntry *entry)
{
	Assert(LWLockHeldByMeInMode(board->lock, LW_EXCLUSIVE));

	if (entry->pid != 0 || entry->state != WORKER_STARTING)
		return;
	entry->generation = 0;
	entry->state = WORKER_NONE;
}

void
board_free(BoardEntry *entry)
{
	Assert(LWLockHeldByMeInMode(board->lock, LW_EXCLUSIVE));
	Assert(entry->pid == 0);
	Assert(pg_atomic_read_u32(&entry->leave_requests) == 0);

	entry->generation = 0;
	entry->dboid = InvalidOid;
}

void
board_set_latch(pg_atomic_uint32 *procno)
{
	uint32		number = pg_atomic_read_u32(procno);

	/*
	 * PGPROCs are never freed.  One that has changed hands since gives its
	 * new owner a wake-up for nothing.
	 */
	if (number != 0)
		SetLatch(&ProcGlobal->allProcs[number - 1].procLatch);
}

void
board_note_error(BoardEntry *entry, const char *message)
{
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	strlcpy(entry->last_error, message, BOARD_ERROR_LEN);
	entry->last_error_at = GetCurrentTimestamp();
	LWLockRelease(board->lock);
}

/* ---- messages to the launcher ----------------------------------------- */

void
board_tell(Oid dboid)
{
	SpinLockAcquire(&board->mutex);
	if (board->ntold < BOARD_MAX_TOLD)
		board->told[board->ntold++] = dboid;
	else
		board->told_all = true;
	SpinLockRelease(&board->mutex);
	board_set_latch(&board->launcher_procno);
}

void
board_tell_rescan(void)
{
	pg_atomic_write_u32(&board->rescan, 1);
	pg_memory_barrier();
	board_set_latch(&board->launcher_procno);
}

/* ---- SQL functions ---------------------------------------------------- */

/* The columns of teller.worker_rows(). */
enum
{
	COL_DATABASE,
	COL_PID,
	COL_STATE,
	COL_DISPATCH,
	COL_STARTED_AT,
	COL_LAST_ACTIVE_AT,
	COL_NEXT_WAKE_AT,
	COL_IN_FLIGHT,
	COL_SWEPT,
	COL_SETTLED,
	COL_RESTARTS,
	COL_LAST_ERROR,
	COL_LAST_ERROR_AT,
	COL_COUNT
};

static const char *
state_text(BoardEntry *entry)
{
	if (entry->waiting[0] != '\0')
		return psprintf("wait point: %s", entry->waiting);
	switch (entry->state)
	{
		case WORKER_NONE:
			break;
		case WORKER_STARTING:
			return "starting";
		case WORKER_RUNNING:
			return entry->adopted ? "running" : "not_adopted";
		case WORKER_IDLE:
			return entry->adopted ? "idle" : "not_adopted";
		case WORKER_DRAINING:
			return "draining";
		case WORKER_VERSION_MISMATCH:
			return "version_mismatch";
		case WORKER_BACKING_OFF:
			return "backing_off";
	}
	return pg_atomic_read_u32(&entry->leave_requests) > 0 ? "away" : "none";
}

/* Text that another process left here may be in another encoding. */
static Datum
error_datum(const BoardEntry *entry)
{
	char	   *text = pstrdup(entry->last_error);

	if (entry->dboid != MyDatabaseId)
		for (char *c = text; *c != '\0'; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
	return CStringGetTextDatum(text);
}

static void
set_time(Datum *values, bool *nulls, int column, TimestampTz time)
{
	values[column] = TimestampTzGetDatum(time);
	nulls[column] = time == 0 || TIMESTAMP_NOT_FINITE(time);
}

static void
put_entry(ReturnSetInfo *rsinfo, BoardEntry *entry, bool see_errors)
{
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};
	bool		alive = entry->pid != 0;

	values[COL_DATABASE] = ObjectIdGetDatum(entry->dboid);
	values[COL_PID] = Int32GetDatum((int32) entry->pid);
	nulls[COL_PID] = !alive;
	values[COL_STATE] = CStringGetTextDatum(state_text(entry));
	values[COL_DISPATCH] = BoolGetDatum(entry->dispatching && entry->adopted);
	set_time(values, nulls, COL_STARTED_AT, entry->started_at);
	set_time(values, nulls, COL_LAST_ACTIVE_AT, entry->last_active_at);
	set_time(values, nulls, COL_NEXT_WAKE_AT,
			 alive ? (TimestampTz) pg_atomic_read_u64(&entry->next_wake) : 0);
	values[COL_IN_FLIGHT] = Int32GetDatum(entry->in_flight);
	values[COL_SWEPT] = Int64GetDatum(entry->swept);
	values[COL_SETTLED] = Int64GetDatum(entry->settled);
	values[COL_RESTARTS] = Int32GetDatum(Max(entry->starts - 1, 0));
	set_time(values, nulls, COL_LAST_ERROR_AT, entry->last_error_at);
	nulls[COL_LAST_ERROR] = nulls[COL_LAST_ERROR_AT] || !see_errors;
	if (!nulls[COL_LAST_ERROR])
		values[COL_LAST_ERROR] = error_datum(entry);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static BoardEntry *
copy_entries(int *nentries)
{
	BoardEntry *copy = palloc(mul_size(board->nentries, sizeof(BoardEntry)));

	LWLockAcquire(board->lock, LW_SHARED);
	memcpy(copy, board->entries,
		   mul_size(board->nentries, sizeof(BoardEntry)));
	LWLockRelease(board->lock);
	*nentries = board->nentries;
	return copy;
}

PG_FUNCTION_INFO_V1(teller_worker_rows);

/*
 * teller.worker_rows() -> the rows of teller.worker_status.  The present
 * database always has one, others only for members of pg_monitor.  An error
 * text may name accounts: it is for those and for members of the owner.  No
 * rows without the preload.  Locks: none that anybody would notice.
 */
Datum
teller_worker_rows(PG_FUNCTION_ARGS)
{
	bool		monitor = has_privs_of_role(GetUserId(), ROLE_PG_MONITOR);
	bool		see_errors = monitor;
	BoardEntry	none = {.dboid = MyDatabaseId,.adopted = true};
	bool		shown = false;
	ExtensionInfo info;
	int			nentries;
	BoardEntry *entries;

	InitMaterializedSRF(fcinfo, 0);
	if (board == NULL)
		return (Datum) 0;
	if (extension_lookup(&info))
		see_errors |= has_privs_of_role(GetUserId(), info.owner);

	entries = copy_entries(&nentries);
	for (int i = 0; i < nentries; i++)
	{
		bool		here = entries[i].dboid == MyDatabaseId;

		if (OidIsValid(entries[i].dboid) && (here || monitor))
			put_entry((ReturnSetInfo *) fcinfo->resultinfo, &entries[i],
					  see_errors);
		shown |= here;
	}
	if (!shown)
	{
		LWLockAcquire(board->lock, LW_SHARED);
		strlcpy(none.last_error, board->launcher_error, BOARD_ERROR_LEN);
		none.last_error_at = board->launcher_error_at;
		LWLockRelease(board->lock);
		put_entry((ReturnSetInfo *) fcinfo->resultinfo, &none, see_errors);
	}
	return (Datum) 0;
}
