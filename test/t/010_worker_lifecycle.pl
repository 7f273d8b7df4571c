# The launcher and the workers: who has one, what ends it, what brings it back.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PollAcrossRestarts;
use ServerLog qw(nothing_unseen);
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'pg_teller'
restart_after_crash = on
max_prepared_transactions = 4
max_worker_processes = 8
max_logical_replication_workers = 0
teller.expire_batch = 2
log_line_prefix = '%m [%p] %b '
});
$node->start;

my $ready = q{SELECT state = 'idle' FROM teller.worker_status
	WHERE database = current_database()};

sub workers
{
	return $node->safe_psql('postgres', q{
		SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'pg_teller worker'});
}

sub worker_pid
{
	my ($db) = @_;
	return $node->safe_psql($db, q{
		SELECT pid FROM teller.worker_status
		WHERE database = current_database()});
}

sub launcher_pid
{
	return $node->safe_psql('postgres', q{
		SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'pg_teller launcher'});
}

# A database with the extension, a ledger, and money on account 2.
sub make_book
{
	my ($db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, 'CREATE EXTENSION pg_teller');
	open_book($db);
	ok($node->poll_query_until($db, $ready), "$db has a worker");
	return;
}

sub open_book
{
	my ($db) = @_;
	$node->safe_psql($db, q{
		SELECT teller.create_ledger(1);
		SELECT teller.create_asset('USD', 2);
		SELECT teller.open_account(1, 1, 'USD', min_balance => NULL);
		SELECT teller.open_account(1, 2, 'USD');
		SELECT * FROM teller.transfer(1, 1, 2, 1000, key => 'fund');});
	return;
}

sub hold
{
	my ($ttl) = @_;
	return "SELECT * FROM teller.hold(1, 2, 1, 1, ttl => '$ttl')";
}

sub all_expired
{
	my ($db) = @_;
	return $node->poll_query_until($db,
		q{SELECT count(*) = 0 FROM teller.open_hold});
}

# Another worker than the one with this pid is idle.
sub renewed
{
	my ($db, $pid) = @_;
	return $node->poll_query_until($db, qq{
		SELECT state = 'idle' AND pid <> $pid FROM teller.worker_status
		WHERE database = current_database()});
}

# ---- databases without the extension

$node->safe_psql('postgres', "CREATE DATABASE plain$_") for 1 .. 12;
ok($node->poll_query_until('postgres', q{
	SELECT count(*) = 0 FROM pg_stat_activity
	WHERE backend_type = 'pg_teller worker'}),
	'a database without the extension keeps no worker');
like(launcher_pid(), qr/^\d+$/, 'there is one launcher');

make_book('book');
is(workers(), 1, 'only the database with the extension has a worker');
is($node->safe_psql('book', q{
	SELECT dispatch, in_flight, restarts, last_error IS NULL
	FROM teller.worker_status}), 't|0|0|t', 'its status');
is($node->safe_psql('book', q{
	SELECT query_id IS NULL AND xact_start IS NULL AND backend_xmin IS NULL
	FROM pg_stat_activity WHERE backend_type = 'pg_teller worker'}), 't',
	'it sleeps without a transaction');

# ---- a transaction that is rolled back leaves no worker

$node->safe_psql('plain1', 'BEGIN; CREATE EXTENSION pg_teller; ROLLBACK');
is(workers(), 1, 'CREATE EXTENSION rolled back starts nothing');

# ---- the work

$node->safe_psql('book', hold('1 second'));
ok(all_expired('book'), 'a hold expires');
is($node->safe_psql('book', q{
	SELECT count(*) FROM teller.hold
	WHERE ended_at - expires_at > interval '500 ms'}), '0', 'and on time');
$node->safe_psql('book', hold('1 hour'));
$node->safe_psql('book', hold("$_ ms")) for 300, 200, 100;
$node->safe_psql('book', 'BEGIN;' . (hold('300 ms') . ';') x 10 . 'COMMIT');
ok($node->poll_query_until('book', q{
	SELECT count(*) = 1 FROM teller.open_hold}),
	'holds made later and due earlier expire too');
is($node->safe_psql('book', q{
	SELECT count(*) FROM teller.hold
	WHERE ended_at - expires_at > interval '500 ms'}), '0',
	'each of them on time');
ok($node->poll_query_until('book',
	q{SELECT swept = 14 FROM teller.worker_status}), 'they were counted');
$node->safe_psql('book',
	'BEGIN; ' . hold('50 ms') . q{; PREPARE TRANSACTION 'later'});
$node->safe_psql('book', q{COMMIT PREPARED 'later'});
ok($node->poll_query_until('book', q{
	SELECT count(*) = 1 FROM teller.open_hold}),
	'a hold of a prepared transaction expires without a wake-up');

# ---- orders

my $pid = worker_pid('book');
$node->safe_psql('postgres', 'ALTER SYSTEM SET teller.dispatch = off');
$node->reload;
ok($node->poll_query_until('book',
	q{SELECT NOT dispatch FROM teller.worker_status}),
	'SIGHUP reaches the worker');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET teller.dispatch');
$node->reload;
ok($node->poll_query_until('book',
	q{SELECT dispatch FROM teller.worker_status}), 'and again');
is(worker_pid('book'), $pid, 'without a restart');

$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$node->safe_psql('book', hold('50 ms'));
ok($node->poll_query_until('book', q{
	SELECT count(*) = 1 FROM teller.open_hold}),
	'the worker works after a cancel');
is(worker_pid('book'), $pid, 'and is the same');

my $begin = time();
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok(renewed('book', $pid), 'a terminated worker comes back');
cmp_ok(time() - $begin, '<', 5, 'soon');
is($node->safe_psql('book', 'SELECT restarts FROM teller.worker_status'),
	'1', 'the restart is counted');

$pid = worker_pid('book');
my $launcher = launcher_pid();
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
ok($node->poll_query_until('postgres', qq{
	SELECT count(*) = 1 FROM pg_stat_activity
	WHERE backend_type = 'pg_teller launcher' AND pid <> $launcher}),
	'a terminated launcher comes back');
is(worker_pid('book'), $pid, 'and leaves the worker alone');
is(workers(), 1, 'and starts no second one');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok(renewed('book', $pid), 'the new launcher supervises the old worker');

# ---- settings that a database tries to impose

$node->safe_psql('postgres', "ALTER DATABASE book SET $_") for (
	'default_transaction_read_only = on',
	"default_transaction_isolation = 'serializable'",
	"session_replication_role = 'replica'",
	'synchronous_commit = off', 'search_path = nowhere',
	'statement_timeout = 1', 'idle_in_transaction_session_timeout = 1');
{
	# What a client sets for itself goes before what its database sets.
	local $ENV{PGOPTIONS} = '-c default_transaction_read_only=off '
	  . '-c default_transaction_isolation=read\\ committed '
	  . '-c statement_timeout=0 -c idle_in_transaction_session_timeout=0';

	$pid = worker_pid('book');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	ok(renewed('book', $pid), 'a worker starts under imposed settings');
	$node->safe_psql('book', hold('50 ms'));
	ok($node->poll_query_until('book', q{
		SELECT count(*) = 1 FROM teller.open_hold}), 'and works');
}
$node->safe_psql('postgres', 'ALTER DATABASE book RESET ALL');

# ---- a version that the library does not know

my $version = $node->safe_psql('book', q{
	SELECT extversion FROM pg_extension WHERE extname = 'pg_teller'});
$node->safe_psql('book', q{
	UPDATE pg_extension SET extversion = '0.0.0' WHERE extname = 'pg_teller';
	SELECT teller.wake();});
ok($node->poll_query_until('book', q{
	SELECT state = 'version_mismatch' AND last_error LIKE '%0.0.0%'
	FROM teller.worker_status}), 'another version of the SQL objects idles it');
$node->safe_psql('book', qq{
	UPDATE pg_extension SET extversion = '$version'
	WHERE extname = 'pg_teller';
	SELECT teller.wake();});
ok($node->poll_query_until('book', $ready), 'the right version resumes it');

# ---- databases made from one that has the extension

$node->safe_psql('template1', 'CREATE EXTENSION pg_teller');
open_book('template1');
$node->safe_psql('postgres', 'CREATE DATABASE child');
ok($node->poll_query_until('child', $ready),
	'a database made from template1 with the extension has a worker');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pg_stat_activity WHERE datname = 'template1'}),
	'0', 'template1 has none');
$node->safe_psql('child', hold('50 ms'));
ok(all_expired('child'), 'it works there');
is($node->safe_psql('child', q{
	SELECT string_agg(database, ' ' ORDER BY database)
	FROM teller.worker_status}), 'book child',
	'a superuser sees the workers of all databases');
$node->safe_psql('child', q{
	CREATE ROLE clerk; GRANT USAGE ON SCHEMA teller TO clerk;
	GRANT SELECT ON teller.worker_status TO clerk;});
is($node->safe_psql('child', q{
	SET ROLE clerk; SELECT database FROM teller.worker_status}), 'child',
	'others see their own');

# ---- failures, in builds with wait points

sub set_wait_point
{
	my ($value) = @_;
	$node->safe_psql('postgres',
		"ALTER SYSTEM SET teller.wait_point = '$value'");
	$node->reload;
	return;
}

SKIP:
{
	skip 'no wait points in this build', 8
	  if $node->safe_psql('book', q{
		SELECT teller.wake();
		SELECT count(*) FROM pg_settings WHERE name = 'teller.wait_point'})
	  !~ /1$/;

	$pid = worker_pid('book');
	set_wait_point('worker_sweep:error');
	$node->safe_psql('book', hold('50 ms'));
	ok($node->poll_query_until('book', q{
		SELECT last_error = 'wait point: worker_sweep'
		FROM teller.worker_status WHERE database = 'book'}),
		'an error shows in the status');
	my $seen = $node->safe_psql('book', q{
		SELECT last_error_at FROM teller.worker_status
		WHERE database = 'book'});
	ok($node->poll_query_until('book', qq{
		SELECT last_error_at > '$seen' FROM teller.worker_status
		WHERE database = 'book'}), 'the phase is tried again');
	set_wait_point('');
	ok($node->poll_query_until('book', q{
		SELECT count(*) = 1 FROM teller.open_hold}), 'and then succeeds');
	is(worker_pid('book'), $pid, 'in the same process');
	my $logged = () = slurp_file($node->logfile) =~
	  /ERROR:  wait point: worker_sweep/g;
	cmp_ok($logged, '<=', 2, 'repeated errors do not flood the log');

	set_wait_point('worker_sweep');
	ok($node->poll_query_until('book', q{
		SELECT state = 'wait point: worker_sweep'
		FROM teller.worker_status WHERE database = 'book'}),
		'a worker at a wait point shows it');
	set_wait_point('worker_started:die');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	ok($node->poll_query_until('book', q{
		SELECT state = 'backing_off' AND pid IS NULL
			AND last_error LIKE '%server log%'
		FROM teller.worker_status WHERE database = 'book'}),
		'a worker that fails at its start');
	set_wait_point('');
	ok(renewed('book', $pid), 'and started again');
}

# ---- stop and start

for my $mode ('fast', 'immediate', 'smart')
{
	$begin = time();
	$node->stop($mode);
	cmp_ok(time() - $begin, '<', 10, "stop $mode ends soon");
	$node->start;
	ok($node->poll_query_until('book', $ready), "a worker after stop $mode");
}

# ---- crashes

$pid = worker_pid('book');
kill(9, $pid) or die "kill: $!";
ok($node->poll_query_until('postgres', 'SELECT true'),
	'the server is back after the worker was killed');
ok(renewed('book', $pid), 'and so is the worker');
ok($node->poll_query_until('child', $ready), 'of each database');

$pid = worker_pid('book');
$node->kill9;
my $waited = 0;
until (!kill(0, $pid) || $waited++ > 1000)
{
	select(undef, undef, undef, 0.05);
}
ok(!kill(0, $pid), 'no worker outlives the postmaster');
$node->start;
ok($node->poll_query_until('book', $ready), 'a worker after that crash');

# ---- a standby

$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{
	SELECT count(*) FROM pg_stat_activity
	WHERE backend_type LIKE 'pg_teller%'}), '0',
	'a standby has neither launcher nor worker');
is($standby->safe_psql('book', 'SELECT state FROM teller.worker_status'),
	'none', 'and says so');
$standby->promote;
ok($standby->poll_query_until('book', q{
	SELECT pid IS NOT NULL FROM teller.worker_status
	WHERE database = 'book'}), 'it has a worker once it is promoted');
$standby->stop;

# ---- no free slot

$node->append_conf('postgresql.conf', 'max_worker_processes = 1');
$node->restart;
$node->safe_psql('book', 'SELECT teller.wake()');
ok($node->poll_query_until('book', q{
	SELECT last_error = 'no free background worker slot' FROM teller.worker_status
	WHERE database = 'book'}), 'the status tells of the missing slot');
$node->wait_for_log(qr/WARNING:  no free background worker slot/);
my $first = $node->safe_psql('book', q{
	SELECT last_error_at FROM teller.worker_status WHERE database = 'book'});
ok($node->poll_query_until('book', qq{
	SELECT last_error_at > '$first' FROM teller.worker_status
	WHERE database = 'book'}), 'it is tried again');
my $warnings = () = slurp_file($node->logfile) =~
  /WARNING:  no free background worker slot/g;
is($warnings, 1, 'with one warning');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
ok($node->poll_query_until('book', $ready), 'a worker once there is a slot');

for my $db ('book', 'child')
{
	is($node->safe_psql($db, 'SELECT count(*) FROM teller.verify()'), '0',
		"the books of $db are sound");
}
$node->stop;

nothing_unseen($node, qr/pg_teller worker ERROR:  (?!wait point)/);

done_testing();
