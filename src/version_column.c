/*-------------------------------------------------------------------------
 *
 * version_column.c
 *	  The column of a user's table that counts the changes of each row.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "row_table.h"
#include "version_column.h"

void
version_column_find(Relation rel, const char *name, VersionColumn *column)
{
	Form_pg_attribute attribute;

	column->number = row_column(rel, name);
	attribute = TupleDescAttr(RelationGetDescr(rel), column->number - 1);
	column->type = attribute->atttypid;
	column->base = getBaseType(column->type);
	column->name = pstrdup(NameStr(attribute->attname));
	if (column->base != INT2OID && column->base != INT4OID &&
		column->base != INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" cannot count versions",
						column->name, RelationGetRelationName(rel)),
				 errdetail("It is of type %s, not smallint, integer or bigint.",
						   format_type_be(column->type))));
}

int64
version_column_maximum(const VersionColumn *column)
{
	if (column->base == INT2OID)
		return PG_INT16_MAX;
	if (column->base == INT4OID)
		return PG_INT32_MAX;
	return PG_INT64_MAX;
}

int64
version_column_read(const VersionColumn *column, Datum value)
{
	if (column->base == INT2OID)
		return DatumGetInt16(value);
	if (column->base == INT4OID)
		return DatumGetInt32(value);
	return DatumGetInt64(value);
}

Datum
version_column_make(const VersionColumn *column, int64 version)
{
	Datum		value;

	Assert(version <= version_column_maximum(column));
	if (column->base == INT2OID)
		value = Int16GetDatum((int16) version);
	else if (column->base == INT4OID)
		value = Int32GetDatum((int32) version);
	else
		value = Int64GetDatum(version);
	if (column->type != column->base)
		domain_check(value, false, column->type, NULL, NULL);
	return value;
}

void
version_column_raise_null(const VersionColumn *column, const char *row)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s has no version", row),
			 errdetail("Column \"%s\" is null.", column->name),
			 errhint("Set it, with any guard_version trigger disabled, and declare the column NOT NULL.")));
}

void
version_column_raise_maximum(const VersionColumn *column, const char *row)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("the version of %s cannot grow", row),
			 errdetail("Column \"%s\" is at %lld, the maximum of type %s.",
					   column->name,
					   (long long) version_column_maximum(column),
					   format_type_be(column->base)),
			 errhint("Give the column a wider type.")));
}
