/*-------------------------------------------------------------------------
 *
 * continuation.h
 *	  Continuations: functions of the submitter that run when an operation
 *	  has ended (on_complete) or has entered doubt (on_doubt).
 *
 * continuation_check.c looks at the functions, continuation.c knows the rows,
 * continuation_run.c runs them.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_CONTINUATION_H
#define TELLER_CONTINUATION_H

#include "operation.h"

/* ---- functions (continuation_check.c) ---- */

/*
 * continuation_signature: the schema-qualified signature under which a
 * function is kept, palloc'd.  42883 if there is no such function.
 *
 * continuation_check: may the current user name this function for argument
 * on_complete or on_doubt?  42809 if it is not a function that takes exactly
 * one teller.operation_result and returns void, or is temporary; 42501
 * without USAGE on its schema or EXECUTE on it.
 *
 * continuation_resolve: the function that has this signature now, with the
 * same tests, for the current user.  42883 or 3F000 if there is none.
 */
extern char *continuation_signature(Oid function, const char *argument);
extern void continuation_check(Oid function, const char *argument);
extern Oid	continuation_resolve(const char *signature, const char *argument);

/* The type teller.operation_result, and an operation's row as one. */
extern Oid	continuation_argument_type(void);
extern Datum continuation_argument(TupleTableSlot *operation);

/* ---- rows (continuation.c) ---- */

/* One row. */
typedef struct ContinuationKey
{
	int64		ledger;
	pg_uuid_t	operation;
	int			event;			/* 1, 2, ...: of this operation */
} ContinuationKey;

typedef struct Continuation
{
	ContinuationKey key;
	char		kind[16];		/* on_complete, on_doubt */
	char		state[16];		/* waiting, done, parked */
	int			attempts;		/* runs begun, the present one included */
	int			lost;			/* of them, those that never came back */
	bool		running;		/* one began and has not come back */
	TimestampTz next_try;
} Continuation;

/*
 * continuation_write: the rows that a step of an operation asks for
 * (OP_DO_CONTINUE, OP_DO_DOUBT), in its transaction, with its row locked.
 * Wakes the worker at commit.
 */
extern void continuation_write(const Operation *operation, uint32 actions,
							   TimestampTz now);

/* Did this process write one since the last look? */
extern bool continuation_is_due(void);

/*
 * continuation_look: what is due, of one ledger or (ledger NULL) of all, in
 * turns: at most max keys.  *next is when the first of the others is due, as
 * far as it was looked at.
 */
extern int	continuation_look(const int64 *ledger, ContinuationKey *keys,
							  int max, TimestampTz *next);

/*
 * continuation_claim: count an attempt before it is made, so that one that
 * ends the process is counted too.  False if it is not due, or somebody has
 * it, or it was parked because too many attempts never came back.
 */
extern bool continuation_claim(const ContinuationKey *key, Continuation *c);

/*
 * continuation_done: lock the row and write that it has been run, in the
 * transaction that is about to run it.  attempts: as claimed; 0: it was not
 * claimed, and counts now.  False if it is not waiting any more, somebody
 * has it, or it was claimed again since.
 */
extern bool continuation_done(const ContinuationKey *key, int attempts,
							  Continuation *c);

/* How an attempt failed. */
typedef struct ContinuationFailure
{
	const char *error;
	bool		park;			/* no further attempt would help */
	bool		counts;			/* false: it was stopped for our own reasons */
} ContinuationFailure;

/* continuation_failed: back-off, or parked.  c: as claim or done left it. */
extern void continuation_failed(const Continuation *c,
								const ContinuationFailure *failure);

/* ---- running (continuation_run.c) ---- */

/* A phase of the worker; returns when it is next due. */
extern TimestampTz continuation_run(void);

#endif							/* TELLER_CONTINUATION_H */
