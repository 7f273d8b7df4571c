/*-------------------------------------------------------------------------
 *
 * call_postgres.c
 *	  Calls to another PostgreSQL, over asynchronous libpq.
 *
 * A call is carried by one connection at a time.  A connection is opened for
 * a call, stays open when the call ended in a way that is proven, and serves
 * the next call to the same server under the same user mapping.  It is closed
 * when idle for long, when the server or the mapping changed, and after
 * anything that leaves a doubt.
 *
 * What proves what:
 * - Answered: one row, then all results drained, then status idle.  The row
 *   alone proves nothing: in the extended protocol it comes before the commit.
 * - Not executed: severity ERROR, all results drained, status idle.
 * - Not sent: anything that fails before PQsendQueryParams.
 * - Everything else may have been executed.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/ioctl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "libpq-fe.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "call.h"
#include "call_statement.h"
#include "compat.h"
#include "guc.h"

#define IDLE_CLOSE_US (60 * INT64CONST(1000000))

/* Bytes around an answer that do not count against its limit. */
#define PROTOCOL_ALLOWANCE_BYTES 16384

/* The row and the result of the commit; more is not what was asked for. */
#define MAX_RESULTS 4

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
	Route		route;
	uint64		changes;		/* server_changes() when they were read */
	bool		needs_password;
	int			max_connections;
	const char *ledger;			/* NULL: the request's */
	ServerOptions options;
	struct Connection *connection;
} Target;

typedef enum ConnectionState
{
	CONNECTION_IS_OPENING,
	CONNECTION_IS_BUSY,
	CONNECTION_IS_IDLE
} ConnectionState;

/* The most recently used comes first. */
typedef struct Connection
{
	dlist_node	node;
	CallWatch	watch;
	ConnectionState state;
	Call	   *call;			/* that it carries, unless idle */
	PGconn	   *pg;
	bool		has_descriptor; /* counted with AcquireExternalFD */

	Route		route;
	bool		stale;			/* the catalogs say something else by now */
	int64		due_us;			/* opening: give up; idle: close */
	bool		heard;			/* it spoke without being asked */
	int64		received_bytes; /* since the request was sent */
	int			results;
	PGresult   *row;
	PGresult   *error;
} Connection;

static dlist_head connections = DLIST_STATIC_INIT(connections);

static void connection_ready(CallWatch *watch, uint32 events);

/* ---------- preparing, in the caller's transaction ---------- */

/*
 * Marks, and no more: this runs in the middle of anything.  A hash of 0 means
 * everything.
 */
static void
on_catalog_change(Datum arg, int cacheid, uint32 hash)
{
	dlist_iter	iter;

	dlist_foreach(iter, &connections)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		if (hash == 0 || hash == (cacheid == FOREIGNSERVEROID ?
								  connection->route.server_hash :
								  connection->route.mapping_hash))
			connection->stale = true;
	}
}

static void
use_once(void)
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

static void
postgres_prepare(Call *call, const Server *server)
{
	Target	   *target = palloc0(sizeof(Target));
	ServerLogin login;

	use_once();
	call->transport_data = target;
	target->changes = server->changes;
	server_login(server, call->request.userid, &login);
	target->needs_password = server_needs_password(server, &login);
	if (target->needs_password &&
		server_option(login.options, "password") == NULL)
	{
		call_finish(call, CALL_MISCONFIGURED, "28000",
					psprintf("the user mapping for server \"%s\" must have a password, because the server or the mapping belongs to a role that is not a member of the owner of pg_teller",
							 server->name), NULL);
		return;
	}

	target->route.server = server->oid;
	target->route.mapping = login.mapping;
	target->route.server_hash =
		GetSysCacheHashValue1(FOREIGNSERVEROID, ObjectIdGetDatum(server->oid));
	target->route.mapping_hash =
		GetSysCacheHashValue1(USERMAPPINGOID, ObjectIdGetDatum(login.mapping));
	target->route.timeout_ms = call->timeout_ms;
	target->route.reuse = server->honours_memo;
	target->max_connections = server->max_in_flight > 0 ?
		server->max_in_flight : teller_max_in_flight_per_server;
	if (server->has_ledger)
		target->ledger = psprintf("%lld", (long long) server->ledger);
	server_libpq_options(server, &login, call->timeout_ms, &target->options);
}

/* ---------- connections ---------- */

/* The class of an ERROR after which the remote was ready and idle. */
static CallClass
class_of_error(const char *sqlstate)
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

static void
close_connection(Connection *connection)
{
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

	dlist_foreach(iter, &connections)
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
	close_connection(victim);
	return true;
}

/*
 * The end of the call that a connection carries.  The connection lives on if
 * the outcome is proven.
 */
static void
end_call(Connection *connection, CallClass class, const char *sqlstate,
		 const char *message)
{
	Call	   *call = connection->call;
	Target	   *target = call->transport_data;
	bool		proven = class == CALL_ANSWERED ||
		class == CALL_NOT_EXECUTED || class == CALL_MISCONFIGURED;

	call_finish(call, class, sqlstate, message,
				connection->pg ? PQpass(connection->pg) : NULL);
	target->connection = NULL;
	connection->call = NULL;
	if (!proven || connection->state != CONNECTION_IS_BUSY ||
		!connection->route.reuse || connection->stale ||
		PQstatus(connection->pg) != CONNECTION_OK ||
		PQtransactionStatus(connection->pg) != PQTRANS_IDLE)
	{
		close_connection(connection);
		return;
	}
	clear_results(connection);
	connection->state = CONNECTION_IS_IDLE;
	connection->heard = false;
	connection->due_us = call_clock_us() + IDLE_CLOSE_US;
	dlist_move_head(&connections, &connection->node);
	call_watch(&connection->watch, PQsocket(connection->pg),
			   WL_SOCKET_READABLE, false);

	/* More than may be used at once, because a limit was lowered? */
	(void) evict(target->route.server, target->max_connections + 1);
	(void) evict(InvalidOid, teller_max_in_flight + 1);
}

/*
 * Whether nothing came over an idle connection.  A server that goes away says
 * so before it closes: that is found here, before anything is sent.
 */
static bool
is_quiet(Connection *connection)
{
	return PQconsumeInput(connection->pg) && !PQisBusy(connection->pg) &&
		!connection->heard && PQstatus(connection->pg) == CONNECTION_OK &&
		PQtransactionStatus(connection->pg) == PQTRANS_IDLE;
}

static Connection *
find_idle(const Target *target)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &connections)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		if (connection->state != CONNECTION_IS_IDLE || connection->stale ||
			connection->route.server != target->route.server ||
			connection->route.mapping != target->route.mapping ||
			connection->route.timeout_ms != target->route.timeout_ms ||
			(target->needs_password &&
			 !PQconnectionUsedPassword(connection->pg)))
			continue;
		if (is_quiet(connection))
			return connection;
		close_connection(connection);
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
		message = MemoryContextStrdup(connection->call->context, message);
		found = find_sqlstate(message);
		((char *) found)[strcspn(found, "\n")] = '\0';
		strlcpy(sqlstate, found, sizeof(sqlstate));
		if (strncmp(sqlstate, "22", 2) == 0 ||	/* a refused option */
			class_of_error(sqlstate) == CALL_MISCONFIGURED)
			class = CALL_MISCONFIGURED;
	}
	else if (connection->pg != NULL &&
			 PQconnectionNeedsPassword(connection->pg))
	{
		strlcpy(sqlstate, "28P01", sizeof(sqlstate));
		class = CALL_MISCONFIGURED;
	}
	end_call(connection, class, sqlstate, message);
}

/* ---------- sending ---------- */

/* It broke after the request was handed over: nobody knows. */
static void
connection_lost(Connection *connection)
{
	PGresult   *error = connection->error;
	const char *sqlstate = PQresultErrorField(error, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY);

	if (message == NULL)
		message = PQerrorMessage(connection->pg);
	end_call(connection, CALL_AMBIGUOUS, sqlstate ? sqlstate : "08007",
			 *message ? message : "the remote was not idle after its answer");
}

/* Push out what is left to send, and watch for what is to come. */
static bool
flush_request(Connection *connection)
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

static void
send_request(Connection *connection)
{
	Call	   *call = connection->call;
	const CallRequest *asked = &call->request;
	const Target *target = call->transport_data;
	const char *ledger = target->ledger ? target->ledger : asked->ledger;
	char		memo[2 + 2 * CALL_MEMO_BYTES + 1] = "\\x";
	const char *page[] = {asked->origin, asked->after, asked->max_rows};
	const char *values[] = {
		memo, asked->origin,
		asked->verb == CALL_FENCE ? asked->reason : ledger,
		asked->direction, asked->account, asked->amount, asked->asset,
		asked->nonce, asked->not_after, asked->payload
	};
	int			parameters;
	const char *statement = call_statement(asked->verb, &parameters);

	hex_encode((const char *) asked->memo, CALL_MEMO_BYTES, memo + 2);
	connection->state = CONNECTION_IS_BUSY;
	connection->received_bytes = 0;
	call->sent = true;
	if (!PQsendQueryParams(connection->pg, statement, parameters, NULL,
						   asked->verb == CALL_LIST ? page : values, NULL,
						   NULL, 0))
		connection_lost(connection);
	else
		(void) flush_request(connection);
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
	const Target *target = connection->call->transport_data;

	if (target->needs_password && !PQconnectionUsedPassword(connection->pg))
	{
		end_call(connection, CALL_MISCONFIGURED, "28000",
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
	send_request(connection);
}

static void
step_opening(Connection *connection)
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
new_connection(Call *call, Target *target)
{
	Connection *connection = MemoryContextAllocZero(call_context,
													sizeof(Connection));

	connection->watch.ready = connection_ready;
	connection->state = CONNECTION_IS_OPENING;
	connection->call = call;
	connection->route = target->route;
	connection->route.reuse &= target->changes == server_changes();
	connection->due_us = call_clock_us() +
		teller_connect_timeout_ms * INT64CONST(1000) * target->options.hosts;
	dlist_push_head(&connections, &connection->node);
	target->connection = connection;
	return connection;
}

static void
open_connection(Call *call, Target *target)
{
	Connection *connection;

	while (evict(target->route.server, target->max_connections))
		;
	while (evict(InvalidOid, teller_max_in_flight))
		;
	connection = new_connection(call, target);
	do
		connection->has_descriptor = AcquireExternalFD();
	while (!connection->has_descriptor && evict(InvalidOid, 0));
	if (!connection->has_descriptor)
	{
		end_call(connection, CALL_NOT_SENT, "53000",
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

static void
postgres_begin(Call *call)
{
	Target	   *target = call->transport_data;
	Connection *connection = find_idle(target);

	if (connection == NULL)
		open_connection(call, target);
	else
	{
		connection->call = call;
		target->connection = connection;
		send_request(connection);
	}
}

/* ---------- receiving ---------- */

/* Keep a result, or answer false if it is not one that was asked for. */
static bool
keep_result(Connection *connection, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);
	PGresult  **place = status == PGRES_TUPLES_OK ? &connection->row :
		&connection->error;

	if (++connection->results > MAX_RESULTS ||
		(status != PGRES_TUPLES_OK && status != PGRES_FATAL_ERROR) ||
		(status == PGRES_TUPLES_OK && connection->row != NULL))
	{
		PQclear(result);
		return false;
	}
	PQclear(*place);			/* the last error counts */
	*place = result;
	return true;
}

/* Returns NULL, or what is wrong. */
static const char *
read_row(Call *call, const PGresult *row)
{
	const char *fields[ANSWER_FIELDS] = {NULL};
	bool		is_text = call->request.verb == CALL_CHECK ||
		call->request.verb == CALL_LIST;
	int			wanted = is_text ? 1 : ANSWER_FIELDS;

	if (PQntuples(row) != 1 || PQnfields(row) != wanted)
		return "the remote did not answer with one row of the right width";
	for (int i = 0; i < wanted; i++)
	{
		if (PQgetisnull(row, 0, i))
			continue;
		fields[i] = PQgetvalue(row, 0, i);
		if (strlen(fields[i]) != (size_t) PQgetlength(row, 0, i))
			return "the answer contains a zero byte";
	}
	return call_read_answer(call, fields);
}

/* All results are drained: say what they prove. */
static void
conclude(Connection *connection)
{
	PGresult   *error = connection->error;
	const char *severity = PQresultErrorField(error,
											  PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *sqlstate = PQresultErrorField(error, PG_DIAG_SQLSTATE);
	const char *problem;

	if (PQstatus(connection->pg) != CONNECTION_OK ||
		PQtransactionStatus(connection->pg) != PQTRANS_IDLE ||
		(error != NULL && (sqlstate == NULL || severity == NULL ||
						   strcmp(severity, "ERROR") != 0)))
	{
		connection_lost(connection);
		return;
	}
	if (error != NULL)
	{
		end_call(connection, class_of_error(sqlstate), sqlstate,
				 PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY));
		return;
	}
	problem = connection->row == NULL ? "the remote gave no result" :
		read_row(connection->call, connection->row);
	if (problem != NULL)
		end_call(connection, CALL_AMBIGUOUS, "08P01", problem);
	else
		end_call(connection, CALL_ANSWERED, "00000", "");
}

static int
bytes_waiting(const Connection *connection)
{
	int			waiting = 0;

	return ioctl(PQsocket(connection->pg), FIONREAD, &waiting) == 0 ?
		waiting : 0;
}

/*
 * Read what is there.  libpq would take in a gigabyte before it told us; so
 * count what it takes away from the kernel.
 */
static bool
consume_input(Connection *connection)
{
	int			before = bytes_waiting(connection);

	if (!PQconsumeInput(connection->pg))
	{
		connection_lost(connection);
		return false;
	}
	connection->received_bytes += Max(before - bytes_waiting(connection), 0);
	if (connection->received_bytes <=
		(int64) teller_max_response_bytes + PROTOCOL_ALLOWANCE_BYTES)
		return true;
	end_call(connection, CALL_AMBIGUOUS, "08P01",
			 "the answer is longer than teller.max_response_bytes");
	return false;
}

static void
step_busy(Connection *connection)
{
	if (!consume_input(connection) || !flush_request(connection))
		return;
	while (!PQisBusy(connection->pg))
	{
		PGresult   *result = PQgetResult(connection->pg);

		if (result == NULL)
		{
			conclude(connection);
			return;
		}
		if (!keep_result(connection, result))
		{
			end_call(connection, CALL_AMBIGUOUS, "08P01",
					 "the remote gave results that were not asked for");
			return;
		}
	}
}

static void
connection_ready(CallWatch *watch, uint32 events)
{
	Connection *connection = (Connection *)
		((char *) watch - offsetof(Connection, watch));

	if (events == 0 && connection->call != NULL)
	{
		call_give_up(connection->call, "the connection cannot be waited for");
		return;
	}
	switch (connection->state)
	{
		case CONNECTION_IS_OPENING:
			step_opening(connection);
			return;
		case CONNECTION_IS_BUSY:
			step_busy(connection);
			return;
		case CONNECTION_IS_IDLE:
			if (events == 0 || !is_quiet(connection))
				close_connection(connection);
			return;
	}
}

/* ---------- the rest of the transport ---------- */

static void
postgres_abandon(Call *call)
{
	Target	   *target = call->transport_data;

	if (target->connection != NULL)
		close_connection(target->connection);
	target->connection = NULL;
}

static int64
postgres_timers(int64 now_us)
{
	int64		next_us = PG_INT64_MAX;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &connections)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		switch (connection->state)
		{
			case CONNECTION_IS_OPENING:
				if (connection->due_us <= now_us)
					call_give_up(connection->call,
								 "no connection within teller.connect_timeout");
				else
					next_us = Min(next_us, connection->due_us);
				break;
			case CONNECTION_IS_BUSY:
				break;			/* the call has its own deadline */
			case CONNECTION_IS_IDLE:
				if (connection->stale || connection->due_us <= now_us)
					close_connection(connection);
				else
					next_us = Min(next_us, connection->due_us);
				break;
		}
	}
	return next_us;
}

static void
postgres_close(void)
{
	while (!dlist_is_empty(&connections))
		close_connection(dlist_head_element(Connection, node, &connections));
}

const CallTransport call_postgres = {
	.prepare = postgres_prepare,
	.begin = postgres_begin,
	.abandon = postgres_abandon,
	.timers = postgres_timers,
	.close = postgres_close
};
