"""A convd of another arithmetic takes a model over, says so, and promises nothing of the past that it cannot keep.

build/other/convd (make other) is this one with a multiply-add that rounds twice, under another name.
"""
import json
import sqlite3

import numpy as np
import pytest

from .daemon import CONVD, Daemon, convd, convd_json

OTHER = CONVD.parent / "other" / "convd"
IMAGE = bytes(range(64))

pytestmark = pytest.mark.skipif(not OTHER.exists(), reason=f"{OTHER} is not there: make other")


def images(noise, n: int) -> bytes:
    return noise.integers(0, 256, (n, 8, 8), dtype=np.uint8).tobytes()


def taught(daemons, noise, *flags: str) -> Daemon:
    """60 samples, a pinned snapshot, and 45 more that no snapshot has."""
    daemon = daemons.start(daemons.init(*flags), "--snapshot-samples", "0")
    for label in "abc":
        daemon.train(label, images(noise, 20)).ok()
    daemon.send_json("POST", "/snapshots", {"pinned": True}).ok(201)
    for label in "abc":
        daemon.train(label, images(noise, 15)).ok()
    return daemon


def other(daemons, db) -> Daemon:
    return daemons.start(db, "--snapshot-samples", "0", command=[str(OTHER)])


@pytest.mark.parametrize("flags", [(), ("--rehearsal", "2", "--jitter", "1")], ids=["plain", "rehearsing"])
def test_after_a_clean_stop_the_state_is_taken_as_it_is(daemons, noise, flags):
    daemon = taught(daemons, noise, *flags)
    before = daemon.model()
    assert before["baseline"] == {"revision": 1, "arithmetic": "convd-1"}
    daemon.stop()
    upgraded = other(daemons, daemon.db)
    after = upgraded.model()
    assert after["digest"] == before["digest"] and after["step"] == before["step"]
    assert after["revision"] == before["revision"] + 1
    assert after["baseline"] == {"revision": after["revision"], "arithmetic": "convd-other"} and after["arithmetic"] == "convd-other"
    assert "of arithmetic convd-1, and this convd has convd-other" in upgraded.stderr
    snapshots = {s["reason"]: s for s in upgraded.get("/snapshots").ok()["snapshots"]}
    assert snapshots["baseline"]["pinned"] and snapshots["baseline"]["arithmetic"] == "convd-other"
    assert snapshots["shutdown"]["arithmetic"] == "convd-1"


def test_after_kill_9_no_acknowledged_sample_is_lost_though_the_bits_are_others(daemons, noise):
    daemon = taught(daemons, noise)
    before = daemon.model()
    daemon.kill()
    upgraded = other(daemons, daemon.db)
    after = upgraded.model()
    assert after["step"] == before["step"] == 105 and after["digest"] != before["digest"]
    assert len(upgraded.get("/samples?limit=500").ok()["samples"]) == 105
    upgraded.train("a", images(noise, 30)).ok()
    live = upgraded.model()
    upgraded.kill()
    upgraded.start()
    assert upgraded.model() == live, "from the baseline on it is bit for bit"
    upgraded.stop()
    verdict = json.loads(convd("verify", "--db", daemon.db, "--json", binary=OTHER).stdout)
    assert verdict["ok"] and verdict["digest"] == live["digest"] and verdict["baseline"] == after["revision"]
    assert b"is of arithmetic convd-1" in convd("verify", "--db", daemon.db, binary=OTHER).stdout


def test_what_is_before_the_baseline_is_refused_and_what_is_after_it_is_not(daemons, noise):
    daemon = taught(daemons, noise)
    daemon.stop()
    upgraded = other(daemons, daemon.db)
    baseline = upgraded.model()["baseline"]["revision"]
    later = upgraded.train("b", images(noise, 5)).ok()
    [pinned] = [s["id"] for s in upgraded.get("/snapshots").ok()["snapshots"] if s["reason"] == "request"]
    assert "convd-other" in upgraded.post(f"/predict?revision={baseline - 1}", IMAGE).problem(410, "gone")["detail"]
    assert upgraded.post(f"/predict?revision={baseline}", IMAGE).ok()["revision"] == baseline
    upgraded.post(f"/snapshots/{pinned}/activate", b"", None).problem(409, "conflict")
    upgraded.request("DELETE", "/samples/3").problem(409, "conflict")
    upgraded.send_json("PATCH", "/samples/3", {"label": "c"}).problem(409, "conflict")
    upgraded.send_json("PATCH", "/classes", {"from": "a", "into": "b"}).problem(409, "conflict")
    assert upgraded.get(f"/samples/{3}").ok()["id"] == 3
    assert upgraded.request("DELETE", f"/samples/{later['samples'][0]}", None, {"Prefer": "wait=25"}).status in (200, 202)
    upgraded.send_json("POST", "/rehearse", {}).ok(202)
    assert upgraded.send_json("POST", "/snapshots", {}).ok(201)["arithmetic"] == "convd-other"
    [taken] = [s["id"] for s in upgraded.get("/snapshots").ok()["snapshots"] if s["reason"] == "baseline"]
    upgraded.request("DELETE", f"/snapshots/{taken}").problem(409, "conflict")
    upgraded.post(f"/snapshots/{taken}/activate", b"", None).ok()
    live = upgraded.model()
    upgraded.kill()
    upgraded.start()
    assert upgraded.model() == live
    upgraded.stop()
    assert json.loads(convd("verify", "--db", daemon.db, "--json", binary=OTHER).stdout)["digest"] == live["digest"]


def test_the_way_back_is_another_upgrade(daemons, noise):
    daemon = taught(daemons, noise)
    daemon.stop()
    upgraded = other(daemons, daemon.db)
    upgraded.train("b", images(noise, 5)).ok()
    model = upgraded.model()
    upgraded.stop()
    daemon.start()
    back = daemon.model()
    assert back["digest"] == model["digest"] and back["baseline"] == {"revision": model["revision"] + 1, "arithmetic": "convd-1"}
    daemon.stop()
    assert convd_json("verify", "--db", daemon.db)["baseline"] == model["revision"] + 1


def test_who_only_reads_changes_nothing(daemons, noise, tmp_path):
    daemon = taught(daemons, noise)
    digest = daemon.digest()
    daemon.stop()
    bytes_before = daemon.db.read_bytes()
    verdict = json.loads(convd("verify", "--db", daemon.db, "--json", binary=OTHER).stdout)
    assert verdict["ok"] and verdict["digest"] == digest and verdict["baseline"] == verdict["revision"] + 1
    convd("export", "--db", daemon.db, "--npz", tmp_path / "x.npz", binary=OTHER)
    assert daemon.db.read_bytes() == bytes_before
    assert convd_json("verify", "--db", daemon.db)["baseline"] == 1


def test_a_damaged_baseline_is_named_and_nothing_is_trained(daemons, noise):
    daemon = taught(daemons, noise)
    daemon.stop()
    upgraded = other(daemons, daemon.db)
    upgraded.stop()
    connection = sqlite3.connect(daemon.db)
    connection.execute("UPDATE event SET body = json_set(body, '$.from', 2) WHERE kind = 'baseline'")
    connection.commit()
    connection.close()
    done = convd("verify", "--db", daemon.db, binary=OTHER, check=False)
    assert done.returncode == 3 and b"chain does not match" in done.stderr
