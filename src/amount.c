/*-------------------------------------------------------------------------
 *
 * amount.c
 *	  Amounts of money: numeric outside, 128-bit integers inside.
 *
 * numeric is taken apart and put together in its wire format, base 10000
 * digits, which numeric_send and numeric_recv document by being the protocol.
 *
 * Nearly every amount takes a shorter way: its short form as it stands in the
 * tables, which pg_upgrade keeps as it is.  That form is tried against the wire
 * format before it is first used; where it is another, the wire format does.
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

/* The header of a numeric's short form; NaN and infinities have another. */
#define SHORT_KIND_MASK 0xC000
#define SHORT_KIND 0x8000
#define SHORT_NEGATIVE 0x2000
#define SHORT_SCALE_SHIFT 7
#define SHORT_SCALE_MASK 0x3F
#define SHORT_WEIGHT_NEGATIVE 0x40
#define SHORT_WEIGHT_MASK 0x7F

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

#define E19 ((Amount) UINT64CONST(10000000000000000000))

/* 10^n for 0 <= n <= 38. */
static const Amount powers_of_ten[] = {
	1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
	INT64CONST(10000000000), INT64CONST(100000000000),
	INT64CONST(1000000000000), INT64CONST(10000000000000),
	INT64CONST(100000000000000), INT64CONST(1000000000000000),
	INT64CONST(10000000000000000), INT64CONST(100000000000000000),
	INT64CONST(1000000000000000000), E19, E19 * 10, E19 * 100, E19 * 1000,
	E19 * 10000, E19 * 100000, E19 * 1000000, E19 * 10000000,
	E19 * 100000000, E19 * 1000000000, E19 * INT64CONST(10000000000),
	E19 * INT64CONST(100000000000), E19 * INT64CONST(1000000000000),
	E19 * INT64CONST(10000000000000), E19 * INT64CONST(100000000000000),
	E19 * INT64CONST(1000000000000000), E19 * INT64CONST(10000000000000000),
	E19 * INT64CONST(100000000000000000),
	E19 * INT64CONST(1000000000000000000), E19 * E19
};

static inline Amount
power_of_ten(int n)
{
	Assert(n >= 0 && n < lengthof(powers_of_ten));
	return powers_of_ten[n];
}

static inline Amount
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

static Numeric
wire_to_numeric(Amount amount, int scale)
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

/* ---- the short form --------------------------------------------------- */

/* A numeric in its short form; the digits may lie at an odd address. */
typedef struct ShortNumeric
{
	uint16		header;
	int			ndigits;
	const char *digits;
} ShortNumeric;

static inline uint16
short_read(const char *at)
{
	uint16		value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* False if it has another form: longer, or packed in a way of storage. */
static bool
short_open(Datum value, ShortNumeric *number)
{
	struct varlena *stored = (struct varlena *) DatumGetPointer(value);
	int			length;

	if (VARATT_IS_EXTERNAL(stored) || VARATT_IS_COMPRESSED(stored))
		return false;
	length = VARSIZE_ANY_EXHDR(stored);
	if (length < (int) sizeof(uint16))
		return false;
	number->header = short_read(VARDATA_ANY(stored));
	number->ndigits = length / (int) sizeof(uint16) - 1;
	number->digits = VARDATA_ANY(stored) + sizeof(uint16);
	return (number->header & SHORT_KIND_MASK) == SHORT_KIND;
}

static inline int
short_weight(const ShortNumeric *number)
{
	int			weight = number->header & SHORT_WEIGHT_MASK;

	return number->header & SHORT_WEIGHT_NEGATIVE ?
		weight - (SHORT_WEIGHT_MASK + 1) : weight;
}

static inline int
short_scale(const ShortNumeric *number)
{
	return (number->header >> SHORT_SCALE_SHIFT) & SHORT_SCALE_MASK;
}

/*
 * The value in units of 10^-scale.  False if it may be out of range, or has
 * more decimals: then the wire format tells which.
 */
static bool
short_amount(const ShortNumeric *number, int scale, Amount *amount)
{
	Amount		sum = 0;
	int			power = (short_weight(number) - number->ndigits + 1) *
		WIRE_DIGIT_POWER + scale;

	if (number->ndigits * WIRE_DIGIT_POWER + Max(power, 0) > 38)
		return false;
	for (int i = 0; i < number->ndigits; i++)
		sum = sum * 10000 + short_read(number->digits + i * sizeof(uint16));
	if (power > 0)
		sum *= power_of_ten(power);
	else if (power < 0 && sum != 0)
	{
		if (power <= -WIRE_DIGIT_POWER || sum % power_of_ten(-power) != 0)
			return false;
		sum /= power_of_ten(-power);
	}
	*amount = number->header & SHORT_NEGATIVE ? -sum : sum;
	return true;
}

/* NULL if there is no telling whether the steps in between stay in range. */
static Numeric
short_from_amount(Amount amount, int scale)
{
	Amount		rest = amount < 0 ? -amount : amount;
	int			fraction_digits = (scale + WIRE_DIGIT_POWER - 1) / WIRE_DIGIT_POWER;
	int			padding = fraction_digits * WIRE_DIGIT_POWER - scale;
	uint16		digits[10];
	int			first = lengthof(digits);
	int			end = lengthof(digits);
	int			size;
	struct varlena *result;
	uint16		header = SHORT_KIND | scale << SHORT_SCALE_SHIFT;

	if (rest >= power_of_ten(38 - WIRE_DIGIT_POWER))
		return NULL;
	rest *= power_of_ten(padding);
	for (; rest > PG_INT64_MAX; rest /= 10000)
		digits[--first] = (uint16) (rest % 10000);
	for (int64 small = (int64) rest; small > 0; small /= 10000)
		digits[--first] = (uint16) (small % 10000);
	if (first < end)
		header |= ((end - first - fraction_digits - 1) & SHORT_WEIGHT_MASK) |
			(amount < 0 ? SHORT_NEGATIVE : 0);
	while (end > first && digits[end - 1] == 0)
		end--;

	size = VARHDRSZ + sizeof(uint16) * (1 + end - first);
	result = palloc(size);
	SET_VARSIZE(result, size);
	memcpy(VARDATA(result), &header, sizeof(uint16));
	memcpy(VARDATA(result) + sizeof(uint16), digits + first,
		   sizeof(uint16) * (end - first));
	return (Numeric) result;
}

/* Does this server write the number as short_from_amount does? */
static bool
short_agrees(Amount amount, int scale)
{
	Numeric		mine = short_from_amount(amount, scale);
	Numeric		theirs = wire_to_numeric(amount, scale);
	ShortNumeric number;
	Amount		read;

	return VARSIZE(mine) == VARSIZE(theirs) &&
		memcmp(mine, theirs, VARSIZE(theirs)) == 0 &&
		short_open(NumericGetDatum(theirs), &number) &&
		short_scale(&number) == scale &&
		short_amount(&number, scale, &read) && read == amount;
}

/* Zero, signs, weights above and below zero, digits left out at the end. */
static bool
short_is_known(void)
{
	static bool tried = false;
	static bool known = false;

	if (!tried)
		known = short_agrees(0, 2) && short_agrees(100, 2) &&
			short_agrees(-1, 0) && short_agrees(-120034, 2) &&
			short_agrees(1, AMOUNT_MAX_SCALE) &&
			short_agrees(power_of_ten(30) + 5, 18) &&
			short_agrees(-power_of_ten(33), AMOUNT_MAX_SCALE);
	tried = true;
	return known;
}

static bool
short_open_known(Datum value, ShortNumeric *number)
{
	return short_is_known() && short_open(value, number);
}

/* ---- amounts ---------------------------------------------------------- */

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
	ShortNumeric number;
	WireNumeric wire;
	Amount		magnitude;
	bool		too_large,
				too_fine;

	if (short_open_known(NumericGetDatum(value), &number) &&
		short_amount(&number, scale, &magnitude))
		return magnitude;
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
	ShortNumeric number;
	WireNumeric wire;

	if (short_open_known(NumericGetDatum(value), &number) &&
		number.ndigits > 0 && (number.header & SHORT_NEGATIVE) == 0 &&
		short_weight(&number) <= 38 / WIRE_DIGIT_POWER)
		return;
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
amount_stored(Datum stored, int *scale)
{
	ShortNumeric number;
	Numeric		value;
	WireNumeric wire;
	Amount		magnitude;
	bool		too_large = true,
				too_fine = true;

	if (short_open_known(stored, &number))
	{
		*scale = short_scale(&number);
		if (*scale <= AMOUNT_MAX_SCALE &&
			short_amount(&number, *scale, &magnitude))
			return magnitude;
	}
	value = DatumGetNumeric(stored);
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

Numeric
amount_to_numeric(Amount amount, int scale)
{
	Numeric		result = NULL;

	if (scale <= AMOUNT_MAX_SCALE && short_is_known())
		result = short_from_amount(amount, scale);
	return result != NULL ? result : wire_to_numeric(amount, scale);
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
