#!/usr/bin/env bash
# What pg_teller does, shown on a private PostgreSQL that goes away afterwards.
#
#   scripts/demo.sh            the demonstration, about a minute
#   scripts/demo.sh --shell    the same, then psql on the shop's database
#
# Needs only bash and apt; installs the packages that are missing.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

WITHDRAWALS=200
KILL_AFTER=60					# settled withdrawals
PRICE=10.00
SHELL_WANTED=

for argument in "$@"; do
	case $argument in
		--shell) SHELL_WANTED=yes ;;
		*) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
done

title()
{
	if [ -t 1 ]; then
		printf '\n\033[1m%s\033[0m\n' "$*"
	else
		printf '\n%s\n' "$*"
	fi
}

shop()
{
	psql_in demo demo shop "$@"
}

bank()
{
	psql_in demo demo bank "$@"
}

# One value; nothing while the server is away.
shop_value()
{
	shop -At -c "$1" 2>/dev/null
}

# ---------------------------------------------------------------------------
# Two sessions, one statement at a time
# ---------------------------------------------------------------------------

# open_session NAME: a psql that stays, with a pipe for its statements.
declare -A TO=()
open_session()
{
	local pipe=$WORK/$1.in fd
	mkfifo "$pipe"
	chmod 666 "$pipe"
	: >"$WORK/$1.out"
	(become "$(bin demo)/psql" -X -q -At -v VERBOSITY=terse -h "$WORK/demo.s" \
		-p $PORT -U postgres -d shop <"$pipe" >>"$WORK/$1.out" 2>&1) &
	CHILDREN+=($!)
	exec {fd}>"$pipe"
	TO[$1]=$fd
}

# tell NAME STATEMENT: send it, and wait for nothing.
tell()
{
	: >"$WORK/$1.out"
	printf '%s;\n\\echo answered\n' "$2" >&"${TO[$1]}"
}

# answer NAME: what the last statement gave.
answer()
{
	poll 60 grep -qx answered "$WORK/$1.out" || die "session $1 is stuck"
	grep -vx answered "$WORK/$1.out" | sed 's/^ERROR: *//'
}

ask()
{
	tell "$1" "$2"
	answer "$1"
}

close_session()
{
	local fd=${TO[$1]}
	exec {fd}>&-
	unset "TO[$1]"
	rm -f "$WORK/$1.in"
}

line()
{
	if [ -n "${2:-}" ]; then
		printf '  %-36s %s\n' "$1" "$2"
	else
		printf '  %s\n' "$1"
	fi
}

# ---------------------------------------------------------------------------
# The six acts
# ---------------------------------------------------------------------------

act_naive()
{
	local left right
	title "1. Check, then act: how two sessions drain an account"
	say "An account has 100.00.  Two sessions each read the balance, find it"
	say "sufficient, pay out 100.00 and write back what should be left."
	say
	shop -c "CREATE TABLE naive (owner text PRIMARY KEY, balance numeric NOT NULL)" \
		-c "CREATE TABLE naive_payout (paid_by text, amount numeric)" \
		-c "INSERT INTO naive VALUES ('alice', 100.00)"
	open_session left
	open_session right
	line "session A" "session B"
	line "---------" "---------"
	left=$(ask left "BEGIN; SELECT balance FROM naive WHERE owner = 'alice'")
	line "reads $left: enough"
	right=$(ask right "BEGIN; SELECT balance FROM naive WHERE owner = 'alice'")
	line "" "reads $right: enough"
	ask left "INSERT INTO naive_payout VALUES ('A', 100.00);
		UPDATE naive SET balance = $left - 100.00 WHERE owner = 'alice'; COMMIT"
	line "pays out 100.00, writes 0.00"
	ask right "INSERT INTO naive_payout VALUES ('B', 100.00);
		UPDATE naive SET balance = $right - 100.00 WHERE owner = 'alice'; COMMIT"
	line "" "pays out 100.00, writes 0.00"
	close_session left
	close_session right
	say
	shop -P footer=off -c "SELECT 100.00 AS \"there was\",
		(SELECT sum(amount) FROM naive_payout) AS \"paid out\",
		(SELECT balance FROM naive) AS \"the table says\""
	say "200.00 were paid out of 100.00, and the table does not even show it."
}

act_transfer()
{
	local left right
	title "2. The same two sessions with teller.transfer"
	shop -c "SELECT teller.open_account(1, 11, 'USD', 'alice')" \
		-c "SELECT teller.open_account(1, 12, 'USD', 'bob')" \
		-c "SELECT id FROM teller.transfer(1, 1, 11, 100.00, key => 'alice-opens')" \
		>/dev/null
	open_session left
	open_session right
	line "session A" "session B"
	line "---------" "---------"
	left=$(ask left "BEGIN; SELECT status FROM teller.transfer(1, 11, 1, 100.00)")
	line "transfer of 100.00: $left"
	tell right "BEGIN; SELECT status FROM teller.transfer(1, 11, 1, 100.00)"
	poll 30 somebody_waits || die "session B does not wait"
	line "" "transfer of 100.00: waits for A"
	# The answer of B comes with A's commit, so the order of reading matters.
	printf 'COMMIT;\n' >&"${TO[left]}"
	line "commits"
	right=$(answer right)
	line "" "gets: $right"
	close_session left
	close_session right
	say
	shop -P footer=off -c "SELECT 100.00 AS \"there was\",
		(SELECT sum(amount) FROM teller.movement
		 WHERE debit_account = 11) AS \"paid out\",
		(SELECT posted FROM teller.balance(1, 11)) AS \"the ledger says\""
}

somebody_waits()
{
	[ "$(shop_value "SELECT count(*) FROM pg_stat_activity
		WHERE wait_event_type = 'Lock' AND datname = 'shop'")" = 1 ]
}

# The clients of act 3.  Each asks for one payout under its own nonce and waits
# for the end of it; one that loses its connection asks again, by the same
# nonce.  Every line of the log is one try.
write_clients()
{
	cat >"$WORK/client.sql" <<-SQL
	SELECT id, replayed FROM teller.withdraw(1, 13, 'bank', $PRICE,
		'savings', :'nonce') \gset
	SELECT :'replayed', teller.await(1, :'id', '30 s');
	SQL
	cat >"$WORK/clients.sh" <<-SH
	client()
	{
		local said tries=0
		until [ "\${said#*|}" = settled ]; do
			tries=\$((tries + 1))
			[ \$tries -lt 300 ] || exit 1
			[ \$tries = 1 ] || read -r -t 0.2 -u 3
			said=\$("$(bin demo)/psql" -X -q -At -h "$WORK/demo.s" -p $PORT \
				-U postgres -d shop -v ON_ERROR_STOP=1 -v nonce="payout-\$1" \
				-f "$WORK/client.sql" 2>/dev/null)
			[ -z "\$said" ] || printf '%s|%s\n' "\$1" "\$said"
		done
		printf 'done|%d\n' "\$tries"
	}
	trap 'trap - TERM; kill 0' TERM
	exec 3<> <(:)
	for number in \$(seq $WITHDRAWALS); do
		client "\$number" &
	done
	wait
	SH
	chmod 644 "$WORK/client.sql" "$WORK/clients.sh"
}

progress()
{
	shop -At -F ' ' -c "SELECT count(*), count(*) FILTER (WHERE state = 'settled'),
		coalesce(sum(amount) FILTER (WHERE state = 'settled'), 0.00)
		FROM teller.operation" 2>/dev/null
}

show_progress()
{
	local asked settled sum
	if read -r asked settled sum < <(progress); then
		printf '  %6d s   %9d   %7d   %11s\n' $((SECONDS - ACT_STARTED)) \
			"$asked" "$settled" "$sum"
	else
		printf '  %6d s   the server is restarting\n' $((SECONDS - ACT_STARTED))
	fi
}

settled()
{
	local asked settled sum
	read -r asked settled sum < <(progress) && [ "$settled" -ge "$1" ]
}

# watch_until COUNT: show the progress about once a second until COUNT are
# settled.
watch_until()
{
	local shown=-1 deadline=$((SECONDS + 120))
	until settled "$1"; do
		[ "$SECONDS" -lt "$deadline" ] || die "the withdrawals do not end"
		if [ "$SECONDS" != "$shown" ]; then
			shown=$SECONDS
			show_progress
		fi
		moment
	done
	show_progress
}

kill_worker()
{
	local pid
	pid=$(shop_value "SELECT pid FROM pg_stat_activity WHERE datname = 'shop'
		AND backend_type = 'pg_teller worker'")
	[ -n "$pid" ] || die "there is no worker"
	as_user kill -9 "$pid"
}

act_withdrawals()
{
	local clients line_said
	title "3. $WITHDRAWALS withdrawals at once, a bad bank, and kill -9"
	say "Each of $WITHDRAWALS clients withdraws $PRICE and waits for the result.  The bank"
	say "needs a fifth of a second for each, and every tenth time it pays but its"
	say "answer is lost.  After $KILL_AFTER payouts we kill the worker with -9, so PostgreSQL"
	say "restarts.  The clients then ask again, by the same nonce."
	say
	shop -c "SELECT teller.open_account(1, 13, 'USD', 'payouts')" \
		-c "SELECT id FROM teller.transfer(1, 1, 13, $WITHDRAWALS * $PRICE,
			key => 'payouts-funded')" >/dev/null
	write_clients
	ACT_STARTED=$SECONDS
	(become setsid bash "$WORK/clients.sh" >"$WORK/clients.log" 2>&1) &
	clients=$!
	CHILDREN+=("$clients")
	printf '  %8s   %9s   %7s   %11s\n' after submitted settled "settled USD"
	watch_until $KILL_AFTER
	say "           kill -9 of the worker"
	kill_worker
	watch_until $WITHDRAWALS
	wait "$clients"
	kill "$LINE"
	wait "$LINE"
	line_said=$(cat "$WORK/line.log")
	say
	shop -P footer=off -v "repeats=$(grep -c '^done|[^1]' "$WORK/clients.log")" \
		-v "lost=${line_said##* }" <<-'SQL'
	SELECT count(*) AS withdrawals,
		   count(*) FILTER (WHERE state = 'settled') AS settled,
		   (SELECT count(*) FROM teller.attempt) AS attempts,
		   :lost AS "answers lost",
		   :repeats AS "clients that asked again"
	FROM teller.operation;
	SQL
}

act_hold()
{
	title "4. A hold that nobody captures"
	say "Bob has 100.00.  A shop sets 30.00 aside for two seconds and forgets it."
	say
	shop -c "SELECT id FROM teller.transfer(1, 1, 12, 100.00, key => 'bob-opens')" \
		-c "SELECT id FROM teller.hold(1, 12, 11, 30.00, ttl => '2 s')" >/dev/null
	shop -P footer=off -c "SELECT 'held' AS \"now\", posted, pending_debit, available
		FROM teller.balance(1, 12)"
	poll 30 hold_has_expired || die "the hold did not expire"
	shop -P footer=off -c "SELECT 'expired' AS \"now\", posted, pending_debit, available
		FROM teller.balance(1, 12)"
	say "No client did that.  The worker did, and the journal says when:"
	say
	shop -P footer=off -c "SELECT kind, amount,
		round(extract(epoch FROM recorded_at - min(recorded_at) OVER ())::numeric, 2)
			AS \"seconds after\"
		FROM teller.movement WHERE hold_id IS NOT NULL AND debit_account = 12
		ORDER BY recorded_at"
}

hold_has_expired()
{
	[ "$(shop_value "SELECT count(*) FROM teller.movement
		WHERE kind = 'expire' AND debit_account = 12")" = 1 ]
}

act_verify()
{
	title "5. Do the books agree?"
	say "teller.verify() proves a ledger from its own history; every row it returns"
	say "is a defect.  Then both books are compared, withdrawal by withdrawal."
	say
	bank -At -F '|' -c "SELECT encode(memo, 'hex'), amount FROM teller.memo
		WHERE status = 'executed'" >"$WORK/bank.rows"
	{
		say "CREATE TEMP TABLE bank (memo text, amount numeric);"
		say "COPY bank FROM STDIN WITH (DELIMITER '|');"
		cat "$WORK/bank.rows"
		say '\.'
		cat <<-'SQL'
		SELECT count(o.id) AS "in our book", count(b.memo) AS "in the bank's",
			   sum(o.amount) AS "our sum", sum(b.amount) AS "the bank's",
			   count(*) FILTER (WHERE b.memo IS NULL) AS "only here",
			   count(*) FILTER (WHERE o.id IS NULL) AS "only there",
			   count(*) FILTER (WHERE o.amount <> b.amount) AS "differ"
		FROM (SELECT * FROM teller.operation WHERE state = 'settled') o
		FULL JOIN bank b ON b.memo = encode(o.memo, 'hex');
		SELECT 'shop' AS book, count(*) AS defects FROM teller.verify();
		SQL
	} | shop -P footer=off
	bank -P footer=off -c "SELECT 'bank' AS book, count(*) AS defects
		FROM teller.verify()"
	[ "$(shop_value "SELECT count(*) FROM teller.operation
		WHERE state <> 'settled'")" = 0 ] || die "not every withdrawal is settled"
	[ "$(wc -l <"$WORK/bank.rows")" = "$WITHDRAWALS" ] ||
		die "the bank's book is not ours"
	[ "$(shop_value 'SELECT count(*) FROM teller.verify()')" = 0 ] &&
		[ "$(bank -At -c 'SELECT count(*) FROM teller.verify()')" = 0 ] ||
		die "a book has defects"
	say "Every withdrawal was paid once."
}

# The service of act 6, and the ports it listens on.
start_service()
{
	as_user openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost -keyout "$WORK/home/http.key" \
		-out "$WORK/home/http.crt" 2>/dev/null || die "cannot make a certificate"
	(become /usr/bin/python3 -B "$WORK/source/examples/http_ledger/http_ledger.py" \
		--port 0 --control 0 --ports "$WORK/home/http.ports" \
		--db "$WORK/home/http.books" --cert "$WORK/home/http.crt" \
		--key "$WORK/home/http.key" --token 'for the demo' \
		--account shop:USD:1000.00 --account carol:USD:0 \
		>"$WORK/http.log" 2>&1) &
	CHILDREN+=($!)
	poll 30 test -s "$WORK/home/http.ports" || die "the HTTP ledger does not start"
	read -r HTTP_PORT CONTROL_PORT < <(tr '\n' ' ' <"$WORK/home/http.ports")
}

# service METHOD PATH [BODY]: the answer of its control port.
service()
{
	/usr/bin/python3 - "$CONTROL_PORT" "$@" <<-'PY'
	import sys, urllib.request
	port, method, path, *body = sys.argv[1:]
	request = urllib.request.Request(f"http://127.0.0.1:{port}{path}",
	    data=body[0].encode() if body else None, method=method)
	print(urllib.request.urlopen(request).read().decode())
	PY
}

act_http()
{
	local book
	title "6. A ledger behind HTTPS that loses its answers"
	say "The other ledger is a service of 400 lines of Python.  It pays, and then"
	say "breaks the connection instead of answering, for the first ten of 20 payouts."
	say
	start_service
	service POST /faults '{"verb": "execute", "fault": "lose", "times": 10}' >/dev/null
	shop -v "url=https://localhost:$HTTP_PORT" -v "ca=$WORK/home/http.crt" >/dev/null <<-'SQL'
	SELECT teller.open_account(1, 14, 'USD', 'web payouts'),
		teller.open_account(1, 15, 'USD', 'at the web ledger', min_balance => NULL);
	SELECT status FROM teller.transfer(1, 1, 14, 200.00, key => 'web-funded');
	CREATE SERVER web FOREIGN DATA WRAPPER teller_http
		OPTIONS (url :'url', ca_file :'ca', allow_private 'on');
	CREATE USER MAPPING FOR PUBLIC SERVER web OPTIONS (token 'for the demo');
	SELECT teller.set_settlement_account(1, 'web', 15);
	SELECT count(w.id) FROM generate_series(1, 20) AS n,
		teller.withdraw(1, 14, 'web', 10.00, 'carol', 'web-' || n) AS w;
	SQL
	poll 60 web_is_settled || die "the withdrawals through HTTP do not end"
	shop -P footer=off -c "SELECT count(*) AS withdrawals,
		count(*) FILTER (WHERE state = 'settled') AS settled, sum(attempts) AS attempts,
		(SELECT posted FROM teller.balance(1, 15)) AS \"we say they paid\"
		FROM teller.operation WHERE server = 'web'"
	book=$(service GET /books | /usr/bin/python3 -c 'import decimal, json, sys
paid = [m for m in json.load(sys.stdin)["memo"] if m["status"] == "executed"]
print(len(paid), sum(decimal.Decimal(m["amount"]) for m in paid))')
	say "Its own book has ${book% *} payouts of ${book#* } USD in all."
	[ "$book" = "20 200.00" ] || die "the book of the service is not ours"
	[ "$(shop_value 'SELECT count(*) FROM teller.verify()')" = 0 ] ||
		die "the book has defects"
}

web_is_settled()
{
	[ "$(shop_value "SELECT count(*) FROM teller.operation
		WHERE server = 'web' AND state = 'settled'")" = 20 ]
}

# ---------------------------------------------------------------------------

need_postgres
need python3 openssl
begin
say "building pg_teller"
build demo with_llvm=no || die "the build failed"
copy_source "$WORK/source"
say "starting a private PostgreSQL"
new_cluster demo demo "shared_preload_libraries = 'pg_teller'" \
	"max_connections = 300"
as_user mkdir -m 700 "$WORK/line"
make_bank demo demo || die "cannot make the bank"
make_shop demo demo "$WORK/line" || die "cannot make the shop"
(become python3 "$WORK/source/test/chaos/lossy_line.py" --listen "$WORK/line" \
	--to "$WORK/demo.s" --port $PORT --delay 0.2 --lose-every 10 \
	>"$WORK/line.log" 2>&1) &
LINE=$!
CHILDREN+=("$LINE")

act_naive
act_transfer
act_withdrawals
act_hold
act_verify
act_http
title "That was pg_teller, in ${SECONDS} seconds."
if [ -n "$SHELL_WANTED" ]; then
	say "You are in the shop's database; \\c bank is the bank's.  \\q ends it all."
	as_user env PAGER=cat "$(bin demo)/psql" -X -h "$WORK/demo.s" -p $PORT \
		-U postgres -d shop
fi
