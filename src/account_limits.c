/*-------------------------------------------------------------------------
 *
 * account_limits.c
 *	  teller.set_limits: what an account may not fall below or rise above.
 *
 * An account may be put in breach of its limits by force.  Nothing else is
 * needed for it to find its way back: a debit tests only the minimum and a
 * credit only the maximum, so movements towards a limit go on and those away
 * from it are refused.
 *
 * Only an account with a maximum keeps the sum of the holds in its favour.
 * Who introduces one has to know that sum, holds in flight included, and they
 * do not lock the account: see hold_keep_out.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "compat.h"
#include "errcodes.h"
#include "hold_row.h"
#include "input.h"
#include "limit_change.h"

enum
{
	ARG_LEDGER,
	ARG_ACCOUNT,
	ARG_MIN,
	ARG_MAX,
	ARG_FORCE
};

/* One limit as asked. */
typedef struct AskedLimit
{
	bool		given;			/* false: none */
	Amount		amount;
} AskedLimit;

/* A call. */
typedef struct LimitsRequest
{
	AskedLimit	min;
	AskedLimit	max;
	bool		force;
} LimitsRequest;

static AskedLimit
read_limit(FunctionCallInfo fcinfo, int arg, const char *name, int scale)
{
	AskedLimit	limit = {.given = !PG_ARGISNULL(arg)};

	if (limit.given)
		limit.amount = amount_from_numeric(PG_GETARG_NUMERIC(arg), scale, name);
	return limit;
}

static void
read_limits(FunctionCallInfo fcinfo, LimitsRequest *request, int scale)
{
	request->force = PG_GETARG_BOOL(ARG_FORCE);
	request->min = read_limit(fcinfo, ARG_MIN, "min_balance", scale);
	request->max = read_limit(fcinfo, ARG_MAX, "max_balance", scale);
	if (request->min.given && request->max.given &&
		request->min.amount > request->max.amount)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("min_balance is above max_balance"),
				 errdetail("They are %s and %s.",
						   amount_to_text(request->min.amount, scale),
						   amount_to_text(request->max.amount, scale))));
}

static bool
is_same(const AskedLimit *limit, bool present, Amount amount)
{
	return limit->given == present && (!present || limit->amount == amount);
}

/* The mirror of the money at a server goes below any minimum by deposits. */
static void
check_settlement(const LimitChange *change, const LimitsRequest *request)
{
	char	   *server = request->min.given ?
		limit_change_settles(change) : NULL;

	if (server != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account %lld of ledger %lld is the settlement account of server \"%s\" and cannot have a minimum",
						(long long) change->before.id,
						(long long) change->ledger, server),
				 errhint("Pass min_balance => NULL, or name another settlement account first.")));
}

/*
 * Posted and pending credits, those that are due counted as released.  Where
 * there is a maximum the account's row keeps their sum from now on.  The
 * newest snapshot: holds in favour of an account without a maximum leave no
 * trace in its row by which REPEATABLE READ would find out that it is stale.
 */
static Amount
count_credits(const LimitChange *change)
{
	Account    *account = change->account;
	TimestampTz now = change->set->now;
	Snapshot	snapshot;
	Amount		due,
				rest;

	if (!account->has_max)
	{
		account->pending_credit = 0;
		return account->posted;
	}
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	due = hold_due_sum(account->ledger, account->id, false, now, snapshot);
	rest = hold_open_sum(account->ledger, account->id, false, now, snapshot);
	rel_forget_snapshot(snapshot);
	account->pending_credit = amount_add(rest, due);
	return amount_add(account->posted, rest);
}

/* 55000 for a limit that the account is in breach of, unless forced. */
static void
raise_breach(const LimitChange *change, bool minimum, Amount balance)
{
	const Account *account = change->account;

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 minimum ?
			 errmsg("account %lld of ledger %lld has less than min_balance",
					(long long) account->id, (long long) account->ledger) :
			 errmsg("account %lld of ledger %lld has more than max_balance",
					(long long) account->id, (long long) account->ledger),
			 errdetail("%s %s %s, asked for a %s of %s%s.",
					   minimum ? "Available" : "Posted and pending credits",
					   amount_to_text(balance, account->scale),
					   account->asset, minimum ? "minimum" : "maximum",
					   amount_to_text(minimum ? account->min : account->max,
									  account->scale),
					   account_version_text(account)),
			 errhint("With force => true the limit is set all the same; until the account is within it, only movements towards it are accepted.")));
}

static void
test_limits(LimitChange *change, const LimitsRequest *request, Amount credits)
{
	Account    *account = change->account;
	Amount		available = account_available(change->set, account);
	bool		below = account->has_min && available < account->min;
	bool		above = account->has_max && credits > account->max;

	if (below && !request->force)
		raise_breach(change, true, available);
	if (above && !request->force)
		raise_breach(change, false, credits);
	change->forced = below || above;
}

static void
set_limits(LimitChange *change, const LimitsRequest *request)
{
	Account    *account;

	if (request->max.given && !change->before.has_max)
		hold_keep_out();
	limit_change_lock(change);
	check_settlement(change, request);
	account = change->account;
	account->has_min = request->min.given;
	account->min = request->min.amount;
	account->has_max = request->max.given;
	account->max = request->max.amount;
	test_limits(change, request, count_credits(change));
	limit_change_write(change);
}

PG_FUNCTION_INFO_V1(teller_set_limits);

/* teller.set_limits: see its COMMENT. */
Datum
teller_set_limits(PG_FUNCTION_ARGS)
{
	LimitsRequest request;
	LimitChange change;

	input_require(fcinfo, ARG_LEDGER, "ledger");
	input_require(fcinfo, ARG_ACCOUNT, "account");
	input_require(fcinfo, ARG_FORCE, "force");
	access_require_owner("teller.set_limits()");
	limit_change_begin(&change, PG_GETARG_INT64(ARG_LEDGER),
					   PG_GETARG_INT64(ARG_ACCOUNT));
	read_limits(fcinfo, &request, change.before.scale);
	if (!is_same(&request.min, change.before.has_min, change.before.min) ||
		!is_same(&request.max, change.before.has_max, change.before.max))
		set_limits(&change, &request);
	PG_RETURN_VOID();
}
