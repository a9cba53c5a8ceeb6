# flags.mk - how a variant is compiled and linked.

PACKAGES  := libmicrohttpd libcjson sqlite3 spng libdeflate libjpeg zlib nettle libcurl libsystemd gnutls libutf8proc

WARN      := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion -Wformat=2 -Wstrict-prototypes \
             -Wmissing-prototypes -Wwrite-strings -Wcast-qual -Wundef -Wvla
OPT_release := -O2 -g
# -g1: lines are all that a sanitizer's report needs, and compiling takes an eighth less.
# By clang, so that all sources and tests meet its warnings, too.
OPT_asan  := -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# libFuzzer's counters beside the sanitizers.
OPT_fuzz  := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# The same by AFL++'s compiler, which puts its own counters in.
OPT_afl   := $(OPT_fuzz)
OPT_tsan  := -O1 -g1 -fsanitize=thread
OPT_clang := -O2 -g
OPT_debug := -O0 -g3
OPT_aarch64 := -O2 -g
OPT_armhf := -O2 -g
OPT_riscv64 := -O2 -g
ifneq ($(filter clang asan fuzz,$(VARIANT)),)
CC        := clang
endif
ifeq ($(VARIANT),afl)
CC        := afl-clang-fast
endif
# Tests' own code is compiled more often than it is run.
OPT_TESTS := $(if $(filter asan tsan debug,$(VARIANT)),-O0,-O1)
CFLAGS    ?=
CPPFLAGS  ?=
# What of these the compiler and its C library know: on x86-64 and arm64, all of them but the other's.
known      = $(shell $(CC) -O2 $(1) $(2) -Werror -x c -c -o /dev/null /dev/null 2>/dev/null && echo '$(1)')
FORTIFY_3  = $(call known,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3,-include limits.h)
# Unless yours say it: a compiler may define it by itself, and unoptimized code cannot have it.
FORTIFY    = $(if $(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS))$(filter -O0,$(CFLAGS)),,$(or $(FORTIFY_3),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))
HARDENING  = -fstack-protector-strong -fstack-clash-protection -fcf-protection -mbranch-protection=standard
HARDEN    := $(if $(filter release clang,$(VARIANT)),$(FORTIFY) $(foreach flag,$(HARDENING),$(call known,$(flag))))
# Warnings are errors with the compilers that CI has, gcc 12 and clang 14; from another, or with flags of your own, a new one is only told.
ifeq ($(origin WERROR),undefined)
WERROR    := $(if $(strip $(CPPFLAGS) $(CFLAGS)),,$(if $(filter 12 14.0.%,$(shell $(CC) -dumpversion 2>/dev/null)),-Werror))
endif
# Same bits everywhere: no contraction, no fast-math, in every object that is linked, whatever CFLAGS and LDFLAGS say.
EXACT     := -fno-fast-math -ffp-contract=off -fno-math-errno
# The linker, asked for fast math, adds an object that has subnormal numbers flushed to zero.
EXACT_LINK := -O2 -fno-fast-math -fno-unsafe-math-optimizations
TIME_64   := -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(TIME_64) -I. $(WARN) $(WERROR) $(OPT_$(VARIANT)) $(HARDEN) -fPIE -pthread $(CPPFLAGS) $(CFLAGS) $(EXACT)
LDFLAGS   ?=
ALL_LDFLAGS = -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(filter -fsanitize% -fno-sanitize%,$(OPT_$(VARIANT))) $(LDFLAGS) $(EXACT_LINK)
# Test programs are linked by mold, where it is there: in a third of the time.
TEST_LD   := $(if $(wildcard /usr/bin/mold),$(call known,-fuse-ld=mold,-Wno-unused-command-line-argument))
PKG       := pkg-config
# Cross-built for another processor, with libraries that scripts/deps-cross unpacks; core's tests run under qemu.
TRIPLET_aarch64 := aarch64-linux-gnu
TRIPLET_armhf   := arm-linux-gnueabihf
TRIPLET_riscv64 := riscv64-linux-gnu
TRIPLET   := $(TRIPLET_$(VARIANT))
ifneq ($(TRIPLET),)
SYSROOT   := build/sysroot-$(VARIANT)
CC        := $(TRIPLET)-gcc --sysroot=$(SYSROOT)
AR        := $(TRIPLET)-ar
PKG       := PKG_CONFIG_SYSROOT_DIR=$(SYSROOT) PKG_CONFIG_LIBDIR=$(SYSROOT)/usr/lib/$(TRIPLET)/pkgconfig \
             PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 pkg-config
TEST_LD   :=
RUN       := qemu-$(firstword $(subst -, ,$(TRIPLET))) -L $(SYSROOT)
endif
# WebP is read where libwebp is there.
WEBP      := $(shell $(PKG) --exists libwebp 2>/dev/null && echo libwebp)
PACKAGES  += $(WEBP)
# A log that several machines share is built in where libpq is there.
LIBPQ     := $(shell $(PKG) --exists libpq 2>/dev/null && echo libpq)
PACKAGES  += $(LIBPQ)
# What the daemon may ask of the kernel is bounded by libseccomp, where it is there. The sanitizers' runtimes ask for more, and write
# reports elsewhere: with them --sandbox is off unless it is said.
SECCOMP   := $(shell $(PKG) --exists libseccomp 2>/dev/null && echo libseccomp)
SANDBOX   := $(if $(filter asan tsan fuzz afl,$(VARIANT)),off,on)
PACKAGES  += $(SECCOMP)
CORE_LIBS  = $(shell $(PKG) --libs nettle)
STORE_LIBS = $(shell $(PKG) --libs sqlite3 $(LIBPQ)) $(CORE_LIBS)
# floor() and sqrtf() are calls where a compiler does not inline them.
SERVER_LIBS = $(shell $(PKG) --libs $(PACKAGES)) -lm
CHECK_LIBS = $(shell $(PKG) --libs check)
PKG_CFLAGS = $(shell $(PKG) --cflags $(PACKAGES)) -DHAVE_WEBP=$(if $(WEBP),1,0) -DHAVE_LIBPQ=$(if $(LIBPQ),1,0) -DHAVE_SECCOMP=$(if $(SECCOMP),1,0) \
             '-DSANDBOX="$(SANDBOX)"'
