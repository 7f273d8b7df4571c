/*-------------------------------------------------------------------------
 *
 * hot_tail.c
 *	  What the journal has of a hot account and its row has not.
 *
 * A row of the journal that moved a hot account has no version on that side,
 * but an epoch.  By the kind of the row one knows what it did.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "account_row.h"
#include "compat.h"
#include "hot_tail.h"

/* ---- the account's row ------------------------------------------------ */

static Amount
stored(TupleTableSlot *slot, int column, int *scale)
{
	return amount_stored(slot->tts_values[column], scale);
}

static void
read_open_epochs(HotRow *row, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int			count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (count > HOT_EPOCHS || ARR_HASNULL(array) ||
		ARR_ELEMTYPE(array) != INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("account %lld of ledger %lld has a wrong list of open epochs",
						(long long) row->account, (long long) row->ledger)));
	row->nopen = count;
	memcpy(row->open, ARR_DATA_PTR(array), sizeof(int64) * count);
}

void
hot_row_read(HotRow *row, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		xmin = slot_getsysattr(slot, MinTransactionIdAttributeNumber,
									   &isnull);

	slot_getallattrs(slot);
	memset(row, 0, sizeof(HotRow));
	row->ledger = DatumGetInt64(slot->tts_values[COL_LEDGER]);
	row->account = DatumGetInt64(slot->tts_values[COL_ID]);
	row->hot = DatumGetBool(slot->tts_values[COL_HOT]);
	row->own = TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
	row->has_max = !slot->tts_isnull[COL_MAX];
	row->posted = stored(slot, COL_POSTED, &row->scale);
	row->pending[HOT_DEBIT] = stored(slot, COL_PENDING_DEBIT, &row->scale);
	row->pending[HOT_CREDIT] = stored(slot, COL_PENDING_CREDIT, &row->scale);
	row->last_at = DatumGetTimestampTz(slot->tts_values[COL_LAST_AT]);
	if (!slot->tts_isnull[COL_FOLDED_EPOCH])
		row->folded = DatumGetInt64(slot->tts_values[COL_FOLDED_EPOCH]);
	if (!slot->tts_isnull[COL_OPEN_EPOCHS])
		read_open_epochs(row, slot->tts_values[COL_OPEN_EPOCHS]);
}

/* ---- rows of the journal ---------------------------------------------- */

/* The columns of teller.journal that are read here. */
enum
{
	JOURNAL_KIND = 3,
	JOURNAL_AMOUNT = 6,
	JOURNAL_RECORDED_AT = 18,
	JOURNAL_METADATA = 19,
	JOURNAL_DEBIT_EPOCH = 22,
	JOURNAL_CREDIT_EPOCH = 23
};

static const char *const index_names[HOT_SIDES] = {
	[HOT_DEBIT] = "journal_hot_debit",
	[HOT_CREDIT] = "journal_hot_credit"
};

static Numeric
adjusted_amount(Jsonb *metadata, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *value = NULL;

	if (metadata != NULL && JB_ROOT_IS_OBJECT(metadata))
		value = getKeyJsonValueFromContainer(&metadata->root, name,
											 strlen(name), &buffer);
	if (value == NULL || value->type != jbvNumeric)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a row of the journal does not say how a hold was adjusted"),
				 errhint("Run teller.verify().")));
	return value->val.numeric;
}

/* By how much a hold was made larger, below zero if smaller. */
static Amount
adjusted_by(TupleTableSlot *slot, Amount amount)
{
	bool		isnull;
	Datum		stored = slot_getattr(slot, JOURNAL_METADATA, &isnull);
	Jsonb	   *metadata = isnull ? NULL : DatumGetJsonbP(stored);
	Datum		old = NumericGetDatum(adjusted_amount(metadata, "old_amount"));
	Datum		new = NumericGetDatum(adjusted_amount(metadata, "new_amount"));

	return DatumGetBool(DirectFunctionCall2(numeric_lt, new, old)) ?
		-amount : amount;
}

static void
add_pending(HotTail *tail, HotSide side, Amount amount)
{
	tail->pending[side] = hot_sum(tail->pending[side], amount);
}

/* What the row did to the account on this side of it. */
static void
add_row(const HotRow *row, HotSide side, TupleTableSlot *slot, HotTail *tail)
{
	bool		isnull;
	int			ignored;
	char	   *kind = TextDatumGetCString(slot_getattr(slot, JOURNAL_KIND,
														&isnull));
	Amount		amount = amount_stored(slot_getattr(slot, JOURNAL_AMOUNT, &isnull),
									   &ignored);
	Amount		posted = side == HOT_DEBIT ? -amount : amount;

	if (strcmp(kind, "transfer") == 0 || strcmp(kind, "reversal") == 0)
		tail->posted = hot_sum(tail->posted, posted);
	else if (strcmp(kind, "capture") == 0)
	{
		tail->posted = hot_sum(tail->posted, posted);

		/* Holds are counted on the credit side only below a maximum. */
		if (side == HOT_DEBIT || row->has_max)
			add_pending(tail, side, -amount);
	}
	else if (strcmp(kind, "hold") == 0)
		add_pending(tail, side, amount);
	else if (strcmp(kind, "adjust") == 0)
		add_pending(tail, side, adjusted_by(slot, amount));
	else if (strcmp(kind, "release") == 0 || strcmp(kind, "expire") == 0)
		add_pending(tail, side, -amount);
	else if (strcmp(kind, "extend") != 0)
		elog(ERROR, "unknown kind \"%s\" of a row of the journal", kind);
	pfree(kind);
	tail->nrows++;
	tail->last_at = Max(tail->last_at,
						DatumGetTimestampTz(slot_getattr(slot, JOURNAL_RECORDED_AT,
														 &isnull)));
}

static bool
is_among(int64 epoch, const int64 *list, int count)
{
	for (int i = 0; i < count; i++)
		if (list[i] == epoch)
			return true;
	return false;
}

static int64
epoch_of(TupleTableSlot *slot, HotSide side)
{
	bool		isnull;

	return DatumGetInt64(slot_getattr(slot, side == HOT_DEBIT ?
									  JOURNAL_DEBIT_EPOCH : JOURNAL_CREDIT_EPOCH,
									  &isnull));
}

typedef struct TailReader
{
	Rel		   *rel;
	const HotRow *row;
	const HotRange *range;
	Snapshot	snapshot;
	HotTail    *tail;
} TailReader;

static bool
is_in_time(const HotRange *range, TupleTableSlot *slot)
{
	bool		isnull;

	return !range->is_timed ||
		DatumGetTimestampTz(slot_getattr(slot, JOURNAL_RECORDED_AT,
										 &isnull)) <= range->until;
}

static void
read_range(const TailReader *reader, HotSide side)
{
	const HotRange *range = reader->range;
	Datum		keys[2] = {Int64GetDatum(reader->row->ledger),
	Int64GetDatum(reader->row->account)};
	TupleTableSlot *slot = rel_make_slot(reader->rel);
	RelScan    *scan = rel_scan_past(reader->rel, index_names[side],
									 reader->snapshot, 2, keys,
									 Int64GetDatum(range->after));

	while (rel_scan_next(scan, slot))
	{
		int64		epoch = epoch_of(slot, side);

		if (epoch > range->through)
			break;
		CHECK_FOR_INTERRUPTS();
		if (is_among(epoch, range->except, range->nexcept) ||
			!is_in_time(range, slot))
			continue;
		add_row(reader->row, side, slot, reader->tail);
		reader->tail->last_epoch = Max(reader->tail->last_epoch, epoch);
	}
	rel_scan_end(scan);
	ExecDropSingleTupleTableSlot(slot);
}

static void
read_epoch(const TailReader *reader, HotSide side, int64 epoch)
{
	Datum		keys[3] = {Int64GetDatum(reader->row->ledger),
	Int64GetDatum(reader->row->account), Int64GetDatum(epoch)};
	TupleTableSlot *slot = rel_make_slot(reader->rel);
	RelScan    *scan = rel_scan_begin(reader->rel, index_names[side],
									  reader->snapshot, 3, keys);

	while (rel_scan_next(scan, slot))
		if (is_in_time(reader->range, slot))
			add_row(reader->row, side, slot, reader->tail);
	rel_scan_end(scan);
	ExecDropSingleTupleTableSlot(slot);
}

void
hot_range_rest(HotRange *range, const HotRow *row)
{
	memset(range, 0, sizeof(HotRange));
	range->after = row->folded;
	range->through = PG_INT64_MAX;
	range->also = row->open;
	range->nalso = row->nopen;
}

void
hot_tail_read(const HotRow *row, const HotRange *range, Snapshot snapshot,
			  HotTail *tail)
{
	TailReader	reader = {.row = row,.range = range,.snapshot = snapshot,
	.tail = tail};

	memset(tail, 0, sizeof(HotTail));
	reader.rel = rel_open(REL_JOURNAL, AccessShareLock);
	for (HotSide side = HOT_DEBIT; side < HOT_SIDES; side++)
	{
		read_range(&reader, side);
		for (int i = 0; i < range->nalso; i++)
			read_epoch(&reader, side, range->also[i]);
	}
	rel_close(reader.rel);
}

static bool
has_row(RelScan *scan, TupleTableSlot *slot)
{
	bool		found = rel_scan_next(scan, slot);

	rel_scan_end(scan);
	return found;
}

/*
 * That there are open epochs does not do: while a dump is restored, the
 * account's row is there before those of the journal.
 */
bool
hot_tail_exists(const HotRow *row, Snapshot snapshot)
{
	Rel		   *rel = rel_open(REL_JOURNAL, AccessShareLock);
	Datum		keys[3] = {Int64GetDatum(row->ledger), Int64GetDatum(row->account)};
	TupleTableSlot *slot = rel_make_slot(rel);
	bool		found = false;

	for (HotSide side = HOT_DEBIT; side < HOT_SIDES && !found; side++)
	{
		found = has_row(rel_scan_past(rel, index_names[side], snapshot, 2,
									  keys, Int64GetDatum(row->folded)), slot);
		for (int i = 0; i < row->nopen && !found; i++)
		{
			keys[2] = Int64GetDatum(row->open[i]);
			found = has_row(rel_scan_begin(rel, index_names[side], snapshot,
										   3, keys), slot);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return found;
}
