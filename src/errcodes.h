/*-------------------------------------------------------------------------
 *
 * errcodes.h
 *	  The SQLSTATEs of pg_teller: class TL.
 *
 * docs/errors.md explains each one and sql/errors.sql raises it.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_ERRCODES_H
#define TELLER_ERRCODES_H

#include "utils/elog.h"

#include "stats.h"

#define ERRCODE_TELLER_INSUFFICIENT_FUNDS	MAKE_SQLSTATE('T','L','0','0','1')
#define ERRCODE_TELLER_VERSION_CONFLICT		MAKE_SQLSTATE('T','L','0','0','2')
#define ERRCODE_TELLER_IDEMPOTENCY_MISMATCH	MAKE_SQLSTATE('T','L','0','0','3')
#define ERRCODE_TELLER_LIMIT_EXCEEDED		MAKE_SQLSTATE('T','L','0','0','4')
#define ERRCODE_TELLER_ACCOUNT_NOT_ACTIVE	MAKE_SQLSTATE('T','L','0','0','5')
#define ERRCODE_TELLER_HOLD_NOT_OPEN		MAKE_SQLSTATE('T','L','0','0','6')
#define ERRCODE_TELLER_ASSET_MISMATCH		MAKE_SQLSTATE('T','L','0','0','7')
#define ERRCODE_TELLER_ACCOUNT_BUSY			MAKE_SQLSTATE('T','L','0','0','8')
#define ERRCODE_TELLER_NOT_FOUND			MAKE_SQLSTATE('T','L','0','0','9')
#define ERRCODE_TELLER_INSTANCE_NOT_ADOPTED	MAKE_SQLSTATE('T','L','0','1','0')
#define ERRCODE_TELLER_QUEUE_FULL			MAKE_SQLSTATE('T','L','0','1','1')
#define ERRCODE_TELLER_REQUEST_TOO_OLD		MAKE_SQLSTATE('T','L','0','1','2')

/* errcode() for these: the refusal is counted in teller.stats. */
#define teller_errcode(sqlstate) errcode(stats_error(sqlstate))

#endif							/* TELLER_ERRCODES_H */
