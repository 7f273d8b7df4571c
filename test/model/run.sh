#!/usr/bin/env bash
# A randomised run against a database that has pg_teller; see model.py.
#
#   test/model/run.sh [--seed N] [--calls N] [--clients N] [--accounts N]
#
# The connection comes from the environment (PGHOST, PGPORT, PGUSER,
# PGDATABASE); it must be a superuser's.  The ledger that is made for the run
# stays in the database.

exec /usr/bin/python3 -B "$(dirname "${BASH_SOURCE[0]}")/model.py" "$@"
