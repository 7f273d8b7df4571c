/*-------------------------------------------------------------------------
 *
 * remote_many.c
 *	  teller_remote.execute_many: many requests in one transaction.
 *
 * Each gets the answer that execute would give it, and all of these commit
 * together or not at all: one flush, one lock of the caller's account, one
 * round trip.  An error proves that none of them was executed; who gets one
 * asks for each by itself, so that what is wrong with one stops no other.
 *
 * Nothing here can deadlock.  Twins that are under way are waited for before
 * any lock is taken.  Then all accounts are locked at once, in order.  Then
 * nothing is waited for any more: a memo that a twin stored in between is an
 * error (40001).  Waits are short, because many wait for one.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

#include "clock.h"
#include "compat.h"
#include "input.h"
#include "memo.h"
#include "movement.h"
#include "post.h"
#include "remote_execute.h"

#define MAX_REQUESTS 1000

/* For a lock that somebody else has; unless the session waits less. */
#define LOCK_TIMEOUT_MS 100
#define LOCK_TIMEOUT_TEXT "100ms"

/* One request. */
typedef struct Request
{
	Execution	execution;
	bool		answered;		/* nothing is left to do for it */
	RemoteAnswer answer;
	int64		other;			/* the account that it names */
} Request;

typedef struct Many
{
	int			count;
	Request    *requests;
	int64		ledger;
	int64		mine;			/* the caller's account */
	PostContext context;		/* which one an error is about */
} Many;

/* ---- what is asked ---------------------------------------------------- */

/* Two arguments are for all; the others are arrays. */
static bool
is_common(int arg)
{
	return arg == EXECUTE_ORIGIN || arg == EXECUTE_LEDGER;
}

static void
read_arrays(FunctionCallInfo fcinfo, InputArray *arrays)
{
	static const char *const names[EXECUTE_ARGUMENTS] = {
		[EXECUTE_MEMO] = "memos",
		[EXECUTE_DIRECTION] = "directions",
		[EXECUTE_ACCOUNT] = "accounts",
		[EXECUTE_AMOUNT] = "amounts",
		[EXECUTE_ASSET] = "assets",
		[EXECUTE_NONCE] = "nonces",
		[EXECUTE_NOT_AFTER] = "not_after",
		[EXECUTE_PAYLOAD] = "payloads"
	};
	InputArray *first = &arrays[EXECUTE_MEMO];

	for (int i = 0; i < EXECUTE_ARGUMENTS; i++)
	{
		if (is_common(i))
			continue;
		input_require(fcinfo, i, names[i]);
		arrays[i].name = names[i];
		input_array(fcinfo, i, names[i], MAX_REQUESTS, &arrays[i]);
		if (arrays[i].count != first->count)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s and %s have different lengths", first->name,
							names[i]),
					 errdetail("One has %d elements, the other %d.",
							   first->count, arrays[i].count)));
	}
}

/* As if execute were called with its arguments. */
static void
read_request(FunctionCallInfo fcinfo, const InputArray *arrays, int i,
			 Execution *execution)
{
	LOCAL_FCINFO(one, EXECUTE_ARGUMENTS);

	InitFunctionCallInfoData(*one, fcinfo->flinfo, EXECUTE_ARGUMENTS,
							 fcinfo->fncollation, NULL, NULL);
	for (int arg = 0; arg < EXECUTE_ARGUMENTS; arg++)
	{
		if (is_common(arg))
			one->args[arg] = fcinfo->args[arg];
		else
		{
			one->args[arg].value = arrays[arg].values[i];
			one->args[arg].isnull = arrays[arg].nulls[i];
		}
	}
	execution_read(one, execution);
}

static int
compare_memos(const void *a, const void *b)
{
	const Request *const *x = a;
	const Request *const *y = b;

	return memcmp(VARDATA_ANY((*x)->execution.row.memo),
				  VARDATA_ANY((*y)->execution.row.memo), MEMO_BYTES);
}

static void
check_memos(const Many *many)
{
	Request   **sorted = palloc(sizeof(Request *) * Max(many->count, 1));

	for (int i = 0; i < many->count; i++)
		sorted[i] = &many->requests[i];
	qsort(sorted, many->count, sizeof(Request *), compare_memos);
	for (int i = 1; i < many->count; i++)
		if (compare_memos(&sorted[i - 1], &sorted[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a memo is there twice")));
	pfree(sorted);
}

static void
read_many(FunctionCallInfo fcinfo, Many *many)
{
	InputArray	arrays[EXECUTE_ARGUMENTS];

	input_require(fcinfo, EXECUTE_ORIGIN, "origin");
	input_require(fcinfo, EXECUTE_LEDGER, "ledger");
	read_arrays(fcinfo, arrays);
	many->ledger = PG_GETARG_INT64(EXECUTE_LEDGER);
	many->count = arrays[EXECUTE_MEMO].count;
	many->requests = palloc0(sizeof(Request) * Max(many->count, 1));
	for (int i = 0; i < many->count; i++)
	{
		many->context.ordinal = i + 1;
		read_request(fcinfo, arrays, i, &many->requests[i].execution);
	}
	many->context.ordinal = 0;
	check_memos(many);
}

/* ---- answers ---------------------------------------------------------- */

/* Store the answer.  What a twin stored meanwhile cannot be waited for. */
static void
answer(Request *request, const char *status, const char *reason,
	   TimestampTz now)
{
	if (!execution_store(&request->execution, status, reason, now))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not execute the requests together: another transaction has just answered one of them")));
	request->answer = request->execution.row.answer;
	request->answered = true;
}

/* Those that have an answer, and those that are refused without a lock. */
static void
answer_without_locks(Many *many)
{
	Account    *mine = NULL;
	Snapshot	snapshot;

	for (int i = 0; i < many->count; i++)
	{
		Request    *request = &many->requests[i];

		many->context.ordinal = i + 1;
		request->answered = execution_replay(&request->execution,
											 &request->answer);
	}
	many->context.ordinal = 0;
	snapshot = rel_newest_snapshot();
	for (int i = 0; i < many->count; i++)
	{
		Request    *request = &many->requests[i];
		Execution  *execution = &request->execution;
		const char *reason;

		if (request->answered)
			continue;
		if (mine == NULL)
		{
			many->mine = remote_require_account(many->ledger);
			mine = execution_account(many->ledger, many->mine, snapshot);
		}
		execution->row.answer.amount = execution->amount;
		reason = execution_examine(execution, mine, &request->other, snapshot);
		if (execution_is_late(execution))
			answer(request, "expired", NULL, clock_read());
		else if (reason != NULL)
			answer(request, "rejected", reason, clock_read());
	}
	rel_forget_snapshot(snapshot);
}

/* ---- money ------------------------------------------------------------ */

/*
 * Lock the accounts of those that have no answer yet; how many they are.  Hot
 * ones too are ours alone: each request counts on what those before it moved.
 */
static int
lock_accounts(Many *many, Movement *movement)
{
	int64	   *accounts = palloc(sizeof(int64) * (many->count + 1));
	int			open = 0;

	for (int i = 0; i < many->count; i++)
		if (!many->requests[i].answered)
			accounts[open++] = many->requests[i].other;
	accounts[open] = many->mine;
	if (open > 0)
		movement_init(movement,
					  account_set_lock_as(many->ledger, accounts, open + 1,
										  ACCOUNT_ALONE), open);
	pfree(accounts);
	return open;
}

static Denial *
test(const Movement *movement)
{
	Denial	   *denial = account_test_debit(movement->set, movement->debit,
											movement->amount);

	if (denial == NULL)
		denial = account_test_credit(movement->set, movement->credit,
									 movement->amount);
	return denial;
}

/* In memory, on top of what the requests before it moved. */
static void
move(const Many *many, Movement *movement, Request *request)
{
	Execution  *execution = &request->execution;
	TimestampTz now = movement->set->now;
	int64		mine = many->mine;
	int64		other = request->other;
	Denial	   *denial;
	JournalRow *row;

	movement->debit = account_in_set(movement->set,
									 execution->is_deposit ? other : mine);
	movement->credit = account_in_set(movement->set,
									  execution->is_deposit ? mine : other);
	movement->scale = movement->debit->scale;
	movement->amount = amount_to_move(execution->amount, movement->scale,
									  "amount");
	execution->row.answer.amount = amount_to_numeric(movement->amount,
													 movement->scale);
	denial = test(movement);

	/* It may have waited for the accounts. */
	if (execution_is_late(execution))
		answer(request, "expired", NULL, now);
	else if (denial != NULL)
		answer(request, "rejected", denial_reason(denial), now);
	else
	{
		row = movement_post(movement, "transfer", movement->amount);
		row->metadata = execution_metadata(execution);
		execution->row.answer.reference = clock_id_text(&row->id);
		answer(request, "executed", NULL, now);
	}
}

static void
move_all(Many *many)
{
	Movement	movement;

	if (lock_accounts(many, &movement) > 0)
	{
		for (int i = 0; i < many->count; i++)
		{
			many->context.ordinal = i + 1;
			if (!many->requests[i].answered)
				move(many, &movement, &many->requests[i]);
		}
		many->context.ordinal = 0;
		if (movement.nrows > 0)
			movement_write(&movement);
		movement_close(&movement);
	}
	CommandCounterIncrement();
}

/* ---- the call --------------------------------------------------------- */

static void
bound_waits(void)
{
	if (LockTimeout == 0 || LockTimeout > LOCK_TIMEOUT_MS)
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT_TEXT,
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
								 true, 0, false);
}

PG_FUNCTION_INFO_V1(teller_remote_execute_many);

/*
 * teller_remote.execute_many: see its COMMENT.  Waits for twins, then locks
 * all accounts by account_id.
 */
Datum
teller_remote_execute_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Many		many = {0};
	int			nest;

	remote_begin_write("teller_remote.execute_many()");
	InitMaterializedSRF(fcinfo, 0);
	nest = NewGUCNestLevel();
	bound_waits();
	post_context_begin(&many.context);
	read_many(fcinfo, &many);
	answer_without_locks(&many);
	move_all(&many);
	post_context_end(&many.context);
	AtEOXact_GUC(true, nest);
	for (int i = 0; i < many.count; i++)
	{
		Request    *request = &many.requests[i];
		Datum		values[REMOTE_ANSWER_COLUMNS];
		bool		nulls[REMOTE_ANSWER_COLUMNS];

		remote_answer_values(request->execution.row.memo, &request->answer,
							 values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
