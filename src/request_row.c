/*-------------------------------------------------------------------------
 *
 * request_row.c
 *	  The rows of teller.request.
 *
 * They are written directly, as the extension's owner would: PUBLIC has no
 * right on the table.  Who may do what is decided in request.c.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "request.h"

/* The columns of teller.request. */
enum
{
	COL_SCOPE,
	COL_KEY,
	COL_ROLE,
	COL_REQUEST,
	COL_RESPONSE,
	COL_TOKEN,
	COL_LEASE_UNTIL,
	COL_REQUEST_TIME,
	COL_CREATED_AT,
	COL_FINISHED_AT,
	COL_COUNT
};

void
request_open(Request *request, const text *scope, const text *key,
			 LOCKMODE lockmode)
{
	memset(request, 0, sizeof(Request));
	request->scope = scope;
	request->key = key;
	request->rel = rel_open(REL_REQUEST, lockmode);
	request->slot = rel_make_slot(request->rel);
}

void
request_close(Request *request)
{
	ExecDropSingleTupleTableSlot(request->slot);
	rel_close(request->rel);
}

char *
request_name(const Request *request)
{
	return psprintf("request \"%s\" of scope \"%s\"",
					text_to_cstring(request->key),
					text_to_cstring(request->scope));
}

/* ---- reading ---------------------------------------------------------- */

static TimestampTz
get_time(TupleTableSlot *slot, int column, bool *there)
{
	*there = !slot->tts_isnull[column];
	return *there ? DatumGetTimestampTz(slot->tts_values[column]) : 0;
}

static void
read_row(Request *request)
{
	TupleTableSlot *slot = request->slot;

	slot_getallattrs(slot);
	request->role = DatumGetObjectId(slot->tts_values[COL_ROLE]);
	request->token = DatumGetInt64(slot->tts_values[COL_TOKEN]);
	request->finished_at = get_time(slot, COL_FINISHED_AT, &request->finished);
	request->lease_until = get_time(slot, COL_LEASE_UNTIL,
									&request->has_lease);
	request->time = get_time(slot, COL_REQUEST_TIME, &request->has_time);
}

static void
set_keys(const Request *request, Datum *keys)
{
	keys[0] = PointerGetDatum(request->scope);
	keys[1] = PointerGetDatum(request->key);
}

bool
request_look(Request *request, Snapshot snapshot)
{
	Datum		keys[2];

	set_keys(request, keys);
	if (!rel_fetch(request->rel, snapshot, 2, keys, request->slot))
		return false;
	read_row(request);
	return true;
}

/*
 * The look with a dirty snapshot leaves no trace for SERIALIZABLE.  There the
 * row is read a second time, as everybody reads, so that a change of what was
 * told here counts as a conflict.
 */
static void
note_read(Request *request, const Datum *keys)
{
	TupleTableSlot *slot;

	if (!IsolationIsSerializable())
		return;
	slot = rel_make_slot(request->rel);
	(void) rel_fetch(request->rel, GetTransactionSnapshot(), 2, keys, slot);
	ExecDropSingleTupleTableSlot(slot);
}

bool
request_await(Request *request)
{
	Datum		keys[2];

	set_keys(request, keys);
	if (!rel_await_row(request->rel, 2, keys, request->slot))
		return false;
	note_read(request, keys);
	read_row(request);
	return true;
}

/* The strength of FOR NO KEY UPDATE: the key of a row never changes. */
bool
request_lock(Request *request)
{
	Datum		keys[2];

	set_keys(request, keys);
	if (!rel_lock_row(request->rel, 2, keys, LockTupleNoKeyExclusive,
					  request->slot))
		return false;
	read_row(request);
	return true;
}

Jsonb *
request_body(Request *request)
{
	return DatumGetJsonbP(request->slot->tts_values[COL_REQUEST]);
}

Jsonb *
request_response(Request *request)
{
	if (request->slot->tts_isnull[COL_RESPONSE])
		return NULL;
	return DatumGetJsonbPCopy(request->slot->tts_values[COL_RESPONSE]);
}

/* ---- writing ---------------------------------------------------------- */

/*
 * The next call of the same statement must see what was written.  And a claim
 * that is committed before something is done elsewhere must not be forgotten
 * in a crash, or the thing would be done again; nor may its answer.  So
 * synchronous_commit = off does not count for leases.
 */
static void
wrote(bool has_lease)
{
	if (has_lease)
		ForceSyncCommit();
	CommandCounterIncrement();
}

static void
set_time(Datum *values, bool *nulls, int column, const TimestampTz *time)
{
	nulls[column] = time == NULL;
	if (time != NULL)
		values[column] = TimestampTzGetDatum(*time);
}

bool
request_insert(Request *request, const RequestCall *call, TimestampTz now,
			   const TimestampTz *lease_until)
{
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};

	values[COL_SCOPE] = PointerGetDatum(request->scope);
	values[COL_KEY] = PointerGetDatum(request->key);
	values[COL_ROLE] = ObjectIdGetDatum(GetUserId());
	values[COL_REQUEST] = JsonbPGetDatum(call->body);
	nulls[COL_RESPONSE] = nulls[COL_FINISHED_AT] = true;
	values[COL_TOKEN] = Int64GetDatum(1);
	values[COL_CREATED_AT] = TimestampTzGetDatum(now);
	set_time(values, nulls, COL_LEASE_UNTIL, lease_until);
	set_time(values, nulls, COL_REQUEST_TIME,
			 call->has_time ? &call->time : NULL);
	if (!rel_insert_if_absent(request->rel, values, nulls))
		return false;
	request->token = 1;
	wrote(lease_until != NULL);
	return true;
}

void
request_overtake(Request *request, const TimestampTz *lease_until)
{
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};
	bool		replace[COL_COUNT] = {0};

	Assert(!request->finished && request->has_lease);

	request->token++;
	values[COL_TOKEN] = Int64GetDatum(request->token);
	set_time(values, nulls, COL_LEASE_UNTIL, lease_until);
	replace[COL_TOKEN] = replace[COL_LEASE_UNTIL] = true;
	rel_update(request->rel, request->slot, values, nulls, replace);
	wrote(lease_until != NULL);
}

void
request_answer(Request *request, Jsonb *response, TimestampTz now)
{
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};
	bool		replace[COL_COUNT] = {0};

	Assert(!request->finished);

	values[COL_RESPONSE] = JsonbPGetDatum(response);
	values[COL_FINISHED_AT] = TimestampTzGetDatum(now);
	replace[COL_RESPONSE] = replace[COL_FINISHED_AT] = true;
	rel_update(request->rel, request->slot, values, nulls, replace);
	wrote(request->has_lease);
}
