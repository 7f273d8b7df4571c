/*-------------------------------------------------------------------------
 *
 * ask.h
 *	  A session asks a remote something, through the worker.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_ASK_H
#define TELLER_ASK_H

#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "call.h"
#include "shmem.h"

/* What is asked, under the user mapping of the current user. */
typedef struct Question
{
	CallVerb	verb;			/* CALL_CHECK or CALL_LIST */
	const Server *server;

	/* of CALL_LIST */
	pg_uuid_t	origin;
	TimestampTz after;
	int			max_rows;
} Question;

/* What the worker brought back. */
typedef struct Answer
{
	bool		asked;			/* else nobody answered in time */
	bool		reached;		/* the remote answered */
	bool		too_long;		/* reached, but text had no room */
	char		sqlstate[6];
	char		says[BOARD_SAYS_LEN];	/* not reached: why */
	char		text[BOARD_TEXT_LEN];	/* not known to be JSON */
} Answer;

/*
 * ask_worker: the session's part.  Waits for the worker, at most the timeouts
 * of one call and some seconds, holding no lock.  Needs the preload.
 */
extern void ask_worker(const Question *question, Answer *answer);

/* What a remote sends need not be JSON; NULL if it is not. */
extern Jsonb *ask_read_json(const char *text);

/*
 * ask_start: the worker's part, in a transaction: start the call that a
 * session asks for, if one does.
 */
extern void ask_start(void);

/* Give the session what came of it. */
extern void ask_answer(const CallResult *result);

#endif							/* TELLER_ASK_H */
