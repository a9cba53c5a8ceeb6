"""Teaching by pictures: a camera that shows three things and an empty table in turn, and pictures that are dropped.

The camera is Chromium's own, which plays a film that is made here."""
import time

import numpy
import pytest
from PIL import Image, ImageDraw

from .conftest import chromium, opened
from .page import Page, until
from .test_access import axe, violations  # noqa: F401: a fixture
from .test_newcomer import Run

THINGS = {"cup": (200, 60, 40), "leaf": (60, 150, 60), "book": (50, 80, 190)}
SECONDS, RATE, SIZE = 3, 10, (320, 240)


def scene(thing: str | None, t: float) -> Image.Image:
    """A thing on a table, which moves and turns a little; or something that is none of them."""
    rng = numpy.random.default_rng(int(1000 * t))
    ground = Image.new("RGB", SIZE, (196, 188, 176))
    draw = ImageDraw.Draw(ground)
    x, y = 160 + 18 * numpy.sin(2.1 * t), 120 + 12 * numpy.cos(1.7 * t)
    if thing == "cup":
        draw.ellipse((x - 55, y - 60, x + 55, y + 60), fill=THINGS[thing])
        draw.arc((x + 35, y - 30, x + 85, y + 30), -90, 90, fill=THINGS[thing], width=12)
    elif thing == "leaf":
        draw.polygon([(x, y - 85), (x + 40, y), (x, y + 85), (x - 40, y)], fill=THINGS[thing])
    elif thing == "book":
        draw.rectangle((x - 75, y - 45, x + 75, y + 45), fill=THINGS[thing])
        draw.rectangle((x - 60, y - 25, x + 60, y - 10), fill=(230, 230, 220))
    else:
        for k in range(0, 320, 40):
            draw.line((k, 0, 320 - k, 240), fill=(20, 20, 20), width=14)
    noise = rng.normal(0, 1.5, (SIZE[1], SIZE[0], 3))
    return Image.fromarray(numpy.clip(numpy.asarray(ground) + noise, 0, 255).astype(numpy.uint8))


def y4m(path) -> None:
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{SIZE[0]} H{SIZE[1]} F{RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for n, thing in enumerate([*THINGS, None]):
            for k in range(SECONDS * RATE):
                planes = scene(thing, n * SECONDS + k / RATE).convert("YCbCr").split()
                half = [p.resize((SIZE[0] // 2, SIZE[1] // 2), Image.Resampling.BOX) for p in planes[1:]]
                file.write(b"FRAME\n" + b"".join(p.tobytes() for p in (planes[0], *half)))


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """A Chromium of its own, whose camera plays the film."""
    film = tmp_path_factory.mktemp("film") / "film.y4m"
    y4m(film)
    driver = chromium(tmp_path_factory.mktemp("chromium"), "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream",
                      f"use-file-for-fake-video-capture={film}")
    yield driver
    driver.quit()


@pytest.fixture
def page(driver, daemons, console, tmp_path) -> Page:
    """The page of what `make run MODEL=camera` makes: a model in colour without a class."""
    daemon = Run(tmp_path, tmp_path / "camera.db")
    daemon.model_name = "camera"
    daemons.all.append(daemon)
    daemon.start()
    page = opened(driver, daemon)
    page.says("h1", "Camera and pictures")
    return page


def shown(page: Page) -> str | None:
    """What the camera shows now, by the colour in its middle."""
    r, g, b = page.run("""const video = document.querySelector('video'), canvas = document.createElement('canvas');
        canvas.width = canvas.height = 1;
        canvas.getContext('2d').drawImage(video, 0.42 * video.videoWidth, 0.58 * video.videoHeight, 0.1 * video.videoWidth, 0.04 * video.videoHeight, 0, 0, 1, 1);
        return [...canvas.getContext('2d').getImageData(0, 0, 1, 1).data].slice(0, 3)""")
    off = {thing: abs(r - c[0]) + abs(g - c[1]) + abs(b - c[2]) for thing, c in THINGS.items()}
    best = min(off, key=off.get)
    return best if off[best] < 90 else None


def begins(page: Page, thing: str | None) -> None:
    """The camera has just come to show it."""
    until(lambda: shown(page) != thing, "something else")
    until(lambda: shown(page) == thing, f"{thing} is shown")


def hold(page: Page, label: str, samples: int) -> None:
    box = page.run("arguments[0].scrollIntoView({block: 'center'}); return arguments[0].getBoundingClientRect()", page.bar(label))
    at = {"x": box["x"] + 20, "y": box["y"] + box["height"] / 2, "button": "left", "clickCount": 1}
    page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mousePressed", "buttons": 1, **at})
    until(lambda: page.text(".answers .hint").startswith(f"Teaching {label}: ") and int(page.text(".answers .hint").split()[2]) >= samples, f"{samples} samples")
    page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseReleased", "buttons": 0, **at})
    until(lambda: "Teaching" not in page.text(".answers .hint"), "the lesson has ended")


def add(page: Page, label: str) -> None:
    page.one("#camera-class").send_keys(label)
    page.press("Add")
    page.bar(label)


def test_three_things_are_shown_taught_and_recognised_within_a_minute(page: Page):
    page.says(".answers .hint", "The model knows nothing yet")
    page.picture("camera-empty", whole=True)
    page.press("Start the camera")
    for thing in THINGS:
        add(page, thing)
    until(lambda: page.run("return document.querySelector('video').videoWidth") == SIZE[0], "the camera's picture")
    for thing in THINGS:
        begins(page, thing)
        hold(page, thing, 10)
    seen = {row["label"]: row["seen"] for row in page.daemon.get("/stats").ok()["classes"]}
    # A person's minute, not this machine's: three names, and each thing held for some ten pictures, which take a second.
    assert all(10 <= seen[thing] <= 30 for thing in THINGS), seen
    for thing in THINGS:
        until(lambda: shown(page) == thing and page.text(".verdict strong") == thing, f"{thing} is recognised")  # noqa: B023
    until(lambda: shown(page) == "book" and page.text(".verdict strong") == "book", "the book is recognised again")
    page.run("document.activeElement.blur(); scrollTo(0, 0)")
    for scheme in ("dark", "light"):
        page.scheme(scheme)
        page.picture(f"camera-{scheme}", whole=True)
    until(lambda: shown(page) is None and page.text(".verdict strong") == "I don't know this", "what was never shown is told from them")
    page.picture("camera-unknown")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_camera_keeps_nobody_out(page: Page, axe, scheme):
    page.scheme(scheme)
    for thing in THINGS:
        add(page, thing)
    page.press("Start the camera")
    page.one(".bar.best")
    page.run("arguments[0].focus()", page.bar("cup"))
    page.keys(" ")  # a key teaches, too
    until(lambda: page.daemon.get("/stats").ok()["samples"] >= 1, "a sample")
    assert violations(page, axe) == []
    page.size(320, 700, mobile=True)
    assert page.run("return document.documentElement.scrollWidth") <= 320
    assert violations(page, axe) == []
    page.picture(f"camera-phone-{scheme}", whole=True)


def test_the_answer_is_live_and_ends_with_the_camera(page: Page):
    for thing in THINGS:
        add(page, thing)
    page.press("Start the camera")
    page.one(".bar.best")

    def asked() -> int:
        return page.run("return performance.getEntriesByType('resource').filter((e) => e.name.includes('/predict')).length")
    page.run("performance.setResourceTimingBufferSize(10000)")
    before, began = asked(), time.monotonic()
    until(lambda: asked() >= before + 20, "twenty predictions")
    assert 1.5 < time.monotonic() - began < 20, "ten a second at most"
    page.go("Statistics")
    until(lambda: page.run("return document.querySelector('video').srcObject === null"), "the camera is off")
    page.go("Try")
    page.says("h1", "Camera and pictures")
    page.called("Draw", ".ways a").click()
    page.says("h1", "Try and teach")


def test_pictures_are_dropped_and_labelled_with_one_key_each(page: Page, tmp_path):
    paths = []
    for k in range(7):
        for thing in THINGS:
            paths.append(tmp_path / f"{thing}-{k}.png")
            scene(thing, 0.37 * k).save(paths[-1])
    page.choose(*paths[:20])
    until(lambda: len(page.all(".tray .tile")) == 20, "twenty pictures")
    page.says(".question", "The model has no class yet")
    for thing in THINGS:  # the first three are of one each
        page.one("#tray-class").send_keys(thing)
        page.press("Label as new")
        until(lambda: thing in [b.text for b in page.all(".choice span:nth-child(2)")], f"{thing} has a button")  # noqa: B023
    page.run("document.activeElement.blur()")
    page.says(".tray > .hint", "17 pictures without a label")
    for n in range(9):
        page.keys("123"[n % 3])
    page.says(".tray > .hint", "8 pictures without a label")
    until(lambda: page.daemon.get("/stats").ok()["samples"] == 12, "twelve samples")
    labels = [s["label"] for s in page.daemon.get("/samples").ok()["samples"]]
    assert labels[::-1] == list(THINGS) * 4
    until(lambda: sum("%" in tile.text for tile in page.all(".tray .tile")) >= 6, "what it says of the others")
    page.run("scrollTo(0, 0)")
    for scheme in ("dark", "light"):
        page.scheme(scheme)
        page.picture(f"tray-{scheme}", whole=True)
    page.size(320, 700, mobile=True)
    page.picture("tray-phone", whole=True)
    assert page.run("return document.documentElement.scrollWidth") <= 320
    page.size(1280, 900)
    page.press("Undo all lessons of this visit")
    page.says(".tray > .hint", "20 pictures without a label")
    assert page.daemon.model()["classes"] == []
