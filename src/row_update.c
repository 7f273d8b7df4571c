/*-------------------------------------------------------------------------
 *
 * row_update.c
 *	  teller.row_update: change a row of the user's own table if nobody has
 *	  changed it since.
 *
 * One UPDATE tests the version and adds one to it, so two callers that read
 * the same version cannot both succeed.  If it finds no row, the row is locked
 * and read to say why.  Should the version then be the expected one (somebody
 * has brought it there in between), the UPDATE is run once more, now under the
 * lock, where it can only succeed or be suppressed by a trigger.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "row_plan.h"
#include "row_table.h"
#include "version_column.h"

/* The parameters of the statement: the key, the version, then the changes. */
#define PARAM_KEY 0
#define PARAM_VERSION 1
#define PARAM_CHANGES 2

#define NAME_TEXT_MAX (2 * NAMEDATALEN) /* bytes of a name in a message */

/* One call. */
typedef struct RowUpdate
{
	RowTable   *table;
	Relation	rel;
	Datum		key;
	int64		expected;
	VersionColumn version;
	Jsonb	   *changes;
	Bitmapset  *columns;		/* their numbers */
} RowUpdate;

/* ---- what is to be changed -------------------------------------------- */

pg_noreturn static void
refuse_column(const RowUpdate *update, const char *name, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("changes must not set column \"%s\" of table %s", name,
					update->table->name),
			 errdetail("It is the %s.", what)));
}

/* The column that a member of changes names, which may be set. */
static AttrNumber
changed_column(const RowUpdate *update, const char *name)
{
	AttrNumber	column = row_column(update->rel, name);

	if (column == update->table->key_column)
		refuse_column(update, name, "primary key");
	if (column == update->version.number)
		refuse_column(update, name, "version column, which grows by itself");
	return column;
}

static Bitmapset *
changed_columns(const RowUpdate *update)
{
	Bitmapset  *columns = NULL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	member;

	if (!JB_ROOT_IS_OBJECT(update->changes))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("changes must be a JSON object of columns and values")));
	if (JB_ROOT_COUNT(update->changes) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("changes must name at least one column")));
	it = JsonbIteratorInit(&update->changes->root);
	token = JsonbIteratorNext(&it, &member, false);
	while ((token = JsonbIteratorNext(&it, &member, true)) != WJB_DONE)
	{
		char	   *name;

		if (token != WJB_KEY)
			continue;
		/* what is cut is too long for a column's name all the same */
		name = pnstrdup(member.val.string.val,
						pg_mbcliplen(member.val.string.val,
									 member.val.string.len, NAME_TEXT_MAX));
		columns = bms_add_member(columns, changed_column(update, name));
	}
	return columns;
}

/*
 * For each changed column a row type that has only this column: what
 * json_populate_record reads one value by.  One for all of them would name no
 * column when it fails, and there would be as many as there are sets of
 * columns; what a row type is known by is never forgotten in a backend.
 */
static TupleDesc *
changed_descs(const RowUpdate *update)
{
	TupleDesc  *descs = palloc(sizeof(TupleDesc) *
							   bms_num_members(update->columns));
	int			column = -1,
				i = 0;

	while ((column = bms_next_member(update->columns, column)) >= 0)
	{
		Form_pg_attribute attribute =
			TupleDescAttr(RelationGetDescr(update->rel), column - 1);

		descs[i] = CreateTemplateTupleDesc(1);
		TupleDescInitEntry(descs[i], 1, NameStr(attribute->attname),
						   attribute->atttypid, attribute->atttypmod,
						   attribute->attndims);
		BlessTupleDesc(descs[i++]);
	}
	return descs;
}

static void
name_column(void *desc)
{
	errcontext("value of column \"%s\" in changes",
			   NameStr(TupleDescAttr((TupleDesc) desc, 0)->attname));
}

/* Read the value of the one column of that row type. */
static Datum
read_change(FmgrInfo *populate, TupleDesc desc, Jsonb *changes, bool *isnull)
{
	Datum		value = (Datum) 0;
	bool		null = true;
	HeapTupleData tuple = {0};
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = name_column,
		.arg = desc
	};
	Datum		row = HeapTupleGetDatum(heap_form_tuple(desc, &value, &null));

	error_context_stack = &context;
	row = FunctionCall2(populate, row, JsonbPGetDatum(changes));
	error_context_stack = context.previous;
	tuple.t_data = DatumGetHeapTupleHeader(row);
	tuple.t_len = HeapTupleHeaderGetDatumLength(tuple.t_data);
	return heap_getattr(&tuple, 1, desc, isnull);
}

/*
 * Read the values by calling json_populate_record.  What it keeps of nested
 * row types is not told when they change, so it may not outlive this call.
 */
static void
read_changes(TupleDesc *descs, int count, Jsonb *changes,
			 Datum *values, bool *isnull)
{
	FmgrInfo	populate;
	List	   *args = list_make2(makeNullConst(RECORDOID, -1, InvalidOid),
								  makeNullConst(JSONBOID, -1, InvalidOid));

	fmgr_info(F_JSONB_POPULATE_RECORD, &populate);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_JSONB_POPULATE_RECORD,
											 RECORDOID, args, InvalidOid,
											 InvalidOid, COERCE_EXPLICIT_CALL),
					   &populate);
	for (int i = 0; i < count; i++)
		values[i] = read_change(&populate, descs[i], changes, &isnull[i]);
}

/* ---- the statement ---------------------------------------------------- */

static char *
update_sql(const RowUpdate *update)
{
	const char *version = quote_identifier(update->version.name);
	StringInfoData sql;
	int			column = -1,
				param = PARAM_CHANGES;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s SET ", update->table->name);
	while ((column = bms_next_member(update->columns, column)) >= 0)
	{
		Form_pg_attribute attribute =
			TupleDescAttr(RelationGetDescr(update->rel), column - 1);

		appendStringInfo(&sql, "%s = $%d, ",
						 quote_identifier(NameStr(attribute->attname)),
						 ++param);
	}
	appendStringInfo(&sql, "%s = %s OPERATOR(pg_catalog.+) 1"
					 " WHERE %s %s $%d AND %s OPERATOR(pg_catalog.=) $%d"
					 " RETURNING %s::pg_catalog.int8",
					 version, version,
					 update->table->key_name, update->table->key_equals,
					 PARAM_KEY + 1, version, PARAM_VERSION + 1,
					 version);
	return sql.data;
}

static RowPlan *
save_plan(const RowUpdate *update, const RowPlanKey *key)
{
	int			ntypes = PARAM_CHANGES + bms_num_members(update->columns);
	Oid		   *types = palloc(sizeof(Oid) * ntypes);
	int			column = -1,
				param = PARAM_CHANGES;

	types[PARAM_KEY] = update->table->key_type;
	types[PARAM_VERSION] = INT8OID;
	while ((column = bms_next_member(update->columns, column)) >= 0)
		types[param++] = TupleDescAttr(RelationGetDescr(update->rel),
									   column - 1)->atttypid;
	return row_plan_save(update->table, key, update_sql(update), ntypes,
						 types);
}

/* The plan for these columns; plan->more are their row types. */
static RowPlan *
update_plan(const RowUpdate *update)
{
	RowPlanKey	key = {
		.statement = ROW_UPDATE,
		.column = update->version.number,
		.columns = update->columns
	};
	RowPlan    *plan = row_plan_find(update->table, &key);

	if (plan == NULL)
		plan = save_plan(update, &key);
	if (plan->more == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(update->table->context);

		plan->more = changed_descs(update);
		MemoryContextSwitchTo(old);
	}
	return plan;
}

/* ---- one call --------------------------------------------------------- */

static char *
row_name(const RowUpdate *update)
{
	return psprintf("row %s of table %s",
					row_key_text(update->table, update->key),
					update->table->name);
}

/* Run the UPDATE; false if it found no row with that version. */
static bool
try_update(const RowUpdate *update, RowPlan *plan, Datum *values,
		   const char *nulls, int64 *version)
{
	uint64		rows = row_plan_run(update->table, plan, values, nulls);
	bool		isnull;

	if (!row_changed_one(update->table, update->key, rows))
		return false;
	*version = DatumGetInt64(row_plan_value(1, &isnull));
	/* only a trigger can have done that */
	if (isnull)
		version_column_raise_null(&update->version, row_name(update));
	return true;
}

/* Lock the row and return, if its version is the expected one. */
static void
lock_expected(const RowUpdate *update)
{
	Datum		value;
	bool		isnull;
	int64		present;

	if (!row_lock_value(update->table, update->key, update->version.number,
						&value, &isnull))
		row_not_found(update->table, update->key);
	if (isnull)
		version_column_raise_null(&update->version, row_name(update));
	present = version_column_read(&update->version, value);
	if (present != update->expected)
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_VERSION_CONFLICT),
				 errmsg("%s has changed", row_name(update)),
				 errdetail("Its version is %lld, %lld was expected.",
						   (long long) present, (long long) update->expected),
				 errhint("Read the row again and decide anew.")));
}

static int64
change_row(const RowUpdate *update)
{
	RowPlan    *plan = update_plan(update);
	int			nchanges = bms_num_members(update->columns);
	int			nparams = PARAM_CHANGES + nchanges;
	Datum	   *values = palloc0(sizeof(Datum) * nparams);
	bool	   *isnull = palloc0(sizeof(bool) * nparams);
	char	   *nulls = palloc0(nparams + 1);
	int64		version;

	values[PARAM_KEY] = update->key;
	values[PARAM_VERSION] = Int64GetDatum(update->expected);
	read_changes(plan->more, nchanges, update->changes,
				 values + PARAM_CHANGES, isnull + PARAM_CHANGES);
	for (int i = 0; i < nparams; i++)
		nulls[i] = isnull[i] ? 'n' : ' ';

	/* The same key in a child may have another version. */
	if (update->table->inherited)
		lock_expected(update);

	/* At the maximum the UPDATE would fail on it without naming the row. */
	if (update->expected < version_column_maximum(&update->version) &&
		try_update(update, plan, values, nulls, &version))
		return version;
	lock_expected(update);
	if (update->expected >= version_column_maximum(&update->version))
		version_column_raise_maximum(&update->version, row_name(update));
	if (!try_update(update, plan, values, nulls, &version))
		row_suppressed(update->table, update->key);
	return version;
}

PG_FUNCTION_INFO_V1(teller_row_update);

/*
 * teller.row_update(rel, id, expected_version, changes, version_col), and its
 * twin with a text id
 */
Datum
teller_row_update(PG_FUNCTION_ARGS)
{
	RowUpdate	update;
	int64		version;

	update.table = row_table_argument(fcinfo, 0, RowExclusiveLock,
									  &update.rel);
	row_refuse_rule(update.table, update.rel);
	update.key = row_key_argument(fcinfo, 1, update.table);
	input_require(fcinfo, 2, "expected_version");
	input_require(fcinfo, 3, "changes");
	input_require(fcinfo, 4, "version_col");
	update.expected = input_version(fcinfo, 2);
	update.changes = PG_GETARG_JSONB_P(3);
	version_column_find(update.rel, NameStr(*PG_GETARG_NAME(4)),
						&update.version);
	if (update.version.number == update.table->key_column)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("version_col must not be the primary key of table %s",
						update.table->name)));
	update.columns = changed_columns(&update);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	version = change_row(&update);
	SPI_finish();
	relation_close(update.rel, NoLock);
	PG_RETURN_INT64(version);
}
