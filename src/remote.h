/*-------------------------------------------------------------------------
 *
 * remote.h
 *	  This database as the remote ledger of another: schema teller_remote.
 *
 * remote_execute.c decides what a request becomes, remote_many.c what many of
 * them become in one transaction, remote.c has what is asked besides,
 * remote_memo.c keeps the answers, remote_grant.c knows who may ask and which
 * account is his.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_REMOTE_H
#define TELLER_REMOTE_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/uuid.h"

#include "compat.h"

#define REMOTE_LIST_MAX 10000	/* rows of one teller_remote.list_since() */

/* What the caller is told.  NULL where there is nothing to tell. */
typedef struct RemoteAnswer
{
	const char *status;
	const char *reference;
	const char *reason;
	Numeric		amount;
	const char *asset;
	bool		has_executed_at;
	TimestampTz executed_at;
	bool		replayed;
} RemoteAnswer;

/* A row of teller.memo: the one answer to a memo, for ever. */
typedef struct RemoteMemo
{
	bytea	   *memo;
	const pg_uuid_t *origin;
	Oid			caller;
	bool		has_ledger;
	int64		ledger;
	Jsonb	   *request;		/* NULL: a tombstone, nothing was ever asked */
	RemoteAnswer answer;
} RemoteMemo;

/*
 * remote_memo_await: the stored row.  Waits for a transaction that is just
 * storing it.  40001 at REPEATABLE READ and above if it is newer than the
 * snapshot.  remote_memo_see: what is committed now, without waiting.  Both
 * return false if there is none.
 */
extern bool remote_memo_await(bytea *memo, RemoteMemo *stored);
extern bool remote_memo_see(bytea *memo, RemoteMemo *stored);

/* False, having written nothing, if a twin came first. */
extern bool remote_memo_store(const RemoteMemo *row);

/* 25006 on a standby or in a read-only transaction; its commit will last. */
extern void remote_begin_write(const char *function);

/* The argument, a memo: 22004, 22023. */
extern bytea *remote_read_memo(FunctionCallInfo fcinfo, int arg);

pg_noreturn extern void remote_raise_foreign_memo(bytea *memo);

/* The columns of an answer, as an array and as the function's result. */
#define REMOTE_ANSWER_COLUMNS 9

extern void remote_answer_values(bytea *memo, const RemoteAnswer *answer,
								 Datum *values, bool *nulls);
extern Datum remote_answer_row(FunctionCallInfo fcinfo, bytea *memo,
							   const RemoteAnswer *answer);

/* The account of the current user on a ledger; 42501 if he has none. */
extern int64 remote_require_account(int64 ledger);

/* 42501 unless the current user has an account on some ledger. */
extern void remote_require_any_account(void);

/* Whether the current user may take money from an account by a deposit. */
extern bool remote_has_mandate(int64 ledger, int64 account);

#endif							/* TELLER_REMOTE_H */
