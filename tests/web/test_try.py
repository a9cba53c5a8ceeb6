"""Try and teach, in a real browser."""
import numpy
from PIL import Image
from selenium.webdriver.common.keys import Keys

from e2e.daemon import ROOT

from .page import CROSS, ONE, SEVEN, TRIANGLE, ZERO, Page, until


def test_what_is_drawn_is_recognised_while_it_is_drawn(page: Page):
    page.draw(SEVEN)
    page.says(".verdict strong", "7")
    page.clear()
    page.draw(ZERO)
    page.says(".verdict strong", "0")
    page.press("Undo", ".tools")
    page.says(".verdict", "?")
    assert page.daemon.get("/stats").ok()["samples"] == 4000, "looking teaches nothing"


def test_a_small_drawing_in_a_corner_is_read_like_a_large_one(page: Page):
    corner = [[(0.05 + 0.3 * x, 0.05 + 0.3 * y) for x, y in line] for line in SEVEN]
    page.draw(corner)
    page.says(".verdict strong", "7")


def test_one_press_teaches_and_tells_what_changed(page: Page):
    before = page.daemon.get("/stats").ok()
    page.draw(ONE)
    page.says(".verdict strong", "1")
    page.teach("4")
    said = page.text(".lessons > li")
    assert "Taught 4." in said and "1" in said and "loss" in said and "step 4,001" in said
    after = page.daemon.get("/stats").ok()
    assert after["samples"] == before["samples"] + 1
    assert after["confusion"][4][1] == before["confusion"][4][1] + 1, "a 4 that was taken for a 1"
    page.says("#status", "4,001")


def test_a_new_class_is_taught_by_hand_and_recognised(page: Page):
    page.draw(TRIANGLE)
    page.new_class("triangle")
    page.clear()
    page.draw([[(0.1 + 0.7 * x, 0.05 + 0.8 * y) for x, y in line] for line in TRIANGLE])
    page.says(".verdict strong", "triangle")
    page.teach("triangle")
    page.says(".lessons > li", "The prediction was right")
    page.clear()
    page.draw(SEVEN)
    page.says(".verdict strong", "7")
    assert "triangle" in page.daemon.model()["classes"]


def test_all_lessons_of_a_visit_are_undone_at_once(page: Page):
    digest = page.daemon.digest()
    page.draw(CROSS)
    page.new_class("cross")
    page.teach("cross")
    assert page.daemon.digest() != digest
    page.press("Undo all lessons of this visit")
    until(lambda: page.daemon.digest() == digest, "the model is as it was")
    until(lambda: "cross" not in [b.text for b in page.all(".bar-label")], "the class is gone from the page")
    assert page.all(".lessons") == []


def test_everything_can_be_done_with_keys(page: Page):
    page.tab_to("Draw here")
    page.keys(*[Keys.ARROW_UP] * 8, " ", *[Keys.ARROW_DOWN] * 16, " ")
    page.says(".verdict strong", "1")
    page.tab_to("Teach 1")
    page.keys(Keys.ENTER)
    page.says(".lessons", "Taught 1.")
    page.tab_to("Teach 9")
    page.keys(Keys.TAB, "stroke", Keys.ENTER)
    page.says(".lessons", "Taught stroke.")
    assert "stroke" in page.daemon.model()["classes"]


def test_a_prediction_is_read_out_and_every_key_of_the_sheet_is_told(page: Page):
    page.draw(SEVEN)
    until(lambda: "Prediction: 7" in page.run("return document.getElementById('announcer').textContent"), "it is read out")
    sheet = page.one(".pad canvas")
    assert "Arrow keys" in page.run("return document.getElementById(arguments[0].getAttribute('aria-describedby')).textContent", sheet)


def test_a_picture_that_is_chosen_is_predicted_and_taught(page: Page):
    page.choose(ROOT / "examples" / "digits" / "3.png")
    page.says(".verdict strong", "3")
    page.teach("3")
    page.says(".lessons", "The prediction was right")


def test_ink_on_paper_is_read_or_the_way_to_it_is_offered(page: Page, tmp_path):
    digit = numpy.asarray(Image.open(ROOT / "examples" / "digits" / "7.png").convert("L"))
    Image.fromarray(255 - digit).resize((400, 400), Image.Resampling.BICUBIC).convert("RGB").save(tmp_path / "paper.jpg", quality=95)
    page.choose(tmp_path / "paper.jpg")
    page.says(".verdict strong", "7")
    page.daemon.send_json("PATCH", "/model", {"fit": "contain"}).ok()
    page.open()
    page.choose(tmp_path / "paper.jpg")
    page.press("Set fit to content")
    page.says(".verdict strong", "7")
    assert page.daemon.model()["settings"]["fit"] == "content"


def test_what_is_like_nothing_that_was_taught_is_told(page: Page, tmp_path):
    Image.effect_noise((28, 28), 90).save(tmp_path / "noise.png")
    page.choose(tmp_path / "noise.png")
    page.says(".answers .hint", "not like anything that was taught")
    page.clear()
    page.draw(SEVEN)
    page.says(".verdict strong", "7")
    assert page.text(".answers .hint") == "Click the right class to teach it."


def test_a_picture_of_one_colour_is_not_taught(page: Page, tmp_path):
    before = page.daemon.model()
    Image.new("RGB", (60, 40), (90, 120, 60)).save(tmp_path / "grass.png")
    page.choose(tmp_path / "grass.png")
    page.says(".answers .hint", "only one colour")
    page.bar("7").click()
    page.says("#notices", "nothing to learn")
    assert page.daemon.model() == before


def test_what_is_not_a_picture_is_told(page: Page, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    page.choose(tmp_path / "text.png")
    page.says("#notices", "not a picture")


def test_a_finger_draws_and_does_not_scroll(page: Page):
    page.size(390, 844, mobile=True)
    page.open()
    box = page.run("return arguments[0].getBoundingClientRect()", page.one(".pad canvas"))

    def touch(kind: str, *points: tuple[float, float]) -> None:
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in points]})
    touch("touchStart", (0.5, 0.2))
    for y in range(3, 9):
        touch("touchMove", (0.5, y / 10))
    touch("touchEnd")
    page.says(".verdict strong", "1")
    assert page.run("return scrollY") == 0


def test_a_picture_is_dropped_on_the_sheet_or_pasted(page: Page):
    drop = """const [place, kind, bytes] = arguments, data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(bytes)], 'digit.png', {type: 'image/png'}));
        place.dispatchEvent(kind === 'drop' ? new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})
                                            : new ClipboardEvent('paste', {clipboardData: data, bubbles: true}));"""
    page.run(drop, page.one(".pad"), "drop", list((ROOT / "examples" / "digits" / "3.png").read_bytes()))
    page.says(".verdict strong", "3")
    page.run(drop, page.one("h1"), "paste", list((ROOT / "examples" / "digits" / "8.png").read_bytes()))
    page.says(".verdict strong", "8")
    page.clear()


def test_a_large_input_is_explained_when_the_pen_rests(daemons, open_page):
    page = open_page(daemons.start(daemons.init("--width", "160", "--height", "120", "--stride", "4", "--kernel-width", "8", "--kernel-height", "8")))
    page.draw(CROSS)
    page.one(".bar.best")
    page.one(".saw")
    until(lambda: page.run("return document.querySelector('.saw canvas').width") == 160, "its input")


def test_the_page_says_that_it_is_still_thinking_and_when_it_is_done(page: Page):
    page.daemon.send_json("PATCH", "/model", {"rehearsal_idle": 1000}).ok()
    page.daemon.post("/train?labels=" + ",".join("0123456789" * 6), bytes(range(196)) * 4 * 60).ok()
    page.says("#status", "still thinking: ")
    page.says("#status", "training steps")
    assert [j["state"] for j in page.daemon.get("/jobs").ok()["jobs"]] == ["done"]
