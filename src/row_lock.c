/*-------------------------------------------------------------------------
 *
 * row_lock.c
 *	  lock_rows: lock rows of a table of the user's own in the order of their
 *	  keys, whatever order they are given in.
 *
 * Whoever locks in one order cannot deadlock with whoever locks in the same
 * order; the order is that of the key type's own btree operators, under the
 * key column's collation.  The rows are locked one at a time, each as
 * SELECT ... FOR NO KEY UPDATE and its kind would lock it.
 *
 * A caller that waits for at most an interval does not queue: it tries, and
 * tries again after a pause that grows up to 50 ms and is random below that
 * (exponential back-off with full jitter).  So others that wait in the queue,
 * or come by when the row is free, can overtake it.  The interval is for the
 * whole call.  It holds the locks it has while it tries for the next one, but
 * no longer than to its deadline, so it cannot be part of a deadlock that
 * lasts.
 *
 * Everything is done when the first row is asked for: no id is returned
 * before all rows are locked.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "errcodes.h"
#include "input.h"
#include "row_lock.h"

PG_FUNCTION_INFO_V1(teller_lock_rows);

#define MAX_IDS			10000
#define MISSING_SHOWN	10
#define WORD_SHOWN		64		/* bytes of a bad argument in a message */
#define LONGEST_WAIT_MS (24.0 * 60 * 60 * 1000)
#define LONGEST_PAUSE_MS 50

typedef enum RowWait
{
	ROW_WAIT_BLOCK,
	ROW_WAIT_NOWAIT,
	ROW_WAIT_SKIP,
	ROW_WAIT_INTERVAL
} RowWait;

typedef struct RowId
{
	Datum		key;			/* of the key's type */
	int			place;			/* among those passed */
} RowId;

/* One call. */
typedef struct RowLockCall
{
	RowTable   *table;
	bool		hides;			/* row security is enforced on the caller */
	RowLockHeap *heap;			/* one of the two ways, the other is NULL */
	RowLockPlan *plan;

	RowWait		wait;
	const char *wait_text;		/* as it was passed */
	double		wait_ms;		/* ROW_WAIT_INTERVAL: for the whole call */
	instr_time	started_at;
	LockTupleMode strength;
	bool		skip_missing;

	Datum	   *given;			/* the ids as passed, in that order */
	RowId	   *ids;			/* in lock order, each once */
	int			count;
	Datum	   *locked;			/* the result: those locked, as passed */
	int			nlocked;
	Datum		missing[MISSING_SHOWN];
	int			nmissing;		/* those not shown counted, too */
} RowLockCall;

/* ---- how to wait ------------------------------------------------------ */

pg_noreturn static void
row_lock_bad_word(const char *argument, const char *word, const char *allowed)
{
	int			length = pg_mbcliplen(word, strlen(word), WORD_SHOWN);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s must be %s", argument, allowed),
			 errdetail("It is \"%s\".", pnstrdup(word, length))));
}

/* As interval_in reads it, but false where that raises an error of its own. */
static bool
row_lock_read_interval(const char *text, Interval *span)
{
	struct pg_itm_in parts = {0};
	char		buffer[256];
	char	   *field[MAXDATEFIELDS];
	int			type[MAXDATEFIELDS];
	int			count;
	int			kind;
	int			error;

	error = ParseDateTime(text, buffer, sizeof(buffer), field, type,
						  MAXDATEFIELDS, &count);
	if (error == 0)
		error = DecodeInterval(field, type, count, INTERVAL_FULL_RANGE, &kind,
							   &parts);
	if (error == DTERR_BAD_FORMAT)
		error = DecodeISO8601Interval(pstrdup(text), &kind, &parts);
	return error == 0 && kind == DTK_DELTA &&
		itmin2interval(&parts, span) == 0;
}

static void
row_lock_read_wait(FunctionCallInfo fcinfo, int arg, RowLockCall *call)
{
	static const char *const words[] = {"block", "nowait", "skip"};
	Interval	span;

	input_require(fcinfo, arg, "wait");
	call->wait_text = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	for (int i = 0; i < lengthof(words); i++)
		if (strcmp(call->wait_text, words[i]) == 0)
		{
			call->wait = (RowWait) i;
			return;
		}
	if (!row_lock_read_interval(call->wait_text, &span))
		row_lock_bad_word("wait", call->wait_text,
						  "block, nowait, skip, or an interval");
	call->wait = ROW_WAIT_INTERVAL;
	call->wait_ms = (span.month * (double) DAYS_PER_MONTH + span.day) *
		(USECS_PER_DAY / 1000.0) + span.time / 1000.0;
	if (call->wait_ms < 0)
		row_lock_bad_word("wait", call->wait_text, "an interval of 0 or more");
	if (call->wait_ms > LONGEST_WAIT_MS)
		row_lock_bad_word("wait", call->wait_text, "at most 24 hours");
}

static void
row_lock_read_strength(FunctionCallInfo fcinfo, int arg, RowLockCall *call)
{
	char	   *word;

	input_require(fcinfo, arg, "strength");
	word = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	if (strcmp(word, "no key update") == 0)
		call->strength = LockTupleNoKeyExclusive;
	else if (strcmp(word, "update") == 0)
		call->strength = LockTupleExclusive;
	else if (strcmp(word, "share") == 0)
		call->strength = LockTupleShare;
	else if (strcmp(word, "key share") == 0)
		call->strength = LockTupleKeyShare;
	else
		row_lock_bad_word("strength", word,
						  "update, no key update, share, or key share");
}

static void
row_lock_read_missing(FunctionCallInfo fcinfo, int arg, RowLockCall *call)
{
	char	   *word;

	input_require(fcinfo, arg, "missing");
	word = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	call->skip_missing = strcmp(word, "skip") == 0;
	if (!call->skip_missing && strcmp(word, "error") != 0)
		row_lock_bad_word("missing", word, "error or skip");
}

/* ---- what to lock ----------------------------------------------------- */

/*
 * The ids, copied, since the caller's array may go before the last row is
 * fetched.  The text twin's is an array literal.
 */
static ArrayType *
row_lock_read_array(FunctionCallInfo fcinfo, int arg)
{
	ArrayType  *array;
	int			count;

	if (get_fn_expr_argtype(fcinfo->flinfo, arg) == TEXTOID)
	{
		char	   *literal = text_to_cstring(PG_GETARG_TEXT_PP(arg));

		array = DatumGetArrayTypeP(OidInputFunctionCall(F_ARRAY_IN, literal,
														TEXTOID, -1));
	}
	else
		array = PG_GETARG_ARRAYTYPE_P_COPY(arg);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ids must be a one-dimensional array"),
				 errdetail("It has %d dimensions.", ARR_NDIM(array))));
	count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (count > MAX_IDS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("ids has more than %d elements", MAX_IDS),
				 errdetail("It has %d.", count)));
	return array;
}

#define compare_numbers(a, b) (((a) > (b)) - ((a) < (b)))

/*
 * The order of the key's type.  That of integers is known, and calling their
 * operator would be a twentieth of a call's work.
 */
static int
row_lock_order(const RowLockCall *call, Datum a, Datum b)
{
	switch (call->table->key_type)
	{
		case INT4OID:
			return compare_numbers(DatumGetInt32(a), DatumGetInt32(b));
		case INT8OID:
			return compare_numbers(DatumGetInt64(a), DatumGetInt64(b));
	}
	return row_key_compare(call->table, a, b);
}

/* In lock order; equal ones in the order in which they were passed. */
static int
row_lock_compare(const void *a, const void *b, void *call)
{
	const RowId *left = a;
	const RowId *right = b;
	int			order = row_lock_order(call, left->key, right->key);

	return order != 0 ? order : left->place - right->place;
}

/* Sort, and keep the first of equal ones. */
static void
row_lock_sort(RowLockCall *call)
{
	int			kept = 0;

	qsort_arg(call->ids, call->count, sizeof(RowId), row_lock_compare, call);
	for (int i = 0; i < call->count; i++)
		if (kept == 0 || row_lock_order(call, call->ids[kept - 1].key,
										call->ids[i].key) != 0)
			call->ids[kept++] = call->ids[i];
	call->count = kept;
}

static void
row_lock_read_ids(FunctionCallInfo fcinfo, int arg, RowLockCall *call)
{
	ArrayType  *array = row_lock_read_array(fcinfo, arg);
	Oid			type = ARR_ELEMTYPE(array);
	int16		length;
	bool		by_value;
	char		align;
	Datum	   *elements;
	bool	   *nulls;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(array, type, length, by_value, align, &elements, &nulls,
					  &call->count);
	call->ids = palloc(sizeof(RowId) * Max(call->count, 1));
	for (int i = 0; i < call->count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("element %d of ids must not be null", i + 1)));
		call->ids[i].key = row_key_read(call->table, type, elements[i]);
		call->ids[i].place = i;
	}
	call->given = elements;
	call->locked = palloc(sizeof(Datum) * Max(call->count, 1));
	row_lock_sort(call);
}

/* ---- may the caller --------------------------------------------------- */

/*
 * What PostgreSQL asks of SELECT key ... FOR UPDATE: the schema, SELECT on
 * the key, UPDATE on the table or any of its columns.
 */
static void
row_lock_check_rights(const RowTable *table, Relation rel)
{
	Oid			role = GetUserId();
	char	   *schema = get_namespace_name(RelationGetNamespace(rel));
	AclResult	result = ACLCHECK_OK;

	(void) LookupExplicitNamespace(schema, false);
	if (pg_class_aclcheck(table->relid, role, ACL_SELECT) != ACLCHECK_OK)
		result = pg_attribute_aclcheck(table->relid, table->key_column, role,
									   ACL_SELECT);
	if (result == ACLCHECK_OK &&
		pg_class_aclcheck(table->relid, role, ACL_UPDATE) != ACLCHECK_OK)
		result = pg_attribute_aclcheck_all(table->relid, role, ACL_UPDATE,
										   ACLMASK_ANY);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, RelationGetRelationName(rel));
}

static void
row_lock_check_writes(Relation rel)
{
	if (!isTempNamespace(RelationGetNamespace(rel)))
		PreventCommandIfReadOnly("teller.lock_rows");
	PreventCommandDuringRecovery("teller.lock_rows");
	PreventCommandIfParallelMode("teller.lock_rows");
}

/* ---- locking ---------------------------------------------------------- */

pg_noreturn static void
row_lock_raise_taken(RowLockCall *call, Datum key)
{
	const char *id = row_key_text(call->table, key);

	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 call->wait == ROW_WAIT_INTERVAL ?
			 errmsg("could not lock row %s of table %s within %s", id,
					call->table->name, call->wait_text) :
			 errmsg("could not lock row %s of table %s", id,
					call->table->name),
			 errdetail("Another transaction has it locked.")));
}

/* Pause before the next try; 55P03 if the interval has run out. */
static void
row_lock_pause(RowLockCall *call, Datum key, int tries)
{
	instr_time	elapsed;
	double		left_ms;
	uint64		longest_ms = Min(1 << Min(tries, 6), LONGEST_PAUSE_MS);
	uint64		pause_ms;

	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, call->started_at);
	left_ms = call->wait_ms - INSTR_TIME_GET_MILLISEC(elapsed);
	if (left_ms <= 0)
		row_lock_raise_taken(call, key);
	pause_ms = pg_prng_uint64_range(&pg_global_prng_state, 1, longest_ms);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Min((long) pause_ms, (long) left_ms + 1),
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Lock one row, by the way that was chosen, as wait says. */
static RowLockAnswer
row_lock_one(RowLockCall *call, Datum key)
{
	bool		block = call->wait == ROW_WAIT_BLOCK;

	for (int tries = 0;; tries++)
	{
		RowLockAnswer answer = call->heap != NULL ?
			row_lock_heap_row(call->heap, key, block) :
			row_lock_plan_row(call->plan, key, block);

		if (answer != ROW_TAKEN || call->wait == ROW_WAIT_SKIP)
			return answer;
		if (call->wait == ROW_WAIT_NOWAIT)
			row_lock_raise_taken(call, key);
		row_lock_pause(call, key, tries);
	}
}

static void
row_lock_all(RowLockCall *call)
{
	for (int i = 0; i < call->count; i++)
		switch (row_lock_one(call, call->ids[i].key))
		{
			case ROW_LOCKED:
				call->locked[call->nlocked++] =
					call->given[call->ids[i].place];
				break;
			case ROW_TAKEN:
				break;
			case ROW_MISSING:
				if (call->nmissing < MISSING_SHOWN)
					call->missing[call->nmissing] = call->ids[i].key;
				call->nmissing++;
				break;
		}
}

static void
row_lock_check_missing(RowLockCall *call)
{
	StringInfoData list;
	int			shown = Min(call->nmissing, MISSING_SHOWN);

	if (call->nmissing == 0 || call->skip_missing)
		return;
	initStringInfo(&list);
	for (int i = 0; i < shown; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "",
						 row_key_text(call->table, call->missing[i]));
	if (call->nmissing > shown)
		appendStringInfo(&list, " and %d more", call->nmissing - shown);
	ereport(ERROR,
			(teller_errcode(ERRCODE_TELLER_NOT_FOUND),
			 call->nmissing == 1 ?
			 errmsg("row %s of table %s does not exist", list.data,
					call->table->name) :
			 errmsg("%d rows of table %s do not exist", call->nmissing,
					call->table->name),
			 call->nmissing == 1 ? 0 :
			 errdetail("Missing: %s.", list.data),
			 errhint("Pass missing => 'skip' to leave out what does not exist.")));
}

static void
row_lock_run_call(RowLockCall *call, Relation rel)
{
	if (call->table->plain && !call->hides)
	{
		call->heap = row_lock_heap_begin(call->table, rel, call->strength);
		row_lock_all(call);
		row_lock_heap_end(call->heap);
	}
	else
	{
		SPI_connect();
		call->plan = row_lock_plan_begin(call->table, call->strength,
										 call->hides);
		row_lock_all(call);
		SPI_finish();
	}
}

/*
 * All of the work.  The command counter is advanced as SPI does, so that the
 * call sees what its own transaction has changed up to now, also within the
 * statement that calls it.
 */
static RowLockCall *
row_lock_first_call(FunctionCallInfo fcinfo)
{
	RowLockCall *call = palloc0(sizeof(RowLockCall));
	Relation	rel;

	INSTR_TIME_SET_CURRENT(call->started_at);
	input_require(fcinfo, 0, "rel");
	input_require(fcinfo, 1, "ids");
	row_lock_read_wait(fcinfo, 2, call);
	row_lock_read_strength(fcinfo, 3, call);
	row_lock_read_missing(fcinfo, 4, call);

	if (!IsInParallelMode())
		CommandCounterIncrement();
	call->table = row_table_argument(fcinfo, 0, RowShareLock, &rel);
	row_lock_check_writes(rel);
	row_lock_check_rights(call->table, rel);
	row_lock_read_ids(fcinfo, 1, call);
	call->hides = call->table->row_security &&
		check_enable_rls(call->table->relid, InvalidOid, true) == RLS_ENABLED;
	if (call->count > 0)
		row_lock_run_call(call, rel);
	relation_close(rel, NoLock);
	row_lock_check_missing(call);
	return call;
}

/*
 * teller.lock_rows(rel regclass, ids, wait text, strength text, missing text)
 * -> SETOF id; see its COMMENT.
 */
Datum
teller_lock_rows(PG_FUNCTION_ARGS)
{
	FuncCallContext *calls;
	RowLockCall *call;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;

		calls = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(calls->multi_call_memory_ctx);
		calls->user_fctx = row_lock_first_call(fcinfo);
		MemoryContextSwitchTo(old);
	}
	calls = SRF_PERCALL_SETUP();
	call = calls->user_fctx;
	if (calls->call_cntr < call->nlocked)
	{
		Datum		id = call->locked[calls->call_cntr];

		SRF_RETURN_NEXT(calls, id);
	}
	SRF_RETURN_DONE(calls);
}
