"""What make does with a builder's compiler, flags and folders: the bits stay the same, and what cannot be built says why."""
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Not those of the make that may have started us.
ENV = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VARIANT", "CC", "CFLAGS", "CPPFLAGS", "LDFLAGS", "WERROR")}
X86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="flags and registers of x86-64")


def run(*command: object, env: dict | None = None) -> str:
    done = subprocess.run([str(word) for word in command], cwd=ROOT, env={**ENV, **(env or {})}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def refused(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode != 0
    return done.stderr


def build(folder: Path, target: str, *arguments: str) -> str:
    return run("make", f"BUILD={folder}", folder / target, *arguments)


def commands(target: str, *arguments: str, env: dict | None = None) -> str:
    return run("make", "-n", "BUILD=/nowhere", f"/nowhere/{target}", *arguments, env=env)


def program(path: Path, text: str) -> Path:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


# ---- the same bits ----


def code(folder: Path, flags: str, *arguments: str) -> bytes:
    build(folder, "core/learner/drift.o", "CC=gcc", f"CFLAGS={flags}", *arguments)
    run("objcopy", "-O", "binary", "-j", ".text*", folder / "core/learner/drift.o", folder / "code")
    return (folder / "code").read_bytes()


@X86_64
@pytest.mark.parametrize("flags", ["-ffast-math", "-funsafe-math-optimizations", "-ffp-contract=fast", "-fassociative-math -fno-signed-zeros -fno-trapping-math"])
def test_flags_that_would_change_the_bits_change_no_instruction(tmp_path, flags):
    assert code(tmp_path / "theirs", f"-mfma {flags}") == code(tmp_path / "ours", "-mfma")


@X86_64
def test_they_would_without_what_the_makefile_says_after_them(tmp_path):
    assert code(tmp_path / "theirs", "-mfma -funsafe-math-optimizations", "EXACT=") != code(tmp_path / "ours", "-mfma")


@X86_64
@pytest.mark.parametrize("flags", ["-ffast-math", "-Ofast", "-funsafe-math-optimizations"])
def test_flags_for_the_linker_do_not_flush_subnormal_numbers_to_zero(tmp_path, flags):
    probe = tmp_path / "probe"
    link = next(line for line in commands("convd", f"LDFLAGS={flags}").splitlines() if " -o /nowhere/convd " in line)
    words = [word for word in link.split(" -o ")[0].split() if word.startswith(("gcc", "-"))]
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    run(*words, "-o", probe, tmp_path / "main.c")
    assert "set_fast_math" not in run("nm", probe)
    run("gcc", flags, "-o", probe, tmp_path / "main.c")
    assert "set_fast_math" in run("nm", probe), "this compiler would not have"


# ---- what cannot be ----


@pytest.mark.parametrize("flags, words", [
    pytest.param(["-ffast-math"], "compile without -ffast-math", id="fast math"),
    pytest.param(["-ffinite-math-only"], "compile without -ffast-math", id="finite math"),
    pytest.param(["-mfpmath=387"], "compile with -msse2 -mfpmath=sse", id="x87", marks=X86_64),
    pytest.param(["-U__BYTE_ORDER__", "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__"], "little-endian processors only", id="big endian"),
])
@pytest.mark.parametrize("source", ["core/err.c", "core/learner/codec.c", "store/replay/snapshots.c"])
def test_a_machine_that_would_have_other_bits_is_refused_in_one_sentence(flags, words, source):
    text = refused("gcc", "-std=c11", "-D_GNU_SOURCE", "-I.", "-w", "-fsyntax-only", *flags, source)
    errors = [line for line in text.splitlines() if "error: " in line]
    assert len(errors) == 1 and words in errors[0], text


# ---- a builder's flags ----


def test_cppflags_and_cflags_are_given_to_the_compiler():
    line = commands("core/err.o", "CPPFLAGS=-DTHEIRS=1", "CFLAGS=-O3")
    assert "-DTHEIRS=1" in line and line.index(" -O2 ") < line.index(" -O3 ")


@pytest.mark.parametrize("flags", ["CPPFLAGS=-D_FORTIFY_SOURCE=3", "CFLAGS=-O2 -D_FORTIFY_SOURCE=1", "CFLAGS=-O0", "CC=gcc -D_FORTIFY_SOURCE=1"])
def test_fortify_is_said_once(tmp_path, flags):
    text = build(tmp_path, "core/err.o", flags)
    assert "warning" not in text and "FORTIFY" not in text


def test_fortify_is_there_without_a_word():
    assert "-D_FORTIFY_SOURCE=3" in commands("core/err.o")


def test_a_compiler_is_given_those_flags_for_hardening_that_it_knows(tmp_path):
    old = program(tmp_path / "cc", 'case " $* " in *branch*|*cf-prot*|*SOURCE=3*) exit 1 ;; *-dump*) echo x86_64-linux-gnu ;; esac\n')
    line = commands("core/err.o", f"CC={old}")
    assert "-D_FORTIFY_SOURCE=2" in line and "-fstack-clash-protection" in line
    assert "-fcf-protection" not in line and "-mbranch-protection" not in line


@X86_64
@pytest.mark.skipif(not shutil.which("hardening-check"), reason="hardening-check is missing: scripts/deps test installs it (devscripts)")
def test_hardening_check_finds_the_program_hardened():
    """Debian's C library is not built for CET, so the linker does not mark the program: of that, the object files tell. Debian 13's asks x86-64 for
    the branch protection of arm64, too, and fails without it."""
    report = subprocess.run(["hardening-check", "--nocfprotection", "build/convd"], cwd=ROOT, env=ENV, capture_output=True, text=True).stdout
    for what in ("Position Independent Executable", "Stack protected", "Fortify Source functions", "Read-only relocations", "Immediate binding"):
        assert re.search(rf"{what}: yes", report), report
    assert "IBT, SHSTK" in run("readelf", "-n", "build/server/http/exchange.o")


@pytest.mark.parametrize("version, arguments, error", [
    ("12", (), True), ("14.0.6", (), True), ("14", (), False), ("19.1.7", (), False),
    ("12", ("CFLAGS=-O3",), False), ("12", ("CPPFLAGS=-DX",), False), ("12", ("WERROR=",), False), ("15", ("WERROR=-Werror",), True),
])
def test_warnings_are_errors_with_the_compilers_of_ci_alone(tmp_path, version, arguments, error):
    compiler = program(tmp_path / "cc", f'case $1 in -dumpversion) echo {version} ;; *) echo x86_64-linux-gnu ;; esac\n')
    assert ("-Werror" in commands("core/err.o", f"CC={compiler}", *arguments)) == error


# ---- a machine without a compiler ----


def test_a_compiler_that_is_not_there_yet_is_asked_in_silence():
    assert "not found" not in (text := commands("core/err.o", "CC=no-such-compiler")) and "No such file" not in text


def installed(tmp_path: Path, **more: str) -> list[str]:
    """What scripts/deps would install for building where no package is."""
    program(tmp_path / "dpkg-query", "exit 1\n")
    program(tmp_path / "sudo", 'exec "$@"\n')
    program(tmp_path / "apt-get", f'echo "$@" >{tmp_path}/asked\n')
    run("scripts/deps", "build", env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **more})
    return (tmp_path / "asked").read_text().split()


@pytest.mark.parametrize("cc, package", [(None, "gcc"), ("cc", "gcc"), ("gcc -m64", "gcc"), ("gcc-99", "gcc-99"), ("there -O2", None)])
def test_the_compiler_that_is_installed_is_the_one_that_builds(tmp_path, cc, package):
    program(tmp_path / "there", "")
    asked = installed(tmp_path, **({"CC": cc} if cc else {}))
    assert "libmicrohttpd-dev" in asked
    assert [word for word in asked if word.startswith(("gcc", "there", "cc"))] == ([package] if package else [])


def elsewhere(tmp_path: Path, *sets: str, libraries: str = "") -> subprocess.CompletedProcess:
    """scripts/deps where Debian's programs are not, but those for building are, and the libraries that are named."""
    for name in ("sh", "dirname", "sed", "tr", "gcc", "make"):
        (tmp_path / name).symlink_to(shutil.which(name))
    program(tmp_path / "pkg-config", f'case " {libraries} " in *" $2 "*) ;; *) exit 1 ;; esac\n')
    return subprocess.run(["scripts/deps", *sets], env={"PATH": str(tmp_path)}, cwd=ROOT, capture_output=True, text=True)


LIBRARIES = re.search(r"^PACKAGES *:= (.+)$", (ROOT / "make/flags.mk").read_text(), re.MULTILINE)[1]


def test_elsewhere_than_on_debian_the_libraries_that_are_missing_are_named(tmp_path):
    done = elsewhere(tmp_path, "build", libraries=LIBRARIES.replace("spng", "").replace("libcjson", ""))
    assert done.returncode == 1
    assert done.stderr.endswith("that are missing: libcjson spng\n")


def test_elsewhere_than_on_debian_building_goes_on_where_nothing_is_missing(tmp_path):
    done = elsewhere(tmp_path, "build", libraries=LIBRARIES)
    assert (done.returncode, done.stderr) == (0, "")


def test_elsewhere_than_on_debian_what_tests_need_is_told_and_not_looked_for(tmp_path):
    done = elsewhere(tmp_path, "build", "check", libraries=LIBRARIES)
    assert done.returncode == 0 and "not looked for" in done.stderr and "python3-pytest" in done.stderr


# ---- checkers of other versions ----


def test_the_layout_is_held_to_one_version_and_skipped_with_a_word_without():
    assert run("make", "-s", "format-check", "CLANG_FORMAT=") == "skipped: the layout is that of clang-format 14, which is not here\n"
    assert "clang-format 14, which is not here" in refused("make", "format", "CLANG_FORMAT=")


@pytest.mark.parametrize("there, used", [(["clang-tidy", "clang-tidy-14"], "clang-tidy-14"), (["clang-tidy"], "clang-tidy")])
def test_clang_tidy_is_of_the_version_that_is_there(tmp_path, there, used):
    for name in there:
        program(tmp_path / name, "")
    for name in ("sh", "gcc", "pkg-config", "find", "grep", "awk", "ls"):
        (tmp_path / name).symlink_to(shutil.which(name))
    made = run(shutil.which("make"), "-n", "tidy", env={"PATH": str(tmp_path)})
    assert f"{tmp_path}/{used} --quiet core/err.c" in made
