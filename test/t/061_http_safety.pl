# Calls to an HTTP service: what goes wrong on the way, what is refused, and
# what must not show.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Utils;
use ShopAndService;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'teller_http was built without libcurl' unless ShopAndService::has_library();

# However long the service takes to come back, a call is not given up.
my $w = ShopAndService->new(conf => "teller.max_attempts = 1000\n");
my $ca = $w->file('authority.crt');
my $token = $ShopAndService::TOKEN;
my $url = $w->url;

ok($w->worker_is('idle'), 'the worker runs');

# ---- a service that does not answer costs the others nothing ----

my $hanging = "url '$url', ca_file '$ca', allow_private 'on', timeout '6 s', max_in_flight '4'";
$w->make_server('hanging', $hanging);
$w->fault('execute', 'hang', times => 4, seconds => 60);
$w->withdraw("hangs $_", server => 'hanging') foreach 1 .. 4;
ok($w->service_has(4), 'four calls hang');
$w->withdraw("beside $_") foreach 1 .. 10;
$w->becomes("beside $_", 'settled') foreach 1 .. 10;
is($w->operation("hangs $_", 'state, attempts'), 'in_flight|1', "the others do not wait for call $_") foreach 1 .. 4;
$w->becomes("hangs $_", 'settled') foreach 1 .. 4;
is($w->attempts('hangs 1'), 'ambiguous executed', 'each is given up and sent again');
is($w->detail('hangs 1', 1), 'no answer within 6000 ms (SQLSTATE 08007)', 'after its time');

$w->shop(q{ALTER SERVER hanging OPTIONS (SET timeout '2 s')});
$w->fault('execute', 'slow', seconds => 0.3);
my $started = time;
$w->withdraw('byte by byte', server => 'hanging');
$w->becomes('byte by byte', 'settled');
is($w->attempts('byte by byte'), 'ambiguous executed', 'a reply byte by byte is no reply');
cmp_ok(time - $started, '<', 10, 'and is not waited for');

$w->set('teller.connect_timeout', '1s');
$w->fault('connection', 'hang', seconds => 60);
$w->withdraw('no handshake', server => 'once');
$w->becomes('no handshake', 'settled');
is($w->attempts('no handshake'), 'not_sent executed',
	'a connection that is not made in time was not sent');
$w->reset('teller.connect_timeout');
$w->mend;

$w->fault('execute', 'hang', times => 20, seconds => 60);
$w->withdraw("many $_", more => q{attempt_timeout => '5 s'}) foreach 1 .. 20;
ok($w->service_has(16), 'as many calls as may be are out');
is($w->shop(q{SELECT count(*) FROM teller.operation WHERE state = 'in_flight'}), '16',
	'and no more');
$w->mend;
$w->becomes("many $_", 'settled') foreach 1 .. 20;
$w->books_agree('a service that hangs');

# ---- not sent ----

# A server that does not lead to the service, and what is noted.
my $servers = 0;

sub elsewhere
{
	my ($test, $options, $outcome, $detail, %more) = @_;
	my $name = 'elsewhere' . ++$servers;

	$w->make_server($name, $options, $more{mapping});
	$w->withdraw($name, server => $name);
	ok( $w->{shop}->poll_query_until('shop',
			qq{SELECT count(a.ended_at) > 0 FROM teller.attempt a
			   JOIN teller.operation o ON o.id = a.operation_id WHERE o.nonce = '$name'}),
		"$test: it is tried");
	like($w->attempts($name), qr/^$outcome/, "$test: $outcome");
	like($w->detail($name, 1), $detail, "$test: and says why");
	is($w->operation($name, 'dirty'), 'f', "$test: nothing was sent");
	like($w->wrong_with($name), qr/^connection\|/, "$test: check_server says so");

	# While it is out, cancel() leaves no more than a flag.
	ok( $w->{shop}->poll_query_until('shop',
			qq{SELECT teller.cancel(1, id) = 'refunded' FROM teller.operation WHERE nonce = '$name'}),
		"$test: and can be cancelled");
	return;
}

sub options
{
	my ($url, $ca_file) = @_;

	return "url '$url', allow_private 'on'" . (defined $ca_file ? ", ca_file '$ca_file'" : '');
}

$w->authority('stranger');
elsewhere('nobody listens', options('https://127.0.0.1:1/ledger', $ca), 'not_sent', qr/08001/);
elsewhere('no such name', options('https://nowhere.invalid/ledger', $ca), 'not_sent', qr/08001/);
elsewhere('an unknown authority', options($url, $w->file('stranger.crt')), 'not_sent',
	qr/certificate.*08001/);
# Perhaps this machine has none.
elsewhere("the system's authorities", options($url), '(not_sent|misconfigured)', qr/certificate/);
elsewhere('no file of authorities', options($url, $w->file('no.crt')), 'misconfigured', qr/58000/);
elsewhere('another name', options("https://127.0.0.2:$w->{port}/ledger", $ca), 'not_sent', qr/08001/);
elsewhere('a wrong token', options($url, $ca), 'misconfigured', qr/^HTTP status 401/,
	mapping => "token 'another'");
elsewhere('no client certificate there', options($url, $ca), 'misconfigured', qr/58000/,
	mapping => sprintf("token '$token', cert_file '%s'", $w->file('no.crt')));
elsewhere('another path', options("https://127.0.0.1:$w->{port}/other", $ca), 'misconfigured',
	qr/^HTTP status 404/);

# The service under another certificate.
foreach my $row ([ 'a certificate for another name', 'DNS:bank.example', 'authority', [], qr/08001/ ],
	[ 'a certificate of a stranger', 'IP:127.0.0.1', 'stranger', [], qr/08001/ ],
	[ 'an expired certificate', 'IP:127.0.0.1', 'authority', [ '-days', '-1' ], qr/08001/ ])
{
	my ($test, $names, $authority, $more, $detail) = @$row;
	my $name = 'certificate' . ++$servers;

	$w->certificate($name, $authority, $names, @$more);
	$w->kill_service;
	$w->{tls} = [ '--cert', $w->file("$name.crt"), '--key', $w->file("$name.key") ];
	$w->start_service;
	elsewhere($test, options($url, $ca), 'not_sent', $detail);
}

# What is no TLS at all.
$w->kill_service;
$w->{tls} = [];
$w->start_service;
elsewhere('no TLS there', options($url, $ca), 'not_sent', qr/08001/);
elsewhere('nobody listens for http',
	"url 'http://127.0.0.1:1', allow_private 'on', allow_insecure 'on'", 'not_sent', qr/08001/);
$w->make_server('plain',
	"url 'http://127.0.0.1:$w->{port}/ledger', allow_private 'on', allow_insecure 'on'");
is($w->wrong_with('plain'), '', 'http works where it is allowed');
$w->withdraw('in the open', server => 'plain');
$w->becomes('in the open', 'settled');

# ---- client certificates, user and password ----

$w->certificate('client', 'authority', 'DNS:shop.example');
$w->kill_service;
$w->{tls} = [ '--cert', $w->file('service.crt'), '--key', $w->file('service.key'),
	'--client-ca', $ca ];
$w->start_service;
$w->withdraw('without a certificate');
$w->make_server('certified', options($url, $ca),
	sprintf("token '$token', cert_file '%s', key_file '%s'", $w->file('client.crt'),
		$w->file('client.key')));
is($w->wrong_with('certified'), '', 'a client certificate is shown');
like($w->wrong_with('bank'), qr/^connection\|/, 'without one nobody gets in');
$w->kill_service;
$w->{tls} = [ '--cert', $w->file('service.crt'), '--key', $w->file('service.key') ];
$w->start_service;
$w->becomes('without a certificate', 'settled');

$w->fault('connection', 'tls', times => 3);
$w->fault('connection', 'reset', times => 3);
$w->withdraw('no handshake at all', server => 'once');
$w->becomes('no handshake at all', 'settled');
is($w->attempts('no handshake at all'), 'not_sent ' x 6 . 'executed', 'a broken handshake was not sent');
is($w->operation('no handshake at all', 'dirty'), 'f', 'and leaves nothing in doubt');
$w->books_agree('not sent');

# ---- addresses ----

my @private = qw(0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.9.9.9 169.254.169.254 172.16.0.1
  172.31.255.255 192.168.0.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255 [::] [::1]
  [::ffff:127.0.0.1] [::ffff:8.8.8.8] [::7f00:1] [fe80::1] [fec0::1] [fc00::1] [fd12:3456::1]
  [ff02::1] [64:ff9b::7f00:1] [64:ff9b::10.0.0.1] [2002:7f00:1::1] [2001::1] localhost
  0x7f.1 2130706433);

$w->shop(qq{
	CREATE SERVER filtered FOREIGN DATA WRAPPER teller_http OPTIONS (url '$url', ca_file '$ca');
	CREATE USER MAPPING FOR PUBLIC SERVER filtered OPTIONS (token '$token');
	SELECT teller.set_settlement_account(1, 'filtered', 9)});
foreach my $host (@private)
{
	$w->shop("ALTER SERVER filtered OPTIONS (SET url 'https://$host:$w->{port}/ledger')");
	is( $w->wrong_with('filtered'),
		'connection|the address of the service is private, and the server has no option allow_private (SQLSTATE 42501)',
		"$host is refused");
}
$w->shop(qq{ALTER SERVER filtered OPTIONS (SET url '$url')});
is($w->wrong_with('bank'), '', 'a connection is there');
$w->withdraw('filtered', server => 'filtered');
ok( $w->{shop}->poll_query_until('shop',
		q{SELECT last_error LIKE '%private%' FROM teller.operation WHERE nonce = 'filtered'}),
	'and is not used by a server that may not');
is($w->operation('filtered', 'dirty, attempts'), 'f|0', 'nothing was sent');
$w->shop(q{ALTER SERVER filtered OPTIONS (ADD allow_private 'on'); SELECT teller.wake()});
$w->becomes('filtered', 'settled', 'until it may');

# ---- the environment is not asked ----

{
	local %ENV = %ENV;
	$ENV{$_} = 'http://127.0.0.1:1' foreach qw(http_proxy https_proxy HTTPS_PROXY ALL_PROXY all_proxy);
	$ENV{SSLKEYLOGFILE} = $w->file('keys');
	$ENV{CURL_CA_BUNDLE} = $w->file('no.crt');
	$ENV{HOME} = $w->{dir};
	append_to_file($w->file('.netrc'), "machine 127.0.0.1 login a password b\n");
	$w->{shop}->restart;
	is($w->wrong_with('bank'), '', 'neither a proxy nor a file of the environment is used');
	ok(!-e $w->file('keys'), 'and no keys are written');
}

# ---- secrets ----

$w->fault('execute', 'status', status => 401, body => {}, echo => 1);
$w->fault('execute', 'status', status => 500, body => {}, echo => 1);
$w->withdraw('echoed');
$w->becomes('echoed', 'settled');
my $memo_says = sub {
	my ($verb, $nonce) = @_;
	$w->fault($verb, 'status', status => 200, do => 1, echo => 1, body => 'answer',
		change => { status => 'rejected', reference => "ref $token", asset => 'USD' });
	$w->withdraw($nonce, to => 'nobody');
	$w->becomes($nonce, 'refunded rejected');
	return $w->operation($nonce, 'last_error, reference');
};
is($memo_says->('execute', 'told'),
	'you are ' . '*' x length($token) . '|ref ' . '*' x length($token),
	'a service that repeats the token is not quoted');
$w->fault('check', 'status', status => 200, body => { contract => $token });
unlike($w->wrong_with('bank'), qr/sesame/, 'neither by check_server');
my $rows = join "\n", map {
	$w->shop("SELECT t FROM teller.$_ AS t")
} split /\n/, $w->shop(
	q{SELECT relname FROM pg_class WHERE relnamespace = 'teller'::regnamespace AND relkind IN ('r', 'v')});
unlike($rows, qr/sesame/, 'no row of pg_teller has the token');
unlike(slurp_file($w->{shop}->logfile), qr/sesame/, 'and the log does not');
unlike($w->shop('SELECT query FROM pg_stat_activity'), qr/sesame/, 'nor does pg_stat_activity');

# ---- options that got past the validator ----

$w->shop(
	q{UPDATE pg_foreign_server SET srvoptions = array_replace(srvoptions, 'allow_private=on', 'allow_private=perhaps')
	  WHERE srvname = 'hanging'});
like($w->wrong_with('hanging'), qr/invalid value/, 'a value that is none is found');
$w->shop(
	q{UPDATE pg_user_mapping SET umoptions = ARRAY[E'token=x\r\nX-Injected: y']
	  WHERE umserver = (SELECT oid FROM pg_foreign_server WHERE srvname = 'filtered')});
like($w->wrong_with('filtered'), qr/option "token".*invalid value/, 'a token with a line feed is not sent');

# ---- without libcurl ----

{
	local %ENV = %ENV;
	append_to_file($w->file('libcurl.so.4'), '');
	$ENV{LD_LIBRARY_PATH} = $w->{dir};
	$w->{shop}->restart;
	ok($w->worker_is('idle'), 'the worker runs without libcurl');
	like($w->wrong_with('bank'), qr/teller_http.*libcurl/, 'and says what it lacks');
	$w->withdraw('no library');
	ok( $w->{shop}->poll_query_until('shop',
			q{SELECT last_error LIKE '%libcurl%' FROM teller.operation WHERE nonce = 'no library'}),
		'an operation waits, and says for what');
	is($w->operation('no library', 'state, attempts, dirty'), 'retry_wait|0|f', 'with no attempt burned');
}
$w->{shop}->restart;
$w->becomes('no library', 'settled', 'until the library is there');
$w->books_agree('in the end');

$w->stop;
done_testing();
