# convd. `make run` and `make test` set everything up on a fresh Debian 12; `make help` lists the rest.
#
# Variants live in folders of their own:  make VARIANT=asan check   builds under build/asan with ASan and UBSan.

ifeq ($(origin CC),default)
CC        := gcc
endif
MAKEFLAGS += -r
VARIANT   ?= release
# The folder of a variant.
build_of   = $(if $(filter release,$(1)),build,build/$(1))
BUILD     := $(call build_of,$(VARIANT))
PYTHON    ?= /usr/bin/python3
PYTEST    := $(PYTHON) -m pytest -q -p no:cacheprovider

# Each command as one short line; make V=1 shows them whole.
ifeq ($(V),1)
say        =
else
say        = @printf '  %-4s %s\n' '$(1)' '$@';
endif

include make/flags.mk
include make/build.mk
include make/install.mk
include make/tests.mk
include make/stages.mk
include make/proofs.mk
include make/lint.mk
include make/bench.mk

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(filter make/%.mk,$(MAKEFILE_LIST)) Makefile
