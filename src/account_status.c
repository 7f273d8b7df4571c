/*-------------------------------------------------------------------------
 *
 * account_status.c
 *	  teller.freeze_account, unfreeze_account, close_account and
 *	  reopen_account.
 *
 * Freezing needs no more than the account's row lock.  A hold in favour of
 * an account without a maximum does not take that lock: it looks at the
 * status, and the last commit before it looked decides.  If a freeze commits
 * after that look, the hold counts as placed before the freeze, which is a
 * state that a freeze allows: it changed nothing of the account, it may be
 * released or expire, and its capture, which does lock the account, is
 * refused.
 *
 * Closing must not miss such a hold, so it keeps holds out (hold_keep_out).
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "hold_row.h"
#include "input.h"
#include "limit_change.h"

/* The directions in which an account is frozen. */
#define FROZEN_DEBIT	1
#define FROZEN_CREDIT	2
#define FROZEN_BOTH		(FROZEN_DEBIT | FROZEN_CREDIT)

static int
read_direction(FunctionCallInfo fcinfo)
{
	char	   *direction = text_to_cstring(PG_GETARG_TEXT_PP(2));

	if (strcmp(direction, "debit") == 0)
		return FROZEN_DEBIT;
	if (strcmp(direction, "credit") == 0)
		return FROZEN_CREDIT;
	if (strcmp(direction, "both") == 0)
		return FROZEN_BOTH;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("direction must be 'debit', 'credit' or 'both', not \"%s\"",
					direction)));
	return 0;
}

static void
begin_change(FunctionCallInfo fcinfo, LimitChange *change, const char *what)
{
	access_require_owner(what);
	limit_change_begin(change, PG_GETARG_INT64(0), PG_GETARG_INT64(1));
}

static void
set_status(LimitChange *change, AccountStatus status)
{
	limit_change_lock(change);
	change->account->status = status;
	limit_change_write(change);
}

/* ---- freeze and unfreeze ---------------------------------------------- */

static int
frozen_directions(const LimitChange *change)
{
	switch (change->before.status)
	{
		case ACCOUNT_OPEN:
			return 0;
		case ACCOUNT_FROZEN_DEBIT:
			return FROZEN_DEBIT;
		case ACCOUNT_FROZEN_CREDIT:
			return FROZEN_CREDIT;
		case ACCOUNT_FROZEN:
			return FROZEN_BOTH;
		case ACCOUNT_CLOSED:
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("account %lld of ledger %lld is closed",
					(long long) change->before.id, (long long) change->ledger),
			 errdetail("Nothing can be posted on a closed account; it is neither frozen nor unfrozen."),
			 errhint("Run SELECT teller.reopen_account(%lld, %lld) first.",
					 (long long) change->ledger,
					 (long long) change->before.id)));
	return 0;
}

static void
freeze_to(LimitChange *change, int before, int after)
{
	static const AccountStatus statuses[] = {
		[0] = ACCOUNT_OPEN,
		[FROZEN_DEBIT] = ACCOUNT_FROZEN_DEBIT,
		[FROZEN_CREDIT] = ACCOUNT_FROZEN_CREDIT,
		[FROZEN_BOTH] = ACCOUNT_FROZEN
	};

	if (after != before)
		set_status(change, statuses[after]);
}

PG_FUNCTION_INFO_V1(teller_freeze_account);

/* teller.freeze_account(ledger, account, direction) */
Datum
teller_freeze_account(PG_FUNCTION_ARGS)
{
	LimitChange change;
	int			direction,
				before;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "account");
	input_require(fcinfo, 2, "direction");
	direction = read_direction(fcinfo);
	begin_change(fcinfo, &change, "teller.freeze_account()");
	before = frozen_directions(&change);
	freeze_to(&change, before, before | direction);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(teller_unfreeze_account);

/* teller.unfreeze_account(ledger, account, direction) */
Datum
teller_unfreeze_account(PG_FUNCTION_ARGS)
{
	LimitChange change;
	int			direction,
				before;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "account");
	input_require(fcinfo, 2, "direction");
	direction = read_direction(fcinfo);
	begin_change(fcinfo, &change, "teller.unfreeze_account()");
	before = frozen_directions(&change);
	freeze_to(&change, before, before & ~direction);
	PG_RETURN_VOID();
}

/* ---- close and reopen ------------------------------------------------- */

static void
check_settlement(const LimitChange *change)
{
	char	   *server = limit_change_settles(change);

	if (server != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account %lld of ledger %lld is the settlement account of server \"%s\" and cannot be closed",
						(long long) change->before.id,
						(long long) change->ledger, server),
				 errhint("Name another one with teller.set_settlement_account() first.")));
}

static void
raise_operation(const LimitChange *change, const Hold *hold)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("account %lld of ledger %lld has an open operation and cannot be closed",
					(long long) change->before.id, (long long) change->ledger),
			 errdetail("Operation %s over %s %s has not ended.",
					   clock_id_text(&hold->operation_id),
					   amount_to_text(hold_remaining(hold), hold->scale),
					   change->before.asset),
			 errhint("Wait for its end with teller.await(), or ask for it with teller.cancel().")));
}

/* A hold that is due binds no money, but its end is still to be written. */
static void
raise_hold(const LimitChange *change, const Hold *hold)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("account %lld of ledger %lld has an open hold and cannot be closed",
					(long long) change->before.id, (long long) change->ledger),
			 errdetail("Hold %s over %s %s, debit account %lld, credit account %lld, is %s.",
					   clock_id_text(&hold->id),
					   amount_to_text(hold_remaining(hold), hold->scale),
					   change->before.asset,
					   (long long) hold->debit_account,
					   (long long) hold->credit_account,
					   hold_is_due(hold, change->set->now) ?
					   "due and not yet swept" : "open"),
			 hold_is_due(hold, change->set->now) ?
			 errhint("Run SELECT teller.expire_due().") :
			 errhint("Capture or release it first.")));
}

/*
 * Every operation that has not ended has an open hold, so holds show both.
 * The newest snapshot: see count_credits in account_limits.c.
 */
static void
check_holds(const LimitChange *change)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Hold	   *hold = hold_first_open(change->ledger, change->before.id, true,
									   snapshot);

	if (hold == NULL)
		hold = hold_first_open(change->ledger, change->before.id, false,
							   snapshot);
	rel_forget_snapshot(snapshot);
	if (hold == NULL)
		return;
	if (hold->has_operation)
		raise_operation(change, hold);
	raise_hold(change, hold);
}

static void
check_empty(const LimitChange *change)
{
	const Account *account = change->account;

	if (account->posted != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account %lld of ledger %lld has a balance and cannot be closed",
						(long long) account->id, (long long) account->ledger),
				 errdetail("Its posted balance is %s %s%s.",
						   amount_to_text(account->posted, account->scale),
						   account->asset, account_version_text(account)),
				 errhint("Bring it to zero first.")));
}

static void
close_account(LimitChange *change)
{
	hold_keep_out();
	limit_change_lock(change);
	check_settlement(change);
	check_holds(change);
	check_empty(change);
	change->account->status = ACCOUNT_CLOSED;
	limit_change_write(change);
}

PG_FUNCTION_INFO_V1(teller_close_account);

/* teller.close_account(ledger, account) */
Datum
teller_close_account(PG_FUNCTION_ARGS)
{
	LimitChange change;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "account");
	begin_change(fcinfo, &change, "teller.close_account()");
	if (change.before.status != ACCOUNT_CLOSED)
		close_account(&change);
	PG_RETURN_VOID();
}

static void
check_not_frozen(const LimitChange *change)
{
	if (change->before.status != ACCOUNT_OPEN)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account %lld of ledger %lld is frozen, not closed",
						(long long) change->before.id,
						(long long) change->ledger),
				 errdetail("Its status is %s.",
						   account_status_name(change->before.status)),
				 errhint("Run SELECT teller.unfreeze_account(%lld, %lld).",
						 (long long) change->ledger,
						 (long long) change->before.id)));
}

PG_FUNCTION_INFO_V1(teller_reopen_account);

/* teller.reopen_account(ledger, account) */
Datum
teller_reopen_account(PG_FUNCTION_ARGS)
{
	LimitChange change;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "account");
	begin_change(fcinfo, &change, "teller.reopen_account()");
	if (change.before.status == ACCOUNT_CLOSED)
		set_status(&change, ACCOUNT_OPEN);
	else
		check_not_frozen(&change);
	PG_RETURN_VOID();
}
