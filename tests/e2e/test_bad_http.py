"""Requests that are none, are too large, or come from elsewhere: over raw sockets."""
import os
import re
import socket

import pytest

from .daemon import Daemon, parse, read_to_end, status_of, until
from .prometheus import metric

pytestmark = pytest.mark.core

GARBAGE = {
    "nothing": b"", "a line feed": b"\n", "one word": b"GET\r\n\r\n", "two words": b"GET /\r\n\r\n",
    "no method": b" / HTTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)), "zeros": bytes(500),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/9.9": b"GET /model HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "a version that is none": b"GET /model HTTQ/1.1\r\nHost: localhost\r\n\r\n",
    "high bytes": bytes(range(128, 256)) * 4 + b"\r\n\r\n",
    "an endless line": b"GET /" + b"x" * 100000,
    "an endless header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100000,
    "endless headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20000,
    "a header without colon": b"GET /model HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n",
}


@pytest.fixture(scope="module")
def impatient_daemon(shared_daemons) -> Daemon:
    """An unfinished request ends with its deadline, also when the client has closed its half: so that is short here."""
    return shared_daemons.start(shared_daemons.copy("impatient.db"), "--request-seconds", "2", "--idle-seconds", "2")


@pytest.fixture
def impatient(impatient_daemon: Daemon) -> Daemon:
    before = impatient_daemon.model()
    yield impatient_daemon
    impatient_daemon.check()
    assert impatient_daemon.model() == before


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_answered_by_an_error_or_the_end_of_the_connection(impatient: Daemon, name):
    with impatient.connect() as connection:
        try:
            connection.sendall(GARBAGE[name])
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        received = read_to_end(connection)
    assert received == b"" or 400 <= status_of(received) < 600, received[:300]


def test_random_bytes_are_answered_by_an_error_or_the_end_of_the_connection(impatient: Daemon, noise):
    for _ in range(50):
        with impatient.connect() as connection:
            try:
                connection.sendall(noise.bytes(int(noise.integers(1, 3000))) + b"\r\n\r\n")
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            received = read_to_end(connection)
        assert received == b"" or 400 <= status_of(received) < 600


BODY = bytes(783) + b"\1"


def predict(*headers: str, body: bytes = BODY, host: str = "Host: localhost",
            line: str = "POST /predict HTTP/1.1") -> bytes:
    lines = [line, *([host] if host else []), *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
TWO_READINGS = {
    "two Content-Lengths that differ": predict("Content-Length: 784", "Content-Length: 10"),
    "two Content-Lengths that agree": predict("Content-Length: 784", "Content-Length: 784"),
    "a list of Content-Lengths": predict("Content-Length: 784, 784"),
    "Content-Length and chunked": predict("Content-Length: 784", "Transfer-Encoding: chunked",
                                          body=b"0\r\n\r\n" + SMUGGLED),
    "chunked and Content-Length": predict("Transfer-Encoding: chunked", "Content-Length: 5",
                                          body=b"0\r\n\r\n" + SMUGGLED),
    "chunked twice": predict("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "a negative Content-Length": predict("Content-Length: -1"),
    "a signed Content-Length": predict("Content-Length: +784"),
    "a hexadecimal Content-Length": predict("Content-Length: 0x310"),
    "a Content-Length beyond 64 bits": predict("Content-Length: 99999999999999999999999"),
    "no Host": predict("Content-Length: 784", host=""),
    "two Hosts": predict("Host: localhost", "Content-Length: 784"),
    "a space before the colon": predict("Content-Length : 784"),
    "a folded header": predict("X-A: b\r\n c", "Content-Length: 784"),
    "a NUL in a header": predict("X-A: b\0c", "Content-Length: 784"),
    "bare line feeds": predict("Content-Length: 784").replace(b"\r\nContent", b"\nContent"),
}


@pytest.mark.parametrize("name", TWO_READINGS)
def test_a_request_that_two_readers_would_read_differently_is_refused_and_the_connection_closed(reader: Daemon, name):
    answer = reader.raw(TWO_READINGS[name])
    statuses = set(re.findall(rb"HTTP/1\.1 (\d{3}) ", answer))
    assert statuses and statuses <= {b"400", b"413"}, "a second request was read out of the first"


@pytest.mark.parametrize("coding", ["gzip", "chunked, gzip", "gzip, chunked", "identity", "xchunked", ""])
def test_an_unknown_transfer_coding_is_refused_and_the_connection_closed(reader: Daemon, coding):
    answer = reader.raw(predict(f"Transfer-Encoding: {coding}", body=b"0\r\n\r\n"))
    assert status_of(answer) in (400, 501), answer[:300]


def test_a_refusal_by_framing_is_a_problem_document(reader: Daemon):
    answer = parse(reader.raw(predict("Content-Length: 784", "Content-Length: 10")))
    answer.problem(400, "syntax")


UNHEARD = {
    "a signed length": predict("Content-Length: +5", body=b"hello"),
    "a length beyond 64 bits": predict("Content-Length: 18446744073709551616", body=b"hello"),
    "a signed size of a chunk": predict("Transfer-Encoding: chunked", body=b"+5\r\nhello\r\n0\r\n\r\n"),
    "a size of a chunk beyond 64 bits": predict("Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    "a header of 30 KB": predict("X: " + "a" * 30000, line="GET /healthz HTTP/1.1", body=b""),
    "a target of 30 KB": predict(line="GET /healthz?" + "a" * 30000 + " HTTP/1.1", body=b""),
    "3,000 headers": predict(*["X: a"] * 3000, line="GET /healthz HTTP/1.1", body=b""),
    "HTTP/2.0": predict(line="GET /healthz HTTP/2.0", body=b""),
}


@pytest.mark.parametrize("name", UNHEARD)
def test_what_libmicrohttpd_refuses_by_itself_is_counted_and_logged(daemons, name):
    daemon = daemons.start(daemons.init(), "--log-level", "debug")
    received = daemon.raw(UNHEARD[name])
    assert 400 <= status_of(received) < 600
    assert b"problem+json" in received or metric(daemon, "convd_http_requests_unheard_total") == 1
    assert b"problem+json" in received or f"HTTP response code is {status_of(received)}" in daemon.stderr


def test_a_chunked_body_is_read(reader: Daemon):
    body = b"310\r\n" + BODY + b"\r\n0\r\n\r\n"
    answer = parse(reader.raw(predict("Transfer-Encoding: chunked", "Connection: close", body=body)))
    assert answer.ok() == reader.predict(BODY)


@pytest.mark.parametrize("body", [b"zz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"310\r\nshort"])
def test_a_broken_chunk_is_refused_or_cut(impatient: Daemon, body):
    with impatient.connect() as connection:
        connection.sendall(predict("Transfer-Encoding: chunked", body=body))
        connection.shutdown(socket.SHUT_WR)
        received = read_to_end(connection)
    assert received == b"" or status_of(received) in (400, 413)


def test_requests_in_a_pipeline_are_answered_in_order(reader: Daemon):
    one = predict("Content-Length: 784")
    last = predict("Connection: close", line="GET /healthz HTTP/1.1", body=b"")
    answers = reader.raw(one * 5 + last)
    assert answers.count(b"HTTP/1.1 200 OK") == 6
    assert answers.count(b'"label"') == 5


# ---- over the limit ----

def test_a_body_over_the_limit_is_refused_before_it_is_sent(reader: Daemon):
    with reader.connect() as connection:
        connection.sendall(predict("Content-Length: 100000000000", "Expect: 100-continue", body=b""))
        answer = parse(read_to_end(connection))
    answer.problem(413, "too-large")


def test_a_body_over_the_limit_is_refused_without_expect_too(reader: Daemon):
    with reader.connect() as connection:
        connection.sendall(predict("Content-Length: 1000000000", body=b""))
        first = connection.recv(65536)
    assert status_of(first) == 413


def test_a_client_that_sends_on_can_still_read_why_it_was_refused(daemons):
    daemon = daemons.start(daemons.init(), "--body-bytes", "100K")
    answer = daemon.raw(predict("Content-Length: 3000000", body=bytes(3000000)))
    parse(answer).problem(413, "too-large")


def test_a_chunked_body_over_the_limit_is_refused(daemons):
    daemon = daemons.start(daemons.init(), "--body-bytes", "100K")
    chunks = (b"8000\r\n" + bytes(0x8000) + b"\r\n") * 5 + b"0\r\n\r\n"
    answer = daemon.raw(predict("Transfer-Encoding: chunked", "Connection: close", body=chunks))
    parse(answer).problem(413, "too-large")
    endless = daemon.raw(predict("Transfer-Encoding: chunked", body=(b"8000\r\n" + bytes(0x8000) + b"\r\n") * 500))
    assert endless == b"" or status_of(endless) == 413


def test_a_body_within_the_limit_is_continued(reader: Daemon):
    with reader.connect() as connection:
        connection.sendall(predict("Content-Length: 784", "Expect: 100-continue", "Connection: close", body=b""))
        assert status_of(connection.recv(65536)) == 100
        connection.sendall(BODY)
        parse(read_to_end(connection)).ok()


# ---- from elsewhere ----

@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example",
                                  "127.0.0.1.evil.example", "10.0.0.1",
                                  "[2001:db8::1]", "localhost@evil.example", ""])
def test_a_foreign_host_is_refused(reader: Daemon, host):
    answer = parse(reader.raw(predict("Content-Length: 784", "Connection: close", host=f"Host: {host}")))
    assert answer.status in (400, 403)
    answer.problem((400, 403))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:80",
                                  "convd.localhost"])
def test_a_loopback_host_is_served(reader: Daemon, host):
    parse(reader.raw(predict("Content-Length: 784", "Connection: close", host=f"Host: {host}"))).ok()


@pytest.mark.parametrize("origin", ["http://evil.example", "https://localhost.evil.example", "null",
                                    "http://localhost:1", "file://", ""])
@pytest.mark.parametrize("method, path", [("POST", "/predict"), ("POST", "/train?label=7"), ("PATCH", "/model"),
                                          ("POST", "/classes"),
                                          ("DELETE", "/snapshots/1"), ("POST", "/snapshots/1/activate")])
def test_a_page_of_another_origin_changes_and_computes_nothing(reader: Daemon, origin, method, path):
    answer = reader.request(method, path, BODY, {"Origin": origin})
    answer.problem(403, "forbidden")


def test_a_page_of_the_same_origin_is_served(reader: Daemon):
    reader.request("POST", "/predict", BODY, {"Origin": reader.url}).ok()


@pytest.mark.parametrize("site, status", [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)])
def test_what_a_browser_says_of_the_site_counts(reader: Daemon, site, status):
    assert reader.request("POST", "/predict", BODY, {"Sec-Fetch-Site": site}).status == status


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["/backup", "/samples.tar", "/snapshots/1/diff/1", "/samples", "/model", "/events", "/"])
@pytest.mark.parametrize("headers", [
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    {"Origin": "https://evil.example"}])
def test_a_foreign_page_starts_no_copy_and_no_search(reader: Daemon, method, path, headers):
    answer = reader.request(method, path, None, headers)
    assert answer.status == 403
    if method != "HEAD":
        answer.problem(403, "forbidden")


def test_a_link_from_elsewhere_opens_the_page_and_nothing_else(reader: Daemon):
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
                "Accept": "text/html"}
    page = reader.request("GET", "/", None, followed)
    assert page.status == 200 and page.header("Content-Type").startswith("text/html")
    reader.request("GET", "/backup", None, followed).problem(403, "forbidden")
    assert reader.request("GET", "/model", None, {**followed, "Sec-Fetch-Site": "none"}).status == 200


def test_an_address_that_others_can_reach_needs_an_explicit_word(daemons):
    daemon = daemons.make(daemons.init(), "--listen", "0.0.0.0:0")
    code, text = daemon.fails_to_start()
    assert code in (2, 4) and "listen-anywhere" in text


def test_a_port_that_is_taken_is_told(daemons, reader: Daemon):
    code, text = daemons.make(daemons.init(), "--listen", f"127.0.0.1:{reader.port}").fails_to_start()
    assert code == 4 and str(reader.port) in text


@pytest.mark.skipif(not os.path.exists("/proc/sys/net/ipv6"), reason="no IPv6 here")
def test_the_daemon_listens_on_ipv6_loopback(daemons):
    daemon = daemons.make(daemons.init(), "--listen", "[::1]:0")
    daemon.spawn()
    until(lambda: daemon.out.read_text().endswith("\n") or daemon.process.poll() is not None, "its address or its end")
    if daemon.process.poll() is not None:
        text, daemon.process = daemon.err.read_text(), None
        assert "[::1]" in text or "::1" in text
        pytest.skip(f"this machine has no ::1: {text}")
    port = int(daemon.out.read_text().strip().rpartition(":")[2])
    with socket.create_connection(("::1", port), 10) as connection:
        connection.sendall(predict("Connection: close", host=f"Host: [::1]:{port}", line="GET /model HTTP/1.1",
                                   body=b""))
        assert status_of(read_to_end(connection)) == 200
