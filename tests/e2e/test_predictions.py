"""?remember=1 on /predict, and /predictions: an image now, its label later."""
import io
import time

import numpy as np
import pytest
from PIL import Image

from .daemon import Daemon, convd_json, until


def remember(daemon: Daemon, image: np.ndarray, query: str = "") -> dict:
    return daemon.predict(image.tobytes(), query="?remember=1" + query)


def label(daemon: Daemon, prediction: str, text: str):
    return daemon.send_json("POST", f"/predictions/{prediction}/label", {"label": text})


def listed(daemon: Daemon, query: str = "") -> list[dict]:
    return daemon.get("/predictions" + query).ok()["predictions"]


@pytest.mark.core
def test_a_remembered_prediction_is_listed_with_its_image(daemon: Daemon, seven):
    said = remember(daemon, seven)
    assert said["id"].isdigit()
    [one] = listed(daemon)
    assert daemon.get(f"/predictions/{said['id']}").ok() == one
    top = dict(sorted(said["probabilities"].items(), key=lambda item: -item[1])[:5])
    assert one["probabilities"] == top and list(one["probabilities"]) == list(top)
    assert {k: one[k] for k in ("id", "label", "confidence", "step", "revision")} == {
        k: said[k] for k in ("id", "label", "confidence", "step", "revision")}
    assert one["labelled"] is None
    image = daemon.get(f"/predictions/{said['id']}/image?scale=2")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(image.body))), np.kron(seven, np.ones((2, 2), np.uint8)))
    assert daemon.get("/predictions").ok()["remembered"] == 1
    assert "id" not in daemon.predict(seven.tobytes()) and len(listed(daemon)) == 1


def test_several_images_get_an_id_each(daemon: Daemon, digits):
    answer = daemon.predict(digits.test_images[:5].tobytes(), query="?remember=1&top=1")
    ids = [int(p["id"]) for p in answer["predictions"]]
    assert ids == sorted(set(ids))
    assert [p["id"] for p in listed(daemon, "?order=newest")] == [str(i) for i in reversed(ids)]


@pytest.mark.core
def test_the_least_certain_come_first(daemon: Daemon, digits):
    answer = daemon.predict(digits.test_images[:40].tobytes(), query="?remember=1")["predictions"]
    expected = [p["id"] for p in sorted(answer, key=lambda p: (max(p["probabilities"].values()), int(p["id"])))]
    assert [p["id"] for p in listed(daemon)] == expected
    assert [p["id"] for p in listed(daemon, "?limit=3")] == expected[:3]
    label(daemon, expected[0], "7").ok()
    assert [p["id"] for p in listed(daemon)] == expected[1:]
    [done] = [p for p in listed(daemon, "?order=newest") if p["id"] == expected[0]]
    assert done["labelled"] == "7"


def wrong_one(daemon: Daemon, digits) -> tuple[np.ndarray, str, dict]:
    """An image that the model takes for something else; its true label; what it was told, remembered."""
    for image, truth in zip(digits.test_images, digits.test_labels):
        if daemon.predict(image.tobytes(), query="?top=1")["label"] != str(truth):
            return image, str(truth), remember(daemon, image)
    raise AssertionError("it makes no mistakes")


@pytest.mark.core
def test_a_label_trains_as_the_picture_sent_to_train_would(daemon: Daemon, digits):
    image, truth, said = wrong_one(daemon, digits)
    assert said["label"] != truth
    for _ in range(40):  # until it knows
        daemon.train(truth, image.tobytes()).ok()
    now = daemon.predict(image.tobytes())
    assert now["label"] == truth
    before = daemon.get("/stats").ok()
    answer = label(daemon, said["id"], truth)
    learned = answer.ok()
    y = np.array([name == truth for name in now["probabilities"]], float)
    assert learned["accepted"] == 1 and learned["correct"] == 1
    assert learned["loss"] == pytest.approx(0.5 * np.sum((np.array(list(now["probabilities"].values())) - y) ** 2), abs=1e-6)
    assert answer.header("ETag") == f'"r{learned["revision"]}"'
    t = list(said["probabilities"]).index(truth)
    assert daemon.get("/stats").ok()["confusion"][t][t] == before["confusion"][t][t] + 1
    row = daemon.get(f"/samples/{learned['samples'][0]}").ok()
    assert (row["label"], row["predicted"], row["correct"]) == (truth, truth, True)
    model = daemon.model()
    daemon.kill()
    assert convd_json("verify", "--db", daemon.db)["digest"] == model["digest"]
    assert daemon.start().model() == model


@pytest.mark.core
def test_a_label_is_safe_to_repeat(daemon: Daemon, seven):
    said = remember(daemon, seven)
    first = label(daemon, said["id"], "7").ok()
    model = daemon.model()
    assert label(daemon, said["id"], "7").ok() == first
    label(daemon, said["id"], "1").problem(409, "conflict")
    assert daemon.model() == model
    daemon.request("DELETE", f"/predictions/{said['id']}").ok(204)
    assert label(daemon, said["id"], "7").ok() == first
    daemon.kill()
    daemon.start()
    assert label(daemon, said["id"], "7").ok() == first
    label(daemon, said["id"], "1").problem(409, "conflict")
    assert daemon.model()["digest"] == model["digest"]


def test_a_label_is_safe_to_repeat_though_its_class_is_gone(daemon: Daemon, seven):
    snapshot = daemon.post("/snapshots", b"", None).ok(201)["id"]
    daemon.send_json("POST", "/classes", {"label": "seven"}).ok(201)
    said, other = remember(daemon, seven), remember(daemon, seven)
    first = label(daemon, said["id"], "seven").ok()
    daemon.post(f"/snapshots/{snapshot}/activate", b"", None).ok()
    assert label(daemon, said["id"], "seven").ok() == first
    label(daemon, said["id"], "eight").problem(409, "conflict")
    label(daemon, other["id"], "seven").problem(422, "label-unknown", "/label")
    daemon.kill()
    daemon.start()
    assert label(daemon, said["id"], "seven").ok() == first


def test_a_label_that_outlives_its_key_is_not_trained_twice(daemons, seven):
    daemon = daemons.start(daemons.copy(), "--key-seconds", "0")
    said = remember(daemon, seven)
    label(daemon, said["id"], "7").ok()
    model = daemon.model()
    again = until(lambda: (answer := label(daemon, said["id"], "7")).status != 200 and answer, "the key is forgotten")
    assert "no longer kept" in again.problem(409, "conflict")["detail"]
    label(daemon, said["id"], "1").problem(409, "conflict")
    assert daemon.model()["digest"] == model["digest"]


def test_labels_given_at_once_train_once(daemon: Daemon, seven):
    from concurrent.futures import ThreadPoolExecutor
    said = remember(daemon, seven)
    step = daemon.model()["step"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: label(daemon, said["id"], "7" if i % 2 else "1"), range(16)))
    good = [a.json() for a in answers if a.status == 200]
    assert len(good) == 8 and all(a == good[0] for a in good)
    assert sorted({a.status for a in answers}) == [200, 409]
    assert daemon.model()["step"] == step + 1


def test_number_and_age_bound_what_is_remembered(daemons, digits):
    daemon = daemons.start(daemons.copy(), "--remember", "3", "--remember-seconds", "2")
    begin = time.monotonic()
    ids = [remember(daemon, image)["id"] for image in digits.test_images[:5]]
    assert [p["id"] for p in listed(daemon, "?order=newest")] == ids[:1:-1] or time.monotonic() > begin + 2
    daemon.get(f"/predictions/{ids[0]}").problem(404, "not-found")
    label(daemon, ids[0], "7").problem(404, "not-found")
    time.sleep(2.1)
    assert listed(daemon) == []
    none = daemons.start(daemons.copy("none.db"), "--remember", "0")
    none.post("/predict?remember=1", digits.one(1).tobytes()).problem(422, "limit")
    none.predict(digits.one(1).tobytes())


def test_a_class_that_came_later_is_a_label_too(daemon: Daemon, seven):
    said = remember(daemon, seven)
    daemon.send_json("POST", "/classes", {"label": "seven"}).ok(201)
    row = daemon.get(f"/samples/{label(daemon, said['id'], 'seven').ok()['samples'][0]}").ok()
    assert row["label"] == "seven"


def test_a_class_that_is_renamed_stays_the_one_that_was_predicted(daemon: Daemon, seven):
    said = remember(daemon, seven)
    daemon.send_json("PATCH", "/classes", {"from": said["label"], "to": "renamed"}).ok()
    [one] = listed(daemon)
    assert (one["label"], one["confidence"]) == ("renamed", said["confidence"])
    label(daemon, said["id"], said["label"]).problem(422, "label-unknown", "/label")
    label(daemon, said["id"], "renamed").ok()
    assert daemon.get(f"/predictions/{said['id']}").ok()["labelled"] == "renamed"


def test_a_prediction_of_a_class_that_going_back_took_away_can_be_labelled(small: Daemon, noise):
    image = noise.integers(0, 256, (8, 8), np.uint8)
    snapshot = small.post("/snapshots", b"", None).ok(201)["id"]
    small.send_json("POST", "/classes", {"label": "d"}).ok(201)
    for _ in range(60):
        small.train("d", image.tobytes()).ok()
    said = remember(small, image)
    assert said["label"] == "d"
    small.post(f"/snapshots/{snapshot}/activate", b"", None).ok()
    [one] = listed(small)
    assert one["label"] is None and "d" not in one["probabilities"]
    now = small.predict(image.tobytes())["label"]
    learned = label(small, said["id"], "a").ok()
    assert small.get(f"/samples/{learned['samples'][0]}").ok()["predicted"] == now
    digest = small.digest()
    small.stop()
    assert convd_json("verify", "--db", small.db)["digest"] == digest


@pytest.mark.parametrize("body", [{}, {"label": 7}, {"label": "x"}, {"label": "7", "more": 1}, {"lable": "7"}])
def test_a_label_that_makes_no_sense_is_refused(daemon: Daemon, seven, body):
    said = remember(daemon, seven)
    daemon.send_json("POST", f"/predictions/{said['id']}/label", body).problem(422, pointer="/label")
    assert listed(daemon)[0]["labelled"] is None


def test_what_is_not_remembered_is_not_found(reader: Daemon):
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/image")):
        reader.request(method, f"/predictions/123{path}").problem(404, "not-found")
    label(reader, "123", "7").problem(404, "not-found")
    for query in ("?order=best", "?limit=0", "?limit=501"):
        reader.get("/predictions" + query).problem(422)


def test_a_prediction_is_never_shown_under_the_name_of_a_class_that_came_in_the_place_of_its_own(small: Daemon, noise):
    image = noise.integers(0, 256, (8, 8), np.uint8)
    snapshot = small.post("/snapshots", b"", None).ok(201)["id"]
    small.send_json("POST", "/classes", {"label": "d"}).ok(201)
    for _ in range(60):
        small.train("d", image.tobytes()).ok()
    said = remember(small, image)
    assert said["label"] == "d"
    small.post(f"/snapshots/{snapshot}/activate", b"", None).ok()
    small.send_json("POST", "/classes", {"label": "e"}).ok(201)
    assert listed(small) == []
    small.get(f"/predictions/{said['id']}").problem(404, "not-found")
    label(small, said["id"], "e").problem(404, "not-found")
    before = remember(small, image)
    latest = small.post("/snapshots", b"", None).ok(201)["id"]
    small.post(f"/snapshots/{snapshot}/activate", b"", None).ok()
    assert [p["id"] for p in listed(small)] == [before["id"]]
    small.post(f"/snapshots/{latest}/activate", b"", None).ok()
    small.get(f"/predictions/{before['id']}").problem(404, "not-found")  # the class could be another as well
    assert small.get(f"/predictions/{remember(small, image)['id']}").ok()["label"] is not None
