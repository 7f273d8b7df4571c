/*-------------------------------------------------------------------------
 *
 * circuit.h
 *	  Leave a failing server alone for a while, then try it with one call.
 *
 * Known to one worker and to nobody else; a new worker starts with all
 * circuits closed.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_CIRCUIT_H
#define TELLER_CIRCUIT_H

#include "datatype/timestamp.h"

typedef enum CircuitNews
{
	CIRCUIT_WORKS,				/* it answered, or refused with proof */
	CIRCUIT_FAILED,				/* not sent, or ambiguous */
	CIRCUIT_BROKEN				/* it has to be mended: open at once */
} CircuitNews;

extern void circuit_note(Oid server, CircuitNews news, TimestampTz now);

/*
 * circuit_admits: how many of the free calls may go to a server now, of which
 * so many are in flight.  If none may, *opens_at is when one may; else it is
 * left alone.
 */
extern int	circuit_admits(Oid server, int free, int in_flight,
						   TimestampTz now, TimestampTz *opens_at);

#endif							/* TELLER_CIRCUIT_H */
