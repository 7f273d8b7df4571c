/*-------------------------------------------------------------------------
 *
 * call.h
 *	  Calls to ledgers outside the database: a request goes out, an answer
 *	  and its class come back.
 *
 * This layer knows remotes and wires, and nothing of operations, states or
 * tables.  Many calls are under way at once and one WaitEventSet waits for
 * all of them together with the process latch.
 *
 * The first half is for the worker, the second for transports.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_CALL_H
#define TELLER_CALL_H

#include "access/xact.h"
#include "lib/ilist.h"
#include "server.h"

#define CALL_MEMO_BYTES 32
#define CALL_MESSAGE_BYTES 512	/* with the final zero */

typedef enum CallVerb
{
	CALL_EXECUTE,				/* do it, or answer what was done */
	CALL_LOOKUP,				/* what became of it */
	CALL_FENCE,					/* see that it will never be done */
	CALL_CHECK,					/* what the remote can do */
	CALL_LIST					/* what it did for us since a time */
} CallVerb;

/*
 * What is asked.  call_start copies all of it.  NULL texts are sent as NULL.
 * Texts are in the database encoding and must be readable by the types of
 * teller_remote.execute.
 */
typedef struct CallRequest
{
	CallVerb	verb;
	Oid			server;
	Oid			userid;			/* whose user mapping is used */
	uint64		tag;			/* the caller's, handed back */
	int			attempt_timeout_ms; /* 0: the server's, else the setting */
	uint8		memo[CALL_MEMO_BYTES];	/* execute, lookup, fence */
	const char *origin;			/* execute, fence, list */
	const char *ledger;			/* execute; the server's option wins */
	const char *direction;		/* execute, and so on */
	const char *account;
	const char *amount;
	const char *asset;
	const char *nonce;
	const char *not_after;
	const char *payload;
	const char *reason;			/* fence */
	const char *after;			/* list: later than this, at most max_rows */
	const char *max_rows;
	const char *body;			/* execute: the stored request, JSON; over HTTP
								 * it is sent as it is */
} CallRequest;

typedef enum CallClass
{
	CALL_ANSWERED,				/* a complete, well-formed answer */
	CALL_NOT_SENT,				/* no byte of the request left */
	CALL_NOT_EXECUTED,			/* the remote proved that it did not run */
	CALL_MISCONFIGURED,			/* the same, and a repetition cannot help */
	CALL_AMBIGUOUS				/* it may have run */
} CallClass;

typedef enum AnswerStatus
{
	ANSWER_EXECUTED,
	ANSWER_REJECTED,
	ANSWER_CANCELLED,
	ANSWER_EXPIRED,
	ANSWER_CONFLICT,
	ANSWER_BUSY,
	ANSWER_NOT_FOUND			/* to a lookup only */
} AnswerStatus;

struct Call;

/*
 * What came of it.  The texts live until call_free_result.  status and what
 * follows it are set if class is CALL_ANSWERED; texts may be NULL then too.
 * Every text is valid in the database encoding.
 */
typedef struct CallResult
{
	uint64		tag;
	CallVerb	verb;
	CallClass	class;
	bool		sent;			/* a byte of the request may have left */
	char		sqlstate[6];	/* "00000" if answered */
	char		message[CALL_MESSAGE_BYTES];	/* without secrets */
	int64		elapsed_us;		/* since call_wait first saw it */
	int64		retry_after_us; /* as the remote asked; 0: it did not */

	AnswerStatus status;
	bool		has_memo;		/* missing only from not_found */
	uint8		memo[CALL_MEMO_BYTES];
	const char *reference;
	const char *reason;
	const char *amount;			/* digits with a sign and a point, no more */
	const char *asset;
	const char *executed_at;	/* timestamptz reads these two */
	const char *server_now;
	bool		replayed;
	const char *response;		/* the whole answer, an object for json_in */
	const char *text;			/* of check and list only, as the remote wrote
								 * it: not known to be JSON */
	struct Call *call;
} CallResult;

/* call_init: once in a process that makes calls.  May raise. */
extern void call_init(void);

/*
 * call_start: make a call.  To be called in a transaction: what the catalogs
 * say is read now.  Nothing leaves before this transaction has committed (and
 * it must be a commit that flushes); if it, or the subtransaction, aborts,
 * the call never was.  A server that is no good is not an error but a result.
 */
extern void call_start(const CallRequest *request);

/*
 * call_wait: send what is committed and wait for the latch, an answer, a
 * deadline or timeout_ms (-1: no limit).  Outside transactions only.  Does
 * not reset the latch, does not check for interrupts, may return early.  Name
 * resolution blocks: give `hostaddr` beside `host`.
 */
extern void call_wait(long timeout_ms);

/* The next finished call, in the order in which they finished. */
extern bool call_next_result(CallResult *result);
extern void call_free_result(CallResult *result);

/* Calls started and not yet finished; aborted ones do not count. */
extern int	call_in_flight(void);
extern int	call_in_flight_for(Oid server);

/*
 * Give up all committed calls, or those that no call_wait has seen yet.  Their
 * results can be taken.
 */
extern void call_cancel_all(void);
extern void call_cancel_unsent(void);

/* Close everything, for the end of the process; raises nothing. */
extern void call_shutdown(void);

/*
 * call_answer_matches: whether an answer speaks of what was asked: the memo,
 * and amount and asset, which an executed one must carry and others may.  If
 * not, *differs names the field.  Amounts are compared as numbers.  asked must
 * have memo, amount and asset, whatever its verb.
 */
extern bool call_answer_matches(const CallResult *result,
								const CallRequest *asked,
								const char **differs);

/* ---------- for transports ---------- */

/* A call has a place in one list of call.c from call_start on. */
typedef struct Call
{
	dlist_node	node;
	MemoryContext context;		/* holds the call and all its texts */
	CallRequest request;
	CallResult	result;
	const struct CallTransport *transport;
	void	   *transport_data;
	SubTransactionId subxact;	/* that started it */
	int			timeout_ms;
	int64		started_us;
	int64		deadline_us;
	bool		sent;
	bool		finished;
} Call;

/*
 * A socket in the wait set.  ready() is called with the events seen, 0 if the
 * socket can no longer be watched.  Embedded in the transport's own struct;
 * zeroed before first use.
 */
typedef struct CallWatch
{
	dlist_node	node;
	dlist_node	ready_node;
	void		(*ready) (struct CallWatch *watch, uint32 events);
	pgsocket	fd;
	uint32		events;			/* wanted */
	uint32		seen;
	int			pos;			/* in the wait set, -1: not yet */
	bool		listed;
	bool		queued;			/* in the list of those with events */
} CallWatch;

typedef struct CallTransport
{
	/* In the caller's transaction: resolve; may finish the call, no bytes. */
	void		(*prepare) (Call *call, const Server *server);
	/* Committed: begin, or finish it. */
	void		(*begin) (Call *call);
	/* Forget this call and close what carries it; call->sent stays. */
	void		(*abandon) (Call *call);
	/* Do what is due at now_us; returns when the next is, or PG_INT64_MAX. */
	int64		(*timers) (int64 now_us);
	/* Close everything; raises nothing. */
	void		(*close) (void);
} CallTransport;

extern const CallTransport call_postgres;
extern const CallTransport call_http;

/* Which transport serves which kind of server; NULL: none. */
extern const CallTransport *call_transports[SERVER_KINDS];

/*
 * call_watch: watch fd, or watch it for other events.  replaced: the number
 * may stand for another socket than before.
 */
extern void call_watch(CallWatch *watch, pgsocket fd, uint32 events,
					   bool replaced);
extern void call_unwatch(CallWatch *watch);

/* A clock that only goes forward, in microseconds. */
extern int64 call_clock_us(void);

/* Lives as long as the process. */
extern MemoryContext call_context;

/* A copy in the current memory context; NULL of NULL. */
extern const char *call_copy_text(const char *text);

/* call_finish: the end of a call.  Raises nothing. */
extern void call_finish(Call *call, CallClass class, const char *sqlstate,
						const char *message, const char *secret);

/* call_give_up: the same, with the class that follows from call->sent. */
extern void call_give_up(Call *call, const char *message);

/*
 * call_clean_message: copy a message from outside into CALL_MESSAGE_BYTES:
 * printable, valid, cut to size, with a star for every secret (may be NULL).
 */
extern void call_clean_message(char *to, const char *from,
							   const char *secret);

/* The fields of an answer, in the order of the contract. */
typedef enum AnswerField
{
	FIELD_MEMO,					/* 64 hexadecimal digits */
	FIELD_STATUS,
	FIELD_REFERENCE,
	FIELD_REASON,
	FIELD_AMOUNT,
	FIELD_ASSET,
	FIELD_EXECUTED_AT,
	FIELD_REPLAYED,				/* t or f, true or false */
	FIELD_SERVER_NOW
} AnswerField;

#define ANSWER_FIELDS (FIELD_SERVER_NOW + 1)

/*
 * call_read_answer: take an answer into call->result, copying.  What a check
 * or a list brought is in the first field.  Returns NULL, or what is wrong with it: then
 * it proves nothing.
 */
extern const char *call_read_answer(Call *call,
									const char *const fields[ANSWER_FIELDS]);

#endif							/* TELLER_CALL_H */
