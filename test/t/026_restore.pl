# Two ways in which one database becomes two: a base backup that is started,
# as it is, beside the original, and a restore to a point in time before a withdrawal
# that was sent.  Neither sends anything by itself; what the restore lost is
# found, and a repeat brings it back with one effect.

use strict;
use warnings;

use Cwd qw(abs_path);
use FindBin;
use lib "$FindBin::RealBin/../lib";

use BankAndShop;
use PostgreSQL::Test::Cluster;
use Test::More;

my $w = BankAndShop->new(conf => "wal_level = replica\nmax_wal_senders = 5\n");
my $original = $w->{shop};
my $archive = abs_path($original->archive_dir);

$original->append_conf('postgresql.conf',
	"archive_mode = on\narchive_command = 'cp \"%p\" \"$archive/%f\"'\n");
$original->restart;
$w->withdraw('settled before');
$w->becomes('settled before', 'settled');

# ---- a base backup, started beside the original ----

my $gate = $w->close_gate;
$w->withdraw('on its way');
ok($w->gate_has(1), 'an operation is on its way when the backup is taken');
$original->backup('clone');

# As it is, and as a restore that recovers all there is.
sub start_clone
{
	my ($name, @lines) = @_;
	my $clone = PostgreSQL::Test::Cluster->new($name);

	$clone->init_from_backup($original, 'clone');
	$clone->append_conf('postgresql.conf', join '', map { "$_\n" } 'archive_mode = off', @lines);
	$clone->set_recovery_mode if @lines;
	$clone->start;
	ok($clone->poll_query_until('shop', 'SELECT NOT pg_is_in_recovery()'),
		"$name: it is open for writing");
	$w->{shop} = $clone;
	ok($w->worker_is('not_adopted'), "$name: it knows that it is one");
	$w->shop('SELECT teller.wake()');
	is($w->sqlstate(q{SELECT * FROM teller.withdraw(1, 2, 'bank', 1, 'carol', 'of the clone')}),
		'TL010', "$name: it takes no operation");
	is($w->operation('on its way', 'state'), 'in_flight', "$name: it leaves the open one alone");
	is($w->shop('SELECT status FROM teller.transfer(1, 2, 1, 1)'),
		'posted', "$name: movements of its own are no operations");
	$clone->restart;
	ok($w->worker_is('not_adopted'), "$name: a restart changes nothing");
	return $clone;
}

my $clone = start_clone('recovered', "restore_command = 'false'");
$clone->stop('immediate');
$clone = start_clone('as_it_is');
$w->{shop} = $original;
$gate->query_safe('SELECT gate.open()');
$w->becomes('on its way', 'settled', 'the original goes on');
$w->withdraw('after the backup');
$w->becomes('after the backup', 'settled');
is($w->bank('SELECT count(*) FROM teller.memo'), '3', 'the bank heard of the three of the original');
is( $clone->safe_psql('shop',
		q{SELECT string_agg(verdict, ' ' ORDER BY executed_at) FROM teller.reconcile(1, 'bank')}),
	'agrees open unknown_here',
	'the clone may ask what the bank has, and learns what it lacks');
$clone->stop('immediate');
$w->books_agree('beside a clone');

# ---- a restore to a point in time ----

$w->withdraw('kept');
$w->becomes('kept', 'settled');
$original->backup('base');
$original->safe_psql('shop', q{SELECT pg_create_restore_point('before')});
my $lost = $w->withdraw('lost', amount => 25);
$w->becomes('lost', 'settled', 'a withdrawal is sent after the point');
my $memo = $w->operation('lost', 'memo');
my $file = $original->safe_psql('shop', 'SELECT pg_walfile_name(pg_switch_wal())');
ok( $original->poll_query_until('postgres',
		qq{SELECT last_archived_wal >= '$file' FROM pg_stat_archiver}),
	'the archive has it all');
$original->stop('fast');

my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($original, 'base');
$restored->set_recovery_mode;
$restored->append_conf('postgresql.conf',
	"archive_mode = off\nrestore_command = 'cp \"$archive/%f\" \"%p\"'\nrecovery_target_name = 'before'\nrecovery_target_action = 'promote'\n");
$restored->start;
ok($restored->poll_query_until('shop', 'SELECT NOT pg_is_in_recovery()'), 'the restore is open for writing');
$w->{shop} = $restored;
ok($w->worker_is('not_adopted'), 'a restore is no promotion: it does not adopt itself');
is($w->operation('lost', 'count(*)'), '0', 'the withdrawal is not in it');
is( $w->shop(
		qq{SELECT verdict, amount, asset FROM teller.reconcile(1, 'bank') WHERE memo = '$memo'}),
	'unknown_here|25.00|USD',
	'reconcile() finds its memo');
is($w->shop('SELECT kind FROM teller.finding'), 'unknown_here', 'which is a finding');

is($w->shop('SELECT teller.adopt_instance()'), '0', 'nothing was open');
ok($w->worker_is('idle'), 'it is adopted');
isnt($w->withdraw('lost', amount => 25), $lost, 'the payout is repeated: a new operation here');
is($w->operation('lost', 'memo'), $memo, 'under the same memo');
$w->becomes('lost', 'settled', 'which the bank knows');
is($w->bank("SELECT count(*) FROM teller.memo WHERE status = 'executed' AND amount = 25"),
	'1', 'it is paid once');
is( $w->shop(
		q{SELECT string_agg(DISTINCT verdict, ' ') FROM teller.reconcile(1, 'bank')}),
	'agrees',
	'nothing is unknown any more');
$w->books_agree('after a restore to a point in time');

$gate->quit;
$w->stop;
done_testing();
