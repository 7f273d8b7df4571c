#!/usr/bin/env bash
# Random calls beside a model; see property.py.
#
#   test/property/run.sh [--hot] [--seed N] [--calls N]
#
# The connection comes from the environment (PGHOST, PGPORT, PGUSER,
# PGDATABASE): a superuser's, to a database that has pg_teller and no worker;
# with --hot, of a server that preloads it, and a worker may be there.
# The ledgers that are made for the run stay in the database.

exec /usr/bin/python3 -B "$(dirname "${BASH_SOURCE[0]}")/property.py" "$@"
