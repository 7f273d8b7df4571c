/*-------------------------------------------------------------------------
 *
 * call_http.h
 *	  Between call.c and the library teller_http.so.
 *
 * The symbols of both libraries are hidden, so each hands the other a struct
 * of pointers: the core its services, the library its transport.  Both are
 * built together; the entry function refuses a core of another build.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_CALL_HTTP_H
#define TELLER_CALL_HTTP_H

#include "call.h"

/* What call->transport_data is when the library's prepare() is called. */
typedef struct HttpTarget
{
	ServerHttpOptions options;
	bool		reuse;			/* connections may carry more than one call */
} HttpTarget;

/* What the library needs of the core; see call.h for the functions. */
typedef struct CallServices
{
	const char *version;		/* TELLER_VERSION */
	size_t		call_bytes;		/* sizeof(Call), sizeof(HttpTarget) */
	size_t		target_bytes;
	void		(*watch) (CallWatch *watch, pgsocket fd, uint32 events,
						  bool replaced);
	void		(*unwatch) (CallWatch *watch);
	int64		(*clock_us) (void);
	void		(*finish) (Call *call, CallClass class, const char *sqlstate,
						   const char *message, const char *secret);
	void		(*give_up) (Call *call, const char *message);
	const char *(*read_answer) (Call *call,
								const char *const fields[ANSWER_FIELDS]);
	const int  *connect_timeout_ms; /* the settings of these names */
	const int  *max_in_flight;
	const int  *max_response_bytes;
} CallServices;

/*
 * teller_http_open: the library's only function to call.  services must live
 * as long as the process.  Returns the transport, or NULL and what is wrong
 * in *problem.  Raises nothing.
 */
typedef const CallTransport *(*HttpOpenFunction) (const CallServices *services,
												  const char **problem);

#define HTTP_LIBRARY "$libdir/teller_http"
#define HTTP_OPEN "teller_http_open"

#endif							/* TELLER_CALL_HTTP_H */
