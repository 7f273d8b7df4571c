/*-------------------------------------------------------------------------
 *
 * teller_client.h
 *	  pg_teller from C: movements with a key, errors as codes, and transactions
 *	  that survive a lost connection.  For libpq; copy this file and
 *	  teller_client.c.
 *
 *		Teller *teller = teller_open("dbname=shop", NULL);
 *		TellerTransfer transfer = {
 *			.ledger = 1, .debit_account = 2, .credit_account = 3,
 *			.amount = "20.00", .key = "order 17"
 *		};
 *		TellerMovement moved;
 *
 *		if (teller_transfer(teller, &transfer, &moved) != TELLER_OK)
 *			fputs(teller_message(teller), stderr);
 *
 * A call by itself is a transaction.  Several calls, with statements of your
 * own, are one inside teller_transaction().  Amounts are text, in units of the
 * asset: a double cannot hold 0.1.  A Teller has one connection and is used by
 * one thread at a time.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_CLIENT_H
#define TELLER_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

typedef enum TellerCode
{
	TELLER_OK,
	/* pg_teller refused; nothing has happened */
	TELLER_INSUFFICIENT_FUNDS,	/* TL001 */
	TELLER_VERSION_CONFLICT,
	TELLER_IDEMPOTENCY_MISMATCH,
	TELLER_LIMIT_EXCEEDED,
	TELLER_ACCOUNT_NOT_ACTIVE,
	TELLER_HOLD_NOT_OPEN,
	TELLER_ASSET_MISMATCH,
	TELLER_ACCOUNT_BUSY,
	TELLER_NOT_FOUND,
	TELLER_INSTANCE_NOT_ADOPTED,
	TELLER_QUEUE_FULL,
	TELLER_REQUEST_TOO_OLD,		/* TL012 */
	/* another error of the server, see teller_sqlstate(); nothing happened */
	TELLER_FAILED,
	/* every attempt failed, and none can have happened */
	TELLER_UNAVAILABLE,
	/* a COMMIT was sent and never answered: ask again with the same key */
	TELLER_OUTCOME_UNKNOWN
} TellerCode;

typedef struct Teller Teller;

/* Zero means the default. */
typedef struct TellerOptions
{
	int			attempts;		/* at most so many, default 8 */
	int			base_ms;		/* first pause is at most this, default 50 */
	int			cap_ms;			/* any pause is at most this, default 2000 */
	bool		retry_lock_timeout; /* try again after 55P03 as well */
	/* if not NULL: called before each repeat; sqlstate "" if there is none */
	void		(*on_retry) (int attempt, const char *sqlstate);
} TellerOptions;

/* Members that are NULL have their default. */
typedef struct TellerTransfer
{
	int64_t		ledger;
	int64_t		debit_account;
	int64_t		credit_account;
	const char *amount;
	const char *key;
	const char *metadata;		/* JSON */
	const char *on_denial;
	const int64_t *expected_version;
} TellerTransfer;

typedef struct TellerPost
{
	int64_t		ledger;
	int			nitems;			/* length of the three arrays */
	const int64_t *debit_accounts;
	const int64_t *credit_accounts;
	const char *const *amounts;
	const char *key;
} TellerPost;

typedef struct TellerHold
{
	int64_t		ledger;
	int64_t		debit_account;
	int64_t		credit_account;
	const char *amount;
	const char *key;
	const char *ttl;			/* an interval */
} TellerHold;

typedef struct TellerCapture
{
	int64_t		ledger;
	const char *hold;
	const char *amount;			/* NULL: all that remains */
	const char *key;
	bool		keep_rest;		/* another capture may follow */
} TellerCapture;

/* What a movement answers: the columns of the SQL function, as text. */
typedef struct TellerMovement
{
	char		id[40];
	char		status[16];		/* posted, denied; open, released */
	char		reason[32];		/* if denied */
	char		amount[80];		/* empty for a hold */
	bool		replayed;		/* the answer of an earlier call */
} TellerMovement;

/*
 * Open a teller.  It connects at the first call.  The strings are copied.
 * NULL: out of memory.
 */
extern Teller *teller_open(const char *conninfo, const TellerOptions *options);
extern void teller_close(Teller *teller);

/*
 * Run work(teller, arg) in a transaction and commit it.  work may run more
 * than once, so it has no effect outside the database.  It returns TELLER_OK,
 * or what a call below returned, or any other code to roll back.
 */
typedef TellerCode (*TellerWork) (Teller *teller, void *arg);
extern TellerCode teller_transaction(Teller *teller, TellerWork work,
									 void *arg);

/* Movements; each needs a key.  `moved` has room for nitems in teller_post. */
extern TellerCode teller_transfer(Teller *teller,
								  const TellerTransfer *transfer,
								  TellerMovement *moved);
extern TellerCode teller_post(Teller *teller, const TellerPost *post,
							  TellerMovement *moved);
extern TellerCode teller_hold(Teller *teller, const TellerHold *hold,
							  TellerMovement *moved);
extern TellerCode teller_capture(Teller *teller, const TellerCapture *capture,
								 TellerMovement *moved);
extern TellerCode teller_release(Teller *teller, int64_t ledger,
								 const char *hold, const char *key,
								 TellerMovement *moved);

/*
 * A statement of your own, inside teller_transaction() only; parameters as
 * text.  *result is the caller's to clear if the answer is TELLER_OK; result
 * may be NULL.
 */
extern TellerCode teller_execute(Teller *teller, const char *statement,
								 int nparams, const char *const *params,
								 PGresult **result);

/* The last error: never NULL, valid until the next call. */
extern const char *teller_message(const Teller *teller);
extern const char *teller_detail(const Teller *teller);
extern const char *teller_sqlstate(const Teller *teller);

/* "InsufficientFunds" and so on. */
extern const char *teller_code_name(TellerCode code);

#endif							/* TELLER_CLIENT_H */
