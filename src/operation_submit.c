/*-------------------------------------------------------------------------
 *
 * operation_submit.c
 *	  teller.withdraw and teller.deposit: phase 1 of an operation, in the
 *	  caller's transaction.
 *
 * A submission holds the money and writes the operation with its memo, its
 * exact request and its deadlines.  Rolled back, nothing was ever sent.  Its
 * commit is flushed whatever synchronous_commit says: the worker acts on what
 * it sees, and it sees commits that are not yet flushed.
 *
 * A withdrawal holds the account's money for the settlement account, and
 * locks the settlement account's row only if that has a maximum, so that
 * withdrawals do not queue there.  A deposit holds the settlement account's
 * money for the account and locks both.
 *
 * The nonce is looked at three times, as keyed.c does with keys: before the
 * locks, before a refusal, and last by the unique index when the operation's
 * row, the first that is written, goes in.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"

#include "access.h"
#include "backlog.h"
#include "clock.h"
#include "compat.h"
#include "continuation.h"
#include "errcodes.h"
#include "guc.h"
#include "hold.h"
#include "input.h"
#include "instance.h"
#include "key.h"
#include "operation.h"
#include "reentrancy.h"
#include "settlement.h"
#include "waitpoint.h"
#include "wake.h"

/* The arguments of both functions. */
enum
{
	ARG_LEDGER,
	ARG_ACCOUNT,
	ARG_SERVER,
	ARG_AMOUNT,
	ARG_COUNTERPARTY,
	ARG_NONCE,
	ARG_PAYLOAD,
	ARG_EXPIRES_IN,
	ARG_ATTEMPT_TIMEOUT,
	ARG_REENTRANCY,
	ARG_ON_COMPLETE,
	ARG_ON_DOUBT,
	ARG_ON_DENIAL
};

/* Their result columns. */
enum
{
	RESULT_ID,
	RESULT_NONCE,
	RESULT_MEMO,
	RESULT_STATE,
	RESULT_REASON,
	RESULT_REPLAYED,
	RESULT_COUNT
};

#define MIN_EXPIRES_IN_US USECS_PER_SEC
#define MAX_EXPIRES_IN_US (365 * USECS_PER_DAY)
#define MIN_ATTEMPT_TIMEOUT_US (100 * INT64CONST(1000))
#define MAX_ATTEMPT_TIMEOUT_US USECS_PER_HOUR

/* A function to run later; InvalidOid and NULL: none. */
typedef struct Continue
{
	Oid			function;
	char	   *signature;
} Continue;

/* One call. */
typedef struct Submission
{
	/* as given */
	bool		deposit;
	int64		ledger;
	int64		account;
	const char *server;
	Numeric		amount;
	text	   *counterparty;
	text	   *nonce;
	Jsonb	   *payload;
	bool		has_expires_in;
	bool		has_attempt_timeout;
	int64		expires_in_us;
	int64		attempt_timeout_us;
	text	   *reentrancy;		/* NULL: the account's */
	const char *override;		/* the same */
	Continue	on_complete;
	Continue	on_doubt;
	OnDenial	on_denial;
	KeyCall		call;

	/* worked out before the locks */
	const Server *route;
	bool		pulled;			/* an application fetches it */
	int64		settlement_account;
	pg_uuid_t	origin;

	/* under the locks */
	ReentrancyTurn turn;
	bool		has_room;
	MemoParts	parts;
	uint8		memo[MEMO_BYTES];

	/* the result row */
	Datum		values[RESULT_COUNT];
	bool		nulls[RESULT_COUNT];
} Submission;

/* ---- arguments -------------------------------------------------------- */

static const char *
counterparty_name(const Submission *s)
{
	return s->deposit ? "source" : "destination";
}

static void
require_nonce(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(ARG_NONCE))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("nonce must not be null"),
				 errdetail("A call without one could not be repeated safely."),
				 errhint("Use your payout id.")));
}

/* A length of time between two bounds, in microseconds. */
static int64
read_interval(FunctionCallInfo fcinfo, int arg, const char *name,
			  int64 min_us, int64 max_us, const char *range)
{
	Interval   *span = PG_GETARG_INTERVAL_P(arg);
	double		days = span->month * (double) DAYS_PER_MONTH + span->day;
	double		us = days * USECS_PER_DAY + span->time;

	if (teller_interval_not_finite(span) || us < min_us || us > max_us)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is out of range", name),
				 errdetail("It must be from %s.", range)));
	return (int64) us;
}

/* Too large is said before the value is looked at. */
static Jsonb *
read_payload(FunctionCallInfo fcinfo)
{
	Size		size;

	if (PG_ARGISNULL(ARG_PAYLOAD))
		return NULL;
	size = toast_raw_datum_size(PG_GETARG_DATUM(ARG_PAYLOAD));
	if (size > (Size) teller_max_request_bytes * 2)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("payload is larger than teller.max_request_bytes allows"),
				 errdetail("The limit is %d bytes.", teller_max_request_bytes)));
	return PG_GETARG_JSONB_P(ARG_PAYLOAD);
}

static void
read_continuation(FunctionCallInfo fcinfo, int arg, const char *name,
				  Continue *then)
{
	if (PG_ARGISNULL(arg))
		return;
	then->function = PG_GETARG_OID(arg);
	then->signature = continuation_signature(then->function, name);
}

/* A replay does not ask this again. */
static void
check_continuations(const Submission *s)
{
	if (s->on_complete.signature != NULL)
		continuation_check(s->on_complete.function, "on_complete");
	if (s->on_doubt.signature != NULL)
		continuation_check(s->on_doubt.function, "on_doubt");
}

static void
read_reentrancy(FunctionCallInfo fcinfo, Submission *s)
{
	if (PG_ARGISNULL(ARG_REENTRANCY))
		return;
	s->reentrancy = PG_GETARG_TEXT_PP(ARG_REENTRANCY);
	s->override = text_to_cstring(s->reentrancy);
	reentrancy_check_override(s->override);
}

static void
read_arguments(FunctionCallInfo fcinfo, Submission *s)
{
	input_require(fcinfo, ARG_LEDGER, "ledger");
	input_require(fcinfo, ARG_ACCOUNT, "account");
	input_require(fcinfo, ARG_SERVER, "server");
	input_require(fcinfo, ARG_AMOUNT, "amount");
	input_require(fcinfo, ARG_COUNTERPARTY, counterparty_name(s));
	require_nonce(fcinfo);
	s->ledger = PG_GETARG_INT64(ARG_LEDGER);
	s->account = PG_GETARG_INT64(ARG_ACCOUNT);
	s->server = NameStr(*PG_GETARG_NAME(ARG_SERVER));
	s->amount = PG_GETARG_NUMERIC(ARG_AMOUNT);
	s->counterparty = input_label(fcinfo, ARG_COUNTERPARTY,
								  counterparty_name(s));
	s->nonce = input_label(fcinfo, ARG_NONCE, "nonce");
	s->payload = read_payload(fcinfo);
	s->has_expires_in = !PG_ARGISNULL(ARG_EXPIRES_IN);
	s->expires_in_us = teller_operation_expiry_s * USECS_PER_SEC;
	if (s->has_expires_in)
		s->expires_in_us = read_interval(fcinfo, ARG_EXPIRES_IN, "expires_in",
										 MIN_EXPIRES_IN_US, MAX_EXPIRES_IN_US,
										 "1 second to 365 days");
	s->has_attempt_timeout = !PG_ARGISNULL(ARG_ATTEMPT_TIMEOUT);
	if (s->has_attempt_timeout)
		s->attempt_timeout_us = read_interval(fcinfo, ARG_ATTEMPT_TIMEOUT,
											  "attempt_timeout",
											  MIN_ATTEMPT_TIMEOUT_US,
											  MAX_ATTEMPT_TIMEOUT_US,
											  "100 milliseconds to 1 hour");
	read_reentrancy(fcinfo, s);
	s->on_denial = input_on_denial(fcinfo, ARG_ON_DENIAL);
	if (s->on_denial == DENIAL_RECORD)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an operation that is denied is not recorded"),
				 errhint("Use 'raise' or 'return'; the nonce stays free.")));
}

/* What the nonce stands for: every argument as given, but on_denial. */
static void
describe_call(FunctionCallInfo fcinfo, Submission *s)
{
	KeyCall    *call = &s->call;

	call->function = s->deposit ? "deposit" : "withdraw";
	key_add_string(call, "server", s->server);
	key_add_numeric(call, "amount", false, NumericGetDatum(s->amount));
	key_add_text(call, counterparty_name(s), s->counterparty);
	key_add_jsonb(call, "payload", s->payload);
	key_add_interval(call, "expires_in", !s->has_expires_in,
					 s->has_expires_in ? PG_GETARG_DATUM(ARG_EXPIRES_IN) : 0);
	key_add_interval(call, "attempt_timeout", !s->has_attempt_timeout,
					 s->has_attempt_timeout ?
					 PG_GETARG_DATUM(ARG_ATTEMPT_TIMEOUT) : 0);
	key_add_text(call, "reentrancy", s->reentrancy);
	key_add_string(call, "on_complete", s->on_complete.signature);
	key_add_string(call, "on_doubt", s->on_doubt.signature);
}

/* ---- the result ------------------------------------------------------- */

static Datum
memo_datum(const uint8 *memo)
{
	bytea	   *copy = palloc(VARHDRSZ + MEMO_BYTES);

	SET_VARSIZE(copy, VARHDRSZ + MEMO_BYTES);
	memcpy(VARDATA(copy), memo, MEMO_BYTES);
	return PointerGetDatum(copy);
}

static void
result_submitted(Submission *s, const pg_uuid_t *id, OpState state)
{
	s->values[RESULT_ID] = UUIDPGetDatum(id);
	s->values[RESULT_NONCE] = PointerGetDatum(s->nonce);
	s->values[RESULT_MEMO] = memo_datum(s->memo);
	s->values[RESULT_STATE] = CStringGetTextDatum(operation_state_name(state));
	s->nulls[RESULT_REASON] = true;
	s->values[RESULT_REPLAYED] = BoolGetDatum(false);
}

static void
result_denied(Submission *s, const Denial *denial)
{
	s->nulls[RESULT_ID] = s->nulls[RESULT_MEMO] = true;
	s->values[RESULT_NONCE] = PointerGetDatum(s->nonce);
	s->values[RESULT_STATE] = CStringGetTextDatum("denied");
	s->values[RESULT_REASON] = CStringGetTextDatum(denial_reason(denial));
	s->values[RESULT_REPLAYED] = BoolGetDatum(false);
}

static void
result_replayed(Submission *s, TupleTableSlot *slot)
{
	static const int columns[][2] = {
		{RESULT_ID, OPERATION_ID},
		{RESULT_NONCE, OPERATION_NONCE},
		{RESULT_MEMO, OPERATION_MEMO},
		{RESULT_STATE, OPERATION_STATE},
		{RESULT_REASON, OPERATION_REASON}
	};
	TupleDesc	desc = slot->tts_tupleDescriptor;

	stats_note_replay();
	for (int i = 0; i < lengthof(columns); i++)
	{
		int			from = columns[i][1];
		Form_pg_attribute att = TupleDescAttr(desc, from);

		s->nulls[columns[i][0]] = slot->tts_isnull[from];
		if (!slot->tts_isnull[from])
			s->values[columns[i][0]] = datumCopy(slot->tts_values[from],
												 att->attbyval, att->attlen);
	}
	s->values[RESULT_REPLAYED] = BoolGetDatum(true);
}

/* ---- replays ---------------------------------------------------------- */

/* False if the nonce is free.  TL003 if it was used otherwise. */
static bool
replay(Submission *s)
{
	Rel		   *rel = rel_open(REL_OPERATION, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[3] = {Int64GetDatum(s->ledger), Int64GetDatum(s->account),
	PointerGetDatum(s->nonce)};
	bool		found = rel_await_row_by(rel, "operation_nonce", 3, keys, slot);

	if (found)
	{
		slot_getallattrs(slot);
		key_compare(&s->call,
					TextDatumGetCString(slot->tts_values[OPERATION_DIRECTION]),
					DatumGetJsonbP(slot->tts_values[OPERATION_ARGUMENTS]),
					psprintf("nonce \"%s\" of account %lld of ledger %lld",
							 text_to_cstring(s->nonce),
							 (long long) s->account, (long long) s->ledger));
		result_replayed(s, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return found;
}

/* ---- before the locks ------------------------------------------------- */

static void
require_worker(const Server *server)
{
	if (server->kind == SERVER_PULL || teller_is_preloaded())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("pg_teller has no worker to reach server \"%s\"",
					server->name),
			 errhint("Put this line into postgresql.conf and restart the server: shared_preload_libraries = 'pg_teller'")));
}

static void
check_settlement(const Submission *s)
{
	if (s->account == s->settlement_account)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("account %lld of ledger %lld is the settlement account of server \"%s\"",
						(long long) s->account, (long long) s->ledger,
						s->server),
				 errhint("Name the account whose money it is.")));
}

static void
name_operation(Submission *s, const Movement *movement)
{
	MemoParts  *parts = &s->parts;

	parts->origin = &s->origin;
	parts->direction = s->call.function;
	parts->ledger = s->ledger;
	parts->account = s->account;
	parts->nonce = text_to_cstring(s->nonce);
	parts->amount = amount_to_text(movement->amount, movement->scale);
	parts->asset = movement->debit->asset;
	parts->server = s->server;
	parts->counterparty = text_to_cstring(s->counterparty);
	if (s->payload != NULL)
		parts->payload = JsonbToCString(NULL, &s->payload->root,
										VARSIZE(s->payload));
	memo_compute(parts, s->memo);
}

static void
prepare(Submission *s)
{
	s->route = server_require(s->server);
	check_continuations(s);
	s->pulled = s->route->kind == SERVER_PULL;
	s->settlement_account = settlement_require(s->ledger, s->server);
	check_settlement(s);
	s->origin = instance_require();
	backlog_wait(s->ledger, s->account);
}

/* ---- under the locks -------------------------------------------------- */

static Movement *
decide(const Submission *s, const pg_uuid_t *id)
{
	HoldRequest request = {
		.ledger = s->ledger,
		.debit_account = s->deposit ? s->settlement_account : s->account,
		.credit_account = s->deposit ? s->account : s->settlement_account,
		.amount = s->amount,
		.operation_id = id
	};

	/* The operation's own account is locked in any case. */
	if (s->deposit)
	{
		int64		both[2] = {s->account, s->settlement_account};

		hold_enter();
		account_set_close(account_set_lock(s->ledger, both, 2));
	}
	return hold_decide_place(&request);
}

/*
 * A busy account is the reason why it has no money, so that is said first; a
 * missing worker only where the account takes operations.
 */
static Denial *
test_turn(Submission *s, const Movement *movement)
{
	const Account *account = s->deposit ? movement->credit : movement->debit;
	Denial	   *denial;
	bool		none;

	s->has_room = backlog_has_room(s->ledger, s->account, &none);
	reentrancy_take_turn(account, s->override, movement->set->now, none,
						 &s->turn);
	denial = s->turn.denial;
	if (denial == NULL || !denial->always_raised)
		require_worker(s->route);
	return denial != NULL ? denial : movement->denial;
}

static char *
make_request(const Submission *s, TimestampTz not_after)
{
	char	   *request = memo_request(&s->parts, s->memo, not_after);

	if (strlen(request) > (size_t) teller_max_request_bytes)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the request is larger than teller.max_request_bytes"),
				 errdetail("It has %zu bytes, the limit is %d.",
						   strlen(request), teller_max_request_bytes),
				 errhint("Send less in payload.")));
	return request;
}

static Datum
timeout_datum(const Submission *s)
{
	Interval   *timeout = palloc0(sizeof(Interval));

	timeout->time = s->attempt_timeout_us;
	return IntervalPGetDatum(timeout);
}

static void
fill_identity(Datum *values, bool *nulls, const Submission *s,
			  const Movement *movement)
{
	Jsonb	   *arguments = key_arguments(&s->call);

	values[OPERATION_LEDGER] = Int64GetDatum(s->ledger);
	values[OPERATION_ID] = s->values[RESULT_ID];
	values[OPERATION_ACCOUNT] = Int64GetDatum(s->account);
	values[OPERATION_SETTLEMENT_ACCOUNT] =
		Int64GetDatum(s->settlement_account);
	values[OPERATION_DIRECTION] = CStringGetTextDatum(s->call.function);
	values[OPERATION_SERVER] = DirectFunctionCall1(namein,
												   CStringGetDatum(s->server));
	values[OPERATION_NONCE] = PointerGetDatum(s->nonce);
	values[OPERATION_MEMO] = s->values[RESULT_MEMO];
	values[OPERATION_AMOUNT] = AmountGetDatum(movement->amount,
											  movement->scale);
	values[OPERATION_ASSET] = CStringGetTextDatum(s->parts.asset);
	values[OPERATION_COUNTERPARTY] = PointerGetDatum(s->counterparty);
	values[OPERATION_PAYLOAD] = JsonbPGetDatum(s->payload);
	nulls[OPERATION_PAYLOAD] = s->payload == NULL;
	values[OPERATION_ARGUMENTS] = JsonbPGetDatum(arguments);
	values[OPERATION_FINGERPRINT] =
		PointerGetDatum(key_fingerprint(s->call.function, arguments));
	values[OPERATION_SUBMITTER] = ObjectIdGetDatum(GetUserId());
	values[OPERATION_REENTRANCY] = CStringGetTextDatum(s->turn.mode);
	values[OPERATION_TICKET] = Int64GetDatum(s->turn.ticket);
	values[OPERATION_HOLD] = UUIDPGetDatum(&movement->hold->id);
}

static void
fill_continuation(Datum *values, bool *nulls, int column, const Continue *then)
{
	nulls[column] = then->signature == NULL;
	if (then->signature != NULL)
		values[column] = CStringGetTextDatum(then->signature);
}

/* The first values of what operation_write changes later. */
static void
fill_state(Datum *values, bool *nulls, const Submission *s,
		   const OpFacts *facts, const OpStep *first, TimestampTz now)
{
	static const int empty[] = {OPERATION_REASON, OPERATION_FIRST_SENT_AT,
		OPERATION_ENDED_AT, OPERATION_REFERENCE, OPERATION_RESPONSE,
	OPERATION_LAST_ERROR};

	values[OPERATION_STATE] =
		CStringGetTextDatum(operation_state_name(first->state));
	values[OPERATION_DIRTY] = BoolGetDatum(first->dirty);
	values[OPERATION_ATTEMPTS] = Int32GetDatum(first->attempts);
	values[OPERATION_SENDS] = Int32GetDatum(first->sends);
	values[OPERATION_RECHECKS] = Int32GetDatum(first->rechecks);
	values[OPERATION_LAST_ATTEMPT] = Int32GetDatum(0);
	values[OPERATION_CANCEL_REQUESTED] = BoolGetDatum(false);
	values[OPERATION_FOUND_NOTHING] = BoolGetDatum(first->found_nothing);
	values[OPERATION_ATTEMPT_TIMEOUT] = timeout_datum(s);
	nulls[OPERATION_ATTEMPT_TIMEOUT] = !s->has_attempt_timeout;
	values[OPERATION_NEXT_TRY_AT] = TimestampTzGetDatum(first->next_try);
	values[OPERATION_NOT_AFTER] = TimestampTzGetDatum(facts->not_after);
	values[OPERATION_EXPIRES_AT] = TimestampTzGetDatum(facts->expires_at);
	values[OPERATION_CREATED_AT] = TimestampTzGetDatum(now);
	for (int i = 0; i < lengthof(empty); i++)
		nulls[empty[i]] = true;
}

/* False, with nothing written, if a twin came first. */
static bool
insert_operation(Submission *s, const Movement *movement, const pg_uuid_t *id)
{
	Rel		   *rel = rel_open(REL_OPERATION, RowExclusiveLock);
	TimestampTz now = movement->set->now;
	OpFacts		facts = {.not_after = now + s->expires_in_us,
	.predecessor_open = s->turn.waits};
	OpStep		first = operation_begin(&facts, now);
	Datum		values[OPERATION_COLUMNS] = {0};
	bool		nulls[OPERATION_COLUMNS] = {0};
	bool		inserted;

	facts.expires_at = facts.not_after +
		teller_not_after_margin_s * USECS_PER_SEC;
	name_operation(s, movement);
	result_submitted(s, id, first.state);
	fill_identity(values, nulls, s, movement);
	fill_state(values, nulls, s, &facts, &first, now);
	fill_continuation(values, nulls, OPERATION_ON_COMPLETE, &s->on_complete);
	fill_continuation(values, nulls, OPERATION_ON_DOUBT, &s->on_doubt);
	values[OPERATION_REQUEST] =
		CStringGetTextDatum(make_request(s, facts.not_after));
	inserted = rel_insert_if_absent(rel, values, nulls);
	rel_close(rel);
	return inserted;
}

/*
 * What the row needs beside its commit: a flush, a wake-up after it, and a
 * place in the count.  With what an application fetches, the worker has
 * nothing to do before its not_after.
 */
static void
announce(const Submission *s, TimestampTz now)
{
	ForceSyncCommit();
	wake_at_commit(s->pulled ? now + s->expires_in_us : DT_NOBEGIN);
	backlog_note_begun();
	WAIT_POINT("submit_before_commit");
}

/* False if a twin came first: look again. */
static bool
run_once(Submission *s)
{
	pg_uuid_t  *id = clock_new_id();
	Movement   *movement = decide(s, id);
	Denial	   *denial = test_turn(s, movement);
	bool		full = denial == NULL && !s->has_room;
	bool		done = true;

	if (denial == NULL && !full)
	{
		done = insert_operation(s, movement, id);
		if (done)
		{
			movement_write(movement);
			announce(s, movement->set->now);
		}
		movement_close(movement);
		return done;
	}
	movement_close(movement);
	if (replay(s))
		return true;
	if (full)
		backlog_raise_full(s->ledger, s->account);
	if (s->on_denial == DENIAL_RAISE || denial->always_raised)
		denial_raise(denial);
	result_denied(s, denial);
	return true;
}

/* ---- SQL functions ---------------------------------------------------- */

static Datum
submit(FunctionCallInfo fcinfo, bool deposit)
{
	Submission	submission = {.deposit = deposit};
	Submission *s = &submission;

	read_arguments(fcinfo, s);
	access_require(s->ledger, ACCESS_OPERATE);
	amount_check(s->amount, "amount");
	read_continuation(fcinfo, ARG_ON_COMPLETE, "on_complete", &s->on_complete);
	read_continuation(fcinfo, ARG_ON_DOUBT, "on_doubt", &s->on_doubt);
	describe_call(fcinfo, s);
	if (!replay(s))
	{
		prepare(s);
		while (!run_once(s) && !replay(s))
			CHECK_FOR_INTERRUPTS();
	}
	return input_result(fcinfo, s->values, s->nulls);
}

PG_FUNCTION_INFO_V1(teller_withdraw);

/* teller.withdraw: see its COMMENT. */
Datum
teller_withdraw(PG_FUNCTION_ARGS)
{
	return submit(fcinfo, false);
}

PG_FUNCTION_INFO_V1(teller_deposit);

/* teller.deposit: see its COMMENT. */
Datum
teller_deposit(PG_FUNCTION_ARGS)
{
	return submit(fcinfo, true);
}
