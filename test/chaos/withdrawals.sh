#!/usr/bin/env bash
# 10,000 withdrawals by 8 clients through a bank that loses 5 % of its replies
# after executing, while the worker is terminated every 2 seconds and every
# tenth time killed with -9, which restarts the server.  At the end every one is
# settled and both books agree.
#
#   test/chaos/withdrawals.sh [--withdrawals N] [--clients N] [--lose FRACTION]
#                             [--delay SECONDS] [--kill-every SECONDS]
#                             [--hard-every N] [--rate PER-SECOND]
#                             [--forget FRACTION] [--seed N]
#
# --rate is how fast the clients submit, 100 a second if not given, so that the
# run lasts for several restarts; 0: as fast as they can.

. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

need_postgres
need python3 python3-psycopg
begin
build chaos || die "the build failed"
copy_source "$WORK/source"
new_cluster chaos shop "shared_preload_libraries = 'pg_teller'"
new_cluster chaos bank
as_user mkdir -m 700 "$WORK/line"
make_bank chaos bank || die "cannot make the bank"
make_shop chaos shop "$WORK/line" || die "cannot make the shop"
attend become python3 "$WORK/source/test/chaos/withdrawals.py" \
	--shop-socket "$WORK/shop.s" --bank-socket "$WORK/bank.s" \
	--line "$WORK/line" --port $PORT "$@"
status=$?
no_surprise shop bank || status=1
exit $status
