"""Every way in which libmicrohttpd's parser is more lenient than a proxy in front of it may be: refused, and the connection closed,
so that no second request is ever read out of the first."""
import re
import time

import pytest

from .daemon import Daemon, parse, read_to_end, status_of

pytestmark = pytest.mark.core

BODY = bytes(63) + b"\1"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def small_daemon(shared_daemons) -> Daemon:
    return shared_daemons.start(shared_daemons.init(), "--idle-seconds", "2", "--request-seconds", "5")


@pytest.fixture
def target(small_daemon: Daemon) -> Daemon:
    before = small_daemon.model()
    yield small_daemon
    small_daemon.check()
    assert small_daemon.model() == before


LINES = {
    "a bare LF after the request line": b"GET /healthz HTTP/1.1\nHost: localhost\r\n\r\n",
    "a bare LF after the only header": b"GET /healthz HTTP/1.1\r\nHost: localhost\n\r\n",
    "a bare LF between headers": b"GET /healthz HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "a bare LF after the last header": GET + b"X: y\n\r\n",
    "a bare LF for the empty line": GET + b"\n",
    "bare LFs at the end": GET + b"X: y\n\n",
    "bare LFs everywhere": b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
    "a bare LF with a body": b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 64\n\r\n" + BODY,
    "a bare CR in a value": GET + b"X: a\rb\r\n\r\n",
    "a bare CR at a value's end": GET + b"X: a\r\r\n\r\n",
    "a bare CR after the request line": b"GET /healthz HTTP/1.1\rHost: localhost\r\n\r\n",
    "NUL in the target": b"GET /healthz\0x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "NUL in a name": GET + b"X\0Y: z\r\n\r\n",
    "NUL in a value": GET + b"X: a\0b\r\n\r\n",
    "NUL at a value's end": GET + b"X: a\0\r\n\r\n",
    "NUL at the end of Host": b"GET /healthz HTTP/1.1\r\nHost: localhost\0\r\n\r\n",
    "NUL at the end of Content-Length": POST + b"Content-Length: 64\0\r\n\r\n" + BODY,
    "a folded value": GET + b"X: a\r\n b\r\n\r\n",
    "a folded value that hides a header": GET + b"X: a\r\n\tContent-Length: 9\r\n\r\n",
    "a fold before the first header": b"GET /healthz HTTP/1.1\r\n Host: localhost\r\nHost: localhost\r\n\r\n",
    "a header without a name": GET + b": x\r\n\r\n",
    "a name that is not ASCII": GET + b"X-\xc3\xa9: x\r\n\r\n",
    "a blank before the colon": POST + b"Content-Length : 64\r\n\r\n" + BODY,
    "a control character in a value": GET + b"X: a\x01b\r\n\r\n",
    "two blanks in the request line": b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a tab in the request line": b"GET\t/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a blank after the version": b"GET /healthz HTTP/1.1 \r\nHost: localhost\r\n\r\n",
    "a blank in the target": b"GET /healthz x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a control character in the target": b"GET /healthz?\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no version": b"GET /healthz\r\nHost: localhost\r\n\r\n",
    "a version that is none": b"GET /healthz HTTP/1.10\r\nHost: localhost\r\n\r\n",
    "HTTP/1.2 without Host": b"GET /healthz HTTP/1.2\r\n\r\n",
    "two Hosts": GET + b"Host: localhost\r\n\r\n",
}
# What one of libmicrohttpd's generations refuses by itself, by closing the connection.
CLOSED = {"NUL in the target", "a tab in the request line", "a blank in the target"}


@pytest.mark.parametrize("name", LINES)
def test_lines_that_two_readers_would_cut_differently_are_refused(target, name):
    received = target.raw(LINES[name] + HIDDEN)
    statuses = set(re.findall(rb"HTTP/1\.1 (\d{3}) ", received))
    assert statuses == {b"400"} or (name in CLOSED and received == b""), received[:300]


LENGTHS = {
    "both, length first": POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both, chunked first": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": POST.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, blank after": POST + b"Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n",
    "chunked, vertical tab before": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked among others": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\nContent-Length: 64\r\n\r\n" + BODY,
    "an unknown coding": POST + b"Transfer-Encoding: cow\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 64\r\nContent-Length: 0\r\n\r\n" + BODY,
    "two lengths alike": POST + b"Content-Length: 64\r\nContent-Length: 64\r\n\r\n" + BODY,
    "an empty length": POST + b"Content-Length: \r\n\r\n" + BODY,
    "a length with a blank": POST + b"Content-Length: 6 4\r\n\r\n" + BODY,
    "a length with a sign": POST + b"Content-Length: +64\r\n\r\n" + BODY,
    "a length in hexadecimal": POST + b"Content-Length: 0x40\r\n\r\n" + BODY,
    "a length and more": POST + b"Content-Length: 64, 64\r\n\r\n" + BODY,
}


@pytest.mark.parametrize("name", LENGTHS)
def test_bodies_that_two_readers_would_measure_differently_are_refused(target, name):
    received = target.raw(LENGTHS[name] + HIDDEN)
    statuses = set(re.findall(rb"HTTP/1\.1 (\d{3}) ", received))
    assert statuses and statuses <= {b"400", b"501"}, received[:300]


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = {
    "as they should be": (b"40\r\n" + BODY + b"\r\n0\r\n\r\n", {200}),
    "with an extension": (b"40;a=b\r\n" + BODY + b"\r\n0\r\n\r\n", {200, 400}),  # 1.0 takes none
    "with a trailer": (b"40\r\n" + BODY + b"\r\n0\r\nContent-Length: 99\r\nHost: evil.example\r\n\r\n", {200}),
    "a bare LF after the size": (b"40\n" + BODY + b"\r\n0\r\n\r\n", {200, 400}),
    "a bare LF after the data": (b"40\r\n" + BODY + b"\n0\r\n\r\n", {200, 400}),
    "bare LFs at the end": (b"40\r\n" + BODY + b"\r\n0\n\n", {200, 400}),
    "an extension that ends in LF": (b"40;x\n" + BODY + b"\r\n0\r\n\r\n", {200, 400}),
    "a size in hexadecimal notation": (b"0x40\r\n" + BODY + b"\r\n0\r\n\r\n", {400}),
    "a size with a sign": (b"+40\r\n" + BODY + b"\r\n0\r\n\r\n", {400}),
    "a negative size": (b"-1\r\n" + BODY + b"\r\n0\r\n\r\n", {400}),
    "a size with a blank before": (b" 40\r\n" + BODY + b"\r\n0\r\n\r\n", {400}),
    "no size": (b"\r\n" + BODY + b"\r\n0\r\n\r\n", {400}),
    "a size that is none": (b"zz\r\n" + BODY + b"\r\n0\r\n\r\n", {400}),
    "a size beyond 64 bits": (b"fffffffffffffffff\r\n" + BODY, {400, 413}),
    "a size that wraps to 64": (b"10000000000000040\r\n" + BODY + b"\r\n0\r\n\r\n", {400, 413}),
    "more data than the size": (b"40\r\n" + BODY + b"xx\r\n0\r\n\r\n", {400}),
}


@pytest.mark.parametrize("name", CHUNKS)
def test_nothing_behind_a_chunked_body_is_taken_for_a_request(target, name):
    body, expected = CHUNKS[name]
    received = target.raw(CHUNKED + body + HIDDEN)
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
    assert len(statuses) == 1 and set(statuses) <= expected, received[:300]
    assert b"hidden" not in received


def test_a_request_inside_a_body_is_a_body(target):
    received = target.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" %
                          len(HIDDEN) + HIDDEN)
    assert re.findall(rb"HTTP/1\.1 (\d{3}) ", received) == [b"200"]


@pytest.mark.parametrize("line, status", [
    (b"GET http://localhost/healthz HTTP/1.1", 200), (b"GET http://evil.example/healthz HTTP/1.1", 403),
    (b"GET http://localhost@evil.example/healthz HTTP/1.1", 403), (b"CONNECT localhost:80 HTTP/1.1", 404),
    (b"TRACE / HTTP/1.1", 405), (b"OPTIONS * HTTP/1.1", 404), (b"GET /healthz HTTP/2.0", 505),
    (b"G@T /healthz HTTP/1.1", 400), (b"GET: /healthz HTTP/1.1", 400), (b"G\xc3\x89T /healthz HTTP/1.1", 400), (b"BREW /healthz HTTP/1.1", 405)])
def test_other_forms_of_the_request_line_reach_nothing_that_they_should_not(target, line, status):
    received = target.raw(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert status_of(received) == status


def test_a_good_request_that_comes_byte_by_byte_is_served(target):
    """The measuring of the header block must not depend on how it arrived."""
    request = POST + b"X-Long: " + b"y" * 300 + b"\r\nConnection: close\r\nContent-Length: 64\r\n\r\n" + BODY
    with target.connect() as connection:
        connection.setsockopt(6, 1, 1)  # TCP_NODELAY
        for i in range(len(request)):
            connection.sendall(request[i:i + 1])
            if i % 50 == 0:
                time.sleep(0.002)
        assert parse(read_to_end(connection)).ok()["revision"] == 1


def test_headers_of_every_length_are_measured_rightly(target):
    for n in (0, 1, 100, 1000, 8000, 15000):
        answer = target.raw(GET + b"X: " + b"y" * n + b"\r\nConnection: close\r\n\r\n")
        assert status_of(answer) == 200, n
    answer = target.raw(GET + b"".join(b"X-%d: y\r\n" % i for i in range(150)) + b"Connection: close\r\n\r\n")
    assert status_of(answer) == 200
