/*-------------------------------------------------------------------------
 *
 * hot_fold.c
 *	  The rows of the journal that moved a hot account go into its row.
 *
 * Order: the row's lock, then the end of an epoch, then a snapshot, then the
 * sum.  Whoever needs the account for himself (account.c) has the row's lock
 * too, so a fold never works with an entry that has been dropped meanwhile.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/array.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "account_row.h"
#include "compat.h"
#include "hot.h"
#include "hot_fold.h"
#include "hot_tail.h"
#include "waitpoint.h"

/* ---- one account ------------------------------------------------------ */

static Datum
epochs_datum(const int64 *epochs, int count)
{
	Datum		values[HOT_EPOCHS];

	for (int i = 0; i < count; i++)
		values[i] = Int64GetDatum(epochs[i]);
	return PointerGetDatum(construct_array(values, count, INT8OID,
										   sizeof(int64), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

/* The row with what the tail adds; it has all up to `folded` but open[]. */
static void
write_row(Rel *rel, TupleTableSlot *slot, const HotRow *row,
		  const HotTail *tail, int64 folded, const int64 *open, int nopen)
{
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};
	bool		replace[COL_COUNT] = {0};

	values[COL_POSTED] = AmountGetDatum(hot_sum(row->posted, tail->posted),
										row->scale);
	values[COL_PENDING_DEBIT] =
		AmountGetDatum(hot_sum(row->pending[HOT_DEBIT],
							   tail->pending[HOT_DEBIT]), row->scale);
	values[COL_PENDING_CREDIT] =
		AmountGetDatum(hot_sum(row->pending[HOT_CREDIT],
							   tail->pending[HOT_CREDIT]), row->scale);
	values[COL_LAST_AT] = TimestampTzGetDatum(Max(row->last_at, tail->last_at));
	values[COL_FOLDED_EPOCH] = Int64GetDatum(folded);
	nulls[COL_OPEN_EPOCHS] = nopen == 0;
	if (nopen > 0)
		values[COL_OPEN_EPOCHS] = epochs_datum(open, nopen);
	replace[COL_POSTED] = replace[COL_PENDING_DEBIT] =
		replace[COL_PENDING_CREDIT] = replace[COL_LAST_AT] =
		replace[COL_FOLDED_EPOCH] = replace[COL_OPEN_EPOCHS] = true;
	rel_update(rel, slot, values, nulls, replace);
}

bool
hot_fold_all(Rel *rel, TupleTableSlot *slot)
{
	HotRow		row;
	HotRange	range;
	HotTail		tail;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

	hot_row_read(&row, slot);
	hot_range_rest(&range, &row);
	hot_tail_read(&row, &range, snapshot, &tail);
	rel_forget_snapshot(snapshot);
	if (tail.nrows == 0 && row.nopen == 0)
		return false;
	write_row(rel, slot, &row, &tail, Max(row.folded, tail.last_epoch), NULL,
			  0);
	return true;
}

/* Those of the row's open epochs that have ended by now. */
static int
ended_epochs(const HotRow *row, const int64 *open, int nopen, int64 *ended)
{
	int			count = 0;

	for (int i = 0; i < row->nopen; i++)
	{
		bool		is_open = false;

		for (int j = 0; j < nopen; j++)
			is_open |= open[j] == row->open[i];
		if (!is_open)
			ended[count++] = row->open[i];
	}
	return count;
}

/* The row is locked and hot. */
static void
fold_locked(Rel *rel, TupleTableSlot *slot)
{
	HotRow		row;
	HotRange	range = {0};
	HotTail		tail;
	int64		open[HOT_EPOCHS];
	int64		ended[HOT_EPOCHS];
	int			nopen;
	Snapshot	snapshot;

	hot_row_read(&row, slot);
	range.after = row.folded;
	range.through = hot_close_epoch(row.ledger, row.account, open, &nopen);
	if (range.through == 0)
		return;
	range.except = open;
	range.nexcept = nopen;
	range.also = ended;
	range.nalso = ended_epochs(&row, open, nopen, ended);
	WAIT_POINT("fold_epoch_closed");
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	hot_tail_read(&row, &range, snapshot, &tail);
	rel_forget_snapshot(snapshot);
	if (tail.nrows > 0 || range.nalso > 0)
		write_row(rel, slot, &row, &tail, range.through, open, nopen);
}

void
hot_fold_account(int64 ledger, int64 account)
{
	Rel		   *rel = rel_open(REL_ACCOUNT, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	Datum		keys[2] = {Int64GetDatum(ledger), Int64GetDatum(account)};
	bool		isnull;

	if (rel_fetch(rel, snapshot, 2, keys, slot) &&
		rel_lock_if_free(rel, slot, LockTupleNoKeyExclusive) &&
		DatumGetBool(slot_getattr(slot, COL_HOT + 1, &isnull)))
		fold_locked(rel, slot);
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
}
