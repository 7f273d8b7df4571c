/*-------------------------------------------------------------------------
 *
 * outcome.c
 *	  What is to be recorded: answers, failures, lost attempts, deadlines.
 *
 * Each outcome is one transaction: one that cannot be recorded now (a lock,
 * a serialization failure, a full disk) stays in memory and is tried again,
 * and the others go on.
 *
 * These commits need not wait for the disk one by one; the batch is flushed
 * once, before anybody is told.  That is safe because an outcome that a crash
 * takes back is found again: the attempt is then still open, counts as lost,
 * and the same memo gets the same answer from the remote, whether executed or
 * a stored failure; a deadline that has passed stays passed.  Whoever uses
 * refunded money in a transaction of his own has flushed the refund with it.
 * The one outcome that could come out otherwise the second time is the refund
 * of an attempt that is proven not to have run but left no trace at the
 * remote; it is flushed at its commit.
 *
 * None of them waits for a standby: the remote's answer is not in our WAL,
 * and it is there for the asking.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "await.h"
#include "ask.h"
#include "call.h"
#include "circuit.h"
#include "clock.h"
#include "flight.h"
#include "outcome.h"
#include "waitpoint.h"
#include "worker.h"

#define FIRST_RETRY_MS	50
#define LONGEST_RETRY_MS 5000
#define BATCH			64		/* outcomes between two flushes */

/* One outcome; in a memory context of its own. */
typedef struct Outcome
{
	dlist_node	node;
	MemoryContext context;
	OperationNews news;
	Flight	   *flight;			/* NULL unless a call brought it */
	CallResult	result;			/* of that call */
	TimestampTz retry_at;
	int			tries;
} Outcome;

static dlist_head outcomes = DLIST_STATIC_INIT(outcomes);
static int	calls = 0;			/* of them, outcomes of calls */

/* ---- from a call to an event ------------------------------------------ */

static OpEventKind
event_of_answer(AnswerStatus status)
{
	switch (status)
	{
		case ANSWER_EXECUTED:
			return OP_EV_REPLY_EXECUTED;
		case ANSWER_REJECTED:
			return OP_EV_REPLY_REJECTED;
		case ANSWER_CANCELLED:
			return OP_EV_REPLY_CANCELLED;
		case ANSWER_EXPIRED:
			return OP_EV_REPLY_EXPIRED;
		case ANSWER_CONFLICT:
			return OP_EV_REPLY_CONFLICT;
		case ANSWER_BUSY:
			return OP_EV_REPLY_BUSY;
		case ANSWER_NOT_FOUND:
			return OP_EV_REPLY_NOT_FOUND;
	}
	pg_unreachable();
}

static const char *
word_of_answer(AnswerStatus status)
{
	static const char *const words[] = {
		[ANSWER_EXECUTED] = "executed",
		[ANSWER_REJECTED] = "rejected",
		[ANSWER_CANCELLED] = "cancelled",
		[ANSWER_EXPIRED] = "expired",
		[ANSWER_CONFLICT] = "conflict",
		[ANSWER_BUSY] = "busy",
		[ANSWER_NOT_FOUND] = "not_found"
	};

	return words[status];
}

/* Is it the last word on the operation, or proof of a mix-up? */
static bool
is_worth_keeping(AnswerStatus status)
{
	return status != ANSWER_BUSY && status != ANSWER_NOT_FOUND;
}

/* What it says of another operation is no answer to this one. */
static void
read_answer(Outcome *outcome)
{
	OperationNews *news = &outcome->news;
	CallResult *result = &outcome->result;
	const char *differs = NULL;
	bool		matches = call_answer_matches(result, &result->call->request,
											  &differs);

	news->event.kind = event_of_answer(result->status);
	news->event.memo_matches = matches;
	news->outcome = word_of_answer(result->status);
	news->detail = result->reason;
	if (is_worth_keeping(result->status))
		news->response = result->response;
	if (!matches)
	{
		news->event.kind = OP_EV_REPLY_CONFLICT;
		news->outcome = "conflict";
		news->detail = psprintf("the remote answered \"%s\" with another %s",
								word_of_answer(result->status), differs);
	}
	else
		news->reference = result->reference;
}

static void
read_failure(Outcome *outcome)
{
	OperationNews *news = &outcome->news;
	CallResult *result = &outcome->result;

	switch (result->class)
	{
		case CALL_ANSWERED:
			break;				/* see read_answer */
		case CALL_NOT_SENT:
			news->event.kind = OP_EV_NOT_SENT;
			news->outcome = "not_sent";
			break;
		case CALL_NOT_EXECUTED:
			news->event.kind = OP_EV_NOT_EXECUTED;
			news->outcome = "not_executed";
			break;
		case CALL_MISCONFIGURED:
			news->event.kind = OP_EV_MISCONFIGURED;
			news->outcome = "misconfigured";
			break;
		case CALL_AMBIGUOUS:
			news->event.kind = OP_EV_AMBIGUOUS;
			news->outcome = "ambiguous";
			break;
	}
	news->detail = psprintf("%s (SQLSTATE %s)", result->message,
							result->sqlstate);
}

static CircuitNews
circuit_news(const CallResult *result)
{
	switch (result->class)
	{
		case CALL_ANSWERED:
		case CALL_NOT_EXECUTED:
			return CIRCUIT_WORKS;
		case CALL_NOT_SENT:
		case CALL_AMBIGUOUS:
			return CIRCUIT_FAILED;
		case CALL_MISCONFIGURED:
			return CIRCUIT_BROKEN;
	}
	pg_unreachable();
}

/* ---- the list --------------------------------------------------------- */

static Outcome *
add(int64 ledger, const pg_uuid_t *operation, int attempt)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "pg_teller outcome",
												  ALLOCSET_SMALL_SIZES);
	Outcome    *outcome = MemoryContextAllocZero(context, sizeof(Outcome));

	outcome->context = context;
	outcome->news.ledger = ledger;
	outcome->news.id = *operation;
	outcome->news.attempt = attempt;
	outcome->retry_at = DT_NOBEGIN;
	dlist_push_tail(&outcomes, &outcome->node);
	return outcome;
}

static void
drop(Outcome *outcome)
{
	dlist_delete(&outcome->node);
	if (outcome->flight != NULL)
	{
		calls--;
		flight_end(outcome->flight);
		call_free_result(&outcome->result);
	}
	MemoryContextDelete(outcome->context);
}

static bool
is_waiting(int64 ledger, const pg_uuid_t *operation)
{
	dlist_iter	iter;

	dlist_foreach(iter, &outcomes)
	{
		OperationNews *news = &dlist_container(Outcome, node, iter.cur)->news;

		if (news->ledger == ledger &&
			memcmp(&news->id, operation, UUID_LEN) == 0)
			return true;
	}
	return false;
}

void
outcome_add_lost(int64 ledger, const pg_uuid_t *operation, int attempt)
{
	Outcome    *outcome;

	if (is_waiting(ledger, operation))
		return;
	outcome = add(ledger, operation, attempt);
	outcome->news.event.kind = OP_EV_WORKER_LOST;
	outcome->news.outcome = "lost";
	outcome->news.detail = "the worker that sent it is gone";
}

void
outcome_add_tick(int64 ledger, const pg_uuid_t *operation)
{
	Outcome    *outcome;

	if (is_waiting(ledger, operation))
		return;
	outcome = add(ledger, operation, 0);
	outcome->news.event.kind = OP_EV_TICK;
}

static void
add_result(const CallResult *result)
{
	Flight	   *flight = (Flight *) (uintptr_t) result->tag;
	Outcome    *outcome = add(flight->ledger, &flight->operation,
							  flight->attempt);
	MemoryContext old = MemoryContextSwitchTo(outcome->context);

	outcome->flight = flight;
	outcome->result = *result;
	outcome->news.event.verb = flight->verb;
	outcome->news.event.retry_after = result->retry_after_us;
	calls++;
	if (result->class == CALL_ANSWERED)
		read_answer(outcome);
	else
		read_failure(outcome);
	MemoryContextSwitchTo(old);
	circuit_note(flight->server, circuit_news(result), clock_read());
}

bool
outcome_collect(void)
{
	CallResult	result;
	bool		any = false;

	while (call_next_result(&result))
	{
		if (result.verb == CALL_CHECK || result.verb == CALL_LIST)
		{
			ask_answer(&result);
			call_free_result(&result);
			continue;
		}
		add_result(&result);
		any = true;
	}
	return any;
}

int
outcome_count(void)
{
	return calls;
}

bool
outcome_waits(void)
{
	return !dlist_is_empty(&outcomes);
}

/* ---- recording -------------------------------------------------------- */

/* What is to be told once the batch is on disk. */
typedef struct Told
{
	int64		ledger;
	pg_uuid_t	operation;
	OperationChange change;
} Told;

typedef struct Batch
{
	int			count;
	int			settled;
	Told		told[BATCH];
} Batch;

static void
set_synchronous_commit(const char *value)
{
	(void) set_config_option("synchronous_commit", value, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/* Would a crash that takes this back lead to the same end again? */
static bool
is_found_again(const OperationNews *news, const OperationChange *change)
{
	return (change->actions & OP_DO_RELEASE) == 0 ||
		news->response != NULL || news->event.kind == OP_EV_TICK;
}

static void
note_told(Batch *batch, const Outcome *outcome, const OperationChange *change)
{
	Told	   *told = &batch->told[batch->count++];

	told->ledger = outcome->news.ledger;
	told->operation = outcome->news.id;
	told->change = *change;
	if (change->actions & OP_DO_CAPTURE)
		batch->settled++;
	if ((change->actions & OP_DO_OPEN_CIRCUIT) && outcome->flight != NULL)
		circuit_note(outcome->flight->server, CIRCUIT_BROKEN, clock_read());
}

/* False if the worker has to stop. */
static bool
record_one(Outcome *outcome, Batch *batch)
{
	OperationChange change;

	if (!worker_transaction_begin())
		return false;
	set_synchronous_commit("off");
	operation_apply(&outcome->news, &change);
	if (!is_found_again(&outcome->news, &change))
		set_synchronous_commit("local");
	WAIT_POINT("outcome_before_commit");
	worker_transaction_end();
	note_told(batch, outcome, &change);
	drop(outcome);
	return true;
}

static void
try_later(Outcome *outcome)
{
	int			shift = Min(outcome->tries, 7);
	int			wait_ms = Min(FIRST_RETRY_MS << shift, LONGEST_RETRY_MS);

	outcome->tries++;
	outcome->retry_at = TimestampTzPlusMilliseconds(clock_read(), wait_ms);
}

static bool
record_or_keep(Outcome *outcome, Batch *batch)
{
	volatile bool go_on = true;

	PG_TRY();
	{
		go_on = record_one(outcome, batch);
	}
	PG_CATCH();
	{
		worker_report_error();
		try_later(outcome);
	}
	PG_END_TRY();
	return go_on;
}

/* A retry that seems further away than it can be: the clock was set back. */
static bool
is_due(const Outcome *outcome, TimestampTz now)
{
	return outcome->retry_at <= now ||
		TimestampDifferenceExceeds(now, outcome->retry_at,
								   LONGEST_RETRY_MS + 1);
}

/* False if the worker has to stop. */
static bool
record_batch(Batch *batch)
{
	TimestampTz now = clock_read();
	dlist_mutable_iter iter;

	batch->count = batch->settled = 0;
	dlist_foreach_modify(iter, &outcomes)
	{
		Outcome    *outcome = dlist_container(Outcome, node, iter.cur);

		if (batch->count == BATCH || worker_must_yield())
			break;
		if (is_due(outcome, now) && !record_or_keep(outcome, batch))
			return false;
	}
	return true;
}

/* Hints to whoever listens; a failure is no reason to do anything again. */
static void
notify_batch(const Batch *batch)
{
	bool		any = false;

	for (int i = 0; i < batch->count; i++)
		any |= (batch->told[i].change.actions & OP_DO_NOTIFY) != 0;
	if (!any || !worker_transaction_begin())
		return;
	set_synchronous_commit("off");
	for (int i = 0; i < batch->count; i++)
		if (batch->told[i].change.actions & OP_DO_NOTIFY)
			operation_notify(batch->told[i].ledger, &batch->told[i].operation,
							 batch->told[i].change.after);
	worker_transaction_end();
}

static void
tell_batch(const Batch *batch)
{
	WAIT_POINT("outcome_unflushed");
	XLogFlush(XactLastCommitEnd);
	WAIT_POINT("outcome_committed");
	for (int i = 0; i < batch->count; i++)
		if (operation_state_is_terminal(batch->told[i].change.after))
			await_tell(&batch->told[i].operation);
	if (batch->settled > 0)
		worker_note_settled(batch->settled);
	notify_batch(batch);
}

static TimestampTz
next_retry(void)
{
	TimestampTz next = DT_NOEND;
	dlist_iter	iter;

	dlist_foreach(iter, &outcomes)
		next = Min(next, dlist_container(Outcome, node, iter.cur)->retry_at);
	return next;
}

TimestampTz
outcome_record(void)
{
	static Batch batch;
	bool		go_on = true;

	do
	{
		go_on = record_batch(&batch);
		if (batch.count > 0)
			tell_batch(&batch);
	} while (go_on && batch.count == BATCH && !worker_must_yield());
	return next_retry();
}
