"""Several daemons on one log in PostgreSQL: every node comes to the same bits, whoever was asked."""
import os
import hashlib
import importlib.util
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from .cluster import images, teach
from .daemon import CONVD, PATIENCE_S, ROOT, SANITIZED, Client, convd, convd_json, lasting_port, until
from .test_file_format import READER

FEW = 5 if SANITIZED else 30


def metric(node, name: str) -> float:
    return next(float(line.split()[1]) for line in node.get("/metrics").body.decode().splitlines() if line.startswith(name + " "))


@pytest.mark.core
def test_what_one_node_learns_all_know_and_a_client_reads_its_own_writes(cluster):
    c = cluster()
    a, b = c.node(), c.node()
    for i in range(FEW):
        writer, reader = (a, b) if i % 2 == 0 else (b, a)
        revision = teach(writer, i)["revision"]
        answer = reader.request("POST", "/predict", images(1, i).tobytes(),
                                {"Content-Type": "application/octet-stream", "Convd-Min-Revision": str(revision)}).ok()
        assert answer["revision"] >= revision
    c.verified(3 * FEW)


@pytest.mark.core
def test_nodes_that_append_at_once_take_turns_and_nothing_is_lost_or_doubled(cluster):
    c = cluster()
    nodes = [c.node() for _ in range(3)]
    acknowledged: list[list[int]] = []

    def client(i: int) -> None:
        for j in range(FEW):
            done = teach(nodes[i % 3], 1000 * i + j, **{"Idempotency-Key": f"{i}-{j}"})
            acknowledged.append(done["samples"])
    threads = [threading.Thread(target=client, args=(i,)) for i in range(6)]
    [t.start() for t in threads]
    [t.join(PATIENCE_S) for t in threads]
    assert len(acknowledged) == 6 * FEW
    assert sorted(first for first, _ in acknowledged) == list(range(1, 18 * FEW, 3))
    assert sum(float(line.split()[1]) for node in nodes for line in node.get("/metrics").body.decode().splitlines()
               if line.startswith("convd_log_followed_total")) > 0
    c.verified(18 * FEW)


def test_a_retry_through_another_node_trains_once(cluster):
    c = cluster()
    a, b = c.node(), c.node()
    first = teach(a, 1, **{"Idempotency-Key": "k"})
    again = teach(b, 1, **{"Idempotency-Key": "k"})
    assert (again["revision"], again["samples"], again["loss"]) == (first["revision"], first["samples"], first["loss"])
    b.post("/train?label=a", images(3, 2).tobytes(), headers={"Idempotency-Key": "k"}).problem(422, "key-reused")
    c.verified(3)


@pytest.mark.core
def test_classes_settings_rehearsals_and_ways_back_are_events_that_any_node_takes(cluster):
    c = cluster()
    a, b = c.node(), c.node()
    teach(a, 1, 20)
    revision = a.send_json("POST", "/classes", {"label": "new"}).ok(201)["revision"]
    b.request("POST", "/train?label=new", images(3, 2).tobytes(),
              {"Content-Type": "application/octet-stream", "Convd-Min-Revision": str(revision)}).ok()
    b.send_json("PATCH", "/model", {"rate": 0.02, "rehearsal": 2}).ok()
    b.send_json("PATCH", "/classes", {"from": "b", "to": "beta"}).ok()
    before = c.agree()
    snapshot = b.send_json("POST", "/snapshots", {}).ok(201)["id"]
    teach(a, 3, 5, "beta")
    job = a.send_json("POST", "/rehearse", {"passes": 3}).ok(202)["id"]
    for i in range(FEW):
        teach(b, 10 + i)
    until(lambda: a.get(f"/jobs/{job}").ok()["state"] != "running", "the rehearsal's end")
    assert a.get(f"/jobs/{job}").ok()["state"] == "done"
    c.agree()
    b.post(f"/snapshots/{snapshot}/activate").ok()
    back = c.agree()
    assert (back["digest"], back["classes"]) == (before["digest"], before["classes"])
    teach(a, 4)
    c.verified()


@pytest.mark.core
def test_idle_rehearsals_are_one_node_s_at_a_time_and_everybody_s(cluster, daemons):
    c = cluster(daemons.init("--rehearsal-idle", "20", "--rehearsal", "2"))
    a, b = c.node(), c.node()
    for i in range(4):
        teach(a, i)
        teach(b, 100 + i)
    for node in (a, b):  # what waits for the other one's turn to end is no job yet
        until(lambda: metric(node, "convd_idle_steps_total") == 4 * 3 * 20, "it has rehearsed")
    c.verified(24)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_node_that_ends_goes_on_where_it_was(cluster, number):
    c = cluster()
    a, b = c.node(), c.node()
    for i in range(FEW):
        teach(a, i)
    c.agree()
    b.kill() if number == signal.SIGKILL else b.stop()
    for i in range(FEW):
        teach(a, 100 + i)
    b.start()
    c.verified(6 * FEW)


def test_a_node_whose_file_is_lost_joins_anew(cluster):
    c = cluster()
    a, b = c.node(), c.node()
    teach(a, 1, **{"Idempotency-Key": "k"})
    c.agree()
    b.kill()
    for path in b.db.parent.glob(b.db.name + "*"):
        path.unlink()
    teach(a, 2)
    b.start()
    c.agree()
    assert teach(b, 1, **{"Idempotency-Key": "k"})["samples"] == [1, 3]  # keys come along
    c.verified(6)


def outcomes(node) -> list[tuple]:
    """Of a node that is down."""
    with sqlite3.connect(node.db) as db:
        return db.execute("SELECT * FROM outcome ORDER BY sample").fetchall()


BEGUN = ": begun from a snapshot of the shared log"


@pytest.mark.core
def test_a_node_that_joins_begins_from_a_shared_snapshot(cluster):
    c = cluster()
    a = c.node()
    teach(a, 1, 20)
    snapshot = a.send_json("POST", "/snapshots", {}).ok(201)["id"]
    teach(a, 2, 20, **{"Idempotency-Key": "k"})
    a.post(f"/snapshots/{snapshot}/activate").ok()
    first = teach(a, 3, 20, "b", **{"Idempotency-Key": "l"})
    a.send_json("POST", "/snapshots", {}).ok(201)
    teach(a, 4, 20)
    b = c.node()
    b.logged(BEGUN)
    c.agree()
    again = teach(b, 3, 20, "b", **{"Idempotency-Key": "l"})  # which it never learned
    assert (again["revision"], again["loss"], again["correct"]) == (first["revision"], first["loss"], first["correct"])
    teach(b, 5, 20)
    job = b.send_json("POST", "/rehearse", {"passes": 1}).ok(202)["id"]
    until(lambda: b.get(f"/jobs/{job}").ok()["state"] == "done", "the rehearsal's end")
    c.verified(100)
    assert outcomes(a) == outcomes(b)


def test_a_file_that_has_rows_but_no_snapshot_yet_begins_from_a_shared_one(cluster):
    """As after a join that was killed in the middle."""
    c = cluster()
    a, b = c.node(), c.node()
    for i in range(FEW):
        teach(a, i)
    c.agree()
    b.kill()
    a.send_json("POST", "/snapshots", {}).ok(201)
    teach(a, 1000)
    b.start()
    b.logged(BEGUN)
    c.verified(3 * FEW + 3)
    assert outcomes(a) == outcomes(b)


@pytest.mark.parametrize("damage", ["UPDATE convd.snapshot SET tensors = set_byte(tensors, 99, get_byte(tensors, 99) # 1)",
                                    "UPDATE convd.snapshot SET state = substring(state FROM 2)",
                                    "UPDATE convd.snapshot SET chain = digest",
                                    "UPDATE convd.outcome SET revision = revision + 1",
                                    "DELETE FROM convd.outcome", "DROP TABLE convd.outcome"],
                         ids=["tensors", "state", "chain", "later-outcomes", "no-outcomes", "no-table"])
def test_a_shared_snapshot_that_is_no_good_is_not_begun_from(cluster, postgres, damage):
    c = cluster()
    a = c.node()
    teach(a, 1, 20)
    a.send_json("POST", "/snapshots", {}).ok(201)
    postgres.sql(damage, c.name)
    b = c.node()
    assert BEGUN not in b.err.read_text()
    teach(b, 2, 20)
    a.send_json("POST", "/snapshots", {}).ok(201)  # also into a log that has no such table
    c.verified(40)


def cut_short(node) -> None:
    """Two thirds of what its WAL has and no checkpoint has copied are lost: what is copied was synced before."""
    path = node.db.with_name(node.db.name + "-wal")
    wal, db = path.read_bytes(), node.db.read_bytes()
    header, size = 32, int.from_bytes(wal[8:12], "big")
    frames = [wal[i:i + 24 + size] for i in range(header, len(wal), 24 + size)]
    n = next((i for i, frame in enumerate(frames) if frame[8:16] != wal[16:24]), len(frames))  # then come those of the round before

    def is_copied(frame: bytes) -> bool:
        page = int.from_bytes(frame[:4], "big")
        return frame[24:] == db[(page - 1) * size:page * size]
    copied = max((i + 1 for i in range(n) if is_copied(frames[i])), default=0)
    os.truncate(path, header + (copied + (n - copied) // 3) * (24 + size))


def test_a_node_whose_file_lost_its_end_follows_again(cluster):
    """What is durable in the shared log is not waited for on the node's own disk, so a power cut may take it from there."""
    c = cluster()
    a, b = c.node(), c.node()
    teach(a, 0)
    for _ in range(2):
        for i in range(FEW):
            teach(b, i)
        c.agree()
        for node in c.nodes:
            node.kill()
            cut_short(node)
            node.start()
    c.verified(3 + 6 * FEW)


def test_a_training_does_not_wait_for_the_node_s_own_disk(cluster, daemons, tmp_path):
    if SANITIZED or shutil.which("strace") is None:
        pytest.skip("strace is not there, or a sanitizer is")
    c = cluster()
    trace = tmp_path / "trace"
    node = daemons.start(tmp_path / "n.db", "--log", c.log, "--node", "n", "--snapshot-samples", "0",
                         command=["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=fdatasync,fsync", str(CONVD)])
    before = trace.read_text().count("sync(")
    for i in range(FEW):
        teach(node, i)
    assert trace.read_text().count("sync(") < before + FEW // 2  # a checkpoint's may be among them
    node.send_json("POST", "/snapshots", {}).ok(201)  # which is the node's own, and so is synced
    assert trace.read_text().count("sync(") > before
    subprocess.run(["pkill", "-TERM", "-P", str(node.process.pid)], check=True)  # strace passes no signal on
    assert node.process.wait(PATIENCE_S) == 0
    node.process = None


def test_a_node_that_is_killed_after_it_followed_a_way_back_lacks_no_outcome(cluster):
    """Its recovery does not replay what was left behind: what that came to must be in the file before the way back is."""
    c = cluster()
    a = c.node()
    teach(a, 1)
    snapshot = a.send_json("POST", "/snapshots", {}).ok(201)["id"]
    teach(a, 2)
    a.post(f"/snapshots/{snapshot}/activate").ok()
    teach(a, 3)
    b = c.node()  # which copies all of that at once
    c.agree()
    b.kill()
    b.start()
    c.verified(9)


def test_given_weights_come_along(cluster, daemons, tmp_path):
    teacher = daemons.init(name="teacher.db")
    convd("export", "--db", teacher, "--safetensors", tmp_path / "w.safetensors")
    convd("init", "--db", tmp_path / "given.db", "--from", tmp_path / "w.safetensors")
    c = cluster(tmp_path / "given.db")
    a, b = c.node(c.first), c.node()
    teach(b, 1)
    c.verified(3)


@pytest.mark.core
def test_without_the_log_predictions_go_on_and_training_is_refused_until_it_is_back(cluster, postgres):
    c = cluster()
    a, b = c.node(), c.node()
    teach(a, 1)
    c.agree()
    postgres.end(signal.SIGQUIT)
    try:
        refused = a.post("/train?label=a", images(3, 2).tobytes())
        refused.problem(503, "log-unreachable")
        assert refused.header("Retry-After") is not None
        assert a.get("/readyz").status == 200
        assert b.predict(images(1).tobytes())["revision"] == c.nodes[0].model()["revision"]
        until(lambda: b.get("/cluster").ok()["reachable"] is False, "the other node notices")
        b.kill()
        b.start()  # also a new start answers
        assert b.predict(images(1).tobytes())["revision"] >= 1
    finally:
        postgres.start()
    until(lambda: a.post("/train?label=a", images(3, 2).tobytes()).status == 200, "it trains again")
    c.verified()


def test_a_log_that_hangs_is_not_waited_for_for_ever(cluster, postgres):
    c = cluster()
    a = c.node()
    teach(a, 1)
    frozen = threading.Thread(target=postgres.freeze, args=(15,))
    frozen.start()
    time.sleep(0.2)
    began = time.monotonic()
    answer = a.post("/train?label=a", images(3, 2).tobytes(), headers={"Idempotency-Key": "k"})
    assert a.get("/healthz").status == 200 and a.predict(images(1).tobytes())["revision"] > 0
    frozen.join()
    if answer.status != 200:
        answer.problem(503, "log-unreachable")
        assert time.monotonic() - began > 5
    until(lambda: a.post("/train?label=a", images(3, 2).tobytes(), headers={"Idempotency-Key": "k"}).status == 200, "it trains")
    c.verified(6)


def test_a_file_that_is_no_copy_of_the_log_is_refused(cluster, daemons):
    c = cluster()
    other = daemons.init("--seed", "7", name="other.db")
    node = daemons.make(other, "--log", c.log, "--node", "x")
    code, text = node.fails_to_start()
    assert code == 3 and "no copy of the shared log" in text
    alone = daemons.start(c.first)  # trained by itself, it is another log
    teach(alone, 1)
    alone.stop()
    code, text = daemons.make(c.first, "--log", c.log, "--node", "x").fails_to_start()
    assert code == 3 and "not in there" in text
    assert "the log is shared" not in convd("cluster", "init", "--db", other, "--log", c.log, check=False).stdout.decode()


def test_a_revision_that_does_not_come_is_waited_for_and_then_refused(cluster):
    c = cluster()
    a = c.node()
    began = time.monotonic()
    answer = a.request("GET", "/model", headers={"Convd-Min-Revision": "99"})
    assert "at revision 1" in answer.problem(503, "busy")["detail"] and answer.header("Retry-After")
    assert time.monotonic() - began > 4
    a.request("GET", "/model", headers={"Convd-Min-Revision": "1"}).ok()
    for bad in ("x", "-1", "1.5", "", "99999999999999999"):
        a.request("GET", "/model", headers={"Convd-Min-Revision": bad}).problem(422, "value")


def test_a_node_joins_and_leaves_by_the_command_line(cluster, tmp_path):
    c = cluster()
    a = c.node()
    teach(a, 1, 20)
    model = a.model()
    joined = convd_json("cluster", "join", "--db", tmp_path / "n.db", "--log", c.log, "--quiet")
    assert (joined["revision"], joined["digest"]) == (model["revision"], model["digest"])
    status = convd("cluster", "status", "--url", a.url).stdout.decode()
    assert status.startswith(f"the log: revision {model['revision']}; PostgreSQL ") and "\na " in status
    revision = teach(a, 2)["revision"]
    left = convd_json("cluster", "leave", "--db", tmp_path / "n.db", "--log", c.log, "--node", "a", "--quiet")
    assert left["revision"] == revision and left["digest"] == a.model()["digest"]
    convd("verify", "--db", tmp_path / "n.db", "--quiet")


def test_a_model_moves_from_its_file_to_a_log_to_another_and_back_with_the_same_digest(cluster, postgres, tmp_path):
    c = cluster()
    a, b = c.node(c.first), c.node()
    teach(a, 1, 20)
    teach(b, 2, 20)
    model = c.agree()
    for node in c.nodes:
        node.stop()

    def moved(to: str, db: Path, log: str) -> dict:
        done = convd_json("cluster", "move", "--to", to, "--db", db, "--log", log, "--quiet")
        assert done["digest"] == model["digest"]
        return done
    moved("file", a.db, c.log)
    moved("file", tmp_path / "new.db", c.log)
    other = postgres.database(c.name + "_other")
    assert moved("log", a.db, other)["revision"] == model["revision"]
    assert b"already" in convd("cluster", "move", "--to", "log", "--db", a.db, "--log", other, check=False).stderr
    assert b"--to" in convd("cluster", "move", "--db", a.db, "--log", other, check=False).stderr
    for node in c.nodes:
        node.flags[node.flags.index(c.log)] = other
        node.start()
    c.name += "_other"
    teach(b, 3)
    c.verified(43)
    alone = moved("file", tmp_path / "new.db", c.log)
    assert alone["revision"] == model["revision"]  # the old log ends where it was left
    convd("verify", "--db", tmp_path / "new.db", "--quiet")


def covered(state: bytes) -> bytes:
    """What the digest is over: all but the ids at its end, as the reader of tests/format knows it."""
    spec = importlib.util.spec_from_file_location("reader", READER)
    reader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reader)
    return reader.read_state(state).covered


def go_wrong(node) -> None:
    """Of a node that is down: its newest snapshot gets other weights, and the digest of them, so that nothing in the file says so."""
    with closing(sqlite3.connect(node.db, isolation_level=None)) as db:
        number, state = db.execute("SELECT id, state FROM snapshot ORDER BY revision DESC, id DESC LIMIT 1").fetchone()
        tensors = dict(db.execute("SELECT name, data FROM tensor WHERE snapshot = ? ORDER BY name", (number,)))  # kernels, w01, w12
        tensors["w12"] = (np.frombuffer(tensors["w12"], "<f4") + 1).astype("<f4").tobytes()
        digest = hashlib.sha256(covered(state) + b"".join(tensors.values())).digest()
        db.execute("UPDATE tensor SET data = ? WHERE snapshot = ? AND name = 'w12'", (tensors["w12"], number))
        db.execute("UPDATE snapshot SET digest = ? WHERE id = ?", (digest, number))


def told(node) -> dict[str, tuple]:
    return {each["name"]: (each["diverged"], each["compared"]) for each in node.get("/cluster").ok()["nodes"]}


@pytest.mark.parametrize("asked", ["the-right-one", "the-wrong-one"])
def test_a_node_that_went_wrong_says_so_makes_its_model_anew_and_goes_on(cluster, asked):
    """Whichever of the two is first to tell its digest."""
    c = cluster()
    a, b = c.node(), c.node()
    teach(a, 1, 20)
    snapshot = a.send_json("POST", "/snapshots", {}).ok(201)["id"]
    teach(a, 2, 20)
    a.post(f"/snapshots/{snapshot}/activate").ok()
    right = c.agree()
    b.stop()
    go_wrong(b)
    b.start()
    assert b.digest() != right["digest"]
    writer = a if asked == "the-right-one" else b
    with writer.client() as client:  # the digests of revision 256 are compared
        until(lambda: client.post("/train?label=a", images(1).tobytes()) and writer.model()["revision"] > 260, "there are so many")
    b.logged("others have another state")
    b.logged("training is off")
    b.logged("mended")
    assert metric(b, "convd_log_mended_total") == 1
    until(lambda: b.get("/readyz").status == 200 and a.get("/readyz").status == 200, "both are ready")
    assert metric(b, "convd_log_diverged") == 0
    same = [node.get("/cluster").ok()["same"] for node in (a, b)]
    assert same[0] == same[1] and same[0]["revision"] == 256
    until(lambda: told(a) == {"a": (False, same[0]), "b": (False, same[0])}, "both tell that")
    teach(b, 3)
    teach(a, 4)
    c.verified()


def test_who_still_differs_after_making_it_anew_stays_off_and_predicts(cluster, postgres):
    c = cluster()
    a = c.node()
    wrong = "INSERT INTO convd.digest (revision, digest) VALUES (%d, decode(repeat('00', 32), 'hex'))"
    for revision in (256, 512):
        postgres.sql(wrong % revision, c.name)
    with a.client() as client:
        until(lambda: client.post("/train?label=a", images(1).tobytes()).status != 200 and a.model()["revision"] > 500,
              "the second of them is found, too")
    a.logged("mended")  # of revision 256, which it said it knows better
    a.logged("not mended")
    a.get("/readyz").problem(503, "log-diverged")
    assert metric(a, "convd_log_diverged") == 1
    until(lambda: metric(a, "convd_log_compared_revision") == 256, "the revision until which it was right is told")
    seen = a.get("/cluster").ok()
    assert seen["diverged"] and seen["reachable"] and seen["same"]["revision"] == 256
    b = c.node()
    until(lambda: told(b)["a"][0] and told(b)["a"][1]["revision"] == 512, "any node says that it has diverged")
    compared = told(b)["a"][1]
    assert int(compared["digest"], 16) not in (0, int(seen["same"]["digest"], 16))
    listed = convd("cluster", "status", "--url", b.url).stdout.decode()
    assert f"HAS DIVERGED; revision {seen['revision']}, 0 behind; at revision 512 it has {compared['digest'][:16]}; told" in listed
    status = convd("cluster", "status", "--url", a.url).stdout.decode()
    assert "this node has diverged" in status and f"at revision 256 no node told another state than {seen['same']['digest']}" in status
    assert a.predict(images(1).tobytes())["revision"] > 500
    a.post("/train?label=a", images(1).tobytes()).problem(503, "log-diverged")
    a.stop()
    convd("verify", "--db", a.db, "--quiet")


@pytest.mark.core
def test_another_shared_snapshot_of_the_same_revision_is_an_alarm_too(cluster, postgres):
    c = cluster()
    a, b = c.node(), c.node()
    teach(a, 1, 20)
    c.agree()
    assert a.get("/cluster").ok()["same"] is None
    a.send_json("POST", "/snapshots", {}).ok(201)
    postgres.sql("UPDATE convd.snapshot SET digest = decode(repeat('00', 32), 'hex')", c.name)
    b.send_json("POST", "/snapshots", {}).ok(201)
    b.logged("training is off")
    b.logged("mended")
    until(lambda: b.get("/readyz").status == 200, "it is ready")
    teach(b, 2)
    c.verified(23)


@pytest.mark.parametrize("what", ["train", "activate"])
def test_a_log_that_lost_its_end_is_said_to_be_another_by_the_next_append(cluster, postgres, what):
    """As after a failover to a standby that had not all of it, and before the node looks by itself."""
    c = cluster()
    a = c.node()
    for i in range(3):
        teach(a, i)
    snapshot = a.send_json("POST", "/snapshots", {}).ok(201)["id"]
    postgres.sql("DELETE FROM convd.event WHERE revision > 2; UPDATE convd.head SET revision = 2, chain = "
                 "(SELECT chain FROM convd.event WHERE revision = 2)", c.name)
    answer = a.post("/train?label=a", images(1).tobytes()) if what == "train" else a.post(f"/snapshots/{snapshot}/activate")
    answer.problem(503, "log-diverged")
    assert a.predict(images(1).tobytes())["revision"] == 4
    a.stop()


def opens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_behind_haproxy_no_prediction_fails_while_nodes_die(cluster, tmp_path):
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed (apt-get install haproxy)")
    c = cluster()
    nodes = [c.node() for _ in range(3)]
    teach(nodes[0], 1)
    c.agree()
    port = lasting_port()
    text = (ROOT / "examples" / "cluster" / "haproxy.cfg").read_text().replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    for place, node in zip(("8081", "8082", "8083"), nodes):
        text = text.replace(f"127.0.0.1:{place}", f"127.0.0.1:{node.port}")
    (tmp_path / "haproxy.cfg").write_text(text)
    proxy = subprocess.Popen(["haproxy", "-db", "-f", tmp_path / "haproxy.cfg"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    failed, answered, stop = [], [], threading.Event()

    def predict() -> None:
        while not stop.is_set():
            with Client(port) as client:
                answer = client.request("POST", "/predict", images(1).tobytes(), {"Content-Type": "application/octet-stream"})
            (answered if answer.status == 200 else failed).append(answer)
    try:
        until(lambda: opens(port), "HAProxy listens")
        threads = [threading.Thread(target=predict) for _ in range(3)]
        [t.start() for t in threads]
        for node in nodes[1:]:
            before = len(answered)
            node.kill()
            until(lambda: len(answered) > before + 100, "predictions go on")
            node.start() if node is nodes[1] else None
        stop.set()
        [t.join(PATIENCE_S) for t in threads]
    finally:
        stop.set()
        proxy.terminate()
        proxy.wait(PATIENCE_S)
    assert not failed, failed[:3]


def test_a_node_may_follow_a_standby_and_takes_training_when_that_is_promoted(cluster, daemons, postgres):
    c = cluster()
    standby = postgres.standby()
    try:
        writer = c.node()
        teach(writer, 0)
        reader = daemons.start(c.first.parent / "reader.db", "--log", standby.url(c.name) + "?target_session_attrs=any", "--node", "reader")
        for i in range(260 // 8):  # past a revision whose digest is compared
            for _ in range(8):
                revision = teach(writer, i)["revision"]
            until(lambda: reader.model()["revision"] == revision, "the standby and its follower are there")
        assert reader.model()["digest"] == writer.model()["digest"]
        seen = reader.get("/cluster").ok()
        assert seen["postgresql"]["standby"] and [node["name"] for node in seen["nodes"]] == ["a"]
        assert "predictions go on" not in reader.stderr
        roles = [f"convd_log_{name}" for name in ("standby", "standbys", "standbys_synchronous")]
        until(lambda: [metric(reader, name) for name in roles] == [1, 0, 0], "the follower's metrics tell that it has a standby")
        until(lambda: [metric(writer, name) for name in roles] == [0, 1, 0], "the writer's, that it has one")
        for change, synchronous in (("SET synchronous_standby_names = '*'", 1), ("RESET synchronous_standby_names", 0)):
            postgres.sql(f"ALTER SYSTEM {change}", "postgres")
            postgres.sql("SELECT pg_reload_conf()", "postgres")
            until(lambda: metric(writer, roles[-1]) == synchronous, "and whether commits wait for it")
        reader.train("a", images(1).tobytes()).problem(503, "log-unreachable")
        until(lambda: reader.get("/cluster").ok()["reachable"], "it follows again")
        postgres.end()
        standby.run("pg_ctl", "promote", "-w", "-D", standby.directory / "data")
        until(lambda: reader.train("a", images(1).tobytes()).status == 200, "it takes training")
    finally:
        standby.close()
        if postgres.process is None:
            postgres.start()
