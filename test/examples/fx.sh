#!/usr/bin/env bash
# examples/fx/README.md, typed in as it stands.  Connects as PG* in the
# environment says, as a superuser; makes and drops the database fx.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

drop()
{
	psql -X -q -d postgres -c "DROP DATABASE IF EXISTS fx WITH (FORCE)" 2>/dev/null
}

trap drop EXIT
drop
psql -X -q -d postgres -c "CREATE DATABASE fx"
/usr/bin/python3 -B test/examples/run_page.py examples/fx/README.md
