/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 15, 16, 17 and 18.
 *
 * No other file tests PG_VERSION_NUM.  The newest spelling is the one the
 * rest of the source uses.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_COMPAT_H
#define TELLER_COMPAT_H

#include "access/genam.h"
#include "access/tableam.h"
#include "fmgr.h"
#include "utils/rel.h"

/* Until 15 postgres.h had what it holds. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "pg_teller needs PostgreSQL 15, 16, 17 or 18"
#endif

/*
 * The library is compiled with hidden visibility.  PostgreSQL 15 does not
 * mark the functions that it looks up by name.
 */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(funcname) \
extern PGDLLEXPORT Datum funcname(PG_FUNCTION_ARGS); \
extern PGDLLEXPORT const Pg_finfo_record * CppConcat(pg_finfo_,funcname)(void); \
const Pg_finfo_record * \
CppConcat(pg_finfo_,funcname) (void) \
{ \
	static const Pg_finfo_record my_finfo = { 1 }; \
	return &my_finfo; \
} \
extern int no_such_variable
#endif

/* 18 has pg_noreturn in front where others have an attribute behind. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* Before 16 an update answered only "all indexes" or "none". */
#if PG_VERSION_NUM < 160000
typedef bool TU_UpdateIndexes;
#define TU_None false
#define teller_only_summarizing(indexes) false
#define teller_index_is_summarizing(index) false
#else
#define teller_only_summarizing(indexes) ((indexes) == TU_Summarizing)
#define teller_index_is_summarizing(index) ((index)->rd_indam->amsummarizing)
#endif

/* Since 17 an index insertion may keep state that has to be given back. */
#if PG_VERSION_NUM < 170000
#define teller_index_insert_cleanup(index, info) ((void) 0)
#else
#define teller_index_insert_cleanup(index, info) index_insert_cleanup((index), (info))
#endif

/* How a column of an index sorts; reverse: it is a descending one. */
#if PG_VERSION_NUM < 180000
#define teller_index_sort_support(index, reverse, support) \
	PrepareSortSupportFromIndexRel((index), \
								   (reverse) ? BTGreaterStrategyNumber : \
								   BTLessStrategyNumber, (support))
#else
#define teller_index_sort_support(index, reverse, support) \
	PrepareSortSupportFromIndexRel((index), (reverse), (support))
#endif

#if PG_VERSION_NUM < 180000
#define teller_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan((heap), (index), (snapshot), (nkeys), 0)
#else
#define teller_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan((heap), (index), (snapshot), NULL, (nkeys), 0)
#endif

#if PG_VERSION_NUM < 160000
#define teller_database_ownercheck(db, role) pg_database_ownercheck((db), (role))
#else
#define teller_database_ownercheck(db, role) \
	object_ownercheck(DatabaseRelationId, (db), (role))
#endif

#if PG_VERSION_NUM < 160000
#define teller_server_aclcheck(server, role, mode) \
	pg_foreign_server_aclcheck((server), (role), (mode))
#else
#define teller_server_aclcheck(server, role, mode) \
	object_aclcheck(ForeignServerRelationId, (server), (role), (mode))
#endif

#if PG_VERSION_NUM < 160000
#define teller_namespace_aclcheck(schema, role, mode) \
	pg_namespace_aclcheck((schema), (role), (mode))
#define teller_proc_aclcheck(function, role, mode) \
	pg_proc_aclcheck((function), (role), (mode))
#else
#define teller_namespace_aclcheck(schema, role, mode) \
	object_aclcheck(NamespaceRelationId, (schema), (role), (mode))
#define teller_proc_aclcheck(function, role, mode) \
	object_aclcheck(ProcedureRelationId, (function), (role), (mode))
#endif

/* The file that has the table's rows. */
#if PG_VERSION_NUM < 160000
#define teller_file_of(rel) ((rel)->rd_node.relNode)
#else
#define teller_file_of(rel) ((rel)->rd_locator.relNumber)
#endif

/* The place of this process in ProcGlobal->allProcs. */
#if PG_VERSION_NUM < 170000
#define teller_my_procno ((uint32) MyProc->pgprocno)
#else
#define teller_my_procno ((uint32) MyProcNumber)
#endif

/* Since 17 a background worker too is killed by transaction_timeout. */
#if PG_VERSION_NUM < 170000
#define TELLER_NO_TRANSACTION_TIMEOUT
#else
#define TELLER_NO_TRANSACTION_TIMEOUT {"transaction_timeout", "0"},
#endif

/* Since 17 an interval may be infinite. */
#if PG_VERSION_NUM < 170000
#define teller_interval_not_finite(span) false
#else
#define teller_interval_not_finite(span) INTERVAL_NOT_FINITE(span)
#endif

/*
 * Since 17 a wait set belongs to a resource owner, or to none, which is what
 * a set that outlives transactions needs.
 */
#if PG_VERSION_NUM < 170000
#define teller_create_wait_event_set(context, size) \
	CreateWaitEventSet((context), (size))
#else
#define teller_create_wait_event_set(context, size) \
	CreateWaitEventSet(NULL, (size))
#endif

#if PG_VERSION_NUM < 160000
#define teller_decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime((field), (ftype), (nf), (dtype), (tm), (fsec), (tz))
#else
#define teller_decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime((field), (ftype), (nf), (dtype), (tm), (fsec), (tz), \
				   &(DateTimeErrorExtra) {0})
#endif

#endif							/* TELLER_COMPAT_H */
