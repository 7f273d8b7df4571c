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
	feed seal operation remote worker stats verify verify_limits verify_feed verify_history \
	verify_operations verify_quick grants
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

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Hidden symbols: modules are loaded with their symbols visible to all.
override CFLAGS += -fvisibility=hidden

# The control file is the only place that knows the version.
$(OBJS): pg_teller.control $(wildcard $(srcdir)/src/*.h)

pg_teller--$(EXTVERSION).sql: $(SQL_PARTS:%=src/sql/%.sql) Makefile
	{ printf '%s\n' '\echo Use "CREATE EXTENSION pg_teller" to load this file. \quit'; \
	  cat $(SQL_PARTS:%=src/sql/%.sql); } > $@

.PHONY: test demo
test:
	scripts/test.sh

demo:
	scripts/demo.sh
