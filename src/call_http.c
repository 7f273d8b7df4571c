/*-------------------------------------------------------------------------
 *
 * call_http.c
 *	  Calls to HTTP services: reads their options, and hands the calls to a
 *	  library of its own.
 *
 * The library teller_http.so is linked with libcurl, this one is not.  It is
 * loaded by the first call to a server of wrapper teller_http; so a process
 * that makes none, and a machine without libcurl, have nothing to do with it.
 * A library that cannot be loaded is looked for again at the next call.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "call_http.h"
#include "guc.h"

static const CallServices services = {
	.version = TELLER_VERSION,
	.call_bytes = sizeof(Call),
	.target_bytes = sizeof(HttpTarget),
	.watch = call_watch,
	.unwatch = call_unwatch,
	.clock_us = call_clock_us,
	.finish = call_finish,
	.give_up = call_give_up,
	.read_answer = call_read_answer,
	.connect_timeout_ms = &teller_connect_timeout_ms,
	.max_in_flight = &teller_max_in_flight,
	.max_response_bytes = &teller_max_response_bytes
};

static const CallTransport *library = NULL; /* NULL: not loaded */

/*
 * The loader raises what is wrong with a file.  It has taken no lock and no
 * resource by then, so the transaction can go on.
 */
static const char *
load_library(void)
{
	MemoryContext caller = CurrentMemoryContext;
	uint32		holdoff = InterruptHoldoffCount;
	const char *problem = NULL;
	const char *volatile raised = NULL;

	PG_TRY();
	{
		HttpOpenFunction open = (HttpOpenFunction)
			load_external_function(HTTP_LIBRARY, HTTP_OPEN, true, NULL);

		library = open(&services, &problem);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		InterruptHoldoffCount = holdoff;
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		raised = psprintf("the library teller_http, which needs libcurl, cannot be loaded: %s",
						  error->message);
	}
	PG_END_TRY();
	return raised ? raised : problem;
}

static void
http_prepare(Call *call, const Server *server)
{
	const char *problem = library == NULL ? load_library() : NULL;
	HttpTarget *target = palloc0(sizeof(HttpTarget));
	ServerLogin login;

	if (problem != NULL)
	{
		call_finish(call, CALL_MISCONFIGURED, "58P01", problem, NULL);
		return;
	}
	server_login(server, call->request.userid, &login);
	target->reuse = server->honours_memo;
	problem = server_http_options(server, &login, &target->options);
	if (problem != NULL)
	{
		call_finish(call, CALL_MISCONFIGURED, "22023", problem, NULL);
		return;
	}
	call->transport = library;
	call->transport_data = target;
	library->prepare(call, server);
}

/* A call that begins has been prepared, and then it is the library's. */
static void
http_begin(Call *call)
{
	Assert(false);
}

static void
http_abandon(Call *call)
{
	/* nothing carries it */
}

static int64
http_timers(int64 now_us)
{
	return library != NULL ? library->timers(now_us) : PG_INT64_MAX;
}

static void
http_close(void)
{
	if (library != NULL)
		library->close();
}

const CallTransport call_http = {
	.prepare = http_prepare,
	.begin = http_begin,
	.abandon = http_abandon,
	.timers = http_timers,
	.close = http_close
};
