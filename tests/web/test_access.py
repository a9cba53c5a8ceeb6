"""Nobody is kept out: axe-core looks at every part, wide and on a telephone, in both themes (names, roles, contrast, order).

The pictures that this leaves in build/test/web are for people to look at."""
from pathlib import Path

import pytest

from e2e import npm

from .page import ONE, SEVEN, Page, until

AXE = """const done = arguments[0];
axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(({violations}) =>
    done(violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 150)).join(' | ')}`)));"""


@pytest.fixture(scope="session")
def axe() -> str:
    return Path(npm.run("axe").strip()).read_text()


def violations(page: Page, axe: str) -> list[str]:
    page.run(axe)
    return page.driver.execute_async_script(AXE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width, height, mobile", [(1280, 900, False), (390, 844, True)], ids=["wide", "phone"])
def test_every_part_fits_its_window_and_keeps_nobody_out(page: Page, axe, scheme, width, height, mobile):
    page.size(width, height, mobile)
    page.scheme(scheme)
    for _ in range(2):
        page.daemon.predict(bytes(784), query="?remember=1")
    for place in page.places():
        page.open(place)
        page.one("h1")
        if place == "try":
            page.draw(SEVEN)
            page.teach("7")
        else:
            until(lambda: page.all(".place .card, .tile"), "its content")
        assert page.run("return document.documentElement.scrollWidth") <= width, f"{place} is wider than the window"
        page.run("scrollTo(0, 0)")
        assert violations(page, axe) == [], place
        page.picture(f"{place}-{'phone' if mobile else 'wide'}-{scheme}", whole=True)
    page.go("Samples")
    page.click(".tile")
    page.one("dialog")
    assert violations(page, axe) == [], "a sample from near"
    page.open("stats")
    page.click("[aria-label='7: merge or delete']")
    page.press("Delete", "dialog")
    assert violations(page, axe) == [], "a class from near"


def test_the_keyboard_is_always_seen_to_be_somewhere(page: Page):
    page.draw(ONE)
    page.says(".verdict strong", "1")
    page.run("document.activeElement.blur(); scrollTo(0, 0)")
    seen = []
    for _ in range(60):
        page.keys("\ue004")  # Tab
        name, shown = page.run("""const e = document.activeElement, s = getComputedStyle(e), box = e.getBoundingClientRect();
            return [e.getAttribute('aria-label') || e.textContent, e === document.body ||
                    (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 && box.bottom > 0 && box.top < innerHeight)];""")
        assert shown, f"{name!r} has the focus, and nobody sees it"
        seen.append(name)
    for name in ("Skip to the content", "Draw here", "Clear", "Teach 0", "Teach 9", "Kernel 16"):
        assert any(n.startswith(name) for n in seen), f"{name} cannot be reached"
