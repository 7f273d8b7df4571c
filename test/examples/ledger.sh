#!/usr/bin/env bash
# The chapter on the ledger, docs/ledger.md, typed in as it stands, and its
# links.  Connects as PG* in the environment says, as a superuser; makes and
# drops the database ledger_page.  Needs no preload.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

STATUS=0

drop()
{
	psql -X -q -d postgres -c "DROP DATABASE IF EXISTS ledger_page WITH (FORCE)" 2>/dev/null
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

# run_page PAGE: in a database of its own.
run_page()
{
	drop
	psql -X -q -d postgres -c "CREATE DATABASE ledger_page"
	/usr/bin/python3 -B test/examples/run_page.py --database ledger_page "$1"
}

# A page that tells another balance must fail, or the page says nothing.
notices_another_balance()
{
	local page said
	page=$(mktemp)
	sed 's/^ posted |  30.00 |        902.63$/ posted |  30.00 |        902.64/' docs/ledger.md >"$page"
	said=$(run_page "$page" 2>&1)
	rm -f "$page"
	[ "$(grep -c '^not ok' <<<"$said")" = 1 ] && grep -q '^#.*902\.63$' <<<"$said"
}

# Functions of the ledger, from the SQL that makes them; the chapters on the
# journal, evidence and verify have some of them.
every_function_is_named()
{
	local function functions missing=0
	functions=$(cd src/sql && sed -nE 's/^CREATE FUNCTION teller\.(\w+)\(.*/\1/p' \
		ledger.sql limits.sql transfer.sql post.sql hold.sql key.sql reading.sql feed.sql)
	for function in $functions; do
		if ! grep -qE "\`$function\`|teller\.$function\b" docs/ledger.md docs/hot_accounts.md docs/journal.md docs/evidence.md docs/verify.md 2>/dev/null; then
			echo "# in no chapter: $function"
			missing=1
		fi
	done
	[ "$missing" = 0 ] && [ "$(wc -w <<<"$functions")" -gt 25 ]
}

# Links of a page to files beside it.
all_links_lead_somewhere()
{
	local link broken=0
	for link in $(grep -oE '\]\([^)#]+' "$1" | cut -c3- | grep -v '^https\?:' | sort -u); do
		if [ ! -e "$(dirname "$1")/$link" ]; then
			echo "# $1: no such file: $link"
			broken=1
		fi
	done
	[ "$broken" = 0 ]
}

trap drop EXIT
run_page docs/ledger.md || STATUS=1
claim "a page that tells another balance is noticed" notices_another_balance
claim "every function of the ledger is in a chapter" every_function_is_named
for page in docs/ledger.md docs/settings.md docs/worker.md; do
	claim "every link of $page leads somewhere" all_links_lead_somewhere "$page"
done
exit "$STATUS"
