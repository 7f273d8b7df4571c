/*-------------------------------------------------------------------------
 *
 * version.h
 *	  Do the library and the SQL objects of this database fit together?
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_VERSION_H
#define TELLER_VERSION_H

/* Of pg_teller.c: what the control file said when the library was built. */
extern const char teller_library_version[];

/* The row of pg_extension. */
typedef struct ExtensionInfo
{
	Oid			oid;
	Oid			owner;
	char		version[64];
} ExtensionInfo;

/* False if this database has no pg_teller.  In a transaction; no lock. */
extern bool extension_lookup(ExtensionInfo *info);

/* Can this library work with SQL objects of that version? */
extern bool version_is_known(const char *version);

/* What to do about SQL objects of that version; for errhint. */
extern const char *version_hint(const char *version);

/*
 * version_require: 55000 if the extension in this database has a version that
 * this library does not know.  In a transaction; no lock that is kept.  Costs
 * nothing while no table of ours and no function of the database changes.
 */
extern void version_require(void);

#endif							/* TELLER_VERSION_H */
