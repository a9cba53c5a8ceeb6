"""rehearsal, jitter, rotation: settings of the fold, so that a crash, a replay and a way back give the same bits; and what they
are for: what was taught first stays."""
import random
import time

import numpy as np
import pytest

from .daemon import SANITIZED, Daemon, convd_json, until
from .test_kill import Load, check_log, replayed_elsewhere

SETTINGS = {"rehearsal": 4, "jitter": 1, "rotation": 10}
FLAGS = [word for name, value in SETTINGS.items() for word in (f"--{name}", str(value))]


def noise_of(seed: int, n: int) -> tuple[str, bytes]:
    """n images of 8 x 8, and the query that labels them."""
    chance = np.random.default_rng(seed)
    labels = ",".join("abc"[i] for i in chance.integers(0, 3, n))
    return f"/train?labels={labels}", chance.integers(0, 256, (n, 8, 8), np.uint8).tobytes()


@pytest.mark.core
def test_each_new_sample_makes_its_step_and_its_rehearsals(small: Daemon):
    query, images = noise_of(1, 30)
    assert small.post(query, images).ok()["step"] == 30
    answer = small.send_json("PATCH", "/model", SETTINGS).ok()
    assert {name: answer["settings"][name] for name in SETTINGS} == SETTINGS
    answer = small.post(query, images).ok()
    assert answer["accepted"] == 30 and answer["step"] == 30 + 30 * 5
    assert small.get("/stats").ok()["samples"] == 60  # rehearsals are no outcomes


@pytest.mark.core
@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--snapshot-samples", "50"]], ids=["replay", "snapshots and replay"])
def test_kill_9_under_load_comes_back_to_the_same_bits(daemons, flags):
    chance = random.Random(8)
    daemon = daemons.make(daemons.init(*FLAGS), *flags)
    answers: list = []
    for turn in range(2 if SANITIZED else 3):
        daemon.start()
        before, load = len(answers), Load(daemon, turn, answers)
        until(lambda: load.failures or len(answers) > before, "an answer")
        time.sleep(chance.uniform(0.2, 0.6))
        load.kill()
        daemon.start()
        model = daemon.model()
        assert model["revision"] >= max(said["revision"] for said, _, _ in answers)
        daemon.kill()
        check_log(daemon, answers)
        verdict = convd_json("verify", "--db", daemon.db)
        assert verdict["ok"] is True
        assert (verdict["digest"], verdict["step"]) == (model["digest"], model["step"])
    assert model["step"] > len(answers) * 5 - 1
    other = daemons.start(daemons.init(*FLAGS, name="other.db"))
    assert replayed_elsewhere(daemon, other) == model["digest"]


def test_a_way_back_goes_back_to_what_was_rehearsed_then(daemons):
    """Two daemons: one takes a detour and comes back, and from there on both go on alike."""
    straight = daemons.start(daemons.init(*FLAGS))
    astray = daemons.start(daemons.init(*FLAGS, name="other.db"))
    query, images = noise_of(2, 300)
    for daemon in (straight, astray):
        daemon.post(query, images).ok()
    taken = astray.send_json("POST", "/snapshots", {}).ok(201)
    detour, other_images = noise_of(3, 300)
    astray.post(detour, other_images).ok()
    assert astray.digest() != straight.digest()
    astray.post(f"/snapshots/{taken['id']}/activate", b"", None).ok()
    assert astray.digest() == straight.digest()
    query, images = noise_of(4, 200)
    for daemon in (straight, astray):
        daemon.post(query, images).ok()
    assert astray.digest() == straight.digest()
    astray.restart()
    query, images = noise_of(5, 100)
    for daemon in (straight, astray):
        daemon.post(query, images).ok()
    assert astray.digest() == straight.digest()
    digest = astray.digest()
    astray.stop()
    assert convd_json("verify", "--db", astray.db)["digest"] == digest


def test_a_model_that_rehearsed_nothing_has_something_to_rehearse_once_it_is_told_to(small: Daemon):
    """The pool is filled from the first sample on: a class that never comes again is rehearsed."""
    small.train("a", bytes(range(64))).ok()
    small.send_json("PATCH", "/model", {"rehearsal": 8, "rate": 0.2}).ok()
    for i in range(60):
        small.train("b", bytes(255 - p for p in range(64))).ok()
    assert small.predict(bytes(range(64)))["label"] == "a"


@pytest.mark.slow
def test_classes_that_were_taught_first_are_kept(daemons, digits):
    kept = {}
    for rehearsal in ("0", "4"):
        daemon = daemons.start(daemons.init(
            "--width", "28", "--height", "28", "--kernels", "16", "--kernel-width", "5", "--kernel-height", "5", "--hidden",
            "64", "--classes", "0,1,2,3,4,5,6,7,8,9", "--rehearsal", rehearsal, name=f"{rehearsal}.db"))
        for first in (0, 5):
            chosen = np.flatnonzero((digits.labels >= first) & (digits.labels < first + 5))
            for at in range(0, len(chosen), 500):
                part = chosen[at:at + 500]
                labels = ",".join(str(label) for label in digits.labels[part])
                daemon.post(f"/train?labels={labels}", digits.images[part].tobytes()).ok()
        old = np.flatnonzero(digits.test_labels < 5)
        predicted = daemon.predict(digits.test_images[old].tobytes())["predictions"]
        kept[rehearsal] = np.mean([int(p["label"]) == label for p, label in zip(predicted, digits.test_labels[old])])
    assert kept["0"] < 0.5 and kept["4"] > 0.85, kept
