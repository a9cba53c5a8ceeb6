"""The checks on the source can fail: each is given a tree that breaks one rule, and must name it."""
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CORE = """#include "core/thing.h"
#include <stdlib.h>
int *thing_create(void)
{
    return malloc(sizeof(int));
}
"""
HEADER = "#ifndef THING_H\n#define THING_H\nint *thing_create(void);\n#endif\n"


def check(name: str, *arguments: object) -> tuple[int, str]:
    done = subprocess.run([ROOT / "scripts" / name, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout + done.stderr


OBJECTS: dict[tuple, bytes] = {}  # by the text of the source, and of all headers


class Tree:
    """A small source tree that keeps every rule, until a test breaks one."""

    def __init__(self, root: Path):
        self.root = root
        self.write("core/thing.h", HEADER)
        self.write("core/thing.c", CORE)
        self.write("store/sqlite/internal.h", '#include "core/thing.h"\n#include <sqlite3.h>\n')
        self.write("store/sqlite/db.h", "")
        self.write("store/sqlite/db.c", '#include "store/sqlite/internal.h"\n')
        self.write("server/http/internal.h", '#include "store/sqlite/db.h"\n#include <microhttpd.h>\n')
        self.write("server/http/http.c", '#include "server/http/internal.h"\n')
        self.write("server/http/send.c", '#include "server/http/internal.h"\n')

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def layers(self) -> tuple[int, str]:
        """Builds as the Makefile does, each text once, and checks."""
        files = sorted(path for layer in ("core", "store", "server") for path in (self.root / layer).rglob("*.[ch]"))
        headers = tuple(path.read_text() for path in files if path.suffix == ".h")
        for source in (path for path in files if path.suffix == ".c"):
            made = (self.root / "build" / source.relative_to(self.root)).with_suffix(".o")
            made.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text(), headers
            if text not in OBJECTS:
                subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIE", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong",
                                f"-I{self.root}", "-c", "-o", made, source], check=True)
                OBJECTS[text] = made.read_bytes()
            made.write_bytes(OBJECTS[text])
        return check("check-layers", self.root)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def must_fail(result: tuple[int, str], *words: str) -> None:
    status, text = result
    assert status == 1, text
    for word in words:
        assert word in text


# ---- check-layers ----


def test_layers_accepts_a_tree_that_keeps_the_rules(tree):
    status, text = tree.layers()
    assert status == 0, text


def test_layers_does_not_call_an_empty_tree_good(tmp_path):
    assert check("check-layers", tmp_path)[0] == 2


def test_layers_finds_a_source_that_was_not_built(tree):
    tree.layers()
    tree.write("core/later.c", "int later;\n")
    must_fail(check("check-layers", tree.root), "later.c", "unproved")


@pytest.mark.parametrize("name, line, words", [
    ("core/thing.c", '#include "store/store.h"', ("core/thing.c:1", 'core may not include "store/store.h"')),
    ("core/thing.c", '#include "server/http/http.h"', ('core may not include "server/http/http.h"',)),
    ("core/thing.h", "#include <time.h>", ("core/thing.h:1", "core may not include <time.h>")),
    ("core/thing.c", "#include <pthread.h>", ("core may not include <pthread.h>",)),
    ("core/thing.c", "#include <immintrin.h>", ("only core/arith/lanes.h may include <immintrin.h>",)),
    ("core/thing.c", "#  include  <unistd.h>", ("core may not include <unistd.h>",)),
    ("core/thing.c", '#include "thing.h"', ('"thing.h" does not name its folder',)),
    ("core/thing.c", '#include "core/../store/store.h"', ("does not name its folder",)),
    ("store/sqlite/db.c", '#include "server/http/http.h"', ('store may not include "server/http/http.h"',)),
    ("store/log/log.c", "#include <sqlite3.h>", ("store/log/log.c:1", "only store/sqlite/internal.h may include <sqlite3.h>")),
    ("server/http/http.c", "#include <sqlite3.h>", ("only store/sqlite/internal.h may include <sqlite3.h>",)),
    ("server/routes/routes.c", "#include <microhttpd.h>", ("only server/http/internal.h may include <microhttpd.h>",)),
    ("server/http/http.h", "#include <microhttpd.h>", ("only server/http/internal.h may include <microhttpd.h>",)),
    ("server/routes/routes.c", '#include "server/http/internal.h"', ("server/routes/routes.c:1", "only sources of server/http/ may include",)),
    ("server/http/http.h", '#include "server/http/internal.h"', ("only sources of server/http/ may include",)),
    ("server/payload/body.c", "#include <cjson/cJSON.h>", ("only server/common/json.c may include <cjson/cJSON.h>",)),
    ("server/payload/body.c", "#include <curl/curl.h>", ("only server/cli/client.c may include <curl/curl.h>",)),
    ("server/payload/body.c", "#include MACRO", ("cannot read",)),
    ("store/log/log.c", '#include "store/replay/edits.h"', ('store/log/log.c:1: "store/replay/edits.h" is of a higher folder',)),
    ("server/http/http.c", '#include "server/payload/oip.h"', ('"server/payload/oip.h" is of a higher folder',)),
    ("server/cli/cli.h", '#include "server/verbs/verbs.h"', ('"server/verbs/verbs.h" is of a higher folder',)),
    ("server/attic/old.c", '#include "core/thing.h"', ("server/attic/old.c: its folder has no place",)),
    ("tests/core/test_net.c", '#include "store/store.h"', ('tests/core may not include "store/store.h"',)),
    ("tests/store/test_log.c", '#include "server/common/json.h"', ('tests/store may not include "server/common/json.h"',)),
])
def test_layers_finds_an_include_that_points_the_wrong_way(tree, name, line, words):
    tree.layers()  # the objects of the tree as it was: what is broken here is the text
    old = (tree.root / name).read_text() if (tree.root / name).exists() else ""
    tree.write(name, line + "\n" + old)
    must_fail(check("check-layers", tree.root), *words)


@pytest.mark.parametrize("name", ["store/later.c", "server/http/later.c"])
def test_layers_finds_a_source_above_core_that_was_not_built(tree, name):
    tree.layers()
    tree.write(name, "int later;\n")
    must_fail(check("check-layers", tree.root), name, "unproved")


def write_calls(tree: Tree, *calls: tuple[str, str]) -> None:
    """For each pair one file with a function of its name, which calls that of the other."""
    for name, other in calls:
        own, used = Path(name).stem, Path(other).stem
        tree.write(name, f"void {own}(void);\nvoid {used}(void);\nvoid {own}(void) {{ {used}(); }}\n")


def test_layers_finds_a_call_into_a_higher_folder(tree):
    tree.write("store/replay/edits.c", "void edits(void);\nvoid edits(void) {}\n")
    write_calls(tree, ("store/replay/replay.c", "store/replay/edits.c"), ("store/store.c", "store/replay/edits.c"))
    status, text = tree.layers()
    assert status == 0, text
    write_calls(tree, ("store/log/log.c", "store/replay/edits.c"))
    must_fail(tree.layers(), "store/log/log.o: edits: of store/replay/edits.o, in a higher folder")


def test_layers_finds_a_circle_of_calls_of_more_than_two_files(tree):
    a, b, c = "server/http/a.c", "server/http/b.c", "server/http/c.c"
    write_calls(tree, (a, b), (b, a), (c, a))
    status, text = tree.layers()
    assert status == 0, text
    write_calls(tree, (a, b), (b, c), (c, a))
    must_fail(tree.layers(), "server/http/a.o, server/http/b.o, server/http/c.o: these call each other in a circle")


def test_layers_finds_a_circle_of_calls_between_folders(tree):
    write_calls(tree, ("server/http/a.c", "server/routes/b.c"), ("server/routes/b.c", "server/http/a.c"))
    must_fail(tree.layers(), "server/http/a.o, server/routes/b.o: these call each other in a circle")


def test_layers_does_not_look_at_objects_whose_source_is_gone(tree):
    write_calls(tree, ("server/http/a.c", "server/routes/b.c"))
    tree.write("server/routes/b.c", "void b(void);\nvoid b(void) {}\n")
    must_fail(tree.layers(), "server/http/a.o: b: of server/routes/b.o")
    (tree.root / "server/http/a.c").unlink()
    status, text = tree.layers()
    assert status == 0, text


def test_layers_finds_a_second_owner_of_a_decoder(tree):
    tree.write("server/image/png.c", "#include <spng.h>\n")
    assert tree.layers()[0] == 0
    tree.write("server/image/kernel_sheet.c", "#include <spng.h>\n")
    must_fail(tree.layers(), "server/image/kernel_sheet.c, server/image/png.c", "<spng.h>")


def test_layers_does_not_read_comments_or_strings(tree):
    tree.write("store/log/log.c", '/*\n#include <sqlite3.h>\n*/\n// #include <microhttpd.h>\nconst char *s = "/*";\n')
    assert tree.layers()[0] == 0


@pytest.mark.parametrize("body, symbol", [
    ("#include <stdio.h>\nvoid f(void) { printf(\"%d\", 1); }", "core may not use"),
    ("long time(long *);\nlong f(void) { return time(0); }", "core may not use time()"),
    ("char *getenv(const char *);\nchar *f(void) { return getenv(\"HOME\"); }", "core may not use getenv()"),
    ("double tanh(double);\ndouble f(double x) { return tanh(x); }", "core may not use tanh()"),
    ("int pthread_mutex_lock(void *);\nint f(void *m) { return pthread_mutex_lock(m); }", "core may not use pthread_mutex_lock()"),
    ("void store_close(void *);\nvoid f(void *s) { store_close(s); }", "core may not use store_close()"),
    ("extern int errno_like;\nint f(void) { return errno_like; }", "core may not use errno_like()"),
])
def test_layers_finds_a_symbol_that_core_may_not_use(tree, body, symbol):
    tree.write("core/other.c", body + "\n")
    must_fail(tree.layers(), "other.o", symbol)


@pytest.mark.parametrize("body, section", [
    ("int counter;", ".bss"),
    ("int f(void) { static int calls; return ++calls; }", ".bss"),
    ("int start = 7;", ".data"),
    ("_Thread_local int mine = 1;", ".tdata"),
    ("_Thread_local int mine;", ".tbss"),
    ("__attribute__((common)) int shared;", "common symbol shared"),
    ("__attribute__((constructor)) static void f(void) { __asm__ volatile(\"\"); }", ".init_array"),
])
def test_layers_finds_state_that_outlives_a_call(tree, body, section):
    tree.write("core/other.c", body + "\n")
    must_fail(tree.layers(), "other.o", section)


def test_layers_accepts_constant_tables_of_addresses(tree):
    tree.write("core/other.c", "const char *const words[] = {\"a\", \"b\"};\nint f(int);\nint f(int x) { return x; }\n"
                               "int (*const table[])(int) = {f};\n")
    status, text = tree.layers()
    assert status == 0, text


def test_layers_finds_an_allocation_outside_the_functions_that_make_things(tree):
    tree.write("core/other.c", "#include <stdlib.h>\nvoid *other_apply(void);\nvoid *other_apply(void) { return malloc(1); }\n")
    must_fail(tree.layers(), "other.o: other_apply() may not allocate: other_apply -> malloc")


def test_layers_finds_an_allocation_through_other_functions(tree):
    tree.write("core/other.c", '#include "core/thing.h"\n__attribute__((noinline)) static int *helper(int n)\n'
                               "{\n    return n > 3 ? thing_create() + n : 0;\n}\n"
                               "int *other_apply(int n);\nint *other_apply(int n)\n{\n    return helper(n) + 1;\n}\n")
    must_fail(tree.layers(), "other_apply -> helper -> thing_create -> malloc")


def test_layers_finds_an_allocator_that_is_handed_out(tree):
    tree.write("core/other.c", "#include <stdlib.h>\nvoid *(*other_allocator(void))(size_t);\n"
                               "void *(*other_allocator(void))(size_t) { return malloc; }\n")
    must_fail(tree.layers(), "other_allocator() may not allocate")


def test_layers_finds_any_allocation_in_the_arithmetic(tree):
    tree.write("core/arith_fast.c", "#include <stdlib.h>\nvoid *fast_create(void);\nvoid *fast_create(void) { return calloc(1, 1); }\n")
    must_fail(tree.layers(), "arith_fast.o: fast_create() may not allocate")


# ---- check-banned ----


def test_banned_accepts_a_tree_that_keeps_the_rules(tree):
    assert check("check-banned", tree.root)[0] == 0


def test_banned_does_not_call_an_empty_tree_good(tmp_path):
    assert check("check-banned", tmp_path)[0] == 2


@pytest.mark.parametrize("call", [
    "strcpy(a, b)", "strcat(a, b)", "sprintf(a, b)", "vsprintf(a, b, c)", "gets(a)", "strtok(a, b)", "atoi(a)", "atol (a)",
    "system(a)", "popen(a, b)", "alloca(n)", "rand()", "srand\n(1)", "random()", "mktemp(a)", "strncpy(a, b, n)", "localtime(t)",
])
def test_banned_finds_a_call(tree, call):
    tree.write("tests/core/test_more.c", f"void f(void)\n{{\n    x = {call};\n}}\n")
    must_fail(check("check-banned", tree.root), "tests/core/test_more.c:3", call.split("(")[0].strip())


@pytest.mark.parametrize("text", [
    "/* strcpy(a, b) */", "// gets(a)", 'const char *s = "system(1)";', 'const char *s = "\\" atoi(a)";', "int strand(int);",
    "int n = vsnprintf(a, n, b, c);", "x->system(1);", "x.rand();", "char c = '\"'; /* gets(a) */", "strtok_r(a, b, c);",
])
def test_banned_leaves_comments_strings_and_longer_names_alone(tree, text):
    tree.write("server/more.c", text + "\n")
    status, said = check("check-banned", tree.root)
    assert status == 0, said


@pytest.mark.parametrize("call", ["printf(a)", "fprintf(stderr, a)", "puts(a)", "putchar(a)", "dprintf(1, a)"])
@pytest.mark.parametrize("folder", ["cli", "verbs"])
def test_banned_lets_a_verb_speak_in_one_way_alone(tree, call, folder):
    tree.write(f"server/{folder}/more.c", f"(void){call};\n")
    must_fail(check("check-banned", tree.root), f"server/{folder}/more.c:1", "use cli_say()")


def test_banned_lets_others_print(tree):
    tree.write("server/daemon/more.c", "(void)printf(a);\n")
    tree.write("server/cli/more.c", "cli_say(stdout, a);\nsnprintf(a, n, b);\n")
    assert check("check-banned", tree.root)[0] == 0


# ---- check-doors ----

DOOR = "/* http.h - the door.\n *\n * In reading order:\n *   http.c           start\n *   internal.h\n *   send.{h,c}       both\n */\n"


class Doors(Tree):
    """Two folders whose files say their names, one of them with a door."""

    def __init__(self, root: Path):
        self.root = root
        for name in ("http.c", "internal.h", "send.h", "send.c"):
            self.write(f"server/http/{name}", f"/* {name} - what it is */\n")
        self.write("server/http/http.h", DOOR)
        self.write("server/main.c", "/* main.c - alone, and without a door */\n")


@pytest.fixture
def doors(tmp_path) -> Doors:
    return Doors(tmp_path)


def test_doors_accepts_one_that_names_every_file(doors):
    status, text = check("check-doors", doors.root)
    assert status == 0 and "2 folders name all 6 files" in text, text


@pytest.mark.parametrize("name, text, word", [
    ("server/http/new.h", "/* new.h - x */\n", "server/http/new.h is not in http.h"),
    ("server/http/http.h", DOOR.replace("http.c ", "gone.c "), "server/http/http.h names gone.c, which does not exist"),
    ("server/http/http.h", DOOR.replace("internal.h\n", "internal.h\n *   internal.h\n"), "server/http/http.h names internal.h twice"),
    ("server/http/http.h", DOOR.replace(" * In reading order:\n", ""), "server/http/send.c is not in http.h"),
    ("server/http/http.h", DOOR.replace(" *   http.c", " */\n/*\n *   http.c"), "server/http/http.c is not in http.h"),
    ("server/http/send.c", "/* other.c - of another name */\n", 'server/http/send.c does not begin with "/* send.c - "'),
    ("server/more.c", "/* more.c - so server/ has two files */\n", "server has no door, server.h"),
])
def test_doors_finds_what_is_wrong(doors, name, text, word):
    doors.write(name, text)
    must_fail(check("check-doors", doors.root), word)


def test_doors_finds_a_folder_of_too_many_things(doors):
    for n in range(21):
        doors.write(f"server/http/n{n}.h", f"/* n{n}.h - x */\n")
    must_fail(check("check-doors", doors.root), "server/http has 26 files, more than 25")


def test_doors_does_not_call_no_sources_good(tmp_path):
    assert check("check-doors", tmp_path)[0] == 2


# ---- check-docs ----

def test_docs_accepts_pages_that_name_what_is_there(tree):
    tree.write("docs/a.md", "`core/thing.h` has `thing_create()`; see `store/sqlite/`, `--flag`, `GET /x`, `other`.")
    assert check("check-docs", tree.root) == (0, "check-docs: 3 paths and functions that 1 pages name are there\n")


@pytest.mark.parametrize("name", ["core/other.h", "store/other/", "thing_free()"])
def test_docs_finds_what_is_not_there(tree, name):
    tree.write("docs/a.md", f"`core/thing.h` and `{name}`")
    assert check("check-docs", tree.root) == (1, f"check-docs: docs/a.md names {name}, which does not exist\n")


def test_docs_does_not_call_no_pages_good(tree):
    assert check("check-docs", tree.root)[0] == 2


# ---- check-promises ----

PROMISES = """<!-- promises -->
| promise | what is broken | proof |
|---|---|---|
| it keeps | `kill -9` | `tests/e2e/test_a.py:test_it` `make crash-test` |
| it holds | bits | `tests/store/test_b.c:it_holds` |
<!-- /promises -->
"""
RUN_BY_MAIN = "START_TEST(it_holds)\n{\n}\nEND_TEST\nint main(void)\n{\n    tcase_add_test(t, it_holds);\n}\n"


@pytest.fixture
def promising(tree):
    tree.write("docs/promises.md", PROMISES)
    tree.write("Makefile", "include make/proofs.mk\n")
    tree.write("make/proofs.mk", "crash-test: all\n\ttrue\n")
    tree.write("tests/e2e/test_a.py", "def test_it():\n    pass\n")
    tree.write("tests/store/test_b.c", RUN_BY_MAIN)
    return tree


def test_promises_accepts_a_table_whose_proofs_are_there(promising):
    status, text = check("check-promises", promising.root)
    assert status == 0 and "2 promises, 3 proofs" in text, text


@pytest.mark.parametrize("name, text, word", [
    ("make/proofs.mk", "other: all\n", "no target crash-test"),
    ("tests/e2e/test_a.py", "def test_it_not():\n    pass\n", "has no test test_it"),
    ("tests/store/test_b.c", RUN_BY_MAIN.replace("it_holds", "it_breaks"), "has no test it_holds"),
    ("tests/store/test_b.c", RUN_BY_MAIN.replace("tcase_add_test", "(void)"), "does not run its test it_holds"),
    ("docs/promises.md", PROMISES.replace("tests/store/test_b.c", "tests/store/gone.c"), "tests/store/gone.c does not exist"),
    ("docs/promises.md", PROMISES.replace("`tests/store/test_b.c:it_holds`", "it does"), 'nothing proves "it holds"'),
])
def test_promises_finds_a_proof_that_is_not_there(promising, name, text, word):
    promising.write(name, text)
    must_fail(check("check-promises", promising.root), word)


@pytest.mark.parametrize("text", ["# none\n", "<!-- promises -->\n| a | b | c |\n|---|---|---|\n<!-- /promises -->\n"])
def test_promises_must_be_there(tree, text):
    tree.write("docs/promises.md", text)
    assert check("check-promises", tree.root)[0] == 2


# ---- scripts/test, which counts, and its stages ----


@pytest.fixture
def stages(tmp_path: Path):
    """Runs a copy of scripts/test whose stages call a make of our own, which prints and exits as told."""

    def run(output: str, status: int, *names: str, **more: str) -> tuple[int, list[str]]:
        (tmp_path / "scripts").mkdir(exist_ok=True)
        for name, text in {
            "scripts/test": (ROOT / "scripts" / "test").read_text(),
            "scripts/deps": "#!/bin/sh\nexit 0\n",
            "bin/make": f"#!/bin/sh\necho told: $MAKEFLAGS $VARIANT, $*\ncat <<'END'\n{output}\nEND\nexit {status}\n",
        }.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        env = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", **more}
        done = subprocess.run([tmp_path / "scripts" / "test", *names], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout.splitlines()

    return run


@pytest.mark.parametrize("output, status, stage, expected", [
    ("", 0, "build", (0, "1 passed, 0 failed, 0 skipped")),
    ("error", 2, "build", (1, "0 passed, 1 failed, 0 skipped")),
    ("skipped: no such tool", 0, "build", (0, "0 passed, 0 failed, 1 skipped")),
    ("skipped: no such tool", 2, "build", (1, "0 passed, 1 failed, 0 skipped")),
    ("skipped: no such tool", 0, "aarch64", (1, "0 passed, 1 failed, 0 skipped")),
    ("100%: Checks: 12, Failures: 0, Errors: 0", 0, "aarch64", (0, "12 passed, 0 failed, 0 skipped")),
    ("90%: Checks: 10, Failures: 1, Errors: 0", 1, "aarch64", (1, "9 passed, 1 failed, 0 skipped")),
    ("90%: Checks: 10, Failures: 0, Errors: 1", 0, "aarch64", (1, "9 passed, 1 failed, 0 skipped")),
    ("100%: Checks: 12, Failures: 0, Errors: 0", 2, "aarch64", (1, "12 passed, 1 failed, 0 skipped")),
    ("nothing ran", 0, "aarch64", (1, "0 passed, 1 failed, 0 skipped")),
    ("3 passed, 2 skipped in 0.07s", 0, "aarch64", (0, "3 passed, 0 failed, 2 skipped")),
    ("=== 1 failed, 3 passed, 1 error in 61.07s (0:01:01) ===", 1, "aarch64", (1, "3 passed, 2 failed, 0 skipped")),
    ("no tests ran in 0.07s", 0, "aarch64", (1, "0 passed, 1 failed, 0 skipped")),
])
def test_the_runner_counts_and_never_calls_nothing_good(stages, output, status, stage, expected):
    returned, lines = stages(output, status, stage)
    assert (returned, lines[-1]) == expected


def test_a_stage_that_is_skipped_says_why(stages):
    _, lines = stages("skipped: no such tool", 0, "format")
    assert any(line.startswith("skip  format ") for line in lines) and "skipped: no such tool" in lines


def test_all_stages_run_after_one_has_failed_and_show_the_end_of_their_logs(stages):
    returned, lines = stages("90%: Checks: 10, Failures: 1, Errors: 0", 2, "layers", "build", "check")
    assert returned == 1 and lines[-1] == "9 passed, 3 failed, 0 skipped"
    assert {line.split()[1] for line in lines if line.startswith("FAIL ")} == {"build", "check", "layers"}
    assert lines.count("      | 90%: Checks: 10, Failures: 1, Errors: 0") == 3


def test_a_failed_c_test_is_shown_however_long_the_log(stages):
    failed = "tests/core/test_x.c:12:E:case:test_y:0: (after this point) Test timeout expired"
    _, lines = stages("\n".join([failed, *["said"] * 200]), 2, "asan")
    assert f"      | {failed}" in lines


def test_what_the_caller_told_make_does_not_reach_the_stages(stages):
    _, lines = stages("", 2, "build", MAKEFLAGS="n", VARIANT="asan")
    assert "      | told: , --no-print-directory test-build" in lines


def test_the_runner_has_every_stage_and_no_other():
    refused = subprocess.run([ROOT / "scripts" / "test", "none"], capture_output=True, text=True)
    made = re.search(r"^\.PHONY:.* test-build .*", subprocess.run(["make", "-npq"], cwd=ROOT, capture_output=True, text=True).stdout, re.MULTILINE)
    targets = {name.removeprefix("test-") for name in made[0].split() if name.startswith("test-")} - {"trixie"}
    assert refused.returncode == 2 and set(refused.stderr.partition(": ")[2].partition(": ")[2].split()) == targets


def test_a_developers_settings_reach_no_stage():
    env = {**os.environ, "CONVD_DB": "theirs.db", "CONVD": "build/convd"}
    made = subprocess.run(["make", "-s", "--eval=test-shown: ; @env", "test-shown"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert "CONVD=build/convd" in made.stdout and "CONVD_DB" not in made.stdout
