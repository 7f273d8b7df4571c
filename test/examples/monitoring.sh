#!/usr/bin/env bash
# examples/monitoring/queries.yaml: every query runs as a role that has no more
# than the file says, and brings every column that the file names.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
STATUS=0
DB=monitoring
FILE=examples/monitoring/queries.yaml

sql()
{
	psql -X -q -A -v ON_ERROR_STOP=1 -d "$DB" "$@"
}

# wanted NAME: the columns that the file names for this query.
wanted()
{
	awk -v name="$1:" '$0 ~ /^[a-z]/ { here = $1 == name }
		here && $1 == "-" { sub(":", "", $2); print $2 }' $FILE | paste -sd '|'
}

psql -X -q -d postgres -c "CREATE DATABASE $DB" || exit 1
sql -c 'CREATE EXTENSION pg_teller' -c 'CREATE ROLE exporter' \
	-c 'GRANT pg_monitor TO exporter' -c 'GRANT USAGE ON SCHEMA teller TO exporter' || exit 1
count=0
while IFS=$'\t' read -r name query; do
	count=$((count + 1))
	got=$(sql -c 'SET ROLE exporter' -c "$query" 2>&1 | head -n 1)
	if [ "$got" = "$(wanted "$name")" ]; then
		echo "ok - queries.yaml: $name brings the columns that it names"
	else
		echo "not ok - queries.yaml: $name brings the columns that it names"
		echo "# $got"
		STATUS=1
	fi
done < <(awk '/^[a-z]/ { name = $1; sub(":", "", name) }
	/^  query:/ { sub(/^  query: "/, ""); sub(/"$/, ""); print name "\t" $0 }' $FILE)
if [ "$count" -ge 3 ]; then
	echo "ok - queries.yaml: $count queries are read"
else
	echo "not ok - queries.yaml: only $count queries are read"
	STATUS=1
fi
psql -X -q -d postgres -c "DROP DATABASE $DB" -c 'DROP ROLE exporter'
exit $STATUS
