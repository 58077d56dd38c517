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

# Rooms that know nothing of httpd are tested in programs of their own.
HTTPD   := config conn keepalive keeper vhosts status
ROOMS   := $(filter-out mod_finwait2.c $(foreach room,$(HTTPD), \
           $(wildcard src/*/$(room).c src/*/$(room)_*.c)),$(SOURCES))
OBJECTS := $(ROOMS:src/%.c=build/rooms/%.o)
UNITS   := $(patsubst t/%.c,build/%,$(wildcard t/unit/*.c))

# Fuzz targets: gcc builds programs that replay a corpus, clang builds fuzzers.
FUZZ    := $(filter-out replay,$(patsubst t/fuzz/%.c,%,$(wildcard t/fuzz/*.c)))
REPLAYS := $(FUZZ:%=build/fuzz/replay-%)
SECONDS ?= 60

# A hook takes what httpd gives it: hence -Wno-unused-parameter.
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wformat=2 \
        -Wno-unused-parameter
SAN  := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer \
                         -fno-sanitize-recover=undefined -O1)
CC_FLAGS := -Isrc $(WARN) $(SAN) $(CFLAGS)
LD_FLAGS := $(SAN) $(LDFLAGS)

# Only expanded once apxs is known to be there.
APR_CONFIG  = $(shell $(APXS) -q APR_CONFIG)
APR_FLAGS   = $(shell $(APR_CONFIG) --includes --cppflags)
APR_LIBS    = $(shell $(APR_CONFIG) --link-ld --libs)
HTTPD_FLAGS = $(APR_FLAGS) -I$(shell $(APXS) -q INCLUDEDIR)

LINTERS := lint-format lint-warnings lint-tidy lint-cppcheck lint-scripts
.PHONY: all run demo test built check fuzz bench lint $(LINTERS) $(FUZZ:%=fuzz-%)
.PHONY: portability deb rpm in-deb in-rpm install uninstall clean help FORCE
.DELETE_ON_ERROR:

all: $(MODULE) ## build the module (SANITIZE=address,undefined or thread)

# httpd loads all modules into one symbol space: only the module record shows.
# apxs litters beside its sources, all of which is swept away, and speaks as
# libtool, which is left out. An httpd that runs with the module of before keeps
# its file: the new one only takes the name.
$(MODULE): $(SOURCES) $(HEADERS) Makefile build/flags
	@command -v $(APXS) > /dev/null || { echo >&2 'make: APXS=$(APXS) is no' \
	    'program; give the path of apxs, which comes with httpd'; exit 1; }
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

# Changes only when the flags do, and then everything is built again.
build/flags: FORCE
	@mkdir -p build
	@echo '$(APXS) $(CC) $(CC_FLAGS) $(LD_FLAGS) $(SOURCES)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# Two that are called at once in one folder would build into each other's files.
alone = @mkdir -p build && flock build

run: ## install what is missing, build, serve on PORT until Ctrl-C
	@t/run check
	$(alone) t/setup build
	$(alone) $(MAKE) --no-print-directory all
	@t/run

demo: ## half-closed connections live and die, beside what ss says
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

# As a rule the longest have the highest numbers: who begins with those is not
# left alone with one in the end.
TESTS ?= $(shell ls -r t/*.t)

fuzz: ## fuzz each reader of foreign bytes for SECONDS, with clang
	@t/setup build fuzz
	@$(MAKE) --no-print-directory $(FUZZ:%=fuzz-%)

# New inputs go to the first folder, so the corpus in t/ stays as it is.
$(FUZZ:%=fuzz-%): fuzz-%: build/fuzz/libfuzzer-%
	@mkdir -p build/fuzz/corpus/$*
	@build/fuzz/libfuzzer-$* -max_total_time=$(SECONDS) \
	    -print_final_stats=1 -artifact_prefix=build/fuzz/$*- \
	    build/fuzz/corpus/$* t/fuzz/corpus/$*

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

# Other compilers, another C library and 32 bits: nothing is linked. musl has no
# httpd here, so it sees the rooms that know none; its headers go before glibc's.
# APR_OFFSETOF, and tables that end in an empty row, are not to clang's liking.
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

# A package is built from a release, in a folder where its tools may leave what
# they like. rpm does not know what dpkg has installed: hence --nodeps.
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

uninstall: ## disable it and take it out, if httpd starts without it
	@MODULE=$(MODULE) conf/install uninstall

clean: ## remove what was built
	rm -rf .libs build src/*/.libs
	rm -f *.la *.lo *.slo *.o src/*/*.lo src/*/*.slo src/*/*.o

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
