#!/usr/bin/env python3
"""crash.py [--kills N] [--seed S] [--folder DIR] - kill -9 at random moments, under random load, over HTTP.

Three clients train (each request with an Idempotency-Key, sent again until it is answered), one predicts, one copies the database
(GET /backup), and an operator tunes,
adds, renames, merges and deletes classes, forgets and relabels samples, takes snapshots, pins them, lets them go, drops them, goes back to
them, and rehearses; in some models all but the predictor rest before the kill, so that the daemon rehearses by itself. The daemon is
killed after a random time, right after an acknowledgement, or while it is still starting. Then, with the daemon down, the database is compared with the ledger of all that
was acknowledged: nothing lost, nothing doubled, nothing half, nothing that nobody sent, all where the answer said; `convd verify`
replays the log from nothing; and the daemon that is started again, from a snapshot and the rest of the log, must have
the same digest. So must each copy that arrived whole: it is a part of the log, with all that was told before it was asked for, is replayed
from nothing, and served. Every KILLS_PER_MODEL kills a new model begins; the old one's hanging requests are sent once more, and where nothing
was rehearsed, by request or idle, a second daemon that nobody kills is asked for the same things in the same order and must have the same digest.

The last line counts; the folder of a model in which something was wrong is kept. Exit status: 0 nothing was wrong, 1 something was (one line each).
"""
from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.crash.compare import Findings, Log, uninterrupted, waiting
from tests.crash.ledger import BASE_LABELS, Copy, Ledger
from tests.crash.load import Load, train
from tests.e2e.daemon import Daemon, convd, convd_json

KILLS_PER_MODEL = 25
SMALL = ("--width", "8", "--height", "8", "--kernels", "3", "--kernel-width", "3", "--kernel-height", "3", "--hidden", "12")


@dataclass
class Tally:
    """Of all models."""
    findings: Findings = field(default_factory=Findings)
    kills: int = 0
    starting: int = 0  # of them, before it listened
    models: int = 0
    references: int = 0
    requests: int = 0
    samples: int = 0
    changes: int = 0
    copies: int = 0
    edits: int = 0
    removals: int = 0
    predictions: int = 0
    idle: int = 0  # events of idle rehearsal
    sent_again: int = 0

    def text(self) -> str:
        f = self.findings
        return (f"crash: {self.kills} kills ({self.starting} while starting) of {self.models} models; acknowledged: "
                f"{self.requests} trainings of {self.samples} samples, {self.changes} changes, {self.edits} edits, {self.removals} classes removed, "
                f"{self.predictions} predictions, {self.copies} copies; {self.idle} idle rehearsals; "
                f"unanswered at a kill: {f.kept} trainings whole in the log, {f.gone} not in it; {self.sent_again} sent again; lost {f.lost}, "
                f"doubled {f.doubled}; {f.digests} digests compared, {self.references} models with an uninterrupted run; "
                f"{len(f.wrong)} wrong")


class Model:
    """One database, its ledger, and the daemon that is killed."""

    def __init__(self, folder: Path, tally: Tally, chance: random.Random, seed: int):
        self.folder, self.tally, self.chance, self.seed = folder, tally, chance, seed
        self.ledger = Ledger(seed)
        db = folder / "model.db"
        self.rehearse, self.ledger.idle_steps = chance.random() < 0.4, chance.choice([0, 0, 200])
        convd("init", "--db", db, *SMALL, "--rehearsal-idle", str(self.ledger.idle_steps), "--classes", ",".join(BASE_LABELS))
        self.log = Log(db, self.ledger, tally.findings)
        self.daemon = Daemon(folder, db, "--snapshot-samples", str(chance.choice([0, 40, 400])), "--keep-snapshots",
                             str(chance.choice([2, 8])), "--threads", str(chance.choice([1, 2])))

    def kill_while_starting(self) -> None:
        self.daemon.spawn()
        time.sleep(self.chance.uniform(0, 0.03))
        self.daemon.kill()
        self.tally.starting += 1

    def kill_under_load(self) -> None:
        load = Load(self.daemon.start(), self.ledger, self.chance.randrange(1 << 30), self.rehearse)
        load.wait(self.chance.uniform(0.01, 0.4), self.chance.choice([None, None, self.chance.randint(1, 60)]))
        if self.ledger.idle_steps and self.chance.random() < 0.5:
            load.rest(self.chance.uniform(0.05, 0.5))
        load.kill()

    def round(self) -> None:
        if self.chance.random() < 0.15:
            self.kill_while_starting()
        else:
            self.kill_under_load()
        self.tally.kills += 1
        self.compare()

    def compare(self) -> None:
        """Of a killed daemon: the log with the ledger, the replay from nothing with the next start."""
        findings = self.tally.findings
        findings.wrong += self.ledger.failures
        self.ledger.failures.clear()
        self.log.read()
        self.log.acknowledged()
        for copy in self.ledger.copies:
            self.copied(copy)
        self.ledger.copies.clear()
        findings.kept += sum(t.place is not None for t in self.ledger.hanging)
        findings.gone += sum(t.place is None for t in self.ledger.hanging)
        findings.check(self.log.revision >= self.ledger.revision, f"revision {self.ledger.revision} was told, the log ends "
                       f"with {self.log.revision}")
        if self.log.waiting and self.chance.random() < 0.5:
            return  # what was accepted is edited when the next load is at it, or after yet another kill
        if self.log.waiting:
            self.wait_for_edits()
            self.daemon.kill()
            self.log.read()
        verdict = convd_json("verify", "--db", self.log.db)
        model = self.daemon.start().model()
        self.daemon.kill()
        findings.digests += 1 + verdict["snapshots"]
        for name in ("digest", "revision", "step"):
            findings.check(model[name] == verdict[name], f"{name}: {model[name]} recovered, {verdict[name]} replayed")
        findings.check(model["revision"] == self.log.revision, f"revision {model['revision']}, the log's is {self.log.revision}")

    def copied(self, copy: Copy) -> None:
        findings = self.tally.findings
        path = self.folder / "copy.db"
        path.write_bytes(copy.database)
        verdict = convd_json("verify", "--db", path)
        findings.check(copy.told <= copy.revision == verdict["revision"], f"revision {copy.told} was told, the copy says "
                       f"{copy.revision} and has {verdict['revision']}")
        findings.check(self.log.begins_with(path), f"the copy of revision {copy.revision} is no part of the log")
        if not waiting(path):  # what was accepted would be done by the next start
            daemon = Daemon(self.folder, path).start()
            findings.check(daemon.digest() == verdict["digest"], f"the copy of revision {copy.revision} is served as another model")
            daemon.kill()
        findings.digests += 1 + verdict["snapshots"]
        self.tally.copies += 1
        for file in self.folder.glob("copy.db*"):
            file.unlink()

    def wait_for_edits(self) -> None:
        """Starts the daemon, which takes up what it had accepted, to the end of that."""
        self.daemon.start()
        with self.daemon.client() as client:
            while any(job["state"] == "running" for job in client.get("/jobs").ok()["jobs"]):
                time.sleep(0.01)

    def end(self) -> None:
        """What still hangs is sent once more; then everything is answered for."""
        findings, ledger = self.tally.findings, self.ledger
        hanging = list(ledger.hanging)
        self.wait_for_edits()
        with self.daemon.client() as client:
            for training in hanging:
                train(client, ledger, training)
                findings.check(training.answer is not None or training.refused, f"training {training.number} has no answer")
        self.daemon.stop()
        self.log.read()
        self.log.acknowledged()
        self.log.whole()
        verdict = convd_json("verify", "--db", self.log.db)
        if not ledger.rehearsed and not ledger.idle_steps:
            self.refer(verdict["digest"])
        answered = [t for t in ledger.trainings.values() if t.answer]
        self.tally.models += 1
        self.tally.requests += len(answered)
        self.tally.samples += sum(len(t.labels) for t in answered)
        self.tally.changes += sum(c.answer is not None for c in ledger.changes)
        self.tally.changes += sum(said is not None for said in ledger.snapshots.values())
        self.tally.edits += sum(edit.accepted for edit in ledger.edits.values())
        self.tally.removals += len(self.log.removed)
        self.tally.predictions += ledger.predictions
        self.tally.idle += self.log.idle_events
        self.tally.sent_again += ledger.sent_again + len(hanging)
        self.daemon.check()

    def refer(self, digest: str) -> None:
        db = self.folder / "reference.db"
        convd("init", "--db", db, *SMALL, "--rehearsal-idle", "0", "--classes",
              ",".join(label for number, label in enumerate(BASE_LABELS) if number not in self.log.removed))
        reference = Daemon(self.folder, db).start()
        try:
            again = uninterrupted(self.log, reference)
        finally:
            reference.kill()
        self.tally.findings.digests += 1
        self.tally.references += 1
        self.tally.findings.check(again == digest, f"model {self.seed}: {digest}, uninterrupted {again}")


def run(kills: int, seed: int, folder: Path, tell=None) -> Tally:
    tally, chance = Tally(), random.Random(seed)
    while tally.kills < kills and not tally.findings.wrong:
        place = Path(tempfile.mkdtemp(dir=folder, prefix="crash-"))
        model = Model(place, tally, chance, seed * 1000 + tally.models)
        try:
            for _ in range(min(KILLS_PER_MODEL, kills - tally.kills)):
                model.round()
            model.end()
        except BaseException:
            print(f"crash: what was there is kept in {place}", file=sys.stderr)
            raise
        finally:
            if model.daemon.process is not None:
                model.daemon.kill()
        if tally.findings.wrong:
            print(f"crash: what was there is kept in {place}", file=sys.stderr)
        else:
            shutil.rmtree(place)
        if tell:
            tell(tally)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the databases are made (TMPDIR)")
    options = parser.parse_args()
    started = time.monotonic()
    tally = run(options.kills, options.seed, options.folder, lambda t: print(
        f"{t.kills:6} kills, {t.samples} samples, lost {t.findings.lost}, doubled {t.findings.doubled}", file=sys.stderr))
    for line in tally.findings.wrong[:50]:
        print(f"crash: {line}")
    print(f"{tally.text()}; {time.monotonic() - started:.0f} s")
    return 1 if tally.findings.wrong or tally.kills < options.kills else 0


if __name__ == "__main__":
    sys.exit(main())
