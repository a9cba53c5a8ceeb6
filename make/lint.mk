# lint.mk - checks on the source.

C_FILES     = $(sort $(shell find core store server tests bench -name '*.[ch]' 2>/dev/null))
SHELL_FILES = $(shell grep -lE '^\#!.*\b(ba)?sh$$' .ci/run scripts/* examples/*.sh tests/*/*.sh systemd/*/* 2>/dev/null) systemd/completion/convd.bash
ANALYZED    = -std=c11 -D_GNU_SOURCE -I. $(PKG_CFLAGS) '-DFUZZ_TARGETS=$(patsubst %,X(%),$(FUZZ_NAMES))' -DARITH_SYMBOL=arith_portable '-DARITH_NAME="portable"' $(ARITHS:%=-DHAVE_arith_%=1)

# Other versions lay out otherwise; of clang-tidy, whichever is here.
CLANG_FORMAT ?= $(shell command -v clang-format-14 2>/dev/null)
CLANG_TIDY   ?= $(shell command -v clang-tidy-14 || command -v clang-tidy)

.PHONY: lint
lint: format-check check-layers check-banned check-doors check-docs check-promises shellcheck cppcheck tidy ## all checks on the source

.PHONY: format format-check
format: ## lay out every C file by .clang-format
	$(or $(CLANG_FORMAT),$(error the layout is that of clang-format 14, which is not here)) -i $(C_FILES)
format-check: ## fail where clang-format would change something
	$(if $(CLANG_FORMAT),$(CLANG_FORMAT) --dry-run -Werror $(C_FILES),@echo "skipped: the layout is that of clang-format 14, which is not here")

.PHONY: tidy
tidy: ## clang-tidy by .clang-tidy
	printf '%s\n' $(filter-out core/err.c,$(filter %.c,$(C_FILES))) | \
	    xargs -P 2 -I FILE $(CLANG_TIDY) --quiet FILE -- $(ANALYZED) $(REACH) -include scripts/tidy.h
	$(CLANG_TIDY) --quiet core/err.c -- $(ANALYZED) $(REACH)

# uninitvar: cppcheck 2.10 takes the address of a variable for a read of it; clang-tidy's analyzer looks for the same.
# normalCheckLevelMaxBranches: 2.17 tells at which functions it does not look whole.
.PHONY: cppcheck
cppcheck: ## cppcheck over core, store and server
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -j 2 \
	    --suppress=missingIncludeSystem --suppress=uninitvar --suppress=normalCheckLevelMaxBranches -I. -DARITH_SYMBOL=arith_portable core store server

# Its libraries are not there: the declarations of everybody else's are Debian's, made for glibc.
.PHONY: musl
musl: ## ask whether all of it compiles with musl instead of glibc
	scripts/deps musl
	printf '%s\n' $(CORE_SRC) core/arith/arith.c $(STORE_SRC) $(SERVER_SRC) server/main.c | xargs -P 2 -I {} \
	    musl-gcc -fsyntax-only -Werror -Wall -Wextra $(patsubst -I/%,-idirafter /%,$(ANALYZED)) $(TIME_64) -idirafter /usr/include {}

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
