# Hot accounts: the fold, a crash between folds, eviction, prepared
# transactions, and databases and extensions that go.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PollAcrossRestarts;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('hot');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'pg_teller'
restart_after_crash = on
max_prepared_transactions = 2
teller.max_hot_accounts = 2
teller.fold_interval = '10min'
log_line_prefix = '%m [%p] %b '
});
$node->start;

my $setup = q{
	CREATE EXTENSION pg_teller;
	SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
	SELECT teller.open_account(1, 1, 'USD', min_balance => NULL);
	SELECT teller.open_account(1, n, 'USD', hot => true) FROM generate_series(2, 6) AS n;
	SELECT teller.open_account(1, 7, 'USD', min_balance => NULL);
	SELECT teller.open_account(1, 8, 'USD');
	SELECT teller.open_account(1, 9, 'USD');
};

sub run_in
{
	my ($db, $sql) = @_;
	return $node->safe_psql($db, $sql);
}

sub sql { my ($sql) = @_; return run_in('shop', $sql); }

# The SQLSTATE that it raises, or ''.
sub sqlstate
{
	my ($sql, $db) = @_;
	my (undef, undef, $stderr) = $node->psql(
		$db // 'shop', "\\set VERBOSITY sqlstate\n$sql;",
		timeout => 60);

	return $stderr =~ /ERROR:  (\w{5})/ ? $1 : '';
}

sub pay
{
	my ($from, $to, $amount) = @_;

	return "SELECT status FROM teller.transfer(1, $from, $to, $amount, on_denial => 'return')";
}

sub posted
{
	my ($account) = @_;

	return "SELECT posted FROM teller.balance(1, $account)";
}

sub setting
{
	my ($name, $value) = @_;

	sql("ALTER SYSTEM SET $name = '$value'");
	sql('SELECT pg_reload_conf()');
	return;
}

# What the row has, whatever the journal has.
sub row_is
{
	my ($account, $posted, $name) = @_;

	return ok( $node->poll_query_until('shop',
			"SELECT posted = $posted FROM teller.account WHERE account_id = $account"),
		$name);
}

sub set_up
{
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
	sql($setup);
	return;
}

# ---- a crash between folds ----

set_up();
sql(pay(1, 2, 100));
sql(pay(2, 9, 30));
is(sql(posted(2)), '70.00', 'the balance has what the row has not');
is(sql('SELECT posted FROM teller.account WHERE account_id = 2'),
	'0.00', 'nothing is folded yet');
$node->stop('immediate');
$node->start;
is(sql(posted(2)), '70.00', 'after a crash the balance is right');
is(sql(pay(2, 9, 70.01)), 'denied', 'and not a cent more can be had');
is(sql(pay(2, 9, 70)), 'posted', 'and all of it can');
sql(pay(1, 2, 5));
$node->stop('immediate');
$node->append_conf('postgresql.conf', "teller.fold_interval = '20ms'\n");
$node->start;
row_is(2, 5, 'the worker folds what a crash left unfolded');

# ---- an epoch that stays open ----

my $long = $node->background_psql('shop', on_error_stop => 0);
$long->query_safe('BEGIN');
is($long->query_safe(pay(7, 2, 1000)), 'posted', 'a long transaction begins');
setting('teller.wait_point', 'fold_epoch_closed');
my $hold = sql(q{SELECT id FROM teller.hold(1, 2, 9, 5, ttl => '1 day')});
ok( $node->poll_query_until('shop',
		q{SELECT state = 'wait point: fold_epoch_closed' FROM teller.worker_status}),
	'a fold begins another epoch');
sql(pay(1, 2, 10));
setting('teller.wait_point', '');
ok( $node->poll_query_until('shop',
		'SELECT cardinality(open_epochs) > 0 FROM teller.account WHERE account_id = 2'),
	'its epoch is listed as open');
sql(pay(1, 2, 20));
row_is(2, 35, 'later epochs are folded past it');
is(sql('SELECT pending_debit FROM teller.account WHERE account_id = 2'),
	'0.00', 'what committed in the open epoch is not in the row');
is(sql('SELECT posted, pending_debit FROM teller.balance(1, 2)'),
	'35.00|5.00', 'and is in the balance');
sql("SELECT status FROM teller.release(1, '$hold')");
sql(pay(1, 2, 40));
row_is(2, 75, 'a hold may end in the row before it began there');
is(sql('SELECT pending_debit FROM teller.account WHERE account_id = 2'),
	'-5.00', 'which shows in the row');
is(sql('SELECT pending_debit FROM teller.balance(1, 2)'),
	'0.00', 'and not in the balance');
$long->query_safe('ROLLBACK');
ok( $node->poll_query_until('shop',
		'SELECT open_epochs IS NULL AND pending_debit = 0 FROM teller.account WHERE account_id = 2'),
	'a rollback closes the epoch, and the rest is folded');
$long->query_safe('BEGIN');
$long->query_safe(pay(7, 2, 1000));
sql(pay(1, 2, 1));
$long->query_safe('COMMIT');
row_is(2, 1076, 'a commit in it is folded');

# ---- the worker dies during a fold ----

setting('teller.wait_point', 'fold_epoch_closed');
sql(pay(1, 2, 4));
ok( $node->poll_query_until('shop',
		q{SELECT state = 'wait point: fold_epoch_closed' FROM teller.worker_status}),
	'the worker stops in a fold');
is(sql(pay(1, 2, 6)), 'posted', 'a fold keeps nobody from moving money');
is(sql(pay(2, 9, 1087)), 'denied', 'nor is more there than there was');
is(sql(posted(2)), '1086.00', 'nor less');
setting('teller.wait_point', '');
row_is(2, 1086, 'the fold goes on');
setting('teller.wait_point', 'fold_epoch_closed:die');
sql(pay(1, 2, 4));
ok( $node->poll_query_until('shop',
		q{SELECT count(*) = 0 OR bool_or(restarts > 0) FROM teller.worker_status}),
	'the worker is ended in a fold');
setting('teller.wait_point', '');
row_is(2, 1090, 'its successor folds');

# ---- the gate: who uses an account, and who has it alone ----

# begin(SESSION, SQL): does not wait for its end; finish is all that it said.
sub begin
{
	my ($session, $sql) = @_;

	$session->query_until(qr/begun/, "\\echo begun\n$sql;\n");
	return;
}

sub finish
{
	my ($session) = @_;

	return $session->query_until(qr/ended/, "\\echo ended\n");
}

sub waits
{
	my ($event) = @_;

	return $node->poll_query_until('shop', qq{
		SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = '$event'
			AND query LIKE '%teller.transfer%' AND pid <> pg_backend_pid()});
}

my @guests = map { $node->background_psql('shop', on_error_stop => 0) } (1, 2);
setting('teller.wait_point', 'hot_looked');
ok( $node->poll_query_until('shop',
		q{SELECT current_setting('teller.wait_point') = 'hot_looked'}),
	'sessions will stop after the look at the row');
begin($guests[0], pay(2, 9, 10));
ok(waits('Extension'), 'one has');
is(sqlstate(q{SELECT teller.freeze_account(1, 2, 'debit')}), '', 'then the row is changed');
setting('teller.wait_point', '');
like(finish($guests[0]), qr/denied/, 'and looked at again');
sql('SELECT teller.unfreeze_account(1, 2)');

sub all_to { my ($to) = @_; return "SELECT amount FROM teller.transfer_up_to(1, 2, $to, 5)"; }

$guests[0]->query_safe(q{SET deadlock_timeout = '100s'});
$guests[$_]->query_safe('BEGIN;' . pay(2, 8 + $_, 1)) for (0, 1);
begin($guests[0], all_to(8));
ok(waits('transactionid'), 'one of two wants the account for itself');
begin($guests[1], all_to(9));
finish($guests[1]);
like($guests[1]->{stderr}, qr/deadlock detected/, 'if both do, one of them is told');
like(finish($guests[0]), qr/5\.00/, 'and the other one has it');
$_->query('ROLLBACK') for @guests;
$_->quit for @guests;

# ---- a change of the account that is rolled back ----

my $change = $node->background_psql('shop', on_error_stop => 0);
$long->query_safe('BEGIN');
$long->query_safe(pay(7, 2, 9));
begin($change, 'BEGIN; SELECT teller.set_limits(1, 2, -5, NULL)');
ok( $node->poll_query_until('shop', q{
		SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'transactionid'
			AND query LIKE '%teller.set_limits%' AND pid <> pg_backend_pid()}),
	'a change waits for who uses the account');
$long->query_safe('COMMIT');
finish($change);
$change->query_safe('ROLLBACK');
$change->quit;
my $rolled_back = time;
row_is(2, 1099, 'what it had folded, and was rolled back, the worker folds');
cmp_ok(time - $rolled_back, '<', 30, 'and not when it looks at all tables again');
sql(pay(2, 7, 9));

# ---- an account that is no longer hot ----

# More than once, as the worker may fold in between.
for (1 .. 5)
{
	sql('SELECT teller.set_hot(1, 3, true)');
	sql(pay(1, 3, 1) . '; SELECT teller.set_hot(1, 3, false)');
}
for (1, 2)
{
	sql(pay(1, 2, 1));
	row_is(2, 1090 + $_, 'another one is folded');
}
is(sql('SELECT xmax = xmin FROM teller.account WHERE account_id = 3'),
	't', 'the worker lets the row of one that is not hot alone');
sql('SELECT teller.set_hot(1, 3, true)');
my $hot_again = time;
sql(pay(1, 3, 1));
row_is(3, 6, 'hot again, it is folded');
cmp_ok(time - $hot_again, '<', 30, 'in time');
sql(pay(3, 1, 6) . ';' . pay(2, 1, 2));

# ---- prepared transactions ----

is(sqlstate('BEGIN;' . pay(2, 9, 10) . ";PREPARE TRANSACTION 'x'"),
	'0A000', 'a transaction that moved money of a hot account is not prepared');
is(sqlstate("BEGIN; SELECT teller.set_limits(1, 2, 1, NULL); PREPARE TRANSACTION 'x'"),
	'0A000', 'nor is one that changed it');
is(sqlstate('BEGIN; SAVEPOINT s;' . pay(2, 9, 10) .
			"; ROLLBACK TO s; PREPARE TRANSACTION 'x'; ROLLBACK PREPARED 'x'"),
	'', 'one that took it back may be');
is(sql(posted(2)), '1090.00', 'neither took anything');

# ---- more accounts than there is place ----

sql(pay(1, $_, 10 * $_)) for (3 .. 6);
is(sql(pay($_, 9, 10 * $_ + 0.01)), 'denied', "account $_ comes back as it was")
  for (3 .. 6);
is(sqlstate('BEGIN;' . join(';', map { pay(1, $_, 1) } (3 .. 5))),
	'53400', 'three in one transaction are too many for two places');
is( sqlstate(pay(1, 3, 1) . ';' . pay(1, 4, 1) . ';' . pay(1, 5, 1)),
	'', 'one after the other they have room');
$long->query_safe('BEGIN');
$long->query_safe(pay(7, 3, 1));
$long->query_safe(pay(7, 4, 1));
is(sqlstate(pay(1, 5, 1)), '53400', 'nor is there place beside two that are in use');
is(sqlstate(pay(1, 3, 1) . ';'), '', 'but those two can be used');
$long->query_safe('ROLLBACK');
is(sqlstate(pay(1, 5, 1)), '', 'a rollback makes place');
row_is(6, 60, 'what lost its place unfolded is folded');
row_is(5, 52, 'and what was used since');

# ---- a session that is ended while it loads, or in a transaction ----

$long->query_safe('BEGIN');
$long->query_safe(pay(2, 8, 1090));
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = 'shop'});
ok( $node->poll_query_until('shop', pay(2, 9, 1090), 'posted'),
	'what an ended session had taken can be had');
$long->{run}->finish;

# ---- the extension goes and comes back ----

my $session = $node->background_psql('shop', on_error_stop => 0);
$session->query_safe(pay(1, 2, 77));
$session->query_safe('SET teller.allow_drop = on; DROP EXTENSION pg_teller');
$session->query_safe($setup);
is($session->query_safe(posted(2)), '0.00', 'a new extension has new accounts');
is($session->query_safe(pay(2, 9, 1)), 'denied', 'without the money of the old ones');
is($session->query_safe(pay(1, 2, 3)), 'posted', 'which take money');
is(sql(pay(2, 9, 3.01)), 'denied', 'and no more than that');
row_is(2, 3, 'and are folded');
$session->quit;

# The same names in a database of the same name.
$node->safe_psql('postgres', 'DROP DATABASE shop');
set_up();
is(sql(pay(2, 9, 1)), 'denied', 'a new database has none of the money of the old one');

# ---- dump and restore with a tail and an open epoch ----

sub stopped_in_a_fold
{
	my ($name) = @_;

	return ok( $node->poll_query_until('shop',
			q{SELECT state = 'wait point: fold_epoch_closed' FROM teller.worker_status}),
		$name);
}

my $balances = q{SELECT a.account_id, b.* FROM teller.account AS a,
	teller.balance(1, a.account_id) AS b ORDER BY 1};
$long = $node->background_psql('shop', on_error_stop => 0);
$long->query_safe('BEGIN');
$long->query_safe(pay(7, 2, 1000));
setting('teller.wait_point', 'fold_epoch_closed');
sql(pay(1, 2, 50));
stopped_in_a_fold('a fold begins another epoch');
sql(pay(1, 2, 5));
setting('teller.wait_point', '');
row_is(2, 5, 'which is folded past the open one');
setting('teller.wait_point', 'fold_epoch_closed');
sql(pay(1, 3, 60));
stopped_in_a_fold('the worker folds no more');
sql(q{SELECT id FROM teller.hold(1, 3, 9, 4, ttl => '1 day')});
sql(pay(2, 9, 8));
is( sql('SELECT account_id, posted, cardinality(open_epochs) FROM teller.account WHERE account_id IN (2, 3) ORDER BY 1'),
	"2|5.00|1\n3|0.00|", 'two rows lag, and one has an open epoch');
my $dump = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-d', $node->connstr('shop'), '-f', $dump ], 'a dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ],
	'is restored');
is(run_in('restored', posted(2)), '47.00', 'a dump carries what was not folded');
is(run_in('restored', $balances), sql($balances), 'and all balances');
is(run_in('restored', 'SELECT * FROM teller.verify()'), '', 'it is sound');
setting('teller.wait_point', '');
$long->query_safe('COMMIT');
$long->quit;
is(run_in('restored', pay(2, 9, 47.01)), 'denied', 'it has no more');
is(run_in('restored', pay(2, 9, 47)), 'posted', 'and no less');
ok( $node->poll_query_until('restored',
		'SELECT posted = 0 AND open_epochs IS NULL FROM teller.account WHERE account_id = 2'),
	'its worker folds, what was in the open epoch too');
$node->restart;    # a worker that starts looks at all tables
ok( $node->poll_query_until('restored',
		'SELECT posted = 60 AND pending_debit = 4 FROM teller.account WHERE account_id = 3'),
	'also an account that nobody has used there');
is(run_in('restored', 'SELECT * FROM teller.verify()'), '', 'it stays sound');
is(sql(posted(2)), '1047.00', 'the original keeps its own');
is(sql('SELECT * FROM teller.verify()'), '', 'and is sound');

# ---- without preload ----

$node->stop;
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->start;
is(sql(posted(2)), '1047.00', 'without preload balances are still read');
is(sqlstate(pay(2, 9, 1)), '55000', 'a hot account cannot be used');
is(sqlstate('SELECT teller.set_hot(1, 2, false)'), '55000', 'nor switched');
is(sqlstate('SELECT teller.set_limits(1, 2, 1, NULL)'), '55000', 'nor limited');
is(sqlstate(pay(1, 9, 1)), '', 'others can be used');
$node->stop;

done_testing();
