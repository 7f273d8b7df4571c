# ALTER EXTENSION UPDATE while money moves, and what fits together: the library
# is replaced by a restart, the SQL objects by the command, in either order,
# and in between every call is refused and nothing is lost.  And CREATE
# EXTENSION where somebody else has a schema of that name.
#
# The next version is made here: a control file, an update script, and a copy
# of the library that takes itself for it.  They go into an installation of
# symbolic links in a temporary directory.
use strict;
use warnings;

use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use File::Path qw(mkpath);
use IPC::Run ();
use PostgreSQL::Test::BackgroundPsql;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ServerLog qw(nothing_unseen);
use Test::More;

# ---- an installation of our own ----

my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
my ($bin, $share, $lib) =
  map { chomp(my $dir = `$pg_config --$_`); $dir } qw(bindir sharedir pkglibdir);
my $top = dirname($bin);
$top = dirname($top) while index($share, "$top/") != 0 || index($lib, "$top/") != 0;

my $root = PostgreSQL::Test::Utils::tempdir();
my ($own_bin, $own_share, $own_lib) =
  map { $root . substr($_, length $top) } $bin, $share, $lib;

sub files { my ($dir) = @_; return grep { !m{/\.\.?$} } glob("$dir/*"); }

# Links to everything in a directory but what is named; that is copied.
sub mirror
{
	my ($from, $to, $copied) = @_;

	mkpath($to);
	foreach my $file (files($from))
	{
		my $name = basename($file);

		if ($name !~ $copied)
		{
			symlink($file, "$to/$name") or die "symlink $file: $!";
		}
		elsif (!-d $file)
		{
			copy($file, "$to/$name") or die "copy $file: $!";
			chmod((stat $file)[2] & 07777, "$to/$name");
		}
	}
	return;
}

# Programs look for what belongs to them beside where they really are.
mirror($bin, $own_bin, qr/^(postgres|initdb|pg_ctl)$/);
mirror($share, $own_share, qr/^extension$/);
mirror("$share/extension", "$own_share/extension", qr/^pg_teller\b/);
mirror($lib, $own_lib, qr/^pg_teller\.so$|^bitcode$/);

# What the installation has of us: names, sizes, times.
sub installed
{
	return join "\n", map { join ' ', $_, (stat $_)[ 7, 9 ] }
	  grep { /pg_teller/ } files("$share/extension"), files($lib);
}
my $before = installed();

my $control = slurp_file("$own_share/extension/pg_teller.control");
my ($old) = $control =~ /^default_version *= *'(.*)'/m;
my ($new, $broken) = map { my $v = $old; substr($v, 0, 1) = $_; $v } 9, 8;

sub write_file
{
	my ($name, $text) = @_;

	open my $file, '>:raw', "$name.new" or die "$name: $!";
	print $file $text;
	close $file or die "$name: $!";
	rename "$name.new", $name or die "$name: $!";
	return;
}

sub script
{
	my ($version, $text) = @_;

	write_file("$own_share/extension/pg_teller--$old--$version.sql", $text);
	return;
}

my $wake = q{CREATE OR REPLACE FUNCTION teller.wake() RETURNS void
	AS 'MODULE_PATHNAME', 'teller_wake' LANGUAGE C VOLATILE PARALLEL UNSAFE;
};
script($new, $wake . q{
	CREATE TABLE teller.novelty (ledger_id bigint PRIMARY KEY);
	SELECT pg_catalog.pg_extension_config_dump('teller.novelty', '');
	INSERT INTO teller.novelty SELECT ledger_id FROM teller.ledger;
});
script($broken, $wake . q{
	CREATE TABLE teller.novelty (ledger_id bigint PRIMARY KEY);
	SELECT 1 / 0;
});

# ---- the book ----

my $node = PostgreSQL::Test::Cluster->new('main', install_path => dirname($own_bin));
$node->init;
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'pg_teller'
max_worker_processes = 16
log_statement = none
log_min_error_statement = panic
log_line_prefix = '%m [%p] %b '
});
$node->start;

sub sql { my ($db, $sql) = @_; return $node->safe_psql($db, $sql); }

sub make_book
{
	my ($db) = @_;

	sql('postgres', "CREATE DATABASE $db");
	sql($db, 'CREATE EXTENSION pg_teller');
	sql($db, q{
		SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
		SELECT teller.open_account(1, n, 'USD', min_balance => CASE WHEN n > 1 THEN 0 END)
		FROM generate_series(1, 4) AS n;
		SELECT * FROM teller.transfer(1, 1, 4, 100, key => 'first');
		CREATE TABLE public.own (id int PRIMARY KEY, balance numeric);
		INSERT INTO public.own VALUES (1, 100);
	});
	return;
}

sub version_of
{
	my ($db) = @_;

	return sql($db, q{SELECT extversion FROM pg_extension WHERE extname = 'pg_teller'});
}

sub worker_is
{
	my ($db, $like, $test) = @_;

	return ok(
		$node->poll_query_until(
			'postgres',
			qq{SELECT state || ' ' || coalesce(last_error, '') LIKE '$like'
			   FROM teller.worker_status WHERE database = '$db'}
		),
		$test);
}

# What a session, or a new one, is told: SQLSTATE, message and hint; else ''.
my $verbose = [ '-v', 'VERBOSITY=verbose' ];

sub complaint
{
	my ($db, $sql) = @_;
	my ($rc, $out, $err) = $node->psql($db, "SET client_min_messages = error; $sql",
		extra_params => $verbose);

	return $rc == 0 ? '' : $err;
}

my %call = (
	'a transfer' => q{SELECT * FROM teller.transfer(1, 1, 4, 1)},
	'a known key' => q{SELECT * FROM teller.transfer(1, 1, 4, 100, key => 'first')},
	'a batch' => q{SELECT * FROM teller.post(1, '{1}', '{2}', '{1}')},
	'a hold' => q{SELECT * FROM teller.hold(1, 4, 2, 1)},
	'a balance' => q{SELECT * FROM teller.balance(1, 4)},
	'a new ledger' => q{SELECT teller.create_ledger(2)},
	'a limit' => q{SELECT teller.set_limits(1, 4, 0, 1000)},
	'expire_due' => q{SELECT teller.expire_due()},
	'a withdrawal' => q{SELECT * FROM teller.withdraw(1, 4, 'bank', 1, 'carol', 'x')},
	'an adoption' => q{SELECT teller.adopt_instance()},
	'a request' => q{SELECT * FROM teller.begin_request('s', 'k', '{}')},
	'a row of my own' => q{SELECT teller.row_debit('own', 1, 1)},
	'an update of it' => q{SELECT teller.row_update('own', 1, 0, '{"balance": 5}', version_col => 'id')},
	'a lock on it' => q{SELECT teller.lock_rows('own', '{1}'::int[])},
	'verify' => q{SELECT * FROM teller.verify()});

# Tests: each call is refused, and says what to do.
sub all_refused
{
	my ($db, $hint, $test) = @_;

	subtest $test => sub {
		foreach my $name (sort keys %call)
		{
			like(complaint($db, $call{$name}), qr/ERROR:  55000: .*HINT:  $hint/s, $name);
		}
	};
	return;
}

sub is_sound
{
	my ($db) = @_;

	return is(sql($db, 'SELECT * FROM teller.verify()'), '', "$db is sound");
}

make_book('book');
make_book('late');
sql('postgres', 'CREATE EXTENSION pg_teller');
worker_is($_, 'idle%', "$_ has a worker") for qw(book late);
command_ok(
	[ 'pg_dump', '-Fc', '-d', $node->connstr('late'), '-f', "$root/late.dump" ],
	'a dump of the old version');

# ---- clients ----

# Each makes its calls one by one, and waits in the middle at a gate, so that
# the update finds the second half before it.
my $calls = 5000;
my $half = $calls / 2;
my @clients = (2, 3);

foreach my $client (@clients)
{
	my @lines = map {
		"SELECT '$client/$_', id, replayed FROM teller.transfer(1, 1, $client, 1, key => '$client/$_');\n"
	} 1 .. $calls;

	splice @lines, $half, 0, "SELECT pg_advisory_xact_lock_shared(1) \\g /dev/null\n";
	write_file("$root/client$client.sql", join '', @lines);
}

sub start_client
{
	my ($client) = @_;
	my $run = { answers => "$root/answers$client", errors => "$root/errors$client" };

	$run->{handle} = IPC::Run::start(
		[
			'psql', '-X', '-q', '-A', '-t', @$verbose, '-d', $node->connstr('book'),
			'-f', "$root/client$client.sql"
		],
		'<', \undef, '>', $run->{answers}, '2>', $run->{errors});
	return $run;
}

# What it was told: key => [ id, replayed ], and the number of refusals.
sub finish_client
{
	my ($run) = @_;
	my %told;

	$run->{handle}->finish;
	foreach my $line (split /\n/, slurp_file($run->{answers}))
	{
		my ($key, $id, $replayed) = split /\|/, $line;
		$told{$key} = [ $id, $replayed ];
	}
	my $errors = slurp_file($run->{errors});
	my $refused = () = $errors =~ /ERROR:  55000: extension pg_teller has version/g;
	my $others = () = $errors =~ /(?:ERROR|FATAL|PANIC):  (?!55000)/g;

	return (\%told, $refused, $others);
}

# Two transactions that are open across the update: one goes on to call, the
# other has only to commit.  Neither keeps the clients waiting.
my $caller = $node->background_psql('book', on_error_stop => 0);
my $committer = $node->background_psql('book', on_error_stop => 0);
$_->query_safe('BEGIN') for $caller, $committer;
$committer->query_safe(q{SELECT teller.open_account(1, 5, 'USD')});
$caller->query_safe(q{SELECT teller.open_account(1, 6, 'USD')});

my $gate = $node->background_psql('book');
$gate->query_safe('SELECT pg_advisory_lock(1)');
my @runs = map { start_client($_) } @clients;
my $moved = 'SELECT count(*) >= %d FROM teller.journal';
ok($node->poll_query_until('book', sprintf($moved, 100)), 'money is moving');

# ---- an update that fails, and one that does not ----

like(complaint('book', "ALTER EXTENSION pg_teller UPDATE TO '$broken'"),
	qr/22012: division by zero/, 'an update that fails');
is(version_of('book'), $old, 'leaves the version');
is(complaint('book', $call{'a transfer'}), '', 'and the calls as they were');

# The files come first, as a package brings them.
my $library = slurp_file("$own_lib/pg_teller.so");
my $patched = $library =~ s/\x{0}\Q$old\E\x{0}/\x{0}$new\x{0}/g;
cmp_ok($patched, '>', 0, 'a library that takes itself for the next version');
write_file("$own_lib/pg_teller.so", $library);
chmod 0755, "$own_lib/pg_teller.so";
write_file("$own_share/extension/pg_teller.control",
	$control =~ s/^(default_version *= *)'.*'/$1'$new'/mr);
is(complaint('book', $call{'a transfer'}), '',
	'new files change nothing in a server that runs');

sql('book', q{SELECT * FROM teller.hold(1, 4, 1, 5, '1 day', key => 'held')});
my $waiting = scalar @clients;
ok( $node->poll_query_until(
		'book',
		qq{SELECT count(*) = $waiting FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}
	),
	'the clients are half way');
$gate->query_safe(
	q{SELECT pg_advisory_unlock(1);
	DO $$ DECLARE before bigint := (SELECT count(*) FROM teller.journal);
	BEGIN WHILE (SELECT count(*) < before + 20 FROM teller.journal) LOOP END LOOP; END $$;
	ALTER EXTENSION pg_teller UPDATE;});
$gate->quit;
is(version_of('book'), $new, 'the objects are of the next version');

# ---- newer objects, older library ----

my $restart = 'Restart the server';
all_refused('book', $restart, 'newer objects, older library: refused');
like(complaint('book', $call{'a transfer'}),
	qr/extension pg_teller has version \Q$new\E, the library is \Q$old\E/,
	'with both versions');
$caller->query($call{'a transfer'});
is($caller->query('SELECT 1'), '', 'a transaction that began before is refused too');
$caller->query('COMMIT');
$committer->query_safe('COMMIT');
$_->quit for $caller, $committer;
worker_is('book', "version_mismatch%$new%$old%", 'the worker rests, and says why');
is(complaint('late', $call{'a transfer'}), '', 'a database that was not updated goes on');

my (%told, $refusals);
foreach my $run (@runs)
{
	my ($told, $refused, $others) = finish_client($run);

	%told = (%told, %$told);
	$refusals += $refused;
	is($others, 0, 'a client saw no other error');
	is(keys(%$told) + $refused, $calls, 'each of its calls was answered or refused');
}
cmp_ok(scalar(keys %told), '>', $half * @clients, 'calls were answered');
cmp_ok($refusals, '>', 0, 'calls were refused');
my $stored = q{SELECT count(*) FROM teller.key WHERE key ~ '^[23]/'};
is( sql('book', $stored),
	scalar(keys %told),
	'what was answered is in the book, what was refused is not');

# ---- the restart ----

$node->restart;
worker_is('book', 'idle%', 'after the restart the worker is back');
is_sound('book');
is( sql('book', q{SELECT string_agg(account_id::text, ' ' ORDER BY account_id) FROM teller.account}),
	'1 2 3 4 5',
	'of the two open transactions the one that called again was rolled back');
is(sql('book', 'SELECT ledger_id FROM teller.novelty'), '1', 'the update did its work');
is( sql('book', q{SELECT status FROM teller.capture(1, (SELECT id FROM teller.find(1, 'held')))}),
	'posted', 'a hold of the old version is captured');

@runs = map { start_client($_) } @clients;
my ($same, $again) = (0, 0);
foreach my $run (@runs)
{
	my ($told, $refused, $others) = finish_client($run);

	is($refused + $others, 0, 'a client that repeats everything sees no error');
	foreach my $key (keys %$told)
	{
		my ($id, $replayed) = @{ $told->{$key} };

		$again++ if $replayed eq (exists $told{$key} ? 't' : 'f');
		$same++ if exists $told{$key} && $told{$key}[0] eq $id;
	}
}
is($same, scalar(keys %told), 'what was answered is answered the same');
is($again, $calls * @clients, 'what was refused is done now, once');
is( sql('book', "$stored; SELECT posted FROM teller.account_balance WHERE account_id IN (2, 3)"),
	join("\n", $calls * @clients, ("$calls.00") x @clients),
	'and nothing twice');
is_sound('book');

# ---- older objects, newer library ----

my $update = 'Run ALTER EXTENSION pg_teller UPDATE';
all_refused('late', $update, 'older objects, newer library: refused');
worker_is('late', "version_mismatch%$old%$new%", 'its worker rests, and says why');
like(complaint('late', 'DROP EXTENSION pg_teller'),
	qr/55000: cannot drop extension pg_teller/, 'its money is guarded all the same');
my $session = $node->background_psql('late', on_error_stop => 0);
$session->query($call{'a transfer'});
sql('late', 'ALTER EXTENSION pg_teller UPDATE');
like($session->query($call{'a transfer'}), qr/posted/,
	'after the update the session that was refused goes on');
$session->quit;
worker_is('late', 'idle%', 'and so does the worker');
is_sound('late');
like(complaint('late', "ALTER EXTENSION pg_teller UPDATE TO '$old'"),
	qr/no update path/, 'there is no way back');

sql('postgres', 'CREATE DATABASE restored');
command_ok(
	[ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), "$root/late.dump" ],
	'a dump of the old version is restored');
is(version_of('restored'), $new, 'as the new one');
is( sql('restored', q{SELECT replayed FROM teller.transfer(1, 1, 4, 100, key => 'first')}),
	't', 'with its keys');
is_sound('restored');

sql('postgres', 'CREATE DATABASE fresh');
sql('fresh', "CREATE EXTENSION pg_teller VERSION '$old'");
like(complaint('fresh', $call{'a new ledger'}), qr/55000: .*HINT:  $update/s,
	'the old version made by the new library is refused');
sql('fresh', 'ALTER EXTENSION pg_teller UPDATE');
is(complaint('fresh', $call{'a new ledger'}), '', 'until it is updated');

# ---- without the preload: each session has the library of its time ----

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is(complaint('late', $call{'a balance'}), '', 'without the preload it works as well');
sql('fresh', 'DROP EXTENSION pg_teller');
sql('fresh',
	"CREATE EXTENSION pg_teller VERSION '$old'; CREATE TABLE own (id int PRIMARY KEY, balance numeric)");
all_refused('fresh', $update, 'and refuses as well');

# ---- a schema of somebody else ----

sql('postgres', 'CREATE ROLE stranger');
my $left = q{SELECT count(*) FROM pg_extension WHERE extname = 'pg_teller'};
foreach my $schema (qw(teller teller_remote))
{
	my %owned = (
		'of another role' => "CREATE SCHEMA $schema AUTHORIZATION stranger",
		'with an object of another role' =>
		  "CREATE SCHEMA $schema; CREATE TABLE $schema.account (x int); ALTER TABLE $schema.account OWNER TO stranger",
		'of the superuser, empty' => "CREATE SCHEMA $schema");

	foreach my $case (sort keys %owned)
	{
		sql('postgres', 'CREATE DATABASE taken');
		sql('taken', $owned{$case});
		like(complaint('taken', 'CREATE EXTENSION pg_teller'),
			qr/42P06: schema "$schema" already exists/,
			"a schema $schema $case is not taken over");
		like(complaint('taken', 'CREATE EXTENSION IF NOT EXISTS pg_teller CASCADE'),
			qr/42P06/, 'nor by other words');
		is(sql('taken', $left), '0', 'and nothing is left of the attempt');
		sql('postgres', 'DROP DATABASE taken');
	}
}
like(
	complaint('fresh', 'DROP EXTENSION pg_teller; CREATE EXTENSION pg_teller SCHEMA public'),
	qr/extension "pg_teller" must be installed in schema "pg_catalog"/,
	'nor can it be put elsewhere');

$node->stop;
is(installed(), $before, 'the installation is as it was');
nothing_unseen($node, qr/terminated by signal/);

done_testing();
