# A database that comes back from a backup: nothing is sent and nothing is
# refunded until it is adopted, and then every operation ends on the bank's
# word, also those whose sending the backup does not know of.

use strict;
use warnings;

use File::Path qw(rmtree);
use PostgreSQL::Test::RecursiveCopy;
use Test::More;

use BankAndShop;

my $town = BankAndShop->new(conf => "wal_level = replica\nteller.dispatch = off\n");
my $node = $town->{shop};

# ---- before: two operations are in the backup, held ----

$town->withdraw('paid later');
$town->withdraw('cancelled later');
$node->stop('fast');
$node->backup_fs_cold('before');
$node->start;

# ---- what the backup does not know ----

is( $town->shop(
		q{SELECT teller.cancel(1, id) FROM teller.operation WHERE nonce = 'cancelled later'}
	),
	'refunded',
	'one operation is cancelled before it was sent');
$town->set('teller.dispatch', 'on');
$town->becomes('paid later', 'settled', 'the other one is paid');

# ---- back to the backup, on a new timeline ----

$node->stop('fast');
rmtree($node->data_dir);
PostgreSQL::Test::RecursiveCopy::copypath($node->backup_dir . '/before',
	$node->data_dir);
chmod 0700, $node->data_dir or die "chmod: $!";
$node->append_conf('postgresql.conf', "restore_command = 'false'\n");
$node->append_conf('postgresql.conf', "port = " . $node->port . "\n");
$node->set_recovery_mode;
$node->start;
ok($node->poll_query_until('shop', 'SELECT NOT pg_is_in_recovery()'),
	'the backup is restored and open for writing');

ok($town->worker_is('not_adopted'), 'the worker sees that it is another one');
$town->set('teller.dispatch', 'on');
is($town->sqlstate(q{SELECT * FROM teller.withdraw(1, 2, 'bank', 1, 'carol', 'new')}),
	'TL010', 'no operation is taken');
is( $town->sqlstate(
		q{DO $$ BEGIN PERFORM teller.cancel(1, id) FROM teller.operation WHERE nonce = 'paid later';
		  IF (SELECT state FROM teller.operation WHERE nonce = 'paid later') = 'refunded'
		  THEN RAISE 'refunded' USING ERRCODE = 'ZZ001'; END IF; ROLLBACK; END $$}
	),
	'',
	'a cancel does not refund what may have been sent');
is($town->operation('paid later', 'state'), 'held', 'nothing was sent');

# ---- adopted ----

is($town->sqlstate('SELECT teller.adopt_instance()', 'pg_read_all_data'),
	'42501', 'not everybody may adopt')
  if $town->shop("GRANT USAGE ON SCHEMA teller TO pg_read_all_data; SELECT 1");
is($town->shop('SELECT teller.adopt_instance()'),
	'2', 'both operations are put in doubt');
$town->becomes('paid later', 'settled', 'what the bank has paid is settled');
$town->becomes(
	'cancelled later',
	'refunded expired',
	'what it never saw is fenced there, then refunded');
is( $town->bank(
		q{SELECT string_agg(status, ' ' ORDER BY status) FROM teller.memo}),
	'cancelled executed',
	'the bank paid once, and has a tombstone for the other');
$town->withdraw('after');
$town->becomes('after', 'settled', 'operations are taken and sent again');
$town->books_agree('after a restore');

$town->stop;
done_testing();
