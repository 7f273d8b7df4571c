# The feed goes on where a server does not: over prepared transactions, at a
# standby, over a crash, a promotion, and a dump that is restored elsewhere.  A
# reader with an old cursor sees every committed row once, and so do the seals.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PollAcrossRestarts;
use Test::More;

my $conf = q{
max_prepared_transactions = 10
autovacuum = off
bgwriter_lru_maxpages = 0
shared_buffers = 64MB
};

# ---- a reader ----

my $place = '';
my @seen;

# What comes next, as amounts; the reader stays behind it.
sub follow
{
	my ($node) = @_;
	my @amounts;

	while (1)
	{
		my $page = $node->safe_psql('shop',
			"SELECT id, amount, cursor FROM teller.journal_since(1, '$place', 2)");
		last if $page eq '';
		foreach my $row (split /\n/, $page)
		{
			my ($id, $amount, $cursor) = split /\|/, $row;
			push @seen, $id;
			push @amounts, $amount + 0;
			$place = $cursor;
		}
	}
	return join(' ', @amounts);
}

# A test: these amounts come next, in this order, as soon as they may.
sub comes
{
	my ($node, $amounts, $test) = @_;

	ok( $node->poll_query_until(
			'shop',
			sprintf(
				"SELECT count(*) >= %d FROM teller.journal_since(1, '$place', 100)",
				scalar(split / /, $amounts))),
		"$test: as many") if $amounts ne '';
	is(follow($node), $amounts, $test);
	return;
}

# A test: what was seen is what is there, once.
sub complete
{
	my ($node, $test) = @_;
	my %times;

	$times{$_}++ foreach @seen;
	is( join(' ', grep { $times{$_} > 1 } keys %times),
		'', "$test: nothing came twice");
	is( join("\n", sort keys %times),
		$node->safe_psql('shop', 'SELECT id FROM teller.journal WHERE ledger_id = 1 ORDER BY id::text COLLATE "C"'),
		"$test: all of it came");
	is($node->safe_psql('shop', 'SELECT * FROM teller.verify()'),
		'', "$test: verify() finds nothing");
	return;
}

sub pay
{
	my ($node, $amount, %how) = @_;
	my $before = $how{before} // '';
	my $after = $how{after} // '';

	# Each amount between accounts of its own: nobody waits for a lock.
	$node->safe_psql('shop',
		"SET statement_timeout = '20s'; $before;
		 SELECT status FROM teller.transfer(1, 1000 + $amount, 2000 + $amount, $amount); $after");
	return;
}

sub prepare
{
	my ($node, $amount, $name) = @_;

	pay($node, $amount, before => 'BEGIN', after => "PREPARE TRANSACTION '$name'");
	return;
}

# ---- an auditor ----

my $digest;

# A test: so many rows are sealed; the auditor keeps the digest.
sub seal
{
	my ($node, $rows, $test) = @_;
	my $answer = $node->safe_psql('shop', 'SELECT * FROM teller.seal(1)');

	is($answer =~ s/\|.*//r, $rows, $test);
	$digest = $answer =~ s/.*\|//r;
	return;
}

# A test: what verify_seal() says of the last digest that was kept.
sub sealed
{
	my ($node, $expected, $test) = @_;

	is($node->safe_psql('shop', "SELECT seal, detail FROM teller.verify_seal(1, '$digest')"),
		$expected, $test);
	return;
}

# ---- one server ----

my $first = PostgreSQL::Test::Cluster->new('first');
$first->init(allows_streaming => 1);
$first->append_conf('postgresql.conf', $conf);
$first->start;
$first->safe_psql('postgres', 'CREATE DATABASE shop');
$first->safe_psql('shop',
	q{CREATE EXTENSION pg_teller;
	  SELECT teller.create_ledger(1), teller.create_asset('USD', 2);
	  SELECT count(teller.open_account(1, i + n, 'USD', min_balance => NULL))
	  FROM generate_series(1, 99) AS n, (VALUES (1000), (2000)) AS v (i)});

# Transaction ids far ahead of those of the server that comes later.
$first->safe_psql('postgres',
	q{DO $$ BEGIN FOR i IN 1..20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$});

pay($first, 1);
comes($first, '1', 'a movement');
prepare($first, 2, 'two');
pay($first, 3);
comes($first, '', 'nothing passes a prepared transaction');
$first->restart;
comes($first, '', 'nor after a restart');
$first->safe_psql('shop', "COMMIT PREPARED 'two'");
comes($first, '2 3', 'it comes first when it is committed');

# ---- a standby ----

$first->backup('base');
my $second = PostgreSQL::Test::Cluster->new('second');
$second->init_from_backup($first, 'base', has_streaming => 1);
$second->start;
prepare($first, 4, 'four');
pay($first, 5);
$first->wait_for_catchup($second, 'replay');
comes($second, '', 'at a standby too nothing passes a prepared transaction');
$first->safe_psql('shop', "COMMIT PREPARED 'four'");
$first->wait_for_catchup($second, 'replay');
comes($second, '4 5', 'a standby shows the same');
complete($second, 'at a standby');
seal($first, 5, 'five rows are sealed');
$first->wait_for_catchup($second, 'replay');
sealed($second, '', 'which shows at the standby');

# ---- a crash ----

# The WAL writer sleeps, so that only the reader can have flushed it.
my $wal_writer = $first->safe_psql('postgres',
	q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'});
kill 'STOP', $wal_writer or die "kill: $!";
pay($first, 6, before => 'SET synchronous_commit = off');
comes($first, '6', 'a commit that nobody flushed');
$first->stop('immediate');
$first->start;
pay($first, 7);
comes($first, '7', 'after a crash');
complete($first, 'over a crash what was shown is there');

# ---- promotion, with a loss ----

$first->wait_for_catchup($second, 'replay');
$second->append_conf('postgresql.conf', "primary_conninfo = ''");
$second->reload;
ok( $second->poll_query_until(
		'postgres', 'SELECT count(*) = 0 FROM pg_stat_wal_receiver'),
	'the standby is cut off');
pay($first, $_) foreach (8, 9, 10);
my @lost_from = @seen;
comes($first, '8 9 10', 'what the standby never gets');
$first->stop('immediate');
$second->promote;
@seen = @lost_from;
pay($second, $_) foreach (11, 12);
comes($second, '11 12',
	'after a promotion the cursor of a lost row skips nothing');
complete($second, 'over a promotion');
sealed($second, '', 'what was sealed before the promotion is untouched');
seal($second, scalar(@seen), 'and the rest is sealed after it');

# ---- promotion, with a prepared transaction ----

$second->backup('base');
my $third = PostgreSQL::Test::Cluster->new('third');
$third->init_from_backup($second, 'base', has_streaming => 1);
$third->start;
pay($second, 13);
prepare($second, 14, 'fourteen');
pay($second, 15);
$second->wait_for_catchup($third, 'replay');
comes($second, '13', 'before the prepared transaction');
$second->stop('fast');
$third->promote;
pay($third, 16);
comes($third, '', 'nothing passes it on another timeline');
$third->safe_psql('shop', "COMMIT PREPARED 'fourteen'");
comes($third, '14 15 16', 'and then all comes in order');
complete($third, 'over a second promotion');

# ---- a dump, restored elsewhere ----

pay($third, 17);
comes($third, '17', 'before the dump');
seal($third, scalar(@seen), 'all of it is sealed');
pay($third, 18);
my $dump = PostgreSQL::Test::Utils::tempdir . '/shop.dump';
command_ok(
	[ 'pg_dump', '-Fc', '-f', $dump, $third->connstr('shop') ],
	'the books are dumped');
my $fourth = PostgreSQL::Test::Cluster->new('fourth');
$fourth->init;
$fourth->append_conf('postgresql.conf', $conf);
$fourth->start;
$fourth->safe_psql('postgres', 'CREATE DATABASE shop');
command_ok(
	[ 'pg_restore', '-j', '2', '-d', $fourth->connstr('shop'), $dump ],
	'and restored on a new server');
ok( $fourth->safe_psql('shop',
		"SELECT max(tx) & ((1::bigint << 48) - 1) > pg_current_xact_id()::text::bigint FROM teller.journal") eq 't',
	'whose transaction ids are lower');
comes($fourth, '18', 'the reader goes on there before anything is written');

# The first writers at once: nobody waits, and one of them rolls back.
prepare($fourth, 19, 'nineteen');
pay($fourth, 20);
prepare($fourth, 21, 'twenty-one');
$fourth->safe_psql('shop', "ROLLBACK PREPARED 'nineteen'");
pay($fourth, 22);
comes($fourth, '20', 'up to the first that is undecided');
$fourth->safe_psql('shop', "COMMIT PREPARED 'twenty-one'");
comes($fourth, '21 22', 'no writer on the new server is skipped');
complete($fourth, 'over dump and restore');
sealed($fourth, '', 'the seals hold over dump and restore');
seal($fourth, scalar(@seen), 'and go on there');
sealed($fourth, '', 'over both servers');
my $victim = $fourth->safe_psql('shop', 'SELECT id FROM teller.journal WHERE amount = 5');
$fourth->safe_psql('shop', "UPDATE teller.journal SET credit_account = 2099 WHERE id = '$victim'");
sealed($fourth, "1|journal row $victim, number 5 of the 5 rows of the seal, was changed",
	'tampering with a restored row is found');
$fourth->safe_psql('shop', "UPDATE teller.journal SET credit_account = 2005 WHERE id = '$victim'");
sealed($fourth, '', 'and that it was undone');

# And back: the first server, which has the lost rows, gets the books again.
command_ok(
	[ 'pg_dump', '-Fc', '-f', $dump, $fourth->connstr('shop') ],
	'the books are dumped again');
$fourth->stop;
$first->start;
$first->safe_psql('postgres', 'DROP DATABASE shop');
$first->safe_psql('postgres', 'CREATE DATABASE shop');
command_ok([ 'pg_restore', '-d', $first->connstr('shop'), $dump ],
	'and restored on the server they came from');
# The first writer rolls back, and its session goes on.
pay($first, 23,
	before => 'BEGIN; SELECT teller.transfer(1, 1099, 2099, 98), teller.transfer(1, 1099, 2099, 99); ROLLBACK');
comes($first, '23', 'the reader goes on');
complete($first, 'back again');
sealed($first, '', 'the seals hold there too');
seal($first, scalar(@seen), 'and go on');

$_->stop foreach ($first, $third);
done_testing();
