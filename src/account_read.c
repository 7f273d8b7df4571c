/*-------------------------------------------------------------------------
 *
 * account_read.c
 *	  teller.balance, teller.account_id and teller.lock_accounts.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "account_hot.h"
#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "hold.h"
#include "input.h"
#include "ledger.h"

#define LOCK_MAX_ACCOUNTS 10000

/* ---- teller.balance --------------------------------------------------- */

PG_FUNCTION_INFO_V1(teller_balance);

/*
 * teller.balance(ledger, account): in the statement's snapshot.  Where the
 * row keeps no sum of credit holds, it is made from the open holds.
 */
Datum
teller_balance(PG_FUNCTION_ARGS)
{
	int64		ledger,
				id;
	TimestampTz now;
	Account    *account;
	Amount		pending_debit = 0;
	Datum		values[5];
	bool		nulls[5] = {0};

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "account");
	ledger = PG_GETARG_INT64(0);
	id = PG_GETARG_INT64(1);
	access_require(ledger, ACCESS_READ);
	account = account_peek(ledger, id, GetActiveSnapshot());
	if (account == NULL)
		account_raise_missing(ledger, id);
	if (account->hot)
		account_hot_complete(account, GetActiveSnapshot());
	now = clock_read();
	now = Max(now, account->last_at);
	if (account->pending_debit > 0)
		pending_debit = hold_open_sum(ledger, id, true, now, GetActiveSnapshot());
	values[0] = AmountGetDatum(account->posted, account->scale);
	values[1] = AmountGetDatum(pending_debit, account->scale);
	values[2] = hold_pending_credit(ledger, id, account->scale, now,
									GetActiveSnapshot());
	values[3] = AmountGetDatum(amount_subtract(account->posted, pending_debit),
							   account->scale);
	nulls[4] = account->hot;
	values[4] = Int64GetDatum(account->version);
	return input_result(fcinfo, values, nulls);
}

/* ---- teller.account_id ------------------------------------------------ */

bool
account_find(int64 ledger, const text *name, Snapshot snapshot, int64 *account)
{
	Rel		   *rel = rel_open(REL_ACCOUNT, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[2] = {Int64GetDatum(ledger), PointerGetDatum(name)};
	RelScan    *scan = rel_scan_begin(rel, "account_name", snapshot, 2, keys);
	bool		found = rel_scan_next(scan, slot);
	bool		isnull;

	if (found)
		*account = DatumGetInt64(slot_getattr(slot, 2, &isnull));
	rel_scan_end(scan);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return found;
}

PG_FUNCTION_INFO_V1(teller_account_id);

/* teller.account_id(ledger, name) */
Datum
teller_account_id(PG_FUNCTION_ARGS)
{
	int64		ledger,
				account;
	text	   *name;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "name");
	ledger = PG_GETARG_INT64(0);
	name = PG_GETARG_TEXT_PP(1);
	access_require(ledger, ACCESS_READ);
	if (!account_find(ledger, name, GetActiveSnapshot(), &account))
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
				 errmsg("ledger %lld has no account named \"%s\"",
						(long long) ledger, text_to_cstring(name))));
	PG_RETURN_INT64(account);
}

/* ---- teller.lock_accounts --------------------------------------------- */

PG_FUNCTION_INFO_V1(teller_lock_accounts);

/* teller.lock_accounts(ledger, accounts) */
Datum
teller_lock_accounts(PG_FUNCTION_ARGS)
{
	int64		ledger;
	InputArray	accounts;
	int64	   *ids;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "accounts");
	ledger = PG_GETARG_INT64(0);
	access_require(ledger, ACCESS_POST);
	input_array(fcinfo, 1, "accounts", LOCK_MAX_ACCOUNTS, &accounts);
	input_require_elements(&accounts);
	if (accounts.count == 0)
		ledger_check(ledger);
	ids = palloc(sizeof(int64) * Max(accounts.count, 1));
	for (int i = 0; i < accounts.count; i++)
		ids[i] = DatumGetInt64(accounts.values[i]);

	/* The calls that follow may place holds; see hold_row.h. */
	hold_enter();
	account_set_close(account_set_lock_as(ledger, ids, accounts.count,
										  ACCOUNT_ALONE));
	PG_RETURN_VOID();
}
