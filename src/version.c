/*-------------------------------------------------------------------------
 *
 * version.c
 *	  Do the library and the SQL objects of this database fit together?
 *
 * They are replaced at different times: the library by a restart of the
 * server (without preload: by each new session), the SQL objects by ALTER
 * EXTENSION UPDATE.  In between they may differ in what a column or an
 * argument means, so every call is refused, and the worker rests.
 *
 * A backend looks at pg_extension when it first needs to know, and again
 * after any table or function of the database was changed.  An update
 * that does neither leaves the objects as this library knows them.  What was
 * refused is looked at again by the next call: an update ends it at once.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "version.h"

/* The versions of the SQL objects that this library works with. */
static const char *const known_versions[] = {teller_library_version};

/* Nothing was changed since they were found to fit. */
static bool fits = false;

bool
version_is_known(const char *version)
{
	for (int i = 0; i < lengthof(known_versions); i++)
		if (strcmp(known_versions[i], version) == 0)
			return true;
	return false;
}

/* Of versions as 1.10.2; what is not a number counts as 0. */
static bool
is_newer(const char *one, const char *other)
{
	int			a[3] = {0};
	int			b[3] = {0};

	(void) sscanf(one, "%d.%d.%d", &a[0], &a[1], &a[2]);
	(void) sscanf(other, "%d.%d.%d", &b[0], &b[1], &b[2]);
	for (int i = 0; i < lengthof(a); i++)
		if (a[i] != b[i])
			return a[i] > b[i];
	return false;
}

const char *
version_hint(const char *version)
{
	if (is_newer(version, teller_library_version))
		return "Restart the server with the library of that version; without shared_preload_libraries, connect again.";
	return "Run ALTER EXTENSION pg_teller UPDATE.";
}

bool
extension_lookup(ExtensionInfo *info)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("pg_teller"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		Form_pg_extension form = (Form_pg_extension) GETSTRUCT(tuple);
		bool		isnull;
		Datum		version = heap_getattr(tuple, Anum_pg_extension_extversion,
										   RelationGetDescr(rel), &isnull);

		info->oid = form->oid;
		info->owner = form->extowner;
		strlcpy(info->version, isnull ? "" : TextDatumGetCString(version),
				sizeof(info->version));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

static void
forget_relation(Datum arg, Oid relid)
{
	fits = false;
}

static void
forget_function(Datum arg, int cacheid, uint32 hashvalue)
{
	fits = false;
}

void
version_require(void)
{
	static bool registered = false;
	ExtensionInfo info;

	if (fits)
		return;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
		CacheRegisterSyscacheCallback(PROCOID, forget_function, (Datum) 0);
		registered = true;
	}

	/* Whoever misses the extension misses its tables, and is told so. */
	if (extension_lookup(&info) && !version_is_known(info.version))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension pg_teller has version %s, the library is %s",
						info.version, teller_library_version),
				 errhint("%s", version_hint(info.version))));
	fits = true;
}
