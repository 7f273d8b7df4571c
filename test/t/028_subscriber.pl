# Logical replication of all tables to a second server with the extension: the
# second has the same rows and never sends, whether its subscription runs, is
# stopped or is gone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use BankAndShop;
use PostgreSQL::Test::Cluster;
use Test::More;

my $w = BankAndShop->new(
	conf => "wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\n");
my $publisher = $w->{shop};
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
my $options = $w->server_options('gate');

$subscriber->init(allows_streaming => 'logical');
$subscriber->append_conf('postgresql.conf',
	"shared_preload_libraries = 'pg_teller'\nteller.backoff_base = '20ms'\nteller.not_after_margin = '0s'\n");
$subscriber->start;
$subscriber->safe_psql('postgres', 'CREATE DATABASE shop');
$subscriber->safe_psql('shop',
	qq{CREATE EXTENSION pg_teller;
	CREATE SERVER bank FOREIGN DATA WRAPPER teller_postgres OPTIONS ($options);
	CREATE USER MAPPING FOR PUBLIC SERVER bank OPTIONS (user 'shop')});

sub there
{
	my ($state) = @_;

	return $subscriber->poll_query_until('shop',
		"SELECT count(*) > 0 AND bool_and(state = '$state') FROM teller.operation");
}

# The rows of the first are there, and nothing was done with them.
sub is_quiet
{
	my ($test) = @_;

	$subscriber->safe_psql('shop', 'SELECT teller.wake()');
	is( $subscriber->safe_psql('shop',
			q{SELECT state FROM teller.worker_status WHERE database = 'shop'}),
		'not_adopted',
		"$test: the second knows that it is one");
	my (undef, undef, $stderr) = $subscriber->psql('shop',
		q{SELECT * FROM teller.withdraw(1, 2, 'bank', 1, 'carol', 'of the second')},
		extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
	like($stderr, qr/TL010/, "$test: it takes no operation");
	return;
}

# ---- the first copy, with an operation on its way ----

my $gate = $w->close_gate;
$w->withdraw('first');
ok($w->gate_has(1), 'an operation is on its way');
$w->shop('CREATE PUBLICATION everything FOR ALL TABLES');
my $connection = sprintf('host=%s port=%d dbname=shop', $publisher->host, $publisher->port);
$subscriber->safe_psql('shop',
	"CREATE SUBSCRIPTION everything CONNECTION '$connection' PUBLICATION everything");
$subscriber->wait_for_subscription_sync($publisher, 'everything', 'shop');
ok(there('in_flight'), 'the tables are copied, the operation as it is');
ok( $subscriber->poll_query_until('shop',
		q{SELECT state = 'not_adopted' FROM teller.worker_status WHERE database = 'shop'}),
	'the worker there sees that this is a copy');
is_quiet('copied');

# ---- streaming ----

$gate->query_safe('SELECT gate.open()');
$w->becomes('first', 'settled');
$w->withdraw($_) foreach 'second', 'third';
$w->becomes($_, 'settled') foreach 'second', 'third';
$publisher->wait_for_catchup('everything');
ok(there('settled'), 'what becomes of them arrives');
is_quiet('streaming');
is( $subscriber->safe_psql('shop', 'SELECT * FROM teller.verify()'),
	'', 'the copy is sound');

# ---- the subscription gone, an operation open ----

$gate->query_safe('SELECT gate.close()');
$w->withdraw('fourth');
ok($w->gate_has(1), 'another one is on its way');
$publisher->wait_for_catchup('everything');
$subscriber->safe_psql('shop', 'DROP SUBSCRIPTION everything');
is_quiet('without its subscription');
$subscriber->restart;
ok( $subscriber->poll_query_until('shop',
		q{SELECT state = 'not_adopted' FROM teller.worker_status WHERE database = 'shop'}),
	'a restart changes nothing');
$gate->query_safe('SELECT gate.open()');
$w->becomes('fourth', 'settled', 'the first goes on');
is( $subscriber->safe_psql('shop',
		q{SELECT state, (SELECT count(*) FROM teller.attempt a WHERE a.operation_id = o.id)
		  FROM teller.operation o WHERE nonce = 'fourth'}),
	'in_flight|1',
	'the second has tried nothing of its own');
is($w->bank('SELECT count(*) FROM teller.memo'), '4', 'the bank heard of each once');
$w->books_agree('beside a subscriber');

$gate->quit;
$subscriber->stop;
$w->stop;
done_testing();
