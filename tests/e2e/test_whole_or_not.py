"""A request is taken whole or not at all: one bad image among a hundred trains nothing, and the answer says which."""
import numpy as np
import pytest

from .daemon import Daemon
from .pictures import FORM, b64, form, pixel_list, png, to_json

BAD = 57


@pytest.fixture(scope="module")
def hundred(digits) -> list[tuple[str, np.ndarray]]:
    return [(str(label), image) for label, image in zip(digits.test_labels[:100], digits.test_images[:100])]


def truncated(image: np.ndarray) -> bytes:
    return png(image)[:-30]


def form_with_a_truncated_png(hundred):
    parts = [(label, f"{i}.png", truncated(image) if i == BAD else png(image)) for i,
             (label, image) in enumerate(hundred)]
    return "", FORM, form(*parts), f"/images/{BAD}"


def form_with_an_unknown_label(hundred):
    parts = [("eleven" if i == BAD else label, f"{i}.png", png(image)) for i, (label, image) in enumerate(hundred)]
    return "", FORM, form(*parts), f"/images/{BAD}"


def json_with_a_pixel_too_few(hundred):
    samples = [{"label": label, "image": pixel_list(image)} for label, image in hundred]
    samples[BAD]["image"]["pixels"].pop()
    return "", "application/json", to_json({"samples": samples}), f"/samples/{BAD}/image/pixels"


def json_with_a_pixel_of_256(hundred):
    samples = [{"label": label, "image": pixel_list(image)} for label, image in hundred]
    samples[BAD]["image"]["pixels"][3] = 256
    return "", "application/json", to_json({"samples": samples}), f"/samples/{BAD}/image/pixels/3"


def json_with_a_truncated_png(hundred):
    samples = [{"label": label, "image": b64(truncated(image) if i == BAD else png(image))}
               for i, (label, image) in enumerate(hundred)]
    return "", "application/json", to_json({"samples": samples}), f"/samples/{BAD}/image/b64"


def json_with_an_unknown_label(hundred):
    samples = [{"label": "eleven" if i == BAD else label, "image": pixel_list(image)}
               for i, (label, image) in enumerate(hundred)]
    return "", "application/json", to_json({"samples": samples}), f"/samples/{BAD}/label"


def json_without_a_label(hundred):
    samples = [{"label": label, "image": pixel_list(image)} for label, image in hundred]
    del samples[BAD]["label"]
    return "", "application/json", to_json({"samples": samples}), f"/samples/{BAD}"


def ndjson_with_a_broken_line(hundred):
    lines = [to_json({"label": label, "image": b64(image.tobytes())}) for label, image in hundred]
    lines[BAD] = lines[BAD][:-4]
    return "", "application/x-ndjson", b"\n".join(lines), f"/lines/{BAD}"


def ndjson_with_a_truncated_png(hundred):
    lines = [to_json({"label": label, "image": b64(truncated(image) if i == BAD else png(image))})
             for i, (label, image) in enumerate(hundred)]
    return "", "application/x-ndjson", b"\n".join(lines), f"/lines/{BAD}/image/b64"


def raw_with_an_unknown_label(hundred):
    labels = ["eleven" if i == BAD else label for i, (label, _) in enumerate(hundred)]
    body = b"".join(image.tobytes() for _, image in hundred)
    return "?labels=" + ",".join(labels), "application/octet-stream", body, f"/images/{BAD}"


REQUESTS = [form_with_a_truncated_png, form_with_an_unknown_label, json_with_a_pixel_too_few, json_with_a_pixel_of_256,
            json_with_a_truncated_png, json_with_an_unknown_label, json_without_a_label, ndjson_with_a_broken_line,
            ndjson_with_a_truncated_png, raw_with_an_unknown_label]


@pytest.mark.core
@pytest.mark.parametrize("request_with_one_bad", REQUESTS, ids=lambda make: make.__name__)
def test_one_bad_sample_among_a_hundred_trains_nothing_and_is_named(reader: Daemon, hundred, request_with_one_bad):
    query, content_type, body, pointer = request_with_one_bad(hundred)
    problem = reader.post("/train" + query, body, content_type).problem((400, 422), pointer=pointer)
    assert str(BAD) in problem["detail"]
    # the fixture checks that step, revision and digest are what they were


def test_the_same_request_without_the_bad_sample_trains_all_others(daemon: Daemon, hundred):
    _, content_type, body, _ = form_with_a_truncated_png(hundred)
    daemon.post("/train", body, content_type).problem(422)
    before = daemon.model()
    good = [(label, f"{i}.png", png(image)) for i, (label, image) in enumerate(hundred) if i != BAD]
    assert daemon.post("/train", form(*good), FORM).ok()["accepted"] == 99
    assert daemon.model()["step"] == before["step"] + 99


def test_one_bad_image_among_many_predicts_nothing_and_is_named(reader: Daemon, hundred):
    images = [pixel_list(image) for _, image in hundred]
    images[BAD]["pixels"][0] = -1
    problem = reader.post("/predict", to_json({"images": images}), "application/json").problem(
        422, pointer=f"/images/{BAD}/pixels/0")
    assert str(BAD) in problem["detail"]


@pytest.mark.parametrize("n", [99, 101, 1])
def test_a_number_of_labels_that_is_not_that_of_the_images_trains_nothing(reader: Daemon, hundred, n):
    body = b"".join(image.tobytes() for _, image in hundred)
    problem = reader.post("/train?labels=" + ",".join(["7"] * n), body).problem(422)
    assert "100" in problem["detail"] and str(n) in problem["detail"]


def test_label_and_labels_together_are_refused(reader: Daemon, seven):
    reader.post("/train?label=7&labels=7", seven.tobytes()).problem(422, "value")


def test_a_label_in_json_and_in_the_query_is_refused(reader: Daemon, seven):
    body = to_json({"label": "7", "image": pixel_list(seven)})
    reader.post("/train?label=7", body, "application/json").problem(422, pointer="/label")


def test_a_batch_over_the_limit_of_images_is_refused(daemons, digits):
    daemon = daemons.start(daemons.copy(), "--batch-images", "10")
    daemon.train("7", digits.test_images[:10].tobytes()).ok()
    daemon.train("7", digits.test_images[:11].tobytes()).problem(413, "too-large")
    daemon.post("/predict", digits.test_images[:11].tobytes()).problem(413, "too-large")
