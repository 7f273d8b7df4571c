/*-------------------------------------------------------------------------
 *
 * stats.h
 *	  What this database has done since the server started, in numbers.
 *
 * The counters stand on the board: without the preload nothing is counted.
 * They are for people and graphs; nothing is decided by them.  What a
 * transaction did is added when it has committed, what it refused in any
 * case.  A rollback to a savepoint takes nothing back.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_STATS_H
#define TELLER_STATS_H

/* Counters; those of SQLSTATE TL001 and so on begin at STAT_ERRORS. */
#define STAT_MOVEMENTS	0		/* journal rows */
#define STAT_REPLAYS	1		/* answers to a repeat */
#define STAT_ERRORS		2
#define STAT_LAST_ERROR 12		/* TL012 */
#define STAT_COUNT		(STAT_ERRORS + STAT_LAST_ERROR)

extern void stats_note_movements(int rows);
extern void stats_note_replay(void);

/* Count a refusal or denial; returns the SQLSTATE, for errcode(). */
extern int	stats_error(int sqlstate);

#endif							/* TELLER_STATS_H */
