"""UNIX sockets: the file's permissions say who may connect, and a stale one is no obstacle."""
import json
import os
import re
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from .daemon import PATIENCE_S, Daemon, convd, convd_json, parse, read_to_end

pytestmark = pytest.mark.core


class LocalDaemon(Daemon):
    """A daemon on a UNIX socket."""
    path: Path

    def start(self) -> Daemon:
        self.spawn()
        self.listening(re.escape(f"unix:{self.path}"))
        return self

    def connect(self, timeout_s: float = PATIENCE_S) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout_s)
        connection.connect(str(self.path))
        return connection

    def client(self, timeout_s: float = PATIENCE_S):
        client = super().client(timeout_s)
        client.connection.host = "localhost"
        client.connection.sock = self.connect(timeout_s)
        return client


def make(daemons, db: Path, *flags: str) -> LocalDaemon:
    daemon = LocalDaemon(daemons.directory, db, *flags)
    daemon.path = daemons.directory / "convd.sock"
    daemon.flags += ["--listen", f"unix:{daemon.path}"]
    daemons.all.append(daemon)
    return daemon


@pytest.fixture
def local(daemons) -> LocalDaemon:
    return make(daemons, daemons.copy()).start()


def test_curl_is_served(local, digits):
    image = local.directory / "raw"
    image.write_bytes(digits.one(7).tobytes())
    done = subprocess.run(["curl", "-sS", "--max-time", "60", "--unix-socket", str(local.path), "--data-binary",
                           f"@{image}", "http://localhost/predict"], capture_output=True, check=True)
    assert json.loads(done.stdout)["label"] == "7"


def test_training_and_many_requests_on_a_connection_work(local):
    with local.client() as client:
        for _ in range(20):
            client.train("7", bytes(783) + b"\1").ok()
            client.get("/model").ok()


def test_a_proxy_may_put_its_own_name_into_host_but_a_foreign_page_is_still_refused(local):
    with local.connect() as connection:
        connection.sendall(b"GET /model HTTP/1.1\r\nHost: digits.example\r\nConnection: close\r\n\r\n")
        assert parse(read_to_end(connection)).status == 200
    local.request("POST", "/predict", bytes(784), {"Origin": "http://evil.example"}).problem(403, "forbidden")


def test_host_is_checked_on_the_tcp_socket_beside_it(daemons):
    daemon = make(daemons, daemons.init())
    daemon.flags[-1] += ",127.0.0.1:0"
    daemon.start()
    port = int(daemon.listening(r"http://127\.0\.0\.1:(\d+)")[1])
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(b"GET /model HTTP/1.1\r\nHost: digits.example\r\nConnection: close\r\n\r\n")
        parse(read_to_end(connection)).problem(403, "forbidden")
    assert daemon.model()["revision"] == 1


@pytest.mark.parametrize("flags, mode", [([], 0o660), (["--socket-mode", "0600"], 0o600),
                                         (["--socket-mode", "666"], 0o666)])
def test_the_socket_has_the_mode_that_was_asked_for(daemons, flags, mode):
    daemon = make(daemons, daemons.init(), *flags).start()
    assert stat.S_IMODE(daemon.path.stat().st_mode) == mode


def test_a_mode_that_is_none_is_told(daemons):
    code, text = make(daemons, daemons.init(), "--socket-mode", "rw").fails_to_start()
    assert code == 2 and "0660" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
def test_who_may_not_write_to_the_file_cannot_connect(daemons):
    daemon = make(daemons, daemons.init()).start()
    for directory in (daemons.directory, *list(daemons.directory.parents)[:-2]):
        os.chmod(directory, os.stat(directory).st_mode | 0o011)
    script = ("import os, socket, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
              "socket.socket(socket.AF_UNIX).connect(sys.argv[1])")
    done = subprocess.run(["/usr/bin/python3", "-c", script, str(daemon.path)], capture_output=True, text=True)
    assert "PermissionError" in done.stderr
    os.chmod(daemon.path, 0o666)
    subprocess.run(["/usr/bin/python3", "-c", script, str(daemon.path)], check=True)


def test_the_file_goes_with_the_daemon(local):
    assert local.path.exists()
    local.stop()
    assert not local.path.exists()


def test_a_socket_that_a_killed_daemon_left_is_replaced(local):
    local.kill()
    assert local.path.exists()
    assert local.start().model()["revision"] >= 1


def test_a_socket_that_is_in_use_is_told_and_left_alone(daemons, local):
    second = make(daemons, daemons.init())
    code, text = second.fails_to_start()
    assert code == 4 and "another program" in text
    assert local.model()["revision"] >= 1


def test_a_file_that_is_no_socket_is_told_and_left_alone(daemons):
    daemon = make(daemons, daemons.init())
    daemon.path.write_text("precious")
    code, text = daemon.fails_to_start()
    assert code == 4 and "not a socket" in text
    assert daemon.path.read_text() == "precious"


def test_several_sockets_are_served_at_once(daemons):
    daemon = make(daemons, daemons.init())
    paths = [daemons.directory / name for name in ("a", "b", "c")]
    daemon.flags[-1] += "".join(f",unix:{path}" for path in paths)
    daemon.start()
    for path in (daemon.path, *paths):
        daemon.path = path
        assert daemon.model()["revision"] == 1
    daemon.stop()
    assert not any(path.exists() for path in paths)


def test_the_command_line_is_a_client_over_the_socket(local, digits):
    url = f"unix:{local.path}"
    before = local.model()["step"]
    convd("train", "--url", url, *digits.test_files, "--limit", "25", "--quiet")
    assert local.model()["step"] == before + 25
    assert convd_json("evaluate", "--url", url, *digits.test_files)["samples"] == 1000
    done = convd("snapshots", "--url", f"unix:{local.directory}/absent", check=False)
    assert done.returncode == 4
    done = convd("snapshots", "--url", "unix:", check=False)
    assert done.returncode == 2
