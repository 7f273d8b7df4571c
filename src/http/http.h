/*-------------------------------------------------------------------------
 *
 * http.h
 *	  The library teller_http: calls to HTTP services, over libcurl.
 *
 * transport.c moves the bytes, send.c says which, reply.c what the answer
 * proves, json.c reads it, address.c knows where nothing may be sent to.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_HTTP_H
#define TELLER_HTTP_H

#include <curl/curl.h>
#include <sys/socket.h>

#include "call_http.h"

#if LIBCURL_VERSION_NUM < 0x075700
#error "teller_http needs libcurl 7.87 or later"
#endif

/* Of one header line; longer ones are not looked at. */
#define HTTP_HEADER_BYTES 128

/* Of all header lines of a reply. */
#define HTTP_HEADERS_MAX_BYTES (32 * 1024)

/*
 * One call on its way; in the call's memory.  What a callback of libcurl
 * fills is allocated by malloc, because nothing may be raised in one.
 */
typedef struct Transfer
{
	Call	   *call;
	const HttpTarget *target;
	const char *method;
	const char *url;
	const char *body;			/* UTF-8; NULL: none */
	const char *memo;			/* 64 hexadecimal digits */
	const char *const *secrets; /* the last is NULL */

	CURL	   *easy;			/* NULL: not begun, or over */
	struct curl_slist *headers;
	char		error[CURL_ERROR_SIZE];
	bool		refused_address;	/* where nothing may be sent to */
	bool		broken_off;		/* sent, and the connection broke */

	char	   *reply;			/* malloc; a zero at the end */
	size_t		reply_length;
	size_t		reply_capacity;
	size_t		reply_limit;
	size_t		header_bytes;
	bool		too_long;		/* over one of the limits */
	bool		no_memory;
	char		retry_after[HTTP_HEADER_BYTES];
	char		date[HTTP_HEADER_BYTES];
} Transfer;

extern const CallServices *http_services;

/*
 * send_make: what to send for a call, in the current memory context, in
 * the caller's transaction.
 */
extern Transfer *send_make(Call *call, const HttpTarget *target);

/*
 * send_set: everything libcurl is told, to a new handle.  Returns NULL, or
 * what is wrong; the handle is the caller's to free in any case.
 */
extern const char *send_set(Transfer *transfer);

/*
 * reply_finish: say what a transfer that is over proves, and finish its call.
 * code: libcurl's own word.  Touches no handle.
 */
extern void reply_finish(Transfer *transfer, CURLcode code, long status);

/* address_is_public: false for what only we can reach, or nobody. */
extern bool address_is_public(const struct sockaddr *address);

/* The same for an address in text; false if it is none. */
extern bool address_text_is_public(const char *text);

/*
 * json_read_members: the members of an object at the top level, by name, as
 * texts: strings decoded to UTF-8, numbers and booleans as they stand, NULL
 * for null and for what is not there.  buffer takes the texts and must have
 * room for length + 1 bytes.  Returns NULL, or what is wrong.
 */
extern const char *json_read_members(const char *json, size_t length,
									 const char *const *names, int count,
									 const char **values, char *buffer);

#endif							/* TELLER_HTTP_H */
