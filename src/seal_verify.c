/*-------------------------------------------------------------------------
 *
 * seal_verify.c
 *	  teller.verify_seal: the journal against its seals.
 *
 * The journal is hashed again from the beginning.  For each seal the first
 * row that does not fit is named; the seals after it are tested all the same,
 * each from the head of the one before it as it is stored.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "clock.h"
#include "compat.h"
#include "input.h"
#include "journal.h"
#include "ledger.h"
#include "seal.h"

typedef struct Verification
{
	ReturnSetInfo *result;
	Digester	digester;
	Snapshot	snapshot;
	int64		ledger;
	int64		number;			/* of the seal tested last */
	int64		total;			/* rows sealed up to it */
	FeedPlace	place;			/* its last row */
	int64		below;			/* each row with a lower tx is sealed */
	uint8		head[DIGEST_LEN];	/* its head as it is stored */
	const uint8 *wanted;		/* the auditor's digest, or NULL */
	bool		wanted_found;
} Verification;

/* The first row of a seal that does not fit. */
typedef struct Misfit
{
	bool		found;
	int			at;				/* its place in the seal, from 0 */
	pg_uuid_t	id;				/* the row that stands there */
} Misfit;

/* ---- what is told ----------------------------------------------------- */

static void
tell(Verification *v, const int64 *number, const pg_uuid_t *id,
	 const char *detail)
{
	Datum		values[3];
	bool		nulls[3] = {number == NULL, id == NULL, false};

	if (number != NULL)
		values[0] = Int64GetDatum(*number);
	values[1] = UUIDPGetDatum(id);
	values[2] = CStringGetTextDatum(detail);
	tuplestore_putvalues(v->result->setResult, v->result->setDesc, values,
						 nulls);
}

static int
find_id(const Seal *seal, int from, const pg_uuid_t *id)
{
	for (int i = from; i < seal->nrows; i++)
		if (memcmp(&seal->ids[i], id, UUID_LEN) == 0)
			return i;
	return -1;
}

/* Name the row, and say whether it was changed, removed or inserted. */
static void
tell_misfit(Verification *v, const Seal *seal, const Misfit *misfit)
{
	const pg_uuid_t *expected = misfit->at < seal->nrows ?
		&seal->ids[misfit->at] : NULL;
	const pg_uuid_t *named = expected;
	const char *how;

	if (expected == NULL)
	{
		named = &misfit->id;
		how = "was inserted behind the last row";
	}
	else if (misfit->found && memcmp(&misfit->id, expected, UUID_LEN) == 0)
		how = "was changed";
	else if (misfit->found && find_id(seal, misfit->at, &misfit->id) < 0 &&
			 journal_find(v->ledger, expected) != NULL)
	{
		named = &misfit->id;
		how = "was inserted";
	}
	else if (journal_find(v->ledger, expected) != NULL)
		how = "was changed: it is not in its place";
	else
		how = "was removed";
	tell(v, &seal->number, named,
		 psprintf("journal row %s, number %d of the %d rows of the seal, %s",
				  clock_id_text(named), misfit->at + 1, seal->nrows, how));
}

/* ---- one seal --------------------------------------------------------- */

static int
compare_places(const FeedPlace *a, const FeedPlace *b)
{
	if (a->tx != b->tx)
		return a->tx < b->tx ? -1 : 1;
	return memcmp(&a->id, &b->id, UUID_LEN);
}

/*
 * The rows of one seal.  False if those that are there give another last
 * digest than the seal has; then misfit is the first that does not fit.
 */
static bool
check_rows(Verification *v, const Seal *seal, Misfit *misfit)
{
	FeedScan	feed;
	TupleTableSlot *slot;
	uint8		digest[DIGEST_LEN];
	int			count = 0;
	bool		fits = true;
	bool		untouched;

	memcpy(digest, seal->previous, DIGEST_LEN);
	feed_begin(&feed, v->ledger, &v->place, v->snapshot);
	feed.horizon = PG_INT64_MAX;
	slot = rel_make_slot(feed.rel);
	while (feed_next(&feed, slot) &&
		   compare_places(&feed.place, &seal->last) <= 0)
	{
		CHECK_FOR_INTERRUPTS();

		/* The seal before it is missing: its rows are not ours. */
		if (count == 0 && seal->number > v->number + 1 &&
			compare_places(&feed.place, &seal->first) < 0)
			continue;
		digest_row(&v->digester, slot);
		digest_chain(&v->digester, digest);
		if (fits && (count >= seal->nrows ||
					 memcmp(&seal->ids[count], &feed.place.id, UUID_LEN) != 0 ||
					 memcmp(seal->digests[count], digest, DIGEST_LEN) != 0))
		{
			fits = false;
			misfit->found = true;
			misfit->at = count;
			misfit->id = feed.place.id;
		}
		count++;
	}
	ExecDropSingleTupleTableSlot(slot);
	feed_end(&feed);
	if (fits && count < seal->nrows)
	{
		fits = false;
		misfit->at = count;
	}

	/* The rows are as they were, and what the seal says of them is not. */
	untouched = count == seal->nrows &&
		memcmp(digest, seal->digests[count - 1], DIGEST_LEN) == 0;
	if (!fits && untouched)
		tell(v, &seal->number, NULL,
			 "the digests or ids of the seal were changed");
	return fits || untouched;
}

/* The seal itself; false if its rows cannot even be looked for. */
static bool
check_record(Verification *v, const Seal *seal)
{
	uint8		head[DIGEST_LEN];

	for (int64 missing = v->number + 1; missing < seal->number; missing++)
	{
		tell(v, &missing, NULL, "the seal is missing");
		if (missing - v->number >= 100)
			break;
	}
	if (seal->nrows < 1 || seal->nrows > SEAL_MAX_ROWS ||
		seal->ids_length != UUID_LEN * seal->nrows ||
		seal->digests_length != DIGEST_LEN * seal->nrows)
	{
		tell(v, &seal->number, NULL, "the seal was changed");
		return false;
	}
	seal_head(&v->digester, seal, head);
	if (memcmp(head, seal->head, DIGEST_LEN) != 0)
		tell(v, &seal->number, NULL,
			 "the seal was changed: its head is not the hash of what it says");
	else if (seal->number == v->number + 1 &&
			 (memcmp(seal->previous, v->head, DIGEST_LEN) != 0 ||
			  seal->total != v->total + seal->nrows))
		tell(v, &seal->number, NULL,
			 "the seal does not continue the one before it");
	return true;
}

static void
check_seal(Verification *v, const Seal *seal)
{
	Misfit		misfit = {0};

	if (check_record(v, seal) && !check_rows(v, seal, &misfit))
		tell_misfit(v, seal, &misfit);
	v->number = seal->number;
	v->total = seal->total;
	v->place = seal->last;
	v->below = seal->below;
	memcpy(v->head, seal->head, DIGEST_LEN);
	if (v->wanted != NULL && memcmp(v->wanted, seal->head, DIGEST_LEN) == 0)
		v->wanted_found = true;
}

/* ---- all of them ------------------------------------------------------ */

static void
check_seals(Verification *v)
{
	Rel		   *rel = rel_open(REL_SEAL, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "teller seal",
												  ALLOCSET_DEFAULT_SIZES);
	Datum		keys[1] = {Int64GetDatum(v->ledger)};
	RelScan    *scan = rel_scan_begin(rel, "seal_pkey", v->snapshot, 1, keys);
	Seal		seal;

	while (rel_scan_next(scan, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		seal_read(&seal, slot, true);
		check_seal(v, &seal);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	rel_scan_end(scan);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	MemoryContextDelete(context);
}

/* A row that sorts among those sealed last came after them. */
static void
check_behind(Verification *v)
{
	FeedScan	feed;
	TupleTableSlot *slot;

	if (v->number == 0)
		return;
	feed_begin(&feed, v->ledger, &v->place, v->snapshot);
	slot = rel_make_slot(feed.rel);
	if (feed_next(&feed, slot) && feed.place.tx < v->below)
		tell(v, &v->number, &feed.place.id,
			 psprintf("journal row %s was inserted behind the last row of the seal",
					  clock_id_text(&feed.place.id)));
	ExecDropSingleTupleTableSlot(slot);
	feed_end(&feed);
}

static const uint8 *
input_digest(FunctionCallInfo fcinfo)
{
	bytea	   *digest;

	if (PG_ARGISNULL(1))
		return NULL;
	digest = PG_GETARG_BYTEA_PP(1);
	if (VARSIZE_ANY_EXHDR(digest) != DIGEST_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("digest must have %d bytes", DIGEST_LEN),
				 errdetail("It has %d.", (int) VARSIZE_ANY_EXHDR(digest)),
				 errhint("Pass a digest that teller.seal() returned.")));
	return (const uint8 *) VARDATA_ANY(digest);
}

PG_FUNCTION_INFO_V1(teller_verify_seal);

/* teller.verify_seal(ledger, digest): see its COMMENT. */
Datum
teller_verify_seal(PG_FUNCTION_ARGS)
{
	Verification v = {0};

	input_require(fcinfo, 0, "ledger");
	v.ledger = PG_GETARG_INT64(0);
	v.wanted = input_digest(fcinfo);
	access_require(v.ledger, ACCESS_READ);
	ledger_check(v.ledger);
	InitMaterializedSRF(fcinfo, 0);
	v.result = (ReturnSetInfo *) fcinfo->resultinfo;
	v.snapshot = GetActiveSnapshot();
	digester_begin(&v.digester);
	digest_start(&v.digester, v.ledger, v.head);
	v.wanted_found = v.wanted == NULL ||
		memcmp(v.wanted, v.head, DIGEST_LEN) == 0;
	check_seals(&v);
	check_behind(&v);
	if (!v.wanted_found)
		tell(&v, NULL, NULL,
			 "no seal has this digest: seals were removed, or the chain was made anew");
	digester_end(&v.digester);
	return (Datum) 0;
}
