"""Memory does not grow with the number of requests."""
import re
import socket

import pytest

from .daemon import PATIENCE_S, SANITIZED, Daemon, status_of, until
from .pictures import BODY_KINDS, FORM, form, png
from .prometheus import metric

pytestmark = [pytest.mark.slow, pytest.mark.skipif(SANITIZED, reason="a sanitizer's own memory hides the program's")]

MIB = 1 << 20


def ask(daemon: Daemon, requests: bytes, n_requests: int, times: int) -> None:
    """Sends the same requests over one connection, and reads as many answers, times over."""
    with daemon.connect() as connection:
        for _ in range(times):
            connection.sendall(requests)
            received, seen = b"", 0
            while seen < n_requests:
                received += connection.recv(1 << 20)
                seen = received.count(b"HTTP/1.1 ")
            # the last answer may still be coming: read it whole before the next turn
            head, _, body = received.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            while len(body) < length:
                body += connection.recv(1 << 20)


def post(path: str, body: bytes, content_type: str | None = "application/octet-stream") -> bytes:
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_twenty_thousand_predictions_leave_memory_as_it_was(daemon: Daemon, seven):
    request = post("/predict", seven.tobytes())
    ask(daemon, request * 10, 10, 200)
    before = daemon.rss_bytes()
    ask(daemon, request * 10, 10, 2000)
    assert daemon.rss_bytes() - before < 2 * MIB


def test_predictions_of_every_kind_of_body_leave_memory_as_it_was(daemon: Daemon, seven):
    requests = [post("/predict", body(seven), content_type) for content_type, body in BODY_KINDS.values()]
    requests.append(post("/predict?top=3", seven.tobytes() * 20))
    requests.append(post("/predict", form(("a", "a.png", png(seven)), ("b", "b.png", png(seven))), FORM))
    ask(daemon, b"".join(requests), len(requests), 50)
    before = daemon.rss_bytes()
    ask(daemon, b"".join(requests), len(requests), 400)
    assert daemon.rss_bytes() - before < 2 * MIB


def test_every_route_that_reads_leaves_memory_as_it_was(daemon: Daemon):
    paths = ["/model", "/model.safetensors", "/model/kernels.png", "/classes", "/stats", "/snapshots", "/metrics", "/"]
    requests = b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in paths)
    ask(daemon, requests, len(paths), 30)
    before = daemon.rss_bytes()
    ask(daemon, requests, len(paths), 300)
    assert daemon.rss_bytes() - before < 2 * MIB


def test_two_thousand_single_trainings_leave_memory_as_it_was(daemon: Daemon, seven):
    request = post("/train?label=7", seven.tobytes())
    ask(daemon, request, 1, 500)
    before = daemon.rss_bytes()
    ask(daemon, request, 1, 2000)
    assert daemon.rss_bytes() - before < 4 * MIB


def test_thousands_of_refused_requests_leave_memory_as_it_was(daemon: Daemon):
    requests = post("/predict", b"x") + post("/train", bytes(783) + b"\1") + post("/nothing", b"") + post("/predict", b"{") + \
        post("/predict", b"\x89PNG\r\n\x1a\n" + bytes(100))
    ask(daemon, requests, 5, 100)
    before = daemon.rss_bytes()
    ask(daemon, requests, 5, 1000)
    assert daemon.rss_bytes() - before < 2 * MIB


def come_and_go(daemon: Daemon, body: bytes, times: int) -> None:
    """Every other one leaves in the middle of its upload."""
    for _ in range(times):
        daemon.predict(body)
        with daemon.connect() as connection:
            connection.sendall(post("/predict", body)[:-len(body) // 2])
    until(lambda: metric(daemon, "convd_http_connections") <= 1, "the end of those that left")


def test_a_thousand_connections_that_come_and_go_leave_memory_as_it_was(daemons, seven):
    daemon = daemons.start(daemons.copy(), "--connections", "2000")
    body = seven.tobytes() * 40  # what a connection keeps for itself, nearly
    come_and_go(daemon, body, 500)
    before = daemon.rss_bytes()
    come_and_go(daemon, body, 500)
    assert daemon.rss_bytes() - before < 4 * MIB


def test_the_default_daemon_is_small(daemons):
    daemon = daemons.start(daemons.directory / "default.db")
    for _ in range(50):
        daemon.predict(bytes(784))
        daemon.train("7", bytes(783) + b"\1").ok()
    assert daemon.rss_bytes() < 24 * MIB


def test_answers_that_nobody_reads_hold_no_more_memory_than_their_budget(daemons, noise):
    """A small body and many classes make a large answer."""
    daemon = daemons.start(daemons.init("--width", "4", "--height", "4", "--kernels", "0", "--hidden", "1", "--classes",
                                        ",".join(f"class-{i:04}" for i in range(1024))))
    refused = daemon.post("/predict", noise.bytes(16 * 4096)).problem(422, "limit")["detail"]
    fewer = int(re.search(r"send (\d+) images", refused)[1])
    assert "?top=5" in refused and 600 < fewer < 4096
    assert len(daemon.post("/predict?top=5", noise.bytes(16 * 4096)).ok()["predictions"]) == 4096
    assert len(daemon.post("/predict", noise.bytes(16 * fewer)).ok()["predictions"]) == fewer

    def held() -> float:
        return metric(daemon, "convd_http_reply_bytes")

    before, crowd = daemon.rss_bytes(), []
    for _ in range(12):
        crowd.append(socket.socket())
        crowd[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        crowd[-1].settimeout(PATIENCE_S)
        crowd[-1].connect(("127.0.0.1", daemon.port))
        crowd[-1].sendall(post("/predict", noise.bytes(16 * fewer)))
    statuses = [status_of(connection.recv(2000)) for connection in crowd]
    assert set(statuses) == {200, 503} and statuses.count(200) >= 4
    assert 0 < held() <= 128 * MIB and daemon.rss_bytes() - before < 200 * MIB
    for connection in crowd:
        connection.close()
    until(lambda: held() == 0, "all of it has come back")
    daemon.post("/predict", noise.bytes(16 * fewer)).ok()
    until(lambda: held() == 0, "this one, too")
