"""Steps that would ruin the weights are not made, and clip: core/descent.h."""
import json
import sqlite3

import numpy as np
import pytest

from .daemon import Daemon, convd, convd_json
from .reference import write_safetensors


def on_the_edge(daemons, **kwargs) -> Daemon:
    """A daemon whose w12 lies so close below the bound that almost any step at rate 100 would pass it."""
    chance = np.random.default_rng(5)
    tensors = {"kernels": chance.normal(0, 0.1, (2, 1, 3, 3)), "w01": chance.normal(0, 0.1, (36, 5)),
               "w12": np.full((5, 3), 99999.5)}
    path, db = daemons.directory / "edge.safetensors", daemons.directory / "edge.db"
    path.write_bytes(write_safetensors(tensors))
    convd("init", "--db", db, "--from", path, "--width", "8", "--height", "8", "--stride", "1", "--rate", "100",
          "--classes", "a,b,c")
    return daemons.start(db, **kwargs)


@pytest.mark.core
def test_a_step_that_would_ruin_the_weights_is_refused_told_counted_and_recorded(daemons, noise):
    daemon = on_the_edge(daemons)
    image = noise.integers(0, 256, 64, np.uint8).tobytes()
    digest = daemon.digest()
    before = daemon.post("/predict", image).ok()["probabilities"]
    said = daemon.post("/train?label=a", image).ok()
    assert (said["accepted"], said["refused"], said["step"]) == (1, 1, 1)
    assert daemon.post("/predict", image).ok()["probabilities"] == before
    assert daemon.digest() != digest  # the tally has seen it
    assert daemon.get("/stats").ok()["refused"] == 1
    assert b"\nconvd_model_refused_steps 1\n" in daemon.get("/metrics").body
    daemon.send_json("PATCH", "/model", {"rate": 0.0001}).ok()
    assert "refused" not in daemon.post("/train?label=a", image).ok()
    assert daemon.get("/stats").ok()["refused"] == 1
    daemon.stop()
    connection = sqlite3.connect(f"file:{daemon.db}?mode=ro", uri=True)
    outcomes = connection.execute("SELECT sample, step, refused FROM outcome ORDER BY sample").fetchall()
    connection.close()
    assert outcomes == [(1, 1, 1), (2, 2, 0)]


@pytest.mark.core
def test_what_was_refused_is_refused_again_after_a_crash(daemons, noise):
    daemon = on_the_edge(daemons)
    images = noise.integers(0, 256, (30, 64), np.uint8).tobytes()
    said = daemon.post("/train?labels=" + ",".join("abc" * 10), images).ok()
    assert 0 < said["refused"] <= 30
    model, stats = daemon.model(), daemon.get("/stats").ok()
    daemon.kill()
    assert convd_json("verify", "--db", daemon.db)["digest"] == model["digest"]
    daemon.start()
    assert daemon.digest() == model["digest"] and daemon.get("/stats").ok() == stats


def test_weights_beyond_the_bound_make_no_model(daemons):
    path, db = daemons.directory / "huge.safetensors", daemons.directory / "huge.db"
    path.write_bytes(write_safetensors({"kernels": np.zeros((2, 1, 3, 3)), "w01": np.zeros((36, 5)), "w12": np.full((5, 3), 1e6)}))
    done = convd("init", "--db", db, "--from", path, "--width", "8", "--height", "8", "--stride", "1", "--classes", "a,b,c",
                 check=False)
    assert done.returncode == 1 and b"100000" in done.stderr and not db.exists()


def test_clip_is_a_setting_that_shortens_steps_and_outlives_a_crash(daemons, noise):
    images = noise.integers(0, 256, (40, 64), np.uint8).tobytes()
    query = "/train?labels=" + ",".join("abca" * 10)
    plain, clipped = daemons.start(daemons.init(name="plain.db")), daemons.start(daemons.init("--clip", "0.01", name="clipped.db"))
    for daemon in (plain, clipped):
        daemon.post(query, images).ok()
    assert clipped.model()["settings"]["clip"] == pytest.approx(0.01)
    assert plain.digest() != clipped.digest()
    clipped.send_json("PATCH", "/model", {"clip": 0.5}).ok()
    clipped.post(query, images).ok()
    digest = clipped.digest()
    clipped.kill()
    clipped.start()
    assert clipped.digest() == digest
