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
#include "clock.h"
#include "compat.h"
#include "input.h"
#include "memo.h"
#include "remote.h"
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
	ANSWER_SERVER_NOW
};

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

void
remote_begin_write(const char *function)
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

void
remote_answer_values(bytea *memo, const RemoteAnswer *answer, Datum *values,
					 bool *nulls)
{
	memset(nulls, false, REMOTE_ANSWER_COLUMNS);
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
}

Datum
remote_answer_row(FunctionCallInfo fcinfo, bytea *memo,
				  const RemoteAnswer *answer)
{
	Datum		values[REMOTE_ANSWER_COLUMNS];
	bool		nulls[REMOTE_ANSWER_COLUMNS];

	remote_answer_values(memo, answer, values, nulls);
	return input_result(fcinfo, values, nulls);
}

/* ---- memos ------------------------------------------------------------ */


bytea *
remote_read_memo(FunctionCallInfo fcinfo, int arg)
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

void
remote_raise_foreign_memo(bytea *memo)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for memo %s",
					memo_hex((const uint8 *) VARDATA_ANY(memo))),
			 errdetail("It was used by another role."),
			 errhint("Repeat a request under the role that made it.")));
}

/* ---- fence and lookup ------------------------------------------------- */

PG_FUNCTION_INFO_V1(teller_remote_fence);

Datum
teller_remote_fence(PG_FUNCTION_ARGS)
{
	RemoteMemo	tombstone = {0};
	RemoteMemo	stored;
	bool		done = false;

	remote_begin_write("teller_remote.fence()");
	tombstone.memo = remote_read_memo(fcinfo, 0);
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
				remote_raise_foreign_memo(tombstone.memo);
			}
			return remote_answer_row(fcinfo, tombstone.memo, &stored.answer);
		}
		remote_require_any_account();
		tombstone.answer.has_executed_at = true;
		tombstone.answer.executed_at = clock_read();
		done = remote_memo_store(&tombstone);
	}
	CommandCounterIncrement();
	return remote_answer_row(fcinfo, tombstone.memo, &tombstone.answer);
}

PG_FUNCTION_INFO_V1(teller_remote_lookup);

Datum
teller_remote_lookup(PG_FUNCTION_ARGS)
{
	bytea	   *memo;
	RemoteMemo	stored;
	RemoteAnswer nothing = {0};

	PreventCommandDuringRecovery("teller_remote.lookup()");
	memo = remote_read_memo(fcinfo, 0);
	nothing.status = "not_found";
	if (!remote_memo_see(memo, &stored) || stored.caller != GetUserId())
		return remote_answer_row(fcinfo, memo, &nothing);
	return remote_answer_row(fcinfo, memo, &stored.answer);
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
"   'posted', b.posted, 'available', b.available,"
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
