/*-------------------------------------------------------------------------
 *
 * continuation.c
 *	  The rows of teller.continuation_data: what is to be run, what was, and
 *	  what was given up.
 *
 * A row is written with the step that asks for it, in one transaction: an
 * operation that has ended has its on_complete row, and no other has one.
 * The rows of an operation are numbered; the lock of the operation's row keeps
 * two steps from taking the same number.
 *
 * Attempts are counted when they begin.  The row of one that never came back,
 * because the process ended, still says that it runs; whoever claims it next
 * counts it as lost.  A function that ends its process each time is parked
 * after a few.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access.h"
#include "clock.h"
#include "compat.h"
#include "continuation.h"
#include "errcodes.h"
#include "guc.h"
#include "input.h"
#include "wake.h"

/* The columns of teller.continuation_data. */
enum
{
	COL_LEDGER,
	COL_OPERATION,
	COL_EVENT,
	COL_KIND,
	COL_STATE,
	COL_ATTEMPTS,
	COL_LOST,
	COL_RUNNING_SINCE,
	COL_NEXT_TRY_AT,
	COL_LAST_ERROR,
	COL_CREATED_AT,
	COL_ENDED_AT,
	COL_COUNT
};

/* Attempts that may never come back before it is parked. */
#define LOST_MAX		3

#define ERROR_MAX_BYTES 1000
#define MS_US			INT64CONST(1000)

/* Rows of one ledger in one look, so that the others have their turn. */
#define LOOK_PER_LEDGER 16

static const char kind_complete[] = "on_complete";
static const char kind_doubt[] = "on_doubt";
static const char state_waiting[] = "waiting";
static const char state_done[] = "done";
static const char state_parked[] = "parked";

/* This process wrote a row since it last looked. */
static bool written = false;

/* ---- writing ---------------------------------------------------------- */

/* The rows of this operation so far.  Its row is locked. */
static int
count_events(Rel *rel, const Operation *operation)
{
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	Datum		keys[2] = {Int64GetDatum(operation->ledger),
	UUIDPGetDatum(&operation->id)};
	RelScan    *scan = rel_scan_begin(rel, "continuation_data_pkey", snapshot,
									  2, keys);
	int			count = 0;

	while (rel_scan_next(scan, slot))
		count++;
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	return count;
}

static void
insert_row(const Operation *operation, const char *kind, TimestampTz now)
{
	Rel		   *rel = rel_open(REL_CONTINUATION, RowExclusiveLock);
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};
	int			before = 0;

	/* Only doubt can have come before. */
	if (operation->on_doubt != NULL)
		before = count_events(rel, operation);
	values[COL_LEDGER] = Int64GetDatum(operation->ledger);
	values[COL_OPERATION] = UUIDPGetDatum(&operation->id);
	values[COL_EVENT] = Int32GetDatum(before + 1);
	values[COL_KIND] = CStringGetTextDatum(kind);
	values[COL_STATE] = CStringGetTextDatum(state_waiting);
	values[COL_ATTEMPTS] = Int32GetDatum(0);
	values[COL_LOST] = Int32GetDatum(0);
	nulls[COL_RUNNING_SINCE] = true;
	values[COL_NEXT_TRY_AT] = TimestampTzGetDatum(now);
	nulls[COL_LAST_ERROR] = true;
	values[COL_CREATED_AT] = TimestampTzGetDatum(now);
	nulls[COL_ENDED_AT] = true;
	rel_insert(rel, values, nulls);
	rel_close(rel);
}

void
continuation_write(const Operation *operation, uint32 actions,
				   TimestampTz now)
{
	bool		doubt = (actions & OP_DO_DOUBT) && operation->on_doubt != NULL;
	bool		ended = (actions & OP_DO_CONTINUE) &&
		operation->on_complete != NULL;

	Assert(!(doubt && ended));
	if (!doubt && !ended)
		return;
	insert_row(operation, doubt ? kind_doubt : kind_complete, now);
	wake_at_commit(DT_NOBEGIN);
	written = true;
}

bool
continuation_is_due(void)
{
	return written;
}

/* ---- reading ---------------------------------------------------------- */

static void
read_row(Continuation *c, TupleTableSlot *slot)
{
	Datum	   *values = slot->tts_values;

	slot_getallattrs(slot);
	memset(c, 0, sizeof(Continuation));
	c->key.ledger = DatumGetInt64(values[COL_LEDGER]);
	c->key.operation = *DatumGetUUIDP(values[COL_OPERATION]);
	c->key.event = DatumGetInt32(values[COL_EVENT]);
	strlcpy(c->kind, TextDatumGetCString(values[COL_KIND]), sizeof(c->kind));
	strlcpy(c->state, TextDatumGetCString(values[COL_STATE]),
			sizeof(c->state));
	c->attempts = DatumGetInt32(values[COL_ATTEMPTS]);
	c->lost = DatumGetInt32(values[COL_LOST]);
	c->running = !slot->tts_isnull[COL_RUNNING_SINCE];
	c->next_try = slot->tts_isnull[COL_NEXT_TRY_AT] ? DT_NOEND :
		DatumGetTimestampTz(values[COL_NEXT_TRY_AT]);
}

static void
set_keys(const ContinuationKey *key, Datum *keys)
{
	keys[0] = Int64GetDatum(key->ledger);
	keys[1] = UUIDPGetDatum(&key->operation);
	keys[2] = Int32GetDatum(key->event);
}

/* A row opened to be changed. */
typedef struct Row
{
	Rel		   *rel;
	TupleTableSlot *slot;
	Continuation c;
	Datum		values[COL_COUNT];
	bool		nulls[COL_COUNT];
	bool		replace[COL_COUNT];
} Row;

static void
row_close(Row *row)
{
	ExecDropSingleTupleTableSlot(row->slot);
	rel_close(row->rel);
}

/* False, with nothing open, if somebody has it or it is not waiting. */
static bool
row_take(Row *row, const ContinuationKey *key)
{
	Snapshot	snapshot;
	Datum		keys[3];
	bool		taken;

	memset(row, 0, sizeof(Row));
	set_keys(key, keys);
	row->rel = rel_open(REL_CONTINUATION, RowExclusiveLock);
	row->slot = rel_make_slot(row->rel);
	snapshot = rel_newest_snapshot();
	taken = rel_fetch(row->rel, snapshot, 3, keys, row->slot) &&
		rel_lock_if_free(row->rel, row->slot, LockTupleNoKeyExclusive);
	rel_forget_snapshot(snapshot);
	if (taken)
	{
		read_row(&row->c, row->slot);
		taken = strcmp(row->c.state, state_waiting) == 0;
	}
	if (!taken)
		row_close(row);
	return taken;
}

/* The same, but waits for whoever has it; any state. */
static void
row_await(Row *row, const ContinuationKey *key)
{
	Datum		keys[3];

	memset(row, 0, sizeof(Row));
	set_keys(key, keys);
	row->rel = rel_open(REL_CONTINUATION, RowExclusiveLock);
	row->slot = rel_make_slot(row->rel);
	if (!rel_lock_row(row->rel, 3, keys, LockTupleNoKeyExclusive, row->slot))
		elog(ERROR, "continuation %d of operation %s is gone", key->event,
			 clock_id_text(&key->operation));
	read_row(&row->c, row->slot);
}

/* ---- changing --------------------------------------------------------- */

static void
set_column(Row *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
	row->replace[column] = true;
}

static void
clear_column(Row *row, int column)
{
	row->nulls[column] = row->replace[column] = true;
}

static void
set_error(Row *row, const char *error)
{
	int			length = pg_mbcliplen(error, strlen(error), ERROR_MAX_BYTES);

	set_column(row, COL_LAST_ERROR,
			   PointerGetDatum(cstring_to_text_with_len(error, length)));
}

static void
set_ended(Row *row, const char *state)
{
	set_column(row, COL_STATE, CStringGetTextDatum(state));
	set_column(row, COL_ENDED_AT, TimestampTzGetDatum(clock_read()));
	clear_column(row, COL_NEXT_TRY_AT);
	clear_column(row, COL_RUNNING_SINCE);
}

static void
park(Row *row, const char *error)
{
	set_ended(row, state_parked);
	set_error(row, error);
	ereport(LOG,
			(errmsg("pg_teller parked %s of operation %s of ledger %lld",
					row->c.kind, clock_id_text(&row->c.key.operation),
					(long long) row->c.key.ledger),
			 errdetail_log("%s", error)));
}

/* Writes the row and closes it. */
static void
row_write(Row *row)
{
	rel_update(row->rel, row->slot, row->values, row->nulls, row->replace);
	row_close(row);
	CommandCounterIncrement();
}

/* Full jitter: anywhere between now and a bound that doubles. */
static int64
backoff_us(int attempts)
{
	int64		bound = (int64) teller_backoff_base_ms <<
		Min(Max(attempts - 1, 0), 20);

	bound = Min(bound, teller_backoff_max_ms) * MS_US;
	return (int64) (bound * pg_prng_double(&pg_global_prng_state));
}

static bool
claim(Row *row)
{
	TimestampTz now = clock_read();
	Continuation *c = &row->c;

	if (c->running)
	{
		set_column(row, COL_LOST, Int32GetDatum(++c->lost));
		set_error(row, "the process that ran it ended");
	}
	if (c->lost >= LOST_MAX)
	{
		park(row, "the process that ran it ended, each time");
		return false;
	}
	set_column(row, COL_ATTEMPTS, Int32GetDatum(++c->attempts));
	set_column(row, COL_RUNNING_SINCE, TimestampTzGetDatum(now));

	/* Should it not come back.  While it runs, its row is locked. */
	set_column(row, COL_NEXT_TRY_AT,
			   TimestampTzGetDatum(now + backoff_us(c->attempts)));
	return true;
}

bool
continuation_claim(const ContinuationKey *key, Continuation *c)
{
	Row			row;
	bool		claimed;

	if (!row_take(&row, key))
		return false;
	if (row.c.next_try > clock_read())
	{
		row_close(&row);
		return false;
	}
	claimed = claim(&row);
	*c = row.c;
	row_write(&row);
	return claimed;
}

bool
continuation_done(const ContinuationKey *key, int attempts, Continuation *c)
{
	Row			row;

	if (!row_take(&row, key))
		return false;
	if (attempts > 0 ? row.c.attempts != attempts :
		row.c.next_try > clock_read())
	{
		row_close(&row);
		return false;
	}
	if (attempts == 0)
		set_column(&row, COL_ATTEMPTS, Int32GetDatum(++row.c.attempts));
	set_ended(&row, state_done);
	*c = row.c;
	row_write(&row);
	return true;
}

void
continuation_failed(const Continuation *c, const ContinuationFailure *failure)
{
	Row			row;
	int			attempts = failure->counts ? c->attempts : c->attempts - 1;
	int64		wait_us = failure->counts ? backoff_us(c->attempts) : 0;

	row_await(&row, &c->key);
	if (strcmp(row.c.state, state_waiting) != 0 ||
		row.c.attempts > c->attempts)
	{
		row_close(&row);
		return;
	}
	set_column(&row, COL_ATTEMPTS, Int32GetDatum(attempts));
	if (failure->park ||
		(failure->counts && attempts >= teller_callback_max_attempts))
		park(&row, failure->error);
	else
	{
		set_error(&row, failure->error);
		set_column(&row, COL_NEXT_TRY_AT,
				   TimestampTzGetDatum(clock_read() + wait_us));
		clear_column(&row, COL_RUNNING_SINCE);
	}
	row_write(&row);
}

/* ---- looking ---------------------------------------------------------- */

/* One look. */
typedef struct Look
{
	Rel		   *rel;
	TupleTableSlot *slot;
	Snapshot	snapshot;
	TimestampTz now;
	TimestampTz next;
	ContinuationKey *keys;
	int			count;
	int			max;
	int64		last;			/* the last ledger that was looked at */
	bool		any;			/* there was one */
} Look;

/*
 * What is due in the ledger that a scan comes to first, unless that is beyond
 * upto.  The scan is in the order of ledgers, then of times.  False if there
 * is no such ledger.
 */
static bool
look_at_ledger(Look *look, RelScan *scan, const int64 *upto, int64 *ledger)
{
	int			taken = 0;
	bool		any = false;
	Continuation c;

	while (rel_scan_next(scan, look->slot))
	{
		read_row(&c, look->slot);
		if (any ? c.key.ledger != *ledger :
			upto != NULL && c.key.ledger > *upto)
			break;
		any = true;
		*ledger = c.key.ledger;
		if (c.next_try > look->now || taken == LOOK_PER_LEDGER ||
			look->count == look->max)
		{
			look->next = Min(look->next, c.next_try);
			break;
		}
		look->keys[look->count++] = c.key;
		taken++;
	}
	rel_scan_end(scan);
	return any;
}

/* The ledgers above after (NULL: from the first on), up to upto. */
static void
look_along(Look *look, const int64 *after, const int64 *upto)
{
	int64		ledger = after == NULL ? 0 : *after;
	bool		begun = after != NULL;

	while (look->count < look->max)
	{
		RelScan    *scan = begun ?
			rel_scan_after(look->rel, "continuation_due", look->snapshot,
						   ledger) :
			rel_scan_begin(look->rel, "continuation_due", look->snapshot, 0,
						   NULL);

		CHECK_FOR_INTERRUPTS();
		if (!look_at_ledger(look, scan, upto, &ledger))
			return;
		look->last = ledger;
		begun = look->any = true;
	}
	look->next = Min(look->next, look->now);
}

/* From where the last look ended, all the way round. */
static void
look_at_all(Look *look)
{
	static int64 last = 0;
	static bool is_set = false;

	if (is_set)
		look_along(look, &last, NULL);
	look_along(look, NULL, is_set ? &last : NULL);
	if (look->any)
	{
		last = look->last;
		is_set = true;
	}
}

int
continuation_look(const int64 *ledger, ContinuationKey *keys, int max,
				  TimestampTz *next)
{
	Look		look = {.keys = keys,.max = max,.next = DT_NOEND};

	written = false;
	look.rel = rel_open(REL_CONTINUATION, AccessShareLock);
	look.slot = rel_make_slot(look.rel);
	look.now = clock_read();
	look.snapshot = rel_newest_snapshot();
	if (ledger == NULL)
		look_at_all(&look);
	else
	{
		Datum		key = Int64GetDatum(*ledger);
		int64		same;

		(void) look_at_ledger(&look,
							  rel_scan_begin(look.rel, "continuation_due",
											 look.snapshot, 1, &key), NULL,
							  &same);
	}
	rel_forget_snapshot(look.snapshot);
	ExecDropSingleTupleTableSlot(look.slot);
	rel_close(look.rel);
	*next = look.next;
	return look.count;
}

/* ---- teller.retry_continuation ---------------------------------------- */

/* The owner's members, or those of the role that submitted the operation. */
static void
require_submitter(int64 ledger, const pg_uuid_t *id)
{
	Rel		   *rel = rel_open(REL_OPERATION, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Operation	operation;

	if (!operation_peek(rel, ledger, id, slot, &operation))
		operation_raise_missing(ledger, id);
	if (!access_is_owner() &&
		!has_privs_of_role(GetUserId(), operation.submitter))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for the continuations of operation %s",
						clock_id_text(id)),
				 errdetail("Only members of the role that submitted it, or of the role that owns pg_teller, may do this.")));
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
}

static const char *
read_kind(FunctionCallInfo fcinfo, int arg)
{
	char	   *kind = text_to_cstring(PG_GETARG_TEXT_PP(arg));

	if (strcmp(kind, kind_complete) != 0 && strcmp(kind, kind_doubt) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("kind must be 'on_complete' or 'on_doubt', not \"%s\"",
						kind)));
	return kind;
}

/* Put one back if it is parked. */
static bool
retry_row(const ContinuationKey *key)
{
	Row			row;

	row_await(&row, key);
	if (strcmp(row.c.state, state_parked) != 0)
	{
		row_close(&row);
		return false;
	}
	set_column(&row, COL_STATE, CStringGetTextDatum(state_waiting));
	set_column(&row, COL_ATTEMPTS, Int32GetDatum(0));
	set_column(&row, COL_LOST, Int32GetDatum(0));
	set_column(&row, COL_NEXT_TRY_AT, TimestampTzGetDatum(clock_read()));
	clear_column(&row, COL_ENDED_AT);
	row_write(&row);
	return true;
}

/* The events of an operation of one kind, in their order. */
static List *
list_events(int64 ledger, const pg_uuid_t *id, const char *kind)
{
	Rel		   *rel = rel_open(REL_CONTINUATION, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	Datum		keys[2] = {Int64GetDatum(ledger), UUIDPGetDatum(id)};
	RelScan    *scan = rel_scan_begin(rel, "continuation_data_pkey", snapshot,
									  2, keys);
	List	   *events = NIL;
	Continuation c;

	while (rel_scan_next(scan, slot))
	{
		read_row(&c, slot);
		if (strcmp(c.kind, kind) == 0)
			events = lappend_int(events, c.key.event);
	}
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return events;
}

PG_FUNCTION_INFO_V1(teller_retry_continuation);

/* teller.retry_continuation: see its COMMENT. */
Datum
teller_retry_continuation(PG_FUNCTION_ARGS)
{
	ContinuationKey key = {0};
	const char *kind;
	ListCell   *cell;
	int			retried = 0;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "operation");
	input_require(fcinfo, 2, "kind");
	key.ledger = PG_GETARG_INT64(0);
	key.operation = *PG_GETARG_UUID_P(1);
	access_require(key.ledger, ACCESS_OPERATE);
	kind = read_kind(fcinfo, 2);
	require_submitter(key.ledger, &key.operation);
	foreach(cell, list_events(key.ledger, &key.operation, kind))
	{
		key.event = lfirst_int(cell);
		if (retry_row(&key))
			retried++;
	}
	if (retried == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("operation %s of ledger %lld has no parked %s",
						clock_id_text(&key.operation), (long long) key.ledger,
						kind),
				 errhint("See teller.continuation.")));
	wake_at_commit(DT_NOBEGIN);
	PG_RETURN_INT32(retried);
}
