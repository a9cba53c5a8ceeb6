"""A primary of PostgreSQL and its synchronous standby, and what an operator does with them. Nobody else: a failover is made by the test."""
from __future__ import annotations

import shutil
import signal
import subprocess

from tests.cluster.places import NETWORK, Place
from tests.e2e.daemon import until
from tests.e2e.postgres import PLACES, Postgres

# Small segments, so that a full disk is felt soon. A sender that hears nothing for two seconds is lost, as seconds are all that a test has.
SMALL = {
    "min_wal_size": "4MB", "max_wal_size": "16MB", "shared_buffers": "16MB", "wal_keep_size": "16MB", "hot_standby": "on",
    "wal_sender_timeout": "2s", "wal_receiver_timeout": "2s", "wal_retrieve_retry_interval": "200ms",
    "client_connection_check_interval": "1s", "tcp_user_timeout": "5s",
}


ASKED_S = 0.05  # each question is a process of its own


class Server(Postgres):
    """One of the two. Asked through a UNIX socket, which no fault of the network cuts."""

    def __init__(self, place: Place, synchronous: bool, settings: dict[str, str]):
        self.bin, self.place, self.directory, self.process = PLACES[-1], place, place.folder, None
        self.own()
        self.host, self.port = str(place.folder), place.port
        self.settings = settings | {"listen_addresses": place.address, "unix_socket_directories": place.folder,
                                    "synchronous_standby_names": "*" if synchronous else ""}
        self.as_nobody = [*place.inside, *self.as_nobody]

    def begin(self) -> None:
        self.create(*(["--wal-segsize=1"] if "min_wal_size" in self.settings else []))
        with (self.directory / "data" / "pg_hba.conf").open("a") as file:
            for database in ("all", "replication"):
                file.write(f"host {database} all {NETWORK}.0/24 trust\n")
        self.place.sync()
        self.start()

    def copy(self, other: Postgres) -> None:
        """Becomes that one's standby, whatever it was."""
        source = f"host={other.place.address} port={other.port} user=convd"

        def copied() -> bool:
            shutil.rmtree(self.directory / "data", ignore_errors=True)
            try:
                self.run("pg_basebackup", "-D", self.directory / "data", "-d", source, "-X", "stream", "-c", "fast", "--no-sync", "-R")
            except AssertionError:  # on a busy machine it may be silent for longer than the sender waits
                return False
            return True
        until(copied, "a copy of the primary", ASKED_S)
        self.place.sync()
        self.start()

    def answers(self) -> bool:
        return self.process is not None and self.process.poll() is None and subprocess.run(
            [self.bin / "pg_isready", "-q", "-t", "1", "-h", self.host, "-p", str(self.port)]).returncode == 0

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal_all(signal.SIGKILL)
            self.process.wait(60)
        self.process = None

    def lose_power(self) -> None:
        self.place.disk.cut_power()
        self.kill()

    def restore_power(self) -> None:
        """It is not started yet."""
        self.place.disk.restore_power()


class Pair:
    def __init__(self, one: Place, two: Place, synchronous: bool = True, settings: dict[str, str] = SMALL):
        self.primary, self.standby = Server(one, synchronous, settings), Server(two, synchronous, settings)
        self.synchronous = synchronous
        self.servers = [self.primary, self.standby]
        self.failovers = 0
        self.primary.begin()
        self.standby.copy(self.primary)
        self.revive()

    def url(self, name: str) -> str:
        """As the nodes are given it: either may be the one that writes."""
        return "postgresql://convd@" + ",".join(f"{s.place.address}:{s.port}" for s in self.servers) + f"/{name}"

    def sql(self, text: str, name: str) -> str:
        return self.primary.sql(text, name)

    def create(self, name: str) -> None:
        """A database, until the standby has it, too: libpq tries no other host where the first says that there is none."""
        self.sql(f"CREATE DATABASE {name}", "postgres")
        until(lambda: self.standby.sql(f"SELECT count(*) FROM pg_database WHERE datname = '{name}'", "postgres") == "1", name, ASKED_S)

    def promote(self) -> None:
        """The standby becomes the primary. The old one is let be: dead, stopped or cut off."""
        until(self.standby.answers, "the standby answers", ASKED_S)
        self.standby.run("pg_ctl", "promote", "-w", "-D", self.standby.directory / "data")
        self.primary, self.standby = self.standby, self.primary
        self.failovers += 1

    def rebuild(self) -> None:
        """What was the primary is ended, and copies from the one that is."""
        self.standby.kill()
        self.standby.copy(self.primary)

    def revive(self) -> None:
        """Both run, as what they are; until the standby is all that the primary waits for. One that ended by itself (of a full disk, say) is started again."""
        state = "sync" if self.synchronous else "async"

        def follows() -> bool:
            for server in self.servers:
                if server.process is None or server.process.poll() is not None:
                    server.start()
            return self.primary.answers() and \
                self.primary.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = "
                                 f"'{state}'", "postgres") == "1"
        until(follows, "the standby follows", ASKED_S)

    def close(self) -> None:
        for server in self.servers:
            server.kill()
