"""What a body shows is decided by its content: files are no pixels, and pixels are no files."""
import gzip
import io
import json

import numpy as np
import pytest
from PIL import Image, ImageOps

from .daemon import Daemon, convd, convd_json
from .pictures import CURL, FORM, b64, chunk, form, jpeg, picture, png, to_json, write_idx

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


# ---- which way up ----

STORED = {  # how a picture that is upright has to be stored for that orientation to put it upright again
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose,
    6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a.T, 2), 8: lambda a: np.rot90(a, -1),
}


def exif_tiff(orientation: int) -> bytes:
    return b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + bytes(6)


def turned_png(upright: np.ndarray, orientation: int, behind: bool = False) -> bytes:
    """behind: the data that say so come after the pixels."""
    data = png(np.ascontiguousarray(STORED[orientation](upright)))
    at = len(data) - 12 if behind else 33
    return data[:at] + chunk(b"eXIf", exif_tiff(orientation)) + data[at:]


def turned_jpeg(upright: np.ndarray, orientation: int) -> bytes:
    data = jpeg(np.ascontiguousarray(STORED[orientation](upright)))
    segment = b"Exif\0\0" + exif_tiff(orientation)
    return data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]


@pytest.fixture(scope="module")
def photograph(seven) -> np.ndarray:
    """Taller than wide, and another picture whichever way it is turned."""
    return np.pad(np.kron(seven, np.ones((4, 4), np.uint8)), ((0, 8), (0, 0)))


def as_pillow_shows(data: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", [turned_png, turned_jpeg], ids=["PNG", "JPEG"])
def test_every_orientation_is_put_upright_in_every_kind_of_body(reader: Daemon, photograph, kind, orientation):
    data = kind(photograph, orientation)
    shown = as_pillow_shows(data)
    assert shown.shape == photograph.shape
    expected = reader.predict(png(shown), "image/png")
    for path, body, content_type in ways("/predict", data):
        answer = reader.post(path, body, content_type).ok()
        assert answer.get("predictions", [answer])[0]["probabilities"] == expected["probabilities"], content_type


def test_a_png_of_the_input_s_size_is_put_upright_too(reader: Daemon, seven):
    expected = reader.predict(seven.tobytes())
    for orientation in STORED:
        assert reader.predict(turned_png(seven, orientation), "image/png") == expected
        assert reader.predict(turned_png(seven, orientation, behind=True), "image/png") == expected


@pytest.mark.parametrize("kind", [turned_png, turned_jpeg], ids=["PNG", "JPEG"])
def test_every_orientation_is_put_upright_by_the_command_line(daemon: Daemon, daemons, photograph, tmp_path, kind):
    files, shown = [], []
    for orientation in STORED:
        files.append(tmp_path / f"{orientation}.bin")
        files[-1].write_bytes(kind(photograph, orientation))
        shown.append(tmp_path / f"{orientation}-shown.png")
        shown[-1].write_bytes(png(as_pillow_shows(files[-1].read_bytes())))
    offline = ("--db", daemons.copy("offline.db"))
    for where in (offline, ("--url", daemon.url)):
        said, expected = (convd_json("predict", *where, *paths)["predictions"] for paths in (files, shown))
        for one, other in zip(said, expected):
            assert one["probabilities"] == other["probabilities"], one["file"]


# ---- ink on a transparent ground ----

def drawn(seven: np.ndarray, ink: int) -> np.ndarray:
    """As a browser's canvas gives it: a colour, and how much there is of it."""
    alpha = np.kron(seven, np.ones((3, 3), np.uint8))
    return np.dstack([np.full_like(alpha, ink) * (alpha > 0)] * 3 + [alpha])


def on_opaque_ground(rgba: np.ndarray, ground: int) -> np.ndarray:
    colour, alpha = rgba[..., :3].astype(int), rgba[..., 3:].astype(int)
    return ((colour * alpha + ground * (255 - alpha) + 127) // 255).astype(np.uint8)


@pytest.mark.parametrize("invert", ["never", "always", "auto"])
@pytest.mark.parametrize("ink, ground", [(0, 255), (255, 0), (60, 255), (200, 0)])
def test_ink_on_a_transparent_ground_is_seen_as_on_the_ground_that_it_stands_out_from(daemon: Daemon, seven, invert, ink,
                                                                                      ground):
    daemon.send_json("PATCH", "/model", {"invert": invert}).ok()
    rgba = drawn(seven, ink)
    expected = daemon.predict(png(on_opaque_ground(rgba, ground)), "image/png")
    for path, body, kind in ways("/predict", png(rgba)):
        answer = daemon.post(path, body, kind).ok()
        assert answer.get("predictions", [answer])[0]["probabilities"] == expected["probabilities"], kind


@pytest.mark.parametrize("ink", [0, 255])
def test_with_invert_auto_a_drawing_on_nothing_is_read_whatever_the_ink(daemon: Daemon, seven, ink):
    daemon.send_json("PATCH", "/model", {"invert": "auto"}).ok()
    assert daemon.predict(png(drawn(seven, ink)), "image/png")["label"] == "7"


# ---- flat inputs ----

FLAT = np.full((28, 28), 9, np.uint8)


def flat_requests(seven: np.ndarray) -> dict[str, tuple[str, bytes, str, str | None]]:
    """Requests of /train of which one image is flat: path, body, content type, and the pointer to it."""
    pixels, rows = {"pixels": FLAT.ravel().tolist()}, {"pixels": seven.tolist()}
    sample = {"label": "7", "image": pixels}
    escaped = to_json(sample).replace(b'"pixels"', b'"pixel\\u0073"')  # read by the tree
    return {
        "raw": ("?label=7", FLAT.tobytes(), RAW, None),
        "several raw": ("?label=7", seven.tobytes() + FLAT.tobytes(), RAW, "/images/1"),
        "png": ("?label=7", png(FLAT), "image/png", None),
        "empty canvas": ("?label=7", png(np.zeros((90, 90, 4), np.uint8)), CURL, None),
        "jpeg": ("?label=7", jpeg(FLAT), CURL, None),
        "form": ("", form(("7", "a.png", png(seven)), ("7", "b.png", png(FLAT)), ("7", "c", b"")), FORM, "/images/1"),
        "json": ("", to_json(sample), "application/json", "/image/pixels"),
        "escaped json": ("", escaped, "application/json", "/image/pixels"),
        "json b64": ("", to_json({"label": "7", "image": b64(png(FLAT))}), "application/json", "/image/b64"),
        "samples": ("", to_json({"samples": [{"label": "7", "image": rows}, sample]}), "application/json",
                    "/samples/1/image/pixels"),
        "images": ("?labels=7,7", to_json({"images": [rows, pixels]}), "application/json", "/images/1/pixels"),
        "lines": ("", to_json({"label": "7", "image": rows}) + b"\n\n" + to_json(sample), "application/x-ndjson",
                  "/lines/2/image/pixels"),
    }


@pytest.mark.parametrize("name", flat_requests(DRAWN))
def test_a_flat_image_is_not_learned_without_a_word(daemon: Daemon, seven, name):
    query, body, kind, pointer = flat_requests(seven)[name]
    before = daemon.model()
    problem = daemon.post("/train" + query, body, kind).problem(422, "flat-image")
    assert problem.get("pointer") == pointer and "?flat=allow" in problem["detail"]
    assert daemon.model() == before
    if name == "form":
        body = form(("7", "a.png", png(seven)), ("7", "b.png", png(FLAT)))
    allowed = daemon.post("/train" + (query + "&" if query else "?") + "flat=allow", body, kind).ok()
    assert daemon.model()["step"] == before["step"] + allowed["accepted"]


def test_flat_takes_no_other_word(reader: Daemon):
    reader.post("/train?label=7&flat=1", FLAT.tobytes()).problem(422, "value")
    reader.post("/predict?flat=allow", FLAT.tobytes()).problem(422, "value")


def test_a_prediction_says_that_its_image_is_flat(reader: Daemon, seven):
    assert reader.predict(FLAT.tobytes())["flat"] is True
    assert reader.predict(png(np.zeros((50, 20), np.uint8)), "image/png")["flat"] is True
    assert "flat" not in reader.predict(seven.tobytes())
    almost = FLAT.copy()
    almost[27, 27] += 1
    assert "flat" not in reader.predict(almost.tobytes())
    several = reader.predict(seven.tobytes() + FLAT.tobytes() + almost.tobytes())["predictions"]
    assert [p.get("flat") for p in several] == [None, True, None]
    lines = b"\n".join(to_json({"image": {"pixels": i.tolist()}}) for i in (FLAT, seven))
    assert [p.get("flat") for p in reader.predict(lines, "application/x-ndjson")["predictions"]] == [True, None]


def test_planes_that_are_flat_each_are_a_flat_image(daemons):
    colours = daemons.start(daemons.init("--channels", "3", name="colours.db"))
    red = np.repeat(np.array([200, 30, 20], np.uint8), 64)
    assert colours.predict(red.tobytes())["flat"] is True
    colours.train("a", red.tobytes()).problem(422, "flat-image")
    red[100] += 1
    assert "flat" not in colours.predict(red.tobytes())
    colours.train("a", red.tobytes()).ok()


def test_an_inference_says_that_an_image_is_flat(reader: Daemon, seven):
    def infer(*images):
        tensor = {"name": "pixels", "shape": [len(images), 784], "datatype": "UINT8", "data": np.stack(images).ravel().tolist()}
        return reader.send_json("POST", "/v2/models/convd/infer", {"inputs": [tensor]}).ok()
    assert infer(seven, FLAT)["parameters"] == {"revision": reader.model()["revision"], "flat": True}
    assert "flat" not in infer(seven, seven)["parameters"]


def test_a_flat_prediction_is_not_labelled_without_a_word(daemon: Daemon):
    number = daemon.predict(FLAT.tobytes(), query="?remember=1")["id"]
    step = daemon.model()["step"]
    daemon.send_json("POST", f"/predictions/{number}/label", {"label": "7"}).problem(422, "flat-image")
    assert daemon.model()["step"] == step
    first = daemon.send_json("POST", f"/predictions/{number}/label?flat=allow", {"label": "7"}).ok()
    assert first["step"] == step + 1
    assert daemon.send_json("POST", f"/predictions/{number}/label", {"label": "7"}).ok() == first  # it was taken


def test_a_retry_of_what_was_taken_is_answered_though_it_would_be_flat_now(daemon: Daemon, seven):
    """`cover` cuts away what `contain` kept: an image of ink at both ends."""
    wide = np.full((28, 280), 5, np.uint8)
    wide[:, :9] = wide[:, -9:] = 250
    ask = dict(content_type="image/png", headers={"Idempotency-Key": "wide"})
    first = daemon.train("7", png(wide), **ask).ok()
    daemon.send_json("PATCH", "/model", {"fit": "cover"}).ok()
    assert daemon.train("7", png(wide), **ask).ok() == first
    daemon.train("7", png(wide), content_type="image/png", headers={"Idempotency-Key": "new"}).problem(422, "flat-image")


@pytest.mark.parametrize("where", ["--db", "--url"])
@pytest.mark.parametrize("folder", [False, True], ids=["IDX", "folder"])
def test_flat_images_of_files_are_skipped_and_counted(daemons, seven, tmp_path, where, folder):
    images = np.stack([seven, FLAT, np.roll(seven, 2, 0), 0 * FLAT])
    if folder:
        (tmp_path / "set" / "7").mkdir(parents=True)
        for i, image in enumerate(images):
            (tmp_path / "set" / "7" / f"{i}.png").write_bytes(png(image))
        files = [tmp_path / "set"]
    else:
        files = write_idx(tmp_path, images, np.full(4, 7))
    db = daemons.copy()
    target = ("--db", db) if where == "--db" else ("--url", daemons.start(db).url)
    done = convd("train", *target, *files, "--json", "--quiet")
    told = json.loads(done.stdout)
    assert (told["samples"], told["flat"]) == (2, 2)
    assert b"2 flat images were skipped" in done.stderr and b"--flat" in done.stderr
    (tmp_path / "flat.png").write_bytes(png(FLAT))
    (tmp_path / "seven.png").write_bytes(png(seven))
    both = tmp_path / "flat.png", tmp_path / "seven.png"
    assert [p.get("flat") for p in convd_json("predict", *target, *both)["predictions"]] == [True, None]
    said = convd("predict", *target, *both).stderr.decode()
    assert "flat.png: all pixels are equal" in said and "seven.png" not in said
    told = convd_json("train", *target, *files, "--flat", "--quiet")
    assert (told["samples"], told["flat"]) == (4, 0)
    assert convd_json("evaluate", *target, *files)["samples"] == 4
