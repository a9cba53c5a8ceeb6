"""Clients that stall, trickle, crowd or ask for too much at once: others are served meanwhile."""
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from .daemon import FOREVER, PATIENCE_S, SANITIZED, Daemon, parse, read_to_end, status_of, until
from .prometheus import metric
from .test_events import Reader

pytestmark = pytest.mark.core

TRAIN = b"POST /train?label=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 64\r\n\r\n"


@pytest.fixture(scope="module")
def short(shared_daemons) -> Daemon:
    """A daemon of little patience: idle for 2 s, 3 s for a request."""
    return shared_daemons.start(shared_daemons.init(), "--idle-seconds", "2", "--request-seconds", "3")


def test_an_idle_connection_is_closed(short: Daemon):
    started = time.monotonic()
    with short.connect() as connection:
        assert read_to_end(connection) == b""
    assert time.monotonic() - started > 1


def test_a_kept_connection_is_closed_when_idle_and_not_before(daemons):
    daemon = daemons.start(daemons.init(), "--idle-seconds", "3")
    with daemon.connect() as connection:
        for _ in range(5):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert status_of(connection.recv(65536)) == 200
            time.sleep(0.8)
        assert read_to_end(connection) == b""


@pytest.mark.parametrize("sent", [32, 5_000, 40_000, 900_000])
def test_a_client_that_leaves_in_the_middle_of_its_upload_is_released(daemons, sent):
    """Its last bytes and its FIN come together. Nobody waits for the rest of the request, a stop neither."""
    daemon = daemons.start(daemons.init(), "--connections", "200", *FOREVER)
    head = b"POST /train?label=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    before = daemon.descriptors()
    for _ in range(30):
        with daemon.connect() as leaving:
            leaving.sendall(head + bytes(sent))
    until(lambda: daemon.descriptors() <= before, "the end of what was left")
    assert daemon.model()["step"] == 0


@pytest.mark.parametrize("request_, status", [(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
                                              (TRAIN + bytes(63) + b"\1", 200), (TRAIN + bytes(63), None),
                                              (b"GET /healthz HTTP/1.1\r\nHost: local", None), (b"GET", None), (b"", None)])
def test_a_client_that_says_no_more_gets_its_answer_and_then_the_end(daemons, request_, status):
    """As `nc -N` does. What is not whole has no answer."""
    daemon = daemons.start(daemons.init(), *FOREVER)
    with daemon.connect() as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        received = read_to_end(connection)
    assert (status_of(received) if received else None) == status


def test_a_client_that_comes_and_says_something_later_and_leaves_at_once_is_released(daemons):
    """Less than a line and the FIN in one segment, on a connection that has been idle: the place is free long before its time is over."""
    daemon = daemons.start(daemons.init(), *FOREVER)
    with daemon.connect() as connection:
        time.sleep(1.5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        connection.sendall(b"GET /mod")
        connection.shutdown(socket.SHUT_WR)
        read_to_end(connection)


def test_a_client_that_stalls_in_its_body_is_cut_off_while_others_are_served(short: Daemon):
    with short.connect() as stalled:
        stalled.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 64\r\n\r\nhalf of it")
        started = time.monotonic()
        while time.monotonic() - started < 0.5:
            short.predict(bytes(64))
        read_to_end(stalled)


def trickle(short: Daemon, head: bytes, piece: bytes) -> float:
    """Sends a piece every 0.1 s until the daemon has had enough; returns after how many seconds that was."""
    started = time.monotonic()
    with short.connect() as connection:
        connection.sendall(head)
        while time.monotonic() - started < PATIENCE_S:
            try:
                connection.sendall(piece)
                if select.select([connection], [], [], 0.1)[0] and not connection.recv(65536):
                    return time.monotonic() - started
            except OSError:
                return time.monotonic() - started
    raise AssertionError("it could trickle for as long as it liked")


def test_a_client_that_trickles_headers_is_cut_off(short: Daemon):
    seconds = trickle(short, b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n")
    assert seconds > 1


def test_a_client_that_trickles_its_body_is_cut_off(short: Daemon):
    trickle(short, b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", b"x")


def test_a_client_that_trickles_chunks_is_cut_off(short: Daemon):
    trickle(short, b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")


def test_a_client_that_trickles_its_first_line_is_cut_off(short: Daemon):
    trickle(short, b"GET /", b"x")


def test_a_client_that_never_reads_its_answer_is_cut_off(short: Daemon):
    before = metric(short, "convd_http_connections")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", short.port))
    connection.setblocking(False)
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    try:
        for _ in range(5000):
            connection.send(request)
    except OSError:
        pass  # the daemon has stopped reading
    until(lambda: metric(short, "convd_http_connections") <= max(before, 1), "the end of its connection")
    connection.close()


def test_fifty_stalled_clients_do_not_keep_others_from_being_served(short: Daemon):
    stalled = [short.connect() for _ in range(50)]
    try:
        for connection in stalled:
            connection.sendall(TRAIN + b"half")
        for _ in range(50):
            short.predict(bytes(64))
            short.train("a", bytes(63) + b"\1").ok()
    finally:
        for connection in stalled:
            connection.close()


def test_a_client_that_leaves_in_the_middle_harms_nobody(short: Daemon):
    before = short.model()
    for i in range(60):
        with short.connect() as connection:
            connection.sendall(TRAIN + bytes(i))
    assert short.model() == before


def test_a_client_that_leaves_before_its_answer_leaves_a_whole_sample_or_none(daemons):
    daemon = daemons.start(daemons.init())
    for _ in range(60):
        with daemon.connect() as connection:
            connection.sendall(TRAIN + bytes(63) + b"\1")
    until(lambda: daemon.model()["step"] == 60, "all sixty, which had arrived whole")


def test_connections_over_the_limit_are_told_to_come_later_and_then_served(daemons):
    """Where all places are taken by answers that go on; who does nothing would have to leave (test_crowds.py)."""
    daemon = daemons.start(daemons.init(), "--connections", "8")
    crowd = [Reader(daemon) for _ in range(8)]
    with daemon.connect() as one_more:
        one_more.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = parse(read_to_end(one_more))
    answer.problem(503, "busy")
    assert int(answer.header("Retry-After")) >= 1
    for reader in crowd:
        reader.close()
    until(lambda: daemon.get("/healthz").status == 200, "the end of those who left")


def test_a_reader_of_events_who_leaves_frees_its_place_though_nothing_happens(daemons):
    daemon = daemons.start(daemons.init(), "--connections", "8")
    for _ in range(3):
        crowd = [Reader(daemon) for _ in range(8)]
        for reader in crowd:
            reader.close()
        started = time.monotonic()
        until(lambda: daemon.get("/healthz").status == 200 and metric(daemon, "convd_http_connections") <= 2, "the end of all who left")
        assert time.monotonic() - started < 14, "not when the next comment is due"


def test_a_connection_over_the_limit_is_released_though_its_client_stays(daemons):
    daemon = daemons.start(daemons.init(), "--connections", "8")
    crowd = [Reader(daemon) for _ in range(8)]
    before = daemon.descriptors()
    refused = [daemon.connect() for _ in range(20)]
    for connection in refused:
        assert status_of(read_to_end(connection)) == 503
    until(lambda: daemon.descriptors() <= before, "the end of the refused")
    for connection in crowd + refused:
        connection.close()


def test_what_is_left_in_the_middle_gives_its_room_back(daemons):
    """All large bodies together have 64 MiB."""
    daemon = daemons.start(daemons.init(), "--body-bytes", "2M", *FOREVER)
    half = b"POST /train?label=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n" + bytes(1_000_000)
    for _ in range(150):
        with daemon.connect() as leaving:
            leaving.sendall(half)
    until(lambda: daemon.post("/predict", bytes(64 * 4000)).status == 200, "room")
    assert daemon.model()["step"] == 0


# ---- the queue ----

@pytest.mark.parametrize("flags", [("--queue-samples", "100"), ("--queue-bytes", "200K")], ids=["samples", "bytes"])
def test_a_full_queue_is_503_with_retry_after_and_what_was_accepted_is_learned(daemons, digits, flags):
    daemon = daemons.start(daemons.copy(), *flags)
    before = daemon.model()["step"]
    n = 200 if SANITIZED else 2000
    import numpy as np
    body = np.resize(digits.test_images, (n, 28, 28)).tobytes()
    accepted, refused = 0, 0
    with ThreadPoolExecutor(6) as pool:
        while refused == 0 or accepted == 0:
            for answer in pool.map(lambda _: daemon.train("7", body), range(18)):
                if answer.status == 503:
                    answer.problem(503, "busy")
                    assert int(answer.header("Retry-After")) >= 1
                    refused += 1
                else:
                    assert answer.ok()["accepted"] == n
                    accepted += 1
            assert accepted < 1000, "the queue is never full"
    assert daemon.model()["step"] == before + n * accepted
    daemon.train("7", digits.test_images[:3].tobytes()).ok()


def test_predictions_are_served_while_the_queue_is_full(daemons, digits):
    import numpy as np
    daemon = daemons.start(daemons.copy(), "--queue-samples", "100")
    body = np.resize(digits.test_images, (200 if SANITIZED else 3000, 28, 28)).tobytes()
    with ThreadPoolExecutor(4) as pool:
        training = [pool.submit(daemon.train, "7", body) for _ in range(8)]
        while not all(job.done() for job in training):
            daemon.predict(digits.test_images[0].tobytes())
    assert any(job.result().status == 200 for job in training)
