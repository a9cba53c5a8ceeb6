"""GET /backup and convd backup: a copy of the whole database, while it is used."""
import contextlib
import select
import shutil
import signal
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from .daemon import PATIENCE_S, SANITIZED, Daemon, convd, convd_json, read_to_end, status_of, until
from .test_auth import READ, WRITE, ask, token_file, token_flags
from .test_full_disk import IMAGE, little_disk  # noqa: F401 - a fixture

DATABASE, FAILED, USAGE = 3, 1, 2


@pytest.mark.core
def test_the_copy_of_a_daemon_that_trains_at_full_rate_is_one_of_its_states(daemons, noise, tmp_path):
    daemon = daemons.start(daemons.init("--hidden", "1024"), "--snapshot-samples", "2000")
    images = noise.integers(0, 256, (100, 8, 8), dtype=np.uint8).tobytes()
    daemon.train("a", images * 10).ok()
    digests, over = {}, threading.Event()

    def teach():
        with daemon.client() as client:
            while not over.is_set():
                client.train("b", images).ok()
                model = client.get("/model").ok()
                digests[model["revision"]] = model["digest"]
    teacher = threading.Thread(target=teach)
    teacher.start()
    try:
        until(lambda: digests, "a state that is known")
        answers = [daemon.get("/backup") for _ in range(3)]
    finally:
        over.set()
        teacher.join()
    for i, answer in enumerate(answers):
        assert answer.status == 200 and answer.header("Content-Type") == "application/vnd.sqlite3"
        assert answer.header("Content-Length") == str(len(answer.body))
        path = tmp_path / f"copy-{i}.db"
        path.write_bytes(answer.body)
        verdict = convd_json("verify", "--db", path)
        assert answer.header("ETag") == f'"r{verdict["revision"]}"'
        assert digests.get(verdict["revision"]) in (verdict["digest"], None)
    assert sum(convd_json("verify", "--db", tmp_path / f"copy-{i}.db")["revision"] in digests for i in range(3)) > 0
    assert [p.name for p in daemon.db.parent.glob("small.db*") if "new" in p.name] == []


@pytest.mark.core
def test_a_copy_that_is_served_goes_on_like_the_original(daemon: Daemon, daemons, digits, tmp_path):
    copy = daemons.directory / "copy.db"
    said = convd_json("backup", copy, "--url", daemon.url)
    assert said["revision"] == daemon.model()["revision"] and said["bytes"] == copy.stat().st_size
    other = daemons.start(copy)
    assert other.digest() == daemon.digest()
    for each in (daemon, other):
        each.train("3", digits.test_images[:40].tobytes()).ok()
    assert other.digest() == daemon.digest()


def test_a_database_is_copied_offline(daemon: Daemon, tmp_path):
    digest = daemon.digest()
    daemon.stop()
    done = convd("backup", tmp_path / "copy.db", "--db", daemon.db)
    assert b"revision" in done.stdout
    assert convd_json("verify", "--db", tmp_path / "copy.db")["digest"] == digest
    assert sorted(p.name for p in tmp_path.glob("copy.db*")) == ["copy.db"]


def test_a_file_that_is_there_stays_as_it_is(daemon: Daemon, tmp_path):
    mine = tmp_path / "mine.db"
    mine.write_text("mine")
    assert convd("backup", mine, "--url", daemon.url, check=False).returncode == FAILED
    daemon.stop()
    assert convd("backup", mine, "--db", daemon.db, check=False).returncode == FAILED
    assert convd("backup", daemon.db, "--db", daemon.db, check=False).returncode == FAILED
    assert mine.read_text() == "mine" and [p.name for p in tmp_path.glob("mine.db*")] == ["mine.db"]


@pytest.mark.parametrize("words, status", [([], USAGE), (["a", "b"], USAGE), (["a", "--db", "none.db"], DATABASE),
                                           (["nowhere/a", "--db", "MODEL"], DATABASE)])
def test_a_copy_that_cannot_be_made_exits_with_its_reason(daemon: Daemon, tmp_path, words, status):
    daemon.stop()
    words = [str(daemon.db) if word == "MODEL" else str(tmp_path / word) if word[0] in "an" else word for word in words]
    done = convd("backup", *words, check=False)
    assert done.returncode == status and done.stderr.count(b"\n") == 1 + (status == USAGE)
    assert list(tmp_path.glob("a*")) == []


def test_only_who_may_write_gets_the_copy(daemons, tmp_path):
    guarded = daemons.start(daemons.init(), *token_flags(daemons.directory))
    assert ask(guarded, "GET", "/backup", None).status == 401
    assert ask(guarded, "GET", "/backup", READ).status == ask(guarded, "HEAD", "/backup", READ).status == 403
    assert ask(guarded, "GET", "/backup", WRITE).status == 200
    token = token_file(tmp_path, "token", WRITE)
    convd("backup", tmp_path / "copy.db", "--url", guarded.url, "--token-file", token)
    assert (tmp_path / "copy.db").stat().st_size > 0


# ---- copies that come to nothing while the trainer is at work: they end in its thread, or the daemon would ----

@pytest.fixture
def slow(daemons):
    """Large, with a second to answer in, and taught without a pause: a copy has its turn after each round."""
    daemon = daemons.start(daemons.init("--hidden", "8192"), "--request-seconds", "2", "--snapshot-samples", "0")
    grow(daemon)
    over = threading.Event()
    images = bytes(range(64)) * (4 if SANITIZED else 256)  # so that a round takes some ten milliseconds

    def teach():
        while not over.is_set():
            try:
                daemon.train("b", images)
            except OSError:
                return
    teachers = [threading.Thread(target=teach) for _ in range(3)]
    for teacher in teachers:
        teacher.start()
    yield daemon
    over.set()
    for teacher in teachers:
        teacher.join()


def grow(daemon):
    for _ in range(20):  # 1.2 MB each
        daemon.train("a", IMAGE).ok()
        daemon.send_json("POST", "/snapshots", {"pinned": True}).ok(201)


def copies(daemon) -> int:
    """Descriptors of copies that are being made or sent: they have no name any more."""
    found = 0
    for fd in Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        try:
            found += ".db.new-" in str(fd.readlink())
        except FileNotFoundError:
            pass
    return found


@contextlib.contextmanager
def copying(daemon):
    """A connection that waits for a copy that has been begun."""
    for _ in range(20):
        with daemon.connect() as connection:
            connection.sendall(f"GET /backup HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\n\r\n".encode())
            until(lambda: copies(daemon) > 0 or select.select([connection], [], [], 0)[0], "a copy, or why there is none")
            if copies(daemon) > 0:
                yield connection
                return
    raise AssertionError("no copy was begun in time")


@pytest.mark.core
def test_a_copy_that_takes_too_long_is_503_and_nothing_of_it_stays(slow):
    for _ in range(10):
        with copying(slow) as connection:
            status = status_of(connection.recv(1000))
        until(lambda: copies(slow) == 0, "nothing of it is left")
        if status == 503:
            break
        grow(slow)
    assert status == 503
    slow.stop()
    convd("verify", "--db", slow.db, "--quiet")


@pytest.mark.core
def test_who_leaves_during_a_copy_and_an_impatient_stop_leave_the_database_whole(slow):
    for _ in range(2):
        with copying(slow):
            pass
        until(lambda: copies(slow) == 0, "nothing of it is left")
    with copying(slow):
        slow.process.send_signal(signal.SIGTERM)
        slow.stop()
    convd("verify", "--db", slow.db, "--quiet")
    assert [p.name for p in slow.db.parent.glob("*.new-*")] == []


def stalled(daemon) -> tuple[socket.socket, bytes]:
    """A client that has read the beginning of the answer, and reads no more."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE_S)
    connection.connect(("127.0.0.1", daemon.port))
    connection.sendall(b"GET /backup HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return connection, connection.recv(2000)


def test_clients_that_do_not_read_hold_two_copies_at_most_and_one_where_nothing_has_changed(daemons, noise):
    daemon = daemons.start(daemons.init("--width", "28", "--height", "28", "--kernels", "0", "--hidden", "1"))
    for _ in range(6):
        daemon.train("a", noise.bytes(784 * 1000)).ok()
    first = [stalled(daemon) for _ in range(5)]
    assert [status_of(head) for _, head in first] == [200] * 5 and copies(daemon) == 1
    daemon.train("b", noise.bytes(784)).ok()
    second = [stalled(daemon) for _ in range(5)]
    assert [status_of(head) for _, head in second] == [200] * 5 and copies(daemon) == 2
    daemon.send_json("DELETE", "/samples/1", {}).ok(202)  # no revision of its own yet: the last copy does not know of it
    refused = daemon.get("/backup")
    refused.problem(503, "busy")
    assert refused.header("Retry-After") and copies(daemon) == 2
    head = daemon.request("HEAD", "/backup")  # for which none is made
    assert head.status == 200 and head.header("Content-Type") == "application/vnd.sqlite3" and head.header("ETag")
    assert head.header("Content-Length") is None
    bodies = []
    for connection, head in first:
        with connection:
            bodies.append((head + read_to_end(connection)).partition(b"\r\n\r\n")[2])
    assert len(bodies[0]) > 4_000_000 and all(body == bodies[0] for body in bodies)
    until(lambda: copies(daemon) == 1, "the first copy has gone")
    assert daemon.get("/backup").status == 200
    for connection, _ in second:
        connection.close()
    until(lambda: copies(daemon) == 0, "all have gone")


def test_a_client_that_takes_next_to_nothing_is_cut_off(daemons, noise):
    """One byte at a time is no piece that it was waited for: its place is wanted by others."""
    daemon = daemons.start(daemons.init("--width", "28", "--height", "28", "--kernels", "0", "--hidden", "1"),
                           "--request-seconds", "2")
    for _ in range(6):
        daemon.train("a", noise.bytes(784 * 1000)).ok()
    connection, head = stalled(daemon)
    assert status_of(head) == 200

    def gone():
        try:
            connection.recv(1)
        except OSError:
            pass
        return copies(daemon) == 0
    with connection:
        until(gone, "the copy has gone")


def test_no_room_for_the_copy_is_507_and_all_else_goes_on(daemons, little_disk):
    daemon = daemons.start(daemons.init("--hidden", "1024", name=little_disk / "small.db"))
    for _ in range(5):  # 150 KB each
        daemon.train("a", IMAGE).ok()
        daemon.send_json("POST", "/snapshots", {}).ok(201)
    (little_disk / "ballast").write_bytes(bytes(shutil.disk_usage(little_disk).free - 500_000))
    daemon.get("/backup").problem(507, "storage-full")
    daemon.train("a", IMAGE).ok()
    assert daemon.predict(IMAGE)["revision"] > 0
    (little_disk / "ballast").unlink()
    assert daemon.get("/backup").status == 200
