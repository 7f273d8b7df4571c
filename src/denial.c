/*-------------------------------------------------------------------------
 *
 * denial.c
 *	  A business refusal: not enough money, a limit, a frozen account.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "denial.h"
#include "errcodes.h"

Denial *
denial_make(int sqlstate, char *message, char *detail, char *hint)
{
	Denial	   *denial = palloc0(sizeof(Denial));

	denial->sqlstate = stats_error(sqlstate);
	denial->message = message;
	denial->detail = detail;
	denial->hint = hint;
	return denial;
}

static const struct
{
	int			sqlstate;
	const char *name;
}			reasons[] =
{
	{ERRCODE_TELLER_INSUFFICIENT_FUNDS, "insufficient_funds"},
	{ERRCODE_TELLER_VERSION_CONFLICT, "version_conflict"},
	{ERRCODE_TELLER_LIMIT_EXCEEDED, "limit_exceeded"},
	{ERRCODE_TELLER_ACCOUNT_NOT_ACTIVE, "account_not_active"},
	{ERRCODE_TELLER_HOLD_NOT_OPEN, "hold_not_open"},
	{ERRCODE_TELLER_ACCOUNT_BUSY, "account_busy"}
};

const char *
denial_reason(const Denial *denial)
{
	for (int i = 0; i < lengthof(reasons); i++)
		if (reasons[i].sqlstate == denial->sqlstate)
			return reasons[i].name;
	elog(ERROR, "denial with SQLSTATE %s has no name",
		 unpack_sql_state(denial->sqlstate));
	return NULL;
}

int
denial_sqlstate(const char *reason)
{
	for (int i = 0; i < lengthof(reasons); i++)
		if (strcmp(reasons[i].name, reason) == 0)
			return reasons[i].sqlstate;
	elog(ERROR, "\"%s\" is no reason of a denial", reason);
	return 0;
}

void
denial_raise(const Denial *denial)
{
	ereport(ERROR,
			(errcode(denial->sqlstate),
			 errmsg("%s", denial->message),
			 denial->detail ? errdetail("%s", denial->detail) : 0,
			 denial->hint ? errhint("%s", denial->hint) : 0));
}
