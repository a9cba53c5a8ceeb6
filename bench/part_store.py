"""part_store.py - what the log costs: durable training against a bare handler and against the arithmetic, the start on a long log, replay,
and predictions while training runs at full rate.

As in part_serve.py, rounds of what is compared alternate, and the arithmetic alone is measured in the same run, so that a ratio means
something also on a machine that others use.
"""
import json
import re
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from part_serve import CONNECTIONS, LACK, arithmetic_us, digit, memory_of_connection
from procs import ENVIRONMENT, INIT_PLAIN, BenchError, Server, exchange, load, undisturbed
from report import Report, at_least, at_most, median

BATCH = 1000
SINGLES = 64       # connections of the durable single sample
STARTS = 7
REPLAYS = 3
FILL = 4096        # samples a request while the long log is made: --batch-images
OCTETS = "application/octet-stream"


def serve(build: Path, db: Path) -> Server:
    if not db.exists():
        subprocess.run([build / "convd", "init", "--db", db, *INIT_PLAIN], check=True, capture_output=True, env=ENVIRONMENT)
    return Server(build / "convd", "serve", "--db", db, "--listen", "127.0.0.1:0")


def start_of(build: Path, db: Path) -> tuple[float, float]:
    """Milliseconds until it listens, and MiB resident then."""
    begin = time.monotonic()
    with serve(build, db) as server:
        took = (time.monotonic() - begin) * 1e3
        memory = server.resident_mib()
        server.stop()
    return took, memory


def starts(report: Report, build: Path, folder: Path, long: Path, n: int) -> None:
    empty = folder / "empty.db"
    start_of(build, empty)
    pairs = [(start_of(build, long), start_of(build, empty)) for _ in range(STARTS)]
    ours, theirs = ([median([pair[i][k] for pair in pairs]) for k in range(2)] for i in range(2))
    what = f"start with a log of {n:,} samples and a fresh snapshot"
    report.add("start-long", what, "ms", ours[0], "empty log", theirs[0], theirs[0] / ours[0], at_most(100))
    report.add("start-memory", "  its resident memory", "MiB", ours[1], "empty log", theirs[1], theirs[1] / ours[1], at_least(0.8))
    report.raw["store"]["starts"] = pairs


def fill(server: Server, n: int) -> None:
    body = digit() * FILL
    for _ in range(n // FILL):
        exchange(server.url + "/train?label=7", "POST", body, OCTETS)


def batches(report: Report, out: Path, server: Server, build: Path, n_rounds: int) -> None:
    """Requests of 1,000 raw images on three connections, so that one is received and one written while one is learned."""
    path, rounds, alone = out / "body.thousand", [], []
    path.write_bytes(digit() * BATCH)
    for _ in range(n_rounds):
        rounds.append(load(server, "/train?label=7", path, 2, 3))
        alone.append(arithmetic_us(build, out, "step"))
    quiet, disturbed = undisturbed(rounds)
    rate, pure = median([r["rate"] * BATCH for r in quiet]), 1e6 / median(alone)
    report.add("train-batch", f"POST /train, {BATCH:,} raw images a request, durable", "/s", rate, "arithmetic alone", pure, rate / pure, at_least(0.7),
               disturbed, judged=not disturbed)
    report.raw["store"] |= {"batches": rounds, "step_us": alone}


def singles(report: Report, build: Path, out: Path, server: Server, n_rounds: int) -> None:
    path = out / "body.one"
    path.write_bytes(digit())
    file = out / "answer-train.http"
    file.write_bytes(exchange(server.url + "/train?label=7", "POST", digit(), OCTETS))
    ours, bare_rounds = [], []
    with Server(build / "bench/bare", file, str(len(digit())), memory_of_connection()) as bare:
        for _ in range(n_rounds):
            ours.append(load(server, "/train?label=7", path, 1, SINGLES))
            bare_rounds.append(load(bare, "/train?label=7", path, 1, SINGLES))
        bare.stop()
    (quiet, disturbed), (quiet_bare, disturbed_bare) = undisturbed(ours), undisturbed(bare_rounds)
    a, b = median([r["rate"] for r in quiet]), median([r["rate"] for r in quiet_bare])
    disturbed = disturbed or disturbed_bare
    report.add("train-single", f"POST /train, one raw image, durable, {SINGLES} connections", "/s", a, "bare handler", b, a / b, at_least(0.4), disturbed,
               judged=not disturbed)
    report.raw["store"] |= {"singles": ours, "bare": bare_rounds}


def predictions(report: Report, out: Path, server: Server, n_rounds: int) -> None:
    """p99 of /predict at rest and while somebody trains as fast as he is answered, in turn."""
    path, rest, busy = out / "body.one", [], []
    thousand = digit() * BATCH
    for _ in range(n_rounds):
        rest.append(load(server, "/predict", path, 1, CONNECTIONS))
        over = threading.Event()

        def teach():
            while not over.is_set():
                exchange(server.url + "/train?label=7", "POST", thousand, OCTETS)
        teachers = [threading.Thread(target=teach) for _ in range(2)]
        for teacher in teachers:
            teacher.start()
        try:
            busy.append(load(server, "/predict", path, 1, CONNECTIONS))
        finally:
            over.set()
            for teacher in teachers:
                teacher.join()
    a, b = median([r["p99_us"] for r in busy]), median([r["p99_us"] for r in rest])
    disturbed = undisturbed(rest)[1]
    report.add("predict-training", "POST /predict, 99th percentile while training runs at full rate", "us", a, "at rest", b, b / a, at_least(1 / 3),
               disturbed or "at most 3 times as long", judged=not disturbed)
    report.raw["store"] |= {"predict_rest": rest, "predict_training": busy}


def replay(report: Report, build: Path, out: Path, db: Path) -> int:
    """convd verify: SQLite's check of every page and index, then all of the log from nothing, each link and each outcome checked, on one core; by the
    processor time that it took. The machine has slower minutes, so each of REPLAYS rounds has the step alone before and after it, and the median
    of the rounds' ratios counts."""
    rounds = []
    for _ in range(REPLAYS):
        alone = [arithmetic_us(build, out, "step") for _ in range(3)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([build / "convd", "verify", "--db", db, "--json", "--quiet"], capture_output=True, text=True, check=True, env=ENVIRONMENT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        verdict, seconds = json.loads(done.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        alone += [arithmetic_us(build, out, "step") for _ in range(3)]
        rounds.append({"rate": verdict["step"] / seconds, "pure": 1e6 * len(alone) / sum(alone)})
    rate, pure, ratio = median([r["rate"] for r in rounds]), median([r["pure"] for r in rounds]), median([r["rate"] / r["pure"] for r in rounds])
    report.add("replay", f"convd verify: {verdict['step']:,} steps replayed and compared", "/s", rate, "arithmetic alone", pure, ratio, at_least(0.8))
    report.raw["store"] |= {"verdict": verdict, "verify": rounds}
    return verdict["step"]


def rebuild(report: Report, build: Path, out: Path, db: Path, steps: int) -> None:
    """The first sample is forgotten, so that all that follows is learned again, in the daemon; by its processor time."""
    alone = [arithmetic_us(build, out, "step") for _ in range(3)]
    with serve(build, db) as server:
        before = server.cpu_seconds()
        answer = exchange(server.url + "/samples/1", "DELETE")
        job = server.url + re.search(rb"(?i)\r\nlocation: (\S+)", answer)[1].decode()
        while (status := json.loads(exchange(job, "GET").partition(b"\r\n\r\n")[2]))["state"] == "running":
            time.sleep(0.1)
        seconds = server.cpu_seconds() - before
        server.stop()
    if status["state"] != "done":
        raise BenchError(f"the rebuild ended otherwise: {status}")
    alone += [arithmetic_us(build, out, "step") for _ in range(3)]
    rate, pure = (steps - 1) / seconds, 1e6 * len(alone) / sum(alone)
    report.add("rebuild", "rebuild of all of that, after the first sample was forgotten", "/s", rate, "arithmetic alone", pure, rate / pure, at_least(0.8))
    report.raw["store"] |= {"rebuild_cpu_seconds": seconds, "rebuild_step_us": alone}


def measure(report: Report, build: Path, out: Path, n_rounds: int, n_samples: int) -> None:
    if shutil.which("wrk") is None:
        report.lack(LACK)
        report.add("train-single", "POST /train, one raw image, durable", "/s", None, goal=at_least(0.4), note=LACK)
        return
    report.raw["store"] = {}
    with tempfile.TemporaryDirectory(dir=out) as name:
        folder = Path(name)
        with serve(build, folder / "model.db") as server:
            batches(report, out, server, build, n_rounds)
            singles(report, build, out, server, n_rounds)
            predictions(report, out, server, n_rounds)
            step = json.loads(exchange(server.url + "/model", "GET").partition(b"\r\n\r\n")[2])["step"]
            fill(server, max(0, n_samples - step))
            server.stop()
        starts(report, build, folder, folder / "model.db", max(step, n_samples))
        steps = replay(report, build, out, folder / "model.db")
        rebuild(report, build, out, folder / "model.db", steps)
