"""?known=1 and ?unknown=X on /predict: how near an image is to what was taught."""
import threading

import numpy as np
import pytest

from .daemon import Daemon, convd, convd_json
from .pictures import png
from .reference import Network, read_safetensors

INPUT = 0.7  # weight of the input's cosine: core/learner/novelty.h


def strange(noise: np.random.Generator, n: int = 40) -> np.ndarray:
    return noise.integers(0, 256, (n, 28, 28), dtype=np.uint8)


def each(daemon: Daemon, images: np.ndarray, query: str) -> list[dict]:
    return daemon.predict(images.tobytes(), query=query)["predictions"]


# These two want the 4,000 digits; sanitized builds learn 500 of them.
def test_what_is_known_of_an_image_changes_nothing_else_of_its_prediction(reader: Daemon, digits):
    images = digits.test_images[:6]
    for query in ("", "&top=2", "&explain=1"):
        plain = reader.predict(images.tobytes(), query="?" + query[1:])
        answer = reader.predict(images.tobytes(), query="?known=1" + query)
        known = [prediction.pop("known") for prediction in answer["predictions"]]
        assert answer == plain
        assert all(0 <= k <= 1 and (k * 64).is_integer() for k in known)
    assert "known" not in reader.predict(images[:1].tobytes(), query="?known=0")
    assert reader.predict(images[:1].tobytes(), query="?known=1")["known"] == known[0]


def test_noise_is_unknown_and_digits_are_known(reader: Daemon, digits, noise):
    known = [p["known"] for p in each(reader, digits.test_images[:200], "?known=1&top=1")]
    unknown = [p["known"] for p in each(reader, strange(noise), "?known=1&top=1")]
    assert np.mean(np.array(unknown) < 0.05) > 0.9 and np.mean(np.array(known) < 0.05) < 0.3
    assert np.mean([k > u for k in known for u in unknown]) > 0.9


@pytest.mark.core
def test_what_is_less_known_than_asked_has_no_label_but_the_nearest_class(reader: Daemon, digits, noise):
    images = np.concatenate([digits.test_images[:60], strange(noise)])
    plain = each(reader, images, "?known=1")
    for unknown in (0, 0.05, 0.5, 1):
        for before, after in zip(plain, each(reader, images, f"?unknown={unknown}")):
            if unknown == 0:
                assert after == {name: value for name, value in before.items() if name != "known"}
            elif before["known"] < unknown:
                assert after.pop("nearest") == before["label"] and after.pop("label") is None
                assert after == {name: value for name, value in before.items() if name != "label"}
            else:
                assert after == before


class Taught:
    """A small model and all that it was taught, fewer of each class than it keeps; and the search in numpy."""

    def __init__(self, daemon: Daemon, noise: np.random.Generator):
        self.daemon, self.images = daemon, {}
        for i, label in enumerate("abc"):
            images = noise.integers(0, 120, (21, 8, 8), dtype=np.uint8)
            images[:, 2 * i:2 * i + 3] += 130
            self.images[label] = images
            daemon.train(label, images.tobytes()).ok()

    def vectors(self, images) -> np.ndarray:
        network = Network(*read_safetensors(self.daemon.get("/model.safetensors").body))
        rows = []
        for image in images:
            network.forward(image[None])
            x = image / 255 - network.mean
            rows.append(np.concatenate([network.l1 / np.linalg.norm(network.l1), INPUT ** 0.5 * x.ravel() / np.linalg.norm(x)]))
        return np.array(rows)

    def known(self, image: np.ndarray, label: str) -> tuple[float, float]:
        """The share, and with what rounding may exchange."""
        taught = self.vectors(self.images[label])
        own = taught @ taught.T
        np.fill_diagonal(own, -1)
        of_it = (self.vectors([image]) @ taught.T).max()
        return np.mean(own.max(axis=1) < of_it - 1e-4), np.mean(own.max(axis=1) <= of_it + 1e-4)


@pytest.mark.core
def test_known_is_what_a_search_in_numpy_finds_before_and_after_a_kill(small: Daemon, noise):
    taught = Taught(small, noise)
    images = np.concatenate([noise.integers(0, 256, (10, 8, 8), dtype=np.uint8), *[t[:4] // 2 + 30 for t in taught.images.values()]])
    for _ in range(2):
        for image in images:
            prediction = small.predict(image.tobytes(), query="?known=1")
            low, high = taught.known(image, prediction["label"])
            assert low - 1e-6 <= prediction["known"] <= high + 1e-6
        small.kill()
        small.start()


@pytest.mark.core
def test_what_was_taught_a_moment_ago_is_known_at_once(small: Daemon, noise):
    Taught(small, noise)
    for _ in range(6):
        image = noise.integers(0, 256, (8, 8), dtype=np.uint8)
        before = small.predict(image.tobytes(), query="?known=1")
        revision = small.train(before["label"], image.tobytes()).ok()["revision"]
        after = small.predict(image.tobytes(), query="?known=1")
        assert (after["label"], after["known"], after["revision"]) == (before["label"], 1, revision)
        assert before["known"] < 1


def test_of_a_class_that_was_taught_one_image_nothing_is_known(small: Daemon, noise):
    image = noise.integers(0, 256, 64, dtype=np.uint8).tobytes()
    for n in range(3):
        answer = small.predict(image, query="?unknown=1")
        label = answer["label"]
        assert label is not None
        assert answer["known"] is None if n < 2 else answer["known"] == 1
        small.train(label, image).ok()


def test_a_model_that_learns_says_what_is_known_of_the_revision_that_answers(small: Daemon, noise):
    """Whoever asks again of a revision is told the same."""
    Taught(small, noise)
    image = noise.integers(0, 256, 64, dtype=np.uint8).tobytes()
    told, wrong = {}, []

    def ask() -> None:
        for _ in range(60):
            answer = small.predict(image, query="?known=1")
            if told.setdefault(answer["revision"], answer) != answer:
                wrong.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        small.train("a", noise.integers(0, 256, (2, 8, 8), dtype=np.uint8).tobytes()).ok()
    assert not wrong and len(told) > 1


def test_what_cannot_say_it_refuses(reader: Daemon, seven):
    image, revision = seven.tobytes(), reader.model()["revision"]
    for query in ("unknown=2", "unknown=-0.1", "unknown=x", "unknown=", "unknown=.", "unknown=1e-2", "known=2", f"known=1&revision={revision}",
                  "unknown=0.05&revision=1"):
        reader.post("/predict?" + query, image).problem(422, "value")
    reader.post("/predict?known=1&explain=1", image, headers={"Accept": "image/png"}).problem(422, "value")


def test_the_protocol_tells_the_least_known_of_the_images(reader: Daemon, digits, noise):
    def infer(images: np.ndarray, known) -> dict:
        tensor = {"name": "pixels", "datatype": "UINT8", "shape": list(images.shape), "data": images.ravel().tolist()}
        return reader.send_json("POST", "/v2/models/convd/infer", {"inputs": [tensor], "parameters": {"known": known}}).ok()

    images = np.concatenate([digits.test_images[:2], strange(noise, 1)])[:, None]
    plain = infer(images, False)
    revision = plain.pop("parameters")
    assert revision == {"revision": reader.model()["revision"]}
    least = min(p["known"] for p in each(reader, images, "?known=1"))
    answer = infer(images, True)
    assert answer.pop("parameters") == revision | {"known": least} and answer == plain
    document = {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 28, 28], "data": [0] * 784}], "parameters": {"known": 1}}
    reader.send_json("POST", "/v2/models/convd/infer", document).problem(422, "value")


@pytest.mark.core
def test_the_command_line_says_the_same_offline_and_of_a_daemon(daemon: Daemon, digits, noise, tmp_path):
    files = []
    for i, image in enumerate([*digits.test_images[:3], *strange(noise, 2)]):
        files.append(tmp_path / f"{i}.png")
        files[-1].write_bytes(png(image))
    online = convd_json("predict", "--url", daemon.url, "--unknown", "0.05", *files)
    lines = convd("predict", "--url", daemon.url, "--unknown", "0.05", *files).stdout
    daemon.stop()
    offline = convd_json("predict", "--db", daemon.db, "--unknown", "0.05", *files)
    for here, there in zip(offline["predictions"], online["predictions"], strict=True):
        for name in ("confidence", "known"):  # in as many digits as each tells
            assert here.pop(name) == pytest.approx(there.pop(name), abs=1e-6)
        assert here.pop("probabilities").keys() == there.pop("probabilities").keys() and here == there
    assert [p["label"] is None for p in online["predictions"]][3:] == [True, True]
    assert lines.count(b": unknown, nearest ") == sum(p["label"] is None for p in online["predictions"])
    assert "known" not in convd_json("predict", "--db", daemon.db, *files)["predictions"][0]
