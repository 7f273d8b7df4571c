/*-------------------------------------------------------------------------
 *
 * operation.c
 *	  What people decide about an operation: teller.cancel and
 *	  teller.resolve.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "access.h"
#include "await.h"
#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "operation.h"
#include "wake.h"

/* In the caller's transaction.  TL009 if there is no such operation. */
static void
apply(OperationNews *news, OpEventKind kind, OperationChange *change)
{
	news->event.kind = kind;
	operation_apply(news, change);
	if (!change->found)
		operation_raise_missing(news->ledger, &news->id);
	if (change->actions & OP_DO_NOTIFY)
		operation_notify(news->ledger, &news->id, change->after);
	if (operation_state_is_terminal(change->after))
		await_tell_at_commit(&news->id);

	/* The worker acts on what it sees, so this commit is flushed too. */
	ForceSyncCommit();
	wake_at_commit(DT_NOBEGIN);
	CommandCounterIncrement();
}

static void
read_operation(FunctionCallInfo fcinfo, OperationNews *news)
{
	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "operation");
	memset(news, 0, sizeof(OperationNews));
	news->ledger = PG_GETARG_INT64(0);
	news->id = *PG_GETARG_UUID_P(1);
}

PG_FUNCTION_INFO_V1(teller_cancel);

/* teller.cancel: see its COMMENT. */
Datum
teller_cancel(PG_FUNCTION_ARGS)
{
	OperationNews news;
	OperationChange change;
	const char *answer = "cancel_requested";

	read_operation(fcinfo, &news);
	access_require(news.ledger, ACCESS_OPERATE);
	apply(&news, OP_EV_CANCEL_REQUEST, &change);
	if (operation_state_is_terminal(change.after))
		answer = operation_state_name(change.after);
	PG_RETURN_TEXT_P(cstring_to_text(answer));
}

/* ---- teller.resolve --------------------------------------------------- */

static bool
read_outcome(FunctionCallInfo fcinfo)
{
	char	   *outcome;

	input_require(fcinfo, 2, "outcome");
	outcome = text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (strcmp(outcome, "executed") == 0)
		return true;
	if (strcmp(outcome, "not_executed") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("outcome must be 'executed' or 'not_executed', not \"%s\"",
						outcome)));
	return false;
}

/* The reference is what the remote calls it; the note says who saw what. */
static void
read_evidence(FunctionCallInfo fcinfo, OperationNews *news, bool executed)
{
	text	   *reference;
	char	   *note;

	if (executed)
		input_require(fcinfo, 3, "reference");
	input_require(fcinfo, 4, "note");
	reference = input_label(fcinfo, 3, "reference");
	note = text_to_cstring(PG_GETARG_TEXT_PP(4));
	if (note[strspn(note, " \t\r\n")] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("note must not be empty"),
				 errhint("Say what proves the outcome.")));
	if (reference != NULL)
		news->reference = text_to_cstring(reference);
	news->evidence = psprintf("%s; reference %s; %s",
							  executed ? "executed" : "not executed",
							  news->reference ? news->reference : "none",
							  note);
}

PG_FUNCTION_INFO_V1(teller_resolve);

/* teller.resolve: see its COMMENT. */
Datum
teller_resolve(PG_FUNCTION_ARGS)
{
	OperationNews news;
	OperationChange change;
	OpEventKind kind = OP_EV_RESOLVE_NOT_EXECUTED;

	read_operation(fcinfo, &news);
	access_require_owner("teller.resolve");
	if (read_outcome(fcinfo))
		kind = OP_EV_RESOLVE_EXECUTED;
	read_evidence(fcinfo, &news, kind == OP_EV_RESOLVE_EXECUTED);
	apply(&news, kind, &change);
	if (!change.legal)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("operation %s of ledger %lld is %s",
						clock_id_text(&news.id), (long long) news.ledger,
						operation_state_name(change.before)),
				 errhint("Only an operation that is in_doubt or conflict can be resolved.")));
	PG_RETURN_TEXT_P(cstring_to_text(operation_state_name(change.after)));
}
