/*-------------------------------------------------------------------------
 *
 * hot_gate.h
 *	  Hot accounts: who uses one, or has it for himself.
 *
 * Stands in the place of a row's lock.  Whoever must wait waits for the end
 * of one transaction, never in a queue: the search for deadlocks takes time
 * exponential in how many shared and exclusive requests stand in queues, and
 * meanwhile nobody in the whole server gets a lock (deadlock.c, "soft edges").
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_HOT_GATE_H
#define TELLER_HOT_GATE_H

#include "hot_entry.h"

/*
 * hot_gate_look: wait while another has the account alone, or is next; a guest
 * does not wait.  Returns the number of the turn: another one begins whenever
 * somebody has been alone.  What the account's row says is to be read after
 * it.
 */
extern uint64 hot_gate_look(const HotKey *key);

/*
 * hot_gate_enter: become a guest of the account, or (alone) the only one;
 * until the transaction ends, or a rollback to a savepoint that is older.
 * Alone waits for all guests there are, and nobody comes in meanwhile; only a
 * guest who wants to be alone too goes before.  False, and nothing is done, if
 * the turn is over: look again.  Who waits for a guest waits until his
 * transaction ends; so nobody becomes one to leave again.
 */
extern bool hot_gate_enter(const HotKey *key, bool alone, uint64 turn);

/*
 * hot_gate_note_fold: we have the account alone, and all that the journal has
 * of it is in the row.  hot_gate_committed: so it is; before what the
 * transaction did afterwards counts.
 */
extern void hot_gate_note_fold(const HotKey *key);
extern void hot_gate_committed(void);

/* The entry of an account that this transaction has looked at. */
extern HotEntry *hot_gate_entry(const HotKey *key);

/* True if this transaction has looked at any. */
extern bool hot_gate_is_used(void);

/*
 * hot_gate_end: what was entered at this level of savepoints or below it has
 * ended; 0: all.  hot_gate_keep: it belongs to the level above.
 */
extern void hot_gate_end(int level);
extern void hot_gate_keep(int level);

#endif							/* TELLER_HOT_GATE_H */
