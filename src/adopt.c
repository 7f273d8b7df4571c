/*-------------------------------------------------------------------------
 *
 * adopt.c
 *	  teller.adopt_instance: carry on after a restore, promotion or move.
 *
 * What the rows say of attempts cannot be trusted then: the row of one that
 * was sent may be missing.  So nothing counts as never sent.  Every operation
 * that has not ended becomes in_doubt, and ends on the remote's word alone.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "account.h"
#include "adopt.h"
#include "compat.h"
#include "hold_row.h"
#include "instance.h"
#include "operation.h"
#include "wake.h"

typedef struct OpenOperation
{
	int64		ledger;
	pg_uuid_t	id;
	int64		account;
	int64		settlement_account;
} OpenOperation;

static OpenOperation *
list_open(uint64 *count)
{
	static const char sql[] =
		"SELECT ledger_id, id, account_id, settlement_account"
		" FROM teller.operation_data WHERE state NOT IN ('settled', 'refunded')"
		" ORDER BY ledger_id, id";
	MemoryContext context = CurrentMemoryContext;
	OwnerScope	scope;
	OpenOperation *open;

	owner_begin(&scope);
	*count = owner_execute(sql, "", NULL, NULL, false);
	open = MemoryContextAllocHuge(context,
								  sizeof(OpenOperation) * (*count + 1));
	for (uint64 i = 0; i < *count; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		open[i].ledger = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
		open[i].id = *DatumGetUUIDP(SPI_getbinval(row, desc, 2, &isnull));
		open[i].account = DatumGetInt64(SPI_getbinval(row, desc, 3, &isnull));
		open[i].settlement_account =
			DatumGetInt64(SPI_getbinval(row, desc, 4, &isnull));
	}
	owner_end(&scope);
	return open;
}

/* The accounts of one ledger's operations, all at once and in order. */
static void
lock_accounts(const OpenOperation *open, uint64 count)
{
	int64	   *accounts = MemoryContextAllocHuge(CurrentMemoryContext,
												  sizeof(int64) * 2 * count);

	for (uint64 i = 0; i < count; i++)
	{
		accounts[2 * i] = open[i].account;
		accounts[2 * i + 1] = open[i].settlement_account;
	}
	hold_enter();
	account_set_close(account_set_lock(open[0].ledger, accounts,
									   (int) (2 * count)));
	pfree(accounts);
}

/* False if it ended in the meantime. */
static bool
put_in_doubt(const OpenOperation *open)
{
	static const OpEventKind events[] = {
		OP_EV_INCARNATION_CHANGED, OP_EV_RECONCILED_UNKNOWN
	};
	OperationChange change = {0};

	for (int i = 0; i < lengthof(events); i++)
	{
		OperationNews news = {.ledger = open->ledger,.id = open->id};

		news.event.kind = events[i];
		news.detail = "the instance was adopted";
		operation_apply(&news, &change);
		CommandCounterIncrement();
		if (!change.found || operation_state_is_terminal(change.after))
			return false;
	}
	if (change.actions & OP_DO_NOTIFY)
		operation_notify(open->ledger, &open->id, change.after);
	return true;
}

int64
adopt(void)
{
	OpenOperation *open;
	uint64		count;
	int64		doubtful = 0;

	if (!instance_adopt())
		return 0;
	open = list_open(&count);
	for (uint64 from = 0, to; from < count; from = to)
	{
		for (to = from; to < count && open[to].ledger == open[from].ledger;)
			to++;
		lock_accounts(open + from, to - from);
		for (uint64 i = from; i < to; i++)
			if (put_in_doubt(&open[i]))
				doubtful++;
	}
	wake_at_commit(DT_NOBEGIN);
	ForceSyncCommit();
	return doubtful;
}

PG_FUNCTION_INFO_V1(teller_adopt_instance);

/* teller.adopt_instance(): see its COMMENT. */
Datum
teller_adopt_instance(PG_FUNCTION_ARGS)
{
	access_require_owner("teller.adopt_instance()");
	PG_RETURN_INT64(adopt());
}
