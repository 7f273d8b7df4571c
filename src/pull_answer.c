/*-------------------------------------------------------------------------
 *
 * pull_answer.c
 *	  What an application tells of the operations that it claimed:
 *	  teller.complete, teller.release_claim and teller.extend_lease.
 *
 * The token is the number of the attempt.  That an operation was executed is
 * true whoever says it and however late, and so is what a lookup or a fence
 * found; the transition function knows that.  Anything else counts only from
 * the attempt that is out: whoever says it with an old token has been
 * overtaken, and gets 55000.  Of an operation that has ended the state is
 * told, and the news is noted on the attempt, so that an application may
 * repeat what it does not know to have arrived.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "access.h"
#include "await.h"
#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "guc.h"
#include "input.h"
#include "operation.h"
#include "pull.h"
#include "wake.h"

/* The arguments that all three have first. */
enum
{
	ARG_LEDGER,
	ARG_OPERATION,
	ARG_TOKEN
};

/* Those of complete. */
enum
{
	ARG_MEMO = 3,
	ARG_STATUS,
	ARG_REFERENCE,
	ARG_REASON,
	ARG_AMOUNT,
	ARG_ASSET
};

/* What an application may say, and what it means. */
typedef struct Status
{
	const char *word;
	OpEventKind event;
	const char *outcome;		/* of the attempt */
	bool		final;			/* an answer worth keeping in the row */
} Status;

static const Status statuses[] = {
	{"executed", OP_EV_REPLY_EXECUTED, "executed", true},
	{"rejected", OP_EV_REPLY_REJECTED, "rejected", true},
	{"cancelled", OP_EV_REPLY_CANCELLED, "cancelled", true},
	{"expired", OP_EV_REPLY_EXPIRED, "expired", true},
	{"conflict", OP_EV_REPLY_CONFLICT, "conflict", true},
	{"busy", OP_EV_REPLY_BUSY, "busy", false},
	{"not_found", OP_EV_REPLY_NOT_FOUND, "not_found", false},
	{"in_doubt", OP_EV_AMBIGUOUS, "ambiguous", false}
};

/* A claim as the caller names it, and its operation as it was just now. */
typedef struct Claimed
{
	OperationNews news;
	Operation	operation;
	Attempt		attempt;
	Numeric		amount;
	char	   *asset;
} Claimed;

/* ---- the claim -------------------------------------------------------- */

static void
raise_token(const Claimed *claimed, int64 token)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("operation %s of ledger %lld has no claim with token %lld",
					clock_id_text(&claimed->news.id),
					(long long) claimed->news.ledger, (long long) token),
			 errdetail("It has been claimed or sent %d times.",
					   claimed->operation.last_attempt),
			 errhint("The token is a column of teller.claim().")));
}

static void
raise_overtaken(const Claimed *claimed, OpState state)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("token %d is no longer the claim of operation %s of ledger %lld",
					claimed->news.attempt, clock_id_text(&claimed->news.id),
					(long long) claimed->news.ledger),
			 errdetail("The operation is %s, and its newest token is %d.",
					   operation_state_name(state),
					   claimed->operation.last_attempt),
			 errhint("Its lease ran out or it was told of before. If the call was executed, call teller.complete() with status executed, which counts at any time; else leave it to the next claim.")));
}

static void
peek(Claimed *claimed)
{
	Rel		   *rel = rel_open(REL_OPERATION, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Operation  *operation = &claimed->operation;

	if (!operation_peek(rel, claimed->news.ledger, &claimed->news.id, slot,
						operation))
		operation_raise_missing(claimed->news.ledger, &claimed->news.id);
	claimed->amount = DatumGetNumericCopy(slot->tts_values[OPERATION_AMOUNT]);
	claimed->asset = TextDatumGetCString(slot->tts_values[OPERATION_ASSET]);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
}

/* The right on the ledger comes before anything of it is told. */
static void
read_claim(FunctionCallInfo fcinfo, Claimed *claimed)
{
	int64		token;

	input_require(fcinfo, ARG_LEDGER, "ledger");
	input_require(fcinfo, ARG_OPERATION, "operation");
	input_require(fcinfo, ARG_TOKEN, "token");
	claimed->news.ledger = PG_GETARG_INT64(ARG_LEDGER);
	claimed->news.id = *PG_GETARG_UUID_P(ARG_OPERATION);
	token = PG_GETARG_INT64(ARG_TOKEN);
	access_require(claimed->news.ledger, ACCESS_OPERATE);
	peek(claimed);
	(void) pull_server(NameStr(claimed->operation.server));
	if (token < 1 || token > claimed->operation.last_attempt ||
		!attempt_find(&claimed->operation, (int) token, &claimed->attempt))
		raise_token(claimed, token);
	claimed->news.attempt = (int) token;
	claimed->news.event.verb = claimed->attempt.verb;
}

/* ---- what it means ---------------------------------------------------- */

static void
apply(const OperationNews *news, OperationChange *change)
{
	operation_apply(news, change);
	if (change->actions & OP_DO_NOTIFY)
		operation_notify(news->ledger, &news->id, change->after);
	if (operation_state_is_terminal(change->after))
		await_tell_at_commit(&news->id);
	CommandCounterIncrement();
}

/*
 * Give the news to the operation.  What waits afterwards may be over at once:
 * cancelled and proven not to have run, or out of time.
 */
static OpState
tell(Claimed *claimed)
{
	OperationChange change;

	apply(&claimed->news, &change);
	if (!change.found)
		operation_raise_missing(claimed->news.ledger, &claimed->news.id);
	if (!change.legal && !operation_state_is_terminal(change.before))
		raise_overtaken(claimed, change.before);
	if (change.after == OP_RETRY_WAIT)
	{
		OperationNews tick = {.ledger = claimed->news.ledger,.id = claimed->news.id};

		tick.event.kind = OP_EV_TICK;
		apply(&tick, &change);
	}

	/* Whoever called the provider is rid of it, so this must not be lost. */
	ForceSyncCommit();
	wake_at_commit(DT_NOBEGIN);
	return change.after;
}

/* ---- teller.complete -------------------------------------------------- */

static const Status *
read_status(FunctionCallInfo fcinfo)
{
	char	   *word;

	input_require(fcinfo, ARG_STATUS, "status");
	word = text_to_cstring(PG_GETARG_TEXT_PP(ARG_STATUS));
	for (int i = 0; i < lengthof(statuses); i++)
		if (strcmp(statuses[i].word, word) == 0)
			return &statuses[i];
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("status \"%s\" is not known", word),
			 errhint("It is executed, rejected, cancelled, expired, conflict, busy, not_found or in_doubt.")));
	return NULL;
}

static const uint8 *
read_memo(FunctionCallInfo fcinfo)
{
	bytea	   *memo;

	input_require(fcinfo, ARG_MEMO, "memo");
	memo = PG_GETARG_BYTEA_PP(ARG_MEMO);
	if (VARSIZE_ANY_EXHDR(memo) != MEMO_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("memo must have %d bytes, not %d", MEMO_BYTES,
						(int) VARSIZE_ANY_EXHDR(memo))));
	return (const uint8 *) VARDATA_ANY(memo);
}

/* NULL if the argument is. */
static char *
read_said(FunctionCallInfo fcinfo, int arg, const char *name)
{
	text	   *said;

	if (PG_ARGISNULL(arg))
		return NULL;
	said = PG_GETARG_TEXT_PP(arg);
	if (VARSIZE_ANY_EXHDR(said) > teller_max_response_bytes)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s is larger than teller.max_response_bytes", name),
				 errdetail("It has %d bytes, the limit is %d.",
						   (int) VARSIZE_ANY_EXHDR(said),
						   teller_max_response_bytes)));
	return text_to_cstring(said);
}

/* The first part of the answer that is about something else, or NULL. */
static const char *
difference(FunctionCallInfo fcinfo, const Claimed *claimed)
{
	if (memcmp(read_memo(fcinfo), claimed->operation.memo, MEMO_BYTES) != 0)
		return "memo";
	if (!PG_ARGISNULL(ARG_AMOUNT) &&
		!DatumGetBool(DirectFunctionCall2(numeric_eq,
										  PG_GETARG_DATUM(ARG_AMOUNT),
										  NumericGetDatum(claimed->amount))))
		return "amount";
	if (!PG_ARGISNULL(ARG_ASSET) &&
		strcmp(text_to_cstring(PG_GETARG_TEXT_PP(ARG_ASSET)),
			   claimed->asset) != 0)
		return "asset";
	return NULL;
}

static void
add_said(StringInfo json, const char *name, const char *value)
{
	if (value == NULL)
		return;
	appendStringInfo(json, "%s\"%s\": ", json->len > 1 ? ", " : "", name);
	escape_json(json, value);
}

/* The answer as it was given, for the column response. */
static char *
make_response(FunctionCallInfo fcinfo, const Status *status, const char *reason)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	add_said(&json, "memo", memo_hex(read_memo(fcinfo)));
	add_said(&json, "status", status->word);
	add_said(&json, "reference",
			 read_said(fcinfo, ARG_REFERENCE, "reference"));
	add_said(&json, "reason", reason);
	if (!PG_ARGISNULL(ARG_AMOUNT))
		add_said(&json, "amount",
				 DatumGetCString(DirectFunctionCall1(numeric_out,
													 PG_GETARG_DATUM(ARG_AMOUNT))));
	if (!PG_ARGISNULL(ARG_ASSET))
		add_said(&json, "asset",
				 text_to_cstring(PG_GETARG_TEXT_PP(ARG_ASSET)));
	appendStringInfoChar(&json, '}');
	return json.data;
}

/* As outcome.c reads what a call brought. */
static void
read_answer(FunctionCallInfo fcinfo, const Status *status, Claimed *claimed)
{
	OperationNews *news = &claimed->news;
	const char *differs = difference(fcinfo, claimed);
	char	   *reason = read_said(fcinfo, ARG_REASON, "reason");

	news->event.kind = status->event;
	news->event.memo_matches = differs == NULL;
	news->outcome = status->outcome;
	news->detail = reason;
	if (status->final)
		news->response = make_response(fcinfo, status, reason);
	if (differs != NULL)
	{
		news->event.kind = OP_EV_REPLY_CONFLICT;
		news->outcome = "conflict";
		news->detail = psprintf("it was completed as \"%s\" with another %s",
								status->word, differs);
	}
	else if (status->final)
		news->reference = read_said(fcinfo, ARG_REFERENCE, "reference");

	/* The row of what has ended stays: then the finding tells the reference. */
	if (news->event.kind == OP_EV_REPLY_EXECUTED && news->reference != NULL &&
		operation_state_is_terminal(claimed->operation.facts.state))
		news->detail = psprintf("executed, reference %s", news->reference);
}

/* Told before, in the same words, and over. */
static bool
is_repetition(const Claimed *claimed)
{
	return operation_state_is_terminal(claimed->operation.facts.state) &&
		claimed->attempt.outcome != NULL &&
		strcmp(claimed->attempt.outcome, claimed->news.outcome) == 0;
}

PG_FUNCTION_INFO_V1(teller_complete);

/* teller.complete: see its COMMENT. */
Datum
teller_complete(PG_FUNCTION_ARGS)
{
	const Status *status;
	Claimed		claimed = {0};
	OpState		state;

	read_claim(fcinfo, &claimed);
	(void) read_memo(fcinfo);
	status = read_status(fcinfo);
	read_answer(fcinfo, status, &claimed);
	state = is_repetition(&claimed) ? claimed.operation.facts.state :
		tell(&claimed);
	PG_RETURN_TEXT_P(cstring_to_text(operation_state_name(state)));
}

/* ---- teller.release_claim --------------------------------------------- */

PG_FUNCTION_INFO_V1(teller_release_claim);

/* teller.release_claim: see its COMMENT. */
Datum
teller_release_claim(PG_FUNCTION_ARGS)
{
	Claimed		claimed = {0};
	bool		sent;

	read_claim(fcinfo, &claimed);
	input_require(fcinfo, 3, "sent");
	sent = PG_GETARG_BOOL(3);
	claimed.news.event.kind = sent ? OP_EV_AMBIGUOUS : OP_EV_NOT_SENT;
	claimed.news.outcome = sent ? "ambiguous" : "not_sent";
	claimed.news.detail = "the claim was released";
	(void) tell(&claimed);
	PG_RETURN_VOID();
}

/* ---- teller.extend_lease ---------------------------------------------- */

PG_FUNCTION_INFO_V1(teller_extend_lease);

/* teller.extend_lease: see its COMMENT. */
Datum
teller_extend_lease(PG_FUNCTION_ARGS)
{
	Claimed		claimed = {0};
	int64		lease_us;

	read_claim(fcinfo, &claimed);
	lease_us = pull_lease_us(fcinfo, 3);
	if (!operation_extend(claimed.news.ledger, &claimed.news.id,
						  claimed.news.attempt, lease_us, &claimed.operation))
		raise_overtaken(&claimed, claimed.operation.facts.state);
	ForceSyncCommit();
	CommandCounterIncrement();
	PG_RETURN_VOID();
}
