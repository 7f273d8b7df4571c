/*-------------------------------------------------------------------------
 *
 * account_open.c
 *	  teller.open_account: once, however often and by however many.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access.h"
#include "account.h"
#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "hot.h"
#include "input.h"
#include "ledger.h"
#include "wake.h"

enum
{
	ARG_LEDGER,
	ARG_ACCOUNT,
	ARG_ASSET,
	ARG_NAME,
	ARG_MIN,
	ARG_MAX,
	ARG_REENTRANCY,
	ARG_HOT,
	ARG_METADATA,
	ARG_COUNT
};

#define MADE_ID_BITS 53			/* exact in a double, for clients that use one */

/* What is asked, as parameters $1 to $9 of the statements below. */
typedef struct OpenRequest
{
	int64		ledger;
	bool		makes_id;
	Datum		values[ARG_COUNT];
	char		nulls[ARG_COUNT];
} OpenRequest;

#define OPEN_TYPES "iittnntbj"

static void
check_mode(FunctionCallInfo fcinfo)
{
	account_check_reentrancy(text_to_cstring(PG_GETARG_TEXT_PP(ARG_REENTRANCY)));
	if (!PG_GETARG_BOOL(ARG_HOT))
		return;
	hot_require_preload();
}

/* A limit in the asset's scale, so that it is stored like a balance. */
static void
scale_limit(OpenRequest *request, int arg, const char *what, int scale)
{
	if (request->nulls[arg] != 'n')
		request->values[arg] =
			AmountGetDatum(amount_from_numeric(DatumGetNumeric(request->values[arg]),
											   scale, what), scale);
}

static int
asset_scale(Datum asset)
{
	bool		isnull;

	if (owner_execute("SELECT scale::integer FROM teller.asset WHERE asset = $1",
					  "t", &asset, NULL, false) == 0)
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
				 errmsg("asset %s does not exist", TextDatumGetCString(asset)),
				 errhint("Create it with teller.create_asset(%s, 2), where 2 is its number of decimals.",
						 quote_literal_cstr(TextDatumGetCString(asset)))));
	return DatumGetInt32(owner_value(1, &isnull));
}

static void
check_limits(OpenRequest *request, int scale)
{
	scale_limit(request, ARG_MIN, "min_balance", scale);
	scale_limit(request, ARG_MAX, "max_balance", scale);
	if (request->nulls[ARG_MIN] != 'n' && request->nulls[ARG_MAX] != 'n' &&
		DatumGetInt32(DirectFunctionCall2(numeric_cmp, request->values[ARG_MIN],
										  request->values[ARG_MAX])) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("min_balance is above max_balance")));
}

static int64
make_id(void)
{
	uint64		id = 0;

	while (id == 0)
	{
		if (!pg_strong_random(&id, sizeof(id)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("no random numbers for a new account id")));
		id >>= 64 - MADE_ID_BITS;
	}
	return (int64) id;
}

/* False if the id or the name is taken; a running twin is waited for. */
static bool
insert_account(OpenRequest *request, int scale)
{
	static const char sql[] =
		"INSERT INTO teller.account (ledger_id, account_id, asset, name, min_balance,"
		" max_balance, reentrancy, hot, metadata, posted, pending_debit,"
		" pending_credit, version, status, last_at)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $10, 0, 'open', $11)"
		" ON CONFLICT DO NOTHING";
	Datum		values[ARG_COUNT + 2];
	char		nulls[ARG_COUNT + 2];

	memcpy(values, request->values, sizeof(request->values));
	memcpy(nulls, request->nulls, sizeof(request->nulls));
	values[ARG_COUNT] = AmountGetDatum(0, scale);
	values[ARG_COUNT + 1] = TimestampTzGetDatum(clock_read());
	nulls[ARG_COUNT] = nulls[ARG_COUNT + 1] = ' ';
	return owner_execute(sql, OPEN_TYPES "nz", values, nulls, false) > 0;
}

/* values: those of OpenRequest, with the account's id. */
static void
raise_other_attribute(const Datum *values, const char *nulls, int arg,
					  const char *column)
{
	char	   *sql = psprintf("SELECT pg_catalog.format('It has %%s %%s, asked for %%s.',"
							   " '%s', coalesce(%s::text, 'null'), coalesce($%d::text, 'null'))"
							   " FROM teller.account WHERE ledger_id = $1 AND account_id = $2",
							   column, column, arg + 1);
	char	   *detail = NULL;
	bool		isnull;

	if (owner_execute(sql, OPEN_TYPES, values, nulls, false) > 0)
		detail = TextDatumGetCString(owner_value(1, &isnull));
	ereport(ERROR,
			(teller_errcode(ERRCODE_TELLER_IDEMPOTENCY_MISMATCH),
			 errmsg("account %lld of ledger %lld exists with another %s",
					(long long) DatumGetInt64(values[ARG_ACCOUNT]),
					(long long) DatumGetInt64(values[ARG_LEDGER]), column),
			 detail ? errdetail("%s", detail) : 0));
}

/*
 * The account that has the id (or, where an id is to be made, the name):
 * its id if it has the attributes asked for, else TL003.  False if neither id
 * nor name is taken.
 */
static bool
match_account(OpenRequest *request, int64 *account)
{
	static const struct
	{
		int			arg;
		const char *column;
	}			attributes[] =
	{
		{ARG_ASSET, "asset"}, {ARG_NAME, "name"}, {ARG_MIN, "min_balance"},
		{ARG_MAX, "max_balance"}, {ARG_REENTRANCY, "reentrancy"},
		{ARG_HOT, "hot"}, {ARG_METADATA, "metadata"}
	};
	static const char sql[] =
		"SELECT account_id, asset = $3, name IS NOT DISTINCT FROM $4,"
		" min_balance IS NOT DISTINCT FROM $5, max_balance IS NOT DISTINCT FROM $6,"
		" reentrancy = $7, hot = $8, metadata IS NOT DISTINCT FROM $9"
		" FROM teller.account WHERE ledger_id = $1 AND"
		" CASE WHEN $2 IS NULL THEN name = $4 ELSE account_id = $2 OR name = $4 END"
		" ORDER BY account_id = $2 DESC LIMIT 1";
	Datum		values[ARG_COUNT];
	char		nulls[ARG_COUNT];
	bool		same[lengthof(attributes)];
	bool		isnull;

	memcpy(values, request->values, sizeof(values));
	memcpy(nulls, request->nulls, sizeof(nulls));
	nulls[ARG_ACCOUNT] = request->makes_id ? 'n' : ' ';
	if (owner_execute(sql, OPEN_TYPES, values, nulls, false) == 0)
		return false;
	*account = DatumGetInt64(owner_value(1, &isnull));
	if (!request->makes_id &&
		*account != DatumGetInt64(request->values[ARG_ACCOUNT]))
		ereport(ERROR,
				(teller_errcode(ERRCODE_TELLER_IDEMPOTENCY_MISMATCH),
				 errmsg("the name is taken by account %lld of ledger %lld",
						(long long) *account, (long long) request->ledger)));
	for (int i = 0; i < lengthof(attributes); i++)
		same[i] = DatumGetBool(owner_value(i + 2, &isnull));
	values[ARG_ACCOUNT] = Int64GetDatum(*account);
	nulls[ARG_ACCOUNT] = ' ';
	for (int i = 0; i < lengthof(attributes); i++)
		if (!same[i])
			raise_other_attribute(values, nulls, attributes[i].arg,
								  attributes[i].column);
	return true;
}

static int64
open_account(OpenRequest *request)
{
	int			scale = asset_scale(request->values[ARG_ASSET]);
	int64		account;

	check_limits(request, scale);
	for (;;)
	{
		if (match_account(request, &account))
			return account;
		if (request->makes_id)
		{
			request->values[ARG_ACCOUNT] = Int64GetDatum(make_id());
			request->nulls[ARG_ACCOUNT] = ' ';
		}
		if (insert_account(request, scale))
			return DatumGetInt64(request->values[ARG_ACCOUNT]);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
read_open(FunctionCallInfo fcinfo, OpenRequest *request)
{
	input_require(fcinfo, ARG_LEDGER, "ledger");
	input_require(fcinfo, ARG_ASSET, "asset");
	input_require(fcinfo, ARG_REENTRANCY, "reentrancy");
	input_require(fcinfo, ARG_HOT, "hot");
	if (PG_ARGISNULL(ARG_ACCOUNT) && PG_ARGISNULL(ARG_NAME))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("account must not be null without a name"),
				 errhint("Pass an id, or a name under which a made id is found again.")));
	request->ledger = PG_GETARG_INT64(ARG_LEDGER);
	request->makes_id = PG_ARGISNULL(ARG_ACCOUNT);
	for (int i = 0; i < ARG_COUNT; i++)
	{
		request->values[i] = fcinfo->args[i].value;
		request->nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	(void) input_label(fcinfo, ARG_ASSET, "asset");
	(void) input_label(fcinfo, ARG_NAME, "name");
	(void) input_metadata(fcinfo, ARG_METADATA);
	check_mode(fcinfo);
}

PG_FUNCTION_INFO_V1(teller_open_account);

/* teller.open_account: see its COMMENT. */
Datum
teller_open_account(PG_FUNCTION_ARGS)
{
	OpenRequest request;
	OwnerScope	scope;
	int64		account;

	read_open(fcinfo, &request);
	access_require_owner("teller.open_account()");
	owner_begin(&scope);
	ledger_require(request.ledger);
	account = open_account(&request);
	owner_end(&scope);
	PG_RETURN_INT64(account);
}
