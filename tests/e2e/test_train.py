"""POST /train: every kind of body and label, what the answer says, and what is in the database afterwards."""
import base64
import json
import sqlite3
from urllib.parse import quote

import numpy as np
import pytest

from .daemon import Daemon
from .pictures import BODY_KINDS, FORM, b64, form, pixel_list, png, to_json


def rows(db, sql: str, *args) -> list:
    connection = sqlite3.connect(f"file:{db}?mode=ro", uri=True)
    try:
        return connection.execute(sql, args).fetchall()
    finally:
        connection.close()


def loss_of(prediction: dict, label: str) -> float:
    return sum((p - (name == label)) ** 2 for name, p in prediction["probabilities"].items()) / 2


@pytest.mark.core
def test_the_answer_tells_what_was_accepted_and_where_it_is(daemon: Daemon, seven):
    before = daemon.model()
    answer = daemon.train("7", seven.tobytes())
    said = answer.ok()
    assert set(said) == {"accepted", "step", "revision", "samples", "loss", "correct"}
    assert said["accepted"] == 1
    assert said["step"] == before["step"] + 1
    assert said["revision"] == before["revision"] + 1
    first, last = said["samples"]
    assert first == last > 0
    assert answer.header("ETag") == f'"r{said["revision"]}"'
    after = daemon.model()
    assert (after["step"], after["revision"]) == (said["step"], said["revision"])
    assert after["digest"] != before["digest"]


@pytest.mark.core
@pytest.mark.parametrize("label", ["7", "3"])
def test_loss_and_correct_are_those_of_the_prediction_before_learning(daemon: Daemon, seven, label):
    prediction = daemon.predict(seven.tobytes())
    said = daemon.train(label, seven.tobytes()).ok()
    assert said["correct"] == (prediction["label"] == label)
    assert said["loss"] == pytest.approx(loss_of(prediction, label), rel=1e-5, abs=1e-7)


def test_loss_and_correct_of_a_batch_are_mean_and_sum_over_a_model_that_learns_between(daemon: Daemon, digits, daemons):
    other = daemons.start(daemons.copy("other.db"))
    images, labels = digits.test_images[:20], [str(l) for l in digits.test_labels[:20]]
    batch = daemon.post("/train?labels=" + ",".join(labels), images.tobytes()).ok()
    alone = [other.train(label, image.tobytes()).ok() for label, image in zip(labels, images)]
    assert batch["accepted"] == 20
    assert batch["correct"] == sum(a["correct"] for a in alone)
    assert batch["loss"] == pytest.approx(np.mean([a["loss"] for a in alone]), abs=2e-9)
    assert daemon.digest() == other.digest()


@pytest.mark.core
def test_learning_makes_the_label_more_probable(daemon: Daemon, noise):
    image = noise.integers(0, 256, (28, 28), np.uint8)
    before = daemon.predict(image.tobytes())["probabilities"]["4"]
    for _ in range(5):
        daemon.train("4", image.tobytes()).ok()
    assert daemon.predict(image.tobytes())["probabilities"]["4"] > before


# ---- kinds of bodies ----

@pytest.fixture(scope="module")
def digest_of_seven(shared_daemons, seven) -> str:
    daemon = shared_daemons.start(shared_daemons.copy("reference.db"))
    daemon.train("7", seven.tobytes()).ok()
    return daemon.digest()


# JSON bodies carry their label themselves.
LABELLED = {
    "json pixels": lambda image: to_json({"image": pixel_list(image), "label": "7"}),
    "json b64": lambda image: to_json({"label": "7", "image": b64(png(image))}),
    "json samples": lambda image: to_json({"samples": [{"label": "7", "image": b64(image.tobytes())}]}),
    "ndjson": lambda image: to_json({"label": "7", "image": pixel_list(image)}) + b"\n",
    "ndjson without a line end": lambda image: to_json({"label": "7", "image": pixel_list(image)}),
}


@pytest.mark.parametrize("kind", BODY_KINDS)
def test_every_kind_of_body_with_label_in_the_query_trains_the_same(daemon: Daemon, seven, digest_of_seven, kind):
    content_type, body = BODY_KINDS[kind]
    assert daemon.train("7", body(seven), content_type).ok()["accepted"] == 1
    assert daemon.digest() == digest_of_seven


@pytest.mark.parametrize("kind", LABELLED)
def test_every_json_body_with_its_own_label_trains_the_same(daemon: Daemon, seven, digest_of_seven, kind):
    content_type = "application/x-ndjson" if "ndjson" in kind else "application/json"
    assert daemon.post("/train", LABELLED[kind](seven), content_type).ok()["accepted"] == 1
    assert daemon.digest() == digest_of_seven


def test_a_form_field_names_its_label(daemon: Daemon, seven, digest_of_seven):
    daemon.post("/train", form(("7", "a.png", png(seven))), FORM).ok()
    assert daemon.digest() == digest_of_seven


@pytest.fixture(scope="module")
def digest_of_three(shared_daemons, digits) -> str:
    """After test images 0, 1 and 2 with their labels, one after the other."""
    daemon = shared_daemons.start(shared_daemons.copy("reference-3.db"))
    for image, label in zip(digits.test_images[:3], digits.test_labels):
        daemon.train(str(label), image.tobytes()).ok()
    return daemon.digest()


def three(digits) -> list[tuple[str, np.ndarray]]:
    return [(str(label), image) for label, image in zip(digits.test_labels[:3], digits.test_images)]


def in_raw_batch(digits):
    query = "?labels=" + ",".join(label for label, _ in three(digits))
    return "/train" + query, "application/octet-stream", digits.test_images[:3].tobytes()


def in_form(digits):
    return "/train", FORM, form(*[(label, "x.png", png(image)) for label, image in three(digits)])


def in_form_with_labels(digits):
    parts = [("file", f"{i}.png", png(image)) for i, (_, image) in enumerate(three(digits))]
    return "/train?labels=" + ",".join(label for label, _ in three(digits)), FORM, form(*parts)


def in_json(digits):
    return "/train", "application/json", to_json(
        {"samples": [{"label": label, "image": pixel_list(image)} for label, image in three(digits)]})


def in_json_images(digits):
    query = "?labels=" + ",".join(label for label, _ in three(digits))
    return "/train" + query, "application/json", to_json({"images": [b64(png(image)) for _, image in three(digits)]})


def in_ndjson(digits):
    lines = [to_json({"label": label, "image": b64(png(image))}) for label, image in three(digits)]
    return "/train", "application/x-ndjson", b"\n".join(lines[:2]) + b"\r\n\n" + lines[2] + b"\n"


@pytest.mark.core
@pytest.mark.parametrize("make", [in_raw_batch, in_form, in_form_with_labels, in_json, in_json_images, in_ndjson])
def test_a_batch_trains_as_its_samples_one_by_one(daemon: Daemon, digits, digest_of_three, make):
    before = daemon.model()
    said = daemon.post(*[make(digits)[i] for i in (0, 2, 1)]).ok()
    assert said["accepted"] == 3
    assert said["samples"][1] - said["samples"][0] == 2
    assert said["step"] == before["step"] + 3
    assert said["revision"] == before["revision"] + 1
    assert daemon.digest() == digest_of_three


def test_one_label_can_hold_for_a_whole_batch(daemon: Daemon, digits):
    sevens = digits.test_images[digits.test_labels == 7][:4]
    assert daemon.train("7", sevens.tobytes()).ok()["accepted"] == 4
    assert daemon.get("/stats").ok()["classes"][7]["seen"] >= 4


@pytest.mark.parametrize("label", ["ä b", "a/b?c=d&e", "日本", "+", "50%", "#1", "x" * 64, 'say "hi"', "\\"])
def test_a_label_of_any_characters_can_be_trained_by_every_way(small: Daemon, noise, label):
    image = noise.integers(0, 256, (8, 8), np.uint8)
    small.send_json("POST", "/classes", {"label": label}).ok(201)
    small.post("/train?label=" + quote(label, safe=""), image.tobytes()).ok()
    small.send_json("POST", "/train", {"label": label, "image": pixel_list(image)}).ok()
    field = label.replace("\\", "\\\\").replace('"', "%22")
    small.post("/train", form((field, "a.png", png(image))), FORM).ok()
    counts = {c["label"]: c["seen"] for c in small.get("/stats").ok()["classes"]}
    assert counts[label] == 3


def test_a_plus_in_a_query_is_a_space(small: Daemon):
    small.send_json("POST", "/classes", {"label": "new york"}).ok(201)
    small.post("/train?label=new+york", bytes(63) + b"\1").ok()
    assert {c["label"]: c["seen"] for c in small.get("/stats").ok()["classes"]}["new york"] == 1


# ---- what is in the database ----

@pytest.mark.core
def test_samples_are_in_the_database_as_they_were_trained(daemon: Daemon, digits):
    predictions, saids = [], []
    for label, image in three(digits):
        predictions.append(daemon.predict(image.tobytes()))
        saids.append(daemon.train(label, png(image), "image/png").ok())
    daemon.stop()
    for said, prediction, (label, image) in zip(saids, predictions, three(digits)):
        found = rows(daemon.db,
                     "SELECT revision, label_text, predicted_text, loss, image FROM labelled_sample WHERE id = ?",
                     said["samples"][0])
        assert len(found) == 1
        revision, label_text, predicted_text, loss, pixels = found[0]
        assert revision == said["revision"]
        assert label_text == label and predicted_text == prediction["label"]
        assert loss == pytest.approx(said["loss"], abs=1e-8)
        assert pixels == image.tobytes()


def test_the_event_of_a_batch_names_its_samples(daemon: Daemon, digits):
    said = daemon.train("7", digits.test_images[:5].tobytes()).ok()
    daemon.stop()
    [(kind, first, n)] = rows(daemon.db,
                              "SELECT kind, body ->> '$.first', body ->> '$.n' FROM event WHERE revision = ?",
                              said["revision"])
    assert (kind, first, n) == ("train", said["samples"][0], 5)


# ---- Idempotency-Key ----

KEY = {"Idempotency-Key": "3f6c-once"}


@pytest.mark.core
def test_the_same_key_and_body_give_the_same_answer_and_train_once(daemon: Daemon, seven):
    first = daemon.train("7", png(seven), "image/png", headers=KEY)
    after = daemon.model()
    second = daemon.train("7", png(seven), "image/png", headers=KEY)
    assert second.ok() == first.ok()
    assert second.header("ETag") == first.header("ETag")
    assert daemon.model() == after


def test_the_same_key_with_a_form_of_another_boundary_is_the_same_request(daemon: Daemon, seven):
    body = form(("7", "a.png", png(seven)))
    first = daemon.post("/train", body, FORM, headers=KEY).ok()
    other = body.replace(b"convd-e2e", b"another-1"), FORM.replace("convd-e2e", "another-1")
    assert daemon.post("/train", *other, headers=KEY).ok() == first


@pytest.mark.core
def test_the_same_key_with_another_body_is_refused(daemon: Daemon, seven):
    daemon.train("7", seven.tobytes(), headers=KEY).ok()
    after = daemon.model()
    daemon.train("7", (255 - seven).tobytes(), headers=KEY).problem(422, "key-reused")
    daemon.train("1", seven.tobytes(), headers=KEY).problem(422, "key-reused")
    assert daemon.model() == after


def test_a_retry_of_a_picture_is_answered_again_though_pictures_are_fitted_otherwise_now(daemon: Daemon, seven):
    image = {"b64": base64.b64encode(png(seven[:, :20])).decode()}
    mixed = json.dumps({"samples": [{"label": "7", "image": image}, {"label": "1", "image": {"pixels": seven.tolist()}},
                                    {"label": "7", "image": image}]}).encode()
    requests = {"picture": ("/train?label=7", png(seven[:, :20]), "image/png"), "mixed": ("/train", mixed, "application/json"),
                "form": ("/train", form(("7", "a.png", png(seven[4:]))), FORM)}

    def ask(name: str, body: bytes | None = None):
        path, first, kind = requests[name]
        return daemon.post(path, body or first, kind, headers={"Idempotency-Key": name})
    first = {name: ask(name).ok() for name in requests}
    after = daemon.send_json("PATCH", "/model", {"fit": "stretch", "invert": "always"}).ok()
    assert {name: ask(name).ok() for name in requests} == first
    ask("picture", png(seven[:, :21])).problem(422, "key-reused")
    assert daemon.model()["digest"] == after["digest"]


def test_another_key_with_the_same_body_trains_again(daemon: Daemon, seven):
    first = daemon.train("7", seven.tobytes(), headers=KEY).ok()
    second = daemon.train("7", seven.tobytes(), headers={"Idempotency-Key": "another"}).ok()
    assert second["step"] == first["step"] + 1


@pytest.mark.core
def test_a_key_is_known_after_kill_9(daemon: Daemon, seven):
    first = daemon.train("7", seven.tobytes(), headers=KEY).ok()
    daemon.kill()
    daemon.start()
    assert daemon.train("7", seven.tobytes(), headers=KEY).ok() == first
    assert daemon.model()["revision"] == first["revision"]


def test_a_key_that_came_with_a_refused_request_can_be_used_again(daemon: Daemon, seven):
    daemon.train("no such class", seven.tobytes(), headers=KEY).problem(422, "label-unknown")
    daemon.train("7", seven.tobytes(), headers=KEY).ok()


@pytest.mark.core
def test_a_retry_is_answered_again_though_its_class_is_gone(daemon: Daemon, seven):
    """By whatever way it went, and however the retry is written."""
    def samples(*labels: str) -> bytes:
        image = {"b64": base64.b64encode(png(seven)).decode()}
        return json.dumps({"samples": [{"label": label, "image": image} for label in labels]}).encode()
    requests = {"raw": ("/train?labels=x,7", bytes(seven.tobytes() * 2), None), "all": ("/train?label=x", png(seven), "image/png"),
                "json": ("/train", samples("7", "x"), "application/json"), "form": ("/train", form(("x", "a.png", png(seven))), FORM),
                "plain": ("/train", json.dumps({"label": "x", "image": {"pixels": seven.tolist()}}).encode(), None)}

    def ask(name: str):
        return daemon.post(*requests[name], headers={"Idempotency-Key": name})
    before = daemon.post("/snapshots", b"{}", "application/json").ok(201)["id"]
    wait = {"Prefer": "wait=25", "Content-Type": "application/json"}
    daemon.send_json("POST", "/classes", {"label": "x"}).ok(201)
    first = {name: ask(name).ok() for name in requests if name != "form"}
    daemon.post(f"/snapshots/{before}/activate").ok()
    assert {name: ask(name).ok() for name in first} == first
    ask("form").problem(422, "label-unknown", "/images/0")  # nobody took that one
    daemon.send_json("POST", "/classes", {"label": "x"}).ok(201)
    first["form"] = ask("form").ok()
    daemon.send_json("PATCH", "/classes", {"from": "x", "to": "y"}).ok()
    assert {name: ask(name).ok() for name in first} == first
    daemon.kill()
    daemon.start()
    daemon.send_json("POST", "/classes", {"label": "z"}).ok(201)
    first["z"] = daemon.train("z", seven.tobytes(), headers={"Idempotency-Key": "z"}).ok()
    assert daemon.request("PATCH", "/classes", json.dumps({"delete": "z"}).encode(), wait).ok()["state"] == "done"
    after = daemon.model()
    assert {name: ask(name).ok() for name in requests} | {"z": first["z"]} == first
    again = daemon.train("z", seven.tobytes(), headers={"Idempotency-Key": "z"})
    forgotten = {**first["z"], "loss": None, "correct": 0}  # what was said of an image goes with it
    assert again.ok() == forgotten and again.header("ETag") == f'"r{first["z"]["revision"]}"'
    other = bytes(i % 256 for i in range(seven.size))
    assert daemon.train("z", other, headers={"Idempotency-Key": "z"}).ok() == forgotten  # its image was forgotten, and the hash of it
    daemon.train("x", other, headers={"Idempotency-Key": "all"}).problem(422, "key-reused")
    daemon.train("z", seven.tobytes(), headers={"Idempotency-Key": "new"}).problem(422, "label-unknown")
    assert daemon.model() == after


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_a_key_that_is_none_is_refused(reader: Daemon, seven, key):
    reader.train("7", seven.tobytes(), headers={"Idempotency-Key": key}).problem((400, 422))


@pytest.mark.core
def test_many_clients_with_one_key_train_once(daemon: Daemon, seven):
    from concurrent.futures import ThreadPoolExecutor
    before = daemon.model()["step"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: daemon.train("7", seven.tobytes(), headers=KEY).ok(), range(24)))
    assert all(answer == answers[0] for answer in answers)
    assert daemon.model()["step"] == before + 1
