#!/usr/bin/env bash
# How fast pg_teller is beside what one writes by hand, on a private cluster
# with fsync on.  Prints a table and writes it to bench/results/NAME.txt; the
# last lines are `row N: ratio R target T`, one for each target measured.
#
#   bench/run.sh [WHAT...] [--name NAME] [--rounds N] [--seconds S]
#                [--clients N] [--accounts N] [--settle N] [--seed N]
#   bench/run.sh 14 15           these rows of the targets in bench/README.md
#   bench/run.sh any_table       a group: movements, any_table, withdrawals
#   bench/run.sh row_update      a contender, and what it is compared with
#   bench/run.sh --smoke         every contender once, no result file
#
# --accounts is also the number of rows of the other tables; --settle 0 leaves
# the withdrawals out.

. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

NAME=
SMOKE=
WHAT=()
OPTIONS=()
while [ $# -gt 0 ]; do
	case $1 in
		--smoke)
			SMOKE=yes
			OPTIONS+=(--accounts 1000 --rounds 1 --seconds 1 --settle 160)
			shift
			;;
		--name | --rounds | --seconds | --clients | --accounts | --settle | --seed)
			[ $# -gt 1 ] || die "$1 needs a value"
			if [ "$1" = --name ]; then NAME=$2; else OPTIONS+=("$1" "$2"); fi
			shift 2
			;;
		-*) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 2 ;;
		*) WHAT+=("$1"); shift ;;
	esac
done
# A part does not replace the figures of the whole.
[ -n "$NAME" ] || NAME=$(IFS=-; printf '%s' "$(date +%Y-%m-%d)${WHAT[*]:+-${WHAT[*]}}")

need_postgres
need python3 python3-psycopg
python3 -B "$ROOT/bench/contenders.py" ${WHAT[@]+"${WHAT[@]}"} || exit 2
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
as_user python3 "$WORK/source/bench/compare.py" --socket "$WORK/both.s" \
	--port $PORT --bin "$(bin bench)" --data "$WORK/both.d" \
	${OPTIONS[@]+"${OPTIONS[@]}"} ${WHAT[@]+"${WHAT[@]}"} |
	tee "$WORK/result.txt"
status=$?
if [ -z "$SMOKE" ] && [ $status = 0 ]; then
	mkdir -p "$ROOT/bench/results"
	cp "$WORK/result.txt" "$ROOT/bench/results/$NAME.txt"
fi
exit $status
