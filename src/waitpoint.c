/*-------------------------------------------------------------------------
 *
 * waitpoint.c
 *	  Named places where a test can stop, fail or kill a process.
 *
 * Empty except in builds with -DTELLER_WAIT_POINTS.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef TELLER_WAIT_POINTS

#include <signal.h>

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#include "waitpoint.h"
#include "worker.h"

#define LOOK_EVERY_MS 50

typedef enum WaitAction
{
	ACTION_NONE,
	ACTION_WAIT,
	ACTION_ERROR,
	ACTION_DIE,
	ACTION_CRASH,
	ACTION_UNKNOWN
} WaitAction;

static char *wait_point = NULL;

/* What the setting asks for at this place. */
static WaitAction
action_at(const char *setting, const char *name)
{
	size_t		len = strlen(name);
	const char *action = setting + len;

	if (strncmp(setting, name, len) != 0)
		return ACTION_NONE;
	if (*action == '\0' || strcmp(action, ":wait") == 0)
		return ACTION_WAIT;
	if (strcmp(action, ":error") == 0)
		return ACTION_ERROR;
	if (strcmp(action, ":die") == 0)
		return ACTION_DIE;
	if (strcmp(action, ":crash") == 0)
		return ACTION_CRASH;
	return *action == ':' ? ACTION_UNKNOWN : ACTION_NONE;
}

static bool
check_wait_point(char **newval, void **extra, GucSource source)
{
	char		name[BGW_MAXLEN];

	if (*newval == NULL || **newval == '\0')
		return true;
	strlcpy(name, *newval, sizeof(name));
	*strchrnul(name, ':') = '\0';
	if (action_at(*newval, name) != ACTION_UNKNOWN)
		return true;
	GUC_check_errdetail("The action is one of wait, error, die and crash.");
	return false;
}

void
waitpoint_define(void)
{
	DefineCustomStringVariable("teller.wait_point",
							   "Where a test stops, fails or kills a process.",
							   NULL, &wait_point, "", PGC_SUSET, 0,
							   check_wait_point, NULL, NULL);
}

/* Nobody else reads the configuration file while we are here. */
static void
rest_a_little(void)
{
	(void) WaitLatch(MyLatch,
					 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 LOOK_EVERY_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

static void
stay(const char *name)
{
	ereport(LOG, (errmsg("wait point: %s", name)));
	worker_note_waiting(name);
	PG_TRY();
	{
		while (action_at(wait_point, name) == ACTION_WAIT)
			rest_a_little();
	}
	PG_FINALLY();
	{
		worker_note_waiting(NULL);
		SetLatch(MyLatch);		/* we may have taken a wake-up for ours */
	}
	PG_END_TRY();
}

void
waitpoint_reach(const char *name)
{
	switch (action_at(wait_point, name))
	{
		case ACTION_NONE:
		case ACTION_UNKNOWN:
			break;
		case ACTION_WAIT:
			stay(name);
			break;
		case ACTION_ERROR:
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("wait point: %s", name)));
			break;
		case ACTION_DIE:
			ereport(FATAL,
					(errcode(ERRCODE_ADMIN_SHUTDOWN),
					 errmsg("wait point: %s", name)));
			break;
		case ACTION_CRASH:
			kill(MyProcPid, SIGKILL);
			break;
	}
}

#endif							/* TELLER_WAIT_POINTS */
