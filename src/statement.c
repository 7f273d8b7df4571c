/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  An account's past, page by page: teller.statement.
 *
 * A page is read from several indexes at once, each in its own order: those of
 * the debit sides and of the credit sides by version, and of an account that
 * is or was hot also those of its rows without a version, by epoch and id.
 *
 * The order of such an account is that of epochs.  Within an epoch its rows
 * without a version come first: a row with a version has as its epoch the
 * last one that was folded, and that was then all there was.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "access.h"
#include "account.h"
#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "journal_row.h"
#include "rel.h"

#define STATEMENT_MAX_ROWS 10000

/* By version and by epoch, on either side. */
#define MAX_STREAMS 4

/* Where a page begins: after this place of the account's history. */
typedef struct Place
{
	int64		version;		/* the last one before it */
	int64		epoch;			/* 0: at the beginning */
	bool		within;			/* behind a row without a version: */
	pg_uuid_t	id;				/* that one, of the epoch */
} Place;

/* The rows of an account in one of the indexes. */
typedef struct Stream
{
	Rel		   *rel;
	const Datum *account;		/* ledger and account */
	bool		is_debit;
	bool		is_hot;			/* rows without a version */
	bool		within;			/* in the rest of the epoch that a page before
								 * ended in */
	int64		after_epoch;
	Datum		name;			/* text: the side */
	RelScan    *scan;
	TupleTableSlot *slot;
	bool		found;			/* there is a row in the slot */
	int64		version;		/* of that row; 0 if it is hot */
	int64		epoch;
	pg_uuid_t	id;
} Stream;

typedef struct Statement
{
	Rel		   *rel;
	const Account *account;
	Datum		keys[2];
	bool		has_hot;		/* the account is hot or was so once */
	int			nstreams;
	Stream		streams[MAX_STREAMS];
} Statement;

/* ---- rows ------------------------------------------------------------- */

static int64
get_bigint(TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column] ? 0 :
		DatumGetInt64(slot->tts_values[column]);
}

static int64
version_of(TupleTableSlot *slot, bool is_debit)
{
	return get_bigint(slot, is_debit ? COL_DEBIT_VERSION : COL_CREDIT_VERSION);
}

static int64
epoch_of(TupleTableSlot *slot, bool is_debit)
{
	return get_bigint(slot, is_debit ? COL_DEBIT_EPOCH : COL_CREDIT_EPOCH);
}

/* ---- streams ---------------------------------------------------------- */

static const char *const index_names[2][2] = {
	{"journal_credit", "journal_debit"},
	{"journal_hot_credit", "journal_hot_debit"}
};

static void
stream_next(Stream *stream)
{
	stream->found = rel_scan_next(stream->scan, stream->slot);
	if (!stream->found && stream->within)
	{
		rel_scan_end(stream->scan);
		stream->within = false;
		stream->scan = rel_scan_past(stream->rel,
									 index_names[true][stream->is_debit],
									 GetActiveSnapshot(), 2, stream->account,
									 Int64GetDatum(stream->after_epoch));
		stream->found = rel_scan_next(stream->scan, stream->slot);
	}
	if (!stream->found)
		return;
	slot_getallattrs(stream->slot);
	stream->version = version_of(stream->slot, stream->is_debit);
	stream->epoch = epoch_of(stream->slot, stream->is_debit);
	stream->id = *DatumGetUUIDP(stream->slot->tts_values[COL_ID]);
}

static void
stream_begin(Statement *statement, const Place *place, bool is_hot,
			 bool is_debit)
{
	Stream	   *stream = &statement->streams[statement->nstreams++];
	Datum		keys[3] = {statement->keys[0], statement->keys[1],
	Int64GetDatum(place->epoch)};
	bool		within = is_hot && place->within;
	Datum		bound = Int64GetDatum(is_hot ? place->epoch : place->version);

	if (within)
		bound = UUIDPGetDatum(&place->id);
	stream->rel = statement->rel;
	stream->account = statement->keys;
	stream->is_debit = is_debit;
	stream->is_hot = is_hot;
	stream->within = within;
	stream->after_epoch = place->epoch;
	stream->name = CStringGetTextDatum(is_debit ? "debit" : "credit");
	stream->slot = rel_make_slot(statement->rel);
	stream->scan = rel_scan_past(statement->rel,
								 index_names[is_hot][is_debit],
								 GetActiveSnapshot(), within ? 3 : 2, keys,
								 bound);
	stream_next(stream);
}

static void
stream_end(Stream *stream)
{
	rel_scan_end(stream->scan);
	ExecDropSingleTupleTableSlot(stream->slot);
}

/* In the order of the account's history. */
static bool
comes_before(const Stream *a, const Stream *b)
{
	if (a->epoch != b->epoch)
		return a->epoch < b->epoch;
	if (a->is_hot != b->is_hot)
		return a->is_hot;
	if (a->is_hot)
		return memcmp(&a->id, &b->id, sizeof(pg_uuid_t)) < 0;
	return a->version < b->version;
}

/* ---- where to begin --------------------------------------------------- */

/* The epoch that a version of the account belongs to; 0: none yet. */
static int64
epoch_of_version(const Statement *statement, int64 version)
{
	Datum		keys[3] = {statement->keys[0], statement->keys[1],
	Int64GetDatum(version)};
	TupleTableSlot *slot = rel_make_slot(statement->rel);
	bool		found = false;
	int64		epoch = 0;

	for (int is_debit = 0; is_debit < 2 && !found; is_debit++)
	{
		RelScan    *scan = rel_scan_begin(statement->rel,
										  index_names[false][is_debit],
										  GetActiveSnapshot(), 3, keys);

		found = rel_scan_next(scan, slot);
		if (found)
		{
			slot_getallattrs(slot);
			epoch = epoch_of(slot, is_debit);
		}
		rel_scan_end(scan);
	}
	ExecDropSingleTupleTableSlot(slot);
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("account %lld of ledger %lld has no version %lld",
						(long long) statement->account->id,
						(long long) statement->account->ledger,
						(long long) version),
				 errhint("Run teller.verify().")));
	return epoch;
}

/* The last version of the epochs before; epochs do not go back along them. */
static int64
last_version_before(const Statement *statement, int64 epoch)
{
	int64		low = 0;
	int64		high = statement->account->version + 1;

	while (high - low > 1)
	{
		int64		middle = low + (high - low) / 2;

		CHECK_FOR_INTERRUPTS();
		if (epoch_of_version(statement, middle) < epoch)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Versions that are still to come are no place yet: nothing is after them. */
static void
place_after_version(const Statement *statement, int64 version, Place *place)
{
	memset(place, 0, sizeof(Place));
	place->version = version;
	if (!statement->has_hot || version == 0)
		return;
	place->epoch = version > statement->account->version ? PG_INT64_MAX :
		epoch_of_version(statement, version);
}

static void
raise_no_posting(const Account *account, const pg_uuid_t *id)
{
	ereport(ERROR,
			(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
			 errmsg("account %lld of ledger %lld has no posting of journal row %s",
					(long long) account->id, (long long) account->ledger,
					clock_id_text(id))));
}

static void
place_after_row(const Statement *statement, pg_uuid_t *id, Place *place)
{
	Datum		keys[2] = {statement->keys[0], UUIDPGetDatum(id)};
	TupleTableSlot *slot = rel_make_slot(statement->rel);
	bool		is_debit;
	int64		account = statement->account->id;

	memset(place, 0, sizeof(Place));
	if (!rel_fetch(statement->rel, GetActiveSnapshot(), 2, keys, slot))
		raise_no_posting(statement->account, id);
	slot_getallattrs(slot);
	is_debit = get_bigint(slot, COL_DEBIT_ACCOUNT) == account;
	if (!is_debit && get_bigint(slot, COL_CREDIT_ACCOUNT) != account)
		raise_no_posting(statement->account, id);
	place->version = version_of(slot, is_debit);
	place->epoch = epoch_of(slot, is_debit);
	place->within = place->version == 0;
	place->id = *id;
	if (place->within && place->epoch == 0)
		raise_no_posting(statement->account, id);
	ExecDropSingleTupleTableSlot(slot);
	if (place->within)
		place->version = last_version_before(statement, place->epoch);
}

/* ---- the page --------------------------------------------------------- */

/* The columns of the view posting, from those of the journal; -1: the side. */
static const int posting_columns[2][14] = {
	{COL_LEDGER, COL_CREDIT_ACCOUNT, COL_CREDIT_VERSION, COL_ID, COL_KIND,
		-1, COL_AMOUNT, COL_CREDIT_POSTED, COL_CREDIT_PENDING,
		COL_DEBIT_ACCOUNT, COL_HOLD_ID, COL_EFFECTIVE_AT, COL_RECORDED_AT,
	COL_METADATA},
	{COL_LEDGER, COL_DEBIT_ACCOUNT, COL_DEBIT_VERSION, COL_ID, COL_KIND,
		-1, COL_AMOUNT, COL_DEBIT_POSTED, COL_DEBIT_PENDING,
		COL_CREDIT_ACCOUNT, COL_HOLD_ID, COL_EFFECTIVE_AT, COL_RECORDED_AT,
	COL_METADATA}
};

static void
put_posting(ReturnSetInfo *rsinfo, const Stream *stream)
{
	Datum		values[lengthof(posting_columns[0])];
	bool		nulls[lengthof(posting_columns[0])];

	for (int i = 0; i < lengthof(values); i++)
	{
		int			column = posting_columns[stream->is_debit][i];

		values[i] = column < 0 ? stream->name :
			stream->slot->tts_values[column];
		nulls[i] = column >= 0 && stream->slot->tts_isnull[column];
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* The next rows of the account, whichever index they are in. */
static void
put_page(ReturnSetInfo *rsinfo, Statement *statement, const Place *place,
		 int max_rows)
{
	for (int is_hot = 0; is_hot <= (statement->has_hot ? 1 : 0); is_hot++)
		for (int is_debit = 0; is_debit < 2; is_debit++)
			stream_begin(statement, place, is_hot, is_debit);
	for (int row = 0; row < max_rows; row++)
	{
		Stream	   *next = NULL;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < statement->nstreams; i++)
			if (statement->streams[i].found &&
				(next == NULL || comes_before(&statement->streams[i], next)))
				next = &statement->streams[i];
		if (next == NULL)
			break;
		put_posting(rsinfo, next);
		stream_next(next);
	}
	for (int i = 0; i < statement->nstreams; i++)
		stream_end(&statement->streams[i]);
}

/* ---- teller.statement ------------------------------------------------- */

enum
{
	ARG_LEDGER,
	ARG_ACCOUNT,
	ARG_AFTER_VERSION,
	ARG_MAX_ROWS,
	ARG_AFTER_ID
};

static void
check_arguments(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"ledger", "account", "after_version", "max_rows"};

	for (int i = 0; i < lengthof(names); i++)
		input_require(fcinfo, i, names[i]);
	if (PG_GETARG_INT64(ARG_AFTER_VERSION) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("after_version must not be negative")));
	if (PG_GETARG_INT64(ARG_AFTER_VERSION) > 0 && !PG_ARGISNULL(ARG_AFTER_ID))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("after_version and after_id cannot both be given")));
	if (PG_GETARG_INT32(ARG_MAX_ROWS) < 1 ||
		PG_GETARG_INT32(ARG_MAX_ROWS) > STATEMENT_MAX_ROWS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must be between 1 and %d",
						STATEMENT_MAX_ROWS)));
}

PG_FUNCTION_INFO_V1(teller_statement);

/*
 * teller.statement(ledger, account, after_version, max_rows, after_id): see
 * its COMMENT.
 */
Datum
teller_statement(PG_FUNCTION_ARGS)
{
	Statement	statement = {0};
	Account    *account;
	Place		place;

	check_arguments(fcinfo);
	access_require(PG_GETARG_INT64(ARG_LEDGER), ACCESS_READ);
	account = account_peek(PG_GETARG_INT64(ARG_LEDGER),
						   PG_GETARG_INT64(ARG_ACCOUNT), GetActiveSnapshot());
	if (account == NULL)
		account_raise_missing(PG_GETARG_INT64(ARG_LEDGER),
							  PG_GETARG_INT64(ARG_ACCOUNT));
	InitMaterializedSRF(fcinfo, 0);

	statement.rel = rel_open(REL_JOURNAL, AccessShareLock);
	statement.account = account;
	statement.keys[0] = Int64GetDatum(account->ledger);
	statement.keys[1] = Int64GetDatum(account->id);
	statement.has_hot = account->hot || account->has_epoch;
	if (PG_ARGISNULL(ARG_AFTER_ID))
		place_after_version(&statement, PG_GETARG_INT64(ARG_AFTER_VERSION),
							&place);
	else
		place_after_row(&statement, PG_GETARG_UUID_P(ARG_AFTER_ID), &place);
	put_page((ReturnSetInfo *) fcinfo->resultinfo, &statement, &place,
			 PG_GETARG_INT32(ARG_MAX_ROWS));
	rel_close(statement.rel);
	return (Datum) 0;
}
