/*-------------------------------------------------------------------------
 *
 * history.c
 *	  An account's past at a moment: teller.balance_at.
 *
 * The versions of an account run from 1 without a gap, and times do not go
 * back along them, so the balance at a moment is searched for between them; see
 * next_probe.  By effective time only the rows count that were not effective
 * when they were recorded, and they have an index of their own: the balance
 * recorded by then is corrected by them.
 *
 * Rows of a hot account have no version.  They count after the last version
 * of an epoch before theirs, each by its own time: within epochs and between
 * them they are recorded in any order.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "account.h"
#include "compat.h"
#include "hot_tail.h"
#include "input.h"
#include "journal_row.h"
#include "rel.h"

/* ---- teller.balance_at ------------------------------------------------ */

static Account *
require_account(int64 ledger, int64 id)
{
	Account    *account = account_peek(ledger, id, GetActiveSnapshot());

	if (account == NULL)
		account_raise_missing(ledger, id);
	return account;
}

static Amount
get_amount(TupleTableSlot *slot, int column)
{
	bool		isnull;
	int			scale;

	return amount_stored(slot_getattr(slot, column + 1, &isnull), &scale);
}

static TimestampTz
get_time(TupleTableSlot *slot, int column)
{
	bool		isnull;

	return DatumGetTimestampTz(slot_getattr(slot, column + 1, &isnull));
}

static int64
get_epoch(TupleTableSlot *slot, bool debit_side)
{
	bool		isnull;
	Datum		epoch = slot_getattr(slot, (debit_side ? COL_DEBIT_EPOCH :
											COL_CREDIT_EPOCH) + 1, &isnull);

	return isnull ? 0 : DatumGetInt64(epoch);
}

/* An account's versions, and the row of the one that was found last. */
typedef struct Past
{
	Rel		   *rel;
	const Account *account;
	TupleTableSlot *slot;
	bool		debit_side;		/* the side that it was found on */
	Amount		posted;			/* where it left the balance */
	TimestampTz recorded_at;
	int64		epoch;			/* 0: never hot before */
} Past;

/* It is on one side or the other: on that of the last one, often. */
static void
find_version(Past *past, int64 number)
{
	const Account *account = past->account;
	Datum		keys[3] = {Int64GetDatum(account->ledger),
	Int64GetDatum(account->id), Int64GetDatum(number)};
	bool		first_side = past->debit_side;
	bool		found = false;

	for (int i = 0; i < 2 && !found; i++)
	{
		bool		debit_side = i == 0 ? first_side : !first_side;
		RelScan    *scan = rel_scan_begin(past->rel, debit_side ?
										  "journal_debit" : "journal_credit",
										  GetActiveSnapshot(), 3, keys);

		found = rel_scan_next(scan, past->slot);
		if (found)
		{
			past->debit_side = debit_side;
			past->posted = get_amount(past->slot, debit_side ?
									  COL_DEBIT_POSTED : COL_CREDIT_POSTED);
			past->recorded_at = get_time(past->slot, COL_RECORDED_AT);
			past->epoch = get_epoch(past->slot, debit_side);
		}
		rel_scan_end(scan);
	}
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("account %lld of ledger %lld has no version %lld",
						(long long) account->id,
						(long long) account->ledger, (long long) number),
				 errhint("Run teller.verify().")));
}

/* Between which versions the last one recorded by a moment is. */
typedef struct Bracket
{
	int64		low;			/* recorded by then */
	int64		high;			/* recorded later, or one more than there are */
	TimestampTz low_at;
	TimestampTz high_at;
	bool		raised;			/* low moved last, not high */
	int64		width;			/* two probes ago; 0: there were none */
	int			probes;
	bool		halve;			/* from now on */
} Bracket;

/*
 * Where to look next.  Versions are spread over time evenly, more or less:
 * look where the moment would be then, next as far beyond as such a guess is
 * wrong as a rule (the root of the number of versions, as for events that
 * come independently), and begin anew with what is left.  Every probe is a
 * page of the journal, and halving would need twice as many.  Where two such
 * probes leave more than a quarter, the account is not like that: halve.
 */
static int64
next_probe(Bracket *bracket, TimestampTz at)
{
	int64		width = bracket->high - bracket->low;
	int64		middle = bracket->low + width / 2;

	if (bracket->probes++ % 2 == 0)
	{
		double		part = ((double) at - bracket->low_at) /
			((double) bracket->high_at - bracket->low_at + 1.0);

		if (bracket->width != 0 && width > bracket->width / 4)
			bracket->halve = true;
		bracket->width = width;
		if (!bracket->halve)
			middle = bracket->low + (int64) (Min(part, 1.0) * width);
	}
	else if (!bracket->halve)
	{
		int64		step = (int64) sqrt((double) width);

		middle = bracket->raised ? bracket->low + step : bracket->high - step;
	}
	return Max(bracket->low + 1, Min(middle, bracket->high - 1));
}

/* The posted balance after the last version recorded by then; its epoch. */
static Amount
search(Past *past, TimestampTz at, int64 *epoch)
{
	Bracket		bracket = {.low = 1};
	Amount		posted;

	find_version(past, 1);
	if (past->recorded_at > at)
		return 0;
	posted = past->posted;
	*epoch = past->epoch;
	bracket.low_at = past->recorded_at;
	bracket.high = past->account->version + 1;
	bracket.high_at = past->account->last_at;
	while (bracket.high - bracket.low > 1)
	{
		int64		middle = next_probe(&bracket, at);

		CHECK_FOR_INTERRUPTS();
		find_version(past, middle);
		bracket.raised = past->recorded_at <= at;
		if (bracket.raised)
		{
			bracket.low = middle;
			bracket.low_at = past->recorded_at;
			posted = past->posted;
			*epoch = past->epoch;
		}
		else
		{
			bracket.high = middle;
			bracket.high_at = past->recorded_at;
		}
	}
	return posted;
}

static Amount
versioned_balance(Rel *rel, const Account *account, TimestampTz at,
				  int64 *epoch)
{
	Past		past = {.rel = rel,.account = account};
	Amount		posted;

	*epoch = 0;
	if (account->version == 0)
		return 0;
	past.slot = rel_make_slot(rel);
	posted = search(&past, at, epoch);
	ExecDropSingleTupleTableSlot(past.slot);
	return posted;
}

/*
 * Of an account that is or was hot.  If its row has nothing that is later, all
 * there is to add is what the row has not; else every row since the version
 * has to be looked at.
 */
static Amount
hot_balance_at(Rel *rel, const Account *account, TimestampTz at)
{
	Rel		   *accounts = rel_open(REL_ACCOUNT, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(accounts);
	Datum		keys[2] = {Int64GetDatum(account->ledger),
	Int64GetDatum(account->id)};
	HotRow		row;
	HotRange	range = {.through = PG_INT64_MAX};
	HotTail		tail;
	Amount		posted;

	if (!rel_fetch(accounts, GetActiveSnapshot(), 2, keys, slot))
		account_raise_missing(account->ledger, account->id);
	hot_row_read(&row, slot);
	posted = row.posted;
	if (at >= row.last_at)
		hot_range_rest(&range, &row);
	else
		posted = versioned_balance(rel, account, at, &range.after);
	range.is_timed = true;
	range.until = at;
	hot_tail_read(&row, &range, GetActiveSnapshot(), &tail);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(accounts);
	return amount_add(hot_sum(posted, tail.posted), 0);
}

static Amount
recorded_balance(Rel *rel, const Account *account, TimestampTz at)
{
	int64		epoch;

	if (account->hot || account->has_epoch)
		return hot_balance_at(rel, account, at);
	return versioned_balance(rel, account, at, &epoch);
}

static bool
moves_money(TupleTableSlot *slot)
{
	bool		isnull;
	char	   *kind = TextDatumGetCString(slot_getattr(slot, COL_KIND + 1, &isnull));

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
