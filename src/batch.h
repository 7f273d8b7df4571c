/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  A batch called from SQL, once for each of its keys.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_BATCH_H
#define TELLER_BATCH_H

#include "fmgr.h"

#include "input.h"
#include "post.h"

typedef struct Batch
{
	PostBatch	post;
	text	   *key;			/* of the whole batch, or NULL */
	KeyCall    *call;			/* what it stands for */
	OnDenial	on_denial;		/* what becomes of a refusal of it all */

	/*
	 * Completes the items when the accounts are locked; may be NULL.  It may
	 * leave some out, in an array of its own.  Returns a refusal of the whole
	 * batch, or NULL.
	 */
	Denial	   *(*prepare) (struct Batch *batch);
	const void *request;		/* for prepare */
	int			nkeys;			/* items with a key of their own */
	int		   *by_key;			/* those, in the order of their keys */
} Batch;

/*
 * batch_run: answer the items whose keys are known, post the others, and
 * return the rows of teller.post.
 */
extern Datum batch_run(FunctionCallInfo fcinfo, Batch *batch);

#endif							/* TELLER_BATCH_H */
