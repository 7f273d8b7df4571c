/*-------------------------------------------------------------------------
 *
 * adopt.h
 *	  Carry on after a restore, promotion or move.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_ADOPT_H
#define TELLER_ADOPT_H

/*
 * adopt: what teller.adopt_instance() does, for whoever may.  Returns the
 * number of operations put in doubt.
 */
extern int64 adopt(void);

#endif							/* TELLER_ADOPT_H */
