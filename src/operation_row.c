/*-------------------------------------------------------------------------
 *
 * operation_row.c
 *	  The rows of operations, of their attempts, and of findings.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "continuation.h"
#include "errcodes.h"
#include "operation.h"

/* The columns of teller.attempt_data. */
enum
{
	ATTEMPT_LEDGER,
	ATTEMPT_OPERATION,
	ATTEMPT_NUMBER,
	ATTEMPT_VERB,
	ATTEMPT_MEMO,
	ATTEMPT_WORKER,
	ATTEMPT_STARTED_AT,
	ATTEMPT_ENDED_AT,
	ATTEMPT_OUTCOME,
	ATTEMPT_DETAIL,
	ATTEMPT_COLUMNS
};

/* The columns of teller.finding_data. */
enum
{
	FINDING_LEDGER,
	FINDING_ID,
	FINDING_OPERATION,
	FINDING_KIND,
	FINDING_DETAIL,
	FINDING_ROLE,
	FINDING_FOUND_AT,
	FINDING_COLUMNS
};

/* What a late outcome may add to the detail of an attempt. */
#define DETAIL_MAX_BYTES 4096

/* ---- operations ------------------------------------------------------- */

static OpState
state_from_datum(Datum value)
{
	char	   *name = TextDatumGetCString(value);
	OpState		state;

	if (!operation_state_from_name(name, &state))
		elog(ERROR, "unknown operation state \"%s\"", name);
	return state;
}

static OpReason
reason_from_datum(Datum value, bool isnull)
{
	char	   *name;

	if (isnull)
		return OP_REASON_NONE;
	name = TextDatumGetCString(value);
	for (int i = OP_REASON_NONE + 1; i < OP_REASON_COUNT; i++)
		if (strcmp(operation_reason_name((OpReason) i), name) == 0)
			return (OpReason) i;
	elog(ERROR, "unknown operation reason \"%s\"", name);
	return OP_REASON_NONE;
}

/* The transition function counts in microseconds too. */
static int64
time_column(TupleTableSlot *slot, int column, int64 otherwise)
{
	return slot->tts_isnull[column] ? otherwise :
		DatumGetTimestampTz(slot->tts_values[column]);
}

static void
read_facts(OpFacts *facts, TupleTableSlot *slot)
{
	Datum	   *values = slot->tts_values;

	memset(facts, 0, sizeof(OpFacts));
	facts->state = state_from_datum(values[OPERATION_STATE]);
	facts->reason = reason_from_datum(values[OPERATION_REASON],
									  slot->tts_isnull[OPERATION_REASON]);
	facts->dirty = DatumGetBool(values[OPERATION_DIRTY]);
	facts->cancel_requested = DatumGetBool(values[OPERATION_CANCEL_REQUESTED]);
	facts->found_nothing = DatumGetBool(values[OPERATION_FOUND_NOTHING]);
	facts->attempts = DatumGetInt32(values[OPERATION_ATTEMPTS]);
	facts->sends = DatumGetInt32(values[OPERATION_SENDS]);
	facts->rechecks = DatumGetInt32(values[OPERATION_RECHECKS]);
	facts->next_try = time_column(slot, OPERATION_NEXT_TRY_AT, OP_NEVER);
	facts->not_after = time_column(slot, OPERATION_NOT_AFTER, 0);
	facts->expires_at = time_column(slot, OPERATION_EXPIRES_AT, 0);
	facts->first_sent_at =
		time_column(slot, OPERATION_FIRST_SENT_AT,
					DatumGetTimestampTz(values[OPERATION_CREATED_AT]));
}

static char *
text_column(TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column] ? NULL :
		TextDatumGetCString(slot->tts_values[column]);
}

/* Written by submit, which keeps it within an hour. */
static int
timeout_from_datum(Datum value)
{
	Interval   *timeout = DatumGetIntervalP(value);

	return (int) (timeout->time / 1000);
}

void
operation_read(Operation *operation, TupleTableSlot *slot)
{
	Datum	   *values = slot->tts_values;
	bytea	   *memo;

	slot_getallattrs(slot);
	memset(operation, 0, sizeof(Operation));
	operation->ledger = DatumGetInt64(values[OPERATION_LEDGER]);
	operation->id = *DatumGetUUIDP(values[OPERATION_ID]);
	operation->account = DatumGetInt64(values[OPERATION_ACCOUNT]);
	operation->settlement_account =
		DatumGetInt64(values[OPERATION_SETTLEMENT_ACCOUNT]);
	operation->server = *DatumGetName(values[OPERATION_SERVER]);
	memo = DatumGetByteaPP(values[OPERATION_MEMO]);
	if (VARSIZE_ANY_EXHDR(memo) != MEMO_BYTES)
		elog(ERROR, "operation %s has no memo", clock_id_text(&operation->id));
	memcpy(operation->memo, VARDATA_ANY(memo), MEMO_BYTES);
	operation->submitter = DatumGetObjectId(values[OPERATION_SUBMITTER]);
	operation->hold = *DatumGetUUIDP(values[OPERATION_HOLD]);
	if (!slot->tts_isnull[OPERATION_ATTEMPT_TIMEOUT])
		operation->attempt_timeout_ms =
			timeout_from_datum(values[OPERATION_ATTEMPT_TIMEOUT]);
	operation->last_attempt = DatumGetInt32(values[OPERATION_LAST_ATTEMPT]);
	operation->queues =
		strcmp(TextDatumGetCString(values[OPERATION_REENTRANCY]), "queue") == 0;
	operation->ticket = DatumGetInt64(values[OPERATION_TICKET]);
	operation->on_complete = text_column(slot, OPERATION_ON_COMPLETE);
	operation->on_doubt = text_column(slot, OPERATION_ON_DOUBT);
	read_facts(&operation->facts, slot);
}

bool
operation_peek(Rel *rel, int64 ledger, const pg_uuid_t *id,
			   TupleTableSlot *slot, Operation *operation)
{
	Snapshot	snapshot = rel_newest_snapshot();
	Datum		keys[2] = {Int64GetDatum(ledger), UUIDPGetDatum(id)};
	bool		found = rel_fetch(rel, snapshot, 2, keys, slot);

	if (found)
		operation_read(operation, slot);
	rel_forget_snapshot(snapshot);
	return found;
}

bool
operation_next_ledger(Rel *rel, const char *index_name, Snapshot snapshot,
					  int64 *ledger, bool *is_set)
{
	TupleTableSlot *slot = rel_make_slot(rel);
	RelScan    *scan = *is_set ?
		rel_scan_after(rel, index_name, snapshot, *ledger) :
		rel_scan_begin(rel, index_name, snapshot, 0, NULL);
	bool		found = rel_scan_next(scan, slot);

	if (found)
	{
		slot_getallattrs(slot);
		*ledger = DatumGetInt64(slot->tts_values[OPERATION_LEDGER]);
		*is_set = true;
	}
	rel_scan_end(scan);
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

void
operation_raise_missing(int64 ledger, const pg_uuid_t *id)
{
	ereport(ERROR,
			(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
			 errmsg("operation %s of ledger %lld does not exist",
					clock_id_text(id), (long long) ledger)));
}

/* ---- writing an operation --------------------------------------------- */

/* The columns of a row that are to be replaced. */
typedef struct Update
{
	Datum		values[OPERATION_COLUMNS];
	bool		nulls[OPERATION_COLUMNS];
	bool		replace[OPERATION_COLUMNS];
} Update;

static void
set_column(Update *update, int column, Datum value)
{
	update->values[column] = value;
	update->replace[column] = true;
}

static void
set_time(Update *update, int column, int64 at, bool isnull)
{
	update->values[column] = TimestampTzGetDatum(at);
	update->nulls[column] = isnull;
	update->replace[column] = true;
}

/* NULL leaves the column as it is. */
static void
set_text(Update *update, int column, const char *text)
{
	if (text != NULL)
		set_column(update, column, CStringGetTextDatum(text));
}

static void
set_step(Update *update, const OpStep *step, TimestampTz now)
{
	const char *reason = operation_reason_name(step->reason);

	set_text(update, OPERATION_STATE, operation_state_name(step->state));
	set_text(update, OPERATION_REASON, reason);
	set_column(update, OPERATION_DIRTY, BoolGetDatum(step->dirty));
	set_column(update, OPERATION_ATTEMPTS, Int32GetDatum(step->attempts));
	set_column(update, OPERATION_SENDS, Int32GetDatum(step->sends));
	set_column(update, OPERATION_RECHECKS, Int32GetDatum(step->rechecks));
	set_column(update, OPERATION_FOUND_NOTHING,
			   BoolGetDatum(step->found_nothing));
	set_time(update, OPERATION_NEXT_TRY_AT, step->next_try,
			 step->next_try == OP_NEVER);
	set_time(update, OPERATION_FIRST_SENT_AT, step->first_sent_at,
			 step->sends == 0);
	if (operation_state_is_terminal(step->state))
		set_time(update, OPERATION_ENDED_AT, now, false);
}

void
operation_write(Rel *rel, TupleTableSlot *slot, const Operation *operation,
				const OpStep *step, const OperationNotes *notes)
{
	Update		update = {0};

	Assert(!operation_state_is_terminal(operation->facts.state));
	set_step(&update, step, notes->now);
	set_column(&update, OPERATION_LAST_ATTEMPT,
			   Int32GetDatum(operation->last_attempt));
	if (notes->cancel_requested)
		set_column(&update, OPERATION_CANCEL_REQUESTED, BoolGetDatum(true));
	set_text(&update, OPERATION_REFERENCE, notes->reference);
	set_text(&update, OPERATION_LAST_ERROR, notes->error);
	if (notes->response != NULL)
		set_column(&update, OPERATION_RESPONSE,
				   DirectFunctionCall1(jsonb_in,
									   CStringGetDatum(notes->response)));
	rel_update(rel, slot, update.values, update.nulls, update.replace);
	continuation_write(operation, step->actions, notes->now);
}

/* ---- attempts --------------------------------------------------------- */

const char *
operation_verb_name(OpVerb verb)
{
	static const char *const names[] = {
		[OP_VERB_EXECUTE] = "execute",
		[OP_VERB_LOOKUP] = "lookup",
		[OP_VERB_FENCE] = "fence"
	};

	return names[verb];
}

static Datum
memo_datum(const Operation *operation)
{
	bytea	   *memo = palloc(VARHDRSZ + MEMO_BYTES);

	SET_VARSIZE(memo, VARHDRSZ + MEMO_BYTES);
	memcpy(VARDATA(memo), operation->memo, MEMO_BYTES);
	return PointerGetDatum(memo);
}

void
attempt_begin(const Operation *operation, OpVerb verb,
			  const pg_uuid_t *worker, TimestampTz now)
{
	Rel		   *rel = rel_open(REL_ATTEMPT, RowExclusiveLock);
	Datum		values[ATTEMPT_COLUMNS] = {0};
	bool		nulls[ATTEMPT_COLUMNS] = {0};

	values[ATTEMPT_LEDGER] = Int64GetDatum(operation->ledger);
	values[ATTEMPT_OPERATION] = UUIDPGetDatum(&operation->id);
	values[ATTEMPT_NUMBER] = Int32GetDatum(operation->last_attempt);
	values[ATTEMPT_VERB] = CStringGetTextDatum(operation_verb_name(verb));
	values[ATTEMPT_MEMO] = memo_datum(operation);
	values[ATTEMPT_WORKER] = UUIDPGetDatum(worker);
	values[ATTEMPT_STARTED_AT] = TimestampTzGetDatum(now);
	nulls[ATTEMPT_ENDED_AT] = true;
	nulls[ATTEMPT_OUTCOME] = true;
	nulls[ATTEMPT_DETAIL] = true;
	rel_insert(rel, values, nulls);
	rel_close(rel);
}

static OpVerb
verb_from_datum(Datum value)
{
	char	   *name = TextDatumGetCString(value);

	for (int i = 0; i < OP_VERB_COUNT; i++)
		if (strcmp(operation_verb_name((OpVerb) i), name) == 0)
			return (OpVerb) i;
	elog(ERROR, "unknown verb \"%s\" of an attempt", name);
	return OP_VERB_EXECUTE;
}

bool
attempt_find(const Operation *operation, int number, Attempt *attempt)
{
	Rel		   *rel = rel_open(REL_ATTEMPT, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	Datum		keys[3] = {Int64GetDatum(operation->ledger),
	UUIDPGetDatum(&operation->id), Int32GetDatum(number)};
	bool		found = rel_fetch(rel, snapshot, 3, keys, slot);

	if (found)
	{
		slot_getallattrs(slot);
		attempt->verb = verb_from_datum(slot->tts_values[ATTEMPT_VERB]);
		attempt->outcome = slot->tts_isnull[ATTEMPT_OUTCOME] ? NULL :
			TextDatumGetCString(slot->tts_values[ATTEMPT_OUTCOME]);
	}
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return found;
}

bool
attempt_is_open(const Operation *operation)
{
	Attempt		newest;

	return attempt_find(operation, operation->last_attempt, &newest) &&
		newest.outcome == NULL;
}

/* What an attempt that has ended already learns later. */
static char *
later_detail(TupleTableSlot *slot, const char *outcome, const char *detail)
{
	StringInfoData both;

	initStringInfo(&both);
	if (!slot->tts_isnull[ATTEMPT_DETAIL])
		appendStringInfo(&both, "%s; ",
						 TextDatumGetCString(slot->tts_values[ATTEMPT_DETAIL]));
	if (both.len < DETAIL_MAX_BYTES)
		appendStringInfo(&both, "later: %s%s%s", outcome, detail ? ", " : "",
						 detail ? detail : "");
	return both.data;
}

void
attempt_end(const Operation *operation, int attempt, const char *outcome,
			const char *detail, TimestampTz now)
{
	Rel		   *rel = rel_open(REL_ATTEMPT, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[3] = {Int64GetDatum(operation->ledger),
	UUIDPGetDatum(&operation->id), Int32GetDatum(attempt)};
	Datum		values[ATTEMPT_COLUMNS] = {0};
	bool		nulls[ATTEMPT_COLUMNS] = {0};
	bool		replace[ATTEMPT_COLUMNS] = {0};

	if (!rel_lock_row(rel, 3, keys, LockTupleNoKeyExclusive, slot))
		elog(ERROR, "attempt %d of operation %s is missing", attempt,
			 clock_id_text(&operation->id));
	slot_getallattrs(slot);
	if (slot->tts_isnull[ATTEMPT_ENDED_AT])
	{
		values[ATTEMPT_ENDED_AT] = TimestampTzGetDatum(now);
		values[ATTEMPT_OUTCOME] = CStringGetTextDatum(outcome);
		replace[ATTEMPT_ENDED_AT] = replace[ATTEMPT_OUTCOME] = true;
	}
	else
		detail = later_detail(slot, outcome, detail);
	if (detail != NULL)
	{
		values[ATTEMPT_DETAIL] = CStringGetTextDatum(detail);
		replace[ATTEMPT_DETAIL] = true;
	}
	rel_update(rel, slot, values, nulls, replace);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
}

/* ---- findings --------------------------------------------------------- */

void
finding_write(const Operation *operation, const char *kind,
			  const char *detail, Oid role, TimestampTz now)
{
	Rel		   *rel = rel_open(REL_FINDING, RowExclusiveLock);
	Datum		values[FINDING_COLUMNS] = {0};
	bool		nulls[FINDING_COLUMNS] = {0};

	values[FINDING_LEDGER] = Int64GetDatum(operation->ledger);
	values[FINDING_ID] = UUIDPGetDatum(clock_new_id());
	values[FINDING_OPERATION] = UUIDPGetDatum(&operation->id);
	values[FINDING_KIND] = CStringGetTextDatum(kind);
	values[FINDING_DETAIL] = CStringGetTextDatum(detail);
	values[FINDING_ROLE] = ObjectIdGetDatum(role);
	nulls[FINDING_ROLE] = !OidIsValid(role);
	values[FINDING_FOUND_AT] = TimestampTzGetDatum(now);
	rel_insert(rel, values, nulls);
	rel_close(rel);
}
