/*-------------------------------------------------------------------------
 *
 * backlog.c
 *	  How many operations are open, and whether one more may come.
 *
 * Those of an account are counted under its lock, which is exact.  Those of
 * the database are too many for that.  Sessions add and subtract theirs on the
 * board as they commit, and the worker counts the rows when it starts and once
 * a minute.  What commits without telling (COMMIT PREPARED) or is taken back
 * (ROLLBACK TO SAVEPOINT) makes the number wrong until then, so that limit is
 * not exact.  While there are fewer in the whole database than an account may
 * have, the accounts need not be counted.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "backlog.h"
#include "errcodes.h"
#include "guc.h"
#include "rel.h"
#include "shmem.h"

/* Added to the number on the board once the worker has counted. */
#define COUNTED (INT64CONST(1) << 62)

#define FIRST_LOOK_MS	10
#define LONGEST_LOOK_MS 250

/* Operations begun less those ended by the present transaction. */
static int64 pending = 0;

/* ---- the number on the board ------------------------------------------ */

static BoardEntry *
my_entry(void)
{
	static BoardEntry *entry = NULL;

	if (board == NULL)
		return NULL;
	if (entry == NULL || entry->dboid != MyDatabaseId)
		entry = board_peek(MyDatabaseId);
	return entry;
}

/* After the commit: nothing here may raise. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	BoardEntry *entry;

	if (event == XACT_EVENT_COMMIT && pending != 0)
	{
		entry = my_entry();
		if (entry != NULL)
			pg_atomic_fetch_add_u64(&entry->open_operations, pending);
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		pending = 0;
}

/* About how many are open in the database; -1 if nobody has counted yet. */
static int64
count_of_database(void)
{
	BoardEntry *entry = my_entry();
	int64		number = 0;

	if (entry != NULL)
		number = (int64) pg_atomic_read_u64(&entry->open_operations);
	if (number < COUNTED / 2)
		return -1;
	return Max(number - COUNTED + pending, 0);
}

static void
note(int64 change)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		registered = true;
	}
	pending += change;
}

void
backlog_note_begun(void)
{
	note(1);
}

void
backlog_note_ended(void)
{
	note(-1);
}

/* ---- counting --------------------------------------------------------- */

/*
 * Open operations of an account, but no more than limit.  In a call that
 * submits one, so the table is locked in one mode only.
 */
static int
count_of_account(int64 ledger, int64 account, int limit)
{
	Rel		   *rel = rel_open(REL_OPERATION, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	Datum		keys[2] = {Int64GetDatum(ledger), Int64GetDatum(account)};
	RelScan    *scan = rel_scan_begin(rel, "operation_open", snapshot, 2, keys);
	int			count = 0;

	while (count < limit && rel_scan_next(scan, slot))
		count++;
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return count;
}

int64
backlog_number(void)
{
	BoardEntry *entry = my_entry();

	return entry == NULL ? 0 :
		(int64) pg_atomic_read_u64(&entry->open_operations);
}

/* What others commit while we count is counted once or twice, not lost. */
void
backlog_counted(int64 before, int64 count)
{
	BoardEntry *entry = my_entry();

	if (entry != NULL)
		pg_atomic_fetch_add_u64(&entry->open_operations,
								COUNTED + count - before);
}

/* ---- room ------------------------------------------------------------- */

bool
backlog_has_room(int64 ledger, int64 account, bool *none)
{
	int			limit = teller_max_pending_operations_per_account;
	int64		all = count_of_database();
	int			count;

	*none = false;
	if (all >= 0 && all < limit)
		return true;
	count = count_of_account(ledger, account, limit);

	/* An old snapshot does not show what others submitted since. */
	*none = count == 0 && !IsolationUsesXactSnapshot();
	return count < limit;
}

static bool
database_has_room(void)
{
	return count_of_database() < teller_max_pending_operations;
}

void
backlog_raise_full(int64 ledger, int64 account)
{
	ereport(ERROR,
			(teller_errcode(ERRCODE_TELLER_QUEUE_FULL),
			 errmsg("account %lld of ledger %lld has too many open operations",
					(long long) account, (long long) ledger),
			 errdetail("The limit teller.max_pending_operations_per_account is %d.",
					   teller_max_pending_operations_per_account),
			 errhint("Try again when some of them have ended; teller.submit_wait waits for that.")));
}

static void
raise_database_full(void)
{
	ereport(ERROR,
			(teller_errcode(ERRCODE_TELLER_QUEUE_FULL),
			 errmsg("too many operations are open in this database"),
			 errdetail("The limit teller.max_pending_operations is %d.",
					   teller_max_pending_operations),
			 errhint("Try again when some of them have ended; teller.submit_wait waits for that.")));
}

static void
sleep_ms(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
backlog_wait(int64 ledger, int64 account)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   teller_submit_wait_ms);
	long		look_ms = FIRST_LOOK_MS;

	for (;;)
	{
		bool		database = database_has_room();
		bool		none;
		long		left;

		/* Without a wait the count under the account's lock is enough. */
		if (database && (teller_submit_wait_ms == 0 ||
						 backlog_has_room(ledger, account, &none)))
			return;
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		if (left <= 0 || IsolationUsesXactSnapshot())
		{
			if (!database)
				raise_database_full();
			backlog_raise_full(ledger, account);
		}
		sleep_ms(Min(look_ms, left));
		look_ms = Min(look_ms * 2, LONGEST_LOOK_MS);
	}
}
