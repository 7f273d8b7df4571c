/*-------------------------------------------------------------------------
 *
 * ask.c
 *	  A session asks a remote something, through the worker.
 *
 * Only the worker makes connections.  So a session writes its question on the
 * board, waits for a limited time, and takes what came back from there.  The
 * place on the board is one for the whole server; who wants it while another
 * has it, waits.  It has a fixed size, so long answers are asked for in pages.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "ask.h"
#include "compat.h"
#include "guc.h"

/* Beyond the timeouts of the call itself. */
#define WORKER_SLACK_MS 5000

/* ---- the worker's side ------------------------------------------------ */

static void
read_list(const BoardAsk *ask, CallRequest *request)
{
	pg_uuid_t	origin = ask->origin;

	request->origin =
		DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&origin)));
	request->after =
		DatumGetCString(DirectFunctionCall1(timestamptz_out,
											TimestampTzGetDatum(ask->after)));
	request->max_rows = psprintf("%d", ask->max_rows);
}

void
ask_start(void)
{
	BoardAsk   *ask = &board->ask;
	BoardAsk   *mine = NULL;
	CallRequest request = {0};

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	if (ask->state == ASK_ASKED && ask->dboid == MyDatabaseId)
	{
		ask->state = ASK_RUNNING;
		mine = ask;
		request.verb = (CallVerb) ask->verb;
		request.server = ask->server;
		request.userid = ask->userid;
		request.tag = ask->ticket;
	}
	LWLockRelease(board->lock);
	if (mine == NULL)
		return;

	/* Nobody writes the question again before it is answered or given up. */
	if (request.verb == CALL_LIST)
		read_list(mine, &request);
	call_start(&request);
}

void
ask_answer(const CallResult *result)
{
	BoardAsk   *ask = &board->ask;
	const char *text = result->text ? result->text : "";

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	if (ask->state == ASK_RUNNING && ask->ticket == result->tag)
	{
		ask->state = ASK_ANSWERED;
		ask->reached = result->class == CALL_ANSWERED;
		strlcpy(ask->sqlstate, result->sqlstate, sizeof(ask->sqlstate));
		strlcpy(ask->says, result->message, sizeof(ask->says));
		ask->too_long = strlen(text) >= sizeof(ask->text);
		strlcpy(ask->text, ask->too_long ? "" : text, sizeof(ask->text));
	}
	LWLockRelease(board->lock);
	ConditionVariableBroadcast(&ask->changed);
}

/* ---- the session's side ----------------------------------------------- */

/* 0 if another session has the place. */
static uint64
take_place(const Question *question)
{
	BoardAsk   *place = &board->ask;
	uint64		ticket = 0;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	if (place->state == ASK_FREE)
	{
		ticket = ++place->ticket;
		place->state = ASK_ASKED;
		place->dboid = MyDatabaseId;
		place->verb = question->verb;
		place->server = question->server->oid;
		place->userid = GetUserId();
		place->origin = question->origin;
		place->after = question->after;
		place->max_rows = question->max_rows;
	}
	LWLockRelease(board->lock);
	return ticket;
}

static void
leave_place(int code, Datum ticket)
{
	BoardAsk   *place = &board->ask;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	if (place->ticket == DatumGetUInt64(ticket))
		place->state = ASK_FREE;
	LWLockRelease(board->lock);
	ConditionVariableBroadcast(&place->changed);
}

static bool
take_answer(Answer *answer)
{
	BoardAsk   *place = &board->ask;

	LWLockAcquire(board->lock, LW_SHARED);
	answer->asked = place->state == ASK_ANSWERED;
	if (answer->asked)
	{
		answer->reached = place->reached;
		answer->too_long = place->too_long;
		memcpy(answer->sqlstate, place->sqlstate, sizeof(answer->sqlstate));
		memcpy(answer->says, place->says, sizeof(answer->says));
		strlcpy(answer->text, place->text, sizeof(answer->text));
	}
	LWLockRelease(board->lock);
	return answer->asked;
}

static void
wake_worker(void)
{
	BoardEntry *entry = board_peek(MyDatabaseId);

	if (entry != NULL)
		board_set_latch(&entry->procno);
}

/* False once the deadline has passed. */
static bool
wait_for_change(TimestampTz deadline)
{
	long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
													   deadline);

	if (left <= 0)
		return false;
	(void) ConditionVariableTimedSleep(&board->ask.changed, Min(left, 1000),
									   PG_WAIT_EXTENSION);
	return true;
}

static void
wait_for_answer(uint64 ticket, TimestampTz deadline, Answer *answer)
{
	PG_ENSURE_ERROR_CLEANUP(leave_place, UInt64GetDatum(ticket));
	{
		wake_worker();
		ConditionVariablePrepareToSleep(&board->ask.changed);
		while (!take_answer(answer) && wait_for_change(deadline))
			;
		ConditionVariableCancelSleep();
	}
	PG_END_ENSURE_ERROR_CLEANUP(leave_place, UInt64GetDatum(ticket));
	leave_place(0, UInt64GetDatum(ticket));
}

void
ask_worker(const Question *question, Answer *answer)
{
	int			timeout_ms = question->server->timeout_ms > 0 ?
		question->server->timeout_ms : teller_attempt_timeout_ms;
	TimestampTz deadline =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									timeout_ms + teller_connect_timeout_ms +
									WORKER_SLACK_MS);
	uint64		ticket;

	Assert(board != NULL);

	memset(answer, 0, sizeof(Answer));
	ConditionVariablePrepareToSleep(&board->ask.changed);
	while ((ticket = take_place(question)) == 0 && wait_for_change(deadline))
		;
	ConditionVariableCancelSleep();
	if (ticket != 0)
		wait_for_answer(ticket, deadline, answer);
}

Jsonb *
ask_read_json(const char *text)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Jsonb	   *volatile value = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		value = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
												   CStringGetDatum(text)));
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		value = NULL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return value;
}
