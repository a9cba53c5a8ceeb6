"""examples/proxy/*: the real nginx, HAProxy and Caddy in front of convd, with TLS, under a prefix. Skipped where they are not installed."""
from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from e2e.daemon import ROOT, Daemon
from e2e.tls import certificate

from .page import SEVEN, Page, until

NAME = "cam.example"
RUN = {"nginx": ("nginx.conf", ("-e", "stderr", "-c")), "haproxy": ("haproxy.cfg", ("-db", "-f")),
       "caddy": ("Caddyfile", ("run", "--adapter", "caddyfile", "--config"))}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """One of the examples, its addresses and files replaced by the test's."""

    def __init__(self, program: str, folder: Path, daemon: Daemon):
        self.port, self.folder = free_port(), folder
        self.url = f"https://{NAME}:{self.port}/digits/"
        cert, key = certificate(folder, NAME, host=NAME)
        both = folder / "both.pem"
        both.write_bytes(cert.read_bytes() + key.read_bytes())
        self.cert = cert
        name, arguments = RUN[program]
        text = (ROOT / "examples" / "proxy" / name).read_text()
        for old, new in {"/etc/ssl/cam.example.key": str(key), "/etc/ssl/cam.example.pem": str(both if program == "haproxy" else cert),
                         "127.0.0.1:8080": f"127.0.0.1:{daemon.port}", "listen 443": f"listen 127.0.0.1:{self.port}",
                         "bind :443": f"bind 127.0.0.1:{self.port}", f"\n{NAME} {{": f"\n{NAME}:{self.port} {{"}.items():
            text = text.replace(old, new)
        if program == "nginx":
            paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            text = f"daemon off; master_process off; pid {folder}/pid;\nevents {{ }}\nhttp {{\naccess_log off;\n{paths}{text}}}\n"
        if program == "caddy":
            text = "{\n\tadmin off\n\tauto_https off\n}\n" + text
        config = folder / name
        config.write_text(text)
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen([shutil.which(program), *arguments, config], stdout=log, stderr=log, cwd=folder,
                                            env={"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        until(lambda: self.get("readyz")[0] == 200, f"{program}: {(folder / 'log').read_text()}")

    def curl(self, path: str, *arguments: str) -> list[str]:
        return ["curl", "-s", "--http2", "--cacert", str(self.cert), "--resolve", f"{NAME}:{self.port}:127.0.0.1", *arguments, self.url + path]

    def get(self, path: str, *arguments: str) -> tuple[int, str, bytes]:
        """Status, HTTP's version, body."""
        done = subprocess.run(self.curl(path, "-w", "\n%{http_code} %{http_version}", *arguments), capture_output=True, check=False)
        body, _, tail = done.stdout.rpartition(b"\n")
        status, version = tail.decode().split()
        return int(status), version, body

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)


@pytest.fixture(params=RUN)
def proxy(request, daemons, tmp_path):
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    daemon = daemons.start(daemons.copy(), "--host", NAME, "--host", "other.example", "--trusted-proxy", "127.0.0.1", "--log-level", "debug")
    folder = tmp_path / "proxy"
    folder.mkdir()
    proxy = Proxy(request.param, folder, daemon)
    proxy.daemon = daemon
    yield proxy
    proxy.stop()


def test_clients_reach_all_of_convd_through_it(proxy, tmp_path):
    status, version, body = proxy.get("healthz")
    assert (status, version) == (200, "2")
    status, _, body = proxy.get("healthz", "-H", "Host: evil.example")
    assert status != 200 or body == b""  # Caddy's answer for sites that it has not
    proxy.daemon.logged("GET /healthz for 127.0.0.1: 200")

    # What is made says where it is.
    done = subprocess.run(proxy.curl("snapshots", "-X", "POST", "-o", tmp_path / "made", "-w", "%header{location} %{http_code}"),
                          capture_output=True, text=True, check=True)
    location, status = done.stdout.split()
    assert status == "201" and json.loads(proxy.get(location)[2]) == json.loads((tmp_path / "made").read_text())

    # 16 MB, which convd answers for itself: more images than a request may have.
    upload = tmp_path / "upload"
    upload.write_bytes(b"\x40\x80" * (392 * 21000))
    status, _, body = proxy.get("predict", "--data-binary", f"@{upload}", "-H", "Content-Type: application/octet-stream")
    assert status == 413 and json.loads(body)["type"].startswith("urn:convd:problem:"), body[:300]

    # Pages of this site may ask, and others may not.
    assert proxy.get("model", "-H", f"Origin: https://{NAME}:{proxy.port}")[0] == 200
    assert proxy.get("model", "-H", "Origin: https://evil.example")[0] == 403


def test_events_come_at_once_through_it(proxy, seven):
    stream = subprocess.Popen(proxy.curl("events?seconds=20", "-N"), stdout=subprocess.PIPE)
    try:
        line = stream.stdout.readline()  # the stream has begun
        began = time.monotonic()
        proxy.daemon.train("7", seven.tobytes()).ok()
        while b"event: train" not in line:
            line = stream.stdout.readline()
            assert line, "the stream ended"
        assert time.monotonic() - began < 10
    finally:
        stream.kill()
        stream.communicate()


def test_the_page_works_under_its_prefix(proxy, driver, console):
    page = Page(driver, proxy.daemon, proxy.folder)
    page.size(1280, 900)
    driver.get(proxy.url)
    assert page.run("return performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
    page.says("#status", "4,000")
    page.draw(SEVEN)
    page.says(".verdict strong", "7")
    page.go("Statistics")
    page.says(".figures", "of 4,000 samples")
    proxy.daemon.train("7", bytes(392) + b"\xff" * 392).ok()
    page.says("#status", "4,001")
