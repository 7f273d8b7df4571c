# Keys that are forgotten, and never run again: test/t/sql/key_retention.sql on a
# server of its own, because the setting teller.key_retention is the server's, and
# without a worker, which would forget the keys before the script does.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $script = "$FindBin::RealBin/sql/key_retention";
my $node = PostgreSQL::Test::Cluster->new('retention');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_teller');

# As pg_regress runs its scripts.
local $ENV{PGTZ} = 'PST8PDT';
local $ENV{PGDATESTYLE} = 'Postgres, MDY';
my ($stdout, $stderr);
my $ran = IPC::Run::run(
	[ 'psql', '-X', '-a', '-q', '-d', $node->connstr('postgres'), '-f', "$script.sql" ],
	'>&', \$stdout);
ok($ran, 'the script runs to its end');
$stdout =~ s/^psql:[^ ]*:\d+: //mg;
is($stdout, slurp_file("$script.out"), 'and answers what it should');

$node->stop;
done_testing();
