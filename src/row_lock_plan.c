/*-------------------------------------------------------------------------
 *
 * row_lock_plan.c
 *	  Lock a row of a table of the user's own by saved statements, which do
 *	  what is right for partitions, inheritance and row security.
 *
 * SELECT ... FOR UPDATE and its kind answer no row in three cases: there is
 * none, somebody has it (SKIP LOCKED), or it was replaced while it was waited
 * for.  A plain SELECT with a fresh snapshot tells the first from the others.
 *
 * Row security adds a fourth: the caller may read the row but not update it.
 * Such a row counts as missing.  To tell it from a row that somebody has, the
 * statement runs with NOWAIT in a subtransaction: no row then means hidden.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "compat.h"
#include "row_lock.h"
#include "row_plan.h"

/*
 * A row replaced in the instant between a statement's snapshot and its lock
 * looks hidden, too.  It cannot be unlucky so many times in a row.
 */
#define HIDDEN_LOOKS 3

struct RowLockPlan
{
	RowTable   *table;
	bool		hides;			/* row security is enforced */
	RowPlan    *block;
	RowPlan    *skip;
	RowPlan    *nowait;			/* NULL unless row security is enforced */
	RowPlan    *see;
};

/* The variant of a locking statement is its strength, and this with NOWAIT. */
#define VARIANT_NOWAIT 16

static const char *
row_lock_clause(LockTupleMode strength)
{
	switch (strength)
	{
		case LockTupleExclusive:
			return " FOR UPDATE";
		case LockTupleNoKeyExclusive:
			return " FOR NO KEY UPDATE";
		case LockTupleShare:
			return " FOR SHARE";
		case LockTupleKeyShare:
			return " FOR KEY SHARE";
	}
	pg_unreachable();
}

RowLockPlan *
row_lock_plan_begin(RowTable *table, LockTupleMode strength, bool hides)
{
	RowLockPlan *way = palloc0(sizeof(RowLockPlan));
	const char *clause = row_lock_clause(strength);

	way->table = table;
	way->hides = hides;
	way->block = row_plan_for_key(table, ROW_LOCK_KEY, strength, clause, "");
	way->skip = row_plan_for_key(table, ROW_LOCK_KEY_FREE, strength, clause,
								   " SKIP LOCKED");
	if (hides)
		way->nowait = row_plan_for_key(table, ROW_LOCK_KEY_FREE,
										 VARIANT_NOWAIT + strength, clause,
										 " NOWAIT");
	way->see = row_plan_for_key(table, ROW_SEE_KEY, 0, "", "");
	return way;
}

/* True if the statement found a row, or several in inheritance children. */
static bool
row_lock_run(RowLockPlan *way, RowPlan *plan, Datum key)
{
	uint64		rows = row_plan_run(way->table, plan, &key, NULL);

	SPI_freetuptable(SPI_tuptable);
	return rows > 0;
}

/* Lock the row, or find out whether it is taken or hidden. */
static RowLockAnswer
row_lock_ask(RowLockPlan *way, Datum key)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile RowLockAnswer answer = ROW_TAKEN;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		answer = row_lock_run(way, way->nowait, key) ?
			ROW_LOCKED : ROW_MISSING;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			ReThrowError(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return answer;
}

RowLockAnswer
row_lock_plan_row(RowLockPlan *way, Datum key, bool wait)
{
	int			hidden = 0;

	while (!row_lock_run(way, wait ? way->block : way->skip, key))
	{
		RowLockAnswer answer = ROW_TAKEN;

		CHECK_FOR_INTERRUPTS();
		if (!row_lock_run(way, way->see, key))
			return ROW_MISSING;
		if (way->hides)
			answer = row_lock_ask(way, key);
		switch (answer)
		{
			case ROW_LOCKED:
				return ROW_LOCKED;
			case ROW_TAKEN:
				if (!wait)
					return ROW_TAKEN;
				break;
			case ROW_MISSING:
				if (++hidden == HIDDEN_LOOKS)
					return ROW_MISSING;
				break;
		}
	}
	return ROW_LOCKED;
}
