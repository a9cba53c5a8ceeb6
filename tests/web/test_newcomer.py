"""Somebody who never saw it: from what `make run` makes, two classes are drawn, taught and recognised within a minute.

The minute is a person's, not this machine's: five seconds a drawing, with what is pressed after it, make twelve drawings.

The documents' pictures of the page are of this run:  scripts/page-pictures  copies them from build/test/web.
"""
import math
import subprocess

from e2e.daemon import CONVD, ROOT, Daemon, clean_environment

from .page import SEVEN, Page

STAR = [[(0.5 + 0.34 * math.sin(2 * math.pi * k * 2 / 5), 0.53 - 0.34 * math.cos(2 * math.pi * k * 2 / 5)) for k in range(6)]]
HEART = [[(0.5 + 0.021 * 16 * math.sin(t) ** 3,
           0.47 - 0.021 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)))
          for t in [2 * math.pi * k / 20 for k in range(21)]]]


# As one draws: larger and smaller, here and there, slanted.
HOW = [(1.0, 0.0, 0.0, 0.0), (0.8, 0.05, -0.04, 0.1), (0.9, -0.04, 0.02, -0.08), (0.75, -0.06, 0.05, 0.05), (0.95, 0.02, 0.03, -0.04), (0.85, 0.0, -0.05, 0.08)]


def straight(lines):
    """With points between, as a hand would give them: lines are bent by their points."""
    return [[(a[0] + (b[0] - a[0]) * k / 6, a[1] + (b[1] - a[1]) * k / 6) for a, b in zip(line, line[1:]) for k in range(6)] + [line[-1]]
            for line in lines]


def moved(lines, scale: float, dx: float, dy: float, slant: float):
    return [[(0.5 + scale * (x - 0.5) + dx + slant * (y - 0.5), 0.5 + scale * (y - 0.5) + dy) for x, y in line] for line in lines]


class Run(Daemon):
    """scripts/run, as `make run` calls it."""
    model_name = "digits"

    def spawn(self) -> None:
        self.starts += 1
        self.out, self.err = self.directory / "run.out", self.directory / "run.err"
        environment = clean_environment({"CONVD": str(CONVD), "CONVD_DB": str(self.db), "CONVD_LISTEN": "127.0.0.1:0", "MODEL": self.model_name})
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen([ROOT / "scripts" / "run"], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=err)


def teach(page: Page, drawings, label: str, at_most: int = 6) -> None:
    """Draws one after the other, and teaches those that are not recognised, until one is."""
    for n, lines in enumerate(drawings[:at_most]):
        page.draw(lines)
        said = page.verdict()
        if said == label:
            return
        if n == 0:
            page.new_class(label)
        else:
            page.teach(label)
        page.clear()
    raise AssertionError(f"{at_most} lessons do not teach {label}")


def test_two_classes_are_taught_by_hand_within_a_minute_of_make_run(daemons, open_page, tmp_path):
    daemon = Run(tmp_path, tmp_path / "digits.db")
    daemons.all.append(daemon)
    daemon.start()
    page = open_page(daemon)
    page.size(1280, 900)
    for label, lines in (("star", straight(STAR)), ("heart", HEART)):
        teach(page, [moved(lines, *how) for how in HOW], label)
        page.clear()
    for label, lines in (("star", straight(STAR)), ("heart", HEART), ("7", SEVEN)):
        page.draw(moved(lines, 0.85, 0.01, -0.01, 0.04))
        page.says(".verdict strong", label)
        page.clear()
    assert page.drawn <= 12
    for how in HOW[2:4]:  # a little more, for the pictures
        for label, lines in (("heart", HEART), ("star", straight(STAR))):
            page.draw(moved(lines, *how))
            page.verdict()
            page.teach(label)
            page.clear()
    page.draw(straight(moved(STAR, 0.9, 0.02, 0.0, 0.06)))
    page.says(".verdict strong", "star")
    page.says(".kernels", "%")
    page.run("document.activeElement.blur(); scrollTo(0, 0)")
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        page.picture(f"newcomer-{scheme}", whole=True)
    page.scheme("light")
    page.size(390, 844, mobile=True)
    page.picture("newcomer-phone")
    page.size(1280, 900)
    page.go("Statistics")
    page.says(".figures", "samples")
    page.picture("newcomer-stats", whole=True)
