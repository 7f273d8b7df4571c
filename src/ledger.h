/*-------------------------------------------------------------------------
 *
 * ledger.h
 *	  Ledgers, assets and rights on ledgers: administration.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_LEDGER_H
#define TELLER_LEDGER_H

/* TL009 unless the ledger exists; within an OwnerScope. */
extern void ledger_require(int64 ledger);

/*
 * The same outside of one, for members of the owner only: others got 42501 if
 * it does not exist.  For calls that found nothing by which to tell.
 */
extern void ledger_check(int64 ledger);

#endif							/* TELLER_LEDGER_H */
