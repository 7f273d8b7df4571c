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

#include "access/xact.h"
#include "miscadmin.h"

#include "input.h"
#include "keyed.h"

static bool
replay(const KeyedMovement *keyed, TupleDesc desc, Datum *values, bool *nulls)
{
	return keyed->key != NULL &&
		key_replay(keyed->ledger, keyed->key, &keyed->call, desc, values, nulls);
}

/*
 * A denial is told only if the key still has no answer.  False if a twin
 * stored the key first.
 */
static bool
tell_denial(const KeyedMovement *keyed, Movement *movement, TupleDesc desc,
			Datum *values, bool *nulls)
{
	Denial	   *denial = movement->denial;
	OnDenial	on_denial = denial->always_raised ? DENIAL_RAISE : keyed->on_denial;
	bool		done = true;

	if (on_denial != DENIAL_RAISE)
		keyed->result(movement, values, nulls);
	if (on_denial == DENIAL_RECORD)
		done = key_store_row(keyed->ledger, keyed->key, &keyed->call, desc,
							 values, nulls, movement->set->now);
	movement_close(movement);
	if (on_denial == DENIAL_RECORD)
		CommandCounterIncrement();
	else if (!replay(keyed, desc, values, nulls))
	{
		/* It may have been done, and forgotten since. */
		if (keyed->key != NULL && keyed->call.has_request_time)
			key_check_age(keyed->ledger, keyed->key, keyed->call.request_time);
		if (on_denial == DENIAL_RAISE)
			denial_raise(denial);
	}
	return done;
}

/* False if a twin stored the key first. */
static bool
run_once(const KeyedMovement *keyed, TupleDesc desc, Datum *values, bool *nulls)
{
	Movement   *movement = keyed->decide(keyed->request);
	bool		done = true;

	if (movement->denial != NULL)
		return tell_denial(keyed, movement, desc, values, nulls);
	keyed->result(movement, values, nulls);
	if (keyed->key != NULL)
		done = key_store_row(keyed->ledger, keyed->key, &keyed->call, desc,
							 values, nulls, movement->set->now);
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
	if (keyed->on_denial == DENIAL_RECORD && keyed->key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_denial => 'record' needs a key to record the denial under")));
	while (!replay(keyed, desc, values, nulls) &&
		   !run_once(keyed, desc, values, nulls))
		CHECK_FOR_INTERRUPTS();
	return input_result(fcinfo, values, nulls);
}
