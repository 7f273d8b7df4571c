#!/usr/bin/env bash
# docs/features.md: every cell of ours says no, not yet, or links to what
# proves it; and every link leads to a file.  Needs no server.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
STATUS=0

# Rows of tables with one column for each of us, without their heads: the
# feature, a tab, and our cell.
our_cells()
{
	awk -F ' *[|] *' '
		/^\|/ && NF == 10 && $2 != "feature" && $2 !~ /^-+$/ { print $2 "\t" $9 }' \
		docs/features.md
}

# claim WORDS LIST: true if the list is empty.
claim()
{
	if [ -z "$2" ]; then
		echo "ok - $1"
	else
		echo "not ok - $1"
		printf '%s\n' "$2" | sed 's/^/# /'
		STATUS=1
	fi
}

unproven()
{
	our_cells | grep -vE $'\t(no|not yet)\\b' | grep -v '](' | cut -f1
}

empty()
{
	our_cells | awk -F '\t' '$2 == "" { print $1 }'
}

# A row that has a column more or less than its head.
misshapen()
{
	awk -F '|' '/^\| feature \|/ { in_table = 1 }
		!/^\|/ { in_table = 0 }
		in_table && NF != 10 { print $2 }' docs/features.md
}

broken()
{
	local link
	grep -oE '\]\([^)#]+' docs/features.md | cut -c3- | grep -v '^https\?:' | sort -u |
		while read -r link; do
			[ -e "docs/$link" ] || echo "$link"
		done
}

[ "$(our_cells | wc -l)" -ge 60 ] && few="" || few="only $(our_cells | wc -l)"
claim "docs/features.md: all its rows are read" "$few"
claim "docs/features.md: each row has a cell for everybody" "$(misshapen)"
claim "docs/features.md: no cell of ours is empty" "$(empty)"
claim "docs/features.md: each cell of ours is linked to its proof, or says no" "$(unproven)"
claim "docs/features.md: every link leads to a file" "$(broken)"
exit "$STATUS"
