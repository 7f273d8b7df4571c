/*-------------------------------------------------------------------------
 *
 * reverse_batch.c
 *	  Undo a whole batch, all or nothing.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access.h"
#include "batch.h"
#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "reverse.h"

enum
{
	ARG_LEDGER,
	ARG_BATCH_ID,
	ARG_KEY,
	ARG_REQUEST_TIME
};

/* What was posted by the batch; an item is made of each row. */
typedef struct OldBatch
{
	JournalRow *rows;
	int			count;
} OldBatch;

static void
find_batch(int64 ledger, const pg_uuid_t *id, OldBatch *old)
{
	PostContext context;

	old->rows = journal_batch(ledger, id, &old->count);
	if (old->count == 0)
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
				 errmsg("batch %s of ledger %lld does not exist",
						clock_id_text(id), (long long) ledger)));
	post_context_begin(&context);
	for (int i = 0; i < old->count; i++)
	{
		context.ordinal = i + 1;
		reverse_check(&old->rows[i]);
	}
	post_context_end(&context);
}

/* The other way round; the amount is known when the accounts are locked. */
static void
make_items(Batch *batch, const OldBatch *old)
{
	batch->post.count = old->count;
	batch->post.items = palloc0(sizeof(PostItem) * old->count);
	for (int i = 0; i < old->count; i++)
	{
		PostItem   *item = &batch->post.items[i];

		item->ordinal = i + 1;
		item->first = item->twin = -1;
		item->reverses = &old->rows[i].id;
		item->request.ledger = batch->post.ledger;
		item->request.debit_account = old->rows[i].credit.account;
		item->request.credit_account = old->rows[i].debit.account;
	}
}

/* The rows that are reversed in part give their rest, the others all. */
static Denial *
prepare(Batch *batch)
{
	const OldBatch *old = batch->request;
	int			kept = 0;

	make_items(batch, old);
	for (int i = 0; i < old->count; i++)
	{
		Amount		remaining = reverse_remaining(&old->rows[i]);

		if (remaining == 0)
			continue;
		batch->post.items[kept] = batch->post.items[i];
		batch->post.items[kept++].request.amount =
			amount_to_numeric(remaining, old->rows[i].scale);
	}
	batch->post.count = kept;
	if (kept > 0)
		return NULL;
	return denial_make(ERRCODE_INVALID_PARAMETER_VALUE,
					   psprintf("batch %s of ledger %lld is reversed already",
								clock_id_text(old->rows[0].batch_id),
								(long long) batch->post.ledger),
					   NULL, NULL);
}

PG_FUNCTION_INFO_V1(teller_reverse_batch);

/*
 * teller.reverse_batch: see its COMMENT.  Locks all accounts of the batch by
 * account_id.
 */
Datum
teller_reverse_batch(PG_FUNCTION_ARGS)
{
	Batch		batch = {0};
	OldBatch	old = {0};
	pg_uuid_t  *id;

	input_require(fcinfo, ARG_LEDGER, "ledger");
	input_require(fcinfo, ARG_BATCH_ID, "batch_id");
	batch.post.ledger = PG_GETARG_INT64(ARG_LEDGER);
	batch.post.atomic = true;

	/* What is reversed already is told by the locks of its accounts. */
	batch.post.exact = true;
	id = PG_GETARG_UUID_P(ARG_BATCH_ID);
	batch.key = input_label(fcinfo, ARG_KEY, "key");
	access_require(batch.post.ledger, ACCESS_POST);
	if (batch.key != NULL)
	{
		batch.call = palloc0(sizeof(KeyCall));
		batch.call->function = "reverse_batch";
		key_add_uuid(batch.call, "batch_id", id);
		key_add_request_time(fcinfo, ARG_REQUEST_TIME, batch.call);
	}
	find_batch(batch.post.ledger, id, &old);
	make_items(&batch, &old);
	batch.prepare = prepare;
	batch.request = &old;
	return batch_run(fcinfo, &batch);
}
