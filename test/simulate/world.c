/*-------------------------------------------------------------------------
 *
 * world.c
 *	  One seed: what exists, which faults there are, what happens next.
 *
 * Which faults can occur at all is drawn first, then how often ("swarm
 * testing", Groce et al., ISSTA 2012): a seed in which everything goes wrong
 * at once seldom gets far enough to be interesting.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "simulate.h"

#define MAX_EVENTS	50000
#define PATIENCE	(40 * US_PER_MIN)	/* of a person, when all is calm */
#define DEADLINE	(12 * 60 * US_PER_MIN)

/* Of 1000 chances, at most. */
static const uint16_t worst[F_COUNT] = {
	[F_COMMIT_FAILS] = 100,
	[F_COMMIT_UNKNOWN] = 250,
	[F_WAL_WRITER] = 800,
	[F_STANDBY_LAGS] = 700,
	[F_WORKER_KILLED] = 100,
	[F_NOT_SENT] = 300,
	[F_REQUEST_LOST] = 400,
	[F_REQUEST_DOUBLED] = 400,
	[F_REPLY_LOST] = 500,
	[F_REPLY_DOUBLED] = 400,
	[F_LATE] = 500,
	[F_NOT_EXECUTED] = 400,
	[F_MISCONFIGURED] = 250,
	[F_REFUSED] = 200,
	[F_BUSY] = 300,
	[F_AMBIGUOUS] = 300,
	[F_MIXED_UP] = 50,
	[F_GATE_CLOSED] = 400,
	[F_PULLER_PAUSED] = 300,
	[F_PULLER_DIES] = 150,
	[F_PULLER_FORGETS_LEASE] = 900
};

/* ---- chance ----------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014) */
static uint64_t
next_random(World *w)
{
	uint64_t	z = (w->random += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* 0 .. below - 1 */
uint64_t
pick(World *w, uint64_t below)
{
	return next_random(w) % below;
}

bool
chance(World *w, unsigned int in_1000)
{
	return pick(w, 1000) < in_1000;
}

/* No number is drawn for a fault that this seed does not have. */
bool
fault(World *w, Fault f)
{
	return !w->calm && w->odds[f] > 0 && chance(w, w->odds[f]);
}

int64_t
our_clock(const World *w)
{
	return w->now + w->offset;
}

/* ---- the agenda: a binary heap by time, then by order ------------------ */

static bool
is_before(const Occasion *a, const Occasion *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void
swap(Occasion *a, Occasion *b)
{
	Occasion	c = *a;

	*a = *b;
	*b = c;
}

void
plan(World *w, int64_t at, OccasionKind kind, int arg)
{
	int			i = w->occasions;

	if (i == OCCASIONS)
	{
		judge_fails(w, 0, "the simulator's agenda is too short");
		return;
	}
	w->heap[i].at = at;
	w->heap[i].order = w->next_order++;
	w->heap[i].kind = (uint16_t) kind;
	w->heap[i].arg = (uint16_t) arg;
	w->occasions++;
	for (; i > 0 && is_before(&w->heap[i], &w->heap[(i - 1) / 2]);
		 i = (i - 1) / 2)
		swap(&w->heap[i], &w->heap[(i - 1) / 2]);
}

static Occasion
take_first(World *w)
{
	Occasion	first = w->heap[0];
	int			i = 0;

	w->heap[0] = w->heap[--w->occasions];
	for (;;)
	{
		int			least = i;
		int			k;

		for (k = 2 * i + 1; k <= 2 * i + 2; k++)
			if (k < w->occasions && is_before(&w->heap[k], &w->heap[least]))
				least = k;
		if (least == i)
			return first;
		swap(&w->heap[i], &w->heap[least]);
		i = least;
	}
}

/* ---- how it begins ---------------------------------------------------- */

static void
draw_server(World *w, Server *s)
{
	OpPolicy   *p = &s->policy;

	s->pull = chance(w, 400);
	s->strict = chance(w, 300);
	p->honours_memo = chance(w, 800);
	p->can_fence = chance(w, 700);
	p->can_lookup = chance(w, 700);
	if (chance(w, 350))
		p->memo_retention = (3 + (int64_t) pick(w, 20)) * US_PER_MIN;
	p->not_after_margin = MARGIN;
	p->max_attempts = 1 + (uint32_t) pick(w, 8);
	p->backoff_base = US_PER_S / 2;
	p->backoff_max = 60 * US_PER_S;
	p->recheck_max = 5 * US_PER_MIN;
	p->attempt_timeout = TIMEOUT;
	s->longest_delay = p->memo_retention > 0 ? 12 * US_PER_S :
		15 * US_PER_MIN;
}

/*
 * Clocks may be wrong by hours, but not where a remote forgets memos: there
 * all errors and delays together have to stay below the margin.
 */
static void
draw_clocks(World *w)
{
	int64_t		error = 60 * US_PER_MIN;
	int			i;

	for (i = 0; i < SERVERS; i++)
		if (w->servers[i].policy.memo_retention > 0)
			error = 10 * US_PER_S;
	w->longest_step = chance(w, 300) ? error : 8 * US_PER_S;
	for (i = 0; i < SERVERS; i++)
		w->servers[i].skew = (int64_t) pick(w, (uint64_t) (error / 2)) -
			error / 4;
}

static void
draw_operation(World *w, int op)
{
	Truth	   *t = &w->truth[op];
	int64_t		at = BIRTH + (int64_t) pick(w, 3 * US_PER_MIN);

	t->account = (uint8_t) pick(w, ACCOUNTS);
	t->server = (uint8_t) pick(w, SERVERS);
	t->amount = (1 + (int64_t) pick(w, 1000)) * (chance(w, 800) ? 1 : -1);
	t->lifetime = 20 * US_PER_S + (int64_t) pick(w, 20 * US_PER_MIN);
	t->refused = chance(w, 150);
	t->wanted = true;
	plan(w, at, WHEN_SUBMIT, op);
	if (chance(w, 350))
		plan(w, at + (int64_t) pick(w, 3 * US_PER_MIN), WHEN_CANCEL, op);
	if (chance(w, 100))
		plan(w, at + (int64_t) pick(w, 25 * US_PER_MIN),
			 WHEN_HASTY_RESOLVE, op);
}

static void
draw_disasters(World *w)
{
	int64_t		span = w->calm_at - BIRTH;
	int			steps = chance(w, 300) ? 1 + (int) pick(w, 3) : 0;

	while (steps-- > 0)
		plan(w, BIRTH + (int64_t) pick(w, (uint64_t) span),
			 WHEN_CLOCK_STEPS, 0);
	if (chance(w, 150))
	{
		int64_t		backup = BIRTH + (int64_t) pick(w, 10 * US_PER_MIN);

		plan(w, backup, WHEN_BACKUP, 0);
		plan(w, backup + 1 + (int64_t) pick(w, 10 * US_PER_MIN),
			 WHEN_RESTORE, 0);
	}
	if (chance(w, 200))
		plan(w, BIRTH + (int64_t) pick(w, 10 * US_PER_MIN),
			 WHEN_PROMOTION, 0);
	w->crashes_left = chance(w, 600) ? (int) pick(w, 5) : 0;
	w->crash_in = 1 + (int) pick(w, 60);
}

static void
be_born(World *w, uint64_t seed, bool trace)
{
	int			i;

	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->random = seed * UINT64_C(0xD1342543DE82EF95) + 1;
	w->trace = trace;
	w->now = BIRTH;
	for (i = 0; i < F_COUNT; i++)
		w->odds[i] = chance(w, 500) ? (uint16_t) pick(w, worst[i] + 1u) : 0;
	w->calm_at = BIRTH + 2 * US_PER_MIN +
		(int64_t) pick(w, 25 * US_PER_MIN);
	for (i = 0; i < SERVERS; i++)
		draw_server(w, &w->servers[i]);
	draw_clocks(w);
	for (i = 0; i < ACCOUNTS; i++)
		w->queue[i] = chance(w, 350);
	db_begin(w);
	w->ops = 1 + (int) pick(w, OPS);
	for (i = 0; i < w->ops; i++)
		draw_operation(w, i);
	draw_disasters(w);
	plan(w, w->calm_at, WHEN_CALM, 0);
	worker_start(w, 1);
	for (i = 0; i < PULLERS; i++)
		w->pullers[i].wakes_at = BIRTH + 1 + i;
}

/* ---- what happens ----------------------------------------------------- */

static void
step_clock(World *w)
{
	int64_t		step = (int64_t) pick(w, (uint64_t) w->longest_step) -
		w->longest_step / 2;

	if (w->calm)
		return;
	w->offset = step;
	TRACE(w, "our clock steps: it is wrong by %lld ms",
		  (long long) (step / 1000));
}

static void
become_calm(World *w)
{
	w->calm = true;
	w->offset = 0;
	w->worker_at = w->now;
	TRACE(w, "faults are over");
	people_adopt(w);
	plan(w, w->now + PATIENCE, WHEN_PERSON, 0);
}

/* What nobody but a person can decide, once nothing of it moves. */
static void
look_after_stuck(World *w)
{
	bool		open = false;
	int			i;

	for (i = 0; i < w->ops; i++)
	{
		const Row  *row = &w->db.rows[i];

		if (row->exists && w->truth[i].undone)
			people_compare(w, i);
		if (!row->exists || db_ended(row))
			continue;
		open = true;
		if (network_busy_with(w, i) || pull_busy_with(w, i) ||
			worker_busy_with(w, i))
			continue;
		if (row->facts.state == OP_CONFLICT ||
			(row->facts.state == OP_IN_DOUBT &&
			 !judge_could_be_told(w, i)))
			people_resolve(w, i, false);
	}
	if (open)
		plan(w, w->now + 10 * US_PER_MIN, WHEN_PERSON, 0);
}

static void
happens(World *w, Occasion o)
{
	switch ((OccasionKind) o.kind)
	{
		case WHEN_MESSAGE:
			network_arrive(w, o.arg);
			break;
		case WHEN_SUBMIT:
			people_submit(w, o.arg);
			break;
		case WHEN_CANCEL:
			people_cancel(w, o.arg);
			break;
		case WHEN_HASTY_RESOLVE:
			people_resolve(w, o.arg, true);
			break;
		case WHEN_CLOCK_STEPS:
			step_clock(w);
			break;
		case WHEN_BACKUP:
			TRACE(w, "a backup is taken");
			w->backup = w->disk;
			w->has_backup = true;
			break;
		case WHEN_RESTORE:
			if (w->has_backup && !w->calm)
				db_restore(w, &w->backup, "RESTORE of the backup");
			break;
		case WHEN_PROMOTION:
			if (!w->calm)
				db_restore(w, &w->standby, "PROMOTION of the standby");
			break;
		case WHEN_ADOPTION:
			people_adopt(w);
			break;
		case WHEN_PERSON:
			look_after_stuck(w);
			break;
		case WHEN_CALM:
			become_calm(w);
			break;
	}
}

/* Somebody still has to do something. */
static bool
is_moving(const World *w)
{
	int			i;

	if (!w->calm || w->occasions > 0)
		return true;
	for (i = 0; i < w->ops; i++)
		if (w->db.rows[i].exists && !db_ended(&w->db.rows[i]))
			return true;
	for (i = 0; i < PULLERS; i++)
		if (w->pullers[i].stage != PULL_IDLE)
			return true;
	for (i = 0; i < FLIGHTS; i++)
		if (w->flights[i].used)
			return true;
	return false;
}

static void
live_on(World *w)
{
	int64_t		at = w->worker_at;
	int			puller = -1;
	int			i;

	for (i = 0; i < PULLERS; i++)
		if (w->pullers[i].wakes_at < at)
		{
			at = w->pullers[i].wakes_at;
			puller = i;
		}
	if (w->occasions > 0 && w->heap[0].at <= at)
	{
		w->now = w->heap[0].at > w->now ? w->heap[0].at : w->now;
		happens(w, take_first(w));
		return;
	}
	w->now = at > w->now ? at : w->now;
	if (puller >= 0)
		pull_act(w, puller);
	else
		worker_round(w);
}

/* A whole life.  w->failure says what went wrong, if anything did. */
void
live(World *w, uint64_t seed, bool trace)
{
	int			events = 0;

	be_born(w, seed, trace);
	while (is_moving(w) && w->failure == NULL)
	{
		live_on(w);
		tally.events++;
		if (++events > MAX_EVENTS || w->now > w->calm_at + DEADLINE)
			break;
	}
	judge_end(w);
}
