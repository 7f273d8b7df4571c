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

/*
 * Random bytes of an id.  To ask OpenSSL for them costs more than to look up
 * an account, however few they are: so they are fetched for many ids at once.
 * Those that were given out are not kept.
 */
static void
random_bytes(unsigned char *bytes, int count)
{
	static unsigned char pool[512];
	static int	left = 0;

	if (left < count)
	{
		left = 0;
		if (!pg_strong_random(pool, sizeof(pool)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("no random numbers for a new id")));
		left = sizeof(pool);
	}
	left -= count;
	memcpy(bytes, pool + left, count);
	memset(pool + left, 0, count);
}

/*
 * Ids of one session ascend, even if it makes two within one microsecond or
 * the clock is set back: by them the feed tells the order within a transaction.
 */
static uint64
ascending_us(void)
{
	static uint64 last = 0;
	uint64		now = (uint64) (clock_read() + UNIX_EPOCH_US);

	last = Max(now, last + 1);
	return last;
}

pg_uuid_t *
clock_new_id(void)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));
	uint64		us = ascending_us();
	uint64		ms = us / 1000;
	uint32		fraction = (uint32) ((us % 1000) * 4096 / 1000);

	random_bytes(id->data + 8, UUID_LEN - 8);
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
