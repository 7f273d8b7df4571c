# The bank's book compared with the operations here: what agrees, what is open,
# what was lost here, what differs; and the settlement account with the balance
# at the bank (I19).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use BankAndShop;
use Test::More;

my $w = BankAndShop->new(conf => "teller.max_attempts = 1\n");

# What the shop has paid in at the bank is in both books.
$w->shop('SELECT status FROM teller.transfer(1, 9, 1, 100000)');
$w->bank(q{SELECT teller_remote.grant_debit('shop', 1, 3)});

sub verdicts
{
	my ($arguments) = @_;

	return $w->shop(
		"SELECT coalesce(string_agg(verdict, ' ' ORDER BY executed_at), '')
		 FROM teller.reconcile(" . ($arguments // "1, 'bank'") . ')');
}

sub view
{
	my ($columns) = @_;

	return $w->shop("SELECT $columns FROM teller.reconciliation WHERE ledger_id = 1");
}

sub findings
{
	return $w->shop(
		q{SELECT coalesce(string_agg(kind, ' ' ORDER BY found_at), '') FROM teller.finding});
}

# ---- before anything was asked ----

is(view('settlement_account, reconciled_at IS NULL, explained IS NULL'),
	'9|t|t', 'an account that was never reconciled shows as such');
is(verdicts(), '', 'a book without operations');
is(view('posted, remote_posted, in_doubt, difference, explained'),
	'-100000.00|100000.00|0.00|0.00|t', 'what was paid in is in both books');

# ---- settled and refunded ----

$w->withdraw('one');
$w->withdraw('two', amount => 7.5);
$w->withdraw('refused', to => 'nobody');
$w->shop(q{SELECT id FROM teller.deposit(1, 2, 'bank', 4, 'carol', 'in')});
$w->becomes($_, 'settled') foreach 'one', 'two', 'in';
$w->becomes('refused', 'refunded rejected');
is(verdicts(), 'agrees agrees agrees agrees', 'both books agree on all of them');
is( $w->shop(
		q{SELECT count(*) FROM teller.reconcile(1, 'bank') r JOIN teller.operation o ON o.id = r.operation
		  WHERE r.memo = o.memo AND r.state = o.state AND r.remote_reference IS NOT DISTINCT FROM o.reference
			AND r.amount = o.amount AND r.asset = o.asset AND r.remote_status IN ('executed', 'rejected')}
	),
	'4',
	'each row shows both sides');
is(view('posted, remote_posted, in_doubt, difference, explained, agrees'),
	'-99986.50|99986.50|0.00|0.00|t|4', 'and so do the balances');
is(findings(), '', 'nothing is found');

# ---- in doubt, executed there ----

$w->gate(q{SELECT gate.lose_next(1), gate.drop_next(1000000, 'lookup'), gate.drop_next(1000000, 'fence')});
$w->withdraw('doubtful');
$w->becomes('doubtful', 'in_doubt');
is(verdicts(), 'agrees agrees agrees agrees open', 'one is open here');
is(view('in_doubt, difference, executed_there, explained, open'),
	'10.00|10.00|10.00|t|1', 'its amount is the difference, and explains it');

# ---- money moved there by hand ----

$w->bank('SELECT status FROM teller.transfer(1, 2, 1, 5)');
is(verdicts(), 'agrees agrees agrees agrees open', 'no memo tells of it');
is(view('difference, executed_there, explained'),
	'15.00|10.00|f', 'so the difference is not explained');
$w->gate(q{SELECT gate.drop_next(0, 'lookup'), gate.drop_next(0, 'fence')});
$w->becomes('doubtful', 'settled');
verdicts();
is(view('in_doubt, difference, executed_there, explained'),
	'0.00|5.00|0.00|f', 'nor when all has ended');
$w->shop('SELECT status FROM teller.transfer(1, 1, 9, 5)');
verdicts();
is(view('difference, explained'), '0.00|t', 'until it is booked here too');

# ---- what is unknown here, and what differs ----

my $origin = $w->shop('SELECT instance_id FROM teller.instance');
$w->bank(
	qq{SET ROLE shop;
	SELECT status FROM teller_remote.execute(sha256('lost'), '$origin', 1, 'withdraw', 'carol', 3, 'USD', 'lost',
		now() + interval '1 hour', NULL)});
is(verdicts(), 'agrees agrees agrees agrees agrees unknown_here', 'a memo that is not here is found');
is(view('difference, executed_there, explained, unknown_here'),
	'3.00|0.00|f|1', 'and its money is missing');
verdicts();
is(findings(), 'unknown_here', 'it is one finding, however often it is seen');
like(
	$w->shop('SELECT detail FROM teller.finding'),
	qr/^memo [0-9a-f]{64}: server "bank" says executed, 3.00 USD, at .* no operation here has this memo$/,
	'which says what the bank says');

my $memo = $w->operation('one', 'memo');
$w->bank("UPDATE teller.memo SET amount = 11 WHERE memo = '$memo'");
is(verdicts(), 'differs agrees agrees agrees agrees unknown_here', 'another amount differs');
$memo = $w->operation('two', 'memo');
$w->bank("UPDATE teller.memo SET status = 'rejected', reason = 'not_found' WHERE memo = '$memo'");
$memo = $w->operation('refused', 'memo');
$w->bank("UPDATE teller.memo SET status = 'executed', reason = NULL WHERE memo = '$memo'");
is(verdicts(), 'differs differs differs agrees agrees unknown_here',
	'settled here and refused there differs, and so does the reverse');
verdicts();
is(findings(), 'unknown_here differs differs differs', 'each is one finding');
is( $w->shop(
		q{SELECT count(*) FROM teller.finding f JOIN teller.operation o ON o.id = f.operation_id WHERE f.kind = 'differs'}
	),
	'3',
	'which names its operation');

# ---- since, and other ledgers ----

is(verdicts(q{1, 'bank', now() + interval '1 hour'}), '', 'since leaves out what is older');
is($w->shop(q{SELECT since > now(), unknown_here FROM teller.reconciliation}),
	't|0', 'and the view says so');
$w->shop(
	q{SELECT teller.create_ledger(2), teller.open_account(2, 9, 'USD', min_balance => NULL);
	SELECT teller.set_settlement_account(2, 'bank', 9)});
is(verdicts(q{2, 'bank'}), 'unknown_here', 'memos of another ledger are left to that one');
is( $w->shop(
		'SELECT remote_posted IS NULL, explained IS NULL FROM teller.reconciliation WHERE ledger_id = 2'
	),
	't|t',
	'where we have no account nothing is said of its balance');

# ---- errors ----

$w->shop(
	q{CREATE ROLE teller_user; GRANT USAGE ON SCHEMA teller TO teller_user;
	GRANT USAGE ON FOREIGN SERVER bank TO teller_user;
	SELECT teller.grant_ledger(1, 'teller_user', 'operate');
	CREATE SERVER desk FOREIGN DATA WRAPPER teller_pull;
	CREATE SERVER nowhere FOREIGN DATA WRAPPER teller_postgres OPTIONS (host '/nonexistent', dbname 'x');
	CREATE USER MAPPING FOR PUBLIC SERVER nowhere OPTIONS (user 'shop');
	SELECT teller.set_settlement_account(1, 'nowhere', 9)});
my $call = 'SELECT * FROM teller.reconcile';
is($w->sqlstate("$call(1, 'bank')", 'teller_user'), '42501', 'it is for the owner alone');
is( $w->shop(
		q{SET ROLE teller_user; SELECT string_agg(DISTINCT ledger_id::text, ' ') FROM teller.reconciliation}
	),
	'1',
	'the view shows a user his ledger');
is($w->sqlstate("$call(1, 'desk')"), '0A000', 'a desk has no list');
is($w->sqlstate("$call(1, 'nobody')"), 'TL009', 'there must be such a server');
is($w->sqlstate("$call(3, 'bank')"), '55000', 'and a settlement account');
is($w->sqlstate("$call(1, 'nowhere')"), '55000', 'a server that is away is an error');
is($w->sqlstate("$call(NULL, 'bank')"), '22004', 'the ledger is required');
is($w->sqlstate("BEGIN ISOLATION LEVEL REPEATABLE READ; $call(1, 'bank')"),
	'25001', 'an old snapshot would miss operations');

# ---- a list that cannot be read ----

my $list = $w->gate("SELECT pg_get_functiondef('teller_remote.list_since'::regproc)");
$w->gate(
	q{CREATE OR REPLACE FUNCTION teller_remote.list_since(origin uuid, after timestamptz, max_rows integer)
	RETURNS SETOF gate.answer LANGUAGE sql
	AS 'SELECT NULL::bytea, ''executed'', NULL, NULL, 1, ''USD'', now(), true, now()'});
is($w->sqlstate("$call(1, 'bank')"), '22P02', 'a row without a memo is refused');
$w->gate($list);

# ---- a long list ----

$w->bank(
	qq{INSERT INTO teller.memo (memo, origin, caller, ledger_id, request, status, executed_at)
	SELECT sha256(n::text::bytea), '$origin', 'shop'::regrole, 1, '{}', 'rejected',
		CASE WHEN n <= 300 THEN timestamptz '2020-01-01 00:00Z'
			ELSE timestamptz '2020-01-02 00:00Z' + n / 3 * interval '1 us' END
	FROM generate_series(1, 900) AS n});
is( $w->shop(q{SELECT count(*), count(DISTINCT memo) FROM teller.reconcile(1, 'bank')}),
	'906|906', 'no memo is skipped or doubled where pages end, with hundreds in one microsecond');
is($w->bank('SELECT count(*) FROM teller.memo'), '906', 'that is the whole book');
$w->set('teller.max_response_bytes', '4kB');
is($w->shop(q{SELECT count(*) FROM teller.reconcile(1, 'bank', '2021-01-01 00:00Z')}),
	'6', 'short answers make short pages');
like(
	($w->{shop}->psql('shop', "$call(1, 'bank')"))[2],
	qr/cannot be read in pages that are short enough/,
	'until they are too short for one microsecond');

is($w->shop('SELECT * FROM teller.verify()'), '', 'the shop is sound');
$w->stop;
done_testing();
