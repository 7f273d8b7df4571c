/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  teller.verify and teller.mark_verified: the books tested against their
 *	  invariants.
 *
 * The invariants are queries (verify.sql and what follows it), each of which
 * runs in the one snapshot of the call.  Level quick reads what was written
 * since a mark.  A mark is a time T and a digest of where the accounts stood
 * at T.  Before it is set, all movements are waited for that may have read a
 * clock before T, so whatever its snapshot does not see was recorded at T or
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

static const char quick_sql[] =
	"SELECT * FROM teller.verify_recent($1, $2)"
	" UNION ALL SELECT * FROM teller.verify_keys($1, $2)"
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

/* Compiling these queries takes longer than they do, up to large books. */
static void
begin_tests(OwnerScope *scope)
{
	owner_begin(scope);
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
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

/* The violations are in SPI_tuptable.  ledger: NULL for all of them. */
static uint64
test_full(const Datum *ledger)
{
	Datum		values[1] = {ledger == NULL ? (Datum) 0 : *ledger};

	return owner_execute(full_sql, "i", values, ledger == NULL ? "n" : NULL,
						 true);
}

/* *full tells whether it had to be tested in full. */
static uint64
test_quick(Datum ledger, bool *full)
{
	Datum		values[2] = {ledger};

	*full = !find_mark(ledger, &values[1]);
	return *full ? test_full(&ledger) :
		owner_execute(quick_sql, "iz", values, NULL, true);
}

static void
put_rows(ReturnSetInfo *rsinfo, uint64 rows)
{
	for (uint64 i = 0; i < rows; i++)
		tuplestore_puttuple(rsinfo->setResult, SPI_tuptable->vals[i]);
}

static void
put_quick_of_all(ReturnSetInfo *rsinfo)
{
	uint64		ledgers = owner_execute("SELECT ledger_id FROM teller.ledger"
										" UNION SELECT ledger_id FROM teller.account ORDER BY 1",
										"", NULL, NULL, true);
	SPITupleTable *list = SPI_tuptable;

	for (uint64 i = 0; i < ledgers; i++)
	{
		bool		isnull,
					full;
		Datum		ledger = SPI_getbinval(list->vals[i], list->tupdesc, 1,
										   &isnull);

		CHECK_FOR_INTERRUPTS();
		put_rows(rsinfo, test_quick(ledger, &full));
		SPI_freetuptable(SPI_tuptable);
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
	OwnerScope	scope;
	bool		full;

	if (all)
		access_require_owner("teller.verify() of all ledgers");
	else
		access_require(DatumGetInt64(ledger), ACCESS_READ);
	InitMaterializedSRF(fcinfo, 0);

	begin_tests(&scope);
	if (!all)
		ledger_require(DatumGetInt64(ledger));
	if (!quick)
		put_rows(rsinfo, test_full(all ? NULL : &ledger));
	else if (all)
		put_quick_of_all(rsinfo);
	else
		put_rows(rsinfo, test_quick(ledger, &full));
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

/* The digest, from the snapshot that was tested. */
static Datum
read_digest(Datum ledger, Datum mark)
{
	Datum		values[2] = {ledger, mark};
	bool		isnull;

	owner_execute("SELECT teller.verify_digest($1, $2)", "iz", values, NULL, true);
	return owner_value(1, &isnull);
}

/* A quick test leaves full_at as it was. */
static void
write_mark(Datum ledger, Datum mark, bool full, Datum digest)
{
	static const char sql[] =
		"INSERT INTO teller.verified VALUES ($1, $2, $2, $4)"
		" ON CONFLICT (ledger_id) DO UPDATE"
		" SET verified_at = excluded.verified_at, balances = excluded.balances,"
		" full_at = CASE WHEN $3 THEN excluded.full_at ELSE verified.full_at END";
	Datum		values[4] = {ledger, mark, BoolGetDatum(full), digest};

	owner_execute(sql, "izbn", values, NULL, false);
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
	Datum		mark;
	Datum		digest;
	bool		quick;
	bool		full = true;
	uint64		rows;
	OwnerScope	scope;

	input_require(fcinfo, 0, "ledger");
	ledger = PG_GETARG_DATUM(0);
	quick = read_quick(fcinfo, 1);
	check_may_mark();
	ledger_check(DatumGetInt64(ledger));

	mark = TimestampTzGetDatum(clock_read());
	movement_await_others();
	begin_tests(&scope);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	rows = quick ? test_quick(ledger, &full) : test_full(&ledger);
	if (rows > 0)
		raise_unsound(ledger, rows);
	digest = read_digest(ledger, mark);
	PopActiveSnapshot();
	write_mark(ledger, mark, full, digest);
	owner_end(&scope);
	PG_RETURN_VOID();
}
