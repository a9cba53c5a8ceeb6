"""More connections than there are places or descriptors: who does nothing, says half or does not listen gives way to who comes, at once."""
import os
import re
import resource
import socket
import time

import pytest

from .daemon import CONVD, FOREVER, Daemon, parse, read_to_end, status_of, until
from .prometheus import metric
from .test_auth import WRITE, bearer, token_flags
from .test_events import Reader

pytestmark = pytest.mark.core

IMAGE = bytes(63) + b"\1"
PREDICT = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
CROWDS = {"silent": b"", "half a line": b"GET /mod", "half a header": PREDICT + b"X-Half: o", "half a body": PREDICT + b"Content-Length: 64\r\n\r\n" + bytes(32),
          "half a chunk": PREDICT + b"Transfer-Encoding: chunked\r\n\r\n40\r\nhalf",
          "one answer, then nothing": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"}


def begin(port: int, count: int) -> list[socket.socket]:
    """Connections in one burst: nobody waits for the daemon to accept."""
    crowd = []
    for _ in range(count):
        crowd.append(socket.socket())
        crowd[-1].setblocking(False)
        crowd[-1].connect_ex(("127.0.0.1", port))
    return crowd


def say(crowd: list[socket.socket], words: bytes) -> None:
    for connection in crowd:
        connection.settimeout(10)
        try:
            connection.sendall(words)
        except OSError:
            pass  # displaced already


def begin_upload(daemon: Daemon, header: str = "") -> socket.socket | None:
    """The header of a request is there; its body of 64 bytes is to come. None: there is no place."""
    connection = daemon.connect()
    connection.sendall(PREDICT + header.encode() + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: 64\r\n\r\n")
    status = status_of(connection.recv(65536))
    assert status in (100, 503)
    return connection if status == 100 else connection.close()


def leave(crowd: list) -> None:
    for connection in crowd:
        connection.close()


@pytest.mark.parametrize("name", CROWDS)
def test_new_clients_are_served_at_once_whatever_a_crowd_does_not_do(daemons, name):
    daemon = daemons.start(daemons.init(), "--connections", "32")
    crowd = begin(daemon.port, 300)
    try:
        say(crowd, CROWDS[name])
        for i in range(50):
            with daemon.client() as client:
                assert client.train("a", IMAGE).ok()["step"] == i + 1
        assert metric(daemon, "convd_http_connections_refused_total") == 0
        assert metric(daemon, "convd_http_connections_displaced_total") >= 300 - 32 - 64
        assert metric(daemon, "convd_http_connections") <= 32 + 64
    finally:
        leave(crowd)


@pytest.mark.parametrize("name", ["silent", "half a header", "half a body"])
def test_a_flood_does_not_close_the_connection_of_who_was_answered_before(daemons, name):
    daemon = daemons.start(daemons.init(), "--connections", "32")
    with daemon.client() as kept:
        assert kept.get("/healthz").status == 200
        for _ in range(3):
            crowd = begin(daemon.port, 200)
            say(crowd, CROWDS[name])
            assert kept.train("a", IMAGE).status == 200, "on the same connection"
            leave(crowd)


def test_clients_that_do_not_take_their_answers_give_way(daemons):
    daemon = daemons.start(daemons.init(), "--connections", "16")
    crowd = []
    for _ in range(16):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", daemon.port))
        connection.setblocking(False)
        try:
            while True:
                connection.send(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
        except OSError:
            crowd.append(connection)  # the daemon has stopped reading

    # For a second they may be clients who are just about to read.
    until(lambda: all(daemon.serves() for _ in range(30)), "the end of those that do not take their answers")
    leave(crowd)


def test_whoever_has_got_nowhere_for_longest_leaves_first(daemons):
    daemon = daemons.start(daemons.init(), "--connections", "4")
    crowd = []
    for _ in range(4):
        crowd.append(begin_upload(daemon))
        time.sleep(0.02)  # more than the daemon's clock is coarse
    with daemon.client() as client:
        assert client.get("/healthz").status == 200
        assert read_to_end(crowd[0]) == b""
        for connection in crowd[1:]:
            connection.sendall(bytes(64))
            assert parse(read_to_end(connection)).status == 200
    leave(crowd)


def test_an_idle_connection_leaves_before_a_body_that_gets_on(daemons):
    daemon = daemons.start(daemons.init(), "--connections", "4")
    idle = [daemon.client() for _ in range(3)]
    for client in idle:
        assert client.get("/healthz").status == 200
        time.sleep(0.02)
    with begin_upload(daemon) as upload:
        for client in list(idle):
            upload.sendall(b"x")
            idle.append(daemon.client())
            assert idle[-1].get("/healthz").status == 200
            assert read_to_end(client.connection.sock) == b""
        upload.sendall(bytes(61))
        assert parse(read_to_end(upload)).status == 200
    leave(idle)


def test_a_valid_token_keeps_its_place_within_a_request(daemons):
    daemon = daemons.start(daemons.init(), "--connections", "8", *token_flags(daemons.directory), *FOREVER)
    token = f"Authorization: Bearer {WRITE}\r\n"
    trusted = [begin_upload(daemon, token) for _ in range(7)]
    crowd = []
    for _ in range(30):
        crowd.append(daemon.connect())
        crowd[-1].sendall(CROWDS["half a header"])
        until(lambda: daemon.post("/predict", bytes(64), headers=bearer(WRITE)).status == 200, "the eighth place")
    trusted.append(until(lambda: begin_upload(daemon, token), "the eighth place"))
    until(lambda: is_refused(daemon), "eight that stay")  # one of the crowd may have been arriving still, which lets a ninth in
    for connection in trusted:
        connection.sendall(bytes(64))
        assert parse(read_to_end(connection)).status == 200
    leave(crowd + trusted)


def is_refused(daemon: Daemon) -> bool:
    with daemon.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = parse(read_to_end(connection))
    if answer.status == 503:
        answer.problem(503, "busy")
        assert int(answer.header("Retry-After")) >= 1
    return answer.status == 503


def test_a_token_that_is_not_valid_keeps_nothing(daemons):
    daemon = daemons.start(daemons.init(), "--connections", "8", *token_flags(daemons.directory))
    crowd = [daemon.connect() for _ in range(8)]
    say(crowd, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer guessed-0123456789\r\n\r\n")
    for _ in range(20):
        with daemon.client() as client:
            assert client.post("/predict", bytes(64), headers=bearer(WRITE)).status == 200
    leave(crowd)


def test_answers_that_go_on_are_not_displaced(daemons):
    daemon = daemons.start(daemons.init(), "--connections", "8", "--event-readers", "8")
    readers = [Reader(daemon) for _ in range(6)]
    crowd = begin(daemon.port, 100)
    for i in range(20):
        assert daemon.train("a", IMAGE).ok()["step"] == i + 1
    for reader in readers:
        assert reader.next("train")["event"] == "train"
    readers += [Reader(daemon) for _ in range(2)]
    until(lambda: is_refused(daemon), "a new client is told to come again")
    leave(readers + crowd)


# ---- descriptors ----

def with_descriptors(daemons, count: int, *flags: str) -> Daemon:
    return daemons.make(daemons.init(), *flags, command=["prlimit", f"--nofile={count}:{count}", str(CONVD)])


@pytest.mark.parametrize("count", [40, 64, 200])
def test_few_descriptors_mean_fewer_connections_and_new_clients_are_served(daemons, count):
    daemon = with_descriptors(daemons, count).start()
    said = re.search(r"the limit of connections is (\d+), not 256", daemon.stderr)
    assert said is not None, daemon.stderr
    most = int(said[1])
    assert 0 < most < count and metric(daemon, "convd_http_connections_max") == most
    crowd = begin(daemon.port, 300)
    try:
        for i in range(40):
            with daemon.client() as client:
                assert client.train("a", IMAGE).ok()["step"] == i + 1
        assert daemon.get("/backup").status == 200, "there are some left for files"
        assert metric(daemon, "convd_http_connections_refused_total") == 0
        assert metric(daemon, "convd_http_connections") <= count
    finally:
        leave(crowd)


def test_enough_descriptors_mean_as_many_connections_as_were_asked_for(daemons):
    daemon = daemons.start(daemons.init(), "--connections", "100")
    assert "the limit of connections is 100;" in daemon.stderr
    assert metric(daemon, "convd_http_connections_max") == 100


def test_too_few_descriptors_are_told_at_the_start(daemons):
    code, text = with_descriptors(daemons, 24).fails_to_start()
    assert code == 2 and "ulimit -n" in text and "too low for a single connection" in text


def test_idle_connections_give_way_when_the_process_runs_out_of_descriptors(daemons):
    """Others than connections may take them: the limit is lowered to what is in use."""
    daemon = daemons.start(daemons.init())
    crowd = begin(daemon.port, 20)
    until(lambda: metric(daemon, "convd_http_connections") > 20, "all of them are in")
    used = {int(fd) for fd in os.listdir(f"/proc/{daemon.process.pid}/fd")}
    _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (min(set(range(1000)) - used), hard))
    for _ in range(15):
        crowd.append(daemon.client())
        assert crowd[-1].get("/healthz").status == 200
    assert metric(daemon, "convd_http_connections_displaced_total") >= 10
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    leave(crowd)
