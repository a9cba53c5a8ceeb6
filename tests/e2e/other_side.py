"""The other side of an example: a small HTTP server that a test plays."""
from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Asked:
    method: str
    path: str
    headers: Message
    body: bytes


@dataclass
class Say:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class OtherSide:
    """answer is asked for each request's response; None breaks the connection off."""

    def __init__(self):
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Say | None] = lambda _: Say()
        other = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self):
                asked = Asked(self.command, self.path, self.headers, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
                other.asked.append(asked)
                say = other.answer(asked)
                if say is not None:
                    self.send_response(say.status)
                    for name, value in (say.headers | {"Content-Length": str(len(say.body))}).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(say.body)
            do_GET = do_POST = handle_one

            def log_message(self, *_):
                pass
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
