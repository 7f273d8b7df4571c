/*-------------------------------------------------------------------------
 *
 * people.c
 *	  Who submits, cancels, resolves and adopts.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "simulate.h"

/* The same parameters, the same memo, also in another incarnation. */
uint64_t
people_memo(int op)
{
	return 1000 * (uint64_t) (op + 1);
}

static void
again(World *w, OccasionKind kind, int op)
{
	plan(w, w->now + US_PER_S + (int64_t) pick(w, 30 * US_PER_S), kind, op);
}

/*
 * The application repeats a call it does not know the outcome of, under the
 * same nonce, or gives up without knowing it.
 */
void
people_submit(World *w, int op)
{
	Truth	   *truth = &w->truth[op];
	Db			tx = w->db;
	TxEnd		end;

	if (!truth->wanted)
		return;
	if (w->db.rows[op].exists)
	{
		truth->known = true;	/* replayed */
		return;
	}
	if (!db_adopted(w))
	{
		again(w, WHEN_SUBMIT, op);	/* TL010 */
		return;
	}
	db_submit(w, &tx, op);
	end = db_commit(w, &tx, true);
	if (end == TX_COMMITTED && !fault(w, F_COMMIT_UNKNOWN))
		truth->known = true;
	else if (chance(w, 850))
		again(w, WHEN_SUBMIT, op);
	else
		truth->wanted = false;
}

void
people_cancel(World *w, int op)
{
	OpEvent		event = {.kind = OP_EV_CANCEL_REQUEST};
	Db			tx = w->db;

	if (!tx.rows[op].exists)
		return;
	(void) db_step(w, &tx, op, &event, 0);
	if (db_commit(w, &tx, true) != TX_COMMITTED && chance(w, 500))
		again(w, WHEN_CANCEL, op);
}

/* ---- resolve ---------------------------------------------------------- */

/*
 * Somebody looks into the remote's books and decides.  hasty: without making
 * sure that nothing of it is still on its way.
 */
void
people_resolve(World *w, int op, bool hasty)
{
	OpEvent		event = {.kind = OP_EV_RESOLVE_NOT_EXECUTED};
	Row		   *row = &w->db.rows[op];
	Db			tx = w->db;
	OpStep		step;

	if (!row->exists || (row->facts.state != OP_IN_DOUBT &&
						 row->facts.state != OP_CONFLICT))
		return;
	if (w->truth[op].effects > 0)
		event.kind = OP_EV_RESOLVE_EXECUTED;
	else
		w->truth[op].hasty |= hasty;
	step = db_step(w, &tx, op, &event, 0);
	if (!step.legal || !operation_state_is_terminal(step.state))
		judge_fails(w, op, "resolve does not end it");
	if (db_commit(w, &tx, true) == TX_COMMITTED)
		tally.resolved++;
}

/* ---- after a restore -------------------------------------------------- */

/*
 * The remote's list of what it executed, against our rows: finds what a copy
 * from an abandoned branch of history has refunded.
 */
void
people_compare(World *w, int op)
{
	OpEvent		event = {.kind = OP_EV_RECONCILED_EXECUTED};
	const Entry *entry = remote_entry(w, w->truth[op].server,
									  people_memo(op));
	Db			tx = w->db;

	if (entry == NULL || entry->stored != OP_EV_REPLY_EXECUTED ||
		tx.rows[op].facts.state != OP_REFUNDED)
		return;
	event.memo_matches = true;
	(void) db_step(w, &tx, op, &event, 0);
	(void) db_commit(w, &tx, true);
}

/*
 * What the copy has no row of.  Where the remote knows its memos for ever the
 * application may ask again; elsewhere nobody may, and docs/proof.md says so.
 */
void
people_after_restore(World *w, const Db *before)
{
	int			i;

	for (i = 0; i < w->ops; i++)
	{
		Truth	   *truth = &w->truth[i];
		OpPolicy   *policy = &w->servers[truth->server].policy;

		if (w->db.rows[i].facts.state == OP_REFUNDED &&
			before->rows[i].facts.state != OP_REFUNDED)
			truth->undone = true;
		if (w->db.rows[i].exists || !before->rows[i].exists)
			continue;
		TRACE(w, "op %d: the copy knows nothing of it", i);
		tally.forgotten++;
		truth->forgotten = true;
		truth->known = false;
		truth->wanted = policy->honours_memo &&
			policy->memo_retention == 0 && chance(w, 700);
		if (truth->wanted)
			again(w, WHEN_SUBMIT, i);
	}
	plan(w, w->now + US_PER_S + (int64_t) pick(w, 10 * US_PER_MIN),
		 WHEN_ADOPTION, 0);
}

/* Has no request of it left, and can none leave any more? */
static bool
surely_never_sent(const World *w, int op)
{
	return w->truth[op].left == 0 && !w->truth[op].forgotten &&
		!pull_busy_with(w, op) && !worker_busy_with(w, op);
}

static OpEvent
reconcile(World *w, int op)
{
	const Server *s = &w->servers[w->truth[op].server];
	const Entry *entry = remote_entry(w, w->truth[op].server,
									  w->db.rows[op].memo);
	OpEvent		event = {.kind = OP_EV_RECONCILED_UNKNOWN};

	event.memo_matches = true;
	if (chance(w, 500))
		return event;			/* adopt_instance() asks nobody */
	if (surely_never_sent(w, op))
		event.kind = OP_EV_RECONCILED_NEVER_SENT;
	else if (!s->policy.can_lookup || entry == NULL)
		return event;
	else if (entry->stored == OP_EV_REPLY_EXECUTED)
		event.kind = OP_EV_RECONCILED_EXECUTED;
	else
	{
		event.kind = OP_EV_RECONCILED_FENCED;
		event.stored = entry->stored == OP_EV_REPLY_REJECTED ?
			OP_REASON_REJECTED : entry->stored == OP_EV_REPLY_EXPIRED ?
			OP_REASON_EXPIRED : OP_REASON_NONE;
	}
	return event;
}

/* Every operation that has not ended, in one transaction. */
void
people_adopt(World *w)
{
	Db			tx = w->db;
	int			i;

	if (db_adopted(w))
		return;
	TRACE(w, "the instance is adopted");
	tx.incarnation = w->incarnation;
	for (i = 0; i < w->ops; i++)
	{
		OpEvent		changed = {.kind = OP_EV_INCARNATION_CHANGED};
		OpEvent		found;

		if (!tx.rows[i].exists || db_ended(&tx.rows[i]))
			continue;
		(void) db_step(w, &tx, i, &changed, 0);
		found = reconcile(w, i);
		(void) db_step(w, &tx, i, &found, 0);
	}
	if (db_commit(w, &tx, true) == TX_COMMITTED)
		return;
	if (!db_adopted(w))
		again(w, WHEN_ADOPTION, 0);
}
