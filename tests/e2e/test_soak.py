"""The short forms of `make soak`: the same load for some seconds, in which memory still finds its size; descriptors must be
right to the last one. And some weeks of a life, with all that a year has."""
import argparse
import sqlite3

import pytest

from tests.soak import soak, years

from .daemon import SANITIZED

SECONDS = 8


@pytest.mark.slow
@pytest.mark.skipif(SANITIZED, reason="a sanitizer's own memory hides the program's")
def test_under_mixed_load_memory_and_descriptors_stay_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(soak, "GROWTH_MIB", 8.0)  # while it warms up; thirty minutes may add 2
    report = soak.run(SECONDS, tmp_path)
    print(soak.text(report))
    assert report["wrong"] == []
    assert min(report["counts"].values()) > 20


def test_growing_memory_is_noticed():
    report = {"memory": [10 + 0.1 * i for i in range(100)], "wrong": []}
    soak.judge(report)
    assert report["wrong"] and report["growth"] > soak.GROWTH_MIB


@pytest.mark.slow
@pytest.mark.skipif(SANITIZED, reason="a sanitizer wants to be loaded before libfaketime")
def test_after_weeks_of_edits_kills_and_clock_steps_all_is_there_once_and_what_is_not_is_noticed(tmp_path):
    life = years.Life(tmp_path, argparse.Namespace(years=0.1, samples=30_000, edits=200, seed=1, flags=[]))
    lines = life.run(lambda line: print(years.row(line)))
    assert life.wrong == [] and len(lines) == 10
    assert life.ledger.n >= 3000 and life.edits >= 15 and life.kills >= 10 and life.restarts >= 5
    for sql in ("UPDATE sample SET label = label + 1 WHERE id = (SELECT max(id) FROM sample)", "DELETE FROM sample WHERE id = 7",
                "INSERT INTO sample SELECT max(id) + 1, max(revision), 0, zeroblob(64) FROM sample"):
        was = life.db.read_bytes()
        connection = sqlite3.connect(life.db)
        connection.execute(sql)
        connection.commit()
        connection.close()
        assert len(life.ledger.wrong(life.db)) >= 1, sql
        life.db.write_bytes(was)
