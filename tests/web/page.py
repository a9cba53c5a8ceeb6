"""The page as a person has it before them: what stands there, what can be pressed, drawn and typed."""
from __future__ import annotations

import base64
from pathlib import Path

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from e2e import daemon as e2e
from e2e.daemon import Daemon

# Drawn with a pen, in parts of the sheet's side.
SEVEN = [[(0.30, 0.25), (0.50, 0.245), (0.70, 0.25), (0.62, 0.42), (0.54, 0.60), (0.47, 0.80)]]
ONE = [[(0.53, 0.2), (0.52, 0.4), (0.50, 0.6), (0.48, 0.8)]]
ZERO = [[(0.5, 0.2), (0.36, 0.28), (0.30, 0.5), (0.36, 0.72), (0.5, 0.8), (0.64, 0.72), (0.70, 0.5), (0.64, 0.28), (0.5, 0.2)]]
TRIANGLE = [[(0.5, 0.2), (0.36, 0.47), (0.22, 0.75), (0.5, 0.755), (0.78, 0.75), (0.64, 0.47), (0.5, 0.2)]]
CROSS = [[(0.25, 0.25), (0.5, 0.5), (0.75, 0.75)], [(0.75, 0.25), (0.5, 0.5), (0.25, 0.75)]]


def until(condition, what: str):
    """e2e.daemon.until(), for what may be painted anew just then."""
    def seen():
        try:
            return condition()
        except (NoSuchElementException, StaleElementReferenceException):
            return None
    return e2e.until(seen, what)


class Page:
    def __init__(self, driver, daemon: Daemon, pictures: Path):
        self.driver, self.daemon, self.pictures = driver, daemon, pictures
        self.drawn = 0

    # ---- the window ----

    def open(self, place: str = "") -> None:
        self.driver.get("about:blank")  # so that an address that differs by its # alone is loaded, too
        self.driver.get(self.daemon.url + "/" + (f"#{place}" if place else ""))

    def size(self, width: int, height: int, mobile: bool = False) -> None:
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile})
        self.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": mobile})

    def scheme(self, name: str) -> None:
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]})

    def picture(self, name: str, whole: bool = False) -> None:
        """What is seen; or the whole page, as far as it goes down."""
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        (self.pictures / f"{name}.png").write_bytes(base64.b64decode(taken["data"]))

    def console(self) -> list[str]:
        """Errors since the last look; they are then no failure of the test."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    # ---- what stands there ----

    def all(self, selector: str) -> list[WebElement]:
        return self.run("return [...document.querySelectorAll(arguments[0])].filter((node) => node.checkVisibility())", selector)

    def one(self, selector: str) -> WebElement:
        return until(lambda: next(iter(self.all(selector)), None), f"{selector} is shown")

    def text(self, selector: str) -> str:
        return " ".join(self.one(selector).text.split())

    def says(self, selector: str, words: str) -> None:
        until(lambda: words in self.text(selector), f"{selector} says {words!r}")

    def button(self, text: str, within: str = "body") -> WebElement:
        return self.called(text, f"{within} button")

    def called(self, text: str, selector: str) -> WebElement:
        """The first of them that is shown and has that text."""
        script = """return [...document.querySelectorAll(arguments[0])]
                    .find((node) => node.checkVisibility() && node.textContent.trim() === arguments[1] &&
                                    (node.scrollIntoView({block: 'center'}), true))"""
        return until(lambda: self.run(script, selector, text), f"{selector} called {text!r}")

    def press(self, text: str, within: str = "body") -> None:
        until(lambda: self.button(text, within).is_enabled(), f"{text!r} can be pressed")
        self.button(text, within).click()

    def click(self, selector: str) -> None:
        """As soon as it can be; again, where it was painted anew just then."""
        def clicked() -> bool:
            node = self.one(selector)
            if not node.is_enabled():
                return False
            self.run("arguments[0].scrollIntoView({block: 'center'})", node)
            node.click()
            return True
        until(clicked, f"{selector} is clicked")

    def go(self, name: str) -> None:
        """To another part of the page."""
        self.called(name, ".places a").click()

    def places(self) -> list[str]:
        """The parts that there are."""
        self.one("h1")
        return self.run("return [...document.querySelectorAll('.places a:not([hidden])')].map((a) => a.hash.slice(1))")

    def run(self, script: str, *args):
        return self.driver.execute_script(script, *args)

    # ---- trying and teaching ----

    def draw(self, lines: list[list[tuple[float, float]]]) -> None:
        """With the mouse. By the browser's own protocol: ActionChains takes a tenth of a second a point."""
        box = self.run("arguments[0].scrollIntoView({block: 'center'}); return arguments[0].getBoundingClientRect()", self.one(".pad canvas"))

        def mouse(kind: str, x: float, y: float, buttons: int) -> None:
            self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {
                "type": kind, "x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"],
                "button": "left", "buttons": buttons, "clickCount": 1})
        for line in lines:
            mouse("mousePressed", *line[0], 1)
            for point in line[1:]:
                mouse("mouseMoved", *point, 1)
            mouse("mouseReleased", *line[-1], 0)
        self.drawn += 1

    def choose(self, *paths: Path) -> None:
        """Pictures, as the browser's dialogue for files would."""
        field = until(lambda: self.run("return document.querySelector('.place:not([hidden]) .picture-file')"), "the field for files")
        field.send_keys("\n".join(map(str, paths)))

    def clear(self) -> None:
        self.press("Clear")
        self.says(".verdict", "?")

    def verdict(self) -> str:
        """The class that it says, once it has said one."""
        return until(lambda: self.one(".verdict strong").text.strip("?"), "it says something")

    def bar(self, label: str) -> WebElement:
        return self.run("return arguments[0].closest('button')", self.called(label, ".bar-label"))

    def teach(self, label: str) -> None:
        n = len(self.all(".lessons > li"))
        first = self.run("return document.querySelector('.lessons > li')?.dataset.sample")
        self.bar(label).click()
        until(lambda: self.run("return document.querySelector('.lessons > li')?.dataset.sample") not in (None, first), f"a lesson more than {n}")

    def new_class(self, label: str) -> None:
        field = self.one("#new-class")
        field.clear()
        field.send_keys(label)
        self.press("Teach as new")
        self.bar(label)
        self.says(".lessons", f"Taught {label}.")

    def keys(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def focused(self) -> str:
        return self.run("const e = document.activeElement; return e.getAttribute('aria-label') || e.textContent")

    def tab_to(self, name: str, at_most: int = 60) -> None:
        """With the Tab key alone."""
        for _ in range(at_most):
            if self.focused().startswith(name):
                return
            self.keys(Keys.TAB)
        raise AssertionError(f"{at_most} times Tab do not lead to {name!r}")
