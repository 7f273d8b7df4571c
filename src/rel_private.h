/*-------------------------------------------------------------------------
 *
 * rel_private.h
 *	  What rel.c, rel_write.c and rel_bulk.c share: the plan of a table.
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
	IndexInfo  *info;			/* how entries are formed, or NULL: odd */
	ExprState  *predicate;		/* NULL unless the index is partial */
	RegProcedure equal[REL_MAX_KEYS];	/* to look entries up */
} RelIndex;

typedef struct RelPlan
{
	Oid			oid;
	bool		stale;
	MemoryContext context;		/* holds all of it */
	TupleDesc	desc;			/* a copy that nobody counts references to */
	EState	   *estate;			/* evaluates predicates and checks */
	int			primary;		/* position of the primary key in indexes */
	int			nindexes;
	RelIndex   *indexes;
	int			nchecks;
	ExprState **checks;
	const char **check_names;
	Bitmapset **check_columns;	/* what each tests; NULL: test it always */
} RelPlan;

/* The index at a position of the plan, opened once for the call. */
extern Relation rel_index(Rel *rel, int i);

/* A scan of the index at that position by a prefix of its columns. */
extern IndexScanDesc rel_begin_index_scan(Rel *rel, int which,
										  Snapshot snapshot, int nkeys,
										  const Datum *keys);

/*
 * The next row that the scan's snapshot sees, as index_getnext_slot.  It
 * prunes the pages that it comes by only when they are nearly full.
 */
extern bool rel_next_version(IndexScanDesc scan, TupleTableSlot *slot);

/* The same scan again, with other keys. */
extern void rel_index_rescan(Rel *rel, int which, IndexScanDesc scan,
							 int nkeys, const Datum *keys);

/*
 * Put a row into a slot of its table, and test its constraints.  replace tells
 * which columns of a row are new; NULL: all are.
 */
extern void rel_store_row(Rel *rel, TupleTableSlot *slot, const Datum *values,
						  const bool *nulls, const bool *replace);

/* Entries of these rows in an odd index, at that position of the plan. */
extern void rel_insert_odd(Rel *rel, int which, TupleTableSlot **slots,
						   int count);

#endif							/* TELLER_REL_PRIVATE_H */
