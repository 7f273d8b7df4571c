/*-------------------------------------------------------------------------
 *
 * backlog.h
 *	  How many operations are open, and whether one more may come.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_BACKLOG_H
#define TELLER_BACKLOG_H

#include "compat.h"

/*
 * backlog_wait: return when there is room for one more operation, in the
 * database and on the account; TL011 if there is none within
 * teller.submit_wait.  To be called before anything is locked.  At REPEATABLE
 * READ and above nothing new would be seen, and it does not wait.
 */
extern void backlog_wait(int64 ledger, int64 account);

/*
 * The same for the account alone, whose lock is held: false if it is full.
 * *none: it is known that the account has no open operation.
 */
extern bool backlog_has_room(int64 ledger, int64 account, bool *none);
pg_noreturn extern void backlog_raise_full(int64 ledger, int64 account);

/* One operation more, or one less, once this transaction has committed. */
extern void backlog_note_begun(void);
extern void backlog_note_ended(void);

/*
 * For the worker, which counts the rows now and then: backlog_number before,
 * backlog_counted with that number and with the count after.
 */
extern int64 backlog_number(void);
extern void backlog_counted(int64 before, int64 count);

#endif							/* TELLER_BACKLOG_H */
