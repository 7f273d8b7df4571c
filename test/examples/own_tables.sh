#!/usr/bin/env bash
# Layer 1 in the docs: the chapter, the four classic mistakes under
# examples/own_tables, and the README's section, each typed in as it stands.
# Connects as PG* in the environment says, as a superuser; makes and drops the
# database own_tables.  Needs no preload.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

STATUS=0

drop()
{
	psql -X -q -d postgres -c "DROP DATABASE IF EXISTS own_tables WITH (FORCE)" 2>/dev/null
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
	psql -X -q -d postgres -c "CREATE DATABASE own_tables"
	psql -X -q -d own_tables -c "CREATE EXTENSION pg_teller"
	/usr/bin/python3 -B test/examples/run_page.py --database own_tables "$1" || STATUS=1
}

# A page that expects the wrong code to do right must fail, or the others say
# nothing.
notices_another_outcome()
{
	local page said
	page=$(mktemp)
	sed 's/^--> -1 /--> 0  /' examples/own_tables/check_then_act.md >"$page"
	said=$(STATUS=0; run_page "$page" 2>&1)
	rm -f "$page"
	[ "$(grep -c '^not ok' <<<"$said")" = 1 ] && grep -q '^# says: -1$' <<<"$said"
}

# Paths of tests that a page names, in backquotes.
paths_of_tests()
{
	grep -oE '`(test|sql|bench|scripts)/[^` ]+`' "$1" | tr -d '`' | sort -u
}

# A path with a star stands for at least one file.
all_tests_exist()
{
	local path missing=0
	for path in $(paths_of_tests "$1"); do
		if ! compgen -G "$path" >/dev/null; then
			echo "# no such test: $path"
			missing=1
		fi
	done
	[ "$missing" = 0 ] && [ -n "$(paths_of_tests "$1")" ]
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
run_page docs/own_tables.md
for page in check_then_act lost_update lock_order double_submit \
	other_patterns; do
	run_page "examples/own_tables/$page.md"
done
run_page docs/patterns.md
run_page README.md
claim "a race with another outcome than its page says is noticed" \
	notices_another_outcome
claim "every test that docs/patterns.md names is there" \
	all_tests_exist docs/patterns.md
for page in README.md docs/own_tables.md docs/patterns.md docs/architecture.md \
	examples/own_tables/*.md; do
	claim "every link of $page leads somewhere" all_links_lead_somewhere "$page"
done
exit "$STATUS"
