/*-------------------------------------------------------------------------
 *
 * pull.h
 *	  Servers whose operations an application carries out itself: what
 *	  pull.c (claim) and pull_answer.c (complete and the rest) share.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_PULL_H
#define TELLER_PULL_H

#include "fmgr.h"

#include "server.h"

/*
 * pull_server: the server of this name.  TL009 if there is none, 42501
 * without USAGE, 42809 if it is not of wrapper teller_pull.
 */
extern Server *pull_server(const char *name);

/* The argument "lease" in microseconds: 1 s to 1 h, else 22023 or 22004. */
extern int64 pull_lease_us(FunctionCallInfo fcinfo, int arg);

#endif							/* TELLER_PULL_H */
