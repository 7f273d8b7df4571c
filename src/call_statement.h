/*-------------------------------------------------------------------------
 *
 * call_statement.h
 *	  What is asked of a pg_teller behind a connection of PostgreSQL.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_CALL_STATEMENT_H
#define TELLER_CALL_STATEMENT_H

#include "call.h"

/* The statement for a verb, and how many parameters it has. */
extern const char *call_statement(CallVerb verb, int *parameters);

/* The same for many executes at once. */
extern const char *call_statement_many(int *parameters);

#endif							/* TELLER_CALL_STATEMENT_H */
