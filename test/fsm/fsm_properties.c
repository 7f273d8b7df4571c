/*-------------------------------------------------------------------------
 *
 * fsm_properties.c
 *	  What must hold for every step of an operation.
 *
 * A property looks at one case and one step and knows nothing of the table.
 * That each of them can fail is shown in fsm_plants.c.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>

#include "fsm_test.h"

/* ----------------------------------------------------------------
 *						words for the properties
 * ----------------------------------------------------------------
 */

static bool
is_one_of(OpEventKind kind, const OpEventKind *list, size_t n)
{
	size_t		i;

	for (i = 0; i < n; i++)
		if (list[i] == kind)
			return true;
	return false;
}

#define IS_ONE_OF(kind, ...) \
	is_one_of(kind, (const OpEventKind[]) {__VA_ARGS__}, \
			  sizeof((const OpEventKind[]) {__VA_ARGS__}) / \
			  sizeof(OpEventKind))

static bool
terminal(OpState state)
{
	return state == OP_SETTLED || state == OP_REFUNDED;
}

static bool
waiting(OpState state)
{
	return state == OP_STASHED || state == OP_HELD || state == OP_RETRY_WAIT;
}

static bool
says_failed(const OpEvent *e)
{
	return IS_ONE_OF(e->kind, OP_EV_REPLY_REJECTED, OP_EV_REPLY_CANCELLED,
					 OP_EV_REPLY_EXPIRED);
}

static bool
says_not_run(const OpEvent *e)
{
	return IS_ONE_OF(e->kind, OP_EV_NOT_SENT, OP_EV_NOT_EXECUTED,
					 OP_EV_REFUSED, OP_EV_MISCONFIGURED);
}

static bool
says_nothing(const OpEvent *e)
{
	return IS_ONE_OF(e->kind, OP_EV_AMBIGUOUS, OP_EV_REPLY_BUSY,
					 OP_EV_REPLY_NOT_FOUND);
}

static bool
says_executed(const OpEvent *e)
{
	return IS_ONE_OF(e->kind, OP_EV_REPLY_EXECUTED, OP_EV_RECONCILED_EXECUTED);
}

static bool
is_look(const OpEvent *e)
{
	return e->kind == OP_EV_CLAIM || e->kind == OP_EV_TICK;
}

static bool
clean(const Case *c)
{
	return !c->facts.dirty && c->facts.open_attempts == 0;
}

static bool
before_pruning(const Case *c)
{
	const OpPolicy *p = &c->policy;

	return p->memo_retention == 0 || c->event.now <
		c->facts.first_sent_at + p->memo_retention - p->not_after_margin;
}

/* The answer to the execute attempt that is in flight. */
static bool
answers_flight(const Case *c)
{
	return c->facts.state == OP_IN_FLIGHT &&
		c->event.verb == OP_VERB_EXECUTE && c->event.current_attempt;
}

static bool
moved(const Case *c, const OpStep *s)
{
	return s->state != c->facts.state;
}

/* ----------------------------------------------------------------
 *						properties
 * ----------------------------------------------------------------
 */

static bool
terminal_stays(const Case *c, const OpStep *s)
{
	return !terminal(c->facts.state) ||
		(!moved(c, s) && s->reason == c->facts.reason &&
		 (s->actions & ~(OP_DO_NOTE | OP_DO_FINDING |
						 OP_DO_OPEN_CIRCUIT)) == 0);
}

static bool
release_is_refund(const Case *c, const OpStep *s)
{
	return ((s->actions & OP_DO_RELEASE) != 0) ==
		(moved(c, s) && s->state == OP_REFUNDED);
}

static bool
capture_is_settle(const Case *c, const OpStep *s)
{
	return ((s->actions & OP_DO_CAPTURE) != 0) ==
		(moved(c, s) && s->state == OP_SETTLED);
}

/* The stored word of a remote that goes by the memo. */
static bool
stored_proof(const Case *c)
{
	const OpEvent *e = &c->event;
	OpState		from = c->facts.state;

	if (!c->policy.honours_memo || !e->memo_matches)
		return false;
	if (e->kind == OP_EV_RECONCILED_FENCED && from == OP_QUARANTINED)
		return e->stored == OP_REASON_REJECTED ||
			e->stored == OP_REASON_EXPIRED || before_pruning(c);
	if (!says_failed(e))
		return false;
	if (answers_flight(c))
		return c->facts.open_attempts == 0;
	return e->verb != OP_VERB_EXECUTE &&
		(from == OP_IN_DOUBT || from == OP_FENCING) &&
		(e->kind != OP_EV_REPLY_CANCELLED || before_pruning(c));
}

/* Nothing was sent that is not proven not to have run. */
static bool
unsent_proof(const Case *c)
{
	const OpEvent *e = &c->event;

	if (!clean(c) || !c->policy.adopted)
		return false;
	if (waiting(c->facts.state))
		return is_look(e) || e->kind == OP_EV_CANCEL_REQUEST;
	return answers_flight(c) &&
		(says_not_run(e) || (says_failed(e) && e->memo_matches));
}

static bool
refund_has_proof(const Case *c, const OpStep *s)
{
	OpState		from = c->facts.state;
	bool		resolved = c->event.kind == OP_EV_RESOLVE_NOT_EXECUTED &&
		(from == OP_CONFLICT || from == OP_IN_DOUBT);

	return !moved(c, s) || s->state != OP_REFUNDED ||
		stored_proof(c) || unsent_proof(c) || resolved;
}

static bool
settle_has_proof(const Case *c, const OpStep *s)
{
	return !moved(c, s) || s->state != OP_SETTLED ||
		(says_executed(&c->event) && c->event.memo_matches) ||
		c->event.kind == OP_EV_RESOLVE_EXECUTED;
}

static bool
executed_settles(const Case *c, const OpStep *s)
{
	if (!says_executed(&c->event) || !c->event.memo_matches)
		return true;
	if (c->facts.state == OP_REFUNDED)
		return (s->actions & OP_DO_FINDING) != 0 &&
			(s->actions & OP_DO_OPEN_CIRCUIT) != 0;
	return c->facts.state == OP_CONFLICT || s->state == OP_SETTLED;
}

static bool
dirty_stays(const Case *c, const OpStep *s)
{
	return s->dirty || !c->facts.dirty;
}

/* An attempt in flight that ends without a word leaves its mark. */
static bool
doubt_is_dirty(const Case *c, const OpStep *s)
{
	bool		silence = c->facts.state == OP_IN_FLIGHT &&
		((says_nothing(&c->event) && answers_flight(c)) ||
		 (c->event.kind == OP_EV_WORKER_LOST && c->event.current_attempt) ||
		 c->event.kind == OP_EV_INCARNATION_CHANGED ||
		 (is_look(&c->event) && moved(c, s)));

	if (silence && !s->dirty)
		return false;
	return !moved(c, s) || s->dirty || (s->state != OP_IN_DOUBT &&
										s->state != OP_FENCING &&
										s->state != OP_CONFLICT) ||
		c->facts.state == OP_IN_DOUBT;
}

static bool
stale_failure_noted(const Case *c, const OpStep *s)
{
	const OpEvent *e = &c->event;
	bool		failure = (says_failed(e) && e->memo_matches) ||
		says_not_run(e) || says_nothing(e);

	return !failure || e->verb != OP_VERB_EXECUTE || answers_flight(c) ||
		(!moved(c, s) && !s->legal);
}

static bool
sends(const OpStep *s)
{
	return (s->actions & OP_DO_SEND_EXECUTE) != 0;
}

static bool
send_before_not_after(const Case *c, const OpStep *s)
{
	return !sends(s) || c->event.now < c->facts.not_after;
}

static bool
send_dirty_needs_memo(const Case *c, const OpStep *s)
{
	return !sends(s) || c->policy.honours_memo ||
		(clean(c) && c->facts.sends == 0);
}

static bool
send_inside_retention(const Case *c, const OpStep *s)
{
	return !sends(s) || (clean(c) && c->facts.sends == 0) ||
		before_pruning(c);
}

static bool
send_within_attempts(const Case *c, const OpStep *s)
{
	return !sends(s) || (c->facts.attempts < c->policy.max_attempts &&
						 s->attempts == c->facts.attempts + 1);
}

static bool
send_through_gates(const Case *c, const OpStep *s)
{
	const OpPolicy *p = &c->policy;

	return (s->actions & OP_DO_SEND_ANY) == 0 ||
		(c->event.kind == OP_EV_CLAIM && p->dispatch_enabled &&
		 p->adopted && p->slot_free && !p->circuit_open &&
		 c->event.now >= c->facts.next_try);
}

static bool
send_after_flush(const Case *c, const OpStep *s)
{
	uint32_t	effect = OP_DO_SEND_EXECUTE | OP_DO_SEND_FENCE;
	uint32_t	any = s->actions & OP_DO_SEND_ANY;

	return (any & (any - 1)) == 0 &&
		((s->actions & effect) != 0) ==
		((s->actions & OP_DO_NEW_ATTEMPT) != 0) &&
		(sends(s) == (moved(c, s) && s->state == OP_IN_FLIGHT)) &&
		(((s->actions & OP_DO_SEND_FENCE) != 0) ==
		 (moved(c, s) && s->state == OP_FENCING));
}

static bool
fence_can_prove(const Case *c, const OpStep *s)
{
	return (s->actions & OP_DO_SEND_FENCE) == 0 ||
		(c->policy.can_fence && c->policy.honours_memo && before_pruning(c));
}

static bool
lookup_is_possible(const Case *c, const OpStep *s)
{
	return (s->actions & OP_DO_SEND_LOOKUP) == 0 ||
		(c->policy.can_lookup && s->state == OP_IN_DOUBT);
}

/* in_doubt accepts nothing but lookup and fence */
static bool
doubt_never_sends(const Case *c, const OpStep *s)
{
	return !sends(s) || c->facts.state == OP_HELD ||
		c->facts.state == OP_RETRY_WAIT;
}

static bool
one_attempt_without_memo(const Case *c, const OpStep *s)
{
	bool		doubt = answers_flight(c) && says_nothing(&c->event) &&
		!c->policy.honours_memo && c->facts.sends > 0;

	return !doubt || s->state == OP_IN_DOUBT;
}

static bool
conflict_is_kept(const Case *c, const OpStep *s)
{
	const OpEvent *e = &c->event;

	return c->facts.state != OP_CONFLICT || !moved(c, s) ||
		IS_ONE_OF(e->kind, OP_EV_RESOLVE_EXECUTED, OP_EV_RESOLVE_NOT_EXECUTED,
				  OP_EV_INCARNATION_CHANGED);
}

static bool
mismatch_is_conflict(const Case *c, const OpStep *s)
{
	const OpEvent *e = &c->event;
	bool		other = e->kind == OP_EV_REPLY_CONFLICT ||
		(!e->memo_matches && (says_executed(e) || says_failed(e) ||
							  e->kind == OP_EV_RECONCILED_FENCED));

	return !other || terminal(c->facts.state) ||
		(s->state == OP_CONFLICT && (s->actions & OP_DO_FINDING) != 0 &&
		 (s->actions & OP_DO_OPEN_CIRCUIT) != 0);
}

static bool
illegal_changes_nothing(const Case *c, const OpStep *s)
{
	const OpFacts *f = &c->facts;

	return s->legal ||
		(!moved(c, s) && s->reason == f->reason && s->dirty == f->dirty &&
		 s->found_nothing == f->found_nothing &&
		 s->attempts == f->attempts && s->sends == f->sends &&
		 s->rechecks == f->rechecks && s->next_try == f->next_try &&
		 s->first_sent_at == f->first_sent_at && s->actions == OP_DO_NOTE);
}

static bool
ends_are_told(const Case *c, const OpStep *s)
{
	bool		ended = moved(c, s) && terminal(s->state);
	bool		doubt = moved(c, s) &&
		(s->state == OP_CONFLICT ||
		 (s->state == OP_IN_DOUBT && c->facts.state != OP_FENCING));

	return ((s->actions & OP_DO_CONTINUE) != 0) == ended &&
		((s->actions & OP_DO_DOUBT) != 0) == doubt &&
		((s->actions & OP_DO_NOTIFY) != 0) == (ended || doubt) &&
		(s->reason != OP_REASON_NONE) == (s->state == OP_REFUNDED);
}

static bool
resolve_is_audited(const Case *c, const OpStep *s)
{
	bool		resolve = c->event.kind == OP_EV_RESOLVE_EXECUTED ||
		c->event.kind == OP_EV_RESOLVE_NOT_EXECUTED;

	return ((s->actions & OP_DO_AUDIT) != 0) == (resolve && s->legal);
}

static bool
configuration_burns_nothing(const Case *c, const OpStep *s)
{
	bool		burns = c->event.kind == OP_EV_MISCONFIGURED &&
		answers_flight(c);

	return ((s->actions & OP_DO_UNCOUNT_ATTEMPT) != 0) == burns &&
		(!burns || ((s->actions & OP_DO_OPEN_CIRCUIT) != 0 &&
					s->state == OP_RETRY_WAIT &&
					s->dirty == c->facts.dirty &&
					s->attempts == c->facts.attempts -
					(c->facts.attempts > 0)));
}

/* Every wait has an end, or somebody named who ends it. */
static bool
waits_have_an_end(const Case *c, const OpStep *s)
{
	bool		outside = s->state == OP_STASHED ||	/* the predecessor */
		s->state == OP_CONFLICT ||	/* resolve() */
		s->state == OP_QUARANTINED ||	/* reconciliation */
		terminal(s->state);
	bool		untouched = !moved(c, s) && s->next_try == c->facts.next_try;

	/* a flag, a note and a tick do not move the deadline of a call */
	if (untouched && (!s->legal || s->actions == OP_DO_SET_CANCEL_REQUESTED ||
					  (s->actions == 0 && (s->state == OP_IN_FLIGHT ||
										   s->state == OP_FENCING))))
		return true;
	return outside || s->next_try != OP_NEVER;
}

static bool
never_into_the_past(const Case *c, const OpStep *s)
{
	return s->next_try == c->facts.next_try || s->next_try >= c->event.now;
}

static bool
rechecks_within_limit(const Case *c, const OpStep *s)
{
	bool		set = moved(c, s) || s->next_try != c->facts.next_try;

	return !set || (s->state != OP_IN_DOUBT && s->state != OP_FENCING) ||
		s->next_try <= c->event.now + c->policy.recheck_max;
}

static bool
retry_not_past_deadline(const Case *c, const OpStep *s)
{
	return !moved(c, s) || s->state != OP_RETRY_WAIT ||
		s->next_try <= c->facts.not_after || s->next_try == c->event.now;
}

static bool
gates_let_results_in(const Case *c, const OpStep *s)
{
	Case		open = *c;
	OpStep		other;

	if (is_look(&c->event))
		return true;
	open.policy.dispatch_enabled = open.policy.slot_free = true;
	open.policy.circuit_open = false;
	open.policy.gate_opens_at = 0;
	other = operation_step(&open.facts, &open.policy, &open.event);
	return other.state == s->state && other.actions == s->actions;
}

static const Property properties[] = {
	{"a terminal state never changes", terminal_stays},
	{"release goes with refunded, and only with it", release_is_refund},
	{"capture goes with settled, and only with it", capture_is_settle},
	{"a refund has proof", refund_has_proof},
	{"a settlement has proof", settle_has_proof},
	{"executed settles, however late; after a refund it alarms",
	executed_settles},
	{"dirty is never lost", dirty_stays},
	{"silence leaves it dirty", doubt_is_dirty},
	{"a failure of an old attempt is only noted", stale_failure_noted},
	{"no execute after not_after", send_before_not_after},
	{"no second execute to a remote without memos", send_dirty_needs_memo},
	{"no second execute after memo_retention", send_inside_retention},
	{"no execute beyond max_attempts", send_within_attempts},
	{"nothing is sent but by a due claim through open gates",
	send_through_gates},
	{"each execute and fence has its attempt row first", send_after_flush},
	{"no fence that would prove nothing", fence_can_prove},
	{"no lookup where there is none", lookup_is_possible},
	{"in doubt, nothing is executed", doubt_never_sends},
	{"without memos, ambiguity is in_doubt at once",
	one_attempt_without_memo},
	{"a conflict stays until it is resolved", conflict_is_kept},
	{"another memo is a conflict, a finding and an open circuit",
	mismatch_is_conflict},
	{"a pair outside the table changes nothing", illegal_changes_nothing},
	{"ends and doubts are told, once, and a refund has a reason",
	ends_are_told},
	{"a resolve is audited", resolve_is_audited},
	{"a configuration error burns no attempt", configuration_burns_nothing},
	{"every wait has an end", waits_have_an_end},
	{"next_try is never moved into the past", never_into_the_past},
	{"lookups and fences are at most recheck_max apart",
	rechecks_within_limit},
	{"a retry does not sleep through not_after", retry_not_past_deadline},
	{"results come in whatever the switches say", gates_let_results_in},
};

#define PROPERTIES	(sizeof(properties) / sizeof(properties[0]))

const Property *
property_at(size_t i)
{
	return i < PROPERTIES ? &properties[i] : NULL;
}

/* ----------------------------------------------------------------
 *						edges
 * ----------------------------------------------------------------
 */

/*
 * From (down) to (across), both in the order of OpState: what the table
 * allows, and two edges that no life goes through: a stashed or held row
 * that says dirty, which no step writes, ends in in_doubt and not in limbo.
 */
static const char edges[OP_STATE_COUNT][OP_STATE_COUNT + 1] = {
	[OP_STASHED] = "=x..x.xxxx",
	[OP_HELD] = ".=x.x.xxxx",
	[OP_IN_FLIGHT] = "..=xx.xxxx",
	[OP_RETRY_WAIT] = "..x=x.xxxx",
	[OP_IN_DOUBT] = "....=xxxxx",
	[OP_FENCING] = "....x=xxxx",
	[OP_CONFLICT] = "......=xxx",
	[OP_QUARANTINED] = "xx..x.x=xx",
	[OP_SETTLED] = "........=.",
	[OP_REFUNDED] = ".........="
};

typedef struct Findings
{
	uint64_t	edge[OP_STATE_COUNT][OP_STATE_COUNT];
	uint64_t	broken[PROPERTIES];
} Findings;

static bool
look_at(const Case *c, void *arg)
{
	Findings   *found = arg;
	OpStep		got = operation_step(&c->facts, &c->policy, &c->event);
	OpStep		twice = operation_step(&c->facts, &c->policy, &c->event);
	size_t		i;

	found->edge[c->facts.state][got.state]++;
	for (i = 0; i < PROPERTIES; i++)
		if (!properties[i].holds(c, &got) && found->broken[i]++ == 0)
		{
			printf("# broken: %s\n", properties[i].name);
			print_case(c, &got);
		}
	if (twice.state != got.state || twice.actions != got.actions ||
		twice.next_try != got.next_try)
		claim(false, "the same question has the same answer");
	return true;
}

void
check_properties(void)
{
	static Findings found;
	size_t		i;
	int			from;
	int			to;

	for_each_case(look_at, &found);
	for (i = 0; i < PROPERTIES; i++)
		claim(found.broken[i] == 0, "%s", properties[i].name);
	for (from = 0; from < OP_STATE_COUNT; from++)
	{
		bool		as_allowed = true;

		for (to = 0; to < OP_STATE_COUNT; to++)
			if ((found.edge[from][to] > 0) != (edges[from][to] != '.'))
			{
				printf("# %s -> %s\n", operation_state_name((OpState) from),
					   operation_state_name((OpState) to));
				as_allowed = false;
			}
		claim(as_allowed, "%s goes where the table allows, and everywhere "
			  "there", operation_state_name((OpState) from));
	}
}
