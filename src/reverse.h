/*-------------------------------------------------------------------------
 *
 * reverse.h
 *	  What a reversal may undo.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_REVERSE_H
#define TELLER_REVERSE_H

#include "journal.h"

/*
 * reverse_check: 55000 unless the row moved money by a user's call: a transfer
 * or a capture, not a hold, a reversal or an operation's.
 */
extern void reverse_check(const JournalRow *row);

/*
 * reverse_remaining: what is not reversed yet.  Its accounts must be locked,
 * so that no other reversal is running.
 */
extern Amount reverse_remaining(const JournalRow *row);

#endif							/* TELLER_REVERSE_H */
