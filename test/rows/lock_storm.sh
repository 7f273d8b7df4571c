#!/usr/bin/env bash
# 10,000 overlapping lock_rows calls by 16 clients over 30 rows, without a
# deadlock; the same sets locked by hand must deadlock.  See lock_storm.py.
#
#   test/rows/lock_storm.sh [--calls N] [--clients N] [--seed N]
#
# The connection comes from the environment (PGHOST, PGPORT, PGUSER,
# PGDATABASE); it must be a superuser's.

here=$(dirname "${BASH_SOURCE[0]}")
status=0
/usr/bin/python3 -B "$here/lock_storm.py" "$@" || status=1

claim="the same sets locked by hand, in the order given, deadlock"
planted=$(/usr/bin/python3 -B "$here/lock_storm.py" "$@" --plant)
if grep -q '^not ok - no deadlock' <<<"$planted"; then
	echo "ok - $claim"
else
	echo "not ok - $claim"
	printf '%s\n' "$planted" | sed 's/^/# /'
	status=1
fi
exit $status
