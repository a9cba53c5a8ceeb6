# build.mk - from sources to build/convd; `make run`, which a fresh clone calls; dependencies.

# ---- the arithmetic: one source, compiled once per instruction set ----
MACHINE   := $(shell $(CC) -dumpmachine 2>/dev/null)
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
# Under ASan and UBSan, -O3 would be minutes of compiling, and so are UBSan's reports there: it traps instead, which ASan reports.
# Nor has it line numbers there, which are a third of what compiling takes: a report names the function.
OPT_ARITH := $(if $(filter asan fuzz afl,$(VARIANT)),-O1 -g0 -fsanitize-trap=undefined,-O3)

# ---- sources ----
CORE_SRC   := $(filter-out core/arith/arith.c,$(wildcard core/*.c core/*/*.c))
STORE_SRC  := $(filter-out $(if $(LIBPQ),,$(filter-out %/without.c,$(wildcard store/postgres/*.c))),$(wildcard store/*.c store/*/*.c))
SERVER_SRC := $(filter-out server/main.c $(if $(WEBP),,server/image/webp.c),$(wildcard server/*.c server/*/*.c))
CORE_OBJ   := $(CORE_SRC:%.c=$(BUILD)/%.o) $(ARITHS:%=$(BUILD)/core/arith_%.o)
STORE_OBJ  := $(STORE_SRC:%.c=$(BUILD)/%.o) $(BUILD)/store/schema.o $(if $(LIBPQ),$(BUILD)/store/postgres_schema.o)
SERVER_OBJ := $(SERVER_SRC:%.c=$(BUILD)/%.o) $(BUILD)/server/openapi.o $(BUILD)/server/web_files.o
GENERATED  := store/schema store/postgres_schema server/openapi server/web_files
WEB_MODULES := $(filter-out web/theme.js,$(sort $(wildcard web/*.js)))
WEB_FILES  := $(BUILD)/server/app.js web/theme.js $(sort $(wildcard web/*.html web/*.css web/*.svg))
SCHEMA_SQL := $(sort $(wildcard schema/0*.sql))

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

$(BUILD)/server/%.o $(BUILD)/store/postgres/%.o $(BUILD)/tests/store/test_postgres.o $(BUILD)/tests/store/test_postgres_states.o: ALL_CFLAGS += $(PKG_CFLAGS)

# The SQL of every migration, as one C array of strings: the store needs no file at run time.
$(BUILD)/store/schema.c: $(SCHEMA_SQL) scripts/embed-sql
	@mkdir -p $(@D)
	$(call say,SQL) scripts/embed-sql $(SCHEMA_SQL) > $@.tmp && mv $@.tmp $@

# And that of a log in PostgreSQL.
$(BUILD)/store/postgres_schema.c: schema/postgres.sql scripts/embed-file
	@mkdir -p $(@D)
	$(call say,SQL) scripts/embed-file postgres_schema store/postgres/schema.h $< > $@.tmp && mv $@.tmp $@

# The OpenAPI document likewise: GET /openapi.json.
$(BUILD)/server/openapi.c: schema/openapi.json scripts/embed-file
	@mkdir -p $(@D)
	$(call say,FILE) scripts/embed-file openapi_json server/routes/web.h $< > $@.tmp && mv $@.tmp $@

# And the page, its modules as one.
$(BUILD)/server/app.js: $(WEB_MODULES) scripts/bundle-web
	@mkdir -p $(@D)
	$(call say,WEB) scripts/bundle-web $(WEB_MODULES) > $@.tmp && mv $@.tmp $@

$(BUILD)/server/web_files.c: $(WEB_FILES) scripts/embed-web
	@mkdir -p $(@D)
	$(call say,WEB) scripts/embed-web $(WEB_FILES) > $@.tmp && mv $@.tmp $@

$(GENERATED:%=$(BUILD)/%.o): $(BUILD)/%.o: $(BUILD)/%.c
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

# ---- from nothing ----
.PHONY: deps
deps: ## install the Debian packages that are missing, for building and testing
	scripts/deps build test

.PHONY: run
run: ## build, train on examples/ and serve digits on 127.0.0.1:8080 (CONVD_LISTEN, CONVD_DB); MODEL=camera: an empty model
	@scripts/deps build
	@$(MAKE) --no-print-directory all
	@CONVD=$(BUILD)/convd MODEL=$(or $(MODEL),digits) scripts/run

.PHONY: clean
clean: ## remove build/
	rm -rf build

.SECONDARY:
-include $(shell find $(BUILD) -path build/trixie -prune -o -path 'build/sysroot-*' -prune -o -type f -name '*.d' -print 2>/dev/null)
