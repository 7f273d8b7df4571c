/*-------------------------------------------------------------------------
 *
 * check.h
 *	  teller.check_server: is everything there that a withdrawal needs?
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_CHECK_H
#define TELLER_CHECK_H

#include "call.h"

/*
 * check_start: the worker's part, in a transaction: start the call that a
 * session asks for, if one does.
 */
extern void check_start(void);

/* Give the session what came of it. */
extern void check_answer(const CallResult *result);

#endif							/* TELLER_CHECK_H */
