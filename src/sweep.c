/*-------------------------------------------------------------------------
 *
 * sweep.c
 *	  The worker's sweep: expire the holds that are due, and forget requests
 *	  and keys that are old enough.
 *
 * A batch of holds is one transaction.  If it fails, its holds are expired
 * one by one, so that one that cannot be does not stop the others.  The
 * account of such a hold is left alone for a while: most often another
 * transaction has it locked, and that is no hurry, because a hold that is due
 * binds nobody.
 *
 * Requests and keys are pruned in transactions of their own.  An error there is noted
 * and tried again a minute later; the holds do not wait for it.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "expire.h"
#include "guc.h"
#include "key.h"
#include "request.h"
#include "sweep.h"
#include "waitpoint.h"
#include "worker.h"

/* How long the lock of an account is waited for. */
#define LOCK_TIMEOUT		"100ms"

/* How long an account is left alone: doubled each time. */
#define FIRST_PAUSE_MS		500
#define LONGEST_PAUSE_MS	30000
#define MAX_PAUSED			16

/*
 * While there are due holds on accounts left alone, the first deadline says
 * nothing about the others: look this often.
 */
#define LOOK_AGAIN_MS		250

/* And look past them. */
#define LONGEST_LIST		100000

/* So many full lists begin where the one before ended, then one at the first. */
#define MAX_RESUMED			100

/* Requests or keys that are pruned in one transaction, and how often. */
#define PRUNE_BATCH			1000
#define PRUNE_PAUSE_MS		60000

/* An account left alone. */
typedef struct Paused
{
	int64		ledger;
	int64		account;
	int			pause_ms;		/* 0: a free place */
	TimestampTz until;
} Paused;

static Paused paused[MAX_PAUSED];

static TimestampTz
in_ms(int ms)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

static Paused *
find_paused(const DueHold *due)
{
	for (int i = 0; i < MAX_PAUSED; i++)
		if (paused[i].pause_ms != 0 && paused[i].ledger == due->ledger &&
			paused[i].account == due->debit_account)
			return &paused[i];
	return NULL;
}

/* A pause that seems longer than it can be: the clock was set back. */
static bool
is_left_alone(const DueHold *due)
{
	Paused	   *place = find_paused(due);
	TimestampTz now = GetCurrentTimestamp();

	return place != NULL && place->until > now &&
		!TimestampDifferenceExceeds(now, place->until, LONGEST_PAUSE_MS + 1);
}

/* If all places are taken, the one that ends first is given away. */
static void
leave_alone(const DueHold *due)
{
	Paused	   *place = find_paused(due);

	if (place == NULL)
	{
		place = &paused[0];
		for (int i = 1; i < MAX_PAUSED; i++)
			if (place->pause_ms != 0 &&
				(paused[i].pause_ms == 0 || paused[i].until < place->until))
				place = &paused[i];
		place->ledger = due->ledger;
		place->account = due->debit_account;
		place->pause_ms = 0;
	}
	place->pause_ms = place->pause_ms == 0 ? FIRST_PAUSE_MS :
		Min(place->pause_ms * 2, LONGEST_PAUSE_MS);
	place->until = in_ms(place->pause_ms);
}

static void
forget_pauses(const DueHold *due, int count)
{
	for (int i = 0; i < count; i++)
	{
		Paused	   *place = find_paused(&due[i]);

		if (place != NULL)
			place->pause_ms = 0;
	}
}

/* Expire these in one transaction; how many, or -1 if that failed. */
static int
expire_together(const DueHold *due, int count)
{
	volatile int swept = 0;

	PG_TRY();
	{
		if (worker_transaction_begin())
		{
			(void) set_config_option("lock_timeout", LOCK_TIMEOUT,
									 PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_LOCAL, true, 0, false);
			swept = expire_holds(due, count);
			worker_transaction_end();
			worker_note_swept(swept);
		}
	}
	PG_CATCH();
	{
		worker_report_error();
		swept = -1;
	}
	PG_END_TRY();
	return swept;
}

/* One of them cannot be expired: do the others. */
static void
expire_apart(const DueHold *due, int count)
{
	int			failed = 0;

	for (int i = 0; i < count && failed < MAX_PAUSED; i++)
	{
		if (worker_must_yield())
			return;
		if (is_left_alone(&due[i]))
			continue;
		if (expire_together(&due[i], 1) < 0)
		{
			leave_alone(&due[i]);
			failed++;
		}
	}
}

/*
 * What is due from a hold on, copied out of the transaction, and of it what is
 * not left alone; if nothing is due at all, the first deadline.
 */
static DueHold *
list_due(int limit, const DueHold *from, int *count, int *usable,
		 TimestampTz *next)
{
	MemoryContext outer = CurrentMemoryContext;
	DueHold    *due;
	DueHold    *copy;

	*count = *usable = 0;
	*next = DT_NOEND;
	if (!worker_transaction_begin())
		return NULL;
	due = expire_list(limit, from, count);
	copy = MemoryContextAlloc(outer, sizeof(DueHold) * (*count + 1));
	for (int i = 0; i < *count; i++)
		if (*usable < teller_expire_batch && !is_left_alone(&due[i]))
			copy[(*usable)++] = due[i];
	if (*count == 0)
		*next = expire_next_deadline();
	worker_transaction_end();
	return copy;
}

/*
 * Where the next list begins: full ones follow each other, for a while; see
 * expire_list.
 */
static struct
{
	DueHold		from;
	int			lists;			/* since the first one; 0: at the beginning */
}			resume;

static void
resume_after(const DueHold *due, int usable, bool full)
{
	if (!full || resume.lists == MAX_RESUMED)
		resume.lists = 0;
	else
	{
		resume.from = due[usable - 1];
		resume.lists++;
	}
}

static TimestampTz
sweep_holds(void)
{
	static int	limit = 0;
	bool		resumed = resume.lists > 0;
	int			count;
	int			usable;
	int			swept;
	TimestampTz next;
	DueHold    *due;

	limit = Max(limit, teller_expire_batch);
	due = list_due(limit, resumed ? &resume.from : NULL, &count, &usable,
				   &next);
	if (usable == 0 && resumed)
	{
		resume.lists = 0;
		return DT_NOBEGIN;		/* look at those before */
	}
	if (count == 0)
		return next;
	if (usable == 0)
	{
		limit = count < limit ? limit : Min(limit * 2, LONGEST_LIST);
		return in_ms(LOOK_AGAIN_MS);
	}

	resume_after(due, usable, count == limit);
	limit = 0;
	swept = expire_together(due, usable);
	if (swept > 0)
	{
		forget_pauses(due, usable);
		return DT_NOBEGIN;		/* there may be more */
	}
	resume.lists = 0;
	if (swept < 0)
		expire_apart(due, usable);
	return in_ms(LOOK_AGAIN_MS);
}

/* ---- requests and keys ------------------------------------------------ */

/* What forgets: each deletes at most so many rows and tells how many. */
static int	(*const prunes[]) (int max_rows) = {request_prune, key_prune};

/* One batch; how many, or -1 if that failed. */
static int
prune_batch(int (*prune) (int max_rows))
{
	volatile int pruned = 0;

	PG_TRY();
	{
		if (worker_transaction_begin())
		{
			(void) set_config_option("lock_timeout", LOCK_TIMEOUT,
									 PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_LOCAL, true, 0, false);
			pruned = prune(PRUNE_BATCH);
			worker_transaction_end();
		}
	}
	PG_CATCH();
	{
		worker_report_error();
		pruned = -1;
	}
	PG_END_TRY();
	return pruned;
}

/* Once a minute, and at once when the setting has changed. */
static TimestampTz
sweep_old(void)
{
	static int	retention_s = 0;
	static TimestampTz next = DT_NOBEGIN;
	TimestampTz now = GetCurrentTimestamp();

	if (teller_key_retention_s == 0)
	{
		retention_s = 0;
		return DT_NOEND;
	}

	/* A pause that seems longer than it can be: the clock was set back. */
	if (retention_s == teller_key_retention_s && next > now &&
		!TimestampDifferenceExceeds(now, next, PRUNE_PAUSE_MS + 1))
		return next;
	retention_s = teller_key_retention_s;
	next = in_ms(PRUNE_PAUSE_MS);
	for (int i = 0; i < lengthof(prunes); i++)
		if (prune_batch(prunes[i]) == PRUNE_BATCH)
			next = DT_NOBEGIN;	/* there may be more */
	return next;
}

TimestampTz
sweep_run(void)
{
	TimestampTz next;

	WAIT_POINT("worker_sweep");
	next = sweep_old();
	return clock_earlier(next, sweep_holds());
}
