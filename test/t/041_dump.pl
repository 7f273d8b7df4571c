# pg_dump carries the money: a book with everything in it, dumped in every
# form, by a superuser, by a role that may only read, and under load, and
# restored on another server.  Every table is the same row by row, keys replay,
# holds go on, versions go on, and nothing is sent before the copy is adopted,
# not even while the dump is being loaded.  So with CREATE DATABASE TEMPLATE.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use BankAndShop;

my $town = BankAndShop->new;
my $source = $town->{shop};
my $dir = PostgreSQL::Test::Utils::tempdir();
my @tables;

# The SQLSTATE that a statement raises, or ''.
sub sqlstate
{
	my ($node, $db, $sql) = @_;
	my (undef, undef, $stderr) =
	  $node->psql($db, "\\set VERBOSITY sqlstate\n$sql;");

	return $stderr =~ /ERROR:\s+(\w+)/ ? $1 : '';
}

# Tests: the worker of the shop sends nothing more.
sub stop_dispatch
{
	$town->set('teller.dispatch', 'off');
	return ok(
		$town->{shop}->poll_query_until(
			'shop',
			q{SELECT NOT dispatch FROM teller.worker_status WHERE database = 'shop'}
		),
		'dispatch is off');
}

# ---- a book with everything in it ----

# Operations: one paid, one refused, one on its way with its reply lost, one
# that waits.
$town->withdraw('paid');
$town->becomes('paid', 'settled');
$town->withdraw('refused', to => 'nobody there');
$town->becomes('refused', 'refunded rejected');
my $gate = $town->close_gate;
$town->withdraw('on its way');
ok($town->gate_has(1), 'a call is at the bank');
stop_dispatch();
$town->withdraw('waiting', amount => 20);

# No worker from here on: what is due stays, until somebody sweeps.
$source->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$source->restart;
$gate->query_safe('SELECT gate.open()');
$gate->quit;

$town->shop(
	q{
	CREATE ROLE dump_reader;
	CREATE ROLE dump_teller;
	GRANT USAGE ON SCHEMA teller TO dump_reader, dump_teller;
	SELECT teller.create_asset('JPY', 0), teller.create_asset('XAU', 30);

	-- Many ledgers, each with its accounts and keys.
	SELECT teller.create_ledger(n, 'tenant ' || n) FROM generate_series(100, 139) AS n;
	SELECT teller.open_account(n, 1, asset, 'world', min_balance => NULL),
		teller.open_account(n, 2, asset, 'a "name", with\commas' || chr(233)),
		teller.open_account(n, 3, asset, max_balance => 500, metadata => '{"tier": "gold"}'),
		teller.open_account(n, 4, asset)
		FROM generate_series(100, 139) AS n,
			LATERAL (SELECT (ARRAY['USD', 'JPY', 'XAU'])[1 + n % 3] AS asset) AS a;
	SELECT count(*) FROM generate_series(100, 139) AS n, generate_series(1, 5) AS i,
		LATERAL teller.transfer(n, 1, 2, 100 * i, key => 'pay ' || i,
			metadata => '{"note": "tab\tand \"quote\""}',
			effective_at => CASE WHEN i = 3 THEN timestamptz '2021-02-03 04:05:06.789012Z' END) AS t;
	SELECT teller.grant_ledger(100, 'dump_reader', 'read'),
		teller.grant_ledger(101, 'dump_teller', 'post');

	-- Batches, reversals, denials that are recorded.
	SELECT batch_id FROM teller.post(100, '{2,2,1}', '{3,4,4}', '{10,20,30}', key => 'batch') LIMIT 1;
	SELECT count(*) FROM teller.reverse_batch(100, (SELECT id FROM teller.find(100, 'batch')), key => 'undo');
	SELECT count(*) FROM teller.post(100, '{2,4}', '{3,3}', '{7,7000}', keys => '{good,bad}', mode => 'independent');
	SELECT status FROM teller.transfer(100, 4, 2, 100000, key => 'never', on_denial => 'record');
	SELECT status FROM teller.reverse(100, (SELECT id FROM teller.find(100, 'pay 5')), 100);

	-- Holds: open, in part captured, extended and adjusted, ended in each way, due.
	SELECT status FROM teller.hold(100, 2, 3, 50, '30 days', key => 'open');
	SELECT status FROM teller.hold(100, 2, 3, 4, '30 days', key => 'to capture');
	SELECT status FROM teller.hold(100, 2, 3, 6, '30 days', key => 'to release');
	SELECT status FROM teller.hold(100, 2, 3, 60, '30 days', key => 'part');
	SELECT status FROM teller.capture(100, (SELECT id FROM teller.find(100, 'part')), 25, final => false);
	SELECT status FROM teller.hold(100, 2, 4, 5, '1 day', key => 'changed');
	SELECT status FROM teller.extend_hold(100, (SELECT id FROM teller.find(100, 'changed')), '9 days');
	SELECT status FROM teller.adjust_hold(100, (SELECT id FROM teller.find(100, 'changed')), 8);
	SELECT status FROM teller.hold(100, 2, 3, 5, key => 'captured');
	SELECT status FROM teller.capture(100, (SELECT id FROM teller.find(100, 'captured')), 2);
	SELECT status FROM teller.hold(100, 2, 3, 5, key => 'released');
	SELECT status FROM teller.release(100, (SELECT id FROM teller.find(100, 'released')));
	SELECT status FROM teller.hold(101, 2, 3, 5, '1 microsecond', key => 'expired');
	SELECT teller.expire_due();
	SELECT status FROM teller.hold(102, 2, 3, 1500, '1 microsecond', key => 'due', on_denial => 'return');
	SELECT status FROM teller.hold(102, 2, 4, 1500, '1 microsecond', key => 'due 2');

	-- Limits, freezes, closed periods, seals, marks, requests.
	SELECT teller.set_limits(103, 2, 10, 5000), teller.freeze_account(103, 4, 'debit'),
		teller.close_account(104, 4);
	SELECT teller.close_period(105, '2025-01-01');
	SELECT sealed FROM teller.seal(100);
	SELECT teller.mark_verified(106);
	BEGIN;
	SELECT * FROM teller.begin_request('shop', 'order 1', '{"cart": [1, 2]}');
	SELECT teller.finish_request('shop', 'order 1', '{"ok": true}');
	COMMIT;
	SELECT * FROM teller.begin_request('shop', 'order 2', '{}', lease => '1 day');
});
my $digest = $town->shop(q{SELECT digest FROM teller.seal(100)});
my $counts = $town->shop(
	q{SELECT count(*) FILTER (WHERE state = 'open') > 3, count(DISTINCT state) FROM teller.hold});
is($counts, 't|4', 'the book has holds in every state');
is($town->shop('SELECT * FROM teller.verify()'), '', 'the book is sound');

is( $town->shop(
		q{SELECT string_agg(c.oid::regclass::text, ' ') FROM pg_class c, pg_extension e
		  WHERE e.extname = 'pg_teller' AND c.relkind = 'r'
		  AND c.relnamespace IN ('teller'::regnamespace, 'teller_remote'::regnamespace)
		  AND NOT c.oid = ANY (e.extconfig)}
	),
	'',
	'every table is registered for pg_dump');
@tables = split /\n/, $town->shop(
	q{SELECT c::regclass FROM pg_extension e, unnest(extconfig) AS c
	  WHERE extname = 'pg_teller' ORDER BY c::regclass::text});
cmp_ok(scalar(@tables), '>', 15, 'and there are many');

# ---- comparing ----

# Each table: its name, its number of rows and a hash of them all.
sub contents
{
	my ($node, $db) = @_;

	return $node->safe_psql(
		$db,
		join(' UNION ALL ', map {
				"SELECT '$_', count(*), md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\"), '')) FROM $_ AS t"
		} @tables) . ' ORDER BY 1');
}

my $elsewhere = PostgreSQL::Test::Cluster->new('elsewhere');
$elsewhere->init;
$elsewhere->append_conf(
	'postgresql.conf', q{
log_line_prefix = '%m [%p] %b '
max_worker_processes = 24
});
$elsewhere->start;
command_ok(
	[ 'pg_dumpall', '--roles-only', '-d', $source->connstr('postgres'), '-f', "$dir/roles.sql" ],
	'pg_dumpall --roles-only');
$elsewhere->psql('postgres', "\\i $dir/roles.sql");    # one role exists

my $there = contents($source, 'shop');
like($there, qr/^teller\.$_\|[1-9]/m, "there are rows in $_")
  for qw(ledger asset account journal hold key operation_data attempt_data
  ledger_grant limit_change_data period seal verified request settlement instance);

# Tests: the copy in this database is the same, and sound.
sub is_same
{
	my ($db, $test) = @_;

	subtest $test => sub {
		is(contents($elsewhere, $db), $there, 'every table is the same row by row');
		is($elsewhere->safe_psql($db, 'SELECT * FROM teller.verify()'),
			'', 'the copy is sound');
		is( $elsewhere->safe_psql($db,
				"SELECT * FROM teller.verify(106, 'quick')"),
			'', 'also by what was marked');
		is( $elsewhere->safe_psql($db,
				"SELECT * FROM teller.verify_seal(100, '$digest')"),
			'', 'the seals are whole');
	};
	return;
}

sub dump_source
{
	my ($name, @options) = @_;

	command_ok([ 'pg_dump', '-d', $source->connstr('shop'), '-f', "$dir/$name", @options ],
		"pg_dump @options");
	return "$dir/$name";
}

sub restore
{
	my ($db, $file, @options) = @_;

	$elsewhere->safe_psql('postgres', "CREATE DATABASE $db");
	command_ok(
		[ 'pg_restore', '--exit-on-error', '-d', $elsewhere->connstr($db), @options, $file ],
		"pg_restore @options");
	return;
}

# ---- every form ----

my $plain = dump_source('plain.sql');
$elsewhere->safe_psql('postgres', 'CREATE DATABASE plain');
command_ok(
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $elsewhere->connstr('plain'), '-f', $plain ],
	'a plain dump goes through psql');
is_same('plain', 'plain');

my $custom = dump_source('custom', '-Fc');
restore('shop', $custom);
is_same('shop', 'custom');
restore('custom_jobs', $custom, '-j', '2');
is_same('custom_jobs', 'custom, two jobs');

my $directory = dump_source('directory', '-Fd', '-j', '2');
restore('directory', $directory, '-j', '2');
is_same('directory', 'directory, two jobs both ways');

restore('single', $custom, '--single-transaction');
is_same('single', 'in one transaction');

$elsewhere->safe_psql('postgres', 'CREATE DATABASE data_only');
$elsewhere->safe_psql('data_only',
	'CREATE EXTENSION pg_teller; CREATE SERVER bank FOREIGN DATA WRAPPER teller_postgres');
my $data = dump_source('data', '-Fc', '--data-only');
command_ok(
	[ 'pg_restore', '--exit-on-error', '--data-only', '-d', $elsewhere->connstr('data_only'), $data ],
	'pg_restore --data-only');
is_same('data_only', 'data only, into a database that has the extension');

# A role that may read everything carries it all; one that may not gets nothing.
$source->safe_psql('shop',
	q{CREATE ROLE backup LOGIN IN ROLE pg_read_all_data; CREATE ROLE nosy LOGIN;});
my $by_reader = dump_source('by_reader', '-Fc', '-U', 'backup', '--no-owner');
restore('by_reader', $by_reader);
is_same('by_reader', 'dumped by a member of pg_read_all_data');
command_fails_like(
	[ 'pg_dump', '-d', $source->connstr('shop'), '-U', 'nosy', '-f', "$dir/nosy" ],
	qr/permission denied/,
	'pg_dump by anybody else is refused');

# Into a database where somebody else has a schema of that name.
$elsewhere->safe_psql('postgres', 'CREATE DATABASE taken');
$elsewhere->safe_psql('taken', 'CREATE SCHEMA teller; CREATE TABLE teller.mine (x int)');
command_fails_like(
	[ 'pg_restore', '--exit-on-error', '-d', $elsewhere->connstr('taken'), $custom ],
	qr/schema "teller" already exists/,
	'a schema of somebody else is not taken over');
is( $elsewhere->safe_psql('taken',
		q{SELECT count(*) FROM pg_extension WHERE extname = 'pg_teller'}),
	'0',
	'and nothing is there then');

# Twice into the same database: refused, and nothing doubled.
isnt(
	system_log('pg_restore', '--exit-on-error', '--data-only', '-d',
		$elsewhere->connstr('data_only'), $data),
	0,
	'data that is there already is refused');
is_same('data_only', 'and nothing is doubled');

# ---- under load ----

$source->safe_psql('shop', 'CREATE TABLE public.load_over (yes bool)');
my @load = map {
	my $session = $source->background_psql('shop');
	my $n = $_;

	$session->query_until(
		qr/begun/, qq{
		\\echo begun
		DO \$\$
		DECLARE
			i int := 0;
		BEGIN
			WHILE NOT EXISTS (SELECT FROM public.load_over) LOOP
				i := i + 1;
				PERFORM teller.transfer(110, 1, 2, 1, key => '$n/' || i);
				PERFORM teller.transfer(110, 2, 3, 1, on_denial => 'return');
				PERFORM teller.transfer(110, 3, 1, 1, on_denial => 'return');
				PERFORM h.id FROM teller.hold(110, 2, 4, 1, '1 hour', on_denial => 'return') AS h;
				COMMIT;
			END LOOP;
		END \$\$;
	});
	$session
} (1, 2);
my $moving = 'SELECT count(*) > 300 FROM teller.journal WHERE ledger_id = 110';
ok($source->poll_query_until('shop', $moving), 'money is moving');
my $loaded = dump_source('loaded', '-Fd', '-j', '2');
my $loaded_plain = dump_source('loaded.sql');
$source->safe_psql('shop', 'INSERT INTO public.load_over VALUES (true)');
$_->quit for @load;

my $acknowledged = $source->safe_psql('shop', 'SELECT count(*) FROM teller.journal');
restore('loaded', $loaded, '-j', '2');
$elsewhere->safe_psql('postgres', 'CREATE DATABASE loaded_plain');
$elsewhere->psql('loaded_plain', "\\i $loaded_plain");
foreach my $db (qw(loaded loaded_plain))
{
	my $rows = q{SELECT id, amount, debit_version, debit_posted, credit_version, credit_posted
		FROM teller.journal WHERE ledger_id = 110 ORDER BY id};
	my %ours = map { $_ => 1 } split /\n/, $source->safe_psql('shop', $rows);
	my @theirs = split /\n/, $elsewhere->safe_psql($db, $rows);

	is($elsewhere->safe_psql($db, 'SELECT * FROM teller.verify()'),
		'', "$db: dumped under load, it is sound");
	cmp_ok(scalar(@theirs), '>', 300, "$db: what moved before is in it");
	is(scalar(grep { !$ours{$_} } @theirs),
		0, "$db: and nothing that did not happen");
}

# ---- every copy goes on ----

# Calls that change nothing, and what they say at home.
my @again = (
	q{teller.transfer(100, 1, 2, 300, key => 'pay 3', metadata => '{"note": "tab\tand \"quote\""}',
		effective_at => '2021-02-03 04:05:06.789012Z')},
	q{teller.transfer(100, 4, 2, 100000, key => 'never', on_denial => 'record')},
	q{teller.post(100, '{2,2,1}', '{3,4,4}', '{10,20,30}', key => 'batch')},
	q{teller.hold(100, 2, 3, 50, '30 days', key => 'open')});
my $replays = join ";\n", map { "SELECT * FROM $_" } @again;
my $originals = $source->safe_psql('shop', $replays);

# Tests: keys replay, holds end, and operations rest, with or without a worker.
sub goes_on
{
	my ($db) = @_;
	my $on = sub { return $elsewhere->safe_psql($db, $_[0]) };

	subtest "$db goes on" => sub {
		is($on->($replays), $originals, 'keys replay with the original answers');
		is( $on->(
				q{SELECT status FROM teller.capture(100, (SELECT id FROM teller.find(100, 'to capture')))}
			),
			'posted', 'an open hold is captured');
		is( $on->(
				q{SELECT status FROM teller.release(100, (SELECT id FROM teller.find(100, 'to release')))}
			),
			'released', 'another one is released');
		is( sqlstate($elsewhere, $db,
				q{SELECT * FROM teller.withdraw(1, 2, 'bank', 1, 'carol', 'new')}),
			'TL010', 'no operation is taken');
		is($on->('SELECT * FROM teller.verify()'), '', 'the copy is sound');
	};
	return;
}

my @copies = qw(plain custom_jobs directory single data_only by_reader loaded loaded_plain);
goes_on($_) for @copies;

# ---- the copy goes on ----

sub copy { my ($sql) = @_; return $elsewhere->safe_psql('shop', $sql); }

my $answer = q{SELECT id, status, reason, amount, debit_balance, debit_version,
	credit_balance, credit_version, replayed FROM };
my $again = q{teller.transfer(100, 1, 2, 300, key => 'pay 3', metadata => '{"note": "tab\tand \"quote\""}',
	effective_at => '2021-02-03 04:05:06.789012Z')};
is(copy("$answer $again"), $source->safe_psql('shop', "$answer $again"),
	'a key replays as it does at home');
like(copy("$answer $again"), qr/posted.*\|t$/, 'and says so');
is( sqlstate($elsewhere, 'shop',
		q{SELECT * FROM teller.transfer(100, 1, 2, 301, key => 'pay 3')}),
	'TL003', 'with another amount it is refused');
like(
	copy(
		q{SELECT status, reason, replayed FROM teller.transfer(100, 4, 2, 100000, key => 'never', on_denial => 'record')}
	),
	qr/denied\|insufficient_funds\|t/,
	'a recorded refusal too');
is( copy(
		q{SELECT count(*), bool_and(replayed) FROM teller.post(100, '{2,2,1}', '{3,4,4}', '{10,20,30}', key => 'batch')}
	),
	'3|t', 'and a batch');
is(contents($elsewhere, 'shop'), $there, 'none of this changed anything');

my $version = copy('SELECT version FROM teller.balance(100, 2)');
is( copy(
		q{SELECT debit_version FROM teller.capture(100, (SELECT id FROM teller.find(100, 'open')))}
	),
	$version + 1,
	'an open hold is captured, and versions go on');
is( copy(
		q{SELECT amount FROM teller.capture(100, (SELECT id FROM teller.find(100, 'part')))}
	) + 0,
	35,
	'of one that was captured in part, the rest');
is( sqlstate($elsewhere, 'shop',
		q{SELECT * FROM teller.capture(100, (SELECT id FROM teller.find(100, 'captured')))}),
	'TL006', 'one that has ended stays ended');
is( sqlstate($elsewhere, 'shop',
		q{SELECT * FROM teller.reverse(100, (SELECT id FROM teller.find(100, 'pay 5')), 401)}),
	'22023', 'what was reversed is remembered');

# Due, not swept: it binds nothing and cannot be captured.
is(copy(q{SELECT count(*) FROM teller.open_hold WHERE ledger_id = 102 AND due}),
	'1', 'a hold that was due comes along');
is( sqlstate($elsewhere, 'shop',
		q{SELECT * FROM teller.capture(102, (SELECT id FROM teller.find(102, 'due 2')))}),
	'TL006', 'and cannot be captured');
is(copy(q{SELECT status FROM teller.transfer(102, 2, 4, 1500)}),
	'posted', 'nor does it bind money');
is(copy('SELECT teller.expire_due()'), '1', 'until it is swept');

is(sqlstate($elsewhere, 'shop', q{SELECT * FROM teller.transfer(103, 4, 2, 1)}),
	'TL005', 'a frozen account is frozen');
is(sqlstate($elsewhere, 'shop', q{SELECT * FROM teller.transfer(104, 2, 4, 1)}),
	'TL005', 'a closed one is closed');
is(sqlstate($elsewhere, 'shop', q{SELECT * FROM teller.transfer(103, 2, 1, 1491)}),
	'TL001', 'limits hold');
is( sqlstate($elsewhere, 'shop',
		q{SELECT * FROM teller.transfer(105, 1, 2, 1, effective_at => '2024-12-31')}),
	'55000', 'a closed period is closed');
is( $elsewhere->safe_psql('shop',
		'SET ROLE dump_reader; SELECT count(*) FROM teller.account_balance'),
	'4', 'a role reads its ledger');
is( sqlstate($elsewhere, 'shop',
		'SET ROLE dump_reader; SELECT * FROM teller.balance(101, 2)'),
	'42501', 'and no other');
is( $elsewhere->safe_psql('shop',
		'SET ROLE dump_teller; SELECT status FROM teller.transfer(101, 1, 2, 1)'),
	'posted', 'another posts on its own');
is( copy(
		q{SELECT fresh, response, state FROM teller.begin_request('shop', 'order 1', '{"cart": [1, 2]}')}
	),
	'f|{"ok": true}|finished', 'a finished request answers');
is( copy(
		q{SELECT fresh, state FROM teller.begin_request('shop', 'order 2', '{}', lease => '1 day')}
	),
	'f|in_progress', 'a leased one is in progress');

# The feed goes through old rows and new ones, each once; the seals go on.
is( copy(
		q{WITH RECURSIVE page AS (
			SELECT count(*) AS n, max(f.cursor) AS c FROM teller.journal_since(100, NULL, 10000) AS f)
		  SELECT n = (SELECT count(*) FROM teller.journal WHERE ledger_id = 100) FROM page}
	),
	't', 'the feed visits what came and what is new');
is(copy(q{SELECT sealed > 0 FROM teller.seal(100)}), 't', 'sealing goes on');
is(copy("SELECT * FROM teller.verify_seal(100, '$digest')"),
	'', 'on the chain that came along');
is(copy('SELECT * FROM teller.verify()'), '', 'the copy is sound');
is( copy(
		q{SELECT count(*) FROM (SELECT account_id, count(*) AS n, max(version) AS last
			FROM teller.posting WHERE ledger_id = 100 GROUP BY 1) AS v WHERE n <> last}
	),
	'0', 'versions have no gap');

# ---- operations: nothing is sent before a copy is adopted ----

$source->stop;
$town->{shop} = $elsewhere;
$elsewhere->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'pg_teller'
teller.backoff_base = '20ms'
teller.backoff_max = '100ms'
teller.circuit_open = '100ms'
teller.not_after_margin = '0s'
});
my $memos = $town->bank('SELECT count(*) FROM teller.memo');
my $open = q{SELECT nonce, state, attempts FROM teller.operation
	WHERE nonce IN ('on its way', 'waiting') ORDER BY nonce};
my $as_dumped = $elsewhere->safe_psql('shop', $open);
like($as_dumped, qr/^on its way\|in_flight\|1\nwaiting\|held\|0$/,
	'two operations were dumped in the middle');
$elsewhere->restart;

# Tests: the database has a worker that rests.
sub rests
{
	my ($db, $test) = @_;

	return ok(
		$elsewhere->poll_query_until(
			'postgres',
			qq{SELECT state = 'not_adopted' AND last_error LIKE 'TL010%'
			   FROM teller.worker_status WHERE database = '$db'}
		),
		$test);
}

# Tests: the worker looks for work, all of it, after this was called.
sub looks
{
	my ($db) = @_;
	my $active = q{SELECT last_active_at > '%s' FROM teller.worker_status WHERE database = current_database()};

	subtest "the worker of $db looks for work" => sub {
		foreach my $time ('begins', 'begins again, so the first is over')
		{
			my $now = $elsewhere->safe_psql($db, 'SELECT clock_timestamp()');
			$elsewhere->safe_psql($db, 'SELECT teller.wake()');
			ok($elsewhere->poll_query_until($db, sprintf($active, $now)), $time);
		}
	};
	return;
}

# The view is that of a database with the extension.
$elsewhere->safe_psql('postgres', 'CREATE EXTENSION pg_teller');
foreach my $db ('shop', @copies)
{
	rests($db, "the worker of $db sees that it is a copy");
	is($elsewhere->safe_psql($db, $open), $as_dumped, "$db: its operations rest");
}
is($town->sqlstate(q{SELECT * FROM teller.withdraw(1, 2, 'bank', 1, 'carol', 'new')}),
	'TL010', 'no operation is taken');
is($town->bank('SELECT count(*) FROM teller.memo'), $memos, 'nothing was sent');

# A dump that is loaded while a worker is there already: operations first, and
# which database they are of afterwards.
$elsewhere->safe_psql('postgres', 'CREATE DATABASE beside');
my @into = ('pg_restore', '--exit-on-error', '-d', $elsewhere->connstr('beside'));
my ($list) = run_command([ 'pg_restore', '--list', $custom ]);
my $instance = join "\n", grep { /TABLE DATA teller instance / } split /\n/, $list;
isnt($instance, '', 'the list of the dump names the instance');
append_to_file("$dir/instance.list", "$instance\n");
append_to_file("$dir/others.list",
	join("\n", grep { $_ ne $instance } split /\n/, $list) . "\n");
command_ok([ @into, '--section=pre-data', $custom ], 'the tables are made');
looks('beside');
command_ok([ @into, '--section=data', '-L', "$dir/others.list", $custom ],
	'operations are loaded while the worker is there');
looks('beside');
is($elsewhere->safe_psql('beside', $open), $as_dumped,
	'it leaves them alone while nothing says whose they are');
is($town->bank('SELECT count(*) FROM teller.memo'), $memos, 'nothing was sent');
command_ok([ @into, '-L', "$dir/instance.list", $custom ], 'the rest is loaded');
rests('beside', 'then the worker sees that it is a copy');
goes_on('beside');

# ---- one of them is adopted ----

is($town->shop('SELECT teller.adopt_instance()'),
	'2', 'adopted: both open operations are in doubt');
ok( $town->{shop}->poll_query_until(
		'shop',
		q{SELECT count(*) = 0 FROM teller.operation WHERE state NOT IN ('settled', 'refunded')}
	),
	'each ends on the word of the bank');
is($town->operation('waiting', 'state || reason'),
	'refundedexpired', 'what the bank never saw is refunded');
is($town->operation('paid', 'state'), 'settled', 'what was paid stays paid');
$town->withdraw('after');
$town->becomes('after', 'settled', 'new ones are sent');
$town->books_agree('after a move by dump and restore');

# ---- CREATE DATABASE TEMPLATE ----

stop_dispatch();
$town->withdraw('next');
copy(q{SELECT status FROM teller.hold(100, 2, 3, 4, '30 days', key => 'twin capture');
	SELECT status FROM teller.hold(100, 2, 3, 6, '30 days', key => 'twin release')});
$elsewhere->safe_psql('postgres', 'CREATE DATABASE twin TEMPLATE shop');
rests('twin', 'the worker of a database made from a template sees that it is a copy');
$town->set('teller.dispatch', 'on');
$town->becomes('next', 'settled', 'the original goes on sending');
$memos = $town->bank('SELECT count(*) FROM teller.memo');
looks('twin');
is( $elsewhere->safe_psql('twin',
		q{SELECT state, attempts FROM teller.operation WHERE nonce = 'next'}),
	'held|0', 'the copy does not');
is( sqlstate($elsewhere, 'twin',
		q{SELECT * FROM teller.withdraw(1, 2, 'bank', 1, 'carol', 'newer')}),
	'TL010', 'and takes none');
is($elsewhere->safe_psql('twin', $replays), copy($replays),
	'its keys replay as in the original');
is( $elsewhere->safe_psql('twin',
		q{SELECT status FROM teller.capture(100, (SELECT id FROM teller.find(100, 'twin capture')));
		  SELECT status FROM teller.release(100, (SELECT id FROM teller.find(100, 'twin release')))}),
	"posted\nreleased", 'its holds are captured and released');
is(copy(q{SELECT count(*) FROM teller.open_hold WHERE hold_id IN
		((SELECT id FROM teller.find(100, 'twin capture')), (SELECT id FROM teller.find(100, 'twin release')))}),
	'2', 'those of the original stay open');
is($elsewhere->safe_psql('twin', 'SELECT * FROM teller.verify()'), '', 'the copy is sound');
is($elsewhere->safe_psql('twin', 'SELECT teller.adopt_instance()'),
	'1', 'adopted: what waited is in doubt');
ok( $elsewhere->poll_query_until(
		'twin', q{SELECT state = 'settled' FROM teller.operation WHERE nonce = 'next'}),
	'and settled on the word of the bank');
is($town->bank('SELECT count(*) FROM teller.memo'), $memos, 'which paid once');
is($elsewhere->safe_psql('twin', 'SELECT * FROM teller.verify()'), '', 'the copy is sound');
$town->books_agree('beside a copy');

$elsewhere->stop;
$town->{bank}->stop;
done_testing();
