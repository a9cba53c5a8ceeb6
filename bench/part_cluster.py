"""part_cluster.py - several nodes on one log: durable training against pgbench and against a bare libpq insert, a follower's lag, predictions.

PostgreSQL's primary, its synchronous standby and all nodes share this machine's cores and its disk, so ratios count. Rounds of what is compared
alternate. pgbench's rows are made by the server; convd's come through HTTP and libpq, are learned, and written into the node's own file.
"""
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from part_serve import CONNECTIONS, LACK, digit
from procs import ENVIRONMENT, HERE, INIT_PLAIN, BenchError, Server, Worker, exchange, load, undisturbed
from report import Report, at_least, at_most, median

sys.path.insert(0, str(HERE.parent))

from tests.cluster.pair import Pair
from tests.cluster.places import Places
from tests.e2e.daemon import lasting_port
from tests.e2e.postgres import PLACES

OCTETS = "application/octet-stream"
BATCH = 256
SINGLES = 64
PROBES = 600
PACED = 32, 26  # connections that make 1,000 samples a second together, and for how many ms each rests
ROW = "decode(repeat('ab', 32), 'hex'), NULL, NULL"  # chain, key, fingerprint


class Nodes:
    """Nodes a, b, c on the log, all with files of their own."""

    def __init__(self, build: Path, folder: Path, pair: Pair):
        self.build, self.folder, self.log, self.list = build, folder, pair.url("bench"), []
        first = folder / "first.db"
        subprocess.run([build / "convd", "init", "--db", first, *INIT_PLAIN], check=True, capture_output=True, env=ENVIRONMENT)
        pair.create("bench")
        subprocess.run([build / "convd", "cluster", "init", "--db", first, "--log", self.log], check=True, capture_output=True, env=ENVIRONMENT)

    def add(self) -> Server:
        name = "abc"[len(self.list)]
        self.list.append(Server(self.build / "convd", "serve", "--db", self.folder / f"{name}.db", "--listen", "127.0.0.1:0",
                                "--log", self.log, "--node", name))
        return self.list[-1]

    def level(self) -> None:
        """All are where the log is."""
        revision = max(model(node)["revision"] for node in self.list)
        while any(model(node)["revision"] < revision for node in self.list):
            time.sleep(0.05)

    def stop(self) -> None:
        for node in self.list:
            node.stop()
        self.list.clear()


def model(server: Server) -> dict:
    return json.loads(exchange(server.url + "/model", "GET").partition(b"\r\n\r\n")[2])


def metric(server: Server, name: str) -> float:
    text = exchange(server.url + "/metrics", "GET").decode()
    return float(re.search(rf"^{name} (\S+)", text, re.MULTILINE)[1])


# ---- training ----

def pgbench(pair: Pair, folder: Path, rows: int, images: int, clients: int) -> float:
    """Samples a second, as so many rows of so many images in a transaction."""
    script = folder / "rows.sql"
    script.write_text(f"INSERT INTO rows SELECT nextval('row'), 0, 1, 'train', '{{\"first\":1000,\"n\":{images}}}', {ROW}, "
                      f"decode(repeat('07000000', {images}), 'hex'), decode(repeat('7f', {784 * images}), 'hex') FROM generate_series(1, {rows});\n")
    done = subprocess.run([PLACES[-1] / "pgbench", "-n", "-M", "prepared", "-c", str(clients), "-T", "2", "-f", script, pair.primary.url("bench")],
                          capture_output=True, text=True, env=ENVIRONMENT)
    found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if not found:
        raise BenchError(f"pgbench: {done.stdout}{done.stderr}")
    return float(found[1]) * rows * images


def train(report: Report, out: Path, folder: Path, pair: Pair, node: Server, n_rounds: int) -> None:
    pair.sql("CREATE TABLE rows (LIKE convd.event INCLUDING ALL); CREATE SEQUENCE row", "bench")
    for kind, images, connections, what in (("batch", BATCH, 3, f"{BATCH} raw images a request, three connections"),
                                            ("single", 1, SINGLES, f"one raw image, {SINGLES} connections")):
        path, ours, theirs, groups = out / f"body.{kind}", [], [], []
        path.write_bytes(digit() * images)
        for _ in range(n_rounds):
            rounds = metric(node, "convd_trainer_rounds_total")
            ours.append(load(node, "/train?label=7", path, 2, connections))
            groups.append(ours[-1]["requests"] / max(1.0, metric(node, "convd_trainer_rounds_total") - rounds))
            theirs.append(pgbench(pair, folder, max(1, round(groups[-1])), images, 1))
        rate, peer, group = median([r["rate"] * images for r in ours]), median(theirs), median(groups)
        report.add(f"cluster-{kind}", f"POST /train, {what}, one synchronous standby", "/s", rate, "pgbench", peer, rate / peer, at_least(0.5),
                   f"samples; {group:.1f} rows of {images} in a transaction, on both sides; by one writer, as the log has one")
        report.add(f"cluster-{kind}-rate", "  samples a second", "/s", rate, goal=at_least(10000, "value"))
        report.raw["cluster"] |= {kind: ours, f"{kind}_pgbench": theirs, f"{kind}_groups": groups}
        pair.sql("TRUNCATE rows", "bench")
        pair.sql("CHECKPOINT", "bench")


def one(report: Report, build: Path, out: Path, pair: Pair, node: Server, n_rounds: int) -> None:
    path, ours, bare = out / "body.one", [], []
    path.write_bytes(digit())
    with Worker(build / "bench/insert", pair.primary.url("bench"), str(len(digit()))) as insert:
        for _ in range(n_rounds):
            ours.append(load(node, "/train?label=7", path, 2, 1))
            bare.append([float(word) for word in insert.ask(500).split()])
    a, b = median([r["p50_us"] for r in ours]), median([r[0] for r in bare])
    report.add("cluster-one", "POST /train, one raw image, one connection: median latency", "us", a, "libpq insert", b, b / a, at_least(1 / 1.5),
               "at most 1.5 times as long; the same row, by bench/insert, in C")
    report.raw["cluster"] |= {"one": ours, "one_libpq": bare}


# ---- following ----

class Paced:
    """1,000 samples a second or so, sent one by one."""

    def __init__(self, out: Path, writer: Server):
        path, script = out / "body.one", out / "paced.lua"
        path.write_bytes(digit())
        script.write_text((HERE / "load.lua").read_text() + f"\nfunction delay() return {PACED[1]} end\n")
        self.process = subprocess.Popen(["wrk", "-t1", f"-c{PACED[0]}", "-d120s", "-s", script, writer.url + "/train?label=7"], stdout=subprocess.DEVNULL,
                                        env=ENVIRONMENT | {"BENCH_BODY": str(path)})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def primary_seconds(pair: Pair) -> float:
    """Processor time of the primary's processes, those that have ended included."""
    parent = pair.primary.process.pid
    children = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True).stdout.split()
    total = 0
    for pid in [parent, *children]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(word) for word in fields[11:15 if pid == parent else 13])
    return total / os.sysconf("SC_CLK_TCK")


def followers(report: Report, out: Path, pair: Pair, nodes: list[Server], cost: dict[int, float]) -> None:
    """What a commit costs the primary, beside so many nodes."""
    with Paced(out, nodes[0]):
        time.sleep(1)
        commits, seconds = metric(nodes[0], "convd_trainer_rounds_total"), primary_seconds(pair)
        time.sleep(6)
        cost[len(nodes)] = 1e6 * (primary_seconds(pair) - seconds) / (metric(nodes[0], "convd_trainer_rounds_total") - commits)
    if len(nodes) == 3:
        report.add("cluster-follower", "the primary's processor time for a commit and each more node that follows", "us", (cost[3] - cost[1]) / 2,
                   "the commit itself, one node", cost[1], note=f"two nodes {cost[2]:.0f} us, three {cost[3]:.0f} us")
        report.raw["cluster"]["commit_us"] = cost


def lag(report: Report, out: Path, writer: Server, follower: Server) -> None:
    """From an acknowledged sample until the follower answers one who asks for that revision, beside 1,000 samples a second, sent one by one."""
    taken, plain = [], []
    before = model(writer)["step"]
    begin = time.monotonic()
    to, of = (http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port) for server in (writer, follower))

    def ask(connection: http.client.HTTPConnection, method: str, target: str, body: bytes | None, headers: dict) -> bytes:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise BenchError(f"{target}: {answer.status} {answer.read()!r}")
        return answer.read()
    with Paced(out, writer):
        time.sleep(1)
        for _ in range(PROBES):
            revision = json.loads(ask(to, "POST", "/train?label=7", digit(), {"Content-Type": OCTETS}))["revision"]
            start = time.perf_counter()
            ask(of, "GET", "/healthz", None, {"Convd-Min-Revision": str(revision)})
            taken.append((time.perf_counter() - start) * 1e3)
            start = time.perf_counter()
            ask(of, "GET", "/healthz", None, {})
            plain.append((time.perf_counter() - start) * 1e3)
            time.sleep(0.01)
        rate = (model(writer)["step"] - before) / (time.monotonic() - begin)
    taken.sort()
    note = f"at {rate:,.0f} samples a second; its request included, {median(plain):.2f} ms without a wait; median {median(taken):.2f} ms"
    report.add("cluster-lag", "a follower's lag behind an acknowledged sample: 99th percentile", "ms", taken[len(taken) * 99 // 100],
               goal=at_most(10), note=note)
    report.raw["cluster"] |= {"lag_ms": taken, "lag_rate": rate}


# ---- predictions ----

def single(build: Path, folder: Path, name: str) -> Server:
    """The same model, without a log that is shared."""
    shutil.copy(folder / "first.db", folder / f"{name}.db")
    return Server(build / "convd", "serve", "--db", folder / f"{name}.db", "--listen", "127.0.0.1:0")


def predictions(report: Report, build: Path, folder: Path, out: Path, node: Server, n_rounds: int) -> None:
    path, ours, alone = out / "body.one", [], []
    path.write_bytes(digit())
    with single(build, folder, "alone") as server:
        for _ in range(n_rounds):
            ours.append(load(node, "/predict", path, 1, CONNECTIONS))
            alone.append(load(server, "/predict", path, 1, CONNECTIONS))
        server.stop()
    (quiet, disturbed), (quiet_alone, disturbed_alone) = undisturbed(ours), undisturbed(alone)
    disturbed = disturbed or disturbed_alone
    for key, what, better in (("rate", f"POST /predict on a node, {CONNECTIONS} connections", 1), ("server_us", "  its processor time a request", -1)):
        a, b = median([r[key] for r in quiet]), median([r[key] for r in quiet_alone])
        report.add(f"cluster-predict-{key}", what, "/s" if better == 1 else "us", a, "no cluster", b, (a / b) ** better, at_least(0.95), disturbed,
                   judged=not disturbed)
    report.raw["cluster"] |= {"predict": ours, "predict_alone": alone}


class Proxy:
    """HAProxy in front of some nodes, by examples/cluster/haproxy.cfg."""

    def __init__(self, nodes: list[Server], folder: Path):
        self.nodes, self.port = nodes, lasting_port()
        lines = [line for line in (HERE.parent / "examples/cluster/haproxy.cfg").read_text().splitlines() if not line.startswith("    server ")]
        lines += [f"    server {name} {urlsplit(node.url).netloc}" for name, node in zip("abc", nodes)]
        config = folder / "haproxy.cfg"
        config.write_text("\n".join(lines).replace("127.0.0.1:8000", f"127.0.0.1:{self.port}") + "\n")
        self.process = subprocess.Popen(["haproxy", "-db", "-f", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{self.port}"
        time.sleep(2)  # each node has been found ready

    def cpu_seconds(self) -> float:
        """The nodes', which is what load() is to count."""
        return sum(node.cpu_seconds() for node in self.nodes)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def scaling(report: Report, build: Path, out: Path, folder: Path, nodes: list[Server], n_rounds: int) -> None:
    """What a prediction costs the nodes in processor time, through HAProxy: that is what 1, 2 and 3 machines would have of their own. As many daemons
    that follow no log, in turn, tell what of it is this machine's: three share two cores and their caches."""
    if shutil.which("haproxy") is None:
        report.lack("haproxy not there: install haproxy")
        return
    path, cost, alone = out / "body.one", {}, [single(build, folder, name) for name in "xyz"]
    rounds: dict[tuple[int, bool], list] = {(n, shared): [] for n in (1, 2, 3) for shared in (True, False)}
    for _ in range(n_rounds):
        for (n, shared), those in rounds.items():
            proxy = Proxy((nodes if shared else alone)[:n], folder)
            try:
                those.append(load(proxy, "/predict", path, 2, n * CONNECTIONS))
            finally:
                proxy.close()
    for server in alone:
        server.stop()
    for (n, shared), those in rounds.items():
        cost[n, shared] = median([r["server_us"] for r in those])
        what = f"predictions through HAProxy by a second of processor time, times {n} node{'s' * (n > 1)}" if shared else "  as many that follow no log"
        report.add(f"cluster-scaling-{n}{'' if shared else '-alone'}", what, "/s", n * 1e6 / cost[n, shared], f"{n} x one node", n * 1e6 / cost[1, shared],
                   cost[1, shared] / cost[n, shared], at_least(0.95) if n > 1 and shared else None)
    report.raw["cluster"] |= {f"scaling_{n}{'' if shared else '_alone'}": those for (n, shared), those in rounds.items()}


def measure(report: Report, build: Path, out: Path, n_rounds: int) -> None:
    if shutil.which("wrk") is None or not PLACES:
        report.lack(LACK if PLACES else "no PostgreSQL: install postgresql")
        return
    report.raw["cluster"] = {}
    folder = Path(tempfile.mkdtemp(prefix="convd-bench-"))  # PostgreSQL, as nobody, has to get there
    folder.chmod(0o755)
    places, pair, nodes = Places(folder, can_fail=False), None, None
    try:
        pair = Pair(places.add("p1"), places.add("p2"), settings={})
        nodes = Nodes(build, folder, pair)
        writer = nodes.add()
        train(report, out, folder, pair, writer, n_rounds)
        one(report, build, out, pair, writer, n_rounds)
        cost: dict[int, float] = {}
        followers(report, out, pair, nodes.list, cost)
        follower = nodes.add()
        nodes.level()
        followers(report, out, pair, nodes.list, cost)
        lag(report, out, writer, follower)
        nodes.level()
        predictions(report, build, folder, out, writer, n_rounds)
        nodes.add()
        nodes.level()
        followers(report, out, pair, nodes.list, cost)
        nodes.level()
        scaling(report, build, out, folder, nodes.list, n_rounds)
        nodes.stop()
    finally:
        for node in nodes.list if nodes is not None else []:
            node.__exit__()
        if pair is not None:
            pair.close()
        places.close()
        shutil.rmtree(folder, ignore_errors=True)
