/*-------------------------------------------------------------------------
 *
 * judge.c
 *	  What must be true at any moment, and when all has come to rest.
 *
 * The judge sees both ends, which nobody else does.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "simulate.h"

/* The first one counts; what comes after it is a consequence. */
void
judge_fails(World *w, int op, const char *rule)
{
	TRACE(w, "BROKEN, op %d: %s", op, rule);
	if (w->failure != NULL)
		return;
	w->failure = rule;
	w->failed_op = op;
}

/*
 * A person has decided before everything had come to rest, or a restore has
 * forgotten that the operation was ever there, or has brought back a refund
 * that a promotion had undone: then our rows alone cannot know.
 */
static bool
is_excused(const World *w, int op)
{
	return w->truth[op].hasty || w->truth[op].forgotten ||
		w->truth[op].undone;
}

/* ---- at any moment ---------------------------------------------------- */

void
judge_step(World *w, int op, const Row *before, const OpStep *step,
		   const OpEvent *event)
{
	int			effects = w->truth[op].effects;
	bool		resolve = event->kind == OP_EV_RESOLVE_EXECUTED ||
		event->kind == OP_EV_RESOLVE_NOT_EXECUTED;

	if ((step->actions & OP_DO_RELEASE) && effects > 0 &&
		!is_excused(w, op))
		judge_fails(w, op, "refunded what was executed");
	if ((step->actions & OP_DO_CAPTURE) && effects == 0)
		judge_fails(w, op, "settled what was not executed");
	if (db_ended(before) && step->state != before->facts.state)
		judge_fails(w, op, "an operation ends twice");
	if (before->facts.state == OP_CONFLICT && !resolve &&
		step->state != OP_CONFLICT &&
		event->kind != OP_EV_INCARNATION_CHANGED)
		judge_fails(w, op, "a conflict is over without a person");
	if ((step->actions & OP_DO_SEND_EXECUTE) &&
		w->db.incarnation != w->incarnation)
		judge_fails(w, op, "sent by an instance that was not adopted");
	if (before->facts.state == OP_REFUNDED &&
		event->kind == OP_EV_REPLY_EXECUTED && event->memo_matches &&
		(step->actions & OP_DO_FINDING) == 0)
		judge_fails(w, op, "executed after a refund, and no finding");
}

/* The remote has just executed it. */
void
judge_effect(World *w, int op)
{
	const Row  *row = &w->db.rows[op];

	if (w->truth[op].effects > 1)
		judge_fails(w, op, "executed twice");
	if (row->exists && row->facts.state == OP_REFUNDED && !is_excused(w, op))
		judge_fails(w, op, "executed what was refunded");
}

/* Bytes leave. */
void
judge_departure(World *w, const Message *m)
{
	Truth	   *truth = &w->truth[m->op];

	if (m->verb != OP_VERB_EXECUTE)
		return;
	truth->left++;
	if (!remote_honours(w, m->op) && truth->left - truth->taken_back > 1)
		judge_fails(w, m->op, "a second attempt at a remote without memos");
	if (m->puller < 0 && db_predecessor_open(w, &w->db, m->op))
		judge_fails(w, m->op, "sent while it is not its turn");
}

/* ---- at the end ------------------------------------------------------- */

/* Could a lookup or a fence still say what happened? */
bool
judge_could_be_told(const World *w, int op)
{
	const Server *s = &w->servers[w->truth[op].server];
	const OpPolicy *p = &s->policy;
	const Entry *entry = remote_entry(w, w->truth[op].server,
									  people_memo(op));

	if (p->can_fence && p->honours_memo && p->memo_retention == 0)
		return true;
	if (!p->can_lookup || entry == NULL)
		return false;
	if (entry->stored == OP_EV_REPLY_EXECUTED)
		return true;
	return p->honours_memo && (entry->stored != OP_EV_REPLY_CANCELLED ||
							   p->memo_retention == 0);
}

static void
judge_row(World *w, int op)
{
	const Truth *truth = &w->truth[op];
	const Row  *row = &w->db.rows[op];
	bool		settled = row->facts.state == OP_SETTLED;

	if (!row->exists)
	{
		if (truth->effects > 0 && !truth->forgotten)
			judge_fails(w, op, "executed what was never submitted");
		return;
	}
	if (!db_ended(row))
		judge_fails(w, op, "it does not end");
	if (settled && truth->effects != 1)
		judge_fails(w, op, "settled, and not executed once");
	if (!settled && truth->effects > 0 && !truth->forgotten &&
		row->audits == 0 && row->findings == 0 &&
		(!truth->undone ||
		 remote_entry(w, truth->server, people_memo(op)) != NULL))
		judge_fails(w, op, "refunded and executed, and nobody was told");
	if (row->hold != (settled ? HOLD_CAPTURED : HOLD_RELEASED))
		judge_fails(w, op, "its hold is still there");
	if (row->continuations != 1)
		judge_fails(w, op, "not one continuation");
	if (row->findings > 0 && !truth->mixed && !truth->hasty &&
		w->incarnation == 1)
		judge_fails(w, op, "a finding without a cause");
	tally.settled += settled;
	tally.refunded += !settled;
	tally.conflicts += truth->mixed;
}

/* Each server's own books against the account that mirrors it. */
static void
judge_books(World *w)
{
	int64_t		total = 0;
	int			i;

	for (i = 0; i < ACCOUNTS; i++)
	{
		total += w->db.customer[i];
		if (w->db.customer_held[i] != 0)
			judge_fails(w, 0, "money is held for nothing");
	}
	for (i = 0; i < SERVERS; i++)
	{
		int64_t		difference = w->servers[i].received -
			w->db.settlement[i];
		int			op;

		total += w->db.settlement[i];
		for (op = 0; op < w->ops; op++)
			if (w->truth[op].server == i && is_excused(w, op) &&
				w->db.rows[op].facts.state != OP_SETTLED)
				difference -= w->truth[op].effects * w->truth[op].amount;
		if (difference != 0)
			judge_fails(w, 0, "the remote has received something else");
	}
	if (total != 0)
		judge_fails(w, 0, "money was made or lost here");
}

void
judge_end(World *w)
{
	int			i;

	for (i = 0; i < w->ops; i++)
		judge_row(w, i);
	judge_books(w);
}
