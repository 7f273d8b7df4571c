/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  teller.verify and teller.mark_verified: the books tested against their
 *	  invariants.
 *
 * The invariants are queries (verify.sql and what follows it), each of which
 * runs in the one snapshot of the call.  Level quick reads what was written
 * since a mark.  A mark is a time T and a digest of where the accounts stood
 * at T; of hot accounts it notes which epochs were in their rows, because
 * their rows of the journal are in no order of time (verify_hot_since).
 * Before it is set, all movements are waited for that may have read a clock
 * before T, so whatever its snapshot does not see was recorded at T or
 * later, and is found by that.  The digest catches what is not: if the
 * accounts did not stand at T where they stood when it was noted, the ledger
 * is tested in full.
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
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "clock.h"
#include "compat.h"
#include "input.h"
#include "ledger.h"
#include "movement.h"

static const char full_sql[] =
	"SELECT * FROM teller.verify_sums($1)"
	" UNION ALL SELECT * FROM teller.verify_amounts($1)"
	" UNION ALL SELECT * FROM teller.verify_sequence($1)"
	" UNION ALL SELECT * FROM teller.verify_folds($1)"
	" UNION ALL SELECT * FROM teller.verify_limits($1)"
	" UNION ALL SELECT * FROM teller.verify_feed($1)"
	" UNION ALL SELECT * FROM teller.verify_holds($1)"
	" UNION ALL SELECT * FROM teller.verify_keys($1, NULL)"
	" UNION ALL SELECT * FROM teller.verify_rows($1, NULL)"
	" UNION ALL SELECT * FROM teller.verify_hold_events($1, NULL)"
	" UNION ALL SELECT * FROM teller.verify_reversals($1, NULL)"
	" UNION ALL SELECT * FROM teller.verify_effects($1, NULL)"
	" UNION ALL SELECT * FROM teller.verify_operations($1)"
	" UNION ALL SELECT * FROM teller.verify_continuations($1)";

static const char recent_sql[] =
	"SELECT * FROM teller.verify_recent($1, $2)";

static const char quick_sql[] =
	"SELECT * FROM teller.verify_keys($1, $2)"
	" UNION ALL SELECT * FROM teller.verify_rows($1, $2)"
	" UNION ALL SELECT * FROM teller.verify_hold_events($1, $2)"
	" UNION ALL SELECT * FROM teller.verify_reversals($1, $2)"
	" UNION ALL SELECT * FROM teller.verify_effects($1, $2)";

/* True for quick, false for full. */
static bool
read_quick(FunctionCallInfo fcinfo, int arg)
{
	char	   *level;

	input_require(fcinfo, arg, "level");
	level = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	if (strcmp(level, "quick") == 0)
		return true;
	if (strcmp(level, "full") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("level must be 'full' or 'quick', not \"%s\"", level)));
	return false;
}

/* ---- within an OwnerScope --------------------------------------------- */

static void
set_for_now(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/* Compiling these queries takes longer than they do, up to large books. */
static void
begin_tests(OwnerScope *scope)
{
	owner_begin(scope);
	set_for_now("jit", "off");
}

/*
 * What is done with the violations: they are put into a result, or the first
 * one is raised.
 */
typedef struct Report
{
	ReturnSetInfo *rsinfo;		/* NULL: raise */
	Datum		ledger;			/* to be named then */
} Report;

static void
raise_unsound(Datum ledger, uint64 rows)
{
	HeapTuple	first = SPI_tuptable->vals[0];
	TupleDesc	desc = SPI_tuptable->tupdesc;

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("ledger %lld is not sound",
					(long long) DatumGetInt64(ledger)),
			 errdetail("%s, %s: %s; the first of " UINT64_FORMAT " violations.",
					   SPI_getvalue(first, desc, 1),
					   SPI_getvalue(first, desc, 3),
					   SPI_getvalue(first, desc, 4), rows),
			 errhint("Run SELECT * FROM teller.verify(%lld).",
					 (long long) DatumGetInt64(ledger))));
}

/*
 * How the rows are joined: each with all of another set, which the planner
 * must never take for one of a few rows, whatever statistics there are (a book
 * may be verified right after it was loaded); or looked up one by one, because
 * they are few.
 */
typedef enum Joins
{
	JOIN_SETS,
	JOIN_FEW
} Joins;

static void
run_tests(const Report *report, const char *sql, Joins joins,
		  const Datum *values, const char *nulls)
{
	uint64		rows;

	set_for_now("enable_nestloop", joins == JOIN_SETS ? "off" : "on");
	rows = owner_execute(sql, sql == full_sql ? "i" : "iz", values, nulls,
						 true);
	if (rows > 0 && report->rsinfo == NULL)
		raise_unsound(report->ledger, rows);
	for (uint64 i = 0; i < rows; i++)
		tuplestore_puttuple(report->rsinfo->setResult, SPI_tuptable->vals[i]);
	SPI_freetuptable(SPI_tuptable);
}

/* The mark from which a ledger may be tested quickly; false if in full. */
static bool
find_mark(Datum ledger, Datum *mark)
{
	bool		isnull;

	owner_execute("SELECT teller.verify_marked($1)", "i", &ledger, NULL, true);
	*mark = owner_value(1, &isnull);
	return !isnull;
}

/* ledger: NULL for all of them. */
static void
test_full(const Report *report, const Datum *ledger)
{
	Datum		values[1] = {ledger == NULL ? (Datum) 0 : *ledger};

	run_tests(report, full_sql, JOIN_SETS, values, ledger == NULL ? "n" : NULL);
}

/* True if it could not be done quickly, and was done in full. */
static bool
test_quick(const Report *report, Datum ledger)
{
	Datum		values[2] = {ledger};

	if (!find_mark(ledger, &values[1]))
	{
		test_full(report, &ledger);
		return true;
	}
	run_tests(report, recent_sql, JOIN_SETS, values, NULL);
	run_tests(report, quick_sql, JOIN_FEW, values, NULL);
	return false;
}

static void
test_quick_all(const Report *report)
{
	uint64		ledgers = owner_execute("SELECT ledger_id FROM teller.ledger"
										" UNION SELECT ledger_id FROM teller.account ORDER BY 1",
										"", NULL, NULL, true);
	SPITupleTable *list = SPI_tuptable;

	for (uint64 i = 0; i < ledgers; i++)
	{
		bool		isnull;
		Datum		ledger = SPI_getbinval(list->vals[i], list->tupdesc, 1,
										   &isnull);

		CHECK_FOR_INTERRUPTS();
		(void) test_quick(report, ledger);
	}
}

/* ---- teller.verify ---------------------------------------------------- */

PG_FUNCTION_INFO_V1(teller_verify);

/* teller.verify(ledger, level): see its COMMENT. */
Datum
teller_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		ledger = fcinfo->args[0].value;
	bool		all = PG_ARGISNULL(0);
	bool		quick = read_quick(fcinfo, 1);
	Report		report = {.rsinfo = rsinfo};
	OwnerScope	scope;

	if (all)
		access_require_owner("teller.verify() of all ledgers");
	else
		access_require(DatumGetInt64(ledger), ACCESS_READ);
	InitMaterializedSRF(fcinfo, 0);

	begin_tests(&scope);
	if (!all)
		ledger_require(DatumGetInt64(ledger));
	if (!quick)
		test_full(&report, all ? NULL : &ledger);
	else if (all)
		test_quick_all(&report);
	else
		(void) test_quick(&report, ledger);
	owner_end(&scope);
	return (Datum) 0;
}

/* ---- teller.mark_verified --------------------------------------------- */

static void
check_may_mark(void)
{
	access_require_owner("teller.mark_verified()");
	PreventCommandIfReadOnly("teller.mark_verified()");
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("teller.mark_verified() cannot be called at isolation level REPEATABLE READ or SERIALIZABLE"),
				 errdetail("The transaction would not see the movements that the call waits for."),
				 errhint("Call it in a transaction of its own at READ COMMITTED.")));
}

/* What is noted with the time. */
typedef struct Mark
{
	Datum		digest;
	Datum		folds;
	bool		no_folds;
} Mark;

/* From the snapshot that was tested. */
static void
read_mark(Datum ledger, Datum at, Mark *mark)
{
	Datum		values[2] = {ledger, at};
	bool		isnull;

	owner_execute("SELECT teller.verify_digest($1, $2), teller.verify_noted($1)",
				  "iz", values, NULL, true);
	mark->digest = owner_value(1, &isnull);
	mark->folds = owner_value(2, &mark->no_folds);
}

/* A quick test leaves full_at as it was. */
static void
write_mark(Datum ledger, Datum at, bool full, const Mark *mark)
{
	static const char sql[] =
		"INSERT INTO teller.verified VALUES ($1, $2, $2, $4, $5)"
		" ON CONFLICT (ledger_id) DO UPDATE"
		" SET verified_at = excluded.verified_at, balances = excluded.balances,"
		" folds = excluded.folds,"
		" full_at = CASE WHEN $3 THEN excluded.full_at ELSE verified.full_at END";
	Datum		values[5] = {ledger, at, BoolGetDatum(full), mark->digest,
	mark->folds};

	owner_execute(sql, "izbnj", values, mark->no_folds ? "    n" : NULL,
				  false);
}

PG_FUNCTION_INFO_V1(teller_mark_verified);

/*
 * teller.mark_verified(ledger, level): see its COMMENT.  The snapshot is taken
 * when everybody has been waited for, hence not the statement's.
 */
Datum
teller_mark_verified(PG_FUNCTION_ARGS)
{
	Datum		ledger;
	Datum		at;
	Mark		mark;
	Report		report = {.rsinfo = NULL};
	bool		quick;
	bool		full = true;
	OwnerScope	scope;

	input_require(fcinfo, 0, "ledger");
	ledger = PG_GETARG_DATUM(0);
	quick = read_quick(fcinfo, 1);
	check_may_mark();
	ledger_check(DatumGetInt64(ledger));

	at = TimestampTzGetDatum(clock_read());
	movement_await_others();
	begin_tests(&scope);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	report.ledger = ledger;
	if (quick)
		full = test_quick(&report, ledger);
	else
		test_full(&report, &ledger);
	read_mark(ledger, at, &mark);
	PopActiveSnapshot();
	write_mark(ledger, at, full, &mark);
	owner_end(&scope);
	PG_RETURN_VOID();
}
