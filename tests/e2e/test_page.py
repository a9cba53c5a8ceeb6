"""The page as files: who gets it, how it is kept fresh and small, and that nothing in it comes from elsewhere. What it does in a
browser is tested in tests/web."""
import gzip
import re
import subprocess
from pathlib import Path

import pytest

from .daemon import ROOT, Answer, Daemon

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Encoding": "gzip, deflate, br"}
FILES = sorted(path for path in (ROOT / "web").iterdir() if path.suffix in (".html", ".css", ".js", ".svg"))
MODULES = [path for path in FILES if path.suffix == ".js" and path.name != "theme.js"]
POLICY = "Content-Security-Policy"


def page(daemon: Daemon, path: str = "/", **headers: str) -> Answer:
    answer = daemon.get(path, headers=BROWSER | {name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status == 200
    return answer


@pytest.mark.core
def test_a_browser_gets_the_page_and_curl_gets_lines(reader: Daemon):
    assert page(reader).header("Content-Type").startswith("text/html")
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "text/html;q=0, */*"}, {"Accept": "text/plain"}):
        answer = reader.get("/", headers=accept)
        assert answer.header("Content-Type").startswith("text/plain") and b"curl --data-binary" in answer.body
        assert answer.header("Vary") == "Accept"


def source(path: Path) -> bytes:
    """The modules are one file."""
    return subprocess.run([ROOT / "scripts" / "bundle-web", *MODULES], capture_output=True, check=True).stdout if path in MODULES else path.read_bytes()


@pytest.mark.core
@pytest.mark.parametrize("path", [path for path in FILES if path not in MODULES or path.name == "app.js"], ids=lambda path: path.name)
def test_a_file_is_the_one_in_the_source_packed_or_not(reader: Daemon, path):
    packed, plain = page(reader, f"/web/{path.name}"), page(reader, f"/web/{path.name}", Accept_Encoding="gzip;q=0, br")
    assert packed.header("Content-Encoding") == "gzip" and plain.header("Content-Encoding") is None
    assert gzip.decompress(packed.body) == plain.body == source(path)
    assert packed.header("ETag") != plain.header("ETag")
    assert "Accept-Encoding" in packed.header("Vary") and packed.header("X-Content-Type-Options") == "nosniff"


def test_what_the_browser_has_is_not_sent_again(reader: Daemon):
    for path in ("/", "/web/app.js"):
        first = page(reader, path)
        assert first.header("Cache-Control") == "no-cache"
        again = reader.get(path, headers=BROWSER | {"If-None-Match": first.header("ETag")})
        assert again.status == 304 and again.body == b"" and again.header("ETag") == first.header("ETag")
        assert again.header("Vary") == first.header("Vary") and again.header("Content-Encoding") is None
        assert reader.get(path, headers=BROWSER | {"If-None-Match": '"0123456789abcdef"'}).status == 200


def test_nothing_from_elsewhere_and_nothing_in_line_may_run(reader: Daemon):
    for path in ("/", "/web/app.js"):
        policy = dict(part.strip().split(" ", 1) for part in page(reader, path).header(POLICY).split(";"))
        assert policy["default-src"] == "'self'" and policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert not any("unsafe" in value or "http" in value or "*" in value for value in policy.values())
    assert reader.get("/").header(POLICY) is None and reader.get("/model").header(POLICY) is None


def test_the_page_names_no_address_but_its_own():
    allowed = {"http://www.w3.org/2000/svg", "http://…/"}  # a namespace, and an example that names nobody
    for path in FILES:
        assert set(re.findall(r"https?://[^\s\"'`<)]+", path.read_text())) <= allowed, path.name


def test_every_file_that_the_page_asks_for_is_there_and_every_file_is_asked_for():
    there = {path.name for path in FILES}
    asked = {"index.html"}
    for path in FILES:
        text = path.read_text()
        asked |= set(re.findall(r"\bweb/([\w.-]+)", text)) | set(re.findall(r"from '\./([\w.-]+)'", text))
    assert asked == there


@pytest.mark.parametrize("name", ["", "nobody.js", "..", "%2e%2e%2fserver", "app.js%00", "app.js/", "x" * 300])
def test_what_is_not_part_of_the_page_is_not_found(reader: Daemon, name):
    reader.get(f"/web/{name}", headers=BROWSER).problem((400, 404))


def test_the_page_is_open_where_the_model_is_not(daemons):
    token = daemons.directory / "token"
    token.write_text("a-token-of-the-page-0123456789\n")
    token.chmod(0o600)
    daemon = daemons.start(daemons.copy(), "--write-token-file", token)
    assert b"<title>convd</title>" in gzip.decompress(page(daemon).body)
    assert page(daemon, "/web/app.js").body
    assert daemon.get("/model").status == 401
