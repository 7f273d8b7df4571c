/*-------------------------------------------------------------------------
 *
 * settlement.h
 *	  The account here that mirrors the money at a server.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_SETTLEMENT_H
#define TELLER_SETTLEMENT_H

#include "nodes/pg_list.h"

#include "server.h"

/* False if none is set. */
extern bool settlement_find(int64 ledger, const char *server, int64 *account);

/* settlement_require: the same; 55000 with the call that mends it. */
extern int64 settlement_require(int64 ledger, const char *server);

/* The names of the servers for which a ledger has one, as char *. */
extern List *settlement_servers(int64 ledger);

/*
 * server_require: a server of ours that the current user may use.  TL009,
 * 42501, 42809, 22023.
 */
extern Server *server_require(const char *name);

#endif							/* TELLER_SETTLEMENT_H */
