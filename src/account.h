/*-------------------------------------------------------------------------
 *
 * account.h
 *	  Accounts: lock them in order, read them, test limits, write them.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_ACCOUNT_H
#define TELLER_ACCOUNT_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "amount.h"
#include "compat.h"
#include "denial.h"
#include "rel.h"

typedef enum AccountStatus
{
	ACCOUNT_OPEN,
	ACCOUNT_FROZEN_DEBIT,
	ACCOUNT_FROZEN_CREDIT,
	ACCOUNT_FROZEN,
	ACCOUNT_CLOSED
} AccountStatus;

/* An account's row in memory. */
typedef struct Account
{
	int64		ledger;
	int64		id;
	char	   *asset;
	int			scale;			/* decimals of the asset, as stored */
	Amount		posted;
	Amount		pending_debit;
	Amount		pending_credit; /* kept only if has_max, else zero */
	int64		version;
	bool		has_min;
	bool		has_max;
	Amount		min;
	Amount		max;
	char	   *reentrancy;
	bool		hot;
	AccountStatus status;
	TimestampTz last_at;
	bool		changed;
	bool		has_epoch;		/* it is hot or was so once */
	int64		epoch;			/* that the row of the journal gets; see hot.h */
	int			use;			/* of a hot account, or -1 */
	bool		alone;			/* hot, and no other transaction uses it */
	Amount		found[3];		/* hot: posted, pending_debit, pending_credit
								 * before this call */
	Amount		taken[2];		/* hot: by this call, on its debit and credit
								 * side */
	bool		due_known[2];	/* whether due[] is, for credit and debit side */
	Amount		due[2];			/* what remains of its holds that are due */
	TupleTableSlot *slot;		/* the locked row; account.c's */
} Account;

/* How hot accounts are locked; the others always are by their rows. */
typedef enum AccountHow
{
	ACCOUNT_SHARED,				/* others may use them at the same time */
	ACCOUNT_ALONE,				/* nobody else may: balances are exact */
	ACCOUNT_ROW					/* the same, and the row is locked, up to
								 * date, and to be changed */
} AccountHow;

/* The accounts that one call locked, by account_id. */
typedef struct AccountSet
{
	int64		ledger;
	AccountHow	how;
	Rel		   *rel;
	int			count;
	int64	   *ids;			/* of accounts[]: what is searched */
	Account    *accounts;
	TimestampTz now;			/* the call's one clock reading */
} AccountSet;

/*
 * account_set_lock: lock accounts FOR NO KEY UPDATE in account_id order,
 * hot ones as account_hot.h says (ACCOUNT_SHARED),
 * each once, and take the clock reading: the wall clock, or the latest of
 * their last_at if that is later.  TL009 for one that does not exist.  Waits
 * as long as it takes.  40001 at REPEATABLE READ and above if one changed.
 */
extern AccountSet *account_set_lock(int64 ledger, const int64 *ids, int count);
extern AccountSet *account_set_lock_as(int64 ledger, const int64 *ids,
									   int count, AccountHow how);
extern void account_set_close(AccountSet *set);

/* NULL if it is not in the set. */
extern Account *account_in_set(AccountSet *set, int64 id);

/* In a set, by its row's lock or as a hot account; else only peeked at. */
static inline bool
account_is_locked(const Account *account)
{
	return account->slot != NULL || account->use >= 0;
}

/*
 * account_step: the next version, for one journal row that touches the
 * account; its balances in memory are those after that row.
 * account_set_write: write each account that stepped, once.
 */
extern void account_step(Account *account);
extern void account_set_write(AccountSet *set);

/*
 * account_write_limits: write limits, status and pending_credit as they are
 * in memory; the version stays.  last_at becomes the set's reading.
 */
extern void account_write_limits(AccountSet *set, Account *account);
extern const char *account_status_name(AccountStatus status);

/* 22023 unless it is a reentrancy that an account can have. */
extern void account_check_reentrancy(const char *mode);

/* account_write_hot: the account is hot from now on, or no longer. */
extern void account_write_hot(AccountSet *set, const Account *account,
							  bool hot);

/* account_write_metadata: replace its metadata, NULL for none; no more. */
extern void account_write_metadata(AccountSet *set, const Account *account,
								   const Jsonb *metadata);

/*
 * account_peek: the account without a lock, as the snapshot has it; a NULL
 * snapshot is the newest.  NULL if it is not there.
 */
extern Account *account_peek(int64 ledger, int64 id, Snapshot snapshot);

/*
 * account_peek_first: the same of the newest one, in a call that locks
 * accounts next.  It locks the table as they do, so that the call locks it and
 * its index in one mode, which costs less than in two.
 */
extern Account *account_peek_first(int64 ledger, int64 id);

/* The id of the account with this name; false if there is none. */
extern bool account_find(int64 ledger, const text *name, Snapshot snapshot,
						 int64 *account);
pg_noreturn extern void account_raise_missing(int64 ledger, int64 id);

/*
 * Tests before a movement, in this order; NULL if it may go on.  Holds that
 * are due but not yet swept count as released; they are looked up only when
 * the plain test would deny.  account_test_debit is account_test_active and
 * account_test_minimum; account_test_credit likewise with the maximum;
 * account_test_pair is both.
 */
extern Denial *account_test_minimum(AccountSet *set, const Account *account,
									Amount amount);
extern Denial *account_test_maximum(AccountSet *set, const Account *account,
									Amount amount);
extern Denial *account_test_debit(AccountSet *set, const Account *account,
								  Amount amount);
extern Denial *account_test_credit(AccountSet *set, const Account *account,
								   Amount amount);
extern Denial *account_test_pair(AccountSet *set, const Account *debit,
								 const Account *credit, Amount amount);
extern Denial *account_test_active(const Account *account, bool debit_side);
extern Denial *account_test_version(const Account *account,
									int64 expected_version);

/* 22023 if both sides are one account, TL007 if their assets differ. */
extern void account_check_pair(int64 debit, int64 credit);
extern void account_check_assets(const Account *debit, const Account *credit);

/* For a detail: "; version 7", or nothing: a hot account has none. */
extern char *account_version_text(const Account *account);

/* The two denials of a limit, with the balance that is told. */
extern Denial *account_deny_funds(const Account *account, Amount available,
								  Amount amount);
extern Denial *account_deny_limit(const Account *account, Amount reserved,
								  Amount amount);

/*
 * What the account can still give or take: with no limit, the largest amount
 * there is.
 */
extern Amount account_room(AccountSet *set, const Account *account,
						   bool debit_side);

/* posted - pending_debit, with the holds that are due counted as released. */
extern Amount account_available(AccountSet *set, const Account *account);

#endif							/* TELLER_ACCOUNT_H */
