/*-------------------------------------------------------------------------
 *
 * reply.c
 *	  What the end of a transfer proves.
 *
 * First the body: in a reply of status 2xx or 4xx a well-formed answer of the
 * contract says what became of the memo.  Only where there is none does the
 * status speak.  Executed counts in a 2xx alone, and nothing is final in a
 * 202.  What is not in the table may have run.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "mb/pg_wchar.h"

#include "http/http.h"

/* Longer than that nobody can make us wait. */
#define RETRY_AFTER_MAX_S (24 * 60 * 60)

/* The names of AnswerField, in its order. */
static const char *const field_names[ANSWER_FIELDS] = {"memo", "status",
	"reference", "reason", "amount", "asset", "executed_at", "replayed",
"server_now"};

/* What a status means by itself. */
typedef enum StatusMeans
{
	MEANS_ANSWER,				/* 2xx: the body must tell */
	MEANS_IN_PROGRESS,			/* 202, 409 */
	MEANS_NO_ACCESS,			/* 401, 403, 407 */
	MEANS_NO_SERVICE,			/* 404 */
	MEANS_LATER,				/* 429: it was not looked at */
	MEANS_CONFLICT,				/* 422 */
	MEANS_NOTHING				/* everything else */
} StatusMeans;

static StatusMeans
status_means(long status)
{
	if (status == 202 || status == 409)
		return MEANS_IN_PROGRESS;
	if (status >= 200 && status <= 299)
		return MEANS_ANSWER;
	if (status == 401 || status == 403 || status == 407)
		return MEANS_NO_ACCESS;
	if (status == 404)
		return MEANS_NO_SERVICE;
	if (status == 429)
		return MEANS_LATER;
	if (status == 422)
		return MEANS_CONFLICT;
	return MEANS_NOTHING;
}

/* ---- texts ---- */

/* A service may repeat what it was sent.  Put stars over the secrets. */
static void
cover_secrets(const Transfer *transfer, char *text)
{
	for (int i = 0; text != NULL && transfer->secrets[i] != NULL; i++)
	{
		const char *secret = transfer->secrets[i];
		size_t		length = strlen(secret);

		for (char *at = strstr(text, secret); at != NULL;
			 at = strstr(at + length, secret))
			memset(at, '*', length);
	}
}

/*
 * The texts come in UTF-8.  To convert them takes a transaction, which there
 * is not; what another encoding may not have is lost.
 */
static void
make_readable(char *text)
{
	int			encoding = GetDatabaseEncoding();

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return;
	for (; text != NULL && *text != '\0'; text++)
		if ((unsigned char) *text >= 0x80)
			*text = '?';
}

static void
finish(Transfer *transfer, CallClass class, const char *sqlstate,
	   const char *message)
{
	char	   *copy = pstrdup(message);

	cover_secrets(transfer, copy);
	http_services->finish(transfer->call, class, sqlstate, copy, NULL);
	pfree(copy);
}

/* ---- Retry-After ---- */

/*
 * Seconds, or a date, which is compared with the service's own clock if that
 * shows.
 */
static int64
read_retry_after(const Transfer *transfer)
{
	const char *value = transfer->retry_after;
	time_t		date;
	time_t		now;
	int64		wait_s;

	if (*value == '\0')
		return 0;
	if (value[strspn(value, "0123456789")] == '\0')
		wait_s = strlen(value) > 9 ? RETRY_AFTER_MAX_S : atol(value);
	else
	{
		date = curl_getdate(value, NULL);
		now = *transfer->date ? curl_getdate(transfer->date, NULL) : -1;
		if (date == -1)
			return 0;
		wait_s = (int64) date - (int64) (now == -1 ? time(NULL) : now);
	}
	return Min(Max(wait_s, 0), RETRY_AFTER_MAX_S) * USECS_PER_SEC;
}

/* ---- the body ---- */

static const char *
read_body(Transfer *transfer)
{
	Call	   *call = transfer->call;
	const char *values[ANSWER_FIELDS] = {NULL};
	const char *problem;
	char	   *buffer;

	if (transfer->reply == NULL)
		return "there is no body";
	if (call->request.verb == CALL_CHECK)
	{
		if (strlen(transfer->reply) != transfer->reply_length)
			return "the body contains a zero byte";
		cover_secrets(transfer, transfer->reply);
		make_readable(transfer->reply);
		values[0] = transfer->reply;
		return http_services->read_answer(call, values);
	}
	buffer = palloc(transfer->reply_length + 1);
	problem = json_read_members(transfer->reply, transfer->reply_length,
								field_names, ANSWER_FIELDS, values, buffer);
	if (problem == NULL)
	{
		for (int i = 0; i < ANSWER_FIELDS; i++)
			make_readable((char *) values[i]);
		cover_secrets(transfer, (char *) values[FIELD_REASON]);
		cover_secrets(transfer, (char *) values[FIELD_REFERENCE]);
		problem = http_services->read_answer(call, values);
	}
	pfree(buffer);
	return problem;
}

/* Is a well-formed answer to be believed in a reply of this status? */
static bool
answer_counts(const CallResult *result, CallVerb verb, long status)
{
	if (verb == CALL_CHECK || (status >= 200 && status <= 299))
		return status >= 200 && status <= 299 && status != 202;
	return status >= 400 && status <= 499 &&
		result->status != ANSWER_EXECUTED;
}

/* An answer that the status gives; what the body told is kept if it did. */
static void
answer_by_status(Transfer *transfer, AnswerStatus answer, bool well_formed,
				 const char *says)
{
	CallResult *result = &transfer->call->result;

	if (!well_formed)
	{
		result->has_memo = false;
		result->reference = result->amount = result->asset = NULL;
		result->executed_at = result->server_now = result->response = NULL;
		result->replayed = false;
	}
	result->status = answer;
	result->reason = MemoryContextStrdup(transfer->call->context, says);
	finish(transfer, CALL_ANSWERED, "00000", "");
}

static void
finish_by_status(Transfer *transfer, long status, const char *problem)
{
	char		says[64];

	snprintf(says, sizeof(says), "HTTP status %ld", status);
	if (transfer->call->request.verb == CALL_CHECK &&
		(status == 202 || status == 409 || status == 422))
	{
		finish(transfer, CALL_AMBIGUOUS, "08P01", says);
		return;
	}
	switch (status_means(status))
	{
		case MEANS_ANSWER:
			finish(transfer, CALL_AMBIGUOUS, "08P01",
				   psprintf("%s, but %s", says, problem));
			break;
		case MEANS_IN_PROGRESS:
			answer_by_status(transfer, ANSWER_BUSY, problem == NULL, says);
			break;
		case MEANS_NO_ACCESS:
			finish(transfer, CALL_MISCONFIGURED, "28000", says);
			break;
		case MEANS_NO_SERVICE:
			finish(transfer, CALL_MISCONFIGURED, "42883", says);
			break;
		case MEANS_LATER:
			finish(transfer, CALL_NOT_EXECUTED, "53300", says);
			break;
		case MEANS_CONFLICT:
			answer_by_status(transfer, ANSWER_CONFLICT, problem == NULL, says);
			break;
		case MEANS_NOTHING:
			finish(transfer, CALL_AMBIGUOUS, "08007", says);
			break;
	}
}

static void
finish_reply(Transfer *transfer, long status)
{
	Call	   *call = transfer->call;
	const char *problem = "the status does not promise an answer";

	call->result.retry_after_us = read_retry_after(transfer);
	if ((status >= 200 && status <= 299) || (status >= 400 && status <= 499))
		problem = read_body(transfer);
	if (problem == NULL &&
		answer_counts(&call->result, call->request.verb, status))
		finish(transfer, CALL_ANSWERED, "00000", "");
	else
		finish_by_status(transfer, status, problem);
}

/* ---- no reply, or not all of it ---- */

/* No repetition mends these. */
static bool
is_misconfiguration(CURLcode code)
{
	return code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
		code == CURLE_SSL_CIPHER || code == CURLE_UNSUPPORTED_PROTOCOL ||
		code == CURLE_URL_MALFORMAT || code == CURLE_NOT_BUILT_IN;
}

static void
finish_broken(Transfer *transfer, CURLcode code)
{
	const char *says = transfer->error[0] ? transfer->error :
		curl_easy_strerror(code);

	if (transfer->call->sent)
	{
		bool		too_long = transfer->too_long ||
			code == CURLE_FILESIZE_EXCEEDED;

		if (too_long)
			says = transfer->header_bytes > HTTP_HEADERS_MAX_BYTES ?
				"the header of the answer is too long" :
				"the answer is longer than teller.max_response_bytes";
		else if (transfer->broken_off)
			says = "the connection broke before a reply came";
		else if (transfer->no_memory)
			says = "out of memory for the answer";
		finish(transfer, CALL_AMBIGUOUS, too_long ? "08P01" : "08007", says);
	}
	else if (transfer->refused_address)
		finish(transfer, CALL_MISCONFIGURED, "42501",
			   "the address of the service is private, and the server has no option allow_private");
	else
		finish(transfer, is_misconfiguration(code) ? CALL_MISCONFIGURED :
			   CALL_NOT_SENT, is_misconfiguration(code) ? "58000" : "08001",
			   says);
}

void
reply_finish(Transfer *transfer, CURLcode code, long status)
{
	if (code == CURLE_OK)
		finish_reply(transfer, status);
	else
		finish_broken(transfer, code);
}
