#!/usr/bin/env bash
# The recipes, docs/recipes.md, typed in as they stand, and their links.
# Connects as PG* in the environment says, as a superuser; makes and drops the
# database recipes and the roles payments, clerk and manager.  Needs no preload.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

STATUS=0

drop()
{
	psql -X -q -d postgres -c "DROP DATABASE IF EXISTS recipes WITH (FORCE)" 2>/dev/null
	psql -X -q -d postgres -c "DROP ROLE IF EXISTS payments, clerk, manager" 2>/dev/null
}

# run_page PAGE: in a database of its own.
run_page()
{
	drop
	psql -X -q -d postgres -c "CREATE DATABASE recipes"
	/usr/bin/python3 -B test/examples/run_page.py --database recipes "$1"
}

# A limit that is measured before the account is locked must be seen to let
# both pass, or the page says nothing.
notices_a_late_lock()
{
	local page said
	page=$(mktemp)
	sed 's/^    PERFORM teller.lock_accounts(1, ARRAY\[debit, credit\]);$//' docs/recipes.md >"$page"
	said=$(run_page "$page" 2>&1)
	rm -f "$page"
	grep -q '^not ok - recipes: two payments at once' <<<"$said"
}

all_links_lead_somewhere()
{
	local link broken=0
	for link in $(grep -oE '\]\([^)#]+' docs/recipes.md | cut -c3- | grep -v '^https\?:' | sort -u); do
		if [ ! -e "docs/$link" ]; then
			echo "# docs/recipes.md: no such file: $link"
			broken=1
		fi
	done
	[ "$broken" = 0 ]
}

# claim WORDS COMMAND...: one line for the outcome of the command.
claim()
{
	local words=$1
	shift
	if "$@"; then
		echo "ok - $words"
	else
		echo "not ok - $words"
		STATUS=1
	fi
}

trap drop EXIT
run_page docs/recipes.md || STATUS=1
claim "recipes: a limit measured without the lock is noticed" notices_a_late_lock
claim "every link of docs/recipes.md leads somewhere" all_links_lead_somewhere
exit "$STATUS"
