/*-------------------------------------------------------------------------
 *
 * stats.c
 *	  Counters of a database, and the circuits of its worker, as people see
 *	  them: teller.stats_rows() and teller.circuit_rows().
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "guard.h"
#include "shmem.h"
#include "stats.h"

/* The names of TL001 and so on; a denial is what on_denial can return. */
static const struct
{
	const char *name;
	bool		denial;
}			errors[STAT_LAST_ERROR] =
{
	{"insufficient_funds", true},
	{"version_conflict", true},
	{"idempotency_mismatch", false},
	{"limit_exceeded", true},
	{"account_not_active", true},
	{"hold_not_open", true},
	{"asset_mismatch", false},
	{"account_busy", true},
	{"not_found", false},
	{"instance_not_adopted", false},
	{"queue_full", false},
	{"request_too_old", false}
};

/* Of the present transaction. */
static uint32 done[STAT_ERRORS];
static uint32 refused[STAT_LAST_ERROR];

/* ---- counting --------------------------------------------------------- */

static void
add(BoardEntry *entry, int counter, uint32 *number)
{
	if (*number == 0)
		return;
	if (entry != NULL)
		pg_atomic_fetch_add_u64(&entry->stats[counter], *number);
	*number = 0;
}

/* After the end of a transaction: nothing here may raise. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	static BoardEntry *entry = NULL;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	if (entry == NULL || entry->dboid != MyDatabaseId)
		entry = board_peek(MyDatabaseId);
	if (event == XACT_EVENT_ABORT)
		memset(done, 0, sizeof(done));
	for (int i = 0; i < STAT_ERRORS; i++)
		add(entry, i, &done[i]);
	for (int i = 0; i < STAT_LAST_ERROR; i++)
		add(entry, STAT_ERRORS + i, &refused[i]);
}

static bool
counts(void)
{
	static bool registered = false;

	if (board == NULL)
		return false;
	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		registered = true;
	}
	return true;
}

void
stats_note_movements(int rows)
{
	if (counts())
		done[STAT_MOVEMENTS] += rows;
}

void
stats_note_replay(void)
{
	if (counts())
		done[STAT_REPLAYS]++;
}

int
stats_error(int sqlstate)
{
	const char *code = unpack_sql_state(sqlstate);
	int			number = atoi(code + 2);

	if (strncmp(code, "TL", 2) == 0 && number >= 1 &&
		number <= STAT_LAST_ERROR && counts())
		refused[number - 1]++;
	return sqlstate;
}

/* ---- SQL functions ---------------------------------------------------- */

static bool
may_monitor(void)
{
	ExtensionInfo info;

	return has_privs_of_role(GetUserId(), ROLE_PG_MONITOR) ||
		(extension_lookup(&info) &&
		 has_privs_of_role(GetUserId(), info.owner));
}

PG_FUNCTION_INFO_V1(teller_may_monitor);

/*
 * teller.may_monitor() -> boolean: member of pg_monitor or of the owner of
 * the extension.  The filter of views over all ledgers.
 */
Datum
teller_may_monitor(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(may_monitor());
}

static void
put(ReturnSetInfo *rsinfo, const char *metric, const char *label, int64 value)
{
	Datum		values[3] = {CStringGetTextDatum(metric),
		CStringGetTextDatum(label), DirectFunctionCall1(int8_numeric, Int64GetDatum(value))
	};
	bool		nulls[3] = {false};

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(teller_stats_rows);

/*
 * teller.stats_rows() -> (metric, label, value): the counters of this database
 * since the server started.  No rows without the preload, without a worker's
 * place on the board, or for others than teller.may_monitor().
 */
Datum
teller_stats_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	BoardEntry *entry;

	InitMaterializedSRF(fcinfo, 0);
	entry = board == NULL ? NULL : board_peek(MyDatabaseId);
	if (entry == NULL || !may_monitor())
		return (Datum) 0;
	put(rsinfo, "movements", "", pg_atomic_read_u64(&entry->stats[STAT_MOVEMENTS]));
	put(rsinfo, "replays", "", pg_atomic_read_u64(&entry->stats[STAT_REPLAYS]));
	for (int i = 0; i < STAT_LAST_ERROR; i++)
		put(rsinfo, errors[i].denial ? "denials" : "refusals", errors[i].name,
			pg_atomic_read_u64(&entry->stats[STAT_ERRORS + i]));
	return (Datum) 0;
}

static const char *
circuit_state(const BoardCircuit *circuit, TimestampTz now)
{
	if (!circuit->open)
		return "closed";
	return now < circuit->until ? "open" : "half_open";
}

PG_FUNCTION_INFO_V1(teller_circuit_rows);

/*
 * teller.circuit_rows() -> (server oid, state, failures, opens_at): the
 * servers that failed last time, as the worker of this database knows them.
 */
Datum
teller_circuit_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	BoardCircuit circuits[BOARD_CIRCUITS] = {0};
	BoardEntry *entry;
	TimestampTz now = GetCurrentTimestamp();

	InitMaterializedSRF(fcinfo, 0);
	if (board == NULL)
		return (Datum) 0;
	LWLockAcquire(board->lock, LW_SHARED);
	entry = board_find(MyDatabaseId);
	if (entry != NULL)
		memcpy(circuits, entry->circuits, sizeof(circuits));
	LWLockRelease(board->lock);
	for (int i = 0; i < BOARD_CIRCUITS && OidIsValid(circuits[i].server); i++)
	{
		Datum		values[4] = {ObjectIdGetDatum(circuits[i].server),
			CStringGetTextDatum(circuit_state(&circuits[i], now)),
			Int32GetDatum(circuits[i].failures),
		TimestampTzGetDatum(circuits[i].until)};
		bool		nulls[4] = {false, false, false, !circuits[i].open};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
