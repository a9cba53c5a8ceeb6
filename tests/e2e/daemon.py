"""A convd process under test, and an HTTP client that hides nothing of the answer."""
from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
CONVD = Path(os.environ.get("CONVD", ROOT / "build" / "convd")).resolve()

# So long that nothing ends by them while a test waits.
FOREVER = ("--idle-seconds", "3600", "--request-seconds", "3600")

# Nor does a request end by its time, if no test says so: how quick convd is, on what machine and beside what, is not their subject.
PATIENT = {"CONVD_REQUEST_SECONDS": "300"}

# What a sanitizer or an assertion of ours writes to stderr before the process ends, or instead of it.
REPORTS = ("Sanitizer", "runtime error:", "Assertion", "stack smashing", "double free", "corrupted")


def is_sanitized() -> bool:
    """Told by CONVD_SANITIZED=1, or seen in the binary: then timing and memory figures mean nothing."""
    if os.environ.get("CONVD_SANITIZED"):
        return os.environ["CONVD_SANITIZED"] == "1"
    binary = CONVD.read_bytes() if CONVD.exists() else b""
    return b"__asan_init" in binary or b"__tsan_init" in binary


SANITIZED = is_sanitized()
PATIENCE_S = 240 if SANITIZED else 120  # for whatever must happen: of a machine that has much else to do


def clean_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The caller's environment without what would configure convd or stand for systemd."""
    names = ("CONVD_", "LISTEN_", "NOTIFY_", "WATCHDOG_", "JOURNAL_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(names)}
    env.update(extra or {})
    return env


def convd(*args: str | Path, check: bool = True, env: dict[str, str] | None = None, binary: Path = CONVD,
          **kwargs) -> subprocess.CompletedProcess:
    """Runs one verb to its end. check: it must succeed."""
    kwargs.setdefault("timeout", 5 * PATIENCE_S)
    done = subprocess.run([str(binary), *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=clean_environment(env), **kwargs)
    stderr = done.stderr.decode(errors="replace")
    assert not any(word in stderr for word in REPORTS), stderr
    assert done.returncode >= 0, f"convd {args}: killed by signal {-done.returncode}: {stderr}"
    if check:
        assert done.returncode == 0, f"convd {args}: exit {done.returncode}: {stderr}"
    return done


# One step a sample, of the image as it is, by one rate: what a test can count.
PLAIN = {"--normalize": "none", "--rehearsal": "0", "--rehearsal-first": "0", "--rehearsal-idle": "0", "--jitter": "0",
         "--rotation": "0", "--decay-steps": "60000", "--output-rate": "1", "--imprint": "0"}


def words(flags: dict[str, str]) -> list[str]:
    return [word for pair in flags.items() for word in pair]


def convd_json(*args: str | Path, check: bool = True, env: dict[str, str] | None = None) -> dict:
    return json.loads(convd(*args, "--json", check=check, env=env).stdout)


class Answer:
    """Status, headers (a list of pairs) and body of one answer."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name: str) -> str | None:
        found = [v for n, v in self.headers if n.lower() == name.lower()]
        assert len(found) <= 1, f"{name} comes {len(found)} times"
        return found[0] if found else None

    def json(self):
        kind = (self.header("Content-Type") or "").split(";")[0]
        assert kind in ("application/json", "application/problem+json"), f"{kind}: {self.body[:300]!r}"
        return json.loads(self.body)

    def ok(self, status: int = 200) -> dict | None:
        assert self.status == status, f"status {self.status}: {self.body[:500]!r}"
        return self.json() if self.body and "json" in (self.header("Content-Type") or "") else None

    def problem(self, status: int | tuple[int, ...], kind: str | None = None, pointer: str | None = None) -> dict:
        """The answer is a complete application/problem+json of that status, type and pointer."""
        statuses = (status,) if isinstance(status, int) else status
        assert self.status in statuses, f"status {self.status}, not {status}: {self.body[:500]!r}"
        assert (self.header("Content-Type") or "").split(";")[0] == "application/problem+json"
        document = json.loads(self.body)
        assert document["status"] == self.status
        assert document["type"].startswith("urn:convd:problem:")
        assert document["title"] and document["detail"]
        assert "\n" not in document["detail"]
        if kind is not None:
            assert document["type"] == f"urn:convd:problem:{kind}", document
        if pointer is not None:
            assert document.get("pointer") == pointer, document
        return document

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:200]!r}>"


class Requests:
    """What is asked by request(), of a daemon or over one connection."""

    def get(self, path: str, **kwargs) -> Answer:
        return self.request("GET", path, **kwargs)

    def post(self, path: str, body: bytes = b"", content_type: str | None = "application/octet-stream",
             headers: dict[str, str] | None = None) -> Answer:
        return self.request("POST", path, body, {"Content-Type": content_type, **(headers or {})})

    def send_json(self, method: str, path: str, document) -> Answer:
        return self.request(method, path, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def train(self, label: str, body: bytes, content_type: str = "application/octet-stream", **kwargs) -> Answer:
        return self.post("/train?label=" + quote(label), body, content_type, **kwargs)


class Client(Requests):
    """One kept-alive connection."""

    def __init__(self, port: int, timeout_s: float = PATIENCE_S):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)

    def request(self, method: str, path: str, body: bytes | None = None,
                headers: dict[str, str] | None = None) -> Answer:
        headers = dict(headers or {})
        if body is not None and "Content-Type" not in headers:
            headers["Content-Type"] = "application/octet-stream"
        headers = {k: v for k, v in headers.items() if v is not None}
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Daemon(Requests):
    """`convd serve` on a database, on a free port. Every request has its own connection, unless client() is used."""

    def __init__(self, directory: Path, db: Path, *flags: str | Path, env: dict[str, str] | None = None,
                 popen: dict | None = None, command: list[str] | None = None):
        self.directory, self.db = directory, db
        self.flags = [str(flag) for flag in flags]
        self.env, self.popen, self.command = env, popen or {}, command or [str(CONVD)]
        self.process: subprocess.Popen | None = None
        self.starts = 0
        self.port = 0

    # ---- the process ----

    @property
    def stderr(self) -> str:
        """All that this and earlier processes of this daemon wrote."""
        return "".join(p.read_text(errors="replace") for p in sorted(self.directory.glob("daemon-*.err")))

    def spawn(self) -> None:
        self.starts += 1
        name = self.directory / f"daemon-{id(self):x}-{self.starts:03}"
        self.out = name.with_suffix(".out")
        self.err = name.with_suffix(".err")
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*self.command, "serve", "--db", str(self.db), "--listen", "127.0.0.1:0", *self.flags],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=clean_environment(PATIENT | (self.env or {})), **self.popen)

    def listening(self, on: str = r"http://127\.0\.0\.1:(\d+)") -> re.Match:
        """Its line of that address, once it is there."""
        def line() -> re.Match | None:
            ended = self.process.poll()
            found = re.search(rf"^listening on {on}\n", self.out.read_text(), re.MULTILINE)
            assert found or ended is None, f"exit {ended}: {self.err.read_text()}"
            return found
        return until(line, "the line of its address")

    def start(self) -> Daemon:
        self.spawn()
        self.port = int(self.listening()[1])
        return self

    def logged(self, words: str, times: int = 1) -> None:
        """Waits until this process has written them so often: what others see of a thing may come before its line."""
        until(lambda: self.err.read_text(errors="replace").count(words) >= times, f"{words!r} in the log")

    def fails_to_start(self) -> tuple[int, str]:
        """Exit code and stderr of a start that must not succeed."""
        self.spawn()
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it runs: {self.out.read_text()}") from None
        self.process = None
        text = self.err.read_text()
        assert code > 0, f"killed by signal {-code}" if code < 0 else "exit 0"
        assert "listening on" not in self.out.read_text()
        assert not any(word in text for word in REPORTS), text
        return code, text

    def kill(self) -> None:
        """kill -9: nothing gets a chance to be flushed, saved or said."""
        assert self.process.poll() is None, "it was dead already"
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.process = None

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Asks it to end, which it must do well."""
        assert self.process.poll() is None, f"it was dead already: {self.process.returncode}: {self.err.read_text()}"
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self.process = None
        assert code == 0, f"exit {code} after signal {number}: {self.err.read_text()}"

    def restart(self) -> Daemon:
        if self.process is not None:
            self.stop()
        return self.start()

    def check(self) -> None:
        """It has not died by itself, and nothing has complained."""
        if self.process is not None:
            code = self.process.poll()
            assert code is None, f"the daemon ended by itself, {code}: {self.err.read_text()}"
        text = self.stderr
        assert not any(word in text for word in REPORTS), text

    def rss_bytes(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    # ---- requests ----

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, timeout_s: float = PATIENCE_S) -> Client:
        return Client(self.port, timeout_s)

    def request(self, *args, **kwargs) -> Answer:
        with self.client() as client:
            return client.request(*args, **kwargs)

    def serves(self) -> bool:
        """Whether it answers: not where all its places are taken."""
        try:
            return self.get("/healthz").status == 200
        except OSError:
            return False

    def labels(self) -> list[str]:
        return [c["label"] for c in self.get("/classes").ok()["classes"]]

    def predict(self, body: bytes, content_type: str | None = "application/octet-stream", query: str = "") -> dict:
        return self.post("/predict" + query, body, content_type).ok()

    def model(self) -> dict:
        return self.get("/model").ok()

    def digest(self) -> str:
        return self.model()["digest"]

    # ---- bytes on a socket ----

    def connect(self, timeout_s: float = PATIENCE_S) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def raw(self, data: bytes, timeout_s: float = PATIENCE_S) -> bytes:
        """Sends data, then reads until the daemon closes the connection. A reset ends it too."""
        with self.connect(timeout_s) as connection:
            try:
                connection.sendall(data)
            except OSError:
                pass  # it may close before all is sent; what it said first can still be read
            return read_to_end(connection)


def until(condition, what: str, pause_s: float = 0.005):
    """Asks again and again until the answer is true, and returns it. Tests wait with this alone: never for a time in which a
    thing should have happened."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(pause_s)
    raise AssertionError(f"{what}: not within {PATIENCE_S} s")


def lasting_port() -> int:
    """A free port for a daemon that goes and comes back: none of those that the kernel gives to whoever asks for any."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(1024, first)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def read_to_end(connection: socket.socket) -> bytes:
    received = b""
    while True:
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            return received
        if not part:
            return received
        received += part


def status_of(raw: bytes) -> int:
    """The status of the (first) answer in raw bytes; 0 where there is none."""
    line = raw.split(b"\r\n", 1)[0].split(b" ")
    return int(line[1]) if len(line) > 1 and line[0] in (b"HTTP/1.1", b"HTTP/1.0") else 0


def parse(raw: bytes) -> Answer:
    """One whole answer out of raw bytes."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = [(line.partition(":")[0], line.partition(":")[2].strip()) for line in lines[1:]]
    return Answer(status_of(raw), headers, body)
