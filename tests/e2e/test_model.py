"""GET, PATCH /model, /stats, and the model as files."""
import io

import numpy as np
import pytest
from PIL import Image

from .daemon import Daemon
from .reference import read_safetensors


@pytest.mark.core
def test_the_model_tells_geometry_classes_settings_and_where_it_stands(reader: Daemon):
    model = reader.model()
    geometry = {"width": 28, "height": 28, "channels": 1, "kernels": 16, "kernel_width": 5, "kernel_height": 5,
                "stride": 1,
                "hidden": 128, "n_k": 25, "n_0": 576, "n_1": 128, "n_2": 10,
                "parameters": 16 * 25 + 576 * 128 + 128 * 10}
    assert {name: model[name] for name in geometry} == geometry
    assert model["classes"] == [str(i) for i in range(10)]
    settings = model["settings"]
    assert settings["gradient"] == "diagonal" and settings["fit"] == "auto" and settings["invert"] == "never"
    assert settings["rate"] == pytest.approx(0.08) and settings["decay_steps"] == 60000 and settings["mean"] == pytest.approx(0.13)
    assert (settings["normalize"], settings["imprint"], settings["rehearsal_first"], settings["output_rate"],
            settings["rehearsal_idle"]) == ("none", 0, 0, 1, 0)
    assert settings["seed"] == 42
    assert settings["rehearsal"] == 0 and settings["jitter"] == 0 and settings["rotation"] == 0
    assert model["drawings"] is True
    assert len(model["digest"]) == 64 and int(model["digest"], 16) > 0
    assert model["step"] > 0 and model["revision"] > 1


def test_an_unchanged_model_is_answered_with_304(reader: Daemon):
    etag = reader.get("/model").header("ETag")
    for path in ("/model", "/classes", "/stats", "/model.safetensors", "/model/kernels.png"):
        answer = reader.get(path, headers={"If-None-Match": etag})
        assert answer.status == 304 and answer.body == b"" and answer.header("ETag") == etag


def test_a_changed_model_is_answered_in_full(daemon: Daemon, seven):
    etag = daemon.get("/model").header("ETag")
    daemon.train("7", seven.tobytes()).ok()
    assert daemon.get("/model", headers={"If-None-Match": etag}).status == 200


# ---- PATCH ----

@pytest.mark.core
@pytest.mark.parametrize("change", [{"rate": 0.02}, {"rehearsal": 4, "jitter": 1.5, "rotation": 10}, {"gradient": "jacobian"}, {"fit": "cover"}, {"invert": "auto"}, {"decay_steps": 300.5}, {"rate": 0.25, "decay_steps": 1000},
                                    {"rate": 0.5, "decay_steps": 0, "gradient": "jacobian", "fit": "stretch", "invert": "always"}])
def test_a_tunable_setting_is_changed_and_survives_kill_9(small: Daemon, change):
    before = small.model()
    said = small.send_json("PATCH", "/model", change).ok()
    assert said["settings"] == {**before["settings"], **change, **({"decay_steps": 0} if "rate" in change and "decay_steps" not in change else {})}
    assert said["revision"] == before["revision"] + 1 and said["digest"] != before["digest"]
    assert small.model() == said
    small.kill()
    small.start()
    assert small.model() == said


def test_a_rate_of_zero_learns_nothing(daemon: Daemon, digits):
    daemon.send_json("PATCH", "/model", {"rate": 0}).ok()
    before, _ = read_safetensors(daemon.get("/model.safetensors").body)
    step = daemon.model()["step"]
    daemon.train("7", digits.test_images[:20].tobytes()).ok()
    after, _ = read_safetensors(daemon.get("/model.safetensors").body)
    assert all((after[name] == before[name]).all() for name in before)
    assert daemon.model()["step"] == step + 20


@pytest.mark.parametrize("change, name", [
    ({"mean": 0.5}, "mean"), ({"normalize": "none"}, "normalize"), ({"seed": 7}, "seed"), ({"rehearsal_buffer": 2000}, "rehearsal_buffer"), ({"width": 14}, "width"), ({"kernels": 3}, "kernels"),
    ({"learning_rate": 0.1}, "learning_rate"), ({"rate": "fast"}, "rate"), ({"rate": -0.1}, "rate"),
    ({"rate": 1e6}, "rate"),
    ({"rate": None}, "rate"), ({"rate": [0.1]}, "rate"), ({"gradient": "exact"}, "gradient"),
    ({"gradient": 1}, "gradient"),
    ({"invert": True}, "invert"), ({"rehearsal": 65}, "rehearsal"), ({"rehearsal": 1.5}, "rehearsal"),
    ({"decay_steps": -1}, "decay_steps"), ({"decay_steps": "slow"}, "decay_steps"), ({"jitter": -1}, "jitter"), ({"rotation": 46}, "rotation"), ({"rotation": "10"}, "rotation"),
    ({"rate": 0.1, "mean": 0.5}, "mean")])
def test_a_setting_that_is_fixed_unknown_or_out_of_range_is_refused(reader: Daemon, change, name):
    problem = reader.send_json("PATCH", "/model", change).problem(422, pointer=f"/{name}")
    assert name in problem["detail"]


@pytest.mark.parametrize("body", [b"[]", b"7", b'"rate"', b"null", b"{}"])
def test_a_patch_that_is_no_object_of_settings_is_refused(reader: Daemon, body):
    reader.request("PATCH", "/model", body, {"Content-Type": "application/json"}).problem(422)


# ---- stats ----

@pytest.mark.core
def test_stats_count_test_then_train_outcomes(small: Daemon, noise):
    labels, predicted, losses = [], [], []
    for _ in range(30):
        image = noise.integers(0, 256, (8, 8), np.uint8)
        label = "abc"[noise.integers(0, 3)]
        predicted.append(small.predict(image.tobytes())["label"])
        losses.append(small.train(label, image.tobytes()).ok()["loss"])
        labels.append(label)
    stats = small.get("/stats").ok()
    right = sum(l == p for l, p in zip(labels, predicted))
    assert stats["samples"] == stats["recent"]["samples"] == 30
    assert stats["accuracy"] == stats["recent"]["accuracy"] == pytest.approx(right / 30, abs=1e-8)
    assert stats["loss"] == pytest.approx(np.mean(losses), abs=1e-8)
    assert stats["recent"]["loss"] == pytest.approx(np.mean(losses), abs=1e-6)
    confusion = [[sum(l == a and p == b for l, p in zip(labels, predicted)) for b in "abc"] for a in "abc"]
    assert stats["confusion"] == confusion
    for i, row in enumerate(stats["classes"]):
        assert row["label"] == "abc"[i] and row["seen"] == sum(confusion[i]) and row["correct"] == confusion[i][i]
        assert row["predicted"] == sum(other[i] for other in confusion)


def test_recent_stats_look_back_a_thousand_samples(small: Daemon, noise):
    small.send_json("PATCH", "/model", {"rate": 0}).ok()
    image = noise.integers(0, 256, (8, 8), np.uint8)
    right = small.predict(image.tobytes())["label"]
    wrong = next(label for label in "abc" if label != right)
    small.train(wrong, image.tobytes() * 700).ok()
    small.train(right, image.tobytes() * 600).ok()
    stats = small.get("/stats").ok()
    assert stats["samples"] == 1300 and stats["accuracy"] == pytest.approx(600 / 1300, abs=1e-8)
    assert stats["recent"]["samples"] == 1000 and stats["recent"]["accuracy"] == pytest.approx(0.6)


def test_stats_of_an_untrained_model_are_null_not_wrong(small: Daemon):
    stats = small.get("/stats").ok()
    assert stats["samples"] == 0 and stats["accuracy"] is None and stats["loss"] is None


# ---- files ----

@pytest.mark.core
def test_safetensors_hold_the_tensors_in_the_stated_shapes(reader: Daemon):
    answer = reader.get("/model.safetensors")
    tensors, metadata = read_safetensors(answer.body)
    assert answer.status == 200
    assert {name: t.shape for name, t in tensors.items()} == {"kernels": (16, 1, 5, 5), "w01": (576, 128),
                                                              "w12": (128, 10)}
    assert all(np.isfinite(t).all() and t.std() > 0 for t in tensors.values())
    model = reader.model()
    assert metadata["digest"] == model["digest"] and metadata["revision"] == str(model["revision"])


def test_the_same_revision_gives_the_same_safetensors(reader: Daemon):
    assert reader.get("/model.safetensors").body == reader.get("/model.safetensors").body


def test_a_model_without_kernels_has_no_tensor_of_them(daemons):
    daemon = daemons.start(daemons.init("--kernels", "0"))
    tensors, _ = read_safetensors(daemon.get("/model.safetensors").body)
    assert {name: t.shape for name, t in tensors.items()} == {"w01": (64, 12), "w12": (12, 3)}


@pytest.mark.core
def test_kernels_png_is_a_picture_of_sensible_size(reader: Daemon):
    answer = reader.get("/model/kernels.png")
    assert answer.status == 200 and answer.header("Content-Type") == "image/png"
    image = Image.open(io.BytesIO(answer.body))
    image.load()
    assert image.format == "PNG"
    assert 100 <= image.width <= 4000 and 100 <= image.height <= 4000
    assert len(set(image.convert("RGB").getdata())) > 16, "16 kernels of 25 weights have more colours than that"


def test_kernels_png_of_colour_kernels_is_a_picture(daemons):
    daemon = daemons.start(daemons.init("--channels", "3"))
    image = Image.open(io.BytesIO(daemon.get("/model/kernels.png").body))
    image.load()


def test_kernels_png_of_a_model_without_kernels_is_not_found(daemons):
    daemon = daemons.start(daemons.init("--kernels", "0"))
    daemon.get("/model/kernels.png").problem(404, "not-found")
