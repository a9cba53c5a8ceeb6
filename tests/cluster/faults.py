"""What befalls a cluster: two lines of faults at once, one of PostgreSQL's and one of the nodes', drawn from a seed."""
from __future__ import annotations

import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Callable

from tests.cluster.node import Node
from tests.cluster.pair import Pair, Server

HANGS = ("is stopped", "is cut off")  # of those others wait for, for ten seconds at most: longer than that, sometimes
ZOMBIE_S = 3  # for which a primary that was replaced is there again, and does not know


@dataclass
class Fault:
    pause_s: float  # after the one before
    what: str
    seconds: float
    suffer: Callable[[float], None]

    def text(self) -> str:
        return f"+{self.pause_s:.2f} s: {self.what} for {self.seconds:.2f} s"


def hold(begin: Callable[[], None], end: Callable[[], None]) -> Callable[[float], None]:
    """Begins, lasts, and ends."""
    def suffer(seconds: float) -> None:
        begin()
        time.sleep(seconds)
        end()
    return suffer


def cut_power(machine: Server | Node) -> None:
    """Others are not told."""
    machine.place.cut()
    machine.lose_power()


def restore_power(machine: Server | Node) -> None:
    machine.place.mend()
    machine.restore_power()


def of_postgres(pair: Pair, can_fail: bool) -> dict[str, Callable[[float], None]]:
    """Who is primary is asked when it happens. Each ends with a primary, and a standby that it waits for."""
    def of(which: str, begin: Callable[[Server], None], end: Callable[[Server], None]) -> Callable[[float], None]:
        def suffer(seconds: float) -> None:
            server = getattr(pair, which)
            hold(lambda: begin(server), lambda: end(server))(seconds)
            pair.revive()
        return suffer

    def replace(begin: Callable[[Server], None], end: Callable[[Server], None]) -> Callable[[float], None]:
        """The standby takes over; the old one comes back for a while, if it can, as what it thinks that it is."""
        def suffer(seconds: float) -> None:
            old = pair.primary
            begin(old)
            time.sleep(seconds / 2)
            pair.promote()
            time.sleep(seconds / 2)
            end(old)
            pair.rebuild()
            pair.revive()
        return suffer

    def thaw(server: Server) -> None:
        server.signal_all(signal.SIGCONT)

    def freeze(server: Server) -> None:
        server.signal_all(signal.SIGSTOP)

    def for_a_while(end: Callable[[Server], None]) -> Callable[[Server], None]:
        return lambda server: (end(server), time.sleep(ZOMBIE_S))

    found = {"the primary dies": replace(Server.kill, lambda _: None),
             "the primary dies, and comes back": of("primary", Server.kill, lambda _: None),
             "the primary is stopped": of("primary", freeze, thaw),
             "the primary is stopped and replaced, and goes on": replace(freeze, for_a_while(thaw)),
             "the standby dies": of("standby", Server.kill, lambda _: None),
             "the standby is stopped": of("standby", freeze, thaw)}
    if not can_fail:
        return found
    return found | {
        "the primary is cut off": of("primary", lambda s: s.place.cut(), lambda s: s.place.mend()),
        "the primary is cut off and replaced, and comes back": replace(lambda s: s.place.cut(), for_a_while(lambda s: s.place.mend())),
        "the primary's power is cut": of("primary", cut_power, restore_power),
        "the primary's power is cut, and it is replaced": replace(cut_power, restore_power),
        "the standby's power is cut": of("standby", cut_power, restore_power),
        "the standby is cut off": of("standby", lambda s: s.place.cut(), lambda s: s.place.mend()),
        "the primary's disk is full": of("primary", lambda s: s.place.disk.fill(), lambda s: s.place.disk.make_room()),
        "the standby's disk is full": of("standby", lambda s: s.place.disk.fill(), lambda s: s.place.disk.make_room())}


def of_nodes(nodes: list[Node], can_fail: bool) -> dict[str, Callable[[float], None]]:
    found = {}
    for node in nodes:
        def lose(node: Node = node) -> None:
            node.kill()
            node.lose_file()
        found |= {f"{node.name} is killed": hold(node.kill, node.start),
                  f"{node.name} loses its file": hold(lose, node.start),
                  f"{node.name} is stopped": hold(node.freeze, node.thaw)}
        if can_fail:
            found |= {f"{node.name} is cut off": hold(node.place.cut, node.place.mend),
                      f"{node.name}'s power is cut": hold(lambda node=node: cut_power(node), lambda node=node: restore_power(node)),
                      f"{node.name}'s disk is full": hold(node.place.disk.fill, node.place.disk.make_room)}
    return found


def of_all(pair: Pair, nodes: list[Node]) -> Callable[[float], None]:
    """The power of all machines is cut at once, and comes back at once: a node may be there before PostgreSQL."""
    machines = [*pair.servers, *nodes]

    def postgres() -> None:
        for server in pair.servers:
            server.restore_power()
        pair.revive()

    def suffer(seconds: float) -> None:
        with ThreadPoolExecutor(len(machines)) as each:
            list(each.map(lambda machine: machine.lose_power(), machines))
            time.sleep(seconds)
            list(each.map(lambda start: start(), [postgres, *(node.restore_power for node in nodes)]))
    return suffer


def draw(chance: random.Random, those: dict[str, Callable[[float], None]], n: int) -> list[Fault]:
    def seconds(what: str) -> float:
        lasts = [chance.uniform(0.1, 2), chance.uniform(0.1, 2), chance.uniform(2, 6), chance.uniform(10, 11)]
        return chance.choice(lasts if any(word in what for word in HANGS) else lasts[:3])
    return [Fault(chance.uniform(0, 1.5), what := chance.choice(sorted(those)), seconds(what), those[what]) for _ in range(n)]
