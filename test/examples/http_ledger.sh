#!/usr/bin/env bash
# examples/http_ledger as its README says: the certificate, the service, the
# server; a withdrawal settles.  Its own database, on the cluster of PG*, whose
# worker makes the call.
set -u
cd "$(dirname "$0")/../.." || exit 1

if [ ! -e "$(pg_config --pkglibdir)/teller_http.so" ]; then
	echo "ok - http_ledger # skip teller_http was built without libcurl"
	exit 0
fi
export PYTHONDONTWRITEBYTECODE=1
WORK=$(mktemp -d)
SERVICE=
finish()
{
	[ -z "$SERVICE" ] || kill "$SERVICE"
	psql -X -q -d postgres -c 'DROP DATABASE IF EXISTS http_ledger' 2>/dev/null
	rm -rf "$WORK"
}
trap finish EXIT

claim()
{
	if [ "$2" = "$3" ]; then
		echo "ok - $1"
	else
		echo "not ok - $1: $2"
		FAILED=1
	fi
}
FAILED=0

# The README's commands, with paths and a port of our own.
eval "$(sed -n '/^openssl req/,/^chmod/p' examples/http_ledger/README.md |
	sed "s#ledger\.\(key\|crt\)#$WORK/ledger.\1#g")" 2>/dev/null
eval "$(sed -n '/^python3 http_ledger.py/,/^```/p' examples/http_ledger/README.md | grep -v '^```' |
	sed -e "s#ledger\.\(key\|crt\)#$WORK/ledger.\1#g" -e 's#8443#0#' \
		-e "s#http_ledger.py#examples/http_ledger/http_ledger.py --db $WORK/books --ports $WORK/ports#") \
	>$WORK/log 2>&1 &"
SERVICE=$!
deadline=$((SECONDS + 60))
until [ -e "$WORK/ports" ] || [ "$SECONDS" -ge "$deadline" ]; do
	read -r -t 0.1 <> <(:)
done
if [ ! -e "$WORK/ports" ]; then
	echo "not ok - the service starts: $(tail -n 1 "$WORK/log")"
	exit 1
fi
read -r port <"$WORK/ports"

psql -X -q -d postgres -c 'CREATE DATABASE http_ledger' >/dev/null
psql -X -q -At -d http_ledger >/dev/null <<-'SQL'
	CREATE EXTENSION pg_teller;
	SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
	SELECT teller.open_account(1, 1, 'USD', 'world', min_balance => NULL);
	SELECT teller.open_account(1, 2, 'USD', 'alice');
	SELECT status FROM teller.transfer(1, 1, 2, 100);
SQL
sed -n '/^CREATE SERVER/,/^SELECT \* FROM teller.withdraw/p' examples/http_ledger/README.md |
	sed -e "s#/path/to#$WORK#" -e "s#:8443#:$port#" |
	psql -X -q -At -v ON_ERROR_STOP=1 -d http_ledger >"$WORK/said" 2>&1
claim "check_server finds nothing wrong" "$(grep -c '^[a-z_]*|f|' "$WORK/said") $(grep -c '^contract|t|' "$WORK/said")" "0 1"
claim "the withdrawal settles" "$(psql -X -q -At -d http_ledger \
	-c "SELECT teller.await(1, id, '30 s') FROM teller.operation")" settled
claim "our book is sound" "$(psql -X -q -At -d http_ledger -c 'SELECT count(*) FROM teller.verify()')" 0
claim "the service has paid it" "$(python3 -c "
import sqlite3
print(sqlite3.connect('$WORK/books').execute(\"SELECT balance FROM account WHERE name = 'carol'\").fetchone()[0])")" 70.00
exit $FAILED
