"""Behind nginx and HAProxy, which keep their connections to convd: whatever reaches it as a request, the proxy has read as one, and the
next client's answer is its own; and events come when they happen.

The proxy gives each request that it reads an id. A request that convd alone has read, out of another's body or head, has none of the
proxy's, and convd's log shows that. The proxies listen on UNIX sockets; where they are not installed, their tests are skipped.
"""
import itertools
import re
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .daemon import PATIENCE_S, Daemon, parse, read_to_end, until
from .prometheus import metric
from .test_bad_http import TWO_READINGS
from .test_smuggling import BODY, CHUNKED, CHUNKS, HIDDEN, LENGTHS, LINES, POST

pytestmark = pytest.mark.slow

NGINX = """daemon off; master_process off; error_log {folder}/nginx.log; pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    access_log off; client_header_timeout 3s; client_body_timeout 3s; keepalive_timeout 3s; proxy_read_timeout 60s;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    upstream convd {{ server 127.0.0.1:{port}; keepalive 8; }}
    server {{
        listen unix:{socket};
        location / {{ proxy_pass http://convd; proxy_http_version 1.1; proxy_request_buffering off; proxy_set_header Connection "";
                      proxy_set_header Host localhost; proxy_set_header X-Request-Id proxy-$request_id; }}
    }}
}}
"""
HAPROXY = """defaults
    mode http
    timeout connect 60s
    timeout client 3s
    timeout server 60s
    timeout http-request 3s
    timeout http-keep-alive 3s
    http-reuse always
frontend all
    bind unix@{socket}
    http-request set-header X-Request-Id proxy-%[uuid()]
    http-request set-header Host localhost
    default_backend convd
backend convd
    server convd 127.0.0.1:{port}
"""
PROXIES = {"nginx": (NGINX, ("-p", "{folder}", "-e", "stderr", "-c")), "haproxy": (HAPROXY, ("-db", "-f"))}

LAST = HIDDEN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
TRANSFERS = [b"", *(b"Transfer-Encoding" + spelling + b"\r\n" for spelling in (
    b": chunked", b" : chunked", b":chunked", b": \tchunked", b":\x0bchunked", b": chunked ", b": xchunked", b": chunked, identity",
    b": identity, chunked", b": gzip, chunked", b": CHUNKED", b': "chunked"', b": chunked\r\nTransfer-Encoding: x", b":\r\n chunked",
    b"\0: chunked", b": chunked\0", b": chunked;x=1", b": ,chunked"))]
SIZES = [b"", *(b"Content-Length" + spelling + b"\r\n" for spelling in (
    b": 64", b": 0", b": 4", b": +64", b": 64, 64", b": 64\r\nContent-Length: 0", b": 0064", b": 0x40", b": 6_4", b" : 64", b":\r\n 64"))]
TAILS = [BODY, b"0\r\n\r\n", b"40\r\n" + BODY + b"\r\n0\r\n\r\n", b"40;x=\"\r\n" + BODY + b"\r\n0\r\n\r\n", b"40\n" + BODY + b"\n0\n\n"]


def attacks() -> list[bytes]:
    known = [*LINES.values(), *LENGTHS.values(), *TWO_READINGS.values(), *(CHUNKED + body for body, _ in CHUNKS.values())]
    made = [POST + transfer + size + b"\r\n" + tail
            for transfer, size, tail in itertools.product(TRANSFERS, SIZES, TAILS)]
    return [attack + LAST for attack in known + made]


def send(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(path))
        try:
            connection.sendall(data)
        except OSError:
            pass  # refused before all of it was there
        return read_to_end(connection)


class Proxy:
    def __init__(self, name: str, daemon: Daemon, folder: Path):
        binary = shutil.which(name, path="/usr/sbin:/usr/bin")
        if binary is None:
            pytest.skip(f"{name} is not installed")
        self.socket, config = folder / f"{name}.sock", folder / f"{name}.conf"
        text, flags = PROXIES[name]
        config.write_text(text.format(folder=folder, socket=self.socket, port=daemon.port))
        self.process = subprocess.Popen([binary, *(flag.format(folder=folder) for flag in flags), config], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=(folder / f"{name}.err").open("wb"))
        until(lambda: self.listens() or self.process.poll() is not None, "its socket")
        assert self.process.poll() is None, (folder / f"{name}.err").read_text()

    def listens(self) -> bool:
        """A socket is a file before it is listened on."""
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(str(self.socket)) == 0

    def get(self, path: str) -> tuple[int, bytes]:
        answer = parse(send(self.socket, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()))
        return answer.status, answer.body

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("name", PROXIES)
def test_what_a_proxy_has_not_read_as_a_request_convd_does_not_either(daemons, name):
    daemon = daemons.start(daemons.init(), "--log-level", "debug")
    before = daemon.model()
    proxy = Proxy(name, daemon, daemons.directory)
    try:
        def attack(number: int, data: bytes) -> None:
            send(proxy.socket, data)
            status, body = proxy.get(f"/victim-{number}")
            assert status == 404 and f"/victim-{number};".encode() in body, (data, status, body)
        with ThreadPoolExecutor(32) as pool:
            list(pool.map(attack, itertools.count(), attacks()))
        assert proxy.get("/healthz")[0] == 200
    finally:
        proxy.stop()
    assert daemon.model() == before
    daemon.logged(": GET /victim-", len(attacks()))
    log = daemon.err.read_text()
    ours = re.findall(r"^convd: request (?!proxy-)\S+: (\S+ \S+): \d+", log, re.MULTILINE)
    assert set(ours) <= {"GET /model"}, ours
    print(f"{name}: {len(attacks())} attacks, {len(re.findall('^convd: request proxy-', log, re.MULTILINE))} requests reached convd")


def test_a_request_that_the_proxy_has_not_read_would_be_noticed(daemons):
    """The control: straight to convd, what is hidden behind a good request is read, and has an id of its own making."""
    daemon = daemons.start(daemons.init(), "--log-level", "debug")
    daemon.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: proxy-1\r\n\r\n" + LAST)
    daemon.logged("GET /hidden: 404")
    assert re.search(r"^convd: request (?!proxy-)\S+: GET /hidden: 404", daemon.err.read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", PROXIES)
def test_events_come_through_a_proxy_while_the_stream_goes_on(daemons, name):
    """nginx keeps a response back that does not tell it otherwise: here the stream never ends."""
    daemon = daemons.start(daemons.init())
    proxy = Proxy(name, daemon, daemons.directory)
    try:
        with socket.socket(socket.AF_UNIX) as reader:
            reader.settimeout(PATIENCE_S)
            reader.connect(str(proxy.socket))
            reader.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            until(lambda: metric(daemon, "convd_event_readers") == 1, "the reader")
            daemon.train("a", bytes(63) + b"\1").ok()
            received = b""
            while b"event: train\n" not in received:
                piece = reader.recv(65536)
                assert piece, received
                received += piece
    finally:
        proxy.stop()
