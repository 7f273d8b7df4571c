# A commit waits for a synchronous standby that is away.  Whoever has submitted
# may give up waiting, and the operation can be seen; it is not sent before its
# row, and that of its attempt, are on the standby, and not by a worker that is
# terminated while it waits.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use BankAndShop;
use PostgreSQL::Test::Cluster;
use Test::More;

my $w = BankAndShop->new(
	conf => "wal_level = replica\nmax_wal_senders = 5\nteller.shutdown_grace = '200ms'\n");
my $primary = $w->{shop};
my $standby = PostgreSQL::Test::Cluster->new('standby');

$primary->backup('copy');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;
$w->set('synchronous_standby_names', 'standby');
ok( $primary->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'}),
	'the standby is synchronous');
$w->withdraw('with it');
$w->becomes('with it', 'settled', 'with the standby there operations are sent');

# The session and the worker wait for the standby as backends of these types.
sub waits
{
	my ($type) = @_;

	return $primary->poll_query_until('postgres',
		qq{SELECT count(*) = 1 FROM pg_stat_activity
		   WHERE wait_event = 'SyncRep' AND backend_type = '$type'});
}

$standby->stop('immediate');

# ---- the session gives up waiting ----

my $session = $primary->background_psql('shop', on_error_stop => 0);
$session->query_until(qr/submitted/,
	q{\echo submitted
	SELECT state FROM teller.withdraw(1, 2, 'bank', 10, 'carol', 'without');
});
ok(waits('client backend'), 'the submission waits for the standby');
$primary->safe_psql('postgres',
	q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'});
ok( $primary->poll_query_until('shop',
		q{SELECT count(*) = 1 FROM teller.operation WHERE nonce = 'without'}),
	'it gives up, and the operation can be seen');

# ---- the worker waits in its place ----

$w->shop('SELECT teller.wake()');
ok(waits('pg_teller worker'), 'the worker waits before it sends');
is($w->bank(q{SELECT count(*) FROM teller.memo}), '1', 'the bank has not heard of it');

# ---- and may be told to wait no longer ----

my $pid = $primary->safe_psql('postgres',
	q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_teller worker' AND datname = 'shop'});
$primary->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
ok( $primary->poll_query_until('shop',
		q{SELECT count(*) > 0 FROM teller.attempt WHERE outcome = 'not_sent'}),
	'its wait is cancelled, and it does not send');
ok(waits('pg_teller worker'), 'it waits again with the next attempt');
is($w->bank(q{SELECT count(*) FROM teller.memo}), '1', 'the bank has still not heard of it');

# ---- or to stop ----

$primary->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok( $primary->poll_query_until('postgres',
		qq{SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid}),
	'the worker is terminated while it waits');
is($w->bank(q{SELECT count(*) FROM teller.memo}), '1', 'and has sent nothing');

# ---- the standby takes over without having seen any of it ----

$primary->stop('immediate');
$standby->start;
$standby->promote;
$w->{shop} = $standby;
ok($w->worker_is('not_adopted'), 'the standby takes over, and as it has not streamed since its start it waits for a person');
is($w->shop('SELECT teller.adopt_instance()'), '0', 'who adopts it');
is($w->operation('without', 'count(*)'), '0', 'the submission that nobody waited for is not there');
is($w->bank(q{SELECT count(*) FROM teller.memo}), '1', 'and was not sent');

$w->withdraw('without');
$w->becomes('without', 'settled', 'it is repeated, and sent');
$w->books_agree('after the promotion');

$w->stop;
done_testing();
