#!/usr/bin/env bash
# The workers under examples/pull_worker, each against a provider that fails in
# every way; see pull.py.  Connects as PG* in the environment says, as a
# superuser; makes and drops the database payouts and the role payout_worker.
# NODE_PATH may say where node-postgres is.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

STATUS=0
export NODE_PATH=${NODE_PATH:-/usr/share/nodejs}

drop()
{
	psql -X -q -d postgres -c "DROP DATABASE IF EXISTS payouts WITH (FORCE)" 2>/dev/null
	psql -X -q -d postgres -c "DROP ROLE IF EXISTS payout_worker" 2>/dev/null
}

# run_worker LANGUAGE COMMAND...: in a fresh database.
run_worker()
{
	drop
	psql -X -q -d postgres -c "CREATE DATABASE payouts" &&
		psql -X -q -v ON_ERROR_STOP=1 -d payouts -f examples/pull_worker/setup.sql >/dev/null &&
		/usr/bin/python3 -B test/examples/pull.py "$@" || STATUS=1
}

trap drop EXIT

run_worker python /usr/bin/python3 -B examples/pull_worker/worker.py

if ! command -v node >/dev/null; then
	echo "ok - node: the worker # skip there is no node"
elif ! node -e "require('pg')" 2>/dev/null; then
	echo "ok - node: the worker # skip there is no node-postgres"
else
	run_worker node node examples/pull_worker/worker.mjs
fi
exit "$STATUS"
