/*-------------------------------------------------------------------------
 *
 * row_table.h
 *	  What a backend remembers of a table of the user's own.
 *
 * Layer 1 works on any table with a primary key of one column.  What it has
 * to know of the table is looked up once and kept until the relation cache
 * says that the table, or the name of a schema, has changed.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_ROW_TABLE_H
#define TELLER_ROW_TABLE_H

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

/* How a value of another type becomes one of the key's type. */
typedef enum RowRead
{
	ROW_READ_AS_IS,
	ROW_READ_CAST,				/* by an implicit cast's function */
	ROW_READ_INPUT				/* a text, by the key type's input function */
} RowRead;

typedef struct RowReader
{
	Oid			type;			/* what is read; InvalidOid: not set up */
	RowRead		how;
	FmgrInfo	function;		/* unless ROW_READ_AS_IS */
	Oid			ioparam;		/* for an input function */
} RowReader;

typedef struct RowTable
{
	Oid			relid;
	char	   *name;			/* qualified and quoted: for SQL and messages */
	bool		plain;			/* all its rows are in its own heap */
	bool		inherited;		/* others inherit from it, with its keys or not */
	bool		row_security;	/* enabled, for whoever it is enforced on */

	Oid			key_index;		/* of the primary key */
	AttrNumber	key_column;
	char	   *key_name;		/* quoted */
	char	   *key_equals;		/* OPERATOR(schema.=), of the index */
	Oid			key_type;		/* the column's, or what its domain is over */
	int16		key_length;
	bool		key_by_value;
	Oid			key_collation;
	FmgrInfo	key_compare;	/* btree order of key_type */
	FmgrInfo	key_output;
	RowReader	key_reader;		/* of the type last passed as id */

	List	   *plans;			/* row_plan.c's, the latest first */
	List	   *saved;			/* what SPI keeps for them */
	MemoryContext context;		/* of all that */
	bool		valid;			/* else forgotten at the next call */
	int64		forgotten_at;	/* start of that call's transaction */
	struct RowTable *next_forgotten;
} RowTable;

/*
 * row_table_open: lock the table in the given mode until the transaction
 * ends and return what is known of it; *rel is to be closed with NoLock.
 * The RowTable stays readable until the calling function returns, even if
 * the table changes meanwhile.
 * Errors: 42501 no USAGE on its schema; 42P01 no such table; 42809 a view, sequence, index, foreign or
 * other table; 42501 a system catalog or a table of pg_teller; 0A000 another
 * session's temporary table; 55000 no primary key of one column that is valid
 * and not deferrable.
 */
extern RowTable *row_table_open(Oid relid, LOCKMODE mode, Relation *rel);

/*
 * The argument rel: 22004 if it is NULL, 55000 if library and SQL objects do
 * not fit together, else row_table_open.
 */
extern RowTable *row_table_argument(FunctionCallInfo fcinfo, int arg,
									LOCKMODE mode, Relation *rel);

/* 0A000 if a rule that fires does something else than an update. */
extern void row_refuse_rule(const RowTable *table, Relation rel);

/*
 * row_column: the number of a column of the table by its name, an ordinary
 * one that may be assigned to.  Errors: 42703 no such column; 0A000 a system
 * column; 428C9 a generated one.
 */
extern AttrNumber row_column(Relation rel, const char *name);

/*
 * row_key_read: an id as the caller passed it, of the given type, as a value
 * of the key's type.  Text, varchar and name are read by the key type's input
 * function.  Errors: 42804 a type that does not cast implicitly; 22P02 and
 * others of the input function.
 */
extern Datum row_key_read(RowTable *table, Oid type, Datum id);

/*
 * row_key_argument: the argument id of a function or of its text twin, not
 * NULL (22004), as a value of the key's type.
 */
extern Datum row_key_argument(FunctionCallInfo fcinfo, int arg,
							  RowTable *table);

/* The key as text, for a message. */
extern char *row_key_text(RowTable *table, Datum key);

/* The order of the key's type: below, at or above zero. */
extern int	row_key_compare(RowTable *table, Datum a, Datum b);

#endif							/* TELLER_ROW_TABLE_H */
