# Hot accounts on a standby: read there, and used at once after a promotion.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PollAcrossRestarts;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'pg_teller'
teller.fold_interval = '10min'
});
$primary->start;
$primary->backup('base');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

$primary->safe_psql('postgres', 'CREATE DATABASE shop');
$primary->safe_psql(
	'shop', q{
	CREATE EXTENSION pg_teller;
	SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
	SELECT teller.open_account(1, 1, 'USD', min_balance => NULL);
	SELECT teller.open_account(1, 2, 'USD', hot => true);
	SELECT teller.open_account(1, 3, 'USD');
	SELECT teller.open_account(1, 4, 'USD');
});
$primary->safe_psql('shop', 'SELECT status FROM teller.transfer(1, 1, 2, 100)');
$primary->safe_psql('shop', q{SELECT status FROM teller.hold(1, 2, 3, 25, ttl => '1 day')});

my $open = $primary->background_psql('shop');
$open->query_safe('BEGIN; SELECT status FROM teller.transfer(1, 2, 4, 70)');
$primary->safe_psql('shop', 'SELECT status FROM teller.transfer(1, 2, 3, 5)');
$primary->wait_for_catchup($standby);

my $balance = 'SELECT posted, pending_debit, available FROM teller.balance(1, 2)';
is($standby->safe_psql('shop', $balance),
	'95.00|25.00|70.00', 'a standby reads what is not folded');
like(
	($standby->psql('shop', 'SELECT * FROM teller.transfer(1, 2, 3, 1)'))[2],
	qr/read-only|recovery/, 'and moves nothing');

$primary->stop('immediate');
$open->{run}->finish;
$standby->promote;
$standby->append_conf('postgresql.conf', "teller.fold_interval = '20ms'\n");
$standby->reload;

my $pay = q{SELECT status FROM teller.transfer(1, 2, 3, %s, on_denial => 'return')};
is($standby->safe_psql('shop', sprintf($pay, '70.01')),
	'denied', 'after a promotion it has no more than was committed');
is($standby->safe_psql('shop', sprintf($pay, '70')),
	'posted', 'and all of it');
is($standby->safe_psql('shop', $balance), '25.00|25.00|0.00', 'at once');
ok( $standby->poll_query_until('shop',
		'SELECT posted = 25 AND pending_debit = 25 FROM teller.account WHERE account_id = 2'),
	'the new worker folds the tail of both servers');
$standby->stop;

done_testing();
