/*-------------------------------------------------------------------------
 *
 * remote_memo.c
 *	  The remote's answers: one row for each memo, written once.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "rel.h"
#include "remote.h"

/* The columns of teller.memo. */
enum
{
	COL_MEMO,
	COL_ORIGIN,
	COL_CALLER,
	COL_LEDGER,
	COL_REQUEST,
	COL_STATUS,
	COL_REFERENCE,
	COL_REASON,
	COL_AMOUNT,
	COL_ASSET,
	COL_EXECUTED_AT,
	COL_COUNT
};

static char *
text_or_null(TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column] ? NULL :
		TextDatumGetCString(slot->tts_values[column]);
}

/* Copies: the slot does not outlive the look at the table. */
static void
read_row(TupleTableSlot *slot, RemoteMemo *row)
{
	pg_uuid_t  *origin = palloc(sizeof(pg_uuid_t));

	slot_getallattrs(slot);
	memset(row, 0, sizeof(RemoteMemo));
	*origin = *DatumGetUUIDP(slot->tts_values[COL_ORIGIN]);
	row->memo = DatumGetByteaPCopy(slot->tts_values[COL_MEMO]);
	row->origin = origin;
	row->caller = DatumGetObjectId(slot->tts_values[COL_CALLER]);
	row->has_ledger = !slot->tts_isnull[COL_LEDGER];
	if (row->has_ledger)
		row->ledger = DatumGetInt64(slot->tts_values[COL_LEDGER]);
	if (!slot->tts_isnull[COL_REQUEST])
		row->request = DatumGetJsonbPCopy(slot->tts_values[COL_REQUEST]);
	row->answer.status = text_or_null(slot, COL_STATUS);
	row->answer.reference = text_or_null(slot, COL_REFERENCE);
	row->answer.reason = text_or_null(slot, COL_REASON);
	if (!slot->tts_isnull[COL_AMOUNT])
		row->answer.amount = DatumGetNumericCopy(slot->tts_values[COL_AMOUNT]);
	row->answer.asset = text_or_null(slot, COL_ASSET);
	row->answer.has_executed_at = true;
	row->answer.executed_at =
		DatumGetTimestampTz(slot->tts_values[COL_EXECUTED_AT]);
	row->answer.replayed = true;
}

bool
remote_memo_await(bytea *memo, RemoteMemo *stored)
{
	Rel		   *rel = rel_open(REL_MEMO, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[1] = {PointerGetDatum(memo)};
	bool		found = rel_await_row(rel, 1, keys, slot);

	if (found)
		read_row(slot, stored);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return found;
}

/*
 * Not the snapshot of rel_newest_snapshot: at REPEATABLE READ that one is as
 * old as the transaction, and the question is what is so now.
 */
bool
remote_memo_see(bytea *memo, RemoteMemo *stored)
{
	Rel		   *rel = rel_open(REL_MEMO, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Datum		keys[1] = {PointerGetDatum(memo)};
	bool		found = rel_fetch(rel, snapshot, 1, keys, slot);

	if (found)
		read_row(slot, stored);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return found;
}

static void
set_text(Datum *values, bool *nulls, int column, const char *value)
{
	nulls[column] = value == NULL;
	if (value != NULL)
		values[column] = CStringGetTextDatum(value);
}

bool
remote_memo_store(const RemoteMemo *row)
{
	Rel		   *rel = rel_open(REL_MEMO, RowExclusiveLock);
	const RemoteAnswer *answer = &row->answer;
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};
	bool		stored;

	Assert(answer->has_executed_at && !answer->replayed);
	values[COL_MEMO] = PointerGetDatum(row->memo);
	values[COL_ORIGIN] = UUIDPGetDatum(row->origin);
	values[COL_CALLER] = ObjectIdGetDatum(row->caller);
	nulls[COL_LEDGER] = !row->has_ledger;
	values[COL_LEDGER] = Int64GetDatum(row->ledger);
	nulls[COL_REQUEST] = row->request == NULL;
	values[COL_REQUEST] = JsonbPGetDatum(row->request);
	set_text(values, nulls, COL_STATUS, answer->status);
	set_text(values, nulls, COL_REFERENCE, answer->reference);
	set_text(values, nulls, COL_REASON, answer->reason);
	nulls[COL_AMOUNT] = answer->amount == NULL;
	values[COL_AMOUNT] = NumericGetDatum(answer->amount);
	set_text(values, nulls, COL_ASSET, answer->asset);
	values[COL_EXECUTED_AT] = TimestampTzGetDatum(answer->executed_at);
	stored = rel_insert_if_absent(rel, values, nulls);
	rel_close(rel);
	return stored;
}
