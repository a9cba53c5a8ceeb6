"""--keep-samples: the file of a model that learns for years does not grow for ever. What the model learned stays in it, and what is left of
the log says the same from the baseline on."""
import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from .daemon import Daemon, convd, convd_json, until
from .prometheus import metric
from .test_edits import edit
from .test_events import Reader
from .test_file_format import run_reader
from .test_rehearse import ended, rehearse

KEEP, EACH = 400, 100
FLAGS = ("--keep-samples", str(KEEP), "--snapshot-samples", str(EACH), "--keep-snapshots", "2")


def keeping(daemons) -> Daemon:
    return daemons.start(daemons.init("--rehearsal-buffer", "5", "--rehearsal", "1"), *FLAGS)


def learn(daemon: Daemon, noise, n: int, each: int = 20) -> list[int]:
    """n samples. Their ids."""
    ids = []
    for _ in range(n // each):
        labels = ",".join("abc"[i] for i in noise.integers(0, 3, each))
        first, last = daemon.post(f"/train?labels={labels}", noise.integers(0, 256, (each, 64), np.uint8).tobytes()).ok()["samples"]
        ids += range(first, last + 1)
    return ids


def ids_of(daemon: Daemon) -> list[int]:
    found, cursor = [], ""
    while cursor is not None:
        page = daemon.get("/samples?limit=500" + (f"&cursor={cursor}" if cursor else "")).ok()
        found += [row["id"] for row in page["samples"]]
        cursor = page["next"]
    return found[::-1]


def swept(daemon: Daemon) -> list[int]:
    """The ids that are left, once all that goes has gone."""
    until(lambda: len(ids_of(daemon)) <= 2 * KEEP + KEEP // 4 + 2 * EACH + 15, "samples go")
    return ids_of(daemon)


def sound(daemon: Daemon) -> dict:
    """Of a copy: the digest is the daemon's, and a reader that knows only the format finds it, too."""
    model = daemon.model()
    daemon.post("/snapshots", b"", None).ok(201)
    copy = daemon.directory / "copy.db"
    copy.unlink(missing_ok=True)
    convd("backup", copy, "--url", daemon.url, "--quiet")
    verdict = convd_json("verify", "--db", copy)
    assert verdict["ok"] and verdict["digest"] == model["digest"]
    done = run_reader(copy)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == model["digest"]
    return verdict


@pytest.mark.core
def test_old_samples_go_and_the_model_is_what_it_would_have_been(daemons, noise):
    daemon = keeping(daemons)
    with Reader(daemon) as reader:
        ids = learn(daemon, noise, 3000)
        told = reader.next("baseline")
    assert 1 < told["baseline"] <= told["revision"]
    left = swept(daemon)
    assert left[-KEEP:] == ids[-KEEP:] and len(left) < len(ids) / 2
    verdict = sound(daemon)  # its snapshot comes after the last baseline
    baseline = daemon.model()["baseline"]["revision"]
    assert baseline > 1
    until(lambda: metric(daemon, "convd_samples_deleted_total") == len(ids) - len(ids_of(daemon)), "those that are gone are counted")
    assert metric(daemon, "convd_baseline_revision") == baseline and metric(daemon, "convd_baselines_total") >= 2
    assert daemon.err.read_text().count("is the baseline") == 1, "the first, of so many"
    assert verdict["baseline"] == baseline and verdict["samples"] < len(ids)
    stats = daemon.get("/stats").ok()
    assert stats["samples"] == len(ids), "the tally is the model's"
    history = daemon.get("/stats/history?points=10").ok()
    assert history["samples"] == len(ids) and history["points"][0]["accuracy"] is None and history["points"][-1]["accuracy"] is not None
    model = daemon.model()
    daemon.restart()
    assert daemon.model() == model
    # A second one, and what was in the first is less than what is said of it.
    learn(daemon, noise, 2000)
    swept(daemon)
    assert daemon.model()["baseline"]["revision"] > baseline
    sound(daemon)
    daemon.stop()
    with closing(sqlite3.connect(daemon.db)) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone()[0] < 200
    assert b"the log is kept from revision" in convd("verify", "--db", daemon.db).stdout


def test_keeping_changes_no_bit_of_what_is_learned(daemons):
    digests = []
    for flags in (FLAGS, ("--snapshot-samples", str(EACH))):
        daemon = daemons.start(daemons.init("--rehearsal-buffer", "5", "--rehearsal", "1", name=f"{len(digests)}.db"), *flags)
        learn(daemon, np.random.default_rng(7), 2000)
        digests.append(daemon.digest())
    assert digests[0] == digests[1]


def test_what_is_before_the_baseline_is_refused_and_what_is_after_it_is_forgotten(daemons, noise):
    daemon = keeping(daemons)
    ids = learn(daemon, noise, 40)
    pinned = daemon.send_json("POST", "/snapshots", {"pinned": True, "note": "old"}).ok(201)
    ids += learn(daemon, noise, 2000)
    swept(daemon)
    gone = next(i for i in ids if i not in ids_of(daemon))
    baseline = daemon.model()["baseline"]["revision"]
    assert "not kept" in daemon.get(f"/samples/{gone}").problem(410, "gone")["detail"]
    assert "not kept" in daemon.request("DELETE", f"/samples/{gone}").problem(409, "conflict")["detail"]
    assert "not kept" in daemon.send_json("PATCH", f"/samples/{gone}", {"label": "b"}).problem(409, "conflict")["detail"]
    assert "not kept" in daemon.send_json("PATCH", "/classes", {"delete": "b"}).problem(409, "conflict")["detail"]
    assert "not kept" in daemon.post(f"/predict?revision={baseline - 1}", bytes(64)).problem(410, "gone")["detail"]
    assert daemon.post(f"/predict?revision={baseline}", bytes(64)).ok()["revision"] == baseline
    assert "not kept" in daemon.post(f"/snapshots/{pinned['id']}/activate", b"", None).problem(409, "conflict")["detail"]
    edit(daemon, "DELETE", f"/samples/{ids[-30]}").ok()
    edit(daemon, "PATCH", f"/samples/{ids[-31]}", {"label": "c"}).ok()
    sound(daemon)
    ended(daemon, rehearse(daemon, passes=1).ok(202)["id"])
    sound(daemon)
    learn(daemon, noise, 2000)
    swept(daemon)
    assert daemon.model()["baseline"]["revision"] > baseline
    sound(daemon)


@pytest.mark.parametrize("nth", range(4))
def test_kill_9_on_the_way_loses_nothing(daemons, noise, nth):
    daemon = keeping(daemons)
    ids = learn(daemon, noise, 1000)
    while daemon.model()["baseline"]["revision"] == 1:
        ids += learn(daemon, noise, 20)
    ids += learn(daemon, noise, 20 * nth)
    acknowledged = daemon.model()
    daemon.kill()
    assert convd_json("verify", "--db", daemon.db)["digest"] == acknowledged["digest"]
    daemon.start()
    model = daemon.model()
    assert model["digest"] == acknowledged["digest"]
    assert model["baseline"]["revision"] >= acknowledged["baseline"]["revision"], "one may have come after that answer"
    assert swept(daemon)[-KEEP:] == ids[-KEEP:]
    edit(daemon, "DELETE", f"/samples/{ids[-5]}").ok()
    sound(daemon)


def test_a_shared_log_is_kept_whole(daemons):
    daemon = daemons.make(daemons.init(), "--keep-samples", "1000", "--log", "postgresql://127.0.0.1:1/none")
    status, words = daemon.fails_to_start()
    assert status == 2 and "--keep-samples" in words


def test_without_snapshots_no_sample_could_go(daemons):
    daemon = daemons.make(daemons.init(), "--keep-samples", "1000", "--snapshot-samples", "0", "--snapshot-seconds", "0")
    status, words = daemon.fails_to_start()
    assert status == 2 and "--keep-samples needs snapshots" in words
