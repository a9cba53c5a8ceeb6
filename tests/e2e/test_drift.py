"""Drift and history: /stats tells alarms when the model errs more often than it did, /stats/history how well it did when."""
import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from .daemon import Daemon, convd_json
from .prometheus import parse, value
from .test_events import Reader


def page_hinkley(mistakes, delta, lambda_, window, minimum) -> list[int]:
    """Where it raises alarms: the equations of core/learner/drift.h, in Python's doubles, which are the same."""
    alarms, n, mean, total, low = [], 0, 0.0, 0.0, 0.0
    for t, mistake in enumerate(mistakes, 1):
        x = 1.0 if mistake else 0.0
        n += 1
        mean += (x - mean) / min(n, window)
        total += x - mean - delta
        low = min(low, total)
        if n >= minimum and total - low > lambda_:
            alarms.append(t)
            n, mean, total, low = 0, 0.0, 0.0, 0.0
    return alarms


def outcomes(daemon: Daemon) -> list[tuple[bool, float]]:
    """Mistake and loss of each sample, in the order of training; the daemon is down."""
    with closing(sqlite3.connect(daemon.db)) as db:
        return [(bool(wrong), loss) for wrong, loss in db.execute(
            "SELECT s.label <> s.predicted, s.loss FROM labelled_sample AS s ORDER BY s.id")]


def shift(daemon: Daemon, digits) -> None:
    """Another world: every digit is called by the next one's name."""
    for i in range(0, 600, 50):
        labels = ",".join(str((label + 1) % 10) for label in digits.test_labels[i:i + 50])
        daemon.post(f"/train?labels={labels}", digits.test_images[i:i + 50].tobytes()).ok()


@pytest.mark.core
def test_a_change_of_the_world_raises_an_alarm_that_all_tell_alike(daemon: Daemon, digits):
    before = daemon.get("/stats").ok()
    assert before["drift"]["alarms"] == 0 and before["drift"]["last_alarm_sample"] is None
    with Reader(daemon) as reader:
        shift(daemon, digits)
        event = reader.next("drift")
    stats = daemon.get("/stats").ok()
    drift = stats["drift"]
    assert drift["detector"] == "page-hinkley" and drift["alarms"] >= 1
    assert before["samples"] < drift["last_alarm_sample"] <= before["samples"] + 300
    assert event["sample"] == drift["recent_alarms"][0] and event["alarms"] == 1
    assert value(parse(daemon.get("/metrics").body.decode()), "convd_drift_alarms_total") == drift["alarms"]
    daemon.logged("drift: the error rate rose")
    daemon.kill()  # the replay raises the same
    assert daemon.start().get("/stats").ok()["drift"] == drift
    daemon.restart()
    assert daemon.get("/stats").ok()["drift"] == drift
    daemon.stop()
    parameters = drift["parameters"]
    expected = page_hinkley([wrong for wrong, _ in outcomes(daemon)], parameters["delta"], parameters["lambda"],
                            parameters["window"], parameters["minimum"])
    assert expected == drift["recent_alarms"]
    convd_json("verify", "--db", daemon.db)


def test_going_back_takes_alarms_back(daemon: Daemon, digits):
    snapshot = daemon.post("/snapshots", b"", None).ok(201)["id"]
    shift(daemon, digits)
    assert daemon.get("/stats").ok()["drift"]["alarms"] >= 1
    daemon.post(f"/snapshots/{snapshot}/activate", b"", None).ok()
    assert daemon.get("/stats").ok()["drift"]["alarms"] == 0
    with Reader(daemon) as reader:
        shift(daemon, digits)
        assert reader.next("drift")["alarms"] == 1


def test_stats_tell_the_accuracy_of_each_class(daemon: Daemon):
    stats = daemon.get("/stats").ok()
    for c in stats["classes"]:
        assert c["accuracy"] == pytest.approx(c["correct"] / c["seen"], abs=1e-9)
    daemon.send_json("POST", "/classes", {"label": "new"}).ok(201)
    assert daemon.get("/stats").ok()["classes"][-1]["accuracy"] is None


@pytest.mark.core
@pytest.mark.parametrize("points", [1, 7, 200, 1000])
def test_the_history_is_the_means_over_windows_of_the_samples(daemons, points):
    daemon = daemons.start(daemons.copy())
    history = daemon.get(f"/stats/history?points={points}").ok()
    stats = daemon.get("/stats").ok()
    assert history["samples"] == stats["samples"] and history["revision"] == stats["revision"]
    daemon.stop()
    rows = outcomes(daemon)
    window = history["window"]
    assert history["counted"] == min(window, 100000 // points)
    assert len(history["points"]) == -(-len(rows) // window) <= points
    for i, point in enumerate(history["points"]):
        part = rows[i * window:(i + 1) * window]
        assert point["samples"] == i * window + len(part)
        part = part[-history["counted"]:]
        assert point["accuracy"] == pytest.approx(1 - np.mean([wrong for wrong, _ in part]), abs=1e-8)
        assert point["loss"] == pytest.approx(np.mean([loss for _, loss in part]), abs=1e-7)


@pytest.mark.core
def test_the_history_counts_only_what_is_still_there(small: Daemon, noise):
    wait = {"Content-Type": "application/json", "Prefer": "wait=25"}
    for _ in range(10):
        small.post("/train?label=a", noise.integers(0, 256, (4, 64), np.uint8).tobytes()).ok()
    back = small.send_json("POST", "/snapshots", {}).ok(201)["id"]
    small.post("/train?label=b", noise.integers(0, 256, (9, 64), np.uint8).tobytes()).ok()
    small.post(f"/snapshots/{back}/activate").ok()
    for label in "abcab":
        small.post(f"/train?label={label}", noise.integers(0, 256, (7, 64), np.uint8).tobytes()).ok()
    gone = [1, 2, 5, 17, 18, 40, 45, 50, 51, 60, 84]  # the first, the last, one after the other, of both stretches and of neither
    small.request("DELETE", "/samples", json.dumps({"ids": gone}).encode(), wait).ok()
    live = [i for i in [*range(1, 41), *range(50, 85)] if i not in gone]
    rows = {row["id"]: row for row in small.get("/samples?limit=500").ok()["samples"]}
    assert sorted(rows) == live
    for points in (1, 3, 10, 1000):
        history = small.get(f"/stats/history?points={points}").ok()
        assert history["samples"] == len(live) == small.get("/stats").ok()["samples"]
        window = history["window"]
        parts = [live[at:at + window] for at in range(0, len(live), window)]
        assert [point["samples"] for point in history["points"]] == [min(window * (i + 1), len(live)) for i in range(len(parts))]
        for point, part in zip(history["points"], parts):
            assert point["accuracy"] == pytest.approx(np.mean([rows[i]["correct"] for i in part]), abs=1e-8)
            assert point["loss"] == pytest.approx(np.mean([rows[i]["loss"] for i in part]), abs=1e-7)
    small.request("DELETE", "/samples", json.dumps({"ids": live}).encode(), wait).ok()
    assert small.get("/stats/history").ok()["points"] == []


def test_of_long_windows_the_last_samples_are_averaged(daemons, noise):
    """100,000 samples of a tiny model, in 1,000 windows of 101: of each the last 100."""
    daemon = daemons.start(daemons.init("--width", "2", "--height", "2", "--kernels", "0", "--hidden", "1"),
                           "--batch-images", "100500", "--snapshot-samples", "0")
    images = noise.integers(0, 256, (100500, 4), np.uint8)
    daemon.post("/train?label=a", images.tobytes()).ok()
    history = daemon.get("/stats/history?points=1000").ok()
    assert (history["window"], history["counted"], len(history["points"])) == (101, 100, 996)
    daemon.stop()
    rows = outcomes(daemon)
    for i in (0, 500, 994):
        part = rows[i * 101 + 1:(i + 1) * 101]
        assert history["points"][i]["accuracy"] == pytest.approx(1 - np.mean([wrong for wrong, _ in part]), abs=1e-8)


def test_a_history_without_samples_is_empty_and_what_the_client_has_is_not_sent_again(small: Daemon, noise):
    answer = small.get("/stats/history")
    assert answer.ok()["points"] == [] and answer.ok()["window"] == 0
    etag = answer.header("ETag")
    assert small.get("/stats/history", headers={"If-None-Match": etag}).status == 304
    small.train("a", noise.integers(0, 256, 64, np.uint8).tobytes()).ok()
    again = small.get("/stats/history", headers={"If-None-Match": etag})
    assert json.loads(again.body)["samples"] == 1 and len(again.ok()["points"]) == 1
    for points in (0, 1001):
        small.get(f"/stats/history?points={points}").problem(422)
