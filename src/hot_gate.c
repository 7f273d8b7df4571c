/*-------------------------------------------------------------------------
 *
 * hot_gate.c
 *	  Hot accounts: who uses one, or has it for himself.
 *
 * An entry names its guests, by process, and the one process that has the
 * account alone or is next to have it.  Both are set under the entry's lock, and looked
 * at under it, so nobody comes in between.  They are cleared when the
 * transaction ends, before its own lock goes: whoever waited for that finds
 * the gate as it is then.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "compat.h"
#include "hot_gate.h"

/* An account that this transaction has looked at, and may be a guest of. */
typedef struct Visit
{
	HotKey		key;
	HotEntry   *entry;
	int			level;			/* of savepoints, where it began */
	int			guest_level;	/* where we became a guest, or 0 */
	int			alone_level;	/* where we came to be alone, or next; or 0 */
	int			folded_level;	/* where we folded all of it, alone; or 0 */
} Visit;

/* Of the present transaction; in TopMemoryContext. */
static Visit *visits = NULL;
static int	nvisits = 0;
static int	max_visits = 0;

/* Our place among the guests of each entry. */
static int
me(void)
{
	return (int) teller_my_procno;
}

static void
make_room(void)
{
	if (visits == NULL)
	{
		visits = MemoryContextAlloc(TopMemoryContext, sizeof(Visit) * 8);
		max_visits = 8;
	}
	if (nvisits == max_visits)
	{
		visits = repalloc(visits, sizeof(Visit) * max_visits * 2);
		max_visits *= 2;
	}
}

static Visit *
find(const HotKey *key)
{
	for (int i = nvisits - 1; i >= 0; i--)
		if (memcmp(&visits[i].key, key, sizeof(HotKey)) == 0)
			return &visits[i];
	return NULL;
}

/*
 * From here on the entry stays, as somebody may be asked about it, until the
 * visit ends, whatever happens.
 */
static Visit *
begin_visit(const HotKey *key)
{
	Visit	   *visit;

	make_room();
	visit = &visits[nvisits];
	visit->key = *key;
	visit->level = GetCurrentTransactionNestLevel();
	visit->guest_level = visit->alone_level = visit->folded_level = 0;
	visit->entry = hot_entry_acquire(key);
	nvisits++;
	LWLockRelease(&visit->entry->lock);
	return visit;
}

/* Whoever else has it alone or is next, or 0.  With the entry's lock. */
static TransactionId
other_alone(const HotEntry *entry)
{
	if (entry->alone < 0 || entry->alone == me())
		return InvalidTransactionId;
	return entry->alone_xid;
}

/* Whatever becomes of it, the session can be cancelled. */
static void
wait_for(TransactionId other)
{
	CHECK_FOR_INTERRUPTS();
	XactLockTableWait(other, NULL, NULL, XLTW_None);
}

static bool
is_guest(const HotEntry *entry)
{
	return TransactionIdIsValid(entry->guests[me()].xid);
}

uint64
hot_gate_look(const HotKey *key)
{
	Visit	   *visit = find(key);
	TransactionId other;
	uint64		turn;

	if (visit == NULL)
		visit = begin_visit(key);
	for (;;)
	{
		LWLockAcquire(&visit->entry->lock, LW_SHARED);
		other = is_guest(visit->entry) ? InvalidTransactionId :
			other_alone(visit->entry);
		turn = visit->entry->turn;
		LWLockRelease(&visit->entry->lock);
		if (!TransactionIdIsValid(other))
			return turn;
		wait_for(other);
	}
}

/*
 * With the entry's lock.  Who is next waits for us if we are a guest and he is
 * none: so we go before him.
 */
static bool
may_be_alone(const HotEntry *entry)
{
	return !TransactionIdIsValid(other_alone(entry)) ||
		(is_guest(entry) &&
		 !TransactionIdIsValid(entry->guests[entry->alone].xid));
}

/*
 * Come in, or be the next to be alone.  A guest stays one, and nobody else was
 * alone since he came.  False: wait for *other, or if that is 0, look again.
 */
static bool
try_enter(HotEntry *entry, bool alone, uint64 turn, TransactionId *other)
{
	TransactionId xid = GetCurrentTransactionId();
	bool		may;

	LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
	*other = is_guest(entry) ? other_alone(entry) : InvalidTransactionId;
	if (is_guest(entry))
		may = !alone || may_be_alone(entry);
	else
		may = entry->turn == turn && !TransactionIdIsValid(other_alone(entry));
	if (may && alone && entry->alone != me())
	{
		entry->alone = me();
		entry->alone_xid = xid;
	}
	if (may && !alone && !is_guest(entry))
		entry->guests[me()].xid = xid;
	LWLockRelease(&entry->lock);
	return may;
}

/* Be alone, as the next one.  False if a guest went before us. */
static bool
await_guests(HotEntry *entry)
{
	for (;;)
	{
		TransactionId xid = GetCurrentTransactionId();
		TransactionId other;
		bool		next;

		LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
		next = entry->alone == me();
		other = next ? hot_entry_guest(entry, false) : InvalidTransactionId;
		if (next && !TransactionIdIsValid(other) && !is_guest(entry))
			entry->guests[me()].xid = xid;
		LWLockRelease(&entry->lock);
		if (!TransactionIdIsValid(other))
			return next;
		wait_for(other);
	}
}

bool
hot_gate_enter(const HotKey *key, bool alone, uint64 turn)
{
	Visit	   *visit = find(key);
	int			level = GetCurrentTransactionNestLevel();
	TransactionId other;

	Assert(visit != NULL);
	while (!try_enter(visit->entry, alone, turn, &other))
	{
		if (!TransactionIdIsValid(other))
			return false;
		wait_for(other);
	}
	if (alone && visit->alone_level == 0)
	{
		visit->alone_level = level;
		if (!await_guests(visit->entry))
		{
			visit->alone_level = 0;
			return false;
		}
	}
	if (visit->guest_level == 0)
		visit->guest_level = level;
	return true;
}

void
hot_gate_note_fold(const HotKey *key)
{
	Visit	   *visit = find(key);

	Assert(visit != NULL && visit->alone_level > 0);
	if (visit->folded_level == 0)
		visit->folded_level = GetCurrentTransactionNestLevel();
}

/* ---- the end ---------------------------------------------------------- */

void
hot_gate_committed(void)
{
	for (int i = 0; i < nvisits; i++)
	{
		HotEntry   *entry = visits[i].entry;

		if (visits[i].folded_level == 0)
			continue;
		LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
		entry->folded = entry->settled;
		LWLockRelease(&entry->lock);
	}
}

/* What began at this level or below it, with the entry's lock. */
static void
leave(Visit *visit, int level)
{
	HotEntry   *entry = visit->entry;

	if (visit->alone_level >= level)
	{
		if (entry->alone == me())
		{
			entry->alone = -1;
			entry->turn++;
		}
		visit->alone_level = 0;
	}
	if (visit->guest_level >= level)
	{
		entry->guests[me()].xid = InvalidTransactionId;
		entry->guests[me()].holds = false;
		visit->guest_level = 0;
	}
}

/* Visits are in the order of their levels: the last ones go. */
void
hot_gate_end(int level)
{
	for (int i = nvisits - 1; i >= 0; i--)
	{
		Visit	   *visit = &visits[i];

		if (visit->folded_level >= level)
			visit->folded_level = 0;
		if (Max(visit->level, Max(visit->guest_level,
								  visit->alone_level)) < level)
			continue;
		LWLockAcquire(&visit->entry->lock, LW_EXCLUSIVE);
		leave(visit, level);
		if (visit->level >= level)
		{
			hot_entry_release(visit->entry);
			nvisits = i;
		}
		else
			LWLockRelease(&visit->entry->lock);
	}
}

void
hot_gate_keep(int level)
{
	for (int i = 0; i < nvisits; i++)
	{
		Visit	   *visit = &visits[i];

		visit->level = Min(visit->level, level - 1);
		visit->guest_level = Min(visit->guest_level, level - 1);
		visit->alone_level = Min(visit->alone_level, level - 1);
		visit->folded_level = Min(visit->folded_level, level - 1);
	}
}

/* ---- what there is ---------------------------------------------------- */

HotEntry *
hot_gate_entry(const HotKey *key)
{
	Visit	   *visit = find(key);

	if (visit == NULL)
		elog(ERROR, "hot account %lld of ledger %lld was not locked",
			 (long long) key->account, (long long) key->ledger);
	return visit->entry;
}

bool
hot_gate_is_used(void)
{
	return nvisits > 0;
}
