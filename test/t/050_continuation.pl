# Continuations: they run as the submitter and as nobody else, their effects
# come exactly once, and whatever they do, the money and the worker go on.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use BankAndShop;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $w = BankAndShop->new(conf => "teller.callback_timeout = '300ms'\n"
	  . "teller.callback_max_attempts = 3\nteller.max_attempts = 50\n"
	  . "teller.shutdown_grace = '500ms'\n");

$w->shop(
	q{
	CREATE ROLE app;
	CREATE ROLE other;
	CREATE ROLE leaves;
	GRANT USAGE ON SCHEMA teller TO app, other, leaves;
	GRANT USAGE ON FOREIGN SERVER bank TO app, other, leaves;
	SELECT teller.grant_ledger(1, r::regrole, 'operate') FROM unnest(ARRAY['app', 'other', 'leaves']) AS r;
	CREATE SCHEMA app AUTHORIZATION app;
	GRANT USAGE ON SCHEMA app TO other, leaves;
	SET ROLE app;
	CREATE TABLE app.log (nonce text, says text);
	GRANT INSERT ON app.log TO leaves;
	CREATE TABLE app.late (x int);
	CREATE FUNCTION app.fire() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO app.log VALUES ('fired', current_user);
		RETURN NULL;
	END $$;
	CREATE CONSTRAINT TRIGGER fire AFTER INSERT ON app.late
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.fire();
	CREATE FUNCTION app.note(r teller.operation_result) RETURNS void LANGUAGE sql AS $$
		INSERT INTO app.log VALUES ((r).nonce, concat_ws(' ', (r).state, (r).reason, current_user,
			current_setting('search_path'), (r).payload ->> 'invoice'))
	$$;
	CREATE FUNCTION app.fail(r teller.operation_result) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO app.log VALUES (r.nonce, 'never seen');
		RAISE EXCEPTION 'no, said % of %', r.nonce, r.state USING ERRCODE = 'P4711';
	END $$;
	CREATE FUNCTION app.hang(r teller.operation_result) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_sleep(600);
	END $$;
	CREATE FUNCTION app.stubborn(r teller.operation_result) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		LOOP
			BEGIN
				PERFORM pg_sleep(600);
			EXCEPTION WHEN query_canceled THEN
				NULL;
			END;
		END LOOP;
	END $$;
	CREATE FUNCTION app.try(nonce text, statement text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE statement;
		INSERT INTO app.log VALUES (nonce, statement || ': as ' || current_user);
	EXCEPTION WHEN OTHERS THEN
		INSERT INTO app.log VALUES (nonce, statement || ': ' || sqlstate);
	END $$;
	CREATE FUNCTION app.escape(r teller.operation_result) RETURNS void LANGUAGE sql AS $$
		SELECT app.try((r).nonce, s) FROM unnest(ARRAY[
			'RESET ROLE', 'SET ROLE NONE', 'SET ROLE postgres', 'SET LOCAL ROLE other',
			'SET SESSION AUTHORIZATION postgres', 'RESET SESSION AUTHORIZATION',
			'SELECT set_config(''role'', ''postgres'', false)',
			'SELECT set_config(''session_authorization'', ''postgres'', true)',
			'CREATE TEMP TABLE t (x int)', 'INSERT INTO app.late VALUES (1)',
			'SET CONSTRAINTS ALL DEFERRED', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1',
			'LISTEN here', 'COMMIT', 'ROLLBACK', 'DISCARD ALL', 'LOAD ''pg_teller''',
			'SELECT * FROM pg_authid', 'SELECT * FROM teller.continuation_data',
			'SELECT teller.run_continuations(1)',
			'COPY app.log TO PROGRAM ''true''', 'SELECT pg_terminate_backend(pg_backend_pid())'
		]) WITH ORDINALITY AS u (s, n) ORDER BY n
	$$;
	CREATE FUNCTION app.leave_things(r teller.operation_result) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_lock(4711);
		SET search_path = app;
		SET lock_timeout = 0;
		SET TIME ZONE 'Asia/Tokyo';
		INSERT INTO log VALUES (r.nonce, 'left');
	END $$;
	CREATE FUNCTION app.look_round(r teller.operation_result) RETURNS void LANGUAGE sql AS $$
		INSERT INTO app.log VALUES ((r).nonce, concat_ws(' ', current_setting('search_path'),
			current_setting('lock_timeout'), current_setting('TimeZone') = 'Asia/Tokyo',
			(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')))
	$$;
	CREATE FUNCTION app.go_on(r teller.operation_result) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM teller.transfer(1, 1, 2, 1, key => 'back ' || r.nonce);
		PERFORM teller.withdraw(1, 2, 'bank', 2, 'carol', r.nonce || ', next', on_complete => 'app.note(teller.operation_result)');
	END $$;
});

# As a role, with functions to run.
sub pay
{
	my ($nonce, %arg) = @_;
	my $role = $arg{role} // 'app';
	my $to = $arg{to} // 'carol';
	my $amount = $arg{amount} // 1;
	my $more = $arg{more} ? ", $arg{more}" : '';
	my $then = $arg{then} ? ", on_complete => 'app.$arg{then}(teller.operation_result)'" : '';

	return $w->shop(
		"SET ROLE $role; SELECT id FROM teller.withdraw(1, 2, 'bank', $amount, '$to', '$nonce'$more$then)");
}

sub continuation
{
	my ($nonce, $columns) = @_;

	return $w->shop(
		qq{SELECT $columns FROM teller.continuation
		   WHERE operation_id IN (SELECT id FROM teller.operation WHERE nonce = '$nonce') ORDER BY event});
}

sub is_run
{
	my ($nonce, $state, $test) = @_;

	return ok( $w->{shop}->poll_query_until('shop',
			qq{SELECT count(*) = 1 FROM teller.continuation
			   WHERE operation_id IN (SELECT id FROM teller.operation WHERE nonce = '$nonce') AND state = '$state'}),
		$test // "$nonce: its continuation is $state");
}

sub said
{
	my ($nonce) = @_;

	return $w->shop("SELECT says FROM app.log WHERE nonce = '$nonce'");
}

ok($w->worker_is('idle'), 'the worker runs');

# ---- what is refused at once ----

my $sql = "SELECT teller.withdraw(1, 2, 'bank', 1, 'carol', 'refused', on_complete => ";
$w->shop(q{REVOKE EXECUTE ON FUNCTION app.note(teller.operation_result) FROM PUBLIC;
	GRANT EXECUTE ON FUNCTION app.note(teller.operation_result) TO leaves});
is($w->sqlstate($sql . q{'app.note(teller.operation_result)')}, 'other'), '42501', 'EXECUTE is asked for');
is($w->sqlstate($sql . "1::oid::regprocedure)", 'app'), '42883', 'a function that is not there is refused');
is($w->operation('refused', 'count(*)'), '0', 'and nothing is left of it');

# ---- it runs, as the submitter ----

my $id = pay('noted', then => 'note', more => q{payload => '{"invoice": 7}'});
is_run('noted', 'done');
is(said('noted'), 'settled app pg_catalog, pg_temp 7', 'it runs as the submitter, and is told what happened');
is(continuation('noted', 'event, kind, function, role, attempts, last_error, ended_at >= created_at'),
	'1|on_complete|app.note(teller.operation_result)|app|1||t', 'it is on record');
is($w->sqlstate("SELECT teller.withdraw(1, 2, 'bank', 1, 'carol', 'noted', '{\"invoice\": 7}', on_complete => 'app.fail(teller.operation_result)')", 'app'),
	'TL003', 'the function is one of the arguments that the nonce stands for');
pay('not noted', to => 'nobody', then => 'note');
is_run('not noted', 'done');
is(said('not noted'), 'refunded rejected app pg_catalog, pg_temp', 'a refund is told too');
$w->set('teller.dispatch', 'off');
$w->shop(q{SELECT teller.wake()});
$w->{shop}->poll_query_until('shop', q{SELECT NOT dispatch FROM teller.worker_status WHERE database = 'shop'});
$id = pay('cancelled', then => 'note');
$w->shop("SELECT teller.cancel(1, '$id')");
is_run('cancelled', 'done', 'so is a cancellation, also while dispatch is off');
is(said('cancelled'), 'refunded cancelled app pg_catalog, pg_temp', 'for what it is');
$w->reset('teller.dispatch');
$w->shop('SELECT teller.wake()');
is($w->sqlstate("SELECT teller.retry_continuation(1, '$id', 'on_complete')", 'app'), '55000',
	'what was done is not done again');
is($w->sqlstate("SELECT teller.retry_continuation(1, '$id', 'on_complete')", 'other'), '42501',
	'and not at all by another role');

# ---- it cannot get out ----

pay('escapes', then => 'escape');
is_run('escapes', 'done');
is($w->shop(q{SELECT says FROM app.log WHERE nonce = 'escapes' AND says NOT SIMILAR TO '%: (42501|55000|42601|0A000|2D000|25001|34000|42P03|22P06)'
	AND says NOT LIKE 'SET CONSTRAINTS%' ORDER BY says}), '',
	'each way out is closed');
is($w->shop(q{SELECT count(*) FROM app.log WHERE nonce = 'escapes'}), '22', 'all of them were tried');
is($w->shop('SELECT count(*) FROM app.late'), '0', 'no trigger is left for the commit');
pay('leaves', then => 'leave_things');
is_run('leaves', 'done');
pay('looks', then => 'look_round');
is_run('looks', 'done');
is(said('looks'), 'pg_catalog, pg_temp 2s f 0', 'nothing of one function is left to the next');

# ---- it fails ----

$id = pay('fails', then => 'fail');
is_run('fails', 'parked');
is(continuation('fails', 'attempts, last_error, next_try_at IS NULL'),
	'3|no, said fails of settled (SQLSTATE P4711)|t', 'after so many attempts, and says why');
is(said('fails'), '', 'what it did is undone each time');
is($w->operation('fails', 'state'), 'settled', 'the money does not mind');
is($w->shop(q{SELECT coalesce(last_error, '') FROM teller.worker_status WHERE database = 'shop'}) =~ /no, said/ ? 1 : 0, 0,
	'and it is no error of the worker');
$w->shop(q{CREATE OR REPLACE FUNCTION app.fail(r teller.operation_result) RETURNS void LANGUAGE sql AS
	$$INSERT INTO app.log VALUES ((r).nonce, 'at last')$$});
is($w->shop("SET ROLE app; SELECT teller.retry_continuation(1, '$id', 'on_complete')"), '1', 'it is mended and tried again');
is_run('fails', 'done');
is(said('fails'), 'at last', 'and runs');

# ---- the function, or the role, is gone ----

$w->shop(q{CREATE FUNCTION app.gone(r teller.operation_result) RETURNS void LANGUAGE sql AS ''});
my $gate = $w->close_gate;
pay('gone', then => 'gone');
pay('revoked', then => 'note', role => 'leaves');
pay('no role', then => 'look_round', role => 'leaves');
$w->shop(q{DROP FUNCTION app.gone; REVOKE EXECUTE ON FUNCTION app.note(teller.operation_result) FROM leaves});
$gate->query_safe('SELECT gate.open()');
is_run('gone', 'parked');
like(continuation('gone', 'attempts, last_error'), qr/^3\|function .* does not exist \(SQLSTATE 42883\)$/, 'the function is gone');
is_run('revoked', 'parked');
like(continuation('revoked', 'attempts, last_error'), qr/^3\|permission denied for function .*42501/, 'the right is gone');
is_run('no role', 'done');
$gate->query_safe('SELECT gate.close()');
$id = pay('role gone', then => 'look_round', role => 'leaves');
$w->shop(q{SELECT teller.revoke_ledger(1, 'leaves'); DROP OWNED BY leaves; DROP ROLE leaves});
$gate->query_safe('SELECT gate.open()');
is_run('role gone', 'parked');
like(continuation('role gone', 'attempts, last_error'), qr/^1\|the role .* does not exist any more/, 'without a role it is parked at once');
is($w->operation('role gone', 'state'), 'settled', 'the money does not mind');
$gate->quit;

# ---- it hangs ----

my $pid = $w->worker_pid;
pay('hangs', then => 'hang');
my $start = time;
pay('meanwhile');
$w->becomes('meanwhile', 'settled', 'while one hangs, others are paid');
is_run('hangs', 'parked');
like(continuation('hangs', 'attempts, last_error'), qr/^3\|it took longer than teller.callback_timeout/, 'it is stopped for time');
is($w->worker_pid, $pid, 'by the same worker');

# One that catches the cancel costs a worker each time, and not for ever.
pay('stubborn', then => 'stubborn');
is_run('stubborn', 'parked');
like(continuation('stubborn', 'attempts, last_error'), qr/^3\|the process that ran it ended, each time/, 'it is given up');
isnt($w->worker_pid, $pid, 'with another worker');
pay('afterwards', then => 'note');
is_run('afterwards', 'done');

# ---- it goes on ----

pay('first', then => 'go_on');
is_run('first', 'done');
is_run('first, next', 'done', 'a continuation may submit another operation');
is($w->shop(q{SELECT status FROM teller.find(1, 'back first')}), 'posted', 'and move money');

# ---- doubt ----

$w->shop(q{CREATE FUNCTION app.doubt(r teller.operation_result) RETURNS void LANGUAGE sql AS
	$$INSERT INTO app.log VALUES ((r).nonce, 'doubt: ' || (r).state)$$});
$w->gate('SELECT gate.lose_next(1)');
$w->set('teller.max_attempts', '1');
pay('doubtful', then => 'note', more => q{on_doubt => 'app.doubt(teller.operation_result)'});
ok($w->{shop}->poll_query_until('shop', q{SELECT count(*) > 0 FROM app.log WHERE nonce = 'doubtful'}), 'doubt is told');
$w->becomes('doubtful', 'settled');
ok($w->{shop}->poll_query_until('shop', q{SELECT count(*) = 2 FROM app.log WHERE nonce = 'doubtful'}), 'and so is the end');
like(said('doubtful'), qr/^doubt: (in_doubt|fencing|settled)\nsettled app/, 'as it is when it is told');
is(continuation('doubtful', 'event, kind, state'), "1|on_doubt|done\n2|on_complete|done", 'in their order');
$w->set('teller.max_attempts', '50');

# ---- hints ----

my $listener = $w->{shop}->background_psql('shop', on_error_stop => 1);
$listener->query_safe('LISTEN teller_operation');
$id = pay('heard', then => 'note');
is_run('heard', 'done');
like($listener->query_safe('SELECT 1'), qr/"teller_operation" with payload "1 $id settled"/, 'the end is notified');
$listener->quit;

# ---- who waits is woken ----

$w->set('teller.dispatch', 'off');
ok($w->{shop}->poll_query_until('shop', q{SELECT NOT dispatch FROM teller.worker_status WHERE database = 'shop'}), 'dispatch is off');
$id = pay('awaited');
my $waiter = $w->{shop}->background_psql('shop', on_error_stop => 1);
$waiter->query_until(qr/waits/, "\\echo waits\nSELECT 'it is ' || teller.await(1, '$id', '1 min');\n");

# From its third second to its seventh it does not look by itself.
ok($w->{shop}->poll_query_until('shop', q{SELECT count(*) = 1 FROM pg_stat_activity
	WHERE query LIKE '%teller.await(%' AND pid <> pg_backend_pid() AND now() - query_start > '3.2 s'}), 'a session waits');
$start = time;
$w->shop("SELECT teller.cancel(1, '$id')");
like($waiter->query_until(qr/it is/, "\n"), qr/it is refunded/, 'who waits for what is cancelled is told');
cmp_ok(time - $start, '<', 2, 'at once');
eval { $waiter->quit };
$w->reset('teller.dispatch');
$w->shop('SELECT teller.wake()');

# ---- it dies ----

if ($w->has_wait_points)
{
	my %death = (
		'-9' => sub { kill 'KILL', $w->worker_pid; },
		'immediate' => sub { $w->{shop}->stop('immediate'); $w->{shop}->start; },
		'terminated' => sub { $w->shop('SELECT pg_terminate_backend(' . $w->worker_pid . ')'); });

	foreach my $point ('outcome_committed', 'continuation_claimed', 'continuation_ran', 'continuation_committed')
	{
		foreach my $how (sort keys %death)
		{
			my $nonce = "$point, $how";

			$w->set('teller.wait_point', $point);
			pay($nonce, then => 'note');
			ok($w->worker_is("wait point: $point"), "$nonce: it is there");
			my $before = $w->worker_pid;
			$death{$how}->();
			$w->{shop}->poll_query_until('shop', qq{SELECT pid IS DISTINCT FROM $before FROM teller.worker_status WHERE database = 'shop'});
			$w->reset('teller.wait_point');
			is_run($nonce, 'done');
			is(said($nonce), 'settled app pg_catalog, pg_temp', 'and its effect is there once');
		}
	}
}

# ---- nobody is kept waiting ----

$w->set('teller.callback_timeout', '1min');
pay('slow', then => 'hang');
ok($w->{shop}->poll_query_until('shop', q{SELECT count(*) = 1 FROM teller.continuation WHERE running_since IS NOT NULL}), 'a function runs for long');
$start = time;
$w->{shop}->safe_psql('postgres', 'ALTER DATABASE shop RENAME TO mall');
cmp_ok(time - $start, '<', 9, 'a command that needs the database stops it');
$w->{shop}->safe_psql('postgres', 'ALTER DATABASE mall RENAME TO shop');
ok($w->{shop}->poll_query_until('shop', q{SELECT count(*) = 1 FROM teller.continuation WHERE running_since > now() - interval '20 s' AND state = 'waiting'}), 'then it runs again');
$w->set('teller.callback_timeout', '100ms');
$start = time;
$w->{shop}->stop('fast');
cmp_ok(time - $start, '<', 9, 'and a fast stop does');
$w->{shop}->start;
is_run('slow', 'parked');

$w->books_agree('in the end');
$w->stop;
done_testing();
