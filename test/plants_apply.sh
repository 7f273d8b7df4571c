#!/usr/bin/env bash
# Does each planted bug (plants.sh) still find its place in the source?  A change
# of the source may leave one behind; here that shows at once.
#
#   test/plants_apply.sh
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

STATUS=0
for plant in test/*/plants/*.sed; do
	file=$(sed -n 's/^# file: //p' "$plant")
	wanted=$(sed -n 's/^# hunks: //p' "$plant")
	found=$(sed -f "$plant" "$file" | diff "$file" - | grep -c '^[0-9]')
	if [ "$found" -gt 0 ] && [ "$found" = "${wanted:-$found}" ]; then
		echo "ok - $(basename "$plant" .sed) applies to $file"
	else
		echo "not ok - $(basename "$plant" .sed) does not apply to $file"
		STATUS=1
	fi
done
exit $STATUS
