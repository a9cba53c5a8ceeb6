"""GET /snapshots/{a}/diff/{b} and convd snapshots diff: held against NumPy's own pass over the same weights."""
import numpy as np
import pytest

from .daemon import Daemon, convd, convd_json
from .reference import Network, read_safetensors


def take(daemon: Daemon) -> int:
    return daemon.send_json("POST", "/snapshots", {}).ok(201)["id"]


def weights(daemon: Daemon) -> tuple[dict, dict]:
    return read_safetensors(daemon.get("/model.safetensors").body)


def diff(daemon: Daemon, a: int, b: int, query: str = "") -> dict:
    return daemon.get(f"/snapshots/{a}/diff/{b}{query}").ok()


@pytest.mark.core
def test_accuracies_disagreements_classes_and_distances_are_those_that_numpy_finds(daemon: Daemon, digits):
    a, before = take(daemon), weights(daemon)
    daemon.send_json("PATCH", "/model", {"rate": 0.5}).ok()
    images, labels = digits.test_images[:60], digits.test_labels[:60]
    trained = daemon.post("/train?labels=" + ",".join(map(str, labels)), images.tobytes()).ok()
    b, after = take(daemon), weights(daemon)
    said = diff(daemon, a, b)

    networks = [Network(*before), Network(*after)]
    guesses = [[network.classes[network.predict(image[None]).argmax()] for image in images] for network in networks]
    truths = [str(label) for label in labels]
    for side, snapshot, guess in (("a", a, guesses[0]), ("b", b, guesses[1])):
        right = sum(g == t for g, t in zip(guess, truths))
        assert said[side]["snapshot"] == snapshot and said[side]["correct"] == right
        assert said[side]["accuracy"] == pytest.approx(right / 60, abs=1e-9)
    assert said["samples"] == {"n": 60, "first": trained["samples"][0], "last": trained["samples"][1], "more": False}
    assert said["disagree"] == sum(x != y for x, y in zip(*guesses)) > 0
    for row in said["classes"]:
        left = sum(x == row["label"] != y for x, y in zip(*guesses))
        came = sum(x != row["label"] == y for x, y in zip(*guesses))
        assert row == {"label": row["label"], "samples": truths.count(row["label"]), "changed": left + came, "left": left, "came": came}
    changes = [row["changed"] for row in said["classes"]]
    assert changes == sorted(changes, reverse=True) and sum(changes) == 2 * said["disagree"]
    assert {row["label"] for row in said["classes"]} >= set(truths)
    assert [t["name"] for t in said["tensors"]] == ["kernels", "w01", "w12"]
    for tensor in said["tensors"]:
        x, y = (w[0][tensor["name"]].astype(float) for w in (before, after))
        assert tensor["l2"] == pytest.approx(np.linalg.norm(y - x), rel=1e-6) and tensor["l2"] > 0
        assert tensor["relative"] == pytest.approx(np.linalg.norm(y - x) / np.linalg.norm(x), rel=1e-6)
        assert tensor["max"] == pytest.approx(np.abs(y - x).max(), rel=1e-6)


def test_the_other_way_round_is_the_same_with_left_and_came_exchanged(daemon: Daemon, digits):
    a = take(daemon)
    daemon.train("1", digits.test_images[:30].tobytes()).ok()
    b = take(daemon)
    there, back = diff(daemon, a, b), diff(daemon, b, a)
    assert there["disagree"] > 0 and back["disagree"] == there["disagree"] and back["samples"] == there["samples"]
    assert back["a"] == there["b"] and back["b"] == there["a"]
    exchanged = [{**row, "left": row["came"], "came": row["left"]} for row in back["classes"]]
    assert exchanged == there["classes"]
    assert [t["l2"] for t in back["tensors"]] == [t["l2"] for t in there["tensors"]]


def test_a_snapshot_compared_with_itself_has_no_samples_and_no_distance(daemon: Daemon):
    a = take(daemon)
    said = diff(daemon, a, a)
    assert said["samples"] == {"n": 0, "first": 0, "last": 0, "more": False} and said["disagree"] == 0 and said["classes"] == []
    assert said["a"]["accuracy"] is None and all(t["l2"] == t["max"] == 0 for t in said["tensors"])


def test_what_was_left_behind_by_going_back_is_not_between(daemon: Daemon, digits):
    a = take(daemon)
    daemon.train("1", digits.test_images[:30].tobytes()).ok()
    astray = take(daemon)
    back = daemon.post(f"/snapshots/{a}/activate", b"", None).ok()["snapshot"]["id"]
    assert diff(daemon, a, back)["samples"]["n"] == 0
    daemon.train("2", digits.test_images[:20].tobytes()).ok()
    said = diff(daemon, astray, take(daemon))
    assert said["samples"]["n"] == 50, "each of two branches has samples that the other has not"
    assert {row["label"]: row["samples"] for row in said["classes"] if row["samples"]} == {"1": 30, "2": 20}


def test_only_the_newest_are_looked_at_where_fewer_are_asked_for(daemon: Daemon, digits):
    a = take(daemon)
    last = daemon.train("1", digits.test_images[:30].tobytes()).ok()["samples"][1]
    said = diff(daemon, a, take(daemon), "?samples=7")
    assert said["samples"] == {"n": 7, "first": last - 6, "last": last, "more": True}


def test_a_class_that_came_between_is_one_that_only_the_later_names(small: Daemon, noise):
    a = take(small)
    small.send_json("POST", "/classes", {"label": "new"}).ok(201)
    small.send_json("PATCH", "/model", {"rate": 0.9}).ok()
    small.train("new", noise.integers(0, 256, (60, 8, 8), dtype=np.uint8).tobytes()).ok()
    said = diff(small, a, take(small))
    [row] = [row for row in said["classes"] if row["label"] == "new"]
    assert row["samples"] == 60 and row["left"] == 0 and row["came"] > 30 and said["a"]["correct"] == 0
    small.send_json("PATCH", "/classes", {"from": "new", "to": "newer"}).ok()
    assert "newer" in {row["label"] for row in diff(small, a, take(small))["classes"]}


def test_ten_thousand_samples_are_the_most_and_training_goes_on_meanwhile(small: Daemon, noise):
    a = take(small)
    images = noise.integers(0, 256, (4000, 8, 8), dtype=np.uint8).tobytes()
    for label in "abc":
        small.train(label, images).ok()
    b = take(small)
    with small.client() as client:
        client.connection.request("GET", f"/snapshots/{a}/diff/{b}")
        assert small.train("a", images[:64]).ok()["accepted"] == 1
        said = client.connection.getresponse().read()
    assert b'"samples":{"n":10000,"first":2001,"last":12000,"more":true}' in said
    small.get(f"/snapshots/{a}/diff/{b}?samples=10001").problem(422, "value")


@pytest.mark.parametrize("ids", [(1, 99), (99, 1)])
def test_a_snapshot_that_is_none_is_not_found(reader: Daemon, ids):
    reader.get(f"/snapshots/{ids[0]}/diff/{ids[1]}").problem(404, "not-found")


def test_the_command_line_says_the_same_from_the_database_as_from_the_daemon(daemon: Daemon, digits):
    a = take(daemon)
    daemon.train("1", digits.test_images[:30].tobytes()).ok()
    b = take(daemon)
    words = ["snapshots", "diff", str(a), str(b)]
    told = convd_json(*words, "--url", daemon.url)
    assert told == diff(daemon, a, b)
    table = convd(*words, "--url", daemon.url).stdout
    daemon.stop()
    assert convd_json(*words, "--db", daemon.db) == told
    assert convd(*words, "--db", daemon.db).stdout == table
    assert b"predictions differ for" in table and b"w12" in table
    assert convd(*words, "--db", daemon.db, "--samples", "0", check=False).returncode == 2
    assert convd(*words[:3], "--db", daemon.db, check=False).returncode == 2
