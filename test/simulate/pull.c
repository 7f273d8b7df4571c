/*-------------------------------------------------------------------------
 *
 * pull.c
 *	  Two workers of an application: claim, extend the lease, call the
 *	  provider, complete.
 *
 * They are clients: a commit of theirs can succeed without their being told,
 * they can stop for longer than their lease and go on, and they outlive a
 * restore of the database.  A token names one attempt for ever.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "simulate.h"

#define POLL		(5 * US_PER_MIN)
#define LONG_PAUSE	(20 * US_PER_MIN)
#define SHORT_PAUSE (30 * US_PER_S)

/* Towards a provider that forgets: send this soon after the claim, or not. */
#define SEND_WITHIN (12 * US_PER_S)

static bool
forgets_memos(const World *w, int op)
{
	return w->servers[w->truth[op].server].policy.memo_retention > 0;
}

static void
forget_work(World *w, Puller *p)
{
	p->generation++;
	p->stage = PULL_IDLE;
	p->tries = 0;
	p->wakes_at = w->now + (int64_t) pick(w, US_PER_S);
}

static void
go_on_in(World *w, Puller *p, int64_t us)
{
	int64_t		wait = (int64_t) pick(w, (uint64_t) us);

	if (fault(w, F_PULLER_PAUSED))
	{
		wait += (int64_t) pick(w, forgets_memos(w, p->op) ? SHORT_PAUSE :
							   LONG_PAUSE);
		TRACE(w, "puller %d: stopped until %lld ms later",
			  (int) (p - w->pullers), (long long) (wait / 1000));
	}
	p->wakes_at = w->now + wait;
}

/* ---- claim ------------------------------------------------------------ */

static int
choose(World *w)
{
	int			first = (int) pick(w, OPS);
	int			k;

	for (k = 0; k < w->ops; k++)
	{
		int			op = (first + k) % w->ops;
		const Row  *row = &w->db.rows[op];

		if (row->exists && w->servers[w->truth[op].server].pull &&
			(row->facts.state == OP_HELD ||
			 row->facts.state == OP_RETRY_WAIT ||
			 row->facts.state == OP_IN_DOUBT) &&
			row->facts.next_try <= our_clock(w))
			return op;
	}
	return -1;
}

static void
take(World *w, Puller *p, int op, const Row *row)
{
	p->stage = PULL_CLAIMED;
	p->op = (uint8_t) op;
	p->verb = row->last_verb;
	p->attempt = row->last_attempt;
	p->memo = row->memo;
	p->token = row->token;
	p->not_after = row->facts.not_after;
	p->claimed_at = w->now;
	p->lease_until = row->facts.next_try;
	TRACE(w, "puller %d: claimed op %d, token %llu, %s",
		  (int) (p - w->pullers), op, (unsigned long long) p->token,
		  verb_word(p->verb));
	go_on_in(w, p, US_PER_S);
}

static void
claim(World *w, Puller *p)
{
	OpEvent		event = {.kind = OP_EV_CLAIM,.lease = LEASE};
	int64_t		due = db_next_due(w, true);
	int			op = db_adopted(w) ? choose(w) : -1;
	Db			tx;
	OpStep		step;

	p->wakes_at = w->now + POLL;
	if (due > w->now && due < p->wakes_at)
		p->wakes_at = due;
	if (op < 0)
		return;
	tx = w->db;
	step = db_step(w, &tx, op, &event, 0);
	if (db_commit(w, &tx, (step.actions & OP_DO_NEW_ATTEMPT) != 0) !=
		TX_COMMITTED)
		p->wakes_at = w->now + US_PER_S;
	else if ((step.actions & OP_DO_SEND_ANY) == 0)
		p->wakes_at = w->now + US_PER_S;
	else if (fault(w, F_COMMIT_UNKNOWN))
		TRACE(w, "puller %d: is not told of its claim",
			  (int) (p - w->pullers));
	else
		take(w, p, op, &tx.rows[op]);
}

/* ---- the lease -------------------------------------------------------- */

/* Does the row say that this attempt is the one that is out? */
static bool
holds_lease(const Row *row, uint64_t token)
{
	return (row->facts.state == OP_IN_FLIGHT ||
			row->facts.state == OP_FENCING) && row->token == token;
}

/* extend_lease(): false if the lease is another's, or nobody's. */
static bool
extend(World *w, Puller *p)
{
	Db			tx = w->db;
	Row		   *row = &tx.rows[p->op];

	if (!row->exists || !holds_lease(row, p->token))
		return false;
	row->facts.next_try = our_clock(w) + LEASE;
	if (row->token != p->token)
		judge_fails(w, p->op, "an old token extends the lease of another");
	if (db_commit(w, &tx, false) == TX_COMMITTED &&
		!fault(w, F_COMMIT_UNKNOWN))
		p->lease_until = row->facts.next_try;
	TRACE(w, "puller %d: extends its lease of op %d",
		  (int) (p - w->pullers), p->op);
	return true;
}

/* ---- call ------------------------------------------------------------- */

static void
set_outcome(World *w, Puller *p, OpEventKind kind)
{
	memset(&p->outcome, 0, sizeof(p->outcome));
	p->outcome.kind = kind;
	p->outcome.verb = (OpVerb) p->verb;
	p->stage = PULL_ANSWERED;
	p->tries = 0;
	go_on_in(w, p, US_PER_S);
}

static bool
may_send(World *w, Puller *p)
{
	if (forgets_memos(w, p->op) && w->now > p->claimed_at + SEND_WITHIN)
		return false;
	if (p->verb != OP_VERB_LOOKUP && our_clock(w) >= p->lease_until)
		return fault(w, F_PULLER_FORGETS_LEASE);
	return true;
}

static void
call(World *w, Puller *p)
{
	Message		request = {
		.verb = p->verb,
		.op = p->op,
		.puller = (int8_t) (p - w->pullers),
		.generation = p->generation,
		.attempt = p->attempt,
		.memo = p->memo,
		.token = p->token,
		.not_after = p->not_after
	};

	if (p->verb != OP_VERB_LOOKUP && chance(w, 300) && !extend(w, p) &&
		!fault(w, F_PULLER_FORGETS_LEASE))
	{
		TRACE(w, "puller %d: has lost op %d", (int) (p - w->pullers), p->op);
		forget_work(w, p);
		return;
	}
	if (!may_send(w, p) || fault(w, F_NOT_SENT))
	{
		set_outcome(w, p, OP_EV_NOT_SENT);	/* release() */
		return;
	}
	p->stage = PULL_WAITING;
	p->deadline = p->wakes_at = w->now + TIMEOUT;
	network_send(w, &request);
}

/* complete(), in_doubt() and release(), with the token of the claim. */
static void
complete(World *w, Puller *p)
{
	OpEvent		event = p->outcome;
	Db			tx = w->db;

	if (!tx.rows[p->op].exists)
	{
		forget_work(w, p);		/* a restore has forgotten it */
		return;
	}
	(void) db_step(w, &tx, p->op, &event, p->token);
	if (db_commit(w, &tx, true) == TX_COMMITTED &&
		!fault(w, F_COMMIT_UNKNOWN))
		forget_work(w, p);
	else if (++p->tries >= 5 && !w->calm)
		forget_work(w, p);
	else
		go_on_in(w, p, 5 * US_PER_S);
}

void
pull_act(World *w, int k)
{
	Puller	   *p = &w->pullers[k];

	if (p->stage != PULL_IDLE && fault(w, F_PULLER_DIES))
	{
		TRACE(w, "puller %d: dies", k);
		forget_work(w, p);
		return;
	}
	switch (p->stage)
	{
		case PULL_IDLE:
			claim(w, p);
			break;
		case PULL_CLAIMED:
			call(w, p);
			break;
		case PULL_WAITING:
			set_outcome(w, p, OP_EV_AMBIGUOUS);
			break;
		case PULL_ANSWERED:
			complete(w, p);
			break;
	}
}

/* An answer that nobody waits for any more is reported all the same. */
static void
report_late(World *w, const Message *m)
{
	OpEvent		event = {.kind = m->answer,.verb = (OpVerb) m->verb};
	Db			tx = w->db;

	event.memo_matches = m->memo_matches;
	if (!tx.rows[m->op].exists)
		return;
	(void) db_step(w, &tx, m->op, &event, m->token);
	(void) db_commit(w, &tx, true);
}

void
pull_reply(World *w, const Message *m)
{
	Puller	   *p = &w->pullers[m->puller];

	if (p->stage != PULL_WAITING || p->generation != m->generation ||
		p->token != m->token)
	{
		if (chance(w, 500))
			report_late(w, m);
		return;
	}
	set_outcome(w, p, m->answer);
	p->outcome.memo_matches = m->memo_matches;
}

/* Something was committed: look whether there is work. */
void
pull_wake(World *w)
{
	int			k;
	int64_t		soon = w->now + 20 * US_PER_MS;

	for (k = 0; k < PULLERS; k++)
		if (w->pullers[k].stage == PULL_IDLE &&
			w->pullers[k].wakes_at > soon &&
			db_next_due(w, true) < w->pullers[k].wakes_at)
			w->pullers[k].wakes_at = db_next_due(w, true) > soon ?
				db_next_due(w, true) : soon;
}

/* Does a worker hold a claim, old or new, that it may still send? */
bool
pull_busy_with(const World *w, int op)
{
	int			k;

	for (k = 0; k < PULLERS; k++)
		if (w->pullers[k].stage != PULL_IDLE && w->pullers[k].op == op)
			return true;
	return false;
}
