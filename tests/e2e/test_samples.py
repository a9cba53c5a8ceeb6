"""/samples: what the model was trained on, as it saw it, and what it said just before."""
import io
import json
import sqlite3
import threading
from contextlib import closing
from datetime import datetime, timezone

import numpy as np
import pytest
from PIL import Image

from .daemon import Daemon, until
from .pictures import png


def pages(daemon: Daemon, query: str = "", limit: int = 7) -> list[dict]:
    """All that a search finds, page by page."""
    found, cursor = [], ""
    while cursor is not None:
        page = daemon.get(f"/samples?limit={limit}{query}" + (f"&cursor={cursor}" if cursor else "")).ok()
        assert len(page["samples"]) <= limit
        found += page["samples"]
        cursor = page["next"]
    return found


def pixels_of(answer) -> np.ndarray:
    assert answer.status == 200 and answer.header("Content-Type") == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.body)))


@pytest.mark.core
def test_a_sample_is_listed_with_what_was_said_of_it_and_its_picture_is_what_the_model_saw(daemon: Daemon, seven):
    trained = daemon.train("7", png(seven)).ok()
    [row] = daemon.get("/samples?limit=1").ok()["samples"]
    assert row["id"] == trained["samples"][0] and row["revision"] == trained["revision"]
    assert row["label"] == "7" and row["correct"] == (row["predicted"] == "7") == (trained["correct"] == 1)
    assert row["loss"] == trained["loss"] and row["live"] is True
    age = datetime.now(timezone.utc) - datetime.fromisoformat(row["created"].replace("Z", "+00:00"))
    assert abs(age.total_seconds()) < 600
    assert daemon.get(f"/samples/{row['id']}").ok() == row
    assert np.array_equal(pixels_of(daemon.get(f"/samples/{row['id']}/image")), seven)
    enlarged = pixels_of(daemon.get(f"/samples/{row['id']}/image?scale=3"))
    assert np.array_equal(enlarged, np.kron(seven, np.ones((3, 3), np.uint8)))


def test_pages_give_every_sample_once_and_filters_are_those_of_the_table(daemons, digits):
    db = daemons.copy()
    with closing(sqlite3.connect(db)) as connection:
        rows = connection.execute("SELECT id, label, predicted FROM sample_now ORDER BY id DESC").fetchall()
    daemon = daemons.start(db)
    for query, wanted in (("", lambda l, p: True), ("&label=3", lambda l, p: l == 3), ("&predicted=8", lambda l, p: p == 8),
                          ("&label=4&predicted=9", lambda l, p: (l, p) == (4, 9)), ("&wrong=1", lambda l, p: l != p),
                          ("&wrong=0&label=1", lambda l, p: l == p == 1)):
        expected = [i for i, label, predicted in rows if wanted(label, predicted)]
        assert expected
        assert [row["id"] for row in pages(daemon, query, 500)] == expected, query
    some = pages(daemon, "&label=4&predicted=9", 1)
    assert [row["id"] for row in some] == [i for i, label, predicted in rows if (label, predicted) == (4, 9)]


def test_times_bound_a_search(small: Daemon, noise):
    for _ in range(3):
        small.train("a", noise.integers(0, 256, 64, np.uint8).tobytes()).ok()
    newest, middle, oldest = pages(small)
    at = middle["created"]
    assert [r["id"] for r in pages(small, f"&from={at}")] == [newest["id"], middle["id"]]
    assert [r["id"] for r in pages(small, f"&to={at}")] == [middle["id"], oldest["id"]]
    assert [r["id"] for r in pages(small, f"&from={at}&to={at}")] == [middle["id"]]
    assert pages(small, "&to=1000000000") == [] and len(pages(small, "&from=1000000000")) == 3
    assert len(pages(small, "&to=2999-01-01T00:00:00Z")) == 3


@pytest.mark.core
def test_what_going_back_left_behind_is_not_listed(small: Daemon, noise):
    image = noise.integers(0, 256, 64, np.uint8).tobytes()
    kept = small.train("a", image).ok()["samples"][0]
    snapshot = small.post("/snapshots", b"", None).ok(201)["id"]
    left = small.train("b", image).ok()["samples"][0]
    small.post(f"/snapshots/{snapshot}/activate", b"", None).ok()
    assert [row["id"] for row in pages(small)] == [kept]
    assert small.get(f"/samples/{left}").ok()["live"] is False
    assert small.get(f"/samples/{left}/image").status == 200


def test_a_picture_that_the_client_has_is_not_sent_again(reader: Daemon):
    first = reader.get("/samples/1/image?scale=2")
    again = reader.get("/samples/1/image?scale=2", headers={"If-None-Match": first.header("ETag")})
    assert again.status == 304 and again.body == b"" and again.header("ETag") == first.header("ETag")
    other = reader.get("/samples/1/image", headers={"If-None-Match": first.header("ETag")})
    assert other.status == 200


def test_pictures_of_colour_and_of_many_channels(daemons, noise):
    for channels, mode in ((2, "RGBA"), (3, "RGB"), (4, "RGBA"), (5, "L")):
        daemon = daemons.start(daemons.init("--channels", str(channels), name=f"c{channels}.db"))
        image = noise.integers(0, 256, (channels, 8, 8), np.uint8)
        daemon.train("a", image.tobytes()).ok()
        answer = daemon.get("/samples/1/image")
        assert Image.open(io.BytesIO(answer.body)).mode == mode
        shown = pixels_of(answer)
        if channels == 2:
            assert np.array_equal(shown[..., 2], image[0]) and np.array_equal(shown[..., 3], image[1])
        elif channels == 5:
            assert np.array_equal(shown, image.reshape(40, 8))
        else:
            assert np.array_equal(shown, image.transpose(1, 2, 0))
        daemon.stop()


@pytest.mark.parametrize("query", ["wrong=2", "label=x", "predicted=", "from=yesterday", "to=2026-13-01T00:00:00Z", "limit=0",
                                   "limit=501", "cursor=x", "cursor=0", "from=2026-01-01T00:00:00", "lable=7"])
def test_a_search_that_makes_no_sense_is_refused(reader: Daemon, query):
    reader.get("/samples?" + query).problem(422)


def test_what_is_not_there_is_not_found(reader: Daemon):
    for path in ("/samples/999999", "/samples/0", "/samples/999999/image"):
        reader.get(path).problem(404, "not-found")
    reader.get("/samples/1/image?scale=33").problem(422)


def test_looking_goes_on_while_samples_are_learned(daemon: Daemon, digits):
    """Reads come after the writes of their round, and see them."""
    with daemon.client() as client:
        for i in range(50):
            trained = client.train(str(digits.test_labels[i]), digits.test_images[i].tobytes()).ok()
            assert client.get("/samples?limit=1").ok()["samples"][0]["id"] == trained["samples"][0]


def test_a_search_across_the_removal_of_classes_finds_samples_of_its_class_alone(daemons, noise):
    """What is rare and old is searched for in many turns of the trainer; columns close up between two of them."""
    gone = [f"x{i}" for i in range(6)]
    daemon = daemons.start(daemons.init("--kernels", "0", "--hidden", "1", "--classes", ",".join([*gone, "rare", "last"])))
    daemon.train("rare", noise.bytes(64 * 3)).ok()
    for label in gone:
        daemon.train(label, noise.bytes(64)).ok()
    for _ in range(12):
        daemon.train("last", noise.bytes(64 * 4000)).ok()
    over, wrong, searches = threading.Event(), [], [0] * 3

    def search(i: int) -> None:
        while not over.is_set():
            found = pages(daemon, "&label=rare", 500)
            searches[i] += 1
            if [(row["id"], row["label"]) for row in found] != [(3, "rare"), (2, "rare"), (1, "rare")]:
                wrong.append(found[:3])

    threads = [threading.Thread(target=search, args=(i,)) for i in range(len(searches))]
    for thread in threads:
        thread.start()
    try:
        for label in gone:
            at = list(searches)
            until(lambda: all(n > m for n, m in zip(searches, at)), "all of them search")
            daemon.request("PATCH", "/classes", json.dumps({"delete": label}).encode(),
                           {"Content-Type": "application/json", "Prefer": "wait=20"}).ok()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert wrong == []
