# External operations, end to end: what an operation becomes, and that the
# bank's book says the same.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use BankAndShop;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $w = BankAndShop->new;
my $id;

ok($w->worker_is('idle'), 'the worker runs');

# ---- it is executed ----

$id = $w->withdraw('paid', more => q{payload => '{"invoice": 7}'});
is($w->shop("SELECT teller.await(1, '$id')"), 'settled', 'a withdrawal settles');
is( $w->operation('paid',
		'attempts, dirty, reason, response ->> \'status\', last_error, next_try_at'),
	'1|f||executed||', 'at the first attempt');
is($w->bank(q{SELECT request -> 'payload' FROM teller.memo}),
	'{"invoice": 7}', 'the payload arrived');
is( $w->shop(
		q{SELECT verb, outcome, ended_at >= started_at FROM teller.attempt}),
	'execute|executed|t',
	'its attempt is on record');
is( $w->shop(
		q{SELECT string_agg(kind, ' ' ORDER BY debit_version) FROM teller.movement
		  WHERE operation_id IS NOT NULL}),
	'hold capture',
	'it is one hold and one capture');
is($w->shop(q{SELECT state, replayed FROM teller.withdraw(1, 2, 'bank', 10.0,
	'carol', 'paid', '{"invoice": 7}')}),
	'settled|t', 'the same nonce answers what became of it');
is( $w->sqlstate(
		q{SELECT teller.withdraw(1, 2, 'bank', 11, 'carol', 'paid', '{"invoice": 7}')}
	),
	'TL003',
	'the nonce with another amount is refused');
$w->books_agree('executed');

# ---- it is rejected ----

$w->withdraw('nobody', to => 'nobody');
$w->becomes('nobody', 'refunded rejected');
is($w->operation('nobody', 'attempts, last_error'),
	'1|not_found', 'and says why');
$w->withdraw('late rejection', to => 'nobody');
$w->becomes('late rejection', 'refunded rejected');

# ---- the reply is lost ----

$w->gate('SELECT gate.lose_next(2)');
$w->withdraw('lost twice');
$w->becomes('lost twice', 'settled', 'two replies are lost, and it settles');
is($w->operation('lost twice', 'attempts, dirty, response ->> \'replayed\''),
	'3|t|true', 'the third attempt got the answer to the first');
is( $w->shop(
		q{SELECT string_agg(a.outcome, ' ' ORDER BY a.attempt),
			count(DISTINCT a.memo)
		  FROM teller.attempt a JOIN teller.operation o ON o.id = a.operation_id
		  WHERE o.nonce = 'lost twice'}),
	'ambiguous ambiguous executed|1',
	'all under one memo');
$w->gate('SELECT gate.lose_next(1)');
$w->withdraw('lost rejection', to => 'nobody');
$w->becomes('lost rejection', 'refunded rejected',
	'a rejection whose reply was lost is found again');
$w->books_agree('lost replies');

# ---- a deposit ----

sub deposit
{
	my ($nonce) = @_;

	$w->shop("SELECT teller.deposit(1, 2, 'bank', 3, 'carol', '$nonce')");
	return;
}

deposit('no mandate');
$w->becomes('no mandate', 'refunded rejected', 'a deposit takes a mandate');
is($w->operation('no mandate', 'last_error'), 'not_permitted', 'and says so');
$w->bank(q{SELECT teller_remote.grant_debit('shop', 1, 3)});
deposit('deposit');
$w->becomes('deposit', 'settled');
$w->books_agree('a deposit');

# ---- cancel ----

$w->set('teller.dispatch', 'off');
ok( $w->{shop}->poll_query_until('shop',
		q{SELECT NOT dispatch FROM teller.worker_status WHERE database = 'shop'}),
	'dispatch is off');
$id = $w->withdraw('cancelled');
is($w->shop("SELECT teller.cancel(1, '$id')"), 'refunded', 'what was never sent is refunded at once');
is($w->operation('cancelled', 'state, reason, attempts'), 'refunded|cancelled|0', 'as cancelled');
is($w->shop("SELECT teller.cancel(1, '$id')"), 'refunded', 'to cancel it twice is no error');
$w->reset('teller.dispatch');

my $gate = $w->close_gate;
$id = $w->withdraw('too late');
ok($w->gate_has(1), 'a call is on its way');
is($w->shop("SELECT teller.cancel(1, '$id')"), 'cancel_requested', 'it may run, so only a flag is set');
is($w->operation('too late', 'state, cancel_requested'), 'in_flight|t', 'and the state stands');
is($w->shop("SELECT teller.await(1, '$id', '0')"), 'in_flight', 'await answers the present state at its timeout');
$gate->query_safe('SELECT gate.open()');
is($w->shop("SELECT teller.await(1, '$id')"), 'settled', 'executed wins');
is($w->shop("SELECT teller.cancel(1, '$id')"), 'settled', 'then it is too late to cancel');

$gate->query_safe('SELECT gate.close()');
$id = $w->withdraw('in time', more => q{attempt_timeout => '500 ms'});
ok($w->gate_has(1), 'a call is on its way');
$w->shop("SELECT teller.cancel(1, '$id')");
$w->becomes('in time', 'refunded cancelled',
	'the attempt is proven not to have run, and it is cancelled');
$gate->query_safe('SELECT gate.open()');
$w->books_agree('cancel');

# ---- it expires before it was sent ----

$w->set('teller.dispatch', 'off');
$w->withdraw('expired', more => q{expires_in => '1 s'});
$w->becomes('expired', 'refunded expired', 'also while dispatch is off');
is($w->operation('expired', 'attempts'), '0', 'it was never sent');
$w->reset('teller.dispatch');

# ---- in doubt: fence ----

# The call vanishes between us and the bank.
sub cut
{
	ok($w->gate_has(1), 'a call is at the gate');
	$w->gate(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = 'gate' AND usename = 'shop' AND wait_event_type = 'Lock'});
	return;
}

$w->set('teller.max_attempts', '1');
$gate->query_safe('SELECT gate.close()');
$w->withdraw('fenced');
cut();
$w->becomes('fenced', 'refunded expired', 'a lost call is fenced');
is($w->bank(q{SELECT count(*) FROM teller.memo WHERE status = 'cancelled'}),
	'1', 'the bank keeps a tombstone');
is( $w->shop(
		q{SELECT string_agg(a.verb || ' ' || a.outcome, ', ' ORDER BY a.attempt)
		  FROM teller.attempt a JOIN teller.operation o ON o.id = a.operation_id
		  WHERE o.nonce = 'fenced'}),
	'execute ambiguous, lookup not_found, fence cancelled',
	'lookup found nothing, which proves nothing; the fence did');
$gate->query_safe('SELECT gate.open()');

$w->gate('SELECT gate.lose_next(1)');
$w->withdraw('looked up');
$w->becomes('looked up', 'settled', 'a lookup finds what was executed');
is($w->operation('looked up', 'attempts, dirty'), '1|t', 'without another attempt');

$w->gate(q{SELECT gate.lose_next(1), gate.lose_next(2, 'lookup')});
$w->withdraw('lookup lost');
$w->becomes('lookup lost', 'settled', 'lookups may be lost too');

# ---- in doubt: resolve ----

$w->shop(q{ALTER SERVER bank OPTIONS (ADD can_fence 'off', ADD can_lookup 'off')});
foreach my $nonce ('doubt ran', 'doubt lost')
{
	$gate->query_safe('SELECT gate.close()') if $nonce eq 'doubt lost';
	$w->gate('SELECT gate.lose_next(1)') if $nonce eq 'doubt ran';
	$w->withdraw($nonce);
	cut() if $nonce eq 'doubt lost';
	$w->becomes($nonce, 'in_doubt', "$nonce: nobody can say");
}
$gate->query_safe('SELECT gate.open()');
my $ran = $w->operation('doubt ran', 'id');
my $lost = $w->operation('doubt lost', 'id');
is($w->shop("SELECT teller.await(1, '$ran', '100 ms')"), 'in_doubt', 'await gives up with the state');
$w->shop(q{CREATE ROLE teller_user; GRANT USAGE ON SCHEMA teller TO teller_user;
	SELECT teller.grant_ledger(1, 'teller_user', 'operate')});
is( $w->sqlstate(
		"SELECT teller.resolve(1, '$ran', 'executed', 'R1', 'seen')", 'teller_user'),
	'42501', 'only the owner resolves');
is($w->sqlstate("SELECT teller.resolve(1, '$ran', 'executed', NULL, 'seen')"), '22004', 'executed takes a reference');
is($w->sqlstate("SELECT teller.resolve(1, '$ran', 'executed', 'R1', ' ')"), '22023', 'and a note');
is($w->sqlstate("SELECT teller.resolve(1, '$ran', 'maybe', 'R1', 'seen')"), '22023', 'an outcome is executed or not');
is($w->shop("SELECT teller.resolve(1, '$ran', 'executed', 'R1', 'statement of 7 May')"), 'settled', 'executed settles it');
is($w->shop("SELECT teller.resolve(1, '$lost', 'not_executed', NULL, 'bank says no')"), 'refunded', 'not executed refunds it');
is($w->operation('doubt ran', 'reference'), 'R1', 'the reference is kept');
is( $w->shop(
		q{SELECT count(*), min(role::text), max(kind) FROM teller.finding}),
	'2|' . $w->shop('SELECT current_user') . '|resolved',
	'who said so is kept');
is($w->sqlstate("SELECT teller.resolve(1, '$ran', 'executed', 'R1', 'again')"), '55000', 'it is resolved once');
$w->shop(q{ALTER SERVER bank OPTIONS (DROP can_fence, DROP can_lookup)});
$w->reset('teller.max_attempts');
$w->books_agree('doubt');

# ---- a server that needs mending ----

$w->shop(q{ALTER SERVER bank OPTIONS (SET dbname 'nowhere')});
$w->withdraw('misconfigured');
ok( $w->{shop}->poll_query_until('shop', q{SELECT count(*) > 1
		FROM teller.attempt a JOIN teller.operation o ON o.id = a.operation_id
		WHERE o.nonce = 'misconfigured' AND a.outcome = 'misconfigured'}),
	'a server that needs mending is tried now and then');
ok( $w->{shop}->poll_query_until('shop', q{SELECT attempts = 0 AND NOT dirty
		FROM teller.operation WHERE nonce = 'misconfigured' AND state = 'retry_wait'}),
	'without burning attempts');
is( $w->shop(
		q{SELECT string_agg(check_name, ' ') FROM teller.check_server(1, 'bank') WHERE NOT ok}),
	'connection',
	'check_server says what is wrong');
$w->shop(q{ALTER SERVER bank OPTIONS (SET dbname 'gate')});
$w->becomes('misconfigured', 'settled', 'and it settles when it is mended');
is($w->shop(q{SELECT count(*) FROM teller.check_server(1, 'bank') WHERE NOT ok}), '0', 'check_server is content');

# ---- a server that never answers costs the others nothing ----

$w->shop(sprintf q{
	SELECT teller.open_account(1, 8, 'USD', 'at the other', min_balance => NULL);
	CREATE SERVER other FOREIGN DATA WRAPPER teller_postgres OPTIONS (%s);
	CREATE USER MAPPING FOR PUBLIC SERVER other OPTIONS (user 'shop');
	SELECT teller.set_settlement_account(1, 'other', 8)},
	$w->server_options('bank'));
$gate->query_safe('SELECT gate.close()');
$w->withdraw("hangs $_", amount => 1) foreach 1 .. 20;
ok($w->gate_has(16), 'as many calls hang as the server may have');
$id = $w->shop(q{SELECT id FROM teller.withdraw(1, 2, 'other', 1, 'carol', 'other')});
is($w->shop("SELECT teller.await(1, '$id')"), 'settled', 'another server goes on');
is($w->shop(q{SELECT count(*) FROM teller.operation WHERE state = 'in_flight'}), '16', 'while the first one hangs');

# ---- DROP EXTENSION with calls in flight ----

is($w->sqlstate('DROP EXTENSION pg_teller CASCADE'), '55000', 'DROP EXTENSION is refused');
is($w->shop(q{SELECT count(*) FROM teller.operation WHERE state = 'in_flight'}), '16', 'and nothing happened');
$gate->query_safe('SELECT gate.open()');
$w->becomes("hangs $_", 'settled') foreach 1 .. 20;

# The other server's settlement account is the same shop's money at the bank.
$w->shop('SELECT teller.transfer(1, 8, 9, 1)');
$w->books_agree('two servers');

# ---- a remote that tells of something else ----

$w->{bank}->safe_psql('postgres', 'CREATE DATABASE liar');
$w->{bank}->safe_psql('liar', q{
	CREATE SCHEMA teller_remote;
	GRANT USAGE ON SCHEMA teller_remote TO PUBLIC;
	CREATE FUNCTION teller_remote.execute(
		memo bytea, origin uuid, ledger bigint, direction text, account text,
		amount numeric, asset text, nonce text, not_after timestamptz,
		payload jsonb,
		OUT memo bytea, OUT status text, OUT reference text, OUT reason text,
		OUT amount numeric, OUT asset text, OUT executed_at timestamptz,
		OUT replayed boolean, OUT server_now timestamptz)
		LANGUAGE sql AS $$ SELECT CASE nonce WHEN 'liar memo' THEN sha256(memo) ELSE memo END,
			'executed', 'R', NULL, amount + CASE nonce WHEN 'liar amount' THEN 1 ELSE 0 END,
			asset, now(), false, now() $$});
$w->shop(sprintf q{CREATE SERVER liar FOREIGN DATA WRAPPER teller_postgres OPTIONS (%s);
	CREATE USER MAPPING FOR PUBLIC SERVER liar OPTIONS (user 'shop');
	SELECT teller.open_account(1, 7, 'USD', 'at the liar', min_balance => NULL);
	SELECT teller.set_settlement_account(1, 'liar', 7)},
	$w->server_options('liar'));
foreach my $what ('memo', 'amount')
{
	$id = $w->shop("SELECT id FROM teller.withdraw(1, 2, 'liar', 1, 'carol', 'liar $what')");
	$w->becomes("liar $what", 'conflict', "another $what is a conflict");
	is( $w->shop("SELECT kind, detail FROM teller.finding WHERE operation_id = '$id'"),
		qq{conflict|the remote answered "executed" with another $what},
		'and a finding');
	is( $w->shop(
			"SELECT count(*) FROM teller.open_hold WHERE operation_id = '$id'"),
		'1', 'the money stays held');
	is($w->shop("SELECT teller.resolve(1, '$id', 'not_executed', NULL, 'they lied')"),
		'refunded', 'until somebody resolves it');
}

# ---- waiting ----

is($w->sqlstate("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT teller.await(1, '$id')"), '25001', 'await needs READ COMMITTED');
is($w->sqlstate(q{BEGIN; SELECT teller.await(1, (SELECT id FROM teller.withdraw(1, 2, 'bank', 1, 'carol', 'own')))}), '55000', 'nobody waits for his own transaction');
is($w->sqlstate("SELECT teller.await(1, '$id', '-1 s')"), '22023', 'the timeout is not negative');
is($w->sqlstate(q{SELECT teller.await(1, '00000000-0000-0000-0000-000000000000')}), 'TL009', 'an unknown operation');

my $listener = $w->{shop}->background_psql('shop', on_error_stop => 1);
$listener->query_safe('LISTEN teller_operation');
$gate->query_safe('SELECT gate.close()');
my @ids = map { $w->withdraw("awaited $_", amount => 1) } 1 .. 5;
my $waiter = $w->{shop}->background_psql('shop', on_error_stop => 1);
my $list = join ',', map { "'$_'" } reverse @ids;
$waiter->query_until(qr/waiting/,
	"\\echo waiting\nSELECT bool_and(state = 'settled'), array_agg(operation) = ARRAY[$list]::uuid[] FROM teller.await_all(1, ARRAY[$list]::uuid[]);\n");
ok($w->gate_has(5), 'five calls are on their way');
$gate->query_safe('SELECT gate.open()');
like($waiter->query_safe('SELECT 1'), qr/t\|t\n/, 'await_all tells of all, in the order given');
$waiter->quit;
my $heard = $listener->query_safe('SELECT 1');
my $hints = () = $heard =~ /"teller_operation" with payload "1 [0-9a-f-]{36} settled"/g;
is($hints, 5, 'whoever listens hears of each');
$listener->quit;
$w->books_agree('waiting');

# ---- queue limits ----

$w->set('teller.max_pending_operations_per_account', '2');
$gate->query_safe('SELECT gate.close()');
$w->withdraw("queued $_", amount => 1) foreach 1, 2;
is($w->sqlstate(q{SELECT teller.withdraw(1, 2, 'bank', 1, 'carol', 'queued 3')}), 'TL011', 'an account may have so many open operations');
is($w->shop(q{SELECT replayed FROM teller.withdraw(1, 2, 'bank', 1, 'carol', 'queued 2')}), 't', 'to repeat one takes no room');
$w->reset('teller.max_pending_operations_per_account');
$w->set('teller.max_pending_operations', '2');
is($w->sqlstate(q{SELECT teller.withdraw(1, 2, 'bank', 1, 'carol', 'queued 3')}), 'TL011', 'and so does a database');
my $patient = $w->{shop}->background_psql('shop', on_error_stop => 1);
$patient->query_safe(q{SET teller.submit_wait = '60 s'; SET application_name = 'patient'});
$patient->query_until(qr/waiting/,
	"\\echo waiting\nSELECT state FROM teller.withdraw(1, 2, 'bank', 1, 'carol', 'queued 3');\n");
ok( $w->{shop}->poll_query_until('shop', q{SELECT count(*) = 1 FROM pg_stat_activity
		WHERE application_name = 'patient' AND wait_event_type = 'Extension'}),
	'a patient caller waits');
is( $w->shop(q{SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE a.application_name = 'patient' AND l.mode NOT IN ('AccessShareLock', 'ExclusiveLock', 'RowExclusiveLock')}),
	'0', 'and locks no row meanwhile');
$gate->query_safe('SELECT gate.open()');
$patient->query_safe('SELECT 1');
$patient->quit;
$w->becomes("queued $_", 'settled') foreach 1, 2, 3;
$w->reset('teller.max_pending_operations');
$w->books_agree('queue limits');

# ---- a copy of the database sends nothing ----

$gate->query_safe('SELECT gate.close()');
$w->withdraw('copied', amount => 1);
ok($w->gate_has(1), 'a call is on its way');
$w->{shop}->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE shop');
ok( $w->{shop}->poll_query_until('postgres',
		q{SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = 'copy' AND backend_type = 'pg_teller worker'}),
	'a copy has a worker');
ok( $w->{shop}->poll_query_until('copy',
		q{SELECT state = 'not_adopted' AND last_error LIKE 'TL010%' FROM teller.worker_status WHERE database = 'copy'}),
	'but is not adopted');
my (undef, undef, $stderr) = $w->{shop}->psql('copy',
	q{\set VERBOSITY sqlstate
	SELECT teller.withdraw(1, 2, 'bank', 1, 'carol', 'copy')});
like($stderr, qr/TL010/, 'and takes no operations');
is($w->{shop}->safe_psql('copy', q{SELECT state FROM teller.operation WHERE nonce = 'copied'}), 'in_flight', 'what it has rests');
$gate->query_safe('SELECT gate.open()');
$w->becomes('copied', 'settled', 'the original goes on');
$w->{shop}->safe_psql('postgres', 'DROP DATABASE copy');

# ---- an acknowledged operation survives, whatever synchronous_commit says ----

$w->set('teller.dispatch', 'off');
$w->withdraw('acknowledged', amount => 1);
$w->{shop}->psql('shop', q{SET synchronous_commit = off;
	SELECT teller.withdraw(1, 2, 'bank', 1, 'carol', 'acknowledged off')});
$w->{shop}->stop('immediate');
$w->{shop}->start;
is($w->operation("acknowledged$_", 'state'), 'held', "acknowledged$_ is there after a crash") foreach '', ' off';
$w->reset('teller.dispatch');
$w->becomes("acknowledged$_", 'settled') foreach '', ' off';
$w->books_agree('in the end');

$gate->quit;
$w->stop;

# ---- without a worker ----

my $bare = PostgreSQL::Test::Cluster->new('bare');
$bare->init;
$bare->start;
(undef, undef, $stderr) = $bare->psql('postgres', q{
	CREATE EXTENSION pg_teller;
	SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
	SELECT teller.open_account(1, 9, 'USD', min_balance => NULL), teller.open_account(1, 2, 'USD');
	CREATE SERVER bank FOREIGN DATA WRAPPER teller_postgres;
	SELECT teller.set_settlement_account(1, 'bank', 9);
	\set VERBOSITY verbose
	SELECT teller.withdraw(1, 2, 'bank', 1, 'carol', 'n')});
like($stderr, qr/55000:.*shared_preload_libraries = 'pg_teller'/s,
	'without the preload withdraw says what to do');
is($bare->safe_psql('postgres', q{SELECT says FROM teller.check_server(1, 'bank') WHERE NOT ok}),
	'pg_teller is not preloaded', 'and so does check_server');
$bare->stop;

done_testing();
