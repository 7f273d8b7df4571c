/*-------------------------------------------------------------------------
 *
 * operation_fsm.c
 *	  The transition function of an external operation.
 *
 * The table is in docs/operations.md.  Each event has one function here,
 * which goes through the states; what the table does not have ends in note().
 * What follows from the table and is easily broken:
 *
 * - Money goes back on proof only: a failure stored at the remote under our
 *	 memo, a refusal or the end of time while nothing of it can have run, or
 *	 the word of a person.  Time by itself proves nothing.
 *
 * - "dirty" is never cleared.  Nothing in the table turns doubt about an
 *	 attempt into certainty without ending the operation.
 *
 * - Only a claim sends.  An answer at most makes the next claim due, so the
 *	 switches, caps and circuits are asked in one place.
 *
 * - A remote that has dropped old memos can be fenced although it executed:
 *	 past the retention a tombstone is no proof, and no fence is sent.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "operation_fsm.h"

/* One step in the making: row starts as the facts and ends as the step. */
typedef struct Turn
{
	OpFacts		row;
	const OpPolicy *policy;
	const OpEvent *event;
	uint32_t	actions;
	bool		legal;
} Turn;

#define EARLIER(a, b)	((a) < (b) ? (a) : (b))
#define LATER(a, b)		((a) > (b) ? (a) : (b))

/* A far deadline plus a wait is OP_NEVER, not the past. */
static int64_t
time_plus(int64_t at, int64_t us)
{
	if (us <= 0)
		return at;
	return at > OP_NEVER - us ? OP_NEVER : at + us;
}

/* min(cap, base * 2^(n-1)) */
static int64_t
doubled(int64_t base, uint32_t n, int64_t cap)
{
	uint32_t	shift = n > 0 ? n - 1 : 0;

	if (base <= 0 || cap <= 0)
		return 0;
	return shift > 62 || base > (cap >> shift) ? cap : base << shift;
}

/*
 * After try n: uniform between now and the doubled base, so that callers who
 * failed together do not come back together ("full jitter", Brooker,
 * Exponential Backoff And Jitter, AWS Architecture Blog, 2015).  Not before
 * the remote asked to see us again.
 */
static int64_t
backoff_until(const Turn *t, uint32_t n, int64_t cap)
{
	int64_t		wait = doubled(t->policy->backoff_base, n, cap);
	double		jitter = t->event->jitter;

	if (!(jitter > 0.0))		/* also not a number */
		wait = 0;
	else if (jitter < 1.0)
		wait = (int64_t) (jitter * (double) wait);
	return time_plus(t->event->now, LATER(wait, t->event->retry_after));
}

/* In doubt, no look is further away than this. */
static int64_t
recheck_limit(const Turn *t)
{
	return time_plus(t->event->now, LATER(t->policy->recheck_max, 0));
}

/* How long the caller of a claim may be silent before it counts as lost. */
static int64_t
lease_ends_at(const Turn *t)
{
	int64_t		lease = t->event->lease > 0 ?
		t->event->lease : t->policy->attempt_timeout;

	return time_plus(t->event->now, LATER(lease, 1));
}

static bool
is_due(const Turn *t)
{
	return t->event->now >= t->row.next_try;
}

/* stashed, held, retry_wait: may be refunded or sent; not_after matters */
static bool
is_waiting(const Turn *t)
{
	return t->row.state == OP_STASHED || t->row.state == OP_HELD ||
		t->row.state == OP_RETRY_WAIT;
}

/* No attempt that we know of can have run. */
static bool
is_clean(const Turn *t)
{
	return !t->row.dirty && t->row.open_attempts == 0;
}

/*
 * No attempt at all can have run.  Before adoption another instance may have
 * sent this operation, whatever our rows say.
 */
static bool
surely_not_run(const Turn *t)
{
	return is_clean(t) && t->policy->adopted;
}

/*
 * The remote still has every memo that this operation can have left there.
 * The margin keeps us clear of its clock.
 */
static bool
inside_retention(const Turn *t)
{
	int64_t		retention = t->policy->memo_retention;
	int64_t		margin = t->policy->not_after_margin;

	return retention <= 0 || time_plus(t->event->now, margin) <
		time_plus(t->row.first_sent_at, retention);
}

/*
 * A stored failure proves that no execution was or will be stored under the
 * memo, if the remote goes by memos.  A tombstone proves it only while the
 * memo of an execution could not have been dropped before.
 */
static bool
stored_is_proof(const Turn *t, OpReason stored)
{
	return t->policy->honours_memo &&
		(stored != OP_REASON_CANCELLED || inside_retention(t));
}

/* A fence is asked only where its answer would be proof ... */
static bool
may_fence(const Turn *t)
{
	return t->policy->can_fence && stored_is_proof(t, OP_REASON_CANCELLED);
}

/* ... and there is a reason not to wait for the first attempts any longer. */
static bool
wants_fence(const Turn *t)
{
	return t->event->now >= t->row.expires_at ||
		t->row.cancel_requested || t->row.found_nothing;
}

/*
 * Whether one more execute attempt is allowed, switches and caps aside.  A
 * remote that does not honour memos gets one; after a cancel we would rather
 * fence than send again.
 */
static bool
may_send(const Turn *t)
{
	bool		again = t->row.sends > 0 || !is_clean(t);

	if (t->event->now >= t->row.not_after ||
		t->row.attempts >= t->policy->max_attempts)
		return false;
	if (again && !(t->policy->honours_memo && inside_retention(t)))
		return false;
	return !(t->row.cancel_requested && !is_clean(t) && may_fence(t));
}

static bool
gates_open(const Turn *t)
{
	return t->policy->dispatch_enabled && t->policy->adopted &&
		t->policy->slot_free && !t->policy->circuit_open;
}

/* Every pair that the table does not have. */
static void
note(Turn *t)
{
	t->actions |= OP_DO_NOTE;
	t->legal = false;
}

static void
settle(Turn *t)
{
	t->row.state = OP_SETTLED;
	t->row.next_try = OP_NEVER;
	t->actions |= OP_DO_CAPTURE | OP_DO_CONTINUE | OP_DO_NOTIFY;
}

static void
refund(Turn *t, OpReason reason)
{
	t->row.state = OP_REFUNDED;
	t->row.reason = reason;
	t->row.next_try = OP_NEVER;
	t->actions |= OP_DO_RELEASE | OP_DO_CONTINUE | OP_DO_NOTIFY;
}

/* It never ran.  Somebody cancelled it, or else it ran out of chances. */
static OpReason
reason_not_run(const Turn *t)
{
	return t->row.cancel_requested ? OP_REASON_CANCELLED : OP_REASON_EXPIRED;
}

/* A tombstone is our own, set because of a cancel or because of time. */
static void
refund_as_stored(Turn *t, OpReason stored)
{
	refund(t, stored == OP_REASON_CANCELLED ? reason_not_run(t) : stored);
}

/* Also from in_doubt and fencing, where it is no news to anybody. */
static void
enter_doubt(Turn *t)
{
	int64_t		at = backoff_until(t, t->row.rechecks, t->policy->recheck_max);

	if (t->row.state != OP_IN_DOUBT && t->row.state != OP_FENCING)
		t->actions |= OP_DO_DOUBT | OP_DO_NOTIFY;
	t->row.state = OP_IN_DOUBT;
	t->row.dirty = true;
	t->row.next_try = EARLIER(at, recheck_limit(t));
}

/* any non-terminal -> conflict */
static void
enter_conflict(Turn *t)
{
	if (t->row.state != OP_CONFLICT)
		t->actions |= OP_DO_DOUBT | OP_DO_NOTIFY;
	t->row.state = OP_CONFLICT;
	t->row.dirty = true;
	t->row.next_try = OP_NEVER;
	t->actions |= OP_DO_FINDING | OP_DO_OPEN_CIRCUIT;
}

/* Not past not_after, when give_up() has to look at it. */
static void
enter_retry_wait(Turn *t)
{
	int64_t		at = backoff_until(t, t->row.attempts, t->policy->backoff_max);

	t->row.state = OP_RETRY_WAIT;
	t->row.next_try = EARLIER(at, LATER(t->row.not_after, t->event->now));
}

/* Ready to go, or behind another operation of its account. */
static void
enter_queue(Turn *t)
{
	t->row.state = t->row.predecessor_open ? OP_STASHED : OP_HELD;
	t->row.next_try = t->row.predecessor_open ?
		LATER(t->row.not_after, t->event->now) : t->event->now;
}

/* The execute attempt in flight ended; it, or an earlier one, may have run. */
static void
attempt_unproven(Turn *t)
{
	t->row.dirty = true;
	if (may_send(t))
		enter_retry_wait(t);
	else
		enter_doubt(t);
}

/*
 * The execute attempt in flight is proven not to have run, which says nothing
 * about earlier ones.  A cancel, and what must wait for adoption, is seen to
 * from retry_wait, by give_up().
 */
static void
attempt_not_run(Turn *t)
{
	bool		cancelled = t->row.cancel_requested;

	if (!is_clean(t))
		attempt_unproven(t);
	else if (!may_send(t) && !cancelled && t->policy->adopted)
		refund(t, OP_REASON_EXPIRED);
	else
	{
		enter_retry_wait(t);
		if (cancelled && t->policy->adopted)
			t->row.next_try = t->event->now;
	}
}

/* stashed -> held */
static void
on_predecessor_ended(Turn *t)
{
	if (t->row.state == OP_STASHED && !t->row.predecessor_open)
		enter_queue(t);
	else
		note(t);
}

/*
 * stashed, held, retry_wait -> refunded, or, dirty, -> in_doubt, if it was
 * cancelled or no further attempt is allowed.
 */
static void
give_up(Turn *t)
{
	bool		spent = !may_send(t);

	if (!is_clean(t) && spent)
		enter_doubt(t);
	else if (surely_not_run(t) && (spent || t->row.cancel_requested))
		refund(t, reason_not_run(t));
}

/* No change; only make sure that the next deadline is not slept through. */
static void
keep_waiting(Turn *t)
{
	int64_t		limit = recheck_limit(t);

	if (is_waiting(t) && t->row.not_after > t->event->now)
		limit = t->row.not_after;
	t->row.next_try = EARLIER(t->row.next_try, limit);
}

/* Due, but dispatch, adoption, a cap or the circuit is in the way. */
static void
wait_for_gate(Turn *t)
{
	t->row.next_try = recheck_limit(t);
	keep_waiting(t);
	if (t->policy->gate_opens_at > t->event->now)
		t->row.next_try = EARLIER(t->row.next_try,
									 t->policy->gate_opens_at);
}

/* held, retry_wait -> in_flight */
static void
claim_execute(Turn *t)
{
	if (t->row.sends == 0)
		t->row.first_sent_at = t->event->now;
	if (t->row.sends < UINT32_MAX)
		t->row.sends++;
	t->row.attempts++;			/* was below max_attempts, see may_send() */
	t->row.state = OP_IN_FLIGHT;
	t->row.next_try = lease_ends_at(t);
	t->actions |= OP_DO_NEW_ATTEMPT | OP_DO_SEND_EXECUTE;
}

/*
 * in_doubt -> fencing, or a lookup.  The fence goes first: it alone decides,
 * and it tells what a lookup would have told.  Where neither is possible,
 * resolve() has to end it, or expires_at to allow the fence.
 */
static void
claim_recheck(Turn *t)
{
	bool		fence = wants_fence(t) && may_fence(t);

	if (!fence && !t->policy->can_lookup)
	{
		t->row.next_try = recheck_limit(t);
		if (may_fence(t))
			t->row.next_try = EARLIER(t->row.next_try, t->row.expires_at);
		return;
	}
	t->row.rechecks++;
	t->row.next_try = EARLIER(lease_ends_at(t), recheck_limit(t));
	if (fence)
		t->row.state = OP_FENCING;
	t->actions |= fence ?
		OP_DO_NEW_ATTEMPT | OP_DO_SEND_FENCE : OP_DO_SEND_LOOKUP;
}

/* What time alone may do.  That nothing is due needs no note. */
static void
on_tick(Turn *t)
{
	if (is_waiting(t))
		give_up(t);

	if (is_waiting(t) || t->row.state == OP_IN_DOUBT)
		keep_waiting(t);
	else if (t->row.state == OP_IN_FLIGHT && is_due(t))
		attempt_unproven(t);	/* the lease ran out */
	else if (t->row.state == OP_FENCING && is_due(t))
		enter_doubt(t);
}

/* A claim does what a tick does, and then, in three states, sends. */
static void
on_claim(Turn *t)
{
	OpFacts		before = t->row;

	on_tick(t);
	if (t->row.state != before.state)
		return;
	t->row = before;

	if (t->row.state != OP_HELD && t->row.state != OP_RETRY_WAIT &&
		t->row.state != OP_IN_DOUBT)
		note(t);
	else if (!is_due(t))
		keep_waiting(t);
	else if (!gates_open(t))
		wait_for_gate(t);
	else if (t->row.state == OP_IN_DOUBT)
		claim_recheck(t);
	else
		claim_execute(t);
}

/* in_flight -> retry_wait, in_doubt; fencing -> in_doubt */
static void
on_worker_lost(Turn *t)
{
	bool		current = t->event->current_attempt;

	if (t->row.state == OP_IN_FLIGHT && current)
		attempt_unproven(t);
	else if ((t->row.state == OP_FENCING && current) ||
			 t->row.state == OP_IN_DOUBT)
		enter_doubt(t);
	else
		note(t);
}

/*
 * any non-terminal -> settled: executed is true whenever it comes, and
 * whichever call brings it.  Where the row had proof that nothing ran, that
 * proof was wrong: a finding.
 */
static void
on_executed(Turn *t)
{
	if (is_waiting(t) && is_clean(t))
		t->actions |= OP_DO_FINDING;
	if (t->row.state != OP_CONFLICT)
		settle(t);
	else
		note(t);				/* resolve() decides */
}

/* The lookup or the fence that is out has not decided anything. */
static void
recheck_unanswered(Turn *t)
{
	OpVerb		verb = t->event->verb;

	if ((t->row.state == OP_IN_DOUBT && verb == OP_VERB_LOOKUP) ||
		(t->row.state == OP_FENCING && verb == OP_VERB_FENCE &&
		 t->event->current_attempt))
		enter_doubt(t);
	else
		note(t);
}

/*
 * in_flight -> refunded.  A remote that goes by the memo has stored the
 * failure, which covers every earlier attempt.  From any other it speaks for
 * this attempt alone.
 */
static void
execute_failed(Turn *t, OpReason reason)
{
	bool		proof = t->policy->honours_memo || surely_not_run(t);

	if (t->row.state != OP_IN_FLIGHT || !t->event->current_attempt)
		note(t);
	else if (proof && t->row.open_attempts == 0)
		refund(t, reason);
	else
		attempt_unproven(t);
}

/*
 * Rejected, cancelled or expired.  in_doubt, fencing -> refunded: what a
 * lookup or a fence finds is stored, and as true late as early.
 */
static void
on_failed(Turn *t)
{
	OpEventKind kind = t->event->kind;
	OpReason	stored = kind == OP_EV_REPLY_REJECTED ? OP_REASON_REJECTED :
		kind == OP_EV_REPLY_EXPIRED ? OP_REASON_EXPIRED : OP_REASON_CANCELLED;

	if (t->event->verb == OP_VERB_EXECUTE)
		execute_failed(t, stored);
	else if ((t->row.state == OP_IN_DOUBT || t->row.state == OP_FENCING) &&
			 stored_is_proof(t, stored))
		refund_as_stored(t, stored);
	else
		recheck_unanswered(t);
}

/* The execute attempt in flight, by how it ended. */
static void
execute_unanswered(Turn *t)
{
	OpEventKind kind = t->event->kind;

	if (t->row.state != OP_IN_FLIGHT || !t->event->current_attempt)
	{
		note(t);
		return;
	}

	/* It did not leave, or was stopped at the door: as if never sent. */
	if ((kind == OP_EV_NOT_SENT || kind == OP_EV_MISCONFIGURED) &&
		t->row.sends > 0)
		t->row.sends--;

	if (kind == OP_EV_MISCONFIGURED)
	{
		/* no end to this but not_after, which give_up() sees to */
		if (t->row.attempts > 0)
			t->row.attempts--;
		t->actions |= OP_DO_UNCOUNT_ATTEMPT;
		enter_retry_wait(t);
	}
	else if (kind == OP_EV_REFUSED && surely_not_run(t))
		refund(t, OP_REASON_REJECTED);
	else if (kind == OP_EV_NOT_SENT || kind == OP_EV_NOT_EXECUTED ||
			 kind == OP_EV_REFUSED)
		attempt_not_run(t);
	else
		attempt_unproven(t);	/* ambiguous, busy; not_found is no answer */
}

/*
 * Nothing found is no proof: the first attempt may still be on its way.  It
 * is a reason to fence, at once.
 */
static void
on_unanswered(Turn *t)
{
	OpEventKind kind = t->event->kind;
	OpVerb		verb = t->event->verb;

	if (verb == OP_VERB_EXECUTE)
		execute_unanswered(t);
	else
		recheck_unanswered(t);
	if (!t->legal)
		return;

	if (kind == OP_EV_MISCONFIGURED)
		t->actions |= OP_DO_OPEN_CIRCUIT;
	if (kind == OP_EV_REPLY_NOT_FOUND && verb == OP_VERB_LOOKUP)
	{
		t->row.found_nothing = true;
		if (may_fence(t))
			t->row.next_try = t->event->now;
	}
}

/* Refund what surely never ran; else leave a flag and hurry the fence. */
static void
on_cancel(Turn *t)
{
	t->actions |= OP_DO_SET_CANCEL_REQUESTED;
	if (is_waiting(t) && surely_not_run(t))
		refund(t, OP_REASON_CANCELLED);
	else if (may_fence(t) && (t->row.state == OP_IN_DOUBT ||
							  (is_waiting(t) && !is_clean(t))))
		t->row.next_try = t->event->now;
}

/* conflict, in_doubt -> settled, refunded */
static void
on_resolve(Turn *t)
{
	if (t->row.state != OP_CONFLICT && t->row.state != OP_IN_DOUBT)
		note(t);
	else if (t->event->kind == OP_EV_RESOLVE_EXECUTED)
		settle(t);
	else
		refund(t, reason_not_run(t));
	if (t->legal)
		t->actions |= OP_DO_AUDIT;
}

/* Whoever held the attempt in flight belonged to the other instance. */
static void
on_incarnation_changed(Turn *t)
{
	if (t->row.state == OP_IN_FLIGHT || t->row.open_attempts > 0)
		t->row.dirty = true;
	t->row.state = OP_QUARANTINED;
	t->row.next_try = OP_NEVER;
}

/*
 * quarantined -> refunded, held, stashed, in_doubt.  "Never sent" is
 * believed only where our own rows do not say otherwise.
 */
static void
on_reconciled(Turn *t)
{
	OpEventKind kind = t->event->kind;
	OpReason	stored = t->event->stored;

	if (stored == OP_REASON_NONE)
		stored = OP_REASON_CANCELLED;
	if (t->row.state != OP_QUARANTINED)
		note(t);
	else if (kind == OP_EV_RECONCILED_NEVER_SENT && is_clean(t))
		enter_queue(t);
	else if (kind == OP_EV_RECONCILED_FENCED && stored_is_proof(t, stored))
		refund_as_stored(t, stored);
	else
		enter_doubt(t);
}

/* memo: the answer names the memo it is about; another one is a conflict */
static const struct
{
	void		(*happens) (Turn *t);
	bool		memo;
}			on_event[] = {
	[OP_EV_PREDECESSOR_ENDED] = {.happens = on_predecessor_ended},
	[OP_EV_CLAIM] = {.happens = on_claim},
	[OP_EV_TICK] = {.happens = on_tick},
	[OP_EV_WORKER_LOST] = {.happens = on_worker_lost},
	[OP_EV_REPLY_EXECUTED] = {.happens = on_executed, .memo = true},
	[OP_EV_REPLY_REJECTED] = {.happens = on_failed, .memo = true},
	[OP_EV_REPLY_CANCELLED] = {.happens = on_failed, .memo = true},
	[OP_EV_REPLY_EXPIRED] = {.happens = on_failed, .memo = true},
	[OP_EV_REPLY_NOT_FOUND] = {.happens = on_unanswered},
	[OP_EV_REPLY_BUSY] = {.happens = on_unanswered},
	[OP_EV_REPLY_CONFLICT] = {.happens = enter_conflict},
	[OP_EV_NOT_SENT] = {.happens = on_unanswered},
	[OP_EV_NOT_EXECUTED] = {.happens = on_unanswered},
	[OP_EV_REFUSED] = {.happens = on_unanswered},
	[OP_EV_MISCONFIGURED] = {.happens = on_unanswered},
	[OP_EV_AMBIGUOUS] = {.happens = on_unanswered},
	[OP_EV_CANCEL_REQUEST] = {.happens = on_cancel},
	[OP_EV_RESOLVE_EXECUTED] = {.happens = on_resolve},
	[OP_EV_RESOLVE_NOT_EXECUTED] = {.happens = on_resolve},
	[OP_EV_INCARNATION_CHANGED] = {.happens = on_incarnation_changed},
	[OP_EV_RECONCILED_EXECUTED] = {.happens = on_executed, .memo = true},
	[OP_EV_RECONCILED_FENCED] = {.happens = on_reconciled, .memo = true},
	[OP_EV_RECONCILED_NEVER_SENT] = {.happens = on_reconciled},
	[OP_EV_RECONCILED_UNKNOWN] = {.happens = on_reconciled}
};

/*
 * Terminal states stay.  Executed after a refund is the one thing that must
 * not pass quietly: the money is at both ends.
 */
static void
after_end(Turn *t)
{
	note(t);
	if (t->row.state == OP_REFUNDED && t->event->memo_matches &&
		on_event[t->event->kind].happens == on_executed)
	{
		t->actions |= OP_DO_FINDING | OP_DO_OPEN_CIRCUIT;
		t->legal = true;
	}
}

static OpStep
finish(const Turn *t)
{
	OpStep		step = {
		.state = t->row.state,
		.reason = t->row.reason,
		.dirty = t->row.dirty,
		.found_nothing = t->row.found_nothing,
		.attempts = t->row.attempts,
		.sends = t->row.sends,
		.rechecks = t->row.rechecks,
		.next_try = t->row.next_try,
		.first_sent_at = t->row.first_sent_at,
		.actions = t->actions,
		.legal = t->legal
	};

	return step;
}

OpStep
operation_begin(const OpFacts *facts, int64_t now)
{
	OpEvent		submitted = {.now = now};
	Turn		t = {.event = &submitted, .legal = true};

	t.row.predecessor_open = facts->predecessor_open;
	t.row.not_after = facts->not_after;
	t.row.first_sent_at = now;
	enter_queue(&t);
	return finish(&t);
}

OpStep
operation_step(const OpFacts *facts, const OpPolicy *policy,
			   const OpEvent *event)
{
	Turn		t = {
		.row = *facts,
		.policy = policy,
		.event = event,
		.legal = true
	};

	if ((unsigned int) facts->state >= OP_STATE_COUNT ||
		(unsigned int) event->kind >= OP_EVENT_COUNT)
		note(&t);
	else if (operation_state_is_terminal(facts->state))
		after_end(&t);
	else if (on_event[event->kind].memo && !event->memo_matches)
		enter_conflict(&t);
	else
		on_event[event->kind].happens(&t);
	return finish(&t);
}

static const char *const state_names[] = {
	"stashed", "held", "in_flight", "retry_wait", "in_doubt",
	"fencing", "conflict", "quarantined", "settled", "refunded"
};

static const char *const reason_names[] =
{NULL, "rejected", "cancelled", "expired"};

/* A new value at the end of an enum does not compile without its entry. */
#define ASSERT_FULL(list, count) \
	_Static_assert(sizeof(list) / sizeof((list)[0]) == (count), #list)

ASSERT_FULL(on_event, OP_EVENT_COUNT);
ASSERT_FULL(state_names, OP_STATE_COUNT);
ASSERT_FULL(reason_names, OP_REASON_COUNT);

bool
operation_state_is_terminal(OpState state)
{
	return state == OP_SETTLED || state == OP_REFUNDED;
}

const char *
operation_state_name(OpState state)
{
	return (unsigned int) state < OP_STATE_COUNT ? state_names[state] : NULL;
}

bool
operation_state_from_name(const char *name, OpState *state)
{
	int			i;

	for (i = 0; name != NULL && i < OP_STATE_COUNT; i++)
	{
		const char *a = name;
		const char *b = state_names[i];

		while (*a != '\0' && *a == *b)
			a++, b++;
		if (*a == *b)
		{
			*state = (OpState) i;
			return true;
		}
	}
	return false;
}

const char *
operation_reason_name(OpReason reason)
{
	return (unsigned int) reason < OP_REASON_COUNT ?
		reason_names[reason] : NULL;
}
