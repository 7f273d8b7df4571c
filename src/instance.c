/*-------------------------------------------------------------------------
 *
 * instance.c
 *	  Which server and database this one takes itself for.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "errcodes.h"
#include "instance.h"
#include "rel.h"

/* The columns of teller.instance. */
enum
{
	COL_SINGLETON,
	COL_INSTANCE_ID,
	COL_SYSTEM_IDENTIFIER,
	COL_DATABASE_OID,
	COL_TIMELINE,
	COL_BACKUP_START,
	COL_ADOPTED_AT,
	COL_COUNT
};

/*
 * A promotion and a restore to a point in time begin a new timeline: what was
 * sent on the old one may be missing here.  A standby has none of its own.
 */
static int32
present_timeline(void)
{
	return RecoveryInProgress() ? 0 : (int32) GetWALInsertionTimeLine();
}

/*
 * A base backup that is started as it is, beside the original perhaps, goes on
 * on the same timeline.  But recovery leaves the label of the backup behind,
 * as backup_label.old; backups do not contain that of their original.  Its
 * first line names the position in the WAL at which the backup began.  The
 * file does not change while sessions can be.
 */
static const char *
backup_start(void)
{
	static char *start = NULL;
	char		line[MAXPGPATH] = "";
	FILE	   *file;

	if (start != NULL)
		return start;
	file = AllocateFile("backup_label.old", "r");
	if (file == NULL && errno != ENOENT)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m",
						"backup_label.old")));
	if (file != NULL)
	{
		if (fgets(line, sizeof(line), file) == NULL)
			line[0] = '\0';
		FreeFile(file);
	}
	line[strcspn(line, "\r\n")] = '\0';
	start = MemoryContextStrdup(TopMemoryContext, line);
	return start;
}

/* A standby comes from a backup too, and is none before it is promoted. */
static bool
is_from_backup(Datum start)
{
	return !RecoveryInProgress() &&
		strcmp(TextDatumGetCString(start), backup_start()) != 0;
}

static bool
is_ours(TupleTableSlot *slot)
{
	int32		timeline = present_timeline();

	slot_getallattrs(slot);
	return DatumGetInt64(slot->tts_values[COL_SYSTEM_IDENTIFIER]) ==
		(int64) GetSystemIdentifier() &&
		DatumGetObjectId(slot->tts_values[COL_DATABASE_OID]) == MyDatabaseId &&
		(timeline == 0 ||
		 DatumGetInt32(slot->tts_values[COL_TIMELINE]) == timeline) &&
		!is_from_backup(slot->tts_values[COL_BACKUP_START]);
}

/* What the row says. */
typedef struct Seen
{
	InstanceState state;
	pg_uuid_t	id;
	int64		system_identifier;
	Oid			database_oid;
	int32		timeline;
} Seen;

static void
see(Seen *seen)
{
	Rel		   *rel = rel_open(REL_INSTANCE, AccessShareLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Snapshot	snapshot = rel_newest_snapshot();
	Datum		keys[1] = {BoolGetDatum(true)};

	memset(seen, 0, sizeof(Seen));
	seen->state = INSTANCE_NEW;
	if (rel_fetch(rel, snapshot, 1, keys, slot))
	{
		Datum	   *values = slot->tts_values;

		seen->state = is_ours(slot) ? INSTANCE_OURS : INSTANCE_FOREIGN;
		seen->id = *DatumGetUUIDP(values[COL_INSTANCE_ID]);
		seen->system_identifier =
			DatumGetInt64(values[COL_SYSTEM_IDENTIFIER]);
		seen->database_oid = DatumGetObjectId(values[COL_DATABASE_OID]);
		seen->timeline = DatumGetInt32(values[COL_TIMELINE]);
	}
	rel_forget_snapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
}

InstanceState
instance_state(void)
{
	Seen		seen;

	see(&seen);
	return seen.state;
}

bool
instance_see_id(pg_uuid_t *id)
{
	Seen		seen;

	see(&seen);
	*id = seen.id;
	return seen.state != INSTANCE_NEW;
}

bool
instance_was_on(TimeLineID timeline)
{
	Seen		seen;

	see(&seen);
	return seen.state != INSTANCE_NEW &&
		seen.system_identifier == (int64) GetSystemIdentifier() &&
		seen.database_oid == MyDatabaseId &&
		seen.timeline == (int32) timeline;
}

/* Which server and database this one is. */
static void
fill_identity(Datum *values)
{
	values[COL_SYSTEM_IDENTIFIER] =
		Int64GetDatum((int64) GetSystemIdentifier());
	values[COL_DATABASE_OID] = ObjectIdGetDatum(MyDatabaseId);
	values[COL_TIMELINE] = Int32GetDatum(present_timeline());
	values[COL_BACKUP_START] = CStringGetTextDatum(backup_start());
	values[COL_ADOPTED_AT] = TimestampTzGetDatum(clock_read());
}

static void
make_row(Rel *rel)
{
	Datum		values[COL_COUNT] = {0};
	bool		nulls[COL_COUNT] = {0};

	values[COL_SINGLETON] = BoolGetDatum(true);
	values[COL_INSTANCE_ID] = UUIDPGetDatum(clock_new_id());
	fill_identity(values);

	/* A twin that came first is waited for by whoever looks next. */
	(void) rel_insert_if_absent(rel, values, nulls);
	CommandCounterIncrement();
}

pg_uuid_t
instance_require(void)
{
	Rel		   *rel = rel_open(REL_INSTANCE, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[1] = {BoolGetDatum(true)};
	pg_uuid_t	id;

	while (!rel_await_row(rel, 1, keys, slot))
	{
		CHECK_FOR_INTERRUPTS();
		make_row(rel);
	}
	if (!is_ours(slot))
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_INSTANCE_NOT_ADOPTED),
				 errmsg("this database is a copy and has not been adopted"),
				 errdetail("Its operations were made by another server or database, or before a restore or promotion, and may have been sent since."),
				 errhint("Nothing is sent from here until teller.adopt_instance() is called.")));
	id = *DatumGetUUIDP(slot->tts_values[COL_INSTANCE_ID]);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return id;
}

bool
instance_adopt(void)
{
	Rel		   *rel = rel_open(REL_INSTANCE, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[1] = {BoolGetDatum(true)};
	bool		found = rel_lock_row(rel, 1, keys, LockTupleNoKeyExclusive,
									 slot);

	if (found)
	{
		Datum		values[COL_COUNT] = {0};
		bool		nulls[COL_COUNT] = {0};
		bool		replace[COL_COUNT] = {0};

		fill_identity(values);
		for (int i = COL_SYSTEM_IDENTIFIER; i < COL_COUNT; i++)
			replace[i] = true;
		rel_update(rel, slot, values, nulls, replace);
		CommandCounterIncrement();
	}
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return found;
}
