"""The short form of `make crash-test`; and that it would find what it looks for."""
import json
import sqlite3

import numpy as np

from tests.crash.compare import Findings, Log
from tests.crash.crash import run
from tests.crash.ledger import Ledger, Removal
from tests.crash.load import train

from .daemon import SANITIZED, Daemon


def test_after_kill_9_under_random_load_nothing_is_lost_doubled_half_or_made_up(tmp_path):
    tally = run(4 if SANITIZED else 15, 3, tmp_path)
    print(tally.text())
    assert tally.findings.wrong == []
    assert tally.findings.lost == tally.findings.doubled == 0
    assert tally.samples > 100 and tally.changes > 0 and tally.copies > 0 and tally.findings.digests > tally.kills


def trained(daemon: Daemon, n: int = 5) -> Ledger:
    ledger, chance = Ledger(1), np.random.default_rng(1)
    with daemon.client() as client:
        for _ in range(n):
            train(client, ledger, ledger.new_training(chance))
    return ledger


def compare(daemon: Daemon, ledger: Ledger) -> Findings:
    for training in ledger.trainings.values():
        training.place = None  # it is read from the beginning
    log = Log(daemon.db, ledger, Findings())
    log.read()
    log.acknowledged()
    return log.findings


def remove_class(daemon: Daemon, label: str) -> None:
    headers = {"Content-Type": "application/json", "Prefer": "wait=25"}
    daemon.request("PATCH", "/classes?drop_pinned=1", json.dumps({"delete": label}).encode(), headers).ok()


def test_a_faithful_log_is_found_faithful(small: Daemon):
    ledger = trained(small)
    small.stop()
    assert compare(small, ledger) == Findings()


def test_what_was_acknowledged_and_is_not_in_the_log_is_found_lost(small: Daemon):
    ledger = trained(small)
    small.stop()
    missing = ledger.new_training(np.random.default_rng(2))
    missing.answer = {"revision": 7, "samples": [99, 99]}
    findings = compare(small, ledger)
    assert findings.lost == len(missing.labels) and findings.wrong


def test_what_is_in_the_log_twice_is_found_doubled(small: Daemon):
    ledger = trained(small)
    again = ledger.trainings[2]
    small.post("/train?labels=" + ",".join(again.labels), again.images.tobytes()).ok()
    small.stop()
    findings = compare(small, ledger)
    assert findings.doubled == len(again.labels) and findings.wrong


def test_a_class_that_was_removed_and_a_snapshot_that_was_pinned_are_looked_for(small: Daemon):
    ledger = trained(small)
    ledger.removals += [Removal("c", None, refused=True), Removal("c", None, accepted=6)]
    pinned = small.send_json("POST", "/snapshots", {"note": "note 0", "pinned": True}).ok(201) | {"dropped": False}
    ledger.snapshots["note 0"] = pinned
    small.stop()
    findings = compare(small, ledger)
    assert findings.lost == 1 and any("Removal(label='c'" in line for line in findings.wrong)
    small.start()
    remove_class(small, "c")
    ledger.snapshots["note 1"] = small.send_json("POST", "/snapshots", {"note": "note 1", "pinned": True}).ok(201) | {"dropped": False}
    small.stop()
    assert compare(small, ledger) == Findings()
    small.start()
    small.send_json("PATCH", f"/snapshots/{ledger.snapshots['note 1']['id']}", {"pinned": False}).ok()
    small.stop()
    assert any("'note': 'note 1'" in line for line in compare(small, ledger).wrong)
    small.start()
    remove_class(small, "b")
    small.stop()
    assert any("nobody asked" in line for line in compare(small, ledger).wrong)


def test_a_copy_that_is_no_part_of_the_log_is_found(small: Daemon, tmp_path):
    ledger = trained(small)
    copy = tmp_path / "copy.db"
    copy.write_bytes(small.get("/backup").body)
    train_again = ledger.new_training(np.random.default_rng(2))
    with small.client() as client:
        train(client, ledger, train_again)
    small.stop()
    log = Log(small.db, ledger, Findings())
    assert log.begins_with(copy)
    connection = sqlite3.connect(copy)
    connection.execute("UPDATE event SET chain = zeroblob(32) WHERE revision = (SELECT max(revision) FROM event)")
    connection.commit()
    connection.close()
    assert not log.begins_with(copy)


def test_what_nobody_sent_and_what_was_changed_are_found(small: Daemon):
    ledger = trained(small)
    small.train("a", bytes([9, 255] * 32)).ok()
    small.stop()
    assert any("nobody sent that" in line for line in compare(small, ledger).wrong)
    connection = sqlite3.connect(small.db)
    connection.execute("UPDATE sample SET label = (label + 1) % 3 WHERE id = 1")
    connection.commit()
    connection.close()
    assert any("not as it was sent" in line for line in compare(small, ledger).wrong)
