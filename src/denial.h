/*-------------------------------------------------------------------------
 *
 * denial.h
 *	  A business refusal: not enough money, a limit, a frozen account.
 *
 * A denial is a value, so that the caller of a movement chooses what becomes
 * of it: an error, a row with status 'denied', or a stored rejection.  It is
 * made before anything is written.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_DENIAL_H
#define TELLER_DENIAL_H

#include "compat.h"

typedef struct Denial
{
	int			sqlstate;		/* one of errcodes.h */
	char	   *message;
	char	   *detail;			/* NULL if there is none */
	char	   *hint;			/* NULL if there is none */
	bool		always_raised;	/* bad input rather than business */
} Denial;

/* All texts are psprintf'd by the caller. */
extern Denial *denial_make(int sqlstate, char *message, char *detail,
						   char *hint);

/* The SQLSTATE's name: insufficient_funds and so on. */
extern const char *denial_reason(const Denial *denial);

/* The SQLSTATE of such a name. */
extern int	denial_sqlstate(const char *reason);

pg_noreturn extern void denial_raise(const Denial *denial);

#endif							/* TELLER_DENIAL_H */
