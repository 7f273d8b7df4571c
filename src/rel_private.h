/*-------------------------------------------------------------------------
 *
 * rel_private.h
 *	  What rel.c and rel_write.c share: the plan of a table.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_REL_PRIVATE_H
#define TELLER_REL_PRIVATE_H

#include "nodes/execnodes.h"

#include "rel.h"

#define REL_MAX_KEYS 4

/* One index of a table. */
typedef struct RelIndex
{
	Oid			oid;
	const char *name;
	bool		odd;			/* not a B-tree, or over expressions */
	IndexInfo  *info;			/* how entries are formed; NULL if odd */
	ExprState  *predicate;		/* NULL unless the index is partial */
	RegProcedure equal[REL_MAX_KEYS];	/* to look entries up */
} RelIndex;

typedef struct RelPlan
{
	Oid			oid;
	bool		stale;
	MemoryContext context;		/* holds all of it */
	EState	   *estate;			/* evaluates predicates and checks */
	int			primary;		/* position of the primary key in indexes */
	int			nindexes;
	RelIndex   *indexes;
	int			nchecks;
	ExprState **checks;
	const char **check_names;
} RelPlan;

/* The index at a position of the plan, opened once for the call. */
extern Relation rel_index(Rel *rel, int i);

#endif							/* TELLER_REL_PRIVATE_H */
