/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The one process that gives each database its worker.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_LAUNCHER_H
#define TELLER_LAUNCHER_H

#include "postmaster/bgworker.h"

#include "compat.h"

/* What the launcher hands to a worker, in bgw_extra. */
typedef struct WorkerStart
{
	Oid			dboid;
	int			entry;			/* index into board->entries */
	uint64		generation;
} WorkerStart;

extern void launcher_register(void);
extern PGDLLEXPORT void teller_launcher_main(Datum arg);

#endif							/* TELLER_LAUNCHER_H */
