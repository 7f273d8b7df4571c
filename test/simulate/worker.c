/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The worker that sends by itself, and looks after leases and queues.
 *
 * As in src/claim.c and src/outcome.c: what is due is claimed in one
 * transaction, flushed, and sent after that; each outcome is recorded in a
 * transaction of its own, which need not be flushed if the same answer can be
 * had again.  What the worker knows beyond the rows dies with it.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "simulate.h"

#define POLL	(5 * US_PER_MIN)

/* A new process, which knows nothing. */
void
worker_start(World *w, int64_t after)
{
	w->generation++;
	memset(w->flights, 0, sizeof(w->flights));
	w->worker_is_new = true;
	w->worker_at = w->now + after;
}

static bool
is_mine(const World *w, int op)
{
	return w->db.rows[op].exists && !w->servers[w->truth[op].server].pull;
}

static bool
is_due(const World *w, const Row *row)
{
	return row->exists && row->facts.next_try <= our_clock(w);
}

bool
worker_busy_with(const World *w, int op)
{
	int			i;

	for (i = 0; i < FLIGHTS; i++)
		if (w->flights[i].used && w->flights[i].op == op)
			return true;
	return false;
}

/* ---- recording -------------------------------------------------------- */

/* Would a crash that takes this back lead to the same end again? */
static bool
is_found_again(const OpStep *step, const OpEvent *event)
{
	return (step->actions & OP_DO_RELEASE) == 0 ||
		event->kind == OP_EV_TICK ||
		(event->kind >= OP_EV_REPLY_EXECUTED &&
		 event->kind <= OP_EV_REPLY_EXPIRED);
}

static TxEnd
record(World *w, int op, OpEvent *event, uint64_t token)
{
	Db			tx = w->db;
	OpStep		step;

	if (!tx.rows[op].exists)
		return TX_COMMITTED;
	step = db_step(w, &tx, op, event, token);
	return db_commit(w, &tx, !is_found_again(&step, event));
}

static TxEnd
record_kind(World *w, int op, OpEventKind kind, uint64_t token)
{
	OpEvent		event = {.kind = kind};

	return record(w, op, &event, token);
}

/* False if the server crashed. */
static bool
record_flights(World *w)
{
	int			i;

	for (i = 0; i < FLIGHTS; i++)
	{
		Flight	   *f = &w->flights[i];
		OpEvent		event = f->outcome;
		TxEnd		end;

		if (!f->used || (!f->answered && f->deadline > w->now))
			continue;
		if (!f->answered)
		{
			memset(&event, 0, sizeof(event));
			event.kind = OP_EV_AMBIGUOUS;
			event.verb = (OpVerb) f->verb;
		}
		if (db_crash_point(w, "reply read, not recorded"))
			return false;
		end = record(w, f->op, &event, f->token);
		if (end == TX_CRASHED)
			return false;
		f->used = end == TX_FAILED;
	}
	return true;
}

/* A worker is the only one: what is out when it starts has no owner. */
static bool
take_stock(World *w)
{
	int			i;

	for (i = 0; i < w->ops; i++)
	{
		Row		   *row = &w->db.rows[i];
		bool		out = row->facts.state == OP_IN_FLIGHT ||
			row->facts.state == OP_FENCING ||
			row->facts.state == OP_IN_DOUBT;
		TxEnd		end = TX_COMMITTED;

		if (is_mine(w, i) && out && row->last_open)
			end = record_kind(w, i, OP_EV_WORKER_LOST, row->token);
		if (end == TX_CRASHED)
			return false;
		if (end == TX_FAILED)
			return true;		/* new as before: once more */
	}
	w->worker_is_new = false;
	return true;
}

/*
 * When time alone may change a row that others claim, by our clock: a lease
 * runs out, or a deadline passes with nobody there to claim it.
 */
static int64_t
tick_at(const Row *row)
{
	const OpFacts *facts = &row->facts;

	switch (facts->state)
	{
		case OP_IN_FLIGHT:
		case OP_FENCING:
			return facts->next_try;
		case OP_STASHED:
		case OP_HELD:
		case OP_RETRY_WAIT:
			return facts->next_try > facts->not_after ?
				facts->next_try : facts->not_after;
		case OP_IN_DOUBT:
		case OP_CONFLICT:
		case OP_QUARANTINED:
		case OP_SETTLED:
		case OP_REFUNDED:
			break;
	}
	return OP_NEVER;
}

/* Leases of pull workers, and whose turn it is.  False: crashed. */
static bool
look_after_rows(World *w)
{
	int			i;

	for (i = 0; i < w->ops; i++)
	{
		Row		   *row = &w->db.rows[i];
		TxEnd		end = TX_COMMITTED;

		if (!row->exists || db_ended(row))
			continue;
		if (row->facts.state == OP_STASHED &&
			!db_predecessor_open(w, &w->db, i))
			end = record_kind(w, i, OP_EV_PREDECESSOR_ENDED, 0);
		else if ((!is_mine(w, i) && tick_at(row) <= our_clock(w)) ||
				 (!w->calm && chance(w, 20)))
			end = record_kind(w, i, OP_EV_TICK, 0);
		if (end == TX_CRASHED)
			return false;
	}
	return true;
}

/* ---- sending ---------------------------------------------------------- */

static Flight *
new_flight(World *w)
{
	int			i;

	for (i = 0; i < FLIGHTS; i++)
		if (!w->flights[i].used)
		{
			memset(&w->flights[i], 0, sizeof(Flight));
			w->flights[i].used = true;
			return &w->flights[i];
		}
	return NULL;
}

/* False if the server crashed. */
static bool
send_claimed(World *w, int op, const Row *row)
{
	Message		request = {
		.verb = row->last_verb,
		.op = (uint8_t) op,
		.puller = -1,
		.generation = w->generation,
		.attempt = row->last_attempt,
		.memo = row->memo,
		.token = row->token,
		.not_after = row->facts.not_after
	};
	Flight	   *f = new_flight(w);

	if (f == NULL)
		return true;			/* no room: this attempt counts as lost */
	f->op = (uint8_t) op;
	f->verb = row->last_verb;
	f->attempt = row->last_attempt;
	f->token = row->token;
	f->deadline = w->now + TIMEOUT;
	if (fault(w, F_NOT_SENT))
	{
		TRACE(w, "op %d: no connection, not sent", op);
		f->answered = true;
		f->outcome.kind = OP_EV_NOT_SENT;
		f->outcome.verb = (OpVerb) f->verb;
		return true;
	}
	if (db_crash_point(w, "attempt claimed, nothing sent"))
		return false;
	network_send(w, &request);
	return !db_crash_point(w, "sent");
}

static void
claim_due(World *w)
{
	Db			tx = w->db;
	bool		flush = false;
	bool		any = false;
	bool		sends[OPS] = {false};
	TxEnd		end;
	int			i;

	for (i = 0; i < w->ops; i++)
	{
		OpEvent		event = {.kind = OP_EV_CLAIM};
		OpStep		step;

		event.lease = 2 * TIMEOUT + 35 * US_PER_S;
		if (!is_mine(w, i) || !is_due(w, &tx.rows[i]))
			continue;
		step = db_step(w, &tx, i, &event, 0);
		any = true;
		sends[i] = (step.actions & OP_DO_SEND_ANY) != 0;
		flush |= (step.actions & OP_DO_NEW_ATTEMPT) != 0;
	}
	if (!any)
		return;
	end = db_commit(w, &tx, flush);
	for (i = 0; end == TX_COMMITTED && i < w->ops; i++)
		if (sends[i] && !send_claimed(w, i, &tx.rows[i]))
			return;
}

/* ---- the round -------------------------------------------------------- */

static void
set_alarm(World *w)
{
	int64_t		at = w->now + POLL;
	int64_t		due = db_next_due(w, false);
	int			i;

	at = due < at ? due : at;
	for (i = 0; i < FLIGHTS; i++)
		if (w->flights[i].used && w->flights[i].answered)
			at = w->now;
		else if (w->flights[i].used && w->flights[i].deadline < at)
			at = w->flights[i].deadline;
	for (i = 0; i < w->ops; i++)
	{
		const Row  *row = &w->db.rows[i];
		int64_t		tick = OP_NEVER;

		if (row->exists && row->facts.state == OP_STASHED &&
			!db_predecessor_open(w, &w->db, i))
			at = w->now;
		else if (row->exists && !is_mine(w, i))
			tick = tick_at(row);
		if (tick != OP_NEVER && tick - w->offset < at)
			at = tick - w->offset;
	}
	w->worker_at = at > w->now + 50 * US_PER_MS ? at :
		w->now + 50 * US_PER_MS;
}

/* Not adopted: nothing is sent, and what it looks like is not believed. */
static bool
rest(World *w)
{
	int			i;

	for (i = 0; i < w->ops; i++)
		if (w->db.rows[i].exists && chance(w, 300) &&
			record_kind(w, i, OP_EV_TICK, 0) == TX_CRASHED)
			return false;
	w->worker_at = w->now + 10 * US_PER_S;
	return true;
}

void
worker_round(World *w)
{
	if (fault(w, F_WORKER_KILLED))
	{
		TRACE(w, "the worker is killed");
		worker_start(w, 2 * US_PER_S);
		return;
	}
	if (!db_adopted(w))
	{
		(void) rest(w);
		return;
	}
	if (w->worker_is_new && !take_stock(w))
		return;
	if (!record_flights(w) || !look_after_rows(w))
		return;
	w->worker_at = OP_NEVER;
	claim_due(w);
	if (w->worker_is_new && w->worker_at != OP_NEVER)
		return;					/* crashed, and a new one is on its way */
	set_alarm(w);
}

/*
 * A reply is recorded also where nobody waits for it any more: the function
 * has to know a late one by itself.
 */
void
worker_reply(World *w, const Message *m)
{
	Flight	   *f = NULL;
	int			i;

	if (m->generation != w->generation)
		return;
	for (i = 0; i < FLIGHTS; i++)
		if (w->flights[i].used && w->flights[i].token == m->token)
			f = &w->flights[i];
	if (f != NULL && f->answered)
		f = NULL;				/* a second answer, for itself */
	if (f == NULL)
		f = new_flight(w);
	if (f == NULL)
		return;
	f->op = m->op;
	f->verb = m->verb;
	f->attempt = m->attempt;
	f->token = m->token;
	f->answered = true;
	f->outcome.kind = m->answer;
	f->outcome.verb = (OpVerb) m->verb;
	f->outcome.memo_matches = m->memo_matches;
	f->outcome.retry_after = m->answer == OP_EV_NOT_EXECUTED ?
		(int64_t) pick(w, 5) * US_PER_S : 0;
	w->worker_at = w->now;
}
