/*-------------------------------------------------------------------------
 *
 * feed.c
 *	  The journal of a ledger in an order in which nothing comes late.
 *
 * Neither the ids of the rows nor their times are in the order of commits: a
 * row may become visible after one that was made later.  So the feed goes by
 * the number of the writing transaction (feed_epoch.c) and ends before the
 * oldest one that is still running.  A transaction that begins later has a
 * higher number, so nothing ever appears before a place once passed.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "compat.h"
#include "durable.h"
#include "feed.h"
#include "feed_epoch.h"
#include "input.h"
#include "journal_row.h"
#include "ledger.h"

#define MAX_ROWS 10000

enum
{
	ARG_LEDGER,
	ARG_CURSOR,
	ARG_MAX_ROWS
};

/* The columns of the result: those of the view movement, and one more. */
enum
{
	RESULT_CURSOR = MOVEMENT_COLUMNS,
	RESULT_COLUMNS
};

/* ---- the scan --------------------------------------------------------- */

/* What is left of the transaction that the place is in. */
static void
scan_within(FeedScan *feed)
{
	Datum		keys[2] = {Int64GetDatum(feed->ledger),
	Int64GetDatum(feed->place.tx)};

	feed->within = true;
	feed->scan = rel_scan_past(feed->rel, "journal_feed", feed->snapshot, 2,
							   keys, UUIDPGetDatum(&feed->place.id));
}

static void
scan_beyond(FeedScan *feed)
{
	Datum		keys[1] = {Int64GetDatum(feed->ledger)};

	feed->within = false;
	feed->scan = rel_scan_past(feed->rel, "journal_feed", feed->snapshot, 1,
							   keys, Int64GetDatum(feed->place.tx));
}

void
feed_begin(FeedScan *feed, int64 ledger, const FeedPlace *after,
		   Snapshot snapshot)
{
	memset(feed, 0, sizeof(FeedScan));
	feed->ledger = ledger;
	feed->place = *after;
	feed->snapshot = snapshot;
	feed->horizon = feed_epoch_horizon(snapshot);
	feed->rel = rel_open(REL_JOURNAL, AccessShareLock);
	if (after->tx == 0)
		scan_beyond(feed);
	else
		scan_within(feed);
}

bool
feed_next(FeedScan *feed, TupleTableSlot *slot)
{
	bool		isnull;
	int64		tx;

	if (feed->place.tx >= feed->horizon)
		return false;
	if (!rel_scan_next(feed->scan, slot))
	{
		if (!feed->within)
			return false;
		rel_scan_end(feed->scan);
		scan_beyond(feed);
		if (!rel_scan_next(feed->scan, slot))
			return false;
	}
	tx = DatumGetInt64(slot_getattr(slot, COL_TX + 1, &isnull));
	if (tx >= feed->horizon)
		return false;
	feed->place.tx = tx;
	feed->place.id = *DatumGetUUIDP(slot_getattr(slot, COL_ID + 1, &isnull));
	return true;
}

void
feed_end(FeedScan *feed)
{
	rel_scan_end(feed->scan);
	rel_close(feed->rel);
}

/* ---- cursors ---------------------------------------------------------- */

/* Version, ledger, tx and id: 1 and 32 bytes in lower-case hexadecimal. */
#define CURSOR_BYTES (8 + 8 + UUID_LEN)
#define CURSOR_LENGTH (1 + 2 * CURSOR_BYTES)

static void
put_bigint(unsigned char *bytes, int64 value)
{
	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char) ((uint64) value >> (56 - 8 * i));
}

static int64
get_bigint(const unsigned char *bytes)
{
	uint64		value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | bytes[i];
	return (int64) value;
}

static text *
make_cursor(int64 ledger, const FeedPlace *place)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[CURSOR_BYTES];
	char		word[CURSOR_LENGTH];

	put_bigint(bytes, ledger);
	put_bigint(bytes + 8, place->tx);
	memcpy(bytes + 16, place->id.data, UUID_LEN);
	word[0] = '1';
	for (int i = 0; i < CURSOR_BYTES; i++)
	{
		word[1 + 2 * i] = digits[bytes[i] >> 4];
		word[2 + 2 * i] = digits[bytes[i] & 15];
	}
	return cstring_to_text_with_len(word, CURSOR_LENGTH);
}

/* False unless the text is one that make_cursor made. */
static bool
decode_cursor(const char *word, unsigned char *bytes)
{
	if (strlen(word) != CURSOR_LENGTH || word[0] != '1' ||
		strspn(word, "0123456789abcdef") != CURSOR_LENGTH)
		return false;
	for (int i = 0; i < CURSOR_BYTES; i++)
	{
		char		digits[3] = {word[1 + 2 * i], word[2 + 2 * i], '\0'};

		bytes[i] = (unsigned char) strtoul(digits, NULL, 16);
	}
	return get_bigint(bytes + 8) > 0;
}

/* 22023 for what is no cursor, or one of another ledger. */
static FeedPlace
input_cursor(FunctionCallInfo fcinfo, int64 ledger)
{
	FeedPlace	place = {0};
	unsigned char bytes[CURSOR_BYTES];
	char	   *word;

	if (PG_ARGISNULL(ARG_CURSOR))
		return place;
	word = text_to_cstring(PG_GETARG_TEXT_PP(ARG_CURSOR));
	if (word[0] == '\0')
		return place;
	if (!decode_cursor(word, bytes))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cursor is not one that teller.journal_since() returned"),
				 errhint("Pass NULL to start from the beginning.")));
	if (get_bigint(bytes) != ledger)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cursor is not one of ledger %lld",
						(long long) ledger)));
	place.tx = get_bigint(bytes + 8);
	memcpy(place.id.data, bytes + 16, UUID_LEN);
	return place;
}

/* ---- teller.journal_since --------------------------------------------- */

static int32
input_max_rows(FunctionCallInfo fcinfo)
{
	int32		max_rows;

	input_require(fcinfo, ARG_MAX_ROWS, "max_rows");
	max_rows = PG_GETARG_INT32(ARG_MAX_ROWS);
	if (max_rows < 1 || max_rows > MAX_ROWS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must be from 1 to %d", MAX_ROWS),
				 errdetail("It is %d.", max_rows)));
	return max_rows;
}

/*
 * After a crash the server gives out again the transaction ids of which
 * nothing had reached the disk: with synchronous_commit off also those of
 * committed transactions.  A place must not lie behind them, so what is shown
 * is flushed first.  At a standby all of it is on disk.
 */
static void
flush_shown(void)
{
	if (!RecoveryInProgress())
		XLogFlush(durable_log_end());
}

static void
return_row(ReturnSetInfo *rsinfo, FeedScan *feed, TupleTableSlot *slot)
{
	Datum		values[RESULT_COLUMNS];
	bool		nulls[RESULT_COLUMNS];

	slot_getallattrs(slot);
	memcpy(values, slot->tts_values, sizeof(Datum) * MOVEMENT_COLUMNS);
	memcpy(nulls, slot->tts_isnull, sizeof(bool) * MOVEMENT_COLUMNS);
	values[RESULT_CURSOR] =
		PointerGetDatum(make_cursor(feed->ledger, &feed->place));
	nulls[RESULT_CURSOR] = false;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	pfree(DatumGetPointer(values[RESULT_CURSOR]));
}

PG_FUNCTION_INFO_V1(teller_journal_since);

/* teller.journal_since(ledger, cursor, max_rows): see its COMMENT. */
Datum
teller_journal_since(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		ledger;
	FeedPlace	after;
	int32		left;
	FeedScan	feed;
	TupleTableSlot *slot;

	input_require(fcinfo, ARG_LEDGER, "ledger");
	ledger = PG_GETARG_INT64(ARG_LEDGER);
	left = input_max_rows(fcinfo);
	access_require(ledger, ACCESS_READ);
	ledger_check(ledger);
	after = input_cursor(fcinfo, ledger);
	InitMaterializedSRF(fcinfo, 0);

	feed_begin(&feed, ledger, &after, GetActiveSnapshot());
	slot = rel_make_slot(feed.rel);
	if (feed_next(&feed, slot))
	{
		flush_shown();
		do
		{
			CHECK_FOR_INTERRUPTS();
			return_row(rsinfo, &feed, slot);
		} while (--left > 0 && feed_next(&feed, slot));
	}
	ExecDropSingleTupleTableSlot(slot);
	feed_end(&feed);
	return (Datum) 0;
}
