/*-------------------------------------------------------------------------
 *
 * row_plan.c
 *	  Saved statements on a table of the user's own, run as the caller.
 *
 * The plans are PostgreSQL's own saved plans: checked for privileges at each
 * run, and made anew when what they depend on changes.  Where row security is
 * enabled each role has plans of its own.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "compat.h"
#include "errcodes.h"
#include "row_plan.h"

/* More plans of one table than this, and it starts over. */
#define ROW_PLANS_MAX 64

/* A row is not replaced so often in a row while we wait for it. */
#define REPLACED_LOOKS 20

static Oid
row_plan_role(const RowTable *table)
{
	return table->row_security ? GetUserId() : InvalidOid;
}

RowPlan *
row_plan_find(RowTable *table, const RowPlanKey *key)
{
	Oid			role = row_plan_role(table);
	ListCell   *cell;

	foreach(cell, table->plans)
	{
		RowPlan    *plan = lfirst(cell);

		if (plan->key.statement == key->statement &&
			plan->key.variant == key->variant &&
			plan->key.column == key->column &&
			plan->role == role &&
			bms_equal(plan->key.columns, key->columns))
			return plan;
	}
	return NULL;
}

RowPlan *
row_plan_save(RowTable *table, const RowPlanKey *key, const char *sql,
			  int ntypes, Oid *types)
{
	SPIPlanPtr	prepared = SPI_prepare(sql, ntypes, types);
	MemoryContext old;
	RowPlan    *plan;

	if (prepared == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));

	/* A plan that a call up the stack is using goes with its table only. */
	if (list_length(table->plans) >= ROW_PLANS_MAX)
		table->valid = false;
	SPI_keepplan(prepared);
	old = MemoryContextSwitchTo(table->context);
	plan = palloc0(sizeof(RowPlan));
	plan->plan = prepared;
	plan->key = *key;
	plan->key.columns = bms_copy(key->columns);
	plan->role = row_plan_role(table);
	table->plans = lcons(plan, table->plans);
	table->saved = lcons(prepared, table->saved);
	MemoryContextSwitchTo(old);
	return plan;
}

RowPlan *
row_plan_for_key(RowTable *table, RowStatement statement, int variant,
				 const char *clause, const char *policy)
{
	RowPlanKey	wanted = {statement, variant, 0, NULL};
	RowPlan    *plan = row_plan_find(table, &wanted);
	char	   *sql;

	if (plan != NULL)
		return plan;
	sql = psprintf("SELECT FROM %s WHERE %s %s $1%s%s", table->name,
				   table->key_name, table->key_equals, clause, policy);
	return row_plan_save(table, &wanted, sql, 1, &table->key_type);
}

/*
 * A schema can be renamed under a statement that is being run, and its name
 * given to another one: the names are looked up again.
 */
static void
row_check_same_table(RowTable *table, RowPlan *plan)
{
	ListCell   *cell;

	foreach(cell, SPI_plan_get_plan_sources(plan->plan))
		if (list_member_oid(((CachedPlanSource *) lfirst(cell))->relationOids,
							table->relid))
			return;
	table->valid = false;
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("table %s was renamed during the call", table->name)));
}

uint64
row_plan_run(RowTable *table, RowPlan *plan, Datum *values, const char *nulls)
{
	int			result = SPI_execute_plan(plan->plan, values, nulls, false, 0);

	if (result < 0)
		elog(ERROR, "statement on table %s failed: %s", table->name,
			 SPI_result_code_string(result));
	row_check_same_table(table, plan);
	return SPI_processed;
}

Datum
row_plan_value(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column,
						 isnull);
}

bool
row_changed_one(RowTable *table, Datum key, uint64 rows)
{
	if (rows > 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("row %s of table %s is there %llu times",
						row_key_text(table, key), table->name,
						(unsigned long long) rows),
				 errdetail("The primary key does not cover the tables that inherit from this one.")));
	return rows == 1;
}

bool
row_lock_value(RowTable *table, Datum key, AttrNumber column, Datum *value,
			   bool *isnull)
{
	RowPlanKey	wanted = {ROW_LOCK_VALUE, 0, column, NULL};
	RowPlan    *plan = row_plan_find(table, &wanted);
	uint64		rows = 0;

	if (plan == NULL)
	{
		char	   *name = get_attname(table->relid, column, false);
		char	   *sql = psprintf("SELECT %s FROM %s WHERE %s %s $1 FOR NO KEY UPDATE",
								   quote_identifier(name), table->name,
								   table->key_name, table->key_equals);

		plan = row_plan_save(table, &wanted, sql, 1, &table->key_type);
	}
	/*
	 * Who waited for a row to go does not see one that came under the same
	 * key meanwhile: look again, but not for ever for a row that row security
	 * shows and does not let lock.
	 */
	for (int looks = 0; looks < REPLACED_LOOKS; looks++)
	{
		rows = row_plan_run(table, plan, &key, NULL);
		if (rows > 0 ||
			row_plan_run(table, row_plan_for_key(table, ROW_SEE_KEY, 0, "", ""),
						 &key, NULL) == 0)
			break;
		CHECK_FOR_INTERRUPTS();
	}
	if (!row_changed_one(table, key, rows))
		return false;
	*value = row_plan_value(1, isnull);
	return true;
}

void
row_not_found(RowTable *table, Datum key)
{
	ereport(ERROR,
			(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
			 errmsg("row %s of table %s does not exist",
					row_key_text(table, key), table->name)));
}

void
row_suppressed(RowTable *table, Datum key)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("row %s of table %s was not changed",
					row_key_text(table, key), table->name),
			 errdetail("A trigger of the table suppressed the update.")));
}
