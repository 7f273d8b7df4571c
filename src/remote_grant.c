/*-------------------------------------------------------------------------
 *
 * remote_grant.c
 *	  Who may call teller_remote, and which account is his.
 *
 * A grant is to one role and not to its members: the role is the identity of
 * the calling ledger, and its account is where the calling ledger's money is.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "access.h"
#include "account.h"
#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "rel.h"
#include "remote.h"

/* The columns of teller.remote_grant and of teller.remote_mandate. */
enum
{
	COL_LEDGER,
	COL_GRANTEE,
	COL_ACCOUNT,
	COL_COUNT
};

/* ---- asking ----------------------------------------------------------- */

/* True if there is a row with these keys; *account is its third column. */
static bool
find_row(RelId id, int nkeys, const Datum *keys, int64 *account)
{
	Rel		   *rel = rel_open(id, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	bool		found = rel_fetch(rel, snapshot, nkeys, keys, slot);

	if (found)
	{
		slot_getallattrs(slot);
		*account = DatumGetInt64(slot->tts_values[COL_ACCOUNT]);
	}
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return found;
}

int64
remote_require_account(int64 ledger)
{
	Datum		keys[2] = {Int64GetDatum(ledger), ObjectIdGetDatum(GetUserId())};
	int64		account;

	if (!find_row(REL_REMOTE_GRANT, 2, keys, &account))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for ledger %lld",
						(long long) ledger),
				 errdetail("Role \"%s\" has no account there for calls from outside.",
						   GetUserNameFromId(GetUserId(), false)),
				 errhint("The owner of pg_teller can run teller_remote.grant_remote().")));
	return account;
}

/*
 * All grants are read: there are few, and only a fence that finds no memo
 * comes here.
 */
void
remote_require_any_account(void)
{
	Rel		   *rel = rel_open(REL_REMOTE_GRANT, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	TableScanDesc scan = table_beginscan(rel->heap, snapshot, 0, NULL);
	bool		found = false;

	while (!found && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		slot_getallattrs(slot);
		found = DatumGetObjectId(slot->tts_values[COL_GRANTEE]) == GetUserId();
	}
	table_endscan(scan);
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for teller_remote"),
				 errdetail("Role \"%s\" has no account here for calls from outside.",
						   GetUserNameFromId(GetUserId(), false)),
				 errhint("The owner of pg_teller can run teller_remote.grant_remote().")));
}

bool
remote_has_mandate(int64 ledger, int64 account)
{
	Datum		keys[3] = {Int64GetDatum(ledger), ObjectIdGetDatum(GetUserId()),
	Int64GetDatum(account)};
	int64		ignored;

	return find_row(REL_REMOTE_MANDATE, 3, keys, &ignored);
}

/* ---- granting --------------------------------------------------------- */

/* The arguments of a grant, all required. */
static void
read_grant(FunctionCallInfo fcinfo, const char *function,
		   const char *account_name, Datum *row)
{
	Oid			grantee;
	int64		ledger,
				account;

	access_require_owner(function);
	input_require(fcinfo, 0, "grantee");
	input_require(fcinfo, 1, "ledger");
	input_require(fcinfo, 2, account_name);
	grantee = PG_GETARG_OID(0);
	ledger = PG_GETARG_INT64(1);
	account = PG_GETARG_INT64(2);
	if (GetUserNameFromId(grantee, true) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", grantee)));
	if (account_peek(ledger, account, NULL) == NULL)
		account_raise_missing(ledger, account);
	row[COL_LEDGER] = Int64GetDatum(ledger);
	row[COL_GRANTEE] = ObjectIdGetDatum(grantee);
	row[COL_ACCOUNT] = Int64GetDatum(account);
}

/*
 * Insert the row, or learn that one with its primary key is there already:
 * then its account.
 */
static int64
insert_or_find(RelId id, int nkeys, Datum *row)
{
	Rel		   *rel = rel_open(id, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	bool		nulls[COL_COUNT] = {0};
	int64		account = DatumGetInt64(row[COL_ACCOUNT]);
	bool		done = false;

	/* It takes two rounds only when another session grants or revokes. */
	while (!done)
	{
		if (rel_await_row(rel, nkeys, row, slot))
		{
			slot_getallattrs(slot);
			account = DatumGetInt64(slot->tts_values[COL_ACCOUNT]);
			done = true;
		}
		else
			done = rel_insert_if_absent(rel, row, nulls);
		CHECK_FOR_INTERRUPTS();
	}
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	CommandCounterIncrement();
	return account;
}

PG_FUNCTION_INFO_V1(teller_remote_grant_remote);

Datum
teller_remote_grant_remote(PG_FUNCTION_ARGS)
{
	Datum		row[COL_COUNT];
	int64		account;

	read_grant(fcinfo, "teller_remote.grant_remote()", "account", row);
	account = insert_or_find(REL_REMOTE_GRANT, 2, row);
	if (account != DatumGetInt64(row[COL_ACCOUNT]))
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_IDEMPOTENCY_MISMATCH),
				 errmsg("role \"%s\" has another account on ledger %lld",
						GetUserNameFromId(PG_GETARG_OID(0), false),
						(long long) PG_GETARG_INT64(1)),
				 errdetail("It is account %lld.", (long long) account),
				 errhint("Run teller_remote.revoke_remote() first.")));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(teller_remote_grant_debit);

Datum
teller_remote_grant_debit(PG_FUNCTION_ARGS)
{
	Datum		row[COL_COUNT];

	read_grant(fcinfo, "teller_remote.grant_debit()", "from_account", row);
	insert_or_find(REL_REMOTE_MANDATE, 3, row);
	PG_RETURN_VOID();
}

/* Delete by SQL; what is not there need not be revoked. */
static void
remove_row(FunctionCallInfo fcinfo, const char *sql, const char *types)
{
	OwnerScope	scope;
	Datum		values[COL_COUNT];

	for (int i = 0; types[i] != '\0'; i++)
		values[i] = PG_GETARG_DATUM(i);
	owner_begin(&scope);
	owner_execute(sql, types, values, NULL, false);
	owner_end(&scope);
}

PG_FUNCTION_INFO_V1(teller_remote_revoke_remote);

Datum
teller_remote_revoke_remote(PG_FUNCTION_ARGS)
{
	access_require_owner("teller_remote.revoke_remote()");
	input_require(fcinfo, 0, "grantee");
	input_require(fcinfo, 1, "ledger");
	remove_row(fcinfo,
		   "DELETE FROM teller.remote_grant"
		   " WHERE grantee = $1 AND ledger_id = $2", "ri");
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(teller_remote_revoke_debit);

Datum
teller_remote_revoke_debit(PG_FUNCTION_ARGS)
{
	access_require_owner("teller_remote.revoke_debit()");
	input_require(fcinfo, 0, "grantee");
	input_require(fcinfo, 1, "ledger");
	input_require(fcinfo, 2, "from_account");
	remove_row(fcinfo,
		   "DELETE FROM teller.remote_mandate"
		   " WHERE grantee = $1 AND ledger_id = $2 AND account_id = $3", "rii");
	PG_RETURN_VOID();
}
