/*-------------------------------------------------------------------------
 *
 * call_postgres.c
 *	  Calls to another PostgreSQL, over asynchronous libpq.
 *
 * A call is carried by one connection at a time (call_connection.c).
 *
 * Executes that come while others are out wait for these a moment, and then
 * travel together: the remote executes them in one transaction, with one
 * flush and one lock of our account there, for which they would queue if each
 * had a transaction of its own.  All of them are answered or none; if the
 * transaction failed, none was executed, and each is sent again by itself, so
 * that what is wrong with one stops no other.
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

#include "storage/latch.h"
#include "utils/syscache.h"

#include "call_connection.h"
#include "guc.h"

/* Bytes around an answer that do not count against its limit. */
#define PROTOCOL_ALLOWANCE_BYTES 16384

/* Executes wait while this many groups are out to a server that are young. */
#define MAX_YOUNG 2

/* Fewer than this are not spread over the ways that are free. */
#define SMALL_GROUP 4

/* The row and the result of the commit; more is not what was asked for. */
#define MAX_RESULTS 4

static dlist_head waiting = DLIST_STATIC_INIT(waiting); /* of Target */

/* ---------- preparing, in the caller's transaction ---------- */

static void
postgres_prepare(Call *call, const Server *server)
{
	Target	   *target = palloc0(sizeof(Target));
	ServerLogin login;

	connection_init();
	call->transport_data = target;
	target->call = call;
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
	target->alone = call->request.verb != CALL_EXECUTE || !server->honours_memo;
	target->max_connections = server->max_in_flight > 0 ?
		server->max_in_flight : teller_max_in_flight_per_server;
	if (server->has_ledger)
		target->ledger = psprintf("%lld", (long long) server->ledger);
	server_libpq_options(server, &login, call->timeout_ms, &target->options);
}

/* ---------- who goes with whom ---------- */

/*
 * How many connections to the server are out that a call had better wait for:
 * they will soon be back, and what waits then goes together.
 */
static int
count_young(Oid server, int64 now_us)
{
	int			count = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &call_connections)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		if (connection->route.server != server)
			continue;
		if (connection->alone)
			return 0;
		count += connection->state != CONNECTION_IS_IDLE &&
			connection->young_until_us > now_us;
	}
	return count;
}

static Target *
next_to_start(int64 now_us, int *free)
{
	dlist_iter	iter;

	dlist_foreach(iter, &waiting)
	{
		Target	   *target = dlist_container(Target, node, iter.cur);

		*free = target->alone ? 1 :
			MAX_YOUNG - count_young(target->route.server, now_us);
		if (*free > 0)
			return target;
	}
	return NULL;
}

static bool
may_share(const Target *a, const Target *b)
{
	return !a->alone && !b->alone && a->route.server == b->route.server &&
		a->route.mapping == b->route.mapping &&
		a->route.timeout_ms == b->route.timeout_ms &&
		a->changes == b->changes;
}

/* Take from those that wait the first, and who may go with it. */
static void
take_group(Connection *connection, Target *first, int limit)
{
	CallGroup  *group = &connection->group;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &waiting)
	{
		Target	   *target = dlist_container(Target, node, iter.cur);

		if (group->count == limit)
			break;
		if (group->count == 0 ? target != first :
			!may_share(first, target) || !call_group_fits(group, target->call))
			continue;
		dlist_delete(&target->node);
		target->waits = false;
		target->connection = connection;
		group->calls[group->count++] = target->call;
	}
}

/* How many go together, if this many ways are free. */
static int
group_limit(const Target *first, int free)
{
	int			count = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &waiting)
		count += may_share(first,
						   dlist_container(Target, node, iter.cur));
	return Min(Max((count + free - 1) / free, SMALL_GROUP), CALL_GROUP_MAX);
}

static void
start(Target *first, int free)
{
	Connection *connection = connection_find_idle(first);
	bool		is_new = connection == NULL;

	if (is_new)
		connection = connection_reserve(first);
	take_group(connection, first, first->alone || connection->alone ? 1 :
			   group_limit(first, free));
	if (is_new)
		connection_open(connection, first);
	else
		connection_send(connection);
}

static void
start_waiting(void)
{
	Target	   *target;
	int			free;

	while ((target = next_to_start(call_clock_us(), &free)) != NULL)
		start(target, free);
}

static void
wait_for_start(Target *target)
{
	dlist_push_tail(&waiting, &target->node);
	target->waits = true;
}

static void
postgres_begin(Call *call)
{
	Target	   *target = target_of(call);

	if (!target->alone)
	{
		wait_for_start(target);	/* until postgres_timers */
		return;
	}
	wait_for_start(target);
	start(target, 1);
}

/*
 * The transaction of a group failed, so none of it was executed, and each has
 * to show by itself what becomes of it.
 */
static void
part_group(Connection *connection, CallClass class)
{
	CallGroup	group = connection->group;
	const Target *target = target_of(group.calls[0]);

	/* It has no such function, or we may not use it. */
	connection->alone |= class == CALL_MISCONFIGURED;
	connection_release(connection, target, true);
	for (int i = 0; i < group.count; i++)
	{
		group.calls[i]->sent = false;
		target_of(group.calls[i])->alone = true;
		wait_for_start(target_of(group.calls[i]));
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

/* The rows are there and the remote has committed. */
static void
take_answers(Connection *connection)
{
	CallGroup  *group = &connection->group;
	const Target *target = target_of(group->calls[0]);
	const char *secret = PQpass(connection->pg);
	bool		proven = true;

	for (int i = 0; i < group->count; i++)
	{
		const char *problem = call_group_read(group, i, connection->row);

		if (problem == NULL)
			call_finish(group->calls[i], CALL_ANSWERED, "00000", "", secret);
		else
			call_finish(group->calls[i], CALL_AMBIGUOUS, "08P01", problem,
						secret);
		proven &= problem == NULL;
	}
	connection_release(connection, target, proven);
}

/* All results are drained: say what they prove. */
static void
conclude(Connection *connection)
{
	PGresult   *error = connection->error;
	const char *severity = PQresultErrorField(error,
											  PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *sqlstate = PQresultErrorField(error, PG_DIAG_SQLSTATE);

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
		CallClass	class = connection_error_class(sqlstate);

		if (connection->group.count > 1 && class != CALL_AMBIGUOUS)
			part_group(connection, class);
		else
			connection_end_calls(connection, class, sqlstate,
					  PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY));
	}
	else if (connection->row == NULL)
		connection_end_calls(connection, CALL_AMBIGUOUS, "08P01",
				  "the remote gave no result");
	else
		take_answers(connection);
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
	connection_end_calls(connection, CALL_AMBIGUOUS, "08P01",
			 "the answer is longer than teller.max_response_bytes");
	return false;
}

static void
step_busy(Connection *connection)
{
	if (!consume_input(connection) || !connection_flush(connection))
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
			connection_end_calls(connection, CALL_AMBIGUOUS, "08P01",
					 "the remote gave results that were not asked for");
			return;
		}
	}
}

void
connection_ready(CallWatch *watch, uint32 events)
{
	Connection *connection = (Connection *)
		((char *) watch - offsetof(Connection, watch));

	if (events == 0 && connection->group.count > 0)
		connection_give_up(connection, "the connection cannot be waited for");
	else
		switch (connection->state)
		{
			case CONNECTION_IS_OPENING:
				connection_step_opening(connection);
				break;
			case CONNECTION_IS_BUSY:
				step_busy(connection);
				break;
			case CONNECTION_IS_IDLE:
				if (events == 0 || !connection_is_quiet(connection))
					connection_close(connection);
				break;
		}
	start_waiting();
}

/* ---------- the rest of the transport ---------- */

static void
postgres_abandon(Call *call)
{
	Target	   *target = target_of(call);
	Connection *connection = target->connection;

	if (target->waits)
		dlist_delete(&target->node);
	target->waits = false;
	if (connection == NULL)
		return;

	/* With the connection goes the answer to all; run_timers ends them. */
	for (int i = 0; i < connection->group.count; i++)
		connection->group.calls[i]->deadline_us = 0;
	connection_close(connection);
}

static int64
postgres_timers(int64 now_us)
{
	int64		next_us = PG_INT64_MAX;
	dlist_mutable_iter iter;

	start_waiting();
	dlist_foreach_modify(iter, &call_connections)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		if (!dlist_is_empty(&waiting) &&
			connection->state != CONNECTION_IS_IDLE &&
			connection->young_until_us > now_us)
			next_us = Min(next_us, connection->young_until_us);
		switch (connection->state)
		{
			case CONNECTION_IS_OPENING:
				if (connection->due_us <= now_us)
					connection_give_up(connection,
								  "no connection within teller.connect_timeout");
				else
					next_us = Min(next_us, connection->due_us);
				break;
			case CONNECTION_IS_BUSY:
				break;			/* its calls have their own deadlines */
			case CONNECTION_IS_IDLE:
				if (connection->stale || connection->due_us <= now_us)
					connection_close(connection);
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
	while (!dlist_is_empty(&call_connections))
		connection_close(dlist_head_element(Connection, node, &call_connections));
}

const CallTransport call_postgres = {
	.prepare = postgres_prepare,
	.begin = postgres_begin,
	.abandon = postgres_abandon,
	.timers = postgres_timers,
	.close = postgres_close
};
