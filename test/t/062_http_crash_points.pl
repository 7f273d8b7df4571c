# Whatever dies, and wherever: one effect for each withdrawal at an HTTP
# service.  The crash points of 021_crash_points.pl, as far as the transport
# has a part in them.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Utils;
use ShopAndService;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'teller_http was built without libcurl' unless ShopAndService::has_library();

my $w = ShopAndService->new(
	conf => "teller.max_attempts = 1000\nteller.shutdown_grace = '500ms'\n");

if (!$w->has_wait_points)
{
	$w->stop;
	plan skip_all => 'the library was built without -DTELLER_WAIT_POINTS';
}
ok($w->worker_is('idle'), 'the worker runs');

sub terminate_worker
{
	my $pid = $w->worker_pid;

	$w->shop("SELECT pg_terminate_backend($pid)");
	ok( $w->{shop}->poll_query_until('shop',
			qq{SELECT pid IS DISTINCT FROM $pid FROM teller.worker_status WHERE database = 'shop'}),
		'the worker is gone');
	return;
}

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

sub effects
{
	my ($nonce) = @_;
	my $memo = $w->operation($nonce, q{encode(memo, 'hex')});

	return scalar grep { $_->{memo} eq $memo } @{ $w->control('GET', '/books')->{movement} };
}

# ---- the points of the worker ----

foreach my $row ([ 'claim_committed', 0 ], [ 'reply_read', 1 ], [ 'outcome_before_commit', 1 ],
	[ 'outcome_unflushed', 1 ])
{
	my ($point, $there) = @$row;

	foreach my $how (sort keys %death)
	{
		my $nonce = "$point, $how";

		$w->set('teller.wait_point', $point);
		$w->withdraw($nonce);
		ok($w->worker_is("wait point: $point"), "$nonce: it is there");
		is(effects($nonce), $there, 'as it should be');
		$death{$how}->();
		$w->reset('teller.wait_point');
		$w->becomes($nonce, 'settled');
		is(effects($nonce), 1, 'one effect');
	}
}
$w->books_agree('the points of the worker');

# ---- the call is at the service: before it is done, and after ----

foreach my $how (sort keys %death)
{
	foreach my $fault ([ 'hang', seconds => 60 ], [ 'slow', seconds => 0.2 ])
	{
		my $nonce = "$fault->[0], $how";

		$w->fault('execute', @$fault);
		$w->withdraw($nonce);
		$fault->[0] eq 'hang' ? ok($w->service_has(1), "$nonce: a call is out")
		  : ok( $w->{shop}->poll_query_until('shop',
				"SELECT state = 'in_flight' FROM teller.operation WHERE nonce = '$nonce'"),
			"$nonce: a call is out");
		$death{$how}->();
		$w->mend;
		$w->becomes($nonce, 'settled');
		is(effects($nonce), 1, 'one effect');
	}
}
$w->books_agree('at the service');

# ---- the service dies ----

$w->fault('execute', 'hang', seconds => 60);
$w->withdraw('the service dies');
ok($w->service_has(1), 'a call is out');
$w->kill_service;
ok( $w->{shop}->poll_query_until('shop',
		q{SELECT dirty FROM teller.operation WHERE nonce = 'the service dies'}),
	'nobody knows what became of it');
$w->start_service;
$w->becomes('the service dies', 'settled');

$w->set('teller.wait_point', 'reply_read');
$w->fault('execute', 'lose');
$w->withdraw('executed and dead');
ok($w->worker_is('wait point: reply_read'), 'the reply was lost');
$w->kill_service;
$w->reset('teller.wait_point');
$w->start_service;
$w->becomes('executed and dead', 'settled');
is(effects('executed and dead'), 1, 'one effect');
$w->books_agree('the service dies');

# ---- an orderly end ----

# The worker has read the configuration before it makes the call.
$w->set('teller.shutdown_grace', '60s');
$w->fault('execute', 'hang', seconds => 60);
$w->withdraw('drained');
ok($w->service_has(1), 'a call is out');
my $pid = $w->worker_pid;
$w->shop("SELECT pg_terminate_backend($pid)");
ok($w->worker_is('draining'), 'the worker waits for the reply');
$w->mend;
ok( $w->{shop}->poll_query_until('shop',
		qq{SELECT pid IS DISTINCT FROM $pid FROM teller.worker_status WHERE database = 'shop'}),
	'and ends');
$w->becomes('drained', 'settled');
$w->reset('teller.shutdown_grace');

# A stop does not wait for a service that hangs.
$w->fault('execute', 'hang', seconds => 60);
$w->withdraw('stopped');
ok($w->service_has(1), 'a call is out');
my $started = time;
$w->{shop}->stop('fast');
cmp_ok(time - $started, '<', 10, 'a fast stop is fast');
$w->mend;
$w->{shop}->start;
$w->becomes('stopped', 'settled');
$w->books_agree('in the end');

$w->stop;
done_testing();
