/*-------------------------------------------------------------------------
 *
 * settlement.c
 *	  The account here that mirrors the money at a server.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "access.h"
#include "account.h"
#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "instance.h"
#include "settlement.h"

/* The columns of teller.settlement. */
enum
{
	COL_LEDGER,
	COL_SERVER,
	COL_ACCOUNT,
	COL_COUNT
};

/* ---- looking it up ---------------------------------------------------- */

bool
settlement_find(int64 ledger, const char *server, int64 *account)
{
	Rel		   *rel = rel_open(REL_SETTLEMENT, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	NameData	name;
	Datum		keys[2] = {Int64GetDatum(ledger), NameGetDatum(&name)};
	bool		found;

	namestrcpy(&name, server);
	found = rel_fetch(rel, snapshot, 2, keys, slot);
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
settlement_require(int64 ledger, const char *server)
{
	int64		account;

	if (!settlement_find(ledger, server, &account))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("server \"%s\" has no settlement account in ledger %lld",
						server, (long long) ledger),
				 errhint("Name the account that mirrors the money there, opened with min_balance => NULL: SELECT teller.set_settlement_account(%lld, %s, <account>).",
						 (long long) ledger, quote_literal_cstr(server))));
	return account;
}

List *
settlement_servers(int64 ledger)
{
	Rel		   *rel = rel_open(REL_SETTLEMENT, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	Datum		keys[1] = {Int64GetDatum(ledger)};
	RelScan    *scan = rel_scan_begin(rel, "settlement_pkey", snapshot, 1, keys);
	List	   *names = NIL;

	while (rel_scan_next(scan, slot))
	{
		Name		name;

		slot_getallattrs(slot);
		name = DatumGetName(slot->tts_values[COL_SERVER]);
		names = lappend(names, pstrdup(NameStr(*name)));
	}
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return names;
}

Server *
server_require(const char *name)
{
	Server	   *server = server_load(name, false);
	AclResult	result = teller_server_aclcheck(server->oid, GetUserId(),
												ACL_USAGE);

	if (result != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for server \"%s\"", server->name),
				 errhint("The owner of the server can run GRANT USAGE ON FOREIGN SERVER %s TO %s.",
						 quote_identifier(server->name),
						 quote_identifier(GetUserNameFromId(GetUserId(),
															false)))));
	return server;
}

/* ---- teller.set_settlement_account ------------------------------------ */

/* Locks the account, so that it is neither closed nor given a minimum now. */
static void
check_account(int64 ledger, int64 id, const char *server)
{
	AccountSet *set = account_set_lock(ledger, &id, 1);
	Account    *account = &set->accounts[0];
	int64		before;

	if (account->status == ACCOUNT_CLOSED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account %lld of ledger %lld is closed and cannot be a settlement account",
						(long long) id, (long long) ledger),
				 errhint("Run SELECT teller.reopen_account(%lld, %lld).",
						 (long long) ledger, (long long) id)));
	if (account->has_min)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account %lld of ledger %lld has a minimum and cannot be a settlement account",
						(long long) id, (long long) ledger),
				 errdetail("Its minimum is %s %s; a settlement account is what we have at the server and may be negative.",
						   amount_to_text(account->min, account->scale),
						   account->asset),
				 errhint("Run SELECT teller.set_limits(%lld, %lld, NULL, NULL).",
						 (long long) ledger, (long long) id)));
	if (settlement_find(ledger, server, &before) && before != id)
	{
		Account    *old = account_peek(ledger, before, NULL);

		if (old != NULL)
			account_check_assets(old, account);
	}
	account_set_close(set);
}

static void
store(int64 ledger, const char *server, int64 account)
{
	Rel		   *rel = rel_open(REL_SETTLEMENT, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	NameData	name;
	Datum		keys[2] = {Int64GetDatum(ledger), NameGetDatum(&name)};
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};
	bool		replace[COL_COUNT] = {0};

	namestrcpy(&name, server);
	values[COL_LEDGER] = keys[0];
	values[COL_SERVER] = keys[1];
	values[COL_ACCOUNT] = Int64GetDatum(account);
	replace[COL_ACCOUNT] = true;
	while (!rel_await_row(rel, 2, keys, slot))
	{
		CHECK_FOR_INTERRUPTS();
		(void) rel_insert_if_absent(rel, values, nulls);
		CommandCounterIncrement();
	}
	if (!rel_lock_row(rel, 2, keys, LockTupleNoKeyExclusive, slot))
		elog(ERROR, "settlement account of server \"%s\" is gone", server);
	slot_getallattrs(slot);
	if (DatumGetInt64(slot->tts_values[COL_ACCOUNT]) != account)
		rel_update(rel, slot, values, nulls, replace);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	CommandCounterIncrement();
}

PG_FUNCTION_INFO_V1(teller_set_settlement_account);

/* teller.set_settlement_account: see its COMMENT. */
Datum
teller_set_settlement_account(PG_FUNCTION_ARGS)
{
	const char *name;
	Server	   *server;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "server");
	input_require(fcinfo, 2, "account");
	access_require_owner("teller.set_settlement_account");
	name = NameStr(*PG_GETARG_NAME(1));
	server = server_load(name, false);
	check_account(PG_GETARG_INT64(0), PG_GETARG_INT64(2), server->name);
	(void) instance_require();
	store(PG_GETARG_INT64(0), server->name, PG_GETARG_INT64(2));
	PG_RETURN_VOID();
}
