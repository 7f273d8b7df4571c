/*-------------------------------------------------------------------------
 *
 * movement.c
 *	  A movement: decided on locked accounts, then written.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"

#include "clock.h"
#include "hold_row.h"
#include "movement.h"

Movement *
movement_begin(int64 ledger, const int64 *accounts, int count)
{
	Movement   *movement = palloc(sizeof(Movement));

	movement_init(movement, account_set_lock(ledger, accounts, count),
				  lengthof(movement->few));
	return movement;
}

Movement *
movement_begin_alone(int64 ledger, const int64 *accounts, int count)
{
	Movement   *movement = palloc(sizeof(Movement));

	movement_init(movement,
				  account_set_lock_as(ledger, accounts, count, ACCOUNT_ALONE),
				  lengthof(movement->few));
	return movement;
}

void
movement_init(Movement *movement, AccountSet *set, int max_rows)
{
	memset(movement, 0, sizeof(Movement));
	movement->set = set;
	movement->rows = movement->few;
	movement->max_rows = lengthof(movement->few);
	if (max_rows > movement->max_rows)
	{
		movement->rows = palloc(sizeof(JournalRow) * max_rows);
		movement->max_rows = max_rows;
	}
}

static void
step_side(JournalSide *side, Account *account, bool touch, bool debit_side)
{
	side->account = account->id;
	side->touched = touch;
	if (!touch)
		return;
	account_step(account);
	side->has_epoch = account->has_epoch;
	side->epoch = account->epoch;
	side->hot = account->use >= 0;
	if (side->hot)
		return;
	side->version = account->version;
	side->posted = account->posted;
	side->pending = debit_side ? account->pending_debit : account->pending_credit;
}

JournalRow *
movement_add(Movement *movement, const char *kind, Amount amount,
			 bool touch_credit)
{
	JournalRow *row = &movement->rows[movement->nrows++];

	if (movement->nrows > movement->max_rows)
		elog(ERROR, "movement has more than %d rows", movement->max_rows);
	memset(row, 0, sizeof(JournalRow));
	row->ledger = movement->set->ledger;
	if (movement->batch_id != NULL)
		clock_batch_member(&row->id, movement->batch_id, movement->nrows);
	else
		row->id = *clock_new_id();
	row->batch_id = movement->batch_id;
	row->kind = kind;
	step_side(&row->debit, movement->debit, true, true);
	step_side(&row->credit, movement->credit, touch_credit, false);
	row->amount = amount;
	row->scale = movement->scale;
	row->recorded_at = movement->set->now;
	row->effective_at = movement->set->now;
	return row;
}

JournalRow *
movement_post(Movement *movement, const char *kind, Amount amount)
{
	movement->debit->posted = amount_subtract(movement->debit->posted, amount);

	/* What is available is shown, so it must stay in range too. */
	(void) amount_subtract(movement->debit->posted,
						   movement->debit->pending_debit);
	movement->credit->posted = amount_add(movement->credit->posted, amount);
	return movement_add(movement, kind, amount, true);
}

void
movement_write(Movement *movement)
{
	Assert(movement->denial == NULL);
	if (movement->hold != NULL)
		hold_write(movement->hold);
	account_set_write(movement->set);
	journal_write(movement->rows, movement->nrows);

	/* The same statement may call again: it must not meet its own updates. */
	CommandCounterIncrement();
}

void
movement_close(Movement *movement)
{
	if (movement->hold != NULL)
		hold_close(movement->hold);
	account_set_close(movement->set);
}

void
movement_await_others(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, rel_oid(REL_ACCOUNT));
	WaitForLockers(tag, ShareLock, false);
}
