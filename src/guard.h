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

#include "version.h"

/* Watch the commands that need a database for themselves. */
extern void guard_install(void);

#endif							/* TELLER_GUARD_H */
