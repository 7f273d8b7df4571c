# pg_teller: plain PGXS.  `make && make install && make installcheck`.
#
# `make test` and `make demo` call the scripts, which set everything up by
# themselves on a machine that has only bash and apt.

EXTENSION = pg_teller
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" pg_teller.control)

MODULE_big = pg_teller
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))

# The install script, in the order in which its parts depend on each other.
SQL_PARTS = schema access row request ledger limits transfer post hold key reading \
	feed seal operation continuation pull reconcile remote worker stats verify_side verify verify_limits verify_feed verify_history \
	verify_operations verify_continuation verify_quick grants
DATA_built = pg_teller--$(EXTVERSION).sql

PG_CONFIG ?= pg_config
PG_CPPFLAGS = -I$(srcdir)/src $(TELLER_CPPFLAGS)
PG_CFLAGS = -Wextra -Wno-unused-parameter -Wno-missing-field-initializers \
	-Wno-sign-compare -Werror $(TELLER_CFLAGS)
EXTRA_CLEAN = pg_teller--$(EXTVERSION).sql

# One line per concept; the isolation specs are the races.
REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --load-extension=pg_teller
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=output_iso --load-extension=pg_teller

SHLIB_LINK = $(libpq)
PG_CPPFLAGS += -I$(libpq_srcdir) -DTELLER_VERSION='"$(EXTVERSION)"'

# HTTP services are called by a library of its own, which is built where
# libcurl's headers are.  CURL_CONFIG=false leaves it out.
CURL_CONFIG ?= curl-config
HTTP_OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/http/*.c)))
HTTP_LIB = $(if $(shell $(CURL_CONFIG) --checkfor 7.87.0 >/dev/null 2>&1 && echo yes),teller_http$(DLSUFFIX))
EXTRA_CLEAN += $(HTTP_OBJS) teller_http$(DLSUFFIX)

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Hidden symbols: modules are loaded with their symbols visible to all.
override CFLAGS += -fvisibility=hidden

# The control file is the only place that knows the version.
$(OBJS) $(HTTP_OBJS): pg_teller.control $(wildcard $(srcdir)/src/*.h $(srcdir)/src/http/*.h)

ifneq ($(HTTP_LIB),)
$(HTTP_OBJS): override CPPFLAGS += $(shell $(CURL_CONFIG) --cflags)

$(HTTP_LIB): $(HTTP_OBJS)
	$(CC) $(CFLAGS) $(HTTP_OBJS) $(LDFLAGS) $(LDFLAGS_SL) -shared -o $@ $(shell $(CURL_CONFIG) --libs)

all: $(HTTP_LIB)
install: install-http
.PHONY: install-http
install-http: $(HTTP_LIB) installdirs
	$(INSTALL_SHLIB) $(HTTP_LIB) '$(DESTDIR)$(pkglibdir)/$(HTTP_LIB)'
else
all: without-http
.PHONY: without-http
without-http:
	@echo "teller_http is not built: there is no libcurl 7.87 or later (curl-config); on Debian install libcurl4-openssl-dev"
endif
uninstall: uninstall-http
.PHONY: uninstall-http
uninstall-http:
	rm -f '$(DESTDIR)$(pkglibdir)/teller_http$(DLSUFFIX)'

pg_teller--$(EXTVERSION).sql: $(SQL_PARTS:%=src/sql/%.sql) Makefile
	{ printf '%s\n' '\echo Use "CREATE EXTENSION pg_teller" to load this file. \quit'; \
	  cat $(SQL_PARTS:%=src/sql/%.sql); } > $@

.PHONY: test demo simulate model
test:
	scripts/test.sh

demo:
	scripts/demo.sh

# The transition function in whole lives, from seeds: SEEDS=n, FIRST=f; SEED=n
# replays one with a trace.  See docs/proof.md.
simulate:
	@$(MAKE) -s --no-print-directory -C test/simulate run

# The Promela model of an operation; needs spin.
model:
	@test/spin/run.sh
