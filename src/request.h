/*-------------------------------------------------------------------------
 *
 * request.h
 *	  Requests of the application, each answered once.
 *
 * A request is a row of teller.request under (scope, key).  It is begun by
 * one session, finished with a response by the same, and replayed to all
 * others.  Layer 1: no ledger, no preload.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_REQUEST_H
#define TELLER_REQUEST_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "rel.h"

#define REQUEST_MAX_BYTES (1024 * 1024) /* of a request or a response */

/* What begin_request was called with. */
typedef struct RequestCall
{
	text	   *scope;
	text	   *key;
	Jsonb	   *body;
	const Interval *lease;		/* NULL: finish in this transaction */
	bool		has_time;
	TimestampTz time;			/* when the request was made, by its maker */
} RequestCall;

/* A row of teller.request; below slot is what was last read of it. */
typedef struct Request
{
	const text *scope;
	const text *key;
	Rel		   *rel;
	TupleTableSlot *slot;
	Oid			role;			/* who began it */
	int64		token;			/* 1, and one more each time it is overtaken */
	bool		finished;
	TimestampTz finished_at;
	bool		has_lease;
	TimestampTz lease_until;
	bool		has_time;
	TimestampTz time;
} Request;

/* ---- request_row.c: rows ---------------------------------------------- */

extern void request_open(Request *request, const text *scope,
						 const text *key, LOCKMODE lockmode);
extern void request_close(Request *request);

/* request_look: read the row that the snapshot sees.  False if none. */
extern bool request_look(Request *request, Snapshot snapshot);

/*
 * request_await: read the row without locking it.  Waits for a transaction
 * that is just inserting, changing or deleting it.  False if there is none.
 * 40001 for one that a REPEATABLE READ transaction cannot see.
 */
extern bool request_await(Request *request);

/*
 * request_lock: read the newest version of the row and lock it until the
 * transaction ends.  False if there is none.
 */
extern bool request_lock(Request *request);

/* The two documents of the row last read, detoasted; response may be NULL. */
extern Jsonb *request_body(Request *request);
extern Jsonb *request_response(Request *request);

/*
 * request_insert: begin a new request, with token 1.  False, with nothing
 * written, if somebody else has begun it.
 */
extern bool request_insert(Request *request, const RequestCall *call,
						   TimestampTz now, const TimestampTz *lease_until);

/* The row is locked: give it a new token and a new lease, or none. */
extern void request_overtake(Request *request, const TimestampTz *lease_until);

/* The row is locked: store the response. */
extern void request_answer(Request *request, Jsonb *response,
						   TimestampTz now);

/* For messages: request "key" of scope "scope". */
extern char *request_name(const Request *request);

/* ---- request_commit.c: begun means finished --------------------------- */

/*
 * request_must_finish: this request was begun without a lease.  The
 * transaction cannot commit, nor be prepared, while it is unfinished: 55000.
 */
extern void request_must_finish(const Request *request);

/* ---- request_prune.c: how long they are kept -------------------------- */

/*
 * request_check_age: TL012 if a request of this time may have been answered
 * and forgotten.  To be called when its row is already inserted.
 */
extern void request_check_age(const Request *request, TimestampTz time,
							  TimestampTz now);

/*
 * request_prune: delete at most max_rows requests older than
 * teller.key_retention.  Returns how many.
 */
extern int	request_prune(int max_rows);

#endif							/* TELLER_REQUEST_H */
