/*-------------------------------------------------------------------------
 *
 * fsm_test.c
 *	  Test of the transition function: the claims and the cases.
 *
 * The product of everything that a guard can ask, for every state and every
 * event, goes through operation_step(): first against the table written a
 * second time (fsm_oracle.c), then against what must always hold
 * (fsm_properties.c).  What a kind of event cannot see is not multiplied but
 * drawn, from a fixed seed.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm_test.h"

#define NOW			(INT64_C(800000000) * US_PER_S)
#define MARGIN		(60 * US_PER_S)
#define RETENTION	(24 * 60 * US_PER_MIN)

static int	passed;
static int	failed;
static bool quiet;
static uint64_t every = 1;

void
claim(bool ok, const char *format,...)
{
	va_list		args;

	if (ok)
		passed++;
	else
		failed++;
	if (ok && quiet)
		return;
	printf("%s - ", ok ? "ok" : "not ok");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

const char *
event_name(OpEventKind kind)
{
	static const char *const names[OP_EVENT_COUNT] = {
		[OP_EV_PREDECESSOR_ENDED] = "predecessor_ended",
		[OP_EV_CLAIM] = "claim",
		[OP_EV_TICK] = "tick",
		[OP_EV_WORKER_LOST] = "worker_lost",
		[OP_EV_REPLY_EXECUTED] = "reply_executed",
		[OP_EV_REPLY_REJECTED] = "reply_rejected",
		[OP_EV_REPLY_CANCELLED] = "reply_cancelled",
		[OP_EV_REPLY_EXPIRED] = "reply_expired",
		[OP_EV_REPLY_NOT_FOUND] = "reply_not_found",
		[OP_EV_REPLY_BUSY] = "reply_busy",
		[OP_EV_REPLY_CONFLICT] = "reply_conflict",
		[OP_EV_NOT_SENT] = "not_sent",
		[OP_EV_NOT_EXECUTED] = "not_executed",
		[OP_EV_REFUSED] = "refused",
		[OP_EV_MISCONFIGURED] = "misconfigured",
		[OP_EV_AMBIGUOUS] = "ambiguous",
		[OP_EV_CANCEL_REQUEST] = "cancel_request",
		[OP_EV_RESOLVE_EXECUTED] = "resolve_executed",
		[OP_EV_RESOLVE_NOT_EXECUTED] = "resolve_not_executed",
		[OP_EV_INCARNATION_CHANGED] = "incarnation_changed",
		[OP_EV_RECONCILED_EXECUTED] = "reconciled_executed",
		[OP_EV_RECONCILED_FENCED] = "reconciled_fenced",
		[OP_EV_RECONCILED_NEVER_SENT] = "reconciled_never_sent",
		[OP_EV_RECONCILED_UNKNOWN] = "reconciled_unknown"
	};

	return names[kind];
}

/* Times relative to now, in seconds; "never" for OP_NEVER. */
static void
print_time(const char *name, int64_t at, int64_t now)
{
	if (at == OP_NEVER)
		printf(" %s=never", name);
	else
		printf(" %s=%+.6f", name, (double) (at - now) / US_PER_S);
}

void
print_case(const Case *c, const OpStep *got)
{
	const OpFacts *f = &c->facts;
	const OpPolicy *p = &c->policy;
	const OpEvent *e = &c->event;

	printf("# %s, %s of %d, current %d, memo %d, stored %d\n",
		   operation_state_name(f->state), event_name(e->kind),
		   (int) e->verb, e->current_attempt, e->memo_matches,
		   (int) e->stored);
	printf("#   dirty %d cancel %d found_nothing %d predecessor %d attempts "
		   "%u sends %u open %u rechecks %u",
		   f->dirty, f->cancel_requested, f->found_nothing,
		   f->predecessor_open, f->attempts, f->sends, f->open_attempts,
		   f->rechecks);
	print_time("next_try", f->next_try, e->now);
	print_time("not_after", f->not_after, e->now);
	print_time("expires_at", f->expires_at, e->now);
	print_time("first_sent", f->first_sent_at, e->now);
	printf("\n#   honours %d fence %d lookup %d retention %lld dispatch %d "
		   "adopted %d slot %d circuit %d jitter %g retry_after %lld\n",
		   p->honours_memo, p->can_fence, p->can_lookup,
		   (long long) p->memo_retention, p->dispatch_enabled, p->adopted,
		   p->slot_free, p->circuit_open, e->jitter,
		   (long long) e->retry_after);
	printf("#   got %s, legal %d, actions %#x, reason %d, dirty %d, attempts "
		   "%u, sends %u, rechecks %u",
		   operation_state_name(got->state), got->legal, got->actions,
		   (int) got->reason, got->dirty, got->attempts, got->sends,
		   got->rechecks);
	print_time("next_try", got->next_try, e->now);
	printf("\n");
}

/* splitmix64 (Steele, Lea, Flood 2014) */
uint64_t
random_next(uint64_t *seed)
{
	uint64_t	z = (*seed += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* ----------------------------------------------------------------
 *						the product
 *
 * A case is a number.  Each dimension takes its value off the number; a
 * dimension that the event cannot see takes it from the draw instead.
 * ----------------------------------------------------------------
 */

typedef struct Digits
{
	uint64_t	number;			/* what is left of the case's number */
	uint64_t	size;			/* product of the dimensions so far */
	uint64_t	draw;			/* seed for the others */
} Digits;

static uint32_t
digit(Digits *d, bool seen, uint32_t base)
{
	uint32_t	value;

	if (!seen)
		return (uint32_t) (random_next(&d->draw) % base);
	value = (uint32_t) (d->number % base);
	d->number /= base;
	d->size *= base;
	return value;
}

/* What an event can see, beside the facts that all of them see. */
typedef struct Sight
{
	bool		claims;			/* claim, tick: gates, due, found_nothing */
	bool		answers;		/* which call, which attempt */
	bool		bears_memo;
	bool		queue;			/* predecessor_open */
	bool		stored;
} Sight;

static Sight
sight_of(OpEventKind kind)
{
	Sight		s = {0};

	s.claims = kind == OP_EV_CLAIM || kind == OP_EV_TICK;
	s.answers = kind >= OP_EV_WORKER_LOST && kind <= OP_EV_AMBIGUOUS;
	s.bears_memo = (kind >= OP_EV_REPLY_EXECUTED &&
					kind <= OP_EV_REPLY_EXPIRED) ||
		kind == OP_EV_RECONCILED_EXECUTED || kind == OP_EV_RECONCILED_FENCED;
	s.queue = kind == OP_EV_PREDECESSOR_ENDED ||
		kind == OP_EV_RECONCILED_NEVER_SENT;
	s.stored = kind == OP_EV_RECONCILED_FENCED;
	return s;
}

static void
set_deadlines(OpFacts *f, uint32_t which)
{
	static const int64_t not_after_s[] = {600, -30, -600, 0, -60};

	f->not_after = NOW + not_after_s[which] * US_PER_S;
	f->expires_at = f->not_after + MARGIN;
}

/* for ever, inside, the last moment before the limit, the limit, beyond */
static void
set_retention(Case *c, uint32_t which)
{
	static const int64_t age[] = {
		10 * US_PER_MIN, 10 * US_PER_MIN,
		RETENTION - MARGIN - 1, RETENTION - MARGIN, 2 * RETENTION
	};

	c->policy.memo_retention = which == 0 ? 0 : RETENTION;
	c->facts.first_sent_at = NOW - age[which];
}

static void
set_gates(OpPolicy *p, uint32_t which)
{
	p->dispatch_enabled = which != 1;
	p->adopted = which != 2;
	p->slot_free = which != 3;
	p->circuit_open = which == 4 || which == 5;
	p->gate_opens_at = which == 5 ? NOW + 20 * US_PER_S : 0;
}

static void
fill_facts(Case *c, Digits *d, Sight s)
{
	static const uint32_t rechecks[] = {0, 1, 5, 63, 64, UINT32_MAX - 1};
	static const int64_t next_s[] = {-1, 0, 5, 3600};
	OpFacts    *f = &c->facts;
	bool		refunded = f->state == OP_REFUNDED;

	f->dirty = digit(d, true, 2);
	f->cancel_requested = digit(d, true, 2);
	f->open_attempts = digit(d, true, 2);
	f->sends = digit(d, true, 2);
	f->attempts = 6 + digit(d, true, 3);
	if (f->attempts == 6)
		f->attempts = digit(d, false, 2);
	set_deadlines(f, digit(d, true, 5));
	set_retention(c, digit(d, true, 5));
	f->found_nothing = digit(d, s.claims, 2);
	f->predecessor_open = digit(d, s.queue, 2);
	f->next_try = NOW + next_s[digit(d, s.claims, 4)] * US_PER_S;
	if (digit(d, false, 16) == 0)
		f->next_try = OP_NEVER;
	f->rechecks = rechecks[digit(d, false, 6)];
	f->reason = refunded ? OP_REASON_REJECTED : OP_REASON_NONE;
}

static void
fill_policy(Case *c, Digits *d, Sight s)
{
	OpPolicy   *p = &c->policy;

	p->honours_memo = digit(d, true, 2);
	p->can_fence = digit(d, true, 2);
	p->can_lookup = digit(d, s.claims, 2);
	if (s.claims)
		set_gates(p, digit(d, true, 6));
	else
	{
		set_gates(p, digit(d, false, 6));
		p->adopted = digit(d, true, 2);
	}
	p->not_after_margin = MARGIN;
	p->max_attempts = 8;
	p->backoff_base = US_PER_S / 2;
	p->backoff_max = 60 * US_PER_S;
	p->recheck_max = 5 * US_PER_MIN;
	p->attempt_timeout = 20 * US_PER_S;
}

static void
fill_event(Case *c, Digits *d, Sight s)
{
	static const double jitter[] = {0.0, 0.25, 0.9999999};
	static const int64_t retry_s[] = {0, 0, 7, 3600};
	OpEvent    *e = &c->event;

	e->now = NOW;
	e->verb = (OpVerb) digit(d, s.answers, OP_VERB_COUNT);
	e->current_attempt = digit(d, s.answers, 2);
	e->memo_matches = digit(d, s.bears_memo, 2);
	e->stored = (OpReason) digit(d, s.stored, OP_REASON_COUNT);
	e->jitter = jitter[digit(d, false, 3)];
	e->retry_after = retry_s[digit(d, false, 4)] * US_PER_S;
	e->lease = digit(d, false, 2) * 90 * US_PER_S;
}

/* All cases of one pair; false if fn has had enough. */
static bool
for_each_of_pair(OpState state, OpEventKind kind, CaseFn fn, void *arg)
{
	Sight		s = sight_of(kind);
	uint64_t	number = 0;
	uint64_t	size;

	do
	{
		Case		c;
		Digits		d = {number, 1, number + 1000003u * kind + state};

		memset(&c, 0, sizeof(c));
		c.facts.state = state;
		c.event.kind = kind;
		fill_facts(&c, &d, s);
		fill_policy(&c, &d, s);
		fill_event(&c, &d, s);
		size = d.size;
		if (!fn(&c, arg))
			return false;
		number += every;
	} while (number < size);
	return true;
}

void
for_each_case(CaseFn fn, void *arg)
{
	int			state;
	int			kind;

	for (state = 0; state < OP_STATE_COUNT; state++)
		for (kind = 0; kind < OP_EVENT_COUNT; kind++)
			if (!for_each_of_pair((OpState) state, (OpEventKind) kind,
								  fn, arg))
				return;
}

/* ----------------------------------------------------------------
 *						claims
 * ----------------------------------------------------------------
 */

static uint64_t cases;
static uint64_t pair_cases[OP_STATE_COUNT][OP_EVENT_COUNT];
static uint64_t pair_mistakes[OP_STATE_COUNT][OP_EVENT_COUNT];

static bool
compare(const Case *c, void *arg)
{
	OpStep		got = operation_step(&c->facts, &c->policy, &c->event);

	(void) arg;
	cases++;
	pair_cases[c->facts.state][c->event.kind]++;
	if (oracle_agrees(c, &got))
		return true;
	pair_mistakes[c->facts.state][c->event.kind]++;
	return true;
}

static void
check_table(void)
{
	int			state;
	int			kind;

	for_each_case(compare, NULL);
	for (state = 0; state < OP_STATE_COUNT; state++)
		for (kind = 0; kind < OP_EVENT_COUNT; kind++)
			claim(pair_cases[state][kind] > 0 &&
				  pair_mistakes[state][kind] == 0,
				  "%s, %s: as the table says in %llu cases",
				  operation_state_name((OpState) state),
				  event_name((OpEventKind) kind),
				  (unsigned long long) pair_cases[state][kind]);
	if (every == 1)
		oracle_report();
}

static void
check_names(void)
{
	static const char *const words[OP_STATE_COUNT] = {
		"stashed", "held", "in_flight", "retry_wait", "in_doubt",
		"fencing", "conflict", "quarantined", "settled", "refunded"
	};
	static const char *const wrong[] = {
		NULL, "", "Held", "held ", "hel", "in flight", "denied"
	};
	OpState		state;
	size_t		i;

	for (i = 0; i < OP_STATE_COUNT; i++)
	{
		state = OP_REFUNDED;
		claim(strcmp(operation_state_name((OpState) i), words[i]) == 0 &&
			  operation_state_from_name(words[i], &state) &&
			  state == (OpState) i, "the word %s, there and back", words[i]);
	}
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		state = OP_FENCING;
		claim(!operation_state_from_name(wrong[i], &state) &&
			  state == OP_FENCING, "'%s' is no state",
			  wrong[i] ? wrong[i] : "(null)");
	}
	claim(operation_state_name((OpState) 77) == NULL &&
		  operation_state_name((OpState) -1) == NULL &&
		  operation_reason_name((OpReason) 77) == NULL,
		  "what is outside an enum has no name");
	claim(operation_reason_name(OP_REASON_NONE) == NULL &&
		  strcmp(operation_reason_name(OP_REASON_REJECTED), "rejected") == 0 &&
		  strcmp(operation_reason_name(OP_REASON_CANCELLED),
				 "cancelled") == 0 &&
		  strcmp(operation_reason_name(OP_REASON_EXPIRED), "expired") == 0,
		  "the words of the reasons");
}

static void
check_begin(void)
{
	OpFacts		f;
	OpStep		s;

	memset(&f, 0x5a, sizeof(f));
	f.not_after = NOW + 900 * US_PER_S;
	f.predecessor_open = false;
	s = operation_begin(&f, NOW);
	claim(s.legal && s.state == OP_HELD && s.next_try == NOW && !s.dirty &&
		  !s.found_nothing && s.reason == OP_REASON_NONE && s.attempts == 0 &&
		  s.sends == 0 && s.rechecks == 0 && s.actions == 0 &&
		  s.first_sent_at == NOW,
		  "an operation begins held, clean and due");
	f.predecessor_open = true;
	s = operation_begin(&f, NOW);
	claim(s.legal && s.state == OP_STASHED && s.next_try == f.not_after &&
		  !s.dirty && s.actions == 0,
		  "behind another one it begins stashed, until not_after");
}

/* Values at the ends of their types must neither trap nor wrap. */
static void
check_extremes(void)
{
	static const int64_t ends[] = {
		INT64_MIN, -1, 0, 1, INT64_MAX - 1, INT64_MAX
	};
	static const double jitters[] = {-1.0, 0.0, 0.5, 1.0, 2.0};
	uint64_t	seed = 7;
	uint64_t	wrong = 0;
	int			i;

#define END		ends[random_next(&seed) % 6]
#define BIT		(random_next(&seed) & 1)
	for (i = 0; i < 300000; i++)
	{
		OpFacts		f = {
			.state = (OpState) (random_next(&seed) % 12),
			.dirty = BIT,.cancel_requested = BIT,.found_nothing = BIT,
			.attempts = (uint32_t) END,.sends = (uint32_t) END,
			.open_attempts = (uint32_t) END,.rechecks = (uint32_t) END,
			.next_try = END,.not_after = END,.expires_at = END,
			.first_sent_at = END
		};
		OpPolicy	p = {
			.honours_memo = BIT,.can_fence = BIT,.can_lookup = BIT,
			.memo_retention = END,.not_after_margin = END,
			.max_attempts = (uint32_t) END,.backoff_base = END,
			.backoff_max = END,.recheck_max = END,.attempt_timeout = END,
			.dispatch_enabled = true,.adopted = BIT,.slot_free = true,
			.gate_opens_at = END
		};
		OpEvent		e = {
			.kind = (OpEventKind) (random_next(&seed) % (OP_EVENT_COUNT + 2)),
			.now = END,.jitter = jitters[random_next(&seed) % 5],
			.verb = (OpVerb) (random_next(&seed) % 4),.current_attempt = BIT,
			.memo_matches = BIT,.retry_after = END,.lease = END
		};
		OpStep		s = operation_step(&f, &p, &e);

		if (s.next_try != f.next_try && s.next_try < e.now)
			wrong++;
		if ((unsigned int) f.state >= OP_STATE_COUNT ||
			(unsigned int) e.kind >= OP_EVENT_COUNT)
			wrong += s.legal || s.state != f.state ||
				s.actions != OP_DO_NOTE;
	}
	claim(wrong == 0, "values at the ends of their types: no step into the "
		  "past, no action outside the enums");
}

int
main(int argc, char **argv)
{
	int			i;

	for (i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "--quiet") == 0)
			quiet = true;
		else if (strcmp(argv[i], "--every") == 0 && i + 1 < argc)
			every = strtoull(argv[++i], NULL, 10);
		else
			every = 0;
	}
	if (every == 0)
	{
		fprintf(stderr, "usage: %s [--quiet] [--every N]\n", argv[0]);
		return 2;
	}
	check_names();
	check_begin();
	check_table();
	check_properties();
	check_extremes();
	check_plants();
	check_walks(20000 / every, every == 1);
	printf("# %llu cases\n", (unsigned long long) cases);
	printf("%d passed, %d failed\n", passed, failed);
	return failed == 0 ? 0 : 1;
}
