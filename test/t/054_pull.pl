# Pull servers and the worker: what an application has claimed is its own until
# its lease ends, through every kind of restart; a lease that ran out is noticed
# without anybody calling teller.claim(); and all of it works without a worker.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PollAcrossRestarts;
use Test::More;

my $setup = q{
	CREATE EXTENSION pg_teller;
	SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
	SELECT teller.open_account(1, 1, 'USD', 'world', min_balance => NULL);
	SELECT teller.open_account(1, 9, 'USD', 'at the provider', min_balance => NULL);
	SELECT teller.open_account(1, 2, 'USD', 'alice'), teller.open_account(1, 3, 'USD', 'carol');
	SELECT status FROM teller.transfer(1, 1, 2, 1000);
	SELECT status FROM teller.transfer(1, 1, 3, 1000);
	CREATE SERVER card FOREIGN DATA WRAPPER teller_pull;
	SELECT teller.set_settlement_account(1, 'card', 9);
	CREATE SERVER nobody FOREIGN DATA WRAPPER teller_postgres
		OPTIONS (host '/nowhere', dbname 'nothing');
	SELECT teller.set_settlement_account(1, 'nobody', 9);
};

my $node = PostgreSQL::Test::Cluster->new('shop');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'pg_teller'
teller.backoff_base = '20ms'
teller.backoff_max = '100ms'
teller.circuit_open = '100ms'
teller.not_after_margin = '0s'
max_prepared_transactions = 2
});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');

sub shop { return $node->safe_psql('shop', $_[0]); }

sub withdraw
{
	my ($nonce, $more) = @_;

	return shop("SELECT id FROM teller.withdraw(1, 2, 'card', 10, 'bob', '$nonce'"
		  . ($more ? ", $more" : '') . ')');
}

# What one claim gives: verb and token.
sub claim
{
	my ($lease) = @_;

	return shop("SELECT request ->> 'verb', token FROM teller.claim('card', 1, '$lease')");
}

sub complete
{
	my ($nonce, $token, $status) = @_;

	return shop("SELECT teller.complete(1, id, $token, memo, '$status', 'ref')
		FROM teller.operation WHERE nonce = '$nonce'");
}

sub is_state
{
	my ($nonce, $state, $test) = @_;

	return is(shop("SELECT concat_ws(' ', state, reason, attempts) FROM teller.operation WHERE nonce = '$nonce'"),
		$state, $test);
}

sub becomes
{
	my ($nonce, $state, $test) = @_;

	return ok($node->poll_query_until('shop',
			"SELECT concat_ws(' ', state, reason) = '$state' FROM teller.operation WHERE nonce = '$nonce'"),
		$test);
}

# Until the worker has gone through all there is: it has tried to send an
# operation that was submitted after all others.
my $rounds = 0;

sub worker_round
{
	my $nonce = 'round ' . ++$rounds;

	shop("SELECT state FROM teller.withdraw(1, 2, 'nobody', 1, 'bob', '$nonce')");
	$node->poll_query_until('shop',
		"SELECT attempts > 0 FROM teller.operation WHERE nonce = '$nonce'")
	  or die 'the worker does nothing';
	shop("SELECT teller.cancel(1, id) FROM teller.operation WHERE nonce = '$nonce'");
	return;
}

shop($setup);

# ---- it is not the worker's ----

withdraw('alone');
worker_round();
is_state('alone', 'held 0', 'the worker sends nothing for a pull server');
is(claim('1 hour'), 'execute|1', 'an application may');
worker_round();
is_state('alone', 'in_flight 1', 'the worker leaves alone what is claimed');
is(shop(q{SELECT string_agg(check_name, ' ' ORDER BY check_name) FROM teller.check_server(1, 'card') WHERE ok}),
	'dispatch instance server settlement_account usage', 'check_server asks for no worker');

# ---- restarts ----

$node->restart;
worker_round();
is_state('alone', 'in_flight 1', 'a lease outlives a restart of the server');
shop('SELECT pg_terminate_backend(pid) FROM teller.worker_status');
worker_round();
is_state('alone', 'in_flight 1', '... and one of the worker');
is(shop(q{SELECT outcome IS NULL FROM teller.attempt a JOIN teller.operation o ON o.id = a.operation_id WHERE nonce = 'alone'}),
	't', 'its attempt is not lost');
is(complete('alone', 1, 'executed'), 'settled', 'its holder completes it afterwards');

withdraw('crash');
is(shop(q{SET synchronous_commit = off; SELECT token FROM teller.claim('card', 1, '1 hour')}),
	'1', 'a claim with synchronous_commit off');
$node->stop('immediate');
$node->start;
worker_round();
is_state('crash', 'in_flight 1', 'a claim that was committed outlives a crash');
is(complete('crash', 1, 'executed'), 'settled', '... and so does its token');

withdraw('prepared');
shop(q{BEGIN; SELECT token FROM teller.claim('card', 1, '1 hour'); PREPARE TRANSACTION 'claim'});
$node->stop('immediate');
$node->start;
is(claim('1 hour'), '', 'a prepared claim gives it to nobody else');
shop(q{COMMIT PREPARED 'claim'});
is(complete('prepared', 1, 'executed'), 'settled', '... and counts once it is committed');

# ---- lookups ----

withdraw('looked up', "expires_in => '1 s'");
is(claim('1 s'), 'execute|1', 'sent shortly before not_after');
becomes('looked up', 'in_doubt', 'whose lease ends after not_after is in doubt');
ok($node->poll_query_until('shop',
		q{SELECT request ->> 'verb' = 'fence' FROM teller.claim('card', 1, '1 hour')}),
	'it is fenced');
$node->restart;
worker_round();
is(shop(q{SELECT string_agg(concat(verb, ' ', outcome), ', ' ORDER BY attempt)
	FROM teller.attempt a JOIN teller.operation o ON o.id = a.operation_id WHERE nonce = 'looked up'}),
	'execute lost, fence ', 'a fence that is out outlives a restart');
is(complete('looked up', 2, 'cancelled'), 'refunded', 'its holder tells what came of it');
shop(q{ALTER SERVER card OPTIONS (ADD can_fence 'off')});
withdraw('looked up again', "expires_in => '1 s'");
claim('1 s');
ok($node->poll_query_until('shop',
		q{SELECT request ->> 'verb' = 'lookup' FROM teller.claim('card', 1, '1 hour')}),
	'without fences it is looked up');
$node->restart;
worker_round();
is(shop(q{SELECT string_agg(concat(verb, ' ', outcome), ', ' ORDER BY attempt)
	FROM teller.attempt a JOIN teller.operation o ON o.id = a.operation_id WHERE nonce = 'looked up again'}),
	'execute lost, lookup ', 'and so does a lookup');
is(complete('looked up again', 2, 'executed'), 'settled', 'which finds it executed');
shop(q{ALTER SERVER card OPTIONS (DROP can_fence)});

# ---- leases and deadlines, seen to by the worker ----

withdraw('slow');
is(claim('1 s'), 'execute|1', 'a lease of one second');
becomes('slow', 'retry_wait', 'the worker notices that it ran out');
is(shop(q{SELECT dirty, last_error FROM teller.operation WHERE nonce = 'slow'}),
	't|the lease ran out', 'it may have run');
ok($node->poll_query_until('shop', q{SELECT token = 2 FROM teller.claim('card', 1, '1 hour')}),
	'the next claim has the next token');
is(complete('slow', 1, 'executed'), 'settled', 'the old holder says that it was executed');
is(complete('slow', 2, 'in_doubt'), 'settled', 'and the new one learns it');

withdraw('extended');
claim('1 s');
shop(q{SELECT teller.extend_lease(1, id, 1, '1 hour') FROM teller.operation WHERE nonce = 'extended'});
ok($node->poll_query_until('shop',
		q{SELECT clock_timestamp() > max(started_at) + interval '1.5 s' FROM teller.attempt}),
	'the first lease is over');
worker_round();
is_state('extended', 'in_flight 1', 'what was extended is not lost');
is(complete('extended', 1, 'rejected'), 'refunded', 'and its holder is believed');

withdraw('late', "expires_in => '1 s'");
becomes('late', 'refunded expired', 'what nobody claims until not_after is refunded');

# ---- dispatch ----

withdraw('off');
claim('1 hour');
withdraw('off too');
$node->append_conf('postgresql.conf', 'teller.dispatch = off');
$node->reload;
ok($node->poll_query_until('shop', q{SELECT current_setting('teller.dispatch') = 'off'}), 'dispatch is off');
is(claim('1 hour'), '', 'with dispatch off nothing is given out');
is(complete('off', 1, 'executed'), 'settled', 'and what comes back is taken');
$node->append_conf('postgresql.conf', 'teller.dispatch = on');
$node->reload;
ok($node->poll_query_until('shop', q{SELECT token = 1 FROM teller.claim('card', 1, '1 hour')}), 'dispatch is on again');
is(complete('off too', 1, 'executed'), 'settled', 'and goes on');

is(shop('SELECT * FROM teller.verify()'), '', 'the books are sound');
is(shop(q{SELECT count(*) FROM teller.operation WHERE server = 'card' AND ended_at IS NULL}), '0', 'every operation ended');

# ---- a copy ----

withdraw('original');
claim('1 hour');
withdraw('never sent');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE shop');
my (undef, undef, $stderr) = $node->psql('copy', "\\set VERBOSITY verbose\nSELECT teller.claim('card', 1, '1 min')");
like($stderr, qr/TL010/, 'a copy gives nothing out');
$node->safe_psql('copy', 'SELECT teller.adopt_instance()');
is( $node->safe_psql('copy', q{SELECT string_agg(nonce || ' ' || state, ', ' ORDER BY nonce) FROM teller.operation WHERE ended_at IS NULL}),
	'never sent in_doubt, original in_doubt', 'adopted, it holds nothing for unsent');
ok($node->poll_query_until('copy', q{
	DO $$ BEGIN PERFORM FROM teller.claim('card', 9, '1 hour') WHERE request ->> 'verb' = 'execute';
	IF FOUND THEN RAISE 'sent again'; END IF; END $$;
	SELECT count(*) = 2 FROM teller.attempt WHERE verb = 'lookup' AND outcome IS NULL}, "DO\nt"),
	'and has both looked up');
$node->stop;

# ---- without a worker ----

my $bare = PostgreSQL::Test::Cluster->new('bare');
$bare->init;
$bare->append_conf('postgresql.conf', "teller.backoff_base = '20ms'\nteller.not_after_margin = '0s'\n");
$bare->start;
$bare->safe_psql('postgres', "LOAD 'pg_teller'; $setup");

sub bare_withdraw
{
	my ($account, $nonce, $expires_in) = @_;

	return $bare->safe_psql('postgres',
		"SELECT id FROM teller.withdraw(1, $account, 'card', 10, 'bob', '$nonce', expires_in => '$expires_in')");
}

sub bare_claim
{
	return $bare->safe_psql('postgres', q{SELECT token FROM teller.claim('card', 1, '1 s')});
}

bare_withdraw(2, 'first', '1 day');
is(bare_claim(), '1', 'without the preload a withdrawal can be claimed');
ok($bare->poll_query_until('postgres', q{SELECT token = 2 FROM teller.claim('card', 1, '1 s')}),
	'and is claimed again when the lease is over');
is( $bare->safe_psql('postgres',
		q{SELECT teller.complete(1, id, 2, memo, 'executed') FROM teller.operation}),
	'settled', 'and completed');

# Two sessions refund what is past its deadline, of several accounts.
bare_withdraw($_ % 2 ? 2 : 3, "overdue $_", '1 s') foreach (1 .. 6);
ok($bare->poll_query_until('postgres', 'SELECT max(not_after) < clock_timestamp() FROM teller.operation WHERE ended_at IS NULL'),
	'six operations are past not_after');
my $one = $bare->background_psql('postgres', on_error_stop => 1);
my $two = $bare->background_psql('postgres', on_error_stop => 1);
$one->query_safe('BEGIN');
is($one->query_safe(q{SELECT count(*) FROM teller.claim('card', 1, '1 min')}), '0', 'nothing of them is given out');
$two->query_until(qr/asked/, "\\echo asked\nSELECT count(*) FROM teller.claim('card', 1, '1 min');\n");
ok($bare->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'}),
	'a second claim waits for the first');
$one->query_safe('COMMIT');
$two->query_safe('SELECT 1');
$one->quit;
$two->quit;
is( $bare->safe_psql('postgres', q{SELECT state, reason, count(*) FROM teller.operation WHERE nonce LIKE 'overdue%' GROUP BY 1, 2}),
	'refunded|expired|6', 'they are refunded once');
is($bare->safe_psql('postgres', 'SELECT * FROM teller.verify()'), '', 'the books are sound');
$bare->stop;

done_testing();
