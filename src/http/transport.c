/*-------------------------------------------------------------------------
 *
 * transport.c
 *	  Calls to HTTP services: the transport, over libcurl's multi-socket
 *	  interface.
 *
 * libcurl says which sockets it waits for and when it wants to be called; the
 * worker's one wait set does the waiting.  There is no thread of ours.
 * libcurl starts one for each name it resolves; all signals are blocked while
 * it may, so that none of PostgreSQL's handlers ever runs in such a thread.
 *
 * In a callback libcurl is on the stack, and an error raised would jump
 * through it.  So callbacks only take notes, in memory from malloc, and what
 * follows is done when libcurl has returned.
 *
 * Connections are kept and used again.  When nothing was sent for a while all
 * of libcurl's state is thrown away, and with it its connections.  At the end
 * of the process nothing is cleaned up: that might wait for a resolver.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "fmgr.h"
#include "storage/fd.h"
#include "storage/latch.h"

#include "compat.h"
#include "http/http.h"

PG_MODULE_MAGIC;

#define IDLE_CLOSE_US (60 * INT64CONST(1000000))

/* What libcurl itself has open, and what a transfer may: two tries to
 * connect at once, or a pipe from the resolver and one try. */
#define MULTI_DESCRIPTORS 2
#define TRANSFER_DESCRIPTORS 3

extern PGDLLEXPORT const CallTransport *teller_http_open(
	const CallServices *services, const char **problem);

/* A socket that libcurl waits for.  From malloc. */
typedef struct Socket
{
	CallWatch	watch;
	struct Socket *next;
	curl_socket_t fd;
	int			wanted;			/* CURL_POLL_* */
	bool		changed;
	bool		removed;
} Socket;

const CallServices *http_services = NULL;

static CURLM *multi = NULL;
static Socket *sockets = NULL;
static int64 due_us = PG_INT64_MAX; /* when libcurl wants to be called */
static int64 close_us = PG_INT64_MAX;	/* when an idle one is thrown away */
static int	transfers = 0;		/* under way */
static int	open_sockets = 0;	/* by the callbacks */
static int	descriptors = 0;	/* counted with AcquireExternalFD */

static void socket_ready(CallWatch *watch, uint32 events);

/* ---- signals ---- */

static void
block_signals(sigset_t *before)
{
	sigset_t	all;

	sigfillset(&all);
	(void) pthread_sigmask(SIG_SETMASK, &all, before);
}

static void
restore_signals(const sigset_t *before)
{
	(void) pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* ---- callbacks: libcurl is on the stack ---- */

static int
on_socket(CURL *easy, curl_socket_t fd, int wanted, void *arg, void *known)
{
	Socket	   *socket = known;

	if (socket == NULL)
	{
		if (wanted == CURL_POLL_REMOVE)
			return 0;
		socket = calloc(1, sizeof(Socket));
		if (socket == NULL)
			return -1;
		socket->watch.ready = socket_ready;
		socket->fd = fd;
		socket->next = sockets;
		sockets = socket;
		(void) curl_multi_assign(multi, fd, socket);
	}
	if (wanted == CURL_POLL_REMOVE)
	{
		socket->removed = true;
		(void) curl_multi_assign(multi, fd, NULL);
	}
	socket->wanted = wanted;
	socket->changed = true;
	return 0;
}

/* In timeout_ms, at once for 0, never for -1. */
static int
on_timer(CURLM *which, long timeout_ms, void *arg)
{
	due_us = timeout_ms < 0 ? PG_INT64_MAX :
		http_services->clock_us() + timeout_ms * INT64CONST(1000);
	return 0;
}

/* After the name was resolved, before anything is sent. */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	Transfer   *transfer = arg;
	curl_socket_t fd;

	if (!transfer->target->options.allow_private &&
		!address_is_public(&address->addr))
	{
		transfer->refused_address = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
				address->protocol);
	if (fd != CURL_SOCKET_BAD)
		open_sockets++;
	return fd;
}

static int
on_close_socket(void *arg, curl_socket_t fd)
{
	open_sockets--;
	return close(fd);
}

/* ---- after libcurl has returned ---- */

static uint32
events_of(int wanted)
{
	switch (wanted)
	{
		case CURL_POLL_IN:
			return WL_SOCKET_READABLE;
		case CURL_POLL_OUT:
			return WL_SOCKET_WRITEABLE;
		case CURL_POLL_INOUT:
			return WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE;
	}
	return 0;
}

/* Tell the wait set what libcurl has said about sockets. */
static void
follow_sockets(void)
{
	Socket	  **place = &sockets;
	Socket	   *socket;

	while ((socket = *place) != NULL)
	{
		if (!socket->removed)
		{
			place = &socket->next;
			continue;
		}
		*place = socket->next;
		http_services->unwatch(&socket->watch);
		free(socket);
	}
	for (socket = sockets; socket != NULL; socket = socket->next)
	{
		if (!socket->changed)
			continue;
		socket->changed = false;
		if (events_of(socket->wanted) == 0)
			http_services->unwatch(&socket->watch);
		else
			http_services->watch(&socket->watch, socket->fd,
								 events_of(socket->wanted), false);
	}
}

/*
 * Count descriptors towards PostgreSQL's limit: what may be open for the
 * transfers, and the connections that rest.  False if there are too few.
 */
static bool
follow_descriptors(void)
{
	int			needed = multi == NULL ? 0 : MULTI_DESCRIPTORS +
		Max(transfers * TRANSFER_DESCRIPTORS, open_sockets + transfers);

	while (descriptors > needed)
	{
		ReleaseExternalFD();
		descriptors--;
	}
	while (descriptors < needed && AcquireExternalFD())
		descriptors++;
	return descriptors == needed;
}

/* The transfer is over: take it out of libcurl. */
static void
end_transfer(Transfer *transfer)
{
	CURL	   *easy = transfer->easy;
	sigset_t	before;

	if (easy == NULL)
		return;
	transfer->easy = NULL;
	block_signals(&before);
	(void) curl_multi_remove_handle(multi, easy);
	curl_easy_cleanup(easy);
	curl_slist_free_all(transfer->headers);
	restore_signals(&before);
	transfer->headers = NULL;
	transfers--;
	close_us = http_services->clock_us() + IDLE_CLOSE_US;
}

static void
free_reply(Transfer *transfer)
{
	free(transfer->reply);
	transfer->reply = NULL;
	transfer->reply_length = transfer->reply_capacity = 0;
}

static void
collect_ended(void)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURL	   *easy = message->easy_handle;
		CURLcode	code = message->data.result;
		Transfer   *transfer = NULL;
		long		status = 0;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &transfer);
		(void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		end_transfer(transfer);
		reply_finish(transfer, code, status);
		free_reply(transfer);
	}
}

static void
after_libcurl(void)
{
	follow_sockets();
	collect_ended();
	follow_sockets();
	(void) follow_descriptors();
}

/* Let libcurl look at a socket, or at the time (CURL_SOCKET_TIMEOUT). */
static void
let_act(curl_socket_t fd, int events)
{
	sigset_t	before;
	int			running;

	block_signals(&before);
	(void) curl_multi_socket_action(multi, fd, events, &running);
	restore_signals(&before);
	after_libcurl();
}

static void
socket_ready(CallWatch *watch, uint32 events)
{
	Socket	   *socket = (Socket *)
		((char *) watch - offsetof(Socket, watch));
	int			seen = 0;

	if (events & WL_SOCKET_READABLE)
		seen |= CURL_CSELECT_IN;
	if (events & WL_SOCKET_WRITEABLE)
		seen |= CURL_CSELECT_OUT;
	if (events == 0)
		seen = CURL_CSELECT_ERR;
	let_act(socket->fd, seen);
}

/* ---- libcurl's state ---- */

static bool
open_multi(void)
{
	bool		good = true;

	if (multi != NULL)
		return true;
	multi = curl_multi_init();
	if (multi == NULL)
		return false;
	good &= curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION,
							  on_socket) == CURLM_OK;
	good &= curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION,
							  on_timer) == CURLM_OK;
	good &= curl_multi_setopt(multi, CURLMOPT_PIPELINING,
							  (long) CURLPIPE_NOTHING) == CURLM_OK;
	good &= curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS,
							  (long) *http_services->max_in_flight) ==
		CURLM_OK;
	if (!good)
	{
		curl_multi_cleanup(multi);
		multi = NULL;
	}
	return good;
}

/* Only while nothing is under way.  The callbacks are not to be called. */
static void
close_multi(void)
{
	sigset_t	before;

	Assert(transfers == 0);

	block_signals(&before);
	(void) curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, NULL);
	(void) curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, NULL);
	(void) curl_multi_cleanup(multi);
	restore_signals(&before);
	multi = NULL;
	for (Socket *socket = sockets; socket != NULL; socket = socket->next)
		socket->removed = true;
	follow_sockets();
	due_us = close_us = PG_INT64_MAX;
	(void) follow_descriptors();
}

/* Room for one more transfer; resting connections must go first. */
static bool
make_room(void)
{
	if (!open_multi())
		return false;
	transfers++;
	if (!follow_descriptors() && transfers == 1)
	{
		transfers--;
		close_multi();
		if (!open_multi())
			return false;
		transfers++;
	}
	if (follow_descriptors())
		return true;
	transfers--;
	(void) follow_descriptors();
	return false;
}

/* ---- the transport ---- */

static void
http_prepare(Call *call, const Server *server)
{
	call->transport_data = send_make(call, call->transport_data);
}

/* Returns NULL, or what is wrong. */
static const char *
set_handle(Transfer *transfer)
{
	CURL	   *easy = transfer->easy;

	if (curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION,
						 on_open_socket) != CURLE_OK ||
		curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer) != CURLE_OK ||
		curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION,
						 on_close_socket) != CURLE_OK)
		return "libcurl does not take a callback that is needed";
	return send_set(transfer);
}

static void
http_begin(Call *call)
{
	Transfer   *transfer = call->transport_data;
	const char *problem;
	sigset_t	before;
	CURLMcode	code;

	if (!make_room())
	{
		http_services->finish(call, CALL_NOT_SENT, "53000",
							  "no file descriptor or memory is left for a connection; max_files_per_process limits them",
							  NULL);
		return;
	}
	transfer->easy = curl_easy_init();
	problem = transfer->easy == NULL ? "libcurl has no memory" :
		set_handle(transfer);
	if (problem == NULL)
	{
		block_signals(&before);
		code = curl_multi_add_handle(multi, transfer->easy);
		restore_signals(&before);
		if (code != CURLM_OK)
			problem = curl_multi_strerror(code);
	}
	if (problem != NULL)
	{
		if (transfer->easy == NULL)
			transfers--;
		end_transfer(transfer);
		http_services->finish(call, CALL_NOT_SENT, "53200", problem, NULL);
	}
	after_libcurl();
}

/* Finishes no other call: whoever gives up many is going through a list. */
static void
http_abandon(Call *call)
{
	Transfer   *transfer = call->transport_data;

	end_transfer(transfer);
	free_reply(transfer);
	follow_sockets();
	(void) follow_descriptors();
}

static int64
http_timers(int64 now_us)
{
	if (multi != NULL && due_us <= now_us)
	{
		due_us = PG_INT64_MAX;	/* unless it says otherwise */
		let_act(CURL_SOCKET_TIMEOUT, 0);
	}
	if (multi != NULL && transfers == 0 && close_us <= now_us)
		close_multi();
	return Min(due_us, transfers == 0 ? close_us : PG_INT64_MAX);
}

static void
http_close(void)
{
	/* The process ends: see above. */
}

static const CallTransport transport = {
	.prepare = http_prepare,
	.begin = http_begin,
	.abandon = http_abandon,
	.timers = http_timers,
	.close = http_close
};

/* ---- opening the library ---- */

/* Returns NULL, or what is wrong. */
static const char *
start_libcurl(void)
{
	curl_version_info_data *about;

	/* libcurl would write the keys of all connections into this file. */
	unsetenv("SSLKEYLOGFILE");
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return "libcurl does not start";
	about = curl_version_info(CURLVERSION_NOW);
	if ((about->features & CURL_VERSION_ASYNCHDNS) == 0)
		return "libcurl was built without an asynchronous resolver";
	if ((about->features & CURL_VERSION_SSL) == 0)
		return "libcurl was built without TLS";
	if (about->version_num < 0x075700)
		return "libcurl is older than 7.87";
	return NULL;
}

const CallTransport *
teller_http_open(const CallServices *services, const char **problem)
{
	if (strcmp(services->version, TELLER_VERSION) != 0 ||
		services->call_bytes != sizeof(Call) ||
		services->target_bytes != sizeof(HttpTarget))
	{
		*problem = "the library teller_http is of another version than pg_teller";
		return NULL;
	}
	*problem = start_libcurl();
	http_services = services;
	return *problem == NULL ? &transport : NULL;
}
