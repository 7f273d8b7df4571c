/*-------------------------------------------------------------------------
 *
 * reentrancy.c
 *	  Whether an operation may come beside the others of its account, and
 *	  whose turn it is.
 *
 * There is no guard that could be left behind by a crash: what is open in
 * teller.operation_data is the guard, and only a terminal state takes a row
 * out of it.  It is read and changed under the lock of the operation's own
 * account (not that of the settlement account), which every submission and
 * every end holds.
 *
 * Each operation draws a ticket when it is submitted, above those of all open
 * ones of its account: the time, or more if the clock was set back.  So the
 * order of tickets is the order of the locks.  One with mode queue is stashed
 * until it is the first of the open ones, whatever the modes of the others.
 * Whoever ends an operation makes its successor held in the same transaction;
 * nobody polls.
 *
 * Everything is looked up in the newest snapshot.  A deposit does not always
 * change its account's row, so at REPEATABLE READ the lock alone would not
 * show that the transaction's snapshot is too old.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "reentrancy.h"
#include "wake.h"

#define MODE_OFF	"off"
#define MODE_REJECT "reject"
#define MODE_ALLOW	"allow"
#define MODE_QUEUE	"queue"

static bool
is_mode(const char *mode, const char *other)
{
	return strcmp(mode, other) == 0;
}

void
reentrancy_check_override(const char *mode)
{
	if (is_mode(mode, MODE_REJECT) || is_mode(mode, MODE_ALLOW) ||
		is_mode(mode, MODE_QUEUE))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("reentrancy must be 'reject', 'allow' or 'queue', not \"%s\"",
					mode)));
}

/* ---- what is open ----------------------------------------------------- */

/* The first row of a scan that this function ends; false if it has none. */
static bool
take_first(RelScan *scan, Snapshot snapshot, TupleTableSlot *slot,
		   Operation *operation)
{
	bool		found = rel_scan_next(scan, slot);

	if (found)
		operation_read(operation, slot);
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	return found;
}

/* The open operation of an account with the lowest ticket. */
static bool
find_first(Rel *rel, TupleTableSlot *slot, int64 ledger, int64 account,
		   Operation *first)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Datum		keys[2] = {Int64GetDatum(ledger), Int64GetDatum(account)};

	return take_first(rel_scan_begin(rel, "operation_open", snapshot, 2, keys),
					  snapshot, slot, first);
}

/*
 * The stashed one with the lowest ticket from this one's on.  An account
 * without a queue has nothing in this index, however many of its operations
 * have ended since an old snapshot was taken.
 */
static bool
find_stashed(Rel *rel, TupleTableSlot *slot, const Operation *from,
			 Operation *stashed)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Datum		keys[2] = {Int64GetDatum(from->ledger),
	Int64GetDatum(from->account)};

	return take_first(rel_scan_past(rel, "operation_stashed", snapshot, 2,
									keys, Int64GetDatum(from->ticket - 1)),
					  snapshot, slot, stashed);
}

/* As a rule no ticket is that high, and the scan finds nothing. */
static int64
draw_ticket(Rel *rel, TupleTableSlot *slot, const Account *account,
			TimestampTz now)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Datum		keys[2] = {Int64GetDatum(account->ledger),
	Int64GetDatum(account->id)};
	RelScan    *scan = rel_scan_past(rel, "operation_open", snapshot, 2, keys,
									 Int64GetDatum(now - 1));
	int64		ticket = now;

	while (rel_scan_next(scan, slot))
	{
		slot_getallattrs(slot);
		ticket = DatumGetInt64(slot->tts_values[OPERATION_TICKET]) + 1;
	}
	rel_scan_end(scan);
	rel_forget_snapshot(snapshot);
	return ticket;
}

/*
 * On a hot account that others use at the same time nobody is behind anybody.
 * The ticket only has to be another than theirs, who draw in this microsecond.
 */
static int64
draw_ticket_of_many(TimestampTz now)
{
	return (int64) (((uint64) now << 10) | (teller_my_procno & 1023));
}

/* ---- a new operation -------------------------------------------------- */

static Denial *
deny_off(const Account *account)
{
	return denial_make(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					   psprintf("account %lld of ledger %lld takes no operations",
								(long long) account->id,
								(long long) account->ledger),
					   pstrdup("Its reentrancy is 'off'."), NULL);
}

static Denial *
deny_hot(const Account *account, const char *override)
{
	return denial_make(ERRCODE_FEATURE_NOT_SUPPORTED,
					   psprintf("an operation of hot account %lld of ledger %lld cannot have reentrancy '%s'",
								(long long) account->id,
								(long long) account->ledger, override),
					   psprintf("Its account has '%s', so that its operations do not wait for each other.",
								account->reentrancy),
					   pstrdup("Give the account that reentrancy with teller.set_reentrancy()."));
}

/* What no other turn would mend, or NULL. */
static Denial *
test_mode(const Account *account, const char *override)
{
	Denial	   *denial = NULL;

	if (account->hot && override != NULL && !is_mode(override, MODE_ALLOW) &&
		!is_mode(override, account->reentrancy))
		denial = deny_hot(account, override);
	else if (is_mode(account->reentrancy, MODE_OFF))
		denial = deny_off(account);
	if (denial != NULL)
		denial->always_raised = true;
	return denial;
}

static Denial *
deny_busy(const Account *account, const Operation *open)
{
	return denial_make(ERRCODE_TELLER_ACCOUNT_BUSY,
					   psprintf("account %lld of ledger %lld has an open operation",
								(long long) account->id,
								(long long) account->ledger),
					   psprintf("Operation %s is %s.",
								clock_id_text(&open->id),
								operation_state_name(open->facts.state)),
					   psprintf("Wait for its end: SELECT teller.await(%lld, '%s').",
								(long long) account->ledger,
								clock_id_text(&open->id)));
}

void
reentrancy_take_turn(const Account *account, const char *override,
					 TimestampTz now, bool none, ReentrancyTurn *turn)
{
	Rel		   *rel;
	TupleTableSlot *slot;
	Operation	first;
	bool		busy = false;

	memset(turn, 0, sizeof(ReentrancyTurn));
	turn->mode = override != NULL ? override : account->reentrancy;
	turn->denial = test_mode(account, override);
	if (turn->denial != NULL)
		return;
	turn->ticket = now;
	if (account->use >= 0 && !account->alone)
		turn->ticket = draw_ticket_of_many(now);
	else if (none)
		return;
	rel = rel_open(REL_OPERATION, RowExclusiveLock);
	slot = rel_make_slot(rel);
	if (account->use < 0 || account->alone)
		turn->ticket = draw_ticket(rel, slot, account, now);
	if (!is_mode(turn->mode, MODE_ALLOW))
		busy = find_first(rel, slot, account->ledger, account->id, &first);
	if (busy && is_mode(turn->mode, MODE_REJECT))
		turn->denial = deny_busy(account, &first);
	turn->waits = busy && is_mode(turn->mode, MODE_QUEUE);
	ExecDropSingleTupleTableSlot(slot);
	rel_close(rel);
}

/* ---- whose turn it is ------------------------------------------------- */

bool
reentrancy_waits(Rel *rel, const Operation *operation)
{
	TupleTableSlot *slot;
	Operation	first;
	bool		waits;

	if (!operation->queues)
		return false;
	slot = rel_make_slot(rel);
	waits = find_first(rel, slot, operation->ledger, operation->account,
					   &first) && first.ticket < operation->ticket;
	ExecDropSingleTupleTableSlot(slot);
	return waits;
}

/*
 * Nobody keeps this row locked for long: it is not claimed while it is
 * stashed, and whoever ends or resolves one locks the account first.
 */
static void
unstash(Rel *rel, TupleTableSlot *slot, Operation *operation, TimestampTz now)
{
	Datum		keys[2] = {Int64GetDatum(operation->ledger),
	UUIDPGetDatum(&operation->id)};
	OpPolicy	policy = {0};	/* this event asks nothing of it */
	OpEvent		event = {.kind = OP_EV_PREDECESSOR_ENDED,.now = now};
	OperationNotes notes = {.now = now};
	OpStep		step;

	if (!rel_lock_row(rel, 2, keys, LockTupleNoKeyExclusive, slot))
		operation_raise_missing(operation->ledger, &operation->id);
	operation_read(operation, slot);
	step = operation_step(&operation->facts, &policy, &event);
	if (!step.legal)
		return;
	operation_write(rel, slot, operation, &step, &notes);
	CommandCounterIncrement();
	wake_at_commit(DT_NOBEGIN);
}

void
reentrancy_advance(Rel *rel, const Operation *operation, TimestampTz now)
{
	TupleTableSlot *slot = rel_make_slot(rel);
	Operation	stashed;
	Operation	first;

	/* What the caller has written must be seen. */
	CommandCounterIncrement();
	if (find_stashed(rel, slot, operation, &stashed) &&
		find_first(rel, slot, operation->ledger, operation->account,
				   &first) &&
		first.ticket == stashed.ticket)
		unstash(rel, slot, &stashed, now);
	ExecDropSingleTupleTableSlot(slot);
}

/* ---- teller.set_reentrancy -------------------------------------------- */

static void
store(int64 ledger, int64 account, text *mode)
{
	static const char sql[] =
		"UPDATE teller.account SET reentrancy = $3"
		" WHERE ledger_id = $1 AND account_id = $2";
	Datum		values[3] = {Int64GetDatum(ledger), Int64GetDatum(account),
	PointerGetDatum(mode)};
	OwnerScope	scope;

	owner_begin(&scope);
	(void) owner_execute(sql, "iit", values, NULL, false);
	owner_end(&scope);
	CommandCounterIncrement();
}

PG_FUNCTION_INFO_V1(teller_set_reentrancy);

/* teller.set_reentrancy: see its COMMENT. */
Datum
teller_set_reentrancy(PG_FUNCTION_ARGS)
{
	AccountSet *set;
	char	   *mode;
	int64		account;
	bool		same;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "account");
	input_require(fcinfo, 2, "reentrancy");
	access_require_owner("teller.set_reentrancy()");
	mode = text_to_cstring(PG_GETARG_TEXT_PP(2));
	account_check_reentrancy(mode);
	PreventCommandIfReadOnly("a call of pg_teller that writes");
	PreventCommandIfParallelMode("a call of pg_teller that writes");
	account = PG_GETARG_INT64(1);
	set = account_set_lock_as(PG_GETARG_INT64(0), &account, 1, ACCOUNT_ROW);
	same = is_mode(set->accounts[0].reentrancy, mode);
	account_set_close(set);
	if (!same)
		store(PG_GETARG_INT64(0), account, PG_GETARG_TEXT_PP(2));
	PG_RETURN_VOID();
}
