"""part_serve.py - the service: POST /predict of a raw body against a bare handler, memory over a million requests, and /train.

Load generator and server share the machine's cores. Rounds of wrk alternate between convd and bench/bare; a figure is the median of its
rounds. bare sends back the very answer that convd gave, which is compared byte by byte (but for the date) before anything is timed.
"""
import json
import re
import shutil
import tempfile
import time
from pathlib import Path

from procs import HERE, BenchError, Server, exchange, load
from report import Report, at_least, at_most, median

CONNECTIONS = 16
ROUND_SECONDS = 2
REQUESTS = 1_000_000
LACK = "load generator not there: install wrk"


def body_of(out: Path, n_bytes: int) -> Path:
    """A 28x28 seven, bold, or any other pattern that fits: what the bytes are does not matter to either."""
    path = out / "body.raw"
    image = bytearray(n_bytes)
    for i in range(n_bytes):
        y, x = divmod(i, 28)
        if (5 <= y < 8 and 7 <= x < 21) or (8 <= y < 24 and abs(x - (20 - (y - 8) * 0.6)) < 1.6):
            image[i] = 250
    path.write_bytes(image)
    return path


def memory_of_connection() -> str:
    """What server/http.c gives libmicrohttpd for a connection: the one setting of its that is no default of the daemon's."""
    found = re.search(r"#define CONNECTION_MEMORY_BYTES[\s\\]+(\d+)", (HERE.parent / "server/http.c").read_text())
    if not found:
        raise BenchError("server/http.c no longer says CONNECTION_MEMORY_BYTES: the bare handler cannot have the same")
    return found[1]


def headers_and_body(answer: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    return [lines[0]] + sorted(line for line in lines[1:] if not line.lower().startswith(b"date:")), body


class Measured:
    """One server under load: its rounds, and what it cost."""

    def __init__(self, server: Server, body: Path):
        self.server, self.body, self.rounds, self.requests, self.cpu = server, body, [], 0, []
        self.memory = [(0, server.resident_mib())]

    def round(self, seconds: float, counts: bool = True) -> None:
        before = self.server.cpu_seconds()
        result = load(self.server.url + "/predict", self.body, seconds, CONNECTIONS)
        self.requests += result["requests"]
        self.memory.append((self.requests, self.server.resident_mib()))
        if counts:
            self.rounds.append(result)
            self.cpu.append((self.server.cpu_seconds() - before) / result["requests"] * 1e6)

    def median(self, key: str) -> float:
        return median([r[key] for r in self.rounds])


def predict(report: Report, ours: Measured, bare: Measured, n_rounds: int) -> None:
    for measured in (ours, bare):
        measured.round(1, counts=False)
    for _ in range(n_rounds):
        for measured in (ours, bare):
            measured.round(ROUND_SECONDS)
    a, b = ours.median("rate"), bare.median("rate")
    report.add("serve-rate", f"POST /predict, raw body, {CONNECTIONS} connections", "/s", a, "bare handler", b, a / b, at_least(0.6))
    for key, name in (("p50_us", "median"), ("p99_us", "99th percentile")):
        a, b = ours.median(key), bare.median(key)
        report.add(f"serve-{key[:3]}", f"  its {name} latency", "us", a, "bare handler", b, b / a if a else None)
    a, b = median(ours.cpu), median(bare.cpu)
    report.add("serve-cpu", "  processor time of the server a request", "us", a, "bare handler", b, b / a)


def memory(report: Report, ours: Measured) -> None:
    while ours.requests < REQUESTS:
        ours.round(ROUND_SECONDS, counts=False)
    start, warm, end = ours.memory[0][1], ours.memory[1], ours.memory[-1]
    report.add("memory-start", "resident memory, default daemon, after start", "MiB", start, goal=at_most(24))
    report.add("memory-end", f"  after {end[0] / 1e6:.1f} million predictions", "MiB", end[1], goal=at_most(24))
    report.add("memory-growth", f"  growth since prediction {warm[0]:,}", "MiB", end[1] - warm[1], goal=at_most(0.5))


def train(report: Report, url: str, body: Path) -> None:
    step = json.loads(headers_and_body(exchange(url + "/model", "GET"))[1])["step"]
    requests = 0
    for connections in (1, CONNECTIONS):
        result = load(url + "/train?label=7", body, ROUND_SECONDS, connections)
        requests += result["requests"]
        many = f"{connections} connection{'s' if connections > 1 else ''}"
        report.add(f"serve-train-{connections}", f"POST /train, one durable sample each, {many}", "/s", result["rate"],
                   note=f"p50 {result['p50_us']} us, p99 {result['p99_us']} us; disk sync {report.machine['disk_sync_ms']} ms")
    learned = json.loads(headers_and_body(exchange(url + "/model", "GET"))[1])["step"] - step
    if learned < requests:
        raise BenchError(f"{requests} samples were acknowledged, but the model made {learned} steps")


def measure(report: Report, build: Path, out: Path, n_rounds: int) -> None:
    if shutil.which("wrk") is None:
        report.lack(LACK)
        report.add("serve-rate", "POST /predict, raw body", "/s", None, goal=at_least(0.6), note=LACK)
        report.add("memory-end", "resident memory after a million predictions", "MiB", None, goal=at_most(24), note=LACK)
        return
    with tempfile.TemporaryDirectory(dir=out) as folder, \
         Server(build / "convd", "serve", "--db", Path(folder) / "model.db", "--listen", "127.0.0.1:0") as server:
        time.sleep(0.5)
        body = body_of(out, 784)
        ours = Measured(server, body)
        answer = exchange(server.url + "/predict", "POST", body.read_bytes())
        (out / "answer.http").write_bytes(answer)
        with Server(build / "bench/bare", out / "answer.http", "784", memory_of_connection()) as bare:
            echoed = exchange(bare.url + "/predict", "POST", body.read_bytes())
            if headers_and_body(echoed) != headers_and_body(answer):
                raise BenchError(f"the bare handler answers otherwise than convd: {echoed!r} instead of {answer!r}")
            theirs = Measured(bare, body)
            predict(report, ours, theirs, n_rounds)
            bare.stop()
        memory(report, ours)
        train(report, server.url, body)
        report.raw["serve"] = {"convd": ours.rounds, "bare": theirs.rounds, "memory": ours.memory, "answer_bytes": len(answer)}
        server.stop()
