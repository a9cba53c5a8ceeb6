"""The random load: clients that train through whichever node, an operator, readers that send what they saw, and one that only predicts.

A client that is given no answer, or a 503, asks again, elsewhere, with the same key. One that gave up may have left its request behind in a
stopped node: then the same training is under way in two nodes at once, and must be in the log once.
"""
from __future__ import annotations

import json
import threading

import numpy as np

from tests.cluster.node import Node
from tests.crash.ledger import N_INPUT, Change, Ledger, Training
from tests.crash.load import BROKEN, REFUSED, Load, labelled
from tests.e2e.daemon import Answer, Client

TRAINERS = 3
PATIENCE_S = (2, 5, 30)  # of a client: one is drawn for each request
LATER = (503, 507)  # the log or the disk is away, or a revision is not there yet: ask again


class Clients(Load):
    """Runs from its making until stop()."""
    OPEN = LATER

    def __init__(self, nodes: list[Node], ledger: Ledger, seed: int):
        self.nodes, self.ledger, self.rehearse = nodes, ledger, True
        self.killed = threading.Event()
        self.later = 0  # answers that said so
        self.broken = 0  # requests without an answer
        self.reads = 0  # with a revision that was seen, and answered
        clients = [self.trainer] * TRAINERS + [self.operator, self.reader, self.predictor]
        self.threads = [threading.Thread(target=self.run, args=(client, np.random.default_rng([seed, i])), name=client.__name__)
                        for i, client in enumerate(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, client, chance: np.random.Generator) -> None:
        while not self.killed.is_set():
            node = self.nodes[chance.integers(len(self.nodes))]
            try:
                with node.client(float(chance.choice(PATIENCE_S))) as connection:
                    for _ in range(chance.integers(1, 10)):
                        if not self.killed.is_set():
                            client(connection, chance)
            except (*BROKEN, OSError):
                self.broken += 1
                self.killed.wait(0.02)
            except Exception as error:  # whatever it is, it belongs into the report
                self.ledger.fail(f"{client.__name__}: {error!r}")

    def revision(self) -> int:
        with self.ledger.lock:
            return self.ledger.revision

    def put_off(self, answer: Answer) -> None:
        """An answer that says so, and when to come again."""
        answer.problem(LATER)
        self.later += 1
        self.killed.wait(0.05)

    # ---- who trains ----

    def trainer(self, connection: Client, chance: np.random.Generator) -> None:
        training = self.ledger.next_training(chance)
        done = False
        try:
            done = self.train(connection, training, chance.random() < 0.5)
        finally:
            if not done:
                with self.ledger.lock:
                    self.ledger.hanging.append(training)
        self.killed.wait(0.003)

    def train(self, connection: Client, training: Training, with_revision: bool) -> bool:
        """False: to be sent again."""
        training.sent += 1
        headers = {"Idempotency-Key": training.key} | ({"Convd-Min-Revision": str(self.revision())} if with_revision else {})
        answer = connection.post(labelled(training.labels), training.images.tobytes(), headers=headers)
        if answer.status in LATER:
            self.put_off(answer)
            return False
        if answer.status == 422 and answer.json()["type"] == REFUSED:
            training.refused = training.sent == 1  # else an earlier try may still come about
            return True
        said = answer.ok()
        if said["accepted"] != len(training.labels) or said["samples"][1] - said["samples"][0] + 1 != len(training.labels):
            raise AssertionError(f"training {training.number} of {len(training.labels)} samples is answered {said}")
        self.ledger.acknowledge(training, said)
        return True

    # ---- who looks ----

    def reader(self, connection: Client, chance: np.random.Generator) -> None:
        """What was told to anybody is seen through any node by whoever sends it, or 503."""
        seen = self.revision()
        answer = connection.request("POST", "/predict", chance.integers(0, 256, N_INPUT, np.uint8).tobytes(),
                                    {"Content-Type": "application/octet-stream", "Convd-Min-Revision": str(seen)})
        if answer.status in LATER:
            self.put_off(answer)
            return
        said = answer.ok()
        if said["revision"] < seen:
            raise AssertionError(f"node {connection.node.name} went back: revision {said['revision']}, and {seen} was sent along")
        self.ledger.told(said["revision"])
        self.reads += 1
        self.killed.wait(0.003)

    def predictor(self, connection: Client, chance: np.random.Generator) -> None:
        """A node that is there answers, whatever has become of the log, its own disk and the others."""
        node, outages = connection.node, connection.node.outages
        if not node.well:
            self.killed.wait(0.01)
            return
        connection.connection.timeout = 30
        try:
            said = connection.post("/predict", chance.integers(0, 256, N_INPUT, np.uint8).tobytes()).ok()
        except (*BROKEN, OSError, AssertionError) as error:
            if node.outages == outages and not self.killed.is_set():
                self.ledger.fail(f"node {node.name} is there and did not predict: {error!r}")
            raise ConnectionError from error
        if abs(sum(said["probabilities"].values()) - 1) > 1e-5:
            raise AssertionError(f"no probabilities: {said}")
        with self.ledger.lock:
            self.ledger.predictions += 1
        self.killed.wait(0.003)

    # ---- the operator ----

    def operator(self, connection: Client, chance: np.random.Generator) -> None:
        acts = [self.tune, self.add_class, self.rename_class, self.remove_class, self.activate, self.start_rehearsal, self.cancel_rehearsal,
                self.look, self.edit, self.edit]
        acts[chance.integers(len(acts))](connection, chance)
        self.killed.wait(float(chance.exponential(0.05)))

    def note(self, change: Change, answer: Answer, *statuses: int) -> dict | None:
        if answer.status in LATER:  # it may come about all the same: it hangs
            self.put_off(answer)
            return None
        return super().note(change, answer, *statuses)

    def activate(self, connection: Client, chance: np.random.Generator) -> None:
        """Back to a snapshot of that node's, perhaps one of this moment."""
        if chance.random() < 0.5:
            answer = connection.send_json("POST", "/snapshots", {})
            if answer.status in LATER:
                self.put_off(answer)
                return
            if answer.status != 409:  # the past is being edited
                answer.ok(201)
        snapshots = connection.get("/snapshots").ok()["snapshots"]
        if not snapshots or chance.random() < 0.5:
            return
        snapshot = snapshots[chance.integers(len(snapshots))]
        with self.ledger.lock:
            self.ledger.more_labels.clear()  # perhaps they are left behind
        change = self.ledger.change("activate", snapshot["revision"])
        self.note(change, connection.post(f"/snapshots/{snapshot['id']}/activate"), 200)

    def start_rehearsal(self, connection: Client, chance: np.random.Generator) -> None:
        with self.ledger.lock:
            self.ledger.rehearsed = True
        body = json.dumps({"passes": 1, "rate": 0.01, "jitter": 1}).encode()
        answer = connection.request("POST", "/rehearse", body, {"Content-Type": "application/json"})
        if answer.status in LATER:
            self.put_off(answer)
        elif answer.status not in (200, 202, 409):  # over already; begun; nothing to rehearse, or one is running
            raise AssertionError(f"/rehearse: {answer}")

    def edit(self, connection: Client, chance: np.random.Generator) -> None:
        """Forgets a sample, or gives it another label, and waits for that. What has no answer, or is not done by then, may come about."""
        if (chosen := self.ledger.new_edit(chance)) is None:
            return
        number, edit = chosen
        label = edit.label
        headers = {"Content-Type": "application/json", "Prefer": "wait=25", "Convd-Min-Revision": str(self.revision())}
        path = f"/samples/{number}?drop_pinned=1"
        answer = connection.request("DELETE", path, headers=headers) if label is None else \
            connection.request("PATCH", path, json.dumps({"label": label}).encode(), headers)
        if answer.status in LATER:
            self.put_off(answer)
        elif answer.status in (409, 410, 422):  # something else is at work; it is on a line that was left behind
            edit.refused = True
        elif answer.status == 200:
            edit.refused = "changed" in answer.json()  # it was so already, by its class
            edit.accepted = not edit.refused
        elif answer.status != 202:
            raise AssertionError(f"edit of sample {number}: {answer}")

    def look(self, connection: Client, chance: np.random.Generator) -> None:
        for path in ("/stats", "/classes", "/snapshots", "/metrics", "/cluster", "/readyz"):
            answer = connection.get(path)
            if answer.status != 200 and not (answer.status in LATER and path in ("/readyz", "/cluster", "/snapshots")):
                raise AssertionError(f"{path}: {answer}")

    # ---- its end ----

    def stop(self) -> None:
        self.killed.set()
        for thread in self.threads:
            thread.join()
