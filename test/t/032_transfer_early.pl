# transfer_early: others see the movement, and can lock its accounts, while its
# caller still waits for the disk or for the synchronous standby; and nobody is
# told of a movement that a crash can take back.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PollAcrossRestarts;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('early');
$node->init(allows_streaming => 1);

# Nothing but a commit writes the log: the WAL writer comes as seldom as it may,
# and no page has to leave the buffers.
$node->append_conf('postgresql.conf', q{
wal_writer_delay = '10s'
restart_after_crash = on
autovacuum = off
checkpoint_timeout = '1h'
bgwriter_lru_maxpages = 0
shared_buffers = 64MB
wal_buffers = 8MB
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION pg_teller;
	SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
	SELECT teller.open_account(1, 1, 'USD', min_balance => NULL),
		teller.open_account(1, 2, 'USD'), teller.open_account(1, 3, 'USD');
	SELECT teller.transfer(1, 1, 3, 1000);});

sub ask { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }
sub posted { return ask('SELECT posted FROM teller.balance(1, 2)'); }
sub sound { my ($test) = @_; return is(ask('SELECT * FROM teller.verify()'), '', $test); }

# A session of its own, which makes these statements or those of a file, and
# whose answers are looked at later.
sub start_psql
{
	my (@from) = @_;
	my $session = { out => '', err => '' };

	$session->{run} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), @from ],
		'<', \undef, '>', \$session->{out}, '2>', \$session->{err});
	return $session;
}

sub start { return start_psql(map { ('-c', $_) } @_); }
sub said { my ($session) = @_; $session->{run}->pump_nb; return $session->{out} . $session->{err}; }
sub finish { my ($session) = @_; $session->{run}->finish; return $session->{out}; }

sub waits_for_standby
{
	my ($query) = @_;

	return $node->poll_query_until('postgres',
		qq{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%$query%'});
}

my $accounts = q{SET synchronous_commit = 'local'; SET lock_timeout = '1ms'; SELECT teller.lock_accounts(1, ARRAY[1, 2])};

# ---- by the extended protocol ----

# pgbench makes one pass over such a script.
sub bench
{
	my ($mode, $lines) = @_;
	my $script = $node->basedir . '/bench.sql';
	my $said;

	unlink $script;
	append_to_file($script, $lines);
	IPC::Run::run([ 'pgbench', '-n', '-t', 1, '-M', $mode, '-f', $script, $node->connstr('postgres') ], '&>', \$said);
	return $said;
}

my $call = "CALL teller.transfer_early(1, 1, 3, 1);\n";
like(bench('prepared', $call x 3), qr{processed: 1/1}, 'it can be prepared');
like(bench('extended', "\\startpipeline\n$call\\endpipeline\n"), qr{processed: 1/1}, 'and sent alone in a pipeline');
like(bench('extended', "\\startpipeline\n$call$call\\endpipeline\n"), qr/cannot run inside a transaction/,
	'a second one before Sync is refused');
like(bench('extended', "\\startpipeline\nSELECT 1;\n$call\\endpipeline\n"), qr/cannot run inside a transaction/,
	'and one behind another statement');

# ---- a synchronous standby ----

my $standby = PostgreSQL::Test::Cluster->new('standby');
$node->backup('copy');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
ask(q{ALTER SYSTEM SET synchronous_standby_names = 'standby'});
$node->reload;
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'}),
	'the standby is synchronous');
like(ask(q{CALL teller.transfer_early(1, 1, 2, 100)}), qr/posted/, 'with the standby there it is answered');
ask(q{SET synchronous_commit = 'remote_apply'; CALL teller.transfer_early(1, 1, 2, 100)});
is($standby->safe_psql('postgres', 'SELECT posted FROM teller.balance(1, 2)'), '200.00',
	'with remote_apply the standby shows it when it is answered');
$standby->stop;

my $caller = start(q{CALL teller.transfer_early(1, 1, 2, 50, key => 'waits')});
ok(waits_for_standby('waits'), 'without the standby the caller waits');
is(posted(), '250.00', 'others see its movement');
is(ask($accounts), '', 'and can lock its accounts');
is(said($caller), '', 'nothing was answered');

# Whoever repeats the call, or asks for it, or is denied for it, waits too.
my @others = (
	start(q{CALL teller.transfer_early(1, 1, 2, 50, key => 'waits') /* again */}),
	start(q{SELECT replayed FROM teller.transfer(1, 1, 2, 50, key => 'waits') /* by transfer */}),
	start(q{SELECT status FROM teller.find(1, 'waits') /* find */}),
	start(q{CALL teller.transfer_early(1, 2, 1, 251, on_denial => 'return') /* denied */}),
	start(q{CALL teller.transfer_early(1, 2, 1, 252) /* raised */}));
ok(waits_for_standby('/* again'), 'a repeat of it waits');
ok(waits_for_standby('/* by transfer'), 'and so does one by transfer');
ok(waits_for_standby('/* find'), 'and teller.find');
ok(waits_for_standby('/* denied'), 'and a denial that is answered');
ok(waits_for_standby('/* raised'), 'and one that is raised');
is(ask($accounts), '', 'all of them without locks');
is(join('', map { said($_) } @others), '', 'none of them was answered');

# A session that asks for no wait does not wait.
like(ask(q{SET synchronous_commit = 'local'; CALL teller.transfer_early(1, 1, 2, 1)}),
	qr/posted/, 'with synchronous_commit = local the standby is not waited for');
like(ask(q{SET synchronous_commit = 'off'; CALL teller.transfer_early(1, 1, 2, 1)}),
	qr/posted/, 'with synchronous_commit = off nothing is');
my $local = start(q{DO $$
	DECLARE
		a uuid; b text; c text; d numeric; e bigint; f numeric; g bigint; h boolean;
	BEGIN
		SET LOCAL synchronous_commit = 'local';
		CALL teller.transfer_early(1, 1, 2, 1, id => a, status => b, reason => c, debit_balance => d,
			debit_version => e, credit_balance => f, credit_version => g, replayed => h);
	END
	$$}, q{SELECT 'done', current_setting('synchronous_commit')});
is(finish($local), "done|on\n", 'what was SET LOCAL when the call came counts');

# A cancel ends the wait as it ends that of a commit.
my $cancelled = start(q{CALL teller.transfer_early(1, 1, 2, 7, key => 'cancelled')});
ok(waits_for_standby('cancelled'), 'one more waits');
ask(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%cancelled%'});
like(finish($cancelled), qr/posted/, 'cancelled, it answers');
like($cancelled->{err}, qr/canceling wait for synchronous replication/, 'with the warning');
my $killed = start(q{CALL teller.transfer_early(1, 1, 2, 8, key => 'killed')});
ok(waits_for_standby('killed'), 'one more waits');
ask(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%killed%'});
is(finish($killed), '', 'terminated, it does not answer');

$standby->start;
like(finish($caller), qr/posted/, 'with the standby back the caller is answered');
like(finish($others[0]), qr/\|t$/, 'the repeat as well');
is(finish($others[1]), "t\n", 'and the one by transfer');
is(finish($others[2]), "posted\n", 'and teller.find');
like(finish($others[3]), qr/denied\|insufficient_funds/, 'and the denial');
finish($others[4]);
like($others[4]->{err}, qr/insufficient funds/, 'and the one that is raised');
like(ask(q{CALL teller.transfer_early(1, 1, 2, 8, key => 'killed')}), qr/\|t$/,
	'what the terminated session did is answered to its repeat');
sound('the books are sound');
$standby->stop;
ask('ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
ok( $node->poll_query_until('postgres', q{SELECT current_setting('synchronous_standby_names') = ''}),
	'no standby is waited for any more');

# ---- a crash while many move money on one account ----

# A process is killed; the server ends all others, and what was not written is
# lost.
sub crash
{
	my ($pid) = @_;

	$pid //= ask(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'});
	kill 'KILL', $pid;
	return ok( $node->poll_query_until('postgres',
			qq{SELECT pid <> $pid FROM pg_stat_activity WHERE backend_type = 'walwriter'}),
		'the server has crashed and started again');
}

my $clients = 4;
my @traffic = map {
	my $other = 10 + $_;
	ask("SELECT teller.open_account(1, $other, 'USD')");
	my $script = $node->basedir . "/$other.sql";
	append_to_file($script, join('', map { "CALL teller.transfer_early(1, 1, $other, 1, key => 'crash $other $_');\n" } 1 .. 20000));
	start_psql('-f', $script);
} 1 .. $clients;

my $told = 0;
for (1 .. 18000)
{
	$told = 0;
	$told += () = said($_) =~ /\n/g for @traffic;
	last if $told >= 400;
	usleep(10_000);
}
ok($told >= 400, 'hundreds of movements were answered');
crash();
$_->{run}->finish for @traffic;
my @ids = map { $_->{out} =~ /^([0-9a-f-]{36})\|posted\|.*\|f$/mg } @traffic;
my %there = map { $_ => 1 } split /\n/, ask('SELECT id FROM teller.journal WHERE ledger_id = 1');
is(scalar(grep { !$there{$_} } @ids), 0, 'each movement that was answered is there after the crash');
cmp_ok(scalar(@ids), '>=', 400, 'and there were as many as were counted');
cmp_ok(ask('SELECT count(*) FROM teller.journal WHERE ledger_id = 1 AND credit_account > 10') - @ids,
	'<=', $clients, 'of others at most one for each client');
sound('the books are sound after the crash');

# ---- between the commit and the flush ----

SKIP:
{
	skip 'the library was built without -DTELLER_WAIT_POINTS', 24
	  if ask(q{LOAD 'pg_teller'; SELECT count(*) FROM pg_settings WHERE name = 'teller.wait_point'}) eq '0';

	# The WAL writer is stopped, so nothing but a wait for the disk flushes.
	sub hold_back
	{
		my ($key) = @_;
		my $held = { before => posted(),
			writer => ask(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'}) };

		kill 'STOP', $held->{writer};
		$held->{session} = start(q{LOAD 'pg_teller'}, q{SET teller.wait_point = 'transfer early committed'},
			"CALL teller.transfer_early(1, 1, 2, 5, key => '$key')");
		ok( $node->poll_query_until('postgres', "SELECT posted = $held->{before} + 5 FROM teller.balance(1, 2)"),
			"$key: it is committed and not on disk");
		return $held;
	}

	sub crash_held_back
	{
		my ($held) = @_;

		crash($held->{writer});
		finish($held->{session});
		return;
	}

	my $held = hold_back('seen');
	is(ask(q{SET synchronous_commit = 'off'; SET lock_timeout = '1ms'; SELECT teller.lock_accounts(1, ARRAY[1, 2])}), '', 'it is seen and its locks are gone before it is on disk');
	crash_held_back($held);
	is($held->{session}{out}, '', 'whoever waited was told nothing');
	is(posted(), $held->{before}, 'what was only seen is gone after a crash');
	sound('and the books are sound without it');
	like(ask(q{CALL teller.transfer_early(1, 1, 2, 5, key => 'seen')}), qr/\|f$/, 'its key is free');

	$held = hold_back('replayed');
	is(ask(q{SELECT replayed FROM teller.transfer(1, 1, 2, 5, key => 'replayed')}), 't', 'a repeat is answered');
	crash_held_back($held);
	is(posted() - $held->{before}, 5, 'then the movement is there after a crash');

	$held = hold_back('found');
	is(ask(q{SELECT status FROM teller.find(1, 'found')}), 'posted', 'it is found');
	crash_held_back($held);
	is(posted() - $held->{before}, 5, 'then it is there after a crash');

	$held = hold_back('built on');
	is(ask(q{SELECT status FROM teller.transfer(1, 2, 1, 5)}), 'posted', 'another one builds on it');
	crash_held_back($held);
	is(ask(q{SELECT status FROM teller.find(1, 'built on')}), 'posted', 'then it is there after a crash');
	sound('and the books are sound with it');

	# A cancel that comes after the commit must not look like a rollback.
	ask(q{LOAD 'pg_teller'; ALTER SYSTEM SET teller.wait_point = 'transfer early committed'});
	$node->reload;
	my $before = posted();
	my $late = start(q{LOAD 'pg_teller'}, q{CALL teller.transfer_early(1, 1, 2, 5, key => 'late')});
	ok($node->poll_query_until('postgres', "SELECT posted = $before + 5 FROM teller.balance(1, 2)"), 'late: it is committed');
	is(ask(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%early%late%' AND pid <> pg_backend_pid()}),
		't', 'late: it is cancelled');
	ask('ALTER SYSTEM RESET teller.wait_point');
	$node->reload;
	like(finish($late), qr/posted/, 'a cancel after the commit is too late');
	is($late->{err}, '', 'and says nothing');
}

$node->stop;
done_testing();
