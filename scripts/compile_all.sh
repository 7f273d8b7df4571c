#!/usr/bin/env bash
# Compile the library against the headers of other PostgreSQL versions, with
# every warning as an error.
#
#   scripts/compile_all.sh [VERSION...]      default: 15 17 18
#
# Headers that this machine does not have come from Debian's newer suites, from
# the mirror that its apt is configured with, into a cache in /var/tmp; no
# package of those suites is installed.  Status 75: no mirror could be reached,
# nothing was compiled.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

SUITES="trixie forky sid"
CACHE=/var/tmp/pg_teller-headers.$(id -u)
NOT_REACHED=75

# apt of its own: other sources, other lists, nothing shared with the machine.
apt_aside()
{
	local command=$1
	shift
	apt-get -q "$command" \
		-o Dir::State="$CACHE/state" -o Dir::Cache="$CACHE/cache" \
		-o Dir::State::status="$CACHE/state/status" \
		-o Dir::Etc::sourcelist="$CACHE/sources.list" \
		-o Dir::Etc::sourceparts="$CACHE/none" \
		-o Dir::Etc::preferencesparts="$CACHE/none" \
		-o APT::Sandbox::User="$(id -un)" -o APT::Default-Release= \
		-o Acquire::Languages=none -o Acquire::Check-Valid-Until=false \
		-o Acquire::Check-Date=false -o Acquire::Retries=1 \
		-o APT::Update::Error-Mode=any "$@"
}

# The repositories that apt of this machine reads, each once, Debian's own
# (they can tell only after an update) before the others.
mirrors()
{
	apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
		grep -v -- -security | sort -u | sed -n 's/^Debian //p'
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
		grep -v -- -security | sort -u
}

# Those headers were configured with a newer C library, which has strlcpy and
# strlcat.  This machine's configure would have said 0.
as_if_configured_here()
{
	sed -i -E 's/^(#define HAVE_DECL_STRLC(PY|AT)) 1$/\1 0/' \
		"$CACHE/$1/usr/include/postgresql/$1/server/pg_config.h"
}

# headers VERSION: see that $CACHE/VERSION has them.
headers()
{
	local version=$1 suite mirror reached=1 deb
	[ ! -f "$CACHE/$version/complete" ] || return 0
	for suite in $SUITES; do
		while IFS= read -r mirror; do
			say "deb $mirror $suite main" >"$CACHE/sources.list"
			apt_aside update >"$CACHE/log" 2>&1 || continue
			reached=0
			rm -rf "${CACHE:?}/debs" "${CACHE:?}/$version"
			mkdir "$CACHE/debs" "$CACHE/$version"
			(cd "$CACHE/debs" &&
				apt_aside download "postgresql-server-dev-$version" libpq-dev \
					>>"$CACHE/log" 2>&1) || break
			for deb in "$CACHE"/debs/*.deb; do
				dpkg -x "$deb" "$CACHE/$version" || return 1
			done
			as_if_configured_here "$version"
			touch "$CACHE/$version/complete"
			return 0
		done < <(mirrors | awk '!seen[$0]++')
	done
	if [ "$reached" != 0 ]; then
		tail -n 3 "$CACHE/log"
		say "PostgreSQL $version: no mirror with ${SUITES// /, } could be reached"
		return $NOT_REACHED
	fi
	say "PostgreSQL $version: its headers are in none of ${SUITES// /, }"
	return 1
}

# Flags: those PGXS gives on this machine, which are PostgreSQL's own and the
# Makefile's, with the include directories of the other version in front.
compile()
{
	local version=$1 include=$2 file flags=() objects=$WORK/objects failed=0
	rm -rf "$objects"
	mkdir "$objects"
	eval "flags=($(make -s -C "$WORK/src" -f "$WORK/flags.mk" flags))"
	[ ${#flags[@]} -gt 0 ] || die "cannot read the flags from the Makefile"
	for file in "$WORK"/src/src/*.c "$WORK"/src/src/http/*.c; do
		gcc -I"$WORK/src/src" -I"$include/$version/server" \
			-I"$include/internal" -I"$include" "${flags[@]}" -fPIC \
			-c -o "$objects/$(basename "$file" .c).o" "$file" || failed=1
	done
	return $failed
}

need_postgres
begin
copy_source "$WORK/src"
chown -R "$(id -un)" "$WORK/src"
[ -d "$CACHE" ] || mkdir -m 700 "$CACHE"
[ -O "$CACHE" ] && [ ! -L "$CACHE" ] || die "$CACHE belongs to somebody else"
mkdir -p "$CACHE/state/lists/partial" "$CACHE/cache/archives/partial" \
	"$CACHE/none"
touch "$CACHE/state/status"
cat >"$WORK/flags.mk" <<'MAKE'
include Makefile
flags:
	$(info $(CFLAGS) $(patsubst -I%,,$(CPPFLAGS)))@:
MAKE

status=0
[ $# -gt 0 ] || set -- 15 17 18
for version in "$@"; do
	if [ -f "/usr/include/postgresql/$version/server/postgres.h" ]; then
		include=/usr/include/postgresql
	else
		headers "$version"
		missing=$?
		if [ $missing != 0 ]; then
			[ $status = 1 ] || status=$missing
			continue
		fi
		include=$CACHE/$version/usr/include/postgresql
	fi
	if compile "$version" "$include"; then
		say "ok - PostgreSQL $version: $(sed -n 's/^#define PG_VERSION "\(.*\)"/\1/p' \
			"$include/$version/server/pg_config.h"), no warning"
	else
		say "not ok - PostgreSQL $version"
		status=1
	fi
done
exit $status
