/*-------------------------------------------------------------------------
 *
 * teller_client.c
 *	  pg_teller from C; see teller_client.h.
 *
 * Every call is sent between BEGIN and COMMIT.  So the server has answered for
 * it before COMMIT is sent, and a connection that is lost earlier has done
 * nothing.  One that is lost while COMMIT is under way leaves a doubt; the
 * same transaction on a new connection, with the same keys, ends it.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "teller_client.h"

#define MAX_ARGUMENTS 10		/* of one call */

struct Teller
{
	char	   *conninfo;
	TellerOptions options;
	PGconn	   *conn;			/* NULL: none yet, or lost */
	bool		in_transaction;
	bool		lost;			/* the connection, by the last error */
	unsigned short seed[3];
	char		sqlstate[6];	/* of the last error, "" if it has none */
	char		message[512];
	char		detail[512];
};

/* A call of a function of pg_teller, its arguments by name. */
typedef struct Call
{
	const char *function;
	int			nargs;
	const char *names[MAX_ARGUMENTS];
	const char *values[MAX_ARGUMENTS];
	char		numbers[MAX_ARGUMENTS][24]; /* room for the values made here */
	TellerMovement *moved;
	int			nmoved;
} Call;

static const char *const code_names[] = {
	"Ok", "InsufficientFunds", "VersionConflict", "IdempotencyMismatch",
	"LimitExceeded", "AccountNotActive", "HoldNotOpen", "AssetMismatch",
	"AccountBusy", "NotFound", "InstanceNotAdopted", "QueueFull",
	"RequestTooOld", "Failed", "Unavailable", "OutcomeUnknown"
};

const char *
teller_code_name(TellerCode code)
{
	return code_names[code];
}

const char *
teller_message(const Teller *teller)
{
	return teller->message;
}

const char *
teller_detail(const Teller *teller)
{
	return teller->detail;
}

const char *
teller_sqlstate(const Teller *teller)
{
	return teller->sqlstate;
}

Teller *
teller_open(const char *conninfo, const TellerOptions *options)
{
	Teller	   *teller = calloc(1, sizeof(Teller));
	struct timespec now;

	if (teller == NULL)
		return NULL;
	teller->conninfo = strdup(conninfo);
	if (teller->conninfo == NULL)
	{
		free(teller);
		return NULL;
	}
	if (options != NULL)
		teller->options = *options;
	if (teller->options.attempts <= 0)
		teller->options.attempts = 8;
	if (teller->options.base_ms <= 0)
		teller->options.base_ms = 50;
	if (teller->options.cap_ms <= 0)
		teller->options.cap_ms = 2000;

	clock_gettime(CLOCK_MONOTONIC, &now);
	teller->seed[0] = (unsigned short) now.tv_nsec;
	teller->seed[1] = (unsigned short) (now.tv_nsec >> 16);
	teller->seed[2] = (unsigned short) getpid();
	return teller;
}

static void
disconnect(Teller *teller)
{
	PQfinish(teller->conn);
	teller->conn = NULL;
}

void
teller_close(Teller *teller)
{
	disconnect(teller);
	free(teller->conninfo);
	free(teller);
}

/* ---------- what an error means ---------- */

/* Nothing has happened; the same may be tried again. */
static bool
may_try_again(const Teller *teller)
{
	return strcmp(teller->sqlstate, "40001") == 0 ||
		strcmp(teller->sqlstate, "40P01") == 0 ||
		(teller->options.retry_lock_timeout &&
		 strcmp(teller->sqlstate, "55P03") == 0);
}

/*
 * The session is over: shutdown, crash, time limits, class 08; 40003 says
 * itself that the outcome is unknown.
 */
static bool
session_over(const char *sqlstate)
{
	static const char *const states[] = {
		"57P01", "57P02", "57P03", "57P05", "25P03", "40003"
	};

	if (strncmp(sqlstate, "08", 2) == 0)
		return true;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(sqlstate, states[i]) == 0)
			return true;
	return false;
}

/* TL001 to TL012 are the codes from 1 to 12. */
static TellerCode
code_of(const char *sqlstate)
{
	int			number;

	if (strncmp(sqlstate, "TL", 2) != 0)
		return TELLER_FAILED;
	number = atoi(sqlstate + 2);
	if (number < TELLER_INSUFFICIENT_FUNDS || number > TELLER_REQUEST_TOO_OLD)
		return TELLER_FAILED;
	return (TellerCode) number;
}

static void
clear_error(Teller *teller)
{
	teller->lost = false;
	teller->sqlstate[0] = '\0';
	teller->message[0] = '\0';
	teller->detail[0] = '\0';
}

static TellerCode
set_error(Teller *teller, TellerCode code, const char *message)
{
	clear_error(teller);
	snprintf(teller->message, sizeof(teller->message), "%s", message);
	teller->message[strcspn(teller->message, "\n")] = '\0';
	return code;
}

/* Note the error of a result, which may be NULL, and say what kind it is. */
static TellerCode
server_error(Teller *teller, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);

	set_error(teller, TELLER_FAILED,
			  message != NULL ? message : PQerrorMessage(teller->conn));
	snprintf(teller->sqlstate, sizeof(teller->sqlstate), "%s",
			 sqlstate != NULL ? sqlstate : "");
	snprintf(teller->detail, sizeof(teller->detail), "%s",
			 detail != NULL ? detail : "");
	teller->lost = PQstatus(teller->conn) != CONNECTION_OK ||
		session_over(teller->sqlstate);
	return code_of(teller->sqlstate);
}

/* ---------- one attempt ---------- */

static TellerCode
connect_to_server(Teller *teller)
{
	if (teller->conn != NULL)
		return TELLER_OK;
	teller->conn = PQconnectdb(teller->conninfo);
	if (PQstatus(teller->conn) == CONNECTION_OK)
		return TELLER_OK;
	set_error(teller, TELLER_FAILED, PQerrorMessage(teller->conn));
	teller->lost = true;
	return TELLER_FAILED;
}

static TellerCode
execute(Teller *teller, const char *statement, int nparams,
		const char *const *params, PGresult **result)
{
	PGresult   *answer = PQexecParams(teller->conn, statement, nparams, NULL,
									  params, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(answer);
	TellerCode	code = TELLER_OK;

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		code = server_error(teller, answer);
	if (code == TELLER_OK && result != NULL)
		*result = answer;
	else
		PQclear(answer);
	return code;
}

TellerCode
teller_execute(Teller *teller, const char *statement, int nparams,
			   const char *const *params, PGresult **result)
{
	if (!teller->in_transaction)
		return set_error(teller, TELLER_FAILED,
						 "teller_execute() outside of teller_transaction()");
	return execute(teller, statement, nparams, params, result);
}

/* Back to an idle connection, or to none.  The error is kept. */
static void
clean_up(Teller *teller)
{
	PGresult   *answer;

	if (teller->lost)
	{
		disconnect(teller);
		return;
	}
	if (PQtransactionStatus(teller->conn) == PQTRANS_IDLE)
		return;					/* a COMMIT that was refused */
	answer = PQexec(teller->conn, "ROLLBACK");
	if (PQresultStatus(answer) != PGRES_COMMAND_OK)
		disconnect(teller);
	PQclear(answer);
}

/* COMMIT of a transaction that has failed is a ROLLBACK. */
static TellerCode
commit(Teller *teller, bool *in_doubt)
{
	PGresult   *answer;
	bool		committed;
	TellerCode	code = execute(teller, "COMMIT", 0, NULL, &answer);

	if (code != TELLER_OK)
	{
		*in_doubt = *in_doubt || teller->lost;
		return code;
	}
	committed = strcmp(PQcmdStatus(answer), "COMMIT") == 0;
	PQclear(answer);
	if (!committed)
		return set_error(teller, TELLER_FAILED,
						 "an error was passed over inside the transaction");
	return TELLER_OK;
}

/* *in_doubt is set when a COMMIT was sent and not answered, never cleared. */
static TellerCode
attempt_once(Teller *teller, TellerWork work, void *arg, bool *in_doubt)
{
	TellerCode	code;

	clear_error(teller);
	code = connect_to_server(teller);
	if (code == TELLER_OK)
		code = execute(teller, "BEGIN", 0, NULL, NULL);
	if (code == TELLER_OK)
	{
		teller->in_transaction = true;
		code = work(teller, arg);
		teller->in_transaction = false;
	}
	if (code == TELLER_OK)
		code = commit(teller, in_doubt);
	if (code != TELLER_OK)
		clean_up(teller);
	return code;
}

/*
 * Full jitter: anything from zero to the limit, so that those who failed
 * together do not come back together.
 */
static void
pause_after(Teller *teller, int failed)
{
	double		limit_ms = teller->options.base_ms;
	double		pause_ms;
	struct timespec pause;

	for (int i = 1; i < failed && limit_ms < teller->options.cap_ms; i++)
		limit_ms *= 2;
	if (limit_ms > teller->options.cap_ms)
		limit_ms = teller->options.cap_ms;
	pause_ms = erand48(teller->seed) * limit_ms;
	pause.tv_sec = (time_t) (pause_ms / 1000);
	pause.tv_nsec = (long) ((pause_ms - pause.tv_sec * 1000.0) * 1000000);
	nanosleep(&pause, NULL);
}

TellerCode
teller_transaction(Teller *teller, TellerWork work, void *arg)
{
	bool		in_doubt = false;

	if (teller->in_transaction)
		return set_error(teller, TELLER_FAILED,
						 "teller_transaction() inside of another one");

	for (int attempt = 1; attempt <= teller->options.attempts; attempt++)
	{
		TellerCode	code;

		if (attempt > 1)
		{
			if (teller->options.on_retry != NULL)
				teller->options.on_retry(attempt - 1, teller->sqlstate);
			pause_after(teller, attempt - 1);
		}
		code = attempt_once(teller, work, arg, &in_doubt);
		if (code == TELLER_OK)
			return code;
		if (teller->lost || may_try_again(teller))
			continue;

		/*
		 * An answer of pg_teller ends a doubt: had the first attempt happened,
		 * its key would have been replayed.  Another error does not.
		 */
		if (in_doubt && code == TELLER_FAILED)
			return TELLER_OUTCOME_UNKNOWN;
		return code;
	}
	return in_doubt ? TELLER_OUTCOME_UNKNOWN : TELLER_UNAVAILABLE;
}

/* ---------- the calls ---------- */

/* NULL leaves the argument's default. */
static void
add(Call *call, const char *name, const char *value)
{
	if (value == NULL)
		return;
	call->names[call->nargs] = name;
	call->values[call->nargs] = value;
	call->nargs++;
}

static void
add_number(Call *call, const char *name, int64_t value)
{
	char	   *text = call->numbers[call->nargs];

	snprintf(text, sizeof(call->numbers[0]), "%" PRId64, value);
	add(call, name, text);
}

static void
copy_column(char *to, size_t size, const PGresult *result, int row,
			const char *name)
{
	int			column = PQfnumber(result, name);

	snprintf(to, size, "%s",
			 column < 0 ? "" : PQgetvalue(result, row, column));
}

static void
read_movement(TellerMovement *moved, const PGresult *result, int row)
{
	copy_column(moved->id, sizeof(moved->id), result, row, "id");
	copy_column(moved->status, sizeof(moved->status), result, row, "status");
	copy_column(moved->reason, sizeof(moved->reason), result, row, "reason");
	copy_column(moved->amount, sizeof(moved->amount), result, row, "amount");
	moved->replayed =
		PQgetvalue(result, row, PQfnumber(result, "replayed"))[0] == 't';
}

/* A TellerWork. */
static TellerCode
run_call(Teller *teller, void *arg)
{
	Call	   *call = arg;
	char		statement[512];
	int			length;
	PGresult   *result;
	TellerCode	code;

	length = snprintf(statement, sizeof(statement), "SELECT * FROM teller.%s(",
					  call->function);
	for (int i = 0; i < call->nargs; i++)
		length += snprintf(statement + length, sizeof(statement) - length,
						   "%s%s => $%d", i > 0 ? ", " : "", call->names[i],
						   i + 1);
	snprintf(statement + length, sizeof(statement) - length, ")");

	code = execute(teller, statement, call->nargs, call->values, &result);
	if (code != TELLER_OK)
		return code;
	for (int row = 0; row < call->nmoved && row < PQntuples(result); row++)
		read_movement(&call->moved[row], result, row);
	PQclear(result);
	return TELLER_OK;
}

/* In the transaction that is open, or in one of its own. */
static TellerCode
make_call(Teller *teller, Call *call, const char *key, TellerMovement *moved)
{
	if (key == NULL || key[0] == '\0')
		return set_error(teller, TELLER_FAILED, "a movement needs a key");
	add(call, "key", key);
	call->moved = moved;
	if (call->nmoved == 0)
		call->nmoved = 1;
	if (teller->in_transaction)
		return run_call(teller, call);
	return teller_transaction(teller, run_call, call);
}

TellerCode
teller_transfer(Teller *teller, const TellerTransfer *transfer,
				TellerMovement *moved)
{
	Call		call = {.function = "transfer"};

	add_number(&call, "ledger", transfer->ledger);
	add_number(&call, "debit_account", transfer->debit_account);
	add_number(&call, "credit_account", transfer->credit_account);
	add(&call, "amount", transfer->amount);
	if (transfer->expected_version != NULL)
		add_number(&call, "expected_version", *transfer->expected_version);
	add(&call, "metadata", transfer->metadata);
	add(&call, "on_denial", transfer->on_denial);
	return make_call(teller, &call, transfer->key, moved);
}

TellerCode
teller_hold(Teller *teller, const TellerHold *hold, TellerMovement *moved)
{
	Call		call = {.function = "hold"};

	add_number(&call, "ledger", hold->ledger);
	add_number(&call, "debit_account", hold->debit_account);
	add_number(&call, "credit_account", hold->credit_account);
	add(&call, "amount", hold->amount);
	add(&call, "ttl", hold->ttl);
	return make_call(teller, &call, hold->key, moved);
}

TellerCode
teller_capture(Teller *teller, const TellerCapture *capture,
			   TellerMovement *moved)
{
	Call		call = {.function = "capture"};

	add_number(&call, "ledger", capture->ledger);
	add(&call, "hold", capture->hold);
	add(&call, "amount", capture->amount);
	add(&call, "final", capture->keep_rest ? "false" : "true");
	return make_call(teller, &call, capture->key, moved);
}

TellerCode
teller_release(Teller *teller, int64_t ledger, const char *hold,
			   const char *key, TellerMovement *moved)
{
	Call		call = {.function = "release"};

	add_number(&call, "ledger", ledger);
	add(&call, "hold", hold);
	return make_call(teller, &call, key, moved);
}

/*
 * {1,2,3}: of the texts, or of the numbers where texts is NULL.  NULL: out of
 * memory.  Amounts are quoted, so that no text can end the array.
 */
static char *
array_of(int nitems, const int64_t *numbers, const char *const *texts)
{
	size_t		size = 3;
	size_t		length = 0;
	char	   *array;

	for (int i = 0; i < nitems; i++)
		size += texts != NULL ? 2 * strlen(texts[i]) + 3 : 24;
	array = malloc(size);
	if (array == NULL)
		return NULL;
	array[length++] = '{';
	for (int i = 0; i < nitems; i++)
	{
		if (i > 0)
			array[length++] = ',';
		if (texts == NULL)
		{
			length += snprintf(array + length, size - length, "%" PRId64,
							   numbers[i]);
			continue;
		}
		array[length++] = '"';
		for (const char *p = texts[i]; *p != '\0'; p++)
		{
			if (*p == '"' || *p == '\\')
				array[length++] = '\\';
			array[length++] = *p;
		}
		array[length++] = '"';
	}
	array[length++] = '}';
	array[length] = '\0';
	return array;
}

TellerCode
teller_post(Teller *teller, const TellerPost *post, TellerMovement *moved)
{
	Call		call = {.function = "post",.nmoved = post->nitems};
	char	   *debits = array_of(post->nitems, post->debit_accounts, NULL);
	char	   *credits = array_of(post->nitems, post->credit_accounts, NULL);
	char	   *amounts = array_of(post->nitems, NULL, post->amounts);
	TellerCode	code;

	if (debits == NULL || credits == NULL || amounts == NULL)
		code = set_error(teller, TELLER_FAILED, "out of memory");
	else
	{
		add_number(&call, "ledger", post->ledger);
		add(&call, "debit_accounts", debits);
		add(&call, "credit_accounts", credits);
		add(&call, "amounts", amounts);
		code = make_call(teller, &call, post->key, moved);
	}
	free(debits);
	free(credits);
	free(amounts);
	return code;
}
