# verify() on a standby says what it says on the primary, at both levels, and
# locks nothing there; mark_verified() belongs to the primary.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', 'autovacuum = off');
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION pg_teller');
$primary->safe_psql('postgres', q{
	SELECT teller.create_ledger(351), teller.create_ledger(352);
	SELECT teller.create_asset('USD', 2);
	SELECT teller.open_account(l, a, 'USD', min_balance => CASE WHEN a > 1 THEN 0 END)
	FROM unnest(ARRAY[351, 352]) AS l, generate_series(1, 4) AS a;
	SELECT teller.transfer(351, 1, 2, 1000, key => 'old'), teller.transfer(352, 1, 2, 1000);
	SELECT teller.hold(351, 2, 3, 7, '1 day');
	SELECT teller.mark_verified(351);
	SELECT teller.transfer(351, 2, 3, 10, key => 'new');
	SELECT count(*) FROM teller.post(351, '{2,2}', '{3,4}', '{1,2}', key => 'batch');
	SELECT teller.capture(351, (SELECT hold_id FROM teller.hold WHERE ledger_id = 351), 3);
});

$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;

# What verify() says, at a level.
sub says
{
	my ($node, $level) = @_;
	return $node->safe_psql('postgres', qq{
		SELECT invariant, ledger_id, object, detail FROM teller.verify(NULL, '$level')
		ORDER BY 1, 2, 3, 4});
}

# Both nodes, both levels: the same, and found by full and by quick as expected.
sub agree
{
	my ($what, $full, $quick) = @_;
	$primary->wait_for_catchup($standby);
	foreach my $case ([ 'full', $full ], [ 'quick', $quick ])
	{
		my ($level, $expected) = @$case;
		my $here = says($primary, $level);
		is(says($standby, $level), $here, "$what: the standby says the same, $level");
		like($here, $expected, "$what: and that is what is so, $level");
	}
	return;
}

sub sqlstate
{
	my ($node, $sql) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
	return $err =~ /ERROR:\s+(\w{5})/ ? $1 : 'none';
}

agree('a sound book', qr/^$/, qr/^$/);
is( $standby->safe_psql('postgres',
		'SELECT teller.verify_marked(351) IS NOT NULL, teller.verify_marked(352) IS NULL'),
	't|t', 'the standby has the mark of the primary');

# ---- nothing is written or locked there

is(sqlstate($standby, 'SELECT teller.mark_verified(351)'),
	'25006', 'a standby sets no mark');
foreach my $call ('transfer(351, 1, 2, 1)', "transfer(351, 1, 2, 1, key => 'k')",
	"transfer_from(351, '{1}', 2, 1)", "post(351, '{1}', '{2}', '{1}')", 'hold(351, 1, 2, 1)',
	"set_metadata(351, 2, '{}')", 'set_limits(351, 2, 1, NULL)', 'freeze_account(351, 2)',
	'create_ledger(353)', 'expire_due()', 'lock_accounts(351, ARRAY[1])')
{
	is(sqlstate($standby, "SELECT teller.$call"), '25006', "a standby refuses $call");
}
is(sqlstate($standby, "SELECT teller.transfer(351, 1, 2, 1000, key => 'old')"),
	'25006', 'a standby refuses a repeat too');
is( $standby->safe_psql('postgres', q{
		BEGIN;
		SELECT count(*) FROM teller.verify(351);
		SELECT count(*) FROM teller.verify(351, 'quick');
		SELECT DISTINCT mode FROM pg_locks
		WHERE pid = pg_backend_pid() AND locktype IN ('relation', 'tuple') AND relation > 16383;
		COMMIT}),
	"0\n0\nAccessShareLock", 'verify() locks nothing beyond reading');

# ---- the same corruptions on both

$primary->safe_psql('postgres', q{
	UPDATE teller.journal SET amount = 11.00
	WHERE ledger_id = 351 AND id = (SELECT id FROM teller.key WHERE ledger_id = 351 AND key = 'new')});
agree('a row since the mark', qr/I5\|351\|account 2/, qr/I5\|351\|account 2/);
$primary->safe_psql('postgres', q{
	UPDATE teller.journal SET amount = 10.00
	WHERE ledger_id = 351 AND id = (SELECT id FROM teller.key WHERE ledger_id = 351 AND key = 'new')});

$primary->safe_psql('postgres', q{
	UPDATE teller.key SET fingerprint = sha256('x') WHERE ledger_id = 351 AND key = 'old'});
agree('a key before the mark', qr/^I13\|351\|key 'old'/, qr/^$/);
is(sqlstate($primary, 'SELECT teller.mark_verified(351)'),
	'55000', 'what is not sound gets no mark');
$primary->safe_psql('postgres', q{
	UPDATE teller.key SET fingerprint = sha256(convert_to(function || ' ' || arguments, 'UTF8'))
	WHERE ledger_id = 351 AND key = 'old'});

$primary->safe_psql('postgres', q{
	UPDATE teller.account SET posted = posted + CASE account_id WHEN 3 THEN 1 ELSE -1 END
	WHERE ledger_id = 352 AND account_id IN (2, 3)});
agree('money shifted in another ledger', qr/I3\|352\|account 3/, qr/I3\|352\|account 3/);
$primary->safe_psql('postgres', q{
	UPDATE teller.account SET posted = posted + CASE account_id WHEN 3 THEN -1 ELSE 1 END
	WHERE ledger_id = 352 AND account_id IN (2, 3)});
agree('all repaired', qr/^$/, qr/^$/);

# ---- one snapshot: what is replayed meanwhile does not show

my $reader = $standby->background_psql('postgres', on_error_stop => 1);
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM teller.journal');
$primary->safe_psql('postgres', 'SELECT teller.transfer(351, 2, 4, 5)');
$primary->wait_for_catchup($standby);
is($reader->query_safe(q{SELECT count(*) FROM teller.verify(NULL, 'quick')}), '0',
	'verify() in an old snapshot');
$reader->query_safe('COMMIT');
$reader->quit;

# ---- promoted, the mark goes on

$standby->promote;
is($standby->safe_psql('postgres', q{
	SELECT status FROM teller.transfer(351, 2, 4, 5);
	SELECT count(*) FROM teller.verify(351, 'quick');
	SELECT teller.mark_verified(351, 'quick');
	SELECT full_at < verified_at FROM teller.verified WHERE ledger_id = 351;
	SELECT count(*) FROM teller.verify()}),
	"posted\n0\n\nt\n0", 'the mark goes on after promotion');

$standby->stop;
$primary->stop;
done_testing();
