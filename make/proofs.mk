# proofs.mk - proofs by breaking things, in their long forms; the short ones run in `make test`. tests/PROOFS.md has what they found.

N ?= 10000
.PHONY: hostile-test power-test fault-test damage-test sweep-test
sweep-test: ## core's tests with every sweep whole: every float, thousands of steps of every geometry, in any VARIANT
	CONVD_TEST_EXHAUSTIVE=1 $(MAKE) --no-print-directory check-core
hostile-test: all ## hostile clients, the heaviest bodies and crowds of readers, each for HOSTILE_SECONDS=20, with HOSTILE_IDLE=10000 idle ones; tells latencies
	HOSTILE_SECONDS=$${HOSTILE_SECONDS:-20} HOSTILE_IDLE=$${HOSTILE_IDLE:-10000} CONVD=$(BUILD)/convd \
	    $(PYTEST) tests/e2e/test_hostile.py tests/e2e/test_slowhttptest.py tests/e2e/test_heavy.py tests/e2e/test_readers.py tests/e2e/test_testssl.py
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
# AFL++ takes libFuzzer's targets as they are. An input that breaks something, or hangs, is left in build/afl/out/default.
AFL_FUZZ = AFL_NO_UI=1 AFL_NO_AFFINITY=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 afl-fuzz
.PHONY: fuzz-afl
fuzz-afl: ## whole requests through every route and the trainer under AFL++, for SECONDS=3600
	scripts/deps afl
	AFL_QUIET=1 $(MAKE) --no-print-directory VARIANT=afl build/afl/tests/fuzz/fuzz_routes
	rm -rf build/afl/out
	$(AFL_FUZZ) -i tests/fuzz/corpus/routes -x tests/fuzz/dict/routes.dict -o build/afl/out -m none -t 5000+ \
	    -V $(if $(filter file,$(origin SECONDS)),3600,$(SECONDS)) -- build/afl/tests/fuzz/fuzz_routes >build/afl/log
	grep -E '^(execs_done|corpus_count|edges_found|saved_)' build/afl/out/default/fuzzer_stats
	! grep -E '^saved_(crashes|hangs) *: *[1-9]' build/afl/out/default/fuzzer_stats
crash-test: all ## kill -9 under random load over HTTP, compared with what was acknowledged (N=1000)
	CONVD=$(BUILD)/convd $(PYTHON) tests/crash/crash.py --kills $(if $(filter file,$(origin N)),1000,$(N)) --seed $(SEED)
.PHONY: cluster-test
cluster-test: export TMPDIR = $(MEMORY)
cluster-test: export CONVD = $(BUILD)/convd
cluster-test: JOBS ?= 4
cluster-test: all ## nodes and PostgreSQL killed, stopped, cut off, filled, without power under load, N=1000 schedules, JOBS=4 at a time; controls that must be caught losing; Patroni and etcd killed
	-@scripts/deps cluster
	$(PYTHON) tests/cluster/cluster.py --control standby
	$(PYTHON) tests/cluster/cluster.py --control sync
	$(PYTHON) tests/cluster/cluster.py --schedules $(if $(filter file,$(origin N)),1000,$(N)) --jobs $(JOBS) --seed $(SEED)
	$(PYTHON) tests/cluster/patroni.py --schedules $(if $(filter file,$(origin N)),20,$(shell expr $(N) / 50 + 1)) --seed $(SEED)
.PHONY: cluster-demo
cluster-demo: all ## three PostgreSQL under Patroni with etcd, three nodes and HAProxy on loopback: fed, some of it killed, and shown
	-@scripts/deps cluster
	examples/cluster/demo --convd $(BUILD)/convd $(if $(KEEP),--keep)
SEED    ?= 1
MINUTES ?= 30
soak: all ## mixed load at full rate for MINUTES=30: memory, descriptors, latency; with YEARS=1, that long a life in an hour or so, of N=10000000 samples a year
	$(if $(YEARS),-@scripts/deps check)
	CONVD=$(BUILD)/convd $(PYTHON) tests/soak/$(if $(YEARS),years.py --years $(YEARS) $(if $(filter file,$(origin N)),,--samples $(N)) --seed $(SEED),soak.py --minutes $(MINUTES))
