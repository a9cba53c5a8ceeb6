"""The units as installed: they verify, they stay hardened, and they allow what the daemon does."""
import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
UNITS = ("convd@.service", "convd@.socket")


def run(*command: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **more)


def make(*arguments: str) -> None:
    # Not part of the make that may have started us: its flags and job server are not ours.
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR", "PREFIX")}
    done = run("make", *arguments, cwd=ROOT, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def prefix(tmp_path_factory, convd) -> Path:
    """An installation that could run: PREFIX is a directory of its own, so that every path in the units exists."""
    path = tmp_path_factory.mktemp("prefix")
    make("install", f"PREFIX={path}")
    return path


@pytest.fixture(scope="module")
def unit_dir(prefix: Path) -> Path:
    return prefix / "lib" / "systemd" / "system"


def files_under(path: Path) -> set[str]:
    return {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}


def test_install_puts_everything_under_destdir_and_uninstall_takes_it_away(tmp_path, convd):
    root = tmp_path / "with blanks in it"
    make("install", f"DESTDIR={root}", "PREFIX=/opt/convd")
    files = files_under(root)
    assert {"opt/convd/bin/convd", "opt/convd/share/doc/convd/LICENSE", "opt/convd/share/doc/convd/README.md",
            "opt/convd/share/doc/convd/docs/operating.md",
            *(f"opt/convd/share/convd/examples/{path}" for path in files_under(ROOT / "examples") if "__pycache__" not in path),
            "opt/convd/share/bash-completion/completions/convd",
            "opt/convd/share/zsh/site-functions/_convd", "opt/convd/share/fish/vendor_completions.d/convd.fish",
            "opt/convd/share/man/man1/convd.1", "opt/convd/share/man/man8/convd.8",
            *(f"opt/convd/lib/systemd/system/{unit}" for unit in UNITS)} <= files
    service = (root / "opt/convd/lib/systemd/system/convd@.service").read_text()
    assert "\nExecStart=/opt/convd/bin/convd serve " in service
    make("uninstall", f"DESTDIR={root}", "PREFIX=/opt/convd")
    assert files_under(tmp_path) == set()


def test_installed_units_have_no_placeholder_left(unit_dir):
    for unit in UNITS:
        assert not re.search(r"@[A-Z]+@", (unit_dir / unit).read_text()), unit


def test_installed_units_verify_without_a_word(unit_dir):
    done = run("systemd-analyze", "verify", "--man=no", f"{unit_dir}/convd@digits.service", f"{unit_dir}/convd@digits.socket")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_verify_would_notice_a_binary_that_is_not_there(unit_dir, tmp_path):
    for unit in UNITS:
        text = (unit_dir / unit).read_text()
        (tmp_path / unit).write_text(re.sub(r"ExecStart=\S+", "ExecStart=/nonexistent/convd", text))
    assert run("systemd-analyze", "verify", "--man=no", f"{tmp_path}/convd@digits.service").returncode != 0


def exposure(unit: Path) -> tuple[int, str]:
    done = run("systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=5", str(unit))  # tenths
    return done.returncode, done.stdout[-300:] + done.stderr


def test_exposure_is_at_most_half_a_point(unit_dir):
    status, text = exposure(unit_dir / "convd@.service")
    assert status == 0, text
    assert float(re.search(r"exposure level for \S+ ([\d.]+)", text)[1]) <= 0.5


def test_a_node_that_follows_a_shared_log_is_exposed_a_little_more(unit_dir, tmp_path):
    """systemd-analyze reads no drop-ins offline: the lines go where they would count."""
    node = tmp_path / "convd@.service"
    node.write_text((unit_dir / "convd@.service").read_text() + (ROOT / "examples" / "cluster" / "log.conf").read_text())
    done = run("systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=15", str(node))
    assert done.returncode == 0, done.stdout[-300:]


def test_exposure_check_would_notice_a_lost_line(unit_dir, tmp_path):
    text = (unit_dir / "convd@.service").read_text()
    weaker = tmp_path / "convd@.service"
    weaker.write_text(text.replace("PrivateNetwork=yes", "").replace("SystemCallFilter=", "#"))
    assert exposure(weaker)[0] != 0


def allowed_syscalls(unit: Path) -> set[str]:
    """The system calls that the unit's SystemCallFilter= lines leave, expanded by systemd itself."""
    sets: dict[str, set[str]] = {}
    for line in run("systemd-analyze", "syscall-filter", "--no-pager").stdout.splitlines():
        if line.startswith("@"):
            current = sets.setdefault(line.strip(), set())
        elif line.strip() and not line.strip().startswith("#"):
            current.add(line.strip())

    def expand(name: str) -> set[str]:
        return set().union(*(expand(n) for n in sets[name])) if name.startswith("@") else {name}

    allowed = expand("@default")  # always allowed by systemd
    for words in re.findall(r"^SystemCallFilter=(.*)$", unit.read_text(), re.MULTILINE):
        named = set().union(*(expand(n) for n in words.lstrip("~").split()))
        allowed = allowed - named if words.startswith("~") else allowed | named
    return allowed


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls and tokens"])
def test_unit_allows_every_system_call_that_the_daemon_makes(unit_dir, start, notify, tmp_path, convd, secured, tls):
    if "build/convd" not in convd.as_posix():
        pytest.skip("a sanitizer's runtime makes system calls of its own")
    trace = tmp_path / "trace"
    tracer = ("strace", "-f", "-qq", "-o", str(trace), "--")
    flags, certificate, token = secured if tls else ((), None, None)
    daemon = start(tmp_path / "model.db", notify, watchdog_s=1, wrapper=tracer, flags=flags)
    daemon.trusted, daemon.token = certificate, token
    notify.expect("READY=1")
    assert daemon.get("/train?label=7", bytes(783) + b"\1")[0] == 200
    assert daemon.get("/predict", (ROOT / "examples/digits/7.png").read_bytes())[0] == 200
    assert daemon.get("/snapshots", b"")[0] == 201
    notify.expect("WATCHDOG=1")
    notify.expect("WATCHDOG=1")
    traced = int(trace.read_text().split()[0])  # strace passes no signal on: the daemon itself is told
    os.kill(traced, 15)
    assert daemon.process.wait(PATIENCE_S) == 0
    text = trace.read_text()
    # From the exec of convd on: what the shell did before it is not the daemon's.
    text = text[text.index(f'execve("{convd}"'):]
    calls = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", text, re.MULTILINE))
    assert {"fdatasync", "epoll_wait", "sendto"} & calls and len(calls) > 20, "the trace missed the daemon's life"
    refused = calls - allowed_syscalls(unit_dir / "convd@.service")
    refused.discard("prlimit64")  # the C library asks for the stack's limit, and takes its default where it may not
    if os.geteuid() == 0:
        refused.discard("fchown")  # SQLite gives the WAL to the database's owner, where it runs as root; in the unit it does not
    assert refused == set()
    families = set(re.findall(r"\bsocket\((AF_\w+)", text))
    assert families <= {"AF_UNIX"}, "RestrictAddressFamilies= would refuse the others"
