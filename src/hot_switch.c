/*-------------------------------------------------------------------------
 *
 * hot_switch.c
 *	  teller.set_hot.
 *
 * Either way the account is locked against all others, up to date in its row,
 * and unknown in shared memory.  Who looked at it before waits, looks again,
 * and finds what it is now (account.c).
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"

#include "access.h"
#include "compat.h"
#include "hot.h"
#include "input.h"
#include "limit_change.h"

PG_FUNCTION_INFO_V1(teller_set_hot);

/* teller.set_hot(ledger, account, hot): see its COMMENT. */
Datum
teller_set_hot(PG_FUNCTION_ARGS)
{
	LimitChange change;
	AccountSet *set;
	bool		hot;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "account");
	input_require(fcinfo, 2, "hot");
	hot = PG_GETARG_BOOL(2);
	access_require_owner("teller.set_hot()");
	hot_require_preload();
	limit_change_begin(&change, PG_GETARG_INT64(0), PG_GETARG_INT64(1));
	if (change.before.hot == hot)
		PG_RETURN_VOID();
	set = account_set_lock_as(change.ledger, &change.before.id, 1,
							  ACCOUNT_ROW);
	account_write_hot(set, &set->accounts[0], hot);
	account_set_close(set);
	CommandCounterIncrement();
	PG_RETURN_VOID();
}
