# convd. `make run` and `make test` set everything up on a fresh Debian 12; `make help` lists the rest.
#
# Variants live in folders of their own:  make VARIANT=asan check   builds under build/asan with ASan and UBSan.

ifeq ($(origin CC),default)
CC        := gcc
endif
MAKEFLAGS += -r
VARIANT   ?= release
BUILD     := $(if $(filter release,$(VARIANT)),build,build/$(VARIANT))
PYTHON    ?= /usr/bin/python3

PREFIX    ?= /usr/local
BINDIR    ?= $(PREFIX)/bin
DATADIR   ?= $(PREFIX)/share/convd
DOCDIR    ?= $(PREFIX)/share/doc/convd
UNITDIR   ?= $(PREFIX)/lib/systemd/system
MANDIR    ?= $(PREFIX)/share/man
BASHDIR   ?= $(PREFIX)/share/bash-completion/completions

PACKAGES  := libmicrohttpd libcjson sqlite3 spng libturbojpeg zlib nettle libcurl libsystemd gnutls libutf8proc

# Each command as one short line; make V=1 shows them whole.
ifeq ($(V),1)
say        =
else
say        = @printf '  %-4s %s\n' '$(1)' '$@';
endif

comma := ,

# ---- flags ----
# Same bits everywhere: no contraction, no fast-math, in every object that is linked.
WARN      := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion -Wformat=2 -Wstrict-prototypes \
             -Wmissing-prototypes -Wwrite-strings -Wcast-qual -Wundef -Wvla -Werror
OPT_release := -O2 -g
OPT_asan  := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# libFuzzer's counters beside the sanitizers.
OPT_fuzz  := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan  := -O1 -g -fsanitize=thread
OPT_clang := -O2 -g
OPT_debug := -O0 -g3
OPT_aarch64 := -O2 -g
ifneq ($(filter clang fuzz,$(VARIANT)),)
CC        := clang
endif
HARDEN    := $(if $(filter release clang,$(VARIANT)),-D_FORTIFY_SOURCE=2 -fstack-protector-strong,)
CFLAGS    ?=
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -I. $(WARN) $(OPT_$(VARIANT)) $(HARDEN) -fPIE -pthread -ffp-contract=off -fno-math-errno $(CFLAGS)
LDFLAGS   ?=
ALL_LDFLAGS = -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(filter -fsanitize% -fno-sanitize%,$(OPT_$(VARIANT))) $(LDFLAGS)
PKG       := pkg-config
# Cross-built for arm64, with libraries that scripts/deps-aarch64 unpacks; the tests run under qemu.
ifeq ($(VARIANT),aarch64)
SYSROOT   := build/sysroot-aarch64
CC        := aarch64-linux-gnu-gcc
AR        := aarch64-linux-gnu-ar
PKG       := PKG_CONFIG_SYSROOT_DIR=$(SYSROOT) PKG_CONFIG_LIBDIR=$(SYSROOT)/usr/lib/aarch64-linux-gnu/pkgconfig \
             PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 pkg-config
ALL_CFLAGS += -isystem $(SYSROOT)/usr/include
RUN       := qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=$(CURDIR)/$(SYSROOT)/usr/lib/aarch64-linux-gnu
endif
CORE_LIBS  = $(shell $(PKG) --libs nettle)
STORE_LIBS = $(shell $(PKG) --libs sqlite3) $(CORE_LIBS)
# Without optimization sqrtf() is a call.
SERVER_LIBS = $(shell $(PKG) --libs $(PACKAGES)) $(if $(filter debug,$(VARIANT)),-lm)
CHECK_LIBS = $(shell $(PKG) --libs check)
PKG_CFLAGS = $(shell $(PKG) --cflags $(PACKAGES))

# ---- the arithmetic: one source, compiled once per instruction set ----
MACHINE   := $(shell $(CC) -dumpmachine)
ifneq ($(filter x86_64%,$(MACHINE)),)
ARITHS    := x86_64_v4 x86_64_v3 portable
else ifneq ($(filter aarch64%,$(MACHINE)),)
ARITHS    := aarch64 portable
else
ARITHS    := portable
endif
ARCH_x86_64_v4 := -march=x86-64-v4 -mprefer-vector-width=512
ARCH_x86_64_v3 := -march=x86-64-v3
ARCH_aarch64   :=
ARCH_portable  :=
NAME_x86_64_v4 := x86-64-v4
NAME_x86_64_v3 := x86-64-v3
NAME_aarch64   := aarch64
NAME_portable  := portable
# The arithmetic is always optimized: at -O0 its lanes would be a hundred times slower, and the bits are the same.
# Under ASan and UBSan, -O3 would be minutes of compiling.
OPT_ARITH := $(if $(filter asan fuzz,$(VARIANT)),-O1,-O3)

# ---- sources ----
CORE_SRC   := $(filter-out core/arith/arith.c,$(wildcard core/*.c core/*/*.c))
STORE_SRC  := $(wildcard store/*.c store/*/*.c)
SERVER_SRC := $(filter-out server/main.c,$(wildcard server/*.c server/*/*.c))
CORE_OBJ   := $(CORE_SRC:%.c=$(BUILD)/%.o) $(ARITHS:%=$(BUILD)/core/arith_%.o)
STORE_OBJ  := $(STORE_SRC:%.c=$(BUILD)/%.o) $(BUILD)/store/schema.o
SERVER_OBJ := $(SERVER_SRC:%.c=$(BUILD)/%.o) $(BUILD)/server/openapi.o $(BUILD)/server/web_files.o
WEB_FILES  := $(sort $(wildcard web/*.html web/*.css web/*.js web/*.svg))
SCHEMA_SQL := $(sort $(wildcard schema/*.sql))

CORE_TESTS   := $(patsubst tests/core/%.c,$(BUILD)/tests/core/%,$(wildcard tests/core/test_*.c))
STORE_TESTS  := $(patsubst tests/store/%.c,$(BUILD)/tests/store/%,$(wildcard tests/store/test_*.c))
SERVER_TESTS := $(patsubst tests/server/%.c,$(BUILD)/tests/server/%,$(wildcard tests/server/test_*.c))
FUZZ_TESTS   := $(BUILD)/tests/fuzz/test_corpus
TESTS        := $(CORE_TESTS) $(STORE_TESTS) $(SERVER_TESTS) $(FUZZ_TESTS)

.PHONY: all
all: $(BUILD)/convd

$(BUILD)/convd: $(BUILD)/server/main.o $(BUILD)/libserver.a $(BUILD)/libstore.a $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(SERVER_LIBS)

$(BUILD)/libcore.a: $(CORE_OBJ)
$(BUILD)/libstore.a: $(STORE_OBJ)
$(BUILD)/libserver.a: $(SERVER_OBJ)
$(BUILD)/lib%.a:
	@rm -f $@
	$(call say,AR) $(AR) qcs $@ $^

# Only for these: the pattern alone would also make choose.o from arith.c.
$(ARITHS:%=$(BUILD)/core/arith_%.o): $(BUILD)/core/arith_%.o: core/arith/arith.c
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(ALL_CFLAGS) $(OPT_ARITH) $(ARCH_$*) -DARITH_SYMBOL=arith_$* '-DARITH_NAME="$(NAME_$*)"' -MMD -MP -c -o $@ $<

$(BUILD)/core/arith/choose.o: ALL_CFLAGS += $(ARITHS:%=-DHAVE_arith_%=1)

$(BUILD)/server/%.o: ALL_CFLAGS += $(PKG_CFLAGS)

# The SQL of every migration, as one C array of strings: the store needs no file at run time.
$(BUILD)/store/schema.c: $(SCHEMA_SQL) scripts/embed-sql
	@mkdir -p $(@D)
	$(call say,SQL) scripts/embed-sql $(SCHEMA_SQL) > $@.tmp && mv $@.tmp $@
$(BUILD)/store/schema.o: $(BUILD)/store/schema.c
	$(call say,CC) $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The OpenAPI document likewise: GET /openapi.json.
$(BUILD)/server/openapi.c: schema/openapi.json scripts/embed-file
	@mkdir -p $(@D)
	$(call say,FILE) scripts/embed-file openapi_json server/routes/openapi.h $< > $@.tmp && mv $@.tmp $@
$(BUILD)/server/openapi.o: $(BUILD)/server/openapi.c
	$(call say,CC) $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# And the page.
$(BUILD)/server/web_files.c: $(WEB_FILES) scripts/embed-web
	@mkdir -p $(@D)
	$(call say,WEB) scripts/embed-web $(WEB_FILES) > $@.tmp && mv $@.tmp $@
$(BUILD)/server/web_files.o: $(BUILD)/server/web_files.c
	$(call say,CC) $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# A convd whose arithmetic is another, in name and in bits (its multiply-adds are not fused): what the tests of upgrades upgrade to.
OTHER       := $(BUILD)/other
OTHER_FLAGS  = '-DARITHMETIC_VERSION="convd-other"' -include tests/other_arithmetic.h
OTHER_SRC   := $(shell grep -l ARITHMETIC_VERSION $(wildcard core/*.c core/*/*.c store/*.c store/*/*.c server/*.c server/*/*.c))
OTHER_OBJ   := $(OTHER_SRC:%.c=$(OTHER)/%.o) $(ARITHS:%=$(OTHER)/core/arith_%.o)
$(OTHER_SRC:%.c=$(OTHER)/%.o): ALL_CFLAGS += $(PKG_CFLAGS)
$(OTHER_SRC:%.c=$(OTHER)/%.o): $(OTHER)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(ALL_CFLAGS) $(OTHER_FLAGS) -MMD -MP -c -o $@ $<
$(ARITHS:%=$(OTHER)/core/arith_%.o): $(OTHER)/core/arith_%.o: core/arith/arith.c
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(ALL_CFLAGS) -O1 $(ARCH_$*) $(OTHER_FLAGS) -DARITH_SYMBOL=arith_$* '-DARITH_NAME="$(NAME_$*)"' -MMD -MP -c -o $@ $<
$(OTHER)/convd: $(OTHER_OBJ) $(BUILD)/server/main.o $(BUILD)/libserver.a $(BUILD)/libstore.a $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $(OTHER_OBJ) $(BUILD)/server/main.o $(filter-out $(OTHER_OBJ:$(OTHER)/%=$(BUILD)/%),$(SERVER_OBJ) $(STORE_OBJ) $(CORE_OBJ)) $(SERVER_LIBS)
.PHONY: other
other: $(OTHER)/convd

# ---- tests: each layer's link only that layer and those below; that they link is half of the proof ----
$(CORE_TESTS): $(BUILD)/tests/core/%: $(BUILD)/tests/core/%.o $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libcore.a $(CORE_LIBS) $(CHECK_LIBS) -lm
$(STORE_TESTS): $(BUILD)/tests/store/%: $(BUILD)/tests/store/%.o $(BUILD)/libstore.a $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libstore.a $(BUILD)/libcore.a $(STORE_LIBS) $(CHECK_LIBS) -lm
$(BUILD)/tests/store/test_power: $(BUILD)/tests/store/power_disk.o
$(BUILD)/tests/store/test_faults $(BUILD)/tests/store/test_edit_faults $(BUILD)/tests/server/test_rebuild: $(BUILD)/tests/store/fault_disk.o
# Memory that runs out. Sanitizers own malloc: there the calls of our own objects are redirected by the linker.
OOM_TESTS := $(BUILD)/tests/store/test_memory $(BUILD)/tests/server/test_memory
OOM_WRAP  := malloc calloc realloc aligned_alloc strdup
$(OOM_TESTS): $(BUILD)/tests/oom.o
$(OOM_TESTS): ALL_LDFLAGS += $(if $(filter asan tsan,$(VARIANT)),$(OOM_WRAP:%=-Wl$(comma)--wrap=%))
$(SERVER_TESTS): $(BUILD)/tests/server/%: $(BUILD)/tests/server/%.o $(BUILD)/libserver.a $(BUILD)/libstore.a $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libserver.a $(BUILD)/libstore.a $(BUILD)/libcore.a $(SERVER_LIBS) $(CHECK_LIBS) -lm
# The fuzz targets once more, under names of their own, in one program that tries the inputs in the tree.
FUZZ_SRC   := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_NAMES := $(FUZZ_SRC:tests/fuzz/fuzz_%.c=%)
CORPUS_OBJ := $(FUZZ_NAMES:%=$(BUILD)/tests/fuzz/corpus_%.o)
$(CORPUS_OBJ): $(BUILD)/tests/fuzz/corpus_%.o: tests/fuzz/fuzz_%.c
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(ALL_CFLAGS) -DLLVMFuzzerTestOneInput=fuzz_$* -MMD -MP -c -o $@ $<
$(BUILD)/tests/fuzz/test_corpus.o: ALL_CFLAGS += '-DFUZZ_TARGETS=$(patsubst %,X(%),$(FUZZ_NAMES))'
$(FUZZ_TESTS): $(BUILD)/tests/fuzz/test_corpus.o $(CORPUS_OBJ) $(BUILD)/libserver.a $(BUILD)/libstore.a $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libserver.a $(BUILD)/libstore.a $(BUILD)/libcore.a $(SERVER_LIBS) $(CHECK_LIBS) -lm

.PHONY: tests
tests: $(TESTS) ## build the C tests of VARIANT without running them
# A target for each run, so that make -j2 --output-sync runs two at a time and -k goes on after one has failed.
RUNS := $(TESTS:%=%.run)
.PHONY: $(RUNS)
$(RUNS): %.run: %
	@echo "== $<"; CK_DEFAULT_TIMEOUT=60 CONVD=$(BUILD)/convd $(RUN) $<
$(SERVER_TESTS:%=%.run): $(BUILD)/convd

.PHONY: check check-core check-store check-server check-fuzz check-threads
check: $(RUNS) ## run the C tests of VARIANT (release, asan, tsan, clang, debug)
check-core: $(CORE_TESTS:%=%.run)
check-store: $(STORE_TESTS:%=%.run)
check-server: $(SERVER_TESTS:%=%.run)
check-fuzz: $(FUZZ_TESTS:%=%.run)
# Those whose programs start threads, or a daemon: a source of pthread_create, of a header of something that has threads, or of
# cli_run.h. The rest of server/ is functions of their arguments; core and store start none (check-layers proves it).
THREADED_HEADERS := http/|model/|routes/|trainer/|common/logger|common/offload|common/worker_team
THREADED_TESTS   := $(patsubst %.c,$(BUILD)/%,$(shell grep -lE \
    'pthread_|cli_run\.h|"server/($(THREADED_HEADERS))' $(wildcard tests/server/test_*.c)))
check-threads: $(THREADED_TESTS:%=%.run) ## the tests of server/ that have threads: for VARIANT=tsan

.PHONY: check-web page-pictures
page-pictures: check-web ## the documents' pictures of the page, anew
	$(PYTHON) scripts/page-pictures
check-web: all ## the page in Chromium; leaves pictures in build/test/web
	CONVD=$(BUILD)/convd $(PYTHON) -m pytest -q -p no:cacheprovider tests/web

.PHONY: aarch64
aarch64: ## run core's tests on arm64, cross-built, under qemu
	scripts/deps-aarch64 build/sysroot-aarch64
	$(MAKE) VARIANT=aarch64 check-core

# ---- from nothing: what a fresh clone calls ----
.PHONY: deps
deps: ## install the Debian packages that are missing, for building and testing
	scripts/deps build test

.PHONY: run
run: ## build, train on examples/ and serve digits on 127.0.0.1:8080 (CONVD_LISTEN, CONVD_DB)
	@scripts/deps build
	@$(MAKE) --no-print-directory all
	@CONVD=$(BUILD)/convd scripts/run

.PHONY: test
test: ## everything that CI runs; make test STAGES="build check" for some of it
	@scripts/test $(STAGES)

.PHONY: test-trixie
test-trixie: all ## build, unit and end-to-end tests in a root of Debian 13 under build/trixie (as root)
	@scripts/trixie

# ---- proofs by breaking things; short forms run in `make test` ----
N ?= 10000
.PHONY: hostile-test power-test fault-test damage-test
hostile-test: all ## hostile clients, the heaviest bodies and crowds of readers, each for HOSTILE_SECONDS=20, with HOSTILE_IDLE=10000 idle ones; tells latencies
	HOSTILE_SECONDS=$${HOSTILE_SECONDS:-20} HOSTILE_IDLE=$${HOSTILE_IDLE:-10000} CONVD=$(BUILD)/convd \
	    $(PYTHON) -m pytest -q -p no:cacheprovider tests/e2e/test_hostile.py tests/e2e/test_slowhttptest.py tests/e2e/test_heavy.py tests/e2e/test_readers.py
power-test: $(BUILD)/tests/store/test_power ## N power cuts, and as many that must be caught losing (synchronous=NORMAL)
	POWER_CUTS=$(N) $<
fault-test: ## each call of the disk and each allocation fails in its turn: store, edits, trainer, HTTP; tells how many
	$(MAKE) --no-print-directory $(FAULT_TESTS:%=$(BUILD)/tests/%)
	for t in $(FAULT_TESTS); do CONVD_TEST_EXHAUSTIVE=1 $(BUILD)/tests/$$t || exit 1; done
FAULT_TESTS := store/test_faults store/test_edit_faults server/test_rebuild store/test_memory server/test_memory
damage-test: $(BUILD)/tests/store/test_damage ## every byte of a small database, and of its WAL, damaged in turn
	DAMAGE_BYTES=all $<

# libFuzzer, with ASan and UBSan, one target for each parser: tests/fuzz/README.md.
FUZZERS := $(FUZZ_SRC:%.c=$(BUILD)/%)
$(FUZZERS): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/libserver.a $(BUILD)/libstore.a $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(BUILD)/libserver.a $(BUILD)/libstore.a $(BUILD)/libcore.a $(SERVER_LIBS)
.PHONY: fuzz fuzzers crash-test soak
fuzzers: $(FUZZERS)
SECONDS ?= 600
fuzz: ## every parser under libFuzzer, each for SECONDS=600 (FUZZ="json body": only those)
	$(MAKE) --no-print-directory VARIANT=fuzz fuzzers
	$(PYTHON) tests/fuzz/run --seconds $(SECONDS) $(FUZZ)
crash-test: all ## kill -9 under random load over HTTP, compared with what was acknowledged (N=1000)
	CONVD=$(BUILD)/convd $(PYTHON) tests/crash/crash.py --kills $(if $(filter file,$(origin N)),1000,$(N)) --seed $(SEED)
SEED    ?= 1
MINUTES ?= 30
soak: all ## mixed load at full rate for MINUTES=30: memory, descriptors, latency
	CONVD=$(BUILD)/convd $(PYTHON) tests/soak/soak.py --minutes $(MINUTES)

# ---- bench: the figures of docs/figures.md, from one run; bench/NOTES.md has what was measured ----
MNIST     ?= ../shared/data/mnist
$(BUILD)/bench/bench_core: $(BUILD)/bench/bench_core.o $(BUILD)/bench/floor.o $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(CORE_LIBS)
$(BUILD)/bench/growth: $(BUILD)/bench/growth.o $(BUILD)/bench/floor.o $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(CORE_LIBS)
$(BUILD)/bench/bare: $(BUILD)/bench/bare.o $(BUILD)/libserver.a $(BUILD)/libstore.a $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(SERVER_LIBS)
.PHONY: bench
bench: all $(BUILD)/bench/bench_core $(BUILD)/bench/bare ## measure against PyTorch, a bare HTTP handler and the goals (MNIST=DIR)
	@bench/deps
	@MNIST=$(MNIST) bench/run --build $(BUILD) --out $(BUILD)/bench $(BENCH_FLAGS)

.PHONY: experiments
experiments: all ## how well it learns, by its own commands, each figure beside its goal: five minutes of one core (MNIST=DIR)
	@bench/deps python3-numpy python3-sklearn
	@MNIST=$(MNIST) bench/run --build $(BUILD) --out $(BUILD)/experiments --only learn --long

.PHONY: bench-growth
bench-growth: $(BUILD)/bench/growth ## how the cost of a multiply-add grows with the geometry
	$(BUILD)/bench/growth --json $(BUILD)/bench/growth.json

# ---- checks on the source ----
C_FILES     = $(sort $(shell find core store server tests bench -name '*.[ch]' 2>/dev/null))
SHELL_FILES = $(shell grep -lE '^\#!.*\b(ba)?sh$$' .ci/run scripts/* examples/*.sh tests/*/*.sh systemd/*/* 2>/dev/null) systemd/completion/convd.bash
ANALYZED    = -std=c11 -D_GNU_SOURCE -I. $(PKG_CFLAGS) '-DFUZZ_TARGETS=$(patsubst %,X(%),$(FUZZ_NAMES))' -DARITH_SYMBOL=arith_portable '-DARITH_NAME="portable"' $(ARITHS:%=-DHAVE_arith_%=1)

.PHONY: lint
lint: format-check check-layers check-banned check-doors check-docs check-promises shellcheck cppcheck tidy ## all checks on the source

.PHONY: format format-check
format: ## lay out every C file by .clang-format
	clang-format-14 -i $(C_FILES)
format-check: ## fail where clang-format would change something
	clang-format-14 --dry-run -Werror $(C_FILES)

.PHONY: tidy
tidy: ## clang-tidy by .clang-tidy
	printf '%s\n' $(filter-out core/err.c,$(filter %.c,$(C_FILES))) | \
	    xargs -P 2 -I FILE clang-tidy-14 --quiet FILE -- $(ANALYZED) -include scripts/tidy.h
	clang-tidy-14 --quiet core/err.c -- $(ANALYZED)

# uninitvar: cppcheck 2.10 takes the address of a variable for a read of it; clang-tidy's analyzer looks for the same.
.PHONY: cppcheck
cppcheck: ## cppcheck over core, store and server
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -j 2 \
	    --suppress=missingIncludeSystem --suppress=uninitvar -I. -DARITH_SYMBOL=arith_portable core store server

.PHONY: shellcheck
shellcheck: ## shellcheck over the scripts
	shellcheck $(SHELL_FILES)

.PHONY: check-layers check-banned check-doors check-docs check-promises
check-layers: $(CORE_OBJ) $(STORE_OBJ) $(SERVER_OBJ) $(BUILD)/server/main.o ## prove from objects and includes that each layer keeps to itself
	scripts/check-layers . $(BUILD)
check-banned: ## no function that convd does without
	scripts/check-banned
check-doors: ## each folder's door header names all files of its folder
	scripts/check-doors
check-docs: ## every path and function that docs/ names is there
	scripts/check-docs
check-promises: ## every test that docs/promises.md names is there
	scripts/check-promises

# ---- installation ----
# The manual pages are made from what the binary says of itself, so they are never of other flags than it has.
PAGES := $(BUILD)/man/convd.1 $(BUILD)/man/convd.8
$(PAGES): $(BUILD)/man/%: systemd/man/%.in $(BUILD)/convd scripts/make-man
	@mkdir -p $(@D)
	$(call say,MAN) scripts/make-man $(BUILD)/convd $< > $@.tmp && mv $@.tmp $@
.PHONY: man
man: $(PAGES) ## the manual pages: man build/man/convd.1

UNITS := convd@.service convd@.socket
.PHONY: install uninstall
install: all man ## install under $(DESTDIR)$(PREFIX)
	install -D -m 755 $(BUILD)/convd $(DESTDIR)$(BINDIR)/convd
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(DOCDIR) $(DESTDIR)$(DATADIR)/examples/digits
	for unit in $(UNITS); do \
	    sed 's|@BINDIR@|$(BINDIR)|g; s|@DOCDIR@|$(DOCDIR)|g' systemd/$$unit > $(DESTDIR)$(UNITDIR)/$$unit && \
	    chmod 644 $(DESTDIR)$(UNITDIR)/$$unit || exit 1; \
	done
	install -D -m 644 $(BUILD)/man/convd.1 $(DESTDIR)$(MANDIR)/man1/convd.1
	install -D -m 644 $(BUILD)/man/convd.8 $(DESTDIR)$(MANDIR)/man8/convd.8
	install -D -m 644 systemd/completion/convd.bash $(DESTDIR)$(BASHDIR)/convd
	install -m 644 README.md LICENSE $(DESTDIR)$(DOCDIR)
	install -D -m 644 -t $(DESTDIR)$(DOCDIR)/docs $(wildcard docs/*.md)
	install -D -m 644 -t $(DESTDIR)$(DOCDIR)/web/pictures $(wildcard web/pictures/*.png)
	install -m 644 $(wildcard examples/digits/*.*) $(DESTDIR)$(DATADIR)/examples/digits
	install -d $(DESTDIR)$(DATADIR)/examples/prometheus $(DESTDIR)$(DATADIR)/examples/grafana
	install -m 644 $(wildcard examples/prometheus/*.yml) $(DESTDIR)$(DATADIR)/examples/prometheus
	install -m 644 $(wildcard examples/grafana/*.json) $(DESTDIR)$(DATADIR)/examples/grafana
	install -m 644 examples/README.md examples/convd.sh examples/picture.py $(DESTDIR)$(DATADIR)/examples
	install -m 755 $(filter-out examples/convd.sh examples/picture.py,$(wildcard examples/*.sh examples/*.py)) $(DESTDIR)$(DATADIR)/examples
uninstall: ## remove what install put there; models and /etc/convd stay
	rm -f $(DESTDIR)$(BINDIR)/convd $(UNITS:%=$(DESTDIR)$(UNITDIR)/%) $(DESTDIR)$(BASHDIR)/convd
	rm -f $(DESTDIR)$(MANDIR)/man1/convd.1 $(DESTDIR)$(MANDIR)/man8/convd.8
	rm -rf $(DESTDIR)$(DOCDIR) $(DESTDIR)$(DATADIR)

.PHONY: deb
deb: ## a Debian package of it all, in build/deb
	@scripts/deps build deb
	@$(MAKE) --no-print-directory all man
	@mkdir -p $(BUILD)/deb && scripts/make-deb $(BUILD) $(BUILD)/deb

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: clean
clean: ## remove build/
	rm -rf build

.SECONDARY:
-include $(shell find $(BUILD) -path build/trixie -prune -o -name '*.d' -print 2>/dev/null)
