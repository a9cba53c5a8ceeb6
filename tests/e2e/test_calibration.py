"""confidence: how often the model was right when it was as sure; and what /stats says of it."""
import numpy as np
import pytest

from .daemon import Daemon, convd, convd_json
from .pictures import png


def calibration(daemon: Daemon) -> dict:
    return daemon.get("/stats").ok()["calibration"]


def by_probability(predictions: list[dict]) -> np.ndarray:
    """[n][2]: the network's largest output, the confidence; ascending."""
    return np.array(sorted((max(p["probabilities"].values()), p["confidence"]) for p in predictions))


@pytest.mark.core
def test_with_no_record_confidence_is_the_largest_probability(small: Daemon, noise):
    model = small.model()
    shape = (20, model["channels"], model["height"], model["width"])
    for p in small.predict(noise.integers(0, 256, shape, dtype=np.uint8).tobytes())["predictions"]:
        assert p["confidence"] == pytest.approx(max(p["probabilities"].values()), abs=1e-8)
    said = calibration(small)
    assert said["outcomes"] == 0 and said["expected_calibration_error"] is None and said["uncalibrated_error"] is None
    assert said["sure"] == {"right": 0.98, "confidence": None, "share": None}
    assert [b["outcomes"] for b in said["reliability"]] == [0] * 10


@pytest.mark.core
def test_confidence_never_falls_with_the_probability_and_changes_nothing_else(reader: Daemon, digits):
    predictions = reader.predict(digits.test_images[:300].tobytes())["predictions"]
    both = by_probability(predictions)
    assert (np.diff(both[:, 1]) >= 0).all() and both[:, 1].min() >= 0 and both[:, 1].max() <= 1
    assert all(p["label"] == max(p["probabilities"], key=p["probabilities"].get) for p in predictions)


# Wants the 4,000 digits; sanitized builds learn 500 of them.
def test_the_table_adds_up_and_says_what_new_images_bear_out(reader: Daemon, digits):
    said = calibration(reader)
    bins = said["reliability"]
    n = sum(b["outcomes"] for b in bins)
    assert n == said["outcomes"] == 1000 and said["method"] == "isotonic"
    error = sum(b["outcomes"] * abs(b["confidence"] - b["right"]) for b in bins if b["outcomes"]) / n
    assert said["expected_calibration_error"] == pytest.approx(error, abs=1e-6) and error < 0.05
    for i, b in enumerate(bins):
        assert (b["from"], b["to"]) == (i / 10, (i + 1) / 10)
        assert b["outcomes"] == 0 or b["from"] <= b["confidence"] <= b["to"]
    predictions = reader.predict(digits.test_images[:1000].tobytes())["predictions"]
    confidence = np.array([p["confidence"] for p in predictions])
    right = np.array([p["label"] == str(label) for p, label in zip(predictions, digits.test_labels)])
    assert abs(confidence.mean() - right.mean()) < 0.05
    sure = confidence >= said["sure"]["confidence"]
    assert right[sure].mean() > 0.95 and abs(sure.mean() - said["sure"]["share"]) < 0.1


@pytest.mark.core
def test_it_is_part_of_the_model_as_it_was(daemon: Daemon, digits, tmp_path):
    images = digits.test_images[:30]
    before = daemon.predict(images.tobytes())
    revision = before["revision"]
    for image, label in zip(digits.test_images[100:160], digits.test_labels[100:160]):
        daemon.train(str((int(label) + 1) % 10), image.tobytes()).ok()  # what it is sure of is wrong from now on
    after = daemon.predict(images.tobytes())
    assert np.mean([p["confidence"] for p in after["predictions"]]) < np.mean([p["confidence"] for p in before["predictions"]])
    assert daemon.predict(images.tobytes(), query=f"?revision={revision}")["predictions"] == before["predictions"]
    daemon.restart()
    assert daemon.predict(images.tobytes())["predictions"] == after["predictions"]
    daemon.stop()
    picture = tmp_path / "x.png"
    picture.write_bytes(png(images[0]))
    offline = convd_json("predict", "--db", daemon.db, picture)["predictions"][0]
    assert offline["confidence"] == pytest.approx(after["predictions"][0]["confidence"], abs=1e-6)
    assert convd("predict", "--db", daemon.db, picture).stdout.decode() == f"{picture}: {offline['label']} {offline['confidence']:.4f}\n"
