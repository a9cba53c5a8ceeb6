"""part_peer.py - convd against what one would write instead: FastAPI, uvicorn and PyTorch in one process (peer_fastapi.py).

Both serve the same weights, which convd makes and exports. Before anything is timed both predict some digits, train on them one by one and
predict again: the probabilities must agree to 1e-4 before and after, so that both compute the same network and the same step (jacobian: what
automatic differentiation gives). Then rounds of wrk alternate. convd's steps are on the disk when they are answered; the peer's never are.
"""
import gzip
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from part_serve import CONNECTIONS, DIGITS, LACK as NO_WRK, headers_and_body
from procs import ENVIRONMENT, INIT_PLAIN, BenchError, Server, exchange, load, undisturbed
from report import Report, at_least, median

PYTHON = "/usr/bin/python3"  # Debian's: the one that its packages belong to
PEER = "FastAPI + PyTorch"
LACK = "peer not there: install python3-fastapi python3-uvicorn python3-torch"
N_PROOF = 32
TOLERANCE = 1e-4
ROUNDS = 5


def answer(server: Server, method: str, path: str, body: bytes = b"", content_type: str = "application/octet-stream") -> dict:
    raw = exchange(server.url + path, method, body, content_type)
    if not raw.startswith(b"HTTP/1.1 200 "):
        raise BenchError(f"{server.name}: {method} {path}: {raw[:300]!r}")
    return json.loads(headers_and_body(raw)[1])


def digits() -> tuple[list[bytes], list[int]]:
    images = gzip.decompress((DIGITS / "train-images.idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((DIGITS / "train-labels.idx1-ubyte.gz").read_bytes())[8:]
    return [images[i * 784:(i + 1) * 784] for i in range(N_PROOF)], list(labels[:N_PROOF])


def differ(ours: Server, peer: Server, images: list[bytes]) -> float:
    worst = 0.0
    for image in images:
        a, b = (answer(server, "POST", "/predict", image)["probabilities"] for server in (ours, peer))
        if a.keys() != b.keys():
            raise BenchError(f"convd knows the classes {list(a)}, the peer {list(b)}")
        worst = max(worst, *(abs(a[label] - b[label]) for label in a))
    return worst


def prove(ours: Server, peer: Server) -> dict:
    images, labels = digits()
    before = differ(ours, peer, images)
    for image, label in zip(images, labels):
        for server in (ours, peer):
            answer(server, "POST", f"/train?label={label}", image)
    after = differ(ours, peer, images)
    if max(before, after) > TOLERANCE:
        raise BenchError(f"convd and the peer do not compute the same: probabilities differ by {before:.1e}, after training by {after:.1e}")
    return {"before": before, "after": after}


class Load:
    """One kind of request, one number of connections: the rounds of both."""

    def __init__(self, row: str, what: str, path: str, connections: int, goal: float):
        self.row, self.what, self.path, self.connections, self.goal = row, what, path, connections, goal
        self.rounds: dict[str, list[dict]] = {}

    def go_round(self, body: Path, servers: dict[str, Server]) -> None:
        for name, server in servers.items():
            self.rounds.setdefault(name, []).append(load(server, self.path, body, 1, self.connections))

    def add_row(self, report: Report, note: str) -> None:
        (ours, disturbed), (theirs, also) = (undisturbed(self.rounds[name]) for name in ("convd", "peer"))
        a, b = (median([r["rate"] for r in rounds]) for rounds in (ours, theirs))
        p50 = median([r["p50_us"] for r in ours])
        report.add(self.row, self.what, "/s", a, PEER, b, a / b, at_least(self.goal), disturbed or also or f"convd's p50 {p50:.0f} us{note}",
                   judged=not (disturbed or also))


def run(report: Report, out: Path, ours: Server, peer: Server, n_rounds: int) -> None:
    body = out / "body.raw"
    body.write_bytes(digits()[0][0])
    many = f"{CONNECTIONS} connections"
    loads = [
        Load("peer-predict", f"POST /predict, raw body, {many}", "/predict", CONNECTIONS, 15),
        Load("peer-train-16", f"POST /train, one durable sample each, {many}", "/train?label=7", CONNECTIONS, 10),
        Load("peer-train-1", "  one connection", "/train?label=7", 1, 10),
    ]
    steps = answer(ours, "GET", "/model")["step"]
    for _ in range(n_rounds):
        for one in loads:
            one.go_round(body, {"convd": ours, "peer": peer})
    made = answer(ours, "GET", "/model")["step"] - steps
    acknowledged = sum(r["requests"] for one in loads if "train" in one.path for r in one.rounds["convd"])
    if made < acknowledged:
        raise BenchError(f"{acknowledged} samples were acknowledged, but the model made {made} steps")
    disk = f"; disk sync {report.machine['disk_sync_ms']} ms, the peer's steps are volatile"
    for one in loads:
        one.add_row(report, disk if one.row == "peer-train-1" else "")
    a, b = ours.resident_mib(), peer.resident_mib()
    report.add("peer-memory", "resident memory after that", "MiB", a, PEER, b, b / a, at_least(10))
    report.raw["peer"]["rounds"] = {one.row: one.rounds for one in loads}


def measure(report: Report, build: Path, out: Path, n_rounds: int) -> None:
    there = subprocess.run([PYTHON, "-c", "import fastapi, uvicorn, torch, numpy"], capture_output=True).returncode == 0
    if not there or shutil.which("wrk") is None:
        lack = NO_WRK if there else LACK
        report.lack(lack)
        report.add("peer-predict", "POST /predict, raw body", "/s", None, PEER, goal=at_least(15), note=lack)
        return
    with tempfile.TemporaryDirectory(dir=out) as folder:
        db, weights = Path(folder) / "model.db", Path(folder) / "model.safetensors"
        # A rate of one's own does not decay: the peer has one rate.
        command = [build / "convd", "init", "--db", db, "--gradient", "jacobian", "--rate", "0.05", *INIT_PLAIN]
        subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
        subprocess.run([build / "convd", "export", "--db", db, "--safetensors", weights], check=True, capture_output=True, env=ENVIRONMENT)
        with Server(build / "convd", "serve", "--db", db, "--listen", "127.0.0.1:0") as ours, \
             Server(PYTHON, "-B", Path(__file__).parent / "peer_fastapi.py", weights) as peer:
            report.raw["peer"] = {"largest_difference": prove(ours, peer)}
            run(report, out, ours, peer, n_rounds)
            peer.stop()
            ours.stop()
