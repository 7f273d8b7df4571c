/*-------------------------------------------------------------------------
 *
 * server.h
 *	  The foreign servers of pg_teller: which ledger is behind one, what it
 *	  can do, and how it is reached.
 *
 * A server is a row of pg_foreign_server under one of our foreign-data
 * wrappers.  Its options are of two sorts: policy (what the remote can do and
 * how much is asked of it at once), which every kind has, and connection
 * options, which only the transport of its kind understands.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_SERVER_H
#define TELLER_SERVER_H

#include "nodes/pg_list.h"

typedef enum ServerKind
{
	SERVER_POSTGRES,			/* wrapper teller_postgres: libpq */
	SERVER_HTTP,				/* wrapper teller_http */
	SERVER_PULL					/* wrapper teller_pull: no network here */
} ServerKind;

#define SERVER_KINDS (SERVER_PULL + 1)

typedef struct Server
{
	Oid			oid;
	char	   *name;
	Oid			owner;
	ServerKind	kind;
	List	   *options;		/* of DefElem: all of them, as written */
	uint64		changes;		/* server_try: server_changes() before */

	/* policy */
	bool		has_ledger;		/* else the remote's ledger has our number */
	int64		ledger;
	int			max_in_flight;	/* 0: teller.max_in_flight_per_server */
	int			timeout_ms;		/* 0: teller.attempt_timeout */
	bool		can_fence;
	bool		can_lookup;
	bool		honours_memo;
	int			memo_retention_s;	/* 0: for ever */
} Server;

/*
 * server_load, server_load_by_oid: the server in the current memory context.
 * TL009 for one that does not exist (or NULL with missing_ok), 42809 for one
 * of somebody else's wrapper, 22023 for options that cannot be read.  The
 * caller checks USAGE.  Must run in a transaction; takes no lock.
 */
extern Server *server_load(const char *name, bool missing_ok);
extern Server *server_load_by_oid(Oid oid, bool missing_ok);

/* The same, raising nothing: NULL, and what is wrong in *problem. */
extern Server *server_try(Oid oid, const char **problem);

/*
 * How often servers and user mappings were seen to change.  What was read at
 * another count is out of date.  Counts from the first server_try on.
 */
extern uint64 server_changes(void);

/*
 * server_login: the user mapping that speaks for a role: its own, else
 * PUBLIC's, else none.  The options hold secrets.
 */
typedef struct ServerLogin
{
	Oid			mapping;		/* InvalidOid: none */
	Oid			role;			/* whose it is; InvalidOid: PUBLIC or none */
	List	   *options;		/* of DefElem */
} ServerLogin;

extern void server_login(const Server *server, Oid userid,
						 ServerLogin *login);

/*
 * server_needs_password: whether the connection must be authenticated by a
 * password out of the user mapping, so that nobody travels on the rights of
 * the operating system's user.  It need not if both who wrote the server and
 * who may have written the mapping are members of the extension's owner.
 */
extern bool server_needs_password(const Server *server,
								  const ServerLogin *login);

/*
 * server_libpq_options: everything libpq is told, in the two arrays that
 * PQconnectStartParams takes.  What is not in there is ours to set or comes
 * from nowhere.
 */
typedef struct ServerOptions
{
	const char **keywords;		/* the last is NULL */
	const char **values;
	int			hosts;			/* how many it may have to try */
} ServerOptions;

extern void server_libpq_options(const Server *server,
								 const ServerLogin *login, int timeout_ms,
								 ServerOptions *options);

/*
 * server_http_options: what a server of wrapper teller_http and a user mapping
 * say, in the current memory context.  Tests all of it again.  Returns NULL,
 * or what is wrong, without secrets.
 */
typedef struct ServerHttpOptions
{
	const char *url;			/* without a slash at the end */
	const char *ca_file;		/* NULL: the system's authorities */
	bool		allow_insecure; /* http is no mistake */
	bool		allow_private;	/* and neither is an address in our network */
	const char *token;			/* secret; NULL: none; so are the next five */
	const char *user;
	const char *password;		/* secret */
	const char *cert_file;
	const char *key_file;
	const char *key_password;	/* secret */
} ServerHttpOptions;

extern const char *server_http_options(const Server *server,
									   const ServerLogin *login,
									   ServerHttpOptions *options);

/* server_http.c: what one URL is not, and what options are not together. */
extern bool server_url_is_valid(const char *url);
extern const char *server_http_conflict(List *options, Oid catalog,
										const char **hint);

/*
 * server_option_hint: what is wrong with the value of an option of this kind
 * of server or of its user mappings, as a hint; NULL: nothing.
 */
extern const char *server_option_hint(ServerKind kind, const char *name,
									  const char *value, Oid catalog);

/*
 * server_scrub_environment: libpq takes what it is not told from the
 * environment, which is that of whoever started the database server, and an
 * empty value does not prevent it.  So the variables go, for this process.
 */
extern void server_scrub_environment(void);

/* The value of an option, or NULL. */
extern const char *server_option(List *options, const char *name);

#endif							/* TELLER_SERVER_H */
