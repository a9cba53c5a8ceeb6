"""Statistics, samples, the labelling queue and history."""
from selenium.webdriver.common.keys import Keys

from .page import CROSS, SEVEN, Page, until


def tiles(page: Page) -> list[str]:
    return page.run("return [...document.querySelectorAll('.place:not([hidden]) .tile')].map((t) => t.innerText.replaceAll('\\n', ' '))")


# ---- statistics ----

def test_the_figures_are_those_of_stats(page: Page):
    page.go("Statistics")
    stats = page.daemon.get("/stats").ok()
    page.says(".figures", f"{100 * stats['accuracy']:.1f} %")
    page.says(".figures", f"{100 * stats['recent']['accuracy']:.1f} %")
    cells = page.run("return [...document.querySelectorAll('.confusion tbody tr')].map((r) => [...r.querySelectorAll('td')].map((c) => +c.innerText))")
    assert cells == stats["confusion"]
    assert len(page.all("[aria-label=Classes] tbody tr")) == 10


def test_what_confidence_is_worth_is_a_table(page: Page):
    page.go("Statistics")
    said = page.daemon.get("/stats").ok()["calibration"]
    rows = until(lambda: page.run("return [...document.querySelectorAll('[aria-label=Confidence] tbody tr')].map((r) => r.innerText.split(/\\s*\\t\\s*/))"),
                 "the table")
    bins = [b for b in said["reliability"] if b["outcomes"] > 0]
    assert [int(row[1]) for row in rows] == [b["outcomes"] for b in bins]
    assert [row[0] for row in rows] == [f"{100 * b['confidence']:.1f} %" for b in bins]
    assert page.run("return document.body.innerText.includes(arguments[0])", f"At {100 * said['sure']['confidence']:.1f} % or more, 98.0 % were right")


def test_a_cell_of_the_confusion_leads_to_its_samples(page: Page):
    page.go("Statistics")
    n = page.daemon.get("/stats").ok()["confusion"][4][9]
    page.click("a[aria-label$=' 4: predicted 9']")
    page.says("h1", "Samples")
    until(lambda: tiles(page) == ["4 predicted 9"] * n, f"{n} fours that were taken for a 9")


def test_what_others_teach_is_seen_at_once(page: Page, digits):
    page.go("Statistics")
    page.says(".figures", "of 4,000 samples")
    page.daemon.train("7", digits.one(7).tobytes()).ok()
    page.says("#status", "4,001")
    page.says(".figures", "of 4,001 samples")


def test_drift_is_marked_where_it_was_noticed(page: Page, digits):
    labels = ",".join(str((label + 1) % 10) for label in digits.labels[:1500])  # from now on every digit is called by the next one's name
    page.daemon.post(f"/train?labels={labels}", digits.images[:1500].tobytes()).ok()
    drift = page.daemon.get("/stats").ok()["drift"]
    assert drift["alarms"] > 0
    page.go("Statistics")
    page.says(".figures", f"the last at sample {drift['last_alarm_sample']:,}")
    marks = page.run("return [...document.querySelectorAll('.chart .mark-line title')].map((t) => t.textContent)")
    assert f"drift at sample {drift['last_alarm_sample']:,}" in marks


def test_a_model_that_cannot_learn_says_so_and_what_to_do(daemons, open_page, digits):
    daemon = daemons.start(daemons.init("--width", "28", "--height", "28", "--classes", ",".join("0123456789")))
    labels = [str(label) for label in digits.labels[:600]]
    labels = ",".join(labels[300:] + labels[:300])  # of others
    daemon.post(f"/train?labels={labels}", digits.images[:600].tobytes()).ok()
    warnings = daemon.get("/stats").ok()["warnings"]
    assert "below_commonest" in [warning["code"] for warning in warnings]
    page = open_page(daemon)
    page.go("Statistics")
    for warning in warnings:
        page.says(".warnings", warning["text"])
        page.says(".warnings", f"since sample {warning['since']:,}")


def test_a_chart_is_read_with_the_arrow_keys(page: Page):
    page.go("Statistics")
    last = page.daemon.get("/stats/history?points=60").ok()["points"][-1]
    page.run("arguments[0].focus()", page.one(".chart"))
    page.keys(Keys.END)
    page.says(".tip", f"{100 * last['accuracy']:.1f} % · after {last['samples']:,} samples".replace("100.0 %", "100 %"))
    page.keys(Keys.HOME)
    until(lambda: f"{last['samples']:,}" not in page.text(".tip"), "the first point")


def test_a_model_that_has_seen_nothing_says_so(daemons, open_page):
    page = open_page(daemons.start(daemons.init()))
    page.go("Statistics")
    page.says(".place:not([hidden]) .hint", "no samples yet")
    page.go("Samples")
    page.says(".place:not([hidden]) > .hint", "No sample")


def test_a_model_of_another_shape_in_colour_is_taught_by_hand_too(daemons, open_page):
    page = open_page(daemons.start(daemons.init("--width", "20", "--height", "12", "--channels", "3", "--classes", "left,right")))
    page.open("try")
    page.draw([[(0.2, 0.3), (0.2, 0.7)]])
    page.teach("left")
    page.says(".lessons", "Taught left.")
    page.one(".saw")
    sample = page.daemon.get("/samples").ok()["samples"][0]
    assert sample["label"] == "left"


# ---- samples ----

def test_samples_are_filtered_by_what_they_were_and_what_was_said(page: Page):
    page.go("Samples")
    until(lambda: len(tiles(page)) == 60, "a page of samples")
    page.press("More")
    until(lambda: len(tiles(page)) == 120, "another one")
    page.called("Wrong predictions only", "label").click()
    until(lambda: tiles(page) and all("predicted" in t for t in tiles(page)), "wrong ones alone")
    page.one(".filters select").send_keys("3")
    until(lambda: tiles(page) and all(t.startswith("3 predicted") for t in tiles(page)), "threes that were taken for others")
    assert page.run("return location.hash") == "#samples?label=3&wrong=1"
    page.driver.back()
    until(lambda: any(not t.startswith("3") for t in tiles(page)), "the way back")


def test_a_sample_is_looked_at_from_near(page: Page):
    page.go("Samples")
    newest = page.daemon.get("/samples?limit=1").ok()["samples"][0]
    page.click(".tile")
    page.says("dialog", f"Sample {newest['id']}")
    page.says("dialog", f"Label {newest['label']}")
    until(lambda: page.run("return document.querySelector('dialog canvas').width") == 28, "its picture")
    page.keys(Keys.ESCAPE)
    until(lambda: not page.all("dialog"), "it is closed")


# ---- the labelling queue ----

def test_the_least_sure_prediction_is_labelled_with_one_key(page: Page, digits):
    for image in digits.test_images[:6]:
        page.daemon.predict(image.tobytes(), query="?remember=1")
    waiting = page.daemon.get("/predictions?order=uncertain").ok()["predictions"]
    page.go("Labelling")
    page.says(".place:not([hidden]) > .hint", "6 predictions")
    page.says(".question", f"Predicted: {waiting[0]['label']}")
    page.picture("labelling")
    page.keys("4")
    page.says(".place:not([hidden]) > .hint", "5 predictions without a label, 1 done")
    labelled = page.daemon.get(f"/predictions/{waiting[0]['id']}").ok()
    assert labelled["labelled"] == "4" and page.daemon.get("/stats").ok()["samples"] == 4001
    page.says(".question", f"Predicted: {waiting[1]['label']}")
    page.press("Delete")
    page.press("Cancel")
    page.press("Delete")
    page.press("Delete permanently")
    page.says(".place:not([hidden]) > .hint", "4 predictions")
    page.daemon.get(f"/predictions/{waiting[1]['id']}").problem(404)
    page.keys("s")
    page.says(".place:not([hidden]) > .hint", "3 predictions")
    assert page.daemon.get(f"/predictions/{waiting[2]['id']}").ok()["labelled"] is None


# ---- history ----

def test_going_back_and_forth_gives_the_same_model(page: Page):
    page.go("History")
    before = page.daemon.digest()
    page.one("input[aria-label=Note]").send_keys("all well")
    page.press("Take a snapshot")
    page.says(".snapshots > li", "all well current")
    page.go("Try")
    page.draw(CROSS)
    page.teach("8")
    taught = page.daemon.digest()
    page.go("History")
    page.press("Take a snapshot")
    until(lambda: "current" in page.text(".snapshots > li") and "all well" not in page.text(".snapshots > li"), "the newest is the live one")
    ids = {s["note"] or s["revision"]: s["id"] for s in page.daemon.get("/snapshots").ok()["snapshots"]}
    page.click(f"[aria-label='Go back to snapshot {ids['all well']}']")
    until(lambda: page.daemon.digest() == before, "it is as it was")
    later = max(s["id"] for s in page.daemon.get("/snapshots").ok()["snapshots"] if s["digest"] == taught)
    page.click(f"[aria-label='Go back to snapshot {later}']")
    until(lambda: page.daemon.digest() == taught, "and as it was later")


def test_two_snapshots_are_compared_and_one_is_dropped_when_that_is_meant(page: Page):
    page.daemon.send_json("POST", "/snapshots", {"note": "first"}).ok(201)
    page.draw(SEVEN)
    page.teach("1")
    second = page.daemon.send_json("POST", "/snapshots", {"note": "second", "pinned": True}).ok(201)["id"]
    first = next(s["id"] for s in page.daemon.get("/snapshots").ok()["snapshots"] if s["note"] == "first")
    page.go("History")
    page.click(f"[aria-label='Compare snapshot {second}']")
    page.click(f"[aria-label='Compare snapshot {first}']")
    page.says(".place:not([hidden]) table", "Steps 4,000 4,001 +1")
    told = page.daemon.get(f"/snapshots/{first}/diff/{second}").ok()
    page.says(".difference", f"Their predictions differ for {told['disagree']} of the 1 sample that only one has learned.")
    assert told["disagree"] == 0 or "Most changed: " in page.text(".difference")
    page.picture("history-compared", whole=True)
    assert not page.one(f"[aria-label='Delete snapshot {second}']").is_enabled()
    page.click(f"[aria-label='Delete snapshot {first}']")
    page.press("Cancel")
    page.click(f"[aria-label='Delete snapshot {first}']")
    page.press("Delete permanently")
    until(lambda: page.daemon.get(f"/snapshots/{first}").status == 404, "it is gone")
    until(lambda: not page.all(f"#snapshot-{first}"), "from the page, too")


def test_a_snapshot_is_pinned_unpinned_and_downloaded(page: Page, tmp_path):
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    taken = page.daemon.send_json("POST", "/snapshots", {"note": "first"}).ok(201)["id"]
    weights = page.daemon.get("/model.safetensors").body
    page.draw(SEVEN)
    page.teach("1")
    page.go("History")
    page.click(f"[aria-label='Pin snapshot {taken}']")
    page.says(f"#snapshot-{taken}", "first pinned")
    assert page.daemon.get(f"/snapshots/{taken}").ok()["pinned"] is True
    assert not page.one("[aria-label='Unpin snapshot 1']").is_enabled(), "of the creation"
    for scheme in ("dark", "light"):
        page.scheme(scheme)
        page.picture(f"history-{scheme}", whole=True)
    page.click(f"[aria-label='Unpin snapshot {taken}']")
    until(lambda: page.daemon.get(f"/snapshots/{taken}").ok()["pinned"] is False, "it is unpinned")
    page.click(f"[aria-label='Download snapshot {taken}']")
    file = tmp_path / f"snapshot-{taken}.safetensors"
    until(lambda: file.exists() and file.read_bytes() == weights, "the file, as the model was then")


def test_long_work_is_told_while_it_goes_on(page: Page):
    page.go("Statistics")
    page.daemon.send_json("POST", "/rehearse", {"passes": 1000}).ok(202)
    page.says("#status", "rehearsing: ")
    job = page.daemon.get("/jobs").ok()["jobs"][0]["id"]
    page.daemon.request("DELETE", f"/jobs/{job}").ok()
    page.says("#status", "training step")


# ---- what it should not have learned ----

def test_one_lesson_is_undone_as_if_it_had_never_been(page: Page):
    digest = page.daemon.digest()
    page.draw(SEVEN)
    page.teach("2")
    page.teach("3")
    page.press("Undo", ".lessons > li:nth-child(2)")
    until(lambda: len(page.all(".lessons > li")) == 1, "one lesson is left")
    page.says(".lessons", "Taught 3.")
    assert page.daemon.digest() != digest
    page.press("Undo", ".lessons")
    until(lambda: page.daemon.digest() == digest, "the weights that never saw it")


def test_a_sample_is_relabelled_and_another_forgotten(page: Page):
    newest = page.daemon.get("/samples?limit=2").ok()["samples"]
    digest = page.daemon.digest()
    page.go("Samples")
    page.click(".tile")
    page.says("dialog", f"Sample {newest[0]['id']}")
    wrong = next(label for label in "0123456789" if label != newest[0]["label"])
    page.one("#relabel").send_keys(wrong)
    page.press("Relabel")
    until(lambda: not page.all("dialog"), "it is done")
    assert page.daemon.get(f"/samples/{newest[0]['id']}").ok()["label"] == wrong and page.daemon.digest() != digest
    until(lambda: tiles(page) and tiles(page)[0].startswith(wrong), "its tile says so")
    page.run("document.querySelectorAll('.place:not([hidden]) .tile')[1].click()")
    page.says("dialog", f"Sample {newest[1]['id']}")
    page.press("Forget")
    page.press("Forget permanently")
    until(lambda: not page.all("dialog"), "it is done")
    page.daemon.get(f"/samples/{newest[1]['id']}").problem(410)
    page.says("#status", "3,999")


def test_a_class_is_merged_into_another_and_one_is_deleted_when_that_is_meant(daemons, open_page, digits):
    daemon = daemons.start(daemons.init("--width", "28", "--height", "28", "--classes", "one,uno,two,three"))
    for n, label in enumerate(("one", "uno", "two", "three")):
        daemon.train(label, digits.test_images[n].tobytes()).ok()
    daemon.send_json("POST", "/snapshots", {"pinned": True}).ok(201)
    page = open_page(daemon)
    page.go("Statistics")
    page.click("[aria-label='uno: merge or delete']")
    page.one("#merge-into").send_keys("one")
    page.press("Merge")
    page.says("dialog", "All samples of uno become one")
    page.press("Cancel")
    assert daemon.model()["classes"] == ["one", "uno", "two", "three"]
    page.press("Merge")
    for scheme in ("dark", "light"):
        page.scheme(scheme)
        page.picture(f"class-{scheme}")
    page.press("Merge uno into one")
    page.says("dialog", "A pinned snapshot has learned from these samples")
    page.press("Continue, and delete pinned snapshots")
    until(lambda: not page.all("dialog"), "it is done")
    assert page.console()  # of the 409
    assert daemon.model()["classes"] == ["one", "two", "three"]
    assert [s["label"] for s in daemon.get("/samples").ok()["samples"]] == ["three", "two", "one", "one"]
    until(lambda: not page.all("[aria-label='uno: merge or delete']"), "the table knows it")
    page.click("[aria-label='two: merge or delete']")
    page.press("Delete", "dialog")
    page.says("dialog", "The class two is deleted, and its 1 sample forgotten.")
    page.press("Delete two permanently")
    until(lambda: not page.all("dialog"), "it is done")
    assert daemon.model()["classes"] == ["one", "three"] and daemon.get("/stats").ok()["samples"] == 3
    page.go("Try")
    until(lambda: [b.text for b in page.all(".bar-label")] == ["one", "three"], "the bars know it")


def test_a_hundred_classes_are_found_and_chosen(daemons, open_page):
    daemon = daemons.start(daemons.init("--classes", ",".join(f"class {n}" for n in range(100))))
    daemon.predict(bytes(range(64)), query="?remember=1")
    page = open_page(daemon)
    page.draw(SEVEN)
    until(lambda: len(page.all(".bar")) == 10, "the ten likeliest")
    page.one("input[type=search]").send_keys("class 77")
    until(lambda: [b.text for b in page.all(".bar-label")] == ["class 77"], "the one that is looked for")
    page.teach("class 77")
    page.go("Labelling")
    until(lambda: len(page.all(".choice")) == 5, "the five likeliest")
    page.one(".other-class").send_keys("class 42")
    page.press("Label it")
    until(lambda: daemon.get("/samples?label=class%2042").ok()["samples"], "it is labelled")
    page.go("Statistics")
    page.says(".figures", "of 2 samples")
