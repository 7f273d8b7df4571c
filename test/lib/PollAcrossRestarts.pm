# poll_query_until of PostgreSQL's test modules, for a server that may be
# starting: a psql that cannot connect may end before it has read its query, and
# then IPC::Run dies of the broken pipe.  That is a try that failed, no more.
package PollAcrossRestarts;

use strict;
use warnings;

use PostgreSQL::Test::Cluster;

my $poll = \&PostgreSQL::Test::Cluster::poll_query_until;

sub poll_query_until
{
	my @arguments = @_;

	for (1 .. 1000)
	{
		my $reached = eval { $poll->(@arguments) };

		return $reached if defined $reached;
		die $@ unless $@ =~ /Broken pipe/;
	}
	return 0;
}

{
	no warnings 'redefine';
	*PostgreSQL::Test::Cluster::poll_query_until = \&poll_query_until;
}

1;
