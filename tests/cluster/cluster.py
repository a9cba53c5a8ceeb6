#!/usr/bin/env python3
"""cluster.py [--schedules N] [--jobs N] [--seed S] [--only SCHEDULE] [--control WHAT] [--folder DIR] - three nodes on one log, and all that
may befall them.

A PostgreSQL primary with a synchronous standby, three convd nodes (the third with the portable arithmetic), each in a network namespace and
on a small disk of its own (as root; else what needs that is left out, which the last line says). Clients train through all of them, an
operator changes what there is to change, forgets and relabels, readers send the revision that was told last. Meanwhile, from a seed: nodes
are killed, stopped, cut off, lose their file or their power, have a full disk; the primary is killed, stopped, cut off, filled, without power,
replaced by its standby, and comes back as a zombie; so is the standby. After that, in every other schedule, the power of all machines goes at
once. Each schedule has a new model.

After each, all is mended, and what hangs is sent until it is answered. Then: all nodes say the same of the model; each one's file has the
log of PostgreSQL, link by link; a file that is made of that log alone has each acknowledged sample once, where the answer said, and each change; `convd
verify` replays each file from nothing to the same digest, and through the same at each snapshot. No node that was there failed to predict; nobody
who sent a revision was answered with an older one.

--control standby: the primary waits for no standby, which is cut off, and then made the primary. --control sync: PostgreSQL syncs nothing, and
the power of all goes. Samples are lost, and that must be found.

--jobs: so many clusters side by side; a schedule is mostly waiting. The last line counts; the folder of a schedule in which something was wrong is
kept. Exit status: 0 nothing was wrong (--control: the loss was found), 1 something was (one line each).
"""
from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.cluster.faults import Fault, draw, of_all, of_nodes, of_postgres
from tests.cluster.load import BROKEN, Clients
from tests.cluster.node import Node, log_rows
from tests.cluster.pair import ASKED_S, Pair
from tests.cluster.pair import SMALL as SETTINGS
from tests.cluster.places import Place, Places
from tests.crash.compare import Findings, Log
from tests.crash.crash import SMALL
from tests.crash.ledger import BASE_LABELS, Ledger, Training
from tests.e2e.daemon import CONVD, convd, convd_json, until
from tests.e2e.postgres import PLACES

NODES = "abc"
PORTABLE = "c"
SETTLED_S = 90  # within which all that hangs must be answered once nothing fails any more
STARTED = time.monotonic()
WRONG = multiprocessing.Event()  # something, in some job: none begins another schedule


@dataclass
class Tally:
    """Of all schedules."""
    findings: Findings = field(default_factory=Findings)
    schedules: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    failovers: int = 0
    requests: int = 0
    samples: int = 0
    changes: int = 0
    edits: int = 0
    sent_again: int = 0
    predictions: int = 0
    reads: int = 0
    later: int = 0
    broken: int = 0
    events: int = 0

    def add(self, other: Tally) -> None:
        for mine, its in ((self, other), (self.findings, other.findings)):
            for name, value in vars(its).items():
                if isinstance(value, (int, list)):
                    setattr(mine, name, getattr(mine, name) + value)
        for what, times in other.faults.items():
            self.faults[what] = self.faults.get(what, 0) + times

    def text(self) -> str:
        f = self.findings
        return (f"cluster: {self.schedules} schedules of {sum(self.faults.values())} faults, {self.failovers} failovers; acknowledged: {self.requests} "
                f"trainings of {self.samples} samples, {self.changes} changes, {self.edits} samples forgotten or relabelled, {self.predictions} predictions, {self.reads} reads of what was told; "
                f"put off {self.later} times, {self.broken} without an answer, {self.sent_again} trainings sent again; {self.events} events "
                f"in each node's file; lost {f.lost}, doubled {f.doubled}; {f.digests} digests compared; {len(f.wrong)} wrong")


def convd_at(place: Place, *args: str | Path) -> dict:
    """A verb that has to reach PostgreSQL."""
    command = [*place.inside, CONVD]
    return json.loads(convd(*command[1:], *args, "--json", "--quiet", binary=command[0]).stdout)


class Schedule:
    """One model, three nodes, and what befalls them."""

    def __init__(self, seed: int, pair: Pair, places: list[Place], folder: Path, tally: Tally):
        self.seed, self.pair, self.folder, self.tally, self.findings = seed, pair, folder, tally, tally.findings
        self.chance, self.ledger, self.name = random.Random(seed), Ledger(seed), f"log{seed}"
        db = folder / "first.db"
        self.ledger.idle_steps = self.chance.choice([0, 0, 20])
        convd("init", "--db", db, *SMALL, "--classes", ",".join(BASE_LABELS), "--rehearsal-idle", str(self.ledger.idle_steps))
        pair.create(self.name)
        self.log = pair.url(self.name)
        until(lambda: self.share(db, places[0]), "the log is shared", ASKED_S)
        often = str(self.chance.choice([0, 40, 400]))
        self.nodes = [Node(place, name, self.log, folder, "--snapshot-samples", often,
                           env={"CONVD_ARITH": "portable"} if name == PORTABLE else None) for place, name in zip(places, NODES)]

    def share(self, db: Path, place: Place) -> bool:
        try:
            convd_at(place, "cluster", "init", "--db", db, "--log", self.log)
        except AssertionError as error:  # on a busy machine it may give up before it is let in
            if "cannot be reached" not in str(error):
                raise
            return False
        return True

    # ---- what happens ----

    def faults(self) -> list[list[list[Fault]]]:
        """Two lines at once; and then perhaps one. Drawn before anything happens, so that the seed says it all."""
        can_fail, chance = self.nodes[0].place.can_fail, self.chance
        lines = [draw(chance, of_postgres(self.pair, can_fail), chance.randint(1, 3)), draw(chance, of_nodes(self.nodes, can_fail), chance.randint(1, 5))]
        return [lines, [[self.no_power()]]] if can_fail and chance.random() < 0.5 else [lines]

    def no_power(self) -> Fault:
        return Fault(self.chance.uniform(0.2, 1), "the power of all is cut", self.chance.uniform(0, 0.5), of_all(self.pair, self.nodes))

    def suffer(self, faults: list[Fault]) -> None:
        try:
            for fault in faults:
                time.sleep(fault.pause_s)
                fault.suffer(fault.seconds)
        except BaseException as error:  # of a thread: it belongs into the report
            self.ledger.fail(f"{fault.text()}: {error!r}")

    def run(self, rounds: list[list[list[Fault]]]) -> None:
        for node in self.nodes:
            node.lose_file()
            node.place.sync()  # else a power cut brings back the file of the schedule before
            node.start()
        self.load = Clients(self.nodes, self.ledger, self.chance.randrange(1 << 30))
        for lines in rounds:
            threads = [threading.Thread(target=self.suffer, args=(faults,)) for faults in lines]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        time.sleep(self.chance.uniform(0.2, 1))
        self.load.stop()
        self.tally.schedules += 1
        for fault in [fault for lines in rounds for faults in lines for fault in faults]:
            what = re.sub(rf"^[{NODES}]\b", "a node", fault.what)
            self.tally.faults[what] = self.tally.faults.get(what, 0) + 1

    # ---- what must hold ----

    def settle(self, seconds: float) -> None:
        """All is well again: who is not there is started, what hangs is sent until it is answered."""
        end = time.monotonic() + seconds
        while (self.ledger.hanging or not all(map(self.is_well, self.nodes))) and time.monotonic() < end:
            time.sleep(0.1)
            for node in self.nodes:
                if self.ledger.hanging and node.well:
                    self.send(node, self.ledger.hanging.popleft())
        for node in self.nodes:
            self.findings.check(self.is_well(node), f"node {node.name} is not ready: {self.ready(node)}")
        for training in self.ledger.hanging:
            self.findings.check(False, f"training {training.number} has no answer")

    def send(self, node: Node, training: Training) -> None:
        self.ledger.sent_again += 1
        try:
            with node.client(30) as client:
                done = self.load.train(client, training, False)
        except (*BROKEN, OSError):
            done = False
        if not done:
            self.ledger.hanging.append(training)

    def ready(self, node: Node) -> str:
        try:
            answer = node.get("/readyz")
            return "" if answer.status == 200 else answer.body.decode()
        except OSError as error:
            return repr(error)

    def is_well(self, node: Node) -> bool:
        """A node whose sync failed on a full disk is started anew, as it asks for; so is one that could not join."""
        said = self.ready(node)
        if "storage" in said:
            node.kill()
        if not node.process:
            node.start()
        return said == ""

    def models(self) -> list[dict]:
        return [{name: node.model()[name] for name in ("revision", "step", "digest", "classes")} for node in self.nodes]

    def agree(self) -> None:
        """All have all of the log, what they rehearse when nobody asks at its end, and say the same of the model."""
        said: list[dict] = []

        def all_are_there() -> bool:
            if any(map(self.ready, self.nodes)):  # which was said
                return True
            said[:] = self.models()
            head = int(self.pair.sql("SELECT revision FROM convd.head", self.name))
            return all(model["revision"] == head for model in said)
        try:
            until(all_are_there, "all nodes are where the log is", ASKED_S)
        except AssertionError as error:
            self.findings.check(False, str(error))
        self.findings.digests += len(said)
        for node, model in zip(self.nodes, said):
            self.findings.check(model == said[0], f"node {node.name} says {model}, and node a {said[0]}")
        if self.findings.check(len(said) == len(self.nodes), "not all nodes are ready"):
            self.findings.check(self.nodes[-1].model()["instruction_set"] == "portable", "node c is not on the portable arithmetic")

    def compare(self) -> None:
        """A file made of the log alone, with what was acknowledged; the nodes' files with that."""
        findings, ledger = self.findings, self.ledger
        findings.wrong += ledger.failures
        db = self.folder / "joined.db"
        joined = convd_at(self.nodes[0].place, "cluster", "join", "--db", db, "--log", self.log)
        log = Log(db, ledger, findings)
        log.read()
        log.acknowledged()
        log.whole()
        findings.check(log.revision >= ledger.revision, f"revision {ledger.revision} was told, and the log ends at {log.revision}")
        rows = log_rows(db)
        for file in [db, *(node.db for node in self.nodes)]:
            verdict = convd_json("verify", "--db", file)
            findings.digests += 1 + verdict["snapshots"]
            findings.check(verdict["digest"] == joined["digest"], f"{file} has digest {verdict['digest']}, the log {joined['digest']}")
            findings.check(log_rows(file) == rows, f"{file} has other events than the log")
            log.nothing_left(file)
        self.tally.events += len(rows)

    def end(self, settled_s: float) -> None:
        self.settle(settled_s)
        self.agree()
        for node in self.nodes:
            if node.process is not None:
                node.stop()
        for node in self.nodes:  # what was left to rehearse when nobody asks may have come while others were stopped already
            try:
                convd_at(node.place, "cluster", "move", "--to", "file", "--db", node.db, "--log", self.log)
            except AssertionError as error:
                self.findings.check(False, str(error))
        self.compare()
        self.count()

    def count(self) -> None:
        tally, ledger, load = self.tally, self.ledger, self.load
        answered = [t for t in ledger.trainings.values() if t.answer]
        tally.requests += len(answered)
        tally.samples += sum(len(t.labels) for t in answered)
        tally.changes += sum(c.answer is not None for c in ledger.changes)
        tally.edits += sum(edit.accepted for edit in ledger.edits.values())
        tally.sent_again += ledger.sent_again
        tally.predictions += ledger.predictions
        tally.reads, tally.later, tally.broken = tally.reads + load.reads, tally.later + load.later, tally.broken + load.broken

    def close(self) -> None:
        try:
            for node in self.nodes:
                node.check()
        finally:
            for node in self.nodes:
                node.kill()


class NoStandby(Schedule):
    """A control: what is acknowledged is on one machine alone, which dies."""

    def faults(self) -> list[list[list[Fault]]]:
        def suffer(seconds: float) -> None:
            self.pair.standby.place.cut()
            time.sleep(seconds)
            self.pair.primary.kill()
            self.pair.standby.place.mend()
            self.pair.promote()
            self.pair.rebuild()
            self.pair.revive()
        return [[[Fault(1, "the standby is cut off, and the primary dies", 2, suffer)]]]


class NoSync(Schedule):
    """A control: what is acknowledged was synced nowhere."""

    def faults(self) -> list[list[list[Fault]]]:
        def suffer(seconds: float) -> None:
            for server in (self.pair.standby, self.pair.primary):  # so that both can start again, and one follow the other
                server.place.sync()
        return [[[Fault(1, "all is synced, once", 0, suffer), self.no_power()]]]


CONTROLS = {"standby": NoStandby, "sync": NoSync}


def keep(schedule: Schedule) -> None:
    """What the small disks have, before they go."""
    print(f"cluster: what was there is kept in {schedule.folder}", file=sys.stderr)
    for node in schedule.nodes:
        for file in node.db.parent.glob(node.db.name + "*"):
            shutil.copy(file, schedule.folder / f"{node.name}-{file.name}")
    for server in schedule.pair.servers:
        shutil.copy(server.directory / "log", schedule.folder / f"{server.place.folder.name}.log")


def run_one(schedule: Schedule, control: bool) -> None:
    rounds = schedule.faults()
    wrong = True
    try:
        schedule.run(rounds)
        schedule.end(5 if control else SETTLED_S)
        wrong = bool(schedule.findings.wrong) and not control
    finally:
        if wrong:
            for faults in [faults for lines in rounds for faults in lines]:
                print(f"schedule {schedule.seed}: " + "; ".join(fault.text() for fault in faults), file=sys.stderr)
            keep(schedule)
        schedule.close()
    if not wrong:
        schedule.pair.sql(f"DROP DATABASE {schedule.name} WITH (FORCE)", "postgres")
        shutil.rmtree(schedule.folder)


def run(seeds: list[int], folder: Path, control: str | None) -> Tally:
    """One after another on one cluster, until something is wrong."""
    folder.mkdir()
    tally, places, pair = Tally(), Places(folder), None
    try:
        servers, nodes = [places.add(name) for name in ("p1", "p2")], [places.add(name) for name in NODES]
        pair = Pair(*servers, synchronous=control != "standby", settings=SETTINGS | ({"fsync": "off"} if control == "sync" else {}))
        for seed in seeds:
            if WRONG.is_set():
                break
            (files := folder / f"schedule-{seed}").mkdir()
            run_one(CONTROLS.get(control, Schedule)(seed, pair, nodes, files, tally), bool(control))
            tally.failovers = pair.failovers
            f = tally.findings
            print(f"schedule {seed}: {sum(tally.faults.values())} faults, {tally.samples} samples, lost {f.lost}, doubled {f.doubled}; "
                  f"{time.monotonic() - STARTED:.0f} s", file=sys.stderr, flush=True)
            if tally.findings.wrong:
                WRONG.set()
    except BaseException:
        WRONG.set()
        raise
    finally:
        if pair is not None:
            pair.close()
        places.close()
        if not any(folder.iterdir()):
            folder.rmdir()
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="this schedule of that seed alone, 0 is the first")
    parser.add_argument("--control", choices=CONTROLS, help="what must be found: a primary that waits for no standby, or syncs nothing")
    parser.add_argument("--folder", type=Path, help="where all of it is (TMPDIR)")
    options = parser.parse_args()
    if not PLACES or (options.control and os.getuid() != 0):
        print("cluster: needs PostgreSQL's server (apt-get install postgresql); its control needs root, too", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(dir=options.folder, prefix="convd-cluster-"))
    folder.chmod(0o755)
    first = options.seed * 10000
    seeds = list(range(first, first + options.schedules)) if options.only is None else [first + options.only]
    tally, jobs = Tally(), range(min(options.jobs, len(seeds)))
    with ProcessPoolExecutor(len(jobs)) as each:
        for done in each.map(run, [seeds[job::len(jobs)] for job in jobs], [folder / str(job) for job in jobs], [options.control] * len(jobs)):
            tally.add(done)
    for line in tally.findings.wrong[:50]:
        print(f"cluster: {line}")
    if not any(folder.iterdir()):
        folder.rmdir()
    for what, times in sorted(tally.faults.items()):
        print(f"cluster: {times:5} times {what}")
    if os.getuid() != 0:
        print("cluster: not root: partitions, power cuts and full disks were left out")
    print(f"{tally.text()}; {time.monotonic() - STARTED:.0f} s")
    if options.control:
        print(f"cluster: the control {'was' if tally.findings.lost else 'WAS NOT'} caught")
        return 0 if tally.findings.lost else 1
    return 1 if tally.findings.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
