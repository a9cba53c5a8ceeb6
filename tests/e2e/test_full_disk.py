"""A full disk: predictions go on, training is 507, and works again when there is room; nothing acknowledged is lost."""
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from .daemon import Daemon, convd, convd_json
from .test_edits import Taught, edit, is_exact, stands_in_the_files
from .test_rehearse import ended, until

pytestmark = pytest.mark.core
SIZE = 4 << 20


@pytest.fixture
def little_disk():
    """A file system of 4 MiB."""
    directory = Path(tempfile.mkdtemp(prefix="convd-e2e-disk-"))
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "convd-e2e", str(directory)],
        capture_output=True).returncode == 0
    if not mounted:
        directory.rmdir()
        pytest.skip("cannot mount a small tmpfs here: needs root and CAP_SYS_ADMIN")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)
    directory.rmdir()


IMAGE = bytes(range(64))


def fill(disk: Path) -> Path:
    """A file that takes what room there is."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as out:
        for size in (65536, 4096, 1):
            try:
                while out.write(bytes(size)) == size:
                    pass
            except OSError:
                pass
    assert shutil.disk_usage(disk).free == 0
    return ballast


def train_until_full(daemon: Daemon, accepted: list) -> None:
    with daemon.client() as client:
        for _ in range(20000):
            answer = client.train("a", IMAGE * 16)
            if answer.status != 200:
                answer.problem(507, "storage-full")
                return
            accepted.append(answer.json())
    raise AssertionError("the disk does not get full")


def test_a_full_disk_stops_training_not_predicting_and_heals_when_there_is_room(daemons, little_disk):
    db = little_disk / "small.db"
    shutil.copyfile(daemons.init(), db)
    daemon = daemons.start(db)
    accepted: list = []
    for i in range(3):
        accepted.append(daemon.train("abc"[i], IMAGE).ok())
    ballast = fill(little_disk)
    for _ in range(20):
        train_until_full(daemon, accepted)  # again: a checkpoint makes room in the WAL, when nothing was asked for a moment
        full = daemon.model()
        assert full["step"] == accepted[-1]["step"] and full["revision"] == accepted[-1]["revision"]
        assert daemon.predict(IMAGE)["revision"] == full["revision"]
    assert daemon.get("/healthz").status == 200
    assert daemon.model() == full

    ballast.unlink()
    again = daemon.train("c", IMAGE).ok()
    assert again["revision"] == full["revision"] + 1
    healed = daemon.model()
    daemon.kill()
    daemon.start()
    assert daemon.model() == healed
    daemon.stop()
    verdict = convd_json("verify", "--db", db)
    assert verdict["ok"] is True and verdict["digest"] == healed["digest"]
    connection = sqlite3.connect(db)
    last = connection.execute("SELECT max(id) FROM sample").fetchone()[0]
    connection.close()
    assert last == again["samples"][1]


def test_kill_9_on_a_full_disk_loses_nothing_acknowledged(daemons, little_disk):
    db = little_disk / "small.db"
    shutil.copyfile(daemons.init(), db)
    daemon = daemons.start(db)
    accepted: list = [daemon.train("a", IMAGE).ok()]
    ballast = fill(little_disk)
    train_until_full(daemon, accepted)
    full = daemon.model()
    daemon.kill()
    ballast.unlink()
    daemon.start()
    assert daemon.model() == full


def test_an_idempotency_key_that_met_a_full_disk_can_be_used_again(daemons, little_disk):
    db = little_disk / "small.db"
    shutil.copyfile(daemons.init(), db)
    daemon = daemons.start(db)
    accepted: list = []
    ballast = fill(little_disk)
    train_until_full(daemon, accepted)
    key = {"Idempotency-Key": "once"}
    body = IMAGE * 1000
    daemon.train("a", body, headers=key).problem(507, "storage-full")
    ballast.unlink()
    first = daemon.train("a", body, headers=key).ok()
    assert daemon.train("a", body, headers=key).ok() == first


def test_an_edit_that_was_accepted_is_made_when_the_full_disk_has_room_again(daemons, little_disk):
    flags = ("--hidden", "4096")  # the snapshot at the end of the rebuild takes 600 KB
    db = little_disk / "small.db"
    shutil.copyfile(daemons.init(*flags), db)
    daemon = daemons.start(db)
    taught = Taught(daemon, 60)
    before = daemon.model()
    ballast = fill(little_disk)
    os.truncate(ballast, ballast.stat().st_size - 200_000)  # room to accept it, and no more
    job = edit(daemon, "DELETE", "/samples/17", wait=False).ok(202)["id"]

    def waiting() -> dict | None:
        [job] = daemon.get("/jobs").ok()["jobs"]
        assert job["state"] == "running"
        return job if job["error"] else None
    failed = until(waiting, "the first failure")
    assert failed["id"] == job and failed["error"] == "Disk full; the edit stays accepted, and is tried again"
    assert daemon.model() == before
    daemon.get("/samples/17").problem(410, "gone")
    daemon.get("/samples/17/image").problem(410, "gone")
    assert 17 not in [row["id"] for row in daemon.get("/samples?limit=100").ok()["samples"]]
    daemon.logged("rebuild failed; the next try is in 1 s")
    daemon.kill()
    daemon.start()
    assert until(waiting, "the failure after the start")["kind"] == "rebuild" and daemon.model()["digest"] == before["digest"]
    ballast.unlink()
    [job] = daemon.get("/jobs").ok()["jobs"]
    done = ended(daemon, job["id"])
    assert done["state"] == "done" and done["error"] is None
    assert not stands_in_the_files(daemon, taught.images[17])
    is_exact(daemons, daemon, flags)


def test_what_failed_can_be_found_in_the_log_by_the_id_of_its_answer(daemons, little_disk):
    db = little_disk / "small.db"
    shutil.copyfile(daemons.init(), db)
    daemon = daemons.start(db)
    fill(little_disk)
    train_until_full(daemon, [])
    time.sleep(1.1)  # one failure a second is logged
    answer = daemon.train("a", IMAGE * 1000)
    answer.problem(507, "storage-full")
    assert f"request {answer.header('X-Request-Id')}: storage-full: " in daemon.stderr


def test_a_snapshot_on_a_full_disk_is_507(daemons, little_disk):
    db = little_disk / "small.db"
    shutil.copyfile(daemons.init("--hidden", "400"), db)
    daemon = daemons.start(db)
    ballast = fill(little_disk)
    try:
        for _ in range(200):
            answer = daemon.post("/snapshots", b"", None)
            if answer.status != 201:
                break
        answer.problem(507, "storage-full")
        daemon.predict(IMAGE)
    finally:
        ballast.unlink()


def test_init_on_a_full_disk_says_so_and_leaves_nothing_behind(little_disk):
    ballast = fill(little_disk)
    done = convd("init", "--db", little_disk / "new.db", check=False)
    assert done.returncode == 3 and done.stderr
    assert sorted(path.name for path in little_disk.iterdir()) == [ballast.name]


def test_export_to_a_full_disk_says_so_and_leaves_nothing_behind(daemons, little_disk):
    db = daemons.init()
    ballast = fill(little_disk)
    done = convd("export", "--db", db, "--safetensors", little_disk / "out.safetensors", check=False)
    assert done.returncode == 1 and b"out.safetensors" in done.stderr
    assert sorted(path.name for path in little_disk.iterdir()) == [ballast.name]
