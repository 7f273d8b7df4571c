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

#include "clock.h"
#include "hold_row.h"
#include "movement.h"

Movement *
movement_begin(int64 ledger, const int64 *accounts, int count)
{
	Movement   *movement = palloc0(sizeof(Movement));

	movement->set = account_set_lock(ledger, accounts, count);
	return movement;
}

static void
step_side(JournalSide *side, Account *account, bool touch, bool debit_side)
{
	side->account = account->id;
	side->touched = touch;
	if (!touch)
		return;
	account_step(account);
	side->version = account->version;
	side->posted = account->posted;
	side->pending = debit_side ? account->pending_debit : account->pending_credit;
}

JournalRow *
movement_add(Movement *movement, const char *kind, Amount amount,
			 bool touch_credit)
{
	JournalRow *row = &movement->rows[movement->nrows++];
	pg_uuid_t  *id = clock_new_id();

	Assert(movement->nrows <= lengthof(movement->rows));
	memset(row, 0, sizeof(JournalRow));
	row->ledger = movement->set->ledger;
	row->id = *id;
	row->kind = kind;
	step_side(&row->debit, movement->debit, true, true);
	step_side(&row->credit, movement->credit, touch_credit, false);
	row->amount = amount;
	row->scale = movement->scale;
	row->recorded_at = movement->set->now;
	row->effective_at = movement->set->now;
	pfree(id);
	return row;
}

void
movement_write(Movement *movement)
{
	Assert(movement->denial == NULL);
	if (movement->hold != NULL)
		hold_write(movement->hold);
	account_set_write(movement->set);
	for (int i = 0; i < movement->nrows; i++)
		journal_write(&movement->rows[i]);

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
