"""?explain=1 on /predict: which kernel won where, and which pixels moved the answer."""
import base64
import io

import numpy as np
import pytest
from PIL import Image

from .daemon import Daemon
from .pictures import FORM, form, png
from .reference import Network, read_safetensors


def explain(daemon: Daemon, body: bytes, **headers) -> dict:
    return daemon.post("/predict?explain=1", body, headers=headers).ok()


@pytest.mark.core
def test_an_explanation_is_of_the_same_prediction(reader: Daemon, seven):
    plain = reader.predict(seven.tobytes())
    answer = explain(reader, seven.tobytes())
    why = answer.pop("explain")
    assert answer == plain
    model = reader.model()
    assert (why["width"], why["height"]) == (24, 24)
    assert len(why["winner"]) == model["n_0"] and set(why["winner"]) <= set(range(model["kernels"]))
    counts = np.bincount(why["winner"], minlength=model["kernels"]) / model["n_0"]
    assert np.allclose(why["share"], counts, atol=1e-7)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(why["input"]))))
    assert np.array_equal(shown, seven)
    assert len(why["saliency"]) == 784 and min(why["saliency"]) >= 0 and max(why["saliency"]) > 0


def test_winners_and_saliency_are_those_of_another_implementation(reader: Daemon, digits):
    """Forward in numpy; the saliency by differences of its probability, where no winner changes."""
    network = Network(*read_safetensors(reader.get("/model.safetensors").body))
    image = digits.one(3)
    why = explain(reader, image.tobytes())["explain"]
    best = int(network.forward(image[None]).argmax())
    winner = network.winner
    assert np.mean(winner == np.array(why["winner"])) > 0.99  # between equals, floats may choose another
    saliency, compared = np.array(why["saliency"]), 0
    for q in np.argsort(saliency)[::-4]:
        probabilities, same = [], True
        for by in (-0.02, 0.02):
            pixels = image.astype(np.float64)
            pixels.reshape(-1)[q] += by
            probabilities.append(network.forward(pixels[None])[best])
            same = same and np.array_equal(network.winner, winner)
        if same:
            assert abs(probabilities[1] - probabilities[0]) / 0.04 == pytest.approx(saliency[q], rel=1e-2, abs=1e-9)
            compared += 1
    assert compared > 50


def test_several_images_are_explained_each(reader: Daemon, digits):
    body = form(("a", "a.png", png(digits.one(1))), ("b", "b.png", png(digits.one(2))))
    answer = reader.post("/predict?explain=1&top=2", body, FORM).ok()
    plain = reader.post("/predict?top=2", body, FORM).ok()
    whys = [p.pop("explain") for p in answer["predictions"]]
    assert answer == plain and whys[0]["saliency"] != whys[1]["saliency"]


@pytest.mark.core
def test_accept_decides_between_numbers_and_a_picture(reader: Daemon, seven):
    for accept, kind in (("image/png", "image/png"), ("image/*, */*;q=0.1", "image/png"), ("*/*", "application/json"),
                         ("application/json", "application/json"), (None, "application/json")):
        answer = reader.post("/predict?explain=1", seven.tobytes(), headers={"Accept": accept})
        assert answer.status == 200 and answer.header("Content-Type").split(";")[0] == kind, accept
        assert answer.header("ETag") == f'"r{reader.model()["revision"]}"'
    first = reader.post("/predict?explain=1", seven.tobytes(), headers={"Accept": "image/png"}).body
    assert first == reader.post("/predict?explain=1", seven.tobytes(), headers={"Accept": "image/png"}).body
    picture = Image.open(io.BytesIO(first))
    assert picture.mode == "RGB" and picture.width > 3 * 224 and len(set(picture.getdata())) > 20
    plain = reader.post("/predict", seven.tobytes(), headers={"Accept": "image/png"})
    plain.ok()  # it is not asked for an explanation


@pytest.mark.parametrize("flags", [("--kernels", "0"), ("--channels", "3", "--stride", "2"), ("--channels", "2"),
                                   ("--width", "70", "--height", "9", "--kernels", "40", "--kernel-width", "7"),
                                   ("--width", "600", "--height", "500", "--kernel-width", "64", "--kernel-height", "64")])
def test_every_geometry_is_explained(daemons, noise, flags):
    daemon = daemons.start(daemons.init(*flags))
    model = daemon.model()
    n = model["channels"] * model["width"] * model["height"]
    image = noise.integers(0, 256, n, np.uint8).tobytes()
    why = explain(daemon, image)["explain"]
    assert len(why["saliency"]) == n
    assert len(why["winner"]) == why["width"] * why["height"] == (model["n_0"] if model["kernels"] else 0)
    assert len(why["share"]) == model["kernels"]
    picture = daemon.post("/predict?explain=1", image, headers={"Accept": "image/png"})
    assert Image.open(io.BytesIO(picture.body)).size[0] > 100


def test_what_cannot_be_explained_is_refused(daemons, reader: Daemon, digits):
    two = digits.test_images[:2].tobytes()
    reader.post("/predict?explain=1", two, headers={"Accept": "image/png"}).problem(422, "value")
    reader.post("/predict?explain=2", two).problem(422, "value")
    picture = {"Accept": "image/png"}
    reader.post("/predict?explain=1&remember=1", digits.one(1).tobytes(), headers=picture).problem(422, "value")
    assert reader.get("/predictions").ok()["remembered"] == 0
    daemon = daemons.start(daemons.init("--width", "600", "--height", "500"))
    many = bytes(4 * 600 * 500)
    daemon.post("/predict?explain=1", many).problem(422, "limit")
    daemon.post("/predict", many).ok()
