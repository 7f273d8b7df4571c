/*-------------------------------------------------------------------------
 *
 * pg_teller.c
 *	  Load the library.
 *
 * In shared_preload_libraries it takes its shared memory, registers the
 * launcher and watches the commands that need a database for themselves.
 * Loaded later, by the first call of one of its functions, it only defines
 * its settings: the ledger works, and there is no worker.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "compat.h"
#include "guard.h"
#include "guc.h"
#include "launcher.h"
#include "shmem.h"
#include "version.h"
#include "waitpoint.h"

PG_MODULE_MAGIC;

const char	teller_library_version[] = TELLER_VERSION;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	guc_define();
	waitpoint_define();
	MarkGUCPrefixReserved("teller");

	/* pg_upgrade must find the money as it left it. */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;

	shmem_install();
	guard_install();
	launcher_register();
}
