# tests.mk - the C tests and the page's. Each layer's link only that layer and those below: that they link is half of the proof.

CORE_TESTS   := $(patsubst tests/core/%.c,$(BUILD)/tests/core/%,$(wildcard tests/core/test_*.c))
STORE_TESTS  := $(patsubst tests/store/%.c,$(BUILD)/tests/store/%,$(wildcard tests/store/test_*.c))
SERVER_TESTS := $(patsubst tests/server/%.c,$(BUILD)/tests/server/%,$(wildcard tests/server/test_*.c))
FUZZ_TESTS   := $(BUILD)/tests/fuzz/test_corpus
TESTS        := $(CORE_TESTS) $(STORE_TESTS) $(SERVER_TESTS) $(FUZZ_TESTS)

$(BUILD)/tests/%.o: ALL_CFLAGS += $(OPT_TESTS)
$(TESTS:%=%.o): ALL_CFLAGS += -include tests/mark_new.h
$(TESTS): ALL_LDFLAGS += $(TEST_LD)

$(CORE_TESTS): $(BUILD)/tests/core/%: $(BUILD)/tests/core/%.o $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libcore.a $(CORE_LIBS) $(CHECK_LIBS) -lm
$(STORE_TESTS): $(BUILD)/tests/store/%: $(BUILD)/tests/store/%.o $(BUILD)/libstore.a $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libstore.a $(BUILD)/libcore.a $(STORE_LIBS) $(CHECK_LIBS) -lm
$(BUILD)/tests/store/test_power: $(BUILD)/tests/store/power_disk.o
$(BUILD)/tests/store/test_event_codec: STORE_LIBS = $(CORE_LIBS)
$(BUILD)/tests/store/test_faults $(BUILD)/tests/store/test_edit_faults $(BUILD)/tests/store/test_edits_shared $(BUILD)/tests/server/test_rebuild: $(BUILD)/tests/store/fault_disk.o
# Memory that runs out. Sanitizers own malloc: there the calls of our own objects are redirected by the linker.
OOM_TESTS := $(BUILD)/tests/store/test_memory $(BUILD)/tests/server/test_memory
comma     := ,
OOM_WRAP  := malloc calloc realloc aligned_alloc strdup
$(OOM_TESTS): $(BUILD)/tests/oom.o
ifneq ($(filter asan tsan,$(VARIANT)),)
$(OOM_TESTS): ALL_LDFLAGS += $(OOM_WRAP:%=-Wl$(comma)--wrap=%)
$(BUILD)/tests/oom.o: ALL_CFLAGS += -DOOM_WRAPPED
endif
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

.PHONY: tests tests-core tests-threads
tests: all $(TESTS) ## build the C tests of VARIANT without running them
tests-core: $(CORE_TESTS)
# A target for each run, so that make -j2 --output-sync runs two at a time and -k goes on after one has failed.
RUNS := $(TESTS:%=%.run)
.PHONY: $(RUNS)
# A time limit tells a test that hangs from one that is slow: beside other work, under a sanitizer, on any machine.
# Sanitized or emulated, the tests of a program share a process, but for those that want one each: to begin and end it (leaks are
# looked for) takes longer than most tests.
FORKED_TESTS := $(addprefix $(BUILD)/tests/,core/test_replay_buffer store/test_backup server/test_cli server/test_json_write server/test_rebuild \
    server/test_revision_cache)
ifneq ($(filter asan tsan,$(VARIANT))$(TRIPLET),)
$(filter-out $(FORKED_TESTS:%=%.run),$(RUNS)): RUN := CK_FORK=no timeout 1800 $(RUN)
endif
$(RUNS): %.run: %
	@echo "== $<"; CK_DEFAULT_TIMEOUT=60 CK_TIMEOUT_MULTIPLIER=5 CONVD=$(BUILD)/convd $(RUN) $<
$(SERVER_TESTS:%=%.run): $(BUILD)/convd

.PHONY: check check-core check-store check-server check-fuzz check-threads
check: $(RUNS) ## run the C tests of VARIANT (release, asan, tsan, clang, debug)
check-core: $(CORE_TESTS:%=%.run)
check-store: $(STORE_TESTS:%=%.run)
check-server: $(SERVER_TESTS:%=%.run)
check-fuzz: $(FUZZ_TESTS:%=%.run)
# Those whose programs start threads, or a daemon: a source of pthread_create, of a header of something that has threads, or of
# cli_run.h. The rest of server/ is functions of their arguments; core and store start none (check-layers proves it).
THREADED_HEADERS := access/|http/|model/|routes/|trainer/|common/logger|common/offload|common/worker_team
THREADED_TESTS   := $(patsubst %.c,$(BUILD)/%,$(shell grep -lE \
    'pthread_|cli_run\.h|"server/($(THREADED_HEADERS))' $(wildcard tests/server/test_*.c)))
tests-threads: all $(THREADED_TESTS)
check-threads: $(THREADED_TESTS:%=%.run) ## the tests of server/ that have threads: for VARIANT=tsan

.PHONY: check-web page-pictures
page-pictures: check-web ## the documents' pictures of the page, anew
	$(PYTHON) scripts/page-pictures
check-web: all ## the page in Chromium; leaves pictures in build/test/web
	$(call e2e,$(VARIANT),tests/web)

.PHONY: aarch64 armhf riscv64
aarch64: ## run core's tests on arm64, cross-built, under qemu
armhf: ## the same on 32-bit ARM
riscv64: ## the same on 64-bit RISC-V
aarch64 armhf riscv64:
	scripts/deps $@
	scripts/deps-cross $@ build/sysroot-$@
	$(MAKE) VARIANT=$@ check-core
