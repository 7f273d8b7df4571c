/*-------------------------------------------------------------------------
 *
 * remote_execute.h
 *	  A request from outside, from its arguments to its answer: what
 *	  teller_remote.execute and execute_many have in common.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_REMOTE_EXECUTE_H
#define TELLER_REMOTE_EXECUTE_H

#include "fmgr.h"

#include "account.h"
#include "key.h"
#include "remote.h"

/* The arguments of execute. */
typedef enum ExecuteArgument
{
	EXECUTE_MEMO,
	EXECUTE_ORIGIN,
	EXECUTE_LEDGER,
	EXECUTE_DIRECTION,
	EXECUTE_ACCOUNT,
	EXECUTE_AMOUNT,
	EXECUTE_ASSET,
	EXECUTE_NONCE,
	EXECUTE_NOT_AFTER,
	EXECUTE_PAYLOAD
} ExecuteArgument;

#define EXECUTE_ARGUMENTS (EXECUTE_PAYLOAD + 1)

/* One request. */
typedef struct Execution
{
	RemoteMemo	row;			/* what will be stored */
	KeyCall		call;			/* the request, argument by argument */
	bool		is_deposit;
	text	   *account;
	Numeric		amount;
	text	   *asset;
	text	   *nonce;
	TimestampTz not_after;
} Execution;

/* Read the arguments of execute; 22004, 22023, 54000. */
extern void execution_read(FunctionCallInfo fcinfo, Execution *execution);

/*
 * execution_replay: the stored answer, or conflict if the memo was used with
 * another request.  False if there is none.  Waits for a transaction that is
 * just storing one.  42501 for a memo of another role.
 */
extern bool execution_replay(const Execution *execution,
							 RemoteAnswer *answer);

/*
 * execution_examine: the rules that need no lock, because what they test does
 * not change.  NULL, or the reason of the refusal; then *other is the account
 * that was named.  mine: the caller's account.
 */
extern const char *execution_examine(const Execution *execution,
									 const Account *mine, int64 *other,
									 Snapshot snapshot);

/* Whether it is too late, by the clock here. */
extern bool execution_is_late(const Execution *execution);

/* What the journal row says: for whom and for what it was. */
extern Jsonb *execution_metadata(const Execution *execution);

/* execution_store: store an answer; false if a twin came first. */
extern bool execution_store(Execution *execution, const char *status,
							const char *reason, TimestampTz now);

/* The caller's account, as the snapshot has it; TL009 if it is gone. */
extern Account *execution_account(int64 ledger, int64 mine, Snapshot snapshot);

#endif							/* TELLER_REMOTE_EXECUTE_H */
