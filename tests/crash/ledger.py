"""What was asked of a daemon, and what it acknowledged: the model that the log is compared with after every kill.

An operation is sent, and then either answered or left hanging by a kill. Trainings carry an Idempotency-Key and are sent
again until there is an answer; of the others only the log can tell whether they happened. Every image is unique (its first
eight bytes are a number), so that each row of the log is somebody's.
"""
from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

import numpy as np

N_INPUT = 64
BASE_LABELS = ("a", "b", "c")


@dataclass
class Training:
    number: int
    labels: list[str]
    images: np.ndarray  # [n][64] of uint8
    sent: int = 0  # times
    answer: dict | None = None
    refused: bool = False  # its class is no longer there: 422, and so it was never learned
    place: tuple[int, int] | None = None  # in the log: revision, first id

    @property
    def key(self) -> str:
        return f"training-{self.number}"


@dataclass
class Change:
    """All that is neither training nor predicting. `what` is what the log's event must say, in the words of event_of()."""
    what: tuple
    answer: dict | None = None
    refused: bool = False
    place: int | None = None  # revision of its event

    def told(self, revision: int) -> bool:
        """Whether the answer agrees with that revision. PATCH /model answers with the model as it is by then."""
        said = self.answer["revision"]
        return revision <= said if self.what[0] == "tune" else revision == said


@dataclass
class Edit:
    """One sample forgotten, or given another label; of each sample at most one."""
    label: str | None  # None: forgotten
    accepted: bool = False
    refused: bool = False


@dataclass
class Removal:
    """A class merged into another, or deleted with its samples. No two classes ever have the same name."""
    label: str
    into: str | None  # None: deleted
    accepted: int = 0  # at which revision; 0: not answered so
    refused: bool = False


@dataclass
class Copy:
    """A whole answer to GET /backup."""
    database: bytes
    told: int  # the highest revision that was told before it was asked for
    revision: int  # that it says it has


@dataclass
class Ledger:
    """Shared by the clients of one model; `lock` guards every member."""
    seed: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    trainings: dict[int, Training] = field(default_factory=dict)
    hanging: deque[Training] = field(default_factory=deque)  # sent, not answered, to be sent again
    changes: list[Change] = field(default_factory=list)
    snapshots: dict[str, dict | None] = field(default_factory=dict)  # note -> answer; None: not answered. Of these:
    #    "pinned" as it was told last, None: perhaps; "dropped": True: gone, None: perhaps
    removals: list[Removal] = field(default_factory=list)
    edits: dict[int, Edit] = field(default_factory=dict)  # by id of the sample
    samples: dict[int, tuple[Training, int]] = field(default_factory=dict)  # acknowledged, by id: which image of which training
    copies: list[Copy] = field(default_factory=list)  # since the last kill
    base: list[str] = field(default_factory=lambda: list(BASE_LABELS))  # those that nobody asked to remove
    more_labels: list[str] = field(default_factory=list)  # classes that were added and not left behind, in order of their numbers
    rehearsed: bool = False  # a rehearsal was asked for: its events are the daemon's own
    idle_steps: int = 0  # that each sample may bring while nothing is asked for, likewise
    revision: int = 1  # highest that was told
    predictions: int = 0
    sent_again: int = 0
    failures: list[str] = field(default_factory=list)

    def new_edit(self, chance: np.random.Generator) -> tuple[int, Edit] | None:
        """Of a sample that has had none, with its id; None: there is no such sample."""
        with self.lock:
            known = [i for i, (training, at) in self.samples.items() if training.labels[at] in BASE_LABELS and i not in self.edits]
            if not known:
                return None
            number = known[chance.integers(len(known))]
            training, at = self.samples[number]
            label = None if chance.random() < 0.5 else BASE_LABELS[(BASE_LABELS.index(training.labels[at]) + 1) % 3]
            self.edits[number] = Edit(label)
            return number, self.edits[number]

    def new_training(self, chance: np.random.Generator) -> Training:
        n = int(chance.choice([1, 1, 1, 1, 1, 2, 5, 20]))
        images = chance.integers(0, 256, (n, N_INPUT), np.uint8)
        with self.lock:
            number = len(self.trainings)
            labels = [str(label) for label in chance.choice([*self.base, *self.more_labels[-3:]], n)]
            training = self.trainings[number] = Training(number, labels, images)
        images[:, :8] = (np.uint64(number) * np.uint64(256) + np.arange(n, dtype=np.uint64)).view(np.uint8).reshape(n, 8)
        return training

    def next_training(self, chance: np.random.Generator) -> Training:
        """One that hangs, where there is one: what a client that was left without an answer does."""
        with self.lock:
            if self.hanging:
                self.sent_again += 1
                return self.hanging.popleft()
        return self.new_training(chance)

    def acknowledge(self, training: Training, said: dict) -> None:
        with self.lock:
            training.answer = said
            self.revision = max(self.revision, said["revision"])
            for i in range(len(training.labels)):
                self.samples[said["samples"][0] + i] = training, i

    def change(self, *what) -> Change:
        change = Change(what)
        with self.lock:
            self.changes.append(change)
        return change

    def told(self, revision: int) -> None:
        with self.lock:
            self.revision = max(self.revision, revision)

    def fail(self, text: str) -> None:
        with self.lock:
            self.failures.append(text)

    def owner(self, image: bytes) -> tuple[Training | None, int]:
        """Whose image that is, and which of its images."""
        number, index = divmod(int.from_bytes(image[:8], "little"), 256)
        training = self.trainings.get(number)
        if training is None or index >= len(training.labels) or training.images[index].tobytes() != image:
            return None, 0
        return training, index
