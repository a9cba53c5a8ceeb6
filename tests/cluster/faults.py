"""What befalls a cluster: two lines of faults at once, one of PostgreSQL's and one of the nodes', drawn from a seed."""
from __future__ import annotations

import random
import signal
import time
from dataclasses import dataclass
from typing import Callable

from tests.cluster.node import Node
from tests.cluster.pair import Pair, Server

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
        "the standby is cut off": of("standby", lambda s: s.place.cut(), lambda s: s.place.mend()),
        "the primary's disk is full": of("primary", lambda s: s.place.fill(), lambda s: s.place.make_room()),
        "the standby's disk is full": of("standby", lambda s: s.place.fill(), lambda s: s.place.make_room())}


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
                      f"{node.name}'s disk is full": hold(node.place.fill, node.place.make_room)}
    return found


def draw(chance: random.Random, those: dict[str, Callable[[float], None]], n: int) -> list[Fault]:
    def seconds() -> float:
        return chance.choice([chance.uniform(0.1, 2), chance.uniform(0.1, 2), chance.uniform(2, 6), chance.uniform(10, 11)])
    return [Fault(chance.uniform(0, 1.5), what := chance.choice(sorted(those)), seconds(), those[what]) for _ in range(n)]
