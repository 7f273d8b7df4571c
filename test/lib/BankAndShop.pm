# A shop that pays out through a bank, for TAP tests.
#
# Three databases: bank (a pg_teller database that plays the external ledger),
# gate (examples/gated_bank.sql: keeps calls waiting, loses replies), and shop,
# whose server "bank" leads to the gate.  Bank and gate are in one cluster and
# shop in another, so that either can die alone.
#
# In the bank: account 2 of ledger 1 is the shop's, carol (3) is a customer.
# In the shop: account 1 is the world outside, 9 mirrors what the shop has at
# the bank, 2 is alice's with 1000.00.
package BankAndShop;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PollAcrossRestarts;
use Test::More;

my $root = abs_path(dirname(__FILE__) . '/../..');

my $conf = q{
shared_preload_libraries = 'pg_teller'
restart_after_crash = on
log_line_prefix = '%m [%p] %b '
teller.backoff_base = '20ms'
teller.backoff_max = '100ms'
teller.circuit_open = '100ms'
teller.not_after_margin = '0s'
};

sub new
{
	my ($class, %option) = @_;
	my $self = bless {}, $class;

	$self->{bank} = PostgreSQL::Test::Cluster->new('bank');
	$self->{shop} = PostgreSQL::Test::Cluster->new('shop');
	foreach my $node ($self->{bank}, $self->{shop})
	{
		$node->init;
		$node->append_conf('postgresql.conf', $conf . ($option{conf} // ''));
		$node->start;
	}
	$self->_make_bank;
	$self->_make_gate;
	$self->_make_shop;
	return $self;
}

sub _make_bank
{
	my ($self) = @_;

	$self->{bank}->safe_psql('postgres', 'CREATE DATABASE bank');
	$self->bank(
		q{
		CREATE ROLE shop LOGIN;
		CREATE EXTENSION pg_teller;
		SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
		SELECT teller.open_account(1, 1, 'USD', 'vault', min_balance => NULL);
		SELECT teller.open_account(1, 2, 'USD', 'shop');
		SELECT teller.open_account(1, 3, 'USD', 'carol');
		SELECT status FROM teller.transfer(1, 1, 2, 100000);
		GRANT USAGE ON SCHEMA teller_remote TO shop;
		SELECT teller_remote.grant_remote('shop', 1, 2);
	});
	return;
}

sub _make_gate
{
	my ($self) = @_;
	my $node = $self->{bank};

	$node->safe_psql('postgres', 'CREATE DATABASE gate');
	command_ok(
		[
			'psql', '-X', '-q', '-d', $node->connstr('gate'),
			'-v', 'bank=bank', '-f', "$root/examples/gated_bank.sql"
		],
		'the gate is made');
	return;
}

sub server_options
{
	my ($self, $dbname) = @_;

	return sprintf("host '%s', port '%d', dbname '%s'",
		$self->{bank}->host, $self->{bank}->port, $dbname);
}

sub _make_shop
{
	my ($self) = @_;
	my $options = $self->server_options('gate');

	$self->{shop}->safe_psql('postgres', 'CREATE DATABASE shop');
	$self->shop(
		qq{
		CREATE EXTENSION pg_teller;
		SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
		SELECT teller.open_account(1, 1, 'USD', 'world', min_balance => NULL);
		SELECT teller.open_account(1, 9, 'USD', 'at bank', min_balance => NULL);
		SELECT teller.open_account(1, 2, 'USD', 'alice');
		SELECT status FROM teller.transfer(1, 1, 2, 1000);
		CREATE SERVER bank FOREIGN DATA WRAPPER teller_postgres
			OPTIONS ($options);
		CREATE USER MAPPING FOR PUBLIC SERVER bank OPTIONS (user 'shop');
		SELECT teller.set_settlement_account(1, 'bank', 9);
	});
	return;
}

# ---- the two sides ----

sub bank { my ($self, $sql) = @_; return $self->{bank}->safe_psql('bank', $sql); }
sub gate { my ($self, $sql) = @_; return $self->{bank}->safe_psql('gate', $sql); }
sub shop { my ($self, $sql) = @_; return $self->{shop}->safe_psql('shop', $sql); }

# Close the gate; returns the session that keeps it closed.
sub close_gate
{
	my ($self) = @_;
	my $session = $self->{bank}->background_psql('gate', on_error_stop => 1);

	$session->query_safe('SELECT gate.close()');
	return $session;
}

# Wait until this many calls wait at the gate.
sub gate_has
{
	my ($self, $calls) = @_;

	return $self->{bank}->poll_query_until('gate',
		"SELECT gate.waiting() >= $calls");
}

# The SQLSTATE that a statement of the shop raises, or ''.
sub sqlstate
{
	my ($self, $sql, $user) = @_;
	my (undef, $stdout, $stderr) = $self->{shop}->psql(
		'shop',
		"\\set VERBOSITY sqlstate\n" .
		  (defined $user ? "SET ROLE $user;\n" : '') . "$sql;");

	return $stderr =~ /ERROR:\s+(\w+)/ ? $1 : '';
}

# ---- operations ----

sub withdraw
{
	my ($self, $nonce, %arg) = @_;
	my $amount = $arg{amount} // 10;
	my $to = $arg{to} // 'carol';
	my $more = $arg{more} ? ", $arg{more}" : '';

	return $self->shop(
		"SELECT id FROM teller.withdraw(1, 2, 'bank', $amount, '$to', '$nonce'$more)");
}

sub operation
{
	my ($self, $nonce, $columns) = @_;

	return $self->shop(
		"SELECT $columns FROM teller.operation WHERE nonce = '$nonce'");
}

# A test: the operation gets into this state (and, if given, stays for this reason).
sub becomes
{
	my ($self, $nonce, $state, $test) = @_;

	return ok( $self->{shop}->poll_query_until(
			'shop',
			"SELECT concat_ws(' ', state, reason) = '$state'
			 FROM teller.operation WHERE nonce = '$nonce'"),
		$test // "$nonce is $state");
}

# ---- the worker ----

sub worker_pid
{
	my ($self) = @_;

	return $self->shop(
		q{SELECT pid FROM teller.worker_status WHERE database = 'shop'});
}

sub worker_is
{
	my ($self, $state) = @_;

	return $self->{shop}->poll_query_until('shop',
		"SELECT state LIKE '$state' FROM teller.worker_status WHERE database = 'shop'");
}

sub set
{
	my ($self, $name, $value) = @_;

	$self->{shop}->safe_psql('postgres', "ALTER SYSTEM SET $name = '$value'");
	$self->{shop}->safe_psql('postgres', 'SELECT pg_reload_conf()');
	return;
}

sub reset
{
	my ($self, $name) = @_;

	$self->{shop}->safe_psql('postgres', "ALTER SYSTEM RESET $name");
	$self->{shop}->safe_psql('postgres', 'SELECT pg_reload_conf()');
	return;
}

# Was the library built for tests?
sub has_wait_points
{
	my ($self) = @_;

	return $self->shop(
		q{SELECT count(*) FROM pg_settings WHERE name = 'teller.wait_point'});
}

# ---- the two books ----

sub _by_memo
{
	my ($rows) = @_;

	return map { split /\|/ } split /\n/, $rows;
}

# What one book says and the other does not, as a list of complaints.
sub _differences
{
	my ($self) = @_;
	my %ours = _by_memo(
		$self->shop('SELECT memo, state FROM teller.operation'));
	my %theirs = _by_memo($self->bank('SELECT memo, status FROM teller.memo'));
	my @wrong;

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
	}
	return @wrong;
}

# Tests: both books are sound, and tell the same of every operation: one
# effect there for each that is settled, none for each that is refunded.
# Operations named in %arg may be left out of the sums: doubtful => amount.
sub books_agree
{
	my ($self, $test) = @_;
	my $sent = $self->shop(
		q{SELECT coalesce(sum(CASE direction WHEN 'withdraw' THEN amount ELSE -amount END), 0)
		  FROM teller.operation WHERE state = 'settled'});

	subtest "$test: the books agree" => sub {
		is($self->shop('SELECT * FROM teller.verify()'), '', 'the shop is sound');
		is($self->bank('SELECT * FROM teller.verify()'), '', 'the bank is sound');
		is(join("\n", $self->_differences), '', 'operation by operation');
		is($self->shop('SELECT posted FROM teller.balance(1, 9)') + 0,
			$sent + 0, 'the settlement account has what was settled');
		is($self->bank('SELECT 100000 - posted FROM teller.balance(1, 2)') + 0,
			$sent + 0, 'and so has the bank');
		is( $self->bank(
				q{SELECT count(*) FROM teller.memo m WHERE status = 'executed'
				  AND (SELECT count(*) FROM teller.movement j
					   WHERE j.ledger_id = m.ledger_id AND j.id::text = m.reference) <> 1}
			),
			'0',
			'each executed memo has its one movement');
	};
	return;
}

sub stop
{
	my ($self) = @_;

	$self->{shop}->stop;
	$self->{bank}->stop;
	return;
}

1;
