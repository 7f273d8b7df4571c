# A shop that pays out through an HTTP service, for TAP tests.
#
# The service is examples/http_ledger, over TLS with a certificate made here;
# its control port says what is to go wrong.  In the service: "shop" is the
# account of the shop, with 100000.00, carol is a customer, dave has given a
# mandate.  In the shop: account 1 is the world outside, 9 mirrors what the
# shop has at the service, 2 is alice's with 1000.00.  Two servers lead to the
# service: "bank", and "once", which does not count on the memo.
package ShopAndService;

use strict;
use warnings;

use parent 'BankAndShop';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use HTTP::Tiny;
use IPC::Run ();
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $root = abs_path(dirname(__FILE__) . '/../..');

our $TOKEN = 'sesame-4711-open-sesame';

my $conf = q{
shared_preload_libraries = 'pg_teller'
restart_after_crash = on
log_line_prefix = '%m [%p] %b '
log_min_messages = debug1
log_statement = 'none'
teller.backoff_base = '20ms'
teller.backoff_max = '100ms'
teller.circuit_open = '100ms'
teller.circuit_failures = 1000
teller.not_after_margin = '0s'
};

# Was the library built?  It needs libcurl.
sub has_library
{
	my ($directory) = run_command([ 'pg_config', '--pkglibdir' ]);

	return -e "$directory/teller_http.so";
}

sub new
{
	my ($class, %option) = @_;
	my $self = bless { dir => PostgreSQL::Test::Utils::tempdir_short() }, $class;

	$self->_make_certificates;
	$self->{tls} = [ '--cert', "$self->{dir}/service.crt", '--key', "$self->{dir}/service.key" ];
	$self->start_service;
	$self->{shop} = PostgreSQL::Test::Cluster->new('shop');
	$self->{shop}->init;
	$self->{shop}->append_conf('postgresql.conf', $conf . ($option{conf} // ''));
	$self->{shop}->start;
	$self->_make_shop;
	return $self;
}

# ---- certificates ----

sub file { my ($self, $name) = @_; return "$self->{dir}/$name"; }

sub _openssl
{
	my ($self, @command) = @_;
	my $out;

	run_log([ 'openssl', @command ], '>', \$out, '2>&1')
	  or die "openssl @command: $out";
	return;
}

my @new_key = qw(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes);

# NAME.crt and NAME.key, signed by an authority, for these names.
sub certificate
{
	my ($self, $name, $authority, $names, @more) = @_;

	append_to_file($self->file("$name.ext"), "subjectAltName=$names\n");
	$self->_openssl('req', '-new', @new_key, '-subj', "/CN=$name", '-keyout',
		$self->file("$name.key"), '-out', $self->file("$name.csr"));
	$self->_openssl('x509', '-req', '-in', $self->file("$name.csr"), '-CA',
		$self->file("$authority.crt"), '-CAkey', $self->file("$authority.key"),
		'-CAcreateserial', '-days', '2', '-extfile', $self->file("$name.ext"),
		'-out', $self->file("$name.crt"), @more);
	chmod 0600, $self->file("$name.key");
	return;
}

sub authority
{
	my ($self, $name) = @_;

	$self->_openssl('req', '-x509', @new_key, '-days', '2', '-subj', "/CN=$name",
		'-keyout', $self->file("$name.key"), '-out', $self->file("$name.crt"));
	return;
}

sub _make_certificates
{
	my ($self) = @_;

	$self->authority('authority');
	$self->certificate('service', 'authority', 'IP:127.0.0.1,DNS:localhost');
	return;
}

# ---- the service ----

# Starts it, on the same ports if it ran before.
sub start_service
{
	my ($self, @more) = @_;
	my $ports = "$self->{dir}/ports";
	my $tries = 100 * $PostgreSQL::Test::Utils::timeout_default;

	unlink $ports;
	$self->{service} = IPC::Run::start(
		[
			'python3', '-B', "$root/examples/http_ledger/http_ledger.py",
			'--db', "$self->{dir}/ledger.sqlite", '--base', '/ledger',
			'--token', $TOKEN, '--ports', $ports,
			'--port', $self->{port} // 0, '--control', $self->{control} // 0,
			'--account', 'shop:USD:100000', '--account', 'carol:USD:0',
			'--account', 'dave:USD:500:mandate', @{ $self->{tls} }, @more
		],
		'<', \undef, '>', "$self->{dir}/service.log", '2>&1');
	while (!-e $ports && $tries-- > 0)
	{
		$self->{service}->pumpable or last;
		usleep(10_000);
	}
	-e $ports or die 'the service does not start: ' . slurp_file("$self->{dir}/service.log");
	($self->{port}, $self->{control}) = split ' ', slurp_file($ports);
	return;
}

sub kill_service
{
	my ($self, $signal) = @_;

	$self->{service}->signal($signal // 'KILL');
	$self->{service}->finish;
	return;
}

sub control
{
	my ($self, $method, $path, $content) = @_;
	my $answer = HTTP::Tiny->new(timeout => 30)->request(
		$method, "http://127.0.0.1:$self->{control}$path",
		defined $content ? { content => JSON::PP::encode_json($content) } : {});

	die "$method $path: $answer->{status} $answer->{content}" unless $answer->{success};
	return JSON::PP::decode_json($answer->{content});
}

# What is to go wrong with the next call of a verb.
sub fault
{
	my ($self, $verb, $fault, %more) = @_;

	$self->control('POST', '/faults', { verb => $verb, fault => $fault, %more });
	return;
}

sub raw
{
	my ($self, $verb, $bytes, %more) = @_;

	return $self->fault($verb, 'raw', bytes => encode_base64($bytes, ''), %more);
}

# Nothing goes wrong any more; what hangs goes on.
sub mend { my ($self) = @_; return $self->control('DELETE', '/faults'); }

# Wait until this many calls hang in the service.
sub service_has
{
	my ($self, $calls) = @_;
	my $tries = 100 * $PostgreSQL::Test::Utils::timeout_default;

	while ($tries-- > 0)
	{
		return 1 if $self->control('GET', '/faults')->{waiting} >= $calls;
		usleep(10_000);
	}
	return 0;
}

# The bodies that came with an operation's memo.
sub bodies
{
	my ($self, $nonce) = @_;

	my @bodies = @{ $self->control('GET',
			'/bodies?' . $self->operation($nonce, q{encode(memo, 'hex')})) };

	utf8::encode($_) foreach @bodies;
	return @bodies;
}

# ---- the shop ----

sub url { my ($self) = @_; return "https://127.0.0.1:$self->{port}/ledger"; }

sub server_options
{
	my ($self) = @_;

	return sprintf("url '%s', ca_file '%s', allow_private 'on'",
		$self->url, "$self->{dir}/authority.crt");
}

# A server with these options, used like "bank".
sub make_server
{
	my ($self, $name, $options, $mapping) = @_;

	$mapping //= "token '$TOKEN'";
	$self->shop(
		qq{
		CREATE SERVER $name FOREIGN DATA WRAPPER teller_http OPTIONS ($options);
		CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS ($mapping);
		SELECT teller.set_settlement_account(1, '$name', 9);
	});
	return;
}

sub _make_shop
{
	my ($self) = @_;

	$self->{shop}->safe_psql('postgres', 'CREATE DATABASE shop');
	$self->shop(
		q{
		CREATE EXTENSION pg_teller;
		SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
		SELECT teller.open_account(1, 1, 'USD', 'world', min_balance => NULL);
		SELECT teller.open_account(1, 9, 'USD', 'at bank', min_balance => NULL);
		SELECT teller.open_account(1, 2, 'USD', 'alice');
		SELECT status FROM teller.transfer(1, 1, 2, 1000);
	});
	$self->make_server('bank', $self->server_options);
	$self->make_server('once', $self->server_options . q{, honours_memo 'off'});
	return;
}

sub withdraw
{
	my ($self, $nonce, %arg) = @_;
	my $server = $arg{server} // 'bank';
	my $amount = $arg{amount} // 1;
	my $to = $arg{to} // 'carol';
	my $more = $arg{more} ? ", $arg{more}" : '';

	return $self->shop(
		"SELECT id FROM teller.withdraw(1, 2, '$server', $amount, '$to', '$nonce'$more)");
}

# How its attempts ended: "ambiguous executed", with the verb where it is not
# execute: "lookup:not_found".
sub attempts
{
	my ($self, $nonce) = @_;

	return $self->shop(
		qq{SELECT string_agg(CASE verb WHEN 'execute' THEN '' ELSE verb || ':' END
				|| coalesce(outcome, 'open'), ' ' ORDER BY attempt)
		   FROM teller.attempt a JOIN teller.operation o ON o.id = a.operation_id
		   WHERE o.nonce = '$nonce'});
}

# What was noted about attempt number $attempt.
sub detail
{
	my ($self, $nonce, $attempt) = @_;

	return $self->shop(
		qq{SELECT a.detail FROM teller.attempt a JOIN teller.operation o ON o.id = a.operation_id
		   WHERE o.nonce = '$nonce' AND a.attempt = $attempt});
}

# What check_server finds wrong with a server: check and finding.
sub wrong_with
{
	my ($self, $server) = @_;

	return $self->shop(
		"SELECT check_name, says FROM teller.check_server(1, '$server') WHERE NOT ok");
}

# ---- the two books ----

sub _differences
{
	my ($self, $books) = @_;
	my %ours = BankAndShop::_by_memo(
		$self->shop(q{SELECT encode(memo, 'hex'), state FROM teller.operation}));
	my %theirs = map { $_->{memo} => $_->{status} } @{ $books->{memo} };
	my %effects;
	my @wrong;

	$effects{ $_->{memo} }++ foreach @{ $books->{movement} };
	foreach my $memo (keys %ours)
	{
		my $there = $theirs{$memo} // 'absent';

		push @wrong, "$memo is settled here and $there there"
		  if $ours{$memo} eq 'settled' && $there ne 'executed';
		push @wrong, "$memo is refunded here and executed there"
		  if $ours{$memo} eq 'refunded' && $there eq 'executed';
	}
	foreach my $memo (keys %theirs)
	{
		push @wrong, "$memo is unknown here" unless exists $ours{$memo};
		push @wrong, "$memo is $theirs{$memo} with " . ($effects{$memo} // 0) . ' effects'
		  if ($effects{$memo} // 0) != ($theirs{$memo} eq 'executed' ? 1 : 0);
	}
	return @wrong;
}

# A test: both books tell the same of every operation.
sub books_agree
{
	my ($self, $test) = @_;
	my $books = $self->control('GET', '/books');
	my ($own) = grep { $_->{name} eq 'shop' } @{ $books->{account} };

	subtest "$test: the books agree" => sub {
		is($self->shop('SELECT * FROM teller.verify()'), '', 'the shop is sound');
		is(join("\n", $self->_differences($books)), '', 'operation by operation');
		is( $self->shop(
				q{SELECT coalesce(sum(CASE direction WHEN 'withdraw' THEN amount ELSE -amount END), 0)
				  FROM teller.operation WHERE state = 'settled'}) + 0,
			100000 - $own->{balance}, 'the service has paid what was settled');
		is($self->shop('SELECT posted FROM teller.balance(1, 9)') + 0,
			100000 - $own->{balance}, 'and so says the settlement account');
	};
	return;
}

sub stop
{
	my ($self) = @_;

	$self->{shop}->stop;
	$self->kill_service('TERM');
	return;
}

1;
