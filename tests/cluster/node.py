"""A convd of the cluster: in a place of its own, reached through a UNIX socket, so that a client reaches it also when it reaches nobody."""
from __future__ import annotations

import http.client
import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.cluster.places import Place
from tests.e2e.daemon import CONVD, PATIENCE_S, Answer, Client, Daemon


def log_rows(db: Path) -> list[tuple[int, bytes]]:
    """Revision and chain of each event: the chain is over all of the event and all before it."""
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT revision, chain FROM event ORDER BY revision").fetchall()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float):
        super().__init__("localhost", timeout=timeout_s)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class NodeClient(Client):
    def __init__(self, node: Node, timeout_s: float):
        super().__init__(0, timeout_s)
        self.node, self.connection = node, UnixConnection(node.socket, timeout_s)

    def request(self, *args, **kwargs) -> Answer:
        """What a machine without power says, which is not dead at once, nobody hears."""
        switched = self.node.switched
        answer = super().request(*args, **kwargs)
        if switched % 2 or self.node.switched != switched:
            raise ConnectionError(f"node {self.node.name} had no power")
        return answer


class Node(Daemon):
    def __init__(self, place: Place, name: str, log: str, output: Path, *flags: str, env: dict[str, str] | None = None):
        super().__init__(output, place.folder / "model.db", "--log", log, "--node", name, *flags, env=env,
                         command=[*place.inside, str(CONVD)])
        self.place, self.name = place, name
        self.socket = str(place.folder / "http")
        self.flags += ["--listen", f"unix:{self.socket}"]
        self.outages = 0  # times that it was killed, stopped or started
        self.switched = 0  # times that its power was; an odd number: off
        self.well = False  # it is there, and nothing holds it up

    def start(self) -> Node:
        """Until it listens; or until it has ended since it cannot, a new one without a log to begin from for instance."""
        self.spawn()
        try:
            self.listening(f"unix:{self.socket}")
            self.well = True
        except AssertionError:
            if self.process.poll() is None:
                raise
            self.process = None
        return self

    def client(self, timeout_s: float = PATIENCE_S) -> Client:
        return NodeClient(self, timeout_s)

    # ---- what befalls it ----

    def kill(self) -> None:
        self.disturb()
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        self.process = None

    def freeze(self) -> None:
        self.disturb()
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.well = True

    def lose_power(self) -> None:
        self.switched += 1
        self.disturb()
        self.place.disk.cut_power()
        self.kill()

    def restore_power(self) -> None:
        self.place.disk.restore_power()
        self.switched += 1
        self.start()

    def disturb(self) -> None:
        self.well = False
        self.outages += 1

    def lose_file(self) -> None:
        for path in self.db.parent.glob(self.db.name + "*"):
            path.unlink()
