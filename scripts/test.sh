#!/usr/bin/env bash
# Every test of pg_teller, on a machine that has only bash and apt.
#
#   scripts/test.sh                 all parts
#   scripts/test.sh NAME...         only these: unit simulate spin regress
#                                   isolation examples tap model feed property
#                                   rows hot plants chaos compile bench-smoke
#   TELLER_KEEP=1 scripts/test.sh   leave the temporary directory in place
#   TELLER_ROWS="--calls N --seed S" scripts/test.sh rows
#   TELLER_HOT="--seconds N --seed S" scripts/test.sh hot
#   TELLER_PROPERTY="--calls N --seed S" scripts/test.sh property
#   TELLER_SIMULATE="SEEDS=N FIRST=F" scripts/test.sh simulate
#   TELLER_SPIN="FAULTS FAULTS-FOR-LIVENESS" scripts/test.sh spin
#                                   a longer run, or another one
#
# The last line says `N passed, N failed` (and `N skipped`); the status is not
# zero when something failed.  Nothing outside /tmp is written but the packages
# that are missing and, in /var/tmp, caches of headers for `compile` and, where
# Node is not Debian's, of its driver for `examples`.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ALL_PARTS="unit simulate spin regress isolation examples tap model feed property rows hot plants chaos compile bench-smoke"
PASSED=0
FAILED=0
SKIPPED=0
FAILURES=()

usage()
{
	sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
	exit "$1"
}

pass()
{
	PASSED=$((PASSED + 1))
	say "  ok       $*"
}

fail()
{
	FAILED=$((FAILED + 1))
	FAILURES+=("$*")
	say "  FAILED   $*"
}

skip()
{
	SKIPPED=$((SKIPPED + 1))
	say "  skipped  $*"
}

# show FILE [LINES]: the end of a log, indented.
show()
{
	[ -s "$1" ] || return 0
	say "  --- the end of ${1#"$WORK"/}"
	tail -n "${2:-40}" "$1" | sed 's/^/  | /'
}

# count_claims LABEL STATUS LOG: one result for each `ok` and `not ok` line of
# LOG; a program that ends badly without saying `not ok` is one failure, and so
# is one that claims nothing.
count_claims()
{
	local label=$1 status=$2 log=$3 line claim failed=0 seen=0
	while IFS= read -r line; do
		claim=${line#not }
		claim=${claim#ok}
		claim=$(sed -E 's/^ *[0-9]* *-? *//' <<<"$claim")
		case $line in
			"not ok"*) fail "$label: $claim"; failed=1 ;;
			*"# skip"* | *"# SKIP"*) skip "$label: $claim" ;;
			*) pass "$label: $claim" ;;
		esac
		seen=$((seen + 1))
	done < <(grep -aE '^(not )?ok +[^ ]' "$log")
	if [ "$status" != 0 ] && [ "$failed" = 0 ]; then
		fail "$label: ended with status $status"
		failed=1
	elif [ "$seen" = 0 ]; then
		fail "$label: claimed nothing"
		failed=1
	fi
	[ "$failed" = 0 ] || show "$log"
}

# run LIMIT LOG COMMAND...: as the unprivileged user, with a time limit in
# seconds; all output goes to LOG.
run()
{
	local limit=$1 log=$2
	shift 2
	attend become timeout --kill-after=30 "$limit" "$@" >"$log" 2>&1 </dev/null
}

# ---------------------------------------------------------------------------
# The builds: plain PGXS, and the one with wait points for the crash tests
# ---------------------------------------------------------------------------

# built NAME [MAKE-ARGUMENT...]: build once; the result counts once.
declare -A BUILT=()
built()
{
	local name=$1
	if [ -z "${BUILT[$name]:-}" ]; then
		if build "$@"; then
			BUILT[$name]=yes
			pass "build: $name, make && make install without a warning"
		else
			BUILT[$name]=no
			fail "build: $name"
		fi
	fi
	[ "${BUILT[$name]}" = yes ]
}

built_plain()
{
	built plain
}

built_waitpoints()
{
	built wait TELLER_CPPFLAGS=-DTELLER_WAIT_POINTS with_llvm=no
}

# ---------------------------------------------------------------------------
# Parts
# ---------------------------------------------------------------------------

part_unit()
{
	local src=$WORK/unit.src log=$WORK/unit.log
	copy_source "$src"
	run 300 "$log" make -C "$src/test/fsm" check
	count_claims "unit fsm" $? "$log"
	run 60 "$log" bash "$src/test/plants_apply.sh"
	count_claims "unit plants" $? "$log"
}

# Whole lives of operations, from seeds; and planted bugs.
part_simulate()
{
	local src=$WORK/simulate.src log=$WORK/simulate.log
	copy_source "$src"
	# shellcheck disable=SC2086
	run 1800 "$log" make -C "$src/test/simulate" check ${TELLER_SIMULATE:-}
	count_claims "simulate" $? "$log"
}

# One operation, every order of events.
part_spin()
{
	local src=$WORK/spin.src log=$WORK/spin.log
	need spin
	copy_source "$src"
	# shellcheck disable=SC2086
	run 3600 "$log" "$src/test/spin/run.sh" ${TELLER_SPIN:-}
	count_claims "spin" $? "$log"
}

# installcheck LABEL CLUSTER MAKE-ARGUMENT...: count each test that pg_regress
# or pg_isolation_regress reports.
installcheck()
{
	local label=$1 cluster=$2 log=$WORK/installcheck.log status line name
	local failed=0 seen=0 src=$WORK/plain.src diffs
	shift 2
	run 1200 "$log" env PGISOLATIONTIMEOUT=60 PGHOST="$WORK/$cluster.s" \
		PGPORT="$PORT" PGUSER=postgres \
		make -C "$src" installcheck PG_CONFIG="$(bin plain)/pg_config" "$@"
	status=$?
	while IFS= read -r line; do
		name=$(sed -E 's/^(test|not ok|ok)? *[0-9-]* *[-+]? *([^ ]+) .*/\2/' <<<"$line")
		case $line in
			*" ok "* | "ok "*) pass "$label: $name" ;;
			*) fail "$label: $name"; failed=1 ;;
		esac
		seen=$((seen + 1))
	done < <(grep -aE '^(test .* \.\.\. |     [^ ]+ +\.\.\. |(not )?ok [0-9]+ )' "$log")
	if [ "$status" != 0 ] && [ "$failed" = 0 ]; then
		fail "$label: make installcheck ended with status $status"
		failed=1
	elif [ "$seen" = 0 ]; then
		fail "$label: no test was run"
		failed=1
	fi
	if [ "$failed" != 0 ]; then
		for diffs in "$src/regression.diffs" "$src/output_iso/regression.diffs"; do
			show "$diffs" 100
			rm -f "$diffs"
		done
		[ "$seen" -gt 0 ] || show "$log"
	fi
}

# The plain cluster has no preload, the other one has.
CHECK_CLUSTERS=
check_clusters()
{
	[ -z "$CHECK_CLUSTERS" ] || return 0
	CHECK_CLUSTERS=yes
	new_cluster plain bare "fsync = off"
	new_cluster plain pre "fsync = off" "shared_preload_libraries = 'pg_teller'"
}

part_regress()
{
	built_plain || return 0
	check_clusters
	installcheck "regress" bare ISOLATION=
	installcheck "regress, preloaded" pre ISOLATION=
}

part_isolation()
{
	built_plain || return 0
	check_clusters
	installcheck "isolation" bare REGRESS=
	installcheck "isolation, preloaded" pre REGRESS=
}

# between FILE FIRST LAST: the code between two comment lines of a page, without
# the fences.
between()
{
	awk -v first="$2" -v last="$3" '
		$0 == last { exit }
		inside && !/^```/ { print }
		$0 == first { inside = 1 }' "$1"
}

# The README's eight lines, pasted into psql, do what it says; and the seventh
# again replays.
example_readme()
{
	local lines=$WORK/readme.sql out=$WORK/readme.out
	between "$ROOT/README.md" '<!-- eight lines: run by the tests -->' \
		'<!-- end of the eight lines -->' >"$lines"
	[ "$(wc -l <"$lines")" = 8 ] || fail "README: eight lines are not eight"
	sed -n 7p "$lines" >>"$lines"
	psql_in plain pre postgres -c 'CREATE DATABASE readme' >/dev/null
	as_user "$(bin plain)/psql" -X -q -At -h "$WORK/pre.s" -p "$PORT" \
		-U postgres -d readme <"$lines" >"$out" 2>&1
	cat >"$WORK/readme.expected" <<-'END'


	1
	2
	posted|100.00
	posted|90.00|f
	posted|90.00|t
	END
	if diff "$WORK/readme.expected" "$out" >"$WORK/readme.diff"; then
		pass "README: the eight lines do what it says"
	else
		fail "README: the eight lines give something else"
		show "$WORK/readme.diff"
	fi
}

# A user's own PGXS project, tested by its own installcheck.
example_regress()
{
	local src=$WORK/plain.src/examples/regress log=$WORK/example.log
	if run 300 "$log" env PGHOST="$WORK/bare.s" PGPORT="$PORT" PGUSER=postgres \
		make -C "$src" PG_CONFIG="$(bin plain)/pg_config" all install installcheck
	then
		pass "examples/regress: a user's project passes its own installcheck"
	else
		fail "examples/regress"
		show "$log" 20
		show "$src/regression.diffs" 60
	fi
}

part_examples()
{
	local script
	built_plain || return 0
	check_clusters
	example_readme
	example_regress
	# Others bring a program of their own that claims in `ok` lines.
	need python3 python3-psycopg
	need_node
	for script in "$ROOT"/test/examples/*.sh; do
		run 300 "$WORK/example.log" env PATH="$(bin plain):$PATH" \
			PGHOST="$WORK/pre.s" PGPORT="$PORT" PGUSER=postgres \
			NODE_PATH="$NODE_MODULES" \
			bash "$WORK/plain.src/test/examples/${script##*/}"
		count_claims "examples ${script##*/}" $? "$WORK/example.log"
	done
}

part_tap()
{
	local src=$WORK/wait.src file name log pgxs status
	need libipc-run-perl perl python3 openssl
	built_waitpoints || return 0
	pgxs=$WORK/wait/lib/postgresql/$PG_MAJOR/lib/pgxs
	for file in "$src"/test/t/*.pl; do
		[ -f "$file" ] || { fail "tap: there are no files in test/t"; return; }
		name=$(basename "$file" .pl)
		log=$WORK/tap.$name.log
		as_user mkdir -p "$src/tap/$name"
		run 900 "$log" env -C "$src" PATH="$(bin wait):$PATH" \
			PERL5LIB="$pgxs/src/test/perl:$src/test/lib" \
			PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
			PG_CONFIG="$(bin wait)/pg_config" PGPORT="6$PORT" \
			TESTDIR="$src/tap/$name" TESTDATADIR="$src/tap/$name/tmp_check" \
			TESTLOGDIR="$src/tap/$name/tmp_check/log" \
			prove -v --nocolor "$file"
		status=$?
		count_claims "tap $name" "$status" "$log"
		[ "$status" = 0 ] || show_tap_logs "$src/tap/$name/tmp_check/log"
	done
}

show_tap_logs()
{
	local log
	for log in "$1"/*; do
		show "$log" 40
	done
}

# Bugs planted on purpose: each must be caught.
part_plants()
{
	local log=$WORK/plants.log
	need python3 python3-psycopg python3-hypothesis
	attend timeout --kill-after=60 2700 "$ROOT/test/plants.sh" \
		>"$log" 2>&1 </dev/null
	count_claims "plants" $? "$log"
}

# Random calls by many clients, and what they were told against the books.
part_model()
{
	local log=$WORK/model.log
	built_plain || return 0
	check_clusters
	need python3 python3-psycopg
	psql_in plain pre postgres -c 'CREATE DATABASE model' >/dev/null
	psql_in plain pre model -c 'CREATE EXTENSION pg_teller' >/dev/null
	run 600 "$log" env PGHOST="$WORK/pre.s" PGPORT="$PORT" PGUSER=postgres \
		PGDATABASE=model bash "$WORK/plain.src/test/model/run.sh"
	count_claims "model" $? "$log"
}

# property_run CLUSTER CALLS [ARGUMENT...]: in a database of its own.
property_run()
{
	local cluster=$1 calls=$2 log=$WORK/property.$1.log
	shift 2
	psql_in plain "$cluster" postgres -c 'CREATE DATABASE property' >/dev/null
	psql_in plain "$cluster" property -c 'CREATE EXTENSION pg_teller' >/dev/null
	# shellcheck disable=SC2086
	run 3600 "$log" env PGHOST="$WORK/$cluster.s" PGPORT="$PORT" PGUSER=postgres \
		PGDATABASE=property bash "$WORK/plain.src/test/property/run.sh" \
		--calls "$calls" "$@" ${TELLER_PROPERTY:-}
	count_claims "property, $cluster" $? "$log"
}

# Random calls by three sessions, each compared with a model.  No worker, which
# would expire holds beside the model; then with hot accounts, first with a
# worker, which folds them, and no hold that becomes due, then the reverse.
part_property()
{
	local preload="shared_preload_libraries = 'pg_teller'"
	built_plain || return 0
	check_clusters
	need python3 python3-psycopg python3-hypothesis
	new_cluster plain folding "fsync = off" "$preload" "teller.fold_interval = 10ms"
	new_cluster plain idle "fsync = off" "$preload" "max_worker_processes = 0"
	property_run bare 14000
	property_run folding 3000 --hot
	property_run idle 3000 --hot
}

# rows_run NAME LIMIT [ARGUMENT...]: a program of test/rows, in a database of
# its own and without preload, which layer 1 does not need.
rows_run()
{
	local name=$1 limit=$2 log=$WORK/rows.$1.log
	shift 2
	psql_in plain bare postgres -c "CREATE DATABASE rows_$name" >/dev/null
	psql_in plain bare "rows_$name" -c 'CREATE EXTENSION pg_teller' >/dev/null
	run "$limit" "$log" env PGHOST="$WORK/bare.s" PGPORT="$PORT" PGUSER=postgres \
		PGDATABASE="rows_$name" bash "$WORK/plain.src/test/rows/$name.sh" "$@"
	count_claims "rows $name" $? "$log"
	grep -aE '^figure ' "$log" | sed 's/^/  /'
}

# Random changes of a user's own tables, against a model; and many locks.
part_rows()
{
	built_plain || return 0
	check_clusters
	need python3 python3-psycopg
	# shellcheck disable=SC2086
	rows_run run 3600 ${TELLER_ROWS:-}
	rows_run lock_storm 900
}

# Writers and readers of the feed at once; and readers that go by id, which
# must lose rows.
part_feed()
{
	local log=$WORK/feed.log how
	built_plain || return 0
	check_clusters
	need python3 python3-psycopg
	psql_in plain pre postgres -c 'CREATE DATABASE feed' >/dev/null
	psql_in plain pre feed -c 'CREATE EXTENSION pg_teller' >/dev/null
	for how in "" --plant; do
		run 120 "$log" env PGHOST="$WORK/pre.s" PGPORT="$PORT" PGUSER=postgres \
			PGDATABASE=feed bash "$WORK/plain.src/test/feed/run.sh" $how
		count_claims "feed" $? "$log"
	done
}

# Many clients on hot accounts, cancelled, ended and killed.
part_hot()
{
	local log=$WORK/hot.log
	built_plain || return 0
	need python3 python3-psycopg
	# shellcheck disable=SC2086
	TELLER_PREFIX=$WORK/plain attend timeout --kill-after=60 3600 \
		"$ROOT/test/hot/run.sh" ${TELLER_HOT:-} >"$log" 2>&1 </dev/null
	count_claims "hot" $? "$log"
	grep -aE '^figure ' "$log" | sed 's/^/  /'
}

# chaos_run NAME LIMIT ARGUMENT...: one of the long runs, shortened.
chaos_run()
{
	local name=$1 limit=$2 log=$WORK/chaos.$1.log
	shift 2
	TELLER_PREFIX=$WORK/plain attend timeout --kill-after=60 "$limit" \
		"$ROOT/test/chaos/$name.sh" "$@" >"$log" 2>&1 </dev/null
	count_claims "chaos $name" $? "$log"
	grep -aE '^figure ' "$log" | sed 's/^/  /'
}

part_chaos()
{
	built_plain || return 0
	need python3 python3-psycopg
	chaos_run last_hundred 600 --rounds 200
	chaos_run withdrawals 900 --withdrawals 1000 --rate 50 --kill-every 1 \
		--hard-every 4
}

part_compile()
{
	local version log=$WORK/compile.log status
	for version in 17 18; do
		"$ROOT/scripts/compile_all.sh" "$version" >"$log" 2>&1 </dev/null
		status=$?
		case $status in
			0) pass "compile: no warning with the headers of PostgreSQL $version" ;;
			75) skip "compile: $(tail -n 1 "$log")" ;;
			*) fail "compile: PostgreSQL $version"; show "$log" ;;
		esac
	done
}

part_bench_smoke()
{
	local log=$WORK/bench.log
	built_plain || return 0
	need python3 python3-psycopg
	TELLER_PREFIX=$WORK/plain attend timeout --kill-after=60 900 \
		"$ROOT/bench/run.sh" --smoke >"$log" 2>&1 </dev/null
	count_claims "bench" $? "$log"
}

# ---------------------------------------------------------------------------

parts=()
for argument in "$@"; do
	case $argument in
		-h | --help) usage 0 ;;
		*)
			case " $ALL_PARTS " in
				*" $argument "*) parts+=("$argument") ;;
				*) say "no part is called $argument" >&2; usage 2 >&2 ;;
			esac
			;;
	esac
done
[ ${#parts[@]} -gt 0 ] || read -r -a parts <<<"$ALL_PARTS"

need_postgres
begin
for part in "${parts[@]}"; do
	say "$part"
	started=$SECONDS
	"part_${part//-/_}"
	say "  ($((SECONDS - started)) s)"
done

for entry in ${CLUSTERS[@]+"${CLUSTERS[@]}"}; do
	name=${entry##*/}
	if stop_cluster "${entry%%:*}" "${entry#*:}"; then
		pass "cluster ${name%.d}: a fast shutdown ends it"
	else
		fail "cluster ${name%.d}: a fast shutdown does not end it"
	fi
	no_surprise "${name%.d}" >"$WORK/surprise.log"
	count_claims "cluster ${name%.d}" $? "$WORK/surprise.log"
done
CLUSTERS=()

if [ "$FAILED" -gt 0 ]; then
	say "failed:"
	printf '  %s\n' "${FAILURES[@]}"
fi
if [ "$SKIPPED" -gt 0 ]; then
	say "$PASSED passed, $FAILED failed, $SKIPPED skipped"
else
	say "$PASSED passed, $FAILED failed"
fi
[ "$FAILED" = 0 ]
