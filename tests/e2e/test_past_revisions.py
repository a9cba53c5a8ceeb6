"""POST /predict?revision=N: as the model was."""
import time

import numpy as np
import pytest

from .daemon import Daemon, until


def says(daemon: Daemon, image: bytes, query: str = "") -> tuple[dict, str]:
    answer = daemon.post("/predict" + query, image)
    return answer.ok(), answer.header("ETag")


@pytest.mark.core
def test_every_past_revision_answers_as_it_did_then_also_after_kill_9(small: Daemon, noise):
    image = noise.integers(0, 256, 64, dtype=np.uint8).tobytes()
    then = {1: says(small, image)}
    for _ in range(4):
        for label in "abc":
            answer = small.train(label, noise.integers(0, 256, (5, 8, 8), dtype=np.uint8).tobytes()).ok()
            then[answer["revision"]] = says(small, image)
    small.send_json("POST", "/classes", {"label": "d"}).ok(201)
    then[small.model()["revision"]] = says(small, image)
    small.send_json("PATCH", "/model", {"rate": 0.5, "rehearsal": 2}).ok()
    revision = small.train("d", image * 20).ok()["revision"]
    then[revision] = says(small, image)
    assert len({str(answer["probabilities"]) for answer, _ in then.values()}) == len(then)
    small.kill()
    small.start()
    for revision in [*then, *reversed(then)]:  # more than are kept
        answer, etag = says(small, image, f"?revision={revision}")
        assert (answer, etag) == then[revision] and etag == f'"r{revision}"' and answer["revision"] == revision


def test_all_forms_of_an_answer_come_from_the_past_as_well(daemon: Daemon, digits):
    images = digits.test_images[:3].tobytes()
    revision = daemon.model()["revision"]
    many = says(daemon, images, "?top=2")
    explained = says(daemon, images[:784], "?explain=1")
    picture = daemon.post("/predict?explain=1", images[:784], headers={"Accept": "image/png"}).body
    daemon.train("1", digits.test_images[:200].tobytes()).ok()
    assert says(daemon, images, f"?top=2&revision={revision}") == many
    assert says(daemon, images[:784], f"?explain=1&revision={revision}") == explained
    again = daemon.post(f"/predict?explain=1&revision={revision}", images[:784], headers={"Accept": "image/png"})
    assert again.body == picture and again.header("ETag") == f'"r{revision}"'
    daemon.post(f"/predict?revision={revision}", b"GIF89a is none", "image/gif").problem(415, "media-type")
    daemon.post(f"/predict?revision={revision}", images[:783]).problem(422, "input-size")


def test_what_was_left_behind_by_going_back_can_still_be_asked(small: Daemon, noise):
    image = noise.integers(0, 256, 64, dtype=np.uint8).tobytes()
    start = small.post("/snapshots", b"", None).ok(201)["id"]
    astray = small.train("a", image * 50).ok()["revision"]
    then = says(small, image)
    small.post(f"/snapshots/{start}/activate", b"", None).ok()
    assert says(small, image)[0]["probabilities"] != then[0]["probabilities"]
    assert says(small, image, f"?revision={astray}") == then


def test_a_revision_that_never_was_is_not_found_and_the_live_one_is(small: Daemon):
    image = bytes(64)
    assert says(small, image, "?revision=1") == says(small, image)
    assert "last is 1" in small.post("/predict?revision=2", image).problem(404, "not-found")["detail"]
    for wrong in ("0", "-1", "x", "", "99999999999999999999"):
        small.post("/predict?revision=" + wrong, image).problem(422, "value")
    small.post("/predict?revision=1&remember=1", image).problem(422, "value")


def test_after_an_edit_the_past_is_the_edited_one(small: Daemon, noise):
    image = noise.integers(0, 256, 64, dtype=np.uint8).tobytes()
    before = small.train("a", image * 20).ok()["revision"]
    edited = small.train("b", image).ok()
    small.train("c", image * 3).ok()
    query = f"?revision={edited['revision']}"
    assert says(small, image, query)[0]["probabilities"] != says(small, image, f"?revision={before}")[0]["probabilities"]
    small.request("DELETE", f"/samples/{edited['samples'][0]}", None, {"Prefer": "wait=25"}).ok()
    assert says(small, image, query)[0]["probabilities"] == says(small, image, f"?revision={before}")[0]["probabilities"]


def test_a_long_replay_is_told_by_503_and_goes_on_while_all_else_is_served(daemons, noise):
    daemon = daemons.start(daemons.init("--hidden", "2048"), "--snapshot-samples", "0")
    image = noise.integers(0, 256, 64, dtype=np.uint8).tobytes()
    images = noise.integers(0, 256, (2000, 8, 8), dtype=np.uint8).tobytes()
    revision = daemon.train("a", images).ok()["revision"]
    then = says(daemon, image)
    daemon.train("b", images).ok()
    daemon.flags += ["--request-seconds", "1"]
    daemon.restart()
    refused = daemon.post(f"/predict?revision={revision}", image)
    assert "replayed from the log" in refused.problem(503, "busy")["detail"] and int(refused.header("Retry-After")) >= 1

    def there():
        assert daemon.train("c", image).ok()["accepted"] == 1
        assert daemon.predict(image)["revision"] > revision
        answer = daemon.post(f"/predict?revision={revision}", image)
        return answer.status != 503 and answer
    answer = until(there, "that state")
    assert (answer.ok(), answer.header("ETag")) == then


def test_a_stop_does_not_wait_for_a_long_replay(daemons, noise):
    daemon = daemons.start(daemons.init("--hidden", "8192"), "--request-seconds", "600", "--snapshot-samples", "0")
    images = noise.integers(0, 256, (2000, 8, 8), dtype=np.uint8).tobytes()
    revision = [daemon.train(label, images).ok()["revision"] for label in "abc"][-2]
    with daemon.client() as client:
        client.connection.request("POST", f"/predict?revision={revision}", bytes(64), {"Content-Type": "application/octet-stream"})
        time.sleep(0.05)
        began = time.monotonic()
        daemon.stop()
        took = time.monotonic() - began
        assert client.connection.getresponse().status in (200, 503)
    assert took < 8  # requests that do not end are given ten
