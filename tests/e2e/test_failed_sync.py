"""A sync that fails: the kernel may have dropped the pages, so nothing more is acknowledged, and the daemon ends."""
import shutil
import signal
import subprocess

import pytest

from .daemon import CONVD, PATIENCE_S, SANITIZED, Answer, Daemon, convd_json

pytestmark = pytest.mark.skipif(SANITIZED, reason="strace and sanitizers do not go together")


@pytest.fixture(scope="module")
def strace() -> str:
    path = shutil.which("strace")
    works = path and subprocess.run([path, "-o", "/dev/null", "-e", "trace=fdatasync", "true"],
                                    capture_output=True).returncode == 0
    if not works:
        pytest.skip("strace is not there, or may not trace")
    return path


@pytest.mark.parametrize("nth, images", [(4, 1), (9, 1), (20, 1), (6, 80)])  # many images: written by a thread of its own
def test_after_a_failed_sync_nothing_is_acknowledged_and_the_next_start_has_all_that_was(daemons, strace, nth, images):
    db = daemons.init()
    inject = f"inject=fdatasync,fsync:error=EIO:when={nth}+"
    daemon = daemons.start(db, command=[strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e",
                                        inject, str(CONVD)])
    accepted = []
    with daemon.client() as client:
        while len(accepted) < 100:
            answer = client.train("abc"[len(accepted) % 3], bytes([len(accepted), 255] * 32 * images))
            if answer.status != 200:
                answer.problem((500, 503))
                break
            accepted.append(answer.json())
    assert 0 < len(accepted) < 100, "no sync failed"
    assert_still_predicting_or_gone(daemon)
    code, daemon.process = daemon.process.wait(PATIENCE_S), None
    assert code == 3, daemon.err.read_text()

    healthy = daemons.start(db)
    model = healthy.model()
    assert model["revision"] >= accepted[-1]["revision"], "an acknowledged sample is lost"
    healthy.stop()
    assert convd_json("verify", "--db", db)["digest"] == model["digest"]


def test_a_sync_that_fails_in_a_checkpoint_is_told_before_anybody_asks(daemons, strace):
    """Of the database, not of the WAL: nobody's request waits for it."""
    db = daemons.init()
    daemon = daemons.start(db, command=[strace, "-f", "-qq", "-o", "/dev/null", "-P", str(db), "-e", "trace=fdatasync,fsync", "-e",
                                        "inject=fdatasync,fsync:error=EIO", str(CONVD)])
    accepted = daemon.train("a", bytes(range(64))).ok()  # the checkpoint comes as soon as nothing else does
    code, daemon.process = daemon.process.wait(30), None
    said = daemon.err.read_text()
    assert code == 3 and "a checkpoint failed" in said and "a write to the disk failed" in said, said
    assert daemons.start(db).model()["revision"] == accepted["revision"]


def test_a_sync_that_fails_while_it_stops_is_told(daemons, strace):
    db = daemons.init()
    daemon = daemons.start(db, "--snapshot-samples", "0", command=[
        strace, "-f", "-qq", "-o", "/dev/null", "-P", str(db), "-e", "trace=fdatasync,fsync", "-e",
        "inject=fdatasync,fsync:error=EIO", str(CONVD)])
    daemon.train("a", bytes(range(64))).ok()
    daemon.process.send_signal(signal.SIGTERM)
    code, daemon.process = daemon.process.wait(30), None
    assert code == 3, daemon.err.read_text()
    convd_json("verify", "--db", db)


def assert_still_predicting_or_gone(daemon: Daemon) -> None:
    try:
        answer: Answer = daemon.post("/predict", bytes(64))
    except OSError:
        return
    assert answer.status == 200 or answer.problem(503)
