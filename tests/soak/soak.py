#!/usr/bin/env python3
"""soak.py [--minutes M] [--folder DIR] [--json FILE] - mixed load at full rate; memory, descriptors and latency are watched.

Processes of their own predict (pipelined: raw, PNG, JSON, batches), train (single and in batches, some with an Idempotency-Key), and do
everything else: look, tune, take snapshots and go back to them, rehearse, send nonsense, come and go. A probe of one kept connection
measures single predictions and single trainings meanwhile, and for a moment before anybody else is there. Once in INTERVAL_S the
daemon's resident memory and open descriptors are read. A witness that has nothing to do with convd appends to a file beside the
database and syncs it: what it waits for, nobody in that folder is spared.

What must hold, or the exit status is 1: every answer is the expected one; the median of memory over the run's last tenth is at most
GROWTH_MIB over that of the second tenth; when all have gone, there are as many descriptors as before they came, and one
thread neither more nor less; the log that results verifies. Latencies are told, not judged, as long as an answer comes within PATIENCE_S:
they are the machine's as well.
"""
from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.e2e.daemon import Client, Daemon, convd, convd_json
from tests.e2e.pictures import png

GROWTH_MIB = 2.0
INTERVAL_S = 1.0
PATIENCE_S = 120.0
MIB = 1 << 20
LABELS = "abc"
FLAGS = ("--snapshot-samples", "5000", "--keep-snapshots", "4", "--key-seconds", "20", "--connections", "300")


# ---- the load: each function runs in a process of its own until `end` ----

def post(path: str, body: bytes, kind: str = "application/octet-stream") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def predictors(port: int, end, answered, chance: np.random.Generator) -> None:
    """One connection, 64 requests before the first answer is read; as many answers of 200 must come."""
    daemon = _connect(port)
    image = chance.integers(0, 256, (8, 8), np.uint8)
    pixels = json.dumps({"image": {"pixels": image.ravel().tolist()}}).encode()
    kinds = [post("/predict", image.tobytes())] * 8 + [post("/predict?top=2", png(image), "image/png")] * 4 + \
        [post("/predict", pixels, "application/json")] * 3 + [post("/predict", image.tobytes() * 20)]
    requests = b"".join(kinds[i] for i in chance.permutation(16)) * 4
    while not end.is_set():
        daemon.sendall(requests)
        received = b""
        while received.count(b"HTTP/1.1 200") < 64 or not whole(received):
            part = daemon.recv(1 << 18)
            assert part and b"HTTP/1.1 4" not in part and b"HTTP/1.1 5" not in part, received[-500:] + part[:500]
            received += part
        answered.value += 64
    daemon.close()


def whole(received: bytes) -> bool:
    """Whether the last answer is all there."""
    head, separator, body = received.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")
    return bool(separator) and len(body) == int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])


def trainers(port: int, end, answered, chance: np.random.Generator) -> None:
    client, number = Client(port, PATIENCE_S), 0
    while not end.is_set():
        number += 1
        n = 50 if number % 20 == 0 else 1
        labels = ",".join(LABELS[i] for i in chance.integers(0, 3, n))
        key = {"Idempotency-Key": f"{os.getpid()}-{number // 2}"} if number % 8 < 2 else None
        image = bytes([number // 2 % 255, 255] * 32) if key else chance.integers(0, 256, 64 * n, np.uint8).tobytes()
        if key:
            n, labels = 1, "a"
        answer = client.post(f"/train?labels={labels}", image, headers=key)
        while answer.status == 503:  # the model went back to a snapshot meanwhile: once more
            answer = client.post(f"/train?labels={labels}", image, headers=key)
        assert answer.ok()["accepted"] == n
        answered.value += 1
    client.close()


def everything_else(port: int, end, answered, chance: np.random.Generator) -> None:
    kept = Client(port, PATIENCE_S)
    notes = 0

    def look(client):
        for path in ("/", "/model", "/classes", "/stats", "/snapshots", "/jobs", "/metrics", "/readyz", "/openapi.json",
                     "/model.safetensors", "/model.onnx", "/model.npz", "/model/kernels.png", "/v2", "/v2/models/stats", "/samples",
                     "/predictions"):
            assert client.get(path).status == 200, path

    def tune(client):
        client.send_json("PATCH", "/model", {"rate": float(chance.uniform(0.001, 0.05)), "rehearsal": int(chance.integers(2))}).ok()

    def snapshot(client):
        nonlocal notes
        notes += 1
        client.send_json("POST", "/snapshots", {"note": f"soak {notes}"}).ok(201)

    def go_back(client):
        known = client.get("/snapshots").ok()["snapshots"]
        answer = client.post(f"/snapshots/{known[chance.integers(len(known))]['id']}/activate")
        assert answer.status in (200, 404), answer  # 404: it has thinned out meanwhile

    def rehearse(client):
        first = max(1, client.get("/model").ok()["step"] // 2)
        answer = client.send_json("POST", "/rehearse", {"passes": 1, "rate": 0.001, "samples": [first, first + 2000]})
        assert answer.status in (200, 202, 409), answer
        if answer.status == 202 and chance.random() < 0.3:
            client.request("DELETE", f"/jobs/{answer.json()['id']}")

    def ask_later(client):
        """A prediction that is explained, remembered, and told the truth."""
        image = chance.integers(0, 256, 64, np.uint8).tobytes()
        said = client.post("/predict?explain=1&remember=1", image).ok()
        assert client.get(f"/predictions/{said['id']}/image").status == 200
        answer = client.send_json("POST", f"/predictions/{said['id']}/label", {"label": "c"})
        assert answer.status in (200, 503), answer

    def nonsense(client):
        client.post("/predict", b"x" * 10).problem((415, 422, 400))
        client.post("/predict", b"{\"image\":", "application/json").problem(400)
        client.post("/train?label=nobody", bytes(64)).problem(422)
        client.get("/nothing").problem(404)
        client.post("/predict", b"\x89PNG\r\n\x1a\n" + chance.bytes(60)).problem((422, 400, 415, 413))

    acts = [look] * 4 + [tune] * 2 + [snapshot, go_back, rehearse] + [nonsense, ask_later] * 3
    while not end.is_set():
        act = acts[chance.integers(len(acts))]
        if chance.random() < 0.5:
            act(kept)
        else:
            with Client(port, PATIENCE_S) as new:
                act(new)
        answered.value += 1
        end.wait(0.01)
    kept.close()


def guarded(load, port: int, end, answered, seed: int, failed) -> None:
    try:
        load(port, end, answered, np.random.default_rng(seed))
    except (AssertionError, OSError, http.client.HTTPException, ValueError) as error:
        failed.put(f"{load.__name__}: {error!r}")
        end.set()


def _connect(port: int):
    import socket
    return socket.create_connection(("127.0.0.1", port), PATIENCE_S)


# ---- what is watched ----

class Probe:
    """One kept connection: a prediction, a training, and so on; each is timed."""

    def __init__(self, port: int):
        self.client, self.image = Client(port, PATIENCE_S), bytes(range(64))

    def run(self, seconds: float, end=None) -> dict[str, np.ndarray]:
        times: dict[str, list[float]] = {"predict": [], "train": []}
        stop = time.monotonic() + seconds
        while time.monotonic() < stop and not (end and end.is_set()):
            for name, path in (("predict", "/predict"), ("train", "/train?label=b")):
                started = time.perf_counter()
                while (answer := self.client.post(path, self.image)).status == 503 and name == "train":
                    pass
                answer.ok()
                times[name].append(time.perf_counter() - started)
            time.sleep(0.002)
        return {name: np.array(list_) for name, list_ in times.items()}


def witness(file: Path, end, times) -> None:
    """Twenty times a second, 4 KiB at the end of a file, synced; how long each took goes into the queue in the end."""
    took = []
    with open(file, "wb", buffering=0) as out:
        while not end.wait(0.05):
            started = time.perf_counter()
            out.write(bytes(4096))
            os.fdatasync(out.fileno())
            took.append(time.perf_counter() - started)
    times.put(took)


def told(times: np.ndarray) -> str:
    p50, p99, p999 = 1e3 * np.quantile(times, [0.5, 0.99, 0.999])
    return f"{len(times):7} requests: median {p50:7.2f} ms, 99 % {p99:7.2f} ms, 99.9 % {p999:7.2f} ms, worst {1e3 * times.max():7.2f} ms"


def descriptors(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def threads(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.process.pid}/task"))


def settled(read, wanted: int) -> int:
    """The value once it is as wanted, or after ten seconds: closed connections are noticed a moment later."""
    deadline = time.monotonic() + 10
    while (value := read()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return value


def run(seconds: float, folder: Path) -> dict:
    db = folder / "soak.db"
    convd("init", "--db", db, "--width", "8", "--height", "8", "--kernels", "3", "--kernel-width", "3", "--kernel-height", "3",
          "--hidden", "12", "--classes", ",".join(LABELS))
    daemon = Daemon(folder, db, *FLAGS).start()
    context = multiprocessing.get_context("fork")
    end, failed, synced = context.Event(), context.Queue(), context.Queue()
    loads = [(predictors, "predictions"), (predictors, "predictions"), (trainers, "trainings"), (trainers, "trainings"),
             (everything_else, "others")]
    counts = [context.Value("q", 0) for _ in loads]
    processes = [context.Process(target=guarded, args=(load, daemon.port, end, count, i, failed), daemon=True)
                 for i, ((load, _), count) in enumerate(zip(loads, counts))]
    processes.append(context.Process(target=witness, args=(folder / "witness", end, synced), daemon=True))
    report: dict = {"seconds": seconds, "wrong": []}
    try:
        probe = Probe(daemon.port)
        report["alone"] = probe.run(min(5.0, seconds / 5))
        before = descriptors(daemon), threads(daemon)
        memory, open_now, quarters = [], [], []
        started = time.monotonic()
        for process in processes:
            process.start()
        piece = min(INTERVAL_S, seconds / 40)
        while time.monotonic() - started < seconds and not end.is_set():
            quarters.append(probe.run(piece, end))
            memory.append(daemon.rss_bytes() / MIB)
            open_now.append(descriptors(daemon))
        report["ran"] = time.monotonic() - started
        end.set()
        report["witness"] = np.array(synced.get(timeout=PATIENCE_S))
        for process in processes:
            process.join(PATIENCE_S)
            if process.is_alive():
                process.kill()
                report["wrong"].append("a client did not come to its end")
        while not failed.empty():
            report["wrong"].append(failed.get())
        after = settled(lambda: descriptors(daemon), before[0]), settled(lambda: threads(daemon), before[1])
        if after != before:
            report["wrong"].append(f"descriptors and threads: {before} before, {after} after")
        report |= {"before": before, "after": after, "memory": memory, "descriptors": open_now,
                   "counts": {name: sum(c.value for (_, n), c in zip(loads, counts) if n == name)
                              for name in ("predictions", "trainings", "others")}}
        quarter = max(1, len(quarters) // 4)
        report["quarters"] = [{name: np.concatenate([piece[name] for piece in quarters[i:i + quarter]])
                               for name in ("predict", "train")} for i in range(0, quarter * 4, quarter) if quarters[i:i + quarter]]
        probe.client.close()
        daemon.stop()
        daemon.check()
    finally:
        end.set()
        if daemon.process is not None:
            daemon.kill()
        for process in processes:
            if process.is_alive():
                process.kill()
    judge(report)
    verdict = convd_json("verify", "--db", db)
    report |= {"revision": verdict["revision"], "step": verdict["step"], "samples": verdict["samples"], "database": db.stat().st_size}
    return report


def judge(report: dict) -> None:
    tenth = max(1, len(report["memory"]) // 10)
    first, last = np.median(report["memory"][tenth:2 * tenth]), np.median(report["memory"][-tenth:])
    report["growth"] = float(last - first)
    if report["growth"] > GROWTH_MIB:
        report["wrong"].append(f"memory grew by {report['growth']:.2f} MiB, from {first:.2f}")


def text(report: dict) -> str:
    counts, memory = report["counts"], report["memory"]
    lines = [f"soak: {report['ran']:.0f} s: {counts['predictions']} predictions, {counts['trainings']} trainings, "
             f"{counts['others']} others; {report['samples']} samples, revision {report['revision']}, verified",
             f"memory {memory[0]:.1f} MiB after the first second, {max(memory):.1f} at most, {memory[-1]:.1f} at the end; from the second "
             f"tenth to the last {report['growth']:+.2f} MiB",
             f"descriptors {report['before'][0]} before, {max(report['descriptors'])} at most, {report['after'][0]} after; "
             f"threads {report['before'][1]} and {report['after'][1]}"]
    for name in ("predict", "train"):
        lines.append(f"{name:8} alone      {told(report['alone'][name])}")
        for i, quarter in enumerate(report["quarters"]):
            lines.append(f"{name:8} quarter {i + 1}  {told(quarter[name])}")
    lines.append(f"witness  all along  {told(report['witness']).replace('requests', 'syncs')}")
    return "\n".join([*lines, *(f"soak: wrong: {line}" for line in report["wrong"])])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--folder", type=Path, help="where the database is made (TMPDIR): some hundreds of megabytes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="soak-") as folder:
        report = run(options.minutes * 60, Path(folder))
    print(text(report))
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
