"""part_serve.py - the service: POST /predict of every kind of body against a bare handler, batches against the arithmetic, memory over a million.

Load generator and server share the machine's cores. Rounds of wrk alternate between convd and bench/bare; a figure is the median of its
rounds. bare sends back the very answer that convd gave to that body, which is compared byte by byte (but for the date) before anything is timed.
"""
import gzip
import json
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from procs import HERE, BenchError, Server, Worker, exchange, load, undisturbed
from report import Report, at_least, at_most, median

CONNECTIONS = 16
REQUESTS = 1_000_000
BATCH = 256
LACK = "load generator not there: install wrk"
DIGITS = HERE.parent / "examples/digits"


@dataclass
class Body:
    kind: str
    what: str
    content_type: str
    path: Path
    goal: float
    rounds: float  # as a part of those of the raw body
    over_us: float | None = None  # at most, of processor time over a bare handler and the forward pass


def digit() -> bytes:
    """The first test digit of examples/, 28x28."""
    return gzip.decompress((DIGITS / "test-images.idx3-ubyte.gz").read_bytes())[16:16 + 784]


def bodies(out: Path) -> list[Body]:
    raw, text = out / "body.raw", out / "body.json"
    raw.write_bytes(digit())
    text.write_text(json.dumps({"image": {"pixels": list(digit())}}))
    return [
        Body("raw", f"POST /predict, raw body, {CONNECTIONS} connections", "application/octet-stream", raw, 0.85, 1, 2.0),
        Body("png", "POST /predict, PNG", "image/png", DIGITS / "7.png", 0.6, 0.5, 6.0),
        Body("json", "POST /predict, JSON with 784 pixels", "application/json", text, 0.35, 0.5),
    ]


def memory_of_connection() -> str:
    """What server/http/http.c gives libmicrohttpd for a connection: the one setting of its that is no default of the daemon's."""
    found = re.search(r"#define CONNECTION_MEMORY_BYTES[\s\\]+(\d+)", (HERE.parent / "server/http/http.c").read_text())
    if not found:
        raise BenchError("server/http/http.c no longer says CONNECTION_MEMORY_BYTES: the bare handler cannot have the same")
    return found[1]


def headers_and_body(answer: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    return [lines[0]] + sorted(line for line in lines[1:] if not line.lower().startswith(b"date:")), body


class Measured:
    """One server under one kind of load: its rounds, and what they cost."""

    def __init__(self, server: Server, body: Body):
        self.server, self.body, self.rounds = server, body, []

    def round(self, counts: bool = True) -> int:
        result = load(self.server, "/predict", self.body.path, 1, CONNECTIONS, self.body.content_type)
        if counts:
            self.rounds.append(result)
        return result["requests"]

    @property
    def disturbed(self) -> str:
        return undisturbed(self.rounds)[1]

    def median(self, key: str) -> float:
        return median([r[key] for r in undisturbed(self.rounds)[0]])


class Memory:
    """Resident memory of the daemon over all predictions that it answered."""

    def __init__(self, server: Server):
        self.server, self.points = server, [(0, server.resident_mib())]

    def add(self, requests: int) -> None:
        self.points.append((self.points[-1][0] + requests, self.server.resident_mib()))

    def report(self, report: Report) -> None:
        start, warm, end = self.points[0][1], self.points[1], self.points[-1]
        report.add("memory-start", "resident memory, default daemon, after start", "MiB", start, goal=at_most(24))
        report.add("memory-end", f"  after {end[0] / 1e6:.1f} million predictions", "MiB", end[1], goal=at_most(24))
        report.add("memory-growth", f"  growth since prediction {warm[0]:,}", "MiB", end[1] - warm[1], goal=at_most(0.5))


# ---- the arithmetic alone, in the same run ----

def arithmetic_us(build: Path, out: Path, verb: str) -> float | None:
    """Microseconds an image, or a step, of the best instruction set: the mean over 20 slices, since rates of the service are means too."""
    with Worker(build / "bench/bench_core", out / "exchange.bin") as core:
        try:
            return sum(core.number(verb, core.ready[0], 1024) / 1e3 for _ in range(20)) / 20
        except BenchError:
            return None  # it does not know that verb


# ---- rows ----

def bound(ours: Measured, bare: Measured, forward_us: float) -> tuple[float, str]:
    """The cores are full in either case. So even a service that adds nothing but the forward pass to a bare handler cannot pass this ratio."""
    wrk, server = bare.median("wrk_us"), bare.median("server_us")
    ratio = (wrk + server) / (wrk + server + forward_us)
    return ratio, (f"at most {ratio:.3f} can be had here: wrk {wrk:.1f} + bare {server:.1f} us of processor time, forward alone +{forward_us:.1f} "
                   f"(convd +{ours.median('server_us') - server:.1f})")


def over_bare(ours: Measured, bare: Measured) -> float:
    """Of pairs of rounds, since the machine has slower minutes: the median of what convd took more."""
    return median([a["server_us"] - b["server_us"] for a, b in zip(ours.rounds, bare.rounds)])


def predict(report: Report, memory: Memory, pair: tuple[Measured, Measured], n_rounds: int, forward_us: float) -> None:
    ours, bare = pair
    body = ours.body
    for measured in pair:
        requests = measured.round(counts=False)
        if measured is ours:
            memory.add(requests)
    for _ in range(n_rounds):
        memory.add(ours.round())
        bare.round()
    most, note = bound(ours, bare, forward_us)
    disturbed = ours.disturbed or bare.disturbed
    common = {"judged": not disturbed}
    a, b = ours.median("rate"), bare.median("rate")
    report.add(f"serve-{body.kind}", body.what, "/s", a, "bare handler", b, a / b, at_least(body.goal), disturbed or note, **common)
    report.raw.setdefault("serve", {}).setdefault("bound", {})[body.kind] = most
    report.add(f"serve-{body.kind}-over", "  processor time of the server over a bare handler + forward", "us",
               over_bare(ours, bare) - forward_us, goal=body.over_us and at_most(body.over_us), **common)
    if body.kind != "raw":
        return
    a_rate, b_rate = a, b
    a, b = ours.median("p50_us"), bare.median("p50_us")
    report.add("serve-p50", "  its median latency", "us", a, "bare handler", b, b / a)
    a, b = ours.median("p99_us"), bare.median("p99_us")
    report.add("serve-p99", "  its 99th percentile", "us", a, "bare handler", b, b / a, at_least(1 / 1.5), disturbed or f"at most 1.5 times as long; a mean of {b_rate / a_rate:.2f} follows from the rates ({CONNECTIONS} requests are always on their way)", **common)
    a, b = ours.median("server_us"), bare.median("server_us")
    report.add("serve-cpu", "  processor time of the server a request", "us", a, "bare handler", b, b / a)


def compare(report: Report, build: Path, out: Path, server: Server, memory: Memory, n_rounds: int, forward_us: float) -> None:
    for body in bodies(out):
        bytes_ = body.path.read_bytes()
        answer = exchange(server.url + "/predict", "POST", bytes_, body.content_type)
        file = out / f"answer-{body.kind}.http"
        file.write_bytes(answer)
        with Server(build / "bench/bare", file, str(len(bytes_)), memory_of_connection()) as bare:
            echoed = exchange(bare.url + "/predict", "POST", bytes_, body.content_type)
            if headers_and_body(echoed) != headers_and_body(answer):
                raise BenchError(f"the bare handler answers otherwise than convd: {echoed!r} instead of {answer!r}")
            pair = Measured(server, body), Measured(bare, body)
            predict(report, memory, pair, max(3, round(n_rounds * body.rounds)), forward_us)
            bare.stop()
        report.raw["serve"][body.kind] = {"convd": pair[0].rounds, "bare": pair[1].rounds, "answer_bytes": len(answer)}


def batches(report: Report, out: Path, server: Server, memory: Memory, batch_us: float | None) -> None:
    """By the processor time of the server, since the arithmetic has one core: what all that is not arithmetic costs an image. Beside it the rate of
    one connection, on which the server waits for each next request while the load generator writes it."""
    path = out / "body.batch"
    path.write_bytes(digit() * BATCH)
    results = [load(server, "/predict", path, 1, 1) for _ in range(7)]
    memory.add(sum(r["requests"] for r in results))
    quiet, disturbed = undisturbed(results)
    served, waited, pure = (1e6 * BATCH / median([r["server_us"] for r in quiet]), median([r["rate"] * BATCH for r in quiet]),
                            1e6 / batch_us if batch_us else None)
    report.add("serve-batch", f"POST /predict, {BATCH} raw images a request, a core of the server", "/s", served, "arithmetic, batched", pure,
               served / pure if pure else None, at_least(0.8), disturbed or "images; by processor time", judged=not disturbed)
    report.add("serve-batch-wall", "  over one connection, waits included", "/s", waited, "arithmetic, batched", pure, waited / pure if pure else None)
    report.raw["serve"]["batch"] = results


def measure(report: Report, build: Path, out: Path, n_rounds: int) -> None:
    if shutil.which("wrk") is None:
        report.lack(LACK)
        report.add("serve-raw", "POST /predict, raw body", "/s", None, goal=at_least(0.85), note=LACK)
        report.add("memory-end", "resident memory after a million predictions", "MiB", None, goal=at_most(24), note=LACK)
        return
    alone = {verb: arithmetic_us(build, out, verb) for verb in ("forward", "batch")}
    with tempfile.TemporaryDirectory(dir=out) as folder, \
         Server(build / "convd", "serve", "--db", Path(folder) / "model.db", "--listen", "127.0.0.1:0") as server:
        time.sleep(0.5)
        memory = Memory(server)
        compare(report, build, out, server, memory, n_rounds, alone["forward"])
        batches(report, out, server, memory, alone["batch"])
        filler = Measured(server, bodies(out)[0])
        while memory.points[-1][0] < REQUESTS:
            memory.add(filler.round(counts=False))
        memory.report(report)
        report.raw["serve"] |= {"memory": memory.points, "alone_us": alone}
        server.stop()
