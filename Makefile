# mod_finwait2 - needs GNU make; `make help` lists the targets.

APXS      ?= apxs
SANITIZE  ?=
CFLAGS    ?=
LDFLAGS   ?=
PORT      ?= 8080
MPM       ?= event
JOBS      ?= 2
PROVE     ?= prove
export APXS PORT MPM DESTDIR LIBEXECDIR SYSCONFDIR

# The module is named after its first source, so the front door comes first.
SOURCES := mod_finwait2.c $(sort $(wildcard src/*/*.c))
HEADERS := $(sort $(wildcard src/*/*.h))
MODULE  := .libs/mod_finwait2.so

# Rooms that include no header of httpd are tested in programs of their own.
HTTPD   := config conn keepalive keeper vhosts status
ROOMS   := $(filter-out mod_finwait2.c $(foreach room,$(HTTPD), \
           $(wildcard src/*/$(room).c src/*/$(room)_*.c)),$(SOURCES))
OBJECTS := $(ROOMS:src/%.c=build/rooms/%.o)
UNITS   := $(patsubst t/%.c,build/%,$(wildcard t/unit/*.c))

# Fuzz targets: gcc builds programs that replay a corpus, clang builds fuzzers.
FUZZ    := $(filter-out replay,$(patsubst t/fuzz/%.c,%,$(wildcard t/fuzz/*.c)))
REPLAYS := $(FUZZ:%=build/fuzz/replay-%)
SECONDS ?= 60

# httpd decides the parameters of a hook: hence -Wno-unused-parameter.
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wformat=2 \
        -Wno-unused-parameter
SAN  := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer \
                         -fno-sanitize-recover=undefined -O1)
CC_FLAGS := -Isrc $(WARN) $(SAN) $(CFLAGS)
LD_FLAGS := $(SAN) $(LDFLAGS)

# These variables are expanded only after apxs was found.
APR_CONFIG  = $(shell $(APXS) -q APR_CONFIG)
APR_FLAGS   = $(shell $(APR_CONFIG) --includes --cppflags)
APR_LIBS    = $(shell $(APR_CONFIG) --link-ld --libs)
HTTPD_FLAGS = $(APR_FLAGS) -I$(shell $(APXS) -q INCLUDEDIR)

LINTERS := lint-format lint-warnings lint-tidy lint-cppcheck lint-scripts
.PHONY: all run demo test built check fuzz bench lint $(LINTERS) $(FUZZ:%=fuzz-%)
.PHONY: portability deb rpm in-deb in-rpm install uninstall clean help FORCE
.DELETE_ON_ERROR:

all: $(MODULE) ## build the module (SANITIZE=address,undefined or thread)

# httpd loads all modules into one symbol space, so only the module record is
# exported. apxs leaves temporary files beside the sources, which are removed, and
# prints libtool's commands, which are filtered out. A running httpd keeps the file
# of the old module: mv replaces the name, not the content.
$(MODULE): $(SOURCES) $(HEADERS) Makefile build/flags
	@command -v $(APXS) > /dev/null || { echo >&2 'make: there is no program' \
	    'APXS=$(APXS); set APXS to the path of apxs, a part of httpd'; exit 1; }
	@echo '$(APXS): $(MODULE) $(SAN)'
	@mkdir -p .libs build/module
	@$(APXS) -c $(CC_FLAGS:%=-Wc,%) $(LD_FLAGS:%=-Wl,%) \
	    '-Wl,-export-symbols-regex ^finwait2_module$$' \
	    -o build/module/mod_finwait2.la $(SOURCES) > build/apxs.log 2>&1 || \
	    { grep -v -e 'libtool --' -e '^apxs:' build/apxs.log; exit 1; }
	@grep -A 3 'warning:' build/apxs.log || :
	@rm -rf *.lo *.slo *.o .libs/*.o src/*/*.lo src/*/*.slo src/*/*.o src/*/.libs
	@mv -f build/module/.libs/mod_finwait2.so $@

build/rooms/%.o: src/%.c $(HEADERS) build/flags
	@mkdir -p $(@D)
	@$(CC) -g $(CC_FLAGS) $(APR_FLAGS) -c -o $@ $<

build/unit/%: t/unit/%.c $(wildcard t/unit/*.h) $(OBJECTS)
	@mkdir -p $(@D)
	@echo '$(CC): $@ $(SAN)'
	@$(CC) -g -It/unit $(CC_FLAGS) $(APR_FLAGS) -o $@ $< $(OBJECTS) $(LD_FLAGS) \
	    $(APR_LIBS)

build/fuzz/replay-%: t/fuzz/%.c t/fuzz/replay.c $(wildcard t/fuzz/*.h) \
                     t/unit/tap.h $(OBJECTS)
	@mkdir -p $(@D)
	@echo '$(CC): $@ $(SAN)'
	@$(CC) -g -It/fuzz -It/unit $(CC_FLAGS) $(APR_FLAGS) -o $@ \
	    $< t/fuzz/replay.c $(OBJECTS) $(LD_FLAGS) \
	    $(APR_LIBS)

build/fuzz/libfuzzer-%: t/fuzz/%.c $(wildcard t/fuzz/*.h) $(ROOMS) $(HEADERS)
	@mkdir -p $(@D)
	@echo 'clang: $@'
	@clang -g -O1 -fsanitize=fuzzer,address,undefined \
	    -fno-sanitize-recover=all -fno-omit-frame-pointer -Isrc -It/fuzz \
	    $(APR_FLAGS) -o $@ $< $(ROOMS) $(APR_LIBS)

# This file changes only with the flags, and then everything is built again.
build/flags: FORCE
	@mkdir -p build
	@echo '$(APXS) $(CC) $(CC_FLAGS) $(LD_FLAGS) $(SOURCES)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# Two builds at the same time in one folder would overwrite each other's files.
alone = @mkdir -p build && flock build

run: ## install what is missing, build, serve on PORT until Ctrl-C
	@t/run check
	$(alone) t/setup build
	$(alone) $(MAKE) --no-print-directory all
	@t/run

demo: ## show half-closed connections come and go, beside the output of ss
	$(alone) t/setup build demo
	$(alone) $(MAKE) --no-print-directory all
	@perl -It/lib t/demo.pl

test: ## install, build, run every test (SANITIZE, JOBS, MPMS)
	$(alone) t/setup build deb rpm test
	$(alone) $(MAKE) --no-print-directory built
	@$(MAKE) --no-print-directory check

.SECONDARY: $(OBJECTS)

built: $(MODULE) $(UNITS) $(REPLAYS)

check: built ## build, run TESTS (t/unit.t for one)
	@$(PROVE) --jobs $(JOBS) --timer -It/lib $(TESTS)

# The longest tests mostly have the highest numbers, so they run first: no long
# test then runs alone at the end.
TESTS ?= $(shell ls -r t/*.t)

fuzz: ## fuzz each parser of untrusted bytes for SECONDS, with clang
	@t/setup build fuzz
	@$(MAKE) --no-print-directory $(FUZZ:%=fuzz-%)

# libFuzzer writes new inputs to the first folder; the corpus in t/ stays unchanged.
$(FUZZ:%=fuzz-%): fuzz-%: build/fuzz/libfuzzer-%
	@mkdir -p build/fuzz/corpus/$*
	@build/fuzz/libfuzzer-$* -max_total_time=$(SECONDS) \
	    -print_final_stats=1 -artifact_prefix=build/fuzz/$*- \
	    build/fuzz/corpus/$* t/fuzz/corpus/$*

bench: $(MODULE) ## measure against httpd alone; PARTS= picks parts
	@t/setup build test
	@APXS=$(APXS) perl -It/lib t/bench/run --out build/benchmarks.md $(PARTS)

# Print the output of a command only if it fails. `make -k lint` runs all linters.
quietly = @out=$$($(1) 2>&1) || { echo "$$out"; exit 1; }

lint: ## formatting, static analysis, syntax; silent on success
	@t/setup build lint
	@$(MAKE) --no-print-directory $(LINTERS)

lint-format:
	$(call quietly,clang-format --dry-run -Werror \
	    $(SOURCES) $(HEADERS) $(wildcard t/unit/*.[ch] t/fuzz/*.[ch]))
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
	$(call quietly,sh -n t/setup && sh -n t/run && sh -n conf/install && bash -n .ci/run)
	$(call quietly,for f in t/*.t t/*.pl t/lib/*.pm; do \
	    perl -It/lib -wc $$f || exit 1; done)

# Compile with other compilers, another C library and for 32 bits, without linking.
# musl has no httpd here, so it compiles only the rooms without httpd's headers;
# musl's headers go before glibc's. clang warns about APR_OFFSETOF, and about tables
# that end in an empty row.
PORTABLE := -std=gnu11 -O1 -fsyntax-only -Isrc -Werror \
            -Werror=implicit-function-declaration $(WARN)
CLANG    := -Wno-null-pointer-subtraction -Wno-missing-field-initializers
GLIBC    := -idirafter /usr/include -idirafter /usr/include/$(shell \
            $(CC) -dumpmachine)
compile  = $(call quietly,printf '%s\n' $(3) | xargs -P $(JOBS) -I '{}' \
           $(1) $(PORTABLE) $(2) $(APR_FLAGS) '{}')

portability: ## other compilers, musl and 32 bits; silent on success
	$(alone) t/setup build lint portability
	$(call compile,gcc,$(HTTPD_FLAGS),$(SOURCES))
	$(call compile,clang,$(CLANG) $(HTTPD_FLAGS),$(SOURCES))
	$(call compile,musl-gcc,$(GLIBC),$(ROOMS))
	$(call compile,gcc,-m32,$(ROOMS))

# A package is built from a release, in a folder of its own for the files that its
# tools leave. rpm does not know the packages of dpkg: hence --nodeps.
RELEASE   = mod_finwait2-$(shell sed -n 's/.*FW2_VERSION "\(.*\)"/\1/p' \
            src/base/version.h)
RELEASED := $(SOURCES) $(HEADERS) CHANGES LICENSE Makefile README.md conf \
            debian docs t
TARBALL   = build/$(RELEASE).tar.gz
build-deb = tar -xzf $(TARBALL) -C build/deb && cd build/deb/$(RELEASE) && \
            MAKEFLAGS= dpkg-buildpackage -b -us -uc
built-deb = libapache2-mod-finwait2_*.deb
build-rpm = MAKEFLAGS= rpmbuild -tb --nodeps $(TARBALL) \
            --define '_topdir $(CURDIR)/build/rpm' \
            --define "_httpd_apxs $$(command -v $(APXS))"
built-rpm = RPMS/*/mod_finwait2-*.rpm

deb: ## build Debian's package, build/libapache2-mod-finwait2_*.deb
	$(alone) t/setup build deb
	$(alone) $(MAKE) --no-print-directory in-deb

rpm: ## build an RPM for the httpd of APXS, build/mod_finwait2-*.rpm
	$(alone) t/setup build rpm
	$(alone) $(MAKE) --no-print-directory in-rpm

in-deb in-rpm: in-%:
	@rm -rf build/$* build/$(notdir $(built-$*))
	@mkdir build/$*
	@tar -czf $(TARBALL) --transform 's,^,$(RELEASE)/,' $(RELEASED)
	$(call quietly,$(build-$*))
	@mv build/$*/$(built-$*) build
	@ls build/$(notdir $(built-$*))

install: $(MODULE) ## put the module into httpd's folders (DESTDIR)
	@MODULE=$(MODULE) conf/install

uninstall: ## disable and remove the module, if httpd starts without it
	@MODULE=$(MODULE) conf/install uninstall

clean: ## remove all built files
	rm -rf .libs build src/*/.libs
	rm -f *.la *.lo *.slo *.o src/*/*.lo src/*/*.slo src/*/*.o

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
