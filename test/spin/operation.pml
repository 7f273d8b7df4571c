/*
 * operation.pml
 *	  One operation: who submits it, the worker, the network, the remote, with
 *	  crashes.  For Spin (Holzmann, The Spin Model Checker, 2003); run.sh runs
 *	  it, docs/proof.md says what it proves.
 *
 * It is written by hand after docs/operations.md, not made from
 * src/operation_fsm.c.  test/simulate runs the function itself, at random;
 * this goes through every order of events, of something smaller.
 *
 * Settings, by -D:
 *	 HONOURS		1: one memo has at most one effect at the remote
 *	 FENCE, LOOKUP	1: the remote can
 *	 ATTEMPTS		execute attempts
 *	 FAULTS			crashes, kills, losses, doubles, early timeouts, in all
 *	 PLANT			0, or the bug: 1 refund on timeout, 2 send before flush
 *
 * The operation's row is there twice: as others see it, and as it is on disk,
 * which is what a crash leaves.  A fault costs one of FAULTS, so faults stop.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 */
#ifndef PLANT
#define PLANT	0
#endif

mtype = { none, held, in_flight, retry_wait, in_doubt, fencing, settled,
	refunded };						/* states; none: not submitted */
mtype = { execute, lookup, fence };
mtype = { executed, rejected, expired, tombstone, not_found, not_executed,
	nothing };						/* answers, and what the remote stores */

typedef Row {
	mtype state = none;
	bool dirty;
	bool cancel;
	bool found;						/* a lookup has found nothing */
	byte attempts;
	byte sends
};

Row row;							/* committed */
Row disk;							/* flushed */
byte faults = FAULTS;

bool late;							/* past not_after, by our clock */
bool very_late;						/* past expires_at */
bool late_there;					/* past not_after, by the remote's clock */

/* What the worker knows beyond the rows.  A crash makes it idle. */
mtype = { idle, claimed, ready, waiting };
mtype worker = idle;
mtype verb;							/* of its call */
byte copies;						/* of the call or its reply on the wires */
bit turn;							/* of the call, to know its copies by */

/* verb, attempt, turn; and with the answer */
chan request = [2] of { mtype, byte, bit };
chan reply = [2] of { mtype, byte, bit, mtype };

mtype stored = nothing;
bool refuses;						/* the remote's business says no */
byte effects;
byte executes;						/* requests on the wires that could run */

#define ended		(row.state == settled || row.state == refunded)
#define may_fence	(FENCE && HONOURS)
#define may_send	(!late && row.attempts < ATTEMPTS && \
	(HONOURS || (row.sends == 0 && !row.dirty)) && \
	!(row.cancel && row.dirty && may_fence))
#define wants_fence	(very_late || row.cancel || row.found)

inline copy_row(to, from)
{
	to.state = from.state;
	to.dirty = from.dirty;
	to.cancel = from.cancel;
	to.found = from.found;
	to.attempts = from.attempts;
	to.sends = from.sends
}

inline flush() { copy_row(disk, row) }

inline refund()
{
	assert(effects == 0);			/* no refund of an executed call */
	row.state = refunded
}

inline unproven()
{
	row.dirty = true;
	if
	:: may_send -> row.state = retry_wait
	:: else -> row.state = in_doubt
	fi
}

inline not_run()
{
	if
	:: row.dirty -> unproven()
	:: !row.dirty && !may_send && !row.cancel -> refund()
	:: else -> row.state = retry_wait
	fi
}

/* Nobody will answer the call that is out. */
inline lost()
{
	if
	:: row.state == in_flight -> unproven()
	:: row.state == fencing -> row.state = in_doubt
	:: else -> skip
	fi
}

inline begin_call(which)
{
	verb = which;
	turn = 1 - turn;
	copies = 0
}

/* ---- submission and cancel ---------------------------------------------- */

/* Repeated until it is on disk: the application knows no better. */
active proctype application()
{
	do
	:: d_step { row.state == none ->
			row.state = held }
	:: d_step { row.state != none && disk.state == none ->
			flush() }
	:: disk.state != none -> break
	od
}

active proctype canceller()
{
	if
	:: d_step { row.state != none ->
			if
			:: (row.state == held || row.state == retry_wait) && !row.dirty ->
				refund()
			:: !ended && !((row.state == held || row.state == retry_wait) &&
						   !row.dirty) ->
				row.cancel = true
			:: else -> skip
			fi;
			flush() }
	:: true							/* nobody cancels */
	fi
}

/* Only where neither fence nor lookup can tell; sees the remote's books. */
active proctype person()
{
end_person:
	do
	:: d_step { row.state == in_doubt && !may_fence && executes == 0 &&
				!(worker == ready && verb == execute) ->
			if
			:: effects > 0 -> row.state = settled
			:: else -> refund()
			fi;
			flush() }
	:: ended && disk.state == row.state -> break
	od
}

/* ---- the worker --------------------------------------------------------- */

inline record(what, attempt, answer)
{
	if
	:: answer == executed ->
		assert(row.state != refunded);
		row.state = settled
	:: answer != executed && ended -> skip
	:: answer == not_executed && !ended ->
		if
		:: what == execute && row.state == in_flight &&
			attempt == row.attempts -> not_run()
		:: else -> skip
		fi
	:: answer == not_found && !ended ->
		if
		:: row.state == in_doubt -> row.found = true
		:: else -> skip
		fi
	:: (answer == rejected || answer == expired || answer == tombstone) &&
		!ended ->
		if
		:: what == execute && row.state == in_flight &&
			attempt == row.attempts && (HONOURS || !row.dirty) -> refund()
		:: what == execute && row.state == in_flight &&
			attempt == row.attempts && !HONOURS && row.dirty -> unproven()
		:: what != execute && HONOURS &&
			(row.state == in_doubt || row.state == fencing) -> refund()
		:: else -> skip
		fi
	fi
}

active proctype the_worker()
{
	mtype what, answer;
	byte attempt;
	bit whose;

end_worker:
	do
	/* claim an execute */
	:: d_step { worker == idle && may_send &&
				(row.state == held || row.state == retry_wait) ->
			row.state = in_flight;
			row.attempts++;
			row.sends++;
			begin_call(execute);
			worker = (PLANT == 2 -> ready : claimed) }

	/* no further attempt, or cancelled: give up */
	:: d_step { worker == idle &&
				(row.state == held || row.state == retry_wait) &&
				(!may_send || (row.cancel && !row.dirty)) ->
			if
			:: row.dirty -> row.state = in_doubt
			:: else -> refund()
			fi }

	/* in doubt: fence, or look */
	:: d_step { worker == idle && row.state == in_doubt && may_fence &&
				wants_fence ->
			row.state = fencing;
			begin_call(fence);
			worker = claimed }
	:: d_step { worker == idle && row.state == in_doubt && LOOKUP &&
				!(may_fence && wants_fence) ->
			begin_call(lookup);
			worker = ready }
	:: d_step { PLANT == 1 && worker == idle && row.state == in_doubt &&
				very_late ->
			row.state = refunded;
			assert(effects == 0) }

	/* the attempt row goes to disk; the bytes leave after that */
	:: d_step { worker == claimed -> flush(); worker = ready }
	:: d_step { worker == ready && nfull(request) ->
			request!verb, row.attempts, turn;
			executes = executes + (verb == execute -> 1 : 0);
			copies = 1;
			worker = waiting }
	:: d_step { worker == ready && verb == execute && faults > 0 ->
			faults--;				/* no connection: not sent */
			row.sends--;
			not_run();
			worker = idle }

	/* an answer, current or late */
	:: d_step { reply?what, attempt, whose, answer ->
			record(what, attempt, answer);
			if
			:: worker == waiting && whose == turn -> worker = idle
			:: else -> skip
			fi;
			what = 0; attempt = 0; whose = 0; answer = 0 }

	/* nobody answers any more; or it is just late, which is a fault */
	:: d_step { worker == waiting && copies == 0 -> lost(); worker = idle }
	:: d_step { worker == waiting && copies > 0 && faults > 0 ->
			faults--;
			lost();
			worker = idle }

	/* a new worker finds what the old one had out */
	:: d_step { worker == idle &&
				(row.state == in_flight || row.state == fencing) -> lost() }

	/* the WAL writer */
	:: d_step { row.state != disk.state -> flush() }

	:: ended && disk.state == row.state && worker == idle &&
		empty(request) && empty(reply) && faults == 0 -> break
	od
}

/* ---- what goes wrong ---------------------------------------------------- */

active proctype trouble()
{
end_trouble:
	do
	:: d_step { faults > 0 && row.state != none ->	/* the server crashes */
			faults--;
			copy_row(row, disk);
			worker = idle }
	:: d_step { faults > 0 && worker != idle ->		/* the worker is killed */
			faults--;
			worker = idle }
	:: faults == 0 -> break
	od
}

active proctype network()
{
	mtype what, answer;
	byte attempt;
	bit whose;

end_network:
	do
	:: d_step { faults > 0 && nempty(request) ->	/* lose a request */
			faults--;
			request?what, attempt, whose;
			executes = executes - (what == execute -> 1 : 0);
			copies = copies - (whose == turn && copies > 0 -> 1 : 0);
			what = 0; attempt = 0; whose = 0 }
	:: d_step { faults > 0 && nempty(reply) ->		/* lose a reply */
			faults--;
			reply?what, attempt, whose, answer;
			copies = copies - (whose == turn && copies > 0 -> 1 : 0);
			what = 0; attempt = 0; whose = 0; answer = 0 }
	:: d_step { faults > 0 && len(request) == 1 && HONOURS -> /* double it */
			faults--;
			request?<what, attempt, whose>;
			request!what, attempt, whose;
			executes = executes + (what == execute -> 1 : 0);
			copies = copies + (whose == turn -> 1 : 0);
			what = 0; attempt = 0; whose = 0 }
	:: d_step { faults > 0 && len(request) == 2 ->	/* the second goes first */
			faults--;
			request?what, attempt, whose;
			request!what, attempt, whose;
			what = 0; attempt = 0; whose = 0 }
	:: d_step { faults > 0 && len(reply) == 2 ->
			faults--;
			reply?what, attempt, whose, answer;
			reply!what, attempt, whose, answer;
			what = 0; attempt = 0; whose = 0; answer = 0 }
	:: faults == 0 -> break
	od
}

/* Both clocks, in any order. */
active proctype clocks()
{
	do
	:: !late -> late = true
	:: late && !very_late -> very_late = true
	:: !late_there -> late_there = true
	:: late && very_late && late_there -> break
	od
}

/* ---- the remote --------------------------------------------------------- */

inline remote_execute()
{
	executes--;
	if
	:: HONOURS && stored != nothing -> answer = stored
	:: (!HONOURS || stored == nothing) && late_there ->
		answer = expired;
		stored = (HONOURS -> expired : stored)
	:: (!HONOURS || stored == nothing) && !late_there && refuses ->
		answer = rejected;
		stored = (HONOURS -> rejected : stored)
	:: else ->
		effects++;
		assert(effects == 1);				/* at most one effect */
		assert(row.state != refunded);		/* and none after a refund */
		answer = executed;
		stored = executed
	fi
}

active proctype remote()
{
	mtype what, answer;
	byte attempt;
	bit whose;

	if
	:: refuses = true
	:: skip
	fi;
end_remote:
	do
	:: d_step { nempty(request) && nfull(reply) ->
			request?what, attempt, whose;
			if
			:: what == execute -> remote_execute()
			:: what == lookup ->
				answer = (stored == nothing -> not_found : stored)
			:: what == fence ->
				stored = (stored == nothing -> tombstone : stored);
				answer = stored
			fi;
			reply!what, attempt, whose, answer;
			what = 0; attempt = 0; whose = 0; answer = 0 }
	:: d_step { nempty(request) && nfull(reply) && faults > 0 &&
				executes > 0 ->				/* turned away at the door */
			faults--;
			request?what, attempt, whose;
			if
			:: what == execute && copies < 2 ->
				executes--;
				answer = not_executed;
				reply!what, attempt, whose, answer
			:: else ->
				executes = executes - (what == execute -> 1 : 0);
				copies = copies - (whose == turn && copies > 0 -> 1 : 0)
			fi;
			what = 0; attempt = 0; whose = 0; answer = 0 }
	:: ended && empty(request) && faults == 0 -> break
	od
}

ltl ends { <> [] ended }
