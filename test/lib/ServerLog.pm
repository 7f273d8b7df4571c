# What a server's log must not have, for TAP tests.
package ServerLog;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT_OK = qw(nothing_unseen);

# A worker that is told to stop while it connects, or within a transaction, is
# ended by PostgreSQL, which says so (worker.c).
my $stopped = qr/FATAL:  terminating background worker "pg_teller worker.*" due to administrator command/;

# A claim: no line of the node's log has a crash or matches $bad.  Only such
# lines are shown.
sub nothing_unseen
{
	my ($node, $bad) = @_;
	my @found = grep { /PANIC|TRAP|$bad/ && !/$stopped/ }
	  split /^/, slurp_file($node->logfile);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join('', @found), '', 'nothing went wrong unseen');
	return;
}

1;
