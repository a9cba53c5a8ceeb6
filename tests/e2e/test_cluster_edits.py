"""Samples of a shared log are forgotten and relabelled, and its classes merged and deleted: at any node, by all, whatever ends in the middle.

A twin proves it, as in test_edits.py: a new model that is fed what is left has the same digest. And nothing of what was forgotten
stands in a node's files or in the table of the log.
"""
import os
import signal
import subprocess
import threading

import pytest

from .cluster import Cluster, images, teach
from .daemon import PATIENCE_S, SANITIZED, Daemon, convd, until
from .test_edits import FLAGS, SLOW, Taught, edit, is_exact, stands_in_the_files
from .test_file_format import reads_the_same

FEW = 4 if SANITIZED else 12


class Edited:
    """A cluster that was taught at its first node."""

    def __init__(self, cluster, daemons, nodes: int = 2, samples: int = 200, flags=FLAGS):
        self.daemons, self.flags = daemons, flags
        self.c: Cluster = cluster(daemons.init(*flags))
        self.nodes = [self.c.node(self.c.first), *(self.c.node() for _ in range(nodes - 1))]
        self.taught = Taught(self.nodes[0], samples)
        self.c.agree()

    def in_the_log(self, sample: int) -> bool:
        found = self.c.postgres.sql(f"SELECT count(*) FROM convd.event WHERE position('\\x{self.taught.images[sample].hex()}'::bytea IN images) > 0",
                                    self.c.name)
        return found != "0"

    def is_forgotten(self, *samples: int) -> None:
        for sample in samples:
            assert not self.in_the_log(sample)
            for node in self.c.nodes:
                until(lambda: not stands_in_the_files(node, self.taught.images[sample]), "it stands in no file")
                if node.process.poll() is None:
                    node.get(f"/samples/{sample}").problem(410, "gone")

    def is_exact(self, classes: str | None = None) -> None:
        """For everybody, and for who joins now."""
        joiner = self.c.node()
        model = self.c.agree()
        reads_the_same(joiner)  # also who knows only docs/file-format.md
        is_exact(self.daemons, self.nodes[0], self.flags, classes)
        self.c.nodes.remove(self.nodes[0])
        for node in self.c.nodes:
            assert node.digest() == model["digest"]
        self.c.verified()


@pytest.mark.core
def test_what_any_node_is_asked_to_forget_all_forget(cluster, daemons):
    e = Edited(cluster, daemons, nodes=3)
    a, b, c = e.nodes
    before = e.c.agree()
    assert e.in_the_log(57) and stands_in_the_files(c, e.taught.images[57])
    job = edit(b, "DELETE", "/samples/57").ok()
    assert job["kind"] == "rebuild" and job["state"] == "done" and job["progress"] == 1
    assert job["revision"] == before["revision"] + 1
    for node in e.nodes:  # it is done when all have done it
        assert node.model()["revision"] > before["revision"] and node.get("/stats").ok()["samples"] == 199
        assert not stands_in_the_files(node, e.taught.images[57])
    e.is_forgotten(57)
    edit(c, "DELETE", "/samples/57").problem(410, "gone")
    edit(a, "PATCH", "/samples", {"ids": [3, 90, 91], "label": "a"}).ok()
    e.is_exact()


@pytest.mark.core
def test_no_state_that_saw_what_was_forgotten_stays_in_the_log_and_who_joins_begins_behind_the_edit(cluster, daemons):
    e = Edited(cluster, daemons)
    a, b = e.nodes
    a.send_json("POST", "/snapshots", {}).ok(201)
    edit(b, "DELETE", "/samples/57").ok()
    edit(b, "PATCH", "/samples", {"ids": [3, 90, 91], "label": "a"}).ok()
    teach(a, 1)
    last = edit(b, "DELETE", "/samples/58").ok()["revision"]
    assert e.c.postgres.sql("SELECT bool_and(revision >= %d) FROM convd.snapshot WHERE revision > 1" % last, e.c.name) == "t"
    kept = e.c.postgres.sql("SELECT encode(substring(rows FROM 20 * (57 - first::int) + 1 FOR 20), 'hex') FROM convd.outcome WHERE first = 1", e.c.name)
    assert kept[16:32] == "000000000000c07f" or int(kept[32:40], 16)  # predicted 0, loss not a number; or none at all
    late = e.c.node()
    late.logged("begun from a snapshot of the shared log")
    teach(late, 2)
    e.c.agree()
    e.is_forgotten(57, 58)
    e.c.verified()


def test_outcomes_of_before_an_edit_are_none_to_begin_from(cluster, daemons):
    """As of a node that puts them while it has not come to the edit yet."""
    e = Edited(cluster, daemons)
    a, b = e.nodes
    event = edit(b, "DELETE", "/samples/57").ok()["revision"]
    teach(a, 1)
    a.send_json("POST", "/snapshots", {}).ok(201)
    e.c.agree()
    e.c.postgres.sql(f"UPDATE convd.outcome SET revision = {event - 1}", e.c.name)
    late = e.c.node()
    assert "begun from a snapshot" not in late.err.read_text()
    e.c.agree()
    e.c.verified()


@pytest.mark.core
def test_classes_are_merged_and_deleted_by_all(cluster, daemons):
    e = Edited(cluster, daemons)
    a, b = e.nodes
    edit(b, "PATCH", "/classes", {"from": "b", "into": "c"}).ok()
    teach(a, 1, 3, "c")
    e.c.agree()
    assert b.labels() == ["a", "c"]
    b.post("/train?label=b", images(1).tobytes()).problem(422, "label-unknown")
    e.taught.more(a, 0)
    edit(a, "PATCH", "/classes", {"delete": "c"}).ok()
    a.send_json("POST", "/classes", {"label": "new"}).ok(201)
    e.c.agree()
    teach(b, 2, 3, "new")
    e.c.agree()
    c = e.c.node()
    e.c.agree()
    assert c.labels() == ["a", "new"]
    e.c.verified()


def test_a_retry_of_what_was_forgotten_teaches_nothing_at_any_node(cluster, daemons):
    e = Edited(cluster, daemons)
    a, b = e.nodes
    first = teach(a, 1, **{"Idempotency-Key": "k"})
    e.c.agree()  # b has it, too
    edit(b, "DELETE", f"/samples/{first['samples'][1]}").ok()
    e.c.node()
    e.c.agree()
    for node in e.c.nodes:
        assert teach(node, 1, **{"Idempotency-Key": "k"})["samples"] == first["samples"]
    assert e.c.postgres.sql("SELECT encode(fingerprint, 'hex') FROM convd.event WHERE key = 'k'", e.c.name) == "00" * 32
    e.c.verified(203)


@pytest.mark.core
def test_edits_and_trainings_at_several_nodes_at_once_have_one_order(cluster, daemons):
    e = Edited(cluster, daemons, nodes=3)
    done: list[int] = []

    def forget(node: Daemon, first: int) -> None:
        for sample in range(first, first + FEW):
            done.append(edit(node, "DELETE", f"/samples/{sample}", wait=False).status)

    def train(node: Daemon, seed: int) -> None:
        for i in range(3 * FEW):
            done.append(node.post("/train?label=b", images(2, seed + i).tobytes()).status)
    threads = [threading.Thread(target=forget, args=(e.nodes[0], 20)), threading.Thread(target=forget, args=(e.nodes[1], 100)),
               threading.Thread(target=train, args=(e.nodes[1], 1000)), threading.Thread(target=train, args=(e.nodes[2], 2000))]
    [t.start() for t in threads]
    [t.join(PATIENCE_S) for t in threads]
    assert sorted(done) == [200] * 6 * FEW + [202] * 2 * FEW
    until(lambda: all(job["state"] == "done" for node in e.nodes for job in node.get("/jobs").ok()["jobs"]), "all is done")
    e.is_forgotten(20, 20 + FEW - 1, 100)
    e.is_exact()


def test_a_rehearsal_goes_on_while_others_edit(cluster, daemons):
    e = Edited(cluster, daemons)
    a, b = e.nodes
    job = a.send_json("POST", "/rehearse", {"passes": 20}).ok(202)["id"]
    for sample in range(20, 20 + FEW):
        edit(b, "DELETE", f"/samples/{sample}", wait=False).ok(202)
    until(lambda: a.get(f"/jobs/{job}").ok()["state"] != "running", "the rehearsal's end")
    assert a.get(f"/jobs/{job}").ok()["state"] == "done"
    e.c.agree()
    e.is_forgotten(20, 20 + FEW - 1)
    e.c.node()
    e.c.verified(200)


def test_what_waits_behind_a_class_that_goes_means_what_it_says(cluster, daemons):
    e = Edited(cluster, daemons)
    a, b = e.nodes
    bs = [sample for sample, label in e.taught.labels.items() if label == "b"]
    asks = [("PATCH", "/classes", {"from": "a", "into": "c"}), ("PATCH", f"/samples/{bs[0]}", {"label": "c"}),
            ("DELETE", f"/samples/{bs[1]}", None), ("PATCH", f"/samples/{bs[2]}", {"label": "c"})]
    threads = [threading.Thread(target=lambda ask=ask: edit(a, *ask, wait=False).ok(202)) for ask in asks]
    [t.start() for t in threads]
    [t.join(PATIENCE_S) for t in threads]
    until(lambda: all(job["state"] == "done" for job in a.get("/jobs").ok()["jobs"]), "all is done")
    e.c.agree()
    for node in e.nodes:
        assert node.labels() == ["b", "c"]
        assert [node.get(f"/samples/{bs[i]}").ok()["label"] for i in (0, 2, 3)] == ["c", "c", "b"]
    e.is_exact(classes="b,c")


def test_the_same_edit_at_two_nodes_at_once_is_made_once(cluster, daemons):
    e = Edited(cluster, daemons)
    answers = []
    threads = [threading.Thread(target=lambda node=node: answers.append(edit(node, "DELETE", "/samples/9", wait=False).status)) for node in e.nodes]
    [t.start() for t in threads]
    [t.join(PATIENCE_S) for t in threads]
    assert sorted(answers) == [202, 410]
    e.c.agree()
    assert e.c.postgres.sql("SELECT count(*) FROM convd.event WHERE kind = 'edit'", e.c.name) == "1"
    e.is_exact()


@pytest.mark.core
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_node_that_was_down_for_all_of_it_does_it_when_it_comes_back(cluster, daemons, number):
    e = Edited(cluster, daemons)
    a, b = e.nodes
    b.kill() if number == signal.SIGKILL else b.stop()
    e.taught.more(a, 40)
    edit(a, "DELETE", "/samples", {"ids": [30, 31, 170, 205, 206]}).ok()  # the last two it never had
    e.taught.more(a, 20)
    edit(a, "DELETE", "/samples", {"ids": [207, 212]}).ok()  # one event, edited twice
    teach(a, 5)
    snapshot = a.send_json("POST", "/snapshots", {}).ok(201)["id"]
    e.taught.more(a, 20)
    a.post(f"/snapshots/{snapshot}/activate").ok()
    edit(a, "DELETE", "/samples/265").ok()  # left behind
    assert stands_in_the_files(b, e.taught.images[30])
    b.start()
    e.c.agree()
    e.is_forgotten(30, 170, 205, 207, 265)
    e.is_exact()


@pytest.mark.parametrize("which", [0, 1])
def test_a_node_that_is_killed_in_the_midst_does_it_again(cluster, daemons, which):
    e = Edited(cluster, daemons, flags=SLOW)
    a, b = e.nodes
    victim = e.nodes[which]
    for sample in (11, 57, 120):
        edit(a, "DELETE", f"/samples/{sample}", wait=False).ok(202)
        until(lambda: a.get(f"/samples/{sample}").status == 410 if which else True, "it is made")
        victim.kill()
        assert e.nodes[1 - which].predict(images(1).tobytes())["revision"] > 0
        victim.start()
        e.c.agree()
    e.is_forgotten(11, 57, 120)
    e.is_exact()


def test_a_node_that_is_stopped_in_the_midst_ends_soon_and_does_it_again(cluster, daemons):
    e = Edited(cluster, daemons, flags=SLOW)
    a, b = e.nodes
    edit(a, "DELETE", "/samples/3", wait=False).ok(202)
    a.stop()
    b.stop()
    a.start()
    b.start()
    e.c.agree()
    e.is_forgotten(3)
    e.is_exact()


def test_the_job_is_done_when_all_that_live_have_done_it_and_predictions_go_on(cluster, daemons):
    e = Edited(cluster, daemons)
    a, b = e.nodes
    os.kill(b.process.pid, signal.SIGSTOP)
    try:
        job = edit(a, "DELETE", "/samples/57", wait=False).ok(202)["id"]
        revision = e.c.postgres.sql("SELECT max(revision) FROM convd.event", e.c.name)
        until(lambda: a.model()["revision"] == int(revision), "one of them has done it")
        until(lambda: [n["revision"] for n in a.get("/cluster").ok()["nodes"] if n["name"] == "a"] == [int(revision)], "and has told so")
        assert a.get(f"/jobs/{job}").ok()["state"] == "running"
        assert a.predict(images(1).tobytes())["revision"] == int(revision)
        assert teach(a, 1)["samples"] == [201, 203]
    finally:
        os.kill(b.process.pid, signal.SIGCONT)
    until(lambda: a.get(f"/jobs/{job}").ok()["state"] == "done", "now both have")
    assert not stands_in_the_files(b, e.taught.images[57])
    e.is_exact()


def test_a_log_that_lost_an_edit_is_joined_anew_with_the_files_put_aside(cluster, daemons, postgres):
    """As after a failover to a standby that had neither the edit nor what it emptied: then the log says that nothing was forgotten."""
    e = Edited(cluster, daemons)
    a, b = e.nodes
    a.send_json("POST", "/snapshots", {}).ok(201)
    before = e.c.agree()
    dump = subprocess.run([postgres.bin / "pg_dump", "-d", e.c.log, "--no-owner"], capture_output=True, text=True, check=True).stdout
    edit(a, "DELETE", "/samples/57").ok()
    edit(b, "PATCH", "/samples", {"ids": [3, 90], "label": "a"}).ok()
    teach(b, 1)
    e.c.agree()
    subprocess.run([postgres.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", e.c.log],
                   input="BEGIN; DROP SCHEMA convd CASCADE;" + dump + "; COMMIT;", text=True, check=True, stdout=subprocess.DEVNULL)
    for node in e.nodes:
        until(lambda: node.get("/readyz").status == 503, "it finds that its log is another")
        node.get("/readyz").problem(503, "log-diverged")
        node.post("/train?label=a", images(1).tobytes()).problem(503, "log-diverged")
        node.get("/samples/57").problem(410, "gone")  # it still holds what it was told
        node.stop()
        for path in list(node.db.parent.glob(node.db.name + "*")):
            path.rename(path.with_name("aside-" + path.name))
        node.start()
    assert e.c.agree() == before
    assert e.in_the_log(57)
    edit(b, "DELETE", "/samples/57").ok()
    teach(a, 2)
    e.c.agree()
    e.is_forgotten(57)
    e.c.verified()
    convd("verify", "--db", a.db.with_name("aside-" + a.db.name), "--quiet")  # what was acknowledged, for whoever wants it back


def test_a_dead_node_is_not_waited_for(cluster, daemons):
    e = Edited(cluster, daemons)
    a, b = e.nodes
    b.kill()
    job = edit(a, "DELETE", "/samples/57", wait=False).ok(202)["id"]
    until(lambda: a.get(f"/jobs/{job}").ok()["state"] == "done", "who lives has done it")
    b.start()
    e.c.agree()
    e.is_forgotten(57)
    e.is_exact()


def test_an_edit_in_doubt_is_made_by_all_or_by_none(cluster, daemons, postgres):
    e = Edited(cluster, daemons)
    a, b = e.nodes
    for sample in range(40, 40 + 3 * FEW, 3):
        answers = []
        asks = threading.Thread(target=lambda: answers.append(edit(a, "DELETE", f"/samples/{sample}", wait=False).status))
        asks.start()
        postgres.end(signal.SIGQUIT)
        postgres.start()
        asks.join(PATIENCE_S)
        until(lambda: a.post("/train?label=a", images(1, sample).tobytes()).status == 200, "it trains again")
        e.c.agree()
        found = [node.get(f"/samples/{sample}").status for node in e.nodes]
        assert found in ([200, 200], [410, 410]), (found, answers)
        assert answers[0] != 202 or found == [410, 410]
        assert e.in_the_log(sample) == (found == [200, 200])
    e.is_exact()


def test_vacuum_takes_what_was_forgotten_out_of_the_files_of_the_table(cluster, daemons, postgres):
    e = Edited(cluster, daemons)
    a, b = e.nodes
    image = e.taught.images[57]
    base = postgres.directory / "data" / "base" / postgres.sql("SELECT oid FROM pg_database WHERE datname = current_database()", e.c.name)

    def stands() -> bool:
        postgres.sql("CHECKPOINT", e.c.name)
        return any(image in path.read_bytes() for path in base.iterdir())
    assert stands()
    edit(b, "DELETE", "/samples/57").ok()
    assert not e.in_the_log(57)
    convd("cluster", "vacuum", "--log", e.c.log)
    assert not stands()
    teach(a, 1)
    e.is_exact()


def test_pinned_snapshots_that_saw_are_in_the_way_at_the_node_that_is_asked_and_go_at_the_others(cluster, daemons):
    e = Edited(cluster, daemons)
    a, b = e.nodes
    pinned = {node: node.send_json("POST", "/snapshots", {"pinned": True}).ok(201)["id"] for node in e.nodes}
    assert "is pinned" in edit(a, "DELETE", "/samples/5").problem(409, "conflict")["detail"]
    edit(a, "DELETE", "/samples/5?drop_pinned=1").ok()
    for node in e.nodes:
        assert pinned[node] not in [snapshot["id"] for snapshot in node.get("/snapshots").ok()["snapshots"]]
    e.is_exact()


def test_a_role_that_may_not_erase_is_told_so_and_nothing_is_changed(cluster, daemons, postgres):
    e = Edited(cluster, daemons, nodes=1)
    e.c.postgres.sql("CREATE ROLE careful LOGIN; GRANT USAGE ON SCHEMA convd TO careful; GRANT SELECT, UPDATE ON convd.head TO careful;"
                     "GRANT SELECT, INSERT ON convd.event TO careful; GRANT SELECT, INSERT, DELETE ON convd.digest, convd.snapshot TO careful;"
                     "GRANT SELECT, INSERT, UPDATE, DELETE ON convd.node TO careful", e.c.name)
    e.c.log = e.c.log.replace("convd@", "careful@")
    b = e.c.node()
    e.c.agree()
    assert "may not do that" in edit(b, "DELETE", "/samples/5").problem(409, "conflict")["detail"]
    e.c.postgres.sql("GRANT UPDATE (labels, images, fingerprint) ON convd.event TO careful", e.c.name)
    edit(b, "DELETE", "/samples/5").ok()
    e.is_forgotten(5)
    e.is_exact()


def test_a_log_that_was_edited_is_shared_as_it_is(cluster, daemons):
    alone = daemons.start(daemons.init(*FLAGS))
    taught = Taught(alone)
    edit(alone, "DELETE", "/samples", {"ids": [5, 6, 70]}).ok()
    edit(alone, "PATCH", "/samples/9", {"label": taught.other(9)}).ok()
    edit(alone, "PATCH", "/classes", {"delete": "b"}).ok()
    digest = alone.digest()
    alone.stop()
    c = cluster(alone.db)
    a, b = c.node(alone.db), c.node()
    assert c.agree()["digest"] == digest
    first = next(sample for sample in range(10, 70) if a.get(f"/samples/{sample}").status == 200)
    edit(b, "DELETE", f"/samples/{first}").ok()
    c.node()
    c.agree()
    c.verified()


def test_a_file_with_an_edit_that_is_not_through_is_not_shared(daemons, postgres):
    alone = daemons.start(daemons.init(*SLOW))
    Taught(alone, 400)
    edit(alone, "DELETE", "/samples/1", wait=False).ok(202)
    alone.kill()
    done = convd("cluster", "init", "--db", alone.db, "--log", postgres.database("unfinished"), check=False)
    assert done.returncode == 1 and "is not through" in done.stderr.decode()
