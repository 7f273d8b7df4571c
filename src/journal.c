/*-------------------------------------------------------------------------
 *
 * journal.c
 *	  The append-only record of every movement and hold event.
 *
 * Nothing in pg_teller updates or deletes a row of the journal.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "feed_epoch.h"
#include "journal.h"
#include "journal_row.h"
#include "rel.h"
#include "stats.h"

/* From so many rows on it pays to sort their index entries. */
#define JOURNAL_BULK_ROWS 8

static void
set_uuid(Datum *values, bool *nulls, int column, const pg_uuid_t *id)
{
	nulls[column] = id == NULL;
	values[column] = UUIDPGetDatum(id);
}

/*
 * Version and balances of one side, in the columns from first on; and its
 * epoch.
 */
static void
set_side(Datum *values, bool *nulls, int first, int epoch,
		 const JournalSide *side, int scale)
{
	bool		versioned = side->touched && !side->hot;

	nulls[epoch] = !side->touched || !side->has_epoch;
	values[epoch] = Int64GetDatum(side->epoch);
	nulls[first] = nulls[first + 1] = nulls[first + 2] = !versioned;
	if (!versioned)
		return;
	values[first] = Int64GetDatum(side->version);
	values[first + 1] = AmountGetDatum(side->posted, scale);
	values[first + 2] = AmountGetDatum(side->pending, scale);
}

/* values and nulls are all zero. */
static void
form_row(const JournalRow *row, int64 tx, Datum *values, bool *nulls)
{
	values[COL_LEDGER] = Int64GetDatum(row->ledger);
	set_uuid(values, nulls, COL_ID, &row->id);
	values[COL_KIND] = CStringGetTextDatum(row->kind);
	values[COL_DEBIT_ACCOUNT] = Int64GetDatum(row->debit.account);
	values[COL_CREDIT_ACCOUNT] = Int64GetDatum(row->credit.account);
	values[COL_AMOUNT] = AmountGetDatum(row->amount, row->scale);
	set_side(values, nulls, COL_DEBIT_VERSION, COL_DEBIT_EPOCH, &row->debit,
			 row->scale);
	set_side(values, nulls, COL_CREDIT_VERSION, COL_CREDIT_EPOCH, &row->credit,
			 row->scale);
	set_uuid(values, nulls, COL_HOLD_ID, row->hold_id);
	set_uuid(values, nulls, COL_REVERSES, row->reverses);
	set_uuid(values, nulls, COL_BATCH_ID, row->batch_id);
	set_uuid(values, nulls, COL_OPERATION_ID, row->operation_id);
	values[COL_EFFECTIVE_AT] = TimestampTzGetDatum(row->effective_at);
	values[COL_RECORDED_AT] = TimestampTzGetDatum(row->recorded_at);
	nulls[COL_METADATA] = row->metadata == NULL;
	values[COL_METADATA] = JsonbPGetDatum(row->metadata);
	values[COL_ENDS_HOLD] = BoolGetDatum(row->ends_hold);
	values[COL_TX] = Int64GetDatum(tx);
}

/* One row or two, which is what a call that is no batch writes. */
static void
write_few(Rel *rel, const JournalRow *rows, int count, int64 tx)
{
	for (int i = 0; i < count; i++)
	{
		Datum		values[COL_COUNT] = {0};
		bool		nulls[COL_COUNT] = {0};

		form_row(&rows[i], tx, values, nulls);
		rel_insert(rel, values, nulls);
	}
}

static void
write_many(Rel *rel, const JournalRow *rows, int count, int64 tx)
{
	RelBulk    *bulk = rel_bulk_begin(rel, count);
	MemoryContext old = MemoryContextSwitchTo(rel_bulk_memory(bulk));

	for (int i = 0; i < count; i++)
	{
		Datum		values[COL_COUNT] = {0};
		bool		nulls[COL_COUNT] = {0};

		form_row(&rows[i], tx, values, nulls);
		rel_bulk_add(bulk, values, nulls);
	}
	MemoryContextSwitchTo(old);
	rel_bulk_end(bulk);
}

void
journal_write(const JournalRow *rows, int count)
{
	Rel		   *rel = rel_open(REL_JOURNAL, RowExclusiveLock);
	int64		tx = feed_epoch_tx();

	if (count < JOURNAL_BULK_ROWS)
		write_few(rel, rows, count, tx);
	else
		write_many(rel, rows, count, tx);
	rel_close(rel);
	stats_note_movements(count);
}

/* ---- reading ---------------------------------------------------------- */

static const pg_uuid_t *
get_uuid(TupleTableSlot *slot, int column)
{
	pg_uuid_t  *id;

	if (slot->tts_isnull[column])
		return NULL;
	id = palloc(sizeof(pg_uuid_t));
	*id = *DatumGetUUIDP(slot->tts_values[column]);
	return id;
}

static Amount
get_amount(TupleTableSlot *slot, int column, int *scale)
{
	return amount_stored(slot->tts_values[column], scale);
}

static void
get_side(TupleTableSlot *slot, int account, int first, int epoch,
		 JournalSide *side)
{
	int			ignored;

	side->account = DatumGetInt64(slot->tts_values[account]);
	side->has_epoch = !slot->tts_isnull[epoch];
	side->epoch = DatumGetInt64(slot->tts_values[epoch]);
	side->hot = side->has_epoch && slot->tts_isnull[first];
	side->touched = side->hot || !slot->tts_isnull[first];
	if (slot->tts_isnull[first])
		return;
	side->version = DatumGetInt64(slot->tts_values[first]);
	side->posted = get_amount(slot, first + 1, &ignored);
	side->pending = get_amount(slot, first + 2, &ignored);
}

static void
journal_read(JournalRow *row, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	memset(row, 0, sizeof(JournalRow));
	row->ledger = DatumGetInt64(slot->tts_values[COL_LEDGER]);
	row->id = *DatumGetUUIDP(slot->tts_values[COL_ID]);
	row->kind = TextDatumGetCString(slot->tts_values[COL_KIND]);
	get_side(slot, COL_DEBIT_ACCOUNT, COL_DEBIT_VERSION, COL_DEBIT_EPOCH,
			 &row->debit);
	get_side(slot, COL_CREDIT_ACCOUNT, COL_CREDIT_VERSION, COL_CREDIT_EPOCH,
			 &row->credit);
	row->amount = get_amount(slot, COL_AMOUNT, &row->scale);
	row->hold_id = get_uuid(slot, COL_HOLD_ID);
	row->reverses = get_uuid(slot, COL_REVERSES);
	row->batch_id = get_uuid(slot, COL_BATCH_ID);
	row->operation_id = get_uuid(slot, COL_OPERATION_ID);
	row->effective_at = DatumGetTimestampTz(slot->tts_values[COL_EFFECTIVE_AT]);
	row->recorded_at = DatumGetTimestampTz(slot->tts_values[COL_RECORDED_AT]);
	row->ends_hold = DatumGetBool(slot->tts_values[COL_ENDS_HOLD]);
}

JournalRow *
journal_find(int64 ledger, const pg_uuid_t *id)
{
	Rel		   *rel = rel_open(REL_JOURNAL, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Datum		keys[2] = {Int64GetDatum(ledger), UUIDPGetDatum(id)};
	JournalRow *row = NULL;

	if (rel_fetch(rel, snapshot, 2, keys, slot))
	{
		row = palloc(sizeof(JournalRow));
		journal_read(row, slot);
	}
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return row;
}

JournalRow *
journal_batch(int64 ledger, const pg_uuid_t *batch, int *count)
{
	Rel		   *rel = rel_open(REL_JOURNAL, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	JournalRow *rows = NULL;

	/* Their ids follow each other; see clock.h. */
	for (*count = 0;; (*count)++)
	{
		pg_uuid_t	id;
		Datum		keys[2] = {Int64GetDatum(ledger), UUIDPGetDatum(&id)};

		clock_batch_member(&id, batch, *count + 1);
		if (!rel_fetch(rel, snapshot, 2, keys, slot))
			break;
		if ((*count & (*count - 1)) == 0)
			rows = rows == NULL ? palloc(sizeof(JournalRow)) :
				repalloc(rows, sizeof(JournalRow) * 2 * *count);
		journal_read(&rows[*count], slot);

		/* The id of one of its rows leads here too, and is no batch. */
		if (rows[*count].batch_id == NULL ||
			memcmp(rows[*count].batch_id, batch, sizeof(pg_uuid_t)) != 0)
			break;
	}
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return rows;
}

Amount
journal_reversed(int64 ledger, const pg_uuid_t *id)
{
	Rel		   *rel = rel_open(REL_JOURNAL, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Datum		keys[2] = {Int64GetDatum(ledger), UUIDPGetDatum(id)};
	RelScan    *scan = rel_scan_begin(rel, "journal_reverses", snapshot, 2,
									  keys);
	Amount		sum = 0;

	while (rel_scan_next(scan, slot))
	{
		JournalRow	row;

		journal_read(&row, slot);
		sum = amount_add(sum, row.amount);
	}
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return sum;
}
