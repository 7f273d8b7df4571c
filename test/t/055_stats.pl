# Seen from outside: the counters, the health of a server, what is in doubt and
# what comes next, and what check_config() says of a real set-up.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use BankAndShop;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $w = BankAndShop->new;

ok($w->worker_is('idle'), 'the worker runs');

sub stat_is
{
	my ($metric, $label, $value, $test) = @_;

	is( $w->shop(
			"SELECT value::bigint FROM teller.stats
			 WHERE metric = '$metric' AND label = '$label'"),
		$value, $test);
	return;
}

sub health
{
	my ($columns) = @_;

	return $w->shop("SELECT $columns FROM teller.server_health WHERE server = 'bank'");
}

# ---- counters ----

my $before = $w->shop(q{SELECT value::bigint FROM teller.stats WHERE metric = 'movements'});

$w->shop(q{SELECT status FROM teller.transfer(1, 1, 2, 1, key => 'counted')});
$w->shop(q{SELECT status FROM teller.transfer(1, 1, 2, 1, key => 'counted')});
stat_is('movements', '', $before + 1, 'a movement counts once');
stat_is('replays', '', 1, 'its repeat counts as one');
$w->shop(q{BEGIN; SELECT status FROM teller.transfer(1, 1, 2, 1); ROLLBACK});
stat_is('movements', '', $before + 1, 'what is rolled back does not count');
is($w->sqlstate('SELECT teller.transfer(1, 2, 1, 1000000)'), 'TL001', 'a denial is raised');
$w->shop(q{SELECT status FROM teller.transfer(1, 2, 1, 1000000, on_denial => 'return')});
stat_is('denials', 'insufficient_funds', 2, 'denials count, raised or returned');
is($w->sqlstate('SELECT teller.balance(1, 77)'), 'TL009', 'a refusal is raised');
stat_is('refusals', 'not_found', 1, 'refusals count by their name');
is( $w->shop(q{SELECT count(*) FROM teller.stats WHERE metric IN ('denials', 'refusals')}),
	12, 'each SQLSTATE of ours has its row');

# ---- health ----

$w->withdraw('well');
$w->becomes('well', 'settled');
is(health(q{circuit, failures_in_a_row, open_operations, answered, ambiguous}),
	'closed|0|0|1|0', 'a server that answers is well');
is(health('p50_ms > 0 AND p99_ms >= p50_ms AND last_answer_at > now() - interval \'1 min\''),
	't', 'and has its times');

$w->set('teller.circuit_failures', 2);
$w->set('teller.circuit_open', '1h');
$w->gate('SELECT gate.lose_next(1000)');
$w->withdraw('lost');
ok( $w->{shop}->poll_query_until('shop',
		q{SELECT circuit = 'open' FROM teller.server_health WHERE server = 'bank'}),
	'replies that are lost open its circuit');
is( health(q{failures_in_a_row >= 2, opens_at > now() + interval '30 min', ambiguous >= 2, open_operations}),
	't|t|t|1',
	'and the view says why, and for how long');
stat_is('open_operations', 'retry_wait', 1, 'the queue has its depth');

# ---- in doubt ----

$w->set('teller.max_attempts', 2);
$w->reset('teller.circuit_open');
$w->shop(q{ALTER SERVER bank OPTIONS (ADD can_fence 'off', ADD can_lookup 'off')});
$w->becomes('lost', 'in_doubt');
like(
	$w->shop(q{SELECT state, age > '0', next_step FROM teller.in_doubt WHERE nonce = 'lost'}),
	qr/^in_doubt\|t\|.*ask its people.*resolve/,
	'nothing can be asked: the view says what a person has to do');
$w->shop(q{CREATE ROLE stranger; GRANT USAGE ON SCHEMA teller TO stranger; SELECT teller.create_ledger(2);
	SELECT teller.grant_ledger(2, 'stranger', 'operate')});
is($w->shop(q{SET ROLE stranger; SELECT count(*) FROM teller.in_doubt}),
	'0', 'others do not see it');
is( $w->shop(q{SELECT ok FROM teller.check_config() WHERE check_name = 'in_doubt'}),
	't', 'an operation in doubt is no fault of the set-up at first');
$w->gate('SELECT gate.lose_next(0)');
$w->shop(q{SELECT teller.resolve(1, id, 'executed', 'by phone', 'the bank has it')
	FROM teller.operation WHERE nonce = 'lost'});
$w->becomes('lost', 'settled', 'a person resolves it');
stat_is('findings', 'resolved', 1, 'which is on record');
is($w->shop('SELECT count(*) FROM teller.in_doubt'), '0', 'and nothing is in doubt');
$w->withdraw('well again');
$w->becomes('well again', 'settled');
is(health(q{circuit, failures_in_a_row}), 'closed|0', 'the circuit is closed again');

# ---- the set-up ----

is( $w->shop(
		q{SELECT string_agg(check_name, ' ' ORDER BY check_name) FROM teller.check_config() WHERE NOT ok
		  AND check_name NOT IN ('fsync', 'full_page_writes', 'synchronous_commit', 'data_checksums')}),
	'', 'check_config finds nothing wrong with the shop');
$w->set('teller.dispatch', 'off');
ok( $w->{shop}->poll_query_until('shop',
		q{SELECT NOT ok AND mend LIKE 'ALTER SYSTEM SET teller.dispatch%' FROM teller.check_config()
		  WHERE check_name = 'dispatch'}),
	'dispatch off is found');
$w->reset('teller.dispatch');
is( $w->shop(q{SELECT bool_and(ok) FROM teller.check_config() WHERE check_name IN ('preload', 'worker', 'adopted')}),
	't', 'preloaded, at work, adopted');

$w->books_agree('in the end');
$w->stop;
done_testing();
