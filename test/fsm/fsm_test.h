/*-------------------------------------------------------------------------
 *
 * fsm_test.h
 *	  What the parts of the transition function's test share.
 *
 * fsm_test.c		the claims, and the product of facts, policy and events
 * fsm_oracle.c		the table of operations.md, written a second time
 * fsm_properties.c what must hold for every step
 * fsm_plants.c		the same with a rule broken, which must be noticed
 * fsm_walk.c		whole lives of operations against a remote that is known
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef FSM_TEST_H
#define FSM_TEST_H

#include "operation_fsm.h"

#define US_PER_S	INT64_C(1000000)
#define US_PER_MIN	(60 * US_PER_S)

/* One question to operation_step(). */
typedef struct Case
{
	OpFacts		facts;
	OpPolicy	policy;
	OpEvent		event;
} Case;

typedef struct Property
{
	const char *name;
	bool		(*holds) (const Case *c, const OpStep *s);
} Property;

/* operation_step() with a rule broken */
typedef OpStep (*Plant) (Case c);

/* Returns false to end the enumeration. */
typedef bool (*CaseFn) (const Case *c, void *arg);

/* fsm_test.c */
extern void claim(bool ok, const char *format,...)
			__attribute__((format(printf, 2, 3)));
extern const char *event_name(OpEventKind kind);
extern void print_case(const Case *c, const OpStep *got);
extern void for_each_case(CaseFn fn, void *arg);
extern uint64_t random_next(uint64_t *seed);

/* fsm_oracle.c */
extern bool oracle_agrees(const Case *c, const OpStep *got);
extern void oracle_report(void);

/* fsm_properties.c; property_at() is NULL behind the last one */
extern const Property *property_at(size_t i);
extern void check_properties(void);

/* fsm_plants.c; plant_named() is NULL if there is none */
extern Plant plant_named(const char *name);
extern void check_plants(void);

/* fsm_walk.c */
extern void check_walks(uint64_t lives, bool with_plants);

#endif							/* FSM_TEST_H */
