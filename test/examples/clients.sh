#!/usr/bin/env bash
# The clients under examples/client, each against a server whose connections
# break; see clients.py.  Connects as PG* in the environment says, over a unix
# socket, as a superuser; makes and drops the database till and the role
# till_app.  NODE_PATH may say where node-postgres is.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

STATUS=0
BUILD=$(mktemp -d /tmp/tlb.XXXXXX)
export NODE_PATH=${NODE_PATH:-/usr/share/nodejs}

drop()
{
	psql -X -q -d postgres -c "DROP DATABASE IF EXISTS till WITH (FORCE)" 2>/dev/null
	psql -X -q -d postgres -c "DROP ROLE IF EXISTS till_app" 2>/dev/null
}

clear_up()
{
	drop
	rm -rf "$BUILD"
}

# run_client LANGUAGE COMMAND...: in a fresh database.
run_client()
{
	drop
	psql -X -q -d postgres -c "CREATE DATABASE till" &&
		psql -X -q -d till -f examples/client/setup.sql >/dev/null &&
		/usr/bin/python3 -B test/examples/clients.py "$@" || STATUS=1
}

trap clear_up EXIT

cp examples/client/c/* "$BUILD"
if make -s -C "$BUILD" PG_CONFIG="${CLIENT_PG_CONFIG:-/usr/bin/pg_config}" \
	CC="cc -fsanitize=address,undefined -fno-sanitize-recover=all" \
	CFLAGS="-O1 -g -Werror" 2>&1; then
	echo "ok - c: it builds without a warning"
	run_client c "$BUILD/till"
else
	echo "not ok - c: it builds without a warning"
	STATUS=1
fi

run_client python /usr/bin/python3 -B examples/client/python/till.py

if ! command -v node >/dev/null; then
	echo "ok - node: the client # skip there is no node"
elif ! node -e "require('pg')" 2>/dev/null; then
	echo "ok - node: the client # skip there is no node-postgres"
else
	run_client node node examples/client/node/till.js
fi
exit "$STATUS"
