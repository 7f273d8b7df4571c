/*-------------------------------------------------------------------------
 *
 * seal_digest.c
 *	  The bytes that seals are made of, and their SHA-256.
 *
 * The bytes depend on the values alone: not on the server's version, its
 * machine, its settings or the encoding of the database, so a seal holds over
 * dump and restore.  docs/evidence.md describes them for auditors.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "seal_digest.h"

#define UNIX_EPOCH_US \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

StaticAssertDecl(DIGEST_LEN == PG_SHA256_DIGEST_LENGTH,
				 "digests are SHA-256");

void
digester_begin(Digester *digester)
{
	digester->hash = pg_cryptohash_create(PG_SHA256);
	if (digester->hash == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	initStringInfo(&digester->fields);
	digester->context = AllocSetContextCreate(CurrentMemoryContext,
											  "teller digest",
											  ALLOCSET_DEFAULT_SIZES);
}

void
digester_end(Digester *digester)
{
	pg_cryptohash_free(digester->hash);
	pfree(digester->fields.data);
	MemoryContextDelete(digester->context);
}

/* ---- fields ----------------------------------------------------------- */

void
digest_text(Digester *digester, const char *text)
{
	uint32		length = PG_UINT32_MAX;

	if (text != NULL)
	{
		text = pg_server_to_any(text, strlen(text), PG_UTF8);
		length = pg_hton32(strlen(text));
	}
	appendBinaryStringInfo(&digester->fields, (char *) &length,
						   sizeof(length));
	if (text != NULL)
		appendStringInfoString(&digester->fields, text);
}

void
digest_bigint(Digester *digester, int64 value)
{
	char		text[32];

	snprintf(text, sizeof(text), "%lld", (long long) value);
	digest_text(digester, text);
}

void
digest_uuid(Digester *digester, const pg_uuid_t *id)
{
	char	   *text = clock_id_text(id);

	digest_text(digester, text);
	pfree(text);
}

void
digest_time(Digester *digester, int64 time)
{
	digest_bigint(digester, time + UNIX_EPOCH_US);
}

static void
digest_column(Digester *digester, Oid type, Datum value)
{
	switch (type)
	{
		case INT8OID:
			digest_bigint(digester, DatumGetInt64(value));
			break;
		case UUIDOID:
			digest_uuid(digester, DatumGetUUIDP(value));
			break;
		case TEXTOID:
			digest_text(digester, TextDatumGetCString(value));
			break;
		case NUMERICOID:
			digest_text(digester,
						DatumGetCString(DirectFunctionCall1(numeric_out,
															value)));
			break;
		case TIMESTAMPTZOID:
			digest_time(digester, DatumGetTimestampTz(value));
			break;
		case JSONBOID:
			digest_text(digester,
						DatumGetCString(DirectFunctionCall1(jsonb_out,
															value)));
			break;
		case BOOLOID:
			digest_text(digester, DatumGetBool(value) ? "t" : "f");
			break;
		default:
			elog(ERROR, "a column of type %u cannot be sealed", type);
	}
}

void
digest_row(Digester *digester, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(digester->context);
	TupleDesc	desc = slot->tts_tupleDescriptor;

	slot_getallattrs(slot);
	for (int i = 0; i < desc->natts; i++)
		if (slot->tts_isnull[i])
			digest_text(digester, NULL);
		else
			digest_column(digester, TupleDescAttr(desc, i)->atttypid,
						  slot->tts_values[i]);
	MemoryContextSwitchTo(old);
	MemoryContextReset(digester->context);
}

/* ---- chains ----------------------------------------------------------- */

static void
hash(Digester *digester, const uint8 *before, uint8 *digest)
{
	if (pg_cryptohash_init(digester->hash) < 0 ||
		pg_cryptohash_update(digester->hash, before,
							 before == NULL ? 0 : DIGEST_LEN) < 0 ||
		pg_cryptohash_update(digester->hash,
							 (const uint8 *) digester->fields.data,
							 digester->fields.len) < 0 ||
		pg_cryptohash_final(digester->hash, digest, DIGEST_LEN) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256: %s",
						pg_cryptohash_error(digester->hash))));
	resetStringInfo(&digester->fields);
}

void
digest_chain(Digester *digester, uint8 *digest)
{
	hash(digester, digest, digest);
}

void
digest_start(Digester *digester, int64 ledger, uint8 *digest)
{
	digest_text(digester, "pg_teller seal");
	digest_bigint(digester, SEAL_FORMAT);
	digest_bigint(digester, ledger);
	hash(digester, NULL, digest);
}
