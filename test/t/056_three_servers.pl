# Limits: one thousand operations over three servers, of which one hangs and
# one loses replies; caps that are lowered, commands that drop, a fast stop and
# exhausted slots and descriptors while many calls are in flight.
#
# No throughput is judged here, a busy machine could not keep it.  That the one
# that hangs costs the healthy one nothing is proven without a clock: all of
# the healthy one's operations settle while the other's calls hang.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use BankAndShop;
use IO::Socket::UNIX;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ServerLog qw(nothing_unseen);
use Test::More;
use Time::HiRes qw(time);

my $w = BankAndShop->new(
	conf => q{
max_connections = 300
max_logical_replication_workers = 0
teller.max_in_flight = 40
teller.connect_timeout = '1h'
teller.attempt_timeout = '1h'
teller.operation_expiry = '1d'
teller.circuit_open = '1h'
teller.shutdown_grace = '1s'
});
my $node = $w->{shop};

ok($w->worker_is('idle'), 'the worker runs');

# A server that takes connections and never answers.
my $silent_dir = PostgreSQL::Test::Utils::tempdir_short();
my $silent = listen_silently();
my $direct = $w->server_options('bank');

sub listen_silently
{
	my $path = "$silent_dir/.s.PGSQL.5432";

	unlink $path;
	return IO::Socket::UNIX->new(Local => $path, Listen => 200)
	  // die "socket: $!";
}

sub add_server
{
	my ($name, $account, $options) = @_;

	$w->shop(qq{
		SELECT teller.open_account(1, $account, 'USD', 'at $name', min_balance => NULL);
		CREATE SERVER $name FOREIGN DATA WRAPPER teller_postgres OPTIONS ($options);
		CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS (user 'shop');
		SELECT teller.set_settlement_account(1, '$name', $account)});
	return;
}

add_server('direct', 8, $direct);
add_server('silent', 7, "host '$silent_dir', port '5432', dbname 'bank'");

# All of them in one transaction.
sub submit
{
	my ($server, $count, $name) = @_;

	return $w->shop(
		qq{SELECT count(*) FROM generate_series(1, $count) i, LATERAL
			teller.withdraw(1, 2, '$server', 0.10, 'carol', '$name ' || i) w});
}

sub until_true
{
	my ($condition, $test) = @_;

	return ok($node->poll_query_until('shop', "SELECT $condition"), $test);
}

sub all_end
{
	my ($like, $test) = @_;

	return until_true(
		"count(*) = 0 FROM teller.operation WHERE nonce LIKE '$like' AND ended_at IS NULL",
		$test);
}

sub count_of
{
	my ($from) = @_;

	return $w->shop("SELECT count(*) FROM $from");
}

sub open_calls { return count_of('teller.attempt WHERE ended_at IS NULL'); }

# The most calls that were open at once when one of these began, by what the
# attempts say: an attempt is on record before its call begins and ends when
# its outcome is recorded.
sub most_at_once
{
	my ($where, $since) = @_;

	return $w->shop(
		qq{WITH a AS MATERIALIZED (SELECT a.started_at, a.ended_at
				FROM teller.attempt a JOIN teller.operation o ON o.id = a.operation_id
				WHERE $where),
			step AS (SELECT started_at AS at, 1 AS by FROM a
				UNION ALL SELECT ended_at, -1 FROM a WHERE ended_at IS NOT NULL),
			level AS (SELECT at, by, sum(by) OVER (ORDER BY at, by ROWS UNBOUNDED PRECEDING) AS calls FROM step)
			SELECT coalesce(max(calls), 0) FROM level WHERE by = 1 AND at > '$since'});
}

sub now { return $w->shop('SELECT clock_timestamp()'); }

# What a server settles in a second.
sub throughput
{
	my ($like) = @_;

	return $w->shop(
		qq{SELECT round(count(*) / extract(epoch FROM max(ended_at) - min(created_at)))
			FROM teller.operation WHERE nonce LIKE '$like' AND state = 'settled'});
}

# The other servers' settlement accounts are the same shop's money at the bank.
sub books_agree
{
	my ($test) = @_;

	foreach my $account (7, 8)
	{
		$w->shop(qq{SELECT teller.transfer(1, $account, 9, b.posted)
			FROM teller.balance(1, $account) b WHERE b.posted > 0});
	}
	return $w->books_agree($test);
}

# The worker has read the configuration file as it is now.
sub worker_reads_file
{
	foreach my $value ('off', 'on')
	{
		$w->set('teller.dispatch', $value);
		until_true(
			"dispatch = '$value' FROM teller.worker_status WHERE database = 'shop'",
			"the worker has read the file: dispatch is $value");
	}
	return;
}

# ---- one thousand over three servers ----

submit('direct', 334, 'alone');
all_end('alone %', 'the healthy server alone');

$w->gate(q{SELECT gate.lose_every(7), gate.slow('50 ms')});
submit('silent', 333, 'silent');
until_true(
	"in_flight = 16 FROM teller.server_health WHERE server = 'silent'",
	'sixteen calls hang, as many as a server may have');
submit('direct', 334, 'beside one');
all_end('beside one %', 'the healthy one goes on');
my $since = now();
submit('bank', 333, 'lossy');
submit('direct', 334, 'healthy');
all_end('healthy %', 'all operations of the healthy server end');
is( $w->shop(
		q{SELECT state, attempts, count(*) FROM teller.operation WHERE nonce LIKE 'healthy %' GROUP BY 1, 2}),
	'settled|1|334', 'settled, at the first attempt');
is( $w->shop(
		q{SELECT state, attempts, count(*) FROM teller.operation WHERE nonce LIKE 'silent %' GROUP BY 1, 2 ORDER BY 1 DESC}),
	"in_flight|1|16\nheld|0|317", 'while the same sixteen calls hang and the rest waits');
all_end('lossy %', 'the server that loses replies goes on as well');
is( $w->shop(
		q{SELECT state, count(*) FROM teller.operation WHERE nonce LIKE 'lossy %' GROUP BY 1}),
	'settled|333', 'all of its operations settle');
cmp_ok(count_of(q{teller.operation WHERE nonce LIKE 'lossy %' AND dirty}),
	'>=', 40, 'though many replies were lost');
is(most_at_once(q{nonce LIKE 'silent %'}, '-infinity'), '16',
	'the cap of the one that hangs was reached and kept');
foreach my $name ('healthy', 'lossy')
{
	cmp_ok(most_at_once("nonce LIKE '$name %'", $since), '<=', 16,
		"the cap of the $name one was kept");
}
cmp_ok(most_at_once('true', $since), '<=', 40,
	'and so was the cap of all together');
note 'settled in a second at the healthy server: alone ',
  throughput('alone %'), ', beside the one that hangs ',
  throughput('beside one %'), ', beside both, on the same machine ',
  throughput('healthy %');
is( $w->shop(
		q{SELECT string_agg(circuit, ' ' ORDER BY server) FROM teller.server_health}),
	'closed closed closed', 'no circuit is open yet');

# Nobody listens any more, and what hung breaks.
$w->gate(q{SELECT gate.lose_every(0), gate.slow('0')});
close $silent;
until_true(
	"circuit = 'open' FROM teller.server_health WHERE server = 'silent'",
	'the circuit of the one that hung opens');
until_true(
	q{count(*) = 0 FROM teller.operation WHERE nonce LIKE 'silent %' AND state = 'in_flight'},
	'nothing is in flight there');
is( $w->shop(
		q{SELECT DISTINCT a.outcome FROM teller.attempt a JOIN teller.operation o ON o.id = a.operation_id WHERE nonce LIKE 'silent %'}),
	'not_sent', 'nothing was sent');
submit('direct', 20, 'after');
all_end('after %', 'the healthy one goes on');
is(count_of(q{teller.attempt a JOIN teller.operation o ON o.id = a.operation_id WHERE nonce LIKE 'silent %'}),
	'16', 'and the other one is left alone');

$w->shop(qq{ALTER SERVER silent OPTIONS (SET host '@{[$w->{bank}->host]}', SET port '@{[$w->{bank}->port]}')});
submit('direct', 1, 'wakes');
all_end('%', 'the server is mended: every operation ends');
is(count_of(q{teller.operation WHERE state <> 'settled'}), '0', 'settled');
books_agree('three servers');

# ---- SIGHUP lowers the caps, with 64 calls in flight ----

$w->set('teller.max_in_flight', '64');
$w->set('teller.max_in_flight_per_server', '64');
worker_reads_file();
my $gate = $w->close_gate;
submit('bank', 80, 'capped');
ok($w->gate_has(64), '64 calls are in flight');
is(open_calls(), '64', 'and no more');
$w->set('teller.max_in_flight', '6');
$w->set('teller.max_in_flight_per_server', '4');
worker_reads_file();
submit('direct', 20, 'beside');
worker_reads_file();
is($w->gate('SELECT gate.waiting()'), '64', 'lower caps cut no call');
is(open_calls(), '64', 'and begin none');
$since = now();

# End calls without an effect; the last wait on.
sub cancel_but
{
	my ($left) = @_;

	$w->gate(
		qq{SELECT count(pg_cancel_backend(pid)) FROM (SELECT pid FROM pg_locks
			WHERE locktype = 'advisory' AND NOT granted AND mode = 'ShareLock'
			ORDER BY pid OFFSET $left) l});
	return;
}

cancel_but(10);
until_true(q{count(*) = 10 FROM teller.attempt WHERE ended_at IS NULL},
	'most of them end, and ten are left');
worker_reads_file();
is(open_calls(), '10', 'none begins above the cap of all');
cancel_but(5);
all_end('beside %', 'with five left, the other server has one');
is($w->gate('SELECT gate.waiting()'), '5', 'but not the first, which is above its own');
is(most_at_once('true', $since), '6', 'all together keep to the lowered cap');
cancel_but(2);
ok($w->gate_has(4), 'with two left, two begin');
$gate->query_safe('SELECT gate.open()');
all_end('capped %', 'in the end all operations end');
is(most_at_once(q{server = 'bank'}, $since), '4',
	'the server kept to its lowered cap');
is(count_of(q{teller.operation WHERE state <> 'settled'}), '0', 'and settle');
books_agree('lowered caps');

# ---- a fast stop, with 64 calls in flight ----

$w->set('teller.max_in_flight', '64');
$w->set('teller.max_in_flight_per_server', '64');
worker_reads_file();
$gate->query_safe('SELECT gate.close()');
submit('bank', 80, 'stopped');
ok($w->gate_has(64), '64 calls are in flight');
my $begin = time();
$node->stop('fast');
cmp_ok(time() - $begin, '<', 20, 'a fast stop does not wait for them');
$node->start;
until_true(q{count(*) = 64 FROM teller.attempt WHERE outcome = 'lost'},
	'the next worker finds 64 lost attempts');
$gate->query_safe('SELECT gate.open()');
all_end('stopped %', 'and sends the operations again');
is(count_of(q{teller.operation WHERE state <> 'settled'}), '0', 'all settle');
books_agree('a fast stop');

# ---- queue limits: who waits, and for how long ----

$gate->query_safe('SELECT gate.close()');
$w->set('teller.max_pending_operations_per_account', '2');
submit('bank', 2, 'queued');
ok($w->gate_has(2), 'two operations of the account are open');
my $third = q{SELECT teller.withdraw(1, 2, 'bank', 0.10, 'carol', 'queued 3')};
is($w->sqlstate("SET teller.submit_wait = '50 ms'; $third"), 'TL011',
	'submit_wait ends with TL011');
is(count_of(q{teller.operation WHERE nonce = 'queued 3'}), '0', 'and leaves nothing');
my $patient = $node->background_psql('shop', on_error_stop => 1);
$patient->query_safe(
	q{SET teller.submit_wait = '5 min'; SET application_name = 'patient'});
$patient->query_until(qr/waiting/, "\\echo waiting\n$third;\n");
until_true(
	q{count(*) = 1 FROM pg_stat_activity WHERE application_name = 'patient' AND wait_event_type = 'Extension'},
	'who has more patience waits for room in the account');
$gate->query_safe('SELECT gate.open()');
$patient->query_safe('SELECT 1');
$patient->quit;
all_end('queued %', 'and gets it');
$w->reset('teller.max_pending_operations_per_account');
is($w->operation('queued 3', 'state'), 'settled', 'its operation settles');

# ---- DROP EXTENSION and DROP DATABASE, with 64 calls in flight ----

$silent = listen_silently();

sub make_doomed
{
	$node->safe_psql('postgres', 'CREATE DATABASE doomed')
	  unless $_[0];
	$node->safe_psql('doomed', qq{
		CREATE EXTENSION pg_teller;
		SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
		SELECT teller.open_account(1, 1, 'USD', min_balance => NULL), teller.open_account(1, 2, 'USD');
		SELECT status FROM teller.transfer(1, 1, 2, 100);
		CREATE SERVER silent FOREIGN DATA WRAPPER teller_postgres
			OPTIONS (host '$silent_dir', port '5432', dbname 'bank');
		CREATE USER MAPPING FOR PUBLIC SERVER silent OPTIONS (user 'shop');
		SELECT teller.set_settlement_account(1, 'silent', 1);
		SELECT count(*) FROM generate_series(1, 80) i, LATERAL
			teller.withdraw(1, 2, 'silent', 0.10, 'carol', 'doomed ' || i) w});
	ok( $node->poll_query_until('doomed',
			q{SELECT in_flight = 64 FROM teller.worker_status WHERE database = 'doomed'}),
		'64 calls are in flight in another database');
	return;
}

sub doomed_worker_is_gone
{
	my ($test) = @_;

	return ok($node->poll_query_until('postgres',
			q{SELECT count(*) = 0 FROM pg_stat_activity
			  WHERE backend_type = 'pg_teller worker' AND datname = 'doomed'}),
		$test);
}

make_doomed(0);
my (undef, undef, $stderr) = $node->psql('doomed',
	"\\set VERBOSITY sqlstate\nDROP EXTENSION pg_teller CASCADE");
like($stderr, qr/ERROR:  55000/, 'DROP EXTENSION is refused');
is( $node->safe_psql('doomed',
		q{SELECT in_flight FROM teller.worker_status WHERE database = 'doomed'}),
	'64', 'and disturbs no call');
$node->safe_psql('doomed',
	'SET teller.allow_drop = on; DROP EXTENSION pg_teller CASCADE');
doomed_worker_is_gone('with allow_drop it is dropped, and the worker leaves its calls');
make_doomed(1);
$begin = time();
$node->safe_psql('postgres', 'DROP DATABASE doomed');
cmp_ok(time() - $begin, '<', 20, 'DROP DATABASE does not wait for them');
submit('direct', 20, 'undisturbed');
all_end('undisturbed %', 'the other databases go on');

# ---- descriptors run out ----

sub limit_files
{
	my ($pid, $limit) = @_;

	return $limit > 0
	  && !system("prlimit --pid $pid --nofile=$limit: >/dev/null 2>&1");
}

# The lowest number that is free, or nothing where that cannot be told.
sub next_descriptor
{
	my ($pid) = @_;
	my %used = map { m{/(\d+)$}; $1 => 1 } glob "/proc/$pid/fd/*";
	my $next = 0;

	$next++ while $used{$next};
	return $next;
}

# A limit that leaves no number for another wait set, once this one is closed:
# below it, below all sockets, and below what is free.
sub wait_set_descriptor
{
	my ($pid) = @_;
	my @limits = (next_descriptor($pid));
	my @polls;

	foreach my $file (glob "/proc/$pid/fd/*")
	{
		my ($number) = $file =~ m{/(\d+)$};
		my $what = readlink($file) // '';

		push @polls, $number if $what =~ /eventpoll/;
		push @limits, $number if $what =~ /^socket:/;
	}
	return 0 if @polls < 2;
	@polls = sort { $a <=> $b } @polls;
	@limits = sort { $a <=> $b } grep { $_ > $polls[0] } @limits, $polls[-1];
	return $limits[0];
}

# By PostgreSQL's own count: a third of max_files_per_process is for sockets.
$w->set('teller.max_attempts', '1000');
$w->set('teller.circuit_open', '100ms');
$node->safe_psql('postgres', 'ALTER SYSTEM SET max_files_per_process = 110');
$node->restart;
submit('direct', 1, 'opens files');
all_end('opens files %', 'the worker is at work');

SKIP:
{
	my $pid = $w->worker_pid;

	$gate->query_safe('SELECT gate.close()');
	submit('bank', 5, 'unwatched');
	ok($w->gate_has(5), 'five calls are in flight');
	skip 'no prlimit or no /proc', 6
	  unless limit_files($pid, wait_set_descriptor($pid));

	# When one call ends, the wait set is made anew, and cannot be.
	$w->gate(q{SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_locks
		WHERE locktype = 'advisory' AND NOT granted ORDER BY pid LIMIT 1) l});
	until_true(
		q{last_error LIKE '%epoll_create1%' FROM teller.worker_status WHERE database = 'shop'},
		'no descriptor is left to wait with');
	submit('bank', 64, 'more');
	until_true(q{count(*) > 40 FROM teller.attempt WHERE ended_at IS NULL},
		'more calls are claimed than there are descriptors');
	limit_files($pid, 1000);
	$gate->query_safe('SELECT gate.open()');
	all_end('unwatched %', 'the worker recovers: what was in flight ends');
	all_end('more %', 'and so does what was claimed');
	is(count_of(q{teller.operation WHERE state <> 'settled'}), '0', 'all settle');
	is($w->worker_pid, $pid, 'without a restart');
	$gate->query_safe('SELECT gate.close()');
}

submit('bank', 64, 'short');
until_true(q{count(*) > 0 FROM teller.attempt WHERE detail LIKE 'no file descriptor is left%'},
	'there are fewer descriptors than calls, and the attempts say so');
is( $w->shop(q{SELECT DISTINCT a.outcome FROM teller.attempt a JOIN teller.operation o ON o.id = a.operation_id
		WHERE o.nonce LIKE 'short %' AND a.outcome IS NOT NULL}),
	'not_sent', 'what has no descriptor is not sent');
is( count_of(q{teller.operation WHERE nonce LIKE 'short %' AND state NOT IN ('held', 'in_flight', 'retry_wait')}),
	'0', 'and waits, with its money held');
cmp_ok($w->gate('SELECT gate.waiting()'), '>', 10, 'the others are on their way');
$gate->query_safe('SELECT gate.open()');
all_end('short %', 'as descriptors become free, all operations end');
is(count_of(q{teller.operation WHERE state <> 'settled'}), '0', 'settled');

# By the operating system's: there are numbers for two more.
$node->safe_psql('postgres', 'ALTER SYSTEM RESET max_files_per_process');
$node->restart;
submit('direct', 1, 'opens more');
all_end('opens more %', 'the worker is at work');

SKIP:
{
	my $pid = $w->worker_pid;
	my $next = next_descriptor($pid);

	skip 'no prlimit or no /proc', 6
	  unless $next > 0 && limit_files($pid, $next + 2);
	$gate->query_safe('SELECT gate.close()');
	submit('bank', 64, 'limited');
	until_true(q{count(*) > 0 FROM teller.attempt WHERE outcome = 'not_sent' AND detail LIKE '%Too many open files%'},
		'the system refuses descriptors, and the attempts say so');
	is( count_of(q{teller.operation WHERE nonce LIKE 'limited %' AND state NOT IN ('held', 'in_flight', 'retry_wait')}),
		'0', 'the operations wait');
	is($w->worker_pid, $pid, 'the worker lives');
	limit_files($pid, 1000);
	$gate->query_safe('SELECT gate.open()');
	all_end('limited %', 'it recovers when there are descriptors again');
	is(count_of(q{teller.operation WHERE state <> 'settled'}), '0', 'all settle');
	is($w->worker_pid, $pid, 'without a restart');
}
books_agree('exhausted descriptors');

# ---- no worker slot is left ----

# One slot for the launcher, one for a worker: the other database gets it.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION pg_teller');
$node->safe_psql('postgres', 'ALTER DATABASE shop ALLOW_CONNECTIONS false');
$node->safe_psql('postgres', 'ALTER SYSTEM SET max_worker_processes = 2');
$node->restart;
ok( $node->poll_query_until('other',
		q{SELECT state = 'idle' FROM teller.worker_status WHERE database = 'other'}),
	'another database has the only worker');
$node->safe_psql('postgres', 'ALTER DATABASE shop ALLOW_CONNECTIONS true');
submit('direct', 64, 'no slot');
until_true(
	q{last_error = 'no free background worker slot' AND pid IS NULL FROM teller.worker_status WHERE database = 'shop'},
	'worker_status tells of the missing slot');
is( $w->shop(q{SELECT ok, says LIKE '%no free background worker slot%', mend LIKE 'Raise max_worker_processes%'
		FROM teller.check_config() WHERE check_name = 'worker'}),
	'f|t|t', 'and so does check_config, with what mends it');
is(count_of(q{teller.operation WHERE nonce LIKE 'no slot %' AND state = 'held'}),
	'64', 'the operations wait');
$node->safe_psql('postgres', 'DROP DATABASE other');
all_end('no slot %', 'as soon as a slot is free they end, without a restart');
is($w->shop(q{SELECT ok FROM teller.check_config() WHERE check_name = 'worker'}),
	't', 'and check_config is content');
is(count_of(q{teller.operation WHERE state <> 'settled'}), '0', 'all settle');
books_agree('in the end');

$gate->quit;
$w->stop;
nothing_unseen($node, qr/terminated by signal/);

done_testing();
