# bench.mk - the figures of docs/figures.md, from one run; bench/NOTES.md has what was measured.
# Where the peers cannot be installed, bench/run names in its table what it could not compare with.

MNIST     ?= ../shared/data/mnist
$(BUILD)/bench/bench_core: $(BUILD)/bench/bench_core.o $(BUILD)/bench/floor.o $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(CORE_LIBS)
$(BUILD)/bench/growth: $(BUILD)/bench/growth.o $(BUILD)/bench/floor.o $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(CORE_LIBS)
$(BUILD)/bench/bare: $(BUILD)/bench/bare.o $(BUILD)/libserver.a $(BUILD)/libstore.a $(BUILD)/libcore.a
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(SERVER_LIBS)
# From npm, by its lock file, and only under build/. Without node or a registry the table says that it is not there.
ONNXRUNTIME := $(BUILD)/bench/onnxruntime
$(ONNXRUNTIME)/installed: $(wildcard bench/onnxruntime/*)
	-@rm -rf $(ONNXRUNTIME) && mkdir -p $(ONNXRUNTIME) && cp $^ $(ONNXRUNTIME) && cd $(ONNXRUNTIME) && \
	    npm ci --ignore-scripts --no-audit --no-fund --silent --fetch-retries=1 --fetch-timeout=60000 </dev/null && touch installed

.PHONY: bench
bench: all $(BUILD)/bench/bench_core $(BUILD)/bench/bare $(ONNXRUNTIME)/installed ## measure against PyTorch, a bare HTTP handler and the goals (MNIST=DIR)
	-@scripts/deps bench
	@MNIST=$(MNIST) bench/run --build $(BUILD) --out $(BUILD)/bench $(BENCH_FLAGS)

$(BUILD)/bench/insert.o: ALL_CFLAGS += $(PKG_CFLAGS)
$(BUILD)/bench/insert: $(BUILD)/bench/insert.o
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(shell $(PKG) --libs libpq)
.PHONY: cluster-bench
cluster-bench: all $(BUILD)/bench/insert ## the figures of docs/cluster.md: several nodes on one log in PostgreSQL
	-@scripts/deps bench neighbours
	@bench/run --build $(BUILD) --out $(BUILD)/bench/cluster --only cluster $(BENCH_FLAGS)

.PHONY: experiments
experiments: all ## how well it learns, by its own commands, each figure beside its goal: five minutes of one core (MNIST=DIR)
	-@scripts/deps experiments
	@MNIST=$(MNIST) bench/run --build $(BUILD) --out $(BUILD)/experiments --only learn --long

.PHONY: bench-growth
bench-growth: $(BUILD)/bench/growth ## how the cost of a multiply-add grows with the geometry
	$(BUILD)/bench/growth --json $(BUILD)/bench/growth.json

.PHONY: bench-log
bench-log: all ## what grows with the log: start, snapshot, memory, file, at 10^5, 10^6 and 10^7 samples (9 GB)
	@bench/run --build $(BUILD) --out $(BUILD)/bench/log --only log $(BENCH_FLAGS)
