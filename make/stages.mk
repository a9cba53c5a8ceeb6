# stages.mk - `make test`: scripts/test runs its stages in two lanes and counts their tests; `make test-STAGE` is one of them alone.

.PHONY: test
test: ## everything that CI runs; make test STAGES="build check" for some of it
	@scripts/test $(STAGES)

.PHONY: test-trixie
test-trixie: ## the same in a root of Debian 13 under build/trixie (as root)
	@scripts/trixie

# A developer's own settings must not reach the daemons under test.
ifneq ($(filter test-%,$(MAKECMDGOALS)),)
unexport $(filter CONVD_%,$(.VARIABLES))
endif

# In memory, where there is such a folder: thousands of tests sync, and what a disk does then is not their subject.
MEMORY  = $(shell [ -w /dev/shm ] && echo /dev/shm || echo $${TMPDIR:-/tmp})

# $(call built,VARIANT,TARGET) - by one stage at a time: two lanes may want the same.
built   = mkdir -p build/test && flock build/test/$(1).lock make -j2 VARIANT=$(1) $(2)
# $(call c_tests,VARIANT,-LAYER) - builds, then runs two test programs at a time, all of them even after one has failed
c_tests = $(call built,$(1),tests$(2)) && TMPDIR=$(MEMORY) make -j2 -k --output-sync=target VARIANT=$(1) check$(2)
# $(call pytest,VARIANT,ARGUMENTS)
pytest  = CONVD=$(call build_of,$(1))/convd $(PYTEST) --durations=5 $(2)
# Three files at a time: each test has daemons, folders and ports of its own, and mostly waits for them.
e2e     = TMPDIR=$(MEMORY) $(call pytest,$(1),-n 3 --dist loadfile $(2))

# ---- stages that are a target anyway ----
CHECKS := test-layers test-banned test-doors test-docs test-promises test-web
.PHONY: $(CHECKS) test-format test-shellcheck test-cppcheck test-tidy
$(CHECKS): test-%: check-%
test-format: format-check
test-shellcheck test-cppcheck test-tidy: test-%: %
# The analyzer's own limit is 225,000 steps into a function, 8 s for some files; make tidy goes to that.
test-tidy: REACH = -Xclang -analyzer-config -Xclang max-nodes=5000

# ---- stages with a make of their own, for -j and -k, or with pytest ----
.PHONY: test-build test-check test-checks test-systemd test-readme test-e2e test-clang test-aarch64
test-build:
	make -j2 all
test-check:
	$(call c_tests,$(VARIANT))
test-checks: all
	$(call pytest,$(VARIANT),tests/checks)
test-systemd: all
	$(call pytest,$(VARIANT),tests/systemd)
test-readme: all
	CONVD=$(BUILD)/convd scripts/readme check
# E2E="tests/e2e/test_x.py ..": only those files, here and below.
test-e2e: E2E = tests/e2e
test-e2e:
	make -j2 all other
	$(call e2e,$(VARIANT),$(E2E))
# The arithmetic is what compilers could differ in; make VARIANT=clang check runs the other layers' tests, too.
test-clang:
	$(call c_tests,clang,-core)
test-aarch64:
	make -j2 -k --output-sync=target aarch64

# ---- stages under sanitizers ----
SANITIZED := test-asan test-e2e-asan test-tsan test-e2e-tsan
.PHONY: $(SANITIZED)
# Sanitizers' reports go to files, so that a daemon that reports and yet ends well is noticed too.
# clear_shadow_mmap_threshold: ASan would give back the shadow of every large block and have it from the kernel anew at the next
# one; a learner has several, and half of the tests' time went there.
REPORTS  = $(CURDIR)/build/test/reports-$(@:test-%=%)
$(SANITIZED): export ASAN_OPTIONS = log_path=$(REPORTS)/asan:detect_stack_use_after_return=1:handle_sigill=1:strict_string_checks=1:clear_shadow_mmap_threshold=1073741824
$(SANITIZED): export UBSAN_OPTIONS = log_path=$(REPORTS)/ubsan:print_stacktrace=1
$(SANITIZED): export TSAN_OPTIONS = log_path=$(REPORTS)/tsan:second_deadlock_stack=1
reported = rm -rf $(REPORTS); mkdir -p $(REPORTS); status=0; $(1) || status=$$?; \
    [ -z "$$(ls -A $(REPORTS))" ] || { head -n 60 $(REPORTS)/*; exit 1; }; exit $$status

# Ten times as slow as the release build's, which sweeps more finely; the long forms are targets of their own.
test-asan:
	export ALLOCATION_STEP=61; $(call reported,$(call c_tests,asan))
test-e2e-asan test-e2e-tsan: E2E = tests/systemd/test_service.py tests/e2e
test-e2e-asan:
	$(call reported,$(call built,asan,all) && $(call e2e,asan,$(E2E)))
# Only what starts threads (make/tests.mk: THREADED_TESTS); make VARIANT=tsan check runs the rest, too.
test-tsan:
	$(call reported,$(call c_tests,tsan,-threads))
# What one client sends after the other tells nothing of threads.
ONE_BY_ONE := about access bad_json bad_pictures bits calibration cli cli_samples database diff drift explain export file_format log model onnx \
              openapi page pictures predict samples smuggling upgrade v2
test-e2e-tsan:
	$(call reported,$(call built,tsan,all) && $(call e2e,tsan,$(E2E) $(ONE_BY_ONE:%=--ignore=tests/e2e/test_%.py)))
