#!/usr/bin/env bash
# A randomised run of layer 1, on tables of its own, against a database that
# has pg_teller; see rows.py.
#
#   test/rows/run.sh [--seed N] [--calls N] [--clients N] [--disturb-ms N]
#
# The connection comes from the environment (PGHOST, PGPORT, PGUSER,
# PGDATABASE); it must be a superuser's.  The schema teller_rows is made anew,
# and stays in the database if a claim failed.

here=$(dirname "${BASH_SOURCE[0]}")
export PYTHONPATH=$here/../model	# what the two runs have in common
exec /usr/bin/python3 -B "$here/rows.py" "$@"
