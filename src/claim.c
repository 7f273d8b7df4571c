/*-------------------------------------------------------------------------
 *
 * claim.c
 *	  Find what is due, and claim it for a call.
 *
 * Turns.  A queue is what one ledger has for one server.  Each round gives
 * every queue that has something due an equal share of the free calls, so
 * that neither a server that does not answer nor a ledger that sends much
 * keeps the others waiting; the first in the round is another one each time.
 *
 * Durability.  The rows that say "maybe sent" are committed by the one
 * transaction of a round, flushed and, where the server asks for it, on the
 * standby, before call.c lets a byte go.  That commit comes later in the WAL
 * than the commits of the submissions it saw, so these are flushed by it too.
 *
 * A row that raises an error when it is claimed is left alone for a while, so
 * that it cannot stop the others.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/executor.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "ask.h"
#include "backlog.h"
#include "call.h"
#include "circuit.h"
#include "claim.h"
#include "clock.h"
#include "flight.h"
#include "guc.h"
#include "instance.h"
#include "lease.h"
#include "outcome.h"
#include "promotion.h"
#include "queue.h"
#include "waitpoint.h"
#include "worker.h"

#define BUSY_RETRY_MS	50
#define ERROR_RETRY_MS	200
#define SUSPECT_REST_MS 10000
#define MAX_SUSPECTS	64
#define STOCK_MS		60000
#define STOCK_FACTOR	50		/* times what it took */

/* One round. */
typedef struct Round
{
	Rel		   *rel;
	TupleTableSlot *slot;
	const pg_uuid_t *worker;
	TimestampTz now;
	TimestampTz next;			/* when something is next due */
	int			free;			/* calls that may still be started */
	bool		promoted;		/* this database may adopt itself */
} Round;

/* Rows that raised an error. */
static struct
{
	pg_uuid_t	operation;
	TimestampTz until;
}			suspects[MAX_SUSPECTS];
static int	next_suspect = 0;
static pg_uuid_t present;		/* the row being claimed */
static bool has_present = false;

/* When stock is taken again; DT_NOBEGIN: it never was. */
static TimestampTz stock_at = DT_NOBEGIN;

/* ---- suspects --------------------------------------------------------- */

static void
suspect_present(void)
{
	if (!has_present)
		return;
	suspects[next_suspect].operation = present;
	suspects[next_suspect].until =
		TimestampTzPlusMilliseconds(clock_read(), SUSPECT_REST_MS);
	next_suspect = (next_suspect + 1) % MAX_SUSPECTS;
	has_present = false;
}

static bool
is_suspect(const pg_uuid_t *operation, TimestampTz now)
{
	for (int i = 0; i < MAX_SUSPECTS; i++)
		if (suspects[i].until > now &&
			memcmp(&suspects[i].operation, operation, UUID_LEN) == 0)
			return true;
	return false;
}

/* ---- requests --------------------------------------------------------- */

/* A member of the stored request as text, NULL if it is not there. */
static const char *
member(const Jsonb *request, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *value;

	value = getKeyJsonValueFromContainer((JsonbContainer *) &request->root,
										 name, strlen(name), &buffer);
	if (value == NULL)
		return NULL;
	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	return JsonbToCString(NULL, &JsonbValueToJsonb(value)->root, 0);
}

/* A payload that is a string is JSON too, with its quotes. */
static const char *
member_json(const Jsonb *request, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *value;

	value = getKeyJsonValueFromContainer((JsonbContainer *) &request->root,
										 name, strlen(name), &buffer);
	if (value == NULL)
		return NULL;
	return JsonbToCString(NULL, &JsonbValueToJsonb(value)->root, 0);
}

static CallVerb
call_verb(OpVerb verb)
{
	switch (verb)
	{
		case OP_VERB_EXECUTE:
			return CALL_EXECUTE;
		case OP_VERB_LOOKUP:
			return CALL_LOOKUP;
		case OP_VERB_FENCE:
			return CALL_FENCE;
	}
	pg_unreachable();
}

/* Everything in it is as it was stored when the operation was submitted. */
static void
start_call(Round *round, const Operation *operation, OpVerb verb, Oid server)
{
	Datum		json = round->slot->tts_values[OPERATION_REQUEST];
	char	   *body = TextDatumGetCString(json);
	Jsonb	   *stored = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
															CStringGetDatum(body)));
	CallRequest request = {
		.verb = call_verb(verb),
		.server = server,
		.userid = operation->submitter,
		.attempt_timeout_ms = operation->attempt_timeout_ms,
		.origin = member(stored, "origin"),
		.ledger = member(stored, "ledger"),
		.direction = member(stored, "direction"),
		.account = member(stored, "account"),
		.amount = member(stored, "amount"),
		.asset = member(stored, "asset"),
		.nonce = member(stored, "nonce"),
		.not_after = member(stored, "not_after"),
		.payload = member_json(stored, "payload"),
		.body = body,
		.reason = operation->facts.cancel_requested ? "cancelled" : "expired"
	};

	memcpy(request.memo, operation->memo, MEMO_BYTES);
	request.tag = (uint64) (uintptr_t) flight_begin(operation, verb, server);
	call_start(&request);
}

/* ---- one queue -------------------------------------------------------- */

/* True if a call was started. */
static bool
claim_row(Round *round, const OpPolicy *policy, Oid server)
{
	OperationClaim claim = {.policy = policy,.worker = round->worker};

	present = *DatumGetUUIDP(round->slot->tts_values[OPERATION_ID]);
	has_present = true;
	if (is_suspect(&present, round->now))
		return false;
	/* A lookup that is still out leaves the operation in doubt. */
	if (flight_exists(DatumGetInt64(round->slot->tts_values[OPERATION_LEDGER]),
					  &present))
		return false;
	switch (operation_claim(round->rel, round->slot, &claim))
	{
		case CLAIM_SEND:
			start_call(round, &claim.operation, claim.verb, server);
			return true;
		case CLAIM_NOTHING:
			return false;
		case CLAIM_ENDS:
			outcome_add_tick(claim.operation.ledger, &claim.operation.id);
			return false;
		case CLAIM_BUSY:
			round->next = Min(round->next,
							  TimestampTzPlusMilliseconds(round->now,
														  BUSY_RETRY_MS));
			return false;
	}
	pg_unreachable();
}

/* Claim up to limit rows; how many it were. */
static int
claim_rows(Round *round, const Queue *queue, const OpPolicy *policy,
		   Oid server, int limit)
{
	Snapshot	snapshot = rel_newest_snapshot();
	RelScan    *scan = queue_scan(round->rel, queue, snapshot);
	int			claimed = 0;

	while (claimed < limit && rel_scan_next(scan, round->slot))
	{
		TimestampTz due = queue_due_at(round->slot);

		if (due > round->now)
		{
			round->next = Min(round->next, due);
			break;
		}
		claimed += claim_row(round, policy, server);
	}
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	return claimed;
}

/* The free calls of a server; 0 also while its circuit is open. */
static int
room_at(Round *round, const Server *server)
{
	int			cap = server->max_in_flight > 0 ? server->max_in_flight :
		teller_max_in_flight_per_server;
	int			in_flight = call_in_flight_for(server->oid);
	TimestampTz opens_at = DT_NOEND;
	int			room = circuit_admits(server->oid, Max(cap - in_flight, 0),
									  in_flight, round->now, &opens_at);

	round->next = Min(round->next, opens_at);
	return room;
}

/* share: what this queue may take in this round. */
static void
claim_queue(Round *round, const Queue *queue, int share)
{
	Oid			oid = get_foreign_server_oid(NameStr(queue->server), true);
	const char *problem = "the server does not exist";
	Server	   *server = OidIsValid(oid) ? server_try(oid, &problem) : NULL;
	OpPolicy	policy;
	int			room;
	int			claimed;

	if (server == NULL)
	{
		worker_note_error(problem);
		return;
	}
	if (server->kind == SERVER_PULL)
		return;					/* teller.claim() gives these out */
	room = room_at(round, server);
	if (room == 0)
		return;
	operation_policy(server, &policy);
	claimed = claim_rows(round, queue, &policy, oid, Min(room, share));
	round->free -= claimed;
	if (claimed == share && share < room)
		round->next = DT_NOBEGIN;	/* there may be more, and room for it */
}

/* ---- all queues ------------------------------------------------------- */

static void
claim_queues(Round *round, List *queues)
{
	static int	turn = 0;
	int			count = list_length(queues);

	for (int i = 0; i < count && round->free > 0; i++)
	{
		Queue	   *queue = list_nth(queues, (turn + i) % count);
		int			left = count - i;

		claim_queue(round, queue, (round->free + left - 1) / left);
	}
	if (count > 0)
		turn = (turn + 1) % count;
}

/* ---- stock ------------------------------------------------------------ */

/* May a call be out that nobody will record? */
static bool
is_lost(const Operation *operation, TimestampTz now, bool first)
{
	bool		out = operation->facts.state == OP_IN_FLIGHT ||
		operation->facts.state == OP_FENCING;

	if (!(out || operation->facts.state == OP_IN_DOUBT) ||
		flight_exists(operation->ledger, &operation->id))
		return false;

	/* What an application has claimed is its own as long as its lease. */
	if (lease_is_kept(&operation->server))
		return false;

	/* A lookup leaves the operation in doubt. */
	if (first)
		return operation->last_attempt > 0 && attempt_is_open(operation);
	return out && operation->facts.next_try <= now;
}

/*
 * An operation that waits for nobody: the first that is open of its account,
 * as they come in the order of their tickets.  No call leaves one so.
 */
static bool
is_stranded(const Operation *before, const Operation *operation)
{
	return operation->facts.state == OP_STASHED &&
		(before == NULL || before->ledger != operation->ledger ||
		 before->account != operation->account);
}

/*
 * Go through all that is open and count it.  There is one worker in a
 * database: so whatever is out when it starts was sent by one that is gone,
 * and no answer to it will ever be read.  Later only what has been out for
 * longer than any call may take can have been lost, by an error of ours.
 * What teller.claim() gave out is none of this: see lease.c.
 */
static void
take_stock(Round *round)
{
	Snapshot	snapshot = rel_newest_snapshot();
	RelScan    *scan = rel_scan_begin(round->rel, "operation_open", snapshot, 0,
									  NULL);
	bool		first = stock_at == DT_NOBEGIN;
	int64		before = backlog_number();
	int64		count = 0;
	int64		took_ms;
	Operation	last;

	while (rel_scan_next(scan, round->slot))
	{
		Operation	operation;

		CHECK_FOR_INTERRUPTS();
		operation_read(&operation, round->slot);
		count++;
		if (is_lost(&operation, round->now, first))
			outcome_add_lost(operation.ledger, &operation.id,
							 operation.last_attempt);
		if (is_stranded(count == 1 ? NULL : &last, &operation))
			outcome_add_tick(operation.ledger, &operation.id);
		last = operation;
	}
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	backlog_counted(before, count);
	took_ms = TimestampDifferenceMilliseconds(round->now, clock_read());
	stock_at = TimestampTzPlusMilliseconds(round->now,
										   Max(STOCK_MS,
											   took_ms * STOCK_FACTOR));
}

/* ---- the round -------------------------------------------------------- */

/*
 * False: nothing is sent or ended here.  This database is a copy; or no
 * operation was ever made here, and if there are any, a dump is being loaded
 * that has yet to say whose they are.
 */
static bool
is_adopted(Round *round)
{
	InstanceState state = instance_state();

	worker_note_adopted(state != INSTANCE_FOREIGN);
	if (state == INSTANCE_FOREIGN)
	{
		worker_note_error("TL010: this database is a copy and has not been adopted; its operations rest");
		round->promoted = teller_dispatch && promotion_may_adopt();
	}
	return state == INSTANCE_OURS;
}

static void
look_and_claim(Round *round)
{
	List	   *queues;

	round->rel = rel_open(REL_OPERATION, RowExclusiveLock);
	round->slot = rel_make_slot(round->rel);
	if (round->now >= stock_at)
		take_stock(round);
	queues = queue_look(round->rel, round->slot, round->now, &round->next);
	if (teller_dispatch)
		claim_queues(round, queues);
	ExecDropSingleTupleTableSlot(round->slot);
	rel_close(round->rel);
}

/* Has the synchronous standby, if there is one, what was committed last? */
static bool
is_replicated(void)
{
	int			mode = synchronous_commit == SYNCHRONOUS_COMMIT_REMOTE_WRITE ?
		SYNC_REP_WAIT_WRITE :
		synchronous_commit == SYNCHRONOUS_COMMIT_REMOTE_APPLY ?
		SYNC_REP_WAIT_APPLY : SYNC_REP_WAIT_FLUSH;
	bool		replicated;

	if (!SyncRepRequested() || SyncRepStandbyNames == NULL ||
		SyncRepStandbyNames[0] == '\0')
		return true;
	LWLockAcquire(SyncRepLock, LW_SHARED);
	replicated = WalSndCtl->lsn[mode] >= XactLastCommitEnd;
	LWLockRelease(SyncRepLock);
	return replicated;
}

/*
 * A shutdown or pg_cancel_backend() cuts the wait for a standby short, with a
 * warning that nobody reads.  Then the rows may not be there, and nothing may
 * be sent.
 */
static void
after_commit(void)
{
	flight_commit_all();
	if (!is_replicated())
		call_cancel_unsent();
}

static TimestampTz
run(const pg_uuid_t *worker)
{
	Round		round = {.worker = worker,.next = DT_NOEND};
	int			before = call_in_flight();

	flight_forget_claims();
	if (!worker_transaction_begin())
		return DT_NOEND;
	round.now = clock_read();
	round.free = Max(teller_max_in_flight - before, 0);
	ask_start();
	if (is_adopted(&round))
		look_and_claim(&round);
	worker_transaction_end();
	after_commit();
	if (call_in_flight() > before)
		WAIT_POINT("claim_committed");
	if (round.promoted)
	{
		promotion_adopt();
		return DT_NOBEGIN;
	}
	return round.next;
}

TimestampTz
claim_run(const pg_uuid_t *worker)
{
	volatile TimestampTz next = DT_NOEND;

	has_present = false;
	PG_TRY();
	{
		next = run(worker);
	}
	PG_CATCH();
	{
		worker_report_error();
		suspect_present();
		next = TimestampTzPlusMilliseconds(clock_read(), ERROR_RETRY_MS);
	}
	PG_END_TRY();
	return next;
}
