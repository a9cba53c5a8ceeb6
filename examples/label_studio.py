#!/usr/bin/env python3
"""label_studio.py [HOST:PORT] - convd as a model of Label Studio: it predicts what people are to label, and learns what they choose.

    LABEL_STUDIO_URL         http://127.0.0.1:8081; pictures are read from there alone
    LABEL_STUDIO_TOKEN_FILE  the file with a token of it, legacy or personal
    LABEL_STUDIO_STATE       label-studio.db: which sample each annotation became
    CONVD_URL, CONVD_TOKEN_FILE

Standard library only. Connect it as Settings > Model > http://127.0.0.1:9090 (HOST:PORT) to a project whose labelling interface has
<Choices> for an <Image>; Label Studio makes the webhook by itself. An annotation with one choice trains its picture, and a choice that
convd does not know becomes a class; a changed one relabels the sample, a skipped, emptied or deleted one forgets it, exactly. "Start
training" learns what was annotated before. Of a webhook only the id is believed: annotations are read from Label Studio.
"""
import json
import os
import sqlite3
import sys
import threading
import time
import urllib.request
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

from convd_client import Convd, ConvdError

PICTURE_BYTES = 16 << 20  # convd's own limit
REQUEST_BYTES = 64 << 20


class Refused(Exception):
    """What cannot be done, in words for who set it up."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class LabelStudio:
    def __init__(self, url: str, token: str):
        self.url, self.token, self.access, self.until = url.rstrip("/") + "/", token, "", 0.0
        self.opener = urllib.request.build_opener(NoRedirect)

    def read(self, url: str, most: int | None = None, body: bytes | None = None, **headers: str) -> bytes:
        try:
            request = urllib.request.Request(url, body, headers)
            with self.opener.open(request, timeout=30) as response:
                data = response.read(None if most is None else most + 1)
        except urllib.request.HTTPError as error:
            raise Refused(f"Label Studio answers {error.code} {error.reason} to {url}") from None
        if most is not None and len(data) > most:
            raise Refused(f"{url} is larger than {most} bytes")
        return data

    def authorization(self) -> str:
        """A personal token is a JWT, which is exchanged for one of some minutes; a legacy one is shown as it is."""
        if not self.token.startswith("eyJ"):
            return f"Token {self.token}"
        if time.monotonic() > self.until:
            body, url = json.dumps({"refresh": self.token}).encode(), self.url + "api/token/refresh/"
            self.access = json.loads(self.read(url, body=body, **{"Content-Type": "application/json"}))["access"]
            self.until = time.monotonic() + 60
        return f"Bearer {self.access}"

    def get(self, url: str, most: int | None = None) -> bytes:
        url = urljoin(self.url, url)
        if urlsplit(url)[:2] != urlsplit(self.url)[:2]:
            raise Refused(f"{url} is not at LABEL_STUDIO_URL ({self.url}), where alone pictures are read: upload them there")
        return self.read(url, most, Authorization=self.authorization())

    def api(self, path: str) -> dict | list:
        return json.loads(self.get("api/" + path))


Interface = namedtuple("Interface", "name to_name key choices")


def interface(config: str) -> Interface:
    """The first <Choices> for an <Image>: names of both, where in a task's data the picture is, and the choices (none: any)."""
    root = ElementTree.fromstring(config)
    images = {tag.get("name"): tag.get("value", "").removeprefix("$") for tag in root.iter("Image")}
    for tag in root.iter("Choices"):
        if tag.get("toName") in images:
            choices = [choice.get("alias") or choice.get("value") for choice in tag.iter("Choice")]
            return Interface(tag.get("name"), tag.get("toName"), images[tag.get("toName")], choices)
    raise Refused("the labelling interface has no <Choices> for an <Image>")


class Bridge:
    def __init__(self, convd: Convd, studio: LabelStudio, state: str):
        self.convd, self.studio, self.lock = convd, studio, threading.Lock()
        self.db = sqlite3.connect(state, check_same_thread=False, isolation_level=None)
        self.db.execute("CREATE TABLE IF NOT EXISTS annotation (id INTEGER PRIMARY KEY, sample INTEGER NOT NULL, label TEXT NOT NULL)")

    def picture(self, task: dict, how: Interface) -> bytes:
        if how.key not in task["data"]:
            raise Refused(f"task {task['id']} has no {how.key!r}")
        return self.studio.get(task["data"][how.key], PICTURE_BYTES)

    # ---- what Label Studio asks ----

    def setup(self, asked: dict) -> dict:
        interface(asked["schema"])
        return {"model_version": f"convd-{self.convd.ask('/model')['revision']}"}

    def predict(self, asked: dict) -> dict:
        how, results, failed = interface(asked["label_config"]), [], []
        for task in asked["tasks"]:
            try:
                results.append(self.prediction(task, how))
            except (Refused, ConvdError, OSError) as error:
                results.append({"result": [], "score": 0.0})
                failed.append(f"task {task['id']}: {error}")
                print(failed[-1], file=sys.stderr)
        if failed and len(failed) == len(results):
            raise Refused(failed[0])
        return {"results": results}

    def prediction(self, task: dict, how: Interface) -> dict:
        answer = self.convd.predict(self.picture(task, how))
        among = {label: p for label, p in answer["probabilities"].items() if label in how.choices or not how.choices}
        if not among:
            raise Refused(f"none of convd's classes ({', '.join(answer['probabilities'])}) is a choice of the labelling interface")
        label = max(among, key=among.get)
        score = answer["confidence"] if label == answer["label"] else among[label]
        choice = {"from_name": how.name, "to_name": how.to_name, "type": "choices", "value": {"choices": [label]}, "score": score}
        return {"result": [choice], "score": score, "model_version": f"convd-{answer['revision']}"}

    def webhook(self, asked: dict) -> dict:
        action, named = asked["action"], asked.get("annotation") or asked.get("annotations") or {"id": asked.get("id")}
        with self.lock:
            if action == "START_TRAINING":
                project = int(asked["project"]["id"])
                how = interface(self.studio.api(f"projects/{project}/")["label_config"])
                for task in self.studio.api(f"projects/{project}/export?exportType=JSON"):
                    for annotation in task["annotations"]:
                        self.learn(annotation, task, how)
            elif action.startswith("ANNOTATION"):
                for one in named if isinstance(named, list) else [named]:
                    self.follow(int(one["id"]), action.endswith("DELETED"))
        return {"status": "ok"}

    # ---- what people choose ----

    def follow(self, id: int, deleted: bool) -> None:
        """What the annotation is now, whatever the webhook said that it was."""
        try:
            annotation = self.studio.api(f"annotations/{id}/")
        except Refused as error:
            if deleted and " 404 " in str(error):
                return self.forget(id)
            raise
        task = self.studio.api(f"tasks/{int(annotation['task'])}/")
        self.learn(annotation, task, interface(self.studio.api(f"projects/{int(task['project'])}/")["label_config"]))

    def learn(self, annotation: dict, task: dict, how: Interface) -> None:
        id = annotation["id"]
        chosen = [item["value"]["choices"] for item in annotation["result"] if item.get("from_name") == how.name and "choices" in item["value"]]
        if annotation.get("was_cancelled") or len(chosen) != 1 or len(chosen[0]) != 1:
            return self.forget(id)
        label, known = chosen[0][0], self.db.execute("SELECT sample, label FROM annotation WHERE id = ?", (id,)).fetchone()
        if known and known[1] == label:
            return
        if label not in self.convd.classes():
            self.convd.add_class(label)
        if known:
            sample = known[0]
            self.convd.ask(f"/samples/{sample}", json.dumps({"label": label}).encode(), "application/json", method="PATCH")
        else:
            key = f"{self.studio.url}annotations/{id}?{annotation['updated_at']}"
            sample = self.convd.train(label, self.picture(task, how), key)["samples"][0]
        self.db.execute("INSERT OR REPLACE INTO annotation VALUES (?, ?, ?)", (id, sample, label))

    def forget(self, id: int) -> None:
        known = self.db.execute("SELECT sample FROM annotation WHERE id = ?", (id,)).fetchone()
        if known:
            try:
                self.convd.ask(f"/samples/{known[0]}", method="DELETE")
            except ConvdError as error:
                if error.status not in (404, 410):  # it was forgotten already
                    raise
            self.db.execute("DELETE FROM annotation WHERE id = ?", (id,))


def handler(bridge: Bridge) -> type[BaseHTTPRequestHandler]:
    posts = {"/setup": bridge.setup, "/predict": bridge.predict, "/webhook": bridge.webhook}

    class Handler(BaseHTTPRequestHandler):
        protocol_version, timeout = "HTTP/1.1", 60

        def say(self, status: int, answer: dict) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            there = self.path in ("/", "/health")
            self.say(200 if there else 404, {"status": "UP"} if there else {"error": "there is GET /health, " + ", ".join(posts)})

        def do_POST(self):
            length, ask = int(self.headers.get("Content-Length") or 0), posts.get(self.path)
            if ask is None or length > REQUEST_BYTES:
                self.close_connection = True
                return self.say(*((413, {"error": f"more than {REQUEST_BYTES} bytes"}) if ask else (404, {"error": f"no {self.path}"})))
            body = self.rfile.read(length)
            try:
                status, answer = 200, ask(json.loads(body))
            except (Refused, ConvdError, OSError) as error:
                status, answer = 502, {"error": str(error)}
            except (KeyError, TypeError, ValueError, AttributeError, ElementTree.ParseError) as error:
                status, answer = 400, {"error": f"not what Label Studio sends to {self.path}: {error!r}"}
            if status != 200:
                print(f"{self.path}: {answer['error']}", file=sys.stderr)
            try:
                self.say(status, answer)
            except ConnectionError:
                pass  # Label Studio waits a second for webhooks; what was asked is done

        def log_message(self, *_):
            pass
    return Handler


if __name__ == "__main__":
    try:
        host, port = (sys.argv[1:] or ["127.0.0.1:9090"])[0].rsplit(":", 1)
        studio = LabelStudio(os.environ["LABEL_STUDIO_URL"], Path(os.environ["LABEL_STUDIO_TOKEN_FILE"]).read_text().strip())
        if urlsplit(studio.url).scheme not in ("http", "https"):
            raise ValueError
    except (KeyError, ValueError):
        sys.exit(__doc__)
    bridge = Bridge(Convd(tries=3), studio, os.environ.get("LABEL_STUDIO_STATE", "label-studio.db"))
    server = ThreadingHTTPServer((host, int(port)), handler(bridge))
    print(f"listening on http://{host}:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
