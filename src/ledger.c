/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  Ledgers, assets and rights on ledgers: administration.
 *
 * Off the hot path, so it is SQL as the owner.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "access.h"
#include "amount.h"
#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "ledger.h"

static char
null_flag(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? 'n' : ' ';
}

void
ledger_require(int64 ledger)
{
	Datum		values[1] = {Int64GetDatum(ledger)};

	if (owner_execute("SELECT FROM teller.ledger WHERE ledger_id OPERATOR(pg_catalog.=) $1",
					  "i", values, NULL, false) == 0)
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
				 errmsg("ledger %lld does not exist", (long long) ledger),
				 errhint("Create it with teller.create_ledger(%lld).",
						 (long long) ledger)));
}

void
ledger_check(int64 ledger)
{
	OwnerScope	scope;

	if (!access_is_owner())
		return;
	owner_begin(&scope);
	ledger_require(ledger);
	owner_end(&scope);
}

PG_FUNCTION_INFO_V1(teller_create_ledger);

/* teller.create_ledger(ledger, name) */
Datum
teller_create_ledger(PG_FUNCTION_ARGS)
{
	OwnerScope	scope;
	Datum		values[2];
	char		nulls[2] = {' ', null_flag(fcinfo, 1)};
	int64		ledger;
	text	   *name;
	bool		isnull;

	input_require(fcinfo, 0, "ledger");
	ledger = PG_GETARG_INT64(0);
	name = input_label(fcinfo, 1, "name");
	access_require_owner("teller.create_ledger()");
	values[0] = Int64GetDatum(ledger);
	values[1] = PointerGetDatum(name);

	owner_begin(&scope);
	if (owner_execute("INSERT INTO teller.ledger VALUES ($1, $2) ON CONFLICT DO NOTHING",
					  "it", values, nulls, false) == 0 &&
		owner_execute("SELECT coalesce(quote_literal(name), 'null') FROM teller.ledger"
					  " WHERE ledger_id = $1 AND name IS DISTINCT FROM $2",
					  "it", values, nulls, false) > 0)
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_IDEMPOTENCY_MISMATCH),
				 errmsg("ledger %lld exists with another name",
						(long long) ledger),
				 errdetail("Its name is %s.",
						   TextDatumGetCString(owner_value(1, &isnull)))));
	owner_end(&scope);
	PG_RETURN_VOID();
}

/* The asset is there with another scale. */
static void
raise_other_scale(const Datum *values, int scale)
{
	bool		used = owner_execute("SELECT FROM teller.account WHERE asset = $1 LIMIT 1",
									 "t", values, NULL, false) > 0;

	ereport(ERROR,
			(errcode(used ? ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE :
					 ERRCODE_TELLER_IDEMPOTENCY_MISMATCH),
			 errmsg("asset %s exists with another scale",
					TextDatumGetCString(values[0])),
			 used ? errdetail("Its scale is %d, and accounts use it.", scale) :
			 errdetail("Its scale is %d.", scale)));
}

PG_FUNCTION_INFO_V1(teller_create_asset);

/* teller.create_asset(asset, scale) */
Datum
teller_create_asset(PG_FUNCTION_ARGS)
{
	OwnerScope	scope;
	Datum		values[2];
	bool		isnull;

	input_require(fcinfo, 0, "asset");
	input_require(fcinfo, 1, "scale");
	values[0] = PointerGetDatum(input_label(fcinfo, 0, "asset"));
	values[1] = PG_GETARG_DATUM(1);
	if (PG_GETARG_INT32(1) < 0 || PG_GETARG_INT32(1) > AMOUNT_MAX_SCALE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scale must be between 0 and %d", AMOUNT_MAX_SCALE),
				 errdetail("It is %d.", PG_GETARG_INT32(1))));
	access_require_owner("teller.create_asset()");

	owner_begin(&scope);
	if (owner_execute("INSERT INTO teller.asset VALUES ($1, $2) ON CONFLICT DO NOTHING",
					  "t4", values, NULL, false) == 0 &&
		owner_execute("SELECT scale::integer FROM teller.asset WHERE asset = $1 AND scale <> $2",
					  "t4", values, NULL, false) > 0)
		raise_other_scale(values, DatumGetInt32(owner_value(1, &isnull)));
	owner_end(&scope);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(teller_grant_ledger);

/* teller.grant_ledger(ledger, grantee, level) */
Datum
teller_grant_ledger(PG_FUNCTION_ARGS)
{
	OwnerScope	scope;
	Datum		values[3];
	char	   *level;

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "grantee");
	input_require(fcinfo, 2, "level");
	level = text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (strcmp(level, "read") != 0 && strcmp(level, "post") != 0 &&
		strcmp(level, "operate") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("level must be 'read', 'post' or 'operate', not \"%s\"",
						level)));
	access_require_owner("teller.grant_ledger()");
	(void) GetUserNameFromId(PG_GETARG_OID(1), false);
	for (int i = 0; i < 3; i++)
		values[i] = PG_GETARG_DATUM(i);

	owner_begin(&scope);
	ledger_require(PG_GETARG_INT64(0));
	owner_execute("INSERT INTO teller.ledger_grant VALUES ($1, $2, $3)"
				  " ON CONFLICT (ledger_id, grantee) DO UPDATE SET level = excluded.level",
				  "irt", values, NULL, false);
	owner_end(&scope);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(teller_revoke_ledger);

/* teller.revoke_ledger(ledger, grantee) */
Datum
teller_revoke_ledger(PG_FUNCTION_ARGS)
{
	OwnerScope	scope;
	Datum		values[2];

	input_require(fcinfo, 0, "ledger");
	input_require(fcinfo, 1, "grantee");
	access_require_owner("teller.revoke_ledger()");
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_GETARG_DATUM(1);

	owner_begin(&scope);
	ledger_require(PG_GETARG_INT64(0));
	owner_execute("DELETE FROM teller.ledger_grant WHERE ledger_id = $1 AND grantee = $2",
				  "ir", values, NULL, false);
	owner_end(&scope);
	PG_RETURN_VOID();
}
