/*-------------------------------------------------------------------------
 *
 * capabilities.h
 *	  What a remote says of itself: the answer of teller_remote.capabilities.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_CAPABILITIES_H
#define TELLER_CAPABILITIES_H

#include "utils/jsonb.h"

/* NULL if it is not a JSON object. */
extern Jsonb *capabilities_read(const char *text);

/* A member as text; NULL if it is not there or null. */
extern const char *capabilities_member(const JsonbContainer *object,
									   const char *name);

/* Whether it tells of grants at all; a service need not. */
extern bool capabilities_has_grants(const Jsonb *capabilities);

/* The grant for a ledger of the remote, NULL if there is none. */
extern const JsonbContainer *capabilities_grant(const Jsonb *capabilities,
												const char *ledger);

#endif							/* TELLER_CAPABILITIES_H */
