/*-------------------------------------------------------------------------
 *
 * hot_worker.c
 *	  The worker's part of hot accounts: fold them in time.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "hot_entry.h"
#include "hot_fold.h"
#include "hot_tail.h"
#include "hot_worker.h"
#include "worker.h"

/* Accounts that are folded before the worker does something else. */
#define MAX_ACCOUNTS 1000

/* How often the tables are looked at: they may have been restored. */
#define LOOK_PERIOD_MS 60000

typedef struct FoldList
{
	int			count;
	HotKey		keys[MAX_ACCOUNTS];
} FoldList;

/*
 * Where nobody knows what is left to fold (the server has just started, an
 * entry had to make place, a dump was restored) the tables are looked at.
 * False if the list is full: there may be more.
 */
static bool
list_from_tables(FoldList *list)
{
	Rel		   *rel = rel_open(REL_ACCOUNT, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	RelScan    *scan = rel_scan_begin(rel, "account_hot", snapshot, 0, NULL);

	list->count = 0;
	while (list->count < MAX_ACCOUNTS && rel_scan_next(scan, slot))
	{
		HotRow		row;

		hot_row_read(&row, slot);
		if (!hot_tail_exists(&row, snapshot))
			continue;
		list->keys[list->count].ledger = row.ledger;
		list->keys[list->count++].account = row.account;
	}
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return list->count < MAX_ACCOUNTS;
}

static void
list_from_entries(FoldList *list)
{
	Rel		   *rel = rel_open(REL_ACCOUNT, AccessShareLock);

	list->count = hot_entry_unfolded(RelationGetRelid(rel->heap),
									 teller_file_of(rel->heap), list->keys,
									 MAX_ACCOUNTS);
	rel_close(rel);
}

/*
 * What is to be folded now; false if the extension is gone.  Of an epoch that
 * is open the tables have nothing yet, so where they have nothing the entries
 * are asked too.
 */
static bool
list_accounts(FoldList *list)
{
	static bool known = false;	/* what the tables had is in the entries */
	static TimestampTz looked = 0;
	static uint64 lost = 0;
	uint64		lost_now = hot_entry_lost();
	TimestampTz now = GetCurrentTimestamp();

	if (!worker_transaction_begin())
		return false;
	list->count = 0;
	if (!known || lost != lost_now || now < looked ||
		TimestampDifferenceExceeds(looked, now, LOOK_PERIOD_MS))
	{
		known = list_from_tables(list);
		lost = lost_now;
		looked = now;
	}
	if (list->count == 0)
		list_from_entries(list);
	worker_transaction_end();
	return true;
}

/* Its error is no other account's. */
static void
fold_apart(const HotKey *key)
{
	PG_TRY();
	{
		if (worker_transaction_begin())
		{
			hot_fold_account(key->ledger, key->account);
			worker_transaction_end();
		}
	}
	PG_CATCH();
	{
		worker_report_error();
	}
	PG_END_TRY();
}

TimestampTz
hot_worker_run(void)
{
	static TimestampTz next = DT_NOBEGIN;
	TimestampTz now = GetCurrentTimestamp();
	FoldList   *list;

	/* A wait that seems longer than it can be: the clock was set back. */
	if (next > now &&
		!TimestampDifferenceExceeds(now, next, teller_fold_interval_ms + 1))
		return next;
	list = palloc(sizeof(FoldList));
	if (!list_accounts(list))
		return DT_NOEND;
	for (int i = 0; i < list->count && !worker_must_yield(); i++)
		fold_apart(&list->keys[i]);
	next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									   teller_fold_interval_ms);

	/* Whoever is the first to change an account after its fold wakes us. */
	return list->count > 0 ? next : DT_NOEND;
}
