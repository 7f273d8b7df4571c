#!/usr/bin/env bash
# The chapters on accounts with many users, docs/transfer_early.md and
# docs/hot_accounts.md, typed in as they stand, and their links.  Connects as
# PG* in the environment says, as a superuser; makes and drops the database
# page.  Needs the preload.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

STATUS=0

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

drop()
{
	psql -X -q -d postgres -c "DROP DATABASE IF EXISTS page WITH (FORCE)" 2>/dev/null
}

links_lead_to_files()
{
	local link missing=0
	for link in $(grep -oE '\]\([^)#]+' "$1" | cut -c3-); do
		[ -e "docs/$link" ] || { echo "# there is no $link"; missing=1; }
	done
	[ "$missing" = 0 ]
}

for page in docs/transfer_early.md docs/hot_accounts.md; do
	drop
	psql -X -q -d postgres -c "CREATE DATABASE page" -c '\c page' \
		-c "CREATE EXTENSION pg_teller"
	/usr/bin/python3 -B test/examples/run_page.py --database page "$page" || STATUS=1
	claim "the links of $page lead to files" links_lead_to_files "$page"
done
drop
exit $STATUS
