/*-------------------------------------------------------------------------
 *
 * reconcile.c
 *	  teller.reconcile: compare the remote's book with our operations.
 *
 * The remote lists what it answered under which memo; the worker fetches the
 * list, page by page (ask.c).  Each memo is judged against the operations in
 * a snapshot that is newer than the page: whatever the remote was asked to do
 * was committed here before.  A memo that is missing here was lost, by a
 * restore for example.  What a person should look at becomes a finding, whose
 * id is made from the memo, so that there is one however often this runs.
 *
 * The balances (I19).  Three things are read one after the other: our balance
 * and what was settled, in the snapshot of the caller's statement; then the
 * balance there; then the list.  So what was settled here is part of the
 * balance there, and what makes the difference is in the list: executed
 * there, not settled here at first.  Only for the latest of these is it
 * unknown whether the balance there had them yet; they may explain a
 * difference but need not.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "access.h"
#include "ask.h"
#include "capabilities.h"
#include "clock.h"
#include "compat.h"
#include "input.h"
#include "instance.h"
#include "settlement.h"
#include "wake.h"

/* A page that has room on the board, unless its texts are unusually long. */
#define PAGE_ROWS 200
#define PAGE_ROWS_MAX 10000

/* The remote reads its clock some time before it commits. */
#define LATE_COMMIT_US (10 * USECS_PER_SEC)

/* By how much the two clocks may differ. */
#define CLOCKS_APART_US USECS_PER_HOUR

/* Fields of a row of the list, as call_postgres.c asks for it. */
#define FIELD_OF_MEMO 0
#define FIELD_OF_STATUS 1
#define FIELD_OF_TIME 5

/* The columns of judge_sql; the first are those of the function. */
enum
{
	COL_MEMO,
	COL_OPERATION,
	COL_STATUS,
	COL_REFERENCE,
	COL_AMOUNT,
	COL_ASSET,
	COL_EXECUTED_AT,
	COL_STATE,
	COL_VERDICT,
	COL_NET,					/* of an open one that the remote executed */
	COL_WANTED,
	COL_COUNT
};

typedef enum Verdict
{
	VERDICT_AGREES,
	VERDICT_OPEN,
	VERDICT_UNKNOWN_HERE,
	VERDICT_DIFFERS
} Verdict;

#define VERDICTS (VERDICT_DIFFERS + 1)

/* One run. */
typedef struct Reconciliation
{
	int64		ledger;
	Server	   *server;
	NameData	name;
	int64		settlement_account;
	TimestampTz since;			/* what the caller wants to see */
	ReturnSetInfo *rows;
	MemoryContext context;		/* for what is kept from page to page */

	/* the list */
	Question	question;
	int			stuck_rows;		/* a page of so many got us nowhere */
	bool		started;
	TimestampTz last_at;		/* of the last memo judged */
	Datum		last_memo;

	/* the balances */
	TimestampTz reconciled_at;
	Datum		posted;
	Datum		in_doubt;
	bool		has_there;		/* the remote says what we have */
	Datum		there;
	TimestampTz asked_at;		/* by the remote's clock */
	Datum		executed_there; /* net, of what is open here */
	Datum		late_in;		/* perhaps not yet in its balance */
	Datum		late_out;
	int64		counts[VERDICTS];
} Reconciliation;

static void
name_answer(void *arg)
{
	errcontext("answer of server \"%s\" about its book",
			   ((Reconciliation *) arg)->server->name);
}

/* ---- our side, in the snapshot of the caller's statement -------------- */

static const char here_sql[] =
"SELECT b.posted, b.posted - b.posted,"
" coalesce((SELECT sum(o.amount) FROM teller.operation_data AS o"
"   WHERE o.ledger_id = $1 AND o.server = $3"
"   AND o.state NOT IN ('settled', 'refunded')), b.posted - b.posted),"
" (SELECT min(o.created_at) FROM teller.operation_data AS o"
"   WHERE o.ledger_id = $1 AND o.server = $3"
"   AND o.state NOT IN ('settled', 'refunded'))"
" FROM teller.balance($1, $2) AS b";

static Datum
keep(Reconciliation *run, Datum value)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);

	value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	MemoryContextSwitchTo(old);
	return value;
}

/*
 * The list has to begin before the first of the open operations, whatever the
 * caller wants to see, because they may explain a difference.
 */
static void
read_here(Reconciliation *run)
{
	Datum		values[3] = {Int64GetDatum(run->ledger),
		Int64GetDatum(run->settlement_account),
	NameGetDatum(&run->name)};
	OwnerScope	scope;
	Datum		oldest;
	bool		isnull;

	owner_begin(&scope);
	if (owner_execute(here_sql, "iiN", values, NULL, true) != 1)
		elog(ERROR, "settlement account %lld of ledger %lld is missing",
			 (long long) run->settlement_account, (long long) run->ledger);
	run->posted = keep(run, owner_value(1, &isnull));
	run->executed_there = keep(run, owner_value(2, &isnull));
	run->late_in = run->late_out = run->executed_there;
	run->in_doubt = keep(run, owner_value(3, &isnull));
	oldest = owner_value(4, &isnull);
	run->question.after = run->since;
	if (!isnull)
		run->question.after = Min(run->since, DatumGetTimestampTz(oldest) -
								  CLOCKS_APART_US);
	owner_end(&scope);
}

/* ---- the remote ------------------------------------------------------- */

static void
ask(Reconciliation *run, Answer *answer)
{
	ask_worker(&run->question, answer);
	if (!answer->asked)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the worker did not answer in time about server \"%s\"",
						run->server->name),
				 errhint("See teller.worker_status.")));
}

static void
raise_unreached(const Reconciliation *run, const Answer *answer)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("server \"%s\" could not be asked for its book",
					run->server->name),
			 errdetail("%s (SQLSTATE %s)", answer->says, answer->sqlstate),
			 errhint("See SELECT * FROM teller.check_server(%lld, %s).",
					 (long long) run->ledger,
					 quote_literal_cstr(run->server->name))));
}

static Datum
read_number(const char *text)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(text),
							   ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
}

static TimestampTz
read_time(const char *text)
{
	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
												   CStringGetDatum(text),
												   ObjectIdGetDatum(InvalidOid),
												   Int32GetDatum(-1)));
}

/* What we have there, if the remote says so. */
static void
ask_balance(Reconciliation *run, Answer *answer)
{
	const char *ledger = psprintf("%lld", (long long)
								  (run->server->has_ledger ?
								   run->server->ledger : run->ledger));
	const JsonbContainer *grant = NULL;
	const char *posted = NULL;
	const char *now = NULL;
	Jsonb	   *capabilities;

	run->question.verb = CALL_CHECK;
	ask(run, answer);
	if (!answer->reached)
		raise_unreached(run, answer);
	capabilities = capabilities_read(answer->text);
	if (capabilities != NULL)
	{
		grant = capabilities_grant(capabilities, ledger);
		now = capabilities_member(&capabilities->root, "server_now");
	}
	if (grant != NULL)
		posted = capabilities_member(grant, "posted");
	run->has_there = posted != NULL;
	if (run->has_there)
		run->there = read_number(posted);
	run->asked_at = now ? read_time(now) : DT_NOBEGIN;
}

/* A field of a row of a page, as text. */
static const char *
page_text(Jsonb *page, int row, int field)
{
	JsonbValue *value = getIthJsonbValueFromContainer(&page->root, row);

	if (value != NULL && value->type == jbvBinary &&
		JsonContainerIsArray(value->val.binary.data))
	{
		value = getIthJsonbValueFromContainer(value->val.binary.data, field);
		if (value != NULL && value->type == jbvString)
			return pnstrdup(value->val.string.val, value->val.string.len);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("row %d of the list has no text in field %d", row + 1,
					field + 1)));
	return NULL;
}

/* Every row must tell of a memo what became of it, and when. */
static Jsonb *
read_page(const Reconciliation *run, const char *text)
{
	Jsonb	   *page = ask_read_json(text);

	if (page == NULL || !JB_ROOT_IS_ARRAY(page) || JB_ROOT_IS_SCALAR(page))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("the list of server \"%s\" cannot be read",
						run->server->name)));
	for (int i = 0; i < JB_ROOT_COUNT(page); i++)
	{
		(void) page_text(page, i, FIELD_OF_MEMO);
		(void) page_text(page, i, FIELD_OF_STATUS);
		(void) page_text(page, i, FIELD_OF_TIME);
	}
	return page;
}

/*
 * The next page.  One that is too long, for the board or for
 * teller.max_response_bytes (08P01), is asked for again with fewer rows.
 */
static Jsonb *
ask_page(Reconciliation *run, Answer *answer)
{
	Question   *question = &run->question;

	question->verb = CALL_LIST;
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		ask(run, answer);
		if (answer->reached && !answer->too_long)
			break;
		if (!answer->reached && strcmp(answer->sqlstate, "08P01") != 0)
			raise_unreached(run, answer);
		if (question->max_rows / 2 <= run->stuck_rows)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("the book of server \"%s\" cannot be read in pages that are short enough",
							run->server->name),
					 errhint("Raise teller.max_response_bytes if it is below its default.")));
		question->max_rows /= 2;
	}
	return read_page(run, answer->text);
}

/* ---- judging ---------------------------------------------------------- */

/* Those of a page that were settled here when our balance was read. */
static const char settled_sql[] =
"SELECT coalesce(jsonb_agg(encode(o.memo, 'hex')), '[]')"
" FROM jsonb_array_elements($1) AS e"
" JOIN teller.operation_data AS o"
"   ON o.ledger_id = $2 AND o.memo = decode(e ->> 0, 'hex')"
" WHERE o.state = 'settled'";

/*
 * $1 page, $2 ledger, $3 server, $4 settled_sql, $5 and $6 the last memo of
 * the page before, $7 since.  Operations of other ledgers are left to those.
 * The id of a finding is a UUID of version 8 (RFC 9562) made from the verdict
 * and the memo.
 */
static const char judge_sql[] =
"WITH page AS MATERIALIZED (SELECT decode(e ->> 0, 'hex') AS memo,"
"   e ->> 1 AS status, e ->> 2 AS reference, (e ->> 3)::numeric AS amount,"
"   e ->> 4 AS asset, (e ->> 5)::timestamptz AS executed_at"
"   FROM jsonb_array_elements($1) AS e),"
" judged AS MATERIALIZED (SELECT p.*, o.id, o.state,"
"   o.amount AS asked, o.asset AS asked_asset,"
"   CASE WHEN o.id IS NULL THEN 'unknown_here'"
"     WHEN p.status = 'executed' AND (p.amount IS DISTINCT FROM o.amount"
"       OR p.asset IS DISTINCT FROM o.asset) THEN 'differs'"
"     WHEN o.state NOT IN ('settled', 'refunded') THEN 'open'"
"     WHEN (o.state = 'settled') = (p.status = 'executed') THEN 'agrees'"
"     ELSE 'differs' END AS verdict,"
"   CASE WHEN p.status = 'executed' AND o.state <> 'refunded'"
"     AND NOT $4 ? encode(p.memo, 'hex') THEN"
"     CASE o.direction WHEN 'withdraw' THEN p.amount ELSE - p.amount END"
"     END AS net,"
"   p.executed_at > $7 AS wanted"
"   FROM page AS p LEFT JOIN teller.operation_data AS o"
"     ON o.ledger_id = $2 AND o.memo = p.memo"
"   WHERE ($5 IS NULL OR (p.executed_at, p.memo) > ($5, $6))"
"     AND (o.id IS NOT NULL OR NOT EXISTS (SELECT FROM teller.settlement AS s"
"       JOIN teller.operation_data AS d"
"         ON d.ledger_id = s.ledger_id AND d.memo = p.memo"
"       WHERE s.server = $3 AND s.ledger_id <> $2))),"
" found AS (INSERT INTO teller.finding_data"
"   (ledger_id, id, operation_id, kind, detail, found_at)"
"   SELECT $2, (SELECT encode(set_byte(set_byte(h,"
"       6, (get_byte(h, 6) & 15) | 128), 8, (get_byte(h, 8) & 63) | 128),"
"       'hex')::uuid FROM substr(sha256(convert_to(j.verdict, 'UTF8')"
"       || j.memo), 1, 16) AS h), j.id, j.verdict,"
"     format('memo %s: server \"%s\" says %s, %s %s, at %s under reference %s; %s',"
"       encode(j.memo, 'hex'), $3, j.status, coalesce(j.amount::text, 'no amount'),"
"       coalesce(j.asset, ''), j.executed_at, coalesce(j.reference, 'none'),"
"       CASE WHEN j.id IS NULL THEN 'no operation here has this memo'"
"         ELSE format('the operation here is %s over %s %s', j.state,"
"           j.asked, j.asked_asset) END), clock_timestamp()"
"   FROM judged AS j WHERE j.wanted AND j.verdict IN ('unknown_here', 'differs')"
"   ON CONFLICT DO NOTHING)"
" SELECT memo, id, status, reference, amount, asset, executed_at, state,"
"   verdict, net, wanted FROM judged ORDER BY executed_at, memo";

static Datum
add(Reconciliation *run, Datum sum, Datum amount)
{
	return keep(run, DirectFunctionCall2(numeric_add, sum, amount));
}

/*
 * Executed there, not settled here at first.  What was executed just before
 * the balance was read may have been committed only after that.
 */
static void
count_net(Reconciliation *run, Datum net, TimestampTz executed_at)
{
	bool		sure = run->asked_at != DT_NOBEGIN &&
		executed_at <= run->asked_at - LATE_COMMIT_US;
	Datum		zero = NumericGetDatum(int64_to_numeric(0));
	bool		comes_in = DatumGetBool(DirectFunctionCall2(numeric_lt, net,
															zero));

	run->executed_there = add(run, run->executed_there, net);
	if (sure)
		return;
	if (comes_in)
		run->late_in = add(run, run->late_in, net);
	else
		run->late_out = add(run, run->late_out, net);
}

static Verdict
read_verdict(const char *word)
{
	static const char *const words[VERDICTS] = {
		[VERDICT_AGREES] = "agrees",
		[VERDICT_OPEN] = "open",
		[VERDICT_UNKNOWN_HERE] = "unknown_here",
		[VERDICT_DIFFERS] = "differs"
	};

	for (int i = 0; i < VERDICTS; i++)
		if (strcmp(words[i], word) == 0)
			return (Verdict) i;
	elog(ERROR, "unknown verdict \"%s\"", word);
	return VERDICT_DIFFERS;
}

/* A row of judge_sql. */
static void
take_row(Reconciliation *run, HeapTuple row, TupleDesc desc)
{
	Datum		values[COL_COUNT];
	bool		nulls[COL_COUNT];
	TimestampTz executed_at;

	heap_deform_tuple(row, desc, values, nulls);
	executed_at = DatumGetTimestampTz(values[COL_EXECUTED_AT]);
	if (!nulls[COL_NET])
		count_net(run, values[COL_NET], executed_at);
	if (DatumGetBool(values[COL_WANTED]))
	{
		run->counts[read_verdict(TextDatumGetCString(values[COL_VERDICT]))]++;
		tuplestore_putvalues(run->rows->setResult, run->rows->setDesc, values,
							 nulls);
	}
}

static Jsonb *
see_settled(const Reconciliation *run, Jsonb *page)
{
	Datum		values[2] = {JsonbPGetDatum(page), Int64GetDatum(run->ledger)};
	bool		isnull;

	owner_execute(settled_sql, "ji", values, NULL, true);
	return DatumGetJsonbP(owner_value(1, &isnull));
}

static void
judge(Reconciliation *run, Jsonb *page)
{
	OwnerScope	scope;
	Datum		values[7];
	char		nulls[] = "       ";

	owner_begin(&scope);
	values[0] = JsonbPGetDatum(page);
	values[1] = Int64GetDatum(run->ledger);
	values[2] = NameGetDatum(&run->name);
	values[3] = JsonbPGetDatum(see_settled(run, page));
	values[4] = TimestampTzGetDatum(run->last_at);
	values[5] = run->last_memo;
	values[6] = TimestampTzGetDatum(run->since);
	if (!run->started)
		nulls[4] = nulls[5] = 'n';
	owner_execute(judge_sql, "jiNjzyz", values, nulls, false);
	for (uint64 i = 0; i < SPI_processed; i++)
		take_row(run, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	owner_end(&scope);
}

/* ---- the list --------------------------------------------------------- */

static Datum
read_memo(const char *hex)
{
	return DirectFunctionCall1(byteain,
							   CStringGetDatum(psprintf("\\x%s", hex)));
}

/*
 * Go on behind a full page.  Rows of the same microsecond may have been cut
 * apart, so the last microsecond is asked for again; if it fills the page,
 * with a larger one.
 */
static void
advance(Reconciliation *run, Jsonb *page, int count)
{
	Question   *question = &run->question;
	TimestampTz first_at = read_time(page_text(page, 0, FIELD_OF_TIME));

	run->last_at = read_time(page_text(page, count - 1,
										FIELD_OF_TIME));
	run->last_memo = keep(run, read_memo(page_text(page, count - 1,
														 FIELD_OF_MEMO)));
	run->started = true;
	if (run->last_at > first_at)
	{
		question->after = run->last_at - 1;
		run->stuck_rows = 0;
		return;
	}
	run->stuck_rows = question->max_rows;
	question->max_rows = Min(2 * question->max_rows, PAGE_ROWS_MAX);
	if (question->max_rows == run->stuck_rows)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("server \"%s\" has more than %d memos of one microsecond",
						run->server->name, PAGE_ROWS_MAX)));
}

static void
go_through_list(Reconciliation *run, Answer *answer)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_teller page",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int			count;

	do
	{
		Jsonb	   *page;

		MemoryContextReset(context);
		page = ask_page(run, answer);
		count = JB_ROOT_COUNT(page);
		judge(run, page);
		if (count >= run->question.max_rows)
			advance(run, page, count);
		else
			count = 0;
	} while (count > 0);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ---- the result ------------------------------------------------------- */

/* What an older run has to say does not replace what a newer one said. */
static const char store_sql[] =
"INSERT INTO teller.reconciliation_data AS r VALUES"
" ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
" ON CONFLICT (ledger_id, server) DO UPDATE SET"
" (settlement_account, reconciled_at, since, posted, remote_posted, in_doubt,"
" executed_there, late_in, late_out, agrees, open, unknown_here, differs)"
" = ROW (excluded.settlement_account, excluded.reconciled_at, excluded.since,"
" excluded.posted, excluded.remote_posted, excluded.in_doubt,"
" excluded.executed_there, excluded.late_in, excluded.late_out,"
" excluded.agrees, excluded.open, excluded.unknown_here, excluded.differs)"
" WHERE r.reconciled_at <= excluded.reconciled_at";

static void
store(const Reconciliation *run)
{
	OwnerScope	scope;
	Datum		values[15];
	char		nulls[] = "               ";

	values[0] = Int64GetDatum(run->ledger);
	values[1] = NameGetDatum(&run->name);
	values[2] = Int64GetDatum(run->settlement_account);
	values[3] = TimestampTzGetDatum(run->reconciled_at);
	values[4] = TimestampTzGetDatum(run->since);
	values[5] = run->posted;
	values[6] = run->there;
	values[7] = run->in_doubt;
	values[8] = run->executed_there;
	values[9] = run->late_in;
	values[10] = run->late_out;
	for (int i = 0; i < VERDICTS; i++)
		values[11 + i] = Int64GetDatum(run->counts[i]);
	if (run->since == DT_NOBEGIN)
		nulls[4] = 'n';
	if (!run->has_there)
		nulls[6] = 'n';
	owner_begin(&scope);
	owner_execute(store_sql, "iNizznnnnnniiii", values, nulls, false);
	owner_end(&scope);
}

/* ---- SQL function ----------------------------------------------------- */

static void
check_kind(const Server *server)
{
	switch (server->kind)
	{
		case SERVER_POSTGRES:
			return;
		case SERVER_HTTP:
		case SERVER_PULL:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("server \"%s\" cannot list what it executed",
							server->name),
					 errdetail("Only servers of wrapper teller_postgres can."),
					 errhint("Compare the memos of teller.operation with the book of the remote, or with its statement.")));
	}
}

/* All that must be so before anything is asked. */
static void
begin(FunctionCallInfo fcinfo, Reconciliation *run)
{
	PreventCommandDuringRecovery("teller.reconcile()");
	PreventCommandIfReadOnly("teller.reconcile()");
	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "server");
	access_require_owner("teller.reconcile()");
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("teller.reconcile() must run at READ COMMITTED"),
				 errdetail("In an older snapshot, operations that the remote knows would seem to be missing here.")));
	run->ledger = PG_GETARG_INT64(0);
	run->server = server_load(NameStr(*PG_GETARG_NAME(1)), false);
	namestrcpy(&run->name, run->server->name);
	check_kind(run->server);
	run->settlement_account = settlement_require(run->ledger,
												 run->server->name);
	run->since = input_time(fcinfo, 2, "since", DT_NOBEGIN);
	if (!instance_see_id(&run->question.origin))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no operation was ever made in this database")));
	if (!teller_is_preloaded())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_teller is not preloaded, so there is no worker to ask a remote"),
				 errhint("Put this line into postgresql.conf and restart the server: shared_preload_libraries = 'pg_teller'")));
	run->question.server = run->server;
	run->question.max_rows = PAGE_ROWS;
	run->reconciled_at = clock_read();
	run->context = CurrentMemoryContext;
}

PG_FUNCTION_INFO_V1(teller_reconcile);

/* teller.reconcile: see its COMMENT. */
Datum
teller_reconcile(PG_FUNCTION_ARGS)
{
	Reconciliation run = {0};
	ErrorContextCallback callback = {.callback = name_answer,.arg = &run};
	Answer	   *answer = palloc(sizeof(Answer));

	begin(fcinfo, &run);
	InitMaterializedSRF(fcinfo, 0);
	run.rows = (ReturnSetInfo *) fcinfo->resultinfo;
	read_here(&run);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	ask_balance(&run, answer);
	go_through_list(&run, answer);
	error_context_stack = callback.previous;
	store(&run);
	return (Datum) 0;
}
