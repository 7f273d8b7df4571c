/*-------------------------------------------------------------------------
 *
 * transfer.h
 *	  Money from one account to another, now.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_TRANSFER_H
#define TELLER_TRANSFER_H

#include "fmgr.h"
#include "utils/numeric.h"

#include "movement.h"

typedef struct TransferRequest
{
	int64		ledger;
	int64		debit_account;
	int64		credit_account;
	Numeric		amount;
	bool		has_expected_version;
	int64		expected_version;
	bool		has_effective_at;
	TimestampTz effective_at;
	Jsonb	   *metadata;
} TransferRequest;

/*
 * transfer_decide: lock both accounts and decide; see movement.h.  Raises
 * 22023 and 22003 for a bad amount, TL007, TL009; what business forbids is a
 * denial.
 */
extern Movement *transfer_decide(const TransferRequest *request);

/* The result row of transfer and capture. */
extern void transfer_result(const Movement *movement, Datum *values,
							bool *nulls);

#endif							/* TELLER_TRANSFER_H */
