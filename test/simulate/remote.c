/*-------------------------------------------------------------------------
 *
 * remote.c
 *	  The ledgers outside: what they answer, and what they remember.
 *
 * One that honours memos looks at the memo before any business rule and
 * stores its answer together with the effect; it may forget it after
 * memo_retention.  One that does not executes whatever arrives.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "simulate.h"

int64_t
remote_clock(const World *w, int server)
{
	return w->now + w->servers[server].skew;
}

bool
remote_honours(const World *w, int op)
{
	return w->servers[w->truth[op].server].policy.honours_memo;
}

static bool
is_forgotten(const World *w, const Server *server, const Entry *entry)
{
	return server->policy.memo_retention > 0 &&
		w->now >= entry->at + server->policy.memo_retention;
}

/* What it remembers of a memo; NULL if nothing. */
const Entry *
remote_entry(const World *w, int server, uint64_t memo)
{
	const Server *s = &w->servers[server];
	int			i;

	for (i = s->entries - 1; i >= 0; i--)
		if (s->book[i].memo == memo)
			return is_forgotten(w, s, &s->book[i]) ? NULL : &s->book[i];
	return NULL;
}

static OpEventKind
store(World *w, const Message *m, OpEventKind answer)
{
	Server	   *s = &w->servers[w->truth[m->op].server];
	Entry	   *entry;

	if (s->entries == ENTRIES)
	{
		memmove(s->book, s->book + 1, sizeof(Entry) * (ENTRIES - 1));
		s->entries--;
	}
	entry = &s->book[s->entries++];
	entry->memo = m->memo;
	entry->stored = answer;
	entry->at = w->now;
	entry->not_after = m->not_after;
	return answer;
}

static OpEventKind
run(World *w, const Message *m)
{
	Truth	   *truth = &w->truth[m->op];

	truth->effects++;
	w->servers[truth->server].received += truth->amount;
	TRACE(w, "op %d: EXECUTED by the remote, %d in all", m->op,
		  truth->effects);
	judge_effect(w, m->op);
	return store(w, m, OP_EV_REPLY_EXECUTED);
}

/* The same memo again. */
static OpEventKind
replay(World *w, const Message *m, const Entry *entry)
{
	Server	   *s = &w->servers[w->truth[m->op].server];

	if (s->strict && entry->stored != OP_EV_REPLY_CANCELLED &&
		entry->not_after != m->not_after)
	{
		w->truth[m->op].mixed = true;
		return OP_EV_REPLY_CONFLICT;
	}
	return entry->stored;
}

static OpEventKind
execute(World *w, const Message *m, bool *runs_later)
{
	Truth	   *truth = &w->truth[m->op];
	Server	   *s = &w->servers[truth->server];
	const Entry *entry = remote_entry(w, truth->server, m->memo);

	/* At the door: nothing of it has run, and that is said. */
	if (!m->doubled && fault(w, F_NOT_EXECUTED))
		return OP_EV_NOT_EXECUTED;
	if (!m->doubled && fault(w, F_REFUSED))
		return OP_EV_REFUSED;
	if (!m->doubled && fault(w, F_MISCONFIGURED))
	{
		truth->taken_back++;
		return OP_EV_MISCONFIGURED;
	}
	if (fault(w, F_BUSY))
	{
		*runs_later = chance(w, 700);
		return OP_EV_REPLY_BUSY;
	}
	if (s->policy.honours_memo && entry != NULL)
		return replay(w, m, entry);
	if (remote_clock(w, truth->server) > m->not_after)
		return s->policy.honours_memo ? store(w, m, OP_EV_REPLY_EXPIRED) :
			OP_EV_REPLY_EXPIRED;
	if (truth->refused)
		return s->policy.honours_memo ? store(w, m, OP_EV_REPLY_REJECTED) :
			OP_EV_REPLY_REJECTED;
	return run(w, m);
}

static OpEventKind
fence(World *w, const Message *m)
{
	Truth	   *truth = &w->truth[m->op];
	const Entry *entry = remote_entry(w, truth->server, m->memo);

	tally.fences++;
	if (!w->servers[truth->server].policy.honours_memo)
		return OP_EV_REPLY_CANCELLED;	/* a word without a meaning */
	if (fault(w, F_BUSY))
		return OP_EV_REPLY_BUSY;
	return entry != NULL ? entry->stored : store(w, m, OP_EV_REPLY_CANCELLED);
}

static OpEventKind
lookup(World *w, const Message *m)
{
	const Entry *entry = remote_entry(w, w->truth[m->op].server, m->memo);

	if (fault(w, F_NOT_EXECUTED))
		return OP_EV_NOT_EXECUTED;
	if (fault(w, F_MISCONFIGURED))
		return OP_EV_MISCONFIGURED;
	return entry != NULL ? entry->stored : OP_EV_REPLY_NOT_FOUND;
}

/* An answer that was meant for another memo. */
static void
mix_up(World *w, Message *m)
{
	static const OpEventKind words[] = {
		OP_EV_REPLY_EXECUTED, OP_EV_REPLY_REJECTED, OP_EV_REPLY_CANCELLED,
		OP_EV_REPLY_EXPIRED
	};

	m->answer = m->verb == OP_VERB_FENCE ? OP_EV_REPLY_CANCELLED :
		words[pick(w, sizeof(words) / sizeof(words[0]))];
	m->memo_matches = false;
	w->truth[m->op].mixed = true;
}

/*
 * A request has arrived.  runs_later: it was answered "busy", and is not over
 * with that.
 */
void
remote_answer(World *w, Message *m, bool *runs_later)
{
	bool		silent = fault(w, F_AMBIGUOUS);

	m->memo_matches = true;
	if (silent && chance(w, 300))
	{
		m->answer = OP_EV_AMBIGUOUS;	/* 503, and it may not have run */
		return;
	}
	if (m->verb == OP_VERB_EXECUTE)
		m->answer = execute(w, m, runs_later);
	else if (m->verb == OP_VERB_FENCE)
		m->answer = fence(w, m);
	else
		m->answer = lookup(w, m);
	if (silent)
		m->answer = OP_EV_AMBIGUOUS;
	else if (fault(w, F_MIXED_UP))
		mix_up(w, m);
}
