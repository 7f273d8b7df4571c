/*-------------------------------------------------------------------------
 *
 * promotion.c
 *	  A standby that was promoted adopts its databases by itself.
 *
 * The rows of a promoted standby may lack the last that its primary did.  So
 * nothing counts as never sent, as after any adoption; but nobody has to be
 * asked whether this database carries on: it was promoted for that.  It is
 * told from a restored backup by what this server did before: it received WAL
 * from a primary, of the timeline that the database was last adopted on.
 * That is known as long as the postmaster lives that was promoted.
 *
 * Each remote must be able to say what became of a memo, and honour it, or
 * operations could stay in doubt or run twice; else a person is waited for.
 *
 * What cannot be seen from here is whether the old primary goes on.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlogdefs.h"
#include "foreign/foreign.h"
#include "replication/walreceiver.h"
#include "storage/spin.h"

#include "access.h"
#include "adopt.h"
#include "compat.h"
#include "instance.h"
#include "promotion.h"
#include "server.h"
#include "worker.h"

/*
 * The timeline that this server streamed, in the life of this postmaster; 0 if
 * none.  That a position was asked for is not enough: a primary must have
 * spoken.
 */
static TimeLineID
streamed_timeline(void)
{
	TimeLineID	timeline = 0;
	bool		heard;

	SpinLockAcquire(&WalRcv->mutex);
	heard = !XLogRecPtrIsInvalid(WalRcv->latestWalEnd);
	SpinLockRelease(&WalRcv->mutex);
	if (!heard || XLogRecPtrIsInvalid(GetWalRcvFlushRecPtr(NULL, &timeline)))
		return 0;
	return timeline;
}

/* NULL if it can be asked about any memo, else why not. */
static const char *
find_obstacle(const char *name)
{
	Oid			oid = get_foreign_server_oid(name, true);
	const char *problem = NULL;
	Server	   *server = OidIsValid(oid) ? server_try(oid, &problem) : NULL;

	if (server == NULL)
		return "does not exist or has options that cannot be read";
	if (server->kind == SERVER_PULL)
		return "is of wrapper teller_pull";
	if (!server->can_lookup)
		return "has can_lookup off";
	if (!server->honours_memo)
		return "has honours_memo off";
	return NULL;
}

static bool
can_ask_all(void)
{
	static const char sql[] =
		"SELECT server FROM teller.operation_data"
		" WHERE state NOT IN ('settled', 'refunded')"
		" UNION SELECT server FROM teller.settlement ORDER BY server";
	OwnerScope	scope;
	bool		all = true;

	owner_begin(&scope);
	owner_execute(sql, "", NULL, NULL, true);
	for (uint64 i = 0; all && i < SPI_processed; i++)
	{
		char	   *name = SPI_getvalue(SPI_tuptable->vals[i],
										SPI_tuptable->tupdesc, 1);
		const char *obstacle = find_obstacle(name);

		all = obstacle == NULL;
		if (!all)
			worker_note_error(psprintf("TL010: this server was promoted, but waits for teller.adopt_instance(): server \"%s\" %s",
									   name, obstacle));
	}
	owner_end(&scope);
	return all;
}

bool
promotion_may_adopt(void)
{
	TimeLineID	timeline = streamed_timeline();

	return timeline != 0 && instance_was_on(timeline) && can_ask_all();
}

void
promotion_adopt(void)
{
	int64		doubtful;

	if (!worker_transaction_begin())
		return;
	doubtful = adopt();
	worker_transaction_end();
	worker_note_adopted(true);
	ereport(LOG,
			(errmsg("pg_teller carries on after the promotion of this server"),
			 errdetail("%lld operations had not ended; each is in doubt until its remote has said what became of it.",
					   (long long) doubtful)));
}
