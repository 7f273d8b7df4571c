/*-------------------------------------------------------------------------
 *
 * lease.h
 *	  Operations that an application has claimed, and for how long.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_LEASE_H
#define TELLER_LEASE_H

#include "operation.h"

/*
 * lease_is_kept: operations for this server are given out by teller.claim()
 * for the length of a lease, and no worker of ours sends them.  False if
 * there is no such server.
 */
extern bool lease_is_kept(const NameData *server);

/*
 * lease_lapse: what one ledger has out for a server and whose lease has run
 * out by now counts as lost.  Rows that somebody has locked are left alone.
 * In the current transaction; rel: operations.
 */
extern void lease_lapse(Rel *rel, TupleTableSlot *slot, int64 ledger,
						const NameData *server, TimestampTz now);

/*
 * lease_run: for the worker, the same for all ledgers and servers, in a
 * transaction of its own.  Returns when to look again.
 */
extern TimestampTz lease_run(void);

#endif							/* TELLER_LEASE_H */
