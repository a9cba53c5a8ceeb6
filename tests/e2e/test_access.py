"""Every token against every route and method: what is open is what schema/openapi.json says is open, and nothing else."""
import re

import pytest

from .daemon import ROOT, Daemon
from .openapi import Document
from .test_auth import READ, WRITE, token_flags

pytestmark = pytest.mark.core

DOCUMENT = Document(ROOT / "schema" / "openapi.json")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW")
NOTHING, READING, WRITING = 0, 1, 2
TOKENS = {
    "none": ({}, NOTHING), "read": ({"Authorization": f"Bearer {READ}"}, READING), "write": ({"Authorization": f"Bearer {WRITE}"}, WRITING),
    "lower case scheme": ({"Authorization": f"bearer {WRITE}"}, WRITING),
    "guessed": ({"Authorization": "Bearer guessed-0123456789abcdef"}, NOTHING),
    "a letter less": ({"Authorization": f"Bearer {WRITE[:-1]}"}, NOTHING), "a letter more": ({"Authorization": f"Bearer {WRITE}0"}, NOTHING),
    "upper case": ({"Authorization": f"Bearer {WRITE.upper()}"}, NOTHING), "both": ({"Authorization": f"Bearer {READ}, Bearer {WRITE}"}, NOTHING),
    "empty": ({"Authorization": "Bearer"}, NOTHING), "no scheme": ({"Authorization": WRITE}, NOTHING),
    "basic": ({"Authorization": f"Basic {WRITE}"}, NOTHING), "quoted": ({"Authorization": f'Bearer "{WRITE}"'}, NOTHING),
    "a cookie": ({"Cookie": f"token={WRITE}; Authorization={WRITE}"}, NOTHING),
    "of a proxy": ({"Proxy-Authorization": f"Bearer {WRITE}", "X-Authorization": f"Bearer {WRITE}", "X-Forwarded-User": "root"}, NOTHING),
}


def paths() -> list[str]:
    return list(DOCUMENT.root["paths"])


def documented(path: str, method: str) -> int | None:
    operation = DOCUMENT.root["paths"].get(path, {}).get(method.lower())
    if operation is None:
        return None
    names = {name for way in operation["security"] for name in way}
    return NOTHING if not names else READING if "reading" in names else WRITING


def needed(path: str, method: str) -> int:
    """As documented; to look at what is not: as for GET; to do what is not: writing, unless doing is only computing there."""
    level = documented(path, method)
    if level is None and method in ("HEAD", "OPTIONS"):
        level = documented(path, "GET")
        return READING if level is None else level
    if level is None:
        return READING if documented(path, "POST") == READING or method == "GET" else WRITING
    return level


def filled(path: str) -> str:
    """Ids that nothing has, so that the right token harms nothing either; a stream that ends at once."""
    path = path.replace("{name}", "digits").replace("{file}", "app.js")
    return re.sub(r"\{\w+\}", "999999", path) + ("?seconds=0" if path == "/events" else "")


@pytest.fixture(scope="module")
def guarded(shared_daemons) -> Daemon:
    return shared_daemons.start(shared_daemons.init(name="access.db"), *token_flags(shared_daemons.directory))


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_opens_what_it_should_of_every_route_and_method_and_nothing_else(guarded: Daemon, token):
    headers, level = TOKENS[token]
    with guarded.client() as client:
        for path in [*paths(), "/nothing-here"]:
            for method in METHODS:
                need = needed(path, method)
                status = client.request(method, filled(path), None, headers).status
                expected = {200} if level >= need else {403} if level == READING else {401}
                got = {200} if status not in (401, 403) else {status}
                assert got == expected, f"{method} {path}: {status}"
                if documented(path, method) is None and method not in ("HEAD", "OPTIONS"):
                    assert status >= 400, f"{method} {path}: {status}"


def other_spellings(path: str) -> list[str]:
    first = path[1]
    return ["/" + path, path + "/", "/." + path, "/x/.." + path, "/%2e%2e" + path, f"/%{ord(first):02x}" + path[2:], path.upper(), path + "%00",
            path + ";x=1", path + "/.", "/web/.." + path, "/web/..%2f" + path[1:], "/healthz/.." + path, path + "%2f", path.replace("/", "\\"),
            "http://localhost" + path, "http://127.0.0.1/" + path, path + "?token=" + WRITE, path + "?access_token=" + WRITE]


def test_no_other_spelling_of_a_route_is_a_way_around_the_tokens(guarded: Daemon):
    for path in paths():
        if documented(path, "GET") in (NOTHING, None):
            continue
        with guarded.client() as client:
            for spelling in other_spellings(filled(path).partition("?")[0]):
                answer = client.get(spelling)
                assert answer.status in (400, 401, 403, 404), f"{spelling}: {answer}"


def test_what_was_tried_changed_nothing(guarded: Daemon):
    model = guarded.get("/model", headers=TOKENS["read"][0]).ok()
    assert model["step"] == 0 and model["classes"] == ["a", "b", "c"]
