#!/usr/bin/env bash
# Are the checkers worth anything?  Build pg_teller with one bug at a time, and
# see that an isolation spec or a randomised run, or verify() within it, catches
# it.  The bugs in test/RUN/plants/*.sed are tried on test/RUN/run.sh: those of
# the ledger on `model` and on `property`, those of layer 1 on `rows`, those of
# hot accounts on `hot`, whose specs are run where pg_teller is preloaded.  Below
# each is which of the run's claims failed.
#
#   test/plants.sh [SOURCE [PREFIX]]
#
# SOURCE: the checkout; the bugs go into a copy of it.  PREFIX: a private copy
# of PostgreSQL for this script alone, which installs the bugs into it; it
# belongs to the user who runs the clusters.  Without one it makes its own.
# PLANTS="name name" plants only these.
#
# A plant says in its first line what is wrong then, in others the file it goes
# into, the specs that are to notice, in how many places the file changes, if
# that is more than one, and, where the run is to go to a server that preloads
# pg_teller, with which arguments (preloaded: --hot).

. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

declare -A ARGUMENTS=([model]="--calls 2500" [rows]="--calls 6000"
	[property]="--calls 6000 --shrink-s 0" [hot]="--seconds 24")
PASSED=0
FAILED=0

# make_and_install: the library as the source is now; the SQL stays.
make_and_install()
{
	as_user make -C "$SRC" -j"$(nproc)" with_llvm=no \
		PG_CONFIG="$(bin plants)/pg_config" >"$WORK/make.log" 2>&1 </dev/null &&
		as_user make -C "$SRC" install with_llvm=no \
			PG_CONFIG="$(bin plants)/pg_config" >>"$WORK/make.log" 2>&1 </dev/null
}

# here COMMAND...: as the user, with the connection in the environment.
here()
{
	as_user env PGHOST="$WORK/${ON:-plants}.s" PGPORT=$PORT PGUSER=postgres \
		PGISOLATIONTIMEOUT=5 PGDATABASE=plants "$@"
}

# specs_pass SPEC...: a bug may make them hang, so each step has five seconds.
specs_pass()
{
	here timeout 120 "$(bin plants)/../lib/pgxs/src/test/isolation/pg_isolation_regress" \
		--inputdir="$SRC/test/isolation" --outputdir="$WORK/home" \
		--bindir="$(bin plants)" --dbname=plants --load-extension=pg_teller \
		"$@" >"$WORK/specs.log" 2>&1 </dev/null
}

# restart_preloaded: so that the preloaded library is the one that was built.
restart_preloaded()
{
	stop_cluster plants "$WORK/preloaded.d" && start_cluster plants "$WORK/preloaded.d"
}

# run_passes RUN: in a database of its own.  Its output is in RUN.log.
run_passes()
{
	poll 60 "$(bin plants)/pg_isready" -q -h "$WORK/plants.s" -p $PORT
	here "$(bin plants)/psql" -X -q -d postgres -c "DROP DATABASE IF EXISTS $1" \
		-c "CREATE DATABASE $1" >/dev/null 2>&1
	# shellcheck disable=SC2086
	here env PGDATABASE="$1" TELLER_PREFIX="$WORK/plants" timeout 240 "$SRC/test/$1/run.sh" \
		${ARGUMENTS[$1]} ${MORE:-} >"$WORK/$1.log" 2>&1 </dev/null
}

# run_fails RUN: it ended, and not well.  One that hangs proves nothing.
run_fails()
{
	local status=0
	run_passes "$1" || status=$?
	[ $status -ne 0 ] && [ $status -ne 124 ]
}

# run_of PLANT: the run that is to catch it.
run_of()
{
	basename "${1%/plants/*}"
}

field()
{
	sed -n "s/^# $1: //p" "$2"
}

verdict()
{
	if [ "$1" = ok ]; then
		PASSED=$((PASSED + 1))
	else
		FAILED=$((FAILED + 1))
	fi
	shift
	say "$*"
}

# catchers PLANT: who sees it, as words; nothing if nobody does.
catchers()
{
	local specs run more
	specs=$(field specs "$1")
	run=$(run_of "$1")
	more=$(field preloaded "$1")
	[ "$run" != hot ] && [ -z "$more" ] || restart_preloaded
	# shellcheck disable=SC2086
	[ -z "$specs" ] || ON=$([ "$run" != hot ] || echo preloaded) specs_pass $specs ||
		printf ' %s' $(sed -nE 's/^(test|not ok [0-9]+ *-) +([a-z_]+) .*/\2/p' <<<"$(
			grep -E 'FAILED|^not ok' "$WORK/specs.log")")
	ON=${more:+preloaded} MORE=$more run_fails "$run" && printf ' %s' "$run"
	if grep -q '^not ok - verify' "$WORK/$run.log"; then
		printf ' verify'
	fi
}

# failed_claims RUN: indented, each with how often and the first example.
failed_claims()
{
	sed -n 's/^not ok - /  | /p' "$WORK/$1.log" | cut -c 1-240
	if ! grep -qE '^[0-9]+ passed' "$WORK/$1.log"; then
		say "  | it did not end: $(tail -n 1 "$WORK/$1.log")"
	fi
}

# applies PLANT FILE: the bug is in FILE, in all the places that it needs.
applies()
{
	local hunks
	hunks=$(diff "$SRC/$2.sound" "$SRC/$2" | grep -c '^[0-9]')
	[ "$hunks" -gt 0 ] && [ "$hunks" = "$(field hunks "$1" | grep . || echo "$hunks")" ]
}

try_plant()
{
	local plant=$1 name file caught
	name=$(basename "$plant" .sed)
	file=$(field file "$plant")
	as_user cp "$SRC/$file" "$SRC/$file.sound"
	as_user sed -i -f "$plant" "$SRC/$file"
	if ! applies "$plant" "$file"; then
		verdict bad "not ok - NOT caught: $name does not apply to $file"
	elif ! make_and_install; then
		verdict bad "not ok - NOT caught: $name does not compile"
		grep -m 5 -E 'error' "$WORK/make.log"
	else
		caught=$(catchers "$plant")
		if [ -n "$caught" ]; then
			verdict ok "ok - caught: $name, by$caught"
			failed_claims "$(run_of "$plant")"
		else
			verdict bad "not ok - NOT caught: $name ($(sed -n 1s/..//p "$plant"))"
		fi
	fi
	as_user mv "$SRC/$file.sound" "$SRC/$file"
	as_user touch "$SRC/$file"
}

# sound_run RUN [ARGUMENT]: with the argument, on the server that preloads.
sound_run()
{
	if ON=${2:+preloaded} MORE=${2:-} run_passes "$1"; then
		verdict ok "ok - without a bug the run of $1${2:+ $2} passes"
	else
		verdict bad "not ok - without a bug the run of $1${2:+ $2} fails"
		cat "$WORK/$1.log"
	fi
}

# Without a bug nobody complains, or the rest would prove nothing.
try_sound()
{
	local run specs
	specs=$(cat "$SRC"/test/*/plants/*.sed | sed -n 's/^# specs: //p' | tr ' ' '\n' |
		sort -u)
	# shellcheck disable=SC2086
	if specs_pass $specs; then
		verdict ok "ok - without a bug no isolation spec fails"
	else
		verdict bad "not ok - without a bug an isolation spec fails"
		cat "$WORK/specs.log"
	fi
	for run in "${!ARGUMENTS[@]}"; do
		sound_run "$run"
	done
	sound_run property --hot
}

[ $# -lt 1 ] || ROOT=$(cd "$1" && pwd) || die "no directory $1"
need_postgres
need python3 python3-psycopg python3-hypothesis
begin
[ $# -lt 2 ] || ln -s "$2" "$WORK/plants"
SRC=$WORK/plants.src
build plants with_llvm=no || die "the build failed"
new_cluster plants plants "fsync = off" "deadlock_timeout = 100ms"
new_cluster plants preloaded "fsync = off" "shared_preload_libraries = 'pg_teller'" \
	"teller.fold_interval = 10ms"
try_sound
for plant in "$SRC"/test/*/plants/*.sed; do
	name=$(basename "$plant" .sed)
	case " ${PLANTS:-$name} " in
		*" $name "*) try_plant "$plant" ;;
	esac
done
say "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
