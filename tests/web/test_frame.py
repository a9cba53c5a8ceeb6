"""What the whole page keeps to: parts, themes, tokens, and a daemon that goes and comes back."""
from e2e.daemon import lasting_port

from .page import ONE, SEVEN, Page, until

READING, WRITING = "reading-token-0123456789", "writing-token-0123456789"


def test_parts_have_addresses_and_the_way_back_works(page: Page):
    page.go("Statistics")
    page.says("h1", "Statistics")
    page.go("History")
    page.says("h1", "History")
    page.driver.back()
    page.says("h1", "Statistics")
    page.open("history")
    page.says("h1", "History")
    assert page.driver.title == "History · convd"


def test_the_theme_is_the_systems_until_one_is_chosen_and_then_stays(page: Page):
    def ground() -> str:
        return page.run("return getComputedStyle(document.body).backgroundColor")
    light = ground()
    page.scheme("dark")
    dark = until(lambda: ground() != light and ground(), "it is dark")
    page.press("Auto")
    until(lambda: ground() == light, "light is chosen")
    page.open()
    assert until(lambda: ground(), "a ground") == light
    page.press("Light")
    until(lambda: ground() == dark, "dark is chosen")
    page.press("Dark")
    page.button("Auto")


def test_a_daemon_that_goes_and_comes_back_is_noticed_both_times(daemons, open_page):
    page = open_page(daemons.start(daemons.copy(), "--listen", f"127.0.0.1:{lasting_port()}"))
    page.draw(SEVEN)
    page.says(".verdict strong", "7")
    page.daemon.stop()
    page.says("#status", "does not respond")
    page.daemon.start()
    page.says("#status", "training step")
    page.clear()
    page.draw(ONE)
    page.says(".verdict strong", "1")
    assert all("ERR_CONNECTION_REFUSED" in line or "ERR_INCOMPLETE_CHUNKED" in line or "ERR_EMPTY_RESPONSE" in line or "network error" in line
               for line in page.console())


def test_a_token_is_asked_for_kept_for_the_visit_and_the_writing_one_where_it_is_needed(driver, daemons, open_page):
    files = []
    for name, token in (("read", READING), ("write", WRITING)):
        path = daemons.directory / f"{name}.token"
        path.write_text(token + "\n")
        path.chmod(0o600)
        files += [f"--{name}-token-file", path]
    page = open_page(daemons.start(daemons.copy(), *files))

    def give(token: str) -> None:
        page.one("input[type=password]").send_keys(token)
        page.press("Use token")
    page.says("#notices", "convd needs a token.")
    page.picture("token")
    give("not-the-token-0123456789")
    page.says("#notices", "not valid")
    give(READING)
    page.draw(SEVEN)
    page.says(".verdict strong", "7")
    page.bar("7").click()
    page.says("#notices", "writing token")
    page.press("Cancel")
    page.says("#notices", "Nothing was changed")
    page.bar("7").click()
    page.says("#notices", "writing token")
    give(WRITING)
    page.says(".lessons", "Taught 7.")
    page.open()
    page.draw(ONE)
    page.says(".verdict strong", "1")
    page.run("sessionStorage.clear()")
    assert all("401" in line or "403" in line for line in page.console())


def test_a_daemon_with_no_place_for_one_more_listener_is_asked_instead(daemons, open_page, digits):
    daemon = daemons.start(daemons.copy(), "--event-readers", "1")
    with daemon.connect() as other:
        other.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in other.recv(4096), "somebody else listens"
        page = open_page(daemon)
        page.says("#status", "4,000 training")
        daemon.train("7", digits.one(7).tobytes()).ok()
        page.says("#status", "4,001 training")
        assert all("503" in line for line in page.console())


def test_one_can_draw_after_three_round_trips(page: Page):
    tell = page.driver.execute_cdp_cmd
    tell("Network.enable", {})
    tell("Network.setCacheDisabled", {"cacheDisabled": True})
    tell("Network.emulateNetworkConditions", {"offline": False, "latency": 700, "downloadThroughput": -1, "uploadThroughput": -1})
    try:
        page.driver.get("about:blank")
        page.driver.get(page.daemon.url)
        ready = page.driver.execute_async_script("""const done = arguments[0];
            (function look() { document.querySelector('.pad canvas') ? done(performance.now()) : requestAnimationFrame(look); })();""")
        asked = page.run("""return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
            .map((e) => [e.name, e.startTime, e.responseEnd])""")
    finally:
        tell("Network.emulateNetworkConditions", {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1})
        tell("Network.setCacheDisabled", {"cacheDisabled": False})
        tell("Network.disable", {})
    asked = sorted((start, end, name) for name, start, end in asked if start < ready)
    trips, over = 0, -1.0  # requests that begin before the first of a trip is answered are of that trip
    for start, end, _ in asked:
        if start >= over:
            trips, over = trips + 1, end
    assert trips <= 3, asked
    assert len(asked) <= 9, asked
