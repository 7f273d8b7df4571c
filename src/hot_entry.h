/*-------------------------------------------------------------------------
 *
 * hot_entry.h
 *	  Hot accounts in shared memory.
 *
 * An entry knows what the account has by committed movements, and what the
 * transactions that are in flight may take from it or give to it.  It is only
 * a cache: everything in it can be made anew from the account's row and the
 * journal, as long as no transaction in flight uses it.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_HOT_ENTRY_H
#define TELLER_HOT_ENTRY_H

#include "datatype/timestamp.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"

#include "amount.h"

/* Epochs of one account that have transactions in flight. */
#define HOT_EPOCHS 64

/* The minimum bounds one side, the maximum the other. */
typedef enum HotSide
{
	HOT_DEBIT,
	HOT_CREDIT
} HotSide;

#define HOT_SIDES (HOT_CREDIT + 1)

/*
 * The table and its file are part of the name: another CREATE EXTENSION or a
 * TRUNCATE makes other accounts.
 */
typedef struct HotKey
{
	Oid			dboid;
	Oid			table;
	Oid			file;
	Oid			unused;			/* zero: keys are compared as bytes */
	int64		ledger;
	int64		account;
} HotKey;

/*
 * What may still change on one side: until they end, transactions in flight
 * have taken so much of the room there is, and may give so much to it.
 */
typedef struct HotGauge
{
	Amount		taken;
	Amount		given;
	int			claims;			/* holds whose deadline was found not to have
								 * come, and that are being changed */
	uint64		settled;		/* commits that changed its holds */
	TimestampTz due_read;		/* by the latest reading of the clock at which
								 * holds that are due were left out */
} HotGauge;

/* A part of the journal's rows of the account; see hot.h. */
typedef struct HotEpoch
{
	int64		number;			/* 0: a free place */
	int			users;			/* transactions in flight that write in it */
} HotEpoch;

/* What a process has to do with the account (hot_gate.h). */
typedef struct HotGuest
{
	TransactionId xid;			/* 0: nothing */
	bool		holds;			/* has taken, given or claimed something */
} HotGuest;

typedef enum HotState
{
	HOT_UNKNOWN,				/* nobody has asked yet */
	HOT_LOADING,
	HOT_KNOWN
} HotState;

typedef struct HotEntry
{
	HotKey		key;			/* table lock */
	bool		in_use;			/* table lock */
	LWLock		lock;			/* guards all that follows */
	int			users;			/* guests and folds; 0: may go */
	int			alone;			/* the process that has it alone, or is next;
								 * -1: none */
	TransactionId alone_xid;	/* and its transaction */
	uint64		turn;			/* how often one was */
	HotState	state;			/* of what follows, but the guests */
	ConditionVariable loaded;
	Amount		posted;			/* by commits */
	Amount		pending[HOT_SIDES]; /* the same */
	HotGauge	gauges[HOT_SIDES];
	int64		epoch;			/* the one that is written in */
	HotEpoch	epochs[HOT_EPOCHS];
	uint64		settled;		/* commits that changed anything */
	uint64		folded;			/* those of them that are in the row */
	HotGuest	guests[FLEXIBLE_ARRAY_MEMBER];	/* by process */
} HotEntry;

extern Size hot_shmem_size(void);
extern void hot_shmem_init(void);	/* attach, and initialize if need be */

/*
 * hot_entry_acquire: the entry of an account, with a user more and its lock
 * held.  53400 if there is no place (teller.max_hot_accounts).
 * hot_entry_release: a user less.  With its lock held, which is released.
 */
extern HotEntry *hot_entry_acquire(const HotKey *key);
extern void hot_entry_release(HotEntry *entry);

/*
 * hot_entry_is_known: true if it is, with its lock held, as it is on entry;
 * waits while another process fills it.  False: the lock is released, and the
 * caller is to fill it and call hot_entry_loaded.  hot_entry_forget: it is
 * not known any more, or was not filled; with its lock.  That there is
 * something to fold stays known: who has folded it may roll back.
 */
extern bool hot_entry_is_known(HotEntry *entry);
extern void hot_entry_loaded(HotEntry *entry);
extern void hot_entry_forget(HotEntry *entry);

/*
 * hot_entry_enter: a transaction more that writes in the present epoch.
 * hot_entry_leave: it has ended.  Both with the lock held.
 */
extern int64 hot_entry_enter(HotEntry *entry);
extern void hot_entry_leave(HotEntry *entry, int64 epoch);

/*
 * hot_entry_close_epoch: begin a new epoch.  Returns the one that ended, and
 * in open[] (HOT_EPOCHS places) those up to it that transactions in flight
 * still write in.  0 if there is no place for another.  With the lock held.
 */
extern int64 hot_entry_close_epoch(HotEntry *entry, int64 *open, int *nopen);

/*
 * hot_entry_guest: a guest other than we, or (holds) one that has taken, given
 * or claimed something; or 0.  With the lock held.
 */
extern TransactionId hot_entry_guest(const HotEntry *entry, bool holds);

/*
 * hot_entry_unfolded: accounts of this database with commits that are not in
 * their rows yet; at most max, by no order.  hot_entry_lost tells how often an
 * entry with such commits had to make place for another.
 */
extern int	hot_entry_unfolded(Oid table, Oid file, HotKey *keys, int max);
extern uint64 hot_entry_lost(void);

#endif							/* TELLER_HOT_ENTRY_H */
