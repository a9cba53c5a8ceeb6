"""What must hold of a database after a kill, given the ledger of what was asked and acknowledged."""
from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.ledger import BASE_LABELS, Change, Ledger, Training
from tests.crash.load import labelled
from tests.e2e.daemon import Client, Daemon


@dataclass
class Findings:
    """What was compared, and what was wrong. All but `wrong` are counts."""
    lost: int = 0  # samples and changes that were acknowledged and are not in the log
    doubled: int = 0  # those that are there more than once
    digests: int = 0  # compared
    kept: int = 0  # trainings that hung at a kill and are there whole
    gone: int = 0  # and are not there at all
    wrong: list[str] = field(default_factory=list)

    def check(self, holds: bool, text: str) -> bool:
        if not holds:
            self.wrong.append(text)
        return holds


def event_of(kind: str, body: dict) -> tuple:
    """A change's event, in the words of Change.what."""
    if kind == "class":
        return body["action"], body["label"]
    if kind == "tune":
        settings = body["settings"]
        return kind, settings["rate"], settings["rehearsal"], settings["jitter"]
    return kind, body["revision"]


def waiting(db: Path) -> int:
    """Edits that were accepted and are still to come."""
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        [(n,)] = connection.execute("SELECT (SELECT count(*) FROM edit_pending) + (SELECT count(*) FROM class_pending)")
    return n


def made(connection: sqlite3.Connection) -> list[tuple]:
    """What edits did to samples: id, revision of the edit event, number of the class (None: forgotten). Not what is only written down."""
    return connection.execute("SELECT sample, revision, nullif(label, -1) FROM edit JOIN event ON kind = 'edit' AND kind <> 'train'"
                              " AND number = body ->> '$.number' ORDER BY number").fetchall()


def unswept(connection: sqlite3.Connection) -> set[int]:
    """Samples that are forgotten, and not emptied yet: a kill came between the edit and its end, and the next start goes on with it."""
    return {sample for (sample,) in connection.execute(
        "SELECT sample FROM edit JOIN edit_work USING (number) WHERE label = -1 AND event IS NOT NULL AND sample >= next")}


class Log:
    """The database of one model, read after each kill from where the last reading ended."""

    def __init__(self, db: Path, ledger: Ledger, findings: Findings):
        self.db, self.ledger, self.findings = db, ledger, findings
        self.revision = self.id = 0
        self.classes = {0: list(BASE_LABELS)}  # after the event of that revision: labels by index
        self.now = list(BASE_LABELS)
        self.former: dict[int, set[str]] = {}  # earlier names of the classes of now, by index
        self.events: list[tuple[int, str, object]] = []  # revision, kind, the operation that it is of
        self.numbers: dict[int, list[int]] = {}  # of the train event of that revision: of the samples' classes, as they came
        self.names = {number: {label} for number, label in enumerate(BASE_LABELS)}  # that a class had at any time
        self.removed: dict[int, int] = {}  # classes that never were, by number: revision of the edit
        self.keys: dict[int, str] = {}  # of trainings, by revision
        self.edited: list[tuple[int, int]] = []  # edit events: revision, and the lowest that it touches
        self.forgotten: set[int] = set()  # ids of samples
        self.unswept: set[int] = set()  # of these
        self.relabelled: dict[int, int] = {}  # class of now
        self.waiting = 0  # edits that were accepted and are still to come
        self.idle_events = self.idle_left = 0  # and the steps that the samples so far may still bring

    def read(self) -> None:
        connection = sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)
        try:
            self.forgotten = {sample for sample, _, label in made(connection) if label is None}
            self.unswept = unswept(connection)
            self.removed = dict(connection.execute("SELECT id, event FROM class_removed"))
            self.keys = dict(connection.execute("SELECT revision, key FROM idempotency WHERE revision > ?", (self.revision,)))
            samples: dict[int, list] = {}
            for i, revision, label, image in connection.execute(
                    "SELECT id, revision, label, image FROM sample WHERE revision > ? ORDER BY id", (self.revision,)):
                self.findings.check(i == self.id + 1, f"after sample {self.id} comes {i}")
                self.id = i
                samples.setdefault(revision, []).append((i, label, image))
            for revision, kind, body in connection.execute(
                    "SELECT revision, kind, body FROM event WHERE revision > ? ORDER BY revision", (self.revision,)).fetchall():
                self.findings.check(revision == self.revision + 1, f"after revision {self.revision} comes {revision}")
                self.revision = revision
                self.event(revision, kind, json.loads(body), samples.pop(revision, []))
                self.classes[revision] = list(self.now)
            self.findings.check(not samples, f"samples of no event: revisions {sorted(samples)}")
            rows, last, n_events = connection.execute(
                "SELECT count(*), coalesce(max(id), 0), (SELECT count(*) FROM event) FROM sample").fetchone()
            self.findings.check((rows, last, n_events) == (self.id, self.id, self.revision), "earlier rows are gone")
            self.edits(connection)
            self.snapshots(connection)
        finally:
            connection.close()

    def begins_with(self, db: Path) -> bool:
        """Whether the last row of that database's log is a row of this one; its chain is over all before it."""
        with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as there, \
                closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as here:
            last = there.execute("SELECT revision, chain FROM event ORDER BY revision DESC LIMIT 1").fetchone()
            return here.execute("SELECT revision, chain FROM event WHERE revision = ?", last[:1]).fetchone() == last

    def event(self, revision: int, kind: str, body: dict, samples: list) -> None:
        if kind == "train":
            self.train(revision, body, samples)
            return
        self.findings.check(not samples, f"revision {revision} is no training, and has samples")
        if kind == "rehearse":
            self.findings.check(self.ledger.rehearsed, f"revision {revision}: nobody asked for a rehearsal")
            self.events.append((revision, kind, None))
        elif kind == "edit":
            self.edited.append((revision, body["from"]))
        elif kind == "idle":
            self.idle_events += 1
            self.idle_left -= body["steps"]
            self.findings.check(self.idle_left >= 0, f"revision {revision}: {-self.idle_left} idle steps more than the samples bring")
        elif kind != "create":
            self.change(revision, event_of(kind, body), body)

    def edits(self, connection: sqlite3.Connection) -> None:
        """Each edit that was accepted is done, or waits to be; and no other. Those that came with a removed class are the removal's."""
        of_class = {event: into for event, into in connection.execute("SELECT event, merged_into FROM class_removed")}
        rows = made(connection)
        emptied = {sample for (sample,) in connection.execute("SELECT id FROM sample WHERE label = -1 AND image = zeroblob(length(image))")}
        self.findings.check(emptied == self.forgotten - self.unswept,
                            f"emptied, and not forgotten, or the other way round: {sorted(emptied ^ (self.forgotten - self.unswept))}")
        self.relabelled = {sample: label for sample, _, label in rows if label is not None}
        for sample, event, label in rows:
            if event in of_class:
                self.findings.check(label == of_class[event], f"sample {sample} became {label} with its class, not {of_class[event]}")
        (left,) = connection.execute("SELECT count(*) FROM sample_now WHERE label IN (SELECT id FROM class_removed)").fetchone()
        self.findings.check(left == 0, f"{left} samples are of classes that were removed")
        done = [(sample, label) for sample, event, label in rows if event not in of_class]
        waiting = connection.execute("SELECT sample, label FROM edit_pending").fetchall()
        self.waiting = len(waiting)
        there = dict(done) | dict(waiting)
        self.findings.doubled += len(done) - len(dict(done))
        for number, edit in self.ledger.edits.items():
            if number in there:
                told = None if there[number] is None else BASE_LABELS[there[number]]
                self.findings.check(not edit.refused and told == edit.label, f"sample {number}: {edit}, but it became {told}")
            elif edit.accepted and not (edit.label and self.left_behind(number)):
                self.findings.lost += 1
                self.findings.check(False, f"sample {number}: {edit} is lost")
        self.findings.check(there.keys() <= self.ledger.edits.keys(), "edits that nobody asked for")
        self.removals(connection)

    def removals(self, connection: sqlite3.Connection) -> None:
        """Likewise of classes. One that waits is void when the model goes back to where it cannot be."""
        waiting = connection.execute("SELECT id, merged_into FROM class_pending").fetchall()
        self.waiting += len(waiting)
        rows = connection.execute("SELECT id, merged_into FROM class_removed").fetchall() + waiting
        for removal in sorted(self.ledger.removals, key=lambda r: r.refused):  # what was refused may have been asked for again
            found = [row for row in rows if removal.label in self.names.get(row[0], ()) and
                     (removal.into is None if row[1] is None else removal.into in self.names[row[1]])]
            self.findings.doubled += len(found) > 1
            self.findings.check(not (found and removal.refused), f"{removal} is done, or will be")
            rows = [row for row in rows if row not in found]
            went_back = any(kind == "activate" and revision > removal.accepted for revision, kind, _ in self.events)
            if removal.accepted and not found and not went_back:
                self.findings.lost += 1
                self.findings.check(False, f"{removal} is lost")
        self.findings.check(not rows, f"classes {rows} were removed, and nobody asked for that")

    def left_behind(self, number: int) -> bool:
        """Whether the model went back to before that sample: then a new label that was still to come is void."""
        training, _ = self.ledger.samples[number]
        return any(kind == "activate" and change.what[1] < training.answer["revision"] < revision
                   for revision, kind, change in self.events)

    def is_sent(self, row: tuple, sent: str, image: bytes) -> bool:
        """Whether a row of table sample is that image with that label, or what is left of one that was forgotten."""
        number, label, there = row
        if number in self.forgotten - self.unswept:
            return label == -1 and there == bytes(len(image) - 1)
        return there == image and 0 <= label < len(self.now) and \
            sent in {self.now[label], *self.former.get(label, ())}  # it may have been renamed while this waited

    def train(self, revision: int, body: dict, samples: list) -> None:
        owner = None
        for number, label, image in samples:
            owner = owner or (self.ledger.samples.get(number, (None, 0))[0] if label < 0 else self.ledger.owner(image)[0])
        if owner is None:  # all of it went with its class, before anybody was told of it
            owner = next((t for t in self.ledger.trainings.values() if t.key == self.keys.get(revision)), None)
        if owner is None:
            self.findings.check(False, f"revision {revision}: nobody sent that")
            return
        self.events.append((revision, kind := "train", owner))
        self.findings.check((body["first"], body["n"]) == (samples[0][0], len(samples)), f"revision {revision} says {body}")
        good = len(samples) == len(owner.labels) and \
            all(self.is_sent(row, label, image.tobytes()) for row, label, image in zip(samples, owner.labels, owner.images))
        self.findings.check(good, f"revision {revision}: {kind}ing {owner.number} is not as it was sent")
        self.numbers[revision] = [label for _, label, _ in samples]
        self.idle_left += self.ledger.idle_steps * len(samples)
        if owner.place is not None:
            self.findings.doubled += len(samples)
            self.findings.check(False, f"training {owner.number} is at {owner.place[0]} and at revision {revision}")
        owner.place = revision, samples[0][0]

    def change(self, revision: int, what: tuple, body: dict) -> None:
        """Whose it is: of one that was answered so, or else the last that hung, since one operator asks for them one by one."""
        those = [c for c in self.ledger.changes if c.what == what and c.place is None and not c.refused]
        found = next((c for c in those if c.answer and c.told(revision)), None) or \
            next((c for c in reversed(those) if c.answer is None), None)
        if found is None:
            again = any(c.what == what for c in self.ledger.changes)
            self.findings.doubled += again
            self.findings.check(False, f"revision {revision}: {what} {'a second time' if again else 'was not asked for'}")
            return
        found.place = revision
        self.events.append((revision, what[0], found))
        if what[0] == "add":
            number = self.next_number(revision)
            self.findings.check(body["index"] == number, f"revision {revision}: {body}, not {number}")
            self.now += [None] * (number + 1 - len(self.now))
            self.now[number] = what[1]
            self.names.setdefault(number, set()).add(what[1])
        elif what[0] == "rename":
            self.former.setdefault(body["index"], set()).add(self.now[body["index"]])
            self.now[body["index"]] = what[1]
            self.names[body["index"]].add(what[1])
        elif what[0] == "activate":
            self.now = list(self.classes[what[1]])
            self.former.clear()

    def next_number(self, revision: int) -> int:
        """Of a class that is added by that event: a number that was removed is not given again."""
        gone = {number for number, event in self.removed.items() if event < revision}
        column = sum(label is not None and number not in gone for number, label in enumerate(self.now))
        number = 0
        while column or number in gone:
            column -= number not in gone
            number += 1
        return number

    def snapshots(self, connection: sqlite3.Connection) -> None:
        rows: dict[str, list] = {}
        for i, revision, digest, note, pinned in connection.execute(
                "SELECT id, revision, lower(hex(digest)), note, pinned FROM snapshot WHERE note LIKE 'note %'"):
            rows.setdefault(note, []).append((i, revision, digest, bool(pinned)))
        for note, said in self.ledger.snapshots.items():
            found = rows.get(note, [])
            self.findings.doubled += len(found) > 1
            if said is None or self.saw_edited(said["revision"]):
                continue
            good = all(row[:3] == (said["id"], said["revision"], said["digest"]) and said["pinned"] in (row[3], None)
                       for row in found) and not (found and said["dropped"])
            lost = not found and said["pinned"] is True and said["dropped"] is False
            self.findings.lost += lost
            self.findings.check(good and not lost, f"snapshot {said}, \"{note}\", was acknowledged and is {found}")

    def saw_edited(self, revision: int) -> bool:
        """Whether the state of that revision, as it was then, holds what was edited later: such snapshots are gone."""
        return any(event > revision >= first for event, first in self.edited)

    def whole(self) -> None:
        """Once more all rows, and not only those since the last time; and of what was forgotten, nothing in the files. Of a daemon
        that was stopped."""
        connection = sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)
        try:
            rows = connection.execute("SELECT id, label, image FROM sample").fetchall()
        finally:
            connection.close()
        self.findings.check(waiting(self.db) == 0, f"{waiting(self.db)} edits are still to come")
        self.nothing_left(self.db)
        for number, label, image in rows:
            training, at = self.ledger.samples.get(number, (None, 0))
            sent = training.images[at].tobytes() if training else b""
            if number in self.forgotten:
                self.findings.check((label, image) == (-1, bytes(len(sent) - 1)), f"sample {number} is not forgotten")
            elif training:
                self.findings.check(image == sent, f"sample {number} has another image than was sent")

    def nothing_left(self, db: Path) -> None:
        """Of what was forgotten, in the files of that database."""
        files = b"".join(path.read_bytes() for path in db.parent.glob(db.name + "*"))
        for number in self.forgotten & self.ledger.samples.keys():
            training, at = self.ledger.samples[number]
            self.findings.check(training.images[at].tobytes() not in files, f"the image of sample {number}, which was forgotten, stands in {db}")

    def acknowledged(self) -> None:
        """Everything that was acknowledged is in the log, at the place that was told. After read()."""
        for training in self.ledger.trainings.values():
            told = training.answer and (training.answer["revision"], training.answer["samples"][0])
            if told and training.place != told:
                self.findings.lost += len(training.labels)
                self.findings.check(False, f"training {training.number} was acknowledged at {told} and is at {training.place}")
            self.findings.check(not (training.refused and training.place),
                                f"training {training.number} was refused and is in the log")
        for change in self.ledger.changes:
            if change.answer and (change.place is None or not change.told(change.place)):
                self.findings.lost += 1
                self.findings.check(False, f"{change.what} was acknowledged at {change.answer['revision']}, is at {change.place}")
            self.findings.check(not (change.refused and change.place), f"{change.what} was refused and is in the log")


def uninterrupted(log: Log, reference: Daemon) -> str:
    """The digest of a daemon that nobody kills, asked for what the log says, in its order, with all edits done from the start; what it
    says of each snapshot on the way is compared too. For models that were not rehearsed: how a rehearsal is cut into chunks is a matter of time."""
    findings, ledger = log.findings, log.ledger
    digests = {said["revision"]: said["digest"] for said in ledger.snapshots.values() if said}
    ids: dict[int, int] = {}

    def pass_by(client: Client, revision: int) -> None:
        if revision in digests:
            said = client.send_json("POST", "/snapshots", {"pinned": True}).ok(201)
            ids[revision] = said["id"]
            if not log.saw_edited(revision):
                findings.digests += 1
                findings.check(said["digest"] == digests[revision], f"the snapshot at revision {revision} has another digest")

    with reference.client() as client:
        pass_by(client, 1)
        for revision, kind, operation in sorted(log.events + [(event, "edit", None) for event, _ in log.edited], key=lambda e: e[0]):
            if kind == "edit":
                answer = None
            elif isinstance(operation, Training):
                answer = train_edited(client, log, revision, operation)
            else:
                answer = again(client, log, revision, operation, ids)
            if answer is not None and answer.status not in (200, 201):
                findings.check(False, f"uninterrupted: {kind} at {revision}, {getattr(operation, 'what', '')}: {answer}")
                break
            pass_by(client, revision)
        return client.get("/model").ok()["digest"]


def train_edited(client: Client, log: Log, revision: int, training: Training):
    """What is left of a training after all edits, with the labels that they gave; None where that is nothing."""
    labels, images = [], []
    for i, (number, image) in enumerate(zip(log.numbers[revision], training.images), training.place[1]):
        if i not in log.forgotten:
            labels.append(log.classes[revision][log.relabelled.get(i, number)])
            images.append(image.tobytes())
    return client.post(labelled(labels), b"".join(images)) if images else None


def again(client: Client, log: Log, revision: int, change: Change, ids: dict[int, int]):
    """A change once more; None where it is of a class that never was."""
    kind = change.what[0]
    if kind == "tune":
        return client.send_json("PATCH", "/model", dict(zip(("rate", "rehearsal", "jitter"), change.what[1:])))
    if kind == "activate":
        return client.post(f"/snapshots/{ids[change.what[1]]}/activate")
    number = log.classes[revision].index(change.what[1])
    if number in log.removed:
        return None
    if kind == "add":
        return client.send_json("POST", "/classes", {"label": change.what[1]})
    return client.send_json("PATCH", "/classes", {"from": log.classes[revision - 1][number], "to": change.what[1]})
