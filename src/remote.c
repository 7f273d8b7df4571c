/*-------------------------------------------------------------------------
 *
 * remote.c
 *	  This database as the remote ledger of another: schema teller_remote.
 *
 * A request is named by its memo, and a memo has one answer for ever.  The
 * memo is looked at before any rule of business, because the money that a
 * repeat would find missing may be what the first try moved.  If there is no
 * answer yet, the request is decided and its answer stored in the same
 * transaction as its effect.  The unique index on the memo has the last word:
 * whoever loses there has written nothing yet and starts again at the memo.
 *
 * Refusals are answers too and are stored like effects.  They are found as
 * values, without an error and without a subtransaction.  An error proves to
 * the caller that this try left nothing behind.
 *
 * A fence stores the answer "cancelled" under a memo that has none.  From then
 * on the request cannot be executed, however late it arrives.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/rmgr.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "catalog/pg_control.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "access.h"
#include "account.h"
#include "clock.h"
#include "compat.h"
#include "guc.h"
#include "input.h"
#include "key.h"
#include "memo.h"
#include "remote.h"
#include "transfer.h"
#include "version.h"

/* The columns of an answer. */
enum
{
	ANSWER_MEMO,
	ANSWER_STATUS,
	ANSWER_REFERENCE,
	ANSWER_REASON,
	ANSWER_AMOUNT,
	ANSWER_ASSET,
	ANSWER_EXECUTED_AT,
	ANSWER_REPLAYED,
	ANSWER_SERVER_NOW,
	ANSWER_COUNT
};

/* The arguments of execute. */
enum
{
	ARG_MEMO,
	ARG_ORIGIN,
	ARG_LEDGER,
	ARG_DIRECTION,
	ARG_ACCOUNT,
	ARG_AMOUNT,
	ARG_ASSET,
	ARG_NONCE,
	ARG_NOT_AFTER,
	ARG_PAYLOAD
};

/* One execute. */
typedef struct Execution
{
	RemoteMemo	row;			/* what will be stored */
	KeyCall		call;			/* the request, argument by argument */
	bool		is_deposit;
	text	   *account;
	Numeric		amount;
	text	   *asset;
	text	   *nonce;
	TimestampTz not_after;
} Execution;

/* ---- answers that last ------------------------------------------------ */

/*
 * What is answered must outlive a crash, whatever the caller's session was
 * set to.  ForceSyncCommit holds also where the setting below does not last:
 * inside a function with a SET clause.
 */
static void
raise_synchronous_commit(void)
{
	if (synchronous_commit <= SYNCHRONOUS_COMMIT_LOCAL_FLUSH)
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
	ForceSyncCommit();
}

static void
begin_write(const char *function)
{
	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	PreventCommandIfParallelMode(function);
	raise_synchronous_commit();
}

/*
 * An answer that is repeated must last as well as when it was first given.  A
 * row can be seen before the synchronous standbys have it: if the wait of the
 * session that wrote it was cut short.  So wait for them again: with a WAL
 * record of its own, this transaction's commit does.
 */
static void
await_standbys(void)
{
	if (XactReadOnly)
		return;
	raise_synchronous_commit();
	if (!SyncRepRequested() || SyncRepStandbyNames == NULL ||
		SyncRepStandbyNames[0] == '\0')
		return;
	(void) GetCurrentTransactionId();
	XLogBeginInsert();
	(void) XLogInsert(RM_XLOG_ID, XLOG_NOOP);
}

static Datum
text_or_null(const char *value, bool *isnull)
{
	*isnull = value == NULL;
	return value == NULL ? (Datum) 0 : CStringGetTextDatum(value);
}

static Datum
answer_row(FunctionCallInfo fcinfo, bytea *memo, const RemoteAnswer *answer)
{
	Datum		values[ANSWER_COUNT] = {0};
	bool		nulls[ANSWER_COUNT] = {0};

	if (answer->replayed)
		await_standbys();
	values[ANSWER_MEMO] = PointerGetDatum(memo);
	values[ANSWER_STATUS] = CStringGetTextDatum(answer->status);
	values[ANSWER_REFERENCE] = text_or_null(answer->reference,
											&nulls[ANSWER_REFERENCE]);
	values[ANSWER_REASON] = text_or_null(answer->reason,
										 &nulls[ANSWER_REASON]);
	nulls[ANSWER_AMOUNT] = answer->amount == NULL;
	values[ANSWER_AMOUNT] = NumericGetDatum(answer->amount);
	values[ANSWER_ASSET] = text_or_null(answer->asset, &nulls[ANSWER_ASSET]);
	nulls[ANSWER_EXECUTED_AT] = !answer->has_executed_at;
	values[ANSWER_EXECUTED_AT] = TimestampTzGetDatum(answer->executed_at);
	values[ANSWER_REPLAYED] = BoolGetDatum(answer->replayed);
	values[ANSWER_SERVER_NOW] = TimestampTzGetDatum(clock_read());
	return input_result(fcinfo, values, nulls);
}

/* ---- what is asked ---------------------------------------------------- */

static bytea *
read_memo(FunctionCallInfo fcinfo, int arg)
{
	bytea	   *memo;

	input_require(fcinfo, arg, "memo");
	memo = PG_GETARG_BYTEA_PP(arg);
	if (VARSIZE_ANY_EXHDR(memo) != MEMO_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("memo must have %d bytes", MEMO_BYTES),
				 errdetail("It has %d.", (int) VARSIZE_ANY_EXHDR(memo))));
	return memo;
}

static bool
read_direction(FunctionCallInfo fcinfo)
{
	char	   *direction;
	bool		is_deposit;

	input_require(fcinfo, ARG_DIRECTION, "direction");
	direction = text_to_cstring(PG_GETARG_TEXT_PP(ARG_DIRECTION));
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

	input_require(fcinfo, ARG_AMOUNT, "amount");
	amount = PG_GETARG_NUMERIC(ARG_AMOUNT);
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

static void
read_execution(FunctionCallInfo fcinfo, Execution *execution)
{
	RemoteMemo *row = &execution->row;
	KeyCall    *call = &execution->call;
	Jsonb	   *payload = NULL;

	memset(execution, 0, sizeof(Execution));
	row->memo = read_memo(fcinfo, ARG_MEMO);
	input_require(fcinfo, ARG_ORIGIN, "origin");
	row->origin = PG_GETARG_UUID_P(ARG_ORIGIN);
	row->caller = GetUserId();
	input_require(fcinfo, ARG_LEDGER, "ledger");
	row->has_ledger = true;
	row->ledger = PG_GETARG_INT64(ARG_LEDGER);
	execution->is_deposit = read_direction(fcinfo);
	execution->account = read_text(fcinfo, ARG_ACCOUNT, "account");
	execution->amount = read_amount(fcinfo);
	execution->asset = read_text(fcinfo, ARG_ASSET, "asset");
	execution->nonce = read_text(fcinfo, ARG_NONCE, "nonce");
	input_require(fcinfo, ARG_NOT_AFTER, "not_after");
	execution->not_after = input_time(fcinfo, ARG_NOT_AFTER, "not_after", 0);
	if (!PG_ARGISNULL(ARG_PAYLOAD))
		payload = PG_GETARG_JSONB_P(ARG_PAYLOAD);
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

static void
raise_foreign_memo(bytea *memo)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for memo %s",
					memo_hex((const uint8 *) VARDATA_ANY(memo))),
			 errdetail("It was used by another role."),
			 errhint("Repeat a request under the role that made it.")));
}

/* A tombstone has no request to compare with: it stands for any. */
static bool
replay(const Execution *execution, RemoteAnswer *answer)
{
	RemoteMemo	stored;
	const char *differs = NULL;

	if (!remote_memo_await(execution->row.memo, &stored))
		return false;
	if (stored.caller != GetUserId())
	{
		/* Only who has an account learns that there is such a memo. */
		(void) remote_require_account(execution->row.ledger);
		raise_foreign_memo(execution->row.memo);
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

/*
 * The rules that need no lock: what they test does not change.  NULL, or why
 * not; then *other is the account that was named.
 */
static const char *
examine(const Execution *execution, int64 mine, int64 *other,
		Snapshot snapshot)
{
	int64		ledger = execution->row.ledger;
	Account    *account = account_peek(ledger, mine, snapshot);

	if (account == NULL)
		account_raise_missing(ledger, mine);
	if (!account_find(ledger, execution->account, snapshot, other))
		return "not_found";
	if (execution->is_deposit && !remote_has_mandate(ledger, *other))
		return "not_permitted";
	if (*other == mine)
		return "same_account";
	if (!is_in_asset(account, execution->asset))
		return "asset_mismatch";
	if (!amount_fits(execution->amount, account->scale))
		return "invalid_amount";
	account = account_peek(ledger, *other, snapshot);
	if (account == NULL || !is_in_asset(account, execution->asset))
		return "asset_mismatch";
	return NULL;
}

/* The journal row says for whom and for what it was. */
static Jsonb *
journal_metadata(const Execution *execution)
{
	KeyCall		metadata = {0};

	key_add_string(&metadata, "memo",
				   memo_hex((const uint8 *) VARDATA_ANY(execution->row.memo)));
	key_add_uuid(&metadata, "origin", execution->row.origin);
	key_add_text(&metadata, "nonce", execution->nonce);
	return key_arguments(&metadata);
}

static bool
store(Execution *execution, const char *status, const char *reason,
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
	bool		stored = store(execution, status, reason, now);

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
	if (clock_read() > execution->not_after)
		stored = refuse(execution, "expired", NULL, now);
	else if (movement->denial != NULL)
		stored = refuse(execution, "rejected",
						denial_reason(movement->denial), now);
	else
	{
		answer->reference = clock_id_text(&movement->rows[0].id);
		stored = store(execution, "executed", NULL, now);
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
	if (clock_read() > execution->not_after)
		return refuse(execution, "expired", NULL, clock_read());
	snapshot = rel_newest_snapshot();
	reason = examine(execution, mine, &other, snapshot);
	rel_forget_snapshot(snapshot);
	if (reason != NULL)
		return refuse(execution, "rejected", reason, clock_read());

	request.ledger = execution->row.ledger;
	request.debit_account = execution->is_deposit ? other : mine;
	request.credit_account = execution->is_deposit ? mine : other;
	request.amount = execution->amount;
	request.metadata = journal_metadata(execution);
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

	begin_write("teller_remote.execute()");
	read_execution(fcinfo, &execution);
	while (!replay(&execution, answer) && !execute_once(&execution))
		CHECK_FOR_INTERRUPTS();
	return answer_row(fcinfo, execution.row.memo, answer);
}

/* ---- fence and lookup ------------------------------------------------- */

PG_FUNCTION_INFO_V1(teller_remote_fence);

Datum
teller_remote_fence(PG_FUNCTION_ARGS)
{
	RemoteMemo	tombstone = {0};
	RemoteMemo	stored;
	bool		done = false;

	begin_write("teller_remote.fence()");
	tombstone.memo = read_memo(fcinfo, 0);
	input_require(fcinfo, 1, "origin");
	tombstone.origin = PG_GETARG_UUID_P(1);
	tombstone.caller = GetUserId();
	tombstone.answer.status = "cancelled";
	if (!PG_ARGISNULL(2))
		tombstone.answer.reason = text_to_cstring(input_label(fcinfo, 2,
															  "reason"));
	while (!done)
	{
		CHECK_FOR_INTERRUPTS();
		if (remote_memo_await(tombstone.memo, &stored))
		{
			if (stored.caller != GetUserId())
			{
				remote_require_any_account();
				raise_foreign_memo(tombstone.memo);
			}
			return answer_row(fcinfo, tombstone.memo, &stored.answer);
		}
		remote_require_any_account();
		tombstone.answer.has_executed_at = true;
		tombstone.answer.executed_at = clock_read();
		done = remote_memo_store(&tombstone);
	}
	CommandCounterIncrement();
	return answer_row(fcinfo, tombstone.memo, &tombstone.answer);
}

PG_FUNCTION_INFO_V1(teller_remote_lookup);

Datum
teller_remote_lookup(PG_FUNCTION_ARGS)
{
	bytea	   *memo;
	RemoteMemo	stored;
	RemoteAnswer nothing = {0};

	PreventCommandDuringRecovery("teller_remote.lookup()");
	memo = read_memo(fcinfo, 0);
	nothing.status = "not_found";
	if (!remote_memo_see(memo, &stored) || stored.caller != GetUserId())
		return answer_row(fcinfo, memo, &nothing);
	return answer_row(fcinfo, memo, &stored.answer);
}

/* ---- list_since ------------------------------------------------------- */

static const char list_sql[] =
"SELECT memo, status, reference, reason, amount, asset, executed_at, true, $5"
" FROM teller.memo"
" WHERE origin = $1 AND executed_at > $2 AND caller = $3"
" ORDER BY origin, executed_at, memo LIMIT $4";

PG_FUNCTION_INFO_V1(teller_remote_list_since);

Datum
teller_remote_list_since(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	OwnerScope	scope;
	Datum		values[5];
	int32		max_rows;

	PreventCommandDuringRecovery("teller_remote.list_since()");
	input_require(fcinfo, 0, "origin");
	input_require(fcinfo, 1, "after");
	input_require(fcinfo, 2, "max_rows");
	max_rows = PG_GETARG_INT32(2);
	if (max_rows < 1 || max_rows > REMOTE_LIST_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must be 1 to %d, not %d", REMOTE_LIST_MAX,
						max_rows)));
	await_standbys();
	InitMaterializedSRF(fcinfo, 0);
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_GETARG_DATUM(1);
	values[2] = ObjectIdGetDatum(GetUserId());
	values[3] = Int64GetDatum(max_rows);
	values[4] = TimestampTzGetDatum(clock_read());
	owner_begin(&scope);
	owner_execute(list_sql, "uzriz", values, NULL, false);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	owner_end(&scope);
	return (Datum) 0;
}

/* ---- capabilities ----------------------------------------------------- */

static const char capabilities_sql[] =
"SELECT jsonb_build_object("
" 'product', 'pg_teller',"
" 'version', $1,"
" 'contract', 1,"
" 'directions', jsonb_build_array('withdraw', 'deposit'),"
" 'can_lookup', true,"
" 'can_fence', true,"
" 'honours_memo', true,"
" 'memo_retention', NULL,"
" 'writable', $3,"
" 'server_now', $4,"
" 'grants', coalesce(jsonb_agg(jsonb_build_object("
"   'ledger', g.ledger_id, 'asset', a.asset, 'scale', s.scale,"
"   'posted', a.posted, 'available', b.available,"
"   'deposit', EXISTS (SELECT FROM teller.remote_mandate AS m"
"     WHERE m.ledger_id = g.ledger_id AND m.grantee = g.grantee))"
"   ORDER BY g.ledger_id), '[]'))"
" FROM teller.remote_grant AS g"
" JOIN teller.account AS a USING (ledger_id, account_id)"
" JOIN teller.asset AS s USING (asset),"
" LATERAL teller.balance(g.ledger_id, g.account_id) AS b"
" WHERE g.grantee = $2";

PG_FUNCTION_INFO_V1(teller_remote_capabilities);

Datum
teller_remote_capabilities(PG_FUNCTION_ARGS)
{
	ExtensionInfo info = {0};
	OwnerScope	scope;
	Datum		values[4];
	Datum		result;
	bool		isnull;

	(void) extension_lookup(&info);
	values[0] = CStringGetTextDatum(info.version);
	values[1] = ObjectIdGetDatum(GetUserId());
	values[2] = BoolGetDatum(!RecoveryInProgress() && !XactReadOnly);
	values[3] = TimestampTzGetDatum(clock_read());
	owner_begin(&scope);
	owner_execute(capabilities_sql, "trbz", values, NULL, true);
	result = SPI_datumTransfer(owner_value(1, &isnull), false, -1);
	owner_end(&scope);
	return result;
}
