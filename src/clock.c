/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  The one clock, and the identifiers that carry its time.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "clock.h"

/* From 1970, where UUIDs count, to 2000, where PostgreSQL does. */
#define UNIX_EPOCH_US \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

TimestampTz
clock_read(void)
{
	return GetCurrentTimestamp();
}

pg_uuid_t *
clock_new_id(void)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));
	uint64		us = (uint64) (clock_read() + UNIX_EPOCH_US);
	uint64		ms = us / 1000;
	uint32		fraction = (uint32) ((us % 1000) * 4096 / 1000);

	if (!pg_strong_random(id->data + 8, UUID_LEN - 8))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("no random numbers for a new id")));
	for (int i = 0; i < 6; i++)
		id->data[i] = (unsigned char) (ms >> (8 * (5 - i)));
	id->data[6] = (unsigned char) (0x70 | (fraction >> 8));
	id->data[7] = (unsigned char) fraction;
	id->data[8] = (id->data[8] & 0x3f) | 0x80;
	return id;
}

void
clock_batch_member(pg_uuid_t *id, const pg_uuid_t *batch, uint32 ordinal)
{
	*id = *batch;
	for (int i = 0; i < 4; i++)
		id->data[UUID_LEN - 1 - i] = (unsigned char) (ordinal >> (8 * i));
}

void
clock_new_batch_id(pg_uuid_t *batch)
{
	clock_batch_member(batch, clock_new_id(), 0);
}

char *
clock_id_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}
