"""Bodies that fit the limits and cost as much as one can think of: pictures that are small as files and large as pictures, long lists.

Each is of the digits' model: 28 x 28 grey, 10 classes. `worst()` is the table of all, for every route that takes a body.
"""
from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np

from .pictures import FORM, b64, chunk, form, jpeg

BODY_BYTES = 16 << 20  # --body-bytes by default
JSON = "application/json"
RAW = "application/octet-stream"


def png_blank(width: int, height: int, depth: int = 1, color: int = 0, interlaced: bool = False) -> bytes:
    """All zeros: 4096 x 4096 are 2 KB."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    passes = [(width, height)]
    if interlaced:
        passes = [((width - x + dx - 1) // dx, (height - y + dy - 1) // dy)
                  for x, y, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))]
    press = zlib.compressobj(9)
    data = b"".join(press.compress(bytes(((w * bits + 7) // 8 + 1) * h)) for w, h in passes if w) + press.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def png_with_profile(n_bytes: int) -> bytes:
    """28 x 28, and a colour profile that is so much when it is inflated."""
    plain = png_blank(28, 28, 8)
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(n_bytes), 9))
    return plain[:33] + profile + plain[33:]


def jpeg_of_scans(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG, grey, whose scans each say of all blocks that there is nothing in them: some bytes for a scan."""
    blocks = ((width + 7) // 8) * ((height + 7) // 8)

    def segment(marker: int, data: bytes) -> bytes:
        return bytes((255, marker)) + struct.pack(">H", len(data) + 2) + data

    def bits(text: str) -> bytes:
        text += "1" * (-len(text) % 8)
        return bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8)).replace(b"\xff", b"\xff\0")

    def nothing() -> str:
        """Runs of blocks without coefficients (EOB14: 2^14 and 14 bits more), as long as there are such runs."""
        text, left = "", blocks
        while left > 0:
            n = min(max(left, 16384), 32767)
            text += "0" + format(n - 16384, "014b")
            left -= n
        return text

    out = b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
    out += segment(0xC4, b"\0" + b"\1" + bytes(15) + b"\0") + segment(0xC4, b"\x10" + b"\1" + bytes(15) + b"\xe0")
    out += segment(0xDA, b"\1\1\0" + bytes(3)) + bits("0" * blocks)
    rest = bits(nothing())
    for i in range(scans - 1):
        out += segment(0xDA, b"\1\1\0" + bytes((1 + i // 8 % 63, 1 + i // 8 % 63, (0 if i % 8 == 0 else (8 - i % 8) << 4) | (7 - i % 8)))) + rest
    return out + b"\xff\xd9"


def form_of(files: list[bytes], label: str = "7") -> bytes:
    return form(*[(label, "x.png", file) for file in files])


def many(head: bytes, item: bytes, tail: bytes, n_bytes: int = BODY_BYTES) -> bytes:
    """As many items, with commas between them, as fit."""
    n = (n_bytes - len(head) - len(tail) + 1) // (len(item) + 1)
    return head + b",".join([item] * n) + tail


def as_json(document) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def jpeg_of_noise() -> bytes:
    return jpeg(np.random.default_rng(12).integers(0, 256, (1024, 2048, 3), np.uint8))


# Single pictures, each as large as --image-pixels and its other limits allow.
PICTURES: dict[str, Callable[[], bytes]] = {
    "1-bit PNG of 16 Mpx": lambda: png_blank(4096, 4096),
    "16-bit RGBA PNG of 16 Mpx, interlaced": lambda: png_blank(4096, 4096, 16, 6, interlaced=True),
    "PNG of one row of 16 Mpx": lambda: png_blank(1 << 24, 1),
    "JPEG of noise": jpeg_of_noise,
    "JPEG of 500 scans, 2 Mpx": lambda: jpeg_of_scans(1448, 1448, 500),
    "JPEG of 48 scans, 16 Mpx": lambda: jpeg_of_scans(4096, 4096, 47),
}


@cache
def light() -> dict[str, tuple[str, bytes]]:
    """What is answered by an HTTP thread itself, and is as much as such a thread may do: a content type and a body."""
    digit = png_blank(28, 28, 8)
    return {
        "12 raw images": (RAW, bytes(12 * 784)),
        "10 small PNG": (FORM, form_of([digit] * 10)),
        "PNG of 64 x 64": ("image/png", png_blank(64, 64, 16, 6, interlaced=True)),
        "JPEG of 4 scans": ("image/jpeg", jpeg_of_scans(32, 32, 4)),
        "PNG, profile of 4 MiB": ("image/png", png_with_profile(4 << 20)),
        "wrong JSON of 3 KiB": (JSON, as_json({"image": {"pixels": [0.5] * 784}})),
        "JSON of 4 KiB": (JSON, many(b'{"x":[', b"0", b"]}", 4096)),
    }


@cache
def flood() -> bytes:
    return png_blank(4096, 4096)


# What must not be answered by an HTTP thread: a content type and what makes a body, of /predict and /train. All of them take seconds.
HEAVY: dict[str, tuple[str, Callable[[], bytes]]] = {name: ("image/png", make) for name, make in PICTURES.items()} | {
    "4 PNG of 16 Mpx": (FORM, lambda: form_of([flood()] * 4)),
    "80 PNG of 16 Mpx": (FORM, lambda: form_of([flood()] * 80)),
    "2000 PNG with profiles": (FORM, lambda: form_of([png_with_profile(4 << 20)] * 2000)),
    "4096 small PNG": (FORM, lambda: form_of([png_blank(28, 28, 8)] * 4096)),
    "4096 raw images": (RAW, lambda: bytes(4096 * 784)),
    "JSON, a million values": (JSON, lambda: many(b'{"image":{"pixels":[', b"0.5", b"]}}", 4 << 20)),
    "JSON, b64 of 4 PNG of 16 Mpx": (JSON, lambda: as_json({"images": [b64(flood())] * 4})),
    "JSON, 4000 images": (JSON, lambda: many(b'{"images":[', as_json({"pixels": [0] * 784}), b"]}", 8 << 20)),
    "NDJSON, 16 MiB": ("application/x-ndjson", lambda: (as_json({"image": {"pixels": [0] * 784}}) + b"\n") * 4000),
    "16 MiB of nothing": (JSON, lambda: b" " * BODY_BYTES),
}


@cache
def tensors() -> dict[str, tuple[dict, bytes]]:
    """Of /v2/models/convd/infer: headers and a body."""
    def binary(datatype: str, n: int, data: bytes) -> tuple[dict, bytes]:
        text = as_json({"inputs": [{"name": "pixels", "datatype": datatype, "shape": [n] if datatype == "BYTES" else [n, 784],
                                    "parameters": {"binary_data_size": len(data)}}]})
        return {"Inference-Header-Content-Length": str(len(text)), "Content-Type": RAW}, text + data

    numbers = many(b'{"inputs":[{"name":"pixels","datatype":"FP32","shape":[1300,784],"data":[', b"0.5", b"]}]}", 4 << 20)
    return {
        "FP32, 4096 images": binary("FP32", 4096, bytes(4096 * 784 * 4)),
        "UINT8, 4096 images": binary("UINT8", 4096, bytes(4096 * 784)),
        "4 PNG of 16 Mpx": binary("BYTES", 4, (struct.pack("<I", len(flood())) + flood()) * 4),
        "JSON, a million values": ({"Content-Type": JSON}, numbers),
    }


def documents() -> list[tuple[str, str, bytes]]:
    """Of the other routes that take JSON: method, path, body."""
    ids = many(b'{"ids":[', b"1", b"]}", 2 << 20)
    names = b'{"label":"' + b"a" * (BODY_BYTES - 100) + b'"}'
    return [
        ("DELETE", "/samples", ids),
        ("PATCH", "/samples", ids[:-1] + b',"label":"7"}'),
        ("POST", "/rehearse", many(b'{"samples":[', b"1", b"]}", 2 << 20)),
        ("POST", "/classes", names),
        ("PATCH", "/classes", names),
        ("PATCH", "/model", names),
        ("POST", "/snapshots", names),
    ]


def worst() -> list[tuple[str, str, str, dict, bytes]]:
    """What it is called, method, path, headers, body."""
    requests = []
    heavy = {name: (kind, make()) for name, (kind, make) in HEAVY.items()}
    for route in ("/predict", "/train?label=7", "/predict?explain=1"):
        for name, (kind, body) in heavy.items():
            requests.append((f"{route.split('=')[0]}: {name}", "POST", route, {"Content-Type": kind}, body))
    for name, (kind, body) in heavy.items():
        if route_takes_key(name):
            requests.append((f"/train, key: {name}", "POST", "/train?label=7", {"Content-Type": kind, "Idempotency-Key": "k"}, body))
    for name, (kind, body) in light().items():
        requests.append((f"/predict, light: {name}", "POST", "/predict", {"Content-Type": kind}, body))
    for name, (headers, body) in tensors().items():
        requests.append((f"/v2 infer: {name}", "POST", "/v2/models/convd/infer", headers, body))
    for method, path, body in documents():
        requests.append((f"{method} {path}", method, path, {"Content-Type": JSON}, body))
    return requests


def route_takes_key(name: str) -> bool:
    return name in ("4096 raw images", "4096 small PNG")
