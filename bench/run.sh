#!/usr/bin/env bash
# How fast pg_teller is beside what one writes by hand, on a private cluster
# with fsync on.  Prints a table and writes it to bench/results/NAME.txt.
#
#   bench/run.sh [--name NAME] [--rounds N] [--seconds S] [--clients N]
#                [--accounts N] [--settle N] [--seed N]
#   bench/run.sh --smoke         every contender once, no result file
#
# --settle 0 leaves the withdrawals out.

. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

NAME=$(date +%Y-%m-%d)
ACCOUNTS=100000
SMOKE=
ARGUMENTS=()
while [ $# -gt 0 ]; do
	case $1 in
		--smoke)
			SMOKE=yes
			ACCOUNTS=1000
			ARGUMENTS+=(--rounds 1 --seconds 1 --settle 160)
			shift
			;;
		--name) NAME=$2; shift 2 ;;
		--accounts) ACCOUNTS=$2; shift 2 ;;
		--rounds | --seconds | --clients | --settle | --seed)
			ARGUMENTS+=("$1" "$2")
			shift 2
			;;
		*) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
done

need_postgres
need python3 python3-psycopg
begin
say "building pg_teller" >&2
build bench || die "the build failed"
copy_source "$WORK/source"
new_cluster bench both "shared_preload_libraries = 'pg_teller'" \
	"shared_buffers = '512MB'" "max_wal_size = '8GB'" \
	"checkpoint_timeout = '30min'" "max_connections = 200" \
	"teller.max_in_flight_per_server = 64"
make_bank bench both || die "cannot make the bank"
make_shop bench both "$WORK/both.s" || die "cannot make the shop"
say "making $ACCOUNTS accounts, twice" >&2
psql_in bench both shop -v "accounts=$ACCOUNTS" -f "$WORK/source/bench/books.sql" \
	>/dev/null || die "cannot make the books"
as_user python3 "$WORK/source/bench/compare.py" --socket "$WORK/both.s" \
	--port $PORT --bin "$(bin bench)" --data "$WORK/both.d" \
	--accounts "$ACCOUNTS" ${ARGUMENTS[@]+"${ARGUMENTS[@]}"} |
	tee "$WORK/result.txt"
status=$?
if [ -z "$SMOKE" ] && [ $status = 0 ]; then
	mkdir -p "$ROOT/bench/results"
	cp "$WORK/result.txt" "$ROOT/bench/results/$NAME.txt"
	say "written to bench/results/$NAME.txt" >&2
fi
exit $status
