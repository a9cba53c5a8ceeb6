"""DELETE and PATCH of /samples: the model is then what it would be had it never seen them, or seen them with that label.

The proof is a twin: a new model of the same seed that is fed what the table of samples holds after the edit, in its order, and has
the same digest.
"""
import json
import random
import sqlite3
import threading
import time

import numpy as np
import pytest

from .daemon import SANITIZED, Answer, Daemon, convd, convd_json
from .test_rehearse import ended, rehearse, until

LABELS = "abc"
FLAGS = ("--rehearsal", "2", "--jitter", "1", "--rotation", "5")
SLOW = (*FLAGS, "--hidden", "4096")  # a rebuild of some hundred samples takes a while
SLOWEST = (*FLAGS, "--hidden", "16384", "--rehearsal", "4")
WAIT = {"Prefer": "wait=25"}


class Taught:
    """What a daemon was taught: images and labels by sample id."""

    def __init__(self, daemon: Daemon, n: int = 200, seed: int = 1):
        self.images: dict[int, bytes] = {}
        self.labels: dict[int, str] = {}
        self.chance = np.random.default_rng(seed)
        self.more(daemon, n)

    def more(self, daemon: Daemon, n: int, batch: int = 20) -> None:
        for at in range(0, n, batch):
            count = min(batch, n - at)
            images = self.chance.integers(0, 256, (count, 64), np.uint8)
            labels = [LABELS[i] for i in self.chance.integers(0, 3, count)]
            answer = daemon.post("/train?labels=" + ",".join(labels), images.tobytes()).ok()
            for i, number in enumerate(range(answer["samples"][0], answer["samples"][1] + 1)):
                self.images[number], self.labels[number] = images[i].tobytes(), labels[i]

    def other(self, number: int) -> str:
        return LABELS[(LABELS.index(self.labels[number]) + 1) % 3]


def edit(daemon: Daemon, method: str, path: str, document: dict | None = None, wait: bool = True):
    headers = {"Content-Type": "application/json" if document is not None else None, **(WAIT if wait else {})}
    answer = daemon.request(method, path, json.dumps(document).encode() if document is not None else None, headers)
    if not wait or answer.status != 202:
        return answer
    job = answer.json()["id"]  # it takes longer than a request may wait
    ended(daemon, job)
    return Answer(200, answer.headers, daemon.get(f"/jobs/{job}").body)


def rows(daemon: Daemon, sql: str, *values) -> list[tuple]:
    """Of a daemon that is down."""
    connection = sqlite3.connect(f"file:{daemon.db}?mode=ro", uri=True)
    found = connection.execute(sql, values).fetchall()
    connection.close()
    return found


def is_exact(daemons, daemon: Daemon, flags=FLAGS, classes: str | None = None) -> None:
    """Stops the daemon; the twin (made with those classes) and a replay from nothing have its digest."""
    digest = daemon.digest()
    daemon.stop()
    labels = dict(rows(daemon, "SELECT id, label FROM class"))
    made_with = ("--classes", classes) if classes else ()
    twin = daemons.start(daemons.init(*flags, *made_with, name=f"twin-{random.random()}.db"))
    live = rows(daemon, "SELECT sample.label, sample.image FROM live_span JOIN sample_now AS sample"
                        " ON sample.revision BETWEEN live_span.first AND live_span.last ORDER BY sample.id")
    for at in range(0, len(live), 500):
        part = live[at:at + 500]
        twin.post("/train?labels=" + ",".join(labels[label] for label, _ in part), b"".join(i for _, i in part)).ok()
    assert twin.digest() == digest
    verdict = convd_json("verify", "--db", daemon.db)
    assert verdict["ok"] is True and verdict["digest"] == digest


def stands_in_the_files(daemon: Daemon, image: bytes) -> bool:
    return any(image in path.read_bytes() for path in daemon.db.parent.glob(daemon.db.name + "*"))


@pytest.fixture
def pupil(daemons) -> Daemon:
    return daemons.start(daemons.init(*FLAGS))


@pytest.fixture
def slow(daemons) -> Daemon:
    return daemons.start(daemons.init(*SLOW))


@pytest.fixture
def slowest(daemons) -> Daemon:
    """For tests that do several things while one rebuild is at work."""
    return daemons.start(daemons.init(*SLOWEST))


# ---- what an edit does ----

@pytest.mark.core
def test_a_forgotten_sample_was_never_there(daemons, pupil: Daemon):
    taught = Taught(pupil)
    before = pupil.model()
    assert stands_in_the_files(pupil, taught.images[57])
    answer = edit(pupil, "DELETE", "/samples/57")
    job = answer.ok()
    assert answer.header("Location") == f"../jobs/{job['id']}" and job["kind"] == "rebuild" and job["state"] == "done"
    assert job["steps"] == job["steps_total"] == 200 and job["progress"] == 1
    assert not stands_in_the_files(pupil, taught.images[57]) and stands_in_the_files(pupil, taught.images[56])
    after = pupil.model()
    assert after["revision"] == before["revision"] + 1 == job["revision"] and after["step"] == before["step"] - 3
    assert pupil.get("/stats").ok()["samples"] == 199
    pupil.get("/samples/57").problem(410, "gone")
    pupil.get("/samples/57/image").problem(410, "gone")
    assert pupil.get("/samples/56").ok()["label"] == taught.labels[56]
    assert 57 not in [row["id"] for row in pupil.get("/samples?limit=500").ok()["samples"]]
    edit(pupil, "DELETE", "/samples/57").problem(410, "gone")
    is_exact(daemons, pupil)
    assert not stands_in_the_files(pupil, taught.images[57])
    [(event, was, label)] = rows(pupil, "SELECT revision, was, label FROM edit JOIN event ON number = body ->> '$.number' WHERE sample = 57")
    assert event == after["revision"] and LABELS[was] == taught.labels[57] and label == -1


@pytest.mark.core
def test_a_retry_of_what_was_forgotten_teaches_nothing(pupil: Daemon, noise):
    images = noise.integers(0, 256, (2, 64), dtype=np.uint8).tobytes()

    def teach(label: str, body: bytes):
        return pupil.train(label, body, headers={"Idempotency-Key": "scan-81"})
    first = teach("a", images).ok()
    edit(pupil, "DELETE", f"/samples/{first['samples'][0]}").ok()
    model, left = pupil.model(), teach("a", images).ok()
    same = ("accepted", "step", "revision", "samples")
    assert [left[name] for name in same] == [first[name] for name in same] and left["loss"] != first["loss"]
    # Whatever else comes under that key: nothing is left to tell it by.
    assert teach("b", bytes(range(64))).ok() == left
    assert pupil.restart().model() == model and teach("a", images).ok() == left
    edit(pupil, "DELETE", f"/samples/{first['samples'][1]}").ok()
    assert teach("a", images).ok() == {**{name: first[name] for name in same}, "loss": None, "correct": 0}
    pupil.stop()
    [(fingerprint,)] = rows(pupil, "SELECT fingerprint FROM idempotency")
    assert fingerprint == bytes(32)


def test_nothing_is_pinned_offline_while_an_accepted_edit_waits(slow: Daemon):
    Taught(slow, 400)
    edit(slow, "DELETE", "/samples/5", wait=False).ok(202)
    slow.kill()
    for words in (["pin", "2"], ["take", "--pin"]):
        refused = convd("snapshots", *words, "--db", slow.db, check=False)
        assert refused.returncode != 0 and b"an accepted edit may change this state" in refused.stderr
    convd("snapshots", "take", "--db", slow.db)
    slow.start()
    assert all(ended(slow, job["id"])["state"] == "done" for job in slow.get("/jobs").ok()["jobs"])
    slow.get("/samples/5").problem(410, "gone")


def test_what_was_labelled_later_is_as_if_a_forgotten_sample_had_never_been(daemons, pupil: Daemon):
    """Predictions that were remembered, before and after the sample, and labelled, before and after it."""
    taught = Taught(pupil, 60)

    def remembered(n: int) -> list[str]:
        images = taught.chance.integers(0, 256, (n, 64), np.uint8)
        return [said["id"] for said in pupil.post("/predict?remember=1", images.tobytes()).ok()["predictions"]]

    def label(ids: list[str]) -> None:
        for i, number in enumerate(ids):
            pupil.send_json("POST", f"/predictions/{number}/label", {"label": LABELS[i % 3]}).ok()
    early = remembered(30)
    label(early[:10])
    gone = pupil.post("/train?label=c", bytes(range(64)) * 100).ok()["samples"]  # it makes a difference
    late = remembered(20)
    taught.more(pupil, 40)
    label(early[10:] + late)
    job = edit(pupil, "DELETE", "/samples", {"ids": list(range(gone[0], gone[1] + 1))}).ok()
    assert job["state"] == "done"
    is_exact(daemons, pupil)


def test_a_relabelled_sample_always_had_its_label(daemons, pupil: Daemon):
    taught = Taught(pupil)
    number, label = 33, taught.other(33)
    assert edit(pupil, "PATCH", f"/samples/{number}", {"label": label}).ok()["state"] == "done"
    assert pupil.get(f"/samples/{number}").ok()["label"] == label
    assert pupil.get(f"/samples?label={label}&limit=500").ok()["samples"].count(pupil.get(f"/samples/{number}").ok()) == 1
    again = edit(pupil, "PATCH", f"/samples/{number}", {"label": label})
    assert again.ok() == {"changed": 0, "step": pupil.model()["step"], "revision": pupil.model()["revision"]}
    assert again.header("Location") is None and len(pupil.get("/jobs").ok()["jobs"]) == 1
    is_exact(daemons, pupil)


def test_relabelled_and_back_is_as_if_nothing_had_been(pupil: Daemon):
    taught, digest = Taught(pupil), pupil.digest()
    edit(pupil, "PATCH", "/samples/33", {"label": taught.other(33)}).ok()
    assert pupil.digest() != digest
    edit(pupil, "PATCH", "/samples/33", {"label": taught.labels[33]}).ok()
    assert pupil.digest() == digest


def test_many_at_once_and_the_model_learns_on(daemons, pupil: Daemon):
    taught = Taught(pupil)
    assert edit(pupil, "DELETE", "/samples", {"ids": list(range(1, 200, 7))}).ok()["state"] == "done"
    assert edit(pupil, "PATCH", "/samples", {"ids": [2, 150, 3, 2], "label": "a"}).ok()
    taught.more(pupil, 50)
    assert pupil.train("b", bytes(63) + b"\1").ok()["samples"] == [251, 251], "ids are not given again"
    edit(pupil, "DELETE", "/samples/251").ok()
    is_exact(daemons, pupil)


def test_an_edit_reaches_what_was_rehearsed(pupil: Daemon):
    Taught(pupil)
    rehearse(pupil, WAIT, passes=2).ok()
    edit(pupil, "DELETE", "/samples", {"ids": [5, 6]}).ok()
    edit(pupil, "PATCH", "/samples", {"ids": [7, 8], "label": "c"}).ok()
    rehearse(pupil, WAIT, passes=1).ok()
    digest = pupil.digest()
    pupil.stop()
    assert convd_json("verify", "--db", pupil.db)["digest"] == digest
    assert pupil.start().digest() == digest


def test_a_class_that_came_later_comes_along(pupil: Daemon):
    taught = Taught(pupil, 40)
    pupil.send_json("POST", "/classes", {"label": "d"}).ok(201)
    taught.more(pupil, 20)
    edit(pupil, "PATCH", "/samples/7", {"label": "d"}).ok()
    assert pupil.get("/samples/7").ok()["label"] == "d"
    digest = pupil.digest()
    pupil.stop()
    assert convd_json("verify", "--db", pupil.db)["digest"] == digest


# ---- snapshots and ways back ----

def test_snapshots_that_saw_are_dropped_and_pinned_ones_only_when_told(pupil: Daemon):
    taught = Taught(pupil, 40)
    early = pupil.send_json("POST", "/snapshots", {"pinned": True, "note": "early"}).ok(201)["id"]
    taught.more(pupil, 40)
    late = pupil.send_json("POST", "/snapshots", {"pinned": True, "note": "late"}).ok(201)["id"]
    loose = pupil.post("/snapshots", b"", None).ok(201)["id"]
    digest = pupil.digest()
    problem = edit(pupil, "DELETE", "/samples/50").problem(409, "conflict")
    assert f"snapshot {late} " in problem["detail"] and "drop_pinned" in problem["detail"]
    assert pupil.digest() == digest and pupil.get("/jobs").ok() == {"jobs": []}
    edit(pupil, "DELETE", "/samples/50?drop_pinned=1").ok()
    kept = {s["id"]: s for s in pupil.get("/snapshots").ok()["snapshots"]}
    assert early in kept and late not in kept and loose not in kept
    assert [s["reason"] for s in kept.values()] == ["create", "request", "edit"]
    pupil.get(f"/snapshots/{late}").problem(404)


def test_where_snapshots_saw_others_stand_that_never_did(daemons, pupil: Daemon):
    taught = Taught(pupil, 40)
    saw = []
    for _ in range(3):
        taught.more(pupil, 20)
        saw.append(pupil.post("/snapshots", b"", None).ok(201))
    taught.more(pupil, 20)
    edit(pupil, "DELETE", "/samples/50").ok()
    assert not stands_in_the_files(pupil, taught.images[50])
    there = {s["revision"]: s for s in pupil.get("/snapshots").ok()["snapshots"]}
    for then in saw:
        now = there[then["revision"]]
        assert now["reason"] == "edit" and now["id"] != then["id"] and now["digest"] != then["digest"]
    pupil.post(f"/snapshots/{there[saw[1]['revision']]['id']}/activate", b"", None).ok()
    is_exact(daemons, pupil)


def test_going_back_to_before_and_after_an_edit(daemons, pupil: Daemon):
    taught = Taught(pupil, 40)
    before = pupil.post("/snapshots", b"", None).ok(201)["id"]
    taught.more(pupil, 40)
    edit(pupil, "DELETE", "/samples/60").ok()
    after = pupil.get("/snapshots").ok()["snapshots"][-1]["id"]
    digest = pupil.digest()
    pupil.post(f"/snapshots/{before}/activate", b"", None).ok()
    edit(pupil, "PATCH", "/samples/70", {"label": taught.other(70)}).problem(409, "conflict")
    taught.more(pupil, 20)
    pupil.post(f"/snapshots/{after}/activate", b"", None).ok()
    assert pupil.digest() == digest
    edit(pupil, "DELETE", "/samples/20").ok()
    taught.more(pupil, 20)
    is_exact(daemons, pupil)


def test_going_back_while_the_past_is_edited(daemons, slow: Daemon):
    taught = Taught(slow, 100)
    before = slow.post("/snapshots", b"", None).ok(201)["id"]
    taught.more(slow, 300)
    job = edit(slow, "DELETE", "/samples", {"ids": [150, 310]}, wait=False).ok(202)["id"]
    slow.post(f"/snapshots/{before}/activate", b"", None).ok()
    assert ended(slow, job)["state"] == "done"
    slow.get("/samples/310").problem(410)
    assert not stands_in_the_files(slow, taught.images[310])
    taught.more(slow, 40)
    is_exact(daemons, slow, SLOW)


def test_a_way_back_takes_new_labels_of_what_it_leaves_behind_with_it_and_no_forgetting(daemons, slowest: Daemon):
    """Accepted together; then the model goes back to before one of them, and the daemon is killed in the middle of it."""
    taught = Taught(slowest, 60)
    before = slowest.post("/snapshots", b"", None).ok(201)["id"]
    taught.more(slowest, 100)
    edit(slowest, "DELETE", "/samples", {"ids": [5, 150]}, wait=False).ok(202)
    edit(slowest, "PATCH", "/samples/140", {"label": taught.other(140)}, wait=False).ok(202)
    slowest.post(f"/snapshots/{before}/activate", b"", None).ok()
    slowest.kill()
    slowest.start()
    for job in slowest.get("/jobs").ok()["jobs"]:
        assert ended(slowest, job["id"])["state"] == "done"
    for number in (5, 150):
        slowest.get(f"/samples/{number}").problem(410, "gone")
        assert not stands_in_the_files(slowest, taught.images[number])
    until(lambda: "1 samples are not edited" in slowest.stderr, "what is left out, in the log")
    assert slowest.get("/samples/140").ok()["label"] == taught.labels[140]
    is_exact(daemons, slowest, SLOWEST)


# ---- while others work ----

def test_edits_that_come_meanwhile_join_the_job(daemons, slowest: Daemon):
    taught = Taught(slowest, 700)
    jobs = {edit(slowest, method, "/samples", {"ids": ids, **more}, wait=False).ok(202)["id"]
            for method, ids, more in (("DELETE", [150], {}), ("PATCH", [190], {"label": taught.other(190)}),
                                      ("DELETE", [100], {}), ("DELETE", [190, 150], {}))}
    edit(slowest, "PATCH", "/samples/150", {"label": "a"}).problem(410, "gone")
    slowest.send_json("POST", "/snapshots", {"pinned": True}).problem(409, "conflict")
    slowest.send_json("PATCH", "/snapshots/1", {"pinned": True}).problem(409, "conflict")
    [job] = jobs
    done = ended(slowest, job)
    assert done["state"] == "done" and done["steps_total"] == 700
    slowest.stop()
    assert rows(slowest, "SELECT sample, label = -1 FROM edit ORDER BY sample") == [(100, 1), (150, 1), (190, 1)]
    slowest.start()
    is_exact(daemons, slowest, SLOWEST)


def test_everything_goes_on_while_the_past_is_edited(daemons, slow: Daemon):
    taught = Taught(slow, 400)
    answers, wrong, over = [], [], threading.Event()

    def teach(seed: int):
        client, chance = slow.client(), np.random.default_rng(seed)
        while not over.is_set():
            answer = client.train(LABELS[seed % 3], chance.integers(0, 256, 64, np.uint8).tobytes())
            answers.append(answer.status)

    def predict():
        client, last = slow.client(), 0
        while not over.is_set():
            revision = client.post("/predict", taught.images[1]).ok()["revision"]
            if revision < last:
                wrong.append((last, revision))
            last = revision

    threads = [threading.Thread(target=teach, args=(seed,)) for seed in (11, 12)] + [threading.Thread(target=predict)]
    for thread in threads:
        thread.start()
    jobs = [edit(slow, "DELETE", f"/samples/{number}", wait=False).ok(202)["id"] for number in (30, 90, 350)]
    during = len(answers)
    states = [ended(slow, job)["state"] for job in jobs]
    until(lambda: len(answers) > during + 20, "learning")
    over.set()
    for thread in threads:
        thread.join()
    assert states == ["done"] * 3 and set(answers) == {200} and not wrong
    for number in (30, 90, 350):
        assert not stands_in_the_files(slow, taught.images[number])
    is_exact(daemons, slow, SLOW)


def test_a_job_that_is_cancelled_has_changed_nothing(slowest: Daemon):
    Taught(slowest, 200)
    model = slowest.model()
    job = edit(slowest, "DELETE", "/samples/9", wait=False).ok(202)["id"]
    assert slowest.request("DELETE", f"/jobs/{job}").ok()["state"] == "cancelled"
    assert slowest.model() == model and slowest.get("/samples/9").ok()["id"] == 9
    slowest.stop()
    assert rows(slowest, "SELECT count(*) FROM edit_pending") == [(0,)]


# ---- classes ----

@pytest.mark.core
def test_a_class_that_is_merged_into_another_never_was(daemons, pupil: Daemon):
    taught = Taught(pupil)
    remembered = pupil.post("/predict?remember=1", bytes(63) + b"\1").ok()["id"]
    answer = edit(pupil, "PATCH", "/classes", {"from": "a", "into": "c"})
    assert answer.ok()["state"] == "done" and answer.header("Location") == f"jobs/{answer.json()['id']}"
    assert pupil.labels() == ["b", "c"] and set(pupil.predict(bytes(64))["probabilities"]) == {"b", "c"}
    assert {pupil.get(f"/samples/{n}").ok()["label"] for n, label in taught.labels.items() if label == "a"} == {"c"}
    pupil.get(f"/predictions/{remembered}").problem(404)
    pupil.train("a", bytes(63) + b"\1").problem(422, "label-unknown")
    pupil.train("b", bytes(63) + b"\1").ok()
    is_exact(daemons, pupil, classes="b,c")


def test_a_class_that_is_deleted_takes_its_samples_along(daemons, pupil: Daemon):
    taught = Taught(pupil)
    assert edit(pupil, "PATCH", "/classes", {"delete": "b"}).ok()["state"] == "done"
    assert pupil.labels() == ["a", "c"]
    for number, label in taught.labels.items():
        assert pupil.get(f"/samples/{number}").status == (410 if label == "b" else 200)
        assert stands_in_the_files(pupil, taught.images[number]) == (label != "b")
    assert pupil.get("/stats").ok()["samples"] == sum(label != "b" for label in taught.labels.values())
    is_exact(daemons, pupil, classes="a,c")


def test_a_class_of_that_name_may_come_again(pupil: Daemon):
    Taught(pupil, 60)
    edit(pupil, "PATCH", "/classes", {"delete": "b"}).ok()
    assert pupil.send_json("POST", "/classes", {"label": "b"}).ok(201)["index"] == 2
    number = pupil.train("b", bytes(range(64))).ok()["samples"][0]
    assert pupil.get(f"/samples/{number}").ok()["label"] == "b"
    assert [s["id"] for s in pupil.get("/samples?label=b").ok()["samples"]] == [number]
    digest = pupil.digest()
    pupil.stop()
    assert convd_json("verify", "--db", pupil.db)["digest"] == digest
    assert pupil.start().digest() == digest and pupil.labels() == ["a", "c", "b"]


def test_a_class_is_removed_while_others_teach_it(daemons, slow: Daemon):
    """What comes under its label until the end is of the other class, too; what comes later is refused."""
    Taught(slow, 300)
    over, statuses = threading.Event(), []

    def teach(label: str, seed: int):
        client, chance = slow.client(), np.random.default_rng(seed)
        while not over.is_set():
            statuses.append((label, client.train(label, chance.integers(0, 256, 64, np.uint8).tobytes()).status))

    threads = [threading.Thread(target=teach, args=(label, i)) for i, label in enumerate("ac")]
    for thread in threads:
        thread.start()
    job = edit(slow, "PATCH", "/classes", {"from": "a", "into": "b"}, wait=False).ok(202)["id"]
    assert ended(slow, job)["state"] == "done"
    until(lambda: ("a", 422) in statuses, "a refusal")
    over.set()
    for thread in threads:
        thread.join()
    assert {status for label, status in statuses if label == "c"} <= {200, 503}
    assert {status for label, status in statuses if label == "a"} <= {200, 503, 422}
    is_exact(daemons, slow, SLOW, classes="b,c")


def test_removing_a_class_survives_kill_9(daemons, slow: Daemon):
    taught = Taught(slow, 300)
    edit(slow, "PATCH", "/classes", {"delete": "c"}, wait=False).ok(202)
    time.sleep(0.05)
    slow.kill()
    slow.start()
    for job in slow.get("/jobs").ok()["jobs"]:
        assert ended(slow, job["id"])["state"] == "done"
    assert slow.labels() == ["a", "b"]
    assert not any(stands_in_the_files(slow, taught.images[n]) for n, label in taught.labels.items() if label == "c")
    is_exact(daemons, slow, SLOW, classes="a,b")


def test_what_cannot_be_done_to_a_class_is_told(pupil: Daemon):
    taught = Taught(pupil, 40)
    digest = pupil.digest()
    edit(pupil, "PATCH", "/classes", {"from": "z", "into": "a"}).problem(422, "label-unknown", "/from")
    edit(pupil, "PATCH", "/classes", {"from": "a", "into": "z"}).problem(422, "label-unknown", "/into")
    edit(pupil, "PATCH", "/classes", {"from": "a", "into": "a"}).problem(422, "value", "/into")
    edit(pupil, "PATCH", "/classes", {"delete": "z"}).problem(422, "label-unknown", "/delete")
    edit(pupil, "PATCH", "/classes", {"delete": 1}).problem(422, "value", "/delete")
    edit(pupil, "PATCH", "/classes", {"delete": "a", "into": "b"}).problem(422, "value")
    late = pupil.send_json("POST", "/snapshots", {"pinned": True}).ok(201)["id"]
    assert f"snapshot {late} " in edit(pupil, "PATCH", "/classes", {"delete": "a"}).problem(409, "conflict")["detail"]
    assert pupil.digest() == digest
    edit(pupil, "PATCH", "/classes?drop_pinned=1", {"delete": "a"}).ok()
    edit(pupil, "PATCH", "/classes", {"from": "b", "into": "c"}).ok()
    edit(pupil, "PATCH", "/classes", {"delete": "c"}).problem(409, "conflict")  # the last one
    pupil.send_json("POST", "/classes", {"label": "new"}).ok(201)
    taught.more(pupil, 0)
    edit(pupil, "PATCH", "/classes", {"from": "c", "into": "new"}).problem(409, "conflict")


# ---- stops and crashes ----

def test_an_edit_that_a_stop_interrupts_is_taken_up_again(daemons, slowest: Daemon):
    taught = Taught(slowest, 200)
    edit(slowest, "DELETE", "/samples/9", wait=False).ok(202)
    slowest.stop()
    assert rows(slowest, "SELECT sample, label FROM edit_pending") == [(9, None)]
    slowest.start()
    slowest.logged("resuming edits")
    [job] = slowest.get("/jobs").ok()["jobs"]
    assert ended(slowest, job["id"])["state"] == "done"
    slowest.get("/samples/9").problem(410)
    assert not stands_in_the_files(slowest, taught.images[9])
    is_exact(daemons, slowest, SLOWEST)


def test_after_kill_9_an_edit_is_wholly_there_or_still_to_come(daemons, slow: Daemon):
    chance = random.Random(5)
    taught = Taught(slow, 300)
    accepted: dict[int, str | None] = {}
    for round_ in range(2 if SANITIZED else 6):
        for number in chance.sample([n for n in range(1, 300) if n not in accepted], 3):
            label = taught.other(number) if number % 2 else None
            answer = edit(slow, "DELETE" if label is None else "PATCH", f"/samples/{number}",
                          None if label is None else {"label": label}, wait=False)
            answer.ok(202)
            accepted[number] = label
        taught.more(slow, 10, batch=5)
        time.sleep(chance.random() * 0.3)
        slow.kill()
        slow.start()
        for job in slow.get("/jobs").ok()["jobs"]:
            assert ended(slow, job["id"])["state"] == "done"
        for number, label in accepted.items():
            if label is None:
                slow.get(f"/samples/{number}").problem(410)
            else:
                assert slow.get(f"/samples/{number}").ok()["label"] == label
    for number, label in accepted.items():
        assert stands_in_the_files(slow, taught.images[number]) == (label is not None)
    is_exact(daemons, slow, SLOW)


# ---- what cannot be ----

def test_what_cannot_be_edited_is_told(pupil: Daemon):
    Taught(pupil, 40)
    digest = pupil.digest()
    edit(pupil, "DELETE", "/samples/41").problem(404, "not-found")
    edit(pupil, "DELETE", "/samples/0").problem(404, "not-found")
    edit(pupil, "DELETE", "/samples", {"ids": [40, 3, 41, 2]}).problem(404, "not-found", "/ids/2")
    edit(pupil, "PATCH", "/samples/1", {"label": "z"}).problem(422, "label-unknown", "/label")
    edit(pupil, "PATCH", "/samples/1", {"label": 1}).problem(422, "value", "/label")
    edit(pupil, "PATCH", "/samples/1", {}).problem(422, "label-missing", "/label")
    edit(pupil, "PATCH", "/samples", {"label": "a"}).problem(422, "value", "/ids")
    edit(pupil, "PATCH", "/samples", {"ids": [1], "label": "a", "why": 1}).problem(422, "value", "/why")
    edit(pupil, "DELETE", "/samples", {"ids": []}).problem(422, "value", "/ids")
    edit(pupil, "DELETE", "/samples", {"ids": list(range(1, 10002))}).problem(422, "value", "/ids")
    for wrong in (0, -1, 1.5, "1", None, 2 ** 60):
        edit(pupil, "DELETE", "/samples", {"ids": [1, wrong]}).problem(422, "value", "/ids/1")
    edit(pupil, "DELETE", "/samples").problem(400, "empty-body")
    edit(pupil, "DELETE", "/samples/1", {"label": "a"}).problem(422, "value", "/label")
    edit(pupil, "DELETE", "/samples/1?drop_pinned=2").problem(422, "value")
    edit(pupil, "DELETE", "/samples/1?really=1").problem(422, "value")
    assert pupil.digest() == digest and pupil.get("/jobs").ok() == {"jobs": []}


def test_an_edit_waits_for_no_rehearsal_and_a_rehearsal_for_no_edit(slow: Daemon):
    taught = Taught(slow, 200)
    first = rehearse(slow, passes=1000).ok(202)["id"]
    edited = edit(slow, "DELETE", "/samples/1").ok()
    assert edited["state"] == "done" and edited["id"] != first
    assert not stands_in_the_files(slow, taught.images[1])
    assert slow.get(f"/jobs/{first}").ok()["state"] == "running"
    assert slow.request("DELETE", f"/jobs/{first}").ok()["state"] == "cancelled"
    rebuild = edit(slow, "DELETE", "/samples/2", wait=False).ok(202)["id"]
    second = rehearse(slow, passes=1).ok(202)["id"]
    assert [ended(slow, job)["state"] for job in (rebuild, second)] == ["done", "done"]
    assert sorted(job["id"] for job in slow.get("/jobs").ok()["jobs"]) == [first, edited["id"], rebuild, second]
    digest = slow.digest()
    slow.stop()
    assert not stands_in_the_files(slow, taught.images[2])
    assert convd_json("verify", "--db", slow.db)["digest"] == digest
