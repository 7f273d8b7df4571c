# Requests of the application through deaths: killed holders, crashes, prepared
# transactions, dump and restore, many sessions at once; and how they are
# forgotten.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::BackgroundPsql;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PollAcrossRestarts;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
restart_after_crash = on
max_prepared_transactions = 4
wal_writer_delay = 10s
autovacuum = off
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_teller');

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

# The SQLSTATE that a statement raises, or ''.
sub sqlstate
{
	my ($sql) = @_;
	my (undef, undef, $stderr) =
	  $node->psql('postgres', "\\set VERBOSITY sqlstate\n$sql;");

	return $stderr =~ /(?:ERROR|FATAL):\s+(\w+)/ ? $1 : '';
}

sub session
{
	my ($name) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	$session->query_safe("SET application_name = '$name'");
	$session->query_safe('\set VERBOSITY sqlstate');
	return $session;
}

sub pid { my ($session) = @_; return $session->query_safe('SELECT pg_backend_pid()'); }

# Send a statement that is going to wait for a lock.
sub waits
{
	my ($session, $name, $sql) = @_;

	$session->query_until(qr/sent/, "\\echo sent\n$sql;\n");
	return ok( $node->poll_query_until('postgres', qq{
		SELECT count(*) = 1 FROM pg_stat_activity
		WHERE application_name = '$name' AND wait_event_type = 'Lock'}),
		"$name waits");
}

# What came of it.
sub says
{
	my ($session) = @_;
	my $out = $session->query('SELECT 1');
	my $err = $session->{stderr};

	$session->{stderr} = '';
	return "$out$err";
}

sub begin_request
{
	my ($key, $more) = @_;

	$more = defined $more ? ", $more" : '';
	return "SELECT fresh, state, token, response FROM teller.begin_request('shop', '$key', '{}'$more)";
}

sub finish_request
{
	my ($key, $response, $token) = @_;

	return sprintf("SELECT teller.finish_request('shop', '%s', '\"%s\"', %s)",
		$key, $response, $token // 'NULL');
}

sub run_out
{
	my ($key) = @_;

	sql(qq{UPDATE teller.request SET lease_until = clock_timestamp() - interval '1 second'
		WHERE scope = 'shop' AND key = '$key'});
	return;
}

# All processes are new after a crash.
sub checkpointer
{
	return sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'});
}

sub kill_hard
{
	my ($pid) = @_;
	my $before = checkpointer();

	kill 'KILL', $pid;
	return ok( $node->poll_query_until('postgres', qq{
		SELECT pid <> $before FROM pg_stat_activity
		WHERE backend_type = 'checkpointer'}),
		'the server is back after a crash');
}

# ---- many at once ----

sql(q{
	CREATE TABLE effect (key text, who int);
	CREATE FUNCTION serve(the_key text, lease interval) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		b record;
	BEGIN
		SELECT * INTO b FROM teller.begin_request('shop', the_key, '{}', lease);
		IF b.fresh THEN
			INSERT INTO effect VALUES (the_key, pg_backend_pid());
			PERFORM teller.finish_request('shop', the_key, to_jsonb(pg_backend_pid()), b.token);
			RETURN pg_backend_pid();
		END IF;
		RETURN b.response #>> '{}';
	END
	$$;
});

# 20 sessions wait at a gate, then all begin the same ten requests.
sub race
{
	my ($name, $lease) = @_;
	my $gate = $node->background_psql('postgres', on_error_stop => 1);
	my (@runs, @out, %answers);

	$gate->query_safe('SELECT pg_advisory_lock(1)');
	for my $i (0 .. 19)
	{
		$out[$i] = '';
		push @runs,
		  IPC::Run::start(
			[
				'psql', '-XAtq', '-d', $node->connstr('postgres'),
				'-c', "SET application_name = 'racer'",
				'-c', 'SELECT pg_advisory_lock_shared(1)',
				map { ('-c', "SELECT '$_ ' || serve('$name $_', $lease)") } 1 .. 10
			],
			'<', \undef, '>', \$out[$i], '2>&1');
	}
	ok( $node->poll_query_until('postgres', q{
		SELECT count(*) = 20 FROM pg_stat_activity
		WHERE application_name = 'racer' AND wait_event = 'advisory'}),
		"$name: 20 sessions are at the gate");
	$gate->quit;
	$_->finish for @runs;
	foreach my $out (@out)
	{
		$answers{$1}{$2}++ while $out =~ /^(\d+) (\d+)$/mg;
	}
	is(join(' ', map { join(',', values %{ $answers{$_} }) } 1 .. 10),
		join(' ', (20) x 10), "$name: every session gets the one answer");
	is(sql("SELECT count(*), count(DISTINCT key) FROM effect WHERE key LIKE '$name %'"),
		'10|10', "$name: one effect for each request");
	return;
}

race('at once', 'NULL');
race('under a lease', q{'1 hour'});

# ---- the holder is killed between begin and finish ----

foreach my $how ('terminated', 'killed')
{
	my $first = session('first');
	my $second = session('second');
	my $pid = pid($first);
	my $kill = sub {
		sql("SELECT pg_terminate_backend($pid)") if $how eq 'terminated';
		kill_hard($pid) if $how eq 'killed';
	};

	# In its transaction, without a lease: nothing is left.
	$first->query_safe('BEGIN');
	like($first->query_safe(begin_request("$how 1")), qr/^t\|started\|1/,
		"$how: the first holds a request");
	if ($how eq 'terminated')
	{
		waits($second, 'second', begin_request("$how 1", q{'1 hour'}));
		$kill->();
		like(says($second), qr/^t\|started\|1\|$/m,
			'the one that waits gets it fresh');
	}
	else
	{
		$kill->();
		is(sql(begin_request("$how 1", q{'1 hour'})), 't|started|1|',
			'after the crash it is free');
		$second->{run}->kill_kill;
	}
	$first->{run}->kill_kill;
	$second->quit if $how eq 'terminated';

	# With a lease that was committed: it stands, until it runs out.  It is
	# there even where synchronous_commit is off.
	$first = session('first');
	$pid = pid($first);
	$first->query_safe('SET synchronous_commit = off');
	$first->query_safe(begin_request("$how 2", q{'1 hour'}));
	$kill->();
	is(sql(begin_request("$how 2", q{'1 hour'})), 'f|in_progress||',
		"$how with a lease: it is in progress");
	run_out("$how 2");
	is(sql(begin_request("$how 2", q{'1 hour'})), 't|started|2|',
		'when the lease has run out, another gets it');
	is(sqlstate(finish_request("$how 2", 'late', 1)), '55000',
		'the old token is worth nothing');
	$first->{run}->kill_kill;

	# Finished, and killed right after the commit.
	$first = session('first');
	$pid = pid($first);
	$first->query_safe('SET synchronous_commit = off');
	$first->query_safe(finish_request("$how 2", 'done', 2));
	$kill->();
	is(sql(begin_request("$how 2", q{'1 hour'})), 'f|finished||"done"',
		"$how after the finish: the answer is there");
	$first->{run}->kill_kill;
}

# ---- PREPARE TRANSACTION, and a crash before COMMIT PREPARED ----

is(sqlstate('BEGIN; ' . begin_request('prepared') . q{; PREPARE TRANSACTION 'x'}),
	'55000', 'an unfinished request cannot be prepared');
is(sql('SELECT count(*) FROM pg_prepared_xacts'), '0', 'and is not')
  or die 'a prepared request would keep the others waiting';
sql('BEGIN; ' . begin_request('prepared') . '; ' . finish_request('prepared', 'done')
	  . q{; PREPARE TRANSACTION 'finished'});
sql('BEGIN; ' . begin_request('given up') . '; ' . finish_request('given up', 'done')
	  . q{; PREPARE TRANSACTION 'given up'});
sql('BEGIN; ' . begin_request('leased', q{'1 hour'}) . q{; PREPARE TRANSACTION 'leased'});
# The same backend goes on with a clean list.
is( sql('BEGIN; ' . begin_request('other') . '; ' . finish_request('other', 'x')
		  . q{; PREPARE TRANSACTION 'other'; SELECT 1; COMMIT PREPARED 'other'; SELECT 2}),
	"t|started|1|\n\n1\n2", 'after PREPARE nothing is left to be finished');

$node->stop('immediate');
$node->start;
my @waiting = map { session("waiter $_") } 0 .. 2;
waits($waiting[0], 'waiter 0', begin_request('prepared'));
waits($waiting[1], 'waiter 1', begin_request('given up', q{'1 hour'}));
waits($waiting[2], 'waiter 2', begin_request('leased'));
sql(q{COMMIT PREPARED 'finished'});
sql(q{ROLLBACK PREPARED 'given up'});
sql(q{COMMIT PREPARED 'leased'});
like(says($waiting[0]), qr/^f\|finished\|\|"done"$/m,
	'COMMIT PREPARED after a crash: the answer');
like(says($waiting[1]), qr/^t\|started\|1\|$/m,
	'ROLLBACK PREPARED after a crash: fresh');
like(says($waiting[2]), qr/^f\|in_progress\|\|$/m,
	'a prepared lease: in progress');
$_->quit foreach @waiting;

# ---- DROP EXTENSION in the transaction that began ----

sql('CREATE DATABASE brief');
is( $node->safe_psql('brief', q{
		CREATE EXTENSION pg_teller;
		BEGIN;
		SELECT fresh FROM teller.begin_request('s', 'k', '{}');
		DROP EXTENSION pg_teller;
		COMMIT;
		BEGIN;
		CREATE EXTENSION pg_teller;
		SELECT fresh FROM teller.begin_request('s', 'k', '{}');
		DROP EXTENSION pg_teller;
		CREATE EXTENSION pg_teller;
		COMMIT;
		SELECT count(*) FROM teller.request;}),
	"t\nt\n0", 'a request that was dropped needs no answer');

# ---- what is old ----


sql(q{CREATE ROLE web LOGIN; GRANT USAGE ON SCHEMA teller TO web});
sql(q{SELECT count(teller.finish_request('old', 'k' || i, '1', 1))
	FROM generate_series(1, 30) AS i,
	LATERAL teller.begin_request('old', 'k' || i, '{}', '1 hour', '2020-01-01 00:00Z'::timestamptz + i * interval '1 day') AS b});
sql(q{SELECT teller.finish_request('older', 'k', '1', 1)
	FROM teller.begin_request('older', 'k', '{}', '1 hour', '2019-01-01 00:00Z')});
sql(q{SELECT fresh FROM teller.begin_request('open', 'lapsed long ago', '{}', '1 hour', '2020-01-01 00:00Z')});
sql(q{SELECT fresh FROM teller.begin_request('open', 'lapsed', '{}', '1 hour', '2020-01-01 00:00Z')});
sql(q{SELECT fresh FROM teller.begin_request('open', 'held', '{}', '1 hour', '2020-01-01 00:00Z')});
sql(q{UPDATE teller.request SET lease_until = clock_timestamp() - CASE key
		WHEN 'lapsed' THEN interval '10 minutes' ELSE interval '1 day' END
	WHERE scope = 'open' AND key LIKE 'lapsed%'});
sql(q{SELECT teller.finish_request('young', 'k', '1', 1)
	FROM teller.begin_request('young', 'k', '{}', '1 day', date_trunc('minute', now()) - interval '10 minutes')});
my $kept = sql(q{SELECT count(*) FROM teller.request WHERE request_time IS NULL});
cmp_ok($kept, '>', 20, 'there are requests without a time');

my $left = q{SELECT string_agg(scope || ' ' || n, ', ' ORDER BY scope) FROM (SELECT scope, count(*) AS n
	FROM teller.request WHERE request_time IS NOT NULL GROUP BY scope) AS s};

is(sql('SELECT teller.prune_requests()'), '0',
	'while key_retention is 0 nothing is forgotten');
is(sql($left), 'old 30, older 1, open 3, young 1', 'all are there');

$node->append_conf('postgresql.conf', "teller.key_retention = '1h'\n");
$node->restart;

is(sql('SELECT state FROM teller.begin_request(\'old\', \'k1\', \'{}\', request_time => \'2020-01-02 00:00Z\')'),
	'finished', 'an old request that is still there is replayed');
is(sqlstate(q{SELECT teller.begin_request('new scope', 'k', '{}', '1 hour', now() - interval '1 hour')}),
	'TL012', 'a new one of the age of key_retention is refused');
is(sql(q{SELECT fresh FROM teller.begin_request('new scope', 'k', '{}', '1 hour', now() - interval '59 minutes')}),
	't', 'a younger one is not');
is(sql(q{SELECT count(*) FROM teller.request WHERE scope = 'new scope'}), '1',
	'what was refused left nothing');

# By anybody, whatever the search path holds.
is( sql(q{
		CREATE SCHEMA evil;
		CREATE FUNCTION evil.boom(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE division_by_zero; END';
		CREATE OPERATOR evil.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.boom);
		CREATE FUNCTION evil.max(timestamptz) RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz';
		GRANT USAGE ON SCHEMA evil TO PUBLIC;
		SET ROLE web;
		CREATE TEMP TABLE request (scope text);
		CREATE TEMP TABLE request_horizon (scope text);
		SET search_path = pg_temp, evil, pg_catalog;
		SELECT teller.prune_requests(3);
		SHOW search_path;}),
	"3\npg_temp, evil, pg_catalog", 'three are forgotten');
is(sql($left), 'new scope 1, old 29, open 2, young 1', 'the oldest');
is(sql(q{SELECT scope FROM teller.request_horizon ORDER BY scope}),
	"old\nolder\nopen", 'their scopes have a horizon');

# One that is locked is left; two at once share the work.
my $locker = session('locker');
my $pruner = session('pruner');
my $beginner = session('beginner');

$locker->query_safe(q{BEGIN; SELECT FROM teller.request WHERE scope = 'old' AND key = 'k2' FOR KEY SHARE});
$pruner->query_safe('BEGIN');
is($pruner->query_safe('SELECT teller.prune_requests(10)'), '10',
	'a locked request is passed over');
is($locker->query_safe(q{SELECT count(*) FROM teller.request WHERE key = 'k2'}), '1',
	'and kept');

# Begun again while it is being forgotten.
my $k3 = q{SELECT state FROM teller.begin_request('old', 'k3', '{}', '1 hour', '2020-01-04 00:00Z')};

waits($beginner, 'beginner', $k3);
$pruner->query_safe('ROLLBACK');
like(says($beginner), qr/^finished$/m,
	'not forgotten after all: the answer');
$pruner->query_safe('BEGIN');
$pruner->query_safe('SELECT teller.prune_requests(10)');
waits($beginner, 'beginner', $k3);
$pruner->query_safe('COMMIT');
like(says($beginner), qr/TL012/, 'forgotten: too old');

# With a snapshot from before.
$beginner->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
is($pruner->query_safe('SELECT teller.prune_requests(3)'), '3', 'more are forgotten');
$beginner->query(q{SELECT fresh FROM teller.begin_request('old', 'k12', '{}', '1 hour', '2020-01-13 00:00Z')});
like($beginner->{stderr}, qr/TL012/, 'with an old snapshot: too old');
$beginner->{stderr} = '';
$beginner->query_safe('ROLLBACK');

# Two of them at once.
$pruner->query_safe('BEGIN');
$pruner->query_safe('SELECT teller.prune_requests(5)');
waits($beginner, 'beginner', 'SELECT teller.prune_requests(5)');
$pruner->query_safe('COMMIT');
like(says($beginner), qr/^5$/m, 'a second one forgets others');
$locker->query_safe('COMMIT');
is(sql('SELECT teller.prune_requests()'), '6', 'the rest');
is(sql('SELECT teller.prune_requests()'), '0', 'then there is none');
$_->quit foreach ($locker, $pruner, $beginner);

is(sql($left), 'new scope 1, open 2, young 1',
	'what is young, held, or lapsed a short while ago is kept');
is(sql(q{SELECT count(*) FROM teller.request WHERE request_time IS NULL}), $kept,
	'and all that has no time');
is(sql(q{SELECT pruned_until = '2020-01-31 00:00Z' FROM teller.request_horizon WHERE scope = 'old'}),
	't', 'the horizon is the latest that was forgotten');

# ---- dump and restore ----

my $dump = $node->basedir . '/requests.dump';
my $key2 = q{SELECT token, state, response FROM teller.begin_request('shop', 'killed 2', '{}')};

command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
sql('CREATE DATABASE restored');
command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $dump ], 'pg_restore');
my $all = q{SELECT md5(string_agg(r::text, '|' ORDER BY scope, key)), count(*) FROM teller.request AS r};
is($node->safe_psql('restored', $all), sql($all), 'the requests are the same');
is($node->safe_psql('restored', $key2), '|finished|"done"', 'they are replayed');
is($node->safe_psql('restored', begin_request('leased')), 'f|in_progress||',
	'or in progress');
is($node->safe_psql('restored', 'SELECT count(*), max(pruned_until) FROM teller.request_horizon'),
	sql('SELECT count(*), max(pruned_until) FROM teller.request_horizon'),
	'the horizons too');

# ---- a longer memory brings nothing back ----

$node->append_conf('postgresql.conf', "teller.key_retention = '100000d'\n");
$node->restart;
my $again = q{SELECT teller.begin_request('old', 'k30', '{}', '1 hour', '2020-01-31 00:00Z')};

is(sqlstate($again), 'TL012', 'a longer retention does not bring it back');
$node->append_conf('postgresql.conf', "teller.key_retention = 0\n");
$node->restart;
is(sqlstate($again), 'TL012', 'nor does none');
is(sql(q{SELECT fresh FROM teller.begin_request('old', 'k31', '{}', '1 hour', '2020-01-31 00:00:01Z')}),
	't', 'what is younger than all that was forgotten may be begun');

# ---- the worker does it by itself ----

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_teller'\n");
$node->restart;
ok( $node->poll_query_until('postgres', q{
	SELECT state = 'idle' FROM teller.worker_status WHERE database = current_database()}),
	'the worker runs');
sql(q{SELECT count(*) FROM generate_series(1, 2500) AS i,
	LATERAL teller.begin_request('many', 'k' || i, '{}', '1 hour', '2020-01-01 00:00Z')});
sql(q{SELECT count(teller.finish_request('many', 'k' || i, '1', 1)) FROM generate_series(1, 2500) AS i});
is(sql(q{SELECT count(*) FROM teller.request WHERE scope = 'many'}), '2500',
	'it forgets nothing while key_retention is 0');

# A foreign key keeps one: the worker says so, and holds expire all the same.
sql(q{CREATE TABLE note (scope text COLLATE "C", key text COLLATE "C",
	FOREIGN KEY (scope, key) REFERENCES teller.request);
	INSERT INTO note VALUES ('many', 'k7')});
is(sql(begin_request('with a foreign key', q{'1 hour'})), 't|started|1|',
	'a foreign key to requests keeps nobody from beginning one');
$node->append_conf('postgresql.conf', "teller.key_retention = '1h'\n");
$node->reload;
ok( $node->poll_query_until('postgres', q{
	SELECT last_error LIKE '%foreign key%' FROM teller.worker_status WHERE database = current_database()}),
	'the worker shows why it cannot forget');
sql(q{
	SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
	SELECT teller.open_account(1, 1, 'USD', min_balance => NULL), teller.open_account(1, 2, 'USD');
	SELECT status FROM teller.hold(1, 1, 2, 5, '1 us')});
ok( $node->poll_query_until('postgres', q{
	SELECT state = 'expired' FROM teller.hold}), 'holds expire all the same');
is(sql(q{SELECT count(*) FROM teller.request WHERE scope = 'many'}), '2500', 'nothing was forgotten by halves');

# Keys are forgotten beside them, those without a time never.
$node->append_conf('postgresql.conf', "teller.key_retention = 0\n");
$node->reload;
ok( $node->poll_query_until('postgres', q{SELECT current_setting('teller.key_retention') = '0'}),
	'nothing is too old now');
sql(q{SELECT status FROM teller.transfer(1, 1, 2, 1, key => 'old', request_time => '2020-01-01 00:00Z')});
sql(q{SELECT status FROM teller.transfer(1, 1, 2, 1, key => 'timeless')});
sql('DROP TABLE note');
$node->append_conf('postgresql.conf', "teller.key_retention = '59min'\n");
$node->reload;
ok( $node->poll_query_until('postgres', q{
	SELECT count(*) = 0 FROM teller.request WHERE scope = 'many'}),
	'the worker forgets them all, batch after batch');
is(sqlstate(q{SELECT teller.begin_request('many', 'k7', '{}', '1 hour', '2020-01-01 00:00Z')}),
	'TL012', 'for good');
ok( $node->poll_query_until('postgres', q{
	SELECT string_agg(key, ' ') = 'timeless' FROM teller.key}),
	'it forgets the key that carried its time');
is(sqlstate(q{SELECT * FROM teller.transfer(1, 1, 2, 1, key => 'old', request_time => '2020-01-01 00:00Z')}),
	'TL012', 'whose transfer never runs again');
is(sql(q{SELECT replayed FROM teller.transfer(1, 1, 2, 1, key => 'timeless')}), 't',
	'and keeps the one that did not');
is(sql(q{SELECT count(*) FROM teller.verify()}), '0', 'verify finds nothing');

$node->stop;
done_testing();
