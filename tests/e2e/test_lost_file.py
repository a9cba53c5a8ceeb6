"""The daemon's own file, removed, renamed or replaced under it: training stops, predictions go on, and nothing that was answered is lost."""
import os
import shutil
import time

import pytest

from .daemon import PATIENCE_S, Daemon, convd, convd_json

DATABASE = 3


def remove(daemon: Daemon) -> None:
    daemon.db.unlink()


def rename(daemon: Daemon) -> None:
    daemon.db.rename(daemon.db.with_name("moved.db"))


def replace(daemon: Daemon) -> None:
    other = daemon.db.with_name("other.db")
    convd("init", "--db", other, "--classes", "x,y")
    os.replace(other, daemon.db)


def remove_wal(daemon: Daemon) -> None:
    daemon.db.with_name(daemon.db.name + "-wal").unlink()


def replace_wal(daemon: Daemon) -> None:
    wal = daemon.db.with_name(daemon.db.name + "-wal")
    shutil.copy(wal, wal.with_suffix(".copy"))
    os.replace(wal.with_suffix(".copy"), wal)


def wait_until_off(daemon: Daemon) -> dict:
    deadline = time.monotonic() + PATIENCE_S
    while (answer := daemon.get("/readyz")).status == 200:
        assert time.monotonic() < deadline, "nobody has noticed"
        time.sleep(0.02)
    return answer.problem(503, "database-lost")


def teach(daemon: Daemon, n: int = 20) -> str:
    for i in range(n):
        daemon.train("abc"[i % 3], bytes([i * 7, 255] * 32)).ok()
    return daemon.digest()


FATES = [remove, rename, replace, remove_wal, replace_wal]


@pytest.mark.core
@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("images", [1, 80])  # many: written by a thread of its own
def test_nothing_is_acknowledged_that_nobody_would_find_again(small: Daemon, fate, images):
    digest = teach(small)
    said = small.predict(bytes(range(64)))
    fate(small)
    small.train("a", bytes(range(64)) * images).problem(500, "database-lost")  # at once, whoever has noticed so far
    problem = wait_until_off(small)
    assert "removed, renamed or replaced" in problem["detail"] and "/backup" in problem["detail"]
    small.send_json("POST", "/classes", {"label": "d"}).problem(500, "database-lost")
    small.send_json("PATCH", "/model", {"rate": 0.1}).problem(500, "database-lost")
    small.send_json("DELETE", "/samples", {"ids": [1]}).problem(500, "database-lost")
    small.post("/snapshots").problem(500, "database-lost")
    assert small.predict(bytes(range(64))) == said and small.digest() == digest
    assert len(small.get("/samples").ok()["samples"]) == 20
    assert "training is off" in small.stderr and small.db.name in small.stderr
    assert "convd_training_off 1\n" in small.get("/metrics").body.decode()


@pytest.mark.core
@pytest.mark.parametrize("fate", FATES)
def test_all_that_was_answered_is_in_the_copy_that_the_daemon_still_gives(small: Daemon, fate, tmp_path):
    digest = teach(small)
    fate(small)
    wait_until_off(small)
    copy = small.directory / "copy.db"
    convd("backup", copy, "--url", small.url)
    small.stop()
    assert convd_json("verify", "--db", copy)["digest"] == digest


def test_what_was_only_in_the_wal_goes_along_with_a_file_that_is_renamed(small: Daemon):
    digest = teach(small)
    rename(small)
    wait_until_off(small)
    small.kill()
    assert convd_json("verify", "--db", small.db.with_name("moved.db"))["digest"] == digest


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_file_that_takes_the_place_stays_as_it_is(small: Daemon, end):
    teach(small)
    replace(small)
    wait_until_off(small)
    before = small.db.read_bytes()
    getattr(small, end)()
    assert small.db.read_bytes() == before
    wal = small.db.with_name(small.db.name + "-wal")
    assert not wal.exists() or wal.stat().st_size == 0
    assert convd_json("verify", "--db", small.db)["revision"] == 1


def test_a_lost_wal_loses_nothing(small: Daemon):
    digest = teach(small)
    remove_wal(small)
    wait_until_off(small)
    small.stop()
    small.start()
    assert small.digest() == digest
    small.train("a", bytes(range(64))).ok()


def test_an_idle_daemon_says_it_by_itself_and_a_rehearsal_ends(small: Daemon):
    small.train("a", bytes(range(64)) * 4000).ok()
    job = small.send_json("POST", "/rehearse", {"passes": 1000}).ok(202)["id"]
    remove(small)
    wait_until_off(small)
    assert small.get(f"/jobs/{job}").ok()["state"] == "failed"
