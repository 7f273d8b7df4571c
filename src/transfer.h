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

#include "keyed.h"

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
	Numeric		min_after;		/* of the debit account's available balance, */
	Numeric		max_after;		/* or NULL */
} TransferRequest;

/*
 * transfer_decide: lock both accounts and decide; see movement.h.  Raises
 * 22023 and 22003 for a bad amount, TL007, TL009; what business forbids is a
 * denial.
 */
extern Movement *transfer_decide(const TransferRequest *request);

/* What a key stands for: every argument but the key and on_denial. */
extern void transfer_describe(const TransferRequest *request, KeyCall *call);

/*
 * transfer_read: the arguments of teller.transfer as a movement that can be
 * run; it points to the request.  Raises 22004, 22023, 54000, and 42501
 * without the right to post.
 */
extern void transfer_read(FunctionCallInfo fcinfo, TransferRequest *request,
						  KeyedMovement *keyed);

/* The result columns of transfer and capture. */
typedef enum TransferColumn
{
	TRANSFER_ID,
	TRANSFER_STATUS,
	TRANSFER_REASON,
	TRANSFER_AMOUNT,
	TRANSFER_DEBIT_BALANCE,
	TRANSFER_DEBIT_VERSION,
	TRANSFER_CREDIT_BALANCE,
	TRANSFER_CREDIT_VERSION,
	TRANSFER_REPLAYED
} TransferColumn;

#define TRANSFER_COLUMNS (TRANSFER_REPLAYED + 1)

/* Their descriptor, for a caller whose own row is another. */
extern TupleDesc transfer_desc(void);

/*
 * transfer_result: balances and versions are those after the movement's last
 * row; those of a denial are the present ones.
 */
extern void transfer_result(const Movement *movement, Datum *values,
							bool *nulls);

#endif							/* TELLER_TRANSFER_H */
