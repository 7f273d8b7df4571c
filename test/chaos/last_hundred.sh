#!/usr/bin/env bash
# Two sessions take the same last 100 at once, 1,000 times by withdraw and
# 1,000 times by transfer: exactly one of the two succeeds, each time.
#
#   test/chaos/last_hundred.sh [--rounds N]

. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

need_postgres
need python3 python3-psycopg
begin
build chaos || die "the build failed"
copy_source "$WORK/source"
new_cluster chaos both "shared_preload_libraries = 'pg_teller'"
make_bank chaos both || die "cannot make the bank"
make_shop chaos both "$WORK/both.s" || die "cannot make the shop"
attend become python3 "$WORK/source/test/chaos/last_hundred.py" \
	--socket "$WORK/both.s" --port $PORT "$@"
status=$?
no_surprise both || status=1
exit $status
