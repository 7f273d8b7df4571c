/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  Commands that must not meet the worker or lose the money.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_GUARD_H
#define TELLER_GUARD_H

/* The row of pg_extension. */
typedef struct ExtensionInfo
{
	Oid			oid;
	Oid			owner;
	char		version[64];
} ExtensionInfo;

/* False if this database has no pg_teller.  In a transaction; no lock. */
extern bool extension_lookup(ExtensionInfo *info);

/* Watch the commands that need a database for themselves. */
extern void guard_install(void);

#endif							/* TELLER_GUARD_H */
