/*-------------------------------------------------------------------------
 *
 * input.h
 *	  Tests of what callers pass, and the row that a function returns.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_INPUT_H
#define TELLER_INPUT_H

#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/jsonb.h"

#define INPUT_LABEL_MAX 255		/* bytes of a key, name or nonce */
#define INPUT_METADATA_MAX (64 * 1024)	/* bytes of metadata as text */
#define INPUT_METADATA_DEPTH 64

/* 22004 naming the argument if it is NULL. */
extern void input_require(FunctionCallInfo fcinfo, int arg, const char *name);

/*
 * input_label: a key, name or nonce, NULL if the argument is.  22023 unless
 * it has 1 to 255 bytes and no control character.
 */
extern text *input_label(FunctionCallInfo fcinfo, int arg, const char *name);
extern text *input_label_value(Datum value, const char *name);

/*
 * input_metadata: an object or array, or NULL.  22023 for a scalar, 54000
 * over 64 kB or deeper than 64.
 */
extern Jsonb *input_metadata(FunctionCallInfo fcinfo, int arg);
extern Jsonb *input_metadata_value(Datum value);

/* An array that was passed. */
typedef struct InputArray
{
	const char *name;
	int			count;			/* -1: the argument is null */
	Datum	   *values;
	bool	   *nulls;
} InputArray;

/*
 * input_array: the elements of an array.  22023 unless it has one dimension
 * (or is empty), 54000 for more than max elements.
 * input_require_elements: 22004 naming the array and the first element of it
 * that is null.
 */
extern void input_array(FunctionCallInfo fcinfo, int arg, const char *name,
						int max, InputArray *array);
extern void input_require_elements(const InputArray *array);

/* A finite timestamp, or the default if NULL; else 22023. */
extern TimestampTz input_time(FunctionCallInfo fcinfo, int arg,
							  const char *name, TimestampTz otherwise);
extern TimestampTz input_time_value(Datum value, const char *name);

/* An expected version: 22023 below zero. */
extern int64 input_version(FunctionCallInfo fcinfo, int arg);
extern int64 input_version_value(Datum value);

/* What becomes of a denial. */
typedef enum OnDenial
{
	DENIAL_RAISE,				/* an error */
	DENIAL_RETURN,				/* a row with status denied; the key stays free */
	DENIAL_RECORD				/* such a row, stored under the key for ever */
} OnDenial;

extern OnDenial input_on_denial(FunctionCallInfo fcinfo, int arg);

/* The row type of the function being called, kept by the backend. */
extern TupleDesc input_result_desc(FunctionCallInfo fcinfo);

/* The row as the function's result. */
extern Datum input_result(FunctionCallInfo fcinfo, Datum *values, bool *nulls);

#endif							/* TELLER_INPUT_H */
