/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  The board: what launcher, workers and sessions know of each other.
 *
 * One entry per database that has a worker, is about to get one, or must be
 * left alone for a while.  Nothing here outlives a crash; the launcher and
 * the workers derive everything anew from the catalogs.  No pointers and no
 * file descriptors: they would mean something else in another process.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_SHMEM_H
#define TELLER_SHMEM_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/uuid.h"

#include "stats.h"

#define BOARD_ERROR_LEN 256
#define BOARD_WAITING_LEN 64
#define BOARD_MAX_TOLD 16
#define BOARD_SAYS_LEN 512
#define BOARD_TEXT_LEN 65536
#define BOARD_OUTCOMES 256
#define BOARD_CIRCUITS 32

/* What worker_status shows. */
typedef enum WorkerState
{
	WORKER_NONE,				/* an entry only to keep the worker away */
	WORKER_STARTING,			/* asked for, or not yet at its work */
	WORKER_RUNNING,
	WORKER_IDLE,				/* sleeps until next_wake or a commit */
	WORKER_DRAINING,			/* told to stop, collects replies */
	WORKER_VERSION_MISMATCH,	/* the extension's version is not ours */
	WORKER_BACKING_OFF			/* failed; the launcher will try again */
} WorkerState;

/* How a worker ended; the launcher decides by it what comes next. */
typedef enum WorkerEnd
{
	END_FAILED,					/* it did not say */
	END_ABSENT,					/* the database has no pg_teller */
	END_LEFT,					/* asked to leave the database */
	END_TERMINATED,				/* SIGTERM */
	END_RENEWED					/* another CREATE EXTENSION: start afresh */
} WorkerEnd;

/* A server that failed last time; see circuit.c. */
typedef struct BoardCircuit
{
	Oid			server;			/* InvalidOid: the end of the list */
	int			failures;		/* in a row */
	bool		open;
	TimestampTz until;			/* of an open one: then one call may go */
} BoardCircuit;

/*
 * "lock" is board->lock.  The worker alone writes its own status fields, the
 * launcher those of a database without a worker; both under the lock.
 */
typedef struct BoardEntry
{
	Oid			dboid;			/* InvalidOid: free.  Written under the lock,
								 * read without it by wake.c */
	uint64		generation;		/* lock.  The start that may attach here */
	pid_t		pid;			/* lock.  0: no process of ours is, or is
								 * about to be, in the database */
	WorkerState state;			/* lock */
	WorkerEnd	end;			/* lock.  Of the last worker */
	bool		unwanted;		/* lock.  No longer open to connections */

	pg_atomic_uint32 leave_requests;	/* raised under the lock, lowered
										 * without; while it is not 0 the
										 * entry stays and no worker is
										 * started */
	ConditionVariable gone;		/* pid became 0 */

	pg_atomic_uint32 procno;	/* of the worker, plus 1; 0: none */
	pg_atomic_uint64 next_wake; /* TimestampTz; see wake.c */
	pg_atomic_uint64 open_operations;	/* about; see backlog.c */
	pg_atomic_uint64 stats[STAT_COUNT]; /* see stats.h */

	/* All that follows: lock. */
	TimestampTz started_at;
	TimestampTz last_active_at;
	TimestampTz last_error_at;	/* 0: none */
	int			starts;
	int			in_flight;
	int64		swept;
	int64		settled;
	bool		adopted;
	bool		dispatching;
	char		last_error[BOARD_ERROR_LEN];
	char		waiting[BOARD_WAITING_LEN]; /* wait point; empty: none */
	BoardCircuit circuits[BOARD_CIRCUITS];
} BoardEntry;

/* What a session asks a remote through a worker; see ask.c. */
typedef enum AskState
{
	ASK_FREE,
	ASK_ASKED,					/* by a session, of the worker of dboid */
	ASK_RUNNING,				/* the worker has taken it up */
	ASK_ANSWERED
} AskState;

/* One at a time.  All: lock. */
typedef struct BoardAsk
{
	AskState	state;
	uint64		ticket;			/* of the session that has it */
	Oid			dboid;
	int			verb;			/* CallVerb */
	Oid			server;
	Oid			userid;
	pg_uuid_t	origin;			/* this and the next two: of a list */
	TimestampTz after;
	int			max_rows;
	bool		reached;		/* the remote answered */
	bool		too_long;		/* more than fits into text */
	char		sqlstate[6];
	char		says[BOARD_SAYS_LEN];
	char		text[BOARD_TEXT_LEN];
	ConditionVariable changed;
} BoardAsk;

typedef struct Board
{
	LWLock	   *lock;

	/* Messages to the launcher. */
	slock_t		mutex;			/* told, ntold, told_all */
	Oid			told[BOARD_MAX_TOLD];	/* where the extension came or went */
	int			ntold;
	bool		told_all;		/* more than fit: anywhere */
	pg_atomic_uint32 rescan;	/* pg_database changed */
	pg_atomic_uint32 launcher_procno;	/* plus 1; 0: none */

	/* Operations have ended; by the hash of the id.  See await.c. */
	ConditionVariable outcomes[BOARD_OUTCOMES];

	BoardAsk	ask;

	char		launcher_error[BOARD_ERROR_LEN];	/* lock.  Why databases go
													 * without a worker */
	TimestampTz launcher_error_at;	/* lock */
	uint64		last_generation;	/* lock */
	int			nentries;
	BoardEntry	entries[FLEXIBLE_ARRAY_MEMBER];
} Board;

/* NULL unless the library is in shared_preload_libraries. */
extern Board *board;

extern void shmem_install(void);

/* Under the lock; board_make and board_free need it exclusively. */
extern BoardEntry *board_find(Oid dboid);
extern BoardEntry *board_make(Oid dboid);	/* NULL: no room */
extern void board_free(BoardEntry *entry);

/*
 * Under the lock, exclusively: a worker that was asked for and has not come
 * yet shall not come.  It might otherwise come after the command for whose
 * sake nobody may come, and find no database.
 */
extern void board_call_off(BoardEntry *entry);

/* Without the lock; for atomic fields only. */
extern BoardEntry *board_peek(Oid dboid);

/* Set the latch of a process; procno as in the board, 0 is nobody. */
extern void board_set_latch(pg_atomic_uint32 *procno);
extern void board_note_error(BoardEntry *entry, const char *message);

/* Messages to the launcher; neither raises. */
extern void board_tell(Oid dboid);
extern void board_tell_rescan(void);

#endif							/* TELLER_SHMEM_H */
