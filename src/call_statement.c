/*-------------------------------------------------------------------------
 *
 * call_statement.c
 *	  What is asked of a pg_teller behind a connection of PostgreSQL.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "call_statement.h"

#define ANSWER_COLUMNS \
	"SELECT pg_catalog.encode(r.memo, 'hex'), r.status, r.reference," \
	" r.reason, r.amount, r.asset, r.executed_at, r.replayed, r.server_now"

/*
 * The statements.  They name the columns, so that a remote whose functions
 * answer something else refuses them before it does anything.
 */
static const char *const statements[] = {
	[CALL_EXECUTE] = ANSWER_COLUMNS
	" FROM teller_remote.execute($1::bytea, $2::uuid, $3::bigint, $4::text,"
	" $5::text, $6::numeric, $7::text, $8::text, $9::timestamptz,"
	" $10::jsonb) AS r",
	[CALL_LOOKUP] = ANSWER_COLUMNS
	" FROM teller_remote.lookup($1::bytea) AS r",
	[CALL_FENCE] = ANSWER_COLUMNS
	" FROM teller_remote.fence($1::bytea, $2::uuid, $3::text) AS r",
	[CALL_CHECK] = "SELECT teller_remote.capabilities()",
	[CALL_LIST] =
	"SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array("
	"pg_catalog.encode(r.memo, 'hex'), r.status, r.reference, r.amount::text,"
	" r.asset, r.executed_at) ORDER BY r.executed_at, r.memo)::text, '[]')"
	" FROM teller_remote.list_since($1::uuid, $2::timestamptz, $3::integer)"
	" AS r"
};

/* Many executes; the parameters of one, as arrays where they may differ. */
static const char *const many_statement = ANSWER_COLUMNS
" FROM teller_remote.execute_many($1::bytea[], $2::uuid, $3::bigint,"
" $4::text[], $5::text[], $6::numeric[], $7::text[], $8::text[],"
" $9::timestamptz[], $10::jsonb[]) AS r";

static const int parameter_counts[] = {
	[CALL_EXECUTE] = 10,
	[CALL_LOOKUP] = 1,
	[CALL_FENCE] = 3,
	[CALL_CHECK] = 0,
	[CALL_LIST] = 3
};

const char *
call_statement(CallVerb verb, int *parameters)
{
	*parameters = parameter_counts[verb];
	return statements[verb];
}

const char *
call_statement_many(int *parameters)
{
	*parameters = parameter_counts[CALL_EXECUTE];
	return many_statement;
}
