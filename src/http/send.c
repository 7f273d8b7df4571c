/*-------------------------------------------------------------------------
 *
 * send.c
 *	  What is sent for a call, and what libcurl is told about it.
 *
 * The body of an execute is the stored request, so it is the same bytes on
 * every retry.  Nothing comes from the environment: no proxy, no .netrc, no
 * file of options.  Connections speak HTTP/1.1, because libcurl sends a
 * request that a multiplexed connection refused again by itself.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "http/http.h"

/* How long a connection is used at most, and how long it may rest, in s. */
#define CONNECTION_LIFE_S 300L
#define CONNECTION_REST_S 30L

/* Beyond the call's own deadline, which comes first. */
#define TIMEOUT_SLACK_MS 1000L

/* ---- what is sent ---- */

static void
add_member(StringInfo json, const char *name, const char *value)
{
	if (value == NULL)
		return;
	appendStringInfo(json, "%s\"%s\": ", json->len > 1 ? ", " : "", name);
	escape_json(json, value);
}

static const char *
fence_body(const Transfer *transfer)
{
	const CallRequest *asked = &transfer->call->request;
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	add_member(&json, "memo", transfer->memo);
	add_member(&json, "origin", asked->origin);
	add_member(&json, "reason", asked->reason);
	appendStringInfoChar(&json, '}');
	return json.data;
}

static const char *
in_utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

static void
set_verb(Transfer *transfer)
{
	const CallRequest *asked = &transfer->call->request;
	const char *url = transfer->target->options.url;

	switch (asked->verb)
	{
		case CALL_EXECUTE:
			transfer->method = "POST";
			transfer->url = psprintf("%s/operations", url);
			transfer->body = in_utf8(asked->body);
			break;
		case CALL_LOOKUP:
			transfer->method = "GET";
			transfer->url = psprintf("%s/operations/%s", url, transfer->memo);
			break;
		case CALL_FENCE:
			transfer->method = "PUT";
			transfer->url = psprintf("%s/operations/%s/fence", url,
									 transfer->memo);
			transfer->body = in_utf8(fence_body(transfer));
			break;
		case CALL_CHECK:
			transfer->method = "GET";
			transfer->url = psprintf("%s/capabilities", url);
			break;
		case CALL_LIST:
			elog(ERROR, "a service has no list of what it did");
	}
}

Transfer *
send_make(Call *call, const HttpTarget *target)
{
	Transfer   *transfer = palloc0(sizeof(Transfer));
	const ServerHttpOptions *options = &target->options;
	const char **secrets = palloc0(sizeof(char *) * 4);
	char	   *memo = palloc0(2 * CALL_MEMO_BYTES + 1);
	int			count = 0;

	transfer->call = call;
	transfer->target = target;
	hex_encode((const char *) call->request.memo, CALL_MEMO_BYTES, memo);
	transfer->memo = memo;
	if (options->token != NULL)
		secrets[count++] = options->token;
	if (options->password != NULL)
		secrets[count++] = options->password;
	if (options->key_password != NULL)
		secrets[count++] = options->key_password;
	transfer->secrets = secrets;
	set_verb(transfer);
	return transfer;
}

/* ---- callbacks: libcurl is on the stack, so nothing may be raised ---- */

/* What is received of the body. */
static size_t
on_body(char *bytes, size_t size, size_t count, void *arg)
{
	Transfer   *transfer = arg;
	size_t		length = transfer->reply_length + count;
	size_t		capacity = Max(transfer->reply_capacity, 1024);
	char	   *reply;

	if (length > transfer->reply_limit)
	{
		transfer->too_long = true;
		return 0;
	}
	while (capacity <= length)
		capacity *= 2;
	reply = capacity == transfer->reply_capacity ? transfer->reply :
		realloc(transfer->reply, capacity);
	if (reply == NULL)
	{
		transfer->no_memory = true;
		return 0;
	}
	memcpy(reply + transfer->reply_length, bytes, count);
	reply[length] = '\0';
	transfer->reply = reply;
	transfer->reply_length = length;
	transfer->reply_capacity = capacity;
	return count;
}

/* Keep the value of a header line if it has this name and is not too long. */
static void
keep_header(char *to, const char *line, size_t length, const char *name)
{
	size_t		before = strlen(name);

	if (length <= before || pg_strncasecmp(line, name, before) != 0)
		return;
	line += before;
	length -= before;
	while (length > 0 && (*line == ' ' || *line == '\t'))
		line++, length--;
	while (length > 0 && (unsigned char) line[length - 1] <= ' ')
		length--;
	if (length >= HTTP_HEADER_BYTES || memchr(line, '\0', length) != NULL)
		length = 0;
	memcpy(to, line, length);
	to[length] = '\0';
}

/* One header line, of the reply or of an interim one before it. */
static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
	Transfer   *transfer = arg;

	transfer->header_bytes += count;
	if (transfer->header_bytes > HTTP_HEADERS_MAX_BYTES)
	{
		transfer->too_long = true;
		return 0;
	}
	if (count > 5 && memcmp(line, "HTTP/", 5) == 0)
		transfer->retry_after[0] = transfer->date[0] = '\0';
	keep_header(transfer->retry_after, line, count, "Retry-After:");
	keep_header(transfer->date, line, count, "Date:");
	return count;
}

/*
 * The last moment before the request leaves.  libcurl comes here once more if
 * a connection that rested broke before it brought a reply: it would send the
 * request again.  One attempt sends once, so that is the end of this one.
 * The address is that of the connection, which may be older than this call.
 */
static int
on_request(void *arg, char *remote, char *local, int remote_port,
		   int local_port)
{
	Transfer   *transfer = arg;

	if (transfer->call->sent)
	{
		transfer->broken_off = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (!transfer->target->options.allow_private &&
		!address_text_is_public(remote))
	{
		transfer->refused_address = true;
		return CURL_PREREQFUNC_ABORT;
	}
	transfer->call->sent = true;
	return CURL_PREREQFUNC_OK;
}

/* ---- what libcurl is told ---- */

/* Set an option and remember if that fails. */
#define SET(option, value) \
	(good &= curl_easy_setopt(transfer->easy, (option), (value)) == CURLE_OK)

static bool
set_limits(Transfer *transfer)
{
	bool		good = true;

	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) *http_services->connect_timeout_ms);
	SET(CURLOPT_TIMEOUT_MS,
		(long) transfer->call->timeout_ms + TIMEOUT_SLACK_MS);
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) transfer->reply_limit);
	SET(CURLOPT_MAXAGE_CONN, CONNECTION_REST_S);
	SET(CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFE_S);
	SET(CURLOPT_NOSIGNAL, 1L);

	/* Else giving up waits for a resolver that hangs. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	return good;
}

static bool
set_isolation(Transfer *transfer)
{
	const HttpTarget *target = transfer->target;
	const char *protocols = target->options.allow_insecure ? "http,https" :
		"https";
	bool		good = true;

	SET(CURLOPT_PROTOCOLS_STR, protocols);
	SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	if (!target->reuse)
	{
		SET(CURLOPT_FRESH_CONNECT, 1L);
		SET(CURLOPT_FORBID_REUSE, 1L);
	}
	return good;
}

static bool
set_tls(Transfer *transfer)
{
	const ServerHttpOptions *options = &transfer->target->options;
	bool		good = true;

	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (options->ca_file != NULL)
	{
		SET(CURLOPT_CAINFO, options->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	if (options->cert_file != NULL)
	{
		SET(CURLOPT_SSLCERT, options->cert_file);
		SET(CURLOPT_SSLKEY, options->key_file ? options->key_file :
			options->cert_file);
	}
	if (options->key_password != NULL)
		SET(CURLOPT_KEYPASSWD, options->key_password);
	if (options->user != NULL)
	{
		SET(CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
		SET(CURLOPT_USERNAME, options->user);
		SET(CURLOPT_PASSWORD, options->password);
	}
	return good;
}

static bool
add_header(Transfer *transfer, const char *name, const char *value)
{
	char	   *line = psprintf("%s %s", name, value);
	struct curl_slist *longer = curl_slist_append(transfer->headers, line);

	pfree(line);
	if (longer == NULL)
		return false;
	transfer->headers = longer;
	return true;
}

static bool
set_headers(Transfer *transfer)
{
	const char *token = transfer->target->options.token;
	bool		good = add_header(transfer, "Accept:", "application/json") &&
		add_header(transfer, "Expect:", "");

	if (transfer->body != NULL)
		good = good && add_header(transfer, "Content-Type:",
								  "application/json");
	if (transfer->call->request.verb == CALL_EXECUTE)
		good = good && add_header(transfer, "Idempotency-Key:",
								  psprintf("\"%s\"", transfer->memo));
	if (token != NULL)
		good = good && add_header(transfer, "Authorization:",
								  psprintf("Bearer %s", token));
	if (!good)
		return false;
	SET(CURLOPT_HTTPHEADER, transfer->headers);
	SET(CURLOPT_USERAGENT, "pg_teller/" TELLER_VERSION);
	return good;
}

static bool
set_request(Transfer *transfer)
{
	bool		good = true;

	SET(CURLOPT_URL, transfer->url);
	if (transfer->body != NULL)
	{
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) strlen(transfer->body));
		SET(CURLOPT_POSTFIELDS, transfer->body);
	}
	else
		SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_CUSTOMREQUEST, transfer->method);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, transfer);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, transfer);
	SET(CURLOPT_PREREQFUNCTION, on_request);
	SET(CURLOPT_PREREQDATA, transfer);
	SET(CURLOPT_PRIVATE, transfer);
	SET(CURLOPT_ERRORBUFFER, transfer->error);
	return good;
}

const char *
send_set(Transfer *transfer)
{
	transfer->reply_limit = *http_services->max_response_bytes;
	return set_request(transfer) && set_limits(transfer) &&
		set_isolation(transfer) && set_tls(transfer) &&
		set_headers(transfer) ? NULL :
		"libcurl does not take an option that is needed";
}
