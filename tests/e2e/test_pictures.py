"""What a body shows is decided by its content: files are no pixels, and pixels are no files."""
import gzip
import json

import numpy as np
import pytest

from .daemon import Daemon
from .pictures import CURL, FORM, b64, chunk, form, jpeg, picture, png, to_json

RAW = "application/octet-stream"
pytestmark = pytest.mark.core


def padded(data: bytes, multiple: int = 784) -> bytes:
    """With so many zeros behind it that its length is that of raw images."""
    return data + bytes(-len(data) % multiple)


def padded_png(image: np.ndarray, multiple: int = 784) -> bytes:
    """A sound PNG of such a length, thanks to a comment."""
    data = png(image)
    return data[:33] + chunk(b"tEXt", b"a\0" + b"b" * ((-len(data) - 14) % multiple)) + data[33:]


def ways(route: str, data: bytes) -> list[tuple[str, bytes, str | None]]:
    """Path, body and content type of every way in which bytes may come. Forms and JSON name the label themselves."""
    label = "?label=7" if route == "/train" else ""
    sample = {"image": b64(data), **({"label": "7"} if route == "/train" else {})}
    return [(route + label, data, kind) for kind in (RAW, CURL, None, "text/plain", "image/png")] + [
        (route, form(("7", "a.bin", data)), FORM), (route, to_json(sample), "application/json"),
        (route, to_json(sample), "application/x-ndjson")]


DRAWN = np.add.outer(np.arange(28), 3 * np.arange(28)).astype(np.uint8)

FILES = {
    "a GIF": padded(picture(DRAWN, "GIF")),
    "a WebP": padded(picture(DRAWN, "WEBP")),
    "a BMP": padded(picture(DRAWN, "BMP")),
    "a TIFF": padded(picture(DRAWN, "TIFF")),
    "a PDF": padded(picture(DRAWN, "PDF")),
    "a HEIC": padded(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500)),
    "an AVIF": padded(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(500)),
    "gzip data": padded(gzip.compress(DRAWN.tobytes())),
    "a zip archive": padded(b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(300)),
    "an SVG": padded(b"<svg xmlns='http://www.w3.org/2000/svg'><path d='M0 0L9 9'/></svg>"),
    "HTML": padded(b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head></html>\n"),
    "text": (b"A seven, as it was written on a Monday.\n" * 100)[:784],
}


@pytest.mark.parametrize("route", ["/predict", "/train"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_length_of_raw_images_is_refused_by_name(reader: Daemon, route, name):
    assert len(FILES[name]) == 784 * (len(FILES[name]) // 784)
    with reader.client() as client:
        for path, body, kind in ways(route, FILES[name]):
            problem = client.post(path, body, kind).problem(415, "media-type")
            assert f"it looks like {name}" in problem["detail"], kind


def test_a_picture_of_the_length_of_raw_images_is_one_picture(daemon: Daemon, seven):
    data = padded_png(seven)
    assert len(data) % 784 == 0
    expected = daemon.predict(png(seven), "image/png")
    for path, body, kind in ways("/predict", data):
        answer = daemon.post(path, body, kind).ok()
        assert answer.get("predictions", [answer])[0]["probabilities"] == expected["probabilities"], kind
    for path, body, kind in ways("/train", data):
        assert daemon.post(path, body, kind).ok()["accepted"] == 1, kind


def test_a_picture_is_a_picture_whatever_its_type_says(reader: Daemon, seven):
    for data in (png(seven), jpeg(seven)):
        expected = reader.predict(data, "image/png")
        for kind in ("application/json", "application/x-ndjson", "application/pdf", "multipart/form-data; boundary=x"):
            assert reader.predict(data, kind) == expected, kind


def test_a_json_page_that_is_sent_as_bytes_is_no_image(daemons):
    small = daemons.start(daemons.init())
    page = json.dumps({"error": "not found", "path": "/7.png"}).encode()
    page += b" " * (-len(page) % 64)
    small.post("/train?label=a", page, RAW).problem(415, "media-type")
    small.post("/train?label=a", page, CURL).problem((400, 422))
    assert small.model()["step"] == 0


@pytest.mark.parametrize("kind", [RAW, CURL, None])
def test_raw_pixels_are_pixels_whatever_they_are(reader: Daemon, noise, kind):
    images = [np.full(784, v, np.uint8) for v in range(256)] + [noise.integers(0, 256, 784, np.uint8) for _ in range(300)]
    images += [noise.integers(low, low + 30, 784, np.uint8) for low in range(0, 226, 5)]
    for begin in (b"BM", b"II", b"MM", b"\x1f\x8b", b"\xff\x0a", b"\xff\xd8\xff", b"{\"", b"[1"):
        images.append(np.frombuffer(begin + DRAWN.tobytes()[len(begin):], np.uint8))
    with reader.client() as client:
        for image in images:
            answer = client.post("/predict", image.tobytes(), kind).ok()
            assert "label" in answer
            listed = client.post("/predict", to_json({"image": {"pixels": image.tolist()}}), "application/json").ok()
            assert answer == listed
