#!/usr/bin/env bash
# docs/testing.md, typed in as it stands.  Connects as PG* in the environment
# says, to a server with pg_teller preloaded; makes and drops the databases
# bank, gate and shop.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

clear_up()
{
	for database in shop gate bank; do
		psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $database WITH (FORCE)" 2>/dev/null
	done
	psql -X -q -d postgres -c "DROP ROLE IF EXISTS shop" 2>/dev/null
}

trap clear_up EXIT
clear_up
/usr/bin/python3 -B test/examples/run_page.py docs/testing.md
