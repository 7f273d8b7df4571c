/*-------------------------------------------------------------------------
 *
 * circuit.c
 *	  Leave a failing server alone for a while, then try it with one call.
 *
 * Closed: calls go, failures in a row are counted.  Open: none goes until
 * teller.circuit_open has passed.  Then half-open: one goes, while no other
 * is in flight; its outcome closes the circuit or opens it anew (the circuit
 * breaker of Nygard, Release It!, 2007).  A change of any server or user
 * mapping closes all of them: somebody may have mended one.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "circuit.h"
#include "guc.h"
#include "server.h"
#include "shmem.h"

/* One for each server that failed last time. */
static List *circuits = NIL;
static uint64 seen_changes = 0;

static BoardCircuit *
find(Oid server)
{
	ListCell   *cell;

	foreach(cell, circuits)
	{
		BoardCircuit *circuit = lfirst(cell);

		if (circuit->server == server)
			return circuit;
	}
	return NULL;
}

static BoardCircuit *
make(Oid server)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	BoardCircuit *circuit = palloc0(sizeof(BoardCircuit));

	circuit->server = server;
	circuits = lappend(circuits, circuit);
	MemoryContextSwitchTo(old);
	return circuit;
}

static void
forget(BoardCircuit *circuit)
{
	circuits = list_delete_ptr(circuits, circuit);
	pfree(circuit);
}

/* Show them in teller.server_health. */
static void
publish(void)
{
	BoardEntry *entry;
	int			shown = 0;
	ListCell   *cell;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	entry = board_find(MyDatabaseId);
	if (entry != NULL)
	{
		memset(entry->circuits, 0, sizeof(entry->circuits));
		foreach(cell, circuits)
			if (shown < BOARD_CIRCUITS)
				entry->circuits[shown++] = *(BoardCircuit *) lfirst(cell);
	}
	LWLockRelease(board->lock);
}

static void
forget_if_changed(void)
{
	if (seen_changes == server_changes())
		return;
	seen_changes = server_changes();
	list_free_deep(circuits);
	circuits = NIL;
	publish();
}

static void
note_failure(Oid server, CircuitNews news, TimestampTz now)
{
	BoardCircuit *circuit = find(server);

	if (circuit == NULL)
		circuit = make(server);
	circuit->failures++;
	if (news == CIRCUIT_FAILED && !circuit->open &&
		circuit->failures < teller_circuit_failures)
		return;
	circuit->open = true;
	circuit->until = TimestampTzPlusMilliseconds(now, teller_circuit_open_ms);
}

void
circuit_note(Oid server, CircuitNews news, TimestampTz now)
{
	BoardCircuit *circuit = find(server);

	if (news != CIRCUIT_WORKS)
		note_failure(server, news, now);
	else if (circuit != NULL)
		forget(circuit);
	else
		return;
	publish();
}

int
circuit_admits(Oid server, int free, int in_flight, TimestampTz now,
			   TimestampTz *opens_at)
{
	BoardCircuit *circuit;

	forget_if_changed();
	circuit = find(server);
	if (circuit == NULL || !circuit->open)
		return free;
	if (now < circuit->until)
	{
		*opens_at = circuit->until;
		return 0;
	}
	return in_flight == 0 ? Min(free, 1) : 0;
}
