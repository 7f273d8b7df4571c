/*-------------------------------------------------------------------------
 *
 * amount.h
 *	  Amounts of money: numeric outside, 128-bit integers inside.
 *
 * An amount is an integer count of the asset's smallest unit, 10^-scale.
 * Its magnitude stays below 10^38, so that the sum or difference of two
 * never wraps; amount_add checks that the result stays below too.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_AMOUNT_H
#define TELLER_AMOUNT_H

#include "utils/numeric.h"

#define AMOUNT_MAX_SCALE 30

typedef int128 Amount;

/*
 * amount_from_numeric: a balance or limit, any sign.  what names it in
 * messages ("amount", "min_balance").  22003 if out of range (tested first),
 * 22023 if it is NaN, infinite or has more decimals than scale.
 */
extern Amount amount_from_numeric(Numeric value, int scale, const char *what);

/* amount_to_move: the same for an amount that moves: above zero, else 22023. */
extern Amount amount_to_move(Numeric value, int scale, const char *what);

/* amount_check: those tests of amount_to_move that need no scale. */
extern void amount_check(Numeric value, const char *what);

/* amount_stored: what pg_teller itself wrote; *scale is the stored scale. */
extern Amount amount_stored(Datum stored, int *scale);

extern Numeric amount_to_numeric(Amount amount, int scale);
extern char *amount_to_text(Amount amount, int scale);

/* 22003 when the sum or difference leaves the range. */
extern Amount amount_add(Amount a, Amount b);
extern Amount amount_subtract(Amount a, Amount b);

/* The largest amount there is, and high - low, but not more than that. */
extern Amount amount_largest(void);
extern Amount amount_between(Amount low, Amount high);

#define AmountGetDatum(amount, scale) \
	NumericGetDatum(amount_to_numeric((amount), (scale)))

#endif							/* TELLER_AMOUNT_H */
