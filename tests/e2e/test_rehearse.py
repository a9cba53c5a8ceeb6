"""POST /rehearse and /jobs: past samples trained on again, behind the answers."""
import http.client
import json
import sqlite3
import subprocess
import threading
import time

import numpy as np
import pytest

from .daemon import CONVD, PATIENCE_S, PLAIN, SANITIZED, Daemon, clean_environment, convd, convd_json, until, words

BROKEN = (ConnectionError, http.client.HTTPException, TimeoutError)
FOREVER = {"passes": 1000}  # with a model that is slow enough, no test sees its end
LABELS = "abc"
N = 256  # samples of `slow`


def teach(daemon: Daemon, n: int = 64, seed: int = 1) -> None:
    chance = np.random.default_rng(seed)
    labels = [LABELS[i] for i in chance.integers(0, 3, n)]
    daemon.post("/train?labels=" + ",".join(labels), chance.integers(0, 256, n * 64, np.uint8).tobytes()).ok()


@pytest.fixture
def slow(daemons) -> Daemon:
    """A daemon whose steps take long enough to be watched, with N samples: a thousand passes are ten seconds and more."""
    daemon = daemons.start(daemons.init("--hidden", "8192"))
    teach(daemon, N)
    return daemon


def rehearse(daemon: Daemon, headers: dict | None = None, **body):
    return daemon.request("POST", "/rehearse", json.dumps(body).encode(),
                          {"Content-Type": "application/json", **(headers or {})})


def job(daemon: Daemon, number: int) -> dict:
    return daemon.get(f"/jobs/{number}").ok()


def ended(daemon: Daemon, number: int) -> dict:
    return until(lambda: (j := job(daemon, number))["state"] != "running" and j, "the end of the job")


def under_way(daemon: Daemon, number: int, steps: int = 1) -> dict:
    return until(lambda: (j := job(daemon, number))["steps"] >= steps and j, "the first chunk")


def events(daemon: Daemon) -> list[tuple]:
    """(revision, kind, body) of a daemon that is down."""
    connection = sqlite3.connect(f"file:{daemon.db}?mode=ro", uri=True)
    rows = connection.execute("SELECT revision, kind, body FROM event ORDER BY revision").fetchall()
    connection.close()
    return [(revision, kind, json.loads(body)) for revision, kind, body in rows]


def verified(daemon: Daemon) -> dict:
    verdict = convd_json("verify", "--db", daemon.db)
    assert verdict["ok"] is True
    return verdict


@pytest.mark.core
def test_a_rehearsal_is_a_job_that_tells_its_progress_and_ends(small: Daemon):
    teach(small)
    model = small.model()
    answer = rehearse(small, passes=5, rate=0.02, decay=0.5, jitter=1, rotation=10)
    begun = answer.ok(202)
    assert answer.header("Location") == f"jobs/{begun['id']}"
    assert begun["kind"] == "rehearse" and begun["state"] == "running" and begun["steps_total"] == 320
    assert begun["revision"] == model["revision"] and begun["passes"] == 5 and begun["error"] is None
    done = ended(small, begun["id"])
    assert done["state"] == "done" and done["progress"] == 1 and done["steps"] == 320 and done["pass"] == 5
    assert done["seconds"] >= 0 and done["seconds_left"] == 0 and done["started"] == begun["started"]
    after = small.model()
    assert after["step"] == 64 + 320 and after["revision"] == done["revision"]
    assert after["settings"] == model["settings"], "the job's rate and jitter are its own"
    assert small.get("/jobs").ok() == {"jobs": [done]}
    small.stop()
    assert verified(small)["digest"] == after["digest"]
    chunks = [body for _, kind, body in events(small) if kind == "rehearse"]
    assert sum(c["end"] - c["begin"] for c in chunks) == 320
    assert {c["n"] for c in chunks} == {64} and {(c["first"], c["last"]) for c in chunks} == {(1, 64)}
    rates = list(dict.fromkeys(c["rate"] for c in chunks))
    assert rates == pytest.approx([0.02, 0.01, 0.005, 0.0025, 0.00125]) and len({c["seed"] for c in chunks}) == 5
    assert {(c["jitter"], c["rotation"]) for c in chunks} == {(1, 10)}


def test_rehearsals_do_not_count_in_the_statistics(small: Daemon):
    teach(small)
    before = small.get("/stats").ok()
    assert rehearse(small, {"Prefer": "wait=20"}, passes=3).ok()["state"] == "done"
    after = small.get("/stats").ok()
    assert {**after, "step": 0, "revision": 0} == {**before, "step": 0, "revision": 0}


def test_without_a_body_one_pass_is_made_by_the_settings_of_the_model(small: Daemon):
    teach(small, 10)
    small.send_json("PATCH", "/model", {"rate": 0.125, "jitter": 2, "rotation": 3}).ok()
    done = small.request("POST", "/rehearse", b"", {"Prefer": "respond-async, wait=20", "Content-Type": None}).ok()
    assert done["state"] == "done" and done["steps"] == done["steps_total"] == 10
    small.stop()
    chunk = [body for _, kind, body in events(small) if kind == "rehearse"][0]
    assert (chunk["rate"], chunk["jitter"], chunk["rotation"]) == (0.125, 2, 3)


def test_the_range_of_samples_can_be_given(small: Daemon):
    teach(small, 10)
    teach(small, 10, seed=2)
    done = rehearse(small, {"Prefer": "wait=20"}, samples=[6, 12], passes=2).ok()
    assert done["steps"] == 14
    rehearse(small, samples=[21, 30]).problem(409, "conflict")


def test_prefer_wait_answers_at_the_end_or_when_the_time_is_over(slow: Daemon):
    begin = time.monotonic()
    running = rehearse(slow, {"Prefer": "wait=1"}, **FOREVER).ok(202)
    assert running["state"] == "running" and running["steps"] > 0
    assert time.monotonic() - begin >= 0.9
    slow.request("DELETE", f"/jobs/{running['id']}").ok()
    assert rehearse(slow, {"Prefer": "wait=20"}, passes=1).ok(200)["state"] == "done"


def test_prefer_wait_ends_when_another_client_cancels(slow: Daemon):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(rehearse(slow, {"Prefer": "wait=25"}, **FOREVER)))
    thread.start()
    [running] = until(lambda: slow.get("/jobs").ok()["jobs"], "the job")
    slow.request("DELETE", f"/jobs/{running['id']}").ok()
    thread.join(PATIENCE_S)
    assert answers[0].ok(200)["state"] == "cancelled"


def test_a_model_that_has_learned_nothing_has_nothing_to_rehearse(small: Daemon):
    problem = rehearse(small).problem(409, "conflict")
    assert "nothing to rehearse" in problem["detail"]
    assert small.get("/jobs").ok() == {"jobs": []}


@pytest.mark.parametrize("body, pointer", [
    ({"pases": 2}, "/pases"), ({"passes": 0}, "/passes"), ({"passes": 1001}, "/passes"), ({"passes": 1.5}, "/passes"),
    ({"passes": "2"}, "/passes"), ({"passes": None}, "/passes"), ({"rate": -1}, "/rate"), ({"rate": 1e9}, "/rate"),
    ({"rate": "fast"}, "/rate"), ({"decay": 0}, "/decay"), ({"decay": 2}, "/decay"), ({"jitter": 17}, "/jitter"),
    ({"jitter": True}, "/jitter"), ({"rotation": 90}, "/rotation"), ({"rotation": [1]}, "/rotation"),
    ({"samples": 3}, "/samples"), ({"samples": [3]}, "/samples"), ({"samples": [5, 3]}, "/samples"),
    ({"samples": [0, 3]}, "/samples"), ({"samples": [1, 2, 3]}, "/samples"), ({"samples": ["1", "2"]}, "/samples"),
    ({"samples": [1, 2.5]}, "/samples"), ({"samples": {"a": 1, "b": 2}}, "/samples")])
def test_a_body_of_another_form_is_refused(reader: Daemon, body, pointer):
    rehearse(reader, **body).problem(422, "value", pointer)
    assert reader.get("/jobs").ok() == {"jobs": []}


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b'{"passes": 1, "passes": 2}'])
def test_a_body_that_is_no_object_is_refused(reader: Daemon, body):
    reader.post("/rehearse", body, "application/json").problem((400, 422))


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("number", ["999999", "0", "007", "-1", "1x", ""])
def test_a_job_that_is_not_there_is_not_found(reader: Daemon, method, number):
    reader.request(method, f"/jobs/{number}").problem(404, "not-found")


@pytest.mark.core
def test_predictions_and_new_samples_are_answered_between_the_chunks(slow: Daemon):
    number = rehearse(slow, **FOREVER).ok(202)["id"]
    under_way(slow, number)
    said, predicted = [], []
    for i in range(12):
        predicted.append(slow.predict(bytes([i] * 64))["step"])
        said.append(slow.train("abc"[i % 3], bytes([i, 255] * 32)).ok())
    running = job(slow, number)
    assert running["state"] == "running" and running["steps_total"] == 1000 * N, "the new ones are not in it"
    assert 0 < running["progress"] < 1 and running["seconds_left"] > 0
    assert predicted == sorted(predicted) and predicted[-1] - predicted[0] > 12
    assert [s["samples"][0] for s in said] == list(range(N + 1, N + 13))
    slow.request("DELETE", f"/jobs/{number}").ok()
    slow.stop()
    log = events(slow)
    for s in said:  # acknowledged, at its place, with a chunk of the job before and after
        revision, kind, body = log[s["revision"] - 1]
        assert kind == "train" and body["first"] == s["samples"][0]
    kinds = [kind for _, kind, _ in log[said[0]["revision"] - 1:said[-1]["revision"]]]
    assert kinds.count("train") == 12 and kinds.count("rehearse") >= 11
    verified(slow)


def test_a_second_rehearsal_is_refused_while_one_runs(slow: Daemon):
    number = rehearse(slow, **FOREVER).ok(202)["id"]
    problem = rehearse(slow).problem(409, "conflict")
    assert f"/jobs/{number}" in problem["detail"]
    slow.request("DELETE", f"/jobs/{number}").ok()
    assert rehearse(slow, {"Prefer": "wait=20"}).ok()["state"] == "done"
    assert [j["state"] for j in slow.get("/jobs").ok()["jobs"]] == ["cancelled", "done"]


@pytest.mark.core
def test_a_cancelled_rehearsal_keeps_what_it_did(slow: Daemon):
    number = rehearse(slow, **FOREVER).ok(202)["id"]
    under_way(slow, number)
    cancelled = slow.request("DELETE", f"/jobs/{number}").ok()
    assert cancelled["state"] == "cancelled" and 0 < cancelled["steps"] < 1000 * N
    model = slow.model()
    assert model["step"] == N + cancelled["steps"] and model["revision"] == cancelled["revision"]
    time.sleep(0.05)
    assert slow.model() == model
    slow.request("DELETE", f"/jobs/{number}").problem(409, "conflict")
    slow.stop()
    assert verified(slow)["digest"] == model["digest"]


def test_activate_takes_the_rehearsal_back_and_ends_it(slow: Daemon):
    taken = slow.send_json("POST", "/snapshots", {}).ok(201)
    number = rehearse(slow, **FOREVER).ok(202)["id"]
    under_way(slow, number)
    slow.post(f"/snapshots/{taken['id']}/activate", b"", None).ok()
    assert slow.digest() == taken["digest"]
    stopped = job(slow, number)
    assert stopped["state"] == "cancelled" and "went back" in stopped["error"]
    slow.kill()
    slow.start()
    assert slow.digest() == taken["digest"]
    slow.stop()
    verified(slow)


def test_what_was_left_behind_is_not_rehearsed(small: Daemon):
    teach(small, 5)
    taken = small.send_json("POST", "/snapshots", {}).ok(201)
    teach(small, 5, seed=2)
    small.post(f"/snapshots/{taken['id']}/activate", b"", None).ok()
    teach(small, 3, seed=3)
    assert rehearse(small, {"Prefer": "wait=20"}).ok()["steps"] == 8
    small.stop()
    verified(small)


@pytest.mark.core
@pytest.mark.slow
def test_kill_9_during_a_rehearsal_under_load_comes_back_to_the_same_bits(daemons):
    daemon = daemons.start(daemons.init("--hidden", "256"), "--snapshot-samples", "2000")
    teach(daemon, 200)
    acknowledged: list[dict] = []
    for turn in range(2 if SANITIZED else 4):
        number = rehearse(daemon, jitter=1, rotation=10, decay=0.9, **FOREVER).ok(202)["id"]
        under_way(daemon, number)
        killed = threading.Event()

        def load(seed: int) -> None:
            chance, client = np.random.default_rng(seed), daemon.client()
            try:
                while not killed.is_set():
                    image = chance.integers(0, 256, 64, np.uint8).tobytes()
                    acknowledged.append(client.train(LABELS[int(chance.integers(0, 3))], image).ok())
            except BROKEN:
                assert killed.is_set()

        threads = [threading.Thread(target=load, args=(turn * 10 + i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        before = len(acknowledged)
        until(lambda: len(acknowledged) >= before + 10, "ten samples")
        seen = job(daemon, number)
        killed.set()
        daemon.kill()
        for thread in threads:
            thread.join()
        daemon.start()
        model = daemon.model()
        assert model["revision"] >= max(max(s["revision"] for s in acknowledged), seen["revision"])
        assert daemon.get("/jobs").ok() == {"jobs": []}, "it is not taken up again"
        daemon.kill()
        verdict = verified(daemon)
        assert (verdict["digest"], verdict["revision"], verdict["step"]) == \
            (model["digest"], model["revision"], model["step"])
        log = events(daemon)
        assert all(log[s["revision"] - 1][1] == "train" for s in acknowledged)
        assert any(kind == "rehearse" for _, kind, _ in log)
        daemon.start()


def test_a_stop_ends_the_rehearsal_soon_and_says_so(slow: Daemon):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(rehearse(slow, {"Prefer": "wait=25"}, **FOREVER)))
    thread.start()
    number = until(lambda: slow.get("/jobs").ok()["jobs"], "the job")[0]["id"]
    under_way(slow, number)
    begin = time.monotonic()
    slow.stop()
    thread.join(PATIENCE_S)
    assert time.monotonic() - begin < (60 if SANITIZED else 8)
    cancelled = answers[0].ok(200)
    assert cancelled["state"] == "cancelled" and "stopping" in cancelled["error"]
    assert "rehearsal cancelled after" in slow.stderr and "will not be resumed" in slow.stderr
    assert verified(slow)["step"] == N + cancelled["steps"]


def test_the_metrics_count_rehearsed_steps_and_running_jobs(slow: Daemon):
    def metric(name: str) -> float:
        [line] = [l for l in slow.get("/metrics").body.decode().splitlines() if l.startswith(name + " ")]
        return float(line.split()[1])

    assert metric("convd_rehearsed_steps_total") == 0 and metric("convd_jobs_running") == 0
    number = rehearse(slow, **FOREVER).ok(202)["id"]
    under_way(slow, number)
    assert metric("convd_jobs_running") == 1
    cancelled = slow.request("DELETE", f"/jobs/{number}").ok()
    assert metric("convd_rehearsed_steps_total") == cancelled["steps"] and metric("convd_jobs_running") == 0


@pytest.mark.parametrize("how, decay_steps", [(("--decay", "0.8", "--rate", "0.08"), 0), ((), 60000)], ids=["by hand", "by the model"])
def test_training_with_passes_through_a_daemon_is_training_offline_bit_for_bit(daemons, digits, tmp_path, how, decay_steps):
    from .test_cli import write_idx
    files = write_idx(tmp_path, digits.images[:200], digits.labels[:200])
    flags = ("--passes", "4", *how, "--jitter", "1", "--rotation", "10", "--quiet")
    offline, db = daemons.copy("offline.db"), daemons.copy()
    daemon = daemons.start(db)
    one = convd_json("train", "--db", offline, *files, *flags)
    two = convd_json("train", "--url", daemon.url, *files, *flags)
    same = ("samples", "rehearsed", "passes", "steps", "step", "accuracy", "ids")
    assert {name: one[name] for name in same} == {name: two[name] for name in same}
    assert one["steps"] == 800 and one["samples"] == 200
    assert daemon.digest() == convd_json("verify", "--db", offline)["digest"]
    settings = daemon.model()["settings"]
    assert settings["rate"] == pytest.approx(0.08 if decay_steps else 0.08 * 0.8 ** 3, rel=1e-4) and settings["decay_steps"] == decay_steps


def test_sigint_at_the_client_cancels_the_job(slow: Daemon):
    process = subprocess.Popen([str(CONVD), "train", "--url", slow.url, "--passes", "1000", "--json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
    try:
        [running] = until(lambda: slow.get("/jobs").ok()["jobs"], "the job")
        under_way(slow, running["id"])
        process.send_signal(2)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 130, err
    said = json.loads(out)
    assert job(slow, running["id"])["state"] == "cancelled"
    assert said["interrupted"] is True and said["step"] == slow.model()["step"]


def test_a_rehearsal_helps(daemons, digits, tmp_path):
    """What it is for: a second and third look at the same samples make the model better."""
    from .test_cli import write_idx
    db = daemons.directory / "digits.db"
    convd("init", "--db", db, *words(PLAIN))
    n = 300 if SANITIZED else 1000
    convd("train", "--db", db, *write_idx(tmp_path, digits.images[:n], digits.labels[:n]), "--quiet")
    before = convd_json("evaluate", "--db", db, *digits.test_files, "--quiet")["errors"]
    daemon = daemons.start(db)
    assert rehearse(daemon, {"Prefer": "wait=25"}, passes=5, jitter=1).ok()["state"] == "done"
    after = convd_json("evaluate", "--url", daemon.url, *digits.test_files, "--quiet")["errors"]
    assert after < 0.9 * before
