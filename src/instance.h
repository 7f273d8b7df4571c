/*-------------------------------------------------------------------------
 *
 * instance.h
 *	  Which server and database this one takes itself for.
 *
 * A copy of a database must not send what the original may have sent.  So
 * the first operation writes down where it was made: the server's system
 * identifier, the database's OID, the timeline, and the base backup that the
 * server's files come from.  Where these differ from the row, the database is
 * a copy that has not been adopted.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_INSTANCE_H
#define TELLER_INSTANCE_H

#include "access/xlogdefs.h"
#include "utils/uuid.h"

typedef enum InstanceState
{
	INSTANCE_NEW,				/* no operation was ever made here */
	INSTANCE_OURS,
	INSTANCE_FOREIGN			/* a copy of another: not adopted */
} InstanceState;

extern InstanceState instance_state(void);

/* The identifier, adopted or not; false if none was made yet. */
extern bool instance_see_id(pg_uuid_t *id);

/*
 * instance_was_on: whether this database is the one that was adopted last, of
 * this system and with this oid, and that was on the given timeline.
 */
extern bool instance_was_on(TimeLineID timeline);

/*
 * instance_require: the identifier of this instance, made at first use.
 * Waits for a transaction that is just making it.  TL010 if this database is
 * a copy that has not been adopted.
 */
extern pg_uuid_t instance_require(void);

/*
 * instance_adopt: this database takes itself for what it is now; its
 * identifier stays, so that memos stay.  False if it has none yet.
 */
extern bool instance_adopt(void);

#endif							/* TELLER_INSTANCE_H */
