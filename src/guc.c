/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  The settings teller.*; docs/settings.md describes them.
 *
 * Ranges are fixed: nothing here is computed from another setting, because
 * that one may not have its final value yet.  None is PGC_POSTMASTER, so the
 * library may also be loaded by the first call of one of its functions.
 *
 * Who may change what: the settings of the worker come from the configuration
 * file (SIGHUP).  So do the limits that protect the server from a submitter.
 * What a caller may pass as an argument anyway has a default that each
 * session may set (USERSET).  allow_drop is for superusers (SUSET).
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "guc.h"

bool		teller_dispatch;
int			teller_max_in_flight;
int			teller_max_in_flight_per_server;
int			teller_connect_timeout_ms;
int			teller_attempt_timeout_ms;
int			teller_max_attempts;
int			teller_backoff_base_ms;
int			teller_backoff_max_ms;
int			teller_not_after_margin_s;
int			teller_circuit_failures;
int			teller_circuit_open_ms;
int			teller_shutdown_grace_ms;
int			teller_callback_timeout_ms;
int			teller_callback_max_attempts;
int			teller_max_request_bytes;
int			teller_max_response_bytes;
int			teller_max_pending_operations;
int			teller_max_pending_operations_per_account;
int			teller_submit_wait_ms;
int			teller_operation_expiry_s;
int			teller_hold_ttl_s;
int			teller_expire_batch;
int			teller_key_retention_s;
bool		teller_allow_drop;
int			teller_max_hot_accounts;
int			teller_fold_interval_ms;

#define SECOND_MS	1000
#define MINUTE_MS	(60 * SECOND_MS)
#define HOUR_MS		(60 * MINUTE_MS)
#define DAY_S		(24 * 60 * 60)

typedef struct IntSetting
{
	const char *name;
	const char *says;
	int		   *variable;
	int			boot;
	int			min;
	int			max;
	GucContext	context;
	int			unit;			/* GUC_UNIT_*, or 0 for a count */
} IntSetting;

static const IntSetting int_settings[] = {
	{"teller.max_in_flight",
		"Calls to remote ledgers that one worker keeps open at once.",
		&teller_max_in_flight, 64, 1, 1000, PGC_SIGHUP, 0},
	{"teller.max_in_flight_per_server",
		"Calls to one remote ledger that one worker keeps open at once.",
		&teller_max_in_flight_per_server, 16, 1, 1000, PGC_SIGHUP, 0},
	{"teller.connect_timeout",
		"Time to connect to a remote ledger.",
		&teller_connect_timeout_ms, 5 * SECOND_MS, 100, HOUR_MS,
		PGC_SIGHUP, GUC_UNIT_MS},
	{"teller.attempt_timeout",
		"Time for one call to a remote ledger.",
		&teller_attempt_timeout_ms, 20 * SECOND_MS, 100, HOUR_MS,
		PGC_SIGHUP, GUC_UNIT_MS},
	{"teller.max_attempts",
		"Times an operation is sent before it ends or is in doubt.",
		&teller_max_attempts, 8, 1, 1000, PGC_SIGHUP, 0},
	{"teller.backoff_base",
		"Upper bound of the wait before the first retry; then doubled.",
		&teller_backoff_base_ms, 500, 1, HOUR_MS, PGC_SIGHUP, GUC_UNIT_MS},
	{"teller.backoff_max",
		"Upper bound of the wait before any retry.",
		&teller_backoff_max_ms, MINUTE_MS, 1, HOUR_MS,
		PGC_SIGHUP, GUC_UNIT_MS},
	{"teller.not_after_margin",
		"Time between the last moment for the remote and the expiry here.",
		&teller_not_after_margin_s, 60, 0, DAY_S, PGC_SIGHUP, GUC_UNIT_S},
	{"teller.circuit_failures",
		"Failures in a row after which a server is left alone for a while.",
		&teller_circuit_failures, 10, 1, 1000000, PGC_SIGHUP, 0},
	{"teller.circuit_open",
		"Time for which a failing server is left alone.",
		&teller_circuit_open_ms, 30 * SECOND_MS, 10, 24 * HOUR_MS,
		PGC_SIGHUP, GUC_UNIT_MS},
	{"teller.shutdown_grace",
		"Time for which a worker that is told to stop still collects replies.",
		&teller_shutdown_grace_ms, 3 * SECOND_MS, 0, 10 * MINUTE_MS,
		PGC_SIGHUP, GUC_UNIT_MS},
	{"teller.callback_timeout",
		"Time for one run of a continuation.",
		&teller_callback_timeout_ms, 5 * SECOND_MS, 1, HOUR_MS,
		PGC_SIGHUP, GUC_UNIT_MS},
	{"teller.callback_max_attempts",
		"Times a failing continuation is run before it is parked.",
		&teller_callback_max_attempts, 10, 1, 1000, PGC_SIGHUP, 0},
	{"teller.max_request_bytes",
		"Size of the largest request that an operation may carry.",
		&teller_max_request_bytes, 64 * 1024, 1024, 1024 * 1024,
		PGC_SIGHUP, GUC_UNIT_BYTE},
	{"teller.max_response_bytes",
		"Size of the largest reply that is read from a remote ledger.",
		&teller_max_response_bytes, 256 * 1024, 1024, 16 * 1024 * 1024,
		PGC_SIGHUP, GUC_UNIT_BYTE},
	{"teller.max_pending_operations",
		"Operations of a database that may be open before more are refused.",
		&teller_max_pending_operations, 100000, 1, INT_MAX, PGC_SIGHUP, 0},
	{"teller.max_pending_operations_per_account",
		"Operations of an account that may be open before more are refused.",
		&teller_max_pending_operations_per_account, 1000, 1, INT_MAX,
		PGC_SIGHUP, 0},
	{"teller.submit_wait",
		"Time that a submitter waits when too many operations are open.",
		&teller_submit_wait_ms, 0, 0, HOUR_MS, PGC_USERSET, GUC_UNIT_MS},
	{"teller.operation_expiry",
		"Time that a remote ledger has for an operation without expires_in.",
		&teller_operation_expiry_s, 15 * 60, 1, 365 * DAY_S,
		PGC_USERSET, GUC_UNIT_S},
	{"teller.hold_ttl",
		"Life of a hold without ttl.",
		&teller_hold_ttl_s, 7 * DAY_S, 1, 3650 * DAY_S,
		PGC_USERSET, GUC_UNIT_S},
	{"teller.expire_batch",
		"Due holds that the worker expires in one transaction.",
		&teller_expire_batch, 1000, 1, 100000, PGC_SIGHUP, 0},
	{"teller.key_retention",
		"Age at which keys and requests that carry their time are forgotten; 0: never.",
		&teller_key_retention_s, 0, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_S},
	{"teller.max_hot_accounts",
		"Hot accounts that are in use at once.",
		&teller_max_hot_accounts, 256, 1, 100000, PGC_POSTMASTER, 0},
	{"teller.fold_interval",
		"Time between two folds of a hot account into its row.",
		&teller_fold_interval_ms, SECOND_MS, 10, 10 * MINUTE_MS,
		PGC_SIGHUP, GUC_UNIT_MS},
};

void
guc_define(void)
{
	for (int i = 0; i < lengthof(int_settings); i++)
	{
		const IntSetting *s = &int_settings[i];

		/* It sizes shared memory, and there is none without the preload. */
		if (s->context == PGC_POSTMASTER &&
			!process_shared_preload_libraries_in_progress)
			continue;
		DefineCustomIntVariable(s->name, s->says, NULL, s->variable, s->boot,
								s->min, s->max, s->context, s->unit,
								NULL, NULL, NULL);
	}
	DefineCustomBoolVariable("teller.dispatch",
							 "Send operations to remote ledgers.",
							 "When off, replies to what was already sent are still recorded.",
							 &teller_dispatch, true, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("teller.allow_drop",
							 "Allow DROP EXTENSION pg_teller while there are accounts.",
							 NULL,
							 &teller_allow_drop, false, PGC_SUSET, 0,
							 NULL, NULL, NULL);
}
