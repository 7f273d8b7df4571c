#!/usr/bin/env bash
# The long runs: every test, a long run over tables with another seed each day,
# both chaos runs at full length, and the bench.
#
#   scripts/nightly.sh [NAME...]	only these; the names are below, after "long"
#
# Ends with a summary, one line for each; the status is not zero when one of
# them failed.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

WANTED=" $* "
SUMMARY=()
STATUS=0

# long NAME COMMAND...: run it to its end, whatever the others did.
long()
{
	local name=$1 started=$SECONDS outcome=passed
	shift
	[[ $WANTED == "  " || $WANTED == *" $name "* ]] || return 0
	say "== $name"
	"$@" || { outcome=FAILED; STATUS=1; }
	SUMMARY+=("$(printf '%-16s %-8s %5d s' "$name" $outcome $((SECONDS - started)))")
}

long tests "$ROOT/scripts/test.sh"
long rows env TELLER_ROWS="--calls 200000 --seed $(date +%F)" \
	"$ROOT/scripts/test.sh" rows
long hot env TELLER_HOT="--seconds 900 --seed $(date +%F)" \
	"$ROOT/scripts/test.sh" hot
long property env TELLER_PROPERTY="--calls 200000 --seed $(date +%Y%m%d)" \
	"$ROOT/scripts/test.sh" property
long simulate env TELLER_SIMULATE="SEEDS=1000000 FIRST=$(date +%Y%m%d)000000" \
	"$ROOT/scripts/test.sh" simulate
long spin env TELLER_SPIN="3 2" "$ROOT/scripts/test.sh" spin
long last_hundred "$ROOT/test/chaos/last_hundred.sh" --rounds 1000
long withdrawals "$ROOT/test/chaos/withdrawals.sh" --withdrawals 10000
long bench "$ROOT/bench/run.sh"
say "== summary"
printf '%s\n' "${SUMMARY[@]}"
(( $# == 0 || $# == ${#SUMMARY[@]} )) || die "some of these are no names: $*"
exit $STATUS
