/*-------------------------------------------------------------------------
 *
 * database.c
 *	  Our side: rows, commits that fail or get lost, crashes, a restore, and
 *	  the one place that asks operation_step() and does what it says.
 *
 * A transaction is a copy of the database.  A commit makes the copy the
 * database that others see; a flush makes it the one that a crash leaves.  A
 * later flush covers all earlier commits, as the WAL does.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "simulate.h"

/* ---- reading ---------------------------------------------------------- */

bool
db_ended(const Row *row)
{
	return operation_state_is_terminal(row->facts.state);
}

bool
db_adopted(const World *w)
{
	return w->db.incarnation == w->incarnation;
}

/* Reentrancy `queue`: an earlier ticket of the account has not ended. */
bool
db_predecessor_open(const World *w, const Db *db, int op)
{
	int			account = w->truth[op].account;
	int			i;

	for (i = 0; w->queue[account] && i < w->ops; i++)
		if (i != op && w->truth[i].account == account &&
			db->rows[i].exists && !db_ended(&db->rows[i]) &&
			db->rows[i].ticket < db->rows[op].ticket)
			return true;
	return false;
}

/* When the next row of a pull server, or of another, is due: true time. */
int64_t
db_next_due(const World *w, bool pull)
{
	int64_t		next = OP_NEVER;
	int			i;

	for (i = 0; i < w->ops; i++)
	{
		const Row  *row = &w->db.rows[i];
		int64_t		due = row->facts.next_try;

		if (!row->exists || due == OP_NEVER ||
			w->servers[w->truth[i].server].pull != pull)
			continue;
		due -= w->offset;
		if (due < next)
			next = due;
	}
	return next;
}

/* ---- crashes ---------------------------------------------------------- */

static void
crash(World *w, const char *where)
{
	TRACE(w, "CRASH of the server: %s", where);
	tally.crashes++;
	w->crashes_left--;
	w->crash_in = 1 + (int) pick(w, 80);
	w->db = w->disk;
	worker_start(w, US_PER_S + (int64_t) pick(w, 9 * US_PER_S));
}

/* True if the server just went down; whoever called has lost its way. */
bool
db_crash_point(World *w, const char *where)
{
	if (w->calm || w->crashes_left == 0 || --w->crash_in > 0)
		return false;
	crash(w, where);
	return true;
}

/*
 * The server of an older copy of the rows takes over.  Who waited for answers
 * in the old one is gone; what is on the wire is not.
 */
void
db_restore(World *w, const Db *copy, const char *why)
{
	Db			older = *copy;
	Db			before = w->db;

	TRACE(w, "%s", why);
	tally.restores++;
	w->incarnation++;
	w->db = w->disk = w->standby = older;
	w->adoption_due = true;
	worker_start(w, US_PER_S);
	people_after_restore(w, &before);
}

/* ---- commit ----------------------------------------------------------- */

static void
to_disk(World *w)
{
	w->disk = w->db;
	if (!fault(w, F_STANDBY_LAGS))
		w->standby = w->disk;
}

/* flush: do not return before it is on disk. */
TxEnd
db_commit(World *w, const Db *tx, bool flush)
{
	if (db_crash_point(w, "before a commit"))
		return TX_CRASHED;
	if (fault(w, F_COMMIT_FAILS))
	{
		TRACE(w, "the commit fails");
		return TX_FAILED;
	}
	w->db = *tx;
	if (db_crash_point(w, "committed, not on disk"))
		return TX_CRASHED;
	if (flush || fault(w, F_WAL_WRITER))
		to_disk(w);
	w->worker_at = w->worker_at < w->now + US_PER_MS ?
		w->worker_at : w->now + US_PER_MS;
	pull_wake(w);
	return db_crash_point(w, "committed") ? TX_CRASHED : TX_COMMITTED;
}

/* ---- a step ----------------------------------------------------------- */

static OpPolicy
policy_now(World *w, const Db *tx, int op, const OpEvent *event)
{
	Server	   *server = &w->servers[w->truth[op].server];
	OpPolicy	policy = server->policy;

	policy.adopted = tx->incarnation == w->incarnation;
	policy.dispatch_enabled = policy.slot_free = true;
	policy.circuit_open = w->now < server->circuit_until;
	if (policy.circuit_open)
		policy.gate_opens_at = server->circuit_until + w->offset;
	if (event->kind == OP_EV_CLAIM && fault(w, F_GATE_CLOSED))
	{
		policy.dispatch_enabled = chance(w, 500);
		policy.slot_free = chance(w, 500);
		policy.circuit_open |= policy.slot_free;
	}
	return policy;
}

static void
move_money(World *w, Db *tx, int op, const OpStep *step)
{
	Truth	   *truth = &w->truth[op];
	Row		   *row = &tx->rows[op];

	if ((step->actions & (OP_DO_CAPTURE | OP_DO_RELEASE)) == 0)
		return;
	if (row->hold != HOLD_OPEN)
	{
		judge_fails(w, op, "a hold ends twice");
		return;
	}
	tx->customer_held[truth->account] -= truth->amount;
	if (step->actions & OP_DO_CAPTURE)
	{
		tx->customer[truth->account] -= truth->amount;
		tx->settlement[truth->server] += truth->amount;
		row->hold = HOLD_CAPTURED;
	}
	else
		row->hold = HOLD_RELEASED;
}

static void
write_row(Row *row, const OpStep *step)
{
	row->facts.state = step->state;
	row->facts.reason = step->reason;
	row->facts.dirty = step->dirty;
	row->facts.found_nothing = step->found_nothing;
	row->facts.attempts = step->attempts;
	row->facts.sends = step->sends;
	row->facts.rechecks = step->rechecks;
	row->facts.next_try = step->next_try;
	row->facts.first_sent_at = step->first_sent_at;
	if (step->actions & OP_DO_SET_CANCEL_REQUESTED)
		row->facts.cancel_requested = true;
}

static void
write_notes(World *w, Db *tx, int op, const OpStep *step)
{
	Server	   *server = &w->servers[w->truth[op].server];
	Row		   *row = &tx->rows[op];

	row->continuations += (step->actions & OP_DO_CONTINUE) != 0;
	row->findings += (step->actions & OP_DO_FINDING) != 0;
	row->audits += (step->actions & OP_DO_AUDIT) != 0;
	if (step->actions & OP_DO_OPEN_CIRCUIT)
		server->circuit_until = w->now + 30 * US_PER_S;
	if (step->actions & OP_DO_SEND_ANY)
	{
		row->last_attempt++;
		row->token = ++w->next_token;
		row->last_open = true;
		row->last_verb = step->actions & OP_DO_SEND_EXECUTE ? OP_VERB_EXECUTE :
			step->actions & OP_DO_SEND_LOOKUP ? OP_VERB_LOOKUP : OP_VERB_FENCE;
	}
}

static void
trace_step(const World *w, int op, const OpEvent *event, const OpStep *step)
{
	trace_line(w, "op %d: %s%s%s -> %s%s%s%s", op, event_word(event->kind),
			   event->current_attempt ? " (current)" : "",
			   event->memo_matches ? "" : " (no memo, or another)",
			   operation_state_name(step->state),
			   step->dirty ? ", dirty" : "",
			   step->legal ? "" : ", only noted",
			   step->actions & OP_DO_FINDING ? ", a finding" : "");
}

/*
 * One event for one row, inside the transaction tx.  token: of the attempt
 * that it is about; 0 if it is about none.
 */
OpStep
db_step(World *w, Db *tx, int op, OpEvent *event, uint64_t token)
{
	Row		   *row = &tx->rows[op];
	Row			before = *row;
	OpFacts		facts = row->facts;
	OpPolicy	policy = policy_now(w, tx, op, event);
	OpStep		step;

	facts.predecessor_open = db_predecessor_open(w, tx, op);
	if (facts.sends == 0)
		facts.first_sent_at = row->created_at;
	event->now = our_clock(w);
	event->jitter = (double) pick(w, 1000000) / 1e6;
	event->current_attempt = token != 0 && token == row->token;
	if (token != 0 && !event->current_attempt)
		tally.stale++;
	step = operation_step(&facts, &policy, event);
	if (event->current_attempt && event->kind != OP_EV_CLAIM)
		row->last_open = false;
	if (step.legal && !db_ended(&before))
	{
		write_row(row, &step);
		move_money(w, tx, op, &step);
	}
	write_notes(w, tx, op, &step);
	if (w->trace)
		trace_step(w, op, event, &step);
	judge_step(w, op, &before, &step, event);
	return step;
}

/* ---- phase 1 ---------------------------------------------------------- */

void
db_begin(World *w)
{
	memset(&w->db, 0, sizeof(w->db));
	w->db.incarnation = w->incarnation = 1;
	w->disk = w->standby = w->db;
}

/* withdraw(): the hold and the row, not yet committed. */
void
db_submit(World *w, Db *tx, int op)
{
	Truth	   *truth = &w->truth[op];
	Row		   *row = &tx->rows[op];
	int64_t		now = our_clock(w);
	OpStep		step;

	memset(row, 0, sizeof(*row));
	row->exists = true;
	row->ticket = ++tx->next_ticket;
	row->created_at = now;
	row->memo = people_memo(op);
	row->hold = HOLD_OPEN;
	tx->customer_held[truth->account] += truth->amount;
	row->facts.not_after = now + truth->lifetime;
	row->facts.expires_at = row->facts.not_after + MARGIN;
	row->facts.predecessor_open = db_predecessor_open(w, tx, op);
	step = operation_begin(&row->facts, now);
	write_row(row, &step);
	tally.stashed += step.state == OP_STASHED;
	TRACE(w, "op %d: submitted, %s", op, operation_state_name(step.state));
}
