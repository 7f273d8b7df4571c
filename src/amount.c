/*-------------------------------------------------------------------------
 *
 * amount.c
 *	  Amounts of money: numeric outside, 128-bit integers inside.
 *
 * numeric is taken apart and put together in its wire format, base 10000
 * digits, which numeric_send and numeric_recv document by being the protocol.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "libpq/pqformat.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "amount.h"
#include "compat.h"

#define WIRE_NEGATIVE 0x4000
#define WIRE_DIGIT_POWER 4		/* a wire digit holds four decimal ones */

/* A numeric taken apart. */
typedef struct WireNumeric
{
	int			ndigits;
	int			weight;			/* the first digit counts 10000^weight */
	bool		negative;
	int			scale;			/* decimals it is shown with */
	const uint8 *digits;		/* two bytes each, big-endian */
} WireNumeric;

static uint16
wire_read(const uint8 *at)
{
	return (uint16) ((at[0] << 8) | at[1]);
}

static WireNumeric
wire_from_numeric(Numeric value)
{
	bytea	   *wire = DatumGetByteaPP(DirectFunctionCall1(numeric_send,
														  NumericGetDatum(value)));
	const uint8 *at = (const uint8 *) VARDATA_ANY(wire);
	WireNumeric result;

	result.ndigits = wire_read(at);
	result.weight = (int16) wire_read(at + 2);
	result.negative = wire_read(at + 4) == WIRE_NEGATIVE;
	result.scale = wire_read(at + 6);
	result.digits = at + 8;
	return result;
}

/* 10^n for 0 <= n <= 38. */
static Amount
power_of_ten(int n)
{
	static Amount powers[39];

	Assert(n >= 0 && n <= 38);
	if (powers[0] == 0)
	{
		for (int i = 1; i <= 38; i++)
			powers[i] = i == 1 ? 10 : powers[i - 1] * 10;
		powers[0] = 1;
	}
	return powers[n];
}

static Amount
amount_limit(void)
{
	return power_of_ten(38);
}

/*
 * The magnitude of wire in units of 10^-scale.  *too_large: it is 10^38 or
 * more.  *too_fine: a decimal beyond the scale is not zero.  Range is judged
 * on the digits down to the scale, so both may be set.
 */
static Amount
wire_magnitude(const WireNumeric *wire, int scale, bool *too_large,
			   bool *too_fine)
{
	Amount		sum = 0;

	*too_large = *too_fine = false;
	for (int i = 0; i < wire->ndigits; i++)
	{
		Amount		digit = wire_read(wire->digits + 2 * i);
		int			power = (wire->weight - i) * WIRE_DIGIT_POWER + scale;

		if (digit == 0)
			continue;
		if (power >= 38)
			*too_large = true;
		else if (power >= 0)
		{
			/* digit < 10^4; the limit leaves room for one check per term */
			if (digit > amount_limit() / power_of_ten(power))
				*too_large = true;
			else
				sum += digit * power_of_ten(power);
		}
		else if (power > -WIRE_DIGIT_POWER)
		{
			if (digit % power_of_ten(-power) != 0)
				*too_fine = true;
			sum += digit / power_of_ten(-power);
		}
		else
			*too_fine = true;
		if (*too_large || sum >= amount_limit())
		{
			*too_large = true;
			break;
		}
	}
	return sum;
}

static void
raise_out_of_range(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("%s is out of range", what),
			 errdetail("An amount counted in the smallest unit of its asset must stay below 10^38.")));
}

static void
check_finite(Numeric value, const char *what)
{
	if (numeric_is_nan(value) || numeric_is_inf(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a finite number", what)));
}

/* How many decimals the value really has. */
static int
decimals_of(Numeric value)
{
	return DatumGetInt32(DirectFunctionCall1(numeric_min_scale,
											 NumericGetDatum(value)));
}

Amount
amount_from_numeric(Numeric value, int scale, const char *what)
{
	WireNumeric wire;
	Amount		magnitude;
	bool		too_large,
				too_fine;

	check_finite(value, what);
	wire = wire_from_numeric(value);
	magnitude = wire_magnitude(&wire, scale, &too_large, &too_fine);
	if (too_large)
		raise_out_of_range(what);
	if (too_fine)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has more decimals than its asset", what),
				 errdetail("It has %d decimals, the asset has %d.",
						   decimals_of(value), scale),
				 errhint("Amounts are never rounded; round before the call.")));
	return wire.negative ? -magnitude : magnitude;
}

void
amount_check(Numeric value, const char *what)
{
	WireNumeric wire;

	check_finite(value, what);
	wire = wire_from_numeric(value);
	if (wire.ndigits == 0 || wire.negative)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be above zero", what)));
	if (wire.weight > 38 / WIRE_DIGIT_POWER)
		raise_out_of_range(what);
}

Amount
amount_to_move(Numeric value, int scale, const char *what)
{
	amount_check(value, what);
	return amount_from_numeric(value, scale, what);
}

Amount
amount_stored(Numeric value, int *scale)
{
	WireNumeric wire;
	Amount		magnitude;
	bool		too_large = true,
				too_fine = true;

	if (numeric_is_nan(value) || numeric_is_inf(value))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a stored amount is not a finite number"),
				 errhint("Run teller.verify().")));
	wire = wire_from_numeric(value);
	if (wire.scale <= AMOUNT_MAX_SCALE)
		magnitude = wire_magnitude(&wire, wire.scale, &too_large, &too_fine);
	if (too_large || too_fine)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a stored amount is out of range"),
				 errhint("Run teller.verify().")));
	*scale = wire.scale;
	return wire.negative ? -magnitude : magnitude;
}

/*
 * Base 10000 digits of a value below 10000^count, most significant first.
 * 64-bit division as soon as the value fits: it is several times faster.
 */
static void
wire_digits(Amount value, uint16 *digits, int count)
{
	while (count > 0 && value > PG_INT64_MAX)
	{
		digits[--count] = (uint16) (value % 10000);
		value /= 10000;
	}
	for (int64 rest = (int64) value; count > 0; rest /= 10000)
		digits[--count] = (uint16) (rest % 10000);
}

Numeric
amount_to_numeric(Amount amount, int scale)
{
	Amount		magnitude = amount < 0 ? -amount : amount;
	Amount		unit = power_of_ten(scale);
	int			fraction_digits = (scale + WIRE_DIGIT_POWER - 1) / WIRE_DIGIT_POWER;
	int			padding = fraction_digits * WIRE_DIGIT_POWER - scale;
	uint16		digits[18];
	int			count = 10 + fraction_digits;
	StringInfoData wire;
	Datum		result;

	if (magnitude >= amount_limit())
		raise_out_of_range("amount");
	wire_digits(magnitude <= PG_INT64_MAX && unit <= PG_INT64_MAX ?
				(int64) magnitude / (int64) unit : magnitude / unit, digits, 10);
	wire_digits((magnitude % unit) * power_of_ten(padding), digits + 10,
				fraction_digits);

	initStringInfo(&wire);
	pq_sendint16(&wire, count);
	pq_sendint16(&wire, 9);
	pq_sendint16(&wire, amount < 0 ? WIRE_NEGATIVE : 0);
	pq_sendint16(&wire, scale);
	for (int i = 0; i < count; i++)
		pq_sendint16(&wire, digits[i]);
	result = DirectFunctionCall3(numeric_recv, PointerGetDatum(&wire),
								 ObjectIdGetDatum(InvalidOid),
								 Int32GetDatum(-1));
	pfree(wire.data);
	return DatumGetNumeric(result);
}

char *
amount_to_text(Amount amount, int scale)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out,
											   AmountGetDatum(amount, scale)));
}

Amount
amount_add(Amount a, Amount b)
{
	Amount		sum = a + b;

	/* Both are below 10^38 and 2 * 10^38 does not fit: test for wrapping. */
	if (__builtin_add_overflow(a, b, &sum) ||
		sum >= amount_limit() || sum <= -amount_limit())
		raise_out_of_range("balance");
	return sum;
}

Amount
amount_subtract(Amount a, Amount b)
{
	return amount_add(a, -b);
}

Amount
amount_largest(void)
{
	return amount_limit() - 1;
}

Amount
amount_between(Amount low, Amount high)
{
	if (low < 0 && high > amount_largest() + low)
		return amount_largest();
	return high - low;
}
