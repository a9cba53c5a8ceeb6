"""/snapshots: take, list, go back, drop."""
import sqlite3

import pytest

from .daemon import Daemon, convd_json


def snapshots(daemon: Daemon) -> dict[int, dict]:
    return {s["id"]: s for s in daemon.get("/snapshots").ok()["snapshots"]}


def take(daemon: Daemon, **body) -> dict:
    return daemon.send_json("POST", "/snapshots", body).ok(201)


@pytest.mark.core
def test_a_snapshot_is_taken_and_listed(daemon: Daemon):
    model = daemon.model()
    before = snapshots(daemon)
    answer = daemon.send_json("POST", "/snapshots", {"note": "vor dem Umbau ä", "pinned": True})
    taken = answer.ok(201)
    assert taken["revision"] == model["revision"] and taken["step"] == model["step"]
    assert taken["digest"] == model["digest"]
    assert taken["reason"] == "request" and taken["note"] == "vor dem Umbau ä" and taken["pinned"] is True
    assert answer.header("Location") == f"snapshots/{taken['id']}"  # relative: a proxy may have taken a prefix away
    assert daemon.get("/" + answer.header("Location")).ok() == taken
    after = snapshots(daemon)
    assert after[taken["id"]] == taken and set(after) == set(before) | {taken["id"]}


def test_a_snapshot_without_a_body_is_taken(daemon: Daemon):
    taken = daemon.post("/snapshots", b"", None).ok(201)
    assert taken["note"] == "" and taken["pinned"] is False


def test_a_new_model_has_a_pinned_snapshot_of_its_creation(small: Daemon):
    [first] = snapshots(small).values()
    assert first["reason"] == "create" and first["pinned"] is True and first["revision"] == 1 and first["step"] == 0


@pytest.mark.core
def test_activate_goes_back_to_exactly_the_earlier_model_while_the_revision_grows(daemon: Daemon, digits, seven):
    taken = take(daemon)
    then = daemon.model()
    prediction = daemon.predict(seven.tobytes())["probabilities"]
    stats = daemon.get("/stats").ok()
    daemon.train("1", digits.test_images[:50].tobytes()).ok()
    daemon.send_json("PATCH", "/model", {"rate": 0.9}).ok()
    daemon.send_json("POST", "/classes", {"label": "x"}).ok(201)
    away = daemon.model()
    assert away["digest"] != then["digest"]

    answer = daemon.post(f"/snapshots/{taken['id']}/activate", b"", None)
    said = answer.ok()
    back = daemon.model()
    assert {**back, "revision": None} == {**then, "revision": None}
    assert back["revision"] == said["revision"] == away["revision"] + 1
    assert said["step"] == then["step"]
    assert answer.header("ETag") == f'"r{back["revision"]}"'
    assert daemon.predict(seven.tobytes())["probabilities"] == prediction
    assert {**daemon.get("/stats").ok(), "revision": None} == {**stats, "revision": None}


@pytest.mark.core
def test_what_was_activated_survives_kill_9_and_learns_on(daemon: Daemon, digits, daemons):
    other = daemons.start(daemons.copy("other.db"))
    taken = take(daemon)
    daemon.train("1", digits.test_images[:50].tobytes()).ok()
    daemon.post(f"/snapshots/{taken['id']}/activate", b"", None).ok()
    daemon.train("2", digits.test_images[:30].tobytes()).ok()
    other.train("2", digits.test_images[:30].tobytes()).ok()
    assert daemon.digest() == other.digest(), "as if the fifty had never been"
    daemon.kill()
    daemon.start()
    assert daemon.digest() == other.digest()
    daemon.stop()
    assert convd_json("verify", "--db", daemon.db)["digest"] == other.digest()


def test_one_can_go_back_and_forth(daemon: Daemon, digits):
    first = take(daemon)
    daemon.train("1", digits.test_images[:20].tobytes()).ok()
    second = take(daemon)
    for snapshot in (first, second, first, first, second):
        daemon.post(f"/snapshots/{snapshot['id']}/activate", b"", None).ok()
        assert daemon.digest() == snapshot["digest"]
    daemon.stop()
    verdict = convd_json("verify", "--db", daemon.db)
    assert verdict["ok"] is True and verdict["digest"] == second["digest"]


def test_samples_of_an_abandoned_line_stay_in_the_log_but_not_among_the_live_ones(small: Daemon):
    taken = take(small)
    lost = small.train("a", bytes(63) + b"\1").ok()["samples"][0]
    small.post(f"/snapshots/{taken['id']}/activate", b"", None).ok()
    kept = small.train("b", bytes(63) + b"\1").ok()["samples"][0]
    assert kept > lost
    small.stop()
    connection = sqlite3.connect(small.db)
    assert connection.execute("SELECT id FROM sample ORDER BY id").fetchall() == [(lost,), (kept,)]
    assert connection.execute("SELECT id FROM labelled_sample").fetchall() == [(kept,)]
    connection.close()


@pytest.mark.core
def test_a_snapshot_is_dropped(daemon: Daemon):
    taken = take(daemon)
    answer = daemon.request("DELETE", f"/snapshots/{taken['id']}")
    assert answer.status == 204 and answer.body == b""
    assert taken["id"] not in snapshots(daemon)
    daemon.get(f"/snapshots/{taken['id']}").problem(404, "not-found")


def test_a_pinned_snapshot_is_not_dropped(daemon: Daemon):
    taken = take(daemon, pinned=True)
    problem = daemon.request("DELETE", f"/snapshots/{taken['id']}").problem(409, "conflict")
    assert "pinned" in problem["detail"]
    assert taken["id"] in snapshots(daemon)


@pytest.mark.core
def test_a_snapshot_is_pinned_and_released_and_that_survives_kill_9(daemon: Daemon):
    taken = take(daemon, note="of today")
    path = f"/snapshots/{taken['id']}"
    assert daemon.send_json("PATCH", path, {"pinned": True}).ok() == {**taken, "pinned": True}
    assert daemon.send_json("PATCH", path, {"note": "früher"}).ok() == {**taken, "pinned": True, "note": "früher"}
    daemon.kill()
    daemon.start()
    assert daemon.get(path).ok() == {**taken, "pinned": True, "note": "früher"}
    daemon.request("DELETE", path).problem(409, "conflict")
    assert daemon.send_json("PATCH", path, {"pinned": False, "note": ""}).ok() == {**taken, "note": ""}
    assert daemon.request("DELETE", path).status == 204


def test_the_snapshot_of_the_creation_stays_pinned(small: Daemon):
    before = small.get("/snapshots/1").ok()
    small.send_json("PATCH", "/snapshots/1", {"pinned": False, "note": "x"}).problem(409, "conflict")
    assert small.get("/snapshots/1").ok() == before


@pytest.mark.core
def test_a_snapshot_is_taken_elsewhere_as_the_live_model_was_then(daemon: Daemon, digits):
    then = daemon.get("/model.safetensors").body
    taken = take(daemon)
    daemon.train("1", digits.test_images[:20].tobytes()).ok()
    assert daemon.get("/model.safetensors").body != then
    path = f"/snapshots/{taken['id']}/model.safetensors"
    answer = daemon.get(path)
    assert answer.status == 200 and answer.body == then
    assert daemon.request("GET", path, headers={"If-None-Match": answer.header("ETag")}).status == 304
    later = daemon.get(f"/snapshots/{take(daemon)['id']}/model.safetensors")
    assert later.header("ETag") != answer.header("ETag")


@pytest.mark.parametrize("method, path", [("GET", "/snapshots/{}"), ("DELETE", "/snapshots/{}"), ("GET", "/snapshots/{}/model.safetensors"),
                                          ("POST", "/snapshots/{}/activate")])
@pytest.mark.parametrize("number", ["999999", "0", "007", "-1", "1x", "99999999999999999999", ""])
def test_a_snapshot_that_is_not_there_is_not_found(reader: Daemon, method, path, number):
    reader.request(method, path.format(number)).problem(404, "not-found")


@pytest.mark.parametrize("body, pointer", [({"note": 7}, "/note"), ({"note": "x" * 201}, "/note"),
                                           ({"pinned": "yes"}, "/pinned"),
                                           ({"name": "x"}, "/name")])
def test_a_snapshot_body_of_another_form_is_refused(reader: Daemon, body, pointer):
    before = reader.get("/snapshots").body
    reader.send_json("POST", "/snapshots", body).problem(422, pointer=pointer)
    reader.send_json("PATCH", "/snapshots/1", body).problem(422, pointer=pointer)
    assert reader.get("/snapshots").body == before


def test_snapshots_are_taken_every_so_many_samples(daemons, digits):
    daemon = daemons.start(daemons.copy(), "--snapshot-samples", "100")
    for _ in range(5):
        daemon.train("7", digits.test_images[:60].tobytes()).ok()
    reasons = [s["reason"] for s in snapshots(daemon).values()]
    assert reasons.count("interval") == 2


def test_old_snapshots_thin_out_and_pinned_ones_stay(daemons):
    daemon = daemons.start(daemons.init(), "--keep-snapshots", "3")
    pinned = take(daemon, pinned=True)["id"]
    for _ in range(60):
        daemon.train("a", bytes(63) + b"\1").ok()
        last = take(daemon)["id"]
    left = snapshots(daemon)
    assert len(left) < 20
    assert pinned in left and 1 in left
    assert set(sorted(left)[-3:]) == {last, last - 1, last - 2}
    daemon.stop()
    assert convd_json("verify", "--db", daemon.db)["ok"] is True


def test_the_id_of_a_dropped_snapshot_is_not_given_again(small: Daemon):
    """Whoever knows it would go back to another state than was meant."""
    small.train("a", bytes(range(64))).ok()
    old = small.post("/snapshots", b"", None).ok(201)["id"]
    assert small.request("DELETE", f"/snapshots/{old}").status == 204
    small.restart()
    small.train("b", bytes(range(64))).ok()
    new = small.post("/snapshots", b"", None).ok(201)["id"]
    assert new > old
    small.post(f"/snapshots/{old}/activate", b"", None).problem(404, "not-found")
