"""GET /samples.tar: the data set elsewhere, exactly."""
import io
import sqlite3
import subprocess
import tarfile
import threading
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from .daemon import Daemon, convd_json


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
        for _ in range(3):
            files = contents(export(daemon))
            assert sorted(files) == list(range(1, len(files) + 1)) and len(files) >= before
    finally:
        done.set()
        thread.join()


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
    for _ in range(200):
        answer = daemon.get("/samples.tar")
        if answer.status == 200:
            break
    assert len(contents(tarfile.open(fileobj=io.BytesIO(answer.body)))) == 120
