/*-------------------------------------------------------------------------
 *
 * keyed.c
 *	  A movement called from SQL, once for each key.
 *
 * The key is looked at three times.  Before the locks, where a repeat is
 * answered without touching an account.  Before a denial, because the twin
 * that just took the last money may have been this very call.  And last by
 * the unique index, when the answer is stored: whoever loses there has
 * written nothing yet and starts again.
 *
 * A call waits for a twin's transaction while it holds account locks only if
 * the twin has all its own locks already, so the wait cannot be a deadlock.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "input.h"
#include "keyed.h"

static bool
replay(const KeyedMovement *keyed, TupleDesc desc, Datum *values, bool *nulls)
{
	return keyed->key != NULL &&
		key_replay(keyed->ledger, keyed->key, &keyed->call, desc, values, nulls);
}

/* False if a twin stored the key first. */
static bool
run_once(const KeyedMovement *keyed, TupleDesc desc, Datum *values, bool *nulls)
{
	Movement   *movement = keyed->decide(keyed->request);
	bool		done = true;

	keyed->result(movement, values, nulls);
	if (movement->denial != NULL)
	{
		Denial	   *denial = movement->denial;

		movement_close(movement);
		if (!replay(keyed, desc, values, nulls) && !keyed->returns_denial)
			denial_raise(denial);
		return true;
	}
	if (keyed->key != NULL)
		done = key_store(keyed->ledger, keyed->key, &keyed->call, desc, values,
						 nulls, movement->set->now);
	if (done)
		movement_write(movement);
	movement_close(movement);
	return done;
}

Datum
keyed_run(FunctionCallInfo fcinfo, const KeyedMovement *keyed)
{
	TupleDesc	desc = input_result_desc(fcinfo);
	Datum		values[KEYED_MAX_COLUMNS] = {0};
	bool		nulls[KEYED_MAX_COLUMNS] = {0};

	Assert(desc->natts <= KEYED_MAX_COLUMNS);
	while (!replay(keyed, desc, values, nulls) &&
		   !run_once(keyed, desc, values, nulls))
		CHECK_FOR_INTERRUPTS();
	return input_result(fcinfo, values, nulls);
}
