"""schema/openapi.json is true: every route, method, status, header and field of it is had from running daemons, and nothing
comes from them that is not in it. And it is an OpenAPI document, of this version of the program.

Who adds a route, a status or a field: document it there, and ask for it in walk() below.
"""
import base64
import json
import re

import jsonschema
import numpy as np
import pytest

from . import npm, oip
from .conftest import Daemons
from .daemon import ROOT, Answer, Daemon, convd, until
from .openapi import Document, anonymous, fields_of
from .pictures import CURL, FORM, form, pixel_list, png
from .postgres import PLACES, Postgres
from .test_refused_steps import on_the_edge
from .test_warnings import teach

DOCUMENT = Document(ROOT / "schema" / "openapi.json")
OPERATIONS = [(method, path) for method, path, _ in DOCUMENT.operations()]
OCTETS = "application/octet-stream"
READING, WRITING = "reading-token-0123456789", "writing-token-0123456789"


def concrete(path: str, **values) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: str(values[m[1]]), path)


class Seen:
    """What has come from the daemons, each answer held against the document when it comes."""

    def __init__(self):
        self.responses: set[tuple[str, str, str, str]] = set()  # method, path, status as documented, media type
        self.fields: dict[tuple[str, str, str, str], set[str]] = {}
        self.parameters: set[tuple[str, str, str]] = set()
        self.request_fields: dict[tuple[str, str], set[str]] = {}
        self.request_media: set[tuple[str, str, str]] = set()
        self.wrong: list[str] = []

    def ask(self, daemon: Daemon, method: str, path: str, status: int, *, body: bytes | None = None, query: str = "",
            document=None, headers: dict | None = None, values: dict | None = None) -> Answer:
        headers = dict(headers or {})
        if document is not None:
            body = json.dumps(document).encode()
            headers.setdefault("Content-Type", "application/json")
        if body is None and method in ("POST", "PATCH"):
            body = b""
        answer = daemon.request(method, concrete(path, **(values or {})) + query, body, headers)
        try:
            assert answer.status == status, f"{answer.status}, not {status}: {answer.body[:300]!r}"
            self.note(method, path, answer)
            if status < 300:
                self.note_request(method, path, query, body, document, headers)
        except (AssertionError, jsonschema.ValidationError) as error:
            self.wrong.append(f"{method} {path}{query}: {str(error)[:600]}")
        return answer

    def note(self, method: str, path: str, answer: Answer) -> None:
        name, documented = DOCUMENT.response(method, path, answer.status)
        assert name != "default", f"{answer.status} is not documented"
        media = (answer.header("Content-Type") or "").split(";")[0]
        content = documented.get("content", {})
        assert media in content if content else not answer.body, f"{media} is not documented for {answer.status}"
        self.responses.add((method, path, name, media))
        for header, entry in documented.get("headers", {}).items():
            value, entry = answer.header(header), DOCUMENT.resolve(entry)
            assert value is not None or not entry.get("required"), f"{header} is missing"
            if value is not None:
                DOCUMENT.check(entry["schema"], value)
        for header in ("Accept-Encoding", "ETag", "Location", "WWW-Authenticate", "Inference-Header-Content-Length"):
            assert answer.header(header) is None or header in documented.get("headers", {}), f"{header} is not documented"
        length = answer.header("Inference-Header-Content-Length")
        if media.endswith("json") or length is not None:  # then JSON comes first, and binary tensors after it
            media = "application/json" if length is not None else media
            value = json.loads(answer.body[:None if length is None else int(length)])
            DOCUMENT.check(content[media]["schema"], value)
            assert ("error" in value) == path.startswith("/v2") or media != "application/problem+json"
            self.fields.setdefault((method, path, name, media), set()).update(fields_of(value))

    def note_request(self, method: str, path: str, query: str, body: bytes | None, document, headers: dict) -> None:
        for place, given in (("query", re.findall(r"[?&](\w+)=", query)), ("header", headers)):
            known = DOCUMENT.parameters(method, path, place)
            self.parameters |= {(method, path, name) for name in known if name in given}
            assert place == "header" or set(given) <= set(known), f"{given} are taken, but not documented"
        content = DOCUMENT.operation(method, path).get("requestBody", {}).get("content", {})
        if body:
            media = headers.get("Content-Type", OCTETS).split(";")[0]
            assert media in content or media == CURL, f"{media} is taken, but not documented"
            self.request_media.add((method, path, media))
        if document is not None:
            DOCUMENT.check(content["application/json"]["schema"], document, closed=False)
            self.request_fields.setdefault((method, path), set()).update(fields_of(document))


# ---- the walk ----

def walk(daemons, digits) -> Seen:
    seen = Seen()
    daemon = daemons.start(daemons.copy())
    walk_pictures(seen, daemon, digits)
    walk_model(seen, daemon)
    walk_predictions(seen, daemon, digits)
    walk_samples(seen, daemon)
    seen.ask(daemon, "GET", "/samples.tar", 200)
    seen.ask(daemon, "POST", "/classes", 201, document={"label": "no/folder"})
    seen.ask(daemon, "GET", "/samples.tar", 409)
    seen.ask(daemon, "PATCH", "/classes", 200, document={"from": "no/folder", "to": "a folder"})
    seen.ask(daemon, "GET", "/stats/history", 200, query="?points=3")
    seen.ask(daemon, "GET", "/events", 200, query="?seconds=0", headers={"Last-Event-ID": "1-1"})
    walk_edits(seen, daemons.start(daemons.init("--hidden", "8192", name="edits.db")))
    walk_snapshots(seen, daemon)
    walk_rehearse(seen, daemon, daemons.start(daemons.init("--hidden", "8192", name="slow.db")))
    walk_v2(seen, daemon, digits)
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/"):
        seen.ask(daemon, "GET", path, 200)
    for file in ("index.html", "style.css", "app.js", "icon.svg"):
        seen.ask(daemon, "GET", "/web/{file}", 200, values={"file": file})
    seen.ask(daemon, "GET", "/web/{file}", 404, values={"file": "nobody.js"})
    walk_refusals(seen, daemon, daemons.start(daemons.init("--kernels", "0", name="dense.db")))
    walk_refused_steps(seen, on_the_edge(daemons), digits.one(7)[10:18, 10:18].tobytes())
    walk_warnings(seen, daemons.start(daemons.init(name="warned.db")))
    walk_without_classes(seen, daemons, digits)
    walk_limits(seen, daemons.start(daemons.copy("narrow.db"), "--body-bytes", "4"))
    walk_tokens(seen, daemons)
    walk_cluster(seen, daemons)
    return seen


def walk_refused_steps(seen: Seen, daemon: Daemon, image: bytes) -> None:
    assert seen.ask(daemon, "POST", "/train", 200, query="?label=a", body=image).ok()["refused"] == 1
    values = {"id": seen.ask(daemon, "POST", "/predict", 200, body=image, query="?remember=1").ok()["id"]}
    seen.ask(daemon, "POST", "/predictions/{id}/label", 200, values=values, document={"label": "a"})


def walk_warnings(seen: Seen, daemon: Daemon) -> None:
    teach(daemon, np.random.default_rng(5), 400, told=False)
    seen.ask(daemon, "GET", "/stats", 200)


def walk_pictures(seen: Seen, daemon: Daemon, digits) -> None:
    image = digits.one(7)
    two = digits.test_images[:2]
    picture = png(image)
    b64 = {"b64": base64.b64encode(picture).decode()}
    pixels, nested = pixel_list(image), {"pixels": image.tolist()}
    for path, query in (("/predict", ""), ("/train", "?label=7")):
        def ask(**kwargs):
            return seen.ask(daemon, "POST", path, 200, **{"query": query, **kwargs})
        ask(body=picture, headers={"Content-Type": "image/png"})
        ask(body=picture, headers={"Content-Type": "image/jpeg"})  # told by its bytes
        ask(body=picture, headers={"Content-Type": "image/webp"})
        ask(body=picture, headers={"Content-Type": CURL})
        ask(body=image.tobytes())
        ask(body=two.tobytes(), query="?top=3" if path == "/predict" else "?labels=7,2")
        for document in ({"image": b64}, {"image": pixels}, {"image": nested}, {"images": [b64, nested]}):
            ask(document=document)
        ask(body=form(("7", "a.png", picture), ("2", "b.png", picture)), headers={"Content-Type": FORM}, query="")
    seen.ask(daemon, "POST", "/predict", 200, body=json.dumps({"image": b64}).encode(),
             headers={"Content-Type": "application/x-ndjson"})
    seen.ask(daemon, "POST", "/train", 200, body=json.dumps({"label": "7", "image": b64}).encode(),
             headers={"Content-Type": "application/x-ndjson"})
    seen.ask(daemon, "POST", "/predict", 200, query="?revision=1", body=picture)
    strange = bytes(range(256)) * 7
    for query in ("?known=1", "?unknown=1"):
        seen.ask(daemon, "POST", "/predict", 200, query=query, body=strange[:784])
        seen.ask(daemon, "POST", "/predict", 200, query=query, body=strange[:1568])
    seen.ask(daemon, "POST", "/predict", 200, body=bytes(784))
    seen.ask(daemon, "POST", "/predict", 200, body=bytes(2 * 784))
    seen.ask(daemon, "POST", "/train", 422, query="?label=7", body=bytes(784))
    seen.ask(daemon, "POST", "/train", 200, query="?label=7&flat=allow", body=bytes(784))
    seen.ask(daemon, "POST", "/predict", 404, query="?revision=999999", body=picture)
    for document in ({"label": "7", "image": b64}, {"samples": [{"label": "7", "image": b64}, {"label": "2", "image": pixels}]}):
        seen.ask(daemon, "POST", "/train", 200, document=document)
    for _ in range(2):
        seen.ask(daemon, "POST", "/train", 200, body=picture, query="?label=7", headers={"Idempotency-Key": "k1"})
    for path, query in (("/predict", ""), ("/train", "?label=7")):
        seen.ask(daemon, "POST", path, 415, body=b"GIF89a not a picture of ours", query=query, headers={"Content-Type": CURL})
        seen.ask(daemon, "POST", path, 422, query=query, body=picture[:-30], headers={"Content-Type": "image/png"})
        seen.ask(daemon, "POST", path, 422, query=query, document={"image": {"pixels": [0] * 783}})


def walk_model(seen: Seen, daemon: Daemon) -> None:
    seen.ask(daemon, "GET", "/model", 200)
    for method, path, operation in DOCUMENT.operations():
        if method == "GET" and "304" in operation["responses"] and "{id}" not in path:
            def ask(status: int, etag: str) -> Answer:
                return seen.ask(daemon, "GET", path, status, headers={"If-None-Match": etag, "Accept": "text/html"}, values={"file": "app.js"})
            ask(304, ask(200, '"r1"').header("ETag"))
    settings = daemon.model()["settings"]
    tunable = {name: settings[name] for name in DOCUMENT.root["components"]["schemas"]["Tune"]["properties"]}
    seen.ask(daemon, "PATCH", "/model", 200, document=tunable)
    seen.ask(daemon, "PATCH", "/model", 422, document={"mean": 0})
    seen.ask(daemon, "POST", "/classes", 201, document={"label": "x"})
    seen.ask(daemon, "POST", "/classes", 409, document={"label": "x"})
    seen.ask(daemon, "PATCH", "/classes", 200, document={"from": "x", "to": "y"})
    seen.ask(daemon, "PATCH", "/classes", 409, document={"from": "y", "to": "1"})
    seen.ask(daemon, "PATCH", "/classes", 422, document={"from": "nobody", "to": "z"})


def walk_predictions(seen: Seen, daemon: Daemon, digits) -> None:
    one, two = digits.one(7).tobytes(), digits.test_images[:2].tobytes()
    first = seen.ask(daemon, "POST", "/predict", 200, body=one, query="?explain=1&remember=1").ok()["id"]
    seen.ask(daemon, "POST", "/predict", 200, body=two, query="?explain=1&remember=1")
    seen.ask(daemon, "POST", "/predict", 200, body=one, query="?explain=1", headers={"Accept": "image/png"})
    seen.ask(daemon, "POST", "/predict", 422, body=two, query="?explain=1", headers={"Accept": "image/png"})
    values = {"id": first}
    seen.ask(daemon, "GET", "/predictions", 200, query="?order=newest&limit=2")
    seen.ask(daemon, "GET", "/predictions/{id}", 200, values=values)
    seen.ask(daemon, "GET", "/predictions/{id}/image", 200, values=values, query="?scale=2")
    for _ in range(2):
        seen.ask(daemon, "POST", "/predictions/{id}/label", 200, values=values, query="?flat=allow", document={"label": "7"})
    seen.ask(daemon, "POST", "/predictions/{id}/label", 409, values=values, document={"label": "1"})
    seen.ask(daemon, "DELETE", "/predictions/{id}", 204, values=values)
    for method, path in (("GET", "/predictions/{id}"), ("DELETE", "/predictions/{id}"), ("GET", "/predictions/{id}/image")):
        seen.ask(daemon, method, path, 404, values=values)
    seen.ask(daemon, "POST", "/predictions/{id}/label", 404, values={"id": 1}, document={"label": "7"})


def walk_samples(seen: Seen, daemon: Daemon) -> None:
    every = "?label=7&predicted=7&wrong=0&from=0&to=2999-01-01T00:00:00Z&limit=1"
    cursor = seen.ask(daemon, "GET", "/samples", 200, query=every).ok()["next"]
    seen.ask(daemon, "GET", "/samples", 200, query=f"?cursor={cursor}")
    seen.ask(daemon, "GET", "/samples/{id}", 200, values={"id": 1})
    etag = seen.ask(daemon, "GET", "/samples/{id}/image", 200, values={"id": 1}, query="?scale=2").header("ETag")
    seen.ask(daemon, "GET", "/samples/{id}/image", 200, values={"id": 1}, headers={"If-None-Match": etag})
    seen.ask(daemon, "GET", "/samples/{id}/image", 304, values={"id": 1}, query="?scale=2", headers={"If-None-Match": etag})
    for path in ("/samples/{id}", "/samples/{id}/image"):
        seen.ask(daemon, "GET", path, 404, values={"id": 999999})


def walk_edits(seen: Seen, daemon: Daemon) -> None:
    """On a model of its own, slow enough that a rebuild is seen at work: what was forgotten is gone for good."""
    wait = {"Prefer": "wait=20"}
    first, last = daemon.train("a", bytes(range(64)) * 4096).ok()["samples"]
    for path, values, ids in (("/samples/{id}", {"id": first}, {}), ("/samples", {}, {"ids": [first + 1, first + 2]})):
        label, query = {**ids, "label": "b"}, "?drop_pinned=1"
        seen.ask(daemon, "PATCH", path, 202, values=values, document=label)
        seen.ask(daemon, "PATCH", path, 200, values=values, document=label, query=query, headers=wait)  # joins
        seen.ask(daemon, "PATCH", path, 200, values=values, document=label)  # so it is already
        seen.ask(daemon, "DELETE", path, 202, values=values, document=ids or None)
        seen.ask(daemon, "DELETE", path, 200, values=values, document=ids or None, query=query, headers=wait)
        seen.ask(daemon, "DELETE", path, 410, values=values, document=ids or None)
        seen.ask(daemon, "PATCH", path, 410, values=values, document=label)
    for path in ("/samples/{id}", "/samples/{id}/image"):
        seen.ask(daemon, "GET", path, 410, values={"id": first})
    seen.ask(daemon, "PATCH", "/classes", 202, document={"from": "b", "into": "a"}, query="?drop_pinned=1")
    seen.ask(daemon, "PATCH", "/classes", 409, document={"delete": "c"})  # one after the other
    [running] = [job["id"] for job in daemon.get("/jobs").ok()["jobs"] if job["state"] == "running"]
    daemon.request("DELETE", f"/jobs/{running}").ok()
    seen.ask(daemon, "PATCH", "/classes", 200, document={"delete": "c"}, headers=wait)
    daemon.send_json("POST", "/snapshots", {"pinned": True}).ok(201)
    for path, values, ids in (("/samples/{id}", {"id": last}, {}), ("/samples", {}, {"ids": [last]})):
        seen.ask(daemon, "PATCH", path, 409, values=values, document={**ids, "label": "b"})
        seen.ask(daemon, "DELETE", path, 409, values=values, document=ids or None)
        seen.ask(daemon, "PATCH", path, 422, values=values, document={**ids, "label": "nobody"})
        seen.ask(daemon, "DELETE", path, 422, values=values, document={"all": True})
        seen.ask(daemon, "DELETE", path, 400, values=values, body=b"{", headers={"Content-Type": "application/json"})
        seen.ask(daemon, "DELETE", path, 413, values=values, body=b" " * (33 << 20))
    for path, values, ids in (("/samples/{id}", {"id": 99999}, {}), ("/samples", {}, {"ids": [last, 99999]})):
        seen.ask(daemon, "PATCH", path, 404, values=values, document={**ids, "label": "b"})
        seen.ask(daemon, "DELETE", path, 404, values=values, document=ids or None)


def walk_snapshots(seen: Seen, daemon: Daemon) -> None:
    passing = seen.ask(daemon, "POST", "/snapshots", 201).ok(201)["id"]
    taken = seen.ask(daemon, "POST", "/snapshots", 201, document={"note": "of the walk", "pinned": True}).ok(201)["id"]
    seen.ask(daemon, "GET", "/snapshots", 200)
    for method, path in (("GET", "/snapshots/{id}"), ("DELETE", "/snapshots/{id}"), ("POST", "/snapshots/{id}/activate")):
        seen.ask(daemon, method, path, 404, values={"id": 999999})
    seen.ask(daemon, "GET", "/snapshots/{id}", 200, values={"id": taken})
    seen.ask(daemon, "GET", "/backup", 200)
    seen.ask(daemon, "GET", "/snapshots/{id}/diff/{other}", 200, query="?samples=100", values={"id": 1, "other": taken})
    seen.ask(daemon, "GET", "/snapshots/{id}/diff/{other}", 404, values={"id": 999999, "other": taken})
    seen.ask(daemon, "PATCH", "/snapshots/{id}", 200, values={"id": taken}, document={"note": "of the walk, still", "pinned": True})
    seen.ask(daemon, "PATCH", "/snapshots/{id}", 404, values={"id": 999999}, document={"pinned": True})
    seen.ask(daemon, "PATCH", "/snapshots/{id}", 409, values={"id": 1}, document={"pinned": False})  # of the creation
    file = "/snapshots/{id}/model.safetensors"
    tag = seen.ask(daemon, "GET", file, 200, values={"id": taken}, headers={"If-None-Match": '"s1-0"'}).header("ETag")
    seen.ask(daemon, "GET", file, 304, values={"id": taken}, headers={"If-None-Match": tag})
    seen.ask(daemon, "GET", file, 404, values={"id": 999999})
    seen.ask(daemon, "POST", "/snapshots/{id}/activate", 200, values={"id": taken})
    seen.ask(daemon, "DELETE", "/snapshots/{id}", 409, values={"id": taken})  # it is pinned
    seen.ask(daemon, "DELETE", "/snapshots/{id}", 204, values={"id": passing})


def walk_rehearse(seen: Seen, daemon: Daemon, slow: Daemon) -> None:
    seen.ask(slow, "POST", "/rehearse", 409)  # nothing to rehearse
    ids = slow.train("a", bytes(range(64)) * 256).ok()["samples"]
    for document in ({}, {"passes": 2, "rate": 0.01, "decay": 0.5, "jitter": 1, "rotation": 10, "samples": ids}):
        seen.ask(slow, "POST", "/rehearse", 200, document=document, headers={"Prefer": "wait=20"})
    running = seen.ask(slow, "POST", "/rehearse", 202, document={"passes": 1000}).ok(202)
    values = {"id": running["id"]}
    seen.ask(slow, "POST", "/rehearse", 409)
    seen.ask(slow, "GET", "/jobs", 200)
    seen.ask(slow, "GET", "/jobs/{id}", 200, values=values)
    seen.ask(slow, "DELETE", "/jobs/{id}", 200, values=values)
    seen.ask(slow, "DELETE", "/jobs/{id}", 409, values=values)
    for method in ("GET", "DELETE"):
        seen.ask(daemon, method, "/jobs/{id}", 404, values={"id": 999999})


def walk_v2(seen: Seen, daemon: Daemon, digits) -> None:
    image = digits.one(7).reshape(1, 1, 28, 28)
    values = {"name": "digits", "version": daemon.model()["revision"]}
    described = oip.tensor(image.astype(float) / 255, "FP32", scale=255)
    asked = oip.request(described, id="4", parameters={"binary_data_output": False, "known": True},
                        outputs=[{"name": "probabilities", "parameters": {"classification": 3}},
                                 {"name": "label", "parameters": {"binary_data": True}}])
    for base in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        def ask(method: str, tail: str, status: int, **kwargs):
            return seen.ask(daemon, method, base + tail, status, **{"values": values, **kwargs})
        ask("POST", "/infer", 200, document=oip.request(oip.tensor(image), id="4"))
        ask("POST", "/infer", 200, document=asked)
        ask("POST", "/infer", 200, document=oip.request(oip.tensor(0 * image)))
        body, headers = oip.binary_request("UINT8", [1, 784], image.tobytes())
        ask("POST", "/infer", 200, body=body, headers=headers)
        ask("POST", "/infer", 200, body=png(image[0, 0]), headers=headers | {"Inference-Header-Content-Length": "0"})
        ask("POST", "/infer", 200, document=oip.request(
            {"name": "pixels", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(png(image[0, 0])).decode()]}))
        ask("POST", "/infer", 415, document=oip.request({"name": "pixels", "datatype": "BYTES", "shape": [1], "data": ["R0lG"]}))
        ask("POST", "/infer", 422, document=oip.request(oip.tensor(image[:, :, :27])))
        ask("POST", "/infer", 404, document=asked, values=values | {"name": "nobody"})
        for tail in ("", "/ready", "/config", "/stats"):
            ask("GET", tail, 200)
            ask("GET", tail, 404, values=values | {"name": "nobody"})
    seen.ask(daemon, "POST", "/v2/repository/index", 200, document={"ready": True})
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/stats"):
        seen.ask(daemon, "GET", path, 200)


def walk_without_classes(seen: Seen, daemons, digits) -> None:
    convd("init", "--db", daemons.directory / "none.db", "--no-classes")
    daemon = daemons.start(daemons.directory / "none.db")
    image = digits.one(7)
    seen.ask(daemon, "POST", "/predict", 409, body=image.tobytes())
    for base in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        seen.ask(daemon, "POST", base + "/infer", 409, values={"name": "none", "version": 1}, document=oip.request(oip.tensor(image.reshape(1, 1, 28, 28))))
    seen.ask(daemon, "POST", "/snapshots", 201)
    seen.ask(daemon, "GET", "/snapshots/{id}/diff/{other}", 409, values={"id": 1, "other": 2})


def walk_refusals(seen: Seen, daemon: Daemon, dense: Daemon) -> None:
    """What every operation refuses alike."""
    values = {"id": 1, "name": "digits", "version": 1, "file": "app.js", "other": 1}
    seen.ask(dense, "GET", "/model/kernels.png", 404)
    for method, path, operation in DOCUMENT.operations():
        has_body = "requestBody" in operation
        seen.ask(daemon, method, path, 403, values=values, headers={"Host": "evil.example"}, body=b"{" if has_body else None)
        seen.ask(daemon, method, path, 422, values=values, query="?no-such-parameter=1", body=b"{}" if has_body else None)
        if has_body:
            seen.ask(daemon, method, path, 400, body=b"{", headers={"Content-Type": "application/json"},
                     values=values | {"version": daemon.model()["revision"]})
            seen.ask(daemon, method, path, 415, values=values, body=b"{", headers={"Content-Encoding": "br"})


def walk_limits(seen: Seen, daemon: Daemon) -> None:
    for method, path, operation in DOCUMENT.operations():
        if "requestBody" in operation:
            seen.ask(daemon, method, path, 413, body=b"12345", values={"id": 1, "name": "digits", "version": 1, "other": 1})


def walk_cluster(seen: Seen, daemons) -> None:
    if not PLACES:  # the tests of its fields say so
        seen.ask(daemons.start(daemons.init(name="alone.db")), "GET", "/cluster", 200)
        return
    server = Postgres()
    try:
        log = server.database("walk")
        db = daemons.init(name="shared.db")
        convd("cluster", "init", "--db", db, "--log", log)
        node = daemons.start(db, "--log", log, "--node", "a")
        seen.ask(node, "GET", "/cluster", 200)
        with node.client() as client:  # the digest of revision 256 is compared
            until(lambda: client.train("a", bytes(63) + b"\1").ok() and node.model()["revision"] > 256, "there are so many")
        until(lambda: node.get("/cluster").ok()["same"], "its digest is told")
        seen.ask(node, "GET", "/cluster", 200)
        node.stop()
    finally:
        server.close()


def walk_tokens(seen: Seen, daemons) -> None:
    files = []
    for name, token in (("read", READING), ("write", WRITING)):
        path = daemons.directory / f"{name}.token"
        path.write_text(token + "\n")
        path.chmod(0o600)
        files += [f"--{name}-token-file", path]
    daemon = daemons.start(daemons.copy("closed.db"), *files)
    values = {"id": 1, "name": "nobody", "version": 1, "file": "app.js", "other": 1}
    for method, path, operation in DOCUMENT.operations():
        schemes = {name for entry in operation["security"] for name in entry}
        if not schemes:
            seen.ask(daemon, method, path, 200, values=values)
            continue
        seen.ask(daemon, method, path, 401, values=values)
        brief = "?seconds=0" if path == "/events" else ""  # it would not end
        reading = daemon.request(method, concrete(path, **values) + brief, b"" if method == "POST" else None,
                                 {"Authorization": f"Bearer {READING}"})
        if (reading.status == 403) == ("reading" in schemes):
            seen.wrong.append(f"{method} {path}: {sorted(schemes)} may use it, says the document; the reading token gets {reading.status}")


@pytest.fixture(scope="module")
def seen(tmp_path_factory, trained_db, new_db, digits):
    made = Daemons(tmp_path_factory.mktemp("walk"), trained_db, new_db)
    yield walk(made, digits)
    made.close()


# ---- the daemon is as documented ----

def test_every_answer_was_as_documented(seen: Seen):
    assert not seen.wrong, "\n".join(seen.wrong)


@pytest.mark.parametrize("method, path", OPERATIONS)
def test_every_documented_answer_comes(seen: Seen, method, path):
    documented = set()
    for status, response in DOCUMENT.operation(method, path)["responses"].items():
        if status != "default":
            content = DOCUMENT.resolve(response).get("content") or {"": {}}
            documented |= {(status, media) for media in content}
    assert documented == {(status, media) for m, p, status, media in seen.responses if (m, p) == (method, path)}


@pytest.mark.parametrize("method, path", OPERATIONS)
def test_every_documented_field_comes(seen: Seen, method, path):
    if path == "/cluster" and not PLACES:
        pytest.skip("no PostgreSQL server is installed (apt-get install postgresql)")
    for status, response in DOCUMENT.operation(method, path)["responses"].items():
        for media, entry in DOCUMENT.resolve(response).get("content", {}).items():
            if status == "default" or not media.endswith("json"):
                continue
            missing = DOCUMENT.fields(entry["schema"]) - seen.fields.get((method, path, status, media), set())
            if media == "application/problem+json":
                missing -= {"pointer"} | (set() if path.startswith("/v2") else {"error"})
            assert not missing, f"{status}: {sorted(missing)} are documented, but never came"


@pytest.mark.parametrize("method, path", OPERATIONS)
def test_every_documented_parameter_field_and_type_of_a_request_is_taken(seen: Seen, method, path):
    names = {*DOCUMENT.parameters(method, path, "query"), *DOCUMENT.parameters(method, path, "header")}
    assert names == {name for m, p, name in seen.parameters if (m, p) == (method, path)}
    content = DOCUMENT.operation(method, path).get("requestBody", {}).get("content", {})
    assert set(content) == {media for m, p, media in seen.request_media if (m, p) == (method, path)} - {CURL}
    schema = content.get("application/json", {}).get("schema")
    if schema is not None:
        taken = seen.request_fields.get((method, path), set())
        if path.endswith("/infer"):
            taken |= {"inputs[].parameters.binary_data_size"}  # it comes in the binary form
        assert not DOCUMENT.fields(schema) - taken


def test_a_problem_has_every_documented_member_somewhere(seen: Seen):
    came = set().union(*(fields for key, fields in seen.fields.items() if key[3] == "application/problem+json"))
    assert came == DOCUMENT.fields({"$ref": "#/components/schemas/Problem"})


# ---- the daemon's routes and the document's ----

def routes_of_the_source() -> dict[str, tuple[set[str], set[str]]]:
    """The table of server/routes/routes.c: path -> methods, parameters of the query."""
    source = (ROOT / "server" / "routes" / "routes.c").read_text()
    rows = re.findall(r"^    \{\.path = .*?\},$(?=\n    \{|\n\};)", source, re.MULTILINE | re.DOTALL)
    assert len(rows) == source.count("{.path = ")
    table = {}
    for row in rows:
        methods = {name.rstrip("_").upper() for name in re.findall(r"\.(get|post|patch|delete_|put) = ", row)}
        params = " ".join(re.findall(r"\.(?:get_)?params = \{(.*?)\}", row))
        table[re.search(r'\.path = "(.*?)"', row)[1]] = methods, set(re.findall(r'"(.*?)"', params))
    assert table.pop("other") == (set(), set())
    assert table.pop("/v2/") == table["/v2"]  # the same, and a linter of documents wants no slash at an end
    return table


def test_the_daemons_routes_are_the_documents():
    documented = {anonymous(path): {m for m, p in OPERATIONS if p == path} for path in DOCUMENT.root["paths"]}
    assert {anonymous(path): methods for path, (methods, _) in routes_of_the_source().items()} == documented


def test_the_daemons_parameters_are_the_documents():
    for path, (_, params) in routes_of_the_source().items():
        documented = {name for method, p in OPERATIONS if anonymous(p) == anonymous(path)
                      for name in DOCUMENT.parameters(method, p, "query")}
        assert documented == params, path


@pytest.mark.parametrize("method, path", OPERATIONS)
def test_an_unknown_parameter_is_answered_with_all_that_the_route_knows(reader: Daemon, method, path):
    known = sorted({name for m, p in OPERATIONS if p == path and (m == "GET") == (method == "GET")
                    for name in DOCUMENT.parameters(m, p, "query")})
    place = concrete(path, id=1, name="digits", version=1, file="app.js", other=1) + "?tpo=3"
    detail = reader.request(method, place, b"{}" if method in ("POST", "PATCH") else None).problem(422, "value")["detail"]
    told = detail.removeprefix('unknown query parameter "tpo"')
    assert sorted(re.findall(r"\w+", told.removeprefix("; the route's are:"))) == known if known else told == ": the route has none"


@pytest.mark.parametrize("path", DOCUMENT.root["paths"])
def test_options_tells_the_documented_methods(reader: Daemon, path):
    allow = reader.request("OPTIONS", concrete(path, id=1, name="digits", version=1, file="app.js", other=1)).header("Allow")
    methods = {word.strip() for word in allow.split(",")} - {"OPTIONS"}
    assert methods - {"HEAD"} == {m for m, p in OPERATIONS if p == path}
    assert ("HEAD" in methods) == ("GET" in methods)


# ---- the document ----

@pytest.mark.core
def test_the_daemon_serves_the_document_in_the_source(reader: Daemon):
    assert reader.get("/openapi.json").ok() == DOCUMENT.root
    assert DOCUMENT.root["info"]["version"] == reader.model()["convd"]


def test_it_is_openapi_3_1_with_sound_schemas():
    root = DOCUMENT.root
    assert root["openapi"] == "3.1.0" and {"info", "paths", "components"} <= set(root)
    for place, schema in DOCUMENT.schemas():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise AssertionError(f"{place}: {error.message}") from error
    identifiers = [operation["operationId"] for _, _, operation in DOCUMENT.operations()]
    assert len(set(identifiers)) == len(identifiers)
    tags = {tag["name"] for tag in root["tags"]}
    for method, path, operation in DOCUMENT.operations():
        assert set(operation["tags"]) <= tags and operation["summary"] and "default" in operation["responses"]
        assert set(DOCUMENT.parameters(method, path, "path")) == set(re.findall(r"\{(\w+)\}", path))
        for response in operation["responses"].values():
            assert DOCUMENT.resolve(response)["description"]


def lists_of_anything(node, place: str = "#") -> list[str]:
    """Where a schema is of lists, and does not say of what."""
    members = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = [place] if isinstance(node, dict) and "array" in (node.get("type") or ()) and "items" not in node else []
    return found + [inner for name, member in members for inner in lists_of_anything(member, f"{place}/{name}")]


def test_every_list_says_of_what_it_is():
    assert not lists_of_anything(DOCUMENT.root)
    assert lists_of_anything({"a": [{"type": "array"}, {"type": ["string", "array"]}, {"type": "string"}]}) == ["#/a/0", "#/a/1"]


@pytest.fixture(scope="module")
def opinions() -> dict:
    return json.loads(npm.run("openapi", ROOT / "schema" / "openapi.json"))


def test_a_validator_of_openapi_takes_it(opinions):
    assert opinions["validator"] == {"version": "3.1", "valid": True}


def test_a_linter_finds_nothing(opinions):
    assert opinions["lint"] == []


def test_clients_that_are_made_of_it_compile_strictly(opinions):
    assert opinions["clients"] == []


# ---- its examples ----

def examples(method: str, path: str) -> list[tuple[str, bytes]]:
    """Media type and body."""
    content = DOCUMENT.operation(method, path).get("requestBody", {}).get("content", {})
    values = [(media, value) for media, entry in content.items()
              for value in [*(e["value"] for e in entry.get("examples", {}).values()), *([entry["example"]] if "example" in entry else [])]]
    for media, value in values:
        if media == "application/json":
            DOCUMENT.check(content[media]["schema"], value)
    return [(media, (value if isinstance(value, str) else json.dumps(value)).encode()) for media, value in values]


def test_a_daemon_takes_every_example(daemon: Daemon, seven):
    remembered = daemon.predict(seven.tobytes(), query="?remember=1")["id"]
    snapshot = daemon.send_json("POST", "/snapshots", {}).ok(201)["id"]
    last = {("PATCH", "/classes"), ("PATCH", "/samples"), ("DELETE", "/samples"), ("PATCH", "/model")}
    for method, path in sorted(OPERATIONS, key=lambda operation: operation in last):
        bodies = examples(method, path)
        assert bodies or "requestBody" not in DOCUMENT.operation(method, path), f"{method} {path} has no example"
        values = {"id": remembered if "predictions" in path else snapshot if "snapshots" in path else 19, "name": "digits", "version": 1}
        query = "?drop_pinned=1" if "drop_pinned" in DOCUMENT.parameters(method, path, "query") else ""
        for media, body in bodies:
            answer = daemon.request(method, concrete(path, **values) + query, body, {"Content-Type": media, "Prefer": "wait=20"})
            assert answer.status in (200, 201), f"{method} {path} {body[:200]!r}: {answer}"


def test_every_reference_leads_somewhere_and_every_component_is_used():
    text = json.dumps(DOCUMENT.root)
    used = set(re.findall(r'"\$ref": "(.*?)"', text))
    for reference in used:
        assert DOCUMENT.at(reference)
    components = DOCUMENT.root["components"]
    there = {f"#/components/{kind}/{name}" for kind in components for name in components[kind] if kind != "securitySchemes"}
    assert there == used
