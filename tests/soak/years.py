#!/usr/bin/env python3
"""years.py [--years Y] [--samples N] [--edits E] [--seed S] [--folder DIR] - years of a model's life in an hour: what grows, how, and what gives
way first.

A year has N samples in 365 days. Each day the daemon's clock (libfaketime; the monotonic one goes on as it does) is set to that day, and
the day's samples are trained, in batches of up to 1,000 with an Idempotency-Key and some one by one; E edits a year forget or relabel
up to 20 samples, four of five of the last days, the rest of any day; each day ends with a snapshot, each month with a pinned one. A class
comes each month, and at its end is merged, deleted with its samples, or renamed. On some days the clock is 400 days ahead or 40 behind.
The daemon is restarted each week, and killed by SIGKILL twice a week: amid a training, whose request is then sent again, or
amid an edit. A client of its own predicts throughout.

At each tenth of the samples a line of a table is printed: what the files take, how long a start takes after SIGTERM and after SIGKILL,
and `convd verify`, all also in processor time; the daemon's resident memory; /predict and /train since the last line; how long edits took,
from the request until nothing of what was forgotten is in the file.

The exit status is 1 if anything that was acknowledged is not in the log exactly once, with the label that it should have by now and
the image that was sent, or nothing if it was forgotten, or if `convd verify` says no.
"""
from __future__ import annotations

import argparse
import glob
import os
import random
import resource
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.crash.load import BROKEN, labelled
from tests.e2e.daemon import PLAIN, Client, Daemon, convd, convd_json, words

DAYS, MONTH, BATCH, SINGLES = 365, 30, 1000, 10
BASE = ("a", "b", "c", "d", "e")
N_INPUT = 64
MIB = 1 << 20
FORGOTTEN = -1
COLUMNS = ("samples", "edits", "classes", "snapshots", "bytes a sample", "WAL, MiB", "start, ms: wall, cpu", "after a kill", "memory, MiB",
           "/predict, ms: p50, p99", "/train of one", "of a batch", "edit of the last days, s: p50, worst", "of any day", "verify, s: wall, cpu")


def libfaketime() -> str:
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        sys.exit("years: libfaketime is not there: apt-get install libfaketime")
    return found[0]


class Ledger:
    """What was acknowledged. One client trains, so the n-th sample that it sent has the id n, or something is wrong."""

    def __init__(self, seed: int):
        self.seed = seed
        self.names = list(BASE)  # of a class by its number here: as it is called now; None: removed
        self.batches: list[tuple[int, int]] = []  # first id, count
        self.now = np.zeros(1 << 20, np.int16)  # class of each sample now, by id
        self.n = 0

    def images(self, first: int, n: int) -> np.ndarray:
        images = np.random.default_rng([self.seed, first]).integers(0, 256, (n, N_INPUT), np.uint8)
        images[:, :8] = np.arange(first, first + n, dtype="<u8").view(np.uint8).reshape(n, 8)
        return images

    def acknowledge(self, said: dict, classes: np.ndarray) -> None:
        n = len(classes)
        assert said["samples"] == [self.n + 1, self.n + n], f"after sample {self.n}, {n} are answered {said}"
        while self.n + n >= len(self.now):
            self.now = np.concatenate([self.now, np.zeros_like(self.now)])
        self.now[self.n + 1:self.n + n + 1] = classes
        self.batches.append((self.n + 1, n))
        self.n += n

    def wrong(self, db: Path) -> list[str]:
        """Compares with the database of a daemon that is down."""
        with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
            number = {label: i for i, label in connection.execute("SELECT id, label FROM class")}
            live = [name for name in self.names if name is not None]
            if sorted(number) != sorted(live):
                return [f"classes {sorted(number)}, not {sorted(live)}"]
            of = np.array([number.get(name, -2) for name in self.names] + [FORGOTTEN])  # the last is at -1
            rows = connection.execute("SELECT sample.id, coalesce((SELECT label FROM edit WHERE sample = sample.id ORDER BY number DESC"
                                      " LIMIT 1), sample.label), image FROM sample ORDER BY sample.id")
            wrong = [line for first, n in self.batches if (line := self.compare(rows.fetchmany(n), first, n, of))]
            return wrong + [f"sample {row[0]} was never acknowledged" for row in rows.fetchmany(3)]

    def compare(self, rows: list[tuple], first: int, n: int, of: np.ndarray) -> str | None:
        ids, labels = [row[0] for row in rows], np.array([row[1] for row in rows])
        if ids != list(range(first, first + n)):
            return f"samples {first} to {first + n - 1} are {ids[:3]} .. {ids[-3:]}"
        gone = self.now[first:first + n] == FORGOTTEN
        if (different := np.flatnonzero(labels != of[self.now[first:first + n]])).size:
            return f"sample {first + different[0]} is of class {labels[different[0]]}, not {of[self.now[first + different[0]]]}"
        images = self.images(first, n)
        for at, image in enumerate(rows):
            if image[2] != (bytes(N_INPUT - 1) if gone[at] else images[at].tobytes()):
                return f"sample {first + at} has another image"
        return None


class Predictor(threading.Thread):
    """Predicts until `end`, over one connection, again once the daemon is back; times in seconds."""

    def __init__(self):
        super().__init__(daemon=True)
        self.end, self.there, self.port, self.times = threading.Event(), threading.Event(), 0, []

    def run(self) -> None:
        while not self.end.is_set():
            if not self.there.wait(0.1):
                continue
            try:
                with Client(self.port) as client:
                    while self.there.is_set():
                        started = time.perf_counter()
                        client.post("/predict", bytes(range(N_INPUT))).ok()
                        self.times.append(time.perf_counter() - started)
                        self.end.wait(0.004)
            except BROKEN:
                pass  # it was stopped, or killed

    def take(self) -> list[float]:
        taken, self.times = self.times, []
        return taken


class Life:
    def __init__(self, folder: Path, options):
        self.options, self.chance, self.ledger = options, random.Random(options.seed), Ledger(options.seed)
        self.labels, self.batch = np.random.default_rng(options.seed), min(BATCH, max(2, options.samples // DAYS))
        self.db, self.clock = folder / "years.db", folder / "clock"
        convd("init", "--db", self.db, "--width", 8, "--height", 8, "--kernels", 2, "--kernel-width", 3, "--kernel-height", 3, "--stride", 2,
              "--hidden", 4, "--classes", ",".join(BASE), *words(PLAIN))
        self.set_clock(0)
        self.daemon = Daemon(folder, self.db, "--key-seconds", "60", "--snapshot-seconds", "0", *options.flags, env={
            "LD_PRELOAD": libfaketime(), "FAKETIME_TIMESTAMP_FILE": str(self.clock), "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"})
        self.predictor, self.client, self.killer = Predictor(), None, None
        self.pinned: list[int] = []
        self.keys = self.edits = self.kills = self.restarts = self.wal = self.day = 0
        self.wrong: list[str] = []
        self.times: dict[str, list[float]] = {"one": [], "batch": [], "recent": [], "any": []}
        self.month: int | None = None  # this month's class

    # ---- the daemon ----

    def set_clock(self, days: float) -> None:
        new = self.clock.with_suffix(".new")
        new.write_text(f"{86400 * days:+.0f}\n")
        new.rename(self.clock)

    def start(self) -> tuple[float, float]:
        """How long until it listens, and the processor time of that, in seconds."""
        started = time.perf_counter()
        self.daemon.start()
        took = time.perf_counter() - started
        spent = Path(f"/proc/{self.daemon.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        self.predictor.port, self.client = self.daemon.port, self.daemon.client()
        self.predictor.there.set()
        return took, sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")

    def end(self, how) -> None:
        self.predictor.there.clear()
        self.client.close()
        self.wal = max(self.wal, self.db.with_name(self.db.name + "-wal").stat().st_size)
        pid = self.daemon.process.pid
        how()
        for left in glob.glob(f"/dev/shm/*faketime_*_{pid}"):
            os.unlink(left)

    # ---- a day ----

    def train(self, n: int) -> None:
        """Sent again after a kill, until there is an answer."""
        live = [i for i, name in enumerate(self.ledger.names) if name is not None]
        classes = self.labels.choice(live, n)
        path = labelled([self.ledger.names[i] for i in classes])
        images, self.keys = self.ledger.images(self.ledger.n + 1, n).tobytes(), self.keys + 1
        while True:
            started = time.perf_counter()
            try:
                answer = self.client.post(path, images, headers={"Idempotency-Key": f"years {self.keys}"})
                break
            except BROKEN:
                assert self.killer is not None
                self.killed()
                self.set_clock(self.day + self.chance.choice([0, 0, 30]))
                self.start()
        self.ledger.acknowledge(answer.ok(), classes)
        self.times["one" if n == 1 else "batch"] += [time.perf_counter() - started] if n in (1, self.batch) else []

    def kill_amid_training(self) -> None:
        self.kills += 1
        self.killer = threading.Timer(self.chance.uniform(0, 0.05), self.daemon.process.kill)
        self.killer.start()
        while self.killer is not None and self.killer.is_alive():
            self.train(self.batch)
        if self.killer is not None:  # between two of them
            self.killed()
            self.start()

    def killed(self) -> None:
        self.killer.join()
        self.killer = None
        self.end(lambda: self.daemon.process.wait())

    def kill(self) -> tuple[float, float]:
        self.kills += 1
        self.end(self.daemon.kill)
        return self.start()

    def settle(self) -> None:
        """Until no job is at work."""
        def idle() -> bool:
            jobs = self.client.get("/jobs").ok()["jobs"]
            failed = [job for job in jobs if job["state"] not in ("running", "done")]
            assert not failed, failed
            return all(job["state"] == "done" for job in jobs)
        while not idle():
            time.sleep(0.01)

    def edit(self) -> None:
        ledger, recent = self.ledger, self.chance.random() < 0.8
        lowest = max(1, ledger.n - 5 * self.options.samples // DAYS) if recent else 1
        ids = sorted({self.chance.randint(lowest, ledger.n) for _ in range(self.chance.randint(1, 20))})
        ids = [i for i in ids if ledger.now[i] != FORGOTTEN]
        if not ids:
            return
        become = self.chance.choice([FORGOTTEN, self.chance.randrange(len(BASE))])
        started = time.perf_counter()
        if become == FORGOTTEN:
            answer = self.client.send_json("DELETE", "/samples?drop_pinned=1", {"ids": ids})
        else:
            answer = self.client.send_json("PATCH", "/samples?drop_pinned=1", {"ids": ids, "label": BASE[become]})
        assert answer.status in (200, 202), answer  # 200: they have that label already
        ledger.now[ids] = become
        self.edits += 1
        if self.chance.random() < 0.05:
            time.sleep(self.chance.uniform(0, 0.1))
            self.kill()
            self.settle()
            return
        self.settle()
        self.times["recent" if recent else "any"].append(time.perf_counter() - started)

    def snapshot(self, day: int) -> None:
        pinned = day % MONTH == 0
        said = self.client.send_json("POST", "/snapshots", {"note": f"day {day}", "pinned": pinned}).ok(201)
        if pinned:
            self.pinned.append(said["id"])
        if len(self.pinned) > 12:  # a year is kept; 404: it saw what was edited since
            answer = self.client.send_json("PATCH", f"/snapshots/{self.pinned.pop(0)}", {"pinned": False})
            assert answer.status in (200, 404), answer

    def change_classes(self, day: int) -> None:
        names = self.ledger.names
        if self.month is not None:
            label, way = names[self.month], self.chance.choice(["merge", "delete", "rename"])
            if way == "rename":
                names[self.month] = f"{label} kept"
                self.client.send_json("PATCH", "/classes", {"from": label, "to": names[self.month]}).ok()
            else:
                into = self.chance.randrange(len(BASE)) if way == "merge" else FORGOTTEN
                answer = self.client.send_json("PATCH", "/classes?drop_pinned=1",
                                               {"from": label, "into": names[into]} if way == "merge" else {"delete": label})
                assert answer.status == 202, answer
                self.settle()
                self.ledger.now[self.ledger.now == self.month] = into
                names[self.month] = None
        self.month = len(names)
        names.append(f"day {day}")
        self.client.send_json("POST", "/classes", {"label": names[self.month]}).ok(201)

    def live(self, day: int, until_sample: int) -> None:
        self.day = day + self.chance.choice([0] * 20 + [400, -40])
        self.set_clock(self.day)
        if day % MONTH == 1:
            self.change_classes(day)
        if day % 7 == 0:
            self.restarts += 1
            self.end(self.daemon.stop)
            self.start()
        if day % 7 == 3:
            self.kill_amid_training()
        for _ in range(min(SINGLES, until_sample - self.ledger.n)):
            self.train(1)
        while self.ledger.n < until_sample:
            self.train(min(self.batch, until_sample - self.ledger.n))
        while self.edits < (day + 1) * self.options.edits // DAYS:
            self.edit()
        self.snapshot(day)

    # ---- what is told ----

    def line(self) -> list[tuple[float, ...]]:
        status = Path(f"/proc/{self.daemon.process.pid}/status").read_text()
        rss = int(status.partition("VmRSS:")[2].split()[0]) / 1024
        n_snapshots = len(self.client.get("/snapshots").ok()["snapshots"])
        n_classes = sum(name is not None for name in self.ledger.names)
        killed = self.kill()
        self.end(self.daemon.stop)
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        verdict = convd_json("verify", "--db", self.db, "--quiet")
        took, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        assert verdict["ok"] and verdict["samples"] == self.ledger.n, verdict
        stopped = self.start()
        bytes_each = sum(path.stat().st_size for path in self.db.parent.glob(self.db.name + "*")) / self.ledger.n
        ms = [tuple(1e3 * np.quantile(times or [np.nan], [0.5, 0.99]))
              for times in (self.predictor.take(), self.times["one"], self.times["batch"])]
        edits = [tuple(np.quantile(self.times[kind] or [np.nan], [0.5, 1])) for kind in ("recent", "any")]
        wal, self.wal = self.wal, 0
        for times in self.times.values():
            times.clear()
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return [(self.ledger.n,), (self.edits,), (n_classes,), (n_snapshots,), (bytes_each,), (wal / MIB,), tuple(1e3 * t for t in stopped),
                tuple(1e3 * t for t in killed), (rss,), *ms, *edits, (took, spent)]

    def run(self, tell) -> list[list[tuple[float, ...]]]:
        total, days, lines = round(self.options.years * self.options.samples), max(1, round(self.options.years * DAYS)), []
        self.predictor.start()
        self.start()
        try:
            for day in range(days):
                self.live(day, (day + 1) * total // days)
                if (day + 1) * 10 // days > day * 10 // days:
                    lines.append(self.line())
                    tell(lines[-1])
            self.end(self.daemon.stop)
            self.daemon.check()
        finally:
            self.predictor.end.set()
            if self.daemon.process is not None:
                self.end(self.daemon.kill)
        self.wrong = self.ledger.wrong(self.db)
        return lines


def told(value: float) -> str:
    return "-" if value != value else f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"


def row(line: list[tuple[float, ...]]) -> str:
    return "| " + " | ".join(", ".join(map(told, cell)) for cell in line) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=float, default=1)
    parser.add_argument("--samples", type=int, default=10_000_000, help="a year")
    parser.add_argument("--edits", type=int, default=1000, help="a year")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the database is made (TMPDIR): 200 bytes a sample")
    parser.add_argument("flags", nargs="*", help="of convd serve, after --")
    options = parser.parse_args()
    started = time.monotonic()
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="years-") as folder:
        life = Life(Path(folder), options)
        life.run(lambda line: print(row(line), flush=True))
    print(f"years: {life.ledger.n} samples, {life.edits} edits, {life.restarts} restarts, {life.kills} kills, seed {options.seed}; "
          f"{len(life.wrong)} wrong; {time.monotonic() - started:.0f} s")
    for line in life.wrong[:20]:
        print(f"years: wrong: {line}")
    return 1 if life.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
