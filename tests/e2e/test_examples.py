"""examples/: the scripts do what they say, against a real daemon; the models in numpy and PyTorch answer what convd answers."""
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from .daemon import ROOT, Client, Daemon, clean_environment, convd, convd_json, lasting_port, until
from .other_side import Asked, OtherSide, Say
from .pictures import jpeg, png
from .prometheus import metric
from .test_drift import shift

EXAMPLES = ROOT / "examples"
sys.path.append(str(EXAMPLES))
import convd_client  # noqa: E402

DIGITS = [EXAMPLES / "digits" / f"{i}.png" for i in range(10)]


def run(daemon: Daemon | None, name: str, *args: str | Path, check: bool = True, **env: str) -> subprocess.CompletedProcess:
    interpreter = [sys.executable] if name.endswith(".py") else []
    url = {"PYTHONDONTWRITEBYTECODE": "1"} | ({} if daemon is None else {"CONVD_URL": daemon.url})
    done = subprocess.run([*interpreter, str(EXAMPLES / name), *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, env=clean_environment(url | env), timeout=120)
    assert not check or done.returncode == 0, done.stderr
    return done


@contextmanager
def running(daemon: Daemon, name: str, *args: str | Path, **env: str):
    """An example that goes on until it is ended."""
    command = [*([sys.executable] if name.endswith(".py") else []), str(EXAMPLES / name), *map(str, args)]
    env = clean_environment({"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "CONVD_URL": daemon.url} | env)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True) as process:
        try:
            yield process
            assert process.poll() is None, "it has ended by itself"
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def other_side():
    server = OtherSide()
    yield server
    server.close()


# ---- with curl ----

def test_predict_tells_class_confidence_and_file(reader: Daemon):
    lines = [line.split("\t") for line in run(reader, "predict.sh", *DIGITS).stdout.splitlines()]
    assert [line[2] for line in lines] == [str(path) for path in DIGITS]
    for (label, confidence, _), path in zip(lines, DIGITS):
        answer = reader.predict(path.read_bytes())
        assert label == answer["label"] and float(confidence) == pytest.approx(answer["confidence"], abs=1e-8)


def test_predict_says_what_is_wrong_with_a_picture(reader: Daemon, tmp_path):
    done = run(reader, "predict.sh", write(tmp_path / "x.png", b"no picture"), check=False)
    assert done.returncode != 0 and "urn:convd:problem:media-type" in done.stderr


@pytest.mark.parametrize("name", ["notify.sh", "predict.sh", "train-folder.sh", "add-class.sh", "snapshot-and-back.sh"])
def test_a_script_without_arguments_says_how_it_is_used(name):
    done = run(None, name, check=False)
    assert done.returncode == 2 and done.stderr.startswith(name)


def test_train_folder_learns_from_every_picture_and_adds_what_is_new(daemon: Daemon, digits, tmp_path):
    folder = tmp_path / "my pictures"
    for label in "38":
        for n in range(30):
            write(folder / label / f"{n}.png", png(digits.one(int(label), n)))
    for n in range(5):
        write(folder / "blank page" / f"a {n}.JPG", jpeg(np.full((28, 28), 5 * n, np.uint8) + np.eye(28, dtype=np.uint8) * 90))
    write(folder / "3" / "notes.txt", b"not a picture")
    before = daemon.model()
    done = run(daemon, "train-folder.sh", folder)
    after = daemon.model()
    assert after["classes"] == [*before["classes"], "blank page"] and "new class: blank page" in done.stdout
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [answer["accepted"] for answer in answers] == [50, 15]
    assert after["step"] == before["step"] + 65
    counts = {c["label"]: c["seen"] for c in daemon.get("/classes").ok()["classes"]}
    assert counts["blank page"] == 5


@pytest.mark.parametrize("label, name", [("cat", '5" disk.png'), ("cat", "back\\slash.png"), ("a=b", "a.png"), ('5" pipe', "a.png"),
                                         ("a,b", "with space;and,comma.png"), ("back\\slash", "a;type=text.png")])
def test_train_folder_takes_names_as_people_give_them(daemon: Daemon, seven, tmp_path, label, name):
    write(tmp_path / "all" / label / name, png(seven))
    write(tmp_path / "all" / label / "._x.png", b"\0\5\26\7")  # a Mac's
    run(daemon, "train-folder.sh", tmp_path / "all")
    assert {c["label"]: c["seen"] for c in daemon.get("/classes").ok()["classes"]}[label] == 1
    run(daemon, "train-folder.sh", tmp_path / "all")  # its class is known


def test_train_folder_stops_at_a_broken_picture_and_trains_nothing_of_its_request(daemon: Daemon, digits, tmp_path):
    write(tmp_path / "all" / "3" / "good.png", png(digits.one(3)))
    write(tmp_path / "all" / "3" / "bad.png", png(digits.one(3))[:70])
    before = daemon.model()
    done = run(daemon, "train-folder.sh", tmp_path / "all", check=False)
    assert done.returncode != 0 and "bad.png" in done.stderr
    assert daemon.model() == before


def test_add_class_adds_and_teaches_it(daemon: Daemon, tmp_path):
    cross = np.zeros((28, 28), np.uint8)
    cross[12:16, 4:24] = cross[4:24, 12:16] = 250
    pictures = [write(tmp_path / f"{n}.png", png(np.roll(cross, n - 1, axis=1))) for n in range(3)]
    step = daemon.model()["step"]
    run(daemon, "add-class.sh", "cross", *pictures, REPEAT="12")
    assert daemon.model()["classes"][-1] == "cross" and daemon.model()["step"] == step + 36
    assert run(daemon, "predict.sh", pictures[1]).stdout.startswith("cross\t")
    run(daemon, "add-class.sh", "cross", pictures[0], REPEAT="1")  # it is there already
    assert daemon.model()["step"] == step + 37


def test_snapshot_and_back_goes_back_where_the_command_fails(daemon: Daemon, seven):
    learn = f"curl -sS --fail --data-binary @{DIGITS[7]} '{daemon.url}/train?label=1'"
    before = daemon.model()
    done = run(daemon, "snapshot-and-back.sh", "sh", "-c", f"{learn} && exit 3", check=False)
    assert done.returncode == 3 and "it failed (3)" in done.stdout
    after = daemon.model()
    assert after["digest"] == before["digest"] and after["revision"] > before["revision"]
    done = run(daemon, "snapshot-and-back.sh", "sh", "-c", learn)
    assert "it worked" in done.stdout and daemon.model()["step"] == before["step"] + 1
    notes = [s for s in daemon.get("/snapshots").ok()["snapshots"] if s["note"] == "before snapshot-and-back.sh"]
    assert len(notes) == 2 and all(s["pinned"] for s in notes)


@pytest.fixture
def camera(tmp_path) -> str:
    """A camera that sees 7, 7, and 0 from then on: a command."""
    path = write(tmp_path / "camera", f"""#!/bin/sh
n=$(cat {tmp_path}/n 2>/dev/null || echo 0)
echo $((n + 1)) >{tmp_path}/n
case $n in 0|1) cp {DIGITS[7]} "$1" ;; *) cp {DIGITS[0]} "$1" ;; esac
""".encode())
    path.chmod(0o755)
    return str(path)


def test_camera_tells_what_it_sees_when_that_changes(reader: Daemon, tmp_path, camera):
    done = run(reader, "camera.sh", "4", CAMERA=camera, SECONDS_BETWEEN="0.01", SURE="0.5")
    assert [line.split("\t")[1] for line in done.stdout.splitlines()] == ["7", "0"]
    assert (tmp_path / "n").read_text() == "4\n"
    (tmp_path / "n").unlink()
    assert run(reader, "camera.sh", "4", CAMERA=camera, SECONDS_BETWEEN="0.01", SURE="1.1").stdout == ""


class Broker:
    """mosquitto, and all that is published. home is that of its clients."""

    def __init__(self, home: Path):
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin")
        if program is None or shutil.which("mosquitto_pub") is None:
            pytest.skip("mosquitto is not installed (Debian: mosquitto mosquitto-clients)")
        port = lasting_port()
        config = write(home / "mosquitto.conf", f"listener {port} 127.0.0.1\nallow_anonymous true\n".encode())
        for client in ("mosquitto_pub", "mosquitto_sub"):
            write(home / ".config" / client, f"-h 127.0.0.1\n-p {port}\n".encode())
        self.env = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}
        self.log, self.out = home / "mosquitto.log", home / "published"
        with self.log.open("wb") as log, self.out.open("wb") as out:
            self.processes = [subprocess.Popen([program, "-c", config, "-v"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)]
            until(lambda: "running" in self.log.read_text(), "mosquitto")
            self.processes.append(subprocess.Popen(["mosquitto_sub", "-t", "#", "-F", "%t\\t%p"], stdin=subprocess.DEVNULL, stdout=out,
                                                   env=clean_environment(self.env)))
        until(lambda: "Sending SUBACK" in self.log.read_text(), "its subscriber")

    def published(self) -> list[tuple[str, str]]:
        """(topic, message)"""
        return [tuple(line.split("\t", 1)) for line in self.out.read_text().splitlines()]

    def kept(self, topic: str) -> str:
        return subprocess.run(["mosquitto_sub", "-t", topic, "-C", "1", "-W", "20"], check=True, capture_output=True, text=True,
                              env=clean_environment(self.env)).stdout.rstrip("\n")

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def broker(tmp_path):
    started = Broker(tmp_path / "home")
    yield started
    started.close()


def rendered(template: str, answer: dict):
    """As Home Assistant renders it."""
    return pytest.importorskip("jinja2", reason="Jinja is not installed (Debian: python3-jinja2)").Template(template).render(value_json=answer)


def test_camera_mqtt_publishes_what_it_sees_and_home_assistant_finds_it(reader: Daemon, camera, broker: Broker):
    run(reader, "camera-mqtt.sh", "4", CAMERA=camera, SECONDS_BETWEEN="0.01", SURE="0.5", TOPIC="belt 2/camera", NAME="Belt", **broker.env)
    until(lambda: "offline" in broker.out.read_text(), "its last message")
    (found, sensor), *rest = broker.published()
    sensor = json.loads(sensor)
    assert found == "homeassistant/sensor/belt_2_camera/config" and sensor["name"] == "Belt" and sensor["unique_id"] == "belt_2_camera"
    assert [topic for topic, _ in rest] == [f"belt 2/camera{status}" for status in ("/status", "", "", "/status")]
    assert [rest[0][1], rest[-1][1]] == ["online", "offline"] and sensor["availability_topic"] == "belt 2/camera/status"
    answers = [json.loads(message) for topic, message in rest if topic == sensor["state_topic"] == sensor["json_attributes_topic"]]
    assert answers == [reader.predict(DIGITS[digit].read_bytes(), query="?top=1") for digit in (7, 0)]
    assert [rendered(sensor["value_template"], answer) for answer in answers] == ["7", "0"]
    assert broker.kept("belt 2/camera") == rest[-2][1] and broker.kept("belt 2/camera/status") == "offline"  # for who comes later


def test_camera_mqtt_is_offline_when_it_dies(reader: Daemon, camera, broker: Broker):
    with running(reader, "camera-mqtt.sh", CAMERA=camera, SECONDS_BETWEEN="0.01", SURE="0.5", **broker.env):
        until(lambda: '"label":"0"' in broker.out.read_text(), "what the camera sees")
    until(lambda: broker.published()[-1] == ("convd/camera/status", "offline"), "the broker's word")
    assert run(reader, "camera-mqtt.sh", "1", check=False, CAMERA="false", **broker.env).returncode != 0


def test_home_assistant_reads_what_convd_tells_of_itself(daemon: Daemon, small: Daemon, digits, seven):
    [rest] = yaml.safe_load((EXAMPLES / "home-assistant/convd.yaml").read_text())["rest"]
    path = rest["resource"].removeprefix("http://127.0.0.1:8080")

    def states(daemon: Daemon) -> dict[str, str]:
        answer = daemon.get(path).ok()
        return {sensor["name"]: rendered(sensor["value_template"], answer) for sensor in [*rest["sensor"], *rest["binary_sensor"]]
                if rendered(sensor.get("availability", "True"), answer) == "True"}
    assert states(small) == {"convd samples": "0", "convd drift alarms": "0", "convd warning": "False"}  # it has learned nothing yet
    shift(daemon, digits)
    stats = daemon.get("/stats").ok()
    assert stats["drift"]["alarms"] and states(daemon) == {
        "convd accuracy": str(round(100 * stats["recent"]["accuracy"], 1)), "convd samples": str(stats["samples"]),
        "convd drift alarms": str(stats["drift"]["alarms"]), "convd warning": str(bool(stats["warnings"]))}


def notices(server: OtherSide, *kinds: str) -> list[dict]:
    return [notice["data"] for asked in list(server.asked) if (notice := json.loads(asked.body))["event"] in kinds]


def test_notify_posts_drift_and_the_end_of_a_job(daemon: Daemon, digits, other_side: OtherSide):
    with running(daemon, "notify.sh", other_side.url + "/hook"):
        until(lambda: metric(daemon, "convd_event_readers"), "its connection")
        shift(daemon, digits)
        drift, *_ = until(lambda: notices(other_side, "drift"), "the alarm")
        assert drift["sample"] == daemon.get("/stats").ok()["drift"]["recent_alarms"][0]
        job = daemon.send_json("POST", "/rehearse", {"passes": 2, "samples": [1, 2000]}).ok(202)
        [end] = until(lambda: notices(other_side, "job"), "the job's end")
        assert end["id"] == job["id"] and end["state"] == "done"
    assert {(asked.method, asked.path, asked.headers["Content-Type"]) for asked in other_side.asked} == {
        ("POST", "/hook", "application/json")} and not notices(other_side, "train")


def test_notify_goes_on_after_convd_was_away_and_repeats_what_was_not_taken(daemons, other_side: OtherSide):
    daemon = daemons.make(daemons.init(), "--listen", f"127.0.0.1:{lasting_port()}").start()
    with running(daemon, "notify.sh", other_side.url, "class"):
        until(lambda: metric(daemon, "convd_event_readers"), "its connection")
        daemon.restart()
        until(lambda: metric(daemon, "convd_event_readers"), "its next connection")
        other_side.answer = lambda asked: Say(503 if len(other_side.asked) == 1 else 200)
        daemon.send_json("POST", "/classes", {"label": "ä\"b"}).ok(201)
        until(lambda: len(other_side.asked) == 2, "the post that is repeated")
        assert [told["label"] for told in notices(other_side, "class")] == ["ä\"b"] * 2


def test_the_examples_show_their_token(daemons, tmp_path, monkeypatch):
    tokens = {}
    for name in ("read", "write"):
        tokens[name] = write(tmp_path / f"{name}.token", f"{name}-token-0123456789\n".encode())
        tokens[name].chmod(0o600)
    daemon = daemons.start(daemons.copy(), "--read-token-file", tokens["read"], "--write-token-file", tokens["write"])
    assert "unauthorized" in run(daemon, "predict.sh", DIGITS[7], check=False).stderr
    assert run(daemon, "predict.sh", DIGITS[7], CONVD_TOKEN_FILE=str(tokens["read"])).stdout.startswith("7\t")
    refused = run(daemon, "add-class.sh", "x", DIGITS[7], check=False, CONVD_TOKEN_FILE=str(tokens["read"]))
    assert refused.returncode != 0 and "forbidden" in refused.stderr
    run(daemon, "add-class.sh", "x", DIGITS[7], CONVD_TOKEN_FILE=str(tokens["write"]))
    monkeypatch.setenv("CONVD_TOKEN_FILE", str(tokens["read"]))
    assert "x" in convd_client.Convd(daemon.url).classes()
    with pytest.raises(convd_client.ConvdError, match="403"):
        convd_client.Convd(daemon.url).add_class("y")


# ---- from Python ----

def test_the_python_client_predicts_teaches_and_adds_classes_within_80_lines(daemon: Daemon):
    assert len((EXAMPLES / "convd_client.py").read_text().splitlines()) <= 80
    model, picture = convd_client.Convd(daemon.url), DIGITS[0].read_bytes()
    assert model.predict(picture, top=2) == daemon.predict(picture, query="?top=2")
    assert model.classes() == daemon.labels() and model.add_class("slashed zero")["index"] == 10
    first = model.train("slashed zero", picture, "scan-81")
    assert first["accepted"] == 1 and model.train("slashed zero", picture, "scan-81") == first
    assert model.train("slashed zero", picture)["samples"][0] == first["samples"][0] + 1  # each without a key has one of its own
    with pytest.raises(convd_client.ConvdError, match="422: .*the model's classes are 0, 1") as caught:
        model.train("none such", picture)
    assert caught.value.problem["type"] == "urn:convd:problem:label-unknown"


def test_the_python_client_repeats_what_met_a_busy_convd_and_what_was_cut_off(daemon: Daemon, other_side: OtherSide):
    """Twice 503, then a connection that breaks after convd has trained, then convd's own answer to the retry."""
    busy, step = Say(503, b"busy", {"Retry-After": "0"}), daemon.model()["step"]

    def convd_answers(asked: Asked) -> Say:
        key = asked.headers["Idempotency-Key"]
        return Say(200, daemon.request(asked.method, asked.path, asked.body, {"Idempotency-Key": key}).body)
    answers = iter([lambda _: busy, lambda _: busy, lambda asked: convd_answers(asked) and None, convd_answers])
    other_side.answer = lambda asked: next(answers)(asked)
    assert convd_client.Convd(other_side.url).train("7", DIGITS[7].read_bytes())["accepted"] == 1
    assert daemon.model()["step"] == step + 1 and len(other_side.asked) == 4
    other_side.answer = lambda _: busy
    with pytest.raises(convd_client.ConvdError, match="503"):
        convd_client.Convd(other_side.url, tries=2).predict(b"")
    assert len(other_side.asked) == 6


def test_the_python_client_misses_no_event_between_two_connections(daemon: Daemon):
    model, opened, readers = convd_client.Convd(daemon.url), [], lambda: metric(daemon, "convd_event_readers")
    model.open = lambda path, headers: opened.append(headers) or convd_client.Convd.open(model, path + "?seconds=1", headers=headers)
    events = model.events()
    with ThreadPoolExecutor(1) as pool:
        taught = pool.submit(lambda: until(readers, "a reader") and daemon.train("7", DIGITS[7].read_bytes(), "image/png").ok())
        kind, data = next(events)
        assert kind == "train" and data["revision"] == taught.result()["revision"]
    until(lambda: readers() == 0, "the end of its connection")
    daemon.send_json("POST", "/classes", {"label": "while nobody listened"}).ok(201)
    kind, data = next(events)
    assert kind == "class" and data["label"] == "while nobody listened" and opened[1]["Last-Event-ID"]


# ---- Label Studio ----

CONFIG = """<View><Image name="img" value="$image"/><Text name="note" value="$text"/><Choices name="ignored" toName="note"><Choice value="x"/></Choices>
<Choices name="digit" toName="img" choice="single">%s</Choices></View>"""


class LabelStudio:
    """Label Studio as its API shows it, played by the other side."""

    def __init__(self, server: OtherSide, token: str):
        self.server, self.token, self.pictures, self.tasks, self.annotations = server, token, {}, {}, {}
        self.config = CONFIG % "".join(f'<Choice value="{i}"/>' for i in range(10))
        server.answer = self.answer

    def task(self, id: int, url: str, picture: bytes | None = None) -> dict:
        self.pictures[url] = picture
        self.tasks[id] = {"id": id, "data": {"image": url, "text": ""}, "project": 1, "annotations": []}
        return self.tasks[id]

    def answer(self, asked: Asked) -> Say:
        if asked.headers["Authorization"] != self.token:
            return Say(401, b'{"detail": "Invalid token."}')
        what, *rest = asked.path.removeprefix("/api/").strip("/").split("/")
        if asked.path in self.pictures:
            return Say(200, self.pictures[asked.path])
        if asked.path == "/data/elsewhere":
            return Say(302, b"", {"Location": self.pictures["elsewhere"]})
        found = {"annotations": self.annotations, "tasks": self.tasks, "projects": {1: {"id": 1, "label_config": self.config}}}.get(what, {})
        if rest[1:] == ["export?exportType=JSON"]:
            return Say(200, json.dumps([task | {"annotations": [a for a in self.annotations.values() if a["task"] == task["id"]]}
                                        for task in self.tasks.values()]).encode())
        one = found.get(int(rest[0])) if rest and rest[0].isdigit() else None
        return Say(200, json.dumps(one).encode()) if one else Say(404, b'{"detail": "Not found."}')

    def annotate(self, id: int, task: int, *choices: str, **other) -> dict:
        result = [{"id": "x1", "from_name": "digit", "to_name": "img", "type": "choices", "value": {"choices": list(choices)}}] if choices else []
        self.annotations[id] = {"id": id, "task": task, "project": 1, "result": result, "was_cancelled": False, "completed_by": 1,
                                "updated_at": f"2026-11-30T09:00:00.{len(self.server.asked):06}Z"} | other
        return self.annotations[id]


class Bridge:
    def __init__(self, process: subprocess.Popen):
        self.port = int(process.stdout.readline().rsplit(":", 1)[1])

    def ask(self, path: str, document: dict | None = None, status: int = 200) -> dict:
        with Client(self.port) as client:
            answer = client.request("GET", path) if document is None else client.send_json("POST", path, document)
        assert answer.status == status, answer.body
        return json.loads(answer.body)

    def webhook(self, action: str, **payload) -> None:
        assert self.ask("/webhook", {"action": action, "project": {"id": 1, "title": "Digits"}} | payload) == {"status": "ok"}


@contextmanager
def bridge(daemon: Daemon, studio: LabelStudio, tmp_path: Path):
    token = write(tmp_path / "studio.token", studio.token.removeprefix("Token ").encode() + b"\n")
    with running(daemon, "label_studio.py", "127.0.0.1:0", LABEL_STUDIO_URL=studio.server.url, LABEL_STUDIO_TOKEN_FILE=str(token),
                 LABEL_STUDIO_STATE=str(tmp_path / "state.db")) as process:
        yield Bridge(process)


@pytest.fixture
def studio(other_side) -> LabelStudio:
    return LabelStudio(other_side, "Token 0123456789abcdef")


def test_label_studio_gets_predictions_of_pictures_that_it_has(reader: Daemon, studio: LabelStudio, tmp_path):
    tasks = [studio.task(5, "/data/upload/1/7.png", DIGITS[7].read_bytes()), studio.task(6, "/data/local-files/?d=3.png", DIGITS[3].read_bytes())]
    tasks[1]["data"]["image"] = studio.server.url + "/data/local-files/?d=3.png"
    elsewhere = OtherSide()
    studio.pictures["elsewhere"] = elsewhere.url + "/secret.png"
    with bridge(reader, studio, tmp_path) as model:
        assert model.ask("/health") == {"status": "UP"} and model.ask("/nothing", status=404)["error"].startswith("there is GET /health")
        version = {"model_version": f"convd-{reader.model()['revision']}"}
        asked = {"project": "1.1766000000", "label_config": studio.config, "params": {"login": None, "password": None, "context": None}}
        assert model.ask("/setup", {"project": "1.1766000000", "schema": studio.config, "hostname": studio.server.url, "access_token": ""}) == version
        results = model.ask("/predict", asked | {"tasks": tasks})["results"]
        for task, digit, result in zip(tasks, "73", results):
            score = reader.predict(DIGITS[int(digit)].read_bytes())["confidence"]
            assert result == version | {"score": score, "result": [{
                "from_name": "digit", "to_name": "img", "type": "choices", "value": {"choices": [digit]}, "score": score}]}
        two = CONFIG % '<Choice value="one" alias="1"/><Choice value="4"/>'  # the best of those that may be chosen
        [result] = model.ask("/predict", asked | {"tasks": tasks[:1], "label_config": two})["results"]
        p = reader.predict(DIGITS[7].read_bytes())["probabilities"]
        assert result["result"][0]["value"]["choices"] == [max("14", key=p.get)] and result["score"] == max(p["1"], p["4"])
        for url, words in ((elsewhere.url + "/secret.png", "is not at LABEL_STUDIO_URL"), ("//evil.example/x.png", "is not at LABEL_STUDIO_URL"),
                           ("s3://bucket/x.png", "is not at LABEL_STUDIO_URL"), ("/data/elsewhere", "answers 302"), ("/data/gone", "answers 404")):
            bad = {"id": 9, "data": {"image": url}}
            assert words in model.ask("/predict", asked | {"tasks": [bad]}, status=502)["error"]
            mixed = model.ask("/predict", asked | {"tasks": [tasks[0], bad]})["results"]  # one bad picture takes nothing from the others
            assert mixed == [results[0], {"result": [], "score": 0.0}]
        assert "no <Choices>" in model.ask("/setup", {"schema": "<View/>"}, status=502)["error"]
        for path, document in (("/predict", {}), ("/predict", []), ("/setup", {"schema": "<View"}), ("/webhook", {"action": "ANNOTATION_CREATED"})):
            assert "not what Label Studio sends" in model.ask(path, document, status=400)["error"]
        studio.token = "Token another"
        assert "401" in model.ask("/predict", asked | {"tasks": tasks}, status=502)["error"]
    assert elsewhere.asked == []
    elsewhere.close()


def samples(daemon: Daemon, first: int) -> dict[int, str]:
    """Those from that one on, by id, when no edit is under way."""
    until(lambda: all(job["state"] != "running" for job in daemon.get("/jobs").ok()["jobs"]), "the end of its edits")
    return {s["id"]: s["label"] for s in daemon.get("/samples?limit=10").ok()["samples"] if s["id"] >= first}


def test_label_studio_s_annotations_are_learned_corrected_and_forgotten(daemon: Daemon, studio: LabelStudio, tmp_path):
    first = daemon.get("/stats").ok()["samples"] + 1
    for id, digit in ((5, 7), (6, 3), (7, 0)):
        studio.task(id, f"/data/upload/1/{digit}.png", DIGITS[digit].read_bytes())
    with bridge(daemon, studio, tmp_path) as model:
        annotation = studio.annotate(17, 5, "7")
        for _ in range(2):  # as when two webhooks are set up
            model.webhook("ANNOTATION_CREATED", annotation=annotation, task=studio.tasks[5])
        assert samples(daemon, first) == {first: "7"}
        model.webhook("ANNOTATION_CREATED", annotation=studio.annotate(18, 7, "slashed zero"))  # a new class
        assert samples(daemon, first) == {first: "7", first + 1: "slashed zero"}
        forged = studio.annotations[17] | {"result": [{"from_name": "digit", "type": "choices", "value": {"choices": ["1"]}}]}
        model.webhook("ANNOTATION_UPDATED", annotation=forged)  # what Label Studio itself says counts
        assert samples(daemon, first)[first] == "7"
        model.webhook("ANNOTATION_CREATED", annotation=studio.annotate(19, 6, "3", "8"))  # which of both?
        model.webhook("TASKS_CREATED", tasks=[studio.tasks[5]])
        assert samples(daemon, first) == {first: "7", first + 1: "slashed zero"}
    with bridge(daemon, studio, tmp_path) as model:  # another process, which knows what became of them
        model.webhook("ANNOTATION_UPDATED", annotation=studio.annotate(17, 5, "1"))
        assert samples(daemon, first) == {first: "1", first + 1: "slashed zero"}
        model.webhook("ANNOTATION_UPDATED", annotation=studio.annotate(18, 7, "slashed zero", was_cancelled=True))
        assert samples(daemon, first) == {first: "1"}
        model.webhook("ANNOTATION_UPDATED", annotation=studio.annotate(18, 7, "0"))
        assert samples(daemon, first) == {first: "1", first + 2: "0"}
        model.webhook("ANNOTATIONS_DELETED", annotations=[{"id": 17}])  # it is still there
        assert samples(daemon, first) == {first: "1", first + 2: "0"}
        del studio.annotations[17]
        assert "404" in model.ask("/webhook", {"action": "ANNOTATION_UPDATED", "annotation": {"id": 17}}, status=502)["error"]
        model.webhook("ANNOTATIONS_DELETED", annotations=[{"id": 17}])
        assert samples(daemon, first) == {first + 2: "0"}
        studio.annotate(20, 6, "3")  # while no webhook came
        model.webhook("START_TRAINING", id=1)
        assert samples(daemon, first) == {first + 2: "0", first + 3: "3"}


def test_label_studio_s_personal_tokens_are_exchanged(reader: Daemon, studio: LabelStudio, tmp_path):
    task, refreshed = studio.task(5, "/data/upload/1/7.png", DIGITS[7].read_bytes()), []
    studio.token = "eyJ0eXAiOiJKV1Qi.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.x"
    with bridge(reader, studio, tmp_path) as model:
        studio.token = "Bearer eyJ.access.x"

        def refresh(asked: Asked) -> Say:
            if asked.path == "/api/token/refresh/" and asked.method == "POST":
                refreshed.append(json.loads(asked.body)["refresh"])
                return Say(200, b'{"access": "eyJ.access.x"}')
            return studio.answer(asked)
        studio.server.answer = refresh
        for _ in range(2):
            [result] = model.ask("/predict", {"tasks": [task], "label_config": studio.config})["results"]
            assert result["result"][0]["value"]["choices"] == ["7"]
    assert refreshed == ["eyJ0eXAiOiJKV1Qi.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.x"]


# ---- the model elsewhere ----

def pictures_of_many_kinds(folder: Path) -> list[Path]:
    noise = np.random.default_rng(7)
    paths = list(DIGITS)
    for n, shape in enumerate([(28, 28, 3), (28, 28, 4), (60, 20, 4), (13, 90, 3), (5, 5, 4), (1, 1, 3), (100, 100, 4)]):
        paths.append(write(folder / f"{n}.png", png(noise.integers(0, 256, shape, np.uint8))))
    ink = np.full((70, 50), 240, np.uint8)
    ink[10:60, 20:28] = 20
    paths.append(write(folder / "paper.png", png(ink)))
    paths.append(write(folder / "palette.png", png(noise.integers(0, 256, (30, 30), np.uint8), mode="P")))
    paths.append(write(folder / "bits.png", png(noise.integers(0, 2, (30, 30), np.uint8) * 255, mode="1")))
    transparent = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    transparent.paste((10, 30, 20, 255), (15, 5, 22, 35))
    paths.append(write(folder / "clear.png", png(np.asarray(transparent))))
    white = np.dstack([np.full((40, 30), 250, np.uint8)] * 3 + [np.tri(40, 30, -5, np.uint8) * 200])
    paths.append(write(folder / "white.png", png(white)))
    exif = Image.Exif()
    for exif[0x0112] in (3, 5, 6):
        paths.append(write(folder / f"turned {exif[0x0112]}.png", png(noise.integers(0, 256, (50, 30, 3), np.uint8), exif=exif)))
    return paths


MODELS = {
    "digits": None,
    "cover, inverted": ["--fit", "cover", "--invert", "always"],
    "stretch, auto": ["--fit", "stretch", "--invert", "auto", "--width", "11", "--height", "7", "--stride", "2"],
    "colour": ["--channels", "3", "--invert", "auto"],
    "with alpha": ["--channels", "4", "--fit", "cover", "--invert", "always"],
    "grey with alpha": ["--channels", "2", "--invert", "auto"],
    "without kernels": ["--kernels", "0"],
}


IN_PYTORCH = ("digits", "colour", "without kernels")  # its import alone takes seconds
ELSEWHERE = [("numpy_model.py", "npz", name) for name in MODELS] + [("pytorch_model.py", "safetensors", n) for n in IN_PYTORCH]


@pytest.mark.parametrize("example, suffix, name", ELSEWHERE)
def test_a_model_elsewhere_answers_what_convd_answers(daemons, tmp_path, example, suffix, name):
    flags = MODELS[name]
    if example == "pytorch_model.py":
        pytest.importorskip("torch", reason="PyTorch is not installed (Debian: python3-torch)")
    daemon = daemons.start(daemons.copy() if flags is None else daemons.init(*flags))
    if flags is not None:
        for label, path in zip("abc", DIGITS):
            daemon.train(label, path.read_bytes(), "image/png").ok()
    daemon.send_json("PATCH", "/model", {"fit": "contain"}).ok()  # what auto cuts out, convd alone does
    model = write(tmp_path / f"model.{suffix}", daemon.get(f"/model.{suffix}").body)
    pictures = pictures_of_many_kinds(tmp_path)
    answers = [json.loads(line) for line in run(None, example, model, *pictures).stdout.splitlines()]
    assert [answer["file"] for answer in answers] == [str(path) for path in pictures]
    for answer, path in zip(answers, pictures):
        told = daemon.predict(path.read_bytes(), "image/png")
        assert answer["label"] == told["label"] and list(answer["probabilities"]) == list(told["probabilities"])
        difference = max(abs(answer["probabilities"][c] - told["probabilities"][c]) for c in told["probabilities"])
        assert difference < 1e-5, path


def test_what_pytorch_writes_becomes_a_model_of_convd(reader: Daemon, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed (Debian: python3-torch)")
    source = write(tmp_path / "model.safetensors", reader.get("/model.safetensors").body)
    code = ("import sys, torch; from pytorch_model import Model, write_safetensors\n"
            "model = Model(sys.argv[1])\n"
            "model.w12.data *= 2\n"
            "write_safetensors(sys.argv[2], dict(model.named_parameters()), model.metadata)\n")
    subprocess.run([sys.executable, "-c", code, source, tmp_path / "out.safetensors"], check=True, timeout=120,
                   env=clean_environment({"PYTHONPATH": str(EXAMPLES), "PYTHONDONTWRITEBYTECODE": "1"}))
    convd("init", "--db", tmp_path / "new.db", "--from", tmp_path / "out.safetensors")
    answer = convd_json("predict", "--db", tmp_path / "new.db", DIGITS[7])["predictions"][0]
    told = reader.predict(DIGITS[7].read_bytes())
    doubled = np.array(list(told["probabilities"].values())) ** 2  # twice the logits: squares, made to sum to one
    assert answer["label"] == told["label"] and answer["probabilities"][told["label"]] == pytest.approx(doubled.max() / doubled.sum(), abs=1e-5)


LIBRARIES = ("convd.sh", "convd_client.py", "picture.py")


def test_every_example_is_in_the_table():
    listed = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.iterdir():
        assert f"`{path.name}" in listed or path.name in ("README.md", "convd.sh", "__pycache__"), path
        if path.suffix in (".sh", ".py") and path.name not in LIBRARIES:
            assert os.access(path, os.X_OK), path
