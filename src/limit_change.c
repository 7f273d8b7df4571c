/*-------------------------------------------------------------------------
 *
 * limit_change.c
 *	  One change of an account's limits or status, and its record.
 *
 * Changes of one account follow one another: a lock of their own is taken
 * before all others.  So what a change is about to do, and whether it has to
 * keep holds out (hold_keep_out), is certain before the account's row is
 * locked, and the locks are always taken in the order: this one, the table of
 * holds, the row.
 *
 * The time of a change is later than every reading used on the account
 * before, and last_at becomes that time: everything decided before it has an
 * earlier time, everything after it the same or a later one.
 *
 * Off the hot path, so the record is written by SQL as the owner.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "clock.h"
#include "limit_change.h"

/* The columns of teller.settlement. */
enum
{
	SETTLEMENT_LEDGER,
	SETTLEMENT_SERVER,
	SETTLEMENT_ACCOUNT
};

/*
 * A lock named after the account.  Two accounts whose hashes are equal wait
 * for each other without need, and no more than that.
 */
static void
lock_changes(int64 ledger, int64 id)
{
	int64		name[2] = {ledger, id};

	LockDatabaseObject(rel_oid(REL_ACCOUNT),
					   hash_bytes((unsigned char *) name, sizeof(name)),
					   0, ExclusiveLock);
}

void
limit_change_begin(LimitChange *change, int64 ledger, int64 id)
{
	Account    *peeked;

	/* Also where it turns out that there is nothing to change. */
	PreventCommandIfReadOnly("a call of pg_teller that writes");
	PreventCommandIfParallelMode("a call of pg_teller that writes");
	memset(change, 0, sizeof(LimitChange));
	change->ledger = ledger;
	lock_changes(ledger, id);
	peeked = account_peek(ledger, id, NULL);
	if (peeked == NULL)
		account_raise_missing(ledger, id);
	change->before = *peeked;
}

void
limit_change_lock(LimitChange *change)
{
	Account    *account;

	change->set = account_set_lock_as(change->ledger, &change->before.id, 1,
									  ACCOUNT_ROW);
	account = change->account = &change->set->accounts[0];
	if (account->status != change->before.status ||
		account->has_max != change->before.has_max)
		elog(ERROR, "limits of account %lld of ledger %lld changed meanwhile",
			 (long long) account->id, (long long) account->ledger);
	change->before = *account;
	change->set->now = Max(change->set->now, account->last_at + 1);
}

/* ---- the record ------------------------------------------------------- */

enum
{
	RECORD_LEDGER,
	RECORD_ACCOUNT,
	RECORD_ID,
	RECORD_VERSION,
	RECORD_OLD_MIN,
	RECORD_OLD_MAX,
	RECORD_OLD_STATUS,
	RECORD_MIN,
	RECORD_MAX,
	RECORD_STATUS,
	RECORD_FORCED,
	RECORD_PENDING_CREDIT,
	RECORD_CHANGED_BY,
	RECORD_CHANGED_AT,
	RECORD_COUNT
};

#define RECORD_TYPES "iiuinntnntbnNz"

/* Limits and status of one side of the change; columns from first on. */
static void
record_limits(Datum *values, char *nulls, int first, const Account *account)
{
	if (account->has_min)
		values[first] = AmountGetDatum(account->min, account->scale);
	else
		nulls[first] = 'n';
	if (account->has_max)
		values[first + 1] = AmountGetDatum(account->max, account->scale);
	else
		nulls[first + 1] = 'n';
	values[first + 2] =
		CStringGetTextDatum(account_status_name(account->status));
}

static void
record(const LimitChange *change)
{
	static const char sql[] =
		"INSERT INTO teller.limit_change_data (ledger_id, account_id, id, version,"
		" old_min_balance, old_max_balance, old_status, min_balance, max_balance,"
		" status, forced, pending_credit, changed_by, changed_at)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
	const Account *account = change->account;
	Datum		values[RECORD_COUNT] = {0};
	char		nulls[RECORD_COUNT];
	NameData	who;
	OwnerScope	scope;

	memset(nulls, ' ', sizeof(nulls));
	values[RECORD_LEDGER] = Int64GetDatum(account->ledger);
	values[RECORD_ACCOUNT] = Int64GetDatum(account->id);
	values[RECORD_ID] = UUIDPGetDatum(clock_new_id());
	values[RECORD_VERSION] = Int64GetDatum(account->version);
	record_limits(values, nulls, RECORD_OLD_MIN, &change->before);
	record_limits(values, nulls, RECORD_MIN, account);
	values[RECORD_FORCED] = BoolGetDatum(change->forced);
	values[RECORD_PENDING_CREDIT] = AmountGetDatum(account->pending_credit,
												   account->scale);
	namestrcpy(&who, GetUserNameFromId(GetUserId(), false));
	values[RECORD_CHANGED_BY] = NameGetDatum(&who);
	values[RECORD_CHANGED_AT] = TimestampTzGetDatum(change->set->now);
	owner_begin(&scope);
	(void) owner_execute(sql, RECORD_TYPES, values, nulls, false);
	owner_end(&scope);
}

void
limit_change_write(LimitChange *change)
{
	account_write_limits(change->set, change->account);
	record(change);
	account_set_close(change->set);
	CommandCounterIncrement();
}

/* ---- settlement ------------------------------------------------------- */

/*
 * Read here and not in settlement.c, which is a layer above.  In the newest
 * snapshot: set_settlement_account locks the account but does not change it,
 * so at REPEATABLE READ the row's lock alone would not show what it did.
 */
char *
limit_change_settles(const LimitChange *change)
{
	Rel		   *rel = rel_open(REL_SETTLEMENT, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Datum		keys[1] = {Int64GetDatum(change->ledger)};
	RelScan    *scan = rel_scan_begin(rel, "settlement_pkey", snapshot, 1, keys);
	char	   *server = NULL;

	while (server == NULL && rel_scan_next(scan, slot))
	{
		int64		account;
		char	   *name;

		slot_getallattrs(slot);
		account = DatumGetInt64(slot->tts_values[SETTLEMENT_ACCOUNT]);
		name = NameStr(*DatumGetName(slot->tts_values[SETTLEMENT_SERVER]));
		if (account == change->before.id &&
			OidIsValid(get_foreign_server_oid(name, true)))
			server = pstrdup(name);
	}
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return server;
}
