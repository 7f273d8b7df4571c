/*-------------------------------------------------------------------------
 *
 * check.c
 *	  teller.check_server: is everything there that a withdrawal needs?
 *
 * What is here is looked at by the session itself.  Whether the remote can be
 * reached only the worker can say, and is asked (ask.c).
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "access.h"
#include "account.h"
#include "ask.h"
#include "capabilities.h"
#include "compat.h"
#include "errcodes.h"
#include "guc.h"
#include "input.h"
#include "instance.h"
#include "settlement.h"
#include "shmem.h"
#include "wake.h"

#define CONTRACT_VERSION 1

/* One run of check_server. */
typedef struct Check
{
	int64		ledger;
	const char *name;
	Server	   *server;
	Account    *settlement;		/* NULL: none */
	ReturnSetInfo *rows;
} Check;

/* ---- rows ------------------------------------------------------------- */

static void
put(Check *check, const char *name, bool ok, const char *says,
	const char *mend)
{
	Datum		values[4];
	bool		nulls[4] = {0};

	values[0] = CStringGetTextDatum(name);
	values[1] = BoolGetDatum(ok);
	values[2] = CStringGetTextDatum(says);
	nulls[3] = ok || mend == NULL;
	if (!nulls[3])
		values[3] = CStringGetTextDatum(mend);
	tuplestore_putvalues(check->rows->setResult, check->rows->setDesc, values,
						 nulls);
}

/* ---- what is here ----------------------------------------------------- */

/* False if there is no server to go on with. */
static bool
check_exists(Check *check)
{
	Oid			oid = get_foreign_server_oid(check->name, true);
	const char *problem = psprintf("server \"%s\" does not exist", check->name);

	if (OidIsValid(oid))
		check->server = server_try(oid, &problem);
	if (check->server == NULL)
		put(check, "server", false, problem,
			OidIsValid(oid) ? "Set the option again with ALTER SERVER, or use a server of wrapper teller_postgres." :
			psprintf("CREATE SERVER %s FOREIGN DATA WRAPPER teller_postgres OPTIONS (dbname '...')",
					 quote_identifier(check->name)));
	else
		put(check, "server", true, psprintf("server \"%s\" exists",
											check->name), NULL);
	return check->server != NULL;
}

static bool
check_usage(Check *check)
{
	const char *user = GetUserNameFromId(GetUserId(), false);
	bool		ok = teller_server_aclcheck(check->server->oid, GetUserId(),
											ACL_USAGE) == ACLCHECK_OK;

	put(check, "usage", ok,
		psprintf(ok ? "role %s may use it" : "role %s may not use it", user),
		psprintf("GRANT USAGE ON FOREIGN SERVER %s TO %s",
				 quote_identifier(check->name), quote_identifier(user)));
	return ok;
}

static void
check_settlement(Check *check)
{
	int64		id;
	Account    *account;

	if (!settlement_find(check->ledger, check->name, &id) ||
		(account = account_peek(check->ledger, id, NULL)) == NULL)
	{
		put(check, "settlement_account", false,
			psprintf("ledger %lld has none for this server",
					 (long long) check->ledger),
			psprintf("SELECT teller.set_settlement_account(%lld, %s, <an account with min_balance NULL>)",
					 (long long) check->ledger,
					 quote_literal_cstr(check->name)));
		return;
	}
	check->settlement = account;
	if (account->has_min)
		put(check, "settlement_account", false,
			psprintf("account %lld has a minimum", (long long) id),
			psprintf("SELECT teller.set_limits(%lld, %lld, NULL, NULL)",
					 (long long) check->ledger, (long long) id));
	else
		put(check, "settlement_account", true,
			psprintf("account %lld, %s", (long long) id, account->asset), NULL);
}

static bool
check_instance(Check *check)
{
	bool		ok = instance_state() != INSTANCE_FOREIGN;

	put(check, "instance", ok,
		ok ? "this database is the one that its operations were made in" :
		"this database is a copy that has not been adopted (TL010)",
		"Nothing is sent from a copy.");
	return ok;
}

static bool
worker_runs(char *error)
{
	BoardEntry *entry;
	bool		runs;

	LWLockAcquire(board->lock, LW_SHARED);
	entry = board_find(MyDatabaseId);
	runs = entry != NULL && entry->pid != 0 &&
		entry->state != WORKER_VERSION_MISMATCH;
	strlcpy(error, entry != NULL ? entry->last_error : board->launcher_error,
			BOARD_ERROR_LEN);
	LWLockRelease(board->lock);
	return runs;
}

static void
check_dispatch(Check *check)
{
	put(check, "dispatch", teller_dispatch,
		teller_dispatch ? "teller.dispatch is on" : "teller.dispatch is off",
		"ALTER SYSTEM SET teller.dispatch = on; SELECT pg_reload_conf()");
}

static bool
check_worker(Check *check)
{
	char		error[BOARD_ERROR_LEN];
	bool		runs;

	if (!teller_is_preloaded())
	{
		put(check, "worker", false, "pg_teller is not preloaded",
			"Put this line into postgresql.conf and restart the server: shared_preload_libraries = 'pg_teller'");
		return false;
	}
	runs = worker_runs(error);
	put(check, "worker", runs,
		runs ? "it runs" :
		psprintf("it does not run; its last error was: %s",
				 error[0] ? error : "none"),
		"See teller.worker_status and the server's log.");
	check_dispatch(check);
	return runs;
}

/* ---- what is there ---------------------------------------------------- */

static bool
member_is(const JsonbContainer *object, const char *name, const char *wanted)
{
	const char *value = capabilities_member(object, name);

	return value != NULL && strcmp(value, wanted) == 0;
}

static void
check_contract(Check *check, const Jsonb *capabilities)
{
	const JsonbContainer *root = &capabilities->root;
	const char *problem = NULL;

	if (!member_is(root, "contract", psprintf("%d", CONTRACT_VERSION)))
		problem = "the remote speaks another version of the contract";
	else if (!member_is(root, "writable", "true"))
		problem = "the remote cannot write: it is a standby or read-only";
	else if (check->server->can_lookup && !member_is(root, "can_lookup", "true"))
		problem = "the remote has no lookup, but option can_lookup is on";
	else if (check->server->can_fence && !member_is(root, "can_fence", "true"))
		problem = "the remote has no fence, but option can_fence is on";
	put(check, "contract", problem == NULL,
		problem ? problem : psprintf("contract %d", CONTRACT_VERSION),
		"Set the options of the server to what the remote can do.");
}

static void
check_grant(Check *check, const Jsonb *capabilities)
{
	const char *ledger = psprintf("%lld", (long long)
								  (check->server->has_ledger ?
								   check->server->ledger : check->ledger));
	const JsonbContainer *grant = capabilities_grant(capabilities, ledger);
	const char *asset = grant ? capabilities_member(grant, "asset") : NULL;

	if (grant == NULL)
		put(check, "grant", false,
			psprintf("the role that we connect as has no account on ledger %s of the remote",
					 ledger),
			check->server->kind == SERVER_HTTP ?
			psprintf("At the service: add ledger %s to the grants in its capabilities, or leave grants out.",
					 ledger) :
			psprintf("At the remote: SELECT teller_remote.grant_remote('<role>', %s, <account>); or name another ledger with the server's option ledger",
					 ledger));
	else if (check->settlement != NULL && asset != NULL &&
			 strcmp(asset, check->settlement->asset) != 0)
		put(check, "grant", false,
			psprintf("our account at the remote holds %s, the settlement account %s",
					 asset, check->settlement->asset),
			"Use accounts of the same asset at both ends.");
	else
		put(check, "grant", true,
			psprintf("we have an account on ledger %s of the remote, %s",
					 ledger, asset ? asset : "asset unknown"), NULL);
}

static void
check_remote(Check *check)
{
	Question	question = {.verb = CALL_CHECK,.server = check->server};
	Answer	   *answer = palloc(sizeof(Answer));
	Jsonb	   *capabilities;

	ask_worker(&question, answer);
	if (!answer->asked || !answer->reached)
	{
		put(check, "connection", false,
			answer->asked ? psprintf("%s (SQLSTATE %s)", answer->says,
									 answer->sqlstate) :
			"the worker did not answer in time",
			answer->asked ? "Mend the options with ALTER SERVER or ALTER USER MAPPING, or the remote." :
			"See teller.worker_status. A server that this transaction made is not known to the worker before the commit.");
		return;
	}
	capabilities = capabilities_read(answer->text);
	put(check, "connection", capabilities != NULL,
		capabilities ? "the remote answers" :
		"the remote answered what cannot be read",
		check->server->kind == SERVER_HTTP ?
		"GET url/capabilities must answer with a JSON object." :
		"Is there a pg_teller in that database?");
	if (capabilities == NULL)
		return;
	check_contract(check, capabilities);

	/* A service need not tell what it keeps for us. */
	if (check->server->kind != SERVER_HTTP ||
		capabilities_has_grants(capabilities))
		check_grant(check, capabilities);
}

/* ---- SQL function ----------------------------------------------------- */

PG_FUNCTION_INFO_V1(teller_check_server);

/* teller.check_server: see its COMMENT. */
Datum
teller_check_server(PG_FUNCTION_ARGS)
{
	Check		check = {0};
	bool		ready;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "server");
	check.ledger = PG_GETARG_INT64(0);
	check.name = NameStr(*PG_GETARG_NAME(1));
	access_require(check.ledger, ACCESS_OPERATE);
	InitMaterializedSRF(fcinfo, 0);
	check.rows = (ReturnSetInfo *) fcinfo->resultinfo;
	if (!check_exists(&check))
		return (Datum) 0;
	ready = check_usage(&check);
	check_settlement(&check);
	ready &= check_instance(&check);
	if (check.server->kind == SERVER_PULL)
	{
		/* No worker, and nothing here that could be connected to. */
		check_dispatch(&check);
		return (Datum) 0;
	}
	ready &= check_worker(&check);
	if (ready)
		check_remote(&check);
	return (Datum) 0;
}
