/*-------------------------------------------------------------------------
 *
 * request.c
 *	  Requests of the application, each answered once.
 *
 * begin_request inserts the row or finds it; the primary key decides who is
 * first.  A session that meets a row which another transaction is writing
 * waits for that transaction, and for nothing else: an unfinished request
 * under a lease is told at once.
 *
 * A lease lets the claim be committed before a call to the outside.  When it
 * has run out, the row's lock decides who takes the request over; the token
 * in the row tells its present holder from the one before.
 *
 * A request belongs to the role that began it.  Name spaces apart for each
 * role would look safer and would not be: two roles that serve the same
 * client would both get fresh for the same key, and the effect would happen
 * twice.  So the second role is refused, and told nothing but that.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "request.h"

#define MAX_LEASE_DAYS 367		/* a year, however long that one is */

/* The columns of begin_request's answer. */
enum
{
	ANSWER_FRESH,
	ANSWER_RESPONSE,
	ANSWER_STATE,
	ANSWER_TOKEN,
	ANSWER_COUNT
};

typedef struct Answer
{
	Datum		values[ANSWER_COUNT];
	bool		nulls[ANSWER_COUNT];
} Answer;

/* ---- arguments -------------------------------------------------------- */

static text *
input_name(FunctionCallInfo fcinfo, int arg, const char *name)
{
	input_require(fcinfo, arg, name);
	return input_label(fcinfo, arg, name);
}

/* Any JSON.  Its size is looked at before it is unpacked. */
static Jsonb *
input_document(FunctionCallInfo fcinfo, int arg, const char *name)
{
	Size		size;

	input_require(fcinfo, arg, name);
	size = toast_raw_datum_size(PG_GETARG_DATUM(arg));
	if (size > REQUEST_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s is larger than %d bytes", name, REQUEST_MAX_BYTES),
				 errdetail("As jsonb it has %zu bytes.", size)));
	return PG_GETARG_JSONB_P(arg);
}

static void
raise_lease(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("lease must be above zero and at most a year")));
}

static TimestampTz
lease_end(TimestampTz now, const Interval *lease)
{
	TimestampTz end;
	int64		days;

	if (teller_interval_not_finite(lease))
		raise_lease();
	days = (int64) lease->month * 31 + lease->day +
		lease->time / USECS_PER_DAY;
	if (days < 0 || days > MAX_LEASE_DAYS * 2)
		raise_lease();
	end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												  TimestampTzGetDatum(now),
												  PointerGetDatum(lease)));
	if (end <= now || end > now + MAX_LEASE_DAYS * USECS_PER_DAY)
		raise_lease();
	return end;
}

static void
read_call(FunctionCallInfo fcinfo, RequestCall *call)
{
	memset(call, 0, sizeof(RequestCall));
	call->scope = input_name(fcinfo, 0, "scope");
	call->key = input_name(fcinfo, 1, "key");
	call->body = input_document(fcinfo, 2, "request");
	if (!PG_ARGISNULL(3))
	{
		call->lease = PG_GETARG_INTERVAL_P(3);
		(void) lease_end(clock_read(), call->lease);
	}
	call->has_time = !PG_ARGISNULL(4);
	call->time = input_time(fcinfo, 4, "request_time", 0);
}

/* ---- the same request? ------------------------------------------------ */

/* Before anything of the request is told or compared. */
static void
check_role(const Request *request)
{
	if (!has_privs_of_role(GetUserId(), request->role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for %s", request_name(request)),
				 errdetail("Another role began it."),
				 errhint("Use another scope, or become a member of that role.")));
}

static bool
same_document(Jsonb *a, Jsonb *b)
{
	return compareJsonbContainers(&a->root, &b->root) == 0;
}

/* The first field of one that the other lacks or has otherwise. */
static char *
differing_field(Jsonb *one, Jsonb *other)
{
	JsonbIterator *it = JsonbIteratorInit(&one->root);
	JsonbIteratorToken token;
	JsonbValue	name,
				value,
				buffer;

	token = JsonbIteratorNext(&it, &name, true);
	Assert(token == WJB_BEGIN_OBJECT);
	while ((token = JsonbIteratorNext(&it, &name, true)) == WJB_KEY)
	{
		JsonbValue *there;

		(void) JsonbIteratorNext(&it, &value, true);
		there = getKeyJsonValueFromContainer(&other->root,
											 name.val.string.val,
											 name.val.string.len, &buffer);
		if (there == NULL ||
			!same_document(JsonbValueToJsonb(&value),
						   JsonbValueToJsonb(there)))
			return pnstrdup(name.val.string.val, name.val.string.len);
	}
	return NULL;
}

/*
 * What differs, for the message.  The values are not shown: a message goes
 * into logs, and a request may hold what should not be there.
 */
static char *
name_difference(Jsonb *before, Jsonb *now)
{
	StringInfoData said;
	char	   *field;

	if (!JB_ROOT_IS_OBJECT(before) || !JB_ROOT_IS_OBJECT(now))
		return pstrdup("other content");
	field = differing_field(now, before);
	if (field == NULL)
		field = differing_field(before, now);
	if (field == NULL)
		elog(ERROR, "objects that are not equal have equal fields");
	field[pg_mbcliplen(field, strlen(field), 64)] = '\0';
	initStringInfo(&said);
	appendStringInfoString(&said, "another field ");
	escape_json(&said, field);
	return said.data;
}

static void
raise_mismatch(const Request *request, const char *what)
{
	ereport(ERROR,
			(teller_errcode(ERRCODE_TELLER_IDEMPOTENCY_MISMATCH),
			 errmsg("%s was begun with %s", request_name(request), what),
			 errhint("Use a new key for a new request, or repeat the first one unchanged.")));
}

/*
 * request_time is an argument like the others: a repeat that leaves it out is
 * refused while that can still be seen, because once the row was pruned such a
 * repeat would run again.
 */
static void
check_same(Request *request, const RequestCall *call)
{
	Jsonb	   *before;

	check_role(request);
	before = request_body(request);
	if (!same_document(before, call->body))
		raise_mismatch(request, name_difference(before, call->body));
	if (call->has_time != request->has_time ||
		(call->has_time && call->time != request->time))
		raise_mismatch(request, "another request_time");
}

/* ---- begin ------------------------------------------------------------ */

static void
answer_fresh(const Request *request, Answer *answer)
{
	answer->values[ANSWER_FRESH] = BoolGetDatum(true);
	answer->nulls[ANSWER_RESPONSE] = true;
	answer->values[ANSWER_STATE] = CStringGetTextDatum("started");
	answer->values[ANSWER_TOKEN] = Int64GetDatum(request->token);
}

static void
answer_known(Request *request, Answer *answer)
{
	answer->values[ANSWER_FRESH] = BoolGetDatum(false);
	answer->nulls[ANSWER_RESPONSE] = !request->finished;
	if (request->finished)
		answer->values[ANSWER_RESPONSE] =
			JsonbPGetDatum(request_response(request));
	answer->values[ANSWER_STATE] = CStringGetTextDatum(request->finished ?
													   "finished" :
													   "in_progress");
	answer->nulls[ANSWER_TOKEN] = true;
}

/*
 * One without a lease has not lapsed: it is this transaction's own, for
 * nobody else sees it unfinished.
 */
static bool
has_lapsed(const Request *request, TimestampTz now)
{
	return !request->finished && request->has_lease &&
		now > request->lease_until;
}

/* The end of the lease asked for; NULL if none was. */
static TimestampTz *
new_lease(const RequestCall *call, TimestampTz now, TimestampTz *end)
{
	if (call->lease == NULL)
		return NULL;
	*end = lease_end(now, call->lease);
	return end;
}

/* False if somebody else was first. */
static bool
begin_new(Request *request, const RequestCall *call, Answer *answer)
{
	TimestampTz now = clock_read();
	TimestampTz end;

	if (!request_insert(request, call, now, new_lease(call, now, &end)))
		return false;
	if (call->has_time)
		request_check_age(request, call->time, now);
	if (call->lease == NULL)
		request_must_finish(request);
	answer_fresh(request, answer);
	return true;
}

/*
 * Its lease has run out, it seems.  Under the row's lock there is one answer:
 * of all who come here the first takes it over, the others find the lease
 * renewed.  False if the row is gone.
 */
static bool
begin_again(Request *request, const RequestCall *call, Answer *answer)
{
	TimestampTz now;
	TimestampTz end;

	if (!request_lock(request))
		return false;
	check_same(request, call);
	now = clock_read();
	if (!has_lapsed(request, now))
	{
		answer_known(request, answer);
		return true;
	}
	request_overtake(request, new_lease(call, now, &end));
	if (call->lease == NULL)
		request_must_finish(request);
	answer_fresh(request, answer);
	return true;
}

/* False if the row came or went meanwhile: look again. */
static bool
begin_once(Request *request, const RequestCall *call, Answer *answer)
{
	if (!request_await(request))
		return begin_new(request, call, answer);
	check_same(request, call);
	if (has_lapsed(request, clock_read()))
		return begin_again(request, call, answer);
	answer_known(request, answer);
	return true;
}

PG_FUNCTION_INFO_V1(teller_begin_request);

/* teller.begin_request(scope, key, request, lease, request_time) */
Datum
teller_begin_request(PG_FUNCTION_ARGS)
{
	RequestCall call;
	Request		request;
	Answer		answer = {0};

	read_call(fcinfo, &call);
	request_open(&request, call.scope, call.key, RowExclusiveLock);
	while (!begin_once(&request, &call, &answer))
		CHECK_FOR_INTERRUPTS();
	request_close(&request);
	return input_result(fcinfo, answer.values, answer.nulls);
}

/* ---- finish ----------------------------------------------------------- */

/* The caller holds the request now, or held it when it was finished. */
static void
check_token(const Request *request, bool has_token, int64 token)
{
	if (has_token && token != request->token)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s was overtaken", request_name(request)),
				 errdetail("The token given is %lld, the request's is %lld.",
						   (long long) token, (long long) request->token),
				 token < request->token ?
				 errhint("Its lease ran out and it was begun again. Call teller.begin_request() for the answer.") :
				 errhint("Pass the token that teller.begin_request() returned.")));
	if (!has_token && request->has_lease && !request->finished)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("token must not be null for a request with a lease"),
				 errdetail("It is for %s.", request_name(request)),
				 errhint("Pass the token that teller.begin_request() returned.")));
}

static void
check_same_response(Request *request, Jsonb *response)
{
	if (!same_document(request_response(request), response))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is finished with another response",
						request_name(request)),
				 errdetail("It was finished at %s.",
						   timestamptz_to_str(request->finished_at))));
}

PG_FUNCTION_INFO_V1(teller_finish_request);

/* teller.finish_request(scope, key, response, token) */
Datum
teller_finish_request(PG_FUNCTION_ARGS)
{
	text	   *scope = input_name(fcinfo, 0, "scope");
	text	   *key = input_name(fcinfo, 1, "key");
	Jsonb	   *response = input_document(fcinfo, 2, "response");
	Request		request;

	request_open(&request, scope, key, RowExclusiveLock);
	if (!request_lock(&request))
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
				 errmsg("%s does not exist", request_name(&request)),
				 errdetail("It was not begun, its beginning was rolled back, or it was pruned."),
				 errhint("Begin it with teller.begin_request().")));
	check_role(&request);
	check_token(&request, !PG_ARGISNULL(3),
				PG_ARGISNULL(3) ? 0 : PG_GETARG_INT64(3));
	if (request.finished)
		check_same_response(&request, response);
	else
		request_answer(&request, response, clock_read());
	request_close(&request);
	PG_RETURN_VOID();
}
