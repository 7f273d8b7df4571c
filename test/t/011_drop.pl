# Commands that need a database for themselves, and DROP EXTENSION.
use strict;
use warnings;

use IO::Socket::UNIX;
use PostgreSQL::Test::BackgroundPsql;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ServerLog qw(nothing_unseen);
use Test::More;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'pg_teller'
max_worker_processes = 16
allow_in_place_tablespaces = on
log_line_prefix = '%m [%p] %b '
});
$node->start;

my $ready = q{SELECT state = 'idle' FROM teller.worker_status
	WHERE database = current_database()};

sub worker_pid
{
	my ($db) = @_;
	return $node->safe_psql($db, q{
		SELECT pid FROM teller.worker_status
		WHERE database = current_database()});
}

sub workers_in
{
	my ($db) = @_;
	return $node->safe_psql('postgres', qq{
		SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'pg_teller worker' AND datname = '$db'});
}

sub make_database
{
	my ($db, $options) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db " . ($options // ''));
	$node->safe_psql($db, 'CREATE EXTENSION pg_teller');
	$node->poll_query_until($db, $ready) or die "no worker in $db";
	return;
}

sub open_book
{
	my ($db) = @_;
	$node->safe_psql($db, q{
		SELECT teller.create_ledger(1);
		SELECT teller.create_asset('USD', 2);
		SELECT teller.open_account(1, 1, 'USD', min_balance => NULL);});
	return;
}

# The command succeeds well before PostgreSQL would give up waiting (5 s).
sub runs_promptly
{
	my ($sql, $name, $db) = @_;
	my $begin = time();
	my ($rc, $out, $err) = $node->psql($db // 'postgres', $sql);
	is($err, '', $name);
	cmp_ok(time() - $begin, '<', 4, "$name: promptly");
	return;
}

# SQLSTATE and message.
sub refused
{
	my ($db, $sql, $like, $name) = @_;
	my ($rc, $out, $err) =
	  $node->psql($db, $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	like($err, $like, $name);
	return;
}

# ---- DROP DATABASE

make_database('one');
runs_promptly('DROP DATABASE one', 'DROP DATABASE with a worker');

make_database('one');
runs_promptly('DROP DATABASE one WITH (FORCE)', 'DROP DATABASE WITH (FORCE)');

$node->safe_psql('postgres', 'CREATE ROLE landlord LOGIN CREATEDB');
make_database('one', 'OWNER landlord');
runs_promptly('SET ROLE landlord; DROP DATABASE one WITH (FORCE)',
	'DROP DATABASE WITH (FORCE) by an owner who may not signal a superuser');

make_database('one');
make_database('two');
my $pid = worker_pid('two');
$node->safe_psql('postgres', 'CREATE DATABASE plain');
runs_promptly('DROP DATABASE plain',
	'DROP DATABASE of another one, while workers sleep');
runs_promptly('DROP DATABASE one', 'DROP DATABASE from one with a worker',
	'two');
is(worker_pid('two'), $pid, 'whose worker stays');

$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN CREATEDB');
refused('postgres', 'SET ROLE stranger; DROP DATABASE two',
	qr/42501/, 'a stranger may not drop it');
refused('postgres', 'SET ROLE stranger; ALTER DATABASE two RENAME TO three',
	qr/42501/, 'nor rename it');
is(worker_pid('two'), $pid, 'and does not disturb its worker');
refused('postgres', 'DROP DATABASE nowhere', qr/3D000/,
	'a database that is not there');

# A failed command lets the worker come back.
my $guest = $node->background_psql('two');
$guest->query_safe('SELECT 1');
refused('postgres', 'DROP DATABASE two', qr/55006/,
	'DROP DATABASE fails while somebody is connected');
ok($node->poll_query_until('two', qq{
	SELECT state = 'idle' AND pid <> $pid FROM teller.worker_status
	WHERE database = 'two'}), 'and the worker comes back');
$pid = worker_pid('two');
refused('postgres', 'BEGIN; DROP DATABASE two', qr/25001/,
	'DROP DATABASE in a transaction block');
ok($node->poll_query_until('two', $ready), 'and the worker comes back');
$guest->quit;

# ---- RENAME, SET TABLESPACE, TEMPLATE, ALLOW_CONNECTIONS

runs_promptly('ALTER DATABASE two RENAME TO three', 'RENAME');
ok($node->poll_query_until('three', $ready),
	'the worker comes back under the new name');

my $admin = $node->background_psql('postgres');
$admin->query_safe('BEGIN');
$admin->query_safe('ALTER DATABASE three RENAME TO four');
is(workers_in('three'), '0', 'no worker while a RENAME is undecided');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pg_locks WHERE NOT granted}), '0',
	'and nobody waits for it');
$admin->query_safe('ROLLBACK');
ok($node->poll_query_until('three', $ready),
	'the worker comes back after the rollback');
$admin->query_safe('BEGIN; SAVEPOINT s');
$admin->query_safe('ALTER DATABASE three RENAME TO four');
$admin->query_safe('ROLLBACK TO s; COMMIT');
ok($node->poll_query_until('three', $ready),
	'and after a rollback to a savepoint');
$admin->quit;

$node->safe_psql('postgres', q{CREATE TABLESPACE attic LOCATION ''});
runs_promptly('ALTER DATABASE three SET TABLESPACE attic', 'SET TABLESPACE');
ok($node->poll_query_until('three', $ready), 'the worker comes back');
runs_promptly('ALTER DATABASE three SET TABLESPACE pg_default',
	'SET TABLESPACE back');
ok($node->poll_query_until('three', $ready), 'the worker comes back');

runs_promptly('CREATE DATABASE copy TEMPLATE three', 'TEMPLATE');
ok($node->poll_query_until('copy', $ready), 'the copy has a worker');
ok($node->poll_query_until('three', $ready), 'the original has it back');
runs_promptly('CREATE DATABASE copy2 TEMPLATE three STRATEGY file_copy',
	'TEMPLATE, the other strategy');
runs_promptly('DROP DATABASE copy2', 'DROP DATABASE of a new copy');
runs_promptly('DROP DATABASE copy', 'DROP DATABASE of the other');

$node->safe_psql('postgres', 'ALTER DATABASE three ALLOW_CONNECTIONS false');
ok($node->poll_query_until('postgres', q{
	SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'three'}),
	'the worker leaves a database that is closed');
$node->safe_psql('postgres', 'ALTER DATABASE three ALLOW_CONNECTIONS true');
ok($node->poll_query_until('three', $ready), 'and returns when it is open');
$node->safe_psql('postgres', 'ALTER DATABASE three IS_TEMPLATE true');
ok($node->poll_query_until('postgres', q{
	SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'three'}),
	'the worker leaves a database that becomes a template');
$node->safe_psql('postgres', 'ALTER DATABASE three IS_TEMPLATE false');
ok($node->poll_query_until('three', $ready), 'and returns');

# Many in a row, while the worker is just starting.
for my $i (1 .. 10)
{
	$node->safe_psql('postgres', 'CREATE DATABASE brief');
	$node->safe_psql('brief', 'CREATE EXTENSION pg_teller') if $i % 2;
	$node->safe_psql('postgres', 'DROP DATABASE brief');
}
pass('databases dropped right after they were made');

# The postmaster is slow: the worker that was asked for would come after the end
# of DROP DATABASE.  The server's log, at the end, shows that it did not.
my $session = $node->background_psql('three');
my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
END { kill 'CONT', $postmaster if $postmaster; }
$session->query_safe('SELECT 1');
kill 'STOP', $postmaster;
$session->query_safe('CREATE DATABASE late');
my $starting = q{SELECT count(*) FROM teller.worker_status
	WHERE database = 'late' AND state = 'starting'};
my $asked = 0;
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if $asked = $session->query_safe($starting);
	usleep(100_000);
}
is($asked, '1', 'a worker is asked for while the postmaster stands still');
$session->query_safe('DROP DATABASE late');
kill 'CONT', $postmaster;
$session->quit;
$node->safe_psql('postgres', 'CREATE DATABASE next');
$node->safe_psql('next', 'CREATE EXTENSION pg_teller');
ok($node->poll_query_until('next', $ready), 'the next database gets its worker');
$node->safe_psql('postgres', 'DROP DATABASE next');

# ---- DROP EXTENSION without accounts

$pid = worker_pid('three');
$node->safe_psql('three', 'DROP EXTENSION pg_teller');
ok($node->poll_query_until('postgres', q{
	SELECT count(*) = 0 FROM pg_stat_activity
	WHERE backend_type = 'pg_teller worker' AND datname = 'three'}),
	'DROP EXTENSION ends the worker');
$node->safe_psql('three', 'CREATE EXTENSION pg_teller');
ok($node->poll_query_until('three', $ready), 'CREATE EXTENSION again');
$node->safe_psql('three',
	'DROP EXTENSION pg_teller; CREATE EXTENSION pg_teller') for 1 .. 5;
ok($node->poll_query_until('three', $ready), 'and again, quickly');
$pid = worker_pid('three');
$node->safe_psql('three',
	'BEGIN; DROP EXTENSION pg_teller; CREATE EXTENSION pg_teller; COMMIT');
ok($node->poll_query_until('three', qq{
	SELECT state = 'idle' AND pid <> $pid FROM teller.worker_status
	WHERE database = 'three'}), 'in one transaction: a new worker');
$pid = worker_pid('three');
$node->safe_psql('three', 'BEGIN; DROP EXTENSION pg_teller; ROLLBACK');
is(worker_pid('three'), $pid, 'rolled back: the same worker');

# The guard looks at this command only.
$node->safe_psql('three', q{
	CREATE EXTENSION hstore; CREATE SCHEMA other; CREATE ROLE nobody;
	DROP SCHEMA other; DROP OWNED BY nobody; DROP ROLE nobody;
	DROP EXTENSION IF EXISTS nothing, hstore;});
pass('other DROP commands pass');

# ---- DROP EXTENSION with accounts

open_book('three');
my $guard = qr/55000: cannot drop extension pg_teller.*HINT:  Set teller.allow_drop/s;
for my $sql (
	'DROP EXTENSION pg_teller',
	'DROP EXTENSION IF EXISTS hstore, pg_teller CASCADE',
	'DROP SCHEMA teller CASCADE',
	'DROP SCHEMA teller_remote, public CASCADE',
	'DROP OWNED BY CURRENT_USER CASCADE',
	'SET session_replication_role = replica; DROP EXTENSION pg_teller',
	q{DO $$BEGIN EXECUTE 'DROP EXTENSION pg_teller'; END$$})
{
	refused('three', $sql, $guard, "refused: $sql");
}
refused('three', 'SET ROLE stranger; DROP EXTENSION pg_teller',
	qr/42501: must be owner/, 'who may not drop it hears that');
refused('three', 'SET ROLE stranger; SET teller.allow_drop = on',
	qr/42501/, 'allow_drop is for superusers');
is(worker_pid('three'), $pid, 'the worker was not disturbed');
is($node->safe_psql('three', 'SELECT count(*) FROM teller.verify()'), '0',
	'nor the books');

# An account that is being opened counts.
make_database('race');
$node->safe_psql('race', q{
	SELECT teller.create_ledger(1); SELECT teller.create_asset('USD', 2);});
my $opener = $node->background_psql('race');
$opener->query_safe('BEGIN');
$opener->query_safe(q{SELECT teller.open_account(1, 1, 'USD')});
my $dropper = $node->background_psql('race', on_error_stop => 0);
$dropper->query_until(qr/begun/, "\\echo begun\nDROP EXTENSION pg_teller;\n");
ok($node->poll_query_until('race', q{
	SELECT count(*) > 0 FROM pg_locks WHERE NOT granted}),
	'DROP EXTENSION waits for an account that is being opened');
$opener->query_safe('COMMIT');
$opener->quit;
$dropper->quit;
is($node->safe_psql('race', 'SELECT count(*) FROM teller.account'), '1',
	'and is then refused');
ok($node->poll_query_until('race', $ready), 'the worker works on');

$node->safe_psql('three',
	'SET teller.allow_drop = on; DROP EXTENSION pg_teller');
ok($node->poll_query_until('postgres', q{
	SELECT count(*) = 0 FROM pg_stat_activity
	WHERE backend_type = 'pg_teller worker' AND datname = 'three'}),
	'allow_drop drops it, and the worker goes');

# DROP OWNED by an owner who is not the bootstrap superuser.
$node->safe_psql('three', q{
	CREATE ROLE keeper SUPERUSER; SET ROLE keeper;
	CREATE EXTENSION pg_teller;});
open_book('three');
refused('three', 'DROP OWNED BY keeper', $guard, 'refused: DROP OWNED');
$node->safe_psql('three', 'SET teller.allow_drop = on; DROP OWNED BY keeper');
is($node->safe_psql('three', q{
	SELECT count(*) FROM pg_extension WHERE extname = 'pg_teller'}), '0',
	'DROP OWNED with allow_drop');

# ---- calls in flight

# A server that takes connections and never answers.
my $silent_dir = PostgreSQL::Test::Utils::tempdir_short();
my $silent = IO::Socket::UNIX->new(
	Local => "$silent_dir/.s.PGSQL.5432", Listen => 100)
  or die "socket: $!";

my $in_flight = q{SELECT in_flight > 0 FROM teller.worker_status
	WHERE database = current_database()};

$node->append_conf(
	'postgresql.conf', q{
teller.connect_timeout = '1h'
teller.attempt_timeout = '1h'
teller.shutdown_grace = '1s'});
$node->reload;
make_database('busy');
open_book('busy');
$node->safe_psql('busy', qq{
	SELECT teller.open_account(1, 2, 'USD');
	SELECT * FROM teller.transfer(1, 1, 2, 100);
	CREATE SERVER silent FOREIGN DATA WRAPPER teller_postgres
		OPTIONS (host '$silent_dir', port '5432', dbname 'bank');
	CREATE USER MAPPING FOR PUBLIC SERVER silent OPTIONS (user 'shop');
	SELECT teller.set_settlement_account(1, 'silent', 1);
	SELECT * FROM teller.withdraw(1, 2, 'silent', 10, 'carol', 'one');});
ok($node->poll_query_until('busy', $in_flight), 'a call is in flight');

$node->safe_psql('postgres', 'CREATE DATABASE plain');
runs_promptly('DROP DATABASE plain', 'DROP DATABASE of another one meanwhile');
refused('busy', 'DROP EXTENSION pg_teller', $guard, 'refused: DROP EXTENSION');
runs_promptly('ALTER DATABASE busy RENAME TO busier', 'RENAME meanwhile');
ok($node->poll_query_until('busier', $in_flight),
	'the next worker takes the call up');
$pid = worker_pid('busier');
my $begin = time();
$node->safe_psql('busier', "SELECT pg_terminate_backend($pid)");
ok($node->poll_query_until('busier', qq{
	SELECT in_flight > 0 AND pid <> $pid FROM teller.worker_status
	WHERE database = 'busier'}), 'and the one after a termination');
cmp_ok(time() - $begin, '>', 0.9, 'which waits for replies');
$begin = time();
$node->restart;
cmp_ok(time() - $begin, '<', 6, 'stop fast does not wait for the remote');
ok($node->poll_query_until('busier', $in_flight), 'nor is the call forgotten');
is($node->safe_psql('busier', q{
	SELECT count(*), sum(pending_debit) FROM teller.operation
	JOIN teller.account USING (ledger_id, account_id)
	WHERE state = 'in_flight'}), '1|10.00', 'and the money is still held');
is($node->safe_psql('busier', 'SELECT count(*) FROM teller.verify()'), '0',
	'the books are sound');
runs_promptly('DROP DATABASE busier', 'DROP DATABASE meanwhile');

# ---- without the preload

$node->append_conf('postgresql.conf', q{shared_preload_libraries = ''});
$node->restart;
refused('race', 'DROP EXTENSION pg_teller', $guard,
	'the guard works without the preload');
is($node->safe_psql('race', 'SELECT count(*) FROM teller.worker_status'),
	'0', 'there is no worker then');
is($node->safe_psql('race', q{
	SET teller.allow_drop = on; SELECT teller.wake();
	SELECT current_setting('teller.allow_drop')}), "\non",
	'a setting made before the library was loaded stays');
$node->safe_psql('race',
	'SET teller.allow_drop = on; DROP EXTENSION pg_teller');
$node->safe_psql('postgres', 'DROP DATABASE race');
$node->stop;

nothing_unseen($node, qr/pg_teller worker (?:ERROR|FATAL)/);

done_testing();
