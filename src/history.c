/*-------------------------------------------------------------------------
 *
 * history.c
 *	  An account's past: teller.statement and teller.balance_at.
 *
 * The versions of an account run from 1 without a gap, and times do not go
 * back along them, so the balance at a moment is found by halving.  By
 * effective time only the rows count that were not effective when they were
 * recorded, and they have an index of their own: the balance recorded by then
 * is corrected by them.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "account.h"
#include "compat.h"
#include "input.h"
#include "journal.h"

#define STATEMENT_MAX_ROWS 10000

/* ---- teller.statement ------------------------------------------------- */

/* Each arm comes from an index in the order of versions. */
static const char statement_sql[] =
"SELECT * FROM ("
" (SELECT ledger_id, debit_account, debit_version AS version, id, kind,"
"  'debit'::text, amount, debit_posted, debit_pending, credit_account, hold_id,"
"  effective_at, recorded_at, metadata FROM teller.journal"
"  WHERE ledger_id = $1 AND debit_account = $2 AND debit_version > $3"
"  ORDER BY debit_version LIMIT $4)"
" UNION ALL"
" (SELECT ledger_id, credit_account, credit_version, id, kind,"
"  'credit', amount, credit_posted, credit_pending, debit_account, hold_id,"
"  effective_at, recorded_at, metadata FROM teller.journal"
"  WHERE ledger_id = $1 AND credit_account = $2 AND credit_version > $3"
"  ORDER BY credit_version LIMIT $4)) AS both_sides"
" ORDER BY version LIMIT $4";

static Account *
require_account(int64 ledger, int64 id)
{
	Account    *account = account_peek(ledger, id, GetActiveSnapshot());

	if (account == NULL)
		account_raise_missing(ledger, id);
	return account;
}

PG_FUNCTION_INFO_V1(teller_statement);

/*
 * teller.statement(ledger, account, after_version, max_rows): see its
 * COMMENT.
 */
Datum
teller_statement(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"ledger", "account", "after_version", "max_rows"};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	OwnerScope	scope;
	Datum		values[4];

	for (int i = 0; i < 4; i++)
	{
		input_require(fcinfo, i, names[i]);
		values[i] = PG_GETARG_DATUM(i);
	}
	if (PG_GETARG_INT64(2) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("after_version must not be negative")));
	if (PG_GETARG_INT32(3) < 1 || PG_GETARG_INT32(3) > STATEMENT_MAX_ROWS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must be between 1 and %d",
						STATEMENT_MAX_ROWS)));
	access_require(PG_GETARG_INT64(0), ACCESS_READ);
	(void) require_account(PG_GETARG_INT64(0), PG_GETARG_INT64(1));
	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope);
	owner_execute(statement_sql, "iii4", values, NULL, true);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(rsinfo->setResult, SPI_tuptable->vals[i]);
	owner_end(&scope);
	return (Datum) 0;
}

/* ---- teller.balance_at ------------------------------------------------ */

/* A version of an account: where it left the balance, and when. */
typedef struct Version
{
	Amount		posted;
	TimestampTz recorded_at;
} Version;

/* The columns of teller.journal that are read here. */
enum
{
	COL_AMOUNT = 6,
	COL_DEBIT_POSTED = 8,
	COL_CREDIT_POSTED = 11,
	COL_KIND = 3,
	COL_EFFECTIVE_AT = 17,
	COL_RECORDED_AT = 18
};

static Amount
get_amount(TupleTableSlot *slot, int column)
{
	bool		isnull;
	int			scale;

	return amount_stored(DatumGetNumeric(slot_getattr(slot, column, &isnull)),
						 &scale);
}

static TimestampTz
get_time(TupleTableSlot *slot, int column)
{
	bool		isnull;

	return DatumGetTimestampTz(slot_getattr(slot, column, &isnull));
}

/* It is on one side or the other. */
static bool
find_version(Rel *rel, const Account *account, int64 number, Version *version)
{
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[3] = {Int64GetDatum(account->ledger),
	Int64GetDatum(account->id), Int64GetDatum(number)};
	bool		found = false;

	for (int side = 0; side < 2 && !found; side++)
	{
		RelScan    *scan = rel_scan_begin(rel, side == 0 ? "journal_debit" :
										  "journal_credit",
										  GetActiveSnapshot(), 3, keys);

		found = rel_scan_next(scan, slot);
		if (found)
		{
			version->posted = get_amount(slot, side == 0 ? COL_DEBIT_POSTED :
										 COL_CREDIT_POSTED);
			version->recorded_at = get_time(slot, COL_RECORDED_AT);
		}
		rel_scan_end(scan);
	}
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

/* The posted balance after the last version recorded by then. */
static Amount
recorded_balance(Rel *rel, const Account *account, TimestampTz at)
{
	int64		low = 0,		/* recorded by then, or none */
				high = account->version + 1;	/* recorded later, or none */
	Version		version;
	Amount		posted = 0;

	while (high - low > 1)
	{
		int64		middle = low + (high - low) / 2;

		if (!find_version(rel, account, middle, &version))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("account %lld of ledger %lld has no version %lld",
							(long long) account->id,
							(long long) account->ledger, (long long) middle),
					 errhint("Run teller.verify().")));
		if (version.recorded_at <= at)
		{
			low = middle;
			posted = version.posted;
		}
		else
			high = middle;
	}
	return posted;
}

static bool
moves_money(TupleTableSlot *slot)
{
	bool		isnull;
	char	   *kind = TextDatumGetCString(slot_getattr(slot, COL_KIND, &isnull));

	return strcmp(kind, "transfer") == 0 || strcmp(kind, "capture") == 0 ||
		strcmp(kind, "reversal") == 0;
}

/*
 * What the rows of one side come to that are effective by then and recorded
 * later, less those that are recorded by then and effective later.
 */
static Amount
late_rows(Rel *rel, const Account *account, bool debit_side, TimestampTz at)
{
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[2] = {Int64GetDatum(account->ledger),
	Int64GetDatum(account->id)};
	RelScan    *scan = rel_scan_begin(rel, debit_side ? "journal_debit_dated" :
									  "journal_credit_dated",
									  GetActiveSnapshot(), 2, keys);
	Amount		sum = 0;

	while (rel_scan_next(scan, slot))
	{
		bool		effective = get_time(slot, COL_EFFECTIVE_AT) <= at;
		bool		recorded = get_time(slot, COL_RECORDED_AT) <= at;

		if (effective == recorded || !moves_money(slot))
			continue;
		if (effective)
			sum = amount_add(sum, get_amount(slot, COL_AMOUNT));
		else
			sum = amount_subtract(sum, get_amount(slot, COL_AMOUNT));
	}
	rel_scan_end(scan);
	ExecDropSingleTupleTableSlot(slot);
	return sum;
}

static bool
read_by_effective(FunctionCallInfo fcinfo, int arg)
{
	char	   *by;

	input_require(fcinfo, arg, "by");
	by = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	if (strcmp(by, "recorded") != 0 && strcmp(by, "effective") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("by must be 'recorded' or 'effective', not \"%s\"",
						by)));
	return strcmp(by, "effective") == 0;
}

PG_FUNCTION_INFO_V1(teller_balance_at);

/* teller.balance_at(ledger, account, at, by): see its COMMENT. */
Datum
teller_balance_at(PG_FUNCTION_ARGS)
{
	bool		by_effective;
	TimestampTz at;
	Account    *account;
	Rel		   *rel;
	Amount		posted;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "account");
	input_require(fcinfo, 2, "at");
	at = PG_GETARG_TIMESTAMPTZ(2);
	by_effective = read_by_effective(fcinfo, 3);
	access_require(PG_GETARG_INT64(0), ACCESS_READ);
	account = require_account(PG_GETARG_INT64(0), PG_GETARG_INT64(1));

	rel = rel_open(REL_JOURNAL, AccessShareLock);
	posted = recorded_balance(rel, account, at);
	if (by_effective)
	{
		posted = amount_add(posted, late_rows(rel, account, false, at));
		posted = amount_subtract(posted, late_rows(rel, account, true, at));
	}
	rel_close(rel);
	PG_RETURN_DATUM(AmountGetDatum(posted, account->scale));
}
