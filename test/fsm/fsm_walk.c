/*-------------------------------------------------------------------------
 *
 * fsm_walk.c
 *	  Whole lives of operations against a remote whose book is known.
 *
 * The other parts of this test ask whether a step is as it was meant.  This
 * one asks whether what was meant is right: a small remote with a book, a
 * network that loses, delays and doubles, a worker that dies, a promotion
 * that forgets the last attempts, from a seed.  When all messages have come
 * to rest, the money must be at one end.  test/simulate does this with the
 * database and crash points; here it is one operation and one page.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "fsm_test.h"

#define BIRTH			(INT64_C(1000000) * US_PER_S)
#define FAULTS_END		(BIRTH + 40 * US_PER_MIN)
#define DEATH			(BIRTH + 600 * US_PER_MIN)
#define MARGIN			(60 * US_PER_S)
#define TIMEOUT			(20 * US_PER_S)
#define MAX_MESSAGES	64
#define MAX_STEPS		4000

typedef struct Message
{
	OpVerb		verb;
	int			call;			/* number of the call, 1.. */
	int64_t		arrives;		/* OP_NEVER: lost, or done */
	int64_t		replies;		/* OP_NEVER: lost, or done */
	OpEventKind answer;
} Message;

typedef enum Stored
{
	NOTHING,
	EXECUTED,
	REJECTED,
	EXPIRED,
	TOMBSTONE
} Stored;

typedef struct Life
{
	Plant		step;
	uint64_t	seed;
	int64_t		now;
	OpFacts		facts;
	OpFacts		replica;		/* what a promotion would find */
	OpPolicy	policy;

	int			call;			/* the last one that was made */
	int64_t		call_ends;		/* its timeout; OP_NEVER: nobody waits */
	int64_t		cancel_at;
	int64_t		death_at;
	int64_t		promotion_at;
	Message		messages[MAX_MESSAGES];

	/* the remote */
	Stored		stored;
	int64_t		stored_at;
	int64_t		skew;
	bool		refuses;
	int			effects;

	bool		alarm;
	bool		wrong_row;		/* a state with facts it cannot have */
} Life;

static bool
chance(Life *l, unsigned int percent)
{
	return random_next(&l->seed) % 100 < percent;
}

/* A fault, while there are faults. */
static bool
fault(Life *l, unsigned int percent)
{
	return chance(l, percent) && l->now < FAULTS_END;
}

static int64_t
within(Life *l, int64_t us)
{
	return (int64_t) (random_next(&l->seed) % (uint64_t) us);
}

/* ----------------------------------------------------------------
 *						the remote
 * ----------------------------------------------------------------
 */

static OpEventKind
word_for(Stored stored)
{
	switch (stored)
	{
		case NOTHING:
			return OP_EV_REPLY_NOT_FOUND;
		case EXECUTED:
			return OP_EV_REPLY_EXECUTED;
		case REJECTED:
			return OP_EV_REPLY_REJECTED;
		case EXPIRED:
			return OP_EV_REPLY_EXPIRED;
		case TOMBSTONE:
			return OP_EV_REPLY_CANCELLED;
	}
	return OP_EV_AMBIGUOUS;
}

static OpEventKind
store(Life *l, Stored stored)
{
	l->stored = stored;
	l->stored_at = l->now;
	return word_for(stored);
}

static void
prune(Life *l)
{
	if (l->policy.memo_retention > 0 &&
		l->now >= l->stored_at + l->policy.memo_retention)
		l->stored = NOTHING;
}

static OpEventKind
remote_execute(Life *l)
{
	prune(l);
	if (l->policy.honours_memo && l->stored != NOTHING)
		return word_for(l->stored);
	if (fault(l, 12))
		return OP_EV_NOT_EXECUTED;
	if (fault(l, 6))
		return OP_EV_MISCONFIGURED;
	if (fault(l, 6))
		return OP_EV_REPLY_BUSY;
	if (l->now + l->skew > l->facts.not_after)
		return l->policy.honours_memo ? store(l, EXPIRED) :
			OP_EV_REPLY_EXPIRED;
	if (l->refuses && chance(l, 30))
		return OP_EV_REFUSED;
	if (l->refuses)
		return l->policy.honours_memo ? store(l, REJECTED) :
			OP_EV_REPLY_REJECTED;
	l->effects++;
	return store(l, EXECUTED);
}

static OpEventKind
remote_fence(Life *l)
{
	prune(l);
	if (!l->policy.honours_memo)
		return OP_EV_REPLY_CANCELLED;	/* a word without a meaning */
	return l->stored == NOTHING ? store(l, TOMBSTONE) : word_for(l->stored);
}

static OpEventKind
remote_lookup(Life *l)
{
	prune(l);
	return word_for(l->stored);
}

static void
arrive(Life *l, Message *m)
{
	m->arrives = OP_NEVER;
	if (m->verb == OP_VERB_EXECUTE)
		m->answer = remote_execute(l);
	else if (m->verb == OP_VERB_LOOKUP)
		m->answer = remote_lookup(l);
	else
		m->answer = remote_fence(l);
	if (!fault(l, 30))
		m->replies = l->now + (fault(l, 30) ?
							   within(l, 90 * US_PER_S) : 10000);
}

/* ----------------------------------------------------------------
 *						our side
 * ----------------------------------------------------------------
 */

static bool
ended(const Life *l)
{
	return l->facts.state == OP_SETTLED || l->facts.state == OP_REFUNDED;
}

static void send_call(Life *l, OpVerb verb);

static void
happen(Life *l, OpEventKind kind, OpVerb verb, int call)
{
	Case		c;
	OpStep		s;

	memset(&c, 0, sizeof(c));
	c.facts = l->facts;
	c.policy = l->policy;
	c.event.kind = kind;
	c.event.now = l->now;
	c.event.jitter = (double) within(l, 1000000) / 1e6;
	c.event.verb = verb;
	c.event.current_attempt = call == l->call;
	c.event.memo_matches = true;
	c.event.lease = 90 * US_PER_S;
	s = l->step(c);

	l->facts.state = s.state;
	l->facts.reason = s.reason;
	l->facts.dirty = s.dirty;
	l->facts.found_nothing = s.found_nothing;
	l->facts.attempts = s.attempts;
	l->facts.sends = s.sends;
	l->facts.rechecks = s.rechecks;
	l->facts.next_try = s.next_try;
	l->facts.first_sent_at = s.sends > 0 ? s.first_sent_at : BIRTH;
	if (s.actions & OP_DO_SET_CANCEL_REQUESTED)
		l->facts.cancel_requested = true;
	l->alarm |= (s.actions & OP_DO_FINDING) != 0;
	l->wrong_row |= (s.state == OP_HELD && s.dirty) ||
		((s.state == OP_IN_DOUBT || s.state == OP_FENCING) && !s.dirty);
	if (chance(l, 50))
		l->replica = l->facts;	/* the standby has got so far */

	if (s.actions & OP_DO_SEND_EXECUTE)
		send_call(l, OP_VERB_EXECUTE);
	else if (s.actions & OP_DO_SEND_LOOKUP)
		send_call(l, OP_VERB_LOOKUP);
	else if (s.actions & OP_DO_SEND_FENCE)
		send_call(l, OP_VERB_FENCE);
}

/* The bytes leave, or not, and then somebody waits for the answer, or not. */
static void
send_call(Life *l, OpVerb verb)
{
	Message    *m = &l->messages[l->call % MAX_MESSAGES];

	l->call++;
	m->verb = verb;
	m->call = l->call;
	m->arrives = OP_NEVER;
	m->replies = OP_NEVER;
	l->call_ends = l->now + TIMEOUT;
	if (fault(l, 10))
		l->call_ends = OP_NEVER;	/* killed after the flush, no more */
	else if (fault(l, 12))
	{
		l->call_ends = OP_NEVER;
		happen(l, OP_EV_NOT_SENT, verb, l->call);
	}
	else if (!fault(l, 15))
		m->arrives = l->now + (fault(l, 30) ?
							   within(l, 40 * US_PER_S) : 10000);
}

static void
reply(Life *l, Message *m)
{
	bool		again = fault(l, 15);

	m->replies = again ? l->now + within(l, US_PER_MIN) : OP_NEVER;
	if (m->call == l->call)
		l->call_ends = OP_NEVER;
	happen(l, m->answer, m->verb, m->call);
}

static void
time_out(Life *l)
{
	OpVerb		verb = l->messages[(l->call - 1) % MAX_MESSAGES].verb;

	l->call_ends = OP_NEVER;
	happen(l, OP_EV_AMBIGUOUS, verb, l->call);
}

/* Noticed at once, or only when the lease runs out. */
static void
worker_dies(Life *l)
{
	l->death_at = OP_NEVER;
	if (l->call_ends == OP_NEVER)
		return;
	l->call_ends = OP_NEVER;
	if (chance(l, 50))
		happen(l, OP_EV_WORKER_LOST, OP_VERB_EXECUTE, l->call);
}

/*
 * The new primary has an older row, and nobody hears the old answers.  What
 * is on the wire still arrives.
 */
static void
promote(Life *l)
{
	OpEventKind found = OP_EV_RECONCILED_UNKNOWN;
	int			i;

	l->promotion_at = OP_NEVER;
	l->facts = l->replica;
	l->call_ends = OP_NEVER;
	for (i = 0; i < MAX_MESSAGES; i++)
		if (l->messages[i].arrives == OP_NEVER)
			l->messages[i].replies = OP_NEVER;
	if (ended(l))
		return;
	happen(l, OP_EV_INCARNATION_CHANGED, OP_VERB_EXECUTE, 0);
	prune(l);
	if (l->policy.can_fence && chance(l, 50))
		(void) remote_fence(l);
	if (l->call == 0)
		found = OP_EV_RECONCILED_NEVER_SENT;
	else if (l->stored == EXECUTED)
		found = OP_EV_RECONCILED_EXECUTED;
	else if (l->stored == TOMBSTONE)
		found = OP_EV_RECONCILED_FENCED;
	happen(l, found, OP_VERB_LOOKUP, 0);
}

/* ----------------------------------------------------------------
 *						a life
 * ----------------------------------------------------------------
 */

static void
be_born(Life *l, uint64_t seed, Plant step)
{
	OpPolicy   *p = &l->policy;
	OpStep		first;
	int			i;

	memset(l, 0, sizeof(*l));
	l->step = step;
	l->seed = seed;
	l->now = BIRTH;
	p->honours_memo = chance(l, 80);
	p->can_fence = chance(l, 70);
	p->can_lookup = chance(l, 70);
	p->memo_retention = chance(l, 40) ? 5 * US_PER_MIN : 0;
	p->not_after_margin = MARGIN;
	p->max_attempts = 3 + (uint32_t) within(l, 6);
	p->backoff_base = US_PER_S / 2;
	p->backoff_max = 60 * US_PER_S;
	p->recheck_max = 5 * US_PER_MIN;
	p->attempt_timeout = TIMEOUT;
	p->dispatch_enabled = p->adopted = p->slot_free = true;

	l->facts.not_after = BIRTH + US_PER_MIN + within(l, 20 * US_PER_MIN);
	l->facts.expires_at = l->facts.not_after + MARGIN;
	first = operation_begin(&l->facts, BIRTH);
	l->facts.state = first.state;
	l->facts.next_try = first.next_try;
	l->facts.first_sent_at = first.first_sent_at;
	l->replica = l->facts;

	l->call_ends = OP_NEVER;
	l->cancel_at = chance(l, 40) ?
		BIRTH + within(l, 2 * US_PER_MIN) : OP_NEVER;
	l->death_at = chance(l, 50) ? BIRTH + within(l, US_PER_MIN) : OP_NEVER;
	l->promotion_at = chance(l, 15) ?
		BIRTH + within(l, 5 * US_PER_MIN) : OP_NEVER;
	l->skew = within(l, 40 * US_PER_S) - 20 * US_PER_S;
	l->refuses = chance(l, 20);
	for (i = 0; i < MAX_MESSAGES; i++)
		l->messages[i].arrives = l->messages[i].replies = OP_NEVER;
}

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The next thing that happens; false when all has come to rest. */
static bool
live_on(Life *l)
{
	int64_t		look = ended(l) ? OP_NEVER : l->facts.next_try;
	int64_t		at = least(look, l->call_ends);
	Message    *m = NULL;
	int			i;

	for (i = 0; i < MAX_MESSAGES; i++)
		at = least(at, least(l->messages[i].arrives, l->messages[i].replies));
	at = least(at, least(l->cancel_at, least(l->death_at, l->promotion_at)));
	if (at == OP_NEVER || at > DEATH)
		return false;
	l->now = at > l->now ? at : l->now;

	for (i = 0; i < MAX_MESSAGES && m == NULL; i++)
		if (l->messages[i].arrives <= l->now ||
			l->messages[i].replies <= l->now)
			m = &l->messages[i];
	if (m != NULL && m->arrives <= l->now)
		arrive(l, m);
	else if (m != NULL)
		reply(l, m);
	else if (l->promotion_at <= l->now)
		promote(l);
	else if (l->death_at <= l->now)
		worker_dies(l);
	else if (l->call_ends <= l->now)
		time_out(l);
	else if (l->cancel_at <= l->now)
	{
		l->cancel_at = OP_NEVER;
		happen(l, OP_EV_CANCEL_REQUEST, OP_VERB_EXECUTE, 0);
	}
	else
	{
		happen(l, OP_EV_CLAIM, OP_VERB_EXECUTE, 0);
		l->now++;				/* a clock does not stand still */
	}
	return true;
}

typedef struct Tally
{
	uint64_t	settled;
	uint64_t	refunded;
	uint64_t	in_doubt;		/* nobody can tell: honestly in doubt */
	uint64_t	money;			/* settled without effect, or the reverse */
	uint64_t	twice;			/* more than one effect */
	uint64_t	unended;		/* not terminal though it could be told */
	uint64_t	rows;
	uint64_t	first_seed;		/* of a life that went wrong */
} Tally;

/* Could a lookup or a fence have told what happened? */
static bool
could_be_told(const Life *l)
{
	if (l->policy.can_lookup && l->stored == EXECUTED)
		return true;
	return l->policy.can_fence && l->policy.honours_memo &&
		l->policy.memo_retention == 0;
}

static void
live(Tally *tally, uint64_t seed, Plant step)
{
	Life		l;
	int			steps = 0;
	bool		money;
	bool		unended;

	be_born(&l, seed, step);
	while (live_on(&l) && ++steps < MAX_STEPS)
		continue;
	prune(&l);
	money = (l.facts.state == OP_SETTLED && l.effects == 0) ||
		(l.facts.state == OP_REFUNDED && l.effects > 0) || l.alarm;
	unended = !ended(&l) && (l.facts.state != OP_IN_DOUBT ||
							 could_be_told(&l));

	tally->settled += l.facts.state == OP_SETTLED;
	tally->refunded += l.facts.state == OP_REFUNDED;
	tally->in_doubt += l.facts.state == OP_IN_DOUBT;
	tally->money += money;
	tally->twice += l.effects > 1;
	tally->unended += unended;
	tally->rows += l.wrong_row;
	if (tally->first_seed == 0 &&
		(money || l.effects > 1 || unended || l.wrong_row))
		tally->first_seed = seed;
}

static Tally
live_all(uint64_t lives, Plant step)
{
	Tally		tally;
	uint64_t	seed;

	memset(&tally, 0, sizeof(tally));
	for (seed = 1; seed <= lives; seed++)
		live(&tally, seed, step);
	return tally;
}

static OpStep
as_it_is(Case c)
{
	return operation_step(&c.facts, &c.policy, &c.event);
}

void
check_walks(uint64_t lives, bool with_plants)
{
	static const char *const deadly[] = {
		"refund on timeout",
		"refund when a lookup found nothing",
		"refund a cancel while dirty",
		"refund on a fence after memo_retention",
		"send again after memo_retention",
		"believe that every remote goes by memos",
		"take silence for a failure",
		"take a lost worker for one that did not send"
	};
	Tally		t = live_all(lives, as_it_is);
	size_t		i;

	printf("# %llu lives: %llu settled, %llu refunded, %llu in doubt\n",
		   (unsigned long long) lives, (unsigned long long) t.settled,
		   (unsigned long long) t.refunded, (unsigned long long) t.in_doubt);
	claim(t.money == 0, "in %llu lives no money is made or lost (%llu)",
		  (unsigned long long) lives, (unsigned long long) t.money);
	claim(t.twice == 0, "and nothing is executed twice (%llu)",
		  (unsigned long long) t.twice);
	claim(t.unended == 0, "and what can be told ends (%llu)",
		  (unsigned long long) t.unended);
	claim(t.rows == 0, "and held is never dirty, in_doubt always (%llu)",
		  (unsigned long long) t.rows);
	claim(t.settled > 0 && t.refunded > 0 && t.in_doubt > 0,
		  "and all three ends are seen");
	if (t.first_seed != 0)
		printf("# the first of them has seed %llu\n",
			   (unsigned long long) t.first_seed);

	for (i = 0; with_plants && i < sizeof(deadly) / sizeof(deadly[0]); i++)
	{
		Tally		bad = live_all(lives, plant_named(deadly[i]));

		claim(bad.money + bad.twice > 0,
			  "plant '%s' costs money: %llu lives, the first with seed %llu",
			  deadly[i], (unsigned long long) (bad.money + bad.twice),
			  (unsigned long long) bad.first_seed);
	}
}
