"""TLS: what is served over it is what is served without; what is not TLS, or only half of it, harms nobody."""
import contextlib
import http.client
import json
import os
import select
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .daemon import FOREVER, PATIENCE_S, SANITIZED, Daemon, convd, parse, read_to_end, status_of, until
from .test_auth import WRITE, token_file
from .tls import certificate

pytestmark = pytest.mark.core


class SecureDaemon(Daemon):
    """A daemon that speaks TLS; its own certificate is the one that is trusted."""
    certificate: Path

    def start(self) -> Daemon:
        self.spawn()
        self.port = int(self.listening(r"https://127\.0\.0\.1:(\d+)")[1])
        return self

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)

    def secure(self) -> ssl.SSLSocket:
        return self.context().wrap_socket(self.connect(), server_hostname="localhost")

    def client(self, timeout_s: float = PATIENCE_S):
        client = super().client(timeout_s)
        client.connection = http.client.HTTPSConnection("localhost", self.port, timeout=timeout_s,
                                                        context=self.context())
        return client

    def curl(self, path: str, *flags: str) -> subprocess.CompletedProcess:
        return subprocess.run(["curl", "-sS", "--max-time", "60", "--cacert", str(self.certificate), *flags,
                               self.url + path], capture_output=True, stdin=subprocess.DEVNULL)


def start(daemons, db: Path, cert: Path, key: Path, *flags: str) -> SecureDaemon:
    daemon = SecureDaemon(daemons.directory, db, "--tls-cert", cert, "--tls-key", key, *flags)
    daemon.certificate = cert
    daemons.all.append(daemon)
    return daemon.start()


@pytest.fixture(scope="module")
def secure(shared_daemons) -> SecureDaemon:
    return start(shared_daemons, shared_daemons.copy("secure.db"), *certificate(shared_daemons.directory))


@pytest.fixture(scope="module")
def short(shared_daemons) -> SecureDaemon:
    return start(shared_daemons, shared_daemons.init(name="short.db"), *certificate(shared_daemons.directory, "short"),
                 "--idle-seconds", "2", "--request-seconds", "3")


def test_curl_is_served_when_it_trusts_the_certificate_and_not_otherwise(secure, digits):
    assert json.loads(secure.curl("/model").stdout)["revision"] >= 1
    image = secure.directory / "raw"
    image.write_bytes(digits.one(7).tobytes())
    done = secure.curl("/predict", "--data-binary", f"@{image}")
    assert json.loads(done.stdout)["label"] == "7"
    alone = subprocess.run(["curl", "-sS", "--max-time", "60", secure.url + "/model"], capture_output=True)
    assert alone.returncode == 60 and b"certificate" in alone.stderr


def test_many_requests_share_a_connection(secure, digits):
    with secure.client() as client:
        first = client.post("/predict", digits.test_images[0].tobytes()).ok()
        for _ in range(100):
            assert client.post("/predict", digits.test_images[0].tobytes()).ok() == first


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_every_common_kind_of_key_works(daemons, kind):
    daemon = start(daemons, daemons.init(), *certificate(daemons.directory, kind=kind))
    assert daemon.model()["revision"] == 1
    assert daemon.post("/train?label=a", bytes(63) + b"\1").ok()["revision"] == 2


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@pytest.mark.parametrize("version, served", [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True),
                                             (ssl.TLSVersion.TLSv1_3, True)])
def test_only_tls_1_2_and_1_3_are_spoken(secure, version, served):
    context = secure.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with secure.connect() as plain:
        if not served:
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                context.wrap_socket(plain, server_hostname="localhost")
            return
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert status_of(connection.recv(65536)) == 200


@pytest.mark.parametrize("ciphers", ["ECDHE+AES:!AESGCM:!AESCCM", "kRSA"])
def test_neither_cbc_nor_a_key_exchange_without_forward_secrecy_is_spoken(secure, ciphers):
    context = secure.context()
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with secure.connect() as plain, pytest.raises((ssl.SSLError, ConnectionResetError)):
        context.wrap_socket(plain, server_hostname="localhost")


def test_a_client_that_wants_to_negotiate_again_is_closed(secure):
    client = subprocess.Popen(["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{secure.port}"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    client.stdin.write(b"R\n")
    client.stdin.flush()  # and it stays open: the client ends because the server closes
    client.wait(60)
    said = client.stdout.read()
    client.stdin.close()
    client.stdout.close()
    assert b"RENEGOTIATING" in said and b"closed" in said.splitlines()[-1]


def test_training_waits_asleep_and_is_answered_over_tls_too(daemons):
    """Suspended and resumed connections, many at once, and bytes that came with the last of them."""
    daemon = start(daemons, daemons.init(), *certificate(daemons.directory))

    def many(_):
        with daemon.client() as client:
            return [client.train("a", bytes(63) + b"\1").ok()["revision"] for _ in range(30)]

    with ThreadPoolExecutor(8) as pool:
        revisions = [r for some in pool.map(many, range(8)) for r in some]
    assert daemon.model()["step"] == 240
    assert max(revisions) == daemon.model()["revision"]
    # a pipeline: the second request lies decrypted in the library's buffer while the first one sleeps
    one = b"POST /train?label=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 64\r\n\r\n" + bytes(63) + b"\1"
    last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with daemon.secure() as connection:
        connection.sendall(one * 5 + last)
        assert read_to_end(connection).count(b"HTTP/1.1 200") == 6
    assert daemon.model()["step"] == 245


def test_large_bodies_and_answers_arrive_whole(daemons, digits):
    import numpy as np
    daemon = start(daemons, daemons.copy(), *certificate(daemons.directory))
    body = np.resize(digits.test_images, (2000, 28, 28)).tobytes()
    assert len(daemon.post("/predict", body).ok()["predictions"]) == 2000
    tensors = daemon.get("/model.safetensors").body
    daemon.stop()
    convd("export", "--db", daemon.db, "--safetensors", daemons.directory / "x.safetensors")
    assert (daemons.directory / "x.safetensors").read_bytes() == tensors


def test_a_refused_body_is_told_over_tls_too(secure):
    with secure.secure() as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n" + bytes(99999))
        assert status_of(connection.recv(65536)) == 413


def test_a_page_without_tls_is_of_another_origin(secure):
    headers = {"Origin": f"http://localhost:{secure.port}"}
    secure.request("POST", "/predict", bytes(784), headers).problem(403, "forbidden")
    headers = {"Origin": f"https://localhost:{secure.port}"}
    assert secure.request("POST", "/predict", bytes(784), headers).status == 200


def test_plain_http_gets_nothing_and_others_are_served(short):
    answer = short.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"HTTP/1.1" not in answer
    assert short.model()["revision"] == 1


def hello(context: ssl.SSLContext) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("part", ["nothing", "half a hello", "a hello"])
def test_half_a_handshake_is_cut_off_while_others_are_served(short, part):
    first, started = hello(short.context()), time.monotonic()
    with short.connect() as stalled:
        stalled.sendall({"nothing": b"", "half a hello": first[:len(first) // 2], "a hello": first}[part])
        for _ in range(5):
            assert short.model()["revision"] == 1
        read_to_end(stalled)
    assert time.monotonic() - started > 1


def processor_seconds(daemon: Daemon) -> float:
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(SANITIZED, reason="processor time of a sanitized build means nothing")
@pytest.mark.parametrize("part", ["half a hello", "a hello"])
def test_stalled_handshakes_cost_no_processor_time(secure, part):
    first = hello(secure.context())
    stalled = [secure.connect() for _ in range(8)]
    try:
        for connection in stalled:
            connection.sendall(first if part == "a hello" else first[:len(first) // 2])
        time.sleep(0.5)
        before = processor_seconds(secure)
        time.sleep(2)
        assert processor_seconds(secure) - before < 0.15
    finally:
        for connection in stalled:
            connection.close()


def test_a_handshake_that_trickles_is_cut_off(short):
    first = hello(short.context())
    with short.connect() as connection:
        started = time.monotonic()
        for i in range(len(first)):
            try:
                connection.sendall(first[i:i + 1])
                if select.select([connection], [], [], 0.1)[0] and not connection.recv(65536):
                    break
            except OSError:
                break
            assert time.monotonic() - started < PATIENCE_S, "it could trickle for as long as it liked"


def test_a_request_that_trickles_over_tls_is_cut_off(short):
    with short.secure() as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 64\r\n\r\n")
        started = time.monotonic()
        while time.monotonic() - started < PATIENCE_S:
            try:
                connection.sendall(b"x")
                if select.select([connection], [], [], 0.2)[0] and not connection.recv(65536):
                    return
            except OSError:
                return
    raise AssertionError("it could trickle for as long as it liked")


@pytest.mark.parametrize("farewell", [False, True], ids=["FIN", "close_notify"])
@pytest.mark.parametrize("sent", [32, 40_000])
def test_a_client_that_leaves_in_the_middle_of_its_upload_over_tls_is_released(daemons, sent, farewell):
    daemon = start(daemons, daemons.init(), *certificate(daemons.directory), *FOREVER)
    head = b"POST /train?label=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    before = daemon.descriptors()
    for _ in range(10):
        leaving = daemon.secure()
        leaving.sendall(head + bytes(sent))
        if farewell:
            leaving.setblocking(False)  # its own word is enough: it does not wait for the daemon's
            with contextlib.suppress(ssl.SSLWantReadError):
                leaving.unwrap()
        leaving.close()
    until(lambda: daemon.descriptors() <= before, "the end of what was left")


def test_noise_instead_of_tls_is_cut_off_and_others_are_served(short, noise):
    for _ in range(30):
        with short.connect() as connection:
            try:
                connection.sendall(b"\x16\x03\x01" + noise.bytes(int(noise.integers(1, 3000))))
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            assert b"HTTP/1.1" not in read_to_end(connection)
    assert short.model()["revision"] == 1


def test_connections_over_the_limit_are_closed_and_then_served_again(daemons):
    daemon = start(daemons, daemons.init(), *certificate(daemons.directory), "--connections", "4")
    crowd = [daemon.secure() for _ in range(4)]
    for connection in crowd:
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status_of(connection.recv(65536)) == 200
    with pytest.raises((OSError, ssl.SSLError)):
        daemon.secure()
    for connection in crowd:
        connection.close()

    until(daemon.serves, "an answer")


@pytest.mark.parametrize("words", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["silent", "half a hello"])
def test_connections_that_do_not_finish_their_handshake_give_way(daemons, words):
    daemon = start(daemons, daemons.init(), *certificate(daemons.directory), "--connections", "16")
    crowd = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(100)]
    for connection in crowd:
        try:
            connection.sendall(words)
        except OSError:
            pass  # displaced already
    for _ in range(30):
        assert daemon.get("/healthz").status == 200
    for connection in crowd:
        connection.close()


def test_a_stop_lets_requests_end_over_tls(daemons):
    daemon = start(daemons, daemons.init(), *certificate(daemons.directory))
    idle = daemon.secure()
    assert daemon.train("a", bytes(63) + b"\1").ok()["revision"] == 2
    daemon.stop()
    idle.close()
    assert daemon.start().model()["step"] == 1


# ---- beside a UNIX socket, and as a client ----

def test_a_unix_socket_beside_tls_speaks_without(daemons):
    path = daemons.directory / "s"
    cert, key = certificate(daemons.directory)
    daemon = start(daemons, daemons.init(), cert, key, "--listen", f"127.0.0.1:0,unix:{path}")
    assert daemon.model()["revision"] == 1
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b"GET /model HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert parse(read_to_end(connection)).ok()["revision"] == 1


def test_the_command_line_speaks_tls_and_trusts_only_what_it_is_told(daemons, digits):
    cert, key = certificate(daemons.directory)
    tokens = token_file(daemons.directory, "w", WRITE)
    daemon = start(daemons, daemons.copy(), cert, key, "--write-token-file", tokens)
    flags = ["--url", daemon.url, "--token-file", tokens]
    convd("train", *flags, "--ca", cert, *digits.test_files, "--limit", "30", "--quiet")
    done = convd("snapshots", *flags, check=False)
    assert done.returncode == 4 and b"certificate" in done.stderr
    done = convd("snapshots", *flags, "--ca", daemons.directory / "absent", check=False)
    assert done.returncode == 2 and b"absent" in done.stderr
    done = convd("snapshots", "--url", daemon.url.replace("localhost", "127.0.0.2"), "--ca", cert, check=False)
    assert done.returncode == 4, "the certificate is for another name"


# ---- wrong settings are told at the start ----

def mistaken(daemons, *flags) -> str:
    db = daemons.directory / "new.db"
    code, text = daemons.make(db, *flags).fails_to_start()
    assert code == 2
    assert not db.exists(), "nothing is made before the settings are known to be good"
    return text


def test_one_without_the_other_is_told(daemons):
    cert, key = certificate(daemons.directory)
    assert "--tls-key is missing" in mistaken(daemons, "--tls-cert", cert)
    assert "--tls-cert is missing" in mistaken(daemons, "--tls-key", key)


def test_a_key_of_another_certificate_is_told(daemons):
    cert, _ = certificate(daemons.directory)
    _, key = certificate(daemons.directory, "other")
    assert "not that of the certificate" in mistaken(daemons, "--tls-cert", cert, "--tls-key", key)


def test_a_key_that_others_can_read_is_told(daemons):
    cert, key = certificate(daemons.directory)
    key.chmod(0o644)
    assert "chmod o=" in mistaken(daemons, "--tls-cert", cert, "--tls-key", key)


def test_files_that_are_no_certificate_or_key_are_told(daemons):
    cert, key = certificate(daemons.directory)
    nonsense = daemons.directory / "nonsense"
    nonsense.write_text("nonsense\n")
    nonsense.chmod(0o600)
    assert "nonsense is not a certificate" in mistaken(daemons, "--tls-cert", nonsense, "--tls-key", key)
    assert "nonsense is not a private key" in mistaken(daemons, "--tls-cert", cert, "--tls-key", nonsense)
    assert "cannot read the key" in mistaken(daemons, "--tls-cert", cert, "--tls-key", daemons.directory / "absent")


def test_an_encrypted_key_is_told(daemons):
    cert, key = certificate(daemons.directory)
    locked = daemons.directory / "locked.key"
    subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", locked], check=True)
    locked.chmod(0o600)
    assert "encrypted" in mistaken(daemons, "--tls-cert", cert, "--tls-key", locked)
