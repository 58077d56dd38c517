# mod_finwait2 - needs GNU make; `make help` lists the targets.

APXS      ?= apxs
SANITIZE  ?=
CFLAGS    ?=
LDFLAGS   ?=
PORT      ?= 8080
MPM       ?= event
JOBS      ?= 2
AVAILABLE ?= /etc/apache2/mods-available
export APXS PORT MPM

# The module is named after its first source, so the front door comes first.
SOURCES := mod_finwait2.c $(sort $(wildcard src/*.c))
HEADERS := $(sort $(wildcard src/*.h))
MODULE  := .libs/mod_finwait2.so

# The rooms that know nothing of httpd are tested in programs of their own.
PLAIN   := policy sockdiag history counters clients snapshot closer report \
           advice
ROOMS   := $(sort $(wildcard $(PLAIN:%=src/fw2_%.c) $(PLAIN:%=src/fw2_%_*.c)))
UNITS   := $(patsubst t/%.c,build/%,$(wildcard t/unit/*.c))

# A hook takes what httpd gives it: hence -Wno-unused-parameter.
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wformat=2 \
        -Wno-unused-parameter
SAN  := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer \
                         -fno-sanitize-recover=undefined -O1)
CC_FLAGS := -Isrc $(WARN) $(SAN) $(CFLAGS)
LD_FLAGS := $(SAN) $(LDFLAGS)

# Only expanded once apxs is known to be there.
APR_FLAGS   = $(shell apr-1-config --includes --cppflags)
HTTPD_FLAGS = $(APR_FLAGS) -I$(shell $(APXS) -q INCLUDEDIR)

LINTERS := lint-format lint-warnings lint-tidy lint-cppcheck lint-scripts
.PHONY: all run demo test check bench lint $(LINTERS)
.PHONY: install uninstall clean help FORCE
.DELETE_ON_ERROR:

all: $(MODULE) ## build the module (SANITIZE=address,undefined or thread)

# httpd loads all modules into one symbol space: only the module record shows.
# apxs litters beside its sources; all but the module itself is swept away.
$(MODULE): $(SOURCES) $(HEADERS) Makefile build/flags
	@echo '$(APXS): $(MODULE) $(SAN)'
	@$(APXS) -c $(CC_FLAGS:%=-Wc,%) $(LD_FLAGS:%=-Wl,%) \
	    '-Wl,-export-symbols-regex ^finwait2_module$$' $(SOURCES) \
	    > build/apxs.log 2>&1 || { cat build/apxs.log; exit 1; }
	@grep -A 3 'warning:' build/apxs.log || :
	@rm -rf *.la *.lo *.slo *.o src/*.lo src/*.slo src/*.o src/.libs
	@rm -f .libs/*.o .libs/*.la .libs/*.lai .libs/*.exp .libs/*.ver

build/unit/%: t/unit/%.c $(wildcard t/unit/*.h) $(ROOMS) $(HEADERS) build/flags
	@mkdir -p $(@D)
	@echo '$(CC): $@ $(SAN)'
	@$(CC) -g -It/unit $(CC_FLAGS) $(APR_FLAGS) -o $@ $< $(ROOMS) $(LD_FLAGS) \
	    $(shell apr-1-config --link-ld --libs)

# Changes only when the flags do, and then everything is built again.
build/flags: FORCE
	@mkdir -p build
	@echo '$(APXS) $(CC) $(CC_FLAGS) $(LD_FLAGS) $(SOURCES)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

run: ## install what is missing, build, serve on PORT until Ctrl-C
	@t/setup build
	@$(MAKE) --no-print-directory all
	@t/run

demo: ## half-closed connections live and die, beside what ss says
	@t/setup build demo
	@$(MAKE) --no-print-directory all
	@perl -It/lib t/demo.pl

test: ## install, build, run every test (SANITIZE, JOBS, MPMS)
	@t/setup build test
	@$(MAKE) --no-print-directory check

check: $(MODULE) $(UNITS) ## build, run the tests (TESTS=t/unit.t for one)
	@prove --jobs $(JOBS) --timer -It/lib $(TESTS)

# As a rule the longest have the highest numbers: who begins with those is not
# left alone with one in the end.
TESTS ?= $(shell ls -r t/*.t)

bench: $(MODULE) ## measure against httpd alone; PARTS= picks parts
	@t/setup build test
	@APXS=$(APXS) perl -It/lib t/bench/run --out build/benchmarks.md $(PARTS)

# Silent when all is well; what fails says why. `make -k lint` says it all.
quietly = @out=$$($(1) 2>&1) || { echo "$$out"; exit 1; }

lint: ## formatting, static analysis, syntax; silent on success
	@t/setup build lint
	@$(MAKE) --no-print-directory $(LINTERS)

lint-format:
	$(call quietly,clang-format --dry-run -Werror \
	    $(SOURCES) $(HEADERS) $(wildcard t/unit/*.[ch]))
lint-warnings:
	$(call quietly,for f in $(SOURCES); do $(CC) -fsyntax-only -Werror \
	    -O2 $(CC_FLAGS) $(HTTPD_FLAGS) $$f || exit 1; done)
lint-tidy:
	$(call quietly,printf '%s\n' $(SOURCES) | xargs -P $(JOBS) -I '{}' \
	    clang-tidy --quiet --warnings-as-errors='*' '{}' -- \
	    -Isrc $(HTTPD_FLAGS))
lint-cppcheck:
	$(call quietly,cppcheck --quiet --error-exitcode=1 --inline-suppr \
	    --enable=warning --enable=performance --enable=portability \
	    --std=c11 -Isrc $(SOURCES))
lint-scripts:
	$(call quietly,sh -n t/setup && sh -n t/run && bash -n .ci/run)
	$(call quietly,for f in t/*.t t/*.pl t/lib/*.pm; do \
	    perl -It/lib -wc $$f || exit 1; done)

install: $(MODULE) ## install for a2enmod, which stays yours to call
	install -D -m 644 $(MODULE) \
	    $(DESTDIR)$(shell $(APXS) -q LIBEXECDIR)/mod_finwait2.so
	install -D -m 644 -t $(DESTDIR)$(AVAILABLE) \
	    conf/finwait2.load conf/finwait2.conf

uninstall: ## take out again what install put in
	rm -f $(DESTDIR)$(shell $(APXS) -q LIBEXECDIR)/mod_finwait2.so \
	    $(DESTDIR)$(AVAILABLE)/finwait2.load \
	    $(DESTDIR)$(AVAILABLE)/finwait2.conf

clean: ## remove what was built
	rm -rf .libs build src/.libs
	rm -f *.la *.lo *.slo *.o src/*.lo src/*.slo src/*.o

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
