"""Idle rehearsal: after new samples the daemon goes on by itself, for a bounded while, as events of the log."""
import json
import sqlite3
import threading
import time

import numpy as np
import pytest

from .daemon import Daemon, convd_json, until

CLASSES = "abc"


@pytest.fixture
def slow_idle(daemons) -> Daemon:
    """A daemon whose steps take long enough for its idle rehearsal to be seen: a lesson of 60 owes 60,000 of them."""
    return daemons.start(daemons.init("--hidden", "4096", "--rehearsal-idle", "1000"))


def teach(daemon: Daemon, n: int, seed: int = 1) -> dict:
    chance = np.random.default_rng(seed)
    labels = ",".join(CLASSES[i % 3] for i in range(n))
    return daemon.post(f"/train?labels={labels}", chance.integers(0, 256, n * 64, np.uint8).tobytes()).ok()


def tune(daemon: Daemon, steps: int) -> None:
    daemon.send_json("PATCH", "/model", {"rehearsal_idle": steps}).ok()


def idle(daemon: Daemon) -> dict | None:
    return next((j for j in daemon.get("/jobs").ok()["jobs"] if j["kind"] == "idle"), None)


def ended(daemon: Daemon) -> dict:
    return until(lambda: (j := idle(daemon)) and j["state"] != "running" and j, "the end of the idle rehearsal")


def under_way(daemon: Daemon) -> dict:
    return until(lambda: (j := idle(daemon)) and j["state"] == "running" and j["steps"] > 0 and j, "idle steps")


def idle_steps(daemon: Daemon) -> int:
    """As the log of a daemon that is down has them."""
    connection = sqlite3.connect(f"file:{daemon.db}?mode=ro", uri=True)
    rows = connection.execute("SELECT body FROM event WHERE kind = 'idle'").fetchall()
    connection.close()
    return sum(json.loads(body)["steps"] for body, in rows)


def metric(daemon: Daemon, name: str) -> float:
    lines = daemon.get("/metrics").body.decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name + " "))


def verified(daemon: Daemon) -> dict:
    verdict = convd_json("verify", "--db", daemon.db)
    assert verdict["ok"] is True
    return verdict


def test_each_new_sample_brings_its_idle_steps_and_a_replay_gives_the_same_bits(small: Daemon):
    tune(small, 30)
    learned = teach(small, 15)
    done = ended(small)
    assert done["state"] == "done" and done["steps"] == done["steps_total"] == 15 * 30 and done["progress"] == 1
    after = small.model()
    assert after["step"] == learned["step"] + 450 and after["revision"] == done["revision"]
    assert metric(small, "convd_idle_steps_total") == 450
    assert small.get("/stats").ok()["samples"] == 15, "what is rehearsed is not counted"
    teach(small, 3, seed=2)
    second = until(lambda: (j := idle(small)) and j["id"] != done["id"] and j["state"] == "done" and j, "the next")
    assert [j["id"] for j in small.get("/jobs").ok()["jobs"]] == [second["id"]], "one of them is remembered"
    digest = small.digest()
    small.stop()
    assert idle_steps(small) == 18 * 30
    assert verified(small)["digest"] == digest


def test_without_the_setting_nothing_is_rehearsed(small: Daemon):
    learned = teach(small, 15)
    time.sleep(0.5)
    assert idle(small) is None and small.model()["step"] == learned["step"] == 15


def test_switched_off_it_ends(slow_idle: Daemon):
    teach(slow_idle, 60)
    under_way(slow_idle)
    tune(slow_idle, 0)
    assert ended(slow_idle)["state"] == "cancelled"
    step = slow_idle.model()["step"]
    time.sleep(0.3)
    assert slow_idle.model()["step"] == step


def test_it_ends_after_two_seconds_of_work(slow_idle: Daemon):
    teach(slow_idle, 60)
    done = ended(slow_idle)
    assert done["state"] == "done" and 0 < done["steps"] == done["steps_total"] < 60 * 1000
    step = slow_idle.model()["step"]
    time.sleep(0.3)
    assert slow_idle.model()["step"] == step


def test_it_gives_way_to_what_is_asked_for(slow_idle: Daemon):
    teach(slow_idle, 60)
    under_way(slow_idle)
    revisions = [teach(slow_idle, 1, seed)["revision"] for seed in range(20)]
    assert revisions[-1] - revisions[0] <= 19 + 19, "no more than a chunk is between two requests that follow each other"
    id_ = under_way(slow_idle)["id"]
    slow_idle.request("DELETE", f"/jobs/{id_}").ok()
    assert idle(slow_idle)["state"] == "cancelled"


def test_a_stop_does_not_wait_for_it(slow_idle: Daemon):
    teach(slow_idle, 60)
    seen = under_way(slow_idle)
    slow_idle.stop()
    assert seen["steps"] <= idle_steps(slow_idle) < 60 * 1000
    verified(slow_idle)


def test_kill_9_in_the_middle_loses_nothing_of_it(slow_idle: Daemon):
    learned = teach(slow_idle, 60)
    seen = under_way(slow_idle)
    slow_idle.kill()
    slow_idle.start()
    model = slow_idle.model()
    assert model["revision"] >= seen["revision"] and model["step"] >= learned["step"] + seen["steps"]
    time.sleep(0.3)
    assert slow_idle.model()["revision"] == model["revision"], "it is not taken up again"
    slow_idle.stop()
    assert verified(slow_idle)["digest"] == model["digest"]


def test_a_sample_is_forgotten_while_it_is_going_on(slow_idle: Daemon):
    teach(slow_idle, 60)
    under_way(slow_idle)
    edit = slow_idle.request("DELETE", "/samples/3", headers={"Prefer": "wait=20"}).ok()
    assert edit["state"] == "done"
    assert ended(slow_idle)["state"] == "done"
    digest = slow_idle.digest()
    slow_idle.stop()
    assert verified(slow_idle)["digest"] == digest


def test_a_reader_of_events_is_told_of_its_begin_and_its_end(slow_idle: Daemon):
    told: list[dict] = []

    def listen() -> None:
        text = slow_idle.get("/events?seconds=4").body.decode()
        told.extend(json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ") and '"idle"' in line)

    thread = threading.Thread(target=listen)
    thread.start()
    until(lambda: metric(slow_idle, "convd_event_readers") == 1, "the reader")
    tune(slow_idle, 20)
    teach(slow_idle, 3)
    thread.join()
    assert told[0]["state"] == "running" and told[0]["steps"] == 0 and told[0]["steps_total"] == 60
    assert told[-1]["state"] == "done" and told[-1]["steps"] == 60
