"""README.md and docs/: every relative link leads somewhere, also within a page; what is prose is wrapped; the README stays short."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = [ROOT / "examples" / "README.md", *sorted(ROOT.glob("bench/*.md")), *sorted(ROOT.glob("tests/*.md"))]
LINK = re.compile(r'\]\(([^()\s]+)\)|(?:src|srcset)="([^"]+)"')
COLUMNS, LINES = 100, 200


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dangling(page: Path) -> list[str]:
    bad = []
    for link in (a or b for a, b in LINK.findall(without_code(page.read_text()))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            bad.append(link)
    return bad


def long_lines(text: str) -> list[str]:
    """Those that are neither code, a table, a heading nor HTML; a single word may be as long as it is."""
    return [line for line in without_code(text).splitlines()
            if len(line) > COLUMNS and not line.startswith(("|", "#", "    ")) and not line.lstrip().startswith("<") and " " in line]


@pytest.mark.parametrize("page", PAGES + OTHERS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page):
    assert dangling(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_prose_is_wrapped(page):
    assert long_lines(page.read_text()) == []


def test_the_index_has_every_page():
    linked = {a for a, _ in LINK.findall((ROOT / "docs" / "README.md").read_text())}
    assert {page.name for page in PAGES if page.parent.name == "docs"} - {"README.md"} <= linked


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= LINES


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "b.md").write_text("# It's `here`, too\n")
    page = tmp_path / "a.md"
    page.write_text("[a](b.md#its-here-too) [b](b.md#gone) [c](gone.md) [d](https://e.test/) [e](#gone)\n```\n[f](gone.md)\n```\n")
    assert dangling(page) == ["b.md#gone", "gone.md", "#gone"]


def test_a_long_line_of_prose_is_found():
    prose = "word " * 30
    assert long_lines(f"{prose}\n| {prose}\n```\n{prose}\n```\n- {prose}\n") == [prose, f"- {prose}"]
