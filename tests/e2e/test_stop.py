"""SIGTERM and SIGINT: what is in flight is answered, a snapshot is taken, exit 0; the next start replays nothing."""
import http.client
import re
import signal
import sqlite3
import threading
import time

import numpy as np
import pytest

from .daemon import PATIENCE_S, SANITIZED, Daemon, convd_json, until

BROKEN = (ConnectionError, http.client.HTTPException, TimeoutError)


def snapshots(db) -> list[tuple[int, str]]:
    connection = sqlite3.connect(db)
    found = connection.execute("SELECT revision, reason FROM snapshot ORDER BY id").fetchall()
    connection.close()
    return found


def last_revision(db) -> int:
    connection = sqlite3.connect(db)
    [(revision,)] = connection.execute("SELECT max(revision) FROM event").fetchall()
    connection.close()
    return revision


@pytest.mark.core
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_takes_a_snapshot_of_the_last_revision_and_ends_well(small: Daemon, number):
    said = small.train("a", bytes(63) + b"\1").ok()
    digest = small.digest()
    small.stop(number)
    assert snapshots(small.db)[-1] == (said["revision"], "shutdown")
    assert not small.db.with_name(small.db.name + "-wal").exists() or \
        small.db.with_name(small.db.name + "-wal").stat().st_size == 0
    small.start()
    assert small.digest() == digest


def test_the_start_after_a_stop_replays_nothing_and_the_start_after_a_kill_replays_the_rest(small: Daemon):
    def replayed() -> int:
        return int(re.search(r"replayed (\d+) events", small.err.read_text())[1])
    for _ in range(5):
        small.train("a", bytes(63) + b"\1").ok()
    small.restart()
    assert replayed() == 0
    for _ in range(3):
        small.train("a", bytes(63) + b"\1").ok()
    small.kill()
    small.start()
    assert replayed() == 3


def test_a_stop_without_changes_takes_no_snapshot(small: Daemon):
    small.train("a", bytes(63) + b"\1").ok()
    small.restart()
    before = snapshots_through(small)
    small.restart()
    assert snapshots_through(small) == before


def snapshots_through(daemon: Daemon) -> list:
    return daemon.get("/snapshots").ok()["snapshots"]


@pytest.mark.core
def test_requests_in_flight_are_answered_and_what_was_acknowledged_is_kept(daemon: Daemon, digits):
    n = 50 if SANITIZED else 1000
    body = np.resize(digits.test_images, (n, 28, 28)).tobytes()
    answers, cut = [], []
    stopping = threading.Event()

    def client() -> None:
        while True:
            try:
                answer = daemon.train("7", body)
            except BROKEN as error:
                cut.append((stopping.is_set(), repr(error)))
                return
            if answer.status == 503:
                answer.problem(503)
                return
            answers.append(answer.ok())

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) >= 3, "three answers")
    stopping.set()
    daemon.stop()
    for thread in threads:
        thread.join()
    assert all(late for late, _ in cut), cut
    # Refused, or closed before the request was sent, is fine; cut in the middle of an answer is not.
    assert not [why for _, why in cut if "IncompleteRead" in why], cut
    last = max(answers, key=lambda said: said["revision"])
    assert last_revision(daemon.db) == last["revision"], "what was learned was answered, and is there"
    assert snapshots(daemon.db)[-1] == (last["revision"], "shutdown")
    assert convd_json("verify", "--db", daemon.db)["revision"] == last["revision"]


def test_an_idle_keep_alive_connection_does_not_hold_up_the_stop(small: Daemon):
    client = small.client()
    assert client.get("/healthz").status == 200
    started = time.monotonic()
    small.stop()
    assert time.monotonic() - started < 8  # requests that do not end are given ten
    client.close()


def test_a_stalled_client_does_not_hold_up_the_stop_for_ever(small: Daemon):
    with small.connect() as stalled:
        stalled.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 64\r\n\r\nhalf")
        small.predict(bytes(64))
        started = time.monotonic()
        small.process.send_signal(signal.SIGTERM)
        small.logged("SIGTERM: stopping")
        small.stop()  # a second signal ends the wait
        assert time.monotonic() - started < 8


@pytest.mark.parametrize("late", [0.0, 0.001, 0.003, 0.01, 0.02])
def test_a_signal_during_the_start_ends_well(daemons, late):
    daemon = daemons.make(daemons.copy())
    daemon.spawn()
    until(lambda: daemon.err.read_text() or daemon.out.read_text(), "its first word")
    time.sleep(late)
    daemon.process.send_signal(signal.SIGTERM)
    code, daemon.process = daemon.process.wait(PATIENCE_S), None
    assert code in (0, 130), daemon.err.read_text()
