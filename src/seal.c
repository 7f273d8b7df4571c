/*-------------------------------------------------------------------------
 *
 * seal.c
 *	  Seals: a chain of hashes over the journal, in the order of the feed.
 *
 * Each row's digest is the SHA-256 of the digest before it and the row.  A
 * seal keeps the digests of up to 10,000 rows, so that what does not fit can
 * be named; its head covers the last of them and the seal itself, and is what
 * the next seal begins with.  Only rows that nothing can come before any more
 * are sealed: those of the feed.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access.h"
#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "seal.h"

/* ---- a seal and its row ----------------------------------------------- */

static void
get_bytes(TupleTableSlot *slot, int column, void *bytes, int length)
{
	bytea	   *value = DatumGetByteaPP(slot->tts_values[column]);

	if (VARSIZE_ANY_EXHDR(value) == length)
		memcpy(bytes, VARDATA_ANY(value), length);
}

static void *
get_all_bytes(TupleTableSlot *slot, int column, int *length)
{
	bytea	   *value = DatumGetByteaPP(slot->tts_values[column]);
	char	   *bytes = palloc(VARSIZE_ANY_EXHDR(value) + 1);

	*length = VARSIZE_ANY_EXHDR(value);
	memcpy(bytes, VARDATA_ANY(value), *length);
	return bytes;
}

void
seal_read(Seal *seal, TupleTableSlot *slot, bool with_rows)
{
	Datum	   *values = slot->tts_values;

	slot_getallattrs(slot);
	memset(seal, 0, sizeof(Seal));
	seal->ledger = DatumGetInt64(values[SEAL_LEDGER]);
	seal->number = DatumGetInt64(values[SEAL_NUMBER]);
	seal->nrows = DatumGetInt32(values[SEAL_ROWS]);
	seal->total = DatumGetInt64(values[SEAL_TOTAL]);
	seal->first.tx = DatumGetInt64(values[SEAL_FIRST_TX]);
	seal->first.id = *DatumGetUUIDP(values[SEAL_FIRST_ID]);
	seal->last.tx = DatumGetInt64(values[SEAL_LAST_TX]);
	seal->last.id = *DatumGetUUIDP(values[SEAL_LAST_ID]);
	seal->below = DatumGetInt64(values[SEAL_BELOW]);
	seal->sealed_at = DatumGetTimestampTz(values[SEAL_SEALED_AT]);
	get_bytes(slot, SEAL_PREVIOUS, seal->previous, DIGEST_LEN);
	get_bytes(slot, SEAL_HEAD, seal->head, DIGEST_LEN);
	if (!with_rows)
		return;
	seal->ids = get_all_bytes(slot, SEAL_IDS, &seal->ids_length);
	seal->digests = get_all_bytes(slot, SEAL_DIGESTS, &seal->digests_length);
}

static Datum
bytes_datum(const void *bytes, int length)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes, length));
}

static void
seal_write(Rel *rel, Seal *seal)
{
	Datum		values[SEAL_COLUMNS];
	bool		nulls[SEAL_COLUMNS] = {0};

	values[SEAL_LEDGER] = Int64GetDatum(seal->ledger);
	values[SEAL_NUMBER] = Int64GetDatum(seal->number);
	values[SEAL_ROWS] = Int32GetDatum(seal->nrows);
	values[SEAL_TOTAL] = Int64GetDatum(seal->total);
	values[SEAL_FIRST_TX] = Int64GetDatum(seal->first.tx);
	values[SEAL_FIRST_ID] = UUIDPGetDatum(&seal->first.id);
	values[SEAL_LAST_TX] = Int64GetDatum(seal->last.tx);
	values[SEAL_LAST_ID] = UUIDPGetDatum(&seal->last.id);
	values[SEAL_BELOW] = Int64GetDatum(seal->below);
	values[SEAL_SEALED_AT] = TimestampTzGetDatum(seal->sealed_at);
	values[SEAL_PREVIOUS] = bytes_datum(seal->previous, DIGEST_LEN);
	values[SEAL_HEAD] = bytes_datum(seal->head, DIGEST_LEN);
	values[SEAL_IDS] = bytes_datum(seal->ids, UUID_LEN * seal->nrows);
	values[SEAL_DIGESTS] = bytes_datum(seal->digests,
									   DIGEST_LEN * seal->nrows);
	rel_insert(rel, values, nulls);
	for (int i = SEAL_PREVIOUS; i < SEAL_COLUMNS; i++)
		pfree(DatumGetPointer(values[i]));
}

void
seal_head(Digester *digester, const Seal *seal, uint8 *head)
{
	digest_bigint(digester, seal->ledger);
	digest_bigint(digester, seal->number);
	digest_bigint(digester, seal->nrows);
	digest_bigint(digester, seal->total);
	digest_bigint(digester, seal->first.tx);
	digest_uuid(digester, &seal->first.id);
	digest_bigint(digester, seal->last.tx);
	digest_uuid(digester, &seal->last.id);
	digest_bigint(digester, seal->below);
	digest_time(digester, seal->sealed_at);
	memcpy(head, seal->digests[seal->nrows - 1], DIGEST_LEN);
	digest_chain(digester, head);
}

/* ---- sealing ---------------------------------------------------------- */

/* The seal that is being filled, after those that there are. */
typedef struct Sealing
{
	Rel		   *rel;
	Digester	digester;
	Seal		seal;
	uint8		digest[DIGEST_LEN]; /* after the last row */
} Sealing;

/*
 * One at a time: the row of the ledger is locked until the transaction ends.
 * Nobody else locks it.
 */
static void
lock_ledger(int64 ledger)
{
	Rel		   *rel = rel_open(REL_LEDGER, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[1] = {Int64GetDatum(ledger)};

	if (!rel_lock_row(rel, 1, keys, LockTupleNoKeyExclusive, slot))
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
				 errmsg("ledger %lld does not exist", (long long) ledger),
				 errhint("Create it with teller.create_ledger(%lld).",
						 (long long) ledger)));
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
}

/* Empty, behind the seal that was made last. */
static void
next_seal(Sealing *sealing)
{
	Seal	   *seal = &sealing->seal;

	seal->number++;
	seal->nrows = 0;
	memcpy(seal->previous, sealing->digest, DIGEST_LEN);
}

static void
find_last_seal(Sealing *sealing, int64 ledger, Snapshot snapshot)
{
	TupleTableSlot *slot = rel_make_slot(sealing->rel);
	Datum		keys[2] = {Int64GetDatum(ledger)};
	RelScan    *scan = rel_scan_begin(sealing->rel, "seal_pkey", snapshot, 1,
									  keys);
	Seal	   *seal = &sealing->seal;

	digest_start(&sealing->digester, ledger, sealing->digest);
	seal->ledger = ledger;
	while (rel_scan_next(scan, slot))
	{
		seal_read(seal, slot, false);
		memcpy(sealing->digest, seal->head, DIGEST_LEN);
	}
	rel_scan_end(scan);

	/* Above READ COMMITTED one may have come that the snapshot lacks: 40001 */
	keys[1] = Int64GetDatum(seal->number + 1);
	(void) rel_await_row(sealing->rel, 2, keys, slot);
	ExecDropSingleTupleTableSlot(slot);
}

/* Write the seal; each row with a tx below this one is sealed. */
static void
finish_seal(Sealing *sealing, int64 below)
{
	Seal	   *seal = &sealing->seal;

	seal->below = below;
	seal->total += seal->nrows;
	seal_head(&sealing->digester, seal, seal->head);
	seal_write(sealing->rel, seal);
	memcpy(sealing->digest, seal->head, DIGEST_LEN);
}

static void
add_row(Sealing *sealing, const FeedPlace *place, TupleTableSlot *slot)
{
	Seal	   *seal = &sealing->seal;

	digest_row(&sealing->digester, slot);
	digest_chain(&sealing->digester, sealing->digest);
	if (seal->nrows == 0)
		seal->first = *place;
	seal->last = *place;
	seal->ids[seal->nrows] = place->id;
	memcpy(seal->digests[seal->nrows], sealing->digest, DIGEST_LEN);
	seal->nrows++;
}

static void
seal_rows(Sealing *sealing, Snapshot snapshot)
{
	Seal	   *seal = &sealing->seal;
	FeedPlace	after = seal->last;
	FeedScan	feed;
	TupleTableSlot *slot;

	feed_begin(&feed, seal->ledger, &after, snapshot);
	slot = rel_make_slot(feed.rel);
	seal->ids = palloc(UUID_LEN * SEAL_MAX_ROWS);
	seal->digests = palloc(DIGEST_LEN * SEAL_MAX_ROWS);
	seal->sealed_at = clock_read();
	next_seal(sealing);
	while (feed_next(&feed, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (seal->nrows == SEAL_MAX_ROWS)
		{
			finish_seal(sealing, seal->last.tx);
			next_seal(sealing);
		}
		add_row(sealing, &feed.place, slot);
	}
	if (seal->nrows > 0)
		finish_seal(sealing, feed.horizon);
	ExecDropSingleTupleTableSlot(slot);
	feed_end(&feed);
}

PG_FUNCTION_INFO_V1(teller_seal);

/* teller.seal(ledger): see its COMMENT. */
Datum
teller_seal(PG_FUNCTION_ARGS)
{
	Sealing		sealing = {0};
	int64		ledger;
	Snapshot	snapshot;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	input_require(fcinfo, 0, "ledger");
	ledger = PG_GETARG_INT64(0);
	access_require_owner("teller.seal()");
	lock_ledger(ledger);
	sealing.rel = rel_open(REL_SEAL, RowExclusiveLock);
	digester_begin(&sealing.digester);
	snapshot = rel_newest_snapshot();
	find_last_seal(&sealing, ledger, snapshot);
	seal_rows(&sealing, snapshot);
	rel_forget_snapshot(snapshot);
	digester_end(&sealing.digester);
	rel_close(sealing.rel);
	CommandCounterIncrement();

	/* The digest is kept elsewhere: what it stands for must last. */
	ForceSyncCommit();
	values[0] = Int64GetDatum(sealing.seal.total);
	values[1] = bytes_datum(sealing.digest, DIGEST_LEN);
	return input_result(fcinfo, values, nulls);
}
