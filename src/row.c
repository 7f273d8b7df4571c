/*-------------------------------------------------------------------------
 *
 * row.c
 *	  row_debit and row_credit: change a balance in a table of the user's own
 *	  under a condition, in one atomic step.
 *
 * One UPDATE tests and changes: PostgreSQL tests its condition again on the
 * newest version of the row when it had to wait for another transaction.  If
 * it finds nothing, the row is locked and looked at, to say which it was: no
 * such row, or not enough.  What the lock finds is decisive; if the row would
 * fit by now, because somebody changed it in between, the UPDATE runs again.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "row_plan.h"

PG_FUNCTION_INFO_V1(teller_row_debit);
PG_FUNCTION_INFO_V1(teller_row_credit);

/* How the column is compared with the limit. */
typedef enum RowLimit
{
	LIMIT_NONE,
	LIMIT_INTEGER,
	LIMIT_NUMERIC
} RowLimit;

/* One call. */
typedef struct RowChange
{
	RowTable   *table;
	RowStatement statement;		/* ROW_DEBIT or ROW_CREDIT */
	Datum		key;
	AttrNumber	column;
	char	   *column_name;
	Oid			type;			/* of the column, under its domain */
	int32		typmod;
	Numeric		amount;
	Numeric		bound;			/* floor or ceiling, NULL for none */
	Numeric		limit;			/* what the column must be before, or NULL */
	RowLimit	limit_kind;
	int64		integer_limit;	/* the same, if LIMIT_INTEGER */
} RowChange;

#define NUMBER_SHOWN 128		/* digits of a number in a message */

#define numeric_call1(f, a) DirectFunctionCall1((f), NumericGetDatum(a))
#define numeric_call2(f, a, b) \
	DirectFunctionCall2((f), NumericGetDatum(a), NumericGetDatum(b))
#define numeric_is(f, a, b) DatumGetBool(numeric_call2((f), (a), (b)))

static char *
row_numeric_text(Numeric value)
{
	char	   *text = DatumGetCString(numeric_call1(numeric_out, value));

	if (strlen(text) <= NUMBER_SHOWN)
		return text;
	return psprintf("%.*s...", NUMBER_SHOWN, text);
}

static bool
row_numeric_finite(Numeric value)
{
	return !numeric_is_nan(value) && !numeric_is_inf(value);
}

static bool
row_type_is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* ---- what was passed -------------------------------------------------- */

static void
row_read_column(FunctionCallInfo fcinfo, int arg, Relation rel,
				RowChange *change)
{
	Form_pg_attribute column;

	input_require(fcinfo, arg, "col");
	change->column_name = pstrdup(NameStr(*PG_GETARG_NAME(arg)));
	change->column = row_column(rel, change->column_name);
	if (change->column == change->table->key_column)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" is the primary key of table %s",
						change->column_name, change->table->name)));
	column = TupleDescAttr(RelationGetDescr(rel), change->column - 1);
	change->typmod = column->atttypmod;
	change->type = getBaseTypeAndTypmod(column->atttypid, &change->typmod);
	if (change->type != NUMERICOID && !row_type_is_integer(change->type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table %s is of type %s",
						change->column_name, change->table->name,
						format_type_be(column->atttypid)),
				 errdetail("Amounts are kept in integer and numeric columns.")));
}

/* The decimals that the column holds; false if as many as there are. */
static bool
row_column_scale(const RowChange *change, int32 *scale)
{
	if (row_type_is_integer(change->type))
		*scale = 0;
	else if (change->typmod >= (int32) VARHDRSZ)
		/* As numeric.c packs it: 11 bits with a sign. */
		*scale = (((change->typmod - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;
	else
		return false;
	return true;
}

/* The least amount that is too large for the column; NULL if there is none. */
static Numeric
row_column_bound(const RowChange *change)
{
	int32		scale;
	int32		precision;
	char	   *power;

	if (change->type == INT2OID)
		return int64_to_numeric((int64) PG_INT16_MAX + 1);
	if (change->type == INT4OID)
		return int64_to_numeric((int64) PG_INT32_MAX + 1);
	if (change->type == INT8OID)
		power = psprintf("%llu", (unsigned long long) PG_INT64_MAX + 1);
	else if (row_column_scale(change, &scale))
	{
		precision = ((change->typmod - VARHDRSZ) >> 16) & 0xffff;
		power = psprintf("1e%d", precision - scale);
	}
	else
		return NULL;
	return DatumGetNumeric(DirectFunctionCall3(numeric_in,
											   CStringGetDatum(power),
											   ObjectIdGetDatum(InvalidOid),
											   Int32GetDatum(-1)));
}

static void
row_check_scale(const RowChange *change)
{
	int32		scale;
	Datum		rounded;

	if (!row_column_scale(change, &scale))
		return;
	rounded = DirectFunctionCall2(numeric_round,
								  NumericGetDatum(change->amount),
								  Int32GetDatum(scale));
	if (numeric_is(numeric_eq, DatumGetNumeric(rounded), change->amount))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("amount has more decimals than column \"%s\" of table %s holds",
					change->column_name, change->table->name),
			 errdetail("The amount has %d, the column %d.",
					   DatumGetInt32(numeric_call1(numeric_min_scale,
												   change->amount)),
					   scale)));
}

static void
row_read_amount(FunctionCallInfo fcinfo, int arg, RowChange *change)
{
	Numeric		bound = row_column_bound(change);

	input_require(fcinfo, arg, "amount");
	change->amount = PG_GETARG_NUMERIC(arg);
	if (!row_numeric_finite(change->amount))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount must be a finite number")));
	if (!numeric_is(numeric_gt, change->amount, int64_to_numeric(0)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount must be above zero"),
				 errdetail("It is %s.", row_numeric_text(change->amount))));
	if (bound != NULL && numeric_is(numeric_ge, change->amount, bound))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("amount is out of the range of column \"%s\" of table %s",
						change->column_name, change->table->name)));
	row_check_scale(change);
}

/*
 * An integer is at least (at most) a number if it is at least the next
 * integer above (at most the next below), where there is such a bigint.
 */
static void
row_limit_to_integer(RowChange *change)
{
	Numeric		whole =
		DatumGetNumeric(numeric_call1(change->statement == ROW_DEBIT ?
									  numeric_ceil : numeric_floor,
									  change->limit));

	if (numeric_is(numeric_gt, whole, int64_to_numeric(PG_INT64_MAX)) ||
		numeric_is(numeric_lt, whole, int64_to_numeric(PG_INT64_MIN)))
		return;
	change->integer_limit = DatumGetInt64(numeric_call1(numeric_int8, whole));
	change->limit_kind = LIMIT_INTEGER;
}

/* floor or ceiling, and with it what the column must be before the change. */
static void
row_read_bound(FunctionCallInfo fcinfo, int arg, const char *name,
			   RowChange *change)
{
	if (PG_ARGISNULL(arg))
		return;
	change->bound = PG_GETARG_NUMERIC(arg);
	if (!row_numeric_finite(change->bound))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be finite", name)));
	change->limit =
		DatumGetNumeric(numeric_call2(change->statement == ROW_DEBIT ?
									  numeric_add : numeric_sub,
									  change->bound, change->amount));
	change->limit_kind = LIMIT_NUMERIC;
	if (row_type_is_integer(change->type))
		row_limit_to_integer(change);
}

/* ---- the statement ---------------------------------------------------- */

/*
 * $1 the key, $2 the amount, $3 the limit.  NaN and the infinities pass every
 * comparison that matters here, so they are left out by name; so is null
 * where there is no comparison.
 */
static char *
row_change_sql(const RowChange *change)
{
	const RowTable *table = change->table;
	const char *column = quote_identifier(change->column_name);
	bool		debit = change->statement == ROW_DEBIT;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "UPDATE %s SET %s = %s OPERATOR(pg_catalog.%c) $2 WHERE %s %s $1",
					 table->name, column, column, debit ? '-' : '+',
					 table->key_name, table->key_equals);
	if (change->type == NUMERICOID)
		appendStringInfo(&sql,
						 " AND %s OPERATOR(pg_catalog.<) 'Infinity'::pg_catalog.numeric"
						 " AND %s OPERATOR(pg_catalog.>) '-Infinity'::pg_catalog.numeric",
						 column, column);
	else if (change->limit_kind == LIMIT_NONE)
		appendStringInfo(&sql, " AND %s IS NOT NULL", column);
	if (change->limit_kind != LIMIT_NONE)
		appendStringInfo(&sql, " AND %s%s OPERATOR(pg_catalog.%s) $3", column,
						 change->limit_kind == LIMIT_NUMERIC ?
						 "::pg_catalog.numeric" : "", debit ? ">=" : "<=");
	appendStringInfo(&sql, " RETURNING %s", column);
	return sql.data;
}

static uint64
row_change_run(const RowChange *change)
{
	RowPlanKey	key = {change->statement, change->limit_kind, change->column, NULL};
	RowPlan    *plan = row_plan_find(change->table, &key);
	Oid			types[3] = {change->table->key_type, NUMERICOID, NUMERICOID};
	Datum		values[3] = {change->key, NumericGetDatum(change->amount), 0};

	if (row_type_is_integer(change->type))
	{
		types[1] = INT8OID;
		values[1] = numeric_call1(numeric_int8, change->amount);
	}
	if (change->limit_kind == LIMIT_INTEGER)
	{
		types[2] = INT8OID;
		values[2] = Int64GetDatum(change->integer_limit);
	}
	else
		values[2] = NumericGetDatum(change->limit);
	if (plan == NULL)
		plan = row_plan_save(change->table, &key, row_change_sql(change),
							 change->limit_kind == LIMIT_NONE ? 2 : 3, types);
	return row_plan_run(change->table, plan, values, NULL);
}

/* ---- the answer ------------------------------------------------------- */

static Numeric
row_value_numeric(Oid type, Datum value)
{
	switch (type)
	{
		case INT2OID:
			return int64_to_numeric(DatumGetInt16(value));
		case INT4OID:
			return int64_to_numeric(DatumGetInt32(value));
		case INT8OID:
			return int64_to_numeric(DatumGetInt64(value));
	}
	return DatumGetNumeric(value);
}

pg_noreturn static void
row_deny(const RowChange *change, Numeric value)
{
	const char *id = row_key_text(change->table, change->key);
	bool		debit = change->statement == ROW_DEBIT;

	ereport(ERROR,
			(errcode(debit ? ERRCODE_TELLER_INSUFFICIENT_FUNDS :
					 ERRCODE_TELLER_LIMIT_EXCEEDED),
			 debit ?
			 errmsg("row %s of table %s has not enough in column \"%s\"", id,
					change->table->name, change->column_name) :
			 errmsg("row %s of table %s would have too much in column \"%s\"",
					id, change->table->name, change->column_name),
			 errdetail("It holds %s, the %s is %s, asked %s.",
					   row_numeric_text(value), debit ? "floor" : "ceiling",
					   row_numeric_text(change->bound),
					   row_numeric_text(change->amount))));
}

/*
 * The UPDATE found nothing: lock the row and say why.  Returns if the row as
 * it is now fits.
 */
static void
row_explain(const RowChange *change)
{
	Datum		datum;
	bool		isnull;
	Numeric		value;

	if (!row_lock_value(change->table, change->key, change->column, &datum,
						&isnull))
		row_not_found(change->table, change->key);
	value = isnull ? NULL : row_value_numeric(change->type, datum);
	if (value == NULL || !row_numeric_finite(value))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of row %s of table %s is %s",
						change->column_name,
						row_key_text(change->table, change->key),
						change->table->name,
						isnull ? "null" : row_numeric_text(value)),
				 errhint("Give it a number first.")));
	if (change->limit != NULL &&
		!numeric_is(change->statement == ROW_DEBIT ? numeric_ge : numeric_le,
					   value, change->limit))
		row_deny(change, value);
}

static Datum
row_change(FunctionCallInfo fcinfo, RowStatement statement)
{
	RowChange	change = {0};
	Relation	rel;
	Datum		value;
	bool		isnull;

	change.statement = statement;
	change.table = row_table_argument(fcinfo, 0, RowExclusiveLock, &rel);
	row_refuse_rule(change.table, rel);
	change.key = row_key_argument(fcinfo, 1, change.table);
	row_read_column(fcinfo, 3, rel, &change);
	relation_close(rel, NoLock);
	row_read_amount(fcinfo, 2, &change);
	row_read_bound(fcinfo, 4, statement == ROW_DEBIT ? "floor" : "ceiling",
				   &change);

	SPI_connect();

	/* The same key in a child may have enough where this one has not. */
	if (change.table->inherited)
		row_explain(&change);
	if (!row_changed_one(change.table, change.key, row_change_run(&change)))
	{
		row_explain(&change);
		if (!row_changed_one(change.table, change.key,
							 row_change_run(&change)))
			row_suppressed(change.table, change.key);
	}
	value = row_plan_value(1, &isnull);
	if (!isnull && change.type == NUMERICOID)
		value = SPI_datumTransfer(value, false, -1);
	SPI_finish();
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_NUMERIC(row_value_numeric(change.type, value));
}

/*
 * teller.row_debit(rel regclass, id, amount numeric, col name, floor numeric)
 * -> numeric; see its COMMENT.
 */
Datum
teller_row_debit(PG_FUNCTION_ARGS)
{
	return row_change(fcinfo, ROW_DEBIT);
}

/*
 * teller.row_credit(rel regclass, id, amount numeric, col name,
 * ceiling numeric) -> numeric; see its COMMENT.
 */
Datum
teller_row_credit(PG_FUNCTION_ARGS)
{
	return row_change(fcinfo, ROW_CREDIT);
}
