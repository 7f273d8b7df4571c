/*-------------------------------------------------------------------------
 *
 * pull.c
 *	  teller.claim: give operations to an application that carries them out.
 *
 * A server of wrapper teller_pull has no address.  An application's worker
 * claims what is due, commits, makes the call by whatever means it has, and
 * tells what came of it (pull_answer.c).  The rules are those of our own
 * worker (claim.c); where they differ:
 *
 * - The claim is the caller's transaction.  Its commit is flushed to disk, and
 *	 before it nothing may be sent: rolled back, the claim never was.
 *
 * - Of who has claimed something we know nothing but for how long it wanted
 *	 to have it.  The lease takes the place of the worker's connection, and the
 *	 token, the number of the attempt, tells a claim from those before it.
 *
 * - There is no circuit: an application that finds the server broken stops
 *	 claiming.
 *
 * Order of locks.  What ended by itself is refunded first: accounts in order,
 * then operations.  From then on nothing waits: operations that somebody has
 * locked are passed over.  So transactions that claim once cannot deadlock.
 *
 * The cap of the server is counted over the rows that are out, also those of
 * transactions that have not ended, under a lock that is held only while one
 * call counts and claims.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "account.h"
#include "await.h"
#include "clock.h"
#include "compat.h"
#include "guc.h"
#include "hold.h"
#include "input.h"
#include "instance.h"
#include "lease.h"
#include "pull.h"
#include "queue.h"
#include "settlement.h"
#include "wake.h"

#define MAX_OPERATIONS	1000
#define MIN_LEASE_US	USECS_PER_SEC
#define MAX_LEASE_US	USECS_PER_HOUR
#define MAX_ENDED		256		/* deadlines taken up by one call */

/* Of pg_foreign_server's object locks, the one that DDL does not use. */
#define CLAIM_LOCK_SUBID 1

/* The columns of claim's result. */
enum
{
	RESULT_LEDGER,
	RESULT_ID,
	RESULT_MEMO,
	RESULT_TOKEN,
	RESULT_REQUEST,
	RESULT_LEASE_UNTIL,
	RESULT_COUNT
};

/* One call. */
typedef struct Claim
{
	Server	   *server;
	NameData	name;
	OpPolicy	policy;
	int64		lease_us;
	pg_uuid_t	id;				/* names this call in the attempt rows */
	Rel		   *rel;			/* operations */
	TupleTableSlot *slot;
	TimestampTz now;
	int			room;			/* operations that may still be given out */
	ReturnSetInfo *rows;
} Claim;

/* ---- arguments -------------------------------------------------------- */

Server *
pull_server(const char *name)
{
	Server	   *server = server_require(name);

	if (server->kind != SERVER_PULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not of wrapper teller_pull",
						server->name),
				 errdetail("The worker of pg_teller makes its calls."),
				 errhint("Claim from a server made by CREATE SERVER ... FOREIGN DATA WRAPPER teller_pull.")));
	return server;
}

int64
pull_lease_us(FunctionCallInfo fcinfo, int arg)
{
	Interval   *span;
	double		us;

	input_require(fcinfo, arg, "lease");
	span = PG_GETARG_INTERVAL_P(arg);
	us = (span->month * (double) DAYS_PER_MONTH + span->day) * USECS_PER_DAY +
		span->time;
	if (teller_interval_not_finite(span) ||
		us < MIN_LEASE_US || us > MAX_LEASE_US)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lease is out of range"),
				 errdetail("It must be from 1 second to 1 hour."),
				 errhint("teller.extend_lease() makes it longer while the call is on its way.")));
	return (int64) us;
}

static int
read_max_operations(FunctionCallInfo fcinfo, int arg)
{
	int			max;

	input_require(fcinfo, arg, "max_operations");
	max = PG_GETARG_INT32(arg);
	if (max < 1 || max > MAX_OPERATIONS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_operations must be between 1 and %d",
						MAX_OPERATIONS)));
	return max;
}

/* ---- ledgers ---------------------------------------------------------- */

/* Those in an index of operations on which the caller may operate. */
static List *
list_ledgers(Claim *claim, const char *index_name)
{
	Snapshot	snapshot = rel_newest_snapshot();
	List	   *ledgers = NIL;
	int64		ledger = 0;
	bool		is_set = false;

	while (operation_next_ledger(claim->rel, index_name, snapshot, &ledger,
								 &is_set))
	{
		CHECK_FOR_INTERRUPTS();
		if (access_allowed(ledger, ACCESS_OPERATE))
		{
			int64	   *copy = palloc(sizeof(int64));

			*copy = ledger;
			ledgers = lappend(ledgers, copy);
		}
	}
	rel_forget_snapshot(snapshot);
	return ledgers;
}

/* ---- what ended by itself --------------------------------------------- */

static void
add_overdue(Claim *claim, int64 ledger, List **overdue)
{
	Snapshot	snapshot = rel_newest_snapshot();
	Datum		keys[1] = {Int64GetDatum(ledger)};
	RelScan    *scan = rel_scan_begin(claim->rel, "operation_deadline",
									  snapshot, 1, keys);

	while (list_length(*overdue) < MAX_ENDED &&
		   rel_scan_next(scan, claim->slot))
	{
		Operation  *operation = palloc(sizeof(Operation));

		operation_read(operation, claim->slot);
		if (operation->facts.not_after > claim->now)
			break;
		if (strcmp(NameStr(operation->server), NameStr(claim->name)) == 0)
			*overdue = lappend(*overdue, operation);
	}
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
}

/* All at once and in order, because each of them is locked until the end. */
static void
lock_accounts(int64 ledger, List *operations)
{
	int64	   *accounts = palloc(sizeof(int64) * 2 * list_length(operations));
	int			count = 0;
	ListCell   *cell;

	foreach(cell, operations)
	{
		Operation  *operation = lfirst(cell);

		accounts[count++] = operation->account;
		accounts[count++] = operation->settlement_account;
	}
	hold_enter();
	account_set_close(account_set_lock(ledger, accounts, count));
}

/* Refunded if it never ran, else in doubt. */
static void
end_overdue(Claim *claim)
{
	ListCell   *ledger;
	ListCell   *cell;

	foreach(ledger, list_ledgers(claim, "operation_deadline"))
	{
		List	   *overdue = NIL;

		add_overdue(claim, *(int64 *) lfirst(ledger), &overdue);
		if (overdue == NIL)
			continue;
		lock_accounts(*(int64 *) lfirst(ledger), overdue);
		foreach(cell, overdue)
		{
			Operation  *operation = lfirst(cell);
			OperationNews news = {.ledger = operation->ledger,.id = operation->id};
			OperationChange change;

			news.event.kind = OP_EV_TICK;
			operation_apply(&news, &change);
			if (change.actions & OP_DO_NOTIFY)
				operation_notify(news.ledger, &news.id, change.after);
			if (operation_state_is_terminal(change.after))
				await_tell_at_commit(&news.id);
			CommandCounterIncrement();
		}
	}
}

static void
end_leases(Claim *claim)
{
	ListCell   *cell;

	foreach(cell, list_ledgers(claim, "operation_out"))
		lease_lapse(claim->rel, claim->slot, *(int64 *) lfirst(cell),
					&claim->name, claim->now);
	CommandCounterIncrement();
}

/* ---- the cap ---------------------------------------------------------- */

/* Executes and fences that are out, also in transactions not yet ended. */
static int
count_out(Claim *claim, int64 ledger, int limit)
{
	Datum		keys[2] = {Int64GetDatum(ledger), NameGetDatum(&claim->name)};
	SnapshotData dirty;
	RelScan    *scan;
	int			count = 0;

	InitDirtySnapshot(dirty);
	scan = rel_scan_begin(claim->rel, "operation_out", &dirty, 2, keys);
	while (count < limit && rel_scan_next(scan, claim->slot))
		count++;
	rel_scan_end(scan);
	return count;
}

/* What the server may still be asked at once, on all ledgers together. */
static int
room_at(Claim *claim)
{
	int			room = claim->server->max_in_flight > 0 ?
		claim->server->max_in_flight : teller_max_in_flight_per_server;
	int64		ledger = 0;
	bool		is_set = false;
	SnapshotData dirty;

	InitDirtySnapshot(dirty);
	while (room > 0 && operation_next_ledger(claim->rel, "operation_out",
											 &dirty, &ledger, &is_set))
		room -= count_out(claim, ledger, room);
	return room;
}

/* ---- claiming --------------------------------------------------------- */

static void
add_text(StringInfo json, const char *name, const char *value)
{
	appendStringInfo(json, "%s\"%s\": ", json->len > 1 ? ", " : "", name);
	escape_json(json, value);
}

/*
 * What was stored when the operation was submitted, and what is to be done
 * with it now.
 */
static Datum
make_request(Claim *claim, const OperationClaim *row)
{
	char	   *stored =
		TextDatumGetCString(claim->slot->tts_values[OPERATION_REQUEST]);
	int			timeout_ms = row->operation.attempt_timeout_ms;
	StringInfoData more;

	if (timeout_ms == 0)
		timeout_ms = claim->server->timeout_ms > 0 ?
			claim->server->timeout_ms : teller_attempt_timeout_ms;
	initStringInfo(&more);
	appendStringInfoChar(&more, '{');
	add_text(&more, "verb", operation_verb_name(row->verb));
	if (row->verb == OP_VERB_FENCE)
		add_text(&more, "reason", row->operation.facts.cancel_requested ?
				 "cancelled" : "expired");
	if (claim->server->has_ledger)
		add_text(&more, "ledger",
				 psprintf("%lld", (long long) claim->server->ledger));
	appendStringInfo(&more, ", \"timeout_ms\": %d}", timeout_ms);
	return DirectFunctionCall2(jsonb_concat,
							   DirectFunctionCall1(jsonb_in,
												   CStringGetDatum(stored)),
							   DirectFunctionCall1(jsonb_in,
												   CStringGetDatum(more.data)));
}

static void
put_row(Claim *claim, const OperationClaim *row)
{
	Datum		values[RESULT_COUNT];
	bool		nulls[RESULT_COUNT] = {0};

	values[RESULT_LEDGER] = Int64GetDatum(row->operation.ledger);
	values[RESULT_ID] = UUIDPGetDatum(&row->operation.id);
	values[RESULT_MEMO] = claim->slot->tts_values[OPERATION_MEMO];
	values[RESULT_TOKEN] = Int64GetDatum(row->operation.last_attempt);
	values[RESULT_REQUEST] = make_request(claim, row);
	values[RESULT_LEASE_UNTIL] = TimestampTzGetDatum(row->lease_until);
	tuplestore_putvalues(claim->rows->setResult, claim->rows->setDesc, values,
						 nulls);
	wake_at_commit(row->lease_until);
}

/* Of one ledger, up to share; how many it were. */
static int
claim_rows(Claim *claim, int64 ledger, int share)
{
	Queue		queue = {.ledger = ledger,.server = claim->name,.from = DT_NOBEGIN};
	Snapshot	snapshot = rel_newest_snapshot();
	RelScan    *scan = queue_scan(claim->rel, &queue, snapshot);
	int			claimed = 0;

	while (claimed < share && rel_scan_next(scan, claim->slot) &&
		   queue_due_at(claim->slot) <= claim->now)
	{
		OperationClaim row = {
			.policy = &claim->policy,
			.worker = &claim->id,
			.lease_us = claim->lease_us
		};

		CHECK_FOR_INTERRUPTS();
		switch (operation_claim(claim->rel, claim->slot, &row))
		{
			case CLAIM_SEND:
				put_row(claim, &row);
				claimed++;
				break;
			case CLAIM_NOTHING:
			case CLAIM_ENDS:	/* at its deadline, with the accounts locked */
			case CLAIM_BUSY:
				break;
		}
	}
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	CommandCounterIncrement();
	return claimed;
}

/*
 * Once round all ledgers, each with an equal share of what is left, beginning
 * with any of them; how many it were.
 */
static int
claim_round(Claim *claim, List *ledgers)
{
	int			count = list_length(ledgers);
	int			first = count == 0 ? 0 :
		(int) pg_prng_uint64_range(&pg_global_prng_state, 0, count - 1);
	int			before = claim->room;

	for (int i = 0; i < count && claim->room > 0; i++)
	{
		int64	   *ledger = list_nth(ledgers, (first + i) % count);
		int			left = count - i;

		claim->room -= claim_rows(claim, *ledger,
								  (claim->room + left - 1) / left);
	}
	return before - claim->room;
}

/* The lock is for us who count; until it is free again nothing waits. */
static void
count_and_claim(Claim *claim, int max_operations)
{
	List	   *ledgers = list_ledgers(claim, "operation_due");

	LockDatabaseObject(ForeignServerRelationId, claim->server->oid,
					   CLAIM_LOCK_SUBID, ExclusiveLock);
	claim->now = clock_read();
	claim->room = room_at(claim);
	claim->room = Min(claim->room, max_operations);
	while (claim->room > 0 && claim_round(claim, ledgers) > 0)
		;
	UnlockDatabaseObject(ForeignServerRelationId, claim->server->oid,
						 CLAIM_LOCK_SUBID, ExclusiveLock);
}

static void
run(Claim *claim, int max_operations)
{
	pg_uuid_t  *id = clock_new_id();

	claim->id = *id;
	claim->rel = rel_open(REL_OPERATION, RowExclusiveLock);
	claim->slot = rel_make_slot(claim->rel);
	claim->now = clock_read();
	operation_policy(claim->server, &claim->policy);
	end_overdue(claim);
	end_leases(claim);
	if (teller_dispatch)
		count_and_claim(claim, max_operations);
	ExecDropSingleTupleTableSlot(claim->slot);
	rel_close(claim->rel);

	/* Before this commit is on disk nothing may be sent. */
	ForceSyncCommit();
}

PG_FUNCTION_INFO_V1(teller_claim);

/* teller.claim: see its COMMENT. */
Datum
teller_claim(PG_FUNCTION_ARGS)
{
	Claim		claim = {0};
	int			max_operations;

	input_require(fcinfo, 0, "server");
	max_operations = read_max_operations(fcinfo, 1);
	claim.lease_us = pull_lease_us(fcinfo, 2);
	claim.server = pull_server(NameStr(*PG_GETARG_NAME(0)));
	namestrcpy(&claim.name, claim.server->name);
	InitMaterializedSRF(fcinfo, 0);
	claim.rows = (ReturnSetInfo *) fcinfo->resultinfo;
	switch (instance_state())
	{
		case INSTANCE_NEW:
			break;				/* no operation was ever made */
		case INSTANCE_FOREIGN:
			(void) instance_require();	/* TL010 */
			break;
		case INSTANCE_OURS:
			run(&claim, max_operations);
			break;
	}
	return (Datum) 0;
}
