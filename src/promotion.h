/*-------------------------------------------------------------------------
 *
 * promotion.h
 *	  A standby that was promoted adopts its databases by itself.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_PROMOTION_H
#define TELLER_PROMOTION_H

/*
 * promotion_may_adopt: whether this database, which is not adopted, may adopt
 * itself: it comes from a promotion, and each remote can be asked.  If only
 * the latter is missing, says so in teller.worker_status.  In a transaction.
 */
extern bool promotion_may_adopt(void);

/*
 * promotion_adopt: do it, in a transaction of the worker's own, and log it.
 * Locks as teller.adopt_instance(); may raise.
 */
extern void promotion_adopt(void);

#endif							/* TELLER_PROMOTION_H */
