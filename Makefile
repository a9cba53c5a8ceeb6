# convd. `make run` and `make test` set everything up on a fresh Debian 12; `make help` lists the rest.
#
# Variants live in folders of their own:  make VARIANT=asan check   builds under build/asan with ASan and UBSan.

CC        ?= gcc
VARIANT   ?= release
BUILD     := $(if $(filter release,$(VARIANT)),build,build/$(VARIANT))
PREFIX    ?= /usr/local
PYTHON    ?= /usr/bin/python3

PACKAGES  := libmicrohttpd libcjson sqlite3 spng libturbojpeg zlib nettle libcurl libsystemd

# ---- flags ----
# Same bits everywhere: no contraction, no fast-math, in every object that is linked.
WARN      := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion -Wformat=2 -Wstrict-prototypes \
             -Wmissing-prototypes -Wwrite-strings -Wcast-qual -Wundef -Wvla -Werror
OPT_release := -O2 -g
OPT_asan  := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan  := -O1 -g -fsanitize=thread
OPT_clang := -O2 -g
OPT_debug := -O0 -g3
ifeq ($(VARIANT),clang)
CC        := clang
endif
HARDEN    := $(if $(filter release clang,$(VARIANT)),-D_FORTIFY_SOURCE=2 -fstack-protector-strong,)
CFLAGS    ?=
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -I. $(WARN) $(OPT_$(VARIANT)) $(HARDEN) -fPIE -pthread -ffp-contract=off -fno-math-errno $(CFLAGS)
LDFLAGS   ?=
ALL_LDFLAGS = -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(filter -fsanitize% -fno-sanitize%,$(OPT_$(VARIANT))) $(LDFLAGS)
PKG       := pkg-config
CORE_LIBS  = $(shell $(PKG) --libs nettle)
STORE_LIBS = $(shell $(PKG) --libs sqlite3) $(CORE_LIBS)
SERVER_LIBS = $(shell $(PKG) --libs $(PACKAGES))
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
# The arithmetic is always optimized: at -O0 its lanes would be a hundred times slower, and the bits are the same.
OPT_ARITH := -O3

# ---- sources ----
CORE_SRC   := $(filter-out core/arith.c,$(wildcard core/*.c))
STORE_SRC  := $(wildcard store/*.c)
SERVER_SRC := $(filter-out server/main.c,$(wildcard server/*.c))
CORE_OBJ   := $(CORE_SRC:%.c=$(BUILD)/%.o) $(ARITHS:%=$(BUILD)/core/arith_%.o)
STORE_OBJ  := $(STORE_SRC:%.c=$(BUILD)/%.o) $(BUILD)/store/schema.o
SERVER_OBJ := $(SERVER_SRC:%.c=$(BUILD)/%.o)
SCHEMA_SQL := $(sort $(wildcard schema/*.sql))

CORE_TESTS   := $(patsubst tests/core/%.c,$(BUILD)/tests/core/%,$(wildcard tests/core/test_*.c))
STORE_TESTS  := $(patsubst tests/store/%.c,$(BUILD)/tests/store/%,$(wildcard tests/store/test_*.c))
SERVER_TESTS := $(patsubst tests/server/%.c,$(BUILD)/tests/server/%,$(wildcard tests/server/test_*.c))
TESTS        := $(CORE_TESTS) $(STORE_TESTS) $(SERVER_TESTS)

.PHONY: all
all: $(BUILD)/convd

$(BUILD)/convd: $(BUILD)/server/main.o $(BUILD)/libserver.a $(BUILD)/libstore.a $(BUILD)/libcore.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SERVER_LIBS)

$(BUILD)/libcore.a: $(CORE_OBJ)
$(BUILD)/libstore.a: $(STORE_OBJ)
$(BUILD)/libserver.a: $(SERVER_OBJ)
$(BUILD)/lib%.a:
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/core/arith_%.o: core/arith.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(OPT_ARITH) $(ARCH_$*) -DARITH_SYMBOL=arith_$* -MMD -MP -c -o $@ $<

$(BUILD)/core/arith_choose.o: ALL_CFLAGS += $(ARITHS:%=-DHAVE_arith_%=1)

$(BUILD)/server/%.o: ALL_CFLAGS += $(PKG_CFLAGS)

# The SQL of every migration, as one C array of strings: the store needs no file at run time.
$(BUILD)/store/schema.c: $(SCHEMA_SQL) scripts/embed-sql
	@mkdir -p $(@D)
	scripts/embed-sql $(SCHEMA_SQL) > $@.tmp && mv $@.tmp $@
$(BUILD)/store/schema.o: $(BUILD)/store/schema.c
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# ---- tests: each layer's link only that layer and those below; that they link is half of the proof ----
$(CORE_TESTS): $(BUILD)/tests/core/%: $(BUILD)/tests/core/%.o $(BUILD)/libcore.a
	$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libcore.a $(CORE_LIBS) $(CHECK_LIBS) -lm
$(STORE_TESTS): $(BUILD)/tests/store/%: $(BUILD)/tests/store/%.o $(BUILD)/libstore.a $(BUILD)/libcore.a
	$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libstore.a $(BUILD)/libcore.a $(STORE_LIBS) $(CHECK_LIBS) -lm
$(SERVER_TESTS): $(BUILD)/tests/server/%: $(BUILD)/tests/server/%.o $(BUILD)/libserver.a $(BUILD)/libstore.a $(BUILD)/libcore.a
	$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libserver.a $(BUILD)/libstore.a $(BUILD)/libcore.a $(SERVER_LIBS) $(CHECK_LIBS) -lm

.PHONY: check
check: $(TESTS) ## run the C tests of VARIANT (release, asan, tsan, clang, debug)
	@set -e; for t in $(TESTS); do echo "== $$t"; $$t; done

.PHONY: check-core check-store check-server
check-core: $(CORE_TESTS)
	@set -e; for t in $^; do echo "== $$t"; $$t; done
check-store: $(STORE_TESTS)
	@set -e; for t in $^; do echo "== $$t"; $$t; done
check-server: $(SERVER_TESTS)
	@set -e; for t in $^; do echo "== $$t"; $$t; done

.PHONY: clean
clean:
	rm -rf build

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
