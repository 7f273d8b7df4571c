/*-------------------------------------------------------------------------
 *
 * account_row.h
 *	  The columns of teller.account, for who reads or writes rows as they are.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_ACCOUNT_ROW_H
#define TELLER_ACCOUNT_ROW_H

enum
{
	COL_LEDGER,
	COL_ID,
	COL_ASSET,
	COL_NAME,
	COL_POSTED,
	COL_PENDING_DEBIT,
	COL_PENDING_CREDIT,
	COL_VERSION,
	COL_MIN,
	COL_MAX,
	COL_REENTRANCY,
	COL_HOT,
	COL_STATUS,
	COL_LAST_AT,
	COL_METADATA,
	COL_FOLDED_EPOCH,
	COL_OPEN_EPOCHS,
	COL_COUNT
};

#endif							/* TELLER_ACCOUNT_ROW_H */
