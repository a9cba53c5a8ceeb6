"""Pictures and files of digits, as clients send them."""
from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from .daemon import ROOT

EXAMPLES = ROOT / "examples" / "digits"


def read_idx(path: Path) -> np.ndarray:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    zero, kind, n_dims = struct.unpack(">HBB", data[:4])
    assert zero == 0 and kind == 8
    dims = struct.unpack(f">{n_dims}I", data[4:4 + 4 * n_dims])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * n_dims).reshape(dims)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(directory: Path, images: np.ndarray, labels: np.ndarray, name: str = "set") -> tuple[Path, Path]:
    paths = directory / f"{name}-images.idx", directory / f"{name}-labels.idx"
    paths[0].write_bytes(idx(np.asarray(images, np.uint8)))
    paths[1].write_bytes(idx(np.asarray(labels, np.uint8)))
    return paths


def picture(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None, **options) -> bytes:
    """Encoded by Pillow. pixels: [height][width] or [height][width][3 or 4]."""
    image = Image.fromarray(np.asarray(pixels))
    out = io.BytesIO()
    (image.convert(mode) if mode else image).save(out, kind, **options)
    return out.getvalue()


def png(pixels: np.ndarray, **options) -> bytes:
    return picture(pixels, "PNG", **options)


def jpeg(pixels: np.ndarray, **options) -> bytes:
    return picture(pixels, "JPEG", **{"quality": 95, **options})


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, data: bytes, depth: int = 8, color: int = 0) -> bytes:
    """A PNG whose header says what it likes, whatever the data are."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


BOUNDARY = "----convd-e2e-Zm9v"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def form(*parts: tuple[str, str, bytes]) -> bytes:
    """multipart/form-data of (field name, file name, bytes), as curl -F writes it; its content type is FORM."""
    body = b""
    for name, filename, data in parts:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        body += head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def b64(data: bytes) -> dict:
    return {"b64": base64.b64encode(data).decode()}


def b64url(data: bytes) -> dict:
    """RFC 4648, 5, without padding."""
    return {"b64": base64.urlsafe_b64encode(data).decode().rstrip("=")}


def pixel_list(image: np.ndarray) -> dict:
    return {"pixels": image.ravel().tolist()}


def to_json(document) -> bytes:
    return json.dumps(document).encode()


MARK = "\ufeff".encode()
CURL = "application/x-www-form-urlencoded"  # what curl --data-binary calls its body

# One image in every way that it can be sent: name -> (content type, body of the image).
BODY_KINDS = {
    "png as curl sends it": (CURL, lambda image: png(image)),
    "png": ("image/png", lambda image: png(image)),
    "png without a type": (None, lambda image: png(image)),
    "png as octet-stream": ("application/octet-stream", lambda image: png(image)),
    "png called jpeg": ("image/jpeg", lambda image: png(image)),
    "raw": ("application/octet-stream", lambda image: image.tobytes()),
    "raw as curl sends it": (CURL, lambda image: image.tobytes()),
    "form with a png": (FORM, lambda image: form(("7", "a.png", png(image)))),
    "form with raw bytes": (FORM, lambda image: form(("7", "a.raw", image.tobytes()))),
    "json pixels": ("application/json", lambda image: to_json({"image": pixel_list(image)})),
    "json rows of pixels": ("application/json", lambda image: to_json({"image": {"pixels": image.tolist()}})),
    "json b64 of a png": ("application/json", lambda image: to_json({"image": b64(png(image))})),
    "json b64 of raw bytes": ("application/json", lambda image: to_json({"image": b64(image.tobytes())})),
    "json as curl sends it": (CURL, lambda image: to_json({"image": b64(png(image))})),
    "json data URL": ("application/json; charset=utf-8", lambda image: to_json(
        {"image": {"b64": "data:image/png;base64," + b64(png(image))["b64"]}})),
    "json b64 in the URL's alphabet": ("application/json", lambda image: to_json({"image": b64url(png(image))})),
    "json b64 of raw bytes, not padded": ("application/json", lambda image: to_json(
        {"image": {"b64": b64(image.tobytes())["b64"].rstrip("=")}})),
    "json with a byte order mark": ("application/json", lambda image: MARK + to_json({"image": b64(png(image))})),
    "pixels with a byte order mark": (CURL, lambda image: MARK + to_json({"image": pixel_list(image)})),
    "png called json": ("application/json", lambda image: png(image)),
    "png called ndjson": ("application/x-ndjson", lambda image: png(image)),
    "form that says its name in the other way": (FORM, lambda image: form(("7", "a.png", png(image))).replace(
        b'name="7"; filename="a.png"', b"name*=utf-8''%37; filename*=UTF-8'en'caf%C3%A9.png")),
}
