/*-------------------------------------------------------------------------
 *
 * hold.h
 *	  Holds: money set aside, then captured, released or expired.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_HOLD_H
#define TELLER_HOLD_H

#include "utils/numeric.h"

#include "hold_row.h"
#include "movement.h"

/* What hold_decide_place is asked. */
typedef struct HoldRequest
{
	int64		ledger;
	int64		debit_account;
	int64		credit_account;
	Numeric		amount;
	bool		has_expected_version;
	int64		expected_version;
	Interval   *ttl;			/* above zero; NULL for an operation's hold */
	const pg_uuid_t *operation_id;	/* NULL unless an operation's hold */
	Jsonb	   *metadata;
} HoldRequest;

/*
 * hold_decide_place: lock the debit account (and the credit account if it
 * has a maximum), test, and reserve in memory.  movement->hold->id names the
 * new hold.
 */
extern Movement *hold_decide_place(const HoldRequest *request);

/*
 * hold_decide_capture: lock both accounts and the hold, and take amount (NULL:
 * all that remains) from it.  final: release what is left.
 * hold_decide_release: give back what remains.
 *
 * operation: NULL for a user's call, which must not end an operation's hold
 * (55000) and minds frozen accounts; else the operation that owns the hold.
 * A hold that is not open, or is due, is a denial TL006.  TL009 if unknown.
 */
extern Movement *hold_decide_capture(int64 ledger, const pg_uuid_t *hold,
									 Numeric amount, bool final,
									 const pg_uuid_t *operation);
extern Movement *hold_decide_release(int64 ledger, const pg_uuid_t *hold,
									 const pg_uuid_t *operation);

/*
 * hold_decide_extend: a later deadline, ttl from now; 22023 if that is not
 * later than the one it has.
 * hold_decide_adjust: another total, at least what is captured and released
 * (22023).  More is tested as a new hold would be.  One journal row records
 * what was and what is; none if nothing changes.
 */
extern Movement *hold_decide_extend(int64 ledger, const pg_uuid_t *hold,
									const Interval *ttl);
extern Movement *hold_decide_adjust(int64 ledger, const pg_uuid_t *hold,
									Numeric amount);

/* The parts that hold.c and hold_change.c share. */
extern Movement *hold_lock_sides(int64 ledger, int64 debit, int64 credit);
extern Movement *hold_lock_open(int64 ledger, const pg_uuid_t *hold,
								const pg_uuid_t *operation);
extern void hold_claim(Movement *movement);
extern bool hold_counts_credit(const Movement *movement);
extern void hold_end(Movement *movement, HoldState state, JournalRow *row);

/* now + ttl; 22023 unless ttl is above zero and at most a hundred years. */
extern TimestampTz hold_deadline(TimestampTz now, const Interval *ttl);

/* The sweep's step: expire movement->hold in memory (expire.c). */
extern void hold_expire_locked(Movement *movement);

#endif							/* TELLER_HOLD_H */
