# Submissions that meet: the same nonce twice, the last money twice, rollbacks,
# savepoints, and transactions that are prepared.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use BankAndShop;
use PostgreSQL::Test::Utils;
use Test::More;

my $w = BankAndShop->new(conf => "max_prepared_transactions = 4\n");
my $first = $w->{shop}->background_psql('shop', on_error_stop => 0);
my $second = $w->{shop}->background_psql('shop', on_error_stop => 0);

$second->query_safe("SET application_name = 'second'");
$second->query_safe('\set VERBOSITY sqlstate');
ok($w->worker_is('idle'), 'the worker runs');

# A session submits and waits for the other one.
sub second_waits
{
	my ($sql) = @_;

	$second->query_until(qr/sent/, "\\echo sent\n$sql;\n");
	return ok( $w->{shop}->poll_query_until('shop',
			q{SELECT count(*) = 1 FROM pg_stat_activity
			  WHERE application_name = 'second' AND wait_event_type = 'Lock'}),
		'the second session waits');
}

sub second_says
{
	my $out = $second->query('SELECT 1');
	my $err = $second->{stderr};

	$second->{stderr} = '';
	return "$out$err";
}

sub withdraw
{
	my ($nonce, $amount) = @_;

	return "SELECT state, reason, replayed FROM teller.withdraw(1, 2, 'bank', $amount, 'carol', '$nonce')";
}

# ---- the same nonce twice ----

$first->query_safe('BEGIN');
$first->query_safe(withdraw('twin', 10));
second_waits(withdraw('twin', 10));
$first->query_safe('COMMIT');
like(second_says(), qr/\|\|t\n/, 'a twin gets the operation of the first');
$w->becomes('twin', 'settled');

$first->query_safe('BEGIN');
$first->query_safe(withdraw('rolled back', 10));
second_waits(withdraw('rolled back', 10));
$first->query_safe('ROLLBACK');
like(second_says(), qr/held\|\|f\n/, 'after a rollback the twin is the first');
$w->becomes('rolled back', 'settled');

$first->query_safe('BEGIN');
$first->query_safe(withdraw('other amount', 10));
second_waits(withdraw('other amount', 11));
$first->query_safe('COMMIT');
like(second_says(), qr/TL003/, 'a twin with another amount is refused');
$w->becomes('other amount', 'settled');

# ---- the last money ----

my $left = $w->shop('SELECT available FROM teller.balance(1, 2)');

$first->query_safe('BEGIN');
$first->query_safe(withdraw('all of it', $left));
second_waits(withdraw('all of it', $left));
$first->query_safe('COMMIT');
like(second_says(), qr/\|\|t\n/,
	'the twin of a call that took the last money is no denial');
like($w->shop("SELECT state, reason FROM teller.withdraw(1, 2, 'bank', 0.01, 'carol', 'a cent', on_denial => 'return')"),
	qr/^denied\|insufficient_funds$/, 'another call is');
is($w->sqlstate(withdraw('a cent', '0.01')), 'TL001', 'or an error');
is($w->operation('a cent', 'count(*)'), '0', 'and leaves the nonce free');
$w->becomes('all of it', 'settled');
$w->shop('SELECT teller.transfer(1, 1, 2, 500)');

$first->query_safe('BEGIN');
$first->query_safe(withdraw('one', 500));
second_waits(withdraw('two', 500));
$first->query_safe('COMMIT');
like(second_says(), qr/TL001/, 'of two that want the last money one gets it');
$w->becomes('one', 'settled');
$w->shop('SELECT teller.transfer(1, 1, 2, 500)');

# ---- what is taken back leaves no trace ----

$w->shop('BEGIN; SAVEPOINT s; ' . withdraw('savepoint', 10) . '; ROLLBACK TO s; COMMIT');
is($w->operation('savepoint', 'count(*)'), '0', 'rolled back to a savepoint');
is($w->shop('SELECT pending_debit FROM teller.balance(1, 2)'), '0.00', 'nothing is held');

# ---- cancel against the claim ----

$w->set('teller.dispatch', 'off');
my $id = $w->withdraw('cancelled');
$first->query_safe('BEGIN');
$first->query_safe("SELECT teller.cancel(1, '$id')");
$w->reset('teller.dispatch');
ok($w->worker_is('idle'), 'the worker passes by a row that is being cancelled');
$first->query_safe('COMMIT');
$w->becomes('cancelled', 'refunded cancelled');
is($w->operation('cancelled', 'attempts'), '0', 'it was not sent');

$w->set('teller.dispatch', 'off');
$id = $w->withdraw('reprieved');
$first->query_safe('BEGIN');
$first->query_safe("SELECT teller.cancel(1, '$id')");
$first->query_safe('ROLLBACK');
$w->reset('teller.dispatch');
$w->becomes('reprieved', 'settled', 'a cancel that is rolled back changes nothing');

# ---- prepared transactions ----

$w->shop('BEGIN; ' . withdraw('prepared', 10) . q{; PREPARE TRANSACTION 'p'});
$w->shop('SELECT teller.wake()');
ok($w->worker_is('idle'), 'the worker looks');
is($w->operation('prepared', 'count(*)'), '0', 'what is only prepared is not there');
is($w->shop('SELECT pending_debit FROM teller.balance(1, 2)'), '0.00', 'for nobody');
$w->{shop}->stop('immediate');
$w->{shop}->start;
is($w->operation('prepared', 'count(*)'), '0', 'nor after a crash');
$w->shop(q{COMMIT PREPARED 'p'});
$w->becomes('prepared', 'settled', 'COMMIT PREPARED sends it, though it wakes nobody');

# ---- isolation levels ----

foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	is( $w->sqlstate(
			"BEGIN ISOLATION LEVEL $level; " . withdraw("at $level", 1) . '; COMMIT'),
		'', "withdraw works at $level");
	$w->becomes("at $level", 'settled');
}
$first->quit;
$first = $w->{shop}->background_psql('shop', on_error_stop => 0);
$first->query_safe('\set VERBOSITY sqlstate');
$first->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$first->query_safe('SELECT count(*) FROM teller.operation');
$w->withdraw('newer', amount => 1);
$first->query(withdraw('newer', 1));
like($first->{stderr}, qr/40001/, 'a stale snapshot is told so');
$first->quit;
$second->quit;
$w->becomes('newer', 'settled');
$w->books_agree('in the end');

$w->stop;
done_testing();
