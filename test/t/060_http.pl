# An HTTP service as the remote ledger: every row of the table in docs/http.md,
# through a real worker and a real service.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HTTP::Tiny;
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use ShopAndService;
use Test::More;

plan skip_all => 'teller_http was built without libcurl' unless ShopAndService::has_library();

my $w = ShopAndService->new;
my $n = 0;

ok($w->worker_is('idle'), 'the worker runs');
is($w->wrong_with('bank'), '', 'check_server finds nothing wrong');

# ---- it is executed, it is refused ----

my $id = $w->withdraw('paid', more => q{payload => '{"invoice": "7 \u20ac", "n": 1.50}'});
is($w->shop("SELECT teller.await(1, '$id')"), 'settled', 'a withdrawal settles');
is( $w->operation('paid',
		q{attempts, dirty, reference, response ->> 'status', last_error}),
	'1|f|movement-1|executed|', 'at the first attempt');
is( join("\n", $w->bodies('paid')),
	$w->shop(q{SELECT request FROM teller.operation_data WHERE nonce = 'paid'}),
	'the body is the stored request');
$w->shop(q{SELECT teller.deposit(1, 2, 'bank', 5, 'dave', 'taken in')});
$w->becomes('taken in', 'settled');
$w->shop(q{SELECT teller.deposit(1, 2, 'bank', 5, 'carol', 'not allowed')});
$w->becomes('not allowed', 'refunded rejected');
is($w->operation('not allowed', 'attempts, last_error'), '1|not_permitted', 'and says why');
$w->withdraw('nobody', to => 'nobody');
$w->becomes('nobody', 'refunded rejected');
is($w->operation('nobody', 'attempts, last_error'), '1|not_found', 'and says why');
$w->books_agree('executed and refused');

# ---- every retry is the same bytes ----

$w->fault('execute', 'status', status => 500, do => 1, times => 3);
$w->fault('execute', 'lose', times => 2);
$w->withdraw('again and again', more => q{payload => '[1.0, "\u00e4"]'});
$w->becomes('again and again', 'settled');
is($w->attempts('again and again'), 'ambiguous ' x 5 . 'executed',
	'three errors and two lost replies');
my @bodies = $w->bodies('again and again');
is(scalar(@bodies), 6, 'each attempt sent it once');
is(scalar(grep { $_ ne $bodies[0] } @bodies), 0, 'and always the same bytes');
$w->books_agree('again and again');

# ---- the table ----

# Once this fault, then none: what becomes of the operation, how its attempts
# ended, whether it is dirty.
sub row
{
	my ($test, $fault, $state, $attempts, $dirty, %more) = @_;
	my $nonce = 'row ' . ++$n;
	my ($how, %how) = @$fault;

	$w->fault('execute', $how, %how);
	$w->withdraw($nonce, %more);
	$w->becomes($nonce, $state, "$test: $state");
	like($w->attempts($nonce), qr/^$attempts$/, "$test: $attempts");
	is($w->operation($nonce, 'dirty'), $dirty, "$test: dirty is $dirty") if defined $dirty;
	$w->mend;
	return $nonce;
}

sub status
{
	my ($status, @more) = @_;

	return [ 'status', status => $status, @more ];
}

my @told = (do => 1, body => 'answer');
my @changed = (@told, 'change');
my $nonce;

# 2xx with matching memo, executed
row("$_ executed", status($_, @told), 'settled', 'executed', 'f') foreach 200, 201, 203;

# 2xx or 4xx with matching memo: a definite failure
foreach my $status (200, 201, 400, 402, 403, 404, 409, 410, 422)
{
	row("$status rejected", status($status, @told), 'refunded rejected', 'rejected', 'f',
		to => 'nobody');
}
row("$_->[0] $_->[1]", status($_->[0], body => 'answer', do => 1, change => { status => $_->[1] }),
	"refunded $_->[2]", $_->[1], undef, to => 'nobody')
  foreach [ 200, 'cancelled', 'cancelled' ], [ 410, 'expired', 'expired' ];

# in progress
foreach my $status (202, 409)
{
	row("$status, done", status($status, @told), 'settled', 'busy executed', 't');
	row("$status, no body", status($status), 'settled', 'busy executed', 't');
}
row('200 busy', status(200, @changed => { status => 'busy' }), 'settled', 'busy executed', 't');
row('423 busy', status(423, @changed => { status => 'busy' }), 'settled', 'busy executed', 't');

# 2xx without a valid body
row("200, $_->[0]", status(200, do => 1, body => $_->[1]), 'settled', 'ambiguous executed', 't')
  foreach [ 'no body', '' ], [ 'text', 'OK' ], [ 'a list', '[]' ], [ 'a number', '1' ],
  [ 'half an object', '{"memo": "' ], [ 'another object', { ok => JSON::PP::true() } ],
  [ 'two objects', '{}{}' ], [ 'deep nesting', '{"x": ' . '[' x 100_000 . ']' x 100_000 . '}' ],
  [ 'HTML', '<html><body>It works!</body></html>' ];
row('204', status(204, do => 1), 'settled', 'ambiguous executed', 't');
row("200 with $_->[0]", status(200, @changed => $_->[1]), 'settled', 'ambiguous executed', 't')
  foreach [ 'an unknown status', { status => 'done' } ], [ 'no status', { status => undef } ],
  [ 'no memo', { memo => undef } ], [ 'half a memo', { memo => 'abcd' } ],
  [ 'not_found', { status => 'not_found' } ],
  [ 'an amount that is none', { amount => 'NaN' } ], [ 'an object for an amount', { amount => {} } ],
  [ 'a time that is none', { executed_at => 'yesterday' } ];
row("200, $_->[0]", [ 'status', status => 200, do => 1, base64 => 1,
	body => MIME::Base64::encode_base64($_->[1], '') ], 'settled', 'ambiguous executed', 't')
  foreach [ 'not UTF-8', "{\"memo\": \"\xff\xfe\"}" ], [ 'a zero byte', "{\"memo\": \"\0\"}" ];
row('400 executed', status(400, @told), 'settled', 'ambiguous executed', 't');

# 3xx, never followed; other 4xx and 5xx
foreach my $status (300, 301, 302, 303, 304, 307, 308)
{
	$nonce = row("$status", status($status,
			headers => { Location => "http://127.0.0.1:$w->{control}/books" }),
		'settled', 'ambiguous executed', 't');
	is($w->detail($nonce, 1), "HTTP status $status (SQLSTATE 08007)", 'and it is not followed');
}
row("$_", status($_), 'settled', 'ambiguous executed', 't')
  foreach 400, 405, 410, 413, 415, 418, 451, 499, 500, 501, 502, 504, 505, 599;
row('500 rejected', status(500, @told), 'refunded rejected', 'ambiguous rejected', 't', to => 'nobody');

# broken off
row('reset before anything was done', ['reset_before'], 'settled', 'ambiguous executed', 't');
row('done, and the reply lost', ['lose'], 'settled', 'ambiguous executed', 't');
row('reset in the reply', ['reset_in'], 'settled', 'ambiguous executed', 't');
row('reset after the reply', ['reset_after'], 'settled', 'executed', 'f');
row('on a connection that is being reset', ['twice'], 'settled', '(ambiguous )?executed', undef);
row('closed after the reply', ['close'], 'settled', 'executed', 'f');
row('on a connection that is being closed', ['twice'], 'settled', '(ambiguous )?executed', undef);
row('the reply ends early', ['partial'], 'settled', 'ambiguous executed', 't');
row('the request comes twice', ['twice'], 'settled', 'executed', 'f');
$nonce = row('a body over the cap', status(200, @told, pad => 262_144), 'settled',
	'ambiguous executed', 't');
is($w->detail($nonce, 1), 'the answer is longer than teller.max_response_bytes (SQLSTATE 08P01)',
	'and says so');
$nonce = row('a header over the cap',
	status(200, @told, headers => { map { ("X-$_" => 'x' x 4000) } 1 .. 10 }),
	'settled', 'ambiguous executed', 't');
is($w->detail($nonce, 1), 'the header of the answer is too long (SQLSTATE 08P01)', 'and says so');
row("$_->[0]", [ 'raw', do => 1, bytes => MIME::Base64::encode_base64($_->[1], '') ],
	'settled', 'ambiguous executed', 't')
  foreach [ 'not HTTP', "220 smtp.example ESMTP\r\n" ], [ 'binary', "\0\1\2\xff" x 100 ],
  [ 'an interim status only', "HTTP/1.1 100 Continue\r\n\r\n" ],
  [ 'a length that is none', "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" ],
  [ 'a broken chunk', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" ],
  [ 'an endless header', "HTTP/1.1 200 OK\r\n" . "X: y\r\n" x 20_000 ],
  [ 'packed', "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00" ];
$w->books_agree('answers');

# configuration: no attempt burned, not dirty
foreach my $status (401, 403, 404, 407)
{
	$nonce = row("$status", status($status), 'settled', 'misconfigured executed', 'f');
	is($w->operation($nonce, 'attempts'), '1', "$status: no attempt is burned");
	row("$status with a page", status($status, body => '<h1>no</h1>'), 'settled',
		'misconfigured executed', 'f');
}
$w->set('teller.circuit_open', '1h');
$w->fault('execute', 'status', status => 401);
$w->withdraw('locked out');
$w->becomes('locked out', 'retry_wait');
$w->withdraw('behind it');
ok( $w->{shop}->poll_query_until('shop',
		q{SELECT state = 'idle' FROM teller.worker_status WHERE database = 'shop'}), 'the worker rests');
is($w->operation('behind it', 'state'), 'held', 'the circuit is open');
$w->reset('teller.circuit_open');
$w->shop(q{ALTER SERVER bank OPTIONS (ADD timeout '20 s'); SELECT teller.wake()});
$w->becomes('locked out', 'settled', 'ALTER SERVER closes it');
$w->becomes('behind it', 'settled');

# later
sub seconds_between
{
	my ($nonce) = @_;

	return $w->shop(
		qq{SELECT extract(epoch FROM b.started_at - a.ended_at)
		   FROM teller.operation o
		   JOIN teller.attempt a ON a.operation_id = o.id AND a.attempt = 1
		   JOIN teller.attempt b ON b.operation_id = o.id AND b.attempt = 2
		   WHERE o.nonce = '$nonce'});
}

foreach my $row ([ 408, 'ambiguous executed', 't' ], [ 429, 'not_executed executed', 'f' ],
	[ 503, 'ambiguous executed', 't' ], [ 202, 'busy executed', 't' ])
{
	my ($status, $attempts, $dirty) = @$row;

	$nonce = row("$status", status($status), 'settled', $attempts, $dirty);
	cmp_ok(seconds_between($nonce), '<', 2, "$status: soon again");
	$nonce = row("$status with Retry-After", status($status, headers => { 'Retry-After' => '2' }),
		'settled', $attempts, $dirty);
	cmp_ok(seconds_between($nonce), '>=', 2, "$status: not before it asked for us");
}
$nonce = row('503 with a date',
	status(503, headers => { 'Retry-After' =>
		strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + 4)) }),
	'settled', 'ambiguous executed', 't');
cmp_ok(seconds_between($nonce), '>=', 2, 'a date is understood');
foreach my $value ('-5', 'soon', '', 'Sat, 01 Jan 2000 00:00:00 GMT', '1' x 200)
{
	$nonce = row("503 with Retry-After: $value", status(503, headers => { 'Retry-After' => $value }),
		'settled', 'ambiguous executed', 't');
	cmp_ok(seconds_between($nonce), '<', 2, 'which is not believed');
}

# ---- lookup and fence ----

# In doubt at once: after one attempt.
sub doubt
{
	my ($test, $execute, $faults, $state, $attempts, %more) = @_;
	my $nonce = 'doubt ' . ++$n;

	$w->fault('execute', $execute);
	$w->fault(@$_) foreach @$faults;
	$w->withdraw($nonce, %more);
	$w->becomes($nonce, $state, "$test: $state");
	like($w->attempts($nonce), qr/^$attempts$/, "$test: $attempts");
	$w->mend;
	return $nonce;
}

my @nothing = (status => 404, body => { status => 'not_found' });

$w->set('teller.max_attempts', '1');
doubt('done, reply lost', 'lose', [], 'settled', 'ambiguous lookup:executed');
doubt('not done', 'reset_before', [], 'refunded expired',
	'ambiguous lookup:not_found fence:cancelled');
doubt('lookup 200 not_found', 'reset_before',
	[ [ 'lookup', 'status', @nothing, status => 200 ] ],
	'refunded expired', 'ambiguous lookup:not_found fence:cancelled');
doubt('lookup 404 without a body', 'lose', [ [ 'lookup', 'status', status => 404 ] ],
	'settled', 'ambiguous lookup:misconfigured lookup:executed');
doubt('lookup 404 with a page', 'lose',
	[ [ 'lookup', 'status', status => 404, body => '<h1>not found</h1>' ] ],
	'settled', 'ambiguous lookup:misconfigured lookup:executed');
doubt("lookup $_", 'lose', [ [ 'lookup', 'status', status => $_ ] ],
	'settled', 'ambiguous lookup:busy lookup:executed') foreach 202, 409;
doubt("lookup $_", 'lose', [ [ 'lookup', 'status', status => $_ ] ],
	'settled', 'ambiguous lookup:ambiguous lookup:executed') foreach 302, 400, 408, 500, 503;
doubt('lookup 429', 'lose', [ [ 'lookup', 'status', status => 429 ] ],
	'settled', 'ambiguous lookup:not_executed lookup:executed');
doubt('lookup lost', 'lose', [ [ 'lookup', 'reset_before' ] ],
	'settled', 'ambiguous lookup:ambiguous lookup:executed');
doubt('fence lost', 'reset_before', [ [ 'fence', 'lose' ] ],
	'refunded expired', 'ambiguous lookup:not_found fence:ambiguous fence:cancelled');
doubt('fence 500', 'reset_before', [ [ 'fence', 'status', status => 500 ] ],
	'refunded expired', 'ambiguous lookup:not_found fence:ambiguous fence:cancelled');
doubt('fence 401', 'reset_before', [ [ 'fence', 'status', status => 401 ] ],
	'refunded expired', 'ambiguous lookup:not_found fence:misconfigured fence:cancelled');
doubt('fence of what was done', 'lose', [ [ 'lookup', 'status', @nothing ] ],
	'settled', 'ambiguous lookup:not_found fence:executed');
$w->reset('teller.max_attempts');
doubt('a memo that does not count is sent once', 'lose', [], 'settled',
	'ambiguous lookup:executed', server => 'once');
is(scalar(my @once = $w->bodies("doubt $n")), 1, 'and no more');
$w->books_agree('lookup and fence');

# ---- conflict ----

foreach my $row ([ 'another memo', { memo => '0' x 64 }, 'memo' ],
	[ 'another amount', { amount => '0.99' }, 'amount' ],
	[ 'no amount', { amount => undef }, 'amount' ],
	[ 'another asset', { asset => 'EUR' }, 'asset' ])
{
	my ($test, $change, $field) = @$row;

	$nonce = row($test, status(200, @changed => $change), 'conflict', 'conflict', 't');
	is( $w->shop(
			qq{SELECT f.kind, f.detail FROM teller.finding f
			   JOIN teller.operation o ON o.id = f.operation_id WHERE o.nonce = '$nonce'}),
		qq{conflict|the remote answered "executed" with another $field}, 'a finding says so');
	$w->shop(
		qq{SELECT teller.resolve(1, id, 'executed', 'r', 'asked the service')
		   FROM teller.operation WHERE nonce = '$nonce'});
}
row('422', status(422), 'conflict', 'conflict', 't');
row('422 with a page', status(422, body => 'no'), 'conflict', 'conflict', 't');
row('the same amount in other digits', status(200, @changed => { amount => '1.000' }),
	'settled', 'executed', 'f');
row('an amount that is a number', status(200, do => 1, body => 'answer', change => { amount => 1 }),
	'settled', 'executed', 'f');
$w->shop(
	q{SELECT teller.resolve(1, id, 'not_executed', NULL, 'asked the service')
	  FROM teller.operation WHERE state = 'conflict'});
$w->books_agree('in the end');

$w->stop;
done_testing();
