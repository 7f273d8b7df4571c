#!/usr/bin/env bash
# How fast pg_teller is beside what one writes by hand, on a private cluster
# with fsync on.  Prints a table and writes it to bench/results/NAME.txt and
# NAME.json; the last lines are `row N: ratio R target T`, one for each target
# measured.
#
#   bench/run.sh [WHAT...] [--name NAME] [--rounds N] [--seconds S]
#                [--clients N] [--accounts N] [--settle N] [--items N]
#                [--seed N] [--pgledger FILE]
#   bench/run.sh 7 8             these rows of the targets in bench/README.md
#   bench/run.sh any_table       a group of bench/contenders.py
#   bench/run.sh row_update      a contender, and what it is compared with
#   bench/run.sh --smoke         every contender once, no result file
#
# --accounts is also the number of rows of other tables, --settle that of the
# withdrawals and --items that of the items of batches of each round; --settle 0
# leaves the withdrawals out.  --pgledger: pgledger's SQL, with what it needs:
#   cat vendor/scoville-pgsql-ulid/uuid-to-ulid.sql pgledger.sql >FILE
# A whole run draws the charts of bench/results anew.

. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

NAME=
SMOKE=
PGLEDGER=
WHAT=()
OPTIONS=()
while [ $# -gt 0 ]; do
	case $1 in
		--smoke) SMOKE=yes; OPTIONS+=("$1"); shift ;;
		--name | --pgledger | --rounds | --seconds | --clients | --accounts | --settle | --items | --seed)
			[ $# -gt 1 ] || die "$1 needs a value"
			case $1 in
				--name) NAME=$2 ;;
				--pgledger) PGLEDGER=$2 ;;
				*) OPTIONS+=("$1" "$2") ;;
			esac
			shift 2
			;;
		-*) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 2 ;;
		*) WHAT+=("$1"); shift ;;
	esac
done
# A part does not replace the figures of the whole.
[ -n "$NAME" ] || NAME=$(IFS=-; printf '%s' "$(date +%Y-%m-%d)${WHAT[*]:+-${WHAT[*]}}")
[ -z "$PGLEDGER" ] || [ -r "$PGLEDGER" ] || die "cannot read $PGLEDGER"

need_postgres
need python3 python3-psycopg
python3 -B "$ROOT/bench/contenders.py" ${WHAT[@]+"${WHAT[@]}"} || exit 2
begin
say "building pg_teller" >&2
build bench || die "the build failed"
copy_source "$WORK/source"
if [ -n "$PGLEDGER" ]; then
	as_user tee "$WORK/home/pgledger.sql" <"$PGLEDGER" >/dev/null
	OPTIONS+=(--pgledger "$WORK/home/pgledger.sql")
fi
new_cluster bench both "shared_preload_libraries = 'pg_teller'" \
	"shared_buffers = '512MB'" "max_wal_size = '8GB'" \
	"checkpoint_timeout = '30min'" "max_connections = 200" \
	"teller.max_in_flight_per_server = 64"
make_bank bench both || die "cannot make the bank"
make_shop bench both "$WORK/both.s" || die "cannot make the shop"
COMMIT=$(git -C "$ROOT" describe --always --dirty --exclude '*' 2>/dev/null) ||
	COMMIT=unknown
as_user python3 -B "$WORK/source/bench/compare.py" --socket "$WORK/both.s" \
	--port $PORT --bin "$(bin bench)" --data "$WORK/both.d" \
	--json "$WORK/home/result.json" --commit "$COMMIT" \
	${OPTIONS[@]+"${OPTIONS[@]}"} ${WHAT[@]+"${WHAT[@]}"} |
	tee "$WORK/result.txt"
status=$?
if [ -z "$SMOKE" ] && [ $status = 0 ]; then
	mkdir -p "$ROOT/bench/results"
	cp "$WORK/result.txt" "$ROOT/bench/results/$NAME.txt"
	cp "$WORK/home/result.json" "$ROOT/bench/results/$NAME.json"
	if [ ${#WHAT[@]} = 0 ]; then
		python3 -B "$ROOT/bench/charts.py" || status=1
	fi
fi
exit $status
