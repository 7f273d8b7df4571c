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
replay(const KeyedMovement *keyed, KeyedAnswer *answer)
{
	return keyed->key != NULL &&
		key_replay(keyed->ledger, keyed->key, &keyed->call, answer->desc,
				   answer->values, answer->nulls);
}

static bool
store(const KeyedMovement *keyed, const KeyedAnswer *answer, TimestampTz now)
{
	return key_store_row(keyed->ledger, keyed->key, &keyed->call, answer->desc,
						 answer->values, answer->nulls, now);
}

/*
 * A denial is told only if the key still has no answer.  False if a twin
 * stored the key first.
 */
static bool
tell_denial(const KeyedMovement *keyed, Movement *movement,
			KeyedAnswer *answer)
{
	Denial	   *denial = movement->denial;
	OnDenial	on_denial = denial->always_raised ? DENIAL_RAISE : keyed->on_denial;
	bool		done = true;

	if (on_denial != DENIAL_RAISE)
		keyed->result(movement, answer->values, answer->nulls);
	if (on_denial == DENIAL_RECORD)
		done = store(keyed, answer, movement->set->now);
	movement_close(movement);
	if (on_denial == DENIAL_RECORD)
		CommandCounterIncrement();
	else if (!replay(keyed, answer))
	{
		/* It may have been done, and forgotten since. */
		if (keyed->key != NULL && keyed->call.has_request_time)
			key_check_age(keyed->ledger, keyed->key, keyed->call.request_time);
		if (on_denial == DENIAL_RAISE)
			answer->raise = denial;
	}
	return done;
}

/* False if a twin stored the key first. */
static bool
run_once(const KeyedMovement *keyed, KeyedAnswer *answer)
{
	Movement   *movement = keyed->decide(keyed->request);
	bool		done = true;

	if (movement->denial != NULL)
		return tell_denial(keyed, movement, answer);
	keyed->result(movement, answer->values, answer->nulls);
	if (keyed->key != NULL)
		done = store(keyed, answer, movement->set->now);
	if (done)
		movement_write(movement);
	movement_close(movement);
	return done;
}

void
keyed_answer(const KeyedMovement *keyed, KeyedAnswer *answer)
{
	Assert(answer->desc->natts <= KEYED_MAX_COLUMNS);
	if (keyed->on_denial == DENIAL_RECORD && keyed->key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_denial => 'record' needs a key to record the denial under")));
	while (!replay(keyed, answer) && !run_once(keyed, answer))
		CHECK_FOR_INTERRUPTS();
}

Datum
keyed_run(FunctionCallInfo fcinfo, const KeyedMovement *keyed)
{
	KeyedAnswer answer = {0};

	answer.desc = input_result_desc(fcinfo);
	keyed_answer(keyed, &answer);
	if (answer.raise != NULL)
		denial_raise(answer.raise);
	return input_result(fcinfo, answer.values, answer.nulls);
}
