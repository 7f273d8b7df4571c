/*-------------------------------------------------------------------------
 *
 * network.c
 *	  Requests and replies on their way: lost, doubled, late, out of order.
 *
 * A request to a remote without memos is not doubled: there, one attempt must
 * be one request (no connection is reused), which is not the transition
 * function's to promise.  Of two copies none is turned away at the door: the
 * refusal of one would prove nothing about the other.  A remote that forgets
 * memos gets no request later than a bound that is smaller than
 * teller.not_after_margin; see docs/proof.md.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "simulate.h"

#define SOON		(50 * US_PER_MS)
#define LATE_REPLY	(15 * US_PER_MIN)

static int64_t
travel_time(World *w, int64_t longest)
{
	int64_t		bound = fault(w, F_LATE) ? longest : SOON;

	return US_PER_MS + (int64_t) pick(w, (uint64_t) bound);
}

/* NULL if the wires are full; then it is lost like any other. */
static Message *
new_message(World *w, const Message *like)
{
	int			i;

	for (i = 0; i < MESSAGES; i++)
		if (!w->messages[i].used)
		{
			w->messages[i] = *like;
			w->messages[i].used = true;
			return &w->messages[i];
		}
	return NULL;
}

static void
travel(World *w, const Message *like, int64_t arrives)
{
	Message    *m = new_message(w, like);

	if (m != NULL)
		plan(w, arrives, WHEN_MESSAGE, (int) (m - w->messages));
}

/* The bytes leave.  What becomes of them, the sender does not see. */
void
network_send(World *w, const Message *request)
{
	Server	   *server = &w->servers[w->truth[request->op].server];
	Message		m = *request;

	judge_departure(w, request);
	m.is_reply = false;
	m.latest = w->now + server->longest_delay;
	TRACE(w, "op %d: %s leaves, attempt %u, memo %llu", m.op,
		  verb_word(m.verb), m.attempt, (unsigned long long) m.memo);
	if (fault(w, F_REQUEST_LOST))
	{
		TRACE(w, "op %d: it is lost", m.op);
		return;
	}
	m.doubled = server->policy.honours_memo && fault(w, F_REQUEST_DOUBLED);
	travel(w, &m, w->now + travel_time(w, server->longest_delay));
	if (m.doubled)
	{
		TRACE(w, "op %d: it is doubled", m.op);
		travel(w, &m, w->now + travel_time(w, server->longest_delay));
	}
}

static void
deliver(World *w, Message *m)
{
	TRACE(w, "op %d: %s is answered %s", m->op, verb_word(m->verb),
		  event_word(m->answer));
	if (m->puller >= 0)
		pull_reply(w, m);
	else
		worker_reply(w, m);
}

static void
reach_remote(World *w, const Message *request)
{
	Message		m = *request;
	bool		runs_later = false;

	remote_answer(w, &m, &runs_later);
	TRACE(w, "op %d: %s reached the remote: %s", m.op, verb_word(m.verb),
		  event_word(m.answer));
	if (runs_later && m.latest > w->now)
		travel(w, request, w->now + 1 +
			   (int64_t) pick(w, (uint64_t) (m.latest - w->now)));
	m.is_reply = true;
	if (!fault(w, F_REPLY_LOST))
		travel(w, &m, w->now + travel_time(w, LATE_REPLY));
	if (fault(w, F_REPLY_DOUBLED))
		travel(w, &m, w->now + travel_time(w, LATE_REPLY));
}

void
network_arrive(World *w, int index)
{
	Message		m = w->messages[index];

	w->messages[index].used = false;
	if (m.is_reply)
		deliver(w, &m);
	else
		reach_remote(w, &m);
}

/* Is anything of it on its way? */
bool
network_busy_with(const World *w, int op)
{
	int			i;

	for (i = 0; i < MESSAGES; i++)
		if (w->messages[i].used && w->messages[i].op == op)
			return true;
	return false;
}
