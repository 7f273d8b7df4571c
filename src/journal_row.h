/*-------------------------------------------------------------------------
 *
 * journal_row.h
 *	  The columns of teller.journal, for those who read its rows as they are.
 *
 * Those of the view movement come first.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_JOURNAL_ROW_H
#define TELLER_JOURNAL_ROW_H

enum
{
	COL_LEDGER,
	COL_ID,
	COL_KIND,
	COL_DEBIT_ACCOUNT,
	COL_CREDIT_ACCOUNT,
	COL_AMOUNT,
	COL_DEBIT_VERSION,
	COL_DEBIT_POSTED,
	COL_DEBIT_PENDING,
	COL_CREDIT_VERSION,
	COL_CREDIT_POSTED,
	COL_CREDIT_PENDING,
	COL_HOLD_ID,
	COL_REVERSES,
	COL_BATCH_ID,
	COL_OPERATION_ID,
	COL_EFFECTIVE_AT,
	COL_RECORDED_AT,
	COL_METADATA,
	COL_ENDS_HOLD,
	COL_TX,
	COL_DEBIT_EPOCH,
	COL_CREDIT_EPOCH,
	COL_COUNT
};

#define MOVEMENT_COLUMNS (COL_METADATA + 1)

#endif							/* TELLER_JOURNAL_ROW_H */
