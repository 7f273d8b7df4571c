/*-------------------------------------------------------------------------
 *
 * remote_execute.c
 *	  teller_remote.execute: a request from outside, from its arguments to
 *	  its answer.
 *
 * See remote.c for the rules.
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
#include "utils/fmgrprotos.h"

#include "clock.h"
#include "compat.h"
#include "guc.h"
#include "input.h"
#include "memo.h"
#include "remote_execute.h"
#include "transfer.h"

/* ---- what is asked ---------------------------------------------------- */

static bool
read_direction(FunctionCallInfo fcinfo)
{
	char	   *direction;
	bool		is_deposit;

	input_require(fcinfo, EXECUTE_DIRECTION, "direction");
	direction = text_to_cstring(PG_GETARG_TEXT_PP(EXECUTE_DIRECTION));
	is_deposit = strcmp(direction, "deposit") == 0;
	if (!is_deposit && strcmp(direction, "withdraw") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("direction must be 'withdraw' or 'deposit', not \"%s\"",
						direction)));
	return is_deposit;
}

/* What no ledger could ever execute is an error and not a refusal. */
static Numeric
read_amount(FunctionCallInfo fcinfo)
{
	Numeric		zero = int64_to_numeric(0);
	Numeric		amount;

	input_require(fcinfo, EXECUTE_AMOUNT, "amount");
	amount = PG_GETARG_NUMERIC(EXECUTE_AMOUNT);
	if (numeric_is_nan(amount) || numeric_is_inf(amount) ||
		DatumGetBool(DirectFunctionCall2(numeric_le, NumericGetDatum(amount),
										 NumericGetDatum(zero))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount must be a finite number above zero")));
	return amount;
}

static text *
read_text(FunctionCallInfo fcinfo, int arg, const char *name)
{
	input_require(fcinfo, arg, name);
	return PG_GETARG_TEXT_PP(arg);
}

/* Answers are kept for ever, so what they keep has a bound. */
static void
check_size(const Execution *execution, const Jsonb *payload)
{
	int64		size = VARSIZE_ANY_EXHDR(execution->account) +
		VARSIZE_ANY_EXHDR(execution->asset) +
		VARSIZE_ANY_EXHDR(execution->nonce);

	if (payload != NULL)
	{
		StringInfoData text;

		initStringInfo(&text);
		(void) JsonbToCString(&text, (JsonbContainer *) &payload->root,
							  VARSIZE(payload));
		size += text.len;
		pfree(text.data);
	}
	if (size > teller_max_request_bytes)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("request is larger than %d bytes",
						teller_max_request_bytes),
				 errhint("The limit is teller.max_request_bytes of this server.")));
}

void
execution_read(FunctionCallInfo fcinfo, Execution *execution)
{
	RemoteMemo *row = &execution->row;
	KeyCall    *call = &execution->call;
	Jsonb	   *payload = NULL;

	memset(execution, 0, sizeof(Execution));
	row->memo = remote_read_memo(fcinfo, EXECUTE_MEMO);
	input_require(fcinfo, EXECUTE_ORIGIN, "origin");
	row->origin = PG_GETARG_UUID_P(EXECUTE_ORIGIN);
	row->caller = GetUserId();
	input_require(fcinfo, EXECUTE_LEDGER, "ledger");
	row->has_ledger = true;
	row->ledger = PG_GETARG_INT64(EXECUTE_LEDGER);
	execution->is_deposit = read_direction(fcinfo);
	execution->account = read_text(fcinfo, EXECUTE_ACCOUNT, "account");
	execution->amount = read_amount(fcinfo);
	execution->asset = read_text(fcinfo, EXECUTE_ASSET, "asset");
	execution->nonce = read_text(fcinfo, EXECUTE_NONCE, "nonce");
	input_require(fcinfo, EXECUTE_NOT_AFTER, "not_after");
	execution->not_after = input_time(fcinfo, EXECUTE_NOT_AFTER, "not_after", 0);
	if (!PG_ARGISNULL(EXECUTE_PAYLOAD))
		payload = PG_GETARG_JSONB_P(EXECUTE_PAYLOAD);
	check_size(execution, payload);

	call->function = "execute";
	key_add_uuid(call, "origin", row->origin);
	key_add_bigint(call, "ledger", false, row->ledger);
	key_add_string(call, "direction",
				   execution->is_deposit ? "deposit" : "withdraw");
	key_add_text(call, "account", execution->account);
	key_add_numeric(call, "amount", false, NumericGetDatum(execution->amount));
	key_add_text(call, "asset", execution->asset);
	key_add_text(call, "nonce", execution->nonce);
	key_add_time(call, "not_after", false, execution->not_after);
	key_add_jsonb(call, "payload", payload);
	row->request = key_arguments(call);
}

/* ---- the stored answer ------------------------------------------------ */

static bool
same_value(Jsonb *a, Jsonb *b, const char *name)
{
	JsonbValue	buffer_a,
				buffer_b;
	JsonbValue *x = getKeyJsonValueFromContainer(&a->root, name, strlen(name),
												 &buffer_a);
	JsonbValue *y = getKeyJsonValueFromContainer(&b->root, name, strlen(name),
												 &buffer_b);

	if (x == NULL || y == NULL)
		return x == y;
	return compareJsonbContainers(&JsonbValueToJsonb(x)->root,
								  &JsonbValueToJsonb(y)->root) == 0;
}

/*
 * The first argument in which a request differs from the stored one.  Another
 * not_after is no other request: the memo does not cover it, and who lost his
 * copy in a restore cannot repeat it.
 */
static const char *
first_difference(const Execution *execution, Jsonb *stored)
{
	for (int i = 0; i < execution->call.count; i++)
		if (strcmp(execution->call.names[i], "not_after") != 0 &&
			!same_value(execution->row.request, stored,
						execution->call.names[i]))
			return execution->call.names[i];
	return NULL;
}

/* A tombstone has no request to compare with: it stands for any. */
bool
execution_replay(const Execution *execution, RemoteAnswer *answer)
{
	RemoteMemo	stored;
	const char *differs = NULL;

	if (!remote_memo_await(execution->row.memo, &stored))
		return false;
	if (stored.caller != GetUserId())
	{
		/* Only who has an account learns that there is such a memo. */
		(void) remote_require_account(execution->row.ledger);
		remote_raise_foreign_memo(execution->row.memo);
	}
	if (stored.request != NULL)
		differs = first_difference(execution, stored.request);
	if (differs != NULL)
	{
		memset(answer, 0, sizeof(RemoteAnswer));
		answer->status = "conflict";
		answer->reason = differs;
	}
	else
		*answer = stored.answer;
	return true;
}

/* ---- execute ---------------------------------------------------------- */

/* At most scale decimals, and below 10^38 in the smallest unit. */
static bool
amount_fits(Numeric amount, int scale)
{
	Amount		root = (Amount) UINT64CONST(10000000000000000000);
	Datum		value = NumericGetDatum(amount);
	Datum		limit = AmountGetDatum(root * root - 1, scale);

	return
		DatumGetInt32(DirectFunctionCall1(numeric_min_scale, value)) <= scale &&
		DatumGetBool(DirectFunctionCall2(numeric_le, value, limit));
}

static bool
is_in_asset(const Account *account, text *asset)
{
	return strcmp(account->asset, text_to_cstring(asset)) == 0;
}

const char *
execution_examine(const Execution *execution, const Account *mine,
				  int64 *other, Snapshot snapshot)
{
	int64		ledger = execution->row.ledger;
	const Account *account;

	if (!account_find(ledger, execution->account, snapshot, other))
		return "not_found";
	if (execution->is_deposit && !remote_has_mandate(ledger, *other))
		return "not_permitted";
	if (*other == mine->id)
		return "same_account";
	if (!is_in_asset(mine, execution->asset))
		return "asset_mismatch";
	if (!amount_fits(execution->amount, mine->scale))
		return "invalid_amount";
	account = account_peek(ledger, *other, snapshot);
	if (account == NULL || !is_in_asset(account, execution->asset))
		return "asset_mismatch";
	return NULL;
}

Account *
execution_account(int64 ledger, int64 mine, Snapshot snapshot)
{
	Account    *account = account_peek(ledger, mine, snapshot);

	if (account == NULL)
		account_raise_missing(ledger, mine);
	return account;
}

bool
execution_is_late(const Execution *execution)
{
	return clock_read() > execution->not_after;
}

Jsonb *
execution_metadata(const Execution *execution)
{
	KeyCall		metadata = {0};

	key_add_string(&metadata, "memo",
				   memo_hex((const uint8 *) VARDATA_ANY(execution->row.memo)));
	key_add_uuid(&metadata, "origin", execution->row.origin);
	key_add_text(&metadata, "nonce", execution->nonce);
	return key_arguments(&metadata);
}

bool
execution_store(Execution *execution, const char *status, const char *reason,
				TimestampTz now)
{
	RemoteAnswer *answer = &execution->row.answer;

	answer->status = status;
	answer->reason = reason;
	answer->asset = text_to_cstring(execution->asset);
	answer->has_executed_at = true;
	answer->executed_at = now;
	return remote_memo_store(&execution->row);
}

static bool
refuse(Execution *execution, const char *status, const char *reason,
	   TimestampTz now)
{
	bool		stored = execution_store(execution, status, reason, now);

	CommandCounterIncrement();
	return stored;
}

/* False if a twin stored its answer first. */
static bool
finish(Execution *execution, Movement *movement)
{
	RemoteAnswer *answer = &execution->row.answer;
	TimestampTz now = movement->set->now;
	bool		stored;

	answer->amount = amount_to_numeric(movement->amount, movement->scale);

	/* It may have waited long for the accounts. */
	if (execution_is_late(execution))
		stored = refuse(execution, "expired", NULL, now);
	else if (movement->denial != NULL)
		stored = refuse(execution, "rejected",
						denial_reason(movement->denial), now);
	else
	{
		answer->reference = clock_id_text(&movement->rows[0].id);
		stored = execution_store(execution, "executed", NULL, now);
		if (stored)
			movement_write(movement);
	}
	movement_close(movement);
	return stored;
}

/* The same: false if a twin stored its answer first. */
static bool
execute_once(Execution *execution)
{
	int64		mine = remote_require_account(execution->row.ledger);
	int64		other = 0;
	TransferRequest request = {0};
	Snapshot	snapshot;
	const char *reason;

	memset(&execution->row.answer, 0, sizeof(RemoteAnswer));
	execution->row.answer.amount = execution->amount;
	if (execution_is_late(execution))
		return refuse(execution, "expired", NULL, clock_read());
	snapshot = rel_newest_snapshot();
	reason = execution_examine(execution,
							   execution_account(execution->row.ledger, mine,
												 snapshot),
							   &other, snapshot);
	rel_forget_snapshot(snapshot);
	if (reason != NULL)
		return refuse(execution, "rejected", reason, clock_read());

	request.ledger = execution->row.ledger;
	request.debit_account = execution->is_deposit ? other : mine;
	request.credit_account = execution->is_deposit ? mine : other;
	request.amount = execution->amount;
	request.metadata = execution_metadata(execution);
	return finish(execution, transfer_decide(&request));
}

PG_FUNCTION_INFO_V1(teller_remote_execute);

/*
 * teller_remote.execute: see its COMMENT.  Waits for a twin of the same memo,
 * then locks both accounts by account_id.
 */
Datum
teller_remote_execute(PG_FUNCTION_ARGS)
{
	Execution	execution;
	RemoteAnswer *answer = &execution.row.answer;

	remote_begin_write("teller_remote.execute()");
	execution_read(fcinfo, &execution);
	while (!execution_replay(&execution, answer) && !execute_once(&execution))
		CHECK_FOR_INTERRUPTS();
	return remote_answer_row(fcinfo, execution.row.memo, answer);
}
