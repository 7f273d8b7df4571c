#!/usr/bin/env bash
# Are the checkers worth anything?  Build pg_teller with one bug at a time,
# planted by plants/*.sed, and see that an isolation spec, the model run, or
# verify() within them, catches it.
#
#   test/model/plants.sh [SOURCE [PREFIX]]
#
# SOURCE: the checkout; the bugs go into a copy of it.  PREFIX: a private copy
# of PostgreSQL for this script alone, which installs the bugs into it; it
# belongs to the user who runs the clusters.  Without one it makes its own.
# PLANTS="name name" plants only these.

. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

CALLS=2500
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
	as_user env PGHOST="$WORK/plants.s" PGPORT=$PORT PGUSER=postgres \
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

# model_passes: in a database of its own.  Its output is in model.log.
model_passes()
{
	poll 60 "$(bin plants)/pg_isready" -q -h "$WORK/plants.s" -p $PORT
	here "$(bin plants)/psql" -X -q -d postgres -c 'DROP DATABASE IF EXISTS model' \
		-c 'CREATE DATABASE model' >/dev/null 2>&1
	here env PGDATABASE=model timeout 120 "$SRC/test/model/run.sh" \
		--calls $CALLS >"$WORK/model.log" 2>&1 </dev/null
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
	local specs
	specs=$(field specs "$1")
	# shellcheck disable=SC2086
	specs_pass $specs ||
		printf ' %s' $(sed -nE 's/^(test|not ok [0-9]+ *-) +([a-z_]+) .*/\2/p' <<<"$(
			grep -E 'FAILED|^not ok' "$WORK/specs.log")")
	model_passes || printf ' model'
	if grep -q '^not ok - verify' "$WORK/model.log"; then
		printf ' verify'
	fi
}

try_plant()
{
	local plant=$1 name file caught
	name=$(basename "$plant" .sed)
	file=$(field file "$plant")
	as_user cp "$SRC/$file" "$SRC/$file.sound"
	as_user sed -i -f "$plant" "$SRC/$file"
	if cmp -s "$SRC/$file" "$SRC/$file.sound"; then
		verdict bad "not ok - NOT caught: $name does not apply to $file"
	elif ! make_and_install; then
		verdict bad "not ok - NOT caught: $name does not compile"
		grep -m 5 -E 'error' "$WORK/make.log"
	else
		caught=$(catchers "$plant")
		if [ -n "$caught" ]; then
			verdict ok "ok - caught: $name, by$caught"
		else
			verdict bad "not ok - NOT caught: $name ($(sed -n 1s/..//p "$plant"))"
		fi
	fi
	as_user mv "$SRC/$file.sound" "$SRC/$file"
	as_user touch "$SRC/$file"
}

# Without a bug nobody complains, or the rest would prove nothing.
try_sound()
{
	# shellcheck disable=SC2046
	if specs_pass $(cat "$SRC"/test/model/plants/*.sed | sed -n 's/^# specs: //p' |
			tr ' ' '\n' | sort -u) && model_passes; then
		verdict ok "ok - without a bug nothing is caught"
	else
		verdict bad "not ok - without a bug something is caught"
		cat "$WORK/specs.log" "$WORK/model.log"
	fi
}

[ $# -lt 1 ] || ROOT=$(cd "$1" && pwd) || die "no directory $1"
need_postgres
need python3 python3-psycopg
begin
[ $# -lt 2 ] || ln -s "$2" "$WORK/plants"
SRC=$WORK/plants.src
build plants with_llvm=no || die "the build failed"
new_cluster plants plants "fsync = off" "deadlock_timeout = 100ms"
try_sound
for plant in "$SRC"/test/model/plants/*.sed; do
	name=$(basename "$plant" .sed)
	case " ${PLANTS:-$name} " in
		*" $name "*) try_plant "$plant" ;;
	esac
done
say "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
