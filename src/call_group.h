/*-------------------------------------------------------------------------
 *
 * call_group.h
 *	  What one connection of PostgreSQL carries at a time: one call, or
 *	  several executes that the remote is to execute in one transaction.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_CALL_GROUP_H
#define TELLER_CALL_GROUP_H

#include "libpq-fe.h"

#include "call.h"

#define CALL_GROUP_MAX 32

typedef struct CallGroup
{
	int			count;			/* 0: none */
	Call	   *calls[CALL_GROUP_MAX];
} CallGroup;

/*
 * Whether one more execute may go with the group: of the same origin and
 * ledger, and not too large.  An empty group takes anything.
 */
extern bool call_group_fits(const CallGroup *group, const Call *call);

/*
 * call_group_send: hand the statement to libpq.  ledger: of the server's
 * options, or NULL.  False if libpq takes it not.
 */
extern bool call_group_send(const CallGroup *group, PGconn *connection,
							const char *ledger);

/*
 * call_group_read: take the answer to one of the calls out of the rows.
 * NULL, or what is wrong.
 */
extern const char *call_group_read(const CallGroup *group, int which,
								   const PGresult *rows);

#endif							/* TELLER_CALL_GROUP_H */
