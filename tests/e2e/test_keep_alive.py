"""A connection that is kept gives the same answers as a new one, whatever was answered on it before."""
import re

import pytest

from .daemon import ROOT, Answer, Client, Daemon
from .openapi import Document

pytestmark = pytest.mark.core

DOCUMENT = Document(ROOT / "schema" / "openapi.json")

# In this order twice over: answers of one length with other bytes, of other lengths, with other headers, and without body.
PATHS = [("POST", "/predict", 0), ("POST", "/predict", 0), ("POST", "/predict", 1), ("POST", "/predict?top=1", 1), ("GET", "/model", None),
         ("POST", "/predict?top=1", 0), ("GET", "/classes", None), ("HEAD", "/classes", None), ("POST", "/predict?top=9", 0), ("GET", "/nothing", None),
         ("POST", "/predict", 2), ("DELETE", "/predict", None), ("POST", "/predict", 1), ("GET", "/model/kernels.png", None), ("OPTIONS", "/predict", None)]


def seen(answer: Answer) -> tuple:
    # what is of one request only: its time, and the number in its id
    own = {"date": "", "x-request-id": re.sub(r"-\d+$", "-N", answer.header("X-Request-Id") or "")}
    headers = sorted((name.lower(), own.get(name.lower(), value)) for name, value in answer.headers)
    return answer.status, headers, answer.body


def ask(client: Client, method: str, path: str, image: bytes | None) -> tuple:
    return seen(client.request(method, path, image))


def test_every_answer_on_one_connection_is_the_one_of_a_new_connection(daemon: Daemon, digits):
    images = [digits.one(label).tobytes() for label in (7, 2, 1)]
    with daemon.client() as kept:
        for method, path, image in PATHS * 2:
            body = None if image is None else images[image]
            with daemon.client() as fresh:
                expected = ask(fresh, method, path, body)
            assert ask(kept, method, path, body) == expected, (method, path)


def test_a_kept_connection_tells_each_new_revision(daemon: Daemon, digits):
    seven, two = digits.one(7).tobytes(), digits.one(2).tobytes()
    with daemon.client() as kept:
        tags = []
        for _ in range(12):
            answer = kept.post("/predict", two)
            assert answer.header("ETag") == f'"r{answer.ok()["revision"]}"'
            tags.append(answer.header("ETag"))
            assert kept.train("7", seven).ok()["revision"] == answer.ok()["revision"] + 1
    assert len(set(tags)) == 12


def test_answers_of_one_length_differ_by_their_image(daemon: Daemon, digits):
    """Nine decimals each: the bodies are equally long, and only their bytes tell them apart."""
    with daemon.client() as kept:
        answers = [kept.post("/predict", digits.test_images[i].tobytes()) for i in range(50)]
    assert len({len(answer.body) for answer in answers}) == 1
    assert len({answer.body for answer in answers}) == 50
    with daemon.client() as fresh:
        for i in (0, 25, 49):
            assert fresh.post("/predict", digits.test_images[i].tobytes()).body == answers[i].body


@pytest.mark.parametrize("path", [path for path in DOCUMENT.root["paths"] if "get" in DOCUMENT.root["paths"][path]])
def test_behind_the_head_of_an_answer_to_head_comes_nothing_but_the_next_answer(reader: Daemon, path):
    path = re.sub(r"\{\w+\}", "1", path)
    received = reader.raw(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                          "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head, _, rest = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 ") and (rest == b"" or rest.startswith(b"HTTP/1.1 200 OK\r\n")), received
    assert rest or b"Connection: close" in head
