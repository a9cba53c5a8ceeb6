"""kill -9 under load: whatever was acknowledged is there, and the state is the fold of the log, bit for bit."""
import http.client
import random
import sqlite3
import threading
import time

import numpy as np
import pytest

from .daemon import SANITIZED, Daemon, convd_json, until

CLIENTS = 3
ROUNDS = 2 if SANITIZED else 5
BROKEN = (ConnectionError, http.client.HTTPException, TimeoutError)


class Load:
    """Clients that train as fast as they can and remember each acknowledgement, and one that predicts meanwhile."""

    def __init__(self, daemon: Daemon, seed: int, answers: list):
        self.daemon, self.answers = daemon, answers
        self.killed = threading.Event()
        self.failures: list[str] = []
        self.predictions = 0
        self.threads = [threading.Thread(target=self.train, args=(seed * 100 + i,)) for i in range(CLIENTS)]
        self.threads.append(threading.Thread(target=self.predict))
        for thread in self.threads:
            thread.start()

    def train(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        client = self.daemon.client()
        while not self.killed.is_set():
            n = int(chance.choice([1, 1, 1, 1, 5]))
            image = chance.integers(0, 256, (n, 8, 8), np.uint8)
            labels = ["abc"[i] for i in chance.integers(0, 3, n)]
            try:
                answer = client.post("/train?labels=" + ",".join(labels), image.tobytes())
            except BROKEN as error:
                if not self.killed.is_set():
                    self.failures.append(f"training: {error!r}")
                return
            if answer.status != 200:
                self.failures.append(f"training: {answer}")
                return
            self.answers.append((answer.json(), labels, image))

    def predict(self) -> None:
        client, last = self.daemon.client(), 0
        image = bytes(range(64))
        while not self.killed.is_set():
            try:
                answer = client.post("/predict", image)
            except BROKEN as error:
                if not self.killed.is_set():
                    self.failures.append(f"predicting: {error!r}")
                return
            revision = answer.json()["revision"]
            if answer.status != 200 or revision < last or answer.header("ETag") != f'"r{revision}"':
                self.failures.append(f"predicting: {answer} after revision {last}")
                return
            last = revision
            self.predictions += 1

    def kill(self) -> None:
        self.killed.set()  # from here on, errors of the network are expected
        self.daemon.kill()
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures


def check_log(daemon: Daemon, answers: list) -> None:
    """Every acknowledged sample is in the log, at the acknowledged place, with its label and its pixels."""
    connection = sqlite3.connect(f"file:{daemon.db}?mode=ro", uri=True)
    log = {i: rest for i, *rest in connection.execute("SELECT id, revision, label, image FROM sample")}
    connection.close()
    for said, labels, images in answers:
        first, last = said["samples"]
        assert last - first + 1 == len(labels) == said["accepted"]
        for i, label, image in zip(range(first, last + 1), labels, images):
            assert i in log, f"sample {i} was acknowledged and is lost"
            assert log[i] == [said["revision"], "abc".index(label), image.tobytes()]
    ids = [i for said, _, _ in answers for i in range(said["samples"][0], said["samples"][1] + 1)]
    assert len(ids) == len(set(ids)), "two requests were given the same sample"


def replayed_elsewhere(daemon: Daemon, other: Daemon) -> str:
    """The digest of another daemon that is fed the log's samples, without a break."""
    connection = sqlite3.connect(f"file:{daemon.db}?mode=ro", uri=True)
    log = connection.execute("SELECT label, image FROM sample ORDER BY id").fetchall()
    connection.close()
    for at in range(0, len(log), 400):
        part = log[at:at + 400]
        other.post("/train?labels=" + ",".join("abc"[l] for l, _ in part), b"".join(image for _, image in part)).ok()
    return other.digest()


@pytest.mark.core
@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--snapshot-samples", "50"]], ids=["replay", "snapshots and replay"])
def test_kill_9_under_load_loses_nothing_acknowledged_and_comes_back_to_the_same_bits(daemons, flags):
    chance = random.Random(7)
    daemon = daemons.make(daemons.init(), *flags)
    answers: list = []
    for turn in range(ROUNDS):
        daemon.start()
        before = len(answers)
        load = Load(daemon, turn, answers)
        until(lambda: load.failures or (len(answers) > before and load.predictions > 0), "an answer of each kind")
        time.sleep(chance.uniform(0.1, 0.5))
        load.kill()

        daemon.start()
        model = daemon.model()
        revisions = [said["revision"] for said, _, _ in answers]
        assert model["revision"] >= max(revisions)
        daemon.kill()  # so that the next round begins without a snapshot of the end
        check_log(daemon, answers)
        verdict = convd_json("verify", "--db", daemon.db)
        assert verdict["ok"] is True
        assert (verdict["digest"], verdict["revision"]) == (model["digest"], model["revision"])
    other = daemons.start(daemons.init(name="other.db"))
    assert replayed_elsewhere(daemon, other) == model["digest"]


@pytest.mark.slow
def test_predictions_never_fail_and_revisions_never_go_back_while_training(daemons):
    answers: list = []
    daemon = daemons.start(daemons.init(), "--snapshot-samples", "200")
    load = Load(daemon, 1, answers)
    until(lambda: load.failures or (load.predictions > 1000 and len(answers) > 1000), "a thousand of each")
    load.kill()


@pytest.mark.core
def test_kill_9_right_after_an_answer_keeps_what_was_answered(small: Daemon):
    for i in range(8):
        said = small.train("abc"[i % 3], bytes([i, 255] * 32)).ok()
        digest = small.digest()
        small.kill()
        small.start()
        assert small.digest() == digest
        assert small.model()["revision"] == said["revision"]


def test_answers_of_concurrent_clients_tell_distinct_revisions_and_steps(small: Daemon):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(8) as pool:
        saids = list(pool.map(lambda i: small.train("abc"[i % 3], bytes([i, 255] * 32)).ok(), range(64)))
    assert sorted(said["revision"] for said in saids) == list(range(2, 66))
    assert sorted(said["step"] for said in saids) == list(range(1, 65))
    assert sorted(said["samples"][0] for said in saids) == list(range(1, 65))
    for said in saids:
        assert said["samples"][0] == said["step"] == said["revision"] - 1


def test_no_answer_to_a_batch_of_predictions_mixes_two_revisions(daemon: Daemon, digits):
    """The same image many times in one request, while others train: all answers are alike."""
    stop = threading.Event()

    def train() -> None:
        with daemon.client() as client:
            while not stop.is_set():
                client.train("1", digits.test_images[:4].tobytes()).ok()

    thread = threading.Thread(target=train)
    thread.start()
    try:
        revisions: set[int] = set()

        def twenty() -> bool:
            answer = daemon.predict(digits.test_images[0].tobytes() * 50)
            assert all(p == answer["predictions"][0] for p in answer["predictions"])
            revisions.add(answer["revision"])
            return len(revisions) >= 20
        until(twenty, "twenty revisions")
    finally:
        stop.set()
        thread.join()
