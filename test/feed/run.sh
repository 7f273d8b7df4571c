#!/usr/bin/env bash
# Writers and readers of the feed at once; see feed.py.
#
#   test/feed/run.sh [--seed N] [--seconds N] [--writers N] [--readers N] [--plant]
#
# The connection comes from the environment (PGHOST, PGPORT, PGUSER,
# PGDATABASE); it must be a superuser's, and the database must have pg_teller.
# The ledger that is made for the run stays in the database.

exec /usr/bin/python3 -B "$(dirname "${BASH_SOURCE[0]}")/feed.py" "$@"
