/*-------------------------------------------------------------------------
 *
 * operation_fsm.h
 *	  The transition function of an external operation.
 *
 * One pure function: the durable row, what the server and the settings
 * allow, and one event go in; the row as it must be afterwards and a set of
 * actions come out.  No clock, no randomness, no input or output, no memory
 * of its own, no PostgreSQL header: the worker, the SQL functions, the
 * simulator and test/fsm drive the same code.  It is the only writer of an
 * operation's state.
 *
 * How a caller uses it: lock the row, fill OpFacts from it, call
 * operation_step(), write the OpStep back and carry out its actions, all in
 * the same transaction.  Only a commit makes the step true; after a rollback
 * nothing has happened and the same event may be given again.  The OP_DO_SEND
 * actions come after that commit, never before it.
 *
 * Every time is a point or a length in microseconds.  Points count from any
 * epoch, the same for all fields; OP_NEVER is the point that never comes.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_OPERATION_FSM_H
#define TELLER_OPERATION_FSM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OP_NEVER	INT64_MAX

typedef enum OpState
{
	OP_STASHED,					/* waits for its account's turn */
	OP_HELD,					/* ready, nothing of it was executed */
	OP_IN_FLIGHT,				/* an execute attempt is out */
	OP_RETRY_WAIT,				/* waits to send the same memo again */
	OP_IN_DOUBT,				/* only lookup or fence may follow */
	OP_FENCING,					/* a fence is out */
	OP_CONFLICT,				/* the remote knows something else */
	OP_QUARANTINED,				/* after restore or promotion */
	OP_SETTLED,					/* terminal: the remote executed it */
	OP_REFUNDED					/* terminal: proven that it did not */
} OpState;

#define OP_STATE_COUNT	(OP_REFUNDED + 1)

/* Why an operation was refunded. */
typedef enum OpReason
{
	OP_REASON_NONE,				/* every state but refunded */
	OP_REASON_REJECTED,			/* the remote refused it */
	OP_REASON_CANCELLED,		/* somebody cancelled it, and it never ran */
	OP_REASON_EXPIRED			/* out of time or retries, and it never ran */
} OpReason;

#define OP_REASON_COUNT (OP_REASON_EXPIRED + 1)

/* The call an event answers or tells about. */
typedef enum OpVerb
{
	OP_VERB_EXECUTE,
	OP_VERB_LOOKUP,
	OP_VERB_FENCE
} OpVerb;

#define OP_VERB_COUNT	(OP_VERB_FENCE + 1)

typedef enum OpEventKind
{
	/*
	 * From the queue, the clock and the worker.  A claim does what a tick
	 * does and may send besides; both look at any operation whose next_try
	 * has come.  A step into a terminal state is the end of a predecessor.
	 */
	OP_EV_PREDECESSOR_ENDED,	/* predecessor_open is false now */
	OP_EV_CLAIM,				/* due, and a caller is ready: what to send? */
	OP_EV_TICK,					/* looked at with nobody to send anything */
	OP_EV_WORKER_LOST,			/* who sent it is gone, or the lease ran out */

	/* Answers.  The verb says of which call. */
	OP_EV_REPLY_EXECUTED,
	OP_EV_REPLY_REJECTED,
	OP_EV_REPLY_CANCELLED,		/* the tombstone of a fence */
	OP_EV_REPLY_EXPIRED,		/* arrived there after not_after */
	OP_EV_REPLY_NOT_FOUND,		/* never a proof by itself */
	OP_EV_REPLY_BUSY,			/* in progress there: 202, 409, busy */
	OP_EV_REPLY_CONFLICT,		/* other memo, amount or asset; 422 */

	/* Calls that brought no answer of the ledger.  The verb says which. */
	OP_EV_NOT_SENT,				/* not one byte of the request left */
	OP_EV_NOT_EXECUTED,			/* proof that it did not run; retry; 429 */
	OP_EV_REFUSED,				/* the same, but to repeat it is no use */
	OP_EV_MISCONFIGURED,		/* the same, and the server needs mending */
	OP_EV_AMBIGUOUS,			/* anything may have happened; 408, 503 */

	/* From people. */
	OP_EV_CANCEL_REQUEST,		/* cancel() */
	OP_EV_RESOLVE_EXECUTED,		/* resolve(), the right to it is checked */
	OP_EV_RESOLVE_NOT_EXECUTED,

	/* After restore, clone and promotion. */
	OP_EV_INCARNATION_CHANGED,	/* this row was made by another instance */
	OP_EV_RECONCILED_EXECUTED,	/* the remote has it under this memo */
	OP_EV_RECONCILED_FENCED,	/* it has a failure or a tombstone there */
	OP_EV_RECONCILED_NEVER_SENT,	/* no lost attempt can exist */
	OP_EV_RECONCILED_UNKNOWN	/* neither of these */
} OpEventKind;

#define OP_EVENT_COUNT	(OP_EV_RECONCILED_UNKNOWN + 1)

/*
 * What the durable row says, read under its lock.
 *
 * "row" marks a column of the operation: operation_begin() gives its first
 * value and each OpStep its next one; nobody else writes it.  "submit" is
 * written once, in phase 1.  "caller" is worked out for this very call.
 */
typedef struct OpFacts
{
	OpState		state;			/* row */
	OpReason	reason;			/* row */

	/*
	 * row: some attempt may have reached the remote and nothing proves that
	 * it did not run.  Once true it stays true.  A quarantined row counts as
	 * dirty whatever it says here; this is what our own attempts say.
	 */
	bool		dirty;
	bool		cancel_requested;	/* row; see OP_DO_SET_CANCEL_REQUESTED */
	bool		found_nothing;	/* row: a lookup in doubt found nothing */

	/* caller: reentrancy `queue`, and an earlier operation has not ended */
	bool		predecessor_open;
	uint32_t	attempts;		/* row: execute attempts that count */

	/*
	 * row: execute attempts that may have left this machine.  Attempts that
	 * ended as not sent or misconfigured are taken back.
	 */
	uint32_t	sends;

	/*
	 * caller: execute attempts without a recorded outcome, apart from the
	 * one in flight.  A lost attempt has an outcome ("lost") and counts as
	 * dirty, not as open; so this is 0 unless two callers share the work.
	 */
	uint32_t	open_attempts;
	uint32_t	rechecks;		/* row: lookups and fences sent in doubt */

	/*
	 * row: when to look at it again; it is due if now has reached it.  In
	 * flight and fencing it is the moment at which the caller counts as lost,
	 * so extend_lease moves it.
	 */
	int64_t		next_try;
	int64_t		not_after;		/* submit: goes to the remote */
	int64_t		expires_at;		/* submit: not_after plus the margin, ours */

	/*
	 * row: when the first execute attempt was claimed.  While sends is 0
	 * the caller puts the time of the submission here: an attempt whose row
	 * a promotion has lost cannot be older.
	 */
	int64_t		first_sent_at;
} OpFacts;

/* What the server, the settings and the moment allow.  All by the caller. */
typedef struct OpPolicy
{
	/* options of the server */
	bool		honours_memo;	/* one memo has at most one effect there */
	bool		can_fence;
	bool		can_lookup;
	int64_t		memo_retention; /* us; 0: it remembers for ever */

	/* settings */
	int64_t		not_after_margin;	/* us */
	uint32_t	max_attempts;
	int64_t		backoff_base;	/* us; the first wait is at most this */
	int64_t		backoff_max;	/* us; between two execute attempts */
	int64_t		recheck_max;	/* us; between two lookups or fences, 5 min */
	int64_t		attempt_timeout;	/* us; how long a call may take */

	/* the moment */
	bool		dispatch_enabled;	/* teller.dispatch */
	bool		adopted;		/* this instance owns the operations it has */
	bool		slot_free;		/* caps of the worker and of the server */
	bool		circuit_open;	/* and this call is not its probe */

	/*
	 * When the first of the closed gates above may open, as far as it is
	 * known (the circuit's probe); 0: unknown.
	 */
	int64_t		gate_opens_at;
} OpPolicy;

/* What happened.  All by the caller. */
typedef struct OpEvent
{
	OpEventKind kind;
	int64_t		now;			/* of the clock module, after the row lock */
	double		jitter;			/* random in [0, 1) */

	/* Answers and failed calls only: which call this is about. */
	OpVerb		verb;

	/*
	 * Answers, failed calls and WORKER_LOST: whether it is about the attempt
	 * that put the row into its present state.  Not looked at for executed,
	 * nor for what lookups and fences find: that is true at any age.
	 */
	bool		current_attempt;

	/*
	 * EXECUTED, REJECTED, CANCELLED, EXPIRED and the first two of
	 * RECONCILED: memo, and amount and asset where the contract has them,
	 * are those of this operation.  If not, it is a conflict.
	 */
	bool		memo_matches;

	/* RECONCILED_FENCED: what the remote stored; NONE is a tombstone. */
	OpReason	stored;
	int64_t		retry_after;	/* us, as the remote asked; 0: it did not */
	int64_t		lease;			/* us, CLAIM; 0: attempt_timeout */
} OpEvent;

/* Actions, a bit mask: to be done in the step's transaction. */
#define OP_DO_CAPTURE			(1u << 0)	/* the hold */
#define OP_DO_RELEASE			(1u << 1)	/* the hold */
#define OP_DO_CONTINUE			(1u << 2)	/* a row for on_complete */
#define OP_DO_DOUBT				(1u << 3)	/* a row for on_doubt */
#define OP_DO_NOTIFY			(1u << 4)	/* NOTIFY teller_operation */
#define OP_DO_FINDING			(1u << 5)	/* record a finding */
#define OP_DO_OPEN_CIRCUIT		(1u << 6)	/* of the server, at commit */
#define OP_DO_NEW_ATTEMPT		(1u << 7)	/* attempt row; flush at commit */
#define OP_DO_UNCOUNT_ATTEMPT	(1u << 8)	/* mark it; attempts is lower */
#define OP_DO_SET_CANCEL_REQUESTED (1u << 9)	/* the row's flag */
#define OP_DO_AUDIT				(1u << 10)	/* who resolved it, and why */
#define OP_DO_NOTE				(1u << 11)	/* it changed nothing: note it */

/* To be done after that transaction has committed.  At most one of them. */
#define OP_DO_SEND_EXECUTE		(1u << 12)
#define OP_DO_SEND_LOOKUP		(1u << 13)
#define OP_DO_SEND_FENCE		(1u << 14)

#define OP_ACTION_COUNT			15
#define OP_DO_SEND_ANY \
	(OP_DO_SEND_EXECUTE | OP_DO_SEND_LOOKUP | OP_DO_SEND_FENCE)

/*
 * The row as it must be afterwards, and what else to do.
 *
 * After a claim or a tick, a step without actions that leaves the state alone
 * is a wait: next_try is when to ask again at the latest, and the caller need
 * not write it.  Every other legal step is written, also where the state
 * stays: it may carry found_nothing or the time of the next lookup.
 */
typedef struct OpStep
{
	OpState		state;
	OpReason	reason;
	bool		dirty;
	bool		found_nothing;
	uint32_t	attempts;
	uint32_t	sends;
	uint32_t	rechecks;
	int64_t		next_try;		/* OP_NEVER: only an event can move it */
	int64_t		first_sent_at;	/* of no account while sends is 0 */
	uint32_t	actions;		/* OP_DO_* */

	/*
	 * False: the table has no row for this pair.  The row is as before, the
	 * only action is OP_DO_NOTE; an SQL function raises instead (55000).
	 */
	bool		legal;
} OpStep;

/*
 * The first step of an operation, in phase 1: stashed or held.  Reads
 * predecessor_open and not_after; whatever else facts says is of no account.
 */
extern OpStep operation_begin(const OpFacts *facts, int64_t now);

/* The answer to one event.  Total: any state, any event, any facts. */
extern OpStep operation_step(const OpFacts *facts, const OpPolicy *policy,
							 const OpEvent *event);

extern bool operation_state_is_terminal(OpState state);

/*
 * The SQL words.  Names are static strings; NULL for a value that is none of
 * the enum's, and for OP_REASON_NONE.  From a name: false and *state
 * untouched if it is not one of the words, NULL included.
 */
extern const char *operation_state_name(OpState state);
extern bool operation_state_from_name(const char *name, OpState *state);
extern const char *operation_reason_name(OpReason reason);

#endif							/* TELLER_OPERATION_FSM_H */
