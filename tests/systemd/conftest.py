"""Fixtures for the systemd tests: the binary under test, and daemons that are stopped whatever happens."""
import os
import re
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120  # for whatever must happen


@pytest.fixture(scope="session")
def convd() -> Path:
    path = Path(os.environ.get("CONVD", ROOT / "build" / "convd")).resolve()
    assert path.exists(), f"{path} is not built: run make first"
    return path


class NotifySocket:
    """The service manager's end of sd_notify(3): collects what the daemon says."""

    def __init__(self, path: Path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.received: list[tuple[float, str]] = []
        self.daemon: "Daemon | None" = None  # the last one that was started

    def expect(self, word: str, timeout_s: float = PATIENCE_S) -> float:
        """Waits for the next message that has the line `word`; returns when it came (time.monotonic())."""
        deadline = time.monotonic() + timeout_s
        self.socket.settimeout(0.2)
        while time.monotonic() < deadline:
            ended = self.daemon is not None and self.daemon.process.poll() is not None
            try:
                message = self.socket.recv(4096).decode()
            except TimeoutError:
                if ended:
                    break
                continue
            self.received.append((time.monotonic(), message))
            if word in message.splitlines():
                return self.received[-1][0]
        log = self.daemon.log.read_text(errors="replace")[-2000:] if self.daemon else ""
        raise AssertionError(f"no {word} within {timeout_s} s; heard {[m for _, m in self.received]}; the daemon said:\n{log}")


class Daemon:
    def __init__(self, process: subprocess.Popen, port: int, log: Path):
        self.process, self.port, self.log = process, port, log

    trusted: Path | None = None  # its certificate, where it speaks TLS
    token: str | None = None

    def get(self, path: str, body: bytes | None = None, timeout_s: float = PATIENCE_S) -> tuple[int, bytes]:
        scheme, context = ("https", ssl.create_default_context(cafile=self.trusted)) if self.trusted else ("http", None)
        request = urllib.request.Request(f"{scheme}://127.0.0.1:{self.port}{path}", data=body)
        request.add_header("Content-Type", "application/octet-stream")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=timeout_s, context=context) as answer:
            return answer.status, answer.read()

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


@pytest.fixture
def secured(tmp_path: Path) -> tuple[tuple[str, ...], Path, str]:
    """Flags for TLS and a writing token; the certificate, and the token."""
    cert, key, token = tmp_path / "convd.crt", tmp_path / "convd.key", tmp_path / "token"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True, stdin=subprocess.DEVNULL)
    token.write_text("writing-0123456789abcdef\n")
    for path in (key, token):
        path.chmod(0o600)
    flags = ("--tls-cert", str(cert), "--tls-key", str(key), "--write-token-file", str(token))
    return flags, cert, "writing-0123456789abcdef"


@pytest.fixture
def notify(tmp_path: Path) -> NotifySocket:
    return NotifySocket(tmp_path / "notify")


@pytest.fixture
def start(convd: Path, tmp_path: Path):
    """start(...) - starts `convd serve` as systemd does: a listening socket as descriptor 3, NOTIFY_SOCKET, WATCHDOG_USEC."""
    daemons: list[Daemon] = []

    def start_daemon(db: Path, notify: NotifySocket | None = None, watchdog_s: float | None = None,
                     wrapper: tuple[str, ...] = (), flags: tuple[str, ...] = ()) -> Daemon:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        port = listener.getsockname()[1]
        env = {k: v for k, v in os.environ.items() if not k.startswith(("CONVD_", "LISTEN_", "NOTIFY_", "WATCHDOG_"))}
        env["LISTEN_FDS"] = "1"
        if notify:
            env["NOTIFY_SOCKET"] = str(notify.path)
        pids = "export LISTEN_PID=$$"
        if watchdog_s:
            env["WATCHDOG_USEC"] = str(int(watchdog_s * 1e6))
            pids += " WATCHDOG_PID=$$"
        # The shell puts the socket at 3 and its own pid, which exec keeps, into LISTEN_PID.
        fd = os.dup(listener.fileno())
        script = f'exec 3<&{fd}; {pids}; exec "$@"'
        log = tmp_path / f"daemon-{len(daemons)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*wrapper, "bash", "-c", script, "bash", str(convd), "serve", "--db", str(db), *flags],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env, pass_fds=[fd],
            )
        os.close(fd)
        listener.close()
        daemons.append(Daemon(process, port, log))
        if notify:
            notify.daemon = daemons[-1]
        return daemons[-1]

    yield start_daemon
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()


def wait_for_line(log: Path, pattern: str, timeout_s: float = PATIENCE_S) -> re.Match:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if log.exists() and (found := re.search(pattern, log.read_text(errors="replace"))):
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {pattern!r} within {timeout_s} s in:\n{log.read_text() if log.exists() else '(no log)'}")
