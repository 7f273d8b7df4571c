/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *	  The worker's dispatch: send what is due, record what comes back.
 *
 * One turn: take over the calls that ended and record them (outcome.c), then
 * claim what is due and start its calls (claim.c), then see which leases of
 * applications ran out (lease.c), then record what the claim found to have
 * ended by itself.  Bytes travel only in call_wait, where there is no
 * transaction, no snapshot and no lock.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "call.h"
#include "claim.h"
#include "clock.h"
#include "compat.h"
#include "dispatch.h"
#include "lease.h"
#include "outcome.h"
#include "waitpoint.h"
#include "worker.h"

#define DRAIN_LOOK_MS 100

/* While draining, a row that somebody has locked is given up soon. */
#define DRAIN_LOCK_TIMEOUT "100ms"

/* Names this run of the worker in the attempt rows. */
static pg_uuid_t run_id;

void
dispatch_start(void)
{
	static bool started = false;
	pg_uuid_t  *id;

	if (started)
		return;
	call_init();
	id = clock_new_id();
	run_id = *id;
	pfree(id);
	started = true;
}

static void
collect(void)
{
	if (outcome_collect())
		WAIT_POINT("reply_read");
}

TimestampTz
dispatch_run(void)
{
	TimestampTz next;
	bool		ended;

	collect();
	next = outcome_record();
	next = clock_earlier(next, claim_run(&run_id));

	/* What was claimed leaves now, before we look for anything else. */
	if (call_in_flight() > 0)
		call_wait(0);
	next = clock_earlier(next, lease_run());

	/* What the claim found to have ended may be due again before next. */
	ended = outcome_waits();
	next = clock_earlier(next, outcome_record());
	return ended && !outcome_waits() ? DT_NOBEGIN : next;
}

void
dispatch_wait(long timeout_ms)
{
	call_wait(timeout_ms);
}

/*
 * We are asked to end, and until the grace is over we act as if we were not:
 * what may wait, waits for a short time and can be interrupted by asking
 * again.
 */
void
dispatch_drain(long grace_ms)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(clock_read(), grace_ms);

	ProcDiePending = false;
	RESUME_INTERRUPTS();
	SetConfigOption("lock_timeout", DRAIN_LOCK_TIMEOUT, PGC_SUSET,
					PGC_S_OVERRIDE);
	for (;;)
	{
		long		left;

		CHECK_FOR_INTERRUPTS();
		collect();
		(void) outcome_record();
		left = TimestampDifferenceMilliseconds(clock_read(), deadline);
		if (dispatch_in_flight() == 0 || left <= 0)
			break;
		ResetLatch(MyLatch);
		call_wait(Min(left, DRAIN_LOOK_MS));
	}
	HOLD_INTERRUPTS();
	ProcDiePending = true;
	InterruptPending = true;
}

void
dispatch_stop(void)
{
	call_shutdown();
}

int
dispatch_in_flight(void)
{
	return call_in_flight() + outcome_count();
}
