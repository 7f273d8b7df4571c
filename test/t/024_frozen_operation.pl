# Operations and frozen accounts: what was submitted before a freeze goes on
# to its end, what comes later is refused, and an account with an open
# operation is not closed.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use BankAndShop;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $w = BankAndShop->new;
my $gate;
my $id;

ok($w->worker_is('idle'), 'the worker runs');

# ---- submitted, then frozen on both sides ----

$gate = $w->close_gate;
$w->withdraw('executed');
ok($w->gate_has(1), 'a withdrawal is on its way');
$w->shop('SELECT teller.freeze_account(1, 2), teller.freeze_account(1, 9)');
is($w->sqlstate(q{SELECT teller.withdraw(1, 2, 'bank', 1, 'carol', 'late')}),
	'TL005', 'a frozen account submits nothing');
is($w->sqlstate('SELECT teller.close_account(1, 2)'),
	'55000', 'nor is it closed over an operation');
$gate->query_safe('SELECT gate.open()');
$w->becomes('executed', 'settled', 'it settles in spite of the freeze');
is($w->shop('SELECT status FROM teller.account_balance WHERE ledger_id = 1 AND account_id = 2'),
	'frozen', 'which stays');
$w->books_agree('settled under a freeze');

# ---- one that is rejected ----

$w->shop('SELECT teller.unfreeze_account(1, 2), teller.unfreeze_account(1, 9)');
$gate->query_safe('SELECT gate.close()');
$w->withdraw('rejected', to => 'nobody');
ok($w->gate_has(1), 'another is on its way');
$w->shop('SELECT teller.freeze_account(1, 2), teller.freeze_account(1, 9)');
$gate->query_safe('SELECT gate.open()');
$w->becomes('rejected', 'refunded rejected', 'it is refunded in spite of the freeze');
$w->books_agree('refunded under a freeze');

# ---- frozen in one direction ----

$w->shop(q{SELECT teller.unfreeze_account(1, 2, 'debit'), teller.unfreeze_account(1, 9)});
is($w->sqlstate(q{SELECT teller.deposit(1, 2, 'bank', 1, 'carol', 'in')}),
	'TL005', 'an account that is frozen for credits takes no deposit');
$w->withdraw('out');
$w->becomes('out', 'settled', 'and pays out');
$w->shop(q{SELECT teller.freeze_account(1, 9, 'credit')});
is($w->sqlstate(q{SELECT teller.withdraw(1, 2, 'bank', 1, 'carol', 'no mirror')}),
	'TL005', 'nothing is paid out through a settlement account that is frozen for credits');
$w->shop('SELECT teller.unfreeze_account(1, 2), teller.unfreeze_account(1, 9)');

# ---- limits ----

$gate->query_safe('SELECT gate.close()');
$w->withdraw('held');
ok($w->gate_has(1), 'a withdrawal is on its way');
is($w->sqlstate('SELECT teller.set_limits(1, 9, NULL, 20)'),
	'55000', 'its hold counts for a maximum of the settlement account');
$w->shop('SELECT teller.set_limits(1, 9, NULL, 25, force => true)');
is($w->sqlstate(q{SELECT teller.withdraw(1, 2, 'bank', 1, 'carol', 'too much')}),
	'TL004', 'which refuses further withdrawals');
$gate->query_safe('SELECT gate.open()');
$w->becomes('held', 'settled', 'but settles what was submitted before');
is($w->shop('SELECT pending_credit FROM teller.account WHERE ledger_id = 1 AND account_id = 9'),
	'0.00', 'and no pending credit is left');
$w->books_agree('settled over a limit');

# ---- closing ----

is($w->sqlstate('SELECT teller.close_account(1, 9)'),
	'55000', 'a settlement account is not closed');
$w->shop('SELECT status FROM teller.transfer(1, 2, 1, (SELECT posted FROM teller.balance(1, 2)))');
$w->shop('SELECT teller.close_account(1, 2)');
is($w->sqlstate(q{SELECT teller.withdraw(1, 2, 'bank', 1, 'carol', 'closed')}),
	'TL005', 'a closed account submits nothing');
$gate->quit;
$w->books_agree('closed');

$w->stop;
done_testing();
