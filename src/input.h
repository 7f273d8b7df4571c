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

/*
 * input_metadata: an object or array, or NULL.  22023 for a scalar, 54000
 * over 64 kB or deeper than 64.
 */
extern Jsonb *input_metadata(FunctionCallInfo fcinfo, int arg);

/* A finite timestamp, or the default if NULL; else 22023. */
extern TimestampTz input_time(FunctionCallInfo fcinfo, int arg,
							  const char *name, TimestampTz otherwise);

/* An expected version: 22023 below zero. */
extern int64 input_version(FunctionCallInfo fcinfo, int arg);

/* on_denial: true for 'return', false for 'raise'. */
extern bool input_returns_denial(FunctionCallInfo fcinfo, int arg);

/* The row type of the function being called, kept by the backend. */
extern TupleDesc input_result_desc(FunctionCallInfo fcinfo);

/* The row as the function's result. */
extern Datum input_result(FunctionCallInfo fcinfo, Datum *values, bool *nulls);

#endif							/* TELLER_INPUT_H */
