# Shell functions shared by scripts/: packages, an unprivileged user, private
# copies of PostgreSQL, private clusters.  Sourced by bash, never run.
#
# What the scripts promise and this file keeps:
#   - only packages that are missing are installed, so a second run needs no
#     network;
#   - the machine's own PostgreSQL is never written to: the extension goes into
#     a private copy of it, and its clusters are left alone;
#   - clusters run as an unprivileged user, listen on unix sockets only, live
#     in one temporary directory and are stopped through their own data
#     directory; whatever ends the script, they go with it.

set -u
set -o pipefail

PG_MAJOR=${PG_MAJOR:-15}
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PORT=5432						# names the socket file, nothing listens on it
WORK=								# the temporary directory, made by begin
RUN_USER=							# who runs the clusters
CLUSTERS=()							# data directories we started, newest last
CHILDREN=()							# background processes we started
SELF=${0##*/}

export DEBIAN_FRONTEND=noninteractive
export LC_ALL=C.UTF-8
unset PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGSERVICE PGOPTIONS PGDATA
unset PGSSLMODE PGCLIENTENCODING PGCONNECT_TIMEOUT PG_CONFIG MAKEFLAGS MAKELEVEL
unset PSQLRC PGAPPNAME PGTZ TZ PGDATESTYLE
PATH=$PATH:/usr/sbin:/sbin

say()
{
	printf '%s\n' "$*"
}

die()
{
	printf '%s: %s\n' "$SELF" "$*" >&2
	exit 1
}

# ---------------------------------------------------------------------------
# Waiting
# ---------------------------------------------------------------------------

# Let a moment pass inside a loop that polls a condition, and nowhere else.
# Reading a pipe that nobody writes to costs no process.
moment()
{
	[ -n "${MOMENT_FD:-}" ] || exec {MOMENT_FD}<> <(:)
	read -r -t 0.1 -u "$MOMENT_FD" _ || :
}

# poll SECONDS COMMAND...: run COMMAND until it succeeds; fails at the deadline.
poll()
{
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		moment
	done
}

# ---------------------------------------------------------------------------
# Packages
# ---------------------------------------------------------------------------

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		command -v sudo >/dev/null ||
			die "run this as root, or install sudo: '$1' needs root"
		sudo -- env DEBIAN_FRONTEND=noninteractive "$@"
	fi
}

installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# need PACKAGE...: install those that are missing.  The lists of packages are
# fetched first; whether that failed shows in the install.
need()
{
	local missing=() package log
	for package in "$@"; do
		installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null || die "needs apt to install: ${missing[*]}"
	say "installing ${missing[*]}"
	log=$(mktemp)
	if ! { as_root apt-get -q update
		   as_root apt-get -q -y -o DPkg::Lock::Timeout=300 \
			   --no-install-recommends install "${missing[@]}"
		 } >"$log" 2>&1 </dev/null; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		die "apt could not install: ${missing[*]}"
	fi
	rm -f "$log"
}

need_postgres()
{
	need gcc make libc6-dev libpq-dev libcurl4-openssl-dev "postgresql-$PG_MAJOR" \
		"postgresql-server-dev-$PG_MAJOR"
}

# need_node: Node and node-postgres.  Debian's driver asks for Debian's own
# nodejs.  On a machine with another Node the driver's files are unpacked aside,
# into a cache in /var/tmp, and nothing is installed.  NODE_MODULES says where
# the driver is; without a network it may be nowhere.
NODE_MODULES=/usr/share/nodejs
need_node()
{
	local cache deb
	cache=/var/tmp/pg_teller-node.$(id -u)
	if installed node-pg; then
		return 0
	elif ! command -v node >/dev/null; then
		need nodejs node-pg
		return
	fi
	NODE_MODULES=$cache/usr/share/nodejs
	[ ! -O "$cache/complete" ] || return 0
	say "unpacking node-pg into $cache"
	rm -rf "$cache"
	mkdir -m 755 "$cache" && (
		cd "$cache" || exit 1
		as_root apt-get -q update
		apt-get -q download -o APT::Sandbox::User="$(id -un)" node-pg node-split2 || exit 1
		for deb in *.deb; do
			dpkg -x "$deb" . || exit 1
		done
		rm -f -- *.deb
		touch complete
	) >/dev/null 2>&1 </dev/null || say "there is no node-postgres for this Node"
}

# ---------------------------------------------------------------------------
# The user and the directory
# ---------------------------------------------------------------------------

# begin: choose the user, make $WORK, and see that everything ends with us.
# Call it after need_postgres: the package creates the user postgres.
begin()
{
	if [ "$(id -u)" = 0 ]; then
		RUN_USER=postgres
		id "$RUN_USER" >/dev/null 2>&1 || die "no user postgres on this machine"
	else
		RUN_USER=$(id -un)
	fi
	# A socket's path must fit into 107 bytes: keep this one short.
	WORK=$(mktemp -d /tmp/tlr.XXXXXX) || die "cannot make a directory in /tmp"
	chmod 755 "$WORK"
	trap finish EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	mkdir "$WORK/home"
	[ "$(id -u)" != 0 ] || chown -R "$RUN_USER" "$WORK"
}

# become COMMAND...: turn this shell into COMMAND, run by the unprivileged user
# in a directory he reads.  For the background: `(become ...) &`, so that $! is
# the command itself.
become()
{
	cd "$WORK" || exit 1
	if [ "$(id -u)" = 0 ]; then
		exec setpriv --reuid="$RUN_USER" --regid="$(id -g "$RUN_USER")" \
			--init-groups env HOME="$WORK/home" USER="$RUN_USER" \
			LOGNAME="$RUN_USER" "$@"
	else
		exec env HOME="$WORK/home" "$@"
	fi
}

# as_user COMMAND...: run it as the unprivileged user.
as_user()
{
	(become "$@")
}

# attend COMMAND...: run it and wait, ready for a signal all the while.  (bash
# puts a trap off until a command in the foreground ends.)
ATTENDED=
attend()
{
	local status
	"$@" &
	ATTENDED=$!
	wait "$ATTENDED"
	status=$?
	ATTENDED=
	return $status
}

finish()
{
	local status=$? pid
	trap - EXIT HUP INT TERM
	if [ -n "$ATTENDED" ]; then
		kill "$ATTENDED" 2>/dev/null
		wait "$ATTENDED"
	fi
	for pid in ${CHILDREN[@]+"${CHILDREN[@]}"}; do
		kill "$pid" 2>/dev/null
	done
	wait
	stop_all_clusters
	stop_strays
	if [ -n "${TELLER_KEEP:-}" ]; then
		say "kept: $WORK"
	elif [ -n "$WORK" ]; then
		rm -rf "$WORK"
	fi
	exit "$status"
}

# ---------------------------------------------------------------------------
# The source, the private PostgreSQL, the build
# ---------------------------------------------------------------------------

# copy_source DIR: the checkout as it is now, without what a build left in it,
# owned by the user.  The checkout itself may be where he cannot read.
copy_source()
{
	mkdir -p "$1"
	tar -C "$ROOT" -cf - --exclude-vcs --exclude='*.o' --exclude='*.so' \
		--exclude='*.bc' --exclude='./results' --exclude='./output_iso' \
		--exclude='./tmp_check' . |
		tar -C "$1" -xf - || die "cannot copy the source to $1"
	[ "$(id -u)" != 0 ] || chown -R "$RUN_USER" "$1"
}

# bin NAME: where the programs of the private PostgreSQL NAME are.
bin()
{
	printf '%s\n' "$WORK/$1/lib/postgresql/$PG_MAJOR/bin"
}

# make_prefix NAME: a private copy of the machine's PostgreSQL.  Its programs
# find their directories relative to themselves, which is checked.
make_prefix()
{
	local prefix=$WORK/$1 seen
	mkdir -p "$prefix/lib/postgresql" "$prefix/share/postgresql" "$prefix/include"
	cp -a "/usr/lib/postgresql/$PG_MAJOR" "$prefix/lib/postgresql/" &&
		cp -a "/usr/share/postgresql/$PG_MAJOR" "$prefix/share/postgresql/" &&
		cp -a /usr/include/postgresql "$prefix/include/" ||
		die "cannot copy PostgreSQL $PG_MAJOR to $prefix"
	rm -f "$prefix/share/postgresql/$PG_MAJOR/extension"/pg_teller* \
		"$prefix/lib/postgresql/$PG_MAJOR/lib"/pg_teller*
	[ "$(id -u)" != 0 ] || chown -R "$RUN_USER" "$prefix"
	seen=$("$(bin "$1")/pg_config" --pkglibdir --sharedir --includedir-server | sort -u |
		grep -vc "^$prefix/")
	[ "$seen" = 0 ] || die "the copy of PostgreSQL in $prefix does not find itself"
}

# build NAME [MAKE-ARGUMENT...]: plain PGXS, make and make install, into the
# private PostgreSQL NAME, in the source directory $WORK/NAME.src; fails on a
# warning, from whatever program it comes.  A caller
# that has built already hands his copy down in TELLER_PREFIX.
build()
{
	local name=$1 src=$WORK/$1.src log=$WORK/$1.build.log
	shift
	if [ -n "${TELLER_PREFIX:-}" ]; then
		ln -s "$TELLER_PREFIX" "$WORK/$name"
		return
	fi
	[ -d "$WORK/$name" ] || make_prefix "$name"
	copy_source "$src"
	if ! { as_user make -C "$src" -j"$(nproc)" PG_CONFIG="$(bin "$name")/pg_config" "$@" &&
		   as_user make -C "$src" install PG_CONFIG="$(bin "$name")/pg_config" "$@"
		 } >"$log" 2>&1 </dev/null; then
		grep -E 'error|warning|Error|undefined' "$log" | head -n 30 >&2
		say "--- the end of the build" >&2
		tail -n 15 "$log" >&2
		return 1
	fi
	! grep -i 'warning' "$log" >&2
}

# ---------------------------------------------------------------------------
# Clusters
# ---------------------------------------------------------------------------

# new_cluster PREFIX NAME [SETTING...]: make a cluster in $WORK/NAME.d whose
# socket is in $WORK/NAME.s, with 'name = value' lines, and start it.
new_cluster()
{
	local prefix=$1 data=$WORK/$2.d sock=$WORK/$2.s setting
	shift 2
	as_user mkdir -m 700 "$sock"	# whoever gets in there is superuser
	as_user "$(bin "$prefix")/initdb" -D "$data" -U postgres -A trust -N \
		--no-locale -E UTF8 >"$WORK/initdb.log" 2>&1 ||
		{ cat "$WORK/initdb.log" >&2; die "initdb failed"; }
	{
		say "listen_addresses = ''"
		say "unix_socket_directories = '$sock'"
		say "port = $PORT"
		say "max_connections = 100"
		say "max_worker_processes = 24"
		say "log_line_prefix = '%m [%p] %b %d %e '"
		for setting in "$@"; do
			say "$setting"
		done
	} | as_user tee -a "$data/postgresql.conf" >/dev/null
	start_cluster "$prefix" "$data"
}

start_cluster()
{
	local prefix=$1 data=$2
	CLUSTERS+=("$prefix:$data")
	as_user "$(bin "$prefix")/pg_ctl" start -w -t 60 -D "$data" \
		-l "$data.log" >/dev/null 2>&1 </dev/null ||
		{ tail -n 20 "$data.log" >&2; die "the cluster in $data did not start"; }
}

# stop_cluster PREFIX DATA: fast, and if that hangs, immediate; through the
# data directory, so that no other server can be meant.
stop_cluster()
{
	local data=$2 pg_ctl
	pg_ctl=$(bin "$1")/pg_ctl
	[ -f "$data/postmaster.pid" ] || return 0
	as_user "$pg_ctl" stop -w -t 60 -m fast -D "$data" >/dev/null 2>&1 && return 0
	[ -f "$data/postmaster.pid" ] || return 0
	say "the cluster in $data did not stop within a minute" >&2
	as_user "$pg_ctl" stop -w -t 60 -m immediate -D "$data" >/dev/null 2>&1
	return 1
}

stop_all_clusters()
{
	local entry
	for entry in ${CLUSTERS[@]+"${CLUSTERS[@]}"}; do
		stop_cluster "${entry%%:*}" "${entry#*:}"
	done
	CLUSTERS=()
}

# stop_strays: what a program that we started and had to end left running.  We
# know it by its data directory, which is in ours.
stop_strays()
{
	local pid_file prefix
	[ -n "$WORK" ] || return 0
	find "$WORK" -name postmaster.pid 2>/dev/null | while IFS= read -r pid_file; do
		for prefix in "$WORK"/*/lib/postgresql; do
			prefix=${prefix#"$WORK"/}
			as_user "$(bin "${prefix%%/*}")/pg_ctl" stop -w -t 60 -m immediate \
				-D "${pid_file%/*}" >/dev/null 2>&1 </dev/null
			break
		done
	done
}

# psql_in PREFIX NAME DATABASE [psql arguments]: psql as the cluster's owner.
psql_in()
{
	local prefix=$1 name=$2 database=$3
	shift 3
	as_user "$(bin "$prefix")/psql" -X -q -v ON_ERROR_STOP=1 \
		-h "$WORK/$name.s" -p $PORT -U postgres -d "$database" "$@"
}

# no_surprise CLUSTER...: a claim about their logs.  A process that was killed
# with -9 and what the others say about it is no surprise; a crash of its own
# accord, a failed assertion, a leak is.  A session that is on its way out has no
# socket any more for what it is then told to say (socket_close in pqcomm.c).
no_surprise()
{
	local cluster found
	found=$(for cluster in "$@"; do
		grep -aE 'PANIC: |TRAP: |by signal (4|6|7|8|11)|WARNING: .*leak| XX000 ' \
			"$WORK/$cluster.d.log"
	done | grep -avE 'LOG: +could not send data to client: Bad file descriptor$')
	if [ -n "$found" ]; then
		say "not ok - nothing in the server's log is a surprise"
		printf '%s\n' "$found" | sort -u | tail -n 20
		return 1
	fi
	say "ok - nothing in the server's log is a surprise"
}

# ---------------------------------------------------------------------------
# Two books: a shop's database, and the database that plays its bank
# ---------------------------------------------------------------------------

# make_bank PREFIX CLUSTER: database `bank`.  The role shop may pay out of the
# shop's account there, to anybody.
make_bank()
{
	psql_in "$1" "$2" postgres -c 'CREATE DATABASE bank' >/dev/null &&
		psql_in "$1" "$2" bank >/dev/null <<-'SQL'
	CREATE ROLE shop LOGIN;
	CREATE EXTENSION pg_teller;
	SELECT teller.create_ledger(1, 'bank');
	SELECT teller.create_asset('USD', 2);
	SELECT teller.open_account(1, 1, 'USD', 'vault', min_balance => NULL);
	SELECT teller.open_account(1, 2, 'USD', 'shop');
	SELECT teller.open_account(1, 3, 'USD', 'savings');
	SELECT * FROM teller.transfer(1, 1, 2, 1000000000, key => 'opening');
	GRANT USAGE ON SCHEMA teller_remote TO shop;
	SELECT teller_remote.grant_remote('shop', 1, 2);
	SQL
}

# make_shop PREFIX CLUSTER DIRECTORY: database `shop`, whose server `bank` is
# reached through the socket in DIRECTORY.
make_shop()
{
	psql_in "$1" "$2" postgres -c 'CREATE DATABASE shop' >/dev/null &&
		psql_in "$1" "$2" shop -v "dir=$3" -v "port=$PORT" >/dev/null <<-'SQL'
	CREATE EXTENSION pg_teller;
	SELECT teller.create_ledger(1, 'shop');
	SELECT teller.create_asset('USD', 2);
	SELECT teller.open_account(1, 1, 'USD', 'world', min_balance => NULL);
	SELECT teller.open_account(1, 2, 'USD', 'bank_mirror', min_balance => NULL);
	CREATE SERVER bank FOREIGN DATA WRAPPER teller_postgres
		OPTIONS (dbname 'bank', host :'dir', port :'port');
	CREATE USER MAPPING FOR PUBLIC SERVER bank OPTIONS (user 'shop');
	SELECT teller.set_settlement_account(1, 'bank', 2);
	SQL
}
