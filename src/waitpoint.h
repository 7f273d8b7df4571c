/*-------------------------------------------------------------------------
 *
 * waitpoint.h
 *	  Named places where a test can stop, fail or kill a process.
 *
 * Only builds with -DTELLER_WAIT_POINTS have them; elsewhere the macro is
 * nothing and the setting does not exist.  teller.wait_point is
 * 'name:action':
 *
 *	wait	(or no action) stay here until the setting no longer names it;
 *			worker_status shows the state "wait point: name"
 *	error	raise an ERROR
 *	die		raise a FATAL, as pg_terminate_backend would
 *	crash	SIGKILL to this process, which restarts the server
 *
 * A wait point may stand anywhere but in a critical section, in a commit
 * callback, or under an LWLock or spinlock.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_WAITPOINT_H
#define TELLER_WAITPOINT_H

#ifdef TELLER_WAIT_POINTS
extern void waitpoint_define(void);
extern void waitpoint_reach(const char *name);
#define WAIT_POINT(name) waitpoint_reach(name)
#else
#define waitpoint_define() ((void) 0)
#define WAIT_POINT(name) ((void) 0)
#endif

#endif							/* TELLER_WAITPOINT_H */
