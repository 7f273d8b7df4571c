/*-------------------------------------------------------------------------
 *
 * period.h
 *	  Closed periods: nothing becomes effective in them any more.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_PERIOD_H
#define TELLER_PERIOD_H

#include "datatype/timestamp.h"

/*
 * period_check: 55000 if what is effective at this time would fall into a
 * closed period of the ledger.  To be called with every time that a caller
 * gives, before any account is locked.  Locks the ledger's row FOR KEY SHARE,
 * so that no period is closed under it.
 */
extern void period_check(int64 ledger, TimestampTz effective_at);

#endif							/* TELLER_PERIOD_H */
