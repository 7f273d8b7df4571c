/*-------------------------------------------------------------------------
 *
 * flight.h
 *	  The calls that this worker has under way for operations.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_FLIGHT_H
#define TELLER_FLIGHT_H

#include "lib/ilist.h"

#include "operation.h"

/* One call.  Its address is the tag of the call. */
typedef struct Flight
{
	dlist_node	node;
	int64		ledger;
	pg_uuid_t	operation;
	int			attempt;
	OpVerb		verb;
	Oid			server;
} Flight;

/*
 * flight_begin: in the transaction that claims the operation.  It takes off
 * with flight_commit_all, after the commit; what is left over from a
 * transaction that failed is dropped by flight_forget_claims.
 */
extern Flight *flight_begin(const Operation *operation, OpVerb verb,
							Oid server);
extern void flight_commit_all(void);
extern void flight_forget_claims(void);

/* flight_end: its outcome is recorded. */
extern void flight_end(Flight *flight);

/* Is the operation ours to record? */
extern bool flight_exists(int64 ledger, const pg_uuid_t *operation);

#endif							/* TELLER_FLIGHT_H */
