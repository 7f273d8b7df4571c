/*-------------------------------------------------------------------------
 *
 * access.h
 *	  Who may do what on a ledger, and work done as the extension's owner.
 *
 * Functions run as the caller.  They ask here whether the current user may
 * act on the ledger, then reach the tables directly (rel.h) or, off the hot
 * path, by SQL as the owner of the extension.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_ACCESS_H
#define TELLER_ACCESS_H

#include "executor/spi.h"

/* Each level includes those before it. */
typedef enum AccessLevel
{
	ACCESS_READ,				/* balances, history, verify */
	ACCESS_POST,				/* movements and holds */
	ACCESS_OPERATE				/* external operations */
} AccessLevel;

/* The owner of the extension, and whether the current user is a member. */
extern Oid	access_owner(void);
extern bool access_is_owner(void);

/* 42501 unless the current user may; the same whether or not it exists. */
extern void access_require(int64 ledger, AccessLevel level);
extern void access_require_owner(const char *what);
extern bool access_allowed(int64 ledger, AccessLevel level);

/*
 * Work as the owner: user id, search_path and SPI are switched from
 * owner_begin to owner_end.  An error in between undoes all three.  55000 if
 * library and SQL objects do not fit together.
 */
typedef struct OwnerScope
{
	Oid			user;
	int			context;
	int			guc_level;
} OwnerScope;

extern void owner_begin(OwnerScope *scope);
extern void owner_end(OwnerScope *scope);

/*
 * owner_execute: one statement with parameters, within an OwnerScope.
 * types: a letter for each argument: i bigint, 4 integer, t text, n numeric,
 * b boolean, u uuid, y bytea, j jsonb, J json, z timestamptz, v interval,
 * o oid, N name, r regrole.  nulls: as SPI wants them, or NULL.  Returns the
 * number of rows; they are in SPI_tuptable.
 */
extern uint64 owner_execute(const char *sql, const char *types,
							const Datum *values, const char *nulls,
							bool read_only);

/* A column of the first row of the last owner_execute. */
extern Datum owner_value(int column, bool *isnull);

#endif							/* TELLER_ACCESS_H */
