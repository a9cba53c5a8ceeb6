"""convd from Python, by the standard library alone: copy this file beside your own.

    from convd_client import Convd
    model = Convd()                        # $CONVD_URL, and $CONVD_TOKEN_FILE where it wants a token
    model.predict(picture)["label"]        # picture: the bytes of a PNG, JPEG or WebP
    model.train("7", picture, "scan-81")   # sent again with the same key, it trains nothing twice
    for kind, data in model.events(): ..   # goes on where it was when the connection breaks

A request that met a busy convd (503) is repeated after the time that Retry-After says, one whose connection broke after a second.
"""
import http.client
import json
import os
import time
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

BROKEN = (OSError, http.client.HTTPException)


class ConvdError(Exception):
    """A problem (RFC 9457) that convd answered: its status, and all of it as problem."""

    def __init__(self, status: int, body: bytes, retry_after: str | None = None):
        self.status, self.retry_after = status, float(retry_after or 1)
        self.problem = json.loads(body) if body.startswith(b"{") else {"detail": body.decode(errors="replace")}
        super().__init__(f"convd: {status}: {self.problem.get('detail', '')}")


class Convd:
    def __init__(self, url: str | None = None, token: str | None = None, tries: int = 6):
        self.url, self.tries = (url or os.environ.get("CONVD_URL") or "http://127.0.0.1:8080").rstrip("/"), tries
        file = os.environ.get("CONVD_TOKEN_FILE")
        self.token = token or (Path(file).read_text().strip() if file else None)

    def open(self, path: str, body: bytes | None = None, headers: dict | None = None, method: str | None = None):  # one attempt
        headers = (headers or {}) | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        try:
            return urllib.request.urlopen(urllib.request.Request(self.url + path, body, headers, method=method), timeout=90)
        except urllib.request.HTTPError as error:
            raise ConvdError(error.code, error.read(), error.headers.get("Retry-After")) from None

    def ask(self, path: str, body: bytes | None = None, type: str = "application/octet-stream", key: str = "", method: str | None = None):
        headers = ({"Content-Type": type} if body is not None else {}) | ({"Idempotency-Key": key} if key else {})
        for left in reversed(range(self.tries)):
            try:
                with self.open(path, body, headers, method) as response:
                    return json.load(response)
            except (ConvdError, *BROKEN) as error:
                if not left or getattr(error, "status", 503) != 503:
                    raise
                time.sleep(getattr(error, "retry_after", 1))

    def predict(self, picture: bytes, **options: int) -> dict:
        return self.ask("/predict?" + urllib.parse.urlencode(options), picture)  # top=3, revision=9, ..

    def train(self, label: str, picture: bytes, key: str | None = None) -> dict:
        return self.ask("/train?" + urllib.parse.urlencode({"label": label}), picture, key=key or uuid.uuid4().hex)

    def classes(self) -> list[str]:
        return [known["label"] for known in self.ask("/classes")["classes"]]

    def add_class(self, label: str) -> dict:
        return self.ask("/classes", json.dumps({"label": label}).encode(), "application/json")

    def events(self):
        last = event = ""
        while True:
            try:
                for line in self.open("/events", headers={"Last-Event-ID": last} if last else {}):
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    last, event = value if name == "id" else last, value if name == "event" else event
                    if name == "data":
                        yield event, json.loads(value)
            except (ConvdError, *BROKEN) as error:
                if getattr(error, "status", 503) != 503:
                    raise
            time.sleep(2)  # it ended, broke, or was silent for 90 s
