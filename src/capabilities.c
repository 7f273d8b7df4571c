/*-------------------------------------------------------------------------
 *
 * capabilities.c
 *	  What a remote says of itself: the answer of teller_remote.capabilities.
 *
 * Nothing in it can be relied on to be there, or to be of the right type.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ask.h"
#include "capabilities.h"
#include "compat.h"

Jsonb *
capabilities_read(const char *text)
{
	Jsonb	   *value = ask_read_json(text);

	return value != NULL && JB_ROOT_IS_OBJECT(value) ? value : NULL;
}

const char *
capabilities_member(const JsonbContainer *object, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *value;

	if (!JsonContainerIsObject(object))
		return NULL;
	value = getKeyJsonValueFromContainer((JsonbContainer *) object, name,
										 strlen(name), &buffer);
	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	return JsonbToCString(NULL, &JsonbValueToJsonb(value)->root, 0);
}

/* NULL if there is no array of that name. */
static JsonbContainer *
find_grants(const Jsonb *capabilities, JsonbValue *buffer)
{
	JsonbContainer *root = (JsonbContainer *) &capabilities->root;
	JsonbValue *grants = getKeyJsonValueFromContainer(root, "grants",
													  strlen("grants"), buffer);

	if (grants == NULL || grants->type != jbvBinary ||
		!JsonContainerIsArray(grants->val.binary.data))
		return NULL;
	return grants->val.binary.data;
}

bool
capabilities_has_grants(const Jsonb *capabilities)
{
	JsonbValue	buffer;

	return find_grants(capabilities, &buffer) != NULL;
}

const JsonbContainer *
capabilities_grant(const Jsonb *capabilities, const char *ledger)
{
	JsonbValue	buffer;
	JsonbContainer *grants = find_grants(capabilities, &buffer);
	uint32		count = grants != NULL ? JsonContainerSize(grants) : 0;

	for (uint32 i = 0; i < count; i++)
	{
		JsonbValue *grant = getIthJsonbValueFromContainer(grants, i);
		const char *value;

		if (grant->type != jbvBinary)
			continue;
		value = capabilities_member(grant->val.binary.data, "ledger");
		if (value != NULL && strcmp(value, ledger) == 0)
			return grant->val.binary.data;
	}
	return NULL;
}
