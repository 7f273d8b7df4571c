#!/usr/bin/env bash
# Go through every state of operation.pml, for each kind of remote.
#
#   test/spin/run.sh [FAULTS [FAULTS-FOR-LIVENESS]]
#
# FAULTS: how many things go wrong in one run, 2 unless told.  The second is for
# the question whether every operation ends, which costs ten times as much; 1
# unless told.  Needs spin and gcc, and up to 1 GB for FAULTS 3.  Prints an `ok`
# or `not ok` line for each claim; the status is not 0 if one does not hold.

set -u
MODEL=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/operation.pml
FAULTS=${1:-2}
LIVE_FAULTS=${2:-1}
FAILED=0

for program in spin gcc; do
	command -v $program >/dev/null ||
		{ echo "run.sh: needs $program (apt-get install $program)" >&2; exit 1; }
done
WORK=$(mktemp -d) || exit 1
trap 'rm -rf "$WORK"' EXIT
cd "$WORK" || exit 1

# search KIND SETTINGS: its output is in log.  KIND is safety or liveness.
search()
{
	local kind=$1 build=(-O2 -DCOLLAPSE -DMEMLIM=4000) options=(-n -m2000000)
	shift
	if [ "$kind" = safety ]; then
		build+=(-DSAFETY -DNOCLAIM)
	else
		build+=(-DNFAIR=3)
		options+=(-a -f)
	fi
	rm -f pan* ./*.trail
	cp "$MODEL" operation.pml
	spin "$@" -a operation.pml >log 2>&1 && gcc "${build[@]}" -o pan pan.c >>log 2>&1 &&
		./pan "${options[@]}" >log 2>&1
}

# complete: nothing was found, and nothing was left out.
complete()
{
	grep -q 'errors: 0$' log && ! grep -qE 'Search not completed|truncated|too small' log
}

states()
{
	printf '%s states, %s s' "$(awk '/states, stored/ { print $1 }' log)" \
		"$(awk '/elapsed time/ { print $4 }' log)"
}

# holds CLAIM KIND SETTINGS: nothing in any state is against it.
holds()
{
	local claim=$1
	shift
	search "$@"
	if complete; then
		echo "ok - $claim ($(states))"
	else
		FAILED=1
		echo "not ok - $claim"
		tail -n 20 log
		[ ! -f operation.pml.trail ] || show_trail "${@:2}"
	fi
}

# What led there, one line for each step that did something.
show_trail()
{
	spin "$@" -t -p operation.pml | sed -n 's/^ *[0-9]*:	proc  *[0-9]* //p' | tail -n 60
}

# finds BUG NUMBER: the same search, with a bug in it.
finds()
{
	search safety -DHONOURS=1 -DFENCE=1 -DLOOKUP=1 -DATTEMPTS=2 \
		-DFAULTS="$FAULTS" -DPLANT="$2"
	if grep -q 'assertion violated' log; then
		echo "ok - caught: $1, $(sed -n 's/^pan:1: //p' log | head -n 1)"
	else
		FAILED=1
		echo "not ok - NOT caught: $1"
		tail -n 20 log
	fi
}

REMOTES="1:1:1:memos,_fence_and_lookup
1:1:0:memos_and_fence
1:0:1:memos_and_lookup
1:0:0:memos_alone
0:0:1:no_memos,_lookup"

while IFS=: read -r honours fence lookup name; do
	settings=(-DHONOURS="$honours" -DFENCE="$fence" -DLOOKUP="$lookup" -DATTEMPTS=2)
	holds "${name//_/ }: at most one effect, no refund of an executed call" \
		safety "${settings[@]}" -DFAULTS="$FAULTS"
	holds "${name//_/ }: every operation ends" \
		liveness "${settings[@]}" -DFAULTS="$LIVE_FAULTS"
done <<<"$REMOTES"
finds "refund on timeout" 1
finds "send before flush" 2
exit $FAILED
