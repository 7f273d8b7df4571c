/*-------------------------------------------------------------------------
 *
 * flight.c
 *	  The calls that this worker has under way for operations.
 *
 * Disposable: all of it can be derived from the rows again, and a new worker
 * does so.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "flight.h"

static dlist_head claims = DLIST_STATIC_INIT(claims);
static dlist_head flights = DLIST_STATIC_INIT(flights);

Flight *
flight_begin(const Operation *operation, OpVerb verb, Oid server)
{
	Flight	   *flight = MemoryContextAllocZero(TopMemoryContext,
												sizeof(Flight));

	flight->ledger = operation->ledger;
	flight->operation = operation->id;
	flight->attempt = operation->last_attempt;
	flight->verb = verb;
	flight->server = server;
	dlist_push_tail(&claims, &flight->node);
	return flight;
}

void
flight_end(Flight *flight)
{
	dlist_delete(&flight->node);
	pfree(flight);
}

void
flight_commit_all(void)
{
	while (!dlist_is_empty(&claims))
		dlist_push_tail(&flights, dlist_pop_head_node(&claims));
}

void
flight_forget_claims(void)
{
	while (!dlist_is_empty(&claims))
		flight_end(dlist_head_element(Flight, node, &claims));
}

bool
flight_exists(int64 ledger, const pg_uuid_t *operation)
{
	dlist_iter	iter;

	dlist_foreach(iter, &flights)
	{
		Flight	   *flight = dlist_container(Flight, node, iter.cur);

		if (flight->ledger == ledger &&
			memcmp(&flight->operation, operation, UUID_LEN) == 0)
			return true;
	}
	return false;
}
