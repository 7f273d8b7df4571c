/*-------------------------------------------------------------------------
 *
 * account_metadata.c
 *	  teller.set_metadata: what the application notes about an account.
 *
 * No movement depends on it, so neither the account's version nor its time
 * changes, and what it was before is not kept.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"

#include "access.h"
#include "account.h"
#include "compat.h"
#include "input.h"

enum
{
	ARG_LEDGER,
	ARG_ACCOUNT,
	ARG_METADATA
};

PG_FUNCTION_INFO_V1(teller_set_metadata);

/* teller.set_metadata: see its COMMENT.  Locks the account. */
Datum
teller_set_metadata(PG_FUNCTION_ARGS)
{
	AccountSet *set;
	int64		account;
	Jsonb	   *metadata;

	input_require(fcinfo, ARG_LEDGER, "ledger");
	input_require(fcinfo, ARG_ACCOUNT, "account");
	account = PG_GETARG_INT64(ARG_ACCOUNT);
	metadata = input_metadata(fcinfo, ARG_METADATA);
	access_require_owner("teller.set_metadata()");
	set = account_set_lock_as(PG_GETARG_INT64(ARG_LEDGER), &account, 1,
							  ACCOUNT_ROW);
	account_write_metadata(set, &set->accounts[0], metadata);
	account_set_close(set);

	/* The same statement may call again: it must not meet its own update. */
	CommandCounterIncrement();
	PG_RETURN_VOID();
}
