"""The random load: three clients that train, one that predicts, one that copies the database, and an operator who changes everything else."""
from __future__ import annotations

import http.client
import json
import threading
import time
from urllib.parse import quote

import numpy as np

from tests.crash.ledger import BASE_LABELS, Change, Copy, Ledger, Removal, Training
from tests.e2e.daemon import Answer, Client, Daemon

TRAINERS = 3
BROKEN = (ConnectionError, http.client.HTTPException, TimeoutError)
REFUSED = "urn:convd:problem:label-unknown"


def labelled(labels: list[str]) -> str:
    return "/train?labels=" + quote(",".join(labels))


def train(client: Client, ledger: Ledger, training: Training) -> None:
    """Sends it; notes the answer. What the network says goes through."""
    training.sent += 1
    answer = client.post(labelled(training.labels), training.images.tobytes(), headers={"Idempotency-Key": training.key})
    if answer.status == 422 and answer.json()["type"] == REFUSED:
        training.refused = True
        return
    if answer.status == 503:  # the model went back meanwhile: nothing was taken; it hangs
        answer.problem(503, "busy")
        return
    said = answer.ok()
    if said["accepted"] != len(training.labels) or said["samples"][1] - said["samples"][0] + 1 != len(training.labels):
        raise AssertionError(f"training {training.number} of {len(training.labels)} samples is answered {said}")
    ledger.acknowledge(training, said)


class Load:
    """Runs from its making until kill(), which ends the daemon too."""
    OPEN: tuple[int, ...] = ()  # answers to the removal of a class that may come about all the same

    def __init__(self, daemon: Daemon, ledger: Ledger, seed: int, rehearse: bool):
        self.daemon, self.ledger, self.rehearse = daemon, ledger, rehearse
        self.killed, self.resting = threading.Event(), threading.Event()
        self.acknowledged = threading.Semaphore(0)
        clients = [self.trainer] * TRAINERS + [self.predictor, self.copier, self.operator]
        self.threads = [threading.Thread(target=self.run, args=(client, np.random.default_rng([seed, i])))
                        for i, client in enumerate(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, client, chance: np.random.Generator) -> None:
        try:
            with self.daemon.client() as connection:
                while not self.killed.is_set():
                    if self.resting.is_set() and client != self.predictor:
                        self.killed.wait(1)
                        continue
                    client(connection, chance)
        except BROKEN as error:
            if not self.killed.is_set():
                self.ledger.fail(f"{client.__name__}: {error!r} before the kill")
        except Exception as error:  # whatever it is, it belongs into the report
            self.ledger.fail(f"{client.__name__}: {error!r}")

    def trainer(self, connection: Client, chance: np.random.Generator) -> None:
        training = self.ledger.next_training(chance)
        try:
            train(connection, self.ledger, training)
        finally:
            if training.answer is None and not training.refused:
                with self.ledger.lock:
                    self.ledger.hanging.append(training)
        self.acknowledged.release()

    def predictor(self, connection: Client, chance: np.random.Generator) -> None:
        """What was acknowledged before a prediction was asked for is in it."""
        with self.ledger.lock:
            told = self.ledger.revision
        said = connection.post("/predict", chance.integers(0, 256, 64, np.uint8).tobytes()).ok()
        if said["revision"] < told:
            raise AssertionError(f"a prediction of revision {said['revision']} after revision {told} was told")
        if abs(sum(said["probabilities"].values()) - 1) > 1e-5:
            raise AssertionError(f"no probabilities: {said}")
        self.ledger.told(said["revision"])
        self.ledger.predictions += 1

    def copier(self, connection: Client, chance: np.random.Generator) -> None:
        self.killed.wait(float(chance.exponential(0.1)))
        with self.ledger.lock:
            told = self.ledger.revision
        answer = connection.get("/backup")
        if answer.status == 503:  # no turn of the trainer's came in time
            answer.problem(503, "busy")
            return
        answer.ok()
        self.ledger.copies.append(Copy(answer.body, told, int(answer.header("ETag")[2:-1])))

    # ---- the operator ----

    def operator(self, connection: Client, chance: np.random.Generator) -> None:
        acts = [self.tune, self.tune, self.add_class, self.add_class, self.rename_class, self.remove_class, self.snapshot, self.snapshot,
                self.pin, self.activate, self.drop, self.look, self.edit, self.edit]
        if self.rehearse:
            acts += [self.start_rehearsal, self.cancel_rehearsal]
        acts[chance.integers(len(acts))](connection, chance)
        self.killed.wait(float(chance.exponential(0.01)))

    def note(self, change: Change, answer: Answer, *statuses: int) -> dict | None:
        """The answer to a change; None where the daemon refused it for a reason that it may have."""
        if answer.status in (404, 409, 422, 503):
            change.refused = True
            return None
        if answer.status not in statuses:
            raise AssertionError(f"{change.what}: {answer}")
        change.answer = answer.json()
        self.ledger.told(change.answer["revision"])
        return change.answer

    def tune(self, connection: Client, chance: np.random.Generator) -> None:
        settings = {"rate": round(0.01 + 1e-6 * len(self.ledger.changes), 6), "rehearsal": int(chance.integers(3)),
                    "jitter": int(chance.integers(2))}
        change = self.ledger.change("tune", *settings.values())
        self.note(change, connection.send_json("PATCH", "/model", settings), 200)

    def add_class(self, connection: Client, chance: np.random.Generator) -> None:
        label = f"class {len(self.ledger.changes)}"
        if self.note(self.ledger.change("add", label), connection.send_json("POST", "/classes", {"label": label}), 201):
            with self.ledger.lock:
                self.ledger.more_labels.append(label)

    def rename_class(self, connection: Client, chance: np.random.Generator) -> None:
        with self.ledger.lock:
            if not self.ledger.more_labels:
                return
            old = self.ledger.more_labels.pop(0)
        new = f"class {len(self.ledger.changes)}"
        self.note(self.ledger.change("rename", new), connection.send_json("PATCH", "/classes", {"from": old, "to": new}), 200)

    def remove_class(self, connection: Client, chance: np.random.Generator) -> None:
        """Merges one into another of a lower number, or of those that the model was made with; or deletes it with its samples."""
        with self.ledger.lock:
            base, more = self.ledger.base, self.ledger.more_labels
            if chance.random() < 0.1 and len(base) > 1:
                label = base.pop(chance.integers(len(base)))
                others = list(base)
            elif more:
                at = int(chance.integers(len(more)))
                others = base + more[:at]
                label = more.pop(at)
            else:
                return
            into = None if chance.random() < 0.4 else str(chance.choice(others))
            removal = Removal(label, into)
            self.ledger.removals.append(removal)
        body = {"delete": label} if into is None else {"from": label, "into": into}
        answer = connection.send_json("PATCH", "/classes?drop_pinned=1", body)
        if answer.status in self.OPEN:
            return
        if answer.status in (409, 422, 503):  # something else is at work; it was left behind; its number has had two meanings
            removal.refused = True
            with self.ledger.lock:
                if label in BASE_LABELS:
                    self.ledger.base.append(label)
            return
        if answer.status not in (200, 202):
            raise AssertionError(f"{removal}: {answer}")
        removal.accepted = answer.json()["revision"]

    def snapshot(self, connection: Client, chance: np.random.Generator) -> None:
        note = f"note {len(self.ledger.snapshots)}"
        with self.ledger.lock:
            self.ledger.snapshots[note] = None
        answer = connection.send_json("POST", "/snapshots", {"note": note, "pinned": True})
        if answer.status == 409:  # the past is being edited
            return
        said = answer.ok(201) | {"dropped": False}
        with self.ledger.lock:
            self.ledger.snapshots[note] = said
        self.ledger.told(said["revision"])

    def some_snapshot(self, chance: np.random.Generator) -> dict | None:
        with self.ledger.lock:
            known = [said for said in self.ledger.snapshots.values() if said]
        return known[chance.integers(len(known))] if known else None

    def activate(self, connection: Client, chance: np.random.Generator) -> None:
        snapshot = self.some_snapshot(chance)
        if snapshot is None or chance.random() < 0.5:
            return
        with self.ledger.lock:
            self.ledger.more_labels.clear()  # perhaps they are left behind
        change = self.ledger.change("activate", snapshot["revision"])
        self.note(change, connection.post(f"/snapshots/{snapshot['id']}/activate"), 200)

    def drop(self, connection: Client, chance: np.random.Generator) -> None:
        """A pinned snapshot stays."""
        snapshot = self.some_snapshot(chance)
        if snapshot is None:
            return
        if snapshot["pinned"] is not True:
            snapshot["dropped"] = None
        answer = connection.request("DELETE", f"/snapshots/{snapshot['id']}")
        if answer.status == 204 and snapshot["pinned"] is not True:
            snapshot["dropped"] = True
            return
        answer.problem((404, 409))  # 404: it saw what was forgotten, or was thinned out
        snapshot["dropped"] = answer.status == 404

    def pin(self, connection: Client, chance: np.random.Generator) -> None:
        """Pins one, or lets it go."""
        snapshot = self.some_snapshot(chance)
        if snapshot is None:
            return
        was, pinned = snapshot["pinned"], bool(chance.random() < 0.6)
        snapshot["pinned"] = was if was is pinned else None
        answer = connection.send_json("PATCH", f"/snapshots/{snapshot['id']}", {"pinned": pinned})
        if answer.status == 404 and (was is not True or snapshot["dropped"] or self.ledger.edits or self.ledger.removals):
            snapshot["dropped"] = True
        elif answer.status in (409, 503) and pinned:  # the past is being edited
            snapshot["pinned"] = was
        elif answer.ok()["pinned"] is not pinned:
            raise AssertionError(f"snapshot {snapshot['id']} is to be pinned: {pinned}; it is answered {answer.json()}")
        else:
            snapshot["pinned"] = pinned

    def edit(self, connection: Client, chance: np.random.Generator) -> None:
        """Forgets a sample, or gives it another label; pinned snapshots that saw it may go."""
        if (chosen := self.ledger.new_edit(chance)) is None:
            return
        number, edit = chosen
        label = edit.label
        path = f"/samples/{number}?drop_pinned=1"
        answer = connection.request("DELETE", path) if label is None else \
            connection.send_json("PATCH", path, {"label": label})
        if answer.status in (200, 409, 410, 422, 503):  # so it is already; a rehearsal or the removal of a class is at work; it is on a
            edit.refused = True  # line that was left behind; it went with its class; its new class is gone
            return
        if answer.status != 202:
            raise AssertionError(f"edit of sample {number}: {answer}")
        edit.accepted = True

    def look(self, connection: Client, chance: np.random.Generator) -> None:
        for path in ("/stats", "/classes", "/snapshots", "/readyz", "/metrics", "/model.safetensors"):
            answer = connection.get(path)
            if answer.status != 200:
                raise AssertionError(f"{path}: {answer}")

    def start_rehearsal(self, connection: Client, chance: np.random.Generator) -> None:
        with self.ledger.lock:
            self.ledger.rehearsed = True
        body = json.dumps({"passes": 1, "rate": 0.01, "jitter": 1}).encode()
        answer = connection.request("POST", "/rehearse", body, {"Content-Type": "application/json"})
        if answer.status not in (200, 202, 409):  # over already; begun; nothing to rehearse, or one is running
            raise AssertionError(f"/rehearse: {answer}")

    def cancel_rehearsal(self, connection: Client, chance: np.random.Generator) -> None:
        jobs = connection.get("/jobs").ok()["jobs"]
        for job in [job for job in jobs if job["kind"] == "rehearse"][:1]:
            connection.request("DELETE", f"/jobs/{job['id']}")

    # ---- its end ----

    def wait(self, seconds: float, acknowledged: int | None) -> None:
        """Until that many seconds are over, or that many trainings have been acknowledged."""
        end = time.monotonic() + seconds
        for _ in range(acknowledged if acknowledged is not None else 1 << 30):
            if not self.acknowledged.acquire(timeout=max(0.0, end - time.monotonic())):
                return

    def rest(self, seconds: float) -> None:
        """Only predictions go on: what the daemon does by itself when nothing else is asked for."""
        self.resting.set()
        time.sleep(seconds)

    def kill(self) -> None:
        self.killed.set()  # from here on, errors of the network are expected
        self.daemon.kill()
        for thread in self.threads:
            thread.join()
