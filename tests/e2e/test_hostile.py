"""The matrix of hostile clients: while each goes on, good clients are served, and nothing of what is left half is learned.

    make hostile-test                    each attack for 20 seconds, 10,000 idle connections, latencies printed
    HOSTILE_SECONDS=5 HOSTILE_IDLE=3000 /usr/bin/python3 -m pytest -s tests/e2e/test_hostile.py

That good clients are served is asserted; how fast is printed, since it is the machine's as much as ours. The attackers are a
process of their own, and share the processors with the daemon and the good clients.
"""
import http.client
import itertools
import multiprocessing
import os
import resource
import socket
import struct
import threading
import time

import pytest

from .daemon import SANITIZED, Answer, Client, Daemon, status_of, until
from .prometheus import metric

pytestmark = pytest.mark.core

SECONDS = float(os.environ.get("HOSTILE_SECONDS", "0.3"))
LONG = "HOSTILE_SECONDS" in os.environ
IDLE = int(os.environ.get("HOSTILE_IDLE", "300" if SANITIZED else "1000"))
ROUNDS = 1 if SANITIZED else 2  # of good clients' requests, at least: in a crowd each takes seconds
CROWD = 40
REQUEST_SECONDS = 20 if SANITIZED else 12  # what a good client's request may take, too
STALL_SECONDS = 1  # server/http/connections.c: who stands still for as long may be displaced
BODY_LIMIT = 200_001  # no whole number of images: taken, and then refused by its length
HEAD = b"POST /train?label=b HTTP/1.1\r\nHost: localhost\r\n"
PREDICT = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = PREDICT + b"Content-Length: 64\r\n\r\n" + bytes(64)


def allowed_descriptors() -> int:
    """As many as this process may have at all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def connect(port: int, receive_bytes: int = 0) -> socket.socket:
    connection = socket.socket()
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", port))
    return connection


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# ---- the attackers: each is called again and again, by several threads, with the daemon's port and what ends it ----

def trickle(port: int, over: threading.Event, first: bytes, piece: bytes) -> None:
    """A crowd that sends a little at a time, and comes again when it is cut off."""
    crowd: list[socket.socket] = []
    while not over.is_set():
        while len(crowd) < CROWD:
            crowd.append(connect(port))
            crowd[-1].sendall(first)
        for connection in list(crowd):
            try:
                connection.sendall(piece)
                connection.setblocking(False)
                if connection.recv(4096) == b"":
                    raise ConnectionError
            except BlockingIOError:
                connection.settimeout(10)
            except OSError:
                connection.close()
                crowd.remove(connection)
            else:
                connection.settimeout(10)
        over.wait(0.05)
    for connection in crowd:
        connection.close()


def slow_line(port, over):
    trickle(port, over, b"GET /", b"x")


def slow_headers(port, over):
    trickle(port, over, HEAD, b"X: y\r\n")


def slow_body(port, over):
    trickle(port, over, HEAD + b"Content-Length: 100000\r\n\r\n", b"x")


def slow_chunks(port, over):
    trickle(port, over, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")


def slow_reader(port, over):
    """Asks for large answers, and reads none of them."""
    crowd = []
    while not over.is_set():
        if len(crowd) < CROWD:
            crowd.append(connect(port, 4096))
            crowd[-1].setblocking(False)
            try:
                for _ in range(300):
                    crowd[-1].send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            except OSError:
                pass
        else:
            reset(crowd.pop(0))
            over.wait(0.02)
    for connection in crowd:
        connection.close()


def half_closed(port, over):
    """Says all or half of a request, closes its half of the connection, and waits."""
    for request in (WHOLE, WHOLE[:-10], HEAD, HEAD + b"Content-Length: 64\r\n\r\n", b"", b"GET"):
        with connect(port) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.05)
            try:
                while connection.recv(65536):
                    pass
            except OSError:
                pass


def pipelined(port, over, cut_off_s=REQUEST_SECONDS - 1):
    """Hundreds of requests before the first answer is read."""
    started = time.monotonic()
    with connect(port) as connection:
        sender = threading.Thread(target=lambda: connection.sendall(WHOLE * 500), daemon=True)
        sender.start()
        received = b""
        while received.count(b"HTTP/1.1 200") < 500:
            part = connection.recv(65536)
            if not part and time.monotonic() - started > cut_off_s:
                break  # it read its answers too slowly
            assert part, "the daemon closed a connection that only asked much"
            received += part
        sender.join()


def pipelined_among_others(port, over):
    pipelined(port, over, STALL_SECONDS)


def aborted_uploads(port, over):
    """Half a body, then a reset."""
    for n in (0, 1, 63, 30000, 150000):
        connection = connect(port)
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % max(64, n + 1) + bytes(n))
        reset(connection)


def left_uploads(port, over):
    """Half a body, whose last bytes come together with a FIN."""
    for n in (0, 1, 63, 30000, 150000):
        with connect(port) as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % max(64, n + 1) + bytes(n))


def bodies_at_the_limit(port, over, cut_off_s=REQUEST_SECONDS - 1, may_be_busy=False):
    """As large as allowed (and no image), and one byte more, told before or found out while it comes."""
    for length, chunked in ((BODY_LIMIT, False), (BODY_LIMIT + 1, False), (BODY_LIMIT, True), (BODY_LIMIT + 1, True)):
        started = time.monotonic()
        with connect(port) as connection:
            body = bytes(length)
            try:
                if chunked:
                    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
                    for i in range(0, length, 50000):
                        piece = body[i:i + 50000]
                        connection.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
                    connection.sendall(b"0\r\n\r\n")
                else:
                    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % length + body)
            except OSError:
                pass
            answer = connection.recv(65536)
            status = status_of(answer)
            if status == 0 and time.monotonic() - started > cut_off_s:
                continue  # among so many it was too slow itself: cut off
            if may_be_busy and status == 503 and b"too many large requests at once" in answer:
                continue
            assert status == (413 if length > BODY_LIMIT else 415), (length, chunked, answer)


def bodies_at_the_limit_among_others(port, over):
    """The same when uploads that were left by the thousand may hold all the memory that there is for bodies, and a flood all places."""
    bodies_at_the_limit(port, over, STALL_SECONDS, may_be_busy=True)


def chunked_nonsense(port, over):
    head = PREDICT + b"Transfer-Encoding: chunked\r\n\r\n"
    for body in (b"zz\r\n", b"-1\r\n", b"ffffffffffffffff\r\n", b"fffffffffffffffff\r\n", b"40\r\n" + bytes(64) + b"xx\r\n",
                 b"\r\n\r\n", b";;;;;\r\n", b"40" + b";x=y" * 1000 + b"\r\n", b"1\r\n\r\n\r\n", bytes(2000), b"0\r\n" * 500):
        connection = connect(port)
        try:
            connection.sendall(head + body)
            connection.settimeout(0.05)
            connection.recv(65536)
        except OSError:
            pass
        reset(connection)


def garbage(port, over):
    for _ in range(20):
        connection = connect(port)
        try:
            connection.sendall(os.urandom(3000) + b"\r\n\r\n")
            connection.settimeout(0.05)
            connection.recv(65536)
        except OSError:
            pass
        reset(connection)


def comings_and_goings(port, over):
    """Connections that are gone as soon as they are there."""
    for i in range(100):
        connection = connect(port)
        reset(connection) if i % 2 else connection.close()


ATTACKS = [slow_line, slow_headers, slow_body, slow_chunks, slow_reader, half_closed, pipelined, aborted_uploads, left_uploads,
           bodies_at_the_limit, chunked_nonsense, garbage, comings_and_goings]


def attack(attackers, port, end, failed) -> None:
    """Runs in a process of its own until `end`; what an attacker's own assertion says goes to `failed`."""
    allowed_descriptors()
    over = threading.Event()

    def run(attacker):
        while not over.is_set():
            try:
                attacker(port, over)
            except OSError:
                over.wait(0.01)  # refused or cut off: comes again
            except AssertionError as error:
                failed.put(f"{attacker.__name__}: {error}")
                return

    threads = [threading.Thread(target=run, args=(attacker,)) for attacker in attackers for _ in range(2)]
    for thread in threads:
        thread.start()
    end.wait()
    over.set()
    for thread in threads:
        thread.join(30)


class Attack:
    """with Attack(daemon, ...): they are at it in there."""

    def __init__(self, daemon: Daemon, *attackers):
        context = multiprocessing.get_context("fork")
        self.end, self.failed = context.Event(), context.Queue()
        self.process = context.Process(target=attack, args=(attackers, daemon.port, self.end, self.failed), daemon=True)

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.process.join(60)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        failed = [] if self.failed.empty() else [self.failed.get()]
        assert failed == []


# ---- the good clients ----

KEYS = itertools.count()


def ask_well(daemon: Daemon, client: Client, make, since: float) -> tuple[Client, Answer]:
    """Where the machine is so busy that the request was not done at its deadline, or that its connection stood still for a second, since
    that time or before the request, while the flood had taken all 20,000 places, it is cut off, then and not before, and asked again."""
    key = {"Idempotency-Key": f"good-{next(KEYS)}"}
    while True:
        try:
            return client, make(client, key)
        except (http.client.RemoteDisconnected, ConnectionResetError):
            took = time.monotonic() - since
            assert took >= STALL_SECONDS, f"cut off after {took:.1f} s"
            client.close()
            client, since = daemon.client(), time.monotonic()


def serve_good_clients(daemon: Daemon, seconds: float) -> tuple[list[float], int]:
    """Kept and new connections in turn; every request must be answered well. Latencies in seconds, and samples trained."""
    latencies, trained = [], 0
    end = time.monotonic() + seconds
    kept, answered = daemon.client(), time.monotonic()
    while time.monotonic() < end or len(latencies) < 6 * ROUNDS:
        for make in (lambda c, key: c.post("/predict", bytes(63) + b"\1"),
                     lambda c, key: c.train("a", bytes(63) + b"\1", headers=key), lambda c, key: c.get("/model")):
            for keep in (True, False):
                started = time.monotonic()
                client, answer = ask_well(daemon, kept if keep else daemon.client(), make, answered if keep else started)
                latencies.append(time.monotonic() - started)
                trained += answer.ok().get("accepted", 0)
                if keep:
                    kept, answered = client, time.monotonic()
                else:
                    client.close()
    kept.close()
    return latencies, trained


def tell(capsys, name: str, latencies: list[float]) -> None:
    ordered = sorted(latencies)
    line = (f"{name:22} {len(ordered):6} good requests: median {1e3 * ordered[len(ordered) // 2]:7.2f} ms, "
            f"99 % {1e3 * ordered[int(len(ordered) * 0.99)]:7.2f} ms, worst {1e3 * ordered[-1]:7.2f} ms")
    if LONG:
        with capsys.disabled():
            print("\n" + line, end="")
    else:
        print(line)


@pytest.fixture(scope="module")
def target(shared_daemons) -> Daemon:
    return shared_daemons.start(shared_daemons.init(), "--connections", "20000", "--request-seconds", str(REQUEST_SECONDS),
                                "--idle-seconds", "120", "--body-bytes", str(BODY_LIMIT))


def step(daemon: Daemon) -> int:
    return daemon.model()["step"]


def until_alone(daemon: Daemon) -> None:
    """Whoever left is gone, also those that waited to be accepted (before us), and holds nothing any more."""
    until(lambda: metric(daemon, "convd_http_connections") <= 2, "the end of connections that were left")
    until(lambda: metric(daemon, "convd_http_body_bytes") == 0, "the memory of bodies that were left")


def test_good_clients_alone_for_comparison(target, capsys):
    latencies, _ = serve_good_clients(target, SECONDS)
    tell(capsys, "nobody else", latencies)


@pytest.mark.parametrize("attacker", ATTACKS, ids=lambda attacker: attacker.__name__)
def test_good_clients_are_served_while_hostile_ones_are_at_it(target, capsys, attacker):
    before = step(target)
    with Attack(target, attacker):
        time.sleep(0.2)
        latencies, trained = serve_good_clients(target, SECONDS)
    tell(capsys, attacker.__name__.replace("_", " "), latencies)
    assert step(target) == before + trained, "something that came in half was learned, or something whole was not"
    target.check()
    until_alone(target)


def test_good_clients_are_served_while_all_of_them_are_at_it_at_once(target, capsys):
    before = step(target)
    among_others = {bodies_at_the_limit: bodies_at_the_limit_among_others, pipelined: pipelined_among_others}
    with Attack(target, *[among_others.get(attacker, attacker) for attacker in ATTACKS]):
        time.sleep(0.2)
        latencies, trained = serve_good_clients(target, 2 * SECONDS)
    tell(capsys, "all at once", latencies)
    assert step(target) == before + trained
    target.check()
    until_alone(target)
    with Attack(target, bodies_at_the_limit):
        time.sleep(0.2)


def hold(port: int, count: int, ready, end) -> None:
    """Many connections that do nothing: every second one has sent half a request line."""
    allowed_descriptors()
    crowd = []
    for i in range(count):
        crowd.append(connect(port))
        if i % 2:
            crowd[-1].sendall(b"GET /mod")
    ready.set()
    end.wait()


def test_good_clients_are_served_among_thousands_of_idle_connections(daemons, capsys):
    target = daemons.start(daemons.init(), "--connections", "20000", "--request-seconds", "300", "--idle-seconds", "300")
    serve_good_clients(target, SECONDS)  # what it has from then on is the idle ones'
    count = min(IDLE, allowed_descriptors() - 1000)
    context = multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()
    crowd = context.Process(target=hold, args=(target.port, count, ready, end), daemon=True)
    before, rss = step(target), target.rss_bytes()
    crowd.start()
    try:
        assert ready.wait(120), f"{count} connections were not to be had"
        until(lambda: metric(target, "convd_http_connections") > count, "all of them accepted")
        latencies, trained = serve_good_clients(target, SECONDS)
        each = (target.rss_bytes() - rss) / count
    finally:
        end.set()
        crowd.join(60)
        if crowd.is_alive():
            crowd.kill()
            crowd.join()
    tell(capsys, f"{count} idle, {each / 1024:.1f} KiB each", latencies)
    assert step(target) == before + trained
    if not SANITIZED:
        assert each < 64 * 1024, "memory per idle connection"
    target.check()
