/*-------------------------------------------------------------------------
 *
 * call_group.c
 *	  What one connection of PostgreSQL carries at a time: one call, or
 *	  several executes that the remote is to execute in one transaction.
 *
 * Several are sent to teller_remote.execute_many as arrays, written as text.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "call_group.h"
#include "call_statement.h"

/* Of the stored requests of a group together. */
#define GROUP_BYTES_MAX (256 * 1024)

/* "\x", the digits and the final zero. */
#define MEMO_TEXT_BYTES (2 + 2 * CALL_MEMO_BYTES + 1)

#define MAX_PARAMETERS 10

static void
memo_text(char *to, const CallRequest *asked)
{
	strcpy(to, "\\x");
	hex_encode((const char *) asked->memo, CALL_MEMO_BYTES, to + 2);
	to[MEMO_TEXT_BYTES - 1] = '\0';
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static Size
body_bytes(const Call *call)
{
	return call->request.body ? strlen(call->request.body) : 0;
}

bool
call_group_fits(const CallGroup *group, const Call *call)
{
	const CallRequest *first;
	Size		bytes = body_bytes(call);

	if (group->count == 0)
		return true;
	first = &group->calls[0]->request;
	for (int i = 0; i < group->count; i++)
		bytes += body_bytes(group->calls[i]);
	return group->count < CALL_GROUP_MAX && bytes <= GROUP_BYTES_MAX &&
		same_text(first->origin, call->request.origin) &&
		same_text(first->ledger, call->request.ledger);
}

/* ---- one call --------------------------------------------------------- */

static bool
send_one(const CallRequest *asked, PGconn *connection, const char *ledger)
{
	char		memo[MEMO_TEXT_BYTES];
	const char *page[] = {asked->origin, asked->after, asked->max_rows};
	const char *values[] = {
		memo, asked->origin,
		asked->verb == CALL_FENCE ? asked->reason : ledger,
		asked->direction, asked->account, asked->amount, asked->asset,
		asked->nonce, asked->not_after, asked->payload
	};
	int			parameters;
	const char *statement = call_statement(asked->verb, &parameters);

	memo_text(memo, asked);
	return PQsendQueryParams(connection, statement, parameters, NULL,
							 asked->verb == CALL_LIST ? page : values, NULL,
							 NULL, 0) != 0;
}

/* ---- many ------------------------------------------------------------- */

static void
append_element(StringInfo array, const char *value)
{
	appendStringInfoChar(array, array->len == 0 ? '{' : ',');
	if (value == NULL)
	{
		appendStringInfoString(array, "NULL");
		return;
	}
	appendStringInfoChar(array, '"');
	for (; *value != '\0'; value++)
	{
		if (*value == '"' || *value == '\\')
			appendStringInfoChar(array, '\\');
		appendStringInfoChar(array, *value);
	}
	appendStringInfoChar(array, '"');
}

static bool
send_many(const CallGroup *group, PGconn *connection, const char *ledger)
{
	StringInfoData arrays[MAX_PARAMETERS];
	const char *values[MAX_PARAMETERS];
	int			parameters;
	const char *statement = call_statement_many(&parameters);
	bool		sent;

	for (int i = 0; i < MAX_PARAMETERS; i++)
		initStringInfo(&arrays[i]);
	for (int i = 0; i < group->count; i++)
	{
		const CallRequest *asked = &group->calls[i]->request;
		char		memo[MEMO_TEXT_BYTES];
		const char *elements[MAX_PARAMETERS] = {
			memo, NULL, NULL, asked->direction, asked->account, asked->amount,
			asked->asset, asked->nonce, asked->not_after, asked->payload
		};

		memo_text(memo, asked);
		for (int j = 0; j < MAX_PARAMETERS; j++)
			append_element(&arrays[j], elements[j]);
	}
	for (int i = 0; i < MAX_PARAMETERS; i++)
	{
		appendStringInfoChar(&arrays[i], '}');
		values[i] = arrays[i].data;
	}
	values[1] = group->calls[0]->request.origin;
	values[2] = ledger;
	sent = PQsendQueryParams(connection, statement, parameters, NULL, values,
							 NULL, NULL, 0) != 0;
	for (int i = 0; i < MAX_PARAMETERS; i++)
		pfree(arrays[i].data);
	return sent;
}

bool
call_group_send(const CallGroup *group, PGconn *connection,
				const char *ledger)
{
	const CallRequest *first = &group->calls[0]->request;

	if (ledger == NULL)
		ledger = first->ledger;
	return group->count == 1 ? send_one(first, connection, ledger) :
		send_many(group, connection, ledger);
}

/* ---- answers ---------------------------------------------------------- */

const char *
call_group_read(const CallGroup *group, int which, const PGresult *rows)
{
	Call	   *call = group->calls[which];
	const char *fields[ANSWER_FIELDS] = {NULL};
	bool		is_text = call->request.verb == CALL_CHECK ||
		call->request.verb == CALL_LIST;
	int			wanted = is_text ? 1 : ANSWER_FIELDS;

	if (PQntuples(rows) != group->count || PQnfields(rows) != wanted)
		return "the remote did not answer with one row of the right width";
	for (int i = 0; i < wanted; i++)
	{
		if (PQgetisnull(rows, which, i))
			continue;
		fields[i] = PQgetvalue(rows, which, i);
		if (strlen(fields[i]) != (size_t) PQgetlength(rows, which, i))
			return "the answer contains a zero byte";
	}
	return call_read_answer(call, fields);
}
