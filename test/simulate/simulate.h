/*-------------------------------------------------------------------------
 *
 * simulate.h
 *	  What the parts of the simulator share.
 *
 * simulate.c	seeds, the trace, the summary
 * world.c		one seed: what exists, which faults, what happens next
 * database.c	our side: rows, commits, crashes, restore, the step itself
 * worker.c		the worker that sends by itself
 * pull.c		two workers of an application that claim and lease
 * network.c	messages, which get lost, late, doubled and out of order
 * remote.c		the ledgers outside, and what they remember
 * people.c		who submits, cancels, resolves and adopts
 * judge.c		what must be true at any moment, and at the end
 *
 * Nothing in here reads a clock or a random number but those of the World,
 * so a seed is a life that can be had again.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SIMULATE_H
#define SIMULATE_H

#include "operation_fsm.h"

#define US_PER_MS	INT64_C(1000)
#define US_PER_S	INT64_C(1000000)
#define US_PER_MIN	(60 * US_PER_S)

#define OPS			4			/* operations of a seed, at most */
#define ACCOUNTS	2			/* of customers */
#define SERVERS		2
#define PULLERS		2
#define FLIGHTS		16
#define MESSAGES	64
#define OCCASIONS	256
#define ENTRIES		32			/* memos that a remote keeps */

#define BIRTH		(INT64_C(1000000) * US_PER_S)
#define MARGIN		(60 * US_PER_S)
#define TIMEOUT		(20 * US_PER_S)
#define LEASE		(75 * US_PER_S)

/* What may go wrong.  Each seed has its own odds, many of them 0. */
typedef enum Fault
{
	F_COMMIT_FAILS,				/* and we are told so */
	F_COMMIT_UNKNOWN,			/* committed or not, a client is not told */
	F_WAL_WRITER,				/* what is not flushed yet gets to disk */
	F_STANDBY_LAGS,
	F_WORKER_KILLED,
	F_NOT_SENT,
	F_REQUEST_LOST,
	F_REQUEST_DOUBLED,
	F_REPLY_LOST,
	F_REPLY_DOUBLED,
	F_LATE,						/* a message takes long */
	F_NOT_EXECUTED,
	F_MISCONFIGURED,
	F_REFUSED,
	F_BUSY,						/* and it may run later */
	F_AMBIGUOUS,				/* 5xx, before or after it ran */
	F_MIXED_UP,					/* the answer is about another memo */
	F_GATE_CLOSED,				/* dispatch, a cap, a circuit */
	F_PULLER_PAUSED,			/* stopped, and goes on after its lease */
	F_PULLER_DIES,
	F_PULLER_FORGETS_LEASE,		/* sends without a look at it */
	F_COUNT
} Fault;

typedef enum Hold
{
	HOLD_NONE,
	HOLD_OPEN,
	HOLD_CAPTURED,
	HOLD_RELEASED
} Hold;

/* A row of the table of operations, with what hangs on it. */
typedef struct Row
{
	bool		exists;
	bool		last_open;		/* the last attempt has no outcome yet */
	uint8_t		last_verb;		/* OpVerb */
	uint8_t		hold;			/* Hold */
	uint16_t	continuations;
	uint16_t	findings;
	uint16_t	audits;
	uint32_t	ticket;			/* turn on its account */
	uint32_t	last_attempt;
	int64_t		created_at;
	uint64_t	memo;
	uint64_t	token;			/* of the last attempt; unique for ever */
	OpFacts		facts;
} Row;

/* All that a transaction can change, and a crash can take back. */
typedef struct Db
{
	int			incarnation;	/* the one that these rows belong to */
	uint32_t	next_ticket;
	int64_t		customer[ACCOUNTS];
	int64_t		customer_held[ACCOUNTS];
	int64_t		settlement[SERVERS];
	Row			rows[OPS];
} Db;

typedef enum TxEnd
{
	TX_COMMITTED,
	TX_FAILED,					/* rolled back, and told so */
	TX_CRASHED					/* the server is gone, with or without it */
} TxEnd;

/* What only the simulator knows of an operation. */
typedef struct Truth
{
	uint8_t		account;
	uint8_t		server;
	int64_t		amount;
	int64_t		lifetime;		/* expires_in */
	bool		wanted;			/* the application has not given up on it */
	bool		known;			/* the application was told of a commit */
	bool		forgotten;		/* a restore had no row of it */
	bool		undone;			/* a copy brought back an undone refund */
	bool		hasty;			/* resolved while it could still run */
	bool		refused;		/* the remote's business says no */
	bool		mixed;			/* was told of another memo, or conflict */
	int			effects;		/* how often the remote executed it */
	int			left;			/* execute requests that left us */
	int			taken_back;		/* of these, proven not to have run */
} Truth;

typedef struct Entry
{
	uint64_t	memo;
	OpEventKind stored;			/* an OP_EV_REPLY_ */
	int64_t		at;
	int64_t		not_after;
} Entry;

typedef struct Server
{
	bool		pull;
	bool		strict;			/* compares all of a repeated request */
	OpPolicy	policy;
	int64_t		skew;			/* of its clock */
	int64_t		longest_delay;	/* of a message */
	int64_t		circuit_until;
	int			entries;
	Entry		book[ENTRIES];
	int64_t		received;		/* money, by its own books */
} Server;

/* A request, and the reply to it. */
typedef struct Message
{
	bool		used;
	bool		is_reply;
	bool		doubled;		/* another copy of the request is on its way */
	bool		memo_matches;
	uint8_t		verb;			/* OpVerb */
	uint8_t		op;
	int8_t		puller;			/* who waits; -1: the worker */
	uint32_t	generation;		/* of who waits */
	uint32_t	attempt;
	OpEventKind answer;
	uint64_t	memo;
	uint64_t	token;
	int64_t		not_after;
	int64_t		latest;			/* no copy of it arrives later */
} Message;

/* A call of the worker, as long as somebody cares for it. */
typedef struct Flight
{
	bool		used;
	bool		answered;		/* the outcome is to be recorded */
	uint8_t		op;
	uint8_t		verb;
	uint32_t	attempt;
	uint64_t	token;
	int64_t		deadline;
	OpEvent		outcome;
} Flight;

typedef enum PullStage
{
	PULL_IDLE,
	PULL_CLAIMED,
	PULL_WAITING,
	PULL_ANSWERED
} PullStage;

typedef struct Puller
{
	PullStage	stage;
	uint8_t		op;
	uint8_t		verb;
	uint8_t		tries;
	uint32_t	generation;
	uint32_t	attempt;
	uint64_t	memo;
	uint64_t	token;
	int64_t		not_after;
	int64_t		claimed_at;		/* true time */
	int64_t		lease_until;	/* by the clock of the database */
	int64_t		wakes_at;
	int64_t		deadline;
	OpEvent		outcome;
} Puller;

/* Things that happen at their time, once. */
typedef enum OccasionKind
{
	WHEN_MESSAGE,				/* arg: its index */
	WHEN_SUBMIT,				/* arg: operation */
	WHEN_CANCEL,				/* arg: operation */
	WHEN_HASTY_RESOLVE,			/* arg: operation */
	WHEN_CLOCK_STEPS,
	WHEN_BACKUP,
	WHEN_RESTORE,
	WHEN_PROMOTION,
	WHEN_ADOPTION,
	WHEN_PERSON,				/* somebody looks after what is stuck */
	WHEN_CALM
} OccasionKind;

typedef struct Occasion
{
	int64_t		at;
	uint32_t	order;			/* among those of the same moment */
	uint16_t	kind;
	uint16_t	arg;
} Occasion;

typedef struct World
{
	uint64_t	seed;
	uint64_t	random;
	bool		trace;
	int64_t		now;			/* true time */
	int64_t		offset;			/* what our clock is wrong by */
	bool		calm;			/* faults are over */
	int64_t		calm_at;
	int64_t		longest_step;	/* of our clock */
	uint16_t	odds[F_COUNT];	/* in 1000 */
	int			crashes_left;
	int			crash_in;		/* crash points until the next one */

	int			ops;
	bool		queue[ACCOUNTS];	/* reentrancy `queue` */
	Truth		truth[OPS];
	Server		servers[SERVERS];

	/* our side */
	Db			db;				/* as others see it */
	Db			disk;			/* what a crash leaves */
	Db			standby;
	Db			backup;
	bool		has_backup;
	int			incarnation;	/* of the server that runs */
	bool		adoption_due;
	uint64_t	next_token;
	uint32_t	generation;		/* of the worker */
	bool		worker_is_new;
	int64_t		worker_at;		/* when it next looks */
	Flight		flights[FLIGHTS];
	Puller		pullers[PULLERS];

	Message		messages[MESSAGES];
	int			occasions;
	uint32_t	next_order;
	Occasion	heap[OCCASIONS];

	const char *failure;		/* the first rule that was broken */
	int			failed_op;
} World;

/* Counted over all seeds, so that it can be seen that they do something. */
typedef struct Tally
{
	uint64_t	events;
	uint64_t	crashes;
	uint64_t	restores;
	uint64_t	settled;
	uint64_t	refunded;
	uint64_t	resolved;
	uint64_t	conflicts;
	uint64_t	forgotten;
	uint64_t	fences;
	uint64_t	stale;			/* outcomes of earlier attempts */
	uint64_t	stashed;
} Tally;

extern Tally tally;

#define TRACE(w, ...) \
	do { if ((w)->trace) trace_line((w), __VA_ARGS__); } while (0)

/* simulate.c */
extern void trace_line(const World *w, const char *format,...)
			__attribute__((format(printf, 2, 3)));
extern const char *event_word(OpEventKind kind);
extern const char *verb_word(int verb);

/* world.c */
extern void live(World *w, uint64_t seed, bool trace);
extern uint64_t pick(World *w, uint64_t below);
extern bool chance(World *w, unsigned int in_1000);
extern bool fault(World *w, Fault f);
extern void plan(World *w, int64_t at, OccasionKind kind, int arg);
extern int64_t our_clock(const World *w);

/* database.c */
extern void db_begin(World *w);
extern OpStep db_step(World *w, Db *tx, int op, OpEvent *event,
					  uint64_t token);
extern void db_submit(World *w, Db *tx, int op);
extern TxEnd db_commit(World *w, const Db *tx, bool flush);
extern bool db_crash_point(World *w, const char *where);
extern void db_restore(World *w, const Db *copy, const char *why);
extern bool db_adopted(const World *w);
extern bool db_predecessor_open(const World *w, const Db *db, int op);
extern bool db_ended(const Row *row);
extern int64_t db_next_due(const World *w, bool pull);

/* worker.c */
extern void worker_start(World *w, int64_t after);
extern void worker_round(World *w);
extern void worker_reply(World *w, const Message *m);
extern bool worker_busy_with(const World *w, int op);

/* pull.c */
extern void pull_act(World *w, int k);
extern void pull_reply(World *w, const Message *m);
extern void pull_wake(World *w);
extern bool pull_busy_with(const World *w, int op);

/* network.c */
extern void network_send(World *w, const Message *request);
extern void network_arrive(World *w, int index);
extern bool network_busy_with(const World *w, int op);

/* remote.c */
extern void remote_answer(World *w, Message *m, bool *runs_later);
extern const Entry *remote_entry(const World *w, int server, uint64_t memo);
extern bool remote_honours(const World *w, int op);
extern int64_t remote_clock(const World *w, int server);

/* people.c */
extern void people_submit(World *w, int op);
extern void people_cancel(World *w, int op);
extern void people_resolve(World *w, int op, bool hasty);
extern void people_compare(World *w, int op);
extern void people_adopt(World *w);
extern void people_after_restore(World *w, const Db *before);
extern uint64_t people_memo(int op);

/* judge.c */
extern void judge_fails(World *w, int op, const char *rule);
extern void judge_step(World *w, int op, const Row *before,
					   const OpStep *step, const OpEvent *event);
extern void judge_effect(World *w, int op);
extern void judge_departure(World *w, const Message *m);
extern bool judge_could_be_told(const World *w, int op);
extern void judge_end(World *w);

#endif							/* SIMULATE_H */
