/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  teller.verify: the books tested against their invariants.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "access.h"
#include "compat.h"
#include "input.h"
#include "ledger.h"

/* One statement, so one snapshot. */
static const char verify_sql[] =
	"SELECT * FROM teller.verify_sums($1)"
	" UNION ALL SELECT * FROM teller.verify_amounts($1)"
	" UNION ALL SELECT * FROM teller.verify_sequence($1)"
	" UNION ALL SELECT * FROM teller.verify_limits($1)"
	" UNION ALL SELECT * FROM teller.verify_holds($1)"
	" UNION ALL SELECT * FROM teller.verify_keys($1)"
	" UNION ALL SELECT * FROM teller.verify_feed($1)"
	" UNION ALL SELECT * FROM teller.verify_operations($1)";

static void
check_level(FunctionCallInfo fcinfo)
{
	char	   *level;

	input_require(fcinfo, 1, "level");
	level = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (strcmp(level, "quick") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("level \"quick\" is not supported yet"),
				 errhint("Use 'full'.")));
	if (strcmp(level, "full") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("level must be 'full', not \"%s\"", level)));
}

PG_FUNCTION_INFO_V1(teller_verify);

/* teller.verify(ledger, level) */
Datum
teller_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		ledger = fcinfo->args[0].value;
	char		nulls[1] = {PG_ARGISNULL(0) ? 'n' : ' '};
	OwnerScope	scope;
	uint64		rows;

	check_level(fcinfo);
	if (PG_ARGISNULL(0))
		access_require_owner("teller.verify() of all ledgers");
	else
		access_require(DatumGetInt64(ledger), ACCESS_READ);
	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope);

	/* Compiling these queries takes longer than they do, up to large books. */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (!PG_ARGISNULL(0))
		ledger_require(DatumGetInt64(ledger));
	rows = owner_execute(verify_sql, "i", &ledger, nulls, true);
	for (uint64 i = 0; i < rows; i++)
		tuplestore_puttuple(rsinfo->setResult, SPI_tuptable->vals[i]);
	owner_end(&scope);
	return (Datum) 0;
}
