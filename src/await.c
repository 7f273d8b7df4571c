/*-------------------------------------------------------------------------
 *
 * await.c
 *	  teller.await and teller.await_all: wait for operations to end.
 *
 * The worker, after it has recorded and flushed outcomes, wakes those who
 * wait for them: each operation has a condition variable on the board, shared
 * with a few others by the hash of its id, so that a thousand waiters are not
 * all woken by each outcome.  A session that ends an operation (cancel,
 * resolve) does the same after its commit.  What is left is seen by the clock,
 * after one, two, then every four seconds: a COMMIT PREPARED, or a worker that
 * died between its commit and the wake-up.
 *
 * Between two looks nothing is held: no row lock, no snapshot but the
 * statement's own.  A terminal state is told only when it is flushed to disk,
 * because outcomes are committed without waiting for that.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "access.h"
#include "await.h"
#include "clock.h"
#include "compat.h"
#include "durable.h"
#include "errcodes.h"
#include "input.h"
#include "operation.h"
#include "shmem.h"
#include "wake.h"

#define FIRST_LOOK_MS	10
#define LONGEST_LOOK_MS 250		/* without a board */
#define BOARD_LOOK_MS	1000
#define BOARD_LOOKS_DOUBLED 2	/* then no longer */
#define LONGEST_WAIT_MS (INT64CONST(60) * 60 * 1000)
#define MAX_AWAITED		10000

/* The columns of await_all's result. */
enum
{
	RESULT_OPERATION,
	RESULT_STATE,
	RESULT_REASON,
	RESULT_REFERENCE,
	RESULT_RESPONSE,
	RESULT_COUNT
};

/* ---- looking ---------------------------------------------------------- */

/*
 * This very transaction holds the row, so nobody else can end the operation
 * while we wait.
 */
static void
check_not_mine(Rel *rel, TupleTableSlot *slot, int64 ledger,
			   const pg_uuid_t *id)
{
	bool		isnull;
	Datum		xmin = slot_getsysattr(slot, MinTransactionIdAttributeNumber,
									   &isnull);

	if (TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("operation %s of ledger %lld was made or changed by this transaction",
						clock_id_text(id), (long long) ledger),
				 errdetail("It is not sent before this transaction commits."),
				 errhint("Commit first, then wait.")));
}

/* The operation as it is now, in slot. */
static OpState
look(Rel *rel, TupleTableSlot *slot, int64 ledger, const pg_uuid_t *id)
{
	Operation	operation;

	if (!operation_peek(rel, ledger, id, slot, &operation))
		operation_raise_missing(ledger, id);
	check_not_mine(rel, slot, ledger, id);
	return operation.facts.state;
}

/* What a client acts on must not be taken back by a crash. */
static void
flush_all(void)
{
	if (!RecoveryInProgress())
		XLogFlush(durable_log_end());
}

/* ---- waiting ---------------------------------------------------------- */

static int
place_number(const pg_uuid_t *id)
{
	return hash_bytes(id->data, UUID_LEN) % BOARD_OUTCOMES;
}

static ConditionVariable *
place_of(const pg_uuid_t *id)
{
	return &board->outcomes[place_number(id)];
}

void
await_tell(const pg_uuid_t *id)
{
	if (board != NULL)
		ConditionVariableBroadcast(place_of(id));
}

void
await_tell_at_commit(const pg_uuid_t *id)
{
	wake_waiters_at_commit(place_number(id));
}

static void
rest_without_board(int look)
{
	long		ms = Min(FIRST_LOOK_MS << Min(look, 10), LONGEST_LOOK_MS);

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Wait until the operation is terminal or the deadline has come.  The
 * condition variable is prepared before each look, so that no news in between
 * is lost.
 */
static OpState
wait_for(Rel *rel, TupleTableSlot *slot, int64 ledger, const pg_uuid_t *id,
		 TimestampTz deadline)
{
	OpState		state;

	for (int n = 0;; n++)
	{
		long		look_ms = BOARD_LOOK_MS << Min(n, BOARD_LOOKS_DOUBLED);
		long		left;

		if (board != NULL)
			ConditionVariablePrepareToSleep(place_of(id));
		state = look(rel, slot, ledger, id);
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		if (operation_state_is_terminal(state) || left <= 0)
			break;
		ExecClearTuple(slot);
		if (board != NULL)
			(void) ConditionVariableTimedSleep(place_of(id),
											   Min(left, look_ms),
											   PG_WAIT_EXTENSION);
		else
			rest_without_board(n);
	}
	ConditionVariableCancelSleep();
	return state;
}

/* ---- arguments -------------------------------------------------------- */

static void
check_isolation(const char *function)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s cannot be called at isolation level REPEATABLE READ or SERIALIZABLE",
						function),
				 errdetail("The transaction would not see the operation change."),
				 errhint("Call it in a transaction of its own at READ COMMITTED.")));
}

/* A wait holds the statement's snapshot, so no one may wait for days. */
static TimestampTz
read_deadline(FunctionCallInfo fcinfo, int arg)
{
	Interval   *timeout;
	double		ms;

	input_require(fcinfo, arg, "timeout");
	timeout = PG_GETARG_INTERVAL_P(arg);
	ms = (timeout->month * (double) DAYS_PER_MONTH + timeout->day) *
		(USECS_PER_DAY / 1000.0) + timeout->time / 1000.0;
	if (ms < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not be negative")));
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									   (int64) Min(ms, (double) LONGEST_WAIT_MS));
}

/* ---- SQL functions ---------------------------------------------------- */

PG_FUNCTION_INFO_V1(teller_await);

/* teller.await: see its COMMENT. */
Datum
teller_await(PG_FUNCTION_ARGS)
{
	Rel		   *rel;
	TupleTableSlot *slot;
	TimestampTz deadline;
	OpState		state;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "operation");
	deadline = read_deadline(fcinfo, 2);
	access_require(PG_GETARG_INT64(0), ACCESS_OPERATE);
	check_isolation("teller.await");
	rel = rel_open(REL_OPERATION, AccessShareLock);
	slot = rel_make_slot(rel);
	state = wait_for(rel, slot, PG_GETARG_INT64(0), PG_GETARG_UUID_P(1),
					 deadline);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	if (operation_state_is_terminal(state))
		flush_all();
	PG_RETURN_TEXT_P(cstring_to_text(operation_state_name(state)));
}

static pg_uuid_t *
read_operations(FunctionCallInfo fcinfo, int arg, int *count)
{
	ArrayType  *array;
	Datum	   *elements;
	bool	   *nulls;
	pg_uuid_t  *ids;

	input_require(fcinfo, arg, "operations");
	array = PG_GETARG_ARRAYTYPE_P(arg);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("operations must be a one-dimensional array")));
	deconstruct_array(array, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR,
					  &elements, &nulls, count);
	if (*count > MAX_AWAITED)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("operations has more than %d elements", MAX_AWAITED)));
	ids = palloc(sizeof(pg_uuid_t) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("element %d of operations must not be null", i + 1)));
		ids[i] = *DatumGetUUIDP(elements[i]);
	}
	return ids;
}

static void
put_row(ReturnSetInfo *rsinfo, TupleTableSlot *slot)
{
	static const int columns[RESULT_COUNT] = {
		[RESULT_OPERATION] = OPERATION_ID,
		[RESULT_STATE] = OPERATION_STATE,
		[RESULT_REASON] = OPERATION_REASON,
		[RESULT_REFERENCE] = OPERATION_REFERENCE,
		[RESULT_RESPONSE] = OPERATION_RESPONSE
	};
	Datum		values[RESULT_COUNT];
	bool		nulls[RESULT_COUNT];

	slot_getallattrs(slot);
	for (int i = 0; i < RESULT_COUNT; i++)
	{
		values[i] = slot->tts_values[columns[i]];
		nulls[i] = slot->tts_isnull[columns[i]];
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(teller_await_all);

/* teller.await_all: see its COMMENT.  One deadline for all of them. */
Datum
teller_await_all(PG_FUNCTION_ARGS)
{
	int			count;
	pg_uuid_t  *ids;
	TimestampTz deadline;
	Rel		   *rel;
	TupleTableSlot *slot;
	bool		ended = false;

	input_require(fcinfo, 0, "ledger");
	ids = read_operations(fcinfo, 1, &count);
	deadline = read_deadline(fcinfo, 2);
	access_require(PG_GETARG_INT64(0), ACCESS_OPERATE);
	check_isolation("teller.await_all");
	InitMaterializedSRF(fcinfo, 0);
	rel = rel_open(REL_OPERATION, AccessShareLock);
	slot = rel_make_slot(rel);
	for (int i = 0; i < count; i++)
	{
		ended |= operation_state_is_terminal(wait_for(rel, slot,
													  PG_GETARG_INT64(0),
													  &ids[i], deadline));
		put_row((ReturnSetInfo *) fcinfo->resultinfo, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	if (ended)
		flush_all();
	return (Datum) 0;
}
