/*-------------------------------------------------------------------------
 *
 * memo.c
 *	  The memo: 32 bytes that name an operation to the outside, the same on
 *	  every retry; and the request that is sent under it.
 *
 * The memo is the SHA-256 (FIPS 180-4) of a domain tag, a version byte, and
 * the parts in a fixed order, each behind its length in four bytes, most
 * significant first; 0xffffffff stands for a part that is missing.  So no two
 * different operations have the same input, whatever their texts contain.
 * Integers are eight bytes, most significant first; texts are UTF-8.
 *
 * A memo is computed when the operation is submitted and never again: what is
 * stored is what is sent.  teller.verify() computes it once more to compare.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"

#include "clock.h"
#include "compat.h"
#include "memo.h"

#define MEMO_TAG "pg_teller operation"
#define MEMO_VERSION 1
#define MEMO_MISSING 0xffffffff

/* ---- the memo --------------------------------------------------------- */

static void
add_bytes(StringInfo input, const char *bytes, int length)
{
	pq_sendint32(input, (uint32) length);
	appendBinaryStringInfo(input, bytes, length);
}

static void
add_text(StringInfo input, const char *value)
{
	char	   *utf8;

	if (value == NULL)
	{
		pq_sendint32(input, MEMO_MISSING);
		return;
	}
	utf8 = pg_server_to_any(value, strlen(value), PG_UTF8);
	add_bytes(input, utf8, strlen(utf8));
}

static void
add_bigint(StringInfo input, int64 value)
{
	pq_sendint32(input, sizeof(int64));
	pq_sendint64(input, value);
}

void
memo_compute(const MemoParts *parts, uint8 memo[MEMO_BYTES])
{
	StringInfoData input;
	Datum		bytes;
	Datum		hash;

	initStringInfo(&input);
	appendBinaryStringInfo(&input, MEMO_TAG, strlen(MEMO_TAG));
	appendStringInfoCharMacro(&input, MEMO_VERSION);
	add_bytes(&input, (const char *) parts->origin->data, UUID_LEN);
	add_text(&input, parts->direction);
	add_bigint(&input, parts->ledger);
	add_bigint(&input, parts->account);
	add_text(&input, parts->nonce);
	add_text(&input, parts->amount);
	add_text(&input, parts->asset);
	add_text(&input, parts->server);
	add_text(&input, parts->counterparty);
	add_text(&input, parts->payload);

	bytes = PointerGetDatum(cstring_to_text_with_len(input.data, input.len));
	hash = DirectFunctionCall1(sha256_bytea, bytes);
	Assert(VARSIZE_ANY_EXHDR(DatumGetPointer(hash)) == MEMO_BYTES);
	memcpy(memo, VARDATA_ANY(DatumGetPointer(hash)), MEMO_BYTES);
	pfree(input.data);
}

char *
memo_hex(const uint8 memo[MEMO_BYTES])
{
	char	   *hex = palloc(2 * MEMO_BYTES + 1);

	hex_encode((const char *) memo, MEMO_BYTES, hex);
	hex[2 * MEMO_BYTES] = '\0';
	return hex;
}

/* ---- the request ------------------------------------------------------ */

static void
add_member(StringInfo json, const char *name, const char *value)
{
	appendStringInfoString(json, json->len > 1 ? ", \"" : "\"");
	appendStringInfoString(json, name);
	appendStringInfoString(json, "\": ");
	escape_json(json, value);
}

char *
memo_request(const MemoParts *parts, const uint8 memo[MEMO_BYTES],
			 TimestampTz not_after)
{
	StringInfoData json;
	char		deadline[MAXDATELEN + 1];
	int			utc = 0;

	JsonEncodeDateTime(deadline, TimestampTzGetDatum(not_after),
					   TIMESTAMPTZOID, &utc);
	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	add_member(&json, "memo", memo_hex(memo));
	add_member(&json, "origin", clock_id_text(parts->origin));
	add_member(&json, "ledger", psprintf("%lld", (long long) parts->ledger));
	add_member(&json, "direction", parts->direction);
	add_member(&json, "account", parts->counterparty);
	add_member(&json, "amount", parts->amount);
	add_member(&json, "asset", parts->asset);
	add_member(&json, "nonce", parts->nonce);
	add_member(&json, "not_after", deadline);
	if (parts->payload != NULL)
		appendStringInfo(&json, ", \"payload\": %s", parts->payload);
	appendStringInfoChar(&json, '}');
	return json.data;
}

/* ---- SQL function ----------------------------------------------------- */

static char *
payload_text(FunctionCallInfo fcinfo, int arg)
{
	Jsonb	   *payload;

	if (PG_ARGISNULL(arg))
		return NULL;
	payload = PG_GETARG_JSONB_P(arg);
	return JsonbToCString(NULL, &payload->root, VARSIZE(payload));
}

PG_FUNCTION_INFO_V1(teller_operation_memo);

/*
 * teller.operation_memo(origin uuid, direction text, ledger bigint, account
 * bigint, nonce text, amount numeric, asset text, server name, counterparty
 * text, payload jsonb) -> bytea: for teller.verify().  NULL if anything but
 * the payload is.
 */
Datum
teller_operation_memo(PG_FUNCTION_ARGS)
{
	MemoParts	parts;
	bytea	   *result = palloc(VARHDRSZ + MEMO_BYTES);

	for (int i = 0; i < 9; i++)
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	parts.origin = PG_GETARG_UUID_P(0);
	parts.direction = text_to_cstring(PG_GETARG_TEXT_PP(1));
	parts.ledger = PG_GETARG_INT64(2);
	parts.account = PG_GETARG_INT64(3);
	parts.nonce = text_to_cstring(PG_GETARG_TEXT_PP(4));
	parts.amount = DatumGetCString(DirectFunctionCall1(numeric_out,
													   PG_GETARG_DATUM(5)));
	parts.asset = text_to_cstring(PG_GETARG_TEXT_PP(6));
	parts.server = NameStr(*PG_GETARG_NAME(7));
	parts.counterparty = text_to_cstring(PG_GETARG_TEXT_PP(8));
	parts.payload = payload_text(fcinfo, 9);

	SET_VARSIZE(result, VARHDRSZ + MEMO_BYTES);
	memo_compute(&parts, (uint8 *) VARDATA(result));
	PG_RETURN_BYTEA_P(result);
}
