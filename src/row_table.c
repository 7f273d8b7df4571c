/*-------------------------------------------------------------------------
 *
 * row_table.c
 *	  What a backend remembers of a table of the user's own.
 *
 * A RowTable is made at the first call on a table and forgotten when the
 * relation cache says that the table changed, or that a schema or an operator
 * did (their names are in the saved statements), or a cast.  A call further up the stack
 * may still be using it, so it is freed by the first call of a later
 * transaction: no call of ours outlives the transaction it began in.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/heap.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteDefine.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "input.h"
#include "row_table.h"
#include "version.h"

/* More tables than this, and the backend starts over. */
#define ROW_TABLES_MAX 256

typedef struct RowTableEntry
{
	Oid			relid;			/* the key */
	RowTable   *table;
} RowTableEntry;

static HTAB *row_tables = NULL;
static RowTable *row_forgotten = NULL;	/* out of row_tables, not yet freed */
static uint64 row_changes = 0;	/* invalidations seen */

#define KEY_HINT "pg_teller needs a primary key of one column, valid and not deferrable."

/* ---- forgetting ------------------------------------------------------- */

static void
row_invalidate(Oid relid)
{
	HASH_SEQ_STATUS scan;
	RowTableEntry *entry;

	row_changes++;
	hash_seq_init(&scan, row_tables);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (!OidIsValid(relid) || entry->relid == relid)
			entry->table->valid = false;
}

static void
row_relation_changed(Datum arg, Oid relid)
{
	row_invalidate(relid);
}

static void
row_name_changed(Datum arg, int cacheid, uint32 hash)
{
	row_invalidate(InvalidOid);
}

static void
row_tables_init(void)
{
	HASHCTL		control = {0};

	if (row_tables != NULL)
		return;
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(RowTableEntry);
	row_tables = hash_create("pg_teller row tables", 16, &control,
							 HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(row_relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, row_name_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(OPEROID, row_name_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(CASTSOURCETARGET, row_name_changed, (Datum) 0);
}

static void
row_table_forget(RowTableEntry *entry)
{
	RowTable   *table = entry->table;

	table->forgotten_at = GetCurrentTransactionStartTimestamp();
	table->next_forgotten = row_forgotten;
	row_forgotten = table;
	hash_search(row_tables, &table->relid, HASH_REMOVE, NULL);
}

/* Free what earlier transactions forgot. */
static void
row_tables_free_forgotten(void)
{
	RowTable  **link = &row_forgotten;

	while (*link != NULL)
	{
		RowTable   *table = *link;
		ListCell   *cell;

		if (table->forgotten_at == GetCurrentTransactionStartTimestamp())
		{
			link = &table->next_forgotten;
			continue;
		}
		*link = table->next_forgotten;
		foreach(cell, table->saved)
			SPI_freeplan((SPIPlanPtr) lfirst(cell));
		MemoryContextDelete(table->context);
	}
}

/* ---- describing ------------------------------------------------------- */

static void
row_check_kind(Relation rel)
{
	const char *name = RelationGetRelationName(rel);
	char		kind = rel->rd_rel->relkind;

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", name),
				 errdetail_relkind_not_supported(kind)));
	if (IsCatalogRelation(rel) || RelationGetRelid(rel) < FirstNormalObjectId)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("table \"%s\" is a system catalog", name)));
	if (getExtensionOfObject(RelationRelationId, RelationGetRelid(rel)) ==
		get_extension_oid("pg_teller", false))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("table \"%s\" belongs to pg_teller", name),
				 errhint("Its own functions change it.")));
	if (RELATION_IS_OTHER_TEMP(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" is a temporary table of another session",
						name)));
}

/* The primary key's index, if it is one to find a row by. */
static Oid
row_key_index(Relation rel)
{
	const char *name = RelationGetRelationName(rel);
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;

	foreach(cell, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(cell)));
		FormData_pg_index index;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "no index %u", lfirst_oid(cell));
		index = *(Form_pg_index) GETSTRUCT(tuple);
		ReleaseSysCache(tuple);
		if (!index.indisprimary)
			continue;
		if (index.indnkeyatts != 1 || !index.indimmediate || !index.indisvalid)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table \"%s\" has no primary key to find a row by",
							name),
					 index.indnkeyatts != 1 ?
					 errdetail("Its primary key has %d columns.",
							   index.indnkeyatts) :
					 !index.indimmediate ?
					 errdetail("Its primary key is deferrable.") :
					 errdetail("Its primary key is not valid."),
					 errhint(KEY_HINT)));
		return index.indexrelid;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" has no primary key", name),
			 errhint(KEY_HINT)));
	return InvalidOid;
}

/* The operator's name as a statement can use it under any search_path. */
static char *
row_operator_name(Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "no operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	name = psprintf("OPERATOR(%s.%s)",
					quote_identifier(get_namespace_name(form->oprnamespace)),
					NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return name;
}

static void
row_describe_key(RowTable *table, Relation rel)
{
	Relation	index;
	Form_pg_attribute column;
	TypeCacheEntry *type;
	Oid			output;
	bool		varlena;
	Oid			input_type;

	table->key_index = row_key_index(rel);
	index = index_open(table->key_index, AccessShareLock);
	table->key_column = index->rd_index->indkey.values[0];
	column = TupleDescAttr(RelationGetDescr(rel), table->key_column - 1);
	table->key_name = pstrdup(quote_identifier(NameStr(column->attname)));
	table->key_type = getBaseType(column->atttypid);
	table->key_collation = column->attcollation;
	get_typlenbyval(table->key_type, &table->key_length, &table->key_by_value);

	input_type = index->rd_opcintype[0];
	table->key_equals =
		row_operator_name(get_opfamily_member(index->rd_opfamily[0],
											  input_type, input_type,
											  BTEqualStrategyNumber));
	index_close(index, AccessShareLock);

	type = lookup_type_cache(table->key_type, TYPECACHE_CMP_PROC_FINFO);
	if (!OidIsValid(type->cmp_proc))
		elog(ERROR, "type %u of a primary key has no order", table->key_type);
	fmgr_info_copy(&table->key_compare, &type->cmp_proc_finfo, table->context);
	getTypeOutputInfo(table->key_type, &output, &varlena);
	fmgr_info_cxt(output, &table->key_output, table->context);
}

static RowTable *
row_describe(Relation rel)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_teller row table",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	uint64		changes = row_changes;
	RowTable   *table = palloc0(sizeof(RowTable));

	table->context = context;
	table->relid = RelationGetRelid(rel);
	table->name =
		quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
								   RelationGetRelationName(rel));
	table->plain = rel->rd_rel->relkind == RELKIND_RELATION &&
		!rel->rd_rel->relhassubclass;
	table->inherited = rel->rd_rel->relkind == RELKIND_RELATION &&
		rel->rd_rel->relhassubclass;
	table->row_security = rel->rd_rel->relrowsecurity;
	row_describe_key(table, rel);

	/* Looking things up may have brought news of a change. */
	table->valid = changes == row_changes;
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, CacheMemoryContext);
	return table;
}

/* ---- opening ---------------------------------------------------------- */

static void
row_tables_make_room(void)
{
	HASH_SEQ_STATUS scan;
	RowTableEntry *entry;

	if (hash_get_num_entries(row_tables) < ROW_TABLES_MAX)
		return;
	hash_seq_init(&scan, row_tables);
	while ((entry = hash_seq_search(&scan)) != NULL)
		row_table_forget(entry);
}

/*
 * The name of a schema that a role may not use is not looked up for it: a
 * saved plan, which another role of the session may have made, would not ask.
 */
static void
row_check_schema(Relation rel)
{
	Oid			schema = RelationGetNamespace(rel);
	AclResult	result = teller_namespace_aclcheck(schema, GetUserId(),
												   ACL_USAGE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_SCHEMA, get_namespace_name(schema));
}

RowTable *
row_table_open(Oid relid, LOCKMODE mode, Relation *rel)
{
	RowTableEntry *entry;
	RowTable   *table;

	row_tables_init();
	*rel = try_relation_open(relid, mode);
	if (*rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	row_check_schema(*rel);
	row_tables_free_forgotten();
	entry = hash_search(row_tables, &relid, HASH_FIND, NULL);
	if (entry != NULL && entry->table->valid)
		return entry->table;

	row_check_kind(*rel);
	if (entry != NULL)
		row_table_forget(entry);
	row_tables_make_room();
	table = row_describe(*rel);
	entry = hash_search(row_tables, &relid, HASH_ENTER, NULL);
	entry->table = table;
	return table;
}

RowTable *
row_table_argument(FunctionCallInfo fcinfo, int arg, LOCKMODE mode,
				   Relation *rel)
{
	input_require(fcinfo, arg, "rel");
	version_require();
	return row_table_open(PG_GETARG_OID(arg), mode, rel);
}

/* As the rewriter decides whether a rule fires. */
static bool
row_rule_fires(const RewriteRule *rule)
{
	char		other = SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA ?
		RULE_FIRES_ON_ORIGIN : RULE_FIRES_ON_REPLICA;

	return rule->enabled != RULE_DISABLED && rule->enabled != other;
}

void
row_refuse_rule(const RowTable *table, Relation rel)
{
	for (int i = 0; rel->rd_rules != NULL && i < rel->rd_rules->numLocks; i++)
	{
		RewriteRule *rule = rel->rd_rules->rules[i];

		if (rule->event == CMD_UPDATE && rule->isInstead &&
			row_rule_fires(rule))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("table %s has a rule that does something else than UPDATE",
							table->name)));
	}
}

AttrNumber
row_column(Relation rel, const char *name)
{
	const char *table = RelationGetRelationName(rel);
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (column->attisdropped || strcmp(NameStr(column->attname), name) != 0)
			continue;
		if (column->attgenerated != '\0')
			ereport(ERROR,
					(errcode(ERRCODE_GENERATED_ALWAYS),
					 errmsg("column \"%s\" of table \"%s\" is generated",
							name, table)));
		return column->attnum;
	}
	if (SystemAttributeByName(name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of table \"%s\" is a system column",
						name, table)));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of table \"%s\" does not exist",
					name, table)));
	return InvalidAttrNumber;
}
