"""What the service manager relies on: sockets that are handed over, notifications, and a stop that keeps everything."""
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from conftest import PATIENCE_S, wait_for_line


def reasons(db: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute("SELECT reason FROM snapshot ORDER BY id")]


def events(db: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT max(revision) FROM event").fetchone()[0]


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_daemon_serves_on_the_socket_that_it_is_handed(start, notify, tmp_path):
    daemon = start(tmp_path / "model.db", notify)
    notify.expect("READY=1")
    assert daemon.get("/readyz")[0] == 200
    wait_for_line(daemon.log, rf"(?m)^listening on http://127\.0\.0\.1:{daemon.port}$")


def test_ready_is_told_only_when_requests_are_answered(start, notify, tmp_path):
    daemon = start(tmp_path / "model.db", notify)
    notify.expect("READY=1")
    status, body = daemon.get("/predict", bytes(784))
    assert status == 200 and json.loads(body)["revision"] == 1


def test_watchdog_is_petted_more_often_than_it_bites(start, notify, tmp_path):
    start(tmp_path / "model.db", notify, watchdog_s=6)
    notify.expect("READY=1")
    last = time.monotonic()
    for _ in range(3):
        now = notify.expect("WATCHDOG=1")
        assert now - last < 6
        last = now


def test_watchdog_is_petted_over_tls_too_by_every_thread(start, notify, tmp_path, secured):
    """Each thread of the pool begins a handshake with it, the one of the UNIX sockets answers plainly."""
    flags, certificate, token = secured
    daemon = start(tmp_path / "model.db", notify, watchdog_s=6, flags=(*flags, "--threads", "3"))
    daemon.trusted, daemon.token = certificate, token
    notify.expect("READY=1")
    before = open_files(daemon.process.pid)
    last = time.monotonic()
    for _ in range(4):
        now = notify.expect("WATCHDOG=1")
        assert now - last < 6
        last = now
    assert daemon.get("/train?label=1", bytes(783) + b"\1")[0] == 200
    assert open_files(daemon.process.pid) <= before + 10, "handshakes that were begun are left lying about"
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        while True:
            notify.expect("WATCHDOG=1", 6)
            assert len(notify.received) < 50
    except AssertionError as silence:
        assert "no WATCHDOG=1" in str(silence)
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    notify.expect("WATCHDOG=1")
    assert daemon.stop() == 0


def test_watchdog_is_silent_where_it_was_not_asked_for(start, notify, tmp_path):
    start(tmp_path / "model.db", notify)
    notify.expect("READY=1")
    with pytest.raises(AssertionError, match="no WATCHDOG=1"):
        notify.expect("WATCHDOG=1", 3)


def test_a_stopped_process_is_not_petted(start, notify, tmp_path):
    """The positive control: no progress, no pet; the manager would kill it."""
    daemon = start(tmp_path / "model.db", notify, watchdog_s=1)
    notify.expect("READY=1")
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        while True:  # what was sent before the stop
            notify.expect("WATCHDOG=1", 1.5)
            assert len(notify.received) < 50
    except AssertionError as silence:
        assert "no WATCHDOG=1" in str(silence)
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    notify.expect("WATCHDOG=1")


def test_sigterm_tells_stopping_takes_a_snapshot_and_exits_with_zero(start, notify, tmp_path):
    db = tmp_path / "model.db"
    daemon = start(db, notify)
    notify.expect("READY=1")
    assert json.loads(daemon.get("/train?label=7", bytes(range(256)) * 3 + bytes(16))[1])["revision"] == 2
    daemon.process.send_signal(signal.SIGTERM)
    notify.expect("STOPPING=1")
    assert daemon.process.wait(PATIENCE_S) == 0, daemon.log.read_text()
    assert reasons(db) == ["create", "shutdown"]
    assert not Path(f"{db}-wal").exists() or Path(f"{db}-wal").stat().st_size == 0


def test_a_stop_without_changes_takes_no_snapshot(start, notify, tmp_path):
    db = tmp_path / "model.db"
    daemon = start(db, notify)
    notify.expect("READY=1")
    assert daemon.stop() == 0
    assert reasons(db) == ["create"]


def test_a_killed_daemon_starts_again_on_a_new_socket_with_what_it_acknowledged(start, notify, tmp_path):
    db = tmp_path / "model.db"
    first = start(db, notify)
    notify.expect("READY=1")
    for label in range(3):
        assert first.get(f"/train?label={label}", bytes(783) + bytes([1 + label * 80]))[0] == 200
    digest = json.loads(first.get("/model")[1])["digest"]
    first.process.kill()
    first.process.wait()
    second = start(db, notify)
    notify.expect("READY=1")
    model = json.loads(second.get("/model")[1])
    assert (model["revision"], model["digest"]) == (4, digest)
    assert second.stop() == 0 and events(db) == 4


def unshare_net() -> tuple[str, ...] | None:
    """A prefix that runs a command in a network namespace with nothing in it, as PrivateNetwork=yes does."""
    for prefix in (("unshare", "-n", "--"), ("unshare", "-r", "-n", "--")):
        if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
            return prefix
    return None


def test_daemon_serves_and_is_petted_in_a_network_with_nothing_in_it(start, notify, tmp_path):
    """PrivateNetwork=yes: even its loopback is down there; only the passed socket leads out."""
    wrapper = unshare_net()
    if wrapper is None:
        pytest.skip("this machine allows no network namespaces")
    inside = subprocess.run([*wrapper, "sh", "-c", "cat /proc/net/dev | wc -l"], capture_output=True, text=True)
    assert int(inside.stdout) == 3, "two heading lines and lo"
    daemon = start(tmp_path / "model.db", notify, watchdog_s=2, wrapper=wrapper)
    notify.expect("READY=1")
    assert daemon.get("/predict", bytes(784))[0] == 200
    for _ in range(3):
        notify.expect("WATCHDOG=1")
    assert daemon.stop() == 0


def test_systemd_socket_activate_starts_it_at_the_first_connection(convd, tmp_path):
    log, path = tmp_path / "activate.log", tmp_path / "convd.sock"
    with log.open("wb") as out:
        process = subprocess.Popen(["systemd-socket-activate", "-l", str(path), str(convd), "serve", "--db", str(tmp_path / "model.db")],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_for_line(log, "Listening on")
        assert not (tmp_path / "model.db").exists(), "nothing is started before somebody comes"
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "60", "--data-binary", "@-", "-H", "Content-Type: application/octet-stream",
             "--unix-socket", str(path), "http://localhost/predict"], input=bytes(784), capture_output=True, check=True)
        assert json.loads(done.stdout)["revision"] == 1
        wait_for_line(log, rf"(?m)^listening on unix:{re.escape(str(path))}$")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_without_a_manager_it_listens_by_itself(convd, tmp_path):
    log = tmp_path / "alone.log"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CONVD_", "LISTEN_", "NOTIFY_", "WATCHDOG_"))}
    with log.open("wb") as out:
        process = subprocess.Popen([str(convd), "serve", "--db", str(tmp_path / "model.db"), "--listen", "127.0.0.1:0"],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env)
    try:
        port = int(wait_for_line(log, r"(?m)^listening on http://127\.0\.0\.1:(\d+)$")[1])
        done = subprocess.run(["curl", "-sS", "--max-time", "60", f"http://127.0.0.1:{port}/healthz"], capture_output=True)
        assert done.returncode == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
