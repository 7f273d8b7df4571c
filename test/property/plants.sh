#!/usr/bin/env bash
# Is the property test worth anything?  Build pg_teller with one bug at a time,
# planted by plants/*.sed, and see that the test finds it, and tells it by a
# short example.
#
#   test/property/plants.sh [SOURCE]
#
# SOURCE: the checkout; the bugs go into a copy of it, and into a private
# PostgreSQL.  PLANTS="name name" plants only these.

. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

CALLS=12000
SHRINK_S=30
STATEMENTS=25					# of an example, with the ten that open the book
PASSED=0
FAILED=0

verdict()
{
	case $1 in
		ok) PASSED=$((PASSED + 1)) ;;
		*) FAILED=$((FAILED + 1)) ;;
	esac
	say "$*"
}

# make_and_install: the library as the source is now; the SQL stays.
make_and_install()
{
	as_user make -C "$SRC" -j"$(nproc)" with_llvm=no install \
		PG_CONFIG="$(bin plants)/pg_config" >"$WORK/make.log" 2>&1 </dev/null
}

# property: one run in a database of its own; its output is in property.log.
property()
{
	psql_in plants plants postgres -c 'DROP DATABASE IF EXISTS property' \
		-c 'CREATE DATABASE property' >/dev/null 2>&1
	psql_in plants plants property -c 'CREATE EXTENSION pg_teller' >/dev/null
	as_user env PGHOST="$WORK/plants.s" PGPORT=$PORT PGUSER=postgres \
		PGDATABASE=property timeout 300 "$SRC/test/property/run.sh" \
		--calls $CALLS --shrink-s $SHRINK_S >"$WORK/property.log" 2>&1 </dev/null
}

try_plant()
{
	local plant=$1 name file statements
	name=$(basename "$plant" .sed)
	file=$(sed -n 's/^# file: //p' "$plant")
	as_user cp "$SRC/$file" "$SRC/$file.sound"
	as_user sed -i -f "$plant" "$SRC/$file"
	if cmp -s "$SRC/$file" "$SRC/$file.sound"; then
		verdict "not ok" "- $name does not apply to $file"
	elif ! make_and_install; then
		verdict "not ok" "- $name does not compile"
		grep -m 5 -E 'error' "$WORK/make.log"
	elif property || ! grep -q '^not ok' "$WORK/property.log"; then
		verdict "not ok" "- NOT caught: $name ($(sed -n 1s/..//p "$plant"))"
		tail -n 5 "$WORK/property.log"
	else
		statements=$(grep -cE '^  [A-Z]: ' "$WORK/property.log")
		if [ "$statements" -le $STATEMENTS ]; then
			verdict ok "- caught: $name, by $statements statements"
		else
			verdict "not ok" "- caught, but by a long example: $name, $statements statements"
			cat "$WORK/property.log"
		fi
	fi
	[ -z "${TELLER_VERBOSE:-}" ] || cat "$WORK/property.log"
	as_user mv "$SRC/$file.sound" "$SRC/$file"
	as_user touch "$SRC/$file"
}

# Without a bug nobody complains, or the rest would prove nothing.
try_sound()
{
	if property; then
		verdict ok "- without a bug nothing is found"
	else
		verdict "not ok" "- without a bug something is found"
		cat "$WORK/property.log"
	fi
}

[ $# -lt 1 ] || ROOT=$(cd "$1" && pwd) || die "no directory $1"
need_postgres
need python3 python3-psycopg python3-hypothesis
begin
SRC=$WORK/plants.src
build plants with_llvm=no || die "the build failed"
new_cluster plants plants "fsync = off"
try_sound
for plant in "$SRC"/test/property/plants/*.sed; do
	name=$(basename "$plant" .sed)
	case " ${PLANTS:-$name} " in
		*" $name "*) try_plant "$plant" ;;
	esac
done
say "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
