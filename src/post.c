/*-------------------------------------------------------------------------
 *
 * post.c
 *	  A batch: many transfers as one movement.
 *
 * Each account is locked once, in order, and written once; what happens in
 * between happens in memory.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "clock.h"
#include "period.h"
#include "post.h"

/* ---- which item an error is about ------------------------------------- */

static void
name_item(void *arg)
{
	const PostContext *context = arg;

	if (context->ordinal > 0)
		errcontext("item %d of the batch", context->ordinal);
}

void
post_context_begin(PostContext *context)
{
	context->callback.previous = error_context_stack;
	context->callback.callback = name_item;
	context->callback.arg = context;
	context->ordinal = 0;
	error_context_stack = &context->callback;
}

void
post_context_end(const PostContext *context)
{
	Assert(error_context_stack == &context->callback);
	error_context_stack = context->callback.previous;
}

/* ----------------------------------------------------------------------- */

/* True if the item is decided in this call. */
static bool
is_new(const PostItem *item)
{
	return item->stored == NULL && item->twin < 0;
}

/* No item may fall into a closed period; the earliest tells. */
static void
check_period(const PostBatch *batch)
{
	const PostItem *earliest = NULL;
	PostContext context;

	for (int i = 0; i < batch->count; i++)
	{
		const PostItem *item = &batch->items[i];

		if (is_new(item) && item->request.has_effective_at &&
			(earliest == NULL ||
			 item->request.effective_at < earliest->request.effective_at))
			earliest = item;
	}
	if (earliest == NULL)
		return;
	post_context_begin(&context);
	context.ordinal = batch->own_times ? earliest->ordinal : 0;
	period_check(batch->ledger, earliest->request.effective_at);
	post_context_end(&context);
}

void
post_lock(PostBatch *batch)
{
	int64	   *accounts = palloc(sizeof(int64) * 2 * Max(batch->count, 1));
	int			n = 0;

	batch->refused = NULL;
	check_period(batch);
	for (int i = 0; i < batch->count; i++)
		if (is_new(&batch->items[i]))
		{
			accounts[n++] = batch->items[i].request.debit_account;
			accounts[n++] = batch->items[i].request.credit_account;
		}
	movement_init(&batch->movement,
				  account_set_lock_as(batch->ledger, accounts, n,
									  batch->atomic && !batch->exact ?
									  ACCOUNT_SHARED : ACCOUNT_ALONE), n / 2);
	batch->movement.batch_id = &batch->id;
	pfree(accounts);
}

static void
find_accounts(PostBatch *batch, PostItem *item)
{
	AccountSet *set = batch->movement.set;

	item->debit = account_in_set(set, item->request.debit_account);
	item->credit = account_in_set(set, item->request.credit_account);
	account_check_assets(item->debit, item->credit);
	item->amount = amount_to_move(item->request.amount, item->debit->scale,
								  "amount");
}

static void
note_balances(PostItem *item)
{
	item->debit_posted = item->debit->posted;
	item->debit_version = item->debit->version;
	item->credit_posted = item->credit->posted;
	item->credit_version = item->credit->version;
}

static void
post_item(PostBatch *batch, PostItem *item)
{
	Movement   *movement = &batch->movement;

	movement->debit = item->debit;
	movement->credit = item->credit;
	movement->scale = item->debit->scale;
	item->row = movement_post(movement,
							  item->reverses ? "reversal" : "transfer",
							  item->amount);
	item->row->reverses = item->reverses;
	item->row->metadata = item->request.metadata;
	if (item->request.has_effective_at)
		item->row->effective_at = item->request.effective_at;
	note_balances(item);
}

/* ---- atomic ----------------------------------------------------------- */

/* What needs no sum: versions as they were locked, and frozen accounts. */
static Denial *
test_item(const PostItem *item)
{
	Denial	   *denial = NULL;

	if (item->request.has_expected_version)
		denial = account_test_version(item->debit,
									  item->request.expected_version);
	if (denial == NULL)
		denial = account_test_active(item->debit, true);
	if (denial == NULL)
		denial = account_test_active(item->credit, false);
	return denial;
}

/*
 * What each account loses or gains in all.  One that loses nothing may be
 * below its minimum, as after a forced limit; so with its maximum.
 */
static Denial *
test_net(PostBatch *batch)
{
	AccountSet *set = batch->movement.set;
	Amount	   *net = palloc0(sizeof(Amount) * Max(set->count, 1));
	Denial	   *denial = NULL;

	for (int i = 0; i < batch->count; i++)
	{
		PostItem   *item = &batch->items[i];
		Amount	   *debit;
		Amount	   *credit;

		if (!is_new(item))
			continue;
		debit = &net[item->debit - set->accounts];
		credit = &net[item->credit - set->accounts];
		*debit = amount_subtract(*debit, item->amount);
		*credit = amount_add(*credit, item->amount);
	}
	for (int i = 0; i < set->count && denial == NULL; i++)
	{
		if (net[i] < 0)
			denial = account_test_minimum(set, &set->accounts[i], -net[i]);
		else if (net[i] > 0)
			denial = account_test_maximum(set, &set->accounts[i], net[i]);
	}
	pfree(net);
	return denial;
}

static Denial *
decide_atomic(PostBatch *batch)
{
	Denial	   *denial = NULL;
	PostContext context;

	post_context_begin(&context);
	for (int i = 0; i < batch->count && denial == NULL; i++)
		if (is_new(&batch->items[i]))
		{
			batch->refused = &batch->items[i];
			context.ordinal = batch->refused->ordinal;
			denial = test_item(batch->refused);
		}
	if (denial == NULL)
	{
		/* What an account loses or gains in all is no one item's doing. */
		batch->refused = NULL;
		context.ordinal = 0;
		denial = test_net(batch);
	}
	for (int i = 0; i < batch->count && denial == NULL; i++)
		if (is_new(&batch->items[i]))
		{
			context.ordinal = batch->items[i].ordinal;
			post_item(batch, &batch->items[i]);
		}
	post_context_end(&context);
	return denial;
}

/* ---- independent ------------------------------------------------------ */

/*
 * A refusal leaves the key free: the next item with that key is tried in its
 * turn, and answers for those that follow.
 */
static void
take_turn(PostBatch *batch, int place)
{
	PostItem   *item = &batch->items[place];
	int			refused = item->twin;

	if (refused < 0 || batch->items[refused].denial == NULL)
		return;
	for (int i = place + 1; i < batch->count; i++)
		if (batch->items[i].twin == refused)
			batch->items[i].twin = place;
	item->twin = -1;
	find_accounts(batch, item);
}

static void
decide_independent(PostBatch *batch)
{
	AccountSet *set = batch->movement.set;
	PostContext context;

	post_context_begin(&context);
	for (int i = 0; i < batch->count; i++)
	{
		PostItem   *item = &batch->items[i];

		context.ordinal = item->ordinal;
		take_turn(batch, i);
		if (!is_new(item))
			continue;
		item->denial = test_item(item);
		if (item->denial == NULL)
			item->denial = account_test_minimum(set, item->debit, item->amount);
		if (item->denial == NULL)
			item->denial = account_test_maximum(set, item->credit, item->amount);
		if (item->denial == NULL)
			post_item(batch, item);
		else
			note_balances(item);
	}
	post_context_end(&context);
}

/* ----------------------------------------------------------------------- */

Denial *
post_decide(PostBatch *batch)
{
	PostContext context;

	clock_new_batch_id(&batch->id);
	post_context_begin(&context);
	for (int i = 0; i < batch->count; i++)
	{
		context.ordinal = batch->items[i].ordinal;
		batch->items[i].denial = NULL;
		batch->items[i].row = NULL;
		if (is_new(&batch->items[i]))
			find_accounts(batch, &batch->items[i]);
	}
	post_context_end(&context);
	if (batch->atomic)
		return decide_atomic(batch);
	decide_independent(batch);
	return NULL;
}

void
post_write(PostBatch *batch)
{
	movement_write(&batch->movement);
}

void
post_close(PostBatch *batch)
{
	movement_close(&batch->movement);
}
