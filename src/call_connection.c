/*-------------------------------------------------------------------------
 *
 * call_connection.c
 *	  Connections to other PostgreSQL servers: opened, lent to calls, kept,
 *	  closed.
 *
 * A connection is opened for a group of calls, stays open when it ended in a
 * way that is proven, and serves the next one to the same server under the
 * same user mapping.  It is closed when idle for long, when the server or the
 * mapping changed, and after anything that leaves a doubt.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "call_connection.h"
#include "compat.h"
#include "guc.h"

#define IDLE_CLOSE_US (60 * INT64CONST(1000000))

dlist_head	call_connections = DLIST_STATIC_INIT(call_connections);

/* ---------- what the catalogs say ---------- */

/*
 * Marks, and no more: this runs in the middle of anything.  A hash of 0 means
 * everything.
 */
static void
on_catalog_change(Datum arg, int cacheid, uint32 hash)
{
	dlist_iter	iter;

	dlist_foreach(iter, &call_connections)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		if (hash == 0 || hash == (cacheid == FOREIGNSERVEROID ?
								  connection->route.server_hash :
								  connection->route.mapping_hash))
			connection->stale = true;
	}
}

void
connection_init(void)
{
	static bool done = false;

	if (done)
		return;
	server_scrub_environment();
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_catalog_change,
								  (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, on_catalog_change,
								  (Datum) 0);
	done = true;
}

/* ---------- connections ---------- */

/* The class of an ERROR after which the remote was ready and idle. */
CallClass
connection_error_class(const char *sqlstate)
{
	/* The remote lost something itself, or is going down. */
	if (strncmp(sqlstate, "08", 2) == 0 || strncmp(sqlstate, "57P", 3) == 0 ||
		strcmp(sqlstate, "40003") == 0)
		return CALL_AMBIGUOUS;

	/* No repetition mends these: somebody has to. */
	if (strncmp(sqlstate, "28", 2) == 0 || strncmp(sqlstate, "3D", 2) == 0 ||
		strncmp(sqlstate, "3F", 2) == 0 || strncmp(sqlstate, "42", 2) == 0 ||
		strcmp(sqlstate, "25006") == 0)
		return CALL_MISCONFIGURED;
	return CALL_NOT_EXECUTED;
}

static void
clear_results(Connection *connection)
{
	PQclear(connection->row);
	PQclear(connection->error);
	connection->row = connection->error = NULL;
	connection->results = 0;
}

/* The calls leave the connection. */
static void
clear_group(Connection *connection)
{
	for (int i = 0; i < connection->group.count; i++)
		target_of(connection->group.calls[i])->connection = NULL;
	connection->group.count = 0;
}

void
connection_close(Connection *connection)
{
	clear_group(connection);
	call_unwatch(&connection->watch);
	clear_results(connection);
	PQfinish(connection->pg);
	if (connection->has_descriptor)
		ReleaseExternalFD();
	dlist_delete(&connection->node);
	pfree(connection);
}

/*
 * If there are `limit` connections to a server (InvalidOid: to any), close
 * the idle one that was used least recently.
 */
static bool
evict(Oid server, int limit)
{
	dlist_iter	iter;
	Connection *victim = NULL;
	int			count = 0;

	dlist_foreach(iter, &call_connections)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		if (OidIsValid(server) && connection->route.server != server)
			continue;
		count++;
		if (connection->state == CONNECTION_IS_IDLE)
			victim = connection;
	}
	if (victim == NULL || count < limit)
		return false;
	connection_close(victim);
	return true;
}

/* Its calls have ended.  It lives on if their outcome is proven. */
void
connection_release(Connection *connection, const Target *target, bool proven)
{
	clear_group(connection);
	if (!proven || connection->state != CONNECTION_IS_BUSY ||
		!connection->route.reuse || connection->stale ||
		PQstatus(connection->pg) != CONNECTION_OK ||
		PQtransactionStatus(connection->pg) != PQTRANS_IDLE)
	{
		connection_close(connection);
		return;
	}
	clear_results(connection);
	connection->state = CONNECTION_IS_IDLE;
	connection->heard = false;
	connection->due_us = call_clock_us() + IDLE_CLOSE_US;
	dlist_move_head(&call_connections, &connection->node);
	call_watch(&connection->watch, PQsocket(connection->pg),
			   WL_SOCKET_READABLE, false);

	/* More than may be used at once, because a limit was lowered? */
	(void) evict(connection->route.server, target->max_connections + 1);
	(void) evict(InvalidOid, teller_max_in_flight + 1);
}

/* One end for all calls that a connection carries. */
void
connection_end_calls(Connection *connection, CallClass class, const char *sqlstate,
		  const char *message)
{
	const Target *target = target_of(connection->group.calls[0]);
	const char *secret = connection->pg ? PQpass(connection->pg) : NULL;

	for (int i = 0; i < connection->group.count; i++)
		call_finish(connection->group.calls[i], class, sqlstate, message,
					secret);
	connection_release(connection, target,
					   class == CALL_ANSWERED || class == CALL_NOT_EXECUTED ||
					   class == CALL_MISCONFIGURED);
}

/* The same, with the class that follows from whether they were sent. */
void
connection_give_up(Connection *connection, const char *message)
{
	bool		sent = connection->group.calls[0]->sent;

	connection_end_calls(connection, sent ? CALL_AMBIGUOUS : CALL_NOT_SENT,
			  sent ? "08007" : "08001", message);
}

/*
 * Whether nothing came over an idle connection.  A server that goes away says
 * so before it closes: that is found here, before anything is sent.
 */
bool
connection_is_quiet(Connection *connection)
{
	return PQconsumeInput(connection->pg) && !PQisBusy(connection->pg) &&
		!connection->heard && PQstatus(connection->pg) == CONNECTION_OK &&
		PQtransactionStatus(connection->pg) == PQTRANS_IDLE;
}

Connection *
connection_find_idle(const Target *target)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &call_connections)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		if (connection->state != CONNECTION_IS_IDLE || connection->stale ||
			connection->route.server != target->route.server ||
			connection->route.mapping != target->route.mapping ||
			connection->route.timeout_ms != target->route.timeout_ms ||
			(target->needs_password &&
			 !PQconnectionUsedPassword(connection->pg)))
			continue;
		if (connection_is_quiet(connection))
			return connection;
		connection_close(connection);
	}
	return NULL;
}

/* What a connection says unasked. */
static void
on_notice(void *arg, const char *message)
{
	Connection *connection = arg;
	char		clean[CALL_MESSAGE_BYTES];

	connection->heard = true;
	if (!message_level_is_interesting(DEBUG1))
		return;
	call_clean_message(clean, message, PQpass(connection->pg));
	elog(DEBUG1, "pg_teller: a remote said: %s", clean);
}

/*
 * With verbosity VERBOSE libpq puts the SQLSTATE into the message, which is
 * the only place where that of a refused connection is to be had.
 */
static const char *
find_sqlstate(const char *message)
{
	const char *found = NULL;

	for (message = strstr(message, ":  "); message != NULL;
		 message = strstr(message + 1, ":  "))
		if (strspn(message + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 &&
			message[8] == ':')
			found = message + 3;	/* that of the last host */
	return found;
}

/* No connection was made; nothing was sent. */
static void
opening_failed(Connection *connection)
{
	const char *message = PQerrorMessage(connection->pg);
	const char *found = find_sqlstate(message);
	char		sqlstate[6] = "08001";
	CallClass	class = CALL_NOT_SENT;

	if (found != NULL)
	{
		/* The rest of the lines tell where in the remote's source it was. */
		message = MemoryContextStrdup(connection->group.calls[0]->context,
									  message);
		found = find_sqlstate(message);
		((char *) found)[strcspn(found, "\n")] = '\0';
		strlcpy(sqlstate, found, sizeof(sqlstate));
		if (strncmp(sqlstate, "22", 2) == 0 ||	/* a refused option */
			connection_error_class(sqlstate) == CALL_MISCONFIGURED)
			class = CALL_MISCONFIGURED;
	}
	else if (connection->pg != NULL &&
			 PQconnectionNeedsPassword(connection->pg))
	{
		strlcpy(sqlstate, "28P01", sizeof(sqlstate));
		class = CALL_MISCONFIGURED;
	}
	connection_end_calls(connection, class, sqlstate, message);
}

/* ---------- sending ---------- */

/* It broke after the request was handed over: nobody knows. */
void
connection_lost(Connection *connection)
{
	PGresult   *error = connection->error;
	const char *sqlstate = PQresultErrorField(error, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY);

	if (message == NULL)
		message = PQerrorMessage(connection->pg);
	connection_end_calls(connection, CALL_AMBIGUOUS, sqlstate ? sqlstate : "08007",
			 *message ? message : "the remote was not idle after its answer");
}

/* Push out what is left to send, and watch for what is to come. */
bool
connection_flush(Connection *connection)
{
	int			left = PQflush(connection->pg);

	if (left < 0)
	{
		connection_lost(connection);
		return false;
	}
	call_watch(&connection->watch, PQsocket(connection->pg),
			   left > 0 ? WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE :
			   WL_SOCKET_READABLE, false);
	return true;
}

void
connection_send(Connection *connection)
{
	CallGroup  *group = &connection->group;

	connection->state = CONNECTION_IS_BUSY;
	connection->received_bytes = 0;
	connection->young_until_us = call_clock_us() + CONNECTION_PATIENCE_US;
	for (int i = 0; i < group->count; i++)
		group->calls[i]->sent = true;
	if (!call_group_send(group, connection->pg,
						 target_of(group->calls[0])->ledger))
		connection_lost(connection);
	else
		(void) connection_flush(connection);
}

/* ---------- opening ---------- */

/* While opening, the kernel gave up on a silent host early; no longer. */
static void
set_user_timeout(Connection *connection)
{
#ifdef TCP_USER_TIMEOUT
	int			timeout_ms = connection->route.timeout_ms;

	/* Fails on a Unix socket, where there is no such thing. */
	(void) setsockopt(PQsocket(connection->pg), IPPROTO_TCP, TCP_USER_TIMEOUT,
					  (char *) &timeout_ms, sizeof(timeout_ms));
#endif
}

static void
opened(Connection *connection)
{
	const Target *target = target_of(connection->group.calls[0]);

	if (target->needs_password && !PQconnectionUsedPassword(connection->pg))
	{
		connection_end_calls(connection, CALL_MISCONFIGURED, "28000",
				 "the remote did not ask for the password, but the server or the user mapping belongs to a role that is not a member of the owner of pg_teller");
		return;
	}
	if (PQsetnonblocking(connection->pg, 1) != 0)
	{
		opening_failed(connection);
		return;
	}
	set_user_timeout(connection);
	connection->heard = false;
	connection_send(connection);
}

void
connection_step_opening(Connection *connection)
{
	uint32		events = WL_SOCKET_READABLE;

	switch (PQconnectPoll(connection->pg))
	{
		case PGRES_POLLING_OK:
			opened(connection);
			return;
		case PGRES_POLLING_WRITING:
			events = WL_SOCKET_WRITEABLE;
			break;
		case PGRES_POLLING_READING:
			break;
		case PGRES_POLLING_FAILED:
		case PGRES_POLLING_ACTIVE:
			opening_failed(connection);
			return;
	}

	/* libpq may have gone on to another socket with the same number. */
	call_watch(&connection->watch, PQsocket(connection->pg), events, true);
}

static Connection *
new_connection(const Target *target)
{
	Connection *connection = MemoryContextAllocZero(call_context,
													sizeof(Connection));

	connection->watch.ready = connection_ready;
	connection->state = CONNECTION_IS_OPENING;
	connection->route = target->route;
	connection->route.reuse &= target->changes == server_changes();
	connection->due_us = call_clock_us() +
		teller_connect_timeout_ms * INT64CONST(1000) * target->options.hosts;
	connection->young_until_us = call_clock_us() + CONNECTION_PATIENCE_US;
	dlist_push_head(&call_connections, &connection->node);
	return connection;
}

/* Make room for one, and an entry that is not yet a connection. */
Connection *
connection_reserve(const Target *target)
{
	while (evict(target->route.server, target->max_connections))
		;
	while (evict(InvalidOid, teller_max_in_flight))
		;
	return new_connection(target);
}

void
connection_open(Connection *connection, const Target *target)
{
	do
		connection->has_descriptor = AcquireExternalFD();
	while (!connection->has_descriptor && evict(InvalidOid, 0));
	if (!connection->has_descriptor)
	{
		connection_end_calls(connection, CALL_NOT_SENT, "53000",
				  "no file descriptor is left for a connection; max_files_per_process limits them");
		return;
	}
	connection->pg = PQconnectStartParams(target->options.keywords,
										  target->options.values, 0);
	if (connection->pg == NULL || PQstatus(connection->pg) == CONNECTION_BAD)
	{
		opening_failed(connection);
		return;
	}
	PQsetErrorVerbosity(connection->pg, PQERRORS_VERBOSE);
	PQsetNoticeProcessor(connection->pg, on_notice, connection);
	call_watch(&connection->watch, PQsocket(connection->pg),
			   WL_SOCKET_WRITEABLE, true);
}
