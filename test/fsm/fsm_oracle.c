/*-------------------------------------------------------------------------
 *
 * fsm_oracle.c
 *	  The table of operations.md, section 3, written a second time.
 *
 * As data, from the page and not from the code: one row per line of the
 * table, in its order, with the guards as bits.  The first row that fits a
 * case says what the step must be, to the last field; a case that no row
 * fits must be left alone and noted.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>

#include "fsm_test.h"

/* Guards: what is the case? */
#define G_CLEAN		(1u << 0)	/* not dirty, no other attempt open */
#define G_OPEN		(1u << 1)	/* another attempt is open */
#define G_ADOPTED	(1u << 2)
#define G_HONOURS	(1u << 3)
#define G_RETAINED	(1u << 4)	/* inside memo_retention */
#define G_FENCE		(1u << 5)	/* a fence can be asked, and would prove */
#define G_LOOKUP	(1u << 6)
#define G_EXPIRED	(1u << 7)	/* past expires_at */
#define G_CANCEL	(1u << 8)	/* cancel requested */
#define G_NOTHING	(1u << 9)	/* a lookup found nothing */
#define G_DUE		(1u << 10)
#define G_GATES		(1u << 11)	/* dispatch, adopted, caps, circuit */
#define G_CURRENT	(1u << 12)
#define G_MEMO		(1u << 13)
#define G_PRED		(1u << 14)	/* a predecessor is open */
#define G_AGAIN		(1u << 15)	/* execute may be sent (again) */
#define G_AGAIN_DOUBT (1u << 16)	/* the same, if this one may have run */
#define G_AGAIN_UNSENT (1u << 17)	/* the same, if this one never left */
#define G_RETAINS	(1u << 18)	/* it stored: a tombstone inside retention */

/* What the step does to the row, beside the state. */
#define R_DIRTY		(1u << 0)
#define R_NOTHING	(1u << 1)	/* found_nothing */
#define R_ATTEMPT	(1u << 2)	/* attempts + 1, sends + 1, first_sent_at */
#define R_UNCOUNT	(1u << 3)	/* attempts - 1 */
#define R_UNSEND	(1u << 4)	/* sends - 1 */
#define R_RECHECK	(1u << 5)	/* rechecks + 1 */

typedef enum When
{
	AS_IS,						/* next_try stays */
	AT_ONCE,
	NEVER,
	AT_NOT_AFTER,
	LEASE,						/* the attempt's */
	CHECK_LEASE,				/* the same, at most recheck_max */
	BACKOFF,					/* between attempts */
	RECHECK,					/* between lookups and fences */
	GATE,						/* until a gate opens */
	KEPT,						/* as it is, no deadline slept through */
	OUTSIDE						/* for resolve, or the time of the fence */
} When;

#define STAY		((OpState) -1)
#define AS_SAID		((OpReason) -1) /* the reason that the event names */

typedef struct Row
{
	const char *name;
	uint32_t	from;			/* mask of states */
	uint32_t	on;				/* mask of events */
	uint32_t	verbs;			/* mask of verbs, 0: any */
	uint32_t	need;
	uint32_t	deny;
	OpState		to;
	OpReason	reason;
	uint32_t	actions;
	uint32_t	row;
	When		when;
} Row;

#define S(name)		(1u << OP_##name)
#define E(name)		(1u << OP_EV_##name)
#define V(name)		(1u << OP_VERB_##name)

#define ALL_OPEN	((1u << OP_SETTLED) - 1)
#define WAITING		(S(STASHED) | S(HELD) | S(RETRY_WAIT))
#define CLAIMABLE	(S(HELD) | S(RETRY_WAIT))
#define CHECKED		(S(IN_DOUBT) | S(FENCING))
#define LOOK		(E(CLAIM) | E(TICK))
#define FAILURE		(E(REPLY_REJECTED) | E(REPLY_CANCELLED) | E(REPLY_EXPIRED))
#define EXECUTED	(E(REPLY_EXECUTED) | E(RECONCILED_EXECUTED))
#define NOT_RUN		(E(NOT_EXECUTED) | E(REFUSED))
#define UNCLEAR		(E(AMBIGUOUS) | E(REPLY_BUSY) | E(REPLY_NOT_FOUND))
#define UNANSWERED	(UNCLEAR | NOT_RUN | E(NOT_SENT) | E(MISCONFIGURED))

#define DO_END		(OP_DO_CONTINUE | OP_DO_NOTIFY)
#define DO_SETTLE	(OP_DO_CAPTURE | DO_END)
#define DO_REFUND	(OP_DO_RELEASE | DO_END)
#define DO_DOUBT	(OP_DO_DOUBT | OP_DO_NOTIFY)
#define DO_ALARM	(OP_DO_FINDING | OP_DO_OPEN_CIRCUIT)
#define DO_SEND		(OP_DO_NEW_ATTEMPT | OP_DO_SEND_EXECUTE)
#define DO_FENCE	(OP_DO_NEW_ATTEMPT | OP_DO_SEND_FENCE)
#define DO_FLAG		OP_DO_SET_CANCEL_REQUESTED

#define REFUND(why)	OP_REFUNDED, OP_REASON_##why
#define TO(state)	OP_##state, OP_REASON_NONE
#define HERE		STAY, OP_REASON_NONE

/* The current execute attempt may have run: two rows that come together. */
#define MAY_HAVE_RUN(name, on, verbs, need, deny) \
	{name ", retries left", S(IN_FLIGHT), on, verbs, (need) | G_AGAIN_DOUBT, \
	deny, TO(RETRY_WAIT), 0, R_DIRTY, BACKOFF}, \
	{name ", retries spent or too late", S(IN_FLIGHT), on, verbs, need, \
	deny, TO(IN_DOUBT), DO_DOUBT, R_DIRTY, RECHECK}

static const Row table[] = {
	/* settled, refunded stay */
	{"executed after a refund", S(REFUNDED), EXECUTED, 0, G_MEMO, 0,
	HERE, DO_ALARM | OP_DO_NOTE, 0, AS_IS},

	/* any non-terminal -> conflict */
	{"another memo", ALL_OPEN & ~S(CONFLICT),
		FAILURE | EXECUTED | E(RECONCILED_FENCED), 0, 0, G_MEMO,
	TO(CONFLICT), DO_ALARM | DO_DOUBT, R_DIRTY, NEVER},
	{"another memo, again", S(CONFLICT),
		FAILURE | EXECUTED | E(RECONCILED_FENCED), 0, 0, G_MEMO,
	TO(CONFLICT), DO_ALARM, R_DIRTY, NEVER},
	{"conflict", ALL_OPEN & ~S(CONFLICT), E(REPLY_CONFLICT), 0, 0, 0,
	TO(CONFLICT), DO_ALARM | DO_DOUBT, R_DIRTY, NEVER},
	{"conflict, again", S(CONFLICT), E(REPLY_CONFLICT), 0, 0, 0,
	TO(CONFLICT), DO_ALARM, R_DIRTY, NEVER},

	/* stashed -> held */
	{"predecessor ended", S(STASHED), E(PREDECESSOR_ENDED), 0, 0, G_PRED,
	TO(HELD), 0, 0, AT_ONCE},

	/* held, stashed, retry_wait -> refunded; retry_wait -> in_doubt */
	{"cancelled before it ran", WAITING, LOOK, 0,
		G_CLEAN | G_ADOPTED | G_CANCEL, 0,
	REFUND(CANCELLED), DO_REFUND, 0, NEVER},
	{"expired or spent, never ran", WAITING, LOOK, 0,
		G_CLEAN | G_ADOPTED, G_AGAIN,
	REFUND(EXPIRED), DO_REFUND, 0, NEVER},
	{"expired or spent, dirty", WAITING, LOOK, 0, 0, G_CLEAN | G_AGAIN,
	TO(IN_DOUBT), DO_DOUBT, R_DIRTY, RECHECK},

	/* held, retry_wait -> in_flight */
	{"claim", CLAIMABLE, E(CLAIM), 0, G_DUE | G_GATES | G_AGAIN, 0,
	TO(IN_FLIGHT), DO_SEND, R_ATTEMPT, LEASE},
	{"claim, a gate is closed", CLAIMABLE, E(CLAIM), 0, G_DUE, G_GATES,
	HERE, 0, 0, GATE},
	{"claim, too early", CLAIMABLE, E(CLAIM), 0, 0, G_DUE,
	HERE, 0, 0, KEPT},
	{"tick, nothing to do", WAITING, E(TICK), 0, 0, 0, HERE, 0, 0, KEPT},

	/* executed, any attempt, however late */
	{"executed", S(IN_FLIGHT) | CHECKED | S(QUARANTINED), EXECUTED, 0, 0, 0,
	TO(SETTLED), DO_SETTLE, 0, NEVER},
	{"executed, known to have been sent", WAITING, EXECUTED, 0, 0, G_CLEAN,
	TO(SETTLED), DO_SETTLE, 0, NEVER},
	{"executed, believed not to have run", WAITING, EXECUTED, 0, G_CLEAN, 0,
	TO(SETTLED), DO_SETTLE | OP_DO_FINDING, 0, NEVER},

	/* in_flight -> refunded (rejected, and what the remote stored) */
	{"failed, the remote knows the memo", S(IN_FLIGHT), FAILURE, V(EXECUTE),
		G_CURRENT | G_HONOURS, G_OPEN,
	OP_REFUNDED, AS_SAID, DO_REFUND, 0, NEVER},
	{"failed, not dirty", S(IN_FLIGHT), FAILURE, V(EXECUTE),
		G_CURRENT | G_CLEAN | G_ADOPTED, 0,
	OP_REFUNDED, AS_SAID, DO_REFUND, 0, NEVER},
	MAY_HAVE_RUN("failed, proves nothing", FAILURE, V(EXECUTE),
				 G_CURRENT, 0),
	{"refused, not dirty", S(IN_FLIGHT), E(REFUSED), V(EXECUTE),
		G_CURRENT | G_CLEAN | G_ADOPTED, 0,
	REFUND(REJECTED), DO_REFUND, 0, NEVER},

	/* in_flight -> retry_wait, refunded (expired): not executed */
	{"not executed, cancelled", S(IN_FLIGHT), NOT_RUN, V(EXECUTE),
		G_CURRENT | G_CLEAN | G_CANCEL | G_ADOPTED, 0,
	TO(RETRY_WAIT), 0, 0, AT_ONCE},
	{"not executed, retries left", S(IN_FLIGHT), NOT_RUN, V(EXECUTE),
		G_CURRENT | G_CLEAN | G_AGAIN, 0,
	TO(RETRY_WAIT), 0, 0, BACKOFF},
	{"not executed, not adopted", S(IN_FLIGHT), NOT_RUN, V(EXECUTE),
		G_CURRENT | G_CLEAN, G_ADOPTED,
	TO(RETRY_WAIT), 0, 0, BACKOFF},
	{"not executed, spent or too late", S(IN_FLIGHT), NOT_RUN, V(EXECUTE),
		G_CURRENT | G_CLEAN, 0,
	REFUND(EXPIRED), DO_REFUND, 0, NEVER},
	MAY_HAVE_RUN("not executed, but dirty", NOT_RUN, V(EXECUTE),
				 G_CURRENT, G_CLEAN),
	{"not sent, cancelled", S(IN_FLIGHT), E(NOT_SENT), V(EXECUTE),
		G_CURRENT | G_CLEAN | G_CANCEL | G_ADOPTED, 0,
	TO(RETRY_WAIT), 0, R_UNSEND, AT_ONCE},
	{"not sent, retries left", S(IN_FLIGHT), E(NOT_SENT), V(EXECUTE),
		G_CURRENT | G_CLEAN | G_AGAIN_UNSENT, 0,
	TO(RETRY_WAIT), 0, R_UNSEND, BACKOFF},
	{"not sent, not adopted", S(IN_FLIGHT), E(NOT_SENT), V(EXECUTE),
		G_CURRENT | G_CLEAN, G_ADOPTED,
	TO(RETRY_WAIT), 0, R_UNSEND, BACKOFF},
	{"not sent, spent or too late", S(IN_FLIGHT), E(NOT_SENT), V(EXECUTE),
		G_CURRENT | G_CLEAN, 0,
	REFUND(EXPIRED), DO_REFUND, R_UNSEND, NEVER},
	{"not sent, but dirty, retries left", S(IN_FLIGHT), E(NOT_SENT),
		V(EXECUTE), G_CURRENT | G_AGAIN_DOUBT, G_CLEAN,
	TO(RETRY_WAIT), 0, R_DIRTY | R_UNSEND, BACKOFF},
	{"not sent, but dirty, spent", S(IN_FLIGHT), E(NOT_SENT), V(EXECUTE),
		G_CURRENT, G_CLEAN,
	TO(IN_DOUBT), DO_DOUBT, R_DIRTY | R_UNSEND, RECHECK},

	/* in_flight -> retry_wait: configuration error, ambiguous, lost */
	{"misconfigured", S(IN_FLIGHT), E(MISCONFIGURED), V(EXECUTE),
		G_CURRENT, 0,
		TO(RETRY_WAIT), OP_DO_UNCOUNT_ATTEMPT | OP_DO_OPEN_CIRCUIT,
	R_UNCOUNT | R_UNSEND, BACKOFF},
	MAY_HAVE_RUN("ambiguous", UNCLEAR, V(EXECUTE), G_CURRENT, 0),
	MAY_HAVE_RUN("worker lost", E(WORKER_LOST), 0, G_CURRENT, 0),
	MAY_HAVE_RUN("lease ran out", LOOK, 0, G_DUE, 0),
	{"in flight, tick", S(IN_FLIGHT), E(TICK), 0, 0, 0, HERE, 0, 0, AS_IS},

	/* in_doubt -> fencing */
	{"fence, expired", S(IN_DOUBT), E(CLAIM), 0,
		G_DUE | G_GATES | G_FENCE | G_EXPIRED, 0,
	TO(FENCING), DO_FENCE, R_RECHECK, CHECK_LEASE},
	{"fence, cancel requested", S(IN_DOUBT), E(CLAIM), 0,
		G_DUE | G_GATES | G_FENCE | G_CANCEL, 0,
	TO(FENCING), DO_FENCE, R_RECHECK, CHECK_LEASE},
	{"fence, a lookup found nothing", S(IN_DOUBT), E(CLAIM), 0,
		G_DUE | G_GATES | G_FENCE | G_NOTHING, 0,
	TO(FENCING), DO_FENCE, R_RECHECK, CHECK_LEASE},

	/* in_doubt -> in_doubt */
	{"lookup", S(IN_DOUBT), E(CLAIM), 0, G_DUE | G_GATES | G_LOOKUP, 0,
	HERE, OP_DO_SEND_LOOKUP, R_RECHECK, CHECK_LEASE},
	{"nothing can be asked", S(IN_DOUBT), E(CLAIM), 0, G_DUE | G_GATES, 0,
	HERE, 0, 0, OUTSIDE},
	{"in doubt, a gate is closed", S(IN_DOUBT), E(CLAIM), 0, G_DUE, 0,
	HERE, 0, 0, GATE},
	{"in doubt, not due", S(IN_DOUBT), LOOK, 0, 0, 0, HERE, 0, 0, KEPT},
	{"lookup, worker lost", S(IN_DOUBT), E(WORKER_LOST), 0, 0, 0,
	HERE, 0, R_DIRTY, RECHECK},
	{"lookup found nothing, a fence can follow", S(IN_DOUBT),
		E(REPLY_NOT_FOUND), V(LOOKUP), G_FENCE, 0,
	HERE, 0, R_DIRTY | R_NOTHING, AT_ONCE},
	{"lookup found nothing", S(IN_DOUBT), E(REPLY_NOT_FOUND), V(LOOKUP),
	0, 0, HERE, 0, R_DIRTY | R_NOTHING, RECHECK},
	{"lookup, misconfigured", S(IN_DOUBT), E(MISCONFIGURED), V(LOOKUP), 0, 0,
	HERE, OP_DO_OPEN_CIRCUIT, R_DIRTY, RECHECK},
	{"lookup unanswered", S(IN_DOUBT), UNANSWERED, V(LOOKUP), 0, 0,
	HERE, 0, R_DIRTY, RECHECK},

	/* fencing, in_doubt -> refunded: what the remote has stored */
	{"stored failure", CHECKED, E(REPLY_REJECTED) | E(REPLY_EXPIRED),
		V(LOOKUP) | V(FENCE), G_HONOURS, 0,
	OP_REFUNDED, AS_SAID, DO_REFUND, 0, NEVER},
	{"tombstone after a cancel", CHECKED, E(REPLY_CANCELLED),
		V(LOOKUP) | V(FENCE), G_HONOURS | G_RETAINED | G_CANCEL, 0,
	REFUND(CANCELLED), DO_REFUND, 0, NEVER},
	{"tombstone", CHECKED, E(REPLY_CANCELLED), V(LOOKUP) | V(FENCE),
		G_HONOURS | G_RETAINED, G_CANCEL,
	REFUND(EXPIRED), DO_REFUND, 0, NEVER},
	{"lookup proves nothing", S(IN_DOUBT), FAILURE, V(LOOKUP), 0, 0,
	HERE, 0, R_DIRTY, RECHECK},

	/* fencing -> in_doubt */
	{"fence proves nothing", S(FENCING), FAILURE, V(FENCE), G_CURRENT, 0,
	TO(IN_DOUBT), 0, R_DIRTY, RECHECK},
	{"fence, misconfigured", S(FENCING), E(MISCONFIGURED), V(FENCE),
		G_CURRENT, 0,
	TO(IN_DOUBT), OP_DO_OPEN_CIRCUIT, R_DIRTY, RECHECK},
	{"fence unanswered", S(FENCING), UNANSWERED, V(FENCE), G_CURRENT, 0,
	TO(IN_DOUBT), 0, R_DIRTY, RECHECK},
	{"fence, worker lost", S(FENCING), E(WORKER_LOST), 0, G_CURRENT, 0,
	TO(IN_DOUBT), 0, R_DIRTY, RECHECK},
	{"fence, lease ran out", S(FENCING), LOOK, 0, G_DUE, 0,
	TO(IN_DOUBT), 0, R_DIRTY, RECHECK},
	{"fence, tick", S(FENCING), E(TICK), 0, 0, 0, HERE, 0, 0, AS_IS},

	/* cancel() */
	{"cancel, never ran", WAITING, E(CANCEL_REQUEST), 0,
		G_CLEAN | G_ADOPTED, 0,
	REFUND(CANCELLED), DO_REFUND | DO_FLAG, 0, NEVER},
	{"cancel, dirty, can fence", WAITING, E(CANCEL_REQUEST), 0,
		G_FENCE, G_CLEAN,
	HERE, DO_FLAG, 0, AT_ONCE},
	{"cancel, in doubt, can fence", S(IN_DOUBT), E(CANCEL_REQUEST), 0,
		G_FENCE, 0,
	HERE, DO_FLAG, 0, AT_ONCE},
	{"cancel, a flag", ALL_OPEN, E(CANCEL_REQUEST), 0, 0, 0,
	HERE, DO_FLAG, 0, AS_IS},

	/* resolve() */
	{"resolved, executed", S(CONFLICT) | S(IN_DOUBT), E(RESOLVE_EXECUTED),
		0, 0, 0,
	TO(SETTLED), DO_SETTLE | OP_DO_AUDIT, 0, NEVER},
	{"resolved, not executed, cancelled", S(CONFLICT) | S(IN_DOUBT),
		E(RESOLVE_NOT_EXECUTED), 0, G_CANCEL, 0,
	REFUND(CANCELLED), DO_REFUND | OP_DO_AUDIT, 0, NEVER},
	{"resolved, not executed", S(CONFLICT) | S(IN_DOUBT),
		E(RESOLVE_NOT_EXECUTED), 0, 0, 0,
	REFUND(EXPIRED), DO_REFUND | OP_DO_AUDIT, 0, NEVER},

	/* any non-terminal -> quarantined */
	{"incarnation changed in flight", S(IN_FLIGHT),
		E(INCARNATION_CHANGED), 0, 0, 0,
	TO(QUARANTINED), 0, R_DIRTY, NEVER},
	{"incarnation changed, an attempt is open", ALL_OPEN,
		E(INCARNATION_CHANGED), 0, G_OPEN, 0,
	TO(QUARANTINED), 0, R_DIRTY, NEVER},
	{"incarnation changed", ALL_OPEN, E(INCARNATION_CHANGED), 0, 0, 0,
	TO(QUARANTINED), 0, 0, NEVER},

	/* quarantined -> refunded, held, stashed, in_doubt */
	{"reconciled, stored failure", S(QUARANTINED), E(RECONCILED_FENCED), 0,
		G_HONOURS | G_RETAINS, 0,
	OP_REFUNDED, AS_SAID, DO_REFUND, 0, NEVER},
	{"reconciled, tombstone, cancelled", S(QUARANTINED),
		E(RECONCILED_FENCED), 0, G_HONOURS | G_RETAINED | G_CANCEL, 0,
	REFUND(CANCELLED), DO_REFUND, 0, NEVER},
	{"reconciled, tombstone", S(QUARANTINED), E(RECONCILED_FENCED), 0,
		G_HONOURS | G_RETAINED, 0,
	REFUND(EXPIRED), DO_REFUND, 0, NEVER},
	{"reconciled, proves nothing", S(QUARANTINED), E(RECONCILED_FENCED), 0,
		0, 0,
	TO(IN_DOUBT), DO_DOUBT, R_DIRTY, RECHECK},
	{"reconciled, never sent, behind another", S(QUARANTINED),
		E(RECONCILED_NEVER_SENT), 0, G_CLEAN | G_PRED, 0,
	TO(STASHED), 0, 0, AT_NOT_AFTER},
	{"reconciled, never sent", S(QUARANTINED), E(RECONCILED_NEVER_SENT), 0,
		G_CLEAN, 0,
	TO(HELD), 0, 0, AT_ONCE},
	{"reconciled, never sent, but the rows differ", S(QUARANTINED),
		E(RECONCILED_NEVER_SENT), 0, 0, G_CLEAN,
	TO(IN_DOUBT), DO_DOUBT, R_DIRTY, RECHECK},
	{"reconciled, unknown", S(QUARANTINED), E(RECONCILED_UNKNOWN), 0, 0, 0,
	TO(IN_DOUBT), DO_DOUBT, R_DIRTY, RECHECK},
	{"nothing to do", S(CONFLICT) | S(QUARANTINED), E(TICK), 0, 0, 0,
	HERE, 0, 0, AS_IS},
};

#define ROWS	(sizeof(table) / sizeof(table[0]))

static uint64_t row_cases[ROWS];
static int	explained;

/* ----------------------------------------------------------------
 *						guards
 * ----------------------------------------------------------------
 */

static bool
retained(const Case *c)
{
	return c->policy.memo_retention == 0 ||
		c->event.now < c->facts.first_sent_at + c->policy.memo_retention -
		c->policy.not_after_margin;
}

/* May execute be sent, once the row says this of earlier attempts? */
static bool
sendable(const Case *c, bool clean, uint32_t sends)
{
	bool		first = clean && sends == 0;
	bool		in_time = c->event.now < c->facts.not_after;
	bool		left = c->facts.attempts < c->policy.max_attempts;
	bool		rather_fence = !clean && c->facts.cancel_requested &&
		c->policy.can_fence && c->policy.honours_memo && retained(c);

	if (!first && (!c->policy.honours_memo || !retained(c)))
		return false;
	return in_time && left && !rather_fence;
}

#define BIT(yes, bit)	((yes) ? (bit) : 0)

static uint32_t
guards_of(const Case *c)
{
	const OpFacts *f = &c->facts;
	const OpPolicy *p = &c->policy;
	const OpEvent *e = &c->event;
	bool		clean = !f->dirty && f->open_attempts == 0;
	bool		stored = e->stored == OP_REASON_REJECTED ||
		e->stored == OP_REASON_EXPIRED;

	return BIT(clean, G_CLEAN) |
		BIT(f->open_attempts > 0, G_OPEN) |
		BIT(p->adopted, G_ADOPTED) |
		BIT(p->honours_memo, G_HONOURS) |
		BIT(retained(c), G_RETAINED) |
		BIT(p->can_fence && p->honours_memo && retained(c), G_FENCE) |
		BIT(p->can_lookup, G_LOOKUP) |
		BIT(e->now >= f->expires_at, G_EXPIRED) |
		BIT(f->cancel_requested, G_CANCEL) |
		BIT(f->found_nothing, G_NOTHING) |
		BIT(e->now >= f->next_try, G_DUE) |
		BIT(p->dispatch_enabled && p->adopted && p->slot_free &&
			!p->circuit_open, G_GATES) |
		BIT(e->current_attempt, G_CURRENT) |
		BIT(e->memo_matches, G_MEMO) |
		BIT(f->predecessor_open, G_PRED) |
		BIT(sendable(c, clean, f->sends), G_AGAIN) |
		BIT(sendable(c, false, f->sends), G_AGAIN_DOUBT) |
		BIT(sendable(c, clean, f->sends > 0 ? f->sends - 1 : 0),
			G_AGAIN_UNSENT) |
		BIT(stored, G_RETAINS);
}

static const Row *
row_for(const Case *c)
{
	uint32_t	guards = guards_of(c);
	size_t		i;

	for (i = 0; i < ROWS; i++)
	{
		const Row  *r = &table[i];

		if ((r->from & (1u << c->facts.state)) != 0 &&
			(r->on & (1u << c->event.kind)) != 0 &&
			(r->verbs == 0 || (r->verbs & (1u << c->event.verb)) != 0) &&
			(guards & r->need) == r->need && (guards & r->deny) == 0)
			return r;
	}
	return NULL;
}

/* ----------------------------------------------------------------
 *						what the step must be
 * ----------------------------------------------------------------
 */

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* now + uniform in [0, min(cap, base * 2^(n-1))), or what was asked for */
static int64_t
drawn(const Case *c, uint32_t n, int64_t cap)
{
	double		span = (double) c->policy.backoff_base;
	int64_t		wait;

	while (n > 1 && span < (double) cap)
	{
		span *= 2;
		n--;
	}
	if (span > (double) cap)
		span = (double) cap;
	wait = (int64_t) (span * c->event.jitter);
	if (wait < c->event.retry_after)
		wait = c->event.retry_after;
	return c->event.now + wait;
}

static int64_t
must_be_next(const Case *c, const Row *r, const OpStep *must)
{
	const OpFacts *f = &c->facts;
	const OpPolicy *p = &c->policy;
	int64_t		now = c->event.now;
	int64_t		lease = c->event.lease ? c->event.lease : p->attempt_timeout;
	int64_t		limit = now + p->recheck_max;
	int64_t		last = now < f->not_after ? f->not_after : now;
	bool		doubt = f->state == OP_IN_DOUBT;

	switch (r->when)
	{
		case AS_IS:
			return f->next_try;
		case AT_ONCE:
			return now;
		case NEVER:
			return OP_NEVER;
		case AT_NOT_AFTER:
			return last;
		case LEASE:
			return now + lease;
		case CHECK_LEASE:
			return least(now + lease, limit);
		case BACKOFF:
			return least(drawn(c, must->attempts, p->backoff_max), last);
		case RECHECK:
			return least(drawn(c, f->rechecks, p->recheck_max), limit);
		case GATE:
			if (p->gate_opens_at > now)
				limit = least(limit, p->gate_opens_at);
			return doubt || last == now ? limit : least(limit, last);
		case KEPT:
			return least(f->next_try, doubt || last == now ? limit : last);
		case OUTSIDE:
			if (p->can_fence && p->honours_memo && retained(c))
				return least(limit, f->expires_at);
			return limit;
	}
	return INT64_MIN;
}

static OpReason
reason_said(const Case *c)
{
	if (c->event.kind == OP_EV_REPLY_REJECTED)
		return OP_REASON_REJECTED;
	if (c->event.kind == OP_EV_REPLY_CANCELLED)
		return OP_REASON_CANCELLED;
	if (c->event.kind == OP_EV_REPLY_EXPIRED)
		return OP_REASON_EXPIRED;
	return c->event.stored;
}

/* Left alone and noted, which is what no row at all means. */
static OpStep
must_stay(const Case *c)
{
	const OpFacts *f = &c->facts;
	OpStep		must = {
		.state = f->state,
		.reason = f->reason,
		.dirty = f->dirty,
		.found_nothing = f->found_nothing,
		.attempts = f->attempts,
		.sends = f->sends,
		.rechecks = f->rechecks,
		.next_try = f->next_try,
		.first_sent_at = f->first_sent_at,
		.actions = OP_DO_NOTE,
		.legal = false
	};

	return must;
}

static OpStep
must_be(const Case *c, const Row *r)
{
	const OpFacts *f = &c->facts;
	OpStep		must = must_stay(c);

	must.legal = true;
	must.actions = r->actions;
	if (r->to != STAY)
	{
		must.state = r->to;
		must.reason = r->reason == AS_SAID ? reason_said(c) : r->reason;
	}
	must.dirty = f->dirty || (r->row & R_DIRTY) != 0;
	must.found_nothing = f->found_nothing || (r->row & R_NOTHING) != 0;
	if (r->row & R_ATTEMPT)
	{
		must.attempts = f->attempts + 1;
		must.sends = f->sends + 1;
		if (f->sends == 0)
			must.first_sent_at = c->event.now;
	}
	if ((r->row & R_UNCOUNT) && f->attempts > 0)
		must.attempts = f->attempts - 1;
	if ((r->row & R_UNSEND) && f->sends > 0)
		must.sends = f->sends - 1;
	if (r->row & R_RECHECK)
		must.rechecks = f->rechecks + 1;
	must.next_try = must_be_next(c, r, &must);
	return must;
}

/* Full jitter is a fraction: the last microsecond may round either way. */
static bool
near(int64_t a, int64_t b)
{
	return a == b || (a != OP_NEVER && b != OP_NEVER &&
					  a - b <= 1 && b - a <= 1);
}

bool
oracle_agrees(const Case *c, const OpStep *got)
{
	const Row  *r = row_for(c);
	OpStep		must = r != NULL ? must_be(c, r) : must_stay(c);
	bool		agrees = got->state == must.state &&
		got->reason == must.reason &&
		got->dirty == must.dirty &&
		got->found_nothing == must.found_nothing &&
		got->attempts == must.attempts &&
		got->sends == must.sends &&
		got->rechecks == must.rechecks &&
		near(got->next_try, must.next_try) &&
		got->first_sent_at == must.first_sent_at &&
		got->actions == must.actions &&
		got->legal == must.legal;

	if (r != NULL)
		row_cases[r - table]++;
	if (!agrees && explained++ < 5)
	{
		print_case(c, got);
		printf("# the table says: %s\n# which would be\n",
			   r ? r->name : "leave it alone and note it");
		print_case(c, &must);
	}
	return agrees;
}

void
oracle_report(void)
{
	size_t		i;

	for (i = 0; i < ROWS; i++)
		claim(row_cases[i] > 0, "row '%s' decided %llu cases",
			  table[i].name, (unsigned long long) row_cases[i]);
}
