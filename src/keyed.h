/*-------------------------------------------------------------------------
 *
 * keyed.h
 *	  A movement called from SQL, once for each key.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_KEYED_H
#define TELLER_KEYED_H

#include "fmgr.h"

#include "input.h"
#include "key.h"
#include "movement.h"

#define KEYED_MAX_COLUMNS 16

typedef struct KeyedMovement
{
	int64		ledger;
	const text *key;			/* NULL: every call is a new one */
	KeyCall		call;			/* filled only if there is a key */
	OnDenial	on_denial;
	const void *request;
	Movement   *(*decide) (const void *request);
	void		(*result) (const Movement *movement, Datum *values, bool *nulls);
} KeyedMovement;

/* What becomes of the call: a row, or a denial that is to be raised. */
typedef struct KeyedAnswer
{
	TupleDesc	desc;			/* set by the caller */
	Datum		values[KEYED_MAX_COLUMNS];
	bool		nulls[KEYED_MAX_COLUMNS];
	Denial	   *raise;			/* NULL: there is a row */
} KeyedAnswer;

/*
 * keyed_answer: replay the answer that the key has, or decide, store the
 * answer under the key, and write.
 * keyed_run: the same; returns the function's row, or raises the denial.
 */
extern void keyed_answer(const KeyedMovement *keyed, KeyedAnswer *answer);
extern Datum keyed_run(FunctionCallInfo fcinfo, const KeyedMovement *keyed);

#endif							/* TELLER_KEYED_H */
