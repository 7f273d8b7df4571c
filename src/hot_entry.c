/*-------------------------------------------------------------------------
 *
 * hot_entry.c
 *	  Hot accounts in shared memory.
 *
 * Locks: the table's, then an entry's, never the other way round; at most one
 * entry's at a time.  While either is held nothing is read from a table and
 * nothing waits for a lock of the lock manager.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "guc.h"
#include "hot_entry.h"

typedef struct HotTable
{
	LWLock		lock;			/* which entries there are */
	int			tranche;
	int			nguests;		/* places in each entry's guests[] */
	int			next;			/* where to look for one that may go */
	uint64		lost;			/* lock.  See hot_entry_lost */
} HotTable;

/* What the shared hash has: the name and the place of an entry. */
typedef struct HotPlace
{
	HotKey		key;
	int			place;
} HotPlace;

static HotTable *table = NULL;
static HTAB *places = NULL;
static char *entries = NULL;

/* ---- set up ----------------------------------------------------------- */

static Size
entry_size(void)
{
	return CACHELINEALIGN(add_size(offsetof(HotEntry, guests),
								   mul_size(MaxBackends, sizeof(HotGuest))));
}

static HotEntry *
entry_at(int place)
{
	return (HotEntry *) (entries + (Size) place * entry_size());
}

static Size
entries_size(void)
{
	return mul_size(teller_max_hot_accounts, entry_size());
}

Size
hot_shmem_size(void)
{
	Size		size = add_size(MAXALIGN(sizeof(HotTable)), entries_size());

	return add_size(size, hash_estimate_size(teller_max_hot_accounts,
											 sizeof(HotPlace)));
}

static void
init_table(void)
{
	memset(table, 0, sizeof(HotTable));
	table->tranche = LWLockNewTrancheId();
	table->nguests = MaxBackends;
	LWLockInitialize(&table->lock, table->tranche);
	memset(entries, 0, entries_size());
	for (int i = 0; i < teller_max_hot_accounts; i++)
	{
		LWLockInitialize(&entry_at(i)->lock, table->tranche);
		ConditionVariableInit(&entry_at(i)->loaded);
	}
}

void
hot_shmem_init(void)
{
	HASHCTL		control = {.keysize = sizeof(HotKey),.entrysize = sizeof(HotPlace)};
	bool		found,
				found_entries;

	table = ShmemInitStruct("pg_teller hot accounts", sizeof(HotTable), &found);
	entries = ShmemInitStruct("pg_teller hot entries", entries_size(),
							  &found_entries);
	places = ShmemInitHash("pg_teller hot places", teller_max_hot_accounts,
						   teller_max_hot_accounts, &control,
						   HASH_ELEM | HASH_BLOBS);
	Assert(found == found_entries);
	if (!found)
		init_table();
	LWLockRegisterTranche(table->tranche, "pg_teller_hot");
}

/* ---- the table -------------------------------------------------------- */

static HotEntry *
find(const HotKey *key)
{
	HotPlace   *place = hash_search(places, key, HASH_FIND, NULL);

	return place == NULL ? NULL : entry_at(place->place);
}

/* True if it is free now: nobody uses it, so nobody waits for its lock. */
static bool
make_free(HotEntry *entry)
{
	bool		idle;

	Assert(LWLockHeldByMeInMode(&table->lock, LW_EXCLUSIVE));
	LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
	idle = entry->users == 0;
	if (idle && entry->settled != entry->folded)
		table->lost++;
	LWLockRelease(&entry->lock);
	if (!idle)
		return false;
	(void) hash_search(places, &entry->key, HASH_REMOVE, NULL);
	entry->in_use = false;
	return true;
}

/* A free place, or -1. */
static int
find_free(void)
{
	for (int i = 0; i < teller_max_hot_accounts; i++)
		if (!entry_at(i)->in_use)
			return i;
	for (int i = 0; i < teller_max_hot_accounts; i++)
	{
		int			place = table->next;

		table->next = (table->next + 1) % teller_max_hot_accounts;
		if (make_free(entry_at(place)))
			return place;
	}
	return -1;
}

static void
raise_full(void)
{
	LWLockRelease(&table->lock);
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("too many hot accounts are in use at once"),
			 errdetail("There is place for %d.", teller_max_hot_accounts),
			 errhint("Raise teller.max_hot_accounts in postgresql.conf and restart the server.")));
}

/* With the lock of the table, which is released, and that of the entry. */
static HotEntry *
add_entry(const HotKey *key)
{
	int			number = find_free();
	HotPlace   *place;
	HotEntry   *entry;

	if (number < 0)
		raise_full();
	place = hash_search(places, key, HASH_ENTER, NULL);
	place->place = number;
	entry = entry_at(number);
	LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
	entry->key = *key;
	entry->in_use = true;
	entry->users = 1;
	entry->alone = -1;
	entry->alone_xid = InvalidTransactionId;
	entry->turn = 0;
	memset(entry->guests, 0, sizeof(HotGuest) * table->nguests);
	entry->settled = entry->folded = 0;
	hot_entry_forget(entry);
	LWLockRelease(&table->lock);
	return entry;
}

HotEntry *
hot_entry_acquire(const HotKey *key)
{
	HotEntry   *entry;

	LWLockAcquire(&table->lock, LW_SHARED);
	entry = find(key);
	if (entry == NULL)
	{
		LWLockRelease(&table->lock);
		LWLockAcquire(&table->lock, LW_EXCLUSIVE);
		entry = find(key);
		if (entry == NULL)
			return add_entry(key);
	}
	LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
	entry->users++;
	LWLockRelease(&table->lock);
	return entry;
}

void
hot_entry_release(HotEntry *entry)
{
	Assert(LWLockHeldByMeInMode(&entry->lock, LW_EXCLUSIVE));
	Assert(entry->users > 0);
	entry->users--;
	LWLockRelease(&entry->lock);
}

/* ---- what it knows ---------------------------------------------------- */

void
hot_entry_forget(HotEntry *entry)
{
	bool		unfolded = entry->settled != entry->folded;

	Assert(LWLockHeldByMeInMode(&entry->lock, LW_EXCLUSIVE));
	entry->state = HOT_UNKNOWN;
	entry->posted = entry->pending[HOT_DEBIT] = entry->pending[HOT_CREDIT] = 0;
	memset(entry->gauges, 0, sizeof(entry->gauges));
	entry->epoch = 0;
	memset(entry->epochs, 0, sizeof(entry->epochs));
	entry->folded = 0;
	entry->settled = unfolded ? 1 : 0;
	ConditionVariableBroadcast(&entry->loaded);
}

bool
hot_entry_is_known(HotEntry *entry)
{
	bool		known;

	while (entry->state == HOT_LOADING)
	{
		ConditionVariablePrepareToSleep(&entry->loaded);
		LWLockRelease(&entry->lock);
		ConditionVariableSleep(&entry->loaded, PG_WAIT_EXTENSION);
		ConditionVariableCancelSleep();
		LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
	}
	known = entry->state == HOT_KNOWN;
	if (!known)
	{
		entry->state = HOT_LOADING;
		LWLockRelease(&entry->lock);
	}
	return known;
}

void
hot_entry_loaded(HotEntry *entry)
{
	LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
	entry->state = HOT_KNOWN;
	LWLockRelease(&entry->lock);
	ConditionVariableBroadcast(&entry->loaded);
}

/* ---- epochs ----------------------------------------------------------- */

static HotEpoch *
find_epoch(HotEntry *entry, int64 number)
{
	for (int i = 0; i < HOT_EPOCHS; i++)
		if (entry->epochs[i].number == number)
			return &entry->epochs[i];
	return NULL;
}

int64
hot_entry_enter(HotEntry *entry)
{
	HotEpoch   *epoch = find_epoch(entry, entry->epoch);

	Assert(LWLockHeldByMeInMode(&entry->lock, LW_EXCLUSIVE));

	/* hot_entry_close_epoch leaves a free place for the one it begins. */
	if (epoch == NULL)
	{
		epoch = find_epoch(entry, 0);
		epoch->number = entry->epoch;
	}
	epoch->users++;
	return epoch->number;
}

void
hot_entry_leave(HotEntry *entry, int64 number)
{
	HotEpoch   *epoch = find_epoch(entry, number);

	Assert(LWLockHeldByMeInMode(&entry->lock, LW_EXCLUSIVE));
	Assert(epoch != NULL && epoch->users > 0);
	if (--epoch->users == 0)
		epoch->number = 0;
}

int64
hot_entry_close_epoch(HotEntry *entry, int64 *open, int *nopen)
{
	int64		ended = entry->epoch;

	Assert(LWLockHeldByMeInMode(&entry->lock, LW_EXCLUSIVE));
	*nopen = 0;
	for (int i = 0; i < HOT_EPOCHS; i++)
		if (entry->epochs[i].number != 0)
			open[(*nopen)++] = entry->epochs[i].number;
	if (*nopen == HOT_EPOCHS)
		return 0;
	entry->epoch++;
	return ended;
}

/* ---- who, and what is left to do -------------------------------------- */

TransactionId
hot_entry_guest(const HotEntry *entry, bool holds)
{
	for (int i = 0; i < table->nguests; i++)
	{
		const HotGuest *guest = &entry->guests[i];

		if (TransactionIdIsValid(guest->xid) && i != teller_my_procno &&
			(guest->holds || !holds))
			return guest->xid;
	}
	return InvalidTransactionId;
}

int
hot_entry_unfolded(Oid relation, Oid file, HotKey *keys, int max)
{
	int			count = 0;

	LWLockAcquire(&table->lock, LW_SHARED);
	for (int i = 0; i < teller_max_hot_accounts && count < max; i++)
	{
		HotEntry   *entry = entry_at(i);

		if (!entry->in_use || entry->key.dboid != MyDatabaseId ||
			entry->key.table != relation || entry->key.file != file)
			continue;
		LWLockAcquire(&entry->lock, LW_SHARED);
		if (entry->settled != entry->folded)
			keys[count++] = entry->key;
		LWLockRelease(&entry->lock);
	}
	LWLockRelease(&table->lock);
	return count;
}

uint64
hot_entry_lost(void)
{
	uint64		lost;

	LWLockAcquire(&table->lock, LW_SHARED);
	lost = table->lost;
	LWLockRelease(&table->lock);
	return lost;
}
