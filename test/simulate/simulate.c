/*-------------------------------------------------------------------------
 *
 * simulate.c
 *	  Seeds, the trace, the summary.
 *
 *	  simulate [--seeds N] [--first F] [--claim]
 *	  simulate --seed S [--trace]
 *	  simulate --until-failure [--seeds N]	for planted bugs
 *
 * The last line is `seeds n, failures f`; the status is not 0 if a seed
 * failed.  Each of the first failures comes with the command that replays it.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#define _POSIX_C_SOURCE 200809L

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "simulate.h"

#define SHOWN	10

Tally tally;

typedef struct Options
{
	uint64_t	first;
	uint64_t	seeds;
	bool		trace;
	bool		claim;
	bool		until_failure;
} Options;

/* ---- words ------------------------------------------------------------ */

const char *
event_word(OpEventKind kind)
{
	static const char *const words[] = {
		"predecessor ended", "claim", "tick", "worker lost", "executed",
		"rejected", "cancelled", "expired", "not found", "busy", "conflict",
		"not sent", "not executed", "refused", "misconfigured", "ambiguous",
		"cancel()", "resolve(executed)", "resolve(not executed)",
		"incarnation changed", "reconciled: executed", "reconciled: fenced",
		"reconciled: never sent", "reconciled: unknown"
	};

	_Static_assert(sizeof(words) / sizeof(words[0]) == OP_EVENT_COUNT,
				   "event words");
	return words[kind];
}

const char *
verb_word(int verb)
{
	static const char *const words[] = {"execute", "lookup", "fence"};

	return words[verb];
}

/* Seconds since the world began, then what happened. */
void
trace_line(const World *w, const char *format,...)
{
	va_list		args;

	printf("%11.3f  ", (double) (w->now - BIRTH) / (double) US_PER_S);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* ---- runs ------------------------------------------------------------- */

static void
show_failure(const World *w)
{
	printf("seed %llu failed, op %d: %s\n", (unsigned long long) w->seed,
		   w->failed_op, w->failure);
	printf("  replay it: make simulate SEED=%llu\n",
		   (unsigned long long) w->seed);
}

static void
show_tally(double seconds, uint64_t seeds)
{
	printf("# %llu events, %.0f seeds/s\n", (unsigned long long) tally.events,
		   seconds > 0 ? (double) seeds / seconds : 0.0);
	printf("# settled %llu, refunded %llu, resolved by a person %llu\n",
		   (unsigned long long) tally.settled,
		   (unsigned long long) tally.refunded,
		   (unsigned long long) tally.resolved);
	printf("# crashes %llu, restores %llu, forgotten by them %llu\n",
		   (unsigned long long) tally.crashes,
		   (unsigned long long) tally.restores,
		   (unsigned long long) tally.forgotten);
	printf("# fences %llu, stale outcomes %llu, conflicts %llu, queued %llu\n",
		   (unsigned long long) tally.fences,
		   (unsigned long long) tally.stale,
		   (unsigned long long) tally.conflicts,
		   (unsigned long long) tally.stashed);
}

static double
seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static uint64_t
run(const Options *o)
{
	static World world;
	double		begun = seconds_now();
	uint64_t	failures = 0;
	uint64_t	i;

	for (i = 0; i < o->seeds; i++)
	{
		live(&world, o->first + i, o->trace);
		if (world.failure == NULL)
			continue;
		if (failures++ < SHOWN)
			show_failure(&world);
		if (o->until_failure)
		{
			printf("caught by seed %llu: %s\n",
				   (unsigned long long) (o->first + i), world.failure);
			return failures;
		}
	}
	if (!o->trace)
		show_tally(seconds_now() - begun, o->seeds);
	return failures;
}

/* A test of everything at once can pass because nothing was tested. */
static bool
claim_all(uint64_t seeds, uint64_t failures)
{
	bool		rich = tally.settled > seeds / 4 &&
		tally.refunded > seeds / 4 && tally.resolved > seeds / 100 &&
		tally.crashes > seeds / 10 && tally.restores > seeds / 20 &&
		tally.fences > seeds / 20 && tally.stale > seeds / 20 &&
		tally.stashed > seeds / 20;

	printf("%s - in %llu seeds no money is made or lost, and all ends\n",
		   failures == 0 ? "ok" : "not ok", (unsigned long long) seeds);
	printf("%s - they have every kind of end and of disaster, and often\n",
		   rich ? "ok" : "not ok");
	return rich;
}

static uint64_t
number(const char *text)
{
	char	   *end = NULL;
	uint64_t	value = text != NULL ? strtoull(text, &end, 10) : 0;

	if (text == NULL || end == text || *end != '\0')
	{
		fprintf(stderr, "simulate: a number is missing\n");
		exit(2);
	}
	return value;
}

static Options
read_options(char **args)
{
	Options		o = {.first = 1,.seeds = 1000};

	for (; *args != NULL; args++)
	{
		if (strcmp(*args, "--trace") == 0)
			o.trace = true;
		else if (strcmp(*args, "--claim") == 0)
			o.claim = true;
		else if (strcmp(*args, "--until-failure") == 0)
			o.until_failure = true;
		else if (strcmp(*args, "--seeds") == 0)
			o.seeds = number(*++args);
		else if (strcmp(*args, "--first") == 0)
			o.first = number(*++args);
		else if (strcmp(*args, "--seed") == 0)
		{
			o.first = number(*++args);
			o.seeds = 1;
		}
		else
		{
			fprintf(stderr, "simulate: what is %s?\n", *args);
			exit(2);
		}
	}
	return o;
}

int
main(int argc, char **argv)
{
	Options		o = read_options(argv + (argc > 0));
	uint64_t	failures = run(&o);
	bool		rich = !o.claim || claim_all(o.seeds, failures);

	printf("seeds %llu, failures %llu\n", (unsigned long long) o.seeds,
		   (unsigned long long) failures);
	return failures == 0 && rich ? 0 : 1;
}
