#!/usr/bin/env bash
# examples/webhook: its page, typed in as it stands, and its relay, which is
# killed while a web server fails and the ledger is written; see webhook.py.
# Connects as PG* in the environment says, as a superuser; makes and drops the
# databases webhook_page and webhook, and the role webhook_relay.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

STATUS=0

drop()
{
	psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $1 WITH (FORCE)" 2>/dev/null
	psql -X -q -d postgres -c "DROP ROLE IF EXISTS webhook_relay" 2>/dev/null
}

clear_up()
{
	drop webhook_page
	drop webhook
}

make()
{
	drop "$1"
	psql -X -q -d postgres -c "CREATE DATABASE $1"
}

trap clear_up EXIT
clear_up
make webhook_page
/usr/bin/python3 -B test/examples/run_page.py examples/webhook/README.md || STATUS=1
drop webhook_page

make webhook
psql -X -q -d webhook -c "CREATE EXTENSION pg_teller" &&
	psql -X -q -d webhook -f examples/webhook/setup.sql &&
	/usr/bin/python3 -B test/examples/webhook.py || STATUS=1
exit "$STATUS"
