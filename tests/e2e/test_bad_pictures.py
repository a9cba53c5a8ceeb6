"""Pictures that are none, through real HTTP. The `reader` fixture proves after each that nothing changed."""
import struct
import zlib

import numpy as np
import pytest

from .daemon import ROOT, Daemon
from .pictures import CURL, FORM, b64, chunk, form, jpeg, picture, pixel_list, png, png_of, to_json

FIXTURES = ROOT / "tests" / "fixtures" / "images"
pytestmark = pytest.mark.core

BAD_FILES = {
    "truncated.png": "image", "truncated.jpg": "image", "truncated-progressive.jpg": "image", "corrupt.png": "image",
    "corrupt.jpg": "image", "bad-checksum.png": "image", "bad-stream.png": "image", "bad-depth.png": "image",
    "too-few-rows.png": "image", "no-end.jpg": "image", "no-palette.png": "image", "header-only.jpg": "image",
    "signature-only.png": "image", "no-width.png": "image", "no-height.png": "image", "no-width.jpg": "image",
    "huge.png": "image-limit", "huge.jpg": "image-limit", "largest.png": "image-limit", "scans-bomb.jpg": "image-limit",
    "chunks-bomb.png": "image-limit",
    "text.png": "media-type", "other.bmp": "media-type", "other.gif": "media-type", "other.tiff": "media-type",
    "animated.webp": "media-type", "truncated.webp": "image", "huge.webp": "image-limit",
}
STATUS = {"image": 422, "image-limit": 422, "media-type": 415}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("route", ["/predict", "/train?label=7"])
def test_a_file_that_is_no_sound_picture_is_refused(reader: Daemon, name, route):
    answer = reader.post(route, (FIXTURES / name).read_bytes(), "image/png")
    document = answer.problem((415, 422))
    assert document["type"].rsplit(":")[-1] in ("image", "image-limit", "media-type", "limit")
    if BAD_FILES[name] in ("image-limit", "media-type"):
        assert answer.status == STATUS[BAD_FILES[name]], document


@pytest.mark.parametrize("name", ["truncated.png", "corrupt.jpg", "huge.png", "text.png"])
def test_it_is_refused_in_a_form_and_in_json_too(reader: Daemon, name):
    data = (FIXTURES / name).read_bytes()
    reader.post("/train", form(("7", name, data)), FORM).problem((415, 422), pointer="/images/0")
    reader.send_json("POST", "/train", {"label": "7", "image": b64(data)}).problem((415, 422), pointer="/image/b64")


@pytest.mark.parametrize("encode", [png, jpeg], ids=["PNG", "JPEG"])
def test_a_picture_that_is_cut_anywhere_is_refused(reader: Daemon, noise, encode):
    data = encode(noise.integers(0, 256, (28, 28, 3), np.uint8))
    with reader.client() as client:
        for cut in sorted({*range(1, 40), *range(40, len(data) - 16, len(data) // 40)}):
            client.post("/predict", data[:cut], "image/png").problem((415, 422))


@pytest.mark.parametrize("encode", [png, jpeg], ids=["PNG", "JPEG"])
def test_flipped_bits_are_refused_or_read_and_never_crash(reader: Daemon, noise, encode):
    data = encode(noise.integers(0, 256, (28, 28, 3), np.uint8))
    with reader.client() as client:
        for _ in range(300):
            spoiled = bytearray(data)
            for _ in range(int(noise.integers(1, 4))):
                spoiled[int(noise.integers(4, len(data)))] ^= 1 << int(noise.integers(0, 8))
            answer = client.post("/predict", bytes(spoiled), "image/png")
            assert answer.status in (200, 415, 422)


@pytest.mark.parametrize("width, height", [(2**31 - 1, 2**31 - 1), (100000, 100000), (2**31 - 1, 1), (1, 2**31 - 1),
                                           (65536, 65536)])
def test_a_png_header_that_promises_far_too_much_is_refused_at_once(reader: Daemon, width, height):
    problem = reader.post("/predict", png_of(width, height, zlib.compress(bytes(1000)))).problem(422)
    assert str(width) in problem["detail"]
    assert reader.rss_bytes() < 600 << 20


def test_a_jpeg_header_that_promises_far_too_much_is_refused(reader: Daemon, noise):
    data = jpeg(noise.integers(0, 256, (28, 28), np.uint8))
    at = data.index(b"\xff\xc0") + 5
    huge = data[:at] + struct.pack(">HH", 65500, 65500) + data[at + 4:]
    reader.post("/predict", huge).problem(422, "image-limit")


def test_a_png_of_zero_size_is_refused(reader: Daemon):
    for width, height in [(0, 0), (0, 28), (28, 0)]:
        reader.post("/predict", png_of(width, height, zlib.compress(b"")), CURL).problem(422)


def test_a_decompression_bomb_within_the_pixel_limit_is_read_or_refused_quickly(reader: Daemon):
    rows = zlib.compress(bytes(4001) * 4000, 9)
    assert len(rows) < 20000
    assert reader.post("/predict", png_of(4000, 4000, rows), "image/png").status == 200


def test_a_png_with_more_data_than_its_size_needs_is_no_crash(reader: Daemon):
    data = png_of(28, 28, zlib.compress(bytes(29 * 28 + 100000)))
    assert reader.post("/predict", data, "image/png").status in (200, 422)


def test_a_png_of_many_broken_chunks_is_no_crash(reader: Daemon, noise):
    image = png(noise.integers(0, 256, (28, 28), np.uint8))
    for kind in (b"PLTE", b"tRNS", b"gAMA", b"iCCP", b"zTXt", b"IHDR", b"IEND", b"abcd", b"ABCD", b"\xff\xff\xff\xff"):
        for content in (b"", b"\0", b"x" * 1000):
            data = image[:33] + chunk(kind, content) + image[33:]
            assert reader.post("/predict", data, "image/png").status in (200, 415, 422), kind


def test_megabytes_beside_the_pixels_of_a_png_are_skipped(reader: Daemon, noise):
    image = png(noise.integers(0, 256, (28, 28), np.uint8))

    def ask(beside: bytes):
        return reader.post("/predict", image[:33] + beside + image[33:], "image/png")
    plain = ask(b"").ok()
    assert ask(chunk(b"tEXt", b"a\0" + b"x" * (3 << 20)) * 2).ok() == plain
    for kind, head in ((b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0")):
        assert ask(chunk(kind, head + zlib.compress(bytes(9 << 20), 9))).ok() == plain


@pytest.mark.parametrize("encode", [png, jpeg], ids=["PNG", "JPEG"])
def test_a_picture_of_one_pixel_is_read(reader: Daemon, encode):
    assert reader.predict(encode(np.full((1, 1), 200, np.uint8)), None)["label"]


def test_the_pixel_limit_is_a_flag(daemons):
    daemon = daemons.start(daemons.init(), "--image-pixels", "100")
    daemon.predict(png(np.zeros((10, 10), np.uint8)), "image/png")
    problem = daemon.post("/predict", png(np.zeros((10, 11), np.uint8)), "image/png").problem(422, "image-limit")
    assert "100" in problem["detail"] and "--image-pixels" in problem["detail"]


# ---- bodies that are no picture at all ----

@pytest.mark.parametrize("length", [1, 783, 785, 1567, 2000])
@pytest.mark.parametrize("route", ["/predict", "/train?label=7"])
def test_a_raw_body_of_the_wrong_length_is_told_the_right_one(reader: Daemon, length, route):
    problem = reader.post(route, b"\x80" * length).problem(422, "input-size")
    assert "784" in problem["detail"] and str(length) in problem["detail"]


@pytest.mark.parametrize("content_type", ["application/octet-stream", CURL, None, "image/png", "application/json", FORM,
                                          "application/x-ndjson"])
@pytest.mark.parametrize("route", ["/predict", "/train?label=7"])
def test_an_empty_body_is_refused(reader: Daemon, route, content_type):
    reader.post(route, b"", content_type).problem(400, "empty-body")


CURLS_D = {  # what -d @FILE leaves of a file
    "curl 7": lambda data: b"".join(line.partition(b"\0")[0].partition(b"\r")[0] for line in data.split(b"\n")),
    "curl 8": lambda data: data.translate(None, b"\r\n\0"),
}


@pytest.mark.parametrize("curl", CURLS_D)
@pytest.mark.parametrize("route", ["/predict", "/train?label=7"])
def test_a_file_that_curl_d_has_changed_is_answered_with_the_flag_that_does_not(reader: Daemon, seven, noise, curl, route):
    for data in (png(seven), jpeg(seven), picture(seven, "WEBP"), picture(seven, "GIF"), seven.tobytes(), bytes(784)):
        problem = reader.post(route, CURLS_D[curl](data), CURL).problem((400, 415, 422))
        assert problem["detail"].endswith("send it with --data-binary @FILE"), problem
    line = to_json({"image": pixel_list(seven)} | ({} if route == "/predict" else {"label": "7"}))
    route = route.partition("?")[0]
    problem = reader.post(route, CURLS_D[curl](line + b"\n" + line), "application/x-ndjson").problem(400, "syntax")
    assert problem["detail"].endswith("send it with --data-binary @FILE"), problem
    for bad in (png(seven)[:-20], b"GIF89a\0\n" + noise.bytes(900), line[:-9] + b"\n"):
        assert "--data-binary" not in reader.post(route, bad, CURL).problem((400, 415, 422))["detail"]


@pytest.mark.parametrize("content_type", ["application/json", "text/json", "application/x-ndjson"])
@pytest.mark.parametrize("data, name", [(b"GIF89a" + bytes(range(1, 200)), "a GIF"), (b"%PDF-1.7\n" + b"x" * 90, "a PDF"),
                                        (b"<!DOCTYPE html><title>502 Bad Gateway</title>", "HTML")])
def test_a_file_that_is_called_json_is_refused_by_its_name(reader: Daemon, content_type, data, name):
    for route in ("/predict", "/train"):
        assert f"it looks like {name}; " in reader.post(route, data, content_type).problem(415, "media-type")["detail"]
    problem = reader.post("/v2/models/convd/infer", data, content_type).problem(415, "media-type")
    assert f"looks like {name}: send a picture to /predict" in problem["detail"]


def test_text_is_refused_as_no_picture(reader: Daemon):
    reader.post("/predict", b"this is a seven, believe me", CURL).problem(415, "media-type")
    reader.post("/predict", b"this is a seven, believe me", "image/png").problem(415, "media-type")


@pytest.mark.parametrize("body, content_type", [
    (form(("7", "a.png", b"x")).replace(b"--\r\n", b""), FORM), (b"no delimiter", FORM), (b"x", "multipart/form-data"),
    (b"--x\r\n\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x"), (b"--x", "multipart/form-data; boundary=x"),
    (b"--" + b"y" * 71 + b"\r\n", "multipart/form-data; boundary=" + "y" * 71),
    (b'--x\r\nContent-Disposition: form-data; name="7\r\n\r\nq\r\n--x--\r\n', "multipart/form-data; boundary=x"),
    (b"--x\r\n" + b"A: b\r\n" * 10000 + b"\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x"),
    (b"--x--\r\n", "multipart/form-data; boundary=x")])
def test_a_form_that_is_none_is_refused(reader: Daemon, body, content_type):
    for route in ("/predict", "/train"):
        reader.post(route, body, content_type).problem((400, 422))


@pytest.mark.parametrize("text", ["", "!!!!", "AAA", "A", "AAAAA", "AAAA=", "AA=A", "+/-_", "Ab", "A" * 1001, "data:image/png;base64", "data:,", "iVBORw0KGgo="])
def test_base64_that_is_no_image_is_refused(reader: Daemon, text):
    answer = reader.post("/predict", to_json({"image": {"b64": text}}), "application/json")
    answer.problem((400, 415, 422), pointer="/image/b64")


@pytest.mark.parametrize("content_type",
                         ["image/png; " + "x" * 2000, ";", "\x80\xff", "application/json;charset=klingon", "multipart/",
                                          "text/plain"])
def test_an_odd_content_type_is_no_crash(reader: Daemon, seven, content_type):
    assert reader.post("/predict", seven.tobytes(), content_type).status in (200, 400, 415, 422)
