/*-------------------------------------------------------------------------
 *
 * feed_epoch.h
 *	  The numbers by which the rows of the journal are ordered in the feed.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_FEED_EPOCH_H
#define TELLER_FEED_EPOCH_H

#include "utils/snapshot.h"

/*
 * feed_epoch_tx: the number of the present transaction, which gets a
 * transaction id if it has none: what journal rows carry in tx.  The first
 * writer on a server, or on a new timeline of it, also makes the row of the
 * epoch.  54000 when the numbers run out.
 *
 * feed_epoch_horizon: every row whose tx is below it was committed before the
 * snapshot was taken, or never will be; the snapshot sees those that were.
 */
extern int64 feed_epoch_tx(void);
extern int64 feed_epoch_horizon(Snapshot snapshot);

#endif							/* TELLER_FEED_EPOCH_H */
