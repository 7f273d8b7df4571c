/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  A batch called from SQL, once for each of its keys.
 *
 * Keys are looked up in their order before the accounts are locked, once
 * more before a refusal is told, and stored in their order before anything
 * else is written.  A twin that is met while they are stored has all its
 * locks, and waits for no key of ours: that would be one before the key it
 * was met at, and those it has passed.  So the wait for it cannot be a
 * deadlock; what was stored is taken back, and the call begins again.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "batch.h"
#include "clock.h"
#include "compat.h"
#include "ledger.h"
#include "stats.h"

/* The result columns: two, then those of transfer. */
enum
{
	RESULT_ORDINAL,
	RESULT_BATCH_ID,
	RESULT_TRANSFER
};

#define RESULT_COLUMNS (RESULT_TRANSFER + TRANSFER_COLUMNS)

/* ---- keys of the items ------------------------------------------------ */

static JsonbValue *
stored_field(Jsonb *stored, const char *name, JsonbValue *buffer)
{
	return getKeyJsonValueFromContainer(&stored->root, name, strlen(name),
										buffer);
}

static int
compare_keys(const text *a, const text *b)
{
	int			la = VARSIZE_ANY_EXHDR(a);
	int			lb = VARSIZE_ANY_EXHDR(b);
	int			c = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(la, lb));

	return c != 0 ? c : la < lb ? -1 : la > lb ? 1 : 0;
}

/* By key, and by place where keys are the same. */
static int
compare_items(const void *a, const void *b, void *arg)
{
	const PostItem *items = arg;
	int			x = *(const int *) a;
	int			y = *(const int *) b;
	int			c = compare_keys(items[x].key, items[y].key);

	return c != 0 ? c : x - y;
}

/* The second item with a key repeats the first. */
static void
match_twin(Batch *batch, int first, int second)
{
	PostItem   *items = batch->post.items;

	if (compare_keys(items[first].key, items[second].key) != 0)
		return;
	items[second].first = items[first].first >= 0 ? items[first].first : first;
	key_compare(items[second].call, items[first].call->function,
				key_arguments(items[first].call),
				psprintf("key \"%s\" of this batch",
						 text_to_cstring(items[second].key)));
}

static void
sort_keys(Batch *batch)
{
	PostContext context;

	batch->by_key = palloc(sizeof(int) * Max(batch->post.count, 1));
	batch->nkeys = 0;
	for (int i = 0; i < batch->post.count; i++)
		if (batch->post.items[i].key != NULL)
			batch->by_key[batch->nkeys++] = i;
	qsort_arg(batch->by_key, batch->nkeys, sizeof(int), compare_items,
			  batch->post.items);
	post_context_begin(&context);
	for (int i = 1; i < batch->nkeys; i++)
	{
		context.ordinal = batch->post.items[batch->by_key[i]].ordinal;
		match_twin(batch, batch->by_key[i - 1], batch->by_key[i]);
	}
	post_context_end(&context);
}

/* Where a run begins: a twin is answered by the first item with its key. */
static void
reset_twins(Batch *batch)
{
	for (int i = 0; i < batch->post.count; i++)
		batch->post.items[i].twin = batch->post.items[i].first;
}

/* True if a key that had no answer has one now. */
static bool
look_up_keys(Batch *batch)
{
	bool		news = false;
	PostContext context;

	post_context_begin(&context);
	for (int i = 0; i < batch->nkeys; i++)
	{
		PostItem   *item = &batch->post.items[batch->by_key[i]];

		if (item->stored != NULL || item->first >= 0)
			continue;
		context.ordinal = item->ordinal;
		item->stored = key_find(batch->post.ledger, item->key, item->call);
		if (item->stored == NULL)
			continue;
		news = true;
		stats_note_replay();
	}
	post_context_end(&context);
	return news;
}

/* A refusal that was recorded refuses an atomic batch, as a new one would. */
static void
refuse_recorded(const Batch *batch)
{
	PostContext context;

	post_context_begin(&context);
	for (int i = 0; i < batch->nkeys; i++)
	{
		const PostItem *item = &batch->post.items[batch->by_key[i]];
		JsonbValue	buffer;
		JsonbValue *reason = item->stored == NULL ? NULL :
			stored_field(item->stored, "reason", &buffer);
		char	   *name;

		if (reason == NULL)
			continue;
		name = pnstrdup(reason->val.string.val, reason->val.string.len);
		context.ordinal = item->ordinal;
		ereport(ERROR,
				(errcode(denial_sqlstate(name)),
				 errmsg("item %d of the batch was denied before",
						batch->by_key[i] + 1),
				 errdetail("Key \"%s\" of ledger %lld has recorded %s.",
						   text_to_cstring(item->key),
						   (long long) batch->post.ledger, name)));
	}
	post_context_end(&context);
}

/* ---- rows ------------------------------------------------------------- */

/* What a hot account has after one of many movements is nobody's to know. */
static void
item_balances(const PostItem *item, Datum *values, bool *nulls)
{
	int			scale = item->debit->scale;

	nulls[TRANSFER_DEBIT_BALANCE] = nulls[TRANSFER_DEBIT_VERSION] =
		item->debit->hot;
	nulls[TRANSFER_CREDIT_BALANCE] = nulls[TRANSFER_CREDIT_VERSION] =
		item->credit->hot;
	values[TRANSFER_DEBIT_BALANCE] = AmountGetDatum(item->debit_posted, scale);
	values[TRANSFER_DEBIT_VERSION] = Int64GetDatum(item->debit_version);
	values[TRANSFER_CREDIT_BALANCE] = AmountGetDatum(item->credit_posted, scale);
	values[TRANSFER_CREDIT_VERSION] = Int64GetDatum(item->credit_version);
}

/* The row of an item that is decided now. */
static void
item_row(const Batch *batch, const PostItem *item, Datum *values, bool *nulls)
{
	Datum	   *transfer = values + RESULT_TRANSFER;
	bool	   *transfer_nulls = nulls + RESULT_TRANSFER;
	bool		denied = item->denial != NULL;

	memset(nulls, false, RESULT_COLUMNS);
	values[RESULT_BATCH_ID] = UUIDPGetDatum(&batch->post.id);
	transfer_nulls[TRANSFER_ID] = denied;
	if (!denied)
		transfer[TRANSFER_ID] = UUIDPGetDatum(&item->row->id);
	transfer[TRANSFER_STATUS] = CStringGetTextDatum(denied ? "denied" : "posted");
	transfer_nulls[TRANSFER_REASON] = !denied;
	if (denied)
		transfer[TRANSFER_REASON] = CStringGetTextDatum(denial_reason(item->denial));
	transfer[TRANSFER_AMOUNT] = AmountGetDatum(denied ? 0 : item->amount,
											   item->debit->scale);
	item_balances(item, transfer, transfer_nulls);
	transfer[TRANSFER_REPLAYED] = BoolGetDatum(false);
}

static void
emit(FunctionCallInfo fcinfo, int ordinal, Datum *values, bool *nulls)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	values[RESULT_ORDINAL] = Int32GetDatum(ordinal);
	nulls[RESULT_ORDINAL] = false;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
emit_items(FunctionCallInfo fcinfo, Batch *batch)
{
	TupleDesc	desc = ((ReturnSetInfo *) fcinfo->resultinfo)->setDesc;

	for (int i = 0; i < batch->post.count; i++)
	{
		Datum		values[RESULT_COLUMNS] = {0};
		bool		nulls[RESULT_COLUMNS] = {0};
		PostItem   *item = &batch->post.items[i];
		PostItem   *said = item->twin < 0 ? item : &batch->post.items[item->twin];

		if (said->stored != NULL)
			key_row_from_json(desc, said->stored, values, nulls);
		else
			item_row(batch, said, values, nulls);

		if (said != item)
			values[RESULT_TRANSFER + TRANSFER_REPLAYED] = BoolGetDatum(true);
		emit(fcinfo, i + 1, values, nulls);
	}
}

/* ---- the key of the batch --------------------------------------------- */

static void
emit_journal_row(FunctionCallInfo fcinfo, int ordinal, const JournalRow *row)
{
	Datum		values[RESULT_COLUMNS] = {0};
	bool		nulls[RESULT_COLUMNS] = {0};
	Datum	   *transfer = values + RESULT_TRANSFER;
	bool	   *transfer_nulls = nulls + RESULT_TRANSFER;

	values[RESULT_BATCH_ID] = UUIDPGetDatum(row->batch_id);
	transfer[TRANSFER_ID] = UUIDPGetDatum(&row->id);
	transfer[TRANSFER_STATUS] = CStringGetTextDatum("posted");
	transfer_nulls[TRANSFER_REASON] = true;
	transfer_nulls[TRANSFER_DEBIT_BALANCE] =
		transfer_nulls[TRANSFER_DEBIT_VERSION] = row->debit.hot;
	transfer_nulls[TRANSFER_CREDIT_BALANCE] =
		transfer_nulls[TRANSFER_CREDIT_VERSION] = row->credit.hot;
	transfer[TRANSFER_AMOUNT] = AmountGetDatum(row->amount, row->scale);
	transfer[TRANSFER_DEBIT_BALANCE] = AmountGetDatum(row->debit.posted,
													  row->scale);
	transfer[TRANSFER_DEBIT_VERSION] = Int64GetDatum(row->debit.version);
	transfer[TRANSFER_CREDIT_BALANCE] = AmountGetDatum(row->credit.posted,
													   row->scale);
	transfer[TRANSFER_CREDIT_VERSION] = Int64GetDatum(row->credit.version);
	transfer[TRANSFER_REPLAYED] = BoolGetDatum(true);
	emit(fcinfo, ordinal, values, nulls);
}

/* A refusal that was recorded. */
static void
emit_stored_denial(FunctionCallInfo fcinfo, Jsonb *stored)
{
	Datum		values[RESULT_COLUMNS] = {0};
	bool		nulls[RESULT_COLUMNS] = {0};

	key_row_from_json(((ReturnSetInfo *) fcinfo->resultinfo)->setDesc, stored,
					  values, nulls);
	emit(fcinfo, 1, values, nulls);
}

/* The rows are in the journal; the key knows only which batch it was. */
static void
emit_stored_batch(FunctionCallInfo fcinfo, int64 ledger, Jsonb *stored)
{
	JsonbValue	buffer;
	JsonbValue *v = stored_field(stored, "count", &buffer);
	int			expected;
	char	   *id;
	JournalRow *rows;
	int			count;

	if (v == NULL)
	{
		emit_stored_denial(fcinfo, stored);
		return;
	}
	expected = DatumGetInt32(DirectFunctionCall1(numeric_int4,
												 NumericGetDatum(v->val.numeric)));
	v = stored_field(stored, "batch_id", &buffer);
	id = pnstrdup(v->val.string.val, v->val.string.len);
	rows = journal_batch(ledger,
						 DatumGetUUIDP(DirectFunctionCall1(uuid_in,
														   CStringGetDatum(id))),
						 &count);
	if (count != expected)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("batch %s of ledger %lld has %d rows, not %d", id,
						(long long) ledger, count, expected)));
	for (int i = 0; i < count; i++)
		emit_journal_row(fcinfo, i + 1, &rows[i]);
}

static Jsonb *
batch_answer(const Batch *batch)
{
	KeyCall		answer = {0};

	key_add_uuid(&answer, "batch_id", &batch->post.id);
	key_add_bigint(&answer, "count", false, batch->post.movement.nrows);
	return key_arguments(&answer);
}

/* ---- storing ---------------------------------------------------------- */

static bool
store_item(Batch *batch, TupleDesc desc, const PostItem *item)
{
	Datum		values[RESULT_COLUMNS] = {0};
	bool		nulls[RESULT_COLUMNS] = {0};

	item_row(batch, item, values, nulls);
	nulls[RESULT_ORDINAL] = true;
	return key_store_row(batch->post.ledger, item->key, item->call, desc,
						 values, nulls, batch->post.movement.set->now);
}

/* The keys of what is posted now, in their order; all of them, or none. */
static bool
store_items(Batch *batch, TupleDesc desc)
{
	int			stored = 0;
	bool		all = true;
	PostContext context;

	post_context_begin(&context);
	for (; stored < batch->nkeys && all; stored++)
	{
		PostItem   *item = &batch->post.items[batch->by_key[stored]];

		context.ordinal = item->ordinal;
		if (item->row != NULL)
			all = store_item(batch, desc, item);
	}
	post_context_end(&context);
	if (all)
		return true;
	CommandCounterIncrement();
	for (int i = 0; i < stored - 1; i++)
	{
		PostItem   *item = &batch->post.items[batch->by_key[i]];

		if (item->row != NULL)
			key_unstore(batch->post.ledger, item->key);
	}
	return false;
}

static bool
store_batch(Batch *batch)
{
	KeyAnswer	answer = {0};

	answer.id = &batch->post.id;
	answer.status = "posted";
	answer.result = batch_answer(batch);
	return key_store(batch->post.ledger, batch->key, batch->call, &answer,
					 batch->post.movement.set->now);
}

/* ---- running ---------------------------------------------------------- */

static bool
has_denial(const Batch *batch)
{
	for (int i = 0; i < batch->post.count; i++)
		if (batch->post.items[i].denial != NULL)
			return true;
	return false;
}

static bool
all_answered(const Batch *batch)
{
	for (int i = 0; i < batch->post.count; i++)
		if (batch->post.items[i].stored == NULL && batch->post.items[i].twin < 0)
			return false;
	return true;
}

/*
 * What is refused now may have been done, and forgotten since.  In atomic mode
 * the refusal is that of all items.
 */
static void
check_ages(const Batch *batch)
{
	int64		ledger = batch->post.ledger;
	PostContext context;

	if (batch->key != NULL && batch->call->has_request_time)
		key_check_age(ledger, batch->key, batch->call->request_time);
	post_context_begin(&context);
	for (int i = 0; i < batch->nkeys; i++)
	{
		const PostItem *item = &batch->post.items[batch->by_key[i]];

		context.ordinal = item->ordinal;
		if (item->stored == NULL && item->call->has_request_time &&
			(batch->post.atomic || item->denial != NULL))
			key_check_age(ledger, item->key, item->call->request_time);
	}
	post_context_end(&context);
}

pg_noreturn static void
raise_denial(const Batch *batch, const Denial *denial)
{
	PostContext context;

	post_context_begin(&context);
	if (batch->post.refused != NULL)
		context.ordinal = batch->post.refused->ordinal;
	denial_raise(denial);
}

/* A refusal of the whole batch is one row, about no item and no account. */
static void
denial_row(const Batch *batch, const Denial *denial, Datum *values, bool *nulls)
{
	Datum	   *transfer = values + RESULT_TRANSFER;
	bool	   *transfer_nulls = nulls + RESULT_TRANSFER;

	memset(nulls, true, RESULT_COLUMNS);
	transfer[TRANSFER_STATUS] = CStringGetTextDatum("denied");
	transfer[TRANSFER_REASON] = CStringGetTextDatum(denial_reason(denial));
	transfer[TRANSFER_AMOUNT] = AmountGetDatum(0, batch->post.movement.scale);
	transfer[TRANSFER_REPLAYED] = BoolGetDatum(false);
	transfer_nulls[TRANSFER_STATUS] = transfer_nulls[TRANSFER_REASON] =
		transfer_nulls[TRANSFER_AMOUNT] = transfer_nulls[TRANSFER_REPLAYED] =
		false;
}

/* False if a twin stored the key first. */
static bool
tell_denial(FunctionCallInfo fcinfo, Batch *batch, const Denial *denial)
{
	TupleDesc	desc = ((ReturnSetInfo *) fcinfo->resultinfo)->setDesc;
	Datum		values[RESULT_COLUMNS] = {0};
	bool		nulls[RESULT_COLUMNS];

	if (batch->on_denial == DENIAL_RAISE)
		raise_denial(batch, denial);
	denial_row(batch, denial, values, nulls);
	if (batch->on_denial == DENIAL_RECORD)
	{
		if (!key_store_row(batch->post.ledger, batch->key, batch->call, desc,
						   values, nulls, batch->post.movement.set->now))
			return false;
		CommandCounterIncrement();
	}
	emit(fcinfo, 1, values, nulls);
	return true;
}

/* False if a twin came first: then nothing is written. */
static bool
run_once(FunctionCallInfo fcinfo, Batch *batch)
{
	TupleDesc	desc = ((ReturnSetInfo *) fcinfo->resultinfo)->setDesc;
	Denial	   *denial;
	bool		done;

	post_lock(&batch->post);
	denial = batch->prepare == NULL ? NULL : batch->prepare(batch);
	if (denial == NULL)
		denial = post_decide(&batch->post);
	if (denial != NULL || has_denial(batch))
	{
		/* The twin that took the last money may have been this very call. */
		if (look_up_keys(batch) ||
			(batch->key != NULL &&
			 key_find(batch->post.ledger, batch->key, batch->call) != NULL))
		{
			post_close(&batch->post);
			return false;
		}
		check_ages(batch);
		if (denial != NULL)
		{
			done = tell_denial(fcinfo, batch, denial);
			post_close(&batch->post);
			return done;
		}
	}
	done = batch->key != NULL ? store_batch(batch) : store_items(batch, desc);
	if (done)
	{
		post_write(&batch->post);
		emit_items(fcinfo, batch);
	}
	post_close(&batch->post);
	return done;
}

Datum
batch_run(FunctionCallInfo fcinfo, Batch *batch)
{
	PostBatch	asked = batch->post;

	if (batch->on_denial == DENIAL_RECORD && batch->key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_denial => 'record' needs a key to record the denial under")));
	InitMaterializedSRF(fcinfo, 0);
	if (batch->post.count == 0)
		ledger_check(batch->post.ledger);
	sort_keys(batch);
	for (;;)
	{
		Jsonb	   *stored = batch->key == NULL ? NULL :
			key_find(batch->post.ledger, batch->key, batch->call);

		if (stored != NULL)
		{
			stats_note_replay();
			emit_stored_batch(fcinfo, batch->post.ledger, stored);
			break;
		}
		reset_twins(batch);
		look_up_keys(batch);
		if (batch->post.atomic)
			refuse_recorded(batch);
		if (all_answered(batch))
		{
			emit_items(fcinfo, batch);
			break;
		}
		if (run_once(fcinfo, batch))
			break;

		/* What prepare left out is asked for again. */
		batch->post.items = asked.items;
		batch->post.count = asked.count;
		CHECK_FOR_INTERRUPTS();
	}
	return (Datum) 0;
}
