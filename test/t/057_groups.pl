# Executes that travel together: the remote executes them in one transaction.
# What is wrong with one stops no other, and whatever dies on the way, each
# has one effect.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use BankAndShop;
use PostgreSQL::Test::Utils;
use Test::More;

my $w = BankAndShop->new(
	conf => q{
max_connections = 100
teller.max_in_flight_per_server = 32
teller.max_attempts = 3
teller.circuit_failures = 1000
});

# Past the gate, which knows no groups.
$w->shop(q{ALTER SERVER bank OPTIONS (SET dbname 'bank')});
$w->bank(<<'SQL');
	-- Two places where a group can be made to wait: before it is executed, and
	-- before its transaction commits.
	ALTER FUNCTION teller_remote.execute_many RENAME TO execute_many_inside;
	CREATE FUNCTION teller_remote.execute_many(
		memos bytea[], origin uuid, ledger bigint, directions text[],
		accounts text[], amounts numeric[], assets text[], nonces text[],
		not_after timestamptz[], payloads jsonb[],
		OUT memo bytea, OUT status text, OUT reference text, OUT reason text,
		OUT amount numeric, OUT asset text, OUT executed_at timestamptz,
		OUT replayed boolean, OUT server_now timestamptz)
	RETURNS SETOF record LANGUAGE plpgsql AS $$
	#variable_conflict use_column
	BEGIN
		PERFORM pg_advisory_xact_lock_shared(77);
		RETURN QUERY SELECT * FROM teller_remote.execute_many_inside($1, $2, $3,
			$4, $5, $6, $7, $8, $9, $10);
		PERFORM pg_advisory_xact_lock_shared(78);
	END $$;
SQL

# Submit so many in one transaction, so that they are claimed together.
sub submit
{
	my ($name, $number, $to) = @_;

	$w->shop(qq{SELECT count(w.id) FROM generate_series(1, $number) AS i,
		LATERAL teller.withdraw(1, 2, 'bank', 1, '$to', '$name ' || i) AS w});
	return;
}

sub all_are
{
	my ($name, $state, $test) = @_;

	return ok( $w->{shop}->poll_query_until('shop',
			qq{SELECT bool_and(concat_ws(' ', state, reason) = '$state')
			   FROM teller.operation WHERE nonce LIKE '$name %'}),
		$test);
}

sub outcomes
{
	my ($name) = @_;

	return $w->shop(qq{SELECT string_agg(DISTINCT a.outcome, ', ' ORDER BY a.outcome)
		FROM teller.attempt AS a JOIN teller.operation AS o
			ON o.ledger_id = a.ledger_id AND o.id = a.operation_id
		WHERE o.nonce LIKE '$name %'});
}

# Close one of the two places; the session that keeps it closed.
sub close_place
{
	my ($place) = @_;
	my $session = $w->{bank}->background_psql('bank', on_error_stop => 1);

	$session->query_safe("SELECT pg_advisory_lock($place)");
	return $session;
}

sub waits_at
{
	my ($place, $test) = @_;

	return ok( $w->{bank}->poll_query_until('bank',
			qq{SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory'
			   AND objid = $place AND NOT granted}),
		$test);
}

ok($w->worker_is('idle'), 'the worker runs');

# ---- together -------------------------------------------------------------

submit('many', 100, 'carol');
all_are('many', 'settled', 'a hundred settle');
is( $w->bank(q{SELECT count(*) > 0 AND count(*) < 50 FROM (SELECT DISTINCT tx
		FROM teller.journal WHERE metadata->>'nonce' LIKE 'many %') AS t}),
	't', 'in less than half as many transactions of the remote');
is(outcomes('many'), 'executed', 'each with its own answer');

# ---- one is wrong ---------------------------------------------------------

$w->{bank}->safe_psql('postgres', q{ALTER SYSTEM SET teller.max_request_bytes = '1kB'});
$w->{bank}->safe_psql('postgres', 'SELECT pg_reload_conf()');
$w->shop(q{SELECT count(w.id) FROM generate_series(1, 20) AS i,
	LATERAL teller.withdraw(1, 2, 'bank', 1, 'carol',
		CASE i WHEN 7 THEN 'large ' ELSE 'small ' END || i,
		payload => CASE i WHEN 7 THEN to_jsonb(repeat('x', 2000)) END) AS w});
all_are('small', 'settled', 'one that the remote cannot take stops no other');
all_are('large', 'refunded expired', 'and ends by itself, never executed');
is(outcomes('large'), 'not_executed', 'as its attempts say');
$w->{bank}->safe_psql('postgres', q{ALTER SYSTEM RESET teller.max_request_bytes});
$w->{bank}->safe_psql('postgres', 'SELECT pg_reload_conf()');

# ---- one waits ------------------------------------------------------------

# The vault has a lower number than the shop's account, so it is locked first:
# who waits for it does not keep the shop's account locked.
my $busy = $w->{bank}->background_psql('bank', on_error_stop => 1);
$busy->query_safe('BEGIN; SELECT teller.lock_accounts(1, ARRAY[1])');
$w->shop(q{SELECT count(w.id) FROM generate_series(1, 20) AS i,
	LATERAL teller.withdraw(1, 2, 'bank', 1, CASE i WHEN 7 THEN 'vault' ELSE 'carol' END,
		CASE i WHEN 7 THEN 'held up ' ELSE 'free ' END || i) AS w});
all_are('free', 'settled', 'one whose account is locked there stops no other');
is($w->operation('held up 7', 'state'), 'in_flight', 'it waits for the lock');
$busy->query_safe('COMMIT');
$busy->quit;
all_are('held up', 'settled', 'and goes when it is free');
is(outcomes('held up'), 'executed', 'at the first attempt');

# ---- the remote dies ------------------------------------------------------

foreach my $place (77, 78)
{
	my $closed = close_place($place);
	my $name = "remote$place";

	submit($name, 20, 'carol');
	waits_at($place, "a group is at place $place of the remote");
	$w->{bank}->safe_psql('bank',
		q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		  WHERE application_name = 'pg_teller'});
	$closed->quit;
	all_are($name, 'settled', 'the connections are cut: all settle');
	like(outcomes($name), qr/^ambiguous, executed$/, 'at another attempt');
}

# ---- the worker dies ------------------------------------------------------

foreach my $place (77, 78)
{
	my $closed = close_place($place);
	my $name = "worker$place";

	submit($name, 20, 'carol');
	waits_at($place, "a group is at place $place of the remote");
	kill 'KILL', $w->worker_pid;
	$w->{shop}->poll_query_until('shop', 'SELECT true');
	$closed->quit;
	all_are($name, 'settled', 'the worker is killed: all settle');
	like(outcomes($name), qr/lost/, 'after an attempt that was lost');
}

# ---- a remote without groups ----------------------------------------------

$w->bank(q{REVOKE EXECUTE ON FUNCTION teller_remote.execute_many FROM PUBLIC});
submit('apart', 40, 'carol');
all_are('apart', 'settled', 'where groups are not allowed, each goes by itself');
is(outcomes('apart'), 'executed', 'and no attempt is burned');
is( $w->bank(q{SELECT count(*) FROM (SELECT DISTINCT tx
		FROM teller.journal WHERE metadata->>'nonce' LIKE 'apart %') AS t}),
	'40', 'in a transaction of its own');

$w->books_agree('in the end');
$w->stop;
done_testing();
