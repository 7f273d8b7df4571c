/*-------------------------------------------------------------------------
 *
 * row_plan.h
 *	  Saved statements on a table of the user's own, run as the caller.
 *
 * The statements go through SPI, so that privileges, row security, triggers,
 * constraints, partitions and inheritance do what they would do for the same
 * statement written by hand.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_ROW_PLAN_H
#define TELLER_ROW_PLAN_H

#include "executor/spi.h"
#include "nodes/bitmapset.h"

#include "compat.h"
#include "row_table.h"

typedef enum RowStatement
{
	ROW_DEBIT,
	ROW_CREDIT,
	ROW_UPDATE,
	ROW_LOCK_VALUE,				/* lock the row, read one column */
	ROW_LOCK_KEY,				/* lock the row, waiting */
	ROW_LOCK_KEY_FREE,			/* lock the row, if nobody else has it */
	ROW_SEE_KEY					/* is there such a row? */
} RowStatement;

/* What tells a table's statements apart. */
typedef struct RowPlanKey
{
	RowStatement statement;
	int			variant;		/* a statement's own */
	AttrNumber	column;			/* a statement's own, or 0 */
	Bitmapset  *columns;		/* those assigned by ROW_UPDATE, or NULL */
} RowPlanKey;

typedef struct RowPlan
{
	RowPlanKey	key;
	Oid			role;			/* whose plan it is, if row security decides */
	SPIPlanPtr	plan;
	void	   *more;			/* a statement's own, in table->context */
} RowPlan;

/* The plan kept under this key for the current user, or NULL. */
extern RowPlan *row_plan_find(RowTable *table, const RowPlanKey *key);

/*
 * row_plan_save: prepare the statement and keep it.  Within SPI_connect.
 * What the statement names must be qualified.
 */
extern RowPlan *row_plan_save(RowTable *table, const RowPlanKey *key,
							  const char *sql, int ntypes, Oid *types);

/*
 * row_plan_for_key: the kept plan that finds the row with the key $1, with a
 * locking clause and what to do about waiting, each with its blank in front,
 * or "".
 */
extern RowPlan *row_plan_for_key(RowTable *table, RowStatement statement,
								 int variant, const char *clause,
								 const char *policy);

/*
 * row_plan_run: run it; the rows are in SPI_tuptable.  Within SPI_connect.
 * Returns the number of rows, and sees to it that they are the table's:
 * 40001 if its name was given to another one meanwhile.
 */
extern uint64 row_plan_run(RowTable *table, RowPlan *plan, Datum *values,
						   const char *nulls);

/* A column of the first row that row_plan_run left. */
extern Datum row_plan_value(int column, bool *isnull);

/*
 * row_changed_one: after an update that must have found one row.  Answers
 * false for none; 55000 if there were several, in inheritance children.
 */
extern bool row_changed_one(RowTable *table, Datum key, uint64 rows);

/*
 * row_lock_value: lock the newest version of the row FOR NO KEY UPDATE,
 * waiting, and read one column.  Within SPI_connect.  False if there is no
 * such row.
 */
extern bool row_lock_value(RowTable *table, Datum key, AttrNumber column,
						   Datum *value, bool *isnull);

/* TL009: the row does not exist, or is hidden by row security. */
pg_noreturn extern void row_not_found(RowTable *table, Datum key);

/* 55000: the row is there and fits, and yet the update changed nothing. */
pg_noreturn extern void row_suppressed(RowTable *table, Datum key);

#endif							/* TELLER_ROW_PLAN_H */
