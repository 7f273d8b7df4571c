/*-------------------------------------------------------------------------
 *
 * server.c
 *	  The foreign servers of pg_teller: options and their validation.
 *
 * One table lists every option with its place and the form of its value.  The
 * validator refuses what is not in it when the server is made; the loader
 * reads the same table again, because an option can also get into the catalog
 * by ways that pass the validator over.  What is not in the table never
 * reaches libpq: `options`, `service`, `passfile`, `application_name`,
 * `client_encoding` and their like are ours to set.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <limits.h>

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "access.h"
#include "compat.h"
#include "errcodes.h"
#include "guc.h"
#include "server.h"

/*
 * A file that is not there.  libpq would look into the home directory
 * otherwise, and /dev/null itself makes it warn on stderr.
 */
#define NO_FILE "/dev/null/none"

extern char **environ;

/* How long a call may be given. */
#define TIMEOUT_MIN_MS 100
#define TIMEOUT_MAX_MS (60 * 60 * 1000)
#define MAX_IN_FLIGHT_MAX 10000

typedef enum OptionForm
{
	FORM_TEXT,					/* not empty, no control characters */
	FORM_WORD,					/* one of rule->words */
	FORM_PORT,					/* 1 to 65535, several with commas */
	FORM_FLAG,					/* a boolean; into a bool */
	FORM_COUNT,					/* 1 to MAX_IN_FLIGHT_MAX; into an int */
	FORM_TIMEOUT,				/* a time with its unit; into an int of ms */
	FORM_RETENTION,				/* a time with its unit; into an int of s */
	FORM_LEDGER,				/* a bigint; into Server.ledger */
	FORM_SWITCH,				/* a boolean */
	FORM_URL,					/* http or https; see server_url_is_valid */
	FORM_USER					/* not empty, no colon */
} OptionForm;

typedef enum OptionPlace
{
	PLACE_SERVER,				/* CREATE SERVER, for the transport */
	PLACE_SERVER_OWNER,			/* the same, our owner's members only: it
								 * opens the network that the server is in */
	PLACE_POLICY,				/* CREATE SERVER, for us */
	PLACE_MAPPING,				/* CREATE USER MAPPING, for the transport */
	PLACE_MAPPING_FILE			/* the same, superusers only: the server
								 * reads a file of theirs */
} OptionPlace;

typedef struct OptionRule
{
	const char *name;
	uint32		kinds;			/* of servers that have it; a mask */
	OptionPlace place;
	OptionForm	form;
	const char *words;			/* FORM_WORD: separated by blanks */
	size_t		offset;			/* PLACE_POLICY: its field in Server */
} OptionRule;

#define KIND(kind) (1u << (kind))
#define POSTGRES KIND(SERVER_POSTGRES)
#define HTTP KIND(SERVER_HTTP)
#define ANY_KIND (KIND(SERVER_KINDS) - 1)

#define SSL_MODES "disable allow prefer require verify-ca verify-full"
#define TLS_VERSIONS "TLSv1.2 TLSv1.3"

static const OptionRule rules[] = {
	{"host", POSTGRES, PLACE_SERVER, FORM_TEXT},
	{"hostaddr", POSTGRES, PLACE_SERVER, FORM_TEXT},
	{"port", POSTGRES, PLACE_SERVER, FORM_PORT},
	{"dbname", POSTGRES, PLACE_SERVER, FORM_TEXT},
	{"requirepeer", POSTGRES, PLACE_SERVER, FORM_TEXT},
	{"sslmode", POSTGRES, PLACE_SERVER, FORM_WORD, SSL_MODES},
	{"sslrootcert", POSTGRES, PLACE_SERVER, FORM_TEXT},
	{"sslcrl", POSTGRES, PLACE_SERVER, FORM_TEXT},
	{"sslcrldir", POSTGRES, PLACE_SERVER, FORM_TEXT},
	{"sslsni", POSTGRES, PLACE_SERVER, FORM_WORD, "0 1"},
	{"ssl_min_protocol_version", POSTGRES, PLACE_SERVER, FORM_WORD,
	TLS_VERSIONS},
	{"ssl_max_protocol_version", POSTGRES, PLACE_SERVER, FORM_WORD,
	TLS_VERSIONS},
	{"channel_binding", POSTGRES, PLACE_SERVER, FORM_WORD,
	"disable prefer require"},

	{"ledger", POSTGRES | KIND(SERVER_PULL), PLACE_POLICY, FORM_LEDGER, NULL,
	offsetof(Server, ledger)},
	{"max_in_flight", ANY_KIND, PLACE_POLICY, FORM_COUNT, NULL,
	offsetof(Server, max_in_flight)},
	{"timeout", ANY_KIND, PLACE_POLICY, FORM_TIMEOUT, NULL,
	offsetof(Server, timeout_ms)},
	{"can_fence", ANY_KIND, PLACE_POLICY, FORM_FLAG, NULL,
	offsetof(Server, can_fence)},
	{"can_lookup", ANY_KIND, PLACE_POLICY, FORM_FLAG, NULL,
	offsetof(Server, can_lookup)},
	{"honours_memo", ANY_KIND, PLACE_POLICY, FORM_FLAG, NULL,
	offsetof(Server, honours_memo)},
	{"memo_retention", ANY_KIND, PLACE_POLICY, FORM_RETENTION, NULL,
	offsetof(Server, memo_retention_s)},

	{"user", POSTGRES, PLACE_MAPPING, FORM_TEXT},
	{"password", POSTGRES | HTTP, PLACE_MAPPING, FORM_TEXT},
	{"sslcert", POSTGRES, PLACE_MAPPING_FILE, FORM_TEXT},
	{"sslkey", POSTGRES, PLACE_MAPPING_FILE, FORM_TEXT},
	{"sslpassword", POSTGRES, PLACE_MAPPING_FILE, FORM_TEXT},

	{"url", HTTP, PLACE_SERVER, FORM_URL},
	{"ca_file", HTTP, PLACE_SERVER, FORM_TEXT},
	{"allow_insecure", HTTP, PLACE_SERVER, FORM_SWITCH},
	{"allow_private", HTTP, PLACE_SERVER_OWNER, FORM_SWITCH},
	{"token", HTTP, PLACE_MAPPING, FORM_TEXT},
	{"user", HTTP, PLACE_MAPPING, FORM_USER},
	{"cert_file", HTTP, PLACE_MAPPING_FILE, FORM_TEXT},
	{"key_file", HTTP, PLACE_MAPPING_FILE, FORM_TEXT},
	{"key_password", HTTP, PLACE_MAPPING_FILE, FORM_TEXT}
};

/* The names of our wrappers; only a superuser can make or rename one. */
static const char *const wrapper_names[SERVER_KINDS] = {
	[SERVER_POSTGRES] = "teller_postgres",
	[SERVER_HTTP] = "teller_http",
	[SERVER_PULL] = "teller_pull"
};

static const OptionRule *
find_rule(ServerKind kind, const char *name)
{
	for (int i = 0; i < lengthof(rules); i++)
		if ((rules[i].kinds & KIND(kind)) != 0 &&
			strcmp(rules[i].name, name) == 0)
			return &rules[i];
	return NULL;
}

static bool
has_control_character(const char *value)
{
	for (; *value != '\0'; value++)
		if ((unsigned char) *value < 0x20 || *value == 0x7f)
			return true;
	return false;
}

static bool
is_one_of(const char *value, const char *words)
{
	size_t		len = strcspn(value, " ");

	if (value[len] != '\0')
		return false;
	for (const char *word = words; word != NULL; word = strchr(word, ' '))
	{
		word += (*word == ' ');
		if (strncmp(word, value, len) == 0 &&
			(word[len] == ' ' || word[len] == '\0'))
			return true;
	}
	return false;
}

static bool
is_port_list(const char *value)
{
	do
	{
		char	   *end;
		long		port = isdigit((unsigned char) *value) ?
			strtol(value, &end, 10) : 0;

		if (port < 1 || port > 65535 || (*end != ',' && *end != '\0'))
			return false;
		value = end;
	} while (*value++ == ',');
	return true;
}

/*
 * A time must name its unit: '20' would be 20 ms to one reader and 20 s to
 * the next.  unit: GUC_UNIT_MS or GUC_UNIT_S, that of the result.
 */
static bool
read_time(const char *value, int unit, int min, int max, int *result)
{
	size_t		len = strlen(value);

	while (len > 0 && value[len - 1] == ' ')
		len--;
	return len > 0 && isalpha((unsigned char) value[len - 1]) &&
		parse_int(value, result, unit, NULL) &&
		*result >= min && *result <= max;
}

static bool
read_ledger(const char *value, int64 *result)
{
	char	   *end;

	if (!isdigit((unsigned char) *value) && *value != '-')
		return false;
	errno = 0;
	*result = strtoi64(value, &end, 10);
	return errno == 0 && end != value && *end == '\0';
}

/*
 * Test the value of an option and, where the caller wants it, put it into
 * its field.  Returns NULL, or a hint that says what would be right.
 */
static const char *
read_option(const OptionRule *rule, const char *value, Server *server)
{
	Server		scratch;
	char	   *field = (char *) (server ? server : &scratch) + rule->offset;

	if (*value == '\0' || has_control_character(value))
		return "It must not be empty and must not contain control characters such as line feeds.";
	switch (rule->form)
	{
		case FORM_TEXT:
			return NULL;
		case FORM_WORD:
			return is_one_of(value, rule->words) ? NULL :
				psprintf("It must be one of: %s.", rule->words);
		case FORM_PORT:
			return is_port_list(value) ? NULL :
				"It must be a number from 1 to 65535, or several with commas between, one for each host.";
		case FORM_FLAG:
			return parse_bool(value, (bool *) field) ? NULL :
				"It must be on or off.";
		case FORM_COUNT:
			return parse_int(value, (int *) field, 0, NULL) &&
				*(int *) field >= 1 &&
				*(int *) field <= MAX_IN_FLIGHT_MAX ? NULL :
				psprintf("It must be a number from 1 to %d.",
						 MAX_IN_FLIGHT_MAX);
		case FORM_TIMEOUT:
			return read_time(value, GUC_UNIT_MS, TIMEOUT_MIN_MS,
							 TIMEOUT_MAX_MS, (int *) field) ? NULL :
				"It must be a time with its unit, such as '20 s', from 100 ms to 1 h.";
		case FORM_RETENTION:
			return read_time(value, GUC_UNIT_S, 1, INT_MAX,
							 (int *) field) ? NULL :
				"It must be a time with its unit, such as '30 d', of at least 1 s; leave the option out if the memo is kept for ever.";
		case FORM_LEDGER:
			return read_ledger(value, (int64 *) field) ? NULL :
				"It must be the number of a ledger at the remote, a bigint.";
		case FORM_SWITCH:
			return parse_bool(value, &(bool) {0}) ? NULL :
				"It must be on or off.";
		case FORM_URL:
			return server_url_is_valid(value) ? NULL :
				"It must be like https://bank.example:8443/ledger, without a user, a question mark or a number sign.";
		case FORM_USER:
			return strchr(value, ':') == NULL ? NULL :
				"It must not contain a colon.";
	}
	pg_unreachable();
}

/* ---------- the validator ---------- */

static bool
rule_is_valid_in(const OptionRule *rule, Oid catalog)
{
	switch (rule->place)
	{
		case PLACE_SERVER:
		case PLACE_SERVER_OWNER:
		case PLACE_POLICY:
			return catalog == ForeignServerRelationId;
		case PLACE_MAPPING:
		case PLACE_MAPPING_FILE:
			return catalog == UserMappingRelationId;
	}
	pg_unreachable();
}

/* Says where an option belongs, or what may stand here. */
static char *
hint_for_unknown(ServerKind kind, const OptionRule *rule, Oid catalog)
{
	StringInfoData names;

	if (rule != NULL && rule_is_valid_in(rule, UserMappingRelationId))
		return psprintf("Option \"%s\" belongs in CREATE USER MAPPING.",
						rule->name);
	if (rule != NULL && rule_is_valid_in(rule, ForeignServerRelationId))
		return psprintf("Option \"%s\" belongs in CREATE SERVER.",
						rule->name);
	initStringInfo(&names);
	for (int i = 0; i < lengthof(rules); i++)
		if ((rules[i].kinds & KIND(kind)) != 0 &&
			rule_is_valid_in(&rules[i], catalog))
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
							 rules[i].name);
	return names.len > 0 ?
		psprintf("Valid options here are: %s.", names.data) :
		pstrdup("There are no valid options here.");
}

static bool
is_trusted(Oid role)
{
	return superuser_arg(role) || has_privs_of_role(role, access_owner());
}

static void
check_right(const OptionRule *rule)
{
	if (rule->place == PLACE_MAPPING_FILE && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", rule->name),
				 errdetail("It makes the server read a file.  Only superusers may set it.")));
	if (rule->place == PLACE_SERVER_OWNER && !is_trusted(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", rule->name),
				 errdetail("It opens the network that the server is in.  Only members of the owner of pg_teller may set it.")));
}

/* A url with an at sign has a user in it, and perhaps a password. */
static bool
is_unspeakable(const OptionRule *rule, const char *value)
{
	return has_control_character(value) ||
		(rule->form == FORM_URL && strchr(value, '@') != NULL);
}

static void
check_option(ServerKind kind, const char *name, const char *value,
			 Oid catalog)
{
	const OptionRule *rule = find_rule(kind, name);
	const char *hint;

	if (rule == NULL || !rule_is_valid_in(rule, catalog))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid option \"%s\"", name),
				 errhint("%s", hint_for_unknown(kind, rule, catalog))));
	check_right(rule);
	hint = read_option(rule, value, NULL);

	/* A value out of a user mapping is a secret, and is not repeated. */
	if (hint != NULL && catalog == UserMappingRelationId)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", name),
				 errhint("%s", hint)));
	if (hint != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", name,
						is_unspeakable(rule, value) ? "..." : value),
				 errhint("%s", hint)));
}

/*
 * Raises 22023 for an option that is unknown, in the wrong place or of a wrong
 * value, 42501 for one that the user may not set.
 */
static void
check_options(ServerKind kind, List *options, Oid catalog)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		check_option(kind, option->defname,
					 option->arg ? defGetString(option) : "", catalog);
	}
}

const char *
server_option_hint(ServerKind kind, const char *name, const char *value,
				   Oid catalog)
{
	const OptionRule *rule = find_rule(kind, name);

	return rule == NULL || !rule_is_valid_in(rule, catalog) ?
		"There is no such option here." : read_option(rule, value, NULL);
}

PG_FUNCTION_INFO_V1(teller_postgres_validator);

/* teller.postgres_validator: see its COMMENT. */
Datum
teller_postgres_validator(PG_FUNCTION_ARGS)
{
	check_options(SERVER_POSTGRES, untransformRelOptions(PG_GETARG_DATUM(0)),
				  PG_GETARG_OID(1));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(teller_pull_validator);

/* teller.pull_validator: see its COMMENT. */
Datum
teller_pull_validator(PG_FUNCTION_ARGS)
{
	check_options(SERVER_PULL, untransformRelOptions(PG_GETARG_DATUM(0)),
				  PG_GETARG_OID(1));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(teller_http_validator);

/* teller.http_validator: see its COMMENT. */
Datum
teller_http_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	const char *hint = NULL;
	const char *problem;

	check_options(SERVER_HTTP, options, PG_GETARG_OID(1));
	problem = server_http_conflict(options, PG_GETARG_OID(1), &hint);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s", problem),
				 errhint("%s", hint)));
	PG_RETURN_VOID();
}

/* ---------- the loader ---------- */

static uint64 changes = 0;

uint64
server_changes(void)
{
	return changes;
}

static void
on_catalog_change(Datum arg, int cacheid, uint32 hash)
{
	changes++;
}

static void
count_changes(void)
{
	static bool counting = false;

	if (counting)
		return;
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_catalog_change,
								  (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, on_catalog_change,
								  (Datum) 0);
	counting = true;
}

static bool
kind_of_wrapper(Oid fdwid, ServerKind *kind)
{
	ForeignDataWrapper *wrapper = GetForeignDataWrapperExtended(fdwid,
																FDW_MISSING_OK);

	for (int i = 0; wrapper != NULL && i < SERVER_KINDS; i++)
	{
		if (strcmp(wrapper->fdwname, wrapper_names[i]) != 0)
			continue;
		*kind = (ServerKind) i;
		return true;
	}
	return false;
}

/* Returns NULL, or what is wrong with an option. */
static const char *
read_policy(Server *server)
{
	ListCell   *cell;

	server->can_fence = true;
	server->can_lookup = true;
	server->honours_memo = true;
	foreach(cell, server->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);
		const OptionRule *rule = find_rule(server->kind, option->defname);

		if (rule == NULL || rule->place != PLACE_POLICY)
			continue;			/* the transport's */
		if (read_option(rule, option->arg ? defGetString(option) : "",
						server) != NULL)
			return psprintf("option \"%s\" of server \"%s\" has an invalid value",
							rule->name, server->name);
		if (rule->form == FORM_LEDGER)
			server->has_ledger = true;
	}
	return NULL;
}

/* Returns NULL, or what is wrong; then *code is its SQLSTATE. */
static const char *
fill(Server *server, const ForeignServer *found, int *code)
{
	server->oid = found->serverid;
	server->name = found->servername;
	server->owner = found->owner;
	server->options = found->options;
	if (!kind_of_wrapper(found->fdwid, &server->kind))
	{
		*code = ERRCODE_WRONG_OBJECT_TYPE;
		return psprintf("server \"%s\" does not belong to a foreign-data wrapper of pg_teller",
						server->name);
	}
	*code = ERRCODE_INVALID_PARAMETER_VALUE;
	return read_policy(server);
}

Server *
server_load_by_oid(Oid oid, bool missing_ok)
{
	ForeignServer *found = GetForeignServerExtended(oid, FSV_MISSING_OK);
	Server	   *server = palloc0(sizeof(Server));
	const char *problem;
	int			code;

	if (found == NULL && missing_ok)
		return NULL;
	if (found == NULL)
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
				 errmsg("server with OID %u does not exist", oid)));
	problem = fill(server, found, &code);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(code),
				 errmsg("%s", problem),
				 code == ERRCODE_WRONG_OBJECT_TYPE ?
				 errhint("Use a server made by CREATE SERVER ... FOREIGN DATA WRAPPER teller_postgres.") :
				 errhint("Set it again with ALTER SERVER %s OPTIONS (...).",
						 quote_identifier(server->name))));
	return server;
}

Server *
server_load(const char *name, bool missing_ok)
{
	Oid			oid = get_foreign_server_oid(name, true);

	if (!OidIsValid(oid) && !missing_ok)
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
				 errmsg("server \"%s\" does not exist", name),
				 errhint("Make it with CREATE SERVER ... FOREIGN DATA WRAPPER teller_postgres.")));
	return OidIsValid(oid) ? server_load_by_oid(oid, missing_ok) : NULL;
}

Server *
server_try(Oid oid, const char **problem)
{
	Server	   *server = palloc0(sizeof(Server));
	ForeignServer *found;
	int			code;

	count_changes();
	server->changes = changes;	/* before anything is read */
	found = GetForeignServerExtended(oid, FSV_MISSING_OK);
	if (found == NULL)
		*problem = psprintf("server with OID %u does not exist", oid);
	else
		*problem = fill(server, found, &code);
	return *problem == NULL ? server : NULL;
}

void
server_login(const Server *server, Oid userid, ServerLogin *login)
{
	Oid			roles[2] = {userid, InvalidOid};	/* the second is PUBLIC */

	memset(login, 0, sizeof(ServerLogin));
	for (int i = 0; i < lengthof(roles); i++)
	{
		HeapTuple	tuple = SearchSysCache2(USERMAPPINGUSERSERVER,
											ObjectIdGetDatum(roles[i]),
											ObjectIdGetDatum(server->oid));
		Datum		options;
		bool		isnull;

		if (!HeapTupleIsValid(tuple))
			continue;
		login->mapping = ((Form_pg_user_mapping) GETSTRUCT(tuple))->oid;
		login->role = roles[i];
		options = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple,
								  Anum_pg_user_mapping_umoptions, &isnull);
		login->options = isnull ? NIL : untransformRelOptions(options);
		ReleaseSysCache(tuple);
		return;
	}
}

/*
 * A mapping for PUBLIC can only be written by the server's owner, one for a
 * role also by that role, if it has USAGE on the server.
 */
bool
server_needs_password(const Server *server, const ServerLogin *login)
{
	return !is_trusted(server->owner) ||
		(OidIsValid(login->role) && !is_trusted(login->role));
}

const char *
server_option(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0)
			return option->arg ? defGetString(option) : NULL;
	}
	return NULL;
}

/* ---------- what libpq is told ---------- */

static void
add_option(ServerOptions *options, int *count, const char *keyword,
		   const char *value)
{
	options->keywords[*count] = keyword;
	options->values[*count] = value;
	(*count)++;
}

static void
add_given_options(ServerOptions *options, int *count, List *given)
{
	ListCell   *cell;

	foreach(cell, given)
	{
		DefElem    *option = lfirst_node(DefElem, cell);
		const OptionRule *rule = find_rule(SERVER_POSTGRES, option->defname);

		if (rule != NULL && rule->place != PLACE_POLICY && option->arg != NULL)
			add_option(options, count, rule->name, defGetString(option));
	}
}

/* Where no host is given, this very cluster is meant. */
static void
add_own_address(ServerOptions *options, int *count, bool add_port)
{
	char	   *directories = pstrdup(Unix_socket_directories);
	List	   *list = NIL;
	const char *host = "localhost";

	if (SplitDirectoriesString(directories, ',', &list) && list != NIL)
		host = linitial(list);
	add_option(options, count, "host", host);
	if (add_port)
		add_option(options, count, "port", psprintf("%d", PostPortNumber));
}

/*
 * The remote's own timeouts end before ours does: a statement that the remote
 * cancels is known not to have run, one that we stop waiting for is not.
 */
static char *
session_options(int timeout_ms)
{
	return psprintf("-c search_path="
					" -c statement_timeout=%d"
					" -c lock_timeout=%d"
					" -c idle_in_transaction_session_timeout=%d"
					" -c synchronous_commit=on"
					" -c default_transaction_isolation=read\\ committed"
					" -c datestyle=ISO",
					Max(timeout_ms / 5 * 4, 1), Max(timeout_ms / 5 * 3, 1),
					timeout_ms);
}

#define FORCED_OPTIONS 18

void
server_libpq_options(const Server *server, const ServerLogin *login,
					 int timeout_ms, ServerOptions *options)
{
	int			capacity = list_length(server->options) +
		list_length(login->options) + FORCED_OPTIONS;
	const char *hosts = server_option(server->options, "hostaddr");
	int			count = 0;

	options->keywords = palloc0(sizeof(char *) * capacity);
	options->values = palloc0(sizeof(char *) * capacity);
	add_given_options(options, &count, server->options);
	add_given_options(options, &count, login->options);
	if (hosts == NULL)
		hosts = server_option(server->options, "host");
	if (hosts == NULL)
		add_own_address(options, &count,
						server_option(server->options, "port") == NULL);
	if (server_option(server->options, "sslmode") == NULL)
		add_option(options, &count, "sslmode", "verify-full");
	if (server_option(login->options, "sslcert") == NULL)
		add_option(options, &count, "sslcert", NO_FILE);
	add_option(options, &count, "passfile", NO_FILE);
	add_option(options, &count, "application_name", "pg_teller");
	add_option(options, &count, "client_encoding", GetDatabaseEncodingName());
	add_option(options, &count, "options", session_options(timeout_ms));
	add_option(options, &count, "gssencmode", "disable");

	/* Costs no round trip: servers since 14 say so unasked. */
	add_option(options, &count, "target_session_attrs", "read-write");

	/*
	 * Asynchronous libpq leaves connect_timeout to the caller.  This timeout
	 * of the kernel's makes it go on to the next host.
	 */
	add_option(options, &count, "connect_timeout",
			   psprintf("%d", (teller_connect_timeout_ms + 999) / 1000));
	add_option(options, &count, "tcp_user_timeout",
			   psprintf("%d", teller_connect_timeout_ms));
	add_option(options, &count, "keepalives", "1");
	add_option(options, &count, "keepalives_idle", "10");
	add_option(options, &count, "keepalives_interval", "5");
	add_option(options, &count, "keepalives_count", "3");
	Assert(count < capacity);	/* so the last stays NULL */

	options->hosts = 1;
	for (; hosts != NULL && *hosts != '\0'; hosts++)
		options->hosts += *hosts == ',';
}

void
server_scrub_environment(void)
{
	char	  **variable = environ;

	while (variable != NULL && *variable != NULL)
	{
		char	   *name;

		if (strncmp(*variable, "PG", 2) != 0 ||
			strncmp(*variable, "PGDATA=", 7) == 0)
		{
			variable++;
			continue;
		}
		name = pnstrdup(*variable, strcspn(*variable, "="));
		unsetenv(name);			/* the next one moves up */
		pfree(name);
	}
}
