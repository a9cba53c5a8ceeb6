"""What a designer looks at: long labels, many classes, narrow windows, and the states between two others."""
import io
import random

import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys

from .page import CROSS, SEVEN, Page, until

LONG = ["ok", "Untersuchungsausschussvorsitzendenstellvertreterin_mit_Hut_12", "a screw with a hexagonal head and a washer, galvanised, M6x20",
        "a screw with a hexagonal head and a washer, galvanised, M8x20"]

# What sticks out: of its button, or of what it stands in.
STICKS_OUT = """return [...document.querySelectorAll('button, a, select, input, p, strong, th, td, h1, h2')].filter((e) => e.checkVisibility()).filter((e) => {
    if (e.closest('.unseen, .skip, .scroll')) return false;
    const own = e.getBoundingClientRect(), s = getComputedStyle(e);
    if (own.width === 0) return false;
    for (const child of e.matches('button, a') ? e.querySelectorAll('*') : [])
        if (child.checkVisibility() && child.getBoundingClientRect().right > own.right + 1) return true;
    return own.right > innerWidth + 1 || (e.matches('button, a') && s.overflow === 'visible' && e.scrollWidth > e.clientWidth + 1);
}).map((e) => e.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("width", [320, 1280])
def test_long_labels_stay_where_they_belong(daemons, open_page, width):
    daemon = daemons.start(daemons.init("--classes", "ok"))
    for label in LONG[1:]:
        daemon.send_json("POST", "/classes", {"label": label}).ok(201)
    for n, label in enumerate([*LONG, *LONG]):
        daemon.train(label, random.Random(n).randbytes(64)).ok()
        daemon.predict(random.Random(n + 99).randbytes(64), query="?remember=1")
    daemon.send_json("POST", "/snapshots", {"note": "n" * 120}).ok(201)
    page = open_page(daemon)
    page.size(width, 700, mobile=width < 600)
    for place in page.places():
        page.open(place)
        page.one("h1")
        if place == "try":
            page.draw(SEVEN)
            page.verdict()
            page.teach(LONG[2])
        elif place == "history":
            for box in page.run("return document.querySelectorAll('.snapshot > input')")[:2]:
                box.click()
            page.one(".difference table")
        else:
            until(lambda: page.all(".place .card, .tile"), "its content")
        page.run("scrollTo(0, 0)")
        page.picture(f"long-{place}-{width}", whole=True)
        assert page.run("return document.documentElement.scrollWidth") <= width, f"{place} is wider than the window"
        assert page.run(STICKS_OUT) == [], place
    page.open("samples")
    page.click(".tile")
    page.one("dialog")
    page.picture(f"long-sample-{width}")
    assert page.run(STICKS_OUT) == []
    page.open("stats")
    page.click(f"[aria-label='{LONG[2]}: merge or delete']")
    page.press("Merge", "dialog")
    page.picture(f"long-class-{width}")
    assert page.run(STICKS_OUT) == []


def test_a_hundred_classes_are_a_short_table_that_is_sorted_and_searched(daemons, open_page):
    daemon = daemons.start(daemons.init("--classes", ",".join(f"class {n}" for n in range(100))))
    for n in (77, 77, 5):
        daemon.train(f"class {n}", bytes(range(n, n + 64))).ok()
    page = open_page(daemon)
    page.go("Statistics")

    def rows() -> list[str]:
        return page.run("return [...document.querySelectorAll('.classes tbody th')].map((th) => th.innerText)")
    until(lambda: len(rows()) == 14, "the first of them")
    page.click("[aria-label='Sort by samples']")
    page.click("[aria-label='Sort by samples']")
    until(lambda: rows()[:2] == ["class 77", "class 5"], "those with most samples")
    page.run("scrollTo(0, 0)")
    page.picture("many-stats", whole=True)
    assert page.run("return document.documentElement.scrollHeight") < 1800
    page.one("[aria-label='Find a class in the table']").send_keys("class 4")
    until(lambda: len(rows()) == 11 and all(row.startswith("class 4") for row in rows()), "those that are looked for")
    assert page.focused() == "Find a class in the table"
    page.one("[aria-label='Find a class in the table']").send_keys(*[Keys.BACKSPACE] * 7)
    page.press("Show all 100")
    until(lambda: len(rows()) == 100, "all")
    page.says(".mistakes", "once")


def test_a_sample_is_forgotten_only_when_that_is_meant(page: Page):
    newest = page.daemon.get("/samples?limit=1").ok()["samples"][0]["id"]
    page.go("Samples")
    page.click(".tile")
    page.press("Forget", "dialog")
    page.says("dialog", "cannot be brought back")
    page.picture("forget")
    page.press("Cancel", "dialog")
    page.button("Forget", "dialog")
    assert page.daemon.get(f"/samples/{newest}").status == 200
    page.press("Forget", "dialog")
    page.press("Forget permanently", "dialog")
    until(lambda: not page.all("dialog"), "it is done")
    page.daemon.get(f"/samples/{newest}").problem(410)


def test_one_snapshot_is_current_and_times_have_a_day(page: Page):
    for note in ("one", "two"):
        page.daemon.send_json("POST", "/snapshots", {"note": note}).ok(201)
    page.go("History")
    page.says(".snapshots > li", "two current")
    badges = page.run("return [...document.querySelectorAll('.snapshot .badge')].map((b) => b.textContent)")
    assert badges.count("current") == 1 and badges.count("same as current") >= 1
    page.says(".snapshots > li", "today, ")


def test_while_an_answer_is_awaited_nobody_is_told_to_draw(page: Page):
    page.one(".pad canvas")
    page.driver.execute_cdp_cmd("Network.enable", {})
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, "latency": 3000, "downloadThroughput": -1, "uploadThroughput": -1})
    try:
        page.draw(SEVEN)
        page.says(".answers .hint", "Waiting for the prediction")
    finally:
        page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1})
        page.driver.execute_cdp_cmd("Network.disable", {})
    page.says(".answers .hint", "Click the right class")


def test_a_model_in_colour_is_drawn_for_in_colour(daemons, open_page):
    page = open_page(daemons.start(daemons.init("--width", "24", "--height", "24", "--channels", "3")))
    page.open("try")
    page.click("[aria-label='red']")
    page.draw(CROSS)
    page.says(".saw figure", "24 × 24 pixels that the network gets")
    assert "MNIST" not in page.text(".sheet")
    page.picture("colour-pen", whole=True)
    page.teach("a")
    image = Image.open(io.BytesIO(page.daemon.get("/samples/1/image").body)).convert("RGB")
    red = [image.getpixel((x, x)) for x in range(10, 14)]
    assert all(r > 150 and g < 110 and b < 110 for r, g, b in red), red
    assert image.getpixel((1, 12)) == (255, 255, 255)


def test_a_camera_that_is_not_there_is_told(daemons, open_page):
    page = open_page(daemons.start(daemons.init("--width", "24", "--height", "24", "--channels", "3")))
    page.press("Start the camera")
    page.says("#notices", "There is no camera.")
    page.button("Start the camera")
