/*-------------------------------------------------------------------------
 *
 * call.c
 *	  Calls to ledgers outside the database: their lives, their deadlines
 *	  and the wait for their sockets.
 *
 * A call moves through four lists.  call_start puts it into `prepared`, where
 * it belongs to the caller's transaction: an abort drops it.  The commit
 * moves it to `committed`; only the next call_wait hands it to its transport
 * and puts it into `running`.  So no byte can leave for an attempt that is
 * not on record.  call_finish moves it to `finished`, call_next_result gives
 * it to the caller (`taken`), and call_free_result frees it.
 *
 * Nothing here is shared and nothing outlives the process.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "call.h"
#include "compat.h"
#include "guc.h"

MemoryContext call_context = NULL;
const CallTransport *call_transports[SERVER_KINDS] = {
	[SERVER_POSTGRES] = &call_postgres,
	[SERVER_HTTP] = &call_http
};

static dlist_head prepared = DLIST_STATIC_INIT(prepared);
static dlist_head committed = DLIST_STATIC_INIT(committed);
static dlist_head running = DLIST_STATIC_INIT(running);
static dlist_head finished = DLIST_STATIC_INIT(finished);
static dlist_head taken = DLIST_STATIC_INIT(taken);

/*
 * The wait set.  Nothing can be taken out of one, so it is made anew when a
 * socket went away (wait_set_stale), and added to while there is room when
 * one came.
 */
static MemoryContext wait_context = NULL;	/* it and wait_events */
static WaitEventSet *wait_set = NULL;
static WaitEvent *wait_events = NULL;
static int	wait_capacity = 0;
static int	wait_used = 0;
static bool wait_set_stale = true;
static dlist_head watches = DLIST_STATIC_INIT(watches);
static dlist_head ready_watches = DLIST_STATIC_INIT(ready_watches);
static int	watch_count = 0;

#define WAIT_LATCH_POS 0		/* the latch is added first */
#define WAIT_FIXED 2			/* the latch and the postmaster's death */

int64
call_clock_us(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MICROSEC(now);
}

/* ---------- transactions ---------- */

static void
drop_call(Call *call)
{
	dlist_delete(&call->node);
	MemoryContextDelete(call->context);
}

/* Must not raise: at commit an error would be a PANIC. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	dlist_mutable_iter iter;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	dlist_foreach_modify(iter, &prepared)
	{
		Call	   *call = dlist_container(Call, node, iter.cur);

		if (event == XACT_EVENT_ABORT)
		{
			drop_call(call);
			continue;
		}
		dlist_delete(&call->node);
		dlist_push_tail(call->finished ? &finished : &committed, &call->node);
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &prepared)
	{
		Call	   *call = dlist_container(Call, node, iter.cur);

		if (call->subxact != mine)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			drop_call(call);
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
			call->subxact = parent;
	}
}

/* ---------- the life of a call ---------- */

void
call_init(void)
{
	Assert(call_context == NULL);

	call_context = AllocSetContextCreate(TopMemoryContext, "pg_teller calls",
										 ALLOCSET_DEFAULT_SIZES);
	wait_context = AllocSetContextCreate(call_context, "pg_teller wait set",
										 ALLOCSET_SMALL_SIZES);
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

const char *
call_copy_text(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

static void
copy_request(CallRequest *to, const CallRequest *from)
{
	*to = *from;
	to->origin = call_copy_text(from->origin);
	to->ledger = call_copy_text(from->ledger);
	to->direction = call_copy_text(from->direction);
	to->account = call_copy_text(from->account);
	to->amount = call_copy_text(from->amount);
	to->asset = call_copy_text(from->asset);
	to->nonce = call_copy_text(from->nonce);
	to->not_after = call_copy_text(from->not_after);
	to->payload = call_copy_text(from->payload);
	to->reason = call_copy_text(from->reason);
	to->after = call_copy_text(from->after);
	to->max_rows = call_copy_text(from->max_rows);
	to->body = call_copy_text(from->body);
}

/* Read the catalogs for a call; what is wrong there finishes it. */
static void
resolve(Call *call)
{
	const char *problem = NULL;
	Server	   *server = server_try(call->request.server, &problem);

	if (server != NULL)
		call->transport = call_transports[server->kind];
	if (call->transport == NULL)
	{
		call_finish(call, CALL_MISCONFIGURED, "42809", problem ? problem :
					psprintf("server \"%s\" is of a kind that is not called",
							 server->name), NULL);
		return;
	}
	if (call->timeout_ms <= 0)
		call->timeout_ms = server->timeout_ms > 0 ? server->timeout_ms :
			teller_attempt_timeout_ms;
	call->transport->prepare(call, server);
}

/*
 * The call's memory hangs on the caller's until the end, so that an error on
 * the way leaves nothing behind.
 */
void
call_start(const CallRequest *request)
{
	MemoryContext mine = AllocSetContextCreate(CurrentMemoryContext,
											   "pg_teller call",
											   ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(mine);
	Call	   *call = palloc0(sizeof(Call));

	Assert(call_context != NULL);
	Assert(IsTransactionState());

	call->context = mine;
	call->subxact = GetCurrentSubTransactionId();
	call->timeout_ms = request->attempt_timeout_ms;
	copy_request(&call->request, request);
	resolve(call);
	MemoryContextSwitchTo(old);

	MemoryContextSetParent(mine, call_context);
	dlist_push_tail(&prepared, &call->node);
}

void
call_clean_message(char *to, const char *from, const char *secret)
{
	size_t		secret_len = secret ? strlen(secret) : 0;
	int			len = 0;

	while (*from != '\0' && len < CALL_MESSAGE_BYTES - 1)
	{
		bool		found = secret_len > 0 &&
			strncmp(from, secret, secret_len) == 0;
		bool		control = (unsigned char) *from < 0x20 || *from == 0x7f;

		to[len++] = found ? '*' : control ? ' ' : *from;
		from += found ? secret_len : 1;
	}

	/* Ends before what is invalid, such as a character cut in two. */
	len = pg_encoding_verifymbstr(GetDatabaseEncoding(), to, len);
	while (len > 0 && to[len - 1] == ' ')
		len--;
	to[len] = '\0';
}

void
call_finish(Call *call, CallClass class, const char *sqlstate,
			const char *message, const char *secret)
{
	CallResult *result = &call->result;

	Assert(!call->finished);

	result->tag = call->request.tag;
	result->verb = call->request.verb;
	result->class = class;
	result->sent = call->sent;
	result->call = call;
	strlcpy(result->sqlstate, sqlstate, sizeof(result->sqlstate));
	call_clean_message(result->message, message ? message : "", secret);
	if (call->started_us > 0)
		result->elapsed_us = call_clock_us() - call->started_us;
	call->finished = true;
	if (call->node.next != NULL)	/* else call_start is still at work */
	{
		dlist_delete(&call->node);
		dlist_push_tail(&finished, &call->node);
	}
}

bool
call_next_result(CallResult *result)
{
	Call	   *call;

	if (dlist_is_empty(&finished))
		return false;
	call = dlist_container(Call, node, dlist_pop_head_node(&finished));
	dlist_push_tail(&taken, &call->node);
	*result = call->result;
	return true;
}

void
call_free_result(CallResult *result)
{
	drop_call(result->call);
	memset(result, 0, sizeof(CallResult));
}

int
call_in_flight(void)
{
	return call_in_flight_for(InvalidOid);
}

/* InvalidOid: for any server. */
int
call_in_flight_for(Oid server)
{
	dlist_head *const lists[] = {&prepared, &committed, &running};
	int			count = 0;

	for (int i = 0; i < lengthof(lists); i++)
	{
		dlist_iter	iter;

		dlist_foreach(iter, lists[i])
		{
			Call	   *call = dlist_container(Call, node, iter.cur);

			if (!call->finished &&
				(!OidIsValid(server) || call->request.server == server))
				count++;
		}
	}
	return count;
}

void
call_give_up(Call *call, const char *message)
{
	call->transport->abandon(call);
	call_finish(call, call->sent ? CALL_AMBIGUOUS : CALL_NOT_SENT,
				call->sent ? "08007" : "08001", message, NULL);
}

void
call_cancel_unsent(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &committed)
		call_finish(dlist_container(Call, node, iter.cur), CALL_NOT_SENT,
					"57014", "the call was given up before it was sent", NULL);
}

void
call_cancel_all(void)
{
	dlist_mutable_iter iter;

	call_cancel_unsent();
	dlist_foreach_modify(iter, &running)
		call_give_up(dlist_container(Call, node, iter.cur),
					 "the call was given up");
}

void
call_shutdown(void)
{
	dlist_head *const lists[] = {&prepared, &committed, &running, &finished,
	&taken};

	for (int i = 0; i < SERVER_KINDS; i++)
		if (call_transports[i] != NULL)
			call_transports[i]->close();
	for (int i = 0; i < lengthof(lists); i++)
		while (!dlist_is_empty(lists[i]))
			drop_call(dlist_head_element(Call, node, lists[i]));
	if (wait_set != NULL)
		FreeWaitEventSet(wait_set);
	wait_set = NULL;
}

/* ---------- the wait ---------- */

static void
queue_watch(CallWatch *watch, uint32 events)
{
	watch->seen = events;
	if (!watch->queued)
		dlist_push_tail(&ready_watches, &watch->ready_node);
	watch->queued = true;
}

/*
 * Put a socket into the wait set, or change what it is watched for.  Both
 * raise if the socket is no good, perhaps because its peer is gone: that is
 * the end of one connection and of nothing else.
 */
static void
apply_watch(CallWatch *watch)
{
	MemoryContext caller = CurrentMemoryContext;
	uint32		holdoff = InterruptHoldoffCount;

	PG_TRY();
	{
		if (watch->pos >= 0)
			ModifyWaitEvent(wait_set, watch->pos, watch->events, NULL);
		else
		{
			wait_used++;
			watch->pos = AddWaitEventToSet(wait_set, watch->events,
										   watch->fd, NULL, watch);
		}
	}
	PG_CATCH();
	{
		/* Raising an error forgets that interrupts are held. */
		InterruptHoldoffCount = holdoff;
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		wait_set_stale = true;
		queue_watch(watch, 0);
	}
	PG_END_TRY();
}

void
call_watch(CallWatch *watch, pgsocket fd, uint32 events, bool replaced)
{
	bool		other_events = watch->events != events;

	if (!watch->listed)
	{
		watch->listed = true;
		watch->pos = -1;
		dlist_push_tail(&watches, &watch->node);
		watch_count++;
	}
	if (watch->pos >= 0 && (replaced || watch->fd != fd))
	{
		watch->pos = -1;
		wait_set_stale = true;
	}
	watch->fd = fd;
	watch->events = events;
	if (watch->pos >= 0 && other_events && !wait_set_stale)
		apply_watch(watch);
}

void
call_unwatch(CallWatch *watch)
{
	if (!watch->listed)
		return;
	dlist_delete(&watch->node);
	if (watch->queued)
		dlist_delete(&watch->ready_node);
	watch_count--;
	if (watch->pos >= 0)
		wait_set_stale = true;
	watch->listed = watch->queued = false;
	watch->pos = -1;
}

/*
 * A new wait set with room for twice the sockets there are.  May raise when
 * descriptors have run out; the next call_wait tries again.
 */
static void
make_wait_set(void)
{
	dlist_iter	iter;
	int			capacity = WAIT_FIXED + Max(16, 2 * watch_count);

	if (wait_set != NULL)
		FreeWaitEventSet(wait_set);
	wait_set = NULL;
	MemoryContextReset(wait_context);	/* what a failure left, too */
	wait_events = MemoryContextAlloc(wait_context,
									 capacity * sizeof(WaitEvent));
	wait_capacity = capacity;
	wait_set = teller_create_wait_event_set(wait_context, capacity);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL,
					  NULL);
	wait_used = WAIT_FIXED;
	dlist_foreach(iter, &watches)
		dlist_container(CallWatch, node, iter.cur)->pos = -1;
	wait_set_stale = false;
}

static void
refresh_wait_set(void)
{
	dlist_iter	iter;
	int			missing = 0;

	dlist_foreach(iter, &watches)
		missing += dlist_container(CallWatch, node, iter.cur)->pos < 0;
	if (wait_set == NULL || wait_set_stale ||
		wait_used + missing > wait_capacity)
		make_wait_set();
	dlist_foreach(iter, &watches)
	{
		CallWatch  *watch = dlist_container(CallWatch, node, iter.cur);

		if (watch->pos < 0 && !watch->queued)
			apply_watch(watch);
	}
}

/*
 * Wait for the latch (NULL: not for it), the sockets and the time, and let the
 * transports step.  A step may close other connections: they leave the list.
 */
static void
wait_and_step(Latch *latch, long timeout_ms)
{
	int			count;

	refresh_wait_set();
	if (!dlist_is_empty(&ready_watches))
		timeout_ms = 0;
	ModifyWaitEvent(wait_set, WAIT_LATCH_POS, WL_LATCH_SET, latch);
	count = WaitEventSetWait(wait_set, timeout_ms, wait_events, wait_capacity,
							 PG_WAIT_EXTENSION);
	for (int i = 0; i < count; i++)
		if (wait_events[i].user_data != NULL)
			queue_watch(wait_events[i].user_data, wait_events[i].events);
	while (!dlist_is_empty(&ready_watches))
	{
		dlist_node *node = dlist_pop_head_node(&ready_watches);
		CallWatch  *watch = dlist_container(CallWatch, ready_node, node);

		watch->queued = false;
		watch->ready(watch, watch->seen);
	}
}

static void
begin_committed(void)
{
	while (!dlist_is_empty(&committed))
	{
		Call	   *call = dlist_container(Call, node,
										   dlist_pop_head_node(&committed));

		/* Should begin() raise, the deadline ends the call. */
		dlist_push_tail(&running, &call->node);
		call->started_us = call_clock_us();
		call->deadline_us = call->started_us +
			call->timeout_ms * INT64CONST(1000);
		call->transport->begin(call);
	}
}

/* Ends what is out of time.  Returns when the next deadline is. */
static int64
run_timers(int64 now_us)
{
	int64		next_us = PG_INT64_MAX;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &running)
	{
		Call	   *call = dlist_container(Call, node, iter.cur);
		char		message[80];

		if (call->deadline_us > now_us)
		{
			next_us = Min(next_us, call->deadline_us);
			continue;
		}
		snprintf(message, sizeof(message),
				 call->sent ? "no answer within %d ms" :
				 "could not be sent within %d ms", call->timeout_ms);
		call_give_up(call, message);
	}
	for (int i = 0; i < SERVER_KINDS; i++)
	{
		int64		due_us = PG_INT64_MAX;

		if (call_transports[i] != NULL)
			due_us = call_transports[i]->timers(now_us);
		next_us = Min(next_us, due_us);
	}
	return next_us;
}

void
call_wait(long timeout_ms)
{
	int64		now_us;
	int64		next_us;

	Assert(call_context != NULL);
	Assert(!IsTransactionState());

	/*
	 * The last one could not be made.  Deadlines may give a descriptor back,
	 * and new calls would take it away.
	 */
	if (wait_set == NULL)
	{
		(void) run_timers(call_clock_us());
		make_wait_set();
	}
	begin_committed();

	/*
	 * First take what has come.  It may have come in time while the caller
	 * was busy; and PostgreSQL 15 does not look at the sockets at all while
	 * the latch is set, which in a busy database is always.
	 */
	if (watch_count > 0)
		wait_and_step(NULL, 0);
	now_us = call_clock_us();
	next_us = run_timers(now_us);
	if (!dlist_is_empty(&finished))
		timeout_ms = 0;
	else if (next_us != PG_INT64_MAX)
	{
		int64		until_ms = (next_us - now_us + 999) / 1000;

		if (timeout_ms < 0 || timeout_ms > until_ms)
			timeout_ms = (long) until_ms;
	}
	wait_and_step(MyLatch, Min(timeout_ms, INT_MAX));
}
