/*-------------------------------------------------------------------------
 *
 * key.h
 *	  Idempotency: one effect per key, and the same answer to every repeat.
 *
 * A call under a key goes: key_begin with its arguments, key_replay; if there
 * is no answer yet, lock the accounts, decide, key_store; if that says a
 * twin came first, begin again at key_replay; else write.  The key's row is
 * the first row that a call writes, so a call that is overtaken has nothing
 * to undo.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_KEY_H
#define TELLER_KEY_H

#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/uuid.h"

#define KEY_MAX_ARGUMENTS 16

/* A call's identity: its function and its arguments as given. */
typedef struct KeyCall
{
	const char *function;
	int			count;
	const char *names[KEY_MAX_ARGUMENTS];
	JsonbValue	values[KEY_MAX_ARGUMENTS];
	bool		has_request_time;	/* the key may be pruned one day */
	TimestampTz request_time;
} KeyCall;

/* The answer that is stored for a key. */
typedef struct KeyAnswer
{
	const pg_uuid_t *id;		/* of what was made, or NULL */
	const char *status;
	const char *reason;			/* NULL unless denied */
	Jsonb	   *result;			/* the columns of the answer */
} KeyAnswer;

extern void key_add_bigint(KeyCall *call, const char *name, bool isnull, int64 value);
extern void key_add_numeric(KeyCall *call, const char *name, bool isnull, Datum value);
extern void key_add_amount(KeyCall *call, const char *name, Datum value);
extern void key_add_text(KeyCall *call, const char *name, const text *value);
extern void key_add_string(KeyCall *call, const char *name, const char *value);
extern void key_add_bool(KeyCall *call, const char *name, bool value);
extern void key_add_uuid(KeyCall *call, const char *name, const pg_uuid_t *value);
extern void key_add_time(KeyCall *call, const char *name, bool isnull, TimestampTz value);
extern void key_add_interval(KeyCall *call, const char *name, bool isnull, Datum value);
extern void key_add_jsonb(KeyCall *call, const char *name, const Jsonb *value);

/*
 * key_add_request_time: the argument request_time of a function, when the
 * application made the request; NULL: its key is kept for ever.
 */
extern void key_add_request_time(FunctionCallInfo fcinfo, int arg,
								 KeyCall *call);

/* The arguments that are not null as one object, and SHA-256(function, blank, their text). */
extern Jsonb *key_arguments(const KeyCall *call);
extern bytea *key_fingerprint(const char *function, const Jsonb *arguments);

/*
 * key_compare: TL003 naming the first argument that differs from what is
 * stored under what ("key \"k\" of ledger 1").
 */
extern void key_compare(const KeyCall *call, const char *function,
						const Jsonb *stored, const char *what);

/*
 * key_find: the stored answer to this call as a JSON object, or NULL if the
 * key is free.  A twin that is running is waited for, and an answer that is
 * not durable yet until it is.  TL003 if the key was used otherwise.
 * key_row_from_json: such an answer as a row, its column replayed true.
 */
extern Jsonb *key_find(int64 ledger, const text *key, const KeyCall *call);
extern void key_row_from_json(TupleDesc desc, Jsonb *stored, Datum *values,
							  bool *nulls);

/*
 * key_replay: the stored answer to this call, as a row of desc, with its
 * column replayed true.  False if the key is free.  A twin that is running
 * is waited for.  TL003 if the key was used otherwise.
 */
extern bool key_replay(int64 ledger, const text *key, const KeyCall *call,
					   TupleDesc desc, Datum *values, bool *nulls);

/*
 * key_store: false if a twin came first; nothing is written then.
 * key_store_row: the same for the row that a function returns.
 * key_unstore: take back what this call stored, because a twin came first
 * with another key of the same batch.
 */
extern bool key_store(int64 ledger, const text *key, const KeyCall *call,
					  const KeyAnswer *answer, TimestampTz now);
extern bool key_store_row(int64 ledger, const text *key, const KeyCall *call,
						  TupleDesc desc, const Datum *values,
						  const bool *nulls, TimestampTz now);
extern void key_unstore(int64 ledger, const text *key);

/*
 * key_check_age: TL012 if a request of this time may have been answered and
 * forgotten.  To be called when its key is already stored.
 * key_prune: delete at most max_keys keys whose request_time is older than
 * teller.key_retention.  Returns how many.
 */
extern void key_check_age(int64 ledger, const text *key,
						  TimestampTz request_time);
extern int	key_prune(int max_keys);

/* The value of a row's column in JSON, and back. */
extern Jsonb *key_row_to_json(TupleDesc desc, const Datum *values,
							  const bool *nulls);

#endif							/* TELLER_KEY_H */
