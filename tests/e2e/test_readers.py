"""Who reads raises nobody else's latency: each route that reads is asked without a pause by a crowd, while good clients ask for /healthz,
predict, and train durably.

    make hostile-test                    each route for 20 seconds; a table of latencies is printed
    HOSTILE_SECONDS=3 /usr/bin/python3 -m pytest -s tests/e2e/test_readers.py

As in test_hostile.py, that all are answered well is asserted, and how fast is printed. A reader is answered, or told 503 and when to come
again.
"""
import random
import time

import pytest

from .daemon import Client, Daemon
from .test_hostile import LONG, SECONDS, Attack

CROWD = 16
SAMPLES = 20_000 if LONG else 2_000
IMAGE = bytes(i % 251 for i in range(784))


def reader(method: str, path: str, body: bytes | None = None, accept: str = "*/*"):
    """An attacker (test_hostile.py) that asks for this again and again; N in the path is a number that is drawn each time."""
    def ask(port, over):
        with Client(port) as client:
            while not over.is_set():
                answer = client.request(method, path.replace("N", str(random.randint(2, 20))), body, {"Accept": accept})
                assert answer.status in (200, 503), f"{path}: {answer}"
                if answer.status == 503:
                    assert answer.header("Retry-After"), f"{path}: {answer}"
                    over.wait(0.01)
    return ask


READERS = {
    "nobody": None,
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
    "GET a sample, scale 32": reader("GET", "/samples/1/image?scale=32"),
    "GET /samples.tar": reader("GET", "/samples.tar"),
    "GET /backup": reader("GET", "/backup"),
    "GET /predictions": reader("GET", "/predictions?limit=500"),
    "GET /jobs": reader("GET", "/jobs"),
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
            for name, ask in asks.items():
                started = time.monotonic()
                assert ask(client).status == 200
                latencies[name].append(time.monotonic() - started)
    return latencies


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_who_reads_keeps_nobody_waiting(target, capsys, name):
    if READERS[name] is None:
        latencies = serve_good_clients(target, SECONDS)
    else:
        with Attack(target, *[READERS[name]] * (CROWD // 2)):  # two of each
            time.sleep(0.2)
            latencies = serve_good_clients(target, SECONDS)
    line = f"{name:24}"
    for what, times in latencies.items():
        times.sort()
        line += f" | {what} median {1e3 * times[len(times) // 2]:6.2f}, 99 % {1e3 * times[int(len(times) * 0.99)]:7.2f}"
    if LONG:
        with capsys.disabled():
            print("\n" + line, end="")
    else:
        print(line)
    target.check()
