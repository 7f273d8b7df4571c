# Whatever dies, and wherever: one effect for each withdrawal.  Each crash
# point of the three phases of an operation is reached on purpose, the worker
# or the server is killed there, and the bank's own book is compared.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use BankAndShop;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $w = BankAndShop->new(
	conf => "teller.max_attempts = 1000\nteller.shutdown_grace = '500ms'\n");

if (!$w->has_wait_points)
{
	$w->stop;
	plan skip_all => 'the library was built without -DTELLER_WAIT_POINTS';
}
ok($w->worker_is('idle'), 'the worker runs');

# ---- how to die ----

sub wait_at
{
	my ($point) = @_;

	return ok($w->worker_is("wait point: $point"), "$point is reached");
}

# One process gone, the others live.
sub terminate_worker
{
	my $pid = $w->worker_pid;

	$w->shop("SELECT pg_terminate_backend($pid)");
	ok( $w->{shop}->poll_query_until('shop',
			qq{SELECT pid IS DISTINCT FROM $pid FROM teller.worker_status
			   WHERE database = 'shop'}),
		'the worker is gone');
	return;
}

# The server restarts all its processes, and what was not flushed is lost.
sub kill_worker
{
	my $pid = $w->worker_pid;

	kill 'KILL', $pid;
	ok( $w->{shop}->poll_query_until('shop',
			qq{SELECT pid <> $pid AND state <> 'starting'
			   FROM teller.worker_status WHERE database = 'shop'}),
		'the server has restarted');
	return;
}

sub restart_server
{
	$w->{shop}->stop('immediate');
	$w->{shop}->start;
	return;
}

my %death = (
	'the worker is terminated' => \&terminate_worker,
	'the worker is killed with -9' => \&kill_worker,
	'the server is stopped at once' => \&restart_server);

# ---- phase 1: before the commit ----

my (undef, undef, $stderr) = $w->{shop}->psql('shop',
	q{SET teller.wait_point = 'submit_before_commit:crash';
	SELECT teller.withdraw(1, 2, 'bank', 10, 'carol', 'never')});
ok($stderr ne '', 'the session dies before its commit');
ok($w->worker_is('idle'), 'the server is back');
is($w->operation('never', 'count(*)'), '0', 'there is no operation');
is($w->bank('SELECT count(*) FROM teller.memo'), '0', 'and none was sent');
$w->books_agree('before the commit');

# ---- committed, the worker not yet awake ----

$w->set('teller.wait_point', 'worker_dispatch');
$w->shop('SELECT teller.wake()');
wait_at('worker_dispatch');
$w->withdraw('asleep');
is($w->operation('asleep', 'state, attempts'), 'held|0', 'it is committed, nobody knows');
kill_worker();
is($w->operation('asleep', 'state'), 'held', 'it is still there');
$w->reset('teller.wait_point');
$w->becomes('asleep', 'settled');
is($w->operation('asleep', 'attempts, dirty'), '1|f', 'at the first attempt');
$w->books_agree('not yet awake');

# ---- the points of the worker ----

# What each point looks like while the worker stands there: the state here,
# the outcome of the attempt here, and the status there.
my @points = (
	[ 'claim_committed', 'in_flight', '', '' ],
	[ 'reply_read', 'in_flight', '', 'executed' ],
	[ 'outcome_before_commit', 'in_flight', '', 'executed' ],
	[ 'outcome_unflushed', 'settled', 'executed', 'executed' ],
	[ 'outcome_committed', 'settled', 'executed', 'executed' ]);

sub picture
{
	my ($nonce) = @_;
	my $memo = $w->operation($nonce, 'memo');

	return join ' ',
	  $w->operation($nonce, 'state'),
	  $w->shop(
		qq{SELECT coalesce(a.outcome, '') FROM teller.attempt a
		   JOIN teller.operation o ON o.id = a.operation_id
		   WHERE o.nonce = '$nonce' ORDER BY a.attempt DESC LIMIT 1}),
	  $w->bank("SELECT coalesce(max(status), '') FROM teller.memo WHERE memo = '$memo'");
}

foreach my $row (@points)
{
	my ($point, $state, $outcome, $there) = @$row;

	foreach my $how (sort keys %death)
	{
		my $nonce = "$point, $how";

		$w->set('teller.wait_point', $point);
		$w->withdraw($nonce, amount => 1);
		wait_at($point);
		is(picture($nonce), "$state $outcome $there", "$nonce: as it should be there");
		$death{$how}->();
		$w->reset('teller.wait_point');
		$w->becomes($nonce, 'settled');
		is( $w->bank(
				"SELECT count(*) FROM teller.memo WHERE memo = '"
				  . $w->operation($nonce, 'memo') . "' AND status = 'executed'"),
			'1', 'one effect');
	}
	$w->books_agree($point);
}

# ---- a point where every worker dies ----

# The launcher waits longer before each further start.
my $before = $w->shop(
	q{SELECT restarts FROM teller.worker_status WHERE database = 'shop'});

$w->set('teller.wait_point', 'outcome_before_commit:die');
$w->withdraw('every worker dies', amount => 1);
ok( $w->{shop}->poll_query_until('shop',
		qq{SELECT restarts > $before + 1 FROM teller.worker_status
		   WHERE database = 'shop'}),
	'one worker after the other dies');
is($w->operation('every worker dies', 'state'), 'in_flight', 'and none gets further');
$w->reset('teller.wait_point');
$w->becomes('every worker dies', 'settled');
$w->books_agree('every worker dies');

# ---- an error where the outcome is recorded ----

$w->set('teller.wait_point', 'outcome_before_commit:error');
$w->withdraw('cannot be recorded', amount => 1);
ok( $w->{shop}->poll_query_until('shop',
		q{SELECT last_error LIKE 'wait point%' FROM teller.worker_status
		  WHERE database = 'shop'}),
	'the outcome cannot be recorded');
my $pid = $w->worker_pid;
$w->reset('teller.wait_point');
$w->becomes('cannot be recorded', 'settled');
is($w->operation('cannot be recorded', 'attempts, dirty'), '1|f', 'and the reply was kept');
is($w->worker_pid, $pid, 'by the same worker');
$w->books_agree('an error');

# ---- the call is at the remote ----

my $gate = $w->close_gate;
foreach my $how (sort keys %death)
{
	my $nonce = "at the gate, $how";

	$w->withdraw($nonce, amount => 1);
	ok($w->gate_has(1), "$nonce: a call is on its way");
	$death{$how}->();
	$gate->query_safe('SELECT gate.open()');
	$w->becomes($nonce, 'settled');
	$gate->query_safe('SELECT gate.close()');
}
$gate->query_safe('SELECT gate.open()');
$w->books_agree('at the gate');

# ---- the remote dies ----

$gate->query_safe('SELECT gate.close()');
$w->withdraw('the bank dies', amount => 1);
ok($w->gate_has(1), 'a call is on its way');
$w->{bank}->stop('immediate');
ok( $w->{shop}->poll_query_until('shop',
		q{SELECT dirty FROM teller.operation WHERE nonce = 'the bank dies'}),
	'nobody knows what became of it');
eval { $gate->quit };
$w->{bank}->start;
$w->becomes('the bank dies', 'settled');

$w->gate('SELECT gate.lose_next(1)');
$w->set('teller.dispatch', 'off');
$w->withdraw('executed and dead', amount => 1);
$w->set('teller.wait_point', 'reply_read');
$w->reset('teller.dispatch');
wait_at('reply_read');
$w->{bank}->stop('immediate');
$w->reset('teller.wait_point');
$w->{bank}->start;
$w->becomes('executed and dead', 'settled');
is($w->operation('executed and dead', 'dirty'), 't', 'its first reply was lost');
$w->books_agree('the remote dies');

# ---- an orderly end ----

$gate = $w->close_gate;
$w->withdraw('drained', amount => 1);
ok($w->gate_has(1), 'a call is on its way');
$w->set('teller.shutdown_grace', '60s');
$w->shop('SELECT pg_terminate_backend(' . $w->worker_pid . ')');
ok($w->worker_is('draining'), 'a worker that is told to stop waits for the reply');
$gate->query_safe('SELECT gate.open()');
$w->becomes('drained', 'settled', 'and records it');
is($w->operation('drained', 'attempts, dirty'), '1|f', 'at the first attempt');
$w->reset('teller.shutdown_grace');

$gate->query_safe('SELECT gate.close()');
$w->withdraw('hangs', amount => 1);
ok($w->gate_has(1), 'a call hangs');
my $start = time;
$w->{shop}->stop('fast');
cmp_ok(time - $start, '<', 10, 'a fast stop does not wait for it');
$w->{shop}->start;
$gate->query_safe('SELECT gate.open()');
$w->becomes('hangs', 'settled');
$gate->quit;
$w->books_agree('in the end');

$w->stop;
done_testing();
