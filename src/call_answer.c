/*-------------------------------------------------------------------------
 *
 * call_answer.c
 *	  What a remote answered: tested, and read into the result of the call.
 *
 * What is taken over here can be recorded later without an error.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "call.h"
#include "compat.h"
#include "guc.h"

#define AMOUNT_BYTES_MAX 200

/* A plain decimal number: no exponent, no blanks, no NaN, not too long. */
static bool
is_decimal(const char *text)
{
	size_t		whole;
	size_t		fraction;

	if (strlen(text) > AMOUNT_BYTES_MAX)
		return false;
	text += (*text == '-' || *text == '+');
	whole = strspn(text, "0123456789");
	if (whole == 0 || text[whole] == '\0')
		return whole > 0;
	fraction = strspn(text + whole + 1, "0123456789");
	return text[whole] == '.' && fraction > 0 &&
		text[whole + 1 + fraction] == '\0';
}

static Datum
read_decimal(const char *text)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(text),
							   ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
}

/*
 * A point in time that timestamptz_in takes, so that a cast in the
 * transaction that records the outcome cannot fail.
 */
static bool
is_timestamp(const char *text)
{
	char		buffer[MAXDATELEN + MAXDATEFIELDS];
	char	   *fields[MAXDATEFIELDS];
	int			types[MAXDATEFIELDS];
	int			count;
	int			kind;
	int			zone = 0;
	fsec_t		fraction = 0;
	struct pg_tm parts;
	Timestamp	result;

	return strspn(text, "0123456789-+:. TZ") == strlen(text) &&
		ParseDateTime(text, buffer, sizeof(buffer), fields, types,
					  MAXDATEFIELDS, &count) == 0 &&
		teller_decode_datetime(fields, types, count, &kind, &parts, &fraction,
							   &zone) == 0 &&
		kind == DTK_DATE &&
		tm2timestamp(&parts, fraction, &zone, &result) == 0;
}

static bool
read_memo(const char *text, uint8 *memo)
{
	size_t		digits = strspn(text, "0123456789abcdefABCDEF");

	if (digits != 2 * CALL_MEMO_BYTES || text[digits] != '\0')
		return false;
	hex_decode(text, digits, (char *) memo);
	return true;
}

static bool
read_status(const char *text, AnswerStatus *status)
{
	/* in the order of AnswerStatus */
	static const char *const names[] = {"executed", "rejected", "cancelled",
	"expired", "conflict", "busy", "not_found"};

	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(text, names[i]) != 0)
			continue;
		*status = (AnswerStatus) i;
		return true;
	}
	return false;
}

/* What holds for any answer.  Returns NULL, or what is wrong. */
static const char *
check_texts(const char *const fields[ANSWER_FIELDS])
{
	size_t		total = 0;

	for (int i = 0; i < ANSWER_FIELDS; i++)
	{
		size_t		len = fields[i] ? strlen(fields[i]) : 0;

		total += len;
		if (!pg_verify_mbstr(GetDatabaseEncoding(), fields[i], len, true))
			return "the answer is not valid in the database encoding";
	}
	return total > (size_t) teller_max_response_bytes ?
		"the answer is longer than teller.max_response_bytes" : NULL;
}

/* The tests that need no memory; what they read goes into the result. */
static const char *
check_answer(CallResult *result, CallVerb verb,
			 const char *const fields[ANSWER_FIELDS])
{
	if (fields[FIELD_STATUS] == NULL ||
		!read_status(fields[FIELD_STATUS], &result->status) ||
		(result->status == ANSWER_NOT_FOUND && verb != CALL_LOOKUP))
		return "the answer has no status that is known here";
	result->has_memo = fields[FIELD_MEMO] != NULL;
	if (!result->has_memo && result->status != ANSWER_NOT_FOUND)
		return "the answer has no memo";
	if (result->has_memo && !read_memo(fields[FIELD_MEMO], result->memo))
		return "the answer has a malformed memo";
	if (fields[FIELD_AMOUNT] != NULL && !is_decimal(fields[FIELD_AMOUNT]))
		return "the answer has a malformed amount";
	for (int i = FIELD_EXECUTED_AT; i <= FIELD_SERVER_NOW; i++)
		if (fields[i] != NULL && (i == FIELD_REPLAYED ?
								  !parse_bool(fields[i], &result->replayed) :
								  !is_timestamp(fields[i])))
			return "the answer has a malformed time or boolean";
	return NULL;
}

static const char *
answer_as_json(const char *const fields[ANSWER_FIELDS], bool replayed)
{
	/* in the order of AnswerField */
	static const char *const names[ANSWER_FIELDS] = {"memo", "status",
		"reference", "reason", "amount", "asset", "executed_at", "replayed",
	"server_now"};
	StringInfoData json;

	initStringInfo(&json);
	for (int i = 0; i < ANSWER_FIELDS; i++)
	{
		appendStringInfo(&json, "%s\"%s\": ", i == 0 ? "{" : ", ", names[i]);
		if (fields[i] == NULL)
			appendStringInfoString(&json, "null");
		else if (i == FIELD_REPLAYED)
			appendStringInfoString(&json, replayed ? "true" : "false");
		else
			escape_json(&json, fields[i]);
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

const char *
call_read_answer(Call *call, const char *const fields[ANSWER_FIELDS])
{
	CallResult *result = &call->result;
	bool		is_text = call->request.verb == CALL_CHECK ||
		call->request.verb == CALL_LIST;
	const char *problem = check_texts(fields);
	MemoryContext old;

	if (problem == NULL && is_text && fields[0] == NULL)
		problem = "the answer is NULL";
	if (problem == NULL && !is_text)
		problem = check_answer(result, call->request.verb, fields);
	if (problem != NULL)
		return problem;

	old = MemoryContextSwitchTo(call->context);
	if (is_text)
		result->text = pstrdup(fields[0]);
	else
	{
		result->reference = call_copy_text(fields[FIELD_REFERENCE]);
		result->reason = call_copy_text(fields[FIELD_REASON]);
		result->amount = call_copy_text(fields[FIELD_AMOUNT]);
		result->asset = call_copy_text(fields[FIELD_ASSET]);
		result->executed_at = call_copy_text(fields[FIELD_EXECUTED_AT]);
		result->server_now = call_copy_text(fields[FIELD_SERVER_NOW]);
		result->response = answer_as_json(fields, result->replayed);
	}
	MemoryContextSwitchTo(old);
	return NULL;
}

bool
call_answer_matches(const CallResult *result, const CallRequest *asked,
					const char **differs)
{
	bool		required = result->status == ANSWER_EXECUTED;

	Assert(result->class == CALL_ANSWERED);

	*differs = NULL;
	if (result->has_memo &&
		memcmp(result->memo, asked->memo, CALL_MEMO_BYTES) != 0)
		*differs = "memo";
	else if (result->amount == NULL ? required :
			 !DatumGetBool(DirectFunctionCall2(numeric_eq,
											   read_decimal(result->amount),
											   read_decimal(asked->amount))))
		*differs = "amount";
	else if (result->asset == NULL ? required :
			 strcmp(result->asset, asked->asset) != 0)
		*differs = "asset";
	return *differs == NULL;
}
