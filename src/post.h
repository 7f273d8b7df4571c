/*-------------------------------------------------------------------------
 *
 * post.h
 *	  A batch: many transfers as one movement.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_POST_H
#define TELLER_POST_H

#include "key.h"
#include "transfer.h"

#define POST_MAX_ITEMS 10000	/* legs of one batch */

/* One item: a transfer, and what became of it. */
typedef struct PostItem
{
	TransferRequest request;
	int			ordinal;		/* its place in what was asked, from 1 */
	const pg_uuid_t *reverses;	/* the row it reverses, or NULL */
	Amount		amount;
	text	   *key;			/* NULL if it has none of its own */
	KeyCall    *call;			/* what its key stands for */
	int			first;			/* the first item with its key, or -1 */
	int			twin;			/* the item that answers for it, or -1 */
	Jsonb	   *stored;			/* the answer its key has already, or NULL */
	Denial	   *denial;			/* independent mode: refused */
	JournalRow *row;			/* NULL unless it is posted now */
	Account    *debit;			/* in the set; NULL if it is answered already */
	Account    *credit;
	Amount		debit_posted;	/* the balances and versions it answers */
	Amount		credit_posted;
	int64		debit_version;
	int64		credit_version;
} PostItem;

typedef struct PostBatch
{
	int64		ledger;
	bool		atomic;			/* all or nothing, limits on the net result */
	bool		exact;			/* goes by the balances as they are locked */
	bool		own_times;		/* each item has an effective_at of its own */
	pg_uuid_t	id;
	int			count;
	PostItem   *items;
	const PostItem *refused;	/* atomic: the one refused, or NULL */
	Movement	movement;
} PostBatch;

/* Which item an error is about: "item 3 of the batch" in its CONTEXT. */
typedef struct PostContext
{
	ErrorContextCallback callback;
	int			ordinal;		/* of the item; 0: none is named */
} PostContext;

/*
 * post_context_begin: from here on errors name the item of context->ordinal,
 * which is 0 at first.  post_context_end ends that; an error does so by
 * itself.  context is the caller's, who does not return in between.
 */
extern void post_context_begin(PostContext *context);
extern void post_context_end(const PostContext *context);

/*
 * post_lock: lock the accounts of the items that have no answer yet, each
 * once, in order.
 */
extern void post_lock(PostBatch *batch);

/*
 * post_decide: test and post in memory, item by item.  In atomic mode the
 * first refusal is the answer, and nothing of it is to be written; `refused`
 * is the item that it is about, or NULL if it is about the sum.  Limits are
 * tested on what each account loses or gains in all, so the order of the
 * items cannot matter.  In independent mode each item is tested where its
 * turn comes and answers for itself.
 * Raises 22023, 22003 and TL007 for bad items.
 */
extern Denial *post_decide(PostBatch *batch);

/* Write accounts and journal rows; close gives the memory back. */
extern void post_write(PostBatch *batch);
extern void post_close(PostBatch *batch);

#endif							/* TELLER_POST_H */
