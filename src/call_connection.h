/*-------------------------------------------------------------------------
 *
 * call_connection.h
 *	  Connections to other PostgreSQL servers: opened, lent to calls, kept,
 *	  closed.  For call_postgres.c.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_CALL_CONNECTION_H
#define TELLER_CALL_CONNECTION_H

#include "libpq-fe.h"

#include "call.h"
#include "call_group.h"

/* What a connection must have in common with a call that it is to carry. */
typedef struct Route
{
	Oid			server;
	Oid			mapping;
	uint32		server_hash;	/* as the invalidation callback names it */
	uint32		mapping_hash;
	int			timeout_ms;		/* the remote's timeouts follow from it */
	bool		reuse;			/* for more than one call */
} Route;

/* What the catalogs say about a call; in the call's memory. */
typedef struct Target
{
	dlist_node	node;			/* in the list of those that wait */
	Call	   *call;
	bool		waits;
	bool		alone;			/* may not travel with others */
	Route		route;
	uint64		changes;		/* server_changes() when they were read */
	bool		needs_password;
	int			max_connections;
	const char *ledger;			/* NULL: the request's */
	ServerOptions options;
	struct Connection *connection;
} Target;

/*
 * What waits to be sent waits for no connection that has been out for longer:
 * it may wait for a lock, or be far away.
 */
#define CONNECTION_PATIENCE_US INT64CONST(10000)

typedef enum ConnectionState
{
	CONNECTION_IS_OPENING,
	CONNECTION_IS_BUSY,
	CONNECTION_IS_IDLE
} ConnectionState;

typedef struct Connection
{
	dlist_node	node;
	CallWatch	watch;
	ConnectionState state;
	CallGroup	group;			/* that it carries; empty if idle */
	PGconn	   *pg;
	bool		has_descriptor; /* counted with AcquireExternalFD */
	bool		alone;			/* the remote executes no groups */
	int64		young_until_us; /* busy: others wait for it until then */

	Route		route;
	bool		stale;			/* the catalogs say something else by now */
	int64		due_us;			/* opening: give up; idle: close */
	bool		heard;			/* it spoke without being asked */
	int64		received_bytes; /* since the request was sent */
	int			results;
	PGresult   *row;
	PGresult   *error;
} Connection;

/* All of them, the most recently used first. */
extern dlist_head call_connections;

static inline Target *
target_of(const Call *call)
{
	return call->transport_data;
}

/* Before the first: what is needed once in a process. */
extern void connection_init(void);

/* The class of an ERROR after which the remote was ready and idle. */
extern CallClass connection_error_class(const char *sqlstate);

/*
 * connection_find_idle: one that can carry the target's call, or NULL.
 * connection_reserve: an entry for a new one, which connection_open then
 * opens for the group that it was given, and which sends it.
 * connection_send: send the group over one that was idle.  Each may end the
 * calls of the group at once.
 */
extern Connection *connection_find_idle(const Target *target);
extern Connection *connection_reserve(const Target *target);
extern void connection_open(Connection *connection, const Target *target);
extern void connection_send(Connection *connection);

/* The socket of one that is being opened is ready. */
extern void connection_step_opening(Connection *connection);

/* Push out what is left to send; false if that ended its calls. */
extern bool connection_flush(Connection *connection);

/* Whether nothing came over an idle one. */
extern bool connection_is_quiet(Connection *connection);

/*
 * connection_end_calls: one end for all calls that it carries.
 * connection_give_up: the same, with the class that follows from whether they
 * were sent.  connection_lost: it broke after they were.  Each of them, and
 * connection_release after the calls have ended, closes it unless what it did
 * is proven.
 */
extern void connection_end_calls(Connection *connection, CallClass class,
								 const char *sqlstate, const char *message);
extern void connection_give_up(Connection *connection, const char *message);
extern void connection_lost(Connection *connection);
extern void connection_release(Connection *connection, const Target *target,
							   bool proven);

/* Close it; its calls leave it first and do not end. */
extern void connection_close(Connection *connection);

/* call_postgres.c: its socket has news. */
extern void connection_ready(CallWatch *watch, uint32 events);

#endif							/* TELLER_CALL_CONNECTION_H */
