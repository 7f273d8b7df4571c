/*-------------------------------------------------------------------------
 *
 * hot.c
 *	  Hot accounts: what this transaction takes from them and gives to them.
 *
 * Why nobody can overdraw.  Take one side, say the minimum, with the balance
 * B by commits.  Each transaction t in flight has taken T(t) and given G(t).
 * Whoever takes more tests that B - (the sum of all T) + its own G is not
 * below the minimum, with its own new T among them.  Let any set S of them
 * commit and the others abort, and let t be the one of S that took last.  At
 * that moment all of S had their T, so B - T(S) + G(S) is at least what t
 * tested.  A rollback to a savepoint removes what came last, so the same
 * holds of what is left.  The maximum is the same with the signs changed.
 *
 * What a transaction has in flight stands in two places: its own marks, one
 * for each account and level of savepoints, and the sums of the entry.  A
 * mark is made before the entry is changed, and without fail: a session that
 * ends in between leaves nothing behind in shared memory.
 *
 * Settled is in the callback of the end of the transaction.  By then it is
 * visible, and its locks are still held: whoever waited for one of them sees
 * the account as it is now.  Where a transaction is visible and not settled
 * yet its money still counts as taken, which is less than there is.
 *
 * Rows are read, when an entry is made, as committed by others; what this
 * transaction wrote to the account's row itself (it opened the account, or
 * changed it, and nobody else can use it) makes the entry its own: it is
 * forgotten when that is rolled back.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "hot.h"
#include "hot_gate.h"
#include "hot_tail.h"
#include "rel.h"
#include "shmem.h"
#include "wake.h"

/* An account that this transaction uses. */
typedef struct HotUse
{
	int64		ledger;
	int64		account;
	HotEntry   *entry;
	int64		epoch;			/* that our rows are of; 0 for a fold */
	int			level;			/* of savepoints, where it began */
	bool		own;			/* made from a row that we wrote */
	bool		folds;			/* it is ours to fold, not to move */
	uint64		settled;		/* what the fold finds settled */
	int			mark;			/* its last one, or -1 */
	HotChange	total;			/* of its marks */
} HotUse;

/* What was done to it at one level. */
typedef struct HotMark
{
	int			use;
	int			level;
	int			before;			/* the mark before, or -1 */
	HotChange	change;
} HotMark;

/* Of the present transaction; both in TopMemoryContext. */
static HotUse *uses = NULL;
static int	nuses = 0;
static int	max_uses = 0;
static HotMark *marks = NULL;
static int	nmarks = 0;
static int	max_marks = 0;

/* The entry that this process is filling, and at which level. */
static HotEntry *loading = NULL;
static int	loading_level = 0;

/* ---- changes ---------------------------------------------------------- */

static void
add_change(HotChange *sum, const HotChange *change, int sign)
{
	sum->posted = hot_sum(sum->posted, sign * change->posted);
	for (int side = 0; side < HOT_SIDES; side++)
	{
		sum->pending[side] = hot_sum(sum->pending[side],
									 sign * change->pending[side]);
		sum->taken[side] += sign * change->taken[side];
		sum->given[side] += sign * change->given[side];
		sum->claims[side] += sign * change->claims[side];
		sum->holds[side] += sign * change->holds[side];
	}
}

static bool
is_nothing(const HotChange *change)
{
	static const HotChange nothing = {0};

	return memcmp(change, &nothing, sizeof(HotChange)) == 0;
}

/* With the entry's lock. */
static void
show_holder(const HotUse *use)
{
	use->entry->guests[teller_my_procno].holds = !is_nothing(&use->total);
}

/* What others see of it while it is in flight.  With the entry's lock. */
static void
add_to_gauges(HotEntry *entry, const HotChange *change, int sign)
{
	for (int side = 0; side < HOT_SIDES; side++)
	{
		entry->gauges[side].taken += sign * change->taken[side];
		entry->gauges[side].given += sign * change->given[side];
		entry->gauges[side].claims += sign * change->claims[side];
	}
}

/* ---- the end of a transaction, or of a savepoint ----------------------- */

/*
 * The worker is told of the first commit that is not in the row.  Holds may
 * have changed where their sum has not: one ended and one began, or one has
 * another deadline.
 */
static void
settle(HotEntry *entry, const HotChange *total)
{
	entry->posted = hot_sum(entry->posted, total->posted);
	for (int side = 0; side < HOT_SIDES; side++)
	{
		entry->pending[side] = hot_sum(entry->pending[side],
									   total->pending[side]);
		if (total->holds[side] != 0 || total->claims[side] != 0)
			entry->gauges[side].settled++;
	}
	if (entry->settled == entry->folded)
		wake_at_commit(DT_NOBEGIN);
	entry->settled++;
}

/*
 * Nothing here allocates, waits for a lock of the lock manager or raises.  A
 * use without an epoch did not come to be one.
 */
static void
end_use(HotUse *use, bool committed)
{
	HotEntry   *entry = use->entry;

	LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
	add_to_gauges(entry, &use->total, -1);
	if (committed && use->folds)
		entry->folded = use->settled;
	else if (committed && !is_nothing(&use->total))
		settle(entry, &use->total);
	if (use->epoch != 0)
		hot_entry_leave(entry, use->epoch);
	if (use->own && !committed)
		hot_entry_forget(entry);
	if (use->folds)
		hot_entry_release(entry);
	else
	{
		entry->guests[teller_my_procno].holds = false;
		LWLockRelease(&entry->lock);
	}
}

static void
end_loading(int level)
{
	HotEntry   *entry = loading;

	if (entry == NULL || loading_level < level)
		return;
	loading = NULL;
	LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
	hot_entry_forget(entry);
	LWLockRelease(&entry->lock);
}

static void
end_all(bool committed)
{
	end_loading(0);
	if (committed)
		hot_gate_committed();
	for (int i = 0; i < nuses; i++)
		end_use(&uses[i], committed);
	nuses = nmarks = 0;
	hot_gate_end(0);
}

static void
refuse_prepare(void)
{
	if (nuses > 0 || hot_gate_is_used())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a transaction that used or changed a hot account cannot be prepared"),
				 errhint("Use COMMIT, or an account that is not hot.")));
}

static void
at_xact_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			end_all(true);
			break;
		case XACT_EVENT_ABORT:
			end_all(false);
			break;
		case XACT_EVENT_PRE_PREPARE:
			refuse_prepare();
			break;
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			break;
	}
}

static void
undo_mark(const HotMark *mark)
{
	HotUse	   *use = &uses[mark->use];

	add_change(&use->total, &mark->change, -1);
	LWLockAcquire(&use->entry->lock, LW_EXCLUSIVE);
	add_to_gauges(use->entry, &mark->change, -1);
	show_holder(use);
	LWLockRelease(&use->entry->lock);
	use->mark = mark->before;
}

/* Marks and uses are in the order of their levels: the last ones go. */
static void
at_savepoint_abort(int level)
{
	end_loading(level);
	while (nmarks > 0 && marks[nmarks - 1].level >= level)
		undo_mark(&marks[--nmarks]);
	while (nuses > 0 && uses[nuses - 1].level >= level)
		end_use(&uses[--nuses], false);
	hot_gate_end(level);
}

static void
at_savepoint_release(int level)
{
	for (int i = nmarks - 1; i >= 0 && marks[i].level >= level; i--)
		marks[i].level = level - 1;
	for (int i = nuses - 1; i >= 0 && uses[i].level >= level; i--)
		uses[i].level = level - 1;
	hot_gate_keep(level);
}

static void
at_subxact_end(SubXactEvent event, SubTransactionId subid,
			   SubTransactionId parent, void *arg)
{
	switch (event)
	{
		case SUBXACT_EVENT_COMMIT_SUB:
			at_savepoint_release(GetCurrentTransactionNestLevel());
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			at_savepoint_abort(GetCurrentTransactionNestLevel());
			break;
		case SUBXACT_EVENT_START_SUB:
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			break;
	}
}

/* Room for another use and another mark: what follows must not fail. */
static void
make_room(void)
{
	static bool registered = false;

	if (!registered)
	{
		/* Callbacks run in the reverse order: what we settle, then wake. */
		wake_at_commit(DT_NOEND);
		RegisterXactCallback(at_xact_end, NULL);
		RegisterSubXactCallback(at_subxact_end, NULL);
		uses = MemoryContextAlloc(TopMemoryContext, sizeof(HotUse) * 8);
		max_uses = 8;
		marks = MemoryContextAlloc(TopMemoryContext, sizeof(HotMark) * 8);
		max_marks = 8;
		registered = true;
	}
	if (nuses == max_uses)
	{
		uses = repalloc(uses, sizeof(HotUse) * max_uses * 2);
		max_uses *= 2;
	}
	if (nmarks == max_marks)
	{
		marks = repalloc(marks, sizeof(HotMark) * max_marks * 2);
		max_marks *= 2;
	}
}

/* ---- use -------------------------------------------------------------- */

void
hot_require_preload(void)
{
	if (!teller_is_preloaded())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a hot account needs pg_teller to be preloaded"),
				 errhint("Put shared_preload_libraries = 'pg_teller' into postgresql.conf and restart the server.")));
}

static void
make_key(HotKey *key, int64 ledger, int64 account)
{
	Rel		   *rel = rel_open(REL_ACCOUNT, RowExclusiveLock);

	memset(key, 0, sizeof(HotKey));
	key->dboid = MyDatabaseId;
	key->table = RelationGetRelid(rel->heap);
	key->file = teller_file_of(rel->heap);
	key->ledger = ledger;
	key->account = account;
	rel_close(rel);
}

uint64
hot_look(int64 ledger, int64 account)
{
	HotKey		key;

	hot_require_preload();
	make_room();
	make_key(&key, ledger, account);
	return hot_gate_look(&key);
}

bool
hot_lock(int64 ledger, int64 account, bool alone, uint64 turn)
{
	HotKey		key;

	make_key(&key, ledger, account);
	return hot_gate_enter(&key, alone, turn);
}

static int
find_use(int64 ledger, int64 account)
{
	for (int i = nuses - 1; i >= 0; i--)
		if (uses[i].account == account && uses[i].ledger == ledger)
			return i;
	return -1;
}

bool
hot_is_used(int64 ledger, int64 account)
{
	return find_use(ledger, account) >= 0;
}

/*
 * Fill a new entry from the tables, in a snapshot of its own: the
 * transaction's may be old.  No other transaction in flight has rows of this
 * account: it would use the entry, which would be known.  Nor have we.
 */
static bool
load(HotEntry *entry)
{
	Rel		   *rel = rel_open(REL_ACCOUNT, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Datum		keys[2] = {Int64GetDatum(entry->key.ledger),
	Int64GetDatum(entry->key.account)};
	HotRow		row;
	HotRange	range;
	HotTail		tail;

	if (!rel_fetch(rel, snapshot, 2, keys, slot))
		elog(ERROR, "hot account %lld of ledger %lld is gone",
			 (long long) entry->key.account, (long long) entry->key.ledger);
	hot_row_read(&row, slot);
	hot_range_rest(&range, &row);
	hot_tail_read(&row, &range, snapshot, &tail);
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);

	entry->posted = amount_add(hot_sum(row.posted, tail.posted), 0);
	for (int side = 0; side < HOT_SIDES; side++)
		entry->pending[side] = amount_add(hot_sum(row.pending[side],
												  tail.pending[side]), 0);

	/* What was found due before stays due, even if the clock was set back. */
	entry->gauges[HOT_DEBIT].due_read = entry->gauges[HOT_CREDIT].due_read =
		Max(row.last_at, tail.last_at);
	entry->epoch = Max(row.folded, tail.last_epoch) + 1;
	if (tail.nrows > 0 || row.nopen > 0)
		entry->settled = entry->folded + 1;
	return row.own;
}

/* With the entry's lock, which stays. */
static void
know(HotUse *use)
{
	HotEntry   *entry = use->entry;

	if (hot_entry_is_known(entry))
		return;
	loading = entry;
	loading_level = GetCurrentTransactionNestLevel();
	use->own = load(entry);
	hot_entry_loaded(entry);
	loading = NULL;
	LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
}

/*
 * The entry's lock is held then, so that nothing comes in between.  A guest
 * has the entry already.
 */
static HotUse *
begin_use(int64 ledger, int64 account, bool folds)
{
	HotKey		key;
	HotUse	   *use;

	/*
	 * Locks both tables: those who wait until it is loaded may hold locks of
	 * their own, so nothing must be waited for then.
	 */
	make_key(&key, ledger, account);
	rel_close(rel_open(REL_JOURNAL, RowExclusiveLock));
	make_room();
	use = &uses[nuses];
	memset(use, 0, sizeof(HotUse));
	use->ledger = ledger;
	use->account = account;
	use->level = GetCurrentTransactionNestLevel();
	use->mark = -1;
	use->folds = folds;
	if (folds)
	{
		use->entry = hot_entry_acquire(&key);
		use->settled = use->entry->folded;
	}
	else
	{
		use->entry = hot_gate_entry(&key);
		LWLockAcquire(&use->entry->lock, LW_EXCLUSIVE);
	}
	nuses++;
	know(use);
	return use;
}

int
hot_use(int64 ledger, int64 account)
{
	int			known = find_use(ledger, account);
	HotUse	   *use;

	if (known >= 0)
		return known;
	use = begin_use(ledger, account, false);
	use->epoch = hot_entry_enter(use->entry);
	LWLockRelease(&use->entry->lock);
	return nuses - 1;
}

int64
hot_close_epoch(int64 ledger, int64 account, int64 *open, int *nopen)
{
	HotUse	   *use;
	int64		ended;

	Assert(!hot_is_used(ledger, account));
	use = begin_use(ledger, account, true);
	ended = hot_entry_close_epoch(use->entry, open, nopen);
	use->settled = ended != 0 ? use->entry->settled : use->entry->folded;

	/* Of an open epoch some may be settled and not be folded now. */
	if (ended != 0 && *nopen > 0)
		use->settled--;
	LWLockRelease(&use->entry->lock);
	return ended;
}

void
hot_note_fold(int64 ledger, int64 account)
{
	HotKey		key;
	HotEntry   *entry;

	make_key(&key, ledger, account);
	entry = hot_gate_entry(&key);
	LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
	hot_entry_forget(entry);
	LWLockRelease(&entry->lock);
	hot_gate_note_fold(&key);
}

void
hot_balance(int number, HotBalance *balance)
{
	const HotUse *use = &uses[number];
	HotEntry   *entry = use->entry;

	LWLockAcquire(&entry->lock, LW_SHARED);
	balance->posted = hot_sum(entry->posted, use->total.posted);
	for (int side = 0; side < HOT_SIDES; side++)
		balance->pending[side] = hot_sum(entry->pending[side],
										 use->total.pending[side]);
	LWLockRelease(&entry->lock);
	balance->epoch = use->epoch;
}

/* ---- marks ------------------------------------------------------------ */

/* The mark of the present level; make_room comes before. */
static HotMark *
mark_of(int number)
{
	HotUse	   *use = &uses[number];
	int			level = GetCurrentTransactionNestLevel();
	HotMark    *mark;

	if (use->mark >= 0 && marks[use->mark].level == level)
		return &marks[use->mark];
	mark = &marks[nmarks];
	memset(mark, 0, sizeof(HotMark));
	mark->use = number;
	mark->level = level;
	mark->before = use->mark;
	use->mark = nmarks++;
	return mark;
}

/* With the entry's lock: nothing can fail between the mark and the sums. */
static void
change_by(int number, const HotChange *change, int sign)
{
	HotUse	   *use = &uses[number];

	add_change(&mark_of(number)->change, change, sign);
	add_change(&use->total, change, sign);
	add_to_gauges(use->entry, change, sign);
	show_holder(use);
}

/* ---- take ------------------------------------------------------------- */

/*
 * Two amounts may be 2 * 10^38 apart, which does not fit: then it is the
 * largest that does, or the smallest.
 */
static Amount
difference(Amount a, Amount b)
{
	Amount		result;

	if (!__builtin_sub_overflow(a, b, &result))
		return result;
	return a > b ? amount_largest() : -amount_largest();
}

/* What is there on one side by commits, above the limit. */
static Amount
room_of(const HotUse *use, const HotAsk *ask)
{
	const HotEntry *entry = use->entry;

	if (ask->side == HOT_DEBIT)
		return difference(entry->posted - entry->pending[HOT_DEBIT],
						  ask->limit);
	return difference(ask->limit, hot_sum(entry->posted,
										  entry->pending[HOT_CREDIT]));
}

static bool
add_to_room(Amount *room, Amount amount)
{
	Amount		sum;

	if (__builtin_add_overflow(*room, amount, &sum))
		return false;
	*room = sum;
	return true;
}

/* With the entry's lock. */
static HotAnswer
weigh(const HotUse *use, HotAsk *ask)
{
	HotGauge   *gauge = &use->entry->gauges[ask->side];
	const HotChange *own = &use->total;
	Amount		sure = room_of(use, ask);
	Amount		best = sure;

	ask->room = 0;
	ask->has_pending = use->entry->pending[ask->side] > 0 ||
		own->pending[ask->side] > 0;
	ask->settled = gauge->settled;
	if (ask->due > 0 && ask->due_settled != gauge->settled)
		return HOT_AGAIN;
	if (ask->due > 0)
		gauge->due_read = Max(gauge->due_read, ask->now);
	if (!add_to_room(&sure, own->given[ask->side]) ||
		!add_to_room(&sure, -gauge->taken) ||
		(gauge->claims == own->claims[ask->side] &&
		 !add_to_room(&sure, ask->due)))
		return HOT_NO;
	if (ask->amount <= sure)
		return HOT_YES;
	ask->room = sure;
	if (!add_to_room(&best, gauge->given) ||
		!add_to_room(&best, -own->taken[ask->side]) ||
		!add_to_room(&best, ask->due))
		return HOT_NO;
	return ask->amount > best ? HOT_NO : HOT_WAIT;
}

HotAnswer
hot_take(HotAsk *ask)
{
	HotUse	   *use;
	HotChange	change = {0};
	HotAnswer	answer;

	make_room();
	use = &uses[ask->use];
	LWLockAcquire(&use->entry->lock, LW_EXCLUSIVE);
	answer = weigh(use, ask);
	if (answer == HOT_YES)
	{
		change.taken[ask->side] = ask->amount;
		change_by(ask->use, &change, 1);
	}
	LWLockRelease(&use->entry->lock);
	return answer;
}

TransactionId
hot_holder(int number)
{
	HotEntry   *entry = uses[number].entry;
	TransactionId holder;

	LWLockAcquire(&entry->lock, LW_SHARED);
	holder = hot_entry_guest(entry, true);
	LWLockRelease(&entry->lock);
	return holder;
}

void
hot_give_back(int number, HotSide side, Amount amount)
{
	HotChange	change = {0};

	make_room();
	change.taken[side] = amount;
	LWLockAcquire(&uses[number].entry->lock, LW_EXCLUSIVE);
	change_by(number, &change, -1);
	LWLockRelease(&uses[number].entry->lock);
}

void
hot_note(int number, const HotChange *change)
{
	make_room();
	LWLockAcquire(&uses[number].entry->lock, LW_EXCLUSIVE);
	change_by(number, change, 1);
	LWLockRelease(&uses[number].entry->lock);
}

TimestampTz
hot_claim(int number, HotSide side, TimestampTz deadline, TimestampTz now)
{
	HotUse	   *use;
	HotChange	change = {0};

	make_room();
	use = &uses[number];
	change.claims[side] = 1;
	LWLockAcquire(&use->entry->lock, LW_EXCLUSIVE);
	if (use->entry->gauges[side].due_read >= deadline)
		now = Max(now, use->entry->gauges[side].due_read);
	else
		change_by(number, &change, 1);
	LWLockRelease(&use->entry->lock);
	return now;
}
