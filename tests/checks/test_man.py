"""The manual pages: made from --help, whole, well formed, and of nothing that convd does not have."""
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONVD = Path(os.environ.get("CONVD", ROOT / "build" / "convd")).resolve()


def run(*command: object, **more) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True, **more)
    return done.stdout + done.stderr


def help_of(*verb: str) -> str:
    return run(CONVD, *verb, "--help")


VERBS = re.findall(r"^  (\w+) ", help_of().split("verbs:\n")[1].split("\n\n")[0], re.MULTILINE)


def flags_of(verb: str) -> dict[str, tuple[str, str]]:
    """--flag: (argument, what it does)"""
    lines = re.findall(r"^  (--[a-z-]+)(?: (\S+))?  +(\S.*)$", help_of(verb), re.MULTILINE)
    return {flag: (argument, text) for flag, argument, text in lines}


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[int, Path]:
    folder, made = tmp_path_factory.mktemp("man"), {}
    for section in (1, 8):
        made[section] = folder / f"convd.{section}"
        made[section].write_text(run(ROOT / "scripts/make-man", CONVD, ROOT / f"systemd/man/convd.{section}.in"))
    return made


@pytest.fixture(scope="module")
def texts(pages) -> dict[int, str]:
    """As a reader sees them, with lines so long that nothing is wrapped, and every run of blanks as one."""
    env = {**os.environ, "MANWIDTH": "1000", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
    return {section: re.sub(r"\s+", " ", run("man", "--no-hyphenation", "--no-justification", "-l", page, env=env))
            for section, page in pages.items()}


def section_of(text: str, verb: str) -> str:
    """What convd(1) says of one verb."""
    parts = re.split(rf" convd ({'|'.join(VERBS)}) \[FLAGS\]", text)
    return next(after for name, after in zip(parts[1::2], parts[2::2]) if name == verb)


def test_there_are_verbs_and_flags_to_look_for():
    assert len(VERBS) >= 8 and "serve" in VERBS
    assert len(flags_of("serve")) >= 20 and flags_of("serve")["--listen"][0] == "ADDRESS:PORT"


@pytest.mark.parametrize("section", [1, 8])
def test_a_page_is_well_formed(pages, section):
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", pages[section]], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert (done.returncode, done.stderr) == (0, "")
    assert run("mandoc", "-T", "lint", "-W", "warning", pages[section]) == ""
    assert not re.search(r"@[A-Z]+", pages[section].read_text().replace("convd@", ""))


@pytest.mark.parametrize("verb", VERBS)
def test_every_flag_of_a_verb_is_in_its_page_with_what_it_does(texts, verb):
    text = texts[8] if verb == "serve" else section_of(texts[1], verb)
    for flag, (argument, what) in flags_of(verb).items():
        assert f"{flag} {argument}".strip() + " " + re.sub(r"\s+", " ", what) in text, flag


@pytest.mark.parametrize("section", [1, 8])
def test_a_page_tells_of_no_flag_that_no_verb_has(texts, section):
    known = {flag for verb in VERBS for flag in flags_of(verb)} | {"--version", "--flag"}
    others = {"--data-binary", "--now", "--signal"}  # curl's and systemctl's, in examples
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", texts[section])) <= known | others


@pytest.mark.parametrize("section", [1, 8])
def test_a_page_has_every_exit_code(texts, section):
    codes = re.sub(r"\s+", " ", help_of().split("exit codes: ")[1]).strip()
    items = re.split(r", (?=\d)", codes)
    assert len(items) == 6
    assert " ".join(items) in texts[section].split("EXIT STATUS")[1]


def test_the_version_is_that_of_the_program(pages):
    version = re.match(r"convd (\S+),", run(CONVD, "--version"))[1]
    assert all(f'"convd {version}"' in page.read_text() for page in pages.values())


def test_a_page_names_every_signal_and_variable_that_the_daemon_reads(texts):
    source = "".join(p.read_text() for p in sorted((ROOT / "server").rglob("*.c")))
    signals = set(re.findall(r"sigaddset\(\S+ (SIG\w+)\)", source))
    assert {"SIGTERM", "SIGHUP"} <= signals
    variables = set(re.findall(r'getenv\("(\w+)"\)', source))
    assert {"JOURNAL_STREAM", "CONVD_TOKEN", "CONVD_URL"} <= variables
    for word in signals | variables:
        assert word in texts[1] + texts[8], word


def test_a_page_says_what_the_program_says(tmp_path):
    """A program with one flag less, and another default, gives another page."""
    fake = tmp_path / "convd"
    fake.write_text(f"#!/bin/sh\n'{CONVD}' \"$@\" | grep -v -e '--listen-anywhere' | sed 's/(default convd.db)/(default else.db)/'\n")
    fake.chmod(0o755)
    page = run(ROOT / "scripts/make-man", fake, ROOT / "systemd/man/convd.8.in")
    assert r"\fB\-\-tls\-cert\fR \fIFILE" in page and r"\fB\-\-listen\-anywhere\fR" not in page and "(default else.db)" in page
