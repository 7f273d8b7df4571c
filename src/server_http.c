/*-------------------------------------------------------------------------
 *
 * server_http.c
 *	  The options of servers of wrapper teller_http, taken together.
 *
 * server.c tests each option for itself.  What is here knows nothing of curl.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "utils/builtins.h"

#include "server.h"

#define URL_MAX_BYTES 1024

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Returns what comes after http:// or https://, or NULL. */
static const char *
after_scheme(const char *url)
{
	if (strncmp(url, "https://", 8) == 0)
		return url + 8;
	if (strncmp(url, "http://", 7) == 0)
		return url + 7;
	return NULL;
}

static bool
is_port(const char *text, size_t len)
{
	return len >= 1 && len <= 5 && strspn(text, DIGITS) == len &&
		atoi(text) >= 1 && atoi(text) <= 65535;
}

/*
 * scheme, host, perhaps a port, perhaps a path.  No user: it would be in the
 * catalog for all to read.  No query, because paths are added at the end.
 */
bool
server_url_is_valid(const char *url)
{
	const char *host = after_scheme(url);
	size_t		len;
	size_t		rest;

	if (host == NULL || strlen(url) > URL_MAX_BYTES)
		return false;
	if (*host == '[')
	{
		len = strspn(host + 1, DIGITS "abcdefABCDEF:.");
		if (len < 2 || host[1 + len] != ']')
			return false;
		len += 2;
	}
	else
		len = strspn(host, LETTERS DIGITS "-._");
	if (len == 0)
		return false;
	rest = strcspn(host + len, "/");
	if (rest > 0 && (host[len] != ':' || !is_port(host + len + 1, rest - 1)))
		return false;
	host += len + rest;
	return host[strspn(host, LETTERS DIGITS "-._~%!$&'()*+,;=:@/")] == '\0';
}

static bool
is_on(List *options, const char *name)
{
	const char *value = server_option(options, name);
	bool		on = false;

	return value != NULL && parse_bool(value, &on) && on;
}

static const char *
server_conflict(List *options, const char **hint)
{
	const char *url = server_option(options, "url");

	if (url == NULL)
	{
		*hint = "Add url 'https://...': where the service is.";
		return "option \"url\" is missing";
	}
	if (strncmp(url, "https:", 6) != 0 && !is_on(options, "allow_insecure"))
	{
		*hint = "Use https, or set allow_insecure if nobody can listen on the way.";
		return "option \"url\" is not https";
	}
	return NULL;
}

static const char *
mapping_conflict(List *options, const char **hint)
{
	bool		user = server_option(options, "user") != NULL;

	if (user != (server_option(options, "password") != NULL))
	{
		*hint = "Give both, or neither.";
		return "options \"user\" and \"password\" go together";
	}
	if (user && server_option(options, "token") != NULL)
	{
		*hint = "Give a token, or a user and a password.";
		return "options \"token\" and \"user\" exclude each other";
	}
	if (server_option(options, "cert_file") == NULL &&
		(server_option(options, "key_file") != NULL ||
		 server_option(options, "key_password") != NULL))
	{
		*hint = "Add cert_file, the client's certificate.";
		return "option \"cert_file\" is missing";
	}
	return NULL;
}

/* Returns NULL, or what is wrong; then *hint says what to do. */
const char *
server_http_conflict(List *options, Oid catalog, const char **hint)
{
	if (catalog == ForeignServerRelationId)
		return server_conflict(options, hint);
	if (catalog == UserMappingRelationId)
		return mapping_conflict(options, hint);
	return NULL;
}

/* The validator may have been passed over: by UPDATE pg_foreign_server. */
static const char *
test_again(const Server *server, List *options, Oid catalog)
{
	const char *hint;
	ListCell   *cell;
	const char *problem;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (server_option_hint(server->kind, option->defname,
							   option->arg ? defGetString(option) : "",
							   catalog) != NULL)
			return psprintf("option \"%s\" of server \"%s\" or of its user mapping has an invalid value",
							option->defname, server->name);
	}
	problem = server_http_conflict(options, catalog, &hint);
	return problem == NULL ? NULL :
		psprintf("server \"%s\": %s", server->name, problem);
}

static char *
without_last_slashes(const char *url)
{
	size_t		len = strlen(url);

	while (url[len - 1] == '/')
		len--;
	return pnstrdup(url, len);
}

const char *
server_http_options(const Server *server, const ServerLogin *login,
					ServerHttpOptions *options)
{
	const char *problem = test_again(server, server->options,
									 ForeignServerRelationId);

	if (problem == NULL)
		problem = test_again(server, login->options, UserMappingRelationId);
	if (problem != NULL)
		return problem;
	options->url = without_last_slashes(server_option(server->options, "url"));
	options->ca_file = server_option(server->options, "ca_file");
	options->allow_insecure = is_on(server->options, "allow_insecure");
	options->allow_private = is_on(server->options, "allow_private");
	options->token = server_option(login->options, "token");
	options->user = server_option(login->options, "user");
	options->password = server_option(login->options, "password");
	options->cert_file = server_option(login->options, "cert_file");
	options->key_file = server_option(login->options, "key_file");
	options->key_password = server_option(login->options, "key_password");
	return NULL;
}
