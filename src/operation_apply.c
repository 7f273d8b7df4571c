/*-------------------------------------------------------------------------
 *
 * operation_apply.c
 *	  The only place that changes an operation: take its row, ask the
 *	  transition function, carry out what it answers.
 *
 * Lock order: accounts by account_id, the operation, its hold.  Whether an
 * event moves money is known for certain only under the row's lock, so the
 * accounts are locked first in any case.  A claim locks no account: it must
 * not wait, and where its step would move money it writes nothing and leaves
 * that to operation_apply.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/async.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "backlog.h"
#include "clock.h"
#include "compat.h"
#include "guc.h"
#include "hold.h"
#include "instance.h"
#include "operation.h"
#include "reentrancy.h"

#define MS_US INT64CONST(1000)

/* Beyond the timeouts of a call, before its caller counts as lost. */
#define LEASE_SLACK_US (30 * USECS_PER_SEC)

/* Fuller than this, the notification queue is left to those who need it. */
#define NOTIFY_QUEUE_LIMIT 0.5

#define OP_DO_MOVE (OP_DO_CAPTURE | OP_DO_RELEASE)

/* ---- policy ----------------------------------------------------------- */

/*
 * Of a server that is gone nothing is known, so nothing counts as proof but
 * what it said while it was there.
 */
static void
server_policy(const Server *server, OpPolicy *policy)
{
	int			timeout_ms = teller_attempt_timeout_ms;

	if (server != NULL)
	{
		policy->honours_memo = server->honours_memo;
		policy->can_fence = server->can_fence;
		policy->can_lookup = server->can_lookup;
		policy->memo_retention = server->memo_retention_s * USECS_PER_SEC;
		if (server->timeout_ms > 0)
			timeout_ms = server->timeout_ms;
	}
	policy->attempt_timeout = timeout_ms * MS_US;
}

void
operation_policy(const Server *server, OpPolicy *policy)
{
	memset(policy, 0, sizeof(OpPolicy));
	server_policy(server, policy);
	policy->not_after_margin = teller_not_after_margin_s * USECS_PER_SEC;
	policy->max_attempts = teller_max_attempts;
	policy->backoff_base = teller_backoff_base_ms * MS_US;
	policy->backoff_max = teller_backoff_max_ms * MS_US;
	policy->recheck_max = OPERATION_RECHECK_MAX_US;
	policy->dispatch_enabled = teller_dispatch;
	policy->adopted = instance_state() == INSTANCE_OURS;
	policy->slot_free = true;
	policy->circuit_open = false;
}

static void
policy_of_operation(const Operation *operation, OpPolicy *policy)
{
	Oid			oid = get_foreign_server_oid(NameStr(operation->server), true);
	const char *problem = NULL;

	operation_policy(OidIsValid(oid) ? server_try(oid, &problem) : NULL,
					 policy);
}

/* ---- carrying out a step ---------------------------------------------- */

static void
lock_accounts(const Operation *operation)
{
	int64		accounts[2] = {operation->account,
	operation->settlement_account};

	/* A movement may be decided afterwards. */
	hold_enter();
	account_set_close(account_set_lock(operation->ledger, accounts, 2));
}

/*
 * A release by itself locks the credit account only if that has a maximum;
 * but whoever ends an operation lets its successor go, which takes the lock
 * of the operation's own account.
 */
static Movement *
decide_movement(const Operation *operation, uint32 actions)
{
	if (actions & OP_DO_CAPTURE)
		return hold_decide_capture(operation->ledger, &operation->hold, NULL,
								   true, &operation->id);
	if ((actions & OP_DO_RELEASE) == 0)
		return NULL;
	lock_accounts(operation);
	return hold_decide_release(operation->ledger, &operation->hold,
							   &operation->id);
}

/* Nothing but its operation ends the hold of an operation. */
static void
move(const Operation *operation, Movement *movement)
{
	if (movement->denial != NULL)
		elog(ERROR, "operation %s has lost its hold: %s",
			 clock_id_text(&operation->id), movement->denial->message);
	movement_write(movement);
}

static const char *
finding_kind(const Operation *operation, const OpStep *step)
{
	if (step->actions & OP_DO_AUDIT)
		return "resolved";
	if (step->state == OP_CONFLICT)
		return "conflict";
	if (operation->facts.state == OP_REFUNDED)
		return "executed_after_refund";
	return "executed_unsent";
}

static void
write_finding(const Operation *operation, const OpStep *step,
			  const OperationNews *news, TimestampTz now)
{
	bool		audit = (step->actions & OP_DO_AUDIT) != 0;
	const char *detail = audit ? news->evidence : news->detail;

	finding_write(operation, finding_kind(operation, step),
				  detail ? detail : news->outcome,
				  audit ? GetUserId() : InvalidOid, now);
}

/* A tick that finds nothing to do leaves the row as it is. */
static bool
is_change(const Operation *operation, const OpStep *step,
		  const OperationNews *news)
{
	return step->legal &&
		!operation_state_is_terminal(operation->facts.state) &&
		(step->state != operation->facts.state || step->actions != 0 ||
		 step->next_try != operation->facts.next_try || news->attempt > 0);
}

/* All but the money: the row, the attempt, the finding. */
static void
write_step(Rel *rel, TupleTableSlot *slot, Operation *operation,
		   const OpStep *step, const OperationNews *news, TimestampTz now)
{
	OperationNotes notes = {.now = now};

	notes.cancel_requested =
		(step->actions & OP_DO_SET_CANCEL_REQUESTED) != 0;
	notes.reference = news->reference;
	notes.response = news->response;
	notes.error = news->detail;
	if (is_change(operation, step, news))
		operation_write(rel, slot, operation, step, &notes);
	if (news->attempt > 0)
		attempt_end(operation, news->attempt, news->outcome, news->detail,
					now);
	if (step->actions & (OP_DO_FINDING | OP_DO_AUDIT))
		write_finding(operation, step, news, now);
	if (step->state != operation->facts.state &&
		operation_state_is_terminal(step->state))
		backlog_note_ended();
}

/* ---- events ----------------------------------------------------------- */

static OpStep
ask(const Operation *operation, const OpPolicy *policy,
	const OperationNews *news, double jitter, TimestampTz now)
{
	OpEvent		event = news->event;

	event.now = now;
	event.jitter = jitter;
	event.current_attempt = news->attempt > 0 &&
		news->attempt == operation->last_attempt;
	return operation_step(&operation->facts, policy, &event);
}

static void
tell_change(OperationChange *change, const Operation *operation,
			const OpStep *step)
{
	change->legal = step->legal;
	change->before = operation->facts.state;
	change->after = step->state;
	change->reason = step->reason;
	change->actions = step->actions;
	change->server = operation->server;
}

/*
 * The row's lock comes last of all; what it shows may differ from what was
 * seen without it, and then the movement is decided again.  The accounts are
 * locked by then.
 */
static void
apply_to_row(Rel *rel, TupleTableSlot *slot, Operation *operation,
			 const OperationNews *news, OperationChange *change)
{
	double		jitter = pg_prng_double(&pg_global_prng_state);
	Datum		keys[2] = {Int64GetDatum(news->ledger),
	UUIDPGetDatum(&news->id)};
	OpPolicy	policy;
	OpStep		step;
	uint32		guess;
	Movement   *movement;
	TimestampTz now;

	policy_of_operation(operation, &policy);
	guess = ask(operation, &policy, news, jitter, clock_read()).actions &
		OP_DO_MOVE;
	movement = decide_movement(operation, guess);
	if (movement == NULL)
		lock_accounts(operation);
	if (!rel_lock_row(rel, 2, keys, LockTupleNoKeyExclusive, slot))
		operation_raise_missing(news->ledger, &news->id);
	operation_read(operation, slot);
	operation->facts.predecessor_open =
		operation->facts.state == OP_QUARANTINED &&
		reentrancy_waits(rel, operation);

	now = clock_read();
	if (movement != NULL)
		now = Max(now, movement->set->now);
	step = ask(operation, &policy, news, jitter, now);
	tell_change(change, operation, &step);
	if ((step.actions & OP_DO_MOVE) != guess)
	{
		if (movement != NULL)
			movement_close(movement);
		movement = decide_movement(operation, step.actions);
	}
	write_step(rel, slot, operation, &step, news, now);
	if (movement != NULL)
	{
		move(operation, movement);
		movement_close(movement);
	}
	if (operation_state_is_terminal(step.state) || step.state == OP_STASHED)
		reentrancy_advance(rel, operation, now);
}

void
operation_apply(const OperationNews *news, OperationChange *change)
{
	Rel		   *rel = rel_open(REL_OPERATION, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Operation	operation;

	memset(change, 0, sizeof(OperationChange));
	change->found = operation_peek(rel, news->ledger, &news->id, slot,
								   &operation);
	if (change->found)
		apply_to_row(rel, slot, &operation, news, change);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
}

/* ---- claims ----------------------------------------------------------- */

static OpVerb
verb_to_send(uint32 actions)
{
	if (actions & OP_DO_SEND_FENCE)
		return OP_VERB_FENCE;
	if (actions & OP_DO_SEND_LOOKUP)
		return OP_VERB_LOOKUP;
	return OP_VERB_EXECUTE;
}

/*
 * A lookup leaves the operation in doubt.  It is due again, so whoever sent
 * the lookup has not told what it found, and will not be waited for.
 */
static void
end_lost_lookup(const Operation *operation, TimestampTz now)
{
	if (operation->facts.state == OP_IN_DOUBT && operation->last_attempt > 0 &&
		attempt_is_open(operation))
		attempt_end(operation, operation->last_attempt, "lost",
					"no answer to it came in time", now);
}

ClaimAnswer
operation_claim(Rel *rel, TupleTableSlot *slot, OperationClaim *claim)
{
	Operation  *operation = &claim->operation;
	OpPolicy	mine = *claim->policy;
	OperationNotes notes = {.now = clock_read()};
	OpEvent		event = {.kind = OP_EV_CLAIM,.now = notes.now};
	OpStep		step;

	if (!rel_lock_if_free(rel, slot, LockTupleNoKeyExclusive))
		return CLAIM_BUSY;
	operation_read(operation, slot);
	if (operation->attempt_timeout_ms > 0)
		mine.attempt_timeout = operation->attempt_timeout_ms * MS_US;
	event.jitter = pg_prng_double(&pg_global_prng_state);
	event.lease = claim->lease_us > 0 ? claim->lease_us :
		2 * mine.attempt_timeout + teller_connect_timeout_ms * MS_US +
		LEASE_SLACK_US;
	step = operation_step(&operation->facts, &mine, &event);
	if (!step.legal)
		return CLAIM_NOTHING;
	if (step.actions & OP_DO_MOVE)
		return CLAIM_ENDS;
	if (step.actions & OP_DO_SEND_ANY)
	{
		end_lost_lookup(operation, notes.now);
		operation->last_attempt++;
	}
	operation_write(rel, slot, operation, &step, &notes);
	if (step.actions & OP_DO_NOTIFY)
		operation_notify(operation->ledger, &operation->id, step.state);
	if ((step.actions & OP_DO_SEND_ANY) == 0)
		return CLAIM_NOTHING;
	claim->verb = verb_to_send(step.actions);
	claim->lease_until = step.next_try;
	attempt_begin(operation, claim->verb, claim->worker, notes.now);
	return CLAIM_SEND;
}

/* ---- leases ----------------------------------------------------------- */

bool
operation_lapse(Rel *rel, TupleTableSlot *slot)
{
	OperationNotes notes = {.error = "the lease ran out"};
	OpEvent		event = {.kind = OP_EV_TICK};
	Operation	operation;
	OpPolicy	policy;
	OpStep		step;

	if (!rel_lock_if_free(rel, slot, LockTupleNoKeyExclusive))
		return false;
	operation_read(&operation, slot);
	if (operation.facts.state != OP_IN_FLIGHT &&
		operation.facts.state != OP_FENCING)
		return false;
	policy_of_operation(&operation, &policy);
	event.now = notes.now = clock_read();
	event.jitter = pg_prng_double(&pg_global_prng_state);
	step = operation_step(&operation.facts, &policy, &event);
	if (step.state == operation.facts.state)
		return false;
	Assert((step.actions & OP_DO_MOVE) == 0);
	operation_write(rel, slot, &operation, &step, &notes);
	attempt_end(&operation, operation.last_attempt, "lost", notes.error,
				notes.now);
	if (step.actions & OP_DO_NOTIFY)
		operation_notify(operation.ledger, &operation.id, step.state);
	return true;
}

/* The lease is next_try: see OpFacts. */
static bool
is_leased(const Operation *operation, int attempt, TimestampTz now)
{
	OpState		state = operation->facts.state;

	return operation->last_attempt == attempt &&
		(state == OP_IN_FLIGHT || state == OP_FENCING ||
		 state == OP_IN_DOUBT) &&
		operation->facts.next_try > now && attempt_is_open(operation);
}

/* No step at all: the row as it is. */
static OpStep
unchanged(const OpFacts *facts)
{
	OpStep		step = {
		.state = facts->state,
		.reason = facts->reason,
		.dirty = facts->dirty,
		.found_nothing = facts->found_nothing,
		.attempts = facts->attempts,
		.sends = facts->sends,
		.rechecks = facts->rechecks,
		.next_try = facts->next_try,
		.first_sent_at = facts->first_sent_at,
		.legal = true
	};

	return step;
}

bool
operation_extend(int64 ledger, const pg_uuid_t *id, int attempt,
				 int64 lease_us, Operation *operation)
{
	Rel		   *rel = rel_open(REL_OPERATION, RowExclusiveLock);
	TupleTableSlot *slot = rel_make_slot(rel);
	Datum		keys[2] = {Int64GetDatum(ledger), UUIDPGetDatum(id)};
	OperationNotes notes = {0};
	bool		extended;

	if (!rel_lock_row(rel, 2, keys, LockTupleNoKeyExclusive, slot))
		operation_raise_missing(ledger, id);
	operation_read(operation, slot);
	notes.now = clock_read();
	extended = is_leased(operation, attempt, notes.now);
	if (extended)
	{
		OpStep		step = unchanged(&operation->facts);

		if (step.state != OP_IN_FLIGHT)
			lease_us = Min(lease_us, OPERATION_RECHECK_MAX_US);
		step.next_try = Max(step.next_try, notes.now + lease_us);
		operation_write(rel, slot, operation, &step, &notes);
	}
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
	return extended;
}

/* ---- hints ------------------------------------------------------------ */

/*
 * A listener that sleeps in a transaction may fill the queue, and then NOTIFY
 * fails at commit.  The money must not depend on that.
 */
void
operation_notify(int64 ledger, const pg_uuid_t *id, OpState state)
{
	Datum		usage = OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE);

	if (DatumGetFloat8(usage) > NOTIFY_QUEUE_LIMIT)
		return;
	Async_Notify("teller_operation",
				 psprintf("%lld %s %s", (long long) ledger, clock_id_text(id),
						  operation_state_name(state)));
}
