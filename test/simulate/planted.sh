#!/usr/bin/env bash
# Is the simulator worth anything?  Compile it with one bug at a time, and see
# within how many seeds it is caught.
#
#   test/simulate/planted.sh [NAME...]
#
# A bug is planted/NAME.sed: its first line says what is wrong then, the second
# the file it goes into.  Prints `ok - caught: ...` or `not ok - ...` for each.

set -u
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
CC=${CC:-cc}
LIMIT=50000						# seeds
BUILD=build
FLAGS="-std=c11 -O1 -I../../src -I."
FAILED=0

compile()
{
	# shellcheck disable=SC2086
	$CC $FLAGS -c "$1" -o "$2"
}

# plant NAME FILE: the file with the bug in it, in the build directory.
plant()
{
	sed -f "planted/$1.sed" "../../$2" >"$BUILD/$1.c" &&
		! cmp -s "../../$2" "$BUILD/$1.c"
}

try()
{
	local name=$1 file other objects=()
	file=$(sed -n 's/^# file: //p' "planted/$name.sed")
	other=$BUILD/$(basename "$file" .c).o
	if ! plant "$name" "$file"; then
		say_not "$name does not apply to $file"
		return
	elif ! compile "$BUILD/$name.c" "$BUILD/$name.planted" 2>"$BUILD/log"; then
		say_not "$name does not compile"
		head -n 5 "$BUILD/log"
		return
	fi
	for object in "$BUILD"/*.o; do
		[ "$object" = "$other" ] || objects+=("$object")
	done
	$CC -x none "${objects[@]}" "$BUILD/$name.planted" -o "$BUILD/$name"
	if "$BUILD/$name" --until-failure --seeds $LIMIT >"$BUILD/log"; then
		say_not "NOT caught within $LIMIT seeds: $name ($(sed -n 1s/..//p "planted/$name.sed"))"
	else
		printf 'ok - caught: %s, %s\n' "$name" \
			"$(sed -n 's/^caught //p' "$BUILD/log")"
	fi
}

say_not()
{
	FAILED=1
	printf 'not ok - %s\n' "$*"
}

rm -rf $BUILD && mkdir $BUILD || exit 1
for source in *.c ../../src/operation_fsm.c; do
	compile "$source" "$BUILD/$(basename "$source" .c).o" || exit 1
done
names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(basename -s .sed planted/*.sed)
for name in "${names[@]}"; do
	try "$name"
done
exit $FAILED
