"""The daemon's log: a request can be found in it by its id, and how much is written can be changed while it runs."""
from __future__ import annotations

import re
import signal
import socket

import pytest

from .daemon import PATIENCE_S, Daemon, until
from .prometheus import metric

MADE = r"[0-9a-f]{8}-\d+"


def lines(daemon: Daemon) -> list[str]:
    return daemon.err.read_text().splitlines()


def requests(daemon: Daemon) -> list[re.Match]:
    """The lines of requests: id, method, path, status."""
    found = [re.fullmatch(r"convd: request (\S+): (\S+) (\S+): (\d+) in \d+ us", line) for line in lines(daemon)]
    return [match for match in found if match]


def seen(daemon: Daemon, request_id: str) -> re.Match:
    """Its line, which is written when the last byte of the answer is out: maybe after the client has read that."""
    return until(lambda: next((m for m in requests(daemon) if m[1] == request_id), None), f"request {request_id} in the log")


def signalled(daemon: Daemon, number: signal.Signals) -> None:
    before = sum(number.name in line for line in lines(daemon))
    daemon.process.send_signal(number)
    daemon.logged(number.name, before + 1)


@pytest.mark.core
def test_an_id_that_the_client_gives_comes_back_whatever_the_answer(small: Daemon):
    for path, status in (("/healthz", 200), ("/nothing", 404), ("/model", 200)):
        answer = small.get(path, headers={"X-Request-Id": "trace-81/b"})
        assert (answer.status, answer.header("X-Request-Id")) == (status, "trace-81/b")


@pytest.mark.core
def test_every_problem_has_an_id_of_its_own(small: Daemon):
    answers = [small.get("/nothing"), small.post("/predict", b"?"), small.request("DELETE", "/model"), small.get("/model?x=1")]
    ids = [answer.header("X-Request-Id") for answer in answers]
    assert all(answer.status >= 400 for answer in answers)
    assert all(re.fullmatch(MADE, i or "") for i in ids) and len(set(ids)) == len(ids)
    assert len({i.split("-")[0] for i in ids}) == 1


def test_an_id_that_could_spoil_a_log_is_replaced(small: Daemon):
    for given in ("a b", '"', "x" * 65, "a,b"):
        assert re.fullmatch(MADE, small.get("/nothing", headers={"X-Request-Id": given}).header("X-Request-Id"))


def test_a_prediction_that_went_well_has_none_unless_asked_for(small: Daemon):
    """The response of a connection then serves again: see http_answer.c."""
    with small.client() as client:
        for headers in ({}, {"X-Request-Id": "mine"}, {}, {"X-Request-Id": "mine-2"}, {}):
            answer = client.post("/predict", bytes(64), "application/octet-stream", headers=headers)
            assert answer.ok() and answer.header("X-Request-Id") == headers.get("X-Request-Id")


@pytest.mark.core
def test_sigusr1_logs_each_request_by_its_id_until_sigusr2(small: Daemon):
    small.get("/healthz", headers={"X-Request-Id": "before"}).ok()
    small.get("/healthz").ok()  # on the same connection: the one before it has ended, its line in the log included
    signalled(small, signal.SIGUSR1)
    assert seen(small, small.post("/predict", bytes(64)).header("X-Request-Id")).groups()[1:] == ("POST", "/predict", "200")
    small.get("/nothing", headers={"X-Request-Id": "lost"})
    assert seen(small, "lost").groups()[1:] == ("GET", "/nothing", "404")
    signalled(small, signal.SIGUSR2)
    small.get("/healthz", headers={"X-Request-Id": "after"}).ok()
    small.stop()
    assert {"before", "after"} & {match[1] for match in requests(small)} == set()
    assert any("SIGTERM" in line for line in lines(small))


@pytest.mark.parametrize("late", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_that_comes_while_it_stops_does_not_spoil_its_end(small: Daemon, late):
    with socket.create_connection(("127.0.0.1", small.port)) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x.localhost\r\nContent-Length: 64\r\n\r\n.")  # a stop waits for the rest
        until(lambda: metric(small, "convd_http_connections") > 1, "its connection")
        small.process.send_signal(signal.SIGTERM)
        small.logged("SIGTERM: stopping")
        small.process.send_signal(late)
    assert small.process.wait(PATIENCE_S) == 0
    small.process = None


def test_the_log_has_neither_labels_nor_lines_of_a_clients_making(daemons):
    daemon = daemons.start(daemons.init(), "--log-level", "debug")
    daemon.post("/train?label=secret", bytes(63) + b"\1", headers={"X-Request-Id": "one"})
    daemon.get("/x%0aconvd:%20request%20forged:%20GET%20/%1b[2J", headers={"X-Request-Id": "two"})
    assert seen(daemon, "one")[3] == "/train"
    daemon.logged("convd: request two: GET /x?convd: request forged: GET /?[2J: 404")
    text = daemon.err.read_text()
    assert "secret" not in text and "\x1b" not in text and not [m for m in requests(daemon) if m[1] == "forged"]


def test_what_is_less_important_than_the_level_is_not_logged(daemons):
    db = daemons.init()
    usual = daemons.start(db)
    usual.stop()
    assert any("replayed" in line for line in lines(usual))
    terse = daemons.start(db, env={"CONVD_LOG_LEVEL": "error"})
    terse.stop()
    assert lines(terse) == []


def test_a_level_that_there_is_not_is_refused_with_those_that_there_are(daemons):
    code, text = daemons.make(daemons.init(), "--log-level", "loud").fails_to_start()
    assert code == 2 and "error, warning, notice, info or debug" in text
