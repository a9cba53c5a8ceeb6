"""GET /samples.tar: the data set elsewhere, exactly."""
import io
import json
import socket
import sqlite3
import subprocess
import tarfile
import threading
import time
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from .daemon import PATIENCE_S, Daemon, convd_json, read_to_end, until
from .prometheus import metric


def export(daemon: Daemon) -> tarfile.TarFile:
    answer = daemon.get("/samples.tar")
    assert answer.status == 200 and answer.header("Content-Type") == "application/x-tar"
    assert answer.header("Content-Disposition") == 'attachment; filename="samples.tar"'
    assert len(answer.body) % 512 == 0 and answer.body.endswith(bytes(1024))
    return tarfile.open(fileobj=io.BytesIO(answer.body), mode="r:")


def contents(archive: tarfile.TarFile) -> dict[int, tuple[str, np.ndarray]]:
    out = {}
    for member in archive:
        label, _, name = member.name.rpartition("/")
        assert member.isfile() and name.endswith(".png") and member.mode == 0o644
        out[int(name.removesuffix(".png"))] = label, np.asarray(Image.open(archive.extractfile(member)))
    return out


@pytest.mark.core
def test_the_archive_holds_every_sample_under_its_label_as_the_model_saw_it(daemons):
    db = daemons.copy()
    daemon = daemons.start(db)
    files = contents(export(daemon))
    assert list(files) == sorted(files)  # in the order of training
    daemon.stop()
    with closing(sqlite3.connect(db)) as connection:
        rows = connection.execute("SELECT id, label_text, image FROM labelled_sample").fetchall()
    assert len(rows) == len(files)
    for number, label, image in rows:
        assert files[number][0] == label and files[number][1].tobytes() == image


def test_what_is_exported_can_be_learned_again(daemons, tmp_path):
    daemon = daemons.start(daemons.copy())
    samples = daemon.get("/stats").ok()
    folder = tmp_path / "again"
    folder.mkdir()
    subprocess.run(["tar", "xf", "-", "-C", str(folder)], input=daemon.get("/samples.tar").body, check=True)
    learned = convd_json("train", "--db", daemons.init("--width", "28", "--height", "28", "--classes",
                                                       "0,1,2,3,4,5,6,7,8,9", name="again.db"), folder)
    assert learned["samples"] == samples["samples"]


def test_what_was_left_behind_is_not_exported_and_a_new_model_has_an_empty_archive(small: Daemon, noise):
    assert contents(export(small)) == {}
    image = noise.integers(0, 256, 64, np.uint8)
    small.train("a", image.tobytes()).ok()
    snapshot = small.post("/snapshots", b"", None).ok(201)["id"]
    small.train("b", image.tobytes()).ok()
    small.post(f"/snapshots/{snapshot}/activate", b"", None).ok()
    small.train("c", image.tobytes()).ok()
    files = contents(export(small))
    assert {i: label for i, (label, _) in files.items()} == {1: "a", 3: "c"}
    assert all(np.array_equal(shown.ravel(), image) for _, shown in files.values())


def test_a_label_that_no_folder_can_have_is_told(small: Daemon):
    for label in ("1/2", "..", ".hidden"):
        small.send_json("POST", "/classes", {"label": label}).ok(201)
        assert label in small.get("/samples.tar").problem(409, "conflict")["detail"]
        small.send_json("PATCH", "/classes", {"from": label, "to": label.replace("/", "-").replace(".", "_")}).ok()
    small.get("/samples.tar").ok()


@pytest.mark.core
def test_an_export_goes_on_while_the_model_learns_and_ends_with_what_there_was(daemons, digits):
    daemon = daemons.start(daemons.copy())
    before = daemon.get("/stats").ok()["samples"]
    done = threading.Event()

    def teach():
        with daemon.client() as client:
            while not done.is_set():
                client.train("7", digits.one(7).tobytes()).ok()

    thread = threading.Thread(target=teach)
    thread.start()
    try:
        archives = [export(daemon) for _ in range(2)]
    finally:
        done.set()
        thread.join()
    for files in map(contents, archives):
        assert sorted(files) == list(range(1, len(files) + 1)) and len(files) >= before


def test_exports_are_bounded_and_one_that_is_cut_off_gives_its_place_back(daemons, noise):
    """Large pictures, so that an archive does not fit into the sockets' buffers."""
    daemon = daemons.start(daemons.init("--width", "300", "--height", "300", "--kernels", "0", "--hidden", "1"))
    image = noise.integers(0, 256, (40, 300, 300), np.uint8)
    for i in range(3):
        daemon.post("/train?label=a", np.roll(image, i, 1).tobytes()).ok()
    slow = []
    for _ in range(4):
        connection = daemon.connect()
        connection.sendall(b"GET /samples.tar HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        slow.append(connection)
    refused = daemon.get("/samples.tar")
    refused.problem(503, "busy")
    assert refused.header("Retry-After")
    daemon.predict(image[0].tobytes())
    for connection in slow:
        connection.close()
    answer = until(lambda: (a := daemon.get("/samples.tar")).status == 200 and a, "a place")
    assert len(contents(tarfile.open(fileobj=io.BytesIO(answer.body)))) == 120


class Stalled:
    """An export whose client reads nothing for a while: what has been sent stands in the sockets' buffers, and the daemon waits."""

    def __init__(self, daemon: Daemon):
        self.connection = socket.socket()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.connection.settimeout(PATIENCE_S)
        self.connection.connect(("127.0.0.1", daemon.port))
        self.connection.sendall(b"GET /samples.tar HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.ports = f"{self.connection.getsockname()[1]:04X}", f"{daemon.port:04X}"
        self.seen, self.since, self.daemon = -1, 0.0, daemon
        until(self.is_full, "the buffers are full")

    def buffered(self) -> int:
        """Bytes that the daemon has sent and that were not read, of both ends."""
        total = 0
        for line in open("/proc/net/tcp").read().splitlines()[1:]:
            _, here, there, _, queues = line.split()[:5]
            ends = here.rpartition(":")[2], there.rpartition(":")[2]
            sent, received = (int(number, 16) for number in queues.split(":"))
            total += received if ends == self.ports else sent if ends == self.ports[::-1] else 0
        return total

    def is_full(self) -> bool:
        now, n = time.monotonic(), self.buffered()
        if n != self.seen:
            self.seen, self.since = n, now
        return n > 65536 and now - self.since > 1 and metric(self.daemon, "convd_heavy_requests_running") == 0

    def read(self) -> tuple[list[tuple[int, str]], int, bool]:
        """(id, folder) of each whole file, the bytes of all that came, and whether the archive has its end."""
        head, _, body = read_to_end(self.connection).partition(b"\r\n\r\n")
        self.connection.close()
        chunks, n, at = [], len(body), 0
        while at < n:
            begin = body.index(b"\r\n", at) + 2
            end = begin + int(body[at:begin - 2], 16)
            chunks.append(body[begin:end])
            at = end + 2
        out, files, at = b"".join(chunks), [], 0
        while at + 512 <= len(out) and out[at]:
            folder, _, name = out[at:at + 100].rstrip(b"\0").decode().partition("/")
            size = int(out[at + 124:at + 135], 8)
            at += 512 + (size + 511) // 512 * 512
            if at <= len(out):
                files.append((int(name.removesuffix(".png")), folder))
        return files, n, out.endswith(bytes(1024))


def taught(daemons, noise, n: int) -> Daemon:
    """28 x 28 pixels of noise: more than the sockets' buffers hold. Class of sample id: "abcd"[id % 4]."""
    daemon = daemons.start(daemons.init("--width", "28", "--height", "28", "--kernels", "0", "--hidden", "1",
                                        "--classes", "a,b,c,d,e,f"))
    for first in range(1, n, 1000):
        daemon.post("/train?labels=" + ",".join("abcd"[i % 4] for i in range(first, first + 1000)), noise.bytes(784 * 1000)).ok()
    return daemon


def test_an_export_across_the_removal_of_a_class_is_cut_and_has_no_file_in_another_s_folder(daemons, noise):
    daemon = taught(daemons, noise, 8000)
    slow = Stalled(daemon)
    daemon.request("PATCH", "/classes", json.dumps({"delete": "a"}).encode(),
                   {"Content-Type": "application/json", "Prefer": "wait=20"}).ok()
    files, _, whole = slow.read()
    assert files and all("abcd"[number % 4] == folder for number, folder in files)
    assert not whole and len(files) < 8000
    again = contents(export(daemon))
    assert len(again) == 6000 and all("abcd"[i % 4] == label for i, (label, _) in again.items())


def test_nothing_that_was_accepted_to_be_forgotten_is_sent_any_more(daemons, noise):
    daemon = taught(daemons, noise, 8000)
    slow = Stalled(daemon)
    buffered = slow.buffered()
    daemon.send_json("DELETE", "/samples", {"ids": list(range(1, 8000))}).ok(202)
    files, n, whole = slow.read()
    assert whole and files[-1][0] == 8000
    assert n < buffered + 65536  # blocks of the server, the file that was under way, the last one and the end
