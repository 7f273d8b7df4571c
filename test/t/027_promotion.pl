# A standby is promoted while withdrawals are submitted and sent, and some of
# what the primary did last is missing there.  It adopts itself; nothing is
# sent twice, every operation ends, and both books agree.  Where a server
# cannot be asked it waits for a person.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use BankAndShop;
use PostgreSQL::Test::Cluster;
use Test::More;

my $w = BankAndShop->new(
	conf => "wal_level = replica\nmax_wal_senders = 5\nteller.backoff_max = '20ms'\n");
my $primary = $w->{shop};

sub make_standby
{
	my ($of, $name) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$of->backup($name);
	$standby->init_from_backup($of, $name, has_streaming => 1);
	$standby->start;
	$of->wait_for_catchup($standby);
	return $standby;
}

# Submit withdrawals one after the other, as payout ids count up.
sub submit_many
{
	my ($from, $to) = @_;

	$w->shop(join ';',
		map { "SELECT 1 FROM teller.withdraw(1, 2, 'bank', 1, 'carol', 'p$_')" } $from .. $to);
	return;
}

# ---- asynchronous, the last rows are lost ----

my $standby = make_standby($primary, 'standby');
submit_many(1, 20);
ok( $primary->poll_query_until('shop',
		q{SELECT count(*) = 20 FROM teller.operation WHERE state = 'settled'}),
	'withdrawals are sent');
my $gate = $w->close_gate;
submit_many(21, 30);
ok($w->gate_has(10), 'some are on their way');
$primary->wait_for_catchup($standby);

# From here on the standby gets nothing more.
unlink($primary->data_dir . '/pg_hba.conf');
$primary->append_conf('pg_hba.conf', "local all all trust\nhost all all all trust\n");
$primary->reload;
$primary->safe_psql('postgres',
	'SELECT pg_terminate_backend(pid) FROM pg_stat_replication');
ok($primary->poll_query_until('shop', 'SELECT count(*) = 0 FROM pg_stat_replication'),
	'the standby is cut off');
$gate->query_safe('SELECT gate.open()');
submit_many(31, 45);
ok( $primary->poll_query_until('shop',
		q{SELECT count(*) = 45 FROM teller.operation WHERE state = 'settled'}),
	'and the primary goes on and settles them all');
$gate->query_safe('SELECT gate.close()');
submit_many(46, 50);
ok($w->gate_has(5), 'the last are on their way');
$primary->stop('immediate');
$standby->promote;
$w->{shop} = $standby;

ok($standby->poll_query_until('shop', 'SELECT timeline = 2 FROM teller.instance'),
	'the promoted standby adopts itself');
ok( $standby->poll_query_until('shop',
		q{SELECT count(*) = 0 FROM teller.operation WHERE state NOT IN ('settled', 'refunded')}),
	'every operation ends');
ok($standby->log_contains('pg_teller carries on after the promotion of this server'),
	'and it is in the log');
is( $w->shop(
		q{SELECT count(*) FILTER (WHERE state = 'settled'), count(*) FROM teller.operation}),
	'30|30',
	'those that were on their way are settled on the word of the bank');

# What the standby never had; the last of it is executed only now.
$gate->query_safe('SELECT gate.open()');
ok( $w->{bank}->poll_query_until('bank', 'SELECT count(*) = 50 FROM teller.memo'),
	'the bank executes what the old primary had sent');
is( $w->shop(
		q{SELECT string_agg(verdict || ' ' || n, ', ' ORDER BY verdict)
		  FROM (SELECT verdict, count(*) AS n FROM teller.reconcile(1, 'bank') GROUP BY verdict) AS v}
	),
	'agrees 30, unknown_here 20',
	'reconcile() finds what was lost');
submit_many(1, 60);
ok( $standby->poll_query_until('shop',
		q{SELECT count(*) = 60 FROM teller.operation WHERE state = 'settled'}),
	'a client that repeats its payouts gets them settled');
is($w->bank(q{SELECT count(*) FROM teller.memo WHERE status = 'executed'}),
	'60', 'each has one effect');
$w->books_agree('after a promotion');

# ---- a server that cannot be asked ----

my $second = make_standby($standby, 'second');
$gate->query_safe('SELECT gate.close()');
submit_many(61, 63);
ok($w->gate_has(3), 'three are on their way');
$w->shop(
	q{CREATE SERVER silent FOREIGN DATA WRAPPER teller_postgres OPTIONS (dbname 'x', can_lookup 'off');
	SELECT teller.set_settlement_account(1, 'silent', 9)});
$standby->wait_for_catchup($second);
$standby->stop('immediate');
$second->promote;
$w->{shop} = $second;
ok($w->worker_is('not_adopted'), 'with a server that cannot look up it does not adopt itself');
ok( $second->poll_query_until('shop',
		q{SELECT last_error LIKE '%server "silent" has can_lookup off' FROM teller.worker_status WHERE database = 'shop'}),
	'and says why');
is($w->sqlstate(q{SELECT * FROM teller.withdraw(1, 2, 'bank', 1, 'carol', 'p64')}),
	'TL010', 'no operation is taken');
is( $w->shop(q{SELECT count(*) FROM teller.operation WHERE state = 'in_flight'}),
	'3', 'nothing changes');
$gate->query_safe('SELECT gate.open()');
is($w->shop('SELECT teller.adopt_instance()'), '3', 'until a person adopts it');
ok( $second->poll_query_until('shop',
		q{SELECT count(*) = 63 FROM teller.operation WHERE state = 'settled'}),
	'then every operation ends');
$w->books_agree('adopted by a person');

# ---- dispatch off: nobody wants it to carry on ----

my $third = make_standby($second, 'third');
$w->shop('DELETE FROM teller.settlement WHERE server = $$silent$$; DROP SERVER silent');
$second->wait_for_catchup($third);
$third->append_conf('postgresql.conf', "teller.dispatch = off\n");
$third->reload;
$third->promote;
$w->{shop} = $third;
ok($w->worker_is('not_adopted'), 'with dispatch off it does not adopt itself');
$third->restart;
ok($w->worker_is('not_adopted'), 'it is restarted');
$w->set('teller.dispatch', 'on');
is($w->shop('SELECT teller.wake()'), '', 'and dispatch is turned on');
is($w->sqlstate(q{SELECT * FROM teller.withdraw(1, 2, 'bank', 1, 'carol', 'p64')}),
	'TL010', 'after a restart nothing tells a promotion from a restore');

$gate->quit;
$second->stop;
$w->stop;
done_testing();
