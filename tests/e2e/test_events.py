"""GET /events: what happens, told while it happens, to readers that come, go, return and dawdle."""
import http.client
import json
import time

import numpy as np
import pytest

from .daemon import PATIENCE_S, Daemon, until
from .prometheus import metric


class Reader:
    """One reader of /events."""

    def __init__(self, daemon: Daemon, last_id: str | None = None, query: str = "", timeout_s: float = PATIENCE_S):
        self.connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=timeout_s)
        self.connection.request("GET", "/events" + query, headers={"Last-Event-ID": last_id} if last_id else {})
        self.response = self.connection.getresponse()
        assert self.response.status == 200
        assert self.response.getheader("Content-Type") == "text/event-stream; charset=utf-8"
        assert self.response.getheader("Cache-Control") == "no-store"
        assert self.response.getheader("X-Accel-Buffering") == "no"

    def frame(self) -> dict[str, str] | None:
        """The next block of lines; None at the end."""
        fields: dict[str, str] = {}
        while True:
            line = self.response.readline().decode()
            if line == "":
                assert not fields
                return None
            if line == "\n":
                return fields
            name, _, value = line.rstrip("\n").partition(":")
            assert name not in fields
            fields[name] = value.removeprefix(" ")

    def next(self, *kinds: str) -> dict:
        """The next event (of these kinds): its data, with "id" and "event"."""
        while True:
            frame = self.frame()
            assert frame is not None, "the stream has ended"
            if "data" in frame and (not kinds or frame["event"] in kinds):
                return json.loads(frame["data"]) | {"event": frame["event"], "at": frame.get("id")}

    def rest(self) -> list[dict]:
        events = []
        while (frame := self.frame()) is not None:
            if "data" in frame:
                events.append(json.loads(frame["data"]) | {"event": frame["event"], "at": frame.get("id")})
        return events

    def close(self) -> None:
        self.response.close()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def told(event: dict) -> dict:
    return {k: v for k, v in event.items() if k not in ("event", "at")}


@pytest.mark.core
def test_everything_that_changes_the_model_is_told_in_its_order(daemon: Daemon, seven):
    with Reader(daemon) as reader:
        trained = daemon.train("7", seven.tobytes()).ok()
        event = reader.next()
        assert event["event"] == "train" and told(event) == {
            "revision": trained["revision"], "step": trained["step"], "samples": 1, "correct": trained["correct"],
            "loss": trained["loss"]}
        added = daemon.send_json("POST", "/classes", {"label": "ä\"b"}).ok(201)
        event = reader.next()
        assert event["event"] == "class" and told(event) == {
            "revision": added["revision"], "action": "add", "index": 10, "label": "ä\"b"}
        daemon.send_json("PATCH", "/classes", {"from": "ä\"b", "to": "x"}).ok()
        assert reader.next()["action"] == "rename"
        model = daemon.send_json("PATCH", "/model", {"rate": 0.25}).ok()
        event = reader.next()
        assert event["event"] == "tune" and told(event) == {"revision": model["revision"], "settings": model["settings"]}
        taken = daemon.post("/snapshots", b"", None).ok(201)
        event = reader.next()
        assert event["event"] == "snapshot" and told(event) == {
            "id": taken["id"], "revision": taken["revision"], "step": taken["step"], "reason": "request"}
        back = daemon.post(f"/snapshots/{taken['id']}/activate", b"", None).ok()
        event = reader.next()
        assert event["event"] == "activate" and told(event) == {
            "revision": back["revision"], "target": taken["revision"], "step": back["step"]}
        assert reader.next()["reason"] == "activate"
        numbers = [int(event["at"].split("-")[1]) for event in Reader(daemon, "-", "?seconds=0").rest() if event["at"]]
        assert numbers == []  # who comes with a strange id gets nothing old


@pytest.mark.core
def test_an_edit_of_the_past_and_a_pin_are_told(small: Daemon, noise):
    images = noise.integers(0, 256, (6, 64), np.uint8)
    small.post("/train?labels=a,b,c,a,b,c", images.tobytes()).ok()
    wait = {"Content-Type": "application/json", "Prefer": "wait=25"}

    def edit(method: str, path: str, document: dict) -> dict:
        return small.request(method, path, json.dumps(document).encode(), wait).ok()
    with Reader(small) as reader:
        taken = small.send_json("POST", "/snapshots", {"note": "x"}).ok(201)["id"]
        assert reader.next("snapshot", "update")["event"] == "snapshot"
        for pinned in (True, False):
            said = small.send_json("PATCH", f"/snapshots/{taken}", {"pinned": pinned, "note": "\"y\""}).ok()
            event = reader.next()
            assert event["event"] == "update" and told(event) == {
                "id": taken, "revision": said["revision"], "pinned": pinned, "note": "\"y\""}
        small.send_json("PATCH", "/snapshots/999", {"pinned": True}).problem(404)
        for asked, forgotten, relabelled, class_, into in (
                (("DELETE", "/samples", {"ids": [1, 2]}), 2, 0, None, None),
                (("PATCH", "/samples/3", {"label": "a"}), 0, 1, None, None),
                (("PATCH", "/classes", {"from": "c", "into": "a"}), 0, 1, "c", "a"),
                (("PATCH", "/classes", {"delete": "b"}), 1, 0, "b", None)):
            job = edit(*asked)
            assert job["state"] == "done"
            event = reader.next("edit", "update", "snapshot")
            model = small.model()
            assert event["event"] == "edit" and told(event) == {
                "revision": job["revision"], "step": model["step"], "forgotten": forgotten, "relabelled": relabelled, "class": class_,
                "into": into}
            after = reader.next("edit", "update", "snapshot")
            assert after["event"] == "snapshot" and after["reason"] == "edit" and after["revision"] == event["revision"]
        assert small.send_json("PATCH", "/samples/3", {"label": "a"}).ok()["changed"] == 0
        small.train("a", images[0].tobytes()).ok()
        assert reader.next("edit", "train")["event"] == "train"


@pytest.mark.core
def test_a_job_is_told_from_its_beginning_to_its_end(daemon: Daemon):
    with Reader(daemon) as reader:
        begun = daemon.send_json("POST", "/rehearse", {"passes": 3, "samples": [1, 400]}).ok(202)
        events = []
        while not events or events[-1]["state"] == "running":
            events.append(reader.next("job"))
        assert all(e["id"] == begun["id"] and e["kind"] == "rehearse" for e in events)
        assert events[0]["steps"] == 0 and events[-1]["state"] == "done" and events[-1]["steps"] == 1200
        assert [e["steps"] for e in events] == sorted(e["steps"] for e in events)
        assert told(events[-1]) | {"seconds": 0} == daemon.get(f"/jobs/{begun['id']}").ok() | {"seconds": 0}


def test_a_refused_request_tells_nothing(daemon: Daemon, seven):
    with Reader(daemon) as reader:
        daemon.train("none such", seven.tobytes()).problem(422)
        daemon.send_json("POST", "/classes", {"label": "1"}).problem(409)
        key = {"Idempotency-Key": "once"}
        daemon.train("7", seven.tobytes(), headers=key).ok()
        daemon.train("7", seven.tobytes(), headers=key).ok()
        daemon.send_json("POST", "/classes", {"label": "z"}).ok(201)
        events = [reader.next(), reader.next()]
        assert [(e["event"], e.get("samples")) for e in events] == [("train", 1), ("class", None)]


def test_the_trains_of_a_busy_daemon_are_merged_and_add_up(daemon: Daemon, digits):
    n = 300
    with Reader(daemon) as reader, daemon.client() as client:
        correct = loss = 0
        begin = time.monotonic()
        for i in range(n):
            trained = client.train(str(digits.test_labels[i]), digits.test_images[i].tobytes()).ok()
            correct, loss = correct + trained["correct"], loss + trained["loss"]
        seconds = time.monotonic() - begin
        events = []
        while sum(e["samples"] for e in events) < n:
            events.append(reader.next("train"))
        assert sum(e["samples"] for e in events) == n and sum(e["correct"] for e in events) == correct
        assert sum(e["loss"] * e["samples"] for e in events) == pytest.approx(loss, abs=1e-6)
        assert events[-1]["revision"] == trained["revision"] and events[-1]["step"] == trained["step"]
        assert len(events) <= seconds / 0.05 + 3


@pytest.mark.core
def test_who_comes_back_goes_on_where_it_was(daemon: Daemon):
    with Reader(daemon) as reader:
        daemon.send_json("POST", "/classes", {"label": "one"}).ok(201)
        seen = reader.next("class")
    for label in ("two", "three"):
        daemon.send_json("POST", "/classes", {"label": label}).ok(201)
    missed = Reader(daemon, seen["at"], "?seconds=0").rest()
    assert [e["label"] for e in missed] == ["two", "three"]
    assert Reader(daemon, missed[-1]["at"], "?seconds=0").rest() == []
    with Reader(daemon, missed[0]["at"]) as reader:
        assert reader.next() == missed[1]
        daemon.send_json("POST", "/classes", {"label": "four"}).ok(201)
        assert reader.next()["label"] == "four"


def test_who_comes_back_after_a_restart_is_told_that_something_is_missing(daemon: Daemon):
    with Reader(daemon) as reader:
        daemon.send_json("POST", "/classes", {"label": "one"}).ok(201)
        seen = reader.next("class")
    daemon.kill()
    daemon.start()
    for last_id in (seen["at"], "garbage", "1-2-3", seen["at"] + "x", "-"):
        [event] = Reader(daemon, last_id, "?seconds=0").rest()
        assert event["event"] == "lost" and told(event) == {"missed": None} and event["at"] is None


def test_who_comes_back_too_late_is_told_how_much_is_missing(small: Daemon):
    with Reader(small) as reader, small.client() as client:
        client.send_json("POST", "/classes", {"label": "first"}).ok(201)
        seen = reader.next("class")
    with small.client() as client:
        for i in range(1100):
            client.send_json("PATCH", "/model", {"rate": 0.01 + i / 1e5}).ok()
    events = Reader(small, seen["at"], "?seconds=0").rest()
    assert events[0]["event"] == "lost" and events[0]["missed"] == 1100 - 1024
    assert len(events) == 1 + 1024 and events[1]["settings"]["rate"] == pytest.approx(0.01 + 76 / 1e5, rel=1e-6)


@pytest.mark.core
def test_readers_are_bounded_and_their_places_are_given_again(daemons):
    daemon = daemons.start(daemons.init(), "--event-readers", "2")
    with Reader(daemon), Reader(daemon) as second:
        refused = daemon.get("/events")
        refused.problem(503, "busy")
        assert refused.header("Retry-After")
        second.close()
        daemon.send_json("POST", "/classes", {"label": "x"}).ok(201)  # what is told to it finds it gone

        def noticed() -> bool:
            daemon.send_json("PATCH", "/model", {"rate": 0.1}).ok()
            return metric(daemon, "convd_event_readers") == 1
        until(noticed, "the second one's end")
        with Reader(daemon) as third:
            daemon.send_json("POST", "/classes", {"label": "y"}).ok(201)
            assert third.next("class")["label"] == "y"
    assert metric(daemon, "convd_event_readers_refused_total") == 1
    none = daemons.start(daemons.init(name="none.db"), "--event-readers", "0")
    none.get("/events").problem(503, "busy")


def test_head_and_options_open_no_stream(small: Daemon):
    for method in ("HEAD", "OPTIONS"):
        answer = small.request(method, "/events")
        assert answer.status in (200, 204) and answer.body == b""
    time.sleep(0.1)
    assert metric(small, "convd_event_readers") == 0


def test_seconds_end_the_stream_and_the_connection_serves_on(small: Daemon):
    connection = http.client.HTTPConnection("127.0.0.1", small.port, timeout=PATIENCE_S)
    for seconds in (0, 1):
        begin = time.monotonic()
        connection.request("GET", f"/events?seconds={seconds}")
        assert connection.getresponse().read().startswith(b"retry: ")
        assert time.monotonic() - begin >= seconds - 0.05
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b'{"status":"ok"}\n'
    connection.close()
    small.get("/events?seconds=-1").problem(422)


@pytest.mark.core
def test_readers_do_not_keep_the_daemon_from_stopping(small: Daemon):
    with Reader(small) as reader, Reader(small):
        begin = time.monotonic()
        small.stop()
        assert time.monotonic() - begin < 8  # requests that do not end are given ten
        assert reader.rest() == []  # it ended as a stream ends, and was not cut


def test_a_quiet_stream_outlives_the_deadlines_of_requests_and_connections(daemons):
    daemon = daemons.start(daemons.init(), "--request-seconds", "2", "--idle-seconds", "2")
    with Reader(daemon) as reader:
        assert "retry" in reader.frame()
        time.sleep(4.6)
        daemon.send_json("POST", "/classes", {"label": "x"}).ok(201)
        assert reader.next()["label"] == "x"


def test_many_readers_see_the_same(small: Daemon, noise):
    readers = [Reader(small) for _ in range(12)]
    image = noise.integers(0, 256, 64, np.uint8).tobytes()
    for i in range(20):
        small.train("abc"[i % 3], image).ok()
    small.send_json("POST", "/classes", {"label": "end"}).ok(201)
    seen = []
    for reader in readers:
        events = []
        while not events or events[-1]["event"] != "class":
            events.append(reader.next())
        seen.append(events)
        reader.close()
    assert all(events == seen[0] for events in seen)
    assert sum(e["samples"] for e in seen[0][:-1]) == 20
