"""Who reads raises nobody else's latency: each route that reads is asked without a pause by a crowd, while good clients ask for /healthz,
predict, and train durably.

    make hostile-test                    each route for 20 seconds; a table of latencies is printed
    HOSTILE_SECONDS=3 READERS_CROWD=64 /usr/bin/python3 -m pytest -s tests/e2e/test_readers.py

That all are answered well is always asserted; a reader is answered, or told 503 and when to come again. How much slower is asserted in
the long form alone: three times, good clients by themselves and then beside the crowd, so that a machine that has much else to do counts
in both; the median of the three differences is what the crowd costs.
"""
import os
import random
import statistics
import threading
import time

import pytest

from .daemon import Client, Daemon
from .test_hostile import LONG, SECONDS, Attack

CROWD = int(os.environ.get("READERS_CROWD", "16"))
BOUND_S = 0.05  # readers raise the p99 of others by no more
SAMPLES = 20_000 if LONG else 2_000
IMAGE = bytes(i % 251 for i in range(784))


def leave_the_processors() -> None:
    """The crowd's own work is no part of what is measured."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def events(port, over):
    """Listens to the notices of all that the good client trains."""
    leave_the_processors()
    with Client(port) as client:
        while not over.is_set():
            answer = client.get("/events?seconds=1")
            assert answer.status in (200, 503), answer


def reader(method: str, path: str, body: bytes | None = None, accept: str = "*/*"):
    """An attacker (test_hostile.py) that asks for this again and again; N in the path is a number that is drawn each time."""
    def ask(port, over):
        leave_the_processors()
        with Client(port) as client:
            while not over.is_set():
                answer = client.request(method, path.replace("N", str(random.randint(2, 20))), body, {"Accept": accept})
                assert answer.status in (200, 503), f"{path}: {answer}"
                if answer.status == 503:
                    assert answer.header("Retry-After"), f"{path}: {answer}"
                    over.wait(0.01)
    return ask


READERS = {
    "GET /healthz": reader("GET", "/healthz"),
    "GET /readyz": reader("GET", "/readyz"),
    "GET /metrics": reader("GET", "/metrics"),
    "GET /openapi.json": reader("GET", "/openapi.json"),
    "GET / (the page)": reader("GET", "/", accept="text/html"),
    "GET /model": reader("GET", "/model"),
    "GET /model.safetensors": reader("GET", "/model.safetensors"),
    "GET /model.onnx": reader("GET", "/model.onnx"),
    "GET /model.npz": reader("GET", "/model.npz"),
    "GET /model/kernels.png": reader("GET", "/model/kernels.png"),
    "GET /classes": reader("GET", "/classes"),
    "GET /stats": reader("GET", "/stats"),
    "GET /stats/history": reader("GET", "/stats/history?points=1000"),
    "GET /snapshots": reader("GET", "/snapshots"),
    "GET /snapshots/1": reader("GET", "/snapshots/1"),
    "GET a snapshot's file": reader("GET", "/snapshots/1/model.safetensors"),
    "GET a diff": reader("GET", "/snapshots/1/diff/2"),
    "GET /samples (a page)": reader("GET", "/samples?limit=500"),
    "GET /samples (rare)": reader("GET", "/samples?label=rare"),
    "GET /samples/1": reader("GET", "/samples/1"),
    "GET a sample, scale 5": reader("GET", "/samples/1/image?scale=5"),
    "GET a sample, scale 32": reader("GET", "/samples/1/image?scale=32"),
    "GET /samples.tar": reader("GET", "/samples.tar"),
    "HEAD /samples.tar": reader("HEAD", "/samples.tar"),
    "GET /backup": reader("GET", "/backup"),
    "HEAD /backup": reader("HEAD", "/backup"),
    "GET /events": events,
    "GET /predictions": reader("GET", "/predictions"),
    "GET /predictions, 500": reader("GET", "/predictions?limit=500"),
    "GET /jobs": reader("GET", "/jobs"),
    "GET /v2/models/convd": reader("GET", "/v2/models/convd"),
    "GET /v2/models/stats": reader("GET", "/v2/models/stats"),
    "POST explain, 100": reader("POST", "/predict?explain=1", IMAGE * 100),
    "POST explain, picture": reader("POST", "/predict?explain=1", IMAGE, "image/png"),
    "POST 1,300 images": reader("POST", "/predict", IMAGE * 1300),
    "POST ?revision": reader("POST", "/predict?revision=N", IMAGE),
}


@pytest.fixture(scope="module")
def target(shared_daemons, digits) -> Daemon:
    """200 classes, a rare one among them."""
    labels = ["rare", *(f"class {i}" for i in range(199))]
    daemon = shared_daemons.start(shared_daemons.init("--width", "28", "--height", "28", "--kernels", "16", "--kernel-width", "5",
                                                      "--kernel-height", "5", "--hidden", "128", "--classes", ",".join(labels)))
    daemon.train("rare", digits.images[0].tobytes()).ok()
    for first in range(0, SAMPLES, 1000):
        if first == SAMPLES // 2:
            daemon.post("/snapshots", b"", None).ok(201)
        daemon.train("class 1", digits.images[:1000].tobytes()).ok()
    daemon.post("/snapshots", b"", None).ok(201)
    for image in digits.test_images[:100]:
        daemon.predict(image.tobytes(), query="?remember=1")
    for _ in range(20):  # revisions that N stands for
        daemon.train("class 2", IMAGE).ok()
    return daemon


def serve_good_clients(daemon: Daemon, seconds: float) -> dict[str, list[float]]:
    asks = {"healthz": lambda c: c.get("/healthz"), "predict": lambda c: c.post("/predict?top=1", IMAGE),
            "train": lambda c: c.train("class 3", IMAGE)}
    latencies = {name: [] for name in asks}
    end = time.monotonic() + seconds
    with daemon.client() as client:
        while time.monotonic() < end:
            for name in ("healthz", "predict") * 5 + ("train",):
                started = time.monotonic()
                assert asks[name](client).status == 200
                latencies[name].append(time.monotonic() - started)
    return latencies


def p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def beside(daemon: Daemon, attacker, seconds: float) -> dict[str, list[float]]:
    """Latencies of good clients while the crowd is there."""
    with Attack(daemon, *[attacker] * (CROWD // 2)):  # two of each
        time.sleep(0.2)
        return serve_good_clients(daemon, seconds)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_who_reads_keeps_nobody_waiting(target, capsys, name):
    rounds, seconds = (3, SECONDS / 3) if LONG else (1, 0.2)
    alone, crowded = zip(*[(serve_good_clients(target, seconds / 4), beside(target, READERS[name], seconds))
                           for _ in range(rounds)])
    target.check()
    if not LONG:
        return
    line, raised = f"{name:24}", {}
    for what in ("healthz", "predict", "train"):
        raised[what] = statistics.median(p99(c[what]) - p99(a[what]) for a, c in zip(alone, crowded))
        line += (f" | {what} {1e3 * statistics.median(p99(a[what]) for a in alone):5.1f} "
                 f"{1e3 * statistics.median(p99(c[what]) for c in crowded):6.1f} {1e3 * raised[what]:+6.1f}")
    with capsys.disabled():
        print("\n" + line, end="")
    assert raised["predict"] < BOUND_S and raised["healthz"] < BOUND_S
