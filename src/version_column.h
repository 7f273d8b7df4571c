/*-------------------------------------------------------------------------
 *
 * version_column.h
 *	  The column of a user's table that counts the changes of each row.
 *
 * It is a smallint, integer or bigint, or a domain over one.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_VERSION_COLUMN_H
#define TELLER_VERSION_COLUMN_H

#include "utils/relcache.h"

#include "compat.h"

typedef struct VersionColumn
{
	AttrNumber	number;
	Oid			type;			/* as declared, maybe a domain */
	Oid			base;			/* INT2OID, INT4OID or INT8OID */
	char	   *name;
} VersionColumn;

/*
 * version_column_find: look the column up by its name.  Errors: those of
 * row_column; 42804 another type.
 */
extern void version_column_find(Relation rel, const char *name,
								VersionColumn *column);

/* The greatest version that the column holds. */
extern int64 version_column_maximum(const VersionColumn *column);

/* A value of the column as a version. */
extern int64 version_column_read(const VersionColumn *column, Datum value);

/*
 * version_column_make: a version, not above the maximum, as a value of the
 * column.  Errors: 23514 and others of a domain's constraints.
 */
extern Datum version_column_make(const VersionColumn *column, int64 version);

/*
 * version_column_raise_null, version_column_raise_maximum: 55000 and 22003.
 * row is how a message calls the row.
 */
pg_noreturn extern void version_column_raise_null(const VersionColumn *column,
												  const char *row);
pg_noreturn extern void version_column_raise_maximum(const VersionColumn *column,
													 const char *row);

#endif							/* TELLER_VERSION_COLUMN_H */
