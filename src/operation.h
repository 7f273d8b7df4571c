/*-------------------------------------------------------------------------
 *
 * operation.h
 *	  External operations: money that leaves for, or comes from, a ledger
 *	  outside this database.
 *
 * operation_submit.c makes them, operation_apply.c is the only place that
 * changes one (reentrancy.c lets the successor of one that ended go),
 * operation_row.c knows the tables, operation.c has what people call.  What
 * may follow from what is decided by operation_fsm.c alone.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_OPERATION_H
#define TELLER_OPERATION_H

#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "compat.h"
#include "memo.h"
#include "operation_fsm.h"
#include "rel.h"
#include "server.h"

/* An operation's row in memory. */
typedef struct Operation
{
	int64		ledger;
	pg_uuid_t	id;
	int64		account;
	int64		settlement_account;
	NameData	server;
	uint8		memo[MEMO_BYTES];
	Oid			submitter;
	pg_uuid_t	hold;
	int			attempt_timeout_ms; /* 0: not given */
	int			last_attempt;	/* number of the newest attempt row */
	bool		queues;			/* its reentrancy is queue */
	int64		ticket;
	char	   *on_complete;	/* signatures, NULL: none */
	char	   *on_doubt;
	OpFacts		facts;
} Operation;

/* The columns of teller.operation_data, in their order. */
enum
{
	OPERATION_LEDGER,
	OPERATION_ID,
	OPERATION_ACCOUNT,
	OPERATION_SETTLEMENT_ACCOUNT,
	OPERATION_DIRECTION,
	OPERATION_SERVER,
	OPERATION_NONCE,
	OPERATION_MEMO,
	OPERATION_AMOUNT,
	OPERATION_ASSET,
	OPERATION_COUNTERPARTY,
	OPERATION_PAYLOAD,
	OPERATION_REQUEST,
	OPERATION_ARGUMENTS,
	OPERATION_FINGERPRINT,
	OPERATION_SUBMITTER,
	OPERATION_REENTRANCY,
	OPERATION_TICKET,
	OPERATION_HOLD,
	OPERATION_STATE,
	OPERATION_REASON,
	OPERATION_DIRTY,
	OPERATION_ATTEMPTS,
	OPERATION_SENDS,
	OPERATION_RECHECKS,
	OPERATION_LAST_ATTEMPT,
	OPERATION_CANCEL_REQUESTED,
	OPERATION_FOUND_NOTHING,
	OPERATION_ATTEMPT_TIMEOUT,
	OPERATION_NEXT_TRY_AT,
	OPERATION_FIRST_SENT_AT,
	OPERATION_NOT_AFTER,
	OPERATION_EXPIRES_AT,
	OPERATION_CREATED_AT,
	OPERATION_ENDED_AT,
	OPERATION_REFERENCE,
	OPERATION_RESPONSE,
	OPERATION_LAST_ERROR,
	OPERATION_ON_COMPLETE,
	OPERATION_ON_DOUBT,
	OPERATION_COLUMNS
};

#define OPERATION_RECHECK_MAX_US (5 * USECS_PER_MINUTE)

/* ---- rows (operation_row.c) ---- */

extern void operation_read(Operation *operation, TupleTableSlot *slot);

/* False if there is none that the newest snapshot sees. */
extern bool operation_peek(Rel *rel, int64 ledger, const pg_uuid_t *id,
						   TupleTableSlot *slot, Operation *operation);
pg_noreturn extern void operation_raise_missing(int64 ledger, const pg_uuid_t *id);

/*
 * What a step leaves in the row beside what the transition function says.
 * operation_write also writes the continuation that the step asks for.
 */
typedef struct OperationNotes
{
	TimestampTz now;
	bool		cancel_requested;
	const char *reference;		/* NULL: as before, also the next two */
	const char *response;		/* JSON */
	const char *error;
} OperationNotes;

extern void operation_write(Rel *rel, TupleTableSlot *slot,
							const Operation *operation, const OpStep *step,
							const OperationNotes *notes);

/* The words for an attempt's verb, and rows of attempt_data. */
extern const char *operation_verb_name(OpVerb verb);
extern void attempt_begin(const Operation *operation, OpVerb verb,
						  const pg_uuid_t *worker, TimestampTz now);

/* Whether the newest attempt has no end yet. */
extern bool attempt_is_open(const Operation *operation);

/* An attempt's row; false if there is none of that number. */
typedef struct Attempt
{
	OpVerb		verb;
	const char *outcome;		/* NULL: no end yet */
} Attempt;

extern bool attempt_find(const Operation *operation, int number,
						 Attempt *attempt);

/*
 * operation_next_ledger: the first ledger above *ledger (the very first one
 * if *is_set is false) that has an entry in this index, which leads with the
 * ledger.  False if there is none.
 */
extern bool operation_next_ledger(Rel *rel, const char *index_name,
								  Snapshot snapshot, int64 *ledger,
								  bool *is_set);

/*
 * attempt_end: write how an attempt ended.  On one that has an end already
 * the news is added to its detail.
 */
extern void attempt_end(const Operation *operation, int attempt,
						const char *outcome, const char *detail,
						TimestampTz now);

/* One finding: what a person should look at, or has decided. */
extern void finding_write(const Operation *operation, const char *kind,
						  const char *detail, Oid role, TimestampTz now);

/* ---- events (operation_apply.c) ---- */

/* What happened to an operation. */
typedef struct OperationNews
{
	int64		ledger;
	pg_uuid_t	id;
	OpEvent		event;			/* now, jitter and current_attempt are set by
								 * operation_apply */
	int			attempt;		/* the attempt row that it ends; 0: none */
	const char *outcome;		/* one word for that row */
	const char *detail;			/* a sentence, or NULL */
	const char *reference;		/* of the answer, or NULL */
	const char *response;		/* the answer as JSON, or NULL */
	const char *evidence;		/* resolve: for the audit row */
} OperationNews;

/* What came of it. */
typedef struct OperationChange
{
	bool		found;			/* there is such an operation */
	bool		legal;
	OpState		before;
	OpState		after;
	OpReason	reason;
	uint32		actions;
	NameData	server;
} OperationChange;

/*
 * operation_apply: give one event to an operation, in the current
 * transaction.  Locks: its accounts in order, its row, its hold.  Waits for
 * them.  What is left to do after the commit (notify, circuit) stands in
 * change->actions.  40001 at REPEATABLE READ and above if any of them changed.
 */
extern void operation_apply(const OperationNews *news,
							OperationChange *change);

/*
 * operation_claim: the event CLAIM for the row that a scan put into the slot,
 * if nobody has locked it; no account is locked.  If it is to be sent, its
 * attempt row is written and *send is the verb.
 */
typedef enum ClaimAnswer
{
	CLAIM_SEND,					/* after the commit */
	CLAIM_NOTHING,				/* it waits, or is in doubt now */
	CLAIM_ENDS,					/* give it the event TICK: money moves */
	CLAIM_BUSY					/* look again a little later */
} ClaimAnswer;

typedef struct OperationClaim
{
	const OpPolicy *policy;		/* of its server */
	const pg_uuid_t *worker;	/* names the claimer in the attempt row */
	int64		lease_us;		/* 0: what the worker's call may take */

	/* the answer */
	Operation	operation;
	OpVerb		verb;			/* CLAIM_SEND: what is to be sent */
	TimestampTz lease_until;	/* CLAIM_SEND */
} OperationClaim;

extern ClaimAnswer operation_claim(Rel *rel, TupleTableSlot *slot,
								   OperationClaim *claim);

/*
 * operation_lapse: if the lease of the row that a scan put into the slot has
 * run out, and nobody has locked the row, its attempt counts as lost.  True
 * if it does.  No account is locked, because no money moves.
 */
extern bool operation_lapse(Rel *rel, TupleTableSlot *slot);

/*
 * operation_extend: let the lease of an attempt end lease_us from now, unless
 * it ends later already; that of a lookup or fence at most five minutes from
 * now.  False if the attempt is not out any more or its lease has run out.
 * Locks the operation's row and waits for it; *operation is the row.  TL009.
 */
extern bool operation_extend(int64 ledger, const pg_uuid_t *id, int attempt,
							 int64 lease_us, Operation *operation);

/* The policy of a server (NULL: it is gone); its gates are open. */
extern void operation_policy(const Server *server, OpPolicy *policy);

/* Tell the listeners of channel teller_operation; a hint, it never fails. */
extern void operation_notify(int64 ledger, const pg_uuid_t *id,
							 OpState state);

#endif							/* TELLER_OPERATION_H */
