#!/usr/bin/env bash
# Many clients on hot accounts and others, disturbed in every way, against what
# they were told and against the journal; see hot.py.
#
#   test/hot/run.sh [--seed N] [--seconds N] [--clients N] [--disturb-ms N]
#                   [--no-crash]
#
# It makes a cluster of its own and kills processes of it.  TELLER_PREFIX: a
# private PostgreSQL that has the extension already.

. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

need_postgres
need python3 python3-psycopg
begin
build hot || die "the build failed"
copy_source "$WORK/source"
new_cluster hot hot "shared_preload_libraries = 'pg_teller'" "fsync = off" \
	"deadlock_timeout = 20ms" "restart_after_crash = on" \
	"teller.fold_interval = 50ms" "teller.not_after_margin = 0s" \
	"teller.backoff_base = 20ms" "teller.backoff_max = 100ms"
attend become python3 -B "$WORK/source/test/hot/hot.py" \
	--socket "$WORK/hot.s" --port $PORT "$@"
status=$?
no_surprise hot || status=1
exit $status
