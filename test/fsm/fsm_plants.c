/*-------------------------------------------------------------------------
 *
 * fsm_plants.c
 *	  Planted bugs: the checks of this test can fail.
 *
 * Each plant is operation_step() with one rule broken from outside: the
 * question is bent before it, or the answer after it.  The enumeration must
 * find it, by the property that is there for it, and by the table.  A
 * property that no plant breaks could be one that cannot fail; so each has
 * its plant.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "fsm_test.h"

static OpStep
ask(const Case *c)
{
	return operation_step(&c->facts, &c->policy, &c->event);
}

static bool
is_look(const Case *c)
{
	return c->event.kind == OP_EV_CLAIM || c->event.kind == OP_EV_TICK;
}

/* ----------------------------------------------------------------
 *						about refunds
 * ----------------------------------------------------------------
 */

static void
force_refund(OpStep *s)
{
	s->state = OP_REFUNDED;
	s->reason = OP_REASON_EXPIRED;
	s->next_try = OP_NEVER;
	s->actions = OP_DO_RELEASE | OP_DO_CONTINUE | OP_DO_NOTIFY;
}

static OpStep
refund_on_timeout(Case c)
{
	OpStep		s = ask(&c);

	if (is_look(&c) && c.event.now >= c.facts.expires_at &&
		(s.state == OP_IN_DOUBT || s.state == OP_IN_FLIGHT))
		force_refund(&s);
	return s;
}

static OpStep
refund_on_not_found(Case c)
{
	OpStep		s = ask(&c);

	if (c.event.kind == OP_EV_REPLY_NOT_FOUND && s.legal)
		force_refund(&s);
	return s;
}

static OpStep
trust_rejection_without_memo(Case c)
{
	if (c.event.kind == OP_EV_REPLY_REJECTED)
		c.policy.honours_memo = true;
	return ask(&c);
}

static OpStep
trust_late_tombstone(Case c)
{
	if (c.event.kind == OP_EV_REPLY_CANCELLED)
		c.policy.memo_retention = 0;
	return ask(&c);
}

static OpStep
fence_decides_for_ever(Case c)
{
	if (c.facts.state == OP_IN_DOUBT || c.facts.state == OP_FENCING)
		c.policy.memo_retention = 0;
	return ask(&c);
}

static OpStep
cancel_while_dirty(Case c)
{
	if (c.event.kind == OP_EV_CANCEL_REQUEST)
		c.facts.dirty = false;
	return ask(&c);
}

static OpStep
refund_before_adoption(Case c)
{
	c.policy.adopted = true;
	return ask(&c);
}

static OpStep
apply_stale_failure(Case c)
{
	c.event.current_attempt = true;
	return ask(&c);
}

static OpStep
release_in_conflict(Case c)
{
	OpStep		s = ask(&c);

	if (s.state == OP_CONFLICT && s.legal)
		s.actions |= OP_DO_RELEASE;
	return s;
}

/* ----------------------------------------------------------------
 *						about sending
 * ----------------------------------------------------------------
 */

static OpStep
send_after_retention(Case c)
{
	c.policy.memo_retention = 0;
	return ask(&c);
}

static OpStep
send_dirty_without_memo(Case c)
{
	if (c.event.kind == OP_EV_CLAIM)
		c.policy.honours_memo = true;
	return ask(&c);
}

static OpStep
send_after_not_after(Case c)
{
	c.facts.not_after = OP_NEVER;
	return ask(&c);
}

static OpStep
send_for_ever(Case c)
{
	c.policy.max_attempts = UINT32_MAX;
	return ask(&c);
}

static OpStep
send_with_dispatch_off(Case c)
{
	c.policy.dispatch_enabled = true;
	return ask(&c);
}

static OpStep
send_before_flush(Case c)
{
	OpStep		s = ask(&c);

	s.actions &= ~OP_DO_NEW_ATTEMPT;
	return s;
}

static OpStep
send_in_doubt(Case c)
{
	if (c.facts.state == OP_IN_DOUBT)
		c.facts.state = OP_RETRY_WAIT;
	return ask(&c);
}

static OpStep
believe_in_memos(Case c)
{
	c.policy.honours_memo = true;
	return ask(&c);
}

static OpStep
retry_without_memo(Case c)
{
	if (c.event.kind == OP_EV_AMBIGUOUS)
		c.policy.honours_memo = true;
	return ask(&c);
}

static OpStep
fence_after_retention(Case c)
{
	if (c.facts.state == OP_IN_DOUBT)
		c.policy.memo_retention = 0;
	return ask(&c);
}

static OpStep
lookup_anyway(Case c)
{
	c.policy.can_lookup = true;
	return ask(&c);
}

/* ----------------------------------------------------------------
 *						about doubt
 * ----------------------------------------------------------------
 */

static OpStep
refusal_clears_dirty(Case c)
{
	OpStep		s = ask(&c);

	if (c.event.kind == OP_EV_NOT_EXECUTED)
		s.dirty = false;
	return s;
}

static OpStep
silence_is_failure(Case c)
{
	if (c.event.kind == OP_EV_AMBIGUOUS)
		c.event.kind = OP_EV_NOT_EXECUTED;
	return ask(&c);
}

static OpStep
lost_is_not_sent(Case c)
{
	if (c.event.kind == OP_EV_WORKER_LOST && c.facts.state == OP_IN_FLIGHT)
	{
		c.event.kind = OP_EV_NOT_SENT;
		c.event.verb = OP_VERB_EXECUTE;
	}
	return ask(&c);
}

/* ----------------------------------------------------------------
 *						about answers
 * ----------------------------------------------------------------
 */

static OpStep
ignore_late_executed(Case c)
{
	if (c.event.kind == OP_EV_REPLY_EXECUTED && !c.event.current_attempt)
		c.event.kind = OP_EV_PREDECESSOR_ENDED;
	return ask(&c);
}

static OpStep
quiet_after_refund(Case c)
{
	OpStep		s = ask(&c);

	if (c.facts.state == OP_REFUNDED)
		s.actions = OP_DO_NOTE;
	return s;
}

static OpStep
settle_after_refund(Case c)
{
	if (c.facts.state == OP_REFUNDED)
		c.facts.state = OP_IN_DOUBT;
	return ask(&c);
}

static OpStep
capture_twice(Case c)
{
	OpStep		s = ask(&c);

	if (c.facts.state == OP_SETTLED &&
		c.event.kind == OP_EV_REPLY_EXECUTED)
		s.actions |= OP_DO_CAPTURE;
	return s;
}

static OpStep
settle_conflict(Case c)
{
	if (c.facts.state == OP_CONFLICT && c.event.kind == OP_EV_REPLY_EXECUTED)
		c.facts.state = OP_IN_DOUBT;
	return ask(&c);
}

static OpStep
never_compare_memo(Case c)
{
	c.event.memo_matches = true;
	return ask(&c);
}

static OpStep
drop_results_with_dispatch_off(Case c)
{
	if (!c.policy.dispatch_enabled && !is_look(&c))
		c.event.kind = OP_EV_PREDECESSOR_ENDED;
	return ask(&c);
}

/* ----------------------------------------------------------------
 *						about the books and the time
 * ----------------------------------------------------------------
 */

static OpStep
note_moves_next_try(Case c)
{
	OpStep		s = ask(&c);

	if (!s.legal && s.next_try != OP_NEVER)
		s.next_try++;
	return s;
}

static OpStep
forget_continuation(Case c)
{
	OpStep		s = ask(&c);

	s.actions &= ~OP_DO_CONTINUE;
	return s;
}

static OpStep
forget_audit(Case c)
{
	OpStep		s = ask(&c);

	s.actions &= ~OP_DO_AUDIT;
	return s;
}

static OpStep
burn_on_misconfigured(Case c)
{
	OpStep		s = ask(&c);

	if (s.actions & OP_DO_UNCOUNT_ATTEMPT)
		s.attempts = c.facts.attempts;
	s.actions &= ~OP_DO_UNCOUNT_ATTEMPT;
	return s;
}

static OpStep
forget_to_look(Case c)
{
	OpStep		s = ask(&c);

	if (s.state == OP_IN_DOUBT && s.legal)
		s.next_try = OP_NEVER;
	return s;
}

static OpStep
back_off_into_past(Case c)
{
	OpStep		s = ask(&c);

	if (s.state == OP_RETRY_WAIT && s.legal)
		s.next_try = c.event.now - 1;
	return s;
}

static OpStep
recheck_hourly(Case c)
{
	c.policy.recheck_max = 60 * US_PER_MIN;
	return ask(&c);
}

static OpStep
sleep_through_not_after(Case c)
{
	c.facts.not_after = c.event.now < c.facts.not_after ?
		OP_NEVER : c.facts.not_after;
	return ask(&c);
}

/* ----------------------------------------------------------------
 *						who finds whom
 * ----------------------------------------------------------------
 */

static const struct
{
	const char *name;
	Plant		step;
	const char *property;
}			plants[] = {
	{"refund on timeout", refund_on_timeout, "a refund has proof"},
	{"refund when a lookup found nothing", refund_on_not_found,
	"a refund has proof"},
	{"refund on the rejection of a remote without memos",
	trust_rejection_without_memo, "a refund has proof"},
	{"refund on a tombstone set after the memo was dropped",
	trust_late_tombstone, "a refund has proof"},
	{"refund on a fence after memo_retention", fence_decides_for_ever,
	"a refund has proof"},
	{"refund a cancel while dirty", cancel_while_dirty,
	"a refund has proof"},
	{"refund before adoption", refund_before_adoption, "a refund has proof"},
	{"apply a stale failure", apply_stale_failure,
	"a failure of an old attempt is only noted"},
	{"release the hold of a conflict", release_in_conflict,
	"release goes with refunded, and only with it"},
	{"send again after memo_retention", send_after_retention,
	"no second execute after memo_retention"},
	{"execute while dirty without honours_memo", send_dirty_without_memo,
	"no second execute to a remote without memos"},
	{"believe that every remote goes by memos", believe_in_memos,
	"no second execute to a remote without memos"},
	{"send after not_after", send_after_not_after,
	"no execute after not_after"},
	{"send without end", send_for_ever, "no execute beyond max_attempts"},
	{"send with dispatch off", send_with_dispatch_off,
	"nothing is sent but by a due claim through open gates"},
	{"send before the attempt row", send_before_flush,
	"each execute and fence has its attempt row first"},
	{"execute in doubt", send_in_doubt, "in doubt, nothing is executed"},
	{"retry a remote without memos", retry_without_memo,
	"without memos, ambiguity is in_doubt at once"},
	{"fence after memo_retention", fence_after_retention,
	"no fence that would prove nothing"},
	{"look up where there is no lookup", lookup_anyway,
	"no lookup where there is none"},
	{"a refusal clears dirty", refusal_clears_dirty, "dirty is never lost"},
	{"take silence for a failure", silence_is_failure,
	"silence leaves it dirty"},
	{"take a lost worker for one that did not send", lost_is_not_sent,
	"silence leaves it dirty"},
	{"ignore a late executed", ignore_late_executed,
	"executed settles, however late; after a refund it alarms"},
	{"keep quiet about executed after a refund", quiet_after_refund,
	"executed settles, however late; after a refund it alarms"},
	{"settle after a refund", settle_after_refund,
	"a terminal state never changes"},
	{"capture twice", capture_twice,
	"capture goes with settled, and only with it"},
	{"settle a conflict without resolve", settle_conflict,
	"a conflict stays until it is resolved"},
	{"never compare the memo", never_compare_memo,
	"another memo is a conflict, a finding and an open circuit"},
	{"settle on another memo", never_compare_memo,
	"a settlement has proof"},
	{"drop results with dispatch off", drop_results_with_dispatch_off,
	"results come in whatever the switches say"},
	{"a note moves next_try", note_moves_next_try,
	"a pair outside the table changes nothing"},
	{"forget the continuation", forget_continuation,
	"ends and doubts are told, once, and a refund has a reason"},
	{"forget the audit row", forget_audit, "a resolve is audited"},
	{"burn an attempt on a configuration error", burn_on_misconfigured,
	"a configuration error burns no attempt"},
	{"forget to look again in doubt", forget_to_look, "every wait has an end"},
	{"back off into the past", back_off_into_past,
	"next_try is never moved into the past"},
	{"look again once an hour", recheck_hourly,
	"lookups and fences are at most recheck_max apart"},
	{"sleep through not_after", sleep_through_not_after,
	"a retry does not sleep through not_after"},
};

#define PLANTS	(sizeof(plants) / sizeof(plants[0]))

typedef struct Hunt
{
	Plant		step;
	const Property *property;
	bool		caught;
} Hunt;

static bool
hunt(const Case *c, void *arg)
{
	Hunt	   *h = arg;
	OpStep		s = h->step(*c);

	h->caught = !h->property->holds(c, &s);
	return !h->caught;
}

Plant
plant_named(const char *name)
{
	size_t		i;

	for (i = 0; i < PLANTS; i++)
		if (strcmp(plants[i].name, name) == 0)
			return plants[i].step;
	return NULL;
}

static const Property *
property_named(const char *name)
{
	size_t		i = 0;

	while (property_at(i) != NULL && strcmp(property_at(i)->name, name) != 0)
		i++;
	return property_at(i);
}

void
check_plants(void)
{
	const Property *p;
	size_t		i;
	size_t		j;

	for (i = 0; i < PLANTS; i++)
	{
		Hunt		h = {plants[i].step, NULL, false};

		h.property = property_named(plants[i].property);
		if (h.property != NULL)
			for_each_case(hunt, &h);
		claim(h.caught, "plant '%s' is caught by '%s'", plants[i].name,
			  plants[i].property);
	}
	for (j = 0; (p = property_at(j)) != NULL; j++)
	{
		bool		planted = false;

		for (i = 0; i < PLANTS; i++)
			planted |= strcmp(plants[i].property, p->name) == 0;
		claim(planted, "there is a plant against '%s'", p->name);
	}
}
