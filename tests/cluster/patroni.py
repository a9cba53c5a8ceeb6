#!/usr/bin/env python3
"""patroni.py [--schedules N] [--seed S] - examples/cluster as a whole, and parts of it killed.

Three PostgreSQL under Patroni with etcd, three convd nodes and HAProxy, by the files of the example. One client teaches digits through HAProxy,
each with a key and until it is answered, another predicts, at each node and through HAProxy. Meanwhile, from a seed: Patroni is killed and leaves
its PostgreSQL behind, or PostgreSQL alone, or both, or etcd, each for less than Patroni's ttl or for more; and nodes and HAProxy.

Then: all nodes have one digest, and files of one log, which `convd verify` replays; each digit that was acknowledged is in there once, where
the answer said, and no other; nobody who was there failed to predict.

Exit status: 0 nothing was wrong, or some of it is not installed, as is said; 1 something was.
"""
from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import sys
import threading
import time
from contextlib import closing, suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.cluster.faults import Fault, hold
from tests.cluster.node import log_rows
from tests.e2e.daemon import CONVD, convd, convd_json

demo = SourceFileLoader("demo", str(ROOT / "examples/cluster/demo")).load_module()

NODES = {"a": "8081", "b": "8082", "c": "8083"}
DATABASES = ("db1", "db2", "db3")
TTL_S = 20  # of patroni.yml


class Clients(demo.Clients):
    """Who predicts does so everywhere; a failure of who was there meanwhile counts."""

    def __init__(self, urls: dict[str, str]):
        self.each = {name: demo.Convd(url, tries=1) for name, url in urls.items()}
        self.switched = dict.fromkeys(urls, 0)  # times; an odd number: it is dead
        super().__init__(urls["haproxy"])

    def predict(self) -> None:
        while not self.over.is_set():
            for name, convd in self.each.items():
                switched = self.switched[name]
                try:
                    convd.predict(self.digits[self.predictions % len(self.digits)][1])
                    self.predictions += 1
                except (demo.ConvdError, *demo.BROKEN) as error:
                    if switched % 2 == 0 and self.switched[name] == switched:
                        self.failed.append(f"{name} is there and did not predict: {error}")
            time.sleep(0.01)


class Schedule:
    def __init__(self, seed: int):
        self.chance, self.demo = random.Random(seed), demo.Demo(str(CONVD))
        self.wrong: list[str] = []
        self.faults = [self.draw(self.of_postgres(), 2, [1, 2, TTL_S + 7]), self.draw(self.of_nodes(), self.chance.randint(2, 5), [0.1, 1, 10])]

    def draw(self, those: dict, n: int, seconds: list[float]) -> list[Fault]:
        return [Fault(self.chance.uniform(0, 3), what := self.chance.choice(sorted(those)), self.chance.choice(seconds), those[what]) for _ in range(n)]

    def of_postgres(self) -> dict:
        d = self.demo

        def ends_well(begin, end):
            def suffer(seconds: float) -> None:
                hold(begin, end)(seconds)
                demo.until("all PostgreSQL run, with a synchronous standby", lambda: d.primary() and d.synchronous() and all(
                    demo.status(f"http://{d.at[f'{name}:8008']}/health") == 200 for name in DATABASES))
            return suffer
        found = {"etcd dies": ends_well(lambda: d.kill("etcd"), d.start_etcd)}
        for which in ("the primary", "a standby"):
            def machine(which: str = which) -> str:
                self.machine = d.primary() if which == "the primary" else self.chance.choice([name for name in DATABASES if name != d.primary()])
                return self.machine

            def kill(how, machine=machine) -> None:
                with suppress(FileNotFoundError, ProcessLookupError):  # its PostgreSQL is just being started anew
                    how(machine())

            def start() -> None:
                d.start_patroni(self.machine)
            found |= {f"Patroni of {which} dies": ends_well(lambda kill=kill: kill(d.kill), start),
                      f"PostgreSQL of {which} dies": ends_well(lambda kill=kill: kill(d.kill_postgres), lambda: None),
                      f"the machine of {which} dies": ends_well(lambda kill=kill: kill(d.kill_machine), start)}
        return found

    def of_nodes(self) -> dict:
        def switch(name: str, start, url: str):
            def kill() -> None:
                self.clients.switched[name] += 1
                self.demo.kill(name)

            def back() -> None:
                start()
                demo.until(f"{name} listens", lambda: demo.status(url) == 200)
                self.clients.switched[name] += 1
            return hold(kill, back)
        found = {f"node {name} dies": switch(name, lambda name=name, number=number: self.demo.start_node(name, number), self.url(number) + "/healthz")
                 for name, number in NODES.items()}
        return found | {"HAProxy dies": switch("haproxy", self.demo.start_haproxy, self.url("8000") + "/healthz")}

    def url(self, number: str) -> str:
        return "http://" + self.demo.at[f"127.0.0.1:{number}"]

    def suffer(self, faults: list[Fault]) -> None:
        for fault in faults:
            time.sleep(fault.pause_s)
            demo.say(fault.text())
            try:
                fault.suffer(fault.seconds)
            except BaseException as error:  # of a thread: it belongs into the report
                self.wrong.append(f"{fault.text()}: {error!r}")

    def run(self) -> None:
        self.demo.start_postgres()
        self.demo.start_convd()
        for number in NODES.values():
            demo.until("all nodes listen", lambda number=number: demo.status(self.url(number) + "/healthz") == 200)
        self.clients = Clients({name: self.url(number) for name, number in (NODES | {"haproxy": "8000"}).items()})
        self.clients.more(50)
        lines = [threading.Thread(target=self.suffer, args=(faults,)) for faults in self.faults]
        for line in lines:
            line.start()
        for line in lines:
            line.join()
        self.clients.more(50)
        self.clients.stop()
        self.longest = self.clients.longest
        self.clients.told("all is well again")
        self.demo.model()
        self.demo.end(("haproxy", *NODES))
        self.compare()

    def compare(self) -> None:
        taught, digits = self.clients.taught, self.clients.digits
        self.wrong += self.clients.failed
        sent = [(i + 1, digits[i % len(digits)][1]) for i in range(len(taught))]
        if [answer["samples"] for answer in taught] != [[i, i] for i, _ in sent]:
            self.wrong.append("the digits are not where the answers said")
        ends = []
        for name in NODES:  # what was left to rehearse when nobody asks may have come while others were stopped already
            db = self.demo.folder / name / "digits.db"
            convd("cluster", "move", "--to", "file", "--db", db, "--log", self.demo.url("convd") + "/digits",
                  env={"PGPASSFILE": str(self.demo.folder / "pgpass")})
            ends.append((convd_json("verify", "--db", db)["digest"], log_rows(db)))
            with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
                if connection.execute("SELECT id, image FROM sample ORDER BY id").fetchall() != sent:
                    self.wrong.append(f"node {name} has other samples than were sent")
        if ends.count(ends[0]) != len(ends):
            self.wrong.append(f"the nodes' files differ; they end in {[(digest, len(rows)) for digest, rows in ends]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if demo.missing():
        print(f"patroni: left out, not installed: {demo.missing()}")
        return 0
    n_faults = n_digits = n_predictions = 0
    longest = 0.0
    for seed in range(options.seed * 1000, options.seed * 1000 + options.schedules):
        print(f"patroni: schedule {seed}", flush=True)
        schedule = Schedule(seed)
        try:
            schedule.run()
        finally:
            schedule.demo.end()
        for line in schedule.wrong[:20]:
            print(f"patroni: schedule {seed}: {line}")
        if schedule.wrong:
            print(f"patroni: what was there is kept in {schedule.demo.folder}")
            return 1
        shutil.rmtree(schedule.demo.folder)
        n_faults, longest = n_faults + sum(map(len, schedule.faults)), max(longest, schedule.longest)
        n_digits, n_predictions = n_digits + len(schedule.clients.taught), n_predictions + schedule.clients.predictions
    print(f"patroni: {options.schedules} schedules of {n_faults} faults; {n_digits} digits acknowledged, each once, the longest wait {longest:.1f} s; "
          f"{n_predictions} predictions, none failed; all files of each schedule equal and verified")
    return 0


if __name__ == "__main__":
    sys.exit(main())
