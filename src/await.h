/*-------------------------------------------------------------------------
 *
 * await.h
 *	  Waiting for operations to end, without asking all the time.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_AWAIT_H
#define TELLER_AWAIT_H

#include "utils/uuid.h"

/* Wake those who wait for this operation, or share its place on the board. */
extern void await_tell(const pg_uuid_t *id);

/* The same, for an end in this transaction: after its commit, if it commits. */
extern void await_tell_at_commit(const pg_uuid_t *id);

#endif							/* TELLER_AWAIT_H */
