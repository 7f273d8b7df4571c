/*-------------------------------------------------------------------------
 *
 * worker_settings.c
 *	  The settings that a worker must have, whatever its database says.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"

#include "compat.h"
#include "worker.h"

/*
 * ALTER DATABASE SET and ALTER ROLE SET reach background workers too.  What
 * would change the meaning of our statements, or make them wait without end,
 * is set here for good.
 */
void
worker_override_settings(void)
{
	static const struct
	{
		const char *name;
		const char *value;
	}			settings[] =
	{
		{"role", "none"},
		{"search_path", "pg_catalog, pg_temp"},
		{"session_replication_role", "origin"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"default_tablespace", ""},
		{"lock_timeout", "2s"},
		{"statement_timeout", "0"},
		TELLER_NO_TRANSACTION_TIMEOUT
		{"idle_in_transaction_session_timeout", "0"},
		{"idle_session_timeout", "0"},
		{"datestyle", "ISO"},
		{"intervalstyle", "postgres"},
		{"bytea_output", "hex"},
		{"extra_float_digits", "1"},
		{"standard_conforming_strings", "on"},
		{"max_parallel_workers_per_gather", "0"},
		{"jit", "off"}
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i].name, settings[i].value, PGC_SUSET,
						PGC_S_OVERRIDE);
}
