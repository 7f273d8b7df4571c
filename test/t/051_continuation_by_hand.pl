# Continuations without a worker: of a pull server, run by hand, by two at
# once, and put back while somebody runs them.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');

$node->init;
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION pg_teller;
	SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
	SELECT teller.open_account(1, 1, 'USD', 'world', min_balance => NULL),
		teller.open_account(1, 2, 'USD', 'alice'), teller.open_account(1, 9, 'USD', 'at bank', min_balance => NULL);
	SELECT status FROM teller.transfer(1, 1, 2, 1000);
	CREATE SERVER pull FOREIGN DATA WRAPPER teller_pull;
	SELECT teller.set_settlement_account(1, 'pull', 9);
	CREATE ROLE app;
	GRANT USAGE ON SCHEMA teller TO app;
	GRANT USAGE ON FOREIGN SERVER pull TO app;
	SELECT teller.grant_ledger(1, 'app', 'operate');
	CREATE SCHEMA app AUTHORIZATION app;
	SET ROLE app;
	CREATE TABLE app.log (nonce text, says text);
	CREATE FUNCTION app.note(r teller.operation_result) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO app.log VALUES (r.nonce, r.state || ' ' || current_user);
		IF r.nonce LIKE 'fails%' AND to_regclass('app.mended') IS NULL THEN
			RAISE EXCEPTION 'not yet';
		END IF;
	END $$;
});

# Submitted by app, and executed by whoever claims it.
sub pay
{
	my ($nonce) = @_;
	my $id = $node->safe_psql('postgres',
		qq{SET ROLE app; SELECT id FROM teller.withdraw(1, 2, 'pull', 5, 'carol', '$nonce',
			on_complete => 'app.note(teller.operation_result)')});

	$node->safe_psql('postgres',
		q{SELECT teller.complete(ledger_id, id, token, memo, 'executed', 'ref', amount => 5, asset => 'USD')
		  FROM teller.claim('pull', 10, '1 min')});
	return $id;
}

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

pay('one');
is(sql(q{SELECT o.state, c.state FROM teller.operation o JOIN teller.continuation c ON c.operation_id = o.id}),
	'settled|waiting', 'an operation has ended, and nobody runs its continuation');
is(sql('SELECT teller.run_continuations(1)'), '1', 'until it is run by hand');
is(sql('SELECT * FROM app.log'), 'one|settled app', 'as the submitter');
is(sql('SELECT teller.run_continuations(1)'), '0', 'and not again');

# ---- two at once ----

pay('two');
my $first = $node->background_psql('postgres', on_error_stop => 1);
my $second = $node->background_psql('postgres', on_error_stop => 0);
$first->query_safe('BEGIN');
is($first->query_safe('SELECT teller.run_continuations(1)'), '1', 'one runs it');
is($second->query_safe('SELECT teller.run_continuations(1)'), '0', 'another passes over it, without a wait');
$first->query_safe('ROLLBACK');
is(sql(q{SELECT count(*) FROM app.log WHERE nonce = 'two'}), '0', 'taken back, nothing has happened');
is($second->query_safe('SELECT teller.run_continuations(1)'), '1', 'and another may run it');
is(sql(q{SELECT count(*) FROM app.log WHERE nonce = 'two'}), '1', 'once');

# ---- put back while it is run ----

my $id = pay('fails');
foreach my $n (1 .. 10)
{
	sql(q{UPDATE teller.continuation_data SET next_try_at = now() WHERE state = 'waiting'});
	sql('SELECT teller.run_continuations(1)');
}
is(sql(q{SELECT state, attempts FROM teller.continuation WHERE operation_id = '} . $id . q{'}), 'parked|10', 'it is parked');
sql('CREATE TABLE app.mended ()');
$first->query_safe('BEGIN');
is($first->query_safe("SELECT teller.retry_continuation(1, '$id', 'on_complete')"), '1', 'it is put back');
$second->query_until(qr/asked/, "\\echo asked\nSELECT teller.retry_continuation(1, '$id', 'on_complete');\n");
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'}),
	'another who does so waits');
$first->query_safe('COMMIT');
$first->query_safe('BEGIN');
is($first->query_safe('SELECT teller.run_continuations(1)'), '1', 'it runs');
$first->query_safe('COMMIT');
eval { $second->quit };
is(sql(qq{SELECT count(*), min(c.state) FROM app.log, teller.continuation c WHERE nonce = 'fails' AND operation_id = '$id'}),
	'1|done', 'once, and the other one changed nothing');
$first->quit;

is(sql('SELECT * FROM teller.verify()'), '', 'the book is sound');
$node->stop;
done_testing();
