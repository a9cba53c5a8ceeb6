"""Where the processes of a cluster run: each in a network namespace and on a small disk of its own, so that either can fail. That takes
root; without, all are on loopback and one disk, and `can_fail` is False."""
from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.cluster.disk import Disk, run
from tests.e2e.daemon import lasting_port

NETWORK = "10.77.77"  # of the namespaces alone: nothing of it is seen outside


class Places:
    """A switch, and what is plugged into it."""

    def __init__(self, folder: Path, can_fail: bool = os.getuid() == 0):
        self.folder, self.list, self.can_fail = folder, [], can_fail
        self.switch = f"convd-{os.getpid()}"
        if self.can_fail:
            run("ip", "netns", "add", self.switch)
            run("ip", "-n", self.switch, "link", "add", "switch", "type", "bridge")
            run("ip", "-n", self.switch, "link", "set", "switch", "up")

    def add(self, name: str) -> Place:
        self.list.append(Place(self, name, len(self.list) + 1))
        return self.list[-1]

    def close(self) -> None:
        for place in self.list:
            place.close()
        if self.can_fail:
            run("ip", "netns", "del", self.switch)


class Place:
    def __init__(self, places: Places, name: str, number: int):
        self.can_fail, self.switch = places.can_fail, places.switch
        self.folder = places.folder / name
        self.folder.mkdir()
        self.namespace, self.cable = f"{self.switch}-{name}", f"to-{name}"
        self.address = f"{NETWORK}.{number}" if self.can_fail else "127.0.0.1"
        self.port = 5432 if self.can_fail else lasting_port()
        self.inside = ["nsenter", f"--net=/run/netns/{self.namespace}"] if self.can_fail else []
        if self.can_fail:
            self.disk = Disk(self.folder)
            run("ip", "netns", "add", self.namespace)
            run("ip", "-n", self.switch, "link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
            run("ip", "-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", "eth0")
            for namespace, device in ((self.namespace, "lo"), (self.namespace, "eth0"), (self.switch, self.cable)):
                run("ip", "-n", namespace, "link", "set", device, "up")
            self.mend()

    def sync(self) -> None:
        """What was written without, to be quick: from here on a power cut finds a machine that was installed well."""
        if self.can_fail:
            self.disk.sync()

    # ---- the network ----

    def cut(self) -> None:
        """Nothing comes through any more, and nobody is told."""
        run("ip", "-n", self.switch, "link", "set", self.cable, "nomaster")

    def mend(self) -> None:
        run("ip", "-n", self.switch, "link", "set", self.cable, "master", "switch")

    def close(self) -> None:
        if self.can_fail:
            self.disk.close()
            run("ip", "netns", "del", self.namespace)
        shutil.rmtree(self.folder)
