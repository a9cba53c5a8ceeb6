"""part_store.py - what the log costs: durable training against a bare handler and against the arithmetic, the start on a long log, replay,
and predictions while training runs at full rate.

As in part_serve.py, rounds of what is compared alternate, and the arithmetic alone is measured in the same run, so that a ratio means
something also on a machine that others use.
"""
import json
import os
import re
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urljoin

from part_serve import CONNECTIONS, LACK, arithmetic_us, digit, memory_of_connection
from procs import ENVIRONMENT, INIT_PLAIN, BenchError, Server, exchange, load, sync_us, undisturbed
from report import Report, at_least, at_most, median

BATCH = 1000
SINGLES = 64       # connections of the durable single sample
COMMITS = 50       # from which the bytes of one are taken
SYNCS = 500        # of a round
WAL_BYTES = 8 << 20  # after which a checkpoint comes, and it is written over
STARTS = 7
REPLAYS = 3
LOGS = (100_000, 1_000_000)  # lengths before the one that is asked for
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


def fill(server: Server, n: int, labels: str = "7") -> None:
    for i in range(0, n, FILL):
        exchange(server.url + f"/train?label={labels[i // FILL % len(labels)]}", "POST", digit() * min(FILL, n - i), OCTETS)


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


def bare_handler(build: Path, out: Path, server: Server) -> Server:
    file = out / "answer-train.http"
    file.write_bytes(exchange(server.url + "/train?label=7", "POST", digit(), OCTETS))
    return Server(build / "bench/bare", file, str(len(digit())), memory_of_connection())


def singles(report: Report, out: Path, server: Server, bare: Server, n_rounds: int, step_us: float) -> None:
    path, ours, bare_rounds = out / "body.one", [], []
    for _ in range(n_rounds):
        ours.append(load(server, "/train?label=7", path, 1, SINGLES))
        bare_rounds.append(load(bare, "/train?label=7", path, 1, SINGLES))
    (quiet, disturbed), (quiet_bare, disturbed_bare) = undisturbed(ours), undisturbed(bare_rounds)
    a, b = median([r["rate"] for r in quiet]), median([r["rate"] for r in quiet_bare])
    disturbed = disturbed or disturbed_bare
    report.add("train-single", f"POST /train, one raw image, durable, {SINGLES} connections", "/s", a, "bare handler", b, a / b, at_least(0.4), disturbed,
               judged=not disturbed)
    a, b = (median([r["server_us"] + r["wrk_us"] for r in rounds]) for rounds in (quiet, quiet_bare))
    report.add("train-single-cpu", "  by processor time, the load generator's included: as if no core ever waited for the disk", "us", a, "bare handler", b,
               b / a, at_least(0.33), f"of the server {median([r['server_us'] for r in quiet]):.1f} and {median([r['server_us'] for r in quiet_bare]):.1f} us; "
               f"bare + step alone would be {b / (b + step_us):.2f} x")
    report.raw["store"] |= {"singles": ours, "bare": bare_rounds}


def commit_bytes(server: Server) -> int:
    """What one durable sample writes: the least of some, since a checkpoint may fall into one's time."""
    counts = [server.written_bytes()]
    for _ in range(COMMITS):
        exchange(server.url + "/train?label=7", "POST", digit(), OCTETS)
        counts.append(server.written_bytes())
    return min(after - before for before, after in zip(counts, counts[1:]))


def one_at_a_time(report: Report, out: Path, server: Server, bare: Server, n_rounds: int, step_us: float) -> None:
    """One connection, so that each answer waits for a sync of its own. In turn with the sync alone, of as many bytes, into a file that is as long
    already, as the WAL is written over; and with the bare handler over one connection: what any answer over HTTP takes."""
    path, n_bytes, ours, alone, bare_rounds = out / "body.one", commit_bytes(server), [], [], []
    with tempfile.TemporaryFile(dir=out, buffering=0) as file:
        file.write(bytes(WAL_BYTES))
        os.fsync(file.fileno())
        for _ in range(n_rounds):
            ours.append(load(server, "/train?label=7", path, 1, 1))
            alone.append(sync_us(file.fileno(), n_bytes, SYNCS))
            bare_rounds.append(load(bare, "/train?label=7", path, 1, 1))
    a, b, http = median([r["p50_us"] for r in ours]), median(alone), median([r["p50_us"] for r in bare_rounds])
    disturbed = undisturbed(ours)[1]
    report.add("train-sync", "POST /train, one raw image, durable, one at a time, median", "us", a, f"{n_bytes:,} bytes and a sync", b, b / a, at_least(1 / 1.25),
               disturbed or f"{a / b:.2f} times as long, at most 1.25; sync + bare handler ({http:.0f} us) + step alone would be {(b + http + step_us) / b:.2f}",
               judged=not disturbed)
    report.raw["store"] |= {"one_at_a_time": ours, "sync_us": alone, "bare_one": bare_rounds, "commit_bytes": n_bytes}


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
    report.add("predict-training", "POST /predict, 99th percentile while training runs at full rate", "us", a, "at rest", b, b / a, at_least(1 / 1.5),
               disturbed or "at most 1.5 times as long", judged=not disturbed)
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
        sample = server.url + "/samples/1"
        job = urljoin(sample, re.search(rb"(?i)\r\nlocation: (\S+)", exchange(sample, "DELETE"))[1].decode())
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


def snapshot_ms(server: Server) -> float:
    """Median of a few, each after another sample; with the request, and durable."""
    taken = []
    for _ in range(STARTS):
        exchange(server.url + "/train?label=7", "POST", digit(), OCTETS)
        begin = time.monotonic()
        answer = exchange(server.url + "/snapshots", "POST")
        taken.append((time.monotonic() - begin) * 1e3)
        if not re.match(rb"HTTP/1.1 20[01] ", answer):
            raise BenchError(f"no snapshot: {answer[:200]!r}")
    return median(taken)


def log_rows(report: Report, n: int, now: dict, first: dict) -> None:
    for name, what, unit, goal in (
        ("start", f"log of {n:,} samples: start with a fresh snapshot", "ms", at_most(100)), ("start_memory", "  resident memory then", "MiB", None),
        ("snapshot", "  a snapshot, asked for and durable", "ms", None), ("memory", "  resident memory after that much training", "MiB", at_most(64)),
        ("file", "  the file, a sample", "B", None),
    ):
        report.add(f"log-{name}-{n}", what, unit, now[name], "shortest log", first[name], first[name] / now[name], goal)


def measure_log(report: Report, build: Path, out: Path, n_samples: int) -> None:
    """What grows with the log, each length ten times the one before. All classes have samples, so that the buffer of past ones is full."""
    report.raw["log"] = {}
    with tempfile.TemporaryDirectory(dir=out) as name:
        db, there = Path(name) / "model.db", 0
        for n in [n for n in LOGS if n < n_samples] + [n_samples]:
            with serve(build, db) as server:
                fill(server, n - there, "0123456789")
                now = {"snapshot": snapshot_ms(server), "memory": server.resident_mib()}
                server.stop()
            there = n
            started = [start_of(build, db) for _ in range(STARTS)]
            now |= {"start": median([s[0] for s in started]), "start_memory": median([s[1] for s in started]), "file": db.stat().st_size / n}
            report.raw["log"][n] = now
            log_rows(report, n, now, next(iter(report.raw["log"].values())))


def measure(report: Report, build: Path, out: Path, n_rounds: int, n_samples: int) -> None:
    if shutil.which("wrk") is None:
        report.lack(LACK)
        report.add("train-single", "POST /train, one raw image, durable", "/s", None, goal=at_least(0.4), note=LACK)
        return
    report.raw["store"] = {}
    (out / "body.one").write_bytes(digit())
    with tempfile.TemporaryDirectory(dir=out) as name:
        folder = Path(name)
        with serve(build, folder / "model.db") as server:
            batches(report, out, server, build, n_rounds)
            with bare_handler(build, out, server) as bare:
                step_us = arithmetic_us(build, out, "step")
                singles(report, out, server, bare, n_rounds, step_us)
                one_at_a_time(report, out, server, bare, n_rounds, step_us)
                bare.stop()
            predictions(report, out, server, n_rounds)
            step = json.loads(exchange(server.url + "/model", "GET").partition(b"\r\n\r\n")[2])["step"]
            fill(server, max(0, n_samples - step))
            server.stop()
        starts(report, build, folder, folder / "model.db", max(step, n_samples))
        steps = replay(report, build, out, folder / "model.db")
        rebuild(report, build, out, folder / "model.db", steps)
