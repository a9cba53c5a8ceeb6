"""A PostgreSQL server of a test's own, on loopback, from Debian's package: stopped, killed and started again as a test wants."""
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from urllib.parse import quote

from .daemon import lasting_port, until

PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: int(place.parent.name))
UNPRIVILEGED = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]  # it refuses to run as root


class Postgres:
    def __init__(self):
        if not PLACES:
            raise unittest.SkipTest("no PostgreSQL server is installed (apt-get install postgresql)")
        self.bin = PLACES[-1]
        self.directory = Path(tempfile.mkdtemp(prefix="convd-postgres-"))  # pytest's own folders are root's alone
        self.own()
        self.process: subprocess.Popen | None = None
        self.host, self.port = "127.0.0.1", lasting_port()
        self.settings = {"listen_addresses": self.host, "unix_socket_directories": ""}
        self.create()
        self.start()

    def own(self) -> None:
        self.as_nobody = UNPRIVILEGED if os.getuid() == 0 else []
        if self.as_nobody:
            shutil.chown(self.directory, "nobody", "nogroup")

    def create(self, *flags: str) -> None:
        self.run("initdb", "-D", self.directory / "data", "-U", "convd", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", *flags)

    def run(self, program: str, *args: str | Path) -> str:
        done = subprocess.run([*self.as_nobody, str(self.bin / program), *map(str, args)], capture_output=True, text=True, cwd="/")
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.as_nobody, str(self.bin / "postgres"), "-D", str(self.directory / "data"), "-p", str(self.port),
                 *(word for name, value in self.settings.items() for word in ("-c", f"{name}={value}"))],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        until(self.ready, "PostgreSQL answers", 0.02)

    def ready(self) -> bool:
        assert self.process.poll() is None, (self.directory / "log").read_text()
        return subprocess.run([self.bin / "pg_isready", "-q", "-h", self.host, "-p", str(self.port)]).returncode == 0

    def end(self, number: int = signal.SIGINT) -> None:
        """SIGINT: a fast stop; SIGQUIT: as if the power had gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait(60)
        self.process = None

    def standby(self) -> "Postgres":
        """A new server that follows this one."""
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__ | {"directory": Path(tempfile.mkdtemp(prefix="convd-postgres-")), "process": None, "port": lasting_port()}
        other.own()
        other.run("pg_basebackup", "-D", other.directory / "data", "-d", self.url("postgres"), "-X", "stream", "-c", "fast", "--no-sync", "-R")
        other.start()
        return other

    def close(self) -> None:
        self.end()
        shutil.rmtree(self.directory)

    def database(self, name: str) -> str:
        """A new one; its URL."""
        self.sql(f"CREATE DATABASE {name}", "postgres")
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://convd@{quote(self.host, safe='')}:{self.port}/{name}"

    def sql(self, text: str, name: str) -> str:
        done = subprocess.run([self.bin / "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.url(name), "-c", text],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def signal_all(self, number: int) -> None:
        """To all of its processes, the one that starts others first."""
        os.kill(self.process.pid, signal.SIGSTOP)
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout
        for pid in [self.process.pid, *map(int, children.split())]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:  # a child that ended meanwhile
                pass

    def freeze(self, seconds: float) -> None:
        self.signal_all(signal.SIGSTOP)
        time.sleep(seconds)
        self.signal_all(signal.SIGCONT)
