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

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "journal.h"
#include "rel.h"

/* The columns of teller.journal. */
enum
{
	COL_LEDGER,
	COL_ID,
	COL_KIND,
	COL_DEBIT_ACCOUNT,
	COL_CREDIT_ACCOUNT,
	COL_AMOUNT,
	COL_DEBIT_VERSION,
	COL_DEBIT_POSTED,
	COL_DEBIT_PENDING,
	COL_CREDIT_VERSION,
	COL_CREDIT_POSTED,
	COL_CREDIT_PENDING,
	COL_HOLD_ID,
	COL_REVERSES,
	COL_BATCH_ID,
	COL_OPERATION_ID,
	COL_EFFECTIVE_AT,
	COL_RECORDED_AT,
	COL_METADATA,
	COL_ENDS_HOLD,
	COL_COUNT
};

static void
set_uuid(Datum *values, bool *nulls, int column, const pg_uuid_t *id)
{
	nulls[column] = id == NULL;
	values[column] = UUIDPGetDatum(id);
}

/* Version and balances of one side; columns from first on. */
static void
set_side(Datum *values, bool *nulls, int first, const JournalSide *side,
		 int scale)
{
	nulls[first] = nulls[first + 1] = nulls[first + 2] = !side->touched;
	if (!side->touched)
		return;
	values[first] = Int64GetDatum(side->version);
	values[first + 1] = AmountGetDatum(side->posted, scale);
	values[first + 2] = AmountGetDatum(side->pending, scale);
}

void
journal_write(const JournalRow *row)
{
	Rel		   *rel = rel_open(REL_JOURNAL, RowExclusiveLock);
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};

	values[COL_LEDGER] = Int64GetDatum(row->ledger);
	set_uuid(values, nulls, COL_ID, &row->id);
	values[COL_KIND] = CStringGetTextDatum(row->kind);
	values[COL_DEBIT_ACCOUNT] = Int64GetDatum(row->debit.account);
	values[COL_CREDIT_ACCOUNT] = Int64GetDatum(row->credit.account);
	values[COL_AMOUNT] = AmountGetDatum(row->amount, row->scale);
	set_side(values, nulls, COL_DEBIT_VERSION, &row->debit, row->scale);
	set_side(values, nulls, COL_CREDIT_VERSION, &row->credit, row->scale);
	set_uuid(values, nulls, COL_HOLD_ID, row->hold_id);
	nulls[COL_REVERSES] = true;
	nulls[COL_BATCH_ID] = true;
	set_uuid(values, nulls, COL_OPERATION_ID, row->operation_id);
	values[COL_EFFECTIVE_AT] = TimestampTzGetDatum(row->effective_at);
	values[COL_RECORDED_AT] = TimestampTzGetDatum(row->recorded_at);
	nulls[COL_METADATA] = row->metadata == NULL;
	values[COL_METADATA] = JsonbPGetDatum(row->metadata);
	values[COL_ENDS_HOLD] = BoolGetDatum(row->ends_hold);
	rel_insert(rel, values, nulls);
	rel_close(rel);
}
